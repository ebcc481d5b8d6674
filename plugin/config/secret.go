package config

import (
	"fmt"
	"io"
)

// Secret is a value that must not be logged. Printed or encoded in any way, it tells only whether it is set.
//
// Compare two by what Reveal returns: == compares where they are kept.
type Secret struct {
	// A pointer, because fmt prints the unexported fields of other structs without asking for their String.
	value *string
}

// NewSecret keeps value; the empty string is a Secret that is not set.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal returns the value itself, or "" where none is set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet says whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// String returns "(set)" or "(not set)".
func (s Secret) String() string {
	if s.IsSet() {
		return "(set)"
	}
	return "(not set)"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format writes String, whatever the verb: %d or %x would show the value's bytes otherwise.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON encodes String.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }
