package jsonvalue

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Read reads one JSON object and nothing beside it but white space, as strictly as Object and with its errors, and decodes nothing
// of it yet. The Value keeps nothing of raw.
func Read[text string | []byte](raw text) (Value, error) {
	r := newReader(raw)
	defer r.release()
	return r.object()
}

// reader is what reading takes, for the next one to use again.
type reader struct {
	raw     []byte
	source  bytes.Buffer
	decoder jsontext.Decoder
	index   []span
}

var readers = sync.Pool{New: func() any { return new(reader) }} //nolint:gochecknoglobals // holds no state

// newReader stands before a copy of text. It is to be released.
func newReader[text string | []byte](from text) *reader {
	r := readers.Get().(*reader) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	r.raw = append(r.raw[:0], from...)
	r.source = *bytes.NewBuffer(r.raw) // a Buffer is read without a copy
	r.decoder.Reset(&r.source)
	return r
}

// maxPooled is how large a buffer is kept, in bytes: tokens are not larger, and what servers answer is read seldom.
const maxPooled = 1 << 16

func (r *reader) release() {
	if cap(r.raw) <= maxPooled {
		readers.Put(r)
	}
}

// object reads an object to its end, and the rest.
func (r *reader) object() (Value, error) {
	d := &r.decoder
	if kind := d.PeekKind(); kind != '{' {
		if _, err := d.ReadToken(); err != nil { // of an array no more than its bracket: it may be nested without end
			return Value{}, explain(err)
		}
		return Value{}, ErrNotObject
	}
	if _, err := d.ReadToken(); err != nil {
		return Value{}, explain(err)
	}
	began := r.at(-1)
	if err := r.members(); err != nil {
		return Value{}, explain(err)
	}
	end := r.at(0)
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return Value{}, ErrTrailing
	}
	v := Value{text: string(r.raw[began:end]), index: slices.Clone(r.index)}
	for i := range v.index {
		s := &v.index[i]
		s.name, s.nameEnd, s.value, s.end = s.name-began, s.nameEnd-began, s.value-began, s.end-began
		v.escaped = v.escaped || strings.IndexByte(v.text[s.name:s.nameEnd], '\\') >= 0
	}
	return v, nil
}

// at is so many bytes from where the decoder stands.
func (r *reader) at(from int) uint32 {
	return uint32(int(r.decoder.InputOffset()) + from) //nolint:gosec // no text is that long
}

// members reads the members of an object to its end, and notes in index where they stand.
func (r *reader) members() error {
	d := &r.decoder
	r.index = r.index[:0]
	// The decoder's own bound is higher, and it reads a whole value faster than one token after the other.
	mayBeDeep := bytes.Count(r.raw, []byte("{"))+bytes.Count(r.raw, []byte("[")) > maxDepth
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		s := span{name: r.at(-len(name)), nameEnd: r.at(0)}
		if kind := d.PeekKind(); mayBeDeep && (kind == '{' || kind == '[') {
			began, err := pass(d)
			if err != nil {
				return err
			}
			s.value = uint32(began) //nolint:gosec // no text is that long
		} else {
			value, err := d.ReadValue()
			if err != nil {
				return err
			}
			s.value = r.at(-len(value))
		}
		s.end = r.at(0)
		r.index = append(r.index, s)
	}
	_, err := d.ReadToken()
	return err
}

// pass reads over one object or array, and returns where it began.
func pass(d *jsontext.Decoder) (began int64, err error) {
	if _, err = d.ReadToken(); err != nil {
		return 0, err
	}
	began = d.InputOffset() - 1
	for depth, outside := d.StackDepth(), d.StackDepth(); depth >= outside; depth = d.StackDepth() {
		if depth > maxDepth {
			return 0, ErrDepth
		}
		if _, err = d.ReadToken(); err != nil {
			return 0, err
		}
	}
	return began, nil
}
