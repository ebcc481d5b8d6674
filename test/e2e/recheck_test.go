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

// With check "afterConnect" a client is in by signature and claims, and out when it is found inactive.
func TestAClientThatIsFoundInactiveLeaves(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			name          string
			onUnavailable string
			arrange       func(t *testing.T, p *idp.Provider, token string)
			log           string
			stays         bool
		}{
			{"active", "deny", func(*testing.T, *idp.Provider, string) {}, `accepted as "sensor-1"`, true},
			{"revoked", "deny", func(t *testing.T, p *idp.Provider, token string) {
				t.Helper()
				if err := p.Revoke(token); err != nil {
					t.Fatal(err)
				}
			}, `client "c" disconnected: revoked: http.* says that it is not active`, false},
			{"no answer", "deny", func(_ *testing.T, p *idp.Provider, _ string) {
				p.SetAnswer(idp.Introspect, &idp.Answer{Status: 500})
			}, `client "c" disconnected: provider unavailable: POST http.*500`, false},
			{"no answer, which is allowed", "allow", func(_ *testing.T, p *idp.Provider, _ string) {
				p.SetAnswer(idp.Introspect, &idp.Answer{Status: 500})
			}, `client "c" stays without having been asked about .*onUnavailable.*: provider unavailable: POST http.*500`, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				p := ownProvider(t)
				g := newGate(t, p)
				b := start(t, v, g.file(t, p, object{
					"options.revocation.check": "afterConnect", "options.revocation.onUnavailable": c.onUnavailable,
				}))
				observer := operator(t, b)
				observer.Subscribe("#", 1)
				token := p.Token("sensor-1", time.Hour)
				c.arrange(t, p, token)
				asked, release := g.hold(t, token)
				l := login("c", token)
				l.Will = &harness.Will{Topic: "sensors/1/will", Payload: "gone"}
				client := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
				await(t, "the question", asked)
				// It has its rights while the endpoint is asked.
				if code := client.Subscribe("sensors/1/a", 1); code >= 0x80 {
					t.Errorf("SUBACK 0x%02x", code)
				}
				release()
				b.WaitLog(c.log)
				if !c.stays {
					if left := client.WaitDisconnect(); left.Code != 0x98 {
						t.Errorf("%v, want 0x98", left)
					}
					observer.WaitMessage("sensors/1/will")
					return
				}
				if code := client.Subscribe("sensors/1/b", 1); code >= 0x80 || !client.Connected() {
					t.Errorf("it is gone (SUBACK 0x%02x)", code)
				}
			})
		}
	})
}

// With recheckIntervalMs a connected client whose token is revoked leaves; while the endpoint is down nobody does.
func TestConnectedClientsAreAskedAboutAgain(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, withWill := range []bool{true, false} {
			t.Run(fmt.Sprint("will: ", withWill), func(t *testing.T) {
				p := ownProvider(t)
				b := start(t, v, config(t, p, object{
					"options.revocation.recheckIntervalMs":      1000,
					"options.modes.jwks.cache.ttlMs":            600_000,
					"options.common.kickExpiredClientsWithWill": withWill,
				}))
				observer := operator(t, b)
				observer.Subscribe("#", 1)
				tokens := map[string]string{"stays": p.Token("sensor-1", time.Hour), "goes": p.Token("sensor-1", time.Hour)}
				clients := map[string]*harness.Client{}
				for id, token := range tokens {
					l := login(id, token)
					l.Will = &harness.Will{Topic: "sensors/1/" + id, Payload: "gone"}
					clients[id] = harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
				}
				p.SetAnswer(idp.Introspect, &idp.Answer{Status: 500})
				b.WaitLog(`client "goes" stays, though nothing was learnt about it: provider unavailable: `)
				if err := p.Revoke(tokens["goes"]); err != nil {
					t.Fatal(err)
				}
				p.SetAnswer(idp.Introspect, nil)
				if left := clients["goes"].WaitDisconnect(); left.Code != 0x98 {
					t.Errorf("%v, want 0x98", left)
				}
				b.WaitLog(`client "goes" disconnected: revoked: http.* says that it is not active`)
				if withWill {
					observer.WaitMessage("sensors/1/goes")
				}
				if code := clients["stays"].Subscribe("sensors/1/a", 1); code >= 0x80 || !clients["stays"].Connected() {
					t.Errorf("the other is gone (SUBACK 0x%02x)", code)
				}
				observer.Publish("end", "", 1)
				observer.WaitMessage("end")
				if got, want := len(observer.Messages())-1, map[bool]int{true: 1, false: 0}[withWill]; got != want {
					t.Errorf("%d wills, want %d", got, want)
				}
			})
		}
	})
}

// Five thousand clients are asked about again while others log in: spread over the interval, and nobody is held up or lost.
func TestFiveThousandSessionsAreAskedAboutWhileLoginsGoOn(t *testing.T) {
	const clients, revoked = 5000, 10
	const interval = 15 * time.Second
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < clients+1000 {
		t.Skipf("NOT TESTED: this needs %d open files, the limit is %d (%v)", clients+1000, limit.Max, err)
	}
	p := ownProvider(t)
	tokens := make([]string, clients)
	for i := range tokens {
		tokens[i] = p.Token("sensor-1", time.Hour)
	}
	for _, v := range brokers.All() { // one after the other: three times as many would need three times the machine
		t.Run(v.Name, func(t *testing.T) {
			b := start(t, v, config(t, p, object{
				"options.revocation.recheckIntervalMs": interval.Milliseconds(),
				"options.revocation.cache":             object{"ttlMs": 86_400_000},
				"options.modes.jwks.cache.ttlMs":       600_000,
			}))
			b.RaiseFileLimit(clients + 1000)
			before := p.Requests(idp.Introspect)
			all := make([]*harness.Raw, clients)
			for i := range all {
				all[i] = come(t, b, login(fmt.Sprint("c", i), tokens[i]))
				if got := connack(t, all[i]); !got.Accepted() {
					t.Fatalf("client %d: CONNECT was %v", i, got)
				}
			}
			for i := range revoked {
				if err := p.Revoke(tokens[i]); err != nil {
					t.Fatal(err)
				}
			}
			// Whoever was revoked leaves, and meanwhile logins are answered.
			began, logins := time.Now(), 0
			for left := 0; left < revoked; logins++ {
				if got := knock(t, b, harness.V5, login("other", tokens[clients-1])); !got.Accepted() {
					t.Errorf("login %d: CONNECT was %v", logins, got)
				}
				if matches(b.LogSince(0), fmt.Sprintf(`client "c%d" disconnected: revoked`, left)) {
					left++
				}
				if time.Since(began) > interval+harness.Patience {
					t.Fatalf("%d of %d revoked clients have left", left, revoked)
				}
			}
			for i := range revoked {
				if left, err := all[i].WaitDisconnect(); err != nil || left.Code != 0x98 {
					t.Errorf("client %d: %v (%v), want 0x98", i, left, err)
				}
			}
			t.Logf("%d questions about %d clients in %s, %d logins meanwhile", p.Requests(idp.Introspect)-before, clients, time.Since(began), logins)
			// The others are still there: each answers a ping.
			for i := revoked; i < clients; i += 97 {
				if err := all[i].Ping(); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			}
			for _, r := range all {
				r.Close()
			}
		})
		for i := range revoked { // for the next version
			tokens[i] = p.Token("sensor-1", time.Hour)
		}
	}
}
