package revocation

import (
	"errors"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
)

// A client that waits for longer than the window finds nothing, however often it comes: that must be known.
func TestAnAnswerThatWasKeptInVain(t *testing.T) {
	now := time.Unix(1_795_446_000, 0)
	a, err := newAhead(&config.Revocation{RetryWindow: 10 * time.Second, Cache: config.AnswerCache{MaxEntries: 1}}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	begin := func(rule string, ask, wasted bool) {
		t.Helper()
		if gotAsk, gotWasted := a.begin("token"); gotAsk != ask || gotWasted != wasted {
			t.Errorf("%s: ask %t, wasted %t; want %t, %t", rule, gotAsk, gotWasted, ask, wasted)
		}
	}
	good := Answer{answered: answered{active: true}}
	begin("the first attempt", true, false)
	begin("while it is asked", false, false)
	a.put("token", good, time.Time{})
	begin("within the window", false, false)
	now = now.Add(10 * time.Second)
	begin("after it, unused", true, true)
	a.put("token", good, time.Time{})
	if _, known := a.take("token"); !known {
		t.Error("the answer is not there")
	}
	now = now.Add(10 * time.Second)
	begin("after it, used", true, false)
	a.put("token", Answer{err: errors.New("down")}, time.Time{})
	if _, known := a.take("token"); !known {
		t.Error("that there was none is not told")
	}
	begin("after a failure that was told", true, false)
}
