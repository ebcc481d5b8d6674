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

// Equal compares two strings, booleans or numbers; numbers exactly, so that 1 is 1.0 and 1e0, and 76561198000000001 is not
// 76561198000000002. All else is unequal.
func Equal(a, b any) bool {
	na, aIsNumber := a.(json.Number)
	nb, bIsNumber := b.(json.Number)
	if aIsNumber && bIsNumber {
		da, aIsDecimal := newDecimal(na)
		db, bIsDecimal := newDecimal(nb)
		return na == nb || aIsDecimal && bIsDecimal && da == db
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

// NumericDate reads seconds since 1970 (RFC 7519 §2), possibly with a fraction, which is cut off; false for anything else
// than a json.Number from 0 to the end of year 9999.
func NumericDate(value any) (time.Time, bool) {
	number, isNumber := value.(json.Number)
	d, isDecimal := newDecimal(number)
	if !isNumber || !isDecimal {
		return time.Time{}, false
	}
	seconds, ok := d.whole()
	if !ok || seconds > lastSecond {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}
