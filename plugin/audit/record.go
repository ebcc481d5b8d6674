package audit

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// What lines are about, besides what event.Outcome is. The words are stable, as those of results and the names of the members
// are: docs/audit.schema.json.
const (
	// Start and Reload are about jwt.json: event.Done or event.Failed.
	Start  = "start"
	Reload = "reload"
	// Provider is one that can't be asked any more, or can again: Down or Up.
	Provider = "provider"
	// Lost says how many lines are missing before this one.
	Lost = "lost"
)

// The results of Provider.
const (
	Up   = "up"
	Down = "down"
)

// Record is one line. What is empty is left out.
type Record struct {
	Time          time.Time
	Event, Result string
	ClientID      verdict.Value
	Address       string
	// Username is the one that the client was given; if it was given none, the one that it sent.
	Username verdict.Value
	// Provider is the name of the one that has judged.
	Provider string
	// Subject is whose token it was, of tokens that were found good.
	Subject verdict.Value
	// Command is the admin's.
	Command string
	// LogID names the token: see token.Claims.ID.
	LogID  string
	Reason verdict.Reason
	Detail string
	// Unchecked: it was admitted although its token could not be asked about.
	Unchecked bool
	// Took is from CONNECT to the verdict; zero: not known.
	Took time.Duration
	// File is the jwt.json that Start and Reload are about.
	File string
	// Lines belongs to Lost.
	Lines uint64
}

// recordOf is the line of an event; false if that is no decision.
func recordOf(e *event.Event) (r Record, is bool) {
	o, is := e.Outcome()
	if o.Result == event.Deferred && o.Detail == "" {
		return r, false // a password of another kind
	}
	r = Record{
		Event: o.About, Result: o.Result, ClientID: e.Client.ID, Address: e.Client.Address, Username: e.Username, Provider: e.Provider, Subject: e.Subject,
		LogID: e.LogID, Command: e.Command, Reason: o.Reason, Detail: o.Detail, Unchecked: o.Result == event.Accepted && e.Verdict.Unchecked, Took: e.Took,
	}
	if r.Username == (verdict.Value{}) {
		r.Username = e.Sent
	}
	return r, is
}

func (r *Record) severity() int {
	switch {
	case r.Event == Lost, r.Result == event.Failed:
		return severityError
	case r.Result == event.Refused, r.Result == Down, r.Unchecked, r.Result == event.Unanswered:
		return severityWarn
	}
	return severityNote
}

// longest is how much of a text is shown, in bytes: MQTT's names can have 65,535.
const longest = 1024

// encoder makes the lines.
type encoder struct {
	text    bytes.Buffer
	handler slog.Handler
	attrs   []slog.Attr
}

// encode returns the line, which is good until the next.
func (c *encoder) encode(r *Record) []byte {
	if c.handler == nil {
		c.handler = slog.NewJSONHandler(&c.text, &slog.HandlerOptions{ReplaceAttr: rename})
	}
	c.text.Reset()
	c.attrs = c.attrs[:0]
	c.add("result", r.Result)
	c.value("clientid", r.ClientID)
	c.add("address", r.Address)
	c.value("username", r.Username)
	c.add("provider", r.Provider)
	c.value("sub", r.Subject)
	c.token(r.LogID)
	c.add("command", r.Command)
	c.add("file", r.File)
	c.add("reason", string(r.Reason))
	c.add("detail", r.Detail)
	if r.Unchecked {
		c.attrs = append(c.attrs, slog.Bool("unchecked", true))
	}
	if r.Took > 0 {
		c.attrs = append(c.attrs, slog.Float64("tookMs", float64(r.Took.Microseconds())/1000))
	}
	if r.Lines > 0 {
		c.attrs = append(c.attrs, slog.Uint64("lines", r.Lines))
	}
	line := slog.NewRecord(r.Time.UTC(), slog.LevelInfo, r.Event, 0)
	line.AddAttrs(c.attrs...)
	_ = c.handler.Handle(context.Background(), line) // a buffer takes all
	return c.text.Bytes()
}

// rename calls the message "event", and leaves out the level, which is syslog's.
func rename(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.LevelKey:
		return slog.Attr{}
	case slog.MessageKey:
		a.Key = "event"
	}
	return a
}

func (c *encoder) add(name, text string) {
	if text != "" {
		c.attrs = append(c.attrs, slog.String(name, verdict.Shorten(text, longest)))
	}
}

func (c *encoder) value(name string, v verdict.Value) {
	if v != (verdict.Value{}) {
		c.attrs = append(c.attrs, slog.String(name, v.Text(longest)))
	}
}

// token adds what names the token: its jti as it is, or the first bytes of its SHA-256.
func (c *encoder) token(logID string) {
	jti, hash := event.TokenNames(logID)
	c.add("sha256", hash)
	c.add("jti", jti)
}
