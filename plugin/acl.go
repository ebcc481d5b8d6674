package plugin

import (
	"fmt"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// ACLCheck says what a client may do by its token: Accept, Deny, or Defer if others decide. It comes for each message to each
// subscriber, and allocates nothing but for a line of the log. lasts says of an Accept that it is the same until AskAbout is
// called for the connection: as long as the client is connected, with the rights that it has.
func (p *Plugin) ACLCheck(c broker.ACLCheck) (kind verdict.Kind, lasts bool) {
	kind, lasts = p.allow(c)
	p.meter.Load().Checked(kind, 1)
	return kind, lasts
}

func (p *Plugin) allow(c broker.ACLCheck) (kind verdict.Kind, lasts bool) {
	if c.Conn == 0 {
		return p.mayHavePublished(c), false
	}
	grant, connected := p.rights.For(c.Conn, c.ClientID, c.Username, c.Access)
	if grant == nil {
		return verdict.Defer, false
	}
	kind = grant.Allow(c.Access, c.Topic, c.QoS, c.Retain)
	if kind == verdict.Deny && c.Access == broker.Subscribe && p.loop.Turning() {
		return anyQoS(grant, c.Topic), false
	}
	if kind == verdict.Deny {
		p.denied(c, grant)
	}
	return kind, connected && kind == verdict.Accept && (c.Access == broker.Read || c.Access == broker.Write)
}

// anyQoS judges a subscription of a client that this plugin is disconnecting: the broker asks about those of a session that it keeps, and
// does not say with which QoS they were granted. Those that are denied are lost.
func anyQoS(grant *session.Grant, filter string) verdict.Kind {
	for _, qos := range []uint8{1, 2} {
		if kind := grant.Allow(broker.Subscribe, filter, qos, false); kind != verdict.Deny {
			return kind
		}
	}
	return verdict.Deny
}

// mayHavePublished judges a retained message that is to be delivered by the rights that its publisher has by now (check_retain_source),
// if it is connected or its session is kept.
func (p *Plugin) mayHavePublished(c broker.ACLCheck) verdict.Kind {
	var grant *session.Grant
	if conn, connected := p.table.holders.Connected(c.ClientID); connected {
		grant = p.rights.Of(conn, c.ClientID, c.Username)
	} else {
		grant = p.rights.OfAway(c.ClientID, c.Username)
	}
	if grant == nil {
		return verdict.Defer
	}
	return grant.Allow(c.Access, c.Topic, c.QoS, c.Retain)
}

// denied tells of what was denied, unless that was told of lately.
func (p *Plugin) denied(c broker.ACLCheck, grant *session.Grant) {
	if !p.denials.tell(c, p.now()) {
		return
	}
	var token string
	if grant.IDIsToken {
		token = c.ClientID
	}
	_, why := grant.Explain(c.Access, c.Topic, c.QoS, c.Retain)
	p.tell(event.Event{
		Kind: event.Denied, Client: event.Client{ID: verdict.ValueUnless(token, c.ClientID)}, Notable: grant.LogDenied,
		Provider: grant.Provider.Name(), LogID: grant.LogID, Why: fmt.Sprintf("%s %s: %s", actionOf(c), verdict.Quote(c.Topic), why),
	})
}

// actionOf is what a client wants to do, up to the topic.
func actionOf(c broker.ACLCheck) string {
	switch c.Access {
	case broker.Read:
		return "receive from"
	case broker.Subscribe:
		return "subscribe to"
	case broker.Write:
		if c.Retain {
			return fmt.Sprintf("publish (QoS %d, retained) to", c.QoS)
		}
		return fmt.Sprintf("publish (QoS %d) to", c.QoS)
	case broker.Unsubscribe:
	}
	return "unsubscribe from"
}

// grantRights enters what a client may do whose login is accepted, before the broker asks about it.
func (p *Plugin) grantRights(connect broker.Connect, result provider.Result) {
	if grant := p.grantOf(connect, result); grant != nil {
		p.rights.Enter(connect.Conn, connect.ClientID, usernameOf(connect), grant)
	} else {
		p.rights.Drop(connect.Conn)
	}
	p.endIfUnbound()
}

// endIfUnbound has the next Tick end the checks if they are not needed any more, as when the last client with rights by a file from before
// has gone, or has renewed; see checkACL.
func (p *Plugin) endIfUnbound() {
	if p.checksACL && p.rights.Bound() == 0 {
		p.tickSoon()
	}
}

// grantOf is what a token gives a client; nil: others decide about it. Is there a provider with `authorization`, those without have all of
// theirs asked about, too: each may renew.
func (p *Plugin) grantOf(connect broker.Connect, result provider.Result) *session.Grant {
	r, by := result.Rights, result.Provider
	if !p.checksACL {
		return nil // also of a login that has waited for its verdict since a file that gave rights
	}
	if r == nil {
		r = rights.None
	}
	auth, s := by.Config().Authorization, p.sessions.Of(connect.Conn)
	return &session.Grant{
		Rights: r, Provider: by.ID(), LogID: result.LogID, LogDenied: auth != nil && auth.LogDenied,
		IDIsToken: connect.ClientID == result.Bearer() || s != nil && s.IDIsToken, // if it is renewed, a token from before
	}
}

func usernameOf(connect broker.Connect) string {
	if connect.Username == nil {
		return ""
	}
	return *connect.Username
}

// vacate forgets who was connected from an address that somebody else comes from.
func (p *Plugin) vacate(conn broker.Conn) {
	p.watchLeave(conn, false)
	delete(p.table.callers, conn)
	p.sessions.Leave(conn)
	p.table.holders.Leave(conn, false, p.now())
	p.table.dropRights(conn)
}

// leave records that a connection has ended, with all that is known of it. kept: the broker keeps the client's session, or may do so.
func (p *Plugin) leave(conn broker.Conn, kept bool) {
	s := p.sessions.Of(conn)
	p.watchLeave(conn, kept)
	delete(p.table.callers, conn)
	takenOver := s != nil && p.table.holders.TakenOver(conn, s.ClientID)
	p.sessions.Leave(conn)
	p.table.holders.Leave(conn, kept, p.now())
	if !p.checksACL {
		return
	}
	switch {
	case takenOver:
		p.rights.Leave(conn, session.KeptNothing)
	case kept:
		p.rights.Leave(conn, session.KeptSession)
	case p.broker.MayKeepWill(conn):
		p.rights.Leave(conn, session.KeptWill)
	default:
		p.rights.Leave(conn, session.KeptNothing)
	}
	if p.rights.IsEnding() {
		p.tickSoon()
	}
	p.endIfUnbound()
}

// checkACL registers for ACL_CHECK if a provider of the file gives rights, or a client that is connected has some by a file from before;
// else it ends that. Once registered, the broker denies everybody what no plugin and no ACL file allows.
func (p *Plugin) checkACL(file *config.Config) error {
	needed := p.rights.Bound() > 0
	for _, cfg := range file.Providers {
		needed = needed || cfg.Authorization != nil
	}
	if needed == p.checksACL {
		return nil
	}
	if err := p.broker.CheckACL(needed); needed && err != nil { // if it can't be ended, all is deferred
		return fmt.Errorf("the broker does not ask what clients may do: %w", err)
	}
	p.checksACL = needed
	switch {
	case !needed:
		p.rights.Clear()
	case p.chain != nil:
		p.log(event.Warning, "the broker asks this plugin about rights from now on, after its ACL file and all other plugins: what these allow or deny is done, whatever a "+
			"token says, until the broker is restarted; the ACL file comes after it with the next reload")
	}
	return nil
}
