package plugin

import (
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/verdict"
)

// leave ends a connection; kept: the broker keeps its session.
func (h *env) leave(c broker.Conn, id string, kept bool) {
	if h.broker.connected[id] == c {
		delete(h.broker.connected, id)
		if kept {
			h.broker.away[id] = h.broker.names[c]
		}
	}
	h.Disconnect(c, kept)
}

// A client that is in without a BASIC_AUTH came past this plugin: that is said once.
func TestAClientThatNobodyAskedAboutIsNamed(t *testing.T) {
	const said = `warning go_jwt_auth: client "b" is in, and this plugin was not asked`
	h := open(t, local(``))
	h.login(1, "a", nil, h.token("alice", time.Hour))
	h.leave(1, "a", false)
	h.login(2, "a", text("u"), text("a password"))
	h.broker.connect("a", 2)
	h.login(3, "c", nil, h.token("alice", -time.Hour))
	h.Disconnect(3, false)
	if len(h.bypass.clients) != 0 || h.logged("was not asked") {
		t.Errorf("%d are remembered; log %q", len(h.bypass.clients), h.broker.log)
	}
	h.broker.connect("b", 3)
	h.broker.connect("d", 4)
	if !h.logged(said) || h.logged(`client "d" is in`) {
		t.Errorf("log %q", h.broker.log)
	}
	h.login(5, "e", nil, h.token("alice", time.Hour))
	if len(h.bypass.clients) != 0 {
		t.Error("it goes on remembering")
	}
}

// use_username_as_clientid makes the claimed username the client id: a login must not come by somebody else's session so.
func TestAClaimedClientIDTakesOverItsOwnersSessionAlone(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		for _, c := range []struct {
			rule   string
			before func(h *env)
			who    string
			want   verdict.Kind
		}{
			{"nobody holds it", func(*env) {}, "mallory", verdict.Accept},
			{"another subject does", func(h *env) { h.login(1, "id", text("id"), h.token("alice", time.Hour)) }, "mallory", verdict.Deny},
			{"the same subject does", func(h *env) { h.login(1, "id", text("id"), h.token("alice", time.Hour)) }, "alice", verdict.Accept},
			{"a client with a password does", func(h *env) {
				h.login(1, "id", text("id"), text("a password"))
				h.broker.connect("id", 1)
			}, "mallory", verdict.Deny},
			{"one with a password, who came while the broker was asking for everybody", func(h *env) {
				h.Reload()
				h.broker.webSockets = map[broker.Conn]bool{1: true} // on 2.0 nobody else can come then
				h.login(1, "id", text("id"), text("a password"))
				h.broker.connect("id", 1)
				h.Tick()
			}, "mallory", verdict.Deny},
			{"one with a password that was refused", func(h *env) {
				h.login(1, "id", text("id"), text("a password"))
				h.leave(1, "id", false)
			}, "mallory", verdict.Accept},
			{"one with a password and a session to be kept that was refused", func(h *env) {
				h.login(1, "id", text("id"), text("a password"))
				h.Disconnect(1, true)
			}, "mallory", verdict.Accept},
			{"a password that is refused does not hide the holder", func(h *env) {
				h.login(1, "id", text("id"), h.token("alice", time.Hour))
				h.login(3, "id", text("id"), text("a password"))
				h.leave(3, "id", false)
			}, "mallory", verdict.Deny},
			{"another subject that has left", func(h *env) {
				h.login(1, "id", text("id"), h.token("alice", time.Hour))
				h.leave(1, "id", false)
			}, "mallory", verdict.Accept},
			{"another subject that is away", func(h *env) {
				h.login(1, "id", text("id"), h.token("alice", time.Hour))
				h.leave(1, "id", true)
			}, "mallory", verdict.Deny},
			{"the same subject that is away", func(h *env) {
				h.login(1, "id", text("id"), h.token("alice", time.Hour))
				h.leave(1, "id", true)
			}, "alice", verdict.Accept},
			{"nobody is barred for good", func(h *env) {
				h.login(1, "id", text("id"), h.token("alice", time.Hour))
				h.leave(1, "id", true)
				delete(h.broker.away, "id")
				h.advance(24 * time.Hour)
			}, "mallory", verdict.Accept},
			{"after a takeover by its owner", func(h *env) {
				h.login(1, "id", text("id"), h.token("alice", time.Hour))
				h.login(3, "id", text("id"), h.token("alice", time.Hour))
			}, "mallory", verdict.Deny},
		} {
			t.Run(c.rule, func(t *testing.T) {
				h := open(t, local(`"matchUsernameToSubject":true`), v)
				c.before(h)
				if got := h.login(2, "id", text("id"), h.token(c.who, time.Minute)); got != c.want {
					t.Fatalf("got %s, want %s", got, c.want)
				}
				if c.want == verdict.Deny {
					h.broker.awaitLog(`client "id" \[192.0.2.7\] refused: client id taken: under the client id "id" lives the session of another subject`)
				}
			})
		}
	})
}

// A session from before the file named its issuer is still whose it was. One of an issuer that was checked is not that of who says so
// where nobody checks: the file of another plugin line may have checked it.
func TestAClaimedClientIDAfterTheFileNamesItsIssuer(t *testing.T) {
	file := func(common string) string { return strings.Replace(local(common), secret, secret+"a", 1) }
	without, with := file(`"matchUsernameToSubject":true`), file(`"matchUsernameToSubject":true,"issuer":"https://a"`)
	for _, c := range []struct {
		rule, before, after, who string
		away                     bool
		want                     verdict.Kind
	}{
		{"it names it now", without, with, "alice", false, verdict.Accept},
		{"it names it now, and the client is away", without, with, "alice", true, verdict.Accept},
		{"it names it now: another subject", without, with, "mallory", false, verdict.Deny},
		{"it names none any more", with, without, "alice", false, verdict.Deny},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, c.before)
			h.login(1, "id", text("id"), tokenOf("a", "alice", time.Hour))
			if c.away {
				h.leave(1, "id", true)
			}
			h.write(t, c.after)
			h.reloads(t)
			h.Tick()
			if got := h.login(2, "id", text("id"), tokenOf("a", c.who, time.Hour)); got != c.want {
				t.Errorf("got %s, want %s; log %q", got, c.want, h.broker.log)
			}
		})
	}
}

// A client id that was chosen by the client alone is MQTT's affair, as ever.
func TestAChosenClientIDTakesOver(t *testing.T) {
	h := open(t, local(`"matchUsernameToSubject":true`))
	h.login(1, "id", text("a"), h.token("alice", time.Hour))
	if got := h.login(2, "id", text("b"), h.token("bob", time.Hour)); got != verdict.Accept {
		t.Errorf("another username: got %s", got)
	}
	if got := h.login(3, "carol", text("carol"), h.token("carol", time.Hour)); got != verdict.Accept {
		t.Errorf("its own name: got %s", got)
	}
}

const bothMapped = `"matchUsernameToSubject":true,"matchClientIdToSubject":true`

func TestARewrittenClientIDTakesOverItsOwnersSessionAlone(t *testing.T) {
	for _, c := range []struct {
		rule, common string
		before       func(h *env)
		want         verdict.Kind
	}{
		{"nobody holds it", bothMapped, func(*env) {}, verdict.Accept},
		{"the same subject does", bothMapped, func(h *env) { h.login(1, "x", nil, h.token("alice", time.Hour)) }, verdict.Accept},
		{"a client with a password does", bothMapped, func(h *env) {
			h.login(1, "alice", text("alice"), text("a password"))
			h.broker.connect("alice", 1)
		}, verdict.Deny},
		{"a client with a certificate does", bothMapped, func(h *env) { h.broker.connect("alice", 1) }, verdict.Deny},
		{"one with a password that is away", bothMapped, func(h *env) {
			h.broker.connect("alice", 1)
			h.broker.names[1] = "alice"
			h.leave(1, "alice", true)
		}, verdict.Deny},
		{"restored after a restart, with the name that is mapped", bothMapped, func(h *env) { h.broker.away["alice"] = "alice" }, verdict.Accept},
		{"restored after a restart, with another name", bothMapped, func(h *env) { h.broker.away["alice"] = "bob" }, verdict.Deny},
		{"restored after a restart, no name is mapped", `"matchClientIdToSubject":true`, func(h *env) { h.broker.away["alice"] = "bob" }, verdict.Accept},
	} {
		for _, username := range []string{"x", "alice"} {
			t.Run(c.rule+", as "+username, func(t *testing.T) {
				h := open(t, local(c.common))
				c.before(h)
				if got := h.login(2, "y", text(username), h.token("alice", time.Minute)); got != c.want {
					t.Fatalf("got %s, want %s", got, c.want)
				}
				if _, renamed := h.broker.ids[2]; renamed != (c.want == verdict.Accept) {
					t.Errorf("renamed: %t", renamed)
				}
			})
		}
	}
}

// Who comes by the id while the verdict is waited for is not put out either.
func TestAPendingLoginTakesOverNobodyWhoCameMeanwhile(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, d.file(bothMapped, `"timeoutMs":60000`))
	if got := h.login(1, "x", nil, token); got != verdict.Pending {
		t.Fatalf("got %s", got)
	}
	h.broker.connect("alice", 2)
	d.says(token, active)
	h.completes(t, "alice false")
	if h.broker.connected["alice"] != 2 {
		t.Error("the other was put out")
	}
	h.broker.awaitLog(`refused: client id taken`)
}

// The broker has one table of client ids for all listeners.
func TestAnotherInstancesSessionIsNotTakenOver(t *testing.T) {
	one, two := open(t, local(`"matchUsernameToSubject":true`)), open(t, local(`"matchUsernameToSubject":true`))
	two.Plugin.table = one.Plugin.table
	one.login(1, "id", text("id"), one.token("alice", time.Hour))
	if got := two.login(2, "id", text("id"), two.token("mallory", time.Hour)); got != verdict.Deny {
		t.Errorf("got %s", got)
	}
}
