package token

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go-jwt-auth/plugin/internal/jsonvalue"
)

// ErrIssuer is a token whose iss is not a string (RFC 7519 §4.1.1).
var ErrIssuer = errors.New("its iss is not a string")

// Issuer reads iss of a token that Classify found to be Signed, before its signature is checked: by it the provider is chosen
// whose keys are to verify the token. It appends iss to buffer; found is false if the token has none. With an error the token
// is malformed: iss is there twice or not a string, or the payload can't be read as an object. Other faults of it are left to
// Verify, which reads it strictly; of what that takes, both read the same iss.
//
// Nothing is allocated unless iss is longer than the space in buffer, or the payload holds an escape or a fault.
func Issuer(buffer []byte, password string) (iss []byte, found bool, err error) {
	_, rest, _ := strings.Cut(password, ".")
	payload, _, _ := strings.Cut(rest, ".")
	s := newScratch()
	defer s.release()
	raw, err := s.decode(payload)
	if err != nil {
		return nil, false, errors.New("its payload is not base64url")
	}
	if text, found, sure := scanIssuer(raw); sure {
		if !found {
			return nil, false, nil
		}
		return append(buffer, text...), true, nil
	}
	return strictIssuer(buffer, raw)
}

func strictIssuer(buffer, raw []byte) (iss []byte, found bool, err error) {
	claims, err := jsonvalue.Read(raw)
	if err != nil {
		return nil, false, fmt.Errorf("its payload can't be read: %w", err)
	}
	value, present := claims.Get("iss")
	text, isText := value.Text()
	switch {
	case !present:
		return nil, false, nil
	case !isText:
		return nil, false, ErrIssuer
	}
	return append(buffer, text...), true, nil
}

// scanIssuer finds iss among the members of a JSON object without reading more of it than that takes. It is not sure of a text
// that holds an escape, of iss twice or of another type, and of what does not look like an object on the way. Other faults it
// does not see.
func scanIssuer(raw []byte) (iss []byte, found, sure bool) {
	s := scanner{raw: raw}
	// Without escapes a name is there as it is, or not at all.
	if bytes.IndexByte(raw, '\\') >= 0 || !s.take('{') {
		return nil, false, false
	}
	for next := s.find(); next >= 0; {
		name, isText := s.text()
		if !isText || !s.take(':') {
			return nil, false, false
		}
		if string(name) == "iss" {
			if found {
				return nil, false, false
			}
			if iss, found = s.text(); !found {
				return nil, false, false
			}
		} else if !s.skip() {
			return nil, false, false
		}
		if s.at > next {
			next = s.find()
		}
		if next >= 0 && !s.take(',') {
			return nil, false, false
		}
	}
	return iss, found, true
}

// scanner stands before a byte of a JSON text.
type scanner struct {
	raw []byte
	at  int
}

// space passes over white space.
func (s *scanner) space() {
	for s.at < len(s.raw) {
		switch s.raw[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// take passes over white space and then over this byte, if it is the next one.
func (s *scanner) take(b byte) bool {
	s.space()
	if s.at == len(s.raw) || s.raw[s.at] != b {
		return false
	}
	s.at++
	return true
}

// find is where "iss" stands next, in quotes, or -1. (bytes.Index is slow here, as quotes are frequent.)
func (s *scanner) find() int {
	for at := s.at + 1; at < len(s.raw); at++ {
		next := bytes.IndexByte(s.raw[at:], 'i')
		if next < 0 {
			return -1
		}
		if at += next; s.raw[at-1] == '"' && bytes.HasPrefix(s.raw[at:], []byte(`iss"`)) {
			return at - 1
		}
	}
	return -1
}

// text reads a string, which holds no escape.
func (s *scanner) text() (text []byte, isText bool) {
	if !s.take('"') {
		return nil, false
	}
	length := bytes.IndexByte(s.raw[s.at:], '"')
	if length < 0 {
		return nil, false
	}
	text = s.raw[s.at : s.at+length]
	s.at += length + 1
	return text, true
}

// skip passes over a value: over a string, to the bracket that ends an array or object, or to what stands behind a number or a
// literal.
func (s *scanner) skip() bool {
	s.space()
	for depth, began := 0, s.at; s.at < len(s.raw); {
		switch s.raw[s.at] {
		case '"':
			if _, isText := s.text(); !isText {
				return false
			}
			if depth == 0 {
				return true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of the object itself, behind a number or a literal
				return s.at > began
			}
			depth--
			if depth == 0 {
				s.at++
				return true
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return s.at > began
			}
		}
		s.at++
	}
	return false
}
