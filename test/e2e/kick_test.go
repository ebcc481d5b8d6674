package e2e

import (
	"fmt"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// short is a token's life long enough to do something with it, and short enough to wait for.
const short = 3 * time.Second

func TestAnExpiredClientIsKicked(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			name     string
			withWill bool
		}{{"with its will", true}, {"without its will", false}} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				b := start(t, v, config(t, p, object{"options.common.kickExpiredClientsWithWill": c.withWill}))
				observer := observe(t, b, p)
				// One token for all: they leave together. Node takes its time to start on a busy machine.
				token := p.Token("sensor-1", 4*short)
				clients := map[harness.Kind]*harness.Client{}
				for kind, listener := range map[harness.Kind]int{harness.Paho3: 0, harness.Paho5: 0, harness.MQTTJS3: 1, harness.MQTTJS5: 1} {
					l := login(string(kind), token)
					l.Will = &harness.Will{Topic: "sensors/1/will/" + string(kind), Payload: "gone"}
					clients[kind] = harness.Connect(t, b.URL(listener), kind, l).Accepted()
				}
				expires := expiryOf(t, token)
				for kind, client := range clients {
					left := client.WaitDisconnect()
					if kind.Protocol() == harness.V5 && (!left.Packet || left.Code != 0x98) {
						t.Errorf("%s: %v, want 0x98 (administrative action)", kind, left)
					}
					if left.At.Before(expires) {
						t.Errorf("%s: kicked %s before its token expired", kind, expires.Sub(left.At))
					}
					t.Logf("%s: kicked %s after exp", kind, left.At.Sub(expires).Round(time.Millisecond))
					b.WaitLog(fmt.Sprintf("client %q disconnected: expired: its time ended at", kind))
					will := "sensors/1/will/" + string(kind)
					if c.withWill {
						observer.WaitMessage(will)
					}
				}
				// Wills would have come before this.
				observer.Publish("end", "", 1)
				observer.WaitMessage("end")
				if got := len(observer.Messages()) - 1; !c.withWill && got != 0 {
					t.Errorf("%d wills were published", got)
				}
				harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Refused()
			})
		}
	})
}

// A client id that was taken over by a fresh token is not kicked when the old one expires.
func TestATakeoverByAFreshTokenStays(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		old := p.Token("sensor-1", short)
		first := harness.Connect(t, b.URL(0), harness.Paho5, login("c", old)).Accepted()
		witness := harness.Connect(t, b.URL(0), harness.Paho3, login("witness", old)).Accepted()
		second := harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		first.WaitDisconnect()
		// The witness has the old token: when it goes, the old session's time has passed.
		witness.WaitDisconnect()
		if code := second.Subscribe("sensors/1/a", 1); code >= 0x80 || !second.Connected() {
			t.Errorf("the second is gone (SUBACK 0x%02x)", code)
		}
	})
}

func TestAFailedLoginLeavesTheSessionOfThatClientIDAlone(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		resume := login("c", p.Token("sensor-1", time.Hour))
		resume.SessionExpiry = 600
		c := harness.Connect(t, b.URL(0), harness.Paho5, resume).Accepted()
		c.Subscribe("sensors/1/a", 1)
		for _, password := range []string{p.Token("sensor-1", -time.Hour), "nonsense", p.Token("+", time.Hour)} {
			for _, version := range []byte{harness.V311, harness.V5} {
				got := knock(t, b, version, harness.Login{ClientID: "c", Username: new("x"), Password: &password})
				if got.Accepted() {
					t.Fatalf("a bad password was accepted")
				}
			}
		}
		c.Publish("sensors/1/a", "still here", 1)
		c.WaitMessage("sensors/1/a")
		if !c.Connected() {
			t.Error("the client was disconnected")
		}
	})
}

// The closing scene of the commercial plugin's tutorial: MQTT 5, a session that outlives the connection, a short token.
func TestTheTutorialsClosingScene(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		observer := observe(t, b, p)
		token := p.Token("sensor-1", 5*time.Second)
		l := login("c", token)
		l.SessionExpiry, l.Resume = 600, true
		l.Will = &harness.Will{Topic: "sensors/1/status", Payload: "offline"}
		c := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
		if c.Connack().SessionPresent {
			t.Error("a session is present at the first connect")
		}
		c.Subscribe("sensors/1/orders", 1)

		if left := c.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v, want 0x98", left)
		}
		observer.WaitMessage("sensors/1/status")

		harness.Connect(t, b.URL(0), harness.Paho5, l).Refused()
		b.WaitLog(refused("c", "expired"))

		observer.Publish("sensors/1/orders", "while away", 1)
		l.Password = new(p.Token("sensor-1", time.Hour))
		back := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
		if !back.Connack().SessionPresent {
			t.Error("the session is gone")
		}
		if got := back.WaitMessage("sensors/1/orders"); got.Payload != "while away" {
			t.Errorf("got %v", got)
		}
	})
}
