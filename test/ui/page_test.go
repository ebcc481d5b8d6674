//go:build browser

// Package ui holds what docs/ui.md promises: the page of `go-jwt-auth ui` in a real Chromium, before real brokers with the plugin.
package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The providers' secrets, and their issuers' common beginning.
const (
	secret = "a-secret-of-at-least-32-bytes-please"
	issuer = "https://id.example.com/realms/"
)

type object = map[string]any

// provider is one of the broker's, whose tokens say what their bearers may do.
func provider(name string) object {
	return object{"name": name, "algorithm": "HS256", "mode": "local", "options": object{
		"modes":         object{"local": secret + name},
		"common":        object{"issuer": issuer + name, "matchUsernameToSubject": true},
		"authorization": object{"rules": []object{{"claim": "mqtt", "format": "topics"}}},
	}}
}

// configuration has alice of the employees as its admin, or nobody.
func configuration(admins ...any) object {
	return object{
		"providers": []object{provider("devices"), provider("employees")},
		"options":   object{"control": object{"admins": append([]any{}, admins...)}},
	}
}

var alice = object{"provider": "employees", "username": "alice"}

// token of a provider.
func token(t testing.TB, provider, subject string, life time.Duration) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": issuer + provider, "sub": subject, "jti": "jti-" + subject, "exp": time.Now().Add(life).Unix(),
		"mqtt": object{"publish": []string{"plant/" + subject + "/#"}, "subscribe": []string{"plant/commands/+"}},
	}).SignedString([]byte(secret + provider))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func login(id, username, password string) harness.Login {
	return harness.Login{ClientID: id, Username: &username, Password: &password}
}

// stage is a broker, the tool that serves the page for it, and a browser.
type stage struct {
	*harness.Broker
	tool *harness.Process
	ctx  context.Context
	// token is the admin's.
	token string
	// address is the page's, without what opens it.
	address string
}

func path(t testing.TB, name string) string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, name)); err != nil {
		t.Fatalf("%v; `make set-up` makes it", err)
	}
	return filepath.Join(root, name)
}

func start(t *testing.T, v brokers.Version, config object) *stage {
	t.Helper()
	b := harness.Start(t, v, harness.Options{
		Plugins:   []harness.Plugin{harness.JWT("jwt.json", config)},
		Passwords: map[string]string{"backoffice": "a password"},
	})
	return &stage{Broker: b, token: token(t, "employees", "alice", time.Hour)}
}

// open serves the page for the broker at url, or by way of something else, and opens it.
func (s *stage) open(t *testing.T, url string, flags ...chromedp.ExecAllocatorOption) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(s.token), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tool = harness.Spawn(t, nil, path(t, "build/go-jwt-auth"), "ui", "--no-open", "--url", url, "--token-file", file)
	s.browser(t, flags...)
	s.do(t, chromedp.Navigate(s.next(t, 0)), chromedp.WaitVisible("#clients-rows-0"))
}

var printed = regexp.MustCompile(`http://[\d.]+:\d+/#\S+`)

// next is the address that the tool prints after mark.
func (s *stage) next(t *testing.T, mark int) string {
	t.Helper()
	address := printed.FindString(s.tool.WaitLogSince(mark, printed.String()))
	s.address, _, _ = strings.Cut(address, "#")
	return address
}

// browser starts one.
func (s *stage) browser(t *testing.T, more ...chromedp.ExecAllocatorOption) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v; `make test-browser` installs it", err)
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.WindowSize(1280, 880))
	if os.Geteuid() == 0 {
		flags = append(flags, chromedp.NoSandbox) // it does not start as root otherwise
	}
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), append(flags, more...)...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it: it lives for as long as this context
		t.Fatal(err)
	}
	s.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			s.shot(t, "failed-"+strings.ReplaceAll(t.Name(), "/", "-"))
		}
	})
	// What the policy forbids and the page tries all the same is a fault of the page.
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.faults = [];
		addEventListener('securitypolicyviolation', (e) => faults.push('policy: ' + e.violatedDirective + ' ' + e.blockedURI));
		addEventListener('error', (e) => faults.push('error: ' + e.message));
		addEventListener('unhandledrejection', (e) => faults.push('rejected: ' + e.reason));`}); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	run(t, s, chromedp.Steps(steps...))
}

func run[T any](t *testing.T, s *stage, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 2*harness.Patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// js evaluates an expression on the page, and waits for it if it is a promise.
func js[T any](t *testing.T, s *stage, expression string) T {
	t.Helper()
	return run(t, s, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// text is what an element shows, or "" if it is not there or hidden.
func (s *stage) text(t *testing.T, selector string) string {
	t.Helper()
	return js[string](t, s, fmt.Sprintf(`(() => { const e = document.querySelector(%q); return e && e.checkVisibility() ? e.innerText : ''; })()`, selector))
}

// rows are those of a list that is in sight: the client ids of the clients, the reasons of the refusals.
func (s *stage) rows(t *testing.T, list, column string) []string {
	t.Helper()
	return js[[]string](t, s, fmt.Sprintf(`[...document.querySelectorAll('.%s .body .row:not([hidden])')]
		.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((r) => r.querySelector('.%s :is(bdi, .chip)').textContent)`, list, column))
}

func (s *stage) eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * harness.Patience); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s\n%s", 2*harness.Patience, what, s.text(t, "body"))
		}
	}
}

// shows waits until an element shows a text.
func (s *stage) shows(t *testing.T, selector, want string) {
	t.Helper()
	s.eventually(t, fmt.Sprintf("%s shows %q", selector, want), func() bool { return strings.Contains(s.text(t, selector), want) })
}

// keys presses one key after the other. A character comes with the event that a page may prevent, as from a keyboard.
func (s *stage) keys(t *testing.T, keys ...string) {
	t.Helper()
	for _, r := range strings.Join(keys, "") {
		events := kb.Encode(r)
		for _, event := range events {
			if event.Type == input.DispatchKeyEventTypeChar {
				events[0].Text, events[0].UnmodifiedText = event.Text, event.UnmodifiedText
			}
		}
		for _, event := range events {
			if event.Type == input.DispatchKeyEventTypeChar {
				continue
			}
			if _, err := chromedp.Call(s.ctx, input.DispatchKeyEvent, *event); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// shot writes down what the page looks like, for a person to look at: build/browser-NAME.png.
func (s *stage) shot(t *testing.T, name string) {
	t.Helper()
	png := run(t, s, chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(path(t, "build"), "browser-ui-"+name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sound fails the test if the page has tried what its policy forbids, or has run into an error.
func (s *stage) sound(t *testing.T) {
	t.Helper()
	if faults := js[[]string](t, s, "faults"); len(faults) > 0 {
		t.Errorf("the page: %q", faults)
	}
}

// TestPage goes through all that the page does, by keys where there are some.
func TestPage(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := start(t, v, configuration(alice))
		pump := harness.Connect(t, s.URL(0), harness.Paho5, login("pump-7", "pump-7", token(t, "devices", "pump-7", time.Hour))).Accepted()
		gate := harness.Connect(t, s.URL(0), harness.Paho3, login("gate-1", "gate-1", token(t, "devices", "gate-1", 10*time.Minute))).Accepted()
		s.open(t, s.URL(0))
		s.shows(t, "#link", "live")
		if v.AtLeast(2, 1) == (s.text(t, "#incomplete") != "") {
			t.Errorf("it says %q of what it does not know", s.text(t, "#incomplete"))
		}

		// The list follows, and foreign text is text.
		hostile := `<img src=x onerror="document.title='run'">` + "\u202e"
		harness.Connect(t, s.URL(0), harness.Paho5, login(hostile, "laptop", token(t, "employees", "laptop", time.Hour))).Accepted()
		shown := `<img src=x onerror="document.title='run'">\u{202e}`
		s.eventually(t, "all are listed", func() bool {
			rows := s.rows(t, "clients-rows", "id")
			return slices.Contains(rows, "pump-7") && slices.Contains(rows, "gate-1") && slices.Contains(rows, shown)
		})
		gate.Disconnect()
		s.eventually(t, "who leaves is listed no more", func() bool { return !slices.Contains(s.rows(t, "clients-rows", "id"), "gate-1") })

		// Search, and a client's details, by keys alone.
		s.keys(t, "/", "PUMP")
		s.eventually(t, "one is found", func() bool {
			rows := s.rows(t, "clients-rows", "id")
			return len(rows) == 1 && rows[0] == "pump-7"
		})
		s.keys(t, kb.ArrowDown, kb.Enter)
		s.shows(t, "#client", `publish to "plant/pump-7/#" (mqtt.publish[0])`)
		s.shows(t, "#client", "All else is denied.")
		for _, want := range []string{"pump-7", "jti-pump-7", "devices", "127.0.0.1", "MQTT 5", "60 s"} {
			if !strings.Contains(s.text(t, "#client"), want) {
				t.Errorf("details lack %q: %s", want, s.text(t, "#client"))
			}
		}
		s.shot(t, "detail-"+v.Name)
		s.keys(t, kb.Escape)
		s.eventually(t, "Esc closes the details", func() bool { return s.text(t, "#client") == "" })
		s.keys(t, "/", kb.Escape)
		s.eventually(t, "Esc empties the search", func() bool { return len(s.rows(t, "clients-rows", "id")) >= 3 })

		// Disconnecting asks first, and names the client; the first Enter does nothing.
		s.keys(t, "/", "pump", kb.Enter, kb.ArrowDown, kb.Enter)
		s.shows(t, "#client", "Disconnect …")
		s.keys(t, "d")
		s.shows(t, "dialog", "Disconnect this client?")
		if whom := s.text(t, "dialog .whom"); !strings.Contains(whom, "pump-7") || !strings.Contains(whom, "devices") {
			t.Errorf("it asks about %q", whom)
		}
		s.shot(t, "question-"+v.Name)
		s.keys(t, kb.Enter)
		s.eventually(t, "Enter cancels", func() bool { return s.text(t, "dialog") == "" })
		if !pump.Connected() {
			t.Fatal("the client is disconnected without an answer")
		}
		s.keys(t, "d")
		s.shows(t, "dialog", "Disconnect this client?")
		s.do(t, chromedp.SetValue("#block", "600"), chromedp.SetValue("#reason", "a test"), chromedp.Click("dialog .danger"))
		pump.WaitDisconnect()
		s.shows(t, "#told", "Disconnected 1 client; blocked until")
		s.WaitLog(`a test`)

		// It is kept out, which shows among the refusals with what to do, until the block is removed.
		again := func() harness.Connack {
			return harness.Connect(t, s.URL(0), harness.Paho5, login("pump-7", "pump-7", token(t, "devices", "pump-7", time.Hour))).Connack()
		}
		if answer := again(); answer.Accepted() {
			t.Fatal("the block does not hold")
		}
		harness.Connect(t, s.URL(0), harness.Paho5, login("late", "late", token(t, "devices", "late", -time.Minute))).Refused()
		s.keys(t, kb.Escape, kb.Escape, "2")
		s.eventually(t, "both refusals are listed", func() bool {
			rows := s.rows(t, "refusals-rows", "reason")
			return len(rows) == 2 && rows[0] == "expired" && rows[1] == "blocked"
		})
		s.do(t, chromedp.Click("#refusals-rows-0"))
		s.shows(t, "#refusal", "has to get a new one before it connects") // docs/troubleshooting.md
		s.shot(t, "refusals-"+v.Name)
		s.keys(t, kb.Escape, "4")
		s.eventually(t, "the block is listed", func() bool { return slices.Contains(s.rows(t, "blocks-rows", "id"), "pump-7") })
		s.shot(t, "blocks-"+v.Name)
		s.do(t, chromedp.Click("#blocks-rows-0 button"))
		s.shows(t, "dialog", "Remove this block?")
		s.do(t, chromedp.Click("dialog .danger"))
		s.eventually(t, "the block is gone", func() bool { return len(s.rows(t, "blocks-rows", "id")) == 0 })
		if answer := again(); !answer.Accepted() {
			t.Errorf("it is kept out still: %v", answer)
		}

		s.keys(t, "3")
		s.shows(t, "#providers", "employees")
		s.shows(t, "#providers", issuer+"devices")
		s.shot(t, "providers-"+v.Name)

		// Nothing that matters is kept or told.
		left := js[string](t, s, `JSON.stringify({title: document.title, hash: location.hash, cookie: document.cookie, local: {...localStorage}, history: history.length,
			asked: performance.getEntriesByType('resource').map((e) => e.name), session: Object.keys(sessionStorage).sort()}) + document.documentElement.outerHTML`)
		key := js[string](t, s, `sessionStorage.getItem('key')`)
		if strings.Contains(left, key) || strings.Contains(left, s.token) || !strings.Contains(left, `"hash":"","cookie":"","local":{}`) ||
			!strings.Contains(left, `"session":["key","view"]`) || strings.Contains(left, "run") && strings.HasPrefix(left, `{"title":"run"`) {
			t.Errorf("the page keeps %s", left)
		}
		s.sound(t)
	})
}

// once is for what does not depend on the broker's version.
func once(t *testing.T, f func(t *testing.T, v brokers.Version)) {
	t.Helper()
	t.Parallel()
	all := brokers.All()
	f(t, all[len(all)-1])
}

// TestPageOnAllScreens: light and dark, wide and narrow; nothing is wider than the screen.
func TestPageOnAllScreens(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := start(t, v, configuration(alice))
		for i := range 30 {
			name := fmt.Sprintf("pump-%02d", i)
			harness.Connect(t, s.URL(0), harness.Paho3, login(name, name, token(t, "devices", name, time.Duration(i+3)*time.Minute))).Accepted()
		}
		harness.Connect(t, s.URL(0), harness.Paho5, login("late", "late", token(t, "devices", "late", -time.Minute))).Refused()
		s.open(t, s.URL(0))
		s.shows(t, "#shown", "31 clients")
		for _, scheme := range []string{"light", "dark"} {
			if _, err := chromedp.Call(s.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}}); err != nil {
				t.Fatal(err)
			}
			if background := js[string](t, s, `getComputedStyle(document.body).backgroundColor`); (background == "rgb(14, 19, 24)") != (scheme == "dark") {
				t.Errorf("%s: the background is %s", scheme, background)
			}
			if moving := js[string](t, s, `getComputedStyle(document.getElementById('told')).transitionDuration`); moving != "0s" {
				t.Errorf("motion: %s", moving)
			}
			for _, width := range []int64{1280, 900, 360} {
				s.do(t, chromedp.EmulateViewport(width, 740))
				for _, view := range []string{"refusals", "providers", "blocks", "clients"} {
					js[any](t, s, fmt.Sprintf(`document.getElementById('tab-%s').click(); null`, view))
					if view == "clients" {
						js[any](t, s, `document.querySelector('#clients-rows-1').click(); null`)
						s.shows(t, "#client", "Rights from its token")
					}
					s.shot(t, fmt.Sprintf("%s-%s-%d", view, scheme, width))
					if wide := js[string](t, s, `[...document.querySelectorAll('html, body, .bar, .tools, .grid, .side, .page, .card')]
						.filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1).map((e) => e.cloneNode().outerHTML).join()`); wide != "" {
						t.Errorf("%s, %d wide: wider than its place: %s", view, width, wide)
					}
				}
				js[any](t, s, `document.querySelector('#client .close').click(); null`)
				s.shot(t, fmt.Sprintf("list-%s-%d", scheme, width))
			}
		}
		s.sound(t)
	})
}

// TestPageSaysWhatIsWrong, and comes back by itself: a login that is not allowed any more, a broker that is not there, a command that has ended.
func TestPageSaysWhatIsWrong(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := start(t, v, configuration(alice))
		broker, err := url.Parse(s.URL(0))
		if err != nil {
			t.Fatal(err)
		}
		way := divert(t, broker.Host)
		s.open(t, "mqtt://"+way.address())
		s.shows(t, "#link", "live")

		way.cut()
		s.shows(t, "#link", "no broker")
		s.shows(t, "#banner", "The broker does not answer")
		if rows := s.rows(t, "clients-rows", "id"); len(rows) != 1 {
			t.Errorf("it shows %q of before", rows)
		}
		s.shot(t, "lost")
		way.mend()
		s.shows(t, "#link", "live")
		if text := s.text(t, "#banner"); text != "" {
			t.Errorf("the banner stays: %q", text)
		}

		s.WriteFile("jwt.json", configuration())
		s.Reload()
		s.shows(t, "#link", "not allowed")
		s.shows(t, "#banner", "options.control.admins")
		s.shot(t, "denied")
		s.WriteFile("jwt.json", configuration(alice))
		s.Reload()
		s.shows(t, "#link", "live")

		// A page that is loaded anew is the same page; one without an address is none.
		s.do(t, chromedp.Reload(), chromedp.WaitVisible("#clients-rows-0"))
		js[any](t, s, `sessionStorage.clear(); null`)
		s.do(t, chromedp.Reload())
		s.shows(t, "#banner", "opened by the address that the command shows")
		mark := s.tool.Mark()
		s.do(t, chromedp.Navigate("about:blank"), chromedp.Navigate(s.next(t, 0)))
		s.shows(t, "#banner", "This address has been used already") // it was the first one
		fresh := printed.FindAllString(s.tool.LogSince(0), -1)
		s.do(t, chromedp.Navigate("about:blank"), chromedp.Navigate(fresh[len(fresh)-1]), chromedp.WaitVisible("#clients-rows-0"))
		s.next(t, mark)

		s.sound(t)
		s.tool.Stop()
		s.shows(t, "#banner", "go-jwt-auth ui has ended")
	})
}

// TestOtherPagesCanDoNothing: pages at another site, at another port of this machine, and by a name that points to loopback, even with the key.
func TestOtherPagesCanDoNothing(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := start(t, v, configuration(alice))
		victim := harness.Connect(t, s.URL(0), harness.Paho5, login("victim", "victim", token(t, "devices", "victim", time.Hour))).Accepted()
		s.open(t, s.URL(0), chromedp.Flag("host-resolver-rules", "MAP evil.example.com 127.0.0.1"))
		s.shows(t, "#link", "live")
		key := js[string](t, s, `sessionStorage.getItem('key')`)
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!doctype html><title>elsewhere</title>`)
		}))
		t.Cleanup(site.Close)
		_, port, _ := strings.Cut(strings.TrimPrefix(site.URL, "http://"), ":")
		_, ours, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(s.address, "http://"), "/"), ":")
		attack := fmt.Sprintf(`(async (address, key) => {
			const got = [];
			const note = (what, ok) => { if (ok) got.push(what); };
			const body = JSON.stringify({clientid: 'victim'});
			const with_ = {Authorization: 'Bearer ' + key, 'Content-Type': 'application/json'};
			for (const mode of ['cors', 'no-cors']) {
				for (const headers of [with_, {'Content-Type': 'text/plain'}]) {
					await fetch(address + 'api/disconnectSession', {method: 'POST', mode, headers, body, credentials: 'include'}).then(() => note(mode + ' answered', mode === 'cors'), () => {});
				}
				await fetch(address + 'api/events', {mode, headers: with_}).then(async (r) => note('events', r.type !== 'opaque' || (await r.text()) !== ''), () => {});
				await fetch(address, {mode}).then(async (r) => note('the page', (await r.text()) !== ''), () => {});
			}
			await new Promise((done) => {
				const script = document.createElement('script');
				script.src = address + 'main.js'; script.type = 'text/javascript';
				script.onload = () => { note('a script', true); done(); }; script.onerror = done;
				document.head.append(script);
			});
			await new Promise((done) => {
				const image = new Image();
				image.onload = () => { note('an image', true); done(); }; image.onerror = done;
				image.src = address + 'icon.svg';
			});
			await new Promise((done) => {
				const frame = document.createElement('iframe');
				frame.onload = () => { try { note('a frame', frame.contentDocument?.getElementById('clients')); } catch {} done(); };
				frame.src = address;
				document.body.append(frame);
			});
			await new Promise((done) => {
				const frame = document.createElement('iframe');
				frame.name = 'answer';
				document.body.append(frame);
				const form = document.createElement('form');
				form.method = 'post'; form.action = address + 'api/disconnectSession'; form.target = 'answer'; form.enctype = 'text/plain';
				const field = document.createElement('input');
				field.name = '{"clientid":"victim","a":"'; field.value = '"}';
				form.append(field);
				document.body.append(form);
				frame.onload = done;
				form.submit();
				setTimeout(done, 3000);
			});
			return got;
		})(%q, %q)`, s.address, key)
		for _, from := range []string{site.URL, "http://localhost:" + port, "http://evil.example.com:" + port} {
			s.do(t, chromedp.Navigate(from))
			if got := js[[]string](t, s, attack); len(got) > 0 {
				t.Errorf("a page at %s gets %q", from, got)
			}
		}
		// The page's own code by another name has another origin, and is refused before that.
		for _, name := range []string{"evil.example.com", "localhost"} {
			s.do(t, chromedp.Navigate("http://"+name+":"+ours+"/"))
			if text := s.text(t, "body"); !strings.Contains(text, "takes requests of that page alone") {
				t.Errorf("%s: %s", name, text)
			}
		}
		if !victim.Connected() {
			t.Error("a client was disconnected")
		}
		s.do(t, chromedp.Navigate(s.address), chromedp.WaitVisible("#clients-rows-0")) // the same tab's own page goes on
	})
}
