// Package keyset holds the keys that verify signatures, and knows which key may meet which algorithm.
//
// A Source finds keys; where they come from (a secret, a PEM file, a JWKS file, a JWKS URL) is its own affair. It never
// looks at a token beyond the kid and alg it is asked for.
package keyset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	// waits together take a bounded share of the time.
	Blocks bool
	// Locate finds the JWKS URL in mode oidc, if the configuration has none. It may have to ask the network.
	Locate func(ctx context.Context) (string, error)
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
	accept := acceptance{algorithms: cfg.Algorithms, weak: cfg.Common.AllowWeakKeys}
	switch {
	case cfg.Mode == config.ModeLocal:
		return newLocal(cfg.Local, accept, o)
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
}

// Set is a key set as it was read.
type Set struct {
	// keys are those that the configuration has a use for; read are all that could be read, for another configuration.
	keys, read []key
	// kidless sets serve every kid: keys of the configuration have no names of their own.
	kidless bool
	// Skipped says of the entries that can't be used, why: of the first 20 one by one, of the rest how many.
	Skipped []string
}

// under is the same set as another configuration sees it.
func (s Set) under(accept acceptance) Set {
	s.keys, s.Skipped = nil, nil
	for _, k := range s.read {
		if k, err := accept.judge(k); err == nil {
			s.keys = append(s.keys, k)
		}
	}
	return s
}

// Len is the number of usable keys.
func (s Set) Len() int { return len(s.keys) }

// Key describes a usable key, for the command-line tool.
type Key struct {
	// ID is its kid, empty where it has none. Kind says its type in words: "an RSA key".
	ID, Kind string
	// Bits is its size: of the modulus, the curve or the secret.
	Bits int
	// Algorithms are those of the configuration that it may verify.
	Algorithms []string
}

// Keys describes every key.
func (s Set) Keys() []Key {
	all := make([]Key, len(s.keys))
	for i, k := range s.keys {
		all[i] = Key{ID: k.id, Kind: k.kind, Bits: size(k.public), Algorithms: k.algorithms}
	}
	return all
}

// IDs are the key ids, for the log.
func (s Set) IDs() []string {
	ids := make([]string, 0, len(s.keys))
	for _, k := range s.keys {
		if k.id != "" && !slices.Contains(ids, k.id) {
			ids = append(ids, k.id)
		}
	}
	return ids
}

func describeChange(origin string, set Set) string {
	return fmt.Sprintf("the keys at %s have changed: now %d (%s)", origin, set.Len(), DescribeIDs(set))
}

// DescribeIDs lists the key ids of a set for the log, the first few where there are many.
func DescribeIDs(set Set) string {
	const shown = 8
	ids := set.IDs()
	more := ""
	if len(ids) > shown {
		ids, more = ids[:shown], fmt.Sprintf(" and %d more", len(ids)-shown)
	}
	for i, id := range ids {
		ids[i] = verdict.Quote(id)
	}
	if len(ids) == 0 {
		return "without kid"
	}
	return "kid " + strings.Join(ids, ", ") + more
}

// MaxTries bounds the work that a token can ask for: one signature check a fitting key.
const MaxTries = 16

// find returns the keys for a token, MaxTries at the most, and how many fit. A token that names no kid may be signed by
// any key that fits its algorithm (RFC 7515 §4.1.4 leaves kid optional). One that names a kid which no fitting key has may
// be signed by any that has none (RFC 7517 §4.5 leaves it optional there as well).
func (s Set) find(kid, alg string) (found []any, fitting int) {
	pick := func(named func(id string) bool) {
		for _, k := range s.keys {
			if !named(k.id) || !slices.Contains(k.algorithms, alg) {
				continue
			}
			fitting++
			if fitting <= MaxTries {
				found = append(found, k.public)
			}
		}
	}
	pick(func(id string) bool { return s.kidless || kid == "" || id == kid })
	if fitting == 0 {
		pick(func(id string) bool { return id == "" })
	}
	return found, fitting
}
