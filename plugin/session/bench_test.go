package session_test

import (
	"fmt"
	"runtime"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/session"
)

const crowd = 100_000

// crowded is a Registry of many sessions, with deadlines in no order.
func crowded(credentials []broker.Connect) *session.Registry {
	r := session.NewRegistry()
	for i := range crowd {
		admit(r, broker.Conn(i), credentials[i], "sha256:000000000000", at(i*7919%crowd))
	}
	return r
}

func credentials() []broker.Connect {
	all := make([]broker.Connect, crowd)
	for i := range all {
		all[i] = as(fmt.Sprintf("client-%06d", i))
		*all[i].Password = fmt.Sprintf("%0800d", i) // as long as a token
	}
	return all
}

func BenchmarkHundredThousandSessions(b *testing.B) {
	all := credentials()
	perSession := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/crowd, "ns/session")
	}
	b.Run("admit all", func(b *testing.B) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var registry *session.Registry
		for b.Loop() {
			registry = crowded(all)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(registry.Len()), "B/session")
		perSession(b)
	})
	b.Run("one comes and one leaves", func(b *testing.B) {
		registry := crowded(all)
		for i := 0; b.Loop(); i++ {
			admit(registry, crowd, all[i%crowd], "", at(i%crowd))
			registry.Leave(crowd)
		}
	})
	b.Run("nothing is due", func(b *testing.B) {
		registry := crowded(all)
		for b.Loop() {
			if registry.Due(at(-1)) != nil || registry.NextDeadline().IsZero() {
				b.Fatal("somebody is due")
			}
		}
	})
	b.Run("all expire at once", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			registry := crowded(all)
			b.StartTimer()
			for s := registry.Due(at(crowd)); s != nil; s = registry.Due(at(crowd)) {
				registry.Leave(s.Conn)
			}
		}
		perSession(b)
	})
	b.Run("reload asks for all", func(b *testing.B) {
		registry := crowded(all)
		for b.Loop() {
			registry.OpenSweep()
			for i := range crowd {
				if !registry.Reaffirm(by(broker.Conn(i), all[i]), at(-1)) {
					b.Fatal("not reaffirmed")
				}
			}
			registry.CloseSweep()
		}
		perSession(b)
	})
}
