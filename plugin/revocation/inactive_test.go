package revocation

import (
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
)

// An answer can have a megabyte of claims, and thousands of tokens are remembered.
func TestNoClaimsAreRemembered(t *testing.T) {
	m, err := newInactiveCache(config.AnswerCache{MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_795_446_000, 0)
	m.put(cacheKey{}, response{claims: map[string]any{"active": false, "why": "long"}, found: `"active": false`}, "here", now)
	said, known := m.get(cacheKey{}, now, 0)
	if !known || said.active || said.claims != nil || said.found != `"active": false` {
		t.Errorf("known: %t, %+v", known, said)
	}
}
