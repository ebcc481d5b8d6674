package idp

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Endpoint names one of the provider's endpoints, for the counters and faults.
type Endpoint string

// The endpoints that are counted and can be made to fail.
const (
	Discovery  Endpoint = "discovery"
	JWKS       Endpoint = "jwks"
	Token      Endpoint = "token"
	Introspect Endpoint = "introspect"
	Revoke     Endpoint = "revoke"
)

const discoveryPath = oidc.DiscoveryEndpoint

// Answer is given instead of the provider's own. The zero Status means 200. Content-Type is sniffed from the body
// unless the header has it.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// front stands before the library's endpoints, counts and interferes.
type front struct {
	next http.Handler
	path map[string]Endpoint

	mu    sync.Mutex // guards gates and what they hold
	gates map[Endpoint]*gate
}

// gate is the state of one endpoint.
type gate struct {
	requests int // but for HEAD
	probes   int // about made-up tokens; not among requests
	last     *http.Request
	delay    time.Duration
	hold     chan struct{} // closed when the hold ends; nil: no hold
	answer   *Answer
	header   http.Header
}

func newFront(o *op.Provider) *front {
	f := &front{next: o, gates: map[Endpoint]*gate{}, path: map[string]Endpoint{
		discoveryPath:                     Discovery,
		pathOf(o.KeysEndpoint()):          JWKS,
		pathOf(o.TokenEndpoint()):         Token,
		pathOf(o.IntrospectionEndpoint()): Introspect,
		pathOf(o.RevocationEndpoint()):    Revoke,
	}}
	for _, endpoint := range f.path {
		f.gates[endpoint] = &gate{}
	}
	return f
}

// with calls do with an endpoint's gate, locked. An unknown endpoint is a mistake in the test, so it panics.
func (f *front) with(endpoint Endpoint, do func(*gate)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g, ok := f.gates[endpoint]
	if !ok {
		panic(fmt.Sprintf("idp: no endpoint %q", endpoint))
	}
	do(g)
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	endpoint, ok := f.path[r.URL.Path]
	if !ok {
		f.next.ServeHTTP(w, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var now gate
	f.with(endpoint, func(g *gate) {
		switch {
		case r.Method == http.MethodHead:
		case madeUp(r.PostForm.Get("token")):
			g.probes++
		default:
			g.requests++
			g.last = r.Clone(context.WithoutCancel(r.Context()))
		}
		now = *g
	})
	if now.hold != nil {
		select {
		case <-now.hold:
		case <-r.Context().Done():
			return
		}
	}
	if now.delay > 0 {
		select {
		case <-time.After(now.delay):
		case <-r.Context().Done():
			return
		}
	}
	if now.answer != nil {
		now.answer.write(w)
		return
	}
	maps.Copy(w.Header(), now.header)
	f.next.ServeHTTP(w, r)
}

// madeUp tells whether the plugin has made a token up to try the endpoint out, as it does at start and at each reload.
func madeUp(token string) bool {
	const mark = "go-jwt-auth-probe-"
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[len(parts)/2])
	return strings.HasPrefix(token, mark) || err == nil && strings.HasPrefix(string(claims), `{"jti":"`+mark)
}

func (a *Answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.Header)
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	// The client may be gone; there is nobody to tell.
	_, _ = w.Write([]byte(a.Body))
}

// Requests is how many requests of any method but HEAD have reached the endpoint. They count on arrival, before a
// hold or delay.
func (p *Provider) Requests(endpoint Endpoint) (n int) {
	p.front.with(endpoint, func(g *gate) { n = g.requests })
	return n
}

// Probes is how many requests about made-up tokens have reached the endpoint. They are not among Requests.
func (p *Provider) Probes(endpoint Endpoint) (n int) {
	p.front.with(endpoint, func(g *gate) { n = g.probes })
	return n
}

// Last is the latest request to the endpoint other than HEAD, with its form parsed and its body used up; nil if there
// was none. It must not be changed.
func (p *Provider) Last(endpoint Endpoint) (r *http.Request) {
	p.front.with(endpoint, func(g *gate) { r = g.last })
	return r
}

// SetDelay has requests that arrive from now on answered after d. Zero ends that.
func (p *Provider) SetDelay(endpoint Endpoint, d time.Duration) {
	p.front.with(endpoint, func(g *gate) { g.delay = d })
}

// Hold keeps requests that arrive from now on waiting until release is called, which may be done more than once. A
// second Hold on the same endpoint takes the place of the first for later requests.
func (p *Provider) Hold(endpoint Endpoint) (release func()) {
	hold := make(chan struct{})
	p.front.with(endpoint, func(g *gate) { g.hold = hold })
	return sync.OnceFunc(func() {
		close(hold)
		p.front.with(endpoint, func(g *gate) {
			if g.hold == hold {
				g.hold = nil
			}
		})
	})
}

// SetAnswer has requests that arrive from now on, HEAD too, answered by this answer. Nil ends that.
func (p *Provider) SetAnswer(endpoint Endpoint, answer *Answer) {
	p.front.with(endpoint, func(g *gate) { g.answer = answer })
}

// SetHeader adds header fields to the provider's own answers, such as Cache-Control. Nil ends that.
func (p *Provider) SetHeader(endpoint Endpoint, header http.Header) {
	p.front.with(endpoint, func(g *gate) { g.header = header.Clone() })
}
