package main

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
)

// blockList is what blocks prints.
type blockList struct {
	Blocks []control.Block `json:"blocks"`
}

func newBlocks(c *console) *cobra.Command {
	var r reach
	cmd := &cobra.Command{
		Use:   "blocks",
		Short: "List whom \"disconnect --block\" keeps out of a broker",
		Long: `blocks asks the plugin in a running broker whom it keeps out by "go-jwt-auth disconnect --block", by whose command, and until when.

` + loginHelp,
		Example: `  go-jwt-auth blocks --url mqtts://broker.example.com --token-file token.txt`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.open(cmd, r)
			if err != nil {
				return err
			}
			defer client.Close()
			all, err := client.ListBlocks(cmd.Context())
			if err != nil {
				return err
			}
			t := table{head: []string{"ID", "PROVIDER", "WHO", "UNTIL", "BY", "REASON"}}
			now := c.clock()
			for _, b := range all {
				who := word(b.Subject)
				switch {
				case b.JTI != "":
					who = cell{text: "jti " + word(b.JTI).text}
				case b.Hash != "":
					who = cell{text: "token " + word(b.Hash).text}
				}
				t.rows = append(t.rows, []cell{
					{text: strconv.FormatUint(b.ID, 10)}, word(b.Provider), who, c.moment(b.Until, now), word(b.By), phrase(cmp.Or(b.Reason, none)),
				})
			}
			if len(all) > 0 {
				c.tabulate(t)
			}
			c.printf("%s\n", counted(len(all), "block"))
			if all == nil {
				all = []control.Block{}
			}
			return c.object(blockList{all})
		},
	}
	r.flags(cmd)
	return cmd
}

// unblocked is what unblock prints.
type unblocked struct {
	Removed int `json:"removed"`
}

func newUnblock(c *console) *cobra.Command {
	var r reach
	cmd := &cobra.Command{
		Use:   "unblock ID",
		Short: "End a block of \"disconnect --block\"",
		Long: `unblock lets somebody in again that "go-jwt-auth disconnect --block" keeps out. "go-jwt-auth blocks" has the ids. The exit code is 1 if there is
no such block (any more).

` + loginHelp,
		Example: `  go-jwt-auth unblock 3 --url mqtts://broker.example.com --token-file token.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("the id of a block is a number, found %q", args[0])
			}
			client, err := c.open(cmd, r)
			if err != nil {
				return err
			}
			defer client.Close()
			err = client.RemoveBlock(cmd.Context(), id)
			switch {
			case control.IsAnswer(err, control.NoSuchBlock):
				return refusal{err}
			case err != nil:
				return err
			}
			c.printf("%s block %s is ended\n", c.mark(true), args[0])
			return c.object(unblocked{1})
		},
	}
	r.flags(cmd)
	return cmd
}
