package harness

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"go-jwt-auth/test/brokers"
)

// Broker is a running broker. Its embedded Process is the broker itself.
type Broker struct {
	*Process
	Version brokers.Version
	Dir     string // its folder: mosquitto.conf and all that Options brought

	setup setup
	urls  []string
}

// Start starts a broker and returns when it has said that it is running. One
// that does not get there fails the test, and so does one that later ends
// before it is told to, or with another exit code than 0 when the test's end
// stops it.
func Start(t T, v brokers.Version, o Options) *Broker {
	t.Helper()
	b, up := start(t, v, o)
	if !up {
		t.Fatalf("harness: Mosquitto %s did not start", v.Name)
	}
	t.Cleanup(func() {
		switch {
		case b.awaited():
		case !b.Running():
			t.Errorf("harness: Mosquitto %s ended by itself with exit code %d", v.Name, b.Wait())
		default:
			if code := b.Stop(); code != 0 {
				t.Errorf("harness: Mosquitto %s ended with exit code %d on SIGTERM", v.Name, code)
			}
		}
	})
	return b
}

// StartErr starts a broker that must refuse to start, and returns its exit
// code and what it printed. One that runs fails the test.
func StartErr(t T, v brokers.Version, o Options) (code int, log string) {
	t.Helper()
	b, up := start(t, v, o)
	if up {
		t.Fatalf("harness: Mosquitto %s started, though it should not have", v.Name)
	}
	return b.Wait(), b.Log()
}

// portAttempts is how often other ports are tried before giving up: each was
// free when it was chosen, so even one clash is rare.
const portAttempts = 10

var (
	running   = regexp.MustCompile(`mosquitto version .* running`)
	portTaken = regexp.MustCompile(`Address already in use|Unable to create websockets listener`)
)

// start brings a broker up, or to its end; up says which.
func start(t T, v brokers.Version, o Options) (b *Broker, up bool) {
	t.Helper()
	if v.Missing() {
		t.Fatalf("harness: Mosquitto %s is missing; `make brokers` fetches it", v.Name)
	}
	listeners := o.Listeners
	if len(listeners) == 0 {
		listeners = []Listener{{}}
	}
	b = &Broker{Version: v, Dir: t.TempDir(), setup: setup{t: t, v: v, o: o}}
	s := &b.setup
	s.dir = b.Dir
	if o.DefaultUser && os.Geteuid() == 0 {
		s.giveAway()
	}
	s.write()
	common := s.conf.String()
	// Registered first, so that it runs when the broker has ended.
	t.Cleanup(func() {
		if t.Failed() && b.Process != nil {
			t.Logf("Log of Mosquitto %s in %s:\n%s", v.Name, b.Dir, b.timedLog())
		}
	})
	for attempt := 1; ; attempt++ {
		ports := make([]string, len(listeners))
		for i := range ports {
			ports[i] = FreePort(t)
		}
		s.conf.Reset()
		s.conf.WriteString(common)
		s.listeners(listeners, ports)
		s.file("mosquitto.conf", s.conf.String())
		b.urls = b.urls[:0]
		for i, l := range listeners {
			scheme := "mqtt"
			if l.WebSockets {
				scheme = "ws"
			}
			b.urls = append(b.urls, fmt.Sprintf("%s://127.0.0.1:%s", scheme, ports[i]))
		}
		if attempt == 1 && o.Prepare != nil {
			o.Prepare(b.Dir)
		}
		b.Process = Spawn(t, o.Env, slices.Concat(v.Broker, []string{"-c", filepath.Join(b.Dir, "mosquitto.conf")})...)

		if !b.state.wait(func() bool {
			for _, l := range b.lines {
				up = up || running.MatchString(l.text)
			}
			return up || b.over
		}) {
			t.Fatalf("harness: Mosquitto %s neither started nor ended within %v", v.Name, Patience)
		}
		if up || attempt == portAttempts || !portTaken.MatchString(b.Log()) {
			return b, up
		}
		b.Wait()
	}
}

// DefaultUser is the user that a broker with Options.DefaultUser runs as.
func DefaultUser() string {
	if os.Geteuid() == 0 {
		return "mosquitto"
	}
	if me, err := user.Current(); err == nil {
		return me.Username
	}
	return ""
}

// URL is the address of the i-th listener: mqtt://127.0.0.1:port, or ws://….
func (b *Broker) URL(i int) string { return b.urls[i] }

// Path is the path of a file in the broker's folder.
func (b *Broker) Path(name string) string { return filepath.Join(b.Dir, name) }

// WriteFile writes or replaces a file in the broker's folder: a string as it
// is, anything else as JSON. The replacement is atomic.
func (b *Broker) WriteFile(name string, content any) {
	b.t.Helper()
	b.setup.file(name+".new", text(content))
	if err := os.Rename(b.Path(name+".new"), b.Path(name)); err != nil {
		b.t.Fatalf("harness: %v", err)
	}
}

// Reload sends SIGHUP and waits until the broker says that it reloads. What
// plugins then do may still be under way.
func (b *Broker) Reload() {
	b.t.Helper()
	mark := b.Mark()
	b.Signal(syscall.SIGHUP)
	b.WaitLogSince(mark, "Reloading config")
}

// RaiseFileLimit lets the broker have so many files and connections open. It has this process's original limit otherwise.
func (b *Broker) RaiseFileLimit(files int) {
	b.t.Helper()
	out, err := exec.Command("prlimit", "--pid", strconv.Itoa(b.PID()), fmt.Sprintf("--nofile=%d:%d", files, files)).CombinedOutput()
	if err != nil {
		b.t.Fatalf("harness: prlimit: %v\n%s", err, out)
	}
}
