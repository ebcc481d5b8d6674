package chain_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// TestOneLoginWaitsForAKeySetThatDoesNotCome on a broker that waits with all its clients: the others are put off at once.
func TestOneLoginWaitsForAKeySetThatDoesNotCome(t *testing.T) {
	p, key := newProvider(t), testkeys.New("ES256", "k")
	p.does(stuck, nil)
	cfg := atProvider(p, "ES256")
	cfg.JWKS.MaxBlock = time.Hour
	judge, _ := newChain(t, cfg)
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if result := judge.Begin(short, login(key.Sign(object{"exp": now + 60}))); result.Kind != verdict.Retry {
		t.Errorf("got %s", result)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			if result := judge.Begin(t.Context(), login(key.Sign(object{"exp": now + 60}))); result.Kind != verdict.Retry {
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
	p, old, fresh := newProvider(t), testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p.does(answer(200, string(testkeys.Set(old))), nil)
	cfg := atProvider(p, "ES256")
	cfg.Revocation, cfg.JWKS.Cache.TTL = nil, time.Hour
	var clock atomic.Int64
	clock.Store(now)
	judge, err := chain.New(cfg, chain.Options{Now: func() time.Time { return time.Unix(clock.Load(), 0) }, Report: func(bool, string) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(judge.Close)
	claims := object{"exp": now + 600}
	if result := judge.Begin(t.Context(), login(old.Sign(claims))); result.Kind != verdict.Accept {
		t.Fatalf("got %s", result)
	}
	p.does(answer(200, string(testkeys.Set(fresh))), nil)
	if result := judge.Begin(t.Context(), login(fresh.Sign(claims))); result.Reason != verdict.BadSignature {
		t.Errorf("got %s", result)
	}
	clock.Add(60)
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		result := judge.Begin(t.Context(), login(fresh.Sign(claims)))
		if result.Kind == verdict.Accept {
			break
		}
		if result.Reason != verdict.BadSignature || time.Now().After(deadline) {
			t.Fatalf("got %s", result)
		}
	}
	if got := p.requests(); got != "GET /keys, GET /keys" {
		t.Errorf("it made %s", got)
	}
}
