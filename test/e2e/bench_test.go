package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
		slices.Sort(late)
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		b.ReportMetric(ms(late[len(late)/2]), "ms-p50")
		b.ReportMetric(ms(late[len(late)-1]), "ms-max")
		b.ReportMetric(0, "ns/op")
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
