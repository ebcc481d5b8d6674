// Package session is the book of the clients that this plugin has let in: who they are, and until when they may stay.
//
// It belongs to the broker's thread and takes no lock; it calls nobody.
package session

import (
	"container/heap"
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

	digest [sha256.Size]byte
	place  int // in the heap of deadlines; -1: not in it
	asked  uint64
}

// maxOffline bounds the memory for clients that have left and whose session the broker may still keep.
const maxOffline = 1 << 16

// Book holds the sessions of one plugin instance.
type Book struct {
	live      map[Client]*Session
	deadlines deadlines
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

// Admit records a client that was let in. An older record of the same connection is replaced: its address was reused.
func (b *Book) Admit(client Client, with Credentials, tokenName string, until time.Time) {
	b.forget(client)
	s := &Session{
		Client: client, ClientID: with.ClientID, Token: tokenName, Until: until,
		digest: with.digest(), place: -1, asked: b.sweep,
	}
	b.live[client] = s
	if !until.IsZero() {
		heap.Push(&b.deadlines, s)
	}
}

// Leave records that the client's connection has ended. The broker may keep its MQTT session.
func (b *Book) Leave(client Client) {
	s, known := b.live[client]
	if !known {
		return
	}
	b.forget(client)
	b.offline.Add(client, s)
}

func (b *Book) forget(client Client) {
	b.offline.Remove(client)
	if s, known := b.live[client]; known {
		delete(b.live, client)
		if s.place >= 0 {
			heap.Remove(&b.deadlines, s.place)
		}
	}
}

// Due takes the next session out of the list of deadlines whose time has come; nil where there is none. The session
// itself stays until Leave, as its connection does.
func (b *Book) Due(now time.Time) *Session {
	if len(b.deadlines) == 0 || now.Before(b.deadlines[0].Until) {
		return nil
	}
	return heap.Pop(&b.deadlines).(*Session) //nolint:errcheck,forcetypeassert // the heap holds nothing else
}

// NextDeadline is when Due will next have something; zero: never.
func (b *Book) NextDeadline() time.Time {
	if len(b.deadlines) == 0 {
		return time.Time{}
	}
	return b.deadlines[0].Until
}

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

// deadlines is a heap of sessions by Until.
type deadlines []*Session

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].Until.Before(d[j].Until) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

func (d *deadlines) Push(x any) {
	s := x.(*Session) //nolint:errcheck,forcetypeassert // the heap is given nothing else
	s.place = len(*d)
	*d = append(*d, s)
}

func (d *deadlines) Pop() any {
	last := len(*d) - 1
	s := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	s.place = -1
	return s
}
