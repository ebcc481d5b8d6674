package provider_test

import (
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

func TestNewFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	cases := []struct {
		rule   string
		change func(*config.Provider)
		want   string
	}{
		{"caFile is missing", func(c *config.Provider) { c.TLS.CAFile = missing }, "$.options.tls.caFile: open " + missing},
		{"a key that can't be used", func(c *config.Provider) { c.Mode, c.Local = config.ModeLocal, config.NewSecret("x") }, "$.options.modes.local: must be a public key in PEM"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			cfg := testidp.Defaults("ES256")
			c.change(cfg)
			if _, err := provider.New(cfg, provider.Options{Now: time.Now, Report: func(event.Note) {}}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestResult(t *testing.T) {
	key := testkeys.New("EdDSA", "k")
	cfg := testidp.InFile(t, key)
	cfg.Common.MatchUsername = true
	judge, _ := newProvider(t, cfg)
	if judge.Config() != cfg {
		t.Error("Config is another one")
	}

	result := check(t, judge, key.Sign(object{"sub": "alice", "exp": now + 60, "jti": "id-1"}))
	if result.Kind != verdict.Accept || *result.Identity.Username != "alice" || result.Identity.ClientID != nil {
		t.Errorf("got %+v", result)
	}
	if result.Expiry.Unix() != now+60 || result.LogID != `jti "id-1"` {
		t.Errorf("expires %s, called %s", result.Expiry, result.LogID)
	}

	cfg.Common.RequireExpiration = false
	judge, _ = newProvider(t, cfg)
	result = check(t, judge, key.Sign(object{"sub": "alice"}))
	if result.Kind != verdict.Accept || !result.Expiry.IsZero() || !strings.HasPrefix(result.LogID, "sha256:") {
		t.Errorf("got %+v", result)
	}

	// A jti that nobody signed names no token.
	forged := testkeys.New("EdDSA", "k").Sign(object{"sub": "alice", "exp": now + 60, "jti": "id-1"})
	if result = check(t, judge, forged); !strings.HasPrefix(result.LogID, "sha256:") || result.Identity != (identity.Identity{}) || !result.Expiry.IsZero() {
		t.Errorf("got %+v", result)
	}
}

// TestIntrospectsEachLogin: revoked between two connects, and Begin alone asks nobody.
func TestIntrospectsEachLogin(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	judge, _ := newProvider(t, p.Config("ES256"))
	good := key.Sign(object{"exp": now + 60})
	steps := []struct {
		rule, want, requests string
		introspect           http.HandlerFunc
	}{
		{"active", "accept", "GET /keys, POST /introspect", testidp.Answer(200, `{"active":true}`)},
		{"still active", "accept", "POST /introspect", nil},
		{"revoked", "revoked: " + p.URL + `/introspect says that it is not active: "active": false; some providers say so of a token whose aud does not hold "broker" ($.options.revocation.introspection.clientId)`, "POST /introspect", testidp.Answer(200, `{"active":false}`)},
	}
	for _, s := range steps {
		p.Does(nil, s.introspect)
		if result := check(t, judge, good); result.String() != s.want {
			t.Errorf("%s: got %s", s.rule, result)
		}
		if got := p.Requests(); got != s.requests {
			t.Errorf("%s: requests %s", s.rule, got)
		}
	}
	result, open := judge.Begin(t.Context(), login(judge, key.Sign(object{"exp": now + 61})))
	if got := p.Requests(); result.Kind != verdict.Pending || got != "" {
		t.Errorf("Begin: %s, requests %s", result, got)
	}
	result, _ = open.Finish(t.Context())
	if result.Reason != verdict.Revoked {
		t.Errorf("Finish: %s", result)
	}
}

// onUnavailable "allow" admits by signature and claims where the endpoint gives no answer, and in no other case.
func TestOnUnavailable(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, c := range []struct {
		rule, answer string
		status       int
		lifetime     int
		want         string
		unchecked    bool
	}{
		{"no answer", "", 500, 60, "accept", true},
		{"nonsense", "<html>", 200, 60, "accept", true},
		{"an answer", `{"active":false}`, 200, 60, "revoked", false},
		{"a good answer", `{"active":true}`, 200, 60, "accept", false},
		{"an expired token", "", 500, -60, "expired", false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(testidp.Answer(http.StatusOK, string(testkeys.Set(key))), testidp.Answer(c.status, c.answer))
			cfg := p.Config("ES256")
			cfg.Revocation.OnUnavailable = config.UnavailableAllow
			judge, _ := newProvider(t, cfg)
			result := check(t, judge, key.Sign(object{"sub": "alice", "exp": now + c.lifetime}))
			if got := result.String(); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if result.Unchecked != c.unchecked || strings.HasPrefix(result.Note, "provider unavailable: POST") != c.unchecked {
				t.Errorf("unchecked %t, note %q", result.Unchecked, result.Note)
			}
		})
	}
	t.Run("never in mode introspection", func(t *testing.T) {
		p := testidp.New(t)
		p.Does(nil, testidp.Answer(http.StatusInternalServerError, ""))
		cfg := p.Opaque()
		cfg.Revocation.OnUnavailable = config.UnavailableAllow // the configuration refuses it, too
		judge, _ := newProvider(t, cfg)
		if result := check(t, judge, "opaque"); result.Kind != verdict.Deny {
			t.Errorf("got %s", result)
		}
	})
}

// TestSlowKeysBlockNobodyLongerThanMaxBlock: the login is put off, and its next attempt finds the key.
func TestSlowKeysBlockNobodyLongerThanMaxBlock(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	open := make(chan struct{})
	p.Does(func(w http.ResponseWriter, r *http.Request) {
		<-open
		testidp.Answer(200, string(testkeys.Set(key)))(w, r)
	}, nil)
	for _, block := range []time.Duration{0, 20 * time.Millisecond} {
		cfg := p.Config("ES256")
		cfg.JWKS.MaxBlock = block
		judge, _ := newProvider(t, cfg)
		good := key.Sign(object{"exp": now + 60})
		want := "keys unavailable: " + p.URL + "/keys: the key set is being fetched"
		if result := check(t, judge, good); result.Kind != verdict.Retry || result.String() != want {
			t.Errorf("got %s %s", result.Kind, result)
		}
	}
	close(open)
	cfg := p.Config("ES256")
	judge, _ := newProvider(t, cfg)
	if result := check(t, judge, key.Sign(object{"exp": now + 60})); result.Kind != verdict.Accept {
		t.Errorf("got %s", result)
	}
}

// In mode introspection the answer's claims are judged as a token's would be.
func TestModeIntrospection(t *testing.T) {
	cases := []struct {
		rule, answer string
		adjust       func(*config.Common)
		want         string
	}{
		{rule: "active", answer: `{"active":true,"sub":"alice","exp":1795446060}`, want: "accept"},
		{rule: "inactive", answer: `{"active":false}`, want: "revoked"},
		{rule: "active and expired", answer: `{"active":true,"sub":"alice","exp":1795446000}`, want: "expired"},
		{rule: "active, exp is text", answer: `{"active":true,"sub":"alice","exp":"1795446060"}`, want: "malformed token"},
		{rule: "without exp", answer: `{"active":true,"sub":"alice"}`, adjust: func(c *config.Common) { c.RequireExpiration = true }, want: "no expiration"},
		{rule: "null members are none", answer: `{"active":true,"sub":"alice","exp":1795446060,"nbf":null,"iat":null}`, want: "accept"},
		{rule: "exp is null", answer: `{"active":true,"sub":"alice","exp":null}`, adjust: func(c *config.Common) { c.RequireExpiration = true }, want: "no expiration"},
		{rule: "without sub", answer: `{"active":true,"exp":1795446060}`, want: "no identity"},
		{rule: "another issuer", answer: `{"active":true,"sub":"alice","iss":"x"}`, adjust: func(c *config.Common) { c.Issuers = []config.Issuer{config.ExactIssuer("y")} }, want: "wrong issuer"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(nil, testidp.Answer(http.StatusOK, c.answer))
			cfg := p.Opaque()
			if c.adjust != nil {
				c.adjust(&cfg.Common)
			}
			judge, _ := newProvider(t, cfg)
			result := check(t, judge, "opaque")
			if got := result.String(); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if result.Kind == verdict.Accept && (result.Identity.Username == nil || *result.Identity.Username != "alice" || result.Expiry.IsZero()) {
				t.Errorf("identity %+v, expiry %s", result.Identity, result.Expiry)
			}
		})
	}
	if _, err := provider.New(&config.Provider{Mode: config.ModeIntrospection}, provider.Options{Now: time.Now}); err == nil {
		t.Error("a provider without an endpoint to ask was built: it would let everybody in")
	}
}

// TestLocalNeedsNoTime: mode local has no maxBlockMs, nor anything to wait for.
func TestLocalNeedsNoTime(t *testing.T) {
	key := testkeys.New("RS256", "")
	cfg := testidp.Defaults("RS256")
	cfg.Mode, cfg.Local = config.ModeLocal, config.NewSecret(key.PEM())
	judge, _ := newProvider(t, cfg)
	if result := check(t, judge, key.SignWith(object{"kid": "any"}, object{"exp": now + 60})); result.Kind != verdict.Accept {
		t.Errorf("got %s", result)
	}
}

// TestConcurrentLogins during a rotation: no good token is refused, and no forged one is let in.
func TestConcurrentLogins(t *testing.T) {
	p := testidp.New(t)
	keys := []testkeys.Key{testkeys.New("ES256", "1"), testkeys.New("ES256", "2"), testkeys.New("ES256", "3")}
	p.Does(testidp.Answer(200, string(testkeys.Set(keys[0]))), nil)
	judge, _ := newProvider(t, p.Config("ES256"))
	forged := testkeys.New("ES256", "1").Sign(object{"exp": now + 60})
	// Whoever is put off while another login waits for the set comes again.
	verdictOn := func(password string) (result provider.Result) {
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			if result = check(t, judge, password); result.Kind != verdict.Retry || time.Now().After(deadline) {
				return result
			}
		}
	}
	for i, key := range keys {
		if i > 0 {
			p.Does(testidp.Answer(200, string(testkeys.Set(key, keys[i-1]))), nil) // the old one stays for a while
		}
		var done sync.WaitGroup
		for range 20 {
			done.Go(func() {
				for _, k := range keys[max(i-1, 0) : i+1] {
					if result := verdictOn(k.Sign(object{"exp": now + 60})); result.Kind != verdict.Accept {
						t.Errorf("kid %s: %s", k.ID, result)
					}
				}
				if result := verdictOn(forged); result.Kind != verdict.Deny {
					t.Errorf("forged: %s", result)
				}
			})
		}
		done.Wait()
	}
}
