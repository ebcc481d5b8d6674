package keyset

import (
	"testing"
	"time"
)

func TestFreshness(t *testing.T) {
	const life, grace, maxStale = time.Minute, 10 * time.Second, time.Hour
	kept, alone := condition{life: life, maxStale: maxStale}, condition{maxStale: maxStale}
	with := func(c condition, age time.Duration, change func(*condition)) condition {
		if c.age = age; change != nil {
			change(&c)
		}
		return c
	}
	down := func(c *condition) { c.outOfReach = true }
	inherited := func(c *condition) { c.inherited = true }
	inheritedAndDown := func(c *condition) { c.inherited, c.outOfReach = true, true }
	granting := func(c *condition) { c.grace = grace }
	for _, c := range []struct {
		rule string
		condition
		want    freshness
		runsOut bool
	}{
		{"no set", condition{age: time.Duration(1<<63 - 1)}, expired, true},
		{"just read", with(kept, 0, nil), fresh, false},
		{"in the first four fifths of its life", with(kept, life*4/5, nil), fresh, false},
		{"in the last fifth", with(kept, life*4/5+1, nil), fresh, true},
		{"to the end of its life", with(kept, life-1, nil), fresh, true},
		{"after its life", with(kept, life, nil), expired, true},
		{"before the clock was set back", with(kept, -1, nil), expired, false},
		{"of a provider that is out of reach", with(kept, 0, down), fresh, false},
		{"after its life, and the provider is out of reach", with(kept, life, down), stale, true},
		{"to the end of maxStale", with(kept, maxStale-1, down), stale, true},
		{"after maxStale", with(kept, maxStale, down), expired, true},
		{"before the clock was set back, and the provider is out of reach", with(kept, -1, down), expired, false},
		{"inherited", with(kept, 0, inherited), expired, true},
		{"inherited, and the provider is out of reach", with(kept, 0, inheritedAndDown), stale, true},
		{"inherited, for logins that were put off", with(kept, life, func(c *condition) { c.inherited, c.grace = true, 2*life }), expired, true},
		{"for one login", with(alone, 0, nil), expired, false},
		{"for one login, and the provider is out of reach", with(alone, 1, down), expired, true},
		{"for one login, just read, and others were put off", with(alone, 0, granting), granted, false},
		{"for one login, and others were put off", with(alone, grace-1, granting), granted, true},
		{"for one login, and others were put off too long ago", with(alone, grace, granting), expired, true},
		{"after its life, and others were put off", with(kept, life, func(c *condition) { c.grace = 2 * life }), granted, true},
		{"in its life, and others were put off", with(kept, 0, granting), fresh, false},
	} {
		if got := c.freshness(); got != c.want {
			t.Errorf("%s: got %d, want %d", c.rule, got, c.want)
		}
		if got := c.condition.runsOut(); got != c.runsOut {
			t.Errorf("%s: it runs out: %t", c.rule, got)
		}
	}
}
