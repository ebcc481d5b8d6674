package idp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go-jwt-auth/idp"
)

// A page that is open in a browser of this machine must not get tokens, but for the page that logs users in.
func TestOtherPagesGetNothing(t *testing.T) {
	const page = "http://127.0.0.1:8080"
	p := start(t, idp.WithClient(idp.Client{ID: "page", Redirects: []string{page + "/browser/"}}), idp.WithClient(idp.Client{ID: "sensor", Secret: "secret"}))
	ask := func(t *testing.T, method, uri, origin string) http.Header {
		t.Helper()
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"sensor"}, "client_secret": {"secret"}}
		r, err := http.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		if method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
			r.Header.Set("Access-Control-Request-Headers", "authorization")
		}
		answer, err := p.HTTPClient().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.Header
	}
	for _, uri := range []string{p.DiscoveryURI(), p.JWKSURI(), p.TokenURI(), p.IntrospectionURI()} {
		for _, method := range []string{http.MethodPost, http.MethodOptions} {
			for origin, admitted := range map[string]bool{
				page: true, "http://127.0.0.1:8081": false, "https://127.0.0.1:8080": false, "http://127.0.0.1": false,
				"https://evil.test": false, "null": false, p.Issuer(): false,
			} {
				got := ask(t, method, uri, origin)
				if allowed := got.Get("Access-Control-Allow-Origin"); (allowed == origin) != admitted || (allowed != "") != admitted {
					t.Errorf("%s %s from %s: allowed for %q", method, uri, origin, allowed)
				}
				if got.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s %s from %s: with credentials", method, uri, origin)
				}
			}
		}
	}
}

// A name that was made to resolve to this machine (DNS rebinding) is a page's own origin.
func TestOtherNamesGetNothing(t *testing.T) {
	p := start(t)
	for host, want := range map[string]int{
		"": http.StatusOK, "localhost:1": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:80": http.StatusOK,
		"evil.test": http.StatusMisdirectedRequest, "evil.test:9000": http.StatusMisdirectedRequest,
		"127.0.0.1.evil.test": http.StatusMisdirectedRequest, "localhost.evil.test": http.StatusMisdirectedRequest,
	} {
		for _, uri := range []string{p.DiscoveryURI(), p.Issuer() + "/device"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, uri, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			answer, err := p.HTTPClient().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s as %q: %d, want %d", uri, host, answer.StatusCode, want)
			}
		}
	}
}
