package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrBusy says that so many logins wait for the endpoint that no more are taken.
var ErrBusy = errors.New("the queue is full")

// Acquire takes a slot in the queue, to ask about a token that expires then (zero: not known). Slots for the same token share
// one place of the queue. It never waits; the error is ErrBusy if the queue is full.
func (c *Checker) Acquire(token string, expires time.Time) (*Slot, error) {
	if err := c.queue.enter(token); err != nil {
		return nil, fmt.Errorf("%w for the %s endpoint (%s is %d)",
			err, c.protocol.name(), c.options.Path.Key("options.revocation.maxConcurrent"), c.cfg.MaxConcurrent)
	}
	return &Slot{checker: c, token: token, expires: expires}, nil
}

// Slot is the right to ask about one token. Exactly one of Ask and Release must be called, once: either gives the slot back.
type Slot struct {
	checker *Checker
	token   string
	expires time.Time
}

// Release gives the slot back unused.
func (s *Slot) Release() { s.checker.queue.leave(s.token) }

// Ask waits for the endpoint's answer until ctx ends, and for the configured timeout at most, the wait for room included
// (maxConcurrent). Slots for the same token share one request.
func (s *Slot) Ask(ctx context.Context) Answer {
	defer s.Release()
	c := s.checker
	shared := c.calls.DoChan(s.token, func() (any, error) { return c.ask(s.token, s.expires), nil })
	select {
	case result := <-shared:
		return result.Val.(Answer) //nolint:errcheck,forcetypeassert // the function above returns nothing else
	case <-ctx.Done():
		return Answer{err: ctx.Err()}
	}
}

const (
	// maxQueue is how many tokens may wait beside those whose request is under way.
	maxQueue = 1024
	// maxSharing is how many logins may wait for the answer about one token, so that a client can't cause more with one token.
	maxSharing = 256
)

// queue counts the tokens that wait for an answer, each of which costs a request, and the logins that wait for each. Safe for
// concurrent use.
type queue struct {
	maxTokens int

	mu     sync.Mutex // guards all below
	logins map[string]int
}

func newQueue(maxConcurrent int) *queue {
	return &queue{maxTokens: maxConcurrent + maxQueue, logins: map[string]int{}}
}

// enter counts a login that waits for the answer about a token. The error is ErrBusy.
func (q *queue) enter(token string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch n := q.logins[token]; {
	case n >= maxSharing:
		return fmt.Errorf("%w: %d logins with the same token are waiting for an answer", ErrBusy, n)
	case n == 0 && len(q.logins) >= q.maxTokens:
		return fmt.Errorf("%w: %d questions are waiting", ErrBusy, len(q.logins))
	}
	q.logins[token]++
	return nil
}

// len is how many tokens wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.logins)
}

// leave undoes enter.
func (q *queue) leave(token string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.logins[token]--
	if q.logins[token] == 0 {
		delete(q.logins, token)
	}
}
