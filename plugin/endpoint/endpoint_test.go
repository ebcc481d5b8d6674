package endpoint_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/testport"
)

// patience is a timeout that no test is meant to reach.
const patience = time.Minute

func TestGet(t *testing.T) {
	largest := strings.Repeat("x", endpoint.MaxBody)
	cases := []struct {
		rule    string
		handler http.HandlerFunc
		want    string // the body
		err     string
	}{
		{"200 is an answer", write(200, "hello"), "hello", ""},
		{"the largest body", write(200, largest), largest, ""},
		{"a larger body", write(200, largest+"x"), "", "the answer is larger than 1048576 bytes"},
		{"a body without end", endless, "", "the answer is larger than 1048576 bytes"},
		{"gzip is decompressed", gzipped([]byte("hello")), "hello", ""},
		{"a gzip bomb is bounded after decompression", gzipped(make([]byte, 16<<20)), "", "the answer is larger than 1048576 bytes"},
		{"a header without end", endlessHeader, "", "exceeded 65536 bytes"},
		{"half an answer", half, "", "unexpected EOF"},
		{"204 has nothing to read", write(204, ""), "", "answered 204 No Content"},
		{"401", write(401, "who are you"), "", "answered 401 Unauthorized"},
		{"404", write(404, "no"), "", "answered 404 Not Found"},
		{"500", write(500, "oops"), "", "answered 500 Internal Server Error"},
		{"a status that has no name", write(599, ""), "", "answered 599"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			uri := serve(t, c.handler)
			answer, err := newClient(t, config.TLS{}).Get(t.Context(), uri, patience)
			if c.err == "" && (err != nil || string(answer.Body) != c.want || answer.Status != 200) {
				t.Errorf("got %+v, %v, want %d bytes", answer, err, len(c.want))
			}
			if c.err != "" {
				refused(t, err, "GET "+uri, c.err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	stuck := make(chan struct{})
	cases := []struct {
		rule, uri string
		timeout   time.Duration
		want      string
		cause     error
	}{
		{"nobody listens", "http://" + testport.Free(t), patience, "can't connect: connect: connection refused", syscall.ECONNREFUSED},
		{"no answer in time", serve(t, func(http.ResponseWriter, *http.Request) { <-stuck }), 50 * time.Millisecond, "no answer within 50ms", context.DeadlineExceeded},
		{"no end of the answer in time", serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			<-stuck
		}), 50 * time.Millisecond, "no answer within 50ms", context.DeadlineExceeded},
		{"closed without a word", serveRaw(t, func(net.Conn) {}), patience, "", nil},
		{"no HTTP", serveRaw(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "502 command not known\r\n")
		}), patience, "malformed HTTP", nil},
		{"https asked of http", strings.Replace(serve(t, write(200, "")), "http:", "https:", 1), patience, "server gave HTTP response to HTTPS client", nil},
		{"no address", "http://[::1", patience, "missing ']'", nil},
		{"another protocol", "ftp://idp.test/keys", patience, "unsupported protocol scheme", nil},
	}
	t.Cleanup(func() { close(stuck) }) // before the servers close, which wait for their handlers
	client := newClient(t, config.TLS{})
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			_, err := client.Get(t.Context(), c.uri, c.timeout)
			refused(t, err, "GET "+c.uri, c.want)
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("the cause of %v should be %v", err, c.cause)
			}
		})
	}
}

// TestUnknownHost uses a name that no resolver may know (RFC 6761 §6.4); one that isn't there at all can't know it either.
func TestUnknownHost(t *testing.T) {
	_, err := newClient(t, config.TLS{}).Get(t.Context(), "https://idp.invalid/keys", patience)
	refused(t, err, "GET https://idp.invalid/keys", "idp.invalid")
	if dns := new(net.DNSError); !errors.As(err, &dns) {
		t.Errorf("the cause of %v should be DNS", err)
	} else if dns.IsNotFound && !strings.Contains(err.Error(), `the host name "idp.invalid" is not known (DNS)`) {
		t.Errorf("got %v", err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	uri := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := newClient(t, config.TLS{}).Get(ctx, uri, patience); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestRedirect(t *testing.T) {
	var followed atomic.Int32
	target := serve(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	cases := []struct {
		rule, location string
		want           string // after the status and its name
	}{
		{"to another host, named without its query", target + "/keys?token=marker#fragment", " to " + target + "/keys (redirects are not followed"},
		{"named without its user", "https://marker:marker@idp.test/keys", " to https://idp.test/keys (redirects"},
		{"on the same host", "/keys?token=marker", " to SELF/keys (redirects are not followed"},
		{"relative to the path", "other/keys", " to SELF/other/keys (redirects are not followed"},
		{"control characters don't reach the log", "https://idp.test/a%0Amarked", " to https://idp.test/a%0Amarked (redirects"},
		{"to nowhere", "", " (redirects are not followed"},
	}
	client := newClient(t, config.TLS{})
	for _, c := range cases {
		for _, code := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(c.rule, " ", code), func(t *testing.T) {
				uri := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					if c.location != "" {
						w.Header().Set("Location", c.location)
					}
					w.WriteHeader(code)
				})
				want := fmt.Sprintf("answered %d %s%s", code, http.StatusText(code), strings.ReplaceAll(c.want, "SELF", uri))
				_, err := client.Get(t.Context(), uri, patience)
				refused(t, err, "GET "+uri, want)
				_, err = post(t, client, uri, url.Values{"token": {"marker"}}, "id", "marker")
				refused(t, err, "POST "+uri, want)
			})
		}
	}
	lost := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://[marker")
		w.WriteHeader(http.StatusFound)
	})
	_, err := client.Get(t.Context(), lost, patience)
	refused(t, err, "GET "+lost, "it answers with a redirect to something that is no address")
	if n := followed.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestNothingThatHoldsTheTokenIsShown: it stands in the path that was asked, and the answer repeats it in its own ways.
func TestNothingThatHoldsTheTokenIsShown(t *testing.T) {
	const redirected = " (redirects are not followed: configure the address that answers itself)"
	asked := make(chan string, 1)
	host := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", <-asked)
		w.WriteHeader(http.StatusFound)
	})
	name := host + "/check"
	for _, c := range []struct{ rule, location, want string }{
		{"the whole token", "https://idp.test/check/marker", "answered 302 Found to https://idp.test" + redirected},
		{"a part of it", "https://idp.test/mark/er", "answered 302 Found to https://idp.test" + redirected},
		{"in its query", "https://idp.test/check?token=marker", "answered 302 Found to https://idp.test/check" + redirected},
		{"in its user", "https://marker@idp.test", "answered 302 Found to https://idp.test" + redirected},
		{"on the same host", "/check/marker", "answered 302 Found to " + host + redirected},
		{"on the same host, in its query", "/check?token=marker", "answered 302 Found to " + host + "/check" + redirected},
		{"relative to the path", "marker", "answered 302 Found to " + host + redirected},
	} {
		t.Run(c.rule, func(t *testing.T) {
			asked <- c.location
			answer, err := newClient(t, config.TLS{}).Do(t.Context(), patience, endpoint.Request{Method: "GET", URI: host + "/check/marker", Name: name})
			if err != nil {
				t.Fatal(err)
			}
			if err := answer.RequireOK(); err.Error() != "GET "+name+": "+c.want {
				t.Errorf("got  %s\nwant GET %s: %s", err, name, c.want)
			}
		})
	}
	for rule, uri := range map[string]string{
		"nobody listens": "http://" + testport.Free(t) + "/check/marker", "another protocol": "ftp://idp.test/check/marker",
		"no address": "http://idp.test/check/marker%zz", "a control character": "http://idp.test/check/marker\n",
		"no port": "http://idp.test:marker/", "closed": serveRaw(t, func(net.Conn) {}) + "/marker",
	} {
		t.Run(rule, func(t *testing.T) {
			_, err := newClient(t, config.TLS{}).Do(t.Context(), patience, endpoint.Request{Method: "GET", URI: uri, Name: name})
			refused(t, err, "GET "+name, "")
		})
	}
}

func TestHead(t *testing.T) {
	for _, status := range []int{200, 204, 302, 401, 404, 405, 500, 503} {
		t.Run(fmt.Sprint("any status counts ", status), func(t *testing.T) {
			var method string
			uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
				method = r.Method
				w.WriteHeader(status)
			})
			answer, err := newClient(t, config.TLS{}).Head(t.Context(), uri, patience)
			if err != nil || answer.Status != status || answer.Took <= 0 || method != http.MethodHead {
				t.Errorf("got %+v, %v by %s", answer, err, method)
			}
		})
	}
	uri := "http://" + testport.Free(t)
	_, err := newClient(t, config.TLS{}).Head(t.Context(), uri, patience)
	refused(t, err, "HEAD "+uri, "connection refused")
}

// post sends a form as package revocation does.
func post(t *testing.T, client *endpoint.Client, uri string, form url.Values, id, secret string) (*endpoint.Answer, error) {
	t.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if id != "" {
		header.Set("Authorization", endpoint.BasicAuth(id, secret))
	}
	answer, err := client.Do(t.Context(), patience, endpoint.Request{
		Method: http.MethodPost, URI: uri, Header: header, Body: form.Encode(),
	})
	if err != nil {
		return nil, err
	}
	if err := answer.RequireOK(); err != nil {
		return nil, err
	}
	return answer, nil
}

func TestPostsAndBasicAuth(t *testing.T) {
	cases := []struct {
		rule, id, secret string
		want             string // what HTTP Basic carries
		absent           bool
	}{
		{rule: "plain words stay as they are", id: "broker-1", secret: "S3cret_x.y~z", want: "broker-1:S3cret_x.y~z"},
		{rule: "special characters are form-encoded (RFC 6749 §2.3.1)", id: "a:b%c d+e", secret: "ü&=/", want: "a%3Ab%25c+d%2Be:%C3%BC%26%3D%2F"},
		{rule: "an empty secret", id: "broker", want: "broker:"},
		{rule: "no id, no header", secret: "unused", absent: true},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
				id, secret, sent := r.BasicAuth()
				if sent == c.absent || (sent && id+":"+secret != c.want) {
					t.Errorf("Authorization holds %q:%q, want %q", id, secret, c.want)
				}
				if kind := r.Header.Get("Content-Type"); r.Method != http.MethodPost || kind != "application/x-www-form-urlencoded" {
					t.Errorf("got %s of %s", r.Method, kind)
				}
				_, _ = io.WriteString(w, r.PostFormValue("token"))
			})
			answer, err := post(t, newClient(t, config.TLS{}), uri, url.Values{"token": {"a+b c&d"}}, c.id, c.secret)
			if err != nil || string(answer.Body) != "a+b c&d" {
				t.Errorf("got %+v, %v", answer, err)
			}
		})
	}
}

// TestErrorsTellNoSecret: whatever the endpoint does, repeating what it was sent included.
func TestErrorsTellNoSecret(t *testing.T) {
	const token, id, secret = "eyJhbGciOiJub25lIn0.marker/token.c2ln", "broker", "marker:secret"
	// The forms in which they travel: by Basic, form-encoded, and as they are.
	secrets := []string{token, url.QueryEscape(token), secret, url.QueryEscape(secret), "YnJva2VyOm1hcmtlciUzQXNlY3JldA==", "marker"}
	echo := func(before, after string) string {
		return serveRaw(t, func(c net.Conn) {
			request := make([]byte, 4096)
			n, _ := c.Read(request)
			head, body, _ := bytes.Cut(request[:n], []byte("\r\n\r\n"))
			if len(body) == 0 {
				n, _ = c.Read(request)
				body = request[:n]
			}
			fmt.Fprintf(c, before+after, head, body)
		})
	}
	cases := []struct{ rule, uri string }{
		{"refused by status", serve(t, write(401, token+secret))},
		{"redirected", serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/?"+secret+token, http.StatusFound) })},
		{"nobody there", "http://" + testport.Free(t)},
		{"closed", serveRaw(t, func(net.Conn) {})},
		{"a query in the endpoint's own address", "http://" + testport.Free(t) + "/introspect?apikey=marker"},
		{"the body comes back as a status line", echo("%[2]s", "\r\n\r\n%.0[1]s")},
		{"the body comes back as a protocol", echo("HTTP/%[2]s", " 200 OK\r\n\r\n%.0[1]s")},
		{"the body comes back as a status", echo("HTTP/1.1 %[2]s", "\r\n\r\n%.0[1]s")},
		{"redirected to no address", serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://[?"+secret+token)
			w.WriteHeader(302)
		})},
		{"the body comes back as the start of a header", echo("HTTP/1.1 200 OK\r\n %[2]s", "\r\n\r\n%.0[1]s")},
		{"the body comes back as a header", echo("HTTP/1.1 200 OK\r\n%[2]s", "\r\n\r\n%.0[1]s")},
		{"the body comes back as a length", echo("HTTP/1.1 200 OK\r\nContent-Length: %[2]s", "\r\n\r\n%.0[1]s")},
		{"the body comes back as an encoding", echo("HTTP/1.1 200 OK\r\nTransfer-Encoding: %[2]s", "\r\n\r\n%.0[1]s")},
		{"the headers come back", echo("HTTP/1.1 200 OK\r\n%[1]s", "%.0[2]s\r\n\r\n")},
		{"everything comes back", echo("%[1]s\r\n\r\n%[2]s", "")},
	}
	client := newClient(t, config.TLS{})
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			_, err := post(t, client, c.uri, url.Values{"token": {token}}, id, secret)
			if err == nil {
				t.Fatal("this should have failed")
			}
			text := err.Error()
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("%q is told in: %s", s, text)
				}
			}
		})
	}
}

func TestConnectionsAreKept(t *testing.T) {
	from := map[string]bool{}
	uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from[r.RemoteAddr] = true
		_, _ = io.WriteString(w, "{}")
	})
	client := newClient(t, config.TLS{})
	for range 10 {
		if _, err := client.Get(t.Context(), uri, patience); err != nil {
			t.Fatal(err)
		}
	}
	if len(from) != 1 {
		t.Errorf("10 requests took %d connections", len(from))
	}
}

// refused checks an error for its beginning and its cause, and that it says each thing once.
func refused(t *testing.T, err error, begin, cause string) {
	t.Helper()
	if typed := new(endpoint.Error); !errors.As(err, &typed) {
		t.Fatalf("got %v (%T), want an *endpoint.Error", err, err)
	}
	text := err.Error()
	if !strings.HasPrefix(text, begin+": ") || !strings.Contains(text, cause) {
		t.Errorf("got  %s\nwant %s: …%s", text, begin, cause)
	}
	if strings.Count(text, begin) > 1 || strings.Contains(text, "\n") || strings.Contains(text, "marker") {
		t.Errorf("not fit for the log: %s", text)
	}
}

func write(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for chunk := make([]byte, 64<<10); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func endlessHeader(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
	for i := 0; err == nil; i++ {
		_, err = fmt.Fprintf(conn, "X-%d: %s\r\n", i, strings.Repeat("x", 4096))
	}
}

func half(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"keys":[`)
}

func gzipped(content []byte) http.HandlerFunc {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(content)
	_ = w.Close()
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			http.Error(w, "gzip was not offered", http.StatusNotAcceptable)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}
}

// TestAKeptConnectionThatWasClosedIsNoFailure: the provider has closed it without a word, as when it is restarted, and a
// POST is sent again on a new one.
func TestAKeptConnectionThatWasClosedIsNoFailure(t *testing.T) {
	var connections atomic.Int32
	uri := serveRaw(t, func(conn net.Conn) {
		first := connections.Add(1) == 1
		requests := bufio.NewReader(conn)
		for n := 0; ; n++ {
			r, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "token=a" || r.Header["X-Idempotency-Key"] != nil {
				t.Errorf("got %q %v (%v)", body, r.Header, err)
			}
			if first && n == 1 {
				return
			}
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	client := newClient(t, config.TLS{})
	for n := range 3 {
		answer, err := client.Do(t.Context(), patience, endpoint.Request{Method: http.MethodPost, URI: uri, Body: "token=a"})
		if err != nil || string(answer.Body) != "ok" {
			t.Errorf("request %d: %v", n+1, err)
		}
	}
	if got := connections.Load(); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

// TestABurstKeepsItsConnections: those that many requests at once have opened serve the next burst.
func TestABurstKeepsItsConnections(t *testing.T) {
	const burst = 200
	var connections atomic.Int32
	var inside sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inside.Done()
		inside.Wait() // until all are here
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := newClient(t, config.TLS{})
	for range 2 {
		inside.Add(burst)
		var all sync.WaitGroup
		for range burst {
			all.Go(func() {
				if _, err := client.Do(t.Context(), patience, endpoint.Request{Method: http.MethodPost, URI: server.URL}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	// A connection that is dialled while another becomes free is one too many, and kept.
	if got := connections.Load(); got > burst+burst/10 {
		t.Errorf("%d connections for twice %d requests", got, burst)
	}
}
