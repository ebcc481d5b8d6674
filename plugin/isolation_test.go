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

	"go-jwt-auth/plugin/broker"
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
		{
			"another provider with the same sub", fileOf(named("a", "a", issued("a")), named("b", "b", issued("b"))), "", "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny,
		},
		{
			"the rest provider with the same sub", fileOf(named("a", "a", issued("a")), named("b", "b", "")), "", "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny,
		},
		{
			"two issuers of one provider", fileOf(named("a", "a", `,"issuer":["https://a","https://b"]`)), "", "",
			tokenOf("a", "alice", 0), signedBy("a", "b", "alice"), verdict.Deny,
		},
		{
			"after a reload that changes a rule", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "a", issued("a")+`,"leewayMs":1`)),
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept,
		},
		{
			"after a reload that changes the place", fileOf(named("a", "a", issued("a")), named("b", "b", issued("b"))), "",
			fileOf(named("b", "b", issued("b")), named("a", "a", issued("a"))), tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept,
		},
		{
			"after a reload that changes the key", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "b", issued("a"))),
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Accept,
		},
		{
			"after a reload that changes the key of a provider without issuer", fileOf(named("a", "a", "")), "", fileOf(named("a", "b", "")),
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Accept,
		},
		{
			"after a reload that changes the name", fileOf(named("a", "a", issued("a"))), "", fileOf(named("b", "a", issued("a"))),
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Deny,
		},
		{
			"after a reload that gives another provider name and key", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "b", issued("b"))),
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny,
		},
		{
			"the same provider at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "a", issued("a"))), "",
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept,
		},
		{
			"another provider of that name at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "b", issued("b"))), "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny,
		},
		{
			"one of that name without issuer at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "b", "")), "",
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Deny,
		},
		{
			"two of that name without issuer at two listeners, and no iss", fileOf(named("a", "a", "")), fileOf(named("a", "b", "")), "",
			signedBy("a", "", "alice"), signedBy("b", "", "alice"), verdict.Deny,
		},
		{
			"two of that name without issuer at two listeners, and an iss that nothing vouches for", fileOf(named("a", "a", "")), fileOf(named("a", "b", "")), "",
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Deny,
		},
		{
			"two files without names at two listeners, and no issuer", local(bothMapped + `,"requireExpiration":false`), strings.Replace(local(bothMapped+`,"requireExpiration":false`), secret, secret+"b", 1), "",
			signedBy("", "", "alice"), signedBy("b", "", "alice"), verdict.Deny,
		},
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

// What a login that waits for its verdict comes to, if its provider goes meanwhile: it ends by the rules that it began under, and
// the session that it opens is that of a provider which has gone.
func TestALoginPendsWhileItsProviderGoes(t *testing.T) {
	for _, c := range []struct {
		rule, answer string
		then         func(good, pends string) string
		// asks: the session is still asked about after that.
		asks bool
	}{
		{"kept, in another place", active, func(good, pends string) string { return fileOf(good, pends) }, true},
		{"changed", active, func(good, pends string) string {
			return fileOf(strings.Replace(pends, `"common":{`, `"common":{"leewayMs":1,`, 1), good)
		}, true},
		{"removed", active, func(good, _ string) string { return fileOf(good) }, false},
		{"renamed", active, func(good, pends string) string {
			return fileOf(strings.Replace(pends, `"name":"pends"`, `"name":"other"`, 1), good)
		}, false},
		{"its name is another's", active, func(good, pends string) string {
			return fileOf(strings.Replace(pends, `"name":"pends"`, `"name":"good"`, 1), strings.Replace(good, `"name":"good"`, `"name":"pends"`, 1))
		}, false},
		{"removed, and revoked", inactive, func(good, _ string) string { return fileOf(good) }, false},
		{"kept, and revoked", inactive, func(good, pends string) string { return fileOf(good, pends) }, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			token := tokenOf("pends", "alice", 0)
			d := newGate(t, token)
			good, pends := of("good", nil, ""), of("pends", d, every10s)
			h := open(t, fileOf(pends, good))
			h.login(1, "g", nil, tokenOf("good", "bob", time.Hour))
			if got := h.login(2, "c", nil, token); got != verdict.Pending || h.broker.names[2] != "pends:alice" {
				t.Fatalf("got %s, as %q", got, h.broker.names[2])
			}
			d.waitAsked()
			h.write(t, c.then(good, pends))
			h.Reload()
			if got := h.BasicAuth(broker.Connect{Conn: 1, ClientID: "g", Username: text("good:bob"), Password: tokenOf("good", "bob", time.Hour)}).Kind; got != verdict.Accept {
				t.Errorf("the other provider's client: got %s", got)
			}
			h.Tick()
			h.broker.awaitLog(`reloaded`)
			d.says(token, c.answer)
			h.completes(t, fmt.Sprintf("c %t", c.answer == active))
			if c.answer != active {
				return
			}
			d.says(token, active)
			h.advance(10 * time.Second)
			h.Tick()
			if c.asks {
				if asked := d.waitAsked(); asked != *token || len(h.broker.kicked) > 0 {
					t.Errorf("asked about another, or kicked %q", h.broker.kicked)
				}
				return
			}
			h.awaits(t, "what never expires and nobody is asked about stays", func() bool { return len(h.broker.kicked) == 1 })
			if h.broker.connected["g"] != 1 || len(d.asked) > 0 {
				t.Errorf("kicked %q; asked %d times", h.broker.kicked, len(d.asked))
			}
		})
	}
}

// A client that was let in by its signature alone leaves if its provider says no, though that has gone from the file meanwhile.
func TestAConfirmationComesAfterItsProviderHasGone(t *testing.T) {
	for _, rule := range []string{"removed", "changed", "kept"} {
		t.Run(rule, func(t *testing.T) {
			token := tokenOf("late", "alice", time.Hour)
			d := newGate(t, token)
			good, late := of("good", nil, ""), of("late", d, afterConnect)
			h := open(t, fileOf(late, good))
			if got := h.login(1, "c", nil, token); got != verdict.Accept {
				t.Fatalf("got %s", got)
			}
			h.login(2, "g", nil, tokenOf("good", "bob", time.Hour))
			d.waitAsked()
			h.write(t, map[string]string{"removed": fileOf(good), "changed": fileOf(strings.Replace(late, `"common":{`, `"common":{"leewayMs":1,`, 1), good), "kept": fileOf(good, late)}[rule])
			h.Reload()
			h.Tick()
			h.broker.awaitLog(`reloaded`)
			d.says(token, inactive)
			h.broker.awaitLog(`client "c" disconnected: revoked: .*provider late`)
			if h.broker.connected["g"] != 2 || len(h.broker.kicked) != 1 {
				t.Errorf("kicked %q", h.broker.kicked)
			}
		})
	}
}

// After SIGHUP the broker asks for everybody again: whoever is connected stays, whichever provider has let it in and whether or not
// that is still there; nobody comes in by another's session or provider.
func TestASweepWithSeveralProviders(t *testing.T) {
	for _, c := range []struct{ rule, then string }{
		{"nothing is changed", fileOf(of("one", nil, ""), of("two", nil, ""))},
		{"another order", fileOf(of("two", nil, ""), of("one", nil, ""))},
		{"one is removed", fileOf(of("two", nil, ""))},
		{"both are renamed", fileOf(of("uno", nil, ""), of("due", nil, ""))},
		{"a bad file", `{"providers":[]}`},
		{"no file of several", local("")},
	} {
		versions(t, func(t *testing.T, v func(*fakeBroker)) {
			t.Run(c.rule, func(t *testing.T) {
				h := open(t, fileOf(of("one", nil, ""), of("two", nil, "")), v)
				a, b := tokenOf("one", "alice", time.Hour), tokenOf("two", "bob", time.Hour)
				h.login(1, "a", nil, a)
				h.login(2, "b", nil, b)
				h.write(t, c.then)
				for range 3 { // SIGHUPs that come upon each other
					h.Reload()
					for _, again := range []struct {
						conn     broker.Conn
						id, name string
						token    *string
						want     verdict.Kind
					}{
						{1, "a", "one:alice", a, verdict.Accept},
						{2, "b", "two:bob", b, verdict.Accept},
					} {
						if got := h.BasicAuth(broker.Connect{Conn: again.conn, ClientID: again.id, Username: text(again.name), Password: again.token}).Kind; got != again.want {
							t.Errorf("%s: got %s", again.id, got)
						}
					}
				}
				// One provider's client with the other's token is not the one who was let in.
				if got := h.BasicAuth(broker.Connect{Conn: 1, ClientID: "a", Username: text("two:bob"), Password: signedBy("one", "two", "bob")}).Kind; got == verdict.Accept {
					t.Errorf("with a forged token: got %s", got)
				}
				h.Tick()
				h.broker.awaitLog(`reloaded`)
				if len(h.broker.kicked) > 0 || h.sessions.Len() != 2 {
					t.Errorf("kicked %q, %d sessions", h.broker.kicked, h.sessions.Len())
				}
			})
		})
	}
}

// Reloads that move providers about race with all that runs in the background and names their keys.
func TestReloadsRaceWithWhatRunsInTheBackground(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(server.Close)
	d := &gate{url: server.URL}
	const often = `"recheckIntervalMs":1000,"check":"afterConnect","onUnavailable":"allow","maxConcurrent":4`
	all := []string{of("one", d, often), of("two", d, often), of("three", d, often)}
	h := open(t, fileOf(all...))
	client := broker.Conn(0)
	for n := range 60 {
		for _, name := range []string{"one", "two", "three"} {
			client++
			if got := h.login(client, fmt.Sprint(client), nil, tokenOf(name, fmt.Sprint("s", client), time.Hour)); got != verdict.Accept && got != verdict.Retry {
				t.Fatalf("got %s", got)
			}
		}
		h.advance(time.Second)
		h.write(t, fileOf(all[n%3], all[(n+1)%3], all[(n+2)%3]))
		h.Reload()
		h.Tick()
	}
	h.awaits(t, "no last reload", func() bool { return strings.Contains(h.chain.Config().Providers[0].Name, "three") })
	h.awaits(t, "questions are left", func() bool { h.broker.Wake(); return h.lifetimes.Rechecking() == 0 })
	if len(h.broker.kicked) > 0 {
		t.Errorf("kicked %q", h.broker.kicked)
	}
}

// A bad file with several providers does not start, and does not come into force: neither as a whole nor by its good providers.
func TestABadFileWithSeveralProviders(t *testing.T) {
	good, other := of("one", nil, ""), of("two", nil, "")
	for rule, file := range map[string]string{
		"none":                                  `{"providers":[]}`,
		"null":                                  `{"providers":null}`,
		"null among others":                     `{"providers":[` + good + `,null]}`,
		"twice":                                 `{"providers":[` + good + `],"providers":[` + other + `]}`,
		"cut off":                               strings.TrimSuffix(fileOf(good, other), "}"),
		"one without mode":                      fileOf(good, strings.Replace(other, `"mode":"local",`, "", 1)),
		"one without name":                      fileOf(good, strings.Replace(other, `"name":"two",`, "", 1)),
		"one without key":                       fileOf(good, strings.Replace(other, `"local":"`+secret, `"local":"`, 1)+`{}`),
		"a name twice":                          fileOf(good, good),
		"an issuer twice":                       fileOf(good, strings.Replace(good, `"name":"one"`, `"name":"two"`, 1)),
		"two without issuer":                    fileOf(strings.Replace(good, `"issuer":"https://one",`, "", 1), strings.Replace(other, `"issuer":"https://two",`, "", 1)),
		"tenants of which there is no list":     fileOf(good, strings.Replace(other, "https://two", "https://{claim:tid}", 1)),
		"a wildcard in a template":              fileOf(good, strings.Replace(other, "{provider}:", "+:", 1)),
		"one that says nothing of names":        fileOf(good, strings.Replace(other, `"usernameTemplate":"{provider}:{sub}",`, "", 1)),
		"a key that can't be used":              fileOf(good, strings.Replace(other, "HS256", "RS256", 1)),
		"a provider beside them":                strings.Replace(local(""), "{", `{"providers":[`+good+`],`, 1),
		"what is of the broker, in one of them": fileOf(good, strings.Replace(other, `"common":{`, `"common":{"onNonToken":"defer",`, 1)),
	} {
		h := open(t, fileOf(good))
		if got := h.login(1, "c", nil, tokenOf("one", "alice", time.Hour)); got != verdict.Accept {
			t.Fatalf("got %s", got)
		}
		h.write(t, file)
		h.Reload()
		h.Tick()
		h.broker.awaitLog(`was not reloaded|fault`)
		if got := h.login(2, "d", nil, tokenOf("two", "bob", time.Hour)); got != verdict.Deny || h.logged("fault") || h.broker.connected["c"] != 1 {
			t.Errorf("%s: after a reload the other got %s; the log ends %s", rule, got, h.broker.log[len(h.broker.log)-1])
		}
		if _, err := New(h.broker, Options{Settings: map[string]string{"config_file": h.file}, Now: h.clock}); err == nil {
			t.Errorf("%s: it starts", rule)
		}
	}
}

// An endpoint that hangs keeps nobody from leaving once it has gone from the file, and holds up no question to the one that takes its
// place.
func TestAQuestionThatHangsHoldsUpNothingOfTheNextFile(t *testing.T) {
	for _, c := range []struct{ rule, want string }{{"removed", "kicked"}, {"its endpoint is another", "kicked"}, {"another rule", "asked"}} {
		t.Run(c.rule, func(t *testing.T) {
			first, second := tokenOf("hangs", "alice", 0), tokenOf("hangs", "bob", 0)
			d, other := newGate(t, first, second), newGate(t)
			const one = `"recheckIntervalMs":10000,"timeoutMs":3600000,"maxConcurrent":1`
			hangs := of("hangs", d, one)
			h := open(t, fileOf(hangs))
			for n, token := range []*string{first, second} {
				d.says(token, active)
				h.login(broker.Conn(n+1), fmt.Sprint("c", n), nil, token)
			}
			h.completesAll(t, 2)
			d.waitAsked()
			d.waitAsked()
			h.advance(10 * time.Second)
			h.Tick()
			hung := d.waitAsked()
			h.write(t, map[string]string{
				"removed":                 fileOf(of("other", nil, "")),
				"its endpoint is another": fileOf(of("hangs", other, one)),
				"another rule":            fileOf(strings.Replace(hangs, `"common":{`, `"common":{"leewayMs":1,`, 1)),
			}[c.rule])
			h.Reload()
			h.Tick()
			h.broker.awaitLog(`reloaded`)
			h.Tick()
			switch c.want {
			case "kicked":
				h.awaits(t, "the other one stays", func() bool { return len(h.broker.kicked) == 1 })
			default:
				if asked := d.waitAsked(); asked == hung {
					t.Error("asked about the same twice")
				}
			}
		})
	}
}
