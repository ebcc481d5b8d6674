package chain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
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
	var findings []Finding
	var faults []error
	for _, e := range c.endpoints() {
		answer, err := c.client.Head(ctx, e.uri, e.timeout)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: the identity provider can't be reached: %w. %s", e.path, err, c.wayOut(e.uri)))
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
	if len(faults) > 0 {
		return findings, errors.Join(faults...)
	}
	set, err := c.keys.Load(ctx)
	if err != nil {
		path := "$.options.modes.jwks.filePath"
		if c.cfg.JWKS.URI != "" {
			path = "$.options.modes.jwks.uri"
			err = fmt.Errorf("%w. %s", err, c.wayOut(c.cfg.JWKS.URI))
		}
		return findings, fmt.Errorf("%s: %w", path, err)
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

func (c *Chain) endpoints() []probed {
	var all []probed
	if c.cfg.Mode == config.ModeJWKS && c.cfg.JWKS.URI != "" {
		all = append(all, probed{"JWKS endpoint", c.cfg.JWKS.URI, "$.options.modes.jwks.uri", c.cfg.JWKS.Timeout})
	}
	if c.revocation != nil {
		all = append(all, probed{"introspection endpoint", c.revocation.URI(), "$.options.revocation.introspection.uri", c.cfg.Revocation.Timeout})
	}
	return all
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
	return fmt.Sprintf("The provider lists its addresses at %s/.well-known/openid-configuration", strings.TrimSuffix(issuer, "/"))
}
