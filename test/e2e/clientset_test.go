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
	play(t, "clients.c", "client_set.c")
}

// Nothing is held to be accepted that was not accepted since the client was last forgotten.
func TestWhatIsAcceptedIsForgotten(t *testing.T) { play(t, "accepted.c", "accepted.c") }

// play builds a program in witness/ with a file of cgo/, and runs it by some seeds.
func play(t *testing.T, witness, file string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	build := exec.CommandContext(t.Context(), cmp.Or(os.Getenv("CC"), "cc"), "-O1", "-g", "-fsanitize=address,undefined", "-o", program,
		"witness/"+witness, "../../cgo/"+file)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%s", err, out)
	}
	for seed := range 5 {
		if out, err := exec.CommandContext(t.Context(), program, strconv.Itoa(7919*seed+1)).CombinedOutput(); err != nil {
			t.Errorf("seed %d: %s\n%s", seed, err, out)
		}
	}
}
