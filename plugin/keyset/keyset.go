// Package keyset holds the keys that verify signatures, and knows which key may meet which algorithm.
//
// A Source finds keys, and only a Source knows the place that they come from (a secret, a PEM file, a JWKS file, a JWKS URL). It
// sees of a token only the kid and alg that it is asked for.
package keyset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// Source finds the keys that may verify a token. Safe for concurrent use.
type Source interface {
	// Find returns the keys that fit kid and alg, at least one. kid is empty if the token names none. It waits for a fetch at
	// most until ctx ends. Errors: ErrUnknownKey, ErrPending, or an *UnavailableError.
	Find(ctx context.Context, kid, alg string) ([]any, error)
	// Load reads the keys now; it fails if there is no usable one.
	Load(ctx context.Context) (Set, error)
	// String names the place that the keys come from, for the log.
	String() string
	// Close ends what runs in the background.
	Close()
}

// ErrUnknownKey says that the set was read and holds no key for the token.
var ErrUnknownKey = errors.New("no key of the set fits")

// ErrPending says that the set is being fetched and was not there in time; the next attempt will find it.
var ErrPending = errors.New("the key set is being fetched")

// UnavailableError says that there is no usable key set.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string {
	return "there is no usable key set: " + verdict.Line(e.Cause.Error())
}

// Unwrap gives the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }

// Options are the dependencies of a Source.
type Options struct {
	Client *endpoint.Client
	Now    func() time.Time
	// Blocks says that a login which waits in Find holds up all others (Mosquitto 2.0). Then only one waits for a fetch, and all
	// waits together take a bounded share of the time (ShareWaits).
	Blocks bool
	// Locate finds the JWKS URL in mode oidc, if the configuration has none. It may have to ask the network.
	Locate func(ctx context.Context) (string, error)
	// Requested takes each fetch from an address, from any goroutine; nil: nobody wants to know.
	Requested func(event.Request)
	// Report takes what the operator should know (a skipped key, a changed set), from any goroutine. No lock is held then.
	Report func(event.Note)
}

// reportingMutex is a lock under which there may be something to report: Unlock does that when the lock is free again, since
// logins wait for it.
type reportingMutex struct {
	mutex sync.Mutex
	to    func(event.Note)
	notes []event.Note
}

func (m *reportingMutex) Lock() { m.mutex.Lock() }

// report has a note reported by Unlock. The lock is held.
func (m *reportingMutex) report(n event.Note) { m.notes = append(m.notes, n) }

func (m *reportingMutex) Unlock() {
	notes := m.notes
	m.notes = nil
	m.mutex.Unlock()
	for _, n := range notes {
		m.to(n)
	}
}

// Condition is what can be said of the keys without asking the provider.
type Condition struct {
	// Usable is how many keys may serve now.
	Usable int
	// Read is when they were read from an address; zero: they were not, or come from elsewhere.
	Read time.Time
	// Failure is why they could not be read the last time, and Failed when that was; nil: they could.
	Failure error
	Failed  time.Time
	// Stale: they serve after their time, as they can't be read again.
	Stale bool
	// Origin is where they come from, for showing.
	Origin string
}

// ConditionOf is that of a source, which may be nil.
func ConditionOf(source Source) Condition {
	switch s := source.(type) {
	case *remote:
		return s.standing()
	case keeper:
		set := s.lastSet()
		return Condition{Usable: set.Len(), Origin: source.String()}
	}
	return Condition{}
}

// crowd says, once for a set, that a token fits more of its keys than are tried.
type crowd struct{ said bool }

func (c *crowd) note(report func(event.Note), origin string, fitting int) {
	if fitting <= MaxTries || c.said {
		return
	}
	c.said = true
	report(event.Warn(fmt.Sprintf("%s: only %d of the %d keys that fit a token were tried, as the token or the keys name no kid", origin, MaxTries, fitting)))
}

// New returns the Source that cfg asks for. It reads nothing from the network.
func New(cfg *config.Provider, o Options) (Source, error) {
	accept := acceptance{algorithms: cfg.Algorithms, weak: cfg.Common.AllowWeakKeys, path: cfg.Path}
	switch {
	case cfg.Mode == config.ModeLocal:
		return newLocal(cfg, accept, o)
	case cfg.JWKS.FilePath != "":
		return newFile(cfg.JWKS.FilePath, accept, o), nil
	default:
		return newRemote(cfg, accept, o), nil
	}
}

// acceptance is what the configuration asks of a key.
type acceptance struct {
	algorithms []string
	// weak admits RSA keys under 2048 bits and short HMAC secrets.
	weak bool
	// path is where the provider stands in jwt.json.
	path config.Path
}

// weakAt is where weak stands in jwt.json.
func (accept acceptance) weakAt() string { return accept.path.Key("options.common.allowWeakKeys") }
