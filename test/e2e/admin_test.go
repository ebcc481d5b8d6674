package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// commandReply is the answer to a command of an admin.
type commandReply struct {
	Command, Error string
	Data           json.RawMessage
}

// has has a client send one command, and waits for the answer.
func has(t testing.TB, c *harness.Client, command object) commandReply {
	t.Helper()
	text, err := json.Marshal(object{"commands": []object{command}})
	if err != nil {
		t.Fatal(err)
	}
	c.Publish(controlTopic, string(text), 1)
	var message struct{ Responses []commandReply }
	payload := c.WaitMessage(controlResponse).Payload
	if err := json.Unmarshal([]byte(payload), &message); err != nil || len(message.Responses) != 1 {
		t.Fatalf("%s: %v", payload, err)
	}
	return message.Responses[0]
}

// tells is has for a command that must be done.
func tells[T any](t testing.TB, c *harness.Client, command object) (to T) {
	t.Helper()
	answer := has(t, c, command)
	if answer.Error != "" {
		t.Fatalf("%v: %s", command, answer.Error)
	}
	if err := json.Unmarshal(answer.Data, &to); err != nil {
		t.Fatalf("%s: %v", answer.Data, err)
	}
	return to
}

// shown is a session as admins see it.
type shown struct {
	ClientID, Username, Address, Transport, ProtocolVersion, Login string
	Port                                                           int
	Connected, EnhancedAuth, Admin                                 bool
	ConnectedAt, DisconnectedAt                                    int64
	Token                                                          struct {
		Provider, Sub, JTI, Hash     string
		Expires, LeavesAt, RecheckAt int64
		Renewals                     int
	}
	KeepAlive, Subscriptions int
	CleanStart               bool
	Rights                   *struct {
		OnNoMatch string
		Rules     []string
	}
}

// sessionPage is an answer with sessions.
type sessionPage struct {
	TotalCount int
	Complete   bool
	Incomplete string
	Revision   int64
	Sessions   []shown
	Ended      []string
	More       bool
}

// operated starts a broker on which the user ops, who comes with a password, may command, as may chief of the provider, if there is but one.
func operated(t testing.TB, v brokers.Version, jwtJSON object, more ...harness.DynsecClient) *harness.Broker {
	t.Helper()
	admins := []any{"ops", object{"username": "chief"}}
	if jwtJSON["providers"] != nil {
		admins = admins[:1]
	}
	set(jwtJSON, "options.control.admins", admins)
	commands := harness.ACL{Type: "publishClientSend", Topic: controlTopic, Allow: true}
	return harness.Start(t, v, harness.Options{
		Listeners: []harness.Listener{{}, {WebSockets: true}},
		Plugins: []harness.Plugin{harness.JWT("jwt.json", jwtJSON), harness.Dynsec{
			Roles: map[string][]harness.ACL{"commands": {commands}},
			Clients: append([]harness.DynsecClient{
				{Username: "ops", Password: "operator's password", Roles: []string{"commands"}},
				{Username: "chief", Roles: []string{"commands"}},
				{Username: "pump", Password: "pump's password", Roles: []string{"commands"}},
			}, more...),
		}.Plugin()},
	})
}

func byPassword(id, username, password string) harness.Login {
	return harness.Login{ClientID: id, Username: &username, Password: &password}
}

// ops connects the admin who comes with a password.
func ops(t testing.TB, b *harness.Broker) *harness.Client {
	t.Helper()
	return harness.Connect(t, b.URL(0), harness.Paho5, byPassword("ops' console", "ops", "operator's password")).Accepted()
}

// Who is connected, how they came in, with which token and until when.
func TestAnAdminSeesWhoIsConnected(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := operated(t, v, config(t, p, object{"options.revocation": nil}))
		admin := ops(t, b)
		token := p.Token("sensor-1", time.Hour)
		harness.Connect(t, b.URL(1), harness.MQTTJS3, login("s1", token)).Accepted()
		harness.Connect(t, b.URL(0), harness.Paho5, byPassword("p", "pump", "pump's password")).Accepted()
		var got sessionPage
		for deadline := time.Now().Add(harness.Patience); got.TotalCount < 3 && time.Now().Before(deadline); {
			got = tells[sessionPage](t, admin, object{"command": "listSessions"}) // 2.0 tells of nobody who is let in by others
		}
		if got.TotalCount != 3 || len(got.Sessions) != 3 || got.Complete != v.AtLeast(2, 1) || (got.Incomplete == "") != v.AtLeast(2, 1) {
			t.Fatalf("%+v", got)
		}
		by := map[string]shown{}
		for _, s := range got.Sessions {
			by[s.ClientID] = s
			if since := time.Since(time.Unix(s.ConnectedAt, 0)); !s.Connected || since > time.Minute || since < -time.Second || s.Address != "127.0.0.1" {
				t.Errorf("%+v", s)
			}
			if (s.Port != 0) != v.AtLeast(2, 1) {
				t.Errorf("port %d", s.Port)
			}
		}
		if s := by["ops' console"]; s.Login != "password" || s.Username != "ops" || !s.Admin || s.ProtocolVersion != "v5" || s.Transport != "mqtt" {
			t.Errorf("%+v", s)
		}
		if s := by["p"]; s.Login != "password" || s.Username != "pump" || s.Admin {
			t.Errorf("%+v", s)
		}
		s := by["s1"]
		if s.Login != "token" || s.Username != "sensor-1" || s.Admin || s.ProtocolVersion != "v3.1.1" || s.Transport != "websockets" ||
			s.Token.Sub != "sensor-1" || s.Token.JTI == "" || s.Token.Expires != expiryOf(t, token).Unix() || s.Token.LeavesAt != s.Token.Expires {
			t.Errorf("%+v", s)
		}
		one := tells[struct{ Session shown }](t, admin, object{"command": "getSession", "clientid": "s1"}).Session
		if one.ClientID != "s1" || one.KeepAlive == 0 || one.Token.JTI != s.Token.JTI || one.Rights != nil {
			t.Errorf("%+v", one)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("late", p.Token("sensor-2", -time.Minute))).Refused()
		refusals := tells[struct {
			TotalCount int
			Refusals   []struct{ About, ClientID, Address, Reason, Detail, Hash string }
		}](t, admin, object{"command": "listRefusals"})
		if len(refusals.Refusals) != 1 || refusals.Refusals[0].ClientID != "late" || refusals.Refusals[0].Reason != "expired" || refusals.Refusals[0].Address != "127.0.0.1" {
			t.Errorf("%+v", refusals)
		}
		status := tells[struct {
			Version   string
			Sessions  struct{ All, Connected, Token int }
			Refusals  int
			Providers []struct {
				Mode  string
				Ready bool
			}
		}](t, admin, object{"command": "getStatus"})
		if status.Sessions.All != 3 || status.Sessions.Token != 1 || status.Refusals != 1 || len(status.Providers) != 1 || !status.Providers[0].Ready {
			t.Errorf("%+v", status)
		}
	})
}

// A client is disconnected by any of its names, and by others nobody is.
func TestAnAdminDisconnects(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := operated(t, v, config(t, p, object{"options.revocation": nil, "options.audit.filePath": "{dir}/audit.jsonl"}))
		admin := ops(t, b)
		bystander := harness.Connect(t, b.URL(0), harness.Paho5, login("by", p.Token("sensor-2", time.Hour))).Accepted()
		for i, c := range []struct {
			rule  string
			login harness.Login
			by    func(token string) object
		}{
			{"client id", login("c", p.Token("sensor-1", time.Hour)), func(string) object { return object{"clientid": "c"} }},
			{"username", login("c", p.Token("sensor-1", time.Hour)), func(string) object { return object{"username": "sensor-1"} }},
			{"subject", login("c", p.Token("sensor-1", time.Hour)), func(string) object { return object{"sub": "sensor-1"} }},
			{"jti", login("c", p.Token("sensor-1", time.Hour, idp.Claim("jti", "its own"))), func(string) object { return object{"jti": "its own"} }},
			{"client id, of others", byPassword("c", "pump", "pump's password"), func(string) object { return object{"clientid": "c"} }},
			{"username, of others", byPassword("c", "pump", "pump's password"), func(string) object { return object{"username": "pump"} }},
		} {
			client := harness.Connect(t, b.URL(i%2), harness.Paho5, c.login).Accepted()
			for len(tells[sessionPage](t, admin, object{"command": "listSessions"}).Sessions) < 3 { // 2.0 tells of nobody who is let in by others
			}
			mark := b.Mark()
			command := c.by(*c.login.Password)
			command["command"], command["reason"] = "disconnectSession", "a test"
			if got := tells[struct{ Disconnected, Blocked int }](t, admin, command); got.Disconnected != 1 || got.Blocked != 0 {
				t.Errorf("%s: %+v", c.rule, got)
			}
			client.WaitDisconnect()
			b.WaitLogSince(mark, `go_jwt_auth: client "c"( \[127\.0\.0\.1\])? disconnected: by an admin: "ops", "a test"`)
			b.WaitLogSince(mark, `go_jwt_auth: client "ops' console" \[127\.0\.0\.1\] commanded disconnectSession .*: 1 client, "a test"`)
		}
		awaitLine(t, b, "audit.jsonl", object{
			"event": "command", "result": "done", "command": "disconnectSession", "clientid": "ops' console", "username": "ops", "address": "127.0.0.1",
			"detail": `clientid "c": 1 client, "a test"`,
		})
		awaitLine(t, b, "audit.jsonl", object{"event": "disconnect", "result": "done", "clientid": "c", "sub": "sensor-1", "reason": "by an admin", "detail": `"ops", "a test"`})
		if !bystander.Connected() {
			t.Error("a bystander was disconnected")
		}
	})
}

// A provider that is no longer trusted: all who came by it are thrown out, and nobody else.
func TestAnAdminDisconnectsAllOfAProvider(t *testing.T) {
	one, two := ownProvider(t), ownProvider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := operated(t, v, several(nil, named("one", one), named("two", two)))
		admin := ops(t, b)
		var going []*harness.Client
		for i := range 20 {
			id := fmt.Sprint("one-", i)
			going = append(going, harness.Connect(t, b.URL(i%2), harness.Paho5, login(id, one.Token(id, time.Hour))).Accepted())
		}
		staying := []*harness.Client{
			harness.Connect(t, b.URL(0), harness.Paho5, login("two", two.Token("sensor-1", time.Hour))).Accepted(),
			harness.Connect(t, b.URL(1), harness.Paho5, byPassword("pump", "pump", "pump's password")).Accepted(),
		}
		got := tells[struct{ Disconnected, Blocked int }](t, admin, object{"command": "disconnectSession", "provider": "one", "reason": "a test"})
		if got.Disconnected != len(going) || got.Blocked != 0 {
			t.Errorf("%+v", got)
		}
		for _, c := range going {
			c.WaitDisconnect()
		}
		for _, c := range append(staying, admin) {
			if !c.Connected() {
				t.Error("a bystander was disconnected")
			}
		}
		if got := tells[struct{ Disconnected int }](t, admin, object{"command": "disconnectSession", "provider": "three"}); got.Disconnected != 0 {
			t.Errorf("by a provider of which there is none: %+v", got)
		}
	})
}

// A block keeps its bearer out over a reload, and ends.
func TestAnAdminBlocks(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := operated(t, v, config(t, p, object{"options.revocation": nil}))
		admin := ops(t, b)
		token := p.Token("sensor-1", time.Hour)
		client := harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted()
		got := tells[struct{ Disconnected, Blocked, BlockedUntil int64 }](t, admin, object{"command": "disconnectSession", "sub": "sensor-1", "block": 86400, "reason": "lost"})
		if until := time.Until(time.Unix(got.BlockedUntil, 0)); got.Disconnected != 1 || got.Blocked != 1 || until > 24*time.Hour || until < 23*time.Hour {
			t.Errorf("%+v", got)
		}
		client.WaitDisconnect()
		for range 2 {
			harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Refused()
			harness.Connect(t, b.URL(0), harness.Paho5, byToken("d", p.Token("sensor-1", time.Hour))).Refused()
			b.WaitLog(refused("c", `blocked: by an admin until 2`))
			b.Reload()
			b.WaitLog(`go_jwt_auth: version .* reloaded `)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("e", p.Token("sensor-2", time.Hour))).Accepted()
		blocks := tells[struct {
			TotalCount int
			Blocks     []struct {
				ID              int
				Sub, By, Reason string
			}
		}](t, admin, object{"command": "listBlocks"})
		if blocks.TotalCount != 1 || blocks.Blocks[0].Sub != "sensor-1" || blocks.Blocks[0].By != "ops" || blocks.Blocks[0].Reason != "lost" {
			t.Fatalf("%+v", blocks)
		}
		tells[object](t, admin, object{"command": "removeBlock", "id": blocks.Blocks[0].ID})
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted()
		// One that ends by itself.
		tells[object](t, admin, object{"command": "disconnectSession", "sub": "sensor-2", "block": 2})
		harness.Connect(t, b.URL(0), harness.Paho5, login("f", p.Token("sensor-2", time.Hour))).Refused()
		for deadline := time.Now().Add(harness.Patience); !harness.Connect(t, b.URL(0), harness.Paho5, login("f", p.Token("sensor-2", time.Hour))).Connack().Accepted(); {
			if time.Now().After(deadline) {
				t.Fatal("a block of two seconds lasts")
			}
		}
	})
}

// A session that is kept is shown as away, and not any more once it has ended (2.1). Who has come meanwhile is among the changes.
func TestAnAdminSeesWhatHasChanged(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := operated(t, v, config(t, p, object{"options.revocation": nil}))
		admin := ops(t, b)
		since := tells[sessionPage](t, admin, object{"command": "listSessions"}).Revision
		kept := login("kept", p.Token("sensor-1", time.Hour))
		kept.Resume, kept.SessionExpiry = true, 2
		harness.Connect(t, b.URL(0), harness.Paho5, kept).Accepted().Drop()
		harness.Connect(t, b.URL(0), harness.Paho5, login("here", p.Token("sensor-2", time.Hour))).Accepted()
		seen := map[string]shown{}
		follow := func(until func() bool) {
			t.Helper()
			for deadline := time.Now().Add(harness.Patience); !until(); time.Sleep(10 * time.Millisecond) {
				page := tells[sessionPage](t, admin, object{"command": "listSessionChanges", "since": since})
				for _, s := range page.Sessions {
					seen[s.ClientID] = s
				}
				for _, id := range page.Ended {
					delete(seen, id)
				}
				since = page.Revision
				if time.Now().After(deadline) {
					t.Fatalf("it does not come: %+v", seen)
				}
			}
		}
		follow(func() bool {
			s, known := seen["kept"]
			away := known && !s.Connected && s.DisconnectedAt != 0 && s.Login == "token"
			return seen["here"].Connected && (away || !v.AtLeast(2, 1) && !known)
		})
		// The session's end is not told: whoever lists finds out.
		for deadline := time.Now().Add(harness.Patience); ; time.Sleep(100 * time.Millisecond) {
			all := tells[sessionPage](t, admin, object{"command": "listSessions"})
			if len(all.Sessions) == 2 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v", all)
			}
		}
	})
}

// What a token allows is shown as check-token shows it.
func TestAnAdminSeesRights(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := operated(t, v, config(t, p, object{
			"options.revocation":    nil,
			"options.authorization": object{"grants": []object{{"everyone": true, "publish": []string{"sensors/{username}/#"}}}},
		}))
		admin := ops(t, b)
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		one := tells[struct{ Session shown }](t, admin, object{"command": "getSession", "clientid": "c"}).Session
		if r := one.Rights; r == nil || r.OnNoMatch != "deny" || len(r.Rules) != 1 || !strings.HasPrefix(r.Rules[0], `may publish to "sensors/sensor-1/#" (`) {
			t.Errorf("%+v", one.Rights)
		}
	})
}

// What the broker has to allow an admin: to publish to the topic, and nothing else.
func TestWhatAnAdminMayDo(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		c := config(t, p, object{"options.revocation": nil})
		b := operated(t, v, c, harness.DynsecClient{Username: "boss", Password: "boss's password"})
		set(c, "options.control.admins", []string{"boss"})
		b.WriteFile("jwt.json", c)
		b.Reload()
		b.WaitLog(`reloaded `)
		boss := harness.Connect(t, b.URL(0), harness.Paho5, byPassword("b", "boss", "boss's password")).Accepted()
		if code := boss.Publish(controlTopic, `{"commands":[{"command":"getStatus"}]}`, 1); code != 0x87 {
			t.Errorf("without a right to publish: 0x%02x", code)
		}
		if b := boss.Messages(); len(b) > 0 {
			t.Errorf("%v", b)
		}
	})
}

// On 2.1 the plugin gets what clients of all listeners send, those of listeners without it and of other plugin lines included.
func TestAdminsOfSeveralListeners(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		file := func(name, admin string) []harness.Plugin {
			c := config(t, p, object{"options.revocation": nil, "options.control.admins": []string{admin}})
			return []harness.Plugin{harness.JWT(name, c), harness.Dynsec{
				Roles: map[string][]harness.ACL{"commands": {{Type: "publishClientSend", Topic: controlTopic, Allow: true}}},
				Clients: []harness.DynsecClient{
					{Username: "ops", Password: "operator's password", Roles: []string{"commands"}},
					{Username: "boss", Password: "operator's password", Roles: []string{"commands"}},
				},
			}.Plugin()}
		}
		b := harness.Start(t, v, harness.Options{PerListenerSettings: true, Listeners: []harness.Listener{
			{Plugins: file("one.json", "ops")},
			{Plugins: []harness.Plugin{harness.JWT("two.json", config(t, p, object{"options.revocation": nil, "options.control.admins": []string{"boss"}}))}, AllowAnonymous: true},
			{AllowAnonymous: true},
		}})
		admin := harness.Connect(t, b.URL(0), harness.Paho5, byPassword("ops' console", "ops", "operator's password")).Accepted()
		tells[object](t, admin, object{"command": "getStatus"})
		other := harness.Connect(t, b.URL(0), harness.Paho5, byPassword("boss' console", "boss", "operator's password")).Accepted()
		if got := has(t, other, object{"command": "getStatus"}); got.Error != `unknown command: "getStatus"` {
			t.Errorf("an admin of another list: %+v", got)
		}
		// Nobody judges there, and it calls itself an admin.
		foreign := harness.Connect(t, b.URL(2), harness.Paho5, harness.Login{ClientID: "foreign", Username: new("ops")}).Accepted()
		foreign.Publish(controlTopic, `{"commands":[{"command":"getStatus"}]}`, 1)
		anonymous := harness.Connect(t, b.URL(1), harness.Paho5, harness.Login{ClientID: "anonymous"}).Accepted()
		if got := has(t, anonymous, object{"command": "getStatus"}); got.Error != `unknown command: "getStatus"` {
			t.Errorf("somebody without a name: %+v", got)
		}
		foreign.Publish("end", "", 1)
		for _, m := range foreign.Messages() {
			if !strings.Contains(m.Payload, `unknown command`) {
				t.Errorf("a client of a listener without the plugin: %s", m.Payload)
			}
		}
		if !v.AtLeast(2, 1) {
			return
		}
		got := tells[sessionPage](t, admin, object{"command": "listSessions"})
		if got.TotalCount < 3 || !got.Complete {
			t.Errorf("%+v", got)
		}
	})
}

// An admin may come by a certificate, of which the broker takes the username.
func TestAnAdminComesByACertificate(t *testing.T) {
	p := provider(t)
	certificate, ca := certify(t, "localhost")
	der, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{"options.revocation": nil, "options.control.admins": []string{"example.com"}}))},
			Files:   map[string]string{"ca.pem": ca, "key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))},
			Listeners: []harness.Listener{{}, {
				Extra: "cafile {dir}/ca.pem\ncertfile {dir}/ca.pem\nkeyfile {dir}/key.pem\nrequire_certificate true\nuse_identity_as_username true",
			}},
		})
		_, address, _ := strings.Cut(b.URL(1), "://")
		answers := make(chan string, 10)
		client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + address).SetClientID("by certificate").
			SetTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true}).
			SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { answers <- string(m.Payload()) }))
		if token := client.Connect(); !token.WaitTimeout(harness.Patience) || token.Error() != nil {
			t.Fatal(token.Error())
		}
		defer client.Disconnect(0)
		client.Publish(controlTopic, 1, false, `{"commands":[{"command":"listSessions"}]}`)
		select {
		case answer := <-answers:
			if !strings.Contains(answer, `"clientid":"by certificate","username":"example.com"`) || !strings.Contains(answer, `"login":"certificate","admin":true`) {
				t.Error(answer)
			}
		case <-time.After(harness.Patience):
			t.Fatal("no answer")
		}
	})
}

// Who is not an admin gets the answer that there is no such command.
func TestWhoIsNoAdmin(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := operated(t, v, config(t, p, object{"options.revocation": nil}))
		for _, c := range []struct {
			rule  string
			login harness.Login
			is    bool
		}{
			{"the admin by password", byPassword("a", "ops", "operator's password"), true},
			{"the admin by token", login("b", p.Token("chief", time.Hour)), true},
			{"another by password", byPassword("c", "pump", "pump's password"), false},
			{"a token with the name of the admin by password", login("d", p.Token("ops", time.Hour)), false},
		} {
			client := harness.Connect(t, b.URL(0), harness.Paho5, c.login).Accepted()
			for _, command := range []string{"listSessions", "listSessionChanges", "getSession", "disconnectSession", "listBlocks", "removeBlock", "getStatus", "listRefusals"} {
				unknown := fmt.Sprintf("unknown command: %q", command)
				if got := has(t, client, object{"command": command}); (got.Error == unknown) == c.is {
					t.Errorf("%s, %s: %s", c.rule, command, got.Error)
				}
			}
		}
		if log := b.Log(); strings.Contains(log, `client "d" [127.0.0.1] commanded`) {
			t.Error("a command of somebody else is in the log")
		}
	})
}
