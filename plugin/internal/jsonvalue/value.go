package jsonvalue

import (
	"encoding/json"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// Value is a JSON value that is decoded when, and as far as, it is asked for: one that Read has read, or a part of it, or one
// that was decoded before (Of). The zero Value is null.
type Value struct {
	// text is valid JSON without white space around it; empty: decoded is the value.
	text    string
	decoded any
	// index leads to the members of an object in text; nil: they are looked for one by one.
	index []span
	// escaped: a name in index has an escape.
	escaped bool
}

// span is where a member of an object stands: its name, with the quotes, and its value. The value ends at end.
type span struct{ name, nameEnd, value, end uint32 }

// Size is what it takes of memory, in bytes, unless it was decoded before.
func (v Value) Size() int { return len(v.text) + len(v.index)*int(unsafe.Sizeof(span{})) }

// Of is a value that was decoded before, as Object decodes them.
func Of(decoded any) Value { return Value{decoded: decoded} }

// Text is a string; false if the value is another.
func (v Value) Text() (string, bool) {
	switch {
	case v.text == "":
		text, is := v.decoded.(string)
		return text, is
	case v.text[0] != '"':
		return "", false
	}
	return unquote(v.text), true
}

// Number is a number; false if the value is another.
func (v Value) Number() (json.Number, bool) {
	switch {
	case v.text == "":
		number, is := v.decoded.(json.Number)
		return number, is
	case v.text[0] != '-' && (v.text[0] < '0' || v.text[0] > '9'):
		return "", false
	}
	return json.Number(v.text), true
}

// Each calls visit with the elements of an array, until one is enough; false if the value is another.
func (v Value) Each(visit func(Value) (more bool)) (isArray bool) {
	if v.text == "" {
		elements, isArray := v.decoded.([]any)
		for _, element := range elements {
			if !visit(Of(element)) {
				break
			}
		}
		return isArray
	}
	if v.text[0] != '[' {
		return false
	}
	for c := (cursor{text: v.text}); c.more() && visit(Value{text: c.value()}); {
	}
	return true
}

// Any is the value as Object decodes it.
func (v Value) Any() any {
	if v.text == "" {
		return v.decoded
	}
	switch v.text[0] {
	case '"':
		return unquote(v.text)
	case 'n':
		return nil
	case 't', 'f':
		return v.text[0] == 't'
	case '[', '{':
		r := newReader(v.text)
		defer r.release()
		decoded, err := value(&r.decoder)
		if err != nil {
			panic(err) // Read has read it
		}
		return decoded
	default:
		return json.Number(v.text)
	}
}

// Equals is Equal with a value that is decoded.
func (v Value) Equals(other any) bool {
	if text, is := other.(string); is {
		own, isText := v.Text()
		return isText && own == text
	}
	return Equal(v.Any(), other)
}

// Get finds a member of an object by its name.
func (v Value) Get(name string) (Value, bool) {
	if v.text == "" {
		members, _ := v.decoded.(map[string]any)
		value, found := members[name]
		return Of(value), found
	}
	if v.text[0] != '{' {
		return Value{}, false
	}
	for _, s := range v.index {
		quoted := v.text[s.name:s.nameEnd]
		if len(quoted) != len(name)+2 && !v.escaped {
			continue
		}
		if isCalled(quoted, name) {
			return Value{text: v.text[s.value:s.end]}, true
		}
	}
	if v.index != nil {
		return Value{}, false
	}
	for c := (cursor{text: v.text}); c.more(); {
		if called, value := c.value(), c.value(); isCalled(called, name) {
			return Value{text: value}, true
		}
	}
	return Value{}, false
}

// Lookup finds a member by its dotted path. One whose own name is the whole path goes first, since names such as
// "https://example.com/role" are common (RFC 7519 §4.2); otherwise each dot reaches into a nested object.
func (v Value) Lookup(path string) (Value, bool) {
	if value, found := v.Get(path); found {
		return value, true
	}
	for i, r := range path {
		if r != '.' {
			continue
		}
		if nested, found := v.Get(path[:i]); found {
			if value, found := nested.Lookup(path[i+1:]); found {
				return value, true
			}
		}
	}
	return Value{}, false
}

// unquote decodes a string, and returns a part of quoted if that holds no escape.
func unquote(quoted string) string {
	inside := quoted[1 : len(quoted)-1]
	if strings.IndexByte(inside, '\\') < 0 {
		return inside
	}
	text, err := jsontext.AppendUnquote[string](nil, quoted)
	if err != nil {
		panic(err) // Read has read it
	}
	return string(text)
}

// isCalled tells whether a name in quotes is this one. Escapes are longer than what they stand for.
func isCalled(quoted, name string) bool {
	if len(quoted) == len(name)+2 {
		return quoted[1:len(quoted)-1] == name && strings.IndexByte(name, '\\') < 0
	}
	return len(quoted) > len(name)+2 && strings.IndexByte(quoted, '\\') >= 0 && unquote(quoted) == name
}

// cursor goes through the elements of an array, or through the members of an object, each a name and a value. The text is valid
// JSON, as Read has read it.
type cursor struct {
	text string
	at   int
}

// more tells whether there is another value; the cursor then stands before it.
func (c *cursor) more() bool {
	if c.at > 0 && c.text[c.at] != ',' {
		return false
	}
	c.at++ // over the opening bracket, or the comma
	c.space()
	return c.text[c.at] != '}' && c.text[c.at] != ']'
}

// next passes over the next name or value, and over the colon behind a name, and returns where it stands.
func (c *cursor) next() (began, end uint32) {
	c.space()
	from := c.at
	c.skip()
	to := c.at
	c.space()
	if c.text[c.at] == ':' {
		c.at++
	}
	return uint32(from), uint32(to) //nolint:gosec // no text is that long
}

// value is next as a text.
func (c *cursor) value() string {
	began, end := c.next()
	return c.text[began:end]
}

func (c *cursor) space() {
	for isSpace(c.text[c.at]) {
		c.at++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// skip passes over a value.
func (c *cursor) skip() {
	for depth := 0; ; {
		switch b := c.text[c.at]; b {
		case '"':
			c.string()
		case '{', '[':
			depth++
			c.at++
		case '}', ']':
			depth--
			c.at++
		default:
			c.at++
			if depth > 0 || !endsScalar(c.text[c.at]) {
				continue
			}
		}
		if depth == 0 {
			return
		}
	}
}

// endsScalar tells whether a byte behind a number or a literal is no part of it. Inside an array or object there is one.
func endsScalar(b byte) bool { return b == ',' || b == '}' || b == ']' || isSpace(b) }

// string passes over a string.
func (c *cursor) string() {
	for c.at++; ; {
		c.at += strings.IndexByte(c.text[c.at:], '"')
		escapes := 0
		for c.text[c.at-1-escapes] == '\\' {
			escapes++
		}
		c.at++
		if escapes%2 == 0 {
			return
		}
	}
}
