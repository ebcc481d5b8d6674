// Package providers holds the guides in docs/providers to what the plugin does: each guide's jwt.json takes a token of the
// shape that the guide shows, gives the identity that it promises, and keeps out what it says is kept out.
package providers

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/verdict"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/idp"
)

type object = map[string]any

// refusal is a token that a guide says is kept out: the one it shows, with other claims. nil takes one away.
type refusal struct {
	what   string
	claims object
	header object
	reason verdict.Reason
}

var guides = []struct {
	name     string
	identity string
	refused  []refusal
}{
	{"keycloak", "sensor-1", []refusal{
		{"the ID token of the same client", object{"typ": "ID", "aud": "sensor-1"}, nil, verdict.WrongAudience},
		{"an ID token for an audience that fits", object{"typ": "ID"}, nil, verdict.MissingClaim},
		{"another realm's", object{"iss": "https://id.example.com/realms/other"}, nil, verdict.WrongIssuer},
		{"another application's", object{"aud": "account"}, nil, verdict.WrongAudience},
	}},
	{"entra-id", "55556666-ffff-7777-aaaa-8888bbbb9999", []refusal{
		{"a v1 token", object{"iss": "https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/", "ver": "1.0"}, nil, verdict.WrongIssuer},
		{"another tenant's", object{"iss": "https://login.microsoftonline.com/ffff/v2.0", "tid": "ffff"}, nil, verdict.WrongIssuer},
		{"the Application ID URI as its audience", object{"aud": "api://00001111-aaaa-2222-bbbb-3333cccc4444"}, nil, verdict.WrongAudience},
		{"without the role", object{"roles": nil}, nil, verdict.MissingClaim},
		{"a delegated permission instead", object{"roles": nil, "scp": "Mqtt.Connect"}, nil, verdict.MissingClaim},
	}},
	{"okta", "0oab8om4bars6Y80Z0h7", []refusal{
		{"of the organization's own server", object{"iss": "https://org.okta.com", "aud": "https://org.okta.com"}, nil, verdict.WrongIssuer},
		{"an ID token", object{"aud": "0oab8om4bars6Y80Z0h7", "scp": nil}, nil, verdict.WrongAudience},
		{"another scope", object{"scp": []string{"openid"}}, nil, verdict.MissingScope},
	}},
	{"auth0", "x1Y2z3DeviceClientId", []refusal{
		{"the issuer without its slash", object{"iss": "https://tenant.eu.auth0.com"}, nil, verdict.WrongIssuer},
		{"for another API", object{"aud": []string{"https://other.example.com", "https://tenant.eu.auth0.com/userinfo"}}, nil, verdict.WrongAudience},
		{"an ID token", object{"aud": "x1Y2z3DeviceClientId", "scope": nil}, nil, verdict.WrongAudience},
		{"without the permission", object{"scope": "openid"}, nil, verdict.MissingScope},
		{"a person's", object{"gty": nil, "sub": "auth0|5f7c8ec7c33c6c004bbafe82"}, nil, verdict.MissingClaim},
	}},
	{"google", "sensor-1@project.iam.gserviceaccount.com", []refusal{
		{"a stranger's service account", object{"email": "x@elsewhere.iam.gserviceaccount.com"}, nil, verdict.MissingClaim},
		{"without an address", object{"email": nil, "email_verified": nil}, nil, verdict.MissingClaim},
		{"an address that is not verified", object{"email_verified": false}, nil, verdict.MissingClaim},
		{"for another audience", object{"aud": "123-abc.apps.googleusercontent.com"}, nil, verdict.WrongAudience},
		{"iss without its scheme", object{"iss": "accounts.google.com"}, nil, verdict.WrongIssuer},
	}},
	{"aws-cognito", "1example23456789", []refusal{
		{"an ID token", object{"token_use": "id", "aud": "1example23456789", "client_id": nil, "scope": nil}, nil, verdict.MissingClaim},
		{"another pool's", object{"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"}, nil, verdict.WrongIssuer},
		{"another scope", object{"scope": "aws.cognito.signin.user.admin"}, nil, verdict.MissingScope},
	}},
	{"github-actions", "74", []refusal{
		{"a stranger's repository", object{"repository_owner_id": "666", "repository_owner": "octo-org"}, nil, verdict.MissingClaim},
		{"a pull request", object{"ref": "refs/pull/5/merge", "event_name": "pull_request"}, nil, verdict.MissingClaim},
		{"for another audience", object{"aud": "https://github.com/octo-org"}, nil, verdict.WrongAudience},
		{"an Enterprise Server's", object{"iss": "https://ghe.example.com/_services/token"}, nil, verdict.WrongIssuer},
	}},
	{"zitadel", "163840776835432705", []refusal{
		{"for another project", object{"aud": []string{"163840776835432345@portal"}}, nil, verdict.WrongAudience},
		{"without the role", object{"urn:zitadel:iam:org:project:roles": object{"reader": object{"163840776801800001": "main.zitadel.cloud"}}}, nil, verdict.MissingClaim},
		{"the role in another organization", object{"urn:zitadel:iam:org:project:roles": object{"mqtt": object{"2": "other.zitadel.cloud"}}}, nil, verdict.MissingClaim},
		{"without roles at all", object{"urn:zitadel:iam:org:project:roles": nil}, nil, verdict.MissingClaim},
	}},
	{"hydra", "5f6c3f0e-8c2b-4f4e-9d3c-0a1b2c3d4e5f", []refusal{
		{"without an audience", object{"aud": []string{}}, nil, verdict.WrongAudience},
		{"without the scope", object{"scp": []string{}}, nil, verdict.MissingScope},
		{"the issuer with a slash", object{"iss": "https://hydra.example.com/"}, nil, verdict.WrongIssuer},
	}},
}

// always is what every guide keeps out.
var always = []refusal{
	{"expired", object{"exp": time.Now().Add(-time.Minute).Unix()}, nil, verdict.Expired},
	{"without exp", object{"exp": nil}, nil, verdict.NoExpiration},
	{"unsigned", nil, object{"alg": "none"}, verdict.WrongAlgorithm},
	{"signed with a public key as its secret", nil, object{"alg": "HS256"}, verdict.WrongAlgorithm},
}

func TestGuides(t *testing.T) {
	p, err := idp.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	asked := active(t)
	for _, guide := range guides {
		t.Run(guide.name, func(t *testing.T) {
			token, jwtJSON := read(t, guide.name)
			judge := judgeBy(t, jwtJSON, p, asked)
			got := judge(p, token, refusal{})
			switch {
			case got.Kind != verdict.Accept:
				t.Fatalf("the token that the guide shows: %s", got)
			case got.Identity.Username == nil || *got.Identity.Username != guide.identity:
				t.Errorf("known as %v, want %s", got.Identity.Username, guide.identity)
			}
			for _, r := range slices.Concat(guide.refused, always) {
				if got := judge(p, token, r); got.Kind != verdict.Deny || got.Reason != r.reason {
					t.Errorf("%s: %s, want %s", r.what, got, r.reason)
				}
			}
		})
	}
}

// shown is a token as a guide shows it.
type shown struct {
	Header  object `json:"header"`
	Payload object `json:"payload"`
}

var (
	fence   = regexp.MustCompile("(?s)\n```json\n(.*?)\n```\n")
	heading = regexp.MustCompile(`(?m)^## (.*)$`)
)

// read takes the token and the jwt.json out of a guide, which has nothing else in JSON.
func read(t *testing.T, name string) (shown, string) {
	t.Helper()
	text := guideText(t, name+".md")
	blocks := fence.FindAllStringSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of JSON, want the token and the jwt.json", len(blocks))
	}
	var token shown
	if err := json.Unmarshal([]byte(blocks[0][1]), &token); err != nil {
		t.Fatalf("the token: %v", err)
	}
	var titles []string
	for _, title := range heading.FindAllStringSubmatch(text, -1) {
		titles = append(titles, title[1])
	}
	if want := []string{"Set up", "What a token looks like", "jwt.json", "Get a token", "Good to know"}; !slices.Equal(titles, want) {
		t.Errorf("its sections are %q, want %q", titles, want)
	}
	return token, blocks[1][1]
}

func guideText(t *testing.T, name string) string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "providers", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// judgeBy returns the verdict of a guide's jwt.json, in which nothing is changed but where keys and answers come from.
func judgeBy(t *testing.T, jwtJSON string, p *idp.Provider, asked string) func(*idp.Provider, shown, refusal) chain.Result {
	t.Helper()
	var file object
	if err := json.Unmarshal([]byte(jwtJSON), &file); err != nil {
		t.Fatalf("the jwt.json: %v", err)
	}
	options := file["options"].(object)
	modes, common := options["modes"].(object), options["common"].(object)
	if file["mode"] == "oidc" {
		// A local issuer can't have the vendor's name.
		file["mode"], common["issuer"] = "jwks", modes["oidc"].(object)["issuer"]
		delete(modes, "oidc")
	}
	modes["jwks"].(object)["uri"] = p.JWKSURI()
	if revocation, ok := options["revocation"].(object); ok {
		introspection := revocation["introspection"].(object)
		introspection["uri"] = asked
		if introspection["clientSecret"] != nil {
			introspection["clientSecret"] = "secret"
		}
	}
	changed, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "jwt.json")
	if err := os.WriteFile(name, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(name)
	if cfg == nil || len(problems) > 0 {
		t.Fatalf("the jwt.json: %s", problems.Error())
	}
	built, err := chain.New(cfg, chain.Options{Now: time.Now, Report: func(_ bool, text string) { t.Log(text) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(built.Close)
	return func(p *idp.Provider, token shown, r refusal) chain.Result {
		password := mint(p, token, r)
		return built.Check(t.Context(), chain.Login{Client: identity.Client{ID: "c"}, Password: &password})
	}
}

// mint signs the token that a guide shows, with the provider's key and today's times, and changed as r wants it.
func mint(p *idp.Provider, token shown, r refusal) string {
	claims, now := maps.Clone(token.Payload), time.Now()
	for name, at := range map[string]time.Time{"iat": now, "nbf": now, "auth_time": now, "exp": now.Add(5 * time.Minute)} {
		if _, has := claims[name]; has {
			claims[name] = at.Unix()
		}
	}
	maps.Copy(claims, r.claims)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	options := []idp.TokenOption{idp.Without("iss", "sub", "aud", "exp", "iat", "nbf", "client_id", "jti", "typ")}
	for name, value := range claims {
		options = append(options, idp.Claim(name, value))
	}
	options = append(options, idp.WithoutHeader("typ"))
	if typ, has := token.Header["typ"]; has {
		options = append(options, idp.Header("typ", typ))
	}
	switch r.header["alg"] {
	case "none":
		options = append(options, idp.Unsigned())
	case "HS256":
		options = append(options, idp.SignedBy("HS256", p.PublicKeyPEM()))
	}
	return p.Token("", time.Hour, options...)
}

// active is an endpoint that says "active" of every token.
func active(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"active":true}`) }))
	t.Cleanup(server.Close)
	return server.URL
}

// Every guide is in the list of guides and has a test, and there is no other.
func TestTheListOfGuides(t *testing.T) {
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "docs", "providers", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	list := guideText(t, "README.md")
	if len(files) != len(guides)+1 {
		t.Errorf("%d guides are tested, and there are %d", len(guides), len(files)-1)
	}
	for _, guide := range guides {
		if !strings.Contains(list, "]("+guide.name+".md)") {
			t.Errorf("%s is not in the list", guide.name)
		}
	}
}
