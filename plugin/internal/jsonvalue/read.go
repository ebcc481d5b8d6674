package jsonvalue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go-jwt-auth/plugin/verdict"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds how deep objects and arrays may be nested. What providers send has less than ten levels.
const maxDepth = 256

// The errors of Object. Their texts are for the log, and hold nothing of what was read but a name that occurs twice.
var (
	// ErrNotJSON: it can't be read as JSON (RFC 8259).
	ErrNotJSON = errors.New("it is not JSON")
	// ErrNotObject: it is, or begins as, another JSON value than an object.
	ErrNotObject = errors.New("it is JSON, but not an object")
	// ErrTrailing: something follows the object.
	ErrTrailing = errors.New("something follows the JSON object")
	// ErrUTF8: it holds invalid UTF-8, escaped lone surrogates included (RFC 8259 §8.1, §8.2).
	ErrUTF8 = errors.New("it holds invalid UTF-8")
	// ErrDepth: it is nested too deep.
	ErrDepth = fmt.Errorf("it is nested more than %d levels deep", maxDepth)
)

// DuplicateError is a name that occurs twice in one object (RFC 8259 §4; RFC 7519 §4 lets a reader refuse that).
type DuplicateError struct{ Name string }

func (e *DuplicateError) Error() string {
	return "it has a name twice in one object: " + verdict.Quote(e.Name)
}

// Object reads one JSON object and nothing beside it but white space. Names are case-sensitive and occur once, strings
// are valid UTF-8, numbers come as json.Number, exactly as they were written. Errors are those above.
func Object(raw []byte) (map[string]any, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw)) // a Buffer is read without a copy
	if kind := d.PeekKind(); kind != '{' {
		if _, err := d.ReadToken(); err != nil { // of an array no more than its bracket: it may be nested without end
			return nil, explain(err)
		}
		return nil, ErrNotObject
	}
	members, err := object(d)
	if err != nil {
		return nil, explain(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, ErrTrailing
	}
	return members, nil
}

// byteOrderMark is what some servers put before their JSON, although they must not (RFC 8259 §8.1 lets a reader ignore it).
var byteOrderMark = []byte("\uFEFF")

// Document is Object for the answer of a server, which may begin with a byte order mark.
func Document(raw []byte) (map[string]any, error) {
	return Object(bytes.TrimPrefix(raw, byteOrderMark))
}

func object(d *jsontext.Decoder) (map[string]any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	if d.StackDepth() > maxDepth {
		return nil, ErrDepth
	}
	members := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String() // before the next read makes the token void
		if members[key], err = value(d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return members, err
}

func array(d *jsontext.Decoder) ([]any, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	if d.StackDepth() > maxDepth {
		return nil, ErrDepth
	}
	elements := []any{}
	for d.PeekKind() != ']' {
		element, err := value(d)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	_, err := d.ReadToken()
	return elements, err
}

func value(d *jsontext.Decoder) (any, error) {
	switch d.PeekKind() {
	case '{':
		return object(d)
	case '[':
		return array(d)
	}
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return nil, nil //nolint:nilnil // JSON's null
	case 't', 'f':
		return t.Bool(), nil
	case '"':
		return t.String(), nil
	default:
		return json.Number(t.String()), nil
	}
}

// explain says what is wrong in words that hold nothing of the text.
func explain(err error) error {
	if errors.Is(err, ErrDepth) {
		return ErrDepth
	}
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) || syntactic.Err == nil {
		return ErrNotJSON
	}
	cause := syntactic.Err.Error() // the whole error's text holds names of what was read
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return &DuplicateError{Name: syntactic.JSONPointer.LastToken()}
	case strings.HasPrefix(cause, "invalid UTF-8"), strings.HasPrefix(cause, "invalid surrogate pair"):
		return ErrUTF8
	}
	return ErrNotJSON
}
