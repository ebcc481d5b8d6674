package keyset_test

import (
	"context"
	"crypto"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/event"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/verdict"
)

// env is what a Source needs, under the test's control. Safe for concurrent use.
type env struct {
	mu      sync.Mutex
	clock   time.Time
	looked  func() // called whenever somebody looks at the clock; nil: nothing
	told    func() // called with each line; nil: nothing
	lines   []string
	arrived chan string // each line as it comes

	blocks bool                                      // a login that waits holds up all others
	locate func(ctx context.Context) (string, error) // where the configuration has no URL
}

func newEnv() *env {
	return &env{clock: time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC), arrived: make(chan string, 4096)}
}

func (e *env) now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.looked != nil {
		e.looked()
	}
	return e.clock
}

func (e *env) advance(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clock = e.clock.Add(d)
}

func (e *env) report(n event.Note) {
	line := "info: " + n.Text
	if n.Level == event.Warning {
		line = "warning: " + n.Text
	}
	e.mu.Lock()
	e.lines = append(e.lines, line)
	told := e.told
	e.mu.Unlock()
	if told != nil {
		told()
	}
	e.arrived <- line
}

// said returns the lines reported since the last call.
func (e *env) said() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	lines := e.lines
	e.lines = nil
	return lines
}

// says checks that the lines since the last call are those with the given parts, and no more.
func (e *env) says(t *testing.T, parts ...string) {
	t.Helper()
	lines := e.said()
	if !slices.EqualFunc(lines, parts, strings.Contains) {
		t.Errorf("reported\n\t%s\nwant\n\t%s", strings.Join(lines, "\n\t"), strings.Join(parts, "\n\t"))
	}
}

func (e *env) open(t *testing.T, cfg *config.Provider) (keyset.Source, error) {
	t.Helper()
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	source, err := keyset.New(cfg, keyset.Options{Client: client, Now: e.now, Report: e.report, Blocks: e.blocks, Locate: e.locate})
	if err == nil {
		t.Cleanup(source.Close)
	}
	return source, err
}

func (e *env) mustOpen(t *testing.T, cfg *config.Provider) keyset.Source {
	t.Helper()
	source, err := e.open(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// accepting is a configuration of mode jwks without a place yet.
func accepting(algorithms ...string) *config.Provider {
	return &config.Provider{Mode: config.ModeJWKS, Algorithms: algorithms}
}

// fileWith is a JWKS file with the given content, and its configuration.
func fileWith(t *testing.T, content []byte, algorithms ...string) *config.Provider {
	t.Helper()
	cfg := accepting(algorithms...)
	cfg.JWKS.FilePath = filepath.Join(t.TempDir(), "jwks.json")
	write(t, cfg.JWKS.FilePath, content)
	return cfg
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// provider is an identity provider's JWKS endpoint.
type provider struct {
	hits atomic.Int32

	mu     sync.Mutex
	answer http.HandlerFunc
	gate   chan struct{} // nil: open
}

func newProvider(t *testing.T, keys []byte, header ...string) (*provider, *config.Provider) {
	t.Helper()
	p := &provider{}
	p.serves(keys, header...)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	t.Cleanup(func() { p.open() }) // before that, or it waits for ever
	cfg := accepting("ES256")
	cfg.JWKS = config.JWKS{
		URI: server.URL + "/keys", Timeout: 10 * time.Second,
		Cache: config.JWKSCache{Enabled: true, TTL: time.Minute},
	}
	return p, cfg
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer, gate := p.answer, p.gate
	p.mu.Unlock()
	p.hits.Add(1)
	if gate != nil {
		<-gate
	}
	answer(w, r)
}

// serves answers with keys from now on, under the given header fields: name, value, name, value…
func (p *provider) serves(keys []byte, header ...string) {
	p.does(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		_, _ = w.Write(keys)
	})
}

func (p *provider) does(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// shut keeps requests waiting until open.
func (p *provider) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

func (p *provider) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate != nil {
		close(p.gate)
		p.gate = nil
	}
}

// asked checks how many requests there were in all.
func (p *provider) asked(t *testing.T, want int32) {
	t.Helper()
	if n := p.hits.Load(); n != want {
		t.Errorf("%d requests, want %d", n, want)
	}
}

// impatient is the context of somebody who can't wait at all.
func impatient() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// watched is a context that knows whether somebody has waited for its end.
type watched struct {
	context.Context
	waited atomic.Bool
	begins func() // called when somebody begins to wait; nil: nothing
}

func (w *watched) Done() <-chan struct{} {
	if !w.waited.Swap(true) && w.begins != nil {
		w.begins()
	}
	return w.Context.Done()
}

// finds checks that source has exactly these keys for kid and alg.
func finds(t *testing.T, source keyset.Source, kid, alg string, want ...any) {
	t.Helper()
	found, err := source.Find(t.Context(), kid, alg)
	if err != nil {
		t.Errorf("kid %s, %s: %v", verdict.Quote(kid), alg, err)
		return
	}
	if !slices.EqualFunc(found, want, same) {
		t.Errorf("kid %s, %s: found %v, want %v", verdict.Quote(kid), alg, found, want)
	}
}

func same(a, b any) bool {
	if public, ok := a.(interface{ Equal(crypto.PublicKey) bool }); ok {
		return public.Equal(b)
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}
