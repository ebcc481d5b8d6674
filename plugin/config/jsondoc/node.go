package jsondoc

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// Node is one JSON value and where it stands.
type Node struct {
	// Path is that of the value in the document, such as `$.options.modes` or `$.list[1]`.
	Path string
	// Offset of the value's first byte in the text, without a byte order mark.
	Offset int
	// Value is an Object, an Array, a string, a json.Number, a bool, or nil for null.
	Value any
}

// Object holds the members in the order of the text, each name once.
type Object []Member

// Member is one name and value of an Object.
type Member struct {
	Name string
	// NameOffset is the offset of the name's first byte.
	NameOffset int
	*Node
}

// Array holds the elements of a JSON array.
type Array []*Node

// At is the node below n at names joined by dots, n itself at "", or nil.
func (n *Node) At(path string) *Node {
	if path == "" {
		return n
	}
	for name := range strings.SplitSeq(path, ".") {
		if n == nil {
			return nil
		}
		n = n.Member(name)
	}
	return n
}

var plainName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// Child is the path of an object's member: `$.options`, or `$["a key"]` for names that need quotes.
func Child(path, name string) string {
	if plainName.MatchString(name) && len(name) <= maxShown {
		return path + "." + name
	}
	return path + "[" + verdict.Quote(name) + "]"
}

// maxShown is how many characters of a name or a number a message repeats.
const maxShown = 60

// Found describes the value for a message.
func (n *Node) Found() string {
	switch v := n.Value.(type) {
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
		return n.Kind()
	}
}

// Kind describes the value without showing it.
func (n *Node) Kind() string {
	switch n.Value.(type) {
	case Object:
		return "an object"
	case Array:
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

// Plain is the value without its places.
func (n *Node) Plain() any {
	switch v := n.Value.(type) {
	case Object:
		members := make(map[string]any, len(v))
		for _, m := range v {
			members[m.Name] = m.Plain()
		}
		return members
	case Array:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = item.Plain()
		}
		return items
	}
	return n.Value
}

// Member is the one of that name, or nil.
func (n *Node) Member(name string) *Node {
	members, _ := n.Value.(Object)
	for _, m := range members {
		if m.Name == name {
			return m.Node
		}
	}
	return nil
}

// Float returns a number's value, infinite if it is out of range.
func (n *Node) Float() (float64, bool) {
	number, ok := n.Value.(json.Number)
	if !ok {
		return 0, false
	}
	// The only error left for a JSON number is one of range, which comes with an infinity.
	f, _ := number.Float64()
	return f, true
}
