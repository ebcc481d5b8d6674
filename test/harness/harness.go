// Package harness runs real Mosquitto brokers and real MQTT clients for tests:
// Start brings a broker up on loopback; Connect, Persist, Knock, Dial,
// Broker.Pub and Broker.Sub talk to it. Everything is stopped when the test
// ends, and the broker's log is printed when the test failed. Nothing here
// knows what a token is.
package harness

import (
	"sync"
	"time"
)

// Patience is how long anything here is waited for before the test fails: long
// enough for a machine that is busy with something else.
const Patience = 30 * time.Second

// T is the part of testing.TB that this package needs, so that a program that
// is not a test can bring its own.
type T interface {
	Helper()
	Cleanup(f func())
	Errorf(format string, args ...any)
	Failed() bool
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	TempDir() string
}

// state guards what arrives from outside, and lets others wait for it.
type state struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced by every update
}

// update runs f alone and wakes all who wait.
func (s *state) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// view runs f alone.
func (s *state) view(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// wait runs met, alone, until it returns true, for as long as Patience. It
// reports whether it did.
func (s *state) wait(met func() bool) bool {
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		ok := met()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-deadline.C:
			return false
		}
	}
}
