package revocation_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// The token and the secret are marked, so that they can be looked for in what is said.
const (
	password = "eyJhbGciOiJub25lIn0.marked-payload.marked-signature"
	secret   = "marked secret"
)

// check asks the endpoint at uri about password, once.
func check(t *testing.T, uri string, adjust ...func(*config.Revocation)) (verdict.Verdict, verdict.Trace) {
	t.Helper()
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cfg := config.Revocation{Timeout: time.Minute, Introspection: config.Introspection{
		URI: uri, ClientID: "broker", ClientSecret: config.NewSecret(secret), ClientAuthentication: config.ClientBasic,
	}}
	for _, a := range adjust {
		a(&cfg)
	}
	var trace verdict.Trace
	_, v := await(t, newChecker(t, &cfg, client, nil), password, time.Time{}, &trace)
	if len(trace) != 1 || trace[0].Name != "introspection" || trace[0].OK != (v.Kind == verdict.Accept) {
		t.Errorf("%s, traced as %+v", v, trace)
	}
	return v, trace
}

// locator is revocation.Options.Locate.
type locator func(ctx context.Context) (string, error)

func newChecker(t *testing.T, cfg *config.Revocation, client *endpoint.Client, locate locator) *revocation.Checker {
	t.Helper()
	return open(t, cfg, revocation.Options{Client: client, Locate: locate, Now: time.Now, Report: func(event.Note) {}})
}

// open fills in what the test leaves open.
func open(t *testing.T, cfg *config.Revocation, o revocation.Options) *revocation.Checker {
	t.Helper()
	cfg.Cache.MaxEntries, cfg.MaxConcurrent = max(cfg.Cache.MaxEntries, 1), max(cfg.MaxConcurrent, 1)
	c, err := revocation.New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// await waits for what there is to be said of a token.
func await(t *testing.T, c *revocation.Checker, token string, expires time.Time, trace *verdict.Trace) (map[string]any, verdict.Verdict) {
	t.Helper()
	said, known := c.Lookup(revocation.DigestOf(token))
	if !known {
		slot, err := c.Acquire(token, expires)
		if err != nil {
			t.Fatal(err)
		}
		said = slot.Ask(t.Context())
	}
	return c.Judge(said, trace)
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestAnswers(t *testing.T) {
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const (
		revoked = `revoked: URI says that it is not active: "active": false`
		no      = `provider unavailable: POST URI: the answer is no introspection response (RFC 7662 §2.2): `
		noAn    = no + `it has no boolean "active"`
		other   = no + `it is JSON, but not an object (Content-Type "text/plain")`
		failed  = "provider unavailable: POST URI: "
		noCreds = `: it does not accept $.options.revocation.introspection.clientId and clientSecret, sent by clientAuthentication "basic" ` +
			`(the choices: "basic", "basicRaw", "post", "privateKeyJwt")`
	)
	typed := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{kind}
			_, _ = io.WriteString(w, body)
		}
	}
	cases := []struct {
		rule    string
		handler http.HandlerFunc
		want    string // URI stands for the endpoint
	}{
		{"active", answers(200, `{"active":true}`), "accept"},
		{"active, and more", answers(200, `{"active":true,"sub":"alice","exp":1,"aud":["x"]}`), "accept"},
		{"not active", answers(200, `{"active":false}`), revoked},
		{"null members are none", answers(200, `{"active":true,"sub":null,"exp":null,"aud":null}`), "accept"},
		{"a byte order mark", answers(200, "\uFEFF{\"active\":true}"), "accept"},
		{"active twice", answers(200, `{"active":true,"active":false}`), no + `it has a name twice in one object: "active" (Content-Type "text/plain")`},
		{"invalid UTF-8", answers(200, "{\"active\":true,\"sub\":\"\xff\"}"), no + `it holds invalid UTF-8 (Content-Type "text/plain")`},
		{"active is missing", answers(200, `{"sub":"alice"}`), noAn},
		{"active is a string", answers(200, `{"active":"true"}`), noAn},
		{"active is a number", answers(200, `{"active":1}`), noAn},
		{"active is null", answers(200, `{"active":null}`), noAn},
		{"active is an object", answers(200, `{"active":{"active":true}}`), noAn},
		{"active in another case", answers(200, `{"Active":true}`), noAn},
		{"active in another case beside", answers(200, `{"active":false,"ACTIVE":true}`), revoked},
		{"active further down", answers(200, `{"data":{"active":true}}`), noAn},
		{"an array", answers(200, `[{"active":true}]`), other},
		{"true alone", answers(200, `true`), other},
		{"null", answers(200, `null`), other},
		{"nothing", answers(200, ``), no + "it is empty (without a Content-Type that can be read)"},
		{"nothing, of a kind", typed("application/json;charset=UTF-8", " \n"), no + `it is empty (Content-Type "application/json")`},
		{"a signed answer", typed("application/token-introspection+jwt", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), no + `it is a signed one (RFC 9701, Content-Type "application/token-introspection+jwt"), which is not supported: have the provider answer with application/json`},
		{"a token", typed("application/jwt", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), no + `it is not JSON (Content-Type "application/jwt")`},
		{"a kind that repeats the token", typed("text/html; token="+password, "<html>"), no + `it is not JSON (Content-Type "text/html")`},
		{"the token as the kind", typed(password, "<html>"), no + "it is not JSON (without a Content-Type that can be read)"},
		{"HTML", answers(200, `<!DOCTYPE html><html>{"active":true}</html>`), no + `it is not JSON (Content-Type "text/html")`},
		{"more behind it", answers(200, `{"active":true}{"active":false}`), no + `something follows the JSON object (Content-Type "text/plain")`},
		{"cut JSON", answers(200, `{"active":true`), no + `it is not JSON (Content-Type "text/plain")`},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"active":true}`)
		}, failed + "unexpected EOF"},
		{"a repeated token is not told", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.FormValue("token")) }, no + `it is not JSON (Content-Type "text/plain")`},
		{"201 is no answer", answers(201, `{"active":true}`), failed + "answered 201 Created"},
		{"204 is no answer", answers(204, ``), failed + "answered 204 No Content"},
		{"400", answers(400, `{"error":"invalid_request"}`), failed + "answered 400 Bad Request"},
		{"401: the credentials are at fault", answers(401, `{"error":"invalid_client"}`), failed + "answered 401 Unauthorized" + noCreds},
		{"403: likewise", answers(403, ``), failed + "answered 403 Forbidden" + noCreds},
		{"404, whatever the body says", answers(404, `{"active":true}`), failed + "answered 404 Not Found"},
		{"500, whatever the body says", answers(500, `{"active":true}`), failed + "answered 500 Internal Server Error"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.test/?"+r.FormValue("token"), http.StatusFound)
		}, failed + "answered 302 Found to https://login.test/ (redirects are not followed: configure the address that answers itself)"},
		{"closed without a word", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, failed + "EOF"},
		{"no answer in time", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body) // only then does the server see that the client has gone
			<-r.Context().Done()
		}, failed + "no answer within 100ms: context deadline exceeded"},
		{"too large an answer", answers(200, `{"active":true}`+strings.Repeat(" ", 1<<20)), failed + "the answer is larger than 1048576 bytes"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			uri := serve(t, c.handler) + "/introspect"
			adjust := func(r *config.Revocation) { r.Introspection.URI += "?apikey=marked" }
			patience := func(r *config.Revocation) {
				if strings.Contains(c.want, "100ms") {
					r.Timeout = 100 * time.Millisecond
				}
			}
			v, trace := check(t, uri, adjust, patience)
			if want := strings.ReplaceAll(c.want, "URI", uri+"?…"); v.String() != want {
				t.Errorf("got  %s\nwant %s", v, want)
			}
			if said := fmt.Sprint(v, trace); strings.Contains(said, "marked") {
				t.Errorf("a secret is told: %s", said)
			}
		})
	}
}

// Where the token itself authorizes the request, 401 is about the token: strangers' ones must not have the endpoint left alone.
func TestATokenThatAuthorizesItsOwnQuestion(t *testing.T) {
	uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, `{"active":true}`)
	})
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cfg := config.Revocation{Timeout: time.Minute, Introspection: config.Introspection{URI: uri}}
	cfg.Introspection.Request.Headers = []config.Header{{Name: "authorization", Value: "Bearer " + config.TokenPlaceholder}}
	c := newChecker(t, &cfg, client, nil)
	for n := range 10 {
		if _, v := await(t, c, fmt.Sprint("stranger ", n), time.Time{}, new(verdict.Trace)); v.Reason != verdict.Revoked {
			t.Errorf("a stranger's: %s", v)
		}
	}
	if _, v := await(t, c, "good", time.Time{}, new(verdict.Trace)); v.Kind != verdict.Accept {
		t.Errorf("a good one: %s", v)
	}
}

// A token that stands in the path is not told, whatever the endpoint makes of it.
func TestATokenInThePathIsNotTold(t *testing.T) {
	repeats := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://login.test"+r.URL.Path)
			w.WriteHeader(status)
		}
	}
	for rule, handler := range map[string]http.HandlerFunc{
		"redirected": repeats(302), "moved": repeats(308), "created": repeats(201), "refused": repeats(401),
		"closed": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(rule, func(t *testing.T) {
			uri := serve(t, handler)
			v, trace := check(t, uri, func(r *config.Revocation) {
				r.Introspection.Request.Path = "/check/" + config.TokenPlaceholder + "?t=" + config.TokenPlaceholder
			})
			if said := fmt.Sprint(v, trace); v.Reason != verdict.ProviderUnavailable || strings.Contains(said, "marked") || strings.Contains(said, "eyJh") {
				t.Errorf("got %s", said)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	uri := "http://" + testport.Free(t)
	v, _ := check(t, uri)
	if want := "provider unavailable: POST " + uri + ": can't connect: connect: connection refused"; v.String() != want || v.Kind != verdict.Deny {
		t.Errorf("got %s, want %s", v, want)
	}
}

// TestRequest: RFC 7662 §2.1, one request and no more.
func TestRequest(t *testing.T) {
	cases := []struct {
		rule   string
		adjust func(*config.Introspection)
		form   url.Values
		basic  string // what HTTP Basic carries; "": none
	}{
		{"token alone", func(*config.Introspection) {}, url.Values{"token": {password}}, "broker:marked+secret"},
		{"with the hint", func(i *config.Introspection) { i.TokenTypeHint = true }, url.Values{"token": {password}, "token_type_hint": {"access_token"}}, "broker:marked+secret"},
		{"without credentials", func(i *config.Introspection) { i.ClientID, i.ClientSecret = "", config.Secret{} }, url.Values{"token": {password}}, ""},
		{"without a secret", func(i *config.Introspection) { i.ClientSecret = config.Secret{} }, url.Values{"token": {password}}, "broker:"},
		{"credentials of special characters (RFC 6749 §2.3.1)", func(i *config.Introspection) {
			i.ClientID, i.ClientSecret = "a:b", config.NewSecret("100% ü+")
		}, url.Values{"token": {password}}, "a%3Ab:100%25+%C3%BC%2B"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			var requests atomic.Int32
			uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				body, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || string(body) != c.form.Encode() {
					t.Errorf("got %s of %s: %s", r.Method, r.Header.Get("Content-Type"), body)
				}
				if accept := r.Header.Get("Accept"); accept != "application/json" {
					t.Errorf("accepts %s", accept)
				}
				id, secret, sent := r.BasicAuth()
				if sent != (c.basic != "") || (sent && id+":"+secret != c.basic) {
					t.Errorf("got credentials %q:%q, want %q", id, secret, c.basic)
				}
				if r.URL.RawQuery != "" {
					t.Errorf("the address got a query: %s", r.URL.RawQuery)
				}
				_, _ = io.WriteString(w, `{"active":true}`)
			})
			if v, _ := check(t, uri, func(r *config.Revocation) { c.adjust(&r.Introspection) }); v.Kind != verdict.Accept {
				t.Errorf("got %s", v)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
