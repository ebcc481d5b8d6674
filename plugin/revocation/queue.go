package revocation

import (
	"errors"
	"fmt"
	"sync"
)

// ErrBusy says that so many are waiting for the endpoint that no more are taken.
var ErrBusy = errors.New("the queue is full")

const (
	// maxQueue is how many questions may wait for their turn beside those whose request is under way.
	maxQueue = 1024
	// maxSharing is how many logins may wait for one answer: as many as a client can cause by one token.
	maxSharing = 256
)

// queue counts who waits for an answer: the questions, of which each costs a request, and who shares one. Safe for concurrent
// use.
type queue struct {
	most int // questions

	mu      sync.Mutex // guards all below
	sharing map[string]int
}

func newQueue(maxConcurrent int) *queue {
	return &queue{most: maxConcurrent + maxQueue, sharing: map[string]int{}}
}

// enter takes a place among those who wait for the answer about a token. The error is ErrBusy.
func (q *queue) enter(token string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch n := q.sharing[token]; {
	case n >= maxSharing:
		return fmt.Errorf("%w: %d logins with the same token are waiting for an answer", ErrBusy, n)
	case n == 0 && len(q.sharing) >= q.most:
		return fmt.Errorf("%w: %d questions are waiting", ErrBusy, len(q.sharing))
	}
	q.sharing[token]++
	return nil
}

func (q *queue) leave(token string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sharing[token]--
	if q.sharing[token] == 0 {
		delete(q.sharing, token)
	}
}
