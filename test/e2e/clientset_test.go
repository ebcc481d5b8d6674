package e2e

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// The set of clients about whom ACL_CHECK asks Go holds whoever was put in and was not taken out, as it grows, shrinks and its
// entries move.
func TestTheSetOfClientsHoldsWhoIsIn(t *testing.T) {
	program := filepath.Join(t.TempDir(), "clients")
	build := exec.CommandContext(t.Context(), cmp.Or(os.Getenv("CC"), "cc"), "-O1", "-g", "-fsanitize=address,undefined", "-o", program,
		"witness/clients.c", "../../cgo/client_set.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%s", err, out)
	}
	for seed := range 5 {
		if out, err := exec.CommandContext(t.Context(), program, strconv.Itoa(7919*seed+1)).CombinedOutput(); err != nil {
			t.Errorf("seed %d: %s\n%s", seed, err, out)
		}
	}
}
