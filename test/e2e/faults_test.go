package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// Whatever an endpoint does wrong, a login gets its refusal with the cause, or is admitted where the file says so, and the
// broker goes on.
func TestFaultsOfTheEndpoint(t *testing.T) {
	certificate, ca := certify(t, "other.example")
	wrongName := httptest.NewUnstartedServer(says(`{"active":true}`))
	wrongName.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	wrongName.StartTLS()
	t.Cleanup(wrongName.Close)
	serve := func(handler http.HandlerFunc) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	refusing := "http://" + harness.FreeAddress(t)
	faults := []struct{ name, uri, cause string }{
		{"500", serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }), "answered 500 Internal Server Error"},
		{"garbage", serve(says("<html>nonsense</html>")), "the answer is no introspection response"},
		{"half an answer", serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"active":`)
		}), "unexpected EOF"},
		{"an endless body", serve(func(w http.ResponseWriter, r *http.Request) {
			for r.Method != http.MethodHead { // whose body goes nowhere
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}), "the answer is larger than 1048576 bytes"},
		{"a redirect", serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:9/elsewhere", http.StatusTemporaryRedirect)
		}), "redirects are not followed"},
		{"TLS with a wrong name", wrongName.URL, "the certificate is of another host"},
		{"DNS failure", "http://idp.invalid/introspect", "(is not known \\(DNS\\)|can't connect)"},
		{"connection refused", refusing, "can't connect: .*connection refused"},
		{"a hang longer than the timeout", serve(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body) // only then does the server see a client go
			<-r.Context().Done()
		}), "no answer within 1s"},
	}
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, fault := range faults {
			t.Run(fault.name, func(t *testing.T) {
				t.Parallel()
				for _, onUnavailable := range []string{"deny", "allow"} {
					b := harness.Start(t, v, harness.Options{
						Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{
							"options.lazyConnect":                  true,
							"options.revocation.introspection.uri": fault.uri,
							"options.revocation.timeoutMs":         1000,
							"options.revocation.onUnavailable":     onUnavailable,
							"options.modes.jwks.cache.ttlMs":       600_000,
							"options.tls.caFile":                   "ca.pem",
						}))},
						Files: map[string]string{"ca.pem": ca},
					})
					b.WaitLog(`1 key from http|can't be reached`)
					for _, protocol := range []byte{harness.V311, harness.V5} {
						id := fmt.Sprint("c", protocol)
						got := again(t, b, protocol, login(id, p.Token("sensor-1", time.Hour)))
						if onUnavailable == "deny" {
							if got.Code != unauthorized(protocol) {
								t.Errorf("CONNECT was %v, want refused with 0x%02x", got, unauthorized(protocol))
							}
							b.WaitLog(refused(id, "provider unavailable: POST http.*"+fault.cause))
							continue
						}
						if !got.Accepted() {
							t.Errorf("CONNECT was %v, want accepted", got)
						}
						b.WaitLog(fmt.Sprintf(`client %q .* accepted as "sensor-1" without having been asked about .*%s`, id, fault.cause))
					}
				}
			})
		}
	})
}

// After five failures in a row the endpoint is left alone, and MQTT 5 clients of 2.1 learn by 0x88 that it is not they who
// are at fault.
func TestAnEndpointThatFailsIsLeftAlone(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.modes.jwks.cache.ttlMs": 600_000}))
		token := p.Token("sensor-1", time.Hour)
		p.SetAnswer(idp.Introspect, &idp.Answer{Status: http.StatusInternalServerError})
		for range 5 {
			harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Refused()
		}
		b.WaitLog(`introspection endpoint: 5 requests in a row brought no usable answer, the last: POST http.*: answered 500 .*onUnavailable decides`)
		// One request in two seconds still tries.
		before, began, logins := p.Requests(idp.Introspect), time.Now(), 0
		for ; logins < 200; logins++ {
			if got := knock(t, b, harness.V5, login("c", token)); got.Accepted() || got.Closed {
				t.Errorf("CONNECT was %v", got)
			}
		}
		most := 1 + int(time.Since(began)/(2*time.Second))
		if got := p.Requests(idp.Introspect) - before; got > most {
			t.Errorf("%d requests for %d logins in %s, want %d at most", got, logins, time.Since(began), most)
		}
		// The login that meets the trial gets its answer; all others are told at once.
		for deadline := time.Now().Add(harness.Patience); ; {
			got := knock(t, b, harness.V5, login("c", token))
			if !v.AtLeast(2, 1) && got.Code == 0x87 || got.Code == 0x88 {
				break
			}
			if got.Code != 0x87 || time.Now().After(deadline) {
				t.Fatalf("CONNECT was %v", got)
			}
		}
		b.WaitLog(refused("c", "provider unavailable: it was not asked, as its last 5 answers were of no use; the last: POST .*500"))
		p.SetAnswer(idp.Introspect, nil)
		for deadline := time.Now().Add(harness.Patience); !knock(t, b, harness.V5, login("c", token)).Accepted(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("still refused")
			}
		}
		b.WaitLog(`introspection endpoint: it answers again`)
	})
}

// With all places taken a login is refused at once, and MQTT 5 clients of 2.1 learn by 0x89 that the server is busy.
func TestPastTheQueueTheServerIsBusy(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		changes := object{
			"options.revocation.maxConcurrent": 1, "options.revocation.timeoutMs": 300_000, "options.modes.jwks.cache.ttlMs": 600_000,
		}
		if !v.AtLeast(2, 1) {
			changes["options.revocation.check"] = "afterConnect" // else the callback waits with the first
		}
		b := start(t, v, config(t, p, changes))
		token := func() string { return p.Token("sensor-1", time.Hour) } // another each time: equal ones share a place
		t.Cleanup(p.Hold(idp.Introspect))
		const places = 1 + 1024
		waits := `client "c%d" .* (waits for its verdict|accepted as)`
		for n := range places {
			come(t, b, login(fmt.Sprint("c", n), token()))
		}
		b.WaitLog(fmt.Sprintf(waits, places-1))
		for protocol, want := range map[byte]byte{harness.V311: 0x05, harness.V5: 0x89} {
			if protocol == harness.V5 && !v.AtLeast(2, 1) {
				want = 0x87
			}
			if got := knock(t, b, protocol, login("late", token())); got.Code != want {
				t.Errorf("CONNECT was %v, want refused with 0x%02x", got, want)
			}
		}
		b.WaitLog(refused("late", `server busy: the queue is full: 1025 questions are waiting .*maxConcurrent is 1`))
		if got := p.Requests(idp.Introspect); got != 1 {
			t.Errorf("%d requests at once", got)
		}
	})
}

// tally counts the answers to logins at one broker.
type tally struct {
	*harness.Broker
	v             brokers.Version
	onUnavailable string

	mu          sync.Mutex // guards what follows
	answers     map[string]int
	lastRefused time.Time // when the last login began that was refused
}

func (c *tally) login(t *testing.T, phase, token string) {
	began := time.Now()
	got, err := harness.Knock(c.URL(0), harness.V5, login(fmt.Sprintf("c%d", rand.N(1_000_000)), token))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		t.Error(err)
	case got.Accepted():
		c.answers[phase+", accepted"]++
	default:
		c.answers[phase+", refused"]++
		if began.After(c.lastRefused) {
			c.lastRefused = began
		}
	}
}

// The provider is killed for a minute in the middle of 50 logins a second, and brought back. All brokers go through the
// same minute.
func TestAMinuteWithoutTheProvider(t *testing.T) {
	t.Parallel()
	const (
		outage    = time.Minute
		perSecond = 50
		recovery  = 5 * time.Second
	)
	p := ownProvider(t)
	tokens := make([]string, 20)
	for i := range tokens {
		tokens[i] = p.Token("sensor-1", time.Hour)
	}
	var all []*tally
	for _, v := range brokers.All() {
		for _, onUnavailable := range []string{"deny", "allow"} {
			// The key set runs out several times in that minute.
			jwtJSON := config(t, p, object{"options.modes.jwks.cache.ttlMs": 5000, "options.revocation.onUnavailable": onUnavailable})
			all = append(all, &tally{Broker: start(t, v, jwtJSON), v: v, onUnavailable: onUnavailable, answers: map[string]int{}})
		}
	}
	var logins sync.WaitGroup
	run := func(phase string, d time.Duration) {
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for n, until := 0, time.Now().Add(d); time.Now().Before(until); n++ {
			<-tick.C
			for _, c := range all {
				logins.Go(func() { c.login(t, phase, tokens[n%len(tokens)]) })
			}
		}
	}
	run("before", 2*time.Second)
	logins.Wait() // else one of them meets the outage
	if err := p.SetDown(true); err != nil {
		t.Fatal(err)
	}
	run("without", outage)
	if err := p.SetDown(false); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	run("after", 2*recovery)
	logins.Wait()
	for _, c := range all {
		t.Run(c.v.Name+" "+c.onUnavailable, func(t *testing.T) {
			t.Log(c.answers)
			if matches(c.Log(), `refused: (bad signature|unknown key|keys unavailable)`) {
				t.Error("a good token was refused for its signature")
			}
			if c.answers["before, refused"] > 0 {
				t.Error("some were refused before")
			}
			if deny := c.onUnavailable == "deny"; deny && c.answers["without, accepted"] > 0 || !deny && c.answers["without, refused"] > 0 {
				t.Errorf("onUnavailable was not followed: %v", c.answers)
			}
			if late := c.lastRefused.Sub(back); late > recovery {
				t.Errorf("a login was refused %s after the provider was back", late)
			} else if c.onUnavailable == "deny" {
				t.Logf("the last refusal began %s after the provider was back", late.Round(time.Millisecond))
			}
		})
	}
}
