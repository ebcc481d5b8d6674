package harness

import (
	"fmt"
	"net"
	"os"
	"os/user"
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

// eachKind runs f for every kind of client over both listeners of both, but
// for MQTT.js, which takes long to start, over WebSocket only.
func eachKind(t *testing.T, b *Broker, f func(t *testing.T, url string, kind Kind)) {
	t.Helper()
	for _, kind := range Kinds {
		if kind == Paho3 || kind == Paho5 {
			t.Run(string(kind)+" over TCP", func(t *testing.T) { f(t, b.URL(0), kind) })
		}
		t.Run(string(kind)+" over WebSocket", func(t *testing.T) { f(t, b.URL(1), kind) })
	}
}

var alice = map[string]string{"alice": "in wonderland"}

func TestEveryClientLearnsHowItsConnectWasAnswered(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		eachKind(t, both(t, v, Options{Passwords: alice}), func(t *testing.T, url string, kind Kind) {
			Connect(t, url, kind, Login{Username: new("alice"), Password: new("in wonderland")}).Accepted()
			Connect(t, url, kind, Login{Username: new("alice"), Password: new("elsewhere")}).Refused()
			Connect(t, url, kind, Login{Username: new("alice")}).Refused()
			Connect(t, url, kind, Login{}).Refused()
		})
	})
}

func TestEveryClientSubscribesAndPublishes(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := both(t, v, Options{AllowAnonymous: true})
		eachKind(t, b, func(t *testing.T, url string, kind Kind) {
			c := Connect(t, url, kind, Login{}).Accepted()
			if code := c.Subscribe("a/#", 2); code != 2 {
				t.Fatalf("SUBACK code 0x%02x, want 2", code)
			}
			for qos := range byte(3) {
				topic, payload := fmt.Sprintf("a/%d", qos), "one\x00\xff"
				if code := c.Publish(topic, payload, qos); code != 0 {
					t.Errorf("QoS %d: PUBACK code 0x%02x, want 0", qos, code)
				}
				if m := c.WaitMessage(topic); m.Payload != payload || m.QoS != qos || m.Retain {
					t.Errorf("QoS %d: got %+v", qos, m)
				}
			}
			c.PublishRetained("kept", "here", 1)
			c.Subscribe("kept", 0)
			if m := c.WaitMessage("kept"); !m.Retain || m.Payload != "here" {
				t.Errorf("retained: got %+v", m)
			}
			if !c.Connected() || len(c.Messages()) != 4 {
				t.Errorf("connected: %v, messages: %v", c.Connected(), c.Messages())
			}
		})
	})
}

func TestEveryClientLeavesItsWillOnlyWhenItIsLost(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		eachKind(t, both(t, v, Options{AllowAnonymous: true}), func(t *testing.T, url string, kind Kind) {
			heir := Connect(t, url, Paho5, Login{}).Accepted()
			heir.Subscribe("will/#", 1)
			left := Connect(t, url, kind, Login{Will: &Will{Topic: "will/left", Payload: "x", QoS: 1}}).Accepted()
			lost := Connect(t, url, kind, Login{Will: &Will{Topic: "will/lost", Payload: "x", QoS: 1}}).Accepted()
			left.Disconnect()
			lost.Drop()
			heir.WaitMessage("will/lost")
			if got := heir.Messages(); len(got) != 1 {
				t.Errorf("messages: %v, want only the will of the lost one", got)
			}
			if left.Connected() || lost.Connected() {
				t.Error("still connected")
			}
		})
	})
}

func TestEveryClientLearnsThatItsIDWasTakenOver(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		eachKind(t, both(t, v, Options{AllowAnonymous: true}), func(t *testing.T, url string, kind Kind) {
			first := Connect(t, url, kind, Login{ClientID: "same"}).Accepted()
			second := Connect(t, url, kind, Login{ClientID: "same"}).Accepted()
			want := Disconnect{}
			if kind.Protocol() == V5 && v.Series != "2.0.11" { // which just closes
				want = Disconnect{Packet: true, Code: 0x8e} // session taken over
			}
			got := first.WaitDisconnect()
			if got.Packet != want.Packet || got.Code != want.Code || got.At.IsZero() {
				t.Errorf("got %v, want %v", got, want)
			}
			if first.Connected() || !second.Connected() {
				t.Error("the first is connected, or the second is not")
			}
		})
	})
}

func TestEveryClientResumesItsSession(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		eachKind(t, both(t, v, Options{AllowAnonymous: true}), func(t *testing.T, url string, kind Kind) {
			login := Login{ClientID: t.Name(), Resume: true, SessionExpiry: 600}
			c := Connect(t, url, kind, login).Accepted()
			if c.Connack().SessionPresent {
				t.Error("a session is present before there was one")
			}
			c.Subscribe("later", 1)
			c.Disconnect()
			Connect(t, url, Paho3, Login{}).Accepted().Publish("later", "kept", 1)
			c = Connect(t, url, kind, login).Accepted()
			if !c.Connack().SessionPresent {
				t.Error("the session is not present")
			}
			if m := c.WaitMessage("later"); m.Payload != "kept" {
				t.Errorf("got %+v", m)
			}
		})
	})
}

func TestDynsecRulesAndItsAdministrator(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := both(t, v, Options{Plugins: []Plugin{Dynsec{
			Roles:   map[string][]ACL{"own": MayUse("alice/#")},
			Clients: []DynsecClient{{Username: "alice", Password: "pw", Roles: []string{"own"}}},
		}.Plugin()}})
		eachKind(t, b, func(t *testing.T, url string, kind Kind) {
			c := Connect(t, url, kind, Login{Username: new("alice"), Password: new("pw")}).Accepted()
			if code := c.Subscribe("bob/#", 0); code < 0x80 {
				t.Errorf("subscribed to bob's topics with 0x%02x", code)
			}
			if code := c.Subscribe("alice/#", 0); code != 0 {
				t.Errorf("own topics: 0x%02x, want 0", code)
			}
			want := byte(0)
			if kind.Protocol() == V5 {
				want = 0x87
			}
			if code := c.Publish("bob/x", "", 1); code != want {
				t.Errorf("published to bob's topic with 0x%02x, want 0x%02x", code, want)
			}
			c.Publish("alice/x", "mine", 1)
			c.WaitMessage("alice/x")
			Connect(t, url, kind, Login{Username: new("bob"), Password: new("pw")}).Refused()
		})
		if p := b.Ctrl(0, "dynsec", "listClients"); p.Wait() != 0 || !strings.Contains(p.Log(), "alice\n") {
			t.Errorf("mosquitto_ctrl ended with %d:\n%s", p.Wait(), p.Log())
		}
	})
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

func TestManyLoginsAtATime(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := both(t, v, Options{AllowAnonymous: true})
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				answer, err := Knock(b.URL(i%2), V311+byte(i/2%2), Login{ClientID: fmt.Sprint(i)})
				if err != nil || !answer.Accepted() {
					t.Errorf("login %d: %v, %v", i, answer, err)
				}
			})
		}
		all.Wait()
	})
}

func TestRawConnectionTellsHowItEnded(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{AllowAnonymous: true})
		ends := map[byte]string{V311: "closed without DISCONNECT", V5: "disconnected with 0x8e"}
		if v.Series == "2.0.11" { // which never says why
			ends[V5] = ends[V311]
		}
		for protocol, want := range ends {
			raw, err := Dial(b.URL(0), protocol)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(raw.Close)
			if answer, err := raw.Connect(Login{ClientID: "raw"}); err != nil || !answer.Accepted() {
				t.Fatalf("protocol %d: %v, %v", protocol, answer, err)
			}
			if _, err := Knock(b.URL(0), protocol, Login{ClientID: "raw"}); err != nil {
				t.Fatal(err)
			}
			if end, err := raw.WaitDisconnect(); err != nil || end.String() != want {
				t.Errorf("protocol %d: %v, %v, want %s", protocol, end, err, want)
			}
		}
	})
}

func TestMosquittosOwnClients(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{Passwords: alice})
		login := []string{"-u", "alice", "-P", "in wonderland"}
		sub := b.Sub(0, append(login, "-i", "sub", "-t", "a", "-C", "1")...)
		b.WaitLog("Sending SUBACK to sub")
		if pub := b.Pub(0, append(login, "-t", "a", "-m", "hello")...); pub.Wait() != 0 {
			t.Errorf("mosquitto_pub ended with %d:\n%s", pub.Wait(), pub.Log())
		}
		if sub.Wait() != 0 || sub.Log() != "hello\n" {
			t.Errorf("mosquitto_sub ended with %d:\n%s", sub.Wait(), sub.Log())
		}
		if pub := b.Pub(0, "-t", "a", "-m", "hello"); pub.Wait() == 0 {
			t.Errorf("mosquitto_pub without a login ended with 0:\n%s", pub.Log())
		}
	})
}

func TestPerListenerSettings(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{
			PerListenerSettings: true,
			Listeners:           []Listener{{AllowAnonymous: true}, {Plugins: []Plugin{Dynsec{}.Plugin()}}},
		})
		Connect(t, b.URL(0), Paho3, Login{}).Accepted()
		Connect(t, b.URL(1), Paho3, Login{}).Refused()
		Connect(t, b.URL(1), Paho3, Login{Username: new(AdminUser), Password: new(AdminPassword)}).Accepted()
	})
}

func TestBrokerThatRefusesToStart(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		code, log := StartErr(t, v, Options{Plugins: []Plugin{{Path: "{dir}/missing.so"}}})
		if code == 0 || !strings.Contains(log, "missing.so") {
			t.Errorf("exit code %d:\n%s", code, log)
		}
	})
}

func TestBrokerWhosePortIsTakenGetsAnother(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		for i, transport := range []string{"MQTT", "WebSocket"} {
			var port string
			b := both(t, v, Options{AllowAnonymous: true, Prepare: func(dir string) {
				conf, err := os.ReadFile(dir + "/mosquitto.conf")
				if err != nil {
					t.Fatal(err)
				}
				port = regexp.MustCompile(`listener (\d+)`).FindAllStringSubmatch(string(conf), -1)[i][1]
				taken, err := net.Listen("tcp", "127.0.0.1:"+port)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = taken.Close() })
			}})
			if strings.HasSuffix(b.URL(i), ":"+port) {
				t.Errorf("%s: %s is taken", transport, b.URL(i))
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

func TestReloadAndStop(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{AllowAnonymous: true, Persistence: true})
		b.WriteFile("mosquitto.conf", "persistence_location {dir}/\nmax_keepalive 100\n")
		b.Reload()
		mark := b.Mark()
		if code := b.Stop(); code != 0 || b.Running() {
			t.Errorf("exit code %d, running: %v", code, b.Running())
		}
		if strings.Contains(b.LogSince(mark), "Reloading") || !strings.Contains(b.LogSince(mark), "terminating") {
			t.Errorf("after the reload:\n%s", b.LogSince(mark))
		}
	})
}

func TestDefaultUserDropsPrivileges(t *testing.T) {
	want, err := user.Lookup(DefaultUser())
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{DefaultUser: true, Plugins: []Plugin{Dynsec{}.Plugin()}})
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID()))
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^Uid:\s+` + want.Uid + `\s`).Match(status) {
			t.Errorf("the broker does not run as %s (%s):\n%s", want.Username, want.Uid, status)
		}
		Connect(t, b.URL(0), Paho3, Login{Username: new(AdminUser), Password: new(AdminPassword)}).Accepted()
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
