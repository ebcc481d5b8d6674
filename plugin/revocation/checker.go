// Package revocation asks the identity provider whether a token is still active: at an introspection endpoint (RFC 7662), or at
// an endpoint of the operator's own ("plain").
//
// A Checker asks one endpoint. Lookup tells what is known without asking, and never waits. A login that can wait takes a Slot
// (Acquire) and waits for the answer (Slot.Ask); for a login that can't, Prefetch fetches the answer for the client's next
// attempt. Judge turns an Answer into a verdict.
//
// The package doesn't verify signatures or claims, and doesn't decide when a token is to be asked about or what happens if the
// endpoint gives no answer: its caller does.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/guard"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Options are a Checker's dependencies.
type Options struct {
	// Path is where the provider stands in jwt.json, for messages that name a key.
	Path   config.Path
	Client *endpoint.Client
	// Locate returns the address of the endpoint if the configuration has none. It may have to ask the provider for its
	// discovery document; with a ctx that has ended it answers from memory or fails at once.
	Locate func(ctx context.Context) (string, error)
	// Issuer is the provider's issuer in the configuration; empty: there is none.
	Issuer string
	Now    func() time.Time
	// Requested takes each request and each look for a remembered answer, from any goroutine; nil: nobody wants to know.
	Requested func(event.Request)
	// Report takes what the operator should know. It is called from any goroutine.
	Report func(event.Note)
}

// Checker asks one endpoint. Checkers share nothing but what Inherit takes over, even if they ask the same endpoint. Safe for
// concurrent use.
type Checker struct {
	options  Options
	cfg      *config.Revocation
	protocol protocol
	endpoint string

	active     *activeCache
	inactive   *inactiveCache
	prefetched *prefetched
	breaker    *breaker
	// queue bounds the logins that wait, inflight the requests under way; calls merges equal requests.
	queue    *queue
	inflight *semaphore.Weighted
	// asking counts the requests that are under way.
	asking    atomic.Int32
	latencies latencies
	calls     singleflight.Group
	// recovering is true while ProbeRecovery has a request under way.
	recovering atomic.Bool
	// ctx ends with Close, and with it every request.
	ctx    context.Context
	cancel context.CancelFunc
}

// protocol is how a kind of endpoint is asked, and how its answer is read.
type protocol interface {
	// name is the name of the check in the trace, expected what the answer must say.
	name() string
	expected() string
	request(uri, token string) (endpoint.Request, error)
	// read returns what the endpoint says about the token. An error means that it said nothing of use.
	read(answer *endpoint.Answer) (response, error)
}

// New returns the Checker that cfg describes. It asks nothing yet.
func New(cfg *config.Revocation, o Options) (*Checker, error) {
	c := &Checker{
		options: o, cfg: cfg,
		queue:    newQueue(cfg.MaxConcurrent),
		inflight: semaphore.NewWeighted(int64(cfg.MaxConcurrent)),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.breaker = newBreaker(o.Path, c.report)
	var err error
	if c.active, err = newActiveCache(cfg.Cache, o.Now); err != nil {
		return nil, err
	}
	if c.inactive, err = newInactiveCache(cfg.Cache); err != nil {
		return nil, err
	}
	if c.prefetched, err = newPrefetched(cfg, o.Now); err != nil {
		return nil, err
	}
	uri, path := cfg.Introspection.URI, cfg.Introspection.Request.Path
	if cfg.Plain != nil {
		c.protocol, uri, path = plain{*cfg.Plain, o.Path}, cfg.Plain.URI, cfg.Plain.Request.Path
	} else if c.protocol, err = newIntrospection(cfg.Introspection, o); err != nil {
		return nil, err
	}
	if uri != "" {
		c.options.Locate = func(context.Context) (string, error) { return uri, nil }
		c.endpoint = target(uri, path, config.TokenPlaceholder)
	} else {
		c.endpoint = o.Issuer + " " + path
	}
	return c, nil
}

// report passes on what the operator should know of the endpoint.
func (c *Checker) report(n event.Note) {
	n.Text = c.protocol.name() + " endpoint: " + n.Text
	c.options.Report(n)
}

// Close ends the requests that are under way.
func (c *Checker) Close() { c.cancel() }

// URI is the address of the endpoint.
func (c *Checker) URI(ctx context.Context) (string, error) { return c.options.Locate(ctx) }

// Endpoint identifies the endpoint as it is configured: its address, or the issuer whose discovery document names it, with the
// path that requestParameters puts in place of its own. Two Checkers with the same Endpoint ask the same endpoint of the same
// provider, but perhaps with other credentials. It is for comparing, not for the log: a query can hold an API key.
func (c *Checker) Endpoint() string { return c.endpoint }

// Inherit takes over from an older Checker what speaks against tokens and against the endpoint: which tokens were found
// inactive, and the state of the circuit breaker. It does so only if the endpoint is the same and is asked in the same way;
// answers that speak for a token are never taken over. It must be called before c is asked anything, and doesn't wait.
func (c *Checker) Inherit(from *Checker) {
	if c.endpoint != from.endpoint || !askAlike(c.cfg, from.cfg) {
		return
	}
	c.inactive, c.breaker = from.inactive, from.breaker
	c.inactive.resize(c.cfg.Cache)
	c.breaker.reportTo(c.options.Path, c.report)
}

// askAlike tells whether two configurations send the same request with the same credentials, and read the answer alike.
func askAlike(a, b *config.Revocation) bool {
	// DeepEqual follows pointers, and so compares what is in Secrets, too.
	return reflect.DeepEqual(a.Introspection, b.Introspection) && reflect.DeepEqual(a.Plain, b.Plain)
}

// Lookup tells what is known of a token without asking: a cached answer, what Prefetch has brought, or that the circuit breaker
// lets nobody ask. It never waits. An answer that speaks for a token is always the last one.
func (c *Checker) Lookup(token Digest) (said Answer, known bool) {
	if said, known = c.remembered(token); known {
		c.requested(event.Request{For: event.Lookup, Result: event.Hit})
		return said, true
	}
	c.requested(event.Request{For: event.Lookup, Result: event.Miss})
	if err := c.breaker.open(); err != nil {
		return Answer{err: err}, true
	}
	return Answer{}, false
}

// remembered is an answer that was given before.
func (c *Checker) remembered(token Digest) (said Answer, known bool) {
	if uri, err := c.options.Locate(canceled); err == nil {
		if said, found := c.active.get(keyOf(uri, token)); found {
			return Answer{response: said, from: endpoint.Redact(uri)}, true
		}
	}
	if said, known = c.prefetched.take(token); known {
		return said, true
	}
	return c.inactive.get(c.inactiveKey(token), c.options.Now(), c.cfg.Cache.NegativeTTL)
}

func (c *Checker) requested(r event.Request) {
	if c.options.Requested != nil {
		c.options.Requested(r)
	}
}

// Condition is how a Checker stands with its endpoint.
type Condition struct {
	// Open: the circuit breaker lets nobody ask. HalfOpen: a single request is to test the endpoint, or does.
	Open, HalfOpen bool
	// Failure is the last one, while either is true.
	Failure error
	// Waiting is how many tokens are being asked about or wait for their turn, Asking how many requests are under way.
	Waiting, Asking int
	// Answered is when the last answer came; zero: none yet.
	Answered time.Time
	Latency  Latency
	// Endpoint is its address, for showing; empty: it is not known yet.
	Endpoint string
}

// Condition is that of now.
func (c *Checker) Condition() Condition {
	now := Condition{Open: c.breaker.open() != nil, HalfOpen: c.breaker.halfOpen() != nil, Waiting: c.queue.len(), Asking: int(c.asking.Load())}
	if now.Open || now.HalfOpen {
		now.Failure = c.breaker.lastFailure()
	}
	now.Latency, now.Answered = c.latencies.sum()
	if uri, err := c.options.Locate(canceled); err == nil {
		now.Endpoint = endpoint.Redact(uri)
	}
	return now
}

// canceled is a context with which nothing waits.
var canceled = func() context.Context { //nolint:gochecknoglobals // a constant
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// WasInactive tells whether the last answer about the token, as far as it is remembered, was that it is not active. Such a
// token must not be admitted before the endpoint has said otherwise.
func (c *Checker) WasInactive(token Digest) bool { return c.inactive.contains(c.inactiveKey(token)) }

// inactiveKey is the token's key in c.inactive: the endpoint's identity takes the place of its address, which may be unknown for
// a while if a discovery document names it.
func (c *Checker) inactiveKey(token Digest) cacheKey { return keyOf(c.endpoint, token) }

// ProbeRecovery is for a caller that blocks the broker while it asks (Mosquitto 2.0). If the circuit breaker has kept everybody
// from asking for long enough that one request may test the endpoint, that request is made in the background, with this token,
// and ProbeRecovery returns the Answer of an endpoint that is not asked, and true. In any other state of the breaker it does
// nothing and returns false. It never waits.
func (c *Checker) ProbeRecovery(token string, expires time.Time) (Answer, bool) {
	err := c.breaker.halfOpen()
	if err == nil {
		return Answer{}, false
	}
	if c.recovering.CompareAndSwap(false, true) {
		slot, busy := c.Acquire(token, expires)
		go func() {
			defer c.recovering.Store(false)
			if busy == nil {
				slot.Ask(c.ctx)
			}
		}()
	}
	return Answer{err: err}, true
}

// AskDirectly asks about a made-up token, to learn how the endpoint answers these credentials: past queue, circuit breaker and
// caches, which are left as they are. It waits until ctx ends, and for the configured timeout at most. An error says why
// nothing was learnt.
func (c *Checker) AskDirectly(ctx context.Context, token string) (active bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	uri, err := c.options.Locate(ctx)
	if err != nil {
		return false, err
	}
	said, err := c.exchange(ctx, uri, token)
	return said.active, err
}

// ask makes the request once there is room for it (maxConcurrent), and caches the answer. It waits for the configured timeout at
// most, and runs on a goroutine of its own.
func (c *Checker) ask(token string, expires time.Time) (said Answer) {
	defer guard.Catch(func(fault error) { said.err = fmt.Errorf("fault while asking: %w", fault) })
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Timeout)
	defer cancel()
	if c.inflight.Acquire(ctx, 1) != nil {
		said.err = fmt.Errorf("its turn did not come within %s: %d requests are under way (%s)",
			c.cfg.Timeout, c.cfg.MaxConcurrent, c.options.Path.Key("options.revocation.maxConcurrent"))
		return said
	}
	defer c.inflight.Release(1)
	c.asking.Add(1)
	defer c.asking.Add(-1)
	deadline, _ := ctx.Deadline()
	late := time.Until(deadline) < c.cfg.Timeout/2
	said.err = c.breaker.try(func() error {
		uri, err := c.options.Locate(ctx)
		if err == nil {
			said.from = endpoint.Redact(uri)
			began := c.options.Now()
			said.response, err = c.exchange(ctx, uri, token)
			said.at = c.options.Now()
			if err == nil {
				c.latencies.add(said.at.Sub(began), said.at)
			}
			c.requested(event.Request{For: event.Introspection, Result: resultOf(said.response, err), Took: said.at.Sub(began)})
		}
		switch {
		case err == nil:
			c.store(uri, token, said, expires)
		case late && errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("%w, %w (%s)", err, errLate, c.options.Path.Key("options.revocation.maxConcurrent"))
		}
		return err
	})
	return said
}

// resultOf is what came of a request.
func resultOf(said response, err error) string {
	switch {
	case err != nil:
		return event.Failed
	case said.active:
		return event.Active
	default:
		return event.Inactive
	}
}

// exchange sends one request and reads the answer.
func (c *Checker) exchange(ctx context.Context, uri, token string) (response, error) {
	request, err := c.protocol.request(uri, token)
	if err != nil {
		return response{}, err
	}
	request.Name = endpoint.Redact(uri)
	answer, err := c.options.Client.Do(ctx, c.cfg.Timeout, request)
	if err != nil {
		return response{}, err
	}
	return c.protocol.read(answer)
}

// store replaces what is known of the token by a new answer.
func (c *Checker) store(uri, token string, said Answer, expires time.Time) {
	digest := DigestOf(token)
	c.active.put(keyOf(uri, digest), said.response, expires)
	c.inactive.put(c.inactiveKey(digest), said.response, said.from, c.options.Now())
	c.prefetched.observe(digest, said.active)
}
