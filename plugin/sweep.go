package plugin

import (
	"time"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

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
	p.reloaded = p.now()
	p.lastOfRound = p.reloaded
	p.broker.Wake()
}

func (p *Plugin) prolongSweep() { p.sweepEnds = p.now().Add(sweepGap) }

// sweeping tells whether that round may still go on.
func (p *Plugin) sweeping() bool {
	if p.sessions.Sweeping() && !p.ticks.ticked && p.now().After(p.sweepEnds) {
		p.sessions.CloseSweep()
	}
	return p.sessions.Sweeping()
}

// goesOn tells, of a callback that is about a client, whether it may belong to that round where no Tick tells: because it
// comes close upon the one before, from Reload on. Then nobody must be kicked: the broker is going through its clients, and
// must not lose others on the way. Unlike sweeping, which opens a way past all checks, it counts clients of all kinds.
func (p *Plugin) goesOn() bool {
	now := p.now()
	if now.Sub(p.lastOfRound) >= sweepGap || now.Sub(p.reloaded) >= longestRound {
		return false
	}
	p.lastOfRound = now
	return true
}

// endRound ends it when somebody new comes, as nobody can while the broker goes on: a client that neither this plugin knows as
// connected, by a session of its own or by others, nor the broker. The first moment is not judged by that, as the broker of
// Mosquitto 2.0 does not tell of sessions that are away and have no subscriptions.
func (p *Plugin) endRound(login Login) {
	if p.now().Sub(p.reloaded) >= sweepGap && !p.sessions.Has(login.Client) && !p.table.holders.Has(login.Client, login.ClientID) &&
		!p.broker.Knows(login.ClientID, login.Client, false) {
		p.lastOfRound = time.Time{}
	}
}

// askedAgain answers in a sweep. Whoever is connected by a session of this plugin stays, without anybody being asked, and a
// session whose client is away is left alone. All else is decided by what is in memory or put off, as hundreds of
// thousands of sessions may be asked about in one go.
func (p *Plugin) askedAgain(login Login) verdict.Verdict {
	if p.sessions.Reaffirm(login.Client, credentials(login), p.now()) {
		p.prolongSweep()
		p.log(event.Debug, "%s stays: the broker asked again after a reload", p.who(login))
		return verdict.Verdict{Kind: verdict.Accept}
	}
	asking := login.forChain(p.broker)
	connected := p.sessions.Has(login.Client)
	known := !connected && p.broker.Knows(login.ClientID, login.Client, p.ticks.ticked)
	entered := p.table.holders.Has(login.Client, login.ClientID)
	switch {
	case p.chain.Defers(asking):
		if !known && !entered {
			p.leaveToOthers(login) // it is somebody new
		}
		return verdict.Verdict{Kind: verdict.Defer}
	case known && !entered:
		// To accept this lets nobody in, since to come back takes a new CONNECT. To refuse it would end a connection that there
		// is none of: Mosquitto 2.0 then enters the session into its list of those that expire once more, and is left with
		// a pointer to freed memory when the client comes back. Its token is not looked at: there can be so many that their
		// signatures would hold the broker for seconds.
		p.prolongSweep()
		return verdict.Verdict{Kind: verdict.Accept}
	}
	result := p.chain.FromMemory(asking)
	switch {
	case result.Kind != verdict.Accept:
	case !connected:
		// It may be somebody new, who comes again outside of the sweep.
		result.Verdict = verdict.Refuse(verdict.ServerBusy, "it came during a reload")
		result.Kind = verdict.Retry
	case result.Identity.ClientID != nil:
		// The broker is going through its table of client ids.
		result.Verdict = verdict.Refuse(verdict.ServerBusy, "its client id is to be another, and can't be changed during a reload")
		result.Kind = verdict.Retry
	default:
		result.Verdict = p.admit(login, result)
	}
	p.logVerdict(login, result)
	return result.Verdict
}
