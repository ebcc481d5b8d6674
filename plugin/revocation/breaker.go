package revocation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
)

// After failuresInARow requests the circuit opens: for openFor nothing is asked, and then one request tests the endpoint.
const (
	failuresInARow = 5
	openFor        = 2 * time.Second
)

// breaker is a circuit breaker: it keeps requests from an endpoint that fails. Safe for concurrent use.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
	// last is the last failure.
	last atomic.Pointer[error]
	// report is where changes are reported.
	report atomic.Pointer[func(opened bool)]
}

// newBreaker returns a closed breaker, which reports as reportTo says.
func newBreaker(path config.Path, report func(event.Note)) *breaker {
	b := &breaker{}
	b.reportTo(path, report)
	b.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresInARow },
		// A request that is neither doesn't count: if it was to test the endpoint, the next one does so in its place.
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return err != nil && !isFailure(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed && to == gobreaker.StateOpen:
				(*b.report.Load())(true)
			case to == gobreaker.StateClosed:
				(*b.report.Load())(false)
			}
		},
	})
	return b
}

// reportTo reports to another Checker from now on, whose provider stands at path.
func (b *breaker) reportTo(path config.Path, report func(event.Note)) {
	onChange := func(opened bool) {
		if !opened {
			report(event.CameUp("it answers again"))
			return
		}
		report(event.WentDown(fmt.Sprintf("%d requests in a row brought no usable answer, the last: %s. It is left alone, but for one request every %s: "+
			"meanwhile %s decides", failuresInARow, b.lastFailure(), openFor, path.Key("options.revocation.onUnavailable"))))
	}
	b.report.Store(&onChange)
}

// isFailure tells whether an error is the endpoint's fault rather than due to what it was asked. If it answers a stranger's
// malformed token with 400, that must not open the circuit for everybody, nor close it, as it is not an answer about a token. The
// same holds for a request that was not sent, had too little time left, or was canceled when the plugin was closed.
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

// try makes a request, or returns the error of open if the circuit is open, or half-open with a test under way.
func (b *breaker) try(request func() error) error {
	_, err := b.circuit.Execute(func() (struct{}, error) {
		err := request()
		if isFailure(err) {
			b.last.Store(&err)
		}
		return struct{}{}, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return b.notAsked()
	}
	return err
}

// open returns the error of try while the circuit is open, else nil.
func (b *breaker) open() error {
	if b.circuit.State() == gobreaker.StateOpen {
		return b.notAsked()
	}
	return nil
}

// halfOpen returns the same error while a request is to test the endpoint, or does so; else nil.
func (b *breaker) halfOpen() error {
	if b.circuit.State() == gobreaker.StateHalfOpen {
		return b.notAsked()
	}
	return nil
}

func (b *breaker) notAsked() error {
	return fmt.Errorf("it was not asked, as its last %d answers were of no use; the last: %w", failuresInARow, b.lastFailure())
}

func (b *breaker) lastFailure() error {
	if last := b.last.Load(); last != nil {
		return *last
	}
	return errors.New("none yet")
}
