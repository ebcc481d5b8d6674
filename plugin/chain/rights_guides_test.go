package chain_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// rightsGuides is the document of which every section with a file has tokens, and a table of what they may do.
const rightsGuides = "../../docs/rights-from-tokens.md"

// rightsGuide is a section of it.
type rightsGuide struct {
	name, file string
	tokens     map[string]object // by sub
	rows       [][]string        // sub, what it does, topic, whether it may
}

// answers are the last cells of the tables.
var answers = map[string]verdict.Kind{"yes": verdict.Accept, "no": verdict.Deny, "others decide": verdict.Defer}

// does reads a table's second cell: "publish retained", "publish QoS 1", "subscribe", "receive".
func does(t *testing.T, cell string) (access broker.Access, qos uint8, retain bool) {
	t.Helper()
	words := strings.Fields(cell)
	switch words[0] {
	case "publish":
		access = broker.Write
	case "subscribe":
		access = broker.Subscribe
	case "receive":
		access = broker.Read
	default:
		t.Fatalf("nobody %ss", words[0])
	}
	switch strings.Join(words[1:], " ") {
	case "":
	case "retained":
		retain = true
	case "QoS 1":
		qos = 1
	case "QoS 2":
		qos = 2
	default:
		t.Fatalf("how is %q done?", cell)
	}
	return access, qos, retain
}

// plain is a cell without its marks. A bar has to be written as an entity in a table.
func plain(cell string) string {
	return strings.NewReplacer("`", "", "<code>", "", "</code>", "", "&#124;", "|").Replace(strings.TrimSpace(cell))
}

func readRightsGuides(t *testing.T) (all []rightsGuide) {
	t.Helper()
	text, err := os.ReadFile(rightsGuides)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```json\n(.*?)```\n")
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, _, _ := strings.Cut(section, "\n")
		g := rightsGuide{name: name, tokens: map[string]object{}}
		blocks := block.FindAllStringSubmatch(section, -1)
		if len(blocks) == 0 {
			continue
		}
		for _, found := range blocks {
			var value object
			if err := json.Unmarshal([]byte(found[1]), &value); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if value["mode"] != nil {
				g.file = found[1]
			} else {
				g.tokens[value["sub"].(string)] = value
			}
		}
		_, table, _ := strings.Cut(section, "| `sub` | does | topic | may it |\n|---|---|---|---|\n")
		table, _, _ = strings.Cut(table, "\n\n")
		for row := range strings.Lines(table) {
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(row, "| \n"), "|") {
				cells = append(cells, plain(cell))
			}
			g.rows = append(g.rows, cells)
		}
		if g.file == "" || len(g.tokens) == 0 || len(g.rows) == 0 {
			t.Errorf("%s has no file, no token, or no table", name)
		}
		all = append(all, g)
	}
	return all
}

// TestRightsGuides: each file lets in the tokens that the guide shows, and gives them what the table says.
func TestRightsGuides(t *testing.T) {
	guides := readRightsGuides(t)
	if len(guides) < 9 {
		t.Errorf("only %d guides were found", len(guides))
	}
	for _, g := range guides {
		t.Run(g.name, func(t *testing.T) {
			var file struct{ Algorithm string }
			if err := json.Unmarshal([]byte(g.file), &file); err != nil {
				t.Fatal(err)
			}
			key := testkeys.New(file.Algorithm, "k")
			active := true
			c, _ := newChain(t, localConfig(t, g.file, "k", key, &active))
			used := map[string]bool{}
			for _, row := range g.rows {
				sub, cell, topic := row[0], row[1], row[2]
				used[sub] = true
				payload := maps.Clone(g.tokens[sub])
				if payload == nil {
					t.Fatalf("there is no token with the sub %q", sub)
				}
				payload["exp"] = now + 60
				result := c.Check(t.Context(), login(key.Sign(payload)))
				if result.Kind != verdict.Accept {
					t.Fatalf("the token of %s is refused: %s", sub, result)
				}
				access, qos, retain := does(t, cell)
				want, known := answers[row[3]]
				if got := result.Rights.Allow(access, topic, qos, retain); !known || got != want {
					t.Errorf("%s: %s %s: got %v, the table says %q", sub, cell, topic, got, row[3])
				}
			}
			for sub := range g.tokens {
				if !used[sub] {
					t.Errorf("the table has no line about %s", sub)
				}
			}
		})
	}
}
