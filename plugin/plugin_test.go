package plugin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/lifetime"
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/verdict"
)

const secret = "a secret of forty bytes, long enough it is"

// fakeBroker stands below the border: it records what the plugin asks of Mosquitto, and calls back as that does.
type fakeBroker struct {
	t      *testing.T
	plugin *Plugin

	names, ids map[broker.Conn]string
	// connected is who the broker knows by a client id.
	connected map[string]broker.Conn
	// delayed is whose login is pending, by the client id at that time.
	delayed   map[string]broker.Conn
	completed []string
	kicked    []string
	log       []string
	tickIn    time.Duration

	// away are the usernames of sessions that the broker keeps for clients that are away, by client id; subscribed, on 2.0,
	// are clients with subscriptions, whom it knows by that, and webSockets those over WebSockets.
	away                   map[string]string
	subscribed, webSockets map[broker.Conn]bool

	// told is what the broker tells of a client beside its name, which it has in names, and its client id; others are clients that are
	// not connected, or of which the plugin has been told nothing.
	told   map[broker.Conn]broker.ClientInfo
	others []broker.ClientInfo

	// kickTakes, clientTakes and walkTakes are how long a Kick, a Client and an EachClient take; walks counts the last.
	kickTakes, clientTakes, walkTakes time.Duration
	walks                             int
	// nested counts the kicks that are inside of each other.
	nested, deepest int
	advance         func(time.Duration)

	// published is "client id topic payload" for each message; controls are the registered $CONTROL topics, and taken those that
	// another plugin has.
	published           []string
	refusePublish       error
	controls, taken     map[string]bool
	checksACL, extAuths bool
	refuseACL           bool // CheckACL fails
	asksAbout           map[broker.Conn]bool
	// lasting are the actions that are accepted until AskAbout is called for their connection.
	lasting       map[broker.ACLCheck]bool
	acceptedAgain uint64

	// mqtt5 are clients by MQTT 5.
	mqtt5 map[broker.Conn]bool

	v20    bool
	refuse error // of SetUsername and SetClientID
	// admitting is called where the broker asks about what is queued for a client: when it is let in, before anybody is told.
	admitting func(broker.Conn)
	// kicking is called where it asks about the subscriptions of a client that is being disconnected.
	kicking func(broker.Conn)
	naming  func() // called by SetUsername

	woken chan struct{} // holds one wake, from any goroutine
}

// Log holds each line of each test to what may go to a broker's log.
func (b *fakeBroker) Log(level event.Level, text []byte) {
	line := string(text)
	if !strings.HasPrefix(line, "go_jwt_auth: ") || strings.ContainsFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }) ||
		!utf8.ValidString(line) || len(line) > 880 {
		b.t.Errorf("not fit for the log: %q", line)
	}
	b.log = append(b.log, fmt.Sprintf("%s %s", [...]string{"error", "warning", "notice", "info", "debug"}[level], line))
}

func (b *fakeBroker) SetUsername(c broker.Conn, name string) error {
	if b.naming != nil {
		b.naming()
	}
	if b.refuse == nil {
		b.names[c] = name
	}
	return b.refuse
}

func (b *fakeBroker) SetClientID(c broker.Conn, id string) error {
	if b.refuse == nil {
		b.ids[c] = id
	}
	return b.refuse
}

func (b *fakeBroker) CanSetClientID() bool { return !b.v20 }

func (b *fakeBroker) CanDelay() bool { return !b.v20 }

func (b *fakeBroker) TellsOfConnects() bool { return !b.v20 }

// Complete lets the pending client in that the broker knows by this id, or ends it, with Disconnect from inside.
func (b *fakeBroker) Complete(id string, accepted bool) {
	c, found := b.delayed[id]
	b.completed = append(b.completed, fmt.Sprintf("%s %t", id, accepted))
	if !found {
		return
	}
	delete(b.delayed, id)
	if accepted {
		b.connect(id, c)
	} else {
		b.plugin.Disconnect(c, false)
	}
}

// connect lets a client in, which takes over the session of the one with the same id.
func (b *fakeBroker) connect(id string, c broker.Conn) {
	old, taken := b.connected[id]
	if b.admitting != nil {
		b.admitting(c)
	}
	b.connected[id] = c
	delete(b.away, id)
	if taken && old != c {
		b.plugin.Disconnect(old, false)
	}
	if !b.v20 {
		b.plugin.Connect(c, id)
	}
}

func (b *fakeBroker) IsConnectedAs(id string, c broker.Conn) bool {
	return b.v20 || b.connected[id] == c
}

// Kick calls Disconnect from inside, as Mosquitto does.
func (b *fakeBroker) Kick(id string, withWill bool) error {
	c, found := b.connected[id]
	if !found {
		return broker.ErrNotConnected
	}
	delete(b.connected, id)
	if b.kickTakes > 0 {
		b.advance(b.kickTakes)
	}
	b.kicked = append(b.kicked, fmt.Sprintf("%s will=%t", id, withWill))
	if b.kicking != nil {
		b.kicking(c)
	}
	b.nested++
	b.deepest = max(b.deepest, b.nested)
	b.plugin.Disconnect(c, false)
	b.nested--
	return nil
}

func (b *fakeBroker) Knows(id string, c broker.Conn, beforeTick bool) bool {
	if b.v20 {
		return b.subscribed[c] || (beforeTick && !b.webSockets[c])
	}
	_, away := b.away[id]
	return away || b.connected[id] == c
}

func (b *fakeBroker) Session(id string) (username string, there, known bool) {
	if b.v20 {
		return "", false, false
	}
	if c, connected := b.connected[id]; connected {
		return b.names[c], true, true
	}
	username, there = b.away[id]
	return username, there, true
}

func (b *fakeBroker) Client(c broker.Conn) broker.ClientInfo {
	b.advance(b.clientTakes)
	info := b.told[c]
	info.Conn, info.Version = c, 4
	if info.ClientID == "" {
		info.ClientID = b.ids[c]
	}
	if name, has := b.names[c]; has && info.Username == nil {
		info.Username = &name
	}
	if b.mqtt5[c] {
		info.Version = 5
	}
	info.WebSocket = info.WebSocket || b.webSockets[c]
	return info
}

// EachClient lends strings, which are overwritten as soon as they are the broker's again.
func (b *fakeBroker) EachClient(f func(broker.ClientInfo)) bool {
	if b.v20 {
		return false
	}
	b.walks++
	b.advance(b.walkTakes)
	all := slices.Clone(b.others)
	for id, c := range b.connected {
		info := b.Client(c)
		info.ClientID = id
		all = append(all, info)
	}
	for _, info := range all {
		var memory [][]byte
		lend := func(s string) string {
			memory = append(memory, []byte(s))
			return unsafe.String(unsafe.SliceData(memory[len(memory)-1]), len(s))
		}
		info.ClientID, info.Address = lend(info.ClientID), lend(info.Address)
		if info.Username != nil {
			name := lend(*info.Username)
			info.Username = &name
		}
		f(info)
		for _, m := range memory {
			copy(m, strings.Repeat("\xff", len(m)))
		}
	}
	return true
}

func (b *fakeBroker) Publish(id, topic string, payload []byte) error {
	b.published = append(b.published, fmt.Sprintf("%s %s %s", id, topic, payload))
	return b.refusePublish
}

func (b *fakeBroker) Control(topic string, on bool) error {
	switch {
	case on && b.taken[topic]:
		return broker.ErrTaken
	case on:
		b.controls[topic] = true
	default:
		delete(b.controls, topic)
	}
	return nil
}

func (b *fakeBroker) CheckACL(on bool) error {
	if b.refuseACL {
		return errors.New("it has no memory left")
	}
	b.checksACL = on
	return nil
}

func (b *fakeBroker) ExtAuths(on bool) error {
	b.extAuths = on
	return nil
}

func (b *fakeBroker) AskAbout(c broker.Conn, ask bool) {
	maps.DeleteFunc(b.lasting, func(action broker.ACLCheck, _ bool) bool { return action.Conn == c })
	if ask {
		b.asksAbout[c] = true
	} else {
		delete(b.asksAbout, c)
	}
}

func (b *fakeBroker) TakeAccepted() (times uint64) {
	times, b.acceptedAgain = b.acceptedAgain, 0
	return times
}

func (b *fakeBroker) MayKeepWill(c broker.Conn) bool { return b.mqtt5[c] }

func (b *fakeBroker) PersistenceLocation() string { return "" }
func (b *fakeBroker) TickIn(wait time.Duration)   { b.tickIn = wait }

func (b *fakeBroker) Wake() {
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// awaitLog ticks whenever it is woken, until a line matches.
func (b *fakeBroker) awaitLog(pattern string) {
	b.t.Helper()
	expr := regexp.MustCompile(pattern)
	deadline := time.After(30 * time.Second)
	for !slices.ContainsFunc(b.log, expr.MatchString) {
		select {
		case <-b.woken:
			b.plugin.Tick()
		case <-deadline:
			b.t.Fatalf("no log line matches %s in:\n%s", pattern, strings.Join(b.log, "\n"))
		}
	}
}

// opening is what each env's clock shows at first.
var opening = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

// env is a plugin with its broker, its clock and its file.
type env struct {
	*Plugin
	broker *fakeBroker
	file   string
	passed atomic.Int64 // ns since opening; also read in the background
}

func (h *env) clock() time.Time { return opening.Add(time.Duration(h.passed.Load())) }

func (h *env) advance(d time.Duration) { h.passed.Add(int64(d)) }

func open(t *testing.T, jwtJSON string, adjust ...func(*fakeBroker)) *env {
	t.Helper()
	h := &env{file: filepath.Join(t.TempDir(), "jwt.json")}
	h.broker = &fakeBroker{
		t: t, names: map[broker.Conn]string{}, ids: map[broker.Conn]string{}, connected: map[string]broker.Conn{}, delayed: map[string]broker.Conn{}, woken: make(chan struct{}, 1),
		away: map[string]string{}, subscribed: map[broker.Conn]bool{}, webSockets: map[broker.Conn]bool{},
		controls: map[string]bool{}, taken: map[string]bool{}, asksAbout: map[broker.Conn]bool{}, lasting: map[broker.ACLCheck]bool{},
	}
	h.broker.advance = h.advance
	for _, a := range adjust {
		a(h.broker)
	}
	h.write(t, jwtJSON)
	p, err := New(h.broker, Options{Settings: map[string]string{"config_file": h.file}, Now: h.clock})
	if err != nil {
		t.Fatalf("start: %s", err)
	}
	t.Cleanup(p.Close)
	h.Plugin, h.broker.plugin = p, p
	p.Tick()
	return h
}

func (h *env) write(t *testing.T, jwtJSON string) {
	t.Helper()
	if err := os.WriteFile(h.file, []byte(jwtJSON), 0o600); err != nil {
		t.Fatal(err)
	}
}

// local is a jwt.json of mode local with the given options.common.
func local(common string) string {
	return fmt.Sprintf(`{"algorithm":"HS256","mode":"local","options":{"modes":{"local":%q},"common":{%s}}}`, secret, common)
}

// token is signed by the secret; lifetime counts from the env's clock.
func (h *env) token(subject string, lifetime time.Duration) *string {
	encode := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(map[string]any{"sub": subject, "exp": h.clock().Add(lifetime).Unix(), "jti": subject + "'s"})
	if err != nil {
		panic(err)
	}
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	text += "." + encode(mac.Sum(nil))
	return &text
}

// login is a CONNECT; on success the broker knows the client by its id, and a client of the same id is taken over.
func (h *env) login(c broker.Conn, id string, username, password *string) verdict.Kind {
	kind := h.BasicAuth(broker.Connect{Conn: c, ClientID: id, Username: username, Password: password, Address: "192.0.2.7"}).Kind
	if mapped, renamed := h.broker.ids[c]; renamed {
		id = mapped
	}
	switch kind {
	case verdict.Accept:
		h.broker.connect(id, c)
	case verdict.Pending:
		h.broker.delayed[id] = c
	case verdict.Deny, verdict.Defer, verdict.Retry:
	}
	return kind
}

func (h *env) pass(d time.Duration) {
	h.advance(d)
	if d >= h.broker.tickIn {
		h.Tick()
	}
}

func text(s string) *string { return &s }

func TestLogin(t *testing.T) {
	const rewrite = `"matchUsernameToSubject":true`
	for _, c := range []struct {
		rule     string
		common   string
		password func(*env) *string
		want     verdict.Kind
		log      string
	}{
		{
			"a good token is accepted", rewrite, func(h *env) *string { return h.token("alice", time.Minute) }, verdict.Accept,
			`debug go_jwt_auth: client "c" \[192.0.2.7\] accepted as "alice" \(token jti "alice's"\)`,
		},
		{
			"an expired token is refused with the reason", rewrite, func(h *env) *string { return h.token("alice", -time.Minute) }, verdict.Deny,
			`notice go_jwt_auth: client "c" \[192.0.2.7\] refused: expired: exp is 2026-11-23T14:59:00Z, 60 s ago \(token sha256:`,
		},
		{"a password of another kind is left to others", rewrite, func(*env) *string { return text("12345") }, verdict.Defer, `debug .* left to the next plugin`},
		{
			"a token with something around it is left to others, and that is said", rewrite, func(h *env) *string { return text("Bearer " + *h.token("alice", time.Minute) + "\n") },
			verdict.Defer, `notice go_jwt_auth: client "c" \[192.0.2.7\] left to the next plugin or password file: it sent a token with a line end before or behind it, and "Bearer" before it, and has to send the token alone$`,
		},
		{
			"and so it is where it is refused", `"onNonToken":"deny"`, func(h *env) *string { return text("Bearer " + *h.token("alice", time.Minute)) },
			verdict.Deny, `notice .* refused: not a token: a token with "Bearer" before it, and \$.options.common.onNonToken is "deny"$`,
		},
		{"no password is left to others", rewrite, func(*env) *string { return nil }, verdict.Defer, `debug .* left to the next plugin`},
		{"onNonToken deny refuses them", `"onNonToken":"deny"`, func(*env) *string { return nil }, verdict.Deny, `notice .* refused: not a token`},
		{"an unsafe subject is refused", rewrite, func(h *env) *string { return h.token("a/#", time.Minute) }, verdict.Deny, `notice .* refused: unsafe identity`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, local(c.common))
			if got := h.login(1, "c", text("x"), c.password(h)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			h.broker.awaitLog(c.log)
			if h.sessions.Len() != map[bool]int{true: 1}[c.want == verdict.Accept] {
				t.Errorf("%d sessions", h.sessions.Len())
			}
		})
	}
}

func TestIdentityIsGivenBeforeTheSession(t *testing.T) {
	h := open(t, local(`"matchUsernameToSubject":true,"matchClientIdToSubject":true`))
	if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Accept {
		t.Fatalf("got %s", got)
	}
	if h.broker.names[1] != "alice" || h.broker.ids[1] != "alice" {
		t.Errorf("username %q, client id %q", h.broker.names[1], h.broker.ids[1])
	}
	h.pass(time.Minute)
	if want := []string{"alice will=true"}; !slices.Equal(h.broker.kicked, want) {
		t.Errorf("kicked %q, want %q", h.broker.kicked, want)
	}
}

func TestABrokerThatRefusesTheIdentityDenies(t *testing.T) {
	h := open(t, local(`"matchUsernameToSubject":true`), func(b *fakeBroker) { b.refuse = errors.New("no memory") })
	if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Deny {
		t.Errorf("got %s", got)
	}
	if h.sessions.Len() != 0 {
		t.Error("a session was recorded")
	}
	h.broker.awaitLog(`refused: internal error: the broker did not take the username "alice"`)
}

func TestMosquitto20DeniesAClientIDMismatch(t *testing.T) {
	h := open(t, local(`"matchUsernameToSubject":true,"matchClientIdToSubject":true`), func(b *fakeBroker) { b.v20 = true })
	h.broker.awaitLog(`warning .*matchClientIdToSubject is true, but this Mosquitto can't change a client id`)
	if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Deny {
		t.Errorf("other id: got %s", got)
	}
	if got := h.login(2, "alice", nil, h.token("alice", time.Minute)); got != verdict.Accept {
		t.Errorf("same id: got %s", got)
	}
}

func TestExpiredClientsAreKicked(t *testing.T) {
	for _, c := range []struct {
		rule, common string
		after        time.Duration
		want         []string
	}{
		{"not before exp", ``, 59 * time.Second, nil},
		{"at exp, with the will", ``, time.Minute, []string{"c will=true"}},
		{"without the will where so configured", `"kickExpiredClientsWithWill":false`, time.Minute, []string{"c will=false"}},
		{"after the leeway", `"leewayMs":5000`, time.Minute + 4999*time.Millisecond, nil},
		{"at the end of the leeway", `"leewayMs":5000`, time.Minute + 5*time.Second, []string{"c will=true"}},
		{"never where kicks are off", `"kickExpiredClients":false`, time.Hour, nil},
		{"never where expiry is not checked", `"validateExpiration":false`, time.Hour, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := open(t, local(c.common))
			if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Accept {
				t.Fatalf("got %s", got)
			}
			h.pass(c.after)
			if !slices.Equal(h.broker.kicked, c.want) {
				t.Errorf("kicked %q, want %q", h.broker.kicked, c.want)
			}
			if len(c.want) > 0 && (h.sessions.Len() != 0 || h.broker.tickIn != lookAgain) {
				t.Errorf("%d sessions are left, next tick in %s", h.sessions.Len(), h.broker.tickIn)
			}
		})
	}
}

func TestTakeoverByAFreshTokenIsNotKickedByTheOldOne(t *testing.T) {
	for _, v20 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v20=%t", v20), func(t *testing.T) {
			h := open(t, local(``), func(b *fakeBroker) { b.v20 = v20 })
			h.login(1, "c", nil, h.token("alice", time.Minute))
			h.login(2, "c", nil, h.token("alice", time.Hour))
			h.pass(2 * time.Minute)
			if len(h.broker.kicked) != 0 {
				t.Errorf("kicked %q", h.broker.kicked)
			}
			h.pass(time.Hour)
			if len(h.broker.kicked) != 1 {
				t.Errorf("kicked %q at the fresh token's end", h.broker.kicked)
			}
		})
	}
}

func TestAKickNeverHitsAnotherConnection(t *testing.T) {
	h := open(t, local(``))
	h.login(1, "c", nil, h.token("alice", time.Minute))
	// Another plugin has let somebody else in by that id, and no Disconnect came.
	h.broker.connected["c"] = 99
	h.pass(time.Minute)
	if len(h.broker.kicked) != 0 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}

func TestAFailedLoginLeavesTheSessionAlone(t *testing.T) {
	h := open(t, local(``))
	h.login(1, "c", nil, h.token("alice", time.Minute))
	if got := h.login(2, "c", nil, h.token("alice", -time.Minute)); got != verdict.Deny {
		t.Fatalf("got %s", got)
	}
	h.Disconnect(2, false) // the broker reports failed logins, too
	if h.sessions.Len() != 1 {
		t.Errorf("%d sessions", h.sessions.Len())
	}
	h.pass(time.Minute)
	if len(h.broker.kicked) != 1 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}

func TestReload(t *testing.T) {
	t.Run("a good file takes effect for new connections", func(t *testing.T) {
		h := open(t, local(`"matchUsernameToSubject":true`))
		h.write(t, local(`"matchUsernameToSubject":true,"issuer":"https://id.example"`))
		h.Reload()
		h.broker.awaitLog(`info .*reloaded .*issuer https://id.example`)
		if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Deny {
			t.Errorf("got %s", got)
		}
		h.broker.awaitLog(`refused: wrong issuer: iss must be "https://id.example", found none`)
	})
	t.Run("a bad file is reported with every problem and the old stays", func(t *testing.T) {
		h := open(t, local(``))
		h.write(t, `{"algorithm":"RS999","mode":"local","options":{"common":{"issuer":5}}}`)
		h.Reload()
		h.broker.awaitLog(`error .*was not reloaded`)
		h.broker.awaitLog(`error .*\$\.algorithm`)
		h.broker.awaitLog(`error .*\$\.options\.common\.issuer`)
		if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Accept {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a missing file is reported and the old stays", func(t *testing.T) {
		h := open(t, local(``))
		if err := os.Remove(h.file); err != nil {
			t.Fatal(err)
		}
		h.Reload()
		h.broker.awaitLog(`error .*was not reloaded`)
		if got := h.login(1, "c", nil, h.token("alice", time.Minute)); got != verdict.Accept {
			t.Errorf("got %s", got)
		}
	})
	t.Run("of several reloads the last one counts", func(t *testing.T) {
		h := open(t, local(``))
		for _, issuer := range []string{"one", "two", "three"} {
			h.write(t, local(fmt.Sprintf(`"issuer":%q`, issuer)))
			h.Reload()
		}
		h.broker.awaitLog(`reloaded .*issuer three`)
		if got := h.chain.Config().Providers[0].SoleIssuer(); got != "three" {
			t.Errorf("issuer %s", got)
		}
	})
}

func TestABadFileDoesNotStart(t *testing.T) {
	broker := &fakeBroker{t: t, woken: make(chan struct{}, 1)}
	file := filepath.Join(t.TempDir(), "jwt.json")
	if err := os.WriteFile(file, []byte(`{"mode":"jwks"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(broker, Options{Settings: map[string]string{"config_file": file}}); err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{`$.algorithm`, `$.options.modes.jwks`} {
		if !slices.ContainsFunc(broker.log, func(line string) bool {
			return strings.HasPrefix(line, "error go_jwt_auth: "+file) && strings.Contains(line, want)
		}) {
			t.Errorf("no error names %s and the file:\n%s", want, strings.Join(broker.log, "\n"))
		}
	}
}

func TestAnUnknownSettingIsNamed(t *testing.T) {
	h := open(t, local(``))
	p, err := New(h.broker, Options{Settings: map[string]string{"config_file": h.file, "confg_file": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	h.broker.awaitLog(`warning .*plugin_opt_confg_file is not known; there are plugin_opt_config_file`)
}

func TestABrokerThatNeverTicksIsServedFromOtherCallbacks(t *testing.T) {
	h := open(t, local(``))
	const warning = "this broker gives plugins no regular call"
	h.ticks = loop.Ticks{}
	h.Reload() // may come before the first Tick
	h.sessions.CloseSweep()
	if h.logged(warning) {
		t.Error("warned before it could know")
	}
	h.login(1, "c1", nil, h.token("alice", time.Minute))
	if !h.logged("warning go_jwt_auth: " + warning) {
		t.Error("not warned at the first login")
	}
	// Whatever is about a client serves.
	for n, event := range []func(id string){
		func(id string) { h.login(10, id, nil, h.token("bob", time.Hour)) },
		func(id string) { h.login(10, id, nil, text("no token")) },
		func(id string) { h.login(10, id, nil, h.token("bob", -time.Hour)) },
		func(string) { h.Disconnect(10, false) },
	} {
		id := fmt.Sprint("c", n+1)
		h.login(broker.Conn(n+1), id, nil, h.token("alice", time.Minute))
		h.advance(time.Minute)
		event("another")
		if want := id + " will=true"; len(h.broker.kicked) != n+1 || h.broker.kicked[n] != want {
			t.Errorf("%d: kicked %q, want %q", n, h.broker.kicked, want)
		}
	}
	// Each kick brings a Disconnect, which must not go on to the next one: the broker's stack is not made for thousands.
	for c := range broker.Conn(5) {
		h.login(20+c, fmt.Sprint("many", c), nil, h.token("alice", time.Minute))
	}
	h.advance(time.Minute)
	h.Disconnect(10, false)
	if len(h.broker.kicked) != 4+5 || h.broker.deepest != 1 {
		t.Errorf("kicked %q, %d inside of each other", h.broker.kicked, h.broker.deepest)
	}
	if n := strings.Count(strings.Join(h.broker.log, "\n"), warning); n != 1 {
		t.Errorf("warned %d times", n)
	}
}

// Without Ticks, work is done in callbacks. A kick inside the very login that it is about would find nobody, or by the same
// id the connection that is taken over; and be lost.
func TestWithoutTicksALoginIsNotKickedInsideItself(t *testing.T) {
	h := open(t, local(`"matchUsernameToSubject":true`), func(b *fakeBroker) { b.v20 = true })
	h.ticks = loop.Ticks{}
	h.login(1, "c", text("alice"), h.token("alice", time.Hour))
	h.advance(2 * time.Second)
	h.broker.naming = func() { h.advance(time.Minute) } // its token ends in between
	if got := h.login(2, "c", nil, h.token("alice", time.Minute)); got != verdict.Accept {
		t.Fatalf("got %s", got)
	}
	h.Disconnect(99, false)
	if want := []string{"c will=true"}; !slices.Equal(h.broker.kicked, want) || h.broker.connected["c"] != 0 {
		t.Errorf("kicked %q, want %q; c is %d", h.broker.kicked, want, h.broker.connected["c"])
	}
}

// Where Disconnect does not come from inside a kick, the client is still there.
func TestAKickThatMetNobodyIsTriedAgain(t *testing.T) {
	h := open(t, local(``), func(b *fakeBroker) { b.v20 = true })
	h.login(1, "c", nil, h.token("alice", time.Minute))
	delete(h.broker.connected, "c") // by that id the broker knows nobody for a moment, as in a takeover
	h.pass(time.Minute)
	h.broker.connected["c"] = 1
	h.pass(lifetime.KickAgain)
	if want := []string{"c will=true"}; !slices.Equal(h.broker.kicked, want) || h.sessions.Len() != 0 {
		t.Errorf("kicked %q, want %q; %d sessions", h.broker.kicked, want, h.sessions.Len())
	}
	// Nobody is kicked for ever.
	h.login(2, "d", nil, h.token("bob", time.Minute))
	delete(h.broker.connected, "d")
	h.pass(time.Minute)
	for range lifetime.MaxKicks {
		h.pass(lifetime.KickAgain)
	}
	h.broker.connected["d"] = 3
	h.pass(time.Hour)
	if len(h.broker.kicked) != 1 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}

func TestWhatAFileMeansIsSaidAtStart(t *testing.T) {
	for _, c := range []struct{ common, log string }{
		{``, `warning .*matchUsernameToSubject is false: whoever has a valid token may connect with any username`},
		{`"validateExpiration":false`, `warning .*validateExpiration is false: expired tokens are accepted, and nobody is disconnected`},
		{`"allowWeakKeys":true`, `warning .*allowWeakKeys is true`},
		{``, `info .*version .* started with .*jwt.json: mode local, algorithm HS256, any issuer`},
		{``, `info .*1 key from jwt.json`},
		{`"matchUserToSubject":true`, `warning .*matchUserToSubject.*matchUsernameToSubject`},
	} {
		h := open(t, local(c.common))
		h.broker.awaitLog(c.log)
	}
}

func TestWhoWaitsForTheProviderIsSaidAtStart(t *testing.T) {
	d := newGate(t)
	const waits, closes = "this Mosquitto waits with all its clients", "is closed without CONNACK"
	opaque := fmt.Sprintf(`{"mode":"introspection","options":{"lazyConnect":true,"revocation":{"introspection":{"uri":%q}}}}`, d.url)
	for _, c := range []struct {
		file string
		v20  bool
		want string
	}{
		{d.file(``, `"timeoutMs":5000`), true, waits},
		{d.file(``, `"timeoutMs":5000`), false, ""},
		{d.file(``, `"check":"afterConnect"`), true, ""},
		{d.file(``, `"check":"onRetry"`), true, ""},
		{opaque, true, waits},
		{opaque, false, closes},
	} {
		h := open(t, c.file, func(b *fakeBroker) { b.v20 = c.v20 })
		for _, text := range []string{waits, closes} {
			if h.logged(text) != (text == c.want) {
				t.Errorf("2.0: %t, %s: logged %q: %t", c.v20, c.file, text, h.logged(text))
			}
		}
	}
}

func TestAPanicInTheBackgroundIsLogged(t *testing.T) {
	h := open(t, local(``))
	h.loop.Background(func() func() { panic("boom") })
	h.broker.awaitLog(`error .*fault in the background: boom`)
}

// What a wake writes to is freed after Close: whatever a goroutine still has to say then must not reach the broker.
func TestNothingWakesTheBrokerAfterClose(t *testing.T) {
	h := open(t, local(``))
	h.report(event.Inform("before"))
	h.broker.awaitLog(`before`)
	h.Close()
	select {
	case <-h.broker.woken: // one from before
	default:
	}
	h.report(event.Warn("after"))
	select {
	case <-h.broker.woken:
		t.Error("the broker was woken")
	default:
	}
}
