package keyset

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/once"
)

const (
	// A set is read again unasked no sooner than this after a failure, and only if it lives for longer.
	refreshRest = 5 * time.Second
	// If logins wait so long together that more of them would be put off, even a set that is read anew for each serves for so
	// long.
	pressedFor = time.Second
)

// remote is a JWKS URL.
type remote struct {
	cfg    *config.Provider
	uri    string // empty: Locate finds it
	accept acceptance
	Options

	ctx   context.Context
	close context.CancelFunc

	mu    reportingMutex // guards all below
	fetch once.Fetcher[answered]
	snapshot
	misses misses
	waits  waits
}

var (
	_ Source    = (*remote)(nil)
	_ Refresher = (*remote)(nil)
	_ keeper    = (*remote)(nil)
	_ heir      = (*remote)(nil)
)

func newRemote(cfg *config.Provider, accept acceptance, o Options) *remote {
	ctx, cancel := context.WithCancel(context.Background())
	r := &remote{
		cfg: cfg, uri: cmp.Or(cfg.JWKS.URI, cfg.OIDC.JWKSURI), accept: accept, Options: o, ctx: ctx, close: cancel,
		mu: reportingMutex{to: o.Report}, misses: newMisses(), waits: newWaits(cfg.JWKS.MaxBlock),
	}
	r.Client = o.Client.ForKeys(cfg)
	r.fetch = once.Fetcher[answered]{Lock: &r.mu, Now: o.Now, Get: r.get, Keep: r.keep}
	return r
}

func (r *remote) String() string {
	if r.uri == "" {
		return "the issuer"
	}
	return endpoint.Redact(r.uri)
}

// Close ends a fetch that is under way.
func (r *remote) Close() { r.close() }

// Find looks into the current set, and asks for a fresh one if that has run out or does not know the key. A fetch that was
// under way already may have been answered before the key was published: then another one is asked for.
func (r *remote) Find(ctx context.Context, kid, alg string) ([]any, error) {
	for {
		found, fetch, joined, err := r.answer(kid, alg)
		if fetch == nil {
			return found, err
		}
		err = r.wait(ctx, fetch)
		if found := r.findAfter(err, kid, alg); len(found) > 0 {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if !joined {
			return nil, ErrUnknownKey
		}
	}
}

// Settled looks at memory alone.
func (r *remote) Settled(kid, alg string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, is := r.lookup(kid, alg, r.Now())
	return is != missing
}

// state is what can be said of a key without asking the provider.
type state uint8

const (
	// missing: only a fresh set can tell.
	missing state = iota
	// current: the set in force has it.
	current
	// outdated: the set that stands in while the provider is out of reach has it.
	outdated
	// unavailable: there is no set, or none with it, and the last fetch has failed.
	unavailable
	// absent: the set in force does not have it, and was just read to find it.
	absent
	// unknown: the set in force does not have it, and so many unknown keys were asked for that it is not read again.
	unknown
)

// lookup looks for the key in memory, and changes nothing. r.mu is held.
func (r *remote) lookup(kid, alg string, now time.Time) (found []any, is state) {
	found, _ = r.set.find(kid, alg)
	fresh := r.judge(now).freshness()
	switch {
	case fresh == stale && len(found) > 0:
		return found, outdated
	case fresh <= stale && r.fetch.Outage.Resting(now):
		return found, unavailable
	case fresh <= stale:
		return found, missing
	case len(found) > 0:
		return found, current
	case r.misses.confirmed(kid, now):
		return nil, absent
	case r.fetch.Outage.Resting(now):
		return nil, unavailable
	case r.fetch.UnderWay() == nil && r.misses.exhausted(now):
		if r.fetch.Outage.Err != nil {
			return nil, unavailable
		}
		return nil, unknown
	}
	return nil, missing
}

// judge is the condition of the set, with what the provider and the logins that wait do to it. r.mu is held.
func (r *remote) judge(now time.Time) condition {
	c := r.condition(now, r.cfg.JWKS.Cache.MaxStale)
	underWay := r.fetch.UnderWay()
	c.outOfReach = r.fetch.Outage.Err != nil || (underWay != nil && now.Sub(underWay.Began) >= r.cfg.JWKS.MaxBlock)
	if r.Blocks && r.life == 0 && r.waits.left(now) <= 0 {
		c.grace = pressedFor
	}
	if r.waits.pendingRetries > 0 {
		c.grace = max(c.grace, r.cfg.JWKS.Timeout)
	}
	return c
}

// answer answers from memory, or returns the fetch that has to be waited for; joined: it was under way already.
func (r *remote) answer(kid, alg string) (found []any, fetch *once.Fetch, joined bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	found, is := r.lookup(kid, alg, now)
	condition := r.judge(now)
	r.waits.retry()
	switch is {
	case current, outdated:
		if condition.runsOut() && !r.fetch.Outage.Resting(now) {
			r.join() // in the background
		}
		if is == outdated {
			r.sayStale(r.fetch.Outage.Err, r.cfg.JWKS.Cache.MaxStale, r.String(), r.mu.report)
		} else {
			r.noteCrowd(kid, alg, found)
		}
		return found, nil, false, nil
	case unavailable:
		return nil, nil, false, &UnavailableError{Cause: r.fetch.Outage.Err}
	case absent:
		return nil, nil, false, ErrUnknownKey
	case unknown:
		return nil, nil, false, fmt.Errorf("%w, and so many unknown keys were asked for that the set is read again only every %s",
			ErrUnknownKey, unknownEvery)
	default:
		joined = r.fetch.UnderWay() != nil
		if !joined && condition.freshness() == fresh {
			r.misses.count(now)
		}
		r.misses.add(kid, now)
		return nil, r.join(), joined, nil
	}
}

// findAfter looks into the set that a fetch has brought; if it has failed or takes too long, into the last good one.
func (r *remote) findAfter(err error, kid, alg string) []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	condition := r.judge(r.Now())
	if err != nil && !condition.mayStandIn() {
		return nil
	}
	found, _ := r.set.find(kid, alg)
	if err != nil && len(found) > 0 && condition.freshness() != fresh {
		r.sayStale(r.fetch.Outage.Err, r.cfg.JWKS.Cache.MaxStale, r.String(), r.mu.report)
	}
	r.noteCrowd(kid, alg, found)
	return found
}

// noteCrowd says once for a set that a token fits more keys than are tried. r.mu is held.
func (r *remote) noteCrowd(kid, alg string, found []any) {
	if len(found) == MaxTries {
		_, fitting := r.set.find(kid, alg)
		r.crowd.note(r.mu.report, r.String(), fitting)
	}
}

// RefreshAt is in the last fifth of the life of the set, and refreshRest after a failure; at once for an inherited set. Sets of
// a very short life are read when they are asked for.
func (r *remote) RefreshAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refreshAt()
}

// refreshAt wants r.mu held.
func (r *remote) refreshAt() time.Time {
	at := r.arrived.Add(r.life - r.life/5)
	if r.inherited {
		at = r.arrived
	}
	switch failed := r.fetch.Outage.Since.Add(refreshRest); {
	case !r.cfg.JWKS.Cache.Enabled || (r.set.Len() > 0 && !r.inherited && r.life < refreshRest):
		return time.Time{}
	case r.fetch.UnderWay() != nil:
		return r.Now().Add(time.Second) // to see what came of it
	case r.fetch.Outage.Err != nil && at.Before(failed):
		return failed
	case r.set.Len() == 0:
		return time.Time{} // it is read when it is first needed
	default:
		return at
	}
}

// Refresh begins to read the set if that is due.
func (r *remote) Refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.refreshAt(); !at.IsZero() && !r.Now().Before(at) {
		r.join()
	}
}

// Doubt begins to read the set again, unless it was read a moment ago.
func (r *remote) Doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	if r.fetch.UnderWay() == nil && !r.fetch.Outage.Resting(now) && r.misses.mayDoubt(now.Sub(r.arrived), now) {
		r.join()
	}
}

// ShareWaits leaves a part of the time for waits to others.
func (r *remote) ShareWaits(sources int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits.share(sources, r.Now())
}

// Load reads the set now.
func (r *remote) Load(ctx context.Context) (Set, error) {
	r.mu.Lock()
	fetch := r.join()
	r.mu.Unlock()
	if err := r.await(ctx, fetch); err != nil {
		return Set{}, err
	}
	return r.lastSet(), nil
}

// standing is the condition of the keys. Those that are read anew for each login count for as long as the last fetch was a success.
func (r *remote) standing() Condition {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Condition{Usable: r.set.Len(), Read: r.arrived, Failure: r.fetch.Outage.Err, Failed: r.fetch.Outage.Since, Origin: r.String()}
	if c.Failure != nil {
		switch r.judge(r.Now()).freshness() {
		case expired:
			c.Usable = 0
		case stale:
			c.Stale = true
		case granted, fresh:
		}
	}
	return c
}

func (r *remote) lastSet() Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set
}
