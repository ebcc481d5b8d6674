package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"
)

// links are the destinations in a document that lead to files.
func links(t *testing.T, document string) (all []string) {
	t.Helper()
	walk(t, document, func(_ []byte, n ast.Node) {
		var to string
		switch n := n.(type) {
		case *ast.Link:
			to = string(n.Destination)
		case *ast.Image:
			to = string(n.Destination)
		}
		if path, _, _ := strings.Cut(to, "#"); path != "" && !strings.Contains(to, "://") {
			all = append(all, path)
		}
	})
	return all
}

// What the documents of a package link to is in the package: build.sh packs what packaging/documents lists, and Debian's
// own package the same.
func TestPackagedDocuments(t *testing.T) {
	listed := strings.Fields(string(read(t, "packaging/documents")))
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"ls-files", "--cached", "--others", "--exclude-standard"}, listed...)...)
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packed := map[string]bool{}
	for file := range strings.FieldsSeq(string(out)) {
		for ; file != "."; file = filepath.Dir(file) {
			packed[file] = true
		}
	}
	for _, document := range documents(t) {
		if !packed[document] {
			continue
		}
		for _, to := range links(t, document) {
			if target := filepath.Join(filepath.Dir(document), to); !packed[target] {
				t.Errorf("%s links to %s, which no package has", document, to)
			}
		}
	}
	debian := strings.Fields(string(read(t, "debian/mosquitto-go-jwt-auth.docs")))
	if examples := string(read(t, "debian/mosquitto-go-jwt-auth.examples")); examples == "examples/*\n" {
		debian = append(debian, "examples")
	}
	for _, path := range listed {
		if !slices.Contains(debian, path) {
			t.Errorf("Debian's own package has no %s", path)
		}
		if _, err := os.Stat(filepath.Join(root(t), path)); err != nil {
			t.Error(err)
		}
	}
}
