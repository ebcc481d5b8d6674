package revocation_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// TestClientAuthentication: where id and secret stand, for each way of sending them.
func TestClientAuthentication(t *testing.T) {
	const id, special = "a b%", "ü+:/"
	for _, c := range []struct {
		manner config.ClientAuthentication
		basic  string     // what HTTP Basic carries; "": none
		form   url.Values // beside the token
	}{
		{config.ClientBasic, "a+b%25:%C3%BC%2B%3A%2F", url.Values{}},
		{config.ClientBasicRaw, id + ":" + special, url.Values{}},
		{config.ClientPost, "", url.Values{"client_id": {id}, "client_secret": {special}}},
	} {
		t.Run(string(c.manner), func(t *testing.T) {
			got, v := ask(t, "tok", config.Revocation{Introspection: config.Introspection{
				ClientID: id, ClientSecret: config.NewSecret(special), ClientAuthentication: c.manner,
			}})
			user, pass, sent := (&http.Request{Header: got.header}).BasicAuth()
			if sent != (c.basic != "") || sent && user+":"+pass != c.basic {
				t.Errorf("HTTP Basic %q:%q, want %q (%s)", user, pass, c.basic, v)
			}
			c.form.Set("token", "tok")
			if got.body != c.form.Encode() {
				t.Errorf("form %s, want %s", got.body, c.form.Encode())
			}
		})
	}
}

// encoded is a private key in PEM.
func encoded(t *testing.T, key any, kind string) string {
	t.Helper()
	var der []byte
	var err error
	switch kind {
	case "RSA PRIVATE KEY":
		der = x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))
	case "EC PRIVATE KEY":
		der, err = x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	default:
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func newKeys(t *testing.T) (rsaKey *rsa.PrivateKey, curves map[string]*ecdsa.PrivateKey, edKey ed25519.PrivateKey) {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, edKey, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	curves = map[string]*ecdsa.PrivateKey{}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if curves[curve.Params().Name], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	return rsaKey, curves, edKey
}

// TestPrivateKeyJWT: RFC 7523 §2.2 and §3, a fresh assertion for each request, signed as the key can.
func TestPrivateKeyJWT(t *testing.T) {
	rsaKey, curves, edKey := newKeys(t)
	parameters := string(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}))
	for _, c := range []struct {
		rule, pem, alg string
		key            crypto.Signer
		id, issuer     string
	}{
		{"RSA, PKCS #8", encoded(t, rsaKey, "PRIVATE KEY"), "RS256", rsaKey, "key-1", "https://idp.test/realm"},
		{"RSA, PKCS #1, no issuer, no kid", encoded(t, rsaKey, "RSA PRIVATE KEY"), "RS256", rsaKey, "", ""},
		{"P-256, SEC 1, with its parameters", parameters + encoded(t, curves["P-256"], "EC PRIVATE KEY"), "ES256", curves["P-256"], "key-2", ""},
		{"P-384", encoded(t, curves["P-384"], "PRIVATE KEY"), "ES384", curves["P-384"], "", ""},
		{"P-521", encoded(t, curves["P-521"], "PRIVATE KEY"), "ES512", curves["P-521"], "", ""},
		{"Ed25519", encoded(t, edKey, "PRIVATE KEY"), "EdDSA", edKey, "", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			clock := time.Unix(1_795_446_000, 0)
			var forms []url.Values
			uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if _, _, sent := r.BasicAuth(); sent {
					t.Error("HTTP Basic is sent, too")
				}
				_ = r.ParseForm()
				forms = append(forms, r.PostForm)
				_, _ = io.WriteString(w, `{"active":true}`)
			}) + "/introspect"
			client, err := endpoint.New(&config.Provider{})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			checker := open(t, &config.Revocation{Timeout: time.Minute, Introspection: config.Introspection{
				URI: uri, ClientID: "broker", ClientKey: config.NewSecret(c.pem), ClientKeyID: c.id, ClientAuthentication: config.ClientPrivateKeyJWT,
			}}, revocation.Options{Client: client, Issuer: c.issuer, Now: func() time.Time { return clock }, Report: func(event.Note) {}})
			seen := map[any]bool{}
			for range 2 {
				if _, v := await(t, checker, password, time.Time{}, new(verdict.Trace)); v.Kind != verdict.Accept {
					t.Fatalf("got %s", v)
				}
			}
			audience := c.issuer
			if audience == "" {
				audience = uri
			}
			for _, form := range forms {
				if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("token") != password ||
					form.Has("client_secret") || len(form) != 3 {
					t.Errorf("form %v", form)
				}
				parser := jwt.NewParser(jwt.WithValidMethods([]string{c.alg}), jwt.WithTimeFunc(func() time.Time { return clock }),
					jwt.WithAudience(audience), jwt.WithIssuer("broker"), jwt.WithSubject("broker"), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
				assertion, err := parser.Parse(form.Get("client_assertion"), func(*jwt.Token) (any, error) { return c.key.Public(), nil })
				if err != nil {
					t.Fatal(err)
				}
				kid, _ := assertion.Header["kid"].(string)
				if kid != c.id {
					t.Errorf("kid %q, want %q", kid, c.id)
				}
				claims := assertion.Claims.(jwt.MapClaims)
				if exp, _ := claims.GetExpirationTime(); exp.Sub(clock) != time.Minute {
					t.Errorf("it is good until %s", exp)
				}
				if jti, _ := claims["jti"].(string); len(jti) < 16 || seen[jti] {
					t.Errorf("jti %q", jti)
				}
				seen[claims["jti"]] = true
			}
		})
	}
}

func TestClientKeysThatCannotBeUsed(t *testing.T) {
	rsaKey, curves, _ := newKeys(t)
	public, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	const at = "$.options.revocation.introspection.clientKey: "
	for _, c := range []struct{ rule, key, want string }{
		{"no PEM", "marked", "must be a private key in PEM"},
		{"a public key", block("PUBLIC KEY", public), "must be a private key in PEM"},
		{"rubbish", block("PRIVATE KEY", []byte("marked")), "the PEM can't be read as a private key, or is encrypted"},
		{"of another kind", block("RSA PRIVATE KEY", []byte(encoded(t, curves["P-256"], "EC PRIVATE KEY"))), "the PEM can't be read as a private key, or is encrypted"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte("marked")), "must be a private key that is not encrypted"},
		{"of a curve without algorithm", encoded(t, curves["P-224"], "PRIVATE KEY"), "must be a private key of RSA, of P-256, P-384 or P-521, or of Ed25519"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := revocation.New(&config.Revocation{MaxConcurrent: 1, Cache: config.AnswerCache{MaxEntries: 1}, Introspection: config.Introspection{
				URI: "https://idp.test", ClientID: "broker", ClientKey: config.NewSecret(c.key), ClientAuthentication: config.ClientPrivateKeyJWT,
			}}, revocation.Options{Now: time.Now, Report: func(event.Note) {}})
			if err == nil || !strings.HasPrefix(err.Error(), at+c.want) || strings.Contains(err.Error(), "marked") {
				t.Errorf("got %v, want %s%s", err, at, c.want)
			}
		})
	}
}
