package e2e

import (
	"regexp"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// asked waits for the tool and fails the test unless its exit code is that and what it prints matches all patterns.
func asked(t *testing.T, p *harness.Process, code int, patterns ...string) string {
	t.Helper()
	if got := p.Wait(); got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, p.Log())
	}
	for _, pattern := range patterns {
		if !regexp.MustCompile(`(?m)` + pattern).MatchString(p.Log()) {
			t.Errorf("%s is not in:\n%s", pattern, p.Log())
		}
	}
	return p.Log()
}

// Whoever may not ask a broker is told why, and what helps.
func TestTheToolWhereItMayNotAsk(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		t.Run("no plugin", func(t *testing.T) {
			b := harness.Start(t, v, harness.Options{AllowAnonymous: true})
			why := `no answer to a message to \$CONTROL/jwt-auth/v1`
			if v.AtLeast(2, 1) {
				why = `nobody serves \$CONTROL/jwt-auth/v1`
			}
			asked(t, b.Ask(0, "", "", "clients"), 2, why)
		})
		t.Run("no admin", func(t *testing.T) {
			b := harness.Start(t, v, harness.Options{
				Listeners: []harness.Listener{{}, {WebSockets: true}}, Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p))},
			})
			for i := range 2 {
				asked(t, b.Ask(i, "--token-file", p.Token("sensor-1", time.Hour), "clients"), 2, `does not take listSessions from this login: it must be among options.control.admins`)
				asked(t, b.Ask(i, "--token-file", p.Token("sensor-1", -time.Hour), "clients"), 2, `refuses the login with 0x87`)
			}
		})
		t.Run("denied", func(t *testing.T) {
			b := harness.Start(t, v, harness.Options{
				Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p)), sensors()},
			})
			asked(t, b.Ask(0, "--token-file", p.Token("nobody", time.Hour), "clients"), 2, `dynamic-security needs an ACL publishClientSend`)
		})
	})
}
