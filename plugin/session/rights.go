package session

import (
	"crypto/sha256"
	"time"
	"unsafe"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/rights"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// RightsTable knows what clients may do whose tokens gave them rights: those that are connected, and, for a while, those whose
// session the broker keeps while they are away. A connection is an address that comes back with another client behind it, and not
// everybody who comes is told of. So rights count only for the client id and the username that they were given to, too; and
// they end as soon as somebody else is known to be at the address, or by the client id.
//
// It belongs to the broker's thread.
type RightsTable struct {
	ask func(conn broker.Conn, ask bool)
	now func() time.Time

	holders map[broker.Conn]*rightsHolder
	// bound is how many of them are connected and have rights of their own.
	bound int
	// sessions and wills are those who are away, the one that was asked about least recently first: with a session that the broker
	// keeps, or may keep, and with a will at most. awayIDs are their connections by client id.
	sessions, wills *awayHolders
	awayIDs         map[digest]broker.Conn
	// ending are those, connected before or away, that the next Tick ends: the broker asks about wills up to then, and reuses no address
	// before.
	ending map[broker.Conn]struct{}
}

// Grant is what a client may do by its token.
type Grant struct {
	*rights.Rights
	// Provider has judged the token, and LogID names that in the log.
	Provider provider.ID
	LogID    string
	// LogDenied is the provider's `authorization.logDenied`.
	LogDenied bool
	// IDIsToken says that the client id is the token itself, which no message may show.
	IDIsToken bool
}

// Own tells whether the token has given the client rights, other than rights.None.
func (g *Grant) Own() bool { return g.Rights != rights.None }

// rightsHolder is a client that is connected, or has been until now.
type rightsHolder struct {
	id, username string
	grant        *Grant
	gone         bool
}

// awayHolder is a client that is away. Client ids and usernames have up to 65,535 bytes, and so are not kept.
type awayHolder struct {
	id, username digest
	grant        *Grant
	since        time.Time
}

// awayHolders are remembered up to a number of clients and of bytes that their rights take.
type awayHolders struct {
	*simplelru.LRU[broker.Conn, awayHolder]
	bytes, most int
}

func (t *RightsTable) newAwayHolders(clients, most int) *awayHolders {
	a := &awayHolders{most: most}
	var err error
	a.LRU, err = simplelru.NewLRU(clients, func(conn broker.Conn, h awayHolder) {
		a.bytes -= h.grant.Size()
		t.forgotten(conn, h)
	})
	if err != nil {
		panic(err) // only for a size below 1
	}
	return a
}

// add remembers one more, which is not there yet.
func (a *awayHolders) add(conn broker.Conn, h awayHolder) {
	a.bytes += h.grant.Size()
	a.Add(conn, h)
	for a.bytes > a.most {
		a.RemoveOldest()
	}
}

// digest is a SHA-256: nobody can make two names meet.
type digest [sha256.Size]byte

// digestOf copies nothing: its text may be the broker's memory.
func digestOf(text string) digest {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text))) //nolint:gosec // nothing is written there
}

// The rights of a client that is away are remembered for RightsAwayFor: of MaxRightsAway clients whose session is kept, and of MaxWillsAway
// others. After that they are not known, as after a restart of the broker. So are they if those of the former take more than MaxBytesAway,
// or those of the latter a quarter of that: one token can bring many client ids, and its rights may hold each of these often.
const (
	RightsAwayFor = 7 * 24 * time.Hour
	MaxRightsAway = 1 << 16
	MaxWillsAway  = 1 << 12
	MaxBytesAway  = 256 << 20
)

// maxNamesAway is how many bytes the client id and the username of a client that is away may have together: the broker asks about each message
// that it queues, and each time they are hashed. The rights of one with longer names end with its connection.
const maxNamesAway = 8 << 10

func areRemembered(id, username string) bool { return len(id)+len(username) <= maxNamesAway }

// Kept is what the broker keeps of a client whose connection has ended.
type Kept uint8

// What the broker can keep.
const (
	KeptNothing Kept = iota
	// KeptWill: it may keep the will, to publish it later. It asks about that once.
	KeptWill
	// KeptSession: it keeps the session, or may do so.
	KeptSession
)

// NewRightsTable returns an empty table. It tells ask of each connection whether there are rights to ask about, and whenever what was
// said of them does not hold any more.
func NewRightsTable(ask func(conn broker.Conn, ask bool), now func() time.Time) *RightsTable {
	t := &RightsTable{
		ask: ask, now: now,
		holders: map[broker.Conn]*rightsHolder{}, awayIDs: map[digest]broker.Conn{}, ending: map[broker.Conn]struct{}{},
	}
	t.sessions = t.newAwayHolders(MaxRightsAway, MaxBytesAway)
	t.wills = t.newAwayHolders(MaxWillsAway, MaxBytesAway/4)
	return t
}

// Enter records the rights of a client that is let in, by the names that the broker knows it by. An older record of the same
// connection is replaced.
func (t *RightsTable) Enter(conn broker.Conn, id, username string, g *Grant) {
	t.Drop(conn)
	t.holders[conn] = &rightsHolder{id: id, username: username, grant: g}
	t.count(g, 1)
	t.ask(conn, true)
}

// Replace gives a client that is connected, and has rights of its own, others.
func (t *RightsTable) Replace(conn broker.Conn, r *rights.Rights) {
	if h := t.holders[conn]; h != nil && !h.gone && h.grant.Own() {
		h.grant.Rights = r
		t.ask(conn, true)
	}
}

// UsernameAt is the one that a client with rights is connected by; empty if there is none.
func (t *RightsTable) UsernameAt(conn broker.Conn) string {
	if h := t.holders[conn]; h != nil {
		return h.username
	}
	return ""
}

func (t *RightsTable) count(g *Grant, n int) {
	if g.Own() {
		t.bound += n
	}
}

// Leave records the end of a connection. If it is told once more of a client that is away, somebody has taken over the session.
func (t *RightsTable) Leave(conn broker.Conn, kept Kept) {
	h := t.holders[conn]
	switch {
	case h == nil:
		if t.sessions.Contains(conn) || t.wills.Contains(conn) {
			t.ending[conn] = struct{}{}
		}
	case h.gone:
	case kept != KeptNothing && areRemembered(h.id, h.username):
		t.count(h.grant, -1)
		delete(t.holders, conn)
		id := digestOf(h.id)
		if before, known := t.awayIDs[id]; known {
			t.ending[before] = struct{}{}
		}
		away := t.sessions
		if kept == KeptWill {
			away = t.wills
		}
		away.add(conn, awayHolder{id: id, username: digestOf(h.username), grant: h.grant, since: t.now()})
		t.awayIDs[id] = conn
		t.ask(conn, true)
	default:
		t.count(h.grant, -1)
		h.gone = true
		t.ending[conn] = struct{}{}
		t.ask(conn, true)
	}
}

// CameBy records that somebody was let in by a client id: what was kept by it ends.
func (t *RightsTable) CameBy(id string) {
	if len(t.awayIDs) == 0 || !areRemembered(id, "") {
		return
	}
	if conn, known := t.awayIDs[digestOf(id)]; known {
		t.ending[conn] = struct{}{}
	}
}

// Drop forgets a connection, whose address now belongs to another one or to none.
func (t *RightsTable) Drop(conn broker.Conn) {
	delete(t.ending, conn)
	if h := t.holders[conn]; h != nil {
		if !h.gone {
			t.count(h.grant, -1)
		}
		delete(t.holders, conn)
		t.ask(conn, false)
	}
	t.sessions.Remove(conn)
	t.wills.Remove(conn)
}

// forgotten is called for whoever is no longer remembered as away.
func (t *RightsTable) forgotten(conn broker.Conn, h awayHolder) {
	if t.awayIDs[h.id] == conn {
		delete(t.awayIDs, h.id)
	}
	if t.holders[conn] == nil {
		t.ask(conn, false)
	}
}

// IsConnected tells whether a connection is that of a client with rights and this client id.
func (t *RightsTable) IsConnected(conn broker.Conn, id string) bool {
	h := t.holders[conn]
	return h != nil && !h.gone && h.id == id
}

// DropOther forgets a connection unless it is this client's: the broker asks again for everybody, those that are away included. One of
// which nothing was kept is another's, even by the same names.
func (t *RightsTable) DropOther(conn broker.Conn, id, username string) {
	if h := t.holders[conn]; (h == nil || !h.gone) && t.Of(conn, id, username) != nil {
		return
	}
	if will, known := t.wills.Peek(conn); !known || !t.isStill(will, conn, id, username) {
		t.Drop(conn)
	}
}

// IsEnding tells whether EndDue has something to do.
func (t *RightsTable) IsEnding() bool { return len(t.ending) > 0 }

// EndDue ends what was to end with the next Tick.
func (t *RightsTable) EndDue() {
	for conn := range t.ending {
		t.Drop(conn)
	}
}

// Clear forgets everybody.
func (t *RightsTable) Clear() {
	for conn := range t.holders {
		t.Drop(conn)
	}
	t.sessions.Purge()
	t.wills.Purge()
}

// Bound is how many clients are connected whose tokens have given them rights.
func (t *RightsTable) Bound() int { return t.bound }

// For returns the rights by which a client's access is judged, or nil. As long as the client is connected they stay, until ask is called
// for it. The names may be the broker's memory.
func (t *RightsTable) For(conn broker.Conn, id, username string, access broker.Access) (g *Grant, connected bool) {
	if g := t.Of(conn, id, username); g != nil {
		return g, t.IsConnected(conn, id)
	}
	h, known := t.wills.Peek(conn)
	if !known || access != broker.Write || !t.isStill(h, conn, id, username) {
		return nil, false
	}
	t.Drop(conn)
	return h.grant, false
}

// Of returns the rights of a client that is connected, or whose session is kept, or nil.
func (t *RightsTable) Of(conn broker.Conn, id, username string) *Grant {
	if h := t.holders[conn]; h != nil {
		if h.id != id || h.username != username {
			return nil
		}
		return h.grant
	}
	if h, known := t.sessions.Get(conn); known && t.isStill(h, conn, id, username) {
		return h.grant
	}
	return nil
}

// isStill tells whether a client that is away is remembered, and has these names.
func (t *RightsTable) isStill(h awayHolder, conn broker.Conn, id, username string) bool {
	if t.now().Sub(h.since) >= RightsAwayFor {
		t.Drop(conn)
		return false
	}
	return areRemembered(id, username) && h.id == digestOf(id) && h.username == digestOf(username)
}

// OfAway returns the rights of the client that is away by a client id, or nil.
func (t *RightsTable) OfAway(id, username string) *Grant {
	if len(t.awayIDs) == 0 || !areRemembered(id, username) {
		return nil
	}
	conn, known := t.awayIDs[digestOf(id)]
	if !known {
		return nil
	}
	return t.Of(conn, id, username)
}
