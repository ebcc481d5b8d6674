// Package chain is the whole way from a password to a verdict: token, identity, revocation. The plugin and the
// command-line tool run this same chain.
package chain

import (
	"context"
	"fmt"
	"time"

	"go-jwt-auth/plugin/config"
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
	cfg        *config.Config
	client     *endpoint.Client
	keys       keyset.Source
	verifier   *token.Verifier
	mapper     identity.Mapper
	revocation *revocation.Introspection // nil where none is configured
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
}

// New builds the chain for cfg. It reads nothing from the network; see Probe.
func New(cfg *config.Config, o Options) (*Chain, error) {
	client, err := endpoint.New(cfg.TLS)
	if err != nil {
		return nil, err
	}
	keys, err := keyset.New(cfg, keyset.Options{Client: client, Now: o.Now, Report: o.Report})
	if err != nil {
		return nil, err
	}
	c := &Chain{
		cfg: cfg, client: client, keys: keys,
		verifier: token.New(cfg, keys, o.Now),
		mapper:   identity.New(cfg.Common),
	}
	if cfg.Revocation != nil {
		c.revocation = revocation.New(cfg.Revocation, client)
	}
	return c, nil
}

// Config is what the chain was built for.
func (c *Chain) Config() *config.Config { return c.cfg }

// Close ends what runs in the background.
func (c *Chain) Close() {
	c.keys.Close()
	c.client.Close()
}

// Check is Verify and then, where that accepts, Confirm.
func (c *Chain) Check(ctx context.Context, login Login) Result {
	result := c.Verify(ctx, login)
	if result.Kind == verdict.Accept {
		c.Confirm(ctx, login, &result)
	}
	return result
}

// Verify judges what can be judged here: the token and the identity. It waits at most maxBlockMs for a fresh key set.
func (c *Chain) Verify(ctx context.Context, login Login) Result {
	header, result, done := c.look(login)
	if done {
		return result
	}
	wait, cancel := context.WithTimeout(ctx, c.cfg.JWKS.MaxBlock)
	defer cancel()
	claims, v := c.verifier.Verify(wait, *login.Password, header, &result.Trace)
	if result.Verdict = v; v.Kind != verdict.Accept {
		return result
	}
	result.Token = claims.ID(*login.Password)
	result.Expiry, _ = claims.Expiry()
	result.Identity, result.Verdict = c.mapper.Map(claims, login.Client, &result.Trace)
	return result
}

// Confirm asks the identity provider about a login that Verify has accepted, and puts its word into result.
func (c *Chain) Confirm(ctx context.Context, login Login, result *Result) {
	if c.revocation == nil {
		return
	}
	result.Verdict = c.revocation.Check(ctx, *login.Password, &result.Trace)
}

// look tells whether there is a token to judge at all; done is true where that decides.
func (c *Chain) look(login Login) (header token.Header, result Result, done bool) {
	decide := func(v verdict.Verdict) (token.Header, Result, bool) {
		result.Verdict = v
		return header, result, true
	}
	if login.Password == nil {
		return decide(c.nonToken(&result.Trace, "no password"))
	}
	password := *login.Password
	result.Token = token.Name(password)
	if most := c.cfg.Common.MaxTokenBytes; len(password) > most {
		return decide(result.Trace.FailWith(verdict.Refuse(verdict.TooLong, "the password has %d bytes, the most is %d ($.options.common.maxTokenBytes)",
			len(password), most), "length", fmt.Sprintf("at most %d bytes", most), fmt.Sprint(len(password))))
	}
	shape, header := token.Look(password)
	switch shape {
	case token.Signed:
		result.Trace.Pass("shape", "a signed token", "a signed token")
		return header, result, false
	case token.Encrypted:
		return decide(result.Trace.FailWith(verdict.Refuse(verdict.Encrypted, "an encrypted token (JWE) can be read by its recipient alone"),
			"shape", "a signed token", "an encrypted token"))
	default:
		return decide(c.nonToken(&result.Trace, "a password of another kind"))
	}
}

func (c *Chain) nonToken(trace *verdict.Trace, found string) verdict.Verdict {
	if c.cfg.Common.OnNonToken == config.NonTokenDeny {
		return trace.FailWith(verdict.Refuse(verdict.NotAToken, "%s, and $.options.common.onNonToken is %q", found, config.NonTokenDeny),
			"shape", "a signed token", found)
	}
	return trace.FailWith(verdict.Verdict{Kind: verdict.Defer}, "shape", "a signed token", found)
}
