package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whoever may change the folder that root writes into has put something there before.
func TestWhatIsInTheWay(t *testing.T) {
	for kind, lay := range map[string]func(t *testing.T, name, precious string) error{
		"a file":          func(t *testing.T, name, _ string) error { put(t, name, "mine", 0o644); return nil },
		"a symbolic link": func(_ *testing.T, name, precious string) error { return os.Symlink(precious, name) },
		"a hard link":     func(_ *testing.T, name, precious string) error { return os.Link(precious, name) },
		"a dangling link": func(_ *testing.T, name, precious string) error { return os.Symlink(precious+"-new", name) },
		"a pipe":          func(_ *testing.T, name, _ string) error { return syscall.Mkfifo(name, 0o666) },
	} {
		t.Run(kind, func(t *testing.T) {
			folder := t.TempDir()
			precious, name := put(t, filepath.Join(folder, "precious"), "root's", 0o600), filepath.Join(folder, "jwt.json")
			if err := lay(t, name, precious); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(name)
			if err != nil {
				t.Fatal(err)
			}
			write := func(replace bool) error {
				n, err := create(name, []byte("{}\n"), nil)
				if err != nil {
					return err
				}
				return n.place(replace)
			}
			if err := write(false); err == nil || !strings.Contains(err.Error(), "is there already: --force") {
				t.Errorf("got %v", err)
			}
			if after, err := os.Lstat(name); err != nil || !os.SameFile(before, after) {
				t.Errorf("it is not there any more: %v", err)
			}
			if err := write(true); err != nil {
				t.Error(err)
			}
			if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != fileMode {
				t.Errorf("%v (%v)", info, err)
			}
			if text, err := os.ReadFile(name); string(text) != "{}\n" {
				t.Errorf("%q (%v)", text, err)
			}
			unharmed(t, precious)
			if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 2 {
				t.Errorf("left behind: %v", left)
			}
			if left, _ := filepath.Glob(filepath.Join(folder, ".*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func unharmed(t *testing.T, precious string) {
	t.Helper()
	info, err := os.Stat(precious)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	text, err := os.ReadFile(precious)
	if string(text) != "root's" || info.Mode().Perm() != 0o600 || int(stat.Gid) != os.Getegid() || int(stat.Uid) != os.Geteuid() {
		t.Errorf("%q, mode %o, owner %d:%d (%v)", text, info.Mode(), stat.Uid, stat.Gid, err)
	}
}

// The name that a file has until it is complete is taken away, and given to something else.
func TestSwappedInTime(t *testing.T) {
	u := needsBroker(t)
	for _, replace := range []bool{false, true} {
		folder := openFolder(t, u)
		precious, name := put(t, filepath.Join(folder, "precious"), "root's", 0o600), filepath.Join(folder, "jwt.json")
		n, err := create(name, []byte("{}\n"), u)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Remove(n.trialName()), os.Symlink(precious, n.trialName())); err != nil {
			t.Fatal(err)
		}
		if err := n.place(replace); err == nil || !strings.Contains(err.Error(), "somebody else is changing that folder") {
			t.Errorf("got %v", err)
		}
		unharmed(t, precious)
	}
}

// Whatever the umask is, the file is root's, and the broker's group may read it.
func TestOwnerOfWhatIsWritten(t *testing.T) {
	u := needsBroker(t)
	for _, mask := range []int{0, 0o077, 0o777} {
		name := filepath.Join(openFolder(t, u), "jwt.json")
		before := syscall.Umask(mask)
		n, err := create(name, []byte("{}\n"), u)
		syscall.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.place(false); err != nil {
			t.Fatal(err)
		}
		hasOwner(t, name)
	}
}

// hasOwner fails the test unless the file is root:mosquitto 0640.
func hasOwner(t *testing.T, name string) {
	t.Helper()
	id, err := credential(needsBroker(t))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); info.Mode() != 0o640 || stat.Uid != 0 || stat.Gid != id.Gid {
		t.Errorf("mode %v, owner %d:%d", info.Mode(), stat.Uid, stat.Gid)
	}
}

// A pipe in the place of a folder does not hold root up.
func TestPipeForAFolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := create(filepath.Join(name, "jwt.json"), nil, nil); err == nil {
		t.Error("was written")
	}
}
