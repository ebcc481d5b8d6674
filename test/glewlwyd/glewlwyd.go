// Package glewlwyd runs Glewlwyd, an OpenID provider in C, as a second provider of another make for the end-to-end
// tests: what the plugin does must not rest on the habits of the embedded one.
//
// What differs from the embedded provider, seen with Glewlwyd 2.7.5:
//   - typ is "at+jwt" (RFC 9068), aud a plain string: the scope.
//   - The introspection answer has no iss, and for a client credentials token no sub either.
//   - A client may introspect its own tokens only; asked about another's, the answer is {"active":false}.
//   - HEAD gets 404 from every endpoint.
//   - The HTTP Basic credentials are taken as they are, not form-decoded as RFC 6749 §2.3.1 says.
package glewlwyd

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"go-jwt-auth/test/harness"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// ClientID is the client that the tokens are issued to, and the only one that may introspect and revoke them.
	ClientID = "device"
	// User is the owner of the tokens of [Server.UserToken].
	User = "alice"

	scope  = "mqtt"
	plugin = "oidc" // the name of the plugin instance, which is also part of every URL

	// schema comes with the package, and with it the user "admin" whose password is "password".
	schema        = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	adminUser     = "admin"
	adminPassword = "password"

	readyWithin = 30 * time.Second
	stopWithin  = 10 * time.Second
)

// Server is a running Glewlwyd with one OpenID Connect plugin: RS256, JWT access tokens of one hour.
type Server struct {
	base         string // "http://host:port"
	clientSecret string
	userPassword string
	admin        *http.Client
}

// Start runs Glewlwyd on a free loopback port, in a folder of its own, until the test ends. Where it isn't installed,
// the test fails in CI (the variable CI is set) and is skipped elsewhere.
func Start(t testing.TB) *Server {
	t.Helper()
	binary := installed(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{clientSecret: rand.Text(), userPassword: rand.Text(), admin: &http.Client{Jar: jar}}
	s.run(t, binary)
	s.configure(t)
	return s
}

// Issuer is the value of iss.
func (s *Server) Issuer() string { return s.base + "/api/" + plugin }

// JWKSURI is where the public key is.
func (s *Server) JWKSURI() string { return s.Issuer() + "/jwks" }

// IntrospectionURI is the RFC 7662 endpoint.
func (s *Server) IntrospectionURI() string { return s.Issuer() + "/introspect" }

// RevocationURI is the RFC 7009 endpoint.
func (s *Server) RevocationURI() string { return s.Issuer() + "/revoke" }

// TokenURI is the token endpoint.
func (s *Server) TokenURI() string { return s.Issuer() + "/token" }

// ClientSecret belongs to [ClientID]. It is random and made of letters and digits.
func (s *Server) ClientSecret() string { return s.clientSecret }

// Token obtains an access token by the client credentials grant. Its sub is [ClientID].
func (s *Server) Token(t testing.TB) string {
	t.Helper()
	grant := clientcredentials.Config{
		ClientID:     ClientID,
		ClientSecret: s.clientSecret,
		TokenURL:     s.TokenURI(),
		Scopes:       []string{scope},
		AuthStyle:    oauth2.AuthStyleInHeader,
	}
	token, err := grant.Token(t.Context())
	if err != nil {
		t.Fatalf("glewlwyd: %v", err)
	}
	return token.AccessToken
}

// UserToken obtains an access token by the resource owner password grant. Its sub is a random name that Glewlwyd has
// for [User].
func (s *Server) UserToken(t testing.TB) string {
	t.Helper()
	grant := oauth2.Config{
		ClientID:     ClientID,
		ClientSecret: s.clientSecret,
		Endpoint:     oauth2.Endpoint{TokenURL: s.TokenURI(), AuthStyle: oauth2.AuthStyleInHeader},
		Scopes:       []string{scope},
	}
	token, err := grant.PasswordCredentialsToken(t.Context(), User, s.userPassword)
	if err != nil {
		t.Fatalf("glewlwyd: %v", err)
	}
	return token.AccessToken
}

// Revoke revokes a token at the revocation endpoint.
func (s *Server) Revoke(t testing.TB, token string) {
	t.Helper()
	body := strings.NewReader("token=" + token) // a compact JWT needs no escaping
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.RevocationURI(), body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(ClientID, s.clientSecret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("glewlwyd: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("glewlwyd: revocation: %s", response.Status)
	}
}

func installed(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("glewlwyd")
	if err == nil {
		_, err = exec.LookPath("sqlite3") // which the package depends on
	}
	if err == nil {
		_, err = os.Stat(schema)
	}
	if err == nil {
		return path
	}
	const remedy = "the second identity provider is missing: apt-get install --no-install-recommends glewlwyd"
	if os.Getenv("CI") != "" {
		t.Fatalf("%s (%v)", remedy, err)
	}
	t.Skipf("NOT TESTED: %s (%v)", remedy, err)
	return ""
}

// configuration leaves out what has a fitting default. It names no web pages, since nobody looks at any.
var configuration = template.Must(template.New("glewlwyd.conf").Parse(`
port = {{.Port}}
bind_address = "127.0.0.1"
external_url = "http://127.0.0.1:{{.Port}}"
api_prefix = "api"
log_mode = "console"
log_level = "INFO"
cookie_secure = 0
session_key = "GLEWLWYD"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "/usr/lib/glewlwyd/user"
client_module_path = "/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
plugin_module_path = "/usr/lib/glewlwyd/plugin"
hash_algorithm = "SHA512"
database = { type = "sqlite3"  path = "{{.Database}}" }
`))

// run starts the process and waits until it answers. Glewlwyd can't choose a port by itself, and a free one can be
// lost before it binds it, so a process that ends at once gets another try.
func (s *Server) run(t testing.TB, binary string) {
	t.Helper()
	const attempts = 3
	for attempt := 1; ; attempt++ {
		err := s.try(t, binary)
		if err == nil {
			return
		}
		if attempt == attempts || !errors.Is(err, errEnded) {
			t.Fatalf("glewlwyd: %v", err)
		}
		t.Logf("glewlwyd, attempt %d: %v", attempt, err)
	}
}

var errEnded = errors.New("the process has ended before it answered")

func (s *Server) try(t testing.TB, binary string) error {
	t.Helper()
	folder := t.TempDir()
	database := filepath.Join(folder, "glewlwyd.db")
	if err := initialise(t.Context(), database); err != nil {
		return err
	}
	port := harness.FreePort(t)
	var text bytes.Buffer
	if err := configuration.Execute(&text, map[string]any{"Port": port, "Database": database}); err != nil {
		return err
	}
	config := filepath.Join(folder, "glewlwyd.conf")
	if err := os.WriteFile(config, text.Bytes(), 0o600); err != nil {
		return err
	}
	logPath := filepath.Join(folder, "glewlwyd.log")
	ended, err := spawn(t, logPath, binary, "--config-file", config)
	if err != nil {
		return err
	}
	s.base = "http://127.0.0.1:" + port
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	for {
		if status, err := s.get(ctx, "/config"); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-ended:
			said, _ := os.ReadFile(logPath)
			return fmt.Errorf("%w:\n%s", errEnded, said)
		case <-ctx.Done():
			return fmt.Errorf("no answer within %v", readyWithin)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// spawn starts a process that ends with the test, and, if the test's process dies, with that. Its output goes to a
// file, and to the test's log if the test has failed.
func spawn(t testing.TB, logPath, name string, arguments ...string) (ended <-chan struct{}, err error) {
	t.Helper()
	output, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	command := exec.CommandContext(ctx, name, arguments...)
	command.Stdout, command.Stderr = output, output
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopWithin
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child ends, so this one must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		defer output.Close() //nolint:errcheck // read to its end
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // how it ends doesn't matter, and the log tells
		}
	}()
	if err := <-started; err != nil {
		stop()
		return nil, err
	}
	t.Cleanup(func() {
		stop()
		<-done
		if t.Failed() {
			said, _ := os.ReadFile(logPath)
			t.Logf("glewlwyd's log:\n%s", said)
		}
	})
	return done, nil
}

// initialise fills a new database from the script of the package.
func initialise(ctx context.Context, database string) error {
	script, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "sqlite3", "-bail", database)
	// As one transaction that needs no disk, the several hundred statements take milliseconds instead of seconds.
	command.Stdin = io.MultiReader(
		strings.NewReader("PRAGMA synchronous = OFF;\nBEGIN;\n"),
		bytes.NewReader(script),
		strings.NewReader("\nCOMMIT;\n"),
	)
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("sqlite3: %w: %s", err, said)
	}
	return nil
}

func (s *Server) get(ctx context.Context, path string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := s.admin.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// configure makes the plugin instance, the scope, the client and the user, through the API and as the administrator.
func (s *Server) configure(t testing.TB) {
	t.Helper()
	private, public := keyPair(t)
	type object = map[string]any
	for _, step := range []struct {
		path string
		body object
	}{
		{"/api/auth/", object{"username": adminUser, "password": adminPassword}}, // gives the session cookie
		{"/api/mod/plugin/", object{
			"module": "oidc", "name": plugin, "display_name": plugin, "enabled": true,
			"parameters": object{
				"iss":          s.Issuer(),
				"subject-type": "public",
				"jwt-type":     "rsa", "jwt-key-size": "256", "key": private, "cert": public, "jwks-show": true,
				"access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 60, // seconds
				"allow-non-oidc": true, "auth-type-client-enabled": true, "auth-type-password-enabled": true,
				"auth-type-code-enabled": false, "auth-type-token-enabled": false, "auth-type-refresh-enabled": false,
				"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true,
			},
		}},
		{"/api/scope/", object{"name": scope, "display_name": scope, "password_required": true}},
		{"/api/client/", object{
			"client_id": ClientID, "name": ClientID, "enabled": true,
			"confidential": true, "client_secret": s.clientSecret,
			"token_endpoint_auth_method": []string{"client_secret_basic"},
			"authorization_type":         []string{"client_credentials", "password"},
			"scope":                      []string{scope},
		}},
		{"/api/user/", object{
			"username": User, "password": s.userPassword, "enabled": true, "scope": []string{scope},
		}},
	} {
		s.post(t, step.path, step.body)
	}
}

func (s *Server) post(t testing.TB, path string, body any) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.admin.Do(request)
	if err != nil {
		t.Fatalf("glewlwyd: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(response.Body)
		t.Fatalf("glewlwyd: POST %s: %s %s", path, response.Status, said)
	}
}

// keyPair is a new RSA key in PEM.
func keyPair(t testing.TB) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("PRIVATE KEY", privateDER), block("PUBLIC KEY", publicDER)
}
