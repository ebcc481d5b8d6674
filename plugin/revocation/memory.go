package revocation

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"go-jwt-auth/plugin/config"
)

// refusedFor is how long a token that was found inactive is refused without asking, at least.
const refusedFor = 30 * time.Second

// leastRemembered is how many tokens are remembered at least, however small the cache may be. Each takes some 200 bytes.
const leastRemembered = 10_000

// memory knows the tokens that were last found inactive: refused at once for a while, and after that not to be admitted on
// their signature alone. A token is forgotten when it is found active, or to make room for newer ones: never at its exp, past
// which it is worth nothing unless the file says otherwise. Safe for concurrent use.
//
// A token is known by the question about it, whose address here is the identity of the endpoint (Checker.Endpoint): the one
// that the discovery document names may be unknown for a while, and a revoked token is one all the same.
type memory struct {
	inactive *lru.Cache[question, refusal]
}

// refusal is an answer, with where and when it was given.
type refusal struct {
	answered
	from string
	at   time.Time
}

func newMemory(cfg config.AnswerCache) (*memory, error) {
	inactive, err := lru.New[question, refusal](remembers(cfg))
	return &memory{inactive}, err
}

// remembers is how many tokens are remembered at most.
func remembers(cfg config.AnswerCache) int { return max(cfg.MaxEntries, leastRemembered) }

// resize is for another configuration.
func (m *memory) resize(cfg config.AnswerCache) { m.inactive.Resize(remembers(cfg)) }

// note keeps what an endpoint has said, where it is that the token is inactive; else the token is forgotten.
func (m *memory) note(q question, said answered, from string, at time.Time) {
	if said.active {
		m.inactive.Remove(q)
		return
	}
	said.claims = nil // they are of no use, and could be large
	m.inactive.Add(q, refusal{said, from, at})
}

// refuses returns the answer about a token that was found inactive a short while before now.
func (m *memory) refuses(q question, now time.Time, negativeTTL time.Duration) (Answer, bool) {
	r, found := m.inactive.Get(q)
	if !found || now.Sub(r.at) >= max(refusedFor, negativeTTL) {
		return Answer{}, false
	}
	return Answer{answered: r.answered, from: r.from}, true
}

func (m *memory) holds(q question) bool { return m.inactive.Contains(q) }
