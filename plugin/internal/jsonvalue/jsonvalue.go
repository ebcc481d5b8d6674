// Package jsonvalue finds, compares and reads values of decoded JSON: claims, and the answers of endpoints.
package jsonvalue

import (
	"encoding/json"
	"time"
)

// Lookup finds a member of a decoded object by its dotted path; see Value.Lookup.
func Lookup(in map[string]any, path string) (any, bool) {
	value, found := Of(in).Lookup(path)
	return value.Any(), found
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

// NumericDate is Value.NumericDate of a decoded value.
func NumericDate(value any) (time.Time, bool) { return Of(value).NumericDate() }

// NumericDate reads seconds since 1970 (RFC 7519 §2), possibly with a fraction, which is cut off; false for anything else
// than a number from 0 to the end of year 9999.
func (v Value) NumericDate() (time.Time, bool) {
	number, isNumber := v.Number()
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
