package keyset_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
)

// TestAReloadInAnOutageKeepsTheKeys: of the same place, as far as the new configuration admits them, and only where the
// last good set may serve at all.
func TestAReloadInAnOutageKeepsTheKeys(t *testing.T) {
	ec, weak := testkeys.New("ES256", "ec"), testkeys.Key{ID: "rsa", Alg: "RS256", Private: testkeys.RSA(1024)}
	for _, c := range []struct {
		rule     string
		old, new func(*config.Provider)
		ec, rsa  bool // which keys serve after the reload
	}{
		{"unchanged", nil, nil, true, true},
		{"other timeouts and times of the cache", nil, func(c *config.Provider) {
			c.JWKS.Timeout, c.JWKS.MaxBlock, c.JWKS.Cache.TTL = time.Second, time.Second, time.Hour
		}, true, true},
		{"weak keys are no more allowed", nil, func(c *config.Provider) { c.Common.AllowWeakKeys = false }, true, false},
		{"an algorithm less", nil, func(c *config.Provider) { c.Algorithms = []string{"RS256"} }, false, true},
		{"an algorithm more", func(c *config.Provider) { c.Algorithms = []string{"RS256"} }, nil, true, true},
		{"no key fits", nil, func(c *config.Provider) { c.Algorithms = []string{"EdDSA"} }, false, false},
		{"another address", nil, func(c *config.Provider) { c.JWKS.URI += "/other" }, false, false},
		{"another trust", nil, func(c *config.Provider) { c.TLS.CAFile = "/ca.pem" }, false, false},
		{"another issuer", nil, func(c *config.Provider) { c.OIDC.Issuer = "https://idp.test" }, false, false},
		{"another jwksUri", func(c *config.Provider) { c.OIDC.JWKSURI = "" }, func(c *config.Provider) { c.OIDC.JWKSURI = c.JWKS.URI }, false, false},
		{"another header", nil, func(c *config.Provider) {
			c.JWKS.Headers = []config.SecretHeader{{Name: "X", Value: config.NewSecret("1")}}
		}, false, false},
		{"another bearer token file", nil, func(c *config.Provider) { c.JWKS.BearerTokenFile = "/token" }, false, false},
		{"another place in the file", nil, func(c *config.Provider) { c.Path = config.At("$.providers[2]") }, true, true},
		{"the cache is off", nil, func(c *config.Provider) { c.JWKS.Cache.Enabled = false }, false, false},
		{"the cache was off", func(c *config.Provider) { c.JWKS.Cache.Enabled = false }, nil, false, false},
		{"no set serves after its time", nil, func(c *config.Provider) { c.JWKS.Cache.MaxStale = 0 }, false, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p, cfg := newProvider(t, testkeys.Set(ec, weak))
			cfg.Algorithms, cfg.Common.AllowWeakKeys, cfg.JWKS.Cache.MaxStale = []string{"ES256", "RS256"}, true, time.Hour
			e := newEnv()
			source := func(change func(*config.Provider)) keyset.Source {
				own := *cfg
				if change != nil {
					change(&own)
				}
				return e.mustOpen(t, &own)
			}
			old := source(c.old)
			if _, err := old.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.does(http.NotFound)
			fresh := source(c.new)
			keyset.Inherit(fresh, old)
			for alg, want := range map[string]bool{"ES256": c.ec, "RS256": c.rsa} {
				for range 2 { // the first may ask, the second is answered by what that has brought
					if found, err := fresh.Find(t.Context(), "", alg); (len(found) == 1) != want {
						t.Errorf("%s: %d keys, %v; want one: %t", alg, len(found), err, want)
					}
				}
			}
		})
	}
}

// TestInheritedKeysAreReadAgainAllTheSame: at once, and what comes in replaces them. Nobody is served by them before.
func TestInheritedKeysAreReadAgainAllTheSame(t *testing.T) {
	withdrawn, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	broken := fresh.JWK().With("use", "wrap")
	p, cfg := newProvider(t, testkeys.Set(withdrawn, broken))
	cfg.JWKS.Cache.MaxStale = time.Hour
	e := newEnv()
	old := e.mustOpen(t, cfg)
	finds(t, old, "old", "ES256", withdrawn.Public())
	e.says(t, "is not used")

	same := e.mustOpen(t, cfg)
	keyset.Inherit(same, old)
	e.says(t)
	if at := keyset.RefreshAt(same); at.IsZero() || at.After(e.now()) {
		t.Errorf("to be read again at %s, now is %s", at, e.now())
	}
	if keyset.Settled(same, "old", "ES256") {
		t.Error("it is settled before the set has been read again")
	}
	finds(t, keyset.LastGood(same), "old", "ES256", withdrawn.Public())
	finds(t, same, "old", "ES256", withdrawn.Public())
	p.asked(t, 2)
	e.says(t, "is not used") // under this configuration, and nothing has changed
	finds(t, same, "old", "ES256", withdrawn.Public())
	p.asked(t, 2)

	p.serves(testkeys.Set(fresh))
	next := e.mustOpen(t, cfg)
	keyset.Inherit(next, same)
	if found, err := next.Find(t.Context(), "old", "ES256"); !errors.Is(err, keyset.ErrUnknownKey) {
		t.Errorf("the withdrawn key: %v, %v", found, err)
	}
	finds(t, next, "new", "ES256", fresh.Public())
	e.says(t, "have changed")
}

// TestNothingUsableReplacesNoInheritedSet, and it is said why.
func TestNothingUsableReplacesNoInheritedSet(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.MaxStale = time.Hour
	e := newEnv()
	old := e.mustOpen(t, cfg)
	finds(t, old, "k", "ES256", key.Public())
	p.serves(testkeys.Set(testkeys.New("RS256", "k").JWK().With("e", base64URL([]byte{1}))))
	fresh := e.mustOpen(t, cfg)
	keyset.Inherit(fresh, old)
	finds(t, fresh, "k", "ES256", key.Public())
	e.says(t, "none of its 1 keys can be used")
}

// TestMaxStaleHoldsAcrossReloads, and the outage is said once.
func TestMaxStaleHoldsAcrossReloads(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.MaxStale = time.Hour
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", key.Public())
	p.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	reload := func() {
		fresh := e.mustOpen(t, cfg)
		keyset.Inherit(fresh, source)
		source.Close()
		source = fresh
	}
	for range 3 {
		e.advance(20*time.Minute - time.Nanosecond)
		reload()
		finds(t, source, "k", "ES256", key.Public())
	}
	e.says(t, "can't be read (GET "+cfg.JWKS.URI+": answered 502")
	e.advance(3 * time.Nanosecond)
	reload()
	for range 2 {
		if found, err := source.Find(t.Context(), "k", "ES256"); err == nil {
			t.Errorf("found %v when the last good set was an hour old", found)
		}
	}
	p.serves(testkeys.Set(key))
	e.advance(time.Second)
	finds(t, source, "k", "ES256", key.Public())
	e.says(t, "can be read again")
}

// TestAReloadDuringAKnownOutageAsksNobodyToWait: the set serves on at once.
func TestAReloadDuringAKnownOutageAsksNobodyToWait(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.MaxStale = time.Hour
	e := newEnv()
	old := e.mustOpen(t, cfg)
	finds(t, old, "k", "ES256", key.Public())
	e.advance(cfg.JWKS.Cache.TTL)
	p.does(http.NotFound)
	finds(t, old, "k", "ES256", key.Public())
	p.shut()
	fresh := e.mustOpen(t, cfg)
	keyset.Inherit(fresh, old)
	ctx := &watched{Context: t.Context()}
	if found, err := fresh.Find(ctx, "k", "ES256"); len(found) != 1 || ctx.waited.Load() {
		t.Errorf("%d keys, %v, waited: %t", len(found), err, ctx.waited.Load())
	}
}

// TestASetThatWasReadIsNotReplacedByAnInheritedOne: with lazyConnect false it is read before it comes into force.
func TestASetThatWasReadIsNotReplacedByAnInheritedOne(t *testing.T) {
	first, second := testkeys.New("ES256", "1"), testkeys.New("ES256", "2")
	p, cfg := newProvider(t, testkeys.Set(first))
	e := newEnv()
	old := e.mustOpen(t, cfg)
	finds(t, old, "1", "ES256", first.Public())
	p.serves(testkeys.Set(second))
	fresh := e.mustOpen(t, cfg)
	if _, err := fresh.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	keyset.Inherit(fresh, old)
	finds(t, fresh, "2", "ES256", second.Public())
	p.asked(t, 2)
}

// TestAFileThatCanNoMoreBeReadKeepsItsKeysAcrossAReload, filtered anew, and says so.
func TestAFileThatCanNoMoreBeReadKeepsItsKeysAcrossAReload(t *testing.T) {
	ec, rsa := testkeys.New("ES256", "ec"), testkeys.New("RS256", "rsa")
	cfg := fileWith(t, testkeys.Set(ec, rsa), "ES256")
	e := newEnv()
	old := e.mustOpen(t, cfg)
	finds(t, old, "ec", "ES256", ec.Public())
	e.said()
	f := &jwksFile{env: e, t: t, path: cfg.JWKS.FilePath}
	remove(f)
	other := *cfg
	other.Algorithms = []string{"RS256"}
	fresh := e.mustOpen(t, &other)
	keyset.Inherit(fresh, old)
	for range 3 {
		finds(t, fresh, "rsa", "RS256", rsa.Public())
		e.advance(time.Second)
	}
	e.says(t, "can't be used, the keys read before stay: ")
	if set, err := fresh.Load(t.Context()); err != nil || set.Len() != 1 {
		t.Errorf("got %d keys, %v", set.Len(), err)
	}
	f.becomes(testkeys.Set(ec, rsa))
	e.advance(time.Second)
	finds(t, fresh, "rsa", "RS256", rsa.Public())
	e.says(t, `key "ec" of the set is not used`)

	elsewhere := fileWith(t, []byte("{}"), "RS256")
	stranger := e.mustOpen(t, elsewhere)
	keyset.Inherit(stranger, fresh)
	if _, err := stranger.Find(t.Context(), "rsa", "RS256"); err == nil || !strings.Contains(err.Error(), `it has no "keys" array`) {
		t.Errorf("got %v", err)
	}
	keyset.Inherit(e.mustOpen(t, cfg), e.mustOpen(t, accepting("ES256"))) // of another kind: nothing
}
