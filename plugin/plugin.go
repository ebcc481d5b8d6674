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
	"strings"
	"time"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
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
	// Now is the clock; nil: time.Now.
	Now func() time.Time
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
	file   string

	// ctx ends with Close, and with it all that runs in the background.
	ctx    context.Context
	cancel context.CancelFunc
	queue  queue

	chain    *chain.Chain
	sessions *session.Book
	// reloads numbers the reloads: only the result of the last one counts.
	reloads int
	// sweepEnds is when the broker has surely asked for everybody after the last one, Tick or no Tick.
	sweepEnds time.Time
	ticks     tickWatch
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
	p := &Plugin{broker: broker, now: o.Now, sessions: session.NewBook(), ticks: tickWatch{now: o.Now}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.queue.wake = broker.Wake
	if err := p.start(o.Settings); err != nil {
		p.logLines(Error, err, "")
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
			p.log(Warning, "plugin_opt_%s is not known; there are plugin_opt_%s and plugin_opt_%s", name, settingConfigFile, settingPersistence)
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
		p.logFindings(c.findings)
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

// BasicAuth judges a login and, where it is accepted, gives the client its identity and records its session.
func (p *Plugin) BasicAuth(login Login) verdict.Verdict {
	if p.now().After(p.sweepEnds) {
		p.sessions.CloseSweep()
	}
	if p.sessions.Vouch(login.Client, credentials(login)) {
		p.log(Debug, "client %s [%s] stays: the broker asked again after a reload", verdict.Quote(login.ClientID), login.Address)
		return verdict.Verdict{Kind: verdict.Accept}
	}
	result := p.chain.Check(p.ctx, chain.Login{
		Client:   identity.Client{ID: login.ClientID, Username: login.Username, FixedID: !p.broker.CanSetClientID()},
		Password: login.Password,
	})
	if result.Kind == verdict.Accept {
		result.Verdict = p.admit(login, result)
	}
	p.logVerdict(login, result)
	if result.Kind != verdict.Defer {
		p.withoutTicks()
	}
	return result.Verdict
}

// admit gives the client its identity and records its session.
func (p *Plugin) admit(login Login, result chain.Result) verdict.Verdict {
	if id := result.Identity.ClientID; id != nil {
		if err := p.broker.SetClientID(login.Client, *id); err != nil {
			return verdict.Refuse(verdict.InternalError, "the broker did not take the client id %s: %s", verdict.Quote(*id), err)
		}
		login.ClientID = *id
	}
	if name := result.Identity.Username; name != nil {
		if err := p.broker.SetUsername(login.Client, *name); err != nil {
			return verdict.Refuse(verdict.InternalError, "the broker did not take the username %s: %s", verdict.Quote(*name), err)
		}
		login.Username = name
	}
	var until time.Time
	if common := p.chain.Config().Common; common.KickExpired && !result.Expiry.IsZero() {
		until = result.Expiry.Add(common.Leeway)
	}
	p.sessions.Admit(login.Client, credentials(login), result.Token, until)
	p.schedule()
	return result.Verdict
}

func credentials(login Login) session.Credentials {
	return session.Credentials{ClientID: login.ClientID, Username: login.Username, Password: login.Password}
}

func (p *Plugin) logVerdict(login Login, result chain.Result) {
	who := fmt.Sprintf("client %s [%s]", verdict.Quote(login.ClientID), login.Address)
	switch result.Kind {
	case verdict.Accept:
		name := "its own username"
		if result.Identity.Username != nil {
			name = verdict.Quote(*result.Identity.Username)
		}
		if result.Detail != "" {
			p.log(Notice, "%s accepted as %s without having been asked about ($.options.revocation.onUnavailable): %s (token %s)",
				who, name, result.Detail, result.Token)
			return
		}
		p.log(Debug, "%s accepted as %s (token %s)", who, name, result.Token)
	case verdict.Defer:
		p.log(Debug, "%s left to the next plugin or password file: its password is no token", who)
	case verdict.Retry:
		p.log(Notice, "%s put off, its next attempt will be answered: %s (token %s)", who, result.Verdict, result.Token)
	default:
		text := fmt.Sprintf("%s refused: %s", who, result.Verdict)
		if result.Token != "" {
			text += fmt.Sprintf(" (token %s)", result.Token)
		}
		p.log(Notice, "%s", text)
	}
}

// Disconnect records that a client's connection has ended.
func (p *Plugin) Disconnect(client Client) {
	p.sessions.Leave(client)
	p.withoutTicks()
}

// Tick takes over what goroutines have finished, and kicks clients whose time has come.
func (p *Plugin) Tick() {
	p.ticks.seen()
	p.sessions.CloseSweep()
	p.work()
}

func (p *Plugin) work() {
	p.queue.drain()
	p.kickExpired()
	p.schedule()
}

// schedule asks for the Tick that the next deadline needs.
func (p *Plugin) schedule() { p.broker.TickAt(p.sessions.NextDeadline()) }

// kickExpired disconnects whoever has stayed to the end of its token. The broker calls Disconnect from inside Kick.
func (p *Plugin) kickExpired() {
	now, withWill := p.now(), p.chain.Config().Common.KickWithWill
	for due := p.sessions.Due(now); due != nil; due = p.sessions.Due(now) {
		// Kicks go by client id: by now it may be somebody else's.
		if !p.broker.Holds(due.ClientID, due.Client) {
			continue
		}
		who := "client " + verdict.Quote(due.ClientID)
		err := p.broker.Kick(due.ClientID, withWill)
		switch {
		case errors.Is(err, ErrNotConnected):
			p.log(Debug, "%s had left when its token expired", who)
		case err != nil:
			p.log(Error, "%s could not be disconnected when its token expired: %s", who, err)
		default:
			p.log(Notice, "%s disconnected: expired: its time ended at %s (token %s)", who, due.Until.UTC().Format(time.RFC3339), due.Token)
		}
	}
}

// withoutTicks does the work of Tick inside another callback, for a broker that never ticks (Mosquitto 2.0.11 with
// per_listener_settings), and says so once.
func (p *Plugin) withoutTicks() {
	missing, first := p.ticks.missing()
	if first {
		p.log(Warning, "this broker gives plugins no regular call (Mosquitto before 2.0.12 with per_listener_settings true): "+
			"expired clients are disconnected only when another client connects or leaves, and reloads take effect then; a newer Mosquitto mends that")
	}
	if missing {
		p.work()
	}
}

func (p *Plugin) log(level Level, format string, args ...any) {
	p.broker.Log(level, "go_jwt_auth: "+fmt.Sprintf(format, args...))
}

// logLines logs an error that may join several, one to a line.
func (p *Plugin) logLines(level Level, err error, suffix string) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		p.log(level, "%s%s", line, suffix)
	}
}

// report takes a line from any goroutine to the log.
func (p *Plugin) report(warning bool, text string) {
	p.queue.post(func() { p.logFindings([]chain.Finding{{Warning: warning, Text: text}}) })
}

func (p *Plugin) logFindings(findings []chain.Finding) {
	// Warnings go first: on a screenful of lines they are what should be seen.
	for _, f := range findings {
		if f.Warning {
			p.log(Warning, "%s", f.Text)
		}
	}
	for _, f := range findings {
		if !f.Warning {
			p.log(Info, "%s", f.Text)
		}
	}
}
