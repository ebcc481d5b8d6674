package model

import (
	"slices"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/verdict"
)

// mosquitto does to the plugin what Mosquitto was seen to do: in which order it calls, with which addresses, and when it
// says nothing. With several lines (per_listener_settings) each has the events of its own listener's clients.
type mosquitto struct {
	traits
	lines []*line
	rules *rules
	clock *clock
	// settle lets everything run that can, find tells whose token a text is, and shown finds a signed token in a line.
	settle func()
	find   func(text string) *token
	shown  func(line string) *token

	// unused are the addresses that were freed: the last one is the next to be used, as malloc does it.
	unused []broker.Conn
	used   broker.Conn
	live   map[broker.Conn]*conn
	// sessions are the broker's contexts with a client id, one for each id, of clients that are connected or away.
	sessions []*conn
	// closing are connections over WebSockets that were taken over from, whose end is still to be told (2.0).
	closing []*conn
	// pending are the clients whose verdict is still to come; the broker looks for them by id, the last first.
	pending []*conn

	// asking is whose BASIC_AUTH is going on, ticking whether TICK is.
	asking  *conn
	ticking bool
	// hupAt is when SIGHUP came.
	hupAt time.Time
	// telling: an instance is being told of a message to its $CONTROL topic.
	telling bool
	// wills are clients of which nothing is left but a will that is to be published later.
	wills []*conn
	// mayPublishWill are those who have left with a will that may come later, as far as the version of the protocol tells.
	mayPublishWill map[seat]bool
	// stale are the connections of those who were refused by enhanced authentication last, of whose end 2.1 does not tell.
	stale map[broker.Conn]bool
	// last are those who came last by each client id, wherever they are now.
	last map[string]*conn
}

// traits are what one broker does and another does not.
type traits struct {
	V20 bool
	// NoTicks is 2.0.11 with per_listener_settings.
	NoTicks bool
	// Quiet: that a session which was away is taken over fires no event for its old connection.
	Quiet bool
}

type state uint8

const (
	connecting state = iota
	waiting          // for its verdict
	connected
	away // its session is kept
	gone
)

// conn is a connection, by the broker's struct mosquitto, and its session where it has one.
type conn struct {
	packet
	line    *line
	address broker.Conn
	state   state
	// id and username are what the plugin may have changed.
	id       string
	username *string
	// attempt is what the rules know of it: of its login, and then of the last renewal that counts. in is when it was let in, limit when
	// it has to go at the latest (zero: never).
	attempt   *attempt
	in, limit time.Time
	// rights are by the last token that counted.
	rights *grant
	// renewals are the tokens that it has shown since, former those that counted before.
	renewals []*attempt
	former   []former
	// asks is how many messages it has sent that may count as renewals, answered how many renewals by those were judged.
	asks, judged int
	// seen: the plugin was asked about it. came is the moment at which the broker let it in.
	seen bool
	came int
}

// packet is a CONNECT.
type packet struct {
	// Line is the one whose listener it comes to.
	Line               int
	ID                 string
	Username, Password *string
	// Persistent asks the broker to keep the session.
	Persistent bool
	// WebSocket is how it comes; Subscribes is whether it does so once it is in.
	WebSocket, Subscribes bool
	// Auth is an enhanced authentication; nil: it comes by username and password.
	Auth *auth
	// Certificate: the broker takes the name from that, and asks no plugin. Elsewhere: it comes to a listener without this plugin, which is
	// told nothing of it, but for what it publishes to $CONTROL on 2.1.
	Certificate, Elsewhere bool
	// Will is published at Topic when the client is lost, if it may; Delayed: later.
	Will, Delayed bool
	Topic         string
}

// isUnasked tells whether no plugin is asked about it.
func (p packet) isUnasked() bool { return p.Certificate || p.Elsewhere }

// auth is an enhanced authentication.
type auth struct{ Method, Data string }

// The plugin for other methods knows one answer.
const answer42 = "the right answer"

func (a auth) isKnownToOthers() bool { return a.Method == byOthers && a.Data == answer42 }

func (b *mosquitto) malloc() broker.Conn {
	if last := len(b.unused) - 1; last >= 0 {
		address := b.unused[last]
		b.unused = b.unused[:last]
		return address
	}
	b.used += 16
	return b.used
}

func (b *mosquitto) free(c *conn) {
	c.state = gone
	delete(b.live, c.address)
	b.unused = append(b.unused, c.address)
}

func (b *mosquitto) session(id string) *conn {
	if i := b.place(id); i >= 0 {
		return b.sessions[i]
	}
	return nil
}

func (b *mosquitto) place(id string) int {
	return slices.IndexFunc(b.sessions, func(c *conn) bool { return c.id == id })
}

func (b *mosquitto) pendingBy(id string) *conn {
	for _, c := range slices.Backward(b.pending) {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (b *mosquitto) forget(c *conn) {
	is := func(other *conn) bool { return other == c }
	b.sessions, b.pending = slices.DeleteFunc(b.sessions, is), slices.DeleteFunc(b.pending, is)
}

// connect is what a CONNECT brings about.
func (b *mosquitto) connect(p packet) *conn {
	l := b.lines[p.Line]
	if b.V20 && !p.WebSocket && l.swept {
		b.loop() // there TICK comes before anything else from a plain socket
	}
	if p.isUnasked() || p.Auth != nil && !l.authenticates {
		// The plugin is not told of it: but before an address is used again, the broker goes round, also if it was freed inside of a Tick.
		b.roundTwice()
	}
	c := &conn{packet: p, line: l, address: b.malloc(), id: p.ID, username: p.Username, attempt: &attempt{line: l}}
	b.live[c.address] = c
	if b.pendingBy(p.ID) != nil {
		b.rules.say("the broker closes it: that id is pending")
		b.end(c)
		return c
	}
	if p.isUnasked() {
		b.admit(c)
		return c
	}
	b.stale[c.address] = false
	b.rules.begins(c, c.Auth)
	var kind verdict.Kind
	if c.Auth != nil {
		kind = b.extAuth(c, c.Auth)
	} else {
		kind = b.basicAuth(c)
	}
	if kind == verdict.Pending && !b.V20 && c.Auth == nil {
		b.rules.delayed(c)
		c.state = waiting
		b.pending = append(b.pending, c)
		return c
	}
	b.rules.judged(c, kind)
	others := c.Auth == nil && knownPassword(p) || c.Auth != nil && c.Auth.isKnownToOthers()
	switch {
	case kind == verdict.Accept || kind == verdict.Defer && others:
		b.admit(c)
	case c.Auth != nil && !b.V20: // of which 2.1 tells nobody
		b.stale[c.address] = true
		b.free(c)
	default:
		b.end(c)
	}
	return c
}

// extAuth asks the plugin, if that wants to be, about what a client shows in its CONNECT or, once it is connected, by AUTH.
func (b *mosquitto) extAuth(c *conn, a *auth) verdict.Kind {
	c.line.called()
	if !c.line.authenticates {
		return verdict.Defer
	}
	b.asking, c.seen = c, true
	defer func() { b.asking = nil }()
	return c.line.plugin.ExtAuth(broker.ExtAuth{
		Connect: broker.Connect{Conn: c.address, ClientID: c.id, Username: c.username, Address: "192.0.2.7"}, Method: a.Method, Data: a.Data,
	}).Kind
}

// reauthenticate is AUTH with reason code 0x19, which can have no other method than the CONNECT.
func (b *mosquitto) reauthenticate(c *conn, a *auth) {
	renewal := b.rules.renews(c, a.Data, a)
	kind := b.extAuth(c, a)
	if c.state != connected {
		b.rules.ends(renewal)
		return // it was disconnected inside of that
	}
	b.rules.reauthenticated(c, renewal, kind)
	if kind != verdict.Accept && (kind != verdict.Defer || !a.isKnownToOthers()) {
		b.leave(c)
	}
}

// publish has a client publish to the plugin's $CONTROL topic.
func (b *mosquitto) publish(c *conn, payload []byte) {
	to := c.told()
	if to == nil {
		return
	}
	to.called()
	b.telling = true
	defer func() { b.telling = false }()
	to.plugin.Control(broker.Message{Conn: c.address, ClientID: c.id, Username: c.username, Topic: control.Topic, Payload: payload})
}

// basicAuth asks the plugin; in a sweep with the username that the client was given, and the password that it sent.
func (b *mosquitto) basicAuth(c *conn) verdict.Kind {
	c.line.called()
	b.asking, c.seen = c, c.seen || c.state == connecting
	defer func() { b.asking = nil }()
	return c.line.plugin.BasicAuth(broker.Connect{Conn: c.address, ClientID: c.id, Username: c.username, Password: c.Password, Address: "192.0.2.7"}).Kind
}

// The next plugin: a password file with one user.
const user, password = "pw", "correct horse"

func knownPassword(p packet) bool {
	return p.Username != nil && *p.Username == user && p.Password != nil && *p.Password == password
}

// admit gives a client the session of its id, which may have been another connection's until now.
func (b *mosquitto) admit(c *conn) {
	b.endsWills(c)
	b.rules.moment++
	c.state, c.came, b.last[c.id] = connected, b.rules.moment, c
	i := b.place(c.id)
	if i < 0 {
		b.sessions = append(b.sessions, c)
	} else {
		old := b.sessions[i]
		b.rules.takesOver(c, old)
		fires := old.state == connected || !b.Quiet || !c.seen
		late := b.V20 && old.WebSocket && old.state == connected
		if old.state = gone; !b.V20 || late {
			b.sessions[i] = c
		}
		switch {
		case late:
			b.closing = append(b.closing, old)
		case fires:
			b.disconnected(old, false)
		}
		// On 2.0 the broker knows the old one by that id until its end has been told.
		b.sessions[b.place(c.id)] = c
		if !late {
			b.free(old)
		}
	}
	if i >= 0 && c.Persistent {
		b.mayDo(c, broker.Read, room("1")) // of what was kept for it, before anything else
	}
	if !b.V20 && !c.Elsewhere {
		c.line.plugin.Connect(c.address, c.id)
	}
}

// end closes a connection that never came to be a session.
func (b *mosquitto) end(c *conn) {
	c.state = gone
	b.disconnected(c, b.V20 && c.Persistent) // 2.0 knows what it asked for, and not whether it came to that
	b.free(c)
}

// leave ends the connection of a client that is connected; the broker may keep its session, at its address.
func (b *mosquitto) leave(c *conn) {
	if c.Persistent {
		c.state = away
		b.disconnected(c, true) // CLIENT_OFFLINE on 2.1
		if !c.Delayed {
			b.willIs(c)
		}
		return
	}
	b.forget(c)
	c.state = gone
	b.disconnected(c, false)
	if c.Will && c.Delayed {
		b.wills = append(b.wills, c) // and its address, until then
		return
	}
	b.willIs(c)
	b.free(c)
}

func (b *mosquitto) disconnected(c *conn, kept bool) {
	if c.Elsewhere {
		return
	}
	c.line.called()
	if c.Delayed {
		b.mayPublishWill[seat{c.address, c.id}] = true
	}
	c.line.plugin.Disconnect(c.address, kept)
}

// drop is the end of a connection by the client: while its verdict is pending, the broker tells nobody.
func (b *mosquitto) drop(c *conn) {
	if c.state == waiting {
		b.forget(c)
		b.free(c)
		return
	}
	b.leave(c)
}

// closed tells the end of a connection that was taken over from.
func (b *mosquitto) closed() {
	c := b.closing[0]
	b.closing = b.closing[1:]
	b.disconnected(c, false)
	b.free(c)
}

// loop is the end of one round of the broker's loop.
func (b *mosquitto) loop() {
	for _, l := range b.lines {
		l.tick()
	}
}

// hangup is SIGHUP: the plugin reads its file, and at once the broker asks again for every session that it has.
func (b *mosquitto) hangup() {
	b.hupAt = time.Now()
	for _, l := range b.lines {
		l.called()
		l.swept = true
		l.plugin.Reload()
		b.rules.isTold(l) // before, without Ticks, it may have taken over the file of the SIGHUP before this one
	}
	b.settle()
	questions := b.rules.questions
	for _, c := range slices.Clone(b.sessions) {
		if !slices.Contains(b.sessions, c) || c.isUnasked() {
			continue // it has lost its session meanwhile, or no plugin is asked about it
		}
		b.rules.sweeps(c)
		kind := b.basicAuth(c)
		if !slices.Contains(b.sessions, c) {
			continue
		}
		b.rules.swept(c, kind)
		if c.state == connected && kind != verdict.Accept && (kind != verdict.Defer || !knownPassword(c.packet)) {
			b.leave(c)
		}
	}
	b.settle()
	if b.rules.questions != questions {
		b.rules.broken("after SIGHUP a provider was asked about those who are connected or away")
	}
}

// SetUsername is broker.Broker's, as all that follows, and what line has.
func (b *mosquitto) SetUsername(address broker.Conn, name string) error {
	if b.asking == nil || b.asking.address != address {
		b.rules.broken("a username was given to %x, which may be freed, outside its BASIC_AUTH", address)
		return nil
	}
	b.asking.username = &name
	return nil
}

func (b *mosquitto) SetClientID(address broker.Conn, id string) error {
	if b.V20 || b.asking == nil || b.asking.address != address {
		b.rules.broken("a client id was given to %x outside its BASIC_AUTH, where the broker crashes", address)
		return nil
	}
	b.asking.id = id
	return nil
}

func (b *mosquitto) CanSetClientID() bool  { return !b.V20 }
func (b *mosquitto) CanDelay() bool        { return !b.V20 }
func (b *mosquitto) TellsOfConnects() bool { return !b.V20 }

// TakeAccepted counts nothing: the plugin only passes it on.
func (b *mosquitto) TakeAccepted() uint64 { return 0 }

// MayKeepWill is never true: these clients have no wills.

func (b *mosquitto) PersistenceLocation() string { return "" }

func (b *mosquitto) Publish(id, topic string, payload []byte) error {
	c := b.session(id)
	if b.V20 && (c == nil || !c.seen) && slices.ContainsFunc(b.closing, func(old *conn) bool { return old.id == id }) {
		return nil // nothing tells that somebody has taken over about whom no plugin is asked
	}
	b.rules.hearsAnswer(c, topic, payload)
	return nil
}

// Complete gives a verdict to whoever is pending by that id.
func (b *mosquitto) Complete(id string, accepted bool) {
	if b.V20 || !b.ticking {
		b.rules.broken("a verdict was given outside TICK")
	}
	c := b.pendingBy(id)
	if c == nil {
		return
	}
	b.forget(c)
	kind := verdict.Deny
	if accepted {
		kind = verdict.Accept
	}
	b.rules.judged(c, kind)
	if accepted {
		b.admit(c)
	} else {
		b.end(c)
	}
}

func (b *mosquitto) IsConnectedAs(id string, address broker.Conn) bool {
	if b.V20 {
		return true
	}
	c := b.session(id)
	return c != nil && c.address == address
}

// Knows is as good a guess as 2.0 allows.
func (b *mosquitto) Knows(id string, address broker.Conn, beforeTick bool) bool {
	c := b.live[address]
	switch {
	case !b.V20:
		return c != nil && b.session(id) == c // it is compared alone
	case c == nil:
		b.rules.broken("the plugin looks at %x, which is freed", address)
		return false
	}
	return (c.Subscribes && c.state != connecting) || (beforeTick && !c.WebSocket)
}

func (b *mosquitto) Session(id string) (username string, there, known bool) {
	c := b.session(id)
	switch {
	case b.V20:
		return "", false, false
	case c == nil:
		return "", false, true
	case c.username != nil:
		username = *c.username
	}
	return username, true, true
}

func (b *mosquitto) Client(address broker.Conn) broker.ClientInfo {
	c := b.live[address]
	if c == nil {
		b.rules.broken("the plugin asked what the broker knows of %x, which is freed", address)
		return broker.ClientInfo{}
	}
	return broker.ClientInfo{
		Conn: address, ClientID: c.id, Address: "192.0.2.7", Username: c.username, WebSocket: c.WebSocket, Version: 4, CleanStart: !c.Persistent, Certificate: c.Certificate,
	}
}

func (b *mosquitto) EachClient(f func(broker.ClientInfo)) bool {
	if b.V20 {
		return false
	}
	for _, c := range b.sessions {
		f(b.Client(c.address))
	}
	return true
}

func (b *mosquitto) Kick(id string, _ bool) error {
	c := b.session(id)
	if c == nil {
		return broker.ErrNotConnected
	}
	switch c.state {
	case connected:
		b.rules.kicked(c)
		if c.Persistent {
			b.mayDo(c, broker.Subscribe, room("1")) // of what it has subscribed to
		}
		b.leave(c)
	case gone: // it is being taken over from
		b.disconnected(c, false)
	default:
	}
	return nil
}
