package main

import (
	"math"
	"testing"
	"time"
)

// upTo is 1 ms, 2 ms, … n ms, the longest first.
func upTo(n int) (all []time.Duration) {
	for i := n; i > 0; i-- {
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	return all
}

func TestPercentilesAreNearestRanks(t *testing.T) {
	const gone = lost * time.Millisecond
	for _, c := range []struct {
		name    string
		all     []time.Duration
		percent int
		want    float64 // ms
	}{
		{"none", nil, 50, 0},
		{"one", upTo(1), 99, 1},
		{"even", upTo(10), 50, 5},
		{"odd", upTo(9), 50, 5},
		{"whole", upTo(200), 99, 198},
		{"rounded up", upTo(150), 99, 149},
		{"max", upTo(150), 100, 150},
		{"what is lost is the longest", append(upTo(98), gone, gone), 99, lost},
		{"what is lost is one of all", append(upTo(99), gone), 99, 99},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := percentile(c.all, c.percent); got != c.want {
				t.Errorf("p%d is %v, want %v", c.percent, got, c.want)
			}
		})
	}
}

func TestMedians(t *testing.T) {
	for _, c := range []struct {
		rounds series
		want   float64
		text   string
	}{
		{series{7}, 7, "7.0"},
		{series{3, 1, 2}, 2, "2.0 (1.0–3.0)"},
		{series{4, 1, 2, 3}, 2.5, "2.5 (1.0–4.0)"},
		{series{-0.01, -0.01}, -0.01, "0.0"},
		{series{lost, 1, lost}, lost, "lost (1.0–lost)"},
	} {
		if got := c.rounds.median(); got != c.want {
			t.Errorf("the median of %v is %v, want %v", c.rounds, got, c.want)
		}
		if got := c.rounds.text(1); got != c.text {
			t.Errorf("%v is shown as %q, want %q", c.rounds, got, c.text)
		}
	}
	if got := (series{}).median(); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

// A trial that failed in a later round has fewer rounds than what it is compared with.
func TestRoundsAreComparedOneByOne(t *testing.T) {
	if got := (series{10, 20, 30}).minus(series{1, 2}).text(0); got != "14 (9–18)" {
		t.Errorf("differences are %s", got)
	}
	if got := (series{10, 20}).over(series{5, 40, 1}).text(2); got != "1.25 (0.50–2.00)" {
		t.Errorf("ratios are %s", got)
	}
}
