package revocation_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// Two providers may have the same endpoint and the same credentials there: nothing that one Checker has learnt, or is busy with,
// reaches the other.
func TestCheckersOfOneEndpointShareNothing(t *testing.T) {
	unknown := func(t *testing.T, c *revocation.Checker, token string) {
		t.Helper()
		if said, known := c.Lookup(revocation.DigestOf(token)); known {
			_, v := c.Judge(said, new(verdict.Trace))
			t.Errorf("the other knows of %s: %s", token, v)
		}
	}
	knows := func(t *testing.T, c *revocation.Checker, token string, want verdict.Verdict) {
		t.Helper()
		said, known := c.Lookup(revocation.DigestOf(token))
		if _, v := c.Judge(said, new(verdict.Trace)); !known || v.Kind != want.Kind || v.Reason != want.Reason {
			t.Errorf("%s: known %t, %s, want %s", token, known, v, want)
		}
	}
	says := func(t *testing.T, c *revocation.Checker, token string, want verdict.Verdict) {
		t.Helper()
		if v := <-asks(t, c, token); v.Kind != want.Kind || v.Reason != want.Reason {
			t.Errorf("%s: %s, want %s", token, v, want)
		}
	}
	accept, revoked := verdict.Verdict{Kind: verdict.Accept}, verdict.Verdict{Reason: verdict.Revoked}
	unavailable := verdict.Verdict{Reason: verdict.ProviderUnavailable}

	t.Run("a cached answer", func(t *testing.T) {
		a := newGate(t, config.Revocation{Cache: config.AnswerCache{TTL: time.Hour}})
		b := a.another(t)
		close(a.open)
		says(t, a.Checker, "token", accept)
		unknown(t, b, "token")
		a.answer.Store(`{"active":false}`)
		says(t, b, "token", revoked)
		knows(t, a.Checker, "token", accept)
		knows(t, b, "token", revoked)
	})
	t.Run("a refusal", func(t *testing.T) {
		a := newGate(t, config.Revocation{})
		b := a.another(t)
		close(a.open)
		a.answer.Store(`{"active":false}`)
		says(t, a.Checker, "token", revoked)
		unknown(t, b, "token")
		if b.WasInactive(revocation.DigestOf("token")) {
			t.Error("the other knows that it was inactive")
		}
		a.answer.Store(`{"active":true}`)
		says(t, b, "token", accept)
		knows(t, a.Checker, "token", revoked)
	})
	t.Run("a prefetched answer", func(t *testing.T) {
		a := newGate(t, config.Revocation{RetryWindow: time.Hour})
		b := a.another(t)
		for _, c := range []*revocation.Checker{a.Checker, b} {
			if _, err := c.Prefetch("token", time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the other does not ask for itself", func() bool { return a.requests.Load() == 2 })
		close(a.open)
		for _, c := range []*revocation.Checker{a.Checker, b} {
			settle(t, c)
			if _, known := c.Lookup(revocation.DigestOf("token")); !known {
				t.Error("no outcome")
			}
		}
		if _, err := a.Prefetch("another", time.Time{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "no outcome", func() bool { _, known := a.Lookup(revocation.DigestOf("another")); return known })
		unknown(t, b, "another")
	})
	t.Run("the circuit breaker", func(t *testing.T) {
		a := newGate(t, config.Revocation{})
		b := a.another(t)
		close(a.open)
		a.status.Store(http.StatusInternalServerError)
		for i := range 5 {
			says(t, a.Checker, fmt.Sprint("token ", i), unavailable)
		}
		unknown(t, b, "token")
		if _, resting := b.ProbeRecovery("token", time.Time{}); resting {
			t.Error("the other does not ask")
		}
		a.status.Store(http.StatusOK)
		says(t, b, "token", accept)
	})
	t.Run("queue and requests", func(t *testing.T) {
		a := newGate(t, config.Revocation{MaxConcurrent: 1})
		b := a.another(t)
		first := a.asks(t, "token")
		eventually(t, "it did not begin", func() bool { return a.inside.Load() == 1 })
		var err error
		for i := 0; err == nil; i++ {
			_, err = a.Acquire(fmt.Sprint("token ", i), time.Time{})
		}
		if !errors.Is(err, revocation.ErrBusy) {
			t.Fatal(err)
		}
		slot, err := b.Acquire("another", time.Time{})
		if err != nil {
			t.Fatalf("the other's queue: %v", err)
		}
		slot.Release()
		second := asks(t, b, "token") // a request of its own, and room for it
		eventually(t, "the other waits", func() bool { return a.inside.Load() == 2 })
		close(a.open)
		for _, said := range []<-chan verdict.Verdict{first, second} {
			if v := <-said; v.Kind != verdict.Accept {
				t.Errorf("got %s", v)
			}
		}
	})
}
