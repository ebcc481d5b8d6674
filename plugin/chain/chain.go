// Package chain is the whole way from a password to a verdict: token, identity, revocation. The plugin and the
// command-line tool run this same chain.
package chain

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// Options are what a Chain needs from the house.
type Options struct {
	Now func() time.Time
	// Report takes what the operator should know and no login is refused for, from any goroutine.
	Report func(warning bool, text string)
}

// Chain judges logins by one configuration. Safe for concurrent use.
type Chain struct {
	cfg      *config.Config
	client   *endpoint.Client
	provider *discovery.Provider // nil but in mode oidc
	keys     keyset.Source       // nil in mode introspection
	verifier *token.Verifier
	mapper   identity.Mapper
	checker  *revocation.Checker // nil where revocation is not configured
}

// Login is a client with its password; nil where the CONNECT has none.
type Login struct {
	identity.Client
	Password *string
}

// Result is the verdict on a login and all that led to it.
type Result struct {
	verdict.Verdict
	// Identity is what the broker is to change, with Accept.
	Identity identity.Identity
	// Expiry is the token's exp; zero where it has none.
	Expiry time.Time
	// Token names the token in the log.
	Token string
	Trace verdict.Trace

	// token is the token itself, client the login without it.
	token  string
	client identity.Client
	claims token.Claims
}

// New builds the chain for cfg. It reads nothing from the network; see Probe.
func New(cfg *config.Config, o Options) (*Chain, error) {
	client, err := endpoint.New(cfg.TLS)
	if err != nil {
		return nil, err
	}
	if cfg.Mode == config.ModeIntrospection && cfg.Revocation == nil {
		return nil, errors.New("$.options.revocation: must be there in mode introspection")
	}
	c := &Chain{cfg: cfg, client: client, mapper: identity.New(cfg.Common)}
	if cfg.Mode == config.ModeOIDC {
		c.provider = discovery.New(cfg.OIDC.Issuer, cfg.JWKS.Timeout, client, o.Now)
	}
	if cfg.Mode != config.ModeIntrospection {
		if c.keys, err = keyset.New(cfg, keyset.Options{Client: client, Now: o.Now, Locate: c.locateJWKS, Report: o.Report}); err != nil {
			return nil, err
		}
	}
	c.verifier = token.New(cfg, c.keys, o.Now)
	if cfg.Revocation != nil {
		if c.checker, err = revocation.New(cfg.Revocation, client, c.locateIntrospection, o.Now); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Config is what the chain was built for.
func (c *Chain) Config() *config.Config { return c.cfg }

// Close ends what runs in the background.
func (c *Chain) Close() {
	if c.keys != nil {
		c.keys.Close()
	}
	c.client.Close()
}

// Check is Verify and then, where that accepts, Confirm.
func (c *Chain) Check(ctx context.Context, login Login) Result {
	result := c.Verify(ctx, login)
	if result.Kind == verdict.Accept {
		c.Confirm(ctx, &result)
	}
	return result
}

// Verify judges what can be judged here: the token and the identity. It waits at most maxBlockMs for a fresh key set. In
// mode introspection all of that has to wait for Confirm.
func (c *Chain) Verify(ctx context.Context, login Login) Result {
	header, result, done := c.look(login)
	if done {
		return result
	}
	wait, cancel := context.WithTimeout(ctx, c.cfg.JWKS.MaxBlock)
	defer cancel()
	claims, v := c.verifier.Verify(wait, result.token, header, &result.Trace)
	if result.Verdict = v; v.Kind == verdict.Accept {
		c.identify(claims, &result)
	}
	return result
}

// Confirm asks the identity provider about a login that Verify has accepted, and puts its word into result.
func (c *Chain) Confirm(ctx context.Context, result *Result) {
	if c.checker == nil {
		return
	}
	said, v := c.checker.Check(ctx, result.token, result.Expiry, &result.Trace)
	result.Verdict = v
	if c.cfg.Mode == config.ModeIntrospection {
		// Nothing but the answer speaks for the token.
		if v.Kind == verdict.Accept {
			c.judge(token.NewClaims(said), result)
		}
		return
	}
	id := c.cfg.Revocation.Introspection.ClientID
	switch {
	case v.Reason == verdict.ProviderUnavailable && c.cfg.Revocation.OnUnavailable == config.UnavailableAllow:
		result.Verdict = verdict.Verdict{Kind: verdict.Accept, Detail: v.String()}
	case v.Reason == verdict.Revoked && id != "" && !result.claims.HasAudience(id):
		// Keycloak since 26.6.2, for one; it says so in its own log alone.
		result.Detail += fmt.Sprintf("; some providers say so of a token whose aud does not hold %s ($.options.revocation.introspection.clientId)",
			verdict.Quote(id))
	}
}

// judge checks the claims of an introspection response, and takes the identity from good ones.
func (c *Chain) judge(claims token.Claims, result *Result) {
	if result.Verdict = c.verifier.CheckClaims(claims, &result.Trace); result.Kind == verdict.Accept {
		c.identify(claims, result)
	}
}

// identify takes from the claims of a good token what is to be known of the client.
func (c *Chain) identify(claims token.Claims, result *Result) {
	result.claims = claims
	result.Token = claims.ID(result.token)
	result.Expiry, _ = claims.Expiry()
	result.Identity, result.Verdict = c.mapper.Map(claims, result.client, &result.Trace)
}

// look finds the token; done is true where that decides already.
func (c *Chain) look(login Login) (header token.Header, result Result, done bool) {
	decide := func(v verdict.Verdict) (token.Header, Result, bool) {
		result.Verdict = v
		return header, result, true
	}
	shape, header := token.Other, token.Header{}
	result.client = login.Client
	for _, source := range c.cfg.Common.TokenSource {
		field := login.Password
		if source == config.TokenInUsername {
			field = login.Username
		}
		if field == nil || *field == "" {
			continue
		}
		if most := c.cfg.Common.MaxTokenBytes; len(*field) > most {
			return decide(result.Trace.FailWith(verdict.Refuse(verdict.TooLong, "%d bytes, the most is %d ($.options.common.maxTokenBytes)",
				len(*field), most), "length", fmt.Sprintf("at most %d bytes", most), strconv.Itoa(len(*field))))
		}
		if shape, header = c.shape(*field); shape == token.Other {
			continue
		}
		result.token, result.Token = *field, token.Name(*field)
		if source == config.TokenInUsername {
			result.client.Username = nil // it has said nothing of who it is
		}
		break
	}
	switch {
	case result.token == "":
		return decide(c.nonToken(login, &result.Trace))
	case c.cfg.Mode == config.ModeIntrospection:
		return decide(verdict.Verdict{Kind: verdict.Accept})
	case shape == token.Encrypted:
		return decide(result.Trace.FailWith(verdict.Refuse(verdict.Encrypted, "an encrypted token (JWE) can be read by its recipient alone"),
			"shape", "a signed token", "an encrypted token"))
	}
	result.Trace.Pass("shape", "a signed token", "a signed token")
	return header, result, false
}

// shape is what a field looks like. In mode introspection everything is a token, as nobody but the provider can tell.
func (c *Chain) shape(field string) (token.Shape, token.Header) {
	if c.cfg.Mode == config.ModeIntrospection {
		return token.Signed, token.Header{}
	}
	return token.Look(field)
}

func (c *Chain) nonToken(login Login, trace *verdict.Trace) verdict.Verdict {
	found := "a password of another kind"
	if login.Password == nil {
		found = "no password"
	}
	if c.cfg.Common.OnNonToken == config.NonTokenDeny {
		return trace.FailWith(verdict.Refuse(verdict.NotAToken, "%s, and $.options.common.onNonToken is %q", found, config.NonTokenDeny),
			"shape", "a signed token", found)
	}
	return trace.FailWith(verdict.Verdict{Kind: verdict.Defer}, "shape", "a signed token", found)
}

func (c *Chain) locateJWKS(ctx context.Context) (string, error) {
	doc, err := c.provider.Document(ctx)
	return doc.JWKSURI, err
}

// locateIntrospection is asked where the configuration has no address, that is in mode oidc alone.
func (c *Chain) locateIntrospection(ctx context.Context) (string, error) {
	doc, err := c.provider.Document(ctx)
	if err == nil && doc.IntrospectionURI == "" {
		err = fmt.Errorf("%s names no introspection_endpoint: set $.options.revocation.introspection.uri", c.provider.URI())
	}
	return doc.IntrospectionURI, err
}
