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
		b.WaitLog(renewalLog("c1", "not renewed: not a token: it is a text of another kind"))
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
