package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
)

// Go's threads are woken late, which spares each login what Go's sysmon costs, and have the broker's own go before them where processors are few.
// That thread has what it would have without the plugin.
func TestThreadsThatMayBeLate(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p))
		for _, c := range []struct {
			what, want string
			of         func(*testing.T, string) string
		}{
			{"timer slack", fmt.Sprint((2 * time.Millisecond).Nanoseconds()), timerSlack},
			{"slice", fmt.Sprint((100 * time.Millisecond).Nanoseconds()), slice},
		} {
			t.Run(c.what, func(t *testing.T) {
				main := fmt.Sprint(b.PID())
				if got, want := c.of(t, main), c.of(t, "thread-self"); got != want {
					t.Errorf("the broker's thread has a %s of %s ns, want %s, as here", c.what, got, want)
				}
				tasks, err := os.ReadDir(filepath.Join("/proc", main, "task"))
				if err != nil {
					t.Fatal(err)
				}
				late := 0
				for _, task := range tasks {
					if task.Name() != main && c.of(t, task.Name()) == c.want {
						late++
					}
				}
				if late < 2 {
					t.Errorf("%d of %d threads have a %s of %s ns", late, len(tasks), c.what, c.want)
				}
			})
		}
	})
}

func timerSlack(t *testing.T, thread string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", thread, "timerslack_ns"))
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("what other processes' threads have is not for this user: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// slice is the time that a thread asks the scheduler for at a time.
func slice(t *testing.T, thread string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", thread, "sched"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^se\.slice\s*:\s*(\d+)$`).FindSubmatch(text)
	if found == nil || !bytes.Contains(status, []byte("Seccomp:\t0")) {
		t.Skip("this kernel does not say how long a thread's slices are, or there is a sandbox, in which nothing is asked for")
	}
	return string(found[1])
}
