package provider_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// What every login would find is found by a token that nobody holds.
func TestTryCredentials(t *testing.T) {
	const path = "! $.options.revocation.introspection: "
	const unusable = path + "the endpoint gives no usable answer about a made-up token, and so logins will be refused: POST PROVIDER/introspect: "
	const wayOut = ". The provider lists its addresses at <issuer>/.well-known/openid-configuration"
	for _, c := range []struct {
		rule   string
		says   http.HandlerFunc
		change func(*config.Provider)
		want   string
	}{
		{"as it should", testidp.Answer(200, `{"active":false}`), nil, "the introspection endpoint answers as it should: a made-up token is not active"},
		{"wrong credentials", testidp.Answer(401, ""), nil, unusable + "answered 401 Unauthorized: it does not accept $.options.revocation.introspection.clientId and clientSecret, sent by clientAuthentication \"basic\""},
		{"may not ask", testidp.Answer(403, ""), nil, unusable + "answered 403 Forbidden: it does not accept"},
		{"not there", http.NotFound, nil, unusable + "answered 404 Not Found" + wayOut},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, nil, unusable + "answered 302 Found to PROVIDER"},
		{"a login page", testidp.Answer(200, "<html>"), nil, unusable + "the answer is no introspection response (RFC 7662 §2.2): it is not JSON"},
		{"down", testidp.Answer(503, ""), nil, unusable + "answered 503"},
		{
			"down, and everybody is let in then", testidp.Answer(503, ""), func(c *config.Provider) { c.Revocation.OnUnavailable = config.UnavailableAllow },
			path + "the endpoint gives no usable answer about a made-up token, and so logins will not be asked about, and revoked tokens let in: ",
		},
		{"all is active", testidp.Answer(200, `{"active":true}`), nil, path + "the endpoint says of a made-up token that it is active: it would let in whatever was revoked or forged"},
		{"a token that it can't read", testidp.Answer(400, ""), nil, "the introspection endpoint was asked about a made-up token, which says nothing of the credentials: POST PROVIDER/introspect: answered 400 Bad Request"},
		{"opaque tokens", testidp.Answer(401, ""), func(c *config.Provider) { c.Mode = config.ModeIntrospection }, unusable + "answered 401"},
		{"a plain endpoint is not asked", testidp.Answer(200, ""), func(c *config.Provider) {
			c.Revocation.Plain = &config.Plain{URI: c.Revocation.Introspection.URI, BodyEncoding: config.BodyForm, Response: config.Response{SuccessCodes: []int{200}}}
		}, ""},
		{"no endpoint", nil, func(c *config.Provider) { c.Revocation = nil }, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := testidp.New(t)
			p.Does(nil, c.says)
			cfg := p.Config("ES256")
			cfg.Revocation.Introspection.ClientID, cfg.Revocation.Introspection.ClientAuthentication = "broker", config.ClientBasic
			cfg.Revocation.Introspection.ClientSecret = config.NewSecret("marked")
			if c.change != nil {
				c.change(cfg)
			}
			judge, said := newProvider(t, cfg)
			var got []string
			for _, f := range judge.TryCredentials(t.Context()) {
				text := strings.ReplaceAll(f.Text, p.URL, "PROVIDER")
				if f.Level == event.Warning {
					text = "! " + text
				}
				got = append(got, text)
			}
			if all := strings.Join(got, "\n"); !strings.HasPrefix(all, c.want) || len(got) > 1 || (c.want == "") != (all == "") {
				t.Errorf("got  %s\nwant %s…", all, c.want)
			}
			if all := strings.Join(got, "") + said.All(); strings.Contains(all, "marked") || strings.Contains(all, "(a token)") {
				t.Errorf("a secret or the token is told: %s", all)
			}
			if asked := p.Requests(); asked != map[bool]string{true: "POST /introspect"}[c.want != ""] {
				t.Errorf("requests %s", asked)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if found := judge.TryCredentials(ended); len(found) > 0 {
				t.Errorf("said when it was given up: %v", found)
			}
		})
	}
}

// However often it fails, logins are judged as if nothing had been asked.
func TestTryCredentialsLeavesNothingBehind(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(200, string(testkeys.Set(key))), testidp.Answer(500, ""))
	judge, said := newProvider(t, p.Config("ES256"))
	for range 20 {
		judge.TryCredentials(t.Context())
	}
	p.Does(nil, testidp.Answer(200, `{"active":true}`))
	if result := check(t, judge, key.Sign(object{"exp": now + 60})); result.Kind != verdict.Accept {
		t.Errorf("got %s", result)
	}
	if said.All() != "" {
		t.Errorf("reported %s", said.All())
	}
}
