package plugin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/verdict"
)

// named is a provider in mode local that maps the client id, too; common are more members of options.common.
func named(name, key, common string) string {
	return fmt.Sprintf(`{"name":%q,"algorithm":"HS256","mode":"local","options":{"modes":{"local":%q},
		"common":{"matchUsernameToSubject":true,"matchClientIdToSubject":true,"requireExpiration":false%s}}}`, name, secret+key, common)
}

// Sub alone does not make two clients the same: a session is of one provider, issuer and subject, as one plugin line knows them.
func TestWhoMayTakeOverASession(t *testing.T) {
	issued := func(by string) string { return fmt.Sprintf(`,"issuer":"https://%s"`, by) }
	for _, c := range []struct {
		rule string
		// one and two are the files of two listeners; if two is empty, one's next file is then.
		one, two, then string
		first, second  *string
		want           verdict.Kind
	}{
		{"the same provider", fileOf(named("a", "a", issued("a"))), "", "", tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"another provider with the same sub", fileOf(named("a", "a", issued("a")), named("b", "b", issued("b"))), "", "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"the rest provider with the same sub", fileOf(named("a", "a", issued("a")), named("b", "b", "")), "", "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"two issuers of one provider", fileOf(named("a", "a", `,"issuer":["https://a","https://b"]`)), "", "",
			tokenOf("a", "alice", 0), signedBy("a", "b", "alice"), verdict.Deny},
		{"after a reload that changes a rule", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "a", issued("a")+`,"leewayMs":1`)),
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"after a reload that changes the place", fileOf(named("a", "a", issued("a")), named("b", "b", issued("b"))), "",
			fileOf(named("b", "b", issued("b")), named("a", "a", issued("a"))), tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"after a reload that changes the key", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "b", issued("a"))),
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Accept},
		{"after a reload that changes the key of a provider without issuer", fileOf(named("a", "a", "")), "", fileOf(named("a", "b", "")),
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Accept},
		{"after a reload that changes the name", fileOf(named("a", "a", issued("a"))), "", fileOf(named("b", "a", issued("a"))),
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Deny},
		{"after a reload that gives another provider name and key", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "b", issued("b"))),
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"the same provider at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "a", issued("a"))), "",
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"another provider of that name at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "b", issued("b"))), "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"one of that name without issuer at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "b", "")), "",
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Deny},
		{"two of that name without issuer at two listeners, and no iss", fileOf(named("a", "a", "")), fileOf(named("a", "b", "")), "",
			signedBy("a", "", "alice"), signedBy("b", "", "alice"), verdict.Deny},
		{"two of that name without issuer at two listeners, and an iss that nothing vouches for", fileOf(named("a", "a", "")), fileOf(named("a", "b", "")), "",
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Deny},
		{"two files without names at two listeners, and no issuer", local(bothMapped + `,"requireExpiration":false`), strings.Replace(local(bothMapped+`,"requireExpiration":false`), secret, secret+"b", 1), "",
			signedBy("", "", "alice"), signedBy("b", "", "alice"), verdict.Deny},
	} {
		for _, away := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, away: %t", c.rule, away), func(t *testing.T) {
				one := open(t, c.one)
				if got := one.login(1, "x", nil, c.first); got != verdict.Accept {
					t.Fatalf("the first: got %s", got)
				}
				if away {
					one.leave(1, "alice", true)
				}
				at := one
				switch {
				case c.two != "":
					at = open(t, c.two)
					at.Plugin.table = one.Plugin.table
					at.broker.away["alice"] = "alice"
				case c.then != "":
					one.write(t, c.then)
					one.Reload()
					one.Tick()
					one.broker.awaitLog(`reloaded`)
				}
				if got := at.login(2, "y", nil, c.second); got != c.want {
					t.Errorf("got %s, want %s; the log ends %q", got, c.want, at.broker.log[len(at.broker.log)-1])
				}
			})
		}
	}
}

// hanging is an endpoint that answers nobody, and counts who waits for it.
type hanging struct {
	url     string
	waiting atomic.Int32
}

func hang(t *testing.T) *hanging {
	t.Helper()
	e := &hanging{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // only then does the server see a client go
		e.waiting.Add(1)
		defer e.waiting.Add(-1)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	e.url = server.URL
	return e
}

// hangs is a provider whose endpoints do, one more of them with each mode, for an hour.
func (e *hanging) hangs(mode string, leeway int, lazy bool) string {
	modes := map[string]string{
		"jwks":          fmt.Sprintf(`"modes":{"jwks":{"uri":%q,"timeoutMs":3600000,"cache":{"enabled":true}}},`, e.url),
		"oidc":          fmt.Sprintf(`"modes":{"oidc":{"issuer":%q},"jwks":{"timeoutMs":3600000}},`, e.url),
		"introspection": "",
	}[mode]
	issuer := map[string]string{"jwks": `"issuer":"https://hangs",`, "introspection": `"issuer":"https://hangs",`}[mode]
	return fmt.Sprintf(`{"name":"hangs","algorithm":"RS256","mode":%q,"options":{"lazyConnect":%t,%s
		"common":{%s"usernameTemplate":"{provider}:{sub}","leewayMs":%d},"revocation":{"introspection":{"uri":%q},"timeoutMs":3600000}}}`,
		mode, lazy, modes, issuer, leeway, e.url)
}

// A hundred reloads of a file with a provider that hangs leave nothing behind once they are over, be it that none of them can come
// into force, or that each does; and nobody else waits for it.
func TestReloadsOfAProviderThatHangsLeaveNothingBehind(t *testing.T) {
	for _, mode := range []string{"jwks", "oidc", "introspection"} {
		for _, lazy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lazyConnect: %t", mode, lazy), func(t *testing.T) {
				e := hang(t)
				good := of("good", nil, "")
				h := open(t, fileOf(good))
				kept := h.chain.Providers()[0]
				h.login(1, "c", nil, tokenOf("good", "alice", time.Hour))
				before := runtime.NumGoroutine()
				for n := range 100 {
					h.write(t, fileOf(good, e.hangs(mode, n, lazy)))
					h.Reload()
					if lazy {
						h.awaits(t, "no reload", func() bool {
							return len(h.chain.Providers()) == 2 && h.chain.Providers()[1].Config().Common.Leeway == time.Duration(n)*time.Millisecond
						})
						h.awaits(t, "it is not tried out", func() bool { h.broker.Wake(); return e.waiting.Load() > 0 })
					}
					if got := h.login(2, fmt.Sprint("d", n), nil, tokenOf("good", "bob", time.Hour)); got != verdict.Accept && got != verdict.Retry {
						t.Fatalf("got %s", got)
					}
				}
				h.write(t, fileOf(good))
				h.Reload()
				h.Tick()
				h.awaits(t, "no last reload", func() bool { return h.logged("reloaded") && len(h.chain.Providers()) == 1 })
				h.awaits(t, "questions are left", func() bool { h.broker.Wake(); return e.waiting.Load() == 0 })
				// The server has some goroutines for each connection until it sees its end.
				h.awaits(t, "goroutines are left", func() bool { h.broker.Wake(); return runtime.NumGoroutine() <= before+10 })
				if h.chain.Providers()[0] != kept || h.broker.connected["c"] != 1 || len(h.broker.kicked) > 0 {
					t.Errorf("the other was touched: kicked %q", h.broker.kicked)
				}
			})
		}
	}
}

// What is found out about a provider is said if another reload that keeps it comes meanwhile, and does not wait for the others.
func TestWhatIsTriedOutIsSaidThoughAReloadComes(t *testing.T) {
	e := hang(t)
	let := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-let
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	slow := strings.NewReplacer(e.url, server.URL, `"hangs"`, `"slow"`, "https://hangs", "https://slow").Replace(e.hangs("introspection", 0, true))
	h := open(t, fileOf(slow, e.hangs("jwks", 0, true)))
	for n := range 2 {
		h.Reload()
		h.Tick()
		h.awaits(t, "no reload", func() bool { return strings.Count(strings.Join(h.broker.log, "\n"), " reloaded ") == n+1 })
	}
	close(let)
	h.broker.awaitLog(`\$\.providers\[0\]\.options\.revocation\.introspection: the endpoint gives no usable answer`)
	if n := strings.Count(strings.Join(h.broker.log, "\n"), "gives no usable answer"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}
