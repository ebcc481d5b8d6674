package config

import (
	"slices"
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// check holds the rules that bind several keys together, and fills in what depends on them.
func (s *scope) check(file *Config, c *Provider) {
	s.checkAlgorithms(c)
	s.checkIssuers(c)
	s.checkMode(c)
	s.checkRequests(c)
	s.checkExpiration(c)
	s.checkIdentity(c)
	s.checkTokenSource(file, c)
	s.checkRevocation(file, c)
	s.checkTLS(c)
	s.checkAuthorization(c)
}

func (s *scope) checkAlgorithms(c *Provider) {
	n := s.nodes["algorithm"]
	switch {
	case c.Mode == ModeIntrospection:
		c.Algorithms = nil
		return
	case n == nil:
		s.missing("algorithm", `must be there: name the algorithm that signs your tokens, e.g. "RS256"`)
	}
	secretAt := slices.IndexFunc(c.Algorithms, symmetric)
	if secretAt < 0 {
		return
	}
	if pairAt := slices.IndexFunc(c.Algorithms, func(a string) bool { return !symmetric(a) }); pairAt >= 0 {
		s.errorf(n, "must not mix algorithms of a shared secret (HS…) with those of a key pair, found %q and %q",
			c.Algorithms[secretAt], c.Algorithms[pairAt])
	}
	// What stands at an address is public. A file of shared secrets (RFC 7518 §6.4) is not.
	if c.Mode == ModeOIDC || c.Mode == ModeJWKS && s.has("options.modes.jwks.uri") {
		s.errorf(n, `must not need a shared secret where the keys come from an address, found %q: name the provider's own (e.g. "RS256"), or keep the secret in options.modes.local or options.modes.jwks.filePath`,
			c.Algorithms[secretAt])
	}
}

func (s *scope) checkMode(c *Provider) {
	const local, jwks = "options.modes.local", "options.modes.jwks"
	if !s.has("mode") {
		s.missing("mode", `must be there: "jwks" (a key set), "oidc" (the key set that the issuer names), "local" (one key or secret) or "introspection" (opaque tokens)`)
	}
	switch c.Mode {
	case ModeLocal:
		if !s.has(local) {
			s.missing(local, `must be there in mode "local": the secret or public key, or an object with "plain", "env" or "filePath"`)
		}
		c.JWKS = JWKS{}
	case ModeJWKS:
		uri, file := s.has(jwks+".uri"), s.has(jwks+".filePath")
		switch {
		case uri && file:
			s.errorf(s.nodes[jwks+".filePath"], `must not stand beside "uri": the key set comes from one of them`)
		case !uri && !file:
			s.missing(jwks, `must hold "uri" or "filePath" in mode "jwks"`)
		}
	case ModeOIDC:
		s.checkOIDC(c)
	case ModeIntrospection:
		s.checkOpaque()
		c.JWKS = JWKS{}
	}
}

func (s *scope) checkOIDC(c *Provider) {
	const issuer = "options.modes.oidc.issuer"
	if !s.has(issuer) {
		s.missing(issuer, `must be there in mode "oidc": the issuer, exactly as tokens have it in "iss"`)
	}
	for _, source := range []string{"options.modes.jwks.uri", "options.modes.jwks.filePath"} {
		if n := s.nodes[source]; n != nil {
			s.errorf(n, `must not stand in mode "oidc": the issuer's discovery document names the key set, or options.modes.oidc.jwksUri`)
		}
	}
	for _, expected := range c.Common.Issuers {
		if iss, _ := expected.Literal(); iss != c.OIDC.Issuer && c.OIDC.Issuer != "" {
			s.errorf(s.issuerNode(expected), "must be options.modes.oidc.issuer to the letter, found %s and %s: remove it, since it follows from that",
				verdict.Quote(expected.String()), verdict.Quote(c.OIDC.Issuer))
		}
	}
	c.Common.Issuers = nil
	if c.OIDC.Issuer != "" {
		c.Common.Issuers = []Issuer{ExactIssuer(c.OIDC.Issuer)}
	}
}

// checkOpaque warns of what is about signatures, where none is checked.
func (s *scope) checkOpaque() {
	for _, key := range []string{"algorithm", "options.common.tokenType", "options.common.allowWeakKeys", "options.common.rememberVerified"} {
		if n := s.nodes[key]; n != nil {
			s.warnf(n, `has no effect in mode "introspection": opaque tokens have neither header nor signature to check`)
		}
	}
}

func (s *scope) checkExpiration(c *Provider) {
	c.Common.KickExpired = c.Common.KickExpired && c.Common.ValidateExpiration
	if !s.has("options.common.requireExpiration") {
		c.Common.RequireExpiration = c.Common.KickExpired
	}
}

// checkRequests is about what goes with the requests for the key set.
func (s *scope) checkRequests(c *Provider) {
	const headers, file = "options.modes.jwks.headers", "options.modes.jwks.bearerTokenFile"
	for _, key := range []string{headers, file} {
		if n := s.nodes[key]; n != nil && c.Mode == ModeJWKS && c.JWKS.FilePath != "" {
			s.warnf(n, "has no effect beside filePath: a file is read without a request")
		}
	}
	authorizes := func(h SecretHeader) bool { return strings.EqualFold(h.Name, "Authorization") }
	if n := s.nodes[file]; n != nil && slices.ContainsFunc(c.JWKS.Headers, authorizes) {
		s.errorf(n, `must not stand beside an "Authorization" header: the token goes in its place`)
	}
}

// checkTemplate holds that a template stands alone. It says by itself that the name is mapped.
func (s *scope) checkTemplate(template, match, claim string, on *bool) {
	const common = "options.common."
	n := s.nodes[common+template]
	if n == nil {
		return
	}
	if m := s.nodes[common+match]; m != nil && m.Value == false {
		s.errorf(m, "must not be false beside %s, which says how the name is made", template)
	}
	if c := s.nodes[common+claim]; c != nil {
		s.errorf(c, "must not stand beside %s: {claim:NAME} there takes a claim", template)
	}
	*on = true
}

func (s *scope) checkIdentity(c *Provider) {
	s.checkTemplate("usernameTemplate", "matchUsernameToSubject", "usernameClaim", &c.Common.MatchUsername)
	s.checkTemplate("clientIdTemplate", "matchClientIdToSubject", "clientIdClaim", &c.Common.MatchClientID)
	for _, rule := range []struct {
		on           bool
		key, partner string
	}{
		{c.Common.MatchUsername, "options.common.usernameClaim", "matchUsernameToSubject"},
		{c.Common.MatchClientID, "options.common.clientIdClaim", "matchClientIdToSubject"},
	} {
		if n := s.nodes[rule.key]; n != nil && !rule.on {
			s.warnf(n, "has no effect unless %s is true", rule.partner)
		}
	}
	if n := s.nodes["options.common.reservedNames"]; n != nil && !c.Common.MatchUsername && !c.Common.MatchClientID {
		s.warnf(n, "has no effect unless matchUsernameToSubject or matchClientIdToSubject is true: clients keep any name that they claim")
	}
}

func (s *scope) checkTokenSource(file *Config, c *Provider) {
	const match, stays = "options.common.matchUsernameToSubject", "the token would stay the client's username, which the broker logs"
	if !slices.Contains(file.TokenSource, TokenInUsername) {
		return
	}
	switch {
	case c.Common.MatchUsername:
	case c.Path.String() == "$":
		s.errorf(s.nodes["options.common.tokenSource"], `must not hold "username" unless matchUsernameToSubject is true: %s`, stays)
	case s.has(match):
		s.errorf(s.nodes[match], `must be true where tokenSource holds "username": %s`, stays)
	default:
		s.missing(match, `must be true where tokenSource holds "username": `+stays)
	}
	if c.Common.OnMismatch == MismatchDeny {
		s.errorf(s.nodes["options.common.onSubjectMismatch"], `must not be "deny" where tokenSource holds "username": a username that is a token never matches the subject`)
	}
}

func (s *scope) checkRevocation(file *Config, c *Provider) {
	const revocation, introspection, plain = "options.revocation", "options.revocation.introspection", "options.revocation.plain"
	switch opaque := c.Mode == ModeIntrospection; {
	case opaque && !s.has(introspection):
		s.missing(introspection, `must be there in mode "introspection": it judges the tokens`)
	case opaque && s.has(plain):
		s.errorf(s.nodes[plain], `must not stand in mode "introspection": such an endpoint does not say whose token it is`)
	case s.has(introspection) && s.has(plain):
		s.errorf(s.nodes[plain], `must not stand beside "introspection": one endpoint is asked`)
	case s.has(revocation) && !s.has(introspection) && !s.has(plain):
		s.missing(revocation, `must hold "introspection" or "plain": the endpoint to ask`)
	}
	s.checkTime(file, c)
	if c.Mode == ModeIntrospection && c.Revocation.OnUnavailable == UnavailableAllow {
		s.errorf(s.nodes[revocation+".onUnavailable"], `must be "deny" in mode "introspection": nothing but the answer speaks for a token`)
	}
	if s.has(introspection) {
		s.checkIntrospection(c)
	} else {
		c.Revocation.Introspection = Introspection{}
	}
	if s.has(plain) {
		s.checkPlain()
	} else {
		c.Revocation.Plain = nil
	}
	if !s.has(revocation) {
		c.Revocation = nil
	}
}

// checkTime is about when the endpoint is asked. In mode introspection an answer may have to wait for the next attempt
// whatever `check` is, since nothing is known of the client before it.
func (s *scope) checkTime(file *Config, c *Provider) {
	const revocation = "options.revocation"
	opaque := c.Mode == ModeIntrospection
	if opaque && c.Revocation.Check == CheckAfterConnect {
		s.errorf(s.nodes[revocation+".check"], `must be "beforeConnect" or "onRetry" in mode "introspection": nothing but the answer speaks for a token`)
	}
	if n := s.nodes[revocation+".retryWindowMs"]; n != nil && !opaque && c.Revocation.Check != CheckOnRetry && len(file.EnhancedAuth.Methods) == 0 {
		s.warnf(n, `has no effect unless check is "onRetry", as no client logs in by enhanced authentication`)
	}
}

func (s *scope) checkIntrospection(c *Provider) {
	const introspection = "options.revocation.introspection"
	if !s.has(introspection+".uri") && c.Mode != ModeOIDC && c.Mode != "" {
		s.missing(introspection+".uri", "must be there: the address of the RFC 7662 endpoint")
	}
	s.checkClient(c.Revocation.Introspection)
	one, other := s.nodes[introspection+".includeTokenTypeHint"], s.nodes[introspection+".includeTokenTypehint"]
	if one != nil && other != nil && one.Found() != other.Found() {
		s.errorf(other, "must not contradict includeTokenTypeHint, found %s and %s: remove one", other.Found(), one.Found())
	}
	authorized := slices.ContainsFunc(c.Revocation.Introspection.Request.Headers, func(h Header) bool {
		return strings.EqualFold(h.Name, "Authorization")
	})
	basic := c.Revocation.Introspection.ClientAuthentication == ClientBasic || c.Revocation.Introspection.ClientAuthentication == ClientBasicRaw
	if n := s.nodes[introspection+".clientId"]; n != nil && authorized && basic {
		s.warnf(n, `has no effect beside an "Authorization" header in requestParameters, which goes in its place`)
	}
}

// checkClient is about how the client authenticates itself.
func (s *scope) checkClient(i Introspection) {
	const id, secret, key = "options.revocation.introspection.clientId", "options.revocation.introspection.clientSecret", "options.revocation.introspection.clientKey"
	const manner = "options.revocation.introspection.clientAuthentication"
	if !s.has(id) {
		for _, path := range []string{secret, manner, key, key + "Id"} {
			if s.has(path) {
				s.missing(id, "must be there beside "+path[strings.LastIndex(path, ".")+1:])
				break
			}
		}
	}
	signs := i.ClientAuthentication == ClientPrivateKeyJWT
	switch {
	case signs && !s.has(key):
		s.missing(key, `must be there where clientAuthentication is "privateKeyJwt": the private key in PEM`)
	case signs && s.has(secret):
		s.errorf(s.nodes[secret], `must not stand beside clientAuthentication "privateKeyJwt": the key goes in its place`)
	case !signs && s.has(key):
		s.errorf(s.nodes[key], `must not be there unless clientAuthentication is "privateKeyJwt"`)
	case !signs && s.has(key+"Id"):
		s.errorf(s.nodes[key+"Id"], `must not be there unless clientAuthentication is "privateKeyJwt"`)
	case i.ClientAuthentication == ClientBasicRaw && strings.Contains(i.ClientID, ":"):
		s.errorf(s.nodes[id], `must not hold ":" where clientAuthentication is "basicRaw": the server would take what follows for the secret`)
	}
}

func (s *scope) checkPlain() {
	const plain, path, value = "options.revocation.plain", "options.revocation.plain.response.jsonPath", "options.revocation.plain.response.successValue"
	if !s.has(plain + ".uri") {
		s.missing(plain+".uri", "must be there: the address of the endpoint to ask")
	}
	switch {
	case s.has(path) && !s.has(value):
		s.missing(value, "must be there beside jsonPath: the value that means that a token is active")
	case s.has(value) && !s.has(path):
		s.missing(path, "must be there beside successValue: where in the answer the value stands")
	}
}

func (s *scope) checkTLS(c *Provider) {
	const tls = "options.tls"
	switch cert, key := s.has(tls+".certFile"), s.has(tls+".keyFile"); {
	case cert && !key:
		s.missing(tls+".keyFile", "must be there beside certFile")
	case key && !cert:
		s.missing(tls+".certFile", "must be there beside keyFile")
	}
	if c.TLS.InsecureSkipVerify {
		s.warnf(s.nodes[tls+".insecureSkipVerify"], "lets anybody on the way pose as the identity provider: use caFile for a private authority instead")
	}
}
