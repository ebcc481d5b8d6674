package chain_test

import (
	"encoding/base64"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
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

func TestResult(t *testing.T) {
	key := testkeys.New("EdDSA", "k")
	cfg := testidp.InFile(t, key)
	cfg.Common.MatchUsername = true
	judge, _ := newChain(t, cfg)
	if judge.Config().Providers[0] != cfg {
		t.Error("Config is another one")
	}

	result := judge.Check(t.Context(), login(key.Sign(object{"sub": "alice", "exp": now + 60, "jti": "id-1"})))
	if result.Kind != verdict.Accept || *result.Identity.Username != "alice" || result.Identity.ClientID != nil {
		t.Errorf("got %+v", result)
	}
	if result.Expiry.Unix() != now+60 || result.LogID != `jti "id-1"` {
		t.Errorf("expires %s, called %s", result.Expiry, result.LogID)
	}

	cfg.Common.RequireExpiration = false
	judge, _ = newChain(t, cfg)
	result = judge.Check(t.Context(), login(key.Sign(object{"sub": "alice"})))
	if result.Kind != verdict.Accept || !result.Expiry.IsZero() || !strings.HasPrefix(result.LogID, "sha256:") {
		t.Errorf("got %+v", result)
	}

	// A jti that nobody signed names no token.
	forged := testkeys.New("EdDSA", "k").Sign(object{"sub": "alice", "exp": now + 60, "jti": "id-1"})
	if result = judge.Check(t.Context(), login(forged)); !strings.HasPrefix(result.LogID, "sha256:") || result.Identity != (identity.Identity{}) || !result.Expiry.IsZero() {
		t.Errorf("got %+v", result)
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

// TestIntrospectsEachLogin: revoked between two connects, and Begin alone asks nobody.
func TestIntrospectsEachLogin(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
	judge, _ := newChain(t, p.Config("ES256"))
	good := login(key.Sign(object{"exp": now + 60}))
	steps := []struct {
		rule, want, requests string
		introspect           http.HandlerFunc
	}{
		{"active", "accept", "GET /keys, POST /introspect", testidp.Answer(200, `{"active":true}`)},
		{"still active", "accept", "POST /introspect", nil},
		{"revoked", "revoked: " + p.URL + `/introspect says that it is not active: "active": false` + audienceHint, "POST /introspect", testidp.Answer(200, `{"active":false}`)},
	}
	for _, s := range steps {
		p.Does(nil, s.introspect)
		if result := judge.Check(t.Context(), good); result.String() != s.want {
			t.Errorf("%s: got %s", s.rule, result)
		}
		if got := p.Requests(); got != s.requests {
			t.Errorf("%s: requests %s", s.rule, got)
		}
	}
	result, open := judge.Begin(t.Context(), login(key.Sign(object{"exp": now + 61})))
	if got := p.Requests(); result.Kind != verdict.Pending || got != "" {
		t.Errorf("Begin: %s, requests %s", result, got)
	}
	result, _ = open.Finish(t.Context())
	if result.Reason != verdict.Revoked {
		t.Errorf("Finish: %s", result)
	}
}

// TestSlowKeysBlockNobodyLongerThanMaxBlock: the login is put off, and its next attempt finds the key.
func TestSlowKeysBlockNobodyLongerThanMaxBlock(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	open := make(chan struct{})
	p.Does(func(w http.ResponseWriter, r *http.Request) {
		<-open
		testidp.Answer(200, string(testkeys.Set(key)))(w, r)
	}, nil)
	for _, block := range []time.Duration{0, 20 * time.Millisecond} {
		cfg := p.Config("ES256")
		cfg.JWKS.MaxBlock = block
		judge, _ := newChain(t, cfg)
		good := login(key.Sign(object{"exp": now + 60}))
		want := "keys unavailable: " + p.URL + "/keys: the key set is being fetched"
		if result := judge.Check(t.Context(), good); result.Kind != verdict.Retry || result.String() != want {
			t.Errorf("got %s %s", result.Kind, result)
		}
	}
	close(open)
	cfg := p.Config("ES256")
	judge, _ := newChain(t, cfg)
	if result := judge.Check(t.Context(), login(key.Sign(object{"exp": now + 60}))); result.Kind != verdict.Accept {
		t.Errorf("got %s", result)
	}
}

// TestLocalNeedsNoTime: mode local has no maxBlockMs, nor anything to wait for.
func TestLocalNeedsNoTime(t *testing.T) {
	key := testkeys.New("RS256", "")
	cfg := testidp.Defaults("RS256")
	cfg.Mode, cfg.Local = config.ModeLocal, config.NewSecret(key.PEM())
	judge, _ := newChain(t, cfg)
	if result := judge.Check(t.Context(), login(key.SignWith(object{"kid": "any"}, object{"exp": now + 60}))); result.Kind != verdict.Accept {
		t.Errorf("got %s", result)
	}
}

func TestNewFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	cases := []struct {
		rule   string
		change func(*config.Provider)
		want   string
	}{
		{"caFile is missing", func(c *config.Provider) { c.TLS.CAFile = missing }, "$.options.tls.caFile: open " + missing},
		{"a key that can't be used", func(c *config.Provider) { c.Mode, c.Local = config.ModeLocal, config.NewSecret("x") }, "$.options.modes.local: must be a public key in PEM"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			cfg := testidp.Defaults("ES256")
			c.change(cfg)
			if _, err := chain.New(whole(cfg), nil, provider.Options{Now: time.Now, Report: func(event.Note) {}}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestConcurrentLogins during a rotation: no good token is refused, and no forged one is let in.
func TestConcurrentLogins(t *testing.T) {
	p := testidp.New(t)
	keys := []testkeys.Key{testkeys.New("ES256", "1"), testkeys.New("ES256", "2"), testkeys.New("ES256", "3")}
	p.Does(testidp.Answer(200, string(testkeys.Set(keys[0]))), nil)
	judge, _ := newChain(t, p.Config("ES256"))
	forged := testkeys.New("ES256", "1").Sign(object{"exp": now + 60})
	// Whoever is put off while another login waits for the set comes again.
	check := func(password string) (result provider.Result) {
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			if result = judge.Check(t.Context(), login(password)); result.Kind != verdict.Retry || time.Now().After(deadline) {
				return result
			}
		}
	}
	for i, key := range keys {
		if i > 0 {
			p.Does(testidp.Answer(200, string(testkeys.Set(key, keys[i-1]))), nil) // the old one stays for a while
		}
		var done sync.WaitGroup
		for range 20 {
			done.Go(func() {
				for _, k := range keys[max(i-1, 0) : i+1] {
					if result := check(k.Sign(object{"exp": now + 60})); result.Kind != verdict.Accept {
						t.Errorf("kid %s: %s", k.ID, result)
					}
				}
				if result := check(forged); result.Kind != verdict.Deny {
					t.Errorf("forged: %s", result)
				}
			})
		}
		done.Wait()
	}
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// audienceHint is said where the token's aud does not hold the introspecting client.
const audienceHint = `; some providers say so of a token whose aud does not hold "broker" ($.options.revocation.introspection.clientId)`

// onUnavailable "allow" admits by signature and claims where the endpoint gives no answer, and in no other case.
func TestOnUnavailable(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, c := range []struct {
		rule, answer string
		status       int
		lifetime     int
		want         string
		unchecked    bool
	}{
		{"no answer", "", 500, 60, "accept", true},
		{"nonsense", "<html>", 200, 60, "accept", true},
		{"an answer", `{"active":false}`, 200, 60, "revoked", false},
		{"a good answer", `{"active":true}`, 200, 60, "accept", false},
		{"an expired token", "", 500, -60, "expired", false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(testidp.Answer(http.StatusOK, string(testkeys.Set(key))), testidp.Answer(c.status, c.answer))
			cfg := p.Config("ES256")
			cfg.Revocation.OnUnavailable = config.UnavailableAllow
			judge, _ := newChain(t, cfg)
			result := judge.Check(t.Context(), login(key.Sign(object{"sub": "alice", "exp": now + c.lifetime})))
			if got := result.String(); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if result.Unchecked != c.unchecked || strings.HasPrefix(result.Note, "provider unavailable: POST") != c.unchecked {
				t.Errorf("unchecked %t, note %q", result.Unchecked, result.Note)
			}
		})
	}
	t.Run("never in mode introspection", func(t *testing.T) {
		p := testidp.New(t)
		p.Does(nil, testidp.Answer(http.StatusInternalServerError, ""))
		cfg := p.Opaque()
		cfg.Revocation.OnUnavailable = config.UnavailableAllow // the configuration refuses it, too
		judge, _ := newChain(t, cfg)
		if result := judge.Check(t.Context(), login("opaque")); result.Kind != verdict.Deny {
			t.Errorf("got %s", result)
		}
	})
}
