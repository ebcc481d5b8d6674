package session

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Owner is to whom a session belongs, as a digest of issuer and subject. All clients that did not log in by a token of this plugin
// share the zero Owner.
type Owner [16]byte

// OwnerOf is the Owner that a token's issuer and subject (RFC 7519 §4.1.1, §4.1.2) name.
func OwnerOf(issuer, subject string) Owner {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(issuer))))
	h.Write([]byte(issuer))
	h.Write([]byte(subject))
	return Owner(h.Sum(nil)[:len(Owner{})])
}

// Holders records the owner of the session under each client id: of clients that are connected and, for a while, of clients
// that are away and whose session the broker keeps. One serves all plugin instances of a broker, which has one table of client
// ids. It is used by the broker's thread alone.
type Holders struct {
	byClient map[Client]*holder
	// byID is the list of the connections with a client id, the last first, those that are logging in included: during a
	// takeover, there are two.
	byID map[string]*holder
	// away is by the SHA-256 of the client id, as there are many, each of up to 65,535 bytes.
	away *lru.Cache[[sha256.Size]byte, absentee]
}

type holder struct {
	client Client
	id     string
	owner  Owner
	// trying: it is not known whether it was let in. over: another connection has taken the id over since; Mosquitto 2.0 reports
	// the end of a WebSocket only once it is closed, seconds after a takeover if its client does not read.
	trying, over bool
	next         *holder
}

type absentee struct {
	owner Owner
	since time.Time
}

// The owner of a session whose client is away is remembered for awayFor, and for the last maxAway sessions. After that the owner
// counts as unknown, so that a client id is never barred for good.
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
	return &Holders{byClient: map[Client]*holder{}, byID: map[string]*holder{}, away: away}
}

// Enter records that a client is connected by a client id, which it has taken over from every earlier connection. An older record
// of the same connection is replaced.
func (h *Holders) Enter(client Client, id string, owner Owner) {
	for entry := h.byID[id]; entry != nil; entry = entry.next {
		entry.over = true
	}
	h.add(&holder{client: client, id: id, owner: owner})
	h.away.Remove(sha256.Sum256([]byte(id)))
}

// Try records a connection whose login is left to others. Mosquitto 2.0 doesn't tell whether they let it in.
func (h *Holders) Try(client Client, id string) { h.add(&holder{client: client, id: id, trying: true}) }

func (h *Holders) add(entry *holder) {
	h.remove(entry.client)
	entry.next = h.byID[entry.id]
	h.byClient[entry.client], h.byID[entry.id] = entry, entry
}

// Has tells whether the connection is recorded with this id.
func (h *Holders) Has(client Client, id string) bool {
	entry := h.byClient[client]
	return entry != nil && entry.id == id
}

// TakenOver tells whether a later connection was let in by the client id of this one.
func (h *Holders) TakenOver(client Client, id string) bool {
	return h.Has(client, id) && h.byClient[client].over
}

// Contended tells whether a later connection that still exists has tried to log in by the client id of this one. A refused one
// disconnects at once, but Mosquitto 2.0 may report that seconds later over WebSockets.
func (h *Holders) Contended(client Client, id string) bool {
	return h.Has(client, id) && h.byID[id].client != client
}

// Leave records the end of a connection. kept: the broker keeps its session, if it had one, or may keep it.
func (h *Holders) Leave(client Client, kept bool, now time.Time) {
	entry := h.byClient[client]
	if entry == nil {
		return
	}
	// A connection that was not let in, or was taken over, has no session of its own to keep.
	if kept && !entry.trying && !entry.over {
		h.away.Add(sha256.Sum256([]byte(entry.id)), absentee{owner: entry.owner, since: now})
	}
	h.remove(client)
}

func (h *Holders) remove(client Client) {
	entry := h.byClient[client]
	if entry == nil {
		return
	}
	delete(h.byClient, client)
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
	// NotKnown says that there is no session, or that its owner is unknown (restored after a restart, or forgotten).
	NotKnown Holding = iota
	// Own says that it belongs to the owner that asks.
	Own
	// Others says that a client of another owner is connected by it.
	Others
	// OthersAway says that a client of another owner was connected by it, and that the broker may keep its session.
	OthersAway
)

// Holding tells to whom the session under a client id belongs, for a login of owner by the connection asking.
func (h *Holders) Holding(id string, asking Client, owner Owner, now time.Time) Holding {
	for entry := h.byID[id]; entry != nil; entry = entry.next {
		switch {
		case entry.client == asking || entry.over:
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
