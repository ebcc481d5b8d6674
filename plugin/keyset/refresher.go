package keyset

import (
	"context"
	"time"
)

// Refresher is what a Source can do besides whose keys have to be fetched from time to time. The functions of the same names
// ask any Source.
type Refresher interface {
	// Settled tells whether Find would answer now, without a fetch. It changes nothing.
	Settled(kid, alg string) bool
	// RefreshAt is when Refresh should be called next; zero: never.
	RefreshAt() time.Time
	// Refresh begins to read the keys in the background if RefreshAt has come, so that no login has to wait for it.
	Refresh()
	// Doubt tells the source that keys it has found did not verify a signature: the provider may have put another key in the
	// place of one, under its kid. The set is then read again in the background, at most every 5 s.
	Doubt()
	// ShareWaits says that logins hold each other up at so many sources, one at least (Options.Blocks): then the waits at this one
	// take its part of the time that all may take.
	ShareWaits(sources int)
}

// Settled tells whether source would answer now, without a fetch.
func Settled(source Source, kid, alg string) bool {
	r, refreshes := source.(Refresher)
	return !refreshes || r.Settled(kid, alg)
}

// RefreshAt is when Refresh should be called next for source, which may be nil; zero: never.
func RefreshAt(source Source) time.Time {
	if r, refreshes := source.(Refresher); refreshes {
		return r.RefreshAt()
	}
	return time.Time{}
}

// Refresh has source, which may be nil, read its keys in the background if that is due.
func Refresh(source Source) {
	if r, refreshes := source.(Refresher); refreshes {
		r.Refresh()
	}
}

// Doubt tells source that keys it has found did not verify a signature.
func Doubt(source Source) {
	if r, refreshes := source.(Refresher); refreshes {
		r.Doubt()
	}
}

// ShareWaits has source, which may be nil, leave its part of the time for waits to each of so many.
func ShareWaits(source Source, sources int) {
	if r, refreshes := source.(Refresher); refreshes {
		r.ShareWaits(sources)
	}
}

// keeper is a Source that knows its last good set.
type keeper interface{ lastSet() Set }

// Kidless tells whether no key of the last good set has a kid, so that a token's chooses none.
func Kidless(source Source) bool {
	k, keeps := source.(keeper)
	if !keeps {
		return false
	}
	set := k.lastSet()
	return set.Len() > 0 && len(set.IDs()) == 0
}

// LastGood is a Source that finds only what the last good set of another holds, however old that is. It never waits, and
// never has anything read.
func LastGood(from Source) Source { return lastGood{from} }

type lastGood struct{ Source }

var _ Source = lastGood{}

func (l lastGood) Find(_ context.Context, kid, alg string) ([]any, error) {
	if k, keeps := l.Source.(keeper); keeps {
		set := k.lastSet()
		if found, fitting := set.find(kid, alg); fitting > 0 {
			return found, nil
		}
	}
	return nil, ErrPending
}
