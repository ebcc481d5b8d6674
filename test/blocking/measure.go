package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/harness"
)

// mosquittoConf keeps the measurement to the broker. Debug lines and those for each connection would make it wait for
// us to read them. With Nagle's algorithm on, a message would wait for the subscriber's acknowledgement of the one
// before.
const mosquittoConf = `log_type none
log_type error
log_type warning
log_type notice
log_type information
connection_messages false
set_tcp_nodelay true`

// measure runs a scenario once, with a broker of its own, adds what it measured to r, and returns what went wrong.
func measure(p *idp.Provider, t *tokens, s scenario, window time.Duration, r *result) (failure string) {
	st := &stand{}
	defer func() {
		st.end()
		failure = strings.Join(st.trouble, "\n")
	}()
	st.guard(func() {
		o := harness.Options{Extra: mosquittoConf, AllowAnonymous: !s.plugin}
		if s.plugin {
			o.Plugins = []harness.Plugin{harness.JWT("jwt.json", s.config(p))}
		}
		asked := p.Requests(idp.Introspect)
		url := harness.Start(st, s.version, o).URL(0)
		both, err := newPair(url, s.login("publisher", t.publisher), s.login("subscriber", t.subscriber))
		st.must(err)
		st.Cleanup(both.close)
		if s.plugin {
			// With afterConnect the answer for the pair may still be on its way.
			st.must(waitFor(func() bool { return p.Requests(idp.Introspect) >= asked+2 }, "the endpoint was not asked for the pair"))
		}
		if s.warm {
			st.must(warmUp(url, s.stormLogins(t)))
		}
		st.must(s.expose(p, url, both, s.stormLogins(t), window, r))
	})
	return failure
}

// waitFor waits until met.
func waitFor(met func() bool, otherwise string) error {
	for deadline := time.Now().Add(patient); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("blocking: %s within %v", otherwise, patient)
		}
	}
	return nil
}

// warmUp logs every client in once.
func warmUp(url string, logins []harness.Login) error {
	for _, l := range logins {
		r, err := admit(url, l)
		if err != nil {
			return err
		}
		r.Close()
	}
	return nil
}

// expose lets the storm loose on the pair for the window.
func (s scenario) expose(p *idp.Provider, url string, both *pair, logins []harness.Login, window time.Duration, r *result) error {
	lift := s.impose(p)
	defer lift()
	var (
		running  sync.WaitGroup
		storming tally
		stormErr error
		came     map[uint32]time.Time
		lostErr  error
	)
	received := make(chan struct{})
	go func() {
		defer close(received)
		came, lostErr = both.receive()
	}()
	end := time.Now().Add(window)
	if s.storm {
		running.Go(func() { storming, stormErr = storm(url, logins, end) })
	}
	sent := both.publish(end)
	running.Wait()
	lift() // else the broker might have logins to refuse for a minute
	if err := both.finish(); err != nil {
		both.subscriber.Close() // nothing is to come any more
	}
	<-received
	r.add(latencies(sent, came), storming, window)
	if lostErr != nil {
		lostErr = fmt.Errorf("blocking: the pair was parted: %w", lostErr)
	}
	return errors.Join(stormErr, lostErr)
}

// stand takes the place of testing.T for package harness, for one run of one scenario: what was started is stopped at
// its end, and what failed is kept for the report.
type stand struct {
	mu       sync.Mutex // guards all below
	cleanups []func()
	trouble  []string
	failed   bool
}

var _ harness.T = (*stand)(nil)

// fatal is what Fatalf panics with.
type fatal struct{}

func (st *stand) must(err error) {
	if err != nil {
		st.Fatalf("%v", err)
	}
}

// guard runs f and returns also where f was ended by Fatalf.
func (st *stand) guard(f func()) {
	defer func() {
		if v := recover(); v != nil && v != any(fatal{}) {
			panic(v)
		}
	}()
	f()
}

// end undoes what was started, the last first.
func (st *stand) end() {
	st.mu.Lock()
	cleanups := st.cleanups
	st.cleanups = nil
	st.mu.Unlock()
	for _, f := range slices.Backward(cleanups) {
		st.guard(f)
	}
}

// Helper implements harness.T.
func (st *stand) Helper() {}

// Cleanup implements harness.T.
func (st *stand) Cleanup(f func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.cleanups = append(st.cleanups, f)
}

// Failed implements harness.T.
func (st *stand) Failed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.failed
}

// logLines is how much of a text, such as a broker's log, is kept.
const logLines = 30

// Logf implements harness.T.
func (st *stand) Logf(format string, args ...any) {
	lines := strings.Split(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n")
	if len(lines) > logLines {
		lines = slices.Concat(lines[:1], []string{"…"}, lines[len(lines)-logLines:])
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.trouble = append(st.trouble, strings.Join(lines, "\n"))
}

// Errorf implements harness.T.
func (st *stand) Errorf(format string, args ...any) {
	st.Logf(format, args...)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.failed = true
}

// Fatalf implements harness.T.
func (st *stand) Fatalf(format string, args ...any) {
	st.Errorf(format, args...)
	panic(fatal{})
}

// TempDir implements harness.T.
func (st *stand) TempDir() string {
	dir, err := os.MkdirTemp("", "go_jwt_auth-blocking-")
	st.must(err)
	st.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			st.Errorf("blocking: %v", err)
		}
	})
	return dir
}
