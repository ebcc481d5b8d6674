package config

import (
	"os"
	"path/filepath"
	"testing"

	"go-jwt-auth/plugin/config/fileaccess"
	"go-jwt-auth/plugin/internal/testuser"
)

// A file that can't be read is explained in the words of fileaccess, jwt.json itself and what it names alike.
func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{filepath.Join(dir, "missing.json"), dir} {
		_, _, err := fileaccess.Read(file)
		if c, problems := Load(file); c != nil || len(problems) != 1 || problems[0] != (Problem{Severity: SeverityError, Text: err.Error()}) {
			t.Errorf("got %+v, want %v", problems, err)
		}
		_, problems := load(t, dir, local("options.modes.local", `{"filePath": "`+file+`"}`))
		if len(problems) != 1 || problems[0].Text != err.Error() || problems[0].Path != "$.options.modes.local.filePath" {
			t.Errorf("named in a file: got %+v, want %v", problems, err)
		}
	}
}

func TestLocateStopsAtAFolderThatCannotBeLookedInto(t *testing.T) {
	if !testuser.Unprivileged(t) {
		return
	}
	first, second := t.TempDir(), t.TempDir()
	write(t, second, "jwt.json", "{}")
	chmod(t, first, 0)
	t.Cleanup(func() { chmod(t, first, 0o700) })
	if got, err := Locate(Location{Usual: []string{first, second}}); err != nil || got != filepath.Join(first, "jwt.json") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRelativePathsStartAtTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "jwt.json", with(uri, "", "options.modes.jwks.filePath", `"../keys.json"`))
	t.Chdir(dir)
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, problems := Load("jwt.json")
	if c == nil {
		t.Fatal(problems)
	}
	if want := filepath.Join(cwd, "jwt.json"); c.File != want {
		t.Errorf("File: got %s, want %s", c.File, want)
	}
	if want := filepath.Join(filepath.Dir(cwd), "keys.json"); c.Providers[0].JWKS.FilePath != want {
		t.Errorf("FilePath: got %s, want %s", c.Providers[0].JWKS.FilePath, want)
	}
}
