package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/verdict"
)

// message is one to $CONTROL, with its commands in their order.
type message struct {
	number   int
	from     *conn
	sent     time.Time
	commands []*command
	// unread: it is not what the plugin understands. answered: there was an answer.
	unread, answered bool
	// chances is how often the plugin could have answered since, lastChance when that was last.
	chances    int
	lastChance time.Time
}

// command is one of a message.
type command struct {
	name, correlation string
	token             *string // nil: there is none
	// forAdmins: it is one of theirs, with these arguments; order is a disconnectSession. may: the client may have been an admin when it
	// came; sure: it was.
	forAdmins, may, sure bool
	arguments            object
	order                *order
	// refusals and sessions are how many there were by then.
	refusals, sessions int
	// renewal is what the rules know of the token in it; nil: it is not a command of which anything may come.
	renewal *attempt
}

// isPastLimit tells whether a connection has lasted for as long as it may.
func (c *conn) isPastLimit() bool { return !c.limit.IsZero() && !time.Now().Before(c.limit) }

// hearsRenewal holds against the rules that a client has another token now.
func (r *rules) hearsRenewal(line string) {
	r.broker.settle()
	c, a := r.findRenewal(line)
	if a == nil {
		r.broken("nobody has shown a token that could have been renewed so: %s", line)
		return
	}
	if slices.Contains(r.broker.closing, c) {
		a.counted, c.attempt = true, a // the plugin is still to be told that it was taken over
		r.lets(a)
		return
	}
	old := c.attempt
	bar, _ := r.barTo(c, a)
	switch {
	case c.state != connected:
		r.broken("%s was renewed, but it is not connected", c)
	case !old.admitted:
		r.broken("%s was renewed, but it was not let in by a token", c)
	case old.by.kicks() && r.over(old):
		r.broken("%s was renewed by %s, after %s was over", c, a.token, old.token)
	case c.isPastLimit():
		r.broken("%s was renewed after it was connected for as long as it may", c)
	case bar != "":
		r.broken("%s was renewed by %s, but %s", c, a.token, bar)
	}
	if sure, _ := r.blocked(a); sure {
		r.broken("%s was renewed by %s, which an admin keeps out", c, a.token)
	}
	if slices.ContainsFunc(c.renewals, func(other *attempt) bool { return other.counted && other.order > a.order }) && !c.repeats() {
		r.broken("%s was renewed by %s, which it has shown before the one that counted", c, a.token)
	}
	c.former = append(c.former, former{old.token, old.by.asker(), time.Now().Add(timeout)})
	a.counted = true
	for _, other := range c.renewals {
		other.outrun = other.outrun || other.order < a.order
	}
	c.attempt = a
	r.lets(a)
	a.token.admitted++
	c.bound(a.by)
	c.rights = r.grantOf(a)
}

// repeats tells whether a client has shown a token more than once, so that nobody can tell which of them has come to something.
func (c *conn) repeats() bool {
	seen := map[*token]bool{}
	return slices.ContainsFunc(c.renewals, func(a *attempt) bool {
		before := seen[a.token]
		seen[a.token] = a.token != nil
		return before
	})
}

// findRenewal finds whose renewal a line of the log is about: the first one by that token that has not come to anything yet.
func (r *rules) findRenewal(line string) (*conn, *attempt) {
	_, id, _ := strings.Cut(line, `client "`)
	id, _, _ = strings.Cut(id, `"`)
	_, jti, _ := strings.Cut(line, `token jti "`)
	jti, _, _ = strings.Cut(jti, `"`)
	for _, c := range slices.Concat(r.broker.sessions, r.broker.closing) {
		if c.id != id && r.broker.find(c.id) == nil { // one that is a token is not shown
			continue
		}
		for _, a := range c.renewals {
			if a.token != nil && a.token.Name == jti && !a.counted && !a.refused {
				return c, a
			}
		}
	}
	return nil, nil
}

// reauthenticated holds the answer to an AUTH against the rules.
func (r *rules) reauthenticated(c *conn, a *attempt, kind verdict.Kind) {
	r.broker.settle()
	r.say("    %s: %s", c, kind)
	why, certain := r.barTo(c, a)
	_, leaves := r.mayGo(c)
	if _, blocked := r.blocked(a); blocked {
		certain = false
	}
	switch {
	case !c.attempt.admitted || !a.taken:
		if kind != verdict.Defer {
			r.broken("%s was answered by %s, though it is others' affair", c, kind)
		}
	case kind == verdict.Defer && a.taken:
		r.broken("%s was left to others in spite of its method", c)
	case kind == verdict.Deny && why == "" && certain && !leaves:
		r.broken("%s was refused, though %s is good", c, a.token)
	case kind != verdict.Accept && kind != verdict.Deny:
		r.broken("%s was answered by %s, which a client takes for an error of the protocol", c, kind)
	case kind == verdict.Accept && why == "" && certain && !leaves && c.pending() <= 5 && !a.counted && !a.by.asks():
		r.broken("%s was not renewed, though %s is good", c, a.token)
	case kind == verdict.Accept && !a.counted && r.isBad(c, a) && c.pending() <= 5:
		r.broken("%s was told that all is well, though %s", c, why)
	}
}

// isBad tells whether what a client shows is known to be bad without asking anybody.
func (r *rules) isBad(c *conn, a *attempt) bool {
	t := a.token
	if _, asked := a.under.opaque(); t == nil {
		return !asked // else it may be a token
	}
	return !a.answered || a.by.id() != c.attempt.by.id() ||
		a.by.Mode == local && (t.Key != a.by.Secret || a.by.Validate && r.over(a) || !a.by.isItsIssuer(t))
}

// pending is how many of a client's renewals may still wait for their verdict.
func (c *conn) pending() (n int) {
	for _, a := range c.renewals {
		if a.isOpen() {
			n++
		}
	}
	return n
}

// isRefused tells whether a provider has said of a token that a client has shown by AUTH that it is not active, and the
// client has not shown a better one since.
func (r *rules) isRefused(c *conn, known int) bool {
	return slices.ContainsFunc(c.renewals, func(a *attempt) bool {
		if !a.byAuth || !a.isOpen() || !a.answered || a.token.latest != a.began || (a.by.Allow && r.down[a.by.asker()]) || !a.line.inForce.has(a.by) {
			return false
		}
		return slices.ContainsFunc(r.answers[question{a.by.asker(), a.token}], func(x *answer) bool {
			return x.because == a && x.asked > a.began && x.known && !x.active && x.ended <= known
		})
	})
}

// sends notes a message to $CONTROL.
func (r *rules) sends(m *message) {
	m.number = len(r.messages)
	m.sent, m.lastChance = time.Now(), time.Now()
	r.messages = append(r.messages, m)
}

// answers is a message of the plugin's.
type response struct {
	Responses []struct {
		Command         string
		CorrelationData string
		Error           string
		Data            json.RawMessage
	}
}

// hearsAnswer holds a message that the plugin sends to a client against the rules.
func (r *rules) hearsAnswer(c *conn, topic string, payload []byte) {
	r.broker.settle()
	r.say("    %v is sent %s", c, payload)
	if c == nil || c.state != connected || topic != control.ResponseTopic {
		r.broken("%v was sent a message on %s, but it is not connected", c, topic)
		return
	}
	var said response
	if err := json.Unmarshal(payload, &said); err != nil || len(said.Responses) == 0 {
		r.broken("%s was sent %s: %v", c, payload, err)
		return
	}
	m := r.askedBy(c, said)
	switch {
	case m == nil:
		r.broken("%s was sent an answer to what it has not asked, or was told before", c)
		return
	case m.answered:
		r.broken("%s was answered twice", c)
	}
	if m.answered = true; m.unread {
		return
	}
	for i, command := range m.commands {
		switch got := said.Responses[i]; {
		case got.CorrelationData != command.correlation || got.Command != command.name || (got.Error == "") == (got.Data == nil):
			r.broken("%s was answered out of order", c)
		case command.forAdmins:
			r.hearsCommand(c, m, command, got.Error, got.Data)
		case got.Error == "":
			var data struct{ Expires int64 }
			if err := json.Unmarshal(got.Data, &data); err != nil {
				r.broken("%s was sent %s: %v", c, got.Data, err)
			}
			r.hearsSuccess(c, command, data.Expires)
		default:
			r.hearsFailure(c, m, command, got.Error)
		}
	}
}

// askedBy finds the message that an answer belongs to.
func (r *rules) askedBy(c *conn, said response) *message {
	i := slices.IndexFunc(r.messages, func(m *message) bool {
		if m.from != c || m.answered {
			return false
		}
		if m.unread {
			return len(said.Responses) == 1 && strings.HasPrefix(said.Responses[0].Error, "malformed request")
		}
		return len(said.Responses) == len(m.commands) && said.Responses[0].CorrelationData == m.commands[0].correlation
	})
	if i < 0 {
		return nil
	}
	return r.messages[i]
}

func (r *rules) hearsSuccess(c *conn, by *command, expires int64) {
	a := by.renewal
	// Of two by the same token nobody can tell which one counts, nor which of the others come before it.
	counts := a != nil && slices.ContainsFunc(c.renewals, func(other *attempt) bool { return other.token == a.token && (other.counted || other.outrun) })
	if !counts && !(a != nil && c.repeats()) {
		r.broken("%s was told of a renewal that there was not", c)
		return
	}
	c.judged++
	if most := 5 + int(time.Since(c.in)/(10*time.Second)); c.judged > most {
		r.broken("%s has renewed %d times, the most is %d", c, c.judged, most)
	}
	if !a.counted || !r.set.IsZero() || c.repeats() {
		return
	}
	want := int64(0)
	if !a.token.Expires.IsZero() {
		want = a.token.Expires.Unix()
	}
	if limit := c.in.Add(a.by.MaxSession).Unix(); a.by.MaxSession > 0 && (want == 0 || limit < want) {
		want = limit
	}
	if expires != want {
		r.broken("%s was told that it may stay until %d, not %d", c, expires, want)
	}
}

func (r *rules) hearsFailure(c *conn, m *message, by *command, why string) {
	a := by.renewal
	if a == nil || a.counted {
		if a != nil && !slices.ContainsFunc(c.renewals, func(other *attempt) bool { return other != a && other.token == a.token }) {
			r.broken("%s was refused what it was given", c)
		}
		return
	}
	r.ends(a)
	a.refused = true
	_, leaves := r.mayGo(c)
	if strings.HasPrefix(why, "renewals are switched off") && c.line.inForce.NoRenewal {
		return // the topic is there for admins, or for another instance
	}
	if strings.HasPrefix(why, "server busy") && c.asks > 5 {
		return
	}
	if _, blocked := r.blocked(a); blocked {
		return
	}
	if bar, certain := r.barTo(c, a); bar == "" && certain && c.attempt.admitted && !leaves && len(m.commands) == 1 && !m.late() {
		r.broken("%s was refused (%s), though %s is good", c, why, a.token)
	}
}

// late tells whether a message has waited, so that what is true now may not have been when it was judged.
func (m *message) late() bool { return time.Since(m.sent) > 0 }

// unanswered finds messages that should have been answered by now, the plugin having had its chance: a question takes a few seconds, and
// may have to be asked again.
func (r *rules) unanswered() {
	for _, m := range r.messages {
		if m.answered || m.from.state != connected || r.broker.session(m.from.id) != m.from || time.Since(latest(m.lastChance, m.from.line.tookOver)) < 3*timeout {
			continue
		}
		m.lastChance = time.Now()
		m.chances++
		if m.chances > 3 {
			r.broken("%s of %s has got no answer", m, m.from)
		}
	}
}

func (m *message) String() string {
	var all []string
	for _, c := range m.commands {
		all = append(all, fmt.Sprintf("%s %s", c.name, c.correlation))
	}
	return fmt.Sprintf("message %d: %s", m.number, strings.Join(all, ", "))
}

// payload is the message as it is sent.
func (m *message) payload() []byte {
	var all []object
	for _, c := range m.commands {
		one := object{"command": c.name, "correlationData": c.correlation}
		if c.token != nil {
			one["token"] = *c.token
		}
		maps.Copy(one, c.arguments)
		all = append(all, one)
	}
	payload := must(json.Marshal(object{"commands": all}))
	if m.unread {
		return payload[1:]
	}
	return payload
}
