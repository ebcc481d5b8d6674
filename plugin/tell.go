package plugin

import (
	"fmt"
	"slices"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// tell takes an event to the log.
func (p *Plugin) tell(e event.Event) { p.lines.Event(&e) }

// tellOf tells what has happened to a login.
func (p *Plugin) tellOf(kind event.Kind, connect broker.Connect, result provider.Result) {
	e := event.Event{Kind: kind, Client: p.clientOf(connect), Verdict: result.Verdict, LogID: result.LogID}
	if by := result.Provider; by != nil {
		e.Provider, e.Path = by.Name(), by.Config().Path
	}
	if name := result.Identity.Username; name != nil {
		e.Username = verdict.ValueUnless(result.Bearer(), *name)
	}
	p.tell(e)
}

// clientOf names a client in the log.
func (p *Plugin) clientOf(connect broker.Connect) event.Client {
	token := p.chain.OpaqueToken(connect)
	if s := p.sessions.Of(connect.Conn); s != nil && s.IDIsToken {
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
	}
}
