package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/test/brokers"
)

// sample is what one run of a trial has measured: a number for each metric.
type sample map[metric]float64

// metric is the name of a number, with its unit.
type metric string

// trial is one thing to be measured, once a round, with a broker of its own.
type trial struct {
	version   string // Mosquitto's; "": it needs no broker
	part      string
	name      string
	reference bool // others of its part and version are compared with it
	rounds    int  // at most, 0: as many as the others
	run       func(st *stand) sample
}

// title names the trial: "2.0.11 login: RS256, new".
func (t trial) title() string { return strings.TrimSpace(t.version + " " + t.part + ": " + t.name) }

// measure runs the trial once, and returns what it measured or what went wrong.
func (t trial) measure() (s sample, failure string) {
	st := &stand{}
	defer func() {
		st.end()
		failure = strings.Join(st.trouble, "\n")
	}()
	st.guard(func() { s = t.run(st) })
	return s, failure
}

// choose keeps the trials with text in their title and what these are compared with. Versions between the oldest and the newest
// are measured only if text names them.
func choose(all []trial, text string) (chosen []trial) {
	versions := brokers.All()
	common := []string{"", versions[0].Name, versions[len(versions)-1].Name}
	wanted := func(t trial) bool {
		return strings.Contains(t.title(), text) && (slices.Contains(common, t.version) || strings.Contains(text, t.version))
	}
	for _, t := range all {
		compared := t.reference && slices.ContainsFunc(all, func(other trial) bool {
			return wanted(other) && other.part == t.part && (other.version == t.version || t.version == "")
		})
		if wanted(t) || compared {
			chosen = append(chosen, t)
		}
	}
	return chosen
}

// results are all that a run has measured, as they are kept in build/bench/results.json.
type results struct {
	When    time.Time     `json:"when"`
	Lasted  time.Duration `json:"lasted"`
	Machine string        `json:"machine"`
	Source  string        `json:"source"` // git's name of what was measured
	Rounds  int           `json:"rounds"`
	Window  time.Duration `json:"window"`
	Whole   bool          `json:"whole"` // nothing was left out
	Trials  []*result     `json:"trials"`
}

// result is what all rounds of a trial have measured.
type result struct {
	Version string               `json:"version"`
	Part    string               `json:"part"`
	Name    string               `json:"name"`
	Rounds  map[metric][]float64 `json:"rounds"` // the numbers of a metric, by round
	Failure string               `json:"failure"`
}

func (r *result) title() string { return trial{version: r.Version, part: r.Part, name: r.Name}.title() }

// add takes in a round.
func (r *result) add(s sample) {
	for m, value := range s {
		r.Rounds[m] = append(r.Rounds[m], value)
	}
}

// find returns a trial's result, or nil if it was not measured.
func (r *results) find(version, part, name string) *result {
	for _, t := range r.Trials {
		if t.Version == version && t.Part == part && t.Name == name && len(t.Rounds) > 0 {
			return t
		}
	}
	return nil
}

// get are the rounds of one metric, nil if there are none.
func (r *results) get(version, part, name string, m metric) series {
	if t := r.find(version, part, name); t != nil {
		return t.Rounds[m]
	}
	return nil
}

// of are the results of a part, in order.
func (r *results) of(part string) (all []*result) {
	for _, t := range r.Trials {
		if t.Part == part {
			all = append(all, t)
		}
	}
	return all
}

// versions are Mosquitto's that something was measured with, oldest first.
func (r *results) versions() (all []string) {
	for _, v := range brokers.All() {
		if slices.ContainsFunc(r.Trials, func(t *result) bool { return t.Version == v.Name }) {
			all = append(all, v.Name)
		}
	}
	return all
}

func (r *results) write(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return os.WriteFile(path, text, 0o600)
}

func readResults(path string) (*results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r := &results{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", path, err)
	}
	return r, nil
}
