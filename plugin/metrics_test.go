package plugin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/verdict"
)

// metered is a file with metrics at this address.
func metered(file, listen string) string {
	return strings.Replace(file, `"options":{`, fmt.Sprintf(`"options":{"metrics":{"listen":%q},`, listen), 1)
}

// page reads one; empty: nobody is there.
func page(t *testing.T, listen, path string) string {
	t.Helper()
	response, err := http.Get("http://" + listen + path)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func measures(t *testing.T, listen string, lines ...string) {
	t.Helper()
	body := page(t, listen, "/metrics")
	for _, line := range lines {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line\n%s\nin\n%s", line, body)
		}
	}
}

func TestWhatHappensIsMeasured(t *testing.T) {
	listen := testport.Free(t)
	token := mint("alice", time.Minute)
	d := newGate(t, token)
	h := open(t, metered(d.file(`"matchUsernameToSubject":true`, `"timeoutMs":60000`), listen))
	if got := page(t, listen, "/readyz") + page(t, listen, "/healthz"); got != "ok\nok\n" {
		t.Errorf("ready, healthy: %q", got)
	}
	if h.broker.tickIn > time.Second {
		t.Errorf("the next Tick is in %s, and nothing would show that the loop turns", h.broker.tickIn)
	}
	h.login(1, "c", text("x"), token)
	measures(t, listen, "jwt_auth_pending_logins 1", "jwt_auth_queued_requests 1")
	h.advance(20 * time.Millisecond)
	d.says(token, active)
	h.completes(t, "c true")
	h.login(2, "d", nil, mint("alice", -time.Minute))
	measures(
		t, listen, "jwt_auth_pending_logins 0", "jwt_auth_sessions 1", "jwt_auth_queued_requests 0",
		`jwt_auth_logins_total{method="password",result="accepted"} 1`, `jwt_auth_logins_total{method="password",result="refused",reason="expired"} 1`,
		`jwt_auth_verdict_duration_seconds_bucket{le="0.01"} 0`, `jwt_auth_verdict_duration_seconds_bucket{le="0.025"} 1`,
		`jwt_auth_introspections_total{result="active"} 1`, `jwt_auth_answer_lookups_total{result="miss"} 1`,
		`jwt_auth_broker_thread_duration_seconds_count{method="basic_auth"} 2`,
	)
	h.pass(time.Minute)
	measures(t, listen, "jwt_auth_sessions 0", `jwt_auth_disconnects_total{result="done",reason="expired"} 1`)
}

// SIGHUP moves the address, and ends it.
func TestAReloadMovesTheMetrics(t *testing.T) {
	one, other := testport.Free(t), testport.Free(t)
	h := open(t, metered(local(``), one))
	h.login(2, "before", nil, h.token("alice", time.Hour))
	reload := func(file, says string) {
		t.Helper()
		h.write(t, file)
		h.Reload()
		h.broker.awaitLog(says)
		h.broker.log = nil
	}
	reload(metered(local(``), one), "version .* reloaded")
	measures(t, one, `jwt_auth_reloads_total{result="done"} 1`, "jwt_auth_sessions 1")
	if got := page(t, one, "/healthz"); got != "ok\n" {
		t.Errorf("healthy after a reload: %q", got)
	}
	taken, err := net.Listen("tcp", other)
	if err != nil {
		t.Fatal(err)
	}
	reload(metered(local(``), other), `error .*\$\.options\.metrics\.listen: the metrics can't be served: .*address already in use`)
	measures(t, one, `jwt_auth_reloads_total{result="failed"} 1`)
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	reload(metered(local(``), other), "version .* reloaded")
	if page(t, one, "/metrics") != "" {
		t.Error("the old address is still served")
	}
	h.login(1, "c", nil, h.token("alice", time.Minute))
	measures(t, other, "jwt_auth_sessions 2")
	reload(local(``), "version .* reloaded")
	if page(t, other, "/metrics") != "" {
		t.Error("it goes on though nobody wants it")
	}
	h.Tick()
	if h.broker.tickIn <= time.Second {
		t.Errorf("the next Tick is in %s", h.broker.tickIn)
	}
}

// The first requests are made before the file is in force.
func TestTheFirstFetchIsMeasured(t *testing.T) {
	listen := testport.Free(t)
	set := testkeys.Set(testkeys.New("ES256", "k"))
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	t.Cleanup(idp.Close)
	open(t, metered(fmt.Sprintf(`{"algorithm":"ES256","mode":"jwks","options":{"modes":{"jwks":{"uri":%q}}}}`, idp.URL), listen))
	measures(t, listen, `jwt_auth_key_fetches_total{result="done"} 1`, "jwt_auth_keys 1", "jwt_auth_keys_last_success_timestamp_seconds 1.795446e+09")
}

// scrape reads the metrics every 10 ms until the benchmark ends.
func scrape(b *testing.B, listen string) {
	b.Helper()
	end, ended := make(chan struct{}), make(chan struct{})
	b.Cleanup(func() { close(end); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(10 * time.Millisecond):
			}
			response, err := http.Get("http://" + listen + "/metrics")
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}()
}

// BenchmarkObserved is a login and its end with what watches it, on the broker's thread.
func BenchmarkObserved(b *testing.B) {
	dir := b.TempDir()
	key := testkeys.New("EdDSA", "k")
	scraped := testport.Free(b)
	token, username := key.Sign(keycloakClaims(1)), "u"
	for _, c := range []struct{ name, options string }{
		{"nobody", ""},
		{"audit", fmt.Sprintf(`"audit":{"filePath":%q},`, filepath.Join(dir, "audit.jsonl"))},
		{"metrics", fmt.Sprintf(`"metrics":{"listen":%q},`, testport.Free(b))},
		{"metrics, read a hundred times a second", fmt.Sprintf(`"metrics":{"listen":%q},`, scraped)},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := silentPluginWith(b, c.options, key)
			if strings.Contains(c.options, scraped) {
				scrape(b, scraped)
			}
			b.ReportAllocs()
			for b.Loop() {
				if v := p.BasicAuth(broker.Connect{Conn: 1, ClientID: "client-1", Username: &username, Password: &token, Address: "192.0.2.7"}); v.Kind != verdict.Accept {
					b.Fatal(v)
				}
				p.Connect(1, "client-1")
				p.Disconnect(1, false)
			}
			b.ReportMetric(float64(p.trail.Lost())/float64(b.N), "lost/op")
		})
	}
}
