package config

import (
	"os"
	"strings"
	"testing"

	"go-jwt-auth/plugin/verdict"
)

// FuzzLoad holds that any file gives a Config or an error, never both or neither, and that each problem can be shown.
func FuzzLoad(f *testing.F) {
	tutorial, err := os.ReadFile("testdata/tutorial.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(tutorial))
	f.Add(strings.ReplaceAll(string(tutorial), "<YOUR-KEYCLOAK-OR-IAM>", "idp.test"))
	for _, seed := range seeds() {
		f.Add(seed)
	}
	dir := workshop(f)
	f.Fuzz(func(t *testing.T, content string) {
		c, problems := load(t, dir, content)
		if (c == nil) != (len(problems.Errors()) > 0) {
			t.Errorf("Config %v with %v", c, problems)
		}
		for i, p := range problems {
			if p.Text == "" || p.Line < 1 || p.Column < 1 || p.Severity != SeverityError && p.Severity != SeverityWarning {
				t.Errorf("%+v", p)
			}
			if line := problems.Lines("f")[i]; line != verdict.Line(line) {
				t.Errorf("not fit for the log: %q", line)
			}
		}
	})
}

func seeds() []string {
	return []string{
		"", "{}", "[]", "{", `{"a": {"a": 1, "a": 2}}`, "\uFEFF{}", "\xff\xfe{\x00", `{"version": 1e400}`,
		with(), local(), oidc(introspect, `{}`), opaque(), revoking(introspect+".clientSecret", `{"env": ""}`),
		local("options.modes.local", `{"filePath": "."}`),
		retrying(`1e3`), revoking("options.revocation.recheckIntervalMs", `0`, "options.revocation.maxConcurrent", `1e999`),
		opaque("options.revocation.check", `"afterConnect"`, "options.revocation.retryWindowMs", `-1`),
		with("options.common.requiredClaims", `{"": [null]}`, "algorithm", `["HS256", "RS256", ""]`),
		with("options.common.usernameClaim", `"\u202e"`, "options.common.\u202e\u2028", `1`),
		opaque("options.tls.caFile", `"/\u202e"`), with("mode", `"eyJhbGciOiJub25lIn0.e30."`), "{\u202e", "{\"\x1b",
		with("options", `0`), with("options.modes", `"\ud800"`),
		with(tokenFrom, `["username", "password"]`, "options.common.matchUsernameToSubject", `true`),
		asking(plainly+".bodyEncoding", `"application/json"`, parameters+".plain", `{"method": "PUT", "payload": [{"#:jwt_value:#": null}]}`),
		requesting(`{"method": "GET", "path": "/#:jwt_value:#?a=%20", "headers": {"X-A": 1.5, "x-a": "b\t"}}`),
		requesting(`"{\"payload\": \"token=#:jwt_value:#\"}"`), requesting(`"{\"a\": 1,\n \"a\": {}}"`),
		introspecting(`{"payload": {"token": "#:jwt_value:#", "a": true}}`),
		asking(parameters, `{"env": "GO_JWT_AUTH_BROKEN"}`), asking(parameters, `{"filePath": "broken.json"}`),
		several(from("a", issuerA, userTemplate, `"{provider}:{{{sub}"`), named("b", opaque())), `{"providers": [null, {"name": "\u202e"}], "options": {"common": {"issuer": 1}}}`,
		several(from("a", issuerA, tokenFrom, `1`), from("a", issuerA, "options.modes.jwks.headers", `{"\u202e": {}}`)),
		with("options.common.issuer", `["https://idp.test/{claim:tid}", "{", "}}"]`, "options.common.requiredClaims", `{"tid": ["", "a/b"]}`),
		with(userTemplate, `"$\u202e{claims:\n}"`), answering(`"a.b"`, `1e0`), asking(codes, `[200, 200.0, 1e999]`),
	}
}
