package session

import (
	"container/heap"
	"time"
)

// timers is a heap that orders sessions by the time at which something is to be done with them.
type timers []*timer

// timer is when something is to be done with one session.
type timer struct {
	session *Session
	at      time.Time
	index   int // in the timers; absent: not in them
}

const absent = -1

// set moves a timer to a time; zero takes it out.
func (t *timers) set(tm *timer, at time.Time) {
	if tm.index != absent {
		heap.Remove(t, tm.index)
	}
	if tm.at = at; !at.IsZero() {
		heap.Push(t, tm)
	}
}

// due takes out the first session whose time has come; nil if there is none.
func (t *timers) due(now time.Time) *Session {
	if len(*t) == 0 || now.Before((*t)[0].at) {
		return nil
	}
	return heap.Pop(t).(*timer).session //nolint:errcheck,forcetypeassert // the heap holds nothing else
}

// next is the time of the first; zero if there is none.
func (t timers) next() time.Time {
	if len(t) == 0 {
		return time.Time{}
	}
	return t[0].at
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	tm := x.(*timer) //nolint:errcheck,forcetypeassert // the heap is given nothing else
	tm.index = len(*t)
	*t = append(*t, tm)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	tm := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	tm.index = absent
	return tm
}
