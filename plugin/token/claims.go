package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"
)

// Claims are what a token says (RFC 7519 §4), or an introspection response about it (RFC 7662 §2.2).
type Claims struct {
	all map[string]any
}

// NewClaims wraps claims that did not come out of a token. Numbers are json.Number.
func NewClaims(all map[string]any) Claims { return Claims{all: all} }

// Lookup finds a claim by its dotted path; see jsonvalue.Lookup.
func (c Claims) Lookup(path string) (any, bool) { return jsonvalue.Lookup(c.all, path) }

// Expiry is `exp` (RFC 7519 §4.1.4); false where there is none. CheckClaims has refused one that is no number.
func (c Claims) Expiry() (time.Time, bool) {
	exp, present, err := c.instant("exp")
	return exp, present && err == nil
}

// Text is a claim by its dotted path; empty where it is missing or no string.
func (c Claims) Text(path string) string {
	value, _ := c.Lookup(path)
	text, _ := value.(string)
	return text
}

// HasAudience tells whether aud (RFC 7519 §4.1.3), a string or an array of nothing but strings, is or holds name.
func (c Claims) HasAudience(name string) bool {
	switch aud := c.all["aud"].(type) {
	case string:
		return aud == name
	case []any:
		found := false
		for _, element := range aud {
			text, isString := element.(string)
			if !isString {
				return false
			}
			found = found || text == name
		}
		return found
	default:
		return false
	}
}

// instant reads a NumericDate (RFC 7519 §2).
func (c Claims) instant(name string) (at time.Time, present bool, err error) {
	value, present := c.all[name]
	if !present {
		return time.Time{}, false, nil
	}
	at, ok := jsonvalue.NumericDate(value)
	if !ok {
		return time.Time{}, true, errNotNumericDate
	}
	return at, true, nil
}

var errNotNumericDate = errors.New("not a NumericDate")

func (c Claims) show(name string) string {
	value, present := c.all[name]
	return describe(value, present)
}

// scopes are the granted scopes: `scope` as a string of words (RFC 8693 §4.2, RFC 9068 §2.2.3) or `scp` (Entra ID, Okta);
// either occurs as an array too. Words are parted by U+0020 alone (RFC 6749 §3.3).
func (c Claims) scopes() []string {
	var granted []string
	for _, name := range []string{"scope", "scp"} {
		switch value := c.all[name].(type) {
		case string:
			granted = append(granted, strings.FieldsFunc(value, func(r rune) bool { return r == ' ' })...)
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
		return slices.ContainsFunc(elements, func(element any) bool { return isOne(element, values) })
	}
	return isOne(claim, values)
}

func isOne(claim any, values []any) bool {
	return slices.ContainsFunc(values, func(value any) bool { return jsonvalue.Equal(claim, value) })
}

func describeAll(values []any) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = describe(value, true)
	}
	return strings.Join(texts, ", ")
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
