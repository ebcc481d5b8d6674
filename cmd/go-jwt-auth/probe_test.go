package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
)

// The sign before an endpoint is what the plugin could make of it, and the exit code tells "no" from "nobody knows".
func TestProbeSigns(t *testing.T) {
	const notFound, goneToday = http.StatusNotFound, http.StatusServiceUnavailable
	cases := []struct {
		rule string
		set  func(p *idp.Provider)
		code int
		want []string
		not  []string
	}{
		{"both good", func(*idp.Provider) {}, 0, []string{"✓ JWKS endpoint", "✓ introspection endpoint"}, []string{"! ", "✗"}},
		{"the keys are not there", func(p *idp.Provider) { p.SetAnswer(idp.JWKS, &idp.Answer{Status: notFound}) }, exitNo, []string{"✗ JWKS endpoint", "HTTP 404", "✓ introspection endpoint"}, []string{"✓ JWKS"}},
		{"introspection is not there", func(p *idp.Provider) { p.SetAnswer(idp.Introspect, &idp.Answer{Status: notFound}) }, exitNo, []string{"✓ JWKS endpoint", "✗ introspection endpoint", "HTTP 404", "no answer that can be used: "}, []string{"✓ introspection", "none that can be used"}},
		{"the keys are not there now", func(p *idp.Provider) { p.SetAnswer(idp.JWKS, &idp.Answer{Status: goneToday}) }, exitUnknown, []string{"✗ JWKS endpoint", "503"}, nil},
		{"introspection is not there now", func(p *idp.Provider) { p.SetAnswer(idp.Introspect, &idp.Answer{Status: goneToday}) }, exitUnknown, []string{"✗ introspection endpoint", "503"}, nil},
		{"one is not there now, the other never", func(p *idp.Provider) {
			p.SetAnswer(idp.JWKS, &idp.Answer{Status: goneToday})
			p.SetAnswer(idp.Introspect, &idp.Answer{Status: notFound})
		}, exitNo, nil, nil},
		{"no discovery now", func(p *idp.Provider) { p.SetAnswer(idp.Discovery, &idp.Answer{Status: goneToday}) }, exitUnknown, nil, []string{"✓"}},
		{"no discovery", func(p *idp.Provider) { p.SetAnswer(idp.Discovery, &idp.Answer{Status: notFound}) }, exitNo, nil, []string{"✓"}},
		{"nobody is there", func(p *idp.Provider) { _ = p.SetDown(true) }, exitUnknown, []string{"can't connect"}, []string{"✓"}},
		{"no keys in it", func(p *idp.Provider) { p.SetAnswer(idp.JWKS, &idp.Answer{Body: `{"keys": []}`}) }, exitNo, []string{"✗ JWKS endpoint"}, []string{"✓ JWKS"}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			p := startProvider(t, withAsker())
			name := jwtJSON(t, p)
			c.set(p)
			tool(t, "", "probe", "--config", name).want(t, c.code, c.want...).lacks(t, c.not...)
			tool(t, "", "probe", "--json", "--config", name).want(t, c.code)
		})
	}
	t.Run("a host that is not known", func(t *testing.T) {
		p := startProvider(t, withAsker())
		tool(t, "", "probe", "--config", jwtJSON(t, p, p.Issuer(), "https://idp.invalid")).want(t, exitUnknown)
	})
}

// The lines of the quick start can be pasted together: what the line before has started in the background is waited for.
func TestProviderThatStartsUp(t *testing.T) {
	p := startProvider(t, withAsker())
	name := jwtJSON(t, p)
	good := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"))
	for _, args := range [][]string{
		{"init", "--no-input", "--issuer", p.Issuer(), "--output", filepath.Join(t.TempDir(), "jwt.json")},
		{"token", "--issuer", p.Issuer(), "--client-id", "sensor-1", "--client-secret-file", write(t, "secret", clientSecret)},
		{"probe", "--config", name},
		{"check-token", "--online", "--config", name, "-"},
	} {
		t.Run(args[0], func(t *testing.T) {
			if err := p.SetDown(true); err != nil {
				t.Fatal(err)
			}
			out, errs := &watched{}, &watched{}
			c := &console{in: strings.NewReader(good), out: out, err: errs, startUp: time.Minute}
			waits := make(chan struct{}, 1)
			c.refused = func() {
				select {
				case waits <- struct{}{}:
				default:
				}
			}
			ended := make(chan int, 1)
			if args[0] != "token" {
				args = append(args, "--as=")
			}
			go func() { ended <- run(t.Context(), args, c) }()
			select {
			case <-waits: // it was refused once
			case code := <-ended:
				t.Fatalf("did not wait: %d\n%s%s", code, out.String(), errs.String())
			}
			if err := p.SetDown(false); err != nil {
				t.Fatal(err)
			}
			if code := <-ended; code != 0 {
				t.Errorf("exit code %d\n%s%s", code, out.String(), errs.String())
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for uri, want := range map[string]string{
		"http://127.0.0.1:9000/a": "127.0.0.1:9000", "http://[::1]": "[::1]:80", "https://LOCALHOST": "LOCALHOST:443",
		"https://idp.test": "", "http://192.0.2.1:80": "", "": "", "://": "",
	} {
		if got := loopback(uri); got != want {
			t.Errorf("%s: got %q, want %q", uri, got, want)
		}
	}
}

// dev-idp writes a file that the broker can read, and replaces none unless told.
func TestDevIDPReplacesNothing(t *testing.T) {
	folder := t.TempDir()
	precious := put(t, filepath.Join(folder, "precious"), "root's", 0o600)
	link := filepath.Join(folder, "jwt.json")
	if err := os.Symlink(precious, link); err != nil {
		t.Fatal(err)
	}
	tool(t, "", "dev-idp", "--listen=127.0.0.1:0", "--write", link).want(t, exitUnknown, "is there already: --force")
	unharmed(t, precious)
}
