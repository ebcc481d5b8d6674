// Package schema holds docs/jwt.schema.json against what the plugin says of a jwt.json.
package schema_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// example is a jwt.json and the plugin's answer: a line of plugin/config/testdata/examples.jsonl, which the tests there
// keep in step with their tables.
type example struct {
	Rule         string
	File         string
	Bytes        []byte
	Accepted     bool
	UnknownKey   bool
	BeyondSchema string
}

func (e example) text() []byte {
	if e.Bytes != nil {
		return e.Bytes
	}
	return []byte(e.File)
}

func examples(t *testing.T) []example {
	t.Helper()
	lines, err := os.ReadFile("../../plugin/config/testdata/examples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	for line := range strings.Lines(string(lines)) {
		var e example
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// compile also checks the schema against that of JSON Schema 2020-12.
func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiled, err := jsonschema.NewCompiler().Compile("../../docs/jwt.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// judge says whether an editor that knows the schema has nothing to say about the text.
func judge(compiled *jsonschema.Schema, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.TrimPrefix(text, []byte("\uFEFF"))))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// Plugin and schema give the same answer to every example, with two exceptions. An unknown key is a warning of the plugin's,
// and an error here, as it is in the command that checks files. And what no schema can tell has the reason beside it in the
// tables, and must be accepted here: it would hide a difference otherwise.
func TestSchemaAgreesWithThePlugin(t *testing.T) {
	compiled := compile(t)
	count := map[string]int{}
	for _, e := range examples(t) {
		t.Run(e.Rule, func(t *testing.T) {
			err := judge(compiled, e.text())
			switch {
			case e.BeyondSchema != "" && err != nil:
				t.Errorf("%s\nis marked as beyond a schema (%s), but is refused: %v", e.text(), e.BeyondSchema, err)
			case e.BeyondSchema != "":
				count["beyond"]++
			case e.UnknownKey && err == nil:
				t.Errorf("%s\nhas an unknown key, but is accepted", e.text())
			case e.UnknownKey:
				count["unknown"]++
			case e.Accepted && err != nil:
				t.Errorf("%s\nis accepted by the plugin, but refused: %v", e.text(), err)
			case !e.Accepted && err == nil:
				t.Errorf("%s\nis refused by the plugin, but accepted", e.text())
			case e.Accepted:
				count["accepted"]++
			default:
				count["refused"]++
			}
		})
	}
	t.Log(count)
	for _, kind := range []string{"accepted", "refused", "beyond", "unknown"} {
		if count[kind] == 0 {
			t.Errorf("no example is %s", kind)
		}
	}
}
