package revocation

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/jsonvalue"
)

// cache keeps answers for a while, good and bad ones apart. Only answers: that an endpoint gave none is never kept. Safe for
// concurrent use.
type cache struct {
	cfg              config.AnswerCache
	now              func() time.Time
	active, inactive *lru.Cache[question, kept]
}

// question is the SHA-256 of the endpoint that was asked and of the whole token: an answer of one endpoint never passes for
// that of another, nor the answer about a token for one that begins like it.
type question [sha256.Size]byte

// kept is an answer and the time until which it may be used.
type kept struct {
	answered
	until time.Time
}

func newCache(cfg config.AnswerCache, now func() time.Time) (*cache, error) {
	c := &cache{cfg: cfg, now: now}
	var err error
	if c.active, err = lru.New[question, kept](cfg.MaxEntries); err != nil {
		return nil, err
	}
	c.inactive, err = lru.New[question, kept](cfg.MaxEntries)
	return c, err
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
	now := c.now()
	for _, answers := range []*lru.Cache[question, kept]{c.inactive, c.active} {
		if k, found := answers.Get(q); found && now.Before(k.until) {
			return k.answered, true
		}
	}
	return answered{}, false
}

// put keeps an answer in place of an older one, an active one never past expires (zero: none) nor past the exp that an
// introspection response names.
func (c *cache) put(q question, said answered, expires time.Time) {
	c.active.Remove(q)
	c.inactive.Remove(q)
	answers, ttl := c.inactive, c.cfg.NegativeTTL
	if said.active {
		answers, ttl = c.active, c.cfg.TTL
	}
	if ttl == 0 {
		return
	}
	until := c.now().Add(ttl)
	if said.active {
		until = notPast(until, said, expires)
	}
	answers.Add(q, kept{answered: said, until: until})
}

// notPast is until, or the end of the token where that is sooner: by its own exp (zero: none), or by the one that the
// response names.
func notPast(until time.Time, said answered, expires time.Time) time.Time {
	exp, _ := jsonvalue.NumericDate(said.claims["exp"])
	for _, end := range []time.Time{expires, exp} {
		if !end.IsZero() && end.Before(until) {
			until = end
		}
	}
	return until
}
