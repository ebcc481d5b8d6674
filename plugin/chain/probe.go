package chain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/keyset"
)

// Finding is one thing that Probe saw, good or bad.
type Finding struct {
	Warning bool
	Text    string
}

// Probe reaches every endpoint and reads the keys, as $.options.lazyConnect false asks for. It returns what it saw, and
// an error for each thing without which nobody could log in.
func (c *Chain) Probe(ctx context.Context) ([]Finding, error) {
	endpoints, err := c.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	var faults []error
	for _, e := range endpoints {
		answer, err := c.client.Head(ctx, e.uri, e.timeout)
		if err != nil {
			faults = append(faults, c.unreachable(e.path, err, e.uri))
			continue
		}
		// Many endpoints don't know HEAD; 404 and 5xx may still be a wrong address.
		finding := Finding{Text: fmt.Sprintf("%s %s: reached (HTTP %d in %s)", e.what, endpoint.Shown(e.uri), answer.Status, answer.Took.Round(time.Millisecond))}
		if answer.Status == http.StatusNotFound || answer.Status >= http.StatusInternalServerError {
			finding.Warning = true
			finding.Text += fmt.Sprintf("; %s may be the wrong address. %s", e.path, c.wayOut(e.uri))
		}
		findings = append(findings, finding)
	}
	if len(faults) > 0 || c.keys == nil {
		return findings, errors.Join(faults...)
	}
	set, err := c.keys.Load(ctx)
	if err != nil {
		return findings, c.unusableKeys(err)
	}
	keys := "keys"
	if set.Len() == 1 {
		keys = "key"
	}
	return append(findings, Finding{Text: fmt.Sprintf("%d %s from %s (%s)", set.Len(), keys, c.keys, keyset.DescribeIDs(set))}), nil
}

// probed is an endpoint with the place where it stands in jwt.json.
type probed struct {
	what, uri, path string
	timeout         time.Duration
}

// endpoints lists what is to be reached. In mode oidc the discovery document says it.
func (c *Chain) endpoints(ctx context.Context) ([]probed, error) {
	const issuer = "$.options.modes.oidc.issuer"
	var all []probed
	jwks := probed{"JWKS endpoint", c.cfg.JWKS.URI, "$.options.modes.jwks.uri", c.cfg.JWKS.Timeout}
	if c.provider != nil {
		doc, err := c.provider.Document(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: the identity provider's discovery document can't be used: %w", issuer, err)
		}
		jwks.uri, jwks.path = doc.JWKSURI, issuer
	}
	if jwks.uri != "" {
		all = append(all, jwks)
	}
	if c.checker != nil {
		uri, err := c.checker.URI(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", issuer, err)
		}
		asked := probed{"introspection endpoint", uri, "$.options.revocation.introspection.uri", c.cfg.Revocation.Timeout}
		if c.cfg.Revocation.Plain != nil {
			asked.what, asked.path = "revocation endpoint", "$.options.revocation.plain.uri"
		}
		all = append(all, asked)
	}
	return all, nil
}

func (c *Chain) unreachable(path string, err error, uri string) error {
	return fmt.Errorf("%s: the identity provider can't be reached: %w. %s", path, err, c.wayOut(uri))
}

func (c *Chain) unusableKeys(err error) error {
	switch {
	case c.cfg.JWKS.FilePath != "":
		return fmt.Errorf("$.options.modes.jwks.filePath: %w", err)
	case c.provider != nil:
		return fmt.Errorf("$.options.modes.oidc.issuer: %w", err)
	default:
		return fmt.Errorf("$.options.modes.jwks.uri: %w. %s", err, c.wayOut(c.cfg.JWKS.URI))
	}
}

// wayOut says where the right address is to be found.
func (c *Chain) wayOut(uri string) string {
	issuer := c.cfg.Common.Issuer
	if before, _, keycloak := strings.Cut(uri, "/protocol/openid-connect/"); issuer == "" && keycloak {
		issuer = before
	}
	if issuer == "" {
		issuer = "<issuer>"
	}
	return "The provider lists its addresses at " + discovery.URI(issuer)
}
