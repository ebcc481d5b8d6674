package token_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go-jwt-auth/plugin/config"
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
		cfg := &config.Config{Algorithms: []string{"ES256"}}
		password := stranger.Sign(object{"sub": "alice"})
		_, header := token.Look(password)
		_, got := token.New(cfg, keysOf(t, cfg, entries...), clock).Verify(t.Context(), password, header, new(verdict.Trace))
		if got.String() != "bad signature: no key with kid none verifies it by ES256"+want {
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
			v := token.New(&config.Config{Algorithms: []string{"ES256"}}, failing{err: c.err}, clock)
			password := key.Sign(object{"sub": "alice"})
			_, header := token.Look(password)
			var trace verdict.Trace
			_, got := v.Verify(t.Context(), password, header, &trace)
			if got.Kind != c.kind || got.String() != c.want {
				t.Errorf("got %s %s, want %s %s", got.Kind, got, c.kind, c.want)
			}
			if last := trace[len(trace)-1]; last.OK || last.Name != "kid" {
				t.Errorf("the trace ends with %+v", last)
			}
		})
	}
}
