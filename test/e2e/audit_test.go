package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// audited is the tutorial's jwt.json with an audit trail in the broker's folder.
func audited(changes object) object {
	c := object{"options.audit.filePath": "{dir}/audit.jsonl", "options.common.matchUsernameToSubject": true}
	maps.Copy(c, changes)
	return c
}

// trail reads a file of the audit trail, each line of which obeys the schema.
func trail(t *testing.T, b *harness.Broker, name string) (all []object) {
	t.Helper()
	text, err := os.ReadFile(b.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.NewCompiler().Compile("../../docs/audit.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("%q: %s", line, err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s%v", line, err)
		}
		var l object
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// awaitLine waits until the trail has a line with these members, and returns it.
func awaitLine(t *testing.T, b *harness.Broker, name string, want object) (found object) {
	t.Helper()
	has := func(l object) bool {
		for k, v := range want {
			if l[k] != v {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		lines := trail(t, b, name)
		if at := slices.IndexFunc(lines, has); at >= 0 {
			return lines[at]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line has %v:\n%v", want, lines)
		}
	}
}

func TestTheAuditTrailHasEachDecision(t *testing.T) {
	p := ownProvider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, audited(nil)))
		const name = "audit.jsonl"
		awaitLine(t, b, name, object{"event": "start", "result": "done", "file": b.Path("jwt.json")})

		good := p.Token("sensor-1", short)
		client := answered(t, b, harness.Paho5, login("c", good)).Accepted()
		in := awaitLine(t, b, name, object{
			"event": "login", "result": "accepted", "clientid": "c", "address": "127.0.0.1", "username": "sensor-1", "sub": "sensor-1",
		})
		if in["jti"] == nil || in["tookMs"] == nil {
			t.Errorf("%v", in)
		}
		answered(t, b, harness.Paho3, login("d", p.Token("sensor-1", -time.Minute))).Refused()
		awaitLine(t, b, name, object{"event": "login", "result": "refused", "clientid": "d", "username": "whoever", "reason": "expired"})
		harness.Connect(t, b.URL(0), harness.Paho3, login("e", "Bearer "+good)).Refused()
		awaitLine(t, b, name, object{"event": "login", "result": "deferred", "clientid": "e"})
		client.WaitDisconnect()
		awaitLine(t, b, name, object{"event": "disconnect", "result": "done", "clientid": "c", "username": "sensor-1", "sub": "sensor-1", "reason": "expired", "jti": in["jti"]})

		b.WriteFile("jwt.json", "{")
		b.Reload()
		awaitLine(t, b, name, object{"event": "reload", "result": "failed"})
		for _, l := range trail(t, b, name) {
			if l["clientid"] == "operator" {
				t.Errorf("a password is no decision of the plugin's: %v", l)
			}
		}
		if text, err := os.ReadFile(b.Path(name)); err != nil || bytes.Contains(text, []byte(good[len(good)-20:])) {
			t.Errorf("a token is in the trail, or %v", err)
		}
	})
}

var (
	rotatedFile = regexp.MustCompile(`(?m)^/\S+ \{`)
	otherUser   = regexp.MustCompile(`(?m)^\s*su .*\n`)
	hangsUp     = regexp.MustCompile(`kill -HUP .*`)
)

// What the packages give logrotate, for the broker of a test: docs/audit.md has it done for a whole machine.
func TestLogrotateLosesNoLine(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, audited(object{"options.revocation": nil})))
		packaged, err := os.ReadFile("../../debian/mosquitto-go-jwt-auth.logrotate")
		if err != nil {
			t.Fatal(err)
		}
		rules := rotatedFile.ReplaceAllString(string(packaged), b.Path("audit.jsonl")+" {")
		rules = hangsUp.ReplaceAllString(otherUser.ReplaceAllString(rules, ""), fmt.Sprintf("kill -HUP %d", b.PID()))
		if err := os.WriteFile(b.Path("rules"), []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		token := p.Token("sensor-1", time.Hour)
		for i := range 3 {
			id := fmt.Sprint("c", i)
			again(t, b, harness.V5, login(id, token))
			awaitLine(t, b, "audit.jsonl", object{"event": "login", "clientid": id})
			rotate := exec.CommandContext(t.Context(), "logrotate", "--force", "--state", b.Path("state"), b.Path("rules"))
			if out, err := rotate.CombinedOutput(); err != nil {
				t.Fatalf("logrotate: %s\n%s", err, out)
			}
			for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(b.Path("audit.jsonl")); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the file was not opened anew")
				}
			}
			awaitLine(t, b, "audit.jsonl", object{"event": "reload", "result": "done"})
		}
		awaitLine(t, b, "audit.jsonl.1", object{"event": "login", "clientid": "c2"})
		for name, id := range map[string]string{"audit.jsonl.2.gz": `"clientid":"c1"`, "audit.jsonl.3.gz": `"clientid":"c0"`} {
			unpacked, err := exec.CommandContext(t.Context(), "zcat", b.Path(name)).Output()
			if err != nil || !strings.Contains(string(unpacked), id) {
				t.Errorf("%s: %v\n%s", name, err, unpacked)
			}
		}
	})
}

// Two instances that name one file write whole lines to it.
func TestTwoListenersShareTheAuditTrail(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		file := config(t, p, audited(object{"options.revocation": nil, "options.lazyConnect": true}))
		b := harness.Start(t, v, harness.Options{
			PerListenerSettings: true,
			Listeners: []harness.Listener{
				{Plugins: []harness.Plugin{harness.JWT("one.json", file)}}, {Plugins: []harness.Plugin{harness.JWT("other.json", file)}},
			},
		})
		token := p.Token("sensor-1", time.Hour)
		for i := range 100 {
			got, err := harness.Knock(b.URL(i%2), harness.V5, login(fmt.Sprint("c", i), token))
			for ; err == nil && got.Closed; got, err = harness.Knock(b.URL(i%2), harness.V5, login(fmt.Sprint("c", i), token)) {
			}
			if err != nil || !got.Accepted() {
				t.Fatalf("client %d: %v, %v", i, got, err)
			}
		}
		awaitLine(t, b, "audit.jsonl", object{"clientid": "c99", "result": "accepted"})
		accepted := 0
		for _, l := range trail(t, b, "audit.jsonl") {
			if l["result"] == "accepted" {
				accepted++
			}
		}
		if accepted != 100 {
			t.Errorf("%d of 100 logins have a line", accepted)
		}
	})
}

// A disk that is full holds nobody up, and is said.
func TestAFullDiskHoldsNoLogin(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, audited(object{"options.revocation": nil, "options.audit.filePath": "/dev/full"})))
		answered(t, b, harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		b.WaitLog(`go_jwt_auth: the audit trail /dev/full can't be written, and lines are lost: .*no space left on device`)
	})
}

func TestLogLoginsIsANotice(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{"options.revocation": nil, "options.common.logLogins": true}))},
			Extra:   "log_type none\nlog_type notice\nlog_type information",
		})
		answered(t, b, harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		b.WaitLog(`go_jwt_auth: client "c" \[127\.0\.0\.1\] accepted as .* \(token jti "`)
	})
}

// All brokers of a machine share its syslog daemon, which this plays.
func TestTheAuditTrailGoesToSyslog(t *testing.T) {
	const socket = "/dev/log"
	if _, err := os.Lstat(socket); err == nil || os.Geteuid() != 0 {
		t.Skip("NOT TESTED: this machine has a syslog daemon, or this is not root")
	}
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(daemon.Close(), os.Remove(socket)); err != nil {
			t.Error(err)
		}
	})
	message := regexp.MustCompile(`^<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ go_jwt_auth \d+ login - (\{.*\})$`) // RFC 5424 §6
	p := provider(t)
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, object{"options.revocation": nil, "options.audit.syslog": true}))
		id := "syslog-" + v.Name
		answered(t, b, harness.Paho5, login(id, p.Token("sensor-1", time.Hour))).Accepted()
		space := make([]byte, 1<<16)
		if err := daemon.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := daemon.Read(space)
			if err != nil {
				t.Fatalf("no line about %s: %v", id, err)
			}
			var line object
			m := message.FindSubmatch(space[:n])
			if len(m) == 2 && json.Unmarshal(m[1], &line) == nil && line["clientid"] == id && line["result"] == "accepted" {
				return
			}
		}
	})
}
