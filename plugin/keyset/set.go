package keyset

import (
	"fmt"
	"slices"

	"go-jwt-auth/plugin/verdict"
)

// Set is a key set as it was read.
type Set struct {
	// keys are those that fit the configuration; read are all that could be read, for another configuration.
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
	// ID is its kid, empty if it has none. Kind says its type in words: "an RSA key".
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

// DescribeIDs lists the key ids of a set for the log, at most the first eight.
func DescribeIDs(set Set) string {
	ids := set.IDs()
	if len(ids) == 0 {
		return "without kid"
	}
	return "kid " + verdict.QuoteList(ids, 8)
}

// MaxTries bounds the work that a token can ask for: one signature check a fitting key.
const MaxTries = 16

// find returns the keys for a token, MaxTries at the most, and how many fit. A token that names no kid may be signed by
// any key that fits its algorithm (RFC 7515 §4.1.4 leaves kid optional). One that names a kid which no fitting key has may
// be signed by any that has none (RFC 7517 §4.5 leaves it optional there as well).
func (s Set) find(kid, alg string) (found []any, fitting int) {
	pick := func(named func(id string) bool) {
		for i := range s.keys {
			k := &s.keys[i]
			if !named(k.id) || !slices.Contains(k.algorithms, alg) {
				continue
			}
			fitting++
			switch {
			case fitting == 1:
				found = k.alone
			case fitting <= MaxTries:
				found = append(found, k.public) // never to alone itself, which has no room
			}
		}
	}
	pick(func(id string) bool { return s.kidless || kid == "" || id == kid })
	if fitting == 0 {
		pick(func(id string) bool { return id == "" })
	}
	return found, fitting
}
