// Package examples holds what examples/ promises: each of them, as the program that it is, with a real broker and a real
// provider, all over TLS, and tokens that live for a few seconds.
package examples

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// lifetime of the examples' tokens: the shortest of which a busy machine still sees the last fifth.
const lifetime = 6 * time.Second

// secret is one whose form encoding (RFC 6749 §2.3.1) is not the same bytes.
const secret = "100% s3cret+key/&:"

// example is one of the programs. It gets a broker for its version of mosquitto_pub, and a folder of its own.
type example struct {
	name     string
	command  func(t *testing.T, b *harness.Broker, dir string) (argv, env []string)
	receives bool // it subscribes, too
}

var all = []example{
	{"python", func(t *testing.T, _ *harness.Broker, _ string) ([]string, []string) {
		return []string{path(t, "build/paho-python/bin/python"), path(t, "examples/python/client.py")}, nil
	}, true},
	{"go", func(t *testing.T, _ *harness.Broker, _ string) ([]string, []string) {
		binary, err := goExample()
		if err != nil {
			t.Fatal(err)
		}
		return []string{binary}, nil
	}, true},
	{"node", func(t *testing.T, _ *harness.Broker, _ string) ([]string, []string) {
		path(t, "examples/javascript/node_modules")
		return []string{"sh", "-c", "NODE_EXTRA_CA_CERTS=$CA_FILE exec node " + path(t, "examples/javascript/node/client.js")}, nil
	}, true},
	{"mosquitto_pub", func(t *testing.T, b *harness.Broker, dir string) ([]string, []string) {
		// The broker's own version, which writes down what it was called with.
		wrapper := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s/calls\nexec %s \"$@\"\n", dir, strings.Join(b.Version.Pub, " "))
		if err := os.WriteFile(filepath.Join(dir, "mosquitto_pub"), []byte(wrapper), 0o700); err != nil {
			t.Fatal(err)
		}
		return []string{path(t, "examples/mosquitto_pub/publish.sh")}, []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "TMPDIR=" + dir}
	}, false},
}

// path of a file in the repository that must be there.
func path(t *testing.T, name string) string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, name)); err != nil {
		t.Fatalf("%v; `make set-up` installs it", err)
	}
	return filepath.Join(root, name)
}

// goExample builds the example in Go, once.
var goExample = sync.OnceValues(func() (string, error) {
	root, err := brokers.Root()
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(root, "build", "examples-go"), ".")
	build.Dir = filepath.Join(root, "examples", "go")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return filepath.Join(root, "build", "examples-go"), nil
})

// stage is a provider and a broker that trusts it, with a listener over TLS (0), which the examples use, a plain one for
// the tests (1), and one for WebSocket (2).
type stage struct {
	*harness.Broker
	provider *idp.Provider
	config   map[string]any
}

// client is the OAuth client of an example.
func client(name string) idp.Client {
	return idp.Client{ID: name + "-sensor", Secret: secret, Audience: []string{"mqtt"}, Lifetime: lifetime}
}

func newStage(t *testing.T, v brokers.Version, options ...idp.Option) *stage {
	t.Helper()
	return newStageWith(t, v, nil, options...)
}

// newStageWith has other plugins behind this one.
func newStageWith(t *testing.T, v brokers.Version, others []harness.Plugin, options ...idp.Option) *stage {
	t.Helper()
	options = append(options, idp.WithTLS(), idp.WithAlgorithm("ES256"))
	for _, e := range all {
		options = append(options, idp.WithClient(client(e.name)))
	}
	p, err := idp.Start(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	certificate, key := pemPair(t, p)
	s := &stage{provider: p, config: map[string]any{
		"algorithm": "ES256", "mode": "oidc",
		"options": map[string]any{
			"modes": map[string]any{
				"oidc": map[string]any{"issuer": p.Issuer()},
				"jwks": map[string]any{"cache": map[string]any{"enabled": true}},
			},
			"common": map[string]any{"audience": "mqtt", "matchUsernameToSubject": true},
			"tls":    map[string]any{"caFile": "{dir}/ca.pem"},
		},
	}}
	s.Broker = harness.Start(t, v, harness.Options{
		Listeners: []harness.Listener{
			{Extra: "certfile {dir}/server.pem\nkeyfile {dir}/server.key"}, {}, {WebSockets: true},
		},
		Plugins: append([]harness.Plugin{harness.JWT("jwt.json", s.config)}, others...),
		Files:   map[string]string{"ca.pem": string(p.CA()), "server.pem": certificate, "server.key": key},
	})
	return s
}

// pemPair is the provider's certificate and key, for the broker on the same address.
func pemPair(t *testing.T, p *idp.Provider) (certificate, key string) {
	t.Helper()
	pair := p.Certificate()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// running is an example that runs.
type running struct {
	example
	*harness.Process
	id, topic string
	dir       string
	stage     *stage
}

// start runs an example as its README says, with some of the settings changed: an empty one is not set.
func (s *stage) start(t *testing.T, e example, changes ...string) *running {
	t.Helper()
	r := &running{example: e, id: client(e.name).ID, topic: "numbers/" + e.name, dir: t.TempDir(), stage: s}
	file := filepath.Join(r.dir, "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	argv, env := e.command(t, s.Broker, r.dir)
	env = append(env,
		"ISSUER="+s.provider.Issuer(), "CLIENT_ID="+r.id, "CLIENT_SECRET_FILE="+file, "SCOPE=a b",
		"MQTT_URL="+strings.Replace(s.URL(0), "mqtt:", "mqtts:", 1), "CA_FILE="+s.Path("ca.pem"), "TOPIC="+r.topic, "INTERVAL=0.2",
	)
	r.Process = harness.Spawn(t, append(env, changes...), argv...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s printed:\n%s", e.name, r.Log())
		}
	})
	return r
}

// startAll runs all examples side by side.
func (s *stage) startAll(t *testing.T, changes ...string) (all4 []*running) {
	t.Helper()
	for _, e := range all {
		all4 = append(all4, s.start(t, e, changes...))
	}
	return all4
}

// once runs a case that ends before the broker is asked, on the oldest version.
func once(t *testing.T, run func(t *testing.T, v brokers.Version)) {
	t.Helper()
	t.Parallel()
	run(t, brokers.All()[0])
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * harness.Patience); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", 2*harness.Patience, what)
		}
	}
}

// matches are the values of the first group, each once, in order.
func matches(log, pattern string) (found []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(log, -1) {
		if !slices.Contains(found, m[1]) {
			found = append(found, m[1])
		}
	}
	return found
}

// lines are the values of the first group, in order, as often as they come.
func lines(log, pattern string) (found []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(log, -1) {
		found = append(found, m[1])
	}
	return found
}

// tokens are the names of those that the broker has taken from the client, at a login or in place of another.
func (r *running) tokens() []string {
	return matches(r.stage.Log(), `client "`+r.id+`" (?:\[127\.0\.0\.1\] )?(?:accepted as|renewed, ).*\(token (.*)\)`)
}

// received are the texts that the example has printed as received.
func (r *running) received() []string { return matches(r.Log(), `(?m)^received (.*)$`) }

// witness is a client that gets all messages.
func (s *stage) witness(t *testing.T) *harness.Client {
	t.Helper()
	token := s.provider.Token("witness", time.Hour, idp.Audience("mqtt"))
	login := harness.Login{ClientID: "witness", Username: new("witness"), Password: &token}
	c := harness.Connect(t, s.URL(1), harness.Paho5, login).Accepted()
	if code := c.Subscribe("numbers/#", 1); code >= 0x80 {
		t.Fatalf("the witness may not subscribe: 0x%02x", code)
	}
	return c
}

// numbers are those that the witness has seen on a topic. Of one that came twice, as QoS 1 allows, only the first counts.
func numbers(c *harness.Client, topic string) (all []string) {
	for _, m := range c.Messages() {
		if m.Topic == topic && !strings.HasPrefix(m.Payload, "to") && !slices.Contains(all, m.Payload) {
			all = append(all, m.Payload)
		}
	}
	return all
}

// wantGapless fails the test unless the texts are the prefix and one number after the other.
func wantGapless(t *testing.T, who, prefix string, first int, got []string) {
	t.Helper()
	for i, text := range got {
		if text != fmt.Sprint(prefix, first+i) {
			t.Fatalf("%s got %v", who, got)
		}
	}
}

// wantDiscreet fails the test if a token or the secret was shown to anybody.
func (r *running) wantDiscreet(t *testing.T) {
	t.Helper()
	shown := r.Log()
	if calls, err := os.ReadFile(filepath.Join(r.dir, "calls")); err == nil {
		shown += string(calls)
	}
	if strings.Contains(shown, "eyJ") || strings.Contains(shown, secret) {
		t.Errorf("%s shows a token or its secret:\n%s", r.name, shown)
	}
}

// wantStopped stops the example, which must leave nothing behind.
func (r *running) wantStopped(t *testing.T) {
	t.Helper()
	if code := r.Stop(); code != 0 {
		t.Errorf("%s ended with exit code %d on SIGTERM", r.name, code)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "tmp.*")); len(left) > 0 {
		t.Errorf("%s leaves %v", r.name, left)
	}
}

// wantOnce fails the test if one of the texts came twice. Nothing has to be sent again where no connection was lost.
func wantOnce(t *testing.T, who string, got []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, text := range got {
		if seen[text] {
			t.Errorf("%s got %s twice", who, text)
		}
		seen[text] = true
	}
}

// payloads are all that a client got on a topic, in order.
func payloads(c *harness.Client, topic string) (all []string) {
	for _, m := range c.Messages() {
		if m.Topic == topic {
			all = append(all, m.Payload)
		}
	}
	return all
}

// renewing has the options with which the plugin takes renewals, or is like one that knows none.
func (s *stage) renewing(on bool) {
	options := s.config["options"].(map[string]any)
	delete(options, "control")
	delete(options, "enhancedAuth")
	if !on {
		options["control"] = map[string]any{"renew": false}
		options["enhancedAuth"] = map[string]any{"methods": []string{}}
	}
	mark := s.Mark()
	s.WriteFile("jwt.json", s.config)
	s.Reload()
	s.WaitLogSince(mark, `reloaded .*jwt.json`)
}

// to is what the test sends to an example meanwhile; one that was away must get it later.
func (s *stage) send(c *harness.Client, r *running, n int) {
	c.Publish(r.topic, fmt.Sprint("to", n), 1)
}

// renewable is how long tokens live that can be renewed at least fourteen times by $CONTROL, which takes five in a row and then one in ten
// seconds: they come after 60 % of that, less the second by which the provider rounds down.
const renewable = 12 * time.Second

// until are the times that each renewal of a client has moved its end to.
func until(log, id string) (all []time.Time) {
	for _, text := range lines(log, `client "`+id+`" (?:\[127\.0\.0\.1\] )?renewed, and may stay until (\S+) `) {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			all = append(all, at)
		}
	}
	return all
}

// outlived are how many tokens that it had by a renewal a client has outlived.
func outlived(log, id string) (n int) {
	for _, at := range until(log, id) {
		if time.Now().After(at) {
			n++
		}
	}
	return n
}

// TestRenewsInPlace: each example that stays connected does so by one connection across ten expiries, with messages both ways all the time.
// It takes a minute and a half, so all brokers are in it at once.
func TestRenewsInPlace(t *testing.T) {
	t.Parallel()
	var clients []idp.Option
	for _, e := range all {
		c := client(e.name)
		c.ID, c.Lifetime = c.ID+"-renewing", renewable
		clients = append(clients, idp.WithClient(c))
	}
	witnesses := map[*running]*harness.Client{}
	brokers.Each(t, func(_ *testing.T, v brokers.Version) {
		s := newStage(t, v, clients...)
		witness := s.witness(t)
		for _, e := range all {
			if !e.receives {
				continue
			}
			id := client(e.name).ID + "-renewing"
			r := s.start(t, e, "CLIENT_ID="+id)
			r.id = id
			eventually(t, r.name+" is there", func() bool { return len(r.received()) > 0 })
			witnesses[r] = witness
		}
	})
	n := 0
	for want := 2; want <= 10; want += 2 { // each within the patience of a test
		eventually(t, fmt.Sprint("everybody has outlived ", want, " renewed tokens"), func() bool {
			n++
			all := true
			for r, witness := range witnesses {
				r.stage.send(witness, r, n)
				all = all && outlived(r.stage.Log(), r.id) >= want
			}
			return all
		})
	}
	for r, witness := range witnesses {
		eventually(t, r.name+" gets what was sent to it", func() bool { return slices.Contains(r.received(), fmt.Sprint("to", n)) })
		printed := lines(r.Log(), `(?m)^received (to.*)$`)
		wantGapless(t, r.name, "to", 1, printed)
		wantOnce(t, r.name, printed)
		wantOnce(t, "the witness of "+r.name, payloads(witness, r.topic))
		wantGapless(t, "the witness of "+r.name, "", 1, numbers(witness, r.topic))
		if n := len(lines(r.Log(), `(?m)^(connected)$`)); n != 1 {
			t.Errorf("%s was connected %d times", r.name, n)
		}
		byControl := strings.Contains(strings.Join(lines(r.stage.Log(), `(Received PUBLISH from `+r.id+` .*)`), "\n"), "'$CONTROL/jwt-auth/v1'")
		if byControl != (r.name != "go") {
			t.Errorf("%s renews by $CONTROL: %v", r.name, byControl)
		}
		r.wantDiscreet(t)
		r.wantStopped(t)
		if told := matches(r.stage.Log(), `(.*"`+r.id+`".*(?:refused|expired).*)`); len(told) > 0 {
			t.Errorf("the plugin says of %s: %v", r.name, told)
		}
	}
}

// TestRenewsWhereTheProviderIsAskedFirst: the answer comes later, by AUTH as by $CONTROL, and nobody loses a connection by that.
func TestRenewsWhereTheProviderIsAskedFirst(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		options := s.config["options"].(map[string]any)
		options["revocation"] = map[string]any{"introspection": map[string]any{
			"clientId": s.provider.Broker().ID, "clientSecret": map[string]any{"plain": s.provider.Broker().Secret},
		}}
		s.renewing(true)
		s.provider.SetDelay(idp.Introspect, 50*time.Millisecond)
		var examples []*running
		for _, e := range all {
			if e.receives {
				examples = append(examples, s.start(t, e))
			}
		}
		for _, r := range examples {
			eventually(t, r.name+" has renewed twice", func() bool { return len(r.tokens()) >= 3 })
			if n := len(lines(r.Log(), `(?m)^(connected)$`)); n != 1 {
				t.Errorf("%s was connected %d times", r.name, n)
			}
			r.wantStopped(t)
		}
	})
}

// TestRenewsWhereItMay: what dynamic-security does not let a client publish to $CONTROL is done by a new connection, until it does.
func TestRenewsWhereItMay(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		access := harness.Dynsec{
			Roles: map[string][]harness.ACL{
				"all":    harness.MayUse("numbers/#"),
				"renews": {{Type: "publishClientSend", Topic: "$CONTROL/jwt-auth/v1", Allow: true}},
			},
			Clients: []harness.DynsecClient{{Username: "witness", Roles: []string{"all"}}},
		}
		for _, e := range all {
			access.Clients = append(access.Clients, harness.DynsecClient{Username: client(e.name).ID, Roles: []string{"all"}})
		}
		s := newStageWith(t, v, []harness.Plugin{access.Plugin()})
		witness := s.witness(t)
		for _, e := range all {
			if !e.receives {
				continue
			}
			r := s.start(t, e)
			if e.name != "go" { // AUTH is no publish
				r.WaitLog(`^not renewed: .*(?i:not authorized)`)
			}
			eventually(t, r.name+" has had three tokens", func() bool { return len(r.tokens()) >= 3 })
			if code := s.Ctrl(1, "dynsec", "addClientRole", r.id, "renews").Wait(); code != 0 { // which disconnects it
				t.Fatalf("mosquitto_ctrl ended with exit code %d", code)
			}
			renewed := len(lines(r.Log(), `(?m)^(renewed)$`))
			eventually(t, r.name+" renews in place", func() bool { return len(lines(r.Log(), `(?m)^(renewed)$`)) >= renewed+2 })
			wantGapless(t, "the witness of "+r.name, "", 1, numbers(witness, r.topic))
			r.wantDiscreet(t)
			r.wantStopped(t)
		}
	})
}

// TestComesBackWithAFreshTokenBeforeTheOldOneExpires: mosquitto_pub always does, and the others where the broker takes no renewals.
func TestComesBackWithAFreshTokenBeforeTheOldOneExpires(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		s.renewing(false)
		witness := s.witness(t)
		for _, r := range s.startAll(t) {
			eventually(t, r.name+" is connected", func() bool { return len(numbers(witness, r.topic)) > 0 })
			n := 0
			eventually(t, r.name+" has had three tokens", func() bool {
				if r.receives {
					n++
					s.send(witness, r, n)
				}
				return len(r.tokens()) >= 3
			})
			seen := len(numbers(witness, r.topic))
			eventually(t, r.name+" goes on", func() bool { return len(numbers(witness, r.topic)) > seen+2 })
			wantGapless(t, "the witness of "+r.name, "", 1, numbers(witness, r.topic))
			if r.receives {
				eventually(t, r.name+" gets what was sent to it", func() bool { return slices.Contains(r.received(), fmt.Sprint("to", n)) })
				foreign := func(text string) bool { return strings.HasPrefix(text, "to") }
				own := slices.DeleteFunc(r.received(), foreign)
				wantGapless(t, r.name, "to", 1, slices.DeleteFunc(r.received(), func(text string) bool { return !foreign(text) }))
				if first, err := strconv.Atoi(own[0]); err != nil || first > 3 { // it may have published before it has subscribed
					t.Errorf("%s first got %s of its own", r.name, own[0])
				} else {
					wantGapless(t, r.name, "", first, own)
				}
			}
			r.wantDiscreet(t)
			r.wantStopped(t)
			if told := matches(s.Log(), `(.*"`+r.id+`".*(?:refused|expired).*)`); len(told) > 0 {
				t.Errorf("the plugin says of %s: %v", r.name, told)
			}
		}
	})
}

func TestOutlivesAProviderThatIsDown(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		witness := s.witness(t)
		examples := s.startAll(t)
		for _, r := range examples {
			eventually(t, r.name+" is connected", func() bool { return len(numbers(witness, r.topic)) > 0 })
		}
		if err := s.provider.SetDown(true); err != nil {
			t.Fatal(err)
		}
		for _, r := range examples {
			if r.receives {
				s.WaitLog(`client "` + r.id + `".*expired`)
				s.send(witness, r, 1)
			} else {
				eventually(t, r.name+" misses the provider", func() bool { return strings.Contains(r.Log(), "curl: (7)") })
			}
		}
		known := map[string]int{} // tokens before
		for _, r := range examples {
			known[r.name] = len(r.tokens())
		}
		if err := s.provider.SetDown(false); err != nil {
			t.Fatal(err)
		}
		for _, r := range examples {
			before, seen := known[r.name], len(numbers(witness, r.topic))
			eventually(t, r.name+" comes back with another token", func() bool { return len(r.tokens()) > before })
			eventually(t, r.name+" goes on", func() bool { return len(numbers(witness, r.topic)) > seen+2 })
			wantGapless(t, "the witness of "+r.name, "", 1, numbers(witness, r.topic))
			if r.receives {
				eventually(t, r.name+" gets what it has missed", func() bool { return slices.Contains(r.received(), "to1") })
			}
			r.wantDiscreet(t)
			r.wantStopped(t)
		}
	})
}

func TestAsksForAnotherTokenWhenOneIsRefused(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		witness := s.witness(t)
		common := s.config["options"].(map[string]any)["common"].(map[string]any)
		common["audience"] = "other"
		s.WriteFile("jwt.json", s.config)
		s.Reload()
		begun, examples := time.Now(), s.startAll(t)
		refused := func(r *running) []string {
			return matches(s.Log(), `client "`+r.id+`" \[127\.0\.0\.1\] refused: .*\(token (.*)\)`)
		}
		for _, r := range examples {
			eventually(t, r.name+" is refused with two tokens", func() bool { return len(refused(r)) >= 2 })
		}
		common["audience"] = "mqtt"
		s.WriteFile("jwt.json", s.config)
		s.Reload()
		for _, r := range examples {
			eventually(t, r.name+" is connected", func() bool { return len(numbers(witness, r.topic)) > 0 })
			r.wantDiscreet(t)
			r.wantStopped(t)
		}
		// One token for each attempt, and never two attempts in a second.
		took := time.Since(begun)
		if n := s.provider.Requests(idp.Token); n > len(examples)*(2+int(took.Seconds())) {
			t.Errorf("the provider was asked for %d tokens in %v", n, took)
		}
	})
}

func TestConnectsOverWebSocket(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		witness := s.witness(t)
		for _, e := range all {
			if !e.receives { // mosquitto_pub 2.0 speaks no WebSocket
				continue
			}
			if e.name == "go" && v.AtLeast(2, 1) {
				t.Logf("NOT TRIED: paho.golang over WebSocket makes Mosquitto %s crash, with or without this plugin", v.Name)
				continue
			}
			r := s.start(t, e, "MQTT_URL="+s.URL(2)+"/mqtt")
			eventually(t, r.name+" is connected", func() bool { return len(numbers(witness, r.topic)) > 1 && len(r.received()) > 1 })
			r.wantStopped(t)
		}
	})
}

func TestEndsWhereTryingAgainWontHelp(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		for name, test := range map[string]struct{ change, says string }{
			"a wrong secret":         {"CLIENT_SECRET=wrong", "invalid_client"},
			"no secret":              {"CLIENT_SECRET=", "CLIENT_SECRET"},
			"another issuer's name":  {"ISSUER=" + strings.Replace(s.provider.Issuer(), "127.0.0.1", "localhost", 1), "calls itself " + s.provider.Issuer()},
			"an issuer without TLS":  {"ISSUER=http://id.example.com", "ISSUER must begin with https://"},
			"an unwilling authority": {"CLIENT_ID=nobody", "invalid_client"},
		} {
			t.Run(name, func(t *testing.T) {
				before := s.provider.Requests(idp.Token)
				changes := []string{test.change}
				if strings.HasPrefix(test.change, "CLIENT_SECRET=") {
					changes = append(changes, "CLIENT_SECRET_FILE=")
				}
				for _, r := range s.startAll(t, changes...) {
					if code := r.Wait(); code == 0 || !strings.Contains(r.Log(), test.says) {
						t.Errorf("%s ended with exit code %d, and says %q", r.name, code, r.Log())
					}
					r.wantDiscreet(t)
				}
				if n := s.provider.Requests(idp.Token) - before; n > len(all) {
					t.Errorf("the provider was asked for %d tokens", n)
				}
			})
		}
	})
}

func TestTrustsNoUnknownAuthority(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		for _, r := range s.startAll(t, "CA_FILE=") {
			eventually(t, r.name+" complains", func() bool { return strings.Contains(strings.ToLower(r.Log()), "certificate") })
			r.wantDiscreet(t)
			r.wantStopped(t)
		}
		if n := s.provider.Requests(idp.Token); n > 0 {
			t.Errorf("%d secrets were sent", n)
		}
	})
}

func TestMosquittoPubTakesNoTokenThatItWouldCut(t *testing.T) {
	fat := client("fat")
	fat.Claims = map[string]any{"groups": strings.Repeat("x", 1000)}
	once(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v, idp.WithClient(fat))
		r := s.start(t, all[len(all)-1], "CLIENT_ID="+fat.ID)
		if code := r.Wait(); code == 0 || !strings.Contains(r.Log(), "mosquitto_pub takes 1,000") {
			t.Errorf("exit code %d, and it says %q", code, r.Log())
		}
		r.wantDiscreet(t)
	})
}
