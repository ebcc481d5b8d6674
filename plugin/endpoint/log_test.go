package endpoint_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/verdict"
)

// hostile is what an endpoint may write into whatever is its own.
const hostile = "x\ngo_jwt_auth: forged\x1b[2J"

// TestACertificateForgesNoLine: its names are in the errors of crypto/x509, which quote some of them and some not.
func TestACertificateForgesNoLine(t *testing.T) {
	dir := t.TempDir()
	ours := newAuthority(t, dir, "ours")
	strange := newAuthority(t, dir, "strange")
	strange.cert.RawSubject, strange.cert.Subject = nil, pkix.Name{CommonName: hostile + "\u202e", Organization: []string{hostile}}
	many := &x509.Certificate{}
	for i := range 99 {
		many.DNSNames = append(many.DNSNames, fmt.Sprintf("%s%d.%s", hostile, i, strings.Repeat("x", 200)))
	}
	for _, c := range []struct {
		rule   string
		server pair
		want   string
	}{
		{"alternative name", ours.issue(t, "s1", &x509.Certificate{DNSNames: []string{hostile}}), `the certificate is of another host: it is for "x\ngo_jwt_auth: forged\x1b[2J", not for "localhost"`},
		{"many of them", ours.issue(t, "s2", many), `"… (227 bytes) and 96 more, not for "localhost"`},
		{"common name", ours.issue(t, "s3", &x509.Certificate{Subject: pkix.Name{CommonName: hostile + "\u202e"}}), `the certificate is of another host: it is for no name, not`},
		{"address", ours.issue(t, "s4", &x509.Certificate{DNSNames: []string{hostile}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}), `", "10.0.0.1", not for "localhost"`},
		{"authority", strange.issue(t, "s5", &x509.Certificate{DNSNames: []string{"localhost"}}), `the certificate is not trusted`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			server := httptest.NewUnstartedServer(write(200, "hello"))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{c.server.load(t)}}
			server.StartTLS()
			defer server.Close()
			// By a name: what is said of an address has none of the certificate's in it.
			uri := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
			_, err := newClient(t, config.TLS{CAFile: ours.file}).Get(t.Context(), uri, patience)
			fit(t, err, c.want)
			if !errors.As(err, new(*tls.CertificateVerificationError)) {
				t.Errorf("the cause of %v is lost", err)
			}
		})
	}
}

// TestAnAnswerForgesNoLine: nothing of a status line, a header or an address comes to the log as it is.
func TestAnAnswerForgesNoLine(t *testing.T) {
	long := "https://idp.test/" + strings.Repeat("x", 4000)
	for _, c := range []struct{ rule, answer, want string }{
		{"status", "HTTP/1.1 404 \x1b\u202eforged\r\n\r\n", "answered 404 Not Found"},
		{"location", "HTTP/1.1 302 Found\r\nLocation: https://\u202eforged.test/\u202e\r\n\r\n", "answered 302 Found to https://"},
		{"long location", "HTTP/1.1 302 Found\r\nLocation: " + long + "\r\n\r\n", "answered 302 Found to "},
		{"protocol", "HTTP/\x1b\u202eforged 200 OK\r\n\r\n", "malformed HTTP version"},
		{"header", "HTTP/1.1 200 OK\r\nX\x1b\u202eforged\r\n\r\n", "the header of the answer can't be read as HTTP"},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: \x1b\u202eforged\r\n\r\n", "the header of the answer can't be read as HTTP"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			uri := serveRaw(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, c.answer)
			})
			_, err := newClient(t, config.TLS{}).Get(t.Context(), uri, patience)
			fit(t, err, c.want)
		})
	}
	for _, uri := range []string{"http://\u202eforged.invalid/\u202e", "http://" + testport.Free(t) + "/\u202eforged \"x\"", "http://" + testport.Free(t) + strings.TrimPrefix(long, "https:/")} {
		_, err := newClient(t, config.TLS{}).Get(t.Context(), uri, patience)
		fit(t, err, "GET ")
	}
}

// fit checks that an error is fit for the log without anybody's help.
func fit(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatal("this should have failed")
	}
	text := err.Error()
	if text != verdict.Line(text) || strings.ContainsAny(text, "\n\x1b\u202e") || len(text) > 1000 {
		t.Errorf("not fit for the log: %q", text)
	}
	if !strings.Contains(text, want) {
		t.Errorf("got %s, want …%s…", text, want)
	}
	if typed := new(endpoint.Error); !errors.As(err, &typed) {
		t.Errorf("%T", err)
	}
}
