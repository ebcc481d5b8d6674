package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"go-jwt-auth/test/harness"
)

// stand takes the place of testing.T for package harness, for one run of one trial: what was started is stopped at
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
	dir, err := os.MkdirTemp("", "go_jwt_auth-bench-")
	st.must(err)
	st.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			st.Errorf("bench: %v", err)
		}
	})
	return dir
}
