package config

import "testing"

// Lines and columns count from 1, columns in characters, and point at the value, or at the key where that is at fault.
func TestPosition(t *testing.T) {
	for _, c := range positions() {
		t.Run(c.rule, func(t *testing.T) {
			_, problems := load(t, t.TempDir(), c.file)
			errs := problems.Errors()
			if len(errs) == 0 {
				t.Fatal("no error")
			}
			// What is missing from the whole file comes first, and is not meant.
			if got := errs[len(errs)-1]; got.Line != c.line || got.Column != c.column {
				t.Errorf("got %d:%d, want %d:%d: %v", got.Line, got.Column, c.line, c.column, got)
			}
		})
	}
}

type position struct {
	rule, file   string
	line, column int
}

func positions() []position {
	return []position{
		{"comma too many", "{\n  \"a\": 1,\n}", 3, 1},
		{"cut off", "{\n  \"a\":", 2, 7},
		{"byte that is no UTF-8", "{\n\"ä\xff\"}", 2, 3},
		{"no object", "\n []", 2, 2},
		{"key twice", "{\"a\": 1,\n \"a\": 2}", 2, 2},
		{"value after other letters", "{\"äöü\": 0, \"version\" :\t2}", 1, 24},
		{"item of a list", "{\"algorithm\": [\"RS256\",\r\n \"x\"]}", 2, 2},
		{"missing key", "\n{\"mode\": \"local\", \"options\": {\"modes\": {\"local\": \"x\"}}}", 2, 1},
		{"key of a provider", "{\"providers\": [\n{\"name\": 1}]}", 2, 10},
		{"missing key of a section", "{\"algorithm\": \"RS256\", \"mode\": \"jwks\", \"options\": {\n\"modes\":\n{}}}", 3, 1},
	}
}
