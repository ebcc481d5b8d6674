package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/session"
)

var start = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

// at is so many seconds after the start; never: no deadline.
func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

var never time.Time

// as are the credentials of a client that is known by one word.
func as(name string) broker.Connect {
	password := "password of " + name
	return broker.Connect{ClientID: name, Username: &name, Password: &password}
}

// by is the same from a connection.
func by(conn broker.Conn, connect broker.Connect) broker.Connect {
	connect.Conn = conn
	return connect
}

// due takes out all whose time has come, by client id.
func due(r *session.Registry, now time.Time) []string {
	var ids []string
	for s := r.Due(now); s != nil; s = r.Due(now) {
		ids = append(ids, s.ClientID)
	}
	return ids
}

func TestDeadlines(t *testing.T) {
	r := session.NewRegistry()
	if s, next := r.Due(at(1e9)), r.NextDeadline(); s != nil || !next.IsZero() {
		t.Errorf("the empty registry has %v, %s", s, next)
	}
	for i, until := range []time.Time{at(30), never, at(10), at(20), at(10)} {
		admit(r, broker.Conn(i), as(fmt.Sprint("c", i)), "token", until)
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
		got := due(r, s.now)
		if s.now.Equal(at(10)) {
			slices.Sort(got) // which of two goes first is open
		}
		if !slices.Equal(got, s.due) || !r.NextDeadline().Equal(s.next) {
			t.Errorf("%s: got %v, next %s", s.rule, got, r.NextDeadline())
		}
	}
	if r.Len() != 5 {
		t.Errorf("%d live: who is due stays until it leaves", r.Len())
	}
}

func TestAdmitKeepsWhatTheKickNeeds(t *testing.T) {
	r := session.NewRegistry()
	admit(r, 7, as("c"), `jti "1"`, at(1))
	if s := r.Due(at(1)); s.Conn != 7 || s.ClientID != "c" || s.LogID != `jti "1"` || !s.LeaveAt.Equal(at(1)) {
		t.Errorf("got %+v", s)
	}
}

func TestLeave(t *testing.T) {
	r := session.NewRegistry()
	admit(r, 1, as("a"), "", at(10))
	admit(r, 2, as("b"), "", at(20))
	admit(r, 3, as("c"), "", never)
	r.Leave(1)
	r.Leave(1)  // again
	r.Leave(99) // never admitted, as after a failed login
	r.Leave(3)
	if r.Len() != 1 || !r.NextDeadline().Equal(at(20)) {
		t.Errorf("%d live, next %s", r.Len(), r.NextDeadline())
	}
	if got := due(r, at(100)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("due %v", got)
	}
	r.Leave(2) // from inside its kick
	if r.Len() != 0 {
		t.Errorf("%d live", r.Len())
	}
}

// TestLeaveInsideAKick: the broker calls Disconnect while the due ones are being taken out.
func TestLeaveInsideAKick(t *testing.T) {
	r := session.NewRegistry()
	for i := range 100 {
		admit(r, broker.Conn(i), as(fmt.Sprint(i)), "", at(i%7))
	}
	kicked := 0
	for s := r.Due(at(7)); s != nil; s = r.Due(at(7)) {
		r.Leave(s.Conn)
		if kicked%3 == 0 {
			r.Leave(s.Conn + 1) // somebody else goes, too
		}
		kicked++
	}
	if r.Len() != 0 || !r.NextDeadline().IsZero() || kicked == 0 {
		t.Errorf("%d live, next %s", r.Len(), r.NextDeadline())
	}
}

// TestAddressIsReused: the broker may have let go of the first without a word (2.0 with a failed CONNACK).
func TestAddressIsReused(t *testing.T) {
	r := session.NewRegistry()
	admit(r, 1, as("old"), "", at(10))
	admit(r, 1, as("new"), "", at(20))
	if r.Len() != 1 || !r.NextDeadline().Equal(at(20)) {
		t.Errorf("%d live, next %s", r.Len(), r.NextDeadline())
	}
	r.OpenSweep()
	if r.Reaffirm(by(1, as("old")), at(5)) || !r.Reaffirm(by(1, as("new")), at(5)) {
		t.Error("the old client is reaffirmed, or the new one is not")
	}
	if got := due(r, at(100)); !slices.Equal(got, []string{"new"}) {
		t.Errorf("due %v", got)
	}
	admit(r, 1, as("newest"), "", never) // after it was due
	if r.Len() != 1 || !r.NextDeadline().IsZero() {
		t.Errorf("%d live, next %s", r.Len(), r.NextDeadline())
	}
}

// TestTakeover: the broker asks for the new connection first and ends the old one then, both under one client id.
func TestTakeover(t *testing.T) {
	r := session.NewRegistry()
	admit(r, 1, as("c"), "old token", at(10))
	admit(r, 2, as("c"), "new token", at(20))
	r.Leave(1)
	if got := due(r, at(19)); got != nil {
		t.Errorf("the old session's expiry hit %v", got)
	}
	if s := r.Due(at(20)); s == nil || s.Conn != 2 || s.LogID != "new token" {
		t.Errorf("got %+v", s)
	}
}

// digested is a password that consists of what is digested of another with a username.
func digested(password, username string) string {
	digest := session.DigestOf(&password)
	return string(digest[:]) + "\x01" + username
}

func TestReaffirm(t *testing.T) {
	name, other := "c", "d"
	with := func(id string, username *string, password string) broker.Connect {
		return broker.Connect{ClientID: id, Username: username, Password: &password}
	}
	original := with("c", &name, "p")
	admitted := func(r *session.Registry) { admit(r, 1, original, "", at(10)) }
	left := func(r *session.Registry) { admitted(r); r.Leave(1) }
	expired := func(r *session.Registry) { admitted(r); r.Due(at(10)); r.Leave(1) }
	cases := []struct {
		rule   string
		before func(*session.Registry)
		client broker.Conn
		with   broker.Connect
		want   bool
	}{
		{"who was admitted", admitted, 1, original, true},
		{"nobody who was not", func(*session.Registry) {}, 1, original, false},
		{"nobody who has left: its address may be another's", left, 1, original, false},
		{"nobody who was kicked", expired, 1, original, false},
		{"nobody past the deadline", func(r *session.Registry) { admit(r, 1, original, "", at(5)) }, 1, original, false},
		{"nobody who is about to be disconnected", func(r *session.Registry) { admitted(r); r.Expel(r.Of(1), at(10), "revoked") }, 1, original, false},
		{"who has no deadline", func(r *session.Registry) { admit(r, 1, original, "", never) }, 1, original, true},
		{"another connection", admitted, 2, original, false},
		{"another connection, the first has left", left, 2, original, false},
		{"another client id", admitted, 1, with("d", &name, "p"), false},
		{"another username", admitted, 1, with("c", &other, "p"), false},
		{"no username", admitted, 1, with("c", nil, "p"), false},
		{"an empty username is another than none", func(r *session.Registry) { admit(r, 1, with("c", nil, "p"), "", never) }, 1, with("c", new(string), "p"), false},
		{"none is none", func(r *session.Registry) { admit(r, 1, with("c", nil, "p"), "", never) }, 1, with("c", nil, "p"), true},
		{"no password", admitted, 1, broker.Connect{ClientID: "c", Username: &name}, false},
		{"no password where there was none", func(r *session.Registry) { admit(r, 1, broker.Connect{ClientID: "c", Username: &name}, "", never) }, 1, broker.Connect{ClientID: "c", Username: &name}, true},
		{"an empty password is another than none", func(r *session.Registry) { admit(r, 1, broker.Connect{ClientID: "c", Username: &name}, "", never) }, 1, with("c", &name, ""), false},
		{"another password", admitted, 1, with("c", &name, "q"), false},
		{"another password, the first has left", left, 1, with("c", &name, "q"), false},
		{"a digest can't stand in for a password", admitted, 1, with("c", nil, digested("p", "c")), false},
		{"letters can't move from one field to the next", func(r *session.Registry) { admit(r, 1, with("ab", &name, "p"), "", never) }, 1, with("a", func() *string { s := "bc"; return &s }(), "p"), false},
		{"a username can't stand in for none", func(r *session.Registry) { admit(r, 1, with("c", nil, "cp"), "", never) }, 1, with("c", &name, "p"), false},
		{"with the address reused by another", func(r *session.Registry) { left(r); admit(r, 1, as("x"), "", never) }, 1, original, false},
		{"with the address reused by another that has left", func(r *session.Registry) { left(r); admit(r, 1, as("x"), "", never); r.Leave(1) }, 1, original, false},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			r := session.NewRegistry()
			c.before(r)
			if r.Reaffirm(by(c.client, c.with), at(5)) {
				t.Error("reaffirmed outside of a sweep")
			}
			r.OpenSweep()
			if got := r.Reaffirm(by(c.client, c.with), at(5)); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
			if r.Reaffirm(by(c.client, c.with), at(5)) {
				t.Error("reaffirmed twice in a sweep")
			}
			r.CloseSweep()
			if r.Reaffirm(by(c.client, c.with), at(5)) {
				t.Error("reaffirmed after the sweep")
			}
			r.OpenSweep()
			if got := r.Reaffirm(by(c.client, c.with), at(5)); got != c.want {
				t.Errorf("in the next sweep: got %t, want %t", got, c.want)
			}
		})
	}
}

func TestReaffirmInASweep(t *testing.T) {
	r := session.NewRegistry()
	admit(r, 1, as("old"), "", never)
	r.OpenSweep()
	admit(r, 2, as("new"), "", never)
	if r.Reaffirm(by(2, as("new")), at(5)) {
		t.Error("who came in during the sweep was asked for already")
	}
	if r.Reaffirm(by(1, as("x")), at(5)) || !r.Reaffirm(by(1, as("old")), at(5)) {
		t.Error("a wrong answer used up the right one, or was taken for it")
	}
	r.OpenSweep() // a second reload before the sweep has closed
	if !r.Reaffirm(by(1, as("old")), at(5)) || !r.Reaffirm(by(2, as("new")), at(5)) {
		t.Error("the second sweep does not ask for all")
	}
}

// TestReaffirmAfterASweepThatDidNotAsk: the broker asks in the sweep or not at all, so that afterwards whoever asks is new.
func TestReaffirmAfterASweepThatDidNotAsk(t *testing.T) {
	r := session.NewRegistry()
	admit(r, 1, as("c"), "", never)
	r.OpenSweep()
	r.CloseSweep()
	if r.Reaffirm(by(1, as("c")), at(5)) {
		t.Error("reaffirmed after the sweep")
	}
}

// TestReaffirmChangesNoDeadline: after a reload the old deadline counts.
func TestReaffirmChangesNoDeadline(t *testing.T) {
	r := session.NewRegistry()
	admit(r, 1, as("c"), "", at(10))
	r.OpenSweep()
	r.Reaffirm(by(1, as("c")), at(5))
	r.CloseSweep()
	if got := due(r, at(10)); !slices.Equal(got, []string{"c"}) || r.Len() != 1 {
		t.Errorf("due %v, %d live", got, r.Len())
	}
}

// TestAgainstASimpleRegistry plays many random events on the Registry and on a list, which must agree.
func TestAgainstASimpleRegistry(t *testing.T) {
	type entry struct {
		until time.Time
		due   bool
	}
	r, simple := session.NewRegistry(), map[broker.Conn]*entry{}
	random := rand.New(rand.NewPCG(1, 2))
	now := 0
	for step := range 20000 {
		client := broker.Conn(random.IntN(50))
		switch random.IntN(4) {
		case 0, 1:
			until := at(now + random.IntN(100))
			if random.IntN(5) == 0 {
				until = never
			}
			admit(r, client, as("c"), "", until)
			simple[client] = &entry{until: until}
		case 2:
			r.Leave(client)
			delete(simple, client)
		case 3:
			now += random.IntN(20)
			got := map[broker.Conn]bool{}
			for s, last := r.Due(at(now)), never; s != nil; s = r.Due(at(now)) {
				if got[s.Conn] = true; s.LeaveAt.Before(last) {
					t.Fatalf("step %d: %s came after %s", step, s.LeaveAt, last)
				}
				last = s.LeaveAt
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
		if r.Len() != len(simple) || !r.NextDeadline().Equal(next) {
			t.Fatalf("step %d: %d live, next %s, want %d, %s", step, r.Len(), r.NextDeadline(), len(simple), next)
		}
	}
}

// TestTimersAgainstAList plays many random events that move both timers of a session, and compares them with a list.
func TestTimersAgainstAList(t *testing.T) {
	type entry struct {
		s            *session.Session
		leave, asked time.Time // never: in no timer
	}
	r, list := session.NewRegistry(), map[broker.Conn]*entry{}
	random := rand.New(rand.NewPCG(5, 6))
	providers := []provider.ID{"a", "b", "c"}
	now := 0
	for step := range 30000 {
		conn := broker.Conn(random.IntN(40))
		e, later := list[conn], at(now+random.IntN(60)-5)
		switch what := random.IntN(10); {
		case what < 3:
			s := &session.Session{Provider: providers[random.IntN(len(providers))]}
			if random.IntN(4) > 0 {
				s.LeaveAt = later
			}
			r.Admit(s, by(conn, as(fmt.Sprint(conn))), session.Digest{})
			e = &entry{s: s, leave: s.LeaveAt}
			if random.IntN(2) == 0 {
				s.Asked = &session.Asked{Bearer: session.NewBearer("a token")}
				e.asked = later
				r.Recheck(s, later)
			}
			list[conn] = e
		case what == 3:
			r.Leave(conn)
			delete(list, conn)
			if e != nil && (r.Lives(e.s) || e.s.Asked != nil) {
				t.Fatalf("step %d: it lives on", step)
			}
		case e == nil:
		case what == 4:
			r.Expel(e.s, later, "revoked")
			e.leave = later
		case what == 5 && e.s.Asked != nil:
			r.Recheck(e.s, later)
			e.asked = later
		case what == 6:
			r.Forgo(e.s)
			e.asked = never
		case what == 7:
			now += random.IntN(10)
		case what == 8:
			want := 0
			for _, e := range list {
				if !e.leave.IsZero() && !at(now).Before(e.leave) {
					want++
				}
			}
			for s := r.Due(at(now)); s != nil; s = r.Due(at(now)) {
				if e := list[s.Conn]; e.s != s || e.leave.IsZero() || at(now).Before(e.leave) {
					t.Fatalf("step %d: %d is not due", step, s.Conn)
				}
				list[s.Conn].leave = never
				want--
			}
			if want != 0 {
				t.Fatalf("step %d: %d are missing", step, want)
			}
		case what == 9:
			id := providers[random.IntN(len(providers))]
			s := r.DueRecheck(id, at(now))
			first := never
			for _, e := range list {
				if e.s.Provider == id && !e.asked.IsZero() && (first.IsZero() || e.asked.Before(first)) {
					first = e.asked
				}
			}
			if due := !first.IsZero() && !at(now).Before(first); due != (s != nil) || due && !list[s.Conn].asked.Equal(first) {
				t.Fatalf("step %d: due %t, got %v", step, due, s)
			}
			if s != nil {
				list[s.Conn].asked = never
			}
		}
		next, asked, counts := never, map[provider.ID]time.Time{}, map[provider.ID]int{}
		for _, e := range list {
			if !e.leave.IsZero() && (next.IsZero() || e.leave.Before(next)) {
				next = e.leave
			}
			if !e.asked.IsZero() {
				counts[e.s.Provider]++
				if first := asked[e.s.Provider]; first.IsZero() || e.asked.Before(first) {
					asked[e.s.Provider] = e.asked
				}
			}
		}
		first := r.NextDeadline()
		if limit := r.NextLimit(); first.IsZero() || !limit.IsZero() && limit.Before(first) {
			first = limit // those who are to be disconnected for another reason
		}
		if !first.Equal(next) || len(slices.Collect(r.Rechecked())) != len(counts) {
			t.Fatalf("step %d: next %s, want %s; %d providers, want %d", step, first, next, len(slices.Collect(r.Rechecked())), len(counts))
		}
		for _, id := range providers {
			if r.Rechecks(id) != counts[id] || !r.NextRecheck(id).Equal(asked[id]) {
				t.Fatalf("step %d: of %s %d are asked about, at %s, want %d, %s", step, id, r.Rechecks(id), r.NextRecheck(id), counts[id], asked[id])
			}
		}
	}
}

// Rechecks are apart from the deadlines, and end with the session.
func TestRechecks(t *testing.T) {
	r := session.NewRegistry()
	one, two, three := admit(r, 1, as("one"), "", at(50)), admit(r, 2, as("two"), "", never), admit(r, 3, as("three"), "", never)
	for _, s := range []*session.Session{one, two, three} {
		s.Asked = &session.Asked{Bearer: session.NewBearer("a token")}
	}
	r.Recheck(one, at(30))
	r.Recheck(two, at(20))
	r.Recheck(three, at(10))
	r.Recheck(three, at(40)) // moved
	asked := func(now time.Time) (names []string) {
		for s := r.DueRecheck("", now); s != nil; s = r.DueRecheck("", now) {
			names = append(names, s.ClientID)
		}
		return names
	}
	if got := asked(at(20).Add(-1)); got != nil || !r.NextRecheck("").Equal(at(20)) {
		t.Errorf("before the first: %v, next %s", got, r.NextRecheck(""))
	}
	if got := asked(at(30)); !slices.Equal(got, []string{"two", "one"}) || !r.NextRecheck("").Equal(at(40)) {
		t.Errorf("got %v, next %s", got, r.NextRecheck(""))
	}
	if !r.NextDeadline().Equal(at(50)) {
		t.Errorf("the deadline is at %s", r.NextDeadline())
	}
	r.Recheck(one, at(60))
	r.Leave(1)
	r.Leave(3)
	if got := asked(at(1e9)); got != nil || r.Lives(one) || !r.Lives(two) || one.Asked != nil {
		t.Errorf("after they left: %v, lives %t, %t, asked %+v", got, r.Lives(one), r.Lives(two), one.Asked)
	}
	// The next one at the same address is another session.
	again := admit(r, 1, as("one"), "", never)
	if r.Lives(one) || !r.Lives(again) {
		t.Error("the old session lives by the address of the new one")
	}
}

func admit(r *session.Registry, client broker.Conn, with broker.Connect, token string, until time.Time) *session.Session {
	s := &session.Session{LogID: token, LeaveAt: until}
	r.Admit(s, by(client, with), session.DigestOf(with.Password))
	return s
}

// Whoever is to be disconnected for another reason than its end is given out when it is tried, and not reaffirmed.
func TestExpel(t *testing.T) {
	for _, until := range []time.Time{at(60), at(1), never} {
		r := session.NewRegistry()
		s := &session.Session{LeaveAt: until}
		r.Admit(s, by(1, as("a")), session.DigestOf(as("a").Password))
		r.Expel(s, at(10), "revoked")
		if got := due(r, at(9)); got != nil {
			t.Errorf("due before: %q", got)
		}
		r.OpenSweep()
		if r.Reaffirm(by(1, as("a")), at(0)) {
			t.Error("reaffirmed")
		}
		if got := due(r, at(10)); !slices.Equal(got, []string{"a"}) || s.Why() != "revoked" {
			t.Errorf("due: %q, because %q", got, s.Why())
		}
	}
}

// A renewal moves the deadline, and nobody is asked about the old token any more; the limit stays where it was.
func TestRenew(t *testing.T) {
	r := session.NewRegistry()
	s := admit(r, 1, as("a"), "old", at(10))
	s.Asked = &session.Asked{}
	r.Recheck(s, at(5))
	r.Limit(s, at(100))
	for _, c := range []struct {
		rule  string
		until time.Time
		due   int // a second before it is not
	}{
		{"later", at(50), 50},
		{"sooner", at(20), 20},
		{"never, but for the limit", never, 100},
		{"beyond the limit", at(200), 100},
	} {
		r.Renew(s, "new", c.until)
		if s.LogID != "new" || s.Asked != nil || r.Rechecks("") != 0 {
			t.Errorf("%s: %+v", c.rule, s)
		}
		if s.Over(at(c.due-1)) || !s.Over(at(c.due)) {
			t.Errorf("%s: over at %s: %t", c.rule, at(c.due-1), s.Over(at(c.due-1)))
		}
	}
	if got := due(r, at(99)); got != nil {
		t.Errorf("due before: %q", got)
	}
	if got := due(r, at(100)); !slices.Equal(got, []string{"a"}) || !r.NextLimit().IsZero() {
		t.Errorf("due: %q, next %s", got, r.NextLimit())
	}
}

func TestLimits(t *testing.T) {
	r := session.NewRegistry()
	one, two := admit(r, 1, as("one"), "", never), admit(r, 2, as("two"), "", at(30))
	r.Limit(one, never)
	if !r.NextLimit().IsZero() || one.Over(at(1e9)) {
		t.Error("a limit that is none")
	}
	r.Limit(one, at(20))
	r.Limit(two, at(10))
	if r.NextLimit() != at(10) || r.NextDeadline() != at(30) {
		t.Errorf("next %s, %s", r.NextLimit(), r.NextDeadline())
	}
	r.Limit(two, at(40))
	r.OpenSweep()
	if r.Reaffirm(by(1, as("one")), at(20)) || !r.Reaffirm(by(2, as("two")), at(20)) {
		t.Error("reaffirmed past its limit")
	}
	r.Leave(1)
	if got := due(r, at(29)); got != nil || r.NextLimit() != at(40) {
		t.Errorf("who has left is due: %q", got)
	}
	r.Limit(one, at(1))
	if r.NextLimit() != at(40) {
		t.Error("who has left has a limit")
	}
	if got := due(r, at(50)); !slices.Equal(got, []string{"two", "two"}) {
		t.Errorf("due: %q", got) // by its deadline and by its limit; it stays until it leaves
	}
}

// Who was let in by AUTH is reaffirmed whatever password is shown: nobody has judged that.
func TestReaffirmByAuth(t *testing.T) {
	r := session.NewRegistry()
	connect := by(1, as("a"))
	connect.Password = nil
	s := &session.Session{ByAuth: true}
	r.Admit(s, connect, session.DigestOf(nil))
	other := "other"
	for rule, change := range map[string]func(*broker.Connect){
		"no password":      func(*broker.Connect) {},
		"a password":       func(c *broker.Connect) { c.Password = &other },
		"another username": func(c *broker.Connect) { c.Username = &other },
		"no username":      func(c *broker.Connect) { c.Username = nil },
		"another id":       func(c *broker.Connect) { c.ClientID = other },
		"another address":  func(c *broker.Connect) { c.Conn = 2 },
	} {
		r.OpenSweep()
		shown := connect
		change(&shown)
		if got := r.Reaffirm(shown, at(0)); got != strings.HasSuffix(rule, "password") {
			t.Errorf("%s: %t", rule, got)
		}
	}
}

func TestSessionsAreCountedByProvider(t *testing.T) {
	r, told := session.NewRegistry(), map[provider.ID]int{}
	admit := func(client broker.Conn, by provider.ID) {
		r.Admit(&session.Session{Provider: by}, broker.Connect{Conn: client, ClientID: "c"}, session.Digest{})
	}
	check := func(a, b int) {
		t.Helper()
		if r.LenOf("a") != a || r.LenOf("b") != b || told["a"] != a || told["b"] != b {
			t.Errorf("%d, %d; told %v, want %d, %d", r.LenOf("a"), r.LenOf("b"), told, a, b)
		}
		for by := range r.Providers() {
			if r.LenOf(by) == 0 {
				t.Errorf("%s has none", by)
			}
		}
	}
	r.Counted = func(by provider.ID, sessions int) { told[by] = sessions }
	check(0, 0)
	admit(1, "a")
	admit(2, "b")
	check(1, 1)
	admit(2, "a") // its address is reused
	check(2, 0)
	r.Leave(1)
	r.Leave(1)
	r.Leave(7)
	check(1, 0)
	r.Leave(2)
	check(0, 0)
}
