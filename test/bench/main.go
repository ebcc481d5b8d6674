// Command bench measures what logins by token cost, and what they do to everybody else. `make bench` builds the plugin and runs
// it; docs/performance.md says what is measured and how, and holds the figures of a whole run, which writes it.
//
// All trials of a part take turns, round by round, so that they meet the same machine and the same load generator. That generator
// and the provider share the processors with the broker: compare rows, not single figures with those of another tool.
//
// It exits with 0 only if everything could be measured and every goal was reached (or the machine was too busy for a
// judgement), with 1 otherwise, and with 130 after Ctrl-C, which waits for the trial under way.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"go-jwt-auth/test/brokers"
)

// options are the command line.
type options struct {
	rounds int
	window time.Duration // of one trial in one round
	only   string        // part of a trial's title
	quick  bool
	from   string // results of an earlier run, to write the document of
	into   string // the document
}

func main() {
	var o options
	seconds := flag.Float64("seconds", 1, "how long a storm of logins is measured in a round, in `s`; with bystanders 1.5 times as long")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured, in turn")
	flag.StringVar(&o.only, "only", "", "measure only what has this `text` in its title, such as \"2.1.2 login\", \"bystander\", \"onRetry, 100 ms\" or \"2.0.21\", and what that is compared with")
	flag.BoolVar(&o.quick, "quick", false, "one round of 0.3 s each, with fewer clients, to try things out")
	flag.StringVar(&o.from, "from", "", "measure nothing; write the document of the results in this `file`")
	flag.StringVar(&o.into, "o", "", "write the document to this `file`, with the plots beside it (default docs/performance.md for a whole run, else build/bench/performance.md)")
	flag.Parse()
	o.window = time.Duration(*seconds * float64(time.Second))
	if o.quick {
		o.rounds, o.window = 1, 300*time.Millisecond
	}
	if o.rounds < 1 || o.window < 10*pairInterval || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	passed, err := bench(ctx, o)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "Interrupted. Everything is stopped.")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !passed:
		os.Exit(1)
	}
}

// bench measures, or reads what was measured, writes the document, and tells whether all is as it should be.
func bench(ctx context.Context, o options) (passed bool, err error) {
	root, err := brokers.Root()
	if err != nil {
		return false, err
	}
	dir, document := filepath.Join(root, "build", "bench"), filepath.Join(root, "docs", "performance.md")
	var all *results
	if o.from != "" {
		all, err = readResults(o.from)
	} else {
		all, err = measure(ctx, root, o, filepath.Join(dir, "results.json"))
	}
	if err != nil {
		return false, err
	}
	into := o.into
	switch {
	case into != "":
	case all.Whole:
		into = document
	default:
		into = filepath.Join(dir, "performance.md")
	}
	if err := all.publish(document, into); err != nil {
		return false, err
	}
	fmt.Print(all.about(), "\n", all.goalTable(), "\n", all.failures())
	fmt.Println("The whole of it:", into)
	return all.passed(), nil
}

// measure runs all trials, part by part and round by round, and keeps the results in a file.
func measure(ctx context.Context, root string, o options, keep string) (*results, error) {
	begin := time.Now()
	fmt.Fprintln(os.Stderr, "making keys, tokens and the plugins to compare with")
	r, err := newRig(root, o.quick, os.Getenv("PEERS"))
	if err != nil {
		return nil, err
	}
	defer r.close()
	trials := choose(r.plan(o.window), o.only)
	if len(trials) == 0 {
		return nil, fmt.Errorf("bench: no title holds %q", o.only)
	}
	all := &results{When: begin, Machine: machine(), Source: source(root), Rounds: o.rounds, Window: o.window, Whole: o.only == "" && !o.quick}
	found := make([]*result, len(trials))
	for i, t := range trials {
		found[i] = &result{Version: t.version, Part: t.part, Name: t.name, Rounds: map[metric][]float64{}}
		all.Trials = append(all.Trials, found[i])
	}
	for from, to := 0, 0; from < len(trials); from = to {
		for to < len(trials) && trials[to].part == trials[from].part {
			to++
		}
		for round := range o.rounds {
			for n := range to - from {
				i := from + n
				if round%2 == 1 {
					i = to - 1 - n // the other way round, so that a machine that grows slower favours none
				}
				t := trials[i]
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if found[i].Failure != "" || t.rounds > 0 && round >= t.rounds {
					continue // what failed would only fail again
				}
				fmt.Fprintf(os.Stderr, "%4.0f s, round %d of %d: %s\n", time.Since(begin).Seconds(), round+1, o.rounds, t.title())
				s, failure := t.measure()
				if failure != "" {
					fmt.Fprintln(os.Stderr, "  failed; the report says why")
					found[i].Failure = failure
					continue
				}
				found[i].add(s)
			}
		}
		all.Lasted = time.Since(begin)
		if err := all.write(keep); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// plan is everything that can be measured, part by part.
func (r *rig) plan(window time.Duration) (all []trial) {
	all = append(all, trial{part: partLogin, name: primitives, reference: true, run: r.primitives})
	versions := brokers.All()
	for _, v := range versions {
		all = append(all, r.logins(v, window)...)
	}
	for _, v := range versions {
		all = append(all, r.bystanders(v, window*3/2)...)
	}
	for _, v := range versions {
		all = append(all, atMost(3, r.deliveries(v, window/2)...)...)
	}
	for _, v := range versions {
		all = append(all, atMost(3, r.renewals(v)...)...)
	}
	for _, v := range versions {
		all = append(all, atMost(3, r.endings(v))...)
	}
	for _, v := range versions {
		all = append(all, atMost(3, r.seeing(v, window*6)...)...)
	}
	for _, v := range versions {
		all = append(all, atMost(3, r.delays(v)...)...)
	}
	for _, v := range versions {
		all = append(all, r.starts(v)...)
	}
	for _, v := range versions {
		all = append(all, atMost(2, r.memory(v)...)...)
	}
	all = append(all, r.checks()...)
	return append(all, r.micro())
}

// atMost has trials that take long, or differ little from round to round, measured in no more rounds.
func atMost(rounds int, all ...trial) []trial {
	for i := range all {
		all[i].rounds = rounds
	}
	return all
}

// machine is what it is measured on.
func machine() string {
	model := "an unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close() //nolint:errcheck // it was only read
		for s := bufio.NewScanner(f); s.Scan(); {
			if name, value, _ := strings.Cut(s.Text(), ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
			}
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease") // empty if there is none
	kernel, _, _ := strings.Cut(string(release), "-")
	return fmt.Sprintf("%d processors (%s), Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(kernel), runtime.Version())
}

// source names what is measured as git does.
func source(root string) string {
	describe := exec.Command("git", "describe", "--always", "--dirty", "--tags")
	describe.Dir = root
	out, err := describe.Output()
	if err != nil {
		return "of no commit"
	}
	return "commit " + strings.TrimSpace(string(out))
}
