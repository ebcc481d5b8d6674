package plugin

import (
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// attempt is a login whose verdict comes later (Mosquitto 2.1).
type attempt struct {
	// login is the client with the identity that it was given: the broker is told the verdict by this client id.
	login  Login
	chain  *chain.Chain
	result chain.Result
	// contested: see there.
	contested bool
}

// Table is what all instances of the plugin share, as the broker has one table of client ids for all of them: the logins
// whose verdict is still to come, and whose session lives under which client id.
//
// It belongs to the broker's thread.
type Table struct {
	attempts attempts
	holders  *session.Holders
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{attempts: attempts{byID: map[string]*attempt{}, byClient: map[Client]*attempt{}}, holders: session.NewHolders()}
}

// attempts are the logins whose verdict is still to come. The broker addresses a verdict by client id alone, and says nothing
// when a pending client drops, so that a late verdict could admit another client. So each attempt counts only for as long as
// nobody has come by its id or from its address.
type attempts struct {
	byID     map[string]*attempt
	byClient map[Client]*attempt
}

func (a *attempts) add(t *attempt) {
	a.byID[t.login.ClientID] = t
	a.byClient[t.login.Client] = t
}

// take removes an attempt; false where it no longer counts.
func (a *attempts) take(t *attempt) bool {
	if t == nil || a.byClient[t.login.Client] != t {
		return false
	}
	delete(a.byID, t.login.ClientID)
	delete(a.byClient, t.login.Client)
	return true
}

// gone removes the attempt that came from this address, which now belongs to another connection or to none.
func (a *attempts) gone(client Client) { a.take(a.byClient[client]) }

// dropSuperseded removes the attempts that a login shows to be over: the one from the same address, and the one by the same
// client id, as the broker lets nobody come by an id that is pending. Only when it asks again after a reload is the client
// one that is connected, beside which another may be pending by the same id.
func (p *Plugin) dropSuperseded(login Login) {
	p.table.attempts.gone(login.Client)
	if t := p.table.attempts.byID[login.ClientID]; t != nil && !p.broker.IsConnectedAs(login.ClientID, login.Client) {
		p.table.attempts.take(t)
	}
}

// delay gives a pending client its identity, which can't be changed later, and has the verdict sought. A second login that
// would get the client id of one that is pending is closed: the broker would give either the verdict of the other.
func (p *Plugin) delay(login Login, result chain.Result) verdict.Verdict {
	refuse := func(v verdict.Verdict) verdict.Verdict {
		p.chain.Drop(&result)
		return v
	}
	if id := result.Identity.ClientID; id != nil && p.table.attempts.byID[*id] != nil {
		v := verdict.Refuse(verdict.ServerBusy, "another login for the client id %s is still pending", verdict.Quote(*id))
		v.Kind = verdict.Retry
		return refuse(v)
	}
	t := &attempt{chain: p.chain, result: result}
	_, t.contested = contested(login, result)
	if refused := p.identify(&login, result); refused != nil {
		return refuse(*refused)
	}
	t.login = login
	p.table.attempts.add(t)
	p.background(func() func() {
		t.chain.Finish(p.ctx, &t.result)
		if p.ctx.Err() != nil { // nobody takes it over any more
			t.chain.Drop(&t.result)
			return nil
		}
		return func() { p.complete(t) }
	})
	return result.Verdict
}

// complete tells the broker the verdict on a login that was pending. The broker calls Disconnect from inside.
func (p *Plugin) complete(t *attempt) {
	id, client := t.login.ClientID, t.login.Client
	// Whoever is connected by that id at that address came in by another way after this client had dropped.
	if !p.table.attempts.take(t) || p.broker.IsConnectedAs(id, client) {
		t.chain.Drop(&t.result)
		p.log(event.Debug, "%s left before its verdict (%s)", p.who(t.login), t.result.Verdict)
		return
	}
	v := inTime(t.chain, t.result, p.now())
	if v.Kind == verdict.Accept && t.contested {
		// Somebody may have come by that id meanwhile.
		if refused := p.mayHold(id, t.chain, t.login, t.result); refused != nil {
			v = *refused
		}
	}
	accepted := v.Kind == verdict.Accept
	if !accepted {
		t.chain.Drop(&t.result)
	}
	t.result.Verdict = v
	p.broker.Complete(id, accepted)
	if accepted && !p.broker.IsConnectedAs(id, client) {
		t.chain.Drop(&t.result)
		p.log(event.Info, "%s had left when it was accepted (token %s)", p.who(t.login), t.result.Token)
		return
	}
	if accepted {
		p.record(t.chain, t.login, t.result)
	}
	p.logVerdict(t.login, t.result)
}
