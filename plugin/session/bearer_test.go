package session_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"go-jwt-auth/plugin/session"
)

func FuzzABearerIsTheTokenToTheLetter(f *testing.F) {
	part := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("{\"a\":1}", 40)))
	for _, token := range []string{
		"", ".", "..", "...", "a..", "opaque", "e30.e30.e30", part + "." + part + "." + part, part + "." + part, part + "." + part + ".a",
		part + ".\n" + part + ".", part + "=." + part + ".", "e31.e30.", "ab\x00.\xff.é", strings.Repeat("x", 300) + "..",
	} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if got := session.NewBearer(token).Reveal(); got != token {
			t.Errorf("%q became %q", token, got)
		}
	})
}
