package revocation

import (
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/jsonvalue"
)

// activeCache keeps active answers for the configured time (cache.ttlMs; 0: none). inactiveCache has the others; that an endpoint
// gave no answer is never cached. Safe for concurrent use.
type activeCache struct {
	ttl     time.Duration
	now     func() time.Time
	answers *lru.Cache[cacheKey, activeAnswer]
}

// Digest is the SHA-256 of a whole token, so that the answer about one never passes for that about another that begins like it.
type Digest [sha256.Size]byte

// DigestOf makes it.
func DigestOf(token string) Digest { return sha256.Sum256([]byte(token)) }

// cacheKey is the SHA-256 of an endpoint and of a token's Digest, so that an answer of one endpoint never passes for that of another.
type cacheKey [sha256.Size]byte

func keyOf(endpoint string, token Digest) cacheKey {
	var space [256]byte
	text := append(space[:0], token[:]...)
	return sha256.Sum256(append(text, endpoint...))
}

// activeAnswer is an answer and how long it may be used.
type activeAnswer struct {
	response
	validity
}

func newActiveCache(cfg config.AnswerCache, now func() time.Time) (*activeCache, error) {
	answers, err := lru.New[cacheKey, activeAnswer](cfg.MaxEntries)
	return &activeCache{ttl: cfg.TTL, now: now, answers: answers}, err
}

// get returns an answer that may still be used.
func (c *activeCache) get(key cacheKey) (response, bool) {
	a, found := c.answers.Get(key)
	return a.response, found && a.isValid(c.now())
}

// put caches an active answer in place of an older one, never past expires (zero: none) nor past the exp that an introspection
// response names. An inactive answer only removes the older one.
func (c *activeCache) put(key cacheKey, said response, expires time.Time) {
	if !said.active || c.ttl == 0 {
		c.answers.Remove(key)
		return
	}
	c.answers.Add(key, activeAnswer{said, validity{c.now().Add(c.ttl), endOf(said, expires)}})
}

// validity is how long an answer may be used. Both ends count, as they go by different clocks: until ends an interval of the
// monotonic clock, which is never set, and ends, zero if there is none, is an exp, by the wall clock.
type validity struct{ until, ends time.Time }

func (v validity) isValid(now time.Time) bool {
	return now.Before(v.until) && (v.ends.IsZero() || now.Before(v.ends))
}

// endOf is the end of a token: its own exp (zero: none), or the one that the response names, whichever is sooner.
func endOf(said response, expires time.Time) time.Time {
	exp, _ := jsonvalue.NumericDate(said.claims["exp"])
	if expires.IsZero() || !exp.IsZero() && exp.Before(expires) {
		return exp
	}
	return expires
}
