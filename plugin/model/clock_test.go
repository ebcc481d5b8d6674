package model

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/session"
)

// clock is the clock of the broker's machine. Whoever sets its hands changes nothing about the monotonic reading that goes
// with each time (package time), just as with time.Now on a machine whose clock is set.
type clock struct {
	started time.Time
	ahead   atomic.Int64 // ns
}

// reading is a time.Time. There is no other way to make one whose two parts differ, and times in a bubble of
// testing/synctest have only the one. TestClock holds the layout.
type reading struct {
	wall uint64 // 1, 33 bits of seconds since 1885, 30 bits of nanoseconds
	ext  int64  // the monotonic reading in nanoseconds
	loc  *time.Location
}

func (c *clock) now() time.Time {
	now := time.Now()
	hands := now.Add(time.Duration(c.ahead.Load()))
	seconds := hands.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	r := reading{wall: 1<<63 | uint64(seconds)<<30 | uint64(hands.Nanosecond()), ext: int64(now.Sub(c.started)) + 1}
	return *(*time.Time)(unsafe.Pointer(&r))
}

func (c *clock) set(by time.Duration) { c.ahead.Add(int64(by)) }

func TestClock(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, -time.Second} {
		c := clock{started: time.Now()}
		before := c.now()
		if off := time.Until(before); off < -time.Minute || off > 0 {
			t.Errorf("it is off by %s", off)
		}
		c.set(by)
		after := c.now()
		if moved := after.Round(0).Sub(before.Round(0)); moved < by || moved > by+time.Minute {
			t.Errorf("set by %s, it moved by %s", by, moved)
		}
		if passed := after.Sub(before); passed < 0 || passed > time.Minute {
			t.Errorf("set by %s, %s have passed", by, passed)
		}
	}
}

// Tokens end by the time of day. Who is to be disconnected for another reason is when it is time, however the clock is set.
func TestOnlyTokensEndByTheTimeOfDay(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c, r := clock{started: time.Now()}, session.NewRegistry()
			all := map[string]*session.Session{}
			for i, id := range []string{"ends", "is ordered away", "has come to its limit"} {
				all[id] = &session.Session{}
				if id == "ends" {
					all[id].LeaveAt = c.now().Round(0).Add(time.Second)
				}
				r.Admit(all[id], broker.Connect{Conn: broker.Conn(i), ClientID: id}, session.Digest{})
			}
			r.Expel(all["is ordered away"], c.now().Add(2*time.Second), "by an admin")
			r.Limit(all["has come to its limit"], c.now().Add(3*time.Second))
			r.Limit(all["is ordered away"], c.now().Add(time.Hour)) // as a reload does
			c.set(by)
			time.Sleep(3 * time.Second)
			if by > 0 {
				if s := r.Due(c.now()); s != all["ends"] {
					t.Errorf("set by %s: the first is %+v", by, s)
				}
			}
			for _, id := range []string{"is ordered away", "has come to its limit"} {
				if s := r.Due(c.now()); s != all[id] {
					t.Errorf("set by %s: %+v, not who %s", by, s, id)
				}
			}
			if s := r.Due(c.now()); s != nil {
				t.Errorf("set by %s: %+v, too", by, s)
			}
		})
	}
}
