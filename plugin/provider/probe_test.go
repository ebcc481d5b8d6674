package provider_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/verdict"
)

// took is the time that an answer took, which no test can know.
var took = regexp.MustCompile(`\(HTTP (\d+) in [0-9.]+m?s`)

// TestProbe: what start-up says about the endpoints. PROVIDER stands for the provider's address, NOBODY for one at which
// nobody listens, FILE for the JWKS file.
func TestProbe(t *testing.T) {
	nobody := "http://" + testport.Free(t)
	one, two := testkeys.New("ES256", "one"), testkeys.New("ES256", "two")
	good := testidp.Answer(200, string(testkeys.Set(one, two)))
	active := testidp.Answer(200, `{"active":true}`)
	onlyGet := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		good(w, r)
	}
	headless := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			http.NotFound(w, r)
			return
		}
		good(w, r)
	}
	dropsHead := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				panic(http.ErrAbortHandler) // which closes the connection
			}
			then(w, r)
		}
	}
	leavesHead := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				testidp.Stuck(w, r)
				return
			}
			then(w, r)
		}
	}
	const (
		byGet       = ", by GET)"
		reachedKeys = "JWKS endpoint PROVIDER/keys: reached (HTTP 200 in TIME)"
		reachedIntr = "introspection endpoint PROVIDER/introspect: reached (HTTP 200 in TIME)"
		twoKeys     = `2 keys from PROVIDER/keys (kid "one", "two")`
		wayOut      = "The provider lists its addresses at https://idp.test/realms/main/.well-known/openid-configuration"
		cantReach   = "the identity provider can't be reached: "
		refused     = ": can't connect: connect: connection refused. " + wayOut
	)
	cases := []struct {
		rule             string
		keys, introspect http.HandlerFunc
		change           func(*config.Provider)
		findings         []string // those that are warnings begin with "! "
		faults           string
	}{
		{rule: "all is well", keys: good, introspect: active, findings: []string{reachedKeys, reachedIntr, twoKeys}},
		{
			rule: "an endpoint that does not know HEAD is reached", keys: onlyGet, introspect: testidp.Answer(405, ""),
			findings: []string{"JWKS endpoint PROVIDER/keys: reached (HTTP 405 in TIME)", "introspection endpoint PROVIDER/introspect: reached (HTTP 405 in TIME)", twoKeys},
		},
		{
			rule: "endpoints that drop HEAD are reached by GET", keys: dropsHead(good), introspect: dropsHead(testidp.Answer(405, "")),
			findings: []string{"JWKS endpoint PROVIDER/keys: reached (HTTP 200 in TIME" + byGet, "introspection endpoint PROVIDER/introspect: reached (HTTP 405 in TIME" + byGet, twoKeys},
		},
		{
			rule: "one that leaves HEAD unanswered", keys: good, introspect: leavesHead(http.NotFound),
			change: func(c *config.Provider) { c.Revocation.Timeout = 2 * time.Second },
			findings: []string{
				reachedKeys,
				"! introspection endpoint PROVIDER/introspect: reached (HTTP 404 in TIME" + byGet + "; $.options.revocation.introspection.uri may be the wrong address. " + wayOut, twoKeys,
			},
		},
		{
			rule: "an endpoint that finds nothing for HEAD", keys: headless, introspect: active,
			findings: []string{"JWKS endpoint PROVIDER/keys: reached (HTTP 200 in TIME" + byGet, reachedIntr, twoKeys},
		},
		{rule: "one that wants credentials is reached", keys: good, introspect: testidp.Answer(401, ""), findings: []string{reachedKeys, "introspection endpoint PROVIDER/introspect: reached (HTTP 401 in TIME)", twoKeys}},
		{
			rule: "404 is reached, with a warning", keys: good, introspect: http.NotFound,
			findings: []string{reachedKeys, "! introspection endpoint PROVIDER/introspect: reached (HTTP 404 in TIME); $.options.revocation.introspection.uri may be the wrong address. " + wayOut, twoKeys},
		},
		{
			rule: "503 is reached, with a warning", keys: good, introspect: testidp.Answer(503, ""),
			findings: []string{reachedKeys, "! introspection endpoint PROVIDER/introspect: reached (HTTP 503 in TIME); $.options.revocation.introspection.uri may be the wrong address. " + wayOut, twoKeys},
		},
		{
			rule: "the JWKS endpoint is down", keys: good, introspect: active, change: func(c *config.Provider) { c.JWKS.URI = nobody + "/keys?apikey=marked" },
			findings: []string{reachedIntr},
			faults:   "$.options.modes.jwks.uri: " + cantReach + "HEAD NOBODY/keys?…" + refused,
		},
		{
			rule: "both are down, one line for each", keys: good, introspect: active,
			change: func(c *config.Provider) { c.JWKS.URI, c.Revocation.Introspection.URI = nobody+"/a", nobody+"/b" },
			faults: "$.options.modes.jwks.uri: " + cantReach + "HEAD NOBODY/a" + refused + "\n$.options.revocation.introspection.uri: " + cantReach + "HEAD NOBODY/b" + refused,
		},
		{
			rule: "too slow", keys: good, introspect: testidp.Stuck, change: func(c *config.Provider) { c.Revocation.Timeout = 50 * time.Millisecond },
			findings: []string{reachedKeys},
			faults:   "$.options.revocation.introspection.uri: " + cantReach + "HEAD PROVIDER/introspect: no answer within 50ms: context deadline exceeded. " + wayOut,
		},
		{
			rule: "no JWKS at its address", keys: testidp.Answer(200, "<html>"), introspect: active, findings: []string{reachedKeys, reachedIntr},
			faults: "$.options.modes.jwks.uri: there is no usable key set: GET PROVIDER/keys: this is no JWK set: it is not JSON (its Content-Type is \"text/html; charset=utf-8\"). " + wayOut,
		},
		{
			rule: "no usable key", keys: testidp.Answer(200, `{"keys":[]}`), introspect: active, findings: []string{reachedKeys, reachedIntr},
			faults: "$.options.modes.jwks.uri: there is no usable key set: GET PROVIDER/keys: none of its 0 keys can be used with ES256. " + wayOut,
		},
		{
			rule: "a JWKS that is not there", keys: http.NotFound, introspect: active,
			findings: []string{"! JWKS endpoint PROVIDER/keys: reached (HTTP 404 in TIME); $.options.modes.jwks.uri may be the wrong address. " + wayOut, reachedIntr},
			faults:   "$.options.modes.jwks.uri: there is no usable key set: GET PROVIDER/keys: answered 404 Not Found. " + wayOut,
		},
		{rule: "no introspection", keys: good, change: func(c *config.Provider) { c.Revocation = nil }, findings: []string{reachedKeys, twoKeys}},
		{
			rule: "a query is not told", keys: good, introspect: active, change: func(c *config.Provider) { c.Revocation.Introspection.URI += "?apikey=marked" },
			findings: []string{reachedKeys, "introspection endpoint PROVIDER/introspect?…: reached (HTTP 200 in TIME)", twoKeys},
		},
		{
			rule: "keys in a file", introspect: active, change: func(c *config.Provider) { c.JWKS = testidp.InFile(t, one).JWKS },
			findings: []string{reachedIntr, `1 key from FILE (kid "one")`},
		},
		{
			rule: "keys in a file that is missing", introspect: active, change: func(c *config.Provider) { c.JWKS = config.JWKS{FilePath: filepath.Join(t.TempDir(), "missing")} },
			findings: []string{reachedIntr}, faults: "$.options.modes.jwks.filePath: there is no usable key set: FILE does not exist: the nearest folder is ",
		},
		{
			rule: "a key in jwt.json", introspect: active, change: func(c *config.Provider) {
				c.Mode, c.JWKS, c.Local = config.ModeLocal, config.JWKS{}, config.NewSecret(one.PEM())
			},
			findings: []string{reachedIntr, "1 key from jwt.json (without kid)"},
		},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(c.keys, c.introspect)
			cfg := p.Config("ES256")
			cfg.Common.Issuers = []config.Issuer{config.ExactIssuer("https://idp.test/realms/main/")} // the slash is not doubled
			if c.change != nil {
				c.change(cfg)
			}
			judge, said := newProvider(t, cfg)
			short := func(text string) string {
				file := cfg.JWKS.FilePath
				if file == "" {
					file = "FILE"
				}
				return took.ReplaceAllString(strings.NewReplacer(p.URL, "PROVIDER", nobody, "NOBODY", file, "FILE").Replace(text), "(HTTP $1 in TIME")
			}
			findings, err := judge.Probe(t.Context())
			var got []string
			for _, f := range findings {
				text := short(f.Text)
				if f.Level == event.Warning {
					text = "! " + text
				}
				got = append(got, text)
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.findings) {
				t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.findings, "\n\t"))
			}
			faults, wanted := short(errorText(err)), c.faults
			if before, _, found := strings.Cut(faults, "nearest folder is "); found { // what follows depends on the machine
				faults = before + "nearest folder is "
			}
			if faults != wanted {
				t.Errorf("faults\n%s\nwant\n%s", faults, wanted)
			}
			if all := fmt.Sprint(got, err, said.All()); strings.Contains(all, "marked") {
				t.Errorf("a secret is told: %s", all)
			}
		})
	}
}

// TestProbeReadsTheKeysOnce: the first login finds them.
func TestProbeReadsTheKeysOnce(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	judge, _ := newProvider(t, p.Config("ES256"))
	if _, err := judge.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.Requests(); got != "HEAD /keys, HEAD /introspect, GET /keys" {
		t.Errorf("the probe made %s", got)
	}
	if result, _ := judge.Begin(t.Context(), login(judge, key.Sign(object{"exp": now + 60}))); result.Kind != verdict.Pending {
		t.Errorf("got %s", result)
	}
	if got := p.Requests(); got != "" {
		t.Errorf("the first login made %s", got)
	}
}

func TestProbeWarnsOfKeysThatAreNotUsed(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key, testkeys.New("RS256", "other")))), nil)
	judge, said := newProvider(t, p.Config("ES256"))
	if _, err := judge.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := "warning=true " + p.URL + `/keys: key "other" of the set is not used: it is an RSA key for "RS256", expected ES256`
	if said.All() != want {
		t.Errorf("got %s\nwant %s", said.All(), want)
	}
}

// TestWayOut: where the right address is to be found, as far as the configuration tells.
func TestWayOut(t *testing.T) {
	cases := []struct{ rule, issuer, uri, want string }{
		{"by the issuer", "https://idp.test/x", "http://127.0.0.1:1/keys", "at https://idp.test/x/.well-known/openid-configuration"},
		{"by a Keycloak address", "", "http://127.0.0.1:1/realms/main/protocol/openid-connect/certs", "at http://127.0.0.1:1/realms/main/.well-known/openid-configuration"},
		{"the issuer goes first", "https://idp.test", "http://127.0.0.1:1/realms/main/protocol/openid-connect/certs", "at https://idp.test/.well-known/openid-configuration"},
		{"by nothing", "", "http://127.0.0.1:1/keys", "at <issuer>/.well-known/openid-configuration"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			cfg := testidp.Defaults("ES256")
			if c.issuer != "" {
				cfg.Common.Issuers = []config.Issuer{config.ExactIssuer(c.issuer)}
			}
			cfg.JWKS = config.JWKS{URI: c.uri, Timeout: time.Minute}
			judge, _ := newProvider(t, cfg)
			if _, err := judge.Probe(t.Context()); err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("got %v, want …%s", err, c.want)
			}
		})
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	p := testidp.New(t)
	p.Does(testidp.Stuck, testidp.Stuck)
	judge, _ := newProvider(t, p.Config("ES256"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := judge.Probe(ctx); err == nil {
		t.Error("the probe should have failed")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
