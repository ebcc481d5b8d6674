// Package jsondoc reads a JSON text into a tree in which every value knows its path and its place, and says in plain words
// what is wrong with a text that is not JSON.
//
// It is stricter than RFC 8259: a name may stand once in an object, a string may not hold half of a surrogate pair, and
// values may not be nested more than 64 levels deep. What the values mean is its caller's affair.
package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Document is one JSON text and what was found in it.
type Document struct {
	source
	// Root is the value, with the path "$"; nil if the text has none that can be read.
	Root *Node
	// Faults are what must be put right, in the order of the text; a text without Root has one at least.
	Faults []Fault
}

// Fault is one thing that is wrong with the text.
type Fault struct {
	// Path of the value; empty if the text as a whole is meant.
	Path string
	// Offset in bytes, for Document.Position.
	Offset int
	// Text says what was found and what was expected.
	Text string
}

// maxDepth is far beyond the format's own, and keeps paths short.
const maxDepth = 64

const whitespace = " \t\r\n"

// parser builds the tree of a text that is known to be JSON, and reports what JSON itself leaves open.
type parser struct {
	*Document
	*json.Decoder
}

// Parse reads a text in UTF-8, with or without a byte order mark. A text that is not JSON has no Root.
func Parse(data []byte) *Document {
	d := &Document{source: newSource(data)}
	if !d.isJSON() {
		return d
	}
	p := parser{d, json.NewDecoder(bytes.NewReader(d.source))}
	p.UseNumber()
	root, err := p.node("$", 0)
	if err != nil {
		d.fault(int(p.InputOffset()), "", "can't be read: %v", err)
		return d
	}
	d.Root = root
	return d
}

func (d *Document) fault(offset int, path, format string, args ...any) {
	d.Faults = append(d.Faults, Fault{path, offset, fmt.Sprintf(format, args...)})
}

func (p parser) node(path string, depth int) (*Node, error) {
	n := &Node{Path: path, Offset: p.skip(int(p.InputOffset()), whitespace+",:")}
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d levels deep", maxDepth)
	}
	token, err := p.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		n.Value, err = p.object(path, depth)
	case json.Delim('['):
		n.Value, err = p.array(path, depth)
	default:
		n.Value = token
		if s, ok := token.(string); ok {
			p.checkText(n, s)
		}
	}
	return n, err
}

func (p parser) object(path string, depth int) (Object, error) {
	members := Object{}
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
		value, err := p.node(Child(path, name), depth+1)
		if err != nil {
			return nil, err
		}
		if first, twice := seen[name]; twice {
			line, _ := p.Position(first)
			p.fault(offset, value.Path, "must stand once, found again (first in line %d)", line)
			continue
		}
		seen[name] = offset
		members = append(members, Member{name, offset, value})
	}
	_, err := p.Token()
	return members, err
}

func (p parser) array(path string, depth int) (Array, error) {
	items := Array{}
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
func (p parser) checkText(n *Node, s string) {
	if strings.ContainsRune(s, utf8.RuneError) {
		p.fault(n.Offset, n.Path, `must be text, found the replacement character U+FFFD or half of a surrogate pair in it`)
	}
}
