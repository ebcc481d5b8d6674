package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
)

// Go's threads are woken late, which spares each login what Go's sysmon costs; the broker's own thread is woken as without the plugin.
func TestThreadsThatMayBeWokenLate(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p))
		slack := func(thread string) string {
			text, err := os.ReadFile(filepath.Join("/proc", thread, "timerslack_ns"))
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				t.Skipf("what other processes' threads have is not for this user: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		}
		main := fmt.Sprint(b.PID())
		if got, want := slack(main), slack("thread-self"); got != want {
			t.Errorf("the broker's thread has a timer slack of %s ns, want %s, as here", got, want)
		}
		tasks, err := os.ReadDir(filepath.Join("/proc", main, "task"))
		if err != nil {
			t.Fatal(err)
		}
		want, late := fmt.Sprint((2 * time.Millisecond).Nanoseconds()), 0
		for _, task := range tasks {
			if task.Name() != main && slack(task.Name()) == want {
				late++
			}
		}
		if late < 2 {
			t.Errorf("%d of %d threads have a timer slack of %s ns", late, len(tasks), want)
		}
	})
}
