package lifetime_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/lifetime"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// gate is the broker. It knows one client at the most, and calls Disconnect from inside Kick unless that is to come later.
type gate struct {
	broker.Broker // nil: nothing else may be asked of it
	v20, lazy     bool
	knows         broker.Conn
	err           error
	leaves        func(broker.Conn)
	kicks         []string
}

func (g *gate) TellsOfConnects() bool                         { return !g.v20 }
func (g *gate) IsConnectedAs(_ string, conn broker.Conn) bool { return g.v20 || g.knows == conn }

func (g *gate) Kick(id string, withWill bool) error {
	if g.kicks = append(g.kicks, id); withWill {
		g.kicks[len(g.kicks)-1] += " with will"
	}
	if g.err == nil && !g.lazy {
		g.leaves(g.knows)
	}
	return g.err
}

// house is what Lifetimes are part of.
type house struct {
	lifetime.Lifetimes
	gate *gate
	now  time.Time
	told []event.Event
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{gate: &gate{}, now: time.Unix(1_700_000_000, 0)}
	clock := func() time.Time { return h.now }
	h.Lifetimes = lifetime.Lifetimes{
		Broker: h.gate, Now: clock, Sessions: session.NewRegistry(), Holders: session.NewHolders(),
		Loop:     loop.New(clock, func() {}, func(fault error) { t.Error(fault) }),
		Provider: func(provider.ID) *provider.Provider { return nil },
		File:     func() string { return "jwt.json" },
		Tell:     func(e event.Event) { h.told = append(h.told, e) },
	}
	h.gate.leaves = func(c broker.Conn) { h.Sessions.Leave(c) }
	t.Cleanup(h.Loop.Close)
	return h
}

// admits enters client "c", by connection 1, that may stay for a time.
func (h *house) admits(life time.Duration) *session.Session {
	s := &session.Session{LeaveAt: h.now.Add(life)}
	h.Sessions.Admit(s, broker.Connect{Conn: 1, ClientID: "c"}, session.Digest{})
	h.Holders.Enter(1, "c", session.Owner{1})
	h.gate.knows = 1
	return s
}

func (h *house) kicked(t *testing.T, rule string, want ...string) {
	t.Helper()
	for h.Kick() { // once for each client that is due
	}
	if !slices.Equal(h.gate.kicks, want) {
		t.Errorf("%s: kicked %q, want %q", rule, h.gate.kicks, want)
	}
	h.gate.kicks = nil
}

func TestAClientLeavesAtItsDeadlineAndNotBefore(t *testing.T) {
	h := newHouse(t)
	s := h.admits(time.Minute)
	h.now = h.now.Add(time.Minute - 1)
	h.kicked(t, "just before")
	h.now = h.now.Add(1)
	h.kicked(t, "at the deadline", "c with will") // no provider says otherwise
	if h.Sessions.Lives(s) || len(h.told) != 1 || h.told[0].Kind != event.Disconnected || !strings.HasPrefix(h.told[0].Why, "expired: its time ended at ") {
		t.Errorf("told %+v", h.told)
	}
	h.now = h.now.Add(time.Hour)
	h.kicked(t, "once it is gone")
}

func TestExpelMeetsNobodyElse(t *testing.T) {
	why := verdict.Refuse(verdict.Revoked, "its provider says so")
	t.Run("the client is there", func(t *testing.T) {
		h := newHouse(t)
		h.Expel(h.admits(time.Hour), why)
		h.kicked(t, "at once", "c with will")
		if len(h.told) != 1 || h.told[0].Why != why.String() {
			t.Errorf("told %+v", h.told)
		}
	})
	t.Run("it has left", func(t *testing.T) {
		h := newHouse(t)
		s := h.admits(time.Hour)
		h.Sessions.Leave(1)
		h.Expel(s, why)
		h.kicked(t, "nobody is there")
	})
	t.Run("another came from its address", func(t *testing.T) {
		h := newHouse(t)
		s := h.admits(time.Hour)
		h.Sessions.Leave(1)
		h.admits(time.Hour)
		h.Expel(s, why)
		h.kicked(t, "that is another session")
	})
	t.Run("the broker knows another by its id", func(t *testing.T) {
		h := newHouse(t)
		s := h.admits(time.Hour)
		h.gate.knows = 2
		h.Expel(s, why)
		h.kicked(t, "it would meet that one")
		h.gate.knows = 1
		h.kicked(t, "it is not due again")
		h.now = h.now.Add(lifetime.KickAgain)
		h.kicked(t, "its id is its own again", "c with will")
		if len(h.told) != 1 || h.told[0].Why != why.String() {
			t.Errorf("told %+v", h.told)
		}
	})
}

// Mosquitto 2.0 does not say whom it knows by a client id.
func TestAKickWaitsForWhoMayHaveTheClientID(t *testing.T) {
	t.Run("it was taken over", func(t *testing.T) {
		h := newHouse(t)
		h.gate.v20 = true
		s := h.admits(time.Minute)
		h.Holders.Enter(2, "c", session.Owner{1})
		for range 3 * lifetime.MaxWaits {
			h.now = h.now.Add(time.Minute)
			h.kicked(t, "its id is another's for good")
		}
		if !h.Sessions.Lives(s) || s.Why() == "" {
			t.Errorf("its end is still to come: %+v", s)
		}
	})
	t.Run("somebody tries", func(t *testing.T) {
		h := newHouse(t)
		h.gate.v20 = true
		h.admits(time.Minute)
		h.Holders.Try(2, "c")
		h.now = h.now.Add(time.Minute)
		for range lifetime.MaxWaits {
			h.kicked(t, "the other may be in")
			h.now = h.now.Add(lifetime.KickAgain)
		}
		h.kicked(t, "else a client could stay by trying to take over itself", "c with will")
	})
	t.Run("who tried is gone", func(t *testing.T) {
		h := newHouse(t)
		h.gate.v20 = true
		h.admits(time.Minute)
		h.Holders.Try(2, "c")
		h.now = h.now.Add(time.Minute)
		h.kicked(t, "the other may be in")
		h.Holders.Leave(2, false, h.now)
		h.now = h.now.Add(lifetime.KickAgain)
		h.kicked(t, "nobody else is there", "c with will")
	})
}

func TestAKickIsTriedAgain(t *testing.T) {
	broken := errors.New("the broker is not well")
	for _, c := range []struct {
		rule string
		err  error
		told event.Kind
	}{
		{"it is about to leave", nil, event.Disconnected},
		{"nobody was there", broker.ErrNotConnected, event.NotThere},
		{"it failed", broken, event.NotDisconnected},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := newHouse(t)
			h.gate.lazy, h.gate.err = true, c.err
			s := h.admits(time.Minute)
			h.now = h.now.Add(time.Minute)
			for range lifetime.MaxKicks {
				h.kicked(t, "once in KickAgain", "c with will")
				h.now = h.now.Add(lifetime.KickAgain)
			}
			h.kicked(t, "by then nobody is there")
			if !h.Sessions.Lives(s) || len(h.told) != lifetime.MaxKicks {
				t.Fatalf("told %+v", h.told)
			}
			for _, e := range h.told {
				if e.Kind != c.told || (c.told == event.NotDisconnected && !errors.Is(e.Err, broken)) {
					t.Errorf("told %+v", e)
				}
			}
			h.Sessions.OpenSweep()
			if h.Sessions.Reaffirm(broker.Connect{Conn: 1, ClientID: "c"}, h.now) {
				t.Error("a reload lets it stay")
			}
		})
	}
}

func TestAClientLeavesAtItsLimit(t *testing.T) {
	h := newHouse(t)
	s := h.admits(0)
	h.Sessions.Renew(s, "", time.Time{})
	h.Sessions.Limit(s, h.now.Add(time.Minute))
	h.now = h.now.Add(time.Minute - 1)
	h.kicked(t, "just before")
	h.now = h.now.Add(1)
	h.kicked(t, "at the limit", "c with will")
	if len(h.told) != 1 || h.told[0].Why != "expired: it was connected for as long as $.options.common.maxSessionMs allows" {
		t.Errorf("told %+v", h.told)
	}
}

// Mosquitto 2.1 says whom it knows. A client that it does not know for long has left without a word.
func TestAClientThatNobodyKnowsIsForgotten(t *testing.T) {
	h := newHouse(t)
	var left []broker.Conn
	h.Leave = func(conn broker.Conn) { left = append(left, conn) }
	s := h.admits(time.Minute)
	h.gate.knows = 0
	for range lifetime.MaxWaits + 1 {
		if h.now = h.now.Add(time.Minute); !h.Sessions.Lives(s) {
			t.Fatal("forgotten too soon")
		}
		h.kicked(t, "nobody is there")
	}
	if h.Sessions.Lives(s) || !slices.Equal(left, []broker.Conn{1}) || len(h.told) != 1 || h.told[0].Kind != event.NotThere {
		t.Errorf("lives %t, left %v, told %+v", h.Sessions.Lives(s), left, h.told)
	}
	t.Run("and another is at its address", func(t *testing.T) {
		h := newHouse(t)
		h.Leave = func(conn broker.Conn) { t.Errorf("%d has left", conn) }
		s := h.admits(time.Minute)
		h.gate.knows = 0
		h.Holders.Enter(1, "other", session.Owner{})
		for range lifetime.MaxWaits + 1 {
			h.now = h.now.Add(time.Minute)
			h.kicked(t, "nobody is there")
		}
		if h.Sessions.Lives(s) {
			t.Error("it lives")
		}
	})
}
