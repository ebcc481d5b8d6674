// Command go-jwt-auth helps with the Mosquitto plugin of that name: it checks jwt.json and tokens by the plugin's own code,
// looks at the identity provider, writes a first jwt.json, gets tokens, plays a provider for trying things out, and asks a running
// broker who is connected.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin"
)

// Exit codes. A script can tell "no" from "could not be told".
const (
	exitGood    = 0
	exitNo      = 1
	exitUnknown = 2
)

// errNo ends a command that has said its no already.
var errNo = errors.New("no")

// refusal is a no that is still to be said.
type refusal struct{ error }

// errUntold ends a command that has said already why it can't tell.
var errUntold = errors.New("untold")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, startUp: 3 * time.Second})
	stop()
	os.Exit(code)
}

// run is the program with its arguments and its console; it returns the exit code. What can't be printed is no success.
func run(ctx context.Context, args []string, c *console) int {
	out := &sink{to: c.out}
	c.out = out
	root := newRoot(c)
	root.SetArgs(joinMay(args))
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("standard output: %w", out.err)
	}
	switch {
	case err == nil:
		return exitGood
	case errors.Is(err, errNo):
		return exitNo
	case errors.Is(err, errUntold):
		return exitUnknown
	default:
		code := exitUnknown
		if errors.As(err, new(refusal)) {
			code = exitNo
		}
		c.complain(root, args, err)
		return code
	}
}

// complain says what an error is: one line for each that was joined.
func (c *console) complain(root *cobra.Command, args []string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range joined.Unwrap() {
			c.complain(root, args, each)
		}
		return
	}
	hint := ""
	if strings.HasPrefix(err.Error(), "unknown command") {
		if near := root.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + strings.Join(near, " or ") + "?"
		}
	}
	c.tell("go-jwt-auth: %s%s\n", err, hint)
}

// newRoot is the tree of commands.
func newRoot(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:   "go-jwt-auth",
		Short: "Check and set up token logins for Mosquitto",
		Long: `go-jwt-auth helps with the Mosquitto plugin go_jwt_auth.so: it checks jwt.json and tokens by the plugin's own code, looks at
the identity provider, writes a first jwt.json, gets tokens, and plays a provider for trying things out. In a running broker it
shows who is connected and who was refused, and disconnects clients.

Exit codes: 0 good, 1 the answer is no (a bad file, a refused token, a provider that the plugin could not work with, no such
client), 2 it could not be told, or the command line is wrong.`,
		Version:       plugin.Version,
		SilenceErrors: true,
		// They would come as further lines of the error.
		DisableSuggestions: true, SuggestionsMinimumDistance: 2,
		SilenceUsage:      true,
		DisableAutoGenTag: true, // the pages of one release are the same whenever they are made
		PersistentPreRunE: func(*cobra.Command, []string) error { return c.begin() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print one JSON object instead of text (with --watch one a line)")
	root.PersistentFlags().StringVar(&c.colour, "color", "auto", "colours: auto (on terminals), always, never")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(newCheckConfig(c), newCheckToken(c), newProbe(c), newInit(c), newDevIDP(c), newToken(c), newDocs(), newRead(c))
	root.AddCommand(newClients(c), newOneClient(c), newRefusals(c), newStatus(c), newDisconnect(c), newBlocks(c), newUnblock(c), newUI(c))
	return root
}
