package plugin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/admin"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/verdict"
)

// withAdmins is a file of mode local in which these are admins.
func withAdmins(list, common string) string {
	return strings.Replace(local(common), `"options":{`, `"options":{"control":{"admins":`+list+`},`, 1)
}

// reply is the answer to one command.
type reply struct {
	Command, Error string
	Data           json.RawMessage
}

// commands sends one command and returns its answer, after as many Ticks as that takes.
func (h *env) commands(t *testing.T, c broker.Conn, id, command string) reply {
	t.Helper()
	before := len(h.broker.published)
	h.sends(c, id, `{"commands":[`+command+`]}`)
	for range 10_000 {
		if len(h.broker.published) > before {
			break
		}
		h.Tick()
	}
	if len(h.broker.published) != before+1 {
		t.Fatalf("%s: %d answers", command, len(h.broker.published)-before)
	}
	payload, is := strings.CutPrefix(h.broker.published[before], id+" "+control.ResponseTopic+" ")
	var message struct{ Responses []reply }
	if err := json.Unmarshal([]byte(payload), &message); err != nil || !is || len(message.Responses) != 1 {
		t.Fatalf("%s: %v", h.broker.published[before], err)
	}
	return message.Responses[0]
}

// query is commands for a command that must be done.
func (h *env) query(t *testing.T, c broker.Conn, id, command string, to any) {
	t.Helper()
	r := h.commands(t, c, id, command)
	if r.Error != "" {
		t.Fatalf("%s: %s", command, r.Error)
	}
	if err := json.Unmarshal(r.Data, to); err != nil {
		t.Fatalf("%s: %s", r.Data, err)
	}
}

// comesByPassword is a client that others let in; ops is one who is an admin.
func (h *env) comesByPassword(t *testing.T, c broker.Conn, id, username string) {
	t.Helper()
	if got := h.login(c, id, &username, text("hunter2")); got != verdict.Defer {
		t.Fatalf("got %s", got)
	}
	h.broker.names[c] = username
	h.broker.connect(id, c)
	if h.broker.v20 {
		h.advance(time.Second)
		h.Tick()
	}
}

type sessionPage struct {
	TotalCount int
	Complete   bool
	Incomplete string
	Revision   uint64
	Sessions   []admin.Session
	Ended      []string
	More       bool
}

// onBoth runs a test on both kinds of broker.
func onBoth(t *testing.T, test func(t *testing.T, adjust func(*fakeBroker))) {
	t.Helper()
	t.Run("2.0", func(t *testing.T) { test(t, v20) })
	t.Run("2.1", func(t *testing.T) { test(t, v21) })
}

func TestWhoIsConnected(t *testing.T) {
	onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
		h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
		h.comesByPassword(t, 1, "o", "ops")
		h.advance(time.Minute)
		h.login(2, "c", nil, h.token("alice", time.Hour))
		var page sessionPage
		h.query(t, 1, "o", `{"command":"listSessions"}`, &page)
		came := opening.Add(time.Minute).Unix()
		if h.broker.v20 {
			came++
		}
		if page.TotalCount != 2 || page.Complete == h.broker.v20 || (page.Incomplete == "") == h.broker.v20 || len(page.Sessions) != 2 {
			t.Fatalf("%+v", page)
		}
		ops, alice := page.Sessions[0], page.Sessions[1]
		if ops.ClientID != "o" || ops.Username != "ops" || ops.Login != "password" || !ops.Admin || !ops.Connected || ops.Token != nil || ops.ConnectedAt != opening.Unix() {
			t.Errorf("%+v", ops)
		}
		if alice.ClientID != "c" || alice.Username != "alice" || alice.Login != "token" || alice.Admin || alice.ConnectedAt != came || alice.Token == nil ||
			*alice.Token != (admin.Token{Subject: "alice", JTI: "alice's", Expires: came + 3600, LeavesAt: came + 3600}) {
			t.Errorf("%+v %+v", alice, alice.Token)
		}
		var one struct{ Session admin.Detail }
		h.query(t, 1, "o", `{"command":"getSession","clientid":"c"}`, &one)
		if one.Session.ClientID != "c" || one.Session.Token.JTI != "alice's" {
			t.Errorf("%+v", one)
		}
		if r := h.commands(t, 1, "o", `{"command":"getSession","clientid":"x"}`); r.Error != "no such client" {
			t.Errorf("%+v", r)
		}
		since := page.Revision
		h.Disconnect(2, false)
		delete(h.broker.connected, "c")
		h.renews(1, "o", h.token("alice", time.Hour))
		h.login(3, "d", nil, h.token("bob", time.Hour))
		h.query(t, 1, "o", fmt.Sprintf(`{"command":"listSessionChanges","since":%d}`, since), &page)
		if len(page.Sessions) != 1 || page.Sessions[0].ClientID != "d" || !slices.Equal(page.Ended, []string{"c"}) || page.More || page.Revision <= since {
			t.Errorf("%+v", page)
		}
		if r := h.commands(t, 1, "o", `{"command":"listSessionChanges","since":7}`); r.Error != "revision too old" {
			t.Errorf("%+v", r)
		}
	})
}

// However many an admin looks at, and however many admins do, nobody waits for it much longer than for a login.
func TestWhoLooksHoldsNobodyUp(t *testing.T) {
	const clients, admins = 1000, 3
	h := open(t, withAdmins(`["ops"]`, mapsUsername), v21)
	for n := range admins {
		h.comesByPassword(t, broker.Conn(clients+n), fmt.Sprint("o", n), "ops")
	}
	for n := range clients {
		h.login(broker.Conn(n), fmt.Sprint("c", n), nil, h.token("alice", time.Hour))
	}
	h.settles(t)
	h.broker.clientTakes = 2 * time.Microsecond
	const longest = jobTurn + 8*2*time.Microsecond // and what one step takes
	began := h.clock()
	for n := range admins {
		h.sends(broker.Conn(clients+n), fmt.Sprint("o", n), `{"commands":[{"command":"listSessions","count":1000}]}`)
		if took := h.clock().Sub(began); took > longest {
			t.Fatalf("the command took %s", took)
		}
	}
	ticks := 0
	for ; len(h.broker.published) < admins; ticks++ {
		<-h.broker.woken // else there would be no Tick
		began := h.clock()
		h.Tick()
		if took := h.clock().Sub(began); took > longest {
			t.Fatalf("a Tick took %s", took)
		}
	}
	if ticks < 3*clients*2/int(longest/time.Microsecond) {
		t.Errorf("it was done in %d Ticks", ticks)
	}
}

// What an admin is told is for that connection alone, however soon another comes by its names, at its address perhaps.
func TestWhatAnAdminHasAskedIsForNoOther(t *testing.T) {
	onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
		for _, conn := range []broker.Conn{1, 2} {
			h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
			h.comesByPassword(t, 1, "o", "ops")
			h.sends(1, "o", `{"commands":[{"command":"listSessions"}]}`)
			if len(h.broker.published) > 0 {
				t.Fatal("it is answered at once")
			}
			delete(h.broker.connected, "o")
			h.Disconnect(1, false)
			h.comesByPassword(t, conn, "o", "ops")
			h.Tick()
			if len(h.broker.published) > 0 {
				t.Errorf("the next at %d was told %s", conn, h.broker.published)
			}
		}
	})
}

func TestDisconnectSession(t *testing.T) {
	for _, c := range []struct {
		rule, command, answer string
		kicked                []string
	}{
		{"by client id", `"clientid":"c"`, `{"disconnected":1,"blocked":0}`, []string{"c will=true"}},
		{"somebody else's", `"clientid":"p"`, `{"disconnected":1,"blocked":0}`, []string{"p will=true"}},
		{"by username", `"username":"alice"`, `{"disconnected":2,"blocked":0}`, []string{"c will=true", "c2 will=true"}},
		{"by sub", `"sub":"bob"`, `{"disconnected":1,"blocked":0}`, []string{"d will=true"}},
		{"by jti", `"jti":"alice's"`, `{"disconnected":2,"blocked":0}`, []string{"c will=true", "c2 will=true"}},
		{"nobody", `"sub":"nobody"`, `{"disconnected":0,"blocked":0}`, nil},
		{"nobody who has no token", `"sub":"ops"`, `{"disconnected":0,"blocked":0}`, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
				h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
				h.comesByPassword(t, 1, "o", "ops")
				h.comesByPassword(t, 2, "p", "pump")
				h.login(3, "c", nil, h.token("alice", time.Hour))
				h.login(4, "c2", nil, h.token("alice", time.Hour))
				h.login(5, "d", nil, h.token("bob", time.Hour))
				if r := h.commands(t, 1, "o", `{"command":"disconnectSession",`+c.command+`,"reason":"a \"test\""}`); string(r.Data) != c.answer {
					t.Errorf("%s %s", r.Data, r.Error)
				}
				h.Tick()
				h.Tick()
				slices.Sort(h.broker.kicked)
				if !slices.Equal(h.broker.kicked, c.kicked) {
					t.Errorf("kicked %q", h.broker.kicked)
				}
				for _, kicked := range c.kicked {
					id, _, _ := strings.Cut(kicked, " ")
					h.broker.awaitLog(`notice go_jwt_auth: client "` + id + `"( \[[0-9.]*\])? disconnected: by an admin: "ops", "a \\"test\\""`)
				}
				h.broker.awaitLog(`notice go_jwt_auth: client "o".* commanded disconnectSession `)
			})
		})
	}
}
