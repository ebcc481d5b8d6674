package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

const (
	inspectTopic       = "$CONTROL/cedalo/inspect/v1"
	clientControlTopic = "$CONTROL/cedalo/client-control/v1"
)

// What the Management Center 2.8 may do that is not allowed to everybody: it subscribes to both filters, and asks at these topics, of
// which this plugin and dynamic-security have some.
func panelACLs(topics ...string) (acls []harness.ACL) {
	for _, filter := range []string{"$CONTROL/#", "$SYS/#"} {
		acls = append(acls, harness.ACL{Type: "subscribePattern", Topic: filter, Allow: true}, harness.ACL{Type: "publishClientReceive", Topic: filter, Allow: true})
	}
	for _, topic := range topics {
		acls = append(acls, harness.ACL{Type: "publishClientSend", Topic: topic, Allow: true})
	}
	return acls
}

// managed starts a broker with a panel's account of these rights. The panel is an admin.
func managed(t testing.TB, v brokers.Version, jwtJSON object, acls []harness.ACL) *harness.Broker {
	t.Helper()
	set(jwtJSON, "options.control.admins", []string{"panel"})
	return harness.Start(t, v, harness.Options{
		Listeners: []harness.Listener{{}, {WebSockets: true}},
		Plugins: []harness.Plugin{harness.JWT("jwt.json", jwtJSON), harness.Dynsec{
			Roles: map[string][]harness.ACL{"panel": acls},
			Clients: []harness.DynsecClient{
				{Username: "panel", Password: "panel's password", Roles: []string{"panel"}},
				{Username: "pump", Password: "pump's password", Roles: []string{"panel"}},
			},
		}.Plugin()},
	})
}

// panel is the Management Center as a client: MQTT 5, QoS 0, subscribed to all answers.
type panel struct {
	*harness.Client
	id    string
	asked int
}

func connectPanel(t testing.TB, b *harness.Broker, as string) *panel {
	t.Helper()
	id := fmt.Sprintf("mmc-%s-0b54b7a5", as)
	c := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: id, Username: &as, Password: new(as + "'s password")}).Accepted()
	c.Subscribe("$CONTROL/#", 0)
	c.Subscribe("$SYS/#", 0)
	return &panel{Client: c, id: id}
}

type managedClient struct {
	ClientID, Username, Address, Protocol, ProtocolVersion string
	Connected                                              *bool
	LastConnect, LastDisconnect                            int64
	NumSubscriptions, KeepAlive                            *int
	CleanSession                                           *bool
	Listener                                               *struct{ Port int }
}

type managedResponse struct {
	Command, CorrelationData, Error string
	Data                            *struct {
		managedClient
		Clients    []managedClient
		TotalCount int
	}
}

// asks sends a command, and waits for the answer to it.
func (p *panel) asks(t testing.TB, topic string, command object) managedResponse {
	t.Helper()
	p.asked++
	command["correlationData"] = fmt.Sprintf("4ffd4a04-9c3f-11ee-8c90-%012d", p.asked)
	text, err := json.Marshal(object{"commands": []object{command}})
	if err != nil {
		t.Fatal(err)
	}
	p.Publish(topic, string(text), 0)
	var message struct{ Responses []managedResponse }
	payload := p.WaitMessage(topic + "/response").Payload
	if err := json.Unmarshal([]byte(payload), &message); err != nil || len(message.Responses) != 1 {
		t.Fatalf("%s: %v", payload, err)
	}
	if r := message.Responses[0]; r.Command != command["command"] || r.CorrelationData != command["correlationData"] {
		t.Fatalf("the answer to %v is %s", command, payload)
	}
	return message.Responses[0]
}

// clients are those of the panel's page, by client id, once there are so many.
func (p *panel) clients(t testing.TB, count int) map[string]managedClient {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; { // 2.0 tells of nobody who is let in by others
		got := p.asks(t, inspectTopic, object{"command": "listClients", "verbose": true, "count": -1, "offset": 0})
		if got.Error != "" || got.Data == nil || got.Data.TotalCount != len(got.Data.Clients) {
			t.Fatalf("%+v", got)
		}
		if len(got.Data.Clients) == count {
			by := map[string]managedClient{}
			for _, c := range got.Data.Clients {
				by[c.ClientID] = c
			}
			return by
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are expected: %+v", count, got.Data.Clients)
		}
		time.Sleep(100 * time.Millisecond) // it is not to ask too often
	}
}

// The Management Center's requests, exactly as it sends them, are answered for who is connected, by whatever they came in.
func TestTheManagementCenterSeesWhoIsConnected(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := managed(t, v, config(t, p, object{"options.revocation": nil}), panelACLs(inspectTopic, clientControlTopic))
		c := connectPanel(t, b, "panel")
		harness.Connect(t, b.URL(1), harness.MQTTJS3, login("s1", p.Token("sensor-1", time.Hour))).Accepted()
		harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "p", Username: new("pump"), Password: new("pump's password")}).Accepted()
		away := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{
			ClientID: "away", Username: new("pump"), Password: new("pump's password"), Resume: true, SessionExpiry: never,
		}).Accepted()
		by := c.clients(t, 4)
		for id, got := range by {
			if got.Connected == nil || !*got.Connected || got.Address != "127.0.0.1" || got.KeepAlive == nil || *got.KeepAlive != 60 || (got.Listener != nil) != v.AtLeast(2, 1) ||
				got.LastDisconnect != 0 || time.Since(time.UnixMilli(got.LastConnect)).Abs() > time.Minute {
				t.Errorf("%s: %+v", id, got)
			}
		}
		if s := by["s1"]; s.Username != "sensor-1" || s.Protocol != "MQTT-WS" || s.ProtocolVersion != "v3.1.1" {
			t.Errorf("%+v", s)
		}
		if s := by["p"]; s.Username != "pump" || s.Protocol != "MQTT" || s.ProtocolVersion != "v5" || s.CleanSession == nil || !*s.CleanSession {
			t.Errorf("%+v", s)
		}
		if s := by["mmc-panel-0b54b7a5"]; s.NumSubscriptions == nil || *s.NumSubscriptions != 2 {
			t.Errorf("%+v", s)
		}
		if got := c.asks(t, inspectTopic, object{"command": "getClient", "clientid": "s1"}); got.Data == nil || got.Data.ClientID != "s1" || got.Data.Username != "sensor-1" {
			t.Errorf("%+v", got)
		}
		if got := c.asks(t, inspectTopic, object{"command": "getClient", "clientid": "sensor-1"}); got.Error != "Client not found" || got.Data != nil {
			t.Errorf("%+v", got)
		}
		b.WaitLog(`client "mmc-panel-0b54b7a5" \[127\.0\.0\.1\] commanded listClients 4 of 4 clients`)

		away.Disconnect()
		if !v.AtLeast(2, 1) { // which can't tell of sessions that it keeps
			c.clients(t, 3)
			return
		}
		for deadline := time.Now().Add(harness.Patience); ; {
			got := c.asks(t, inspectTopic, object{"command": "getClient", "clientid": "away"})
			if got.Data != nil && got.Data.Connected != nil && !*got.Data.Connected {
				if time.Since(time.UnixMilli(got.Data.LastDisconnect)).Abs() > time.Minute {
					t.Errorf("%+v", got.Data)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("who is away: %+v", got)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// It disconnects the client that it names, and nobody else.
func TestTheManagementCenterDisconnects(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := managed(t, v, config(t, p, object{"options.revocation": nil}), panelACLs(inspectTopic, clientControlTopic))
		c := connectPanel(t, b, "panel")
		byToken := harness.Connect(t, b.URL(0), harness.Paho5, login("s1", p.Token("sensor-1", time.Hour))).Accepted()
		byPassword := harness.Connect(t, b.URL(1), harness.Paho5, harness.Login{ClientID: "p", Username: new("pump"), Password: new("pump's password")}).Accepted()
		bystander := harness.Connect(t, b.URL(0), harness.Paho5, login("s2", p.Token("sensor-1", time.Hour))).Accepted()
		c.clients(t, 4)
		for id, client := range map[string]*harness.Client{"s1": byToken, "p": byPassword} {
			if got := c.asks(t, clientControlTopic, object{"command": "disconnectClient", "clientid": id}); got.Error != "" || got.Data == nil {
				t.Errorf("%+v", got)
			}
			if got := client.WaitDisconnect(); got.Code != 0x98 {
				t.Errorf("%s was disconnected by %v", id, got)
			}
			b.WaitLog(`client "` + id + `"( \[127\.0\.0\.1\])? disconnected: by an admin: "panel"`)
		}
		by := c.clients(t, 2)
		if _, there := by["s2"]; !there {
			t.Errorf("who is left: %v", by)
		}
		if got := c.asks(t, clientControlTopic, object{"command": "disconnectClient", "clientid": "s1"}); got.Error != "Client not found" {
			t.Errorf("%+v", got)
		}
		bystander.Subscribe("$SYS/none", 1)
		b.WaitLog(`client "mmc-panel-0b54b7a5" \[127\.0\.0\.1\] commanded disconnectClient client "s1"`)
	})
}

// Which rights it needs, and what it gets with more or fewer; who is no admin gets nothing.
func TestWhoMayAskAsTheManagementCenter(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			rule, as string
			acls     []harness.ACL
			answered bool
			error    string
		}{
			{"all that it asks for", "panel", panelACLs(inspectTopic), true, ""},
			{"nothing but to ask", "panel", panelACLs(inspectTopic)[4:], true, ""},
			{"not to ask", "panel", panelACLs(), false, ""},
			{"to ask something else", "panel", panelACLs("$CONTROL/jwt-auth/v1", clientControlTopic), false, ""},
			{"all of $CONTROL", "panel", panelACLs("$CONTROL/#"), true, ""},
			{"no admin", "pump", panelACLs(inspectTopic), true, `unknown command: "listClients"`},
		} {
			t.Run(c.rule, func(t *testing.T) {
				b := managed(t, v, config(t, p, object{"options.revocation": nil}), c.acls)
				// An answer to another command shows that there was none before it.
				client := connectPanel(t, b, c.as)
				if c.answered {
					got := client.asks(t, inspectTopic, object{"command": "listClients", "verbose": true, "count": -1, "offset": 0})
					if got.Error != c.error || (got.Data == nil) != (c.error != "") {
						t.Errorf("%+v", got)
					}
					return
				}
				client.Publish(inspectTopic, `{"commands":[{"command":"listClients","verbose":true,"count":-1,"offset":0,"correlationData":"x"}]}`, 0)
				b.WaitLog(`Denied PUBLISH from ` + client.id)
				if got := client.Messages(); slices.ContainsFunc(got, func(m harness.Message) bool { return m.Topic == inspectTopic+"/response" }) {
					t.Errorf("got %v", got)
				}
			})
		}
	})
}

// Where another plugin has one of its topics, that is said once, and all else works.
func TestAnotherPluginHasATopicOfTheManagementCenter(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		jwtJSON := config(t, p, object{"options.revocation": nil})
		b := harness.Start(t, v, harness.Options{
			Passwords: map[string]string{"panel": "panel's password"},
			Plugins:   []harness.Plugin{harness.JWT("jwt.json", jwtJSON), {Path: witness(t, "events")}},
		})
		first := connectPanel(t, b, "panel")
		first.Publish(witnessTopic, "control "+inspectTopic, 1)
		b.WaitLog(`witness: control \$CONTROL/cedalo/inspect/v1 in TICK: 0`)
		set(jwtJSON, "options.control.admins", []string{"panel"})
		for range 2 {
			mark := b.Mark()
			b.WriteFile("jwt.json", jwtJSON)
			b.Reload()
			b.WaitLogSince(mark, `the Management Center can't see who is connected by a message to \$CONTROL/cedalo/inspect/v1: another plugin or plugin line has it`)
		}
		first.Disconnect()
		again := connectPanel(t, b, "panel")
		if got := again.asks(t, clientControlTopic, object{"command": "disconnectClient", "clientid": "nobody"}); got.Error != "Client not found" {
			t.Errorf("%+v", got)
		}
		again.Publish(inspectTopic, "look", 0)
		b.WaitLog(`witness: CONTROL \$CONTROL/cedalo/inspect/v1 of mmc-panel-0b54b7a5`)
	})
}
