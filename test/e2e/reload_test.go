package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// SIGHUP makes the broker ask for everybody again: nobody is lost, and the provider is not asked.
func TestReloadLosesNobody(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		jwtJSON := config(t, p)
		b := start(t, v, jwtJSON)
		token := p.Token("sensor-1", time.Hour)
		var clients []*harness.Client
		for i := range 5 {
			clients = append(clients,
				harness.Connect(t, b.URL(0), harness.Paho3, login(fmt.Sprint("v3-", i), token)).Accepted(),
				harness.Connect(t, b.URL(0), harness.Paho5, login(fmt.Sprint("v5-", i), token)).Accepted())
		}
		clients = append(clients,
			harness.Connect(t, b.URL(1), harness.MQTTJS5, login("ws", token)).Accepted(),
			harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "no-username", Password: &token}).Accepted(),
			harness.Connect(t, b.URL(0), harness.Paho3, harness.Login{ClientID: "o", Username: new("operator"), Password: new("operator's password")}).Accepted())
		// One is away, and its session waits for it.
		away := login("away", token)
		away.SessionExpiry, away.Resume = 600, true
		left := harness.Connect(t, b.URL(0), harness.Paho5, away).Accepted()
		left.Subscribe("sensors/1/orders", 1)
		left.Disconnect()
		b.WaitLog(`Received DISCONNECT from away`)
		// A revoked token is a matter for the next connect.
		if err := p.Revoke(token); err != nil {
			t.Fatal(err)
		}
		asked := p.Requests(idp.Introspect)

		for _, file := range []any{jwtJSON, "{ not JSON", jwtJSON} {
			mark := b.Mark()
			b.WriteFile("jwt.json", file)
			b.Reload()
			b.WaitLogSince(mark, `reloaded .*jwt.json|was not reloaded`)
			for i, c := range clients {
				if code := c.Subscribe(fmt.Sprint("sensors/1/", i), 1); code >= 0x80 || !c.Connected() {
					t.Errorf("client %d was lost (SUBACK 0x%02x)", i, code)
				}
			}
		}
		if got := p.Requests(idp.Introspect); got != asked {
			t.Errorf("the provider was asked %d times", got-asked)
		}
		// The provider would refuse the token that was revoked; a fresh one finds the session that waited.
		away.Password = new(p.Token("sensor-1", time.Hour))
		observe(t, b, p).Publish("sensors/1/orders", "while away", 1)
		back := harness.Connect(t, b.URL(0), harness.Paho5, away).Accepted()
		if !back.Connack().SessionPresent {
			t.Error("the waiting session is gone")
		}
		back.WaitMessage("sensors/1/orders")
		harness.Connect(t, b.URL(0), harness.Paho5, login("v5-0", token)).Refused()
	})
}

func TestReloadTakesEffectForNewConnections(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p, other := provider(t), ownProvider(t)
		b := start(t, v, config(t, p))
		expiring := harness.Connect(t, b.URL(0), harness.Paho5, login("expiring", p.Token("sensor-1", short))).Accepted()

		b.WriteFile("jwt.json", config(t, other))
		b.Reload()
		b.WaitLog(`reloaded .*jwt.json`)
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", other.Token("sensor-1", time.Hour))).Accepted()
		answered(t, b, harness.Paho5, login("d", p.Token("sensor-1", time.Hour))).Refused()
		// Who was connected before stays until its own token expires.
		if left := expiring.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v, want 0x98", left)
		}
	})
}

func TestABadReloadIsReportedAndTheOldFileStays(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p, down := provider(t), ownProvider(t)
		if err := down.SetDown(true); err != nil {
			t.Fatal(err)
		}
		b := start(t, v, config(t, p))
		for _, c := range []struct {
			name, log string
			file      any
		}{
			{"malformed", `jwt.json:1:3: `, "{ mode: jwks }"},
			{"invalid", `\$\.algorithm: `, config(t, p, object{"algorithm": "none"})},
			{"a provider that is down", `\$\.options\.modes\.jwks\.uri: the identity provider can't be reached`, config(t, down)},
		} {
			t.Run(c.name, func(t *testing.T) {
				mark := b.Mark()
				b.WriteFile("jwt.json", c.file)
				b.Reload()
				b.WaitLogSince(mark, c.log)
				b.WaitLogSince(mark, `was not reloaded: the configuration from before stays in force`)
				harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
			})
		}
	})
}

// 2.0 tells the next plugin of a reload only when this one defers; 2.1 stops the broker on anything but success.
func TestReloadReachesTheNextPluginAndAPanicDenies(t *testing.T) {
	if brokers.OnMusl() {
		t.Skip("NOT TESTED on musl: the witness finds Go's functions in the plugin, which exports none of them there")
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{
			harness.JWT("jwt.json", config(t, p)), {Path: witness(t, "witness"), Opts: map[string]string{"library": harness.Library(t)}},
		}})
		b.Reload()
		b.WaitLog(`witness: reload`)
		// The witness then calls Go with a handle that is none: Go panics, and answers all the same.
		b.WaitLog(`go_jwt_auth: fault during login, denied: `)
		b.WaitLog(`witness: logins and access denied, the rest survived`)
	})
}

// The broker lives through signals that meet it inside and outside of Go code.
func TestTwentyThousandSignalsDuringTwoThousandLogins(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		b := start(t, v, config(t, p, object{"options.revocation": nil}))
		const workers, logins, signalsPerLogin = 4, 2000, 10
		stay := harness.Connect(t, b.URL(0), harness.Paho5, login("stay", p.Token("sensor-1", time.Hour))).Accepted()
		kinds := []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP}
		if v.AtLeast(2, 1) {
			kinds = append(kinds, sigrtmin()) // rotates the log there, and is not caught before
		}
		done, through := make(chan error, workers), make(chan struct{}, logins)
		token := p.Token("sensor-1", time.Hour)
		for w := range workers {
			go func() {
				for n := range logins / workers {
					got, err := harness.Knock(b.URL(0), harness.V5, login(fmt.Sprintf("c%d-%d", w, n), token))
					if err == nil && !got.Accepted() {
						err = fmt.Errorf("login %d: CONNECT was %v", n, got)
					}
					if err != nil {
						done <- err
						return
					}
					through <- struct{}{}
				}
				done <- nil
			}()
		}
		// They keep pace with the logins: a million a second, which is what can be sent, leave the broker no time for anything.
		for running, sent := workers, 0; running > 0; {
			select {
			case err := <-done:
				running--
				if err != nil {
					t.Error(err)
				}
			case <-through:
				for range signalsPerLogin {
					b.Signal(kinds[sent%len(kinds)])
					sent++
				}
			}
		}
		if code := stay.Subscribe("sensors/1/a", 1); code >= 0x80 || !stay.Connected() {
			t.Errorf("a connected client was lost (SUBACK 0x%02x)", code)
		}
	})
}

// sigrtmin is the C library's SIGRTMIN: the first real-time signals of the kernel are its own, two in glibc, three in musl.
func sigrtmin() syscall.Signal {
	if brokers.OnMusl() {
		return 35
	}
	return 34
}
