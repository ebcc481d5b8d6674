package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
	"go-jwt-auth/plugin/verdict"
)

// clientList is what clients prints.
type clientList struct {
	// TotalCount counts those that the broker has, Sessions are those that were asked for.
	TotalCount int               `json:"totalCount"`
	Complete   bool              `json:"complete"`
	Incomplete string            `json:"incomplete,omitempty"`
	Sessions   []control.Session `json:"sessions"`
}

// clientChange is a line of clients --watch --json.
type clientChange struct {
	Time time.Time `json:"time"`
	// Event is present (at the start), connected, changed, away, ended, lost or back.
	Event   string           `json:"event"`
	Session *control.Session `json:"session,omitempty"`
	// Error is why the connection to the broker is lost.
	Error string `json:"error,omitempty"`
}

// clientQuestion is what clients is asked.
type clientQuestion struct {
	reach
	filter clientFilter
	sort   string
	watch  bool
	every  time.Duration
}

// clientFilter says which clients are meant; what is empty says nothing.
type clientFilter struct {
	provider, username, login string
	connected                 bool
}

func (f clientFilter) matches(s control.Session) bool {
	return (f.provider == "" || f.provider == s.Token.Provider) && (f.username == "" || f.username == s.Username) &&
		(f.login == "" || f.login == s.Login) && (!f.connected || s.Connected)
}

// logins are how a client can have come in.
var logins = []string{"token", "password", "certificate", "anonymous", "unknown"}

// order compares two clients.
type order = func(a, b control.Session) int

// orders are the values of --sort; "came" is the plugin's own.
var orders = map[string]order{
	"came":      nil,
	"client-id": func(a, b control.Session) int { return cmp.Compare(a.ClientID, b.ClientID) },
	"username":  func(a, b control.Session) int { return cmp.Compare(a.Username, b.Username) },
	"address":   func(a, b control.Session) int { return cmp.Compare(a.Address, b.Address) },
	"login":     func(a, b control.Session) int { return cmp.Compare(a.Login, b.Login) },
	"provider":  func(a, b control.Session) int { return cmp.Compare(a.Token.Provider, b.Token.Provider) },
	// Who leaves next comes first, who does not leave last.
	"leaves": func(a, b control.Session) int { return cmp.Compare(leavesOrNever(a), leavesOrNever(b)) },
}

func leavesOrNever(s control.Session) control.Date {
	if s.Token.LeavesAt == 0 || !s.Connected {
		return 1 << 60
	}
	return s.Token.LeavesAt
}

func names[T any](of map[string]T) []string {
	var all []string
	for name := range of {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func newClients(c *console) *cobra.Command {
	var q clientQuestion
	cmd := &cobra.Command{
		Use:   "clients",
		Short: "List who is connected to a broker, by which login, and until when",
		Long: `clients asks the plugin in a running broker who is connected, who is away with a session that the broker keeps, how each came in,
and when those that came by a token have to leave. The login must be an administrator's: options.control.admins of jwt.json.

With --watch it goes on: on a terminal the list is drawn again, elsewhere each change is a line. A connection to the broker that
ends is made again; the token file is read anew for that.

` + loginHelp,
		Example: `  go-jwt-auth clients --url mqtts://broker.example.com --token-file token.txt
  go-jwt-auth clients --url mqtts://broker.example.com --admin ops --password-file secret.txt --login token --sort leaves
  go-jwt-auth clients --watch --json | jq 'select(.event == "connected")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, known := orders[q.sort]; !known {
				return fmt.Errorf("--sort: must be one of %s, found %q", strings.Join(names(orders), ", "), q.sort)
			}
			if q.filter.login != "" && !slices.Contains(logins, q.filter.login) {
				return fmt.Errorf("--login: must be one of %s, found %q", strings.Join(logins, ", "), q.filter.login)
			}
			if q.every < minEvery {
				return fmt.Errorf("--every: must be at least %s, found %s", minEvery, q.every)
			}
			client, err := c.open(cmd, q.reach)
			if err != nil {
				return err
			}
			defer client.Close()
			if q.watch {
				return c.watchClients(cmd.Context(), client, q)
			}
			roster, err := client.Roster(cmd.Context())
			if err != nil {
				return err
			}
			return c.listClients(roster, q)
		},
	}
	q.reach.flags(cmd)
	cmd.Flags().StringVar(&q.filter.provider, "provider", "", "only those whose token is of this provider")
	cmd.Flags().StringVar(&q.filter.username, "username", "", "only those with this username")
	cmd.Flags().StringVar(&q.filter.login, "login", "", "only those that came in by "+strings.Join(logins, ", "))
	cmd.Flags().BoolVar(&q.filter.connected, "connected", false, "leave out those that are away")
	cmd.Flags().StringVar(&q.sort, "sort", "came", "the order: "+strings.Join(names(orders), ", "))
	cmd.Flags().BoolVar(&q.watch, "watch", false, "go on, and show what changes")
	cmd.Flags().DurationVar(&q.every, "every", time.Second, "how often --watch asks")
	_ = cmd.RegisterFlagCompletionFunc("login", cobra.FixedCompletions(logins, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(names(orders), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// minEvery bounds what a watch costs the broker.
const minEvery = 200 * time.Millisecond

// chosen are the sessions that were asked for, in the order that was asked for.
func (q clientQuestion) chosen(r *control.Roster) []control.Session {
	chosen := slices.DeleteFunc(r.All(), func(s control.Session) bool { return !q.filter.matches(s) })
	if by := orders[q.sort]; by != nil {
		slices.SortStableFunc(chosen, by)
	}
	return chosen
}

func (c *console) listClients(r *control.Roster, q clientQuestion) error {
	chosen := q.chosen(r)
	c.tabulate(c.clientTable(chosen))
	c.printf("%s\n", clientCount(chosen, r.Len()))
	if !r.Complete {
		c.printf("%s\n", c.doubtful.of("! not all may be here: %s", cmp.Or(r.Incomplete, "the broker does not tell of all.")))
	}
	return objectWith(c, clientList{r.Len(), r.Complete, r.Incomplete, []control.Session{}}, chosen)
}

func clientCount(chosen []control.Session, all int) painted {
	away := 0
	for _, s := range chosen {
		if !s.Connected {
			away++
		}
	}
	text := counted(len(chosen), "client")
	if away > 0 {
		text += fmt.Sprintf(", %d of them away", away)
	}
	if len(chosen) < all {
		text += fmt.Sprintf(" (of %d)", all)
	}
	return plain("%s", text)
}

// counted is "1 client", "2 clients".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *console) clientTable(sessions []control.Session) table {
	providers := slices.ContainsFunc(sessions, func(s control.Session) bool { return s.Token.Provider != "" })
	t := table{head: []string{"CLIENT ID", "USERNAME", "ADDRESS", "LOGIN"}}
	if providers {
		t.head = append(t.head, "PROVIDER")
	}
	t.head = append(t.head, "CONNECTED", "LEAVES IN")
	now := c.clock()
	for _, s := range sessions {
		row := []cell{word(s.ClientID), word(s.Username), word(s.Address), word(loginText(s))}
		if providers {
			row = append(row, word(s.Token.Provider))
		}
		row = append(row, connectedFor(s, now), c.leavesIn(s, now))
		if !s.Connected {
			for i := range row {
				row[i].paint = c.faint
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func loginText(s control.Session) string {
	if s.Admin {
		return s.Login + ",admin"
	}
	return s.Login
}

// connectedFor says since when a client is connected or away.
func connectedFor(s control.Session, now time.Time) cell {
	switch {
	case !s.Connected && s.DisconnectedAt == 0:
		return cell{text: "away"}
	case !s.Connected:
		return cell{text: "away " + span(now, s.DisconnectedAt)}
	case s.ConnectedAt == 0:
		return cell{text: "yes"}
	}
	return cell{text: span(now, s.ConnectedAt)}
}

// leavesSoon is when who has to leave is shown in another colour.
const leavesSoon = time.Minute

func (c *console) leavesIn(s control.Session, now time.Time) cell {
	if s.Token.LeavesAt == 0 || !s.Connected {
		return cell{text: none}
	}
	left := s.Token.LeavesAt.Time().Sub(now)
	if left < leavesSoon {
		return cell{verdict.Span(max(left, 0)), c.doubtful}
	}
	return cell{text: verdict.Span(left)}
}

// span is how long ago something was, by this machine's clock.
func span(now time.Time, then control.Date) string { return verdict.Span(max(now.Sub(then.Time()), 0)) }

func (c *console) watchClients(ctx context.Context, client *control.Client, q clientQuestion) error {
	var err error
	if _, _, terminal := c.terminal(); terminal && !c.json {
		err = c.redrawClients(ctx, client, q)
	} else {
		err = c.followClients(ctx, client, q)
	}
	return uninterrupted(ctx, err)
}

// uninterrupted is err, unless ctx has ended: whoever interrupts a watch has seen enough.
func uninterrupted(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// What a terminal is told (ECMA-48; the second screen is xterm's).
const (
	secondScreen = "\x1b[?1049h\x1b[?25l"
	firstScreen  = "\x1b[?25h\x1b[?1049l"
	home         = "\x1b[H"
	clearLine    = "\x1b[K\n"
	clearBelow   = "\x1b[J"
)

// redrawClients draws the list again and again, on the terminal's second screen.
func (c *console) redrawClients(ctx context.Context, client *control.Client, q clientQuestion) error {
	suspended := make(chan os.Signal, 1)
	signal.Notify(suspended, syscall.SIGCONT)
	defer signal.Stop(suspended)
	entered := false
	defer func() {
		if entered {
			c.printf("%s", painted(firstScreen))
		}
	}()
	return client.Watch(ctx, q.every, func(r *control.Roster, _ []control.Change, lost error) error {
		select {
		case <-suspended:
			entered = false
		default:
		}
		if !entered {
			c.printf("%s", painted(secondScreen))
			entered = true
		}
		c.draw(r, q, lost)
		return c.outErr()
	})
}

// outErr is what has gone wrong with standard output.
func (c *console) outErr() error {
	if s, is := c.out.(*sink); is {
		return s.err
	}
	return nil
}

// draw draws as much of the list as there is room for.
func (c *console) draw(r *control.Roster, q clientQuestion, lost error) {
	columns, rows, _ := c.terminal()
	chosen := q.chosen(r)
	foot := []painted{painted(fit(string(clientCount(chosen, r.Len())), columns))}
	if !r.Complete {
		foot = append(foot, c.doubtful.of("%s", fit(string(plain("! not all may be here: %s", r.Incomplete)), columns)))
	}
	if lost != nil {
		foot = append(foot, c.bad.of("%s", fit(string(plain("✗ as of before: %s", lost)), columns)))
	}
	room := max(rows-len(foot)-2, 1) // the head, and the line of the cursor
	shown := chosen
	if len(shown) > room {
		shown = shown[:room]
		foot[0] = painted(fit(string(foot[0])+fmt.Sprintf(", the first %d shown", room), columns))
	}
	var screen strings.Builder
	screen.WriteString(home)
	for _, line := range append(c.clientTable(shown).lines(c, columns), foot...) {
		screen.WriteString(string(line) + clearLine)
	}
	screen.WriteString(clearBelow)
	c.printf("%s", painted(screen.String()))
}

// followClients prints each change as a line.
func (c *console) followClients(ctx context.Context, client *control.Client, q clientQuestion) error {
	first, away := true, false
	return client.Watch(ctx, q.every, func(r *control.Roster, changes []control.Change, lost error) error {
		if first {
			for _, s := range q.chosen(r) {
				c.change(clientChange{Event: "present", Session: &s})
			}
			if !r.Complete {
				c.tell("%s\n", c.doubtful.of("note: not all may be here: %s", r.Incomplete))
			}
			first = false
		}
		switch {
		case lost != nil && !away:
			c.change(clientChange{Event: "lost", Error: verdict.Phrase(lost.Error())})
		case lost == nil && away:
			c.change(clientChange{Event: "back"})
		}
		away = lost != nil
		for _, each := range changes {
			if event, s := eventOf(each); q.filter.matches(s) {
				c.change(clientChange{Event: event, Session: &s})
			}
		}
		return c.outErr()
	})
}

// eventOf names a change, and whose it is.
func eventOf(change control.Change) (string, control.Session) {
	was, now := change.Was, change.Now
	switch {
	case now == control.Session{}:
		was.Connected = false
		return "ended", was
	case was == control.Session{} || now.Connected && (!was.Connected || was.ConnectedAt != now.ConnectedAt):
		if !now.Connected {
			return "away", now
		}
		return "connected", now
	case was.Connected && !now.Connected:
		return "away", now
	}
	return "changed", now
}

// change prints a line about a change.
func (c *console) change(e clientChange) {
	e.Time = c.clock().UTC().Truncate(time.Second)
	if c.json {
		c.jsonLine(e)
		return
	}
	at := e.Time.Format(time.RFC3339)
	if e.Session == nil {
		c.printf("%s %-9s %s\n", at, e.Event, plain("%s", e.Error))
		return
	}
	s := *e.Session
	leaves := ""
	if s.Token.LeavesAt > 0 && s.Connected {
		leaves = ", leaves at " + s.Token.LeavesAt.Time().Format(time.RFC3339)
	}
	about := details(detail{"username", s.Username}, detail{"address", s.Address}, detail{"login", loginText(s)}, detail{"provider", s.Token.Provider}, detail{"sub", s.Token.Subject})
	c.printf("%s %-9s %s%s%s\n", at, e.Event, painted(word(s.ClientID).text), painted(about), painted(leaves))
}

// jsonLine prints v as one line.
func (c *console) jsonLine(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of ours come here
	}
	_, _ = c.out.Write(append(printableJSON(text), '\n')) // the sink remembers what goes wrong
}
