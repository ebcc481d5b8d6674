package main

import (
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
	"go-jwt-auth/plugin/verdict"
)

func newOneClient(c *console) *cobra.Command {
	var r reach
	cmd := &cobra.Command{
		Use:   "client ID",
		Short: "Show all that is known about one client of a broker, and its rights",
		Long: `client asks the plugin in a running broker about one client: how and from where it came in, its token, until when it may stay, and
the rights that its token gives. The exit code is 1 if the broker has no client by that id.

` + loginHelp,
		Example: `  go-jwt-auth client sensor-1 --url mqtts://broker.example.com --token-file token.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.open(cmd, r)
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.GetSession(cmd.Context(), args[0])
			switch {
			case control.IsAnswer(err, control.NoSuchClient):
				return refusal{err}
			case err != nil:
				return err
			}
			c.showClient(s)
			return c.object(s)
		},
	}
	r.flags(cmd)
	return cmd
}

func (c *console) showClient(s control.SessionDetail) {
	now := c.clock()
	c.printf("client         %s\n", painted(word(s.ClientID).text))
	line := func(name string, value cell) {
		if value.text == "" || value.text == none {
			return
		}
		text := value.text
		if value.paint != nil {
			text = value.paint(text)
		}
		c.printf("  %-12s %s\n", painted(name), painted(text))
	}
	line("username", word(s.Username))
	line("address", word(s.Address))
	if s.Port > 0 {
		line("listener", cell{text: string(plain("port %d", s.Port))})
	}
	line("protocol", cell{text: string(plain("%s, %s", word(s.Transport).text, word(s.ProtocolVersion).text))})
	switch {
	case s.Connected:
		line("connected", c.moment(s.ConnectedAt, now))
	case s.DisconnectedAt > 0:
		line("away", cell{"since " + c.moment(s.DisconnectedAt, now).text, c.doubtful})
	default:
		line("away", cell{"yes", c.doubtful})
	}
	login := s.Login
	if s.EnhancedAuth {
		login += ", by enhanced authentication"
	}
	if s.Admin {
		login += "; an administrator"
	}
	line("login", phrase(login))
	line("provider", word(s.Token.Provider))
	line("sub", word(s.Token.Subject))
	line("jti", word(s.Token.JTI))
	line("token", word(s.Token.Hash))
	line("expires", c.moment(s.Token.Expires, now))
	leaves := c.moment(s.Token.LeavesAt, now)
	leaves.paint = c.leavesIn(s.Session, now).paint
	line("leaves", leaves)
	line("rechecked", c.moment(s.Token.RecheckAt, now))
	if s.Token.Renewals > 0 {
		line("renewals", cell{text: string(plain("%d", s.Token.Renewals))})
	}
	if s.KeepAlive != nil {
		line("keep alive", cell{text: string(plain("%d s", *s.KeepAlive))})
	}
	if s.CleanStart != nil {
		line("clean start", cell{text: string(plain("%t", *s.CleanStart))})
	}
	if s.Subscriptions != nil {
		line("subscribed", cell{text: counted(*s.Subscriptions, "filter")})
	}
	if s.Rights == nil {
		return
	}
	name := "rights"
	for _, rule := range s.Rights.Rules {
		c.printf("  %-12s %s\n", painted(name), rule)
		name = ""
	}
	if s.Rights.OnNoMatch == "defer" {
		c.printf("  %-12s what none of these is about is left to the next plugin or the ACL file\n", painted(name))
	} else {
		c.printf("  %-12s nothing else\n", painted(name))
	}
}

// moment is a time and how far away it is.
func (c *console) moment(d control.Date, now time.Time) cell {
	if d == 0 {
		return cell{text: none}
	}
	at := d.Time()
	away := "in " + verdict.Span(at.Sub(now))
	if at.Before(now) {
		away = verdict.Span(now.Sub(at)) + " ago"
	}
	return cell{text: at.Format(time.RFC3339) + ", " + away}
}
