package loop

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A wake that comes just before the broker sleeps is lost: it is repeated until the queue is drained, and no longer.
func TestAWakeIsRepeatedUntilItHasAnEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wakes atomic.Int32
		q := queue{wake: func() { wakes.Add(1) }}
		after := func(d time.Duration, rule string, want int32) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := wakes.Load(); got != want {
				t.Errorf("%s: %d wakes, want %d", rule, got, want)
			}
		}
		done := 0
		q.post(func() { done++ })
		after(0, "at once", 1)
		q.post(func() { done++ })
		after(0, "a second item needs none of its own", 1)
		after(firstRouse, "lost", 2)
		after(2*firstRouse, "lost again", 3)
		for q.do() {
		}
		after(time.Hour, "drained", 3)
		// After a turn the broker has a rest, however much comes meanwhile.
		q.leave()
		q.post(func() { done++ })
		after(Rest-1, "left, in the rest", 3)
		after(1, "after the rest", 4)
		q.begin()
		for q.do() {
		}
		after(time.Hour, "drained again", 4)
		wakes.Store(3)
		if done != 3 {
			t.Errorf("%d items were done", done)
		}

		// A broker that never ticks is not woken for ever.
		q.post(func() {})
		after(time.Hour, "never drained", 3+1+6)
		q.post(func() {})
		q.close()
		after(time.Hour, "closed", 3+1+6)
	})
}
