package jsonvalue

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Members reads the names of one JSON object and leaves its values as they are: what is wrong inside a value (a name that
// occurs twice, invalid UTF-8) is for whoever reads that value, by Object or Text, and harms no other. Each name comes with
// all its values, of which there should be one. A byte order mark before the object is passed over. Errors are those of
// Object.
func Members(raw []byte) (map[string][][]byte, error) {
	members := map[string][][]byte{}
	err := each(bytes.TrimPrefix(raw, byteOrderMark), '{', func(name string, value []byte) {
		members[name] = append(members[name], value)
	})
	return members, err
}

// Elements is Members for an array. Any other value is ErrNotArray.
func Elements(raw []byte) ([][]byte, error) {
	var elements [][]byte
	err := each(raw, '[', func(_ string, value []byte) { elements = append(elements, value) })
	return elements, err
}

// ErrNotArray is JSON, and another value than an array.
var ErrNotArray = errors.New("it is JSON, but not an array")

// Text reads one JSON string; false for anything else.
func Text(raw []byte) (string, bool) {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	read, err := value(d)
	text, ok := read.(string)
	return text, ok && err == nil
}

// each calls visit with the values that an object or an array holds, and the name of each in an object.
func each(raw []byte, open jsontext.Kind, visit func(name string, value []byte)) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	kind := d.PeekKind()
	if kind != open {
		if _, err := d.ReadValue(); err != nil {
			return explain(err)
		}
		if open == '[' {
			return ErrNotArray
		}
		return ErrNotObject
	}
	if _, err := d.ReadToken(); err != nil {
		return explain(err)
	}
	for {
		switch d.PeekKind() {
		case '}', ']':
			if _, err := d.ReadToken(); err != nil {
				return explain(err)
			}
			if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
				return ErrTrailing
			}
			return nil
		}
		var name string
		if open == '{' {
			t, err := d.ReadToken()
			if err != nil {
				return explain(err)
			}
			name = t.String()
		}
		value, err := d.ReadValue()
		if err != nil {
			return explain(err)
		}
		end := d.InputOffset()
		visit(name, raw[end-int64(len(value)):end])
	}
}
