// Package jsonvalue finds, compares and reads values of decoded JSON: claims, and the answers of endpoints.
package jsonvalue

import (
	"encoding/json"
	"time"
)

// Lookup finds a member by its dotted path. One whose own name is the whole path goes first, since names such as
// "https://example.com/role" are common (RFC 7519 §4.2); otherwise each dot reaches into a nested object.
func Lookup(in map[string]any, path string) (any, bool) {
	if value, found := in[path]; found {
		return value, true
	}
	for i, r := range path {
		if r != '.' {
			continue
		}
		if nested, ok := in[path[:i]].(map[string]any); ok {
			if value, found := Lookup(nested, path[i+1:]); found {
				return value, true
			}
		}
	}
	return nil, false
}

// Equal compares two strings, booleans or numbers; 1 and 1.0 are the same number. All else is unequal.
func Equal(a, b any) bool {
	na, aIsNumber := a.(json.Number)
	nb, bIsNumber := b.(json.Number)
	if aIsNumber && bIsNumber {
		if na == nb {
			return true
		}
		fa, errA := na.Float64()
		fb, errB := nb.Float64()
		return errA == nil && errB == nil && fa == fb
	}
	switch a.(type) {
	case string, bool:
		return a == b
	}
	return false
}

// lastSecond is the end of year 9999. What lies outside of 1970 to then is no time that anybody meant, and could
// overflow.
const lastSecond = 253402300799

// NumericDate reads seconds since 1970 (RFC 7519 §2), possibly with a fraction, which is cut off; false for anything else.
func NumericDate(value any) (time.Time, bool) {
	var seconds float64
	switch number := value.(type) {
	case json.Number:
		var err error
		if seconds, err = number.Float64(); err != nil {
			return time.Time{}, false
		}
	case float64:
		seconds = number
	default:
		return time.Time{}, false
	}
	if !(seconds >= 0 && seconds <= lastSecond) {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
