package plugin

import (
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// sweep is the round in which the broker asks for everybody again after a reload, as far as its end has to be guessed.
type sweep struct {
	// ends is when the broker has surely asked for everybody, if no Tick says so.
	ends time.Time
	// reloaded is when the round began, and last the last callback since that may belong to it (goesOn).
	reloaded, last time.Time
}

// sweepGap is more than the broker takes from one client to the next while it asks for everybody again after a reload. Where
// no Tick ends the sweep, a pause of this length does.
const sweepGap = 250 * time.Millisecond

// longestRound is more than that takes with all clients that a broker can have. What still comes close upon each other then is
// made by others: of connections that send nothing Mosquitto 2.0 tells the end, too.
const longestRound = time.Minute

// openSweep begins the round in which the broker asks for everybody again, those with a kept session who are away
// included. It makes it in one go, and the next Tick, which comes to Go as well (Wake), is behind it.
func (p *Plugin) openSweep() {
	p.sessions.OpenSweep()
	p.prolongSweep()
	p.sweep.reloaded = p.now()
	p.sweep.last = p.sweep.reloaded
	p.broker.Wake()
}

func (p *Plugin) prolongSweep() { p.sweep.ends = p.now().Add(sweepGap) }

// sweeping tells whether that round may still go on.
func (p *Plugin) sweeping() bool {
	if p.sessions.Sweeping() && !p.ticks.Seen() && p.now().After(p.sweep.ends) {
		p.sessions.CloseSweep()
	}
	return p.sessions.Sweeping()
}

// goesOn tells, of a callback that is about a client, whether it may belong to that round where no Tick tells: because it
// comes close upon the one before, from Reload on. Then nobody must be kicked: the broker is going through its clients, and
// must not lose others on the way. Unlike sweeping, which opens a way past all checks, it counts clients of all kinds.
func (p *Plugin) goesOn() bool {
	now := p.now()
	if now.Sub(p.sweep.last) >= sweepGap || now.Sub(p.sweep.reloaded) >= longestRound {
		return false
	}
	p.sweep.last = now
	return true
}

// endRound ends it when somebody new comes, as nobody can while the broker goes on: a client that neither this plugin knows as
// connected, by a session of its own or by others, nor the broker. The first moment is not judged by that, as the broker of
// Mosquitto 2.0 does not tell of sessions that are away and have no subscriptions.
func (p *Plugin) endRound(connect broker.Connect) {
	if p.now().Sub(p.sweep.reloaded) >= sweepGap && !p.sessions.Has(connect.Conn) && !p.table.holders.Has(connect.Conn, connect.ClientID) &&
		!p.broker.Knows(connect.ClientID, connect.Conn, false) {
		p.sweep.last = time.Time{}
	}
}

// askedAgain answers in a sweep. Whoever is connected by a session of this plugin stays, without anybody being asked, and a
// session whose client is away is left alone. All else is decided by what is in memory or put off, as hundreds of
// thousands of sessions may be asked about in one go.
func (p *Plugin) askedAgain(connect broker.Connect) verdict.Verdict {
	if p.sessions.Reaffirm(connect, p.now()) {
		p.prolongSweep()
		p.tell(event.Event{Kind: event.Reaffirmed, Client: p.clientOf(connect)})
		return verdict.Verdict{Kind: verdict.Accept}
	}
	// Who is about to be disconnected must not be let in anew: nothing may speak against the token, as if an admin has asked for it.
	if s := p.sessions.Of(connect.Conn); s != nil && (s.ByAuth || s.Why() != "") && s.ClientID == connect.ClientID {
		v := verdict.Refuse(verdict.Expired, "its session has come to its end")
		if why := s.Why(); why != "" {
			v = verdict.Refuse(verdict.Expired, "its session has come to its end: %s", why)
		}
		p.tell(event.Event{Kind: event.Judged, Client: p.clientOf(connect), Verdict: v, LogID: s.LogID, Provider: s.Provider.Name()})
		return v
	}
	connected := p.sessions.Has(connect.Conn)
	if !connected {
		p.rights.DropOther(connect.Conn, connect.ClientID, usernameOf(connect))
	}
	known := !connected && p.broker.Knows(connect.ClientID, connect.Conn, p.ticks.Seen())
	entered := p.table.holders.Has(connect.Conn, connect.ClientID)
	away := known && !entered
	switch {
	// By a new file an opaque token can be a password of another kind: the session that it has opened is this plugin's all the same.
	case p.chain.Defers(connect) && !(away && p.table.holders.IsAwayByToken(connect.ClientID)):
		if !known && !entered {
			p.leaveToOthers(connect, loginOf(connect)) // it is somebody new
		}
		return verdict.Verdict{Kind: verdict.Defer}
	case away:
		// To accept this lets nobody in, since to come back takes a new CONNECT. To refuse it would end a connection that there
		// is none of: Mosquitto 2.0 then enters the session into its list of those that expire once more, and is left with
		// a pointer to freed memory when the client comes back. Its token is not looked at: there can be so many that their
		// signatures would hold the broker for seconds.
		p.prolongSweep()
		return verdict.Verdict{Kind: verdict.Accept}
	}
	result := p.chain.FromMemory(connect)
	switch {
	case result.Kind != verdict.Accept:
	case connected && p.sessions.Of(connect.Conn).IsPastLimit(p.now()):
		result.Verdict = verdict.Refuse(verdict.Expired, "it was connected for as long as %s allows", result.Provider.Key("options.common.maxSessionMs"))
	case !connected:
		// It may be somebody new, who comes again outside of the sweep.
		result.Verdict = verdict.Refuse(verdict.ServerBusy, "it came during a reload")
		result.Kind = verdict.Retry
	case result.Identity.ClientID != nil:
		// The broker is going through its table of client ids.
		result.Verdict = verdict.Refuse(verdict.ServerBusy, "its client id is to be another, and can't be changed during a reload")
		result.Kind = verdict.Retry
	default:
		result.Verdict = p.admit(connect, result, nil)
	}
	p.tellOf(event.Judged, connect, result)
	return result.Verdict
}
