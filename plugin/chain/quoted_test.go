package chain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// hostile is what others may write into whatever is theirs: a line of the plugin's own, a terminal's commands, and a mark
// that reverses the text behind it.
const hostile = "x\ngo_jwt_auth: client \"forged\"\r\x1b[2J\u202e"

// quotedAtItsSource fails the test for a text that needs the guard before the log (broker.Log).
func quotedAtItsSource(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if text != verdict.Line(text) || strings.ContainsAny(text, "\n\r\x1b\u202e") {
			t.Errorf("not quoted: %q", text)
		}
	}
}

// everything is all that a login, a probe and the background say, line by line.
func everything(t *testing.T, judge *chain.Chain, said *testidp.Reports, l broker.Connect) (all []string) {
	t.Helper()
	result := judge.Check(t.Context(), l)
	all = append(all, result.String(), result.Detail, result.Note, result.LogID)
	for _, c := range *result.Trace {
		all = append(all, c.Name, c.Expected, c.Found)
	}
	report := only(judge).Inspect(t.Context())
	for _, e := range report.Endpoints {
		all = append(all, e.What, e.URI, e.Path, e.Doubt)
	}
	for _, fault := range report.Faults {
		all = append(all, fault.Error())
	}
	all = append(all, report.Keys.Skipped...)
	findings, err := judge.Probe(context.Background())
	for _, f := range findings {
		all = append(all, f.Text)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, each := range joined.Unwrap() {
			all = append(all, each.Error())
		}
	}
	return append(all, strings.Split(strings.ReplaceAll(said.All(), "\nwarning=", "\x00warning="), "\x00")...)
}

func TestWhatATokenSaysIsQuoted(t *testing.T) {
	key := testkeys.New("ES256", "k")
	good := object{"sub": "alice", "iss": "https://idp.test", "aud": "mqtt", "scope": "mqtt", "role": "a", "jti": "id", "exp": now + 60}
	checked := func(c *config.Common) {
		c.Issuers, c.Audience, c.RequiredScopes, c.TokenType = []config.Issuer{config.ExactIssuer("https://idp.test")}, []string{"mqtt"}, []string{"mqtt"}, []string{"JWT"}
		c.RequiredClaims = []config.RequiredClaim{{Path: "role", Values: []any{"a"}}}
		c.MatchUsername, c.MatchClientID, c.OnMismatch = true, true, config.MismatchDeny
	}
	with := func(name string, value any) object {
		claims := object{name: value}
		for n, v := range good {
			if n != name {
				claims[n] = v
			}
		}
		return claims
	}
	type named struct {
		from   string
		header object
		claims object
		client broker.Connect
		adjust func(*config.Common)
	}
	alice := "alice"
	cases := []named{
		{from: "client id", claims: good, client: broker.Connect{ClientID: hostile, Username: &alice}},
		{from: "username", claims: good, client: broker.Connect{ClientID: "alice", Username: text(hostile)}},
	}
	for _, name := range []string{"alg", "kid", "typ", "crit", "enc", hostile} {
		cases = append(cases, named{from: "header " + name, header: object{name: hostile}, claims: good})
	}
	for _, value := range []any{hostile, []any{hostile}, object{hostile: hostile}} {
		for _, name := range []string{"iss", "aud", "scope", "scp", "role", "sub", "exp", "nbf", "iat", "jti"} {
			cases = append(cases, named{from: fmt.Sprintf("claim %s %T", name, value), claims: with(name, value)})
		}
	}
	for _, each := range []struct {
		from   string
		adjust func(*config.Common)
	}{
		{"expected claim", func(c *config.Common) {
			c.RequiredClaims = []config.RequiredClaim{{Path: hostile, Values: []any{hostile}}}
		}},
		{"expected issuer", func(c *config.Common) { c.Issuers = []config.Issuer{config.ExactIssuer(hostile)} }},
		{"expected audience", func(c *config.Common) { c.Audience = []string{hostile} }},
		{"expected type", func(c *config.Common) { c.TokenType = []string{hostile} }},
		{"expected scope", func(c *config.Common) { c.RequiredScopes = []string{hostile} }},
		{"claim for the username", func(c *config.Common) { c.UsernameClaim = hostile }},
		{"claim for the client id", func(c *config.Common) { c.ClientIDClaim = hostile }},
	} {
		cases = append(cases, named{from: each.from, claims: good, adjust: each.adjust})
	}
	for _, c := range cases {
		t.Run(c.from, func(t *testing.T) {
			cfg := testidp.InFile(t, key)
			checked(&cfg.Common)
			if c.adjust != nil {
				c.adjust(&cfg.Common)
			}
			header := object{"typ": "JWT"}
			maps.Copy(header, c.header)
			judge, said := newChain(t, cfg)
			client := c.client
			if client.Username == nil {
				client = broker.Connect{ClientID: "alice", Username: &alice}
			}
			token := key.SignWith(header, c.claims)
			client.Password = &token
			quotedAtItsSource(t, everything(t, judge, said, client)...)
		})
	}
}

func TestWhatAProviderSaysIsQuoted(t *testing.T) {
	key := testkeys.New("ES256", "k")
	token := key.Sign(object{"sub": "alice", "exp": now + 60})
	var origin string // of the provider
	type page struct {
		status int
		header http.Header
		body   func() string
	}
	says := func(body string) page { return page{status: 200, body: func() string { return body }} }
	inJSON := func(value any) string {
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	document := func(changes object) page {
		return page{status: 200, body: func() string {
			doc := object{"issuer": origin, "jwks_uri": origin + "/keys", "introspection_endpoint": origin + "/introspect"}
			for name, value := range changes {
				doc[name] = strings.ReplaceAll(fmt.Sprint(value), "ORIGIN", origin)
			}
			return inJSON(doc)
		}}
	}
	keys := func(changes testkeys.JWK) page {
		jwk := key.JWK()
		for name, value := range changes {
			jwk = jwk.With(name, value)
		}
		return says(string(testkeys.Set(jwk, key.JWK().With("kid", hostile))))
	}
	strange := http.Header{"Content-Type": {"text/\u202eforged"}, "Location": {"https://\u202eforged.test/\u202e"}}
	answers := func(status int) page { return page{status, strange, func() string { return hostile }} }
	pages := map[string][]page{
		"/.well-known/openid-configuration": {
			document(nil), document(object{"issuer": hostile}), document(object{"jwks_uri": hostile}), document(object{"jwks_uri": "ORIGIN/\u202e \"forged\""}),
			document(object{"jwks_uri": "ORIGIN/" + strings.Repeat("x", 1<<16)}), document(object{"jwks_uri": "http://\u202eforged.invalid/"}),
			document(object{"introspection_endpoint": hostile}), document(object{"introspection_endpoint": "ORIGIN/\u202e"}), says(hostile), says(inJSON(hostile)),
			answers(302),
		},
		"/keys": {
			keys(nil), keys(testkeys.JWK{"kid": hostile}), keys(testkeys.JWK{"use": hostile}), keys(testkeys.JWK{"key_ops": []any{hostile}}),
			keys(testkeys.JWK{"alg": hostile}), keys(testkeys.JWK{"kty": hostile}), keys(testkeys.JWK{"crv": hostile}), keys(testkeys.JWK{"x": hostile}),
			keys(testkeys.JWK{hostile: hostile}), says(hostile), says(inJSON(hostile)), says(`{"keys":` + inJSON(hostile) + `}`), says(`{"keys":[` + inJSON(hostile) + `]}`),
			answers(302), answers(500), answers(200),
		},
		"/introspect": {
			says(`{"active":true}`), says(`{"active":` + inJSON(hostile) + `}`), says(inJSON(object{hostile: hostile})), says(hostile),
			says(`{"active":false,"error":` + inJSON(hostile) + `}`), answers(401), answers(302), answers(200),
		},
	}
	for path := range pages {
		for i := range pages[path] {
			t.Run(fmt.Sprint(path, " ", i), func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					at := pages[r.URL.Path]
					if at == nil {
						w.WriteHeader(http.StatusNotFound)
						return
					}
					p := at[0]
					if r.URL.Path == path {
						p = at[i]
					}
					maps.Copy(w.Header(), p.header)
					w.WriteHeader(p.status)
					_, _ = fmt.Fprint(w, p.body())
				}))
				t.Cleanup(server.Close)
				origin = server.URL
				cfg := testidp.Defaults("ES256")
				cfg.Mode, cfg.OIDC.Issuer, cfg.Common.Issuers = config.ModeOIDC, origin, nil
				cfg.JWKS = config.JWKS{Timeout: time.Minute, MaxBlock: time.Minute, Cache: config.JWKSCache{Enabled: true, TTL: time.Minute}}
				cfg.Revocation = new(testidp.Server).Introspection()
				cfg.Revocation.Introspection.URI = ""
				judge, said := newChain(t, cfg)
				quotedAtItsSource(t, everything(t, judge, said, login(token))...)
			})
		}
	}
}

func TestTheNameOfAKeySetIsQuoted(t *testing.T) {
	key := testkeys.New("ES256", "k")
	token := key.Sign(object{"sub": "alice", "exp": now + 60})
	cfg := testidp.InFile(t, key)
	cfg.JWKS.FilePath = filepath.Join(t.TempDir(), "\u202eforged")
	judge, said := newChain(t, cfg)
	quotedAtItsSource(t, everything(t, judge, said, login(token))...)
}
