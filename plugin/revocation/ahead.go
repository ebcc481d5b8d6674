package revocation

import (
	"crypto/sha256"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
)

// leastAhead is how many answers of either kind wait for a next attempt at least, however small the cache may be: a whole
// fleet may come at once.
const leastAhead = 10_000

// ahead holds what was asked between two attempts of a client. An answer that lets it in serves every attempt within the window,
// since several clients may have the same token; any other, or that there was none, tells one attempt, and the next asks again,
// unless memory refuses it: the window can be longer than a token is to be refused without being asked about. Safe for
// concurrent use.
type ahead struct {
	window time.Duration
	now    func() time.Time

	mu sync.Mutex // guards what follows, over several calls
	// underWay are those being asked about, each with whether it is known to be inactive by now. The queue bounds them, and
	// nothing pushes them out.
	underWay map[tokenHash]bool
	// active are the answers that let somebody in, others all else. Whatever strangers send is among the others, and pushes
	// out no answer that a client with a good token waits for. The oldest make room.
	active, others *lru.Cache[tokenHash, *outcome]
}

type tokenHash [sha256.Size]byte

// outcome is what came of asking.
type outcome struct {
	Answer
	validity
	used bool
}

func newAhead(cfg *config.Revocation, now func() time.Time) (*ahead, error) {
	a := &ahead{window: cfg.RetryWindow, now: now, underWay: map[tokenHash]bool{}}
	var err error
	if a.active, err = lru.New[tokenHash, *outcome](max(cfg.Cache.MaxEntries, leastAhead)); err != nil {
		return nil, err
	}
	a.others, err = lru.New[tokenHash, *outcome](max(cfg.Cache.MaxEntries, leastAhead))
	return a, err
}

// take returns the outcome for a token.
func (a *ahead) take(token string) (Answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := tokenHash(sha256.Sum256([]byte(token)))
	o := a.find(key)
	if o == nil || !o.holds(a.now()) {
		return Answer{}, false
	}
	if o.err != nil || !o.active {
		a.remove(key)
	}
	o.used = true
	return o.Answer, true
}

// begin tells whether the token is to be asked about: not where it is already, nor where the answer has just come in. wasted
// says that the last answer was kept in vain: the client waits for longer than the window.
func (a *ahead) begin(token string) (ask, wasted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := tokenHash(sha256.Sum256([]byte(token)))
	if _, asking := a.underWay[key]; asking {
		return false, false
	}
	o := a.find(key)
	if o != nil && o.holds(a.now()) {
		return false, false
	}
	a.remove(key)
	a.underWay[key] = false
	return true, o != nil && !o.used
}

// forget ends what begin has begun without an outcome.
func (a *ahead) forget(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.underWay, sha256.Sum256([]byte(token)))
}

// put keeps what came of asking, an active answer never past the end of its token.
func (a *ahead) put(token string, said Answer, expires time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := tokenHash(sha256.Sum256([]byte(token)))
	withdrawn := a.underWay[key]
	delete(a.underWay, key)
	o := &outcome{Answer: said, validity: validity{until: a.now().Add(a.window)}}
	if said.err == nil && said.active {
		if withdrawn {
			return // another question has overtaken this one
		}
		o.ends = endOf(said.answered, expires)
		a.active.Add(key, o)
		return
	}
	a.others.Add(key, o)
}

// learn is told what each question about a token has brought, whoever asked it, in the order of the answers. It takes back
// that a token is active, even where that has yet to be put.
func (a *ahead) learn(token string, active bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := tokenHash(sha256.Sum256([]byte(token)))
	if _, asking := a.underWay[key]; asking {
		a.underWay[key] = !active
	}
	if !active {
		a.active.Remove(key)
	}
}

// find leaves the order as it is, which is that of arrival.
func (a *ahead) find(key tokenHash) *outcome {
	if o, found := a.active.Peek(key); found {
		return o
	}
	o, _ := a.others.Peek(key)
	return o
}

func (a *ahead) remove(key tokenHash) {
	a.active.Remove(key)
	a.others.Remove(key)
}
