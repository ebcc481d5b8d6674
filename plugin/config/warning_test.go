package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// oddFile is a file that keeps nobody from starting, and what there is to be said about it.
type oddFile struct {
	rule, file string
	want       []string
}

func oddFiles() []oddFile {
	return []oddFile{
		{"unknown key", with("options.common.zzz", `1`), []string{"$.options.common.zzz: is no known key and has no effect"}},
		{"unknown section", with("zzz.a", `1`), []string{"$.zzz: is no known key and has no effect"}},
		{"similar key", with("options.common.isuer", `"a"`), []string{`$.options.common.isuer: is no known key and has no effect; did you mean "issuer"?`}},
		{"key in other letters", with("options.LazyConnect", `true`), []string{`$.options.LazyConnect: is no known key and has no effect; did you mean "lazyConnect"?`}},
		{"similar section", with("options.revokation.timeoutMs", `1`), []string{`$.options.revokation: is no known key and has no effect; did you mean "revocation"?`}},
		{"key in the wrong section", with("options.issuer", `"a"`), []string{"$.options.issuer: is no known key and has no effect; did you mean $.options.common.issuer?"}},
		{"key in the wrong section, with two right ones", revoking("options.revocation.uri", `"a"`), []string{"$.options.revocation.uri: is no known key and has no effect; did you mean $.options.revocation.introspection.uri?"}},
		{"section in the wrong place", with("options.jwks", `{"uri": "https://idp.test/jwks"}`), []string{"$.options.jwks: is no known key and has no effect; did you mean $.options.modes.jwks?"}},
		{"section in the wrong place, with two right ones, by what is in it", with("options.cache", `{"enabled": true}`), []string{"$.options.cache: is no known key and has no effect; did you mean $.options.modes.jwks.cache?"}},
		{"and the other", with("options.cache", `{"negativeTtlMs": 1}`), []string{"$.options.cache: is no known key and has no effect; did you mean $.options.revocation.cache?"}},
		{"by what else is in the file", with("options.cache", `{"ttlMs": 1}`), []string{"$.options.cache: is no known key and has no effect; did you mean $.options.modes.jwks.cache?"}},
		{"and where both are", revoking("options.cache", `{"ttlMs": 1}`), []string{"$.options.cache: is no known key and has no effect; did you mean $.options.revocation.cache?"}},
		{"section too deep", revoking("options.common.revocation", `{"timeoutMs": 1}`), []string{"$.options.common.revocation: is no known key and has no effect; did you mean $.options.revocation?"}},
		{"section not deep enough", with("modes", `{}`), []string{"$.modes: is no known key and has no effect; did you mean $.options.modes?"}},
		{"section at the top", with("common", `{}`), []string{"$.common: is no known key and has no effect; did you mean $.options.common?"}},
		{"misspelt section at the top", with("option", `{"lazyConnect": true}`), []string{`$.option: is no known key and has no effect; did you mean "options"?`}},
		{"key that needs quotes", with("options./etc", `1`), []string{`$.options["/etc"]: is no known key and has no effect`}},
		{"key with a newline", `{"a\nb": 1, ` + with()[1:], []string{`$["a\nb"]: is no known key and has no effect`}},
		{"key without end", `{"` + strings.Repeat("x", 999) + `": 1, ` + with()[1:], []string{`$["` + strings.Repeat("x", 96) + `"… (999 bytes)]: is no known key and has no effect`}},
		{"unknown origin of a secret", local("options.modes.local", `{"plain": "a", "vault": 1}`), []string{"$.options.modes.local.vault: is no known key and has no effect"}},
		{"oidc in mode jwks", with("options.modes.oidc", `false`), []string{`$.options.modes.oidc: is not used in mode "jwks", and was not checked`}},
		{"local in mode oidc", oidc("options.modes.local", `1`), []string{`$.options.modes.local: is not used in mode "oidc", and was not checked`}},
		{"all sections in mode introspection", opaque("options.modes", `{"jwks": 1, "local": 2, "oidc": {"a": 3}}`), []string{
			`$.options.modes.jwks: is not used in mode "introspection", and was not checked`,
			`$.options.modes.local: is not used in mode "introspection", and was not checked`,
			`$.options.modes.oidc: is not used in mode "introspection", and was not checked`,
		}},
		{"signatures in mode introspection", opaque("algorithm", `"HS256"`, "options.common.tokenType", `"at+jwt"`, "options.common.allowWeakKeys", `false`, "options.common.rememberVerified", `true`), []string{
			`$.algorithm: has no effect in mode "introspection": opaque tokens have neither header nor signature to check`,
			`$.options.common.allowWeakKeys: has no effect in mode "introspection": opaque tokens have neither header nor signature to check`,
			`$.options.common.rememberVerified: has no effect in mode "introspection": opaque tokens have neither header nor signature to check`,
			`$.options.common.tokenType: has no effect in mode "introspection": opaque tokens have neither header nor signature to check`,
		}},
		{"local in mode jwks", with("options.modes.local", `{"env": "GO_JWT_AUTH_UNSET"}`), []string{`$.options.modes.local: is not used in mode "jwks", and was not checked`}},
		{"jwks in mode local", local("options.modes.jwks.uri", `"nonsense"`), []string{`$.options.modes.jwks: is not used in mode "local", and was not checked`}},
		{"algorithm by both its names", with("algorithm", `["EdDSA", "Ed25519"]`), []string{`$.algorithm[1]: is there twice, found "Ed25519" again`}},
		{"an admin twice", with(admins, `["ops", "ops"]`), []string{"$.options.control.admins[1]: is there twice"}},
		{"algorithm twice", with("algorithm", `["RS256", "RS256"]`), []string{`$.algorithm[1]: is there twice, found "RS256" again`}},
		{"usernameClaim without match", with("options.common.usernameClaim", `"email"`), []string{"$.options.common.usernameClaim: has no effect unless matchUsernameToSubject is true"}},
		{"clientIdClaim without match", with("options.common.clientIdClaim", `"email"`), []string{"$.options.common.clientIdClaim: has no effect unless matchClientIdToSubject is true"}},
		{"reservedNames without match", with("options.common.reservedNames", `["admin"]`), []string{"$.options.common.reservedNames: has no effect unless matchUsernameToSubject or matchClientIdToSubject is true: clients keep any name that they claim"}},
		{"retryWindowMs with the default check", revoking("options.enhancedAuth.methods", `[]`, "options.revocation.retryWindowMs", `10000`), []string{`$.options.revocation.retryWindowMs: has no effect unless check is "onRetry", as no client logs in by enhanced authentication`}},
		{"retryWindowMs with another check", asking("options.revocation.check", `"afterConnect"`, "options.enhancedAuth.methods", `[]`, "options.revocation.retryWindowMs", `30000`), []string{`$.options.revocation.retryWindowMs: has no effect unless check is "onRetry", as no client logs in by enhanced authentication`}},
		{"retryWindowMs for logins by enhanced authentication", revoking("options.revocation.retryWindowMs", `10000`), nil},
		{"retryWindowMs with its check", retrying(`30000`), nil},
		{"retryWindowMs in mode introspection", opaque("options.revocation.check", `"beforeConnect"`, "options.revocation.retryWindowMs", `30000`), nil},
		{"recheckIntervalMs in mode introspection", opaque("options.revocation.recheckIntervalMs", `60000`), nil},
		{"recheckIntervalMs with a plain endpoint", asking("options.revocation.recheckIntervalMs", `60000`), nil},
		{"afterConnect, with clients kept where there is no answer", revoking("options.revocation.check", `"afterConnect"`, "options.revocation.onUnavailable", `"allow"`), nil},
		{"keys by plain http", with(uri, `"http://idp.test/jwks"`), []string{"$.options.modes.jwks.uri: " + PlaintextWarning}},
		{"issuer by plain http", oidc("options.modes.oidc.issuer", `"HTTP://192.0.2.7"`), []string{"$.options.modes.oidc.issuer: " + PlaintextWarning}},
		{"introspection by plain http", revoking(introspect+".uri", `"http://127.0.0.1.idp.test/"`), []string{"$.options.revocation.introspection.uri: " + PlaintextWarning}},
		{"endpoint by plain http", asking(plainly+".uri", `"http://[2001:db8::1]/"`), []string{"$.options.revocation.plain.uri: " + PlaintextWarning}},
		{"metrics for everybody", with("options.metrics.listen", `"0.0.0.0:9641"`), []string{"$.options.metrics.listen: is not of this machine alone: whoever reaches it can read the metrics, without a password. Have a firewall let Prometheus alone in, or listen at 127.0.0.1"}},
		{"metrics for this machine", with("options.metrics.listen", `"[::ffff:127.8.0.1]:9641"`), nil},
		{"plain http on this machine", revoking(uri, `"http://127.8.0.1:80/"`, introspect+".uri", `"http://[::1]/"`), nil},
		{"plain http on this machine by name", revoking(uri, `"http://LocalHost:80/"`, introspect+".uri", `"http://idp.localhost./"`), nil},
		{"insecureSkipVerify", with("options.tls.insecureSkipVerify", `true`), []string{"$.options.tls.insecureSkipVerify: lets anybody on the way pose as the identity provider: use caFile for a private authority instead"}},
		{"shared secret readable by others", local("algorithm", `"HS256"`, "options.modes.local", `{"filePath": "0644"}`), []string{"$.options.modes.local.filePath: the file DIR/0644 is open to every user of this machine (mode 0644): chgrp GROUP DIR/0644 && chmod 0640 DIR/0644"}},
		{"public key readable by others", local("options.modes.local", `{"filePath": "0644"}`), nil},
		{"public key others may change", local("options.modes.local", `{"filePath": "0666"}`), []string{"$.options.modes.local.filePath: the file DIR/0666 may be changed by every user of this machine (mode 0666): chmod o-w DIR/0666"}},
		{"clientSecret readable by others", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `{"filePath": "0644"}`), []string{"$.options.revocation.introspection.clientSecret.filePath: the file DIR/0644 is open to every user of this machine (mode 0644): chgrp GROUP DIR/0644 && chmod 0640 DIR/0644"}},
		{"clientSecret readable by the group", revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `{"filePath": "0640"}`), nil},
		{"private key readable by others", with("options.tls.certFile", `"0644"`, "options.tls.keyFile", `"0644"`), []string{"$.options.tls.keyFile: the file DIR/0644 is open to every user of this machine (mode 0644): chgrp GROUP DIR/0644 && chmod 0640 DIR/0644"}},
		{"unknown member of a request", requesting(`{"Method": "PUT", "uri": "/"}`), []string{
			request + `.Method: is no known key and has no effect; did you mean "method"?`,
			request + ".uri: is no known key and has no effect",
		}},
		{"unknown origin of a request", asking(parameters, `{"plain": {}, "file": "a"}`), []string{`$.options.revocation.plain.requestParameters.file: is no known key and has no effect`}},
		{"successHttpCodes twice", asking(codes, `[200, 2e2]`), []string{"$.options.revocation.plain.response.successHttpCodes[1]: is there twice, found 2e2 again"}},
		{"clientId in the form beside a header", revoking(introspect+".clientId", `"a"`, introspect+".clientAuthentication", `"post"`, introspect+".requestParameters.plain", `{"headers": {"authorization": "Bearer hunter2"}}`), nil},
		{
			"clientId beside its header", revoking(introspect+".clientId", `"a"`, introspect+".requestParameters.plain", `{"headers": {"authorization": "Bearer hunter2"}}`),
			[]string{`$.options.revocation.introspection.clientId: has no effect beside an "Authorization" header in requestParameters, which goes in its place`},
		},
		{"request with a secret readable by others", asking(parameters, `{"filePath": "secret-request.json"}`), []string{
			"$.options.revocation.plain.requestParameters.filePath: the file DIR/secret-request.json is open to every user of this machine (mode 0644): chgrp GROUP DIR/secret-request.json && chmod 0640 DIR/secret-request.json",
		}},
		{"request readable by others", asking(parameters, `{"filePath": "request.json"}`), nil},
		{"unknown members of rights", with("options.authorization", `{"rules": [{"claim": "a", "format": "topics", "qos": 1}], "grants": [{"everyone": true, "Publish": [], "subscribe": ["a", "a"]}], "grant": []}`), []string{
			"$.options.authorization.rules[0].qos: is no known key and has no effect",
			`$.options.authorization.grants[0].Publish: is no known key and has no effect; did you mean "publish"?`,
			`$.options.authorization.grants[0].subscribe[1]: is there twice, found "a" again`,
			`$.options.authorization.grant: is no known key and has no effect; did you mean "grants"?`,
		}},
		{"braces that are no placeholder", granting(`{"everyone": true, "publish": ["{{username}}/{{clientid}}/{{provider}}"]}`), nil},
		{"names that are tied to the token", granting(`{"everyone": true, "publish": ["{username}/{clientid}"]}`, match, "true", "options.common.clientIdTemplate", `"{sub}"`), nil},
		{"byte order mark", "\uFEFF" + with(), nil},
		{"Windows' line ends", strings.ReplaceAll(with(), ",", ",\r\n"), nil},
	}
}

// oddBeyondSchema have an unknown key where no JSON Schema can tell, by the reason.
func oddBeyondSchema() map[string][]oddFile {
	return map[string][]oddFile{
		inStrings: {
			{"unknown member of a request's text", asking(parameters, `{"plain": "{\n\"body\": 1}"}`), []string{request + ": in line 2, column 1 of this text: $.body: is no known key and has no effect"}},
		},
	}
}

func TestWarning(t *testing.T) {
	dir := workshop(t)
	for _, c := range slices.Concat(oddFiles(), goodProviders(), oddBeyondSchema()[inStrings]) {
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
			for _, p := range problems {
				if p.UnknownKey != strings.Contains(p.Text, "is no known key") {
					t.Errorf("UnknownKey is %v: %s", p.UnknownKey, p)
				}
			}
		})
	}
}

// What others can read is no place for a secret; what they can write is no place to say who gets in.
func TestModeOfTheFile(t *testing.T) {
	readable := func(path string) string {
		return path + `: stands in a file that every user of this machine can read (mode 0644): chgrp GROUP DIR/jwt.json && chmod 0640 DIR/jwt.json, or keep it outside by {"env": …} or {"filePath": …}`
	}
	credentials := revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `"s"`)
	cases := []struct {
		rule string
		mode os.FileMode
		file string
		want []string
	}{
		{"nothing secret", 0o644, revoking(), nil},
		{"clientSecret", 0o644, credentials, []string{readable("$.options.revocation.introspection.clientSecret")}},
		{"clientSecret, the group may read it", 0o640, credentials, nil},
		{"clientSecret below plain", 0o644, revoking(introspect+".clientId", `"a"`, introspect+".clientSecret.plain", `"s"`), []string{readable("$.options.revocation.introspection.clientSecret.plain")}},
		{"clientSecret outside", 0o644, revoking(introspect+".clientId", `"a"`, introspect+".clientSecret", `{"filePath": "secret"}`), nil},
		{"HMAC secret", 0o644, local("algorithm", `"HS256"`), []string{readable("$.options.modes.local")}},
		{"public key", 0o644, local(), nil},
		{"API key in a header", 0o644, requesting(`{"headers": {"X-Api-Key": "k"}}`), []string{readable(request)}},
		{"API key in a text", 0o644, requesting(`"{\"headers\": {\"x-api-key\": \"k\"}}"`), []string{readable(request)}},
		{"password in a payload", 0o644, requesting(`{"payload": {"token": "#:jwt_value:#", "client_secret": "k"}}`), []string{readable(request)}},
		{"headers without secrets", 0o644, requesting(`{"headers": {"Authorization": "Bearer #:jwt_value:#", "Accept": "application/json"}}`), nil},
		{"payload without secrets", 0o644, introspecting(`{"payload": {"token_type_hint": "access_token"}}`), nil},
		{"others may write", 0o642, with(), []string{"$: the file DIR/jwt.json may be changed by every user of this machine (mode 0642): chmod o-w DIR/jwt.json"}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			dir := workshop(t)
			chmod(t, write(t, dir, "jwt.json", c.file), c.mode)
			config, problems := Load(dir + "/jwt.json")
			if got := texts(problems, dir); config == nil || !slices.Equal(got, c.want) {
				t.Errorf("%s\ngot  %q\nwant %q", c.file, got, c.want)
			}
		})
	}
}
