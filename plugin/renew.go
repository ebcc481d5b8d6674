package plugin

import (
	"errors"
	"slices"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/cedalo"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/renewal"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// isConnected tells whether a client that authenticates is connected already, and returns its session if it was let in by a token. What
// another has left at its address is none: Mosquitto 2.1 knows nobody by the client id who is just connecting, and 2.0 tells of every
// end.
func (p *Plugin) isConnected(client broker.Connect) (s *session.Session, is bool) {
	if !p.broker.IsConnectedAs(client.ClientID, client.Conn) {
		return nil, false
	}
	if s = p.sessions.Of(client.Conn); s != nil && s.ClientID == client.ClientID {
		return s, true
	}
	return nil, p.broker.TellsOfConnects() || p.table.holders.Has(client.Conn, client.ClientID)
}

// takes tells whether an Authentication Method is one whose data is a token.
func (p *Plugin) takes(method string) bool {
	return slices.Contains(p.chain.Config().EnhancedAuth.Methods, method)
}

// reauthenticate judges a fresh token that a client shows by AUTH. One that is refused ends the session, as the broker disconnects
// the client; one about which nothing could be learnt changes nothing.
func (p *Plugin) reauthenticate(s *session.Session, e broker.ExtAuth) verdict.Verdict {
	answer, returned := verdict.Verdict{Kind: verdict.Accept}, false
	if p.renewals.LimitAuth(s) != nil {
		return answer // as when nothing can be learnt about a token
	}
	p.renewals.Begin(s, e.Connect, e.Data, func(o renewal.Outcome) {
		switch {
		case !o.Refuses():
		case returned:
			p.lifetimes.Expel(s, byShown(o))
		default:
			answer = o.Verdict
			// Not all brokers tell of the end that they are about to make of it, nor is it sure that they do.
			p.sessions.Expel(s, p.now(), byShown(o).String())
		}
	})
	returned = true
	p.schedule(0)
	return answer
}

// byShown is the verdict on a token that a client has shown, as the reason for which its session ends: the session's own token is another,
// against which nothing is said.
func byShown(o renewal.Outcome) verdict.Verdict {
	if o.LogID == "" {
		return o.Verdict
	}
	return verdict.Refuse(o.Reason, "token %s, which it has shown by AUTH: %s", o.LogID, o.Detail)
}

// renewToken is the command of that name.
func (p *Plugin) renewToken(r control.Request, done func(control.Answer)) {
	fail := func(err error) { done(control.Answer{Err: err}) }
	s := p.sessions.Of(r.From.Conn)
	switch {
	case s == nil || s.ClientID != r.From.ClientID:
		fail(errNoToken)
		return
	case !p.chain.Config().Control.Renew:
		fail(errNoRenewals)
		return
	}
	if busy := p.renewals.Limit(s); busy != nil {
		fail(errors.New(busy.String()))
		return
	}
	token, err := r.Text("token")
	if err != nil {
		fail(err)
		return
	}
	client := broker.Connect{Conn: r.From.Conn, ClientID: r.From.ClientID, Username: r.From.Username}
	p.renewals.Begin(s, client, token, func(o renewal.Outcome) {
		if o.Kind != verdict.Accept {
			fail(errors.New(o.String()))
			return
		}
		var data struct {
			// Expires is in seconds since 1970 (RFC 7519 §2, NumericDate).
			Expires int64 `json:"expires,omitempty"`
		}
		if !o.Expires.IsZero() {
			data.Expires = o.Expires.Unix()
		}
		done(control.Answer{Data: data})
	})
	p.schedule(0)
}

// What a client is told that can't renew.
var (
	errNoToken    = errors.New("not logged in by a token")
	errNoRenewals = errors.New("renewals are switched off ($.options.control.renew)")
)

// malformed counts a message that could not be read as one renewal: it has cost as much.
func (p *Plugin) malformed(from broker.Message) {
	if s := p.sessions.Of(from.Conn); s != nil {
		p.renewals.Limit(s)
	}
}

// answer sends an answer to the client alone that a message came from, if it is still there: Mosquitto 2.0 tells of the end of a connection
// over WebSockets late, and not that others have let in who has its client id by then.
func (p *Plugin) answer(to broker.Message, payload []byte) {
	holders := p.table.holders
	if p.table.callers[to.Conn] != to.Caller || !p.broker.IsConnectedAs(to.ClientID, to.Conn) || holders.TakenOver(to.Conn, to.ClientID) || holders.Contended(to.Conn, to.ClientID) {
		return
	}
	if p.loop.Turning() {
		p.loop.Again()
	}
	if err := p.broker.Publish(to.ClientID, to.Topic+control.Response, payload); err != nil {
		var token string
		if s := p.sessions.Of(to.Conn); s != nil && s.IDIsToken {
			token = s.ClientID
		}
		p.log(event.Warning, "client %s could not be answered on %s: %s", verdict.QuoteUnless(token, to.ClientID), to.Topic+control.Response, err)
	}
}

// isOwner tells whether a token is of the same issuer and subject as the session, which is of this file: whether that names issuers
// may have changed since.
func (p *Plugin) isOwner(s *session.Session, result provider.Result) bool {
	holders := p.table.holders
	return holders.IsOwner(s.Conn, s.ClientID, p.ownerHere(result)) || holders.IsOwner(s.Conn, s.ClientID, ownerAnywhere(result))
}

// renewed replaces all that depends on the token of a session, but for its deadline.
func (p *Plugin) renewed(s *session.Session, client broker.Connect, result provider.Result) {
	by := result.Provider
	p.grantRights(client, result)
	p.table.holders.Own(s.Conn, s.ClientID, p.ownerOf(result))
	p.limit(s, by)
	p.know(s, client, result)
	p.watchRenewed(s)
	p.lifetimes.ScheduleRecheck(s, by, result.Bearer(), result.Expiry)
}

// limit bounds how long a session may last in all.
func (p *Plugin) limit(s *session.Session, by *provider.Provider) {
	var at time.Time
	if most := by.Config().Common.MaxSession; most > 0 {
		at = p.began.Add(s.Began + most)
	}
	p.sessions.Limit(s, at)
}

// register has the broker tell of what the configuration needs, and of nothing else.
func (p *Plugin) register() {
	file := p.chain.Config()
	// With admins, who is let in by others in this way is not to be taken for somebody who came by a certificate.
	if err := p.broker.ExtAuths(len(file.EnhancedAuth.Methods) > 0 || len(file.Control.Admins) > 0); err != nil {
		p.log(event.Warning, "no client can log in by enhanced authentication, nor renew its token by it: %s", err)
	}
	for _, t := range topics() {
		if err := p.table.listen(p, t); err != nil {
			if t.name == control.Topic && file.Control.Renew {
				p.log(event.Warning, "no client can renew its token by a message to %s: %s", t.name, err)
			}
			switch {
			case !hasAdmins(file):
			case t.name == cedalo.InspectTopic:
				p.log(event.Warning, "the Management Center can't see who is connected by a message to %s: %s", t.name, err)
			case t.name == cedalo.ClientControlTopic:
				p.log(event.Warning, "the Management Center can't disconnect anybody by a message to %s: %s", t.name, err)
			default:
				p.log(event.Warning, "no admin can have anything done by a message to %s: %s", t.name, err)
			}
		}
	}
	p.table.watch()
}

// topic is one of $CONTROL, and for whom it is.
type topic struct {
	name  string
	wants func(*config.Config) bool
}

func hasAdmins(c *config.Config) bool { return len(c.Control.Admins) > 0 }

// topics are all that instances may be registered for.
func topics() []topic {
	return []topic{
		{control.Topic, func(c *config.Config) bool { return c.Control.Renew || hasAdmins(c) }},
		{cedalo.InspectTopic, hasAdmins},
		{cedalo.ClientControlTopic, hasAdmins},
	}
}

// listen has the messages to a topic come to an instance that wants them, and, if it was the one that took those of all others,
// to another that does. An error says why none come to p, which wants them.
func (t *Table) listen(p *Plugin, to topic) error {
	wants := func(one *Plugin) bool { return one.chain != nil && to.wants(one.chain.Config()) }
	if p.listens[to.name] && !wants(p) {
		delete(p.listens, to.name)
		if err := p.broker.Control(to.name, false); err != nil {
			return err
		}
	}
	var failed error
	for _, one := range t.plugins {
		if !wants(one) || one.listens[to.name] {
			continue
		}
		err := one.broker.Control(to.name, true)
		if err == nil {
			one.listens[to.name] = true
		}
		if one == p {
			failed = err
		}
	}
	if errors.Is(failed, broker.ErrTaken) && t.listened(to.name) {
		return nil // by another instance, which passes them on
	}
	return failed
}

func (t *Table) listened(name string) bool {
	return slices.ContainsFunc(t.plugins, func(one *Plugin) bool { return one.listens[name] })
}

// answering is the instance that has let in the client that a message came from, or has left it to others; of a client that none has, the one
// that got it.
func (t *Table) answering(m broker.Message, got *Plugin) *Plugin {
	if one, s := t.session(m.Conn, m.ClientID); s != nil {
		return one
	}
	if t.watched != nil {
		if c := t.watched.Roster.Of(m.Conn); c != nil && c.ID == m.ClientID {
			if one := t.plugin(c.Judge); one != nil {
				return one
			}
		}
	}
	return got
}
