// Package endpoint speaks HTTP to the endpoints of the identity provider: bounded in time and size, never following a
// redirect, verifying TLS, and with errors that name the URL and the cause.
//
// What an answer means is for the caller to know.
package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/verdict"

	lru "github.com/hashicorp/golang-lru/v2"
)

// MaxBody is the most an endpoint may answer, in bytes after decompression: larger answers are refused.
const MaxBody = 1 << 20

// Client makes the requests of one plugin instance. Safe for concurrent use.
type Client struct {
	path        config.Path
	connections *connections
	// closed ends with Close, which end is.
	closed context.Context //nolint:containedctx // it is that of the client
	end    context.CancelFunc
	// refusals are the addresses that refuse an Accept.
	refusals *lru.Cache[string, struct{}]
	// credentials are sent with each request to an origin that they are for.
	credentials credentials
}

// Request is what is asked of an endpoint.
type Request struct {
	Method string
	URI    string
	// Name is what errors call the address of a request that carries a token, possibly in its path; empty: Redact(URI), and
	// the request carries none. Where it is set, errors tell nothing that the answer may have repeated.
	Name   string
	Header http.Header
	// Body is sent if it is not empty; Header says what it is.
	Body string
}

func (r Request) name() string {
	if r.Name != "" {
		return r.Name
	}
	return Redact(r.URI)
}

// Answer is what an endpoint said.
type Answer struct {
	Status int
	Header http.Header
	// Body has at most MaxBody bytes.
	Body []byte
	// Took is the time from the request to the last byte of the answer.
	Took time.Duration
	// TLS is the connection that it came by; nil for plain HTTP.
	TLS *tls.ConnectionState

	method, name string
	// private: the request held a token or credentials, which the answer may repeat.
	private bool
}

// RequireOK returns an *Error with a *StatusError unless the status is 200.
func (a *Answer) RequireOK() error {
	if a.Status == http.StatusOK {
		return nil
	}
	status := &StatusError{Status: a.Status}
	if location := a.Header.Get("Location"); location != "" {
		status.Location = a.target(location)
	}
	return a.Unusable(status)
}

// target is where a redirect leads (RFC 9110 §10.2.2), as a log may show it; empty: unknown. The path may
// repeat the token that was sent, whole or in part, so that of a request with one only the host is shown, unless the path is
// that of the configured address.
func (a *Answer) target(location string) string {
	to, err := url.Parse(location)
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(a.name, "?")
	asked, err := url.Parse(name)
	if err == nil {
		to = asked.ResolveReference(to)
	}
	if to.Host == "" {
		return ""
	}
	shown := &url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}
	if a.private && (err != nil || asked.Path != to.Path) && strings.Trim(to.Path, "/") != "" {
		shown.Path = ""
	}
	return shown.String()
}

// Unusable is the error for an answer of which nothing can be made.
func (a *Answer) Unusable(cause error) error {
	return &Error{Method: a.method, URL: a.name, Cause: cause}
}

// Error is a request that brought no usable answer. It holds no credential and nothing of a body.
type Error struct {
	Method string
	URL    string // as Redact has it
	Cause  error
}

// Redact returns an address as a log may hold it: without its query, which can carry an API key, and quoted unless it is
// plain ASCII, since it may come from a discovery document.
func Redact(uri string) string {
	before, _, query := strings.Cut(uri, "?")
	if before = verdict.Word(before); query {
		before += "?…"
	}
	return before
}

// Error is one line without control characters, of bounded length: the cause may hold words of the endpoint's.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Method, e.URL, verdict.Phrase(e.Cause.Error()))
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns a Client that verifies the endpoints of a provider as its configuration says. It fails if a certificate file
// can't be used.
func New(cfg *config.Provider) (*Client, error) {
	t := cfg.TLS
	tlsConfig := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Off only by a key of that name in jwt.json, which gets a warning at every start.
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // see above
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cfg.Path.Key("options.tls.caFile"), err)
		}
		// The system's roots stay: a private CA beside them is what the option is for.
		if tlsConfig.RootCAs, err = x509.SystemCertPool(); err != nil {
			tlsConfig.RootCAs = x509.NewCertPool()
		}
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no certificate in PEM", cfg.Path.Key("options.tls.caFile"), t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", cfg.Path.Key("options.tls.certFile"), cfg.Path.Key("options.tls.keyFile"), err)
		}
		tlsConfig.Certificates = []tls.Certificate{cert}
	}
	refusals, err := lru.New[string, struct{}](maxRefusals)
	closed, end := context.WithCancel(context.Background())
	return &Client{path: cfg.Path, connections: newConnections(tlsConfig), closed: closed, end: end, refusals: refusals}, err
}

// Dial makes connections in another way than net does: for tests.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// DialBy has all connections made by dial. Not once the first request was made.
func (c *Client) DialBy(dial Dial) {
	c.connections.blank.DialContext = dial
}

// Close ends the requests that Do has under way, and drops the connections.
func (c *Client) Close() {
	c.end()
	c.connections.current().CloseIdleConnections()
}

// HTTP is for libraries that make their own requests. It trusts whom c trusts and follows no redirect either; the bounds of
// Do on time and size are not in it.
func (c *Client) HTTP() *http.Client { return over(c.connections) }

// over makes requests by way of t.
func over(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: t,
		// A redirect would carry a token, or the trust in a key set, to a place that is not configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Head asks whether anything answers at uri. Every HTTP status counts as an answer.
func (c *Client) Head(ctx context.Context, uri string, timeout time.Duration) (*Answer, error) {
	return c.Do(ctx, timeout, Request{Method: http.MethodHead, URI: uri})
}

// BasicAuth is the Authorization header for a client's credentials: id and secret are form-encoded first (RFC 6749
// §2.3.1).
func BasicAuth(id, secret string) string {
	return RawBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
}

// RawBasicAuth is the same for servers that don't decode id and secret (RFC 7617 alone): they go as they are. An id with a
// colon can't be sent so.
func RawBasicAuth(id, secret string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(id, secret)
	return r.Header.Get("Authorization")
}

// Do makes a request and reads the answer whole, whatever its status, within timeout.
func (c *Client) Do(ctx context.Context, timeout time.Duration, r Request) (*Answer, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, timeoutKey{}, timeout), timeout)
	defer cancel()
	defer context.AfterFunc(c.closed, cancel)()
	transport, start := c.connections.current(), time.Now()
	failed := func(err error) error {
		// A request that came late, from a long queue, says little of the connection.
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && time.Since(start) >= timeout/2 {
			c.connections.retire(transport)
		}
		return &Error{Method: r.Method, URL: r.name(), Cause: c.explain(err, timeout)}
	}
	if err := c.closed.Err(); err != nil {
		return nil, failed(err) // a connection would outlive it
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URI, strings.NewReader(r.Body))
	if err != nil {
		return nil, failed(err)
	}
	maps.Copy(req.Header, r.Header)
	private, err := c.credentials.addTo(req.Header, r.URI)
	if err != nil {
		return nil, &Error{Method: r.Method, URL: r.name(), Cause: err}
	}
	// A request may be made twice: this field, which is not sent, lets net/http repeat it if a connection
	// that was kept turns out to have been closed, as after a restart of the provider.
	req.Header["X-Idempotency-Key"] = nil
	resp, err := over(transport).Do(req)
	if err != nil {
		return nil, failed(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return nil, failed(err)
	}
	if len(read) > MaxBody {
		return nil, failed(fmt.Errorf("the answer is larger than %d bytes", MaxBody))
	}
	return &Answer{
		Status: resp.StatusCode, Header: resp.Header, Body: read, Took: time.Since(start), TLS: resp.TLS,
		method: r.Method, name: r.name(), private: private || r.Name != "",
	}, nil
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
		text += " to " + verdict.Word(e.Location) + " (redirects are not followed: configure the address that answers itself)"
	case e.Status >= 300 && e.Status < 400:
		text += " (redirects are not followed: configure the address that answers itself)"
	}
	return text
}

// explain takes the layers off an error of net/http until what is left is the cause that a person can act on.
func (c *Client) explain(err error, timeout time.Duration) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var dns *net.DNSError
	var op *net.OpError
	var host x509.HostnameError
	switch {
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil && op.Timeout():
		return fmt.Errorf("can't connect: %s does not answer: %w", op.Addr, context.DeadlineExceeded)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s: %w", timeout, context.DeadlineExceeded)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("the host name %s is not known (DNS): %w", verdict.Quote(dns.Name), err)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("can't connect: %w", op.Err)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("the certificate is not trusted (%s names a private CA): %w", c.path.Key("options.tls.caFile"), err)
	case errors.As(err, &host):
		return &reworded{fmt.Sprintf("the certificate is of another host: it is for %s, not for %s", namesOf(host.Certificate), verdict.Quote(host.Host)), err}
	case errors.As(err, new(textproto.ProtocolError)):
		return errors.New("the header of the answer can't be read as HTTP")
	}
	if strings.HasPrefix(err.Error(), "failed to parse Location header") {
		return errors.New("it answers with a redirect to something that is no address")
	}
	// net/http quotes what it can't read, and an endpoint may repeat the secrets that it was sent.
	if before, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(strings.TrimRight(before, ": "))
	}
	return err
}

// reworded is an error in other words than its own.
type reworded struct {
	text  string
	cause error
}

func (e *reworded) Error() string { return e.text }

func (e *reworded) Unwrap() error { return e.cause }

// namesOf lists whom a certificate is for (RFC 9525 §2): at most the first three.
func namesOf(c *x509.Certificate) string {
	const shown = 3
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name"
	}
	return verdict.QuoteList(names, shown)
}
