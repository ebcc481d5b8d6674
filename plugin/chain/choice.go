package chain

import (
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// choice knows which provider answers for which token.
type choice struct {
	// only is the one of a file with one provider.
	only *provider.Provider
	// opaque has mode introspection; nil: there is none.
	opaque *provider.Provider
	// claimedBy is provider.Login's; nil if there is one provider.
	claimedBy func(issuer string, other *provider.Provider) string
}

func newChoice(providers []*provider.Provider) choice {
	c := choice{only: providers[0]}
	if c.only.Opaque() {
		c.opaque = c.only
	}
	return c
}

// classify tells what a field looks like. If nothing but opaque tokens is accepted, nobody but the provider can tell.
func (c *choice) classify(field string) (token.Shape, token.Header) {
	if c.only != nil && c.opaque != nil {
		return token.Other, token.Header{}
	}
	return token.Classify(field)
}

// of chooses the provider for a token of this shape; with none, the verdict says why.
func (c *choice) of(shape token.Shape, login *provider.Login) (*provider.Provider, verdict.Verdict) {
	switch {
	case c.opaque != nil:
		if v := checkOpaque(login); v != nil {
			return nil, *v
		}
		return c.opaque, verdict.Verdict{}
	case shape == token.Encrypted:
		return nil, login.Trace.FailWith(verdict.Refuse(verdict.Encrypted, "an encrypted token (JWE) can be read by its recipient alone"),
			"shape", "a signed token", "an encrypted token")
	}
	login.Trace.Pass("shape", "a signed token", "a signed token")
	return c.only, verdict.Verdict{}
}
