package token_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// failing is a key set that has only errors.
type failing struct {
	keyset.Source
	err error
}

func (f failing) Find(context.Context, string, string) ([]any, error) { return nil, f.err }
func (f failing) String() string                                      { return "https://idp.test/keys" }

// TestABadSignatureAmongManyKeys: the refusal says that not all of them may have been tried.
func TestABadSignatureAmongManyKeys(t *testing.T) {
	stranger := testkeys.New("ES256", "")
	jwk := testkeys.New("ES256", "").JWK()
	for count, want := range map[int]string{15: "", 16: " (at most 16 keys are tried)", 40: " (at most 16 keys are tried)"} {
		entries := make([]any, count)
		for i := range entries {
			entries[i] = jwk
		}
		cfg := &config.Provider{Algorithms: []string{"ES256"}}
		password := stranger.Sign(object{"sub": "alice"})
		_, header := token.Classify(password)
		_, got := token.New(cfg, keysOf(t, cfg, entries...), clock).Verify(t.Context(), token.NewText(password), header, new(verdict.Trace))
		if got.String() != "bad signature: no key verifies it by ES256"+want+" (the token names no kid)" {
			t.Errorf("%d keys: got %s", count, got)
		}
	}
}

func TestKeysThatDoNotCome(t *testing.T) {
	cases := []struct {
		rule string
		err  error
		kind verdict.Kind
		want string
	}{
		{"an unknown key is refused", keyset.ErrUnknownKey, verdict.Deny, `unknown key: kid "k" at https://idp.test/keys: no key of the set fits`},
		{"for one of too many the reason is given", fmt.Errorf("%w, too many", keyset.ErrUnknownKey), verdict.Deny, `unknown key: kid "k" at https://idp.test/keys: no key of the set fits, too many`},
		{"keys on their way: the next attempt finds them", keyset.ErrPending, verdict.Retry, "keys unavailable: https://idp.test/keys: the key set is being fetched"},
		{"no set", &keyset.UnavailableError{Cause: errors.New("it burns")}, verdict.Deny, "keys unavailable: there is no usable key set: it burns"},
		{"an error nobody knows", errors.New("strange"), verdict.Deny, "keys unavailable: strange"},
	}
	key := testkeys.New("ES256", "k")
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			v := token.New(&config.Provider{Algorithms: []string{"ES256"}}, failing{err: c.err}, clock)
			password := key.Sign(object{"sub": "alice"})
			_, header := token.Classify(password)
			var trace verdict.Trace
			_, got := v.Verify(t.Context(), token.NewText(password), header, &trace)
			if got.Kind != c.kind || got.String() != c.want {
				t.Errorf("got %s %s, want %s %s", got.Kind, got, c.kind, c.want)
			}
			if last := trace[len(trace)-1]; last.OK || last.Name != "kid" {
				t.Errorf("the trace ends with %+v", last)
			}
		})
	}
}

// A token of another realm names a key that is not there, which says little: its iss says more.
func TestAnUnknownKeyOfAnotherIssuer(t *testing.T) {
	const unknown = `unknown key: kid "x" at jwks.json: no key of the set fits`
	key := testkeys.New("ES256", "k")
	for _, c := range []struct {
		rule, issuer string
		claims       object
		want         string
	}{
		{"another realm", "https://idp.test/realms/main", object{"iss": "https://idp.test/realms/dev"}, unknown + `; the token's iss is "https://idp.test/realms/dev", expected "https://idp.test/realms/main"`},
		{"the same", "https://idp.test", object{"iss": "https://idp.test"}, unknown},
		{"another than several", "https://a.test https://b.test", object{"iss": "c"}, unknown + `; the token's iss is "c", expected one of "https://a.test", "https://b.test"`},
		{"one of several", "https://a.test https://b.test", object{"iss": "https://b.test"}, unknown},
		{"none in the token", "https://idp.test", object{}, unknown + `; the token's iss is none, expected "https://idp.test"`},
		{"no text", "https://idp.test", object{"iss": 7}, unknown + `; the token's iss is 7, expected "https://idp.test"`},
		{"none in the file", "", object{"iss": "https://idp.test"}, unknown + `; the token's iss is "https://idp.test"`},
		{"none at all", "", object{}, unknown},
		{"one that forges a line", "", object{"iss": "a\nb"}, unknown + `; the token's iss is "a\nb"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			b := newBench(t, key, config.Common{Issuers: issuers(strings.Fields(c.issuer)...)})
			if got, _ := b.judge(t, testkeys.New("ES256", "x").Sign(c.claims)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Where no key has a kid, the token's chooses none of them.
func TestABadSignatureWhereNoKeyHasAName(t *testing.T) {
	ours, stranger := testkeys.New("ES256", ""), testkeys.New("ES256", "x")
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, testkeys.Set(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule, from string
		cfg        config.Provider
	}{
		{"a set", path, config.Provider{Mode: config.ModeJWKS, JWKS: config.JWKS{FilePath: path}}},
		{"a key of the file's", "jwt.json", config.Provider{Mode: config.ModeLocal, Local: config.NewSecret(ours.PEM())}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			c.cfg.Algorithms = []string{"ES256"}
			source, err := keyset.New(&c.cfg, keyset.Options{Now: clock, Report: func(event.Note) {}})
			if err != nil {
				t.Fatal(err)
			}
			b := &bench{token.New(&c.cfg, source, clock), stranger}
			want := `bad signature: no key verifies it by ES256 (the keys of ` + c.from + ` have no kid, so that the token's, "x", chooses none)`
			if got, _ := b.judge(t, stranger.Sign(object{})); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
