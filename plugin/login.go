package plugin

import (
	"strings"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"

	"go-jwt-auth/plugin/event"
)

// login judges a CONNECT.
func (p *Plugin) login(connect broker.Connect) verdict.Verdict {
	result, open := p.chain.Begin(p.loop.Context(), connect)
	for result.Kind == verdict.Pending && !p.broker.CanDelay() {
		result, open = open.Finish(p.loop.Context())
	}
	switch result.Kind {
	case verdict.Pending:
		result.Verdict = p.pending.Delay(connect, result, open)
	case verdict.Accept:
		result.Verdict = p.admit(connect, result, open)
	case verdict.Defer, verdict.Retry, verdict.Deny:
	}
	p.tellOf(event.Judged, connect, result)
	if result.Kind == verdict.Defer {
		p.leaveToOthers(connect, loginOf(connect))
	}
	return result.Verdict
}

// loginAtOnce judges a CONNECT by enhanced authentication.
func (p *Plugin) loginAtOnce(e broker.ExtAuth) verdict.Verdict {
	p.table.pending.DropSuperseded(e.Connect, p.broker.IsConnectedAs)
	result, open := p.chain.BeginAtOnce(e.Connect, e.Data)
	if result.Kind == verdict.Accept {
		result.Verdict = p.admit(e.Connect, result, open)
	}
	if result.Kind != verdict.Accept {
		p.bypass.gone(e.Conn) // Mosquitto 2.1 does not tell of its end
	}
	p.tellOf(event.Judged, e.Connect, result)
	return result.Verdict
}

// leaveToOthers notes who may be let in by others, and how: if nobody says whether it was, it disconnects if not.
func (p *Plugin) leaveToOthers(connect broker.Connect, how roster.Login) {
	if p.broker.TellsOfConnects() || !p.sessions.Sweeping() { // else it may be one that is away
		p.watchLeft(connect, how)
	}
	if p.broker.TellsOfConnects() {
		return
	}
	// Whoever has asked something by this client id may be answered no more: perhaps this one is let in, and away again by then, and the
	// broker would keep the answer for it.
	p.table.holders.By(connect.ClientID, func(conn broker.Conn) { delete(p.table.callers, conn) })
	p.table.holders.Try(connect.Conn, connect.ClientID)
}

// admit gives the client its identity and records its session.
func (p *Plugin) admit(connect broker.Connect, result provider.Result, open *provider.Open) verdict.Verdict {
	v := result.At(p.now())
	if v.Kind == verdict.Accept {
		if refused := p.blocked(result); refused != nil {
			v = *refused
		}
	}
	if v.Kind == verdict.Accept {
		if refused := p.identify(&connect, result); refused != nil {
			v = *refused
		}
	}
	if v.Kind != verdict.Accept {
		if open != nil {
			open.Drop()
		}
		return v
	}
	p.record(connect, result, open)
	return v
}

// identify gives the client the identity of its token, with the broker and in connect.
func (p *Plugin) identify(connect *broker.Connect, result provider.Result) *verdict.Verdict {
	refuse := func(what, value string, err error) *verdict.Verdict {
		v := verdict.Refuse(verdict.InternalError, "the broker did not take the %s %s: %s", what, verdict.Quote(value), err)
		return &v
	}
	if id, is := contested(*connect, result); is {
		if refused := p.mayHold(id, *connect, result); refused != nil {
			return refused
		}
	}
	if id := result.Identity.ClientID; id != nil {
		if err := p.broker.SetClientID(connect.Conn, *id); err != nil {
			return refuse("client id", *id, err)
		}
		connect.ClientID = strings.Clone(*id) // it is kept, and must not keep all claims with it
	}
	if name := result.Identity.Username; name != nil {
		if err := p.broker.SetUsername(connect.Conn, *name); err != nil {
			return refuse("username", *name, err)
		}
		connect.Username = name
	}
	return nil
}

// record enters a client that was let in into the registry, and has asked about it what is still to be asked.
func (p *Plugin) record(connect broker.Connect, result provider.Result, open *provider.Open) {
	by := result.Provider
	s := &session.Session{
		Provider: by.ID(), LogID: result.LogID, IDIsToken: connect.ClientID == result.Bearer(), LeaveAt: result.LeaveAt, Began: p.now().Sub(p.began), ByAuth: connect.ByAuth,
	}
	if before := p.sessions.Of(connect.Conn); before != nil { // the broker asks again, after SIGHUP
		s.Follow(before)
	}
	p.know(s, connect, result)
	p.sessions.Admit(s, connect, passwordOf(connect, result))
	p.limit(s, by)
	p.table.holders.Enter(connect.Conn, connect.ClientID, p.ownerOf(result))
	p.table.cameBy(connect.ClientID)
	p.watchAdmitted(s)
	p.grantRights(connect, result)
	p.lifetimes.ScheduleRecheck(s, by, result.Bearer(), result.Expiry)
	if open != nil {
		p.lifetimes.Confirm(s, by, open)
	}
	p.schedule(0)
}

// passwordOf stands for the password, which usually is the token: that has been hashed.
func passwordOf(connect broker.Connect, result provider.Result) session.Digest {
	if connect.Password != nil && *connect.Password == result.Bearer() {
		return result.Digest()
	}
	return session.DigestOf(connect.Password)
}

// contested is the client id of a login that has not just chosen it: one that is to be rewritten, or that the broker may
// have made of the username that the client claims (`use_username_as_clientid`), while the token gives it another name.
// A client that is connected by such an id would be put out by one that had no right to it.
func contested(connect broker.Connect, result provider.Result) (id string, is bool) {
	to := result.Identity
	switch {
	case to.ClientID != nil:
		return *to.ClientID, true
	case to.Username != nil && connect.Username != nil && *connect.Username == connect.ClientID:
		return connect.ClientID, true
	}
	return "", false
}

// mayHold refuses a login by a contested client id under which another session lives: it takes over only what came
// by a token of the same provider, issuer and subject, as that is what makes it the same client. A session whose owner is not
// known (restored after a restart, forgotten) counts as its own if that has the mapped username, or none is mapped.
func (p *Plugin) mayHold(id string, connect broker.Connect, result provider.Result) *verdict.Verdict {
	refuse := func(whose string) *verdict.Verdict {
		v := verdict.Refuse(verdict.ClientIDTaken, "under the client id %s lives the session of %s", verdict.QuoteUnless(result.Bearer(), id), whose)
		return &v
	}
	username, there, known := p.broker.Session(id)
	switch p.holding(id, connect.Conn, result) {
	case session.Own:
	case session.Others:
		return refuse("another subject, or of a client that did not log in by a token")
	case session.OthersAway:
		if there || !known {
			return refuse("another subject, or of a client that did not log in by a token, which is away")
		}
	case session.NotKnown:
		name := result.Identity.Username
		if name == nil && result.Provider.Config().Common.MatchUsername {
			name = connect.Username // which is the mapped one
		}
		if there && name != nil && *name != username {
			return refuse("the username " + verdict.QuoteUnless(result.Bearer(), username))
		}
	}
	return nil
}

// ownerOf is whose session a login opens. If the configuration names no issuer, what a token says of its own counts within this
// file alone: a provider of the same name in the file of another plugin line can have other keys.
func (p *Plugin) ownerOf(result provider.Result) session.Owner {
	if len(result.Provider.Config().Common.Issuers) == 0 {
		return p.ownerHere(result)
	}
	return ownerAnywhere(result)
}

// ownerHere is whose session a token opens if its issuer counts within this file alone, ownerAnywhere if it is checked.
func (p *Plugin) ownerHere(result provider.Result) session.Owner {
	return session.OwnerOf(result.Provider.ID(), p.file+"\n"+result.Issuer, result.Subject)
}

func ownerAnywhere(result provider.Result) session.Owner {
	return session.OwnerOf(result.Provider.ID(), result.Issuer, result.Subject)
}

// holding tells whose session lives under the client id of a login, of which this file may have opened one before it named an issuer.
func (p *Plugin) holding(id string, asking broker.Conn, result provider.Result) session.Holding {
	held := p.table.holders.Holding(id, asking, p.ownerOf(result), p.now())
	if held == session.Own {
		return held
	}
	return p.table.holders.Holding(id, asking, p.ownerHere(result), p.now())
}
