package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// query is commands for one that must be done, of client "o".
func (h *env) query(t *testing.T, c broker.Conn, command string, to any) {
	t.Helper()
	r := h.commands(t, c, "o", command)
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
	Next       uint64
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
		h.query(t, 1, `{"command":"listSessions"}`, &page)
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
		h.query(t, 1, `{"command":"getSession","clientid":"c"}`, &one)
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
		h.query(t, 1, fmt.Sprintf(`{"command":"listSessionChanges","since":%d}`, since), &page)
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
	listed := strings.Count(strings.Join(h.broker.published, ""), `"clientid"`)
	if listed < admins*100 || ticks < listed*2/int(longest/time.Microsecond) {
		t.Errorf("%d were listed in %d Ticks", listed, ticks)
	}
}

// An admin whose client id is its token, and who leaves before it is answered: the log has been told what to hide.
func TestACommandOfWhoHasLeftShowsNoToken(t *testing.T) {
	const opaque = "opaque-8f14e45f"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"active":true,"sub":"ops"}`)
	}))
	t.Cleanup(server.Close)
	h := open(t, `{"mode":"introspection","options":{"control":{"admins":[{"username":"ops"}]},"common":{"requireExpiration":false,"usernameTemplate":"{sub}"},
		"revocation":{"introspection":{"uri":"`+server.URL+`"},"cache":{"ttlMs":60000}}}}`, v20)
	h.awaits(t, "no answer", func() bool { return h.login(1, opaque, nil, text(opaque)) == verdict.Accept })
	h.sends(1, opaque, `{"commands":[{"command":"listSessions"}]}`)
	h.leave(1, opaque, false)
	h.settles(t)
	if log := strings.Join(h.broker.log, "\n"); strings.Contains(log, opaque) || !strings.Contains(log, "client (a token) commanded listSessions") {
		t.Error(log)
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

// Mosquitto 2.0 tells late of the end of a connection over WebSockets. Meanwhile another may have taken over its client id and gone away:
// the broker would keep the answer for that one.
func TestWhatAnAdminHasAskedIsForNobodyWhoIsAway(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername), v20)
	h.comesByPassword(t, 1, "o", "ops")
	h.sends(1, "o", `{"commands":[{"command":"listSessions"}]}`)
	if got := h.login(2, "o", text("pump"), text("hunter2")); got != verdict.Defer {
		t.Fatalf("got %s", got)
	}
	h.leave(2, "o", true)
	for range 20 {
		h.Tick()
	}
	if len(h.broker.published) > 0 {
		t.Errorf("another, who is away, was told %s", h.broker.published)
	}
	// If it is still there, and asks again, it is answered.
	var page sessionPage
	h.query(t, 1, `{"command":"listSessions"}`, &page)
}

// After SIGHUP Mosquitto 2.0 asks again for who is away, too, and does not say so.
func TestWhoIsAwayIsNotTakenForConnectedAfterSIGHUP(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername), v20)
	h.comesByPassword(t, 1, "o", "ops")
	h.broker.webSockets = map[broker.Conn]bool{2: true}
	h.comesByPassword(t, 2, "p", "pump")
	h.leave(2, "p", true)
	h.Reload()
	if got := h.BasicAuth(broker.Connect{Conn: 2, ClientID: "p", Username: text("pump"), Password: text("hunter2")}).Kind; got != verdict.Defer {
		t.Fatalf("got %s", got)
	}
	for range 20 {
		h.advance(time.Second)
		h.Tick()
	}
	var page sessionPage
	h.query(t, 1, `{"command":"listSessions"}`, &page)
	if len(page.Sessions) != 1 {
		t.Errorf("%+v", page.Sessions)
	}
}

// Nor does SIGHUP let in anew who is about to be disconnected.
func TestWhoIsToBeDisconnectedIsNotKeptBySIGHUP(t *testing.T) {
	onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
		h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
		h.comesByPassword(t, 1, "o", "ops")
		token := h.token("alice", time.Hour)
		h.login(2, "c", nil, token)
		h.sends(1, "o", `{"commands":[{"command":"disconnectSession","clientid":"c"}]}`)
		h.Reload()
		connect := h.named(2, "c")
		connect.Password = token
		if got := h.BasicAuth(connect); got.Kind != verdict.Deny {
			t.Errorf("got %s", got)
		}
		h.Tick()
		h.Tick()
		if want := []string{"c will=true"}; !slices.Equal(h.broker.kicked, want) {
			t.Errorf("kicked %q", h.broker.kicked)
		}
	})
}

// Whom an admin was told to be disconnected is, though there are no admins any more by then.
func TestWhatWasOrderedIsDoneWithoutAdmins(t *testing.T) {
	onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
		h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
		h.comesByPassword(t, 1, "o", "ops")
		h.comesByPassword(t, 2, "p", "pump")
		h.comesByPassword(t, 3, "q", "pump")
		for _, id := range []string{"p", "q"} {
			h.sends(1, "o", `{"commands":[{"command":"disconnectSession","clientid":"`+id+`"}]}`)
		}
		if len(h.broker.published) != 2 || len(h.broker.kicked) > 0 {
			t.Fatalf("answered %q, kicked %q", h.broker.published, h.broker.kicked)
		}
		h.chain.Config().Control.Admins = nil
		h.register() // as in a Tick that takes over a file, before anybody is disconnected
		h.Tick()
		slices.Sort(h.broker.kicked)
		if want := []string{"p will=true", "q will=true"}; !slices.Equal(h.broker.kicked, want) {
			t.Errorf("kicked %q", h.broker.kicked)
		}
	})
}

// However often clients of others are named before they are disconnected, there is no more to do than there are clients.
func TestClientsOfOthersAreDisconnectedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
		h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
		h.comesByPassword(t, 1, "o", "ops")
		h.comesByPassword(t, 2, "p", "pump")
		h.comesByPassword(t, 3, "q", "pump")
		for range 3 {
			h.sends(1, "o", `{"commands":[{"command":"disconnectSession","clientid":"p"},{"command":"disconnectSession","clientid":"q"}]}`)
		}
		if got := len(h.table.kicks); got != 2 {
			t.Errorf("%d are to be disconnected", got)
		}
		delete(h.broker.connected, "p")
		h.Disconnect(2, false)
		h.comesByPassword(t, 2, "p", "pump") // from the same address
		h.Tick()
		if want := []string{"q will=true"}; !slices.Equal(h.broker.kicked, want) {
			t.Errorf("kicked %q", h.broker.kicked)
		}
		h.sends(1, "o", `{"commands":[{"command":"disconnectSession","clientid":"p"}]}`)
		h.Tick()
		if want := []string{"q will=true", "p will=true"}; !slices.Equal(h.broker.kicked, want) {
			t.Errorf("kicked %q", h.broker.kicked)
		}
		if len(h.table.kicks)+len(h.table.waiting)+len(h.table.kicking) > 0 {
			t.Error("something is still kept")
		}
	})
}

// Whoever is not in the list yet is met, too.
func TestWhoIsDisconnectedWhileTheListIsMade(t *testing.T) {
	for _, by := range []string{`"clientid":"c"`, `"username":"alice"`} {
		h := open(t, local(mapsUsername), v21)
		h.login(2, "c", nil, h.token("alice", time.Hour))
		for n := range 100 {
			h.login(broker.Conn(10+n), fmt.Sprint("c", n), nil, h.token("bob", time.Hour))
		}
		h.write(t, withAdmins(`["ops"]`, mapsUsername))
		h.broker.clientTakes = time.Millisecond
		h.reloads(t)
		h.comesByPassword(t, 1, "o", "ops")
		if !h.table.filling() || h.table.watched.Roster.Find("c") != nil {
			t.Fatal("the list is there already")
		}
		var got struct{ Disconnected int }
		h.query(t, 1, `{"command":"disconnectSession",`+by+`}`, &got)
		if got.Disconnected != 1 {
			t.Errorf("%d were disconnected by %s", got.Disconnected, by)
		}
	}
}

// Who comes after the command is not meant by it, though nobody has been looked at by then.
func TestWhoComesAfterTheCommandStays(t *testing.T) {
	onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
		h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
		h.comesByPassword(t, 1, "o", "ops")
		h.login(2, "c", nil, h.token("alice", time.Hour))
		h.sends(1, "o", `{"commands":[{"command":"disconnectSession","sub":"alice"}]}`)
		h.login(3, "later", nil, h.token("alice", time.Hour))
		for len(h.broker.published) == 0 {
			h.Tick()
		}
		h.Tick()
		if want := []string{"c will=true"}; !slices.Equal(h.broker.kicked, want) {
			t.Errorf("kicked %q, want %q", h.broker.kicked, want)
		}
	})
}

// Of two commands the last one says how long a bearer is kept out, in whatever order they are done.
func TestTheLastCommandSaysHowLong(t *testing.T) {
	for _, test := range []struct {
		first, second string
		until         time.Duration
	}{
		{`"username":"alice","block":2`, `"sub":"alice","block":10`, 10 * time.Second},
		{`"sub":"alice","block":10`, `"sub":"alice","block":2`, 2 * time.Second},
	} {
		h := open(t, withAdmins(`["ops"]`, mapsUsername))
		h.comesByPassword(t, 1, "o", "ops")
		h.login(2, "c", nil, h.token("alice", time.Hour))
		h.sends(1, "o", `{"commands":[{"command":"disconnectSession",`+test.first+`},{"command":"disconnectSession",`+test.second+`}]}`)
		h.settles(t)
		var blocks struct{ Blocks []struct{ Until int64 } }
		h.broker.published = nil
		h.query(t, 1, `{"command":"listBlocks"}`, &blocks)
		if len(blocks.Blocks) != 1 || blocks.Blocks[0].Until != opening.Add(test.until).Unix() {
			t.Errorf("%s, then %s: %+v", test.first, test.second, blocks)
		}
	}
}

// A token that an admin names in the wrong place is shown to no other.
func TestBlocksShowNoToken(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	token := *h.token("alice", time.Hour)
	h.query(t, 1, `{"command":"disconnectSession","sub":"`+token+`","block":60,"reason":"stolen: `+token+`"}`, new(struct{}))
	if r := h.commands(t, 1, "o", `{"command":"listBlocks"}`); strings.Contains(string(r.Data), token) || !strings.Contains(string(r.Data), `"sub":"(a token)"`) {
		t.Errorf("%s", r.Data)
	}
}

// A username that is the token itself is shown to no admin, also once the client has another token.
func TestNoAdminSeesATokenAsAUsername(t *testing.T) {
	const opaque = "opaque-8f14e45f"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"active":true,"sub":"alice"}`)
	}))
	t.Cleanup(server.Close)
	h := open(t, `{"mode":"introspection","options":{"control":{"admins":["ops"]},"common":{"requireExpiration":false},
		"revocation":{"introspection":{"uri":"`+server.URL+`"},"cache":{"ttlMs":60000}}}}`, v20)
	h.broker.names[1] = "ops"
	h.broker.told = map[broker.Conn]broker.ClientInfo{1: {ClientID: "o", Certificate: true, Address: "192.0.2.7"}}
	h.broker.connect("o", 1)
	h.awaits(t, "no answer", func() bool { return h.login(2, "c", text(opaque), text(opaque)) == verdict.Accept })
	h.broker.names[2] = opaque
	h.awaits(t, "not renewed", func() bool {
		h.renews(2, "c", text("opaque-c9f0f895"))
		h.advance(time.Minute)
		return h.sessions.Of(2).Renewed() > 0
	})
	h.settles(t) // other renewals are answered, too
	h.broker.published = nil
	for _, command := range []string{`{"command":"listSessions"}`, `{"command":"getSession","clientid":"c"}`} {
		if r := h.commands(t, 1, "o", command); strings.Contains(string(r.Data), opaque) || !strings.Contains(string(r.Data), `"username":"(a token)"`) {
			t.Errorf("%s", r.Data)
		}
	}
	if name := h.sessions.Of(2).Known().Username; name != "" {
		t.Errorf("the audit trail is to show %q", name)
	}
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

// knocks is a login whose verdict alone counts.
func (h *env) knocks(c broker.Conn, id string, token *string) verdict.Kind {
	kind := h.login(c, id, nil, token)
	if kind != verdict.Accept {
		h.Disconnect(c, false)
	}
	return kind
}

// Whoever is blocked gets in by no way, until the block ends or is removed; others do.
func TestABlock(t *testing.T) {
	for _, c := range []struct {
		rule, command, answer string
		blocked, free         []*string
	}{
		{
			"of a subject that is connected", `"sub":"alice","block":60`, `{"disconnected":1,"blocked":1,"blockedUntil":1795446060}`,
			[]*string{mint("alice", time.Hour), mint("alice", 2*time.Hour)},
			[]*string{mint("bob", time.Hour)},
		},
		{
			"of a subject that is not", `"sub":"bob","block":60,"provider":""`, "", nil, nil, // the name of no provider
		},
		{"of a subject that comes later", `"sub":"bob","block":60`, `{"disconnected":0,"blocked":1,"blockedUntil":1795446060}`, []*string{mint("bob", time.Hour)}, []*string{mint("alice", time.Hour)}},
		{"of a token", `"jti":"alice's","block":60`, `{"disconnected":1,"blocked":1,"blockedUntil":1795446060}`, []*string{mint("alice", time.Hour)}, []*string{mint("bob", time.Hour)}},
		{"of a client", `"clientid":"c","block":60`, `{"disconnected":1,"blocked":1,"blockedUntil":1795446060}`, []*string{mint("alice", time.Hour)}, []*string{mint("bob", time.Hour)}},
		{"of a username", `"username":"alice","block":60`, `{"disconnected":1,"blocked":1,"blockedUntil":1795446060}`, []*string{mint("alice", time.Hour)}, []*string{mint("bob", time.Hour)}},
		{"of somebody without a token", `"clientid":"o","block":60`, `{"disconnected":1,"blocked":0}`, nil, []*string{mint("alice", time.Hour), mint("bob", time.Hour)}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
				h := open(t, withAdmins(`["ops"]`, mapsUsername), adjust)
				if h.broker.v20 {
					h.passed.Store(-int64(time.Second)) // that of comesByPassword
				}
				h.comesByPassword(t, 1, "o", "ops")
				h.login(2, "c", nil, mint("alice", time.Hour))
				r := h.commands(t, 1, "o", `{"command":"disconnectSession",`+c.command+`}`)
				if c.answer == "" {
					if r.Error != `malformed request: "provider" must be a string of 1 to 65535 bytes` {
						t.Errorf("%+v", r)
					}
					return
				}
				if string(r.Data) != c.answer {
					t.Errorf("%s %s", r.Data, r.Error)
				}
				h.Tick()
				h.Reload()
				h.Tick()
				h.settles(t)
				for i, token := range c.blocked {
					if got := h.knocks(broker.Conn(10+i), "x", token); got != verdict.Deny {
						t.Errorf("a login: %s", got)
					}
					if got := h.byAuth(broker.Conn(20+i), "x", token); got != verdict.Deny {
						t.Errorf("by AUTH: %s", got)
					}
				}
				for i, token := range c.free {
					if got := h.knocks(broker.Conn(30+i), "y", token); got != verdict.Accept {
						t.Errorf("of another: %s", got)
					}
				}
				if len(c.blocked) == 0 {
					return
				}
				h.broker.awaitLog(`notice go_jwt_auth: client "x" \[192.0.2.7\] refused: blocked: by an admin until 2026-11-23T15:01:00Z`)
				h.advance(time.Minute)
				if got := h.knocks(40, "z", c.blocked[0]); got != verdict.Accept {
					t.Errorf("afterwards: %s", got)
				}
			})
		})
	}
}

func TestABlockEndsRenewalsAndIsRemoved(t *testing.T) {
	eachWay(t, func(t *testing.T, renew func(*env, broker.Conn, string, *string), adjust func(*fakeBroker)) {
		h := open(t, withAdmins(`["ops"]`, `"requireExpiration":false`), adjust)
		h.comesByPassword(t, 1, "o", "ops")
		var got struct{ Disconnected, Blocked int }
		h.query(t, 1, `{"command":"disconnectSession","jti":"alice's","block":86400,"reason":"stolen"}`, &got)
		// A session of the same subject that began with another token is not met by that.
		if kind := h.byAuth(2, "c", ofDevice("alice")); kind != verdict.Accept {
			t.Fatal(kind)
		}
		renew(h, 2, "c", mint("alice", time.Hour))
		if !h.logged(`not renewed: blocked: by an admin until `) {
			t.Errorf("%q", h.broker.log)
		}
		var blocks struct {
			TotalCount int
			Blocks     []struct {
				ID          uint64
				JTI, By     string
				Reason, Sub string
				Until       int64
			}
		}
		h.query(t, 1, `{"command":"listBlocks"}`, &blocks)
		if blocks.TotalCount != 1 || len(blocks.Blocks) != 1 || blocks.Blocks[0].JTI != "alice's" || blocks.Blocks[0].By != "ops" || blocks.Blocks[0].Reason != "stolen" {
			t.Fatalf("%+v", blocks)
		}
		if r := h.commands(t, 1, "o", `{"command":"removeBlock","id":99}`); r.Error != "no such block" {
			t.Errorf("%+v", r)
		}
		if r := h.commands(t, 1, "o", fmt.Sprintf(`{"command":"removeBlock","id":%d}`, blocks.Blocks[0].ID)); string(r.Data) != `{"removed":1}` {
			t.Errorf("%+v", r)
		}
		if kind := h.knocks(3, "d", mint("alice", time.Hour)); kind != verdict.Accept {
			t.Errorf("once it is removed: %s", kind)
		}
	})
}

// A verdict that was waited for while the block came is that of the block, and a session is not reaffirmed over it.
func TestABlockComesMeanwhile(t *testing.T) {
	token := mint("alice", time.Hour)
	d := newGate(t, token)
	file := strings.Replace(d.file(mapsUsername, `"check":"beforeConnect"`), `"options":{`, `"options":{"control":{"admins":["ops"]},`, 1)
	h := open(t, file)
	h.settles(t)
	h.comesByPassword(t, 1, "o", "ops")
	if got := h.login(2, "c", nil, token); got != verdict.Pending {
		t.Fatalf("got %s", got)
	}
	d.waitAsked()
	var got struct{ Disconnected, Blocked int }
	h.query(t, 1, `{"command":"disconnectSession","sub":"alice","block":60}`, &got)
	d.says(token, active)
	h.broker.awaitLog(`client "c".* refused: blocked: by an admin`)
	if !slices.Equal(h.broker.completed, []string{"c false"}) {
		t.Errorf("%q", h.broker.completed)
	}
}

// Blocks are bounded, and a client that can't be blocked any more is said to be disconnected alone.
func TestBlocksAreBounded(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	for n := range 1024 {
		h.advance(time.Second)
		if r := h.commands(t, 1, "o", fmt.Sprintf(`{"command":"disconnectSession","sub":"s%d","block":86400}`, n)); r.Error != "" {
			t.Fatal(r.Error)
		}
	}
	h.login(2, "c", nil, h.token("alice", time.Hour))
	if r := h.commands(t, 1, "o", `{"command":"disconnectSession","sub":"alice","block":60}`); r.Error != "too many blocks: remove some" {
		t.Errorf("%+v", r)
	}
	if r := h.commands(t, 1, "o", `{"command":"disconnectSession","clientid":"c","block":60}`); r.Error != "too many blocks: remove some; 1 were disconnected, and 1 of them may come in again" {
		t.Errorf("%+v", r)
	}
}

func TestWhoIsNoAdmin(t *testing.T) {
	const unknown = `unknown command: "getStatus"`
	mapped := `"matchUsernameToSubject":true`
	for _, c := range []struct {
		rule, file string
		comes      func(t *testing.T, h *env)
		is         bool
	}{
		{"by password", withAdmins(`["ops"]`, mapped), func(t *testing.T, h *env) { h.comesByPassword(t, 1, "c", "ops") }, true},
		{"by another name", withAdmins(`["ops"]`, mapped), func(t *testing.T, h *env) { h.comesByPassword(t, 1, "c", "pump") }, false},
		{"a token by that name", withAdmins(`["ops"]`, mapped), func(_ *testing.T, h *env) { h.login(1, "c", nil, h.token("ops", time.Hour)) }, false},
		{"by token", withAdmins(`[{"username":"ops"}]`, mapped), func(_ *testing.T, h *env) { h.login(1, "c", nil, h.token("ops", time.Hour)) }, true},
		{"by token and AUTH", withAdmins(`[{"username":"ops"}]`, mapped), func(_ *testing.T, h *env) { h.byAuth(1, "c", h.token("ops", time.Hour)) }, true},
		{"another token", withAdmins(`[{"username":"ops"}]`, mapped), func(_ *testing.T, h *env) { h.login(1, "c", text("ops"), h.token("alice", time.Hour)) }, false},
		{"a password by the name of a token", withAdmins(`[{"username":"ops"}]`, mapped), func(t *testing.T, h *env) { h.comesByPassword(t, 1, "c", "ops") }, false},
		{"by token, past its end", withAdmins(`[{"username":"ops"}]`, mapped), func(_ *testing.T, h *env) {
			h.login(1, "c", nil, h.token("ops", time.Hour))
			h.advance(time.Hour)
		}, false},
		{"by token, by a file that mapped no names", strings.Replace(withAdmins(`[{"username":"ops"}]`, mapped), mapped, `"matchClientIdToSubject":false`, 1), nil, false},
		{"anonymous", withAdmins(`["ops"]`, mapped), func(_ *testing.T, h *env) {
			h.login(1, "c", text("ops"), nil)
			h.broker.names[1] = "ops"
			h.broker.connect("c", 1)
			h.left(time.Second)
		}, false},
		{"by AUTH of another plugin", withAdmins(`["ops"]`, mapped), func(_ *testing.T, h *env) {
			h.ExtAuth(broker.ExtAuth{Connect: broker.Connect{Conn: 1, ClientID: "c", Username: text("ops")}, Method: "OTHER", Data: "x"})
			h.broker.names[1] = "ops"
			h.broker.told = map[broker.Conn]broker.ClientInfo{1: {ClientID: "c", Certificate: true, Address: "192.0.2.7"}}
			h.broker.connect("c", 1)
			h.left(time.Second)
		}, false},
		{"by a certificate", withAdmins(`["ops"]`, mapped), func(_ *testing.T, h *env) {
			h.broker.names[1] = "ops"
			h.broker.told = map[broker.Conn]broker.ClientInfo{1: {ClientID: "c", Certificate: true, Address: "192.0.2.7"}}
			h.broker.connect("c", 1)
		}, true},
		{"a bridge of this broker's, which has the certificate of the other end", withAdmins(`["ops"]`, mapped), func(_ *testing.T, h *env) {
			h.broker.names[1] = "ops"
			h.broker.told = map[broker.Conn]broker.ClientInfo{1: {ClientID: "c", Certificate: true}}
			h.broker.connect("c", 1)
		}, false},
		{"let in by somebody who was asked before", withAdmins(`["ops"]`, mapped), func(_ *testing.T, h *env) {
			h.broker.names[1] = "ops"
			h.broker.connect("c", 1)
		}, false},
		{"refused, and another comes from its address", withAdmins(`["ops"]`, mapped), func(_ *testing.T, h *env) {
			h.login(1, "c", text("ops"), text("hunter2"))
			h.Disconnect(1, false)
			h.broker.names[1] = "ops"
			h.broker.connect("c", 1)
		}, false},
		{"there before there were admins", local(mapped), func(t *testing.T, h *env) {
			h.comesByPassword(t, 1, "c", "ops")
			h.write(t, withAdmins(`["ops"]`, mapped))
			h.reloads(t)
		}, false},
		{"no admin any more", withAdmins(`["ops"]`, mapped), func(t *testing.T, h *env) {
			h.comesByPassword(t, 1, "c", "ops")
			h.write(t, withAdmins(`["other"]`, mapped))
			h.reloads(t)
		}, false},
		{"admin since a reload, and known before", withAdmins(`["other"]`, mapped), func(t *testing.T, h *env) {
			h.comesByPassword(t, 1, "c", "ops")
			h.write(t, withAdmins(`["ops"]`, mapped))
			h.reloads(t)
		}, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			onBoth(t, func(t *testing.T, adjust func(*fakeBroker)) {
				if c.comes == nil {
					return // it does not start: config's tests
				}
				h := open(t, c.file, adjust)
				c.comes(t, h)
				if got := h.commands(t, 1, "c", `{"command":"getStatus"}`).Error; (got == "") != c.is || got != "" && got != unknown {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

// The list of the instance that has judged a client counts, and no other; and what a client of a listener without this plugin sends, which 2.1
// hands over, counts nowhere.
func TestTheListOfTheInstanceCounts(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	second := &env{file: t.TempDir() + "/jwt.json"}
	second.write(t, withAdmins(`["boss"]`, mapsUsername))
	h.broker.taken[control.Topic] = true
	other, err := New(h.broker, Options{Settings: map[string]string{"config_file": second.file}, Now: h.clock, Table: h.table})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	h.comesByPassword(t, 1, "a", "ops")
	for conn, username := range map[broker.Conn]string{2: "ops", 3: "boss"} {
		id := fmt.Sprint("b", conn)
		if got := other.BasicAuth(broker.Connect{Conn: conn, ClientID: id, Username: &username, Password: text("hunter2")}).Kind; got != verdict.Defer {
			t.Fatal(got)
		}
		h.broker.names[conn] = username
		h.broker.connected[id] = conn
		other.Connect(conn, id)
	}
	h.broker.names[4], h.broker.connected["foreign"] = "ops", 4
	for _, c := range []struct {
		conn broker.Conn
		id   string
		is   bool
	}{{1, "a", true}, {2, "b2", false}, {3, "b3", true}, {4, "foreign", false}} {
		before := len(h.broker.published)
		h.Control(broker.Message{Conn: c.conn, ClientID: c.id, Username: text(h.broker.names[c.conn]), Topic: control.Topic, Payload: []byte(`{"commands":[{"command":"getStatus"}]}`)})
		if answer := h.broker.published[before]; strings.Contains(answer, "unknown command") == c.is {
			t.Errorf("%s: %s", c.id, answer)
		}
	}
}

// Without admins nothing is kept, and nothing is registered that renewals don't need.
func TestNothingIsKeptWithoutAdmins(t *testing.T) {
	off := strings.Replace(local(mapsUsername), `"options":{`, `"options":{"enhancedAuth":{"methods":[]},"control":{"renew":false},`, 1)
	h := open(t, off)
	h.login(1, "c", nil, h.token("alice", time.Hour))
	if h.table.watched != nil || h.sessions.Of(1).IsKnown() || len(h.broker.controls) > 0 || h.broker.extAuths {
		t.Error("something is kept")
	}
	h.write(t, strings.Replace(off, `"renew":false`, `"renew":false,"admins":["ops"]`, 1))
	h.reloads(t)
	h.comesByPassword(t, 2, "o", "ops")
	var page sessionPage
	h.query(t, 2, `{"command":"listSessions"}`, &page)
	if page.TotalCount != 2 || page.Sessions[0].Login != "token" && page.Sessions[1].Login != "token" {
		t.Errorf("%+v", page)
	}
	h.write(t, off)
	h.reloads(t)
	h.Tick()
	if h.table.watched != nil || len(h.broker.controls) > 0 {
		t.Error("something is still kept")
	}
}

// Who pages through the list while clients come and go, and then asks what has changed, knows everybody.
func TestPagesWhileClientsComeAndGo(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	token := mint("alice", time.Hour)
	const crowd = 500
	for n := range crowd {
		h.login(broker.Conn(n+10), fmt.Sprint("c", n), nil, token)
	}
	churn := func(n int) {
		h.broker.Kick(fmt.Sprint("c", n), false) //nolint:errcheck // it may have gone
		h.login(broker.Conn(10_000+n), fmt.Sprint("d", n), nil, token)
		h.advance(time.Second)
	}
	seen, since, n := map[string]bool{}, uint64(0), 0
	for from := ""; ; {
		var page sessionPage
		h.query(t, 1, fmt.Sprintf(`{"command":"listSessions",%s"count":37}`, from), &page)
		if since == 0 {
			since = page.Revision
		}
		for _, s := range page.Sessions {
			seen[s.ClientID] = true
		}
		if page.Next == 0 {
			break
		}
		from = fmt.Sprintf(`"from":%d,`, page.Next)
		churn(n * 7)
		n++
	}
	for more := true; more; {
		var page sessionPage
		h.query(t, 1, fmt.Sprintf(`{"command":"listSessionChanges","since":%d,"count":3}`, since), &page)
		for _, s := range page.Sessions {
			seen[s.ClientID] = true
		}
		for _, id := range page.Ended {
			delete(seen, id)
		}
		since, more = page.Revision, page.More
	}
	if len(seen) != len(h.broker.connected) {
		t.Errorf("%d are seen, %d are connected", len(seen), len(h.broker.connected))
	}
	for id := range h.broker.connected {
		if !seen[id] {
			t.Errorf("%s is not seen", id)
		}
	}
}

// What changes while the changes are told is told next: an answer never says of a client both that it is there and that it has left.
func TestChangesAreOfOneMoment(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	token := mint("alice", time.Hour)
	comes := func(id string, conn broker.Conn) { h.login(conn, id, nil, token) }
	for n := range 4 {
		comes(fmt.Sprint("c", n), broker.Conn(10+n))
	}
	var page sessionPage
	h.query(t, 1, `{"command":"listSessions"}`, &page)
	seen := map[string]bool{}
	for _, s := range page.Sessions {
		seen[s.ClientID] = true
	}
	for range 2 {
		for n := range 4 {
			h.broker.Kick(fmt.Sprint("c", n), false) //nolint:errcheck // it is there
			if n == 3 {
				comes("c3", 13)
				h.broker.Kick("c3", false) //nolint:errcheck // it is there
			}
		}
		for n := range 20 {
			comes(fmt.Sprint("d", n), broker.Conn(100+n))
		}
	}
	h.broker.clientTakes = jobTurn / 8 // one piece a Tick
	before := len(h.broker.published)
	for n, more := 0, true; more; n++ {
		h.sends(1, "o", fmt.Sprintf(`{"commands":[{"command":"listSessionChanges","since":%d}]}`, page.Revision))
		for tick := 0; len(h.broker.published) == before; tick++ {
			h.Tick()
			if n == 0 && tick == 0 {
				comes("c0", 10)
				h.broker.Kick("d0", false)  //nolint:errcheck // it is there
				h.broker.Kick("d19", false) //nolint:errcheck // it is there
			}
		}
		_, payload, _ := strings.Cut(h.broker.published[before], control.ResponseTopic+" ")
		before = len(h.broker.published)
		var message struct{ Responses []struct{ Data sessionPage } }
		if err := json.Unmarshal([]byte(payload), &message); err != nil || len(message.Responses) != 1 {
			t.Fatalf("%s: %v", payload, err)
		}
		page = message.Responses[0].Data
		told := map[string]bool{}
		for _, s := range page.Sessions {
			seen[s.ClientID] = true
			if told[s.ClientID] {
				t.Errorf("answer %d has %s twice", n, s.ClientID)
			}
			told[s.ClientID] = true
		}
		for _, id := range page.Ended {
			delete(seen, id)
			if told[id] {
				t.Errorf("answer %d has %s twice", n, id)
			}
			told[id] = true
		}
		more = page.More
		if more != (n == 0) {
			t.Errorf("answer %d: more: %t", n, more)
		}
	}
	for id := range h.broker.connected {
		if !seen[id] {
			t.Errorf("%s is not seen", id)
		}
	}
	if len(seen) != len(h.broker.connected) {
		t.Errorf("%d are seen, %d are connected", len(seen), len(h.broker.connected))
	}
}

// A page has at most so many bytes, and goes on where it ends.
func TestAPageIsBounded(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	long := strings.Repeat("x", 60_000)
	for n := range 10 {
		h.login(broker.Conn(n+2), fmt.Sprint(long, n), nil, h.token("alice", time.Hour))
	}
	var page sessionPage
	h.query(t, 1, `{"command":"listSessions","count":1000}`, &page)
	if page.TotalCount != 11 || len(page.Sessions) != 3 {
		t.Errorf("%d of %d", len(page.Sessions), page.TotalCount)
	}
	if got := len(h.broker.published[len(h.broker.published)-1]); got > admin.MaxPage+70_000 {
		t.Errorf("%d bytes", got)
	}
}

func TestAdminsAreBounded(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	for n := range admin.Burst {
		if r := h.commands(t, 1, "o", `{"command":"getStatus"}`); r.Error != "" {
			t.Fatalf("after %d: %s", n, r.Error)
		}
	}
	// A new connection of the same admin is not another.
	h.Disconnect(1, false)
	h.comesByPassword(t, 2, "p", "ops")
	if r := h.commands(t, 2, "p", `{"command":"getStatus"}`); r.Error != "too many requests" {
		t.Errorf("%+v", r)
	}
	h.advance(time.Second / admin.PerSecond)
	if r := h.commands(t, 2, "p", `{"command":"getStatus"}`); r.Error != "" {
		t.Errorf("%+v", r)
	}
}

// What an admin may have asked for wrongly is said.
func TestArgumentsOfCommands(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	for command, want := range map[string]string{
		`"command":"listSessions","count":0`:                                    `malformed request: "count" must be a whole number from 1 to 1000`,
		`"command":"listSessions","count":1.5`:                                  `malformed request: "count" must be a whole number from 1 to 1000`,
		`"command":"listSessions","count":"1"`:                                  `malformed request: "count" must be a whole number from 1 to 1000`,
		`"command":"listSessions","offset":-1`:                                  `malformed request: "offset" must be a whole number from 0 to 1099511627776`,
		`"command":"listSessions","verbose":true`:                               `malformed request: "verbose" is not known`,
		`"command":"getSession"`:                                                `malformed request: "clientid" must be there`,
		`"command":"getSession","clientid":""`:                                  `malformed request: "clientid" must be a string of 1 to 65535 bytes`,
		`"command":"disconnectSession"`:                                         `malformed request: one of "clientid", "username", "sub", "jti" and "provider" must be there`,
		`"command":"disconnectSession","sub":"a","clientid":"b"`:                `malformed request: "clientid" and "sub" must not stand together`,
		`"command":"disconnectSession","clientid":"b","provider":"a"`:           `malformed request: "provider" must not stand beside "clientid"`,
		`"command":"disconnectSession","provider":"a","block":1`:                `malformed request: "block" must not stand beside "provider" alone: it would keep all of its clients out`,
		`"command":"disconnectSession","sub":"a","block":86401`:                 `malformed request: "block" must be a whole number from 1 to 86400`,
		`"command":"disconnectSession","sub":"a","block":1,"provider":"nobody"`: `malformed request: "provider" must be the name of one beside "block", as it would keep nobody out`,
		`"command":"disconnectSession","jti":"` + strings.Repeat("x", 97) + `"`: `malformed request: "jti" must have at most 96 bytes, as more are not kept`,
		`"command":"removeBlock"`:                                               `malformed request: "id" must be there`,
		`"command":"getStatus","x":1`:                                           `malformed request: "x" is not known`,
		`"command":"listRefusals","count":257`:                                  `malformed request: "count" must be a whole number from 1 to 256`,
	} {
		if got := h.commands(t, 1, "o", `{`+command+`}`).Error; got != want {
			t.Errorf("%s\ngot  %s\nwant %s", command, got, want)
		}
	}
}

// ids lists all clients, by client id.
func (h *env) ids(t *testing.T) (all []string) {
	t.Helper()
	var page sessionPage
	h.query(t, 1, `{"command":"listSessions","count":1000}`, &page)
	for _, s := range page.Sessions {
		connected := ""
		if !s.Connected {
			connected = " away"
		}
		all = append(all, s.ClientID+" "+s.Login+connected)
	}
	slices.Sort(all)
	return all
}

// Those who were there before the list was are found; who is away, or of a listener without this plugin, is found as an admin lists, and
// forgotten when it is gone without a word.
func TestWhoIsThereWithoutAWord(t *testing.T) {
	h := open(t, local(mapsUsername))
	h.login(2, "token", nil, h.token("alice", time.Hour))
	h.comesByPassword(t, 3, "before", "pump")
	h.broker.away["kept"] = "kept"
	h.broker.others = []broker.ClientInfo{{Conn: 4, ClientID: "kept", Version: 5}}
	h.write(t, withAdmins(`["ops"]`, mapsUsername))
	h.reloads(t)
	h.Tick()
	h.comesByPassword(t, 1, "o", "ops")
	h.broker.connected["kept"] = 4 // for the fake, which knows those that are away by their names alone
	if got := h.ids(t); !slices.Equal(got, []string{"before unknown", "kept unknown away", "o password", "token token"}) {
		t.Errorf("%q", got)
	}
	// Somebody comes to a listener without this plugin.
	h.broker.connected["foreign"] = 5
	h.broker.told = map[broker.Conn]broker.ClientInfo{5: {ClientID: "foreign", Address: "192.0.2.9"}}
	if got := h.ids(t); len(got) != 4 {
		t.Errorf("the broker was asked again at once: %q", got)
	}
	h.advance(walkFirst)
	if got := h.ids(t); !slices.Equal(got, []string{"before unknown", "foreign unknown", "kept unknown away", "o password", "token token"}) {
		t.Errorf("%q", got)
	}
	// Both go without a word: whoever lists finds out, and so does the plugin by itself.
	delete(h.broker.connected, "foreign")
	if got := h.ids(t); len(got) != 4 {
		t.Errorf("%q", got)
	}
	delete(h.broker.connected, "kept")
	delete(h.broker.away, "kept")
	h.left(lookEvery)
	if h.table.watched.Roster.Find("kept") != nil || h.table.watched.Roster.Len() != 3 {
		t.Error("who has gone without a word is still known")
	}
}

// A broker that takes long to tell of all its clients is not asked a second time.
func TestABrokerWithManyClientsIsAskedOnce(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername), v21)
	for _, takes := range []time.Duration{walkMost, walkMost + 1} {
		h.broker.walks, h.broker.walkTakes = 0, takes
		for range 3 {
			h.comesByPassword(t, 1, "o", "ops")
			h.advance(walkLast)
			h.ids(t)
		}
		if asked := h.broker.walks; (asked > 1) != (takes == walkMost) {
			t.Errorf("asked %d times", asked)
		}
	}
}

// Whatever somebody who is no admin sends, nothing is begun for it.
func TestNothingIsBegunForOthers(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "pump")
	all := strings.TrimSuffix(strings.Repeat(`{"command":"listSessions","count":1000},`, control.MaxCommands), ",")
	for range 100 {
		h.sends(1, "o", `{"commands":[`+all+`]}`)
		if len(h.jobs) > 0 {
			t.Fatal("something is begun")
		}
	}
}

// An admin has no more begun at once than is bounded, and all of it is answered.
func TestWhatIsBegunIsBounded(t *testing.T) {
	h := open(t, withAdmins(`["ops"]`, mapsUsername))
	h.comesByPassword(t, 1, "o", "ops")
	all := strings.TrimSuffix(strings.Repeat(`{"command":"listSessions"},`, control.MaxCommands), ",")
	for range 10 {
		h.sends(1, "o", `{"commands":[`+all+`]}`)
	}
	if got := len(h.jobs); got != admin.MaxJobs {
		t.Errorf("%d are begun", got)
	}
	for range 1000 {
		h.Tick()
	}
	if len(h.jobs) > 0 || len(h.broker.published) != 10 || !strings.Contains(h.broker.published[0], "too many requests") {
		t.Errorf("%d are left, %d answers", len(h.jobs), len(h.broker.published))
	}
}
