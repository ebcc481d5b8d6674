package plugin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go-jwt-auth/plugin/config"
)

// Whose tokens get in: every token of the provider, unless something in it has to say that it is for this broker.
func TestAFileThatAnyTokenOfTheProviderPassesIsSaid(t *testing.T) {
	const (
		anyToken  = "every token that the provider issues gets in"
		anyIssuer = "the tokens of every issuer whose tokens these keys sign"
	)
	jwks := func(common string) string {
		return `{"algorithm":"RS256","mode":"jwks","options":{"modes":{"jwks":{"uri":"https://idp.test/keys","cache":{"enabled":true}}},"common":{"matchUsernameToSubject":true` + common + `}}}`
	}
	oidc := func(common string) string {
		return `{"algorithm":"RS256","mode":"oidc","options":{"modes":{"oidc":{"issuer":"https://idp.test"}},"common":{"matchUsernameToSubject":true` + common + `}}}`
	}
	opaque := func(common string) string {
		return `{"mode":"introspection","options":{"common":{"matchUsernameToSubject":true` + common + `},"revocation":{"check":"onRetry","introspection":{"uri":"https://idp.test/i"}}}}`
	}
	const issuer = `,"issuer":"https://idp.test"`
	for _, c := range []struct {
		rule, file string
		want       []string
	}{
		{"neither", jwks(``), []string{anyToken, anyIssuer}},
		{"an issuer alone", jwks(issuer), []string{anyToken}},
		{"an audience alone", jwks(`,"audience":"mqtt"`), []string{anyIssuer}},
		{"both", jwks(issuer + `,"audience":"mqtt"`), nil},
		{"a scope", jwks(issuer + `,"requiredScopes":"mqtt"`), nil},
		{"Cognito, whose access tokens have no aud", jwks(issuer + `,"requiredClaims":{"client_id":"4f1"}`), nil},
		{"a claim that says nothing of the broker counts, as nobody can tell", jwks(issuer + `,"requiredClaims":{"tid":"x"}`), nil},
		{"the issuer as a claim is the issuer, and no more", jwks(`,"requiredClaims":{"iss":"https://idp.test"}`), []string{anyToken}},
		{"a type keeps ID tokens out, and no other application's", jwks(issuer + `,"tokenType":"at+jwt"`), []string{anyToken}},
		{"mode oidc has an issuer", oidc(``), []string{anyToken}},
		{"mode oidc with an audience", oidc(`,"audience":"mqtt"`), nil},
		{"the endpoint knows its own tokens alone, and all of them", opaque(``), []string{anyToken}},
		{"opaque, with a scope", opaque(`,"requiredScopes":"mqtt"`), nil},
		{"a key of one's own", local(`"matchUsernameToSubject":true`), nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			cfg, problems := config.Parse([]byte(c.file), "/etc/mosquitto/jwt.json")
			if cfg == nil {
				t.Fatal(problems)
			}
			all := strings.Join(Advise(cfg, Abilities{Delays: true, SetsClientID: true}), "\n")
			for _, text := range []string{anyToken, anyIssuer} {
				wanted := 0
				for _, want := range c.want {
					if want == text {
						wanted = 1
					}
				}
				if strings.Count(all, text) != wanted {
					t.Errorf("%q: want it %d times in\n%s", text, wanted, all)
				}
			}
			if len(c.want) == 0 && all != "" {
				t.Errorf("said:\n%s", all)
			}
		})
	}
}

// Two providers whose clients can meet in one name are named, in pairs.
func TestProvidersThatCanMeetInOneNameAreSaid(t *testing.T) {
	provider := func(name, common string) string {
		return `{"name":"` + name + `","algorithm":"RS256","mode":"local","options":{"modes":{"local":"key"},"common":{"issuer":"` + name + `"` + common + `}}}`
	}
	const (
		claim    = `,"matchUsernameToSubject":true`
		template = `,"usernameTemplate":"{provider}:{sub}"`
		none     = `,"matchUsernameToSubject":false`
		anyName  = `options.common.matchUsernameToSubject is false: whoever has a valid token may connect with any username, and has that user's rights`
	)
	meet := func(i int, a string, j int, b, what, key string) string {
		return fmt.Sprintf(`$.providers[%d] (%s) and $.providers[%d] (%s) can give two clients one %s, and with it the rights of the other: `+
			`have options.common.%s of each begin with text of its own, as "{provider}:{sub}" does`, i, a, j, b, what, key)
	}
	user := func(i int, a string, j int, b string) string { return meet(i, a, j, b, "username", "usernameTemplate") }
	for _, c := range []struct {
		rule      string
		providers []string
		want      []string
	}{
		{"one", []string{provider("a", claim)}, nil},
		{"templates with their own beginnings", []string{provider("a", template), provider("b", template)}, nil},
		{"names of which one begins the other", []string{provider("a", template), provider("ab", template)}, nil},
		{"texts of which one begins the other", []string{provider("a", `,"usernameTemplate":"dev{sub}"`), provider("b", `,"usernameTemplate":"dev-b{sub}"`)}, []string{user(0, "a", 1, "b")}},
		{"a claim, which may be anything", []string{provider("a", template), provider("b", claim), provider("c", template)}, []string{user(0, "a", 1, "b"), user(1, "b", 2, "c")}},
		{"a template that begins with a claim", []string{provider("a", template), provider("b", `,"usernameTemplate":"{claim:x}:{sub}"`)}, []string{user(0, "a", 1, "b")}},
		{"two claims", []string{provider("a", claim), provider("b", claim)}, []string{user(0, "a", 1, "b")}},
		{"one that maps none", []string{provider("a", template), provider("b", none)}, []string{"$.providers[1]." + anyName}},
		{"one that maps a client id alone", []string{provider("a", template), provider("b", none+`,"matchClientIdToSubject":true`)}, []string{"$.providers[1]." + anyName}},
		{"client ids", []string{provider("a", template+`,"matchClientIdToSubject":true`), provider("b", template), provider("c", template+`,"clientIdTemplate":"{provider}/{sub}"`)}, []string{
			meet(0, "a", 2, "c", "client id", "clientIdTemplate"),
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			cfg, problems := config.Parse([]byte(`{"providers":[`+strings.Join(c.providers, ",")+`]}`), "/etc/mosquitto/jwt.json")
			if cfg == nil {
				t.Fatal(problems)
			}
			if got := Advise(cfg, Abilities{Delays: true, SetsClientID: true}); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Fifty providers whose names can all meet are more than a thousand pairs, which nobody reads, and whose lines would hold the broker.
func TestPairsOfProvidersAreNamedUpToABound(t *testing.T) {
	var providers []string
	for n := range 50 {
		providers = append(providers, fmt.Sprintf(`{"name":"p%d","algorithm":"RS256","mode":"local","options":{"modes":{"local":"key"},"common":{"issuer":"p%[1]d","matchUsernameToSubject":true}}}`, n))
	}
	cfg, problems := config.Parse([]byte(`{"providers":[`+strings.Join(providers, ",")+`]}`), "/etc/mosquitto/jwt.json")
	if cfg == nil {
		t.Fatal(problems)
	}
	all := Advise(cfg, Abilities{Delays: true, SetsClientID: true})
	if n := len(all); n != 9 || all[8] != "1217 more pairs of providers can give two clients one name" {
		t.Errorf("%d lines, the last: %s", n, all[n-1])
	}
}

func TestDescribe(t *testing.T) {
	const tail = `"algorithm":["RS256","ES256"],"mode":"local","options":{"modes":{"local":"key"},"common":{"matchUsernameToSubject":true`
	for _, c := range []struct{ file, want string }{
		{`{` + tail + `}}}`, "mode local, algorithm RS256, ES256, any issuer"},
		{`{` + tail + `,"issuer":["https://a.test","https://b.test/{claim:tid}"],"requiredClaims":{"tid":"t"}}}}`, `mode local, algorithm RS256, ES256, issuers https://a.test, https://b.test/{claim:tid}`},
		{`{"providers":[{"name":"a",` + tail + `}}}]}`, "provider a (mode local, algorithm RS256, ES256, any issuer)"},
		{
			`{"providers":[{"name":"a",` + tail + `,"issuer":"https://a.test"}}},{"name":"b","mode":"introspection","options":{"common":{"matchUsernameToSubject":true},"revocation":{"introspection":{"uri":"https://b.test"}}}}]}`,
			"2 providers: a (mode local, algorithm RS256, ES256, issuer https://a.test), b (mode introspection, any issuer)",
		},
	} {
		cfg, problems := config.Parse([]byte(c.file), "/etc/mosquitto/jwt.json")
		if cfg == nil {
			t.Fatal(problems)
		}
		if got := Describe(cfg); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// What the guides have people copy is nothing to be warned of for that, but for the one guide whose tokens have no issuer, which
// says so.
func TestTheExamplesSayWhoseTokensTheyAreFor(t *testing.T) {
	const pod = "/var/run/secrets/kubernetes.io/serviceaccount/" // where its files are
	expected := map[string]string{"spiffe": "$.options.common.issuer is missing"}
	files, err := filepath.Glob("../examples/providers/*/jwt.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, text := range map[string]string{
			"jwt.json": strings.ReplaceAll(string(text), pod, ""), "client-secret": "s", "token": "t", "ca.crt": "c",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg, problems := config.Load(filepath.Join(dir, "jwt.json"))
		if cfg == nil {
			t.Fatalf("%s: %s", file, problems)
		}
		var found []string
		for _, line := range Advise(cfg, Abilities{Delays: true, SetsClientID: true}) {
			if strings.Contains(line, "gets in") || strings.Contains(line, "get in") {
				found = append(found, line)
			}
		}
		want := expected[filepath.Base(filepath.Dir(file))]
		if all := strings.Join(found, "\n"); !strings.HasPrefix(all, want) || len(found) > strings.Count(want, "$") {
			t.Errorf("%s: %q, want %q", file, all, want)
		}
	}
}

// What probe would find of the credentials is said at start and at each reload, once, and nobody waits for it.
func TestWrongCredentialsAreSaidAtStartAndReload(t *testing.T) {
	for _, lazy := range []bool{true, false} {
		for _, kind := range []string{"introspection", "plain"} {
			t.Run(fmt.Sprintf("lazyConnect %t, %s", lazy, kind), func(t *testing.T) {
				var asked atomic.Int32
				answers := make(chan struct{})
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						asked.Add(1)
						select {
						case <-answers: // long after the start
						case <-r.Context().Done():
						}
					}
					w.WriteHeader(http.StatusUnauthorized)
				}))
				t.Cleanup(server.Close)
				t.Cleanup(server.CloseClientConnections)
				file := strings.Replace(local(`"matchUsernameToSubject":true`), `"options":{`,
					fmt.Sprintf(`"options":{"lazyConnect":%t,"revocation":{"timeoutMs":60000,%q:{"uri":%q}},`, lazy, kind, server.URL), 1)
				h := open(t, file)
				const said = "warning go_jwt_auth: $.options.revocation.introspection: the endpoint gives no usable answer about a made-up token"
				if h.logged(said) {
					t.Fatal("the start has waited for it")
				}
				close(answers)
				for n := range 2 {
					if kind == "plain" {
						h.broker.awaitLog(map[int]string{0: "reached", 1: "reloaded"}[n])
					} else {
						h.broker.awaitLog(regexp.QuoteMeta(said) + ".*401")
					}
					if want := map[string]int32{"introspection": int32(n + 1)}[kind]; asked.Load() != want {
						t.Errorf("asked %d times, want %d", asked.Load(), want)
					}
					h.broker.log = nil
					h.Reload()
				}
			})
		}
	}
}
