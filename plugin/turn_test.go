package plugin

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/lifetime"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// No Tick works for longer than its loop.Turn, however much is due; and the broker is woken for the rest, once it has had a
// loop.Rest for others: neither the time of the next Tick nor a login cuts that short.
func TestATickTakesTurns(t *testing.T) {
	const clients = 1000
	h := open(t, local(``))
	for i := range clients {
		h.login(broker.Conn(i+1), fmt.Sprint("c", i), nil, h.token("alice", time.Minute))
	}
	h.broker.kickTakes = 100 * time.Microsecond
	h.advance(time.Minute)
	longest, ticks := 0, 0
	for left := clients; left > 0; ticks++ {
		before, began := left, h.clock()
		h.Tick()
		left = h.sessions.Len()
		longest = max(longest, before-left)
		if took := h.clock().Sub(began); took > loop.Turn+h.broker.kickTakes {
			t.Fatalf("a Tick took %s", took)
		}
		if before == left {
			t.Fatalf("a Tick did nothing, %d are left", left)
		}
		if left > 0 {
			if h.broker.tickIn < loop.Rest {
				t.Fatalf("the next Tick is in %s", h.broker.tickIn)
			}
			h.login(clients+1, "another", nil, h.token("bob", time.Minute))
			if h.broker.tickIn < loop.Rest {
				t.Fatalf("after a login the next Tick is in %s", h.broker.tickIn)
			}
			h.Disconnect(clients+1, false)
			<-h.broker.woken
		}
	}
	if want := int(loop.Turn/h.broker.kickTakes) + 1; longest > want {
		t.Errorf("%d were kicked in one Tick, want at most %d", longest, want)
	}
}

// A verdict that comes in a turn, and with it a session, does not cut the broker's rest short: what is due is done in the next turn.
func TestAVerdictLeavesTheBrokerItsRest(t *testing.T) {
	token := mint("alice", time.Hour)
	d := newGate(t, token)
	h := open(t, d.file(``, `"timeoutMs":60000`))
	h.broker.awaitLog(`the introspection endpoint answers as it should`) // nothing else is to come
	if got := h.login(1, "c", nil, token); got != verdict.Pending {
		t.Fatalf("got %s", got)
	}
	for i := range 100 {
		s := &session.Session{LeaveAt: h.clock()}
		connect := broker.Connect{Conn: broker.Conn(i + 2), ClientID: fmt.Sprint("d", i)}
		h.sessions.Admit(s, connect, session.Digest{})
		h.broker.connected[connect.ClientID] = connect.Conn
	}
	h.broker.kickTakes = loop.Turn / 10
	for len(h.broker.woken) > 0 {
		<-h.broker.woken
	}
	d.says(token, active)
	<-h.broker.woken
	h.Tick()
	if !slices.Equal(h.broker.completed, []string{"c true"}) || len(h.broker.kicked) == 0 || len(h.broker.kicked) == 100 {
		t.Fatalf("the broker was told %q, and %d are kicked", h.broker.completed, len(h.broker.kicked))
	}
	if h.broker.tickIn < loop.Rest {
		t.Errorf("the next Tick is in %s", h.broker.tickIn)
	}
}

// However many results come, none takes a turn from what is due, and the broker has its rest.
func TestManyResultsKeepNobody(t *testing.T) {
	const results = 100_000
	h := open(t, local(``))
	h.login(1, "c", nil, h.token("alice", time.Minute))
	done := 0
	for range results {
		h.loop.Post(func() { done++; h.advance(time.Microsecond) })
	}
	h.advance(time.Minute)
	for ticks := 0; done < results; ticks++ {
		before := done
		h.Tick()
		if len(h.broker.kicked) != 1 {
			t.Fatalf("after %d results kicked %q", done, h.broker.kicked)
		}
		if most := int(loop.Turn / time.Microsecond); done-before > most || done < results && done-before < most {
			t.Fatalf("%d results in a Tick", done-before)
		}
		if done < results {
			<-h.broker.woken
		}
	}
}

// Results, kicks and rechecks take turns: none of them waits until the others have nothing to do.
func TestEachKindOfWorkHasItsTurn(t *testing.T) {
	d := newGate(t)
	h := open(t, d.file(``, every10s+`,"check":"afterConnect"`))
	for i := range 100 {
		h.login(broker.Conn(i+1), fmt.Sprint("c", i), nil, h.token(fmt.Sprint("s", i), time.Minute))
	}
	h.login(200, "asked", nil, h.token("bob", time.Hour))
	for range 101 {
		d.waitAsked()
	}
	h.advance(time.Minute)
	results := 0
	for range 100 {
		h.loop.Post(func() { results++; h.advance(loop.Turn / 10) })
	}
	h.broker.kickTakes = loop.Turn / 10
	h.Tick()
	if results == 0 || results == 100 || len(h.broker.kicked) == 0 || len(h.broker.kicked) == 100 || h.lifetimes.Rechecking() == 0 {
		t.Errorf("%d results, %d kicked, %d asked about", results, len(h.broker.kicked), h.lifetimes.Rechecking())
	}
}

// exp is by the time of day, which may be set: it is looked at once a minute, however far away it seemed.
func TestAClockThatIsSetForwardIsNoticedWithinAMinute(t *testing.T) {
	h := open(t, local(``))
	h.login(1, "c", nil, h.token("alice", 24*time.Hour))
	if h.broker.tickIn > time.Minute {
		t.Errorf("the next Tick is in %s", h.broker.tickIn)
	}
	h.Tick()
	if h.broker.tickIn > time.Minute {
		t.Errorf("the next Tick but one is in %s", h.broker.tickIn)
	}
}

// A login asks for a Tick only if it needs one sooner than the one that is to come, since that asks for the next.
func TestALoginAsksForATickThatIsSoonerAlone(t *testing.T) {
	h := open(t, local(``))
	for n, c := range []struct {
		lifetime time.Duration
		asks     bool
	}{{time.Hour, false}, {time.Minute - time.Second, true}, {2 * time.Minute, false}, {time.Second, true}, {2 * time.Second, false}} {
		const none = -1
		h.broker.tickIn = none
		h.login(broker.Conn(n+1), fmt.Sprint("c", n), nil, h.token("alice", c.lifetime))
		if asks := h.broker.tickIn != none; asks != c.asks || (asks && h.broker.tickIn != c.lifetime) {
			t.Errorf("for a token of %s: a Tick in %s", c.lifetime, h.broker.tickIn)
		}
	}
	h.advance(time.Second)
	h.Tick()
	if want := []string{"c3 will=true"}; !slices.Equal(h.broker.kicked, want) || h.broker.tickIn != time.Second {
		t.Errorf("kicked %q, and the next Tick is in %s", h.broker.kicked, h.broker.tickIn)
	}
}

// A token that ends while it is asked about is over, whether or not clients are kicked for that.
func TestATokenThatExpiresWhilePending(t *testing.T) {
	for _, c := range []struct{ common, want string }{
		{``, "c false"},
		{`"kickExpiredClients":false`, "c false"},
		{`"kickExpiredClients":false,"leewayMs":1000`, "c true"},
		{`"validateExpiration":false`, "c true"},
	} {
		t.Run(c.common, func(t *testing.T) {
			token := mint("alice", time.Minute)
			d := newGate(t, token)
			h := open(t, d.file(c.common, `"timeoutMs":60000`))
			if got := h.login(1, "c", nil, token); got != verdict.Pending {
				t.Fatalf("got %s", got)
			}
			h.advance(time.Minute)
			d.says(token, active)
			h.completes(t, c.want)
		})
	}
}

// A client's token is shown to the endpoint alone that has admitted it.
func TestAReloadToAnotherProviderDisconnectsNobody(t *testing.T) {
	for _, c := range []struct {
		rule, common string
		lifetime     time.Duration
		kicked       int
	}{
		{"it stays until its token expires", ``, time.Hour, 0},
		{"where it never does, it leaves", `"kickExpiredClients":false`, time.Hour, 1},
	} {
		t.Run(c.rule, func(t *testing.T) {
			old, fresh := newGate(t), newGate(t)
			h := open(t, old.file(c.common, every10s))
			h.login(1, "c", nil, h.token("alice", c.lifetime))
			h.completes(t, "c true")
			old.waitAsked()
			h.write(t, fresh.file(c.common, every10s))
			h.Reload()
			h.broker.awaitLog(`reloaded`)
			h.broker.awaitLog(`notice .*1 connected clients were admitted by the introspection endpoint ` + old.url)
			h.advance(10 * time.Second)
			h.Tick()
			h.awaits(t, "questions are left", func() bool { return h.lifetimes.Rechecking() == 0 })
			if len(fresh.asked) != 0 || len(old.asked) != 0 {
				t.Errorf("the new one was asked %d times, the old one %d times", len(fresh.asked), len(old.asked))
			}
			if len(h.broker.kicked) != c.kicked {
				t.Errorf("kicked %q", h.broker.kicked)
			}
			// Who comes now is asked about at the new one.
			h.login(2, "d", nil, h.token("bob", time.Hour))
			fresh.waitAsked()
		})
	}
	t.Run("nor one that asks nobody any more", func(t *testing.T) {
		old := newGate(t)
		h := open(t, old.file(`"kickExpiredClients":false`, every10s))
		h.login(1, "c", nil, h.token("alice", time.Hour))
		h.completes(t, "c true")
		old.waitAsked()
		h.write(t, local(`"kickExpiredClients":false`))
		h.Reload()
		h.broker.awaitLog(`reloaded`)
		h.pass(10 * time.Second)
		if len(h.broker.kicked) != 1 || len(old.asked) != 0 {
			t.Errorf("kicked %q, asked %d times", h.broker.kicked, len(old.asked))
		}
	})
	t.Run("nor does it matter that its verdict came after the reload", func(t *testing.T) {
		token := mint("alice", time.Hour)
		old := newGate(t, token)
		h := open(t, old.file(`"kickExpiredClients":false`, every10s))
		h.login(1, "c", nil, token)
		h.write(t, local(`"kickExpiredClients":false`))
		h.Reload()
		h.broker.awaitLog(`reloaded`)
		old.says(token, active)
		h.completes(t, "c true")
		h.pass(10 * time.Second)
		if len(h.broker.kicked) != 1 {
			t.Errorf("kicked %q", h.broker.kicked)
		}
	})
	t.Run("and one whose endpoint stays is asked about as before", func(t *testing.T) {
		d := newGate(t)
		h := open(t, d.file(``, every10s))
		h.login(1, "c", nil, h.token("alice", time.Hour))
		h.completes(t, "c true")
		d.waitAsked()
		h.write(t, d.file(`"leewayMs":1`, every10s))
		h.Reload()
		h.broker.awaitLog(`reloaded`)
		h.advance(10 * time.Second)
		h.Tick()
		d.waitAsked()
	})
}

// SIGHUP is the way to forget good answers, and not to forget bad ones.
func TestAReloadForgetsNoBadAnswer(t *testing.T) {
	good, revoked := mint("alice", time.Hour), mint("mallory", time.Hour)
	d := newGate(t, good, revoked)
	file := d.file(``, `"check":"onRetry","cache":{"ttlMs":60000,"negativeTtlMs":60000},"timeoutMs":60000`)
	h := open(t, file)
	for token, answer := range map[*string]string{good: active, revoked: inactive} {
		h.login(1, "c", nil, token)
		d.says(token, answer)
		d.waitAsked()
		h.awaitVerdict(t, token, map[string]verdict.Kind{active: verdict.Accept, inactive: verdict.Deny}[answer])
	}
	h.Reload()
	h.broker.awaitLog(`reloaded`)
	if got := h.login(1, "c", nil, revoked); got != verdict.Deny {
		t.Errorf("the revoked one: got %s", got)
	}
	if got := h.login(2, "d", nil, good); got != verdict.Retry {
		t.Errorf("the good one, which is to be asked about again: got %s", got)
	}
}

// awaitVerdict logs in until the answer that was asked for has come.
func (h *env) awaitVerdict(t *testing.T, token *string, want verdict.Kind) {
	t.Helper()
	got := verdict.Retry
	for deadline := time.Now().Add(30 * time.Second); got == verdict.Retry && time.Now().Before(deadline); {
		got = h.login(1, "c", nil, token)
	}
	if got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// Without Ticks a kick's own Disconnect must not begin the next kick: each would be a level deeper in the broker's stack, and
// none of them would know of the time that the others have taken.
func TestWithoutTicksKicksTakeTurnsToo(t *testing.T) {
	const clients = 1000
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	for i := range clients {
		h.login(broker.Conn(i+1), fmt.Sprint("c", i), nil, h.token("alice", time.Minute))
	}
	h.ticks = loop.Ticks{}
	h.broker.kickTakes = 100 * time.Microsecond
	h.advance(time.Minute)
	for left := clients; left > 0; {
		before, began := left, h.clock()
		h.Disconnect(clients+1, false)
		left = h.sessions.Len()
		if took := h.clock().Sub(began); took > loop.Turn+h.broker.kickTakes {
			t.Fatalf("%d clients were kicked in one callback, which took %s", before-left, took)
		}
		if before == left {
			t.Fatalf("a callback did nothing, %d are left", left)
		}
	}
}

// An expired client must not be able to stay by logins that others refuse, whose ends Mosquitto 2.0 tells late over WebSockets.
func TestNobodyStaysByTryingToTakeOverItself(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	h.login(1, "c", nil, h.token("alice", time.Minute))
	h.advance(time.Minute)
	for i := range broker.Conn(2 * lifetime.MaxWaits) {
		h.BasicAuth(broker.Connect{Conn: i + 2, ClientID: "c", Username: text("u"), Password: text("a wrong password")})
		h.Tick()
		h.advance(lifetime.KickAgain)
	}
	if len(h.broker.kicked) != 1 || h.sessions.Len() != 0 {
		t.Errorf("kicked %q, %d sessions", h.broker.kicked, h.sessions.Len())
	}
}

// On Mosquitto 2.0 the end of a WebSocket that was taken over from comes late. A kick by its client id would meet who has that now.
func TestNobodyIsKickedForWhoHadTheClientIDBefore(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	h.login(1, "c", nil, h.token("alice", time.Minute))
	if got := h.BasicAuth(broker.Connect{Conn: 2, ClientID: "c", Password: h.token("bob", time.Hour)}).Kind; got != verdict.Accept {
		t.Fatalf("got %s", got)
	}
	h.broker.connected["c"] = 2 // and nothing is said of 1
	h.pass(time.Minute)
	if len(h.broker.kicked) != 0 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
	// Nor whoever has it by a password, of whom 2.0 does not say that others let it in.
	h.Disconnect(2, false)
	h.BasicAuth(broker.Connect{Conn: 3, ClientID: "c", Username: text("u"), Password: text("a password")})
	h.broker.connected["c"] = 3
	h.pass(time.Minute)
	if len(h.broker.kicked) != 0 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}
