package loop

import (
	"sync"
	"time"
)

// queue takes work from goroutines to the broker's thread.
type queue struct {
	wake func()

	mu    sync.Mutex // guards all below, and wake against close; never held across any other call
	items []func()
	// unfinished says that a Tick has left something to do, be it here or elsewhere.
	unfinished bool
	// rousing is the next wake, wait after the last one; nil: none is to come.
	rousing *time.Timer
	wait    time.Duration
	closed  bool
}

// A wake that comes just before the broker goes to sleep is lost, and so is repeated until it has shown an effect, first
// after firstRouse and then in twice the time, up to lastRouse: by then a Tick has come by itself.
const (
	firstRouse = time.Millisecond
	lastRouse  = 64 * time.Millisecond
)

// post leaves do for a Tick and asks for it. From any goroutine. After close it does nothing.
func (q *queue) post(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.items = append(q.items, do)
	if len(q.items) == 1 && !q.unfinished {
		q.wake()
	}
	if q.rousing == nil {
		q.rouseIn(firstRouse)
	}
}

// leave asks for another Tick after a Rest, as this one has left something to do. The wake can't come now: in a callback the broker
// does not sleep, so that it would end no sleep.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.unfinished = true
	q.rouseIn(Rest)
}

// rouseIn has the broker woken after wait. q.mu is held.
func (q *queue) rouseIn(wait time.Duration) {
	if q.rousing != nil {
		q.rousing.Stop()
	}
	q.wait = wait
	q.rousing = time.AfterFunc(wait, q.rouse)
}

// rouse wakes the broker for as long as something is left to do.
func (q *queue) rouse() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rousing = nil
	if q.closed || (len(q.items) == 0 && !q.unfinished) {
		return
	}
	q.wake()
	if next := 2 * q.wait; next < lastRouse {
		q.rouseIn(next)
	}
}

// close makes sure that nothing wakes the broker any more: what a wake writes to is freed after this.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.items = true, nil
}

// begin tells that a Tick has come for whatever was left.
func (q *queue) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unfinished = false
}

// do does the first thing that was left; false where there is nothing.
func (q *queue) do() bool {
	q.mu.Lock()
	if len(q.items) == 0 {
		q.items = nil
		q.mu.Unlock()
		return false
	}
	first := q.items[0]
	q.items[0] = nil
	q.items = q.items[1:]
	q.mu.Unlock()
	first()
	return true
}
