// Package e2e holds the end-to-end cases: real brokers with the plugin, a real identity provider, real clients, real
// sockets. Every case runs on every Mosquitto version, unless its name or a comment says why one can't.
package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// object is a JSON object.
type object = map[string]any

// sharedProvider serves the cases that only get tokens from it. Whoever counts its requests, or makes it fail, starts
// its own.
var sharedProvider = sync.OnceValues(func() (*idp.Provider, error) { return idp.Start() })

func provider(t testing.TB) *idp.Provider {
	t.Helper()
	p, err := sharedProvider()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ownProvider(t *testing.T, options ...idp.Option) *idp.Provider {
	t.Helper()
	p, err := idp.Start(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// tutorialFile is the example that users of the commercial plugin follow.
func tutorialFile(t testing.TB) string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "examples", "tutorial", "jwt.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// config is the tutorial's jwt.json for a provider: its endpoints and credentials put in, and then changed at the dotted
// paths below $.options; a nil value removes the key.
func config(t testing.TB, p *idp.Provider, changes ...object) object {
	t.Helper()
	var c object
	if err := json.Unmarshal([]byte(tutorialFile(t)), &c); err != nil {
		t.Fatal(err)
	}
	set(c, "options.modes.jwks.uri", p.JWKSURI())
	set(c, "options.revocation.introspection.uri", p.IntrospectionURI())
	set(c, "options.revocation.introspection.clientId", p.Broker().ID)
	set(c, "options.revocation.introspection.clientSecret", p.Broker().Secret)
	for _, change := range changes {
		for path, value := range change {
			set(c, path, value)
		}
	}
	return c
}

func set(in object, path string, value any) {
	name, rest, nested := strings.Cut(path, ".")
	switch {
	case nested:
		below, ok := in[name].(object)
		if !ok {
			below = object{}
			in[name] = below
		}
		set(below, rest, value)
	case value == nil:
		delete(in, name)
	default:
		in[name] = value
	}
}

// sensors is dynamic-security as a user would have it: sensor-1 and sensor-2 may use their own topics, the observer all
// of them, and operator logs in with a password.
func sensors() harness.Plugin {
	return harness.Dynsec{
		Roles: map[string][]harness.ACL{
			"one":      harness.MayUse("sensors/1/#"),
			"two":      harness.MayUse("sensors/2/#"),
			"observer": harness.MayUse("#"),
		},
		Clients: []harness.DynsecClient{
			{Username: "sensor-1", Roles: []string{"one"}},
			{Username: "sensor-2", Roles: []string{"two"}},
			{Username: "observer", Roles: []string{"observer"}},
			{Username: "operator", Password: "operator's password", Roles: []string{"observer"}},
		},
	}.Plugin()
}

// start runs a broker with the plugin, dynamic-security after it, and an MQTT and a WebSocket listener.
func start(t testing.TB, v brokers.Version, jwtJSON any) *harness.Broker {
	t.Helper()
	return harness.Start(t, v, harness.Options{
		Listeners: []harness.Listener{{}, {WebSockets: true}},
		Plugins:   []harness.Plugin{harness.JWT("jwt.json", jwtJSON), sensors()},
	})
}

// login is a CONNECT with a token and a username that means nothing.
func login(id, token string) harness.Login {
	return harness.Login{ClientID: id, Username: new("whoever"), Password: &token}
}

// observe connects a client that sees everything.
func observe(t *testing.T, b *harness.Broker, p *idp.Provider) *harness.Client {
	t.Helper()
	c := harness.Connect(t, b.URL(0), harness.Paho5, login("observer", p.Token("observer", time.Hour))).Accepted()
	if code := c.Subscribe("#", 1); code >= 0x80 {
		t.Fatalf("the observer may not subscribe: 0x%02x", code)
	}
	return c
}

// refused matches the log line for a refusal.
func refused(id, reason string) string {
	return fmt.Sprintf(`go_jwt_auth: client %s \[127\.0\.0\.1\] refused: %s`, regexp.QuoteMeta(fmt.Sprintf("%q", id)), reason)
}

func matches(log, pattern string) bool { return regexp.MustCompile(pattern).MatchString(log) }

// knock connects without a client library and leaves at once.
func knock(t *testing.T, b *harness.Broker, version byte, l harness.Login) harness.Connack {
	t.Helper()
	got, err := harness.Knock(b.URL(0), version, l)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// again knocks until it is answered, as a client would that is in a hurry, and returns the answer.
func again(t *testing.T, b *harness.Broker, protocol byte, l harness.Login) harness.Connack {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		if got := knock(t, b, protocol, l); !got.Closed {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("client %q: no answer within %v", l.ClientID, harness.Patience)
		}
	}
}

// answered connects for as long as the broker closes the connection without an answer: it does so where what is needed to
// decide is on its way.
func answered(t *testing.T, b *harness.Broker, kind harness.Kind, l harness.Login) *harness.Client {
	t.Helper()
	return answeredAt(t, b.URL(0), kind, l)
}

// answeredAt is answered at any listener.
func answeredAt(t *testing.T, url string, kind harness.Kind, l harness.Login) *harness.Client {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		c := harness.Connect(t, url, kind, l)
		if !c.Connack().Closed || time.Now().After(deadline) {
			return c
		}
	}
}

// expiryOf reads exp.
func expiryOf(t testing.TB, token string) time.Time {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &jwt.RegisteredClaims{})
	if err != nil {
		t.Fatal(err)
	}
	exp, err := parsed.Claims.GetExpirationTime()
	if err != nil {
		t.Fatal(err)
	}
	return exp.Time
}

// witness builds one of the plugins in witness/ and returns its path.
func witness(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".so")
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	build := exec.CommandContext(t.Context(), cc, "-shared", "-fPIC", "-I../../include", "-o", path, "witness/"+name+".c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%s", err, out)
	}
	return path
}
