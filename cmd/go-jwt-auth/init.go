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
	addition
}

// initReport is what init prints.
type initReport struct {
	File string `json:"file"`
	// Mosquitto are the lines for mosquitto.conf.
	Mosquitto []string `json:"mosquittoConf"`
	Warnings  []string `json:"warnings"`
	// Providers are the names in the file; none in a file without names.
	Providers []string `json:"providers,omitempty"`
}

func newInit(c *console) *cobra.Command {
	var i initial
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a jwt.json for a provider, or add a provider to one",
		Long: `init reads what the provider says of itself (OpenID Connect Discovery) and its keys, asks for what it can't know, and writes a
jwt.json: which issuer, which audience, which claim is the username, and whether to ask at each login if the token has been
revoked. What is given by flags is not asked; --no-input asks nothing. A file that is there is only replaced with --force.

It writes nothing that the broker could not use: as root it has the file read as the broker's user (--as), and it asks the
introspection endpoint once about a made-up token, with the client id and secret that were given. The file is root's, and
readable for the broker's group.

With --add it adds a provider to the file that is there, and changes nothing else of it. A file of one provider becomes one of
"providers", in which each has a name: what holds for the whole broker moves to the top of the file. On any failure the file
stays as it is.`,
		Example: `  go-jwt-auth init --issuer https://id.example.com/realms/test --output /etc/mosquitto/jwt.json
  go-jwt-auth init --no-input --issuer https://id.example.com --audience mqtt --output jwt.json
  go-jwt-auth init --add --existing-name employees --name devices --issuer https://devices.example.com`,
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
	cmd.Flags().StringArrayVar(&i.as.env, "env", nil, "where this is root, hand on this environment variable, which the file uses; may be repeated")
	cmd.Flags().BoolVar(&i.add, "add", false, "add a provider to the file that is there")
	cmd.Flags().StringVar(&i.Name, "name", "", "with --add, the name of the new provider in the log and in usernames")
	cmd.Flags().StringVar(&i.existingName, "existing-name", "", "with --add, the name of the provider that the file has without one")
	cmd.Flags().BoolVar(&i.templates, "templates", false, "with --add, begin the usernames of the new provider and of those there with the provider's name")
	cmd.MarkFlagsMutuallyExclusive("add", "force")
	return cmd
}

func (c *console) initialise(cmd *cobra.Command, i initial) error {
	if _, err := os.Lstat(i.output); err == nil && !i.force && !i.add {
		return fmt.Errorf("%s is there already: --force replaces it, --add adds a provider to it, --output names another", i.output)
	}
	if err := i.addition.misused(cmd); err != nil {
		return err
	}
	for _, path := range []*string{&i.output, &i.CAFile, &i.secretFile} {
		if *path != "" {
			var err error
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	there := "" // nothing of it counts
	if i.add {
		there = i.output
	}
	user, err := i.as.find(cmd, there)
	if err != nil {
		return err
	}
	if i.add {
		if err := c.readExisting(cmd.Context(), &i, user); err != nil {
			return err
		}
	}
	asks := &questions{console: c, in: bufio.NewReader(c.in), off: i.quiet, given: cmd.Flags().Changed}
	var seen seenProvider
	err = asks.until(&i.Issuer, question{
		flag: "issuer", needed: true,
		why:   "The issuer is your provider's own name for itself: the address below which it has /.well-known/openid-configuration, and \"iss\" in its tokens.",
		short: "Issuer of your provider (a URL)",
	}, func(issuer string) (err error) {
		if err := i.isNew(issuer); err != nil {
			return err
		}
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
		_, err := i.parse()
		return err
	})
	if err != nil {
		return err
	}
	if i.add {
		if err := i.askNames(asks); err != nil {
			return err
		}
	}
	if err := c.introspect(cmd.Context(), asks, &i, seen, user); err != nil {
		return err
	}
	report, err := c.write(cmd.Context(), &i, user)
	if err != nil {
		return err
	}
	c.printf("%s %s is written and good.\n", c.mark(true), report.File)
	if i.add {
		c.printf("Its providers are %s. The broker reads it at its next start, or on SIGHUP.\n", strings.Join(report.Providers, ", "))
	} else {
		c.printf("\nmosquitto.conf, before any other plugin:\n\n")
		for _, line := range report.Mosquitto {
			c.printf("    %s\n", line)
		}
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
			if _, err := i.parse(); err != nil {
				return err
			}
			_, err = c.judge(ctx, i, broker, i.text(), "-")
			return err
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
func (i *initial) parse() (*config.Config, error) {
	cfg, problems := config.Parse(i.text(), i.output)
	if cfg == nil {
		return nil, fmt.Errorf("what was given makes no good file: %s", strings.ReplaceAll(problems.Errors().Error(), "\n", "; "))
	}
	return cfg, nil
}

// tryIntrospection asks the introspection endpoint once, about a token that can't be active.
func (i *initial) tryIntrospection(ctx context.Context) error {
	cfg, err := i.parse()
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

// judge is what check-config says of a file, read as the broker's user; "-" stands for the text. A key that the format does not
// have is no fault: the broker warns of it and goes on.
func (c *console) judge(ctx context.Context, i *initial, broker *user.User, text []byte, file string) (configReport, error) {
	report, who, notes := configReport{}, "", ""
	switch {
	case broker == nil && file == "-":
		return report, nil // parse reads it as ourselves
	case broker != nil:
		who = fmt.Sprintf(" (user %s)", broker.Username)
		var out, errs bytes.Buffer
		if _, err := runAs(ctx, broker, i.as.env, bytes.NewReader(text), &out, &errs, "check-config", "--as=", "--json", "--", file); err != nil {
			return report, err
		}
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			return report, fmt.Errorf("the file can't be judged as user %s: %s", broker.Username, verdict.Phrase(errs.String()))
		}
		notes = errs.String()
	default:
		cfg, problems := config.Load(file)
		report, _ = newConfigReport(file, cfg, problems, false)
	}
	var found []string
	for _, p := range report.Problems {
		if p.Severity == config.SeverityError && !p.UnknownKey {
			found = append(found, config.Problem{Path: p.Path, Text: p.Text}.String())
		}
	}
	if len(found) > 0 {
		for line := range strings.Lines(notes) {
			c.tell("%s\n", strings.TrimSuffix(line, "\n"))
		}
		return report, refusal{fmt.Errorf("the broker%s could not use the file: %s", who, strings.Join(found, "; "))}
	}
	return report, nil
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
	r = initReport{
		File: i.output, Mosquitto: []string{"allow_anonymous false", "plugin /usr/lib/go_jwt_auth.so", "plugin_opt_config_file " + i.output},
		Warnings: []string{},
	}
	var written *newFile
	switch {
	case !i.add:
		written, err = create(r.File, i.text(), broker)
	case broker != nil:
		written, err = create(r.File, i.joined(), broker)
	default:
		// The broker may be another than we, and must be able to read it as before.
		written, err = createFor(i.access, r.File, i.joined())
	}
	if err != nil {
		return r, err
	}
	if i.add {
		r.Providers = i.names()
	}
	judged, err := c.judge(ctx, i, broker, nil, written.trialName())
	if err == nil && i.add {
		err = c.unchanged(ctx, i, broker)
	}
	if err != nil {
		written.discard()
		if errors.As(err, new(refusal)) {
			err = refusal{errors.New(strings.ReplaceAll(err.Error(), written.trialName(), r.File))}
		}
		return r, err
	}
	r.Warnings = append(r.Warnings, judged.Advice...)
	for _, p := range judged.Problems {
		r.Warnings = append(r.Warnings, strings.ReplaceAll(config.Problem{Path: p.Path, Text: p.Text}.String(), written.trialName(), r.File))
	}
	if i.Audience == "" {
		r.Warnings = append(r.Warnings, "no audience is asked for: every token of this issuer gets in, also one that was made for another application")
	}
	if renamed := i.renamed(); len(renamed) > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the usernames of %s now begin with the provider's name: access lists and roles must name them so", strings.Join(renamed, ", ")))
	}
	return r, written.place(i.force || i.add)
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
