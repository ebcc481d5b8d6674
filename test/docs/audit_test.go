package docs

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const audit = "docs/audit.md"

// lineSchema is what is looked at of docs/audit.schema.json.
type lineSchema struct {
	Properties map[string]struct{ Enum []string }
}

// The page and the schema of the audit trail name the same members, events and results; the lines that are shown obey the schema.
func TestTheAuditTrailIsDocumented(t *testing.T) {
	var schema lineSchema
	if err := json.Unmarshal(read(t, "docs/audit.schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	shown := map[string]map[string]bool{"members": {}, "event": {}, "result": {}}
	note := func(kind, cell string) {
		for i, word := range strings.Split(cell, "`") {
			if i%2 == 1 {
				shown[kind][word] = true
			}
		}
	}
	for line := range strings.Lines(string(read(t, audit))) {
		cells := strings.Split(line, "|")
		switch len(cells) {
		case 5:
			note("event", cells[1])
			note("result", cells[2])
		case 4:
			note("members", cells[1])
		}
	}
	var members []string
	for name := range schema.Properties {
		members = append(members, name)
	}
	for kind, words := range map[string][]string{"members": members, "event": schema.Properties["event"].Enum, "result": schema.Properties["result"].Enum} {
		for _, word := range words {
			if !shown[kind][word] {
				t.Errorf("%s: %q is not shown", kind, word)
			}
		}
		for word := range shown[kind] {
			if !slices.Contains(words, word) {
				t.Errorf("%s: %q is not in the schema", kind, word)
			}
		}
	}
	compiled, err := jsonschema.NewCompiler().Compile(root(t) + "/docs/audit.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, b := range blocks(t, audit) {
		if b.language != "text" {
			continue
		}
		for line := range strings.Lines(b.text) {
			lines++
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
			if err == nil {
				err = compiled.Validate(value)
			}
			if err != nil {
				t.Errorf("%s%v", line, err)
			}
		}
	}
	if lines == 0 {
		t.Error("no line is shown")
	}
}
