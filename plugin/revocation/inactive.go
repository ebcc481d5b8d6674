package revocation

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
)

// minNegativeTTL is how long a token that was found inactive is refused without asking, at least.
const minNegativeTTL = 30 * time.Second

// minInactive is how many inactive tokens are remembered at least, however small the cache may be. Each takes some 200 bytes.
const minInactive = 10_000

// inactiveCache remembers the tokens that were last found inactive: for a while they are refused at once, and after that they are
// not admitted on their signature alone. A token is removed when it is found active, or evicted by newer ones, but not at its exp:
// the configuration may accept it after that. Safe for concurrent use.
type inactiveCache struct {
	answers *lru.Cache[cacheKey, inactiveAnswer]
}

// inactiveAnswer is an answer, with where and when it was given.
type inactiveAnswer struct {
	response
	from string
	at   time.Time
}

func newInactiveCache(cfg config.AnswerCache) (*inactiveCache, error) {
	answers, err := lru.New[cacheKey, inactiveAnswer](maxInactive(cfg))
	return &inactiveCache{answers}, err
}

// maxInactive is how many tokens are remembered at most.
func maxInactive(cfg config.AnswerCache) int { return max(cfg.MaxEntries, minInactive) }

// resize adopts the size that another configuration asks for.
func (c *inactiveCache) resize(cfg config.AnswerCache) { c.answers.Resize(maxInactive(cfg)) }

// put remembers an inactive answer. An active one removes what was remembered of the token.
func (c *inactiveCache) put(key cacheKey, said response, from string, at time.Time) {
	if said.active {
		c.answers.Remove(key)
		return
	}
	said.claims = nil // they are not needed, and could be large
	c.answers.Add(key, inactiveAnswer{said, from, at})
}

// get returns the answer about a token that was found inactive a short while before now: within negativeTTL or minNegativeTTL,
// whichever is longer.
func (c *inactiveCache) get(key cacheKey, now time.Time, negativeTTL time.Duration) (Answer, bool) {
	a, found := c.answers.Get(key)
	if !found || now.Sub(a.at) >= max(minNegativeTTL, negativeTTL) {
		return Answer{}, false
	}
	return Answer{response: a.response, from: a.from}, true
}

// contains tells whether the token was last found inactive, however long ago.
func (c *inactiveCache) contains(key cacheKey) bool { return c.answers.Contains(key) }
