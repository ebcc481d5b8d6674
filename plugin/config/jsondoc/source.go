package jsondoc

import (
	"bytes"
	"unicode/utf8"
)

// source is the text of a file, and knows its lines.
type source []byte

// newSource drops a byte order mark, which some editors write and RFC 8259 §8.1 lets a reader pass over.
func newSource(data []byte) source { return bytes.TrimPrefix(data, []byte("\uFEFF")) }

// Position of a byte, both counted from 1; columns are characters.
func (s source) Position(offset int) (line, column int) {
	before := s[:min(offset, len(s))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[start:])
}

// skip returns the first offset from the given one that holds none of the bytes.
func (s source) skip(offset int, set string) int {
	for offset < len(s) && bytes.IndexByte([]byte(set), s[offset]) >= 0 {
		offset++
	}
	return offset
}

// invalidByte is the offset of the first byte that is no UTF-8, or -1.
func (s source) invalidByte() int {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// isUTF16 recognises what Windows' editors and shells write by default: a mark, or ASCII with a zero beside it.
func (s source) isUTF16() bool {
	return bytes.HasPrefix(s, []byte{0xff, 0xfe}) || bytes.HasPrefix(s, []byte{0xfe, 0xff}) ||
		len(s) > 1 && (s[0] == 0) != (s[1] == 0)
}
