package keyset

import (
	"crypto/sha256"
	"fmt"
	"time"

	"go-jwt-auth/plugin/event"
)

// snapshot is a set as it came in. It is replaced as a whole: a key that is gone stops working.
type snapshot struct {
	set     Set
	digest  [sha256.Size]byte // of the text that it was read from
	arrived time.Time
	// life is how long it serves from then on. Zero: for the login that asked for it alone.
	life time.Duration
	// inherited is a set that was read under an earlier configuration: it is to be read again at once.
	inherited bool
	// crowd and staleSaid are what has been said of it.
	crowd     crowd
	staleSaid bool
}

// condition is the one of the set at a time, but for what the provider and those who wait do to it.
func (s *snapshot) condition(now time.Time, maxStale time.Duration) condition {
	return condition{age: now.Sub(s.arrived), life: s.life, maxStale: maxStale, inherited: s.inherited}
}

// inherit is the set as a source with another configuration gets it.
func (s snapshot) inherit(accept acceptance, cached bool) snapshot {
	s.set, s.inherited, s.crowd = s.set.under(accept), true, crowd{}
	if !cached {
		s.life = 0
	}
	return s
}

// follow makes s the successor of last, and reports what is new.
func (s *snapshot) follow(last *snapshot, origin string, report func(event.Note)) {
	if last.staleSaid {
		report(event.CameUp(fmt.Sprintf("the keys at %s can be read again", origin)))
	}
	changed := s.digest != last.digest
	if changed || last.inherited {
		for _, reason := range s.set.Skipped {
			report(event.Warn(origin + ": " + reason))
		}
	}
	switch {
	case !changed && !last.inherited:
		s.crowd = last.crowd
		s.set = last.set // with the very same keys, so that they need not be compared by their values
	case !changed:
		s.crowd = last.crowd
	case last.set.Len() > 0:
		report(event.Inform(describeChange(origin, s.set)))
	}
}

// sayStale reports once that the set serves on after its time. cause is why it can't be read again; nil: no answer yet.
func (s *snapshot) sayStale(cause error, maxStale time.Duration, origin string, report func(event.Note)) {
	if s.staleSaid {
		return
	}
	s.staleSaid = true
	text := "no answer yet"
	if cause != nil {
		text = cause.Error()
	}
	report(event.WentDown(fmt.Sprintf("the keys at %s can't be read (%s): those read at %s go on serving, until %s at the latest",
		origin, text, s.arrived.UTC().Format(time.RFC3339), s.arrived.Add(maxStale).UTC().Format(time.RFC3339))))
}
