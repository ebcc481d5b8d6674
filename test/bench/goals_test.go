package main

import (
	"strings"
	"testing"

	"go-jwt-auth/test/brokers"
)

// measured are results of the oldest broker, as part, name, metric, and rounds.
func measured(all ...any) *results {
	r := &results{}
	for i := 0; i < len(all); i += 4 {
		part, name := all[i].(string), all[i+1].(string)
		version := brokers.All()[0].Name
		if name == primitives || part == partMicro {
			version = ""
		}
		t := r.find(version, part, name)
		if t == nil {
			t = &result{Version: version, Part: part, Name: name, Rounds: map[metric][]float64{}}
			r.Trials = append(r.Trials, t)
		}
		t.Rounds[all[i+2].(metric)] = all[i+3].(series)
	}
	return r
}

// atBounds are logins that just reach all goals, where P is 30 µs, but for those that are given.
func atBounds(but ...any) *results {
	return measured(append([]any{
		partLogin, primitives, unit,
		series{30, 30, 30},
		partLogin, anonymous, cpuAll,
		series{20, 40, 20},
		partLogin, anonymous, rate,
		series{10000, 5000, 10000},
		partLogin, keepsBusy, cpuAll,
		series{46, 66, 46},
		partLogin, naiveMap, cpuAll,
		series{23, 43, 23},
		partLogin, repeated, cpuAll,
		series{29, 49, 29},
		partLogin, repeated, rate,
		series{8800, 4400, 8800},
		partLogin, rs256 + newToken, cpuAll,
		series{74, 94, 74},
		partLogin, es256 + newToken, cpuAll,
		series{119, 139, 119},
		partLogin, eddsa + newToken, cpuAll,
		series{107, 127, 107},
		partLogin, keyFile, cpuAll,
		series{70, 90, 70},
		partLogin, badSignature, cpuAll,
		series{70, 90, 70},
		partLogin, rubbish, cpuAll,
		series{25, 45, 25},
		partLogin, header, cpuAll,
		series{95, 115, 95},
	}, but...)...)
}

func TestTheGoals(t *testing.T) {
	afterConnect := "afterConnect, 100 ms"
	for _, c := range []struct {
		name    string
		results *results
		want    string // a letter for each goal: P, F, or - if it was not measured
	}{
		{"all at their bounds, whatever the machine did in one round", atBounds(), "PPPPPPPPPP"},
		{"the rig itself", atBounds(partLogin, keepsBusy, cpuAll, series{47, 67, 47}), "FPPPPPPPPP"},
		{"a repeated token", atBounds(partLogin, repeated, cpuAll, series{30, 50, 30}), "PFFPPPPPPP"},
		{"over the map alone", atBounds(partLogin, naiveMap, cpuAll, series{22, 42, 22}), "PPFPPPPPPP"},
		{"logins/s", atBounds(partLogin, repeated, rate, series{8700, 4300, 8700}), "PPPFPPPPPP"},
		{"new tokens", atBounds(
			partLogin, rs256+newToken, cpuAll, series{75, 95, 75},
			partLogin, es256+newToken, cpuAll, series{120, 140, 120},
			partLogin, eddsa+newToken, cpuAll, series{108, 128, 108}), "PPPPFFFPPP"},
		{"refusals", atBounds(
			partLogin, badSignature, cpuAll, series{71, 91, 71},
			partLogin, rubbish, cpuAll, series{26, 46, 26},
			partLogin, header, cpuAll, series{96, 116, 96}), "PPPPPPPFFF"},
		{"only some", measured(partLogin, anonymous, cpuAll, series{20}), "----------"},
		{"bystanders at their bounds", measured(
			partBystander, anonymous, pairP99, series{5, 1},
			partBystander, afterConnect, pairP99, series{10, 2},
			partBystander, afterConnect, rate, series{256, 256}), "PP"},
		{"bystanders wait", measured(
			partBystander, anonymous, pairP99, series{5, 1},
			partBystander, afterConnect, pairP99, series{10, 2.1},
			partBystander, afterConnect, rate, series{255, 255}), "FF"},
		{"a bystander's message is lost", measured(
			partBystander, anonymous, pairP99, series{5},
			partBystander, "afterConnect, 0 ms", pairP99, series{lost}), "F"},
		{"without the anonymous storm", measured(partBystander, "afterConnect, 0 ms", pairP99, series{5}), "-"},
		{"ways around that are not judged", measured(
			partBystander, anonymous, pairP99, series{5},
			partBystander, "onRetry, 0 ms", pairP99, series{500}), ""},
		{"ends", measured(
			partEndings, allTogether, longestWait, series{10, 11, 9},
			partEndings, allTogether, untilGone, series{1001, 1001, 1}), "PF"},
		{"memory and start", measured(
			partStart, plainBroker, startTime, series{10}, partStart, withPlugin, startTime, series{111},
			partStart, plainBroker, idleRSS, series{8}, partStart, withPlugin, idleRSS, series{20},
			partMemory, plainBroker, stormedRSS, series{9}, partMemory, withPlugin, stormedRSS, series{49.1}), "FPF"},
		{"sessions", measured(partMicro, benchmarks, perSession, series{401}), "F"},
		{"who looks", measured(
			partSeeing, nobodyOff, pairP99, series{1, 2}, partSeeing, nobodyOn, pairP99, series{2, 4}, partSeeing, "list", pairP99, series{2, 4.1},
			partSeeing, scrapedOften, pairP99, series{1, 2}), "PFP"},
		{"metrics are read", measured(partMicro, benchmarks, metricsOn, series{4000, 2000}, partMicro, benchmarks, metricsRead, series{4200, 2100}), "P"},
		{"metrics are read, and logins pay", measured(partMicro, benchmarks, metricsOn, series{4000, 2000}, partMicro, benchmarks, metricsRead, series{4300, 2100}), "F"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got strings.Builder
			for _, g := range c.results.goals() {
				switch {
				case !g.measured():
					got.WriteByte('-')
				case g.passed():
					got.WriteByte('P')
				default:
					got.WriteByte('F')
				}
			}
			if got.String() != c.want {
				t.Errorf("%q, want %q:\n%s", got.String(), c.want, c.results.goalTable())
			}
			if passed := c.results.passed(); passed == strings.Contains(c.want, "F") {
				t.Errorf("passed: %v", passed)
			}
		})
	}
}

func TestOnANoisyMachineNothingIsJudged(t *testing.T) {
	quiet := measured(partBystander, idle, pairP99, series{4, 5, 100}, partMicro, benchmarks, perSession, series{401})
	if quiet.passed() || quiet.tooNoisy() || !strings.Contains(quiet.goalTable(), "FAIL") {
		t.Errorf("not judged:\n%s", quiet.goalTable())
	}
	noisy := measured(partBystander, idle, pairP99, series{4, 5.1, 100}, partMicro, benchmarks, perSession, series{401})
	table := noisy.goalTable()
	if !noisy.passed() || !noisy.tooNoisy() || strings.Contains(table, "FAIL") || strings.Contains(table, "PASS") {
		t.Errorf("judged:\n%s", table)
	}
	if !strings.Contains(noisy.about(), "too busy") {
		t.Errorf("it does not say why: %s", noisy.about())
	}
	noisy.Trials[0].Failure = "no such key"
	if noisy.passed() || !strings.Contains(noisy.failures(), "no such key") {
		t.Error("what can't be measured is not a failure")
	}
}

func TestTheProseStays(t *testing.T) {
	const before = "prose\n<!-- bench: a -->\nold\n<!-- /bench -->\nmore\n<!-- bench: b -->\n<!-- /bench -->\n"
	got, err := fill(before, "a", "| new |\n")
	want := "prose\n<!-- bench: a -->\n\n| new |\n\n<!-- /bench -->\nmore\n<!-- bench: b -->\n<!-- /bench -->\n"
	if err != nil || got != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	if again, err := fill(got, "a", "| new |\n"); err != nil || again != want {
		t.Errorf("the second time: %q (%v)", again, err)
	}
	if got, err := fill(before, "c", ""); err == nil {
		t.Errorf("a place that is not there was filled: %q", got)
	}
}

// With P = 30 µs, the way into Go and back takes 3 µs.
func TestTheFloors(t *testing.T) {
	r := atBounds(
		partLogin, primitives, verification(es256), series{75, 75, 75},
		partLogin, primitives, verification(eddsa), series{60, 60, 60},
		partLogin, naiveMap, rate, series{9000, 4500, 9000},
	)
	want := `| what | goal | ` + brokers.All()[0].Name + ` |
|---|---|--:|
| repeated token | ≤ 0.3 P | 0.10 |
| repeated token, logins/s | ≥ 0.88 × anonymous | 0.90 |
| RS256, new token | ≤ 1.8 P | 1.10 |
| ES256, new token | ≤ 3.3 P | 2.60 |
| EdDSA, new token | ≤ 2.9 P | 2.10 |
`
	if got := r.floorTable(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := measured().floorTable(); got != "" {
		t.Errorf("of nothing: %s", got)
	}
}
