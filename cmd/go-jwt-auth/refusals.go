package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
	"go-jwt-auth/plugin/verdict"
)

// refusalQuestion is what refusals is asked.
type refusalQuestion struct {
	reach
	provider, clientID, reason string
	since                      uint64
	watch                      bool
	every                      time.Duration
}

func (q refusalQuestion) matches(r control.Refusal) bool {
	return (q.provider == "" || q.provider == r.Provider) && (q.clientID == "" || q.clientID == r.ClientID) && (q.reason == "" || q.reason == r.Reason)
}

func newRefusals(c *console) *cobra.Command {
	var q refusalQuestion
	cmd := &cobra.Command{
		Use:   "refusals",
		Short: "List whom the plugin has refused lately, and why",
		Long: `refusals asks the plugin in a running broker for the logins and renewals that it has refused last: it keeps 256. docs/troubleshooting.md
says what to do about each reason. With --watch it goes on, a line for each.

` + loginHelp,
		Example: `  go-jwt-auth refusals --url mqtts://broker.example.com --token-file token.txt
  go-jwt-auth refusals --watch --reason 'bad signature'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.every < minEvery {
				return fmt.Errorf("--every: must be at least %s, found %s", minEvery, q.every)
			}
			client, err := c.open(cmd, q.reach)
			if err != nil {
				return err
			}
			defer client.Close()
			page, err := client.ListRefusals(cmd.Context(), q.since)
			if err != nil {
				return err
			}
			page.Refusals = slices.DeleteFunc(page.Refusals, func(r control.Refusal) bool { return !q.matches(r) })
			if q.watch {
				return c.watchRefusals(cmd.Context(), client, q, page)
			}
			if page.Refusals == nil {
				page.Refusals = []control.Refusal{}
			}
			c.tabulate(c.refusalTable(page.Refusals))
			c.printf("%s\n", counted(len(page.Refusals), "refusal"))
			return c.object(page)
		},
	}
	q.reach.flags(cmd)
	cmd.Flags().StringVar(&q.provider, "provider", "", "only those by this provider")
	cmd.Flags().StringVar(&q.clientID, "client-id", "", "only those of this client id")
	cmd.Flags().StringVar(&q.reason, "reason", "", "only those for this reason")
	cmd.Flags().Uint64Var(&q.since, "since", 0, "only those behind the one with this id")
	cmd.Flags().BoolVar(&q.watch, "watch", false, "go on, and show those that come")
	cmd.Flags().DurationVar(&q.every, "every", time.Second, "how often --watch asks")
	return cmd
}

func (c *console) refusalTable(all []control.Refusal) table {
	providers := slices.ContainsFunc(all, func(r control.Refusal) bool { return r.Provider != "" })
	t := table{head: []string{"TIME", "CLIENT ID", "ADDRESS"}}
	if providers {
		t.head = append(t.head, "PROVIDER")
	}
	t.head = append(t.head, "TOKEN", "REFUSED")
	for _, r := range all {
		row := []cell{{text: r.Time.Time().Format(time.DateTime)}, word(r.ClientID), word(r.Address)}
		if providers {
			row = append(row, word(r.Provider))
		}
		t.rows = append(t.rows, append(row, word(tokenName(r)), c.because(r)))
	}
	return t
}

// tokenName is what names the token of a refusal best.
func tokenName(r control.Refusal) string {
	switch {
	case r.Subject != "":
		return r.Subject
	case r.JTI != "":
		return r.JTI
	}
	return r.Hash
}

func (c *console) because(r control.Refusal) cell {
	text := r.Reason
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	if r.About == "renewal" {
		text = "renewal: " + text
	}
	return phrase(text)
}

// watchRefusals prints what is there and what comes.
func (c *console) watchRefusals(ctx context.Context, client *control.Client, q refusalQuestion, page control.RefusalPage) error {
	lost := false
	for last := page.LastID; ; {
		for _, r := range page.Refusals {
			if q.matches(r) {
				c.refusal(r)
			}
		}
		if err := c.outErr(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(q.every):
		}
		var err error
		if page, err = client.ListRefusals(ctx, last); err == nil && page.LastID < last {
			page, err = client.ListRefusals(ctx, 0) // the broker has been started again, and counts anew
		}
		switch {
		case err == nil:
			last = page.LastID
		case ctx.Err() != nil || !control.Passes(err):
			return uninterrupted(ctx, err)
		case !lost:
			c.tell("%s\n", c.bad.of("connection lost: %s", verdict.Phrase(err.Error())))
		}
		lost = err != nil
	}
}

// refusal prints one as a line.
func (c *console) refusal(r control.Refusal) {
	if c.json {
		c.jsonLine(r)
		return
	}
	about := details(
		detail{"address", r.Address}, detail{"username", r.Username}, detail{"provider", r.Provider}, detail{"sub", r.Subject}, detail{"jti", r.JTI}, detail{"token", r.Hash},
	)
	c.printf("%s %s%s: %s\n", r.Time.Time().Format(time.RFC3339), painted(word(r.ClientID).text), painted(about), c.bad.of("%s", c.because(r).text))
}
