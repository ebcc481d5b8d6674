package chain_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// In mode introspection every password is a token, whatever its shape, unless it is too long or empty.
func TestModeIntrospection(t *testing.T) {
	cases := []struct{ rule, password, answer, want string }{
		{rule: "no token by its shape", password: "12345", answer: `{"active":false}`, want: "revoked"},
		{rule: "an encrypted token", password: "eyJlbmMiOiJ4In0.a.b.c.d", answer: `{"active":true,"sub":"alice","exp":1795446060}`, want: "accept"},
		{rule: "a JWT that says something else", password: testkeys.New("ES256", "k").Sign(object{"sub": "root"}), answer: `{"active":true,"sub":"alice","exp":1795446060}`, want: "accept"},
		{rule: "too long", password: strings.Repeat("x", 16385), want: "too long"},
		{rule: "empty", password: "", want: "defer"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(nil, testidp.Answer(http.StatusOK, c.answer))
			judge, _ := newChain(t, p.Opaque())
			result := judge.Check(t.Context(), broker.Connect{ClientID: "c", Password: &c.password})
			if got := result.String(); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if result.Kind == verdict.Accept && (result.Identity.Username == nil || *result.Identity.Username != "alice" || result.Expiry.IsZero()) {
				t.Errorf("identity %+v, expiry %s", result.Identity, result.Expiry)
			}
		})
	}
	if _, err := chain.New(whole(&config.Provider{Mode: config.ModeIntrospection}), nil, provider.Options{Now: time.Now}); err == nil {
		t.Error("a chain without an endpoint to ask was built: it would let everybody in")
	}
}

func TestTokenSource(t *testing.T) {
	key := testkeys.New("ES256", "k")
	good, expired := key.Sign(object{"sub": "alice", "exp": now + 60}), key.Sign(object{"sub": "alice", "exp": now - 60})
	const password, username = config.TokenInPassword, config.TokenInUsername
	for _, c := range []struct {
		rule               string
		source             []config.TokenSource
		username, password *string
		want               verdict.Kind
	}{
		{"password", []config.TokenSource{password}, text("x"), &good, verdict.Accept},
		{"password, not the username", []config.TokenSource{password}, &good, text("x"), verdict.Defer},
		{"username", []config.TokenSource{username}, &good, text("x"), verdict.Accept},
		{"username, without a password", []config.TokenSource{username}, &good, nil, verdict.Accept},
		{"username, not the password", []config.TokenSource{username}, text("x"), &good, verdict.Defer},
		{"either, in the second", []config.TokenSource{password, username}, &good, text("x"), verdict.Accept},
		{"either, in the first", []config.TokenSource{username, password}, &good, text("x"), verdict.Accept},
		{"either, and the first is bad", []config.TokenSource{password, username}, &good, &expired, verdict.Deny},
		{"neither", []config.TokenSource{password, username}, text("x"), text("y"), verdict.Defer},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(testidp.Answer(http.StatusOK, string(testkeys.Set(key))), nil)
			cfg := p.Config("ES256")
			cfg.Revocation = nil
			cfg.Common.MatchUsername, cfg.Common.UsernameClaim = true, "sub"
			file := whole(cfg)
			file.TokenSource = c.source
			judge, _ := newChainOf(t, file)
			result := judge.Check(t.Context(), broker.Connect{ClientID: "c", Username: c.username, Password: c.password})
			if result.Kind != c.want {
				t.Errorf("got %s %s, want %s", result.Kind, result, c.want)
			}
			if result.Kind == verdict.Accept && (result.Identity.Username == nil || *result.Identity.Username != "alice") {
				t.Errorf("identity %+v", result.Identity)
			}
		})
	}
}

func text(s string) *string { return &s }
