package plugin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/lifetime"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/renewal"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// named is what a client is called, with the username that the broker has for it.
func (h *env) named(c broker.Conn, id string) broker.Connect {
	connect := broker.Connect{Conn: c, ClientID: id, Address: "192.0.2.7"}
	if name, mapped := h.broker.names[c]; mapped {
		connect.Username = &name
	}
	return connect
}

// byAuth is a CONNECT by enhanced authentication, or an AUTH of a client that is connected: if it is refused, the broker disconnects it.
func (h *env) byAuth(c broker.Conn, id string, token *string) verdict.Kind {
	connected := h.broker.connected[id] == c
	kind := h.ExtAuth(broker.ExtAuth{Connect: h.named(c, id), Method: "OAUTH2-JWT", Data: *token}).Kind
	if mapped, renamed := h.broker.ids[c]; renamed {
		id = mapped
	}
	switch {
	case kind == verdict.Accept && !connected:
		h.broker.connect(id, c)
	case kind != verdict.Accept && connected:
		delete(h.broker.connected, id)
		h.Disconnect(c, false)
	}
	return kind
}

// sends publishes a message to the control topic.
func (h *env) sends(c broker.Conn, id, payload string) {
	h.Control(broker.Message{Conn: c, ClientID: id, Username: h.named(c, id).Username, Topic: control.Topic, Payload: []byte(payload)})
}

// renews is a message that has a token renewed.
func (h *env) renews(c broker.Conn, id string, token *string) {
	h.sends(c, id, renewToken(*token))
}

func renewToken(token string) string {
	return fmt.Sprintf(`{"commands":[{"command":"renewToken","token":%q,"correlationData":"x"}]}`, token)
}

// answered is the last answer, without what is the same in all; "" if there is none.
func (h *env) answered(t *testing.T, id string) string {
	t.Helper()
	if len(h.broker.published) == 0 {
		return ""
	}
	last := h.broker.published[len(h.broker.published)-1]
	payload, is := strings.CutPrefix(last, id+" "+control.ResponseTopic+" ")
	var message struct {
		Responses []struct {
			Command, CorrelationData, Error string
			Data                            struct{ Expires int64 }
		}
	}
	if err := json.Unmarshal([]byte(payload), &message); err != nil || !is || len(message.Responses) != 1 {
		t.Fatalf("%s: %v", last, err)
	}
	r := message.Responses[0]
	switch {
	case r.Error != "":
		return r.Error
	case r.Data.Expires == 0:
		return "never"
	}
	return time.Unix(r.Data.Expires, 0).Sub(opening).String()
}

// left ticks, and returns who was kicked after so much time.
func (h *env) left(d time.Duration) []string {
	h.advance(d)
	h.Tick()
	return h.broker.kicked
}

var ways = map[string]func(h *env, c broker.Conn, id string, token *string){ //nolint:gochecknoglobals // a constant
	"AUTH":     func(h *env, c broker.Conn, id string, token *string) { h.byAuth(c, id, token) },
	"$CONTROL": func(h *env, c broker.Conn, id string, token *string) { h.renews(c, id, token) },
}

// eachWay runs a test for both ways to renew, on both kinds of broker.
func eachWay(t *testing.T, test func(t *testing.T, renew func(h *env, c broker.Conn, id string, token *string), adjust func(*fakeBroker))) {
	t.Helper()
	for name, renew := range ways {
		for _, v20 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, v20=%t", name, v20), func(t *testing.T) {
				test(t, renew, func(b *fakeBroker) { b.v20 = v20 })
			})
		}
	}
}

const mapsUsername = `"matchUsernameToSubject":true,"requireExpiration":false`

func TestARenewalMovesTheDeadline(t *testing.T) {
	eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
		for _, c := range []struct {
			rule  string
			fresh *string
			stays time.Duration // it is in by then, and out a second later
		}{
			{"later", mint("alice", time.Hour), time.Hour - time.Second},
			{"sooner", mint("alice", 30*time.Second), 29 * time.Second},
			{"the same token again", mint("alice", time.Minute), 59 * time.Second},
		} {
			t.Run(c.rule, func(t *testing.T) {
				h := open(t, local(mapsUsername), adjust)
				if got := h.byAuth(1, "c", mint("alice", time.Minute)); got != verdict.Accept {
					t.Fatalf("got %s", got)
				}
				renew(h, 1, "c", c.fresh)
				if got := h.left(c.stays); len(got) > 0 {
					t.Errorf("kicked %q", got)
				}
				if got := h.left(time.Second); !slices.Equal(got, []string{"c will=true"}) {
					t.Errorf("kicked %q", got)
				}
				if h.sessions.Len() != 0 {
					t.Errorf("%d sessions", h.sessions.Len())
				}
			})
		}
	})
}

func TestATokenWithoutEnd(t *testing.T) {
	eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
		h := open(t, fileOf(of("a", nil, "")), adjust)
		h.login(1, "c", nil, tokenOf("a", "alice", time.Minute))
		renew(h, 1, "c", tokenOf("a", "alice", 0))
		if got := h.left(time.Hour); len(got) > 0 {
			t.Errorf("kicked %q", got)
		}
		renew(h, 1, "c", tokenOf("a", "alice", 2*time.Hour))
		if got := h.left(time.Hour); !slices.Equal(got, []string{"c will=true"}) {
			t.Errorf("kicked %q after another with an end", got)
		}
	})
}

// What a renewal may not change, by each way: the deadline stays, or, with AUTH, the session ends.
func TestRenewalsThatAreRefused(t *testing.T) {
	const both = `"matchUsernameToSubject":true,"matchClientIdToSubject":true`
	for _, c := range []struct {
		rule, file string
		first      *string
		fresh      string
		want       string
	}{
		{"another username", local(mapsUsername), mint("alice", time.Minute), *mint("bob", time.Hour), `identity mismatch: the username must be "bob", found "alice" (a connected client keeps its name)`},
		{"another client id", local(`"matchClientIdToSubject":true`), mint("c", time.Minute), *mint("bob", time.Hour), `identity mismatch: the client id must be "bob", found "c" (a connected client keeps its name)`},
		{"both", local(both), mint("c", time.Minute), *mint("bob", time.Hour), `identity mismatch: the username must be "bob", found "c" (a connected client keeps its name)`},
		{"another subject, where nothing is mapped", local(``), mint("alice", time.Minute), *mint("bob", time.Hour), `identity mismatch: it is a token of another subject or issuer than the client was let in by`},
		{"a token of nobody, where nothing is mapped", local(``), mint("", time.Minute), *mint("", time.Hour), `identity mismatch: nothing in it says whose it is: it has no sub, and no name is mapped`},
		{"another issuer, where nothing is mapped", fileOf(strings.Replace(of("a", nil, ""), `"usernameTemplate":"{provider}:{sub}"`, `"matchUsernameToSubject":false`, 1)), tokenOf("a", "alice", time.Minute), *signedBy("a", "", "alice"), `wrong issuer: iss must be one of "https://a", found none`},
		{"another provider", fileOf(of("a", nil, ""), of("b", nil, "")), tokenOf("a", "alice", time.Minute), *tokenOf("b", "alice", time.Hour), `identity mismatch: it is a token of provider b, and the client was let in by provider a`},
		{"an expired one", local(mapsUsername), mint("alice", time.Minute), *mint("alice", -time.Minute), "expired: exp is 2026-11-23T14:59:00Z, 60 s ago"},
		{"a forged one", local(mapsUsername), mint("alice", time.Minute), *tokenOf("a", "alice", time.Hour), "bad signature: no key verifies it by HS256 (the token names no kid)"},
		{"none", local(mapsUsername), mint("alice", time.Minute), "", "not a token: it is nothing"},
		{"a password", local(mapsUsername), mint("alice", time.Minute), "12345", "not a token: it is a text of another kind"},
		{"a token with something around it", local(mapsUsername), mint("alice", time.Minute), "Bearer " + *mint("alice", time.Hour), `not a token: it is a token with "Bearer" before it`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, c.file)
			if got := h.login(1, "c", nil, c.first); got != verdict.Accept {
				t.Fatalf("got %s", got)
			}
			h.renews(1, "c", &c.fresh)
			if got := h.answered(t, "c"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := h.left(59 * time.Second); len(got) > 0 {
				t.Errorf("kicked %q before the old end", got)
			}
			if got := h.left(time.Second); len(got) != 1 {
				t.Errorf("kicked %q at the old end", got)
			}
			h.broker.awaitLog(`notice go_jwt_auth: client "c" not renewed: `)

			h = open(t, c.file)
			h.byAuth(1, "c", c.first)
			if got := h.byAuth(1, "c", &c.fresh); got != verdict.Deny || h.sessions.Len() != 0 {
				t.Errorf("by AUTH: %s, %d sessions", got, h.sessions.Len())
			}
			if got := h.left(time.Hour); len(got) > 0 {
				t.Errorf("kicked %q after that", got)
			}
		})
	}
}

// A client whose re-authentication was refused is disconnected by the plugin if the broker does not do it, and forgotten if it does
// without a word.
func TestARefusedReauthenticationEndsTheSessionInAnyCase(t *testing.T) {
	refused := func(t *testing.T) *env {
		t.Helper()
		h := open(t, local(mapsUsername))
		h.byAuth(1, "c", mint("alice", time.Hour))
		if got := h.ExtAuth(broker.ExtAuth{Connect: h.named(1, "c"), Method: "OAUTH2-JWT", Data: "x"}).Kind; got != verdict.Deny {
			t.Fatalf("got %s", got)
		}
		return h
	}
	t.Run("it is still there", func(t *testing.T) {
		if got := refused(t).left(0); !slices.Equal(got, []string{"c will=true"}) {
			t.Errorf("kicked %q", got)
		}
	})
	t.Run("nobody tells of its end", func(t *testing.T) {
		h := refused(t)
		delete(h.broker.connected, "c")
		for range lifetime.MaxWaits + 2 {
			if got := h.left(lifetime.KickAgain); len(got) > 0 {
				t.Errorf("kicked %q", got)
			}
		}
		if h.sessions.Len() != 0 || h.table.holders.Has(1, "c") {
			t.Errorf("%d sessions", h.sessions.Len())
		}
	})
	t.Run("another comes from its address", func(t *testing.T) {
		h := refused(t)
		delete(h.broker.connected, "c")
		if got := h.byAuth(1, "c", mint("alice", time.Minute)); got != verdict.Accept {
			t.Fatalf("got %s", got)
		}
		if got := h.left(59 * time.Second); len(got) > 0 {
			t.Errorf("kicked %q for what the first has done", got)
		}
	})
	t.Run("another is let in by others at its address", func(t *testing.T) {
		h := refused(t)
		delete(h.broker.connected, "c")
		h.broker.connect("other", 1)
		if h.sessions.Len() != 0 {
			t.Errorf("%d sessions", h.sessions.Len())
		}
	})
}

// What ends a session is said of the token that was shown, not of the session's own: also by an answer of before a reload, which comes
// into force in the same Tick.
func TestTheTokenThatWasShownEndsTheSession(t *testing.T) {
	for _, reload := range []bool{false, true} {
		first, fresh := mint("alice", time.Minute), ofDevice("alice")
		h, d := gated(t, `"check":"beforeConnect"`, v20, fresh)
		h.comesIn(t, d, first)
		if got := h.byAuth(1, "c", fresh); got != verdict.Accept {
			t.Fatalf("got %s", got)
		}
		d.waitAsked()
		if reload {
			h.Reload()
		}
		d.says(fresh, inactive)
		h.awaits(t, "it stays", func() bool { return len(h.broker.kicked) > 0 && h.logged(" reloaded ") == reload })
		h.broker.awaitLog(`client "c" disconnected: revoked: token jti "device", which it has shown by AUTH: http.*"active": false \(token jti "alice's"\)$`)
	}
}

// Who did not come by a token can't renew, and nobody can renew for another.
func TestWhoMayRenew(t *testing.T) {
	fresh := mint("alice", time.Hour)
	for _, c := range []struct {
		rule  string
		asks  func(h *env)
		want  string
		stays bool
	}{
		{"who came by a password", func(h *env) {
			h.login(2, "p", text("u"), text("12345"))
			h.broker.connect("p", 2)
			h.sends(2, "p", renewToken(*fresh))
		}, "p not logged in by a token", false},
		{"who was let in by nobody that is known", func(h *env) {
			h.broker.connected["x"] = 3
			h.sends(3, "x", renewToken(*fresh))
		}, "x not logged in by a token", false},
		{"who has the address of another's session", func(h *env) {
			h.broker.connected["x"] = 1
			h.sends(1, "x", renewToken(*fresh))
		}, "x not logged in by a token", false},
		{"who names another's client id in the message", func(h *env) {
			h.login(2, "p", text("u"), text("12345"))
			h.broker.connect("p", 2)
			h.sends(2, "p", `{"commands":[{"command":"renewToken","clientid":"c","token":"`+*fresh+`"}]}`)
		}, "p not logged in by a token", false},
		{"itself", func(h *env) { h.renews(1, "c", fresh) }, "c 1h0m0s", true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, local(mapsUsername))
			h.login(1, "c", nil, mint("alice", time.Minute))
			c.asks(h)
			id, want, _ := strings.Cut(c.want, " ")
			if got := h.answered(t, id); got != want || len(h.broker.published) != 1 {
				t.Errorf("got %s in %q", got, h.broker.published)
			}
			if got := h.left(time.Minute); (len(got) == 0) != c.stays {
				t.Errorf("kicked %q", got)
			}
		})
	}
}

// An authentication by a method of another plugin is its affair, and so is that of a client which it has let in.
func TestOtherMethodsAreLeftToOthers(t *testing.T) {
	const methods = `{"algorithm":"HS256","mode":"local","options":{"modes":{"local":"` + secret + `"},"enhancedAuth":{"methods":%s}}}`
	good := *mint("alice", time.Hour)
	for _, v20 := range []bool{false, true} {
		h := open(t, fmt.Sprintf(methods, `["ours"]`), func(b *fakeBroker) { b.v20 = v20 })
		if got := h.ExtAuth(broker.ExtAuth{Connect: h.named(1, "c"), Method: "OAUTH2-JWT", Data: good}).Kind; got != verdict.Defer {
			t.Errorf("another method: %s", got)
		}
		h.broker.connect("c", 1)
		if got := h.ExtAuth(broker.ExtAuth{Connect: h.named(1, "c"), Method: "ours", Data: good}).Kind; got != verdict.Defer {
			t.Errorf("a client that others have let in: %s", got)
		}
		if got := h.ExtAuth(broker.ExtAuth{Connect: h.named(2, "d"), Method: "ours", Data: good}).Kind; got != verdict.Accept || !h.broker.extAuths {
			t.Errorf("ours: %s", got)
		}
	}
	if h := open(t, fmt.Sprintf(methods, `[]`)); h.broker.extAuths {
		t.Error("registered for nothing")
	}
}

// gated is an env whose provider that is asked about each token, at the gate.
func gated(t *testing.T, revocation string, adjust func(*fakeBroker), tokens ...*string) (*env, *gate) {
	t.Helper()
	d := newGate(t, tokens...)
	return open(t, d.file(mapsUsername, `"timeoutMs":60000,`+revocation), adjust), d
}

func v20(b *fakeBroker) { b.v20 = true }
func v21(*fakeBroker)   {}

// A CONNECT by AUTH can't wait. What is not known puts it off, and its next attempt finds the answer.
func TestALoginByAUTHNeverWaits(t *testing.T) {
	for _, check := range []string{"beforeConnect", "onRetry"} {
		for name, adjust := range map[string]func(*fakeBroker){"2.0": v20, "2.1": v21} {
			for answer, want := range map[string]verdict.Kind{active: verdict.Accept, inactive: verdict.Deny} {
				t.Run(check+" on "+name+": "+answer, func(t *testing.T) {
					token := mint("alice", time.Minute)
					h, d := gated(t, fmt.Sprintf(`"check":%q`, check), adjust, token)
					if got := h.byAuth(1, "c", token); got != verdict.Retry || h.sessions.Len() != 0 {
						t.Fatalf("got %s", got)
					}
					d.waitAsked()
					d.says(token, answer)
					got := verdict.Retry
					h.eventually(t, func() bool { got = h.byAuth(2, "c", token); return got != verdict.Retry })
					if got != want {
						t.Errorf("the next attempt: %s, want %s", got, want)
					}
				})
			}
		}
	}
}

// eventually tries until done.
func (h *env) eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come; the log ends\n%s", strings.Join(h.broker.log[max(0, len(h.broker.log)-20):], "\n"))
		}
		time.Sleep(time.Millisecond)
	}
}

func TestALoginByAUTHIsConfirmedAfterwards(t *testing.T) {
	for _, adjust := range []func(*fakeBroker){v20, v21} {
		for answer, kicked := range map[string][]string{active: nil, inactive: {"c will=true"}} {
			token, next := mint("alice", time.Minute), mint("bob", time.Minute)
			h, d := gated(t, `"check":"afterConnect"`, adjust, token, next)
			if got := h.byAuth(1, "c", token); got != verdict.Accept {
				t.Fatalf("got %s", got)
			}
			d.waitAsked()
			d.says(token, answer)
			h.byAuth(2, "d", next)
			d.waitAsked()
			d.says(next, inactive) // behind the other
			h.awaits(t, "d stays", func() bool { return slices.Contains(h.broker.kicked, "d will=true") })
			if got := slices.DeleteFunc(slices.Clone(h.broker.kicked), func(k string) bool { return k == "d will=true" }); answer == active && !slices.Equal(got, kicked) {
				t.Errorf("%s: kicked %q", answer, got)
			}
			if answer == inactive {
				h.awaits(t, "c stays", func() bool { return slices.Contains(h.broker.kicked, "c will=true") })
			}
		}
	}
}

// A renewal whose answer is not known changes nothing before it is there, whatever the file says of logins.
func TestARenewalCountsWhenTheEndpointHasSaidYes(t *testing.T) {
	for _, check := range []string{"beforeConnect", "onRetry", "afterConnect"} {
		for _, c := range []struct {
			answer, onUnavailable   string
			renewed                 bool
			byControl, byAuth, tell string // the answer; what becomes of the session; the log
		}{
			{active, "deny", true, "1h0m0s", "stays", `renewed, and may stay until 2026-11-23T16:00:00Z (token `},
			{inactive, "deny", false, "revoked: ", "leaves", `not renewed: revoked: `},
			{broken, "deny", false, "provider unavailable: ", "stays", `not renewed: provider unavailable: `},
			{broken, "allow", true, "1h0m0s", "stays", `renewed, and may stay until 2026-11-23T16:00:00Z without having been asked about ($.options.revocation.onUnavailable): provider unavailable: `},
		} {
			eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
				t.Run(check+" "+c.answer+" "+c.onUnavailable, func(t *testing.T) {
					first, fresh := mint("alice", time.Minute), mint("alice", time.Hour)
					h, d := gated(t, fmt.Sprintf(`"check":%q,"onUnavailable":%q`, check, c.onUnavailable), adjust, fresh)
					h.comesIn(t, d, first)
					control := strings.Contains(t.Name(), "CONTROL")
					renew(h, 1, "c", fresh)
					d.waitAsked()
					if h.sessions.Of(1) == nil || len(h.broker.published) > 0 {
						t.Fatalf("it is decided before the answer: %q", h.broker.published)
					}
					if at := h.sessions.Of(1).LeaveAt; !at.Equal(opening.Add(time.Minute)) {
						t.Errorf("it may stay until %s before the answer", at)
					}
					d.says(fresh, c.answer)
					h.awaits(t, "no verdict", func() bool { return h.logged(c.tell) })
					h.Tick()
					if got := h.answered(t, "c"); control && !strings.HasPrefix(got, c.byControl) {
						t.Errorf("answered %q", got)
					}
					if stays := h.sessions.Of(1) != nil; stays != (control || c.byAuth == "stays") {
						t.Errorf("it is in: %t", stays)
					}
					if got := h.left(time.Minute); len(got) == 0 != c.renewed {
						t.Errorf("kicked %q at the old end", got)
					}
				})
			})
		}
	}
}

// comesIn has client c connected with a token that the endpoint says is active.
func (h *env) comesIn(t *testing.T, d *gate, token *string) {
	t.Helper()
	h.eventually(t, func() bool {
		kind := h.byAuth(1, "c", token)
		return kind == verdict.Accept
	})
	d.waitAsked()
}

// While a verdict is waited for, all kinds of things happen.
func TestWhatHappensWhileARenewalIsPending(t *testing.T) {
	for _, c := range []struct {
		rule    string
		happens func(t *testing.T, h *env, d *gate)
		answer  string
		then    func(t *testing.T, h *env)
	}{
		{"its client leaves", func(_ *testing.T, h *env, _ *gate) {
			delete(h.broker.connected, "c")
			h.Disconnect(1, false)
		}, active, func(t *testing.T, h *env) {
			t.Helper()
			if h.sessions.Len() != 0 || len(h.broker.published) > 0 {
				t.Errorf("%d sessions, published %q", h.sessions.Len(), h.broker.published)
			}
		}},
		{"its client leaves, and another has its address", func(_ *testing.T, h *env, d *gate) {
			delete(h.broker.connected, "c")
			h.Disconnect(1, false)
			h.eventually(t, func() bool { return h.byAuth(1, "other", mint("bob", 10*time.Minute)) == verdict.Accept })
			d.waitAsked()
		}, active, func(t *testing.T, h *env) {
			t.Helper()
			if s := h.sessions.Of(1); s == nil || !s.LeaveAt.Equal(opening.Add(10*time.Minute)) || len(h.broker.published) > 0 {
				t.Errorf("%+v, published %q", s, h.broker.published)
			}
		}},
		{"another takes over", func(_ *testing.T, h *env, d *gate) {
			h.eventually(t, func() bool { return h.byAuth(2, "c", mint("alice", 10*time.Minute)) == verdict.Accept })
			d.waitAsked()
		}, active, func(t *testing.T, h *env) {
			t.Helper()
			if s := h.sessions.Of(2); s == nil || !s.LeaveAt.Equal(opening.Add(10*time.Minute)) || h.sessions.Len() != 1 || len(h.broker.published) > 0 {
				t.Errorf("%+v, published %q", s, h.broker.published)
			}
		}},
		{"its old token ends, in the same Tick", func(_ *testing.T, h *env, _ *gate) { h.advance(time.Minute) }, active, func(t *testing.T, h *env) {
			t.Helper()
			if !slices.Equal(h.broker.kicked, []string{"c will=true"}) {
				t.Errorf("kicked %q", h.broker.kicked)
			}
		}},
		{"SIGHUP, with the same file", func(t *testing.T, h *env, _ *gate) {
			t.Helper()
			h.reloads(t)
			h.broker.connected["c"] = 1
			if got := h.BasicAuth(h.named(1, "c")).Kind; got != verdict.Accept {
				t.Errorf("it is not kept: %s", got)
			}
		}, active, func(t *testing.T, h *env) {
			t.Helper()
			if s := h.sessions.Of(1); s == nil || !s.LeaveAt.Equal(opening.Add(time.Hour)) {
				t.Errorf("%+v", s)
			}
		}},
		{"SIGHUP, with a file by which its token is not good", func(t *testing.T, h *env, d *gate) {
			t.Helper()
			h.write(t, d.file(mapsUsername+`,"audience":"mqtt"`, `"timeoutMs":60000`))
			h.reloads(t)
		}, active, func(t *testing.T, h *env) {
			t.Helper()
			if !h.logged("not renewed: wrong audience: ") || h.logged(" renewed, and may stay") {
				t.Error("it is judged by the old file")
			}
		}},
	} {
		eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
			t.Run(c.rule, func(t *testing.T) {
				first, fresh := mint("alice", time.Minute), mint("alice", time.Hour)
				h, d := gated(t, `"check":"beforeConnect"`, adjust, fresh)
				h.comesIn(t, d, first)
				renew(h, 1, "c", fresh)
				if got := d.waitAsked(); got != *fresh {
					t.Fatalf("asked about %s", got)
				}
				c.happens(t, h, d)
				for range 3 { // by the file that is in force then, too
					d.says(fresh, c.answer)
				}
				h.settles(t)
				c.then(t, h)
			})
		})
	}
}

// reloads has the file read again, and the sweep begin.
func (h *env) reloads(t *testing.T) {
	t.Helper()
	before := h.chain
	h.Reload()
	h.eventually(t, func() bool { h.work(); return h.chain != before })
}

// settles ticks until no renewal is pending.
func (h *env) settles(t *testing.T) {
	t.Helper()
	for quiet := 0; quiet < 50; {
		select {
		case <-h.broker.woken:
			quiet = 0
			h.Tick()
		case <-time.After(2 * time.Millisecond):
			quiet++
		}
	}
	h.Tick()
}

// What was asked about the old token says nothing of the new one.
func TestAnswersAboutTheOldTokenComeTooLate(t *testing.T) {
	t.Run("confirmation", func(t *testing.T) {
		eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
			first, fresh := mint("alice", time.Minute), mint("alice", time.Hour)
			h, d := gated(t, `"check":"afterConnect"`, adjust, first)
			h.byAuth(1, "c", first)
			d.waitAsked()
			renew(h, 1, "c", fresh)
			h.awaits(t, "not renewed", func() bool { return h.logged("renewed, and may stay") })
			d.says(first, inactive)
			h.settles(t)
			if h.sessions.Of(1) == nil {
				t.Errorf("kicked %q", h.broker.kicked)
			}
		})
	})
	t.Run("recheck", func(t *testing.T) {
		eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
			first, fresh := mint("alice", time.Minute), mint("alice", time.Hour)
			h, d := gated(t, `"check":"beforeConnect","recheckIntervalMs":10000`, adjust, first, fresh)
			d.says(first, active)
			h.comesIn(t, d, first)
			h.advance(10 * time.Second)
			h.Tick()
			if d.waitAsked() != *first { // and no answer yet
				t.Fatal("it is not asked about")
			}
			d.says(fresh, active)
			renew(h, 1, "c", fresh)
			h.awaits(t, "not renewed", func() bool { return h.logged("renewed, and may stay") })
			if got := d.waitAsked(); got != *fresh {
				t.Fatalf("asked about %s", got)
			}
			d.says(first, inactive)
			h.settles(t)
			if h.sessions.Of(1) == nil {
				t.Fatalf("kicked %q", h.broker.kicked)
			}
			d.says(fresh, inactive)
			h.advance(10 * time.Second)
			h.Tick()
			if got := d.waitAsked(); got != *fresh {
				t.Fatalf("asked about %s", got)
			}
			h.awaits(t, "it stays, though its new token is not active", func() bool { return len(h.broker.kicked) > 0 })
		})
	})
}

func TestASessionEndsAtItsLimitWhateverIsRenewed(t *testing.T) {
	eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
		h := open(t, local(mapsUsername+`,"maxSessionMs":600000`), adjust)
		h.byAuth(1, "c", mint("alice", 5*time.Minute))
		h.advance(4 * time.Minute)
		renew(h, 1, "c", mint("alice", time.Hour))
		if got := h.answered(t, "c"); got != "" && got != "10m0s" {
			t.Errorf("answered %s", got)
		}
		if got := h.left(6*time.Minute - time.Second); len(got) > 0 {
			t.Errorf("kicked %q", got)
		}
		if got := h.left(time.Second); !slices.Equal(got, []string{"c will=true"}) || !h.logged("disconnected: expired: it was connected for as long as $.options.common.maxSessionMs allows") {
			t.Errorf("kicked %q", got)
		}
	})
	t.Run("a login without end", func(t *testing.T) {
		h := open(t, strings.Replace(fileOf(of("a", nil, "")), `"common":{`, `"common":{"maxSessionMs":1000,`, 1))
		h.login(1, "c", nil, tokenOf("a", "alice", 0))
		if got := h.left(time.Second); len(got) != 1 || !h.logged("as long as $.providers[0].options.common.maxSessionMs allows") {
			t.Errorf("kicked %q", got)
		}
	})
}

// What comes by $CONTROL counts against one limit, what comes by AUTH against another.
func TestRenewalsAreBoundedByEachWay(t *testing.T) {
	h := open(t, local(mapsUsername))
	h.byAuth(1, "c", mint("alice", time.Hour))
	control := func(want string) {
		t.Helper()
		h.renews(1, "c", mint("alice", time.Hour))
		if got := h.answered(t, "c"); got != want {
			t.Errorf("by $CONTROL: %s", got)
		}
	}
	for range renewal.Burst {
		control("1h0m0s")
	}
	control("server busy: at most 5 renewals are taken in a row, and then one in 10 s")
	for range renewal.AuthBurst {
		h.byAuth(1, "c", mint("alice", 2*time.Hour))
	}
	// Beyond that a token changes nothing, not even a bad one.
	for _, fresh := range []*string{mint("alice", 3*time.Hour), mint("bob", 3*time.Hour)} {
		if got := h.byAuth(1, "c", fresh); got != verdict.Accept || !h.sessions.Of(1).LeaveAt.Equal(opening.Add(2*time.Hour)) {
			t.Errorf("by AUTH: %s, until %s", got, h.sessions.Of(1).LeaveAt)
		}
	}
	h.broker.awaitLog(`not renewed: server busy: at most 20 renewals are taken in a row, and then one in 1 s`)
	h.advance(renewal.Every)
	control("1h0m0s")
}

// A session that goes on after SIGHUP has not got its renewals anew.
func TestSIGHUPLeavesRenewalsBounded(t *testing.T) {
	h := open(t, local(mapsUsername))
	first := mint("alice", time.Hour)
	h.login(1, "c", nil, first)
	for range renewal.Burst {
		h.renews(1, "c", mint("alice", time.Second))
	}
	h.advance(2 * time.Second) // the last one has ended, and the first is judged anew
	h.Reload()
	connect := h.named(1, "c")
	connect.Password = first
	if got := h.BasicAuth(connect); got.Kind != verdict.Accept || !h.sessions.Of(1).LeaveAt.Equal(opening.Add(time.Hour)) {
		t.Fatalf("got %v, until %s", got, h.sessions.Of(1).LeaveAt)
	}
	h.renews(1, "c", mint("alice", time.Hour))
	if got := h.answered(t, "c"); got != "server busy: at most 5 renewals are taken in a row, and then one in 10 s" {
		t.Error(got)
	}
}

// A password beside an enhanced authentication is nobody's to judge, not after SIGHUP either.
func TestSIGHUPKeepsWhoCameByAUTH(t *testing.T) {
	for name, password := range map[string]*string{"no password": nil, "a password": text("12345"), "another's token": mint("bob", time.Hour), "an expired token": mint("alice", -time.Hour)} {
		t.Run(name, func(t *testing.T) {
			again := func(h *env) verdict.Kind {
				h.Reload()
				connect := h.named(1, "c")
				connect.Password = password
				return h.BasicAuth(connect).Kind
			}
			h := open(t, local(mapsUsername))
			h.byAuth(1, "c", mint("alice", time.Minute))
			if got := again(h); got != verdict.Accept {
				t.Errorf("got %s", got)
			}
			h.Tick()
			h.byAuth(1, "c", mint("alice", time.Hour))
			h.advance(time.Minute)
			if got := again(h); got != verdict.Accept {
				t.Errorf("after a renewal: %s", got)
			}
			h.Tick()
			h.advance(time.Hour)
			if got := again(h); got != verdict.Deny {
				t.Errorf("past its end: %s", got)
			}
		})
	}
}

func TestSIGHUPKeepsWhoHasRenewed(t *testing.T) {
	h := open(t, local(mapsUsername))
	first := mint("alice", time.Minute)
	h.login(1, "c", nil, first)
	h.renews(1, "c", mint("alice", time.Hour))
	h.advance(30 * time.Minute)
	h.Reload()
	connect := h.named(1, "c")
	connect.Password = first
	if got := h.BasicAuth(connect).Kind; got != verdict.Accept {
		t.Errorf("got %s", got)
	}
}

// On Mosquitto 2.1 one instance gets what the clients of all send, and passes it on to the one that has let them in.
func TestSeveralInstancesShareTheTopic(t *testing.T) {
	h := open(t, local(mapsUsername))
	second := &env{file: t.TempDir() + "/jwt.json"}
	second.broker = h.broker
	second.write(t, local(mapsUsername))
	join := func(file string) *Plugin {
		t.Helper()
		h.broker.taken[control.Topic] = true
		p, err := New(h.broker, Options{Settings: map[string]string{"config_file": file}, Now: h.clock, Table: h.table})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		h.broker.taken[control.Topic] = false
		p.Tick()
		return p
	}
	other := join(second.file)
	if h.logged("no client can renew") {
		t.Error("it is said that nobody can renew")
	}
	fresh := mint("alice", time.Hour)
	if got := other.ExtAuth(broker.ExtAuth{Connect: h.named(1, "c"), Method: "K8S-SAT", Data: *mint("alice", time.Minute)}).Kind; got != verdict.Accept {
		t.Fatalf("got %s", got)
	}
	h.broker.connected["c"] = 1
	h.renews(1, "c", fresh)
	if got := h.answered(t, "c"); got != "1h0m0s" || !other.sessions.Of(1).LeaveAt.Equal(opening.Add(time.Hour)) {
		t.Errorf("got %s", got)
	}
	// The one that has the topic ceases to want it: another takes it.
	h.write(t, strings.Replace(local(mapsUsername), `"options":{`, `"options":{"control":{"renew":false},`, 1))
	h.reloads(t)
	h.Tick() // the round is over
	if h.listens[control.Topic] || !other.listens[control.Topic] || !h.broker.controls[control.Topic] {
		t.Errorf("the first listens: %v, the other: %v", h.listens, other.listens)
	}
	// A client of the first may not renew, though the message comes.
	h.login(2, "d", nil, mint("alice", time.Minute))
	other.Control(broker.Message{Conn: 2, ClientID: "d", Topic: control.Topic, Payload: []byte(renewToken(*fresh))})
	if got := h.answered(t, "d"); got != "renewals are switched off ($.options.control.renew)" {
		t.Error(got)
	}
}

func TestATopicOfAnotherPluginIsSaid(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.taken = map[string]bool{control.Topic: true} })
	if !h.logged("warning go_jwt_auth: no client can renew its token by a message to $CONTROL/jwt-auth/v1: another plugin or plugin line has it") {
		t.Errorf("%q", h.broker.log)
	}
}

// Without Ticks a client could be kicked inside of its own AUTH, and be taken for one that is just coming.
func TestWithoutTicksARenewalIsNotKickedInsideItself(t *testing.T) {
	h := open(t, local(mapsUsername), v20)
	h.ticks = loop.Ticks{}
	h.byAuth(1, "c", mint("alice", time.Minute))
	h.advance(time.Minute)
	if got := h.ExtAuth(broker.ExtAuth{Connect: h.named(1, "c"), Method: "OAUTH2-JWT", Data: *mint("alice", time.Hour)}).Kind; got != verdict.Deny {
		t.Errorf("past its end: %s", got)
	}
}

// Without Ticks a login may be what brings a new file into force: it is judged by that.
func TestWithoutTicksAFileCountsForTheLoginThatBringsIt(t *testing.T) {
	for _, c := range []struct {
		before, after string
		want          verdict.Kind
	}{
		{`["OAUTH2-JWT"]`, `["OTHER"]`, verdict.Defer},
		{`["OTHER"]`, `["OAUTH2-JWT"]`, verdict.Accept},
	} {
		file := func(methods string) string {
			return strings.Replace(local(mapsUsername), `"options":{`, `"options":{"enhancedAuth":{"methods":`+methods+`},`, 1)
		}
		h := open(t, file(c.before), v20)
		h.ticks = loop.Ticks{}
		h.login(1, "c", text("alice"), mint("alice", time.Hour))
		h.write(t, file(c.after))
		h.Reload()
		h.advance(2 * time.Second)
		for n := broker.Conn(2); !h.logged(" reloaded "); n++ {
			<-h.broker.woken // that it has been read is posted by a goroutine, and nothing else takes it over
			if got := h.byAuth(n, fmt.Sprint(n), mint("alice", time.Hour)); h.logged(" reloaded ") && got != c.want {
				t.Errorf("methods %s instead of %s: %s", c.after, c.before, got)
			}
		}
	}
}

// The Tick that is needed next is asked for when a renewal brings the end nearer, and when a login has a limit.
func TestTheNextTickFollowsARenewal(t *testing.T) {
	h := open(t, local(mapsUsername+`,"maxSessionMs":50000`))
	h.byAuth(1, "c", mint("alice", time.Hour))
	if h.broker.tickIn > 50*time.Second {
		t.Errorf("the limit: in %s", h.broker.tickIn)
	}
	h.byAuth(1, "c", mint("alice", 30*time.Second))
	if h.broker.tickIn > 30*time.Second {
		t.Errorf("by AUTH: in %s", h.broker.tickIn)
	}
	h.renews(1, "c", mint("alice", 20*time.Second))
	if h.broker.tickIn > 20*time.Second {
		t.Errorf("by $CONTROL: in %s", h.broker.tickIn)
	}
}

// Where client ids are the token's, the session is whose token it has: the first one's owner can't take it over any more.
func TestASessionBelongsToWhomItsTokenIs(t *testing.T) {
	h := open(t, local(`"matchUsernameToSubject":true,"matchClientIdToSubject":true,"usernameClaim":"jti","clientIdClaim":"jti"`))
	h.byAuth(1, "device", ofDevice("alice"))
	h.byAuth(1, "device", ofDevice("bob"))
	if !h.logged("renewed, and may stay") {
		t.Fatalf("%q", h.broker.log)
	}
	if got := h.login(2, "x", nil, ofDevice("alice")); got != verdict.Deny {
		t.Errorf("alice: %s", got)
	}
	if got := h.login(3, "x", nil, ofDevice("bob")); got != verdict.Accept {
		t.Errorf("bob: %s", got)
	}
}

// ofDevice is a token with this sub, whose jti is "device".
func ofDevice(subject string) *string {
	payload := fmt.Sprintf(`{"sub":%q,"jti":"device","exp":%d}`, subject, opening.Add(time.Hour).Unix())
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	text += "." + encode(mac.Sum(nil))
	return &text
}

// An answer is for the client at that address by that id: not for one that has taken it over.
func TestAnAnswerIsForTheClientThatHasAsked(t *testing.T) {
	for _, c := range []struct {
		other  string
		comes  func(h *env)
		adjust func(*fakeBroker)
	}{
		{"by a token", func(h *env) { h.table.holders.Enter(2, "c", session.Owner{}) }, v20},
		{"let in by others, of which 2.0 does not tell", func(h *env) { h.login(2, "c", text("u"), text("12345")) }, v20},
		{"by a token, on 2.1", func(h *env) { h.table.holders.Enter(2, "c", session.Owner{}) }, v21},
	} {
		t.Run(c.other, func(t *testing.T) {
			first, fresh := mint("alice", time.Minute), mint("alice", time.Hour)
			h, d := gated(t, `"check":"beforeConnect"`, c.adjust, fresh)
			h.comesIn(t, d, first)
			h.settles(t)
			h.renews(1, "c", fresh)
			d.waitAsked()
			// The other is in, and the end of the first has not been told yet, as over WebSockets on Mosquitto 2.0.
			c.comes(h)
			h.broker.connected["c"] = 2
			d.says(fresh, active)
			h.settles(t)
			if len(h.broker.published) > 0 {
				t.Errorf("published %q", h.broker.published)
			}
		})
	}
}

// A renewal is judged by the file in force, also in how long the connection may last: from its login on.
func TestARenewalTakesTheLimitOfTheFileInForce(t *testing.T) {
	h := open(t, local(mapsUsername))
	limit := func(ms int) {
		t.Helper()
		h.write(t, local(fmt.Sprintf(`%s,"maxSessionMs":%d`, mapsUsername, ms)))
		h.reloads(t)
		h.Tick()
	}
	expect := func(rule, want string) {
		t.Helper()
		h.renews(1, "c", mint("alice", 10*time.Hour))
		if got := h.answered(t, "c"); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
	h.login(1, "c", nil, mint("alice", time.Hour))
	h.advance(time.Minute)
	expect("without", "10h0m0s")
	limit(7_200_000)
	expect("with one", "2h0m0s")
	limit(3_600_000)
	expect("with a sooner one", "1h0m0s")
	limit(0)
	expect("without again", "10h0m0s")
}

// Whether the file names issuers may change while a client is connected: the token of the same issuer and subject renews its session.
func TestAReloadThatNamesTheIssuerLeavesSessionsToTheirOwners(t *testing.T) {
	file := func(common string) string { return strings.Replace(local(common), secret, secret+"a", 1) }
	without, with := file(``), file(`"issuer":"https://a"`)
	for _, c := range []struct{ rule, before, after string }{
		{"it names it now", without, with}, {"it names none any more", with, without}, {"it never does", without, without},
	} {
		eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
			t.Run(c.rule, func(t *testing.T) {
				h := open(t, c.before, adjust)
				h.login(1, "c", nil, tokenOf("a", "alice", time.Minute))
				h.write(t, c.after)
				h.reloads(t)
				h.Tick()
				renew(h, 1, "c", tokenOf("a", "alice", time.Hour))
				if s := h.sessions.Of(1); s == nil || !s.LeaveAt.Equal(opening.Add(time.Hour)) {
					t.Errorf("%+v; log %q", s, h.broker.log)
				}
				renew(h, 1, "c", tokenOf("a", "bob", 2*time.Hour))
				if !h.logged("not renewed: identity mismatch: it is a token of another subject or issuer") {
					t.Errorf("another subject: log %q", h.broker.log)
				}
			})
		})
	}
}

// Mosquitto 2.1 does not tell of the end of a CONNECT by AUTH that was refused: who then comes from its address past the plugin is
// noticed all the same.
func TestARefusedLoginByAUTHLeavesNothing(t *testing.T) {
	h := open(t, local(mapsUsername))
	if got := h.byAuth(1, "c", text("x")); got != verdict.Deny || h.sessions.Len() != 0 || h.table.holders.Has(1, "c") {
		t.Fatalf("got %s", got)
	}
	h.broker.connect("certificate", 1)
	if !h.logged(`client "certificate" is in, and this plugin was not asked`) {
		t.Errorf("%q", h.broker.log)
	}
}

// A client id can be the token that the client is let in by, or one that it shows later.
func TestAnAnswerThatIsNotSentShowsNoToken(t *testing.T) {
	const token = "opaque-and-secret"
	h := open(t, local(mapsUsername))
	h.broker.refusePublish = errors.New("it has no memory left")
	for id, want := range map[string]string{"c": `client "c" could not be answered`, token: "client (a token) could not be answered"} {
		h.table.holders.Enter(1, id, session.Owner{})
		s := &session.Session{IDIsToken: id == token}
		h.sessions.Admit(s, broker.Connect{Conn: 1, ClientID: id}, session.Digest{})
		h.broker.connected[id] = 1
		h.sends(1, id, "{}")
		if !h.logged(want) || h.logged(token) {
			t.Errorf("log %q", h.broker.log)
		}
	}
}

// A client id that is an opaque token is one for whoever shows it, as long as its client is connected.
func TestATokenThatIsAnotherClientsIDIsNotShown(t *testing.T) {
	const token = "opaque-and-secret"
	h := open(t, local(mapsUsername))
	h.table.holders.Enter(1, token, session.Owner{})
	h.sessions.Admit(&session.Session{IDIsToken: true}, broker.Connect{Conn: 1, ClientID: token}, session.Digest{})
	h.broker.connected[token] = 1
	if got := h.login(2, token, nil, mint("alice", -time.Hour)); got != verdict.Deny {
		t.Fatalf("got %s", got)
	}
	if !h.logged("client (a token) ") || h.logged(token) {
		t.Errorf("log %q", h.broker.log)
	}
}
