package keyset_test

import (
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
)

// TestPathsAreThoseOfTheProvider: what is said of a key of jwt.json names it where the provider stands.
func TestPathsAreThoseOfTheProvider(t *testing.T) {
	const weakAt = "$.providers[1].options.common.allowWeakKeys"
	weak := testkeys.Key{ID: "weak", Alg: "RS256", Private: testkeys.RSA(1024)}
	e := newEnv()
	fails := func(cfg *config.Provider, want string) {
		t.Helper()
		cfg.Path = config.At("$.providers[1]")
		source, err := e.open(t, cfg)
		if err == nil {
			_, err = source.Load(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	fails(fileWith(t, testkeys.Set(weak), "RS256"), "the least is 2048; "+weakAt+" admits it")
	fails(fileWith(t, testkeys.Set(weak.JWK().With("n", base64URL(make([]byte, 64)))), "RS256"), "and 1024 with "+weakAt)
	local := func() *config.Provider {
		return &config.Provider{Mode: config.ModeLocal, Algorithms: []string{"RS256"}, Local: config.NewSecret(weak.PEM())}
	}
	fails(local(), "$.providers[1].options.modes.local: the key can't be used: its modulus has 1024 bits, the least is 2048; "+weakAt)
	e.said()
	admitted := local()
	admitted.Path, admitted.Common.AllowWeakKeys = config.At("$.providers[1]"), true
	e.mustOpen(t, admitted)
	e.says(t, "$.providers[1].options.modes.local: weak key admitted by "+weakAt)
}

// TestAPathThatMovesIsFollowed: a provider that a reload has moved says where its keys stand now.
func TestAPathThatMovesIsFollowed(t *testing.T) {
	weak := testkeys.Key{ID: "weak", Alg: "RS256", Private: testkeys.RSA(1024)}
	cfg := fileWith(t, testkeys.Set(weak), "RS256")
	cfg.Path = config.At("$.providers[1]")
	source := newEnv().mustOpen(t, cfg)
	cfg.Path.MoveTo(config.At("$.providers[0]"))
	if _, err := source.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "; $.providers[0].options.common.allowWeakKeys admits it") {
		t.Errorf("got %v", err)
	}
}
