package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"go-jwt-auth/cmd/internal/control"
	"go-jwt-auth/cmd/internal/control/controltest"
)

// patience of a test with what has to come.
const patience = 20 * time.Second

const adminsSecret = "eyJhbGciOiJSUzI1NiJ9.the-admins-token"

// stage is a served page, and a plugin behind it.
type stage struct {
	*Server
	plugin *controltest.Plugin
	broker *controltest.Broker
	client *http.Client

	mu        sync.Mutex // guards all below
	login     func(*packets.Connect) byte
	answer    func(controltest.Command) (any, string)
	addresses []string
	answers   bytes.Buffer // all that has come from the server
}

func begin(t *testing.T) *stage {
	t.Helper()
	s := &stage{plugin: &controltest.Plugin{}, client: &http.Client{}, login: func(*packets.Connect) byte { return 0 }}
	s.answer = s.plugin.Answer
	s.broker = &controltest.Broker{
		Login: func(c *packets.Connect) byte {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.login(c)
		},
		Answer: func(c controltest.Command) (any, string) {
			s.mu.Lock()
			answer := s.answer
			s.mu.Unlock()
			return answer(c)
		},
	}
	s.serve(t, s.broker.Start(t, "mqtt", nil))
	return s
}

// logins answers logins from now on, which all clients need again.
func (s *stage) logins(by func(*packets.Connect) byte) {
	s.mu.Lock()
	s.login = by
	s.mu.Unlock()
	s.broker.Drop()
}

func (s *stage) serve(t *testing.T, url string) {
	t.Helper()
	client, err := control.New(control.Options{
		URL: url, Patience: time.Second, Pause: time.Millisecond, Password: func() (string, error) { return adminsSecret, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Server, err = Listen(Options{Listen: "127.0.0.1:0", Client: client, Version: "1.2.3", Address: func(address string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.addresses = append(s.addresses, address)
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.feed.after = func(time.Duration) <-chan time.Time { return time.After(10 * time.Millisecond) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		client.Close()
		s.client.CloseIdleConnections()
	})
}

// ticket is what the last address holds.
func (s *stage) ticket(t *testing.T) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ticket, found := strings.Cut(s.addresses[len(s.addresses)-1], "#")
	if !found || before != "http://"+s.host+"/" {
		t.Fatalf("address %q", s.addresses)
	}
	return ticket
}

// request is one to the server; what is not said of it is as the page sends it.
type request struct {
	method, path, body string
	key                string
	header             http.Header // in the place of what the page sends; "" takes it away
	host               string
}

func (s *stage) do(t *testing.T, r request) (status int, header http.Header, body string) {
	t.Helper()
	response := s.send(t, t.Context(), r)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = response.Header.Write(&s.answers)
	s.answers.Write(text)
	return response.StatusCode, response.Header, string(text)
}

func (s *stage) send(t *testing.T, ctx context.Context, r request) *http.Response { //nolint:revive // the test comes first everywhere
	t.Helper()
	asked, err := http.NewRequestWithContext(ctx, r.method, "http://"+s.host+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	asked.Header.Set("Sec-Fetch-Site", "same-origin")
	if r.method == http.MethodPost {
		asked.Header.Set("Content-Type", "application/json")
		asked.Header.Set("Origin", "http://"+s.host)
	}
	if r.key != "" {
		asked.Header.Set("Authorization", "Bearer "+r.key)
	}
	for name, values := range r.header {
		if asked.Header[name] = values; values[0] == "" {
			asked.Header.Del(name)
		}
	}
	if r.host != "" {
		asked.Host = r.host
	}
	response, err := s.client.Do(asked)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// openPage returns the key that a page gets for the last address.
func (s *stage) openPage(t *testing.T) string {
	t.Helper()
	status, _, body := s.do(t, request{method: "POST", path: "/api/open", body: `{"ticket":"` + s.ticket(t) + `"}`})
	var answer struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.Key == "" {
		t.Fatalf("%d %s", status, body)
	}
	return answer.Key
}

// page follows the stream, as the page does.
type page struct {
	sessions map[string]control.Session
	total    int
	listed   bool
	refusals []control.Refusal
	link     string // state and text
	status   control.Status
	blocks   []control.Block
	resets   int
	most     int // clients in one line
}

// follow reads the stream until met, and returns what the page shows then.
func (s *stage) follow(t *testing.T, key string, met func(*page) bool) *page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	response := s.send(t, ctx, request{method: "GET", path: "/api/events", key: key})
	defer response.Body.Close()
	p := &page{sessions: map[string]control.Session{}}
	p.read(t, s, response, met)
	return p
}

func (p *page) read(t *testing.T, s *stage, response *http.Response, met func(*page) bool) {
	t.Helper()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.answers.Write(lines.Bytes())
		s.mu.Unlock()
		p.take(t, lines.Bytes())
		if met(p) {
			return
		}
	}
	t.Fatalf("%v: it shows %d clients, %d refusals, link %q", lines.Err(), len(p.sessions), len(p.refusals), p.link)
}

func (p *page) take(t *testing.T, text []byte) {
	t.Helper()
	var line struct {
		Type     string
		Reset    bool
		Sessions []control.Session
		Ended    []string
		Total    int
		Listed   bool
		Refusals []control.Refusal
		State    string
		Text     string
		Status   control.Status
		Blocks   struct{ Blocks []control.Block }
	}
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	switch line.Type {
	case "clients":
		if line.Reset {
			p.resets++
			clear(p.sessions)
		}
		for _, session := range line.Sessions {
			p.sessions[session.ClientID] = session
		}
		for _, id := range line.Ended {
			delete(p.sessions, id)
		}
		p.total, p.listed = line.Total, line.Listed
		p.most = max(p.most, len(line.Sessions)+len(line.Ended))
	case "refusals":
		p.refusals = append(p.refusals, line.Refusals...)
	case "link":
		p.link = strings.TrimSpace(line.State + " " + line.Text)
	case "status":
		p.status = line.Status
	case "blocks":
		p.blocks = line.Blocks.Blocks
	}
}

func client(n int) control.Session {
	return control.Session{ClientID: fmt.Sprint("client-", n), Connected: true, Login: "token", Token: control.Token{Subject: "s"}}
}

func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// --- who may ask

func TestListensOnLoopbackAlone(t *testing.T) {
	c, err := control.New(control.Options{URL: "mqtt://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	listen := func(address string) error {
		s, err := Listen(Options{Listen: address, Client: c, Address: func(string) {}})
		if err == nil {
			s.listener.Close()
		}
		return err
	}
	others := []string{"0.0.0.0:0", ":0"}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addresses {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
				others = append(others, net.JoinHostPort(ip.IP.String(), "0"))
			}
		}
	}
	for _, address := range others {
		if err := listen(address); err == nil || !strings.Contains(err.Error(), "is no loopback address") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "127.9.9.9:0"} {
		if err := listen(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestAttacks: each is what a browser sends for somebody else, though with a good key, and is refused.
func TestAttacks(t *testing.T) {
	s := begin(t)
	s.plugin.Put(client(1))
	key := s.openPage(t)
	_, port, _ := net.SplitHostPort(s.host)
	good := request{method: "POST", path: "/api/disconnectSession", body: `{"clientid":"client-1"}`, key: key}
	for name, change := range map[string]func(*request){
		"a name that was pointed to loopback (DNS rebinding)": func(r *request) { r.host = "evil.example.com:" + port },
		"the same, with the Origin that belongs to it": func(r *request) {
			r.host, r.header = "evil.example.com", http.Header{"Origin": {"http://evil.example.com"}}
		},
		"another name for loopback": func(r *request) { r.host = "localhost:" + port },
		"another port in Host":      func(r *request) { r.host = "127.0.0.1:1" },
		"another site's page":       func(r *request) { r.header = http.Header{"Sec-Fetch-Site": {"cross-site"}} },
		"the same in a browser without Sec-Fetch-Site": func(r *request) {
			r.header = http.Header{"Sec-Fetch-Site": {""}, "Origin": {"https://evil.example.com"}}
		},
		"a page at another port of this machine":               func(r *request) { r.header = http.Header{"Sec-Fetch-Site": {"same-site"}} },
		"the same by its Origin":                               func(r *request) { r.header = http.Header{"Sec-Fetch-Site": {""}, "Origin": {"http://127.0.0.1:1"}} },
		"a page from a file, or in a sandbox":                  func(r *request) { r.header = http.Header{"Origin": {"null"}} },
		"this page's Origin by another scheme":                 func(r *request) { r.header = http.Header{"Origin": {"https://" + s.host}} },
		"a form, which is sent without asking":                 func(r *request) { r.header = http.Header{"Content-Type": {"text/plain"}} },
		"a form's other type":                                  func(r *request) { r.header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}} },
		"no content type":                                      func(r *request) { r.header = http.Header{"Content-Type": {""}} },
		"no key":                                               func(r *request) { r.key = "" },
		"another key":                                          func(r *request) { r.key = random() },
		"a part of the key":                                    func(r *request) { r.key = key[:40] },
		"the ticket in the place of the key":                   func(r *request) { r.key = s.ticket(t) },
		"the key in a cookie, which other ports would be sent": func(r *request) { r.key, r.header = "", http.Header{"Cookie": {"key=" + key}} },
		"the key in the address, which logs would keep":        func(r *request) { r.key, r.path = "", r.path+"?key="+key },
		"a GET, as an image sends":                             func(r *request) { r.method = "GET" },
		"a command that the page does not give":                func(r *request) { r.path = "/api/listSessions" },
		"no JSON":                                              func(r *request) { r.body = "clientid=client-1" },
		"JSON, but no object":                                  func(r *request) { r.body = `["client-1"]` },
		"a body without end":                                   func(r *request) { r.body = `{"clientid":"` + strings.Repeat("x", maxBody) + `"}` },
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			change(&r)
			status, header, body := s.do(t, r)
			if status < 400 || status == http.StatusConflict || !strings.Contains(body, `"error"`) && status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
				t.Errorf("%d %s", status, body)
			}
			for name := range header {
				if strings.HasPrefix(name, "Access-Control") || name == "Set-Cookie" {
					t.Errorf("%s: %s", name, header.Get(name))
				}
			}
			// What can be read without acting is kept as well.
			if r.host != "" || r.header != nil && r.header["Content-Type"] == nil {
				r.method, r.path, r.body = "GET", "/api/guides", ""
				if status, _, _ := s.do(t, r); status < 400 {
					t.Errorf("reading: %d", status)
				}
			}
		})
	}
	if n := len(s.plugin.Asked("disconnectSession")); n > 0 {
		t.Fatalf("%d commands have reached the broker", n)
	}
	if status, _, body := s.do(t, good); status != http.StatusOK || len(s.plugin.Asked("disconnectSession")) != 1 {
		t.Errorf("the page itself: %d %s", status, body)
	}
}

// TestNoPreflightIsGranted: what a page elsewhere may not send without asking (a header, a content type) it is not allowed.
func TestNoPreflightIsGranted(t *testing.T) {
	s := begin(t)
	for _, header := range []http.Header{
		{"Origin": {"https://evil.example.com"}, "Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"http://127.0.0.1:1"}, "Sec-Fetch-Site": {"same-site"}}, {},
	} {
		header.Set("Access-Control-Request-Method", "POST")
		header.Set("Access-Control-Request-Headers", "authorization,content-type")
		header.Set("Access-Control-Request-Private-Network", "true")
		status, got, _ := s.do(t, request{method: "OPTIONS", path: "/api/disconnectSession", header: header})
		if status < 400 {
			t.Errorf("%v: %d", header, status)
		}
		for name := range got {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("%s: %s", name, got.Get(name))
			}
		}
	}
}

// TestPageCanBeLinkedTo, as a terminal in a web page does, and nothing else of it.
func TestPageCanBeLinkedTo(t *testing.T) {
	s := begin(t)
	visit := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	if status, _, body := s.do(t, request{method: "GET", path: "/", header: visit}); status != http.StatusOK || !strings.Contains(body, "<!doctype html>") {
		t.Errorf("%d %s", status, body)
	}
	for path, header := range map[string]http.Header{
		"/main.js":    visit,
		"/api/guides": visit,
		"/":           {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}},
		"/icon.svg":   {"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}},
	} {
		if status, _, _ := s.do(t, request{method: "GET", path: path, header: header}); status != http.StatusForbidden {
			t.Errorf("%s %v: %d", path, header, status)
		}
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	s := begin(t)
	for _, r := range []request{
		{method: "GET", path: "/"},
		{method: "GET", path: "/main.js"},
		{method: "GET", path: "/nothing"},
		{method: "GET", path: "/page"},
		{method: "GET", path: "/api/guides"},
		{method: "GET", path: "/", host: "evil.example.com"},
		{method: "POST", path: "/api/open", body: "{}"},
		{method: "PUT", path: "/api/open"},
		{method: "GET", path: "/../server.go"},
	} {
		_, header, _ := s.do(t, r)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if !strings.Contains(header.Get(name), want) {
				t.Errorf("%s %s: %s: %q", r.method, r.path, name, header.Get(name))
			}
		}
		policy := header.Get("Content-Security-Policy")
		for _, want := range []string{"script-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("no %s in %s", want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
			t.Errorf("policy %s", policy)
		}
	}
}

// TestFilesAreTheirOwn: nothing is fetched from elsewhere, and nothing is run that does not stand in a file (the policy forbids both).
func TestFilesAreTheirOwn(t *testing.T) {
	entries, err := files.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := files.ReadFile("page/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		// The namespace of SVG is a name, no address.
		source := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", " style=", "onclick=", "localStorage", "document.cookie"} {
			if strings.Contains(source, bad) {
				t.Errorf("%s holds %q", e.Name(), bad)
			}
		}
	}
}

// --- the address

func TestAnAddressOpensOnePage(t *testing.T) {
	s := begin(t)
	first := s.ticket(t)
	if raw, err := base64.RawURLEncoding.DecodeString(first); err != nil || len(raw) < 16 {
		t.Fatalf("%d bytes, %v: 128 bits at least", len(raw), err)
	}
	one := s.openPage(t)
	if s.ticket(t) == first || one == first {
		t.Fatal("there is no other address")
	}
	other := s.openPage(t)
	works := func(key string) bool {
		status, _, _ := s.do(t, request{method: "GET", path: "/api/guides", key: key})
		return status == http.StatusOK
	}
	if !works(one) || !works(other) || one == other {
		t.Fatal("two pages can't be open at once")
	}
	for _, ticket := range []string{random(), "", first[:42]} {
		if status, _, body := s.do(t, request{method: "POST", path: "/api/open", body: `{"ticket":"` + ticket + `"}`}); status != http.StatusUnauthorized ||
			!strings.Contains(body, errNoTicket.Error()) {
			t.Errorf("%q: %d %s", ticket, status, body)
		}
	}
	if !works(one) || !works(other) {
		t.Fatal("a made-up address has closed a page")
	}
	// Whoever has found the first address somewhere is too late, and it is noticed.
	status, _, body := s.do(t, request{method: "POST", path: "/api/open", body: `{"ticket":"` + first + `"}`})
	if status != http.StatusUnauthorized || !strings.Contains(body, errUsedTicket.Error()) {
		t.Errorf("%d %s", status, body)
	}
	if works(one) || !works(other) {
		t.Errorf("first page %t, second %t", works(one), works(other))
	}
}

func TestAStreamEndsWithItsKey(t *testing.T) {
	s := begin(t)
	first := s.ticket(t)
	key := s.openPage(t)
	response := s.send(t, t.Context(), request{method: "GET", path: "/api/events", key: key})
	defer response.Body.Close()
	p := &page{sessions: map[string]control.Session{}}
	p.read(t, s, response, func(p *page) bool { return p.listed })
	s.do(t, request{method: "POST", path: "/api/open", body: `{"ticket":"` + first + `"}`})
	s.plugin.Put(client(1)) // something to say
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, response.Body)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
}

func TestThereAreBoundedPages(t *testing.T) {
	s := begin(t)
	first := s.openPage(t)
	for range maxPages {
		s.openPage(t)
	}
	if s.access.admits(first) || len(s.access.pages) != maxPages || len(s.access.used) != maxPages {
		t.Errorf("%d pages, %d addresses", len(s.access.pages), len(s.access.used))
	}
}

// --- what it shows

func TestPageShowsWhatTheBrokerSays(t *testing.T) {
	s := begin(t)
	for n := range 1200 {
		s.plugin.Put(client(n))
	}
	for _, id := range []string{"a", "b"} {
		s.plugin.Refuse(control.Refusal{ClientID: id, Reason: "expired"})
	}
	s.plugin.Status.Version = "7"
	key := s.openPage(t)
	p := s.follow(t, key, func(p *page) bool {
		return len(p.sessions) == 1200 && p.listed && len(p.refusals) == 2 && p.status.Version == "7" && p.link == "connected"
	})
	if p.most > lineSize || p.total != 1200 {
		t.Errorf("%d clients in a line, %d in all", p.most, p.total)
	}
	seen := 0
	s.follow(t, key, func(p *page) bool {
		switch {
		case seen == 0 && len(p.sessions) == 1200:
			seen = 1
			s.plugin.Put(control.Session{ClientID: "new", Login: "password"}, control.Session{ClientID: "client-5", Login: "token", Username: "renamed"})
			s.plugin.End("client-7", "client-8")
			s.plugin.Refuse(control.Refusal{ClientID: "c", Reason: "expired"})
		case seen == 1 && len(p.sessions) == 1199 && p.sessions["client-5"].Username == "renamed" && p.sessions["new"].Login == "password" && len(p.refusals) == 3:
			if p.resets != 1 || p.total != 1199 || p.refusals[2].ClientID != "c" {
				t.Errorf("%d times all anew, %d in all, the last refusal is %q's", p.resets, p.total, p.refusals[2].ClientID)
			}
			return true
		}
		return false
	})
	if n := len(s.plugin.Asked("listSessions")); n != 2 {
		t.Errorf("the list was read in %d pages", n)
	}
}

func TestActions(t *testing.T) {
	s := begin(t)
	s.plugin.Put(client(1), client(2))
	key := s.openPage(t)
	status, _, body := s.do(t, request{method: "POST", path: "/api/getSession", body: `{"clientid":"client-1"}`, key: key})
	if status != http.StatusOK || !strings.Contains(body, `"clientid":"client-1"`) {
		t.Errorf("%d %s", status, body)
	}
	status, _, body = s.do(t, request{method: "POST", path: "/api/getSession", body: `{"clientid":"nobody"}`, key: key})
	if status != http.StatusConflict || !strings.Contains(body, control.NoSuchClient) {
		t.Errorf("%d %s", status, body)
	}
	status, _, body = s.do(t, request{method: "POST", path: "/api/disconnectSession", body: `{"clientid":"client-1","block":60,"reason":"a test"}`, key: key})
	if status != http.StatusOK || !strings.Contains(body, `"disconnected":1`) {
		t.Errorf("%d %s", status, body)
	}
	if got := s.plugin.Asked("disconnectSession")[0]; got["reason"] != "a test" || got["block"] != 60.0 {
		t.Errorf("the command is %v", got)
	}
	p := s.follow(t, key, func(p *page) bool { return len(p.sessions) == 1 && len(p.blocks) == 1 })
	id := fmt.Sprint(p.blocks[0].ID)
	if status, _, body = s.do(t, request{method: "POST", path: "/api/removeBlock", body: `{"id":` + id + `}`, key: key}); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	s.follow(t, key, func(p *page) bool { return len(p.blocks) == 0 && len(p.sessions) == 1 })
}

func TestLostAndFound(t *testing.T) {
	s := begin(t)
	s.plugin.Put(client(1))
	step := 0
	p := s.follow(t, s.openPage(t), func(p *page) bool {
		switch {
		case step == 0 && p.link == "connected":
			step = 1
			s.logins(func(*packets.Connect) byte { return controltest.Close })
		case step == 1 && strings.HasPrefix(p.link, "lost "):
			step = 2
			s.plugin.Put(client(2))
			s.plugin.Forget() // and it has been started again
			s.logins(func(*packets.Connect) byte { return 0 })
		case step == 2 && p.link == "connected" && len(p.sessions) == 2:
			return true
		}
		return false
	})
	if p.resets != 1 {
		t.Errorf("all anew %d times: the page keeps what has not changed", p.resets)
	}
}

func TestNotAllowed(t *testing.T) {
	s := begin(t)
	s.mu.Lock()
	s.answer = func(c controltest.Command) (any, string) { return nil, "unknown command: " + c.Name() }
	s.mu.Unlock()
	s.follow(t, s.openPage(t), func(p *page) bool {
		return strings.HasPrefix(p.link, "denied ") && strings.Contains(p.link, "options.control.admins")
	})
}

// TestNobodyLooks: the broker is asked for nothing while no page is open.
func TestNobodyLooks(t *testing.T) {
	s := begin(t)
	key := s.openPage(t)
	if n := len(s.plugin.Asked("listSessions")); n > 0 {
		t.Fatalf("%d lists before a page has followed", n)
	}
	s.follow(t, key, func(p *page) bool { return p.listed })
	eventually(t, "the page has gone", s.feed.idle)
	// Two rests on end without a question: one may have been under way.
	last := -1
	eventually(t, "no question any more", func() bool {
		n := len(s.plugin.Asked("listSessionChanges"))
		same := n == last
		last = n
		time.Sleep(50 * time.Millisecond)
		return same
	})
	s.plugin.Put(client(1))
	s.follow(t, key, func(p *page) bool { return len(p.sessions) == 1 })
}

// TestListsAreAskedForWhenTheyHaveChanged: every question is a line of the audit trail.
func TestListsAreAskedForWhenTheyHaveChanged(t *testing.T) {
	s := begin(t)
	key := s.openPage(t)
	n := 0
	s.follow(t, key, func(*page) bool {
		s.plugin.Put(control.Session{ClientID: fmt.Sprint(n)}) // so that the page hears of each turn
		n++
		return len(s.plugin.Asked("listSessionChanges")) >= 40
	})
	turns := len(s.plugin.Asked("listSessionChanges"))
	for command, most := range map[string]int{"getStatus": turns/statusEvery + 2, "listRefusals": turns/listsEvery + 2, "listBlocks": turns/listsEvery + 2} {
		if got := len(s.plugin.Asked(command)); got == 0 || got > most {
			t.Errorf("%s %d times in %d turns", command, got, turns)
		}
	}
}

// TestAPageFarBehindGetsAllAnew, and no page costs memory by being slow.
func TestAPageFarBehindGetsAllAnew(t *testing.T) {
	f := newFeed(nil, time.After)
	f.roster = &control.Roster{}
	p, leave := f.enter()
	defer leave()
	f.apply([]control.Change{{Now: client(0)}, {Now: client(1)}})
	f.next(p)
	for range 3 {
		many := make([]control.Change, keptChanges)
		for i := range many {
			many[i].Now = client(i % 4)
		}
		f.apply(many)
	}
	if len(f.changes) > 2*keptChanges {
		t.Errorf("%d changes are kept", len(f.changes))
	}
	lines, _ := f.next(p)
	shown := &page{sessions: map[string]control.Session{"gone": {}}}
	for _, line := range lines {
		shown.take(t, line)
	}
	if shown.resets != 1 || len(shown.sessions) != 4 {
		t.Errorf("%d times anew, %d clients", shown.resets, len(shown.sessions))
	}
	if lines, _ := f.next(p); len(lines) > 0 {
		t.Errorf("it says %s again", lines)
	}
}

// TestSecretsStay: nothing that the server sends holds what it logs in with.
func TestSecretsStay(t *testing.T) {
	s := begin(t)
	var sent string
	s.logins(func(p *packets.Connect) byte { sent = string(p.Password); return 0 })
	s.plugin.Put(client(1))
	key := s.openPage(t)
	s.follow(t, key, func(p *page) bool { return len(p.sessions) == 1 })
	s.logins(func(*packets.Connect) byte { return 0x86 })
	s.follow(t, key, func(p *page) bool { return strings.HasPrefix(p.link, "denied ") })
	s.do(t, request{method: "POST", path: "/api/getSession", body: `{"clientid":"client-1"}`, key: key})
	s.mu.Lock()
	defer s.mu.Unlock()
	if sent != adminsSecret {
		t.Fatalf("it logs in by %q", sent)
	}
	if all := s.answers.String(); !strings.Contains(all, "client-1") || strings.Contains(all, adminsSecret) {
		t.Errorf("it sends %s", all)
	}
	if slices.ContainsFunc(s.addresses, func(a string) bool { return strings.Contains(a, key) }) {
		t.Error("a key stands in an address")
	}
}

// TestSlowBodiesEnd: whoever has no key holds no connection by a request that does not end.
func TestSlowBodiesEnd(t *testing.T) {
	s := begin(t)
	s.Server.readTimeout = 50 * time.Millisecond
	for _, head := range []string{
		"POST /api/open HTTP/1.1\r\nContent-Type: application/json\r\n", "POST /api/disconnectSession HTTP/1.1\r\nContent-Type: application/json\r\n",
		"POST /api/open HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "GET /api/events HTTP/1.1\r\n",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, head+"Host: "+s.host+"\r\nContent-Length: 100\r\n\r\n{")
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%q: %v", head, err)
		}
		_ = conn.Close()
	}
}

// TestAStreamOutlivesTheTimeOfARequest: the time that a request has to come does not end what is answered.
func TestAStreamOutlivesTheTimeOfARequest(t *testing.T) {
	s := begin(t)
	s.Server.readTimeout = 20 * time.Millisecond
	key := s.openPage(t)
	came := false
	s.follow(t, key, func(p *page) bool {
		if !came && p.listed {
			came = true
			time.AfterFunc(100*time.Millisecond, func() { s.plugin.Put(client(4711)) })
		}
		_, there := p.sessions[client(4711).ClientID]
		return there
	})
}

// TestAnAddressInTheListOfProcesses opens a page of the same user alone, and none for whoever else is faster.
func TestAnAddressInTheListOfProcesses(t *testing.T) {
	for _, mine := range []bool{true, false} {
		var printed []string
		a := newAccess(true, func(ticket string) { printed = append(printed, ticket) })
		key, err := a.open(printed[0], func() bool { return mine })
		if mine != (err == nil) || mine != a.admits(key) || !mine && !errors.Is(err, errOthersTicket) || len(printed) != 2 {
			t.Fatalf("mine %t: %v, %d addresses", mine, err, len(printed))
		}
		if _, err := a.open(printed[0], func() bool { return true }); !errors.Is(err, errUsedTicket) {
			t.Errorf("mine %t: a second time: %v", mine, err)
		}
		if _, err := a.open(printed[1], func() bool { return false }); err != nil { // it stands in the terminal alone
			t.Errorf("mine %t: the next address: %v", mine, err)
		}
	}
}

func TestWhoseAConnectionIs(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Logf("NOT TESTED: %v", err)
			continue
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		r := (&http.Request{RemoteAddr: conn.LocalAddr().String()}).WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, listener.Addr()))
		if !fromMyUser(r) {
			t.Errorf("%s is another's", address)
		}
		uid, found := ownerOf(netip.MustParseAddrPort(conn.LocalAddr().String()), netip.MustParseAddrPort(listener.Addr().String()))
		if !found || uid != os.Getuid() {
			t.Errorf("%s: %d, %t", address, uid, found)
		}
		_ = conn.Close()
		r.RemoteAddr = "127.0.0.1:1"
		if fromMyUser(r) {
			t.Error("a connection that is not there is ours")
		}
		_ = listener.Close()
	}
}

// TestAnotherBehindTheClientID: who was not shown before the question is not disconnected by its answer.
func TestAnotherBehindTheClientID(t *testing.T) {
	s := begin(t)
	key := s.openPage(t)
	shown := client(4711)
	shown.Username = "jdoe"
	text, _ := json.Marshal(map[string]any{"clientid": shown.ClientID, "shown": shown})
	other := shown
	other.Username = "boss"
	s.plugin.Put(other)
	status, _, body := s.do(t, request{method: "POST", path: "/api/disconnectSession", key: key, body: string(text)})
	if status != http.StatusConflict || !strings.Contains(body, "another's now") || len(s.plugin.Asked("disconnectSession")) != 0 {
		t.Errorf("%d %s", status, body)
	}
	shown.ConnectedAt++
	s.plugin.Put(shown) // the same again
	status, _, body = s.do(t, request{method: "POST", path: "/api/disconnectSession", key: key, body: string(text)})
	if asked := s.plugin.Asked("disconnectSession"); status != http.StatusOK || len(asked) != 1 || asked[0]["shown"] != nil {
		t.Errorf("%d %s %v", status, body, asked)
	}
}
