package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
)

// upTo is 1 ms, 2 ms, … n ms, the longest first.
func upTo(n int) (all []time.Duration) {
	for i := n; i > 0; i-- {
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	return all
}

func TestPercentilesAreNearestRanks(t *testing.T) {
	for _, c := range []struct {
		name      string
		latencies []time.Duration
		percent   int
		want      time.Duration
	}{
		{"none", nil, 50, lost},
		{"one", upTo(1), 99, time.Millisecond},
		{"even", upTo(10), 50, 5 * time.Millisecond},
		{"odd", upTo(9), 50, 5 * time.Millisecond},
		{"whole", upTo(200), 99, 198 * time.Millisecond},
		{"rounded up", upTo(150), 99, 149 * time.Millisecond},
		{"max", upTo(150), 100, 150 * time.Millisecond},
		{"what is lost is the longest", append(upTo(98), lost, lost), 99, lost},
		{"what is lost is one of all", append(upTo(99), lost), 99, 99 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := result{latencies: c.latencies}
			if got := r.percentile(c.percent); got != c.want {
				t.Errorf("p%d is %v, want %v", c.percent, got, c.want)
			}
		})
	}
}

func TestRoundsArePooled(t *testing.T) {
	var r result
	r.add([]time.Duration{time.Millisecond, lost}, tally{attempts: 20, logins: 10}, 2*time.Second)
	r.add([]time.Duration{2 * time.Second}, tally{attempts: 4, logins: 2}, time.Second)
	if got := r.perSecond(r.logins); got != 4 {
		t.Errorf("%v logins/s, want 4", got)
	}
	if got := r.perSecond(r.attempts); got != 8 {
		t.Errorf("%v attempts/s, want 8", got)
	}
	if gone, late := r.count(); gone != 1 || late != 1 {
		t.Errorf("%d lost and %d late, want one of each", gone, late)
	}
	if got := r.percentile(50); got != 2*time.Second {
		t.Errorf("p50 is %v, want 2s", got)
	}
}

// measured is a scenario's result with this p99 and logins/s.
func measured(s scenario, p99 time.Duration, logins int) result {
	return result{scenario: s, latencies: []time.Duration{p99}, tally: tally{logins: logins}, measured: time.Second}
}

func TestTheCriteria(t *testing.T) {
	v := brokers.Version{Name: "2.1.2"}
	other := brokers.Version{Name: "2.0.11"}
	reference := measured(scenario{version: v, name: anonymous}, 5*time.Millisecond, 3000)
	bounded := scenario{version: v, name: "x", plugin: true, judged: true, throughput: true, delay: shareDelay}
	unbounded := bounded
	unbounded.throughput = false
	slow := bounded
	slow.delay = 2 * time.Second
	unjudged := scenario{version: v, name: "x", plugin: true, delay: shareDelay}
	for _, c := range []struct {
		name    string
		results []result
		want    string // a letter for each criterion: P or F
	}{
		{"both at the bound", []result{reference, measured(bounded, 10*time.Millisecond, 256)}, "PP"},
		{"the pair waits", []result{reference, measured(bounded, 11*time.Millisecond, 320)}, "FP"},
		{"too few logins", []result{reference, measured(bounded, time.Millisecond, 255)}, "PF"},
		{"no bound for logins", []result{reference, measured(unbounded, time.Millisecond, 0)}, "P"},
		{"no bound at this delay", []result{reference, measured(slow, time.Millisecond, 0)}, "P"},
		{"not judged", []result{reference, measured(unjudged, time.Minute, 0)}, ""},
		{"lost", []result{reference, measured(unbounded, lost, 0)}, "F"},
		{"the reference was lost", []result{measured(reference.scenario, lost, 0), measured(unbounded, time.Millisecond, 0)}, "F"},
		{"no reference", []result{measured(unbounded, time.Millisecond, 0)}, "F"},
		{"another broker's reference", []result{measured(scenario{version: other, name: anonymous}, time.Second, 0), measured(unbounded, time.Millisecond, 0)}, "F"},
		{"the right reference", []result{measured(scenario{version: other, name: anonymous}, 0, 0), reference, measured(unbounded, time.Millisecond, 0)}, "P"},
		{"did not run", []result{reference, {scenario: bounded, failures: []string{"no such key"}}}, "FFF"},
		{"not judged, did not run", []result{reference, {scenario: unjudged, failures: []string{"no such key"}}}, "F"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got strings.Builder
			for _, criterion := range judge(c.results) {
				if criterion.passed {
					got.WriteByte('P')
				} else {
					got.WriteByte('F')
				}
			}
			if got.String() != c.want {
				t.Errorf("%q, want %q", got.String(), c.want)
			}
			var out bytes.Buffer
			if passed := report(&out, c.results, options{}); passed == strings.Contains(c.want, "F") {
				t.Errorf("passed: %v\n%s", passed, &out)
			}
			for _, r := range c.results {
				for _, failure := range r.failures {
					if !strings.Contains(out.String(), failure) {
						t.Errorf("%q is not told in:\n%s", failure, &out)
					}
				}
			}
		})
	}
}
