package session

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// Bearer is a token that is kept for long. The three parts of a signed token (RFC 7515 §3.1) are base64url, and are kept as the bytes
// that they stand for, which are a quarter fewer. It is a secret as the token is.
type Bearer struct{ packed string }

// How a token is kept, by the first byte.
const (
	asText  byte = iota
	asBytes      // behind two lengths, of header and payload (varint)
)

// NewBearer keeps a token.
func NewBearer(token string) Bearer {
	if header, payload, signature, is := partsOf(token); is {
		packed := make([]byte, 1, 1+2*binary.MaxVarintLen32+base64.RawURLEncoding.DecodedLen(len(token)))
		packed[0] = asBytes
		packed = binary.AppendVarint(packed, int64(base64.RawURLEncoding.DecodedLen(len(header))))
		packed = binary.AppendVarint(packed, int64(base64.RawURLEncoding.DecodedLen(len(payload))))
		for _, part := range [...]string{header, payload, signature} {
			packed, _ = base64.RawURLEncoding.AppendDecode(packed, []byte(part)) // a fault is seen below
		}
		if b := (Bearer{string(packed)}); b.Reveal() == token {
			return b
		}
	}
	return Bearer{string(asText) + token}
}

func partsOf(token string) (header, payload, signature string, is bool) {
	if strings.Count(token, ".") != 2 {
		return "", "", "", false
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ = strings.Cut(rest, ".")
	return header, payload, signature, true
}

// String and GoString show no token, whatever verb prints what holds one.
func (Bearer) String() string   { return "(a token)" }
func (Bearer) GoString() string { return "(a token)" } //nolint:revive // as String

// Reveal is the token, to the letter.
func (b Bearer) Reveal() string {
	if b.packed == "" {
		return ""
	}
	if b.packed[0] == asText {
		return b.packed[1:]
	}
	bytes := []byte(b.packed[1:])
	header, n := binary.Varint(bytes)
	bytes = bytes[n:]
	payload, n := binary.Varint(bytes)
	bytes = bytes[n:]
	if header+payload > int64(len(bytes)) {
		return "" // of what was not base64url
	}
	text := make([]byte, 0, base64.RawURLEncoding.EncodedLen(len(bytes))+len("...."))
	text = append(base64.RawURLEncoding.AppendEncode(text, bytes[:header]), '.')
	text = append(base64.RawURLEncoding.AppendEncode(text, bytes[header:header+payload]), '.')
	return string(base64.RawURLEncoding.AppendEncode(text, bytes[header+payload:]))
}
