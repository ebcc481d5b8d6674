// Package loop is the way back to the broker's thread: what goroutines have finished waits here until a Tick takes it over,
// a bounded piece at a time.
package loop

import (
	"context"
	"time"

	"go-jwt-auth/plugin/guard"
)

// Turn is how long one Tick works. Then the broker has a Rest for others, and is woken for what is left. Mosquitto 2.0 reads one
// packet of each client in a round of its loop: with a single round between turns, clients that send more often would fall behind.
const (
	Turn = 2 * time.Millisecond
	Rest = time.Millisecond
)

// Loop takes work to goroutines and its results to the broker's thread. Its methods belong to that thread, except for Post.
type Loop struct {
	ctx    context.Context
	cancel context.CancelFunc
	queue  queue
	now    func() time.Time
	fault  func(error)
	// turning is true inside of Turn, from which the broker calls back.
	turning bool
}

// New returns a Loop that wakes the broker for what is to be done on its thread. A panic in the background ends in fault,
// there.
func New(now func() time.Time, wake func(), fault func(error)) *Loop {
	l := &Loop{now: now, fault: fault, queue: queue{wake: wake}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Close ends what runs in the background, and wakes nobody any more.
func (l *Loop) Close() {
	l.cancel()
	l.queue.close()
}

// Context ends with Close.
func (l *Loop) Context() context.Context { return l.ctx }

// Post has do run on the broker's thread, by a Tick. From any goroutine. After Close it does nothing.
func (l *Loop) Post(do func()) { l.queue.post(do) }

// Background runs do on a goroutine and the function it returns, if any, on the broker's thread. Left alone, a panic in do
// would take the broker down.
func (l *Loop) Background(do func() func()) {
	go func() {
		defer guard.Catch(func(fault error) { l.Post(func() { l.fault(fault) }) })
		if then := do(); then != nil {
			l.Post(then)
		}
	}()
}

// Turn does what was posted and what the steps have to do, one thing of each kind in turn, until nothing is left or its time
// is over; then it has the broker woken for the rest. A step returns false if it had nothing to do. It returns how long the broker
// is to be left alone: zero if nothing is left.
func (l *Loop) Turn(steps ...func() bool) time.Duration {
	l.turning = true
	defer func() { l.turning = false }()
	l.queue.begin()
	began := l.now()
	for more := true; more; {
		if l.now().Sub(began) >= Turn {
			l.queue.leave()
			return Rest
		}
		more = l.queue.do()
		for _, step := range steps {
			more = step() || more
		}
	}
	return 0
}

// Again has the broker woken after a Rest, also if nothing is left to do: it sends what was published inside of a Turn only when it has
// gone round once more.
func (l *Loop) Again() { l.queue.leave() }

// Turning tells whether the broker is calling back from inside of Turn.
func (l *Loop) Turning() bool { return l.turning }
