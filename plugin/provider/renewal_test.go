package provider_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// shown is a token by itself, of client "c" by this username.
func shown(judge *provider.Provider, username *string, bearer string) provider.Login {
	l := provider.Login{Connect: broker.Connect{ClientID: "c", Username: username}, Token: token.NewText(bearer)}
	if !judge.Opaque() {
		_, l.Header = token.Classify(bearer)
	}
	return l
}

// What is known decides; what is not puts off a login by AUTH, unless it may be confirmed afterwards, and has a renewal wait. Neither
// waits inside of Begin, on no broker.
func TestWhatCantWaitAndWhatMay(t *testing.T) {
	key, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "fresh")
	claims := object{"sub": "alice", "exp": now + 7200}
	for _, c := range []struct {
		rule            string
		change          func(*config.Provider)
		bearer          string
		later           time.Duration
		atOnce, renewal string // "kind", and "open" if it is
	}{
		{"an answer that is not known", nil, key.Sign(claims), 0, "retry", "pending open"},
		{"onRetry", func(c *config.Provider) { c.Revocation.Check = config.CheckOnRetry }, key.Sign(claims), 0, "retry", "pending open"},
		{"afterConnect", func(c *config.Provider) { c.Revocation.Check = config.CheckAfterConnect }, key.Sign(claims), 0, "accept open", "pending open"},
		{"nobody is asked", func(c *config.Provider) { c.Revocation = nil }, key.Sign(claims), 0, "accept", "accept"},
		{"an unknown kid", nil, fresh.Sign(claims), 0, "retry", "pending open"},
		{"an unknown kid, afterConnect", func(c *config.Provider) { c.Revocation.Check = config.CheckAfterConnect }, fresh.Sign(claims), 0, "retry", "pending open"},
		{"a set that has run out", nil, key.Sign(claims), time.Hour, "retry", "pending open"},
		{"a set that is read for each login", func(c *config.Provider) { c.JWKS.Cache = config.JWKSCache{} }, key.Sign(claims), 0, "retry", "pending open"},
		{"a forged signature", nil, testkeys.New("ES256", "k").Sign(claims), 0, "deny", "deny"},
		{"an expired token", nil, key.Sign(object{"sub": "alice", "exp": now}), 0, "deny", "deny"},
		{"an opaque token", func(c *config.Provider) { c.Mode, c.JWKS = config.ModeIntrospection, config.JWKS{} }, "opaque", 0, "retry", "pending open"},
	} {
		for _, delays := range []bool{false, true} {
			for name, begin := range map[string]func(*provider.Provider, provider.Login) (provider.Result, *provider.Open){
				c.atOnce: (*provider.Provider).BeginAtOnce, c.renewal: (*provider.Provider).BeginRenewal,
			} {
				t.Run(fmt.Sprintf("%s, delays=%t: %s", c.rule, delays, name), func(t *testing.T) {
					p := testidp.New(t)
					p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
					cfg := p.Config("ES256")
					cfg.JWKS.Cache, cfg.JWKS.MaxBlock = config.JWKSCache{Enabled: true, TTL: time.Minute}, time.Hour
					if c.change != nil {
						c.change(cfg)
					}
					judge, passed := clocked(t, cfg, delays)
					if _, err := judge.Probe(t.Context()); err != nil {
						t.Fatal(err)
					}
					p.Does(testidp.Stuck, testidp.Stuck)
					passed.Store(int64(c.later))
					username := "alice"
					result, open := begin(judge, shown(judge, &username, c.bearer))
					got := result.Kind.String()
					if open != nil {
						got += " open"
						open.Drop()
					}
					if got != name {
						t.Errorf("got %s: %s", got, result)
					}
				})
			}
		}
	}
}

// A renewal is ended in the background: keys are read, whatever maxBlockMs says of logins, and the endpoint is asked.
func TestARenewalWaitsInTheBackground(t *testing.T) {
	old, key := testkeys.New("ES256", "old"), testkeys.New("ES256", "k")
	for _, delays := range []bool{false, true} {
		for answer, want := range map[string]string{`{"active":true}`: "accept", `{"active":false}`: "revoked: "} {
			p := testidp.New(t)
			p.Does(testidp.Answer(200, string(testkeys.Set(old))), testidp.Answer(200, answer))
			cfg := p.Config("ES256")
			cfg.JWKS.Cache, cfg.JWKS.MaxBlock = config.JWKSCache{Enabled: true, TTL: time.Hour}, 0
			cfg.Revocation.Check = config.CheckOnRetry
			judge, _ := clocked(t, cfg, delays)
			if _, err := judge.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
			p.Requests()
			_, open := judge.BeginRenewal(shown(judge, nil, key.Sign(object{"sub": "alice", "exp": now + 60})))
			result, again := open.Finish(t.Context())
			if !strings.HasPrefix(result.String(), want) || again != nil {
				t.Errorf("delays=%t: %s, open %t", delays, result, again != nil)
			}
			if got := p.Requests(); !strings.HasPrefix(got, "GET /keys") || !strings.HasSuffix(got, "POST /introspect") {
				t.Errorf("delays=%t: requests %s", delays, got)
			}
		}
	}
}

// A login by AUTH takes the one wait for a fetch from nobody on a broker that waits.
func TestALoginAtOnceTakesNobodysTurn(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p := testidp.New(t)
	began, release := make(chan struct{}), make(chan struct{})
	p.Does(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		testidp.Answer(200, string(testkeys.Set(key)))(w, r)
	}, nil)
	cfg := p.Config("ES256")
	cfg.JWKS.Cache, cfg.JWKS.MaxBlock, cfg.Revocation = config.JWKSCache{Enabled: true, TTL: time.Hour}, time.Minute, nil
	judge, _ := clocked(t, cfg, false)
	bearer := key.Sign(object{"sub": "alice", "exp": now + 60})
	if result, _ := judge.BeginAtOnce(shown(judge, nil, bearer)); result.Kind != verdict.Retry {
		t.Fatalf("got %s", result)
	}
	<-began
	time.AfterFunc(10*time.Millisecond, func() { close(release) })
	if result, _ := judge.Begin(t.Context(), login(judge, bearer)); result.Kind != verdict.Accept {
		t.Errorf("by password: %s", result)
	}
}

// The answer that an attempt by AUTH has left counts for whatever shows the token within retryWindowMs, and nobody is asked twice.
func TestAnAnswerForALoginAtOnceServesEveryLogin(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, delays := range []bool{false, true} {
		p := testidp.New(t)
		p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
		cfg := p.Config("ES256")
		cfg.JWKS.Cache = config.JWKSCache{Enabled: true, TTL: time.Hour}
		judge, passed := clocked(t, cfg, delays)
		if _, err := judge.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		bearer := key.Sign(object{"sub": "alice", "exp": now + 60})
		tries := 0
		for result, _ := judge.BeginAtOnce(shown(judge, nil, bearer)); result.Kind == verdict.Retry; tries++ {
			runtime.Gosched() // the answer comes in the background
			result, _ = judge.BeginAtOnce(shown(judge, nil, bearer))
		}
		if tries == 0 {
			t.Fatalf("delays=%t: it was not put off", delays)
		}
		p.Requests()
		byPassword, _ := judge.Begin(t.Context(), login(judge, bearer))
		renewed, _ := judge.BeginRenewal(shown(judge, nil, bearer))
		if asked := p.Requests(); byPassword.Kind != verdict.Accept || renewed.Kind != verdict.Accept || asked != "" {
			t.Errorf("delays=%t: by password %s, renewed %s; asked %q", delays, byPassword, renewed, asked)
		}
		passed.Store(int64(cfg.Revocation.RetryWindow))
		if result, open := judge.BeginRenewal(shown(judge, nil, bearer)); result.Kind != verdict.Pending {
			t.Errorf("delays=%t: past the window: %s", delays, result)
		} else {
			open.Drop()
		}
	}
}

// A connected client keeps its names, whatever a file says of those of a login.
func TestARenewalChangesNoName(t *testing.T) {
	key := testkeys.New("ES256", "k")
	alice, bob := "alice", "bob"
	for _, c := range []struct {
		rule   string
		change func(*config.Common)
		has    *string
		want   string
	}{
		{"the same username", func(c *config.Common) { c.MatchUsername = true }, &alice, "accept"},
		{"another", func(c *config.Common) { c.MatchUsername = true }, &bob, `identity mismatch: the username must be "alice", found "bob" (a connected client keeps its name)`},
		{"none", func(c *config.Common) { c.MatchUsername = true }, nil, `identity mismatch: the username must be "alice", found none (a connected client keeps its name)`},
		{"another client id", func(c *config.Common) { c.MatchClientID = true }, &alice, `identity mismatch: the client id must be "alice", found "c" (a connected client keeps its name)`},
		{"nothing is mapped", nil, &bob, "accept"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			cfg := testidp.InFile(t, key)
			if c.change != nil {
				c.change(&cfg.Common)
			}
			for _, delays := range []bool{false, true} {
				judge, _ := clocked(t, cfg, delays)
				result, _ := judge.BeginRenewal(shown(judge, c.has, key.Sign(object{"sub": "alice", "exp": now + 60})))
				if result.String() != c.want || result.Identity.Username != nil || result.Identity.ClientID != nil {
					t.Errorf("got %s, identity %+v", result, result.Identity)
				}
			}
		})
	}
}
