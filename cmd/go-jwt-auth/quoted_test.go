package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
)

// hostile is what a provider may write into whatever is its own: a line of the tool's, and a terminal's commands.
const hostile = "x\n✓ forged\x1b[2J\u202e"

func TestWhatAProviderSaysForgesNoLine(t *testing.T) {
	fit := func(t *testing.T, text string) {
		t.Helper()
		if strings.Contains(text, "\n✓ forged") || strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, "forged") {
			t.Errorf("got %q", text)
		}
	}
	t.Run("probe", func(t *testing.T) {
		var out bytes.Buffer
		c := &console{out: &out, err: &out, colour: "never"}
		if err := c.begin(); err != nil {
			t.Fatal(err)
		}
		c.showProbe(&config.Config{}, probeReport{
			Endpoints: []endpointReport{
				{What: "JWKS endpoint", Error: hostile},
				{What: "JWKS endpoint", Certificate: &certificateReport{Subject: "CN=" + hostile, Issuer: "CN=" + hostile, Names: []string{hostile}}},
			},
			Keys: []keyReport{{ID: hostile}}, Skipped: []string{hostile}, Warnings: []string{hostile}, Faults: []string{hostile},
		})
		fit(t, out.String())
	})
	var doc string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/.well-known/openid-configuration" {
			_, _ = fmt.Fprint(w, doc)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error": "x\n✓ forged\u001b[2J\u202e", "error_description": "x\n✓ forged\u001b[2J\u202e"}`)
	}))
	t.Cleanup(server.Close)
	doc = fmt.Sprintf(`{"issuer": %q, "jwks_uri": %q, "token_endpoint": %q}`, server.URL, server.URL, server.URL)
	t.Run("token", func(t *testing.T) {
		fit(t, tool(t, clientSecret, "token", "--issuer", server.URL, "--client-id", "c", "--client-secret-file", "-").want(t, exitUnknown).err)
	})
	t.Run("a file of that name", func(t *testing.T) {
		got := tool(t, "", "check-config", "--as=", "/nowhere/forged\x1b\u202e")
		fit(t, got.out+got.err)
	})
}
