package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/config"
)

const readme = "README.md"

// The README begins with a drawing, and has one jwt.json: the shortest that is safe to copy. It names the command that
// runs the tests.
func TestReadme(t *testing.T) {
	var order []string
	walk(t, readme, func(_ []byte, n ast.Node) {
		switch n := n.(type) {
		case *ast.Image:
			order = append(order, "image")
		case *ast.Heading:
			order = append(order, strings.Repeat("#", n.Level))
		}
	})
	if len(order) < 3 || !slices.Equal(order[:3], []string{"#", "image", "##"}) {
		t.Errorf("it begins with %q", order)
	}
	var files []string
	for _, b := range blocks(t, readme) {
		if b.language == "json" {
			files = append(files, b.text)
		}
	}
	if len(files) != 1 {
		t.Fatalf("it has %d files", len(files))
	}
	name := filepath.Join(t.TempDir(), "jwt.json")
	if err := os.WriteFile(name, []byte(files[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(name)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	if cfg.Providers[0].Mode != config.ModeOIDC || cfg.Providers[0].SoleIssuer() == "" || len(cfg.Providers[0].Common.Audience) == 0 {
		t.Errorf("mode %s, issuer %q, audience %q", cfg.Providers[0].Mode, cfg.Providers[0].SoleIssuer(), cfg.Providers[0].Common.Audience)
	}
	for _, advice := range plugin.Advise(cfg, plugin.Abilities{Delays: true, SetsClientID: true}) {
		t.Errorf("the plugin warns: %s", advice)
	}
	if text := string(read(t, readme)); !strings.Contains(text, "`make test`") {
		t.Error("it does not name `make test`")
	}
}

// Every document is found from the README and from the list of documents.
func TestEveryDocumentIsListed(t *testing.T) {
	for _, list := range []string{readme, "docs/README.md"} {
		listed := map[string]bool{}
		for _, to := range links(t, list) {
			listed[filepath.Join(filepath.Dir(list), to)] = true
		}
		for _, document := range documents(t) {
			if filepath.Dir(document) == "docs" && document != "docs/README.md" && !listed[document] {
				t.Errorf("%s does not list %s", list, document)
			}
		}
	}
}

// Each limit begins with the versions that it is about.
func TestLimitsNameTheirVersions(t *testing.T) {
	seen := 0
	begins := regexp.MustCompile(`^(Mosquitto 2\.[0-9.]+\d?|All versions)`)
	walk(t, "docs/limits.md", func(source []byte, n ast.Node) {
		item, ok := n.(*ast.ListItem)
		if !ok {
			return
		}
		seen++
		line := string(item.FirstChild().Lines().Value(source))
		if !begins.MatchString(strings.TrimPrefix(line, "**")) {
			t.Errorf("no version: %s", line)
		}
	})
	if seen < 13 {
		t.Errorf("only %d limits were found", seen)
	}
}
