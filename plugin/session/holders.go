package session

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/provider"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Owner is whom a session belongs to, as a digest of provider and subject. The zero Owner is everybody who did not log in
// by a token of this plugin. It is as long as leaves a holder no gap.
type Owner [14]byte

// OwnerOf is the Owner that a token's issuer and subject (RFC 7519 §4.1.1, §4.1.2) name, as one provider's.
func OwnerOf(by provider.ID, issuer, subject string) Owner {
	var space [256]byte
	text := space[:0]
	for _, part := range [...]string{string(by), issuer} {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	digest := sha256.Sum256(append(text, subject...))
	return Owner(digest[:len(Owner{})])
}

// Holders knows whose session lives under each client id: of the clients that are connected, and for a while of those
// whose session the broker keeps while they are away. One serves all instances of a broker, as that has one table of
// client ids.
//
// It belongs to the broker's thread.
type Holders struct {
	byConn map[broker.Conn]*holder
	// byID leads to all who are connected, or are trying to be, by an id, the last first: while one takes over, there are two.
	byID map[string]*holder
	// away knows client ids by their SHA-256: there are many, each of up to 65,535 bytes.
	away *lru.Cache[[sha256.Size]byte, absentee]
}

type holder struct {
	conn  broker.Conn
	id    string
	owner Owner
	// trying: it is not known whether it was let in. over: somebody has come by the same id since; on Mosquitto 2.0 the end of a
	// WebSocket is told only when it has been closed, seconds after a takeover if its client does not read.
	trying, over bool
	next         *holder
}

type absentee struct {
	owner Owner
	since time.Time
}

// The owner of a session whose client is away is remembered for awayFor, of maxAway sessions. After that nobody knows whose
// it is, so that no client id is barred for good.
const (
	awayFor = 24 * time.Hour
	maxAway = 1 << 16
)

// NewHolders returns an empty table.
func NewHolders() *Holders {
	away, err := lru.New[[sha256.Size]byte, absentee](maxAway)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Holders{byConn: map[broker.Conn]*holder{}, byID: map[string]*holder{}, away: away}
}

// Enter records who is connected by a client id, and has taken it over from all before. What was known of the same connection
// is replaced.
func (h *Holders) Enter(conn broker.Conn, id string, owner Owner) {
	for entry := h.byID[id]; entry != nil; entry = entry.next {
		entry.over = true
	}
	h.add(&holder{conn: conn, id: id, owner: owner})
	if h.away.Len() > 0 {
		h.away.Remove(sha256.Sum256([]byte(id)))
	}
}

// Try records a connection whose login is left to others, who may let it in without a word (Mosquitto 2.0).
func (h *Holders) Try(conn broker.Conn, id string) { h.add(&holder{conn: conn, id: id, trying: true}) }

func (h *Holders) add(entry *holder) {
	h.remove(entry.conn)
	entry.next = h.byID[entry.id]
	h.byConn[entry.conn], h.byID[entry.id] = entry, entry
}

// Has tells whether the connection is recorded with this id.
func (h *Holders) Has(conn broker.Conn, id string) bool {
	entry := h.byConn[conn]
	return entry != nil && entry.id == id
}

// Connected is the connection that is there by a client id.
func (h *Holders) Connected(id string) (conn broker.Conn, connected bool) {
	for entry := h.byID[id]; entry != nil; entry = entry.next {
		if !entry.trying && !entry.over {
			return entry.conn, true
		}
	}
	return 0, false
}

// By calls f for all who are connected, or are trying to be, by a client id.
func (h *Holders) By(id string, f func(broker.Conn)) {
	for entry := h.byID[id]; entry != nil; entry = entry.next {
		f(entry.conn)
	}
}

// Each calls f for all who are connected, or are trying to be, in no order.
func (h *Holders) Each(f func(conn broker.Conn, id string, trying bool)) {
	for conn, entry := range h.byConn {
		if !entry.over {
			f(conn, entry.id, entry.trying)
		}
	}
}

// IsOwner tells whether the session of a connection that is recorded with this id belongs to owner.
func (h *Holders) IsOwner(conn broker.Conn, id string, owner Owner) bool {
	return h.Has(conn, id) && h.byConn[conn].owner == owner
}

// Own has the session of a connection that is recorded with this id belong to owner from now on.
func (h *Holders) Own(conn broker.Conn, id string, owner Owner) {
	if h.Has(conn, id) {
		h.byConn[conn].owner = owner
	}
}

// TakenOver tells whether somebody was let in by a connection's client id after it.
func (h *Holders) TakenOver(conn broker.Conn, id string) bool {
	return h.Has(conn, id) && h.byConn[conn].over
}

// Contended tells whether somebody who is there has tried to come by a connection's client id after it: whoever was refused has
// disconnected at once, but over WebSockets on Mosquitto 2.0 it may take seconds until that is told.
func (h *Holders) Contended(conn broker.Conn, id string) bool {
	return h.Has(conn, id) && h.byID[id].conn != conn
}

// Leave records the end of a connection. kept: the broker keeps its session, if it had one, or may do so.
func (h *Holders) Leave(conn broker.Conn, kept bool, now time.Time) {
	entry := h.byConn[conn]
	if entry == nil {
		return
	}
	// Whoever is only trying has not taken it over: then nothing would be kept.
	if kept && !entry.trying && !entry.over {
		h.away.Add(sha256.Sum256([]byte(entry.id)), absentee{owner: entry.owner, since: now})
	}
	h.remove(conn)
}

func (h *Holders) remove(conn broker.Conn) {
	entry := h.byConn[conn]
	if entry == nil {
		return
	}
	delete(h.byConn, conn)
	first := h.byID[entry.id]
	for at := &first; *at != nil; at = &(*at).next {
		if *at == entry {
			*at = entry.next
			break
		}
	}
	if first == nil {
		delete(h.byID, entry.id)
	} else {
		h.byID[entry.id] = first
	}
}

// Holding is what is known of the session under a client id.
type Holding uint8

const (
	// NotKnown says that nobody holds it, or nobody knows who (restored after a restart, or forgotten).
	NotKnown Holding = iota
	// Own is the asker's own.
	Own
	// Others says that somebody else is connected by it.
	Others
	// OthersAway says that somebody else was, and that the broker may keep the session.
	OthersAway
)

// IsAwayByToken tells whether the session under a client id is of a client that was let in by a token and is away.
func (h *Holders) IsAwayByToken(id string) bool {
	absent, known := h.away.Peek(sha256.Sum256([]byte(id)))
	return known && absent.owner != Owner{}
}

// Holding tells whose session lives under a client id, for a login of owner by the connection asking.
func (h *Holders) Holding(id string, asking broker.Conn, owner Owner, now time.Time) Holding {
	for entry := h.byID[id]; entry != nil; entry = entry.next {
		switch {
		case entry.conn == asking || entry.over:
		case entry.owner != owner:
			return Others
		default:
			return Own
		}
	}
	absent, known := h.away.Get(sha256.Sum256([]byte(id)))
	switch {
	case !known || now.Sub(absent.since) >= awayFor:
		return NotKnown
	case absent.owner != owner:
		return OthersAway
	}
	return Own
}
