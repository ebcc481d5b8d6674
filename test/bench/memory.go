package main

import (
	"fmt"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partMemory is the RSS of a broker that has just started, and after very many logins, each with another token.
const partMemory = "memory"

// Its metrics. The first is the time from the broker's start to its line "running".
const (
	startTime   metric = "start, ms"
	idleRSS     metric = "RSS when idle, MB"
	stormedRSS  metric = "RSS after the logins, MB"
	plainBroker        = "plain broker"
	withPlugin         = "with the plugin"
)

const (
	manyLogins  = 100_000
	quickLogins = 10_000
)

// partStart is what the plugin adds to the broker's start, where keys and introspection endpoint answer.
const partStart = "start"

func (r *rig) starts(v brokers.Version) []trial {
	of := func(name string, o harness.Options) trial {
		return trial{version: v.Name, part: partStart, name: name, run: func(st *stand) sample {
			begin := time.Now()
			b := r.broker(st, v, o)
			took := time.Since(begin)
			size, err := residentMB(b.PID())
			st.must(err)
			return sample{startTime: ms(took), idleRSS: size}
		}}
	}
	return []trial{
		of(plainBroker, harness.Options{AllowAnonymous: true}),
		of(withPlugin, r.ours(r.config(r.cachedKeys(), r.introspection(nil)))),
	}
}

func (r *rig) memory(v brokers.Version) []trial {
	of := func(name string, o harness.Options) trial {
		return trial{version: v.Name, part: partMemory, name: name, run: func(st *stand) sample {
			return r.fill(st, v, o)
		}}
	}
	return []trial{
		of(plainBroker, harness.Options{AllowAnonymous: true}),
		of(withPlugin, r.ours(r.config(r.cachedKeys(), nil))),
	}
}

// fill has very many tokens log in. They are signed under way, since nothing here is timed.
func (r *rig) fill(st *stand, v brokers.Version, o harness.Options) sample {
	limit := manyLogins
	if r.quick {
		limit = quickLogins
	}
	b := r.broker(st, v, o)
	next := 0
	t, err := load{url: b.URL(0), workers: manyWorkers, window: 5 * time.Minute, limit: limit, next: func(w int) []byte {
		next++
		return harness.ConnectPacket(harness.V311, login(clientID(w), r.keys.byAlg[eddsa].sign(next, farOff)))
	}}.run()
	st.must(err)
	st.expect(t, accepted)
	if t.accepted < limit {
		st.Fatalf("bench: only %d of %d logins came to an end", t.accepted, limit)
	}
	size, err := residentMB(b.PID())
	st.must(err)
	return sample{stormedRSS: size}
}

// partMicro are the benchmarks of the plugin's rooms, by `go test`.
const partMicro = "micro"

const benchmarks = "benchmarks"

// perSession is what the benchmark of plugin/session says of its registry.
const perSession metric = "BenchmarkHundredThousandSessions/admit_all, B/session"

// metricsOn and metricsRead are the CPU of a login with metrics on, and while they are read.
const (
	metricsOn   metric = "BenchmarkMetrics/on, cpu-ns/op"
	metricsRead metric = "BenchmarkMetrics/read_each_100_ms, cpu-ns/op"
)

func microName(name, unit string) metric { return metric(fmt.Sprintf("%s, %s", name, unit)) }
