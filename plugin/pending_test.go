package plugin

import (
	"slices"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/verdict"
)

// completes ticks whenever it is woken until the broker has been told so many verdicts, and compares them.
func (h *env) completes(t *testing.T, want ...string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for len(h.broker.completed) < len(want) {
		select {
		case <-h.broker.woken:
			h.Tick()
		case <-deadline:
			t.Fatalf("the broker was told %q, want %q", h.broker.completed, want)
		}
	}
	if !slices.Equal(h.broker.completed, want) {
		t.Errorf("the broker was told %q, want %q", h.broker.completed, want)
	}
}

// drop ends the connection of the pending client "c": the broker forgets it and calls nobody.
func (h *env) drop() { delete(h.broker.delayed, "c") }

func TestAVerdictThatHasToWait(t *testing.T) {
	for _, c := range []struct {
		rule, answer, want string
		kept               int
	}{
		{"an active token is admitted", active, "c true", 1},
		{"an inactive one is not", inactive, "c false", 0},
		{"nor one about which nothing is learnt", broken, "c false", 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			token := mint("alice", time.Minute)
			d := newGate(t, token)
			h := open(t, d.file(`"matchUsernameToSubject":true`, `"timeoutMs":60000`))
			if got := h.login(1, "c", text("x"), token); got != verdict.Pending {
				t.Fatalf("got %s", got)
			}
			if got := h.broker.names[1]; got != "alice" {
				t.Errorf("its username is %q before the verdict", got)
			}
			if h.sessions.Len() != 0 || len(h.broker.completed) != 0 {
				t.Errorf("%d sessions and verdicts %q before the answer", h.sessions.Len(), h.broker.completed)
			}
			d.says(token, c.answer)
			h.completes(t, c.want)
			if got := h.sessions.Len(); got != c.kept {
				t.Errorf("%d sessions", got)
			}
		})
	}
}

// The bypass that a client id opens: the verdict on a login that has dropped must not be given on the next one by its id.
func TestAStaleVerdictAdmitsNobody(t *testing.T) {
	good, bad := mint("alice", time.Minute), mint("mallory", time.Minute)
	for _, c := range []struct {
		rule string
		next func(h *env) (client broker.Conn, id string)
	}{
		{"the same id from another address", func(*env) (broker.Conn, string) { return 2, "c" }},
		{"the same id from the same address", func(*env) (broker.Conn, string) { return 1, "c" }},
		{"another id from the same address", func(*env) (broker.Conn, string) { return 1, "d" }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := newGate(t, good, bad)
			h := open(t, d.file(``, `"timeoutMs":60000`))
			h.login(1, "c", nil, good)
			h.drop()
			client, id := c.next(h)
			if got := h.login(client, id, nil, bad); got != verdict.Pending {
				t.Fatalf("got %s", got)
			}
			d.says(good, active)
			h.broker.awaitLog(`left before its verdict \(accept\)`)
			d.says(bad, inactive)
			h.completes(t, id+" false")
			if h.sessions.Len() != 0 {
				t.Error("a session was recorded")
			}
		})
	}
}

// The broker has one table of pending logins for all listeners, so that a verdict of one instance could meet the client
// of another.
func TestAStaleVerdictOfAnotherInstanceAdmitsNobody(t *testing.T) {
	good, bad := mint("alice", time.Minute), mint("mallory", time.Minute)
	d := newGate(t, good, bad)
	one := open(t, d.file(``, `"timeoutMs":60000`))
	two := open(t, d.file(``, `"timeoutMs":60000`))
	two.Plugin.table = one.Plugin.table
	one.login(1, "c", nil, good)
	one.drop()
	if got := two.login(2, "c", nil, bad); got != verdict.Pending {
		t.Fatalf("got %s", got)
	}
	d.says(good, active)
	one.broker.awaitLog(`left before its verdict \(accept\)`)
	one.completes(t)
	d.says(bad, inactive)
	two.completes(t, "c false")
}

// A password login by the id of one that has dropped is the next plugin's affair; it ends the attempt all the same.
func TestALoginThatIsLeftToOthersEndsTheAttempt(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(``, `"timeoutMs":60000`))
	h.login(1, "c", nil, token)
	h.drop()
	if got := h.login(2, "c", text("u"), text("a password")); got != verdict.Defer {
		t.Fatalf("got %s", got)
	}
	d.says(token, active)
	h.broker.awaitLog(`left before its verdict`)
	h.completes(t)
}

func TestTwoPendingLoginsNeverShareAClientID(t *testing.T) {
	one, two := mint("alice", time.Minute), mint("alice", time.Hour)
	d := newGate(t, one, two)
	h := open(t, d.file(`"matchClientIdToSubject":true`, `"timeoutMs":60000`))
	if got := h.login(1, "c1", nil, one); got != verdict.Pending {
		t.Fatalf("the first: got %s", got)
	}
	if got := h.login(2, "c2", nil, two); got != verdict.Retry {
		t.Errorf("the second: got %s", got)
	}
	if id, renamed := h.broker.ids[2]; renamed {
		t.Errorf("the second was renamed to %s", id)
	}
	d.says(one, active)
	h.completes(t, "alice true")
	if got := h.broker.connected["alice"]; got != 1 {
		t.Errorf("alice is client %d", got)
	}
	if got := h.login(2, "c2", nil, two); got != verdict.Pending {
		t.Errorf("the second, coming again: got %s", got)
	}
	d.says(two, active)
	h.completes(t, "alice true", "alice true")
}

func TestAClientThatDropsWhilePendingHasNoSession(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(``, `"timeoutMs":60000`))
	h.login(1, "c", nil, token)
	h.drop()
	d.says(token, active)
	h.completes(t, "c true") // without effect
	h.broker.awaitLog(`had left when it was accepted`)
	if h.sessions.Len() != 0 {
		t.Error("a session was recorded")
	}
	// Its address and its id are now another's, whom no expiry of that token concerns.
	h.broker.connected["c"] = 1
	h.pass(time.Hour)
	if len(h.broker.kicked) != 0 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}

// By another way than this plugin, such as a certificate.
func TestAVerdictIsNotGivenToOneWhoIsConnected(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(``, `"timeoutMs":60000`))
	h.login(1, "c", nil, token)
	h.drop()
	h.broker.connected["c"] = 1
	d.says(token, inactive)
	h.broker.awaitLog(`left before its verdict`)
	h.completes(t)
	if h.sessions.Len() != 0 {
		t.Error("a session was recorded")
	}
}

// The broker closes a second CONNECT by an id that is pending without asking, and reports its end.
func TestTheEndOfAnotherConnectionByTheSameIDChangesNothing(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(``, `"timeoutMs":60000`))
	h.login(1, "c", nil, token)
	h.Disconnect(2, false)
	d.says(token, active)
	h.completes(t, "c true")
	if h.sessions.Len() != 1 {
		t.Errorf("%d sessions", h.sessions.Len())
	}
}

// A takeover that is pending while the broker asks, after SIGHUP, for the client it is to take over.
func TestReloadWithALoginPending(t *testing.T) {
	old, fresh := mint("alice", time.Minute), mint("alice", time.Hour)
	d := newGate(t, fresh)
	for _, sweep := range []struct {
		rule     string
		password *string
		want     verdict.Kind
	}{
		{"a client of this plugin's", old, verdict.Accept},
		{"a client of the next plugin's", text("a password"), verdict.Defer},
	} {
		t.Run(sweep.rule, func(t *testing.T) {
			h := open(t, d.file(``, `"timeoutMs":60000`))
			if h.login(1, "c", nil, sweep.password) == verdict.Pending {
				h.completes(t, "c true")
			} else {
				h.broker.connected["c"] = 1
			}
			h.broker.completed = nil
			if got := h.login(2, "c", nil, fresh); got != verdict.Pending {
				t.Fatalf("got %s", got)
			}
			// The new file would refuse the pending one; it began under the old.
			h.write(t, local(`"issuer":"https://other.example"`))
			h.Reload()
			if got := h.BasicAuth(broker.Connect{Conn: 1, ClientID: "c", Password: sweep.password}).Kind; got != sweep.want {
				t.Errorf("the connected one: got %s", got)
			}
			h.broker.awaitLog(`reloaded .*issuer https://other.example`)
			d.says(fresh, active)
			h.completes(t, "c true")
			if got := h.broker.connected["c"]; got != 2 {
				t.Errorf("c is client %d", got)
			}
		})
	}
}

func TestShutdownWithLoginsPending(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(``, `"timeoutMs":60000`))
	h.login(1, "c", nil, token)
	d.waitAsked()
	h.Close()
	h.Disconnect(1, false)
	h.completes(t)
}

func TestATokenThatExpiresWhilePendingIsRefused(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(``, `"timeoutMs":60000`))
	h.login(1, "c", nil, token)
	h.advance(time.Minute)
	d.says(token, active)
	h.completes(t, "c false")
	h.broker.awaitLog(`refused: expired: exp is .*, which passed while the identity provider was asked`)
}

func TestABrokerThatCanNotRenameAPendingClient(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(`"matchUsernameToSubject":true`, `"timeoutMs":60000`), func(b *fakeBroker) { b.refuse = broker.ErrNotConnected })
	if got := h.login(1, "c", nil, token); got != verdict.Deny {
		t.Errorf("got %s", got)
	}
	h.broker.awaitLog(`refused: internal error: the broker did not take the username "alice"`)
}

// On 2.0 the callback itself waits.
func TestWithoutDelayedVerdictsTheLoginWaits(t *testing.T) {
	good, bad := mint("alice", time.Minute), mint("mallory", time.Minute)
	d := newGate(t, good, bad)
	h := open(t, d.file(``, `"timeoutMs":60000`), func(b *fakeBroker) { b.v20 = true })
	d.says(good, active)
	d.says(bad, inactive)
	if got := h.login(1, "c", nil, good); got != verdict.Accept || h.sessions.Len() != 1 {
		t.Errorf("got %s", got)
	}
	if got := h.login(2, "d", nil, bad); got != verdict.Deny {
		t.Errorf("got %s", got)
	}
}
