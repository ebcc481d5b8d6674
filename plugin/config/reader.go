package config

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// anything is for a key that is meant for other readers of the file.
func anything(*document, *node) {}

// version accepts 1 and "1", which both occur in the wild.
func version(d *document, n *node) {
	if f, ok := n.Float(); ok && f == 1 || n.Value == "1" {
		return
	}
	d.errorf(n, "must be 1, the only version of the format, found %s", n.Found())
}

func boolean(to *bool) reader {
	return func(d *document, n *node) {
		switch v := n.Value.(type) {
		case bool:
			*to = v
		case string:
			d.errorf(n, "must be true or false without quotes, found %s", n.Found())
		default:
			d.errorf(n, "must be true or false, found %s", n.Found())
		}
	}
}

func oneOf[T ~string](to *T, accepted ...T) reader {
	words := make([]string, len(accepted))
	for i, a := range accepted {
		words[i] = string(a)
	}
	return func(d *document, n *node) {
		s, isString := n.Value.(string)
		switch {
		case isString && slices.Contains(words, s):
			*to = T(s)
		default:
			d.errorf(n, "must be %s, found %s%s", alternatives(words), n.Found(), didYouMean(s, words...))
		}
	}
}

// mode reads $.mode. A misspelt one is judged as the one that was meant: what else is wrong in the file is wrong for that.
func mode(to *Mode) reader {
	modes := []Mode{ModeJWKS, ModeLocal, ModeOIDC, ModeIntrospection}
	return func(d *document, n *node) {
		oneOf(to, modes...)(d, n)
		if s, ok := n.Value.(string); ok && *to == "" {
			*to = nearest(s, modes)
		}
	}
}

// alternatives quotes the words: `"a", "b" or "c"`.
func alternatives(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = strconv.Quote(w)
	}
	if len(q) < 2 {
		return strings.Join(q, "")
	}
	return strings.Join(q[:len(q)-1], ", ") + " or " + q[len(q)-1]
}

// bounds are inclusive.
type bounds struct {
	min, max int64
	unit     string
	// why there is a maximum
	why string
}

func (b bounds) String() string {
	switch b.min {
	case 0:
		return fmt.Sprintf("number of %s, 0 or above", b.unit)
	case 1:
		return fmt.Sprintf("number of %s above 0", b.unit)
	default:
		return fmt.Sprintf("number of %s from %d to %d", b.unit, b.min, b.max)
	}
}

// within returns the number, or reports why it is none or out of bounds. 5000.0 and 5e3 are whole numbers too.
func within(d *document, n *node, b bounds) (int64, bool) {
	f, isNumber := n.Float()
	switch {
	case !isNumber:
		d.errorf(n, "must be a %s, found %s", b, n.Found())
	case f > float64(b.max):
		d.errorf(n, "must be at most %d %s, because %s, found %s", b.max, b.unit, b.why, n.Found())
	case f < float64(b.min):
		d.errorf(n, "must be a %s, found %s", b, n.Found())
	case f != math.Trunc(f):
		d.errorf(n, "must be a whole %s, found %s", b, n.Found())
	default:
		return int64(f), true
	}
	return 0, false
}

func integer(to *int, b bounds) reader {
	return func(d *document, n *node) {
		if i, ok := within(d, n, b); ok {
			*to = int(i)
		}
	}
}

func milliseconds(to *time.Duration, b bounds) reader {
	return func(d *document, n *node) {
		if i, ok := within(d, n, b); ok {
			*to = time.Duration(i) * time.Millisecond
		}
	}
}

// recheckInterval reads how often the endpoint is asked again. It has no value for "never", which 0 might be taken for.
func recheckInterval(to *time.Duration) reader {
	read := milliseconds(to, rechecks)
	return func(d *document, n *node) {
		if f, isNumber := n.Float(); isNumber && f < float64(rechecks.min) {
			d.errorf(n, "must be at least %d %s, because the provider would be flooded, found %s: leave the key out to never ask again",
				rechecks.min, rechecks.unit, n.Found())
			return
		}
		read(d, n)
	}
}

// maxSession reads how long a connection may last; 0 is without end.
func maxSession(to *time.Duration) reader {
	read := milliseconds(to, sessions)
	return func(d *document, n *node) {
		switch f, isNumber := n.Float(); {
		case isNumber && f == 0:
			*to = 0
		case isNumber && f < float64(sessions.min):
			d.errorf(n, "must be 0, for no limit, or at least %d %s, because nobody could stay connected, found %s", sessions.min, sessions.unit, n.Found())
		default:
			read(d, n)
		}
	}
}

// methods reads the Authentication Methods of MQTT 5, of which there may be none.
func methods(to *[]string) reader {
	read := list(to, authenticationMethod)
	return func(d *document, n *node) {
		*to = nil
		if items, isArray := n.Value.(array); !isArray || len(items) > 0 {
			read(d, n)
		}
	}
}

// authenticationMethod reads one of them: an MQTT string (MQTT 5 §1.5.4).
func authenticationMethod(d *document, n *node) (string, bool) {
	s, ok := word(d, n)
	switch {
	case !ok:
		return "", false
	case len(s) > 65535 || strings.ContainsFunc(s, unicode.IsControl):
		d.errorf(n, "must be a name of MQTT, of at most 65535 bytes and without control characters, found %s", n.Found())
		return "", false
	}
	return s, true
}

// item reads one string, on its own or in a list; false where it reported a problem.
type item func(d *document, n *node) (string, bool)

func text(to *string) reader {
	return func(d *document, n *node) {
		if s, ok := word(d, n); ok {
			*to = s
		}
	}
}

// word reads a string that must not be empty.
func word(d *document, n *node) (string, bool) {
	s, ok := n.Value.(string)
	switch {
	case !ok:
		d.errorf(n, "must be a string, found %s", n.Found())
	case s == "":
		d.errorf(n, "must not be empty: give a value or remove the key")
	default:
		return s, true
	}
	return "", false
}

// list reads a string or an array of at least one.
func list(to *[]string, read item) reader {
	return func(d *document, n *node) {
		for _, i := range d.items(n) {
			s, ok := read(d, i)
			switch {
			case ok && slices.Contains(*to, s):
				d.warnf(i, "is there twice, found %s again", i.Found())
			case ok:
				*to = append(*to, s)
			}
		}
	}
}

// items are those of an array, of which there must be one, or a single string.
func (d *document) items(n *node) array {
	switch v := n.Value.(type) {
	case string:
		return array{n}
	case array:
		if len(v) == 0 {
			d.errorf(n, "must not be empty: give a value or remove the key")
		}
		return v
	}
	d.errorf(n, "must be a string or an array of strings, found %s", n.Found())
	return nil
}

// tokenSources reads one field of CONNECT, or several in the order in which they are looked at.
func tokenSources(to *[]TokenSource) reader {
	return func(d *document, n *node) {
		var sources []TokenSource
		for _, i := range d.items(n) {
			var source TokenSource
			oneOf(&source, TokenInPassword, TokenInUsername)(d, i)
			if slices.Contains(sources, source) && source != "" {
				d.errorf(i, "must stand once, found %s again", i.Found())
			}
			sources = append(sources, source)
		}
		*to = sources
	}
}

// scalar reads a value that is equal to another or not: a string, a number or a boolean.
func scalar(to *any) reader {
	return func(d *document, n *node) {
		switch n.Value.(type) {
		case string, json.Number, bool:
			*to = n.Value
		default:
			d.errorf(n, "must be a string, a number or a boolean, found %s", n.Found())
		}
	}
}

// jsonPath reads a dotted path. Other tools' paths begin with `$` or reach into arrays, and would never be found.
func jsonPath(to *string) reader {
	return func(d *document, n *node) {
		s, ok := word(d, n)
		switch {
		case !ok:
		case strings.HasPrefix(s, "$") || strings.ContainsAny(s, "[]") || slices.Contains(strings.Split(s, "."), ""):
			d.errorf(n, `must be names joined by dots, such as "validation.isSuccess", found %s`, n.Found())
		default:
			*to = s
		}
	}
}

// statuses reads a list of HTTP statuses (RFC 9110 §15).
func statuses(to *[]int) reader {
	return func(d *document, n *node) {
		items, isArray := n.Value.(array)
		switch {
		case !isArray:
			d.errorf(n, "must be an array of HTTP statuses such as [200, 204], found %s", n.Found())
			return
		case len(items) == 0:
			d.errorf(n, "must hold at least one status: no token could pass")
		}
		var codes []int
		for _, i := range items {
			code, _ := i.Float()
			switch {
			case code != math.Trunc(code) || code < 100 || code > 599:
				d.errorf(i, "must be an HTTP status from 100 to 599, found %s", i.Found())
			case slices.Contains(codes, int(code)):
				d.warnf(i, "is there twice, found %s again", i.Found())
			default:
				codes = append(codes, int(code))
			}
		}
		*to = codes
	}
}

// scopeToken reads a scope token (RFC 6749 §3.3).
func scopeToken(d *document, n *node) (string, bool) {
	s, ok := word(d, n)
	if !ok {
		return "", false
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }) {
		d.errorf(n, "must be one scope (printable ASCII without space, \" or \\; several stand in an array), found %s", n.Found())
		return "", false
	}
	return s, true
}

// mediaType reads a `typ` header, which may leave out "application/" (RFC 7515 §4.1.9).
func mediaType(d *document, n *node) (string, bool) {
	s, ok := word(d, n)
	if !ok {
		return "", false
	}
	const prefix = "application/"
	if len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) && !strings.Contains(s[len(prefix):], "/") {
		s = s[len(prefix):]
	}
	return s, true
}
