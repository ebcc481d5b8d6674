package plugin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/verdict"
)

// ownTopics has each token's bearer publish and subscribe below its own name.
const ownTopics = `"grants":[{"everyone":true,"publish":["{sub}/#"],"subscribe":["{sub}/#"]}]`

// authorized is a jwt.json of mode local that maps usernames, with options.authorization.
func authorized(authorization string) string {
	var all map[string]any
	if err := json.Unmarshal([]byte(local(mapped)), &all); err != nil {
		panic(err)
	}
	all["options"].(map[string]any)["authorization"] = json.RawMessage("{" + authorization + "}")
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

const mapped = `"matchUsernameToSubject":true`

// may asks as the broker does, about a client of alice's by the id "c".
func (h *env) may(c broker.Conn, access broker.Access, topic string) verdict.Kind {
	return h.ask(broker.ACLCheck{Conn: c, ClientID: "c", Username: "alice", Access: access, Topic: topic})
}

// ask is ACLCheck of a connection that the broker has been told to ask about, unless the answer of before lasts.
func (h *env) ask(check broker.ACLCheck) verdict.Kind {
	if check.Conn != 0 && !h.broker.asksAbout[check.Conn] {
		return verdict.Defer
	}
	action := check
	action.ClientID, action.Username = "", ""
	if h.broker.lasting[action] {
		h.broker.acceptedAgain++
		return verdict.Accept
	}
	kind, lasts := h.ACLCheck(check)
	if lasts && (kind != verdict.Accept || check.Conn == 0) {
		h.broker.t.Errorf("%v: %s is to last", check, kind)
	}
	if lasts {
		h.broker.lasting[action] = true
	}
	return kind
}

// reloaded has a new file come into force.
func (h *env) reloaded(t *testing.T, jwtJSON string) {
	t.Helper()
	h.write(t, jwtJSON)
	before := len(h.broker.log)
	h.Reload()
	h.awaits(t, "not reloaded", func() bool {
		return slices.ContainsFunc(h.broker.log[before:], func(line string) bool { return strings.Contains(line, " reloaded ") })
	})
	h.Tick()
}

func TestATokenSaysWhatItsBearerMayDo(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, authorized(ownTopics), v)
		h.login(1, "c", nil, h.token("alice", time.Hour))
		for _, c := range []struct {
			access broker.Access
			topic  string
			want   verdict.Kind
		}{
			{broker.Write, "alice/x", verdict.Accept},
			{broker.Write, "bob/x", verdict.Deny},
			{broker.Read, "alice/x", verdict.Accept},
			{broker.Read, "bob/x", verdict.Deny},
			{broker.Subscribe, "alice/#", verdict.Accept},
			{broker.Subscribe, "#", verdict.Deny},
			{broker.Unsubscribe, "#", verdict.Accept},
			{broker.Write, "$CONTROL/jwt-auth/v1", verdict.Accept},
		} {
			if got := h.may(1, c.access, c.topic); got != c.want {
				t.Errorf("%d %s: %s, want %s", c.access, c.topic, got, c.want)
			}
		}
		h.login(2, "p", text("operator"), text("a password"))
		if h.broker.asksAbout[2] {
			t.Error("the broker asks about a client that is left to others")
		}
	})
}

// The broker denies what nobody allows as soon as anybody is registered: so it is only where that is needed.
func TestWhoIsAskedForNothingIsNotRegistered(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		plain, rights := local(mapped), authorized(ownTopics)
		t.Run("without rights", func(t *testing.T) {
			h := open(t, plain, v)
			h.login(1, "c", nil, h.token("alice", time.Hour))
			if h.broker.checksACL || len(h.broker.asksAbout) != 0 {
				t.Error("registered")
			}
		})
		t.Run("a reload switches them on", func(t *testing.T) {
			h := open(t, plain, v)
			h.login(1, "c", nil, h.token("alice", time.Hour))
			h.reloaded(t, rights)
			if !h.broker.checksACL {
				t.Error("not registered")
			}
			if got := h.may(1, broker.Write, "bob/x"); got != verdict.Defer {
				t.Errorf("a session from before: %s", got)
			}
			h.login(2, "c", nil, h.token("alice", time.Hour))
			if got := h.may(2, broker.Write, "bob/x"); got != verdict.Deny {
				t.Errorf("a new one: %s", got)
			}
		})
		t.Run("a reload switches them off", func(t *testing.T) {
			h := open(t, rights, v)
			h.login(1, "c", nil, h.token("alice", time.Hour))
			h.login(2, "d", nil, h.token("alice", time.Hour))
			h.leave(2, "d", true)
			h.reloaded(t, plain)
			if got := h.may(1, broker.Write, "bob/x"); !h.broker.checksACL || got != verdict.Deny {
				t.Errorf("a session from before: %s, registered: %t", got, h.broker.checksACL)
			}
			h.login(3, "e", nil, h.token("alice", time.Hour))
			if got := h.ask(broker.ACLCheck{Conn: 3, ClientID: "e", Username: "alice", Access: broker.Write, Topic: "bob/x"}); got != verdict.Defer {
				t.Errorf("a new one: %s", got)
			}
			h.broker.mqtt5 = map[broker.Conn]bool{1: true}
			h.broker.tickIn = time.Hour
			h.leave(1, "c", false)
			if h.broker.tickIn != 0 {
				t.Error("the end is not seen to")
			}
			if got := h.may(1, broker.Write, "alice/will"); !h.broker.checksACL || got != verdict.Accept {
				t.Errorf("the will of a session from before: %s", got)
			}
			h.Tick()
			if h.broker.checksACL || len(h.broker.asksAbout) != 0 {
				t.Errorf("still registered, or asked about %v", h.broker.asksAbout)
			}
			h.reloaded(t, rights)
			h.login(1, "c", nil, h.token("alice", time.Hour))
			if got := h.may(1, broker.Write, "bob/x"); got != verdict.Deny {
				t.Errorf("on again: %s", got)
			}
		})
	})
	t.Run("a broker that does not do it is not started", func(t *testing.T) {
		// Without it every token would allow everything.
		h := open(t, local(mapped))
		h.broker.refuseACL = true
		h.write(t, authorized(ownTopics))
		if p, err := New(h.broker, Options{Settings: map[string]string{"config_file": h.file}, Now: h.clock}); err == nil {
			p.Close()
			t.Error("started")
		}
		h.Reload()
		h.broker.awaitLog("was not reloaded: the configuration from before stays in force")
	})
}

// Rights outlive the DISCONNECT event: for the will, and for a session that the broker keeps.
func TestRightsOutliveTheConnection(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		for _, c := range []struct {
			rule        string
			then        func(h *env)
			will, later verdict.Kind
		}{
			{"nothing is kept", func(h *env) { h.leave(1, "c", false) }, verdict.Accept, verdict.Defer},
			{"the session is kept", func(h *env) { h.leave(1, "c", true) }, verdict.Accept, verdict.Accept},
			{"it is disconnected", func(h *env) { h.advance(time.Hour); h.broker.admitting = nil; h.lifetimes.Kick() }, verdict.Accept, verdict.Defer},
			{"the session was kept, and another takes it over", func(h *env) {
				h.leave(1, "c", true)
				h.Tick()
				h.login(2, "c", nil, h.token("alice", time.Hour))
			}, verdict.Accept, verdict.Defer},
			{"another takes it over", func(h *env) { h.login(2, "c", nil, h.token("alice", time.Hour)) }, verdict.Accept, verdict.Defer},
		} {
			t.Run(c.rule, func(t *testing.T) {
				h := open(t, authorized(ownTopics), v)
				h.login(1, "c", nil, h.token("alice", time.Hour))
				c.then(h)
				if got := h.may(1, broker.Write, "alice/will"); got != c.will {
					t.Errorf("its will: %s, want %s", got, c.will)
				}
				if got := h.may(1, broker.Write, "bob/will"); got == verdict.Accept {
					t.Error("a will on any topic")
				}
				h.Tick()
				if got := h.may(1, broker.Read, "alice/x"); got != c.later {
					t.Errorf("later: %s, want %s", got, c.later)
				}
				if h.broker.asksAbout[1] != (c.later != verdict.Defer) {
					t.Errorf("asks about it: %t", h.broker.asksAbout[1])
				}
			})
		}
	})
}

// The broker does not say that a will has a delay, which MQTT 5 knows alone.
func TestAWillWithADelayIsJudgedLater(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, authorized(ownTopics), v)
		h.broker.mqtt5 = map[broker.Conn]bool{1: true}
		h.login(1, "c", nil, h.token("alice", time.Hour))
		h.login(2, "d", nil, h.token("alice", time.Hour))
		h.leave(1, "c", false)
		h.leave(2, "d", false)
		h.pass(time.Minute)
		if h.broker.asksAbout[2] {
			t.Error("a client by MQTT 3.1.1 has no such will")
		}
		if got := h.may(1, broker.Write, "alice/will"); got != verdict.Accept {
			t.Errorf("got %s", got)
		}
		if got := h.may(1, broker.Write, "alice/will"); got != verdict.Defer || h.broker.asksAbout[1] {
			t.Errorf("a second one: %s", got)
		}
	})
}

// Whose address? It comes back with another client behind it, and certificate logins and enhanced authentications with other plugins
// come without BASIC_AUTH.
func TestRightsAreNobodyElsesAtTheSameAddress(t *testing.T) {
	const both = "both"
	for _, c := range []struct {
		rule, on string
		then     func(h *env)
		// what "c" by username "alice" may do at address 1.
		want verdict.Kind
	}{
		{"it is back", both, func(h *env) { h.login(1, "c", nil, h.token("alice", time.Hour)) }, verdict.Accept},
		{"with a token that is worth nothing", both, func(h *env) { h.login(1, "c", nil, h.token("alice", -time.Hour)) }, verdict.Defer},
		{"a client with a password", both, func(h *env) { h.login(1, "c", text("alice"), text("a password")) }, verdict.Defer},
		{"a client with a certificate, which the broker tells of", "2.1", func(h *env) { h.broker.connect("c", 1) }, verdict.Defer},
		{"a client with a certificate elsewhere, by its id", "2.1", func(h *env) { h.broker.connect("c", 2); h.Tick() }, verdict.Defer},
		{"a client with a certificate elsewhere, by another id", "2.1", func(h *env) { h.broker.connect("d", 2); h.Tick() }, verdict.Accept},
		{"the session is taken over by somebody else, of whom 2.0 says nothing", both, func(h *env) { h.Disconnect(1, false); h.Tick() }, verdict.Defer},
		{"a password that is refused, elsewhere", both, func(h *env) {
			h.login(2, "c", text("alice"), text("a password"))
			h.Disconnect(2, false)
			h.Tick()
		}, verdict.Accept},
		{"the broker asks for everybody again", both, func(h *env) {
			h.Reload()
			h.BasicAuth(broker.Connect{Conn: 1, ClientID: "c", Username: text("alice"), Password: h.token("alice", time.Hour)})
		}, verdict.Accept},
		{"somebody else comes while it does", both, func(h *env) {
			h.Reload()
			h.BasicAuth(broker.Connect{Conn: 1, ClientID: "x", Username: text("x"), Password: text("a password")})
		}, verdict.Defer},
	} {
		t.Run(c.rule, func(t *testing.T) {
			versions(t, func(t *testing.T, v func(*fakeBroker)) {
				h := open(t, authorized(ownTopics), v)
				if c.on == "2.1" && h.broker.v20 {
					t.Skip("2.0 does not tell of it")
				}
				h.login(1, "c", nil, h.token("alice", time.Hour))
				h.leave(1, "c", true)
				h.Tick()
				c.then(h)
				if got := h.may(1, broker.Read, "alice/x"); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				if h.broker.asksAbout[1] != (c.want != verdict.Defer) {
					t.Errorf("asks about it: %t", h.broker.asksAbout[1])
				}
			})
		})
	}
	// Where nobody is told of: by another name they are not the same.
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, authorized(ownTopics), v)
		h.login(1, "c", nil, h.token("alice", time.Hour))
		for _, kept := range []bool{false, true} {
			for _, other := range []broker.ACLCheck{
				{ClientID: "c", Username: "bob"}, {ClientID: "c"}, {ClientID: "d", Username: "alice"}, {Username: "alice"},
			} {
				other.Conn, other.Access, other.Topic = 1, broker.Write, "alice/x"
				if got := h.ask(other); got != verdict.Defer {
					t.Errorf("%q by username %q: %s", other.ClientID, other.Username, got)
				}
			}
			if !kept {
				h.leave(1, "c", true)
			}
		}
	})
}

// The broker asks about what is queued for a client before its login has come to an end.
func TestRightsAreThereWhenALoginIsAdmitted(t *testing.T) {
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	var all map[string]any
	if err := json.Unmarshal([]byte(d.file(mapped, `"timeoutMs":60000`)), &all); err != nil {
		t.Fatal(err)
	}
	all["options"].(map[string]any)["authorization"] = json.RawMessage("{" + ownTopics + "}")
	file, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule string
		then func(h *env)
		want verdict.Kind
	}{
		{"it is let in", func(*env) {}, verdict.Accept},
		{"it has dropped", func(h *env) { h.drop() }, verdict.Defer},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, string(file))
			asked := 0
			h.broker.admitting = func(conn broker.Conn) {
				asked++
				if got := h.may(conn, broker.Read, "alice/x"); got != verdict.Accept {
					t.Errorf("what is queued: %s", got)
				}
			}
			if got := h.login(1, "c", nil, token); got != verdict.Pending {
				t.Fatalf("got %s", got)
			}
			if len(h.broker.asksAbout) != 0 {
				t.Error("asked about before its verdict")
			}
			c.then(h)
			d.says(token, active)
			h.completes(t, "c true")
			if got := h.may(1, broker.Read, "alice/x"); got != c.want || (asked == 1) != (c.want == verdict.Accept) {
				t.Errorf("got %s, asked when it was let in: %d", got, asked)
			}
		})
	}
}

// A renewal puts the rights of the fresh token, by the file in force, in the place of those before.
func TestARenewalReplacesRights(t *testing.T) {
	const plain = `{"algorithm":"HS256","mode":"local","options":{"modes":{"local":"` + secret + `"},"common":{` + mapped + `}}}`
	both := func(topic string) string {
		return fmt.Sprintf(`"grants":[{"everyone":true,"publish":["%s/#"],"subscribe":["%[1]s/#"]}]`, topic)
	}
	for _, c := range []struct {
		rule, at, then string
		token          func(h *env) *string
		// x and y are what the client may publish to after that.
		x, y verdict.Kind
	}{
		{"others", authorized(both("x")), authorized(both("y")), func(h *env) *string { return h.token("alice", time.Hour) }, verdict.Deny, verdict.Accept},
		{"the first", plain, authorized(both("y")), func(h *env) *string { return h.token("alice", time.Hour) }, verdict.Deny, verdict.Accept},
		{"none any more", authorized(both("x")), plain, func(h *env) *string { return h.token("alice", time.Hour) }, verdict.Defer, verdict.Defer},
		{"a refused one", authorized(both("x")), authorized(both("y")), func(h *env) *string { return h.token("bob", time.Hour) }, verdict.Accept, verdict.Deny},
	} {
		t.Run(c.rule, func(t *testing.T) {
			eachWay(t, func(t *testing.T, renew func(h *env, conn broker.Conn, id string, token *string), adjust func(*fakeBroker)) {
				h := open(t, c.at, adjust)
				h.login(1, "c", nil, h.token("alice", time.Minute))
				h.reloaded(t, c.then)
				x, y := h.may(1, broker.Write, "x/x"), h.may(1, broker.Write, "y/y")
				if kept := c.at != plain; (x == verdict.Accept) != kept || y == verdict.Accept {
					t.Errorf("before: x %s, y %s", x, y)
				}
				renew(h, 1, "c", c.token(h))
				if h.broker.connected["c"] != 1 { // a refused AUTH ends it
					return
				}
				if x, y := h.may(1, broker.Write, "x/x"), h.may(1, broker.Write, "y/y"); x != c.x || y != c.y {
					t.Errorf("x: %s, want %s; y: %s, want %s", x, c.x, y, c.y)
				}
				if c.rule == "none any more" && h.broker.tickIn != 0 {
					t.Error("the end is not seen to")
				}
				h.Tick()
				if want := c.rule != "none any more"; h.broker.checksACL != want {
					t.Errorf("registered: %t", !want)
				}
			})
		})
	}
}

// Where a provider of the file has rights, the clients of another one without are left to others, but may renew.
func TestAProviderWithoutAuthorization(t *testing.T) {
	var b map[string]any
	if err := json.Unmarshal([]byte(of("b", nil, "")), &b); err != nil {
		t.Fatal(err)
	}
	b["options"].(map[string]any)["authorization"] = json.RawMessage("{" + ownTopics + "}")
	withRights, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, fileOf(of("a", nil, ""), string(withRights)))
	h.login(1, "c", nil, tokenOf("a", "alice", time.Hour))
	ask := func(access broker.Access, topic string) verdict.Kind {
		return h.ask(broker.ACLCheck{Conn: 1, ClientID: "c", Username: "a:alice", Access: access, Topic: topic})
	}
	for _, access := range []broker.Access{broker.Read, broker.Write, broker.Subscribe} {
		if got := ask(access, "alice/x"); got != verdict.Defer {
			t.Errorf("%d: %s", access, got)
		}
	}
	if got := ask(broker.Write, "$CONTROL/jwt-auth/v1"); got != verdict.Accept {
		t.Errorf("to renew: %s", got)
	}
	h.login(2, "d", nil, tokenOf("b", "bob", time.Hour))
	h.reloaded(t, fileOf(of("a", nil, ""), of("b", nil, "")))
	if !h.broker.checksACL {
		t.Error("not registered for whom has rights by the file from before")
	}
	h.leave(2, "d", false)
	h.Tick()
	if h.broker.checksACL {
		t.Error("registered for one without rights")
	}
}

// A retained message is delivered if its publisher may still publish it, as far as that is known.
func TestWhoPublishedARetainedMessage(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		for _, c := range []struct {
			rule            string
			then            func(h *env)
			username, topic string
			want            verdict.Kind
		}{
			{"connected", func(*env) {}, "alice", "alice/x", verdict.Accept},
			{"connected, and may not any more", func(*env) {}, "alice", "bob/x", verdict.Deny},
			{"another username", func(*env) {}, "bob", "alice/x", verdict.Defer},
			{"away", func(h *env) { h.leave(1, "c", true); h.Tick() }, "alice", "alice/x", verdict.Accept},
			{"away, another username", func(h *env) { h.leave(1, "c", true); h.Tick() }, "bob", "alice/x", verdict.Defer},
			{"gone", func(h *env) { h.leave(1, "c", false); h.Tick() }, "alice", "alice/x", verdict.Defer},
			{"back at another address", func(h *env) { h.login(2, "c", nil, h.token("alice", time.Hour)); h.Tick() }, "alice", "alice/x", verdict.Accept},
		} {
			t.Run(c.rule, func(t *testing.T) {
				h := open(t, authorized(ownTopics), v)
				h.login(1, "c", nil, h.token("alice", time.Hour))
				c.then(h)
				if got := h.ask(broker.ACLCheck{ClientID: "c", Username: c.username, Access: broker.Write, Topic: c.topic, Retain: true}); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		}
	})
}

// Instances share the broker's client ids and its addresses.
func TestRightsEndWithALoginOnAnotherListener(t *testing.T) {
	for _, c := range []struct {
		rule string
		conn broker.Conn
		id   string
		want verdict.Kind
	}{
		{"by the same id", 2, "c", verdict.Defer},
		{"from the same address", 1, "d", verdict.Defer},
		{"by another id from another address", 2, "d", verdict.Accept},
	} {
		t.Run(c.rule, func(t *testing.T) {
			one, two := open(t, authorized(ownTopics)), open(t, local(mapped))
			two.Plugin.table = one.Plugin.table
			one.login(1, "c", nil, one.token("alice", time.Hour))
			one.leave(1, "c", true)
			two.login(c.conn, c.id, nil, two.token("alice", time.Hour))
			one.Tick()
			if got := one.may(1, broker.Read, "alice/x"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// The broker asks from inside of a kick about all subscriptions of a session that it keeps, with QoS 0, whatever they were granted
// with, and drops those that are denied.
func TestAKickLeavesSubscriptionsAsTheyAre(t *testing.T) {
	h := open(t, authorized(`"rules":[{"claim":"acl","format":"emqx"}]`))
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(fmt.Appendf(nil,
		`{"sub":"alice","exp":%d,"acl":[{"permission":"allow","action":"subscribe","topic":"one","qos":[1]},{"permission":"allow","action":"subscribe","topic":"all"}]}`, opening.Add(time.Minute).Unix()))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	text += "." + encode(mac.Sum(nil))
	h.login(1, "c", nil, &text)
	if got := h.may(1, broker.Subscribe, "one"); got != verdict.Deny {
		t.Errorf("a subscription with QoS 0: %s", got)
	}
	got := map[string]verdict.Kind{}
	h.broker.kicking = func(c broker.Conn) {
		for _, filter := range []string{"one", "all", "other"} {
			got[filter] = h.may(c, broker.Subscribe, filter)
		}
	}
	h.pass(time.Minute)
	if want := map[string]verdict.Kind{"one": verdict.Accept, "all": verdict.Accept, "other": verdict.Deny}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// On Mosquitto 2.1 an instance for all listeners and one for a listener are both told of that one's clients.
func TestAnotherInstanceIsToldOfAClientWithRights(t *testing.T) {
	one, two := open(t, authorized(ownTopics)), open(t, local(mapped))
	one.table.rights = append(one.table.rights, two.rights)
	two.Plugin.table = one.Plugin.table
	one.login(1, "c", nil, one.token("alice", time.Hour))
	two.Connect(1, "c")
	if got := one.may(1, broker.Write, "bob/x"); got != verdict.Deny {
		t.Errorf("got %s", got)
	}
	two.Connect(1, "d")
	if got := one.may(1, broker.Write, "alice/x"); got != verdict.Defer {
		t.Errorf("somebody else at its address: %s", got)
	}
}

// The Tick that ends rights comes before the broker uses the address again, for a client of the same names perhaps about whom nobody asks.
func TestATickFollowsTheEndOfRights(t *testing.T) {
	for _, c := range []struct {
		rule string
		ends func(h *env)
	}{
		{"its session is taken over", func(h *env) { h.leave(1, "c", true); h.login(2, "c", nil, h.token("alice", time.Hour)) }},
		{"others let in who takes it over", func(h *env) { h.leave(1, "c", true); h.Connect(2, "c") }},
		{"it has left", func(h *env) { h.leave(1, "c", false) }},
		{"it was disconnected, inside of a Tick", func(h *env) { h.advance(time.Minute); h.Tick() }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, authorized(ownTopics))
			h.login(1, "c", nil, h.token("alice", time.Minute))
			h.broker.tickIn = time.Hour
			h.Tick()
			c.ends(h)
			if h.broker.tickIn > loop.Rest {
				t.Errorf("the next Tick is in %s", h.broker.tickIn)
			}
		})
	}
}

// A denied action is logged, with the rule that was missing, once a minute for each client, action and topic.
func TestADeniedActionIsLogged(t *testing.T) {
	const said = `client "c" may not publish (QoS 0) to "bob/x": no rule is about it (token jti "alice's")`
	for _, c := range []struct{ rule, authorization, level string }{
		{"for whoever looks closely", ownTopics, "debug"},
		{"logDenied", ownTopics + `,"logDenied":true`, "notice"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, authorized(c.authorization))
			h.login(1, "c", nil, h.token("alice", time.Hour))
			count := func() (n int) {
				for _, line := range h.broker.log {
					if strings.Contains(line, " may not ") {
						n++
					}
				}
				return n
			}
			h.may(1, broker.Write, "alice/x")
			for range 3 {
				h.may(1, broker.Write, "bob/x")
			}
			if count() != 1 || !h.logged(c.level+" go_jwt_auth: "+said) {
				t.Errorf("log %q", h.broker.log)
			}
			h.may(1, broker.Write, "bob/y")
			h.may(1, broker.Read, "bob/x")
			h.may(1, broker.Subscribe, "bob/x")
			if count() != 4 || !h.logged(`may not receive from "bob/x"`) || !h.logged(`may not subscribe to "bob/x"`) {
				t.Errorf("log %q", h.broker.log)
			}
			h.advance(time.Minute - 1)
			h.may(1, broker.Write, "bob/x")
			if count() != 4 {
				t.Error("twice within a minute")
			}
			h.advance(1)
			h.may(1, broker.Write, "bob/x")
			if count() != 5 {
				t.Error("not a minute later")
			}
			before := count()
			for i := range 100_000 {
				h.may(1, broker.Write, fmt.Sprint("bob/", i))
			}
			if n := count() - before; n > denialSets*denialsInSet || n < denialSets*denialsInSet/2 {
				t.Errorf("%d lines in a minute", n)
			}
		})
	}
}

// No message shows a client id that is the token itself.
func TestADeniedActionShowsNoToken(t *testing.T) {
	token := mint("alice", time.Hour)
	h := open(t, authorized(ownTopics))
	h.login(1, *token, nil, token)
	h.ask(broker.ACLCheck{Conn: 1, ClientID: *token, Username: "alice", Access: broker.Write, Topic: "bob/x"})
	h.ask(broker.ACLCheck{Conn: 1, ClientID: *token, Username: "alice", Access: broker.Write, Topic: *token})
	if !h.logged("client (a token) may not publish") || h.logged(*token) {
		t.Errorf("log %q", h.broker.log)
	}
}

// A check comes for each message to each subscriber.
func TestACheckAllocatesNothing(t *testing.T) {
	h := open(t, authorized(ownTopics))
	h.login(1, "c", nil, h.token("alice", time.Hour))
	h.login(2, "d", nil, h.token("alice", time.Hour))
	h.leave(2, "d", true)
	h.may(1, broker.Read, "bob/x")
	for _, c := range []struct {
		rule  string
		check broker.ACLCheck
		want  verdict.Kind
	}{
		{"allowed", broker.ACLCheck{Conn: 1, ClientID: "c", Username: "alice", Access: broker.Read, Topic: "alice/x"}, verdict.Accept},
		{"denied, and logged already", broker.ACLCheck{Conn: 1, ClientID: "c", Username: "alice", Access: broker.Read, Topic: "bob/x"}, verdict.Deny},
		{"away", broker.ACLCheck{Conn: 2, ClientID: "d", Username: "alice", Access: broker.Read, Topic: "alice/x"}, verdict.Accept},
		{"somebody else's", broker.ACLCheck{Conn: 2, ClientID: "c", Username: "alice", Access: broker.Read, Topic: "alice/x"}, verdict.Defer},
		{"a publisher", broker.ACLCheck{ClientID: "d", Username: "alice", Access: broker.Write, Topic: "alice/x", Retain: true}, verdict.Accept},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var got verdict.Kind
			if n := testing.AllocsPerRun(100, func() { got, _ = h.ACLCheck(c.check) }); n != 0 {
				t.Errorf("%.0f allocations", n)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// However many come and go, the broker is told to ask about those alone that have rights.
func TestTheBrokerIsAskedToAskAboutFew(t *testing.T) {
	versions(t, func(t *testing.T, v func(*fakeBroker)) {
		h := open(t, authorized(ownTopics), v)
		token := h.token("alice", time.Hour)
		for i := range 1000 {
			c := broker.Conn(i%50 + 1)
			h.login(c, fmt.Sprint("c", i), nil, token)
			h.leave(c, fmt.Sprint("c", i), false)
			if i%7 == 0 {
				h.Tick()
			}
		}
		h.Tick()
		if len(h.broker.asksAbout) != 0 {
			t.Errorf("it asks about %d", len(h.broker.asksAbout))
		}
	})
}

// opaque has a gate say everything of tokens.
func (d *gate) opaque(authorization string) string {
	return fmt.Sprintf(`{"mode":"introspection","options":{"lazyConnect":true,"common":{%s,"requireExpiration":false},"authorization":{%s},
		"revocation":{"introspection":{"uri":%q},"timeoutMs":60000,"check":"onRetry","recheckIntervalMs":1000}}}`, mapped, authorization, d.url)
}

// The endpoint says what the bearer of an opaque token may do, and may say something else when it is asked again.
func TestARecheckMayChangeRights(t *testing.T) {
	const byClaim = `"rules":[{"claim":"mqtt","format":"topics"}]`
	says := func(mqtt string) string { return `{"active":true,"sub":"alice","mqtt":` + mqtt + `}` }
	for _, c := range []struct {
		rule, answer string
		x, y         verdict.Kind
		log          string
	}{
		{"the same", says(`{"publish":["x"]}`), verdict.Accept, verdict.Deny, ""},
		{"others", says(`{"publish":["y"]}`), verdict.Deny, verdict.Accept, ""},
		{"none", `{"active":true,"sub":"alice"}`, verdict.Deny, verdict.Deny, ""},
		{"what can't be read", says(`"x"`), verdict.Deny, verdict.Deny, `client "c" stays, and may do nothing: malformed rights: `},
		{"no answer", broken, verdict.Accept, verdict.Deny, `client "c" stays, though nothing was learnt about it: `},
	} {
		t.Run(c.rule, func(t *testing.T) {
			token := text("an opaque token of alice's")
			d := newGate(t, token)
			h := open(t, d.opaque(byClaim))
			d.says(token, says(`{"publish":["x"]}`))
			if got := h.login(1, "c", nil, token); got != verdict.Retry {
				t.Fatalf("got %s", got)
			}
			h.awaitVerdict(t, token, verdict.Accept)
			h.login(1, "c", nil, token)
			if got := h.may(1, broker.Write, "x"); got != verdict.Accept {
				t.Fatalf("at login: %s", got)
			}
			h.pass(time.Second)
			d.waitAsked()
			d.waitAsked()
			d.says(token, c.answer)
			h.awaits(t, "not rechecked", func() bool { return h.lifetimes.Rechecking() == 0 })
			if x, y := h.may(1, broker.Write, "x"), h.may(1, broker.Write, "y"); x != c.x || y != c.y {
				t.Errorf("x: %s, want %s; y: %s, want %s", x, c.x, y, c.y)
			}
			if !h.logged(c.log) {
				t.Errorf("log %q", h.broker.log)
			}
		})
	}
}

// What the broker accepts by an answer of before is counted, too.
func TestAllChecksAreCounted(t *testing.T) {
	listen := testport.Free(t)
	h := open(t, metered(authorized(ownTopics), listen))
	h.login(1, "c", nil, h.token("alice", time.Hour))
	for range 5 {
		h.may(1, broker.Read, "alice/x")
	}
	h.may(1, broker.Read, "bob/x")
	h.Tick()
	measures(t, listen, `jwt_auth_rights_checks_total{result="accepted"} 5`, `jwt_auth_rights_checks_total{result="refused"} 1`)
}

// Without Ticks a client may be kicked inside of another's Disconnect: the will of that one is still to be judged.
func TestWithoutTicksAWillIsJudgedAfterAKick(t *testing.T) {
	h := open(t, authorized(ownTopics), v20)
	h.ticks = loop.Ticks{}
	h.login(1, "d", text("bob"), h.token("bob", time.Minute))
	h.login(2, "c", text("alice"), h.token("alice", time.Hour))
	h.advance(time.Minute)
	h.Disconnect(2, false)
	if got := h.may(2, broker.Write, "alice/gone"); got != verdict.Accept || len(h.broker.kicked) != 1 {
		t.Errorf("got %s; kicked %q", got, h.broker.kicked)
	}
}

// While the broker does not ask about rights, nobody is recorded with any: a login that has waited for its verdict since a file that gave
// some would have the next reload begin the checks, by which all others are denied what nobody allows.
func TestNobodyHasRightsThatNobodyAsksAbout(t *testing.T) {
	h := open(t, authorized(ownTopics))
	h.checksACL = false // as a file without authorization has it
	h.login(1, "c", text("alice"), h.token("alice", time.Hour))
	if h.rights.Bound() != 0 || h.broker.asksAbout[1] {
		t.Errorf("%d are bound", h.rights.Bound())
	}
}
