package session

import (
	"container/heap"
	"time"
)

// timers is a heap that orders sessions by the time at which something is to be done with them.
type timers struct {
	sessions []*Session
	// of finds in a session when that is, and its place in sessions.
	of func(*Session) (*time.Time, *place)
}

// place is an index, from 1 on; 0: there is none.
type place int32

func expiry(s *Session) (*time.Time, *place)  { return &s.LeaveAt, &s.expiry }
func limit(s *Session) (*time.Time, *place)   { return &s.rare.limit, &s.rare.limiting }
func recheck(s *Session) (*time.Time, *place) { return &s.Asked.at, &s.Asked.timers }

// set moves a session to a time; zero takes it out.
func (t *timers) set(s *Session, at time.Time) {
	t.remove(s)
	when, _ := t.of(s)
	if *when = at; !at.IsZero() {
		heap.Push(t, s)
	}
}

// remove takes a session out.
func (t *timers) remove(s *Session) {
	if _, place := t.of(s); *place != 0 {
		heap.Remove(t, int(*place)-1)
	}
}

// due takes out the first session whose time has come; nil if there is none.
func (t *timers) due(now time.Time) *Session {
	if len(t.sessions) == 0 || now.Before(t.next()) {
		return nil
	}
	return heap.Pop(t).(*Session) //nolint:errcheck,forcetypeassert // the heap holds nothing else
}

// next is the time of the first; zero if there is none.
func (t *timers) next() time.Time {
	if len(t.sessions) == 0 {
		return time.Time{}
	}
	at, _ := t.of(t.sessions[0])
	return *at
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (t *timers) Len() int { return len(t.sessions) }

// Less implements heap.Interface.
func (t *timers) Less(i, j int) bool {
	a, _ := t.of(t.sessions[i])
	b, _ := t.of(t.sessions[j])
	return a.Before(*b)
}

// Swap implements heap.Interface.
func (t *timers) Swap(i, j int) {
	s := t.sessions
	s[i], s[j] = s[j], s[i]
	t.put(i)
	t.put(j)
}

// put tells the session at an index its place.
func (t *timers) put(i int) {
	_, at := t.of(t.sessions[i])
	*at = place(i + 1) //nolint:gosec // so many clients can't be connected
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	t.sessions = append(t.sessions, x.(*Session)) //nolint:errcheck,forcetypeassert // the heap is given nothing else
	t.put(t.Len() - 1)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(t.sessions) - 1
	s := t.sessions[last]
	t.sessions[last] = nil
	t.sessions = t.sessions[:last]
	_, at := t.of(s)
	*at = 0
	return s
}
