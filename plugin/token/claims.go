package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"
)

// Claims are what a token says (RFC 7519 §4), or an introspection response about it (RFC 7662 §2.2).
type Claims struct {
	all jsonvalue.Value
	// read is what each login asks for; nil: it is read then.
	read *read
}

// read is what was read of the claims of a verified token.
type read struct {
	id            string // see Claims.ID
	iss, sub      string // or empty; see Claims.Text
	nbf, iat, exp instant
}

// instant is a NumericDate (RFC 7519 §2), nothing, or something else.
type instant struct {
	at      time.Time
	present bool
	err     error
}

// readAhead returns the same claims with all of read.
func (c Claims) readAhead(t Text) Claims {
	r := &read{id: c.ID(t), iss: c.text("iss"), sub: c.text("sub")}
	r.nbf.at, r.nbf.present, r.nbf.err = c.instant("nbf")
	r.iat.at, r.iat.present, r.iat.err = c.instant("iat")
	r.exp.at, r.exp.present, r.exp.err = c.instant("exp")
	c.read = r
	return c
}

// size is what they take of memory, in bytes.
func (c Claims) size() int {
	size := c.all.Size()
	if c.read != nil {
		size += int(unsafe.Sizeof(*c.read)) + len(c.read.id) + len(c.read.iss) + len(c.read.sub)
	}
	return size
}

// NewClaims wraps claims that did not come out of a token. Numbers are json.Number.
func NewClaims(all map[string]any) Claims { return Claims{all: jsonvalue.Of(all)} }

// Lookup finds a claim by its dotted path; see jsonvalue.Value.Lookup.
func (c Claims) Lookup(path string) (any, bool) {
	value, found := c.all.Lookup(path)
	return value.Any(), found
}

// Expiry is `exp` (RFC 7519 §4.1.4); false if there is none. CheckClaims has refused one that is not a number.
func (c Claims) Expiry() (time.Time, bool) {
	exp, present, err := c.instant("exp")
	return exp, present && err == nil
}

// Text is a claim by its dotted path; empty if it is missing or not a string.
func (c Claims) Text(path string) string {
	if c.read != nil {
		switch path {
		case "iss":
			return c.read.iss
		case "sub":
			return c.read.sub
		}
	}
	value, _ := c.all.Lookup(path)
	text, _ := value.Text()
	return text
}

// text is a claim by its own name; empty if it is missing or not a string.
func (c Claims) text(name string) string {
	value, _ := c.all.Get(name)
	text, _ := value.Text()
	return text
}

// HasAudience tells whether aud (RFC 7519 §4.1.3), a string or an array of nothing but strings, is or holds name.
func (c Claims) HasAudience(name string) bool {
	aud, _ := c.all.Get("aud")
	found, texts := false, true
	isArray := aud.Each(func(element jsonvalue.Value) bool {
		var text string
		text, texts = element.Text()
		found = found || text == name
		return texts
	})
	if !isArray {
		return aud.Equals(name)
	}
	return found && texts
}

// instant reads a NumericDate (RFC 7519 §2).
func (c Claims) instant(name string) (at time.Time, present bool, err error) {
	if c.read != nil {
		switch name {
		case "nbf":
			return c.read.nbf.all()
		case "iat":
			return c.read.iat.all()
		case "exp":
			return c.read.exp.all()
		}
	}
	value, present := c.all.Get(name)
	if !present {
		return time.Time{}, false, nil
	}
	at, ok := value.NumericDate()
	if !ok {
		return time.Time{}, true, errNotNumericDate
	}
	return at, true, nil
}

func (i *instant) all() (at time.Time, present bool, err error) { return i.at, i.present, i.err }

var errNotNumericDate = errors.New("not a NumericDate")

func (c Claims) show(name string) string {
	value, present := c.all.Get(name)
	return describe(value.Any(), present)
}

// HasScope tells whether a scope was granted.
func (c Claims) HasScope(scope string) bool { return slices.Contains(c.scopes(), scope) }

// Holds tells whether a claim, by its dotted path, equals one of the values, or is an array with an element that does.
func (c Claims) Holds(path string, values []any) bool {
	claim, _ := c.all.Lookup(path)
	return holds(claim, values)
}

// scopes are the granted scopes: `scope` as a string of words (RFC 8693 §4.2, RFC 9068 §2.2.3) or `scp` (Entra ID, Okta);
// either occurs as an array too. Words are parted by U+0020 alone (RFC 6749 §3.3).
func (c Claims) scopes() []string {
	var granted []string
	for _, name := range []string{"scope", "scp"} {
		value, _ := c.all.Get(name)
		words, _ := value.Text()
		granted = append(granted, strings.FieldsFunc(words, func(r rune) bool { return r == ' ' })...)
		value.Each(func(element jsonvalue.Value) bool {
			if s, ok := element.Text(); ok {
				granted = append(granted, s)
			}
			return true
		})
	}
	return granted
}

// holds tells whether a claim equals one of the values, or is an array with an element that does.
func holds(claim jsonvalue.Value, values []any) bool {
	found := false
	isArray := claim.Each(func(element jsonvalue.Value) bool {
		found = slices.ContainsFunc(values, element.Equals)
		return !found
	})
	return found || !isArray && slices.ContainsFunc(values, claim.Equals)
}

func describeAll(values []any) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = describe(value, true)
	}
	return strings.Join(texts, ", ")
}

// leftOut tells whether the provider says that it has left a claim out for its size: Entra ID names it in _claim_names
// (OpenID Connect Core §5.6.2), or says hasgroups in its place.
func (c Claims) leftOut(path string) bool {
	names, _ := c.all.Get("_claim_names")
	_, named := names.Get(path)
	has, _ := c.all.Get("hasgroups")
	return named || path == "groups" && has.Equals(true)
}

// describe says what a claim holds, for the log: a list of texts as one writes it, and any other structure as JSON.
func describe(claim any, found bool) string {
	if !found {
		return "none"
	}
	switch value := claim.(type) {
	case string:
		return verdict.Quote(value)
	case json.Number, bool:
		return fmt.Sprintf("%.64v", value)
	case []any:
		var texts []string
		for _, element := range value {
			if text, ok := element.(string); ok {
				texts = append(texts, text)
			}
		}
		if len(texts) == len(value) {
			return "[" + list(texts) + "]"
		}
	}
	text, err := json.Marshal(claim)
	if err != nil {
		return "a value that can't be shown"
	}
	return verdict.Quote(string(text))
}

// list quotes each of the texts, at most the first eight.
func list(texts []string) string { return verdict.QuoteList(texts, 8) }
