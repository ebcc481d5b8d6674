package config

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const reference = "../../docs/configuration.md"

// block is a piece of JSON in a document.
type block struct {
	line int
	text string
}

// isFile tells a whole jwt.json from a part.
func (b block) isFile() bool { return strings.Contains(b.text, `"mode"`) }

func readLines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func jsonBlocks(t *testing.T, name string) []block {
	t.Helper()
	var blocks []block
	var lines []string
	start := 0
	for i, line := range readLines(t, name) {
		switch {
		case start == 0 && line == "```json":
			start, lines = i+2, nil
		case start > 0 && line == "```":
			blocks = append(blocks, block{start, strings.Join(lines, "\n") + "\n"})
			start = 0
		default:
			lines = append(lines, line)
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no JSON", name)
	}
	return blocks
}

// writeReferenceFiles puts what the documents and the schema name into dir and the environment.
func writeReferenceFiles(t *testing.T, dir string) {
	t.Helper()
	t.Setenv("MQTT_SECRET", "thirty-two bytes and a few of more")
	t.Setenv("MQTT_CLIENT_SECRET", "secret")
	t.Setenv("MQTT_CLIENT_KEY", "key")
	t.Setenv("MQTT_CHECK_REQUEST", `{"method": "PUT"}`)
	for _, name := range []string{"client-secret", "ca.pem", "client.pem", "client.key"} {
		write(t, dir, name, "x")
	}
}

// The files of the documents work as they stand: without an error, and without a warning.
func TestDocumentedFiles(t *testing.T) {
	dir := t.TempDir()
	writeReferenceFiles(t, dir)
	for _, name := range []string{reference, "../../README.md"} {
		for _, b := range jsonBlocks(t, name) {
			if !b.isFile() {
				write(t, dir, "request.json", b.text)
			}
		}
		for _, b := range jsonBlocks(t, name) {
			t.Run(fmt.Sprintf("%s:%d", name, b.line), func(t *testing.T) {
				file := b.text
				if !b.isFile() {
					file = asking(plainly+".bodyEncoding", `"application/json"`, parameters+".plain", b.text)
				}
				if c, problems := load(t, dir, file); c == nil || len(problems) > 0 {
					t.Error(strings.Join(problems.Lines("jwt.json"), "\n"))
				}
			})
		}
	}
}

// Each mode has a whole file in the reference.
func TestReferenceHasEveryMode(t *testing.T) {
	dir := workshop(t)
	writeReferenceFiles(t, dir)
	seen := map[string]bool{}
	for _, b := range jsonBlocks(t, reference) {
		if !b.isFile() {
			continue
		}
		file, problems := load(t, dir, b.text)
		if file == nil {
			t.Fatal(problems)
		}
		c := file.Providers[0]
		seen[string(c.Mode)] = true
		switch {
		case c.Mode == ModeJWKS && c.JWKS.FilePath != "":
			seen["jwks file"] = true
		case c.Mode == ModeLocal && symmetric(c.Algorithms[0]):
			seen["secret"] = len(c.Local.Reveal()) >= 32 // RFC 7518 §3.2
		case c.Mode == ModeLocal:
			block, _ := pem.Decode([]byte(c.Local.Reveal()))
			if block == nil {
				t.Fatalf("line %d: no PEM", b.line)
			}
			_, err := x509.ParsePKIXPublicKey(block.Bytes)
			seen["public key"] = err == nil
		}
		if c.Revocation != nil && c.Revocation.Plain != nil {
			seen["plain"] = true
		}
	}
	for mode := range sections() {
		if !seen[string(mode)] {
			t.Errorf("no file of mode %s", mode)
		}
	}
	for _, kind := range []string{"jwks file", "secret", "public key", "plain"} {
		if !seen[kind] {
			t.Errorf("no file with %s", kind)
		}
	}
}

// row is what the reference says of one key.
type row struct {
	line                      int
	kind, def, example, words string
}

// readReference reads the tables, which have the path of their section as the heading.
func readReference(t *testing.T) map[string]row {
	t.Helper()
	rows := map[string]row{}
	var sections []string
	for i, line := range readLines(t, reference) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			sections = nil
			if heading == "Secrets" {
				sections = []string{"$.options.modes.local", "$." + introspect + ".clientSecret", "$." + introspect + ".clientKey"}
			}
		}
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			heading = strings.Trim(heading, "`")
			switch {
			case strings.HasPrefix(heading, "$"):
				sections = []string{heading}
			case strings.HasPrefix(heading, "requestParameters"):
				sections = []string{"$." + introspect + "." + heading, "$." + plainly + "." + heading}
			default:
				sections = nil
			}
		}
		if strings.HasPrefix(line, "#### ") { // about several keys, or none
			sections = nil
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(sections) == 0 || !strings.HasPrefix(line, "| `") {
			continue
		}
		if len(cells) != 5 {
			t.Errorf("%s:%d: %d cells, want 5", reference, i+1, len(cells))
			continue
		}
		for _, section := range sections {
			rows[section+"."+strings.Trim(cells[0], "`")] = row{
				line: i + 1, kind: cells[1], def: strings.Trim(cells[2], "`–"), example: strings.Trim(cells[3], "`"), words: cells[4],
			}
		}
	}
	return rows
}

var inBounds = regexp.MustCompile(`(\d+) to (\d+)`)

// The reference has every key, and says of it what the schema says, which TestSchemaSaysWhatHolds holds against this
// package.
func TestReferenceHasEveryKey(t *testing.T) {
	rows, schemas := readReference(t), readSchema(t)
	isSection := map[string]bool{"$": true, "$.options.modes.local": true} // the latter has words of its own
	for path := range allKeys() {
		if path != "$" {
			isSection[parent(path)] = true
		}
	}
	for path := range allKeys() {
		r, documented := rows[path]
		f := schemas[path]
		if strings.HasPrefix(path, inProviders+".") && path != inProviders+".name" {
			continue // the same as in a file of its own
		}
		switch {
		case isSection[path] && !documented:
			continue
		case !documented:
			t.Errorf("%s is not in the reference", path)
			continue
		case !sameJSON(r.def, f.def):
			t.Errorf("%s:%d: %s: the default is %q, expected %q", reference, r.line, path, r.def, f.def)
		case f.boolean && r.kind != "boolean":
			t.Errorf("%s:%d: %s: is %q, expected boolean", reference, r.line, path, r.kind)
		case r.example == "" || r.words == "":
			t.Errorf("%s:%d: %s: no example or no meaning", reference, r.line, path)
		}
		if f.min != nil && f.max != nil {
			if got := inBounds.FindString(r.kind); got != fmt.Sprintf("%d to %d", *f.min, *f.max) {
				t.Errorf("%s:%d: %s: goes from %q, expected %d to %d", reference, r.line, path, got, *f.min, *f.max)
			}
		}
		for _, word := range f.words {
			if !strings.Contains(r.kind, word) {
				t.Errorf("%s:%d: %s: %s is missing", reference, r.line, path, word)
			}
		}
	}
	for path, r := range rows {
		if !allKeys()[path] {
			t.Errorf("%s:%d: %s is no key", reference, r.line, path)
		}
	}
}

// The example of every key works.
func TestReferenceExamples(t *testing.T) {
	dir := workshop(t)
	writeReferenceFiles(t, dir)
	for path, r := range readReference(t) {
		key := strings.TrimPrefix(path, "$.")
		if c, problems := load(t, dir, home(key, r.example)); c == nil {
			t.Errorf("%s:%d: %s: %s\n%v", reference, r.line, path, r.example, problems)
		}
	}
}

// Links within the page lead to a heading.
func TestReferenceLinks(t *testing.T) {
	lines := readLines(t, reference)
	var anchors []string
	for _, line := range lines {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			anchor := strings.ReplaceAll(strings.ToLower(heading), " ", "-")
			anchors = append(anchors, "#"+regexp.MustCompile("[^a-z0-9_-]").ReplaceAllString(anchor, ""))
		}
	}
	for i, line := range lines {
		for _, link := range regexp.MustCompile(`\]\((#[^)]*)\)`).FindAllStringSubmatch(line, -1) {
			if !slices.Contains(anchors, link[1]) {
				t.Errorf("%s:%d: no heading for %s", reference, i+1, link[1])
			}
		}
	}
}

func sameJSON(a, b string) bool {
	if a == "" || b == "" {
		return a == b
	}
	var one, two any
	errA, errB := json.Unmarshal([]byte(a), &one), json.Unmarshal([]byte(b), &two)
	return errA == nil && errB == nil && fmt.Sprint(one) == fmt.Sprint(two)
}
