package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The files of docs/configuration.md run as they stand there: the broker reaches their hosts through a proxy that leads
// all of them to this test, by TLS that it trusts.
func TestThePublishedFilesRunUnchanged(t *testing.T) {
	const issuer = "https://idp.example.com/realms/main"
	rsa, ec := provider(t), ownProvider(t, idp.WithAlgorithm("ES256"))
	web := newWeb(t, "*.example.com", "login.microsoftonline.com", "www.googleapis.com")
	web.handle("idp.example.com/realms/main/protocol/openid-connect/certs", says(fetch(t, rsa.JWKSURI())))
	web.handle("idp.example.com/jwks", says(fetch(t, rsa.JWKSURI())))
	web.handle("idp.example.com/realms/main/.well-known/openid-configuration", says(
		`{"issuer":"`+issuer+`","jwks_uri":"https://idp.example.com/jwks","introspection_endpoint":"https://idp.example.com/active"}`))
	web.handle("idp.example.com/active", says(`{"active":true}`))
	web.handle("idp.example.com/oauth2/introspect", func(w http.ResponseWriter, r *http.Request) {
		answer := object{"active": r.PostFormValue("token") == "opaque", "iss": "https://idp.example.com", "username": "sensor-1", "exp": time.Now().Add(time.Hour).Unix()}
		_ = json.NewEncoder(w).Encode(answer)
	})
	alive := rsa.Token("sensor-1", time.Hour)
	web.handle("sessions.example.com/v1/tokens/check", func(w http.ResponseWriter, r *http.Request) {
		var body object
		_ = json.NewDecoder(r.Body).Decode(&body)
		ok := body["token"] == alive && r.Header.Get("X-Api-Key") == "3f0c" && r.URL.RawQuery == "verbose=0"
		_ = json.NewEncoder(w).Encode(object{"validation": object{"isSuccess": ok}})
	})
	web.handle("sessions.example.com/", says(""))

	const secret = "the secret of the shared-secret file"
	shared := func(claims jwt.MapClaims) string {
		claims["sub"], claims["exp"] = "sensor-1", time.Now().Add(time.Hour).Unix()
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	device := idp.Claim("device_id", "device-7")
	worker := idp.Claim("realm_access", object{"roles": []string{"operator"}})
	named := idp.Claim("preferred_username", "sensor-1")
	from := idp.Issuer(issuer)
	published := blocks(t, "docs/configuration.md")
	const (
		lab     = "https://idp.example.com/realms/lab"
		foreign = "ccccdddd-2222-eeee-3333-ffff4444aaaa"
		account = "gateway@example-project.iam.gserviceaccount.com"
	)
	web.handle("idp.example.com/realms/lab/.well-known/openid-configuration", says(`{"issuer":"`+lab+`","jwks_uri":"https://idp.example.com/realms/lab/jwks"}`))
	web.handle("idp.example.com/realms/lab/jwks", says(fetch(t, ec.JWKSURI())))
	web.handle("login.microsoftonline.com/common/discovery/v2.0/keys", says(fetch(t, rsa.JWKSURI())))
	web.handle("devices.example.com/jwks", says(fetch(t, ec.JWKSURI())))
	web.handle("www.googleapis.com/oauth2/v3/certs", says(fetch(t, rsa.JWKSURI())))
	gateway := ownProvider(t)
	web.handle("www.googleapis.com/service_accounts/v1/jwk/"+account, says(fetch(t, gateway.JWKSURI())))
	tenants := []string{"aaaabbbb-0000-cccc-1111-dddd2222eeee", "bbbbcccc-1111-dddd-2222-eeee3333ffff"}
	employee := func(iss, tid string) string {
		return rsa.Token("x", time.Hour, idp.Issuer("https://login.microsoftonline.com/"+iss+"/v2.0"), idp.AudienceString("11112222-bbbb-3333-cccc-4444dddd5555"),
			idp.Claim("tid", tid), idp.Claim("oid", "690222be-ff1a-4d56-abd1-7e4f7d38e474"), idp.Claim("roles", []string{"Mqtt.Connect"}))
	}
	forMQTT, forGoogle := idp.AudienceString("mqtt"), idp.AudienceString("123456789012-abcdef.apps.googleusercontent.com")
	for title, c := range map[string]struct {
		good, bad []string
		files     map[string]string
		env       []string
		login     func(token string) harness.Login
	}{
		"Key set at an address": {
			good: []string{rsa.Token("sensor-1", time.Hour, from, idp.AudienceString("mqtt"))},
			bad:  []string{rsa.Token("sensor-1", time.Hour, from)},
		},
		"Key set in a file": {
			good:  []string{ec.Token("sensor-1", time.Hour, device)},
			bad:   []string{ec.Token("sensor-1", time.Hour)},
			files: map[string]string{"keys.json": fetch(t, ec.JWKSURI())},
			login: func(token string) harness.Login { return login("device-7", token) },
		},
		"Discovery": {
			good:  []string{rsa.Token("x", time.Hour, from, worker, named, idp.Scope("openid", "mqtt"))},
			bad:   []string{rsa.Token("x", time.Hour, from, worker, named, idp.Scope("openid"))},
			files: map[string]string{"client-secret": "whatever"},
		},
		"Shared secret": {
			good: []string{shared(jwt.MapClaims{"iss": "my-token-factory"})},
			bad:  []string{shared(jwt.MapClaims{"iss": "another"})},
			env:  []string{"MQTT_SECRET=" + secret},
		},
		"Public key": {
			good: []string{signedByRFC7515(t, time.Now().Add(time.Hour))},
			bad:  []string{ec.Token("sensor-1", time.Hour)},
		},
		"Opaque tokens": {
			good: []string{"opaque"}, bad: []string{"unknown"},
			env: []string{"MQTT_CLIENT_SECRET=whatever"},
		},
		"Revocation by another endpoint": {
			good: []string{alive}, bad: []string{rsa.Token("sensor-1", time.Hour)},
			files: map[string]string{"request.json": published["Revocation by another endpoint"][1]},
		},
		"Token in the username": {
			good: []string{alive}, bad: []string{rsa.Token("sensor-1", -time.Hour)},
			files: map[string]string{"ca.pem": web.ca},
			login: func(token string) harness.Login { return harness.Login{ClientID: "c", Username: &token} },
		},
		"Rights by name and by role": {
			good: []string{
				rsa.Token("sensor-1", time.Hour, from, forMQTT),
				rsa.Token("sensor-1", time.Hour, from, forMQTT, worker, idp.Claim("mqtt", object{"subscribe": []string{"news/#"}})),
			},
			bad: []string{
				rsa.Token("sensor-1", time.Hour, from, forMQTT, idp.Claim("mqtt", object{"subscribe": []string{"news#"}})),
				rsa.Token("sensor-1", time.Hour, from),
			},
		},
		"Two realms": {
			good: []string{
				rsa.Token("x", time.Hour, from, forMQTT, named),
				ec.Token("x", time.Hour, idp.Issuer(lab), forMQTT, named),
			},
			bad: []string{
				rsa.Token("x", time.Hour, idp.Issuer(lab), forMQTT, named),
				ec.Token("x", time.Hour, from, forMQTT, named),
				rsa.Token("x", time.Hour, idp.Issuer("https://idp.example.com/realms/other"), forMQTT, named),
			},
		},
		"Employees and devices": {
			good: []string{
				employee(tenants[0], tenants[0]), employee(tenants[1], tenants[1]),
				ec.Token("x", time.Hour, idp.Issuer("https://devices.example.com"), forMQTT, device),
			},
			bad: []string{
				employee(tenants[0], tenants[1]), employee(foreign, foreign), employee(foreign, tenants[0]),
				ec.Token("x", time.Hour, idp.Issuer("https://devices.example.com"), forMQTT),
				rsa.Token("x", time.Hour, idp.Issuer("https://devices.example.com"), forMQTT, device),
			},
		},
		"Google's users and its service accounts": {
			good: []string{
				rsa.Token("1101", time.Hour, idp.Issuer("https://accounts.google.com"), forGoogle, idp.Claim("hd", "example.com")),
				rsa.Token("1101", time.Hour, idp.Issuer("accounts.google.com"), forGoogle, idp.Claim("hd", "example.com")),
				gateway.Token(account, time.Hour, idp.Issuer(account), forMQTT),
			},
			bad: []string{
				rsa.Token("1101", time.Hour, idp.Issuer("accounts.google.com"), forGoogle, idp.Claim("hd", "other.example")),
				gateway.Token(account, time.Hour, idp.Issuer("accounts.google.com"), forGoogle, idp.Claim("hd", "example.com")),
				gateway.Token("admin", time.Hour, idp.Issuer(account), forMQTT),
				rsa.Token(account, time.Hour, idp.Issuer(account), forMQTT),
			},
		},
	} {
		if len(published[title]) == 0 {
			t.Errorf("docs/configuration.md has no file under %q", title)
			continue
		}
		file := published[title][0]
		delete(published, title)
		if c.login == nil {
			c.login = func(token string) harness.Login { return login("c", token) }
		}
		t.Run(title, func(t *testing.T) {
			brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
				b := harness.Start(t, v, harness.Options{
					Plugins: []harness.Plugin{harness.JWT("jwt.json", file)},
					Files:   c.files,
					Env:     append(c.env, web.env(t)...),
				})
				// Some are put off at first, where 2.1 does not wait.
				for i, token := range c.good {
					if got := again(t, b, harness.V5, c.login(token)); !got.Accepted() {
						t.Errorf("good token %d: CONNECT was %v", i, got)
					}
				}
				for i, token := range c.bad {
					if got := again(t, b, harness.V5, c.login(token)); got.Accepted() {
						t.Errorf("bad token %d: CONNECT was %v", i, got)
					}
				}
			})
		})
	}
	for title, left := range published {
		if strings.Contains(left[0], `"mode"`) {
			t.Errorf("the file under %q was not run", title)
		}
	}
}

// blocks are the JSON blocks of a document by the heading they stand under.
func blocks(t *testing.T, document string) map[string][]string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.Open(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close() //nolint:errcheck // only read
	found := map[string][]string{}
	var heading string
	var block *strings.Builder
	for lines := bufio.NewScanner(page); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "```json":
			block = new(strings.Builder)
		case line == "```" && block != nil:
			found[heading] = append(found[heading], block.String())
			block = nil
		case block != nil:
			block.WriteString(line + "\n")
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		}
	}
	return found
}

// signedByRFC7515 is signed by the key of RFC 7515 Appendix A.3, whose public part the page shows.
func signedByRFC7515(t *testing.T, exp time.Time) string {
	t.Helper()
	d, err := base64.RawURLEncoding.DecodeString("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"sub": "sensor-1", "exp": exp.Unix()}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// web is every https host that its certificate is for, behind a proxy.
type web struct {
	mux   *http.ServeMux
	proxy *httptest.Server
	ca    string // PEM
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// certify makes a certificate for hosts that is its own authority, in PEM.
func certify(t *testing.T, hosts ...string) (certificate tls.Certificate, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.com"}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func newWeb(t *testing.T, hosts ...string) *web {
	t.Helper()
	certificate, ca := certify(t, hosts...)
	w := &web{mux: http.NewServeMux(), ca: ca}
	site := httptest.NewUnstartedServer(w.mux)
	site.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	site.StartTLS()
	t.Cleanup(site.Close)
	w.proxy = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			t.Errorf("the proxy was asked for %s %s", r.Method, r.URL)
			return
		}
		tunnel(t, out, site.Listener.Addr().String())
	}))
	t.Cleanup(w.proxy.Close)
	return w
}

// tunnel joins the proxy's client to address, whatever host it asked for.
func tunnel(t *testing.T, out http.ResponseWriter, address string) {
	t.Helper()
	conn, _, err := http.NewResponseController(out).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	site, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer site.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() { _, _ = io.Copy(site, conn) }()
	_, _ = io.Copy(conn, site)
}

func (w *web) handle(pattern string, handler http.HandlerFunc) { w.mux.HandleFunc(pattern, handler) }

// route leads a process to this web, whose authority it does not trust by that.
func (w *web) route() string { return "HTTPS_PROXY=" + w.proxy.URL }

// env leads a process to this web: through the proxy, and with its authority as the only one there is.
func (w *web) env(t *testing.T) []string {
	t.Helper()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, []byte(w.ca), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{w.route(), "SSL_CERT_FILE=" + roots}
}
