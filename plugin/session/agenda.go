package session

import (
	"container/heap"
	"time"
)

// agenda holds what is to be done with sessions, by time.
type agenda []*entry

// entry is a session's place in an agenda.
type entry struct {
	session *Session
	at      time.Time
	place   int // absent: not in it
}

const absent = -1

// set moves an entry to a time; zero takes it out.
func (a *agenda) set(e *entry, at time.Time) {
	if e.place != absent {
		heap.Remove(a, e.place)
	}
	if e.at = at; !at.IsZero() {
		heap.Push(a, e)
	}
}

// due takes out the first session whose time has come; nil where there is none.
func (a *agenda) due(now time.Time) *Session {
	if len(*a) == 0 || now.Before((*a)[0].at) {
		return nil
	}
	return heap.Pop(a).(*entry).session //nolint:errcheck,forcetypeassert // the heap holds nothing else
}

// next is the time of the first; zero where there is none.
func (a agenda) next() time.Time {
	if len(a) == 0 {
		return time.Time{}
	}
	return a[0].at
}

// Len, Less, Swap, Push and Pop make it a heap (container/heap).
func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

// Push is part of the heap.
func (a *agenda) Push(x any) {
	e := x.(*entry) //nolint:errcheck,forcetypeassert // the heap is given nothing else
	e.place = len(*a)
	*a = append(*a, e)
}

// Pop is part of the heap.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	e.place = absent
	return e
}
