// Package brokers names the Mosquitto versions that the tests run against and
// says where their programs are. fetch.sh, beside this file, brings them into
// build/brokers; this package starts nothing (see test/harness).
package brokers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Series are the versions asked for, oldest first. A series is met by whatever
// patch level the distribution has by now: "2.1" by 2.1.2.
var Series = []string{"2.0.11", "2.0.21", "2.1"}

// Version is one broker and the programs that came with it. A command is the
// beginning of an argv, to which arguments are appended.
type Version struct {
	Name   string   // upstream version, "2.0.11"; the series, if missing
	Series string   // the entry of Series it stands for, "" for Installed
	Broker []string // command of mosquitto
	Ctrl   []string // command of mosquitto_ctrl
	Pub    []string // command of mosquitto_pub
	Sub    []string // command of mosquitto_sub
	Dynsec string   // path of mosquitto_dynamic_security.so
}

// AtLeast reports whether the version is major.minor or a later one.
func (v Version) AtLeast(major, minor int) bool {
	parts := strings.SplitN(v.Name+".0", ".", 3)
	haveMajor, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	haveMinor, err := strconv.Atoi(parts[1])
	if err != nil {
		return false
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}

// Missing reports whether the version could not be fetched.
func (v Version) Missing() bool { return len(v.Broker) == 0 }

// String is the version's name, as subtests show it.
func (v Version) String() string { return v.Name }

// Root finds the repository's root upwards from the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("brokers: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "test", "brokers", "fetch.sh")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("brokers: %s is in no checkout of go-jwt-auth", dir)
		}
	}
}

// muslSeries are those that musl.sh builds.
var muslSeries = []string{"2.0.21", "2.1"}

// OnMusl reports whether the tests run against the brokers that musl.sh has
// built, as MOSQUITTO_LIBC=musl in the environment asks for.
func OnMusl() bool { return os.Getenv("MOSQUITTO_LIBC") == "musl" }

// All returns one Version for every entry of Series, in that order, the
// missing ones included; with OnMusl, for those that are built for musl.
func All() []Version {
	series, folder := Series, "brokers"
	if OnMusl() {
		series, folder = muslSeries, "brokers-musl"
	}
	versions := make([]Version, 0, len(series))
	root, err := Root()
	for _, series := range series {
		v := Version{Name: series, Series: series}
		if err == nil {
			v = fetched(filepath.Join(root, "build", folder), series)
		}
		versions = append(versions, v)
	}
	return versions
}

// fetched looks into the folders of dir for the one that stands for series.
func fetched(dir, series string) Version {
	marks, _ := filepath.Glob(filepath.Join(dir, "[0-9]*", "series")) // the pattern is well-formed
	slices.Sort(marks)
	for _, mark := range marks {
		text, err := os.ReadFile(mark)
		if err != nil || strings.TrimSpace(string(text)) != series {
			continue
		}
		home := filepath.Dir(mark)
		command := func(name string) []string { return []string{filepath.Join(home, "bin", name)} }
		return Version{
			Name:   filepath.Base(home),
			Series: series,
			Broker: command("mosquitto"),
			Ctrl:   command("mosquitto_ctrl"),
			Pub:    command("mosquitto_pub"),
			Sub:    command("mosquitto_sub"),
			Dynsec: filepath.Join(home, "mosquitto_dynamic_security.so"),
		}
	}
	return Version{Name: series, Series: series}
}

// Each runs f as one subtest for every version, named after it. A version that
// is missing fails its subtest where CI is set in the environment; elsewhere
// the subtest is skipped and says why.
func Each(t *testing.T, f func(t *testing.T, v Version)) {
	t.Helper()
	for _, v := range All() {
		t.Run(v.Name, func(t *testing.T) {
			if v.Missing() {
				refuse := t.Skipf
				if os.Getenv("CI") != "" {
					refuse = t.Fatalf
				}
				refuse("NOT TESTED against Mosquitto %s: it is not in build/brokers; `make brokers` fetches it", v.Series)
			}
			f(t, v)
		})
	}
}

// EachInParallel is Each for a case that runs beside other cases, and for all
// versions at once.
func EachInParallel(t *testing.T, f func(t *testing.T, v Version)) {
	t.Helper()
	t.Parallel()
	Each(t, func(t *testing.T, v Version) {
		t.Parallel()
		f(t, v)
	})
}

// Installed is the broker that the distribution installed on this machine.
func Installed() (Version, error) {
	var v Version
	var errs []error
	command := func(name string) []string {
		path, err := exec.LookPath(name)
		if err != nil { // daemons live where an ordinary user's PATH does not go
			path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("brokers: %s is not installed", name))
			return nil
		}
		return []string{path}
	}
	v.Broker, v.Ctrl, v.Pub, v.Sub = command("mosquitto"), command("mosquitto_ctrl"), command("mosquitto_pub"), command("mosquitto_sub")
	for _, pattern := range []string{"/usr/lib/*/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/"} {
		if found, _ := filepath.Glob(pattern + "mosquitto_dynamic_security.so"); len(found) > 0 { // well-formed
			v.Dynsec = found[0]
			break
		}
	}
	if v.Dynsec == "" {
		errs = append(errs, errors.New("brokers: mosquitto_dynamic_security.so is not installed"))
	}
	if err := errors.Join(errs...); err != nil {
		return Version{}, err
	}
	about, _ := exec.Command(v.Broker[0], "-h").Output() // -h exits with an error by design
	line, _, _ := strings.Cut(string(about), "\n")
	_, v.Name, _ = strings.Cut(strings.TrimSpace(line), "version ")
	if v.Name == "" {
		return Version{}, fmt.Errorf("brokers: %s -h names no version", v.Broker[0])
	}
	return v, nil
}
