package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
)

// maxBlock is the contract's, maxReason as well.
const (
	maxBlock  = 24 * time.Hour
	maxReason = 256
)

// expulsion is what disconnect is asked for.
type expulsion struct {
	reach
	target control.Target
	block  time.Duration
	reason string
	yes    bool
}

func newDisconnect(c *console) *cobra.Command {
	var x expulsion
	cmd := &cobra.Command{
		Use:   "disconnect",
		Short: "Disconnect clients of a broker, and keep them out for a while",
		Long: `disconnect has the plugin in a running broker disconnect clients: the one with a client id, or all with a username, or all whose token is
of a provider, for a subject (sub), or the one that a jti names. It shows who that is and asks, unless told --yes.

Clients connect again by themselves. --block refuses the same provider and subject (or jti) meanwhile; it ends by itself, by
"go-jwt-auth unblock", or when the broker is started again. Who came in without a token can't be blocked, and a whole provider neither. With
--sub or --jti a block counts as well if nobody is connected by that. What ends a token for good is the provider.

The exit code is 1 if nobody was disconnected or blocked, or the question was answered with no.

` + loginHelp,
		Example: `  go-jwt-auth disconnect --client-id sensor-1 --token-file token.txt
  go-jwt-auth disconnect --provider employees --sub jdoe --block 10m --reason 'laptop stolen' --yes --token-file token.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"client-id", "username", "sub", "jti", "provider"} {
				if cmd.Flags().Changed(name) && cmd.Flag(name).Value.String() == "" { // a script's variable: the rest may be far more clients
					return fmt.Errorf("--%s: it is empty", name)
				}
			}
			if err := x.misused(c); err != nil {
				return err
			}
			client, err := c.open(cmd, x.reach)
			if err != nil {
				return err
			}
			defer client.Close()
			if !x.yes {
				if err := c.mayExpel(cmd, client, x); err != nil {
					return err
				}
			}
			d, err := client.Disconnect(cmd.Context(), x.target, x.block, x.reason)
			var said *control.AnswerError
			switch {
			case control.IsAnswer(err, control.NoSuchClient):
				return refusal{err}
			case errors.As(err, &said):
				return err
			case err != nil && control.Passes(err):
				return fmt.Errorf("it may have happened or not: %w", err)
			case err != nil:
				return err
			}
			text := counted(d.Disconnected, "client") + " disconnected"
			if d.BlockedUntil > 0 {
				text += fmt.Sprintf(", %d blocked until %s", d.Blocked, d.BlockedUntil.Time().Format(time.RFC3339))
			}
			hit := d.Disconnected > 0 || d.Blocked > 0 || d.BlockedUntil > 0
			c.printf("%s %s\n", c.mark(hit), text)
			if err := c.object(d); err != nil {
				return err
			}
			if !hit {
				return errNo
			}
			return nil
		},
	}
	x.reach.flags(cmd)
	cmd.Flags().StringVar(&x.target.ClientID, "client-id", "", "the client with this id")
	cmd.Flags().StringVar(&x.target.Username, "username", "", "all with this username")
	cmd.Flags().StringVar(&x.target.Subject, "sub", "", "all whose token is for this subject")
	cmd.Flags().StringVar(&x.target.JTI, "jti", "", "whoever has shown the token with this jti")
	cmd.Flags().StringVar(&x.target.Provider, "provider", "", "all of this provider; with --username, --sub or --jti: of those only its own")
	cmd.Flags().DurationVar(&x.block, "block", 0, "keep them out for so long, as in 10m (1s to 24h)")
	cmd.Flags().StringVar(&x.reason, "reason", "", "why, for the broker's log and the audit trail")
	cmd.Flags().BoolVar(&x.yes, "yes", false, "don't ask")
	return cmd
}

// misused is what is wrong with the command line.
func (x expulsion) misused(c *console) error {
	t, given := x.target, 0
	for _, each := range []string{t.ClientID, t.Username, t.Subject, t.JTI} {
		if each != "" {
			given++
		}
	}
	switch {
	case given == 0 && t.Provider == "":
		return errors.New("whom? --client-id, --username, --sub, --jti or --provider")
	case given > 1:
		return errors.New("only one of --client-id, --username, --sub and --jti")
	case t.ClientID != "" && t.Provider != "":
		return errors.New("--provider goes with --username, --sub or --jti: a client id is one client's")
	case x.block != 0 && given == 0:
		return errors.New("--block: a whole provider can't be blocked")
	case x.block != 0 && (x.block < time.Second || x.block > maxBlock || x.block%time.Second != 0):
		return fmt.Errorf("--block: must be whole seconds from 1s to 24h, found %s", x.block)
	case len(x.reason) > maxReason:
		return fmt.Errorf("--reason: must have at most %d bytes, found %d", maxReason, len(x.reason))
	case x.yes:
		return nil
	case c.json:
		return errors.New("--json needs --yes: there is no room for the question")
	case x.usesInput():
		return errors.New("standard input is taken: --yes, as nobody can be asked")
	}
	if in, is := c.in.(*os.File); is && !isatty.IsTerminal(in.Fd()) {
		return errors.New("nobody can be asked: --yes, or run it on a terminal")
	}
	return nil
}

// hits tells whether a session is what the command is about, as the plugin judges it.
func (x expulsion) hits(s control.Session) bool {
	t := x.target
	return s.Connected && (t.ClientID == "" || t.ClientID == s.ClientID) && (t.Username == "" || t.Username == s.Username) &&
		(t.Provider == "" || t.Provider == s.Token.Provider) && (t.Subject == "" || t.Subject == s.Token.Subject) && (t.JTI == "" || t.JTI == s.Token.JTI)
}

// shownBefore is how many are shown before the question.
const shownBefore = 10

// mayExpel shows whom it would hit and asks. nil is a yes.
func (c *console) mayExpel(cmd *cobra.Command, client *control.Client, x expulsion) error {
	roster, err := client.Roster(cmd.Context())
	if err != nil {
		return err
	}
	var hit []control.Session
	for _, s := range roster.All() {
		if x.hits(s) {
			hit = append(hit, s)
		}
	}
	canBlock := x.block > 0 && cmp.Or(x.target.Subject, x.target.JTI) != ""
	if len(hit) == 0 && !canBlock {
		c.printf("%s nobody is connected by that\n", c.mark(false))
		return errNo
	}
	if len(hit) > 0 {
		c.tabulate(c.clientTable(hit[:min(len(hit), shownBefore)]))
		if len(hit) > shownBefore {
			c.printf("… and %d more\n", len(hit)-shownBefore)
		}
	}
	question := "Disconnect " + counted(len(hit), "client")
	switch {
	case len(hit) == 0:
		question = "Nobody is connected by that. Block it for " + x.block.String()
	case x.block > 0:
		question += " and block them for " + x.block.String()
	}
	if yes := c.confirm(cmd.Context(), question); !yes {
		c.tell("nothing is done\n")
		return errNo
	}
	if x.target.ClientID == "" || len(hit) == 0 {
		return nil // a name of all who have it, whoever they are
	}
	if _, err := roster.Update(cmd.Context()); err != nil {
		return err
	}
	for _, s := range roster.All() {
		if x.hits(s) && s.Whose() != hit[0].Whose() {
			c.tell("this client id is another's now than the one that was shown: nothing is done\n")
			return errNo
		}
	}
	return nil
}

// confirm asks a question. Only y or yes is a yes; an interruption is a no.
func (c *console) confirm(ctx context.Context, question string) (yes bool) {
	c.tell("%s? [y/N] ", question)
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.in).ReadString('\n') // what can't be read is a no
		lines <- line
	}()
	select {
	case <-ctx.Done():
		c.tell("\n")
		return false
	case line := <-lines:
		if !strings.HasSuffix(line, "\n") {
			c.tell("\n")
		}
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes"
	}
}
