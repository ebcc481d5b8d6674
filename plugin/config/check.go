package config

import (
	"slices"
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// check holds the rules that bind several keys together, and fills in what depends on them.
func (d *document) check(file *Config, c *Provider) {
	d.checkAlgorithms(c)
	d.checkMode(c)
	d.checkExpiration(c)
	d.checkIdentity(c)
	d.checkTokenSource(file, c)
	d.checkRevocation(c)
	d.checkTLS(c)
}

func (d *document) checkAlgorithms(c *Provider) {
	n := d.nodes["$.algorithm"]
	switch {
	case c.Mode == ModeIntrospection:
		c.Algorithms = nil
		return
	case n == nil:
		d.missing("$.algorithm", `must be there: name the algorithm that signs your tokens, e.g. "RS256"`)
	}
	secretAt := slices.IndexFunc(c.Algorithms, symmetric)
	if secretAt < 0 {
		return
	}
	if pairAt := slices.IndexFunc(c.Algorithms, func(a string) bool { return !symmetric(a) }); pairAt >= 0 {
		d.errorf(n, "must not mix algorithms of a shared secret (HS…) with those of a key pair, found %q and %q",
			c.Algorithms[secretAt], c.Algorithms[pairAt])
	}
	// What stands at an address is public. A file of shared secrets (RFC 7518 §6.4) is not.
	if c.Mode == ModeOIDC || c.Mode == ModeJWKS && d.has("$.options.modes.jwks.uri") {
		d.errorf(n, `must not need a shared secret where the keys come from an address, found %q: name the provider's own (e.g. "RS256"), or keep the secret in options.modes.local or options.modes.jwks.filePath`,
			c.Algorithms[secretAt])
	}
}

func (d *document) checkMode(c *Provider) {
	const local, jwks = "$.options.modes.local", "$.options.modes.jwks"
	if !d.has("$.mode") {
		d.missing("$.mode", `must be there: "jwks" (a key set), "oidc" (the key set that the issuer names), "local" (one key or secret) or "introspection" (opaque tokens)`)
	}
	switch c.Mode {
	case ModeLocal:
		if !d.has(local) {
			d.missing(local, `must be there in mode "local": the secret or public key, or an object with "plain", "env" or "filePath"`)
		}
		c.JWKS = JWKS{}
	case ModeJWKS:
		uri, file := d.has(jwks+".uri"), d.has(jwks+".filePath")
		switch {
		case uri && file:
			d.errorf(d.nodes[jwks+".filePath"], `must not stand beside "uri": the key set comes from one of them`)
		case !uri && !file:
			d.missing(jwks, `must hold "uri" or "filePath" in mode "jwks"`)
		}
	case ModeOIDC:
		d.checkOIDC(c)
	case ModeIntrospection:
		d.checkOpaque()
		c.JWKS = JWKS{}
	}
}

func (d *document) checkOIDC(c *Provider) {
	const issuer = "$.options.modes.oidc.issuer"
	if !d.has(issuer) {
		d.missing(issuer, `must be there in mode "oidc": the issuer, exactly as tokens have it in "iss"`)
	}
	for _, source := range []string{"$.options.modes.jwks.uri", "$.options.modes.jwks.filePath"} {
		if n := d.nodes[source]; n != nil {
			d.errorf(n, `must not stand in mode "oidc": the issuer's discovery document names the key set`)
		}
	}
	if expected := c.Common.Issuer; expected != "" && c.OIDC.Issuer != "" && expected != c.OIDC.Issuer {
		d.errorf(d.nodes["$.options.common.issuer"], "must be options.modes.oidc.issuer to the letter, found %s and %s: remove it, since it follows from that",
			verdict.Quote(expected), verdict.Quote(c.OIDC.Issuer))
	}
	c.Common.Issuer = c.OIDC.Issuer
}

// checkOpaque warns of what is about signatures, where none is checked.
func (d *document) checkOpaque() {
	for _, key := range []string{"$.algorithm", "$.options.common.tokenType", "$.options.common.allowWeakKeys"} {
		if n := d.nodes[key]; n != nil {
			d.warnf(n, `has no effect in mode "introspection": opaque tokens have neither header nor signature to check`)
		}
	}
}

func (d *document) checkExpiration(c *Provider) {
	c.Common.KickExpired = c.Common.KickExpired && c.Common.ValidateExpiration
	if !d.has("$.options.common.requireExpiration") {
		c.Common.RequireExpiration = c.Common.KickExpired
	}
}

func (d *document) checkIdentity(c *Provider) {
	for _, rule := range []struct {
		on           bool
		key, partner string
	}{
		{c.Common.MatchUsername, "$.options.common.usernameClaim", "matchUsernameToSubject"},
		{c.Common.MatchClientID, "$.options.common.clientIdClaim", "matchClientIdToSubject"},
	} {
		if n := d.nodes[rule.key]; n != nil && !rule.on {
			d.warnf(n, "has no effect unless %s is true", rule.partner)
		}
	}
	if n := d.nodes["$.options.common.reservedNames"]; n != nil && !c.Common.MatchUsername && !c.Common.MatchClientID {
		d.warnf(n, "has no effect unless matchUsernameToSubject or matchClientIdToSubject is true: clients keep any name that they claim")
	}
}

func (d *document) checkTokenSource(file *Config, c *Provider) {
	if !slices.Contains(file.TokenSource, TokenInUsername) {
		return
	}
	if !c.Common.MatchUsername {
		d.errorf(d.nodes["$.options.common.tokenSource"], `must not hold "username" unless matchUsernameToSubject is true: the token would stay the client's username, which the broker logs`)
	}
	if c.Common.OnMismatch == MismatchDeny {
		d.errorf(d.nodes["$.options.common.onSubjectMismatch"], `must not be "deny" where tokenSource holds "username": a username that is a token never matches the subject`)
	}
}

func (d *document) checkRevocation(c *Provider) {
	const revocation, introspection, plain = "$.options.revocation", "$.options.revocation.introspection", "$.options.revocation.plain"
	switch opaque := c.Mode == ModeIntrospection; {
	case opaque && !d.has(introspection):
		d.missing(introspection, `must be there in mode "introspection": it judges the tokens`)
	case opaque && d.has(plain):
		d.errorf(d.nodes[plain], `must not stand in mode "introspection": such an endpoint does not say whose token it is`)
	case d.has(introspection) && d.has(plain):
		d.errorf(d.nodes[plain], `must not stand beside "introspection": one endpoint is asked`)
	case d.has(revocation) && !d.has(introspection) && !d.has(plain):
		d.missing(revocation, `must hold "introspection" or "plain": the endpoint to ask`)
	}
	d.checkTime(c)
	if c.Mode == ModeIntrospection && c.Revocation.OnUnavailable == UnavailableAllow {
		d.errorf(d.nodes[revocation+".onUnavailable"], `must be "deny" in mode "introspection": nothing but the answer speaks for a token`)
	}
	if d.has(introspection) {
		d.checkIntrospection(c)
	} else {
		c.Revocation.Introspection = Introspection{}
	}
	if d.has(plain) {
		d.checkPlain()
	} else {
		c.Revocation.Plain = nil
	}
	if !d.has(revocation) {
		c.Revocation = nil
	}
}

// checkTime is about when the endpoint is asked. In mode introspection an answer may have to wait for the next attempt
// whatever `check` is, since nothing is known of the client before it.
func (d *document) checkTime(c *Provider) {
	const revocation = "$.options.revocation"
	opaque := c.Mode == ModeIntrospection
	if opaque && c.Revocation.Check == CheckAfterConnect {
		d.errorf(d.nodes[revocation+".check"], `must be "beforeConnect" or "onRetry" in mode "introspection": nothing but the answer speaks for a token`)
	}
	if n := d.nodes[revocation+".retryWindowMs"]; n != nil && !opaque && c.Revocation.Check != CheckOnRetry {
		d.warnf(n, `has no effect unless check is "onRetry"`)
	}
}

func (d *document) checkIntrospection(c *Provider) {
	const introspection = "$.options.revocation.introspection"
	if !d.has(introspection+".uri") && c.Mode != ModeOIDC && c.Mode != "" {
		d.missing(introspection+".uri", "must be there: the address of the RFC 7662 endpoint")
	}
	d.checkClient(c.Revocation.Introspection)
	one, other := d.nodes[introspection+".includeTokenTypeHint"], d.nodes[introspection+".includeTokenTypehint"]
	if one != nil && other != nil && one.Found() != other.Found() {
		d.errorf(other, "must not contradict includeTokenTypeHint, found %s and %s: remove one", other.Found(), one.Found())
	}
	authorized := slices.ContainsFunc(c.Revocation.Introspection.Request.Headers, func(h Header) bool {
		return strings.EqualFold(h.Name, "Authorization")
	})
	basic := c.Revocation.Introspection.ClientAuthentication == ClientBasic || c.Revocation.Introspection.ClientAuthentication == ClientBasicRaw
	if n := d.nodes[introspection+".clientId"]; n != nil && authorized && basic {
		d.warnf(n, `has no effect beside an "Authorization" header in requestParameters, which goes in its place`)
	}
}

// checkClient is about how the client authenticates itself.
func (d *document) checkClient(i Introspection) {
	const id, secret, key = "$.options.revocation.introspection.clientId", "$.options.revocation.introspection.clientSecret", "$.options.revocation.introspection.clientKey"
	const manner = "$.options.revocation.introspection.clientAuthentication"
	if !d.has(id) {
		for _, path := range []string{secret, manner, key, key + "Id"} {
			if d.has(path) {
				d.missing(id, "must be there beside "+path[strings.LastIndex(path, ".")+1:])
				break
			}
		}
	}
	signs := i.ClientAuthentication == ClientPrivateKeyJWT
	switch {
	case signs && !d.has(key):
		d.missing(key, `must be there where clientAuthentication is "privateKeyJwt": the private key in PEM`)
	case signs && d.has(secret):
		d.errorf(d.nodes[secret], `must not stand beside clientAuthentication "privateKeyJwt": the key goes in its place`)
	case !signs && d.has(key):
		d.errorf(d.nodes[key], `must not be there unless clientAuthentication is "privateKeyJwt"`)
	case !signs && d.has(key+"Id"):
		d.errorf(d.nodes[key+"Id"], `must not be there unless clientAuthentication is "privateKeyJwt"`)
	case i.ClientAuthentication == ClientBasicRaw && strings.Contains(i.ClientID, ":"):
		d.errorf(d.nodes[id], `must not hold ":" where clientAuthentication is "basicRaw": the server would take what follows for the secret`)
	}
}

func (d *document) checkPlain() {
	const plain, path, value = "$.options.revocation.plain", "$.options.revocation.plain.response.jsonPath", "$.options.revocation.plain.response.successValue"
	if !d.has(plain + ".uri") {
		d.missing(plain+".uri", "must be there: the address of the endpoint to ask")
	}
	switch {
	case d.has(path) && !d.has(value):
		d.missing(value, "must be there beside jsonPath: the value that means that a token is active")
	case d.has(value) && !d.has(path):
		d.missing(path, "must be there beside successValue: where in the answer the value stands")
	}
}

func (d *document) checkTLS(c *Provider) {
	const tls = "$.options.tls"
	switch cert, key := d.has(tls+".certFile"), d.has(tls+".keyFile"); {
	case cert && !key:
		d.missing(tls+".keyFile", "must be there beside certFile")
	case key && !cert:
		d.missing(tls+".certFile", "must be there beside keyFile")
	}
	if c.TLS.InsecureSkipVerify {
		d.warnf(d.nodes[tls+".insecureSkipVerify"], "lets anybody on the way pose as the identity provider: use caFile for a private authority instead")
	}
}
