package plugin

import (
	"fmt"
	"strings"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/metrics"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/session"
)

// begins is when a callback begins; zero if nobody wants to know.
func (p *Plugin) begins() time.Time {
	if p.trail == nil && p.meter.Load() == nil && p.table.watched == nil {
		return time.Time{}
	}
	return p.now()
}

// spent notes how long a callback has taken, and what there is now.
func (p *Plugin) spent(method string, began time.Time) {
	m := p.meter.Load()
	if m == nil || began.IsZero() {
		return
	}
	m.Spent(method, p.now().Sub(began))
	p.there(m)
}

func (p *Plugin) there(m *metrics.Meter) {
	m.There(p.pending.Len(), p.lifetimes.Rechecking())
}

// counted takes how many sessions a provider has now to the metrics.
func (p *Plugin) counted(by provider.ID, sessions int) { p.meter.Load().Sessions(by, sessions) }

// know keeps what the audit trail is to say of a client when it has to leave, and what admins may see.
func (p *Plugin) know(s *session.Session, connect broker.Connect, result provider.Result) {
	name := connect.Username
	s.NameIsToken = s.NameIsToken || name != nil && *name == result.Bearer()
	if p.trail == nil && p.table.watched == nil {
		return
	}
	known := session.Known{Expires: result.Expiry, Mapped: result.Identity.Username != nil || result.Provider.Config().Common.MatchUsername}
	if result.Subject != result.Bearer() {
		known.Subject = strings.Clone(result.Subject) // it must not keep all claims with it
	}
	if name != nil && !s.NameIsToken {
		known.Username = strings.Clone(*name)
	}
	s.Know(known)
}

// requested takes a request to a provider to the metrics, from any goroutine.
func (p *Plugin) requested(r event.Request) { p.meter.Load().Request(r) }

// longestWait is the longest that Ticks are apart. With metrics they show that the broker's loop turns.
func (p *Plugin) longestWait() time.Duration {
	if p.meter.Load() != nil {
		return metrics.TickEvery
	}
	return lookAgain
}

// openSinks opens where a configuration has events go to, besides the log.
func (p *Plugin) openSinks(c *candidate, cfg *config.Config) (err error) {
	if c.trail, err = p.table.trails.Open(cfg.Audit, p.report); err != nil {
		return fmt.Errorf("%s: $.options.audit: the audit trail can't be opened: %w", p.file, err)
	}
	if c.meter, err = p.table.servers.Open(cfg.Metrics.Listen, Version, p.now); err != nil {
		return fmt.Errorf("%s: $.options.metrics.listen: the metrics can't be served: %w", p.file, err)
	}
	return nil
}

// switchSinks has events go where the configuration in force wants them.
func (p *Plugin) switchSinks(c candidate) {
	p.trail.Close(0)
	p.trail = c.trail
	if before := p.meter.Swap(c.meter); before != c.meter {
		p.table.servers.Close(before)
	}
	c.meter.InForce(p.chain.Providers(), p.trail.Lost)
	if p.ticks.Seen() {
		c.meter.Ticked() // a reload comes into force in a Tick
	}
	for by := range p.sessions.Providers() {
		p.counted(by, p.sessions.LenOf(by))
	}
	p.there(c.meter)
}

// flushFor is how long the broker's end waits for the last lines of the audit trail.
const flushFor = time.Second

// closeSinks ends both.
func (p *Plugin) closeSinks() {
	p.trail.Close(flushFor)
	p.table.servers.Close(p.meter.Swap(nil))
}
