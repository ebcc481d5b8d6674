package e2e

import (
	"fmt"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// kickExpiredClients false lets a client stay, and nobody in: a token that expires while its verdict is waited for is
// refused, unless validateExpiration is false.
func TestATokenThatExpiresWhilePendingIsRefused(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			name     string
			change   object
			accepted bool
		}{
			{"by default", object{}, false},
			{"kickExpiredClients false", object{"options.common.kickExpiredClients": false}, false},
			{"kickExpiredClients false, with leeway", object{"options.common.kickExpiredClients": false, "options.common.leewayMs": 600_000}, true},
			{"validateExpiration false", object{"options.common.validateExpiration": false, "options.common.kickExpiredClients": false}, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p := ownProvider(t)
				g := newGate(t, p)
				b := start(t, v, g.file(t, p, c.change))
				p.SetAnswer(idp.Introspect, &idp.Answer{Body: `{"active": true}`}) // it is not what ends the token
				token := p.Token("sensor-1", 2*time.Second)
				r, release := g.pend(t, b, "c", token)
				time.Sleep(time.Until(expiryOf(t, token)))
				release()
				if got := connack(t, r); got.Accepted() != c.accepted {
					t.Errorf("CONNECT was %v", got)
				}
				if !c.accepted {
					b.WaitLog(refused("c", "expired: "))
				}
			})
		}
	})
}

// With check "afterConnect" a client is in before it is asked about. One whose token was found inactive does not get in
// again by that, whatever negativeTtlMs says.
func TestWhoWasFoundInactiveDoesNotComeBack(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, onUnavailable := range []string{"deny", "allow"} {
			for _, negativeTTL := range []int{0, 60_000} {
				t.Run(fmt.Sprintf("onUnavailable %s, negativeTtlMs %d", onUnavailable, negativeTTL), func(t *testing.T) {
					p := ownProvider(t)
					g := newGate(t, p)
					b := start(t, v, g.file(t, p, object{
						"options.revocation.check": "afterConnect", "options.revocation.onUnavailable": onUnavailable,
						"options.revocation.cache": object{"negativeTtlMs": negativeTTL},
					}))
					observer := operator(t, b)
					observer.Subscribe("sensors/#", 1)
					bad := revoked(t, p, "sensor-1")
					first := harness.Connect(t, b.URL(0), harness.Paho5, login("c", bad)).Accepted()
					if left := first.WaitDisconnect(); left.Code != 0x98 {
						t.Errorf("%v, want 0x98", left)
					}
					// Whatever a client sends right behind its CONNECT would be delivered if that were accepted.
					_, release := g.hold(t, bad)
					for _, protocol := range []byte{harness.V311, harness.V5} {
						if got := deliver(t, b, protocol, login("c", bad), "sensors/1/stolen"); got.Accepted() {
							t.Fatalf("CONNECT was %v, want a refusal at once", got)
						}
					}
					b.WaitLog(refused("c", "revoked"))
					release()
					observer.Publish("sensors/end", "", 1)
					observer.WaitMessage("sensors/end")
					if n := len(observer.Messages()); n != 1 {
						t.Errorf("%d messages were delivered", n-1)
					}
					// Nor while the provider is down.
					if err := p.SetDown(true); err != nil {
						t.Fatal(err)
					}
					if got := knock(t, b, harness.V5, login("c", bad)); got.Accepted() {
						t.Errorf("without a provider: CONNECT was %v", got)
					}
				})
			}
		}
	})
}

// deliver sends CONNECT and, without waiting for the answer, PUBLISH.
func deliver(t *testing.T, b *harness.Broker, protocol byte, l harness.Login, topic string) harness.Connack {
	t.Helper()
	r, err := harness.Dial(b.URL(0), protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rest := append([]byte{0, byte(len(topic))}, topic...)
	if protocol == harness.V5 {
		rest = append(rest, 0) // no properties
	}
	publish := append([]byte{0x30, byte(len(rest))}, rest...)
	if err := r.Send(append(harness.ConnectPacket(protocol, l), publish...)); err != nil {
		t.Fatal(err)
	}
	return connack(t, r)
}
