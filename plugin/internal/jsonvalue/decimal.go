package jsonvalue

import (
	"encoding/json"
	"strconv"
	"strings"
)

// decimal is the number digits × 10^exponent, in the one form in which == compares numbers: digits neither begins nor ends
// with a zero, and is empty for zero. Its size is that of the JSON text, whatever the exponent.
type decimal struct {
	negative bool
	digits   string
	exponent int64
}

// maxExponent bounds the exponent, so that the digits can be counted in with no overflow.
const maxExponent = 1e18

// newDecimal reads a JSON number (RFC 8259 §6); false where its exponent is over maxExponent, or it is no number.
func newDecimal(number json.Number) (decimal, bool) {
	text, negative := strings.CutPrefix(string(number), "-")
	mantissa, power := text, "0"
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		mantissa, power = text[:e], text[e+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	padded := strings.TrimLeft(whole+fraction, "0")
	digits := strings.TrimRight(padded, "0")
	if digits == "" {
		return decimal{}, text != ""
	}
	exponent, err := strconv.ParseInt(power, 10, 64)
	if err != nil || exponent > maxExponent || exponent < -maxExponent {
		return decimal{}, false
	}
	return decimal{negative, digits, exponent + int64(len(padded)-len(digits)-len(fraction))}, true
}

// whole is the number without its fraction; false where it is below zero or has more than 18 digits.
func (d decimal) whole() (int64, bool) {
	const most = 18
	count := int64(len(d.digits)) + d.exponent // of digits before the point
	switch {
	case d.negative || count > most:
		return 0, false
	case count <= 0:
		return 0, true
	}
	digits := d.digits[:min(count, int64(len(d.digits)))]
	n, err := strconv.ParseInt(digits, 10, 64)
	for range count - int64(len(digits)) {
		n *= 10
	}
	return n, err == nil
}
