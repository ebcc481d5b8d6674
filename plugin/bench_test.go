package plugin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// silent is a broker that does nothing, so that a benchmark measures the plugin alone.
type silent struct{ v20 bool }

func (silent) Log(event.Level, []byte)                 {}
func (silent) SetUsername(broker.Conn, string) error   { return nil }
func (silent) SetClientID(broker.Conn, string) error   { return nil }
func (s silent) CanSetClientID() bool                  { return !s.v20 }
func (s silent) CanDelay() bool                        { return !s.v20 }
func (s silent) TellsOfConnects() bool                 { return !s.v20 }
func (silent) Complete(string, bool)                   {}
func (silent) IsConnectedAs(string, broker.Conn) bool  { return true }
func (silent) Knows(string, broker.Conn, bool) bool    { return false }
func (silent) Session(string) (string, bool, bool)     { return "", false, true }
func (silent) Client(broker.Conn) broker.ClientInfo    { return broker.ClientInfo{} }
func (silent) EachClient(func(broker.ClientInfo)) bool { return true }
func (silent) Kick(string, bool) error                 { return nil }
func (silent) Publish(string, string, []byte) error    { return nil }
func (silent) Control(string, bool) error              { return nil }
func (silent) CheckACL(bool) error                     { return nil }
func (silent) ExtAuths(bool) error                     { return nil }
func (silent) AskAbout(broker.Conn, bool)              {}
func (silent) TakeAccepted() uint64                    { return 0 }
func (silent) MayKeepWill(broker.Conn) bool            { return false }
func (silent) PersistenceLocation() string             { return "" }
func (silent) TickIn(time.Duration)                    {}
func (silent) Wake()                                   {}

// keycloakClaims are about as many as a Keycloak access token has.
func keycloakClaims(n int) map[string]any {
	return map[string]any{
		"iss": "https://idp.example.com/realms/test", "sub": fmt.Sprintf("f4a1c0de-0000-4000-8000-%012d", n), "aud": []string{"mqtt", "account"},
		"exp": 4_000_000_000, "iat": 1_700_000_000, "jti": fmt.Sprintf("onrtac:7d0f9c1e-0000-4000-8000-%012d", n), "typ": "Bearer", "azp": "device",
		"sid": "3a52c4c0-8d4a-4f0e-9d0e-2c1b7a3d9e10", "acr": "1", "allowed-origins": []string{"/*"},
		"realm_access":    map[string]any{"roles": []string{"default-roles-test", "offline_access", "uma_authorization"}},
		"resource_access": map[string]any{"account": map[string]any{"roles": []string{"manage-account", "manage-account-links", "view-profile"}}},
		"scope":           "openid profile email", "email_verified": false, "name": "Sensor One", "preferred_username": "sensor-1", "email": "sensor-1@example.com",
		"filler": strings.Repeat("x", 200),
	}
}

// silentPlugin verifies by a key. more is JSON in options.common.
func silentPlugin(tb testing.TB, key testkeys.Key, more ...string) *Plugin {
	tb.Helper()
	return silentPluginWith(tb, "", key, more...)
}

// silentPluginWith is one with this JSON in options.
func silentPluginWith(tb testing.TB, options string, key testkeys.Key, more ...string) *Plugin {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jwks.json"), testkeys.Set(key), 0o600); err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(dir, "jwt.json")
	text := fmt.Sprintf(`{"algorithm":%q,"mode":"jwks","options":{%s"modes":{"jwks":{"filePath":"jwks.json"}},
		"common":{"issuer":"https://idp.example.com/realms/test","audience":"mqtt","matchUsernameToSubject":true%s}}}`, key.Alg, options, strings.Join(more, ""))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	p, err := New(silent{}, Options{Settings: map[string]string{"config_file": file}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	p.Tick()
	return p
}

// BenchmarkBasicAuth is a login and its end, as the broker's thread has them, without the border to C.
func BenchmarkBasicAuth(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		key := testkeys.New(alg, "k")
		p := silentPlugin(b, key)
		const distinct = 1000
		tokens := make([]string, distinct)
		for n := range tokens {
			tokens[n] = key.Sign(keycloakClaims(n))
		}
		username := "u"
		one := func(b *testing.B, token *string) {
			if v := p.BasicAuth(broker.Connect{Conn: 1, ClientID: "client-1", Username: &username, Password: token, Address: "192.0.2.7"}); v.Kind != verdict.Accept {
				b.Fatal(v)
			}
			p.Connect(1, "client-1")
			p.Disconnect(1, false)
		}
		b.Run(alg+"/repeated", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				one(b, &tokens[0])
			}
		})
		b.Run(alg+"/new", func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				if n == distinct {
					b.StopTimer()
					p = silentPlugin(b, key)
					n = 0
					b.StartTimer()
				}
				one(b, &tokens[n])
			}
		})
	}
}

// BenchmarkMetrics is a login by a repeated token and its end: without metrics, with them, and while they are read each 100 ms. The broker's
// thread is what counts: cpu-ns/op is the time that it has run.
func BenchmarkMetrics(b *testing.B) {
	for _, c := range []struct {
		name          string
		metered, read bool
	}{{"off", false, false}, {"on", true, false}, {"read each 100 ms", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			key, listen, options := testkeys.New("EdDSA", "k"), testport.Free(b), ""
			if c.metered {
				options = fmt.Sprintf(`"metrics":{"listen":%q},`, listen)
			}
			p := silentPluginWith(b, options, key)
			username, password := "u", key.Sign(keycloakClaims(1))
			connect := broker.Connect{Conn: 1, ClientID: "client-1", Username: &username, Password: &password, Address: "192.0.2.7"}
			stop := make(chan struct{})
			var reading sync.WaitGroup
			if c.read {
				reading.Go(func() { readEach(b, "http://"+listen+"/metrics", 100*time.Millisecond, stop) })
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			b.ReportAllocs()
			began, n := threadTime(b), 0
			for b.Loop() {
				if v := p.BasicAuth(connect); v.Kind != verdict.Accept {
					b.Fatal(v)
				}
				p.Connect(1, "client-1")
				p.Disconnect(1, false)
				n++
			}
			b.ReportMetric(float64(threadTime(b)-began)/float64(n), "cpu-ns/op")
			close(stop)
			reading.Wait()
		})
	}
}

// threadTime is how long this thread has run.
func threadTime(b *testing.B) time.Duration {
	b.Helper()
	const thisThread = 1 // RUSAGE_THREAD
	var used syscall.Rusage
	if err := syscall.Getrusage(thisThread, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func readEach(b *testing.B, url string, interval time.Duration, stop <-chan struct{}) {
	b.Helper()
	for {
		answer, err := http.Get(url)
		if err != nil {
			b.Error(err)
			return
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			b.Error(err)
		}
		select {
		case <-stop:
			return
		case <-time.After(interval):
		}
	}
}

// BenchmarkBesidesTheJudgement is what a login and its end cost besides: piece by piece, and a disconnection.
func BenchmarkBesidesTheJudgement(b *testing.B) {
	p := silentPlugin(b, testkeys.New("EdDSA", "k"))
	username, password := "u", strings.Repeat("x", 1700) // as long as a token
	connect := broker.Connect{Conn: 1, ClientID: "client-1", Username: &username, Password: &password, Address: "192.0.2.7"}
	subject := "f4a1c0de-0000-4000-8000-000000000001"
	result := provider.Result{
		Verdict: verdict.Verdict{Kind: verdict.Accept}, Provider: p.chain.Providers()[0], Identity: identity.Identity{Username: &subject},
		Issuer: "https://idp.example.com/realms/test", Subject: subject, LogID: `jti "onrtac:7d0f9c1e-0000-4000-8000-000000000001"`,
		LeaveAt: time.Unix(4_000_000_000, 0),
	}
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"line", func() { p.tellOf(event.Judged, connect, result) }},
		{"record", func() { p.record(connect, result, nil) }},
		{"schedule", func() { p.schedule(0) }},
		{"record and leave", func() {
			p.record(connect, result, nil)
			p.Connect(1, "client-1")
			p.Disconnect(1, false)
		}},
		{"kick", func() {
			p.sessions.Expel(p.sessions.Of(1), time.Unix(1, 0), "expired: its time ended")
			p.lifetimes.Kick()
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p.record(connect, result, nil)
			b.ReportAllocs()
			for b.Loop() {
				c.do()
			}
		})
	}
}
