package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// byUsername is a broker with use_username_as_clientid, on which dynamic-security knows "operator" and the password file
// "filed".
func byUsername(t *testing.T, v brokers.Version, p *idp.Provider, o harness.Options) *harness.Broker {
	t.Helper()
	o.Listeners = []harness.Listener{{Extra: "use_username_as_clientid true"}}
	o.Plugins = []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000})), sensors()}
	o.Passwords = map[string]string{"filed": "filed's password"}
	return harness.Start(t, v, o)
}

// claims is a login with a token and a username that is the client id of somebody.
func claims(p *idp.Provider, username, subject string) harness.Login {
	return harness.Login{ClientID: "ignored", Username: &username, Password: new(p.Token(subject, time.Hour))}
}

// unharmed fails the test unless the client is connected, and the broker thinks so, too.
func unharmed(t *testing.T, c *harness.Client) {
	t.Helper()
	if !c.Connected() {
		t.Error("the client was disconnected")
		return
	}
	if code := c.Subscribe("sensors/1/unharmed", 1); !c.Connected() {
		t.Errorf("the client was disconnected (SUBACK 0x%02x)", code)
	}
}

// With use_username_as_clientid the broker takes the username that a client claims for its client id, before anybody has
// been asked. A token under another name takes over nobody's session by that.
func TestAClaimedUsernameTakesOverNobodysSession(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			name   string
			victim harness.Login
		}{
			{"of a token", claims(p, "device-7", "sensor-1")},
			{"of a token with its own name", claims(p, "sensor-1", "sensor-1")},
			{"of a dynsec client", harness.Login{Username: new("operator"), Password: new("operator's password")}},
			{"of the password file", harness.Login{Username: new("filed"), Password: new("filed's password")}},
		} {
			t.Run(c.name, func(t *testing.T) {
				b := byUsername(t, v, p, harness.Options{})
				id := *c.victim.Username
				victim := harness.Connect(t, b.URL(0), harness.Paho3, c.victim).Accepted() // of MQTT 5 Mosquitto 2.0 does not say whether its session is
				for _, protocol := range []byte{harness.V311, harness.V5} {
					mark := b.Mark()
					if got := knock(t, b, protocol, claims(p, id, "sensor-2")); got.Accepted() {
						t.Fatalf("CONNECT was %v, want a refusal", got)
					}
					b.WaitLogSince(mark, refused(id, `.*client id`))
				}
				unharmed(t, victim)
				// When it has left, the id is free.
				victim.Disconnect()
				b.WaitLog(`Received DISCONNECT from ` + id)
				if got := knock(t, b, harness.V5, claims(p, id, "sensor-2")); !got.Accepted() {
					t.Errorf("after the victim has left: CONNECT was %v", got)
				}
			})
		}
		for name, resumes := range map[string]bool{"of a client that is away": true, "of one that began a new session": false} {
			t.Run(name, func(t *testing.T) {
				b := byUsername(t, v, p, harness.Options{})
				sender := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{Username: new("operator"), Password: new("operator's password")}).Accepted()
				mine := func(resumes bool) harness.Login {
					l := claims(p, "device-7", "sensor-1")
					l.Resume, l.SessionExpiry = resumes, 600
					return l
				}
				away := harness.Connect(t, b.URL(0), harness.Paho5, mine(resumes)).Accepted()
				away.Subscribe("sensors/1/orders", 1)
				away.Disconnect()
				b.WaitLog(`Received DISCONNECT from device-7`)
				sender.Publish("sensors/1/orders", "while away", 1)
				for _, resume := range []bool{true, false} {
					l := claims(p, "device-7", "sensor-2")
					l.Resume = resume
					mark := b.Mark()
					if got := knock(t, b, harness.V5, l); got.Accepted() {
						t.Fatalf("CONNECT was %v, want a refusal", got)
					}
					b.WaitLogSince(mark, refused("device-7", `.*client id`))
				}
				back := harness.Connect(t, b.URL(0), harness.Paho5, mine(true)).Accepted()
				if !back.Connack().SessionPresent {
					t.Fatal("the session is gone")
				}
				back.WaitMessage("sensors/1/orders")
			})
		}
	})
}

// The same client may have its session back, however it was lost sight of.
func TestTheSameSubjectTakesOverItsOwnSession(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		t.Run("connected", func(t *testing.T) {
			b := byUsername(t, v, p, harness.Options{})
			first := harness.Connect(t, b.URL(0), harness.Paho5, claims(p, "device-7", "sensor-1")).Accepted()
			second := harness.Connect(t, b.URL(0), harness.Paho5, claims(p, "device-7", "sensor-1")).Accepted()
			first.WaitDisconnect()
			unharmed(t, second)
		})
		t.Run("after a reload", func(t *testing.T) {
			b := byUsername(t, v, p, harness.Options{})
			first := harness.Connect(t, b.URL(0), harness.Paho5, claims(p, "device-7", "sensor-1")).Accepted()
			b.Reload()
			b.WaitLog(`reloaded .*jwt.json`)
			if got := knock(t, b, harness.V5, claims(p, "device-7", "sensor-2")); got.Accepted() {
				t.Fatal("another subject got in")
			}
			unharmed(t, first)
			harness.Connect(t, b.URL(0), harness.Paho5, claims(p, "device-7", "sensor-1")).Accepted()
		})
		t.Run("after a restart of the broker", func(t *testing.T) {
			b := byUsername(t, v, p, harness.Options{Persistence: true})
			l := claims(p, "sensor-1", "sensor-1")
			l.Resume, l.SessionExpiry = true, 600
			first := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
			first.Subscribe("sensors/1/orders", 1)
			first.Disconnect()
			b.WaitLog(`Received DISCONNECT from sensor-1`)
			b.Stop()
			// The next broker finds mosquitto.db of the first.
			next := byUsername(t, v, p, harness.Options{Persistence: true, Prepare: copyFile(t, b, "mosquitto.db")})
			if back := harness.Connect(t, next.URL(0), harness.Paho5, l).Accepted(); !back.Connack().SessionPresent {
				t.Error("the session is gone")
			}
		})
	})
}

// On 2.1 a client id is rewritten to a claim. The session under that id stays if another opened it.
func TestARewrittenClientIDTakesOverNobodyElsesSession(t *testing.T) {
	p := provider(t)
	delaying(t, func(t *testing.T, v brokers.Version) {
		start := func(t *testing.T, o harness.Options) *harness.Broker {
			t.Helper()
			o.Plugins = []harness.Plugin{
				harness.JWT("jwt.json", config(t, p, object{
					"options.common.clientIdClaim": "device", "options.common.matchClientIdToSubject": true, "options.modes.jwks.cache.ttlMs": 600_000,
				})), sensors(),
			}
			return harness.Start(t, v, o)
		}
		with := func(subject, device string) harness.Login {
			return login("sent", p.Token(subject, time.Hour, idp.Claim("device", device)))
		}
		victims := map[string]harness.Login{
			"of a password client": {ClientID: "device-7", Username: new("operator"), Password: new("operator's password")},
			"of another subject":   with("sensor-1", "device-7"),
		}
		for name, l := range victims {
			t.Run(name, func(t *testing.T) {
				b := start(t, harness.Options{})
				victim := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
				mark := b.Mark()
				if got := knock(t, b, harness.V5, with("sensor-2", "device-7")); got.Accepted() {
					t.Fatalf("CONNECT was %v, want a refusal", got)
				}
				b.WaitLogSince(mark, `client "(sent|device-7)" .* refused: .*client id`)
				unharmed(t, victim)
				victim.Disconnect()
				b.WaitLog(`Received DISCONNECT from device-7`)
				if got := knock(t, b, harness.V5, with("sensor-2", "device-7")); !got.Accepted() {
					t.Errorf("after the victim has left: CONNECT was %v", got)
				}
			})
		}
		t.Run("its own", func(t *testing.T) {
			b := start(t, harness.Options{})
			first := harness.Connect(t, b.URL(0), harness.Paho5, with("sensor-1", "device-7")).Accepted()
			second := harness.Connect(t, b.URL(0), harness.Paho5, with("sensor-1", "device-7")).Accepted()
			if left := first.WaitDisconnect(); left.Code != 0x8e {
				t.Errorf("%v, want a takeover (0x8e)", left)
			}
			unharmed(t, second)
		})
		t.Run("its own, after a restart of the broker", func(t *testing.T) {
			b := start(t, harness.Options{Persistence: true})
			l := with("sensor-1", "device-7")
			l.Resume, l.SessionExpiry = true, 600
			first := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
			first.Subscribe("sensors/1/orders", 1)
			first.Disconnect()
			b.WaitLog(`Received DISCONNECT from device-7`)
			b.Stop()
			next := start(t, harness.Options{Persistence: true, Prepare: copyFile(t, b, "mosquitto.db")})
			// The broker has kept its username: another's token does not get its session.
			if got := knock(t, next, harness.V5, with("sensor-2", "device-7")); got.Accepted() {
				t.Error("another subject got the session that was restored")
			}
			if back := harness.Connect(t, next.URL(0), harness.Paho5, l).Accepted(); !back.Connack().SessionPresent {
				t.Error("the session is gone")
			}
		})
	})
}

// copyFile copies a file of one broker's folder to another's before that starts.
func copyFile(t *testing.T, from *harness.Broker, name string) func(dir string) { //nolint:unparam // the name says what is copied
	t.Helper()
	return func(dir string) {
		content, err := os.ReadFile(from.Path(name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// A WebSocket whose client does not read lives on for seconds after a takeover on Mosquitto 2.0. When its token ends then,
// nobody is disconnected in its place.
func TestNobodyIsKickedForWhoHadTheClientIDBefore(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, object{"options.revocation": nil, "options.modes.jwks.cache.ttlMs": 600_000}))
		sender := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "o", Username: new("operator"), Password: new("operator's password")}).Accepted()
		token := p.Token("sensor-1", 6*time.Second)
		before, err := harness.Dial(b.URL(1), harness.V311)
		if err != nil {
			t.Fatal(err)
		}
		defer before.Close()
		if got, err := before.Connect(login("c", token)); err != nil || !got.Accepted() {
			t.Fatalf("CONNECT was %v (%v)", got, err)
		}
		topic := "sensors/1/x"
		subscribe := append([]byte{0x82, byte(5 + len(topic)), 0, 1, 0, byte(len(topic))}, topic...)
		if err := before.Send(append(subscribe, 0)); err != nil {
			t.Fatal(err)
		}
		b.WaitLog(`Sending SUBACK to c`)
		for range 150 { // more than the kernel takes
			sender.Publish(topic, strings.Repeat("x", 100_000), 0)
		}
		// By the same token: when it has to go, so has the one before.
		canary := harness.Connect(t, b.URL(0), harness.Paho3, login("canary", token)).Accepted()
		time.Sleep(time.Until(expiryOf(t, token).Add(-time.Second)))
		now := harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		canary.WaitDisconnect()
		unharmed(t, now)
	})
}
