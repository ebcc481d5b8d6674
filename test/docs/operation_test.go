package docs

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sameAsDropIn holds a block to the drop-in that the packages install, without its comments.
func sameAsDropIn(t *testing.T, b block) {
	t.Helper()
	dropIn := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(read(t, "packaging/go-jwt-auth.conf")), "")
	if b.text != dropIn {
		t.Errorf("the packages install\n%s\nand the document shows\n%s", dropIn, b.text)
	}
}

// runsAsFunction runs a block as the body of a function of Node-RED, which gets a token endpoint's answer.
func runsAsFunction(t *testing.T, b block) {
	t.Helper()
	const call = `const msg = new Function("msg", process.argv[1])({payload: {access_token: "a.b.c"}});
		console.log(JSON.stringify([msg.action, msg.broker, msg.topic, msg.payload.commands, msg.qos]))`
	out, err := exec.CommandContext(t.Context(), "node", "-e", call, b.text).CombinedOutput()
	connects := `["connect",{"username":"any","password":"a.b.c","force":true},null,null,null]`
	renews := `[null,null,"$CONTROL/jwt-auth/v1",[{"command":"renewToken","token":"a.b.c"}],1]`
	if got := strings.TrimSpace(string(out)); err != nil || got != connects && got != renews {
		t.Errorf("%v\n%s\nwant %s\nor %s", err, out, connects, renews)
	}
}

// The drop-in has no key that systemd does not know, in a section where it knows it.
func TestDropIn(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("NOT TESTED: systemd-analyze is not here")
	}
	units := t.TempDir()
	folder := filepath.Join(units, "mosquitto.service.d")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		filepath.Join(units, "mosquitto.service"): "[Service]\nType=notify\nExecStart=/bin/true\n",
		filepath.Join(folder, "go-jwt-auth.conf"): string(read(t, "packaging/go-jwt-auth.conf")),
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), analyze, "verify", "mosquitto.service")
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+units+":")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "go-jwt-auth.conf") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The way to the provider goes by the proxy that the environment names. The tool has the plugin's own code for it, and Go
// reads these variables once a process.
func TestProxy(t *testing.T) {
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.Host:
		default: // one is enough to know
		}
		_, _ = w.Write([]byte(keySet(t)))
	}))
	defer proxy.Close()
	const file = `{"algorithm": "RS256", "mode": "jwks", "options": {"modes": {"jwks": {"uri": "http://id.example.com/keys"}}}}`
	folder := t.TempDir()
	name := filepath.Join(folder, "jwt.json")
	if err := os.WriteFile(name, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	probe := func(environment ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(root(t), "build", "go-jwt-auth"), "probe", "--config", name, "--env", "HTTP_PROXY", "--env", "NO_PROXY")
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HTTP_PROXY=" + proxy.URL}, environment...)
		return cmd.CombinedOutput()
	}
	if out, err := probe(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if len(asked) == 0 {
		t.Fatal("the proxy was not asked")
	}
	if host := <-asked; host != "id.example.com" {
		t.Errorf("the proxy was asked for %s", host)
	}
	for len(asked) > 0 {
		<-asked
	}
	if out, err := probe("NO_PROXY=id.example.com"); err == nil || len(asked) > 0 {
		t.Errorf("the proxy was asked in spite of NO_PROXY: %v\n%s", err, out)
	}
}
