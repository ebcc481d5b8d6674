package token

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Text is what a client has sent as its token, with its SHA-256: that is made once, and stands for the token where the token itself
// must not be kept or shown. The zero Text is none.
type Text struct {
	raw string
	// digest is zero until it is asked for, unless the text may be a signed token.
	digest digest
}

type digest [sha256.Size]byte

// NewText takes what a field of CONNECT holds.
func NewText(raw string) Text {
	t := Text{raw: raw}
	if strings.Count(raw, ".") == 2 {
		t.digest = digestOf(raw)
	}
	return t
}

// MayBeSigned tells whether it has three parts, as a signed token has; see Classify.
func (t Text) MayBeSigned() bool { return t.digest != (digest{}) }

// Reveal returns the token itself.
func (t Text) Reveal() string { return t.raw }

// Name is how the log calls the token without giving it away: the first bytes of its SHA-256.
func (t Text) Name() string {
	sum := t.Digest()
	return "sha256:" + hex.EncodeToString(sum[:6])
}

// Digest is its SHA-256.
func (t Text) Digest() [sha256.Size]byte {
	if t.digest == (digest{}) {
		return digestOf(t.raw)
	}
	return t.digest
}

func digestOf(raw string) digest {
	s := newScratch()
	defer s.release()
	return sha256.Sum256(s.bytes(raw))
}
