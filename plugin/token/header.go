package token

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"go-jwt-auth/plugin/internal/jsonvalue"
)

// Header is the part of a JOSE header (RFC 7515 §4.1, RFC 7516 §4.1) that this package looks at.
type Header struct {
	// Algorithm is alg, by its name in the configuration: Ed25519 (RFC 9864 §2.2) is called EdDSA.
	Algorithm string
	// KeyID is kid, Type is typ; each is empty if the header has none.
	KeyID, Type string
	// Critical is true if the header has crit.
	Critical bool
	// Fault says, for the log, why the header can't be read; then the rest is empty, and Verify refuses the token.
	Fault string
}

// compact is the same header with texts of its own, and what they take, in bytes: those of one that was read are parts of all of it.
func (h Header) compact() (Header, int) {
	texts := h.Algorithm + h.KeyID + h.Type
	h.Algorithm, texts = texts[:len(h.Algorithm)], texts[len(h.Algorithm):]
	h.KeyID, h.Type = texts[:len(h.KeyID)], texts[len(h.KeyID):]
	return h, len(h.Algorithm) + len(h.KeyID) + len(h.Type)
}

// Shape is what a password looks like.
type Shape uint8

const (
	// Other is not a token.
	Other Shape = iota
	// Signed is three base64url parts, the first a JSON object with "alg" (RFC 7515 §3.1), or something that begins as a
	// JSON object and can't be read: not a password, and not for another plugin to judge.
	Signed
	// Encrypted is five parts, the first a JSON object with "enc" (RFC 7516 §3.1), or something that begins as one.
	Encrypted
)

// base64URL refuses padding and, at the end, bits that belong to no byte (RFC 4648 §3.5), but passes over line breaks.
var base64URL = base64.RawURLEncoding.Strict()

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// maxHeader bounds the base64url text of a header, in bytes. Those that providers issue have less than 1,000.
const maxHeader = 8192

// Classify tells the shape of a password and, for a token, its header. The header is not trusted: it only says what the
// token claims about itself.
func Classify(password string) (Shape, Header) {
	var shape Shape
	var mark string
	switch strings.Count(password, ".") {
	case 2:
		shape, mark = Signed, "alg"
	case 4:
		shape, mark = Encrypted, "enc"
	default:
		return Other, Header{}
	}
	// By the alphabet, since the decoder passes over line breaks.
	if holdsForeign(password) {
		return Other, Header{}
	}
	first, _, _ := strings.Cut(password, ".")
	s := newScratch()
	defer s.release()
	raw, err := s.decode(first[:min(len(first), maxHeader)])
	switch {
	case !beginsObject(raw):
		return Other, Header{}
	case len(first) > maxHeader:
		return shape, Header{Fault: fmt.Sprintf("its header has %d bytes, the most is %d", len(first), maxHeader)}
	case err != nil:
		return shape, Header{Fault: "its header is not base64url"}
	}
	members, err := jsonvalue.Read(raw)
	if err != nil {
		return shape, Header{Fault: fmt.Sprintf("its header can't be read: %s", err)}
	}
	if _, marked := members.Get(mark); !marked {
		return Other, Header{}
	}
	return shape, newHeader(members)
}

// foreign characters are those that are neither in the parts of a token nor the dot between them.
var foreign = func() (is [256]byte) { //nolint:gochecknoglobals // a constant
	for b := range is {
		if strings.IndexByte(alphabet+".", byte(b)) < 0 {
			is[b] = 1
		}
	}
	return is
}()

func holdsForeign(text string) bool {
	var found byte
	for i := range len(text) {
		found |= foreign[text[i]]
	}
	return found != 0
}

// beginsObject tells whether text begins as a JSON object that has a member, by its brace and the quote of the first name:
// a brace alone is also what words such as "exit" decode to.
func beginsObject(text []byte) bool {
	const space = " \t\r\n"
	inside, open := bytes.CutPrefix(bytes.TrimLeft(text, "\uFEFF"+space), []byte("{"))
	return open && bytes.HasPrefix(bytes.TrimLeft(inside, space), []byte(`"`))
}

// newHeader reads the members by their exact names. They must be strings (RFC 7515 §4.1.1, §4.1.4, §4.1.9): a kid of another
// type taken for none would have every key tried.
func newHeader(members jsonvalue.Value) Header {
	var texts [3]string
	for i, name := range [len(texts)]string{"alg", "kid", "typ"} {
		value, present := members.Get(name)
		text, isString := value.Text()
		if present && !isString {
			return Header{Fault: fmt.Sprintf("its %s is no string", name)}
		}
		texts[i] = text
	}
	h := Header{Algorithm: texts[0], KeyID: texts[1], Type: texts[2]}
	if h.Algorithm == "Ed25519" {
		h.Algorithm = "EdDSA"
	}
	_, h.Critical = members.Get("crit")
	return h
}
