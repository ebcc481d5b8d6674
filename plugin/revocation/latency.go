package revocation

import (
	"slices"
	"sync"
	"time"
)

// lastLatencies is of how many requests it is remembered how long they took.
const lastLatencies = 128

// latencies are those of the last requests that were answered. Safe for concurrent use.
type latencies struct {
	mu   sync.Mutex // guards all below
	took [lastLatencies]time.Duration
	n    int
	// answered is when the last of them was.
	answered time.Time
}

func (l *latencies) add(took time.Duration, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took[l.n%lastLatencies] = took
	l.n++
	l.answered = at
}

// Latency is how long the last requests took that were answered.
type Latency struct {
	// P50 and P99 are the times within which so many of a hundred were.
	P50, P99 time.Duration
	// Count is of how many requests that is, at most 128.
	Count int
}

func (l *latencies) sum() (sum Latency, answered time.Time) {
	l.mu.Lock()
	n := min(l.n, lastLatencies)
	took := slices.Clone(l.took[:n])
	answered = l.answered
	l.mu.Unlock()
	if n == 0 {
		return Latency{}, answered
	}
	slices.Sort(took)
	return Latency{P50: took[(n-1)*50/100], P99: took[(n-1)*99/100], Count: n}, answered
}
