// Package session is the registry of the clients that this plugin has let in: who they are, by which provider, and until when
// they may stay; and of the client ids by which sessions live.
//
// It belongs to the broker's thread and takes no lock; it calls nobody.
package session

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"maps"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/provider"
)

// Session is an admitted client.
type Session struct {
	Conn     broker.Conn
	ClientID string
	// Provider has admitted it; ProviderName is how the log calls that one, empty if there is but one.
	Provider     provider.ID
	ProviderName string
	// LogID names the token in the log. IDIsToken says that the client id is the token itself, which no message may show.
	LogID     string
	IDIsToken bool
	// LeaveAt is when the client must leave; zero: never. Why is another reason to leave, as soon as it can be done.
	LeaveAt time.Time
	Why     string
	// Kicks is how often it was tried to disconnect it, Waits how often that was put off.
	Kicks, Waits int
	// Bearer is the token itself, to ask about it again, and Expires its exp (zero: none); empty: it is not asked about.
	// Endpoint is the one that answers for it.
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
	live     map[broker.Conn]*Session
	expiries timers
	// rechecks are apart by provider, so that one that is slow keeps those of no other from their turn.
	rechecks map[provider.ID]*timers
	sweep    uint64
	open     bool
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry {
	return &Registry{live: make(map[broker.Conn]*Session), rechecks: make(map[provider.ID]*timers)}
}

// Of is the live session of a client, or nil.
func (r *Registry) Of(conn broker.Conn) *Session { return r.live[conn] }

// Len is the number of live sessions.
func (r *Registry) Len() int { return len(r.live) }

// Admit records a client that was let in, by the identity that it was given. An older record of the same connection is
// replaced: its address was reused.
func (r *Registry) Admit(s *Session, connect broker.Connect) {
	r.forget(connect.Conn)
	s.Conn, s.ClientID, s.digest, s.asked = connect.Conn, connect.ClientID, digest(connect), r.sweep
	s.expiry, s.recheck = timer{session: s, index: absent}, timer{session: s, index: absent}
	r.live[s.Conn] = s
	r.expiries.set(&s.expiry, s.LeaveAt)
}

// Leave records that the client's connection has ended.
func (r *Registry) Leave(conn broker.Conn) { r.forget(conn) }

func (r *Registry) forget(conn broker.Conn) {
	if s, known := r.live[conn]; known {
		delete(r.live, conn)
		s.Bearer = ""
		r.expiries.set(&s.expiry, time.Time{})
		r.Recheck(s, time.Time{})
	}
}

// Has tells whether the connection has a session.
func (r *Registry) Has(conn broker.Conn) bool { return r.live[conn] != nil }

// Lives tells whether the session has not ended.
func (r *Registry) Lives(s *Session) bool { return r.live[s.Conn] == s }

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

// Recheck has a live session asked about at a time: DueRecheck gives it out then, once. Zero: it is not asked about.
func (r *Registry) Recheck(s *Session, at time.Time) {
	of := r.rechecks[s.Provider]
	if of == nil {
		of = new(timers)
		r.rechecks[s.Provider] = of
	}
	of.set(&s.recheck, at)
	if len(*of) == 0 {
		delete(r.rechecks, s.Provider)
	}
}

// DueRecheck takes out the next session of a provider that is to be asked about by now; nil if there is none.
func (r *Registry) DueRecheck(by provider.ID, now time.Time) *Session {
	of := r.rechecks[by]
	if of == nil {
		return nil
	}
	s := of.due(now)
	if len(*of) == 0 {
		delete(r.rechecks, by)
	}
	return s
}

// Rechecked are the providers of which sessions are to be asked about.
func (r *Registry) Rechecked() iter.Seq[provider.ID] { return maps.Keys(r.rechecks) }

// NextRecheck is when DueRecheck will next have one of this provider; zero: never.
func (r *Registry) NextRecheck(by provider.ID) time.Time {
	if of := r.rechecks[by]; of != nil {
		return of.next()
	}
	return time.Time{}
}

// Rechecks is how many sessions of a provider are to be asked about.
func (r *Registry) Rechecks(by provider.ID) int {
	if of := r.rechecks[by]; of != nil {
		return len(*of)
	}
	return 0
}

// OpenSweep begins the round in which the broker asks for everybody again (after RELOAD).
func (r *Registry) OpenSweep() {
	r.sweep++
	r.open = true
}

// CloseSweep ends that round; from now on whoever asks is new.
func (r *Registry) CloseSweep() { r.open = false }

// Sweeping tells whether that round goes on.
func (r *Registry) Sweeping() bool { return r.open }

// Reaffirm tells whether the broker is asking again, in a sweep, for a client that is connected with the same id and
// credentials, and whose time has not come: yes once a sweep. Nobody else is reaffirmed: what a client that has left was
// let in with says nothing of the one at its address, and a session that the broker keeps outlives a refusal.
func (r *Registry) Reaffirm(connect broker.Connect, now time.Time) bool {
	s, known := r.live[connect.Conn]
	if !r.open || !known || s.asked == r.sweep || s.over(now) || s.digest != digest(connect) {
		return false
	}
	s.asked = r.sweep
	return true
}

// over tells whether the session has come to its deadline.
func (s *Session) over(now time.Time) bool {
	return s.Why != "" || (!s.LeaveAt.IsZero() && !now.Before(s.LeaveAt))
}

// digest keeps comparable what a client shows again after SIGHUP, without keeping it.
func digest(c broker.Connect) [sha256.Size]byte {
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
