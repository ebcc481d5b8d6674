package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

func TestAGoodTokenLogsIn(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		observer := observe(t, b, p)
		for _, c := range []struct {
			name     string
			kind     harness.Kind
			listener int
			username *string
		}{
			{"MQTT 3.1.1", harness.Paho3, 0, new("whoever")},
			{"MQTT 3.1.1 over WebSocket", harness.MQTTJS3, 1, new("whoever")},
			{"MQTT 5", harness.Paho5, 0, new("whoever")},
			{"MQTT 5 over WebSocket", harness.MQTTJS5, 1, new("whoever")},
			// MQTT 3.1.1 §3.1.2.9 forbids a password without a username.
			{"without a username", harness.Paho5, 0, nil},
			{"with the username of its subject", harness.Paho5, 0, new("sensor-1")},
			{"with the username of another dynsec client", harness.Paho5, 0, new("operator")},
			{"with the username of the administrator", harness.Paho3, 0, new(harness.AdminUser)},
		} {
			t.Run(c.name, func(t *testing.T) {
				l := login("c", p.Token("sensor-1", time.Hour))
				l.Username = c.username
				client := harness.Connect(t, b.URL(c.listener), c.kind, l).Accepted()
				// dynamic-security knows it by its subject, whatever username it sent.
				if code := client.Subscribe("sensors/1/orders", 1); code >= 0x80 {
					t.Errorf("its own topic: SUBACK 0x%02x", code)
				}
				if code := client.Subscribe("sensors/2/orders", 1); code < 0x80 {
					t.Errorf("another's topic: SUBACK 0x%02x", code)
				}
				topic := "sensors/1/" + strings.ReplaceAll(c.name, " ", "-")
				client.Publish("sensors/2/stolen", "x", 1)
				if code := client.Publish(topic, "21.5", 1); code != 0 {
					t.Errorf("its own topic: PUBACK 0x%02x", code)
				}
				observer.WaitMessage(topic)
				for _, m := range observer.Messages() {
					if m.Topic == "sensors/2/stolen" {
						t.Error("it could publish on another's topic")
					}
				}
				client.Disconnect()
			})
		}
		// No client library sends an empty username.
		empty := login("empty", p.Token("sensor-1", time.Hour))
		empty.Username = new("")
		if got := knock(t, b, harness.V5, empty); !got.Accepted() {
			t.Errorf("with an empty username: CONNECT was %v", got)
		}
		b.WaitLog(`accepted as "sensor-1" \(token jti "[^"]+"\)`)
	})
}

func TestMosquittosOwnClientsLogIn(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		token := p.Token("sensor-1", time.Hour)
		sub := b.Sub(0, "-i", "sub", "-u", "x", "-P", token, "-t", "sensors/1/#", "-C", "1")
		b.WaitLog(`Sending SUBACK to sub`)
		pub := b.Pub(0, "-i", "pub", "-u", "x", "-P", token, "-t", "sensors/1/a", "-m", "hello", "-q", "1")
		if code := pub.Wait(); code != 0 {
			t.Errorf("mosquitto_pub ended with %d:\n%s", code, pub.Log())
		}
		if code := sub.Wait(); code != 0 || !strings.Contains(sub.Log(), "hello") {
			t.Errorf("mosquitto_sub ended with %d:\n%s", code, sub.Log())
		}
	})
}

func TestABadTokenIsRefusedWithItsReason(t *testing.T) {
	p := provider(t)
	good := func(options ...idp.TokenOption) string { return p.Token("sensor-1", time.Hour, options...) }
	parts := strings.Split(good(), ".")
	const others = "" // not a token: left to dynamic-security, which refuses
	// The versions run when other tests leave room: what is ahead now must be so minutes later, too.
	cases := []struct {
		name     string
		password *string
		reason   string
	}{
		{"expired", new(p.Token("sensor-1", -time.Minute)), "expired: exp is .* ago"},
		{"not yet valid", new(good(idp.NotBefore(time.Now().Add(30 * time.Minute)))), "not yet valid: nbf is .* ahead of the broker's clock"},
		{"other issuer", new(good(idp.Issuer("https://evil.example"))), `wrong issuer: iss must be "http://127.*", found "https://evil.example"`},
		{"no issuer", new(good(idp.Without("iss"))), "wrong issuer: .*found none"},
		{"other key under the same kid", new(good(idp.ForeignKey())), "bad signature"},
		{"unknown kid", new(good(idp.Header("kid", "stranger"))), `unknown key: kid "stranger"`},
		{"alg none", new(good(idp.Unsigned())), `wrong algorithm: alg must be RS256, found "none"`},
		{"alg none in capitals", new(good(idp.Header("alg", "NONE"))), `wrong algorithm`},
		{"HS256 with the public key as its secret", new(good(idp.SignedBy("HS256", p.PublicKeyPEM()))), `wrong algorithm: alg must be RS256, found "HS256"`},
		{"altered payload", new(parts[0] + "." + strings.Split(p.Token("admin", time.Hour), ".")[1] + "." + parts[2]), "bad signature"},
		{"altered signature", new(parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))), "bad signature"},
		{"no signature", new(parts[0] + "." + parts[1] + "."), "bad signature"},
		{"critical extension", new(good(idp.Header("crit", []string{"exp"}))), "malformed token: crit"},
		{"without expiry", new(good(idp.Without("exp"))), "no expiration"},
		{"without subject", new(good(idp.Without("sub"))), "no identity"},
		{"subject with a wildcard", new(p.Token("sensor/#", time.Hour)), "unsafe identity: .*topic wildcard"},
		{"subject of the broker's own topics", new(p.Token("$SYS", time.Hour)), `unsafe identity: sub is "\$SYS", which begins with '\$'`},
		{"opaque", new(p.Opaque("sensor-1", time.Hour)), "encrypted token"},
		{"two dots only", new(".."), others},
		{"60 kB of rubbish", new(strings.Repeat("rubbish.", 60_000/8)), "too long: 60000 bytes, the most is 16384"},
		{"a token and junk up to 65,535 bytes", new(good() + strings.Repeat("A", 65_535-len(good()))), "too long"},
		{"empty password", new(""), others},
		{"no password", nil, others},
		{"NUL before the token", new("\x00" + good()), others},
		// The broker hands a C string over, so that what follows a NUL can't be seen: it must not save a bad token.
		{"NUL inside a bad token", new(parts[0] + "." + parts[1] + "\x00." + parts[2]), others},
		{"NUL after an expired token", new(p.Token("sensor-1", -time.Minute) + "\x00junk"), "expired"},
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, object{"options.common.issuer": p.Issuer()}))
		for i, c := range cases {
			for _, version := range []byte{harness.V311, harness.V5} {
				t.Run(fmt.Sprintf("%s, version %d", c.name, version), func(t *testing.T) {
					mark, id := b.Mark(), fmt.Sprintf("client-%d-%d", i, version)
					// An unknown key is looked for first, which 2.1 does not wait for.
					got := again(t, b, version, harness.Login{ClientID: id, Username: new("sensor-1"), Password: c.password})
					if want := map[byte]byte{harness.V311: 0x05, harness.V5: 0x87}[version]; got.Closed || got.Code != want {
						t.Errorf("CONNECT was %v, want refused with 0x%02x", got, want)
					}
					if c.reason != others {
						b.WaitLogSince(mark, refused(id, c.reason))
					} else {
						b.WaitLogSince(mark, fmt.Sprintf("client %q .* left to the next plugin", id))
					}
				})
			}
		}
		for _, c := range cases {
			if c.password == nil || len(*c.password) < 100 {
				continue
			}
			for part := range strings.SplitSeq(*c.password, ".") {
				if len(part) > 40 && strings.Contains(b.Log(), part) {
					t.Errorf("%s: a part of the token stands in the log", c.name)
				}
			}
		}
		if strings.Contains(b.Log(), p.Broker().Secret) {
			t.Error("the client secret stands in the log")
		}
	})
}

func TestARevokedTokenIsRefusedAtTheNextConnect(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		token := p.Token("sensor-1", time.Hour)
		for range 2 {
			harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted().Disconnect()
		}
		if err := p.Revoke(token); err != nil {
			t.Fatal(err)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Refused()
		harness.Connect(t, b.URL(0), harness.Paho3, login("c", token)).Refused()
		b.WaitLog(refused("c", "revoked: http.* says that it is not active"))
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
	})
}

// Every connect and reconnect asks, by HTTP Basic and with the token in the form.
func TestIntrospectionIsAskedAtEachConnect(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.revocation.introspection.includeTokenTypehint": true}))
		token := p.Token("sensor-1", time.Hour)
		for n := range 3 {
			harness.Connect(t, b.URL(0), harness.Paho3, login("c", token)).Accepted().Disconnect()
			if got := p.Requests(idp.Introspect); got != n+1 {
				t.Errorf("%d requests after %d connects", got, n+1)
			}
		}
		asked := p.Last(idp.Introspect)
		if id, secret, ok := asked.BasicAuth(); !ok || id != p.Broker().ID || secret != p.Broker().Secret {
			t.Error("the request does not carry the configured credentials by HTTP Basic")
		}
		if asked.PostFormValue("token") != token || asked.PostFormValue("token_type_hint") != "access_token" {
			t.Errorf("the form is %v", asked.PostForm)
		}
		// A refusal that needs no question asks none.
		harness.Connect(t, b.URL(0), harness.Paho3, login("c", p.Token("sensor-1", time.Hour, idp.ForeignKey()))).Refused()
		if got := p.Requests(idp.Introspect); got != 3 {
			t.Errorf("a forged token was sent to the provider (%d requests)", got)
		}
	})
}

func TestAnIntrospectionThatDoesNotAnswerRefuses(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{"options.revocation.timeoutMs": 300}))
		token := p.Token("sensor-1", time.Hour)
		for _, c := range []struct {
			name, reason string
			arrange      func() (restore func())
		}{
			{"hangs", "provider unavailable: POST http.*: no answer within 300ms", func() func() { return p.Hold(idp.Introspect) }},
			{"is broken", "provider unavailable: POST http.*: answered 500 Internal Server Error", func() func() {
				p.SetAnswer(idp.Introspect, &idp.Answer{Status: 500})
				return func() { p.SetAnswer(idp.Introspect, nil) }
			}},
			{"talks nonsense", "provider unavailable: .*no introspection response", func() func() {
				p.SetAnswer(idp.Introspect, &idp.Answer{Body: `{"active":"true"}`})
				return func() { p.SetAnswer(idp.Introspect, nil) }
			}},
			{"does not know the broker", "provider unavailable: .*answered 401 Unauthorized: it does not accept .*clientSecret", func() func() {
				p.SetAnswer(idp.Introspect, &idp.Answer{Status: 401})
				return func() { p.SetAnswer(idp.Introspect, nil) }
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				mark, restore := b.Mark(), c.arrange()
				// 2.1 lets a verdict that comes later be no other than this.
				harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Refused()
				harness.Connect(t, b.URL(0), harness.Paho3, login("c", token)).Refused()
				b.WaitLogSince(mark, refused("c", c.reason))
				restore()
				harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted().Disconnect()
			})
		}
	})
}

// The username of the CONNECT is replaced, or has to match; the client id likewise, where the broker can (2.1).
func TestIdentity(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		t.Run("deny a username that differs", func(t *testing.T) {
			b := start(t, v, config(t, p, object{"options.common.onSubjectMismatch": "deny"}))
			l := login("c", p.Token("sensor-1", time.Hour))
			harness.Connect(t, b.URL(0), harness.Paho5, l).Refused()
			b.WaitLog(refused("c", `identity mismatch: the username must be "sensor-1", found "whoever"`))
			l.Username = new("sensor-1")
			harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
		})
		t.Run("client id", func(t *testing.T) {
			b := start(t, v, config(t, p, object{"options.common.matchClientIdToSubject": true}))
			same := harness.Connect(t, b.URL(0), harness.Paho5, login("sensor-1", p.Token("sensor-1", time.Hour))).Accepted()
			other := harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour)))
			if !v.AtLeast(2, 1) {
				other.Refused()
				b.WaitLog(refused("c", `identity mismatch: the client id must be "sensor-1", found "c" \(this Mosquitto can't change a client id, 2.1 can\)`))
				b.WaitLog(`matchClientIdToSubject is true, but this Mosquitto can't change a client id`)
				return
			}
			// It is now the same client, and takes over.
			other.Accepted()
			if got := same.WaitDisconnect(); got.Code != 0x8e {
				t.Errorf("the first was %v, want a takeover (0x8e)", got)
			}
			b.WaitLog(`New client connected from .* as sensor-1 .*u'sensor-1'`)
		})
		t.Run("a username of its own choice where none is tied", func(t *testing.T) {
			b := start(t, v, config(t, p, object{"options.common.matchUsernameToSubject": false}))
			b.WaitLog("matchUsernameToSubject is false: whoever has a valid token may connect with any username")
			l := login("c", p.Token("nobody", time.Hour))
			l.Username = new("sensor-2")
			c := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
			if code := c.Subscribe("sensors/2/a", 0); code >= 0x80 {
				t.Errorf("SUBACK 0x%02x", code)
			}
		})
	})
}

// A password that is no token is left to dynamic-security: its accounts and its tool go on working.
func TestPasswordLoginsWorkBeside(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		ctrl := b.Ctrl(0, "dynsec", "listClients")
		if code := ctrl.Wait(); code != 0 || !strings.Contains(ctrl.Log(), "sensor-1") {
			t.Errorf("mosquitto_ctrl ended with %d:\n%s", code, ctrl.Log())
		}
		operator := harness.Login{ClientID: "o", Username: new("operator"), Password: new("operator's password")}
		c := harness.Connect(t, b.URL(0), harness.Paho5, operator).Accepted()
		if code := c.Subscribe("sensors/2/a", 0); code >= 0x80 {
			t.Errorf("SUBACK 0x%02x", code)
		}
		operator.Password = new("wrong")
		harness.Connect(t, b.URL(0), harness.Paho5, operator).Refused()
	})
}

// An access list sees the mapped username, too.
func TestAnACLFileSeesTheSubject(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p))},
			Files:   map[string]string{"acl": "pattern readwrite sensors/%u/#\n"},
			Extra:   "acl_file {dir}/acl",
		})
		c := harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
		c.Subscribe("sensors/#", 0)
		c.Publish("sensors/sensor-2/a", "no", 1)
		c.Publish("sensors/whoever/a", "no", 1)
		c.Publish("sensors/sensor-1/a", "yes", 1)
		c.WaitMessage("sensors/sensor-1/a")
		if all := c.Messages(); len(all) != 1 {
			t.Errorf("messages: %v", all)
		}
	})
}

// The HTTP API of 2.1 asks plugins from a thread of its own, at any time: that must not touch what belongs to the
// broker's thread, and a token opens nothing there.
func TestTheHTTPAPIIsLeftToPasswords(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		if !v.AtLeast(2, 1) {
			t.Skip("Mosquitto 2.0 has no HTTP API")
		}
		if brokers.OnMusl() {
			t.Skip("NOT TESTED on musl: musl.sh builds the broker without the HTTP API, which wants libmicrohttpd")
		}
		b := harness.Start(t, v, harness.Options{
			Listeners: []harness.Listener{{}, {Extra: "protocol http_api"}},
			Plugins:   []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{"options.revocation": nil})), sensors()},
		})
		get := func(username, password string) int {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(b.URL(1), "mqtt", "http", 1)+"/api/v1/version", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.SetBasicAuth(username, password)
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return 0
			}
			_ = answer.Body.Close()
			return answer.StatusCode
		}
		var asking sync.WaitGroup
		asking.Go(func() {
			for range 300 {
				if got := get("observer", p.Token("observer", time.Hour)); got != http.StatusUnauthorized {
					t.Errorf("a token got %d from the HTTP API", got)
				}
			}
		})
		for range 300 {
			if got := knock(t, b, harness.V5, login("c", p.Token("sensor-1", time.Hour))); !got.Accepted() {
				t.Errorf("CONNECT was %v", got)
			}
		}
		asking.Wait()
		if got := get("operator", "operator's password"); got != http.StatusOK {
			t.Errorf("a password login got %d from the HTTP API", got)
		}
	})
}

// With revocation.cache an answer serves further logins; onUnavailable "allow" admits where there is none.
func TestKeptAnswersAndNone(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{
			"options.revocation.cache":         object{"ttlMs": 600_000, "negativeTtlMs": 300_000},
			"options.revocation.onUnavailable": "allow",
			"options.modes.jwks.cache.ttlMs":   600_000,
		}))
		token, revoked := p.Token("sensor-1", time.Hour), p.Token("sensor-1", time.Hour)
		if err := p.Revoke(revoked); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted().Disconnect()
			harness.Connect(t, b.URL(0), harness.Paho5, login("c", revoked)).Refused()
		}
		if got := p.Requests(idp.Introspect); got != 2 {
			t.Errorf("%d questions about two tokens", got)
		}
		if err := p.SetDown(true); err != nil {
			t.Fatal(err)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", revoked)).Refused()
		harness.Connect(t, b.URL(0), harness.Paho5, login("new", p.Token("sensor-1", time.Hour))).Accepted()
		b.WaitLog(`client "new" \[127.0.0.1\] accepted as "sensor-1" without having been asked about .*: provider unavailable: POST http.*connection refused`)
		harness.Connect(t, b.URL(0), harness.Paho5, login("bad", p.Token("sensor-1", time.Hour, idp.ForeignKey()))).Refused()
	})
}
