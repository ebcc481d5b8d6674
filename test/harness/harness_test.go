package harness

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go-jwt-auth/test/brokers"
)

// each runs f against every version, side by side.
func each(t *testing.T, f func(t *testing.T, v brokers.Version)) {
	t.Helper()
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		t.Parallel()
		f(t, v)
	})
}

// both is one broker with an MQTT listener (0) and a WebSocket one (1).
func both(t *testing.T, v brokers.Version, o Options) *Broker {
	t.Helper()
	o.Listeners = []Listener{{}, {WebSockets: true}}
	return Start(t, v, o)
}

func TestLoginsThatNoLibrarySends(t *testing.T) {
	password := map[string]string{"alice": "pw", "long": strings.Repeat("p", 65535)}
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{Passwords: password})
		ok := Connack{}
		for _, c := range []struct {
			name   string
			login  Login
			v3, v5 Connack
		}{
			{"right password", Login{Username: new("alice"), Password: new("pw")}, ok, ok},
			{"65,535 bytes", Login{Username: new("long"), Password: new(password["long"])}, ok, ok},
			{"NUL cuts the password", Login{Username: new("alice"), Password: new("pw\x00junk")}, ok, ok},
			{"empty password", Login{Username: new("alice"), Password: new("")}, Connack{Code: 5}, Connack{Code: 0x87}},
			{"empty username", Login{Username: new(""), Password: new("pw")}, Connack{Code: 5}, Connack{Code: 0x87}},
			{"password alone", Login{Password: new("pw")}, Connack{Closed: true}, Connack{Code: 0x87}},
			{"username with a control character", Login{Username: new("a\x01"), Password: new("pw")}, Connack{Closed: true}, Connack{Closed: true}},
		} {
			for protocol, want := range map[byte]Connack{V311: c.v3, V5: c.v5} {
				c.login.ClientID = "knocking"
				got, err := Knock(b.URL(0), protocol, c.login)
				if err != nil || got.Closed != want.Closed || got.Code != want.Code {
					t.Errorf("%s, protocol %d: got %v, %v, want %v", c.name, protocol, got, err, want)
				}
			}
		}
	})
}

// A case that waits for a will which must not come would also pass if no will was ever sent.
func TestARawConnectionLeavesItsWill(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{AllowAnonymous: true})
		heir := Connect(t, b.URL(0), Paho5, Login{}).Accepted()
		heir.Subscribe("will/#", 1)
		for _, protocol := range []byte{V311, V5} {
			raw, err := Dial(b.URL(0), protocol)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(raw.Close)
			topic := fmt.Sprint("will/", protocol)
			if answer, err := raw.Connect(Login{Will: &Will{Topic: topic, Payload: "x"}}); err != nil || !answer.Accepted() {
				t.Fatalf("protocol %d: %v, %v", protocol, answer, err)
			}
			raw.Close()
			heir.WaitMessage(topic)
		}
	})
}

func TestBrokerWhosePortIsTakenGetsAnother(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		for i, transport := range []string{"MQTT", "WebSocket"} {
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = taken.Close() })
			_, port, _ := net.SplitHostPort(taken.Addr().String())
			b := both(t, v, Options{AllowAnonymous: true, Prepare: func(dir string) {
				// The port that the harness has found is given up for this one: it could not be taken here for sure, as
				// meanwhile some other program may have it.
				name := dir + "/mosquitto.conf"
				conf, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				found := regexp.MustCompile(`listener (\d+)`).FindAllStringSubmatch(string(conf), -1)[i][0]
				if err := os.WriteFile(name, []byte(strings.Replace(string(conf), found, "listener "+port, 1)), 0o600); err != nil {
					t.Fatal(err)
				}
			}})
			if strings.HasSuffix(b.URL(i), ":"+port) {
				t.Errorf("%s: %s is taken", transport, b.URL(i))
			}
			if conf, err := os.ReadFile(b.Path("mosquitto.conf")); err != nil || strings.Contains(string(conf), "listener "+port) {
				t.Errorf("%s: the broker was not started anew: %v\n%s", transport, err, conf)
			}
			Connect(t, b.URL(i), Paho3, Login{}).Accepted()
		}
	})
}

func TestListenersAreOnLoopbackOnly(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := both(t, v, Options{})
		for i := range 2 {
			_, port, _ := strings.Cut(strings.TrimPrefix(b.URL(i), "mqtt://"), "127.0.0.1:")
			// Another address of loopback, where a listener to the world would answer.
			if c, err := net.Dial("tcp", "127.0.0.2:"+port); err == nil {
				_ = c.Close()
				t.Errorf("%s listens beyond 127.0.0.1", b.URL(i))
			}
		}
	})
}

// failing is a T whose test ends at its first Fatalf and remembers why.
type failing struct {
	*testing.T
	mu       sync.Mutex
	cleanups []func()
	errors   []string
	logs     []string
}

func (f *failing) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }

func (f *failing) Failed() bool { return len(f.errors) > 0 }

func (f *failing) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func (f *failing) Logf(format string, args ...any) {
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}

// fails runs test with a T of its own and returns why it failed and what it
// logged when it was cleaned up.
func fails(t *testing.T, test func(t T)) (errors, logs string) {
	t.Helper()
	f := &failing{T: t}
	var all sync.WaitGroup
	all.Go(func() {
		defer func() {
			for _, cleanup := range slices.Backward(f.cleanups) {
				cleanup()
			}
		}()
		test(f)
	})
	all.Wait()
	return strings.Join(f.errors, "\n"), strings.Join(f.logs, "\n")
}

func TestWhatFailsATest(t *testing.T) {
	v := brokers.All()[0]
	if v.Missing() {
		brokers.Each(t, func(*testing.T, brokers.Version) {}) // says so
		return
	}
	for _, c := range []struct {
		name, want string
		test       func(t T)
	}{
		{"a broker that dies", "ended by itself with exit code 137", func(t T) {
			b := Start(t, v, Options{})
			b.Signal(syscall.SIGKILL)
			b.state.wait(func() bool { return b.over })
		}},
		{"a broker that does not start", "did not start", func(t T) { Start(t, v, Options{Extra: "nonsense yes"}) }},
		{"a broker that should not have started", "started, though", func(t T) { StartErr(t, v, Options{}) }},
		{"a broker that is missing", "make brokers", func(t T) { Start(t, brokers.Version{Name: "9"}, Options{}) }},
		{"a line that never comes", "no line that matches", func(t T) {
			b := Start(t, v, Options{})
			b.Stop()
			b.WaitLog("^nonsense$")
		}},
		{"a refusal where acceptance is due", "CONNECT was refused with 0x87", func(t T) {
			Connect(t, Start(t, v, Options{}).URL(0), Paho5, Login{}).Accepted()
		}},
		{"acceptance where a refusal is due", "CONNECT was accepted", func(t T) {
			Connect(t, Start(t, v, Options{AllowAnonymous: true}).URL(0), Paho3, Login{}).Refused()
		}},
		{"a message that the connection's end makes impossible", "no longer connected", func(t T) {
			b := Start(t, v, Options{AllowAnonymous: true})
			c := Connect(t, b.URL(0), Paho3, Login{}).Accepted()
			b.Stop()
			c.WaitMessage("a")
		}},
		{"a login that the library can't send", "can't send", func(t T) {
			Connect(t, Start(t, v, Options{}).URL(0), Paho3, Login{Password: new("alone")})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			errors, logs := fails(t, c.test)
			if !strings.Contains(errors, c.want) {
				t.Errorf("failed with %q, want %q", errors, c.want)
			}
			if !strings.Contains(c.want, "make") && !strings.Contains(logs, "Log of Mosquitto") {
				t.Errorf("the broker's log is not shown: %q", logs)
			}
		})
	}
}
