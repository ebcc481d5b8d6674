package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// gate stands before a provider's introspection endpoint and keeps questions about single tokens waiting.
type gate struct {
	URL string

	mu   sync.Mutex // guards what follows
	held map[string]*wait
	seen map[string]int // how often it was asked about each token
}

// wait is a token whose questions wait.
type wait struct {
	arrived, released chan struct{}
	once              sync.Once
}

func newGate(t *testing.T, p *idp.Provider) *gate {
	t.Helper()
	target, err := url.Parse(p.IntrospectionURI())
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{held: map[string]*wait{}, seen: map[string]int{}}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL = target }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		form, _ := url.ParseQuery(string(body)) // a HEAD has none
		token := form.Get("token")
		r.Body = io.NopCloser(bytes.NewReader(body))
		g.mu.Lock()
		held := g.held[token]
		g.seen[token]++
		g.mu.Unlock()
		if held != nil {
			held.once.Do(func() { close(held.arrived) })
			select {
			case <-held.released:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

// questions tells how often it was asked about a token.
func (g *gate) questions(token string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen[token]
}

// hold keeps the questions about a token; release lets them go on, and may be called more than once.
func (g *gate) hold(t *testing.T, token string) (arrived <-chan struct{}, release func()) {
	t.Helper()
	w := &wait{arrived: make(chan struct{}), released: make(chan struct{})}
	g.mu.Lock()
	g.held[token] = w
	g.mu.Unlock()
	release = sync.OnceFunc(func() { close(w.released) })
	t.Cleanup(release)
	return w.arrived, release
}

// file is the tutorial's with this gate as the endpoint, and with the key set kept.
func (g *gate) file(t *testing.T, p *idp.Provider, changes ...object) object {
	t.Helper()
	return config(t, p, append([]object{{
		"options.revocation.introspection.uri": g.URL,
		"options.revocation.timeoutMs":         300_000,
		"options.modes.jwks.cache.ttlMs":       600_000,
	}}, changes...)...)
}

// come opens a connection, sends CONNECT, and does not wait for the answer.
func come(t *testing.T, b *harness.Broker, l harness.Login) *harness.Raw {
	t.Helper()
	r, err := harness.Dial(b.URL(0), harness.V5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := r.Send(harness.ConnectPacket(harness.V5, l)); err != nil {
		t.Fatal(err)
	}
	return r
}

// pend brings a login to where it waits for the answer about its token.
func (g *gate) pend(t *testing.T, b *harness.Broker, id, token string) (r *harness.Raw, release func()) {
	t.Helper()
	asked, release := g.hold(t, token)
	r = come(t, b, login(id, token))
	await(t, "the question", asked)
	return r, release
}

// revoked is a token that the provider has taken back.
func revoked(t *testing.T, p *idp.Provider, subject string) string {
	t.Helper()
	token := p.Token(subject, time.Hour)
	if err := p.Revoke(token); err != nil {
		t.Fatal(err)
	}
	return token
}

func connack(t *testing.T, r *harness.Raw) harness.Connack {
	t.Helper()
	got, err := r.Connack()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func await(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(harness.Patience):
		t.Fatalf("%s did not happen within %v", what, harness.Patience)
	}
}

// delaying runs a case on the versions that let a login wait for its verdict.
func delaying(t *testing.T, run func(t *testing.T, v brokers.Version)) {
	t.Helper()
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		if !v.AtLeast(2, 1) {
			t.Skip("Mosquitto 2.0 has no delayed authentication")
		}
		run(t, v)
	})
}

// While one login waits for the provider, however long, everybody else goes on: on 2.1 as it is, on 2.0 where the file says
// so.
func TestALoginThatWaitsStopsNobody(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, check := range []string{"beforeConnect", "afterConnect", "onRetry"} {
			if check == "beforeConnect" && !v.AtLeast(2, 1) {
				continue // there the callback itself has to wait
			}
			t.Run(check, func(t *testing.T) {
				p := ownProvider(t)
				g := newGate(t, p)
				b := start(t, v, g.file(t, p, object{"options.revocation.check": check}))
				observer := operator(t, b)
				observer.Subscribe("sensors/#", 1)
				r, release := g.pend(t, b, "c", p.Token("sensor-1", time.Hour))
				for n := range 3 {
					topic := fmt.Sprint("sensors/", n)
					observer.Publish(topic, "x", 1)
					observer.WaitMessage(topic)
				}
				if check == "beforeConnect" {
					release()
				}
				if got := connack(t, r); got.Closed != (check == "onRetry") || got.Code != 0 {
					t.Errorf("CONNECT was %v", got)
				}
			})
		}
	})
}

// The bypass that a client id opens: mallory connects with a good token and drops, comes back by the same id with a bad one,
// and the verdict on the first comes in.
func TestAStaleVerdictAdmitsNobody(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p))
		first, releaseGood := g.pend(t, b, "c", p.Token("sensor-1", time.Hour))
		first.Close()
		b.WaitLog(`Client c .*(disconnected|closed)`)
		second, releaseBad := g.pend(t, b, "c", revoked(t, p, "sensor-2"))
		releaseGood()
		b.WaitLog(`client "c" \[127\.0\.0\.1\] left before its verdict \(accept\)`)
		releaseBad()
		if got := connack(t, second); got.Code != 0x87 {
			t.Errorf("the second CONNECT was %v, want refused with 0x87", got)
		}
		b.WaitLog(refused("c", "revoked"))
	})
}

// The same across two listeners with a plugin each, as the broker has one table of pending logins.
func TestAStaleVerdictOfAnotherListenerAdmitsNobody(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := harness.Start(t, v, harness.Options{PerListenerSettings: true, Listeners: []harness.Listener{
			{Plugins: []harness.Plugin{harness.JWT("one.json", g.file(t, p))}},
			{Plugins: []harness.Plugin{harness.JWT("two.json", g.file(t, p))}},
		}})
		bad := revoked(t, p, "sensor-2")
		badAsked, releaseBad := g.hold(t, bad)
		first, releaseGood := g.pend(t, b, "c", p.Token("sensor-1", time.Hour))
		first.Close()
		b.WaitLog(`Client c .*(disconnected|closed)`)
		second, err := harness.Dial(b.URL(1), harness.V5)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if err := second.Send(harness.ConnectPacket(harness.V5, login("c", bad))); err != nil {
			t.Fatal(err)
		}
		await(t, "the second question", badAsked)
		releaseGood()
		b.WaitLog(`client "c" \[127\.0\.0\.1\] left before its verdict \(accept\)`)
		releaseBad()
		if got := connack(t, second); got.Code != 0x87 {
			t.Errorf("the second CONNECT was %v, want refused with 0x87", got)
		}
	})
}

// Two logins that are to be renamed to one client id would get each other's verdict.
func TestTwoPendingLoginsNeverShareAClientID(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p, object{"options.common.matchClientIdToSubject": true}))
		good := p.Token("sensor-1", time.Hour)
		first, releaseBad := g.pend(t, b, "c1", revoked(t, p, "sensor-1"))
		mark := b.Mark()
		if got := connack(t, come(t, b, login("c2", good))); !got.Closed {
			t.Errorf("the second CONNECT was %v, want closed without CONNACK", got)
		}
		b.WaitLogSince(mark, `client "c2" .* put off, .*: server busy: another login for the client id "sensor-1" is still pending`)
		releaseBad()
		if got := connack(t, first); got.Code != 0x87 {
			t.Errorf("the first CONNECT was %v, want refused with 0x87", got)
		}
		c := answered(t, b, harness.Paho5, login("c2", good)).Accepted()
		b.WaitLog(`New client connected from .* as sensor-1 `)
		if code := c.Subscribe("sensors/1/a", 1); code >= 0x80 {
			t.Errorf("SUBACK 0x%02x", code)
		}
	})
}

// A verdict for a client that has dropped is for nobody, and leaves nothing behind.
func TestAClientThatDropsWhilePending(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p))
		r, release := g.pend(t, b, "c", p.Token("sensor-1", short))
		r.Close()
		b.WaitLog(`Client c .*(disconnected|closed)`)
		release()
		b.WaitLog(`client "c" \[127\.0\.0\.1\] had left when it was accepted`)
		// Whoever comes by that id is not disconnected when the other's token expires.
		witness := harness.Connect(t, b.URL(0), harness.Paho3, login("witness", p.Token("sensor-1", short))).Accepted()
		next := harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		witness.WaitDisconnect()
		if code := next.Subscribe("sensors/1/a", 1); code >= 0x80 || !next.Connected() {
			t.Errorf("the next one is gone (SUBACK 0x%02x)", code)
		}
	})
}

// The broker closes a second CONNECT by an id that is pending; the first gets its verdict all the same.
func TestASecondConnectByAPendingID(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p))
		first, release := g.pend(t, b, "c", p.Token("sensor-1", time.Hour))
		for range 3 {
			if got := connack(t, come(t, b, login("c", p.Token("sensor-1", time.Hour)))); !got.Closed {
				t.Errorf("the second CONNECT was %v, want closed without CONNACK", got)
			}
		}
		release()
		if got := connack(t, first); !got.Accepted() {
			t.Errorf("the first CONNECT was %v", got)
		}
	})
}

// The established session of a client id outlives a pending login that fails.
func TestAPendingLoginThatFailsLeavesTheSessionAlone(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p))
		resume := login("c", p.Token("sensor-1", time.Hour))
		resume.SessionExpiry = 600
		c := harness.Connect(t, b.URL(0), harness.Paho5, resume).Accepted()
		c.Subscribe("sensors/1/a", 1)
		r, release := g.pend(t, b, "c", revoked(t, p, "sensor-1"))
		release()
		if got := connack(t, r); got.Code != 0x87 {
			t.Errorf("CONNECT was %v, want refused with 0x87", got)
		}
		c.Publish("sensors/1/a", "still here", 1)
		c.WaitMessage("sensors/1/a")
	})
}

// A reload while a takeover is pending: the connected client, for which the broker asks again, stays, and the pending one
// gets its verdict by the file under which it began.
func TestReloadWithALoginPending(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p, other := ownProvider(t), provider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p))
		connected := harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		byPassword := harness.Connect(t, b.URL(0), harness.Paho5,
			harness.Login{ClientID: "d", Username: new("operator"), Password: new("operator's password")}).Accepted()
		pending := map[*harness.Raw]func(){}
		for _, id := range []string{"c", "d"} {
			r, release := g.pend(t, b, id, p.Token("sensor-1", time.Hour))
			pending[r] = release
		}
		b.WriteFile("jwt.json", config(t, other))
		b.Reload()
		b.WaitLog(`reloaded .*jwt.json`)
		for _, c := range []*harness.Client{connected, byPassword} {
			if code := c.Subscribe("sensors/1/a", 1); code >= 0x80 || !c.Connected() {
				t.Errorf("a connected client was lost (SUBACK 0x%02x)", code)
			}
		}
		for r, release := range pending {
			release()
			if got := connack(t, r); !got.Accepted() {
				t.Errorf("the pending CONNECT was %v", got)
			}
		}
		for _, c := range []*harness.Client{connected, byPassword} {
			if got := c.WaitDisconnect(); got.Code != 0x8e {
				t.Errorf("%v, want a takeover (0x8e)", got)
			}
		}
	})
}

// The harness fails the test where the broker does not end with exit code 0.
func TestShutdownWithLoginsPending(t *testing.T) {
	delaying(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p))
		for n := range 20 {
			g.pend(t, b, fmt.Sprint("c", n), p.Token("sensor-1", time.Hour))
		}
		if code := b.Stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// When a pending client drops, Mosquitto 2.1.2 publishes its will, and one with a will delay makes it throw out whoever
// connects next. So nobody is pending whose token has not been verified: neither by an unknown key nor with an opaque token.
func TestAStrangersWillIsNotPublished(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			name, file string
			endpoint   idp.Endpoint
		}{
			{"an unknown key", "jwks", idp.JWKS},
			{"an opaque token", "introspection", idp.Introspect},
		} {
			t.Run(c.name, func(t *testing.T) {
				p := ownProvider(t)
				jwtJSON := config(t, p, object{
					"options.modes.jwks.cache.ttlMs": 600_000, "options.modes.jwks.maxBlockMs": 50, "options.revocation.timeoutMs": 500,
				})
				token := p.Token("sensor-1", time.Hour, idp.Header("kid", "stranger"))
				if c.file == "introspection" {
					set(jwtJSON, "mode", "introspection")
					set(jwtJSON, "algorithm", nil)
					token = "rubbish"
				}
				// Nothing but the plugin stands between a stranger and the topics.
				b := harness.Start(t, v, harness.Options{
					Plugins: []harness.Plugin{harness.JWT("jwt.json", jwtJSON)},
				})
				watch := login("observer", p.Token("observer", time.Hour))
				observer := answered(t, b, harness.Paho5, watch).Accepted()
				observer.Subscribe("#", 1)
				release := p.Hold(c.endpoint)
				t.Cleanup(release)
				for n, delay := range []uint32{0, 0, 1, 1} {
					l := login(fmt.Sprint("stranger-", n), token)
					l.Will = &harness.Will{Topic: "will", Payload: "gone", Delay: delay}
					r := come(t, b, l)
					b.WaitLog(fmt.Sprintf(`client "stranger-%d" .* (put off|refused|waits for its verdict)`, n))
					r.Close()
				}
				release()
				// Whoever comes next stays, and a will with a delay of a second would have come before the last message.
				next := answered(t, b, harness.Paho5, login("next", p.Token("sensor-1", 2*time.Second))).Accepted()
				if left := next.WaitDisconnect(); left.Code != 0x98 {
					t.Errorf("the next client: %v, want 0x98 at its token's expiry", left)
				}
				observer.Publish("end", "", 1)
				observer.WaitMessage("end")
				for _, m := range observer.Messages() {
					if m.Topic == "will" {
						t.Error("a stranger's will was published")
					}
				}
			})
		}
	})
}
