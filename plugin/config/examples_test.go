package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write testdata/examples.jsonl anew")

// example is a jwt.json and the answer to it, as the test of docs/jwt.schema.json reads them.
type example struct {
	Rule string `json:"rule"`
	File string `json:"file,omitempty"`
	// Bytes is the file where it is no UTF-8.
	Bytes []byte `json:"bytes,omitempty"`
	// Accepted says whether it gives a Config.
	Accepted bool `json:"accepted"`
	// UnknownKey says that a key of it is none of the format's: a warning here, an error there.
	UnknownKey bool `json:"unknownKey,omitempty"`
	// BeyondSchema is why no schema can tell that something is wrong.
	BeyondSchema string `json:"beyondSchema,omitempty"`
}

// Every example of every table here, of the documents, of the schema itself and of the examples' folder is handed on to the
// test that holds docs/jwt.schema.json against this package. That one is of another module, so that this one needs no
// validator.
func TestExamplesAreHandedOn(t *testing.T) {
	const file = "testdata/examples.jsonl"
	dir := workshop(t)
	writeReferenceFiles(t, dir)
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false)
	for _, e := range examples(t, dir) {
		config, problems := load(t, dir, e.File)
		e.Accepted = config != nil
		e.UnknownKey = slices.ContainsFunc(problems, func(p Problem) bool { return p.UnknownKey })
		if !utf8.ValidString(e.File) {
			e.File, e.Bytes = "", []byte(e.File)
		}
		if e.BeyondSchema != "" && e.Accepted && !e.UnknownKey {
			t.Errorf("%s: there is nothing for a schema to tell", e.Rule)
		}
		if err := encoder.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(file, lines.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := os.ReadFile(file); err != nil || !bytes.Equal(old, lines.Bytes()) {
		t.Errorf("%s is not what the tables say (%v): go test ./plugin/config -run %s -update", file, err, t.Name())
	}
}

func examples(t *testing.T, dir string) []example {
	t.Helper()
	var all []example
	add := func(table, rule, file, beyond string) {
		all = append(all, example{Rule: table + ": " + rule, File: file, BeyondSchema: beyond})
	}
	for _, c := range slices.Concat(brokenFiles(), brokenProviders()) {
		add("broken", c.rule, c.file, "")
	}
	for _, reason := range slices.Sorted(maps.Keys(brokenBeyondSchema())) {
		for _, c := range brokenBeyondSchema()[reason] {
			add("broken", c.rule, c.file, reason)
		}
	}
	for _, c := range positions() {
		add("position", c.rule, c.file, "")
	}
	for _, c := range slices.Concat(oddFiles(), goodProviders()) {
		add("odd", c.rule, c.file, "")
	}
	for _, c := range oddBeyondSchema()[inStrings] {
		add("odd", c.rule, c.file, inStrings)
	}
	for _, e := range effects(dir) {
		add("effect", e.key+" "+e.value, e.file(), "")
		add("effect", "without "+e.key, e.without(), "")
	}
	for _, file := range versions() {
		add("version", file, file, "")
	}
	for _, name := range []string{"../../README.md", "../../docs/configuration.md"} {
		for i, block := range jsonBlocks(t, name) {
			if block.isFile() {
				add(filepath.Base(name), fmt.Sprintf("block %d", i+1), block.text, "")
			}
		}
	}
	schemas, rows := readSchema(t), readReference(t)
	for _, path := range slices.Sorted(maps.Keys(schemas)) {
		for _, value := range schemas[path].values() {
			add("value", path+" "+value, home(strings.TrimPrefix(path, "$."), value), "")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(rows)) {
		add("configuration.md", path, home(strings.TrimPrefix(path, "$."), rows[path].example), "")
	}
	found, err := filepath.Glob("../../examples/*/jwt.json")
	if err != nil || len(found) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range append(found, "testdata/tutorial.json") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		add("file", filepath.Base(filepath.Dir(name)), string(text), "")
		add("file", filepath.Base(filepath.Dir(name))+" with its host names", strings.ReplaceAll(string(text), "<YOUR-KEYCLOAK-OR-IAM>", "idp.test"), "")
	}
	return all
}
