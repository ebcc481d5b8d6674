package revocation

import (
	"crypto/sha256"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
)

// ahead holds what was asked between two attempts of a client. An answer serves every attempt within the window, since
// several clients may have the same token; that there was none tells one attempt, and the next asks again. Safe for
// concurrent use.
type ahead struct {
	window time.Duration
	now    func() time.Time

	mu       sync.Mutex // guards what follows, over several calls
	outcomes *lru.Cache[[sha256.Size]byte, outcome]
}

// outcome is an Answer with its time; zero while it is being asked for.
type outcome struct {
	Answer
	until time.Time
	used  bool
}

func newAhead(cfg *config.Revocation, now func() time.Time) (*ahead, error) {
	outcomes, err := lru.New[[sha256.Size]byte, outcome](cfg.Cache.MaxEntries)
	return &ahead{window: cfg.RetryWindow, now: now, outcomes: outcomes}, err
}

// take returns the outcome for a token.
func (a *ahead) take(token string) (Answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	o, found := a.outcomes.Get(key)
	if !found || !a.now().Before(o.until) {
		return Answer{}, false
	}
	if o.err != nil {
		a.outcomes.Remove(key)
		return o.Answer, true
	}
	o.used = true
	a.outcomes.Add(key, o)
	return o.Answer, true
}

// begin tells whether the token is to be asked about: not where it is already, nor where the answer has just come in. wasted
// says that the last answer was kept in vain: the client waits for longer than the window.
func (a *ahead) begin(token string) (ask, wasted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	o, found := a.outcomes.Peek(key)
	if found && (o.until.IsZero() || a.now().Before(o.until)) {
		return false, false
	}
	a.outcomes.Add(key, outcome{})
	return true, found && !o.used
}

func (a *ahead) forget(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcomes.Remove(sha256.Sum256([]byte(token)))
}

// put keeps what came of asking, an active answer never past the end of its token.
func (a *ahead) put(token string, said Answer, expires time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := a.now().Add(a.window)
	if said.err == nil && said.active {
		until = notPast(until, said.answered, expires)
	}
	a.outcomes.Add(sha256.Sum256([]byte(token)), outcome{Answer: said, until: until})
}
