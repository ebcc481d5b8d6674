package revocation

import (
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
)

// Prefetch asks in the background, for the client's next attempt: the answer is kept for `retryWindowMs`. It does nothing if that
// is under way already. It returns what the log should say of it; the error is ErrBusy.
func (c *Checker) Prefetch(token string, expires time.Time) (told string, err error) {
	digest := DigestOf(token)
	ask, unused := c.prefetched.begin(digest)
	if ask {
		slot, err := c.Acquire(token, expires)
		if err != nil {
			c.prefetched.cancel(digest)
			return "", err
		}
		go func() { c.prefetched.put(digest, slot.Ask(c.ctx), expires) }()
	}
	if unused {
		return fmt.Sprintf("it is being asked again, as the answer for the last attempt was kept %s in vain: %s "+
			"must be longer than the client waits before it comes again", c.cfg.RetryWindow, c.options.Path.Key("options.revocation.retryWindowMs")), nil
	}
	return "it is being asked", nil
}

// minPrefetched is how many answers of either kind are kept at least, however small the cache may be: all clients may come at
// once.
const minPrefetched = 10_000

// prefetched keeps what was asked between two attempts of a client. An active answer serves every attempt within the window, since
// several clients may have the same token. Any other answer, or a failure, serves one attempt, and the next asks again unless
// inactiveCache has the answer: the window may be longer than a token may be refused without being asked about. Safe for
// concurrent use.
type prefetched struct {
	window time.Duration
	now    func() time.Time

	mu sync.Mutex // guards all below
	// inflight are the tokens that are being asked about, each with whether it has been found inactive meanwhile. They are
	// bounded by the queue, and nothing evicts them.
	inflight map[Digest]bool
	// active are the active answers, others the rest. Tokens that strangers send end up among the others, and so never evict
	// an active answer. The oldest are evicted first.
	active, others *lru.Cache[Digest, *outcome]
}

// outcome is what came of asking.
type outcome struct {
	Answer
	validity
	used bool
}

func newPrefetched(cfg *config.Revocation, now func() time.Time) (*prefetched, error) {
	p := &prefetched{window: cfg.RetryWindow, now: now, inflight: map[Digest]bool{}}
	var err error
	if p.active, err = lru.New[Digest, *outcome](max(cfg.Cache.MaxEntries, minPrefetched)); err != nil {
		return nil, err
	}
	p.others, err = lru.New[Digest, *outcome](max(cfg.Cache.MaxEntries, minPrefetched))
	return p, err
}

// take returns the outcome for a token, and removes it unless it is active.
func (p *prefetched) take(key Digest) (Answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.find(key)
	if o == nil || !o.isValid(p.now()) {
		return Answer{}, false
	}
	if o.err != nil || !o.active {
		p.remove(key)
	}
	o.used = true
	return o.Answer, true
}

// begin tells whether the token is to be asked about: not if it is being asked about, or if the answer has just come in. unused
// says that the last answer was never taken: the client waits for longer than the window.
func (p *prefetched) begin(key Digest) (ask, unused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, asking := p.inflight[key]; asking {
		return false, false
	}
	o := p.find(key)
	if o != nil && o.isValid(p.now()) {
		return false, false
	}
	p.remove(key)
	p.inflight[key] = false
	return true, o != nil && !o.used
}

// cancel undoes begin if nothing could be asked.
func (p *prefetched) cancel(key Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inflight, key)
}

// put keeps what came of asking, an active answer never past the end of its token.
func (p *prefetched) put(key Digest, said Answer, expires time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	withdrawn := p.inflight[key]
	delete(p.inflight, key)
	came := said.at // it may have waited to get here
	if came.IsZero() {
		came = p.now()
	}
	o := &outcome{Answer: said, validity: validity{until: came.Add(p.window)}}
	if said.err == nil && said.active {
		if withdrawn {
			return // a later answer says that it is inactive
		}
		o.ends = endOf(said.response, expires)
		p.active.Add(key, o)
		return
	}
	p.others.Add(key, o)
}

// observe is told every answer of the endpoint about a token, in the order in which they come. An inactive one removes an active
// one, even if that is yet to be put.
func (p *prefetched) observe(key Digest, active bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, asking := p.inflight[key]; asking {
		p.inflight[key] = !active
	}
	if !active {
		p.active.Remove(key)
	}
}

// find leaves the order of eviction as it is, which is that of arrival.
func (p *prefetched) find(key Digest) *outcome {
	if o, found := p.active.Peek(key); found {
		return o
	}
	o, _ := p.others.Peek(key)
	return o
}

func (p *prefetched) remove(key Digest) {
	p.active.Remove(key)
	p.others.Remove(key)
}
