package keyset

import (
	"time"

	"golang.org/x/time/rate"
)

// Where a login that waits for a key set holds up everybody (Options.Blocks), all such waits together may take one part in
// waitShare of the time, and waitBurst times the longest one at once.
const (
	waitShare = 5
	waitBurst = 2
)

// turns are the waits for fetches.
type turns struct {
	left *rate.Limiter // in microseconds of waiting
}

func newTurns(longest time.Duration) turns {
	return turns{rate.NewLimiter(rate.Limit(time.Second.Microseconds())/waitShare, int(waitBurst*longest.Microseconds()))}
}

// longest is how long one more login may wait.
func (t turns) longest(now time.Time) time.Duration {
	return time.Duration(t.left.TokensAt(now)) * time.Microsecond
}

// spend counts a wait that has ended.
func (t turns) spend(waited time.Duration, now time.Time) {
	t.left.ReserveN(now, min(int(max(waited, 0).Microseconds()), t.left.Burst()))
}
