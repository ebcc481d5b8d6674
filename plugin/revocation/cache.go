package revocation

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/jsonvalue"
)

// cache keeps for a while that tokens are active. memory has the others; that an endpoint gave no answer is never kept. Safe
// for concurrent use.
type cache struct {
	ttl    time.Duration
	now    func() time.Time
	active *lru.Cache[question, kept]
}

// question is the SHA-256 of the endpoint that was asked and of the whole token: an answer of one endpoint never passes for
// that of another, nor the answer about a token for one that begins like it.
type question [sha256.Size]byte

// kept is an answer and how long it may be used.
type kept struct {
	answered
	validity
}

func newCache(cfg config.AnswerCache, now func() time.Time) (*cache, error) {
	active, err := lru.New[question, kept](cfg.MaxEntries)
	return &cache{ttl: cfg.TTL, now: now, active: active}, err
}

func questionOf(uri, token string) question {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(uri))))
	h.Write([]byte(uri))
	h.Write([]byte(token))
	return question(h.Sum(nil))
}

// get returns an answer that may still be used.
func (c *cache) get(q question) (answered, bool) {
	k, found := c.active.Get(q)
	return k.answered, found && k.holds(c.now())
}

// put keeps an answer in place of an older one, never past expires (zero: none) nor past the exp that an introspection
// response names. One that says "inactive" only removes the older one.
func (c *cache) put(q question, said answered, expires time.Time) {
	if !said.active || c.ttl == 0 {
		c.active.Remove(q)
		return
	}
	c.active.Add(q, kept{said, validity{c.now().Add(c.ttl), endOf(said, expires)}})
}

// validity is how long an answer may be used. Its two ends are looked at by themselves, as they are of two clocks: until is
// an interval after a reading of the monotonic one, which nobody sets, and ends, zero where there is none, an exp.
type validity struct{ until, ends time.Time }

func (v validity) holds(now time.Time) bool {
	return now.Before(v.until) && (v.ends.IsZero() || now.Before(v.ends))
}

// endOf is the end of a token: by its own exp (zero: none), or by the one that the response names, whichever is sooner.
func endOf(said answered, expires time.Time) time.Time {
	exp, _ := jsonvalue.NumericDate(said.claims["exp"])
	if expires.IsZero() || !exp.IsZero() && exp.Before(expires) {
		return exp
	}
	return expires
}
