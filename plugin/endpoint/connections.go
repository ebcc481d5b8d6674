package endpoint

import (
	"crypto/tls"
	"net/http"
	"sync"
	"time"
)

// maxHeader is the most that the header of an answer may have, in bytes.
const maxHeader = 64 << 10

// idleConnsPerHost keeps the connections alive that a burst of logins has opened: as many as jwt.json can ask for
// (`maxConcurrent`). HTTP/2, which needs one alone, is used if the endpoint offers it.
const idleConnsPerHost = 1024

// greatestAge is how long connections serve. A provider that has moved is found by its new address within a minute, even
// while the old machine answers.
const greatestAge = 45 * time.Second

// An HTTP/2 connection on which nothing arrives for quietness is asked for a sign of life, and given up without one.
const (
	quietness  = 10 * time.Second
	signOfLife = 5 * time.Second
)

// connections are those that new requests may use, held by a transport. It is replaced, and they with it, when they have
// reached their greatest age, and when a request on one of them timed out: the other end may have gone without a word, and
// TCP alone would go on for a quarter of an hour. Requests under way come to their own end. Safe for concurrent use.
type connections struct {
	// blank is the transport of which those in use are clones.
	blank *http.Transport
	now   func() time.Time

	mu   sync.Mutex // guards all below
	in   *http.Transport
	born time.Time
}

func newConnections(t *tls.Config) *connections {
	blank := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck,forcetypeassert // it is one, by its doc
	blank.TLSClientConfig = t
	blank.DialContext = newDialer().DialContext
	blank.MaxIdleConns, blank.MaxIdleConnsPerHost = 0, idleConnsPerHost
	blank.IdleConnTimeout = greatestAge
	blank.MaxResponseHeaderBytes = maxHeader
	blank.HTTP2 = &http.HTTP2Config{SendPingTimeout: quietness, PingTimeout: signOfLife}
	return &connections{blank: blank, now: time.Now}
}

// RoundTrip is for http.Client.
func (c *connections) RoundTrip(r *http.Request) (*http.Response, error) {
	return c.current().RoundTrip(r)
}

// current is the transport for a new request.
func (c *connections) current() *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in != nil && c.now().Sub(c.born) >= greatestAge {
		c.drop()
	}
	if c.in == nil {
		c.in, c.born = c.blank.Clone(), c.now()
	}
	return c.in
}

// retire keeps new requests from the connections of t.
func (c *connections) retire(t *http.Transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in == t {
		c.drop()
	}
}

// drop closes what is idle now, and what becomes idle later.
func (c *connections) drop() {
	go c.in.CloseIdleConnections() // which may write to each of them
	c.in = nil
}
