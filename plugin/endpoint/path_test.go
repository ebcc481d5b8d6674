package endpoint_test

import (
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

func says(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestPathsAreThoseOfTheProvider: what is said of a key of jwt.json names it where the provider stands.
func TestPathsAreThoseOfTheProvider(t *testing.T) {
	const tls = "$.providers[1].options.tls."
	with := func(t config.TLS) *config.Provider {
		return &config.Provider{Path: config.At("$.providers[1]"), TLS: t}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := endpoint.New(with(config.TLS{CAFile: missing}))
	says(t, err, tls+"caFile: open ")
	_, err = endpoint.New(with(config.TLS{CAFile: "path_test.go"}))
	says(t, err, tls+"caFile: path_test.go holds no certificate")
	_, err = endpoint.New(with(config.TLS{CertFile: missing, KeyFile: missing}))
	says(t, err, tls+"certFile, "+tls+"keyFile: open ")

	server := httptest.NewUnstartedServer(write(200, "hello"))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	client, err := endpoint.New(with(config.TLS{}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Get(t.Context(), server.URL, patience)
	says(t, err, "the certificate is not trusted ("+tls+"caFile names a private CA)")
}

// TestAPathThatMovesIsFollowed: a provider that a reload has moved says where its keys stand now.
func TestAPathThatMovesIsFollowed(t *testing.T) {
	cfg := &config.Provider{Path: config.At("$.providers[1]"), JWKS: config.JWKS{URI: "http://127.0.0.1:1", BearerTokenFile: filepath.Join(t.TempDir(), "missing")}}
	client, err := endpoint.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	keys := client.ForKeys(cfg)
	cfg.Path.MoveTo(config.At("$.providers[0]"))
	_, err = keys.Get(t.Context(), cfg.JWKS.URI, patience)
	says(t, err, ": $.providers[0].options.modes.jwks.bearerTokenFile: ")
}
