package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// page reads one by HTTP; status 0: nobody is there.
func page(t *testing.T, address string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: harness.Patience}
	response, err := client.Get("http://" + address)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// awaitPage reads one until it has this.
func awaitPage(t *testing.T, address string, status int, pattern string) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		got, body := page(t, address)
		if got == status && matches(body, pattern) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, want %d and %s in\n%s", address, got, status, pattern, body)
		}
	}
}

// work makes a broker have something to show in each family: logins of each kind, a kick, reloads.
func work(t *testing.T, b *harness.Broker, good, expiring, expired string) {
	t.Helper()
	answered(t, b, harness.Paho5, login("c", good)).Accepted()
	answered(t, b, harness.Paho5, login("d", expired)).Refused()
	answered(t, b, harness.Paho5, login("e", expiring)).Accepted().WaitDisconnect()
	harness.Connect(t, b.URL(0), harness.Paho3, harness.Login{ClientID: "o", Username: new("operator"), Password: new("operator's password")}).Accepted()
}

func TestMetricsSayWhatHappens(t *testing.T) {
	p := ownProvider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		listen := harness.FreeAddress(t)
		b := start(t, v, config(t, p, object{"options.metrics.listen": listen}))
		awaitPage(t, listen+"/readyz", http.StatusOK, `^ok\n$`)
		awaitPage(t, listen+"/healthz", http.StatusOK, `^ok\n$`)
		work(t, b, p.Token("sensor-1", time.Hour), p.Token("sensor-1", short), p.Token("sensor-1", -time.Minute))
		for _, line := range []string{
			`jwt_auth_logins_total\{method="password",result="accepted"\} 2`, `jwt_auth_logins_total\{method="password",result="refused",reason="expired"\} 1`, `jwt_auth_logins_total\{method="password",result="deferred"\} 1`,
			`jwt_auth_disconnects_total\{result="done",reason="expired"\} 1`, `jwt_auth_sessions 1`, `jwt_auth_introspections_total\{result="active"\} 2`,
			`jwt_auth_keys 1`, `jwt_auth_broker_thread_duration_seconds_count\{method="tick"\} [1-9][0-9]*`,
		} {
			awaitPage(t, listen+"/metrics", http.StatusOK, `(?m)^`+line+`$`)
		}
		// promtool knows what Prometheus would rather not see.
		_, body := page(t, listen+"/metrics")
		check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		check.Stdin = strings.NewReader(body)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool: %v\n%s", err, out)
		}
		readsBoth(t, body, pageAs(t, listen+"/metrics", "application/openmetrics-text; version=1.0.0"))
	})
}

// bothFormats reads the two formats by the parsers of Prometheus' library for Python, of which that of OpenMetrics is the reference, and
// which refuse what is not as it should be. Both must hold the same.
const bothFormats = `
import json, sys
from prometheus_client import openmetrics, parser
import prometheus_client.openmetrics.parser
texts = json.load(sys.stdin)
def series(families):
    return {(f.name, f.type, f.documentation, s.name, tuple(sorted((k, float(v) if k == "le" else v) for k, v in s.labels.items())))
            for f in families for s in f.samples}
text, open_metrics = (series(read(each)) for read, each in zip((parser.text_string_to_metric_families, openmetrics.parser.text_string_to_metric_families), texts))
if text != open_metrics or len(text) < 100:
    sys.exit("only in one: %s; in all %d" % (sorted(text ^ open_metrics), len(text)))
`

func readsBoth(t *testing.T, text, openMetrics string) {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	both, err := json.Marshal([]string{text, openMetrics})
	if err != nil {
		t.Fatal(err)
	}
	read := exec.CommandContext(t.Context(), filepath.Join(root, "build/paho-python/bin/python"), "-c", bothFormats)
	read.Stdin = bytes.NewReader(both)
	if out, err := read.CombinedOutput(); err != nil {
		t.Errorf("prometheus_client: %v\n%s\nof\n%s", err, out, openMetrics)
	}
}

// pageAs reads a page in the format that is asked for.
func pageAs(t *testing.T, address, accept string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if got, _, _ := strings.Cut(response.Header.Get("Content-Type"), "; charset"); got != accept {
		t.Errorf("Content-Type: %s", got)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// How clients came and renewed, and what admins have done, can be told apart.
func TestMetricsTellMethodsAndCommandsApart(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		listen := harness.FreeAddress(t)
		b := operated(t, v, config(t, p, object{"options.metrics.listen": listen, "options.revocation": nil}))
		c := harness.Connect(t, b.URL(0), harness.Paho5, byToken("c", p.Token("chief", time.Hour))).Accepted()
		reauthenticate(t, c, p.Token("chief", 2*time.Hour))
		for range renewalsInARow {
			renewed(t, c, p.Token("chief", time.Hour))
		}
		for range 3 * renewalsInARow {
			notRenewed(t, c, p.Token("chief", time.Hour))
		}
		tells[sessionPage](t, c, object{"command": "listSessions"})
		has(t, c, object{"command": "removeBlock", "id": 7})
		for _, line := range []string{
			`jwt_auth_logins_total\{method="auth",result="accepted"\} 1`, `jwt_auth_renewals_total\{method="auth",result="accepted"\} 1`,
			`jwt_auth_renewals_total\{method="control",result="accepted"\} 5`, `jwt_auth_renewals_total\{method="control",result="refused",reason="server busy"\} 15`,
			`jwt_auth_commands_total\{command="listSessions",result="done"\} 1`, `jwt_auth_commands_total\{command="removeBlock",result="refused"\} 1`,
		} {
			awaitPage(t, listen+"/metrics", http.StatusOK, `(?m)^`+line+`$`)
		}
	})
}

// renewalsInARow are those that a client may ask for by $CONTROL without pause.
const renewalsInARow = 5

// A loop that hangs is seen by a process that goes on.
func TestHealthSeesABrokerThatHangs(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		listen := harness.FreeAddress(t)
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{
			harness.JWT("jwt.json", config(t, p, object{"options.metrics.listen": listen, "options.revocation": nil})),
			{Path: witness(t, "hang")},
		}})
		awaitPage(t, listen+"/healthz", http.StatusOK, `^ok\n$`)
		b.Signal(syscall.SIGHUP) // on which the witness hangs for longer than the limit
		awaitPage(t, listen+"/healthz", http.StatusServiceUnavailable, `the broker's loop has not turned for`)
		awaitPage(t, listen+"/healthz", http.StatusOK, `^ok\n$`)
	})
}

// 2.0.11 with per_listener_settings gives no Ticks: that is no fault of its health, and instances share the address.
func TestTwoListenersShareTheMetrics(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		listen := harness.FreeAddress(t)
		file := config(t, p, object{"options.revocation": nil, "options.metrics.listen": listen})
		b := harness.Start(t, v, harness.Options{
			PerListenerSettings: true,
			Listeners: []harness.Listener{
				{Plugins: []harness.Plugin{harness.JWT("one.json", file)}}, {Plugins: []harness.Plugin{harness.JWT("other.json", file)}},
			},
		})
		token := p.Token("sensor-1", time.Hour)
		for i := range 2 {
			harness.Connect(t, b.URL(i), harness.Paho5, login(fmt.Sprint("c", i), token)).Accepted()
		}
		awaitPage(t, listen+"/metrics", http.StatusOK, `(?m)^jwt_auth_logins_total\{method="password",result="accepted"\} 2$`)
		awaitPage(t, listen+"/metrics", http.StatusOK, `(?m)^jwt_auth_sessions 2$`)
		health := `^ok\n$`
		if v.Name == "2.0.11" {
			health = `^ticks unknown\n$`
		}
		awaitPage(t, listen+"/healthz", http.StatusOK, health)
	})
}

func TestSIGHUPMovesTheMetrics(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		one, other := harness.FreeAddress(t), harness.FreeAddress(t)
		b := start(t, v, config(t, p, object{"options.revocation": nil, "options.metrics.listen": one}))
		for _, next := range []string{other, one} {
			b.WriteFile("jwt.json", config(t, p, object{"options.revocation": nil, "options.metrics.listen": next}))
			b.Reload()
			awaitPage(t, next+"/readyz", http.StatusOK, `^ok\n$`)
		}
		b.WriteFile("jwt.json", config(t, p, object{"options.revocation": nil}))
		b.Reload()
		awaitPage(t, one+"/readyz", 0, `connection refused`)
		if status, _ := page(t, other+"/readyz"); status != 0 {
			t.Error("the other address is still served")
		}
	})
}

// query is one of the dashboard or the rules.
type query struct{ from, expr string }

var (
	variable = regexp.MustCompile(`\$__rate_interval|\$instance`)
	compared = regexp.MustCompile(` (?:==|>|<) [0-9.]+$`)
)

// queries are those of examples/monitoring. An alert's has no result as long as all is well: what it compares has.
func queries(t *testing.T, folder string) (all []query) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "dashboard.json"))
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			expr := variable.ReplaceAllStringFunc(target.Expr, func(name string) string { return map[string]string{"$__rate_interval": "1m", "$instance": ".*"}[name] })
			all = append(all, query{p.Title, expr})
		}
	}
	rules, err := os.ReadFile(filepath.Join(folder, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)alert: (\w+)\n\s+expr: '(.*)'$`).FindAllStringSubmatch(string(rules), -1) {
		if !compared.MatchString(m[2]) {
			t.Errorf("%s compares nothing", m[1])
		}
		all = append(all, query{m[1], compared.ReplaceAllString(m[2], "")})
	}
	if len(all) < 30 {
		t.Fatalf("only %d queries were found", len(all))
	}
	return all
}

// Debian's Prometheus reads a broker's metrics, by the configuration that is shown, and answers each query of dashboard and rules.
func TestPrometheusHasAnAnswerToEachQuery(t *testing.T) {
	const folder = "../../examples/monitoring"
	if out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", "--lint=all", "--lint-fatal", folder+"/rules.yml").CombinedOutput(); err != nil {
		t.Fatalf("promtool: %s\n%s", err, out)
	}
	p := ownProvider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		listen, at := harness.FreeAddress(t), harness.FreeAddress(t)
		b := start(t, v, config(t, p, object{"options.metrics.listen": listen}))
		dir := t.TempDir()
		shown, err := os.ReadFile(folder + "/prometheus.yml")
		if err != nil {
			t.Fatal(err)
		}
		rules, err := filepath.Abs(folder + "/rules.yml")
		if err != nil {
			t.Fatal(err)
		}
		quick := strings.NewReplacer("15s", "200ms", "127.0.0.1:9641", listen, "rules.yml", rules).Replace(string(shown))
		if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(quick), 0o600); err != nil {
			t.Fatal(err)
		}
		prometheus := harness.Spawn(t, nil, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
			"--web.listen-address="+at, "--log.level=warn")
		awaitPage(t, at+"/-/ready", http.StatusOK, "")
		// Rates are known of what happens between two scrapes.
		awaitPage(t, at+"/api/v1/query?query=jwt_auth_sessions", http.StatusOK, `"value":\[[0-9.]+,"0"`)
		work(t, b, p.Token("sensor-1", time.Hour), p.Token("sensor-1", short), p.Token("sensor-1", -time.Minute))
		for _, q := range queries(t, folder) {
			awaitPage(t, at+"/api/v1/query?query="+url.QueryEscape(q.expr), http.StatusOK, `"result":\[\{.*"value":\[[0-9.]+,"[-+0-9.e]+"`)
		}
		awaitPage(t, at+"/api/v1/targets", http.StatusOK, `"lastError":"","lastScrape"`)
		awaitPage(t, at+"/api/v1/rules", http.StatusOK, `"name":"JWTNoKeys".*"health":"ok"`)
		prometheus.Stop()
	})
}
