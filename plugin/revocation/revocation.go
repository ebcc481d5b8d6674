// Package revocation asks the identity provider whether a token is still active: at an introspection endpoint (RFC
// 7662), or at one of the user's own kind.
package revocation

import (
	"context"
	"errors"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/verdict"
)

// Locate returns the address of the endpoint. It may have to ask the provider's discovery document for it.
type Locate func(ctx context.Context) (string, error)

// Checker asks one endpoint. Safe for concurrent use.
type Checker struct {
	protocol
	client  *endpoint.Client
	timeout time.Duration
	locate  Locate
	cache   *cache
}

// protocol is how a kind of endpoint is asked and understood.
type protocol interface {
	// name is the step's name in the trace, expected what the answer must say there.
	name() string
	expected() string
	request(uri, token string) (endpoint.Request, error)
	// read returns what the answer says. An error means that nothing was learnt.
	read(answer *endpoint.Answer) (answered, error)
}

// answered is what an endpoint has said of a token.
type answered struct {
	active bool
	// claims are those of an introspection response.
	claims map[string]any
	// found is what stood where the expected was looked for.
	found string
}

// New returns the Checker that cfg describes. locate is asked where cfg has no address.
func New(cfg *config.Revocation, client *endpoint.Client, locate Locate, now func() time.Time) (*Checker, error) {
	answers, err := newCache(cfg.Cache, now)
	if err != nil {
		return nil, err
	}
	c := &Checker{client: client, timeout: cfg.Timeout, locate: locate, cache: answers}
	uri := cfg.Introspection.URI
	if cfg.Plain != nil {
		c.protocol, uri = plain{*cfg.Plain}, cfg.Plain.URI
	} else {
		c.protocol = introspection{cfg.Introspection}
	}
	if uri != "" {
		c.locate = func(context.Context) (string, error) { return uri, nil }
	}
	return c, nil
}

// URI is the address of the endpoint.
func (c *Checker) URI(ctx context.Context) (string, error) { return c.locate(ctx) }

// errUnfit is a token that can't be put where the request wants it.
var errUnfit = errors.New("the token holds characters that can't stand in an HTTP header")

// Check asks whether the token, which expires then (zero: not known), is active: the cache first, then the endpoint, once. It waits for the answer for the configured timeout at most. The verdict
// is Accept, Deny with Revoked, or Deny with ProviderUnavailable where nothing was learnt. The claims are what an
// introspection response says about an active token (RFC 7662 §2.2).
func (c *Checker) Check(ctx context.Context, token string, expires time.Time, trace *verdict.Trace) (map[string]any, verdict.Verdict) {
	said, shown, err := c.ask(ctx, token, expires)
	switch {
	case errors.Is(err, errUnfit):
		return nil, trace.FailWith(verdict.Refuse(verdict.Malformed, "%s", err), c.name(), c.expected(), "no question could be asked")
	case err != nil:
		return nil, trace.FailWith(verdict.Refuse(verdict.ProviderUnavailable, "%s", err), c.name(), c.expected(), err.Error())
	case !said.active:
		return nil, trace.FailWith(verdict.Refuse(verdict.Revoked, "%s says that it is not active: %s", shown, said.found), c.name(), c.expected(), said.found)
	}
	trace.Pass(c.name(), c.expected(), said.found)
	return said.claims, verdict.Verdict{Kind: verdict.Accept}
}

func (c *Checker) ask(ctx context.Context, token string, expires time.Time) (said answered, shown string, err error) {
	uri, err := c.locate(ctx)
	if err != nil {
		return answered{}, "", err
	}
	q := questionOf(uri, token)
	if said, found := c.cache.get(q); found {
		return said, endpoint.Shown(uri), nil
	}
	request, err := c.request(uri, token)
	if err != nil {
		return answered{}, "", err
	}
	request.Name = endpoint.Shown(uri)
	answer, err := c.client.Do(ctx, c.timeout, request)
	if err != nil {
		return answered{}, "", err
	}
	if said, err = c.read(answer); err == nil {
		c.cache.put(q, said, expires)
	}
	return said, request.Name, err
}
