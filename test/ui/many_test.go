//go:build browser

package ui

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

const (
	// many is how many clients the page shows without stutter.
	many = 10_000
	// longTask is what makes a stutter (W3C Long Tasks §1): so much of the page's thread at once, in ms. It is measured in the time
	// that the processor has spent on it, since other programs have the processor in between.
	longTask = 50.0
	// rowsMost is how many rows are there at once, however many the list has.
	rowsMost = 60
)

// TestPageShowsTenThousand of a real broker, while they come and go.
func TestPageShowsTenThousand(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := start(t, v, configuration(alice))
		s.RaiseFileLimit(many + 1000)
		s.fill(t)
		began := time.Now()
		s.open(t, s.URL(0))
		s.eventually(t, "all are listed", func() bool {
			return strings.HasPrefix(s.text(t, "#shown"), "10,0") && strings.HasSuffix(s.text(t, "#shown"), "clients")
		})
		t.Logf("all were there %v after the command was started", time.Since(began))
		if _, err := chromedp.Call(s.ctx, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
			t.Fatal(err)
		}
		most := 0
		for _, each := range []struct {
			what, step string
			times      int
		}{
			{"scrolling", `grid.scrollTop += 400`, 40},
			{"jumping", `grid.scrollTop = (i * 7919 * 36) % grid.scrollHeight`, 30},
			{"sorting", `grid.querySelectorAll('.head button')[i].click()`, 7},
			{"searching", `const s = document.getElementById('search'); s.value = 'client-00'.slice(0, i % 10); s.dispatchEvent(new Event('input'))`, 20},
			{"watching", `const client = i`, 40},
		} {
			worst := 0.0
			for i := range each.times {
				before := s.spent(t)
				rows := js[int](t, s, fmt.Sprintf(`(async (i) => {
					const grid = document.querySelector('.clients-rows');
					%s;
					for (let n = 0; n < 2; n++) await new Promise(requestAnimationFrame);
					return grid.querySelectorAll('.row').length;
				})(%d)`, each.step, i))
				worst, most = max(worst, s.spent(t)-before), max(most, rows)
			}
			t.Logf("%s: %.1f ms at most in two frames", each.what, worst)
			if worst > longTask {
				t.Errorf("%s takes %.1f ms at once, more than %.0f", each.what, worst, longTask)
			}
		}
		if most > rowsMost {
			t.Errorf("there are %d rows", most)
		}
		t.Logf("%d rows, %d elements", most, js[int](t, s, `document.querySelectorAll('*').length`))
		s.shot(t, "many")
		s.sound(t)
	})
}

// spent is what the page's thread has worked, in ms of a processor.
func (s *stage) spent(t *testing.T) float64 {
	t.Helper()
	all, err := chromedp.Call(s.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value * 1000
		}
	}
	t.Fatal("the browser does not tell")
	return 0
}

// fill connects many clients, a hundredth of which goes and comes for as long as the test runs.
func (s *stage) fill(t *testing.T) {
	t.Helper()
	password := token(t, "devices", "fleet", time.Hour)
	connect := func(n int) *harness.Raw {
		raw, err := harness.Dial(s.URL(0), harness.V311)
		if err != nil {
			t.Error(err)
			return nil
		}
		if answer, err := raw.Connect(login(fmt.Sprintf("client-%05d", n), "fleet", password)); err != nil || !answer.Accepted() {
			t.Errorf("%v %v", answer, err)
		}
		return raw
	}
	clients := make([]*harness.Raw, many)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := w; n < many && !t.Failed(); n += 8 {
				clients[n] = connect(n)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n = (n + 1) % (many / 100) {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond): // a load, and nothing waits for it
				clients[n].Close()
				clients[n] = connect(n)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		for _, c := range clients {
			c.Close()
		}
	})
}
