package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	issuerA, issuerB = "https://a.test", "https://b.test"
	match            = "options.common.matchUsernameToSubject"
)

// beside says of a key where it belongs.
func beside(key string) string {
	return "$." + key + `: must not stand beside "providers", but in each of them, as in $.providers[0].` + key + ": what holds for one provider alone belongs there"
}

func inside(key string) string {
	return "$.providers[0]." + key + `: must not stand in a provider, but once beside "providers", as $.` + key + ": it holds for all of them"
}

// brokenProviders are files with providers that the JSON Schema refuses as well.
// withTop is a file of several providers with more members at its top.
func withTop(top string, providers ...string) string {
	return "{" + top + ", " + strings.TrimPrefix(several(providers...), "{")
}

func brokenProviders() []brokenFile {
	const (
		list      = "$.providers: must be an array of objects, one for each identity provider, found "
		badName   = `$.providers[0].name: must be up to 32 of a-z, 0-9, "-" and "_", the first a letter or digit, found `
		unmatched = `options.common.matchUsernameToSubject: must be there with several providers: true, or usernameTemplate in its place (such as "{provider}:{sub}"), or false if this provider's clients may use any username, those of the others included`
	)
	return []brokenFile{
		{"providers null", `{"providers": null}`, []string{list + "null"}},
		{"providers an object", `{"providers": {}}`, []string{list + "an object"}},
		{"no providers", `{"providers": []}`, []string{list + "an empty one"}},
		{"a provider that is a string", `{"providers": ["a"]}`, []string{`$.providers[0]: must be a JSON object, found "a"`}},
		{"a provider of nothing", `{"providers": [{}]}`, []string{
			`$.providers[0].algorithm: must be there: name the algorithm that signs your tokens, e.g. "RS256"`,
			strings.Replace(modeMissing, "$.", "$.providers[0].", 1),
			`$.providers[0].name: must be there: the name of this provider in the log and in usernames, such as "employees"`,
		}},
		{"a name in capitals", several(from("Main", issuerA)), []string{badName + `"Main"`}},
		{"a name that begins with a dash", several(from("-main", issuerA)), []string{badName + `"-main"`}},
		{"a name too long", several(from(strings.Repeat("x", 33), issuerA)), []string{badName + `"` + strings.Repeat("x", 33) + `"`}},
		{"a name that is a number", strings.Replace(several(from("1", issuerA)), `"1"`, "1", 1), []string{"$.providers[0].name: must be a string, found 1"}},
		{"a name that is empty", several(from("", issuerA)), []string{"$.providers[0].name: must not be empty: give a value or remove the key"}},
		{"one provider beside providers", with("providers", "["+from("a", issuerA)+"]"), []string{
			beside("algorithm"), beside("mode"), beside("options.modes"),
		}},
		{"a name of the file", withTop(`"name": "main"`, from("a", issuerA)), []string{beside("name")}},
		{"what is of each provider, at the top", withTop(`"options": {"lazyConnect": true, "common": {"issuer": "a", "leewayMs": 1}, "revocation": {"timeoutMs": "x"}, "tls": 1}`, from("a", issuerA)), []string{
			beside("options.lazyConnect"), beside("options.common.issuer"), beside("options.common.leewayMs"), beside("options.revocation"), beside("options.tls"),
		}},
		{"what is of the broker, in a provider", several(from("a", issuerA, tokenFrom, `"password"`, "options.common.onNonToken", `"deny"`, "options.common.maxTokenBytes", `1000`, "options.audit.syslog", `true`)), []string{
			inside("options.audit.syslog"), inside("options.common.maxTokenBytes"), inside("options.common.onNonToken"), inside(tokenFrom),
		}},
		{"what is of the broker, of renewals, in a provider", several(from("a", issuerA, "options.control.renew", `false`)), []string{inside("options.control.renew")}},
		{"admins in a provider", several(from("a", issuerA, admins, `["ops"]`)), []string{inside(admins)}},
		{"a broker-wide key that is wrong", withTop(`"options": {"common": {"onNonToken": "no"}}`, from("a", issuerA)), []string{`$.options.common.onNonToken: must be "defer" or "deny", found "no"`}},
		{"in a provider all is checked", several(from("a", issuerA), from("b", issuerB, "options.modes.jwks.timeoutMs", `0`, "options.tls.certFile", `"secret"`)), []string{
			"$.providers[1].options.modes.jwks.timeoutMs: must be a number of milliseconds above 0, found 0",
			"$.providers[1].options.tls.keyFile: must be there beside certFile",
		}},
		{"providers that map no username", several(bare("a", with("options.common.issuer", `"a"`)), bare("b", with("options.common.issuer", `"b"`, "options.common.matchClientIdToSubject", "true"))), []string{"$.providers[0]." + unmatched, "$.providers[1]." + unmatched}},
		{"a template and no match, in a provider", several(from("a", issuerA, userTemplate, `"{provider}:{sub}"`, match, `false`)), []string{"$.providers[0].options.common.matchUsernameToSubject: must not be false beside usernameTemplate, which says how the name is made"}},
		{"a template with a misspelt placeholder, in a provider", several(from("a", issuerA, userTemplate, `"{providers}:{sub}"`)), []string{`$.providers[0].options.common.usernameTemplate: must hold no placeholder but {sub}, {iss}, {provider} and {claim:NAME}, found "{providers}"; did you mean "provider"?`}},
		{"a template of the provider alone", several(from("a", issuerA, userTemplate, `"{provider}"`)), []string{"$.providers[0].options.common.usernameTemplate: " + impersonal}},
	}
}

// brokenAmongProviders are files whose providers are each good by themselves.
func brokenAmongProviders() []brokenFile {
	tenant := func(name string, values string) string {
		return from(name, "https://login.test/{claim:tid}/v2", "options.common.requiredClaims", `{"tid": `+values+`}`)
	}
	opaqueFrom := func(name, issuer string) string {
		return named(name, opaque("options.common.issuer", `"`+issuer+`"`))
	}
	const logged = ": the token would stay the client's username, which the broker logs"
	return []brokenFile{
		{"two of one name", several(from("a", issuerA), from("b", issuerB), from("a", "c")), []string{`$.providers[2].name: must be another for each provider, found "a" in $.providers[0], too`}},
		{"two of one issuer", several(from("a", issuerA), from("b", issuerA)), []string{`$.providers[1].options.common.issuer: must be of one provider alone, found "https://a.test" in $.providers[0] ("a"), too`}},
		{"two of one issuer among others", several(from("a", issuerA), named("b", with("options.common.issuer", `["https://b.test", "https://a.test"]`))), []string{`$.providers[1].options.common.issuer[1]: must be of one provider alone, found "https://a.test" in $.providers[0] ("a"), too`}},
		{"two of one issuer, by discovery", several(from("a", "https://idp.test"), named("b", oidc())), []string{`$.providers[1].options.modes.oidc.issuer: must be of one provider alone, found "https://idp.test" in $.providers[0] ("a"), too`}},
		{"an issuer that a pattern stands for", several(tenant("a", `["t1", "t2"]`), from("b", "https://login.test/t2/v2")), []string{`$.providers[1].options.common.issuer: must be of one provider alone, found "https://login.test/t2/v2" in $.providers[0] ("a"), too`}},
		{"two patterns with a tenant in common", several(tenant("a", `["t1", "t2"]`), tenant("b", `"t2"`)), []string{`$.providers[1].options.common.issuer: must be of one provider alone, found "https://login.test/t2/v2" in $.providers[0] ("a"), too`}},
		{"two without issuer", several(named("a", with()), from("b", issuerB), named("c", with())), []string{`$.providers[2].options.common.issuer: must be there, since $.providers[0] ("a") has none either: one provider at the most answers for tokens of all other issuers`}},
		{"two for opaque tokens", several(opaqueFrom("a", issuerA), opaqueFrom("b", issuerB)), []string{`$.providers[1].mode: must not be "introspection" in two providers, found it in $.providers[0] ("a"), too: what is not a JWT could be for either`}},
		{"two for opaque tokens without issuer", several(named("a", opaque()), named("b", opaque())), []string{`$.providers[1].mode: must not be "introspection" in two providers, found it in $.providers[0] ("a"), too: what is not a JWT could be for either`}},
		{"tokens as usernames that stay", withTop(`"options": {"common": {"tokenSource": ["username", "password"]}}`, from("a", issuerA), from("b", issuerB, match, `false`)), []string{
			`$.providers[1].options.common.matchUsernameToSubject: must be true where tokenSource holds "username"` + logged,
		}},
		{"tokens as usernames that stay, with one provider", withTop(`"options": {"common": {"tokenSource": "username"}}`, bare("a", with())), []string{
			`$.providers[0].options.common.matchUsernameToSubject: must be true where tokenSource holds "username"` + logged,
		}},
		{"tokens as usernames that can't match", withTop(`"options": {"common": {"tokenSource": "username"}}`, from("a", issuerA, "options.common.onSubjectMismatch", `"deny"`)), []string{
			`$.providers[0].options.common.onSubjectMismatch: must not be "deny" where tokenSource holds "username": a username that is a token never matches the subject`,
		}},
	}
}

// goodProviders are files with providers that have no problem.
func goodProviders() []oddFile {
	return []oddFile{
		{"one provider, which maps no username", `{"version": 1, "$schema": "x", "providers": [` + bare("0-a_", with()) + `]}`, nil},
		{"one that says that it maps none", several(from("a", issuerA), from("b", issuerB, match, "false")), nil},
		{"one that maps by a template, and one without issuer", several(from("a", issuerA, userTemplate, `"{provider}:{sub}"`), named("b", with())), nil},
		{"one without issuer beside one for opaque tokens", several(named("a", with()), named("b", opaque())), nil},
		{"tokens as usernames", `{"options": {"common": {"tokenSource": "username", "onNonToken": "deny", "maxTokenBytes": 100}}, "providers": [` + from("a", issuerA) + `]}`, nil},
		{"tenants of two providers", several(
			from("a", "https://login.test/{claim:tid}/v2", "options.common.requiredClaims", `{"tid": "t1"}`),
			from("b", "https://login.test/t2/v2")), nil},
		{"an unknown key in a provider", several(from("a", issuerA, "options.common.isuer", `"x"`)), []string{`$.providers[0].options.common.isuer: is no known key and has no effect; did you mean "issuer"?`}},
		{"a key in the wrong section of a provider", several(from("a", issuerA), from("b", issuerB, "options.audience", `"x"`)), []string{"$.providers[1].options.audience: is no known key and has no effect; did you mean $.providers[1].options.common.audience?"}},
		{"a version in a provider", several(from("a", issuerA, "version", `1`)), []string{"$.providers[0].version: is no known key and has no effect"}},
		{"a misspelt providers", with("provider", `[]`), []string{`$.provider: is no known key and has no effect; did you mean "providers"?`}},
		{"a misspelt key at the top", `{"options": {"common": {"onNonTokens": "deny"}}, ` + several(from("a", issuerA))[1:], []string{`$.options.common.onNonTokens: is no known key and has no effect; did you mean "onNonToken"?`}},
		{"a section that one's mode does not use", several(from("a", issuerA, "options.modes.local", `1`)), []string{`$.providers[0].options.modes.local: is not used in mode "jwks", and was not checked`}},
		{"what goes with requests, without one", with(uri, "", "options.modes.jwks.filePath", `"keys.json"`, "options.modes.jwks.headers", `{"A": "b"}`, "options.modes.jwks.bearerTokenFile", `"secret"`), []string{
			"$.options.modes.jwks.bearerTokenFile: has no effect beside filePath: a file is read without a request",
			"$.options.modes.jwks.headers: has no effect beside filePath: a file is read without a request",
		}},
		{"an issuer twice", with("options.common.issuer", `["a", "a"]`), []string{`$.options.common.issuer[1]: is there twice, found "a" again`}},
		{"a bearer token that others can read", with("options.modes.jwks.bearerTokenFile", `"0644"`), []string{"$.options.modes.jwks.bearerTokenFile: the file DIR/0644 is open to every user of this machine (mode 0644): chgrp GROUP DIR/0644 && chmod 0640 DIR/0644"}},
		{"oidc with its issuer in a list", oidc("options.common.issuer", `["https://idp.test"]`), nil},
	}
}

func TestSeveralProviders(t *testing.T) {
	dir := workshop(t)
	c, problems := load(t, dir, `{"options": {"common": {"onNonToken": "deny"}}, `+several(
		from("employees", "https://login.test/{claim:tid}/v2", "options.common.requiredClaims", `{"tid": ["t1", "t2"]}`, userTemplate, `"{provider}:{sub}"`),
		named("devices", local("options.common.clientIdTemplate", `"{provider}/{claim:a.b}"`)),
	)[1:])
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if c.OnNonToken != NonTokenDeny || len(c.Providers) != 2 {
		t.Fatalf("got %+v", c)
	}
	one, two := c.Providers[0], c.Providers[1]
	for _, check := range []struct{ got, want any }{
		{one.Name, "employees"},
		{one.Path.Key("mode"), "$.providers[0].mode"},
		{one.ExactIssuers(), []string{"https://login.test/t1/v2", "https://login.test/t2/v2"}},
		{one.SoleIssuer(), ""},
		{one.Common.UsernameTemplate.Prefix(), "employees:"},
		{one.Common.UsernameTemplate.String(), "{provider}:{sub}"},
		{two.Name, "devices"},
		{two.Path.Key("mode"), "$.providers[1].mode"},
		{two.Mode, ModeLocal},
		{two.Local.Reveal(), "key"},
		{two.ExactIssuers(), []string(nil)},
		{two.Common.MatchClientID, true},
		{two.Common.ClientIDTemplate.Prefix(), "devices/"},
		{two.Common.ClientIDTemplate.Render(func(claim string) string { return "<" + claim + ">" }), "devices/<a.b>"},
	} {
		if !reflect.DeepEqual(check.got, check.want) {
			t.Errorf("got %#v, want %#v", check.got, check.want)
		}
	}
}

func TestIssuers(t *testing.T) {
	c := mustLoad(t, t.TempDir(), with("options.common.issuer", `["https://one.test", "https://login.test/{claim:tid}/v2"]`, "options.common.requiredClaims", `{"tid": ["t1", "t2"]}`))
	for iss, want := range map[string]struct{ claims, one, two bool }{
		"https://one.test":                  {true, true, true},
		"https://one.test/":                 {false, false, false},
		"https://login.test/t1/v2":          {true, true, false},
		"https://login.test/t2/v2":          {true, false, true},
		"https://login.test/t3/v2":          {true, false, false}, // not on the list, and this provider's to refuse
		"https://login.test//v2":            {false, false, false},
		"https://login.test/t1/x/v2":        {false, false, false},
		"https://login.test/t1/v2/":         {false, false, false},
		"https://login.test/v2":             {false, false, false},
		"https://login.test/{claim:tid}/v2": {true, false, false},
		"":                                  {false, false, false},
	} {
		matches := func(tid any) bool {
			return slices.ContainsFunc(c.Common.Issuers, func(i Issuer) bool {
				return i.Match(iss, func(path string) (any, bool) { return tid, path == "tid" })
			})
		}
		if c.ClaimsIssuer(iss) != want.claims || matches("t1") != want.one || matches("t2") != want.two {
			t.Errorf("%q: claims %t, matches of t1 %t, of t2 %t", iss, c.ClaimsIssuer(iss), matches("t1"), matches("t2"))
		}
	}
	pattern := c.Common.Issuers[1]
	for _, tid := range []any{nil, json.Number("1"), "", []any{"t1"}, "t1/../t1"} {
		if iss := fmt.Sprintf("https://login.test/%v/v2", tid); pattern.Match(iss, func(string) (any, bool) { return tid, tid != nil }) {
			t.Errorf("%v is met by %s", tid, iss)
		}
	}
	if _, literal := pattern.Literal(); literal || pattern.String() != "https://login.test/{claim:tid}/v2" {
		t.Errorf("got %s", pattern)
	}
	if iss, literal := c.Common.Issuers[0].Literal(); !literal || iss != "https://one.test" {
		t.Errorf("got %q", iss)
	}
}

// Across reloads a provider is the same if its name and issuers are, and unchanged if all is but its place.
func TestSameAndEqual(t *testing.T) {
	dir := workshop(t)
	read := func(provider string, before ...string) *Provider {
		t.Helper()
		c, problems := load(t, dir, several(append(before, provider)...))
		if c == nil {
			t.Fatal(problems)
		}
		return c.Providers[len(c.Providers)-1]
	}
	lists := func(issuers, tids string, changes ...string) string {
		return named("a", local(append([]string{"options.common.issuer", issuers, "options.common.requiredClaims", `{"tid": ` + tids + `}`}, changes...)...))
	}
	const issuers = `["https://one.test", "https://login.test/{claim:tid}"]`
	was := read(lists(issuers, `["t1"]`))
	for _, c := range []struct {
		rule        string
		is          *Provider
		same, equal bool
	}{
		{"unchanged", read(lists(issuers, `["t1"]`)), true, true},
		{"in another place", read(lists(issuers, `["t1"]`), from("b", issuerB)), true, true},
		{"issuers in another order", read(lists(`["https://login.test/{claim:tid}", "https://one.test"]`, `["t1"]`)), true, false},
		{"another tenant", read(lists(issuers, `["t1", "t2"]`)), true, false},
		{"another secret", read(lists(issuers, `["t1"]`, "options.modes.local", `"other"`)), true, false},
		{"another check", read(lists(issuers, `["t1"]`, "options.common.leewayMs", `1`)), true, false},
		{"an issuer less", read(lists(`["https://one.test"]`, `["t1"]`)), false, false},
		{"renamed", read(strings.Replace(lists(issuers, `["t1"]`), `"name": "a"`, `"name": "b"`, 1)), false, false},
	} {
		if (was.ID() == c.is.ID()) != c.same || was.Equal(c.is) != c.equal || c.is.Equal(was) != c.equal {
			t.Errorf("%s: same %t, equal %t", c.rule, was.ID() == c.is.ID(), was.Equal(c.is))
		}
	}
}

// What the files of TLS hold counts, and is not shown.
func TestContentOfTLSFiles(t *testing.T) {
	for _, key := range []string{"caFile", "certFile", "keyFile"} {
		dir := t.TempDir()
		for _, name := range []string{"caFile", "certFile", "keyFile"} {
			write(t, dir, name, "before")
		}
		file := with("options.tls.caFile", `"caFile"`, "options.tls.certFile", `"certFile"`, "options.tls.keyFile", `"keyFile"`)
		before, again := mustLoad(t, dir, file).Provider, mustLoad(t, dir, file).Provider
		write(t, dir, key, "after")
		after := mustLoad(t, dir, file).Provider
		if before.TLS != again.TLS || !before.Equal(again) {
			t.Errorf("%s: another, though nothing has changed", key)
		}
		if before.TLS == after.TLS || before.Equal(after) {
			t.Errorf("%s: the same, though it holds something else", key)
		}
		shown, err := json.Marshal(before.TLS)
		if err != nil || strings.Contains(string(shown), "content") {
			t.Errorf("shown: %s, %v", shown, err)
		}
		sum := before.TLS.content.Value()
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			if text := fmt.Sprintf(verb, struct{ tls TLS }{before.TLS}); strings.Contains(text, sum[:4]) || strings.Contains(text, fmt.Sprintf("%x", sum[:4])) || strings.Contains(text, strings.Trim(fmt.Sprint([]byte(sum[:4])), "[]")) {
				t.Errorf("shown by %s: %s", verb, text)
			}
		}
	}
	dir := t.TempDir()
	if got := mustLoad(t, dir, with()).TLS; got != (TLS{}) {
		t.Errorf("without files: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustLoad(t, dir, with("options.tls.caFile", `"a"`)).TLS; got == (TLS{CAFile: got.CAFile}) {
		t.Error("an empty file is like none")
	}
}

// No value of a header is shown, wherever it stands.
func TestHeadersForTheKeySetAreNotShown(t *testing.T) {
	dir := workshop(t)
	c := mustLoad(t, dir, with("options.modes.jwks.headers", `{"A": "hunter2", "B": {"env": "GO_JWT_AUTH_TEXT"}}`))
	text, err := json.Marshal(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprintf("%v %+v %#v", *c.Provider, *c.Provider, *c.Provider)} {
		if strings.Contains(shown, "hunter") {
			t.Error(shown)
		}
	}
}
