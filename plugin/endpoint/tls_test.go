package endpoint_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ours, other := newAuthority(t, dir, "ours"), newAuthority(t, dir, "other")
	loopback, elsewhere := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, &x509.Certificate{DNSNames: []string{"idp.test"}}
	past := &x509.Certificate{IPAddresses: loopback.IPAddresses, NotAfter: time.Now().Add(-time.Hour)}
	client, stranger := ours.issue(t, "client", &x509.Certificate{}), other.issue(t, "stranger", &x509.Certificate{})
	mutual := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ours.pool() }

	cases := []struct {
		rule   string
		server pair
		adjust func(*tls.Config)
		client config.TLS
		want   string // in the error; "": none
	}{
		{"an unknown authority is refused, and the way out is named", ours.issue(t, "s1", loopback), nil, config.TLS{}, "the certificate is not trusted ($.options.tls.caFile names a private CA)"},
		{"caFile makes it known", ours.issue(t, "s2", loopback), nil, config.TLS{CAFile: ours.file}, ""},
		{"caFile admits no other authority", other.issue(t, "s3", loopback), nil, config.TLS{CAFile: ours.file}, "certificate signed by unknown authority"},
		{"another host's certificate is refused", ours.issue(t, "s4", elsewhere), nil, config.TLS{CAFile: ours.file}, "the certificate is of another host"},
		{"an expired certificate is refused", ours.issue(t, "s5", past), nil, config.TLS{CAFile: ours.file}, "has expired"},
		{"insecureSkipVerify admits all", other.issue(t, "s6", elsewhere), nil, config.TLS{InsecureSkipVerify: true}, ""},
		{"TLS 1.1 is refused", ours.issue(t, "s7", loopback), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, config.TLS{CAFile: ours.file}, "protocol version"},
		{"a client certificate is sent", ours.issue(t, "s8", loopback), mutual, config.TLS{CAFile: ours.file, CertFile: client.certFile, KeyFile: client.keyFile}, ""},
		{"without one the server refuses", ours.issue(t, "s9", loopback), mutual, config.TLS{CAFile: ours.file}, "certificate required"},
		{"with a stranger's the server refuses", ours.issue(t, "s10", loopback), mutual, config.TLS{CAFile: ours.file, CertFile: stranger.certFile, KeyFile: stranger.keyFile}, "tls: "},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			server := httptest.NewUnstartedServer(write(200, "hello"))
			server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are wanted
			server.TLS = &tls.Config{Certificates: []tls.Certificate{c.server.load(t)}}
			if c.adjust != nil {
				c.adjust(server.TLS)
			}
			server.StartTLS()
			defer server.Close()
			answer, err := newClient(t, c.client).Get(t.Context(), server.URL, patience)
			if c.want != "" {
				refused(t, err, "GET "+server.URL, c.want)
			} else if err != nil || string(answer.Body) != "hello" {
				t.Errorf("got %+v, %v", answer, err)
			}
		})
	}
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t, dir, "ca")
	one, two := a.issue(t, "one", &x509.Certificate{}), a.issue(t, "two", &x509.Certificate{})
	missing, garbage := filepath.Join(dir, "missing"), filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		rule string
		tls  config.TLS
		want string
	}{
		{"no caFile there", config.TLS{CAFile: missing}, "$.options.tls.caFile: open " + missing},
		{"no certificate in caFile", config.TLS{CAFile: garbage}, "$.options.tls.caFile: " + garbage + " holds no certificate in PEM"},
		{"a key in caFile", config.TLS{CAFile: one.keyFile}, "holds no certificate in PEM"},
		{"no certFile there", config.TLS{CertFile: missing, KeyFile: one.keyFile}, "$.options.tls.certFile, $.options.tls.keyFile: open " + missing},
		{"certificate and key of two", config.TLS{CertFile: one.certFile, KeyFile: two.keyFile}, "private key does not match public key"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if _, err := endpoint.New(&config.Provider{TLS: c.tls}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// authority signs certificates; its own lies in file.
type authority struct {
	dir, file string
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

// pair is a certificate with its key, in files.
type pair struct{ certFile, keyFile string }

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir, cert: &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: name},
	}}
	self := a.issue(t, name, a.cert)
	a.file = self.certFile
	signed, err := x509.ParseCertificate(self.load(t).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	a.cert = signed
	return a
}

// issue signs what to describes: itself, where the authority has no key yet.
func (a *authority) issue(t *testing.T, name string, to *x509.Certificate) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if a.key == nil {
		a.key = key
	}
	to.SerialNumber, to.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-2*time.Hour)
	if to.NotAfter.IsZero() {
		to.NotAfter = time.Now().Add(time.Hour)
	}
	cert, err := x509.CreateCertificate(rand.Reader, to, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := func(suffix, kind string, der []byte) string {
		path := filepath.Join(a.dir, name+suffix)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return pair{file(".crt", "CERTIFICATE", cert), file(".key", "PRIVATE KEY", private)}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (p pair) load(t *testing.T) tls.Certificate {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestHTTP2: it is spoken where the endpoint offers it.
func TestHTTP2(t *testing.T) {
	for _, offered := range []bool{true, false} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Proto)
		}))
		server.EnableHTTP2 = offered
		server.StartTLS()
		t.Cleanup(server.Close)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		answer, err := newClient(t, config.TLS{CAFile: ca}).Get(t.Context(), server.URL, patience)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[offered]; string(answer.Body) != want {
			t.Errorf("got %s, want %s", answer.Body, want)
		}
	}
}
