package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// memory knows tokens that were accepted, so that the signature of each is checked and its JSON read but once. What it holds is true
// for good: that a key verifies this text. Whether the key still counts, and all else that may change, is judged anew each time; so
// nothing has to be taken out of it but for want of space. The nil memory remembers nothing. Safe for concurrent use.
type memory struct {
	mu     sync.Mutex // guards all below
	tokens *simplelru.LRU[digest, remembered]
	bytes  int
	// headers are those of tokens that were accepted, by their text: a provider's tokens have the same one for each of its keys.
	headers *simplelru.LRU[string, Header]
}

// Bounds of a memory. Tokens of 1.7 kB take about as much in it, so that some 7,000 of them fit in.
const (
	maxRememberedBytes = 12 << 20
	maxRemembered      = 16384
	// Headers that a client could make up, with a key that signs for it, are few and short.
	maxHeaders    = 16
	maxHeaderText = 1024
	// perToken is what each takes besides its texts: the entry, its place in the map, and what is lost to rounding.
	perToken = 512
)

// remembered is a token that was accepted.
type remembered struct {
	// key has verified its signature.
	key    any
	header Header
	claims Claims
	// until is when it expires, leeway included; zero: never.
	until time.Time
	bytes int
}

func newMemory() *memory {
	m := &memory{}
	var err error
	m.tokens, err = simplelru.NewLRU(maxRemembered, func(_ digest, r remembered) { m.bytes -= r.bytes })
	if err != nil {
		panic(err) // only for a size below 1
	}
	if m.headers, err = simplelru.NewLRU[string, Header](maxHeaders, nil); err != nil {
		panic(err)
	}
	return m
}

// headerOf finds the header of a signed token by its text.
func (m *memory) headerOf(t Text) (Header, bool) {
	if m == nil || !t.MayBeSigned() {
		return Header{}, false
	}
	text, _, _ := strings.Cut(t.raw, ".")
	m.mu.Lock()
	header, known := m.headers.Get(text)
	m.mu.Unlock()
	if !known || holdsForeign(t.raw) {
		return Header{}, false
	}
	return header, true
}

// get finds a token that has not expired.
func (m *memory) get(t Text, now time.Time) (remembered, bool) {
	if m == nil || !t.MayBeSigned() {
		return remembered{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.tokens.Get(t.digest)
	if found && !r.until.IsZero() && !now.Before(r.until) {
		m.tokens.Remove(t.digest)
		return remembered{}, false
	}
	return r, found
}

// put remembers a token. What was last asked for the longest ago has to go for it.
func (m *memory) put(t Text, r remembered) {
	if m == nil || !t.MayBeSigned() {
		return
	}
	var size int
	r.header, size = r.header.compact()
	r.bytes = perToken + size + r.claims.size()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens.Remove(t.digest)
	m.tokens.Add(t.digest, r)
	if text, _, _ := strings.Cut(t.raw, "."); !m.headers.Contains(text) && len(text) <= maxHeaderText {
		m.headers.Add(strings.Clone(text), r.header)
	}
	for m.bytes += r.bytes; m.bytes > maxRememberedBytes; {
		m.tokens.RemoveOldest()
	}
}

// verifiedBy tells whether one of the keys is the one that has verified it, by its value.
func (r remembered) verifiedBy(keys []any) bool {
	return slices.ContainsFunc(keys, func(key any) bool { return isSameKey(r.key, key) })
}

func isSameKey(a, b any) bool {
	switch a := a.(type) {
	case *rsa.PublicKey:
		b, is := b.(*rsa.PublicKey)
		return is && (a == b || a.Equal(b))
	case *ecdsa.PublicKey:
		b, is := b.(*ecdsa.PublicKey)
		return is && (a == b || a.Equal(b))
	case ed25519.PublicKey:
		b, is := b.(ed25519.PublicKey)
		return is && a.Equal(b)
	case []byte:
		b, is := b.([]byte)
		return is && subtle.ConstantTimeCompare(a, b) == 1
	default:
		return false
	}
}
