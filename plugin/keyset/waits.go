package keyset

import (
	"time"

	"golang.org/x/time/rate"
)

// If a login that waits for a key set holds up all others (Options.Blocks), all such waits together may take one part in
// waitShare of the time, and waitBurst times the longest one at once. Several sources have equal parts of that.
const (
	waitShare = 5
	waitBurst = 2
)

// waits are the logins that wait for a fetch, or have given that up.
type waits struct {
	budget *rate.Limiter // in microseconds of waiting
	// longest is what one login may wait.
	longest time.Duration
	// held: a login has waited for the fetch under way while that held up all others. gaveUp: so many logins could not wait
	// for its end.
	held   bool
	gaveUp int
	// pendingRetries are logins that gave up and whose fetch has brought a set since. So many may be served from that set even
	// if caching is off: they are the retries of those who asked for it.
	pendingRetries int
}

func newWaits(longest time.Duration) waits {
	return waits{budget: rate.NewLimiter(rate.Limit(time.Second.Microseconds())/waitShare, int(waitBurst*longest.Microseconds())), longest: longest}
}

// share leaves an equal part of the time to each of so many sources, one at least.
func (w *waits) share(sources int, now time.Time) {
	w.budget.SetLimitAt(now, rate.Limit(time.Second.Microseconds())/waitShare/rate.Limit(sources))
	w.budget.SetBurstAt(now, int(waitBurst*w.longest.Microseconds())/sources)
}

// left is how long one more login may wait.
func (w *waits) left(now time.Time) time.Duration {
	return time.Duration(w.budget.TokensAt(now)) * time.Microsecond
}

// spend counts a wait that has ended.
func (w *waits) spend(waited time.Duration, now time.Time) {
	w.budget.ReserveN(now, min(int(max(waited, 0).Microseconds()), w.budget.Burst()))
}

// begin is called when a fetch begins.
func (w *waits) begin() { w.held, w.gaveUp = false, 0 }

// arrive is called when a fetch has brought a set. retried: those who gave up before may still come back.
func (w *waits) arrive(retried bool) {
	if !retried {
		w.pendingRetries = 0
	}
	w.pendingRetries += w.gaveUp
}

// retry counts a login as one of those who come back.
func (w *waits) retry() { w.pendingRetries = max(w.pendingRetries-1, 0) }
