package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
)

// The circuit breaker by the clock of a bubble, in which no time passes but by sleeping.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		b := newBreaker(config.Path{}, func(n event.Note) { lines = append(lines, fmt.Sprintf("%t %s", n.Level == event.Warning, n.Text)) })
		requests := 0
		try := func(answer error) error {
			return b.try(func() error { requests++; return answer })
		}
		down := errors.New("connection refused")
		expect := func(rule string, made int, leftAlone bool) {
			t.Helper()
			if requests != made || (b.open() != nil) != leftAlone {
				t.Errorf("%s: %d requests, left alone: %t; want %d, %t", rule, requests, b.open() != nil, made, leftAlone)
			}
		}
		for range failuresInARow - 1 {
			_ = try(down)
		}
		_ = try(nil)
		for range failuresInARow - 1 {
			_ = try(down)
		}
		_ = try(nil)
		expect("failures that are not in a row", 10, false)
		for range 100 {
			_ = try(context.Canceled)
		}
		expect("requests that this plugin gives up", 110, false)

		requests = 0
		for range failuresInARow {
			if err := try(down); !errors.Is(err, down) {
				t.Errorf("got %v", err)
			}
		}
		expect("failures in a row", 5, true)
		if err := try(nil); !errors.Is(err, down) || !strings.Contains(err.Error(), "it was not asked") {
			t.Errorf("got %v", err)
		}
		expect("left alone", 5, true)
		time.Sleep(openFor + 1)
		expect("after a rest", 5, false)

		// One request alone tries, and the others are told at once.
		_ = b.try(func() error {
			requests++
			if err := try(nil); !errors.Is(err, down) {
				t.Errorf("beside the one that tries: got %v", err)
			}
			return down
		})
		expect("the test fails", 6, true)
		time.Sleep(openFor + 1)
		if err := try(nil); err != nil {
			t.Errorf("got %v", err)
		}
		expect("the test succeeds", 7, false)
		want := []string{"true 5 requests in a row brought no usable answer, the last: connection refused. It is left alone", "false it answers again"}
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("reported %q", lines)
		}
	})
}

// What says nothing of the endpoint neither opens nor closes the circuit, nor does it break a row of failures.
func TestBreakerIsMovedByAnswersAlone(t *testing.T) {
	down := errors.New("connection refused")
	status := func(code int) error { return &endpoint.Error{Cause: &endpoint.StatusError{Status: code}} }
	for _, c := range []struct {
		rule   string
		answer error
	}{
		{"a question that was not asked", errUnfit},
		{"a request that had little time left", fmt.Errorf("%w, %w", context.DeadlineExceeded, errLate)},
		{"a request that it doesn't take", status(400)},
		{"a token that it forbids", status(403)},
		{"a token that it doesn't know", status(404)},
		{"closed", context.Canceled},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(config.Path{}, func(event.Note) {})
				try := func(err error) { _ = b.try(func() error { return err }) }
				for range 2 * failuresInARow {
					try(c.answer)
				}
				if b.open() != nil {
					t.Fatal("it opened")
				}
				for range failuresInARow {
					try(down)
					try(c.answer)
				}
				if b.open() == nil {
					t.Fatal("it did not open")
				}
				time.Sleep(openFor + 1)
				if b.halfOpen() == nil {
					t.Error("it is not ready for a test")
				}
				try(c.answer)
				if b.halfOpen() == nil {
					t.Error("a test that says nothing ended the wait for one that does")
				}
				try(down)
				if b.open() == nil {
					t.Error("a test that failed closed it")
				}
				time.Sleep(openFor + 1)
				try(nil)
				if b.open() != nil || b.halfOpen() != nil {
					t.Error("a usable answer did not close it")
				}
			})
		})
	}
}

// Where more wait than the endpoint can answer in time, the last of them run out of it all at once, and that says nothing of
// the endpoint: it must not shut the door for everybody.
func TestBreakerPassesOverRequestsWhoseTurnCameLate(t *testing.T) {
	const timeout = 10 * time.Second
	for _, c := range []struct {
		rule  string
		waits time.Duration // of the questions for their turn
		opens bool
	}{
		{"with most of the time left", timeout / 4, true},
		{"with little time left", timeout * 3 / 4, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				checker, err := New(&config.Revocation{
					Timeout: timeout, MaxConcurrent: failuresInARow, RetryWindow: time.Second, Cache: config.AnswerCache{MaxEntries: 1},
				}, Options{
					Now: time.Now, Report: func(event.Note) {},
					Locate: func(ctx context.Context) (string, error) {
						if time.Since(began) < c.waits {
							time.Sleep(c.waits)
							return "", errUnfit
						}
						<-ctx.Done()
						return "", ctx.Err()
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				for i := range 2 * failuresInARow {
					slot, err := checker.Acquire(fmt.Sprint(i), time.Time{})
					if err != nil {
						t.Fatal(err)
					}
					go slot.Ask(t.Context())
				}
				time.Sleep(timeout)
				synctest.Wait()
				if opened := checker.breaker.open() != nil; opened != c.opens {
					t.Errorf("the circuit is open: %t, want %t", opened, c.opens)
				}
			})
		})
	}
}
