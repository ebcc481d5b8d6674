// Package endpoint speaks HTTP to the endpoints of the identity provider: bounded in time and size, never following a
// redirect, verifying TLS, and with errors that name the URL and the cause.
//
// What an answer means is the caller's affair.
package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
)

// MaxBody is the most an endpoint may answer, in bytes after decompression: larger answers are refused.
const MaxBody = 1 << 20

// maxHeader is the most that the header of an answer may have, in bytes.
const maxHeader = 64 << 10

// idleConnsPerHost keeps enough connections to one endpoint alive for a burst of logins.
const idleConnsPerHost = 64

// Client makes the requests of one plugin instance. Safe for concurrent use.
type Client struct {
	http *http.Client
}

// Answer is what an endpoint said.
type Answer struct {
	Status int
	Header http.Header
	// Body has at most MaxBody bytes.
	Body []byte
	// Took is the time from the request to the last byte of the answer.
	Took time.Duration
}

// Error is a request that brought no usable answer. It holds no credential and nothing of a body.
type Error struct {
	Method string
	URL    string // as Shown
	Cause  error
}

// Shown is an address as a log may hold it: without its query, which can carry an API key.
func Shown(uri string) string {
	before, _, query := strings.Cut(uri, "?")
	if query {
		before += "?…"
	}
	return before
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %s", e.Method, e.URL, e.Cause) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns a Client that verifies endpoints by t. It fails where a certificate file can't be used.
func New(t config.TLS) (*Client, error) {
	tlsConfig := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Off only by a key of that name in jwt.json, which gets a warning at every start.
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // see above
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("$.options.tls.caFile: %w", err)
		}
		// The system's roots stay: a private CA beside them is what the option is for.
		if tlsConfig.RootCAs, err = x509.SystemCertPool(); err != nil {
			tlsConfig.RootCAs = x509.NewCertPool()
		}
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("$.options.tls.caFile: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("$.options.tls.certFile, $.options.tls.keyFile: %w", err)
		}
		tlsConfig.Certificates = []tls.Certificate{cert}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	transport.MaxIdleConnsPerHost = idleConnsPerHost
	transport.MaxResponseHeaderBytes = maxHeader
	return &Client{http: &http.Client{
		Transport: transport,
		// A redirect would carry a token, or the trust in a key set, to a place that nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Head asks whether anything answers at uri. Every HTTP status counts as an answer.
func (c *Client) Head(ctx context.Context, uri string, timeout time.Duration) (*Answer, error) {
	return c.do(ctx, http.MethodHead, uri, timeout, nil, nil)
}

// Get reads uri, which must answer 200.
func (c *Client) Get(ctx context.Context, uri string, timeout time.Duration) (*Answer, error) {
	answer, err := c.do(ctx, http.MethodGet, uri, timeout, nil, func(h http.Header) {
		h.Set("Accept", "application/jwk-set+json, application/json")
	})
	return answer, requireOK(http.MethodGet, uri, answer, err)
}

// PostForm sends form to uri, which must answer 200. A non-empty id is sent by HTTP Basic, with id and secret
// form-encoded first (RFC 6749 §2.3.1).
func (c *Client) PostForm(ctx context.Context, uri string, timeout time.Duration, form url.Values, id, secret string) (*Answer, error) {
	answer, err := c.do(ctx, http.MethodPost, uri, timeout, strings.NewReader(form.Encode()), func(h http.Header) {
		h.Set("Accept", "application/json")
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		if id != "" {
			r := http.Request{Header: h}
			r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		}
	})
	return answer, requireOK(http.MethodPost, uri, answer, err)
}

func (c *Client) do(ctx context.Context, method, uri string, timeout time.Duration, body io.Reader, headers func(http.Header)) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	failed := func(err error) error {
		return &Error{Method: method, URL: Shown(uri), Cause: explain(err, timeout)}
	}
	req, err := http.NewRequestWithContext(ctx, method, uri, body)
	if err != nil {
		return nil, failed(err)
	}
	if headers != nil {
		headers(req.Header)
	}
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, failed(err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing to do about it after the read
	read, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return nil, failed(err)
	}
	if len(read) > MaxBody {
		return nil, failed(fmt.Errorf("the answer is larger than %d bytes", MaxBody))
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: read, Took: time.Since(start)}, nil
}

// StatusError is an answer whose status says that it holds nothing of use.
type StatusError struct {
	Status int
	// Location is the target of a redirect that was not followed, without its query.
	Location string
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("answered %d %s", e.Status, http.StatusText(e.Status))
	switch {
	case e.Location != "":
		text += " to " + e.Location + " (redirects are not followed: configure the address that answers itself)"
	case e.Status >= 300 && e.Status < 400:
		text += " (redirects are not followed: configure the address that answers itself)"
	}
	return text
}

func requireOK(method, uri string, answer *Answer, err error) error {
	if err != nil || answer.Status == http.StatusOK {
		return err
	}
	status := &StatusError{Status: answer.Status}
	if to, err := url.Parse(answer.Header.Get("Location")); err == nil && to.Host != "" {
		status.Location = (&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String()
	}
	return &Error{Method: method, URL: Shown(uri), Cause: status}
}

// explain takes the layers off an error of net/http until what is left is the cause that a person can act on.
func explain(err error, timeout time.Duration) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s: %w", timeout, context.DeadlineExceeded)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("the host name %q is not known (DNS): %w", dns.Name, err)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("can't connect: %w", op.Err)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("the certificate is not trusted ($.options.tls.caFile names a private CA): %w", err)
	case errors.As(err, new(x509.HostnameError)):
		return fmt.Errorf("the certificate is of another host: %w", err)
	case errors.As(err, new(textproto.ProtocolError)):
		return errors.New("the header of the answer can't be read as HTTP")
	}
	// net/http quotes what it can't read, and an endpoint may repeat the secrets that it was sent.
	if before, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(strings.TrimRight(before, ": "))
	}
	return err
}
