package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// paper is a screen to read afterwards, which calls read with all that is on it when something new is.
type paper struct {
	bytes.Buffer
	read func(text string)
}

func (p *paper) Write(b []byte) (int, error) {
	n, err := p.Buffer.Write(b)
	if p.read != nil {
		p.read(p.String())
	}
	return n, err
}

// temporary has everything that is temporary made in a folder of its own, and fails the test if that is not empty in
// the end.
func temporary(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "demo-test-") //nolint:usetesting // t.TempDir is closed to the broker's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("something was left behind: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
}

// holds fails the test for each text that the paper does not hold.
func (p *paper) holds(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.String(), text) {
			t.Errorf("%q was not shown in:\n%s", text, p)
		}
	}
}

func TestTheShow(t *testing.T) {
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		temporary(t)
		var out paper
		if code := show(t.Context(), &screen{w: &out}, options{version: v, scenes: scenes}); code != 0 {
			t.Errorf("exit code %d:\n%s", code, &out)
		}
		if got, want := strings.Count(out.String(), "✓"), steps(); got != want {
			t.Errorf("%d steps went as told, want %d", got, want)
		}
		out.narrow(t)
	})
}

func steps() (n int) {
	for _, sc := range scenes {
		n += len(sc.steps)
	}
	return n
}

// narrow fails the test for every line that is too wide.
func (p *paper) narrow(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(p.String()) {
		if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > columns {
			t.Errorf("%d columns: %s", width, line)
		}
	}
}

// A plugin that trusts another provider knows none of the keys. On 2.1 it looks for them before it refuses.
func TestTheShowFailsWithTheWrongProvider(t *testing.T) {
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		temporary(t)
		other, err := idp.Start(idp.WithClient(idp.Client{ID: "client-id", Secret: "secret"}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		spoilt := slices.Concat([]scene{{"Spoil it", []step{{"reload", "reloaded", func(s *stage) outcome {
			s.broker.WriteFile("jwt.json", jwtJSON(s.t, other))
			s.broker.Reload()
			s.broker.WaitLog("go_jwt_auth: .* reloaded")
			return outcome{got: "reloaded"}
		}}}}}, scenes)
		var out paper
		if code := show(t.Context(), &screen{w: &out}, options{version: v, scenes: spoilt}); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		answer := "→ refused with 0x87: unknown key"
		if v.AtLeast(2, 1) {
			answer = "→ closed without CONNACK"
		}
		out.holds(t, `✗ connect with the username "whoever"`, answer,
			`expected:   accepted, known as "sensor-1"`, "Log of Mosquitto "+v.Name, "FAILED")
	})
}

func TestTheShowFailsWithoutAPlugin(t *testing.T) {
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		temporary(t)
		t.Setenv("GO_JWT_AUTH_SO", "demo_test.go")
		var out paper
		if code := show(t.Context(), &screen{w: &out}, options{version: v, scenes: scenes}); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		out.holds(t, "✗ harness: Mosquitto "+v.Name+" did not start", "Log of Mosquitto", "FAILED")
	})
}

func TestAnInterruptionStopsEverything(t *testing.T) {
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		temporary(t)
		ctx, interrupt := context.WithCancel(t.Context())
		endless := slices.Concat(scenes[:1], []scene{{"Wait", []step{{"wait", "", func(s *stage) outcome {
			interrupt()
			return outcome{got: s.sensor.WaitDisconnect().String()}
		}}}}})
		var out paper
		if code := show(ctx, &screen{w: &out}, options{version: v, scenes: endless, keep: true}); code != 130 {
			t.Errorf("exit code %d, want 130", code)
		}
		out.holds(t, "Interrupted. Everything is stopped.")
		if strings.Contains(out.String(), "✗") {
			t.Errorf("an interruption is shown as a failure:\n%s", &out)
		}
		// Now it has come before the first scene.
		if code := show(ctx, &screen{w: &out}, options{version: v, scenes: scenes}); code != 130 {
			t.Errorf("exit code %d, want 130", code)
		}
	})
}

// The commands in the handbook are run as a reader would, but for those that need curl.
func TestItIsKeptForWhoTriesByHand(t *testing.T) {
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		temporary(t)
		t.Setenv("PATH", filepath.Dir(v.Pub[0])+":"+os.Getenv("PATH"))
		ctx, interrupt := context.WithCancel(t.Context())
		out := paper{read: func(text string) {
			if ctx.Err() != nil || !strings.Contains(text, "Ctrl-C here stops everything") {
				return
			}
			defer interrupt()
			tried := ""
			for line := range strings.Lines(text) {
				line = strings.TrimSpace(line)
				switch {
				case strings.HasPrefix(line, "cd "):
					tried = line
				case strings.HasPrefix(line, "export "), strings.HasPrefix(line, "./go-jwt-auth refusals "):
					tried += " && " + line
				case strings.HasPrefix(line, "mosquitto_pub "):
					tried += " && " + line
				}
			}
			answer, err := exec.CommandContext(ctx, "sh", "-c", tried).CombinedOutput()
			// Its last one is about another's topic.
			if err != nil || !strings.Contains(string(answer), "Not authorized") {
				t.Errorf("%s: %v, %s", tried, err, answer)
			}
		}}
		if code := show(ctx, &screen{w: &out}, options{version: v, scenes: scenes[:1], keep: true}); code != 0 {
			t.Errorf("exit code %d:\n%s", code, &out)
		}
		out.holds(t, harness.AdminPassword, "Everything is stopped.")
		out.narrow(t)
	})
}
