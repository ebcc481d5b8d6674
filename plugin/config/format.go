package config

import (
	"fmt"
	"slices"
	"time"

	"go-jwt-auth/plugin/config/fileaccess"
)

// key is one entry of a format: where it stands below the object that has that format, and what reads it.
type key struct {
	path string
	read reader
}

// reader checks the value of a key that is there, and stores it.
type reader func(d *document, n *node)

// fileKeys are those of every file, beside what follows.
func fileKeys() []key {
	return []key{
		{"$schema", anything},
		{"version", version},
		{"providers", anything}, // severalProviders
	}
}

// brokerKeys hold for all providers of a file, and stand at its top.
func brokerKeys(file *Config) []key {
	return []key{
		{"options.common.tokenSource", tokenSources(&file.TokenSource)},
		{"options.common.onNonToken", oneOf(&file.OnNonToken, NonTokenDefer, NonTokenDeny)},
		{"options.common.maxTokenBytes", integer(&file.MaxTokenBytes, tokenSizes)},
		{"options.metrics.listen", listenAddress(&file.Metrics.Listen)},
		{"options.audit.filePath", filePath(&file.Audit.FilePath)},
		{"options.audit.syslog", boolean(&file.Audit.Syslog)},
		{"options.enhancedAuth.methods", methods(&file.EnhancedAuth.Methods)},
		{"options.control.renew", boolean(&file.Control.Renew)},
		{admins, anything}, // checkAdmins
	}
}

// providerKeys are a provider's. They are read in this order, whatever the file's own.
func providerKeys(c *Provider) []key {
	jwks, common, tls := &c.JWKS, &c.Common, &c.TLS
	revocation, introspection, plain := c.Revocation, &c.Revocation.Introspection, c.Revocation.Plain
	return slices.Concat([]key{
		{"algorithm", list(&c.Algorithms, algorithm)},
		{"mode", mode(&c.Mode)},

		{"options.lazyConnect", boolean(&c.LazyConnect)},

		{"options.modes.jwks.uri", endpoint(&jwks.URI)},
		{"options.modes.jwks.filePath", filePath(&jwks.FilePath)},
		{"options.modes.jwks.headers", secretHeaders(&jwks.Headers)},
		{"options.modes.jwks.bearerTokenFile", readable(&jwks.BearerTokenFile, fileaccess.Private)},
		{"options.modes.jwks.timeoutMs", milliseconds(&jwks.Timeout, timeouts)},
		{"options.modes.jwks.maxBlockMs", milliseconds(&jwks.MaxBlock, blocks)},
		{"options.modes.jwks.cache.enabled", boolean(&jwks.Cache.Enabled)},
		{"options.modes.jwks.cache.ttlMs", milliseconds(&jwks.Cache.TTL, ttls)},
		{"options.modes.jwks.cache.respectCacheHeaders", boolean(&jwks.Cache.RespectCacheHeaders)},
		{"options.modes.jwks.cache.maxStaleMs", milliseconds(&jwks.Cache.MaxStale, ttls)},

		{"options.modes.local", localKey(c)}, // a string, or an object with one of origins

		{"options.modes.oidc.issuer", discoveryIssuer(&c.OIDC.Issuer)},
		{"options.modes.oidc.jwksUri", endpoint(&c.OIDC.JWKSURI)},

		{"options.common.issuer", issuers(&common.Issuers)},
		{"options.common.audience", list(&common.Audience, word)},
		{"options.common.requiredClaims", requiredClaims(&common.RequiredClaims)},
		{"options.common.requiredScopes", list(&common.RequiredScopes, scopeToken)},
		{"options.common.tokenType", list(&common.TokenType, mediaType)},
		{"options.common.validateExpiration", boolean(&common.ValidateExpiration)},
		{"options.common.requireExpiration", boolean(&common.RequireExpiration)},
		{"options.common.checkIssuedAt", boolean(&common.CheckIssuedAt)},
		{"options.common.leewayMs", milliseconds(&common.Leeway, leeways)},
		{"options.common.matchUsernameToSubject", boolean(&common.MatchUsername)},
		{"options.common.matchClientIdToSubject", boolean(&common.MatchClientID)},
		{"options.common.onSubjectMismatch", oneOf(&common.OnMismatch, MismatchRewrite, MismatchDeny)},
		{"options.common.usernameClaim", text(&common.UsernameClaim)},
		{"options.common.clientIdClaim", text(&common.ClientIDClaim)},
		{"options.common.usernameTemplate", template(&common.UsernameTemplate, c)},
		{"options.common.clientIdTemplate", template(&common.ClientIDTemplate, c)},
		{"options.common.allowSlashInIdentity", boolean(&common.AllowSlash)},
		{"options.common.reservedNames", list(&common.ReservedNames, word)},
		{"options.common.kickExpiredClients", boolean(&common.KickExpired)},
		{"options.common.kickExpiredClientsWithWill", boolean(&common.KickWithWill)},
		{"options.common.allowWeakKeys", boolean(&common.AllowWeakKeys)},
		{"options.common.rememberVerified", boolean(&common.RememberVerified)},
		{"options.common.logLogins", boolean(&common.LogLogins)},
		{"options.common.maxSessionMs", maxSession(&common.MaxSession)},

		{"options.revocation.timeoutMs", milliseconds(&revocation.Timeout, timeouts)},
		{"options.revocation.check", oneOf(&revocation.Check, CheckBeforeConnect, CheckAfterConnect, CheckOnRetry)},
		{"options.revocation.retryWindowMs", milliseconds(&revocation.RetryWindow, retries)},
		{"options.revocation.onUnavailable", oneOf(&revocation.OnUnavailable, UnavailableDeny, UnavailableAllow)},
		{"options.revocation.maxConcurrent", integer(&revocation.MaxConcurrent, calls)},
		{"options.revocation.recheckIntervalMs", recheckInterval(&revocation.RecheckInterval)},
		{"options.revocation.cache.ttlMs", milliseconds(&revocation.Cache.TTL, answers)},
		{"options.revocation.cache.negativeTtlMs", milliseconds(&revocation.Cache.NegativeTTL, refusals)},
		{"options.revocation.cache.maxEntries", integer(&revocation.Cache.MaxEntries, entries)},
		{"options.revocation.introspection.uri", endpoint(&introspection.URI)},
		{"options.revocation.introspection.clientId", text(&introspection.ClientID)},
		{"options.revocation.introspection.clientSecret", secret(&introspection.ClientSecret)}, // like modes.local
		{"options.revocation.introspection.clientAuthentication", oneOf(&introspection.ClientAuthentication, ClientBasic, ClientBasicRaw, ClientPost, ClientPrivateKeyJWT)},
		{"options.revocation.introspection.clientKey", secret(&introspection.ClientKey)}, // like modes.local
		{"options.revocation.introspection.clientKeyId", text(&introspection.ClientKeyID)},
		{"options.revocation.introspection.requestParameters", introspectionRequest(&introspection.Request)},
		{"options.revocation.introspection.includeTokenTypeHint", boolean(&introspection.TokenTypeHint)},
		{"options.revocation.introspection.includeTokenTypehint", boolean(&introspection.TokenTypeHint)},
		{"options.revocation.plain.uri", endpoint(&plain.URI)},
		{"options.revocation.plain.bodyEncoding", oneOf(&plain.BodyEncoding, BodyForm, BodyJSON)},
		{"options.revocation.plain.requestParameters", plainRequest(plain)}, // an object with one of origins
		{"options.revocation.plain.response.jsonPath", jsonPath(&plain.Response.JSONPath)},
		{"options.revocation.plain.response.successValue", scalar(&plain.Response.SuccessValue)},
		{"options.revocation.plain.response.successHttpCodes", statuses(&plain.Response.SuccessCodes)},

		{"options.tls.caFile", tls.file(&tls.CAFile, fileaccess.Public)},
		{"options.tls.certFile", tls.file(&tls.CertFile, fileaccess.Public)},
		{"options.tls.keyFile", tls.file(&tls.KeyFile, fileaccess.Private)},
		{"options.tls.insecureSkipVerify", boolean(&tls.InsecureSkipVerify)},
	}, authorizationKeys(c.Authorization))
}

// Bounds of the numbers. Each upper one says why it is there.
var (
	timeouts   = bounds{1, day, "milliseconds", "a day is longer than any answer is worth waiting for"}
	blocks     = bounds{0, 10 * second, "milliseconds", "the whole broker stands still while it waits"}
	ttls       = bounds{0, 30 * day, "milliseconds", "keys that the provider withdrew would go on serving"}
	leeways    = bounds{0, hour, "milliseconds", "expired tokens would go on serving"}
	answers    = bounds{0, day, "milliseconds", "revoked tokens would go on serving"}
	refusals   = bounds{0, 5 * minute, "milliseconds", "a good token that the provider did not know yet would go on being refused"}
	retries    = bounds{second, 10 * minute, "milliseconds", "revoked tokens would go on serving"}
	calls      = bounds{1, 1024, "calls", "the provider has to bear them, and each takes a file descriptor of the broker's"}
	rechecks   = bounds{second, day, "milliseconds", "revoked tokens would go on serving"}
	entries    = bounds{1, 1_000_000, "entries", "memory is bounded by it"}
	rules      = bounds{1, 1024, "rules", "each of a client's actions is held against all of them"}
	sessions   = bounds{second, 365 * day, "milliseconds", "a limit that no connection reaches is none"}
	tokenSizes = bounds{64, 65535, "bytes", "MQTT carries no longer password"}
)

// In milliseconds.
const (
	second = 1000
	minute = 60 * second
	hour   = int64(time.Hour / time.Millisecond)
	day    = 24 * hour
)

// origins are the members of which exactly one says where a value is: in this file, in the environment, in another file.
func origins() []string { return []string{"plain", "env", "filePath"} }

// requestMembers is the format of the request in `requestParameters`.
func requestMembers(r *Request) []key {
	return []key{
		{"method", method(&r.Method)},
		{"path", requestPath(&r.Path)},
		{"headers", headers(&r.Headers)},
		{"payload", payload(&r.Payload)},
	}
}

// sections are those of `$.options.modes` that each mode uses.
func sections() map[Mode][]string {
	return map[Mode][]string{
		ModeJWKS:          {"jwks"},
		ModeLocal:         {"local"},
		ModeOIDC:          {"oidc", "jwks"},
		ModeIntrospection: {},
	}
}

// unused maps the sections that the mode of the provider at root does not use to the warning they get; nothing in them is read.
func unused(root *node) map[string]string {
	mode := ""
	if n := root.Member("mode"); n != nil {
		mode, _ = n.Value.(string)
	}
	used, known := sections()[Mode(mode)]
	if !known {
		return nil
	}
	warnings := map[string]string{}
	for _, section := range []string{"jwks", "local", "oidc"} {
		if !slices.Contains(used, section) {
			warnings["options.modes."+section] = fmt.Sprintf("is not used in mode %q, and was not checked", mode)
		}
	}
	return warnings
}

// each is a format in which one reader is for all paths.
func each(paths []string, read reader) []key {
	keys := make([]key, len(paths))
	for i, path := range paths {
		keys[i] = key{path, read}
	}
	return keys
}
