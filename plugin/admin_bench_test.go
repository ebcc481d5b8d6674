package plugin

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

const fileWithAdmins = `"control":{"admins":["ops"]},`

// crowded is a broker with whoever is asked about.
type crowded struct {
	silent
	published *int
}

func (crowded) Knows(string, broker.Conn, bool) bool { return true }

func (crowded) IsConnectedAs(string, broker.Conn) bool { return true }

func (crowded) Client(conn broker.Conn) broker.ClientInfo {
	username := fmt.Sprintf("f4a1c0de-0000-4000-8000-%012d", conn)
	return broker.ClientInfo{Conn: conn, Username: &username, Address: "192.0.2.7", KeepAlive: 60, Version: 5, Port: 1883}
}

func (c crowded) Publish(string, string, []byte) error {
	*c.published++
	return nil
}

// crowdedPlugin has so many sessions, and an admin, who is client 0.
func crowdedPlugin(tb testing.TB, sessions int) *Plugin {
	tb.Helper()
	key := testkeys.New("RS256", "k")
	p := silentPluginWith(tb, fileWithAdmins, key)
	p.broker = crowded{published: new(int)}
	by, password := p.chain.Providers()[0], "a password"
	ops := "ops"
	if v := p.BasicAuth(broker.Connect{Conn: 1, ClientID: "o", Username: &ops, Password: &password}); v.Kind != verdict.Defer {
		tb.Fatal(v)
	}
	p.Connect(1, "o")
	for n := range sessions {
		result := provider.Result{
			Provider: by, Issuer: "https://idp.example.com/realms/test", Subject: fmt.Sprintf("f4a1c0de-0000-4000-8000-%012d", n),
			LogID: fmt.Sprintf(`jti "onrtac:7d0f9c1e-0000-4000-8000-%012d"`, n), LeaveAt: time.Unix(4_000_000_000+int64(n*7919%sessions), 0),
		}
		result.Expiry = result.LeaveAt
		username := result.Subject
		connect := broker.Connect{Conn: broker.Conn(n + 2), ClientID: fmt.Sprintf("a client's id, %08d", n), Username: &username, Password: &password}
		p.record(connect, result, nil)
		p.Connect(connect.Conn, connect.ClientID)
	}
	return p
}

// mostOfEachWithAdmins is how many bytes the plugin may have for a session that admins can see.
const mostOfEachWithAdmins = 900

func TestASessionThatAdminsSeeTakesLittleMemory(t *testing.T) {
	before := heap()
	p := crowdedPlugin(t, crowd)
	each := (heap() - before) / crowd
	t.Logf("%d bytes a session", each)
	if each > mostOfEachWithAdmins {
		t.Errorf("%d bytes a session, at most %d", each, mostOfEachWithAdmins)
	}
	runtime.KeepAlive(p)
}

// BenchmarkCommands are commands of an admin among 100,000 sessions: what they take of the broker's thread in all, and in one step, between
// two of which a turn can end.
func BenchmarkCommands(b *testing.B) {
	p := crowdedPlugin(b, crowd)
	published := p.broker.(crowded).published
	var later time.Duration
	p.admins.Now = func() time.Time { return time.Now().Add(later) }
	ops := "ops"
	for name, command := range map[string]string{
		"a page of 1000":         `{"command":"listSessions","count":1000,"offset":50000}`,
		"whom nobody is":         `{"command":"disconnectSession","username":"nobody"}`,
		"a subject that none is": `{"command":"disconnectSession","sub":"nobody"}`,
		"one session":            `{"command":"getSession","clientid":"a client's id, 00050000"}`,
		"status":                 `{"command":"getStatus"}`,
	} {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var longest, all time.Duration
			timed := func(do func()) {
				began := exactThreadTime()
				do()
				took := exactThreadTime() - began
				longest, all = max(longest, took), all+took
			}
			for b.Loop() {
				later += time.Second // so that it is never too often
				before := *published
				timed(func() {
					p.Control(broker.Message{Conn: 1, ClientID: "o", Username: &ops, Topic: control.Topic, Payload: []byte(`{"commands":[` + command + `]}`)})
				})
				for *published == before {
					p.jobsUntil = p.now().Add(jobTurn) // as a Tick begins
					timed(func() { p.watchStep() })
				}
			}
			b.ReportMetric(float64(all.Microseconds())/float64(b.N), "µs-cpu/op")
			b.ReportMetric(float64(longest.Microseconds()), "µs-cpu/longest-step")
		})
	}
}

// exactThreadTime is what this thread has had of the processor, to the nanosecond.
func exactThreadTime() time.Duration {
	const clock = 3 // CLOCK_THREAD_CPUTIME_ID
	var now syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&now)), 0); err != 0 {
		panic(err)
	}
	return time.Duration(now.Nano())
}
