package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go-jwt-auth/plugin/verdict"
)

// node is one JSON value and where it stands.
type node struct {
	path string
	// offset of the value's first byte.
	offset int
	// value is an object, an array, a string, a json.Number, a bool, or nil for null.
	value any
}

// object holds the members in the order of the file, each name once.
type object []member

type member struct {
	name string
	// offset of the name's first byte.
	offset int
	*node
}

type array []*node

// at is the node below n at a dotted path that begins with "$", or nil.
func (n *node) at(path string) *node {
	for _, name := range strings.Split(path, ".")[1:] {
		if n == nil {
			return nil
		}
		n = n.member(name)
	}
	return n
}

// maxDepth is far beyond the format's own, and keeps paths short.
const maxDepth = 64

const whitespace = " \t\r\n"

// parser builds the tree of a text that is known to be JSON, and reports what JSON itself leaves open.
type parser struct {
	*document
	*json.Decoder
}

// parse returns the document's tree, or nil where the text has none; the problems are reported.
func (d *document) parse() *node {
	if !d.isJSON() {
		return nil
	}
	p := parser{d, json.NewDecoder(bytes.NewReader(d.source))}
	p.UseNumber()
	root, err := p.node("$", 0)
	if err != nil {
		d.errorAt(int(p.InputOffset()), "", "can't be read: %v", err)
		return nil
	}
	return root
}

func (p parser) node(path string, depth int) (*node, error) {
	n := &node{path: path, offset: p.skip(int(p.InputOffset()), whitespace+",:")}
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d levels deep", maxDepth)
	}
	token, err := p.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		n.value, err = p.object(path, depth)
	case json.Delim('['):
		n.value, err = p.array(path, depth)
	default:
		n.value = token
		if s, ok := token.(string); ok {
			p.checkText(n, s)
		}
	}
	return n, err
}

func (p parser) object(path string, depth int) (object, error) {
	members := object{}
	seen := map[string]int{}
	for p.More() {
		offset := p.skip(int(p.InputOffset()), whitespace+",")
		token, err := p.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("a key must be a string")
		}
		value, err := p.node(child(path, name), depth+1)
		if err != nil {
			return nil, err
		}
		if first, twice := seen[name]; twice {
			line, _ := p.position(first)
			p.errorAt(offset, value.path, "must stand once, found again (first in line %d)", line)
			continue
		}
		seen[name] = offset
		members = append(members, member{name, offset, value})
	}
	_, err := p.Token()
	return members, err
}

func (p parser) array(path string, depth int) (array, error) {
	items := array{}
	for p.More() {
		item, err := p.node(fmt.Sprintf("%s[%d]", path, len(items)), depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := p.Token()
	return items, err
}

// checkText refuses half surrogate pairs (`\ud800`), which decode to the replacement character: nobody means that
// one, and a secret would silently be another.
func (p parser) checkText(n *node, s string) {
	if strings.ContainsRune(s, utf8.RuneError) {
		p.errorAt(n.offset, n.path, `must be text, found the replacement character U+FFFD or half of a surrogate pair in it`)
	}
}

// isJSON reports whether the text is one JSON value in UTF-8, and where not.
func (d *document) isJSON() bool {
	if d.isUTF16() {
		d.errorAt(0, "", "must be UTF-8, found UTF-16: save the file as UTF-8")
		return false
	}
	if at := d.invalidByte(); at >= 0 {
		d.errorAt(at, "", "must be UTF-8, found the byte 0x%02x", d.source[at])
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(d.source))
	var first json.RawMessage
	if err := decoder.Decode(&first); err != nil {
		d.syntaxError(err)
		return false
	}
	if rest := d.skip(int(decoder.InputOffset()), whitespace); rest < len(d.source) {
		d.errorAt(rest, "", "must be one JSON object, found more after its end")
		return false
	}
	return true
}

func (d *document) syntaxError(err error) {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		d.errorAt(0, "", "must hold a JSON object, found an empty file")
	case errors.Is(err, io.ErrUnexpectedEOF):
		d.errorAt(len(d.source), "", "is not valid JSON: it ends before the object does (is a }, a ] or a quote missing?)")
	case errors.As(err, &syntax):
		offset := max(int(syntax.Offset)-1, 0)
		d.errorAt(offset, "", "is not valid JSON: %s", d.hint(offset, err))
	default:
		d.errorAt(0, "", "is not valid JSON")
	}
}

// yaml is how a file in YAML begins, other than one that is JSON as well.
var yaml = regexp.MustCompile(`^(?:\s*#[^\n]*\n)*\s*(?:---|- |[A-Za-z_$][\w$-]*:(?:\s|$))`)

// hint says what the usual slips are, and of any other what stands where something else should: none of the decoder's words.
func (d *document) hint(offset int, err error) string {
	found, _ := utf8.DecodeRune(d.source[offset:])
	before := bytes.TrimRight(d.source[:offset], whitespace)
	switch {
	case yaml.Match(d.source):
		return "it looks like YAML, expected a JSON object ({…})"
	case strings.ContainsRune("}]", found) && bytes.HasSuffix(before, []byte(",")):
		return fmt.Sprintf("found a comma before %q, expected none after the last entry", found)
	case strings.ContainsRune("/#", found):
		return "found a comment, which JSON does not have"
	case strings.ContainsRune("'“”„‘’", found):
		return fmt.Sprintf(`found %q, expected straight double quotes (")`, found)
	case strings.HasSuffix(err.Error(), "after object key:value pair"), strings.HasSuffix(err.Error(), "after array element"):
		return fmt.Sprintf("found %q, expected a comma between two entries", found)
	}
	for _, slip := range []struct{ parser, expected string }{
		{"looking for beginning of value", "expected a text in double quotes, a number, an object, an array, true, false or null"},
		{"looking for beginning of object key string", "expected a key in double quotes"},
		{"after object key", "expected a colon after the key"},
		{"in string literal", `expected it escaped, as \n is for a line end`},
		{"in string escape code", `expected ", \, /, b, f, n, r, t or u after a backslash`},
		{`in \u hexadecimal character escape`, `expected four hexadecimal digits after \u`},
	} {
		if strings.HasSuffix(err.Error(), slip.parser) {
			return fmt.Sprintf("found %q, %s", found, slip.expected)
		}
	}
	return fmt.Sprintf("found %q, which can't stand there", found)
}

var plainName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// child is the path of an object's member: `$.options`, or `$["a key"]` for names that need quotes.
func child(path, name string) string {
	if plainName.MatchString(name) && len(name) <= maxShown {
		return path + "." + name
	}
	return path + "[" + verdict.Quote(name) + "]"
}

// maxShown is how many characters of a name or a number a message repeats.
const maxShown = 60

// found describes the value for a message.
func (n *node) found() string {
	switch v := n.value.(type) {
	case string:
		return verdict.Quote(v)
	case json.Number:
		if len(v) > maxShown {
			return v.String()[:maxShown] + "…"
		}
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case nil:
		return "null"
	default:
		return n.kind()
	}
}

// kind describes the value without showing it.
func (n *node) kind() string {
	switch n.value.(type) {
	case object:
		return "an object"
	case array:
		return "an array"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	default:
		return "null"
	}
}
