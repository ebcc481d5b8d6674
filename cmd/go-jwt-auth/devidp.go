package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/idp"
)

// The client whose credentials the printed jwt.json introspects with.
const brokerClient = "broker"

// devIDP is what dev-idp is asked for.
type devIDP struct {
	listen, algorithm, write string
	anywhere, opaque         bool
	clients, pages           []string
	audience                 string
	lifetime                 time.Duration
	force                    bool
}

// devReport is what dev-idp prints when it is ready.
type devReport struct {
	Issuer           string          `json:"issuer"`
	JWKSURI          string          `json:"jwksUri"`
	IntrospectionURI string          `json:"introspectionUri"`
	TokenURI         string          `json:"tokenUri"`
	Clients          []devClient     `json:"clients"`
	Config           json.RawMessage `json:"jwtJson"`
}

type devClient struct {
	ID     string `json:"clientId"`
	Secret string `json:"clientSecret"`
}

func newDevIDP(c *console) *cobra.Command {
	var d devIDP
	cmd := &cobra.Command{
		Use:   "dev-idp",
		Short: "Be an identity provider, for trying things out",
		Long: `dev-idp is a small OpenID provider: JWT access tokens by client credentials and by device login, a key set, introspection and
revocation; for pages (--page) a login by authorization code, which takes everybody's word. It prints a jwt.json that fits, and runs until it is interrupted; then everything that it knew is gone.

It is for trying things out on one machine, never for production: it speaks plain HTTP, its secrets stand in the command line,
and whoever reaches it can log a device in. So it listens on loopback addresses alone.`,
		Example: `  go-jwt-auth dev-idp --write jwt.json &
  echo secret | go-jwt-auth token --issuer http://127.0.0.1:9000 --client-id sensor-1 --client-secret-file -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, report, err := d.start()
			if err != nil {
				return err
			}
			defer p.Close() //nolint:errcheck // it ends with the process
			if d.write != "" {
				if err := d.writeConfig(cmd, report.Config); err != nil {
					return err
				}
			}
			if err := c.showDevIDP(d, report); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return nil
		},
	}
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:9000", "IPv4 address and port")
	cmd.Flags().BoolVar(&d.anywhere, "listen-anywhere", false, "admit an address that other machines can reach")
	cmd.Flags().StringArrayVar(&d.clients, "client", []string{"sensor-1:secret"}, "a client that gets tokens, ID:SECRET; may be repeated")
	cmd.Flags().StringArrayVar(&d.pages, "page", nil, "a public client that users log in to, ID=REDIRECT; may be repeated")
	cmd.Flags().StringVar(&d.audience, "audience", "mqtt", "aud of the tokens")
	cmd.Flags().DurationVar(&d.lifetime, "lifetime", 5*time.Minute, "how long tokens live")
	cmd.Flags().StringVar(&d.algorithm, "algorithm", "RS256", "what signs them: RS, PS or ES with 256, 384 or 512, EdDSA")
	cmd.Flags().BoolVar(&d.opaque, "opaque", false, "opaque tokens instead of JWTs")
	cmd.Flags().StringVar(&d.write, "write", "", "write the jwt.json into this file, which only root and the broker's group can read where this is root")
	cmd.Flags().BoolVar(&d.force, "force", false, "replace a file that is there")
	return cmd
}

func (d devIDP) writeConfig(cmd *cobra.Command, text []byte) error {
	broker, err := (&brokerUser{name: defaultBroker}).find(cmd, "")
	if err != nil {
		return err
	}
	written, err := create(d.write, append(text, '\n'), broker)
	if err != nil {
		return err
	}
	return written.place(d.force)
}

// start serves, and says with what.
func (d devIDP) start() (*idp.Provider, devReport, error) {
	var r devReport
	host, _, err := net.SplitHostPort(d.listen)
	if err != nil {
		return nil, r, fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); (ip == nil || !ip.IsLoopback()) && host != "localhost" && !d.anywhere {
		return nil, r, fmt.Errorf("--listen: %s is no loopback address, and whoever reaches this provider gets tokens from it (--listen-anywhere admits it)", host)
	}
	options := []idp.Option{
		idp.WithAddress(d.listen), idp.WithAlgorithm(d.algorithm),
		idp.WithClient(idp.Client{ID: brokerClient, Secret: "broker-secret"}),
	}
	for _, given := range d.clients {
		id, secret, found := strings.Cut(given, ":")
		if !found || id == "" || secret == "" {
			return nil, r, errors.New("--client: must be ID:SECRET")
		}
		options = append(options, idp.WithClient(idp.Client{
			ID: id, Secret: secret, Audience: []string{d.audience, brokerClient}, Lifetime: d.lifetime, Opaque: d.opaque,
		}))
		r.Clients = append(r.Clients, devClient{id, secret})
	}
	for _, given := range d.pages {
		id, redirect, found := strings.Cut(given, "=")
		if !found || id == "" || redirect == "" {
			return nil, r, errors.New("--page: must be ID=REDIRECT")
		}
		options = append(options, idp.WithClient(idp.Client{
			ID: id, Redirects: []string{redirect}, Audience: []string{d.audience, brokerClient}, Lifetime: d.lifetime, Opaque: d.opaque,
		}))
	}
	p, err := idp.Start(options...)
	if err != nil {
		return nil, r, err
	}
	r.Issuer, r.JWKSURI, r.IntrospectionURI, r.TokenURI = p.Issuer(), p.JWKSURI(), p.IntrospectionURI(), p.TokenURI()
	f := file{
		Algorithm: []string{d.algorithm}, Issuer: r.Issuer, Audience: d.audience, UsernameClaim: "sub",
		Introspection: &introspection{URI: r.IntrospectionURI, ClientID: brokerClient, Secret: "broker-secret"}, Opaque: d.opaque,
	}
	r.Config = f.json()
	return p, r, nil
}

func (c *console) showDevIDP(d devIDP, r devReport) error {
	c.printf("An identity provider for trying things out, at %s, until it is interrupted.\n\njwt.json:\n\n", c.good.of("%s", r.Issuer))
	for line := range strings.Lines(string(r.Config)) {
		c.printf("%s\n", strings.TrimSuffix(line, "\n"))
	}
	if d.write != "" {
		c.printf("\nIt stands in %s.\n", d.write)
	}
	c.printf("\nTokens, which live for %s:\n\n", d.lifetime)
	for _, client := range r.Clients {
		c.printf("    echo '%s' | go-jwt-auth token --issuer %s --client-id '%s' --client-secret-file -\n", client.Secret, r.Issuer, client.ID)
	}
	c.printf("\n")
	return c.object(r)
}
