package plugin

import (
	"math/rand/v2"
	"time"

	"go-jwt-auth/plugin/chain"
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
		case result.Detail != "":
			return func() {
				p.log(Notice, "client %s stays without having been asked about ($.options.revocation.onUnavailable): %s (token %s)",
					verdict.Quote(s.ClientID), result.Detail, s.Token)
			}
		}
		return nil // the usual case, for which the broker is not woken
	})
}

// recheckInterval is that of the configuration in force; zero: connected clients are not asked about.
func (p *Plugin) recheckInterval() time.Duration {
	if r := p.chain.Config().Revocation; r != nil {
		return r.RecheckInterval
	}
	return 0
}

// scheduleRecheck has a client asked about once an interval from a random moment on, so that clients that came together
// are not asked about together. Its token is kept for this alone.
func (p *Plugin) scheduleRecheck(s *session.Session, bearer string) {
	if interval := p.recheckInterval(); interval > 0 {
		s.Bearer = bearer
		p.sessions.Recheck(s, p.now().Add(rand.N(interval)+1)) //nolint:gosec // nobody gains by guessing it
	}
}

// nextRecheck is when recheck has something to do; zero: not before a request that is under way has ended.
func (p *Plugin) nextRecheck() time.Time {
	if p.recheckInterval() == 0 || p.rechecking >= p.maxRechecking() {
		return time.Time{}
	}
	return p.sessions.NextRecheck()
}

func (p *Plugin) maxRechecking() int {
	return max(1, p.chain.Config().Revocation.MaxConcurrent/recheckShare)
}

// recheck asks again about the connected clients whose turn it is, a bounded number at a time.
func (p *Plugin) recheck() {
	interval := p.recheckInterval()
	if interval == 0 {
		return
	}
	now := p.now()
	for p.rechecking < p.maxRechecking() {
		s := p.sessions.DueRecheck(now)
		if s == nil {
			return
		}
		p.rechecking++
		c, bearer, expires := p.chain, s.Bearer, s.Expires
		p.background(func() func() {
			result := c.Recheck(p.ctx, bearer, expires)
			return func() {
				p.rechecking--
				p.rechecked(s, now.Add(interval), result.Verdict)
			}
		})
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
		p.log(Debug, "client %s stays, though nothing was learnt about it: %s (token %s)", verdict.Quote(s.ClientID), v, s.Token)
	}
	p.sessions.Recheck(s, next)
}

// expel disconnects a client for a reason that came up after it was admitted. The broker calls Disconnect from inside.
func (p *Plugin) expel(s *session.Session, why verdict.Verdict) {
	if !p.sessions.Lives(s) {
		return
	}
	p.kick(s, why.String(), p.chain.Config().Common.KickWithWill)
}
