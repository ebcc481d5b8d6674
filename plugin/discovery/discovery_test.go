package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
	client, err := endpoint.New(config.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return discovery.New(issuer, time.Minute, client, now)
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
		{rule: "an issuer that differs by a slash", body: good, suffix: "/", want: `it is the document of issuer "ISSUER", expected exactly "ISSUER/"`},
		{rule: "a member by another case", body: strings.Replace(good, "issuer", "Issuer", 1), want: `it is the document of issuer ""`},
		{rule: "no keys", body: `{"issuer":"ISSUER"}`, want: "it names no jwks_uri"},
		{rule: "keys at no address", body: `{"issuer":"ISSUER","jwks_uri":"/keys"}`, want: `its jwks_uri is "/keys", expected an http or https address`},
		{rule: "keys in a file", body: `{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`, want: "expected an http or https address"},
		{rule: "introspection at no address", body: `{"issuer":"ISSUER","jwks_uri":"ISSUER/k","introspection_endpoint":"x"}`, want: "its introspection_endpoint is"},
		{rule: "no JSON", body: "<html>", want: "it is no JSON object"},
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
	client, err := endpoint.New(config.TLS{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = discovery.New(secure.URL, time.Minute, client, time.Now).Document(t.Context())
	if err == nil || !strings.Contains(err.Error(), "expected https as the issuer has") {
		t.Errorf("got %v", err)
	}
}
