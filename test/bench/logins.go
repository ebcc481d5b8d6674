package main

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partLogin is the storm of logins: what each costs.
const partLogin = "login"

// Its metrics. CPU is per login.
const (
	rate     metric = "logins/s"
	cpuAll   metric = "broker's CPU, µs"
	cpuMain  metric = "main thread's CPU, µs"
	idleLoad metric = "load generator idle, %"
	loginP50 metric = "p50, ms"
	loginP99 metric = "p99, ms"
)

// Its trials, by 32 workers with MQTT 3.1.1 unless they say otherwise.
const (
	anonymous      = "anonymous"
	accepting      = "C plugin that accepts"
	keepsBusy      = "C plugin that takes 25 µs"
	refusing       = "C plugin that refuses"
	refusingLong   = "C plugin that refuses 16 kB"
	passwordFile   = "password_file"
	naiveMap       = "naive Go plugin, a map"
	repeated       = "repeated token"
	newToken       = ", new token"
	keyFile        = rs256 + newToken + ", keys by file"
	noCache        = rs256 + newToken + ", cache.enabled false"
	badSignature   = "refused: bad signature, keys by file"
	badSignatureBy = "refused: bad signature, cached key set"
	rubbish        = "refused: rubbish"
	header         = "refused: 16 kB of header"
)

// manyWorkers is how many clients log in at a time where a trial says nothing else.
const manyWorkers = 32

// answers are what may become of a login.
type answers int

const (
	accepted answers = iota
	refused
	refusedOrClosed // a key is sought
	acceptedOrClosed
)

// storm is a trial of partLogin.
type storm struct {
	broker   func(st *stand) harness.Options
	connects func(id func(n int) string) [][]byte // of the clients
	repeat   bool                                 // each worker has one of these, else all are used once
	workers  int
	want     answers
}

// logins are the trials of partLogin with a broker.
func (r *rig) logins(v brokers.Version, window time.Duration) []trial {
	one := func(password string) func(func(int) string) [][]byte {
		return connects(harness.V311, func(int) string { return password }, manyWorkers)
	}
	tokens := func(alg string, protocol byte) func(func(int) string) [][]byte {
		all := r.keys.tokens[alg]
		return connects(protocol, func(n int) string { return all[n] }, len(all))
	}
	few := func(protocol byte) func(func(int) string) [][]byte {
		return connects(protocol, func(n int) string { return r.keys.tokens[rs256][n] }, manyWorkers)
	}
	forgeries := func() func(func(int) string) [][]byte {
		all := r.keys.tokens[rs256]
		return connects(harness.V311, func(n int) string { return forged(all[n], all[(n+1)%len(all)]) }, len(all))
	}
	with := func(o harness.Options) func(*stand) harness.Options {
		return func(*stand) harness.Options { return o }
	}
	cached, byFile := with(r.ours(r.config(r.cachedKeys(), nil))), with(r.ours(r.config(r.fileKeys(), nil)))
	plugin := func(path string, opts map[string]string) func(*stand) harness.Options {
		return with(harness.Options{Plugins: []harness.Plugin{{Path: path, Opts: opts}}})
	}
	naive := func(*stand) harness.Options {
		return harness.Options{
			Files:   map[string]string{"passwords": strings.Join(r.keys.tokens[rs256], "\n")},
			Plugins: []harness.Plugin{{Path: r.naive, Opts: map[string]string{"passwords": "{dir}/passwords"}}},
		}
	}
	open := with(harness.Options{AllowAnonymous: true})

	all := []trial{{version: v.Name, part: partLogin, name: idle, reference: true, run: func(st *stand) sample {
		return r.scenario(st, v, scenario{name: idle}, window)
	}}}
	add := func(name string, reference bool, s storm) {
		one := trial{version: v.Name, part: partLogin, name: name, reference: reference, run: func(st *stand) sample {
			return r.storm(st, v, s, window)
		}}
		if isVariant(name) {
			one.rounds = 3
		}
		all = append(all, one)
	}
	add(anonymous, true, storm{broker: open, connects: few(harness.V311), repeat: true})
	add(accepting, false, storm{broker: plugin(r.accept, nil), connects: few(harness.V311), repeat: true})
	add(keepsBusy, false, storm{broker: plugin(r.accept, map[string]string{"busy": "25"}), connects: few(harness.V311), repeat: true})
	add(passwordFile, false, storm{
		broker:   with(harness.Options{Passwords: map[string]string{"user": "a password"}}),
		connects: one("a password"), repeat: true,
	})
	add(naiveMap, true, storm{broker: naive, connects: few(harness.V311), repeat: true})
	add(repeated, false, storm{broker: cached, connects: few(harness.V311), repeat: true})
	for _, alg := range []string{rs256, es256, eddsa} {
		add(alg+newToken, false, storm{broker: cached, connects: tokens(alg, harness.V311)})
	}
	add(keyFile, true, storm{broker: byFile, connects: tokens(rs256, harness.V311)})
	add(noCache, false, storm{broker: with(r.ours(r.config(r.fetchedKeys(), nil))), connects: tokens(rs256, harness.V311), want: acceptedOrClosed})
	add(refusing, false, storm{broker: plugin(r.accept, map[string]string{"refuse": "true"}), connects: one("rubbish"), repeat: true, want: refused})
	add(refusingLong, false, storm{broker: plugin(r.accept, map[string]string{"refuse": "true"}), connects: one(longHeader()), repeat: true, want: refused})
	add(badSignature, false, storm{broker: byFile, connects: forgeries(), want: refused})
	add(badSignatureBy, false, storm{broker: cached, connects: forgeries(), want: refusedOrClosed})
	add(rubbish, false, storm{broker: byFile, connects: one("correct horse battery staple"), repeat: true, want: refused})
	add(header, false, storm{broker: byFile, connects: one(longHeader()), repeat: true, want: refused})
	for _, p := range r.peers {
		of := with(harness.Options{Extra: p.conf})
		add(p.name+", "+repeated, false, storm{broker: of, connects: few(harness.V311), repeat: true})
		add(p.name+", "+rs256+newToken, false, storm{broker: of, connects: tokens(rs256, harness.V311)})
	}
	for _, other := range variants {
		add(anonymous+other.suffix, true, storm{broker: open, connects: few(other.protocol), repeat: true, workers: other.workers})
		add(repeated+other.suffix, false, storm{broker: cached, connects: few(other.protocol), repeat: true, workers: other.workers})
		add(rs256+newToken+other.suffix, false, storm{broker: cached, connects: tokens(rs256, other.protocol), workers: other.workers})
	}
	return all
}

// variant is another way in which some trials are measured, too.
type variant struct {
	suffix   string // of their names
	protocol byte
	workers  int
}

var variants = []variant{
	{", 1 worker", harness.V311, 1},
	{", 8 workers", harness.V311, 8},
	{", MQTT 5", harness.V5, manyWorkers},
}

// connects are the CONNECT packets of so many logins by password, each with a client id of its own.
func connects(protocol byte, password func(n int) string, count int) func(id func(int) string) [][]byte {
	return func(id func(int) string) [][]byte {
		all := make([][]byte, count)
		for n := range all {
			all[n] = harness.ConnectPacket(protocol, login(id(n), password(n)))
		}
		return all
	}
}

// clientID is the n-th client's.
func clientID(n int) string { return fmt.Sprint("storm-", n) }

// storm lets a storm loose on a broker. The first logins, which find caches empty and code not yet in memory, do not count.
func (r *rig) storm(st *stand, v brokers.Version, s storm, window time.Duration) sample {
	all := s.connects(clientID)
	l := load{workers: s.workers, window: harness.Patience, limit: 5 * manyWorkers}
	if l.workers == 0 {
		l.workers = manyWorkers
	}
	used := 0
	l.next = func(w int) []byte {
		if s.repeat {
			return all[w]
		}
		if used == len(all) {
			return nil
		}
		used++
		return all[used-1]
	}
	b := r.broker(st, v, s.broker(st))
	l.url = b.URL(0)
	t, err := l.run()
	st.must(err)
	st.expect(t, s.want)

	l.window, l.limit = window, 0
	before, err := usageOf(b.PID())
	st.must(err)
	t, err = l.run()
	st.must(err)
	after, err := usageOf(b.PID())
	st.must(err)
	st.expect(t, s.want)
	done := t.accepted
	if s.want == refused || s.want == refusedOrClosed {
		done = t.attempts
	}
	if done == 0 {
		st.Fatalf("bench: no login came to an end within %v", window)
	}
	each := func(d time.Duration) float64 { return us(d) / float64(done) }
	spent := after.minus(before)
	return sample{
		rate: t.perSecond(done), cpuAll: each(spent.all), cpuMain: each(spent.main), idleLoad: 100 * t.idle.Seconds() / t.lasted.Seconds(),
		loginP50: percentile(t.waits, 50), loginP99: percentile(t.waits, 99),
	}
}

// fill logs in so many clients within the window, and returns their sockets, which stay until the trial ends.
func (st *stand) fill(url, password string, clients int, window time.Duration) (in []int) {
	next := 0
	l := load{url: url, workers: manyWorkers, window: window, limit: clients, stay: true, next: func(int) []byte {
		next++
		return harness.ConnectPacket(harness.V311, login(fmt.Sprint("crowd-", next), password))
	}}
	t, err := l.run()
	st.Cleanup(func() {
		for _, socket := range t.in {
			_ = syscall.Close(socket) // nothing depends on how it ends
		}
	})
	st.must(err)
	st.expect(t, accepted)
	if len(t.in) < clients {
		st.Fatalf("bench: only %d of %d clients came in within %v", len(t.in), clients, window)
	}
	return t.in
}

// expect fails the trial if logins met something else than they should.
func (st *stand) expect(t tally, want answers) {
	wrong := t.errors
	switch want {
	case accepted:
		wrong += t.refused + t.closed
	case acceptedOrClosed:
		wrong += t.refused
	case refused:
		wrong += t.accepted + t.closed
	case refusedOrClosed:
		wrong += t.accepted
	}
	if wrong > 0 {
		st.Fatalf("bench: of %d logins %d were accepted, %d refused, %d closed, and %d did not get as far as CONNECT (%v)",
			t.attempts, t.accepted, t.refused, t.closed, t.errors, t.err)
	}
}
