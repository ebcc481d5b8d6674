package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/block"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// target says whom a disconnectSession is about: by exactly one of the names, or by the provider alone.
type target struct {
	by, name string
	// provider narrows it; given: it does.
	provider      string
	givenProvider bool
	// logID is what the log calls a token with the jti.
	logID string
	// client has the client id, if it is by that.
	client *roster.Client
}

// matches tells whether a client is meant. The broker is asked for its username only where that is what counts.
func (t *target) matches(c *roster.Client, s *session.Session, username func() *string) bool {
	if t.givenProvider && (s == nil || s.Provider.Name() != t.provider) {
		return false
	}
	switch t.by {
	case "clientid":
		return c.ID == t.name
	case "username":
		name := username()
		return name != nil && *name == t.name
	case "sub":
		return s != nil && s.Known().Subject == t.name
	case "jti":
		return s != nil && s.LogID == t.logID
	}
	return t.givenProvider
}

func (t *target) String() string {
	var parts []string
	if t.by != "" {
		parts = append(parts, t.by+" "+nameOf(t.name, t.client))
	}
	if t.givenProvider {
		parts = append(parts, "provider "+verdict.Quote(t.provider))
	}
	return strings.Join(parts, ", ")
}

// mostOfJTI is how long a jti is that tells a token from others in the log, in bytes.
const mostOfJTI = 96

func (c *call) target() target {
	var t target
	for _, by := range []string{"clientid", "username", "sub", "jti"} {
		name, there := c.text(by, longestName)
		if !there {
			continue
		}
		if t.by != "" {
			c.fail("%s and %s must not stand together", verdict.Quote(t.by), verdict.Quote(by))
		}
		t.by, t.name = by, name
	}
	t.provider, t.givenProvider = c.text("provider", longestName)
	switch {
	case t.by == "" && !t.givenProvider:
		c.fail(`one of "clientid", "username", "sub", "jti" and "provider" must be there`)
	case t.by == "clientid" && t.givenProvider:
		c.fail(`"provider" must not stand beside "clientid"`)
	case t.by == "jti" && len(t.name) > mostOfJTI:
		c.fail(`"jti" must have at most %d bytes, as more are not kept`, mostOfJTI)
	case t.by == "jti" && verdict.HoldsToken(t.name):
		c.fail(`"jti" must not be a token`)
	case t.by == "jti":
		t.logID = "jti " + verdict.Quote(t.name)
	}
	return t
}

func (a *Admins) disconnectSession(c *call) {
	t := c.target()
	seconds := c.whole("block", 1, uint64(block.LongestFor/time.Second), 0)
	reason, _ := c.text("reason", longestReason)
	if seconds > 0 && t.by == "" && t.givenProvider {
		c.fail(`"block" must not stand beside "provider" alone: it would keep all of its clients out`)
	}
	if seconds > 0 && (t.by == "sub" || t.by == "jti") && !t.givenProvider && len(slices.Compact(slices.Sorted(slices.Values(a.Providers())))) > 1 {
		c.fail(`"provider" must be there beside "block", as there are several`)
	}
	if seconds > 0 && t.givenProvider && (t.by == "sub" || t.by == "jti") && !a.HasProvider(t.provider) {
		c.fail(`"provider" must be the name of one beside "block", as it would keep nobody out`)
	}
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	known := t.by == "clientid" && c.watched.Roster.Find(t.name) != nil
	if !known && a.jobs >= MaxJobs {
		c.done(t.String(), nil, errBusy) // and nobody is blocked
		return
	}
	d := &disconnection{
		target: t, reason: reason, admins: a, call: c, why: string(verdict.ByAdmin) + ": " + verdict.Quote(c.who.Name),
		last: c.watched.Roster.Revision(),
	}
	if reason != "" {
		d.why += ", " + verdict.Quote(reason)
	}
	if seconds > 0 {
		d.until, d.order = a.Now().Add(time.Duration(seconds)*time.Second), a.Blocks.Order() //nolint:gosec // a day at most
	}
	if err := d.begin(); err != nil {
		c.done(t.String(), nil, err)
		return
	}
	if known {
		d.meetByID()
		d.end()
		return
	}
	// Of those who came before there were admins, or to a listener without the plugin, some may be missing.
	if t.by == "clientid" || t.by == "username" {
		a.Refresh()
	}
	var next uint64
	a.run(c, t.String(), func() bool {
		if a.Filling() {
			return false
		}
		if next == 0 {
			d.listed = c.watched.Roster.Revision()
		}
		if t.by == "clientid" {
			d.meetByID()
		} else if next = d.pass(next); next != 0 {
			return false
		}
		d.end()
		return true
	})
}

// disconnection is a disconnectSession that is being done.
type disconnection struct {
	target
	reason, why string
	// until is how long those are kept out who are met; zero: they are not. order is that of the command.
	until  time.Time
	order  uint64
	admins *Admins
	call   *call

	// last is the revision of the command: who comes after that is not meant. listed is that by which all are in the list who were there.
	last, listed uint64
	found, not   int
	// kept are the blocks.
	kept map[uint64]struct{}
}

// begin keeps those out who are named, whether they are there or not.
func (d *disconnection) begin() error {
	if d.until.IsZero() || d.by != "sub" && d.by != "jti" {
		return nil
	}
	bearer := block.Bearer{Provider: d.provider, LogID: d.logID}
	if d.by == "sub" {
		bearer.Subject = d.name
	}
	if !d.givenProvider {
		if names := d.admins.Providers(); len(names) > 0 {
			bearer.Provider = names[0]
		}
	}
	return d.block(bearer)
}

func (d *disconnection) block(bearer block.Bearer) error {
	b, err := d.admins.Blocks.Add(block.Block{Bearer: bearer, Until: d.until, By: d.call.who.Name, Reason: d.reason, Order: d.order}, d.admins.Now())
	if err != nil {
		return err
	}
	if d.kept == nil {
		d.kept = map[uint64]struct{}{}
	}
	d.kept[b.ID] = struct{}{}
	return nil
}

// pass looks at a few clients, and returns where to go on; 0: nowhere.
func (d *disconnection) pass(from uint64) (next uint64) {
	n := 0
	for client := range d.call.watched.Roster.From(from) {
		switch {
		case client.Came > d.listed:
			return 0
		case n == piece:
			return client.Came
		}
		n++
		d.meet(client)
	}
	return 0
}

// meet has a client disconnected if it is meant. That changes nothing in the roster yet.
func (d *disconnection) meet(client *roster.Client) {
	if !client.Connected || client.Came > d.last && !client.Restored {
		return
	}
	a := d.admins
	s := a.Session(client)
	there := true
	username := func() *string {
		v, is := a.View(client)
		there = is
		return v.Info.Username
	}
	if !d.matches(client, s, username) || !there {
		return
	}
	d.found++
	a.Disconnect(client, d.why)
	if d.until.IsZero() || s == nil || d.by == "sub" || d.by == "jti" {
		return
	}
	bearer := block.Bearer{Provider: s.Provider.Name(), Subject: s.Known().Subject}
	if bearer.Subject == "" {
		bearer.LogID = s.LogID
	}
	if d.block(bearer) != nil {
		d.not++
	}
}

// meetByID meets the client that has the client id.
func (d *disconnection) meetByID() {
	if d.client = d.call.watched.Roster.Find(d.name); d.client != nil {
		d.meet(d.client)
	}
}

// end answers.
func (d *disconnection) end() {
	what := fmt.Sprintf("%s: %s", d.String(), counted(d.found, "client", "clients"))
	if d.not > 0 {
		d.call.done(what, nil, fmt.Errorf("%w; %d were disconnected, and %d of them may come in again", block.ErrFull, d.found, d.not))
		return
	}
	data := struct {
		Disconnected int   `json:"disconnected"`
		Blocked      int   `json:"blocked"`
		BlockedUntil int64 `json:"blockedUntil,omitempty"`
	}{d.found, len(d.kept), 0}
	if len(d.kept) > 0 {
		data.BlockedUntil = date(d.until)
		what += fmt.Sprintf(", %s until %s", counted(len(d.kept), "block", "blocks"), d.until.UTC().Format(time.RFC3339))
	}
	if d.reason != "" {
		what += ", " + verdict.Quote(d.reason)
	}
	d.call.done(what, data, nil)
}
