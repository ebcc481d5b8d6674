// Package managementcenter has Cedalo's own Management Center show who is connected. It skips unless MANAGEMENT_CENTER names the folder with
// the start.js of one that is installed, with its web pages in public/ (its "backend"; tried: 2.8 of May 2025). It runs on this machine
// alone, and asks nothing of others.
package managementcenter

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

const homeVariable = "MANAGEMENT_CENTER"

// Mosquitto 2.1 answers for topics that no plugin has, in a form at which the Management Center ends: it may ask at no others.
var panelMay = []harness.ACL{
	{Type: "publishClientSend", Topic: "$CONTROL/cedalo/inspect/v1", Allow: true},
	{Type: "publishClientSend", Topic: "$CONTROL/dynamic-security/v1", Allow: true},
	{Type: "subscribePattern", Topic: "$CONTROL/#", Allow: true},
	{Type: "publishClientReceive", Topic: "$CONTROL/#", Allow: true},
	{Type: "subscribePattern", Topic: "$SYS/#", Allow: true},
	{Type: "publishClientReceive", Topic: "$SYS/#", Allow: true},
}

// Its page of clients shows those of each broker: by token, by password, without a name, by WebSocket, and away (2.1).
func TestClientInspection(t *testing.T) {
	home := os.Getenv(homeVariable)
	if home == "" {
		t.Skip(homeVariable + " names no Management Center")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip(err)
	}
	p, err := idp.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Listeners: []harness.Listener{{}, {WebSockets: true}}, AllowAnonymous: true,
			Plugins: []harness.Plugin{
				harness.JWT("jwt.json", map[string]any{"algorithm": "RS256", "mode": "oidc", "options": map[string]any{
					"modes":   map[string]any{"oidc": map[string]any{"issuer": p.Issuer()}},
					"common":  map[string]any{"matchUsernameToSubject": true},
					"control": map[string]any{"admins": []string{"panel"}},
				}}),
				harness.Dynsec{
					Roles: map[string][]harness.ACL{"panel": panelMay},
					Clients: []harness.DynsecClient{
						{Username: "panel", Password: "panel's password", Roles: []string{"panel"}}, {Username: "meter", Password: "meter's password"},
					},
				}.Plugin(),
			},
		})
		byToken := func(id, subject string) harness.Login {
			return harness.Login{ClientID: id, Username: &subject, Password: new(p.Token(subject, time.Hour))}
		}
		harness.Connect(t, b.URL(0), harness.Paho5, byToken("pump-17", "pump-17")).Accepted()
		harness.Connect(t, b.URL(0), harness.Paho3, byToken("pump-18", "pump-18")).Accepted()
		harness.Connect(t, b.URL(1), harness.MQTTJS5, byToken("dashboard-a3f0", "alice")).Accepted()
		harness.Connect(t, b.URL(0), harness.Paho3, harness.Login{ClientID: "meter-2", Username: new("meter"), Password: new("meter's password")}).Accepted()
		harness.Connect(t, b.URL(0), harness.Paho3, harness.Login{ClientID: "nameless"}).Accepted()
		gateway := byToken("gateway-4", "gateway-4")
		gateway.Resume, gateway.SessionExpiry = true, 1<<32-1
		harness.Connect(t, b.URL(0), harness.Paho5, gateway).Accepted().Disconnect()
		if v.AtLeast(2, 1) {
			b.WaitLog("gateway-4")
		}

		page := open(t, chromium, start(t, home, b.URL(0)))
		page.do(t, chromedp.Navigate(page.url+"/clientinspection"))
		rows := page.rows(t, `nameless`)
		for _, want := range []string{
			"pump-17|pump-17|MQTT v5|127.0.0.1|", "pump-18|pump-18|MQTT v3.1.1|127.0.0.1|", "alice|dashboard-a3f0|MQTT-WS v5|127.0.0.1|",
			"meter|meter-2|MQTT v3.1.1|127.0.0.1|", "<anonymous>|nameless|MQTT v3.1.1|127.0.0.1|", "panel|mmc-",
		} {
			if !strings.Contains(rows, want) {
				t.Errorf("not there: %s", want)
			}
		}
		connected := page.count(t, `[id^="enabled-client-icon-"]`)
		away := page.count(t, `[id^="disabled-client-icon-"]`)
		if wantAway := map[bool]int{true: 1}[v.AtLeast(2, 1)]; connected != 6 || away != wantAway {
			t.Errorf("%d are shown as connected, %d as away", connected, away)
		}
		page.do(t, click(`[...document.querySelectorAll("button")].find(b => /get started/i.test(b.textContent))`))
		page.shot(t, "management-center-"+v.Name)
		// A click on a row asks for that client, by a name that is none of a client id.
		page.do(t, click(`[...document.querySelectorAll("td")].find(d => d.textContent == "pump-18")`))
		b.WaitLog(`commanded getClient of client "pump-18"`)
	})
}

// start starts a Management Center for a broker, and returns its address.
func start(t *testing.T, home, broker string) string {
	t.Helper()
	port, dir := harness.FreePort(t), t.TempDir()
	config := filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, []byte(`{"connections":[],"tools":{"streamsheets":{"instances":[]}},"plugins":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, "node", "start.js")
	command.Dir = home
	command.Env = append(os.Environ(),
		"CEDALO_MC_MODE=offline", "CEDALO_MC_PROXY_HOST=127.0.0.1", "CEDALO_MC_PROXY_PORT="+port, "CEDALO_MC_PROXY_CONFIG="+config,
		"CEDALO_MC_USERNAME=cedalo", "CEDALO_MC_PASSWORD=secret", "CEDALO_MC_BROKER_ID=broker", "CEDALO_MC_BROKER_NAME=Broker",
		"CEDALO_MC_BROKER_URL="+broker, "CEDALO_MC_BROKER_USERNAME=panel", "CEDALO_MC_BROKER_PASSWORD=panel's password")
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait()
		if text, err := os.ReadFile(out.Name()); err == nil && t.Failed() {
			t.Logf("The Management Center said:\n%s", text)
		}
	})
	url := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if r, err := http.Get(url + "/login"); err == nil {
			_ = r.Body.Close()
			return url
		}
		if time.Now().After(deadline) {
			t.Fatal("the Management Center does not come up")
		}
	}
}

// page is Chromium with somebody logged in at a Management Center.
type page struct {
	ctx context.Context
	url string
}

func open(t *testing.T, chromium, url string) *page {
	t.Helper()
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.WindowSize(1300, 720))
	if os.Geteuid() == 0 {
		flags = append(flags, chromedp.NoSandbox) // it does not start as root otherwise
	}
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it: it lives for as long as this context
		t.Fatal(err)
	}
	o := &page{ctx: ctx, url: url}
	t.Cleanup(func() {
		if t.Failed() {
			o.shot(t, "failed-management-center")
		}
	})
	o.do(t, chromedp.Navigate(url+"/login"))
	o.until(t, `document.querySelector("input[name=password]") != null`)
	o.do(t, chromedp.SetValue("input[name=username]", "cedalo"), chromedp.SetValue("input[name=password]", "secret"),
		chromedp.Submit("input[name=password]"))
	o.until(t, `(document.body?.textContent ?? "").includes("Broker Traffic")`)
	return o
}

func (o *page) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	run(t, o, chromedp.Steps(steps...))
}

// until waits for something to become true on the page.
func (o *page) until(t *testing.T, condition string) {
	t.Helper()
	for deadline := time.Now().Add(2 * harness.Patience); !run(t, o, chromedp.Evaluate[bool](condition)); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not become true: %s; the page is\n%s", condition, run(t, o, chromedp.Evaluate[string](`document.body.innerText`)))
		}
	}
}

func run[T any](t *testing.T, o *page, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, 2*harness.Patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// rows is the table, a line a row, once there is such a client in it.
func (o *page) rows(t *testing.T, client string) string {
	t.Helper()
	o.until(t, fmt.Sprintf(`[...document.querySelectorAll("td")].some(d => d.textContent == %q)`, client))
	return run(t, o, chromedp.Evaluate[string](
		`[...document.querySelectorAll("tbody tr")].map(r => [...r.querySelectorAll("td")].map(d => d.textContent).join("|")).join("\n")`))
}

// click clicks on what an expression finds.
func click(element string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](element + `.click()`)
}

func (o *page) count(t *testing.T, selector string) int {
	t.Helper()
	return run(t, o, chromedp.Evaluate[int](fmt.Sprintf(`document.querySelectorAll(%q).length`, selector)))
}

// shot writes down what the page looks like, for a person to look at: build/NAME.png.
func (o *page) shot(t *testing.T, name string) {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "build", name+".png"), run(t, o, chromedp.FullScreenshot(100)), 0o600); err != nil {
		t.Fatal(err)
	}
}
