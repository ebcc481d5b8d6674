package keyset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/internal/once"
)

// join returns the fetch under way, or starts one. r.mu is held.
func (r *remote) join() *once.Fetch {
	if r.fetch.UnderWay() == nil {
		r.misses.started++
		r.waits.begin()
	}
	return r.fetch.Join()
}

// background marks a context of HoldsUpNobody.
type background struct{}

// HoldsUpNobody is for a Find that holds up nobody although logins do (Options.Blocks): it may wait as it does elsewhere.
func HoldsUpNobody(ctx context.Context) context.Context {
	return context.WithValue(ctx, background{}, true)
}

// wait is await for a login. If that holds up all others, only one login waits for a fetch, and all waits together take a
// bounded share of the time: a login beyond that is put off at once.
func (r *remote) wait(ctx context.Context, fetch *once.Fetch) error {
	if !r.Blocks || ctx.Value(background{}) != nil {
		return r.await(ctx, fetch)
	}
	longest, began := r.mayWait(fetch)
	if longest <= 0 {
		return r.putOff(fetch)
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	err := r.await(ctx, fetch)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	r.waits.spend(now.Sub(began), now)
	return err
}

// mayWait is how long a login may wait for a fetch, from now on; not at all if another one has.
func (r *remote) mayWait(fetch *once.Fetch) (longest time.Duration, began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	began = r.Now()
	if r.fetch.UnderWay() != fetch || r.waits.held {
		return 0, began
	}
	if longest = r.waits.left(began); longest > 0 {
		r.waits.held = true
	}
	return longest, began
}

// await waits for a fetch until ctx ends.
func (r *remote) await(ctx context.Context, fetch *once.Fetch) error {
	if !fetch.Wait(ctx) {
		return r.putOff(fetch)
	}
	return failure(fetch)
}

// putOff is what a fetch has brought by now, or ErrPending.
func (r *remote) putOff(fetch *once.Fetch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fetch.UnderWay() != fetch {
		return failure(fetch) // it came in just now
	}
	r.waits.gaveUp++
	return ErrPending
}

// answered is what a fetch brings.
type answered struct {
	answer *endpoint.Answer
	set    Set
}

func (r *remote) get() (answered, error) {
	began := r.Now()
	a, err := r.read()
	if r.Requested != nil {
		result := event.Done
		if err != nil {
			result = event.Failed
		}
		r.Requested(event.Request{For: event.Keys, Result: result, Took: r.Now().Sub(began)})
	}
	return a, err
}

func (r *remote) read() (a answered, err error) {
	uri := r.uri
	if uri == "" {
		if uri, err = r.Locate(r.ctx); err != nil {
			return answered{}, err
		}
	}
	if a.answer, err = r.Client.Get(r.ctx, uri, r.cfg.JWKS.Timeout); err != nil {
		return answered{}, err
	}
	a.set, err = parseSet(a.answer.Body, r.accept)
	if errors.Is(err, jsonvalue.ErrNotJSON) {
		err = fmt.Errorf("%w (%s)", err, a.answer.Describe())
	}
	if err != nil {
		return answered{}, fmt.Errorf("GET %s: %w", r, err)
	}
	return a, nil
}

// keep puts what a fetch has brought in the place of the last set. r.mu is held.
func (r *remote) keep(a answered) {
	now := r.Now()
	next := snapshot{
		set: a.set, digest: sha256.Sum256(a.answer.Body), arrived: now, life: lifetime(r.cfg.JWKS.Cache, a.answer.Header, now),
	}
	next.follow(&r.snapshot, r.String(), r.mu.report)
	r.waits.arrive(once.Within(now.Sub(r.arrived), r.cfg.JWKS.Timeout))
	r.snapshot, r.misses.finished = next, r.misses.started
}

// failure is why a fetch that has ended brought nothing; nil: it did.
func failure(fetch *once.Fetch) error {
	if err := fetch.Err(); err != nil {
		return &UnavailableError{Cause: err}
	}
	return nil
}
