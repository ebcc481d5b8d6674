package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
)

// needsBroker skips a test, and says so loudly, where it can't become the broker's user.
func needsBroker(t *testing.T) *user.User {
	t.Helper()
	u, err := user.Lookup(defaultBroker)
	if os.Geteuid() == 0 && err == nil {
		return u
	}
	if os.Getenv("CI") != "" {
		t.Fatal("this needs root and a user mosquitto")
	}
	t.Skip("NOT TESTED: this needs root and a user mosquitto")
	return nil
}

// openFolder is a folder that every user can look into, which those of t.TempDir are not. It is the broker's if u is given.
func openFolder(t *testing.T, u *user.User) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "go-jwt-auth-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if u != nil {
		giveTo(t, u, folder)
	}
	return folder
}

func giveTo(t *testing.T, u *user.User, name string) {
	t.Helper()
	id, err := credential(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(name, int(id.Uid), int(id.Gid)); err != nil {
		t.Fatal(err)
	}
}

// put writes a file with exactly this mode, whatever the umask is.
func put(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(name, []byte(content), mode), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
	return name
}

const rootsSecret = "what-only-root-may-read"

// A broker's user that has been taken over writes into its jwt.json what it wants to know, and where to send it. Root must not.
func TestRootGivesNothingAwayToTheFile(t *testing.T) {
	u := needsBroker(t)
	secret := put(t, filepath.Join(openFolder(t, nil), "shadow"), rootsSecret, 0o600)
	t.Setenv("ROOTS_SECRET", rootsSecret)
	p := startProvider(t, withAsker())
	token := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"))
	for _, from := range []string{`{"filePath": "` + secret + `"}`, `{"env": "ROOTS_SECRET"}`} {
		text := strings.Replace(string(file{
			Algorithm: []string{"RS256"}, Issuer: p.Issuer(), UsernameClaim: "sub",
			Introspection: &introspection{URI: p.IntrospectionURI(), ClientID: "asker", Secret: "SECRET"},
		}.json()), `"SECRET"`, from, 1)
		name := put(t, filepath.Join(openFolder(t, u), "jwt.json"), text, 0o640)
		giveTo(t, u, name)
		for _, args := range [][]string{
			{"probe", "--config", name},
			{"check-token", "--online", "--config", name, "-"},
			{"check-config", name},
			{"check-config", "-"},
		} {
			t.Run(args[0]+" "+from, func(t *testing.T) {
				in := token
				if args[1] == "-" {
					in = text
				}
				got := tool(t, in, append(args, "--as="+defaultBroker)...).lacks(t, rootsSecret, "accepted")
				if got.code == exitGood || !strings.Contains(got.out+got.err, "clientSecret") {
					t.Errorf("exit code %d\n%s%s", got.code, got.out, got.err)
				}
				if n := p.Probes(idp.Introspect); n > 0 {
					t.Errorf("the endpoint was asked %d times about a made-up token", n)
				}
				asked := p.Last(idp.Introspect)
				if asked == nil {
					return
				}
				if _, sent, _ := asked.BasicAuth(); sent == rootsSecret {
					t.Error("the endpoint was sent what only root may read")
				}
			})
		}
		// What is named on purpose is handed on.
		if strings.Contains(from, "env") {
			got := tool(t, "", "check-config", "--as="+defaultBroker, name).want(t, 1)
			if !strings.Contains(got.err, "what --env names") {
				t.Errorf("nothing tells of --env:\n%s%s", got.out, got.err)
			}
			tool(t, "", "check-config", "--as="+defaultBroker, "--env=ROOTS_SECRET", name).want(t, 0, "read as user mosquitto")
		}
	}
}

// The process that reads as the broker's user holds nothing that this user could take from it by /proc or by its terminal.
func TestChildHoldsNothingOfRoots(t *testing.T) {
	u := needsBroker(t)
	t.Setenv("ROOTS_SECRET", rootsSecret)
	t.Setenv("HANDED_ON", "on-purpose")
	// As a shell leaves it: open in every child.
	leak, err := syscall.Open(put(t, filepath.Join(openFolder(t, nil), "shadow"), rootsSecret, 0o600), syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(leak) })
	p := startProvider(t, withAsker())
	release := p.Hold(idp.Discovery)
	t.Cleanup(release)
	text, err := os.ReadFile(jwtJSON(t, p))
	if err != nil {
		t.Fatal(err)
	}
	name := put(t, filepath.Join(openFolder(t, nil), "jwt.json"), string(text), 0o644)
	ended := make(chan said, 1)
	go func() { ended <- tool(t, "", "probe", "--as="+defaultBroker, "--env=HANDED_ON", "--config", name) }()
	waitFor(t, func() bool { return p.Requests(idp.Discovery) > 0 })
	proc := childOf(t, u)
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(proc, name))
		if err != nil {
			t.Error(err)
		}
		return string(content)
	}
	if env := read("environ"); env != dropped+"=1\x00HANDED_ON=on-purpose\x00" {
		t.Errorf("environment %q", env)
	}
	if line := read("cmdline"); strings.Contains(line, rootsSecret) {
		t.Errorf("command line %q", line)
	}
	for _, want := range []string{"\nUid:\t" + strings.Repeat(u.Uid+"\t", 3) + u.Uid + "\n", "\nGid:\t" + strings.Repeat(u.Gid+"\t", 3) + u.Gid + "\n", "\nCapEff:\t0000000000000000\n"} {
		if status := read("status"); !strings.Contains(status, want) {
			t.Errorf("%q is not in %s", want, status)
		}
	}
	// Fields after the name: state, parent, group, session, terminal (proc_pid_stat(5)).
	_, stat, _ := strings.Cut(read("stat"), ") ")
	if fields := strings.Fields(stat); fields[3] != filepath.Base(proc) || fields[4] != "0" {
		t.Errorf("session %s, terminal %s", fields[3], fields[4])
	}
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range files {
		to, _ := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		kind, _, _ := strings.Cut(to, ":")
		own := strings.HasPrefix(to, "/sys/fs/cgroup/") // Go's runtime reads there how many processors it may use
		if kind != "pipe" && kind != "socket" && kind != "anon_inode" && to != os.DevNull && !own {
			t.Errorf("file %s is %s", fd.Name(), to)
		}
	}
	release()
	got := <-ended
	got.want(t, 0, "the plugin can work with this")
}

// childOf is the folder in /proc of our child that runs as u.
func childOf(t *testing.T, u *user.User) string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, proc := range all {
		status, _ := os.ReadFile(filepath.Join(proc, "status"))
		if strings.Contains(string(status), "\nPPid:\t"+strconv.Itoa(os.Getpid())+"\n") && strings.Contains(string(status), "\nUid:\t"+u.Uid+"\t") {
			return proc
		}
	}
	t.Fatal("no child runs as the broker's user")
	return ""
}

// waitFor waits until it is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatal("waited for a minute in vain")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// As root, a file is read as the broker reads it, from wherever the tool itself lies.
func TestCheckConfigAsTheBroker(t *testing.T) {
	needsBroker(t)
	text, err := os.ReadFile(jwtJSON(t, startProvider(t)))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(openFolder(t, nil), "jwt.json")
	for mode, want := range map[os.FileMode]string{0o600: "can't be read: this process runs as user mosquitto", 0o644: "is good, read as user mosquitto"} {
		put(t, name, string(text), mode)
		for _, as := range []string{defaultBroker, needsBroker(t).Uid} {
			got := tool(t, "", "check-config", "--as="+as, name)
			if !strings.Contains(got.out, want) || (got.code == 0) != (mode == 0o644) {
				t.Errorf("mode %o: %+v", mode, got)
			}
		}
		if got := tool(t, "", "check-config", "--as="+defaultBroker, "--json", name).object(t); got["user"] != "mosquitto" {
			t.Errorf("%v", got)
		}
	}
	t.Run("in colour", func(t *testing.T) {
		put(t, name, string(text), 0o644) // the modes above come in any order
		tool(t, "", "check-config", "--as="+defaultBroker, "--color=always", name).want(t, 0, "\x1b[32m✓\x1b[0m ")
	})
	t.Run("nobody of that name", func(t *testing.T) {
		tool(t, "", "check-config", "--as=nobody-of-that-name", name).want(t, exitUnknown, "there is no user nobody-of-that-name")
	})
}

// Where there is no user mosquitto, root reads what is root's alone.
func TestRootsAlone(t *testing.T) {
	u := needsBroker(t)
	roots, theirs := openFolder(t, nil), openFolder(t, u)
	link := filepath.Join(roots, "link")
	if err := os.Symlink(put(t, filepath.Join(theirs, "jwt.json"), "{}", 0o644), link); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		put(t, filepath.Join(roots, "jwt.json"), "{}", 0o644): true,
		put(t, filepath.Join(roots, "open"), "{}", 0o666):     false,
		filepath.Join(roots, "none"):                          true,
		filepath.Join(theirs, "jwt.json"):                     false,
		link:                                                  false,
	} {
		if got := rootsAlone(name); got != want {
			t.Errorf("%s: %t, want %t", name, got, want)
		}
	}
}

// What the other process prints is not believed more than what anybody says.
func TestChildOutput(t *testing.T) {
	var got strings.Builder
	o := &childOutput{to: &got}
	for _, part := range []string{"\x1b[32m", "✓\x1b[0m good\nx\x1b]0;t", "itle\a\x1b[8m\x9b2J\u202e\r\n", "no end"} {
		if _, err := fmt.Fprint(o, part); err != nil {
			t.Fatal(err)
		}
	}
	o.flush()
	if want := "\x1b[32m✓\x1b[0m good\n" + `x\x1b]0;title\a\x1b[8m\x9b2J\u202e\r` + "\nno end\n"; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}
