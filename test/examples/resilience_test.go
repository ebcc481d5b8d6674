package examples

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// poison is a payload that the handlers of faulty examples can't take.
const poison = "poison"

// faulty are the examples that receive, each with a handler that fails at poison: what stands in a product at that place
// may do so, too.
var faulty = map[string]func(t *testing.T) (argv, env []string){
	"python": func(t *testing.T) ([]string, []string) {
		program := fmt.Sprintf(`
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, %q)
import client
handle = client.handle
def failing(topic, payload):
    if payload == b%q:
        raise RuntimeError("no such thing")
    handle(topic, payload)
client.handle = failing
client.main()
`, path(t, "examples/python"), poison)
		return []string{path(t, "build/paho-python/bin/python"), "-c", program}, nil
	},
	"go": func(t *testing.T) ([]string, []string) {
		binary, err := faultyGo()
		if err != nil {
			t.Fatal(err)
		}
		return []string{binary}, nil
	},
	"node": func(t *testing.T) ([]string, []string) {
		// Its handler prints.
		module := filepath.Join(t.TempDir(), "faulty.mjs")
		program := fmt.Sprintf("const { log } = console\nconsole.log = (...all) => {\n"+
			"if (all[1] === %q) throw new Error('no such thing')\nlog(...all)\n}\n", poison)
		if err := os.WriteFile(module, []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		return nil, []string{"NODE_OPTIONS=--import=" + module}
	},
}

// faultyGo builds the example in Go with another handler, once.
var faultyGo = sync.OnceValues(func() (string, error) {
	root, err := brokers.Root()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "examples-go")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the folder for what is temporary
	file := filepath.Join(dir, "handle.go")
	handler := fmt.Sprintf("package main\n\nimport \"fmt\"\n\nfunc handle(_ string, payload []byte) {\n"+
		"if string(payload) == %q {\npanic(\"no such thing\")\n}\nfmt.Println(\"received\", shown(string(payload)))\n}\n", poison)
	if err := os.WriteFile(file, []byte(handler), 0o600); err != nil {
		return "", err
	}
	sources := filepath.Join(root, "examples", "go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(sources, "handle.go"): file}})
	if err != nil {
		return "", err
	}
	replace := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(replace, overlay, 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(root, "build", "examples-go-faulty")
	build := exec.Command("go", "build", "-overlay", replace, "-o", binary, ".")
	build.Dir = sources
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
})

// TestTakesWhatItCantUse: the message that a client can't use is acknowledged, or the broker sends it again for ever.
func TestTakesWhatItCantUse(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		witness := s.witness(t)
		for _, e := range all {
			if !e.receives {
				continue
			}
			plain := e.command
			e.command = func(t *testing.T, b *harness.Broker, dir string) ([]string, []string) {
				argv, env := plain(t, b, dir)
				other, more := faulty[e.name](t)
				if other != nil {
					argv = other
				}
				return argv, append(env, more...)
			}
			r := s.start(t, e)
			eventually(t, r.name+" is there", func() bool { return len(r.received()) > 0 })
			witness.Publish(r.topic, "to\xff\xfe", 1) // not UTF-8
			witness.Publish(r.topic, "to\x1b[2J", 1)  // clears a terminal
			witness.Publish(r.topic, poison, 1)
			witness.Publish(r.topic, "to1", 1)
			eventually(t, r.name+" gets the next one", func() bool { return slices.Contains(r.received(), "to1") })
			r.WaitLog("no such thing")
			tokens := len(r.tokens())
			eventually(t, r.name+" comes back with another token", func() bool { return len(r.tokens()) > tokens })
			witness.Publish(r.topic, "to2", 1)
			eventually(t, r.name+" gets what comes then", func() bool { return slices.Contains(r.received(), "to2") })
			if n := strings.Count(r.Log(), "no such thing"); n != 1 {
				t.Errorf("%s was sent the message %d times", r.name, n)
			}
			if strings.Contains(r.Log(), "\x1b") {
				t.Errorf("%s steers the terminal", r.name)
			}
			r.wantStopped(t)
		}
	})
}

// mostRequests are how many attempts of one client there can have been if each pause after a failure is at least half of
// the double of the one before, up to half a minute: 1 s, 2 s, 4 s and so on. A slow machine makes fewer.
func mostRequests(took time.Duration) (n int) {
	for least, at := time.Second, time.Duration(0); at <= took; least = min(2*least, 30*time.Second) {
		n, at = n+1, at+least
	}
	return n
}

// TestAsksForAnotherTokenWhenOneIsRevokedAfterConnect: a CONNACK is no success yet.
func TestAsksForAnotherTokenWhenOneIsRevokedAfterConnect(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		var long []idp.Option // tokens that are not renewed meanwhile
		for _, e := range all {
			c := client(e.name)
			c.ID, c.Lifetime = c.ID+"-long", time.Hour
			long = append(long, idp.WithClient(c))
		}
		s := newStage(t, v, long...)
		options := s.config["options"].(map[string]any)
		options["revocation"] = map[string]any{"check": "afterConnect", "introspection": map[string]any{
			"clientId": s.provider.Broker().ID, "clientSecret": map[string]any{"plain": s.provider.Broker().Secret},
		}}
		s.WriteFile("jwt.json", s.config)
		mark := s.Mark()
		s.Reload()
		s.WaitLogSince(mark, `reloaded .*jwt.json`) // what comes before is not asked about
		s.provider.SetAnswer(idp.Introspect, &idp.Answer{
			Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"active":false}`,
		})
		var examples []*running
		begun := time.Now()
		for _, e := range all {
			if e.receives { // mosquitto_pub is gone before it can be disconnected
				r := s.start(t, e, "CLIENT_ID="+client(e.name).ID+"-long")
				r.id = client(e.name).ID + "-long"
				examples = append(examples, r)
			}
		}
		for _, r := range examples {
			eventually(t, r.name+" has come with four tokens", func() bool { return len(r.tokens()) >= 4 })
			n := r.logins("accepted as")
			if most := mostRequests(time.Since(begun)); n > most {
				t.Errorf("%s has logged in %d times, and that should be at most %d", r.name, n, most)
			}
		}
		requests := s.provider.Requests(idp.Token)
		if most := len(examples) * mostRequests(time.Since(begun)); requests > most {
			t.Errorf("the provider was asked for %d tokens, and that should be at most %d", requests, most)
		}
		s.provider.SetAnswer(idp.Introspect, nil)
		witness := s.witness(t)
		for _, r := range examples {
			eventually(t, r.name+" goes on", func() bool { return len(numbers(witness, r.topic)) > 2 })
			r.wantDiscreet(t)
			r.wantStopped(t)
		}
	})
}

// TestComesBackAfterARefusedRenewal, which ends a session by AUTH, and leaves one by $CONTROL to its expiry.
func TestComesBackAfterARefusedRenewal(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		witness := s.witness(t)
		var examples []*running
		for _, e := range all {
			if e.receives {
				r := s.start(t, e)
				eventually(t, r.name+" is there", func() bool { return len(r.received()) > 0 })
				examples = append(examples, r)
			}
		}
		common := s.config["options"].(map[string]any)["common"].(map[string]any)
		common["audience"] = "other"
		s.renewing(true)
		for _, r := range examples {
			s.WaitLog(`client "` + r.id + `" (?:\[127\.0\.0\.1\] )?not renewed: wrong audience`)
		}
		common["audience"] = "mqtt"
		s.renewing(true)
		for _, r := range examples {
			seen := len(numbers(witness, r.topic))
			eventually(t, r.name+" goes on", func() bool { return len(numbers(witness, r.topic)) > seen+2 })
			wantGapless(t, "the witness of "+r.name, "", 1, numbers(witness, r.topic))
			r.wantDiscreet(t)
			r.wantStopped(t)
		}
	})
}

// TestDoesNotHammerTheProvider: what the provider says of a token's life is not made a rate of requests.
func TestDoesNotHammerTheProvider(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		for name, c := range map[string]struct {
			expiresIn string
			audience  string                                             // of the token
			until     func(s *stage, w *harness.Client, r *running) bool // enough has been seen
			most      func(took time.Duration) int                       // requests of one example
		}{
			"no lifetime": {
				`,"expires_in":0`, "mqtt",
				func(_ *stage, w *harness.Client, r *running) bool { return len(numbers(w, r.topic)) >= 5 },
				func(time.Duration) int { return 1 }, // five minutes are assumed
			},
			"a lifetime that is not said": {
				``, "mqtt",
				func(_ *stage, w *harness.Client, r *running) bool { return len(numbers(w, r.topic)) >= 5 },
				func(time.Duration) int { return 1 },
			},
			"a second": { // renewed as one of five seconds is, at the earliest after 60 % of them
				`,"expires_in":1`, "mqtt",
				func(_ *stage, _ *harness.Client, r *running) bool { return r.logins("accepted as") >= 3 },
				func(took time.Duration) int { return 1 + int(took/(3*time.Second)) },
			},
			"no lifetime, of a token that is refused": {
				`,"expires_in":0`, "other",
				func(_ *stage, _ *harness.Client, r *running) bool { return r.logins("refused: ") >= 3 },
				mostRequests,
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, v)
				witness := s.witness(t)
				token := s.provider.Token("sensor", time.Hour, idp.Audience(c.audience))
				s.provider.SetAnswer(idp.Token, &idp.Answer{
					Header: http.Header{"Content-Type": {"application/json"}},
					Body:   fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"%s}`, token, c.expiresIn),
				})
				begun, examples := time.Now(), s.startAll(t)
				for _, r := range examples {
					eventually(t, r.name+" has done enough", func() bool { return c.until(s, witness, r) })
				}
				n := s.provider.Requests(idp.Token)
				if most := len(examples) * c.most(time.Since(begun)); n > most {
					t.Errorf("the provider was asked for %d tokens, and that should be at most %d", n, most)
				}
			})
		}
	})
}

// logins are how many of the example's the plugin tells of in these words.
func (r *running) logins(words string) int {
	line := regexp.MustCompile(`client "` + r.id + `" \[127\.0\.0\.1\] .*` + words)
	return len(line.FindAllString(r.stage.Log(), -1))
}

// TestSaysWhatTheBrokerDenies: a SUBACK or PUBACK that denies is no success, and a subscription is asked for again.
func TestSaysWhatTheBrokerDenies(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		access := harness.Dynsec{
			Roles:   map[string][]harness.ACL{"all": harness.MayUse("numbers/#")},
			Clients: []harness.DynsecClient{{Username: "witness", Roles: []string{"all"}}},
		}
		for _, e := range all {
			access.Clients = append(access.Clients, harness.DynsecClient{Username: client(e.name).ID})
		}
		s := newStageWith(t, v, []harness.Plugin{access.Plugin()})
		witness := s.witness(t)
		examples := s.startAll(t)
		for _, r := range examples {
			r.WaitLog(`^not published.*(?i:not authorized)`)
			if r.receives {
				r.WaitLog(`^not subscribed.*(?i:not authorized)`)
			}
		}
		for _, r := range examples {
			if code := s.Ctrl(1, "dynsec", "addClientRole", r.id, "all").Wait(); code != 0 {
				t.Fatalf("mosquitto_ctrl ended with exit code %d", code)
			}
		}
		for _, r := range examples {
			eventually(t, r.name+" may go on", func() bool { return len(numbers(witness, r.topic)) > 1 })
			if r.receives { // though the broker has kept its session
				witness.Publish(r.topic, "to1", 1)
				eventually(t, r.name+" has subscribed", func() bool { return len(r.received()) > 0 })
			}
			r.wantDiscreet(t)
			r.wantStopped(t)
		}
	})
}

// TestSendsItsSecretByTLSOnly: a provider that is asked by TLS may still name an endpoint without.
func TestSendsItsSecretByTLSOnly(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		s.provider.SetAnswer(idp.Discovery, &idp.Answer{
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   fmt.Sprintf(`{"issuer":%q,"token_endpoint":"http://id.example.com/token"}`, s.provider.Issuer()),
		})
		for _, r := range s.startAll(t) {
			if code := r.Wait(); code == 0 || !strings.Contains(r.Log(), "token_endpoint must begin with https://") {
				t.Errorf("%s ended with exit code %d, and says %q", r.name, code, r.Log())
			}
		}
	})
}

// TestMosquittoPubTakesNoOptionsFromAToken: its options are the lines of a file.
func TestMosquittoPubTakesNoOptionsFromAToken(t *testing.T) {
	once(t, func(t *testing.T, v brokers.Version) {
		s := newStage(t, v)
		s.provider.SetAnswer(idp.Token, &idp.Answer{
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   `{"access_token":"a\n--will-topic numbers/will\n--will-payload x","token_type":"Bearer"}`,
		})
		r := s.start(t, all[len(all)-1])
		r.WaitLog("^no token: ")
		if s.provider.Requests(idp.Token) == 0 {
			t.Error("the provider was not asked")
		}
		r.wantStopped(t)
		if calls, err := os.ReadFile(filepath.Join(r.dir, "calls")); err == nil {
			t.Errorf("mosquitto_pub was called: %s", calls)
		}
	})
}

// TestPageLeavesKeycloakItsPort: both are tried out on one machine.
func TestPageLeavesKeycloakItsPort(t *testing.T) {
	guide, err := os.ReadFile(path(t, "examples/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile(path(t, "docker/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	served := matches(string(guide), `http\.server (\d+)`)
	if len(served) != 1 {
		t.Fatalf("the page is served on %v", served)
	}
	for _, address := range matches(string(guide), `http://127\.0\.0\.1:(\d+)/browser/`) {
		if address != served[0] {
			t.Errorf("the page is served on %s and called on %s", served[0], address)
		}
	}
	if taken := matches(string(compose), `- 127\.0\.0\.1:(\d+):\d+`); len(taken) == 0 || slices.Contains(taken, served[0]) {
		t.Errorf("the page is served on %s, and docker/compose.yaml publishes %v", served[0], taken)
	}
}
