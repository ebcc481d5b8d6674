package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
)

// Servers are the open ones of all plugin instances of one broker, by address. Safe for concurrent use.
type Servers struct {
	mu   sync.Mutex // guards all below
	open map[string]*server
}

// server answers at one address for the instances that name it, and has what they count together.
type server struct {
	listen, version string
	http            http.Server

	logins, renewals, kicks, keyFetches, introspections, lookups, reloads, checks, commands *family[counter]
	verdictTime, threadTime, keyTime, introspectionTime                                     *family[histogram]
	introspected, reloaded                                                                  *family[gauge]

	// These are in checks.
	allowed, denied, leftToOthers *counter

	mu     sync.Mutex // guards meters
	meters []*Meter
}

// Open returns a Meter whose numbers are read at this address, by TCP; nil if that is empty. now is the clock, version the plugin's.
func (s *Servers) Open(listen, version string, now func() time.Time) (*Meter, error) {
	if listen == "" {
		return nil, nil //nolint:nilnil // a nil Meter is one
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.open[listen]
	if of == nil {
		var config net.ListenConfig
		listener, err := config.Listen(context.Background(), "tcp", listen)
		if err != nil {
			return nil, err
		}
		of = newServer(listen, version)
		go func() { _ = of.http.Serve(listener) }() // until release closes it
		if s.open == nil {
			s.open = map[string]*server{}
		}
		s.open[listen] = of
	}
	m := &Meter{server: of, now: now, began: now(), sessions: map[provider.ID]int{}}
	of.mu.Lock()
	defer of.mu.Unlock()
	of.meters = append(of.meters, m)
	return m, nil
}

// Close ends what belongs to a Meter. The server ends with its last one.
func (s *Servers) Close(m *Meter) {
	if m == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := m.server; of.leave(m) {
		delete(s.open, of.listen)
		_ = of.http.Close()
	}
}

// leave removes a Meter, and tells whether it was the last.
func (s *server) leave(m *Meter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, each := range s.meters {
		if each == m {
			s.meters = append(s.meters[:i:i], s.meters[i+1:]...)
		}
	}
	return len(s.meters) == 0
}

func (s *server) all() []*Meter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Meter(nil), s.meters...)
}

// Bounds on those who ask.
const (
	// headerTime and idleTime are how long a connection may take for its request, and be kept without one.
	headerTime = 5 * time.Second
	answerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	headerSize = 8 << 10
)

// stillFor is how long the broker's loop may stand still before it counts as hanging.
const stillFor = 5 * time.Second

func newServer(listen, version string) *server {
	s := &server{
		listen: listen, version: version,
		logins:            newCounters("jwt_auth_logins_total", "Logins by what became of them."),
		renewals:          newCounters("jwt_auth_renewals_total", "Fresh tokens of connected clients by what became of them, those that come too fast included."),
		kicks:             newCounters("jwt_auth_disconnects_total", "Connected clients that had to leave."),
		verdictTime:       newHistograms("jwt_auth_verdict_duration_seconds", "Time from CONNECT to the verdict.", both),
		threadTime:        newHistograms("jwt_auth_broker_thread_duration_seconds", "Time that calls of the broker took, during which it does nothing else.", quick),
		keyFetches:        newCounters("jwt_auth_key_fetches_total", "Requests for key sets."),
		keyTime:           newHistograms("jwt_auth_key_fetch_duration_seconds", "Time that requests for key sets took.", slow),
		introspections:    newCounters("jwt_auth_introspections_total", "Requests about tokens, to an introspection endpoint or another."),
		introspectionTime: newHistograms("jwt_auth_introspection_duration_seconds", "Time that requests about tokens took.", slow),
		introspected:      newGauges("jwt_auth_introspection_last_success_timestamp_seconds", "When a request about a token was last answered."),
		lookups:           newCounters("jwt_auth_answer_lookups_total", "Looks for a remembered answer about a token."),
		checks:            newCounters("jwt_auth_rights_checks_total", "Accesses that were judged by rights from tokens."),
		commands:          newCounters("jwt_auth_commands_total", "Commands of admins."),
		reloads:           newCounters("jwt_auth_reloads_total", "Times that jwt.json was read again."),
		reloaded:          newGauges("jwt_auth_reload_last_success_timestamp_seconds", "When jwt.json last came into force."),
	}
	for _, result := range []string{event.Done, event.Failed} {
		s.reloads.of(labels{result: result})
	}
	s.allowed, s.denied, s.leftToOthers = s.checks.of(labels{result: event.Accepted}), s.checks.of(labels{result: event.Refused}), s.checks.of(labels{result: event.Deferred})
	for _, command := range commands {
		s.commands.of(labels{command: command, result: event.Done})
	}
	for _, method := range []string{BasicAuth, ExtAuth, Control, Tick, Disconnect} {
		s.threadTime.of(labels{method: method})
	}
	pages := http.NewServeMux()
	pages.HandleFunc("GET /metrics", s.metrics)
	pages.HandleFunc("GET /healthz", s.healthz)
	pages.HandleFunc("GET /readyz", s.readyz)
	s.http = http.Server{
		Handler: pages, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerSize,
	}
	return s
}

// prepare has the series of a provider begin at zero: rates are not known of those that begin with their first event.
func (s *server) prepare(p *provider.Provider) {
	name := p.Name()
	for _, method := range []string{event.ByPassword, event.ByAuth} {
		s.logins.of(labels{provider: name, method: method, result: event.Accepted})
	}
	for _, method := range []string{event.ByAuth, event.ByControl} {
		s.renewals.of(labels{provider: name, method: method, result: event.Accepted})
	}
	s.verdictTime.of(of(name))
	now := p.Condition()
	if !now.Opaque {
		for _, result := range []string{event.Done, event.Failed} {
			s.keyFetches.of(labels{provider: name, result: result})
		}
		s.keyTime.of(of(name))
	}
	if now.Revocation == nil {
		return
	}
	for _, result := range []string{event.Active, event.Inactive, event.Failed} {
		s.introspections.of(labels{provider: name, result: result})
	}
	for _, result := range []string{event.Hit, event.Miss} {
		s.lookups.of(labels{provider: name, result: result})
	}
	s.introspectionTime.of(of(name))
}

func (s *server) metrics(w http.ResponseWriter, r *http.Request) {
	t := &text{format: formatOf(strings.Join(r.Header.Values("Accept"), ","))}
	s.write(t)
	w.Header().Set("Content-Type", t.format.contentType())
	_, _ = w.Write(t.out)
}

// write writes all families.
func (s *server) write(t *text) {
	for _, f := range []interface{ write(t *text) }{
		s.logins, s.renewals, s.verdictTime, s.threadTime, s.kicks, s.keyFetches, s.keyTime, s.introspections, s.introspectionTime, s.introspected, s.lookups,
		s.checks, s.commands, s.reloads, s.reloaded,
	} {
		f.write(t)
	}
	meters := s.all()
	var pending, rechecks int64
	var lost uint64
	for _, m := range meters {
		pending += m.pending.Load()
		rechecks += m.rechecks.Load()
		if count := m.lost.Load(); count != nil {
			lost = max(lost, (*count)()) // instances share the trail
		}
	}
	writeSessions(t, meters)
	t.one("jwt_auth_pending_logins", "Logins that wait for their verdict.", gauges, float64(pending))
	t.one("jwt_auth_rechecks", "Connected clients that are being asked about.", gauges, float64(rechecks))
	t.head("jwt_auth_audit_lines_lost_total", "Lines that are missing in the audit trail.", counters)
	t.line("jwt_auth_audit_lines_lost_total", labels{}, whole(lost))
	writeProviders(t, meters)
	t.head("jwt_auth_build_info", "The plugin.", gauges)
	t.line("jwt_auth_build_info", labels{}, "1", "version", s.version, "goversion", runtime.Version())
	writeProcess(t)
	t.end()
}

// writeSessions writes how many clients are connected by tokens of each provider. One that is not in force any more may still have some.
func writeSessions(t *text, meters []*Meter) {
	sessions := newGauges("jwt_auth_sessions", "Clients that are connected by a token.")
	eachProvider(meters, func(p *provider.Provider) { sessions.of(of(p.Name())) })
	counts := map[string]int{}
	for _, m := range meters {
		m.mu.Lock()
		for by, n := range m.sessions {
			counts[by.Name()] += n
		}
		m.mu.Unlock()
	}
	for name, n := range counts {
		sessions.of(of(name)).set(float64(n))
	}
	sessions.write(t)
}

// writeProviders writes how each provider stands. Of two instances' with one name the one that stands worse counts.
func writeProviders(t *text, meters []*Meter) {
	keys, keysRead := newGauges("jwt_auth_keys", "Keys that may serve now."),
		newGauges("jwt_auth_keys_last_success_timestamp_seconds", "When the key set that serves was read.")
	open, waiting := newGauges("jwt_auth_circuit_open", "1: the endpoint that is asked about tokens fails, and is left alone."),
		newGauges("jwt_auth_queued_requests", "Tokens that are being asked about or wait for their turn.")
	worst := map[*gauge]float64{}
	note := func(g *gauge, v float64, pick func(...float64) float64) {
		if before, there := worst[g]; there {
			v = pick(before, v)
		}
		worst[g] = v
		g.set(v)
	}
	eachProvider(meters, func(p *provider.Provider) {
		now, l := p.Condition(), of(p.Name())
		if !now.Opaque {
			note(keys.of(l), float64(now.Keys.Usable), least)
			if !now.Keys.Read.IsZero() {
				note(keysRead.of(l), seconds(now.Keys.Read), least)
			}
		}
		if r := now.Revocation; r != nil {
			isOpen := 0.
			if r.Open {
				isOpen = 1
			}
			note(open.of(l), isOpen, most)
			note(waiting.of(l), float64(r.Waiting), most)
		}
	})
	for _, f := range []*family[gauge]{keys, keysRead, open, waiting} {
		f.write(t)
	}
}

func least(v ...float64) float64 { return min(v[0], v[1]) }
func most(v ...float64) float64  { return max(v[0], v[1]) }

func eachProvider(meters []*Meter, visit func(*provider.Provider)) {
	for _, m := range meters {
		if providers := m.providers.Load(); providers != nil {
			for _, p := range *providers {
				visit(p)
			}
		}
	}
}

// healthz tells whether the broker's loop turns: one that any instance has seen turn does.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	var known bool
	last := time.Duration(1<<63 - 1)
	for _, m := range s.all() {
		if ago, seen := m.sinceTick(); seen {
			known, last = true, min(last, ago)
		}
	}
	switch {
	case !known:
		answer(w, nil, "ticks unknown")
	case last > stillFor:
		answer(w, fmt.Errorf("the broker's loop has not turned for %s", last.Round(time.Millisecond)), "")
	default:
		answer(w, nil, "ok")
	}
}

// readyz tells whether each provider has keys.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	var without []error
	providers := 0
	eachProvider(s.all(), func(p *provider.Provider) {
		providers++
		if now := p.Condition(); !now.Opaque && now.Keys.Usable == 0 {
			without = append(without, fmt.Errorf("%s has no keys", p.Key("options.modes")))
		}
	})
	if providers == 0 {
		without = append(without, errors.New("jwt.json is being read"))
	}
	answer(w, errors.Join(without...), "ok")
}

// answer says that all is well, or what is not.
func answer(w http.ResponseWriter, bad error, good string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if bad != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		good = bad.Error()
	}
	_, _ = w.Write([]byte(good + "\n"))
}
