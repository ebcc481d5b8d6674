package model

import (
	"slices"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/verdict"

	"pgregory.net/rapid"
)

// Rights are those of one room, by a claim of the token, and for everybody those of a place that takes messages from all.
const (
	rightsClaim = "mqtt"
	toAll       = "all"
)

func room(name string) string { return "room/" + name }

var (
	rooms  = rapid.SampledFrom([]string{"1", "2", ""})
	topics = rapid.SampledFrom([]string{room("1"), room("2"), toAll, "elsewhere", control.Topic})
	access = rapid.SampledFrom([]broker.Access{broker.Read, broker.Write, broker.Subscribe, broker.Unsubscribe})
)

// grant is what a client may do; nil: others decide.
type grant struct{ room, onNoMatch string }

// grantOf is what an attempt gives that is accepted: nothing while nobody is asked, by the file that has come into force meanwhile.
func (r *rules) grantOf(a *attempt) *grant {
	if a.token == nil || a.by.Rights == "" || !a.line.checks {
		return nil
	}
	return &grant{a.token.Room, a.by.Rights}
}

// allows is the plugin's answer, by reading the rules out loud.
func (g *grant) allows(access broker.Access, topic string) verdict.Kind {
	switch {
	case g == nil:
		return verdict.Defer
	case access == broker.Unsubscribe,
		topic == room(g.room),
		topic == toAll && access == broker.Write,
		topic == control.Topic && access == broker.Write:
		return verdict.Accept
	case g.onNoMatch == "deny":
		return verdict.Deny
	}
	return verdict.Defer
}

// MayKeepWill is broker.Broker's: it tells what is known by the version of the protocol alone.
func (b *mosquitto) MayKeepWill(address broker.Conn) bool {
	c := b.live[address]
	return c != nil && c.Delayed
}

// mayDo asks whether a client may do something.
func (b *mosquitto) mayDo(c *conn, access broker.Access, topic string) {
	if !c.line.checks || c.Elsewhere {
		return
	}
	kind := verdict.Defer
	if c.line.asked[c.address] {
		kind = c.line.answer(broker.ACLCheck{Conn: c.address, ClientID: c.id, Username: c.name(), Access: access, Topic: topic})
	}
	b.rules.checked(c, access, topic, kind)
}

// action is what was accepted so that it lasts, as C remembers it: by the address alone.
type action struct {
	address broker.Conn
	access  broker.Access
	topic   string
}

// answer is the plugin's, or one of before that lasts.
func (l *line) answer(c broker.ACLCheck) verdict.Kind {
	a := action{c.Conn, c.Access, c.Topic}
	if l.accepted[a] {
		return verdict.Accept
	}
	kind, lasts := l.plugin.ACLCheck(c)
	if lasts {
		l.accepted[a] = true
	}
	return kind
}

// checkPublisher asks whether whoever has published a retained message at the line's listener may do so: by names alone.
func (l *line) checkPublisher(id, username, topic string) {
	if !l.checks {
		return
	}
	b := l.mosquitto
	kind, _ := l.plugin.ACLCheck(broker.ACLCheck{ClientID: id, Username: username, Access: broker.Write, Topic: topic, Retain: true})
	if slices.ContainsFunc(b.closing, func(old *conn) bool { return old.id == id }) {
		return // that it was taken over may not be known
	}
	if last := b.last[id]; last != nil && last.Elsewhere && kind != verdict.Accept {
		return // nor that it has taken over one who was away
	} else if last != nil && last.came > l.ticked && kind == verdict.Accept {
		return // until the next Tick the will of who was there before it may come
	}
	var of *grant
	if c := b.session(id); c != nil && c.name() == username && c.line == l && !c.Elsewhere {
		if of = c.rights; c.isUncertain() || !c.seen {
			return // in one round of the broker's loop it may be taken for who had these names before
		}
	}
	want := of.allows(broker.Write, topic)
	b.rules.say("    %s by %s, who has published to %s: %s", id, username, topic, kind)
	if kind != want && !(topic == control.Topic && kind == verdict.Accept) {
		b.rules.broken("of what %s (%s) has published to %s is said %s, not %s", id, username, topic, kind, want)
	}
}

func (c *conn) name() string {
	if c.username == nil {
		return ""
	}
	return *c.username
}

// willIs judges the will of a client that is gone, once.
func (b *mosquitto) willIs(c *conn) {
	if c.Will {
		b.mayDo(c, broker.Write, c.Topic)
	}
}

// endsWills ends the wait of wills by the client id of somebody who comes: they are published at once, or not at all if that client takes
// over the session.
func (b *mosquitto) endsWills(by *conn) {
	for _, c := range slices.Clone(b.wills) {
		if c.id != by.id {
			continue
		}
		b.wills = slices.DeleteFunc(b.wills, func(other *conn) bool { return other == c })
		if !by.Persistent {
			b.willIs(c)
		}
		b.free(c)
	}
}

// publishesWill publishes a will that was delayed.
func (b *mosquitto) publishesWill(c *conn) {
	b.willIs(c)
	b.free(c)
}

// isUncertain tells whether an answer about an opaque token can have given it other rights, by another file.
func (c *conn) isUncertain() bool {
	a := c.attempt
	asks := func(p provider) bool { return p.Mode == introspection && p.Recheck > 0 }
	now, there := c.line.inForce.same(a.by.id())
	return a.admitted && (asks(a.by) || there && asks(now))
}

// checked holds an answer against the rules.
func (r *rules) checked(c *conn, access broker.Access, topic string, kind verdict.Kind) {
	want := c.rights.allows(access, topic)
	r.say("    may %s do %d to %s: %s", c, access, topic, kind)
	switch {
	case kind == want:
	case r.broker.NoTicks && !c.seen: // nobody has said whose address it is now
	case r.broker.V20 && !c.seen && access == broker.Write && r.broker.mayPublishWill[seat{c.address, c.id}]:
		// It is taken for the will, once, of who was there by that id before, until somebody else comes whom the plugin is told of.
	case c.isUncertain() && c.line.inForce.differs(c.attempt.by):
	case c.rights == nil && kind == verdict.Accept && c.attempt.admitted && (access == broker.Unsubscribe || topic == control.Topic && access == broker.Write):
		// Whoever has logged in by a token may renew it.
	default:
		r.broken("%s may do %d to %s: %s, not %s", c, access, topic, kind, want)
	}
}

// differs tells whether the file has other rights for a provider's clients.
func (f file) differs(p provider) bool {
	now, there := f.same(p.id())
	return !there || now.Rights != p.Rights
}

// forgetsRights notes that nobody is asked about any more.
func (r *rules) forgetsRights(l *line) {
	for _, c := range r.broker.live {
		if c.line != l {
			continue
		}
		if c.state == connected && c.rights != nil {
			r.broken("nobody is asked about %s any more, who has rights", c)
		}
		c.rights = nil
	}
}

// isAsked holds against the rules whether the plugin is asked about rights: others are denied what nobody allows, as soon as it is.
func (r *rules) isAsked(l *line) {
	need := false
	for _, p := range l.inForce.Providers {
		need = need || p.Rights != ""
	}
	for _, c := range slices.Concat(r.broker.sessions, r.broker.closing) {
		need = need || c.line == l && c.state != away && c.rights != nil
	}
	// The last who had any may have been taken over from in another instance's turn, after this one's.
	first := l.checks && !need && !l.idle && len(r.broker.lines) > 1
	if l.idle = l.checks && !need; l.checks != need && !first {
		r.broken("%sthe plugin is asked about rights: %t", l.name(), l.checks)
	}
}

// checkOne asks about somebody: who is connected or away, or of whom nothing is left but a will.
func (d *driver) checkOne(t *rapid.T) {
	if len(d.sessions)+len(d.wills) == 0 {
		t.Skip()
	}
	i := rapid.IntRange(0, len(d.sessions)+len(d.wills)-1).Draw(t, "client")
	if i >= len(d.sessions) {
		c := d.wills[i-len(d.sessions)]
		d.say("the will of %s is published", c)
		d.wills = slices.DeleteFunc(d.wills, func(other *conn) bool { return other == c })
		d.publishesWill(c)
		return
	}
	c := d.sessions[i]
	for range rapid.IntRange(1, 3).Draw(t, "checks") {
		d.mayDo(c, access.Draw(t, "access"), topics.Draw(t, "topic"))
	}
	if rapid.Bool().Draw(t, "publisher") {
		c.line.checkPublisher(rapid.SampledFrom([]string{c.id, "a", "b"}).Draw(t, "id"), rapid.SampledFrom([]string{c.name(), "a", ""}).Draw(t, "username"), topics.Draw(t, "topic"))
	}
}

// connectByCertificate is a client about whom the plugin is not asked: its name comes from its certificate. The broker has gone round since
// it freed the address.
func (d *driver) connectByCertificate(t *rapid.T) {
	if d.NoTicks {
		t.Skip() // nothing tells whose address it was
	}
	name := names.Draw(t, "name")
	p := packet{Line: d.someLine(t).number, ID: name, Username: &name, Persistent: rapid.Bool().Draw(t, "persistent")}
	p.Elsewhere = rapid.Bool().Draw(t, "elsewhere")
	p.Certificate = !p.Elsewhere
	d.say("CONNECT id %s by certificate %t, to a listener without the plugin %t", name, p.Certificate, p.Elsewhere)
	d.connect(p)
}
