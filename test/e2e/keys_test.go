package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

func TestNoGoodTokenIsRefusedWhileKeysRotate(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000}))
		const workers, rotations, loginsBetween = 4, 3, 30
		for range rotations {
			// The key changes in the middle of the logins. A token is signed by the key of its moment.
			var logins sync.WaitGroup
			rotate := sync.OnceValue(func() error { _, err := p.Rotate(); return err })
			for w := range workers {
				logins.Go(func() {
					for n := range loginsBetween {
						if n == loginsBetween/2 {
							if err := rotate(); err != nil {
								t.Error(err)
							}
						}
						got, err := harness.Knock(b.URL(0), harness.V5, login(fmt.Sprintf("c%d-%d", w, n), p.Token("sensor-1", time.Hour)))
						if err != nil || !(got.Accepted() || got.Closed) {
							t.Errorf("CONNECT was %v (%v)", got, err)
						}
						// Closed without an answer means: come again, the new key is on its way.
						for again := 0; got.Closed && again < 20; again++ {
							if got, err = harness.Knock(b.URL(0), harness.V5, login(fmt.Sprintf("c%d-%d", w, n), p.Token("sensor-1", time.Hour))); err != nil {
								t.Error(err)
							}
						}
						if !got.Accepted() {
							t.Errorf("CONNECT was %v", got)
						}
					}
				})
			}
			logins.Wait()
		}
		b.WaitLog(`the keys at http.* have changed: now 4 \(kid `)
		if got := p.Requests(idp.JWKS); got != 1+rotations {
			t.Errorf("%d requests for the key set, want one at start and one a rotation: %d", got, 1+rotations)
		}
	})
}

func TestUnknownKidsCanNotFloodTheProvider(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000, "options.revocation": nil}))
		began := time.Now()
		for n := range 200 {
			token := p.Token("sensor-1", time.Hour, idp.Header("kid", fmt.Sprint("unknown-", n)))
			if got := knock(t, b, harness.V5, login("c", token)); got.Accepted() {
				t.Errorf("CONNECT was %v", got)
			}
		}
		most := 1 + 3 + int(time.Since(began)/(5*time.Second)) + 1
		if got := p.Requests(idp.JWKS); got < 1+3 || got > most {
			t.Errorf("%d requests for the key set, want one at start and then 3 in a row, at most %d", got, most)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
	})
}

func TestAKeyThatIsGoneStopsWorking(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000, "options.revocation": nil}))
		old := p.Token("sensor-1", time.Hour)
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", old)).Accepted()
		if _, err := p.Rotate(); err != nil {
			t.Fatal(err)
		}
		p.DropOldKeys()
		// The new key's first token has the set read again.
		answered(t, b, harness.Paho5, login("d", p.Token("sensor-1", time.Hour))).Accepted()
		answered(t, b, harness.Paho5, login("e", old)).Refused()
		b.WaitLog(refused("e", "unknown key"))
	})
}

// cache.enabled false reads the set for every login; true keeps it for ttlMs; with respectCacheHeaders the provider's
// own word counts.
func TestTheCacheOfTheKeySet(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			name    string
			cache   object
			header  string
			logins  int
			fetches int // beside the one at start
		}{
			{"disabled", object{"options.modes.jwks.cache.enabled": false}, "", 3, 3},
			{"enabled", object{"options.modes.jwks.cache.ttlMs": 600_000}, "no-store", 3, 0},
			{"headers allow", object{"options.modes.jwks.cache.ttlMs": 1, "options.modes.jwks.cache.respectCacheHeaders": true}, "max-age=600", 3, 0},
			{"headers forbid", object{"options.modes.jwks.cache.ttlMs": 600_000, "options.modes.jwks.cache.respectCacheHeaders": true}, "no-store", 3, 3},
		} {
			t.Run(c.name, func(t *testing.T) {
				p := ownProvider(t)
				if c.header != "" {
					p.SetHeader(idp.JWKS, map[string][]string{"Cache-Control": {c.header}})
				}
				b := start(t, v, config(t, p, c.cache, object{"options.revocation": nil, "options.modes.jwks.maxBlockMs": 10_000}))
				before := p.Requests(idp.JWKS)
				for range c.logins {
					harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted().Disconnect()
				}
				if got := p.Requests(idp.JWKS) - before; got != c.fetches {
					t.Errorf("%d logins read the set %d times, want %d", c.logins, got, c.fetches)
				}
			})
		}
	})
}

// A set that does not come in time holds the broker no longer than maxBlockMs: the connection is closed without an
// answer, and the next attempt finds the key.
func TestASlowKeySetDoesNotHoldTheBroker(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000, "options.modes.jwks.maxBlockMs": 50}))
		if _, err := p.Rotate(); err != nil {
			t.Fatal(err)
		}
		l := login("c", p.Token("sensor-1", time.Hour))
		release := p.Hold(idp.JWKS)
		if got := knock(t, b, harness.V5, l); !got.Closed {
			t.Errorf("CONNECT was %v, want closed without CONNACK", got)
		}
		b.WaitLog(`client "c" .* put off, its next attempt will be answered: keys unavailable`)
		release()
		deadline := time.Now().Add(harness.Patience)
		for {
			got := knock(t, b, harness.V5, l)
			if got.Accepted() {
				return
			}
			if !got.Closed || time.Now().After(deadline) {
				t.Fatalf("CONNECT was %v", got)
			}
		}
	})
}

// While the provider is down the last good set serves on, and a key it has published since is found when it is back.
func TestAnOutageOfTheProviderRefusesNoGoodSignature(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.modes.jwks.cache.ttlMs": 500, "options.revocation": nil}))
		known := p.Token("sensor-1", time.Hour)
		if err := p.SetDown(true); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(harness.Patience); !matches(b.Log(), `the keys at http.* can't be read \(.*\): those read at .* go on serving, until `); {
			if got := knock(t, b, harness.V5, login("c", known)); !got.Accepted() || time.Now().After(deadline) {
				t.Fatalf("CONNECT was %v", got)
			}
		}
		if _, err := p.Rotate(); err != nil {
			t.Fatal(err)
		}
		fresh := p.Token("sensor-1", time.Hour)
		if got := knock(t, b, harness.V5, login("new", fresh)); got.Accepted() {
			t.Error("a key that could not be read was accepted")
		}
		b.WaitLog(refused("new", "keys unavailable"))
		if err := p.SetDown(false); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(harness.Patience); !knock(t, b, harness.V5, login("c", fresh)).Accepted(); {
			if got := knock(t, b, harness.V5, login("c", known)); !got.Accepted() || time.Now().After(deadline) {
				t.Fatalf("CONNECT was %v", got)
			}
		}
		b.WaitLog(`the keys at http.* can be read again`)
	})
}
