package chain_test

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

const (
	guides   = "../../docs/providers"
	examples = "../../examples/providers"
)

// vendorToken is a token in a provider's shape, as the guide shows it: testdata/providers/NAME.json.
type vendorToken struct {
	Header  object `json:"header"`
	Payload object `json:"payload"`
}

// with is a copy with some claims changed; nil removes one.
func (v vendorToken) with(changes object) vendorToken {
	payload := maps.Clone(v.Payload)
	maps.Copy(payload, changes)
	maps.DeleteFunc(payload, func(_ string, value any) bool { return value == nil })
	return vendorToken{v.Header, payload}
}

// refusal is a token that the guide's configuration keeps out: the guide's own, changed.
type refusal struct {
	rule    string
	changes object
	want    verdict.Reason
}

// vendors are the providers that have a guide, with the username that each guide promises.
var vendors = []struct {
	name     string
	username string
	refused  []refusal
	// inactive is what the provider's introspection endpoint would call inactive though signature and claims are good.
	inactive string
}{
	{"keycloak", "0f3a1c1e-7d0e-4f0e-8a51-0c0b3f9c1d11", []refusal{
		{"for another client", object{"aud": "account"}, verdict.WrongAudience},
		{"of another realm", object{"iss": "https://id.example.com/realms/other"}, verdict.WrongIssuer},
		{"an ID token, even for the broker", object{"typ": "ID", "aud": "mqtt-broker", "scope": nil}, verdict.MissingClaim},
		{"without the scope", object{"scope": "profile email"}, verdict.MissingScope},
	}, "a session that was ended"},
	{"entra-id", "690222be-ff1a-4d56-abd1-7e4f7d38e474", []refusal{
		{"for Microsoft Graph", object{"aud": "00000003-0000-0000-c000-000000000000"}, verdict.WrongAudience},
		{"with the audience of a version 1 token", object{"aud": "api://11112222-bbbb-3333-cccc-4444dddd5555"}, verdict.WrongAudience},
		{"of version 1", object{"iss": "https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/", "ver": "1.0"}, verdict.WrongIssuer},
		{"of another tenant", object{"iss": "https://login.microsoftonline.com/99998888-0000-cccc-1111-dddd2222eeee/v2.0"}, verdict.WrongIssuer},
		{"of another application of the tenant", object{"azp": "77778888-ffff-7777-aaaa-8888bbbb9999"}, verdict.MissingClaim},
		{"an application without the role", object{"roles": nil}, verdict.MissingClaim},
		{"an ID token for the broker's own registration", object{"azp": nil, "azpacr": nil, "name": "Ann"}, verdict.MissingClaim},
	}, ""},
	{"okta", "0oab8om4bars6Y80Z0h7", []refusal{
		{"for another API", object{"aud": "api://default"}, verdict.WrongAudience},
		{"of the org server", object{"iss": "https://example.okta.com", "aud": "https://example.okta.com"}, verdict.WrongIssuer},
		{"of another custom server", object{"iss": "https://example.okta.com/oauth2/default"}, verdict.WrongIssuer},
		{"an ID token", object{"aud": "0oab8om4bars6Y80Z0h7", "scp": nil, "cid": nil}, verdict.WrongAudience},
		{"without the scope", object{"scp": []string{"openid"}}, verdict.MissingScope},
	}, ""},
	{"auth0", "kW7GfR2vQz5m@clients", []refusal{
		{"for another API", object{"aud": "https://api.example.com"}, verdict.WrongAudience},
		{"of another tenant", object{"iss": "https://other.eu.auth0.com/"}, verdict.WrongIssuer},
		{"with an issuer that lacks the slash", object{"iss": "https://example.eu.auth0.com"}, verdict.WrongIssuer},
		{"an ID token", object{"aud": "kW7GfR2vQz5m", "scope": nil, "permissions": nil}, verdict.WrongAudience},
		{"without the scope", object{"scope": "openid profile"}, verdict.MissingScope},
	}, ""},
	{"google", "110169484474386276334", []refusal{
		{"for another client", object{"aud": "999-x.apps.googleusercontent.com", "azp": "999-x.apps.googleusercontent.com"}, verdict.WrongAudience},
		{"of a stranger's service account, which chooses its audience", object{"azp": "104029292853099978293", "sub": "104029292853099978293", "hd": nil}, verdict.MissingClaim},
		{"of a private account", object{"hd": nil, "email": "ann@gmail.com"}, verdict.MissingClaim},
		{"of another organisation", object{"hd": "example.org"}, verdict.MissingClaim},
		{"with an issuer without scheme", object{"iss": "accounts.google.com"}, verdict.WrongIssuer},
	}, ""},
	{"aws-cognito", "1example23456789abcdefghij", []refusal{
		{"of another app client", object{"client_id": "2example23456789abcdefghij"}, verdict.MissingClaim},
		{"of another pool", object{"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Zz9"}, verdict.WrongIssuer},
		{"an ID token", object{"token_use": "id", "aud": "1example23456789abcdefghij", "client_id": nil, "scope": nil}, verdict.MissingClaim},
		{"of a user who signed in without the scope", object{"scope": "aws.cognito.signin.user.admin", "username": "sensor-1"}, verdict.MissingScope},
	}, ""},
	{"github-actions", "987654321", []refusal{
		{"for another service", object{"aud": "https://github.com/octo-org"}, verdict.WrongAudience},
		{"of another repository of the organisation", object{"repository_id": "987654322"}, verdict.MissingClaim},
		{"of a stranger's repository that has the old name", object{"repository_owner_id": "7654321", "repository_id": "1"}, verdict.MissingClaim},
		{"of another branch", object{"ref": "refs/heads/try"}, verdict.MissingClaim},
		{"of a pull request", object{"ref": "refs/pull/1/merge", "event_name": "pull_request"}, verdict.MissingClaim},
		{"of pull_request_target, which has the branch's own ref", object{"event_name": "pull_request_target"}, verdict.MissingClaim},
		{"of a GitHub Enterprise Server", object{"iss": "https://github.example.com/_services/token"}, verdict.WrongIssuer},
	}, ""},
	{"zitadel", "163840776835432705", []refusal{
		{"for another project", object{"aud": []string{"163840776835432345", "163840776801878999"}}, verdict.WrongAudience},
		{"of another instance", object{"iss": "https://other-ab12cd.zitadel.cloud"}, verdict.WrongIssuer},
		{"without the role", object{"urn:zitadel:iam:org:project:163840776801878273:roles": object{}}, verdict.MissingClaim},
		{"with the role in another organisation", object{"urn:zitadel:iam:org:project:163840776801878273:roles": object{"mqtt": object{"1": "main.example-ab12cd.zitadel.cloud"}}}, verdict.MissingClaim},
	}, "an ID token for the project"},
	{"hydra", "5f6c2d8e-6a0f-4b7c-a1f5-3c5a4f1b9d21", []refusal{
		{"without audience", object{"aud": []string{}}, verdict.WrongAudience},
		{"for another service", object{"aud": []string{"api"}}, verdict.WrongAudience},
		{"of another issuer", object{"iss": "https://hydra.example.org"}, verdict.WrongIssuer},
		{"an ID token", object{"aud": []string{"5f6c2d8e-6a0f-4b7c-a1f5-3c5a4f1b9d21"}, "scp": nil, "ext": nil}, verdict.WrongAudience},
		{"without the scope", object{"scp": []string{"offline"}}, verdict.MissingScope},
	}, "a token that was revoked"},
	{"kubernetes", "system:serviceaccount:factory:sensor-1", []refusal{
		{"for the API server, as a pod has it anyway", object{"aud": []string{"https://kubernetes.default.svc.cluster.local"}}, verdict.WrongAudience},
		{"of another cluster", object{"iss": "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"}, verdict.WrongIssuer},
		{"of a stranger's pod, which asks for the broker's audience", object{
			"sub": "system:serviceaccount:default:sensor-1", "kubernetes.io": object{"namespace": "default", "serviceaccount": object{"name": "sensor-1"}},
		}, verdict.MissingClaim},
		{"in a Secret, of before Kubernetes 1.24", object{
			"iss": "kubernetes/serviceaccount", "aud": nil, "exp": nil, "iat": nil, "nbf": nil, "kubernetes.io": nil,
			"kubernetes.io/serviceaccount/namespace": "factory", "kubernetes.io/serviceaccount/service-account.name": "sensor-1",
		}, verdict.WrongIssuer},
	}, ""},
	{"spiffe", "spiffe://example.org/factory/sensor-1", []refusal{
		{"for another service", object{"aud": []string{"reports"}}, verdict.WrongAudience},
		{"without audience, which is no JWT-SVID", object{"aud": nil}, verdict.WrongAudience},
		{"without SPIFFE ID", object{"sub": nil}, verdict.NoIdentity},
	}, ""},
}

// TestProviderGuides: the guide's own file, before a token in the vendor's shape and those that it must keep out. Only the
// endpoints are local ones.
func TestProviderGuides(t *testing.T) {
	for _, v := range vendors {
		t.Run(v.name, func(t *testing.T) {
			good := readToken(t, v.name)
			alg := good.Header["alg"].(string)
			key, stranger := testkeys.New(alg, "k"), testkeys.New(alg, "k")
			active := true
			cfg := localGuide(t, v.name, good.Header["kid"].(string), key, &active)
			c, _ := newChain(t, cfg)
			judge := func(by testkeys.Key, token vendorToken) (verdict.Reason, string) {
				header := maps.Clone(token.Header)
				if header["typ"] == nil {
					header["typ"] = nil // SignWith sets one otherwise
				}
				result := c.Check(t.Context(), login(by.SignWith(header, token.Payload)))
				if result.Kind == verdict.Accept && result.Identity.Username != nil {
					return "", *result.Identity.Username
				}
				return result.Reason, result.String()
			}
			if reason, got := judge(key, good); reason != "" || got != v.username {
				t.Fatalf("the guide's token: got %s, want username %s", got, v.username)
			}
			always := []refusal{
				{"expired", object{"exp": now - 1}, verdict.Expired},
				{"without expiry", object{"exp": nil}, verdict.NoExpiration},
			}
			if good.Payload["iss"] != nil {
				always = append(always, refusal{"without issuer", object{"iss": nil}, verdict.WrongIssuer})
			}
			for _, r := range slices.Concat(v.refused, always) {
				if reason, got := judge(key, good.with(r.changes)); reason != r.want {
					t.Errorf("a token %s: got %q, want %q", r.rule, got, r.want)
				}
			}
			if reason, got := judge(stranger, good); reason != verdict.BadSignature {
				t.Errorf("a forged token: got %q", got)
			}
			if asks := cfg.Revocation != nil; asks != (v.inactive != "") {
				t.Fatalf("asks about revocation: %t", asks)
			}
			if v.inactive == "" {
				return
			}
			active = false
			if reason, got := judge(key, good.with(object{"jti": "another"})); reason != verdict.Revoked {
				t.Errorf("%s: got %q", v.inactive, got)
			}
		})
	}
}

// pod is where a pod finds the token and the certificate authority that it reaches the API server with.
const pod = "/var/run/secrets/kubernetes.io/serviceaccount/"

// localGuide is examples/providers/NAME/jwt.json as localConfig.
func localGuide(t *testing.T, name, kid string, key testkeys.Key, active *bool) *config.Provider {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name, "jwt.json"))
	if err != nil {
		t.Fatal(err)
	}
	return localConfig(t, string(text), kid, key, active)
}

// localConfig is a jwt.json with the provider's addresses replaced by those of a local one, and a pod's and the broker's files by its
// own. It speaks TLS if the file names a certificate authority, and wants the bearer token that the file names.
func localConfig(t *testing.T, text, kid string, key testkeys.Key, active *bool) *config.Provider {
	t.Helper()
	const bearer = "the.brokers.own"
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	t.Cleanup(server.Close)
	if strings.Contains(text, `"caFile"`) {
		server.StartTLS()
	} else {
		server.Start()
	}
	dir := t.TempDir()
	files := map[string]string{
		"jwt.json": strings.NewReplacer(pod, "", "/etc/mosquitto/", "").Replace(text), "client-secret": testidp.ClientSecret, "token": bearer,
		"jwks.json": string(testkeys.Set(key.JWK().With("kid", kid))),
	}
	if server.TLS != nil {
		files["ca.crt"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole, problems := config.Load(filepath.Join(dir, "jwt.json"))
	if len(problems) > 0 {
		t.Fatal(strings.Join(problems.Lines("jwt.json"), "\n"))
	}
	cfg := whole.Providers[0]
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(object{
			"issuer": server.URL, "jwks_uri": server.URL + "/keys", "introspection_endpoint": server.URL + "/introspect",
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		if sent := r.Header.Get("Authorization"); (sent == "Bearer "+bearer) != strings.Contains(text, `"bearerTokenFile"`) {
			t.Errorf("the key set was asked for with Authorization %q", sent)
		}
		_, _ = w.Write(testkeys.Set(key.JWK().With("kid", kid)))
	})
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(object{"active": *active})
	})
	if cfg.JWKS.URI != "" {
		cfg.JWKS.URI = server.URL + "/keys"
	}
	cfg.OIDC.Issuer = server.URL // Common.Issuers, which tokens must have, stays the vendor's
	cfg.JWKS.MaxBlock = cfg.JWKS.Timeout
	if cfg.Revocation != nil && cfg.Revocation.Introspection.URI != "" {
		cfg.Revocation.Introspection.URI = server.URL + "/introspect"
	}
	if cfg.Revocation != nil {
		cfg.Revocation.Timeout = cfg.JWKS.Timeout
	}
	return cfg
}

func readToken(t *testing.T, name string) (token vendorToken) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/providers", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &token); err != nil {
		t.Fatal(err)
	}
	return token
}

// Each guide shows the file and the token that are tested, letter by letter, and is in the table.
func TestProviderGuidesShowWhatIsTested(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(guides, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, v := range vendors {
		names = append(names, v.name)
		guide, err := os.ReadFile(filepath.Join(guides, v.name+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, shown := range []string{filepath.Join(examples, v.name, "jwt.json"), filepath.Join("testdata/providers", v.name+".json")} {
			text, err := os.ReadFile(shown)
			if err != nil {
				t.Error(err)
			} else if !strings.Contains(string(guide), "```json\n"+string(text)+"```\n") {
				t.Errorf("%s.md does not show %s as it is", v.name, shown)
			}
		}
		if !strings.Contains(string(table), "]("+v.name+".md) |") {
			t.Errorf("%s.md is not in the table of README.md", v.name)
		}
	}
	slices.Sort(names)
	for where, pattern := range map[string]string{"a guide": guides + "/*.md", "an example": examples + "/*", "a token": "testdata/providers/*.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, path := range found {
			if base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".md"), ".json"); base != "README" {
				have = append(have, base)
			}
		}
		slices.Sort(have)
		if !slices.Equal(have, names) {
			t.Errorf("%s is there for %q, tested are %q", where, have, names)
		}
	}
}
