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
	"time"
)

func TestDefaults(t *testing.T) {
	dir := t.TempDir()
	want := Config{
		File:          filepath.Join(dir, "jwt.json"),
		TokenSource:   []TokenSource{TokenInPassword},
		OnNonToken:    NonTokenDefer,
		MaxTokenBytes: 16384,
		EnhancedAuth:  EnhancedAuth{Methods: []string{"OAUTH2-JWT", "CUSTOM-JWT", "K8S-SAT"}},
		Control:       Control{Renew: true},
	}
	wantProvider := Provider{
		Path:       At("$"),
		Algorithms: []string{"RS256"},
		Mode:       ModeJWKS,
		JWKS: JWKS{
			URI:      "https://idp.test/jwks",
			Timeout:  10 * time.Second,
			MaxBlock: 250 * time.Millisecond,
			Cache:    JWKSCache{TTL: time.Minute, MaxStale: 24 * time.Hour},
		},
		Common: Common{
			ValidateExpiration: true,
			RequireExpiration:  true,
			OnMismatch:         MismatchRewrite,
			UsernameClaim:      "sub",
			ClientIDClaim:      "sub",
			KickExpired:        true,
			KickWithWill:       true,
			RememberVerified:   true,
		},
	}
	want.Providers = []*Provider{&wantProvider}
	if got := mustLoad(t, dir, with()); !reflect.DeepEqual(*got.Config, want) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", *got.Config, *got.Provider, want, wantProvider)
	}
	if got := mustLoad(t, dir, revoking()).Revocation; !reflect.DeepEqual(*got, Revocation{
		Timeout:       10 * time.Second,
		Cache:         AnswerCache{MaxEntries: 10_000},
		OnUnavailable: UnavailableDeny,
		Check:         CheckBeforeConnect,
		RetryWindow:   10 * time.Second,
		MaxConcurrent: 64,
		Introspection: Introspection{URI: "https://idp.test/introspect", ClientAuthentication: ClientBasic},
	}) {
		t.Errorf("revocation: got %+v", got)
	}
	if got := mustLoad(t, dir, local()); got.Local.Reveal() != "key" || !reflect.DeepEqual(got.JWKS, JWKS{}) {
		t.Errorf("local: got %+v", got)
	}
	if got := mustLoad(t, dir, oidc()); got.JWKS.URI != "" || got.JWKS.Timeout != wantProvider.JWKS.Timeout || !slices.Equal(got.ExactIssuers(), []string{"https://idp.test"}) {
		t.Errorf("oidc: got %+v", got)
	}
	if got := mustLoad(t, dir, oidc(introspect, `{}`)).Revocation; got == nil || got.Plain != nil || got.Introspection.URI != "" {
		t.Errorf("oidc with an introspection that discovery names: got %+v", got)
	}
	if got := mustLoad(t, dir, opaque()); !reflect.DeepEqual(got.JWKS, JWKS{}) || got.Algorithms != nil || got.Revocation.Plain != nil {
		t.Errorf("introspection: got %+v", got)
	}
	if got := mustLoad(t, dir, asking()).Revocation; !reflect.DeepEqual(*got, Revocation{
		Timeout:       10 * time.Second,
		Cache:         AnswerCache{MaxEntries: 10_000},
		OnUnavailable: UnavailableDeny,
		Check:         CheckBeforeConnect,
		RetryWindow:   10 * time.Second,
		MaxConcurrent: 64,
		Plain: &Plain{
			URI:          "https://idp.test/check",
			BodyEncoding: BodyForm,
			Response:     Response{SuccessCodes: []int{200, 201, 202, 203, 204, 205, 206, 207, 208, 226}},
		},
	}) {
		t.Errorf("plain: got %+v", got)
	}
}

// effect is a key and the field that it changes.
type effect struct {
	key, value string
	// beside it in the file
	with []string
	got  func(loaded) any
	want any
}

func effects(dir string) []effect {
	const issuerKey = "options.modes.oidc.issuer"
	secretOf := func(c loaded) any { return c.Revocation.Introspection.ClientSecret.Reveal() }
	localOf := func(c loaded) any { return c.Local.Reveal() }
	hint := func(c loaded) any { return c.Revocation.Introspection.TokenTypeHint }
	plainRequestOf := func(c loaded) any { return c.Revocation.Plain.Request }
	successOf := func(c loaded) any { return c.Revocation.Plain.Response.SuccessValue }
	client := []string{introspect + ".uri", `"https://idp.test/i"`, introspect + ".clientId", `"a"`}
	plainClient := []string{plainly + ".uri", `"https://idp.test/c"`}
	onRetry := append([]string{"options.revocation.check", `"onRetry"`}, client...)
	inOpaque := []string{"mode", `"introspection"`, "algorithm", "", "options.modes", "", introspect + ".uri", `"https://idp.test/i"`}
	fromFile := []string{uri, ""}
	inLocal := []string{"mode", `"local"`, "options.modes.jwks", ""}
	inOIDC := []string{"mode", `"oidc"`, uri, ""}
	headersOf := func(c loaded) any {
		var all []string
		for _, h := range c.JWKS.Headers {
			all = append(all, h.Name+"="+h.Value.Reveal())
		}
		return all
	}
	matched := []string{"options.common.matchUsernameToSubject", `true`}
	granting := []string{"options.authorization.grants", `[{"everyone": true, "publish": "a"}]`}
	grantsOf := func(c loaded) any {
		var all []string
		for _, g := range c.Authorization.Grants {
			all = append(all, fmt.Sprintln(g.Scope, g.Claim, g.Values, g.Everyone, g.Publish, g.Subscribe))
		}
		return all
	}
	return []effect{
		{"algorithm", `"EdDSA"`, nil, func(c loaded) any { return c.Algorithms }, []string{"EdDSA"}},
		{"algorithm", `["RS256", "Ed25519"]`, nil, func(c loaded) any { return c.Algorithms }, []string{"RS256", "EdDSA"}},
		{"algorithm", `["ES256", "PS512"]`, nil, func(c loaded) any { return c.Algorithms }, []string{"ES256", "PS512"}},
		{"algorithm", `["HS256", "HS512"]`, append(inLocal, "options.modes.local", `"a"`), func(c loaded) any { return c.Algorithms }, []string{"HS256", "HS512"}},
		{"algorithm", `"HS384"`, append(fromFile, "options.modes.jwks.filePath", `"k"`), func(c loaded) any { return c.Algorithms }, []string{"HS384"}},
		{"mode", `"local"`, []string{"options.modes.jwks", "", "options.modes.local", `"a"`}, func(c loaded) any { return c.Mode }, ModeLocal},
		{"mode", `"oidc"`, []string{"options.modes.jwks", "", issuerKey, `"https://idp.test"`}, func(c loaded) any { return c.Mode }, ModeOIDC},
		{"mode", `"introspection"`, inOpaque[2:], func(c loaded) any { return c.Mode }, ModeIntrospection},
		{"options.lazyConnect", `true`, nil, func(c loaded) any { return c.LazyConnect }, true},

		{uri, `"http://[::1]:8080/k?a=b"`, nil, func(c loaded) any { return c.JWKS.URI }, "http://[::1]:8080/k?a=b"},
		{"options.modes.jwks.filePath", `"keys/set.json"`, fromFile, func(c loaded) any { return c.JWKS.FilePath }, filepath.Join(dir, "keys/set.json")},
		{"options.modes.jwks.filePath", `"/keys/../set.json"`, fromFile, func(c loaded) any { return c.JWKS.FilePath }, "/set.json"},
		{"options.modes.jwks.timeoutMs", `1`, nil, func(c loaded) any { return c.JWKS.Timeout }, time.Millisecond},
		{"options.modes.jwks.timeoutMs", `5e3`, nil, func(c loaded) any { return c.JWKS.Timeout }, 5 * time.Second},
		{"options.modes.jwks.timeoutMs", `86400000.0`, nil, func(c loaded) any { return c.JWKS.Timeout }, 24 * time.Hour},
		{"options.modes.jwks.maxBlockMs", `0`, nil, func(c loaded) any { return c.JWKS.MaxBlock }, time.Duration(0)},
		{"options.modes.jwks.cache.enabled", `true`, nil, func(c loaded) any { return c.JWKS.Cache.Enabled }, true},
		{"options.modes.jwks.cache.ttlMs", `0`, nil, func(c loaded) any { return c.JWKS.Cache.TTL }, time.Duration(0)},
		{"options.modes.jwks.cache.maxStaleMs", `0`, nil, func(c loaded) any { return c.JWKS.Cache.MaxStale }, time.Duration(0)},
		{"options.modes.jwks.cache.respectCacheHeaders", `true`, nil, func(c loaded) any { return c.JWKS.Cache.RespectCacheHeaders }, true},

		{"options.modes.local", `"-----BEGIN\nEND"`, inLocal, localOf, "-----BEGIN\nEND"},
		{"options.modes.local", `{"plain": "a\n"}`, inLocal, localOf, "a\n"},
		{"options.modes.local", `{"env": "GO_JWT_AUTH_SECRET"}`, inLocal, localOf, "from the environment\n"},
		{"options.modes.local", `{"filePath": "secret"}`, inLocal, localOf, "from the file\n"},
		{"options.modes.local", `{"filePath": "secret.crlf"}`, inLocal, localOf, "from the file"},

		{issuerKey, `"https://idp.test/"`, inOIDC, func(c loaded) any { return c.OIDC.Issuer }, "https://idp.test/"},
		{issuerKey, `"http://localhost:8080/realms/a"`, inOIDC, func(c loaded) any { return c.ExactIssuers() }, []string{"http://localhost:8080/realms/a"}},
		{issuerKey, `"https://idp.test"`, append([]string{"options.common.issuer", `"https://idp.test"`}, inOIDC...), func(c loaded) any { return c.OIDC.Issuer }, "https://idp.test"},
		{"options.modes.jwks.timeoutMs", `7`, append(inOIDC, issuerKey, `"https://idp.test"`), func(c loaded) any { return c.JWKS.Timeout }, 7 * time.Millisecond},
		{"options.modes.jwks.cache.enabled", `true`, append(inOIDC, issuerKey, `"https://idp.test"`), func(c loaded) any { return c.JWKS.Cache.Enabled }, true},

		{"options.modes.oidc.jwksUri", `"https://keys.test/k"`, append(inOIDC, issuerKey, `"https://idp.test"`), func(c loaded) any { return c.OIDC.JWKSURI }, "https://keys.test/k"},
		{"options.modes.jwks.headers", `{"X-Api-Key": {"env": "GO_JWT_AUTH_TEXT"}, "X-N": 1.50, "Accept": ""}`, nil, headersOf, []string{"X-Api-Key=hunter2", "X-N=1.50", "Accept="}},
		{"options.modes.jwks.headers", `{"Authorization": {"filePath": "secret.crlf"}}`, append(inOIDC, issuerKey, `"https://idp.test"`), headersOf, []string{"Authorization=from the file"}},
		{"options.modes.jwks.bearerTokenFile", `"secret"`, nil, func(c loaded) any { return c.JWKS.BearerTokenFile }, filepath.Join(dir, "secret")},

		{"options.common.issuer", `["https://a.test", "https://b.test"]`, nil, func(c loaded) any { return c.ExactIssuers() }, []string{"https://a.test", "https://b.test"}},
		{
			"options.common.issuer", `"https://a.test/{claim:a.b}/{{v2}}"`,
			[]string{"options.common.requiredClaims", `{"a.b": ["x", "y"]}`},
			func(c loaded) any { return c.ExactIssuers() },
			[]string{"https://a.test/x/{v2}", "https://a.test/y/{v2}"},
		},
		{"options.common.usernameTemplate", `"dev/{claim:a.b}:{{{sub}"`, nil, func(c loaded) any { return c.Common.UsernameTemplate }, &Template{`dev/{claim:a.b}:{{{sub}`, []part{{literal: "dev/"}, {claim: "a.b"}, {literal: ":{"}, {claim: "sub"}}}},
		{"options.common.usernameTemplate", `"{sub}"`, nil, func(c loaded) any { return c.Common.MatchUsername }, true},
		{"options.common.usernameTemplate", `"{sub}"`, []string{tokenFrom, `"username"`}, func(c loaded) any { return c.Common.MatchUsername }, true},
		{"options.common.clientIdTemplate", `"{iss}{claim:x}"`, nil, func(c loaded) any { return c.Common.ClientIDTemplate }, &Template{"{iss}{claim:x}", []part{{claim: "iss"}, {claim: "x"}}}},
		{"options.common.clientIdTemplate", `"{sub}"`, []string{"options.common.matchClientIdToSubject", `true`}, func(c loaded) any { return c.Common.ClientIDTemplate }, &Template{"{sub}", []part{{claim: "sub"}}}},

		{"options.common.issuer", `"https://idp.test/"`, nil, func(c loaded) any { return c.Common.Issuers }, []Issuer{ExactIssuer("https://idp.test/")}},
		{tokenFrom, `"username"`, matched, func(c loaded) any { return c.TokenSource }, []TokenSource{TokenInUsername}},
		{tokenFrom, `["password", "username"]`, matched, func(c loaded) any { return c.TokenSource }, []TokenSource{TokenInPassword, TokenInUsername}},
		{tokenFrom, `["username", "password"]`, matched, func(c loaded) any { return c.TokenSource }, []TokenSource{TokenInUsername, TokenInPassword}},
		{"options.common.audience", `"a"`, nil, func(c loaded) any { return c.Common.Audience }, []string{"a"}},
		{"options.common.audience", `["a", "b"]`, nil, func(c loaded) any { return c.Common.Audience }, []string{"a", "b"}},
		{
			"options.common.requiredClaims", `{"b.c": "x", "https://a/b": [1.50, true]}`, nil,
			func(c loaded) any { return c.Common.RequiredClaims },
			[]RequiredClaim{{"b.c", []any{"x"}}, {"https://a/b", []any{json.Number("1.50"), true}}},
		},
		{"options.common.requiredScopes", `["mqtt:read", "b"]`, nil, func(c loaded) any { return c.Common.RequiredScopes }, []string{"mqtt:read", "b"}},
		{"options.common.requiredScopes", `"mqtt"`, nil, func(c loaded) any { return c.Common.RequiredScopes }, []string{"mqtt"}},
		{"options.common.tokenType", `["at+jwt", "Application/JWT", "application/a/b"]`, nil, func(c loaded) any { return c.Common.TokenType }, []string{"at+jwt", "JWT", "application/a/b"}},
		{"options.common.validateExpiration", `false`, nil, func(c loaded) any { return c.Common.ValidateExpiration }, false},
		{"options.common.validateExpiration", `false`, nil, func(c loaded) any { return c.Common.KickExpired }, false},
		{"options.common.validateExpiration", `false`, nil, func(c loaded) any { return c.Common.RequireExpiration }, false},
		{"options.common.validateExpiration", `false`, []string{"options.common.kickExpiredClients", `true`}, func(c loaded) any { return c.Common.KickExpired }, false},
		{"options.common.requireExpiration", `false`, nil, func(c loaded) any { return c.Common.RequireExpiration }, false},
		{"options.common.requireExpiration", `true`, []string{"options.common.kickExpiredClients", `false`}, func(c loaded) any { return c.Common.RequireExpiration }, true},
		{"options.common.checkIssuedAt", `true`, nil, func(c loaded) any { return c.Common.CheckIssuedAt }, true},
		{"options.common.leewayMs", `30000`, nil, func(c loaded) any { return c.Common.Leeway }, 30 * time.Second},
		{"options.common.matchUsernameToSubject", `true`, nil, func(c loaded) any { return c.Common.MatchUsername }, true},
		{"options.common.matchClientIdToSubject", `true`, nil, func(c loaded) any { return c.Common.MatchClientID }, true},
		{"options.common.onSubjectMismatch", `"deny"`, nil, func(c loaded) any { return c.Common.OnMismatch }, MismatchDeny},
		{"options.common.usernameClaim", `"a.b"`, []string{"options.common.matchUsernameToSubject", `true`}, func(c loaded) any { return c.Common.UsernameClaim }, "a.b"},
		{"options.common.clientIdClaim", `"azp"`, []string{"options.common.matchClientIdToSubject", `true`}, func(c loaded) any { return c.Common.ClientIDClaim }, "azp"},
		{"options.common.allowSlashInIdentity", `true`, nil, func(c loaded) any { return c.Common.AllowSlash }, true},
		{"options.common.reservedNames", `["admin", "root"]`, []string{"options.common.matchUsernameToSubject", `true`}, func(c loaded) any { return c.Common.ReservedNames }, []string{"admin", "root"}},
		{"options.common.reservedNames", `"admin"`, []string{"options.common.matchClientIdToSubject", `true`}, func(c loaded) any { return c.Common.ReservedNames }, []string{"admin"}},
		{"options.common.kickExpiredClients", `false`, nil, func(c loaded) any { return c.Common.KickExpired }, false},
		{"options.common.kickExpiredClients", `false`, nil, func(c loaded) any { return c.Common.RequireExpiration }, false},
		{"options.common.kickExpiredClientsWithWill", `false`, nil, func(c loaded) any { return c.Common.KickWithWill }, false},
		{"options.common.onNonToken", `"deny"`, nil, func(c loaded) any { return c.OnNonToken }, NonTokenDeny},
		{"options.common.allowWeakKeys", `true`, nil, func(c loaded) any { return c.Common.AllowWeakKeys }, true},
		{"options.common.rememberVerified", `false`, nil, func(c loaded) any { return c.Common.RememberVerified }, false},
		{"options.common.logLogins", `true`, nil, func(c loaded) any { return c.Common.LogLogins }, true},
		{"options.metrics.listen", `"127.0.0.1:9641"`, nil, func(c loaded) any { return c.Metrics.Listen }, "127.0.0.1:9641"},
		{"options.metrics.listen", `"[::1]:9641"`, nil, func(c loaded) any { return c.Metrics.Listen }, "[::1]:9641"},
		{"options.metrics.listen", `"localhost:80"`, nil, func(c loaded) any { return c.Metrics.Listen }, "localhost:80"},
		{"options.audit.filePath", `"audit.jsonl"`, nil, func(c loaded) any { return c.Audit.FilePath }, filepath.Join(dir, "audit.jsonl")},
		{"options.audit.syslog", `true`, nil, func(c loaded) any { return c.Audit.Syslog }, true},
		{"options.common.maxSessionMs", `1000`, nil, func(c loaded) any { return c.Common.MaxSession }, time.Second},
		{"options.common.maxSessionMs", `31536000000`, nil, func(c loaded) any { return c.Common.MaxSession }, 365 * 24 * time.Hour},
		{"options.enhancedAuth.methods", `["OAUTH2-JWT", "ours"]`, nil, func(c loaded) any { return c.EnhancedAuth.Methods }, []string{"OAUTH2-JWT", "ours"}},
		{"options.enhancedAuth.methods", `"ours"`, nil, func(c loaded) any { return c.EnhancedAuth.Methods }, []string{"ours"}},
		{"options.enhancedAuth.methods", `[]`, nil, func(c loaded) any { return len(c.EnhancedAuth.Methods) }, 0},
		{"options.control.renew", `false`, nil, func(c loaded) any { return c.Control.Renew }, false},
		{admins, `["ops", {"username": "ops"}]`, matched, func(c loaded) any { return c.Control.Admins }, []Admin{{Username: "ops"}, {Username: "ops", ByToken: true}}},
		{"options.common.maxTokenBytes", `65535`, nil, func(c loaded) any { return c.MaxTokenBytes }, 65535},

		{"options.revocation.onUnavailable", `"allow"`, client, func(c loaded) any { return c.Revocation.OnUnavailable }, UnavailableAllow},
		{"options.revocation.check", `"afterConnect"`, client, func(c loaded) any { return c.Revocation.Check }, CheckAfterConnect},
		{"options.revocation.check", `"afterConnect"`, plainClient, func(c loaded) any { return c.Revocation.Check }, CheckAfterConnect},
		{"options.revocation.check", `"onRetry"`, client, func(c loaded) any { return c.Revocation.Check }, CheckOnRetry},
		{"options.revocation.check", `"onRetry"`, inOpaque, func(c loaded) any { return c.Revocation.Check }, CheckOnRetry},
		{"options.revocation.retryWindowMs", `1000`, onRetry, func(c loaded) any { return c.Revocation.RetryWindow }, time.Second},
		{"options.revocation.retryWindowMs", `6e5`, onRetry, func(c loaded) any { return c.Revocation.RetryWindow }, 10 * time.Minute},
		{"options.revocation.retryWindowMs", `30000`, inOpaque, func(c loaded) any { return c.Revocation.RetryWindow }, 30 * time.Second},
		{"options.revocation.maxConcurrent", `1`, client, func(c loaded) any { return c.Revocation.MaxConcurrent }, 1},
		{"options.revocation.maxConcurrent", `1024`, plainClient, func(c loaded) any { return c.Revocation.MaxConcurrent }, 1024},
		{"options.revocation.recheckIntervalMs", `1000`, client, func(c loaded) any { return c.Revocation.RecheckInterval }, time.Second},
		{"options.revocation.recheckIntervalMs", `86400000`, plainClient, func(c loaded) any { return c.Revocation.RecheckInterval }, 24 * time.Hour},
		{"options.revocation.recheckIntervalMs", `60000`, inOpaque, func(c loaded) any { return c.Revocation.RecheckInterval }, time.Minute},
		{"options.revocation.cache.ttlMs", `30000`, client, func(c loaded) any { return c.Revocation.Cache.TTL }, 30 * time.Second},
		{"options.revocation.cache.negativeTtlMs", `5000`, client, func(c loaded) any { return c.Revocation.Cache.NegativeTTL }, 5 * time.Second},
		{"options.revocation.cache.negativeTtlMs", `300000`, client, func(c loaded) any { return c.Revocation.Cache.NegativeTTL }, 5 * time.Minute},
		{"options.revocation.cache.maxEntries", `1`, client, func(c loaded) any { return c.Revocation.Cache.MaxEntries }, 1},
		{"options.revocation.timeoutMs", `5000`, client, func(c loaded) any { return c.Revocation.Timeout }, 5 * time.Second},
		{introspect + ".uri", `"https://idp.test/i"`, nil, func(c loaded) any { return c.Revocation.Introspection.URI }, "https://idp.test/i"},
		{introspect + ".clientId", `"b"`, client[:2], func(c loaded) any { return c.Revocation.Introspection.ClientID }, "b"},
		{introspect + ".clientSecret", `"s"`, client, secretOf, "s"},
		{introspect + ".clientSecret", `{"plain": "s"}`, client, secretOf, "s"},
		{introspect + ".clientSecret", `{"env": "GO_JWT_AUTH_SECRET"}`, client, secretOf, "from the environment\n"},
		{introspect + ".clientSecret", `{"filePath": "secret"}`, client, secretOf, "from the file\n"},
		{introspect + ".includeTokenTypeHint", `true`, client, hint, true},
		{introspect + ".includeTokenTypehint", `true`, client, hint, true},

		{
			introspect + ".requestParameters", `{"plain": {"method": "PUT", "path": "/i?a=%20", "headers": {"X-A": "b", "X-N": 1.50}, "payload": {"realm": "a", "n": 1, "b": true}}}`, client,
			func(c loaded) any { return c.Revocation.Introspection.Request },
			Request{
				Method: "PUT", Path: "/i?a=%20", Headers: []Header{{"X-A", "b"}, {"X-N", "1.50"}},
				Payload: map[string]any{"realm": "a", "n": json.Number("1"), "b": true},
			},
		},
		{
			introspect + ".requestParameters", `{"plain": {"payload": {"token": "#:jwt_value:#"}}}`, client,
			func(c loaded) any { return c.Revocation.Introspection.Request.Payload },
			map[string]any{"token": "#:jwt_value:#"},
		},
		{introspect + ".clientAuthentication", `"post"`, append(client, introspect+".clientId", `"a"`), func(c loaded) any { return c.Revocation.Introspection.ClientAuthentication }, ClientPost},
		{introspect + ".clientKey", `"pem"`, append(client, signing()...), func(c loaded) any { return c.Revocation.Introspection.ClientKey.Reveal() }, "pem"},
		{introspect + ".clientKeyId", `"k"`, append(client, append(signing(), introspect+".clientKey", `"pem"`)...), func(c loaded) any { return c.Revocation.Introspection.ClientKeyID }, "k"},
		{introspect + ".requestParameters", `{"env": "GO_JWT_AUTH_REQUEST"}`, client, func(c loaded) any { return c.Revocation.Introspection.Request }, Request{Method: "PUT"}},

		{"options.revocation.timeoutMs", `5000`, plainClient, func(c loaded) any { return c.Revocation.Timeout }, 5 * time.Second},
		{plainly + ".uri", `"https://idp.test/c?a=b"`, nil, func(c loaded) any { return c.Revocation.Plain.URI }, "https://idp.test/c?a=b"},
		{plainly + ".bodyEncoding", `"application/json"`, plainClient, func(c loaded) any { return c.Revocation.Plain.BodyEncoding }, BodyJSON},
		{parameters, `{"plain": {"method": "GET", "path": "/#:jwt_value:#/?a=#:jwt_value:#"}}`, plainClient, plainRequestOf, Request{Method: "GET", Path: "/#:jwt_value:#/?a=#:jwt_value:#"}},
		{parameters, `{"plain": {"method": "DELETE", "headers": {"Authorization": "Bearer #:jwt_value:#"}}}`, plainClient, plainRequestOf, Request{Method: "DELETE", Headers: []Header{{"Authorization", "Bearer #:jwt_value:#"}}}},
		{parameters, `{"plain": {"method": "GET", "path": "/#:jwt_value:#", "payload": null}}`, plainClient, plainRequestOf, Request{Method: "GET", Path: "/#:jwt_value:#"}},
		{parameters, `{"plain": {"method": "PATCH"}}`, plainClient, plainRequestOf, Request{Method: "PATCH"}},
		{parameters, `{"plain": {"headers": {"A": "", "B": "ä\t"}}}`, plainClient, plainRequestOf, Request{Headers: []Header{{"A", ""}, {"B", "ä\t"}}}},
		{parameters, `{"plain": {"payload": "a=b&token=#:jwt_value:#"}}`, plainClient, plainRequestOf, Request{Payload: "a=b&token=#:jwt_value:#"}},
		{parameters, `{"plain": {"path": "/#:jwt_value:#", "payload": ""}}`, plainClient, plainRequestOf, Request{Path: "/#:jwt_value:#", Payload: ""}},
		{parameters, `{"plain": {"payload": {"#:jwt_value:#": 1}}}`, plainClient, plainRequestOf, Request{Payload: map[string]any{"#:jwt_value:#": json.Number("1")}}},
		{
			parameters, `{"plain": {"payload": [{"a": [null, "#:jwt_value:#"]}, 1e2]}}`, append(plainClient, plainly+".bodyEncoding", `"application/json"`),
			plainRequestOf,
			Request{Payload: []any{map[string]any{"a": []any{nil, "#:jwt_value:#"}}, json.Number("1e2")}},
		},
		{parameters, `{"plain": {"payload": "#:jwt_value:#"}}`, append(plainClient, plainly+".bodyEncoding", `"application/json"`), plainRequestOf, Request{Payload: "#:jwt_value:#"}},
		{parameters, `{"plain": "{\"path\": \"/#:jwt_value:#\"}"}`, plainClient, plainRequestOf, Request{Path: "/#:jwt_value:#"}},
		{parameters, `{"env": "GO_JWT_AUTH_REQUEST"}`, plainClient, plainRequestOf, Request{Method: "PUT"}},
		{parameters, `{"filePath": "request.json"}`, plainClient, plainRequestOf, Request{Path: "/#:jwt_value:#"}},
		{plainly + ".response.jsonPath", `"validation.isSuccess"`, append(plainClient, plainly+".response.successValue", `true`), func(c loaded) any { return c.Revocation.Plain.Response.JSONPath }, "validation.isSuccess"},
		{plainly + ".response.successValue", `true`, append(plainClient, plainly+".response.jsonPath", `"a"`), successOf, true},
		{plainly + ".response.successValue", `""`, append(plainClient, plainly+".response.jsonPath", `"a"`), successOf, ""},
		{plainly + ".response.successValue", `1.0`, append(plainClient, plainly+".response.jsonPath", `"a"`), successOf, json.Number("1.0")},
		{codes, `[200.0, 404]`, plainClient, func(c loaded) any { return c.Revocation.Plain.Response.SuccessCodes }, []int{200, 404}},

		{"options.tls.caFile", `"file.pem"`, nil, func(c loaded) any { return c.TLS.CAFile }, filepath.Join(dir, "file.pem")},
		{"options.tls.certFile", `"file.pem"`, []string{"options.tls.keyFile", `"secret"`}, func(c loaded) any { return c.TLS.CertFile }, filepath.Join(dir, "file.pem")},
		{"options.tls.keyFile", `"secret"`, []string{"options.tls.certFile", `"file.pem"`}, func(c loaded) any { return c.TLS.KeyFile }, filepath.Join(dir, "secret")},
		{"options.authorization.rules", `[{"claim": "a.b", "format": "topics"}, {"format": "publ-subs"}, {"claim": "acl", "format": "emqx"}]`, nil, func(c loaded) any { return c.Authorization.Rules }, []RightsClaim{{"a.b", RightsTopics}, {"", RightsPublSubs}, {"acl", RightsEMQX}}},
		{"options.authorization.grants", `[{"scope": "a", "publish": "b/#"}, {"claim": "c.d", "value": [1, true, "x"], "publish": ["+/{sub}", "{{{claim:e f/g}}}"], "subscribe": ["{username}"]}, {"everyone": true, "subscribe": "#"}]`, matched, grantsOf, []string{
			"a  [] false [b/#] []\n", " c.d [1 true x] false [+/{sub} {{{claim:e f/g}}}] [{username}]\n", "  [] true [] [#]\n",
		}},
		{"options.authorization.onNoMatch", `"defer"`, granting, func(c loaded) any { return c.Authorization.OnNoMatch }, NoMatchDefer},
		{"options.authorization.maxRules", `1024`, granting, func(c loaded) any { return c.Authorization.MaxRules }, 1024},
		{"options.authorization.logDenied", `true`, granting, func(c loaded) any { return c.Authorization.LogDenied }, true},
		{"options.tls.insecureSkipVerify", `true`, nil, func(c loaded) any { return c.TLS.InsecureSkipVerify }, true},
	}
}

// file is a whole jwt.json with the key.
func (e effect) file() string { return with(append([]string{e.key, e.value}, e.with...)...) }

// without is the same one without the key.
func (e effect) without() string { return with(append([]string{e.key, ""}, e.with...)...) }

// Every key changes what it is to change: the field differs from what the same file without the key gives.
func TestKeyHasEffect(t *testing.T) {
	dir := workshop(t)
	covered := map[string]bool{"$.$schema": true, "$.version": true, "$.providers": true} // TestVersionAndSchema, TestSeveralProviders
	for _, e := range effects(dir) {
		covered["$."+e.key] = true
		t.Run(e.key+" "+e.value, func(t *testing.T) {
			config, problems := load(t, dir, e.file())
			if config == nil {
				t.Fatalf("%s\n%v", e.file(), problems)
			}
			if got := e.got(loaded{config, config.Providers[0]}); !reflect.DeepEqual(got, e.want) {
				t.Errorf("%s\ngot  %#v\nwant %#v", e.file(), got, e.want)
			}
			without, problems := load(t, dir, e.without())
			if without != nil && sameSections(without.Providers[0], config.Providers[0]) && reflect.DeepEqual(e.got(loaded{without, without.Providers[0]}), e.want) {
				t.Errorf("the same without the key: %v", problems)
			}
		})
	}
	for _, k := range slices.Concat(fileKeys(), brokerKeys(defaults()), providerKeys(providerDefaults("$"))) {
		if !covered["$."+k.path] {
			t.Errorf("%s has no case", k.path)
		}
	}
}

// sameSections says whether what e.got looks into is there in both.
func sameSections(a, b *Provider) bool {
	if a.Authorization == nil || b.Authorization == nil {
		return a.Authorization == b.Authorization
	}
	if a.Revocation == nil || b.Revocation == nil {
		return a.Revocation == b.Revocation
	}
	return (a.Revocation.Plain == nil) == (b.Revocation.Plain == nil)
}

func TestVersionAndSchema(t *testing.T) {
	for _, file := range versions() {
		mustLoad(t, t.TempDir(), file)
	}
}

func versions() []string {
	return []string{
		with("version", `1`), with("version", `"1"`), with("version", `1.0`),
		with("$schema", `"https://example.com/jwt.schema.json"`), with("$schema", `{}`),
	}
}

func TestTokenTypeHintInBothSpellings(t *testing.T) {
	for _, value := range []string{"true", "false"} {
		c := mustLoad(t, t.TempDir(), revoking(introspect+".includeTokenTypeHint", value, introspect+".includeTokenTypehint", value))
		if got := c.Revocation.Introspection.TokenTypeHint; got != (value == "true") {
			t.Errorf("%s: got %v", value, got)
		}
	}
}

// The example that users of the commercial plugin follow.
func TestTutorial(t *testing.T) {
	t.Run("as published", func(t *testing.T) {
		text, err := os.ReadFile("testdata/tutorial.json")
		if err != nil {
			t.Fatal(err)
		}
		c, problems := load(t, t.TempDir(), string(text))
		want := []string{
			`tutorial.json:9:24: error: $.options.modes.jwks.uri: still holds the placeholder "<YOUR-KEYCLOAK-OR-IAM>": put the host name or path of your identity provider there`,
			`tutorial.json:27:24: error: $.options.revocation.introspection.uri: still holds the placeholder "<YOUR-KEYCLOAK-OR-IAM>": put the host name or path of your identity provider there`,
		}
		if got := problems.Lines("tutorial.json"); c != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("with its host names changed", func(t *testing.T) {
		text, err := os.ReadFile("testdata/tutorial.json")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		got, problems := load(t, dir, strings.ReplaceAll(string(text), "<YOUR-KEYCLOAK-OR-IAM>", "idp.example.com:8080"))
		if got == nil || problems.Error() != "$.options.modes.jwks.uri: "+PlaintextWarning+"\n$.options.revocation.introspection.uri: "+PlaintextWarning {
			t.Fatalf("got %q", problems)
		}
		want := Provider{
			Path:       At("$"),
			Algorithms: []string{"RS256"},
			Mode:       ModeJWKS,
			JWKS: JWKS{
				URI:      "http://idp.example.com:8080/realms/test/protocol/openid-connect/certs",
				Timeout:  5 * time.Second,
				MaxBlock: 250 * time.Millisecond,
				Cache:    JWKSCache{Enabled: true, TTL: 30 * time.Second, MaxStale: 24 * time.Hour},
			},
			Common: Common{
				ValidateExpiration: true,
				RequireExpiration:  true,
				MatchUsername:      true,
				OnMismatch:         MismatchRewrite,
				UsernameClaim:      "sub",
				ClientIDClaim:      "sub",
				KickExpired:        true,
				KickWithWill:       true,
				RememberVerified:   true,
			},
			Revocation: &Revocation{
				Timeout:       5 * time.Second,
				Cache:         AnswerCache{MaxEntries: 10_000},
				OnUnavailable: UnavailableDeny,
				Check:         CheckBeforeConnect,
				RetryWindow:   10 * time.Second,
				MaxConcurrent: 64,
				Introspection: Introspection{
					URI:          "http://idp.example.com:8080/realms/test/protocol/openid-connect/token/introspect",
					ClientID:     "client-id",
					ClientSecret: NewSecret("secret"),

					ClientAuthentication: ClientBasic,
				},
			},
		}
		if !reflect.DeepEqual(*got.Providers[0], want) {
			t.Errorf("got  %+v\nwant %+v", *got.Providers[0], want)
		}
	})
}
