package main

import (
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
)

func provider(t *testing.T) *idp.Provider {
	t.Helper()
	p, err := idp.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestWhatIsMeasured(t *testing.T) {
	const window = 300 * time.Millisecond
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		tokens := newTokens(p)
		for _, c := range []struct {
			scenario scenario
			attempts bool
			logins   bool
		}{
			{scenario{name: idle}, false, false},
			{scenario{name: anonymous, storm: true}, true, true},
			{scenario{name: "cold", storm: true, plugin: true}, true, true},
			{scenario{name: "cold", storm: true, plugin: true, delay: never}, true, false},
			{scenario{name: "warm", storm: true, plugin: true, warm: true, delay: never}, true, true},
		} {
			s := c.scenario
			s.version = v
			t.Run(s.title(), func(t *testing.T) {
				var r result
				if failure := measure(p, tokens, s, window, &r); failure != "" {
					t.Fatal(failure)
				}
				if gone, _ := r.count(); gone > 0 || len(r.latencies) == 0 || len(r.latencies) > int(window/pairInterval) {
					t.Errorf("%d of %d messages were lost", gone, len(r.latencies))
				}
				if (r.attempts > 0) != c.attempts || (r.logins > 0) != c.logins || r.errors > 0 {
					t.Errorf("%+v", r.tally)
				}
			})
		}
	})
}
