package revocation

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
)

// A client that waits for longer than the window finds nothing, however often it comes: that must be known.
func TestAnAnswerThatWasNeverTaken(t *testing.T) {
	now := time.Unix(1_795_446_000, 0)
	p, err := newPrefetched(&config.Revocation{RetryWindow: 10 * time.Second, Cache: config.AnswerCache{MaxEntries: 1}}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	begin := func(rule string, ask, unused bool) {
		t.Helper()
		if gotAsk, gotUnused := p.begin(DigestOf("token")); gotAsk != ask || gotUnused != unused {
			t.Errorf("%s: ask %t, unused %t; want %t, %t", rule, gotAsk, gotUnused, ask, unused)
		}
	}
	good := Answer{response: response{active: true}}
	begin("the first attempt", true, false)
	begin("while it is asked", false, false)
	p.put(DigestOf("token"), good, time.Time{})
	begin("within the window", false, false)
	now = now.Add(10 * time.Second)
	begin("after it, unused", true, true)
	p.put(DigestOf("token"), good, time.Time{})
	if _, known := p.take(DigestOf("token")); !known {
		t.Error("the answer is not there")
	}
	now = now.Add(10 * time.Second)
	begin("after it, used", true, false)
	p.put(DigestOf("token"), Answer{err: errors.New("down")}, time.Time{})
	if _, known := p.take(DigestOf("token")); !known {
		t.Error("that there was none is not told")
	}
	begin("after a failure that was told", true, false)
}

// Whatever strangers send between a client's attempt and its retry pushes out neither its answer nor that it is being asked.
func TestStrangersPushOutNoAnswerThatSomebodyWaitsFor(t *testing.T) {
	const strangers = 10_508 + minPrefetched
	now := time.Unix(1_795_446_000, 0)
	p, err := newPrefetched(&config.Revocation{RetryWindow: 10 * time.Second, Cache: config.AnswerCache{MaxEntries: 100}}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	p.begin(DigestOf("waiting"))
	p.begin(DigestOf("good"))
	p.put(DigestOf("good"), Answer{response: response{active: true}}, time.Time{})
	for i := range strangers {
		token := fmt.Sprint("stranger ", i)
		if ask, _ := p.begin(DigestOf(token)); !ask {
			t.Fatal("a stranger's token is not asked about")
		}
		said := Answer{}
		if i%2 == 0 {
			said.err = errors.New("answered 400")
		}
		p.put(DigestOf(token), said, time.Time{})
	}
	if said, known := p.take(DigestOf("good")); !known || !said.active {
		t.Errorf("the good answer: known %t, active %t", known, said.active)
	}
	if ask, _ := p.begin(DigestOf("waiting")); ask {
		t.Error("what is under way is asked about again")
	}
	if n := p.others.Len(); n > minPrefetched {
		t.Errorf("%d answers to strangers are kept", n)
	}
}

// An answer that speaks for a token is only ever the last one, even where another question, that of a recheck, is answered
// between the answer of this one and its being put.
func TestAnAnswerThatWasOvertakenIsNotPut(t *testing.T) {
	now := time.Unix(1_795_446_000, 0)
	p, err := newPrefetched(&config.Revocation{RetryWindow: 10 * time.Second, Cache: config.AnswerCache{MaxEntries: 1}}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule    string
		answers []bool // active or not, the first that of the question whose answer is put
		kept    bool
	}{
		{"alone", []bool{true}, true},
		{"found inactive since", []bool{true, false}, false},
		{"and active again", []bool{true, false, true}, true},
	} {
		if ask, _ := p.begin(DigestOf(c.rule)); !ask {
			t.Fatalf("%s: it is not asked about", c.rule)
		}
		for _, active := range c.answers {
			p.observe(DigestOf(c.rule), active)
		}
		p.put(DigestOf(c.rule), Answer{response: response{active: true}}, time.Time{})
		if _, kept := p.take(DigestOf(c.rule)); kept != c.kept {
			t.Errorf("%s: kept: %t, want %t", c.rule, kept, c.kept)
		}
		if ask, _ := p.begin(DigestOf(c.rule)); ask == c.kept {
			t.Errorf("%s: the next attempt asks: %t", c.rule, ask)
		}
	}
}
