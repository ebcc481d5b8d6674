package token_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// The clock of all tests.
const now = 1795446000

func clock() time.Time { return time.Unix(now, 0) }

// object is a JSON object, raw a JSON value that stands as it is.
type object = testkeys.Object

// keysOf is a real set of the given keys, in a file.
func keysOf(tb testing.TB, cfg *config.Provider, keys ...any) keyset.Source {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(path, testkeys.Set(keys...), 0o600); err != nil {
		tb.Fatal(err)
	}
	source, err := keyset.New(&config.Provider{
		Mode: config.ModeJWKS, Algorithms: cfg.Algorithms, JWKS: config.JWKS{FilePath: path},
	}, keyset.Options{Now: clock, Report: func(event.Note) {}})
	if err != nil {
		tb.Fatal(err)
	}
	return named{source}
}

// named is a Source with the same name in every run.
type named struct{ keyset.Source }

func (named) String() string { return "jwks.json" }

// bench is a Verifier with the key of those who sign for it.
type bench struct {
	*token.Verifier
	key testkeys.Key
}

// newBench verifies what key signs, with the checks of common.
func newBench(tb testing.TB, key testkeys.Key, common config.Common) *bench {
	tb.Helper()
	cfg := &config.Provider{Algorithms: []string{key.Alg}, Common: common}
	return &bench{token.New(cfg, keysOf(tb, cfg, key), clock), key}
}

// judge looks at a password and verifies it where it is a token. The verdict is in words.
func (b *bench) judge(tb testing.TB, password string) (string, token.Claims) {
	tb.Helper()
	shape, header := token.Classify(password)
	switch shape {
	case token.Other:
		return "no token", token.Claims{}
	case token.Encrypted:
		return "encrypted", token.Claims{}
	}
	var trace verdict.Trace
	claims, v := b.Verify(context.Background(), token.NewText(password), header, &trace)
	for i, check := range trace {
		if last := i == len(trace)-1; !check.OK && !(last && v.Kind != verdict.Accept) {
			tb.Errorf("%s, but check %d of %d failed: %+v", v, i+1, len(trace), check)
		}
	}
	if v.Kind != verdict.Accept && len(trace) > 0 && trace[len(trace)-1].OK {
		tb.Errorf("%s, but no check failed: %+v", v, trace)
	}
	if _, told := claims.Lookup("sub"); told && v.Kind != verdict.Accept {
		tb.Errorf("%s, but the claims came with it", v)
	}
	return v.String(), claims
}

// issuers are those that iss must be one of, to the letter; an empty one is none.
func issuers(texts ...string) []config.Issuer {
	var all []config.Issuer
	for _, text := range texts {
		if text != "" {
			all = append(all, config.ExactIssuer(text))
		}
	}
	return all
}
