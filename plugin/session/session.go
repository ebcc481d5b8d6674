// Package session is the registry of the clients that this plugin has let in: who they are, by which provider, and until when
// they may stay; and of the client ids by which sessions live.
//
// It belongs to the broker's thread and takes no lock; it calls nobody.
package session

import (
	"crypto/sha256"
	"iter"
	"maps"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/provider"

	"golang.org/x/time/rate"
)

// Session is an admitted client. There may be many: its fields are in an order that leaves no gaps, and what few need is apart.
type Session struct {
	Conn     broker.Conn
	ClientID string
	// Provider has admitted it.
	Provider provider.ID
	// LogID names the token in the log.
	LogID string
	// LeaveAt is when the client must leave because of its token; zero: never.
	LeaveAt time.Time
	// Began is when it was admitted, as the time since its registry began, by the clock that nobody sets.
	Began time.Duration
	// Asked is what it takes to ask about the token again; nil: it is not asked about.
	Asked *Asked

	rare   *rare
	digest Digest
	expiry place
	// round is the last one in which the broker has asked for it.
	round uint32
	// Kicks is how often it was tried to disconnect it, Waits how often that was put off.
	Kicks, Waits uint8
	// ByAuth says that the client was let in by enhanced authentication. What it sent as a password beside that nobody has judged.
	ByAuth bool
	// IDIsToken says that the client id is the token itself, which no message may show.
	IDIsToken bool
	// NameIsToken says the same of the username.
	NameIsToken bool
}

// rare is what few sessions have, or only some of the time.
type rare struct {
	// why is another reason to leave than the token's end.
	why string
	// limit is when the client must leave, whatever token it has by then, or when it is to be tried to disconnect it (why); zero: never.
	limit    time.Time
	limiting place
	renewals Renewals
	known    Known
}

// Known is what the audit trail and admins see of a session's client besides; it is kept if there are any of either when the client comes.
type Known struct {
	Username, Subject string
	// Expires is the exp of the token; zero: none.
	Expires time.Time
	// Mapped: the provider has given the client that username.
	Mapped bool
}

// Renewals are the renewals of a session's token, which package renewal counts.
type Renewals struct {
	// Begun numbers them as they begin. Applied is the one whose token counts; 0: that of the login does.
	Begun, Applied uint32
	// Count is how many have been applied.
	Count uint32
	// Pending is how many of them wait for keys or an answer.
	Pending int
	// Expires is the exp of the token that was applied last; zero: none.
	Expires time.Time
	// Limit bounds how often the client may ask by $CONTROL, AuthLimit how often by AUTH, Lines how many lines of the log it causes by tokens
	// that don't count; nil: there was none yet.
	Limit, AuthLimit, Lines *rate.Limiter
}

// Follow has it go on from the one that its connection had until now: since when, and how often the client may still ask.
func (s *Session) Follow(before *Session) {
	s.Began = before.Began
	if before.rare == nil {
		return
	}
	if b := &before.rare.renewals; b.Limit != nil || b.AuthLimit != nil || b.Lines != nil {
		r := s.Renewals()
		r.Limit, r.AuthLimit, r.Lines = b.Limit, b.AuthLimit, b.Lines
	}
}

// Know keeps it.
func (s *Session) Know(k Known) { s.rarely().known = k }

// Known is what was kept.
func (s *Session) Known() Known {
	if s.rare == nil {
		return Known{}
	}
	return s.rare.known
}

// IsKnown tells whether anything was kept.
func (s *Session) IsKnown() bool { return s.Known() != Known{} }

// Renewed is how many renewals have been applied.
func (s *Session) Renewed() uint32 {
	if s.rare == nil {
		return 0
	}
	return s.rare.renewals.Count
}

// LeavesAt is the time of day at which the client must leave, for whatever reason, as the clock is set now; zero: never.
func (s *Session) LeavesAt(now time.Time) time.Time { return Sooner(s.LeaveAt, s.Limit(), now) }

// Sooner is the first of the time of day at which a token ends and of a session's limit; zero is never. The limit goes by the clock that
// nobody sets: this is what the time of day is then, as it is set now.
func Sooner(end, limit, now time.Time) time.Time {
	if limit.IsZero() {
		return end
	}
	if limit = now.Add(limit.Sub(now)); !end.IsZero() && end.Before(limit) {
		return end
	}
	return limit
}

// RecheckAt is when its token is to be asked about again; zero: never, or it is being asked about.
func (s *Session) RecheckAt() time.Time {
	if s.Asked == nil || s.Asked.timers == 0 {
		return time.Time{}
	}
	return s.Asked.at
}

// Renewals are the session's.
func (s *Session) Renewals() *Renewals { return &s.rarely().renewals }

// Generation is the number of the renewal whose token counts; 0: that of the login does. What was asked about the token of another
// generation says nothing of the session any more.
func (s *Session) Generation() uint32 {
	if s.rare == nil {
		return 0
	}
	return s.rare.renewals.Applied
}

func (s *Session) rarely() *rare {
	if s.rare == nil {
		s.rare = &rare{}
	}
	return s.rare
}

// Why is another reason to leave than the end of the token, as soon as that can be done; empty: there is none.
func (s *Session) Why() string {
	if s.rare == nil {
		return ""
	}
	return s.rare.why
}

// Limit is when the client must leave, whatever token it has by then, or when it is to be tried to disconnect it (Why); zero: never.
func (s *Session) Limit() time.Time {
	if s.rare == nil {
		return time.Time{}
	}
	return s.rare.limit
}

// Asked is what it takes to ask about a token.
type Asked struct {
	// Bearer is the token itself, and Expires its exp (zero: none).
	Bearer  Bearer
	Expires time.Time
	// Endpoint is the one that answers for it.
	Endpoint string

	at     time.Time
	timers place
}

// Digest stands for what a client has shown, which is not kept. It decides who stays after SIGHUP without being judged again, so
// that it must be one of which nobody can make two texts meet: SHA-256.
type Digest [sha256.Size]byte

// DigestOf is the Digest of a password. No password is the zero Digest.
func DigestOf(password *string) Digest {
	if password == nil {
		return Digest{}
	}
	return sha256.Sum256([]byte(*password))
}

// with is the Digest of a password and a username. The client id is compared itself.
func (d Digest) with(username *string) Digest {
	var space [128]byte
	text := append(space[:0], d[:]...)
	if username != nil {
		text = append(append(text, 1), *username...) // an empty one is another than none
	}
	return sha256.Sum256(text)
}

// Registry holds the sessions of one plugin instance.
type Registry struct {
	live     map[broker.Conn]*Session
	expiries timers
	// limits are apart from expiries, since they go by another clock: which of two comes first may change when a clock is set.
	limits timers
	// rechecks are apart by provider, so that one that is slow keeps those of no other from their turn.
	rechecks map[provider.ID]*timers
	// counts is how many sessions each provider has.
	counts map[provider.ID]int
	// Counted is told how many sessions a provider has now, whenever that changes; nil: nobody wants to know.
	Counted func(by provider.ID, sessions int)
	round   uint32
	open    bool
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry {
	return &Registry{
		live: map[broker.Conn]*Session{}, expiries: timers{of: expiry}, limits: timers{of: limit}, rechecks: map[provider.ID]*timers{},
		counts: map[provider.ID]int{},
	}
}

// Of is the live session of a client, or nil.
func (r *Registry) Of(conn broker.Conn) *Session { return r.live[conn] }

// Len is the number of live sessions.
func (r *Registry) Len() int { return len(r.live) }

// LenOf is the same for one provider.
func (r *Registry) LenOf(by provider.ID) int { return r.counts[by] }

// Providers are those that have sessions.
func (r *Registry) Providers() iter.Seq[provider.ID] { return maps.Keys(r.counts) }

func (r *Registry) count(by provider.ID, more int) {
	n := r.counts[by] + more
	if n > 0 {
		r.counts[by] = n
	} else {
		delete(r.counts, by) // it may never be named again
	}
	if r.Counted != nil {
		r.Counted(by, n)
	}
}

// Admit records a client that was let in, by the identity that it was given and with the password that it has sent. An older
// record of the same connection is replaced: its address was reused.
func (r *Registry) Admit(s *Session, connect broker.Connect, password Digest) {
	r.forget(connect.Conn)
	s.Conn, s.ClientID, s.digest, s.round = connect.Conn, connect.ClientID, password.with(connect.Username), r.round
	r.live[s.Conn] = s
	r.count(s.Provider, 1)
	r.expiries.set(s, s.LeaveAt)
}

// Leave records that the client's connection has ended.
func (r *Registry) Leave(conn broker.Conn) { r.forget(conn) }

func (r *Registry) forget(conn broker.Conn) {
	if s, known := r.live[conn]; known {
		delete(r.live, conn)
		r.count(s.Provider, -1)
		r.expiries.remove(s)
		r.limit(s, time.Time{})
		r.Forgo(s)
	}
}

// Has tells whether the connection has a session.
func (r *Registry) Has(conn broker.Conn) bool { return r.live[conn] != nil }

// Lives tells whether the session has not ended.
func (r *Registry) Lives(s *Session) bool { return r.live[s.Conn] == s }

// Due takes the next session out of the list of deadlines whose time has come; nil if there is none. The session
// itself stays until Leave, as its connection does.
func (r *Registry) Due(now time.Time) *Session {
	if s := r.expiries.due(now); s != nil {
		return s
	}
	return r.limits.due(now)
}

// NextDeadline is when Due will next have something, but for those who have come to their limit; zero: never.
func (r *Registry) NextDeadline() time.Time { return r.expiries.next() }

// NextLimit is the same for the limits; see Limit.
func (r *Registry) NextLimit() time.Time { return r.limits.next() }

// Limit has a session end at a time whatever token it has by then; zero: it has no limit. That is a reading of the clock that nobody
// sets.
func (r *Registry) Limit(s *Session, at time.Time) {
	if r.Lives(s) && s.Why() == "" {
		r.limit(s, at)
	}
}

func (r *Registry) limit(s *Session, at time.Time) {
	if s.rare != nil || !at.IsZero() {
		s.rarely()
		r.limits.set(s, at)
	}
}

// Renew puts another token in the place of the one that a live session had: by the name that the log has for it, and with the
// time at which the client must leave because of it (zero: never). Nobody is asked about the one before any more.
func (r *Registry) Renew(s *Session, logID string, leaveAt time.Time) {
	s.LogID = logID
	r.expiries.set(s, leaveAt)
	r.Forgo(s)
}

// Expel has Due give out a live session at a time for this reason. It may not stay, and is not reaffirmed until then. Whatever becomes of
// the time of day: it is a reading of the clock that nobody sets, and so must not stand among the ends of tokens, which are none.
func (r *Registry) Expel(s *Session, at time.Time, why string) {
	s.rarely().why = why
	r.expiries.remove(s)
	r.limits.set(s, at)
}

// Recheck has a live session asked about at a time, by what is in Asked: DueRecheck gives it out then, once.
func (r *Registry) Recheck(s *Session, at time.Time) {
	of := r.rechecks[s.Provider]
	if of == nil {
		of = &timers{of: recheck}
		r.rechecks[s.Provider] = of
	}
	of.set(s, at)
}

// Forgo has nobody asked about a session any more, and keeps its token no longer.
func (r *Registry) Forgo(s *Session) {
	if s.Asked == nil {
		return
	}
	if of := r.rechecks[s.Provider]; of != nil {
		of.remove(s)
		r.shed(s.Provider)
	}
	s.Asked = nil
}

// shed forgets the timers of a provider if there are none.
func (r *Registry) shed(by provider.ID) {
	if r.rechecks[by].Len() == 0 {
		delete(r.rechecks, by)
	}
}

// DueRecheck takes out the next session of a provider that is to be asked about by now; nil if there is none.
func (r *Registry) DueRecheck(by provider.ID, now time.Time) *Session {
	of := r.rechecks[by]
	if of == nil {
		return nil
	}
	s := of.due(now)
	r.shed(by)
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
		return of.Len()
	}
	return 0
}

// OpenSweep begins the round in which the broker asks for everybody again (after RELOAD).
func (r *Registry) OpenSweep() {
	r.round++
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
	if known && s.ByAuth {
		connect.Password = nil
	}
	if !r.open || !known || s.round == r.round || s.Over(now) ||
		s.ClientID != connect.ClientID || s.digest != DigestOf(connect.Password).with(connect.Username) {
		return false
	}
	s.round = r.round
	return true
}

// Over tells whether the session has come to its deadline.
func (s *Session) Over(now time.Time) bool {
	return s.Why() != "" || (!s.LeaveAt.IsZero() && !now.Before(s.LeaveAt)) || s.IsPastLimit(now)
}

// IsPastLimit tells whether the session has lasted for as long as any may.
func (s *Session) IsPastLimit(now time.Time) bool {
	limit := s.Limit()
	return !limit.IsZero() && !now.Before(limit)
}
