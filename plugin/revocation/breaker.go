package revocation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
)

// What makes an endpoint count as down, and for how long it is left alone before one request tries again.
const (
	failuresInARow = 5
	rest           = 2 * time.Second
)

// breaker keeps an endpoint that fails from being hammered. Safe for concurrent use.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
	// last is the failure that the operator is told of.
	last atomic.Pointer[error]
}

func newBreaker(report func(event.Note)) *breaker {
	b := &breaker{}
	b.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     rest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresInARow },
		// What is neither counts for nothing: after a rest, the next request tries in its place.
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return err != nil && !isFailure(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed && to == gobreaker.StateOpen:
				report(event.Warn(fmt.Sprintf("%d requests in a row brought no usable answer, the last: %s. It is left alone, but for one request every %s: "+
					"meanwhile $.options.revocation.onUnavailable decides", failuresInARow, b.lastFailure(), rest)))
			case to == gobreaker.StateClosed:
				report(event.Inform("it answers again"))
			}
		},
	})
	return b
}

// isFailure tells whether an error speaks of the endpoint rather than of what it was asked. A stranger's rubbish that it
// answers with 400 must neither shut the door for everybody nor, as no answer about a token came of it, open it again; nor
// must what this plugin did not ask, had too little time left for, or gave up when it was closed.
func isFailure(err error) bool {
	var status *endpoint.StatusError
	switch {
	case err == nil || errors.Is(err, errUnfit) || errors.Is(err, errLate) || errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &status):
		switch status.Status {
		case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
			return true
		}
		return status.Status >= http.StatusInternalServerError || status.Status < http.StatusBadRequest
	default:
		return true
	}
}

// try does a request, or refuses to.
func (b *breaker) try(request func() error) error {
	_, err := b.circuit.Execute(func() (struct{}, error) {
		err := request()
		if isFailure(err) {
			b.last.Store(&err)
		}
		return struct{}{}, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return b.leftAlone()
	}
	return err
}

// refusal is the error of try while it would refuse; nil where it would not, as far as can be told.
func (b *breaker) refusal() error {
	if b.circuit.State() == gobreaker.StateOpen {
		return b.leftAlone()
	}
	return nil
}

// rested is the same error while the next request would be the one that tries the endpoint again; else nil.
func (b *breaker) rested() error {
	if b.circuit.State() == gobreaker.StateHalfOpen {
		return b.leftAlone()
	}
	return nil
}

func (b *breaker) leftAlone() error {
	return fmt.Errorf("it was not asked, as its last %d answers were of no use; the last: %w", failuresInARow, b.lastFailure())
}

func (b *breaker) lastFailure() error {
	if last := b.last.Load(); last != nil {
		return *last
	}
	return errors.New("none yet")
}
