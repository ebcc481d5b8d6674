package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/cmd/internal/control/controltest"
)

// pageAddresses are those in what ui prints.
var pageAddresses = regexp.MustCompile(`(http://127\.0\.0\.1:\d+/)#([\w-]{43})\b`)

// TestUI serves until it is interrupted, and prints an address for each page.
func TestUI(t *testing.T) {
	r := startBroker(t)
	r.Put(fleet()...)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("an.admins.token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{"--no-open"}, {"--no-open", "--json"}} {
		ctx, interrupt := context.WithTimeout(t.Context(), 20*time.Second)
		opened := false
		out := &screenBuffer{seen: func(text string) {
			found := pageAddresses.FindAllStringSubmatch(text, -1)
			switch {
			case len(found) == 1 && !opened: // it is printed before it serves
				opened = true
				go func() {
					request, _ := http.NewRequestWithContext(ctx, http.MethodPost, found[0][1]+"api/open", strings.NewReader(`{"ticket":"`+found[0][2]+`"}`))
					request.Header.Set("Content-Type", "application/json")
					if response, err := http.DefaultClient.Do(request); err == nil { // what is printed tells whether it was taken
						_ = response.Body.Close()
					}
				}()
			case len(found) == 2:
				interrupt()
			}
		}}
		var errs bytes.Buffer
		c := r.console(0, "")
		c.out, c.err = out, &errs
		code := run(ctx, append([]string{"ui", "--url", r.url, "--token-file", token}, flags...), c)
		interrupt()
		found := pageAddresses.FindAllString(out.text.String(), -1)
		if code != 0 || errs.Len() > 0 || len(found) != 2 || found[0] == found[1] {
			t.Errorf("%v: exit code %d, %s, it prints %s", flags, code, errs.String(), out.text.String())
		}
		if strings.Contains(out.text.String(), "admins") {
			t.Errorf("it prints %s", out.text.String())
		}
	}
}

func TestUIServesNobodyElse(t *testing.T) {
	r := startBroker(t)
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		r.tool(t.Context(), 0, "", "ui", "--no-open", "--listen", listen).want(t, exitUnknown, listen+" is no loopback address", "ssh -L").lacks(t, "http://")
	}
	r.tool(t.Context(), 0, "", "ui", "--no-open", "--listen", "nonsense").want(t, exitUnknown, "nonsense")
}

// TestUIIsNotAllowed: it says what to configure, and serves nothing.
func TestUIIsNotAllowed(t *testing.T) {
	r := startBroker(t)
	r.Broker.Change(func() {
		r.Broker.Answer = func(c controltest.Command) (any, string) { return nil, "unknown command: " + c.Name() }
	})
	r.tool(t.Context(), 0, "", "ui", "--no-open").want(t, exitUnknown, "options.control.admins").lacks(t, "http://")
}

// TestUIWaitsForABroker that is not there yet.
func TestUIWaitsForABroker(t *testing.T) {
	ctx, interrupt := context.WithTimeout(t.Context(), 20*time.Second)
	defer interrupt()
	out := &screenBuffer{seen: func(text string) {
		if pageAddresses.MatchString(text) {
			interrupt()
		}
	}}
	var errs bytes.Buffer
	c := (&running{Plugin: &controltest.Plugin{}}).console(0, "")
	c.out, c.err = out, &errs
	if code := run(ctx, []string{"ui", "--no-open", "--url", "mqtt://127.0.0.1:1"}, c); code != 0 || !strings.Contains(errs.String(), "note: mqtt://127.0.0.1:1: ") {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
}

func TestTheBrowserIsNotGivenTheToken(t *testing.T) {
	t.Setenv(tokenVariable, "an.admins.token")
	t.Setenv("GO_JWT_AUTH_TEST", "kept")
	out, err := browser(t.Context(), []string{"env"}).Output()
	if err != nil || strings.Contains(string(out), "an.admins.token") || !strings.Contains(string(out), "GO_JWT_AUTH_TEST=kept") {
		t.Errorf("%v: %s", err, out)
	}
}
