package plugin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
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

// What the guides and the tutorial have people copy is nothing to be warned of for that.
func TestTheExamplesSayWhoseTokensTheyAreFor(t *testing.T) {
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
		for name, text := range map[string][]byte{"jwt.json": text, "client-secret": []byte("s")} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg, problems := config.Load(filepath.Join(dir, "jwt.json"))
		if cfg == nil {
			t.Fatalf("%s: %s", file, problems)
		}
		for _, line := range Advise(cfg, Abilities{Delays: true, SetsClientID: true}) {
			if strings.Contains(line, "gets in") || strings.Contains(line, "get in") {
				t.Errorf("%s: %s", file, line)
			}
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
