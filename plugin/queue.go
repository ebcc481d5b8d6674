package plugin

import (
	"sync"
	"time"
)

// queue takes work from goroutines to the broker's thread.
type queue struct {
	wake func()

	mu      sync.Mutex // guards all below, and wake against close; never held across any other call
	items   []func()
	rousing bool
	closed  bool
}

// A wake that comes just before the broker goes to sleep is lost, and so is repeated until it has shown an effect, first
// after firstRouse and then in twice the time, up to lastRouse: by then a Tick has come by itself.
const (
	firstRouse = time.Millisecond
	lastRouse  = 64 * time.Millisecond
)

// post leaves do for the next drain and asks for it. From any goroutine. After close it does nothing.
func (q *queue) post(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.items = append(q.items, do)
	if len(q.items) == 1 {
		q.wake()
	}
	if !q.rousing {
		q.rousing = true
		go q.rouse()
	}
}

// rouse repeats the wake until the queue is drained.
func (q *queue) rouse() {
	for wait, again := firstRouse, true; again; wait *= 2 {
		time.Sleep(wait)
		again = q.wakeAgain(wait < lastRouse)
	}
}

// wakeAgain wakes the broker where something is left to do; false ends the rousing.
func (q *queue) wakeAgain(more bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rousing = more && len(q.items) > 0 && !q.closed; q.rousing {
		q.wake()
	}
	return q.rousing
}

// close makes sure that nothing wakes the broker any more: what a wake writes to is freed after this.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.items = true, nil
}

// drain does what was left, in order.
func (q *queue) drain() {
	q.mu.Lock()
	items := q.items
	q.items = nil
	q.mu.Unlock()
	for _, do := range items {
		do()
	}
}

// tickWatch notices a broker that never ticks. The first Tick is asked for at start, so that it comes within the first
// loop of a broker that does.
type tickWatch struct {
	now    func() time.Time
	ticked bool
	warned bool
	// waiting is the first callback that came before any Tick.
	waiting time.Time
}

// tickless is how long callbacks may come without any Tick before the broker counts as one that never ticks. A broker
// that does ticks about every 100 ms.
const tickless = time.Second

func (w *tickWatch) seen() { w.ticked = true }

// missing tells whether this broker seems to give no Tick; first is true once.
func (w *tickWatch) missing() (missing, first bool) {
	if w.ticked {
		return false, false
	}
	now := w.now()
	if w.waiting.IsZero() {
		w.waiting = now
	}
	if now.Sub(w.waiting) < tickless {
		return false, false
	}
	first = !w.warned
	w.warned = true
	return true, first
}
