package session_test

import (
	"fmt"
	"runtime"
	"testing"

	"go-jwt-auth/plugin/session"
)

const crowd = 100_000

// crowded is a Book of many sessions, with deadlines in no order.
func crowded(credentials []session.Credentials) *session.Book {
	b := session.NewBook()
	for i := range crowd {
		admit(b, session.Client(i), credentials[i], "sha256:000000000000", at(i*7919%crowd))
	}
	return b
}

func credentials() []session.Credentials {
	all := make([]session.Credentials, crowd)
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
		var book *session.Book
		for b.Loop() {
			book = crowded(all)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(book.Len()), "B/session")
		perSession(b)
	})
	b.Run("one comes and one leaves", func(b *testing.B) {
		book := crowded(all)
		for i := 0; b.Loop(); i++ {
			admit(book, crowd, all[i%crowd], "", at(i%crowd))
			book.Leave(crowd)
		}
	})
	b.Run("nothing is due", func(b *testing.B) {
		book := crowded(all)
		for b.Loop() {
			if book.Due(at(-1)) != nil || book.NextDeadline().IsZero() {
				b.Fatal("somebody is due")
			}
		}
	})
	b.Run("all expire at once", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			book := crowded(all)
			b.StartTimer()
			for s := book.Due(at(crowd)); s != nil; s = book.Due(at(crowd)) {
				book.Leave(s.Client)
			}
		}
		perSession(b)
	})
	b.Run("reload asks for all", func(b *testing.B) {
		book := crowded(all)
		for b.Loop() {
			book.OpenSweep()
			for i := range crowd {
				if !book.Vouch(session.Client(i), all[i], at(0)) {
					b.Fatal("not vouched for")
				}
			}
			book.CloseSweep()
		}
		perSession(b)
	})
}
