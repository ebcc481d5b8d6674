// Package session records the clients that this plugin has let in: who they are, how long they may stay, and to whom the session
// under each client id belongs. It decides nothing about a token, and doesn't disconnect anyone itself.
//
// It is used by the broker's thread alone, so that it takes no lock.
package session

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Client identifies a connection for as long as the broker keeps it. It is an address, which the broker may use for another
// client after that.
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
	// Bearer is the token itself, to ask about it again; empty: it is not asked about again. Expires is its exp (zero: none), and
	// Endpoint the endpoint that has admitted it.
	Bearer   string
	Expires  time.Time
	Endpoint string

	digest [sha256.Size]byte
	// asked is the last sweep in which the broker has asked for it.
	asked uint64
	// expiry and recheck are its timers in the Registry.
	expiry, recheck timer
}

// Registry holds the sessions of one plugin instance.
type Registry struct {
	live               map[Client]*Session
	expiries, rechecks timers
	sweep              uint64
	open               bool
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry { return &Registry{live: make(map[Client]*Session)} }

// Of is the live session of a client, or nil.
func (r *Registry) Of(client Client) *Session { return r.live[client] }

// Len is the number of live sessions.
func (r *Registry) Len() int { return len(r.live) }

// Admit records a client that was let in with these credentials. An older record of the same connection is replaced: its
// address was reused.
func (r *Registry) Admit(s *Session, with Credentials) {
	r.forget(s.Client)
	s.ClientID, s.digest, s.asked = with.ClientID, with.digest(), r.sweep
	s.expiry, s.recheck = timer{session: s, index: absent}, timer{session: s, index: absent}
	r.live[s.Client] = s
	r.expiries.set(&s.expiry, s.Until)
}

// Leave records that the client's connection has ended.
func (r *Registry) Leave(client Client) { r.forget(client) }

func (r *Registry) forget(client Client) {
	if s, known := r.live[client]; known {
		delete(r.live, client)
		s.Bearer = ""
		r.expiries.set(&s.expiry, time.Time{})
		r.rechecks.set(&s.recheck, time.Time{})
	}
}

// Has tells whether the connection has a session.
func (r *Registry) Has(client Client) bool { return r.live[client] != nil }

// Lives tells whether the session has not ended.
func (r *Registry) Lives(s *Session) bool { return r.live[s.Client] == s }

// Due takes the next session out of the list of deadlines whose time has come; nil if there is none. The session
// itself stays until Leave, as its connection does.
func (r *Registry) Due(now time.Time) *Session { return r.expiries.due(now) }

// NextDeadline is when Due will next have something; zero: never.
func (r *Registry) NextDeadline() time.Time { return r.expiries.next() }

// Expel has Due give out a live session at a time for this reason. It may not stay, and is not reaffirmed until then.
func (r *Registry) Expel(s *Session, at time.Time, why string) {
	s.Why = why
	r.expiries.set(&s.expiry, at)
}

// Recheck has a live session asked about at a time: DueRecheck gives it out then, once.
func (r *Registry) Recheck(s *Session, at time.Time) { r.rechecks.set(&s.recheck, at) }

// DueRecheck takes out the next session that is to be asked about by now; nil if there is none.
func (r *Registry) DueRecheck(now time.Time) *Session { return r.rechecks.due(now) }

// NextRecheck is when DueRecheck will next have something; zero: never.
func (r *Registry) NextRecheck() time.Time { return r.rechecks.next() }

// Rechecks is how many sessions are to be asked about.
func (r *Registry) Rechecks() int { return len(r.rechecks) }

// OpenSweep begins the round in which the broker asks for everybody again (after RELOAD).
func (r *Registry) OpenSweep() {
	r.sweep++
	r.open = true
}

// CloseSweep ends that round: from now on every login is a new one.
func (r *Registry) CloseSweep() { r.open = false }

// Sweeping tells whether that round goes on.
func (r *Registry) Sweeping() bool { return r.open }

// Reaffirm tells whether the broker is asking again, in a sweep, for a client that is connected with the same id and
// credentials, and whose time has not come: yes once a sweep. Nobody else is reaffirmed: what a client that has left was
// let in with says nothing of the one at its address, and a session that the broker keeps outlives a refusal.
func (r *Registry) Reaffirm(client Client, with Credentials, now time.Time) bool {
	s, known := r.live[client]
	if !r.open || !known || s.asked == r.sweep || s.over(now) || s.digest != with.digest() {
		return false
	}
	s.asked = r.sweep
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
