package provider_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// A token that was found inactive is not let in again on its signature, however soon or late its client comes back: refused
// at once for half a minute, and then asked about before it is admitted.
func TestATokenFoundInactiveIsAskedAboutBeforeItIsAdmitted(t *testing.T) {
	key := testkeys.New("ES256", "k")
	password := key.Sign(object{"exp": now + 7200})
	for _, delays := range []bool{true, false} {
		for _, on := range []config.Unavailable{config.UnavailableDeny, config.UnavailableAllow} {
			t.Run(fmt.Sprintf("lets logins wait: %t, onUnavailable %s", delays, on), func(t *testing.T) {
				p := testidp.New(t)
				p.Does(testidp.Answer(200, string(testkeys.Set(key))), testidp.Answer(200, `{"active":false}`))
				cfg := p.Config("ES256")
				cfg.Revocation.Check, cfg.Revocation.OnUnavailable, cfg.JWKS.Cache.TTL = config.CheckAfterConnect, on, 24*time.Hour
				judge, passed := clocked(t, cfg, delays)
				if _, err := judge.Probe(t.Context()); err != nil {
					t.Fatal(err)
				}
				// attempt is one login with what the broker does about it; asked is where it was put off.
				attempt := func() (result provider.Result, asked bool) {
					result, open := judge.Begin(t.Context(), login(judge, password))
					asked = result.Kind == verdict.Pending
					if open != nil {
						result, _ = open.Finish(t.Context())
						return result, asked
					}
					for result.Kind == verdict.Retry {
						asked = true
						result, _ = judge.Begin(t.Context(), login(judge, password))
					}
					return result, asked
				}
				expect := func(when string, wantAsked bool, want string) {
					t.Helper()
					if result, asked := attempt(); asked != wantAsked || !strings.HasPrefix(result.String(), want) {
						t.Errorf("%s: asked first: %t, %s; want %t, %s", when, asked, result, wantAsked, want)
					}
				}
				p.Requests()
				expect("the first login", false, "revoked")
				passed.Store(int64(30*time.Second - 1))
				for range 3 {
					expect("at once", false, "revoked")
				}
				if got := p.Requests(); got != "POST /introspect" {
					t.Errorf("requests %s", got)
				}
				passed.Store(int64(30 * time.Second))
				expect("later", true, "revoked")

				passed.Store(int64(time.Minute))
				p.Does(nil, testidp.Answer(500, ""))
				expect("while there is no answer", true, "provider unavailable")

				passed.Store(int64(2 * time.Minute))
				p.Does(nil, testidp.Answer(200, `{"active":true}`))
				expect("active again", true, "accept")
				passed.Store(int64(3 * time.Minute)) // past retryWindowMs
				expect("after that", false, "accept")
				p.Does(nil, testidp.Answer(500, ""))
				passed.Store(int64(4 * time.Minute))
				expect("no answer about a token that was active", false, map[config.Unavailable]string{
					config.UnavailableDeny: "provider unavailable", config.UnavailableAllow: "accept",
				}[on])
			})
		}
	}
}

// Where the broker waits with everybody, a login is never the request that tries whether the endpoint is back.
func TestNobodyWaitsWhileTheEndpointIsTriedAgain(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, mode := range []config.Mode{config.ModeJWKS, config.ModeIntrospection} {
		t.Run(string(mode), func(t *testing.T) {
			p := testidp.New(t)
			p.Does(testidp.Answer(200, string(testkeys.Set(key))), testidp.Answer(500, ""))
			cfg := p.Config("ES256")
			if cfg.Mode = mode; mode == config.ModeIntrospection {
				cfg = p.Opaque()
			}
			judge, _ := clocked(t, cfg, false)
			check := func(n int) provider.Result {
				return check(t, judge, key.Sign(object{"exp": now + 60, "jti": fmt.Sprint(n)}))
			}
			for n := range 5 {
				if result := check(n); result.Reason != verdict.ProviderUnavailable {
					t.Fatalf("got %s", result)
				}
			}
			p.Requests()
			p.Does(nil, testidp.Stuck)
			// The endpoint is left alone, and then tried in the background: no login waits, before, when or after that is so.
			asked := ""
			for deadline := time.Now().Add(time.Minute); asked == "" && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				if result := check(5); !strings.HasPrefix(result.String(), "provider unavailable: it was not asked") {
					t.Fatalf("got %s", result)
				}
				asked = p.Requests()
			}
			for n := range 3 {
				if result := check(6 + n); !strings.HasPrefix(result.String(), "provider unavailable: it was not asked") {
					t.Errorf("while it is tried: %s", result)
				}
			}
			if more := p.Requests(); asked != "POST /introspect" || more != "" {
				t.Errorf("requests %q, then %q", asked, more)
			}
		})
	}
}
