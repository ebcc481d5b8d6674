package main

import (
	"slices"
	"strings"
	"testing"
)

func TestEdits(t *testing.T) {
	for _, c := range []struct{ rule, got, want string }{
		{"a member more", add(`{"a": 1}`, `"b": 2`), `{"a": 1, "b": 2}`},
		{"as the last one stands", add("{\n  \"a\": 1\n}", `"b": 2`), "{\n  \"a\": 1,\n  \"b\": 2\n}"},
		{"tightly", add(`[1,2]`, `3`), `[1,2,3]`},
		{"the first", add("{ }", `"a": 1`), `{"a": 1}`},
		{"the first gone", without(`{"a": 1, "b": 2}`, isNamed("a")), `{"b": 2}`},
		{"the last gone", without(`{"a": 1, "b": 2}`, isNamed("b")), `{"a": 1}`},
		{"all gone", without(`{"a": 1, "b": 2}`, isNamed("a", "b")), `{}`},
		{"those around gone", without("{\n \"a\": 1,\n \"b\": [{}],\n \"c\": 3\n}", isNamed("a", "c")), "{\n \"b\": [{}]\n}"},
		{"the first two gone", without(`{"a": 1, "b": 2, "c": 3}`, isNamed("a", "b")), `{"c": 3}`},
		{"the last two gone", without(`{"a": 1, "b": 2, "c": 3}`, isNamed("b", "c")), `{"a": 1}`},
		{"a value", change(`{"a": {"b" : "x,}{" }}`, strings.ToUpper, "a", "b"), `{"a": {"b" : "X,}{" }}`},
		{"one that is not there", change(`{"a": 1}`, func(string) string { return `"x"` }, "b", "c"), `{"a": 1, "b": {"c": "x"}}`},
		{"a text", textAt(`{"a": {"b\u0063": "x\n"}}`, "a", "bc"), "x\n"},
		{"no text", textAt(`{"a": 1, "b": {"c": []}}`, "a") + textAt(`[]`, "a") + textAt(`{"a": "x"}`, "a", "b"), ""},
		{"a name in JSON", quoted("a<\"é\x01"), `"a<\"é\u0001"`},
		{"lines further in", indented("{\n \"a\": \"\\n\"\n}", "  "), "{\n   \"a\": \"\\n\"\n  }"},
		{"indented by a tab", unitOf("{\n\t\"a\": 1\n}"), "\t"},
		{"indented by nothing", unitOf(`{"a": 1}`), "    "},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.rule, c.got, c.want)
		}
	}
}

func isNamed(names ...string) func(part) bool {
	return func(p part) bool { return slices.Contains(names, p.name) }
}

// What is taken out and what is left is the whole, in its order and to the byte.
func TestDivide(t *testing.T) {
	for _, c := range []struct{ rule, text, rest, taken string }{
		{"nothing to take", `{"a": {"x": 1}}`, `{"a": {"x": 1}}`, ""},
		{"one of several", `{"a": {"x": 1, "b": 1.50}, "c": 2}`, `{"a": {"x": 1}, "c": 2}`, `{"a": {"b": 1.50}}`},
		{"all of a section", `{"a": {"b": 1}, "c": 2}`, `{"c": 2}`, `{"a": {"b": 1}}`},
		{"a section that was empty before", `{"a": {}, "c": 2}`, `{"a": {}, "c": 2}`, ""},
		{"several, in their order", `{"d": [ ], "c": 2, "a": {"e" :"\u0041", "b": 1}}`, `{"c": 2}`, `{"d": [ ], "a": {"e" :"\u0041", "b": 1}}`},
		{"lines", "{\n  \"a\": {\n    \"b\": 1,\n    \"x\": 2\n  }\n}", "{\n  \"a\": {\n    \"x\": 2\n  }\n}", `{"a": {"b": 1}}`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if rest, taken := divide(c.text, "a.b", "a.e", "d"); rest != c.rest || taken != c.taken {
				t.Errorf("got %q and %q, want %q and %q", rest, taken, c.rest, c.taken)
			}
		})
	}
}
