package main

import (
	"slices"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	c := costs{login: 100 * time.Microsecond, client: 10}
	got := c.size(1_000_000, 5*time.Minute)
	if got.logins < 3333 || got.logins > 3334 || got.share < 0.333 || got.share > 0.334 || !got.enough {
		t.Errorf("%+v", got)
	}
	if got.memory != 10 || got.storm != 100*time.Second || got.rechecks < 16666 || got.rechecks > 16667 {
		t.Errorf("%+v", got)
	}
	if got.calls < 6666 || got.calls > 6667 { // a token for each, and a question about it
		t.Errorf("%+v", got)
	}
	if half := got.shareOf(50 * time.Microsecond); half < 0.166 || half > 0.167 {
		t.Errorf("renewals of half the cost take %v", half)
	}
	if c.login = 151 * time.Microsecond; c.size(1_000_000, 5*time.Minute).enough {
		t.Error("one broker is enough for more than half of its thread")
	}
}

func TestReconnectStorms(t *testing.T) {
	const login = time.Millisecond
	last := func(r reconnect) time.Duration { return r.after(1) }
	// The broker keeps up with those that come.
	if got := simulate(1000, time.Minute, login); len(got) != 1000 || last(got) > time.Minute+time.Second || last(got) < 50*time.Second {
		t.Errorf("1,000 within a minute are back after %v", last(got))
	}
	// Those that are there at once fit into the backlog, and are served one by one.
	if got := simulate(backlog, 0, login); last(got) != backlog*login || got.after(0.5) != backlog/2*login || got.share(backlog/2*login) != 0.5 {
		t.Errorf("as many as the backlog holds: half after %v, all after %v", got.after(0.5), last(got))
	}
	// The next one is dropped, and comes when its SYN is sent again.
	if got := simulate(backlog+2, 0, login); last(got) != firstSYN+login {
		t.Errorf("one more than it holds, and the one that is served: all after %v", last(got))
	}
	// However many come, all are back, and no sooner than the broker can serve them.
	got := simulate(20_000, time.Second, login)
	if len(got) != 20_000 || last(got) < 20*time.Second || !slices.IsSorted(got) {
		t.Errorf("%d are back after %v", len(got), last(got))
	}
	if got.share(0) != 0 || got.share(last(got)) != 1 {
		t.Error("shares do not go from none to all")
	}
}
