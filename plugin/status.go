package plugin

import (
	"strings"
	"time"

	"go-jwt-auth/plugin/admin"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// reloaded is what became of the reloads of an instance.
type reloaded struct {
	count int
	at    time.Time
	// fault is why the last one was not taken; empty: it was.
	fault string
}

func (r *reloaded) note(result, detail string, now time.Time) {
	r.count++
	r.at, r.fault = now, ""
	if result == event.Failed {
		r.fault = verdict.Phrase(detail)
	}
}

// status is how all instances stand; of what is one instance's, this one's.
func (p *Plugin) status() admin.Status {
	t := p.table
	s := admin.Status{
		Version: Version, StartedAt: p.began.Unix(), ConfigFile: p.file, Pending: 0, Refusals: t.refused, Logins: t.accepted, Blocks: t.blocks.Len(p.now()),
		Broker:    admin.Broker{Ticks: p.ticks.Seen(), Complete: p.incomplete() == ""},
		Reloads:   admin.Reloads{Count: p.reloaded.count, LastAt: unix(p.reloaded.at), LastError: p.reloaded.fault},
		Sessions:  admin.Counts{All: t.watched.Roster.Len(), Connected: t.watched.Roster.Connected()},
		Providers: []admin.Provider{},
	}
	for _, one := range t.plugins {
		s.Pending += one.pending.Len()
		s.Sessions.Token += one.sessions.Len()
		if one.chain == nil {
			continue
		}
		for _, by := range one.chain.Providers() {
			shown := one.statusOf(by)
			if len(t.plugins) > 1 {
				shown.Instance = one.file
			}
			if shown.Revocation != nil {
				s.Queued += shown.Revocation.Queued
			}
			s.Providers = append(s.Providers, shown)
		}
	}
	return s
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func revocationOf(r *revocation.Condition, cfg *config.Provider) *admin.Revocation {
	s := &admin.Revocation{
		Endpoint: r.Endpoint, Check: string(cfg.Revocation.Check), Breaker: "closed", InFlight: r.Asking, Queued: max(r.Waiting-r.Asking, 0), LastSuccess: unix(r.Answered),
	}
	switch {
	case r.Open:
		s.Breaker = "open"
	case r.HalfOpen:
		s.Breaker = "half-open"
	}
	if r.Failure != nil {
		s.Error = verdict.Phrase(r.Failure.Error())
	}
	if l := r.Latency; l.Count > 0 {
		s.LatencyMS = &admin.Latency{P50: ms(l.P50), P99: ms(l.P99), Count: l.Count}
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (p *Plugin) statusOf(by *provider.Provider) admin.Provider {
	cfg, now := by.Config(), by.Condition()
	s := admin.Provider{
		Name: cfg.Name, Issuers: []string{}, Mode: string(cfg.Mode), Algorithm: strings.Join(cfg.Algorithms, ", "), Ready: now.Opaque || now.Keys.Usable > 0,
		Sessions: p.sessions.LenOf(by.ID()),
	}
	for _, issuer := range cfg.Common.Issuers {
		s.Issuers = append(s.Issuers, verdict.Shorten(issuer.String(), len(issuer.String())))
	}
	if cfg.Mode != config.ModeIntrospection {
		k := now.Keys
		s.Keys = &admin.Keys{Count: k.Usable, Endpoint: k.Origin, LastSuccess: unix(k.Read), LastAttempt: unix(k.Read), Stale: k.Stale}
		if k.Failure != nil {
			s.Keys.Error, s.Keys.LastAttempt = verdict.Phrase(k.Failure.Error()), unix(k.Failed)
		}
	}
	if r := now.Revocation; r != nil {
		s.Revocation = revocationOf(r, cfg)
	}
	return s
}
