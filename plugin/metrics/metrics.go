// Package metrics counts and times what the plugin does, for Prometheus: a Meter for each plugin instance, and an HTTP server for
// each address, which instances share.
//
// Whatever is counted has labels from closed lists alone: provider (names in jwt.json), reason (verdict.Reason), result
// (event.Outcome, event.Request) and method.
package metrics

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// What the broker's thread was busy with: the label "method" of the time that it took.
const (
	BasicAuth  = "basic_auth"
	ExtAuth    = "ext_auth"
	Control    = "control"
	Tick       = "tick"
	Disconnect = "disconnect"
)

// Meter is what one plugin instance is measured by. Safe for concurrent use; a nil Meter measures nothing.
type Meter struct {
	server *server
	now    func() time.Time
	// providers are those in force.
	providers atomic.Pointer[[]*provider.Provider]
	// What is there now.
	pending, rechecks atomic.Int64
	mu                sync.Mutex // guards sessions
	sessions          map[provider.ID]int
	// ticked is when the broker's loop was last seen to turn, in ns since began; zero: not yet.
	ticked atomic.Int64
	began  time.Time
	// lost is the audit trail's count.
	lost atomic.Pointer[func() uint64]
}

// InForce says which providers are asked from now on.
func (m *Meter) InForce(providers []*provider.Provider, lost func() uint64) {
	if m == nil {
		return
	}
	m.providers.Store(&providers)
	m.lost.Store(&lost)
	for _, p := range providers {
		m.server.prepare(p)
	}
}

// Sessions says how many sessions a provider has.
func (m *Meter) Sessions(by provider.ID, n int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n == 0 {
		delete(m.sessions, by)
		return
	}
	m.sessions[by] = n
}

// There says how many pending logins and rechecks there are.
func (m *Meter) There(pending, rechecks int) {
	if m == nil {
		return
	}
	m.pending.Store(int64(pending))
	m.rechecks.Store(int64(rechecks))
}

// Ticked says that the broker's loop has turned.
func (m *Meter) Ticked() {
	if m != nil {
		m.ticked.Store(max(1, int64(m.now().Sub(m.began))))
	}
}

// TickEvery is how often it has to be said at least.
const TickEvery = time.Second

// sinceTick is how long ago that was; false if it was never seen to.
func (m *Meter) sinceTick() (ago time.Duration, seen bool) {
	at := m.ticked.Load()
	return m.now().Sub(m.began) - time.Duration(at), at != 0
}

// Event counts what has happened to a client.
func (m *Meter) Event(e *event.Event) {
	if m == nil {
		return
	}
	o, is := e.Outcome()
	if !is {
		return
	}
	labels := labels{provider: e.Provider, method: e.Method, reason: string(o.Reason), result: o.Result}
	switch o.About {
	case event.Login:
		m.server.logins.of(labels).inc()
		if e.Took > 0 {
			m.server.verdictTime.of(of(e.Provider)).observe(e.Took)
		}
	case event.Renewal:
		m.server.renewals.of(labels).inc()
	case event.Kick:
		m.server.kicks.of(labels).inc()
	case event.Command:
		m.Command(e.Command, o.Result)
	}
}

// Request counts and times a request to a provider.
func (m *Meter) Request(r event.Request) {
	if m == nil {
		return
	}
	labels := labels{provider: r.Provider, result: r.Result}
	switch s := m.server; r.For {
	case event.Keys:
		s.keyFetches.of(labels).inc()
		s.keyTime.of(of(r.Provider)).observe(r.Took)
	case event.Introspection:
		s.introspections.of(labels).inc()
		s.introspectionTime.of(of(r.Provider)).observe(r.Took)
		if r.Result != event.Failed {
			s.introspected.of(of(r.Provider)).set(seconds(m.now()))
		}
	case event.Lookup:
		s.lookups.of(labels).inc()
	}
}

// Checked counts what was said of so many accesses. It comes for each message to each subscriber.
func (m *Meter) Checked(kind verdict.Kind, times uint64) {
	if m == nil {
		return
	}
	switch s := m.server; kind {
	case verdict.Accept:
		s.allowed.n.Add(times)
	case verdict.Defer:
		s.leftToOthers.n.Add(times)
	case verdict.Deny, verdict.Retry, verdict.Pending:
		s.denied.n.Add(times)
	}
}

// commands are those of admins that are counted by their names, Cedalo's behind ours. Whoever asks may send any text: what is not among
// them is "other".
var commands = []string{ //nolint:gochecknoglobals // a constant
	"listSessions", "listSessionChanges", "getSession", "disconnectSession", "listBlocks", "removeBlock", "getStatus", "listRefusals",
	"listClients", "getClient", "disconnectClient",
	otherCommand,
}

const otherCommand = "other"

// Command counts a command of an admin by its name on the wire: event.Done or event.Refused.
func (m *Meter) Command(name, result string) {
	if m == nil {
		return
	}
	if !slices.Contains(commands, name) {
		name = otherCommand
	}
	m.server.commands.of(labels{command: name, result: result}).inc()
}

// Reloaded says what became of jwt.json, and counts it if it was read again.
func (m *Meter) Reloaded(again bool, result string) {
	if m == nil {
		return
	}
	if again {
		m.server.reloads.of(labels{result: result}).inc()
	}
	if result == event.Done {
		m.server.reloaded.of(labels{}).set(seconds(m.now()))
	}
}

// Spent times the broker's thread.
func (m *Meter) Spent(method string, took time.Duration) {
	m.server.threadTime.of(labels{method: method}).observe(took)
}

func of(provider string) labels { return labels{provider: provider} }

// seconds is a time as Prometheus has it.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
