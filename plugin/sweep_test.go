package plugin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/verdict"
)

// asks is a BASIC_AUTH that is no CONNECT.
func (h *env) asks(c broker.Conn, id string, username, password *string) verdict.Kind {
	return h.BasicAuth(broker.Connect{Conn: c, ClientID: id, Username: username, Password: password, Address: "192.0.2.7"}).Kind
}

// versions runs a case for both kinds of broker.
func versions(t *testing.T, run func(t *testing.T, v func(*fakeBroker))) {
	t.Helper()
	t.Run("2.0", func(t *testing.T) { run(t, func(b *fakeBroker) { b.v20 = true }) })
	t.Run("2.1", func(t *testing.T) { run(t, func(*fakeBroker) {}) })
}

func TestReloadAsksNobodyAgain(t *testing.T) {
	h := open(t, local(`"matchUsernameToSubject":true`))
	password := h.token("alice", time.Minute)
	h.login(1, "c", text("x"), password)
	// The file now has another secret: judged by it, the client would lose its connection.
	h.write(t, strings.ReplaceAll(local(``), secret, strings.ToUpper(secret)))
	h.Reload()
	for _, c := range []struct {
		rule string
		got  verdict.Kind
		want verdict.Kind
	}{
		{"another username", h.asks(1, "c", text("x"), h.token("alice", -time.Minute)), verdict.Deny},
		{"another token", h.asks(1, "c", text("alice"), h.token("alice", -time.Minute)), verdict.Deny},
		{"another connection", h.asks(2, "c", text("alice"), password), verdict.Retry},
		{"the client itself", h.asks(1, "c", text("alice"), password), verdict.Accept},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, c.got, c.want)
		}
	}
	h.broker.awaitLog(`reloaded .*jwt.json`)
	if got := h.asks(1, "c", text("alice"), password); got != verdict.Deny {
		t.Errorf("after the sweep: got %s", got)
	}
}

// What the broker once let in says nothing of who comes now from that address.
func TestASweepVouchesForNobodyWhoHasLeft(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, local(``), v)
		h.broker.webSockets[1] = true // so that 2.0 can't know it
		password := h.token("alice", time.Minute)
		h.login(1, "c", nil, password)
		delete(h.broker.connected, "c")
		h.Disconnect(1, false)
		h.advance(time.Hour)
		h.Reload()
		if got := h.asks(1, "c", nil, password); got != verdict.Deny {
			t.Errorf("its token has expired: got %s", got)
		}
		if got := h.asks(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Retry || h.sessions.Len() != 0 {
			t.Errorf("a good token: got %s, %d sessions", got, h.sessions.Len())
		}
		h.Tick()
		if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Accept || h.sessions.Len() != 1 {
			t.Errorf("after the sweep: got %s", got)
		}
	})
}

func TestASweepVouchesForNobodyPastTheDeadline(t *testing.T) {
	for _, c := range []struct {
		common string
		want   verdict.Kind
	}{
		{``, verdict.Deny},
		{`"leewayMs":1000`, verdict.Accept},
		{`"kickExpiredClients":false`, verdict.Accept},
		{`"validateExpiration":false`, verdict.Accept},
	} {
		h := open(t, local(c.common))
		password := h.token("alice", time.Minute)
		h.login(1, "c", nil, password)
		h.advance(time.Minute)
		h.Reload()
		if got := h.asks(1, "c", nil, password); got != c.want {
			t.Errorf("%s: got %s, want %s", c.common, got, c.want)
		}
	}
}

// However often the broker asks again, the time that a connection may last in all begins once.
func TestASweepDoesNotProlongASession(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		t.Run("past the limit", func(t *testing.T) {
			h := open(t, local(`"maxSessionMs":60000`), v)
			password := h.token("alice", time.Hour)
			h.login(1, "c", nil, password)
			h.advance(time.Minute - 1)
			h.Reload()
			if got := h.asks(1, "c", nil, password); got != verdict.Accept {
				t.Errorf("before: got %s", got)
			}
			h.advance(1)
			h.Reload()
			if got := h.asks(1, "c", nil, password); got != verdict.Deny || !h.logged("refused: expired: it was connected for as long as $.options.common.maxSessionMs allows") {
				t.Errorf("got %s, log %q", got, h.broker.log)
			}
		})
		t.Run("let in anew", func(t *testing.T) {
			h := open(t, local(`"maxSessionMs":60000`), v)
			password := h.token("alice", 20*time.Second)
			h.login(1, "c", nil, password)
			h.write(t, local(`"maxSessionMs":60000,"validateExpiration":false`))
			h.Reload()
			h.broker.awaitLog(`reloaded .*jwt.json`)
			h.advance(20 * time.Second)
			h.Reload()
			if got := h.asks(1, "c", nil, password); got != verdict.Accept {
				t.Fatalf("got %s", got)
			}
			h.advance(40*time.Second - 1)
			h.Tick()
			if len(h.broker.kicked) > 0 {
				t.Errorf("kicked %q", h.broker.kicked)
			}
			h.advance(1)
			h.Tick()
			if len(h.broker.kicked) != 1 {
				t.Errorf("kicked %q", h.broker.kicked)
			}
		})
	})
}

// To refuse a session whose client is away makes Mosquitto 2.0 crash later on.
func TestASweepLeavesAloneWhoIsAway(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		d := newGate(t)
		h := open(t, d.file(``, `"check":"onRetry"`), v)
		h.broker.away["c"] = ""
		h.Reload()
		for _, password := range []*string{h.token("alice", time.Minute), h.token("alice", -time.Minute), text(*h.token("alice", time.Minute) + "x")} {
			if got := h.asks(7, "c", nil, password); got != verdict.Accept {
				t.Errorf("got %s", got)
			}
		}
		if got := h.asks(7, "c", text("u"), text("a password")); got != verdict.Defer {
			t.Errorf("a password: got %s", got)
		}
		if h.sessions.Len() != 0 || len(d.asked) != 0 {
			t.Errorf("%d sessions, asked %d times", h.sessions.Len(), len(d.asked))
		}
	})
}

// By a new file an opaque token is a password like any other. The session that it has opened is left alone all the same.
func TestASweepLeavesAloneWhoIsAwayWithATokenOfBefore(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, fmt.Sprintf(`{"mode":"introspection","options":{"lazyConnect":true,"common":{"kickExpiredClients":false},`+
			`"revocation":{"check":"onRetry","introspection":{"uri":%q}}}}`, newGate(t).url), v)
		opaque := text("opaque")
		h.awaitVerdict(t, opaque, verdict.Accept)
		h.leave(1, "c", true)
		h.write(t, local(``))
		h.Reload()
		h.broker.awaitLog(`reloaded .*jwt.json`)
		h.Reload()
		if got := h.asks(1, "c", nil, opaque); got != verdict.Accept {
			t.Errorf("got %s", got)
		}
		if got := h.asks(2, "d", nil, opaque); got != verdict.Defer {
			t.Errorf("somebody else: got %s", got)
		}
	})
}

// Nor are their tokens verified: a hundred thousand signatures would hold the broker for seconds.
func TestASweepVerifiesNoTokenOfWhoIsAway(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, local(`"rememberVerified":false`), v)
		h.broker.away["c"] = ""
		login := broker.Connect{Conn: 7, ClientID: "c", Password: h.token("alice", time.Minute), Address: "192.0.2.7"}
		h.Reload()
		verifying := testing.AllocsPerRun(100, func() { h.chain.FromMemory(login) })
		answering := testing.AllocsPerRun(100, func() { h.BasicAuth(login) })
		if answering > verifying/2 {
			t.Errorf("an answer takes %.0f allocations, to verify a token %.0f", answering, verifying)
		}
	})
}

// Somebody who is connected by another plugin's leave is not away, even where its password looks like a token now.
func TestASweepJudgesWhoIsConnectedByOthers(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, local(``), v)
		if got := h.login(1, "c", text("u"), text("a password")); got != verdict.Defer {
			t.Fatalf("got %s", got)
		}
		h.broker.connect("c", 1)
		h.Reload()
		if got := h.asks(1, "c", text("u"), h.token("alice", -time.Minute)); got != verdict.Deny {
			t.Errorf("got %s", got)
		}
	})
}

// Who was renamed by another plugin is judged anew, and stays.
func TestASweepJudgesAConnectedClientFromMemory(t *testing.T) {
	h := open(t, local(``))
	password := h.token("alice", time.Minute)
	h.login(1, "c", text("x"), password)
	h.Reload()
	if got := h.asks(1, "c", text("renamed"), password); got != verdict.Accept || h.sessions.Len() != 1 {
		t.Errorf("got %s", got)
	}
	h.Tick()
	h.pass(time.Minute)
	if len(h.broker.kicked) != 1 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}

// Nor is a client id changed while the broker is going through its table of them.
func TestASweepRenamesNobody(t *testing.T) {
	h := open(t, local(``))
	password := h.token("alice", time.Minute)
	h.login(1, "c", text("x"), password)
	h.write(t, local(`"matchClientIdToSubject":true`))
	h.Reload()
	h.broker.awaitLog(`reloaded .*jwt.json`)
	h.Reload()
	if got := h.asks(1, "c", text("renamed"), password); got != verdict.Retry || len(h.broker.ids) != 0 {
		t.Errorf("got %s, renamed %v", got, h.broker.ids)
	}
	h.broker.awaitLog(`put off, its next attempt will be answered: server busy: its client id is to be another`)
}

// Hundreds of thousands of sessions may be asked about in one go.
func TestASweepAsksNobody(t *testing.T) {
	for _, check := range []string{"beforeConnect", "afterConnect", "onRetry"} {
		versions(t, func(t *testing.T, v func(*fakeBroker)) {
			d := newGate(t)
			h := open(t, d.file(``, `"check":"`+check+`"`), v)
			h.broker.webSockets[1] = true
			h.Reload()
			if got := h.asks(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Retry {
				t.Errorf("%s: got %s", check, got)
			}
			h.broker.awaitLog(`put off, its next attempt will be answered: server busy: nobody is asked about it during a reload`)
			if len(d.asked) != 0 {
				t.Errorf("%s: the endpoint was asked", check)
			}
		})
	}
}

// The next Tick is behind the sweep, so Go must be told of it, and no Tick must find the sweep open.
func TestTheNextTickEndsASweep(t *testing.T) {
	h := open(t, local(``))
	for len(h.broker.woken) > 0 {
		<-h.broker.woken
	}
	h.openSweep()
	if len(h.broker.woken) == 0 {
		t.Error("no Tick was asked for")
	}
	h.Tick()
	if h.sweeping() {
		t.Error("it goes on")
	}
}

// A broker that never ticks (2.0.11 with per_listener_settings) has no other end of a sweep than a pause, and strangers do not
// prolong it.
func TestASweepEndsWithoutATick(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	password := h.token("alice", time.Minute)
	for c := range broker.Conn(10) {
		h.login(c+1, string(rune('a'+c)), nil, password)
	}
	h.ticks = loop.Ticks{}
	h.Reload()
	for c := range broker.Conn(10) {
		h.advance(sweepGap)
		if got := h.asks(c+1, string(rune('a'+c)), nil, password); got != verdict.Accept {
			t.Errorf("client %d: got %s", c, got)
		}
	}
	h.advance(sweepGap)
	if got := h.asks(90, "new", nil, password); got != verdict.Retry {
		t.Errorf("a stranger in the sweep: got %s", got)
	}
	h.advance(1)
	if got := h.login(90, "new", nil, password); got != verdict.Accept {
		t.Errorf("after it: got %s", got)
	}
}

// While the broker goes through its clients, kicking one of them would pull the list away under it.
func TestNobodyIsKickedInASweep(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	h.login(1, "c", nil, h.token("alice", time.Minute))
	h.login(2, "d", nil, h.token("bob", time.Hour))
	h.ticks = loop.Ticks{}
	h.advance(time.Minute)
	h.openSweep()
	h.Disconnect(2, false)
	if len(h.broker.kicked) != 0 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
	h.advance(sweepGap + 1)
	h.Disconnect(3, false)
	if len(h.broker.kicked) != 1 {
		t.Errorf("kicked %q after it", h.broker.kicked)
	}
}

// Clients that others let in are part of the round, however long it takes to ask about them; whoever is new is not, and keeps
// nobody from being kicked.
func TestNobodyIsKickedWhileTheBrokerGoesThroughPasswords(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	h.ticks = loop.Ticks{}
	h.ticks.Missing()
	h.login(1, "c", nil, h.token("alice", time.Minute))
	const passwords = 20
	ask := func(c broker.Conn) {
		h.advance(sweepGap - 1)
		if got := h.asks(c, fmt.Sprint("p", c), text("u"), text("a password")); got != verdict.Defer {
			t.Errorf("got %s", got)
		}
	}
	for c := range broker.Conn(passwords) {
		ask(10 + c)
		h.broker.connect(fmt.Sprint("p", 10+c), 10+c)
	}
	h.broker.subscribed[98] = true // restored after a restart, so that only the broker knows it
	h.advance(opening.Add(time.Minute - 1).Sub(h.clock()))
	h.Reload()
	for c := range broker.Conn(passwords) {
		ask(10 + c)
	}
	ask(98)
	h.Disconnect(29, false) // as others refuse it
	if len(h.broker.kicked) != 0 {
		t.Fatalf("kicked %q", h.broker.kicked)
	}
	ask(99)
	if len(h.broker.kicked) != 1 {
		t.Errorf("kicked %q when somebody new had come", h.broker.kicked)
	}
	// A pause ends it as well.
	h.login(4, "e", nil, h.token("bob", time.Second))
	h.Reload()
	ask(10)
	h.advance(time.Second)
	h.Disconnect(10, false)
	if len(h.broker.kicked) != 2 {
		t.Errorf("kicked %q after a pause", h.broker.kicked)
	}
}

// Connections that send nothing are no end of the round where no Tick tells: they must not put it off for good, either.
func TestStrangersDoNotProlongTheRoundForGood(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	h.login(1, "c", nil, h.token("alice", time.Second))
	h.ticks = loop.Ticks{}
	h.Reload()
	for passed := time.Duration(0); passed <= longestRound; passed += sweepGap / 2 {
		h.advance(sweepGap / 2)
		h.Disconnect(90, false)
	}
	if len(h.broker.kicked) != 1 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}
