package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

type options struct {
	version brokers.Version
	scenes  []scene
	keep    bool // leave everything running until ctx ends
}

// run is one performance. It takes the place of testing.T for package harness: what fails is shown, and what was started
// is stopped at the end.
type run struct {
	mu        sync.Mutex // guards the screen and all below
	screen    *screen
	step      *step // under way, or nil
	cleanups  []func()
	dir       string
	dirs      int
	failed    bool
	abandoned bool // by Ctrl-C: whatever fails from then on does so because of that
}

var _ harness.T = (*run)(nil)

// fatal is what Fatalf panics with.
type fatal struct{}

// show plays the scenes, stops everything, and returns the exit code: 0 if all happened as told, 1 if not, and 130, as
// shells have it, if ctx ended before.
func show(ctx context.Context, out *screen, o options) int {
	began := time.Now()
	r := &run{screen: out}
	var s *stage
	// Short, and not interrupted: what it makes is not for others to remove meanwhile.
	whole := context.WithoutCancel(ctx)
	r.guard(func() {
		s = setUp(whole, r, o.version)
		r.introduce(s)
	})
	played := make(chan struct{})
	go func() {
		defer close(played)
		if !r.Failed() && ctx.Err() == nil {
			r.guard(func() { r.play(s, o.scenes) })
		}
	}()
	select {
	case <-played:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		r.abandon()
		r.end()
		out.say("\nInterrupted. Everything is stopped.")
		return 130
	}
	took := time.Since(began)
	if o.keep && !r.Failed() {
		r.guard(func() {
			r.byHand(whole, s)
			<-ctx.Done()
			r.tell("")
		})
	}
	r.end()
	return r.conclude(took)
}

// introduce says what was started, and what the plugin said of that.
func (r *run) introduce(s *stage) {
	r.tell("Mosquitto %s runs at %s as user %s, with two plugins:", s.broker.Version, s.broker.URL(0), harness.DefaultUser())
	r.tell("go_jwt_auth, whose jwt.json is the tutorial's, for an identity provider at %s,", s.provider.Issuer())
	r.tell("and dynamic-security: sensor-1 may use sensors/1/#, and ops may ask go_jwt_auth who is connected.")
	r.with(func() {
		r.screen.title("What the plugin says at start")
		for line := range strings.Lines(s.broker.Log()) {
			if strings.HasPrefix(line, "go_jwt_auth: ") {
				r.screen.quote(line)
			}
		}
	})
}

// play plays scenes up to the first step that does not go as told.
func (r *run) play(s *stage, scenes []scene) {
	for _, sc := range scenes {
		r.with(func() { r.screen.title(sc.title) })
		for _, st := range sc.steps {
			r.with(func() { r.step = &st; r.screen.trying(st.tried) })
			if !r.judge(st, st.do(s)) {
				return
			}
		}
	}
}

// judge shows what came of a step, and whether that is what was told.
func (r *run) judge(st step, o outcome) (ok bool) {
	ok = o.got == st.want
	r.with(func() {
		r.failed = r.failed || !ok
		r.screen.result(ok, st, o)
		r.screen.quote(o.log)
		r.screen.show(o.shown)
		r.step = nil
	})
	return ok
}

// conclude says how it went.
func (r *run) conclude(took time.Duration) (code int) {
	if r.Failed() {
		r.tell("\n%s Not all happened as told: see ✗ above. Everything is stopped.", r.screen.in(red, "FAILED."))
		return 1
	}
	r.tell("\n%s All happened as told, in %.1f s. Everything is stopped.", r.screen.in(green, "OK."), took.Seconds())
	return 0
}

// with runs f alone, or not at all when the run was abandoned.
func (r *run) with(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.abandoned {
		f()
	}
}

func (r *run) tell(format string, args ...any) {
	r.with(func() { r.screen.say(format, args...) })
}

func (r *run) abandon() { r.with(func() { r.abandoned = true }) }

// guard runs f and returns also where f was ended by Fatalf.
func (r *run) guard(f func()) {
	defer func() {
		if v := recover(); v != nil && v != any(fatal{}) {
			panic(v)
		}
	}()
	f()
}

// end undoes what was started, the last first.
func (r *run) end() {
	for {
		r.mu.Lock()
		last := len(r.cleanups) - 1
		if last < 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanups[last]
		r.cleanups = slices.Delete(r.cleanups, last, last+1)
		r.mu.Unlock()
		r.guard(f)
	}
}

// Helper implements harness.T.
func (r *run) Helper() {}

// Cleanup implements harness.T.
func (r *run) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

// Failed implements harness.T.
func (r *run) Failed() (failed bool) {
	r.with(func() { failed = r.failed })
	return failed
}

// Logf implements harness.T.
func (r *run) Logf(format string, args ...any) { r.tell("\n"+format, args...) }

// Errorf implements harness.T. What went wrong is shown as the outcome of the step under way, if there is one.
func (r *run) Errorf(format string, args ...any) {
	r.with(func() {
		r.failed = true
		text := fmt.Sprintf(format, args...)
		if r.step == nil {
			r.screen.say("%s %s", r.screen.in(red, "✗"), text)
			return
		}
		first, rest, _ := strings.Cut(text, "\n")
		r.screen.result(false, *r.step, outcome{got: first})
		if rest != "" {
			r.screen.say("%s", r.screen.in(dim, rest))
		}
		r.step = nil
	})
}

// Fatalf implements harness.T.
func (r *run) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(fatal{})
}

// TempDir implements harness.T.
func (r *run) TempDir() string {
	dir, err := r.tempDir()
	if err != nil {
		r.Fatalf("demo: %v", err)
	}
	return dir
}

// tempDir makes another folder in the run's own, which is removed when all that was started later has ended.
func (r *run) tempDir() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.abandoned {
		return "", context.Canceled
	}
	if r.dir == "" {
		dir, err := os.MkdirTemp("", "go_jwt_auth-demo-")
		if err != nil {
			return "", err
		}
		r.dir = dir
		r.cleanups = append(r.cleanups, func() {
			if err := os.RemoveAll(dir); err != nil {
				r.Errorf("demo: %v", err)
			}
		})
	}
	r.dirs++
	dir := filepath.Join(r.dir, fmt.Sprintf("%03d", r.dirs))
	return dir, os.Mkdir(dir, 0o755)
}
