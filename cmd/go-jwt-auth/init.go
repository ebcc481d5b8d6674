package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/verdict"
)

// patience is how long a provider may take for one answer.
const patience = 10 * time.Second

// initial is what init is told.
type initial struct {
	file
	output       string
	force, quiet bool
	clientID     string
	secretFile   string
	noInspection bool
	as           brokerUser
}

// initReport is what init prints.
type initReport struct {
	File string `json:"file"`
	// Mosquitto are the lines for mosquitto.conf.
	Mosquitto []string `json:"mosquittoConf"`
	Warnings  []string `json:"warnings"`
}

func newInit(c *console) *cobra.Command {
	var i initial
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a jwt.json for a provider",
		Long: `init reads what the provider says of itself (OpenID Connect Discovery) and its keys, asks for what it can't know, and writes a
jwt.json: which issuer, which audience, which claim is the username, and whether to ask at each login if the token has been
revoked. What is given by flags is not asked; --no-input asks nothing. A file that is there is only replaced with --force.

It writes nothing that the broker could not use: as root it has the file read as the broker's user (--as), and it asks the
introspection endpoint once about a made-up token, with the client id and secret that were given. The file is root's, and
readable for the broker's group.`,
		Example: `  go-jwt-auth init --issuer https://id.example.com/realms/test --output /etc/mosquitto/jwt.json
  go-jwt-auth init --no-input --issuer https://id.example.com --audience mqtt --output jwt.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.initialise(cmd, i) },
	}
	cmd.Flags().StringVar(&i.Issuer, "issuer", "", "the provider's issuer, the base of /.well-known/openid-configuration")
	cmd.Flags().StringVar(&i.Audience, "audience", "", "what aud must hold")
	cmd.Flags().StringVar(&i.UsernameClaim, "username-claim", "sub", "the claim that becomes the username")
	cmd.Flags().StringVar(&i.clientID, "client-id", "", "the client id to introspect with; none: introspection is left out")
	cmd.Flags().StringVar(&i.secretFile, "client-secret-file", "", "the file that holds its secret")
	cmd.Flags().BoolVar(&i.noInspection, "no-introspection", false, "don't ask about introspection")
	cmd.Flags().StringVar(&i.CAFile, "ca-file", "", "a private certificate authority, in PEM")
	cmd.Flags().StringVar(&i.output, "output", "/etc/mosquitto/jwt.json", "where to write it")
	cmd.Flags().BoolVar(&i.force, "force", false, "replace a file that is there")
	cmd.Flags().BoolVar(&i.quiet, "no-input", false, "ask nothing")
	cmd.Flags().StringVar(&i.as.name, "as", defaultBroker, "where this is root, the user that the broker runs as (a name or number); empty: root")
	return cmd
}

func (c *console) initialise(cmd *cobra.Command, i initial) error {
	if _, err := os.Lstat(i.output); err == nil && !i.force {
		return fmt.Errorf("%s is there already: --force replaces it, --output names another", i.output)
	}
	user, err := i.as.find(cmd, "")
	if err != nil {
		return err
	}
	for _, path := range []*string{&i.output, &i.CAFile, &i.secretFile} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	asks := &questions{console: c, in: bufio.NewReader(c.in), off: i.quiet, given: cmd.Flags().Changed}
	var seen seenProvider
	err = asks.until(&i.Issuer, question{
		flag: "issuer", needed: true,
		why:   "The issuer is your provider's own name for itself: the address below which it has /.well-known/openid-configuration, and \"iss\" in its tokens.",
		short: "Issuer of your provider (a URL)",
	}, func(issuer string) (err error) {
		seen, err = c.look(cmd.Context(), issuer, i.CAFile)
		return err
	})
	if err != nil {
		return err
	}
	i.Algorithm = seen.algorithms
	c.tell("%s %s answers; its tokens are signed by %s\n", c.mark(true), i.Issuer, strings.Join(seen.algorithms, ", "))
	err = asks.until(&i.Audience, question{
		flag:  "audience",
		why:   "The audience (\"aud\") tells tokens for this broker from those for other applications. Without one, any token of this issuer gets in.",
		short: "Audience that tokens for this broker have (empty: any)",
	}, nil)
	if err != nil {
		return err
	}
	err = asks.until(&i.UsernameClaim, question{
		flag:  "username-claim",
		why:   "The claim that becomes the username gives a client its rights. Take none that users can change themselves.",
		short: "Claim that becomes the username",
	}, func(string) error {
		_, _, err := i.parse()
		return err
	})
	if err != nil {
		return err
	}
	if err := c.introspect(cmd.Context(), asks, &i, seen, user); err != nil {
		return err
	}
	report, err := c.write(cmd.Context(), &i, user)
	if err != nil {
		return err
	}
	c.printf("%s %s is written and good.\n\nmosquitto.conf, before any other plugin:\n\n", c.mark(true), report.File)
	for _, line := range report.Mosquitto {
		c.printf("    %s\n", line)
	}
	c.printf("\n")
	for _, text := range report.Warnings {
		c.printf("%s\n", c.doubtful.of("note: %s", text))
	}
	return c.object(report)
}

// introspect decides about the introspection endpoint, and tries it.
func (c *console) introspect(ctx context.Context, asks *questions, i *initial, seen seenProvider, broker *user.User) error {
	if i.noInspection || seen.doc.IntrospectionURI == "" {
		if i.clientID != "" && seen.doc.IntrospectionURI == "" {
			return errors.New("--client-id: the provider names no introspection endpoint")
		}
		return nil
	}
	id, secret := i.clientID, i.secretFile
	for {
		i.Introspection, i.clientID, i.secretFile = nil, id, secret
		err := asks.until(&i.clientID, question{
			flag:  "client-id",
			why:   "The broker can ask the provider at each login whether the token has been revoked. For that it needs a client of its own there.",
			short: "Client id to ask with whether a token has been revoked (empty: don't ask)",
		}, nil)
		if err != nil || i.clientID == "" {
			return err
		}
		err = asks.until(&i.secretFile, question{
			flag: "client-secret-file", needed: true,
			why:   "Its secret stays in a file of its own, which only root and the broker's group can read; jwt.json holds the file's name.",
			short: "File that holds its secret",
		}, func(name string) (err error) {
			if name, err = filepath.Abs(name); err != nil {
				return err
			}
			i.secretFile = name
			i.Introspection = &introspection{ClientID: i.clientID, SecretFile: name} // its address is discovered
			if _, _, err := i.parse(); err != nil {
				return err
			}
			return c.judge(ctx, broker, i.text(), "-")
		})
		if err != nil {
			return err
		}
		if err = i.tryIntrospection(ctx); err == nil {
			c.tell("%s %s takes the client id and secret\n", c.mark(true), seen.doc.IntrospectionURI)
			return nil
		}
		// Where both are given by flags there is nothing to ask again.
		if !asks.again("client-id", err) && !asks.again("client-secret-file", err) {
			return err
		}
	}
}

// text is the file as it will be written.
func (i *initial) text() []byte { return append(i.json(), '\n') }

// parse reads what was given so far as the plugin would.
func (i *initial) parse() (*config.Config, config.Problems, error) {
	cfg, problems := config.Parse(i.text(), i.output)
	if cfg == nil {
		return nil, nil, fmt.Errorf("what was given makes no good file: %s", strings.ReplaceAll(problems.Errors().Error(), "\n", "; "))
	}
	return cfg, problems, nil
}

// tryIntrospection asks the introspection endpoint once, about a token that can't be active.
func (i *initial) tryIntrospection(ctx context.Context) error {
	cfg, _, err := i.parse()
	if err != nil {
		return err
	}
	built, err := newChain(cfg, time.Now)
	if err != nil {
		return err
	}
	defer built.Close()
	if _, fault := askOfMadeUp(ctx, built.Providers()[0]); fault != "" {
		return refusal{fmt.Errorf("introspection does not work: %s", fault)}
	}
	return nil
}

// judge has check-config read a file as the broker's user; "-" stands for the text.
func (c *console) judge(ctx context.Context, broker *user.User, text []byte, file string) error {
	if broker == nil {
		return nil // then we read it as ourselves, which parse and tryIntrospection do
	}
	var out, errs bytes.Buffer
	code, err := runAs(ctx, broker, nil, bytes.NewReader(text), &out, &errs, "check-config", "--as=", "--json", "--", file)
	if err != nil || code == exitGood {
		return err
	}
	var report configReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return fmt.Errorf("the file can't be judged as user %s: %s", broker.Username, verdict.Phrase(errs.String()))
	}
	var found []string
	for _, p := range report.Problems {
		if p.Severity == config.SeverityError {
			found = append(found, config.Problem{Path: p.Path, Text: p.Text}.String())
		}
	}
	return refusal{fmt.Errorf("the broker (user %s) could not use the file: %s", broker.Username, strings.Join(found, "; "))}
}

// seenProvider is what was seen of one.
type seenProvider struct {
	doc        discovery.Document
	algorithms []string
}

// newClient speaks to a provider for which there is no jwt.json yet.
func newClient(caFile string) (*endpoint.Client, error) {
	client, err := endpoint.New(&config.Provider{TLS: config.TLS{CAFile: caFile}})
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "$.options.tls.caFile", "--ca-file"))
	}
	return client, nil
}

// openID names a provider by its issuer alone.
func openID(issuer string) *config.Provider {
	return &config.Provider{Mode: config.ModeOIDC, OIDC: config.OIDC{Issuer: issuer}, JWKS: config.JWKS{Timeout: patience}}
}

// look reads the discovery document and the keys.
func (c *console) look(ctx context.Context, issuer, caFile string) (seenProvider, error) {
	var p seenProvider
	if u, err := url.Parse(issuer); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return p, fmt.Errorf("must be an http or https URL, found %q", issuer)
	}
	client, err := newClient(caFile)
	if err != nil {
		return p, err
	}
	defer client.Close()
	c.waitFor(ctx, issuer)
	if p.doc, err = discovery.New(openID(issuer), client, time.Now).Document(ctx); err != nil {
		return p, err
	}
	asymmetric := &config.Provider{
		Mode:       config.ModeJWKS,
		Algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
		JWKS:       config.JWKS{URI: p.doc.JWKSURI, Timeout: patience},
	}
	keys, err := keyset.New(asymmetric, keyset.Options{Client: client, Now: time.Now, Report: func(event.Note) {}})
	if err != nil {
		return p, err
	}
	defer keys.Close()
	set, err := keys.Load(ctx)
	if err != nil {
		return p, err
	}
	for _, key := range set.Keys() {
		// A key without alg fits several: RS256 is what providers mean by an RSA key that says nothing.
		if first := key.Algorithms[0]; !slices.Contains(p.algorithms, first) {
			p.algorithms = append(p.algorithms, first)
		}
	}
	return p, nil
}

// write puts the file in its place as a whole, once it has been found good there.
func (c *console) write(ctx context.Context, i *initial, broker *user.User) (r initReport, err error) {
	r.File = i.output
	cfg, problems, err := i.parse()
	if err != nil {
		return r, err
	}
	r.Warnings = append([]string{}, advise(cfg)...)
	for _, p := range problems.Warnings() {
		r.Warnings = append(r.Warnings, p.String())
	}
	if i.Audience == "" {
		r.Warnings = append(r.Warnings, "no audience is asked for: every token of this issuer gets in, also one that was made for another application")
	}
	written, err := create(r.File, i.text(), broker)
	if err != nil {
		return r, err
	}
	if err := c.judge(ctx, broker, nil, written.trialName()); err != nil {
		written.discard()
		return r, refusal{errors.New(strings.ReplaceAll(err.Error(), written.trialName(), r.File))}
	}
	r.Mosquitto = []string{"allow_anonymous false", "plugin /usr/lib/go_jwt_auth.so", "plugin_opt_config_file " + r.File}
	return r, written.place(i.force)
}

// questions asks for what was not given by flags. What it prints goes to standard error, which leaves standard output to
// the result.
type questions struct {
	console *console
	in      *bufio.Reader
	off     bool
	given   func(flag string) bool
}

// question is what a flag asks where it is not given.
type question struct {
	// why says what the answer is for.
	flag, why, short string
	// needed: an empty answer is none.
	needed bool
}

// until sets answer to one that check admits: the flag's, or else what is answered, for which it asks until then.
func (q *questions) until(answer *string, about question, check func(string) error) error {
	before := *answer
	if !q.asks(about.flag) {
		switch {
		case before == "" && about.needed:
			return fmt.Errorf("--%s: must be given with --no-input", about.flag)
		case before == "" || check == nil:
			return nil
		}
		if err := check(before); err != nil {
			return fmt.Errorf("--%s: %w", about.flag, err)
		}
		return nil
	}
	q.console.tell("\n%s\n", about.why)
	for {
		said, err := q.ask(about.short, before)
		if err != nil {
			return err
		}
		if *answer = said; said == "" && about.needed {
			continue
		}
		if said == "" || check == nil {
			return nil
		}
		if err = check(said); err == nil {
			return nil
		}
		q.again(about.flag, err)
	}
}

// asks tells whether a flag's value is asked for.
func (q *questions) asks(flag string) bool { return !q.off && !q.given(flag) }

// again tells what is wrong with an answer where it is asked for again.
func (q *questions) again(flag string, err error) bool {
	if q.asks(flag) {
		q.console.tell("%s %s\n", q.console.mark(false), err)
		return true
	}
	return false
}

func (q *questions) ask(question, now string) (string, error) {
	if now != "" {
		question += " [" + now + "]"
	}
	q.console.tell("%s: ", question)
	line, err := q.in.ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("no answer to %q: give it by a flag, or use --no-input", question)
	}
	if line = strings.TrimSpace(line); line == "" {
		return now, nil
	}
	return line, nil
}
