// Package revocation asks the identity provider whether a token is still active: at an introspection endpoint (RFC
// 7662), or at one of the user's own kind.
//
// What is known without asking is told by Recall, which never waits. All else takes a place in a bounded queue (Reserve)
// and then waits for the answer (Question.Ask), or has it fetched for the client's next attempt (Prepare).
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
	"go-jwt-auth/plugin/verdict"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Options are what a Checker needs from the house.
type Options struct {
	Client *endpoint.Client
	// Locate returns the address of the endpoint, where the configuration has none. It may have to ask the provider's
	// discovery document for it; with a ctx that has ended it answers from memory or fails at once.
	Locate func(ctx context.Context) (string, error)
	// Issuer is the provider as the configuration names it; empty: it does not.
	Issuer string
	Now    func() time.Time
	// Report takes what the operator should know, from any goroutine.
	Report func(event.Note)
}

// Checker asks one endpoint. Safe for concurrent use.
type Checker struct {
	protocol
	Options
	cfg      *config.Revocation
	endpoint string
	cache    *cache
	memory   *memory
	ahead    *ahead
	breaker  *breaker
	// queue bounds all who wait, turns the requests that are under way; calls merges equal ones.
	queue *queue
	turns *semaphore.Weighted
	calls singleflight.Group
	// trying is true while Trial has the endpoint tried.
	trying atomic.Bool
	// ctx ends with Close, and with it the requests.
	ctx    context.Context
	cancel context.CancelFunc
}

// protocol is how a kind of endpoint is asked and understood.
type protocol interface {
	// name is the step's name in the trace, expected what the answer must say there.
	name() string
	expected() string
	request(uri, token string) (endpoint.Request, error)
	// read returns what the answer says. An error means that nothing was learnt.
	read(answer *endpoint.Answer) (answered, error)
}

// answered is what an endpoint has said of a token.
type answered struct {
	active bool
	// claims are those of an introspection response.
	claims map[string]any
	// found is what stood where the expected was looked for.
	found string
}

// Answer is what was learnt of a token, or why nothing was.
type Answer struct {
	answered
	// from is the endpoint, as a log may show it.
	from string
	err  error
}

// New returns the Checker that cfg describes.
func New(cfg *config.Revocation, o Options) (*Checker, error) {
	c := &Checker{
		Options: o, cfg: cfg,
		queue: newQueue(cfg.MaxConcurrent),
		turns: semaphore.NewWeighted(int64(cfg.MaxConcurrent)),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.breaker = newBreaker(func(n event.Note) { o.Report(event.Note{Level: n.Level, Text: c.name() + " endpoint: " + n.Text}) })
	var err error
	if c.cache, err = newCache(cfg.Cache, o.Now); err != nil {
		return nil, err
	}
	if c.memory, err = newMemory(cfg.Cache); err != nil {
		return nil, err
	}
	if c.ahead, err = newAhead(cfg, o.Now); err != nil {
		return nil, err
	}
	uri, path := cfg.Introspection.URI, cfg.Introspection.Request.Path
	if cfg.Plain != nil {
		c.protocol, uri, path = plain{*cfg.Plain}, cfg.Plain.URI, cfg.Plain.Request.Path
	} else if c.protocol, err = newIntrospection(cfg.Introspection, o); err != nil {
		return nil, err
	}
	if uri != "" {
		c.Locate = func(context.Context) (string, error) { return uri, nil }
		c.endpoint = target(uri, path, config.TokenPlaceholder)
	} else {
		c.endpoint = o.Issuer + " " + path
	}
	return c, nil
}

// Endpoint identifies the endpoint as it is configured: its address, or the issuer whose discovery document names it, with
// what requestParameters puts in the place of its path. Two Checkers with the same one ask the same endpoint of the same
// provider, if not with the same credentials. It is for comparing, not for the log: a query can hold an API key.
func (c *Checker) Endpoint() string { return c.endpoint }

// Inherit takes over from an older Checker what speaks against tokens and against the endpoint: which tokens were found
// inactive, and the state of the breaker. It does so only where the endpoint is the same and asked in the same way; answers
// that speak for a token are never taken over. It must be called before c is asked anything, and waits for nothing.
func (c *Checker) Inherit(from *Checker) {
	if c.endpoint != from.endpoint || !sameManner(c.cfg, from.cfg) {
		return
	}
	c.memory, c.breaker = from.memory, from.breaker
	c.memory.resize(c.cfg.Cache)
}

// sameManner tells whether two configurations ask with the same request and credentials, and read the answer alike.
func sameManner(a, b *config.Revocation) bool {
	// What is compared is in Secrets, behind pointers, too, and DeepEqual follows those.
	return reflect.DeepEqual(a.Introspection, b.Introspection) && reflect.DeepEqual(a.Plain, b.Plain)
}

// Close ends the requests that are under way.
func (c *Checker) Close() { c.cancel() }

// URI is the address of the endpoint.
func (c *Checker) URI(ctx context.Context) (string, error) { return c.Locate(ctx) }

// Recall tells what is known of the token without asking: an answer that is kept, what a put-off attempt has brought, or
// that the endpoint is being left alone. It never waits. An answer that speaks for a token is only ever the last one.
func (c *Checker) Recall(token string) (said Answer, known bool) {
	if uri, err := c.Locate(ended()); err == nil {
		if kept, found := c.cache.get(questionOf(uri, token)); found {
			return Answer{answered: kept, from: endpoint.Redact(uri)}, true
		}
	}
	if said, known = c.ahead.take(token); known {
		return said, true
	}
	if said, known = c.memory.refuses(c.remembered(token), c.Now(), c.cfg.Cache.NegativeTTL); known {
		return said, true
	}
	if err := c.breaker.refusal(); err != nil {
		return Answer{err: err}, true
	}
	return Answer{}, false
}

// WasInactive tells whether the last answer about the token, as far as it is remembered, was that it is not active. Such a
// token must not be admitted before the endpoint has said otherwise.
func (c *Checker) WasInactive(token string) bool { return c.memory.holds(c.remembered(token)) }

// remembered is what memory knows the token by.
func (c *Checker) remembered(token string) question { return questionOf(c.endpoint, token) }

// Trial is for a caller that keeps everybody waiting while it asks (Mosquitto 2.0). Where the endpoint has been left alone
// for long enough that one request may try it, that is done in the background with this token, and the answer is the one of
// an endpoint that is left alone. It never waits.
func (c *Checker) Trial(token string, expires time.Time) (Answer, bool) {
	err := c.breaker.rested()
	if err == nil {
		return Answer{}, false
	}
	if c.trying.CompareAndSwap(false, true) {
		question, busy := c.Reserve(token, expires)
		go func() {
			defer c.trying.Store(false)
			if busy == nil {
				question.Ask(c.ctx)
			}
		}()
	}
	return Answer{err: err}, true
}

// ended is a context that waits for nothing.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// Reserve takes a place among those who wait, for one question about a token that expires then (zero: not known). Equal
// questions share a place. It never waits itself; the error is ErrBusy where there is no place.
func (c *Checker) Reserve(token string, expires time.Time) (*Question, error) {
	if err := c.queue.enter(token); err != nil {
		return nil, fmt.Errorf("%w for the %s endpoint ($.options.revocation.maxConcurrent is %d)", err, c.name(), c.cfg.MaxConcurrent)
	}
	return &Question{checker: c, token: token, expires: expires}, nil
}

// Question is a place among those who wait. Either Ask or Drop gives it back, and one of them must be called, once.
type Question struct {
	checker *Checker
	token   string
	expires time.Time
}

// Drop leaves the question unasked.
func (q *Question) Drop() { q.checker.queue.leave(q.token) }

// Ask waits for the endpoint's answer: until ctx ends, and for the configured timeout at most, its turn included. Equal
// questions that are under way share one request.
func (q *Question) Ask(ctx context.Context) Answer {
	defer q.Drop()
	c := q.checker
	shared := c.calls.DoChan(q.token, func() (any, error) { return c.ask(q.token, q.expires), nil })
	select {
	case result := <-shared:
		return result.Val.(Answer) //nolint:errcheck,forcetypeassert // the function above returns nothing else
	case <-ctx.Done():
		return Answer{err: ctx.Err()}
	}
}

// Prepare asks in the background for the client's next attempt, for which the answer is kept (`retryWindowMs`). Nothing
// happens where that is under way already. It returns what to tell of that in the log; the error is ErrBusy.
func (c *Checker) Prepare(token string, expires time.Time) (string, error) {
	ask, wasted := c.ahead.begin(token)
	if ask {
		question, err := c.Reserve(token, expires)
		if err != nil {
			c.ahead.forget(token)
			return "", err
		}
		go func() { c.ahead.put(token, question.Ask(c.ctx), expires) }()
	}
	if wasted {
		return fmt.Sprintf("it is being asked again, as the answer for the last attempt was kept %s in vain: $.options.revocation.retryWindowMs "+
			"must be longer than the client waits before it comes again", c.cfg.RetryWindow), nil
	}
	return "it is being asked", nil
}

// Try asks about a token that nobody holds, to learn how the endpoint answers these credentials: past queue, breaker and
// memory, none of which knows of it afterwards. The error says that nothing was learnt, and why. It waits until ctx ends, and
// for the configured timeout at most.
func (c *Checker) Try(ctx context.Context, token string) (active bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	uri, err := c.Locate(ctx)
	if err != nil {
		return false, err
	}
	said, err := c.exchange(ctx, uri, token)
	return said.active, err
}

// ask makes the request when its turn has come, and keeps the answer where it may be kept. It runs on a goroutine of its
// own, where a panic would take the broker down.
func (c *Checker) ask(token string, expires time.Time) (said Answer) {
	defer func() {
		if fault := recover(); fault != nil {
			said.err = fmt.Errorf("fault while asking: %v", fault)
		}
	}()
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Timeout)
	defer cancel()
	if c.turns.Acquire(ctx, 1) != nil {
		said.err = fmt.Errorf("its turn did not come within %s: %d requests are under way ($.options.revocation.maxConcurrent)",
			c.cfg.Timeout, c.cfg.MaxConcurrent)
		return said
	}
	defer c.turns.Release(1)
	deadline, _ := ctx.Deadline()
	late := time.Until(deadline) < c.cfg.Timeout/2
	said.err = c.breaker.try(func() error {
		uri, err := c.Locate(ctx)
		if err == nil {
			said.from = endpoint.Redact(uri)
			said.answered, err = c.exchange(ctx, uri, token)
		}
		switch {
		case err == nil:
			c.learn(uri, token, said, expires)
		case late && errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("%w, %w", err, errLate)
		}
		return err
	})
	return said
}

// learn keeps an answer in the place of what is known of the token.
func (c *Checker) learn(uri, token string, said Answer, expires time.Time) {
	c.cache.put(questionOf(uri, token), said.answered, expires)
	c.memory.note(c.remembered(token), said.answered, said.from, c.Now())
	c.ahead.learn(token, said.active)
}

func (c *Checker) exchange(ctx context.Context, uri, token string) (answered, error) {
	request, err := c.request(uri, token)
	if err != nil {
		return answered{}, err
	}
	request.Name = endpoint.Redact(uri)
	answer, err := c.Client.Do(ctx, c.cfg.Timeout, request)
	if err != nil {
		return answered{}, err
	}
	return c.read(answer)
}

// errUnfit is a token that can't be put where the request wants it.
var errUnfit = errors.New("the token holds characters that can't stand where the request has its place (a header or a path)")

// errLate is a request that got no answer in the little time that its turn had left: where many wait, the last ones of each
// round end so, all at once, however well the endpoint is.
var errLate = errors.New("most of which it waited for its turn ($.options.revocation.maxConcurrent)")

// Judge turns an answer into a verdict: Accept, Deny with Revoked, or Deny with ProviderUnavailable where nothing was
// learnt. The claims are what an introspection response says about an active token (RFC 7662 §2.2).
func (c *Checker) Judge(said Answer, trace *verdict.Trace) (map[string]any, verdict.Verdict) {
	switch {
	case errors.Is(said.err, errUnfit):
		return nil, trace.FailWith(verdict.Refuse(verdict.Malformed, "%s", said.err), c.name(), c.expected(), "no question could be asked")
	case said.err != nil:
		return nil, trace.FailWith(verdict.Refuse(verdict.ProviderUnavailable, "%s", said.err), c.name(), c.expected(), said.err.Error())
	case !said.active:
		return nil, trace.FailWith(verdict.Refuse(verdict.Revoked, "%s says that it is not active: %s", said.from, said.found),
			c.name(), c.expected(), said.found)
	}
	trace.Pass(c.name(), c.expected(), said.found)
	return said.claims, verdict.Verdict{Kind: verdict.Accept}
}
