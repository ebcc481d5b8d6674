package e2e

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

const (
	controlTopic    = "$CONTROL/jwt-auth/v1"
	controlResponse = controlTopic + "/response"
)

// byToken is a CONNECT by enhanced authentication.
func byToken(id, token string) harness.Login {
	return harness.Login{ClientID: id, Auth: &harness.Auth{Method: "OAUTH2-JWT", Data: token}}
}

// plainly starts a broker on which everybody may do everything.
func plainly(t testing.TB, v brokers.Version, jwtJSON any) *harness.Broker {
	t.Helper()
	return harness.Start(t, v, harness.Options{
		Listeners: []harness.Listener{{}, {WebSockets: true}},
		Plugins:   []harness.Plugin{harness.JWT("jwt.json", jwtJSON)},
	})
}

// command is a message that has a token renewed.
func command(t testing.TB, tokens ...string) string {
	t.Helper()
	var all []object
	for i, token := range tokens {
		all = append(all, object{"command": "renewToken", "token": token, "correlationData": fmt.Sprint(i)})
	}
	text, err := json.Marshal(object{"commands": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// reply is one answer to a command.
type reply struct {
	Command, CorrelationData, Error string
	Data                            struct{ Expires int64 }
}

// renew has a client renew its token by $CONTROL, and waits for the answer.
func renew(t testing.TB, c *harness.Client, tokens ...string) []reply {
	t.Helper()
	c.Publish(controlTopic, command(t, tokens...), 1)
	return answers(t, c.WaitMessage(controlResponse).Payload)
}

func answers(t testing.TB, payload string) []reply {
	t.Helper()
	var message struct{ Responses []reply }
	if err := json.Unmarshal([]byte(payload), &message); err != nil || len(message.Responses) == 0 {
		t.Fatalf("%s: %v", payload, err)
	}
	return message.Responses
}

// A client stays across ten expiries by AUTH, and nothing that it sends or gets is lost or comes twice.
func TestAClientRenewsByAUTHAcrossTenExpiries(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := plainly(t, v, config(t, p, object{"options.revocation": nil}))
		observer := observe(t, b, p)
		token := p.Token("sensor-1", short)
		c := harness.Connect(t, b.URL(0), harness.Paho5, byToken("c", token)).Accepted()
		c.Subscribe("sensors/1/in", 1)
		exchange := func(n int) {
			c.Publish("sensors/1/out", fmt.Sprint(n), 1)
			observer.Publish("sensors/1/in", fmt.Sprint(n), 1)
			for _, got := range []harness.Message{observer.WaitMessage("sensors/1/out"), c.WaitMessage("sensors/1/in")} {
				if got.Payload != fmt.Sprint(n) {
					t.Fatalf("got %+v, want %d", got, n)
				}
			}
		}
		for n := range 10 {
			exchange(n)
			expires := expiryOf(t, token)
			token = p.Token("sensor-1", time.Until(expires)+short)
			if got := c.Reauthenticate(token); !got.Accepted() {
				t.Fatalf("renewal %d: %s", n, got)
			}
			waitUntil(t, expires, c, b)
		}
		exchange(10)
		last := expiryOf(t, token)
		if left := c.WaitDisconnect(); left.At.Before(last) || left.Code != 0x98 {
			t.Errorf("%v, %s after exp", left, left.At.Sub(last))
		}
	})
}

// waitUntil waits until the broker has surely kicked whoever had to leave at a time: until a witness has left whose time came later.
func waitUntil(t *testing.T, at time.Time, c *harness.Client, b *harness.Broker) {
	t.Helper()
	id := fmt.Sprint("witness-", at.UnixNano())
	witness := harness.Connect(t, b.URL(0), harness.Paho5, login(id, provider(t).Token("sensor-2", time.Until(at)+time.Second))).Accepted()
	witness.WaitDisconnect()
	if !c.Connected() {
		t.Fatal("the client was disconnected at the end of its old token")
	}
}

// Clients of MQTT 3.1.1 and in browsers have no AUTH.
func TestAClientRenewsByControl(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Listeners: []harness.Listener{{}, {WebSockets: true}},
			Plugins:   []harness.Plugin{harness.JWT("jwt.json", config(t, p)), sensorsThatRenew()},
		})
		for kind, listener := range map[harness.Kind]int{harness.Paho3: 0, harness.Paho5: 0, harness.MQTTJS3: 1, harness.MQTTJS5: 1} {
			t.Run(string(kind), func(t *testing.T) {
				t.Parallel()
				token := p.Token("sensor-1", 4*short)
				c := harness.Connect(t, b.URL(listener), kind, login(string(kind), token)).Accepted()
				for range 3 {
					expires := expiryOf(t, token)
					token = p.Token("sensor-1", time.Until(expires)+4*short)
					got := renew(t, c, token)
					if got[0].Error != "" || got[0].Data.Expires != expiryOf(t, token).Unix() || got[0].Command != "renewToken" || got[0].CorrelationData != "0" {
						t.Fatalf("got %+v", got)
					}
					waitUntil(t, expires, c, b)
				}
				if got := renew(t, c, p.Token("sensor-2", time.Hour)); got[0].Error != `identity mismatch: the username must be "sensor-2", found "sensor-1" (a connected client keeps its name)` {
					t.Errorf("got %+v", got)
				}
				if left := c.WaitDisconnect(); left.At.Before(expiryOf(t, token)) {
					t.Errorf("it left %s before its token ended", expiryOf(t, token).Sub(left.At))
				}
			})
		}
	})
}

// sensorsThatRenew is sensors, and all may renew their tokens.
func sensorsThatRenew() harness.Plugin {
	return harness.Dynsec{
		Roles: map[string][]harness.ACL{
			"renews": {{Type: "publishClientSend", Topic: controlTopic, Allow: true}},
			"one":    harness.MayUse("sensors/1/#"),
		},
		Clients: []harness.DynsecClient{
			{Username: "sensor-1", Roles: []string{"one", "renews"}},
			{Username: "sensor-2", Roles: []string{"renews"}},
			{Username: "operator", Password: "operator's password", Roles: []string{"renews"}},
		},
	}.Plugin()
}

// A refused AUTH ends the session, and its client can come again at once.
func TestARefusedAUTHEndsTheSession(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := plainly(t, v, config(t, p, object{"options.revocation": nil}))
		for i, expiry := range []uint32{0, never} {
			l := byToken(fmt.Sprint("c", i), p.Token("sensor-1", time.Hour))
			l.SessionExpiry = expiry
			for _, bad := range []string{p.Token("sensor-2", time.Hour), p.Token("sensor-1", -time.Minute), "", "no token"} {
				c := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
				want := "disconnected with 0x87"
				if answersTwice(v) {
					want = "closed without DISCONNECT"
				}
				if got := c.Reauthenticate(bad); got.String() != want {
					t.Errorf("%q: %s, want %s", bad, got, want)
				}
			}
		}
		b.WaitLog(`client "c1" not renewed: not a token: it is a text of another kind`)
		if matches(b.Log(), `client "c\d" (disconnected|could not be)`) {
			t.Errorf("it was kicked as well:\n%s", b.Log())
		}
	})
}

// After SIGHUP the broker asks for everybody again, with what they have logged in by.
func TestSIGHUPKeepsWhoHasRenewed(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := plainly(t, v, config(t, p, object{"options.revocation": nil}))
		renewed := harness.Connect(t, b.URL(0), harness.Paho3, login("renewed", p.Token("sensor-1", short))).Accepted()
		fresh := p.Token("sensor-1", time.Hour)
		if got := renew(t, renewed, fresh); got[0].Error != "" {
			t.Fatal(got)
		}
		both := byToken("both", p.Token("sensor-1", time.Hour))
		both.Password, both.Username = new("nobody has judged this"), new("x")
		clients := map[string]*harness.Client{
			"renewed": renewed,
			"auth":    harness.Connect(t, b.URL(0), harness.Paho5, byToken("auth", p.Token("sensor-1", short))).Accepted(),
			"both":    harness.Connect(t, b.URL(0), harness.Paho5, both).Accepted(),
		}
		if got := clients["auth"].Reauthenticate(fresh); !got.Accepted() {
			t.Fatal(got)
		}
		mark := b.Mark()
		b.Signal(syscall.SIGHUP)
		for id := range clients {
			b.WaitLogSince(mark, fmt.Sprintf(`client %q .*stays: the broker asked again`, id))
		}
		for id, c := range clients {
			if code := c.Subscribe("sensors/1/a", 1); code >= 0x80 || !c.Connected() {
				t.Errorf("%s is gone", id)
			}
		}
	})
}
