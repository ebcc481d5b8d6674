package plugin

import (
	"strings"
	"time"

	"go-jwt-auth/plugin/admin"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
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
		s.Keys = &admin.Keys{Count: now.Keys.Usable, LastSuccess: unix(now.Keys.Read)}
	}
	if r := now.Revocation; r != nil {
		s.Revocation = &admin.Revocation{Endpoint: by.ShownEndpoint(), Check: string(cfg.Revocation.Check), Breaker: "closed", Queued: r.Waiting}
		if r.Open {
			s.Revocation.Breaker = "open"
		}
	}
	return s
}
