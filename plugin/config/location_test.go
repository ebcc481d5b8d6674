package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config/fileaccess"
)

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{"data", "lib", "empty"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "data"), "jwt.json", "{}")
	write(t, filepath.Join(dir, "lib"), "jwt.json", "{}")
	if err := os.Symlink("nowhere", filepath.Join(dir, "empty", "jwt.json.link")); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) []string {
		for i, name := range names {
			names[i] = filepath.Join(dir, name)
		}
		return names
	}
	cases := []struct {
		rule string
		l    Location
		// DIR stands for the folder
		want, err string
	}{
		{"absolute option", Location{ConfigFile: "/a/../b.json", Persistence: "/p"}, "/b.json", ""},
		{"relative option, 2.1", Location{ConfigFile: "b/c.json", Persistence: "/p/", PersistenceOption: "/o"}, "/p/b/c.json", ""},
		{"relative option, 2.0", Location{ConfigFile: "c.json", PersistenceOption: "/o", Usual: in("data")}, "/o/c.json", ""},
		{"relative option, first usual folder that exists", Location{ConfigFile: "c.json", Usual: in("none", "empty", "data")}, "DIR/empty/c.json", ""},
		{
			"relative option, no folder",
			Location{ConfigFile: "c.json", Usual: in("none", "no")},
			"",
			`plugin_opt_config_file "c.json" is relative, but none of the usual persistence locations exists (DIR/none, DIR/no): make it absolute, or set plugin_opt_persistence_location`,
		},
		{"no option, 2.1: there and nowhere else", Location{Persistence: "/p", PersistenceOption: "/o", Usual: in("data")}, "/p/jwt.json", ""},
		{"no option, 2.0: the option's folder first", Location{PersistenceOption: filepath.Join(dir, "lib"), Usual: in("data")}, "DIR/lib/jwt.json", ""},
		{"no option, 2.0: usual folders where that holds none", Location{PersistenceOption: filepath.Join(dir, "empty"), Usual: in("none", "data", "lib")}, "DIR/data/jwt.json", ""},
		{
			"no option, 2.0: none holds it",
			Location{PersistenceOption: filepath.Join(dir, "empty"), Usual: in("none")},
			"",
			"no jwt.json found, tried DIR/empty/jwt.json, DIR/none/jwt.json (" + fileaccess.Process() + "): put it there, or set plugin_opt_config_file to its absolute path",
		},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			got, err := Locate(c.l)
			if got = strings.ReplaceAll(got, dir, "DIR"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			text := ""
			if err != nil {
				text = strings.ReplaceAll(err.Error(), dir, "DIR")
			}
			if text != c.err {
				t.Errorf("got error  %q\nwant error %q", text, c.err)
			}
		})
	}
}

func TestLocateTakesRelativePersistenceFromTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Locate(Location{Persistence: "data"}); err != nil || got != filepath.Join(cwd, "data", "jwt.json") {
		t.Errorf("got %q, %v", got, err)
	}
}

// A link that leads nowhere was put there by somebody: to pass over it could pick up another, older file.
func TestLocateStopsAtALinkThatLeadsNowhere(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	write(t, second, "jwt.json", "{}")
	link := filepath.Join(first, "jwt.json")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	if got, err := Locate(Location{Usual: []string{first, second}}); err != nil || got != link {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUsualFolders(t *testing.T) {
	if got := strings.Join(Location{}.usual(), " "); got != "/mosquitto/data /var/lib/mosquitto" {
		t.Errorf("got %s", got)
	}
}
