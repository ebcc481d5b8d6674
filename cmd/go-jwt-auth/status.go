package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
)

func newStatus(c *console) *cobra.Command {
	var r reach
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the plugin in a broker and its providers are",
		Long: `status asks the plugin in a running broker about itself: version, reloads, how many clients there are, and of each provider its keys and
the endpoint that says whether a token has been revoked. The exit code is 1 if a provider is not ready, that is if it has no keys to
judge a login by.

` + loginHelp,
		Example: `  go-jwt-auth status --url mqtts://broker.example.com --token-file token.txt`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.open(cmd, r)
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.GetStatus(cmd.Context())
			if err != nil {
				return err
			}
			c.showStatus(s)
			if err := c.object(s); err != nil {
				return err
			}
			if slices.ContainsFunc(s.Providers, func(p control.ProviderStatus) bool { return !p.Ready }) {
				return errNo
			}
			return nil
		},
	}
	r.flags(cmd)
	return cmd
}

func (c *console) showStatus(s control.Status) {
	now := c.clock()
	in := ""
	if s.Broker.Version != "" {
		in = " in Mosquitto " + s.Broker.Version
	}
	c.printf("go_jwt_auth %s%s, started %s\n", s.Version, in, painted(c.moment(s.StartedAt, now).text))
	clients := fmt.Sprintf("%s: %d connected, %d by token", counted(s.Sessions.All, "client"), s.Sessions.Connected, s.Sessions.Token)
	if !s.Broker.Complete {
		clients += " (the broker does not tell of all)"
	}
	c.printf("  clients     %s\n", clients)
	c.printf("  logins      %d accepted, %s, %d pending, %d queued\n", s.Logins, c.count(s.Refusals, "refused"), s.Pending, s.Queued)
	if s.Blocks > 0 {
		c.printf("  blocks      %d\n", s.Blocks)
	}
	file := string(plain("%s", s.ConfigFile))
	if s.Reloads.Count > 0 {
		file += ", " + counted(s.Reloads.Count, "reload")
		if s.Reloads.LastAt > 0 {
			file += ", the last " + c.moment(s.Reloads.LastAt, now).text
		}
	}
	c.printf("  file        %s\n", painted(file))
	if s.Reloads.LastError != "" {
		c.printf("              %s\n", c.bad.of("✗ the last reload failed: %s", s.Reloads.LastError))
	}
	if !s.Broker.Ticks {
		c.printf("  %s\n", c.doubtful.of("! this Mosquitto does not call the plugin regularly: see docs/limits.md"))
	}
	for _, p := range s.Providers {
		c.showProviderStatus(p, now)
	}
}

// count is a number that is coloured unless it is 0.
func (c *console) count(n int, what string) painted {
	if n == 0 {
		return plain("0 %s", what)
	}
	return c.doubtful.of("%d %s", n, what)
}

// modeOf is what a provider is, in a few words.
func modeOf(p control.ProviderStatus) string {
	parts := []string{"mode " + p.Mode}
	if len(p.Algorithm) > 0 {
		parts = append(parts, "algorithm "+strings.Join(p.Algorithm, ", "))
	}
	if len(p.Issuers) > 0 {
		parts = append(parts, "issuer "+strings.Join(p.Issuers, ", "))
	}
	for _, of := range []string{p.Listener, p.Instance} {
		if of != "" {
			parts = append(parts, "of "+of)
		}
	}
	return strings.Join(parts, ", ")
}

func (c *console) showProviderStatus(p control.ProviderStatus, now time.Time) {
	ready := ""
	if !p.Ready {
		ready = ": it is not ready, and logins by its tokens fail"
	}
	c.printf("%s provider %s (%s), %s%s\n", c.mark(p.Ready), cmp.Or(p.Name, "without a name"), modeOf(p), counted(p.Sessions, "client"), ready)
	keys := counted(p.Keys.Count, "key")
	if p.Keys.Endpoint != "" {
		keys += " from " + p.Keys.Endpoint
	}
	if p.Keys.LastSuccess > 0 {
		keys += ", read " + c.moment(p.Keys.LastSuccess, now).text
	}
	c.printf("    keys        %s\n", keys)
	if p.Keys.Stale {
		c.printf("                %s\n", c.doubtful.of("! they are old: the endpoint gives no new ones"))
	}
	if p.Keys.Error != "" {
		c.printf("                %s\n", c.bad.of("✗ %s", p.Keys.Error))
	}
	r := p.Revocation
	if r == nil {
		return
	}
	c.printf("    revocation  %s, %s\n", r.Endpoint, r.Check)
	asked := fmt.Sprintf("%d in flight, %d queued", r.InFlight, r.Queued)
	if l := r.Latency; l != nil && l.Count > 0 {
		asked += fmt.Sprintf("; half of the last %d took up to %.3g ms, 99 %% up to %.3g ms", l.Count, l.P50, l.P99)
	}
	if r.LastSuccess > 0 {
		asked += "; last answer " + c.moment(r.LastSuccess, now).text
	}
	c.printf("                %s\n", asked)
	if r.Breaker != "" && r.Breaker != "closed" {
		c.printf("                %s\n", c.bad.of("✗ the circuit breaker is %s: the endpoint is being left alone", r.Breaker))
	}
	if r.Error != "" {
		c.printf("                %s\n", c.bad.of("✗ %s", r.Error))
	}
}
