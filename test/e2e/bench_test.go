package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// everyBroker runs a benchmark on each version that is there.
func everyBroker(b *testing.B, run func(b *testing.B, v brokers.Version)) {
	b.Helper()
	for _, v := range brokers.All() {
		if v.Missing() {
			b.Fatalf("Mosquitto %s is missing; `make brokers` fetches it", v)
		}
		b.Run(v.Name, func(b *testing.B) { run(b, v) })
	}
}

// BenchmarkKick tells how long after exp an expired client is disconnected: it must be 250 ms at most.
func BenchmarkKick(b *testing.B) {
	everyBroker(b, func(b *testing.B, v brokers.Version) {
		p := provider(b)
		broker := start(b, v, config(b, p))
		const clients = 20
		var late []time.Duration
		for b.Loop() {
			token := p.Token("sensor-1", 1200*time.Millisecond)
			expires := expiryOf(b, token)
			var all []*harness.Client
			for i := range clients {
				all = append(all, harness.Connect(b, broker.URL(0), harness.Paho5, login(fmt.Sprint("c", i), token)).Accepted())
			}
			for _, c := range all {
				late = append(late, c.WaitDisconnect().At.Sub(expires))
			}
		}
		report(b, late)
	})
}

// BenchmarkLogin compares a login by token, checked by signature alone and with introspection, to an anonymous one. The
// three take turns within one run, so that they meet the same machine.
func BenchmarkLogin(b *testing.B) {
	everyBroker(b, func(b *testing.B, v brokers.Version) {
		p := provider(b)
		cases := []struct {
			name  string
			url   string
			spent time.Duration
		}{
			{name: "anonymous", url: harness.Start(b, v, harness.Options{AllowAnonymous: true}).URL(0)},
			{name: "token", url: start(b, v, config(b, p, object{"options.revocation": nil})).URL(0)},
			{name: "introspected", url: start(b, v, config(b, p)).URL(0)},
		}
		l := login("c", p.Token("sensor-1", time.Hour))
		logins := 0
		for b.Loop() {
			logins++
			for i := range cases {
				began := time.Now()
				if got, err := harness.Knock(cases[i].url, harness.V311, l); err != nil || !got.Accepted() {
					b.Fatalf("%s: CONNECT was %v (%v)", cases[i].name, got, err)
				}
				cases[i].spent += time.Since(began)
			}
		}
		for _, c := range cases {
			b.ReportMetric(float64(c.spent.Microseconds())/float64(logins), "µs-"+c.name)
		}
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkPendingLogin tells what a login costs beyond the time that the endpoint takes, where the verdict comes later
// (2.1): it must be 5 ms at most.
func BenchmarkPendingLogin(b *testing.B) {
	const delay = 20 * time.Millisecond
	everyBroker(b, func(b *testing.B, v brokers.Version) {
		if !v.AtLeast(2, 1) {
			b.Skip("Mosquitto 2.0 has no delayed authentication")
		}
		p, err := idp.Start()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = p.Close() })
		broker := start(b, v, config(b, p, object{"options.modes.jwks.cache.ttlMs": 600_000}))
		p.SetAnswer(idp.Introspect, &idp.Answer{Body: `{"active":true}`})
		p.SetDelay(idp.Introspect, delay)
		l := login("c", p.Token("sensor-1", time.Hour))
		var more []time.Duration
		for b.Loop() {
			began := time.Now()
			if got, err := harness.Knock(broker.URL(0), harness.V5, l); err != nil || !got.Accepted() {
				b.Fatalf("CONNECT was %v (%v)", got, err)
			}
			more = append(more, time.Since(began)-delay)
		}
		report(b, more)
	})
}

// BenchmarkFoundInactive tells how long after the endpoint's answer a client is disconnected that was admitted before it: it
// must be 100 ms at most.
func BenchmarkFoundInactive(b *testing.B) {
	const delay = 50 * time.Millisecond
	everyBroker(b, func(b *testing.B, v brokers.Version) {
		p, err := idp.Start()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = p.Close() })
		broker := start(b, v, config(b, p, object{
			"options.revocation.check": "afterConnect", "options.modes.jwks.cache.ttlMs": 600_000,
		}))
		p.SetAnswer(idp.Introspect, &idp.Answer{Body: `{"active":false}`})
		p.SetDelay(idp.Introspect, delay)
		l := login("c", p.Token("sensor-1", time.Hour))
		var late []time.Duration
		for b.Loop() {
			began := time.Now()
			c := harness.Connect(b, broker.URL(0), harness.Paho5, l).Accepted()
			late = append(late, c.WaitDisconnect().At.Sub(began)-delay)
		}
		report(b, late)
	})
}

// report reports the median and the longest of some times, in ms.
func report(b *testing.B, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(all[len(all)/2]), "ms-p50")
	b.ReportMetric(ms(all[len(all)*99/100]), "ms-p99")
	b.ReportMetric(ms(all[len(all)-1]), "ms-max")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAllLeaveAtOnce tells how long a bystander waits for the answer to its ping while thousands of clients are
// disconnected whose tokens end in one second, and how long it takes until all are gone: the first is a matter of a few
// ms a Tick.
func BenchmarkAllLeaveAtOnce(b *testing.B) {
	const clients = 9000
	manyFiles(b, clients)
	everyBroker(b, func(b *testing.B, v brokers.Version) {
		p := provider(b)
		broker := start(b, v, config(b, p, object{"options.revocation": nil, "options.modes.jwks.cache.ttlMs": 600_000}))
		broker.RaiseFileLimit(clients + 1000)
		longest, took, left := time.Duration(0), time.Duration(0), 0
		for b.Loop() {
			token := p.Token("sensor-1", 20*time.Second)
			all := gather(b, broker, token, clients)
			ends := expiryOf(b, token)
			time.Sleep(time.Until(ends.Add(-time.Second))) // what the logins do to the bystander is another matter
			s := watch(b, broker)
			for _, r := range all {
				d, err := r.WaitDisconnect()
				if err != nil {
					b.Fatal(err)
				}
				took = max(took, d.At.Sub(ends))
				r.Close()
			}
			longest = max(longest, slices.Max(s.ended(b)))
			left += len(all)
		}
		b.ReportMetric(float64(longest)/float64(time.Millisecond), "ms-longest-wait")
		b.ReportMetric(float64(took)/float64(time.Millisecond), "ms-until-all-gone")
		b.ReportMetric(float64(left)/float64(b.N), "clients")
		b.ReportMetric(0, "ns/op")
	})
}
