// Package plugin turns the broker's events into verdicts: who may log in, who must leave, and when the configuration
// changes. It is plain Go; the border to C and to Mosquitto is package main in cgo/.
//
// All methods of Plugin belong to the broker's thread. What has to wait for the network runs on goroutines, which hand
// their results over through a queue that Tick drains.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/identity"
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

// The names of the settings.
const (
	settingConfigFile  = "config_file"
	settingPersistence = "persistence_location"
)

// Plugin is one instance: one `plugin` line, one jwt.json.
type Plugin struct {
	broker Broker
	now    func() time.Time
	dial   endpoint.Dial
	file   string

	// ctx ends with Close, and with it all that runs in the background.
	ctx    context.Context
	cancel context.CancelFunc
	queue  queue

	chain    *chain.Chain
	sessions *session.Registry
	table    *Table
	// rechecking counts the questions about connected clients that are under way.
	rechecking int
	// reloads numbers the reloads: only the result of the last one counts.
	reloads int
	// sweepEnds is when the broker has surely asked for everybody after the last one, where no Tick says so.
	sweepEnds time.Time
	// reloaded is when that one came, and lastOfRound the last callback since that may belong to the broker's round (goesOn).
	reloaded, lastOfRound time.Time

	ticks tickWatch
	asked asked
	// working is true inside of work, from which the broker calls back.
	working bool
}

// Login is a BASIC_AUTH event.
type Login struct {
	Client   Client
	ClientID string
	// Username and Password are nil where the CONNECT has none.
	Username, Password *string
	// Address is the client's, for the log.
	Address string
}

// New finds and reads jwt.json, reaches the endpoints where it asks for that, and says in the log what it found. An
// error has been logged already, and means that the broker must not start.
func New(broker Broker, o Options) (*Plugin, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Table == nil {
		o.Table = NewTable()
	}
	p := &Plugin{broker: broker, now: o.Now, dial: o.Dial, sessions: session.NewRegistry(), table: o.Table}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.queue.wake = broker.Wake
	if err := p.start(o.Settings); err != nil {
		p.logEach(event.Error, err, "")
		p.Close()
		return nil, err
	}
	// The first Tick tells that there are any (see tickWatch).
	broker.Wake()
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
	c, err := p.prepare()
	if err != nil {
		p.logNotes(c.notes)
		return err
	}
	p.adopt(c, "started with")
	return nil
}

// Close ends what runs in the background.
func (p *Plugin) Close() {
	p.cancel()
	p.queue.close()
	if p.chain != nil {
		p.chain.Close()
	}
}

// BasicAuth judges a login and, where it is accepted, gives the client its identity and records its session. Where the
// verdict has to wait, it is told to the broker later (Pending), if that can be; else BasicAuth waits for it.
func (p *Plugin) BasicAuth(login Login) verdict.Verdict {
	p.dropSuperseded(login)
	if !p.ticks.ticked {
		p.endRound(login)
	}
	// Before the login is looked at: a kick inside it would find nobody, or whoever it is about to take over from.
	p.withoutTicks()
	if p.sweeping() {
		return p.askedAgain(login)
	}
	if p.broker.TellsOfConnects() {
		p.asked.about(login.Client)
	}
	// Whoever was connected from this address is not any more.
	p.sessions.Leave(login.Client)
	p.table.holders.Leave(login.Client, false, p.now())
	result := p.chain.Begin(p.ctx, login.forChain(p.broker))
	switch {
	case result.Kind == verdict.Pending && p.broker.CanDelay():
		result.Verdict = p.delay(login, result)
	case result.Kind == verdict.Pending:
		p.chain.Finish(p.ctx, &result)
	}
	if result.Kind == verdict.Accept {
		result.Verdict = p.admit(login, result)
	}
	p.logVerdict(login, result)
	if result.Kind == verdict.Defer {
		p.leaveToOthers(login)
	}
	return result.Verdict
}

// leaveToOthers notes who may be let in by others: where nobody says whether it was, it disconnects if not.
func (p *Plugin) leaveToOthers(login Login) {
	if !p.broker.TellsOfConnects() {
		p.table.holders.Try(login.Client, login.ClientID)
	}
}

func (l Login) forChain(b Broker) chain.Login {
	return chain.Login{
		Client:   identity.Client{ID: l.ClientID, Username: l.Username, FixedID: !b.CanSetClientID()},
		Password: l.Password,
	}
}

// admit gives the client its identity and records its session.
func (p *Plugin) admit(login Login, result chain.Result) verdict.Verdict {
	v := inTime(p.chain, result, p.now())
	if v.Kind == verdict.Accept {
		if refused := p.identify(&login, result); refused != nil {
			v = *refused
		}
	}
	if v.Kind != verdict.Accept {
		p.chain.Drop(&result)
		return v
	}
	p.record(p.chain, login, result)
	return v
}

// inTime refuses a token that has expired while its verdict was waited for.
func inTime(c *chain.Chain, result chain.Result, now time.Time) verdict.Verdict {
	common := c.Config().Providers[0].Common
	if result.Kind == verdict.Accept && common.ValidateExpiration && !result.Expiry.IsZero() && !now.Before(result.Expiry.Add(common.Leeway)) {
		return verdict.Refuse(verdict.Expired, "exp is %s, which passed while the identity provider was asked", result.Expiry.UTC().Format(time.RFC3339))
	}
	return result.Verdict
}

// leavesAt is when a client with this token has to go; zero: never.
func leavesAt(c *chain.Chain, result chain.Result) time.Time {
	if common := c.Config().Providers[0].Common; common.KickExpired && !result.Expiry.IsZero() {
		return result.Expiry.Add(common.Leeway)
	}
	return time.Time{}
}

// identify gives the client the identity of its token, with the broker and in login.
func (p *Plugin) identify(login *Login, result chain.Result) *verdict.Verdict {
	refuse := func(what, value string, err error) *verdict.Verdict {
		v := verdict.Refuse(verdict.InternalError, "the broker did not take the %s %s: %s", what, verdict.Quote(value), err)
		return &v
	}
	if id, is := contested(*login, result); is {
		if refused := p.mayHold(id, p.chain, *login, result); refused != nil {
			return refused
		}
	}
	if id := result.Identity.ClientID; id != nil {
		if err := p.broker.SetClientID(login.Client, *id); err != nil {
			return refuse("client id", *id, err)
		}
		login.ClientID = *id
	}
	if name := result.Identity.Username; name != nil {
		if err := p.broker.SetUsername(login.Client, *name); err != nil {
			return refuse("username", *name, err)
		}
		login.Username = name
	}
	return nil
}

// record enters a client that was let in into the registry, and has asked about it what is still to be asked.
func (p *Plugin) record(c *chain.Chain, login Login, result chain.Result) {
	s := &session.Session{Client: login.Client, Token: result.Token, Until: leavesAt(c, result), Expires: result.Expiry, IDIsToken: login.ClientID == result.Bearer()}
	p.sessions.Admit(s, credentials(login))
	p.table.holders.Enter(login.Client, login.ClientID, ownerOf(result))
	p.scheduleRecheck(c, s, result.Bearer())
	if result.Unconfirmed {
		p.confirm(c, s, result)
	}
	p.schedule()
}

func credentials(login Login) session.Credentials {
	return session.Credentials{ClientID: login.ClientID, Username: login.Username, Password: login.Password}
}

// who names a client in the log.
func (p *Plugin) who(login Login) string {
	token := p.chain.OpaqueToken(login.Username, login.Password)
	if s := p.sessions.Of(login.Client); s != nil && s.IDIsToken {
		token = s.ClientID // after a reload it comes with the username that it was given
	}
	return fmt.Sprintf("client %s [%s]", verdict.QuoteUnless(token, login.ClientID), verdict.Address(login.Address))
}

// named is how the log calls a client that is connected.
func named(s *session.Session) string {
	var token string
	if s.IDIsToken {
		token = s.ClientID
	}
	return "client " + verdict.QuoteUnless(token, s.ClientID)
}

func (p *Plugin) logVerdict(login Login, result chain.Result) {
	who := p.who(login)
	switch result.Kind {
	case verdict.Accept:
		name := "its own username"
		if result.Identity.Username != nil {
			name = verdict.QuoteUnless(result.Bearer(), *result.Identity.Username)
		}
		if result.Unchecked {
			p.log(event.Notice, "%s accepted as %s without having been asked about ($.options.revocation.onUnavailable): %s (token %s)",
				who, name, result.Note, result.Token)
			return
		}
		p.log(event.Debug, "%s accepted as %s (token %s)", who, name, result.Token)
	case verdict.Pending:
		p.log(event.Debug, "%s waits for its verdict (token %s)", who, result.Token)
	case verdict.Defer:
		if result.Note != "" {
			p.log(event.Notice, "%s left to the next plugin or password file: it sent %s, and has to send the token alone", who, result.Note)
			return
		}
		p.log(event.Debug, "%s left to the next plugin or password file: its password is no token", who)
	case verdict.Retry:
		p.log(event.Notice, "%s put off, its next attempt will be answered: %s (token %s)", who, result.Verdict, result.Token)
	default:
		text := fmt.Sprintf("%s refused: %s", who, result.Verdict)
		if result.Token != "" {
			text += fmt.Sprintf(" (token %s)", result.Token)
		}
		p.log(event.Notice, "%s", text)
	}
}

// Connect records that a client has been let in, by this plugin or by others (Mosquitto 2.1).
func (p *Plugin) Connect(client Client, clientID string) {
	if p.asked.missed(client) {
		p.log(event.Warning, "client %s is in, and this plugin was not asked: the broker takes its name from its certificate or key (use_identity_as_username, "+
			"use_subject_as_username), or a plugin before this one has let it in. No token and no expiry counts for such clients; "+
			"this is said once", verdict.Quote(clientID))
	}
	if !p.table.holders.Has(client, clientID) {
		p.table.holders.Enter(client, clientID, session.Owner{})
	}
}

// Disconnect records that a client's connection has ended. kept: the broker keeps its session, or may do so (2.0).
func (p *Plugin) Disconnect(client Client, kept bool) {
	p.table.attempts.gone(client)
	p.asked.gone(client)
	p.sessions.Leave(client)
	p.table.holders.Leave(client, kept, p.now())
	p.withoutTicks()
}

// Tick takes over what goroutines have finished, and kicks clients whose time has come.
func (p *Plugin) Tick() {
	p.ticks.seen()
	p.sessions.CloseSweep()
	p.work()
}

const (
	// turn is how long one Tick works: then the broker serves others, and is woken for the rest.
	turn = 2 * time.Millisecond
	// lookAgain is the longest that Ticks are apart. What is due by the time of day (exp) may be so sooner than was to be
	// seen, as clocks are set.
	lookAgain = time.Minute
)

// work does what is due, in turns of one thing of each kind, until it has taken its time.
func (p *Plugin) work() {
	p.working = true
	defer func() { p.working = false }()
	p.queue.begin()
	began := p.now()
	for more := true; more; {
		if p.now().Sub(began) >= turn {
			p.queue.leave()
			break
		}
		result, expired, recheck := p.queue.do(), p.kickExpired(), p.recheck()
		more = result || expired || recheck
	}
	p.chain.Refresh()
	p.schedule()
}

// schedule asks for the Tick that is needed next.
func (p *Plugin) schedule() {
	now, wait := p.now(), lookAgain
	for _, at := range []time.Time{p.sessions.NextDeadline(), p.nextRecheck(), p.chain.RefreshAt()} {
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	p.broker.TickIn(wait)
}

// kickExpired disconnects one client that has stayed to the end of its token; false where there is none.
func (p *Plugin) kickExpired() bool {
	due := p.sessions.Due(p.now())
	if due == nil {
		return false
	}
	why := due.Why
	if why == "" {
		why = fmt.Sprintf("%s: its time ended at %s", verdict.Expired, due.Until.UTC().Format(time.RFC3339))
	}
	p.kick(due, why, p.chain.Config().Providers[0].Common.KickWithWill)
	return true
}

// A kick that has not met its client is tried again after kickAgain, maxKicks times in all: by then nobody is there. For whoever
// may have taken over its client id it waits maxWaits times: else an expired client could stay by trying to take over itself.
const (
	kickAgain = time.Second
	maxKicks  = 3
	maxWaits  = 10
)

// kick disconnects a client and says why. The broker calls Disconnect from inside; where it does not, the client may still be
// there: it is about to leave (WebSockets on 2.0), or it was just taking over its id from another connection, which the kick
// has met in its place.
func (p *Plugin) kick(s *session.Session, why string, withWill bool) {
	if !p.broker.IsConnectedAs(s.ClientID, s.Client) || !p.hasItsID(s) {
		p.sessions.Expel(s, p.now().Add(kickAgain), why)
		return
	}
	who := named(s)
	err := p.broker.Kick(s.ClientID, withWill)
	s.Kicks++
	if p.sessions.Lives(s) && s.Kicks < maxKicks {
		p.sessions.Expel(s, p.now().Add(kickAgain), why)
	}
	switch {
	case errors.Is(err, ErrNotConnected):
		p.log(event.Debug, "%s was not there when it was to be disconnected (%s)", who, why)
	case err != nil:
		p.log(event.Error, "%s could not be disconnected (%s): %s", who, why, err)
	default:
		p.log(event.Notice, "%s disconnected: %s (token %s)", who, why, s.Token)
	}
}

// hasItsID tells whether a kick by the client id would meet the session, on a broker that can't say whose that is: Mosquitto 2.0
// lets whoever was accepted take over at once, and of those whom others may have let in it says nothing.
func (p *Plugin) hasItsID(s *session.Session) bool {
	switch holders := p.table.holders; {
	case p.broker.TellsOfConnects():
		return true
	case holders.TakenOver(s.Client, s.ClientID):
		return false // of this one nothing but its end is to come
	case holders.Contended(s.Client, s.ClientID) && s.Waits < maxWaits:
		s.Waits++
		return false
	}
	return true
}

// withoutTicks does the work of Tick inside a callback that is about a client, for a broker that never ticks (Mosquitto
// 2.0.11 with per_listener_settings), and says so once. Of the callbacks there are, the broker makes those of the instance of
// a client's listener alone.
func (p *Plugin) withoutTicks() {
	missing, first := p.ticks.missing()
	if first {
		p.log(event.Warning, "this broker gives plugins no regular call (Mosquitto before 2.0.12 with per_listener_settings true): expired clients stay, "+
			"and receive, and reloads wait, until a client comes to or leaves a listener with this plugin line; what happens on others does not "+
			"help; a newer Mosquitto mends that")
	}
	if missing && !p.working && !p.goesOn() {
		p.work()
	}
}
