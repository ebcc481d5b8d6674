package ui

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// reasons reads the closed list out of the plugin's source.
func reasons(t *testing.T) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../plugin/verdict/verdict.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
		return true
	})
	if len(all) < 25 {
		t.Fatalf("only %d reasons were found", len(all))
	}
	return all
}

func TestEveryReasonHasItsText(t *testing.T) {
	all := guides()
	for _, reason := range reasons(t) {
		n := 0
		for _, block := range all[reason] {
			if block.Kind != "text" {
				continue
			}
			for _, item := range block.Items {
				for _, span := range item {
					n += len(span.Text)
				}
			}
		}
		if n < 40 {
			t.Errorf("%q: only %d characters say what to do", reason, n)
		}
		delete(all, reason)
	}
	for reason := range all {
		t.Errorf("%q is no reason", reason)
	}
}

// TestNoMarkdownIsLeft: the page shows text as it is.
func TestNoMarkdownIsLeft(t *testing.T) {
	for reason, blocks := range guides() {
		for _, block := range blocks {
			for _, item := range block.Items {
				for _, span := range item {
					if !span.Code && (strings.ContainsAny(span.Text, "`[") || strings.Contains(span.Text, "**") || strings.Contains(span.Text, "](")) {
						t.Errorf("%s: %q", reason, span.Text)
					}
				}
			}
		}
	}
}

func TestBlocks(t *testing.T) {
	got := blocks("\n```text\nrefused: x: y\n```\n\nA `b` c [d](e.md#f)\nis **one** line.\n\n- first\n- second `code`\n  goes on\n")
	want := []block{
		{"example", [][]span{{{"refused: x: y", true}}}},
		{"text", [][]span{{{"A ", false}, {"b", true}, {" c d is one line.", false}}}},
		{"list", [][]span{{{"first", false}}, {{"second ", false}, {"code", true}, {" goes on", false}}}},
	}
	if !bytes.Equal(encode(got), encode(want)) {
		t.Errorf("got %s\nwant %s", encode(got), encode(want))
	}
}
