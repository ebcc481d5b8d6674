package provider_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// TestOneLoginWaitsForAKeySetThatDoesNotCome on a broker that waits with all its clients: the others are put off at once.
func TestOneLoginWaitsForAKeySetThatDoesNotCome(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Stuck, nil)
	cfg := p.Config("ES256")
	cfg.JWKS.MaxBlock = time.Hour
	judge, _ := newProvider(t, cfg)
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if result, _ := judge.Begin(short, login(judge, key.Sign(object{"exp": now + 60}))); result.Kind != verdict.Retry {
		t.Errorf("got %s", result)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			if result, _ := judge.Begin(t.Context(), login(judge, key.Sign(object{"exp": now + 60}))); result.Kind != verdict.Retry {
				t.Errorf("got %s", result)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the next login waits as well")
	}
}

// TestAKeyReplacedUnderItsKid: the token that it does not verify is refused, has the set read again, and then gets in.
func TestAKeyReplacedUnderItsKid(t *testing.T) {
	p, old, fresh := testidp.New(t), testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(old))), nil)
	cfg := p.Config("ES256")
	cfg.Revocation, cfg.JWKS.Cache.TTL = nil, time.Hour
	judge, passed := clocked(t, cfg, false)
	claims := object{"exp": now + 600}
	if result, _ := judge.Begin(t.Context(), login(judge, old.Sign(claims))); result.Kind != verdict.Accept {
		t.Fatalf("got %s", result)
	}
	p.Does(testidp.Answer(200, string(testkeys.Set(fresh))), nil)
	if result, _ := judge.Begin(t.Context(), login(judge, fresh.Sign(claims))); result.Reason != verdict.BadSignature {
		t.Errorf("got %s", result)
	}
	passed.Store(int64(time.Minute))
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		result, _ := judge.Begin(t.Context(), login(judge, fresh.Sign(claims)))
		if result.Kind == verdict.Accept {
			break
		}
		if result.Reason != verdict.BadSignature || time.Now().After(deadline) {
			t.Fatalf("got %s", result)
		}
	}
	if got := p.Requests(); got != "GET /keys, GET /keys" {
		t.Errorf("it made %s", got)
	}
}

// TestAReloadInAnOutageLocksNobodyOut: in mode oidc, where neither the document nor the keys can be read any more; and
// only if both are trusted as before.
func TestAReloadInAnOutageLocksNobodyOut(t *testing.T) {
	for rule, sameTrust := range map[string]bool{"as before": true, "by another certificate": false} {
		t.Run(rule, func(t *testing.T) {
			key, good := testkeys.New("ES256", "k"), true
			mux := http.NewServeMux()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !good {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				mux.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			mux.HandleFunc("/.well-known/openid-configuration", testidp.Answer(200, `{"issuer":"`+server.URL+`","jwks_uri":"`+server.URL+`/keys"}`))
			mux.HandleFunc("/keys", testidp.Answer(200, string(testkeys.Set(key))))
			cfg := testidp.Defaults("ES256")
			cfg.Mode, cfg.OIDC.Issuer = config.ModeOIDC, server.URL
			cfg.JWKS = config.JWKS{Timeout: time.Minute, MaxBlock: time.Minute, Cache: config.JWKSCache{Enabled: true, TTL: time.Minute, MaxStale: time.Hour}}
			token := key.Sign(object{"exp": now + 600})
			before, _ := newProvider(t, cfg)
			if result, _ := before.Begin(t.Context(), login(before, token)); result.Kind != verdict.Accept {
				t.Fatalf("got %s", result)
			}
			good = false
			next := *cfg
			next.TLS.InsecureSkipVerify = !sameTrust
			after, _ := newProvider(t, &next)
			after.Inherit(before)
			if result, _ := after.Begin(t.Context(), login(after, token)); (result.Kind == verdict.Accept) != sameTrust {
				t.Errorf("got %s", result)
			}
		})
	}
}
