package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/plugin/verdict"
)

// Claims are what a verified token says (RFC 7519 §4). Only Verify makes them.
type Claims struct {
	all jwt.MapClaims
}

// NewClaims wraps claims that did not come out of a token: those of a test or of an introspection answer.
func NewClaims(all map[string]any) Claims { return Claims{all: all} }

// Lookup finds a claim by its dotted path. A claim whose own name is the whole path goes first, since names such as
// "https://example.com/role" are common (RFC 7519 §4.2); otherwise each dot reaches into a nested object.
func (c Claims) Lookup(path string) (any, bool) {
	return lookup(c.all, path)
}

func lookup(in map[string]any, path string) (any, bool) {
	if value, found := in[path]; found {
		return value, true
	}
	for i, r := range path {
		if r != '.' {
			continue
		}
		if nested, ok := in[path[:i]].(map[string]any); ok {
			if value, found := lookup(nested, path[i+1:]); found {
				return value, true
			}
		}
	}
	return nil, false
}

// Expiry is `exp` (RFC 7519 §4.1.4); false where there is none. Verify has refused one that is no number.
func (c Claims) Expiry() (time.Time, bool) {
	exp, present, err := c.instant("exp")
	return exp, present && err == nil
}

// lastSecond is the end of year 9999. What lies outside of 1970 to then is no time that anybody meant, and could
// overflow.
const lastSecond = 253402300799

// instant reads a NumericDate (RFC 7519 §2): seconds since 1970, possibly with a fraction, which is cut off.
func (c Claims) instant(name string) (at time.Time, present bool, err error) {
	value, present := c.all[name]
	if !present {
		return time.Time{}, false, nil
	}
	var seconds float64
	switch number := value.(type) {
	case json.Number:
		if seconds, err = number.Float64(); err != nil {
			return time.Time{}, true, errNotNumericDate
		}
	case float64:
		seconds = number
	default:
		return time.Time{}, true, errNotNumericDate
	}
	if !(seconds >= 0 && seconds <= lastSecond) {
		return time.Time{}, true, errNotNumericDate
	}
	return time.Unix(int64(seconds), 0), true, nil
}

var errNotNumericDate = errors.New("not a NumericDate")

func (c Claims) show(name string) string {
	value, present := c.all[name]
	return describe(value, present)
}

// scopes are the granted scopes: `scope` as a string of words (RFC 8693 §4.2, RFC 9068 §2.2.3) or `scp` (Entra ID, Okta);
// either occurs as an array too.
func (c Claims) scopes() []string {
	var granted []string
	for _, name := range []string{"scope", "scp"} {
		switch value := c.all[name].(type) {
		case string:
			granted = append(granted, strings.Fields(value)...)
		case []any:
			for _, element := range value {
				if s, ok := element.(string); ok {
					granted = append(granted, s)
				}
			}
		}
	}
	return granted
}

// holds tells whether a claim equals one of the values, or is an array with an element that does.
func holds(claim any, values []any) bool {
	if elements, ok := claim.([]any); ok {
		for _, element := range elements {
			if holdsOne(element, values) {
				return true
			}
		}
		return false
	}
	return holdsOne(claim, values)
}

func holdsOne(claim any, values []any) bool {
	for _, value := range values {
		if equal(claim, value) {
			return true
		}
	}
	return false
}

// equal compares JSON strings, booleans and numbers; 1 and 1.0 are the same number.
func equal(a, b any) bool {
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

// describe says what a claim holds, for the log.
func describe(claim any, found bool) string {
	if !found {
		return "none"
	}
	switch value := claim.(type) {
	case string:
		return verdict.Quote(value)
	case json.Number, bool:
		return fmt.Sprintf("%.64v", value)
	default:
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Sprintf("a value of type %T", value)
		}
		return verdict.Quote(string(text))
	}
}
