package config

import (
	"slices"
)

// check holds the rules that bind several keys together, and fills in what depends on them.
func (d *document) check(c *Config) {
	d.checkAlgorithms(c)
	d.checkMode(c)
	d.checkExpiration(c)
	d.checkIdentity(c)
	d.checkRevocation(c)
	d.checkTLS(c)
}

func (d *document) checkAlgorithms(c *Config) {
	if !d.has("$.algorithm") {
		d.missing("$.algorithm", `must be there: name the algorithm that signs your tokens, e.g. "RS256"`)
	}
	secretAt := slices.IndexFunc(c.Algorithms, symmetric)
	if secretAt < 0 {
		return
	}
	n := d.nodes["$.algorithm"]
	if pairAt := slices.IndexFunc(c.Algorithms, func(a string) bool { return !symmetric(a) }); pairAt >= 0 {
		d.errorf(n, "must not mix algorithms of a shared secret (HS…) with those of a key pair, found %q and %q",
			c.Algorithms[secretAt], c.Algorithms[pairAt])
	}
	// What stands at an address is public. A file of shared secrets (RFC 7518 §6.4) is not.
	if c.Mode == ModeJWKS && d.has("$.options.modes.jwks.uri") {
		d.errorf(n, `must not need a shared secret where the keys come from an address, found %q: name the provider's own (e.g. "RS256"), or keep the secret in options.modes.local or options.modes.jwks.filePath`,
			c.Algorithms[secretAt])
	}
}

func (d *document) checkMode(c *Config) {
	const local, jwks = "$.options.modes.local", "$.options.modes.jwks"
	if !d.has("$.mode") {
		d.missing("$.mode", `must be there: "jwks" (a key set) or "local" (one key or secret)`)
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
	}
}

func (d *document) checkExpiration(c *Config) {
	c.Common.KickExpired = c.Common.KickExpired && c.Common.ValidateExpiration
	if !d.has("$.options.common.requireExpiration") {
		c.Common.RequireExpiration = c.Common.KickExpired
	}
}

func (d *document) checkIdentity(c *Config) {
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
}

func (d *document) checkRevocation(c *Config) {
	const revocation = "$.options.revocation"
	const introspection = revocation + ".introspection"
	if !d.has(revocation) {
		c.Revocation = nil
		return
	}
	if d.has(revocation + ".plain") {
		return // an error already
	}
	if !d.has(introspection) {
		d.missing(introspection, "must be there: revocation needs the endpoint to ask")
		return
	}
	if !d.has(introspection + ".uri") {
		d.missing(introspection+".uri", "must be there: the address of the RFC 7662 endpoint")
	}
	if d.has(introspection+".clientSecret") && !d.has(introspection+".clientId") {
		d.missing(introspection+".clientId", "must be there beside clientSecret")
	}
	one, other := d.nodes[introspection+".includeTokenTypeHint"], d.nodes[introspection+".includeTokenTypehint"]
	if one != nil && other != nil && one.found() != other.found() {
		d.errorf(other, "must not contradict includeTokenTypeHint, found %s and %s: remove one", other.found(), one.found())
	}
}

func (d *document) checkTLS(c *Config) {
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
