package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// file is a jwt.json without the tutorial's parts.
func file(mode string, algorithm any, options object) object {
	c := object{"mode": mode, "options": object{"common": object{"matchUsernameToSubject": true}}}
	if algorithm != nil {
		c["algorithm"] = algorithm
	}
	for path, value := range options {
		set(c, "options."+path, value)
	}
	return c
}

// families are the algorithms with their nearest relative, whose tokens must not pass for theirs.
var families = map[string]string{
	"RS256": "PS256", "RS512": "RS256", "PS256": "RS256", "PS384": "PS256", "ES256": "ES384", "ES384": "ES256", "ES512": "ES384", "EdDSA": "ES256",
}

// Each mode with each family of algorithms takes its own token, and refuses one that a sibling has signed, whatever its
// header says.
func TestEveryModeWithEveryFamilyOfAlgorithms(t *testing.T) {
	providers := map[string]*idp.Provider{}
	for algorithm := range families {
		providers[algorithm] = ownProvider(t, idp.WithAlgorithm(algorithm))
	}
	modes := map[string]func(p *idp.Provider, algorithm string) (jwtJSON object, files map[string]string){
		"local": func(p *idp.Provider, algorithm string) (object, map[string]string) {
			return file("local", algorithm, object{"modes.local.filePath": "key.pem"}), map[string]string{"key.pem": string(p.PublicKeyPEM())}
		},
		"jwks by uri": func(p *idp.Provider, algorithm string) (object, map[string]string) {
			return file("jwks", algorithm, object{"modes.jwks": object{"uri": p.JWKSURI(), "cache": object{"enabled": true}}}), nil
		},
		"jwks by file": func(p *idp.Provider, algorithm string) (object, map[string]string) {
			return file("jwks", algorithm, object{"modes.jwks.filePath": "jwks.json"}), map[string]string{"jwks.json": fetch(t, p.JWKSURI())}
		},
		"oidc": func(p *idp.Provider, algorithm string) (object, map[string]string) {
			return file("oidc", algorithm, object{"modes.oidc.issuer": p.Issuer(), "modes.jwks.cache.enabled": true}), nil
		},
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for mode, build := range modes {
			for algorithm, sibling := range families {
				t.Run(mode+" "+algorithm, func(t *testing.T) {
					own, other := providers[algorithm], providers[sibling]
					jwtJSON, files := build(own, algorithm)
					b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", jwtJSON)}, Files: files})
					if got := knock(t, b, harness.V5, login("own", own.Token("sensor-1", time.Hour))); !got.Accepted() {
						t.Errorf("its own token: CONNECT was %v", got)
					}
					alien := []idp.TokenOption{idp.Issuer(own.Issuer()), idp.Header("kid", own.KeyID())}
					if got := knock(t, b, harness.V5, login("sibling", other.Token("sensor-1", time.Hour, alien...))); got.Accepted() {
						t.Error("a sibling's token was accepted")
					}
					b.WaitLog(refused("sibling", "wrong algorithm"))
					forged := slices.Concat(alien, []idp.TokenOption{idp.Header("alg", algorithm)})
					if got := knock(t, b, harness.V5, login("forged", other.Token("sensor-1", time.Hour, forged...))); got.Accepted() {
						t.Error("a sibling's token with another alg in its header was accepted")
					}
					b.WaitLog(refused("forged", "bad signature"))
				})
			}
		}
	})
}

func TestASharedSecret(t *testing.T) {
	const secret = "a shared secret of sixty-four bytes and then some more, to be sure"
	sign := func(algorithm, secret string) string {
		token, err := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), jwt.MapClaims{
			"sub": "sensor-1", "exp": time.Now().Add(time.Hour).Unix(), "jti": rand.Text(),
		}).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for source, local := range map[string]any{
			"as the string itself": secret,
			"as plain":             object{"plain": secret},
			"from the environment": object{"env": "E2E_SECRET"},
			"from a file":          object{"filePath": "secret"},
		} {
			t.Run(source, func(t *testing.T) {
				b := harness.Start(t, v, harness.Options{
					Plugins: []harness.Plugin{harness.JWT("jwt.json", file("local", []string{"HS256", "HS512"}, object{"modes.local": local}))},
					Files:   map[string]string{"secret": secret + "\n"},
					Env:     []string{"E2E_SECRET=" + secret},
				})
				for algorithm, ok := range map[string]bool{"HS256": true, "HS512": true, "HS384": false} {
					if got := knock(t, b, harness.V5, login(algorithm, sign(algorithm, secret))); got.Accepted() != ok {
						t.Errorf("%s: CONNECT was %v", algorithm, got)
					}
				}
				if got := knock(t, b, harness.V5, login("other", sign("HS256", strings.ToUpper(secret)))); got.Accepted() {
					t.Error("another secret's token was accepted")
				}
				if strings.Contains(b.Log(), secret) {
					t.Error("the secret stands in the log")
				}
			})
		}
		t.Run("too short is refused at start", func(t *testing.T) {
			weak := file("local", "HS256", object{"modes.local": "too short"})
			_, log := harness.StartErr(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", weak)}})
			if !matches(log, `the secret has 9 bytes, HS256 needs 32; \$\.options\.common\.allowWeakKeys admits it`) {
				t.Errorf("the log does not say why:\n%s", log)
			}
			set(weak, "options.common.allowWeakKeys", true)
			b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", weak)}})
			b.WaitLog(`weak key admitted`)
			if got := knock(t, b, harness.V5, login("c", sign("HS256", "too short"))); !got.Accepted() {
				t.Errorf("CONNECT was %v", got)
			}
		})
	})
}

func TestAJWKSFileIsReadAgainWhenItChanges(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", file("jwks", "RS256", object{"modes.jwks.filePath": "jwks.json"}))},
			Files:   map[string]string{"jwks.json": fetch(t, p.JWKSURI())},
		})
		old := p.Token("sensor-1", time.Hour)
		if got := knock(t, b, harness.V5, login("c", old)); !got.Accepted() {
			t.Fatalf("CONNECT was %v", got)
		}
		if _, err := p.Rotate(); err != nil {
			t.Fatal(err)
		}
		p.DropOldKeys()
		b.WriteFile("jwks.json", fetch(t, p.JWKSURI()))
		fresh := p.Token("sensor-1", time.Hour)
		// The file is looked at once a second.
		for deadline := time.Now().Add(harness.Patience); !knock(t, b, harness.V5, login("c", fresh)).Accepted(); {
			if time.Now().After(deadline) {
				t.Fatal("the new key was not picked up")
			}
			time.Sleep(50 * time.Millisecond)
		}
		if got := knock(t, b, harness.V5, login("c", old)); got.Accepted() {
			t.Error("the old key still works")
		}
		b.WaitLog(`the keys at .*jwks.json have changed`)
	})
}

// Discovery names the introspection endpoint, too; another issuer's document is refused.
func TestDiscovery(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		jwtJSON := file("oidc", "RS256", object{
			"modes.oidc.issuer": p.Issuer(), "modes.jwks.cache.enabled": true,
			"revocation.introspection": object{"clientId": p.Broker().ID, "clientSecret": p.Broker().Secret},
		})
		b := start(t, v, jwtJSON)
		b.WaitLog(`issuer ` + p.Issuer())
		token := p.Token("sensor-1", time.Hour)
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted()
		if p.Requests(idp.Introspect) != 1 {
			t.Error("the introspection endpoint of the document was not asked")
		}
		if err := p.Revoke(token); err != nil {
			t.Fatal(err)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Refused()
		harness.Connect(t, b.URL(0), harness.Paho5, login("d", p.Token("sensor-1", time.Hour, idp.Issuer("https://evil.example")))).Refused()
		b.WaitLog(refused("d", "wrong issuer"))

		set(jwtJSON, "options.modes.oidc.issuer", p.Issuer()+"/")
		_, log := harness.StartErr(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", jwtJSON)}})
		if !matches(log, `it is the document of issuer "`+p.Issuer()+`", expected exactly "`+p.Issuer()+`/"`) {
			t.Errorf("the log does not say whose document it is:\n%s", log)
		}
	})
}

func TestOpaqueTokens(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, file("introspection", nil, object{
			"common.requiredScopes": "mqtt",
			"revocation.introspection": object{
				"uri": p.IntrospectionURI(), "clientId": p.Broker().ID, "clientSecret": p.Broker().Secret,
			},
		}))
		observer := answered(t, b, harness.Paho5, login("observer", p.Opaque("observer", time.Hour, idp.Scope("mqtt")))).Accepted()
		observer.Subscribe("#", 1)
		token := p.Opaque("sensor-1", short, idp.Scope("openid", "mqtt"))
		l := login("c", token)
		l.Will = &harness.Will{Topic: "sensors/1/will", Payload: "gone"}
		c := answered(t, b, harness.Paho5, l).Accepted()
		if code := c.Subscribe("sensors/1/a", 1); code >= 0x80 {
			t.Errorf("SUBACK 0x%02x", code)
		}
		// A JWT of the provider is as good.
		answered(t, b, harness.Paho3, login("d", p.Token("sensor-1", time.Hour, idp.Scope("mqtt")))).Accepted()
		for id, bad := range map[string]struct{ token, reason string }{
			"no-scope": {p.Opaque("sensor-1", time.Hour, idp.Scope("openid")), "missing scope"},
			"rubbish":  {"some rubbish", "revoked"},
			"expired":  {p.Opaque("sensor-1", -time.Minute, idp.Scope("mqtt")), "revoked"},
		} {
			answered(t, b, harness.Paho5, login(id, bad.token)).Refused()
			b.WaitLog(refused(id, bad.reason))
		}
		if left := c.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v, want 0x98", left)
		}
		observer.WaitMessage("sensors/1/will")
	})
}

// A token in the username, for clients that can send no long password, or in either.
func TestTokenSource(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		token := p.Token("sensor-1", time.Hour)
		for name, c := range map[string]struct {
			source any
			l      harness.Login
			ok     bool
		}{
			"username":                          {"username", harness.Login{Username: &token}, true},
			"username, with a password":         {"username", harness.Login{Username: &token, Password: new("x")}, true},
			"not the password":                  {"username", harness.Login{Username: new("x"), Password: &token}, false},
			"either, in the password":           {[]string{"password", "username"}, harness.Login{Username: new("x"), Password: &token}, true},
			"either, in the username":           {[]string{"password", "username"}, harness.Login{Username: &token, Password: new("x")}, true},
			"either, a bad one goes no further": {[]string{"password", "username"}, harness.Login{Username: &token, Password: new(p.Token("sensor-1", -time.Hour))}, false},
		} {
			t.Run(name, func(t *testing.T) {
				b := start(t, v, config(t, p, object{"options.common.tokenSource": c.source}))
				c.l.ClientID = "c"
				if got := knock(t, b, harness.V5, c.l); got.Accepted() != c.ok {
					t.Errorf("CONNECT was %v", got)
				}
				if c.ok {
					raw, err := harness.Dial(b.URL(0), harness.V5)
					if err != nil {
						t.Fatal(err)
					}
					defer raw.Close()
					if got, err := raw.Connect(c.l); err != nil || !got.Accepted() {
						t.Fatalf("CONNECT was %v (%v)", got, err)
					}
					mark := b.Mark()
					b.Reload()
					b.WaitLogSince(mark, `reloaded .*jwt.json`)
					b.WaitLogSince(mark, `client "c" .* stays: the broker asked again`)
				}
				if strings.Contains(b.Log(), strings.Split(token, ".")[2]) {
					t.Error("the token stands in the log")
				}
			})
		}
	})
}

// An endpoint of the user's own, asked as the file says.
func TestAPlainRevocationEndpoint(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for name, c := range map[string]struct {
			plain object
			check func(r *http.Request, body string, token string) bool
			ok    string // what the endpoint answers for a good token
		}{
			"by default": {
				object{"response": object{"jsonPath": "validation.isSuccess", "successValue": true}},
				func(r *http.Request, body, token string) bool {
					return r.Method == http.MethodPost && body == "token="+token
				},
				`{"validation": {"isSuccess": true}}`,
			},
			"with every part": {
				object{
					"bodyEncoding": "application/json",
					"requestParameters": object{"plain": object{
						"method": "PUT", "path": "/check/#:jwt_value:#?x=1",
						"headers": object{"X-Token": "#:jwt_value:#", "X-Number": 5},
						"payload": object{"jwt": "#:jwt_value:#", "nested": []any{object{"n": 1}}},
					}},
					"response": object{"jsonPath": "state", "successValue": "ok", "successHttpCodes": []int{202}},
				},
				func(r *http.Request, body, token string) bool {
					var got object
					return json.Unmarshal([]byte(body), &got) == nil && got["jwt"] == token && r.Method == http.MethodPut &&
						r.URL.Path == "/check/"+token && r.URL.RawQuery == "x=1" && r.Header.Get("X-Token") == token && r.Header.Get("X-Number") == "5"
				},
				`{"state": "ok"}`,
			},
			"by status alone": {
				object{"requestParameters": object{"env": "E2E_REQUEST"}},
				func(r *http.Request, _, token string) bool {
					return r.Method == http.MethodGet && r.URL.Path == "/t/"+token
				},
				``,
			},
		} {
			t.Run(name, func(t *testing.T) {
				good, revoked := p.Token("sensor-1", time.Hour), p.Token("sensor-2", time.Hour)
				endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					raw, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					body := string(raw)
					switch {
					case r.Method == http.MethodHead:
					case c.check(r, body, good):
						if strings.Contains(c.ok, "state") {
							w.WriteHeader(http.StatusAccepted)
						}
						fmt.Fprint(w, c.ok)
					case c.check(r, body, revoked) && c.ok != "":
						if strings.Contains(c.ok, "state") {
							w.WriteHeader(http.StatusAccepted)
						}
						fmt.Fprint(w, `{"validation": {"isSuccess": false}, "state": "gone"}`)
					case c.check(r, body, revoked):
						w.WriteHeader(http.StatusForbidden)
					default:
						t.Errorf("not asked as the file says: %s %s %v %q", r.Method, r.URL, r.Header, body)
					}
				}))
				t.Cleanup(endpoint.Close)
				c.plain["uri"] = endpoint.URL + "/default"
				b := harness.Start(t, v, harness.Options{
					Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{"options.revocation": object{"plain": c.plain}}))},
					Env:     []string{`E2E_REQUEST={"method": "GET", "path": "/t/#:jwt_value:#"}`},
				})
				harness.Connect(t, b.URL(0), harness.Paho5, login("good", good)).Accepted()
				harness.Connect(t, b.URL(0), harness.Paho5, login("revoked", revoked)).Refused()
				b.WaitLog(refused("revoked", "revoked"))
				if strings.Contains(b.Log(), strings.Split(good, ".")[2]) {
					t.Error("a token stands in the log")
				}
			})
		}
	})
}

// fetch reads a document of a provider.
func fetch(t testing.TB, uri string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, uri, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %v", uri, answer.StatusCode, err)
	}
	return string(body)
}
