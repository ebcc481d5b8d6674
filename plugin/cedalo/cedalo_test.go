package cedalo_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/admin"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/cedalo"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/roster"
)

var began = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

// desk is a broker with clients, and an admin who asks, or somebody else.
type desk struct {
	t *testing.T
	*cedalo.Cedalo
	watched *admin.Watched
	info    map[broker.Conn]broker.ClientInfo
	isAdmin bool
	// jobs are those to be done in turns; steps is how many they took.
	jobs         []func() bool
	steps        int
	kicked, told []string
	sent         []string
}

func newDesk(t *testing.T, clients int) *desk {
	t.Helper()
	d := &desk{t: t, watched: &admin.Watched{Roster: roster.New(began)}, info: map[broker.Conn]broker.ClientInfo{}, isAdmin: true}
	name := "u"
	for n := range clients {
		conn := broker.Conn(n + 1)
		d.watched.Roster.Came(conn, fmt.Sprint("c", n), began)
		d.info[conn] = broker.ClientInfo{Username: &name, Address: "192.0.2.7", KeepAlive: 60, Version: 5, Subscriptions: n, CleanStart: true, Port: 1883}
	}
	d.Cedalo = &cedalo.Cedalo{Admins: &admin.Admins{
		Now:     func() time.Time { return began },
		Watched: func() *admin.Watched { return d.watched },
		Who:     func(broker.Message) (admin.Who, bool) { return admin.Who{Key: "1", Name: "ops"}, d.isAdmin },
		View: func(c *roster.Client) (admin.View, bool) {
			return admin.View{Info: d.info[c.Conn]}, c.ID != "gone"
		},
		Run:        func(step func() bool) { d.jobs = append(d.jobs, step) },
		Disconnect: func(c *roster.Client, why string) { d.kicked = append(d.kicked, c.ID+" "+why) },
		Tell: func(_ broker.Message, who admin.Who, command, what string, err error, changes bool) {
			d.told = append(d.told, fmt.Sprintf("%s: %s %s, %v, %t", who.Name, command, what, err, changes))
		},
	}}
	return d
}

// asks sends commands, as the Management Center does.
func (d *desk) asks(commands map[string]control.Command, command string) {
	c := control.Control{
		Commands: commands, Malformed: func(broker.Message) { d.t.Errorf("malformed: %s", command) },
		Send: func(_ broker.Message, payload []byte) { d.sent = append(d.sent, string(payload)) },
	}
	c.Handle(broker.Message{Conn: 99, ClientID: "panel", Payload: []byte(`{"commands":[` + command + `]}`)})
}

// step does one step of the first job.
func (d *desk) step() {
	job := d.jobs[0]
	d.jobs = d.jobs[1:]
	d.steps++
	if !job() {
		d.jobs = append(d.jobs, job)
	}
}

func (d *desk) answer() string {
	d.t.Helper()
	for len(d.jobs) > 0 {
		d.step()
	}
	if len(d.sent) != 1 {
		d.t.Fatalf("sent %q", d.sent)
	}
	sent := d.sent[0]
	d.sent = nil
	return strings.TrimSuffix(strings.TrimPrefix(sent, `{"responses":[`), `]}`)
}

const (
	c0 = `{"clientid":"c0","username":"u","address":"192.0.2.7","protocol":"MQTT","protocolVersion":"v5","numSubscriptions":0,` +
		`"connected":true,"lastConnect":1795446000000,"keepalive":60,"cleanSession":true,"listener":{"port":1883}}`
	c1 = `{"clientid":"c1","username":"u","address":"192.0.2.7","protocol":"MQTT","protocolVersion":"v5","numSubscriptions":1,` +
		`"connected":true,"lastConnect":1795446000000,"keepalive":60,"cleanSession":true,"listener":{"port":1883}}`
)

// asBoth is a client as getClient answers with it.
func asBoth(client string) string {
	return strings.TrimSuffix(client, "}") + `,"client":` + client + `}`
}

func TestCommands(t *testing.T) {
	list := func(members string) string { return `{"command":"listClients"` + members + `}` }
	listed := func(total int, clients ...string) string {
		return fmt.Sprintf(`{"command":"listClients","data":{"clients":[%s],"totalCount":%d}}`, strings.Join(clients, ","), total)
	}
	for _, c := range []struct{ rule, command, want, told string }{
		{
			"as the panel asks", list(`,"verbose":true,"count":-1,"offset":0,"correlationData":"1b9d"`),
			strings.Replace(listed(2, c0, c1), `"data"`, `"correlationData":"1b9d","data"`, 1), "listClients 2 of 2 clients, <nil>, false",
		},
		{"without anything", list(``), listed(2, `"c0"`, `"c1"`), ""},
		{"some", list(`,"verbose":true,"count":1`), listed(2, c0), "listClients 1 of 2 clients, <nil>, false"},
		{"none", list(`,"count":0`), listed(2), ""},
		{"the others", list(`,"verbose":true,"count":5,"offset":1`), listed(2, c1), ""},
		{"past the end", list(`,"offset":2`), listed(2), ""},
		{"what nobody knows", list(`,"count":1,"sort":{"by":["clientid"]}`), listed(2, `"c0"`), ""},
		{"before the first", list(`,"offset":-1`), listed(2, `"c0"`, `"c1"`), ""},
		{"a count that is none", list(`,"count":"1"`), `{"command":"listClients","error":"\"count\" must be an integer"}`, `listClients , "count" must be an integer, false`},
		{"half a client", list(`,"count":0.5`), `{"command":"listClients","error":"\"count\" must be an integer"}`, ""},
		{"an offset too far", list(`,"offset":9999999999`), `{"command":"listClients","error":"\"offset\" must be an integer"}`, ""},
		{"one", `{"command":"getClient","clientid":"c1"}`, `{"command":"getClient","data":` + asBoth(c1) + `}`, `getClient of client "c1", <nil>, false`},
		{"nobody", `{"command":"getClient","clientid":"c2"}`, `{"command":"getClient","error":"Client not found"}`, `getClient of client "c2", Client not found, false`},
		{"whom", `{"command":"getClient"}`, `{"command":"getClient","error":"\"clientid\" must be there, and a string"}`, ""},
		{"not here", `{"command":"disconnectClient","clientid":"c1"}`, `{"command":"disconnectClient","error":"unknown command: \"disconnectClient\""}`, "-"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := newDesk(t, 2)
			d.asks(d.Inspect(), c.command)
			if got := d.answer(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if told := strings.Join(d.told, "\n"); c.told == "-" && told != "" || c.told != "-" && c.told != "" && told != "ops: "+c.told {
				t.Errorf("told %q, want %q", told, c.told)
			}
		})
	}
}

func TestDisconnectClient(t *testing.T) {
	d := newDesk(t, 3)
	d.watched.Roster.Left(3, true, began)
	for _, c := range []struct{ command, want string }{
		{`{"command":"disconnectClient","clientid":"c1","correlationData":"2"}`, `{"command":"disconnectClient","correlationData":"2","data":{}}`},
		{`{"command":"disconnectClient","clientid":"c7"}`, `{"command":"disconnectClient","error":"Client not found"}`},
		{`{"command":"disconnectClient","clientid":"c2"}`, `{"command":"disconnectClient","error":"Client not found"}`}, // it is away
		{`{"command":"disconnectClient"}`, `{"command":"disconnectClient","error":"\"clientid\" must be there, and a string"}`},
	} {
		d.asks(d.ClientControl(), c.command)
		if got := d.answer(); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	if len(d.kicked) != 1 || d.kicked[0] != `c1 by an admin: "ops"` || len(d.told) != 4 || d.told[0] != `ops: disconnectClient client "c1", <nil>, true` {
		t.Errorf("disconnected %q, told %q", d.kicked, d.told)
	}
}

func TestWhatIsToldOfAClient(t *testing.T) {
	d := newDesk(t, 2)
	r := d.watched.Roster
	name := "<i>"
	d.info[1] = broker.ClientInfo{Username: &name, Address: "192.0.2.8", Version: 4, WebSocket: true}
	r.Left(2, true, began.Add(time.Minute))
	d.info[2] = broker.ClientInfo{} // 2.0 can't tell
	r.Restore(roster.Client{Conn: 3, ID: "restored"})
	d.info[3] = broker.ClientInfo{Version: 3, Port: 1884}
	const secret = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	r.Judge(4, roster.Judged{ID: secret, Login: roster.Token, Secret: true})
	r.Came(4, secret, began)
	token := secret
	d.info[4] = broker.ClientInfo{Version: 5, Username: &token}
	for id, want := range map[string]string{
		"c0": `{"clientid":"c0","username":"<i>","address":"192.0.2.8","protocol":"MQTT-WS","protocolVersion":"v3.1.1","numSubscriptions":0,"connected":true,` +
			`"lastConnect":1795446000000,"keepalive":0,"cleanSession":false}`,
		"c1": `{"clientid":"c1","username":"","protocol":"MQTT","connected":false,"lastConnect":1795446000000,"lastDisconnect":1795446060000}`,
		"restored": `{"clientid":"restored","username":"<anonymous>","protocol":"MQTT","protocolVersion":"v3.1","numSubscriptions":0,"connected":false,"keepalive":0,` +
			`"cleanSession":false,"listener":{"port":1884}}`,
	} {
		d.asks(d.Inspect(), fmt.Sprintf(`{"command":"getClient","clientid":%q}`, id))
		if got := d.answer(); got != `{"command":"getClient","data":`+asBoth(want)+`}` {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	for _, command := range []string{`{"command":"getClient","clientid":"` + secret + `"}`, `{"command":"listClients"}`, `{"command":"listClients","verbose":true}`} {
		d.asks(d.Inspect(), command)
		if got := d.answer(); strings.Contains(got, secret) || strings.Contains(got, "error") {
			t.Errorf("got %s", got)
		}
	}
	d.asks(d.ClientControl(), `{"command":"disconnectClient","clientid":"`+secret+`"}`)
	d.answer()
	if told := strings.Join(d.told, "\n"); strings.Contains(told, secret) {
		t.Errorf("told %s", told)
	}
}

// To all but admins there are no such commands.
func TestWhoIsNoAdmin(t *testing.T) {
	d := newDesk(t, 2)
	d.isAdmin = false
	for _, command := range []string{"listClients", "getClient"} {
		d.asks(d.Inspect(), `{"command":"`+command+`","clientid":"c1"}`)
		if got := d.answer(); got != `{"command":"`+command+`","error":"unknown command: \"`+command+`\""}` {
			t.Errorf("got %s", got)
		}
	}
	d.asks(d.ClientControl(), `{"command":"disconnectClient","clientid":"c1"}`)
	if got := d.answer(); !strings.Contains(got, "unknown command") || len(d.kicked)+len(d.told) > 0 {
		t.Errorf("got %s, disconnected %q, told %q", got, d.kicked, d.told)
	}
}

// listed is what a list holds.
type listed struct {
	Responses []struct {
		Error string
		Data  struct {
			TotalCount int
			Clients    []string
		}
	}
}

func (d *desk) listed() (all listed) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(`{"responses":[`+d.answer()+`]}`), &all); err != nil {
		d.t.Fatal(err)
	}
	return all
}

// A list has so many clients at most, and says how many there are. The rest comes by offset.
func TestALongList(t *testing.T) {
	const crowd = cedalo.MaxClients + 2500
	d := newDesk(t, crowd)
	d.asks(d.Inspect(), `{"command":"listClients","count":-1}`)
	got := d.listed().Responses[0].Data
	if len(got.Clients) != cedalo.MaxClients || got.TotalCount != crowd || got.Clients[cedalo.MaxClients-1] != fmt.Sprint("c", cedalo.MaxClients-1) {
		t.Errorf("%d of %d", len(got.Clients), got.TotalCount)
	}
	if d.steps < cedalo.MaxClients/100 {
		t.Errorf("%d clients in %d steps", cedalo.MaxClients, d.steps)
	}
	d.asks(d.Inspect(), fmt.Sprintf(`{"command":"listClients","count":-1,"offset":%d}`, cedalo.MaxClients))
	if got := d.listed().Responses[0].Data; len(got.Clients) != 2500 || got.Clients[0] != fmt.Sprint("c", cedalo.MaxClients) {
		t.Errorf("the rest is %d of %d", len(got.Clients), got.TotalCount)
	}
}

// However long client ids are, a list ends before it has far more than MaxBytes.
func TestAListOfLongNames(t *testing.T) {
	d := newDesk(t, 0)
	for n := range 300 {
		d.watched.Roster.Came(broker.Conn(n+1), fmt.Sprint(n, strings.Repeat("x", 65_000)), began)
	}
	d.asks(d.Inspect(), `{"command":"listClients"}`)
	if got := d.listed().Responses[0].Data; len(got.Clients) != cedalo.MaxBytes/65_000+1 || got.TotalCount != 300 {
		t.Errorf("%d of %d", len(got.Clients), got.TotalCount)
	}
}

// Clients that come and go while a list is made, and those that have left unnoticed, neither end it nor are they in it twice.
func TestTheyComeAndGoMeanwhile(t *testing.T) {
	d := newDesk(t, 200)
	r := d.watched.Roster
	r.Came(500, "gone", began)
	d.asks(d.Inspect(), `{"command":"listClients"}`)
	for n := 0; len(d.jobs) > 0; n++ {
		d.step()
		r.Came(broker.Conn(n+1), fmt.Sprint("c", n), began)
		r.Left(broker.Conn(200-n), false, began)
		r.Came(broker.Conn(1000+n), fmt.Sprint("new", n), began)
	}
	seen := map[string]int{}
	got := d.listed().Responses[0].Data
	for _, id := range got.Clients {
		seen[id]++
	}
	for n := range 150 {
		if id := fmt.Sprint("c", n); seen[id] != 1 {
			t.Errorf("%s is in it %d times", id, seen[id])
		}
	}
	if len(seen) != len(got.Clients) || seen["new0"] != 1 || seen["gone"] != 0 || r.Find("gone") != nil {
		t.Errorf("of %d in the list %d are different; %v", len(got.Clients), len(seen), seen)
	}
}

// No more than a few lists are made at once, and each that ends makes room, whatever it ends by.
func TestManyAskAtOnce(t *testing.T) {
	d := newDesk(t, 100)
	for range 3 {
		for range cedalo.MaxLists + 2 {
			d.asks(d.Inspect(), `{"command":"listClients"}`)
		}
		if len(d.jobs) != cedalo.MaxLists || len(d.sent) != 2 || !strings.Contains(d.sent[0], `"error":"too many requests"`) {
			t.Fatalf("%d are made at once, sent %q", len(d.jobs), d.sent)
		}
		d.step()
		on := d.watched
		d.watched = nil // switched off
		d.step()
		d.watched = on
		for len(d.jobs) > 0 {
			d.step()
		}
		if len(d.sent) != 2+cedalo.MaxLists || !strings.Contains(strings.Join(d.sent, ""), "switched off") {
			t.Fatalf("sent %q", d.sent)
		}
		d.sent = nil
		d.asks(d.Inspect(), `{"command":"listClients","offset":1000}`) // which is answered at once
		if got := d.listed().Responses[0]; got.Error != "" || got.Data.TotalCount != 100 {
			t.Errorf("got %+v", got)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	d := newDesk(&testing.T{}, cedalo.MaxClients)
	for b.Loop() {
		if len(d.jobs) == 0 {
			d.Cedalo = &cedalo.Cedalo{Admins: newDesk(&testing.T{}, 0).Admins}
			d.Admins.Watched, d.Admins.Run = func() *admin.Watched { return d.watched }, func(step func() bool) { d.jobs = append(d.jobs, step) }
			d.asks(d.Inspect(), `{"command":"listClients","verbose":true}`)
			d.sent, d.told = nil, nil
		}
		d.step()
	}
}
