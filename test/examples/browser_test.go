//go:build browser

package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// page is the browser's example, open in headless Chromium and not logged in, with a provider and a broker of its own.
type page struct {
	*stage
	ctx context.Context
}

const pageClient = "page"

func openPage(t *testing.T, v brokers.Version) *page {
	t.Helper()
	return openPageWith(t, v, nil, lifetime)
}

// openPageWith has further options in jwt.json, and tokens that live for so long.
func openPageWith(t *testing.T, v brokers.Version, more map[string]any, lifetime time.Duration) *page {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v; `make test-browser` installs it", err)
	}
	files := http.FileServer(http.Dir(path(t, "examples/javascript")))
	var settings map[string]any
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/browser/settings.json" {
			_ = json.NewEncoder(w).Encode(settings)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(site.Close)
	p, err := idp.Start(idp.WithClient(idp.Client{
		ID: pageClient, Redirects: []string{site.URL + "/browser/"}, Audience: []string{"mqtt"}, Lifetime: lifetime,
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	options := map[string]any{
		"modes": map[string]any{
			"oidc": map[string]any{"issuer": p.Issuer()},
			"jwks": map[string]any{"cache": map[string]any{"enabled": true}},
		},
		"common": map[string]any{"audience": "mqtt", "matchUsernameToSubject": true},
	}
	maps.Copy(options, more)
	b := harness.Start(t, v, harness.Options{
		Listeners: []harness.Listener{{}, {}, {WebSockets: true}},
		Plugins:   []harness.Plugin{harness.JWT("jwt.json", map[string]any{"algorithm": "RS256", "mode": "oidc", "options": options})},
	})
	settings = map[string]any{
		"issuer": p.Issuer(), "clientId": pageClient, "scope": "openid offline_access",
		"mqttUrl": b.URL(2) + "/mqtt", "topic": "numbers/page", "intervalMs": 200,
	}

	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.WindowSize(900, 700))
	if os.Geteuid() == 0 {
		flags = append(flags, chromedp.NoSandbox) // it does not start as root otherwise
	}
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), flags...) // the test's own ends before its cleanup
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it: it lives for as long as this context
		t.Fatal(err)
	}
	o := &page{stage: &stage{Broker: b, provider: p}, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			o.shot(t, "failed-"+strings.ReplaceAll(t.Name(), "/", "-"))
		}
	})
	o.do(t, chromedp.Navigate(site.URL+"/browser/"), chromedp.WaitVisible("#login"))
	return o
}

// do does one thing after the other on the page.
func (o *page) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	run(t, o, chromedp.Steps(steps...))
}

// run does something on the page that has a result.
func run[T any](t *testing.T, o *page, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, harness.Patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// text is what the page shows in one of its elements.
func (o *page) text(t *testing.T, id string) string {
	t.Helper()
	return run(t, o, chromedp.Text("#"+id))
}

// login goes to the provider's page, says there who is there, and comes back.
func (o *page) login(t *testing.T) {
	t.Helper()
	o.do(
		t, chromedp.Click("#login"),
		chromedp.WaitVisible("input[name=subject]"), chromedp.SetValue("input[name=subject]", "bob"), chromedp.Click("form button"),
		chromedp.WaitVisible("#logout"),
	)
}

// tokens are the names of those that the broker has taken from the page, at a login or in place of another.
func (o *page) tokens() []string {
	return matches(o.Log(), `client "page-[^"]*" (?:\[127\.0\.0\.1\] )?(?:accepted as "?bob|renewed, ).*\(token (.*)\)`)
}

// logins are how often the page was let in.
func (o *page) logins() int {
	return len(lines(o.Log(), `client "page-[^"]*" \[127\.0\.0\.1\] (accepted) as "?bob`))
}

// shot writes down what the page looks like, for a person to look at: build/browser-NAME.png.
func (o *page) shot(t *testing.T, name string) {
	t.Helper()
	png := run(t, o, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(path(t, "build"), "browser-"+name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPageRenewsInPlace: by one connection across ten expiries, with messages both ways all the time; with all brokers at once, as it takes
// a minute and a half.
func TestPageRenewsInPlace(t *testing.T) {
	t.Parallel()
	witnesses := map[*page]*harness.Client{}
	brokers.Each(t, func(_ *testing.T, v brokers.Version) {
		o := openPageWith(t, v, nil, renewable)
		witnesses[o] = o.witness(t)
		o.login(t)
		eventually(t, "the page is connected", func() bool { return len(numbers(witnesses[o], "numbers/page")) > 0 })
	})
	n := 0
	for want := 2; want <= 10; want += 2 { // each within the patience of a test
		eventually(t, fmt.Sprint("the pages have outlived ", want, " renewed tokens"), func() bool {
			n++
			all := true
			for o, witness := range witnesses {
				witness.Publish("numbers/page", fmt.Sprint("to", n), 1)
				all = all && outlived(o.Log(), `page-[^"]*`) >= want
			}
			return all
		})
	}
	for o, witness := range witnesses {
		var shown []string
		eventually(t, "the page gets what was sent to it", func() bool {
			shown = lines(o.text(t, "messages"), `(?m)^(to\S+)$`)
			return slices.Contains(shown, fmt.Sprint("to", n))
		})
		wantGapless(t, "the page", "to", 1, shown)
		wantOnce(t, "the page", shown)
		wantGapless(t, "the witness", "", 1, numbers(witness, "numbers/page"))
		wantOnce(t, "the witness", payloads(witness, "numbers/page"))
		if n := o.logins(); n != 1 {
			t.Errorf("the page was let in %d times", n)
		}
		o.shot(t, "renewed-"+o.Version.Name)
		if told := matches(o.Log(), `(.*"page-.*(?:refused|expired).*)`); len(told) > 0 {
			t.Errorf("the plugin says: %v", told)
		}
	}
}

// TestPageStaysConnectedByRefreshTokens where the broker takes no renewals.
func TestPageStaysConnectedByRefreshTokens(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		o := openPageWith(t, v, map[string]any{"control": map[string]any{"renew": false}}, lifetime)
		witness := o.witness(t)
		o.login(t)
		n := 0
		eventually(t, "the page has had three tokens", func() bool {
			n++
			witness.Publish("numbers/page", fmt.Sprint("to", n), 1)
			return len(o.tokens()) >= 3
		})
		if got, _ := o.provider.Last(idp.Token).Form["grant_type"]; !slices.Equal(got, []string{"refresh_token"}) {
			t.Errorf("the last token came by %v", got)
		}
		seen := len(numbers(witness, "numbers/page"))
		eventually(t, "the page goes on", func() bool { return len(numbers(witness, "numbers/page")) > seen+2 })
		wantGapless(t, "the witness", "", 1, numbers(witness, "numbers/page"))
		var shown []string
		eventually(t, "the page gets what was sent to it", func() bool {
			shown = matches(o.text(t, "messages"), `(?m)^(\S+)$`) // QoS 1 may bring one twice
			return slices.Contains(shown, fmt.Sprint("to", n))
		})
		shown = slices.DeleteFunc(shown, func(text string) bool { return !strings.HasPrefix(text, "to") })
		var first int
		if _, err := fmt.Sscanf(shown[0], "to%d", &first); err != nil { // those before, it was not there yet
			t.Fatal(err)
		}
		wantGapless(t, "the page", "to", first, shown)
		o.shot(t, "connected-"+v.Name)
		if told := matches(o.Log(), `(.*"page-.*(?:refused|expired).*)`); len(told) > 0 {
			t.Errorf("the plugin says: %v", told)
		}
		kept := run(t, o, chromedp.Evaluate[string](`JSON.stringify([localStorage, sessionStorage, document.cookie]) + document.body.innerText`))
		address := run(t, o, chromedp.Location())
		if strings.Contains(kept, "eyJ") || strings.Contains(address, "code=") {
			t.Errorf("a token or code is left in the page: %s at %s", kept, address)
		}

		o.do(t, chromedp.Click("#logout"), chromedp.WaitVisible("#login"))
		if got := o.text(t, "status"); got != "logged out" {
			t.Errorf("status is %q", got)
		}
	})
}

func TestPageOutlivesAProviderThatIsDown(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		o := openPage(t, v)
		witness := o.witness(t)
		o.login(t)
		eventually(t, "the page is connected", func() bool { return len(numbers(witness, "numbers/page")) > 0 })
		if err := o.provider.SetDown(true); err != nil {
			t.Fatal(err)
		}
		o.WaitLog(`client "page-.*expired`)
		witness.Publish("numbers/page", "to1", 1)
		before := len(o.tokens())
		if err := o.provider.SetDown(false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the page comes back with another token", func() bool { return len(o.tokens()) > before })
		eventually(t, "the page gets what it has missed", func() bool {
			return slices.Contains(strings.Fields(o.text(t, "messages")), "to1")
		})
		wantGapless(t, "the witness", "", 1, numbers(witness, "numbers/page"))
	})
}

func TestPageAsksItsUserToLogInAgain(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		o := openPage(t, v)
		o.login(t)
		o.WaitLog(`client "page-.*accepted`)
		o.provider.SetAnswer(idp.Token, &idp.Answer{
			Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`,
			Header: http.Header{"Content-Type": {"application/json"}, "Access-Control-Allow-Origin": {"*"}},
		})
		o.do(t, chromedp.WaitVisible("#login"))
		if got := o.text(t, "status"); got != "please log in again (invalid_grant)" {
			t.Errorf("status is %q", got)
		}
		o.shot(t, "again-"+v.Name)
		o.provider.SetAnswer(idp.Token, nil)
		before := len(o.tokens())
		o.login(t)
		eventually(t, "the page is connected again", func() bool { return len(o.tokens()) > before })
	})
}

// TestPageTakesNoCodeThatItHasNotAskedFor: neither without a login of its own nor, during one, without its state
// (RFC 6749 §10.12). The provider is not asked, so that it is not PKCE alone that refuses.
func TestPageTakesNoCodeThatItHasNotAskedFor(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		o := openPage(t, v)
		home := run(t, o, chromedp.Location())
		for query, login := range map[string]string{
			"?code=theirs":            "",
			"?code=theirs&state=a":    "",
			"?code=theirs&iss=x":      `{"verifier":"v"}`,
			"?code=theirs&state=b":    `{"verifier":"v","state":"a"}`,
			"?code=theirs&no-state=1": `{"verifier":"v","state":"a"}`,
		} {
			run(t, o, chromedp.Evaluate[any](fmt.Sprintf("sessionStorage.clear(); if (%q) sessionStorage.setItem('login', %[1]q); null", login)))
			o.do(t, chromedp.Navigate(home+query), chromedp.WaitVisible("#login"))
			if got := o.text(t, "status"); !strings.Contains(got, "has not asked for a login") && !strings.Contains(got, `"state"`) {
				t.Errorf("%s after %s: status is %q", query, login, got)
			}
		}
		if n := o.provider.Requests(idp.Token); n > 0 {
			t.Errorf("the provider was asked for %d tokens", n)
		}
	})
}
