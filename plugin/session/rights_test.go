package session_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// rightsEnv is a table, its clock, and whom the broker asks about.
type rightsEnv struct {
	*session.RightsTable
	now   time.Time
	asked map[broker.Conn]bool
	// times counts how often the table has told of a connection.
	times map[broker.Conn]int
}

func newRightsEnv() *rightsEnv {
	e := &rightsEnv{now: at(0), asked: map[broker.Conn]bool{}, times: map[broker.Conn]int{}}
	e.RightsTable = session.NewRightsTable(func(c broker.Conn, ask bool) {
		e.times[c]++
		if ask {
			e.asked[c] = true
		} else {
			delete(e.asked, c)
		}
	}, func() time.Time { return e.now })
	return e
}

func (e *rightsEnv) grantFor(conn broker.Conn, id, username string, access broker.Access) *session.Grant {
	g, _ := e.For(conn, id, username, access)
	return g
}

// enter lets a client in with rights that are its own.
func (e *rightsEnv) enter(conn broker.Conn, id, username string) *session.Grant {
	g := &session.Grant{Rights: new(rights.Rights)}
	e.CameBy(id)
	e.Enter(conn, id, username, g)
	return g
}

// The border remembers what was accepted of a client that is connected until it is told of the connection again.
func TestWhatLastsEndsWithTheConnectionAndItsRights(t *testing.T) {
	for _, c := range []struct {
		rule  string
		event func(e *rightsEnv)
	}{
		{"it has left", func(e *rightsEnv) { e.Leave(1, session.KeptNothing) }},
		{"it has left, and has a will", func(e *rightsEnv) { e.Leave(1, session.KeptWill) }},
		{"it is away", func(e *rightsEnv) { e.Leave(1, session.KeptSession) }},
		{"it has other rights", func(e *rightsEnv) { e.Replace(1, new(rights.Rights)) }},
		{"it has logged in again", func(e *rightsEnv) { e.enter(1, "c", "u") }},
		{"its address is another's", func(e *rightsEnv) { e.Drop(1) }},
		{"nobody is asked about any more", func(e *rightsEnv) { e.Clear() }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := newRightsEnv()
			e.enter(1, "c", "u")
			if _, lasts := e.For(1, "c", "u", broker.Write); !lasts {
				t.Fatal("what is said of a client that is connected does not last")
			}
			before := e.times[1]
			c.event(e)
			if e.times[1] == before {
				t.Error("what was said goes on lasting")
			}
		})
	}
	for kept := session.KeptNothing; kept <= session.KeptSession; kept++ {
		e := newRightsEnv()
		e.enter(1, "c", "u")
		e.Leave(1, kept)
		if g, lasts := e.For(1, "c", "u", broker.Write); g == nil || lasts {
			t.Errorf("kept %d: %v, and lasts: %t", kept, g, lasts)
		}
	}
}

// Whose address? Rights count for the connection, the client id and the username that they were given to, for as long as nobody
// else is known to be there.
func TestWhoseRights(t *testing.T) {
	for _, c := range []struct {
		rule   string
		before func(e *rightsEnv)
		// has: client id "c" at address 1, by username "u", has its rights; asked: the broker asks about the address.
		has, asked bool
	}{
		{"nobody was let in", func(*rightsEnv) {}, false, false},
		{"it is connected", func(*rightsEnv) {}, true, true},
		{"its connection has ended: until its will is judged", func(e *rightsEnv) { e.Leave(1, session.KeptNothing) }, true, true},
		{"and no longer", func(e *rightsEnv) { e.Leave(1, session.KeptNothing); e.EndDue() }, false, false},
		{"its session is kept", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.EndDue() }, true, true},
		{"its end is told twice", func(e *rightsEnv) { e.Leave(1, session.KeptNothing); e.Leave(1, session.KeptNothing); e.EndDue() }, false, false},
		{"somebody takes over the session that is kept", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.Leave(1, session.KeptNothing) }, true, true},
		{"and has taken it over", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.Leave(1, session.KeptNothing); e.EndDue() }, false, false},
		{"somebody comes by its id: until its will is judged", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.CameBy("c") }, true, true},
		{"somebody has come by its id", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.CameBy("c"); e.EndDue() }, false, false},
		{"somebody comes by another id", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.CameBy("d"); e.EndDue() }, true, true},
		{"somebody takes over from it who is connected", func(e *rightsEnv) { e.enter(2, "c", "u"); e.EndDue() }, true, true},
		{"and its end is told then", func(e *rightsEnv) { e.enter(2, "c", "u"); e.Leave(1, session.KeptNothing); e.EndDue() }, false, false},
		{"somebody without rights is at its address", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.Drop(1) }, false, false},
		{"another client with rights is at its address", func(e *rightsEnv) { e.Leave(1, session.KeptNothing); e.enter(1, "d", "u") }, false, true},
		{"that one is not ended in its place", func(e *rightsEnv) { e.Leave(1, session.KeptNothing); e.enter(1, "d", "u"); e.EndDue() }, false, true},
		{"the same client is at its address again", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.enter(1, "c", "u"); e.EndDue() }, true, true},
		{"it has been away for long", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.now = e.now.Add(session.RightsAwayFor - 1) }, true, true},
		{"it has been away for too long", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.now = e.now.Add(session.RightsAwayFor) }, false, false},
		{"the broker asks again about all that are away", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.DropOther(1, "c", "u") }, true, true},
		{"and about another one at its address", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.DropOther(1, "d", "u") }, false, false},
		{"and about another one by its id", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.DropOther(1, "c", "v") }, false, false},
		{"and about another one by its names, nothing of it being kept", func(e *rightsEnv) { e.Leave(1, session.KeptNothing); e.DropOther(1, "c", "u") }, false, false},
		{"all are forgotten", func(e *rightsEnv) { e.Clear() }, false, false},
		{"all are forgotten, it being away", func(e *rightsEnv) { e.Leave(1, session.KeptSession); e.Clear() }, false, false},
		{"all are forgotten, it being about to end", func(e *rightsEnv) { e.Leave(1, session.KeptNothing); e.Clear(); e.EndDue() }, false, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := newRightsEnv()
			var g *session.Grant
			if c.rule != "nobody was let in" {
				g = e.enter(1, "c", "u")
			}
			c.before(e)
			got := e.Of(1, "c", "u")
			if (got != nil) != c.has || got != nil && c.rule != "the same client is at its address again" && got != g {
				t.Errorf("rights %p, want its own: %t", got, c.has)
			}
			if e.asked[1] != c.asked {
				t.Errorf("asked about: %t", e.asked[1])
			}
			for _, other := range [][2]string{{"c", "v"}, {"d", "u"}, {"", "u"}, {"c", ""}, {strings.Repeat("c", 100), "u"}} {
				if e.Of(1, other[0], other[1]) == g && g != nil {
					t.Errorf("%q by username %q has them, too", other[0], other[1])
				}
			}
			if e.Of(3, "c", "u") != nil {
				t.Error("from any address")
			}
		})
	}
}

// Of a client whose session is not kept, the broker may ask about the will alone, once.
func TestRightsForAWillThatIsJudgedLater(t *testing.T) {
	e := newRightsEnv()
	g := e.enter(1, "c", "u")
	e.Leave(1, session.KeptWill)
	e.EndDue()
	for _, access := range []broker.Access{broker.Read, broker.Subscribe, broker.Unsubscribe} {
		if e.grantFor(1, "c", "u", access) != nil {
			t.Errorf("access %d", access)
		}
	}
	if e.grantFor(1, "c", "v", broker.Write) != nil || e.grantFor(1, "d", "u", broker.Write) != nil || e.grantFor(2, "c", "u", broker.Write) != nil {
		t.Error("somebody else's")
	}
	e.DropOther(1, "c", "u")
	if e.grantFor(1, "c", "u", broker.Write) != g || e.grantFor(1, "c", "u", broker.Write) != nil || len(e.asked) != 0 {
		t.Error("not once")
	}
	e.enter(1, "c", "u")
	e.Leave(1, session.KeptWill)
	e.now = e.now.Add(session.RightsAwayFor)
	if e.grantFor(1, "c", "u", broker.Write) != nil {
		t.Error("after too long")
	}
}

// A client that is away is found by its id for what it has published before.
func TestRightsOfWhoeverIsAway(t *testing.T) {
	e := newRightsEnv()
	g := e.enter(1, "c", "u")
	if e.OfAway("c", "u") != nil {
		t.Error("it is connected")
	}
	e.Leave(1, session.KeptSession)
	if e.OfAway("c", "u") != g || e.OfAway("c", "v") != nil || e.OfAway("d", "u") != nil {
		t.Error("not its own alone")
	}
	e.CameBy("c")
	e.EndDue()
	if e.OfAway("c", "u") != nil {
		t.Error("it was taken over")
	}
}

// Rights can be replaced for as long as the client is connected, if its token gave it some.
func TestRightsAreReplaced(t *testing.T) {
	e := newRightsEnv()
	e.Replace(1, new(rights.Rights))
	if len(e.asked) != 0 {
		t.Error("somebody got rights who was not let in")
	}
	e.enter(1, "c", "u")
	next := new(rights.Rights)
	e.Replace(1, next)
	if e.Of(1, "c", "u").Rights != next {
		t.Error("not replaced")
	}
	e.enter(1, "c", "u")
	e.Leave(1, session.KeptSession)
	e.Replace(1, next)
	if e.Of(1, "c", "u").Rights == next {
		t.Error("replaced while it was away")
	}
	e.Enter(2, "d", "u", &session.Grant{Rights: rights.None})
	e.Replace(2, new(rights.Rights))
	if e.Of(2, "d", "u").Rights != rights.None {
		t.Error("replaced where others decide")
	}
}

// ACL_CHECK stays registered for those that are connected with rights of their own.
func TestWhoIsBound(t *testing.T) {
	e := newRightsEnv()
	want := func(n int) {
		t.Helper()
		if got := e.Bound(); got != n {
			t.Fatalf("%d, want %d", got, n)
		}
	}
	e.enter(1, "a", "")
	e.enter(2, "b", "")
	e.Enter(3, "c", "", &session.Grant{Rights: rights.None})
	want(2)
	e.enter(1, "a", "")
	want(2)
	e.Replace(2, new(rights.Rights))
	want(2)
	e.Leave(1, session.KeptSession)
	e.Leave(1, session.KeptNothing)
	e.Leave(2, session.KeptNothing)
	e.Leave(2, session.KeptNothing)
	e.EndDue()
	want(0)
	e.enter(1, "a", "")
	e.Drop(1)
	e.Drop(1)
	want(0)
	e.enter(1, "a", "")
	e.Clear()
	want(0)
}

// However many come and leave, memory is bounded, and the broker asks about nobody else.
func TestRightsAwayAreBounded(t *testing.T) {
	e := newRightsEnv()
	const many = session.MaxRightsAway + 100
	for i := range broker.Conn(many) {
		e.enter(i+1, fmt.Sprint(i), "u")
		e.Leave(i+1, session.KeptSession)
	}
	if len(e.asked) != session.MaxRightsAway {
		t.Errorf("the broker asks about %d", len(e.asked))
	}
	for i := range broker.Conn(session.MaxWillsAway + 100) {
		e.enter(i+2*many, fmt.Sprint("will ", i), "u")
		e.Leave(i+2*many, session.KeptWill)
	}
	if len(e.asked) != session.MaxRightsAway+session.MaxWillsAway {
		t.Errorf("the broker asks about %d", len(e.asked))
	}
	if e.OfAway("0", "u") != nil || e.OfAway(fmt.Sprint(100), "u") == nil || e.OfAway(fmt.Sprint(many-1), "u") == nil {
		t.Error("not the oldest were forgotten")
	}
}

// Clients may have many names by one token, with rights that are large.
func TestBytesOfRightsAwayAreBounded(t *testing.T) {
	cfg := &config.Provider{Authorization: &config.Authorization{MaxRules: 4, Rules: []config.RightsClaim{{Format: config.RightsPublSubs}}}}
	long := strings.Repeat("x", 60000)
	held, v := rights.New(cfg).Compile(token.NewClaims(map[string]any{"publ": []any{long, long, long, long}}), rights.Who{}, nil)
	if v.Kind != verdict.Accept || held.Size() < 4*len(long) {
		t.Fatal(v)
	}
	for kept, most := range map[session.Kept]int{session.KeptSession: session.MaxBytesAway, session.KeptWill: session.MaxBytesAway / 4} {
		e, room := newRightsEnv(), most/held.Size()
		come := func(from, to int) {
			for i := from; i < to; i++ {
				conn, id := broker.Conn(i+1), fmt.Sprint(i)
				e.Enter(conn, id, "u", &session.Grant{Rights: held})
				e.Leave(conn, kept)
			}
		}
		come(0, room)
		if len(e.asked) != room {
			t.Errorf("%d: the broker asks about %d of %d for which there is room", kept, len(e.asked), room)
		}
		e.Drop(1) // and makes room
		come(room, room+1)
		if !e.asked[2] {
			t.Errorf("%d: no room was made", kept)
		}
		come(room+1, 2*room)
		if len(e.asked) != room || e.asked[2] || !e.asked[broker.Conn(2*room)] {
			t.Errorf("%d: the broker asks about %d, want %d, the last ones", kept, len(e.asked), room)
		}
		e.Clear()
		come(0, room)
		if len(e.asked) != room {
			t.Errorf("%d: after all were forgotten it asks about %d", kept, len(e.asked))
		}
	}
}

// TestRightsAgainstAList plays many random events on the table and on a list, which must agree.
func TestRightsAgainstAList(t *testing.T) {
	type entry struct {
		id, username                   string
		grant                          *session.Grant
		connected, away, endings, will bool
	}
	e, list := newRightsEnv(), map[broker.Conn]*entry{}
	random := rand.New(rand.NewPCG(5, 6))
	for step := range 50_000 {
		conn, id, username := broker.Conn(random.IntN(6)+1), fmt.Sprint(random.IntN(4)), fmt.Sprint(random.IntN(2))
		switch random.IntN(7) {
		case 6:
			var want *session.Grant
			at := list[conn]
			if at != nil && at.id == id && at.username == username {
				want = at.grant
				if at.will {
					delete(list, conn)
				}
			}
			if got := e.grantFor(conn, id, username, broker.Write); got != want {
				t.Fatalf("step %d: to publish: got %p, want %p", step, got, want)
			}
		case 0:
			for _, other := range list {
				other.endings = other.endings || other.away && other.id == id
			}
			list[conn] = &entry{id: id, username: username, grant: e.enter(conn, id, username), connected: true}
		case 1, 2:
			keeps := session.Kept(random.IntN(3))
			kept := keeps != session.KeptNothing
			e.Leave(conn, keeps)
			if at := list[conn]; at != nil {
				at.endings = at.endings || !kept || at.away
				for _, other := range list {
					other.endings = other.endings || at.connected && kept && other.away && other.id == at.id
				}
				at.will = at.will || at.connected && keeps == session.KeptWill
				at.away = at.away || at.connected && kept
				at.connected = false
			}
		case 3:
			e.Drop(conn)
			delete(list, conn)
		case 4:
			e.EndDue()
			maps.DeleteFunc(list, func(_ broker.Conn, at *entry) bool { return at.endings })
		case 5:
			e.DropOther(conn, id, username)
			if at := list[conn]; at != nil && (at.id != id || at.username != username || !at.connected && !at.away && !at.will) {
				delete(list, conn)
			}
		}
		bound := 0
		for c := broker.Conn(1); c <= 6; c++ {
			at := list[c]
			for n := range 8 {
				id, username := fmt.Sprint(n%4), fmt.Sprint(n/4)
				var want *session.Grant
				if at != nil && at.id == id && at.username == username && !at.will {
					want = at.grant
				}
				if got := e.Of(c, id, username); got != want {
					t.Fatalf("step %d: %q at %d by %q: got %p, want %p", step, id, c, username, got, want)
				}
			}
			if at != nil && at.connected {
				bound++
			}
			if e.asked[c] != (at != nil) {
				t.Fatalf("step %d: asks about %d: %t", step, c, e.asked[c])
			}
		}
		if e.Bound() != bound {
			t.Fatalf("step %d: %d are bound, want %d", step, e.Bound(), bound)
		}
	}
}

// What is hashed at each message that the broker queues is bounded. A longer name has its rights for as long as it is connected, and for
// the will.
func TestRightsByLongNamesEndWithTheConnection(t *testing.T) {
	const most = 8 << 10
	for _, c := range []struct {
		id, username int
		kept         session.Kept
		has          bool
	}{
		{1, most - 1, session.KeptSession, true},
		{1, most, session.KeptSession, false},
		{most, 0, session.KeptSession, true},
		{most + 1, 0, session.KeptSession, false},
		{65535, 65535, session.KeptSession, false},
		{65535, 65535, session.KeptWill, false},
	} {
		e := newRightsEnv()
		id, username := strings.Repeat("c", c.id), strings.Repeat("u", c.username)
		g := e.enter(1, id, username)
		if e.Of(1, id, username) != g {
			t.Errorf("%+v: it is connected", c)
		}
		e.Leave(1, c.kept)
		if e.grantFor(1, id, username, broker.Write) != g {
			t.Errorf("%+v: its will", c)
		}
		e.EndDue()
		if got := e.grantFor(1, id, username, broker.Write) == g && e.OfAway(id, username) == g; got != c.has || e.asked[1] != c.has {
			t.Errorf("%+v: later %t, asked about %t", c, got, e.asked[1])
		}
		e.CameBy(id)
		e.EndDue()
		if e.Of(1, id, username) != nil || e.asked[1] {
			t.Errorf("%+v: somebody has come by its id", c)
		}
	}
}
