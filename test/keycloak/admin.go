package keycloak

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/oauth2/clientcredentials"
)

type object = map[string]any

// SignOut ends the session of tokens as their user does, with the refresh token.
func (s *Server) SignOut(t testing.TB, client string, tokens Tokens) {
	t.Helper()
	s.post(t, "logout", url.Values{"client_id": {client}, "refresh_token": {tokens.Refresh}})
}

// Revoke revokes an access token (RFC 7009). Only the client that it was issued to may.
func (s *Server) Revoke(t testing.TB, client, token string) {
	t.Helper()
	s.post(t, "revoke", url.Values{"client_id": {client}, "token": {token}})
}

func (s *Server) post(t testing.TB, endpoint string, form url.Values) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.endpoint(endpoint), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	do(t, http.DefaultClient, request, nil)
}

// EndSession ends a session as an administrator does.
func (s *Server) EndSession(t testing.TB, session string) {
	t.Helper()
	s.call(t, http.MethodDelete, "sessions/"+session, nil, nil)
}

// SetUserEnabled disables or enables a user, by subject.
func (s *Server) SetUserEnabled(t testing.TB, subject string, enabled bool) {
	t.Helper()
	s.call(t, http.MethodPut, "users/"+subject, object{"enabled": enabled}, nil)
}

// AddKey has a new RSA key sign from now on. The older ones go on serving.
func (s *Server) AddKey(t testing.TB) {
	t.Helper()
	s.keys++
	s.addKey(t, "rsa-generated", map[string][]string{"priority": {fmt.Sprint(100 + s.keys)}}) // the first one's is 100
}

func (s *Server) addKey(t testing.TB, kind string, config map[string][]string) {
	t.Helper()
	var about struct {
		ID string `json:"id"`
	}
	s.call(t, http.MethodGet, "", nil, &about)
	s.call(t, http.MethodPost, "components", object{
		"name":         "rsa-" + rand.Text(),
		"providerId":   kind,
		"providerType": "org.keycloak.keys.KeyProvider",
		"parentId":     about.ID,
		"config":       config,
	}, nil)
}

// realmKey is a key of the realm, as the administrator's API shows it.
type realmKey struct {
	KID        string `json:"kid"`
	ProviderID string `json:"providerId"`
	PublicKey  string `json:"publicKey"` // SubjectPublicKeyInfo in base64
}

func (s *Server) keySet(t testing.TB) []realmKey {
	t.Helper()
	var set struct {
		Keys []realmKey `json:"keys"`
	}
	s.call(t, http.MethodGet, "keys", nil, &set)
	return set.Keys
}

// PublishKey puts a key into the realm's key set with which Keycloak itself signs nothing, and returns its kid.
func (s *Server) PublishKey(t testing.TB, key *rsa.PrivateKey) (kid string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.addKey(t, "rsa", map[string][]string{
		"privateKey": {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}, "active": {"false"},
	})
	for _, k := range s.keySet(t) {
		if k.PublicKey == base64.StdEncoding.EncodeToString(public) {
			return k.KID
		}
	}
	t.Fatal("keycloak: the realm has no such key")
	return ""
}

// DisableKey takes a key out of service.
func (s *Server) DisableKey(t testing.TB, kid string) {
	t.Helper()
	for _, key := range s.keySet(t) {
		if key.KID != kid {
			continue
		}
		var component object
		s.call(t, http.MethodGet, "components/"+key.ProviderID, nil, &component)
		config, ok := component["config"].(object)
		if !ok {
			t.Fatalf("keycloak: the provider of key %s is %v", kid, component)
		}
		config["enabled"], config["active"] = []string{"false"}, []string{"false"}
		s.call(t, http.MethodPut, "components/"+key.ProviderID, component, nil)
		return
	}
	t.Fatalf("keycloak: there is no key %s", kid)
}

// Introspection is a question that Keycloak was asked about a token, as its own records have it.
type Introspection struct {
	Client string // who asked
	Active bool
	Reason string // why the token is not active
}

// Introspections are all questions about the token with this jti, the last one first.
func (s *Server) Introspections(t testing.TB, jti string) []Introspection {
	t.Helper()
	var events []struct {
		Type     string            `json:"type"`
		ClientID string            `json:"clientId"`
		Error    string            `json:"error"`
		Details  map[string]string `json:"details"`
	}
	s.call(t, http.MethodGet, "events?max=10000", nil, &events)
	var found []Introspection
	for _, e := range events {
		if e.Details["token_id"] == jti {
			found = append(found, Introspection{e.ClientID, e.Type == "INTROSPECT_TOKEN", e.Details["reason"]})
		}
	}
	return found
}

// call calls the administrator's API of the realm.
func (s *Server) call(t testing.TB, method, path string, body, into any) {
	t.Helper()
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	address := strings.TrimSuffix(s.base+"/admin/realms/"+s.realm+"/"+path, "/")
	request, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	do(t, s.admin, request, into)
}

// do sends a request that must succeed, and decodes the answer into into where that is not nil.
func do(t testing.TB, client *http.Client, request *http.Request, into any) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("keycloak: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s: %s", response.Status, said)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(said, into)
	}
	if err != nil {
		t.Fatalf("keycloak: %s %s: %v", request.Method, request.URL, err)
	}
}

// SetUpAsGuided does what docs/providers/keycloak.md says to set up, and returns the secret of its client mqtt-broker.
func (s *Server) SetUpAsGuided(t testing.TB) (secret string) {
	t.Helper()
	type object = map[string]any
	s.call(t, http.MethodPost, "clients", object{"clientId": "mqtt-broker", "secret": guideSecret, "standardFlowEnabled": false}, nil)
	s.call(t, http.MethodPost, "client-scopes", object{
		"name": "mqtt", "protocol": "openid-connect", "attributes": object{"include.in.token.scope": "true"},
		"protocolMappers": []object{{
			"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
			"config": object{"included.client.audience": "mqtt-broker", "access.token.claim": "true", "lightweight.claim": "true"},
		}},
	}, nil)
	for client, lightweight := range map[string]string{GuideDevice: "false", GuideSmallDevice: "true"} {
		s.call(t, http.MethodPost, "clients", object{
			"clientId": client, "secret": guideSecret, "standardFlowEnabled": false, "serviceAccountsEnabled": true,
			"defaultClientScopes": []string{"basic", "roles", "profile", "email"}, "optionalClientScopes": []string{"mqtt"},
			"attributes": object{"client.use.lightweight.access.token.enabled": lightweight},
		}, nil)
	}
	return guideSecret
}

// The guide's devices.
const (
	GuideDevice      = "sensor-1"
	GuideSmallDevice = "sensor-2" // lightweight access tokens
)

const guideSecret = "guide-secret"

// GuidedToken obtains an access token for one of the guide's devices by the client credentials grant.
func (s *Server) GuidedToken(t testing.TB, client string, scopes ...string) string {
	t.Helper()
	return obtain(t, &clientcredentials.Config{ClientID: client, ClientSecret: guideSecret, TokenURL: s.endpoint("token"), Scopes: scopes})
}

// SetLightweight sets whether the mapper of the guide's scope adds its audience to lightweight access tokens, too.
func (s *Server) SetLightweight(t testing.TB, on bool) {
	t.Helper()
	var scopes []struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Mappers []struct {
			ID       string            `json:"id"`
			Name     string            `json:"name"`
			Protocol string            `json:"protocol"`
			Mapper   string            `json:"protocolMapper"`
			Config   map[string]string `json:"config"`
		} `json:"protocolMappers"`
	}
	s.call(t, http.MethodGet, "client-scopes", nil, &scopes)
	for _, scope := range scopes {
		if scope.Name != "mqtt" {
			continue
		}
		for _, mapper := range scope.Mappers {
			mapper.Config["lightweight.claim"] = strconv.FormatBool(on)
			s.call(t, http.MethodPut, fmt.Sprintf("client-scopes/%s/protocol-mappers/models/%s", scope.ID, mapper.ID), object{
				"id": mapper.ID, "name": mapper.Name, "protocol": mapper.Protocol, "protocolMapper": mapper.Mapper, "config": mapper.Config,
			}, nil)
		}
	}
}
