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
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/verdict"
)

// While a login is pending the broker may publish its will, and worse: so none is whose token has not been verified.
func TestAStrangerIsNeverPending(t *testing.T) {
	known, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "fresh")
	claims := object{"sub": "alice", "exp": now + 7200}
	cached := config.JWKSCache{Enabled: true, TTL: time.Minute}
	for _, c := range []struct {
		rule     string
		cache    config.JWKSCache
		password string
		later    time.Duration // after the set was read
		want     verdict.Kind
	}{
		{"verified by the set in force", cached, known.Sign(claims), 0, verdict.Pending},
		{"verified by the last set, which has run out", cached, known.Sign(claims), time.Hour, verdict.Pending},
		{"verified by the last set, without a cache", config.JWKSCache{}, known.Sign(claims), 0, verdict.Pending},
		{"an unknown kid", cached, fresh.Sign(claims), 0, verdict.Retry},
		{"an unknown kid, without a cache", config.JWKSCache{}, fresh.Sign(claims), 0, verdict.Retry},
		{"a forged signature, when the set has run out", cached, testkeys.New("ES256", "k").Sign(claims), time.Hour, verdict.Retry},
		{"a forged signature", cached, testkeys.New("ES256", "k").Sign(claims), 0, verdict.Deny},
		{"an expired token, when the set has run out", cached, known.Sign(object{"sub": "alice", "exp": now}), time.Hour, verdict.Retry},
		{"without a good claim", cached, known.Sign(object{"exp": now + 7200}), time.Hour, verdict.Retry},
		{"another algorithm", cached, known.SignWith(object{"alg": "RS256"}, claims), time.Hour, verdict.Deny},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(testidp.Answer(200, string(testkeys.Set(known))), nil)
			cfg := p.Config("ES256")
			cfg.JWKS.Cache, cfg.Common.MatchUsername = c.cache, true
			judge, passed := delaying(t, cfg)
			if _, err := judge.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.Does(testidp.Stuck, testidp.Stuck)
			passed.Store(int64(c.later))
			result, open := judge.Begin(t.Context(), login(judge, c.password))
			if result.Kind != c.want {
				t.Fatalf("got %s: %s", result.Kind, result)
			}
			if result.Kind == verdict.Pending && (result.Identity.Username == nil || *result.Identity.Username != "alice") {
				t.Errorf("the identity is not known: %+v", result.Identity)
			}
			if open != nil {
				open.Drop()
			}
		})
	}
	t.Run("an opaque token", func(t *testing.T) {
		p := testidp.New(t)
		p.Does(nil, testidp.Stuck)
		cfg := p.Config()
		cfg.Mode, cfg.JWKS = config.ModeIntrospection, config.JWKS{}
		judge, _ := delaying(t, cfg)
		if result, _ := judge.Begin(t.Context(), login(judge, "opaque")); result.Kind != verdict.Retry || result.Reason != verdict.ProviderUnavailable {
			t.Errorf("got %s: %s", result.Kind, result)
		}
	})
}

// A pending login is judged by the set that was read for it, not by the one that let it wait.
func TestAPendingLoginIsJudgedByTheFreshSet(t *testing.T) {
	key, other := testkeys.New("ES256", "k"), testkeys.New("ES256", "other")
	for _, c := range []struct {
		rule, want string
		keys       []byte
		introspect string
	}{
		{"the key is still there", "accept", testkeys.Set(key), `{"active":true}`},
		{"the key is gone", `unknown key: kid "k"`, testkeys.Set(other), `{"active":true}`},
		{"another key has its kid", "bad signature", testkeys.Set(testkeys.New("ES256", "k")), `{"active":true}`},
		{"revoked", "revoked: ", testkeys.Set(key), `{"active":false}`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(testidp.Answer(200, string(testkeys.Set(key))), testidp.Answer(200, c.introspect))
			cfg := p.Config("ES256")
			cfg.JWKS.Cache = config.JWKSCache{}
			judge, _ := delaying(t, cfg)
			if _, err := judge.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.Does(testidp.Answer(200, string(c.keys)), nil)
			p.Requests()
			result, open := judge.Begin(t.Context(), login(judge, key.Sign(object{"sub": "alice", "exp": now + 60})))
			if got := p.Requests(); result.Kind != verdict.Pending || got != "" {
				t.Fatalf("Begin: %s, requests %s", result, got)
			}
			result, _ = open.Finish(t.Context())
			if !strings.HasPrefix(result.String(), c.want) {
				t.Errorf("got %s, want %s", result, c.want)
			}
			if got := p.Requests(); !strings.HasPrefix(got, "GET /keys") || strings.Count(got, "/keys") != 1 {
				t.Errorf("requests %s", got)
			}
		})
	}
}

func TestWhatIsGivenUpLeavesItsPlace(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	judge, _ := delaying(t, p.Config("ES256"))
	if _, err := judge.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	good := login(judge, key.Sign(object{"exp": now + 60}))
	for range 3000 {
		result, open := judge.Begin(t.Context(), good)
		if result.Kind != verdict.Pending {
			t.Fatalf("got %s", result)
		}
		open.Drop()
	}
	var last provider.Result
	for n := range 2000 {
		if last, _ = judge.Begin(t.Context(), login(judge, key.Sign(object{"exp": now + 60, "jti": fmt.Sprint(n)}))); last.Kind == verdict.Deny {
			break
		}
	}
	if last.Reason != verdict.ServerBusy {
		t.Errorf("past the queue: got %s", last)
	}
}

// A reload puts another provider into its place; logins that have begun under the old one are finished by it.
func TestARetiredProviderFinishesWhatItHasBegun(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	judge, _ := delaying(t, p.Config("ES256"))
	if _, err := judge.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, open := judge.Begin(t.Context(), login(judge, key.Sign(object{"exp": now + 60})))
	judge.Retire()
	result, _ := open.Finish(t.Context())
	if result.Kind != verdict.Accept {
		t.Errorf("got %s", result)
	}
}

func TestAskingAfterTheClientIsAdmitted(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), testidp.Answer(200, `{"active":false}`))
	cfg := p.Config("ES256")
	cfg.Revocation.Check = config.CheckAfterConnect
	judge, _ := delaying(t, cfg)
	if _, err := judge.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Requests()
	result, open := judge.Begin(t.Context(), login(judge, key.Sign(object{"exp": now + 60})))
	if got := p.Requests(); result.Kind != verdict.Accept || open == nil || got != "" {
		t.Fatalf("got %s, to be confirmed: %t, requests %s", result, open != nil, got)
	}
	result, open = open.Finish(t.Context())
	if result.Reason != verdict.Revoked || open != nil {
		t.Errorf("got %s, to be confirmed: %t", result, open != nil)
	}
}

func TestRecheckAsksWhateverIsRemembered(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	cfg := p.Config("ES256")
	cfg.Revocation.Cache.TTL = time.Hour
	judge, _ := newProvider(t, cfg)
	password := key.Sign(object{"exp": now + 60})
	for range 2 {
		if result := check(t, judge, password); result.Kind != verdict.Accept {
			t.Fatalf("got %s", result)
		}
	}
	p.Requests()
	p.Does(nil, testidp.Answer(200, `{"active":false}`))
	if result, _ := judge.Recheck(t.Context(), password, time.Time{}, rights.Who{}); result.Reason != verdict.Revoked {
		t.Errorf("got %s", result)
	}
	if got := p.Requests(); got != "POST /introspect" {
		t.Errorf("requests %s", got)
	}
	// The older answer, which is kept for an hour, has gone.
	if result := check(t, judge, password); result.Reason != verdict.Revoked {
		t.Errorf("got %s", result)
	}
	p.Does(nil, testidp.Answer(500, ``))
	if result, _ := judge.Recheck(t.Context(), password, time.Time{}, rights.Who{}); result.Reason != verdict.ProviderUnavailable {
		t.Errorf("got %s", result)
	}
	cfg.Revocation = nil
	silent, _ := newProvider(t, cfg)
	if result, _ := silent.Recheck(t.Context(), password, time.Time{}, rights.Who{}); result.Reason != verdict.ProviderUnavailable {
		t.Errorf("without an endpoint: got %s", result)
	}
}
