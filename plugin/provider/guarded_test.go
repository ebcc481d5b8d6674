package provider_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// TestKeysBehindALogin: what wants a header and a bearer token of those who read its keys gets them in every request for the
// keys, those of the probe included. The endpoint for introspection, at the same origin, does not, and nothing shows them.
func TestKeysBehindALogin(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	guarded := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "marked-key" || r.Header.Get("Authorization") != "Bearer marked-bearer" {
			http.NotFound(w, r)
			return
		}
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusInternalServerError) // GET is tried then
			return
		}
		_, _ = w.Write(testkeys.Set(key))
	}
	p.Does(guarded, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "" || strings.HasPrefix(r.Header.Get("Authorization"), "Bearer") {
			t.Error("the endpoint for introspection gets the credentials for the keys")
		}
		testidp.Answer(200, `{"active":true}`)(w, r)
	})
	cfg := p.Config("ES256")
	cfg.JWKS.BearerTokenFile = t.TempDir() + "/token"
	if err := os.WriteFile(cfg.JWKS.BearerTokenFile, []byte("marked-bearer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.JWKS.Headers = []config.SecretHeader{{Name: "X-Api-Key", Value: config.NewSecret("marked-key")}}
	judge, said := newProvider(t, cfg)
	notes, err := judge.Probe(t.Context())
	if err != nil || len(notes) != 3 || !strings.Contains(notes[0].Text, "HTTP 200") || !strings.Contains(notes[0].Text, "by GET") {
		t.Errorf("got %+v, %v", notes, err)
	}
	result := check(t, judge, key.Sign(object{"exp": now + 60}))
	if result.Kind != verdict.Accept {
		t.Errorf("got %s", result)
	}
	cfg.JWKS.Headers[0].Value = config.NewSecret("marked-other")
	stranger, more := newProvider(t, cfg)
	_, err = stranger.Probe(t.Context())
	if err == nil {
		t.Error("without the right header there are keys")
	}
	if all := fmt.Sprintf("%+v %v %v %v %v %+v", notes, err, said.All(), more.All(), result, cfg); strings.Contains(all, "marked") {
		t.Errorf("a secret is told: %s", all)
	}
}

// TestJWKSURI: the discovery document is not needed then, but for an introspection endpoint that is configured nowhere else.
func TestJWKSURI(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	documents := 0
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		documents++
		fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"http://unreachable.invalid/keys","introspection_endpoint":%q}`, r.Host, p.URL+"/introspect")
	}))
	t.Cleanup(issuer.Close)
	for _, c := range []struct {
		rule       string
		revocation func(*config.Provider)
		documents  int
	}{
		{"no revocation", func(c *config.Provider) { c.Revocation = nil }, 0},
		{"introspection at its own address", func(*config.Provider) {}, 0},
		{"introspection that the document names", func(c *config.Provider) { c.Revocation.Introspection.URI = "" }, 1},
	} {
		t.Run(c.rule, func(t *testing.T) {
			cfg := p.Config("ES256")
			cfg.Mode, cfg.OIDC, cfg.JWKS.URI = config.ModeOIDC, config.OIDC{Issuer: issuer.URL, JWKSURI: cfg.JWKS.URI}, ""
			c.revocation(cfg)
			judge, _ := newProvider(t, cfg)
			documents = 0
			if _, err := judge.Probe(t.Context()); err != nil {
				t.Errorf("the probe: %v", err)
			}
			result := check(t, judge, key.Sign(object{"exp": now + 60, "iss": issuer.URL}))
			if result.Kind != verdict.Accept || documents != c.documents {
				t.Errorf("got %s, and %d documents were read, want %d", result, documents, c.documents)
			}
		})
	}
	cfg := testidp.Defaults("ES256")
	cfg.Path, cfg.Mode, cfg.OIDC = config.At("$.providers[1]"), config.ModeOIDC, config.OIDC{Issuer: issuer.URL, JWKSURI: p.URL + "/keys"}
	cfg.JWKS.Timeout = time.Minute
	p.Does(testidp.Answer(200, "{}"), nil)
	judge, _ := newProvider(t, cfg)
	if _, err := judge.Probe(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "$.providers[1].options.modes.oidc.jwksUri: there is no usable key set: GET "+p.URL+"/keys: ") {
		t.Errorf("got %v", err)
	}
}
