package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// Issuer is one entry of `$.options.common.issuer`: what `iss` must be to the letter, or a pattern with one claim of the
// token's own in it, such as "https://login.microsoftonline.com/{claim:tid}/v2.0".
type Issuer struct {
	// before and after are the text around the claim; without claim, before is all.
	before, claim, after string
	// values are what requiredClaims admits in the claim's place, each of one path segment at the most.
	values []string
}

// ExactIssuer is one that `iss` must be to the letter.
func ExactIssuer(iss string) Issuer { return Issuer{before: iss} }

// Literal is what `iss` must be to the letter; false if that depends on a claim.
func (i Issuer) Literal() (string, bool) { return i.before, i.claim == "" }

// Expand returns all issuers that it stands for: the literal one, or one for each value that `requiredClaims` admits.
func (i Issuer) Expand() []string {
	if i.claim == "" {
		return []string{i.before}
	}
	all := make([]string, len(i.values))
	for n, value := range i.values {
		all[n] = i.before + value + i.after
	}
	return all
}

// Match tells whether a token's `iss` is this issuer, with the token's own claim in its place. lookup finds a claim of the
// token by its dotted path. That the claim has one of the required values is for the check of required claims to say.
func (i Issuer) Match(iss string, lookup func(path string) (any, bool)) bool {
	if i.claim == "" {
		return iss == i.before
	}
	value, _ := lookup(i.claim)
	text, _ := value.(string)
	return isSegment(text) && iss == i.before+text+i.after
}

// String is the issuer as the file has it.
func (i Issuer) String() string {
	if i.claim == "" {
		return i.before
	}
	return i.before + "{claim:" + i.claim + "}" + i.after
}

// covers tells whether iss is this issuer for some value of the claim, required or not.
func (i Issuer) covers(iss string) bool {
	if i.claim == "" {
		return iss == i.before
	}
	rest, begins := strings.CutPrefix(iss, i.before)
	value, ends := strings.CutSuffix(rest, i.after)
	return begins && ends && isSegment(value)
}

// isSegment tells what can stand in a claim's place: one segment of a path.
func isSegment(value string) bool { return value != "" && !strings.Contains(value, "/") }

// ExactIssuers are all issuers that the provider answers for, to the letter; none if it has no issuer.
func (p *Provider) ExactIssuers() []string {
	var all []string
	for _, i := range p.Common.Issuers {
		all = append(all, i.Expand()...)
	}
	return all
}

// ClaimsIssuer tells whether a token of iss is this provider's affair: iss is one of ExactIssuers, or fits a pattern with any
// single path segment in the claim's place. A tenant that is not admitted is so refused here, and left to no other provider.
func (p *Provider) ClaimsIssuer(iss string) bool {
	return slices.ContainsFunc(p.Common.Issuers, func(i Issuer) bool { return i.covers(iss) })
}

// SoleIssuer is the one issuer that the provider answers for; empty if it has none or several.
func (p *Provider) SoleIssuer() string {
	if len(p.Common.Issuers) == 1 {
		if all := p.Common.Issuers[0].Expand(); len(all) == 1 {
			return all[0]
		}
	}
	return ""
}

// id tells it from every other issuer. What requiredClaims admits does not count.
func (i Issuer) id() string { return fmt.Sprintf("%q", []string{i.before, i.claim, i.after}) }

// issuers reads what `iss` must be: a string or an array of at least one.
func issuers(to *[]Issuer) reader {
	return func(d *document, n *node) {
		var texts []string
		list(&texts, func(d *document, n *node) (string, bool) {
			text, ok := word(d, n)
			if !ok {
				return "", false
			}
			issuer, wrong := parseIssuer(text)
			if wrong != "" {
				d.errorf(n, "%s", wrong)
				return "", false
			}
			if slices.ContainsFunc(*to, func(i Issuer) bool { return i.id() == issuer.id() }) {
				return text, true // list warns of it
			}
			checkTenant(d, n, text)
			*to = append(*to, issuer)
			return text, true
		})(d, n)
	}
}

// parseIssuer takes an entry apart; wrong says what is the matter with it.
func parseIssuer(text string) (i Issuer, wrong string) {
	pieces, wrong := takeApart(text)
	if wrong != "" {
		return Issuer{}, wrong
	}
	var around [2]string
	found := 0
	for _, p := range pieces {
		claim, isClaim := strings.CutPrefix(p.placeholder, "claim:")
		switch {
		case p.placeholder == "":
			around[found] += p.text
		case !isClaim || claim == "":
			return Issuer{}, "must hold no placeholder but {claim:NAME}, such as {claim:tid}, found " + verdict.Quote("{"+p.placeholder+"}")
		case found > 0:
			return Issuer{}, "must hold one placeholder at the most, found " + verdict.Quote("{"+i.claim+"}") + " and " + verdict.Quote("{"+claim+"}")
		default:
			i.claim, found = claim, 1
		}
	}
	i.before, i.after = around[0], around[1]
	return i, ""
}

// checkIssuers looks the claims that stand in issuers up in requiredClaims: without them every tenant of the provider gets in.
func (s *scope) checkIssuers(c *Provider) {
	for n := range c.Common.Issuers {
		i := &c.Common.Issuers[n]
		if i.claim == "" {
			continue
		}
		at := s.issuerNode(*i)
		required := slices.IndexFunc(c.Common.RequiredClaims, func(r RequiredClaim) bool { return r.Path == i.claim })
		if required < 0 {
			s.errorf(at, "must not hold {claim:%s} unless requiredClaims lists the values of %s that are yours: every tenant of the provider would get in", i.claim, verdict.Quote(i.claim))
			continue
		}
		for _, value := range c.Common.RequiredClaims[required].Values {
			text, _ := value.(string)
			if !isSegment(text) {
				s.errorf(at, `must not hold {claim:%s} unless its values in requiredClaims are strings without "/" that are not empty, found %s`, i.claim, verdict.Quote(fmt.Sprint(value)))
				break
			}
			i.values = append(i.values, text)
		}
	}
}

// issuerNode is where an issuer stands.
func (s *scope) issuerNode(i Issuer) *node {
	n := s.nodes["options.common.issuer"]
	if n == nil {
		return s.nodes["options.modes.oidc.issuer"]
	}
	items, _ := n.Value.(array)
	for _, item := range items {
		if text, ok := item.Value.(string); ok {
			if found, _ := parseIssuer(text); found.id() == i.id() {
				return item
			}
		}
	}
	return n
}

// discoveryIssuer reads the base of a discovery document (OpenID Connect Discovery §3): an address with neither query nor
// fragment. A slash at its end is part of it, since iss is compared exactly.
func discoveryIssuer(to *string) reader {
	return func(d *document, n *node) {
		if text, _ := n.Value.(string); strings.Contains(text, "{claim:") {
			d.errorf(n, `must not hold {claim:…}, since it is the address of one discovery document: for several tenants take mode "jwks", and options.common.issuer`)
			return
		}
		var raw string
		endpoint(&raw)(d, n)
		switch {
		case strings.Contains(raw, "?"):
			d.errorf(n, `must not hold a query, found "?": an issuer has none`)
		case strings.HasSuffix(strings.TrimSuffix(raw, "/"), "/.well-known/openid-configuration"):
			d.errorf(n, `must be the issuer itself, found the address of its discovery document: remove "/.well-known/openid-configuration"`)
		default:
			checkTenant(d, n, raw)
			*to = raw
		}
	}
}

// everyTenant are the addresses of Microsoft Entra ID (Azure AD) that stand for many tenants, each of which has an issuer of
// its own: neither a discovery document nor a token names one of these.
var everyTenant = regexp.MustCompile(`(?i)^https?://(?:login\.microsoftonline\.(?:com|us)|login\.partner\.microsoftonline\.cn|login\.windows\.net|sts\.windows\.net)/(common|organizations|consumers)(?:/|$)`)

func checkTenant(d *document, n *node, issuer string) {
	if found := everyTenant.FindStringSubmatch(issuer); found != nil {
		d.errorf(n, `must name your tenant, found %s: tokens name the tenant that they are of, and none has this issuer; put the tenant's id there, as in "https://login.microsoftonline.com/<tenant id>/v2.0". For several tenants take mode "jwks", "https://login.microsoftonline.com/{claim:tid}/v2.0" as options.common.issuer, and their ids as "tid" in requiredClaims`,
			verdict.Quote(found[1]))
	}
}
