package plugin

import (
	"fmt"
	"slices"

	"go-jwt-auth/plugin/audit"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// tell takes an event to the log, the audit trail and the metrics.
func (p *Plugin) tell(e event.Event) {
	p.meter.Load().Event(&e)
	if e.CountedOnly {
		return
	}
	p.lines.Event(&e)
	p.table.note(&e, p.now)
	if p.trail != nil {
		p.trail.Event(&e, p.now())
	}
}

// recordFile takes what became of jwt.json to the audit trail and the metrics.
func (p *Plugin) recordFile(again bool, result, detail string) {
	what := audit.Start
	if again {
		what = audit.Reload
	}
	if again {
		p.reloaded.note(result, detail, p.now())
	}
	p.meter.Load().Reloaded(again, result)
	p.trail.Put(audit.Record{Time: p.now(), Event: what, Result: result, File: p.file, Detail: verdict.Line(detail)})
}

// recordTurn takes a provider that went down or came up to the audit trail.
func (p *Plugin) recordTurn(n event.Note) {
	result := audit.Up
	if n.Turn == event.Down {
		result = audit.Down
	}
	p.trail.Put(audit.Record{Time: p.now(), Event: audit.Provider, Result: result, Provider: n.Provider, Detail: n.Text})
}

// tellOf tells what has happened to a login.
func (p *Plugin) tellOf(kind event.Kind, connect broker.Connect, result provider.Result) {
	e := event.Event{Kind: kind, Client: p.clientOf(connect), Method: event.MethodOf(connect.ByAuth, event.ByPassword), Verdict: result.Verdict, LogID: result.LogID}
	if by := result.Provider; by != nil {
		e.Provider, e.Path, e.Notable = by.Name(), by.Config().Path, by.Config().Common.LogLogins
	}
	if !connect.Began.IsZero() {
		p.detail(&e, connect, result)
	}
	if result.Bearer() == connect.ClientID { // which is then a secret, also if it came by enhanced authentication
		e.Client.ID = verdict.ValueUnless(result.Bearer(), connect.ClientID)
	}
	if name := result.Identity.Username; name != nil {
		e.Username = verdict.ValueUnless(result.Bearer(), *name)
	}
	p.tell(e)
}

// detail adds to an event about a login what the log does not show.
func (p *Plugin) detail(e *event.Event, connect broker.Connect, result provider.Result) {
	e.Took = p.now().Sub(connect.Began)
	e.Subject = verdict.ValueUnless(result.Bearer(), result.Subject)
	if connect.Username != nil && !slices.Contains(p.chain.Config().TokenSource, config.TokenInUsername) {
		e.Sent = verdict.ValueUnless(result.Bearer(), *connect.Username)
	}
}

// clientOf names a client in the log.
func (p *Plugin) clientOf(connect broker.Connect) event.Client {
	token := p.chain.OpaqueToken(connect)
	s := p.sessions.Of(connect.Conn)
	if holder, connected := p.table.holders.Connected(connect.ClientID); s == nil && connected {
		s = p.sessions.Of(holder) // whose token somebody else shows as a client id
	}
	if s != nil && s.IDIsToken {
		token = s.ClientID // after a reload it comes with the username that it was given
	}
	return event.Client{ID: verdict.ValueUnless(token, connect.ClientID), Address: connect.Address}
}

func (p *Plugin) log(level event.Level, format string, args ...any) {
	p.lines.Text(level, fmt.Sprintf(format, args...))
}

// logEach logs an error that may join several, one to a line.
func (p *Plugin) logEach(level event.Level, err error) {
	for _, each := range chain.Parts(err) {
		p.log(level, "%s", each)
	}
}

// report takes a note from any goroutine to the log.
func (p *Plugin) report(n event.Note) {
	p.loop.Post(func() { p.logNotes([]event.Note{n}) })
}

// logNotes logs the most important first: on a screenful of lines they are what should be seen.
func (p *Plugin) logNotes(notes []event.Note) {
	slices.SortStableFunc(notes, func(a, b event.Note) int { return int(a.Level) - int(b.Level) })
	for _, n := range notes {
		p.log(n.Level, "%s", n.Text)
		if n.Turn != event.None {
			p.recordTurn(n)
		}
	}
}
