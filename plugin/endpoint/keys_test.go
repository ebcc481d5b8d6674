package endpoint_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

// guarded is a configuration whose keys are read at uri, with a header and with a bearer token from a file.
func guarded(t *testing.T, uri, bearer string) *config.Provider {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bearer")
	store(t, file, bearer)
	return &config.Provider{Path: config.At("$.providers[1]"), JWKS: config.JWKS{
		URI: uri, Headers: []config.SecretHeader{{Name: "X-Api-Key", Value: config.NewSecret("marker-header")}}, BearerTokenFile: file,
	}}
}

func store(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// recorder is an endpoint that remembers the header of each request.
type recorder struct {
	uri     string
	headers []http.Header
}

func record(t *testing.T, answer http.HandlerFunc) *recorder {
	t.Helper()
	r := &recorder{}
	r.uri = serve(t, func(w http.ResponseWriter, request *http.Request) {
		r.headers = append(r.headers, request.Header)
		answer(w, request)
	})
	return r
}

// last is what the last request had of the two credentials.
func (r *recorder) last() string {
	if len(r.headers) == 0 {
		return "no request"
	}
	h := r.headers[len(r.headers)-1]
	return h.Get("X-Api-Key") + ", " + h.Get("Authorization")
}

func TestCredentialsGoToTheOriginsOfTheConfigurationAlone(t *testing.T) {
	const all, none = "marker-header, Bearer marker-bearer", ", "
	r := record(t, write(200, "{}"))
	other := record(t, write(200, "{}"))
	asLocalhost := strings.Replace(r.uri, "127.0.0.1", "localhost", 1)
	for _, c := range []struct {
		rule, jwks string
		oidc       config.OIDC
		asked      *recorder
		uri, want  string
	}{
		{"the key set", r.uri + "/keys", config.OIDC{}, r, r.uri + "/keys", all},
		{"the discovery document", "", config.OIDC{Issuer: r.uri}, r, r.uri + "/.well-known/openid-configuration", all},
		{"a key set that the document names, at the issuer's origin", "", config.OIDC{Issuer: r.uri + "/realm"}, r, r.uri + "/keys", all},
		{"one at another origin", "", config.OIDC{Issuer: r.uri}, other, other.uri + "/keys", none},
		{"one at another name of the same host", "", config.OIDC{Issuer: asLocalhost}, r, r.uri + "/keys", none},
		{"jwksUri, at another origin than the issuer", "", config.OIDC{Issuer: r.uri, JWKSURI: other.uri + "/keys"}, other, other.uri + "/keys", all},
		{"the document, if jwksUri is at another origin", "", config.OIDC{Issuer: r.uri, JWKSURI: other.uri + "/keys"}, r, r.uri, all},
		{"nothing configured", "", config.OIDC{}, r, r.uri, none},
	} {
		cfg := guarded(t, c.jwks, "marker-bearer\n")
		cfg.OIDC = c.oidc
		client := newClient(t, config.TLS{})
		keys := client.ForKeys(cfg)
		if _, err := keys.Get(t.Context(), c.uri, patience); err != nil || c.asked.last() != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.rule, c.asked.last(), err, c.want)
		}
		if _, err := keys.Head(t.Context(), c.uri, patience); err != nil || c.asked.last() != c.want {
			t.Errorf("%s, by HEAD: got %s, %v; want %s", c.rule, c.asked.last(), err, c.want)
		}
		if _, err := client.Get(t.Context(), c.uri, patience); err != nil || c.asked.last() != none {
			t.Errorf("%s, for another purpose: got %s, %v", c.rule, c.asked.last(), err)
		}
	}
}

func TestTheBearerTokenIsReadAnewForEachRequest(t *testing.T) {
	r := record(t, write(200, "{}"))
	cfg := guarded(t, r.uri, "")
	client := newClient(t, config.TLS{}).ForKeys(cfg)
	file := cfg.JWKS.BearerTokenFile
	at := "$.providers[1].options.modes.jwks.bearerTokenFile: " + file
	for _, c := range []struct{ rule, content, sent, want string }{
		{"one", "marker-1", "marker-1", ""},
		{"another one, with a line end", "marker-2\r\n", "marker-2", ""},
		{"all letters that a bearer token has (RFC 6750 §2.1)", "aZ09-._~+/==", "aZ09-._~+/==", ""},
		{"none", "\n", "", at + " is empty"},
		{"two lines", "marker\nmarker", "", at + " does not hold a bearer token (RFC 6750 §2.1)"},
		{"a word before it", "Bearer marker", "", at + " does not hold a bearer token"},
		{"a control character", "marker\x00", "", at + " does not hold a bearer token"},
		{"other letters", "markür", "", at + " does not hold a bearer token"},
		{"too long", strings.Repeat("x", 65537), "", at + " does not hold a bearer token"},
	} {
		store(t, file, c.content)
		r.headers = nil
		_, err := client.Get(t.Context(), r.uri, patience)
		if c.want != "" {
			refused(t, err, "GET "+r.uri, c.want)
		} else if err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
		if c.sent != "" && r.last() != "marker-header, Bearer "+c.sent || c.sent == "" && r.headers != nil {
			t.Errorf("%s: sent %s", c.rule, r.last())
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err := client.Get(t.Context(), r.uri, patience)
	refused(t, err, "GET "+r.uri, at)
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = client.Get(t.Context(), r.uri, patience)
	refused(t, err, "GET "+r.uri, at+" is a directory")
}

func TestABearerTokenGoesBeforeAHeaderAuthorization(t *testing.T) {
	r := record(t, write(200, "{}"))
	cfg := guarded(t, r.uri, "bearer")
	cfg.JWKS.Headers = []config.SecretHeader{{Name: "authorization", Value: config.NewSecret("Basic x")}, {Name: "accept", Value: config.NewSecret("text/x")}}
	if _, err := newClient(t, config.TLS{}).ForKeys(cfg).Get(t.Context(), r.uri, patience); err != nil {
		t.Fatal(err)
	}
	if h := r.headers[0]; !slices.Equal(h.Values("Authorization"), []string{"Bearer bearer"}) || !slices.Equal(h.Values("Accept"), []string{"text/x"}) {
		t.Errorf("sent %v", h)
	}
}

// TestARefusalNamesTheCredentials: those that were sent, or those that could be.
func TestARefusalNamesTheCredentials(t *testing.T) {
	const at = "$.providers[1].options.modes.jwks."
	for status, says := range map[int]string{401: "answered 401 Unauthorized: ", 403: "answered 403 Forbidden: "} {
		r := record(t, write(status, ""))
		other := record(t, write(status, ""))
		cfg := guarded(t, r.uri, "marker-bearer")
		file := cfg.JWKS.BearerTokenFile
		header, bearer, none := *cfg, *cfg, *cfg
		header.JWKS.BearerTokenFile, bearer.JWKS.Headers = "", nil
		none.JWKS.BearerTokenFile, none.JWKS.Headers = "", nil
		for _, c := range []struct {
			rule string
			cfg  *config.Provider
			uri  string
			want string
		}{
			{"both", cfg, r.uri, "it does not accept " + at + "headers and the token in " + file + " (" + at + "bearerTokenFile)"},
			{"a bearer token", &bearer, r.uri, "it does not accept the token in " + file + " (" + at + "bearerTokenFile)"},
			{"a header", &header, r.uri, "it does not accept " + at + "headers"},
			{"none", &none, r.uri, "it may want a login (" + at + "bearerTokenFile or headers)"},
			{"none at that origin", cfg, other.uri, "it may want a login, and bearerTokenFile and headers of $.providers[1].options.modes.jwks are sent " +
				"to the origins of jwt.json alone ($.providers[1].options.modes.oidc.jwksUri makes this one of them)"},
		} {
			client, err := endpoint.New(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close() //nolint:gocritic // few
			_, err = client.ForKeys(c.cfg).Get(t.Context(), c.uri, patience)
			if want := "GET " + c.uri + ": " + says + c.want; err == nil || err.Error() != want {
				t.Errorf("%s: got %v\nwant %s", c.rule, err, want)
			}
			if failure := new(endpoint.StatusError); !errors.As(err, &failure) || failure.Status != status {
				t.Errorf("%s: %v has lost its status", c.rule, err)
			}
		}
	}
}

// TestCredentialsAreNeverShown, whatever the endpoint repeats of them.
func TestCredentialsAreNeverShown(t *testing.T) {
	for rule, answer := range map[string]string{
		"in a redirect":              "HTTP/1.1 302 Found\r\nLocation: /marker-bearer\r\n\r\n",
		"in a redirect's query":      "HTTP/1.1 302 Found\r\nLocation: ?a=marker-header\r\n\r\n",
		"in the status":              "HTTP/1.1 403 marker-bearer\r\n\r\n",
		"in a header that is broken": "HTTP/1.1 200 OK\r\nContent-Length: marker-header\r\n\r\n",
		"in the place of HTTP":       "marker-bearer marker-header\r\n\r\n",
		"in the media type":          "HTTP/1.1 200 OK\r\nContent-Type: text/marker-header\r\nContent-Length: 0\r\n\r\n",
	} {
		uri := serveRaw(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte(answer))
		})
		got, err := newClient(t, config.TLS{}).ForKeys(guarded(t, uri, "marker-bearer")).Get(t.Context(), uri, patience)
		text := fmt.Sprint(err)
		if got != nil {
			got.Body = []byte("x")
			text = got.Describe()
		} else if err == nil {
			t.Fatal("no answer, and no error")
		}
		if strings.Contains(text, "marker") {
			t.Errorf("%s: %s", rule, text)
		}
	}
}

func TestCredentialsDoNotFollowARedirect(t *testing.T) {
	target := record(t, write(200, "{}"))
	r := record(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.uri, http.StatusFound) })
	_, err := newClient(t, config.TLS{}).ForKeys(guarded(t, r.uri, "bearer")).Get(t.Context(), r.uri, patience)
	refused(t, err, "GET "+r.uri, "redirects are not followed")
	if target.headers != nil {
		t.Errorf("the target was asked with %v", target.headers)
	}
}

// TestAnAcceptThatIsRefusedIsLeftOut: some API servers of Kubernetes answer 406 to media types that they don't know.
func TestAnAcceptThatIsRefusedIsLeftOut(t *testing.T) {
	r := record(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/never" || r.Header.Get("Accept") != "" && r.URL.Path != "/always" {
			w.WriteHeader(http.StatusNotAcceptable)
		}
	})
	client := newClient(t, config.TLS{}).ForKeys(guarded(t, r.uri, "bearer"))
	for _, c := range []struct {
		path     string
		accepted []bool // whether each request had an Accept
		err      bool
	}{
		{"/always", []bool{true}, false},
		{"/keys", []bool{true, false}, false},
		{"/keys", []bool{false}, false},
		{"/other", []bool{true, false}, false},
		{"/always", []bool{true}, false},
		{"/never", []bool{true, false}, true},
		{"/never", []bool{true, false}, true},
	} {
		r.headers = nil
		_, err := client.Get(t.Context(), r.uri+c.path, patience)
		var accepted []bool
		for _, h := range r.headers {
			accepted = append(accepted, h.Get("Accept") != "")
			if h.Get("X-Api-Key") == "" {
				t.Errorf("%s: a request without credentials", c.path)
			}
		}
		if !slices.Equal(accepted, c.accepted) || (err != nil) != c.err {
			t.Errorf("%s: requests with Accept: %t, %v", c.path, accepted, err)
		}
		if c.err {
			refused(t, err, "GET "+r.uri+c.path, "answered 406 Not Acceptable")
		}
	}
}

func TestTheSameKeysAreAskedForInTheSameWay(t *testing.T) {
	base := func() *config.Provider {
		return &config.Provider{
			OIDC: config.OIDC{Issuer: "https://idp.test"},
			JWKS: config.JWKS{Headers: []config.SecretHeader{{Name: "X-Key", Value: config.NewSecret("1")}}, BearerTokenFile: "/token"},
		}
	}
	for rule, c := range map[string]struct {
		change func(*config.Provider)
		same   bool
	}{
		"unchanged":       {func(*config.Provider) {}, true},
		"another place":   {func(c *config.Provider) { c.Path = config.At("$.providers[3]") }, true},
		"another timeout": {func(c *config.Provider) { c.JWKS.Timeout++ }, true},
		"issuer":          {func(c *config.Provider) { c.OIDC.Issuer += "/" }, false},
		"jwksUri":         {func(c *config.Provider) { c.OIDC.JWKSURI = "https://idp.test/keys" }, false},
		"uri":             {func(c *config.Provider) { c.JWKS.URI = "https://idp.test/keys" }, false},
		"trust":           {func(c *config.Provider) { c.TLS.CAFile = "/ca.pem" }, false},
		"header's value":  {func(c *config.Provider) { c.JWKS.Headers[0].Value = config.NewSecret("2") }, false},
		"header's name":   {func(c *config.Provider) { c.JWKS.Headers[0].Name = "Y" }, false},
		"no header":       {func(c *config.Provider) { c.JWKS.Headers = nil }, false},
		"bearer":          {func(c *config.Provider) { c.JWKS.BearerTokenFile = "" }, false},
	} {
		changed := base()
		c.change(changed)
		if got := endpoint.SameKeys(base(), changed); got != c.same {
			t.Errorf("%s: same: %t", rule, got)
		}
	}
}
