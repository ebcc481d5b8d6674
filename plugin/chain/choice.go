package chain

import (
	"fmt"
	"slices"
	"strings"

	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// choice knows which provider answers for which token. It is made by the token's iss alone (RFC 7519 §4.1.1), before any
// signature is checked: by whose keys that is done depends on it.
type choice struct {
	// only is the provider of a file without names: it answers for everything.
	only *provider.Provider
	// byIssuer are those that claim an issuer to the letter.
	byIssuer map[string]*provider.Provider
	// patterns are those of which an issuer holds a claim of the token's.
	patterns []*provider.Provider
	// rest answers for tokens whose iss no other claims, or that have none; nil: they are refused.
	rest *provider.Provider
	// opaque has mode introspection, and answers for what is not a JWT; nil: there is none.
	opaque *provider.Provider
	// issuers are all that are claimed, for messages.
	issuers []string
}

func newChoice(providers []*provider.Provider) *choice {
	c := &choice{byIssuer: map[string]*provider.Provider{}}
	if providers[0].Name() == "" {
		c.only = providers[0]
	}
	for _, p := range providers {
		cfg := p.Config()
		if p.Opaque() {
			c.opaque = p
		}
		// One of mode introspection takes JWTs without an issuer only if no other does.
		if len(cfg.Common.Issuers) == 0 && (c.rest == nil || c.rest.Opaque()) {
			c.rest = p
		}
		for _, issuer := range cfg.ExactIssuers() {
			c.byIssuer[issuer] = p
		}
		for _, issuer := range cfg.Common.Issuers {
			if _, literal := issuer.Literal(); !literal && !slices.Contains(c.patterns, p) {
				c.patterns = append(c.patterns, p)
			}
			c.issuers = append(c.issuers, verdict.Quote(issuer.String()))
		}
	}
	return c
}

// claims is the provider that claims an issuer, or nil. A tenant that is not on the list of the provider whose tenants it could
// be is that one's affair, which refuses it.
func (c *choice) claims(issuer string) *provider.Provider {
	if p := c.byIssuer[issuer]; p != nil {
		return p
	}
	for _, p := range c.patterns {
		if p.Config().ClaimsIssuer(issuer) {
			return p
		}
	}
	return nil
}

// claimedBy names the provider other than this one that claims an issuer; empty: none does.
func (c *choice) claimedBy(issuer string, other *provider.Provider) string {
	if p := c.claims(issuer); p != nil && p != other {
		return p.Name()
	}
	return ""
}

// classify tells what a field looks like. If nothing but opaque tokens is accepted, nobody but the provider can tell. With by comes
// the provider for a signed token, if that is plain; one that has accepted it before knows its header.
func (c *choice) classify(text token.Text) (shape token.Shape, header token.Header, by *provider.Provider) {
	if c.only != nil && c.only.Opaque() {
		return token.Other, token.Header{}, nil
	}
	if by = c.only; by == nil && text.MayBeSigned() {
		by = c.claimant(text)
	}
	if by != nil {
		if header, known := by.KnownHeader(text); known {
			return token.Signed, header, by
		}
	}
	shape, header = token.Classify(text.Reveal())
	return shape, header, by
}

// claimant is the provider for a signed token; nil: none, or its iss can't be read.
func (c *choice) claimant(text token.Text) *provider.Provider {
	var buffer [issuerSpace]byte
	iss, found, err := token.Issuer(buffer[:0], text.Reveal())
	if err != nil {
		return nil
	}
	chosen, _ := c.chooseBy(iss, found)
	return chosen
}

// of chooses the provider for a token of this shape; if there is none, the verdict says why. by is what classify has found.
func (c *choice) of(shape token.Shape, by *provider.Provider, login *provider.Login) (chosen *provider.Provider, v verdict.Verdict) {
	switch {
	case c.only != nil && (c.only.Opaque() || shape == token.Signed):
		chosen = c.only
	case shape == token.Signed && by != nil && login.Trace == nil:
		chosen = by
	case shape == token.Signed:
		chosen, v = c.byIss(login)
	case c.opaque != nil:
		chosen = c.opaque
		login.Trace.Pass("provider", "mode introspection, as it is not a signed token", chosen.Name())
	default:
		v = login.Trace.FailWith(verdict.Refuse(verdict.Encrypted, "an encrypted token (JWE) can be read by its recipient alone"),
			"shape", "a signed token", "an encrypted token")
	}
	switch {
	case chosen == nil:
		return nil, v
	case chosen.Opaque():
		login.Header = token.Header{}
		if refused := checkOpaque(login); refused != nil {
			return nil, *refused
		}
		return chosen, v
	}
	login.Trace.Pass("shape", "a signed token", "a signed token")
	return chosen, v
}

// issuerSpace is more than issuers need, in bytes; longer ones are found as well.
const issuerSpace = 256

// chooseBy chooses by iss, if a token has one, and says why; nil: none answers for it.
func (c *choice) chooseBy(iss []byte, found bool) (chosen *provider.Provider, because string) {
	chosen, because = c.byIssuer[string(iss)], "the one that claims iss"
	if !found {
		chosen = nil
	} else if chosen == nil && len(c.patterns) > 0 {
		chosen = c.claims(string(iss))
	}
	if chosen == nil {
		return c.rest, "the one without issuer, as no other claims iss"
	}
	return chosen, because
}

// byIss chooses by the iss of a signed token.
func (c *choice) byIss(login *provider.Login) (*provider.Provider, verdict.Verdict) {
	var buffer [issuerSpace]byte
	iss, found, err := token.Issuer(buffer[:0], login.Token.Reveal())
	if err != nil {
		return nil, login.Trace.FailWith(verdict.Refuse(verdict.Malformed, "%s", err), "iss", "one that can be read", err.Error())
	}
	chosen, because := c.chooseBy(iss, found)
	shown := "none"
	if found {
		shown = verdict.Quote(string(iss))
	}
	if chosen == nil {
		return nil, login.Trace.Fail(verdict.WrongIssuer, "iss", c.known(), shown)
	}
	login.Trace.Pass("provider", because+" "+shown, chosen.Name())
	return chosen, verdict.Verdict{}
}

// maxKnown is how many issuers a refusal lists.
const maxKnown = 8

// known lists the issuers that are claimed.
func (c *choice) known() string {
	listed := strings.Join(c.issuers[:min(len(c.issuers), maxKnown)], ", ")
	if more := len(c.issuers) - maxKnown; more > 0 {
		return fmt.Sprintf("one of %s and %d more", listed, more)
	}
	return "one of " + listed
}
