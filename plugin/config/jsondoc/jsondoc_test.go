package jsondoc

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// texts is what the faults say.
func texts(d *Document) []string {
	var all []string
	for _, f := range d.Faults {
		text := f.Text
		if f.Path != "" {
			text = f.Path + ": " + text
		}
		all = append(all, text)
	}
	return all
}

// A text that is not JSON has no tree, and one fault that says why.
func TestTextThatIsNotJSON(t *testing.T) {
	for _, c := range []struct{ rule, text, want string }{
		{"empty file", "", "must hold a JSON object, found an empty file"},
		{"blank file", " \n ", "must hold a JSON object, found an empty file"},
		{"cut off", `{"version": 1`, "is not valid JSON: it ends before the object does (is a }, a ] or a quote missing?)"},
		{"comma at the end of an object", `{"version": 1,}`, "is not valid JSON: found a comma before '}', expected none after the last entry"},
		{"comma at the end of an array", `{"algorithm": ["RS256",]}`, "is not valid JSON: found a comma before ']', expected none after the last entry"},
		{"missing comma in an object", `{"a": 1 "b": 2}`, `is not valid JSON: found '"', expected a comma between two entries`},
		{"missing comma in an array", `{"a": [1 2]}`, `is not valid JSON: found '2', expected a comma between two entries`},
		{"comment", "{ // mine\n}", "is not valid JSON: found a comment, which JSON does not have"},
		{"single quotes", `{'a': 1}`, `is not valid JSON: found '\'', expected straight double quotes (")`},
		{"typographic quotes", `{“a”: 1}`, `is not valid JSON: found '“', expected straight double quotes (")`},
		{"Python's True", `{"a": True}`, "is not valid JSON: found 'T', expected a text in double quotes, a number, an object, an array, true, false or null"},
		{"newline in a string", "{\"a\": \"b\nc\"}", `is not valid JSON: found '\n', expected it escaped, as \n is for a line end`},
		{"YAML", "algorithm: RS256\nmode: jwks\n", "is not valid JSON: it looks like YAML, expected a JSON object ({…})"},
		{"YAML with a mark and a comment", "# mine\n---\n$schema: x\n", "is not valid JSON: it looks like YAML, expected a JSON object ({…})"},
		{"a YAML list", "- algorithm: RS256\n", "is not valid JSON: it looks like YAML, expected a JSON object ({…})"},
		{"an unquoted key", "{algorithm: \"RS256\"}", "is not valid JSON: found 'a', expected a key in double quotes"},
		{"an equals sign", `{"a" = 1}`, "is not valid JSON: found '=', expected a colon after the key"},
		{"a broken word", `{"a": trve}`, "is not valid JSON: found 'v', which can't stand there"},
		{"a broken number", `{"a": 1.}`, "is not valid JSON: found '}', which can't stand there"},
		{"a Windows path", `{"a": "C:\keys"}`, `is not valid JSON: found 'k', expected ", \, /, b, f, n, r, t or u after a backslash`},
		{"half a character", `{"a": "\u00g0"}`, `is not valid JSON: found 'g', expected four hexadecimal digits after \u`},
		{"a text", "hello", "is not valid JSON: found 'h', expected a text in double quotes, a number, an object, an array, true, false or null"},
		{"too deep for any parser", strings.Repeat("[", 20_000), "is not valid JSON: found '[', which can't stand there"},
		{"trailing object", "{}" + "{}", "must be one JSON object, found more after its end"},
		{"trailing bracket", "{}" + "}", "must be one JSON object, found more after its end"},
		{"nesting bomb", `{"a": ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "can't be read: it is nested more than 64 levels deep"},
		{"UTF-16 with mark", "\xff\xfe{\x00}\x00", "must be UTF-8, found UTF-16: save the file as UTF-8"},
		{"UTF-16 without mark", "{\x00}\x00", "must be UTF-8, found UTF-16: save the file as UTF-8"},
		{"a byte that is no UTF-8", "\"\xff\"", "must be UTF-8, found the byte 0xff"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := Parse([]byte(c.text))
			if got := texts(d); d.Root != nil || !reflect.DeepEqual(got, []string{c.want}) {
				t.Errorf("got %v %q, want %q", d.Root, got, c.want)
			}
		})
	}
}

// What JSON leaves open is a fault beside a tree.
func TestWhatJSONLeavesOpen(t *testing.T) {
	for _, c := range []struct {
		rule, text string
		want       []string
	}{
		{"a name twice", "{\"a\": 1,\n\"a\": 2}", []string{"$.a: must stand once, found again (first in line 1)"}},
		{"a name that needs quotes twice", `{"l": [{"a b": 1, "a b": 1}]}`, []string{`$.l[0]["a b"]: must stand once, found again (first in line 1)`}},
		{"half a surrogate pair", `["\ud800"]`, []string{"$[0]: must be text, found the replacement character U+FFFD or half of a surrogate pair in it"}},
		{"nothing", `{"a": ["\ud83d\ude00"]}`, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := Parse([]byte(c.text))
			if got := texts(d); d.Root == nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v %q, want %q", d.Root, got, c.want)
			}
		})
	}
}

// Lines and columns count from 1, columns in characters.
func TestPosition(t *testing.T) {
	for _, c := range []struct {
		rule, text   string
		line, column int
	}{
		{"comma too many", "{\n  \"a\": 1,\n}", 3, 1},
		{"comma missing", "{\n  \"a\": 1\n  \"b\": 2}", 3, 3},
		{"wrong first byte", "hello", 1, 1},
		{"cut off", "{\n  \"a\":", 2, 7},
		{"more after the end", "{}\n  x", 2, 3},
		{"empty", "", 1, 1},
		{"byte that is no UTF-8", "{\n\"ä\xff\"}", 2, 3},
		{"UTF-16", "\xff\xfe{\x00", 1, 1},
		{"byte order mark is no column", "\uFEFFx", 1, 1},
		{"key twice", "{\"a\": 1,\n \"a\": 2}", 2, 2},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := Parse([]byte(c.text))
			if len(d.Faults) != 1 {
				t.Fatal(d.Faults)
			}
			if line, column := d.Position(d.Faults[0].Offset); line != c.line || column != c.column {
				t.Errorf("got %d:%d, want %d:%d", line, column, c.line, c.column)
			}
		})
	}
}

func TestTree(t *testing.T) {
	const text = "\uFEFF" + ` {"a": {"b c": [1.50, "x", {"d": null}]}, "e": true}`
	d := Parse([]byte(text))
	if len(d.Faults) > 0 {
		t.Fatal(d.Faults)
	}
	want := map[string]any{
		"a": map[string]any{"b c": []any{json.Number("1.50"), "x", map[string]any{"d": nil}}},
		"e": true,
	}
	if got := d.Root.Plain(); !reflect.DeepEqual(got, want) {
		t.Errorf("Plain: got %v", got)
	}
	list := d.Root.At("a").Member("b c")
	x := list.Value.(Array)[1]
	if x.Path != `$.a["b c"][1]` || !strings.HasPrefix(strings.TrimPrefix(text, "\uFEFF")[x.Offset:], `"x"`) {
		t.Errorf("got %+v", x)
	}
	if at := d.Root.Value.(Object)[1]; at.Name != "e" || !strings.HasPrefix(strings.TrimPrefix(text, "\uFEFF")[at.NameOffset:], `"e"`) {
		t.Errorf("got %+v", at)
	}
	for path, want := range map[string]*Node{"": d.Root, "e": d.Root.Member("e"), "a.x": nil, "x.y": nil, "e.f": nil} {
		if got := d.Root.At(path); got != want {
			t.Errorf("At(%q): got %v", path, got)
		}
	}
	for _, c := range []struct{ text, found, kind string }{
		{`{}`, "an object", "an object"},
		{`[]`, "an array", "an array"},
		{`"a\u0007"`, `"a\a"`, "a string"},
		{`1.50`, "1.50", "a number"},
		{`1` + strings.Repeat("0", 99), "1" + strings.Repeat("0", 59) + "…", "a number"},
		{`false`, "false", "a boolean"},
		{`null`, "null", "null"},
	} {
		if n := Parse([]byte(c.text)).Root; n.Found() != c.found || n.Kind() != c.kind {
			t.Errorf("%s: found %s, kind %s", c.text, n.Found(), n.Kind())
		}
	}
}

// FuzzParse holds that a text has a tree or a fault, and that every place is in the text.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "{}", "{", `{"a": [1, "\ud800"], "a": 1}`, "\uFEFFx", "\xff\xfe{\x00", "a: b", `{"a" 1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := Parse([]byte(text))
		if d.Root == nil && len(d.Faults) == 0 {
			t.Error("neither tree nor fault")
		}
		for _, fault := range d.Faults {
			line, column := d.Position(fault.Offset)
			if fault.Text == "" || fault.Offset < 0 || fault.Offset > len(text) || line < 1 || column < 1 {
				t.Errorf("%+v in %d:%d", fault, line, column)
			}
		}
	})
}
