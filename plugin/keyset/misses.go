package keyset

import (
	"time"

	"go-jwt-auth/plugin/internal/once"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Bounds on what tokens can make this plugin ask of the provider.
const (
	// Unknown kids cause at most unknownBurst fetches in a row and then one every unknownEvery, however many come.
	unknownBurst = 3
	unknownEvery = 5 * time.Second
	// A miss is remembered for longer than clients wait before they come again, and so many of them are.
	missKept  = 3 * time.Second
	maxMisses = 256
	// A signature that no key of its kid verifies has the set read again if it is older than this, and no more often.
	doubtEvery = 5 * time.Second
)

// misses are the kids that were not in the set: those because of which it is being read, or was a moment ago, and how many
// more may have it read. Fetches are numbered as they begin.
type misses struct {
	limit   *rate.Limiter
	recent  *lru.Cache[string, miss]
	doubted time.Time
	// started is the last fetch that began, finished the last that brought a set.
	started, finished int
}

// miss is a kid that was not in the set: when it was first asked for, and by which fetch at the earliest it would be found.
type miss struct {
	at    time.Time
	fetch int
}

func newMisses() misses {
	recent, err := lru.New[string, miss](maxMisses)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return misses{limit: rate.NewLimiter(rate.Every(unknownEvery), unknownBurst), recent: recent}
}

// add notes that the set is read because of this kid. A fetch that is under way does not count, as it may have been answered
// before the key was published.
func (m *misses) add(kid string, now time.Time) {
	if last, found := m.recent.Peek(kid); !found || !once.Within(now.Sub(last.at), missKept) {
		m.recent.Add(kid, miss{at: now, fetch: m.started + 1})
	}
}

// confirmed tells whether the set was read because of this kid a moment ago, and still lacks it.
func (m *misses) confirmed(kid string, now time.Time) bool {
	last, found := m.recent.Peek(kid)
	return found && m.finished >= last.fetch && once.Within(now.Sub(last.at), missKept)
}

// exhausted tells whether so many unknown keys were asked for that the set is not read for another one now.
func (m *misses) exhausted(now time.Time) bool { return m.limit.TokensAt(now) < 1 }

// count counts a fetch that an unknown key has caused.
func (m *misses) count(now time.Time) { m.limit.AllowN(now, 1) }

// mayDoubt tells whether a set of this age is to be read again because of a signature that it does not verify, and counts
// that as done.
func (m *misses) mayDoubt(age time.Duration, now time.Time) bool {
	if once.Within(age, doubtEvery) || once.Within(now.Sub(m.doubted), doubtEvery) {
		return false
	}
	m.doubted = now
	return true
}
