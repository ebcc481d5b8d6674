package glewlwyd_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/test/glewlwyd"
)

// These are the facts that the end-to-end tests build on.
func TestGlewlwyd(t *testing.T) {
	s := glewlwyd.Start(t)

	for _, test := range []struct {
		grant      string
		obtain     func(testing.TB) string
		subject    string // empty: unknown, but there
		introspect map[string]any
	}{
		{"client credentials", s.Token, glewlwyd.ClientID, map[string]any{"sub": nil, "username": nil}},
		{"password", s.UserToken, "", map[string]any{"username": glewlwyd.User}},
	} {
		t.Run(test.grant, func(t *testing.T) {
			token := test.obtain(t)

			claims := verify(t, s, token)
			subject, _ := claims["sub"].(string)
			if subject == "" || test.subject != "" && subject != test.subject {
				t.Errorf("sub is %q, want %q", subject, test.subject)
			}
			if claims["iss"] != s.Issuer() || claims["aud"] != "mqtt" || claims["client_id"] != glewlwyd.ClientID {
				t.Errorf("claims are %v", claims)
			}

			answer := introspect(t, s, token)
			if answer["active"] != true || answer["client_id"] != glewlwyd.ClientID || answer["jti"] != claims["jti"] {
				t.Errorf("introspection says %v", answer)
			}
			if iss, ok := answer["iss"]; ok {
				t.Errorf("introspection has iss %v", iss)
			}
			for name, want := range test.introspect {
				if answer[name] != want {
					t.Errorf("introspection has %s %v, want %v", name, answer[name], want)
				}
			}

			other := test.obtain(t)
			s.Revoke(t, token)
			if answer := introspect(t, s, token); answer["active"] != false {
				t.Errorf("after revocation: %v", answer)
			}
			if answer := introspect(t, s, other); answer["active"] != true {
				t.Errorf("another token after the revocation: %v", answer)
			}
		})
	}

	t.Run("a wrong secret is unauthorized", func(t *testing.T) {
		if response := post(t, s.IntrospectionURI(), "wrong", s.Token(t)); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s, want 401", response.Status)
		}
	})
	t.Run("HEAD is not found", func(t *testing.T) {
		for _, uri := range []string{s.JWKSURI(), s.IntrospectionURI()} {
			response, err := http.Head(uri)
			if err != nil {
				t.Fatal(err)
			}
			if err := response.Body.Close(); err != nil {
				t.Error(err)
			}
			if response.StatusCode != http.StatusNotFound {
				t.Errorf("HEAD %s: %s", uri, response.Status)
			}
		}
	})
	t.Run("discovery names the endpoints", func(t *testing.T) {
		var got map[string]any
		get(t, s.Issuer()+"/.well-known/openid-configuration", &got)
		for name, want := range map[string]string{
			"issuer":                 s.Issuer(),
			"jwks_uri":               s.JWKSURI(),
			"token_endpoint":         s.TokenURI(),
			"introspection_endpoint": s.IntrospectionURI(),
			"revocation_endpoint":    s.RevocationURI(),
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %s", name, got[name], want)
			}
		}
	})
}

// verify checks a token against the published key, by its kid.
func verify(t *testing.T, s *glewlwyd.Server, token string) jwt.MapClaims {
	t.Helper()
	var set jose.JSONWebKeySet
	get(t, s.JWKSURI(), &set)
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		keys := set.Key(kid)
		if len(keys) != 1 {
			t.Fatalf("%d keys are published under kid %q", len(keys), kid)
		}
		return keys[0].Key, nil
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuer(s.Issuer()))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Header["typ"] != "at+jwt" {
		t.Errorf("typ is %v", parsed.Header["typ"])
	}
	return claims
}

func introspect(t *testing.T, s *glewlwyd.Server, token string) map[string]any {
	t.Helper()
	response := post(t, s.IntrospectionURI(), s.ClientSecret(), token)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("introspection: %s", response.Status)
	}
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func post(t *testing.T, uri, secret, token string) *http.Response {
	t.Helper()
	form := url.Values{"token": {token}}.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, uri, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(glewlwyd.ClientID, secret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func get(t *testing.T, uri string, into any) {
	t.Helper()
	response, err := http.Get(uri)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %v", uri, err)
	}
}
