package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"go-jwt-auth/cmd/internal/control"
	"go-jwt-auth/cmd/internal/control/controltest"
)

// noon is the time in these tests.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// from is so long after noon.
func from(d time.Duration) control.Date { return control.Date(noon.Add(d).Unix()) }

// running is a broker that answers the tool.
type running struct {
	*controltest.Broker
	*controltest.Plugin
	url string
}

func startBroker(t testing.TB) *running {
	t.Helper()
	r := &running{Broker: &controltest.Broker{}, Plugin: &controltest.Plugin{Details: map[string]control.SessionDetail{}}}
	r.Broker.Answer = r.Plugin.Answer
	r.url = r.Start(t, "mqtt", nil)
	return r
}

// tool runs a command line with this broker, for a terminal of so many columns; 0: for none.
func (r *running) tool(ctx context.Context, columns int, stdin string, args ...string) said {
	var out, errs bytes.Buffer
	c := r.console(columns, stdin)
	c.out, c.err = &out, &errs
	code := run(ctx, append(args, "--url", r.url), c)
	return said{code, out.String(), errs.String()}
}

func (r *running) console(columns int, stdin string) *console {
	r.Plugin.Change(func() {}) // what the test has set until now is seen
	return &console{
		in: strings.NewReader(stdin), now: func() time.Time { return noon }, pause: time.Millisecond, patience: 10 * time.Second,
		size: func() (int, int, bool) { return columns, 24, columns > 0 },
	}
}

// fleet are a few clients of each kind.
func fleet() []control.Session {
	return []control.Session{
		{
			ClientID: "pump-7", Username: "sensor-1", Address: "10.0.0.7", Transport: "mqtt", ProtocolVersion: "v5", Connected: true, ConnectedAt: from(-3 * time.Hour), Login: "token",
			Token: control.Token{Provider: "devices", Subject: "sensor-1", JTI: "j-1", Expires: from(10 * time.Minute), LeavesAt: from(10 * time.Minute)},
		},
		{
			ClientID: "laptop", Username: "jdoe", Address: "10.0.0.9", Transport: "websockets", ProtocolVersion: "v3.1.1", Connected: true, ConnectedAt: from(-45 * time.Second), Login: "token",
			Token: control.Token{Provider: "employees", Subject: "jdoe", Hash: "sha256:3570d8191270", Expires: from(30 * time.Second), LeavesAt: from(30 * time.Second)},
		},
		{ClientID: "ops", Username: "ops", Connected: true, ConnectedAt: from(-time.Second), Login: "password", Admin: true},
		{ClientID: "gone", DisconnectedAt: from(-10 * time.Minute), Login: "unknown"},
	}
}

func TestClients(t *testing.T) {
	r := startBroker(t)
	r.Put(fleet()...)
	s := r.tool(t.Context(), 100, "", "clients").want(t, 0)
	want := `CLIENT ID  USERNAME  ADDRESS   LOGIN           PROVIDER   CONNECTED    LEAVES IN
pump-7     sensor-1  10.0.0.7  token           devices    3 h          10 min
laptop     jdoe      10.0.0.9  token           employees  45 s         30 s
ops        ops       –         password,admin  –          1 s          –
gone       –         –         unknown         –          away 10 min  –
4 clients, 1 of them away
`
	if s.out != want {
		t.Errorf("got\n%s\nwant\n%s", s.out, want)
	}
	r.tool(t.Context(), 0, "", "clients", "--login", "token", "--sort", "leaves").want(t, 0, "\nlaptop ", "\n2 clients (of 4)\n").lacks(t, "ops")
	r.tool(t.Context(), 0, "", "clients", "--provider", "devices").want(t, 0, "\n1 client (of 4)\n")
	r.tool(t.Context(), 0, "", "clients", "--username", "nobody").want(t, 0, "\n0 clients (of 4)\n")
	r.tool(t.Context(), 0, "", "clients", "--connected").want(t, 0).lacks(t, "gone")
	o := r.tool(t.Context(), 0, "", "clients", "--json", "--sort", "client-id").want(t, 0).object(t)
	sessions, _ := o["sessions"].([]any)
	if o["totalCount"] != 4.0 || o["complete"] != true || len(sessions) != 4 || fmt.Sprint(sessions[0]) != "map[clientid:gone connected:false disconnectedAt:1.7698602e+09 login:unknown]" {
		t.Errorf("%v", o)
	}
	if o := r.tool(t.Context(), 0, "", "clients", "--json", "--username", "nobody").object(t); fmt.Sprint(o["sessions"]) != "[]" {
		t.Error(o)
	}
	r.tool(t.Context(), 0, "", "clients", "--sort", "colour").want(t, exitUnknown, "--sort: must be one of address, came")
	r.tool(t.Context(), 0, "", "clients", "--login", "magic").want(t, exitUnknown, "--login: must be one of token")
	r.tool(t.Context(), 0, "", "clients", "--watch", "--every", "1ms").want(t, exitUnknown, "--every: must be at least 200ms")
	r.Plugin.Change(func() { r.Incomplete = "Clients of before the start may be missing." })
	r.tool(t.Context(), 0, "", "clients").want(t, 0, "! not all may be here: Clients of before the start may be missing.")
}

func TestHowTheToolLogsIn(t *testing.T) {
	r := startBroker(t)
	var said atomic.Pointer[packets.Connect]
	r.Broker.Change(func() { r.Login = func(c *packets.Connect) byte { said.Store(c); return 0 } })
	token, password := write(t, "token", "a.b.c\n"), write(t, "password", "secret \r\n")
	for _, test := range []struct {
		stdin, env, username, password string
		args                           []string
	}{
		{password: "a.b.c", args: []string{"--token-file", token}},
		{password: "a.b.c", stdin: "a.b.c\n", args: []string{"--token-file", "-"}},
		{password: "d.e.f", env: "d.e.f"},
		{password: "a.b.c", env: "d.e.f", args: []string{"--token-file", token}},
		{username: "ops", password: "secret ", env: "d.e.f", args: []string{"--admin", "ops", "--password-file", password}},
		{},
	} {
		t.Setenv(tokenVariable, test.env)
		r.tool(t.Context(), 0, test.stdin, append([]string{"clients"}, test.args...)...).want(t, 0)
		login := said.Load()
		if login.Username != test.username || string(login.Password) != test.password {
			t.Errorf("%v: %q, %q", test.args, login.Username, login.Password)
		}
	}
	for _, test := range []struct {
		want string
		args []string
	}{
		{"--token-file: open ", []string{"--token-file", token + "x"}},
		{"--password-file: it is empty", []string{"--password-file", write(t, "empty", "\n")}},
		{"longer than MQTT carries", []string{"--token-file", write(t, "long", strings.Repeat("x", maxInput+1))}},
		{"--admin needs", []string{"--admin", "ops"}},
		{"none of the others can be", []string{"--token-file", token, "--password-file", password}},
		{"TLS is mqtts://", []string{"--ca-file", token}},
	} {
		r.tool(t.Context(), 0, "", append([]string{"clients"}, test.args...)...).want(t, exitUnknown, test.want)
	}
	t.Setenv(urlVariable, "gopher://x")
	tool(t, "", "clients").want(t, exitUnknown, `must be mqtt://HOST`)
	tool(t, "", "clients", "--url", "mqtt://user:sesame@x").want(t, exitUnknown, "no username or password").lacks(t, "sesame")
	tool(t, "", "clients", "--url", "mqtt://127.0.0.1:1", "--token-file", token).want(t, exitUnknown, "connection refused").lacks(t, "unencrypted")
	tool(t, "", "clients", "--url", "mqtt://broker.invalid", "--token-file", token).want(t, exitUnknown, "unencrypted")
	r.Broker.Change(func() { r.Login = func(*packets.Connect) byte { return 0x87 } })
	r.tool(t.Context(), 0, "", "status", "--token-file", token).want(t, exitUnknown, "0x87 (not authorized)", "check-token")
	r.tool(t.Context(), 0, "", "status").want(t, exitUnknown, "0x87 (not authorized)", "--token-file")
	r.Broker.Change(func() { r.Login, r.Publish = nil, func() byte { return 0x87 } })
	r.tool(t.Context(), 0, "", "status").want(t, exitUnknown, "publishClientSend")
}

// foreign are texts that steer terminals, forge lines and columns, or look like what they are not.
var foreign = []string{
	"\x1b[2J\x1b[1;1Howned", "\x1b]0;title\a", "\u009b31mred", "a\r\nok 1 client", "\u202egnp.exe", "a\tb", "ops  admin  token", "–", "✓", "\x00", "表表表表",
	"👩‍👩‍👧", "e\u0301\u0301\u0301\u0301", strings.Repeat("A", 65535), strings.Repeat("\x1b[31m", 300), strings.Repeat("表", 500), `\x1b[2J`, "\"", "\u00a0", "\u2028",
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLW9mLWEtdG9rZW4",
}

// Whatever others have written, lines and columns are ours, nothing steers the terminal, and no row is wider than it.
func TestHostileTexts(t *testing.T) {
	r := startBroker(t)
	for i, text := range foreign {
		s := control.Session{
			ClientID: text, Username: text, Address: text, Transport: text, ProtocolVersion: text, Login: text, Connected: i%2 == 0, ConnectedAt: from(0),
			Token: control.Token{Provider: text, Subject: text, JTI: text, Hash: text, LeavesAt: from(0)},
		}
		r.Put(s)
		r.Details[text] = control.SessionDetail{Rights: &control.Rights{OnNoMatch: text, Rules: []string{text}}}
		r.Refuse(control.Refusal{
			Time: from(0), About: text, ClientID: text, Address: text, Username: text, Provider: text, Subject: text, JTI: text, Hash: text, Reason: text, Detail: text,
		})
		r.Status.Providers = append(r.Status.Providers, control.ProviderStatus{
			Name: text, Issuers: []string{text}, Mode: text, Algorithm: []string{text}, Instance: text, Listener: text,
			Keys: control.KeyStatus{Endpoint: text, Error: text}, Revocation: &control.RevocationStatus{Endpoint: text, Check: text, Breaker: text, Error: text},
		})
	}
	for _, text := range foreign {
		r.tool(t.Context(), 80, "", "client", text).clean(t)
		r.tool(t.Context(), 80, "", "disconnect", "--provider", text).clean(t)
	}
	for _, text := range []string{foreign[0], foreign[3], foreign[13]} {
		r.Plugin.Change(func() {
			r.Status.ConfigFile, r.Status.Version, r.Status.Broker.Version, r.Status.Reloads.LastError, r.Incomplete = text, text, text, text, text
		})
		r.tool(t.Context(), 80, "", "status").clean(t)
		r.tool(t.Context(), 80, "", "status", "--json").clean(t).object(t)
	}
	r.Plugin.Change(func() { r.Incomplete = "" })
	for _, command := range []string{"clients", "refusals"} {
		r.tool(t.Context(), 80, "", command, "--json").clean(t).object(t)
		for _, columns := range []int{0, 1, 20, 80} {
			s := r.tool(t.Context(), columns, "", command).want(t, 0).clean(t)
			lines := strings.Split(s.out, "\n")
			if len(lines) != 1+len(foreign)+1+1 {
				t.Errorf("%s: %d lines about %d", command, len(lines), len(foreign))
			}
			for _, line := range lines[:1+len(foreign)] {
				if columns > 0 && columnsOf(line) > columns {
					t.Errorf("%s: %d columns of %d: %q", command, columnsOf(line), columns, line)
				}
			}
		}
	}
}

// clean fails the test if something is in the output that a terminal obeys.
func (s said) clean(t *testing.T) said {
	t.Helper()
	clean(t, s.out+s.err)
	return s
}

// clean fails the test if a text holds what a terminal obeys.
func clean(t *testing.T, text string) {
	t.Helper()
	for i, r := range text {
		if r != '\n' && (r < ' ' || (r >= 0x7f && r < 0xa0) || r == '\u202e' || r == '\u2028' || r == '\u200d') {
			t.Fatalf("%q stands in the output: …%q", r, text[max(0, i-40):min(len(text), i+40)])
		}
	}
}

func TestOneClient(t *testing.T) {
	r := startBroker(t)
	r.Put(fleet()...)
	r.Details["pump-7"] = control.SessionDetail{
		KeepAlive: new(60), CleanStart: new(false), Subscriptions: new(2),
		Rights: &control.Rights{OnNoMatch: "deny", Rules: []string{"may publish to \"a/b\" (scope mqtt:read)", "may subscribe to \"c/#\" (scope mqtt:read)"}},
	}
	s := r.tool(t.Context(), 0, "", "client", "pump-7").want(t, 0)
	want := `client         pump-7
  username     sensor-1
  address      10.0.0.7
  protocol     mqtt, v5
  connected    2026-01-31T09:00:00Z, 3 h ago
  login        token
  provider     devices
  sub          sensor-1
  jti          j-1
  expires      2026-01-31T12:10:00Z, in 10 min
  leaves       2026-01-31T12:10:00Z, in 10 min
  keep alive   60 s
  clean start  false
  subscribed   2 filters
  rights       may publish to "a/b" (scope mqtt:read)
               may subscribe to "c/#" (scope mqtt:read)
               nothing else
`
	if s.out != want {
		t.Errorf("got\n%s\nwant\n%s", s.out, want)
	}
	r.tool(t.Context(), 0, "", "client", "gone").want(t, 0, "away         since 2026-01-31T11:50:00Z, 10 min ago").lacks(t, "rights")
	r.tool(t.Context(), 0, "", "client", "ops").want(t, 0, "password; an administrator")
	if o := r.tool(t.Context(), 0, "", "client", "pump-7", "--json").object(t); o["clientid"] != "pump-7" || o["keepAlive"] != 60.0 {
		t.Error(o)
	}
	r.tool(t.Context(), 0, "", "client", "nobody").want(t, exitNo, "no such client")
}

// screen takes what a command prints while it runs.
type screenBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen func(text string)
}

func (s *screenBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.text.Write(p)
	s.seen(s.text.String())
	return n, err
}

// watched runs a command until seen says that it has seen enough, and returns what it printed.
func (r *running) watched(t *testing.T, columns int, enough func(text string) bool, args ...string) string {
	t.Helper()
	ctx, interrupt := context.WithTimeout(t.Context(), 20*time.Second)
	defer interrupt()
	out := &screenBuffer{seen: func(text string) {
		if enough(text) {
			interrupt()
		}
	}}
	var errs bytes.Buffer
	c := r.console(columns, "")
	c.out, c.err = out, &errs
	if code := run(ctx, append(args, "--watch", "--every", "200ms", "--url", r.url), c); code != 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	return out.text.String()
}

func TestClientsAreWatched(t *testing.T) {
	r := startBroker(t)
	r.Put(fleet()...)
	step := 0
	text := r.watched(t, 0, func(text string) bool {
		for _, each := range []struct {
			want string
			then func()
		}{
			{"present   gone", func() {
				away := fleet()[0]
				away.Connected, away.DisconnectedAt = false, from(0)
				r.Put(away)
			}},
			{"away      pump-7", func() { r.Put(fleet()[0]) }},
			{"connected pump-7", func() {
				renewed := fleet()[1]
				renewed.Token.LeavesAt = from(time.Hour)
				r.Put(renewed)
			}},
			{"changed   laptop", func() { r.Drop(); r.End("ops") }},
		}[step:] {
			if !strings.Contains(text, each.want) {
				return false
			}
			step++
			each.then()
		}
		return strings.Contains(text, "ended     ops")
	}, "clients")
	want := "2026-01-31T12:00:00Z present   pump-7, username sensor-1, address 10.0.0.7, login token, provider devices, sub sensor-1, leaves at 2026-01-31T12:10:00Z\n"
	if !strings.HasPrefix(text, want) {
		t.Error(text)
	}
	clean(t, text)
	// As JSON, one object a line, and with a filter.
	text = r.watched(t, 100, func(text string) bool {
		if strings.Contains(text, `"laptop"`) {
			r.End("laptop", "gone")
		}
		return strings.Contains(text, "ended")
	}, "clients", "--json", "--login", "token")
	for line := range strings.Lines(text) {
		var o clientChange
		if err := json.Unmarshal([]byte(line), &o); err != nil || o.Session == nil || o.Session.Login != "token" {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// On a terminal the list is drawn on the second screen, which it leaves at the end.
func TestClientsAreDrawnAgain(t *testing.T) {
	r := startBroker(t)
	for n := range 30 {
		r.Put(control.Session{ClientID: fmt.Sprint("c", n), Connected: true, Login: "anonymous"})
	}
	drawn := 0
	text := r.watched(t, 40, func(text string) bool {
		drawn = strings.Count(text, home)
		if drawn == 1 {
			r.Put(control.Session{ClientID: "\x1b[2Jnew", Connected: true, Login: "token"})
		}
		return strings.Contains(text, "31 clients")
	}, "clients")
	if !strings.HasPrefix(text, secondScreen) || !strings.HasSuffix(text, firstScreen) || strings.Count(text, secondScreen) != 1 || drawn < 2 {
		t.Errorf("%q", text)
	}
	frames := strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, secondScreen), firstScreen), home)[1:]
	for _, frame := range frames {
		lines := strings.Split(strings.TrimSuffix(frame, clearBelow), clearLine)
		if len(lines) > 24 {
			t.Errorf("%d lines on a terminal of 24", len(lines))
		}
		for _, line := range lines {
			clean(t, line)
			if columnsOf(line) > 40 {
				t.Errorf("%q is wider than the terminal", line)
			}
		}
	}
	if last := frames[len(frames)-1]; !strings.Contains(last, "31 clients, the first") {
		t.Errorf("%q", last)
	}
}

func TestColoursOfClients(t *testing.T) {
	r := startBroker(t)
	r.Put(fleet()...)
	s := r.tool(t.Context(), 60, "", "clients", "--color", "always")
	if !strings.Contains(s.out, "\x1b[33m30 s\x1b[0m") || !strings.Contains(s.out, "\x1b[2mgone") {
		t.Errorf("%q", s.out)
	}
	for line := range strings.Lines(s.out) {
		if strings.Count(line, "\x1b[")%2 != 0 {
			t.Errorf("a colour goes on behind its line: %q", line)
		}
	}
}

func TestFit(t *testing.T) {
	for text, want := range map[string]string{"abcdef": "abcdef", "abcdefg": "abcde…", "表表表": "表表表", "表表表表": "表表…", "e\u0301bcdef": "e\u0301bcdef"} {
		if got := fit(text, 6); got != want || columnsOf(got) > 6 {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := fit("abc", 0); columnsOf(got) > 1 {
		t.Errorf("%q", got)
	}
}

// What 50,000 clients cost: time, and what is allocated of broker and plugin as well.
func BenchmarkFiftyThousandClients(b *testing.B) {
	r := startBroker(b)
	const many = 50_000
	all := make([]control.Session, many)
	for n := range all {
		all[n] = fleet()[n%2]
		all[n].ClientID = fmt.Sprint("client-", n)
	}
	r.Put(all...)
	for _, args := range [][]string{{"clients"}, {"clients", "--json"}, {"clients", "--sort", "leaves"}} {
		b.Run(strings.Join(args, " "), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s := r.tool(b.Context(), 100, "", args...); s.code != 0 || strings.Count(s.out, "\n") < many {
					b.Fatal(s.code, s.err)
				}
			}
		})
	}
}

func TestStandardOutputThatFails(t *testing.T) {
	r := startBroker(t)
	r.Put(fleet()...)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	for _, args := range [][]string{{"clients"}, {"clients", "--json"}, {"clients", "--watch"}, {"refusals", "--watch"}} {
		r.Refuse(control.Refusal{ClientID: "a"})
		c := r.console(0, "")
		var errs bytes.Buffer
		c.out, c.err = full, &errs
		if code := run(t.Context(), append(args, "--url", r.url), c); code != exitUnknown || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
}

// What is printed member by member is the same as in one piece.
func TestObjectWith(t *testing.T) {
	for _, all := range [][]control.Session{{}, fleet()[:1], fleet()} {
		head := clientList{TotalCount: 9, Sessions: []control.Session{}}
		var got, want bytes.Buffer
		whole := head
		whole.Sessions = all
		if err := objectWith(&console{out: &got, json: true}, head, all); err != nil {
			t.Error(err)
		}
		if err := (&console{out: &want, json: true}).object(whole); err != nil {
			t.Error(err)
		}
		if got.String() != want.String() {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want.String())
		}
	}
}
