package plugin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

// hostile is what strangers write into whatever is theirs: a line of the plugin's own, a terminal's commands, and a mark that
// reverses the text behind it.
const hostile = "x\ngo_jwt_auth: client \"forged\" [192.0.2.7] accepted\r\x1b[2J\u202e"

// TestNobodyForgesALine: fakeBroker fails the test for a line that is not fit for the log. Here each line has to show the
// text besides, since what is not logged needs no guard.
func TestNobodyForgesALine(t *testing.T) {
	const deny = `"matchUsernameToSubject":true,"matchClientIdToSubject":true,"onSubjectMismatch":"deny"`
	file := func(t *testing.T, h *env, jwtJSON string) {
		t.Helper()
		h.write(t, jwtJSON)
		h.Reload()
		h.broker.awaitLog(`was not reloaded`)
	}
	inJSON, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	quoted := string(inJSON)
	for _, c := range []struct {
		from  string
		speak func(*testing.T, *env)
	}{
		{"client id", func(_ *testing.T, h *env) { h.login(1, hostile, nil, h.token("alice", -time.Minute)) }},
		{"client id of one that is kicked", func(_ *testing.T, h *env) {
			h.write(t, local(``))
			h.Reload()
			h.broker.awaitLog(`reloaded`)
			h.login(1, hostile, nil, h.token("alice", time.Minute))
			h.pass(time.Hour)
		}},
		{"username", func(_ *testing.T, h *env) { h.login(1, "alice", text(hostile), h.token("alice", time.Minute)) }},
		{"address", func(_ *testing.T, h *env) { h.BasicAuth(broker.Connect{ClientID: "c", Address: hostile}) }},
		{"subject", func(_ *testing.T, h *env) { h.login(1, "c", nil, h.token(hostile, time.Minute)) }},
		{"reason of the broker", func(_ *testing.T, h *env) {
			h.broker.refuse = errors.New(hostile)
			h.write(t, local(`"matchUsernameToSubject":true`))
			h.Reload()
			h.broker.awaitLog(`reloaded`)
			h.login(1, "c", nil, h.token("alice", time.Minute))
		}},
		{"panic", func(_ *testing.T, h *env) {
			h.loop.Background(func() func() { panic(hostile) })
			h.broker.awaitLog(`fault in the background`)
		}},
		{"finding", func(_ *testing.T, h *env) {
			h.report(event.Warn(hostile))
			h.Tick()
		}},
		{"key of jwt.json", func(t *testing.T, h *env) { file(t, h, `{"mode":"local",`+quoted+`:1}`) }},
		{"value of jwt.json", func(t *testing.T, h *env) { file(t, h, `{"mode":`+quoted+`}`) }},
		{"rubbish in jwt.json", func(t *testing.T, h *env) { file(t, h, "{\"forged\":1 \x1b") }},
		{"file in jwt.json", func(t *testing.T, h *env) {
			file(t, h, `{"mode":"jwks","algorithm":"RS256","options":{"modes":{"jwks":{"filePath":"/nowhere/\u202e\u2028forged"}}}}`)
		}},
		{"caFile", func(t *testing.T, h *env) {
			file(t, h, `{"mode":"local","algorithm":"HS256","options":{"tls":{"caFile":"/nowhere/\u202e\u2028forged"},"modes":{"local":"`+secret+`"}}}`)
		}},
		{"issuer of jwt.json", func(t *testing.T, h *env) {
			h.write(t, local(`"issuer":`+quoted))
			h.Reload()
			h.broker.awaitLog(`reloaded`)
		}},
		{"claim of jwt.json", func(t *testing.T, h *env) {
			h.write(t, local(`"requiredClaims":{`+quoted+`:`+quoted+`}`))
			h.Reload()
			h.broker.awaitLog(`reloaded`)
			h.login(1, "c", nil, h.token("alice", time.Minute))
		}},
		{"name of jwt.json", func(t *testing.T, h *env) {
			name := filepath.Join(t.TempDir(), "\u202e\nforged")
			if err := os.WriteFile(name, []byte(`{}`), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := New(h.broker, Options{Settings: map[string]string{"config_file": name}}); err == nil {
				t.Error("it started")
			}
		}},
		{"option of mosquitto.conf", func(t *testing.T, h *env) {
			p, err := New(h.broker, Options{Settings: map[string]string{"config_file": h.file, hostile: "x"}})
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
		}},
		{"body and headers of the provider", func(t *testing.T, h *env) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/\u202eforged")
				w.Header().Set("Location", "https://idp.test/\u202eforged")
				w.WriteHeader(http.StatusFound)
				_, _ = io.WriteString(w, hostile)
			}))
			t.Cleanup(server.Close)
			file(t, h, `{"mode":"jwks","algorithm":"RS256","options":{"modes":{"jwks":{"uri":"`+server.URL+`"}}}}`)
		}},
	} {
		t.Run(c.from, func(t *testing.T) {
			h := open(t, local(deny))
			before := len(h.broker.log)
			c.speak(t, h)
			for _, line := range h.broker.log[before:] {
				if strings.Contains(line, "forged") && !strings.Contains(line, `go_jwt_auth: `) {
					t.Error(line)
				}
			}
			if c.from != "rubbish in jwt.json" && !strings.Contains(strings.Join(h.broker.log[before:], "\n"), "forged") {
				t.Errorf("it is not shown in\n%s", strings.Join(h.broker.log[before:], "\n"))
			}
		})
	}
}

func TestATokenIsNotShownInAnyField(t *testing.T) {
	const deny = `"matchUsernameToSubject":true,"matchClientIdToSubject":true,"onSubjectMismatch":"deny"`
	for _, common := range []string{``, deny, `"onNonToken":"deny"`, `"matchUsernameToSubject":true,"tokenSource":["username","password"]`} {
		h := open(t, local(common))
		for _, token := range []*string{h.token("alice", time.Minute), h.token("alice", -time.Minute)} {
			h.BasicAuth(broker.Connect{Conn: 1, ClientID: *token, Username: token, Password: token, Address: *token})
			h.BasicAuth(broker.Connect{Conn: 2, ClientID: "device-" + *token, Username: token, Password: text("x"), Address: "a " + *token})
			h.broker.connect(*token, 1)
			h.pass(time.Minute)
			for part := range strings.SplitSeq(*token, ".") {
				if log := strings.Join(h.broker.log, "\n"); strings.Contains(log, part) {
					t.Errorf("%s: a part of the token stands in\n%s", common, log)
				}
			}
			if !h.logged("client (a token) [(a token)] ") || !h.logged(`client "device-(a token)" ["a (a token)"] `) {
				t.Errorf("%s: the clients are not named:\n%s", common, strings.Join(h.broker.log, "\n"))
			}
		}
	}
}

func TestAnOpaqueTokenIsNotShownInAnyField(t *testing.T) {
	for _, v20 := range []bool{false, true} {
		for _, answer := range []string{`{"active":false}`, `{"active":true,"sub":"alice","exp":1795446030,"jti":"opaque-8f14e45f"}`} {
			opaque := "opaque-8f14e45f"
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
			t.Cleanup(server.Close)
			h := open(t, `{"mode":"introspection","options":{"common":{"matchUsernameToSubject":true,"tokenSource":["username","password"]},
				"revocation":{"introspection":{"uri":"`+server.URL+`"},"cache":{"ttlMs":60000,"negativeTtlMs":60000}}}}`, func(b *fakeBroker) { b.v20 = v20 })
			login := broker.Connect{Conn: 1, ClientID: opaque, Username: &opaque, Address: "192.0.2.7"}
			kind := verdict.Retry
			for deadline := time.Now().Add(30 * time.Second); kind == verdict.Retry && time.Now().Before(deadline); {
				kind = h.BasicAuth(login).Kind
			}
			h.broker.connect(opaque, 1)
			h.Reload()
			login.Username = text(h.broker.names[1])
			if kind == verdict.Accept {
				h.BasicAuth(login)
			}
			h.broker.awaitLog(`reloaded`)
			h.pass(time.Minute)
			log := strings.Join(h.broker.log, "\n")
			if strings.Contains(log, opaque) || !strings.Contains(log, "client (a token) [192.0.2.7]") {
				t.Errorf("2.0 %t, %s:\n%s", v20, answer, log)
			}
		}
	}
}
