package revocation

import (
	"testing"
	"time"
	"unsafe"

	"go-jwt-auth/plugin/config"
)

// stepped is t as time.Now would give it had the wall clock been set by so many whole seconds: its monotonic reading stays.
// Package time has no way to make one, so that its bits are set (the seconds of the wall are those above the 30 lowest).
func stepped(t time.Time, by time.Duration) time.Time {
	bits := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t))
	bits.wall = uint64(int64(bits.wall) + int64(by/time.Second)<<30)
	return t
}

// The wall clock may be set at any time: intervals go by the monotonic one, and exp alone by the wall.
func TestAStepOfTheWallClock(t *testing.T) {
	start := time.Now()
	if back := stepped(start, -time.Hour); back.Sub(start) != 0 || back.Unix() != start.Unix()-3600 {
		t.Fatalf("the clock was not stepped: %s, %s", start, back)
	}
	good := response{active: true}
	for _, c := range []struct {
		rule    string
		expires time.Duration // after start
		passed  time.Duration // on the monotonic clock
		step    time.Duration // of the wall
		kept    bool
	}{
		{"no step", time.Hour, 59 * time.Second, 0, true},
		{"the interval is over", time.Hour, time.Minute, 0, false},
		{"back, the interval is over", time.Hour, time.Minute, -time.Hour, false},
		{"back, the interval is over, and would have been cut by exp", 50 * time.Second, time.Minute, -time.Hour, false},
		{"back, within the interval", time.Hour, 59 * time.Second, -time.Hour, true},
		{"ahead, within the interval", 3 * time.Hour, 59 * time.Second, time.Hour, true},
		{"ahead, past exp", time.Hour, time.Second, time.Hour, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			now := start
			clock := func() time.Time { return now }
			kept, err := newActiveCache(config.AnswerCache{TTL: time.Minute, MaxEntries: 1}, clock)
			if err != nil {
				t.Fatal(err)
			}
			next, err := newPrefetched(&config.Revocation{RetryWindow: time.Minute}, clock)
			if err != nil {
				t.Fatal(err)
			}
			expires := start.Round(0).Add(c.expires) // an exp has no monotonic reading
			kept.put(cacheKey{}, good, expires)
			next.put(DigestOf("token"), Answer{response: good}, expires)
			now = stepped(start.Add(c.passed), c.step)
			if _, found := kept.get(cacheKey{}); found != c.kept {
				t.Errorf("the cache has it: %t", found)
			}
			if _, found := next.take(DigestOf("token")); found != c.kept {
				t.Errorf("it is there for the next attempt: %t", found)
			}
		})
	}
	t.Run("what is inactive, for its time", func(t *testing.T) {
		m, err := newInactiveCache(config.AnswerCache{})
		if err != nil {
			t.Fatal(err)
		}
		m.put(cacheKey{}, response{}, "", start)
		if _, found := m.get(cacheKey{}, stepped(start.Add(minNegativeTTL-time.Second), time.Hour), 0); !found {
			t.Error("ahead: it is asked about again")
		}
		if _, found := m.get(cacheKey{}, stepped(start.Add(minNegativeTTL), -time.Hour), 0); found {
			t.Error("back: it is not asked about again")
		}
	})
}
