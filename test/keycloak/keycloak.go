// Package keycloak runs a real Keycloak, the identity provider that users of this plugin have most often, for tests that
// are too heavy for every run: they skip unless KEYCLOAK_HOME names an unpacked Keycloak. fetch.sh, beside this file,
// brings one into build/keycloak.
//
// What its tokens and answers are like, seen with Keycloak 26.7 and held by the tests of this package:
//   - iss is made from the Host header of the request for the token (http://host:port/realms/test) unless a host name is
//     configured. The same token introspected by way of another host name is not active.
//   - sub is a UUID, for users and for service accounts; the name is in preferred_username. A realm file may choose it.
//   - An access token has no aud unless a mapper adds one. Since 26.6.2 introspection says {"active":false} to a client
//     that aud does not name, and that holds for the client's own tokens, too. An ID token's aud is the client it was
//     issued to, which may therefore introspect it as active.
//   - The header's typ is "JWT" for access, ID and refresh tokens alike; the claim typ tells them apart (Bearer, ID,
//     Refresh). A client can be told to have at+jwt (RFC 9068) in its access tokens' header.
//   - Refresh tokens are HS512, with a key that the key set does not have.
//   - The key set holds an encryption key (RSA-OAEP) beside the signature key, and forbids caching (Cache-Control:
//     no-cache): with respectCacheHeaders every login reads it anew.
//   - HEAD gets 200 from the key set and 405 from introspection, which is as good as an answer.
//   - A user without first name, last name and e-mail gets no token: "Account is not fully set up".
//   - When a key is disabled, introspection at once calls the tokens that it has signed not active. Until then they
//     are good, even where another key signs by now.
//   - Sessions, and with them the tokens, survive a restart.
//   - Each realm has keys, clients, users and sessions of its own, and an issuer and endpoints of its own below /realms.
package keycloak

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// HomeVariable names the environment variable that holds the folder of an unpacked Keycloak.
const HomeVariable = "KEYCLOAK_HOME"

// The realms that Start imports: Server is the first, Realm leads to the other.
const (
	FirstRealm = "test"
	Devices    = "devices" // has the clients Plugin, with DevicesSecret, and Sensors, and the user Sensor
)

// The clients of the realm "test".
const (
	Plugin     = "client-id"       // the plugin's own, with PluginSecret: it may introspect tokens whose aud names it
	Sensors    = "sensors"         // tokens for an hour, aud names Plugin
	Briefly    = "sensors-briefly" // tokens for five seconds, aud names Plugin
	Gateway    = "gateway"         // has a service account, aud names Plugin
	NoAudience = "no-audience"     // access tokens without aud, and with at+jwt in the header

	PluginSecret  = "secret"
	DevicesSecret = "devices-secret"

	gatewaySecret = "gateway-secret"
)

// The users of the realm "test".
const (
	Sensor     = "sensor-1"
	Observer   = "observer"
	Unfinished = "unfinished" // has no name and no e-mail

	password = "password" // of all of them, unless Setup says so
)

// The subjects of users and of the service account: what sub holds.
const (
	SensorSubject   = "00000000-0000-4000-8000-000000000001"
	ObserverSubject = "00000000-0000-4000-8000-000000000002"
	GatewaySubject  = "00000000-0000-4000-8000-000000000003"
	DeviceSubject   = "00000000-0000-4000-8000-000000000011" // Sensor in the realm "devices"
)

const adminClient = "admin" // of the realm master

var (
	//go:embed realm.json
	realm []byte
	//go:embed devices.json
	devices []byte
)

// Setup is what a Keycloak is started with.
type Setup struct {
	Realms []Realm  // which are imported
	Args   []string // of kc.sh, beside the address to listen to
	Env    []string // further environment variables, NAME=value
	Port   string   // "0": any
}

// Realm is a realm to import.
type Realm struct {
	Name string
	File []byte
}

// Server is one realm of a running Keycloak.
type Server struct {
	*program
	realm string
	keys  int // how many AddKey has added
}

// program is what all realms share.
type program struct {
	setup       Setup
	home        string // a folder of its own, with links to the unpacked program
	base        string // "http://127.0.0.1:port"
	adminSecret string
	admin       *http.Client
	process     *process
}

// Start runs Keycloak in development mode with the realms of this package, and returns the realm "test".
func Start(t testing.TB) *Server {
	t.Helper()
	realms := []Realm{{FirstRealm, realm}, {Devices, devices}}
	return StartWith(t, Setup{Realms: realms, Args: []string{"start-dev", "--import-realm"}, Port: "0"})
}

// Realm is another realm of the same Keycloak.
func (s *Server) Realm(name string) *Server { return &Server{program: s.program, realm: name} }

// StartWith runs Keycloak on a loopback port, in a folder of its own, until the test ends, and returns the first of its realms.
// Without KEYCLOAK_HOME the test is skipped.
func StartWith(t testing.TB, setup Setup) *Server {
	t.Helper()
	home := os.Getenv(HomeVariable)
	if home == "" {
		t.Skipf("NOT TESTED with a real Keycloak: %s names none; `make test-keycloak` fetches one and runs this", HomeVariable)
	}
	s := &Server{program: &program{setup: setup, home: t.TempDir(), adminSecret: rand.Text()}, realm: setup.Realms[0].Name}
	if err := s.prepare(home); err != nil {
		t.Fatalf("keycloak: %v", err)
	}
	s.launch(t, setup.Port)
	t.Cleanup(func() { s.process.stop(t) })
	s.admin = s.adminGrant().Client(context.WithoutCancel(t.Context()))
	return s
}

// prepare makes a folder that Keycloak takes for its own: the program is linked, the data is not.
func (s *program) prepare(from string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	for _, part := range []string{"bin", "conf", "lib", "providers", "themes"} {
		target := filepath.Join(from, part)
		if _, err := os.Stat(target); err != nil {
			return fmt.Errorf("%s holds no Keycloak: %w", HomeVariable, err)
		}
		if err := os.Symlink(target, filepath.Join(s.home, part)); err != nil {
			return err
		}
	}
	imports := filepath.Join(s.home, "data", "import")
	if err := os.MkdirAll(imports, 0o700); err != nil {
		return err
	}
	for _, realm := range s.setup.Realms {
		if err := os.WriteFile(filepath.Join(imports, realm.Name+"-realm.json"), realm.File, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(s.home, "java"), []byte(java), 0o700)
}

// Stop ends Keycloak. Its data stays for Resume.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.process.stop(t)
}

// Resume starts it again, at the same address and with the same data.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	address, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	s.launch(t, address.Port())
}

// Host is "host:port", which takes the place of the host name in the tutorial's jwt.json.
func (s *Server) Host() string { return strings.TrimPrefix(s.base, "http://") }

// Issuer is the value of iss in tokens that are asked for at Host.
func (s *Server) Issuer() string { return s.base + "/realms/" + s.realm }

// JWKSURI is where the public keys are.
func (s *Server) JWKSURI() string { return s.endpoint("certs") }

// IntrospectionURI is the RFC 7662 endpoint.
func (s *Server) IntrospectionURI() string { return s.endpoint("token/introspect") }

func (s *Server) endpoint(name string) string { return s.Issuer() + "/protocol/openid-connect/" + name }

// Tokens are what a login brings.
type Tokens struct {
	Access, ID, Refresh string
	Session             string // its id in Keycloak
}

// Login obtains tokens by the resource owner password grant.
func (s *Server) Login(t testing.TB, client, user string) Tokens {
	t.Helper()
	tokens, err := s.TryLogin(t.Context(), client, user)
	if err != nil {
		t.Fatalf("keycloak: %v", err)
	}
	return tokens
}

// LoginAt is Login for a host name that leads to the same server.
func (s *Server) LoginAt(t testing.TB, host, client, user string) Tokens {
	t.Helper()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: named(host)})
	tokens, err := s.TryLogin(ctx, client, user)
	if err != nil {
		t.Fatalf("keycloak: %v", err)
	}
	return tokens
}

// named sends requests with this value of the Host header.
type named string

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = string(n)
	return http.DefaultTransport.RoundTrip(r)
}

// TryLogin is Login for one that may fail.
func (s *Server) TryLogin(ctx context.Context, client, user string) (Tokens, error) {
	grant := oauth2.Config{
		ClientID: client,
		Endpoint: oauth2.Endpoint{TokenURL: s.endpoint("token"), AuthStyle: oauth2.AuthStyleInParams},
		Scopes:   []string{"openid"}, // else there is no ID token
	}
	if client == Plugin {
		grant.ClientSecret = PluginSecret
	}
	token, err := grant.PasswordCredentialsToken(ctx, user, password)
	if err != nil {
		return Tokens{}, err
	}
	tokens := Tokens{Access: token.AccessToken, Refresh: token.RefreshToken}
	tokens.ID, _ = token.Extra("id_token").(string)
	tokens.Session, _ = token.Extra("session_state").(string)
	return tokens, nil
}

// GatewayToken obtains an access token by the client credentials grant.
func (s *Server) GatewayToken(t testing.TB) string {
	t.Helper()
	return obtain(t, &clientcredentials.Config{ClientID: Gateway, ClientSecret: gatewaySecret, TokenURL: s.endpoint("token")})
}

// OtherRealmToken obtains an access token of the realm "master", which has keys of its own.
func (s *Server) OtherRealmToken(t testing.TB) string {
	t.Helper()
	return obtain(t, s.adminGrant())
}

func (s *Server) adminGrant() *clientcredentials.Config {
	return &clientcredentials.Config{
		ClientID: adminClient, ClientSecret: s.adminSecret,
		TokenURL: s.base + "/realms/master/protocol/openid-connect/token",
	}
}

func obtain(t testing.TB, grant *clientcredentials.Config) string {
	t.Helper()
	token, err := grant.Token(t.Context())
	if err != nil {
		t.Fatalf("keycloak: %v", err)
	}
	return token.AccessToken
}
