// Package once fetches what many need at the same time by one request for all of them, and lets a failure rest.
package once

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go-jwt-auth/plugin/guard"
)

// Fetcher has at most one Fetch under way. Its methods and its Outage want Lock held. (x/sync/singleflight can't say whether
// a request is under way, and its owner's state would need a second lock.)
type Fetcher[T any] struct {
	// Lock is the owner's.
	Lock sync.Locker
	Now  func() time.Time
	// Get makes the request, without the lock and on a goroutine of its own. It goes on if all who waited have left. A panic
	// in it is its error.
	Get func() (T, error)
	// Keep takes what Get has brought, under the lock.
	Keep func(T)
	// Outage is zero unless the last fetch has failed.
	Outage Outage

	underWay *Fetch
}

// Fetch is one request, which all who need it wait for together.
type Fetch struct {
	Began time.Time
	done  chan struct{} // closed when err is set
	err   error
}

// Wait waits for the end of the fetch, and returns false if ctx ends before.
func (f *Fetch) Wait(ctx context.Context) bool {
	select {
	case <-f.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Err is why the fetch has failed, if it has. It wants the fetch to have ended.
func (f *Fetch) Err() error { return f.err }

// UnderWay is the fetch under way, or nil.
func (f *Fetcher[T]) UnderWay() *Fetch { return f.underWay }

// Join returns the fetch under way, or starts one.
func (f *Fetcher[T]) Join() *Fetch {
	if f.underWay == nil {
		f.underWay = &Fetch{Began: f.Now(), done: make(chan struct{})}
		go f.run(f.underWay)
	}
	return f.underWay
}

func (f *Fetcher[T]) run(fetch *Fetch) {
	defer close(fetch.done) // after Unlock
	value, err := f.get()
	f.Lock.Lock()
	defer f.Lock.Unlock()
	f.underWay, fetch.err = nil, err
	if err != nil {
		f.Outage = Outage{Err: err, Since: f.Now()}
		return
	}
	f.Outage = Outage{}
	f.Keep(value)
}

func (f *Fetcher[T]) get() (value T, err error) {
	defer guard.Catch(func(fault error) { err = fmt.Errorf("fault while reading it: %w", fault) })
	return f.Get()
}
