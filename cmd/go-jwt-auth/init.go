package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/keyset"
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
revoked. What is given by flags is not asked; --no-input asks nothing. A file that is there is only replaced with --force.`,
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
	return cmd
}

func (c *console) initialise(cmd *cobra.Command, i initial) error {
	if _, err := os.Lstat(i.output); err == nil && !i.force {
		return fmt.Errorf("%s is there already: --force replaces it, --output names another", i.output)
	}
	asks := &questions{console: c, in: bufio.NewReader(c.in), off: i.quiet, given: cmd.Flags().Changed}
	var err error
	if i.Issuer, err = asks.needed("issuer", "Issuer of your provider (a URL)", i.Issuer); err != nil {
		return err
	}
	if u, err := url.Parse(i.Issuer); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--issuer: must be an http or https URL, found %q", i.Issuer)
	}
	for _, path := range []*string{&i.CAFile, &i.secretFile} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	seen, err := c.look(cmd.Context(), i.Issuer, i.CAFile)
	if err != nil {
		return err
	}
	i.Algorithm = seen.algorithms
	c.tell("%s %s answers; its tokens are signed by %s\n", c.mark(true), i.Issuer, strings.Join(seen.algorithms, ", "))
	if i.Audience, err = asks.optional("audience", "Audience that tokens for this broker have (empty: any)", i.Audience); err != nil {
		return err
	}
	if i.UsernameClaim, err = asks.optional("username-claim", "Claim that becomes the username", i.UsernameClaim); err != nil {
		return err
	}
	if err := i.introspect(asks, seen); err != nil {
		return err
	}
	report, err := i.write()
	if err != nil {
		return err
	}
	c.printf("%s %s is written and good.\n\nmosquitto.conf, before any other plugin:\n\n    %s\n\n", c.mark(true), report.File,
		strings.Join(report.Mosquitto, "\n    "))
	for _, text := range report.Warnings {
		c.printf("%s\n", c.doubtful.Sprint("note: "+text))
	}
	return c.object(report)
}

// introspect decides about the introspection endpoint.
func (i *initial) introspect(asks *questions, seen provider) (err error) {
	if i.noInspection || seen.doc.IntrospectionURI == "" {
		if i.clientID != "" && seen.doc.IntrospectionURI == "" {
			return errors.New("--client-id: the provider names no introspection endpoint")
		}
		return nil
	}
	if i.clientID, err = asks.optional("client-id", "Client id to ask with whether a token has been revoked (empty: don't ask)", i.clientID); err != nil || i.clientID == "" {
		return err
	}
	if i.secretFile, err = asks.needed("client-secret-file", "File that holds its secret", i.secretFile); err != nil {
		return err
	}
	if i.secretFile, err = filepath.Abs(i.secretFile); err != nil {
		return err
	}
	i.Introspection = &introspection{ClientID: i.clientID, SecretFile: i.secretFile} // its address is discovered
	return nil
}

// provider is what was seen of one.
type provider struct {
	doc        discovery.Document
	algorithms []string
}

// newClient speaks to a provider for which there is no jwt.json yet.
func newClient(caFile string) (*endpoint.Client, error) {
	client, err := endpoint.New(config.TLS{CAFile: caFile})
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "$.options.tls.caFile", "--ca-file"))
	}
	return client, nil
}

// look reads the discovery document and the keys.
func (c *console) look(ctx context.Context, issuer, caFile string) (provider, error) {
	var p provider
	client, err := newClient(caFile)
	if err != nil {
		return p, err
	}
	defer client.Close()
	if p.doc, err = discovery.New(issuer, patience, client, time.Now).Document(ctx); err != nil {
		return p, err
	}
	asymmetric := &config.Config{
		Mode:       config.ModeJWKS,
		Algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
		JWKS:       config.JWKS{URI: p.doc.JWKSURI, Timeout: patience},
	}
	keys, err := keyset.New(asymmetric, keyset.Options{Client: client, Now: time.Now, Report: func(bool, string) {}})
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

// write puts the file in its place as a whole, once it has been found good.
func (i *initial) write() (r initReport, err error) {
	if r.File, err = filepath.Abs(i.output); err != nil {
		return r, err
	}
	trial, err := os.CreateTemp(filepath.Dir(r.File), ".jwt-*.json")
	if err != nil {
		return r, err
	}
	defer os.Remove(trial.Name()) //nolint:errcheck // it may have been renamed
	_, wrote := trial.Write(append(i.json(), '\n'))
	if err := errors.Join(wrote, trial.Chmod(fileMode), trial.Sync(), trial.Close()); err != nil {
		return r, err
	}
	cfg, problems := config.Load(trial.Name())
	if cfg == nil {
		return r, fmt.Errorf("what was given makes no good file: %s", problems.Errors().Error())
	}
	r.Warnings = append([]string{}, advise(cfg)...)
	for _, p := range problems.Warnings() {
		r.Warnings = append(r.Warnings, p.String())
	}
	if i.Audience == "" {
		r.Warnings = append(r.Warnings, "no audience is asked for: every token of this issuer gets in, also one that was made for another application")
	}
	if err := handOver(trial.Name()); err != nil {
		return r, err
	}
	if i.force {
		err = os.Rename(trial.Name(), r.File)
	} else {
		err = os.Link(trial.Name(), r.File) // fails where somebody has made one since
	}
	if errors.Is(err, fs.ErrExist) {
		return r, fmt.Errorf("%s is there already: --force replaces it", r.File)
	}
	r.Mosquitto = []string{"allow_anonymous false", "plugin /usr/lib/go_jwt_auth.so", "plugin_opt_config_file " + r.File}
	return r, err
}

// questions asks for what was not given by flags. What it prints goes to standard error, which leaves standard output to
// the result.
type questions struct {
	console *console
	in      *bufio.Reader
	off     bool
	given   func(flag string) bool
}

// needed asks until there is an answer.
func (q *questions) needed(flag, question, now string) (string, error) {
	if now != "" {
		return now, nil
	}
	if q.off {
		return "", fmt.Errorf("--%s: must be given with --no-input", flag)
	}
	for {
		if answer, err := q.ask(question, now); err != nil || answer != "" {
			return answer, err
		}
	}
}

// optional asks once; an empty answer leaves it as it is.
func (q *questions) optional(flag, question, now string) (string, error) {
	if q.off || q.given(flag) {
		return now, nil
	}
	return q.ask(question, now)
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
