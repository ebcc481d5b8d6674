package keyset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/guard"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"
)

const (
	// After a failed fetch the next one waits this long.
	failureRest = time.Second
	// Without anybody asking, a set is read again no sooner than this after a failure, and only where it lives for longer.
	refreshRest = 5 * time.Second
	// Where so many wait that a login is put off, even a set that is read anew for each serves for so long.
	pressedFor = time.Second
)

// remote is a JWKS URL.
type remote struct {
	cfg    config.JWKS
	origin origin
	accept acceptance
	Options

	ctx   context.Context
	close context.CancelFunc

	mu    reportingMutex // of all below
	fetch *fetch         // under way; nil: none
	snapshot
	outage
	// credits are logins that were put off and whose fetch has come in since. So many may be served from the set even
	// where caching is off: they are the retries of those who asked for it.
	credits int
	misses  misses
	turns   turns
}

// snapshot is a set as it came in.
type snapshot struct {
	set     Set
	digest  [sha256.Size]byte
	arrived time.Time
	// life is how long it serves from then on. Zero: for the login that asked for it alone.
	life time.Duration
	// inherited is a set that was read under an earlier configuration: it is to be read again at once.
	inherited bool
	crowd     crowd
}

// fresh tells whether it may serve without being read again.
func (s *snapshot) fresh(now time.Time) bool {
	return s.set.Len() > 0 && !s.inherited && within(now.Sub(s.arrived), s.life)
}

// runsOut tells whether it is in the last fifth of its life: it is then read again before anybody has to wait.
func (s *snapshot) runsOut(now time.Time) bool { return s.life-now.Sub(s.arrived) < s.life/5 }

// mayServeStale tells whether it may serve although it has run out, as the last good one: never one that was only for the
// login that asked for it.
func (s *snapshot) mayServeStale(now time.Time, maxStale time.Duration) bool {
	return s.life > 0 && within(now.Sub(s.arrived), maxStale)
}

// outage is why the last fetch failed, and when; and whether it has been said that the set serves on after its time.
type outage struct {
	err    error
	failed time.Time
	told   bool
}

// resting tells whether a fetch has just failed.
func (o *outage) resting(now time.Time) bool {
	return o.err != nil && within(now.Sub(o.failed), failureRest)
}

// fetch is one request for the set, which all who need it wait for together. (x/sync/singleflight can't say whether one
// is under way, and only then may an unknown kid join without counting against the limit.)
type fetch struct {
	began time.Time
	done  chan struct{} // closed when err is set
	err   error
	late  int // those who could not wait for its end
	// awaited: a login has held up everybody for it.
	awaited bool
}

func newRemote(cfg *config.Provider, accept acceptance, o Options) *remote {
	ctx, cancel := context.WithCancel(context.Background())
	return &remote{
		cfg: cfg.JWKS, origin: originOf(cfg), accept: accept, Options: o, ctx: ctx, close: cancel,
		mu: reportingMutex{to: o.Report}, misses: newMisses(), turns: newTurns(cfg.JWKS.MaxBlock),
	}
}

// Find looks into the current set, and asks for a fresh one where that has run out or does not know the key. A fetch that
// was under way already may have been answered before the key was published: then another one is asked for.
func (r *remote) Find(ctx context.Context, kid, alg string) ([]any, error) {
	for {
		found, f, joined, err := r.look(kid, alg)
		if f == nil {
			return found, err
		}
		err = r.wait(ctx, f)
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

// state is what can be said of a key without asking the provider.
type state uint8

const (
	// missing: only a fresh set can tell.
	missing state = iota
	// current: the set in force has it.
	current
	// stale: the provider is known to be out of reach, and the last good set, which serves on, has it.
	stale
	// unavailable: there is no set, and it was just tried in vain to get one.
	unavailable
	// absent: the set in force does not have it, and was just read to find it.
	absent
	// unknown: the set in force does not have it, and so many unknown keys were asked for that it is not read again.
	unknown
)

// recall looks for the key in memory, and changes nothing. r.mu is held.
func (r *remote) recall(kid, alg string, now time.Time) (found []any, is state) {
	found, _ = r.set.find(kid, alg)
	if !r.fresh(now) && !r.excused(now) {
		out := r.err != nil || (r.fetch != nil && now.Sub(r.fetch.began) >= r.cfg.MaxBlock)
		switch {
		case out && r.mayServeStale(now, r.cfg.Cache.MaxStale) && len(found) > 0:
			return found, stale
		case r.resting(now):
			return found, unavailable
		}
		return found, missing
	}
	switch {
	case len(found) > 0:
		return found, current
	case r.misses.inVain(kid, now):
		return nil, absent
	case r.fetch == nil && r.misses.exhausted(now):
		return nil, unknown
	}
	return nil, missing
}

// excused tells whether a set may serve that was only for the login that asked for it: for those who come again because
// they were put off, and for a moment where everybody would be. r.mu is held.
func (r *remote) excused(now time.Time) bool {
	age := now.Sub(r.arrived)
	switch {
	case r.set.Len() == 0 || r.inherited:
		return false
	case r.credits > 0 && within(age, r.cfg.Timeout):
		return true
	}
	return r.Blocks && r.life == 0 && within(age, pressedFor) && r.turns.longest(now) <= 0
}

// Known answers from memory alone.
func (r *remote) Known(kid, alg string) (found []any, settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, is := r.recall(kid, alg, r.Now())
	return found, is != missing
}

// look answers from memory, or returns the fetch that has to be waited for; joined where that was under way already.
func (r *remote) look(kid, alg string) (found []any, f *fetch, joined bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	found, is := r.recall(kid, alg, now)
	r.credits = max(r.credits-1, 0)
	switch is {
	case current:
		if r.runsOut(now) && !r.resting(now) {
			r.join() // nobody waits for it
		}
		r.noteCrowd(kid, alg, found)
		return found, nil, false, nil
	case stale:
		if !r.resting(now) {
			r.join() // nor for this
		}
		r.saysStale(now)
		return found, nil, false, nil
	case unavailable:
		return nil, nil, false, &UnavailableError{Cause: r.err}
	case absent:
		return nil, nil, false, ErrUnknownKey
	case unknown:
		return nil, nil, false, fmt.Errorf("%w, and so many unknown keys were asked for that the set is read again only every %s",
			ErrUnknownKey, unknownEvery)
	default:
		joined = r.fetch != nil
		if !joined && r.fresh(now) {
			r.misses.limit.AllowN(now, 1)
		}
		r.misses.seek(kid, now)
		return nil, r.join(), joined, nil
	}
}

// noteCrowd says once for a set that a token fits more keys than are tried. r.mu is held.
func (r *remote) noteCrowd(kid, alg string, found []any) {
	if len(found) == MaxTries {
		_, fitting := r.set.find(kid, alg)
		r.crowd.note(r.mu.report, r.String(), fitting)
	}
}

// RefreshAt is when the set should be read again lest anybody has to wait for it: in the last fifth of its life, and after
// a failure in a while; at once where it is inherited. Sets of a very short life are read when they are asked for.
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
	switch failed := r.failed.Add(refreshRest); {
	case !r.cfg.Cache.Enabled || (r.set.Len() > 0 && !r.inherited && r.life < refreshRest):
		return time.Time{}
	case r.fetch != nil:
		return r.Now().Add(time.Second) // to see what came of it
	case r.err != nil && at.Before(failed):
		return failed
	case r.set.Len() == 0:
		return time.Time{} // nobody has asked for it yet
	default:
		return at
	}
}

// Refresh begins to read the set.
func (r *remote) Refresh() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.refreshAt(); !at.IsZero() && !r.Now().Before(at) {
		r.join()
	}
}

// doubt begins to read the set again, unless it was read a moment ago.
func (r *remote) doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.Now(); r.fetch == nil && !r.resting(now) && r.misses.mayDoubt(now.Sub(r.arrived), now) {
		r.join()
	}
}

// findAfter looks into the set that a fetch has brought; where it has failed or is late, into the last good one.
func (r *remote) findAfter(err error, kid, alg string) []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	if err != nil && !r.mayServeStale(now, r.cfg.Cache.MaxStale) {
		return nil
	}
	found, _ := r.set.find(kid, alg)
	if err != nil && len(found) > 0 {
		r.saysStale(now)
	}
	r.noteCrowd(kid, alg, found)
	return found
}

// saysStale reports once that the last good set serves on. r.mu is held.
func (r *remote) saysStale(now time.Time) {
	if r.told || r.fresh(now) {
		return
	}
	r.told = true
	cause := "no answer yet"
	if r.err != nil {
		cause = r.err.Error()
	}
	r.mu.report(event.Warn(fmt.Sprintf("the keys at %s can't be read (%s): those read at %s go on serving, until %s at the latest",
		r, cause, r.arrived.UTC().Format(time.RFC3339), r.arrived.Add(r.cfg.Cache.MaxStale).UTC().Format(time.RFC3339))))
}

func within(age, limit time.Duration) bool { return age >= 0 && age < limit }

// Load reads the set now.
func (r *remote) Load(ctx context.Context) (Set, error) {
	r.mu.Lock()
	f := r.join()
	r.mu.Unlock()
	if err := r.await(ctx, f); err != nil {
		return Set{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set, nil
}

// join returns the fetch under way, or starts one. It goes on when nobody waits for it any more. r.mu is held.
func (r *remote) join() *fetch {
	if r.fetch == nil {
		r.misses.started++
		f := &fetch{began: r.Now(), done: make(chan struct{})}
		r.fetch = f
		go func() {
			answer, set, err := r.read()
			r.finish(f, answer, set, err)
		}()
	}
	return r.fetch
}

// wait is await for a login. Where that holds up everybody, a fetch is waited for once, and all fetches together for a
// share of the time: whoever comes beyond that is put off at once.
func (r *remote) wait(ctx context.Context, f *fetch) error {
	if !r.Blocks {
		return r.await(ctx, f)
	}
	longest, began := r.turn(f)
	if longest <= 0 {
		return r.putOff(f)
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	err := r.await(ctx, f)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	r.turns.spend(now.Sub(began), now)
	return err
}

// turn is how long a login may wait for f, from now on; not at all where another one has.
func (r *remote) turn(f *fetch) (longest time.Duration, began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	began = r.Now()
	if longest = r.turns.longest(began); f.awaited || longest <= 0 {
		return 0, began
	}
	f.awaited = true
	return longest, began
}

// await waits for f until ctx ends.
func (r *remote) await(ctx context.Context, f *fetch) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return r.putOff(f)
	}
}

// putOff is what f has brought by now, or ErrPending.
func (r *remote) putOff(f *fetch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fetch != f {
		return f.err // it came in just now
	}
	f.late++
	return ErrPending
}

func (r *remote) read() (answer *endpoint.Answer, set Set, err error) {
	defer guard.Catch(func(fault error) { err = fmt.Errorf("fault while reading the set: %w", fault) })
	uri := r.cfg.URI
	if uri == "" {
		if uri, err = r.Locate(r.ctx); err != nil {
			return nil, Set{}, err
		}
	}
	if answer, err = r.Client.Get(r.ctx, uri, r.cfg.Timeout); err != nil {
		return nil, Set{}, err
	}
	set, err = parseSet(answer.Body, r.accept)
	if errors.Is(err, jsonvalue.ErrNotJSON) {
		err = fmt.Errorf("%w (%s)", err, answer.Describe())
	}
	if err != nil {
		return nil, Set{}, fmt.Errorf("GET %s: %w", r, err)
	}
	return answer, set, nil
}

// finish puts what f brought in place of the old set as a whole: a key that is gone stops working.
func (r *remote) finish(f *fetch, answer *endpoint.Answer, set Set, err error) {
	defer close(f.done)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetch = nil
	now := r.Now()
	if err != nil {
		r.failed, r.err = now, err
		f.err = &UnavailableError{Cause: err}
		return
	}
	if !within(now.Sub(r.arrived), r.cfg.Timeout) {
		r.credits = 0 // nobody came back for them
	}
	r.credits += f.late
	if r.told {
		r.mu.report(event.Inform(fmt.Sprintf("the keys at %s can be read again", r)))
	}
	r.replace(snapshot{
		set: set, digest: sha256.Sum256(answer.Body), arrived: now, life: lifetime(r.cfg.Cache, answer.Header, now),
	})
	r.outage, r.misses.finished = outage{}, r.misses.started
}

// replace puts a set in place of the one before, and says what is new. r.mu is held.
func (r *remote) replace(next snapshot) {
	changed := next.digest != r.digest
	if changed || r.inherited {
		for _, reason := range next.set.Skipped {
			r.mu.report(event.Warn(r.String() + ": " + reason))
		}
	}
	switch {
	case !changed:
		next.crowd = r.crowd
	case r.set.Len() > 0:
		r.mu.report(event.Inform(describeChange(r.String(), next.set)))
	}
	r.snapshot = next
}

func describeChange(origin string, set Set) string {
	return fmt.Sprintf("the keys at %s have changed: now %d (%s)", origin, set.Len(), DescribeIDs(set))
}

// DescribeIDs lists the key ids of a set for the log, the first few where there are many.
func DescribeIDs(set Set) string {
	const shown = 8
	ids := set.IDs()
	more := ""
	if len(ids) > shown {
		ids, more = ids[:shown], fmt.Sprintf(" and %d more", len(ids)-shown)
	}
	for i, id := range ids {
		ids[i] = verdict.Quote(id)
	}
	if len(ids) == 0 {
		return "without kid"
	}
	return "kid " + strings.Join(ids, ", ") + more
}

func (r *remote) String() string {
	if r.cfg.URI == "" {
		return "the issuer"
	}
	return endpoint.Redact(r.cfg.URI)
}

func (r *remote) Close() { r.close() }
