package plugin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/verdict"
)

// awaits ticks whenever it is woken until done.
func (h *env) awaits(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !done() {
		select {
		case <-h.broker.woken:
			h.Tick()
		case <-deadline:
			t.Fatalf("%s; the log ends\n%s", what, strings.Join(h.broker.log[max(0, len(h.broker.log)-20):], "\n"))
		}
	}
}

func (h *env) logged(part string) bool {
	return slices.ContainsFunc(h.broker.log, func(line string) bool { return strings.Contains(line, part) })
}

const afterConnect = `"check":"afterConnect","timeoutMs":60000`

func TestAClientIsAskedAboutAfterItWasAdmitted(t *testing.T) {
	for _, c := range []struct {
		rule, answer, onUnavailable string
		kicked                      []string
		log                         string
	}{
		{"active", active, "deny", nil, ""},
		{"inactive", inactive, "deny", []string{"c will=false"}, `disconnected: revoked: `},
		{"no answer", broken, "deny", []string{"c will=false"}, `disconnected: provider unavailable: `},
		{"no answer, which is allowed", broken, "allow", nil, `stays without having been asked about ($.options.revocation.onUnavailable): provider unavailable: `},
	} {
		t.Run(c.rule, func(t *testing.T) {
			token, other := mint("alice", time.Minute), mint("bob", time.Minute)
			d := newGate(t, token, other)
			h := open(t, d.file(`"kickExpiredClientsWithWill":false`, afterConnect+`,"onUnavailable":"`+c.onUnavailable+`"`))
			if got := h.login(1, "c", nil, token); got != verdict.Accept {
				t.Fatalf("got %s", got)
			}
			if d.waitAsked() != *token || h.sessions.Len() != 1 {
				t.Errorf("%d sessions while the endpoint is asked", h.sessions.Len())
			}
			d.says(token, c.answer)
			switch {
			case c.kicked != nil:
				h.awaits(t, "not kicked", func() bool { return len(h.broker.kicked) > 0 })
			case c.log != "":
				h.broker.awaitLog("stays without")
			default: // the next question shows that the first was answered
				h.login(2, "d", nil, other)
				d.says(other, inactive)
				h.awaits(t, "not kicked", func() bool { return len(h.broker.kicked) > 0 })
				c.kicked = []string{"d will=false"}
			}
			if !slices.Equal(h.broker.kicked, c.kicked) || !h.logged(c.log) {
				t.Errorf("kicked %q, want %q and %q in\n%s", h.broker.kicked, c.kicked, c.log, strings.Join(h.broker.log, "\n"))
			}
		})
	}
}

// The answer about a client that has left must not hit the next one by its id.
func TestALateAnswerDisconnectsNobodyElse(t *testing.T) {
	old, fresh, other := mint("alice", time.Minute), mint("alice", time.Hour), mint("bob", time.Hour)
	d := newGate(t, old, other)
	h := open(t, d.file(``, afterConnect))
	h.login(1, "c", nil, old)
	d.waitAsked()
	h.login(2, "c", nil, fresh)
	d.says(old, inactive)
	h.login(3, "last", nil, other)
	d.says(other, inactive)
	h.awaits(t, "the last was not kicked", func() bool { return len(h.broker.kicked) > 0 })
	if want := []string{"last will=true"}; !slices.Equal(h.broker.kicked, want) || h.broker.connected["c"] != 2 {
		t.Errorf("kicked %q, want %q", h.broker.kicked, want)
	}
}

func TestOnRetryTheNextAttemptIsAnswered(t *testing.T) {
	for _, v20 := range []bool{true, false} {
		for _, c := range []struct {
			answer, onUnavailable string
			want                  verdict.Kind
		}{
			{active, "deny", verdict.Accept},
			{inactive, "deny", verdict.Deny},
			{broken, "deny", verdict.Deny},
			{broken, "allow", verdict.Accept},
		} {
			t.Run(fmt.Sprintf("2.0: %t, %s, %s", v20, c.answer, c.onUnavailable), func(t *testing.T) {
				token := mint("alice", time.Minute)
				d := newGate(t, token)
				h := open(t, d.file(``, `"check":"onRetry","timeoutMs":60000,"onUnavailable":"`+c.onUnavailable+`"`),
					func(b *fakeBroker) { b.v20 = v20 })
				for range 3 { // the first, and some that come while the endpoint is being asked
					if got := h.login(1, "c", nil, token); got != verdict.Retry {
						t.Fatalf("got %s", got)
					}
				}
				h.broker.awaitLog(`put off, its next attempt will be answered: provider unavailable: it is being asked`)
				d.says(token, c.answer)
				got := verdict.Retry
				for deadline := time.Now().Add(30 * time.Second); got == verdict.Retry && time.Now().Before(deadline); {
					got = h.login(1, "c", nil, token)
				}
				if got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				d.waitAsked()
				if len(d.asked) != 0 {
					t.Errorf("asked %d times more", len(d.asked))
				}
			})
		}
	}
}

const every10s = `"recheckIntervalMs":10000,"timeoutMs":60000`

// Clients that came together are asked about once an interval each, and not together.
func TestConnectedClientsAreAskedAboutAgain(t *testing.T) {
	const clients, steps = 200, 20
	d := newGate(t)
	h := open(t, d.file(``, every10s+`,"cache":{"ttlMs":86400000}`))
	for i := range clients {
		h.login(broker.Conn(i+1), fmt.Sprint("c", i), nil, h.token(fmt.Sprint("s", i), time.Hour))
	}
	h.completesAll(t, clients)
	for range clients {
		d.waitAsked()
	}
	for round := range 2 {
		asked := map[string]int{}
		for step := range steps {
			h.advance(10 * time.Second / steps)
			h.Tick()
			h.awaits(t, "questions are left", func() bool {
				return h.lifetimes.Rechecking() == 0 && (h.lifetimes.NextRecheck().IsZero() || h.lifetimes.NextRecheck().After(h.clock()))
			})
			burst := len(d.asked)
			for range burst {
				asked[<-d.asked]++
			}
			if burst > clients/4 {
				t.Errorf("round %d, step %d: %d of %d are asked about at once", round, step, burst, clients)
			}
		}
		if len(asked) != clients {
			t.Errorf("round %d: %d clients were asked about", round, len(asked))
		}
		for _, n := range asked {
			if n != 1 {
				t.Errorf("round %d: one was asked about %d times", round, n)
			}
		}
	}
	if len(h.broker.kicked) != 0 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}

func (h *env) completesAll(t *testing.T, n int) {
	t.Helper()
	h.awaits(t, "not all verdicts came", func() bool { return len(h.broker.completed) == n })
}

func TestAClientThatBecameInactiveIsDisconnected(t *testing.T) {
	token, other := mint("alice", time.Hour), mint("bob", time.Hour)
	d := newGate(t, token, other)
	h := open(t, d.file(`"kickExpiredClientsWithWill":false`, every10s))
	d.says(token, active)
	h.login(1, "c", nil, token)
	h.completes(t, "c true")
	again := func(answer string) {
		t.Helper()
		d.says(token, answer)
		h.advance(10 * time.Second)
		h.Tick()
		d.waitAsked()
	}
	d.waitAsked()
	// No answer disconnects nobody, and it is asked again.
	again(broken)
	h.broker.awaitLog(`"c" stays, though nothing was learnt about it: provider unavailable`)
	again(active)
	h.awaits(t, "no end of the question", func() bool { return h.lifetimes.Rechecking() == 0 })
	again(inactive)
	h.awaits(t, "not kicked", func() bool { return len(h.broker.kicked) > 0 })
	if want := []string{"c will=false"}; !slices.Equal(h.broker.kicked, want) || !h.logged(`client "c" disconnected: revoked: `) {
		t.Errorf("kicked %q, want %q", h.broker.kicked, want)
	}
	// Who has left is not asked about.
	h.advance(time.Minute)
	h.Tick()
	if len(d.asked) != 0 {
		t.Error("a client that has left was asked about")
	}
}

// A token is kept only for as long as it is asked about.
func TestATokenThatIsNotAskedAboutIsNotKept(t *testing.T) {
	token := mint("alice", time.Hour)
	d := newGate(t, token)
	h := open(t, d.file(``, every10s))
	d.says(token, active)
	h.login(1, "c", nil, token)
	h.completes(t, "c true")
	if asked := h.sessions.Of(1).Asked; asked == nil || asked.Bearer.Reveal() != *token {
		t.Fatalf("asked about %+v", asked)
	}
	h.write(t, d.file(``, `"timeoutMs":60000`))
	h.Reload()
	h.broker.awaitLog(`reloaded`)
	h.advance(10 * time.Second)
	h.Tick()
	if s := h.sessions.Of(1); s == nil || s.Asked != nil {
		t.Errorf("it is kept in %+v", s)
	}
}

// What is asked while a reload comes is still answered: else whoever was revoked would stay for another interval.
func TestAReloadCutsNoQuestionShort(t *testing.T) {
	token := mint("alice", time.Hour)
	d := newGate(t, token)
	h := open(t, d.file(``, every10s))
	d.says(token, active)
	h.login(1, "c", nil, token)
	h.completes(t, "c true")
	d.waitAsked()
	h.advance(10 * time.Second)
	h.Tick()
	d.waitAsked()
	h.Reload()
	h.broker.awaitLog(`reloaded`)
	d.says(token, inactive)
	h.awaits(t, "not kicked", func() bool { return len(h.broker.kicked) > 0 })
	if h.logged("nothing was learnt") {
		t.Error("the question was cut short")
	}
}
