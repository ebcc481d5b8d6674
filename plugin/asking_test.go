package plugin

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// gate is an introspection endpoint that answers when the test says so.
type gate struct {
	t       *testing.T
	url     string
	asked   chan string // the token of each request, as it comes
	answers map[string]chan string
}

const active, inactive, broken = `{"active":true}`, `{"active":false}`, `{`

// newGate knows the tokens that are to be asked about one by one; it answers active at once for all others.
func newGate(t *testing.T, tokens ...*string) *gate {
	t.Helper()
	d := &gate{t: t, asked: make(chan string, 10_000), answers: map[string]chan string{}}
	for _, token := range tokens {
		d.answers[*token] = make(chan string, 100)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return // the probe at start
		}
		token := r.PostFormValue("token")
		if isMadeUp(token) {
			_, _ = io.WriteString(w, inactive) // at start and at each reload
			return
		}
		d.asked <- token
		body := active
		if waiting, known := d.answers[token]; known {
			select {
			case body = <-waiting:
			case <-r.Context().Done():
				return
			}
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// isMadeUp tells whether the plugin has made a token up to try the endpoint out.
func isMadeUp(token string) bool {
	parts := strings.Split(token, ".")
	claims, _ := base64.RawURLEncoding.DecodeString(parts[len(parts)/2])
	return strings.HasPrefix(token, "go-jwt-auth-probe-") || strings.HasPrefix(string(claims), `{"jti":"go-jwt-auth-probe-`)
}

// says answers one request about the token, now or to come.
func (d *gate) says(token *string, body string) { d.answers[*token] <- body }

// waitAsked waits for the next request.
func (d *gate) waitAsked() string {
	d.t.Helper()
	select {
	case token := <-d.asked:
		return token
	case <-time.After(30 * time.Second):
		d.t.Fatal("the endpoint was not asked")
		return ""
	}
}

// file is a jwt.json of mode local that asks this gate, with more members of options.common and options.revocation.
func (d *gate) file(common, revocation string) string {
	var all map[string]any
	if err := json.Unmarshal([]byte(local(common)), &all); err != nil {
		d.t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(fmt.Appendf(nil, `{"introspection":{"uri":%q},%s}`, d.url, revocation), &r); err != nil {
		d.t.Fatal(err)
	}
	options := all["options"].(map[string]any)
	options["lazyConnect"], options["revocation"] = true, r
	text, err := json.Marshal(all)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// mint makes a token before there is a env, by the clock that each env starts with.
func mint(subject string, lifetime time.Duration) *string {
	return new(env).token(subject, lifetime)
}
