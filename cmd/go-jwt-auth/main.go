// Command go-jwt-auth helps with the Mosquitto plugin of that name: it checks jwt.json and tokens by the plugin's own code,
// looks at the identity provider, writes a first jwt.json, gets tokens, and plays a provider for trying things out.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/verdict"
)

// Exit codes. A script can tell "no" from "could not be told".
const (
	exitGood    = 0
	exitNo      = 1
	exitUnknown = 2
)

// errNo ends a command that has said its no already.
var errNo = errors.New("no")

// errUntold ends a command that has said already why it can't tell.
var errUntold = errors.New("untold")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &console{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// run is the program with its arguments and its console; it returns the exit code.
func run(ctx context.Context, args []string, c *console) int {
	root := newRoot(c)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, errNo):
		return exitNo
	case errors.Is(err, errUntold):
		return exitUnknown
	default:
		// Of several lines where it joins several errors.
		for i, line := range strings.Split(err.Error(), "\n") {
			if i == 0 {
				line = "go-jwt-auth: " + line
			}
			c.tell("%s\n", verdict.Line(line))
		}
		return exitUnknown
	}
}

// newRoot is the tree of commands.
func newRoot(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:   "go-jwt-auth",
		Short: "Check and set up token logins for Mosquitto",
		Long: `go-jwt-auth helps with the Mosquitto plugin go_jwt_auth.so: it checks jwt.json and tokens by the plugin's own code, looks at
the identity provider, writes a first jwt.json, gets tokens, and plays a provider for trying things out.

Exit codes: 0 good, 1 the answer is no (a bad file, a refused token, a provider that the plugin could not work with),
2 it could not be told, or the command line is wrong.`,
		Version:           plugin.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true, // the pages of one release are the same whenever they are made
		PersistentPreRunE: func(*cobra.Command, []string) error { return c.begin() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print one JSON object instead of text")
	root.PersistentFlags().StringVar(&c.colour, "color", "auto", "colours: auto (on terminals), always, never")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(newCheckConfig(c), newCheckToken(c), newProbe(c), newInit(c), newDevIDP(c), newToken(c), newDocs())
	return root
}
