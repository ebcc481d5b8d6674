package e2e

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// crowd opens connections: many over TCP, and a few over WebSockets, which Mosquitto 2.0 serves ten times a second.
func crowd(t *testing.T, b *harness.Broker) []*harness.Raw {
	t.Helper()
	var all []*harness.Raw
	for listener, size := range []int{40, 5} {
		for range size {
			r, err := harness.Dial(b.URL(listener), harness.V5)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			all = append(all, r)
		}
	}
	return all
}

// fill has a client log in by every connection of some crowds, one after the other, so that it has been at many addresses
// in the broker's memory. All are gone afterwards.
func fill(t *testing.T, b *harness.Broker, l harness.Login) {
	t.Helper()
	ends := expiryOf(t, *l.Password)
	// Right after a reload it may be put off, where no tick tells that the broker's round is over (2.0.11).
	again(t, b, harness.V5, l)
	for range 2 {
		all := crowd(t, b)
		for i, r := range all {
			if got, err := r.Connect(l); err != nil || !got.Accepted() && time.Now().Before(ends) {
				t.Fatalf("login %d: CONNECT was %v (%v)", i, got, err)
			}
		}
		for _, r := range all {
			r.Close()
		}
	}
}

// storm sends SIGHUP and, in the same moment, CONNECT by every connection of a crowd, while the provider leaves the reload
// without an answer. Nobody may get in.
func storm(t *testing.T, b *harness.Broker, p *idp.Provider, l harness.Login) {
	t.Helper()
	if got := knock(t, b, harness.V5, l); got.Accepted() {
		t.Fatalf("client %q is accepted before SIGHUP", l.ClientID)
	}
	defer p.Hold(idp.JWKS)()
	for range 3 {
		again, packet := crowd(t, b), harness.ConnectPacket(harness.V5, l)
		b.Signal(syscall.SIGHUP)
		var sending sync.WaitGroup
		for _, r := range again {
			sending.Go(func() {
				if err := r.Send(packet); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
		in := 0
		for _, r := range again {
			got, err := r.Connack()
			if err != nil {
				t.Error(err)
			} else if got.Accepted() {
				in++
			}
			r.Close()
		}
		if in > 0 {
			t.Errorf("client %q: %d of %d got in", l.ClientID, in, len(again))
		}
	}
}

// Right after SIGHUP the broker asks for everybody again, and new clients come in between: whose token is over is refused
// all the same, wherever in the broker's memory it is put, and however long the provider takes to answer the reload.
func TestSIGHUPAdmitsNobodyWhoseTokenIsOver(t *testing.T) {
	layouts := map[string]func(jwtJSON any) harness.Options{
		"one plugin for all": func(jwtJSON any) harness.Options {
			return harness.Options{
				Listeners: []harness.Listener{{}, {WebSockets: true}},
				Plugins:   []harness.Plugin{harness.JWT("jwt.json", jwtJSON)},
			}
		},
		"a plugin for each listener": func(jwtJSON any) harness.Options {
			plugins := []harness.Plugin{harness.JWT("jwt.json", jwtJSON)}
			return harness.Options{
				PerListenerSettings: true,
				Listeners:           []harness.Listener{{Plugins: plugins}, {WebSockets: true, Plugins: plugins}},
			}
		},
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for layout, options := range layouts {
			t.Run(layout, func(t *testing.T) {
				t.Parallel()
				p := ownProvider(t)
				b := harness.Start(t, v, options(config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000})))
				// The broker shows the mapped name on its round, so that is what must have been sent.
				expiring, revoked := login("expired", ""), login("revoked", p.Token("sensor-1", time.Hour))
				expiring.Username, revoked.Username = new("sensor-1"), new("sensor-1")
				fill(t, b, revoked)
				if err := p.Revoke(*revoked.Password); err != nil {
					t.Fatal(err)
				}
				storm(t, b, p, revoked)
				expiring.Password = new(p.Token("sensor-1", 6*time.Second))
				fill(t, b, expiring)
				time.Sleep(time.Until(expiryOf(t, *expiring.Password)))
				storm(t, b, p, expiring)
			})
		}
	})
}

// On its round the broker also asks for sessions whose clients are away. They are left alone, whatever has become of the
// token, and nobody is asked about them: Mosquitto 2.0 would wait for each answer. There a refusal would also make the
// broker use memory that it has freed, once such a session has come back and its first expiry is due.
func TestSIGHUPLeavesAloneWhoIsAway(t *testing.T) {
	const good, expired, revoked = 0, 1, 2
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, kind := range []harness.Kind{harness.Paho3, harness.Paho5} {
			t.Run(string(kind), func(t *testing.T) {
				p := ownProvider(t)
				b := start(t, v, config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000}))
				sender := operator(t, b)
				resume := func(id, token string) harness.Login {
					l := login(id, token)
					l.Resume, l.SessionExpiry = true, 600
					return l
				}
				ending := p.Token("sensor-1", short)
				tokens := []string{good: p.Token("sensor-1", time.Hour), expired: ending, revoked: p.Token("sensor-1", time.Hour)}
				id := func(state, n int) string { return fmt.Sprintf("away-%d-%d", state, n) }
				const each = 4
				for state, token := range tokens {
					for n := range each {
						c := harness.Connect(t, b.URL(0), kind, resume(id(state, n), token)).Accepted()
						c.Subscribe("sensors/1/"+id(state, n), 1)
						c.Disconnect()
						b.WaitLog(`Received DISCONNECT from ` + id(state, n))
					}
				}
				if err := p.Revoke(tokens[revoked]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(expiryOf(t, ending)))
				asked, release := p.Requests(idp.Introspect), p.Hold(idp.Introspect)
				defer release()
				mark := b.Mark()
				b.Reload()
				// When this is answered, the round is over.
				sender.Subscribe("sensors/1/round", 1)
				if got := p.Requests(idp.Introspect); got != asked {
					t.Errorf("%d questions about clients that are away", got-asked)
				}
				if !v.AtLeast(2, 1) && matches(b.LogSince(mark), `Client away-\S+ disconnected`) {
					t.Error("the broker took a refusal for a client that is away")
				}
				release()
				for state := range tokens {
					for n := range each {
						sender.Publish("sensors/1/"+id(state, n), "while away", 1)
						back := harness.Connect(t, b.URL(0), kind, resume(id(state, n), p.Token("sensor-1", time.Hour))).Accepted()
						if !back.Connack().SessionPresent {
							t.Errorf("%s: the session is gone", id(state, n))
						}
						back.WaitMessage("sensors/1/" + id(state, n))
						back.Disconnect()
					}
				}
			})
		}
	})
}
