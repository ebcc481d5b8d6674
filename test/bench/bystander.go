package main

import (
	"fmt"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partBystander is what a storm of logins, against a revocation endpoint that is fast, slow or silent, does to clients that are
// connected: how long messages of a pair of them take.
const partBystander = "bystander"

// Its metrics, of the pair's messages, and of the storm's clients with rate.
const (
	pairP50  metric = "pair's p50, ms"
	pairP99  metric = "pair's p99, ms"
	pairMax  metric = "pair's longest, ms"
	pairLost metric = "lost"
	attempts metric = "attempts/s"
)

// idle is the pair without a storm: how quiet the machine is.
const idle = "idle"

// never is the delay of an endpoint that does not answer.
const never time.Duration = -1

// delays of the introspection endpoint.
var delays = []time.Duration{0, shareDelay, 2 * time.Second, never}

// How long the plugin waits for the endpoint: longer than every delay, and short where there will be no answer.
const (
	patient   = 10 * time.Second
	impatient = 2 * time.Second
)

// scenario is a trial of partBystander.
type scenario struct {
	name   string
	storm  bool
	plugin bool
	check  string // options.revocation.check, "" for the default
	warm   bool   // revocation.cache holds every token's answer beforehand
	delay  time.Duration
	judged bool // by goals.go
	shares bool // its rate, too, where the delay bounds it
}

// scenarios are those that a version is measured with. Mosquitto 2.1 lets a login wait without the broker waiting, so the default
// must do there; on 2.0 it can't, and what counts are the ways around that.
func scenarios(v brokers.Version) []scenario {
	all := []scenario{{name: idle}, {name: anonymous, storm: true}}
	add := func(s scenario, delays ...time.Duration) {
		s.storm, s.plugin = true, true
		for _, s.delay = range delays {
			all = append(all, s)
		}
	}
	if v.AtLeast(2, 1) {
		add(scenario{name: "beforeConnect", judged: true, shares: true}, delays...)
		return all
	}
	add(scenario{name: "afterConnect", check: "afterConnect", judged: true, shares: true}, delays...)
	add(scenario{name: "warm cache", warm: true, judged: true, shares: true}, delays...)
	// Its clients come back later, so the delay does not bound how many log in.
	add(scenario{name: "onRetry", check: "onRetry"}, delays...)
	add(scenario{name: "beforeConnect"}, 0, shareDelay)
	return all
}

// title names the scenario: "onRetry, 100 ms".
func (s scenario) title() string {
	switch {
	case !s.plugin:
		return s.name
	case s.delay == never:
		return s.name + ", never"
	default:
		return fmt.Sprintf("%s, %d ms", s.name, s.delay.Milliseconds())
	}
}

// bystanders are the trials of partBystander.
func (r *rig) bystanders(v brokers.Version, window time.Duration) (all []trial) {
	for _, s := range scenarios(v) {
		all = append(all, trial{
			version: v.Name, part: partBystander, name: s.title(), reference: !s.plugin,
			run: func(st *stand) sample { return r.scenario(st, v, s, window) },
		})
	}
	return all
}

// options are a broker's for the scenario.
func (r *rig) options(s scenario) harness.Options {
	if !s.plugin {
		return harness.Options{AllowAnonymous: true}
	}
	more := object{"timeoutMs": patient.Milliseconds()}
	if s.delay == never {
		more["timeoutMs"] = impatient.Milliseconds()
	}
	if s.check != "" {
		more["check"] = s.check
	}
	if s.warm {
		more["cache"] = object{"ttlMs": time.Hour.Milliseconds()}
	}
	return r.ours(r.config(r.cachedKeys(), r.introspection(more)))
}

// impose has the endpoint be as slow as the scenario wants for requests that arrive from now on, until lift is called,
// which lets those go that are held.
func (r *rig) impose(s scenario) (lift func()) {
	if s.delay == never {
		return r.provider.Hold(idp.Introspect)
	}
	r.provider.SetDelay(idp.Introspect, s.delay)
	return func() { r.provider.SetDelay(idp.Introspect, 0) }
}

// scenario lets a storm loose on a pair.
func (r *rig) scenario(st *stand, v brokers.Version, s scenario, window time.Duration) sample {
	asked := r.provider.Requests(idp.Introspect)
	url := r.broker(st, v, r.options(s)).URL(0)
	both := r.pair(st, url)
	if s.plugin {
		// With afterConnect the answer for the pair may still be on its way.
		st.must(waitFor(func() bool { return r.provider.Requests(idp.Introspect) >= asked+2 }, "the endpoint was not asked for the pair"))
	}
	tokens := r.keys.tokens[rs256]
	all := connects(harness.V311, func(n int) string { return tokens[n] }, manyWorkers)(clientID)
	l := load{url: url, workers: manyWorkers, next: func(w int) []byte { return all[w] }, window: patient, limit: manyWorkers, patient: true}
	if s.warm {
		t, err := l.run()
		st.must(err)
		st.expect(t, accepted)
	}
	l.limit, l.window = 0, window
	if !s.storm {
		l.workers = 0
	}

	l.pair, l.interval = both, pairInterval
	l.settle = r.impose(s) // else the broker might have logins to refuse for a minute
	defer l.settle()
	t, err := l.run()
	st.must(err)
	if t.errors > 0 {
		st.Fatalf("bench: %d logins did not get as far as CONNECT, the last with: %v", t.errors, t.err)
	}
	m := pairSample(t.messages)
	if s.storm {
		m[rate], m[attempts] = t.perSecond(t.accepted), t.perSecond(t.attempts)
	}
	return m
}

// waitFor waits until met.
func waitFor(met func() bool, otherwise string) error {
	for deadline := time.Now().Add(patient); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("bench: %s within %v", otherwise, patient)
		}
	}
	return nil
}
