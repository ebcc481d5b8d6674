// Package plugin turns the broker's events into verdicts: who may log in, who must leave, and when the configuration
// changes. It is plain Go, one method an event; the border to C and to Mosquitto is package main in cgo/.
//
// All methods of Plugin belong to the broker's thread. What has to wait for the network runs on goroutines, which hand
// their results over through package loop.
package plugin

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go-jwt-auth/plugin/admin"
	"go-jwt-auth/plugin/audit"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/cedalo"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/lifetime"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/metrics"
	"go-jwt-auth/plugin/pending"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/renewal"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// Version is the release, set by the build.
var Version = "0.1.0" //nolint:gochecknoglobals // the linker can set nothing else

// Options of one `plugin` line in mosquitto.conf, and of the tests.
type Options struct {
	// Settings are the plugin_opt_… values by name, without that prefix.
	Settings map[string]string
	// Table is shared by all instances of one broker; nil: this is the only one.
	Table *Table
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Dial makes the connections to endpoints; nil: net does.
	Dial endpoint.Dial
}

// Table is what all instances of the plugin share, as the broker has one table of client ids for all of them: the logins
// whose verdict is still to come, and whose session lives under which client id.
//
// It belongs to the broker's thread.
type Table struct {
	pending *pending.Table
	holders *session.Holders
	trails  audit.Trails
	// rights are those of each instance's clients.
	rights []*session.RightsTable
	// plugins are the instances, which numbers are counted for.
	plugins []*Plugin
	numbers uint32
	servers metrics.Servers
	// callers are the connections that have sent a message to $CONTROL, numbered by calls.
	callers map[broker.Conn]uint64
	calls   uint64
	watching
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{pending: pending.NewTable(), holders: session.NewHolders(), callers: map[broker.Conn]uint64{}}
}

// caller is the number of a connection that sends a message to $CONTROL.
func (t *Table) caller(conn broker.Conn) uint64 {
	if t.callers[conn] == 0 {
		t.calls++
		t.callers[conn] = t.calls
	}
	return t.callers[conn]
}

// hasRights tells whether a connection is that of a client with rights by any instance: on Mosquitto 2.1 a client may be that of two.
func (t *Table) hasRights(conn broker.Conn, id string) bool {
	return slices.ContainsFunc(t.rights, func(of *session.RightsTable) bool { return of.IsConnected(conn, id) })
}

// dropRights forgets a connection, with whichever instance it was.
func (t *Table) dropRights(conn broker.Conn) {
	for _, of := range t.rights {
		of.Drop(conn)
	}
}

// cameBy records that somebody was let in by a client id.
func (t *Table) cameBy(id string) {
	for _, one := range t.plugins {
		one.rights.CameBy(id)
		if one.rights.IsEnding() {
			one.tickSoon()
		}
	}
}

// The names of the settings.
const (
	settingConfigFile  = "config_file"
	settingPersistence = "persistence_location"
)

// Plugin is one instance: one `plugin` line, one jwt.json.
type Plugin struct {
	broker broker.Broker
	lines  *broker.Log
	now    func() time.Time
	dial   endpoint.Dial
	file   string

	loop  *loop.Loop
	ticks loop.Ticks
	chain *chain.Chain
	trail *audit.Trail
	meter atomic.Pointer[metrics.Meter]
	// tickAt is when the Tick is to come that was asked for last; zero: it has come.
	tickAt    time.Time
	sessions  *session.Registry
	table     *Table
	pending   *pending.Logins
	lifetimes *lifetime.Lifetimes
	renewals  *renewal.Renewals
	admins    *admin.Admins
	// controls take the messages to $CONTROL topics, by these.
	controls map[string]*control.Control
	// jobs are those commands of admins that take several turns; each returns true when it is over.
	jobs []func() bool
	// jobsUntil is when this turn has done enough of them.
	jobsUntil time.Time
	// number tells it from other instances.
	number   uint32
	reloaded reloaded
	// began is when the sessions' registry began.
	began time.Time
	// listens holds the topics for whose messages this instance is registered, those of all instances on Mosquitto 2.1.
	listens map[string]bool

	rights *session.RightsTable
	// checksACL: ACL_CHECK is registered.
	checksACL bool
	denials   denials

	// reloads numbers the reloads: only the result of the last one counts. giveUp ends the preparation of that one.
	reloads int
	giveUp  context.CancelFunc
	sweep   sweep
	bypass  bypass
}

// New finds and reads jwt.json, reaches the endpoints if it asks for that, and says in the log what it found. An
// error has been logged already, and means that the broker must not start.
func New(b broker.Broker, o Options) (*Plugin, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Table == nil {
		o.Table = NewTable()
	}
	p := &Plugin{broker: b, lines: broker.NewLog(b), now: o.Now, dial: o.Dial, sessions: session.NewRegistry(), table: o.Table, began: o.Now(), listens: map[string]bool{}}
	o.Table.numbers++
	p.number = o.Table.numbers
	p.rights = session.NewRightsTable(b.AskAbout, o.Now)
	o.Table.rights = append(o.Table.rights, p.rights)
	p.loop = loop.New(o.Now, b.Wake, func(fault error) { p.log(event.Error, "fault in the background: %s", fault) })
	p.pending = &pending.Logins{
		Table: o.Table.pending, Broker: b, Loop: p.loop, Now: o.Now,
		Blocked: p.blocked, Identify: p.identify, Contested: contested, MayHold: p.mayHold, Record: p.record, Tell: p.tellOf,
		Grant: p.grantRights, Withdraw: p.rights.Drop,
	}
	p.lifetimes = &lifetime.Lifetimes{
		Broker: b, Loop: p.loop, Now: o.Now, Sessions: p.sessions, Holders: o.Table.holders, Rights: p.rights,
		Provider: func(id provider.ID) *provider.Provider { return p.chain.Provider(id) },
		File:     func() string { return p.file }, Leave: func(conn broker.Conn) { p.leave(conn, true) }, Tell: p.tell,
	}
	p.sessions.Counted = p.counted
	p.renewals = &renewal.Renewals{
		Loop: p.loop, Now: o.Now, Sessions: p.sessions, Chain: func() *chain.Chain { return p.chain },
		IsOwner: p.isOwner, Blocked: p.blocked, Apply: p.renewed, Tell: p.tell,
	}
	p.admins = p.newAdmins()
	commands := p.admins.Commands()
	commands["renewToken"] = p.renewToken
	p.controls = map[string]*control.Control{
		control.Topic: {Commands: commands, Malformed: p.malformed, Send: p.answer},
	}
	panel := &cedalo.Cedalo{Admins: p.admins}
	p.controls[cedalo.InspectTopic] = &control.Control{Commands: panel.Inspect(), Malformed: p.malformed, Send: p.answer}
	p.controls[cedalo.ClientControlTopic] = &control.Control{Commands: panel.ClientControl(), Malformed: p.malformed, Send: p.answer}
	p.table.plugins = append(p.table.plugins, p)
	if err := p.start(o.Settings); err != nil {
		p.logEach(event.Error, err)
		p.Close()
		return nil, err
	}
	// The first Tick tells that there are any (see loop.Ticks).
	b.Wake()
	return p, nil
}

func (p *Plugin) start(settings map[string]string) error {
	for name := range settings {
		if name != settingConfigFile && name != settingPersistence {
			p.log(event.Warning, "plugin_opt_%s is not known; there are plugin_opt_%s and plugin_opt_%s", verdict.Word(name), settingConfigFile, settingPersistence)
		}
	}
	file, err := config.Locate(config.Location{
		ConfigFile:        settings[settingConfigFile],
		Persistence:       p.broker.PersistenceLocation(),
		PersistenceOption: settings[settingPersistence],
	})
	if err != nil {
		return err
	}
	p.file = file
	c, err := p.prepare(p.loop.Context(), nil)
	if err != nil {
		p.logNotes(c.notes)
		return err
	}
	if err := p.checkACL(c.chain.Config()); err != nil {
		c.chain.Discard()
		return err
	}
	p.adopt(c, "started with")
	return nil
}

// Close ends what runs in the background.
func (p *Plugin) Close() {
	p.table.rights = slices.DeleteFunc(p.table.rights, func(t *session.RightsTable) bool { return t == p.rights })
	p.table.plugins = slices.DeleteFunc(p.table.plugins, func(one *Plugin) bool { return one == p })
	p.table.watch()
	p.loop.Close()
	if p.chain != nil {
		p.chain.Close()
	}
	p.closeSinks()
}

// BasicAuth judges a login and, if it is accepted, gives the client its identity and records its session. If the
// verdict has to wait, it is told to the broker later (Pending), if that can be; else BasicAuth waits for it.
func (p *Plugin) BasicAuth(connect broker.Connect) verdict.Verdict {
	connect.Began = p.begins()
	defer p.spent(metrics.BasicAuth, connect.Began)
	p.table.pending.DropSuperseded(connect, p.broker.IsConnectedAs)
	// Before the login is looked at: a kick inside it would find nobody, or the client that it is about to take over from.
	p.catchUp(connect)
	if p.sweeping() {
		return p.askedAgain(connect)
	}
	p.arrive(connect)
	return p.login(connect)
}

// catchUp does what is due before a client that comes is looked at, for a broker that never ticks.
func (p *Plugin) catchUp(connect broker.Connect) {
	if !p.ticks.Seen() {
		p.endRound(connect)
		p.rights.EndDue()
	}
	p.withoutTicks()
}

// arrive notes that the broker asks about a client that is just connecting.
func (p *Plugin) arrive(connect broker.Connect) {
	if p.broker.TellsOfConnects() {
		p.bypass.asked(connect.Conn)
	}
	p.vacate(connect.Conn)
}

// ExtAuth judges an enhanced authentication: of a client that logs in by it, or of one that is connected and shows a fresh
// token. That can't wait, so that the verdict is never Pending; one that is still to come counts once it is there.
func (p *Plugin) ExtAuth(e broker.ExtAuth) verdict.Verdict {
	e.Began, e.ByAuth = p.begins(), true
	defer p.spent(metrics.ExtAuth, e.Began)
	switch s, connected := p.isConnected(e.Connect); {
	case s != nil && p.takes(e.Method):
		return p.reauthenticate(s, e)
	case connected: // it is others' client, or the method is not ours any more
		return verdict.Verdict{Kind: verdict.Defer}
	}
	p.catchUp(e.Connect) // of a client that is connected it could be the end, and it would be one that is just coming
	p.arrive(e.Connect)
	if !p.takes(e.Method) {
		p.leaveToOthers(e.Connect, roster.Unknown)
		return verdict.Verdict{Kind: verdict.Defer}
	}
	return p.loginAtOnce(e)
}

// Control takes a message to a $CONTROL topic. Of several instances the one that has let the client in answers it.
func (p *Plugin) Control(m broker.Message) {
	defer p.spent(metrics.Control, p.begins())
	p.watchSeen(m)
	m.Caller = p.table.caller(m.Conn)
	one := p.table.answering(m, p)
	if c := one.controls[m.Topic]; c != nil {
		c.Handle(m)
	}
	one.begin()
}

// Connect records that a client has been let in, by this plugin or by others (Mosquitto 2.1).
func (p *Plugin) Connect(conn broker.Conn, clientID string) {
	if p.bypass.missed(conn) {
		p.log(event.Warning, "client %s is in, and this plugin was not asked: the broker takes its name from its certificate or key (use_identity_as_username, "+
			"use_subject_as_username), or a plugin before this one has let it in. No token and no expiry counts for such clients; "+
			"this is said once", verdict.Quote(clientID))
	}
	if s := p.sessions.Of(conn); s != nil && s.ClientID != clientID {
		p.sessions.Leave(conn) // it has ended without a word, and another has its address
	}
	if !p.table.holders.Has(conn, clientID) {
		delete(p.table.callers, conn)
		p.table.holders.Enter(conn, clientID, session.Owner{})
	}
	p.watchCame(conn, clientID)
	if !p.table.hasRights(conn, clientID) {
		p.table.dropRights(conn)
		p.table.cameBy(clientID)
	}
}

// Disconnect records that a client's connection has ended. kept: the broker keeps its session, or may do so (2.0).
func (p *Plugin) Disconnect(conn broker.Conn, kept bool) {
	defer p.spent(metrics.Disconnect, p.begins())
	if !p.ticks.Seen() && !p.loop.Turning() { // else it is inside of another client's, whose will is still to be judged
		p.rights.EndDue()
	}
	p.table.pending.Gone(conn)
	p.bypass.gone(conn)
	p.leave(conn, kept)
	p.withoutTicks()
}

// Tick takes over what goroutines have finished, and kicks clients whose time has come.
func (p *Plugin) Tick() {
	defer p.spent(metrics.Tick, p.begins())
	if m := p.meter.Load(); m != nil {
		m.Ticked()
		m.Checked(verdict.Accept, p.broker.TakeAccepted())
	}
	p.ticks.Tick()
	p.sessions.CloseSweep()
	p.rights.EndDue()
	p.work()
}

// Reload reads jwt.json again. A good file takes effect for new connections, a bad one is reported and the old stays.
// The endpoints are reached in the background. Right after this the broker asks for every client again.
func (p *Plugin) Reload() {
	if p.ticks.Warned() { // a Reload may come before the first Tick
		p.withoutTicks()
	}
	p.openSweep()
	p.trail.Reopen()
	p.reload()
}

// lookAgain is the longest that Ticks are apart. What is due by the time of day (exp) may be so sooner than was to be
// seen, as clocks are set.
const lookAgain = time.Minute

// tickUnit is how exactly the broker's clock of Ticks is read.
const tickUnit = time.Millisecond

// work does what is due, for as long as a turn takes.
func (p *Plugin) work() {
	p.jobsUntil = p.now().Add(jobTurn)
	rest := p.loop.Turn(p.lifetimes.Kick, p.lifetimes.Recheck, p.watchStep)
	p.chain.Refresh()
	if p.checksACL {
		_ = p.checkACL(p.chain.Config()) // which can only end it
	}
	p.tickAt = time.Time{} // it has come; and what was asked for inside of the turn would come before the rest is over
	p.schedule(rest)
}

// schedule asks for the Tick that is needed next, but not before the broker has had a rest, unless one is to come by then: that one
// asks for the next.
func (p *Plugin) schedule(rest time.Duration) {
	now, wait := p.now(), p.longestWait()
	for _, at := range [...]time.Time{p.sessions.NextDeadline(), p.sessions.NextLimit(), p.lifetimes.NextRecheck(), p.chain.RefreshAt(), p.table.watchAt()} {
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(now), rest))
		}
	}
	if p.rights.IsEnding() {
		wait = min(wait, rest) // before their addresses are used again
	}
	at := now.Add(wait)
	if !p.tickAt.IsZero() && !at.Before(p.tickAt.Add(-tickUnit)) {
		return
	}
	p.tickAt = at
	p.broker.TickIn(wait)
}

// tickSoon asks for a Tick in the next round of the broker's loop.
func (p *Plugin) tickSoon() {
	if now := p.now(); p.tickAt.IsZero() || now.Before(p.tickAt) {
		p.tickAt = now
		p.broker.TickIn(0)
	}
}

// withoutTicks does the work of Tick inside a callback that is about a client, for a broker that never ticks (Mosquitto
// 2.0.11 with per_listener_settings), and says so once. Of the callbacks there are, the broker makes those of the instance of
// a client's listener alone.
func (p *Plugin) withoutTicks() {
	missing, first := p.ticks.Missing()
	if first {
		p.log(event.Warning, "this broker gives plugins no regular call (Mosquitto before 2.0.12 with per_listener_settings true): expired clients stay, "+
			"and receive, and reloads wait, until a client comes to or leaves a listener with this plugin line; what happens on others does not "+
			"help; a newer Mosquitto mends that")
	}
	if missing && !p.loop.Turning() && !p.goesOn() {
		p.work()
	}
}
