package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The criteria.
const (
	mostRatio  = 2.0                    // the pair's p99 to that in the anonymous storm of the same broker
	leastShare = 0.8                    // of the logins/s that the delay leaves room for
	shareDelay = 100 * time.Millisecond // the delay at which that is asked
)

// lateAfter is the latency from which on a message is called late.
const lateAfter = time.Second

// result is what all rounds of a scenario measured.
type result struct {
	scenario
	tally
	latencies []time.Duration // of the pair
	measured  time.Duration
	failures  []string // why it could not be measured
}

// add takes in one round.
func (r *result) add(latencies []time.Duration, storming tally, window time.Duration) {
	r.latencies = append(r.latencies, latencies...)
	r.tally.add(storming)
	r.measured += window
}

// percentile is the least latency that percent of all do not exceed (the nearest rank), or lost where there are none.
func (r *result) percentile(percent int) time.Duration {
	if len(r.latencies) == 0 {
		return lost
	}
	sorted := slices.Sorted(slices.Values(r.latencies))
	return sorted[max((len(sorted)*percent+99)/100, 1)-1]
}

// count is how many messages were lost, and how many came, but late.
func (r *result) count() (gone, late int) {
	for _, l := range r.latencies {
		switch {
		case l == lost:
			gone++
		case l > lateAfter:
			late++
		}
	}
	return gone, late
}

// perSecond is n as a rate.
func (r *result) perSecond(n int) float64 {
	if r.measured == 0 {
		return 0
	}
	return float64(n) / r.measured.Seconds()
}

// ratio is the p99 to that of the anonymous storm: infinite if one of the two is not to be had.
func (r *result) ratio(results []result) float64 {
	for i := range results {
		reference := results[i].percentile(99)
		if results[i].name != anonymous || results[i].version.Name != r.version.Name || reference == lost {
			continue
		}
		if p99 := r.percentile(99); p99 != lost {
			return float64(p99) / float64(reference)
		}
	}
	return math.Inf(1)
}

// criterion is one thing that is asked of a scenario.
type criterion struct {
	about, asked, found string
	passed              bool
}

// judge returns a criterion for everything that is asked of the results, and for every scenario that was not measured.
func judge(results []result) (all []criterion) {
	for i := range results {
		r := &results[i]
		if len(r.failures) > 0 {
			all = append(all, criterion{about: r.title(), asked: "is measured", found: "failed, see below"})
		}
		if !r.judged {
			continue
		}
		ratio := r.ratio(results)
		all = append(all, criterion{
			r.title(), fmt.Sprintf("p99 at most %.1f × the anonymous storm's", mostRatio), times(ratio), ratio <= mostRatio,
		})
		if r.throughput && r.delay == shareDelay {
			least := leastShare * stormClients / r.delay.Seconds()
			rate := r.perSecond(r.logins)
			all = append(all, criterion{
				r.title(), fmt.Sprintf("at least %.0f logins/s (%.1f × %d / delay)", least, leastShare, stormClients),
				fmt.Sprintf("%.0f", rate), rate >= least,
			})
		}
	}
	return all
}

// report writes the figures and the criteria, and returns whether all passed.
func report(w io.Writer, results []result, o options) (passed bool) {
	fmt.Fprintf(w, `%d clients log in without pause, each with a token of its own, and wait %d ms after a login that failed. A pair of
connected clients exchanges a message with QoS 0 every %d ms. "delay" is the introspection endpoint's; p50, p99 and max
are the pair's from publish to receipt, cut off by the end of the storm after %v; "ratio" is the p99 to that in the
anonymous storm, and late is what took more than %v. Every scenario was measured in each of %d rounds, in turn, on %d
processors, which the load generator shares.

`, stormClients, retryPause.Milliseconds(), pairInterval.Milliseconds(), o.window, lateAfter, o.rounds, runtime.NumCPU())
	table(w, results)
	passed = criteria(w, judge(results))
	for i := range results {
		notes(w, &results[i])
	}
	return passed
}

func table(w io.Writer, results []result) {
	fmt.Fprintln(w, "| Mosquitto | scenario | delay, ms | logins/s | attempts/s | p50, ms | p99, ms | max, ms | ratio | lost | late | of |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for i := range results {
		r := &results[i]
		if r.measured == 0 {
			fmt.Fprintf(w, "| %s | %s | %s | failed | | | | | | | | |\n", r.version, r.name, r.delayColumn())
			continue
		}
		logins, attempts := "–", "–"
		if r.storm {
			logins, attempts = fmt.Sprintf("%.0f", r.perSecond(r.logins)), fmt.Sprintf("%.0f", r.perSecond(r.attempts))
		}
		gone, late := r.count()
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %d | %d | %d |\n",
			r.version, r.name, r.delayColumn(), logins, attempts,
			ms(r.percentile(50)), ms(r.percentile(99)), ms(r.percentile(100)), times(r.ratio(results)), gone, late, len(r.latencies))
	}
}

// criteria returns whether all passed.
func criteria(w io.Writer, all []criterion) (passed bool) {
	passed = true
	fmt.Fprint(w, "\n| scenario | criterion | found | |\n|---|---|--:|---|\n")
	for _, c := range all {
		verdict := "PASS"
		if !c.passed {
			passed, verdict = false, "FAIL"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", c.about, c.asked, c.found, verdict)
	}
	return passed
}

// notes tells what went wrong in a scenario.
func notes(w io.Writer, r *result) {
	for _, failure := range r.failures {
		fmt.Fprintf(w, "\n%s failed:\n\n```\n%s\n```\n", r.title(), strings.TrimSpace(failure))
	}
	if r.errors > 0 {
		fmt.Fprintf(w, "\n%s: %d logins did not get as far as CONNECT, the last with: %v\n", r.title(), r.errors, r.err)
	}
}

// delayColumn is the endpoint's delay in ms; there is no endpoint without the plugin.
func (s scenario) delayColumn() string {
	switch {
	case !s.plugin:
		return "–"
	case s.delay == never:
		return "never"
	default:
		return fmt.Sprint(s.delay.Milliseconds())
	}
}

func ms(d time.Duration) string {
	if d == lost {
		return "lost"
	}
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}

func times(ratio float64) string {
	if math.IsInf(ratio, 1) {
		return "–"
	}
	return fmt.Sprintf("%.2f", ratio)
}
