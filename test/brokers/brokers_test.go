package brokers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAtLeast(t *testing.T) {
	for _, c := range []struct {
		name         string
		major, minor int
		want         bool
	}{
		{"2.0.11", 2, 0, true},
		{"2.0.11", 2, 1, false},
		{"2.1.2", 2, 1, true},
		{"2.1", 2, 1, true},
		{"2.10.0", 2, 9, true},
		{"3.0.0", 2, 1, true},
		{"1.6.9", 2, 0, false},
		{"", 0, 0, false},
	} {
		if got := (Version{Name: c.name}).AtLeast(c.major, c.minor); got != c.want {
			t.Errorf("%q at least %d.%d: got %v, want %v", c.name, c.major, c.minor, got, c.want)
		}
	}
}

func TestFetchedFindsTheSeriesWhateverThePatchLevel(t *testing.T) {
	dir := t.TempDir()
	for version, series := range map[string]string{"2.0.11": "2.0.11", "2.1.7": "2.1"} {
		if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "series"), []byte(series+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for series, want := range map[string]string{"2.0.11": "2.0.11", "2.1": "2.1.7"} {
		if v := fetched(dir, series); v.Missing() || v.Name != want || v.Series != series {
			t.Errorf("series %s: got %+v, want version %s", series, v, want)
		}
	}
	if v := fetched(dir, "2.0.21"); !v.Missing() || v.Name != "2.0.21" {
		t.Errorf("series 2.0.21 is not there: got %+v", v)
	}
}

func TestEveryProgramOfEveryVersionStarts(t *testing.T) {
	Each(t, func(t *testing.T, v Version) {
		for _, command := range [][]string{v.Broker, v.Ctrl, v.Pub, v.Sub} {
			about, _ := exec.Command(command[0], "--help").CombinedOutput() // help exits with an error by design
			if !strings.Contains(string(about), "version "+v.Name) {
				t.Errorf("%s --help does not name version %s: %s", command[0], v.Name, about)
			}
		}
		if _, err := os.Stat(v.Dynsec); err != nil {
			t.Error(err)
		}
	})
}
