package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/endpoint"
)

// site is a provider whose document a test decides. ISSUER stands for its address.
type site struct {
	*httptest.Server
	body   string
	status atomic.Int32
	reads  atomic.Int32
	hold   chan struct{} // closed when answers may go out; nil: at once
}

func newSite(t *testing.T, body string) *site {
	t.Helper()
	s := &site{body: body}
	s.status.Store(http.StatusOK)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		s.reads.Add(1)
		if s.hold != nil {
			<-s.hold
		}
		w.WriteHeader(int(s.status.Load()))
		_, _ = io.WriteString(w, strings.ReplaceAll(s.body, "ISSUER", s.URL))
	}))
	t.Cleanup(s.Close)
	return s
}

func newProvider(t *testing.T, issuer string, now func() time.Time) *discovery.Provider {
	t.Helper()
	return open(t, configured(issuer), now)
}

func open(t *testing.T, cfg *config.Provider, now func() time.Time) *discovery.Provider {
	t.Helper()
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return discovery.New(cfg, client, now)
}

// configured is mode oidc with an issuer.
func configured(issuer string) *config.Provider {
	return &config.Provider{Mode: config.ModeOIDC, OIDC: config.OIDC{Issuer: issuer}, JWKS: config.JWKS{Timeout: time.Minute}}
}

const good = `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","introspection_endpoint":"ISSUER/introspect"}`

func TestDocuments(t *testing.T) {
	cases := []struct {
		rule, body string
		suffix     string // of the configured issuer
		want       string // the error; empty: none
	}{
		{rule: "both endpoints", body: good},
		{rule: "an issuer with a path", body: strings.Replace(good, `"ISSUER"`, `"ISSUER/realms/test"`, 1), suffix: "/realms/test"},
		{rule: "an issuer that ends in a slash", body: strings.Replace(good, `"ISSUER"`, `"ISSUER/"`, 1), suffix: "/"},
		{rule: "another issuer", body: strings.Replace(good, `"ISSUER"`, `"https://evil.example"`, 1), want: `it is the document of issuer "https://evil.example", expected exactly "ISSUER"`},
		{
			rule: "the issuer's name to the outside, at another address", body: strings.Replace(good, `"ISSUER"`, `"https://id.example.com/"`, 1),
			want: `it is the document of issuer "https://id.example.com/", expected exactly "ISSUER" ($.options.modes.oidc.issuer); where the provider is reached at another ` +
				`address than its issuer has, take mode "jwks" with that address in $.options.modes.jwks.uri and the issuer in $.options.common.issuer`,
		},
		{rule: "an issuer that differs by a slash", body: good, suffix: "/", want: `it is the document of issuer "ISSUER", expected exactly "ISSUER/"`},
		{rule: "a member by another case", body: strings.Replace(good, "issuer", "Issuer", 1), want: `it is the document of issuer ""`},
		{rule: "no keys", body: `{"issuer":"ISSUER"}`, want: "it names no jwks_uri"},
		{rule: "keys at no address", body: `{"issuer":"ISSUER","jwks_uri":"/keys"}`, want: `its jwks_uri is "/keys", expected an http or https address`},
		{rule: "keys in a file", body: `{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`, want: "expected an http or https address"},
		{rule: "keys at two addresses", body: `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","jwks_uri":"ISSUER/k"}`, want: `it has a name twice in one object: "jwks_uri"`},
		{rule: "keys at no string", body: `{"issuer":"ISSUER","jwks_uri":["ISSUER/keys"]}`, want: "its jwks_uri is not a string"},
		{rule: "keys at null", body: `{"issuer":"ISSUER","jwks_uri":null}`, want: "it names no jwks_uri"},
		{rule: "an issuer that is no string", body: `{"issuer":7,"jwks_uri":"ISSUER/keys"}`, want: "its issuer is not a string"},
		{rule: "a byte order mark", body: "\uFEFF" + good},
		{
			rule: "members that nobody has a use for here",
			body: strings.Replace(good, "{", `{"token_endpoint":7,"device_authorization_endpoint":"/d","a":1,"a":{"b":2,"b":3},"c":"`+"\xff"+`","Issuer":"x",`, 1),
		},
		{rule: "no JSON", body: "<html>", want: `it is not JSON (its Content-Type is "text/html; charset=utf-8")`},
		{rule: "nothing", body: "", want: "it is not JSON (it is empty)"},
		{rule: "an array", body: "[]", want: "it is JSON, but not an object"},
		{rule: "two documents", body: good + good, want: "something follows the JSON object"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			s := newSite(t, c.body)
			p := newProvider(t, s.URL+c.suffix, time.Now)
			doc, err := p.Document(t.Context())
			switch {
			case c.want == "" && (err != nil || doc.JWKSURI != s.URL+"/keys" || doc.IntrospectionURI != s.URL+"/introspect"):
				t.Errorf("got %+v, %v", doc, err)
			case c.want != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), s.URL, "ISSUER"), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
			if c.want == "" {
				return
			}
			if fmt.Sprint(doc) != fmt.Sprint(discovery.Document{}) {
				t.Errorf("a document came with the error: %+v", doc)
			}
		})
	}
}

// TestAnEndpointThatIsBrokenIsMissedOnlyWhereItIsNeeded: a document serves without the endpoints that it names wrongly, and
// says of the one for introspection why it does.
func TestAnEndpointThatIsBrokenIsMissedOnlyWhereItIsNeeded(t *testing.T) {
	for _, c := range []struct{ rule, value, want string }{
		{"absent", ``, "it names no introspection_endpoint"},
		{"null", `,"introspection_endpoint":null`, "it names no introspection_endpoint"},
		{"no address", `,"introspection_endpoint":"x"`, `its introspection_endpoint is "x", expected an http or https address`},
		{"no string", `,"introspection_endpoint":7`, "its introspection_endpoint is not a string"},
		{"twice", `,"introspection_endpoint":"ISSUER/a","introspection_endpoint":"ISSUER/b"`, `it has a name twice in one object: "introspection_endpoint"`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s := newSite(t, `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","token_endpoint":"ISSUER/token","device_authorization_endpoint":"x"`+c.value+`}`)
			p := newProvider(t, s.URL, time.Now)
			doc, err := p.Document(t.Context())
			if err != nil || doc.JWKSURI != s.URL+"/keys" || doc.TokenURI != s.URL+"/token" || doc.DeviceAuthorizationURI != "" {
				t.Errorf("got %+v, %v", doc, err)
			}
			if uri, err := p.IntrospectionURI(t.Context()); uri != "" || err == nil || err.Error() != p.URI()+": "+strings.ReplaceAll(c.want, "ISSUER", s.URL)+" ($.options.revocation.introspection.uri goes before it)" {
				t.Errorf("got %q, %v; want %s", uri, err, c.want)
			}
		})
	}
	s := newSite(t, good)
	if uri, err := newProvider(t, s.URL, time.Now).IntrospectionURI(t.Context()); err != nil || uri != s.URL+"/introspect" {
		t.Errorf("got %q, %v", uri, err)
	}
	s.status.Store(http.StatusNotFound)
	if uri, err := newProvider(t, s.URL, time.Now).IntrospectionURI(t.Context()); err == nil || uri != "" {
		t.Errorf("got %q, %v", uri, err)
	}
}

// TestAReloadInAnOutageKeepsTheDocument of the same issuer, and reads it again all the same.
func TestAReloadInAnOutageKeepsTheDocument(t *testing.T) {
	s := newSite(t, good)
	old := newProvider(t, s.URL, time.Now)
	if _, err := old.Document(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.hold = make(chan struct{})
	t.Cleanup(func() { close(s.hold) })
	fresh := newProvider(t, s.URL, time.Now)
	fresh.Inherit(old)
	if doc, err := fresh.Document(t.Context()); err != nil || doc.JWKSURI != s.URL+"/keys" {
		t.Errorf("got %+v, %v", doc, err)
	}
	for deadline := time.Now().Add(30 * time.Second); s.reads.Load() != 2; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("it is not read again")
		}
	}
	other := newProvider(t, s.URL+"/other", time.Now)
	other.Inherit(fresh)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if doc, err := other.Document(gone); err == nil {
		t.Errorf("another issuer has got %+v", doc)
	}
}

// TestTheClockIsSetBack: the document is read again at once, and not only when the clock has caught up.
func TestTheClockIsSetBack(t *testing.T) {
	s := newSite(t, good)
	var clock atomic.Int64
	clock.Store(1_795_446_000)
	p := newProvider(t, s.URL, func() time.Time { return time.Unix(clock.Load(), 0) })
	if _, err := p.Document(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Add(-7200)
	for deadline := time.Now().Add(30 * time.Second); s.reads.Load() != 2; runtime.Gosched() {
		if _, err := p.Document(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("%d reads, %v", s.reads.Load(), err)
		}
	}
}

// Only the first reading is waited for: later ones go on in the background, while the document that is there serves.
func TestTheDocumentIsReadOnceAnHourAndOutlivesAnOutage(t *testing.T) {
	s := newSite(t, good)
	var clock atomic.Int64
	clock.Store(1_795_446_000)
	pass := func(d time.Duration) { clock.Add(int64(d / time.Second)) }
	p := newProvider(t, s.URL, func() time.Time { return time.Unix(clock.Load(), 0) })
	serves := func() {
		t.Helper()
		if doc, err := p.Document(t.Context()); err != nil || doc.JWKSURI != s.URL+"/keys" {
			t.Errorf("got %+v, %v", doc, err)
		}
	}
	read := func(want int32) {
		t.Helper()
		serves()
		for deadline := time.Now().Add(30 * time.Second); s.reads.Load() != want; {
			if time.Now().After(deadline) {
				t.Fatalf("%d reads, want %d", s.reads.Load(), want)
			}
			serves()
		}
		serves()
	}
	read(1)
	pass(time.Hour - time.Second)
	read(1)
	s.status.Store(http.StatusInternalServerError)
	pass(time.Second)
	read(2)
	serves()
	if got := s.reads.Load(); got != 2 {
		t.Errorf("%d reads right after a failure, want 2", got)
	}
	s.status.Store(http.StatusOK)
	// When the failure was noted can't be seen from here, so that the clock goes on until it is past.
	for deadline := time.Now().Add(30 * time.Second); s.reads.Load() != 3; pass(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("it was not read again")
		}
		serves()
	}
	pass(30 * time.Minute)
	read(3)
}

func TestTheFirstReadingIsWaitedForAsLongAsTheCallerLikes(t *testing.T) {
	s := newSite(t, good)
	s.hold = make(chan struct{})
	p := newProvider(t, s.URL, time.Now)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := p.Document(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(s.hold)
	if doc, err := p.Document(t.Context()); err != nil || doc.JWKSURI != s.URL+"/keys" {
		t.Errorf("got %+v, %v", doc, err)
	}
	if got := s.reads.Load(); got != 1 {
		t.Errorf("%d reads: the second did not join the first", got)
	}
}

func TestAnHTTPSIssuerIsNotLedAwayFromTLS(t *testing.T) {
	s := newSite(t, "")
	secure := httptest.NewTLSServer(s.Config.Handler)
	t.Cleanup(secure.Close)
	s.body = fmt.Sprintf(`{"issuer":%q,"jwks_uri":"http://127.0.0.1/keys"}`, secure.URL)
	client, err := endpoint.New(&config.Provider{TLS: config.TLS{InsecureSkipVerify: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = discovery.New(configured(secure.URL), client, time.Now).Document(t.Context())
	if err == nil || !strings.Contains(err.Error(), "expected https as the issuer has") {
		t.Errorf("got %v", err)
	}
}

// TestPathsAreThoseOfTheProvider: what is said of a key of jwt.json names it where the provider stands.
func TestPathsAreThoseOfTheProvider(t *testing.T) {
	s := newSite(t, "")
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cfg := configured(s.URL)
	cfg.Path = config.At("$.providers[1]")
	said := func(body string) string {
		s.body = body
		_, err := discovery.New(cfg, client, time.Now).IntrospectionURI(t.Context())
		return fmt.Sprint(err)
	}
	const at = "$.providers[1].options."
	if got := said(`{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`); !strings.HasSuffix(got, "("+at+"revocation.introspection.uri goes before it)") {
		t.Errorf("got %s", got)
	}
	want := "(" + at + `modes.oidc.issuer); where the provider is reached at another address than its issuer has, take mode "jwks" with that address in ` +
		at + "modes.jwks.uri and the issuer in " + at + "common.issuer"
	if got := said(`{"issuer":"https://id.example.com"}`); !strings.HasSuffix(got, want) {
		t.Errorf("got %s", got)
	}
}

// TestTheDocumentBehindALogin: its request has the headers and the bearer token.
func TestTheDocumentBehindALogin(t *testing.T) {
	s := newSite(t, good)
	plain := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "marker" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		plain.ServeHTTP(w, r)
	})
	cfg := configured(s.URL)
	for key, want := range map[string]string{"marker": "<nil>", "marker-2": "GET " + discovery.URI(s.URL) + ": answered 401 Unauthorized: it does not accept $.options.modes.jwks.headers"} {
		cfg.JWKS.Headers = []config.SecretHeader{{Name: "X-Api-Key", Value: config.NewSecret(key)}}
		if _, err := open(t, cfg, time.Now).Document(t.Context()); fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestJWKSURIGoesInThePlaceOfTheDocuments, which need not name one then, or a good one.
func TestJWKSURIGoesInThePlaceOfTheDocuments(t *testing.T) {
	const jwks = "http://other.test/keys"
	for _, named := range []string{``, `"jwks_uri":7,`, `"jwks_uri":"ISSUER/keys",`, `"jwks_uri":"/keys",`} {
		s := newSite(t, `{"issuer":"ISSUER",`+named+`"introspection_endpoint":"ISSUER/introspect"}`)
		cfg := configured(s.URL)
		cfg.OIDC.JWKSURI = jwks
		p := open(t, cfg, time.Now)
		if doc, err := p.Document(t.Context()); err != nil || doc.JWKSURI != jwks {
			t.Errorf("%s: got %+v, %v", named, doc, err)
		}
		if uri, err := p.IntrospectionURI(t.Context()); err != nil || uri != s.URL+"/introspect" {
			t.Errorf("%s: got %q, %v", named, uri, err)
		}
	}
}

// TestADocumentThatIsAskedForInAnotherWayIsNotInherited: at another address, with other credentials or another trust.
func TestADocumentThatIsAskedForInAnotherWayIsNotInherited(t *testing.T) {
	s := newSite(t, good)
	old := open(t, configured(s.URL), time.Now)
	if _, err := old.Document(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.status.Store(http.StatusNotFound)
	for rule, c := range map[string]struct {
		change    func(*config.Provider)
		inherited bool
	}{
		"unchanged":       {func(*config.Provider) {}, true},
		"another place":   {func(c *config.Provider) { c.Path = config.At("$.providers[2]") }, true},
		"another trust":   {func(c *config.Provider) { c.TLS.InsecureSkipVerify = true }, false},
		"another jwksUri": {func(c *config.Provider) { c.OIDC.JWKSURI = s.URL + "/other" }, false},
		"another bearer":  {func(c *config.Provider) { c.JWKS.BearerTokenFile = "/token" }, false},
		"another header": {func(c *config.Provider) {
			c.JWKS.Headers = []config.SecretHeader{{Name: "X", Value: config.NewSecret("1")}}
		}, false},
	} {
		cfg := configured(s.URL)
		c.change(cfg)
		fresh := open(t, cfg, time.Now)
		fresh.Inherit(old)
		if doc, err := fresh.Document(t.Context()); (err == nil) != c.inherited {
			t.Errorf("%s: %+v, %v", rule, doc, err)
		}
	}
}
