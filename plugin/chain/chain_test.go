package chain_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// TestTrace: the verdict on a login, and every check that led to it. PROVIDER stands for the provider's address, FILE
// for the JWKS file.
func TestTrace(t *testing.T) {
	p := testidp.New(t)
	key, stranger := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	claims := func(change ...any) object {
		all := object{"iss": "https://idp.test", "sub": "alice", "aud": "mqtt", "exp": now + 60, "iat": now, "scope": "a b", "role": []string{"x"}}
		for i := 0; i < len(change); i += 2 {
			all[change[i].(string)] = change[i+1]
		}
		return all
	}
	strict := func(cfg *config.Provider) *config.Provider {
		c := &cfg.Common
		c.Issuers, c.Audience, c.RequiredScopes, c.TokenType = []config.Issuer{config.ExactIssuer("https://idp.test")}, []string{"mqtt"}, []string{"a"}, []string{"JWT"}
		c.RequiredClaims = []config.RequiredClaim{{Path: "role", Values: []any{"x", "y"}}}
		c.MatchUsername, c.MatchClientID, c.CheckIssuedAt = true, true, true
		return cfg
	}
	remote, file := strict(p.Config("ES256", "EdDSA")), testidp.InFile(t, key)
	revoked := testidp.Answer(200, `{"active":false}`)
	all := strings.Join([]string{
		`ok shape: expected a signed token, found a signed token`,
		`ok alg: expected ES256, EdDSA, found ES256`,
		`ok typ: expected JWT, found JWT`,
		`ok kid: expected a key of PROVIDER/keys, found "k"`,
		`ok signature: expected valid, found valid`,
		`ok iss: expected "https://idp.test", found "https://idp.test"`,
		`ok aud: expected one of "mqtt", found "mqtt"`,
		`ok role: expected one of "x", "y", found ["x"]`,
		`ok scope: expected "a", found "a b"`,
		`ok iat: expected not after now, found 2026-11-23T15:00:00Z`,
		`ok exp: expected after now, found 2026-11-23T15:01:00Z`,
		`ok username: expected from sub, found "alice"`,
		`ok client id: expected from sub, found "alice"`,
	}, "\n")
	until := func(last string) string {
		before, _, _ := strings.Cut(all, "ok "+last)
		return before
	}
	cases := []struct {
		rule       string
		cfg        *config.Provider
		password   string
		introspect http.HandlerFunc // nil: says that it is active
		verdict    string
		trace      string
	}{
		{
			"a good token", remote, key.Sign(claims()), nil, "accept",
			all + "\nok introspection: expected \"active\": true, found \"active\": true",
		},
		{
			"revoked", remote, key.Sign(claims()), revoked, `revoked: PROVIDER/introspect says that it is not active: "active": false` + audienceHint,
			all + "\nno introspection: expected \"active\": true, found \"active\": false",
		},
		{
			"provider at fault", remote, key.Sign(claims()), testidp.Answer(500, ""), "provider unavailable: POST PROVIDER/introspect: answered 500 Internal Server Error",
			all + "\nno introspection: expected \"active\": true, found POST PROVIDER/introspect: answered 500 Internal Server Error",
		},
		{
			"unsafe identity", remote, key.Sign(claims("sub", "a/#")), nil, `unsafe identity: sub is "a/#", which holds a topic wildcard`,
			until("username") + `no sub: expected fit for topic patterns, found "a/#"`,
		},
		{
			"expired", remote, key.Sign(claims("exp", now-60)), nil, "expired: exp is 2026-11-23T14:59:00Z, 60 s ago",
			until("exp") + "no exp: expected after now, found 2026-11-23T14:59:00Z",
		},
		{
			"from the future", remote, key.Sign(claims("iat", now+60)), nil,
			"not yet valid: iat is 2026-11-23T15:01:00Z, 60 s ahead of the broker's clock ($.options.common.leewayMs grants a skew)",
			until("iat") + "no iat: expected not after now, found 2026-11-23T15:01:00Z",
		},
		{
			"missing scope", remote, key.Sign(claims("scope", "b")), nil, `missing scope: scope must be "a", found "b"`,
			until("scope") + `no scope: expected "a", found "b"`,
		},
		{
			"missing claim", remote, key.Sign(claims("role", "z")), nil, `missing claim: role must be one of "x", "y", found "z"`,
			until("role") + `no role: expected one of "x", "y", found "z"`,
		},
		{
			"wrong audience", remote, key.Sign(claims("aud", []string{})), nil, `wrong audience: aud must be one of "mqtt", found []`,
			until("aud") + `no aud: expected one of "mqtt", found []`,
		},
		{
			"wrong issuer", remote, key.Sign(claims("iss", "https://idp.test/")), nil, `wrong issuer: iss must be "https://idp.test", found "https://idp.test/"`,
			until("iss") + `no iss: expected "https://idp.test", found "https://idp.test/"`,
		},
		{
			"forged", remote, stranger.Sign(claims()), nil, `bad signature: no key with kid "k" verifies it by ES256`,
			until("signature") + "no signature: expected valid, found invalid",
		},
		{
			"unknown key", remote, stranger.SignWith(object{"kid": "x"}, claims()), nil, `unknown key: kid "x" at PROVIDER/keys: no key of the set fits`,
			until("kid") + `no kid: expected a key of PROVIDER/keys, found "x"`,
		},
		{
			"wrong type", remote, key.SignWith(object{"typ": "at+jwt"}, claims()), nil, `wrong token type: typ must be JWT, found "at+jwt"`,
			until("typ") + `no typ: expected JWT, found "at+jwt"`,
		},
		{
			"critical extensions", remote, key.SignWith(object{"crit": []string{"x"}}, claims()), nil, "malformed token: crit must be absent, found critical extensions",
			until("typ") + "no crit: expected absent, found critical extensions",
		},
		{
			"wrong algorithm", remote, key.SignWith(object{"alg": "none"}, claims()), nil, `wrong algorithm: alg must be ES256, EdDSA, found "none"`,
			until("alg") + `no alg: expected ES256, EdDSA, found "none"`,
		},
		{
			"encrypted", remote, b64(`{"alg":"dir","enc":"A256GCM"}`) + "....", nil, "encrypted token: an encrypted token (JWE) can be read by its recipient alone",
			"no shape: expected a signed token, found an encrypted token",
		},
		{
			"too long", remote, strings.Repeat("x", 16385), nil, "too long: 16385 bytes, the most is 16384 ($.options.common.maxTokenBytes)",
			"no length: expected at most 16384 bytes, found 16385",
		},
		{"the longest", remote, strings.Repeat("x", 16384), nil, "defer", "no shape: expected a signed token, found a password of another kind"},
		{
			"the least configuration, keys in a file", file, key.Sign(object{"exp": now + 60}), nil, "accept",
			"ok shape: expected a signed token, found a signed token\nok alg: expected ES256, found ES256\n" +
				"ok kid: expected a key of FILE, found \"k\"\nok signature: expected valid, found valid\nok exp: expected after now, found 2026-11-23T15:01:00Z",
		},
		{
			"malformed", file, key.SignRaw(`{"alg":"ES256"}`, "x"), nil, "malformed token: its payload can't be read: it is not JSON",
			"ok shape: expected a signed token, found a signed token\nok alg: expected ES256, found ES256\n" +
				"no encoding: expected base64url and JSON, found its payload can't be read: it is not JSON",
		},
		{
			"malformed header: a token, and not for the next plugin", file, key.SignRaw(`{"alg":"ES256","alg":"none"}`, "{}"), nil,
			`malformed token: its header can't be read: it has a name twice in one object: "alg"`,
			"ok shape: expected a signed token, found a signed token\n" +
				`no header: expected one that can be read, found its header can't be read: it has a name twice in one object: "alg"`,
		},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			introspect := c.introspect
			if introspect == nil {
				introspect = testidp.Answer(200, `{"active":true}`)
			}
			p.Does(nil, introspect)
			judge, _ := newChain(t, c.cfg)
			result := judge.Check(t.Context(), login(c.password))
			short := strings.NewReplacer(p.URL, "PROVIDER", file.JWKS.FilePath, "FILE").Replace
			if got := short(result.String()); got != c.verdict {
				t.Errorf("got  %s\nwant %s", got, c.verdict)
			}
			if got := short(show(*result.Trace)); got != c.trace {
				t.Errorf("got\n%s\nwant\n%s", got, c.trace)
			}
			if result.Kind != verdict.Accept && c.introspect == nil && strings.Contains(p.Requests(), "/introspect") {
				t.Error("the provider was asked about a token that was refused before")
			}
			p.Requests()
		})
	}
}

// TestNonTokens are left to others, or refused, as the configuration says.
func TestNonTokens(t *testing.T) {
	key := testkeys.New("EdDSA", "k")
	word, empty, dots, jwe := "secret", "", "..", "a.b.c.d.e"
	cases := []struct {
		rule     string
		password *string
		found    string
	}{
		{"no password", nil, "no password"},
		{"an empty one", &empty, "a password of another kind"},
		{"a word", &word, "a password of another kind"},
		{"two dots", &dots, "a password of another kind"},
		{"five parts of something", &jwe, "a password of another kind"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			file := whole(testidp.InFile(t, key))
			judge, _ := newChainOf(t, file)
			if judge.Config() != file {
				t.Error("Config is another one")
			}
			result := judge.Check(t.Context(), broker.Connect{ClientID: "c", Password: c.password})
			if want := "no shape: expected a signed token, found " + c.found; result.String() != "defer" || show(*result.Trace) != want {
				t.Errorf("got %s\n%s", result, show(*result.Trace))
			}
			file.OnNonToken = config.NonTokenDeny
			result = judge.Check(t.Context(), broker.Connect{ClientID: "c", Password: c.password})
			if want := "not a token: " + c.found + `, and $.options.common.onNonToken is "deny"`; result.Kind != verdict.Deny || result.String() != want {
				t.Errorf("got %s, want %s", result, want)
			}
		})
	}
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// audienceHint is said where the token's aud does not hold the introspecting client.
const audienceHint = `; some providers say so of a token whose aud does not hold "broker" ($.options.revocation.introspection.clientId)`
