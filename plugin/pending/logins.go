// Package pending holds the logins whose verdict comes later (Mosquitto 2.1): BASIC_AUTH has answered AUTH_DELAYED, and a Tick
// gives the verdict.
package pending

import (
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// Logins are the pending logins of one plugin instance. Its functions are the house's, and belong to the broker's thread as
// its methods do.
type Logins struct {
	Table  *Table
	Broker broker.Broker
	Loop   *loop.Loop
	Now    func() time.Time
	// Identify gives the client the identity of its token, with the broker and in connect. A verdict refuses it.
	Identify func(connect *broker.Connect, result provider.Result) *verdict.Verdict
	// Contested is the client id by which the login would take over a session that may be another's, if there is one.
	// MayHold refuses that.
	Contested func(connect broker.Connect, result provider.Result) (id string, is bool)
	MayHold   func(id string, connect broker.Connect, result provider.Result) *verdict.Verdict
	// Blocked refuses a login whose token's bearer may not come in for the time being; nil: it may.
	Blocked func(result provider.Result) *verdict.Verdict
	// Grant enters what a client may do that is about to be let in: the broker asks before Complete returns. Withdraw takes that back.
	Grant    func(connect broker.Connect, result provider.Result)
	Withdraw func(conn broker.Conn)
	// Record enters a client that was let in, and has what is still open ended.
	Record func(connect broker.Connect, result provider.Result, open *provider.Open)
	// Tell reports what has happened to a login.
	Tell func(kind event.Kind, connect broker.Connect, result provider.Result)

	// waiting is how many verdicts are still to come, those included that have become nobody's.
	waiting int
}

// Delay gives a pending client its identity, which can't be changed later, and has the verdict sought. A second login that
// would get the client id of one that is pending is closed: the broker would give either the verdict of the other.
func (l *Logins) Delay(connect broker.Connect, result provider.Result, open *provider.Open) verdict.Verdict {
	if id := result.Identity.ClientID; id != nil && l.Table.byID[*id] != nil {
		open.Drop()
		v := verdict.Refuse(verdict.ServerBusy, "another login for the client id %s is still pending", verdict.Quote(*id))
		v.Kind = verdict.Retry
		return v
	}
	a := &attempt{result: result, open: open}
	_, a.contested = l.Contested(connect, result)
	if refused := l.Identify(&connect, result); refused != nil {
		open.Drop()
		return *refused
	}
	a.connect = connect
	l.Table.add(a)
	l.waiting++
	l.Loop.Background(func() func() {
		ctx := l.Loop.Context()
		a.result, a.open = a.open.Finish(ctx)
		if ctx.Err() != nil { // no Tick takes it over any more
			a.drop()
			return nil
		}
		return func() { l.complete(a) }
	})
	return result.Verdict
}

// Len is how many verdicts are still to come.
func (l *Logins) Len() int { return l.waiting }

// complete tells the broker the verdict on a login that was pending. The broker calls Disconnect from inside.
func (l *Logins) complete(a *attempt) {
	l.waiting--
	id, conn := a.connect.ClientID, a.connect.Conn
	// A client that is connected by that id at that address came in by another way after this one had dropped.
	if !l.Table.take(a) || l.Broker.IsConnectedAs(id, conn) {
		a.drop()
		l.Tell(event.LeftPending, a.connect, a.result)
		return
	}
	v := a.result.At(l.Now())
	if v.Kind == verdict.Accept {
		if refused := l.Blocked(a.result); refused != nil {
			v = *refused
		}
	}
	if v.Kind == verdict.Accept && a.contested {
		// Somebody may have come by that id meanwhile.
		if refused := l.MayHold(id, a.connect, a.result); refused != nil {
			v = *refused
		}
	}
	a.result.Verdict = v
	accepted := v.Kind == verdict.Accept
	if accepted {
		l.Grant(a.connect, a.result)
	} else {
		a.drop()
	}
	l.Broker.Complete(id, accepted)
	switch {
	case accepted && !l.Broker.IsConnectedAs(id, conn):
		a.drop()
		l.Withdraw(conn)
		l.Tell(event.LeftAccepted, a.connect, a.result)
		return
	case accepted:
		l.Record(a.connect, a.result, a.open)
	}
	l.Tell(event.Judged, a.connect, a.result)
}
