package keyset

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
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
	// A signature that no key of its kid verifies has the set read again where it is older than this, and no more often.
	doubtEvery = 5 * time.Second
)

// misses are the keys that were not in the set: those because of which it is being read, or was a moment ago, and how many
// more may have it read. Fetches are numbered as they begin.
type misses struct {
	limit   *rate.Limiter
	sought  *lru.Cache[string, search]
	doubted time.Time
	// started is the last fetch that began, finished the last that brought a set.
	started, finished int
}

// search is what is remembered of a kid that was not in the set: when it was first asked for, and by which fetch at the
// earliest it would be found.
type search struct {
	at    time.Time
	fetch int
}

func newMisses() misses {
	sought, err := lru.New[string, search](maxSought)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return misses{limit: rate.NewLimiter(rate.Every(unknownEvery), unknownBurst), sought: sought}
}

// seek notes that the set is read because of this kid. A fetch that is under way does not count, as it may have been
// answered before the key was published.
func (m *misses) seek(kid string, now time.Time) {
	if s, found := m.sought.Peek(kid); !found || !within(now.Sub(s.at), soughtFor) {
		m.sought.Add(kid, search{at: now, fetch: m.started + 1})
	}
}

// inVain tells whether the set was read because of this kid a moment ago.
func (m *misses) inVain(kid string, now time.Time) bool {
	s, found := m.sought.Peek(kid)
	return found && m.finished >= s.fetch && within(now.Sub(s.at), soughtFor)
}

// exhausted tells whether so many unknown keys were asked for that the set is not read for another one now.
func (m *misses) exhausted(now time.Time) bool { return m.limit.TokensAt(now) < 1 }

// mayDoubt tells whether a set of this age is to be read again because of a signature that it does not verify, and counts
// that as done.
func (m *misses) mayDoubt(age time.Duration, now time.Time) bool {
	if within(age, doubtEvery) || within(now.Sub(m.doubted), doubtEvery) {
		return false
	}
	m.doubted = now
	return true
}
