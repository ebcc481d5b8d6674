// Package keyset holds the keys that verify signatures, and knows which key may meet which algorithm.
//
// A Source finds keys; where they come from (a secret, a PEM file, a JWKS file, a JWKS URL) is its own affair. It never
// looks at a token beyond the kid and alg it is asked for.
package keyset

import (
	"context"
	"errors"
	"slices"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/verdict"
)

// Source finds the keys that may verify a token. Safe for concurrent use.
type Source interface {
	// Find returns the keys that fit kid and alg, at least one. kid is empty where the token names none. It waits for
	// a fetch at most until ctx ends. Errors: ErrUnknownKey, ErrPending, or an *UnavailableError.
	Find(ctx context.Context, kid, alg string) ([]any, error)
	// Known returns the fitting keys of the last good set, however old that is, and whether Find would answer now
	// without waiting for anybody. It changes nothing.
	Known(kid, alg string) (keys []any, settled bool)
	// RefreshAt is when Refresh should be called next; zero: never. Refresh then begins to read the keys again in the
	// background, so that nobody has to wait for that.
	RefreshAt() time.Time
	Refresh()
	// Load reads the keys now; it fails where there is no usable one.
	Load(ctx context.Context) (Set, error)
	// String names where the keys come from, for the log.
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

// Remembered is a Source that finds only what the last good set of another holds, and never waits or asks.
func Remembered(from Source) Source { return remembered{from} }

type remembered struct{ Source }

func (r remembered) Find(_ context.Context, kid, alg string) ([]any, error) {
	if found, _ := r.Known(kid, alg); len(found) > 0 {
		return found, nil
	}
	return nil, ErrPending
}

// static is what sources that nobody has to wait for have in common.
type static struct{}

func (static) Known(string, string) (keys []any, settled bool) { return nil, true }

func (static) RefreshAt() time.Time { return time.Time{} }

func (static) Refresh() {}

func (static) Close() {}

// Options are what a Source needs from the house.
type Options struct {
	Client *endpoint.Client
	Now    func() time.Time
	// Locate finds the JWKS URL in mode oidc, where the configuration has none. It may have to ask the network.
	Locate func(ctx context.Context) (string, error)
	// Report takes what the operator should know (a skipped key, a changed set), from any goroutine.
	Report func(warning bool, text string)
}

// New returns the Source that cfg asks for. It reads nothing from the network.
func New(cfg *config.Config, o Options) (Source, error) {
	accept := acceptance{algorithms: cfg.Algorithms, weak: cfg.Common.AllowWeakKeys}
	switch {
	case cfg.Mode == config.ModeLocal:
		return newLocal(cfg.Local, accept, o)
	case cfg.JWKS.FilePath != "":
		return newFile(cfg.JWKS.FilePath, accept, o), nil
	default:
		return newRemote(cfg.JWKS, accept, o), nil
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
	keys []key
	// kidless sets serve every kid: a single configured key has no name of its own.
	kidless bool
	// Skipped says of each entry that can't be used, why.
	Skipped []string
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
		_, kind, _ := fit(k.public) // it did when it was read
		all[i] = Key{ID: k.id, Kind: kind, Bits: size(k.public), Algorithms: k.algorithms}
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

// maxTries bounds the work that a token without kid can ask for: one signature check a fitting key.
const maxTries = 16

// find returns the keys for a token. A token that names no kid may be signed by any key that fits its algorithm
// (RFC 7515 §4.1.4 leaves kid optional).
func (s Set) find(kid, alg string) []any {
	var found []any
	for _, k := range s.keys {
		if (s.kidless || kid == "" || k.id == kid) && slices.Contains(k.algorithms, alg) && len(found) < maxTries {
			found = append(found, k.public)
		}
	}
	return found
}
