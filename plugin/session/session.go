// Package session is the book of the clients that this plugin has let in: who they are, and until when they may stay.
//
// It belongs to the broker's thread and takes no lock; it calls nobody.
package session

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
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
	// Token names the token in the log. IDIsToken says that the client id is the token itself, which no message may show.
	Token     string
	IDIsToken bool
	// Until is when the client must leave; zero: never. Why is another reason to leave, as soon as it can be done.
	Until time.Time
	Why   string
	// Kicks is how often it was tried to disconnect it, Waits how often that was put off.
	Kicks, Waits int
	// Bearer is the token itself, to ask about it again, and Expires its exp (zero: none); empty: nobody will. Endpoint is
	// who answers for it.
	Bearer   string
	Expires  time.Time
	Endpoint string

	digest [sha256.Size]byte
	// asked is the last sweep in which the broker has asked for it.
	asked uint64
	// expiry and recheck are its entries in the two agendas.
	expiry, recheck entry
}

// Book holds the sessions of one plugin instance.
type Book struct {
	live               map[Client]*Session
	expiries, rechecks agenda
	sweep              uint64
	open               bool
}

// NewBook returns an empty Book.
func NewBook() *Book { return &Book{live: make(map[Client]*Session)} }

// Of is the live session of a client, or nil.
func (b *Book) Of(client Client) *Session { return b.live[client] }

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

// Leave records that the client's connection has ended.
func (b *Book) Leave(client Client) { b.forget(client) }

func (b *Book) forget(client Client) {
	if s, known := b.live[client]; known {
		delete(b.live, client)
		s.Bearer = ""
		b.expiries.set(&s.expiry, time.Time{})
		b.rechecks.set(&s.recheck, time.Time{})
	}
}

// Has tells whether the connection has a session.
func (b *Book) Has(client Client) bool { return b.live[client] != nil }

// Lives tells whether the session has not ended.
func (b *Book) Lives(s *Session) bool { return b.live[s.Client] == s }

// Due takes the next session out of the list of deadlines whose time has come; nil where there is none. The session
// itself stays until Leave, as its connection does.
func (b *Book) Due(now time.Time) *Session { return b.expiries.due(now) }

// NextDeadline is when Due will next have something; zero: never.
func (b *Book) NextDeadline() time.Time { return b.expiries.next() }

// Expel has Due give out a live session at a time for this reason. It may not stay, and until then nobody vouches for it.
func (b *Book) Expel(s *Session, at time.Time, why string) {
	s.Why = why
	b.expiries.set(&s.expiry, at)
}

// Recheck has a live session asked about at a time: DueRecheck gives it out then, once.
func (b *Book) Recheck(s *Session, at time.Time) { b.rechecks.set(&s.recheck, at) }

// DueRecheck takes out the next session that is to be asked about by now; nil where there is none.
func (b *Book) DueRecheck(now time.Time) *Session { return b.rechecks.due(now) }

// NextRecheck is when DueRecheck will next have something; zero: never.
func (b *Book) NextRecheck() time.Time { return b.rechecks.next() }

// Rechecks is how many sessions are to be asked about.
func (b *Book) Rechecks() int { return len(b.rechecks) }

// OpenSweep begins the round in which the broker asks for everybody again (after RELOAD).
func (b *Book) OpenSweep() {
	b.sweep++
	b.open = true
}

// CloseSweep ends that round; from now on whoever asks is new.
func (b *Book) CloseSweep() { b.open = false }

// Sweeping tells whether that round goes on.
func (b *Book) Sweeping() bool { return b.open }

// Vouch tells whether the broker is asking again, in a sweep, for a client that is connected with the same id and
// credentials, and whose time has not come: yes once a sweep. Nobody else is vouched for: what a client that has left was
// let in with says nothing of the one at its address, and a session that the broker keeps outlives a refusal.
func (b *Book) Vouch(client Client, with Credentials, now time.Time) bool {
	s, known := b.live[client]
	if !b.open || !known || s.asked == b.sweep || s.over(now) || s.digest != with.digest() {
		return false
	}
	s.asked = b.sweep
	return true
}

// over tells whether the session has come to its deadline.
func (s *Session) over(now time.Time) bool {
	return s.Why != "" || (!s.Until.IsZero() && !now.Before(s.Until))
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
