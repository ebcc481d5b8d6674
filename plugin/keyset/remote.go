package keyset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/pquerna/cachecontrol/cacheobject"
	"golang.org/x/time/rate"
)

// Bounds on what tokens can make this plugin ask of the provider.
const (
	// Unknown kids cause at most unknownBurst fetches in a row and then one every unknownEvery, however many come.
	unknownBurst = 3
	unknownEvery = 5 * time.Second
	// That a kid was looked for is remembered for longer than clients wait before they come again, and of so many kids.
	soughtFor = 3 * time.Second
	maxSought = 256
	// After a failed fetch the next one waits this long.
	failureRest = time.Second
	// Without anybody asking, a set is read again no sooner than this after a failure, and only where it lives for longer.
	refreshRest = 5 * time.Second
)

// remote is a JWKS URL.
type remote struct {
	cfg    config.JWKS
	accept acceptance
	Options

	ctx   context.Context
	close context.CancelFunc

	mu      guard  // of all below
	fetch   *fetch // under way; nil: none
	set     Set
	crowd   crowd
	digest  [sha256.Size]byte
	arrived time.Time
	expires time.Time
	// credits are logins that were put off and whose fetch has come in since. So many may be served from the set even
	// where caching is off: they are the retries of those who asked for it.
	credits int
	unknown *rate.Limiter
	// sought holds the kids because of which the set is being read, or was a moment ago: who comes again with one that the
	// set turned out not to have is told so at once. Fetches are numbered as they begin; finished is the last that ended.
	sought            *lru.Cache[string, search]
	started, finished int
	failed            time.Time
	err               error
	stale             bool // it has been said that the set serves on after its time
}

// fetch is one request for the set, which all who need it wait for together. (x/sync/singleflight can't say whether one
// is under way, and only then may an unknown kid join without counting against the limit.)
type fetch struct {
	began time.Time
	done  chan struct{} // closed when err is set
	err   error
	late  int // those who could not wait for its end
}

func newRemote(cfg config.JWKS, accept acceptance, o Options) *remote {
	ctx, cancel := context.WithCancel(context.Background())
	sought, err := lru.New[string, search](maxSought)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &remote{
		cfg: cfg, accept: accept, Options: o, mu: guard{to: o.Report}, ctx: ctx, close: cancel,
		unknown: rate.NewLimiter(rate.Every(unknownEvery), unknownBurst), sought: sought,
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
		err = r.await(ctx, f)
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
	retry := r.credits > 0 && now.Sub(r.arrived) < r.cfg.Timeout
	if r.set.Len() == 0 || (!now.Before(r.expires) && !retry) {
		out := r.err != nil || (r.fetch != nil && now.Sub(r.fetch.began) >= r.cfg.MaxBlock)
		switch {
		case out && r.mayServeStale(now) && len(found) > 0:
			return found, stale
		case r.resting(now):
			return found, unavailable
		}
		return found, missing
	}
	switch {
	case len(found) > 0:
		return found, current
	case r.inVain(kid, now):
		return nil, absent
	case r.fetch == nil && r.unknown.TokensAt(now) < 1:
		return nil, unknown
	}
	return nil, missing
}

// search is what is remembered of a kid that was not in the set: when it was first asked for, and by which fetch at the
// earliest it would be found.
type search struct {
	at    time.Time
	fetch int
}

// seek notes that the set is read because of this kid. A fetch that is under way does not count, as it may have been
// answered before the key was published. r.mu is held.
func (r *remote) seek(kid string, now time.Time) {
	if s, found := r.sought.Peek(kid); !found || !within(now.Sub(s.at), soughtFor) {
		r.sought.Add(kid, search{at: now, fetch: r.started + 1})
	}
}

// inVain tells whether the set was read because of this kid a moment ago. r.mu is held.
func (r *remote) inVain(kid string, now time.Time) bool {
	s, found := r.sought.Peek(kid)
	return found && r.finished >= s.fetch && within(now.Sub(s.at), soughtFor)
}

// resting tells whether a fetch has just failed. r.mu is held.
func (r *remote) resting(now time.Time) bool {
	return r.err != nil && within(now.Sub(r.failed), failureRest)
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
		if len(found) == MaxTries {
			_, fitting := r.set.find(kid, alg)
			r.crowd.note(r.mu.report, r.String(), fitting)
		}
		return found, nil, false, nil
	case stale:
		if !r.resting(now) {
			r.join() // nor for this
		}
		r.saysStale()
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
		if !joined && r.set.Len() > 0 && now.Before(r.expires) {
			r.unknown.AllowN(now, 1)
		}
		r.seek(kid, now)
		return nil, r.join(), joined, nil
	}
}

// RefreshAt is when the set should be read again lest anybody has to wait for it: in the last fifth of its life, and after
// a failure in a while. Sets of a very short life are read when they are asked for.
func (r *remote) RefreshAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refreshAt()
}

// refreshAt wants r.mu held.
func (r *remote) refreshAt() time.Time {
	at := r.expires.Add(-r.expires.Sub(r.arrived) / 5)
	switch failed := r.failed.Add(refreshRest); {
	case !r.cfg.Cache.Enabled || (r.set.Len() > 0 && r.expires.Sub(r.arrived) < refreshRest):
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

// findAfter looks into the set that a fetch has brought; where it has failed or is late, into the last good one.
func (r *remote) findAfter(err error, kid, alg string) []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && !r.mayServeStale(r.Now()) {
		return nil
	}
	found, fitting := r.set.find(kid, alg)
	r.crowd.note(r.mu.report, r.String(), fitting)
	if err != nil && len(found) > 0 {
		r.saysStale()
	}
	return found
}

// mayServeStale tells whether the last good set may serve although it has run out: for MaxStale, and never one that was
// only for the login that asked for it. r.mu is held.
func (r *remote) mayServeStale(now time.Time) bool {
	return r.expires.After(r.arrived) && within(now.Sub(r.arrived), r.cfg.Cache.MaxStale)
}

// saysStale reports once that the last good set serves on. r.mu is held.
func (r *remote) saysStale() {
	if r.stale || r.Now().Before(r.expires) {
		return
	}
	r.stale = true
	cause := "no answer yet"
	if r.err != nil {
		cause = r.err.Error()
	}
	r.mu.report(true, fmt.Sprintf("the keys at %s can't be read (%s): those read at %s go on serving, until %s at the latest",
		r, cause, r.arrived.UTC().Format(time.RFC3339), r.arrived.Add(r.cfg.Cache.MaxStale).UTC().Format(time.RFC3339)))
}

// runsOut tells whether a set in use is in the last fifth of its life: it is then read again before anybody has to wait.
func (r *remote) runsOut(now time.Time) bool {
	return r.expires.Sub(now) < r.expires.Sub(r.arrived)/5
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
		r.started++
		f := &fetch{began: r.Now(), done: make(chan struct{})}
		r.fetch = f
		go func() {
			answer, set, err := r.read()
			r.finish(f, answer, set, err)
		}()
	}
	return r.fetch
}

// await waits for f until ctx ends.
func (r *remote) await(ctx context.Context, f *fetch) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fetch != f {
		return f.err // it came in just now
	}
	f.late++
	return ErrPending
}

func (r *remote) read() (answer *endpoint.Answer, set Set, err error) {
	defer func() {
		// This runs on a goroutine of its own, where a panic would take the broker down.
		if p := recover(); p != nil {
			err = fmt.Errorf("fault while reading the set: %v", p)
		}
	}()
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
	if digest := sha256.Sum256(answer.Body); digest != r.digest {
		for _, reason := range set.Skipped {
			r.mu.report(true, r.String()+": "+reason)
		}
		if r.set.Len() > 0 {
			r.mu.report(false, describeChange(r.String(), set))
		}
		r.digest, r.crowd = digest, crowd{}
	}
	if now.Sub(r.arrived) >= r.cfg.Timeout {
		r.credits = 0 // nobody came back for them
	}
	r.credits += f.late
	if r.stale {
		r.stale = false
		r.mu.report(false, fmt.Sprintf("the keys at %s can be read again", r))
	}
	r.set, r.err, r.finished = set, nil, r.started
	r.arrived, r.expires = now, now.Add(r.lifetime(answer))
}

// lifetime is how long the set in answer may serve. Zero: for the login that asked for it alone.
func (r *remote) lifetime(answer *endpoint.Answer) time.Duration {
	if !r.cfg.Cache.Enabled {
		return 0
	}
	if r.cfg.Cache.RespectCacheHeaders {
		if lifetime, said := headerLifetime(answer.Header, r.Now()); said {
			return lifetime
		}
	}
	return r.cfg.Cache.TTL
}

// maxHeaderLifetime bounds what cache headers can ask for: a key that the provider withdrew must not serve for longer.
const maxHeaderLifetime = 24 * time.Hour

// headerLifetime is the freshness lifetime that the answer's Cache-Control, Expires and Age give it (RFC 9111 §4.2);
// said is false where they say nothing. What can't be understood counts as stale, as §4.2 and §5.3 want it.
func headerLifetime(h http.Header, now time.Time) (lifetime time.Duration, said bool) {
	control, err := cacheobject.ParseResponseCacheControl(strings.Join(h.Values("Cache-Control"), ","))
	switch {
	case err != nil || control.NoStore || control.NoCachePresent:
		return 0, true
	case control.MaxAge >= 0:
		lifetime = time.Duration(control.MaxAge) * time.Second
	case h.Get("Expires") != "":
		expires, err := http.ParseTime(h.Get("Expires"))
		if err != nil {
			return 0, true
		}
		date, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			date = now
		}
		lifetime = expires.Sub(date)
	default:
		return 0, false
	}
	if age, err := strconv.ParseUint(strings.TrimSpace(h.Get("Age")), 10, 31); err == nil {
		lifetime -= time.Duration(age) * time.Second
	}
	return min(max(lifetime, 0), maxHeaderLifetime), true
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
	return endpoint.Shown(r.cfg.URI)
}

func (r *remote) Close() { r.close() }
