package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go-jwt-auth/plugin/session"
)

var start = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

// at is so many seconds after the start; never: no deadline.
func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

var never time.Time

// as are the credentials of a client that is known by one word.
func as(name string) session.Credentials {
	password := "password of " + name
	return session.Credentials{ClientID: name, Username: &name, Password: &password}
}

// due takes out all whose time has come, by client id.
func due(b *session.Book, now time.Time) []string {
	var ids []string
	for s := b.Due(now); s != nil; s = b.Due(now) {
		ids = append(ids, s.ClientID)
	}
	return ids
}

func TestDeadlines(t *testing.T) {
	b := session.NewBook()
	if s, next := b.Due(at(1e9)), b.NextDeadline(); s != nil || !next.IsZero() {
		t.Errorf("the empty book has %v, %s", s, next)
	}
	for i, until := range []time.Time{at(30), never, at(10), at(20), at(10)} {
		admit(b, session.Client(i), as(fmt.Sprint("c", i)), "token", until)
	}
	steps := []struct {
		rule string
		now  time.Time
		due  []string
		next time.Time
	}{
		{"nobody before the first", at(10).Add(-1), nil, at(10)},
		{"at its deadline, and all of that time", at(10), []string{"c2", "c4"}, at(20)},
		{"each once", at(10), nil, at(20)},
		{"later ones in order", at(100), []string{"c3", "c0"}, never},
		{"who has no deadline is never due", at(1e9), nil, never},
	}
	for _, s := range steps {
		got := due(b, s.now)
		if s.now.Equal(at(10)) {
			slices.Sort(got) // which of two goes first is open
		}
		if !slices.Equal(got, s.due) || !b.NextDeadline().Equal(s.next) {
			t.Errorf("%s: got %v, next %s", s.rule, got, b.NextDeadline())
		}
	}
	if b.Len() != 5 {
		t.Errorf("%d live: who is due stays until it leaves", b.Len())
	}
}

func TestAdmitKeepsWhatTheKickNeeds(t *testing.T) {
	b := session.NewBook()
	admit(b, 7, as("c"), `jti "1"`, at(1))
	if s := b.Due(at(1)); s.Client != 7 || s.ClientID != "c" || s.Token != `jti "1"` || !s.Until.Equal(at(1)) {
		t.Errorf("got %+v", s)
	}
}

func TestLeave(t *testing.T) {
	b := session.NewBook()
	admit(b, 1, as("a"), "", at(10))
	admit(b, 2, as("b"), "", at(20))
	admit(b, 3, as("c"), "", never)
	b.Leave(1)
	b.Leave(1)  // again
	b.Leave(99) // never admitted, as after a failed login
	b.Leave(3)
	if b.Len() != 1 || !b.NextDeadline().Equal(at(20)) {
		t.Errorf("%d live, next %s", b.Len(), b.NextDeadline())
	}
	if got := due(b, at(100)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("due %v", got)
	}
	b.Leave(2) // from inside its kick
	if b.Len() != 0 {
		t.Errorf("%d live", b.Len())
	}
}

// TestLeaveInsideAKick: the broker calls Disconnect while the due ones are being taken out.
func TestLeaveInsideAKick(t *testing.T) {
	b := session.NewBook()
	for i := range 100 {
		admit(b, session.Client(i), as(fmt.Sprint(i)), "", at(i%7))
	}
	kicked := 0
	for s := b.Due(at(7)); s != nil; s = b.Due(at(7)) {
		b.Leave(s.Client)
		if kicked%3 == 0 {
			b.Leave(s.Client + 1) // somebody else goes, too
		}
		kicked++
	}
	if b.Len() != 0 || !b.NextDeadline().IsZero() || kicked == 0 {
		t.Errorf("%d live, next %s", b.Len(), b.NextDeadline())
	}
}

// TestAddressIsReused: the broker may have let go of the first without a word (2.0 with a failed CONNACK).
func TestAddressIsReused(t *testing.T) {
	b := session.NewBook()
	admit(b, 1, as("old"), "", at(10))
	admit(b, 1, as("new"), "", at(20))
	if b.Len() != 1 || !b.NextDeadline().Equal(at(20)) {
		t.Errorf("%d live, next %s", b.Len(), b.NextDeadline())
	}
	b.OpenSweep()
	if b.Vouch(1, as("old"), at(5)) || !b.Vouch(1, as("new"), at(5)) {
		t.Error("the old client is vouched for, or the new one is not")
	}
	if got := due(b, at(100)); !slices.Equal(got, []string{"new"}) {
		t.Errorf("due %v", got)
	}
	admit(b, 1, as("newest"), "", never) // after it was due
	if b.Len() != 1 || !b.NextDeadline().IsZero() {
		t.Errorf("%d live, next %s", b.Len(), b.NextDeadline())
	}
}

// TestTakeover: the broker asks for the new connection first and ends the old one then, both under one client id.
func TestTakeover(t *testing.T) {
	b := session.NewBook()
	admit(b, 1, as("c"), "old token", at(10))
	admit(b, 2, as("c"), "new token", at(20))
	b.Leave(1)
	if got := due(b, at(19)); got != nil {
		t.Errorf("the old session's expiry hit %v", got)
	}
	if s := b.Due(at(20)); s == nil || s.Client != 2 || s.Token != "new token" {
		t.Errorf("got %+v", s)
	}
}

func TestVouch(t *testing.T) {
	name, other := "c", "d"
	with := func(id string, username *string, password string) session.Credentials {
		return session.Credentials{ClientID: id, Username: username, Password: &password}
	}
	original := with("c", &name, "p")
	admitted := func(b *session.Book) { admit(b, 1, original, "", at(10)) }
	left := func(b *session.Book) { admitted(b); b.Leave(1) }
	expired := func(b *session.Book) { admitted(b); b.Due(at(10)); b.Leave(1) }
	cases := []struct {
		rule   string
		before func(*session.Book)
		client session.Client
		with   session.Credentials
		want   bool
	}{
		{"who was admitted", admitted, 1, original, true},
		{"nobody who was not", func(*session.Book) {}, 1, original, false},
		{"nobody who has left: its address may be another's", left, 1, original, false},
		{"nobody who was kicked", expired, 1, original, false},
		{"nobody past the deadline", func(b *session.Book) { admit(b, 1, original, "", at(5)) }, 1, original, false},
		{"nobody who is about to be disconnected", func(b *session.Book) { admitted(b); b.Expel(b.Of(1), at(10), "revoked") }, 1, original, false},
		{"who has no deadline", func(b *session.Book) { admit(b, 1, original, "", never) }, 1, original, true},
		{"another connection", admitted, 2, original, false},
		{"another connection, the first has left", left, 2, original, false},
		{"another client id", admitted, 1, with("d", &name, "p"), false},
		{"another username", admitted, 1, with("c", &other, "p"), false},
		{"no username", admitted, 1, with("c", nil, "p"), false},
		{"an empty username is another than none", func(b *session.Book) { admit(b, 1, with("c", nil, "p"), "", never) }, 1, with("c", new(string), "p"), false},
		{"none is none", func(b *session.Book) { admit(b, 1, with("c", nil, "p"), "", never) }, 1, with("c", nil, "p"), true},
		{"no password", admitted, 1, session.Credentials{ClientID: "c", Username: &name}, false},
		{"no password where there was none", func(b *session.Book) { admit(b, 1, session.Credentials{ClientID: "c", Username: &name}, "", never) }, 1, session.Credentials{ClientID: "c", Username: &name}, true},
		{"an empty password is another than none", func(b *session.Book) { admit(b, 1, session.Credentials{ClientID: "c", Username: &name}, "", never) }, 1, with("c", &name, ""), false},
		{"another password", admitted, 1, with("c", &name, "q"), false},
		{"another password, the first has left", left, 1, with("c", &name, "q"), false},
		{"letters can't move from one field to the next", func(b *session.Book) { admit(b, 1, with("ab", &name, "p"), "", never) }, 1, with("a", func() *string { s := "bc"; return &s }(), "p"), false},
		{"a username can't stand in for none", func(b *session.Book) { admit(b, 1, with("c", nil, "cp"), "", never) }, 1, with("c", &name, "p"), false},
		{"with the address reused by another", func(b *session.Book) { left(b); admit(b, 1, as("x"), "", never) }, 1, original, false},
		{"with the address reused by another that has left", func(b *session.Book) { left(b); admit(b, 1, as("x"), "", never); b.Leave(1) }, 1, original, false},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			b := session.NewBook()
			c.before(b)
			if b.Vouch(c.client, c.with, at(5)) {
				t.Error("vouched for outside of a sweep")
			}
			b.OpenSweep()
			if got := b.Vouch(c.client, c.with, at(5)); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
			if b.Vouch(c.client, c.with, at(5)) {
				t.Error("vouched for twice in a sweep")
			}
			b.CloseSweep()
			if b.Vouch(c.client, c.with, at(5)) {
				t.Error("vouched for after the sweep")
			}
			b.OpenSweep()
			if got := b.Vouch(c.client, c.with, at(5)); got != c.want {
				t.Errorf("in the next sweep: got %t, want %t", got, c.want)
			}
		})
	}
}

func TestVouchInASweep(t *testing.T) {
	b := session.NewBook()
	admit(b, 1, as("old"), "", never)
	b.OpenSweep()
	admit(b, 2, as("new"), "", never)
	if b.Vouch(2, as("new"), at(5)) {
		t.Error("who came in during the sweep was asked for already")
	}
	if b.Vouch(1, as("x"), at(5)) || !b.Vouch(1, as("old"), at(5)) {
		t.Error("a wrong answer used up the right one, or was taken for it")
	}
	b.OpenSweep() // a second reload before the sweep has closed
	if !b.Vouch(1, as("old"), at(5)) || !b.Vouch(2, as("new"), at(5)) {
		t.Error("the second sweep does not ask for all")
	}
}

// TestVouchAfterASweepThatDidNotAsk: the broker asks in the sweep or not at all, so that afterwards whoever asks is new.
func TestVouchAfterASweepThatDidNotAsk(t *testing.T) {
	b := session.NewBook()
	admit(b, 1, as("c"), "", never)
	b.OpenSweep()
	b.CloseSweep()
	if b.Vouch(1, as("c"), at(5)) {
		t.Error("vouched for after the sweep")
	}
}

// TestVouchChangesNoDeadline: after a reload the old deadline counts.
func TestVouchChangesNoDeadline(t *testing.T) {
	b := session.NewBook()
	admit(b, 1, as("c"), "", at(10))
	b.OpenSweep()
	b.Vouch(1, as("c"), at(5))
	b.CloseSweep()
	if got := due(b, at(10)); !slices.Equal(got, []string{"c"}) || b.Len() != 1 {
		t.Errorf("due %v, %d live", got, b.Len())
	}
}

// TestAgainstASimpleBook plays many random events on the Book and on a list, which must agree.
func TestAgainstASimpleBook(t *testing.T) {
	type entry struct {
		until time.Time
		due   bool
	}
	b, simple := session.NewBook(), map[session.Client]*entry{}
	random := rand.New(rand.NewPCG(1, 2))
	now := 0
	for step := range 20000 {
		client := session.Client(random.IntN(50))
		switch random.IntN(4) {
		case 0, 1:
			until := at(now + random.IntN(100))
			if random.IntN(5) == 0 {
				until = never
			}
			admit(b, client, as("c"), "", until)
			simple[client] = &entry{until: until}
		case 2:
			b.Leave(client)
			delete(simple, client)
		case 3:
			now += random.IntN(20)
			got := map[session.Client]bool{}
			for s, last := b.Due(at(now)), never; s != nil; s = b.Due(at(now)) {
				if got[s.Client] = true; s.Until.Before(last) {
					t.Fatalf("step %d: %s came after %s", step, s.Until, last)
				}
				last = s.Until
			}
			for c, e := range simple {
				want := !e.due && !e.until.IsZero() && !at(now).Before(e.until)
				if got[c] != want {
					t.Fatalf("step %d: client %d due %t, want %t", step, c, got[c], want)
				}
				e.due = e.due || want
				delete(got, c)
			}
			if len(got) > 0 {
				t.Fatalf("step %d: strangers are due: %v", step, got)
			}
		}
		next := never
		for _, e := range simple {
			if !e.due && !e.until.IsZero() && (next.IsZero() || e.until.Before(next)) {
				next = e.until
			}
		}
		if b.Len() != len(simple) || !b.NextDeadline().Equal(next) {
			t.Fatalf("step %d: %d live, next %s, want %d, %s", step, b.Len(), b.NextDeadline(), len(simple), next)
		}
	}
}

// Rechecks are apart from the deadlines, and end with the session.
func TestRechecks(t *testing.T) {
	b := session.NewBook()
	one, two, three := admit(b, 1, as("one"), "", at(50)), admit(b, 2, as("two"), "", never), admit(b, 3, as("three"), "", never)
	one.Bearer = "a token"
	b.Recheck(one, at(30))
	b.Recheck(two, at(20))
	b.Recheck(three, at(10))
	b.Recheck(three, at(40)) // moved
	asked := func(now time.Time) (names []string) {
		for s := b.DueRecheck(now); s != nil; s = b.DueRecheck(now) {
			names = append(names, s.ClientID)
		}
		return names
	}
	if got := asked(at(20).Add(-1)); got != nil || !b.NextRecheck().Equal(at(20)) {
		t.Errorf("before the first: %v, next %s", got, b.NextRecheck())
	}
	if got := asked(at(30)); !slices.Equal(got, []string{"two", "one"}) || !b.NextRecheck().Equal(at(40)) {
		t.Errorf("got %v, next %s", got, b.NextRecheck())
	}
	if !b.NextDeadline().Equal(at(50)) {
		t.Errorf("the deadline is at %s", b.NextDeadline())
	}
	b.Recheck(one, at(60))
	b.Leave(1)
	b.Leave(3)
	if got := asked(at(1e9)); got != nil || b.Lives(one) || !b.Lives(two) || one.Bearer != "" {
		t.Errorf("after they left: %v, lives %t, %t, token %q", got, b.Lives(one), b.Lives(two), one.Bearer)
	}
	// The next one at the same address is another session.
	again := admit(b, 1, as("one"), "", never)
	if b.Lives(one) || !b.Lives(again) {
		t.Error("the old session lives by the address of the new one")
	}
}

func admit(b *session.Book, client session.Client, with session.Credentials, token string, until time.Time) *session.Session {
	s := &session.Session{Client: client, Token: token, Until: until}
	b.Admit(s, with)
	return s
}

// Whoever is to be disconnected for another reason than its end is given out when it is tried, and not vouched for.
func TestExpel(t *testing.T) {
	for _, until := range []time.Time{at(60), at(1), never} {
		b := session.NewBook()
		s := &session.Session{Client: 1, Until: until}
		b.Admit(s, as("a"))
		b.Expel(s, at(10), "revoked")
		if got := due(b, at(9)); got != nil {
			t.Errorf("due before: %q", got)
		}
		b.OpenSweep()
		if b.Vouch(1, as("a"), at(0)) {
			t.Error("vouched for")
		}
		if got := due(b, at(10)); !slices.Equal(got, []string{"a"}) || s.Why != "revoked" {
			t.Errorf("due: %q, because %q", got, s.Why)
		}
	}
}
