// Package renewal puts a fresh token in the place of the one by which a client was let in, while that stays connected: one that
// came by enhanced authentication (MQTT 5 §4.12) or in a message to a $CONTROL topic.
//
// It belongs to the broker's thread. Whatever may have changed while a token was judged is looked at again when its verdict is
// there.
package renewal

import (
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/lifetime"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"

	"golang.org/x/time/rate"
)

// Burst renewals of a client are taken in a row by $CONTROL, and then one every Every; by AUTH, of which one that is refused is the last,
// AuthBurst and AuthEvery. MaxPending of them may wait for keys or an answer at once, however they came.
const (
	Burst      = 5
	Every      = 10 * time.Second
	AuthBurst  = 20
	AuthEvery  = time.Second
	MaxPending = 5
)

// Renewals are those of the sessions of one plugin instance. Its functions are the house's, and belong to the broker's thread as
// its methods do.
type Renewals struct {
	Loop     *loop.Loop
	Now      func() time.Time
	Sessions *session.Registry
	// Chain is the one in force.
	Chain func() *chain.Chain
	// IsOwner tells whether a token is of the same issuer and subject as the session.
	IsOwner func(s *session.Session, result provider.Result) bool
	// Blocked refuses a token whose bearer may not come in for the time being; nil: it may.
	Blocked func(result provider.Result) *verdict.Verdict
	// Apply replaces all that depends on the token of a session, whose client has these names.
	Apply func(s *session.Session, client broker.Connect, result provider.Result)
	// Tell reports what has happened to a client.
	Tell func(event.Event)
}

// Outcome is what came of a renewal.
type Outcome struct {
	// Verdict is Accept or Deny.
	verdict.Verdict
	// LogID names the token that was shown in the log; empty: it was not looked at.
	LogID string
	// Expires is the exp of the token that counts now, or the end of the session if that comes before; zero: neither is to come.
	Expires time.Time
	// Superseded: a renewal that began later has been applied before. This one changes nothing, whatever its verdict.
	Superseded bool
}

// Refuses tells whether the token speaks against the session. It does not if nothing was learnt about it.
func (o Outcome) Refuses() bool {
	return o.Kind != verdict.Accept && !o.Superseded && !o.Reason.Unavailable() && o.Reason != verdict.ServerBusy
}

// attempt is one renewal.
type attempt struct {
	session *session.Session
	client  broker.Connect
	token   string
	method  string // of event.Event
	number  uint32
	done    func(Outcome)
}

// Limit counts a request that came by $CONTROL for a live session. If there are too many, it says so.
func (r *Renewals) Limit(s *session.Session) *verdict.Verdict {
	return r.bound(s, event.ByControl, &s.Renewals().Limit, Burst, Every)
}

// LimitAuth is the same for those that come by AUTH.
func (r *Renewals) LimitAuth(s *session.Session) *verdict.Verdict {
	return r.bound(s, event.ByAuth, &s.Renewals().AuthLimit, AuthBurst, AuthEvery)
}

func (r *Renewals) bound(s *session.Session, method string, limit **rate.Limiter, burst int, every time.Duration) *verdict.Verdict {
	if r.allows(limit, burst, every) {
		return nil
	}
	v := verdict.Refuse(verdict.ServerBusy, "at most %d renewals are taken in a row, and then one in %s", burst, verdict.Span(every))
	r.refused(&attempt{session: s, method: method}, v, "")
	return &v
}

// allows tells whether a limit allows for one more, and counts it.
func (r *Renewals) allows(limit **rate.Limiter, burst int, every time.Duration) bool {
	if *limit == nil {
		*limit = rate.NewLimiter(rate.Every(every), burst)
	}
	return (*limit).AllowN(r.Now(), 1)
}

// Begin judges a token that the client of a live session shows, under the names that it has now. done is called once: before Begin
// returns if the verdict can be given at once, else by a Tick; and not at all if the session ends before. A renewal that waits
// changes nothing until then.
func (r *Renewals) Begin(s *session.Session, client broker.Connect, token string, done func(Outcome)) {
	state := s.Renewals()
	state.Begun++
	a := &attempt{session: s, client: client, token: token, method: event.MethodOf(client.ByAuth, event.ByControl), number: state.Begun, done: done}
	switch {
	case s.Over(r.Now()):
		r.refuse(a, verdict.Refuse(verdict.Expired, "the session has come to its end"), "")
	case state.Pending >= MaxPending:
		r.refuse(a, verdict.Refuse(verdict.ServerBusy, "%d renewals are waiting for their verdict", state.Pending), "")
	default:
		r.judge(a)
	}
}

// judge judges by the configuration in force.
func (r *Renewals) judge(a *attempt) {
	client := a.client
	client.IDIsToken, client.NameIsToken = a.session.IDIsToken, a.session.NameIsToken
	result, open := r.Chain().BeginRenewal(client, a.token, a.session.Provider)
	if open == nil {
		r.conclude(a, result)
		return
	}
	state := a.session.Renewals()
	state.Pending++
	r.Tell(r.event(event.RenewalPending, a, result.Verdict, result.LogID))
	r.Loop.Background(func() func() {
		result, _ := open.Finish(r.Loop.Context())
		return func() {
			state.Pending--
			switch {
			case !r.Sessions.Lives(a.session):
			case r.Chain().Provider(a.session.Provider) != result.Provider:
				r.judge(a) // by what has come into force meanwhile
			default:
				r.conclude(a, result)
			}
		}
	})
}

// conclude applies a verdict to a live session.
func (r *Renewals) conclude(a *attempt, result provider.Result) {
	s, now := a.session, r.Now()
	v := result.At(now)
	switch {
	case v.Kind != verdict.Accept:
	case s.Over(now):
		v = verdict.Refuse(verdict.Expired, "the session came to its end while the identity provider was asked")
	case r.Blocked(result) != nil:
		v = *r.Blocked(result)
	case mapsNames(result.Provider):
	case result.Subject == "":
		v = verdict.Refuse(verdict.IdentityMismatch, "nothing in it says whose it is: it has no sub, and no name is mapped")
	case !r.IsOwner(s, result):
		v = verdict.Refuse(verdict.IdentityMismatch, "it is a token of another subject or issuer than the client was let in by")
	}
	state := s.Renewals()
	if v.Kind != verdict.Accept {
		r.refuse(a, v, result.LogID)
		return
	}
	if a.number < state.Applied {
		a.done(Outcome{Verdict: v, LogID: result.LogID, Expires: r.sooner(state.Expires, s.Limit()), Superseded: true})
		return
	}
	state.Applied, state.Expires = a.number, result.Expiry
	state.Count++
	s.IDIsToken = s.IDIsToken || a.token == s.ClientID
	r.Sessions.Renew(s, result.LogID, result.LeaveAt)
	r.Apply(s, a.client, result)
	e := lifetime.Event(event.Renewed, s)
	e.Client.Address, e.Method, e.Subject = a.client.Address, a.method, verdict.ValueUnless(a.token, result.Subject)
	e.Verdict, e.Until, e.Path = v, r.sooner(s.LeaveAt, s.Limit()), result.Provider.Config().Path
	r.Tell(e)
	a.done(Outcome{Verdict: v, LogID: result.LogID, Expires: r.sooner(state.Expires, s.Limit())})
}

// mapsNames tells whether a token says by itself who its client is: BeginRenewal has compared that.
func mapsNames(by *provider.Provider) bool {
	common := by.Config().Common
	return common.MatchUsername || common.MatchClientID
}

func (r *Renewals) refuse(a *attempt, v verdict.Verdict, logID string) {
	v.Kind = verdict.Deny // what is put off is not asked for once more
	r.refused(a, v, logID)
	a.done(Outcome{Verdict: v, LogID: logID, Superseded: a.number < a.session.Renewals().Applied})
}

// refused tells of a token that does not count. Once the client has caused too many such lines it is only counted.
func (r *Renewals) refused(a *attempt, v verdict.Verdict, logID string) {
	e := r.event(event.RenewalRefused, a, v, logID)
	e.CountedOnly = !r.allows(&a.session.Renewals().Lines, Burst, Every)
	r.Tell(e)
}

// event is about a token that does not count, or not yet.
func (r *Renewals) event(kind event.Kind, a *attempt, v verdict.Verdict, logID string) event.Event {
	e := lifetime.Event(kind, a.session)
	if a.token == a.session.ClientID { // in this line alone: a client could hide its id in all
		e.Client.ID = verdict.ValueUnless(a.token, a.token)
	}
	e.Client.Address, e.Method, e.Verdict, e.LogID = a.client.Address, a.method, v, logID
	return e
}

// sooner is session.Sooner by now.
func (r *Renewals) sooner(end, limit time.Time) time.Time { return session.Sooner(end, limit, r.Now()) }
