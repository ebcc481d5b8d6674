// Package testidp is an identity provider inside of a test's process, with the configurations by which tests ask it.
package testidp

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

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testkeys"
)

// Now is the clock of the tests, in seconds of Unix time: 2026-11-23T15:00:00Z.
const Now = 1795446000

// ClientSecret is the one that configurations of Server have.
const ClientSecret = "mC7!pQ2%xW9 zL4+tR6:vN8"

// Server is an identity provider with two endpoints, /keys and /introspect, which do what the test sets. Safe for concurrent
// use.
type Server struct {
	URL string

	mu               sync.Mutex
	keys, introspect http.HandlerFunc
	asked            []string // method and path of each request
}

// New starts a Server that has no keys and calls every token active. It closes with the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{keys: http.NotFound, introspect: Answer(http.StatusOK, `{"active":true}`)}
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	handler := map[string]http.HandlerFunc{"/keys": s.keys, "/introspect": s.introspect}[r.URL.Path]
	s.mu.Unlock()
	_, _ = io.ReadAll(r.Body) // only then does the server see a client go
	handler(w, r)
}

// Does sets what the endpoints do; nil leaves one as it is.
func (s *Server) Does(keys, introspect http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keys != nil {
		s.keys = keys
	}
	if introspect != nil {
		s.introspect = introspect
	}
}

// Requests returns those since the last call.
func (s *Server) Requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := strings.Join(s.asked, ", ")
	s.asked = nil
	return asked
}

// Answer always answers the same.
func Answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Stuck answers nothing until the client gives up.
func Stuck(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Defaults are those of jwt.json, as far as tests depend on them, without any keys.
func Defaults(algorithms ...string) *config.Provider {
	return &config.Provider{
		Algorithms: algorithms, Mode: config.ModeJWKS,
		Common: config.Common{
			ValidateExpiration: true, RequireExpiration: true, OnMismatch: config.MismatchRewrite, UsernameClaim: "sub", ClientIDClaim: "sub",
			RememberVerified: true,
		},
	}
}

// InFile is Defaults with the given keys in a JWKS file.
func InFile(tb testing.TB, keys ...testkeys.Key) *config.Provider {
	tb.Helper()
	cfg := Defaults()
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

// Config is Defaults with both endpoints of the server.
func (s *Server) Config(algorithms ...string) *config.Provider {
	cfg := Defaults(algorithms...)
	cfg.JWKS = config.JWKS{
		URI: s.URL + "/keys", Timeout: time.Minute, MaxBlock: time.Minute, Cache: config.JWKSCache{Enabled: true, TTL: time.Minute},
	}
	cfg.Revocation = s.Introspection()
	return cfg
}

// Opaque is Defaults in mode introspection, with the server's endpoint.
func (s *Server) Opaque() *config.Provider {
	cfg := Defaults()
	cfg.Mode = config.ModeIntrospection
	cfg.Common.MatchUsername, cfg.Common.UsernameClaim = true, "sub"
	cfg.Revocation = s.Introspection()
	return cfg
}

// Introspection has the server asked about each token.
func (s *Server) Introspection() *config.Revocation {
	return &config.Revocation{Timeout: time.Minute, MaxConcurrent: 4, RetryWindow: 10 * time.Second, Cache: config.AnswerCache{MaxEntries: 10}, Introspection: config.Introspection{
		URI: s.URL + "/introspect", ClientID: "broker", ClientSecret: config.NewSecret(ClientSecret),
	}}
}

// Reports are the lines for the operator. Safe for concurrent use.
type Reports struct {
	mu    sync.Mutex
	lines []string
}

// Add takes one.
func (r *Reports) Add(n event.Note) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("warning=%t %s", n.Level == event.Warning, n.Text))
}

// All are those that there are by now.
func (r *Reports) All() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}
