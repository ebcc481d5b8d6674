package metrics

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// env is a server with a Meter, and a clock that stands still unless it is moved.
type env struct {
	servers Servers
	listen  string
	passed  atomic.Int64
	*Meter
}

var noon = time.Date(2026, 11, 29, 12, 0, 0, 500_000_000, time.UTC)

func (e *env) clock() time.Time { return noon.Add(time.Duration(e.passed.Load())) }

func open(t *testing.T) *env {
	t.Helper()
	e := &env{listen: testport.Free(t)}
	e.Meter = e.another(t)
	return e
}

func (e *env) another(t *testing.T) *Meter {
	t.Helper()
	m, err := e.servers.Open(e.listen, "1.2.3", e.clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.servers.Close(m) })
	return m
}

// get returns status and body.
func (e *env) get(t *testing.T, path, accept string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.listen+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func (e *env) has(t *testing.T, lines ...string) {
	t.Helper()
	_, body := e.get(t, "/metrics", "")
	for _, line := range lines {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line\n%s\nin\n%s", line, body)
		}
	}
}

// local is a provider of mode local.
func local(t *testing.T, name string) *provider.Provider {
	t.Helper()
	file := fmt.Sprintf(`{"providers":[{"name":%q,"algorithm":"HS256","mode":"local","options":{"modes":{"local":"0123456789abcdef0123456789abcdef"},
		"revocation":{"introspection":{"uri":"http://127.0.0.1:1/"}}}}]}`, name)
	cfg, problems := config.Parse([]byte(file), "/jwt.json")
	if cfg == nil {
		t.Fatal(problems)
	}
	p, err := provider.New(cfg.Providers[0], provider.Options{Now: time.Now, Report: func(event.Note) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// remote is a provider whose keys were never read.
func remote(t *testing.T) *provider.Provider {
	t.Helper()
	cfg, problems := config.Parse([]byte(`{"algorithm":"RS256","mode":"jwks","options":{"lazyConnect":true,"modes":{"jwks":{"uri":"http://127.0.0.1:1/"}}}}`), "/jwt.json")
	if cfg == nil {
		t.Fatal(problems)
	}
	p, err := provider.New(cfg.Providers[0], provider.Options{Now: time.Now, Report: func(event.Note) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestWhatIsCounted(t *testing.T) {
	e := open(t)
	e.Event(&event.Event{Provider: "a", Method: event.ByPassword, Verdict: verdict.Verdict{Kind: verdict.Accept}, Took: 300 * time.Microsecond})
	e.Event(&event.Event{Provider: "a", Method: event.ByPassword, Verdict: verdict.Verdict{Kind: verdict.Accept}, Took: 2 * time.Second})
	e.Event(&event.Event{Method: event.ByAuth, Verdict: verdict.Refuse(verdict.BadSignature, "x")})
	e.Event(&event.Event{Method: event.ByPassword, Verdict: verdict.Verdict{Kind: verdict.Defer}})
	e.Event(&event.Event{Verdict: verdict.Verdict{Kind: verdict.Pending}})
	e.Event(&event.Event{Kind: event.Reaffirmed})
	e.Event(&event.Event{Kind: event.Disconnected, Provider: "a", Why: "expired: its time ended"})
	e.Event(&event.Event{Kind: event.Renewed, Provider: "a", Method: event.ByAuth, Verdict: verdict.Verdict{Kind: verdict.Accept}})
	e.Event(&event.Event{Kind: event.RenewalRefused, Provider: "a", Method: event.ByControl, Verdict: verdict.Refuse(verdict.IdentityMismatch, "x")})
	e.Request(event.Request{Provider: "a", For: event.Keys, Result: event.Failed, Took: time.Second})
	e.Request(event.Request{Provider: "a", For: event.Introspection, Result: event.Active, Took: 20 * time.Millisecond})
	e.Request(event.Request{Provider: "b", For: event.Introspection, Result: event.Failed})
	e.Request(event.Request{Provider: "a", For: event.Lookup, Result: event.Hit})
	e.Reloaded(false, event.Done)
	e.Reloaded(true, event.Failed)
	e.Checked(verdict.Accept, 2)
	e.Checked(verdict.Deny, 1)
	e.Checked(verdict.Defer, 1)
	e.Spent(BasicAuth, 20*time.Microsecond)
	e.Command("listSessions", event.Done)
	e.Command("listClients", event.Refused)
	e.Command("dropTables", event.Refused)
	e.Sessions("a[x]", 2)
	e.Sessions("a[y]", 1) // of the same name, with other issuers, from before a reload
	e.Sessions("b[x]", 1)
	e.Sessions("b[x]", 0)
	e.There(2, 1)
	e.InForce(nil, func() uint64 { return 7 })
	e.has(
		t, "# TYPE jwt_auth_logins_total counter",
		`jwt_auth_logins_total{provider="a",method="password",result="accepted"} 2`, `jwt_auth_logins_total{method="auth",result="refused",reason="bad signature"} 1`, `jwt_auth_logins_total{method="password",result="deferred"} 1`,
		"# TYPE jwt_auth_verdict_duration_seconds histogram",
		`jwt_auth_verdict_duration_seconds_bucket{provider="a",le="0.00025"} 0`, `jwt_auth_verdict_duration_seconds_bucket{provider="a",le="0.0005"} 1`,
		`jwt_auth_verdict_duration_seconds_bucket{provider="a",le="+Inf"} 2`, `jwt_auth_verdict_duration_seconds_sum{provider="a"} 2.0003`, `jwt_auth_verdict_duration_seconds_count{provider="a"} 2`,
		`jwt_auth_renewals_total{provider="a",method="auth",result="accepted"} 1`, `jwt_auth_renewals_total{provider="a",method="control",result="refused",reason="identity mismatch"} 1`,
		`jwt_auth_disconnects_total{provider="a",result="done",reason="expired"} 1`,
		`jwt_auth_key_fetches_total{provider="a",result="failed"} 1`, `jwt_auth_key_fetch_duration_seconds_bucket{provider="a",le="1"} 1`,
		`jwt_auth_introspections_total{provider="a",result="active"} 1`, `jwt_auth_introspections_total{provider="b",result="failed"} 1`,
		`jwt_auth_introspection_last_success_timestamp_seconds{provider="a"} 1.7959536005e+09`,
		`jwt_auth_answer_lookups_total{provider="a",result="hit"} 1`,
		`jwt_auth_rights_checks_total{result="accepted"} 2`, `jwt_auth_rights_checks_total{result="refused"} 1`, `jwt_auth_rights_checks_total{result="deferred"} 1`,
		`jwt_auth_reloads_total{result="done"} 0`, `jwt_auth_reloads_total{result="failed"} 1`, `jwt_auth_reload_last_success_timestamp_seconds 1.7959536005e+09`,
		`jwt_auth_broker_thread_duration_seconds_bucket{method="basic_auth",le="2.5e-05"} 1`,
		`jwt_auth_commands_total{command="listSessions",result="done"} 1`, `jwt_auth_commands_total{command="listClients",result="refused"} 1`,
		`jwt_auth_commands_total{command="other",result="refused"} 1`,
		`jwt_auth_sessions{provider="a"} 3`, "jwt_auth_pending_logins 2", "jwt_auth_rechecks 1", "jwt_auth_audit_lines_lost_total 7",
	)
	if _, body := e.get(t, "/metrics", ""); strings.Contains(body, `_last_success_timestamp_seconds{provider="b"}`) {
		t.Error("a failure is a success")
	}
}

// The answer obeys the format that is asked for: each family in one piece behind its head, and no series twice.
func TestFormats(t *testing.T) {
	e := open(t)
	e.InForce([]*provider.Provider{local(t, "a"), local(t, "b")}, func() uint64 { return 0 })
	e.Event(&event.Event{Provider: "a", Verdict: verdict.Refuse(verdict.Expired, "x")})
	sample := regexp.MustCompile(`^([a-z_]+)(\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\})? (?:[-+0-9.e]+|\+Inf)$`)
	for _, c := range []struct{ accept, kind, end string }{
		{"text/plain", "text/plain; version=0.0.4; charset=utf-8", ""},
		{"application/openmetrics-text; version=1.0.0,text/plain;q=0.5", "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"},
	} {
		response, body := e.get(t, "/metrics", c.accept)
		if got := response.Header.Get("Content-Type"); got != c.kind {
			t.Errorf("content type %q, want %q", got, c.kind)
		}
		if !strings.HasSuffix(body, "\n"+c.end) {
			t.Errorf("it ends in %q", body[len(body)-20:])
		}
		seen, families, family, kind := map[string]bool{}, map[string]bool{}, "", ""
		for line := range strings.Lines(strings.TrimSuffix(body, c.end)) {
			line = strings.TrimSuffix(line, "\n")
			if about, is := strings.CutPrefix(line, "# TYPE "); is {
				family, kind, _ = strings.Cut(about, " ")
				if families[family] {
					t.Errorf("%s has two heads", family)
				}
				families[family] = true
				continue
			}
			if strings.HasPrefix(line, "# HELP ") {
				continue
			}
			m := sample.FindStringSubmatch(line)
			if len(m) != 3 || seen[m[1]+m[2]] {
				t.Fatalf("not a sample, or there twice: %q", line)
			}
			seen[m[1]+m[2]] = true
			suffix := strings.TrimPrefix(m[1], family)
			allowed := map[string][]string{"gauge": {""}, "histogram": {"_bucket", "_sum", "_count"}, "counter": {""}}[kind]
			if c.end != "" && kind == "counter" {
				allowed = []string{"_total"}
			}
			if !slices.Contains(allowed, suffix) {
				t.Errorf("%s is in the family of %s (%s)", m[1], family, kind)
			}
		}
		if len(seen) < 60 {
			t.Errorf("only %d series", len(seen))
		}
	}
}

func TestWhichFormatIsAskedFor(t *testing.T) {
	const (
		prometheus2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
		prometheus3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3," +
			"text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
	)
	for accept, want := range map[string]format{
		"": prometheus, "*/*": prometheus, "text/html": prometheus, prometheus2: openMetrics, prometheus3: openMetrics,
		"application/openmetrics-text": openMetrics, "application/openmetrics-text;q=0": prometheus, "application/openmetrics-text; version=2.0.0": prometheus,
		"text/plain;q=0.9, application/openmetrics-text;q=0.5": prometheus, "application/openmetrics-text;q=x": prometheus,
		"application/openmetrics-textual": prometheus, ";;,application/openmetrics-text ; version=1.0.0": openMetrics,
	} {
		if got := formatOf(accept); got != want {
			t.Errorf("%q: %d", accept, got)
		}
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	var s Servers
	m, err := s.Open(testport.Free(t), "1\\2\"3\n4", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(m) })
	for _, f := range []format{prometheus, openMetrics} {
		out := &text{format: f}
		m.server.write(out)
		if !strings.Contains(string(out.out), `jwt_auth_build_info{version="1\\2\"3\n4",`) {
			t.Errorf("%s", out.out)
		}
	}
}

// Series are there from the start, as a rate is not known of one that begins with its first event.
func TestTheSeriesOfAProviderBeginAtZero(t *testing.T) {
	e := open(t)
	e.InForce([]*provider.Provider{local(t, "a")}, func() uint64 { return 0 })
	e.has(
		t, `jwt_auth_logins_total{provider="a",method="auth",result="accepted"} 0`, `jwt_auth_renewals_total{provider="a",method="control",result="accepted"} 0`, `jwt_auth_sessions{provider="a"} 0`,
		`jwt_auth_commands_total{command="other",result="done"} 0`, `jwt_auth_key_fetches_total{provider="a",result="failed"} 0`,
		`jwt_auth_introspections_total{provider="a",result="inactive"} 0`, `jwt_auth_answer_lookups_total{provider="a",result="hit"} 0`,
		`jwt_auth_keys{provider="a"} 1`, `jwt_auth_circuit_open{provider="a"} 0`, `jwt_auth_queued_requests{provider="a"} 0`,
	)
}

func TestTwoInstancesShareAnAddress(t *testing.T) {
	e := open(t)
	other := e.another(t)
	e.Event(&event.Event{Verdict: verdict.Verdict{Kind: verdict.Accept}})
	other.Event(&event.Event{Verdict: verdict.Verdict{Kind: verdict.Accept}})
	e.Sessions("a", 3)
	e.There(2, 1)
	other.Sessions("a", 30)
	other.There(20, 10)
	e.InForce([]*provider.Provider{local(t, "a")}, func() uint64 { return 7 })
	other.InForce([]*provider.Provider{local(t, "a")}, func() uint64 { return 7 }) // of the same trail
	e.has(
		t, `jwt_auth_logins_total{result="accepted"} 2`, `jwt_auth_sessions{provider="a"} 33`, "jwt_auth_pending_logins 22", "jwt_auth_rechecks 11",
		"jwt_auth_audit_lines_lost_total 7", `jwt_auth_keys{provider="a"} 1`,
	)
	e.servers.Close(e.Meter)
	e.has(t, `jwt_auth_logins_total{result="accepted"} 2`, `jwt_auth_sessions{provider="a"} 30`)
	e.servers.Close(other)
	if _, err := net.Dial("tcp", e.listen); err == nil {
		t.Error("it goes on when nobody wants it")
	}
	e.another(t).InForce([]*provider.Provider{local(t, "a")}, func() uint64 { return 0 })
	e.has(t, `jwt_auth_sessions{provider="a"} 0`)
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	e := open(t)
	var others Servers
	if _, err := others.Open(e.listen, "", time.Now); err == nil {
		t.Error("it was opened twice")
	}
}

func TestNoAddressIsNoMeter(t *testing.T) {
	var servers Servers
	m, err := servers.Open("", "", time.Now)
	if m != nil || err != nil {
		t.Fatal(m, err)
	}
	m.Event(&event.Event{})
	m.Request(event.Request{})
	m.Reloaded(true, event.Done)
	m.InForce(nil, nil)
	m.Ticked()
	m.Sessions("a", 1)
	m.Command("listSessions", event.Done)
	m.There(2, 3)
	m.Checked(verdict.Deny, 1)
	servers.Close(m)
}

func (e *env) answers(t *testing.T, path string, status int, body string) {
	t.Helper()
	if response, got := e.get(t, path, ""); response.StatusCode != status || !strings.Contains(got, body) {
		t.Errorf("%s: %d %q, want %d %q", path, response.StatusCode, got, status, body)
	}
}

func TestHealth(t *testing.T) {
	e := open(t)
	other := e.another(t)
	e.answers(t, "/healthz", http.StatusOK, "ticks unknown")
	e.Ticked()
	e.answers(t, "/healthz", http.StatusOK, "ok")
	e.passed.Add(int64(stillFor))
	e.answers(t, "/healthz", http.StatusOK, "ok")
	e.passed.Add(int64(time.Millisecond))
	e.answers(t, "/healthz", http.StatusServiceUnavailable, "the broker's loop has not turned for 5.001s")
	other.Ticked() // there is one loop
	e.answers(t, "/healthz", http.StatusOK, "ok")
}

func TestReadiness(t *testing.T) {
	e := open(t)
	e.answers(t, "/readyz", http.StatusServiceUnavailable, "jwt.json is being read")
	e.InForce([]*provider.Provider{local(t, "a")}, nil)
	e.answers(t, "/readyz", http.StatusOK, "ok")
	e.InForce([]*provider.Provider{local(t, "a"), remote(t)}, nil)
	e.answers(t, "/readyz", http.StatusServiceUnavailable, "$.options.modes has no keys")
}

func TestOtherPagesAreNotThere(t *testing.T) {
	e := open(t)
	e.answers(t, "/", http.StatusNotFound, "")
	e.answers(t, "/metrics/../debug/pprof/", http.StatusNotFound, "")
	response, err := http.Post("http://"+e.listen+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", response.StatusCode)
	}
}

// Scrapes and events come from several goroutines.
func TestScrapesDisturbNobody(t *testing.T) {
	e := open(t)
	e.InForce([]*provider.Provider{local(t, "a")}, func() uint64 { return 0 })
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 500 {
				e.Event(&event.Event{Provider: fmt.Sprint(n % 10), Verdict: verdict.Verdict{Kind: verdict.Accept}, Took: 1})
				e.Request(event.Request{Provider: "a", For: event.Keys, Result: event.Done})
				e.Sessions("a", n)
				e.There(i, 0)
			}
		})
	}
	for range 20 {
		e.get(t, "/metrics", "")
	}
	all.Wait()
	e.has(t, `jwt_auth_logins_total{provider="7",result="accepted"} 200`, `jwt_auth_key_fetches_total{provider="a",result="done"} 2000`)
}

// Both ways to count the open files say the same, where the system knows both.
func TestOpenFiles(t *testing.T) {
	info, err := os.Stat(fileFolder)
	if err != nil || info.Size() == 0 {
		t.Skip("Linux before 6.2")
	}
	for range 30 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
	}
	told, _ := openFiles()
	listed, _ := listFiles()
	if told != listed || told < 33 {
		t.Errorf("%d, listed %d", told, listed)
	}
}

func TestAReadOfTheProcess(t *testing.T) {
	e := open(t)
	_, body := e.get(t, "/metrics", "")
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total"} {
		if !regexp.MustCompile(`(?m)^` + name + ` [1-90-9.e+]+$`).MatchString(body) {
			t.Errorf("no %s in\n%s", name, body)
		}
	}
	e.has(t, `jwt_auth_build_info{version="1.2.3",goversion="`+runtime.Version()+`"} 1`)
}
