package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
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

// opsPassword is that of ops.
const opsPassword = "the operations team's password"

// steered is a broker with two admins: boss by a token, and ops by a password of dynamic-security.
func steered(t *testing.T, v brokers.Version, p *idp.Provider, o harness.Options) *harness.Broker {
	t.Helper()
	admins := object{"options.control.admins": []any{object{"username": "boss"}, "ops"}}
	asks := []harness.ACL{{Type: "publishClientSend", Topic: controlTopic, Allow: true}}
	o.Plugins = []harness.Plugin{
		harness.JWT("jwt.json", config(t, p, admins)),
		harness.Dynsec{
			Roles: map[string][]harness.ACL{"asks": asks, "one": append(harness.MayUse("sensors/1/#"), asks...)},
			Clients: []harness.DynsecClient{
				{Username: "boss", Roles: []string{"asks"}}, {Username: "ops", Password: opsPassword, Roles: []string{"asks"}}, {Username: "sensor-1", Roles: []string{"one"}},
			},
		}.Plugin(),
	}
	o.Listeners = append([]harness.Listener{{}, {WebSockets: true}}, o.Listeners...)
	return harness.Start(t, v, o)
}

// The tool against the real plugin, by TCP and WebSocket, with a token and with a password.
func TestTheTool(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		b := steered(t, v, p, harness.Options{})
		boss := func(i int, args ...string) *harness.Process {
			return b.Ask(i, "--token-file", p.Token("boss", time.Hour), args...)
		}
		ops := func(i int, args ...string) *harness.Process {
			return b.Ask(i, "--password-file", opsPassword, append(args, "--admin", "ops")...)
		}
		token := p.Token("sensor-1", time.Hour)
		pump := harness.Connect(t, b.URL(0), harness.Paho5, login("pump", token)).Accepted()
		harness.Connect(t, b.URL(1), harness.Paho3, harness.Login{ClientID: "watcher", Username: new("ops"), Password: new(opsPassword)}).Accepted()
		harness.Connect(t, b.URL(0), harness.Paho5, login("late", p.Token("sensor-1", -time.Hour))).Refused()

		for i := range 2 {
			others := `^watcher +ops +127\.0\.0\.1 +password,admin `
			if !v.AtLeast(2, 1) {
				others = `^! not all may be here: `
			}
			asked(t, boss(i, "clients"), 0, `^pump +sensor-1 +127\.0\.0\.1 +token +\d+ m?s +60 min$`, others, `^go-jwt-auth-\w+ +boss +127\.0\.0\.1 +token,admin `)
			asked(t, ops(i, "clients", "--username", "sensor-1"), 0, `^pump `, `^1 client \(of \d\)$`)
			asked(t, boss(i, "client", "pump"), 0, `^  username +sensor-1$`, `^  login +token$`, `^  sub +sensor-1$`, `^  jti +\w+$`, `^  leaves .*, in 60 min$`, `^  protocol +mqtt, v5$`)
			asked(t, boss(i, "client", "nobody"), 1, `no such client`)
			asked(t, ops(i, "refusals"), 0, ` late +127\.0\.0\.1 .*expired: exp is `, `^1 refusal$`)
			asked(t, boss(i, "status"), 0, `^go_jwt_auth .*started `, `^  logins .* 1 refused`, `^✓ provider .*mode jwks, algorithm RS256`, `^    keys +1 key.*, read `,
				`^    revocation  .*http://127\.0\.0\.1:\d+/oauth/introspect, beforeConnect$`)
		}
		var list struct {
			TotalCount int
			Sessions   []struct {
				ClientID, Login string
				Token           struct{ Sub string }
			}
		}
		if err := json.Unmarshal([]byte(asked(t, boss(0, "clients", "--json", "--login", "token", "--username", "sensor-1"), 0)), &list); err != nil ||
			len(list.Sessions) != 1 || list.Sessions[0].Token.Sub != "sensor-1" || list.TotalCount < 2 {
			t.Errorf("%+v, %v", list, err)
		}

		asked(t, boss(0, "disconnect", "--sub", "sensor-1", "--block", "10m", "--reason", "test", "--yes"), 0, `^✓ 1 client disconnected, 1 blocked until `)
		if got := pump.WaitDisconnect(); !got.Packet || got.Code != 0x98 {
			t.Errorf("disconnected by %v", got)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("pump", token)).Refused()
		b.WaitLog(refused("pump", "blocked"))
		asked(t, boss(0, "refusals", "--reason", "blocked"), 0, ` pump `, `^1 refusal$`)
		asked(t, boss(0, "blocks"), 0, `^1 +– +sensor-1 .* boss +test$`, `^1 block$`)
		asked(t, boss(0, "unblock", "1"), 0)
		asked(t, boss(0, "unblock", "1"), 1, `no such block`)
		pump = harness.Connect(t, b.URL(0), harness.Paho5, login("pump", token)).Accepted()
		asked(t, boss(0, "disconnect", "--client-id", "nobody", "--yes"), 1, `0 clients disconnected`)
		asked(t, boss(0, "disconnect", "--client-id", "pump"), 2, `nobody can be asked`)
		if v.AtLeast(2, 1) {
			asked(t, boss(0, "disconnect", "--client-id", "watcher", "--yes"), 0, `^✓ 1 client disconnected$`)
		}
		if !pump.Connected() {
			t.Error("another client was disconnected")
		}
	})
}

// A watch tells of what happens, through a restart of the connection, until it is interrupted.
func TestTheToolWatches(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		b := steered(t, v, p, harness.Options{})
		token := p.Token("boss", time.Hour)
		clients := b.Ask(0, "--token-file", token, "clients", "--watch", "--every", "200ms")
		refusals := b.Ask(1, "--token-file", token, "refusals", "--watch", "--every", "200ms")
		own := clients.WaitLog(` present +go-jwt-auth-\w+, username boss`)
		pump := harness.Connect(t, b.URL(0), harness.Paho5, login("pump", p.Token("sensor-1", time.Hour))).Accepted()
		clients.WaitLog(` connected pump, username sensor-1, address 127\.0\.0\.1, login token, sub sensor-1, leaves at `)
		renewed(t, pump, p.Token("sensor-1", 2*time.Hour))
		clients.WaitLog(` changed +pump, `)
		harness.Connect(t, b.URL(0), harness.Paho5, login("late", p.Token("sensor-1", -time.Hour))).Refused()
		refusals.WaitLog(` late, address 127\.0\.0\.1, .*: expired: exp is `)
		// Its own connection is lost, and made again.
		id := regexp.MustCompile(`go-jwt-auth-\w+`).FindString(own)
		asked(t, b.Ask(0, "--token-file", token, "disconnect", "--client-id", id, "--yes"), 0)
		clients.WaitLog(` ended +` + id)
		pump.Disconnect()
		clients.WaitLog(` ended +pump`)
		for _, each := range []*harness.Process{clients, refusals} {
			each.Signal(syscall.SIGINT)
			if code := each.Wait(); code != 0 {
				t.Errorf("exit code %d: %s", code, each.Log())
			}
		}
	})
}

// By TLS, with a client certificate, by TCP and WebSocket.
func TestTheToolByTLS(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		pems, _ := madeCertificate(t)
		const secure = "cafile {dir}/all.pem\ncertfile {dir}/all.pem\nkeyfile {dir}/all.pem\nrequire_certificate true"
		b := steered(t, v, p, harness.Options{
			Files: map[string]string{"all.pem": pems}, Listeners: []harness.Listener{{Extra: secure}, {WebSockets: true, Extra: secure}},
		})
		dir := t.TempDir()
		pem, token := filepath.Join(dir, "all.pem"), filepath.Join(dir, "token")
		for name, content := range map[string]string{pem: pems, token: p.Token("boss", time.Hour)} {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for i, scheme := range map[int]string{2: "mqtts", 3: "wss"} {
			_, address, _ := strings.Cut(b.URL(i), "://")
			ask := func(args ...string) *harness.Process {
				return harness.Spawn(t, nil, append([]string{harness.Tool(t), "clients", "--token-file", token, "--url", scheme + "://" + address}, args...)...)
			}
			asked(t, ask("--ca-file", pem, "--cert-file", pem, "--key-file", pem), 0, ` boss +127\.0\.0\.1 +token,admin `)
			asked(t, ask(), 2, `certificate signed by unknown authority|is not trusted`)
			asked(t, ask("--ca-file", pem), 2, fmt.Sprint(scheme, `://`))
		}
	})
}

// What clients choose reaches the screen as text, of all brokers.
func TestTheToolShowsHostileNames(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := provider(t)
		b := steered(t, v, p, harness.Options{})
		for _, id := range []string{"\u202egnp", "a b  c", strings.Repeat("x", 65535), `\x1b[2J`, "表表"} {
			harness.Connect(t, b.URL(0), harness.Paho5, login(id, p.Token("sensor-1", time.Hour))).Accepted()
		}
		got := asked(t, b.Ask(0, "--password-file", opsPassword, "clients", "--admin", "ops"), 0,
			`^"\\u202egnp" `, `^"a b  c" `, `^"x{96}"… \(65535 bytes\) `, `^"\\\\x1b\[2J" `, `^"表表" `)
		if strings.ContainsAny(got, "\x1b\u202e") {
			t.Errorf("%q", got)
		}
	})
}
