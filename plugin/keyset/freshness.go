package keyset

import (
	"time"

	"go-jwt-auth/plugin/internal/once"
)

// freshness says whether a set may serve without being read again.
type freshness uint8

const (
	// expired: it may not.
	expired freshness = iota
	// stale: its time is over, but the provider is out of reach, and it may stand in.
	stale
	// granted: its time is over, but not the grace for logins that were put off.
	granted
	// fresh: it may.
	fresh
)

// condition is all that the freshness of a set depends on.
type condition struct {
	// age is the time since the set came in. Below zero: the clock was set back since.
	age time.Duration
	// life is how long it serves. Zero: for the login that asked for it alone.
	life time.Duration
	// grace is how long it may serve logins that were put off, counted as life is.
	grace time.Duration
	// maxStale is how long it may stand in while the provider is out of reach, counted as life is.
	maxStale time.Duration
	// inherited: it was read under an earlier configuration, and is to be read again at once.
	inherited bool
	// outOfReach: the last fetch has failed, or the one under way takes longer than a login may wait.
	outOfReach bool
}

func (c condition) freshness() freshness {
	switch {
	case !c.inherited && once.Within(c.age, c.life):
		return fresh
	case !c.inherited && once.Within(c.age, c.grace):
		return granted
	case c.outOfReach && c.mayStandIn():
		return stale
	default:
		return expired
	}
}

// mayStandIn tells whether the set may serve after its time, as the last good one: never one that was only for the login
// that asked for it.
func (c condition) mayStandIn() bool { return c.life > 0 && once.Within(c.age, c.maxStale) }

// runsOut tells whether the set is in the last fifth of its life, past it, or inherited: it is then read again before a login
// has to wait.
func (c condition) runsOut() bool { return c.inherited || c.life-c.age < c.life/5 }
