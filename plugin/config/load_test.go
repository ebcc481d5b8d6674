package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestParse: a text that stands in no file is read as if it did.
func TestParse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "jwt.json")
	c, problems := Parse([]byte(revoking(introspect+".clientId", `"broker"`, introspect+".clientSecret", `{"filePath":"secret"}`)), file)
	if len(problems) > 0 || c.File != file || c.Providers[0].Revocation.Introspection.ClientSecret.Reveal() != "s" {
		t.Errorf("got %+v, %q", c, problems)
	}
	if c, problems := Parse([]byte("{"), file); c != nil || len(problems.Errors()) != 1 {
		t.Errorf("got %+v, %q", c, problems)
	}
}
