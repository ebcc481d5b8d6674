package keyset_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
)

// TestAFetchThatHangsIsWaitedForOnce where logins hold each other up: whoever comes later is put off at once.
func TestAFetchThatHangsIsWaitedForOnce(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, c := range []struct {
		rule  string
		read  bool // the set was read before
		after time.Duration
		kid   string
		set   func(*config.Provider)
	}{
		{"an unknown kid", true, 0, "unknown", nil},
		{"no set yet", false, 0, "k", nil},
		{"a set that has run out", true, time.Minute, "k", nil},
		{"the cache is off", true, 0, "k", func(c *config.Provider) { c.JWKS.Cache.Enabled = false }},
		{"the discovery document hangs", false, 0, "k", func(c *config.Provider) { c.JWKS.URI = "" }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p, cfg := newProvider(t, testkeys.Set(key))
			cfg.JWKS.MaxBlock = time.Minute
			if c.set != nil {
				c.set(cfg)
			}
			e := newEnv()
			e.blocks = true
			e.locate = func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}
			source := e.mustOpen(t, cfg)
			if c.read {
				finds(t, source, "k", "ES256", key.Public())
			}
			p.shut()
			e.advance(c.after)
			for n := range 100 {
				short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				ctx := &watched{Context: short}
				_, err := source.Find(ctx, fmt.Sprint(c.kid, n), "ES256")
				cancel()
				if !errors.Is(err, keyset.ErrPending) {
					t.Fatalf("login %d: %v", n, err)
				}
				if waited := ctx.waited.Load(); waited != (n == 0) {
					t.Fatalf("login %d has waited: %t", n, waited)
				}
			}
		})
	}
}

// TestWaitsTakeABoundedShareOfTheTime, however fast logins come and whatever they ask for: here each of them has the set
// read, and waits 10 s for that if it may. Whoever is put off comes again, and is served in the end.
func TestWaitsTakeABoundedShareOfTheTime(t *testing.T) {
	key := testkeys.New("ES256", "k")
	_, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.MaxBlock, cfg.JWKS.Cache.Enabled = time.Minute, false
	e := newEnv()
	e.blocks = true
	source := e.mustOpen(t, cfg)
	const wait = 10 * time.Second
	began := e.now()
	var held time.Duration
	for range 500 {
		e.advance(50 * time.Millisecond)
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			ctx := &watched{Context: t.Context(), begins: func() { e.advance(wait) }}
			found, err := source.Find(ctx, "k", "ES256")
			if ctx.waited.Load() {
				held += wait
			}
			if err == nil && len(found) == 1 {
				break
			}
			if !errors.Is(err, keyset.ErrPending) || time.Now().After(deadline) {
				t.Fatalf("got %d keys, %v", len(found), err)
			}
		}
	}
	if took := e.now().Sub(began); held > took/5+2*cfg.JWKS.MaxBlock+wait {
		t.Errorf("logins were held for %s of %s", held, took)
	}
}

// TestNobodyWaitsWhereLoginsMayNot: a wait that is over at once is none, and costs nobody its turn.
func TestNobodyWaitsWhereLoginsMayNot(t *testing.T) {
	p, cfg := newProvider(t, nil)
	cfg.JWKS.MaxBlock = 0
	e := newEnv()
	e.blocks = true
	source := e.mustOpen(t, cfg)
	p.shut()
	ctx := &watched{Context: t.Context()}
	if _, err := source.Find(ctx, "k", "ES256"); !errors.Is(err, keyset.ErrPending) || ctx.waited.Load() {
		t.Errorf("got %v, waited: %t", err, ctx.waited.Load())
	}
}

// TestAKeyReplacedUnderItsKidIsFoundInTheBackground: a signature that it does not verify has the set read again, without
// anybody waiting, and every 5 s at the most.
func TestAKeyReplacedUnderItsKidIsFoundInTheBackground(t *testing.T) {
	old, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(old))
	cfg.JWKS.Cache.TTL, cfg.JWKS.MaxBlock = time.Hour, time.Minute
	e := newEnv()
	e.blocks = true
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", old.Public())
	p.serves(testkeys.Set(fresh))
	doubt := func(times int) {
		for range times {
			keyset.Doubt(source)
		}
	}
	e.advance(5*time.Second - 1)
	doubt(100) // it has only just been read
	e.advance(1)
	keyset.Doubt(keyset.LastGood(source)) // which never asks
	p.asked(t, 1)
	p.shut()
	doubt(100)
	finds(t, source, "k", "ES256", old.Public()) // nobody waits
	p.open()
	<-e.arrived // "have changed"
	finds(t, source, "k", "ES256", fresh.Public())
	doubt(100)
	p.asked(t, 2)
	e.advance(5 * time.Second)
	p.serves(testkeys.Set(old))
	doubt(100)
	<-e.arrived
	finds(t, source, "k", "ES256", old.Public())
	p.asked(t, 3)
	keyset.Doubt(e.mustOpen(t, fileWith(t, testkeys.Set(old), "ES256"))) // a file is looked at anyway
}

// TestNothingIsReportedUnderALock that a login needs: while a line is written, logins go on.
func TestNothingIsReportedUnderALock(t *testing.T) {
	key := testkeys.New("ES256", "k")
	set := testkeys.Set(key, key.JWK().With("use", "wrap"), 7)
	p, cfg := newProvider(t, set)
	cfg.JWKS.Cache.MaxStale = time.Hour
	for rule, cfg := range map[string]*config.Provider{"remote": cfg, "file": fileWith(t, set, "ES256")} {
		t.Run(rule, func(t *testing.T) {
			e := newEnv()
			source := e.mustOpen(t, cfg)
			e.told = func() {
				if found, err := source.Find(t.Context(), "k", "ES256"); len(found) != 1 {
					t.Errorf("while a line is written: %v", err)
				}
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				finds(t, source, "k", "ES256", key.Public())
				if rule == "remote" {
					e.advance(cfg.JWKS.Cache.TTL)
					p.does(http.NotFound)
					finds(t, source, "k", "ES256", key.Public()) // says that the set serves on
				}
			}()
			select {
			case <-done:
			case <-time.After(30 * time.Second):
				t.Fatal("a login waits for the log")
			}
		})
	}
}
