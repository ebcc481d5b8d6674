package e2e

import (
	"os/exec"
	"strings"
	"testing"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// Where the plugin can't work, the broker does not start, and its log says what to do.
func TestOnMuslWithoutPreload(t *testing.T) {
	if !brokers.OnMusl() {
		t.Skip("this is about musl: `make test-musl`")
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		code, log := harness.StartErr(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, provider(t)))}, Env: []string{"PRELOAD="},
		})
		if code == 0 || !strings.Contains(log, "start it with LD_PRELOAD=/usr/lib/go_jwt_auth_preload.so in its environment") {
			t.Errorf("exit code %d:\n%s", code, log)
		}
	})
}

// In a container LD_PRELOAD reaches every program. They run as without it, and no Go runtime starts in them.
func TestOnMuslOtherProgramsDoNotMindThePreload(t *testing.T) {
	if !brokers.OnMusl() {
		t.Skip("this is about musl: `make test-musl`")
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, preload := range []string{"", "PRELOAD="} {
			cmd := exec.CommandContext(t.Context(), v.Sub[0], "--help")
			cmd.Env = append(cmd.Environ(), preload, "GODEBUG=inittrace=1") // a Go runtime would print its packages
			out, _ := cmd.CombinedOutput()                                  // --help exits with an error by design
			if text := string(out); !strings.HasPrefix(text, "mosquitto_sub is a simple mqtt client") || strings.Contains(text, "init runtime") {
				t.Errorf("with %q:\n%s", preload, text)
			}
		}
	})
}
