package revocation

import (
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
)

// An answer can have a megabyte of claims, and thousands of tokens are remembered.
func TestNoClaimsAreRemembered(t *testing.T) {
	m, err := newMemory(config.AnswerCache{MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_795_446_000, 0)
	m.note(question{}, answered{claims: map[string]any{"active": false, "why": "long"}, found: `"active": false`}, "here", now)
	said, known := m.refuses(question{}, now, 0)
	if !known || said.active || said.claims != nil || said.found != `"active": false` {
		t.Errorf("known: %t, %+v", known, said)
	}
}
