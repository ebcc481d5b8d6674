package identity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// templated are the rules of a provider of that name, whose options.common is given as JSON.
func templated(t *testing.T, name, common string) *config.Provider {
	t.Helper()
	file, problems := config.Parse([]byte(`{"providers": [{"name": "`+name+`", "algorithm": "RS256", "mode": "local", "options": {
		"modes": {"local": "key"}, "common": `+common+`}}]}`), "/jwt.json")
	if file == nil {
		t.Fatal(problems)
	}
	return file.Providers[0]
}

// What a template makes of claims, those of an attacker included.
func TestTemplates(t *testing.T) {
	const wildcard, slash = "holds a topic wildcard", "holds '/' ($.providers[0].options.common.allowSlashInIdentity admits it)"
	const ok, noIdentity = "accept", "no identity: "
	unsafe := func(claim, value, why string) string {
		return "unsafe identity: " + claim + " is " + value + ", which " + why
	}
	for _, c := range []struct {
		rule, common string
		claims       map[string]any
		want         string // the verdict
		name         string // the username; empty if there is none
	}{
		{"the provider and the subject", `{"usernameTemplate": "{provider}:{sub}"}`, map[string]any{"sub": "alice"}, ok, "employees:alice"},
		{"a nested claim between braces", `{"usernameTemplate": "{{{claim:a.b}}}"}`, map[string]any{"a": map[string]any{"b": "x"}}, ok, "{x}"},
		{"a slash of the text", `{"usernameTemplate": "dev/{sub}"}`, map[string]any{"sub": "alice"}, ok, "dev/alice"},
		{"a slash of the value", `{"usernameTemplate": "dev/{sub}"}`, map[string]any{"sub": "../admin"}, unsafe("sub", `"../admin"`, slash), ""},
		{"a slash that is admitted", `{"usernameTemplate": "dev/{sub}", "allowSlashInIdentity": true}`, map[string]any{"sub": "a/b"}, ok, "dev/a/b"},
		{"the issuer, which has slashes", `{"usernameTemplate": "{iss}:{sub}"}`, map[string]any{"sub": "a", "iss": "https://a.test"}, unsafe("iss", `"https://a.test"`, slash), ""},
		{"the issuer, admitted", `{"usernameTemplate": "{iss}:{sub}", "allowSlashInIdentity": true}`, map[string]any{"sub": "a", "iss": "https://a.test"}, ok, "https://a.test:a"},
		{"a plus", `{"usernameTemplate": "{provider}:{sub}"}`, map[string]any{"sub": "+"}, unsafe("sub", `"+"`, wildcard), ""},
		{"a hash in the second value", `{"usernameTemplate": "{sub}:{claim:x}"}`, map[string]any{"sub": "a", "x": "b/#"}, unsafe("x", `"b/#"`, wildcard), ""},
		{"a dollar in front", `{"usernameTemplate": "{sub}:{claim:x}"}`, map[string]any{"sub": "$SYS", "x": "b"}, unsafe("sub", `"$SYS"`, "begins with '$', as the broker's own topics do"), ""},
		{"a zero", `{"usernameTemplate": "{provider}:{sub}"}`, map[string]any{"sub": "a\x00b"}, unsafe("sub", `"a\x00b"`, "holds a control character"), ""},
		{"an empty value", `{"usernameTemplate": "{provider}:{sub}"}`, map[string]any{"sub": ""}, unsafe("sub", `""`, "is empty"), ""},
		{"an empty second value", `{"usernameTemplate": "{sub}{claim:x}"}`, map[string]any{"sub": "a", "x": ""}, unsafe("x", `""`, "is empty"), ""},
		{"a missing claim", `{"usernameTemplate": "{provider}:{claim:x}"}`, map[string]any{"sub": "a"}, noIdentity + "x must be a string, found none", ""},
		{"a claim that is a list", `{"usernameTemplate": "{provider}:{claim:x}"}`, map[string]any{"x": []any{"a"}}, noIdentity + "x must be a string, found an array", ""},
		{"a claim that is a number", `{"usernameTemplate": "{provider}:{claim:x}"}`, map[string]any{"x": json.Number("7")}, noIdentity + "x must be a string, found the number 7 (a provider has to write a name as text, in quotes; or map another claim)", ""},
		{"a reserved name, made of parts", `{"usernameTemplate": "{claim:x}{sub}", "reservedNames": "admin"}`, map[string]any{"x": "ad", "sub": "min"}, `unsafe identity: "{claim:x}{sub}" is "admin", which is kept for others ($.providers[0].options.common.reservedNames)`, ""},
		{"a reserved name as a part", `{"usernameTemplate": "{provider}:{sub}", "reservedNames": "admin"}`, map[string]any{"sub": "admin"}, ok, "employees:admin"},
		{"too long as a whole", `{"usernameTemplate": "{provider}:{sub}"}`, map[string]any{"sub": strings.Repeat("x", 65535)}, "unsafe identity: …has more than 65535 bytes", ""},
		{"a value that looks like a placeholder", `{"usernameTemplate": "{provider}:{sub}"}`, map[string]any{"sub": "{claim:x}", "x": "y"}, ok, "employees:{claim:x}"},
		{"another provider's names, begun with a claim: a warning at start names the two", `{"usernameTemplate": "{claim:x}:{sub}"}`, map[string]any{"x": "other:admin", "sub": "a"}, ok, "other:admin:a"},
		{"another provider's names, begun with the provider", `{"usernameTemplate": "{provider}:{claim:x}"}`, map[string]any{"x": "other:admin"}, ok, "employees:other:admin"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, kind := range []string{"username", "clientId"} {
				var trace verdict.Trace
				cfg := templated(t, "employees", strings.Replace(c.common, "usernameTemplate", kind+"Template", 1))
				mapped, v := identity.New(cfg, false).Map(token.NewClaims(c.claims), broker.Connect{ClientID: "c"}, "", &trace)
				got := v.String()
				if begin, end, cut := strings.Cut(c.want, "…"); cut && strings.HasPrefix(got, begin) && strings.HasSuffix(got, end) {
					got = c.want
				}
				if got != c.want {
					t.Errorf("%s: got  %s\nwant %s", kind, got, c.want)
				}
				name := mapped.Username
				if kind == "clientId" {
					name = mapped.ClientID
				}
				if (name == nil) != (c.name == "") || name != nil && *name != c.name {
					t.Errorf("%s: got %s, want %s", kind, text(name), c.name)
				}
				template := map[string]*config.Template{"username": cfg.Common.UsernameTemplate, "clientId": cfg.Common.ClientIDTemplate}[kind]
				if name := identity.Name(template, "unused", token.NewClaims(c.claims)); c.want == ok && name != c.name {
					t.Errorf("%s: Name: got %s, want %s", kind, name, c.name)
				}
				if last := trace[len(trace)-1]; last.OK != (c.want == ok) {
					t.Errorf("the trace ends with %+v", last)
				}
			}
		})
	}
}

// A client that sent the name that its token gives it keeps it, and a template is named in the trace.
func TestTemplateThatMatches(t *testing.T) {
	var trace verdict.Trace
	cfg := templated(t, "employees", `{"usernameTemplate": "{provider}:{sub}", "onSubjectMismatch": "deny"}`)
	for name, want := range map[string]string{
		"employees:alice": "accept",
		"alice":           `identity mismatch: the username must be "employees:alice", found "alice" ($.providers[0].options.common.onSubjectMismatch is "deny")`,
	} {
		mapped, v := identity.New(cfg, false).Map(token.NewClaims(map[string]any{"sub": "alice"}), broker.Connect{Username: &name}, "", &trace)
		if v.String() != want || mapped.Username != nil {
			t.Errorf("%s: got %s, %s", name, v, text(mapped.Username))
		}
	}
	var seen bool
	for _, step := range trace {
		seen = seen || strings.Contains(step.Expected, `"{provider}:{sub}"`)
	}
	if !seen {
		t.Errorf("got %+v", trace)
	}
}
