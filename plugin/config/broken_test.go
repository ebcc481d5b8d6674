package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const (
	anyAlgorithm = `must be "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512" or "EdDSA"`
	unsupported  = "this version does not support this key, and to ignore it could let somebody in: remove it"
	exampleURL   = `must be an address such as "https://idp.example.com/realms/main/…"`
)

// Every broken file, and all that is to be said about it: `DIR` stands for its folder.
func TestBrokenFile(t *testing.T) {
	t.Setenv("GO_JWT_AUTH_EMPTY", "")
	cases := []struct {
		rule, file string
		want       []string
	}{
		// JSON
		{"empty file", "", []string{"must hold a JSON object, found an empty file"}},
		{"blank file", " \n ", []string{"must hold a JSON object, found an empty file"}},
		{"cut off", `{"version": 1`, []string{"is not valid JSON: the file ends before the object does (is a }, a ] or a quote missing?)"}},
		{"comma at the end of an object", `{"version": 1,}`, []string{"is not valid JSON: found a comma before '}', expected none after the last entry"}},
		{"comma at the end of an array", `{"algorithm": ["RS256",]}`, []string{"is not valid JSON: found a comma before ']', expected none after the last entry"}},
		{"missing comma in an object", `{"a": 1 "b": 2}`, []string{`is not valid JSON: found '"', expected a comma between two entries`}},
		{"missing comma in an array", `{"a": [1 2]}`, []string{`is not valid JSON: found '2', expected a comma between two entries`}},
		{"comment", "{ // mine\n}", []string{"is not valid JSON: found a comment, which JSON does not have"}},
		{"single quotes", `{'a': 1}`, []string{`is not valid JSON: found '\'', expected straight double quotes (")`}},
		{"typographic quotes", `{“a”: 1}`, []string{`is not valid JSON: found '“', expected straight double quotes (")`}},
		{"Python's True", `{"a": True}`, []string{"is not valid JSON: invalid character 'T' looking for beginning of value"}},
		{"newline in a string", "{\"a\": \"b\nc\"}", []string{`is not valid JSON: invalid character '\n' in string literal`}},
		{"trailing object", with() + "{}", []string{"must be one JSON object, found more after its end"}},
		{"trailing bracket", with() + "}", []string{"must be one JSON object, found more after its end"}},
		{"an array", `[]`, []string{"$: must be a JSON object, found an array"}},
		{"a string", `"x"`, []string{`$: must be a JSON object, found "x"`}},
		{"null", `null`, []string{"$: must be a JSON object, found null"}},
		{"nesting bomb", `{"a": ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, []string{"can't be read: it is nested more than 64 levels deep"}},
		{"bytes that are no UTF-8", "{\"a\": \"\xff\"}", []string{"must be UTF-8, found the byte 0xff"}},
		{"UTF-16 with mark", "\xff\xfe{\x00}\x00", []string{"must be UTF-8, found UTF-16: save the file as UTF-8"}},
		{"UTF-16 without mark", "{\x00}\x00", []string{"must be UTF-8, found UTF-16: save the file as UTF-8"}},
		{"half a surrogate pair", with("options.common.issuer", `"\ud800"`), []string{"$.options.common.issuer: must be text, found the replacement character U+FFFD or half of a surrogate pair in it"}},
		{
			"key twice", `{"algorithm": "RS256", "mode": "local", "algorithm": "ES256", "options": {"modes": {"local": "key"}}}`,
			[]string{"$.algorithm: must stand once, found again (first in line 1)"},
		},
		{
			"unknown key twice", with("options.x", `{"a b": 1, "a b": 1}`),
			[]string{"$.options.x: is no known key and has no effect", `$.options.x["a b"]: must stand once, found again (first in line 1)`},
		},

		// Top
		{"nothing at all", `{}`, []string{
			`$.algorithm: must be there: name the algorithm that signs your tokens, e.g. "RS256"`,
			`$.mode: must be there: "jwks" (a key set) or "local" (one key or secret)`,
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
		{"mode missing", with("mode", ""), []string{`$.mode: must be there: "jwks" (a key set) or "local" (one key or secret)`}},
		{"mode unknown", with("mode", `"ldap"`), []string{`$.mode: must be "jwks" or "local", found "ldap"`}},
		{"mode in capitals", with("mode", `"JWKS"`), []string{`$.mode: must be "jwks" or "local", found "JWKS"; did you mean "jwks"?`}},
		{"mode a boolean", with("mode", `true`), []string{`$.mode: must be "jwks" or "local", found true`}},
		{"mode oidc", with("mode", `"oidc"`, uri, "", "options.modes.oidc.issuer", `"https://idp.test"`), []string{
			`$.mode: this version does not support mode "oidc", expected "jwks" or "local"`,
			"$.options.modes.oidc: " + unsupported,
		}},
		{"mode introspection", with("mode", `"introspection"`), []string{`$.mode: this version does not support mode "introspection", expected "jwks" or "local"`}},
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
		{"ttlMs negative", with("options.modes.jwks.cache.ttlMs", `-1`), []string{"$.options.modes.jwks.cache.ttlMs: must be a number of milliseconds, 0 or above, found -1"}},
		{"ttlMs too long", with("options.modes.jwks.cache.ttlMs", `2592000001`), []string{"$.options.modes.jwks.cache.ttlMs: must be at most 2592000000 milliseconds, because keys that the provider withdrew would go on serving, found 2592000001"}},

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
		{"uri with a port of letters", with(uri, `"http://idp.test:http/certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + `: invalid port ":http" after host`}},
		{"uri with a space", with(uri, `"https://idp test/certs"`), []string{"$.options.modes.jwks.uri: " + exampleURL + `: invalid character " " in host name`}},
		{
			"uri with credentials", with(uri, `"https://me:hunter2@idp.test/certs"`),
			[]string{"$.options.modes.jwks.uri: must not hold a user name or password (addresses are logged): use clientId and clientSecret where the endpoint asks for them"},
		},
		{"uri with credentials and no scheme", with(uri, `"me:hunter2@idp.test"`), []string{"$.options.modes.jwks.uri: must begin with http:// or https://, found something else"}},
		{"uri with broken credentials", with(uri, `"https://me:hunter/2@idp.test"`), []string{"$.options.modes.jwks.uri: " + exampleURL + ": found characters where an address has none"}},
		{"uri with a fragment", with(uri, `"https://idp.test/certs#1"`), []string{`$.options.modes.jwks.uri: must not hold a fragment, found "#": a server never sees it`}},
		{"uri with an empty fragment", with(uri, `"https://idp.test/certs#"`), []string{`$.options.modes.jwks.uri: must not hold a fragment, found "#": a server never sees it`}},
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
		{"variable not set", local("options.modes.local", `{"env": "GO_JWT_AUTH_UNSET"}`), []string{"$.options.modes.local.env: must name an environment variable of the broker, but GO_JWT_AUTH_UNSET is not set"}},
		{"variable empty", local("options.modes.local", `{"env": "GO_JWT_AUTH_EMPTY"}`), []string{"$.options.modes.local.env: must name an environment variable that holds a value, but GO_JWT_AUTH_EMPTY is empty"}},
		{"variable that may be the secret", local("options.modes.local", `{"env": "Xk39sdf8dfJK"}`), []string{"$.options.modes.local.env: must name an environment variable of the broker, but the one named here is not set"}},
		{"variable without name", local("options.modes.local", `{"env": ""}`), []string{"$.options.modes.local.env: must be the name of an environment variable, found a string"}},
		{"secret file empty", local("options.modes.local", `{"filePath": "newline"}`), []string{"$.options.modes.local.filePath: the file DIR/newline is empty, expected the secret in it"}},
		{
			"secret file a folder", local("options.modes.local", `{"filePath": "folder"}`),
			[]string{"$.options.modes.local.filePath: DIR/folder is a directory, expected a file (container engines make one where the source of a bind mount is missing)"},
		},
		{"secret file a pipe", local("options.modes.local", `{"filePath": "pipe"}`), []string{"$.options.modes.local.filePath: DIR/pipe is a pipe, socket or device, expected a file"}},
		{"secret file too large", local("options.modes.local", `{"filePath": "large"}`), []string{"$.options.modes.local.filePath: DIR/large is larger than 1048576 bytes (1 MiB), expected a far smaller file"}},
		{"secret file's name a number", local("options.modes.local", `{"filePath": 5}`), []string{"$.options.modes.local.filePath: must be a string, found 5"}},
		{"secret file's name with a zero", local("options.modes.local", `{"filePath": "a\u0000b"}`), []string{`$.options.modes.local.filePath: must be the name of a file without control characters, found "a\x00b"`}},

		// Common
		{"common null", with("options.common", `null`), []string{"$.options.common: must be an object, found null"}},
		{"issuer null", with("options.common.issuer", `null`), []string{"$.options.common.issuer: must be a string, found null"}},
		{"issuer a list", with("options.common.issuer", `["a"]`), []string{"$.options.common.issuer: must be a string, found an array"}},
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
		{"leewayMs negative", with("options.common.leewayMs", `-0.5`), []string{"$.options.common.leewayMs: must be a number of milliseconds, 0 or above, found -0.5"}},
		{"leewayMs too long", with("options.common.leewayMs", `3600001`), []string{"$.options.common.leewayMs: must be at most 3600000 milliseconds, because expired tokens would go on serving, found 3600001"}},
		{"onSubjectMismatch unknown", with("options.common.onSubjectMismatch", `"replace"`), []string{`$.options.common.onSubjectMismatch: must be "rewrite" or "deny", found "replace"`}},
		{"onNonToken unknown", with("options.common.onNonToken", `"Deny"`), []string{`$.options.common.onNonToken: must be "defer" or "deny", found "Deny"; did you mean "deny"?`}},
		{"maxTokenBytes too few", with("options.common.maxTokenBytes", `0`), []string{"$.options.common.maxTokenBytes: must be a number of bytes from 64 to 65535, found 0"}},
		{"maxTokenBytes too many", with("options.common.maxTokenBytes", `65536`), []string{"$.options.common.maxTokenBytes: must be at most 65535 bytes, because MQTT carries no longer password, found 65536"}},

		// Revocation
		{"revocation of nothing", with("options.revocation", `{}`), []string{"$.options.revocation.introspection: must be there: revocation needs the endpoint to ask"}},
		{"revocation null", with("options.revocation", `null`), []string{"$.options.revocation: must be an object, found null"}},
		{"introspection a string", with(introspect, `"https://idp.test"`), []string{`$.options.revocation.introspection: must be an object, found "https://idp.test"`}},
		{"introspection without uri", revoking(introspect+".uri", "", introspect+".clientId", `"a"`), []string{"$.options.revocation.introspection.uri: must be there: the address of the RFC 7662 endpoint"}},
		{"introspection's uri relative", revoking(introspect+".uri", `"introspect"`), []string{"$.options.revocation.introspection.uri: " + exampleURL + ", found no http:// or https:// in front"}},
		{"clientSecret alone", revoking(introspect+".clientSecret", `"a"`), []string{"$.options.revocation.introspection.clientId: must be there beside clientSecret"}},
		{"clientSecret a number is not shown", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `12345`), []string{`$.options.revocation.introspection.clientSecret: must be a string, or an object with "plain", "env" or "filePath", found a number`}},
		{"clientSecret of a list is not shown", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `["hunter2"]`), []string{`$.options.revocation.introspection.clientSecret: must be a string, or an object with "plain", "env" or "filePath", found an array`}},
		{"clientId empty", revoking(introspect+".clientId", `""`), []string{"$.options.revocation.introspection.clientId: must not be empty: give a value or remove the key"}},
		{
			"both spellings at odds", revoking(introspect+".includeTokenTypeHint", `true`, introspect+".includeTokenTypehint", `false`),
			[]string{"$.options.revocation.introspection.includeTokenTypehint: must not contradict includeTokenTypeHint, found false and true: remove one"},
		},
		{"revocation's timeout in quotes", revoking("options.revocation.timeoutMs", `"5000"`), []string{`$.options.revocation.timeoutMs: must be a number of milliseconds above 0, found "5000"`}},

		// TLS
		{"caFile a folder", with("options.tls.caFile", `"folder"`), []string{"$.options.tls.caFile: DIR/folder is a directory, expected a file (container engines make one where the source of a bind mount is missing)"}},
		{"certFile alone", with("options.tls.certFile", `"secret"`), []string{"$.options.tls.keyFile: must be there beside certFile"}},
		{"keyFile alone", with("options.tls.keyFile", `"secret"`), []string{"$.options.tls.certFile: must be there beside keyFile"}},
		{"insecureSkipVerify in quotes", with("options.tls.insecureSkipVerify", `"false"`), []string{`$.options.tls.insecureSkipVerify: must be true or false without quotes, found "false"`}},

		// Not in this version
		{"providers", with("providers", `[]`), []string{"$.providers: " + unsupported}},
		{"authorization", with("options.authorization", `{}`), []string{"$.options.authorization: " + unsupported}},
		{"enhancedAuth", with("options.enhancedAuth.methods", `[]`), []string{"$.options.enhancedAuth: " + unsupported}},
		{"maxStaleMs", with("options.modes.jwks.cache.maxStaleMs", `1`), []string{"$.options.modes.jwks.cache.maxStaleMs: " + unsupported}},
		{"tokenSource", with("options.common.tokenSource", `"username"`), []string{"$.options.common.tokenSource: " + unsupported}},
		{"usernameTemplate", with("options.common.usernameTemplate", `"{sub}"`), []string{"$.options.common.usernameTemplate: " + unsupported}},
		{"clientIdTemplate", with("options.common.clientIdTemplate", `"{sub}"`), []string{"$.options.common.clientIdTemplate: " + unsupported}},
		{"revocation.plain", with("options.revocation.plain.uri", `"https://idp.test"`), []string{"$.options.revocation.plain: " + unsupported}},
		{"requestParameters", revoking(introspect+".requestParameters", `{}`), []string{"$.options.revocation.introspection.requestParameters: " + unsupported}},
		{"revocation.cache", revoking("options.revocation.cache.ttlMs", `1`), []string{"$.options.revocation.cache: " + unsupported}},
		{"revocation.check", revoking("options.revocation.check", `"onRetry"`), []string{"$.options.revocation.check: " + unsupported}},
		{"revocation.maxConcurrent", revoking("options.revocation.maxConcurrent", `1`), []string{"$.options.revocation.maxConcurrent: " + unsupported}},
		{"revocation.onUnavailable", revoking("options.revocation.onUnavailable", `"allow"`), []string{"$.options.revocation.onUnavailable: " + unsupported}},
		{"revocation.recheckIntervalMs", revoking("options.revocation.recheckIntervalMs", `1`), []string{"$.options.revocation.recheckIntervalMs: " + unsupported}},
		{"revocation.retryWindowMs", revoking("options.revocation.retryWindowMs", `1`), []string{"$.options.revocation.retryWindowMs: " + unsupported}},

		{
			"all at once, in the order of the file",
			`{"mode": "jwks", "options": {"lazyConnect": 0, "modes": {"jwks": {"timeoutMs": 0, "urn": "x"}}, "common": {"issuer": 1}}, "version": 3}`,
			[]string{
				`$.algorithm: must be there: name the algorithm that signs your tokens, e.g. "RS256"`,
				"$.options.lazyConnect: must be true or false, found 0",
				`$.options.modes.jwks: must hold "uri" or "filePath" in mode "jwks"`,
				"$.options.modes.jwks.timeoutMs: must be a number of milliseconds above 0, found 0",
				`$.options.modes.jwks.urn: is no known key and has no effect; did you mean "uri"?`,
				"$.options.common.issuer: must be a string, found 1",
				"$.version: must be 1, the only version of the format, found 3",
			},
		},
		{"values are shown shortened", with("version", `"`+strings.Repeat("x", 100)+`"`), []string{`$.version: must be 1, the only version of the format, found "` + strings.Repeat("x", 60) + `"…`}},
	}
	dir := t.TempDir()
	write(t, dir, "secret", "hunter2")
	write(t, dir, "newline", "\r\n")
	write(t, dir, "large", strings.Repeat("x", maxFileBytes+1))
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
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
}

func texts(problems Problems, dir string) []string {
	var texts []string
	for _, p := range problems {
		texts = append(texts, strings.ReplaceAll(p.String(), dir, "DIR"))
	}
	return texts
}

// What is odd, but keeps nobody from starting.
func TestWarning(t *testing.T) {
	cases := []struct {
		rule, file string
		want       []string
	}{
		{"unknown key", with("options.common.zzz", `1`), []string{"$.options.common.zzz: is no known key and has no effect"}},
		{"unknown section", with("zzz.a", `1`), []string{"$.zzz: is no known key and has no effect"}},
		{"similar key", with("options.common.isuer", `"a"`), []string{`$.options.common.isuer: is no known key and has no effect; did you mean "issuer"?`}},
		{"key in other letters", with("options.LazyConnect", `true`), []string{`$.options.LazyConnect: is no known key and has no effect; did you mean "lazyConnect"?`}},
		{"similar section", with("options.revokation.timeoutMs", `1`), []string{`$.options.revokation: is no known key and has no effect; did you mean "revocation"?`}},
		{"key in the wrong section", with("options.issuer", `"a"`), []string{"$.options.issuer: is no known key and has no effect; did you mean $.options.common.issuer?"}},
		{"key in the wrong section, with two right ones", revoking("options.revocation.uri", `"a"`), []string{"$.options.revocation.uri: is no known key and has no effect; did you mean $.options.revocation.introspection.uri?"}},
		{"key that needs quotes", with("options./etc", `1`), []string{`$.options["/etc"]: is no known key and has no effect`}},
		{"key with a newline", `{"a\nb": 1, ` + with()[1:], []string{`$["a\nb"]: is no known key and has no effect`}},
		{"key without end", `{"` + strings.Repeat("x", 99_999) + `": 1, ` + with()[1:], []string{`$["` + strings.Repeat("x", 60) + `"…]: is no known key and has no effect`}},
		{"unknown origin of a secret", local("options.modes.local", `{"plain": "a", "vault": 1}`), []string{"$.options.modes.local.vault: is no known key and has no effect"}},
		{"local in mode jwks", with("options.modes.local", `{"env": "GO_JWT_AUTH_UNSET"}`), []string{`$.options.modes.local: is not used in mode "jwks", and was not checked`}},
		{"jwks in mode local", local("options.modes.jwks.uri", `"nonsense"`), []string{`$.options.modes.jwks: is not used in mode "local", and was not checked`}},
		{"algorithm twice", with("algorithm", `["RS256", "RS256"]`), []string{`$.algorithm[1]: is there twice, found "RS256" again`}},
		{"usernameClaim without match", with("options.common.usernameClaim", `"email"`), []string{"$.options.common.usernameClaim: has no effect unless matchUsernameToSubject is true"}},
		{"clientIdClaim without match", with("options.common.clientIdClaim", `"email"`), []string{"$.options.common.clientIdClaim: has no effect unless matchClientIdToSubject is true"}},
		{"insecureSkipVerify", with("options.tls.insecureSkipVerify", `true`), []string{"$.options.tls.insecureSkipVerify: lets anybody on the way pose as the identity provider: use caFile for a private authority instead"}},
		{"shared secret readable by others", local("algorithm", `"HS256"`, "options.modes.local", `{"filePath": "0644"}`), []string{"$.options.modes.local.filePath: the file DIR/0644 is open to every user of this machine (mode 0644): chmod 0640 DIR/0644"}},
		{"public key readable by others", local("options.modes.local", `{"filePath": "0644"}`), nil},
		{"public key others may change", local("options.modes.local", `{"filePath": "0666"}`), []string{"$.options.modes.local.filePath: the file DIR/0666 may be changed by every user of this machine (mode 0666): chmod o-w DIR/0666"}},
		{"clientSecret readable by others", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `{"filePath": "0644"}`), []string{"$.options.revocation.introspection.clientSecret.filePath: the file DIR/0644 is open to every user of this machine (mode 0644): chmod 0640 DIR/0644"}},
		{"clientSecret readable by the group", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `{"filePath": "0640"}`), nil},
		{"private key readable by others", with("options.tls.certFile", `"0644"`, "options.tls.keyFile", `"0644"`), []string{"$.options.tls.keyFile: the file DIR/0644 is open to every user of this machine (mode 0644): chmod 0640 DIR/0644"}},
		{"byte order mark", "\uFEFF" + with(), nil},
		{"Windows' line ends", strings.ReplaceAll(with(), ",", ",\r\n"), nil},
	}
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o640, 0o644, 0o666} {
		chmod(t, write(t, dir, fmt.Sprintf("%04o", mode), "hunter2"), mode)
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			config, problems := load(t, dir, c.file)
			if config == nil {
				t.Error("gave no Config")
			}
			if got := texts(problems, dir); !slices.Equal(got, c.want) {
				t.Errorf("%s\ngot  %q\nwant %q", c.file, got, c.want)
			}
			if len(problems.Errors()) > 0 {
				t.Error("counts as an error")
			}
		})
	}
}

// Lines and columns count from 1, columns in characters, and point at the value, or at the key where that is at fault.
func TestPosition(t *testing.T) {
	cases := []struct {
		rule, file   string
		line, column int
	}{
		{"comma too many", "{\n  \"a\": 1,\n}", 3, 1},
		{"comma missing", "{\n  \"a\": 1\n  \"b\": 2}", 3, 3},
		{"wrong first byte", "hello", 1, 1},
		{"cut off", "{\n  \"a\":", 2, 7},
		{"more after the end", "{}\n  x", 2, 3},
		{"empty", "", 1, 1},
		{"byte that is no UTF-8", "{\n\"ä\xff\"}", 2, 3},
		{"UTF-16", "\xff\xfe{\x00", 1, 1},
		{"byte order mark is no column", "\uFEFFx", 1, 1},
		{"no object", "\n []", 2, 2},
		{"key twice", "{\"a\": 1,\n \"a\": 2}", 2, 2},
		{"value after other letters", "{\"äöü\": 0, \"version\" :\t2}", 1, 24},
		{"item of a list", "{\"algorithm\": [\"RS256\",\r\n \"x\"]}", 2, 2},
		{"missing key", "\n{\"mode\": \"local\", \"options\": {\"modes\": {\"local\": \"x\"}}}", 2, 1},
		{"missing key of a section", "{\"algorithm\": \"RS256\", \"mode\": \"jwks\", \"options\": {\n\"modes\":\n{}}}", 3, 1},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			_, problems := load(t, t.TempDir(), c.file)
			errs := problems.Errors()
			if len(errs) == 0 {
				t.Fatal("no error")
			}
			// What is missing from the whole file comes first, and is not meant.
			if got := errs[len(errs)-1]; got.Line != c.line || got.Column != c.column {
				t.Errorf("got %d:%d, want %d:%d: %v", got.Line, got.Column, c.line, c.column, got)
			}
		})
	}
}
