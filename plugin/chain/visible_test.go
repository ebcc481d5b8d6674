package chain_test

import (
	"testing"

	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/verdict"
)

// In mode introspection a stranger's password goes to the provider as it is, and what can be no token (RFC 6749 appendix A.12)
// makes some of them stumble: a database that takes no NUL or no invalid UTF-8 is a 500, and five of those in a row would have
// the endpoint left alone, for everybody.
func TestWhatCanBeNoTokenReachesNoProvider(t *testing.T) {
	for _, delays := range []bool{true, false} {
		p := testidp.New(t) // another one, as the last question to the one before may still be under way
		p.Does(nil, testidp.Answer(500, ""))
		judge, _ := clocked(t, p.Opaque(), delays)
		for _, password := range []string{"a\x00", "a\xff", "ä", "a\n", "\x7f", "\ud7ff", "a\u202e"} {
			if result := judge.Check(t.Context(), login(password)); result.Kind != verdict.Deny || result.Reason != verdict.Malformed {
				t.Errorf("%q: got %s %s", password, result.Kind, result)
			}
		}
		if asked := p.Requests(); asked != "" {
			t.Errorf("the provider was asked: %s", asked)
		}
		if result := judge.Check(t.Context(), login("any letters from a space to ~")); result.Reason != verdict.ProviderUnavailable {
			t.Errorf("what can be a token is not asked about: %s", result)
		}
	}
}
