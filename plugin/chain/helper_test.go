package chain_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// The clock of all tests: 2026-11-23T15:00:00Z.
const now = 1795446000

type object = testkeys.Object

// standIn is an identity provider with two endpoints, which do what the test sets.
type standIn struct {
	url string

	mu               sync.Mutex
	keys, introspect http.HandlerFunc
	asked            []string // method and path of each request
}

func newProvider(tb testing.TB) *standIn {
	tb.Helper()
	p := &standIn{keys: http.NotFound, introspect: answer(200, `{"active":true}`)}
	server := httptest.NewServer(p)
	tb.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.URL.Path)
	handler := map[string]http.HandlerFunc{"/keys": p.keys, "/introspect": p.introspect}[r.URL.Path]
	p.mu.Unlock()
	_, _ = io.ReadAll(r.Body) // only then does the server see a client go
	handler(w, r)
}

// does sets what the endpoints do; nil leaves one as it is.
func (p *standIn) does(keys, introspect http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if keys != nil {
		p.keys = keys
	}
	if introspect != nil {
		p.introspect = introspect
	}
}

// requests returns those since the last call.
func (p *standIn) requests() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := strings.Join(p.asked, ", ")
	p.asked = nil
	return asked
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func stuck(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// defaults are those of jwt.json, as far as they matter here.
func defaults(algorithms ...string) *config.Provider {
	return &config.Provider{
		Algorithms: algorithms, Mode: config.ModeJWKS,
		Common: config.Common{
			ValidateExpiration: true, RequireExpiration: true, OnMismatch: config.MismatchRewrite, UsernameClaim: "sub", ClientIDClaim: "sub",
			RememberVerified: true,
		},
	}
}

// inFile is defaults with the given keys in a JWKS file.
func inFile(tb testing.TB, keys ...testkeys.Key) *config.Provider {
	tb.Helper()
	cfg := defaults()
	entries := make([]any, len(keys))
	for i, k := range keys {
		cfg.Algorithms = append(cfg.Algorithms, k.Alg)
		entries[i] = k
	}
	cfg.JWKS.FilePath = filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(cfg.JWKS.FilePath, testkeys.Set(entries...), 0o600); err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// atProvider is defaults with the provider's endpoints.
func atProvider(p *standIn, algorithms ...string) *config.Provider {
	cfg := defaults(algorithms...)
	cfg.JWKS = config.JWKS{
		URI: p.url + "/keys", Timeout: time.Minute, MaxBlock: time.Minute, Cache: config.JWKSCache{Enabled: true, TTL: time.Minute},
	}
	cfg.Revocation = introspection(p)
	return cfg
}

func introspection(p *standIn) *config.Revocation {
	return &config.Revocation{Timeout: time.Minute, MaxConcurrent: 4, RetryWindow: 10 * time.Second, Cache: config.AnswerCache{MaxEntries: 10}, Introspection: config.Introspection{
		URI: p.url + "/introspect", ClientID: "broker", ClientSecret: config.NewSecret(clientSecret),
	}}
}

const clientSecret = "mC7!pQ2%xW9 zL4+tR6:vN8"

// reports are the lines that a chain has for the operator. Safe for concurrent use.
type reports struct {
	mu    sync.Mutex
	lines []string
}

func (r *reports) add(n event.Note) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("warning=%t %s", n.Level == event.Warning, n.Text))
}

func (r *reports) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// only is the provider of a chain that has one.
func only(c *chain.Chain) *provider.Provider { return c.Providers()[0] }

// drop gives up what Begin has left open, if anything.
func drop(open *provider.Open) {
	if open != nil {
		open.Drop()
	}
}

// whole is a file with this provider alone.
func whole(cfg *config.Provider) *config.Config {
	return &config.Config{
		OnNonToken: config.NonTokenDefer, MaxTokenBytes: 16384, TokenSource: []config.TokenSource{config.TokenInPassword},
		Providers: []*config.Provider{cfg},
	}
}

func newChain(tb testing.TB, cfg *config.Provider) (*chain.Chain, *reports) {
	tb.Helper()
	return newChainOf(tb, whole(cfg))
}

func newChainOf(tb testing.TB, file *config.Config) (*chain.Chain, *reports) {
	tb.Helper()
	said := &reports{}
	c, err := chain.New(file, nil, provider.Options{Now: func() time.Time { return time.Unix(now, 0) }, Report: said.add})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c, said
}

// login is by client "c" with username "u".
func login(password string) broker.Connect {
	username := "u"
	return broker.Connect{ClientID: "c", Username: &username, Password: &password}
}

// show is a trace, a line for each check.
func show(trace verdict.Trace) string {
	var lines []string
	for _, c := range trace {
		mark := "no"
		if c.OK {
			mark = "ok"
		}
		lines = append(lines, fmt.Sprintf("%s %s: expected %s, found %s", mark, c.Name, c.Expected, c.Found))
	}
	return strings.Join(lines, "\n")
}
