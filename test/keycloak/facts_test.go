package keycloak_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/test/keycloak"
)

// facts are what the plugin's documentation tells of Keycloak, and what the cases with a broker build on.
func facts(t *testing.T, s *keycloak.Server) {
	tokens := s.Login(t, keycloak.Sensors, keycloak.Sensor)
	own := s.Login(t, keycloak.Plugin, keycloak.Sensor)
	for _, c := range []struct {
		name, token string
		alg, typ    string
		claims      jwt.MapClaims // nil: not there
		active      bool          // according to introspection
	}{
		{
			"access token", tokens.Access, "RS256", "JWT",
			jwt.MapClaims{
				"iss": s.Issuer(), "sub": keycloak.SensorSubject, "aud": keycloak.Plugin, "azp": keycloak.Sensors,
				"typ": "Bearer", "preferred_username": keycloak.Sensor, "nbf": nil, "client_id": nil,
			},
			true,
		},
		{
			"access token of a service account", s.GatewayToken(t), "RS256", "JWT",
			jwt.MapClaims{
				"iss": s.Issuer(), "sub": keycloak.GatewaySubject, "aud": keycloak.Plugin, "azp": keycloak.Gateway,
				"typ": "Bearer", "preferred_username": "service-account-gateway", "sid": nil,
			},
			true,
		},
		{
			"access token without an audience mapper", s.Login(t, keycloak.NoAudience, keycloak.Sensor).Access, "RS256", "at+jwt",
			jwt.MapClaims{"typ": "Bearer", "aud": nil},
			false,
		},
		{"ID token", tokens.ID, "RS256", "JWT", jwt.MapClaims{"typ": "ID", "aud": keycloak.Sensors}, false},
		{"refresh token", tokens.Refresh, "HS512", "JWT", jwt.MapClaims{"typ": "Refresh", "aud": s.Issuer()}, false},
		{"access token of the client that introspects", own.Access, "RS256", "JWT", jwt.MapClaims{"typ": "Bearer", "aud": nil}, false},
		{"ID token of the client that introspects", own.ID, "RS256", "JWT", jwt.MapClaims{"typ": "ID", "aud": keycloak.Plugin}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			header, claims := read(t, c.token)
			if header["alg"] != c.alg || header["typ"] != c.typ {
				t.Errorf("the header is %v, want alg %s and typ %s", header, c.alg, c.typ)
			}
			for name, want := range c.claims {
				if claims[name] != want {
					t.Errorf("%s is %v, want %v", name, claims[name], want)
				}
			}
			if got := introspect(t, s, c.token)["active"]; got != c.active {
				t.Errorf("active is %v, want %v", got, c.active)
			}
		})
	}

	t.Run("introspection repeats the claims", func(t *testing.T) {
		_, claims := read(t, tokens.Access)
		answer := introspect(t, s, tokens.Access)
		for name, want := range claims {
			if answer[name] != want {
				t.Errorf("%s is %v, want %v", name, answer[name], want)
			}
		}
		if answer["username"] != keycloak.Sensor || answer["client_id"] != keycloak.Sensors || answer["token_type"] != "Bearer" {
			t.Errorf("the answer is %v", answer)
		}
	})
	t.Run("introspection is silent about a disabled user", func(t *testing.T) {
		token := s.Login(t, keycloak.Sensors, keycloak.Observer).Access
		for _, enabled := range []bool{false, true} {
			s.SetUserEnabled(t, keycloak.ObserverSubject, enabled)
			if got := introspect(t, s, token)["active"]; got != enabled {
				t.Errorf("enabled %v: active is %v", enabled, got)
			}
		}
	})
	t.Run("the key set has a key for encryption, too, and is not to be cached", func(t *testing.T) {
		response := request(t, http.MethodGet, s.JWKSURI(), nil)
		var set struct {
			Keys []struct{ Use, Alg string }
		}
		if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
			t.Fatal(err)
		}
		uses := map[string]int{}
		for _, key := range set.Keys {
			uses[key.Use+" "+key.Alg]++
		}
		if len(uses) != 2 || uses["sig RS256"] != 1 || uses["enc RSA-OAEP"] != 1 {
			t.Errorf("the keys are %v", uses)
		}
		if got := response.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("Cache-Control is %q", got)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		for uri, want := range map[string]int{
			s.JWKSURI():          http.StatusOK,
			s.IntrospectionURI(): http.StatusMethodNotAllowed,
			strings.Replace(s.JWKSURI(), "/realms/test/", "/realms/tset/", 1): http.StatusNotFound,
			"http://" + s.Host() + "/auth/realms/test":                        http.StatusNotFound, // so it was before Keycloak 17
		} {
			if got := request(t, http.MethodHead, uri, nil); got.StatusCode != want {
				t.Errorf("HEAD %s: %s, want %d", uri, got.Status, want)
			}
		}
	})
	t.Run("discovery names the endpoints", func(t *testing.T) {
		var said map[string]any
		response := request(t, http.MethodGet, s.Issuer()+"/.well-known/openid-configuration", nil)
		if err := json.NewDecoder(response.Body).Decode(&said); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"issuer": s.Issuer(), "jwks_uri": s.JWKSURI(), "introspection_endpoint": s.IntrospectionURI(),
		} {
			if said[name] != want {
				t.Errorf("%s is %v, want %s", name, said[name], want)
			}
		}
	})
	t.Run("a user without name and e-mail gets no token", func(t *testing.T) {
		_, err := s.TryLogin(t.Context(), keycloak.Sensors, keycloak.Unfinished)
		if err == nil || !strings.Contains(err.Error(), "Account is not fully set up") {
			t.Errorf("got %v", err)
		}
	})
}

// read reads a token as it is.
func read(t *testing.T, token string) (header map[string]any, claims jwt.MapClaims) {
	t.Helper()
	claims = jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header, claims
}

// introspect asks as the plugin does.
func introspect(t *testing.T, s *keycloak.Server, token string) (answer map[string]any) {
	t.Helper()
	response := request(t, http.MethodPost, s.IntrospectionURI(), url.Values{"token": {token}})
	if response.StatusCode != http.StatusOK {
		t.Fatalf("introspection: %s", response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// request sends a request with the plugin's credentials.
func request(t *testing.T, method, uri string, form url.Values) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.SetBasicAuth(keycloak.Plugin, keycloak.PluginSecret)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}
