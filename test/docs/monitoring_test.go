package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The page lists each metric of the plugin's own, and no other.
func TestEveryMetricIsListed(t *testing.T) {
	name := regexp.MustCompile("[\"`](jwt_auth_[a-z_]+)[\"`]")
	measured := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root(t), "plugin/metrics/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			for _, found := range name.FindAllStringSubmatch(string(source), -1) {
				measured[found[1]] = true
			}
		}
	}
	if len(measured) < 20 {
		t.Fatalf("only %d metrics were found", len(measured))
	}
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(jwt_auth_[a-z_]+)` \\|").FindAllStringSubmatch(string(read(t, "docs/monitoring.md")), -1) {
		listed[row[1]] = true
		if !measured[row[1]] {
			t.Errorf("%s is not measured", row[1])
		}
	}
	for metric := range measured {
		if !listed[metric] {
			t.Errorf("%s is not listed", metric)
		}
	}
}
