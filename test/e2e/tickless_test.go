package e2e

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// Mosquitto 2.0.11 gives plugins no Tick with per_listener_settings. That is known at the first login, and what is due is done
// whenever something happens on a listener of the instance, also for clients that are left to others. Nothing is said, and
// nobody has to come, with brokers that tick.
func TestABrokerWithoutTicks(t *testing.T) {
	const secret = "a secret of forty bytes, long enough it is"
	file := object{"algorithm": "HS256", "mode": "local", "options": object{"modes": object{"local": secret}}}
	token := func(life time.Duration) string {
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "x", "exp": time.Now().Add(life).Unix()}).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const warning = `this broker gives plugins no regular call`
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		ticks := v.Name != "2.0.11"
		b := harness.Start(t, v, harness.Options{
			PerListenerSettings: true,
			Listeners: []harness.Listener{
				{Plugins: []harness.Plugin{harness.JWT("jwt.json", file)}},
				{AllowAnonymous: true},
			},
		})
		c := harness.Connect(t, b.URL(0), harness.Paho5, login("c", token(short))).Accepted()
		if !ticks {
			b.WaitLog(warning)
		}
		// On 2.0.11 nobody on another listener has the client leave.
		other, err := harness.Dial(b.URL(1), harness.V5)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if _, err := other.Connect(harness.Login{ClientID: "other"}); err != nil {
			t.Fatal(err)
		}
		for over := time.Now().Add(short + time.Second); time.Now().Before(over); time.Sleep(50 * time.Millisecond) {
			if err := other.Ping(); err != nil {
				t.Fatal(err)
			}
		}
		if !ticks && !c.Connected() {
			t.Error("it was disconnected: the warning and the documents say that nothing does that")
		}
		if !ticks {
			if got := knock(t, b, harness.V5, harness.Login{ClientID: "d", Username: new("bob"), Password: new("no token")}); got.Accepted() {
				t.Error("a wrong password was accepted")
			}
		}
		c.WaitDisconnect()
		if ticks && matches(b.Log(), warning) {
			t.Error("it is said of a broker that ticks")
		}
	})
}
