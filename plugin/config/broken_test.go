package config

import (
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config/fileaccess"
)

const (
	anyAlgorithm = `must be "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA" or "Ed25519"`
	exampleURL   = `must be an address such as "https://idp.example.com/realms/main/…"`
	modeMissing  = `$.mode: must be there: "jwks" (a key set), "oidc" (the key set that the issuer names), "local" (one key or secret) or "introspection" (opaque tokens)`

	request       = "$.options.revocation.plain.requestParameters.plain"
	introspection = "$.options.revocation.introspection.requestParameters.plain"
	inStrings     = "it does not look into strings"

	topicPlaceholders = "$.options.authorization.grants[0].publish["

	userTemplate = "options.common.usernameTemplate"
	impersonal   = "must hold {sub} or {claim:NAME}, found neither: all clients would have one name"

	nowhere = `: must hold #:jwt_value:# in "path", "headers" or "payload": the endpoint could not know which token is meant`
)

// brokenFile is a file that gives no Config, and all that is to be said about it: `DIR` stands for its folder.
type brokenFile struct {
	rule, file string
	want       []string
}

// brokenFiles are those that the JSON Schema refuses as well.
func brokenFiles() []brokenFile {
	return []brokenFile{
		// JSON: its rules are tested by jsondoc
		{"empty file", "", []string{"must hold a JSON object, found an empty file"}},
		{"cut off", `{"version": 1`, []string{"is not valid JSON: it ends before the object does (is a }, a ] or a quote missing?)"}},
		{"trailing object", with() + "{}", []string{"must be one JSON object, found more after its end"}},
		{"an array", `[]`, []string{"$: must be a JSON object, found an array"}},
		{"a string", `"x"`, []string{`$: must be a JSON object, found "x"`}},
		{"null", `null`, []string{"$: must be a JSON object, found null"}},
		{"nesting bomb", `{"a": ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, []string{"can't be read: it is nested more than 64 levels deep"}},
		{"UTF-16 with mark", "\xff\xfe{\x00}\x00", []string{"must be UTF-8, found UTF-16: save the file as UTF-8"}},
		{
			"unknown key twice", with("options.x", `{"a b": 1, "a b": 1}`),
			[]string{"$.options.x: is no known key and has no effect", `$.options.x["a b"]: must stand once, found again (first in line 1)`},
		},

		// Top
		{"nothing at all", `{}`, []string{
			`$.algorithm: must be there: name the algorithm that signs your tokens, e.g. "RS256"`,
			modeMissing,
		}},
		{"version 2", with("version", `2`), []string{"$.version: must be 1, the only version of the format, found 2"}},
		{"version 1.0 as a string", with("version", `"1.0"`), []string{`$.version: must be 1, the only version of the format, found "1.0"`}},
		{"version null", with("version", `null`), []string{"$.version: must be 1, the only version of the format, found null"}},
		{"algorithm none", with("algorithm", `"none"`), []string{`$.algorithm: must not be "none": tokens without a signature are never accepted (RFC 8725 §3.2)`}},
		{"algorithm none among others", with("algorithm", `["RS256", "NONE"]`), []string{`$.algorithm[1]: must not be "NONE": tokens without a signature are never accepted (RFC 8725 §3.2)`}},
		{"algorithm in lower case", with("algorithm", `"rs256"`), []string{"$.algorithm: " + anyAlgorithm + `, found "rs256"; did you mean "RS256"?`}},
		{"algorithm unknown", with("algorithm", `"A128KW"`), []string{"$.algorithm: " + anyAlgorithm + `, found "A128KW"`}},
		{"algorithm empty", with("algorithm", `""`), []string{"$.algorithm: " + anyAlgorithm + `, found ""`}},
		{"algorithm a number", with("algorithm", `256`), []string{"$.algorithm: must be a string or an array of strings, found 256"}},
		{"algorithm a list of none", with("algorithm", `[]`), []string{"$.algorithm: must not be empty: give a value or remove the key"}},
		{"algorithm a list of numbers", with("algorithm", `[256]`), []string{"$.algorithm[0]: " + anyAlgorithm + ", found 256"}},
		{"algorithms mixed", local("algorithm", `["RS256", "HS256"]`), []string{"$.algorithm: must not mix algorithms of a shared secret (HS…) with those of a key pair, found \"HS256\" and \"RS256\""}},
		{
			"shared secret from an address", with("algorithm", `"HS256"`),
			[]string{`$.algorithm: must not need a shared secret where the keys come from an address, found "HS256": name the provider's own (e.g. "RS256"), or keep the secret in options.modes.local or options.modes.jwks.filePath`},
		},
		{"mode missing", with("mode", ""), []string{modeMissing}},
		{"mode unknown", with("mode", `"ldap"`), []string{`$.mode: must be "jwks", "local", "oidc" or "introspection", found "ldap"`}},
		{"mode in capitals", with("mode", `"JWKS"`), []string{`$.mode: must be "jwks", "local", "oidc" or "introspection", found "JWKS"; did you mean "jwks"?`}},
		{
			"mode misspelt: the rest is judged as it was meant", `{"algorithm": "RS256", "mode": "oidcc", "options": {"modes": {"oidc": {"issuer": "https://idp.test"}}, "revocation": {"introspection": {"clientId": "a"}}}}`,
			[]string{`$.mode: must be "jwks", "local", "oidc" or "introspection", found "oidcc"; did you mean "oidc"?`},
		},
		{
			"mode introspection misspelt", opaque("mode", `"introspectio"`),
			[]string{`$.mode: must be "jwks", "local", "oidc" or "introspection", found "introspectio"; did you mean "introspection"?`},
		},
		{
			"mode misspelt, and what is wrong in the one that was meant", with("mode", `"jwk"`, uri, ""),
			[]string{`$.mode: must be "jwks", "local", "oidc" or "introspection", found "jwk"; did you mean "jwks"?`, `$.options.modes.jwks: must hold "uri" or "filePath" in mode "jwks"`},
		},
		{
			"mode unknown, with introspection", oidc("mode", `"ldap"`, introspect+".clientId", `"a"`),
			[]string{`$.mode: must be "jwks", "local", "oidc" or "introspection", found "ldap"`},
		},
		{"mode a boolean", with("mode", `true`), []string{`$.mode: must be "jwks", "local", "oidc" or "introspection", found true`}},
		{"options a list", `{"algorithm": "RS256", "mode": "jwks", "options": []}`, []string{"$.options: must be an object, found an array"}},
		{"lazyConnect in quotes", with("options.lazyConnect", `"true"`), []string{`$.options.lazyConnect: must be true or false without quotes, found "true"`}},
		{"lazyConnect a number", with("options.lazyConnect", `1`), []string{"$.options.lazyConnect: must be true or false, found 1"}},

		// Mode jwks
		{"jwks without source", with(uri, ""), []string{`$.options.modes.jwks: must hold "uri" or "filePath" in mode "jwks"`}},
		{"jwks missing", `{"algorithm": "RS256", "mode": "jwks"}`, []string{`$.options.modes.jwks: must hold "uri" or "filePath" in mode "jwks"`}},
		{"jwks with two sources", with("options.modes.jwks.filePath", `"keys.json"`), []string{`$.options.modes.jwks.filePath: must not stand beside "uri": the key set comes from one of them`}},
		{"jwks a string", with("options.modes.jwks", `"https://idp.test/jwks"`), []string{`$.options.modes.jwks: must be an object, found "https://idp.test/jwks"`}},
		{"filePath empty", with(uri, "", "options.modes.jwks.filePath", `""`), []string{"$.options.modes.jwks.filePath: must not be empty: give a value or remove the key"}},
		{"timeout with unit", with("options.modes.jwks.timeoutMs", `"5s"`), []string{`$.options.modes.jwks.timeoutMs: must be a number of milliseconds above 0, found "5s"`}},
		{"timeout of nothing", with("options.modes.jwks.timeoutMs", `0`), []string{"$.options.modes.jwks.timeoutMs: must be a number of milliseconds above 0, found 0"}},
		{"timeout of a fraction", with("options.modes.jwks.timeoutMs", `1.5`), []string{"$.options.modes.jwks.timeoutMs: must be a whole number of milliseconds above 0, found 1.5"}},
		{"timeout of days", with("options.modes.jwks.timeoutMs", `86400001`), []string{"$.options.modes.jwks.timeoutMs: must be at most 86400000 milliseconds, because a day is longer than any answer is worth waiting for, found 86400001"}},
		{"timeout beyond numbers", with("options.modes.jwks.timeoutMs", `1e999999999`), []string{"$.options.modes.jwks.timeoutMs: must be at most 86400000 milliseconds, because a day is longer than any answer is worth waiting for, found 1e999999999"}},
		{"maxBlockMs too long", with("options.modes.jwks.maxBlockMs", `10001`), []string{"$.options.modes.jwks.maxBlockMs: must be at most 10000 milliseconds, because the whole broker stands still while it waits, found 10001"}},
		{"cache a boolean", with("options.modes.jwks.cache", `true`), []string{"$.options.modes.jwks.cache: must be an object, found true"}},
		{"an answer kept too long", revoking("options.revocation.cache.ttlMs", `86400001`), []string{"$.options.revocation.cache.ttlMs: must be at most 86400000 milliseconds, because revoked tokens would go on serving, found 86400001"}},
		{"no answer may be kept", revoking("options.revocation.cache.maxEntries", `0`), []string{"$.options.revocation.cache.maxEntries: must be a number of entries above 0, found 0"}},
		{"maxStaleMs too long", with("options.modes.jwks.cache.maxStaleMs", `2592000001`), []string{"$.options.modes.jwks.cache.maxStaleMs: must be at most 2592000000 milliseconds, because keys that the provider withdrew would go on serving, found 2592000001"}},
		{"ttlMs negative", with("options.modes.jwks.cache.ttlMs", `-1`), []string{"$.options.modes.jwks.cache.ttlMs: must be a number of milliseconds, 0 or above, found -1"}},
		{"ttlMs too long", with("options.modes.jwks.cache.ttlMs", `2592000001`), []string{"$.options.modes.jwks.cache.ttlMs: must be at most 2592000000 milliseconds, because keys that the provider withdrew would go on serving, found 2592000001"}},

		// Mode oidc
		{"oidc without issuer", oidc("options.modes.oidc.issuer", ""), []string{`$.options.modes.oidc.issuer: must be there in mode "oidc": the issuer, exactly as tokens have it in "iss"`}},
		{"oidc missing", oidc("options", ""), []string{`$.options.modes.oidc.issuer: must be there in mode "oidc": the issuer, exactly as tokens have it in "iss"`}},
		{"oidc a string", oidc("options.modes.oidc", `"https://idp.test"`), []string{`$.options.modes.oidc: must be an object, found "https://idp.test"`}},
		{"oidc's issuer relative", oidc("options.modes.oidc.issuer", `"idp.test"`), []string{"$.options.modes.oidc.issuer: " + exampleURL + ", found no http:// or https:// in front"}},
		{"oidc's issuer with a query", oidc("options.modes.oidc.issuer", `"https://idp.test/?realm=a"`), []string{`$.options.modes.oidc.issuer: must not hold a query, found "?": an issuer has none`}},
		{"oidc's issuer with an empty query", oidc("options.modes.oidc.issuer", `"https://idp.test?"`), []string{`$.options.modes.oidc.issuer: must not hold a query, found "?": an issuer has none`}},
		{"oidc's issuer with a fragment", oidc("options.modes.oidc.issuer", `"https://idp.test/#a"`), []string{`$.options.modes.oidc.issuer: must not hold a fragment, found "#": a server never sees it`}},
		{
			"oidc's issuer the address of the document", oidc("options.modes.oidc.issuer", `"https://idp.test/.well-known/openid-configuration"`),
			[]string{`$.options.modes.oidc.issuer: must be the issuer itself, found the address of its discovery document: remove "/.well-known/openid-configuration"`},
		},
		{"oidc with a key set's address", oidc(uri, `"https://idp.test/jwks"`), []string{`$.options.modes.jwks.uri: must not stand in mode "oidc": the issuer's discovery document names the key set, or options.modes.oidc.jwksUri`}},
		{"oidc with a key set's file", oidc("options.modes.jwks.filePath", `"keys.json"`), []string{`$.options.modes.jwks.filePath: must not stand in mode "oidc": the issuer's discovery document names the key set, or options.modes.oidc.jwksUri`}},
		{
			"shared secret with oidc", oidc("algorithm", `["HS512"]`),
			[]string{`$.algorithm: must not need a shared secret where the keys come from an address, found "HS512": name the provider's own (e.g. "RS256"), or keep the secret in options.modes.local or options.modes.jwks.filePath`},
		},
		{"oidc without algorithm", oidc("algorithm", ""), []string{`$.algorithm: must be there: name the algorithm that signs your tokens, e.g. "RS256"`}},
		{"oidc's cache is checked", oidc("options.modes.jwks.cache.ttlMs", `-1`), []string{"$.options.modes.jwks.cache.ttlMs: must be a number of milliseconds, 0 or above, found -1"}},

		// Mode introspection
		{"introspection without its answer", opaque("options.revocation.onUnavailable", `"allow"`), []string{`$.options.revocation.onUnavailable: must be "deny" in mode "introspection": nothing but the answer speaks for a token`}},
		{"onUnavailable of another kind", revoking("options.revocation.onUnavailable", `true`), []string{`$.options.revocation.onUnavailable: must be "deny" or "allow", found true`}},
		{"introspection asked after the fact", opaque("options.revocation.check", `"afterConnect"`), []string{`$.options.revocation.check: must be "beforeConnect" or "onRetry" in mode "introspection": nothing but the answer speaks for a token`}},
		{"introspection without endpoint", opaque("options.revocation", ""), []string{`$.options.revocation.introspection: must be there in mode "introspection": it judges the tokens`}},
		{"introspection without introspection", opaque("options.revocation", `{}`), []string{`$.options.revocation.introspection: must be there in mode "introspection": it judges the tokens`}},
		{"introspection without uri in its mode", opaque(introspect, `{}`), []string{"$.options.revocation.introspection.uri: must be there: the address of the RFC 7662 endpoint"}},
		{
			"introspection by a plain endpoint", opaque(introspect, "", plainly+".uri", `"https://idp.test/check"`),
			[]string{`$.options.revocation.introspection: must be there in mode "introspection": it judges the tokens`},
		},
		{
			"introspection with a plain endpoint", opaque(plainly+".uri", `"https://idp.test/check"`),
			[]string{`$.options.revocation.plain: must not stand in mode "introspection": such an endpoint does not say whose token it is`},
		},
		{"algorithm none in mode introspection", opaque("algorithm", `"none"`), []string{
			`$.algorithm: must not be "none": tokens without a signature are never accepted (RFC 8725 §3.2)`,
			`$.algorithm: has no effect in mode "introspection": opaque tokens have neither header nor signature to check`,
		}},

		// Addresses
		{"uri a number", with(uri, `8080`), []string{"$.options.modes.jwks.uri: must be a string, found 8080"}},
		{"uri empty", with(uri, `""`), []string{"$.options.modes.jwks.uri: must not be empty: give a value or remove the key"}},
		{"uri a path", with(uri, `"/certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + ", found no http:// or https:// in front"}},
		{"uri without scheme", with(uri, `"idp.test/certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + ", found no http:// or https:// in front"}},
		{"uri with port, without scheme", with(uri, `"localhost:8080/certs"`), []string{`$.options.modes.jwks.uri: must begin with http:// or https://, found "localhost:"`}},
		{"uri of a file", with(uri, `"file:///etc/keys.json"`), []string{`$.options.modes.jwks.uri: must begin with http:// or https://, found "file:"`}},
		{"uri without host", with(uri, `"https:///certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + ", found no host name"}},
		{"uri with a port only", with(uri, `"http://:8080/certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + ", found no host name"}},
		{"uri with a port out of range", with(uri, `"http://idp.test:65536/certs"`), []string{`$.options.modes.jwks.uri: must have a port from 1 to 65535, found "65536"`}},
		{"uri with a port of letters", with(uri, `"http://idp.test:http/certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + `, found a port that is not a number`}},
		{"uri with a space", with(uri, `"https://idp test/certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + `, found " " in the host name`}},
		{
			"uri with credentials", with(uri, `"https://me:hunter2@idp.test/certs"`),
			[]string{"$.options.modes.jwks.uri: must not hold a user name or password (addresses are logged): use clientId and clientSecret where the endpoint asks for them"},
		},
		{"uri with credentials and no scheme", with(uri, `"me:hunter2@idp.test"`), []string{"$.options.modes.jwks.uri: must begin with http:// or https://, found something else"}},
		{"uri with broken credentials", with(uri, `"https://me:hunter/2@idp.test"`), []string{"$.options.modes.jwks.uri: " + exampleURL + ", found characters where an address has none"}},
		{"uri with a fragment", with(uri, `"https://idp.test/certs#1"`), []string{`$.options.modes.jwks.uri: must not hold a fragment, found "#": a server never sees it`}},
		{"uri with an empty fragment", with(uri, `"https://idp.test/certs#"`), []string{`$.options.modes.jwks.uri: must not hold a fragment, found "#": a server never sees it`}},
		{
			"uri with the token's place", with(uri, `"https://idp.test/#:jwt_value:#"`),
			[]string{"$.options.modes.jwks.uri: must not hold #:jwt_value:#, since it is the same for every token: a path with the token belongs into requestParameters"},
		},
		{
			"the tutorial's placeholder", with(uri, `"http://<YOUR-KEYCLOAK-OR-IAM>/certs"`),
			[]string{`$.options.modes.jwks.uri: still holds the placeholder "<YOUR-KEYCLOAK-OR-IAM>": put the host name or path of your identity provider there`},
		},
		{
			"a shell's placeholder", with(uri, `"https://${IDP}/certs"`),
			[]string{`$.options.modes.jwks.uri: still holds the placeholder "${IDP}": put the host name or path of your identity provider there`},
		},
		{
			"a template's placeholder", with(uri, `"https://idp.test/{{ realm }}/certs"`),
			[]string{`$.options.modes.jwks.uri: still holds the placeholder "{{ realm }}": put the host name or path of your identity provider there`},
		},

		// Mode local
		{
			"local missing", local("options.modes.local", ""),
			[]string{`$.options.modes.local: must be there in mode "local": the secret or public key, or an object with "plain", "env" or "filePath"`},
		},
		{"local empty", local("options.modes.local", `""`), []string{"$.options.modes.local: must not be empty"}},
		{"local a number is not shown", local("options.modes.local", `123456`), []string{`$.options.modes.local: must be a string, or an object with "plain", "env" or "filePath", found a number`}},
		{"local a boolean", local("options.modes.local", `false`), []string{`$.options.modes.local: must be a string, or an object with "plain", "env" or "filePath", found a boolean`}},
		{"local null", local("options.modes.local", `null`), []string{`$.options.modes.local: must be a string, or an object with "plain", "env" or "filePath", found null`}},
		{"local of nothing", local("options.modes.local", `{}`), []string{`$.options.modes.local: must hold exactly one of "plain", "env" and "filePath", found 0 of them`}},
		{"local of two", local("options.modes.local", `{"plain": "a", "env": "PATH"}`), []string{`$.options.modes.local: must hold exactly one of "plain", "env" and "filePath", found 2 of them`}},
		{"local misspelt", local("options.modes.local", `{"filepath": "key.pem"}`), []string{
			`$.options.modes.local: must hold exactly one of "plain", "env" and "filePath", found 0 of them`,
			`$.options.modes.local.filepath: is no known key and has no effect; did you mean "filePath"?`,
		}},
		{"plain a number is not shown", local("options.modes.local", `{"plain": 123456}`), []string{"$.options.modes.local.plain: must be a string, found a number"}},
		{"plain empty", local("options.modes.local", `{"plain": ""}`), []string{"$.options.modes.local.plain: must not be empty"}},
		{"variable without name", local("options.modes.local", `{"env": ""}`), []string{"$.options.modes.local.env: must be the name of an environment variable, found a string"}},
		{"secret file's name a number", local("options.modes.local", `{"filePath": 5}`), []string{"$.options.modes.local.filePath: must be a string, found 5"}},
		{"secret file's name with a zero", local("options.modes.local", `{"filePath": "a\u0000b"}`), []string{`$.options.modes.local.filePath: must be the name of a file without control characters, found "a\x00b"`}},

		// Common
		{"common null", with("options.common", `null`), []string{"$.options.common: must be an object, found null"}},
		{"issuer null", with("options.common.issuer", `null`), []string{"$.options.common.issuer: must be a string or an array of strings, found null"}},
		{"issuer an object", with("options.common.issuer", `{}`), []string{"$.options.common.issuer: must be a string or an array of strings, found an object"}},
		{"issuer a list of none", with("options.common.issuer", `[]`), []string{"$.options.common.issuer: must not be empty: give a value or remove the key"}},
		{"issuer a list of numbers", with("options.common.issuer", `["a", 1]`), []string{"$.options.common.issuer[1]: must be a string, found 1"}},
		{"issuer empty", with("options.common.issuer", `""`), []string{"$.options.common.issuer: must not be empty: give a value or remove the key"}},
		{"audience of none", with("options.common.audience", `[]`), []string{"$.options.common.audience: must not be empty: give a value or remove the key"}},
		{"audience of an empty one", with("options.common.audience", `["a", ""]`), []string{"$.options.common.audience[1]: must not be empty: give a value or remove the key"}},
		{"audience an object", with("options.common.audience", `{}`), []string{"$.options.common.audience: must be a string or an array of strings, found an object"}},
		{"requiredClaims a list", with("options.common.requiredClaims", `["a"]`), []string{`$.options.common.requiredClaims: must be an object such as {"realm_access.roles": ["mqtt"]}, found an array`}},
		{"requiredClaims without values", with("options.common.requiredClaims", `{"a": []}`), []string{"$.options.common.requiredClaims.a: must hold at least one value: no token could pass"}},
		{"requiredClaims of an object", with("options.common.requiredClaims", `{"a b": [1, {}]}`), []string{`$.options.common.requiredClaims["a b"][1]: must be a string, a number or a boolean, found an object`}},
		{"requiredClaims of null", with("options.common.requiredClaims", `{"a": null}`), []string{"$.options.common.requiredClaims.a: must be a string, a number or a boolean, found null"}},
		{"requiredClaims without name", with("options.common.requiredClaims", `{"": 1}`), []string{`$.options.common.requiredClaims[""]: must name a claim, found an empty name`}},
		{
			"requiredScopes as in a token", with("options.common.requiredScopes", `"read write"`),
			[]string{`$.options.common.requiredScopes: must be one scope (printable ASCII without space, " or \; several stand in an array), found "read write"`},
		},
		{"requiredScopes of numbers", with("options.common.requiredScopes", `[1]`), []string{"$.options.common.requiredScopes[0]: must be a string, found 1"}},
		{"tokenType empty", with("options.common.tokenType", `""`), []string{"$.options.common.tokenType: must not be empty: give a value or remove the key"}},
		{"tokenType a boolean", with("options.common.tokenType", `true`), []string{"$.options.common.tokenType: must be a string or an array of strings, found true"}},
		{"validateExpiration in quotes", with("options.common.validateExpiration", `"false"`), []string{`$.options.common.validateExpiration: must be true or false without quotes, found "false"`}},
		{"checkIssuedAt a string", with("options.common.checkIssuedAt", `"true"`), []string{`$.options.common.checkIssuedAt: must be true or false without quotes, found "true"`}},
		{"leewayMs negative", with("options.common.leewayMs", `-0.5`), []string{"$.options.common.leewayMs: must be a number of milliseconds, 0 or above, found -0.5"}},
		{"leewayMs too long", with("options.common.leewayMs", `3600001`), []string{"$.options.common.leewayMs: must be at most 3600000 milliseconds, because expired tokens would go on serving, found 3600001"}},
		{"onSubjectMismatch unknown", with("options.common.onSubjectMismatch", `"replace"`), []string{`$.options.common.onSubjectMismatch: must be "rewrite" or "deny", found "replace"`}},
		{"onNonToken unknown", with("options.common.onNonToken", `"Deny"`), []string{`$.options.common.onNonToken: must be "defer" or "deny", found "Deny"; did you mean "deny"?`}},
		{"maxTokenBytes too few", with("options.common.maxTokenBytes", `0`), []string{"$.options.common.maxTokenBytes: must be a number of bytes from 64 to 65535, found 0"}},
		{"maxTokenBytes too many", with("options.common.maxTokenBytes", `65536`), []string{"$.options.common.maxTokenBytes: must be at most 65535 bytes, because MQTT carries no longer password, found 65536"}},
		{"maxSessionMs too short", with("options.common.maxSessionMs", `999`), []string{"$.options.common.maxSessionMs: must be 0, for no limit, or at least 1000 milliseconds, because nobody could stay connected, found 999"}},
		{"maxSessionMs negative", with("options.common.maxSessionMs", `-1`), []string{"$.options.common.maxSessionMs: must be 0, for no limit, or at least 1000 milliseconds, because nobody could stay connected, found -1"}},
		{"maxSessionMs too long", with("options.common.maxSessionMs", `31536000001`), []string{"$.options.common.maxSessionMs: must be at most 31536000000 milliseconds, because a limit that no connection reaches is none, found 31536000001"}},
		{"maxSessionMs in quotes", with("options.common.maxSessionMs", `"0"`), []string{`$.options.common.maxSessionMs: must be a number of milliseconds from 1000 to 31536000000, found "0"`}},
		{"enhancedAuth.methods of a number", with("options.enhancedAuth.methods", `[1]`), []string{"$.options.enhancedAuth.methods[0]: must be a string, found 1"}},
		{"enhancedAuth.methods a boolean", with("options.enhancedAuth.methods", `false`), []string{"$.options.enhancedAuth.methods: must be a string or an array of strings, found false"}},
		{"enhancedAuth.methods with an empty one", with("options.enhancedAuth.methods", `["a", ""]`), []string{"$.options.enhancedAuth.methods[1]: must not be empty: give a value or remove the key"}},
		{"enhancedAuth.methods that no client can send", with("options.enhancedAuth.methods", `["a\u0000"]`), []string{`$.options.enhancedAuth.methods[0]: must be a name of MQTT, of at most 65535 bytes and without control characters, found "a\x00"`}},
		{"control.renew in quotes", with("options.control.renew", `"true"`), []string{`$.options.control.renew: must be true or false without quotes, found "true"`}},
		{"tokenSource unknown", with(tokenFrom, `"header"`), []string{`$.options.common.tokenSource: must be "password" or "username", found "header"`}},
		{"tokenSource in capitals", with(tokenFrom, `["Password"]`), []string{`$.options.common.tokenSource[0]: must be "password" or "username", found "Password"; did you mean "password"?`}},
		{"tokenSource of none", with(tokenFrom, `[]`), []string{"$.options.common.tokenSource: must not be empty: give a value or remove the key"}},
		{"tokenSource a boolean", with(tokenFrom, `true`), []string{"$.options.common.tokenSource: must be a string or an array of strings, found true"}},
		{"tokenSource of a number", with(tokenFrom, `[1]`), []string{`$.options.common.tokenSource[0]: must be "password" or "username", found 1`}},
		{"tokenSource twice", with(tokenFrom, `["password", "password"]`), []string{`$.options.common.tokenSource[1]: must stand once, found "password" again`}},
		{
			"tokenSource username, which stays", with(tokenFrom, `"username"`),
			[]string{`$.options.common.tokenSource: must not hold "username" unless matchUsernameToSubject is true: the token would stay the client's username, which the broker logs`},
		},
		{
			"tokenSource both, and the username stays", with(tokenFrom, `["password", "username"]`, "options.common.matchUsernameToSubject", `false`),
			[]string{`$.options.common.tokenSource: must not hold "username" unless matchUsernameToSubject is true: the token would stay the client's username, which the broker logs`},
		},
		{
			"tokenSource username, which can't match", with(tokenFrom, `["username", "password"]`, "options.common.matchUsernameToSubject", `true`, "options.common.onSubjectMismatch", `"deny"`),
			[]string{`$.options.common.onSubjectMismatch: must not be "deny" where tokenSource holds "username": a username that is a token never matches the subject`},
		},

		// Issuers with a claim in them
		{"issuer with another placeholder", with("options.common.issuer", `"https://idp.test/{tid}"`), []string{`$.options.common.issuer: must hold no placeholder but {claim:NAME}, such as {claim:tid}, found "{tid}"`}},
		{"issuer with a claim without name", with("options.common.issuer", `"https://idp.test/{claim:}"`), []string{`$.options.common.issuer: must hold no placeholder but {claim:NAME}, such as {claim:tid}, found "{claim:}"`}},
		{"issuer with half a placeholder", with("options.common.issuer", `"https://idp.test/{claim:tid"`), []string{`$.options.common.issuer: must have a "}" for each "{", found a "{" without one: "{{" is a brace of the text itself`}},
		{"issuer with the other half", with("options.common.issuer", `["https://idp.test/claim:tid}"]`), []string{`$.options.common.issuer[0]: must have a "{" for each "}", found a "}" without one: "}}" is a brace of the text itself`}},
		{"oidc's issuer with a claim", oidc("options.modes.oidc.issuer", `"https://idp.test/{claim:tid}"`), []string{`$.options.modes.oidc.issuer: must not hold {claim:…}, since it is the address of one discovery document: for several tenants take mode "jwks", and options.common.issuer`}},

		// Templates
		{"template a number", with(userTemplate, `1`), []string{"$.options.common.usernameTemplate: must be a string, found 1"}},
		{"template empty", with(userTemplate, `""`), []string{"$.options.common.usernameTemplate: must not be empty: give a value or remove the key"}},
		{"template of nothing personal", with(userTemplate, `"device"`), []string{"$.options.common.usernameTemplate: " + impersonal}},
		{"template of the issuer alone", with(userTemplate, `"{iss}"`), []string{"$.options.common.usernameTemplate: " + impersonal}},
		{"template with a misspelt placeholder", with(userTemplate, `"{claims:tid}"`), []string{`$.options.common.usernameTemplate: must hold no placeholder but {sub}, {iss}, {provider} and {claim:NAME}, found "{claims:tid}"; did you mean "claim:tid"?`}},
		{"template with a claim's bare name", with(userTemplate, `"{email}"`), []string{`$.options.common.usernameTemplate: must hold no placeholder but {sub}, {iss}, {provider} and {claim:NAME}, found "{email}"`}},
		{"template with nothing in braces", with(userTemplate, `"{}"`), []string{`$.options.common.usernameTemplate: must name what stands between braces, found "{}"`}},
		{"template with half a placeholder", with(userTemplate, `"{sub}:{claim:a"`), []string{`$.options.common.usernameTemplate: must have a "}" for each "{", found a "{" without one: "{{" is a brace of the text itself`}},
		{"template with a placeholder in another", with(userTemplate, `"{claim:{sub}}"`), []string{`$.options.common.usernameTemplate: must have a "}" for each "{", found a "{" without one: "{{" is a brace of the text itself`}},
		{"template with the other half", with(userTemplate, `"{sub}}"`), []string{`$.options.common.usernameTemplate: must have a "{" for each "}", found a "}" without one: "}}" is a brace of the text itself`}},
		{"template with a wildcard", with(userTemplate, `"{sub}/#"`), []string{`$.options.common.usernameTemplate: must not hold "+" or "#" around its placeholders, found a topic wildcard`}},
		{"template with the other wildcard", with("options.common.clientIdTemplate", `"+{sub}"`), []string{`$.options.common.clientIdTemplate: must not hold "+" or "#" around its placeholders, found a topic wildcard`}},
		{"template with a control character", with(userTemplate, `"{sub}\u0000"`), []string{`$.options.common.usernameTemplate: must not hold control characters`}},
		{"template of the broker's own topics", with(userTemplate, `"$SYS/{sub}"`), []string{`$.options.common.usernameTemplate: must not begin with "$", as the broker's own topics do`}},
		{"template with the provider's name, where there is none", with(userTemplate, `"{provider}:{sub}"`), []string{`$.options.common.usernameTemplate: must not hold {provider} in a file without "providers": there is no name to put there`}},
		{"template, and no match", with(userTemplate, `"{sub}"`, "options.common.matchUsernameToSubject", `false`), []string{"$.options.common.matchUsernameToSubject: must not be false beside usernameTemplate, which says how the name is made"}},
		{"template and claim", with("options.common.clientIdTemplate", `"{sub}"`, "options.common.clientIdClaim", `"azp"`), []string{"$.options.common.clientIdClaim: must not stand beside clientIdTemplate: {claim:NAME} there takes a claim"}},

		// Requests for the key set
		{"headers a list", with("options.modes.jwks.headers", `["X-Api-Key: hunter2"]`), []string{`$.options.modes.jwks.headers: must be an object such as {"X-Api-Key": {"env": "JWKS_API_KEY"}}, found an array`}},
		{"header of a boolean", with("options.modes.jwks.headers", `{"A": true}`), []string{"$.options.modes.jwks.headers.A: must be a string or a number, found a boolean"}},
		{"header of nothing", with("options.modes.jwks.headers", `{"A": {}}`), []string{`$.options.modes.jwks.headers.A: must hold exactly one of "plain", "env" and "filePath", found 0 of them`}},
		{"header with a newline", with("options.modes.jwks.headers", `{"A": "hunter2\r\nB: c"}`), []string{"$.options.modes.jwks.headers.A: must be one line without control characters"}},
		{"header of the connection", with("options.modes.jwks.headers", `{"host": "idp.test"}`), []string{"$.options.modes.jwks.headers.host: must not be set: this header is HTTP's own affair"}},
		{"header with a space in its name", with("options.modes.jwks.headers", `{"X Key": "a"}`), []string{"$.options.modes.jwks.headers[\"X Key\"]: must be named as HTTP headers are (letters, digits and !#$%&'*+-.^_`|~), found \"X Key\""}},
		{"bearerTokenFile without name", with("options.modes.jwks.bearerTokenFile", `""`), []string{"$.options.modes.jwks.bearerTokenFile: must not be empty: give a value or remove the key"}},
		{"jwksUri relative", oidc("options.modes.oidc.jwksUri", `"/keys"`), []string{"$.options.modes.oidc.jwksUri: " + exampleURL + ", found no http:// or https:// in front"}},

		// Revocation
		{"revocation of nothing", with("options.revocation", `{}`), []string{`$.options.revocation: must hold "introspection" or "plain": the endpoint to ask`}},
		{"revocation null", with("options.revocation", `null`), []string{"$.options.revocation: must be an object, found null"}},
		{"introspection a string", with(introspect, `"https://idp.test"`), []string{`$.options.revocation.introspection: must be an object, found "https://idp.test"`}},
		{"introspection without uri", revoking(introspect+".uri", "", introspect+".clientId", `"a"`), []string{"$.options.revocation.introspection.uri: must be there: the address of the RFC 7662 endpoint"}},
		{"introspection's uri relative", revoking(introspect+".uri", `"introspect"`), []string{"$.options.revocation.introspection.uri: " + exampleURL + ", found no http:// or https:// in front"}},
		{"clientSecret alone", revoking(introspect+".clientSecret", `"a"`), []string{"$.options.revocation.introspection.clientId: must be there beside clientSecret"}},
		{"clientSecret a number is not shown", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `12345`), []string{`$.options.revocation.introspection.clientSecret: must be a string, or an object with "plain", "env" or "filePath", found a number`}},
		{"clientSecret of a list is not shown", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `["hunter2"]`), []string{`$.options.revocation.introspection.clientSecret: must be a string, or an object with "plain", "env" or "filePath", found an array`}},
		{"clientAuthentication alone", revoking(introspect+".clientAuthentication", `"post"`), []string{"$.options.revocation.introspection.clientId: must be there beside clientAuthentication"}},
		{"clientKey alone", revoking(introspect+".clientKey", `"hunter2"`), []string{
			"$.options.revocation.introspection.clientId: must be there beside clientKey",
			`$.options.revocation.introspection.clientKey: must not be there unless clientAuthentication is "privateKeyJwt"`,
		}},
		{"clientAuthentication unknown", revoking(introspect+".clientId", `"a"`, introspect+".clientAuthentication", `"private_key_jwt"`), []string{
			`$.options.revocation.introspection.clientAuthentication: must be "basic", "basicRaw", "post" or "privateKeyJwt", found "private_key_jwt"; did you mean "privateKeyJwt"?`,
		}},
		{"privateKeyJwt without a key", revoking(introspect+".clientId", `"a"`, introspect+".clientAuthentication", `"privateKeyJwt"`), []string{
			`$.options.revocation.introspection.clientKey: must be there where clientAuthentication is "privateKeyJwt": the private key in PEM`,
		}},
		{"privateKeyJwt with a secret", revoking(append(signing(), introspect+".clientKey", `"hunter2"`, introspect+".clientSecret", `"hunter2"`)...), []string{
			`$.options.revocation.introspection.clientSecret: must not stand beside clientAuthentication "privateKeyJwt": the key goes in its place`,
		}},
		{"a key for a secret", revoking(introspect+".clientId", `"a"`, introspect+".clientKey", `"hunter2"`), []string{
			`$.options.revocation.introspection.clientKey: must not be there unless clientAuthentication is "privateKeyJwt"`,
		}},
		{"the id of a key for a secret", revoking(introspect+".clientId", `"a"`, introspect+".clientKeyId", `"k"`), []string{
			`$.options.revocation.introspection.clientKeyId: must not be there unless clientAuthentication is "privateKeyJwt"`,
		}},
		{"an id with a colon, as it is", revoking(introspect+".clientId", `"a:b"`, introspect+".clientAuthentication", `"basicRaw"`), []string{
			`$.options.revocation.introspection.clientId: must not hold ":" where clientAuthentication is "basicRaw": the server would take what follows for the secret`,
		}},
		{"clientId empty", revoking(introspect+".clientId", `""`), []string{"$.options.revocation.introspection.clientId: must not be empty: give a value or remove the key"}},
		{
			"both spellings at odds", revoking(introspect+".includeTokenTypeHint", `true`, introspect+".includeTokenTypehint", `false`),
			[]string{"$.options.revocation.introspection.includeTokenTypehint: must not contradict includeTokenTypeHint, found false and true: remove one"},
		},
		{"revocation's timeout in quotes", revoking("options.revocation.timeoutMs", `"5000"`), []string{`$.options.revocation.timeoutMs: must be a number of milliseconds above 0, found "5000"`}},
		{"check unknown", revoking("options.revocation.check", `"never"`), []string{`$.options.revocation.check: must be "beforeConnect", "afterConnect" or "onRetry", found "never"`}},
		{"check in lower case", asking("options.revocation.check", `"onretry"`), []string{`$.options.revocation.check: must be "beforeConnect", "afterConnect" or "onRetry", found "onretry"; did you mean "onRetry"?`}},
		{"check a boolean", revoking("options.revocation.check", `true`), []string{`$.options.revocation.check: must be "beforeConnect", "afterConnect" or "onRetry", found true`}},
		{"check without endpoint", with("options.revocation.check", `"onRetry"`), []string{`$.options.revocation: must hold "introspection" or "plain": the endpoint to ask`}},
		{"retryWindowMs too short", retrying(`999`), []string{"$.options.revocation.retryWindowMs: must be a number of milliseconds from 1000 to 600000, found 999"}},
		{"retryWindowMs too long", retrying(`600001`), []string{"$.options.revocation.retryWindowMs: must be at most 600000 milliseconds, because revoked tokens would go on serving, found 600001"}},
		{"retryWindowMs in quotes", retrying(`"10000"`), []string{`$.options.revocation.retryWindowMs: must be a number of milliseconds from 1000 to 600000, found "10000"`}},
		{"retryWindowMs too long in mode introspection", opaque("options.revocation.retryWindowMs", `600001`), []string{"$.options.revocation.retryWindowMs: must be at most 600000 milliseconds, because revoked tokens would go on serving, found 600001"}},
		{"maxConcurrent of none", revoking("options.revocation.maxConcurrent", `0`), []string{"$.options.revocation.maxConcurrent: must be a number of calls above 0, found 0"}},
		{"maxConcurrent too many", asking("options.revocation.maxConcurrent", `1025`), []string{"$.options.revocation.maxConcurrent: must be at most 1024 calls, because the provider has to bear them, and each takes a file descriptor of the broker's, found 1025"}},
		{"maxConcurrent of a fraction", revoking("options.revocation.maxConcurrent", `1.5`), []string{"$.options.revocation.maxConcurrent: must be a whole number of calls above 0, found 1.5"}},
		{"recheckIntervalMs 0", revoking("options.revocation.recheckIntervalMs", `0`), []string{"$.options.revocation.recheckIntervalMs: must be at least 1000 milliseconds, because the provider would be flooded, found 0: leave the key out to never ask again"}},
		{"recheckIntervalMs too short", asking("options.revocation.recheckIntervalMs", `999`), []string{"$.options.revocation.recheckIntervalMs: must be at least 1000 milliseconds, because the provider would be flooded, found 999: leave the key out to never ask again"}},
		{"recheckIntervalMs too long", revoking("options.revocation.recheckIntervalMs", `86400001`), []string{"$.options.revocation.recheckIntervalMs: must be at most 86400000 milliseconds, because revoked tokens would go on serving, found 86400001"}},
		{"recheckIntervalMs a boolean", revoking("options.revocation.recheckIntervalMs", `false`), []string{"$.options.revocation.recheckIntervalMs: must be a number of milliseconds from 1000 to 86400000, found false"}},
		{"negativeTtlMs too long", revoking("options.revocation.cache.negativeTtlMs", `300001`), []string{"$.options.revocation.cache.negativeTtlMs: must be at most 300000 milliseconds, because a good token that the provider did not know yet would go on being refused, found 300001"}},
		{"plain beside introspection", revoking(plainly+".uri", `"https://idp.test/check"`), []string{`$.options.revocation.plain: must not stand beside "introspection": one endpoint is asked`}},
		{"plain null", with(plainly, `null`), []string{"$.options.revocation.plain: must be an object, found null"}},
		{"plain without uri", with(plainly, `{}`), []string{"$.options.revocation.plain.uri: must be there: the address of the endpoint to ask"}},
		{"plain's uri relative", with(plainly+".uri", `"/check"`), []string{"$.options.revocation.plain.uri: " + exampleURL + ", found no http:// or https:// in front"}},
		{
			"plain's uri with the token's place", with(plainly+".uri", `"https://idp.test/check/#:jwt_value:#"`),
			[]string{"$.options.revocation.plain.uri: must not hold #:jwt_value:#, since it is the same for every token: a path with the token belongs into requestParameters"},
		},
		{"bodyEncoding unknown", asking(plainly+".bodyEncoding", `"json"`), []string{`$.options.revocation.plain.bodyEncoding: must be "application/x-www-form-urlencoded" or "application/json", found "json"`}},
		{"jsonPath alone", asking(plainly+".response.jsonPath", `"a"`), []string{"$.options.revocation.plain.response.successValue: must be there beside jsonPath: the value that means that a token is active"}},
		{"successValue alone", asking(plainly+".response.successValue", `true`), []string{"$.options.revocation.plain.response.jsonPath: must be there beside successValue: where in the answer the value stands"}},
		{"jsonPath as in other tools", answering(`"$.a"`, `1`), []string{`$.options.revocation.plain.response.jsonPath: must be names joined by dots, such as "validation.isSuccess", found "$.a"`}},
		{"jsonPath into an array", answering(`"a[0]"`, `1`), []string{`$.options.revocation.plain.response.jsonPath: must be names joined by dots, such as "validation.isSuccess", found "a[0]"`}},
		{"jsonPath with a gap", answering(`"a..b"`, `1`), []string{`$.options.revocation.plain.response.jsonPath: must be names joined by dots, such as "validation.isSuccess", found "a..b"`}},
		{"jsonPath with a dot at its end", answering(`"a."`, `1`), []string{`$.options.revocation.plain.response.jsonPath: must be names joined by dots, such as "validation.isSuccess", found "a."`}},
		{"jsonPath empty", answering(`""`, `1`), []string{"$.options.revocation.plain.response.jsonPath: must not be empty: give a value or remove the key"}},
		{"jsonPath a list", answering(`["a"]`, `1`), []string{"$.options.revocation.plain.response.jsonPath: must be a string, found an array"}},
		{"successValue null", answering(`"a"`, `null`), []string{"$.options.revocation.plain.response.successValue: must be a string, a number or a boolean, found null"}},
		{"successValue a list", answering(`"a"`, `[true]`), []string{"$.options.revocation.plain.response.successValue: must be a string, a number or a boolean, found an array"}},
		{"successHttpCodes a number", asking(codes, `200`), []string{"$.options.revocation.plain.response.successHttpCodes: must be an array of HTTP statuses such as [200, 204], found 200"}},
		{"successHttpCodes of none", asking(codes, `[]`), []string{"$.options.revocation.plain.response.successHttpCodes: must hold at least one status: no token could pass"}},
		{"successHttpCodes out of range", asking(codes, `[99, 200, 600]`), []string{
			"$.options.revocation.plain.response.successHttpCodes[0]: must be an HTTP status from 100 to 599, found 99",
			"$.options.revocation.plain.response.successHttpCodes[2]: must be an HTTP status from 100 to 599, found 600",
		}},
		{"successHttpCodes in quotes", asking(codes, `["200"]`), []string{`$.options.revocation.plain.response.successHttpCodes[0]: must be an HTTP status from 100 to 599, found "200"`}},
		{"successHttpCodes of a fraction", asking(codes, `[200.5]`), []string{"$.options.revocation.plain.response.successHttpCodes[0]: must be an HTTP status from 100 to 599, found 200.5"}},

		// Requests
		{"requestParameters a string", asking(parameters, `"{}"`), []string{`$.options.revocation.plain.requestParameters: must be an object with "plain", "env" or "filePath", found a string`}},
		{"requestParameters of nothing", asking(parameters, `{}`), []string{`$.options.revocation.plain.requestParameters: must hold exactly one of "plain", "env" and "filePath", found 0 of them`}},
		{"requestParameters of two", asking(parameters, `{"plain": {}, "filePath": "request.json"}`), []string{`$.options.revocation.plain.requestParameters: must hold exactly one of "plain", "env" and "filePath", found 2 of them`}},
		{"requestParameters without plain", asking(parameters, `{"method": "GET", "Path": "/"}`), []string{
			`$.options.revocation.plain.requestParameters: must hold exactly one of "plain", "env" and "filePath", found 0 of them`,
			"$.options.revocation.plain.requestParameters.method: is no known key and has no effect; did you mean $.options.revocation.plain.requestParameters.plain.method?",
			"$.options.revocation.plain.requestParameters.Path: is no known key and has no effect",
		}},
		{"request a list is not shown", requesting(`["hunter2"]`), []string{request + ": must be an object, or one as JSON in a string, found an array"}},
		{"request null", requesting(`null`), []string{request + ": must be an object, or one as JSON in a string, found null"}},
		{"request of an empty text", requesting(`""`), []string{request + ": must hold a request as JSON, found nothing in this text"}},
		{"method in lower case", requesting(`{"method": "post"}`), []string{request + `.method: must be "GET", "POST", "PUT", "PATCH" or "DELETE", found "post"; did you mean "POST"?`}},
		{"method unknown", requesting(`{"method": "QUERY"}`), []string{request + `.method: must be "GET", "POST", "PUT", "PATCH" or "DELETE", found "QUERY"`}},
		{"method a number", requesting(`{"method": 1}`), []string{request + `.method: must be "GET", "POST", "PUT", "PATCH" or "DELETE", found 1`}},
		{"path without slash", requesting(`{"path": "check"}`), []string{request + `.path: must be a path that begins with "/", such as "/tokens/check?verbose=1"`}},
		{"path empty", requesting(`{"path": ""}`), []string{request + `.path: must be a path that begins with "/", such as "/tokens/check?verbose=1"`}},
		{"path a whole address", requesting(`{"path": "https://idp.test/check"}`), []string{request + `.path: must be a path that begins with "/", such as "/tokens/check?verbose=1"`}},
		{"path with a host", requesting(`{"path": "//other.test/check"}`), []string{request + `.path: must be a path that begins with one "/", such as "/tokens/check?verbose=1": after two a host name would stand`}},
		{"path with a fragment", requesting(`{"path": "/check#a"}`), []string{request + `.path: must not hold a fragment, found "#": a server never sees it (the token's place is #:jwt_value:#)`}},
		{"path with a misspelt place", requesting(`{"path": "/check/#jwt_value#"}`), []string{request + `.path: must not hold a fragment, found "#": a server never sees it (the token's place is #:jwt_value:#)`}},
		{"path with another tool's place", requesting(`{"path": "/check/${token}"}`), []string{request + `.path: still holds the placeholder "${token}": the token's place is #:jwt_value:#`}},
		{"path with a space", requesting(`{"path": "/check all"}`), []string{request + ".path: must be percent-encoded, found white space, a control character or letters beyond ASCII (a space is %20)"}},
		{"path with a newline", requesting(`{"path": "/check\r\nHost: other.test"}`), []string{request + ".path: must be percent-encoded, found white space, a control character or letters beyond ASCII (a space is %20)"}},
		{"path with an umlaut", requesting(`{"path": "/prüfen"}`), []string{request + ".path: must be percent-encoded, found white space, a control character or letters beyond ASCII (a space is %20)"}},
		{"path with half an escape", requesting(`{"path": "/check%4/a"}`), []string{request + `.path: must be percent-encoded, found "%" without two hexadecimal digits (a percent sign is %25)`}},
		{"path with an escape of the token", requesting(`{"path": "/check/%#:jwt_value:#"}`), []string{request + `.path: must be percent-encoded, found "%" without two hexadecimal digits (a percent sign is %25)`}},
		{"path a list", requesting(`{"path": ["check"]}`), []string{request + ".path: must be a string, found an array"}},
		{"headers a list", requesting(`{"headers": ["Accept: hunter2"]}`), []string{request + `.headers: must be an object such as {"Authorization": "Bearer #:jwt_value:#"}, found an array`}},
		{"header without name", requesting(`{"headers": {"": "hunter2"}}`), []string{request + ".headers[\"\"]: must be named as HTTP headers are (letters, digits and !#$%&'*+-.^_`|~), found \"\""}},
		{"header with a colon", requesting(`{"headers": {"Accept:": "hunter2"}}`), []string{request + ".headers[\"Accept:\"]: must be named as HTTP headers are (letters, digits and !#$%&'*+-.^_`|~), found \"Accept:\""}},
		{"header with the token in its name", requesting(`{"headers": {"X-#:jwt_value:#": 1}}`), []string{request + ".headers[\"X-#:jwt_value:#\"]: must be named as HTTP headers are (letters, digits and !#$%&'*+-.^_`|~), found \"X-#:jwt_value:#\""}},
		{"header with a line break is not shown", requesting(`{"headers": {"A": "hunter2\r\nX: y"}}`), []string{request + ".headers.A: must be one line without control characters"}},
		{"header with a zero", requesting(`{"headers": {"A": "hunter2\u0000"}}`), []string{request + ".headers.A: must be one line without control characters"}},
		{"header a boolean", requesting(`{"headers": {"A": true}}`), []string{request + ".headers.A: must be a string or a number, found a boolean"}},
		{"header a list", requesting(`{"headers": {"A": ["hunter2"]}}`), []string{request + ".headers.A: must be a string or a number, found an array"}},
		{"headers of the connection", requesting(`{"headers": {"host": "other.test", "Content-length": 0, "Transfer-Encoding": "chunked", "CONNECTION": "close", "te": "trailers"}}`), []string{
			request + ".headers.host: must not be set: this header is HTTP's own affair",
			request + `.headers["Content-length"]: must not be set: this header is HTTP's own affair`,
			request + `.headers["Transfer-Encoding"]: must not be set: this header is HTTP's own affair`,
			request + ".headers.CONNECTION: must not be set: this header is HTTP's own affair",
			request + ".headers.te: must not be set: this header is HTTP's own affair",
		}},
		{"GET with a payload", requesting(`{"method": "GET", "payload": {"token": "#:jwt_value:#"}}`), []string{request + `.payload: must not stand in a GET request, which has no body: put the token into "path" or "headers"`}},
		{"GET without the token", requesting(`{"method": "GET"}`), []string{request + nowhere}},
		{"DELETE without the token", requesting(`{"method": "DELETE", "path": "/tokens", "headers": {"A": "jwt_value"}}`), []string{request + nowhere}},
		{"payload without the token", requesting(`{"payload": {"token": "jwt_value", "a": 1}}`), []string{request + nowhere}},
		{"payload without the token, deep", asking(plainly+".bodyEncoding", `"application/json"`, parameters+".plain", `{"payload": [{"a": ["#:jwt-value:#", null]}]}`), []string{request + nowhere}},
		{"payload of an empty text", requesting(`{"payload": ""}`), []string{request + nowhere}},
		{"form of a list", requesting(`{"payload": ["#:jwt_value:#"]}`), []string{request + `.payload: must be an object or a string where bodyEncoding is "application/x-www-form-urlencoded", found an array`}},
		{"form of a number", requesting(`{"path": "/#:jwt_value:#", "payload": 5}`), []string{request + `.payload: must be an object or a string where bodyEncoding is "application/x-www-form-urlencoded", found a number`}},
		{"form with nested members", requesting(`{"payload": {"token": "#:jwt_value:#", "a": {}, "b": null}}`), []string{
			request + ".payload.a: must be a string, a number or a boolean, as members of a form are, found an object",
			request + ".payload.b: must be a string, a number or a boolean, as members of a form are, found null",
		}},
		{"introspection by GET", introspecting(`{"method": "GET"}`), []string{introspection + `.method: must not be "GET": the token would stand in an address, and RFC 7662 §2.1 has a form`}},
		{"introspection by a text", introspecting(`{"payload": "token=#:jwt_value:#"}`), []string{introspection + `.payload: must be an object of form members such as {"realm": "test"}, found a string`}},
		{"introspection by a list", introspecting(`{"payload": []}`), []string{introspection + `.payload: must be an object of form members such as {"realm": "test"}, found an array`}},
		{"introspection with nested members", introspecting(`{"payload": {"a": ["b"]}}`), []string{introspection + ".payload.a: must be a string, a number or a boolean, as members of a form are, found an array"}},
		{"introspection of a list of tokens", introspecting(`{"payload": {"token": ["#:jwt_value:#"]}}`), []string{introspection + ".payload.token: must be a string, a number or a boolean, as members of a form are, found an array"}},
		{"introspection of another token", introspecting(`{"payload": {"token": "hunter2"}}`), []string{introspection + ".payload.token: must hold #:jwt_value:#: the endpoint would be asked about another token"}},
		{"all of a request at once", introspecting(`{"method": "get", "path": "a", "headers": {"Host": 1}, "payload": {}, "body": {}}`), []string{
			introspection + `.method: must be "GET", "POST", "PUT", "PATCH" or "DELETE", found "get"; did you mean "GET"?`,
			introspection + `.path: must be a path that begins with "/", such as "/tokens/check?verbose=1"`,
			introspection + ".headers.Host: must not be set: this header is HTTP's own affair",
			introspection + ".body: is no known key and has no effect",
		}},

		// TLS
		{"certFile alone", with("options.tls.certFile", `"secret"`), []string{"$.options.tls.keyFile: must be there beside certFile"}},
		{"keyFile alone", with("options.tls.keyFile", `"secret"`), []string{"$.options.tls.certFile: must be there beside keyFile"}},
		{"insecureSkipVerify in quotes", with("options.tls.insecureSkipVerify", `"false"`), []string{`$.options.tls.insecureSkipVerify: must be true or false without quotes, found "false"`}},

		// Metrics
		{"metrics at a port alone", with("options.metrics.listen", `":9641"`), []string{badListen + `":9641"`}},
		{"metrics at a name", with("options.metrics.listen", `"broker.example.com:9641"`), []string{badListen + `"broker.example.com:9641"`}},
		{"metrics without port", with("options.metrics.listen", `"127.0.0.1"`), []string{badListen + `"127.0.0.1"`}},
		{"metrics at any port", with("options.metrics.listen", `"127.0.0.1:0"`), []string{badListen + `"127.0.0.1:0"`}},
		{"metrics at no port", with("options.metrics.listen", `"127.0.0.1:65536"`), []string{badListen + `"127.0.0.1:65536"`}},
		{"metrics at an interface", with("options.metrics.listen", `"[fe80::1%eth0]:9641"`), []string{badListen + `"[fe80::1%eth0]:9641"`}},
		{"metrics for true", with("options.metrics.listen", `true`), []string{"$.options.metrics.listen: must be a string, found true"}},

		// The audit trail
		{"syslog in quotes", with("options.audit.syslog", `"true"`), []string{`$.options.audit.syslog: must be true or false without quotes, found "true"`}},
		{"an audit file without name", with("options.audit.filePath", `""`), []string{"$.options.audit.filePath: must not be empty: give a value or remove the key"}},

		// Rights from tokens
		{"authorization of nothing", with("options.authorization", `{}`), []string{`$.options.authorization: must hold "rules" or "grants": nobody could do anything`}},
		{"authorization with onNoMatch alone", with("options.authorization.onNoMatch", `"defer"`), []string{`$.options.authorization: must hold "rules" or "grants": nobody could do anything`}},
		{"authorization a list", with("options.authorization", `[]`), []string{"$.options.authorization: must be an object, found an array"}},
		{"rules an object", with("options.authorization.rules", `{"claim": "acl", "format": "emqx"}`), []string{`$.options.authorization.rules: must be an array of objects such as {"claim": "mqtt", "format": "topics"}, found an object`}},
		{"no rules", with("options.authorization.rules", `[]`), []string{"$.options.authorization.rules: must not be empty: give a value or remove the key"}},
		{"a rule that is a text", with("options.authorization.rules", `["acl"]`), []string{`$.options.authorization.rules[0]: must be a JSON object, found "acl"`}},
		{"a rule without format", with("options.authorization.rules", `[{"claim": "acl"}]`), []string{`$.options.authorization.rules[0].format: must be there: "topics", "emqx" or "publ-subs"`}},
		{"a rule of another format", with("options.authorization.rules", `[{"claim": "acl", "format": "EMQX"}]`), []string{`$.options.authorization.rules[0].format: must be "topics", "emqx" or "publ-subs", found "EMQX"; did you mean "emqx"?`}},
		{"a rule without claim", with("options.authorization.rules", `[{"format": "publ-subs"}, {"format": "topics"}]`), []string{`$.options.authorization.rules[1].claim: must be there: the claim that holds the rights, such as "acl"`}},
		{"a claim beside publ and subs", with("options.authorization.rules", `[{"format": "publ-subs", "claim": "publ"}]`), []string{`$.options.authorization.rules[0].claim: must not stand beside format "publ-subs", whose claims are publ and subs`}},
		{"a rule with an unknown key", with("options.authorization.rules", `[{"format": "emqx", "clam": "acl"}]`), []string{
			`$.options.authorization.rules[0].claim: must be there: the claim that holds the rights, such as "acl"`, `$.options.authorization.rules[0].clam: is no known key and has no effect; did you mean "claim"?`,
		}},
		{"a grant for nobody", granting(`{"publish": ["a"]}`), []string{`$.options.authorization.grants[0]: must hold one of "scope", "claim" and "everyone", which say whose rights these are, found none`}},
		{"a grant for too many", granting(`{"everyone": true, "scope": "a", "publish": ["a"]}`), []string{`$.options.authorization.grants[0]: must hold one of "scope", "claim" and "everyone", which say whose rights these are, found 2`}},
		{"a grant of nothing", granting(`{"everyone": true}`), []string{`$.options.authorization.grants[0]: must hold "publish" or "subscribe": the topics that are granted`}},
		{"a grant of no topics", granting(`{"everyone": true, "publish": []}`), []string{"$.options.authorization.grants[0].publish: must not be empty: give a value or remove the key"}},
		{"a grant for not everyone", granting(`{"everyone": false, "publish": "a"}`), []string{"$.options.authorization.grants[0].everyone: must be true: remove the entry to grant nothing"}},
		{"a grant for a claim of any value", granting(`{"claim": "a", "publish": "a"}`), []string{"$.options.authorization.grants[0].value: must be there beside claim: what it must be, or hold"}},
		{"a grant for a value of no claim", granting(`{"scope": "a", "value": "a", "publish": "a"}`), []string{`$.options.authorization.grants[0].value: must not stand without "claim"`}},
		{"a grant for an object", granting(`{"claim": "a", "value": {}, "publish": "a"}`), []string{"$.options.authorization.grants[0].value: must be a string, a number or a boolean, found an object"}},
		{"a grant for two scopes", granting(`{"scope": "a b", "publish": "a"}`), []string{`$.options.authorization.grants[0].scope: must be one scope (printable ASCII without space, " or \; several stand in an array), found "a b"`}},
		{"topics that are no filters", granting(`{"everyone": true, "publish": ["a#", "", "#/a", "a+/b", 1], "subscribe": ["+a", "a\u0000"]}`), []string{
			`$.options.authorization.grants[0].publish[0]: must be a topic filter, and has "#" in a level with other characters`,
			"$.options.authorization.grants[0].publish[1]: must not be empty: give a value or remove the key",
			`$.options.authorization.grants[0].publish[2]: must be a topic filter, and has "#" elsewhere than at its end`,
			`$.options.authorization.grants[0].publish[3]: must be a topic filter, and has "+" in a level with other characters`,
			"$.options.authorization.grants[0].publish[4]: must be a string, found 1",
			`$.options.authorization.grants[0].subscribe[0]: must be a topic filter, and has "+" in a level with other characters`,
			"$.options.authorization.grants[0].subscribe[1]: must be a topic filter, and holds a NUL",
		}},
		{"a wildcard in a level with a placeholder", granting(`{"everyone": true, "publish": ["a/+{sub}/b", "{sub}#"]}`), []string{
			`$.options.authorization.grants[0].publish[0]: must be a topic filter, and has "+" in a level with other characters`,
			`$.options.authorization.grants[0].publish[1]: must be a topic filter, and has "#" in a level with other characters`,
		}},
		{"a shared subscription", granting(`{"everyone": true, "subscribe": ["$share/g/a", "$share"]}`), []string{
			`$.options.authorization.grants[0].subscribe[0]: must not begin with "$share/": name the filter behind the group, which is what a shared subscription is judged by`,
			`$.options.authorization.grants[0].subscribe[1]: must not begin with "$share/": name the filter behind the group, which is what a shared subscription is judged by`,
		}},
		{"placeholders", granting(`{"everyone": true, "publish": ["{user}", "{", "}", "{}", "{claim:}", "{iss}", "${username}"]}`), []string{
			topicPlaceholders + `0]: must hold no placeholder but {username}, {clientid}, {sub}, {provider} and {claim:NAME}, found "{user}"`,
			topicPlaceholders + `1]: must have a "}" for each "{", found a "{" without one: "{{" is a brace of the text itself`,
			topicPlaceholders + `2]: must have a "{" for each "}", found a "}" without one: "}}" is a brace of the text itself`,
			topicPlaceholders + `3]: must name what stands between braces, found "{}"`,
			topicPlaceholders + `4]: must hold no placeholder but {username}, {clientid}, {sub}, {provider} and {claim:NAME}, found "{claim:}"`,
			topicPlaceholders + `5]: must hold no placeholder but {username}, {clientid}, {sub}, {provider} and {claim:NAME}, found "{iss}"`,
			topicPlaceholders + `6]: must not hold {username} unless matchUsernameToSubject or usernameTemplate says what the username is: a client could choose its own rights`,
		}},
		{"placeholders as EMQX has them", granting(`{"everyone": true, "publish": ["${sub}/#", "a/$${sub}", "$b/{sub}"]}`), []string{
			topicPlaceholders + `0]: must not have a "$" before a placeholder, found "${sub}": "$" is for EMQX's format, in tokens`,
			topicPlaceholders + `1]: must not have a "$" before a placeholder, found "${sub}": "$" is for EMQX's format, in tokens`,
		}},
		{"names that nothing ties to the token", granting(`{"everyone": true, "publish": "{username}", "subscribe": ["a/{clientid}"]}`, match, "false"), []string{
			"$.options.authorization.grants[0].publish: must not hold {username} unless matchUsernameToSubject or usernameTemplate says what the username is: a client could choose its own rights",
			"$.options.authorization.grants[0].subscribe[0]: must not hold {clientid} unless matchClientIdToSubject or clientIdTemplate says what the client id is: a client could choose its own rights",
		}},
		{"a provider without name", granting(`{"everyone": true, "publish": ["{provider}/a"]}`), []string{`$.options.authorization.grants[0].publish[0]: must not hold {provider} in a file without "providers": there is no name to put there`}},
		{"no rules at all", granting(`{"everyone": true, "publish": "a"}`, "options.authorization.maxRules", `0`), []string{"$.options.authorization.maxRules: must be a number of rules above 0, found 0"}},
		{"too many rules", granting(`{"everyone": true, "publish": "a"}`, "options.authorization.maxRules", `1025`), []string{"$.options.authorization.maxRules: must be at most 1024 rules, because each of a client's actions is held against all of them, found 1025"}},
		{"what no rule is about is allowed", granting(`{"everyone": true, "publish": "a"}`, "options.authorization.onNoMatch", `"allow"`), []string{`$.options.authorization.onNoMatch: must be "deny" or "defer", found "allow"`}},

		{"an admin alone", with(admins, `"ops"`), []string{`$.options.control.admins: must be an array such as ["ops"] or [{"username": "ops"}], found "ops"`}},
		{"an admin who is a number", with(admins, `["ops", 1]`), []string{`$.options.control.admins[1]: must be a username, or an object such as {"provider": "NAME", "username": "ops"}, found 1`}},
		{"an admin without name", with(admins, `["", {"username": ""}]`, match, "true"), []string{"$.options.control.admins[0]: must not be empty: give a value or remove the key", "$.options.control.admins[1].username: must not be empty: give a value or remove the key"}},
		{"an admin by token without name", with(admins, `[{}]`, match, "true"), []string{"$.options.control.admins[0].username: must be there: the username that the provider gives to an admin"}},
		{"an admin with a control character", with(admins, `["a\tb"]`), []string{`$.options.control.admins[0]: must be a name of MQTT, of at most 65535 bytes and without control characters, found "a\tb"`}},
		{"too many admins", with(admins, `[`+strings.Repeat(`"a",`, 64)+`"a"]`), []string{"$.options.control.admins: must hold at most 64 entries, found 65"}},

		{
			"all at once, in the order of the file",
			`{"mode": "jwks", "options": {"lazyConnect": 0, "modes": {"jwks": {"timeoutMs": 0, "urn": "x"}}, "common": {"issuer": 1}}, "version": 3}`,
			[]string{
				`$.algorithm: must be there: name the algorithm that signs your tokens, e.g. "RS256"`,
				"$.options.lazyConnect: must be true or false, found 0",
				`$.options.modes.jwks: must hold "uri" or "filePath" in mode "jwks"`,
				"$.options.modes.jwks.timeoutMs: must be a number of milliseconds above 0, found 0",
				`$.options.modes.jwks.urn: is no known key and has no effect; did you mean "uri"?`,
				"$.options.common.issuer: must be a string or an array of strings, found 1",
				"$.version: must be 1, the only version of the format, found 3",
			},
		},
		{"values are shown shortened", with("version", `"`+strings.Repeat("x", 100)+`"`), []string{`$.version: must be 1, the only version of the format, found "` + strings.Repeat("x", 96) + `"… (100 bytes)`}},
	}
}

// brokenBeyondSchema are those that no JSON Schema can tell, by the reason.
func brokenBeyondSchema() map[string][]brokenFile {
	return map[string][]brokenFile{
		"it sees values, not their text": {
			{"bytes that are no UTF-8", strings.Replace(with("options.common.issuer", `"a"`), `"a"`, "\"\xff\"", 1), []string{"must be UTF-8, found the byte 0xff"}},
			{"half a surrogate pair", with("options.common.issuer", `"\ud800"`), []string{"$.options.common.issuer: must be text, found the replacement character U+FFFD or half of a surrogate pair in it"}},
			{
				"key twice", `{"algorithm": "RS256", "mode": "local", "algorithm": "ES256", "options": {"modes": {"local": "key"}}}`,
				[]string{"$.algorithm: must stand once, found again (first in line 1)"},
			},
		},
		"it does not know the environment": {
			{"header's variable not set", with("options.modes.jwks.headers", `{"A": {"env": "GO_JWT_AUTH_UNSET"}}`), []string{"$.options.modes.jwks.headers.A.env: must name an environment variable of the broker, but GO_JWT_AUTH_UNSET is not set"}},
			{"header's variable of two lines", with("options.modes.jwks.headers", `{"A": {"env": "GO_JWT_AUTH_SECRET"}}`), []string{"$.options.modes.jwks.headers.A: must be one line without control characters"}},
			{"variable not set", local("options.modes.local", `{"env": "GO_JWT_AUTH_UNSET"}`), []string{"$.options.modes.local.env: must name an environment variable of the broker, but GO_JWT_AUTH_UNSET is not set"}},
			{"variable empty", local("options.modes.local", `{"env": "GO_JWT_AUTH_EMPTY"}`), []string{"$.options.modes.local.env: must name an environment variable that holds a value, but GO_JWT_AUTH_EMPTY is empty"}},
			{"variable that may be the secret", local("options.modes.local", `{"env": "Xk39sdf8dfJK"}`), []string{"$.options.modes.local.env: must name an environment variable of the broker, but the one named here is not set"}},
			{"request's variable not set", asking(parameters, `{"env": "GO_JWT_AUTH_UNSET"}`), []string{"$.options.revocation.plain.requestParameters.env: must name an environment variable of the broker, but GO_JWT_AUTH_UNSET is not set"}},
			{"request's variable no JSON", asking(parameters, `{"env": "GO_JWT_AUTH_TEXT"}`), []string{"$.options.revocation.plain.requestParameters.env: in line 1, column 1 of GO_JWT_AUTH_TEXT: is not valid JSON: found 'h', expected a text in double quotes, a number, an object, an array, true, false or null"}},
			{
				"request's variable with a wrong request", asking(parameters, `{"env": "GO_JWT_AUTH_BROKEN"}`),
				[]string{"$.options.revocation.plain.requestParameters.env: in line 1, column 1 of GO_JWT_AUTH_BROKEN: $: must be an object such as {\"method\": \"POST\", \"payload\": {\"token\": \"#:jwt_value:#\"}}, found an array"},
			},
		},
		"it does not know one provider from another": {
			{"Entra's common", oidc("options.modes.oidc.issuer", `"https://login.microsoftonline.com/common/v2.0"`), []string{"$.options.modes.oidc.issuer: must name your tenant, found \"common\": tokens name the tenant that they are of, and none has this issuer; put the tenant's id there, as in \"https://login.microsoftonline.com/<tenant id>/v2.0\". For several tenants take mode \"jwks\", \"https://login.microsoftonline.com/{claim:tid}/v2.0\" as options.common.issuer, and their ids as \"tid\" in requiredClaims"}},
			{"Entra's organizations", oidc("options.modes.oidc.issuer", `"https://login.microsoftonline.us/Organizations/v2.0"`), []string{"$.options.modes.oidc.issuer: must name your tenant, found \"Organizations\": tokens name the tenant that they are of, and none has this issuer; put the tenant's id there, as in \"https://login.microsoftonline.com/<tenant id>/v2.0\". For several tenants take mode \"jwks\", \"https://login.microsoftonline.com/{claim:tid}/v2.0\" as options.common.issuer, and their ids as \"tid\" in requiredClaims"}},
			{"Entra's consumers, for tokens", with("options.common.issuer", `"https://sts.windows.net/consumers/"`), []string{"$.options.common.issuer: must name your tenant, found \"consumers\": tokens name the tenant that they are of, and none has this issuer; put the tenant's id there, as in \"https://login.microsoftonline.com/<tenant id>/v2.0\". For several tenants take mode \"jwks\", \"https://login.microsoftonline.com/{claim:tid}/v2.0\" as options.common.issuer, and their ids as \"tid\" in requiredClaims"}},
		},
		"it does not know other files": {
			{"secret file empty", local("options.modes.local", `{"filePath": "newline"}`), []string{"$.options.modes.local.filePath: the file DIR/newline is empty, expected the value in it"}},
			{
				"secret file a folder", local("options.modes.local", `{"filePath": "folder"}`),
				[]string{"$.options.modes.local.filePath: DIR/folder is a directory, expected a file (container engines make one where the source of a bind mount is missing)"},
			},
			{"secret file a pipe", local("options.modes.local", `{"filePath": "pipe"}`), []string{"$.options.modes.local.filePath: DIR/pipe is a pipe, socket or device, expected a file"}},
			{"secret file too large", local("options.modes.local", `{"filePath": "large"}`), []string{"$.options.modes.local.filePath: DIR/large is larger than 1048576 bytes (1 MiB), expected a far smaller file"}},
			{"bearerTokenFile missing", with("options.modes.jwks.bearerTokenFile", `"folder"`), []string{"$.options.modes.jwks.bearerTokenFile: DIR/folder is a directory, expected a file (container engines make one where the source of a bind mount is missing)"}},
			{"caFile a folder", with("options.tls.caFile", `"folder"`), []string{"$.options.tls.caFile: DIR/folder is a directory, expected a file (container engines make one where the source of a bind mount is missing)"}},
			{"request's file empty", asking(parameters, `{"filePath": "newline"}`), []string{"$.options.revocation.plain.requestParameters.filePath: the file DIR/newline is empty, expected the value in it"}},
			{"request's file with wrong members", asking(parameters, `{"filePath": "broken.json"}`), []string{
				"$.options.revocation.plain.requestParameters.filePath: in line 2, column 13 of DIR/broken.json: $.method: must be \"GET\", \"POST\", \"PUT\", \"PATCH\" or \"DELETE\", found \"get\"; did you mean \"GET\"?",
				"$.options.revocation.plain.requestParameters.filePath: in line 3, column 3 of DIR/broken.json: $.payloads: is no known key and has no effect; did you mean \"payload\"?",
			}},
			{"introspection's file without the token", revoking(introspect+".requestParameters", `{"filePath": "other.json"}`), []string{
				"$.options.revocation.introspection.requestParameters.filePath: in line 1, column 23 of DIR/other.json: $.payload.token: must hold #:jwt_value:#: the endpoint would be asked about another token",
			}},
		},
		inStrings: {
			{"request's text no JSON", requesting(`"{payload: 1}"`), []string{request + ": in line 1, column 2 of this text: is not valid JSON: found 'p', expected a key in double quotes"}},
			{"request's text cut off", requesting(`"{\n  \"payload\":"`), []string{request + ": in line 2, column 13 of this text: is not valid JSON: it ends before the object does (is a }, a ] or a quote missing?)"}},
			{"request's text a string", requesting(`"\"hunter2\""`), []string{request + ": in line 1, column 1 of this text: $: must be an object such as {\"method\": \"POST\", \"payload\": {\"token\": \"#:jwt_value:#\"}}, found a string"}},
			{"request's text with a member twice", requesting(`"{\"path\": \"/\", \"path\": \"/\"}"`), []string{request + ": in line 1, column 15 of this text: $.path: must stand once, found again (first in line 1)"}},
			{"request's text without the token", requesting(`"{\"method\": \"GET\"}"`), []string{request + ": in line 1, column 1 of this text: $" + nowhere}},
		},
		"it does not compare providers": brokenAmongProviders(),
		"it does not look from the admins to the providers": {
			{"an admin of a provider without name", with(admins, `[{"provider": "a", "username": "ops"}]`, match, "true"), []string{"$.options.control.admins[0].provider: must not stand in a file whose provider has no name: leave it out"}},
			{"an admin whose name anybody may claim", with(admins, `["x", {"username": "ops"}]`), []string{"$.options.control.admins[1]: can't be: the provider maps no usernames, so that its clients may claim any: set $.options.common.matchUsernameToSubject to true"}},
			{
				"admins of several providers", withTop(`"options": {"control": {"admins": [{"username": "ops"}, {"provider": "c", "username": "ops"}, {"provider": "a", "username": "ops"}]}}`, from("a", issuerA, match, "false"), from("b", issuerB)),
				[]string{
					"$.options.control.admins[0].provider: must be there with several providers: the name of the one whose token an admin has",
					`$.options.control.admins[1].provider: must be the name of a provider of this file, found "c"; did you mean "a"?`,
					`$.options.control.admins[2]: can't be: provider "a" maps no usernames, so that its clients may claim any: set $.providers[0].options.common.matchUsernameToSubject to true`,
				},
			},
		},
		"it does not compare two values": {
			{
				"issuer other than oidc's", oidc("options.common.issuer", `"https://idp.test/"`),
				[]string{`$.options.common.issuer: must be options.modes.oidc.issuer to the letter, found "https://idp.test/" and "https://idp.test": remove it, since it follows from that`},
			},
			{"issuer with a claim that may be anything", with("options.common.issuer", `"https://idp.test/{claim:tid}"`), []string{`$.options.common.issuer: must not hold {claim:tid} unless requiredClaims lists the values of "tid" that are yours: every tenant of the provider would get in`}},
			{"issuer with a claim that is a number", with("options.common.issuer", `["a", "https://idp.test/{claim:tid}"]`, "options.common.requiredClaims", `{"tid": ["x", 1]}`), []string{`$.options.common.issuer[1]: must not hold {claim:tid} unless its values in requiredClaims are strings without "/" that are not empty, found "1"`}},
			{"issuer with a claim of two segments", with("options.common.issuer", `"https://idp.test/{claim:tid}"`, "options.common.requiredClaims", `{"tid": "a/b"}`), []string{`$.options.common.issuer: must not hold {claim:tid} unless its values in requiredClaims are strings without "/" that are not empty, found "a/b"`}},
			{"issuer with a claim of nothing", with("options.common.issuer", `"https://idp.test/{claim:tid}"`, "options.common.requiredClaims", `{"tid": ""}`), []string{`$.options.common.issuer: must not hold {claim:tid} unless its values in requiredClaims are strings without "/" that are not empty, found ""`}},
			{"one of several issuers other than oidc's", oidc("options.common.issuer", `["https://idp.test", "https://idp.test/"]`), []string{`$.options.common.issuer[1]: must be options.modes.oidc.issuer to the letter, found "https://idp.test/" and "https://idp.test": remove it, since it follows from that`}},
			{"a secret header twice", with("options.modes.jwks.headers", `{"X-A": "hunter2", "x-a": "hunter3"}`), []string{`$.options.modes.jwks.headers["x-a"]: must stand once, found again in other letters`}},
			{"bearer token beside a header", with("options.modes.jwks.headers", `{"authorization": "hunter2"}`, "options.modes.jwks.bearerTokenFile", `"secret"`), []string{`$.options.modes.jwks.bearerTokenFile: must not stand beside an "Authorization" header: the token goes in its place`}},
			{"issuer with two claims", with("options.common.issuer", `"https://idp.test/{claim:a}/{claim:b}"`), []string{`$.options.common.issuer: must hold one placeholder at the most, found "{a}" and "{b}"`}},
			{"header twice, in other letters", requesting(`{"headers": {"X-A": "hunter2", "x-a": "hunter3"}}`), []string{request + `.headers["x-a"]: must stand once, found again in other letters`}},
		},
	}
}

func TestBrokenFile(t *testing.T) {
	dir := workshop(t)
	check := func(c brokenFile) {
		t.Run(c.rule, func(t *testing.T) {
			config, problems := load(t, dir, c.file)
			if config != nil {
				t.Errorf("%s\ngave a Config", c.file)
			}
			if got := texts(problems, dir); !slices.Equal(got, c.want) {
				t.Errorf("%s\ngot  %q\nwant %q", c.file, got, c.want)
			}
			if strings.Contains(problems.Error(), "hunter") {
				t.Error("a secret is shown")
			}
		})
	}
	for _, c := range slices.Concat(brokenFiles(), brokenProviders()) {
		check(c)
	}
	for _, cases := range brokenBeyondSchema() {
		for _, c := range cases {
			check(c)
		}
	}
}

func texts(problems Problems, dir string) []string {
	var texts []string
	for _, p := range problems {
		text := strings.ReplaceAll(p.String(), dir, "DIR")
		if _, command, found := strings.Cut(fileaccess.GrantCommand("DIR"), "chgrp "); found { // the group is that of who runs the tests
			group, _, _ := strings.Cut(command, " ")
			text = strings.ReplaceAll(text, "chgrp "+group+" ", "chgrp GROUP ")
		}
		texts = append(texts, text)
	}
	return texts
}
