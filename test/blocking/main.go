// Command blocking measures whether logins stop the broker: while 32 clients log in without pause, against an identity
// provider that is fast, slow or silent, two connected clients exchange messages, and what counts is how long those take.
// `make bench-blocking` builds the plugin and runs it.
//
// It prints Markdown: the figures, and below them the criteria with PASS or FAIL. It exits with 0 only if every scenario
// ran and every criterion passed, with 1 otherwise, and with 130 after Ctrl-C, which waits for the scenario under way.
//
// All scenarios take turns in one process, several rounds of them, so that they meet the same machine and the same load
// generator. That generator and the provider share the processors with the broker: compare rows, not single figures with
// those of another tool.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/harness"
)

// options are the command line.
type options struct {
	rounds int
	window time.Duration // of one scenario in one round
	only   string        // part of a scenario's title
}

func main() {
	var o options
	seconds := flag.Float64("seconds", 5, "how long each scenario is measured in a round, in `s`, 20 at most")
	flag.IntVar(&o.rounds, "rounds", 3, "how often all scenarios are measured, in turn")
	flag.StringVar(&o.only, "only", "", "measure only scenarios with this `text` in their title, such as \"2.1.2\", \"onRetry\" or \"onRetry, 100 ms\", and what they are compared with")
	flag.Parse()
	o.window = time.Duration(*seconds * float64(time.Second))
	// A subscriber that hears nothing for harness.Patience is given up, which is not to come before the storm has ended.
	if o.rounds < 1 || o.window < pairInterval || o.window > harness.Patience-patient || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	os.Exit(bench(ctx, os.Stdout, os.Stderr, o))
}

// bench measures, reports to out, tells on progress what it is doing, and returns the exit code.
func bench(ctx context.Context, out, progress io.Writer, o options) int {
	provider, err := idp.Start()
	if err != nil {
		fmt.Fprintln(progress, err)
		return 1
	}
	defer func() { _ = provider.Close() }() // nothing depends on how it ends
	// What the endpoint thinks of a token is not measured, so its answer is to cost next to nothing.
	provider.SetAnswer(idp.Introspect, &idp.Answer{
		Header: map[string][]string{"Content-Type": {"application/json"}},
		Body:   `{"active":true}`,
	})
	tokens := newTokens(provider)

	scenarios := choose(allScenarios(), o.only)
	if len(scenarios) == 0 {
		fmt.Fprintf(progress, "blocking: no scenario's title holds %q\n", o.only)
		return 1
	}
	results := make([]result, len(scenarios))
	for round := range o.rounds {
		for i, s := range scenarios {
			if ctx.Err() != nil {
				fmt.Fprintln(progress, "Interrupted. Everything is stopped.")
				return 130
			}
			fmt.Fprintf(progress, "round %d of %d: %s\n", round+1, o.rounds, s.title())
			results[i].scenario = s
			if len(results[i].failures) > 0 {
				continue // it would only fail again
			}
			if failure := measure(provider, tokens, s, o.window, &results[i]); failure != "" {
				fmt.Fprintln(progress, "  failed; the report says why")
				results[i].failures = append(results[i].failures, failure)
			}
		}
	}
	if !report(out, results, o) {
		return 1
	}
	return 0
}
