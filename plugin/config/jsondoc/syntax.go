package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// isJSON reports whether the text is one JSON value in UTF-8, and where not.
func (d *Document) isJSON() bool {
	if d.isUTF16() {
		d.fault(0, "", "must be UTF-8, found UTF-16: save the file as UTF-8")
		return false
	}
	if at := d.invalidByte(); at >= 0 {
		d.fault(at, "", "must be UTF-8, found the byte 0x%02x", d.source[at])
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(d.source))
	var first json.RawMessage
	if err := decoder.Decode(&first); err != nil {
		d.syntaxError(err)
		return false
	}
	if rest := d.skip(int(decoder.InputOffset()), whitespace); rest < len(d.source) {
		d.fault(rest, "", "must be one JSON object, found more after its end")
		return false
	}
	return true
}

func (d *Document) syntaxError(err error) {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		d.fault(0, "", "must hold a JSON object, found an empty file")
	case errors.Is(err, io.ErrUnexpectedEOF):
		d.fault(len(d.source), "", "is not valid JSON: it ends before the object does (is a }, a ] or a quote missing?)")
	case errors.As(err, &syntax):
		offset := max(int(syntax.Offset)-1, 0)
		d.fault(offset, "", "is not valid JSON: %s", d.hint(offset, err))
	default:
		d.fault(0, "", "is not valid JSON")
	}
}

// yaml is how a file in YAML begins, other than one that is JSON as well.
var yaml = regexp.MustCompile(`^(?:\s*#[^\n]*\n)*\s*(?:---|- |[A-Za-z_$][\w$-]*:(?:\s|$))`)

// hint says what the usual slips are, and of any other what stands where something else should: none of the decoder's words.
func (d *Document) hint(offset int, err error) string {
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
