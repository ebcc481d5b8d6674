package session_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/session"
)

func TestHolding(t *testing.T) {
	alice, bob := session.OwnerOf("", "issuer", "alice"), session.OwnerOf("", "issuer", "bob")
	var password session.Owner
	for _, c := range []struct {
		rule   string
		before func(h *session.Holders)
		want   session.Holding
	}{
		{"nobody", func(*session.Holders) {}, session.NotKnown},
		{"its own", func(h *session.Holders) { h.Enter(1, "c", alice) }, session.Own},
		{"another subject's", func(h *session.Holders) { h.Enter(1, "c", bob) }, session.Others},
		{"the same subject of another issuer", func(h *session.Holders) { h.Enter(1, "c", session.OwnerOf("", "other", "alice")) }, session.Others},
		{"letters can't move from issuer to subject", func(h *session.Holders) { h.Enter(1, "c", session.OwnerOf("", "issuera", "lice")) }, session.Others},
		{"a client's without a token", func(h *session.Holders) { h.Enter(1, "c", password) }, session.Others},
		{"under another id", func(h *session.Holders) { h.Enter(1, "d", bob) }, session.NotKnown},
		{"the asker's own connection does not count", func(h *session.Holders) { h.Enter(9, "c", password) }, session.NotKnown},
		{"another's, who has taken it over", func(h *session.Holders) { h.Enter(1, "c", alice); h.Enter(2, "c", bob) }, session.Others},
		{"its own, taken over from another whose end is told later", func(h *session.Holders) { h.Enter(2, "c", bob); h.Enter(1, "c", alice) }, session.Own},
		{"who is away, the end of one before being told later", func(h *session.Holders) {
			h.Enter(2, "c", alice)
			h.Enter(1, "c", bob)
			h.Leave(1, true, at(0))
			h.Leave(2, true, at(0))
		}, session.OthersAway},
		{"who has left, the end of one before being told later", func(h *session.Holders) {
			h.Enter(2, "c", bob)
			h.Enter(1, "c", alice)
			h.Leave(1, false, at(0))
		}, session.NotKnown},
		{"another's that is away, after the end of an older connection", func(h *session.Holders) {
			h.Enter(1, "c", bob)
			h.Enter(2, "c", bob)
			h.Leave(2, true, at(0))
			h.Leave(1, false, at(0))
		}, session.OthersAway},
		{"another's that is away, before the end of an own older connection", func(h *session.Holders) {
			h.Enter(1, "c", alice)
			h.Enter(2, "c", bob)
			h.Leave(2, true, at(0))
		}, session.OthersAway},
		{"another's that left while somebody was trying in vain", func(h *session.Holders) {
			h.Enter(1, "c", bob)
			h.Try(2, "c")
			h.Leave(1, true, at(0))
			h.Leave(2, true, at(0))
		}, session.OthersAway},
		{"one before somebody who is trying", func(h *session.Holders) {
			h.Enter(1, "c", alice)
			h.Try(2, "c")
			h.Leave(2, false, at(0))
		}, session.Own},
		{"two, of whom the other has left", func(h *session.Holders) {
			h.Enter(2, "c", bob)
			h.Enter(1, "c", alice)
			h.Leave(2, true, at(0))
		}, session.Own},
		{"who has left", func(h *session.Holders) { h.Enter(1, "c", bob); h.Leave(1, false, at(0)) }, session.NotKnown},
		{"who is away", func(h *session.Holders) { h.Enter(1, "c", bob); h.Leave(1, true, at(0)) }, session.OthersAway},
		{"its own, away", func(h *session.Holders) { h.Enter(1, "c", alice); h.Leave(1, true, at(0)) }, session.Own},
		{"who is trying", func(h *session.Holders) { h.Try(1, "c") }, session.Others},
		{"who tried in vain, with a session to be kept", func(h *session.Holders) { h.Try(1, "c"); h.Leave(1, true, at(0)) }, session.NotKnown},
		{"who tries by the id of one that is away", func(h *session.Holders) {
			h.Enter(1, "c", alice)
			h.Leave(1, true, at(0))
			h.Try(2, "c")
			h.Leave(2, true, at(0))
		}, session.Own},
		{"who left twice", func(h *session.Holders) {
			h.Enter(1, "c", bob)
			h.Leave(1, true, at(0))
			h.Leave(1, false, at(0))
		}, session.OthersAway},
		{"away for a day", func(h *session.Holders) { h.Enter(1, "c", bob); h.Leave(1, true, at(-24*3600)) }, session.NotKnown},
		{"who came after one that was away", func(h *session.Holders) {
			h.Enter(1, "c", bob)
			h.Leave(1, true, at(0))
			h.Enter(2, "c", alice)
			h.Leave(2, false, at(0))
		}, session.NotKnown},
		{"at a reused address", func(h *session.Holders) { h.Enter(1, "c", bob); h.Enter(1, "d", bob) }, session.NotKnown},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := session.NewHolders()
			c.before(h)
			if got := h.Holding("c", 9, alice, at(0)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// Owners of sessions whose clients are away are remembered by number and time, so that nothing grows without bound.
func TestAwayIsBounded(t *testing.T) {
	h, alice := session.NewHolders(), session.OwnerOf("", "", "alice")
	const most = 1 << 16
	for i := range broker.Conn(most + 10) {
		h.Enter(i, fmt.Sprint(i), alice)
		h.Leave(i, true, at(0))
	}
	known := 0
	for i := range most + 10 {
		if h.Holding(fmt.Sprint(i), 1e9, alice, at(0)) == session.Own {
			known++
		}
	}
	if known != most {
		t.Errorf("%d are remembered", known)
	}
}

// TestHoldersAgainstAList plays many random events on the table and on a list, which must agree.
func TestHoldersAgainstAList(t *testing.T) {
	type entry struct {
		id    string
		owner session.Owner
		over  bool
	}
	h, list := session.NewHolders(), map[broker.Conn]entry{}
	random := rand.New(rand.NewPCG(3, 4))
	for step := range 20000 {
		client := broker.Conn(random.IntN(12))
		e := entry{id: fmt.Sprint(random.IntN(4)), owner: session.OwnerOf("", "", fmt.Sprint(random.IntN(3)))}
		if random.IntN(2) == 0 {
			h.Enter(client, e.id, e.owner)
			for c, other := range list {
				other.over = other.over || other.id == e.id
				list[c] = other
			}
			list[client] = e
		} else {
			h.Leave(client, false, time.Time{})
			delete(list, client)
		}
		want := session.NotKnown
		for c, other := range list {
			switch {
			case c == client || other.id != e.id || other.over:
			case other.owner != e.owner:
				want = session.Others
			default:
				want = session.Own
			}
			if there := list[c]; h.TakenOver(c, there.id) != there.over {
				t.Fatalf("step %d: taken over: %t, want %t", step, !there.over, there.over)
			}
		}
		if got := h.Holding(e.id, client, e.owner, time.Time{}); got != want {
			t.Fatalf("step %d: got %d, want %d", step, got, want)
		}
		if e, there := list[client]; h.Has(client, e.id) != there {
			t.Fatalf("step %d: has %t, want %t", step, !there, there)
		}
	}
}

// A client id may be long, and the broker forgets it with the session that it may have kept.
func TestHoldersKeepNoLongClientIDs(t *testing.T) {
	const clients, length = 500, 60_000
	h := session.NewHolders()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range clients {
		h.Enter(1, strings.Repeat("x", length)+fmt.Sprint(i), session.Owner{})
		h.Leave(1, true, time.Unix(0, 0))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > clients*length/10 {
		t.Errorf("%d bytes are kept of %d clients", kept, clients)
	}
	runtime.KeepAlive(h)
}
