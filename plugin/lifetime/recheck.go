package lifetime

import (
	"math/rand/v2"
	"time"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// recheckShare is the part of the requests to an endpoint that may be about connected clients: logins go first.
const recheckShare = 4

// Confirm asks about a client that was admitted by signature and claims alone, and disconnects it if that was wrong.
// If the session has another token by then, the answer says nothing of it.
func (l *Lifetimes) Confirm(s *session.Session, by *provider.Provider, open *provider.Open) {
	generation := s.Generation()
	l.Loop.Background(func() func() {
		result, _ := open.Finish(l.Loop.Context())
		switch {
		case result.Kind != verdict.Accept:
			return func() {
				if s.Generation() == generation {
					l.Expel(s, result.Verdict)
				}
			}
		case result.Unchecked:
			return func() {
				if s.Generation() != generation {
					return
				}
				e := Event(event.NotConfirmed, s)
				e.Verdict, e.Path = result.Verdict, by.Config().Path
				l.Tell(e)
			}
		}
		return nil // the usual case, for which the broker is not woken
	})
}

// recheckInterval is that of a provider; zero: connected clients are not asked about.
func recheckInterval(p *provider.Provider) time.Duration {
	if p == nil {
		return 0
	}
	if r := p.Config().Revocation; r != nil {
		return r.RecheckInterval
	}
	return 0
}

// ScheduleRecheck has a client asked about once an interval from a random moment on, so that clients that came together
// are not asked about together. Its token is kept for this alone, and shown to the endpoint alone that has admitted it: if
// that has gone from the file while the verdict was waited for, its turn is the end of it (notAskedAbout).
func (l *Lifetimes) ScheduleRecheck(s *session.Session, by *provider.Provider, bearer string, expires time.Time) {
	current := l.Provider(by.ID())
	interval := recheckInterval(current)
	if current == nil || by.Endpoint() != current.Endpoint() {
		interval = recheckInterval(by)
	}
	if interval > 0 {
		s.Asked = &session.Asked{Bearer: session.NewBearer(bearer), Expires: expires, Endpoint: by.Endpoint()}
		l.Sessions.Recheck(s, l.Now().Add(rand.N(interval)+1)) //nolint:gosec // nobody gains by guessing it
	}
}

// NextRecheck is when Recheck has something to do; zero: not before a request that is under way has ended.
func (l *Lifetimes) NextRecheck() time.Time {
	var first time.Time
	for id := range l.Sessions.Rechecked() {
		if l.isBusy(l.Provider(id)) {
			continue
		}
		if at := l.Sessions.NextRecheck(id); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// isBusy tells whether a provider is being asked about as many as it may be at once. One that has gone, nil, is not asked.
func (l *Lifetimes) isBusy(p *provider.Provider) bool {
	if p == nil {
		return false
	}
	most := 1
	if r := p.Config().Revocation; r != nil {
		most = max(most, r.MaxConcurrent/recheckShare)
	}
	return l.rechecking[p] >= most
}

// Recheck begins to ask again about one connected client of each provider whose turn it is; false if there is none, or too
// many are being asked about.
func (l *Lifetimes) Recheck() bool {
	begun := false
	for id := range l.Sessions.Rechecked() {
		begun = l.recheckOne(id) || begun
	}
	return begun
}

func (l *Lifetimes) recheckOne(id provider.ID) bool {
	current := l.Provider(id)
	if l.isBusy(current) {
		return false
	}
	now := l.Now()
	s := l.Sessions.DueRecheck(id, now)
	switch interval := recheckInterval(current); {
	case s == nil:
		return false
	case current == nil || s.Asked.Endpoint != current.Endpoint():
		l.notAskedAbout(s)
	case interval > 0:
		l.ask(s, current, now.Add(interval))
	default:
		l.Sessions.Forgo(s)
	}
	return true
}

// ask asks about a session, and again at next.
func (l *Lifetimes) ask(s *session.Session, current *provider.Provider, next time.Time) {
	if l.rechecking == nil {
		l.rechecking = map[*provider.Provider]int{}
	}
	l.rechecking[current]++
	asked, release := s.Asked, current.Hold()
	who := rights.Who{Username: l.Rights.UsernameAt(s.Conn), ClientID: s.ClientID}
	l.Loop.Background(func() func() {
		defer release()
		v, held := current.Recheck(l.Loop.Context(), asked.Bearer.Reveal(), asked.Expires, who)
		return func() {
			l.rechecking[current]--
			if l.rechecking[current] == 0 {
				delete(l.rechecking, current)
			}
			if s.Asked == asked { // else it has left, or has another token
				l.rechecked(s, next, v, held)
			}
		}
	})
}

// Rechecking is how many questions about connected clients are under way.
func (l *Lifetimes) Rechecking() (n int) {
	for _, of := range l.rechecking {
		n += of
	}
	return n
}

// notAskedAbout ends the rechecks of a session whose endpoint is gone from the file. If nothing else ends it, this does.
func (l *Lifetimes) notAskedAbout(s *session.Session) {
	l.Sessions.Forgo(s)
	if s.LeaveAt.IsZero() {
		l.Expel(s, verdict.Refuse(verdict.ProviderUnavailable, "the endpoint that has admitted it is gone from %s, and its token never expires", l.File()))
	}
}

// rechecked disconnects a client whose token is not active any more. That there was no answer changes nothing. held are its rights from now
// on, if the answer says so.
func (l *Lifetimes) rechecked(s *session.Session, next time.Time, v verdict.Verdict, held *rights.Rights) {
	if v.Reason == verdict.Revoked {
		l.Expel(s, v)
		return
	}
	if held != nil {
		l.Rights.Replace(s.Conn, held)
	}
	switch {
	case v.Kind != verdict.Accept:
		e := Event(event.NotRechecked, s)
		e.Verdict = v
		l.Tell(e)
	case v.Note != "":
		e := Event(event.WithoutRights, s)
		e.Why = v.Note
		l.Tell(e)
	}
	l.Sessions.Recheck(s, next)
}
