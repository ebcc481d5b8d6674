// Package session is the book of the clients that this plugin has let in: who they are, and until when they may stay.
//
// It belongs to the broker's thread and takes no lock; it calls nobody.
package session

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Client identifies a connection for as long as the broker keeps it. It is an address, so it comes back with another
// client behind it once the broker has let go of the first.
type Client uintptr

// Credentials are what a client authenticated with, as the broker will show them again after SIGHUP: with the username
// that it was given, and the password it sent.
type Credentials struct {
	ClientID string
	// Username and Password are nil where the CONNECT has none.
	Username, Password *string
}

// Session is an admitted client.
type Session struct {
	Client   Client
	ClientID string
	// Token names the token in the log.
	Token string
	// Until is when the client must leave; zero: never.
	Until time.Time
	// Bearer is the token itself, to ask about it again, and Expires its exp (zero: none); empty: nobody will.
	Bearer  string
	Expires time.Time

	digest [sha256.Size]byte
	asked  uint64
	// expiry and recheck are its entries in the two agendas.
	expiry, recheck entry
}

// maxOffline bounds the memory for clients that have left and whose session the broker may still keep.
const maxOffline = 1 << 16

// Book holds the sessions of one plugin instance.
type Book struct {
	live               map[Client]*Session
	expiries, rechecks agenda
	// offline remembers departed clients for SIGHUP alone.
	offline *lru.Cache[Client, *Session]
	sweep   uint64
	open    bool
}

// NewBook returns an empty Book.
func NewBook() *Book {
	offline, err := lru.New[Client, *Session](maxOffline)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Book{live: make(map[Client]*Session), offline: offline}
}

// Len is the number of live sessions.
func (b *Book) Len() int { return len(b.live) }

// Admit records a client that was let in with these credentials. An older record of the same connection is replaced: its
// address was reused.
func (b *Book) Admit(s *Session, with Credentials) {
	b.forget(s.Client)
	s.ClientID, s.digest, s.asked = with.ClientID, with.digest(), b.sweep
	s.expiry, s.recheck = entry{session: s, place: absent}, entry{session: s, place: absent}
	b.live[s.Client] = s
	b.expiries.set(&s.expiry, s.Until)
}

// Leave records that the client's connection has ended. The broker may keep its MQTT session.
func (b *Book) Leave(client Client) {
	s, known := b.live[client]
	if !known {
		return
	}
	b.forget(client)
	s.Bearer = ""
	b.offline.Add(client, s)
}

func (b *Book) forget(client Client) {
	b.offline.Remove(client)
	if s, known := b.live[client]; known {
		delete(b.live, client)
		b.expiries.set(&s.expiry, time.Time{})
		b.rechecks.set(&s.recheck, time.Time{})
	}
}

// Lives tells whether the session has not ended.
func (b *Book) Lives(s *Session) bool { return b.live[s.Client] == s }

// Due takes the next session out of the list of deadlines whose time has come; nil where there is none. The session
// itself stays until Leave, as its connection does.
func (b *Book) Due(now time.Time) *Session { return b.expiries.due(now) }

// NextDeadline is when Due will next have something; zero: never.
func (b *Book) NextDeadline() time.Time { return b.expiries.next() }

// Recheck has a live session asked about at a time: DueRecheck gives it out then, once.
func (b *Book) Recheck(s *Session, at time.Time) { b.rechecks.set(&s.recheck, at) }

// DueRecheck takes out the next session that is to be asked about by now; nil where there is none.
func (b *Book) DueRecheck(now time.Time) *Session { return b.rechecks.due(now) }

// NextRecheck is when DueRecheck will next have something; zero: never.
func (b *Book) NextRecheck() time.Time { return b.rechecks.next() }

// OpenSweep begins the round in which the broker asks for everybody again (after RELOAD).
func (b *Book) OpenSweep() {
	b.sweep++
	b.open = true
}

// CloseSweep ends that round; from now on whoever asks is new.
func (b *Book) CloseSweep() { b.open = false }

// Vouch tells whether the broker is asking again, in a sweep, for a client that was let in and has the same id and
// credentials: yes once a sweep. That holds for departed clients whose session the broker keeps, too: a refusal would
// disturb that session, and an admission gives nobody access, since coming back takes a new CONNECT.
func (b *Book) Vouch(client Client, with Credentials) bool {
	if !b.open {
		return false
	}
	s, known := b.live[client]
	if !known {
		s, known = b.offline.Get(client)
	}
	if !known || s.asked == b.sweep || s.digest != with.digest() {
		return false
	}
	s.asked = b.sweep
	return true
}

// digest keeps the credentials comparable without keeping them.
func (c Credentials) digest() [sha256.Size]byte {
	h := sha256.New()
	field := func(s *string) {
		// The length keeps neighbours apart; -1 keeps what is missing apart from what is empty.
		length := int64(-1)
		if s != nil {
			length = int64(len(*s))
		}
		h.Write(binary.AppendVarint(nil, length))
		if s != nil {
			h.Write([]byte(*s))
		}
	}
	field(&c.ClientID)
	field(c.Username)
	field(c.Password)
	return [sha256.Size]byte(h.Sum(nil))
}
