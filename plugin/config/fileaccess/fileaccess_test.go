package fileaccess

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go-jwt-auth/plugin/internal/testuser"
)

// write puts a file into dir, readable by its owner only.
func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func chmod(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	if !testuser.Unprivileged(t) {
		return
	}
	dir := t.TempDir()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := strings.TrimSuffix(ownership(info), fmt.Sprintf(", mode %04o", info.Mode().Perm()))
	who, group := Process(), nameOfGroup(os.Getegid())

	folder := func(path string) string {
		f := filepath.Join(dir, path)
		if err := os.MkdirAll(f, 0o700); err != nil {
			t.Fatal(err)
		}
		return f
	}
	link := func(to, at string) {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	chmod(t, folder("open"), 0o755)
	chmod(t, write(t, dir, "locked.json", "{}"), 0o240)
	write(t, folder("closed/below"), "jwt.json", "{}")
	closed := folder("closed")
	write(t, closed, "jwt.json", "{}")
	chmod(t, closed, 0o600)
	t.Cleanup(func() { chmod(t, closed, 0o700) })
	write(t, dir, "large.json", strings.Repeat(" ", MaxBytes+1))
	write(t, dir, "file", "")
	link("gone", "dangling.json")
	link("closed/jwt.json", "into-closed.json")
	link("closed", "closed-link")
	link("loop.json", "loop.json")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.json"), 0o600); err != nil {
		t.Fatal(err)
	}

	cases := []struct{ rule, file, want string }{
		{
			"missing", "open/jwt.json",
			"FILE does not exist: the nearest folder is DIR/open (OWNER, mode 0755), and it holds no such file; WHO, so put the file there and, if it is meant for the broker: chgrp GROUP FILE && chmod 0640 FILE",
		},
		{
			"folder missing", "open/a/b/jwt.json",
			"FILE does not exist: the nearest folder is DIR/open (OWNER, mode 0755), and it holds no such folder; WHO, so put the file there and, if it is meant for the broker: chgrp GROUP FILE && chmod 0640 FILE",
		},
		{"link that leads nowhere", "dangling.json", `FILE is a link to "gone", which does not exist; WHO`},
		{"mode", "locked.json", "FILE can't be read: WHO, and the file is OWNER, mode 0240; if it is meant for the broker: chgrp GROUP FILE && chmod 0640 FILE"},
		{
			"folder's mode", "closed/jwt.json",
			"FILE is out of reach: WHO, and the folder DIR/closed (OWNER, mode 0600) keeps it out; move the file to where that user may go, such as /etc/mosquitto",
		},
		{
			"upper folder's mode", "closed/below/jwt.json",
			"FILE is out of reach: WHO, and the folder DIR/closed (OWNER, mode 0600) keeps it out; move the file to where that user may go, such as /etc/mosquitto",
		},
		{
			"folder's mode behind a link to the file", "into-closed.json",
			"FILE is out of reach: WHO, and the folder DIR/closed (OWNER, mode 0600) keeps it out; move the file to where that user may go, such as /etc/mosquitto",
		},
		{
			"folder's mode behind a link to the folder", "closed-link/jwt.json",
			"FILE is out of reach: WHO, and the folder DIR/closed-link (OWNER, mode 0600) keeps it out; move the file to where that user may go, such as /etc/mosquitto",
		},
		{"a folder", "open", "FILE is a directory, expected a file (container engines make one where the source of a bind mount is missing)"},
		{"a pipe", "pipe.json", "FILE is a pipe, socket or device, expected a file"},
		{"too large", "large.json", "FILE is larger than 1048576 bytes (1 MiB), expected a far smaller file"},
		{"a link to itself", "loop.json", "FILE can't be opened: too many levels of symbolic links"},
		{"a file for a folder", "file/jwt.json", "FILE can't be opened: not a directory"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			file := filepath.Join(dir, c.file)
			want := strings.NewReplacer("FILE", file, "DIR", dir, "OWNER", owner, "WHO", who, "GROUP", group).Replace(c.want)
			data, info, err := Read(file)
			if data != nil || info != nil || err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// What the advice says is done, as root would, and the broker's user can read the file then, and others can't. Of root's
// file that is by its group: a file that belongs to the broker's user could be changed by whoever takes that over.
func TestThePermissionAdviceWorks(t *testing.T) {
	if os.Geteuid() != 0 { // who can give no file away
		file := filepath.Join(t.TempDir(), "own")
		if got := GrantCommand(file); got != "chgrp "+nameOfGroup(os.Getegid())+" "+file+" && chmod 0640 "+file {
			t.Error(got)
		}
		return
	}
	const broker, stranger = 65534, 65533
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		chmod(t, d, 0o755)
	}
	reads := func(file string, uid int) bool {
		cmd := exec.Command("cat", file)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		return cmd.Run() == nil
	}
	// advice is what the broker's user is told about the file.
	advice := func(t *testing.T, file string) string {
		t.Helper()
		program, err := os.Open("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close() //nolint:errcheck // it was only read
		cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestPrintAdvice$", "-test.count=1")
		cmd.ExtraFiles, cmd.Dir, cmd.Env = []*os.File{program}, os.TempDir(), []string{"ADVISE_ON=" + file}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: broker, Gid: broker}}
		out, err := cmd.Output()
		text, _, found := strings.Cut(string(out), "\n")
		if err != nil || !found {
			t.Fatalf("%v\n%s", err, out)
		}
		return text
	}
	for _, c := range []struct {
		rule, name string
		mode       os.FileMode
		uid, gid   int
	}{
		{"root's, open to all", "open", 0o644, 0, 0},
		{"root's alone", "closed", 0o600, 0, 0},
		{"its own", "own", 0o644, broker, broker},
		{"of its group", "group", 0o604, 0, broker},
		{"a name that a shell takes apart", "it's; a name", 0o644, 0, 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			file := write(t, dir, c.name, "hunter2")
			chmod(t, file, c.mode)
			if err := os.Chown(file, c.uid, c.gid); err != nil {
				t.Fatal(err)
			}
			command := advice(t, file)
			if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", command, err, out)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != c.uid || !reads(file, broker) || reads(file, stranger) {
				t.Errorf("after %s it is %s", command, ownership(info))
			}
		})
	}
	// Root itself is told of the broker's group where there is one, and never to give a file to root.
	if told := GrantCommand(filepath.Join(dir, "missing")); strings.Contains(told, "chown") || strings.Contains(told, "root") {
		t.Errorf("root is told: %s", told)
	}
}

// TestPrintAdvice is what TestThePermissionAdviceWorks starts as another user.
func TestPrintAdvice(*testing.T) {
	if file := os.Getenv("ADVISE_ON"); file != "" {
		fmt.Println(GrantCommand(file))
	}
}

// Somebody else's file is named as theirs.
func TestOwnershipOfAnotherUser(t *testing.T) {
	if !testuser.Unprivileged(t) {
		return
	}
	_, _, err := Read("/etc/shadow")
	if err == nil || !strings.Contains(err.Error(), "the file is owner root (uid 0), group ") {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("(uid %d)", os.Geteuid())) {
		t.Errorf("does not say who: %v", err)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// A command that root copies runs nothing that a name in jwt.json says.
func TestNamesInCommands(t *testing.T) {
	for name, want := range map[string]string{
		"/etc/mosquitto/jwt.json": "/etc/mosquitto/jwt.json",
		"/a b":                    "'/a b'",
		"/a;reboot":               "'/a;reboot'",
		"/$(reboot)`reboot`":      "'/$(reboot)`reboot`'",
		"/it's":                   `'/it'\''s'`,
		"/~root":                  "'/~root'",
		"/*":                      "'/*'",
		"-R":                      "'-R'",
	} {
		if got := shellWord(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	for _, text := range []string{barred("/a;reboot"), absent("/a;reboot")} {
		if !strings.Contains(text, "'/a;reboot' && chmod 0640 '/a;reboot'") {
			t.Errorf("got %s", text)
		}
	}
}
