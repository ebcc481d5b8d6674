package main

import (
	"fmt"
	"strings"
)

// The goals that are judged. Costs are CPU per login of the broker's process, over an anonymous login's of the same round.
const (
	mostBusy       = 26   // µs
	mostRepeated   = 0.3  // P
	mostOverMap    = 6    // µs over the naive Go plugin's map
	leastRate      = 0.88 // of anonymous logins/s
	mostRS256      = 1.8  // P
	mostES256      = 3.3  // P
	mostEdDSA      = 2.9  // P
	mostBad        = 1.0  // of a good login
	mostRubbish    = 5    // µs
	mostHeader     = 75   // µs
	mostBystander  = 2.0  // × the anonymous storm's
	leastShare     = 0.8  // of the logins/s that the endpoint's delay leaves room for
	mostWait       = 10   // ms
	mostUntilGone  = 1000 // ms
	mostExpired    = 250  // ms
	mostPending    = 5    // ms
	mostInactive   = 100  // ms
	mostSession    = 400  // B
	mostIdleRSS    = 12   // MB
	mostStormed    = 40   // MB
	mostStart      = 100  // ms
	mostCheck20    = 1000 // ns
	mostCheck200   = 3000 // ns
	mostCheckAgain = 100  // ns
	mostOverFile   = 1.0  // × the ACL file's
	mostSeen       = 2.0  // × the storm's when nobody looks
	mostScraped    = 1.05 // × a login's CPU when nobody scrapes
)

// shareDelay is the endpoint's delay at which leastShare is asked.
const shareDelay = 100_000_000 // ns

// noisy is the idle pair's p99 from which on the machine is too busy for anything to be judged, in ms.
const noisy = 5

// goal is one thing that is asked, and what was found.
type goal struct {
	version  string // "": of none
	what     string
	found    series
	decimals int
	unit     string
	limit    float64
	least    bool // limit is the least, else the most
}

// asked is the goal in words: "≤ 0.3 P".
func (g goal) asked() string {
	sign := "≤"
	if g.least {
		sign = "≥"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %v %s", sign, g.limit, g.unit))
}

// measured tells whether there is anything to judge.
func (g goal) measured() bool { return len(g.found) > 0 }

// passed judges the median. What was not measured has not passed.
func (g goal) passed() bool {
	if g.least {
		return g.found.median() >= g.limit
	}
	return g.found.median() <= g.limit
}

// goals are all that is asked of what was measured.
func (r *results) goals() (all []goal) {
	for _, v := range r.versions() {
		all = append(all, r.goalsOf(v)...)
	}
	for _, c := range accessChecks {
		if found := r.get("", partCheck, c.name, perCheck); found != nil {
			all = append(all, goal{what: c.name, found: found, unit: "ns", limit: c.most})
		}
	}
	if found := r.get("", partMicro, benchmarks, perSession); found != nil {
		all = append(all, goal{what: "a session's entry, of 100,000", found: found, unit: "B", limit: mostSession})
	}
	if found := r.get("", partMicro, benchmarks, metricsRead).over(r.get("", partMicro, benchmarks, metricsOn)); len(found) > 0 {
		all = append(all, goal{what: "a login's CPU while metrics are read each 100 ms", found: found, decimals: 2, unit: "× while they are not", limit: mostScraped})
	}
	return all
}

func (r *results) goalsOf(v string) (all []goal) {
	add := func(g goal) {
		g.version = v
		all = append(all, g)
	}
	p := r.get("", partLogin, primitives, unit)
	over := func(name string) series { return r.overAnonymous(v, name) }
	if r.find(v, partLogin, anonymous) != nil {
		add(goal{what: keepsBusy + ": what it shows", found: over(keepsBusy), decimals: 1, unit: "µs", limit: mostBusy})
		all := r.get(v, partLogin, repeated, cpuAll)
		add(goal{what: repeated, found: over(repeated).over(p), decimals: 2, unit: "P", limit: mostRepeated})
		add(goal{what: repeated + ", over the " + naiveMap, found: all.minus(r.get(v, partLogin, naiveMap, cpuAll)), decimals: 1, unit: "µs", limit: mostOverMap})
		add(goal{
			what: repeatedRate, found: r.get(v, partLogin, repeated, rate).over(r.get(v, partLogin, anonymous, rate)),
			decimals: 2, unit: "× anonymous", limit: leastRate, least: true,
		})
		add(goal{what: rs256 + newToken, found: over(rs256 + newToken).over(p), decimals: 2, unit: "P", limit: mostRS256})
		add(goal{what: es256 + newToken, found: over(es256 + newToken).over(p), decimals: 2, unit: "P", limit: mostES256})
		add(goal{what: eddsa + newToken, found: over(eddsa + newToken).over(p), decimals: 2, unit: "P", limit: mostEdDSA})
		add(goal{what: badSignature, found: over(badSignature).over(over(keyFile)), decimals: 2, unit: "× a good login", limit: mostBad})
		add(goal{what: rubbish, found: over(rubbish), decimals: 1, unit: "µs", limit: mostRubbish})
		add(goal{what: header, found: over(header), decimals: 1, unit: "µs", limit: mostHeader})
	}
	storm := r.get(v, partBystander, anonymous, pairP99)
	for _, s := range r.scenarios(v) {
		name := s.title()
		if s.judged {
			add(goal{what: "bystander's p99, " + name, found: r.get(v, partBystander, name, pairP99).over(storm), decimals: 2, unit: "× anonymous storm's", limit: mostBystander})
		}
		if s.shares && s.delay == shareDelay {
			least := leastShare * manyWorkers / s.delay.Seconds()
			add(goal{what: "logins while the endpoint takes 100 ms, " + name, found: r.get(v, partBystander, name, rate), unit: "logins/s", limit: least, least: true})
		}
	}
	for _, way := range []string{oneToMany, oneToOne} {
		if r.find(v, partDelivery, way+rulesRights) != nil && r.find(v, partDelivery, way+rulesFile) != nil {
			add(goal{
				what: "a message, " + way + rulesRights, found: r.get(v, partDelivery, way+rulesRights, cpuDelivery).over(r.get(v, partDelivery, way+rulesFile, cpuDelivery)),
				decimals: 2, unit: "× an ACL file's", limit: mostOverFile,
			})
		}
	}
	for _, l := range lookings {
		if !l.on || r.find(v, partSeeing, l.name) == nil {
			continue
		}
		found := r.get(v, partSeeing, l.name, pairP99).over(r.get(v, partSeeing, nobodyOff, pairP99))
		add(goal{what: "bystander's p99, " + l.name, found: found, decimals: 2, unit: "× the same storm's", limit: mostSeen})
	}
	if r.find(v, partEndings, allTogether) != nil {
		add(goal{what: "a bystander's longest wait, " + allTogether, found: r.get(v, partEndings, allTogether, longestWait), decimals: 1, unit: "ms", limit: mostWait})
		add(goal{what: "all gone, " + allTogether, found: r.get(v, partEndings, allTogether, untilGone), unit: "ms", limit: mostUntilGone})
	}
	for _, d := range []struct {
		name string
		most float64
	}{{expired, mostExpired}, {pendingLogin, mostPending}, {foundInactive, mostInactive}} {
		if r.find(v, partDelays, d.name) != nil {
			add(goal{what: d.name, found: r.get(v, partDelays, d.name, delay), decimals: 1, unit: "ms", limit: d.most})
		}
	}
	more := func(part string, m metric) series {
		return r.get(v, part, withPlugin, m).minus(r.get(v, part, plainBroker, m))
	}
	if r.find(v, partStart, withPlugin) != nil {
		add(goal{what: "added to start-up", found: more(partStart, startTime), unit: "ms", limit: mostStart})
		add(goal{what: "added memory (RSS), idle", found: more(partStart, idleRSS), decimals: 1, unit: "MB", limit: mostIdleRSS})
	}
	if r.find(v, partMemory, withPlugin) != nil {
		add(goal{what: "added memory (RSS), after logins with distinct tokens", found: more(partMemory, stormedRSS), decimals: 1, unit: "MB", limit: mostStormed})
	}
	return all
}

// repeatedRate is the goal for the rate of logins.
const repeatedRate = repeated + ", logins/s"

// floor is the least that a plugin in Go can reach of a goal for logins, in the goal's unit: the way into Go and back, which the naive
// one shows, and the signature alone.
func (r *results) floor(v, what string) series {
	if what == repeatedRate {
		return r.get(v, partLogin, naiveMap, rate).over(r.get(v, partLogin, anonymous, rate))
	}
	least := r.overAnonymous(v, naiveMap)
	if alg, isNew := strings.CutSuffix(what, newToken); isNew {
		least = least.plus(r.get("", partLogin, primitives, verification(alg)))
	}
	return least.over(r.get("", partLogin, primitives, unit))
}

// scenarios are those of a version that were measured.
func (r *results) scenarios(version string) (all []scenario) {
	for _, v := range versionsByName(version) {
		for _, s := range scenarios(v) {
			if r.find(version, partBystander, s.title()) != nil {
				all = append(all, s)
			}
		}
	}
	return all
}

// overAnonymous is what a login costs over an anonymous one, in µs.
func (r *results) overAnonymous(version, name string) series {
	return r.get(version, partLogin, name, cpuAll).minus(r.get(version, partLogin, anonymous, cpuAll))
}

// quietness is the worst p99 that an idle pair had, by the median of its rounds, in ms; 0 if there was none.
func (r *results) quietness() (worst float64) {
	for _, t := range r.Trials {
		if t.Name == idle && len(t.Rounds[pairP99]) > 0 {
			worst = max(worst, series(t.Rounds[pairP99]).median())
		}
	}
	return worst
}

// tooNoisy tells whether the machine was too busy for a judgement.
func (r *results) tooNoisy() bool { return r.quietness() > noisy }

// passed tells whether everything was measured that was to be, and every goal was reached that can be judged.
func (r *results) passed() bool {
	for _, t := range r.Trials {
		if t.Failure != "" {
			return false
		}
	}
	if r.tooNoisy() {
		return true
	}
	for _, g := range r.goals() {
		if g.measured() && !g.passed() {
			return false
		}
	}
	return true
}
