// Package control speaks to the plugin in a running broker: it sends the commands of administrators to $CONTROL/jwt-auth/v1
// over MQTT 5 and returns the answers. It prints nothing; what it returns holds text of others, as it came.
package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// Topic is where the plugin reads commands; it answers one level below.
const (
	Topic         = "$CONTROL/jwt-auth/v1"
	responseTopic = Topic + "/response"
)

// Options are how a broker is reached. The zero value is no use: URL is required.
type Options struct {
	// URL is mqtt://HOST, mqtts://HOST, ws://HOST/PATH or wss://HOST/PATH. Without a port they are 1883, 8883, 80 and 443.
	URL string
	// CAFile holds certificate authorities to be trusted in the place of the system's; CertFile and KeyFile a client certificate.
	// All are PEM; empty: none.
	CAFile, CertFile, KeyFile string
	// Username is what the login says beside the password; nil: none.
	Username *string
	// Password returns the password, or the token in its place, and is called for each connection; nil: the login has none.
	Password func() (string, error)

	// Patience is how long a connection, and then an answer, is waited for; 0: 10 s.
	Patience time.Duration
	// Pause is the time before something is tried again: a login that the broker has put off, a command that came too soon; 0: 250 ms.
	Pause time.Duration
}

// Client is a connection to a broker that is made when it is needed, and made again when it has ended. It may be used by several
// goroutines at once.
type Client struct {
	o   Options
	url *url.URL
	tls *tls.Config

	// connecting is held by whoever makes a connection, and guards link.
	connecting chan struct{}
	link       *link
}

// New reads what the options name. It does not connect.
func New(o Options) (*Client, error) {
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.Pause == 0 {
		o.Pause = 250 * time.Millisecond
	}
	c := &Client{o: o, url: u, connecting: make(chan struct{}, 1)}
	if c.tls, err = o.tls(u); err != nil {
		return nil, err
	}
	return c, nil
}

// ports are the schemes, and the port of each.
var ports = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the broker's address can't be read: " + errors.Unwrap(err).Error())
	}
	u.Scheme = strings.ToLower(u.Scheme)
	port, known := ports[u.Scheme]
	switch {
	case !known || u.Hostname() == "":
		return nil, fmt.Errorf("the broker's address must be mqtt://HOST, mqtts://HOST, ws://HOST/PATH or wss://HOST/PATH, found %q", u.Redacted())
	case u.User != nil:
		return nil, errors.New("the broker's address must hold no username or password: every user of the machine can read command lines")
	case u.Port() == "":
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	overWeb := strings.HasPrefix(u.Scheme, "ws")
	if overWeb && u.Path == "" {
		u.Path = "/mqtt"
	}
	if !overWeb && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
		return nil, fmt.Errorf("the broker's address must end behind the port, found %q", u.Redacted())
	}
	return u, nil
}

// URL is the address with its port.
func (c *Client) URL() string { return c.url.String() }

// Plaintext tells whether the login goes over a network unencrypted.
func (c *Client) Plaintext() bool {
	if c.tls != nil {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(c.url.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.Unmap().IsLoopback()
}

func (o Options) tls(u *url.URL) (*tls.Config, error) {
	if u.Scheme != "mqtts" && u.Scheme != "wss" {
		if o.CAFile+o.CertFile+o.KeyFile != "" {
			return nil, fmt.Errorf("a certificate is of no use with %s://: TLS is mqtts:// or wss://", u.Scheme)
		}
		return nil, nil
	}
	t := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", o.CAFile)
		}
	}
	if o.CertFile != "" || o.KeyFile != "" {
		if o.CertFile == "" || o.KeyFile == "" {
			return nil, errors.New("a client certificate needs its key, and the key its certificate")
		}
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// Do has the plugin carry out a command and returns the answer's data. args is what is marshalled to the command's further
// members, or nil. An answer that says no is an *AnswerError.
//
// A command that only reads (list…, get…) is asked once more if the connection ends meanwhile. One that comes too soon for the
// plugin is asked again until ctx or Patience ends.
func (c *Client) Do(ctx context.Context, command string, args any) (json.RawMessage, error) {
	reads := strings.HasPrefix(command, "list") || strings.HasPrefix(command, "get")
	began := time.Now()
	for lost := 0; ; {
		data, err := c.try(ctx, command, args)
		switch {
		case errors.Is(err, errLost) && reads && lost == 0:
			lost++
			continue
		case IsAnswer(err, tooSoon) && time.Since(began) < c.o.Patience:
			if err := pause(ctx, c.o.Pause); err != nil {
				return nil, err
			}
			continue
		}
		return data, err
	}
}

func (c *Client) try(ctx context.Context, command string, args any) (json.RawMessage, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return l.ask(ctx, command, args)
}

// connected returns the connection, which it makes if there is none.
func (c *Client) connected(ctx context.Context) (*link, error) {
	select {
	case c.connecting <- struct{}{}:
		defer func() { <-c.connecting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.link != nil && c.link.lives() {
		return c.link, nil
	}
	l, err := c.connect(ctx)
	if err == nil {
		c.link = l
	}
	return l, err
}

// Close ends the connection. A later command makes another.
func (c *Client) Close() {
	c.connecting <- struct{}{}
	defer func() { <-c.connecting }()
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
}

// pause waits for d, or for ctx to end.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
