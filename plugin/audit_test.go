package plugin

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/verdict"
)

// line is one of the audit trail.
type line map[string]any

// String is the line without what no test knows beforehand.
func (l line) String() string {
	var parts []string
	for _, name := range []string{"event", "result", "clientid", "address", "username", "provider", "sub", "jti", "reason", "unchecked"} {
		if v, there := l[name]; there {
			parts = append(parts, fmt.Sprintf("%s=%v", name, v))
		}
	}
	return strings.Join(parts, " ")
}

// trailOf closes the plugin and reads what it has written.
func trailOf(t *testing.T, p *Plugin, name string) (all []line) {
	t.Helper()
	p.Close()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for each := range strings.Lines(string(text)) {
		var l line
		if err := json.Unmarshal([]byte(each), &l); err != nil {
			t.Fatalf("%q: %s", each, err)
		}
		all = append(all, l)
	}
	return all
}

// audited is a file with an audit trail.
func audited(file, name string) string {
	return strings.Replace(file, `"options":{`, fmt.Sprintf(`"options":{"audit":{"filePath":%q},`, name), 1)
}

func TestWhatIsDecidedIsInTheAuditTrail(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	file := audited(local(`"matchUsernameToSubject":true`), name)
	h := open(t, file)
	h.login(1, "c", text("whoever"), h.token("alice", time.Minute))
	h.login(2, "d", text("mallory"), h.token("alice", -time.Minute))
	h.login(3, "e", text("x"), text("Bearer "+*h.token("alice", time.Minute)))
	h.login(4, "f", text("operator"), text("12345")) // is no decision of this plugin
	h.pass(time.Minute)
	h.write(t, "{")
	h.Reload()
	h.broker.awaitLog("was not reloaded")
	h.write(t, file)
	h.Reload()
	h.broker.awaitLog("version .* reloaded")

	lines := trailOf(t, h.Plugin, name)
	var got []string
	for _, l := range lines {
		got = append(got, l.String())
	}
	if want := []string{
		"event=start result=done",
		"event=login result=accepted clientid=c address=192.0.2.7 username=alice sub=alice jti=alice's",
		"event=login result=refused clientid=d address=192.0.2.7 username=mallory reason=expired",
		"event=login result=deferred clientid=e address=192.0.2.7 username=x",
		"event=disconnect result=done clientid=c username=alice sub=alice jti=alice's reason=expired",
		"event=reload result=failed",
		"event=reload result=done",
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if at := lines[4]["time"]; at != opening.Add(time.Minute).Format(time.RFC3339) {
		t.Errorf("disconnected at %v", at)
	}
	if lines[2]["sha256"] == nil || lines[0]["file"] != h.file || lines[5]["detail"] == "" {
		t.Errorf("%v", lines)
	}
}

// A login that waits for its verdict has one line, with the time from CONNECT on.
func TestAPendingLoginIsAuditedOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, audited(d.file(`"matchUsernameToSubject":true`, `"timeoutMs":60000`), name))
	if got := h.login(1, "c", text("x"), token); got != verdict.Pending {
		t.Fatalf("got %s", got)
	}
	h.advance(time.Second)
	d.says(token, inactive)
	h.completes(t, "c false")
	lines := trailOf(t, h.Plugin, name)
	if len(lines) != 2 || lines[1].String() != "event=login result=refused clientid=c address=192.0.2.7 username=alice sub=alice jti=alice's reason=revoked" || lines[1]["tookMs"] != 1000. {
		t.Errorf("%v", lines)
	}
}

func TestAProviderThatGoesIsInTheAuditTrail(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	var tokens []*string
	for i := range 6 {
		tokens = append(tokens, mint(fmt.Sprint("c", i), time.Minute))
	}
	d := newGate(t, tokens...)
	h := open(t, audited(d.file("", `"timeoutMs":60000`), name))
	var want []string
	for i, token := range tokens[:5] {
		id := fmt.Sprint("c", i)
		h.login(broker.Conn(i+1), id, nil, token)
		d.says(token, broken)
		want = append(want, id+" false")
		h.completes(t, want...)
	}
	h.broker.awaitLog("It is left alone")
	lines := trailOf(t, h.Plugin, name)
	isDown := func(l line) bool {
		return l.String() == "event=provider result=down" && strings.Contains(fmt.Sprint(l["detail"]), "introspection endpoint: 5 requests in a row")
	}
	if !slices.ContainsFunc(lines, isDown) {
		t.Errorf("%v", lines)
	}
}

// Nothing secret gets into the trail, wherever it was sent.
func TestNoTokenIsInTheAuditTrail(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	h := open(t, audited(local(`"tokenSource":["username","password"],"matchUsernameToSubject":true`), name))
	good, bad := h.token("alice", time.Minute), h.token("alice", -time.Minute)
	h.login(1, *good, good, nil)
	h.login(2, "x-"+*bad, bad, bad)
	h.BasicAuth(broker.Connect{Conn: 3, ClientID: "c", Username: text("hunter2"), Password: good, Address: *good})
	h.pass(time.Minute)
	trailOf(t, h.Plugin, name)
	written, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []*string{good, bad} {
		for part := range strings.SplitSeq(*token, ".") {
			if len(part) > 20 && strings.Contains(string(written), part[:20]) {
				t.Errorf("a part of a token is in\n%s", written)
			}
		}
	}
	// With tokens as usernames, a username that nothing is known of may be one.
	if strings.Contains(string(written), "hunter2") || strings.Count(string(written), "\n") != 5 {
		t.Errorf("%s", written)
	}
}

func TestAnAuditTrailThatCantBeOpenedKeepsTheBrokerFromStarting(t *testing.T) {
	dir := t.TempDir()
	h := open(t, local(``))
	h.write(t, audited(local(``), dir))
	h.Reload()
	h.broker.awaitLog(`error .*\$\.options\.audit: the audit trail can't be opened: open .*: is a directory`)
	h.broker.awaitLog("was not reloaded")

	b := &fakeBroker{t: t, woken: make(chan struct{}, 1)}
	if _, err := New(b, Options{Settings: map[string]string{"config_file": h.file}}); err == nil {
		t.Error("it started")
	}
}

func TestLoginsAreLoggedWhereAsked(t *testing.T) {
	for common, level := range map[string]string{`"matchUsernameToSubject":true`: "debug", `"matchUsernameToSubject":true,"logLogins":true`: "notice"} {
		h := open(t, local(common))
		h.login(1, "c", nil, h.token("alice", time.Minute))
		h.broker.awaitLog(level + ` go_jwt_auth: client "c" \[192.0.2.7\] accepted as "alice" \(token jti "alice's"\)`)
	}
}
