// Package testuser is for tests of what file permissions forbid, which bind everybody but root.
package testuser

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Unprivileged runs the calling test's body as a user whom permissions bind. Root starts this test again as another, and
// returns false once that one passed.
func Unprivileged(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	// The build's folder is root's alone, so the program is handed over open.
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()                                                                                              //nolint:errcheck // it was only read
	cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3", "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v") //nolint:gosec // it is this program
	cmd.ExtraFiles = []*os.File{program}
	cmd.Dir = os.TempDir()
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as user %d: %v\n%s", nobody, err, out)
	}
	return false
}
