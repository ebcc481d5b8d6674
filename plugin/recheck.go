package plugin

import (
	"math/rand/v2"
	"time"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// recheckShare is the part of the requests to the endpoint that may be about connected clients: logins go first.
const recheckShare = 4

// confirm asks about a client that was admitted by signature and claims alone, and disconnects it if that was wrong.
func (p *Plugin) confirm(c *chain.Chain, s *session.Session, result chain.Result) {
	p.background(func() func() {
		c.Confirm(p.ctx, &result)
		switch {
		case result.Kind != verdict.Accept:
			return func() { p.expel(s, result.Verdict) }
		case result.Unchecked:
			return func() {
				p.log(event.Notice, "%s stays without having been asked about ($.options.revocation.onUnavailable): %s (token %s)",
					named(s), result.Note, s.Token)
			}
		}
		return nil // the usual case, for which the broker is not woken
	})
}

// recheckInterval is that of a configuration; zero: connected clients are not asked about.
func recheckInterval(c *chain.Chain) time.Duration {
	if r := c.Config().Providers[0].Revocation; r != nil {
		return r.RecheckInterval
	}
	return 0
}

// scheduleRecheck has a client asked about once an interval from a random moment on, so that clients that came together
// are not asked about together. Its token is kept for this alone, and shown to the endpoint alone that has admitted it: where
// that has gone from the file while the verdict was waited for, its turn is the end of it (notAskedAbout).
func (p *Plugin) scheduleRecheck(c *chain.Chain, s *session.Session, bearer string) {
	interval := recheckInterval(p.chain)
	if c.Endpoint() != p.chain.Endpoint() {
		interval = recheckInterval(c)
	}
	if interval > 0 {
		s.Bearer, s.Endpoint = bearer, c.Endpoint()
		p.sessions.Recheck(s, p.now().Add(rand.N(interval)+1)) //nolint:gosec // nobody gains by guessing it
	}
}

// leaveBehind says what becomes of clients that were admitted by an endpoint which the new file does not name.
func (p *Plugin) leaveBehind(before *chain.Chain) {
	if n := p.sessions.Rechecks(); n > 0 && before.Endpoint() != p.chain.Endpoint() {
		p.log(event.Notice, "%d connected clients were admitted by %s, which %s no longer names: they are not asked about again, and leave "+
			"when their tokens expire; those whose tokens never do are disconnected", n, before.ShownEndpoint(), p.file)
	}
}

// nextRecheck is when recheck has something to do; zero: not before a request that is under way has ended.
func (p *Plugin) nextRecheck() time.Time {
	if p.rechecking >= p.maxRechecking() {
		return time.Time{}
	}
	return p.sessions.NextRecheck()
}

// maxRechecking is how many may be asked about at once: logins go first.
func (p *Plugin) maxRechecking() int {
	if r := p.chain.Config().Providers[0].Revocation; r != nil {
		return max(1, r.MaxConcurrent/recheckShare)
	}
	return 1
}

// recheck begins to ask again about one connected client whose turn it is; false where there is none, or too many are being
// asked about.
func (p *Plugin) recheck() bool {
	if p.rechecking >= p.maxRechecking() {
		return false
	}
	now := p.now()
	s := p.sessions.DueRecheck(now)
	switch interval := recheckInterval(p.chain); {
	case s == nil:
		return false
	case s.Endpoint != p.chain.Endpoint():
		p.notAskedAbout(s)
	case interval > 0:
		p.rechecking++
		c, bearer, expires := p.chain, s.Bearer, s.Expires
		release := c.Hold()
		p.background(func() func() {
			defer release()
			result := c.Recheck(p.ctx, bearer, expires)
			return func() {
				p.rechecking--
				p.rechecked(s, now.Add(interval), result.Verdict)
			}
		})
	}
	return true
}

// notAskedAbout ends the rechecks of a session whose endpoint is gone from the file. Where nothing else ends it, this does.
func (p *Plugin) notAskedAbout(s *session.Session) {
	s.Bearer = ""
	if s.Until.IsZero() {
		p.expel(s, verdict.Refuse(verdict.ProviderUnavailable, "the endpoint that has admitted it is gone from %s, and its token never expires", p.file))
	}
}

// rechecked disconnects a client whose token is not active any more. That there was no answer changes nothing.
func (p *Plugin) rechecked(s *session.Session, next time.Time, v verdict.Verdict) {
	if !p.sessions.Lives(s) {
		return
	}
	if v.Reason == verdict.Revoked {
		p.expel(s, v)
		return
	}
	if v.Kind != verdict.Accept {
		p.log(event.Debug, "%s stays, though nothing was learnt about it: %s (token %s)", named(s), v, s.Token)
	}
	p.sessions.Recheck(s, next)
}

// expel disconnects a client for a reason that came up after it was admitted. The broker calls Disconnect from inside.
func (p *Plugin) expel(s *session.Session, why verdict.Verdict) {
	if !p.sessions.Lives(s) {
		return
	}
	p.kick(s, why.String(), p.chain.Config().Providers[0].Common.KickWithWill)
}
