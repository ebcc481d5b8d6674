package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// tokenReport is what check-token prints.
type tokenReport struct {
	// Verdict is accept, deny, defer (left to the next plugin) or unknown.
	Verdict string         `json:"verdict"`
	Reason  verdict.Reason `json:"reason,omitempty"`
	Detail  string         `json:"detail,omitempty"`
	// Token names it as the log does.
	Token string `json:"token,omitempty"`
	// Provider is the one whose affair the token is, and ChosenBecause why; empty in a file without names, or if it is nobody's.
	Provider      string `json:"provider,omitempty"`
	ChosenBecause string `json:"chosenBecause,omitempty"`

	Checks []checkedRow `json:"checks"`
	// Asked tells whether the revocation endpoint was; nil where the provider has none.
	Asked *bool `json:"revocationAsked,omitempty"`
	// Username and ClientID are those under which the broker would know the client; nil: the client's own.
	Username *string    `json:"username,omitempty"`
	ClientID *string    `json:"clientId,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
	// SecondsLeft is until Expires, negative where that has passed; Kicked is when a connected client has to leave.
	SecondsLeft *int64     `json:"secondsLeft,omitempty"`
	Kicked      *time.Time `json:"disconnectedAt,omitempty"`
	Rights      *dynsec    `json:"rights,omitempty"`
	// TokenRights are those that the token itself gives; nil: it gives none. May answers what was asked about them.
	TokenRights *tokenRights `json:"tokenRights,omitempty"`
	May         []mayRow     `json:"may,omitempty"`
}

type checkedRow struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// tokenQuestion is what check-token is asked.
type tokenQuestion struct {
	config, username, clientID, at, dynsec string
	online                                 bool
	as                                     brokerUser
	// may are the wishes as they were written; qos and retain go with each.
	may    []string
	wishes []wish
	qos    uint8
	retain bool
}

func newCheckToken(c *console) *cobra.Command {
	var q tokenQuestion
	cmd := &cobra.Command{
		Use:   "check-token TOKEN|-",
		Short: "Say what the plugin would make of a token, check by check",
		Long: `check-token does with a token what the plugin would do with it as a password, by the same code: each check in its order, what
was expected and what was found, and the identity and time that would result. The first check that fails decides, and ends it.

Give "-" and the token on standard input: what stands in a command line is seen by every user of the machine. The keys are read
from the identity provider; whether the token has been revoked is asked only with --online. In mode introspection there is
nothing to see without it. With several providers it says which one answers for the token, and why.

Where the file takes rights from tokens (options.authorization), they are listed, and --may asks about single topics: the exit code is 1 if
one of them is denied, and 2 if one is left to others. Several may be asked about, as in the example.

The file is the broker's: as root, it and what it names are read as the broker's user (--as), and nothing of root's environment
goes with it but what --env names.`,
		Example: `  go-jwt-auth token --issuer https://id.example.com --client-id sensor-1 | go-jwt-auth check-token --config jwt.json -
  go-jwt-auth check-token --config jwt.json --online --dynsec /var/lib/mosquitto/dynamic-security.json - < token.txt
  go-jwt-auth check-token --config jwt.json --may publish a/b --may subscribe 'c/#' - < token.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, text := range q.may {
				w, err := parseMay(text)
				if err != nil {
					return err
				}
				q.wishes = append(q.wishes, w)
			}
			if q.qos > 2 {
				return fmt.Errorf("--qos: must be 0, 1 or 2, found %d", q.qos)
			}
			token, err := c.readToken(args[0])
			if err != nil {
				return err
			}
			u, err := q.as.findFor(cmd, q.config)
			switch {
			case err != nil:
				return err
			case u != nil:
				return c.become(cmd, u, q.as.env, strings.NewReader(token), "-")
			}
			return c.checkToken(cmd.Context(), q, token)
		},
	}
	q.as.flags(cmd)
	cmd.Flags().StringVar(&q.config, "config", "", "the jwt.json (the usual places)")
	cmd.Flags().BoolVar(&q.online, "online", false, "ask the revocation endpoint as well")
	cmd.Flags().StringVar(&q.username, "username", "", "the username that the client would send (none)")
	cmd.Flags().StringVar(&q.clientID, "client-id", "a-client", "the client id that it would send")
	cmd.Flags().StringVar(&q.at, "at", "", "judge as at this time, as in 2026-01-31T12:00:00Z (now)")
	cmd.Flags().StringArrayVar(&q.may, "may", nil, "say whether it may `publish|subscribe|receive TOPIC`, and by which rule of its token (repeatable)")
	cmd.Flags().Uint8Var(&q.qos, "qos", 0, "the QoS of what --may asks about")
	cmd.Flags().BoolVar(&q.retain, "retain", false, "what --may asks about is retained")
	cmd.Flags().StringVar(&q.dynsec, "dynsec", "", "a dynamic-security.json, to show the roles that result")
	return cmd
}

// maxInput bounds what is read as a token: MQTT can't carry more as a password.
const maxInput = 65535

// readToken takes the token from the command line or from standard input. What people paste around it is taken off.
func (c *console) readToken(arg string) (string, error) {
	if arg == "-" {
		read, err := io.ReadAll(io.LimitReader(c.in, maxInput+1))
		if err != nil {
			return "", fmt.Errorf("standard input: %w", err)
		}
		arg = string(read)
	}
	token := strings.TrimSpace(arg)
	if scheme, rest, found := strings.Cut(token, " "); found && strings.EqualFold(scheme, "bearer") {
		c.tell("go-jwt-auth: \"Bearer\" stood before the token and was taken off: a client must send the token alone\n")
		token = strings.TrimSpace(rest)
	}
	if token == "" {
		return "", errors.New("there is no token")
	}
	return token, nil
}

func (c *console) checkToken(ctx context.Context, q tokenQuestion, token string) error {
	cfg, err := c.load(q.config)
	if err != nil {
		return err
	}
	now := time.Now
	if q.at != "" {
		at, err := time.Parse(time.RFC3339, q.at)
		if err != nil {
			return fmt.Errorf("--at: must be a time as in 2026-01-31T12:00:00Z, found %q", q.at)
		}
		now = func() time.Time { return at }
	}
	var held dynsec
	if q.dynsec != "" {
		if err := held.read(q.dynsec); err != nil {
			return fmt.Errorf("--dynsec: %w", err)
		}
	}
	built, err := newChain(q.patient(cfg), now)
	if err != nil {
		return err
	}
	defer built.Close()
	login := q.login(cfg, token)
	var report tokenReport
	chosen, err := report.choose(cfg, built.FromMemory(login), q.online)
	if err != nil {
		return err
	}
	c.waitFor(ctx, addresses(chosen)...)
	result := built.Check(ctx, login)
	report.fill(result, chosen, now())
	if report.Verdict == "accept" {
		if result.Rights != nil {
			report.TokenRights = newTokenRights(result.Rights)
		}
		report.May = q.answer(result.Rights)
	}
	if report.Verdict == "accept" && q.dynsec != "" {
		name := q.username
		if report.Username != nil {
			name = *report.Username
		}
		held.of(name)
		report.Rights = &held
	}
	c.show(cfg, chosen, report)
	if err := c.object(report); err != nil {
		return err
	}
	switch {
	case report.Verdict == "unknown":
		return errUntold
	case report.Verdict != "accept":
		return errNo
	}
	return outcome(report.May)
}

// patient is the configuration for somebody who has time: keys are waited for, and the endpoint is asked before the answer, or
// not at all.
func (q tokenQuestion) patient(from *config.Config) *config.Config {
	cfg := *from
	cfg.Providers = nil
	for _, p := range from.Providers {
		patient := *p
		patient.JWKS.MaxBlock = patient.JWKS.Timeout
		switch {
		case p.Revocation == nil:
		case q.online || p.Mode == config.ModeIntrospection:
			asked := *p.Revocation
			asked.Check = config.CheckBeforeConnect
			patient.Revocation = &asked
		default:
			patient.Revocation = nil
		}
		cfg.Providers = append(cfg.Providers, &patient)
	}
	return &cfg
}

// login is the CONNECT that brings the token.
func (q tokenQuestion) login(cfg *config.Config, token string) broker.Connect {
	login := broker.Connect{ClientID: q.clientID, Password: &token}
	if q.username != "" {
		login.Username = &q.username
	}
	if cfg.TokenSource[0] == config.TokenInUsername {
		login.Username, login.Password = &token, nil
	}
	return login
}

// choose says whose affair the token is, by a result that nobody was asked for, and returns how the file has that provider: an
// empty one if it is nobody's.
func (r *tokenReport) choose(cfg *config.Config, seen provider.Result, online bool) (*config.Provider, error) {
	if seen.Provider == nil {
		return &config.Provider{}, nil
	}
	if r.Provider = seen.Provider.Name(); r.Provider != "" {
		r.ChosenBecause = because(cfg, seen)
	}
	if seen.Provider.Opaque() && !online {
		const untold = "in mode introspection nobody but the provider can tell anything of a token: --online asks it"
		if r.Provider == "" {
			return nil, errors.New(untold)
		}
		return nil, fmt.Errorf("provider %s was chosen because %s; %s", r.Provider, r.ChosenBecause, untold)
	}
	at := slices.IndexFunc(cfg.Providers, func(p *config.Provider) bool { return p.Path == seen.Provider.Config().Path })
	if cfg.Providers[at].Revocation != nil {
		r.Asked = &online
	}
	return cfg.Providers[at], nil
}

// because says why a provider with a name was chosen.
func because(cfg *config.Config, seen provider.Result) string {
	chosen, name := seen.Provider.Config(), seen.Provider.Name()
	if len(cfg.Providers) == 1 {
		return "the file has no other"
	}
	if shape, _ := token.Classify(seen.Bearer()); shape != token.Signed {
		return "it is not a JWT, and " + name + " has mode introspection"
	}
	iss, found, _ := token.Issuer(nil, seen.Bearer()) // a token without one that can be read is nobody's
	switch {
	case !found:
		return "it has no iss, and " + name + " no issuer"
	case chosen.ClaimsIssuer(string(iss)):
		return "iss is " + verdict.Quote(string(iss))
	default:
		return "no provider claims iss " + verdict.Quote(string(iss)) + ", and " + name + " has no issuer"
	}
}

func (r *tokenReport) fill(result provider.Result, chosen *config.Provider, now time.Time) {
	r.Verdict, r.Reason, r.Detail, r.Token = result.Kind.String(), result.Reason, cmp.Or(result.Detail, result.Note), result.LogID
	if result.Kind == verdict.Retry || result.Kind == verdict.Pending || result.Reason.Unavailable() {
		r.Verdict = "unknown"
	}
	r.Checks = []checkedRow{}
	for _, check := range *result.Trace {
		r.Checks = append(r.Checks, checkedRow(check))
	}
	if result.Kind == verdict.Accept {
		r.Username, r.ClientID = result.Identity.Username, result.Identity.ClientID
	}
	if result.Expiry.IsZero() {
		return
	}
	expires, left := result.Expiry.UTC(), int64(result.Expiry.Sub(now)/time.Second)
	r.Expires, r.SecondsLeft = &expires, &left
	if chosen.Common.KickExpired && result.Kind == verdict.Accept {
		kicked := expires.Add(chosen.Common.Leeway)
		r.Kicked = &kicked
	}
}

// show prints the report for a reader.
func (c *console) show(cfg *config.Config, chosen *config.Provider, r tokenReport) {
	c.printf("%s: %s\n", cfg.File, plugin.Describe(cfg))
	if r.Token != "" {
		c.printf("token %s\n", r.Token)
	}
	if r.Provider != "" {
		c.printf("provider %s: chosen because %s\n", r.Provider, r.ChosenBecause)
	}
	for _, check := range r.Checks {
		c.printf("  %s %-16s %s\n", c.mark(check.OK), check.Name, c.finding(check))
	}
	if r.Asked != nil && !*r.Asked {
		c.printf("  %s %-16s %s\n", c.faint.of("·"), "revocation", c.faint.of("not asked (--online asks)"))
	}
	switch {
	case r.Verdict == "defer":
		c.printf("%s\n", c.doubtful.of("left to the next plugin or password file: it is no token"))
	case r.Verdict == "unknown":
		c.printf("%s\n", c.doubtful.of("could not be told: %s: %s", r.Reason, r.Detail))
	case r.Verdict != "accept":
		c.printf("%s\n", c.bad.of("refused: %s: %s", r.Reason, r.Detail))
	default:
		c.printf("%s\n", c.good.of("accepted"))
		c.printf("  username   %s\n", identityText(r.Username))
		c.printf("  client id  %s\n", identityText(r.ClientID))
		c.printf("  expires    %s\n", expiryText(chosen.Common, r))
		c.showRights(r.TokenRights)
		if r.Rights != nil {
			c.printf("  rights     %s\n", r.Rights)
		}
		if r.Detail != "" {
			c.printf("  %s\n", c.doubtful.of("%s", r.Detail))
		}
		c.showAnswers(r.May)
	}
}

func (c *console) finding(check checkedRow) painted {
	switch {
	case !check.OK:
		return plain("found %s, expected %s", check.Found, check.Expected)
	case check.Found == check.Expected:
		return plain("%s", check.Found)
	default:
		return plain("%s", check.Found) + c.faint.of(" (expected %s)", check.Expected)
	}
}

func identityText(changed *string) string {
	if changed == nil {
		return "as the client sends it"
	}
	return verdict.Quote(*changed)
}

func expiryText(common config.Common, r tokenReport) string {
	switch {
	case r.Expires == nil:
		return "never"
	case r.Kicked == nil:
		return r.Expires.Format(time.RFC3339) + "; a connected client stays"
	}
	text := fmt.Sprintf("%s, in %s; a connected client is disconnected then", r.Expires.Format(time.RFC3339), time.Duration(*r.SecondsLeft)*time.Second)
	if common.Leeway > 0 {
		text += fmt.Sprintf(" (plus leewayMs, %s)", common.Leeway)
	}
	if common.KickWithWill {
		return text + ", with its will"
	}
	return text + ", without its will"
}

// dynsec is what dynamic-security grants a username.
type dynsec struct {
	Known  bool     `json:"known"`
	Roles  []string `json:"roles"`
	Groups []string `json:"groups"`

	file dynsecFile
}

// dynsecFile is the part of a dynamic-security.json that says who has which role.
type dynsecFile struct {
	Clients []struct {
		Username string `json:"username"`
		Roles    []named
		Groups   []named
	}
	Groups []struct {
		Name    string `json:"groupname"`
		Roles   []named
		Clients []struct {
			Username string `json:"username"`
		}
	}
}

type named struct {
	Role  string `json:"rolename"`
	Group string `json:"groupname"`
}

func (r *dynsec) read(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &r.file); err != nil {
		return fmt.Errorf("%s is no dynamic-security file: %w", name, err)
	}
	return nil
}

// of finds what username has: its own roles, and those of its groups.
func (r *dynsec) of(username string) {
	r.Roles, r.Groups = []string{}, []string{}
	for _, client := range r.file.Clients {
		if client.Username != username {
			continue
		}
		r.Known = true
		for _, role := range client.Roles {
			r.Roles = append(r.Roles, role.Role)
		}
		for _, group := range client.Groups {
			r.Groups = append(r.Groups, group.Group)
		}
	}
	for _, group := range r.file.Groups {
		for _, client := range group.Clients {
			if client.Username != username {
				continue
			}
			r.Groups = append(r.Groups, group.Name)
			for _, role := range group.Roles {
				r.Roles = append(r.Roles, role.Role)
			}
		}
	}
}

func (r *dynsec) String() string {
	switch {
	case !r.Known:
		return "none: dynamic-security has no client of that username"
	case len(r.Roles) == 0:
		return "none: dynamic-security gives it no role"
	}
	text := "roles " + strings.Join(r.Roles, ", ")
	if len(r.Groups) > 0 {
		text += ", also by the groups " + strings.Join(r.Groups, ", ")
	}
	return text
}
