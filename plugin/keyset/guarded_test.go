package keyset_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
)

// wants answers with keys those who send the header X-Api-Key and the bearer token, and others by 401.
func wants(key, bearer string, keys []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != key || r.Header.Get("Authorization") != "Bearer "+bearer {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(keys)
	}
}

// TestKeysBehindALogin: headers and a bearer token that changes are sent for the set, and a failure shows neither.
func TestKeysBehindALogin(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, nil)
	cfg.JWKS.Cache.Enabled = false
	file := t.TempDir() + "/bearer"
	cfg.JWKS.Headers, cfg.JWKS.BearerTokenFile = []config.SecretHeader{{Name: "X-Api-Key", Value: config.NewSecret("marker-key")}}, file
	e := newEnv()
	source := e.mustOpen(t, cfg)
	fails := func(want string) {
		t.Helper()
		e.advance(time.Second)
		_, err := source.Find(t.Context(), "k", "ES256")
		if !errors.As(err, new(*keyset.UnavailableError)) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "marker") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	p.does(wants("marker-key", "marker-1", testkeys.Set(key)))
	fails("$.options.modes.jwks.bearerTokenFile: " + file)
	write(t, file, []byte("marker-0\n"))
	fails("answered 401 Unauthorized")
	write(t, file, []byte("marker-1\n"))
	e.advance(time.Second)
	finds(t, source, "k", "ES256", key.Public())
	p.does(wants("marker-key", "marker-2", testkeys.Set(key)))
	write(t, file, []byte("marker-2\n"))
	finds(t, source, "k", "ES256", key.Public())
}

// TestWhoGetsTheCredentialsInModeOIDC: a set that the document names only at the issuer's origin, one of jwksUri at its own.
func TestWhoGetsTheCredentialsInModeOIDC(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, c := range []struct {
		rule string
		oidc func(uri string) config.OIDC // uri is that of the set
		sent bool
	}{
		{"at the issuer's origin", func(uri string) config.OIDC { return config.OIDC{Issuer: strings.TrimSuffix(uri, "/keys") + "/realm"} }, true},
		{"at another origin", func(string) config.OIDC { return config.OIDC{Issuer: "https://idp.test"} }, false},
		{"at jwksUri", func(uri string) config.OIDC { return config.OIDC{Issuer: "https://idp.test", JWKSURI: uri} }, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p, cfg := newProvider(t, nil)
			sent := ""
			p.does(func(w http.ResponseWriter, r *http.Request) {
				sent = r.Header.Get("X-Api-Key")
				_, _ = w.Write(testkeys.Set(key))
			})
			uri := cfg.JWKS.URI
			cfg.Mode, cfg.OIDC, cfg.JWKS.URI = config.ModeOIDC, c.oidc(uri), ""
			cfg.JWKS.Headers = []config.SecretHeader{{Name: "X-Api-Key", Value: config.NewSecret("marker")}}
			e := newEnv()
			e.locate = func(context.Context) (string, error) { return uri, nil }
			finds(t, e.mustOpen(t, cfg), "k", "ES256", key.Public())
			if (sent != "") != c.sent {
				t.Errorf("sent %q", sent)
			}
		})
	}
}

// TestJWKSURIGoesInThePlaceOfTheDocument: nobody is asked where the keys are, and the source has the address as its name.
func TestJWKSURIGoesInThePlaceOfTheDocument(t *testing.T) {
	key := testkeys.New("ES256", "k")
	_, cfg := newProvider(t, testkeys.Set(key))
	cfg.Mode, cfg.OIDC, cfg.JWKS.URI = config.ModeOIDC, config.OIDC{Issuer: "https://idp.test", JWKSURI: cfg.JWKS.URI}, ""
	e := newEnv()
	e.locate = func(context.Context) (string, error) {
		t.Error("the document was asked for")
		return "", errors.New("no document")
	}
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", key.Public())
	if source.String() != cfg.OIDC.JWKSURI {
		t.Errorf("it is called %s", source)
	}
}

// TestABundleOfSPIFFE: the keys of JWT-SVIDs verify by their type, those of X.509-SVIDs don't, and nothing is said of either,
// nor of the members that only a bundle has.
func TestABundleOfSPIFFE(t *testing.T) {
	jwt, x509 := testkeys.New("ES256", "jwt"), testkeys.New("ES256", "x509")
	bundle := func(entries ...any) []byte {
		set := testkeys.Set(entries...)
		return append([]byte(`{"spiffe_sequence":12,"spiffe_refresh_hint":300,`), set[1:]...)
	}
	certificates := x509.JWK().With("use", "x509-svid").With("alg", nil).With("kid", nil).With("x5c", []string{"AAAA"})
	p, cfg := newProvider(t, bundle(jwt.JWK().With("use", "jwt-svid").With("alg", nil), certificates))
	cfg.Algorithms = []string{"ES256", "RS256"}
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "jwt", "ES256", jwt.Public())
	finds(t, source, "", "ES256", jwt.Public())
	if found, err := source.Find(t.Context(), "jwt", "RS256"); !errors.Is(err, keyset.ErrUnknownKey) {
		t.Errorf("by another algorithm: %v, %v", found, err)
	}
	e.says(t)
	p.serves(bundle(certificates))
	if _, err := e.mustOpen(t, cfg).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "none of its 1 keys can be used") {
		t.Errorf("without a key for tokens: %v", err)
	}
}
