package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The cases in this file are about how long a client has the rights of its token, and who else has not.

// theirs has each client publish and subscribe below its own name, and give itself more by the claim "mqtt".
var theirs = object{
	"rules":  []object{{"claim": "mqtt", "format": "topics"}},
	"grants": []object{{"everyone": true, "publish": "{sub}/#", "subscribe": "{sub}/#"}},
}

// rightsLogin is by a token of a subject that has further rights, if any.
func rightsLogin(t testing.TB, id, subject string, mqtt object) harness.Login {
	t.Helper()
	claims := object{"sub": subject}
	if mqtt != nil {
		claims["mqtt"] = mqtt
	}
	return login(id, rightsToken(t, claims))
}

// everything are the rights of somebody who looks on.
var everything = object{"publish": "#", "subscribe": "#"}

func onlooker(t *testing.T, b *harness.Broker) *harness.Client {
	t.Helper()
	c := harness.Connect(t, b.URL(0), harness.Paho5, rightsLogin(t, "onlooker", "onlooker", everything)).Accepted()
	if code := c.Subscribe("#", 1); code >= 0x80 {
		t.Fatalf("the onlooker may not subscribe: 0x%02x", code)
	}
	return c
}

// A will is published if the token that its client came by allows it, however that ends: the broker asks after it has told the end.
func TestAWillIsUpToTheToken(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", withRights(theirs))}})
		look := onlooker(t, b)
		ends := map[string]func(c *harness.Client, l harness.Login){
			"drops": func(c *harness.Client, _ harness.Login) { c.Drop() },
			"is taken over": func(_ *harness.Client, l harness.Login) {
				l.Will, l.Resume = nil, false
				harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
			},
			"is disconnected at the end of its token": func(c *harness.Client, _ harness.Login) { c.WaitDisconnect() },
		}
		for _, c := range []struct {
			rule, end     string
			kind          harness.Kind
			expiry, delay uint32
		}{
			{"MQTT 3.1.1", "drops", harness.Paho3, 0, 0},
			{"MQTT 5", "drops", harness.Paho5, 0, 0},
			{"its session is kept", "drops", harness.Paho5, never, 0},
			{"its will has a delay", "drops", harness.Paho5, 0, 1},
			{"its session is kept, and its will has a delay", "drops", harness.Paho5, never, 1},
			{"MQTT 3.1.1", "is taken over", harness.Paho3, 0, 0},
			{"MQTT 5", "is taken over", harness.Paho5, 0, 0},
			{"its session is kept", "is taken over", harness.Paho5, never, 0},
			{"MQTT 3.1.1", "is disconnected at the end of its token", harness.Paho3, 0, 0},
			{"its session is kept", "is disconnected at the end of its token", harness.Paho5, never, 0},
		} {
			t.Run(c.rule+", "+c.end, func(t *testing.T) {
				for _, topic := range []string{"other/will", "own/will"} { // what may not come comes first
					claims := object{"sub": "own"}
					if strings.Contains(c.end, "token") {
						claims["exp"] = time.Now().Add(2 * time.Second).Unix()
					}
					l := login("will", rightsToken(t, claims))
					l.SessionExpiry = c.expiry
					l.Will = &harness.Will{Topic: topic, Payload: c.rule + c.end, QoS: 1, Delay: c.delay}
					client := harness.Connect(t, b.URL(0), c.kind, l).Accepted()
					ends[c.end](client, l)
					if topic == "other/will" && c.delay > 0 {
						b.WaitLog(`client "will" may not publish \(QoS 1\) to "other/will"`)
					}
				}
				look.WaitMessage("own/will")
				for _, m := range look.Messages() {
					if m.Topic == "other/will" {
						t.Fatal("another's topic got a will")
					}
				}
			})
		}
	})
}

// What is queued for a client that is away is held against the rights that it had, and when it is back against those that it has.
func TestWhatIsQueuedIsUpToTheToken(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", withRights(theirs))}})
		look := onlooker(t, b)
		for _, kind := range []harness.Kind{harness.Paho3, harness.Paho5} {
			mqtt := object{"subscribe": []string{"a", "b"}}
			l := rightsLogin(t, "away", "away", mqtt)
			l.Resume, l.SessionExpiry = true, never
			c := harness.Connect(t, b.URL(0), kind, l).Accepted()
			for _, topic := range []string{"a", "b", "away/c"} {
				if code := c.Subscribe(topic, 1); code >= 0x80 {
					t.Fatalf("%s: 0x%02x", topic, code)
				}
			}
			mark := b.Mark()
			c.Drop()
			b.WaitLogSince(mark, "away.*(closed|disconnected)")
			for _, topic := range []string{"a", "b", "away/c"} {
				look.Publish(topic, "queued", 1)
			}
			// Its next token gives it less.
			l = rightsLogin(t, "away", "away", object{"subscribe": "b"})
			l.Resume, l.SessionExpiry = true, never
			c = harness.Connect(t, b.URL(0), kind, l).Accepted()
			if !c.Connack().SessionPresent {
				t.Error("the session is gone")
			}
			c.WaitMessage("b")
			c.WaitMessage("away/c")
			// Its subscriptions are what they were.
			for _, topic := range []string{"a", "b"} {
				look.Publish(topic, "later", 1)
			}
			c.WaitMessage("b")
			for _, m := range c.Messages() {
				if m.Topic == "a" {
					t.Errorf("%s: it got what it may not receive any more: %v", kind, m)
				}
			}
			c.Drop()
		}
	})
}

// A login that has to wait for the endpoint (2.1) has its rights when the broker asks about what is queued for it.
func TestWhatIsQueuedForALoginThatWaits(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{
			"options.authorization": theirs, "options.modes.jwks.cache.ttlMs": 600_000,
		}))}})
		sender := harness.Connect(t, b.URL(0), harness.Paho5, login("sender", p.Token("sensor-1", time.Hour))).Accepted()
		l := login("away", p.Token("sensor-1", time.Hour))
		l.Resume, l.SessionExpiry = true, never
		c := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
		c.Subscribe("sensor-1/a", 1)
		for range 3 {
			mark := b.Mark()
			c.Drop()
			b.WaitLogSince(mark, "away.*(closed|disconnected)")
			sender.Publish("sensor-1/a", "queued", 1)
			c = harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
			c.WaitMessage("sensor-1/a")
		}
		if v.AtLeast(2, 1) {
			b.WaitLog(`client "away" .* waits for its verdict`)
		}
	})
}

// A renewal puts the rights of the fresh token in the place of those before, at once. Subscriptions stay, and bring what may be received. What
// a renewal needs is allowed to every token.
func TestARenewalReplacesRights(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", withRights(theirs))}})
		look := onlooker(t, b)
		wide, narrow := object{"subscribe": []string{"a", "b"}, "publish": "out"}, object{"subscribe": "b"}
		for _, c := range []struct {
			how    string
			kind   harness.Kind
			login  func(id, token string) harness.Login
			renews func(c *harness.Client, token string)
		}{
			{"AUTH", harness.Paho5, byToken, func(c *harness.Client, token string) {
				if got := c.Reauthenticate(token); !got.Accepted() {
					t.Fatal(got)
				}
			}},
			{"$CONTROL", harness.Paho3, login, func(c *harness.Client, token string) {
				if got := renew(t, c, token); got[0].Error != "" {
					t.Fatal(got)
				}
			}},
			{"$CONTROL, MQTT 5", harness.Paho5, login, func(c *harness.Client, token string) {
				if got := renew(t, c, token); got[0].Error != "" {
					t.Fatal(got)
				}
			}},
		} {
			token := func(mqtt object) string { return rightsToken(t, object{"sub": "renews", "mqtt": mqtt}) }
			client := harness.Connect(t, b.URL(0), c.kind, c.login("renews", token(wide))).Accepted()
			for _, topic := range []string{"a", "b"} {
				if code := client.Subscribe(topic, 1); code >= 0x80 {
					t.Fatalf("%s: 0x%02x", topic, code)
				}
			}
			// gets has both topics published, and tells whether the first has come.
			gets := func(payload string) (a bool) {
				t.Helper()
				look.Publish("a", payload, 1)
				look.Publish("b", payload, 1)
				client.WaitMessage("b")
				for _, m := range client.Messages() {
					a = a || m.Topic == "a" && m.Payload == payload
				}
				return a
			}
			publishes := func(want bool) {
				t.Helper()
				code := client.Publish("out", "", 1)
				if c.kind.Protocol() == harness.V5 && (code < 0x80) != want {
					t.Errorf("%s: PUBACK 0x%02x", c.how, code)
				}
			}
			if !gets("at first") {
				t.Errorf("%s: it has nothing from a", c.how)
			}
			publishes(true)
			c.renews(client, token(narrow))
			if gets("narrowed") {
				t.Errorf("%s: it receives what it may not any more", c.how)
			}
			publishes(false)
			if strings.HasPrefix(c.how, "$CONTROL") { // a refused one by AUTH ends the session
				if got := renew(t, client, token(wide)+"x"); got[0].Error == "" {
					t.Error("a bad token renews")
				}
				if gets("refused") {
					t.Errorf("%s: a refused renewal gives rights", c.how)
				}
			}
			c.renews(client, token(wide))
			if !gets("wide again") {
				t.Errorf("%s: its subscription is gone", c.how)
			}
			publishes(true)
			client.Drop()
		}
	})
}

// A retained message is delivered by the rights of who subscribes; with check_retain_source, also by those of who has published it,
// as long as these are known.
func TestRetainedMessagesAreUpToTheTokens(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, check := range []bool{false, true} {
			t.Run(fmt.Sprint("check_retain_source ", check), func(t *testing.T) {
				b := harness.Start(t, v, harness.Options{
					Plugins: []harness.Plugin{harness.JWT("jwt.json", withRights(theirs))}, Extra: fmt.Sprintf("check_retain_source %t", check),
				})
				// retains publishes a retained message by a raw connection, as wills and libraries here don't.
				retains := func(id string, mqtt object, topic string) *harness.Raw {
					t.Helper()
					r, err := harness.Dial(b.URL(0), harness.V311)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(r.Close)
					if got, err := r.Connect(rightsLogin(t, id, id, mqtt)); err != nil || !got.Accepted() {
						t.Fatal(got, err)
					}
					if err := r.Send(harness.PublishPacket(topic, "retained", true)); err != nil {
						t.Fatal(err)
					}
					if err := r.Ping(); err != nil {
						t.Fatal(err)
					}
					return r
				}
				retains("stays", nil, "stays/a")
				retains("narrowed", object{"publish": "wide"}, "wide").Close()
				b.WaitLog("narrowed.*(closed|disconnected)")
				retains("narrowed", nil, "narrowed/a")
				retains("gone", nil, "gone/a").Close()
				b.WaitLog("gone.*(closed|disconnected)")
				harness.Connect(t, b.URL(0), harness.Paho5, rightsLogin(t, "settles", "settles", nil)).Accepted().Publish("settles/x", "", 1)

				c := harness.Connect(t, b.URL(0), harness.Paho5, rightsLogin(t, "c", "c", object{"subscribe": []string{"stays/+", "narrowed/+", "gone/+", "wide", "end"}, "publish": "end"})).Accepted()
				for _, filter := range []string{"wide", "gone/+", "narrowed/+", "stays/+", "end"} {
					if code := c.Subscribe(filter, 1); code >= 0x80 {
						t.Fatalf("%s: 0x%02x", filter, code)
					}
				}
				c.WaitMessage("stays/a")
				c.Publish("end", "", 1)
				c.WaitMessage("end")
				got := map[string]bool{}
				for _, m := range c.Messages() {
					got[m.Topic] = true
				}
				for topic, want := range map[string]bool{"stays/a": true, "narrowed/a": true, "wide": !check, "gone/a": !check} {
					if got[topic] != want {
						t.Errorf("%s: %t, want %t", topic, got[topic], want)
					}
				}
			})
		}
	})
}

// After a restart of the broker nobody knows the rights of those who are away: others decide, and if there are none nothing is queued.
func TestARestoredSessionHasNoRightsUntilItsClientIsBack(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, beside := range []string{"nothing", "an ACL file"} {
			t.Run(beside, func(t *testing.T) {
				o := harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", withRights(theirs))}, Persistence: true}
				if beside != "nothing" {
					o.Extra, o.Files = "acl_file {dir}/acl", map[string]string{"acl": "pattern read %u/#\n"}
				}
				first := harness.Start(t, v, o)
				l := rightsLogin(t, "away", "away", nil)
				l.Resume, l.SessionExpiry = true, never
				c := harness.Connect(t, first.URL(0), harness.Paho5, l).Accepted()
				c.Subscribe("away/#", 1)
				c.Drop()
				first.WaitLog("away.*(closed|disconnected)")
				first.Stop()

				o.Prepare = copyFile(t, first, "mosquitto.db")
				b := harness.Start(t, v, o)
				sender := harness.Connect(t, b.URL(0), harness.Paho5, rightsLogin(t, "sender", "sender", everything)).Accepted()
				sender.Publish("away/restored", "", 1)
				c = harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
				if !c.Connack().SessionPresent {
					t.Error("the session is gone")
				}
				sender.Publish("away/back", "", 1)
				c.WaitMessage("away/back")
				if got := len(c.Messages()) == 2; got != (beside != "nothing") {
					t.Errorf("what was sent before: %t, among %v", got, c.Messages())
				}
			})
		}
	})
}

// A reload switches the checks on and off. Sessions keep the rights that they had, or the lack of them; nobody loses anything in between.
func TestAReloadSwitchesRights(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", withRights(nil))}, Passwords: map[string]string{"operator": "operator's password"},
		})
		operator := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "o", Username: new("operator"), Password: new("operator's password")}).Accepted()
		publishes := func(who string, c *harness.Client, topic string, want byte) {
			t.Helper()
			if code := c.Publish(topic, "", 1) & 0x87; code != want { // 0x10: nobody gets it
				t.Errorf("%s to %s: 0x%02x, want 0x%02x", who, topic, code, want)
			}
		}
		reload := func(authorization object) {
			t.Helper()
			b.WriteFile("jwt.json", withRights(authorization))
			mark := b.Mark()
			b.Reload()
			b.WaitLogSince(mark, "go_jwt_auth: .* reloaded ")
		}
		comes := func(id string) *harness.Client {
			t.Helper()
			return harness.Connect(t, b.URL(0), harness.Paho5, rightsLogin(t, id, "own", nil)).Accepted()
		}
		before := comes("before")
		publishes("the operator, without rights", operator, "any", 0)
		publishes("a token's client", before, "any", 0)

		reload(theirs)
		b.WaitLog("the broker asks this plugin about rights from now on, after its ACL file and all other plugins")
		publishes("the operator, of whom nobody says anything", operator, "any", 0x87)
		publishes("a session from before", before, "own/x", 0x87)
		after := comes("after")
		publishes("a new one", after, "own/x", 0)
		publishes("a new one", after, "any", 0x87)

		reload(nil)
		publishes("the operator, while one with rights is there", operator, "any", 0x87)
		publishes("the one with rights", after, "own/x", 0)
		publishes("the one with rights", after, "any", 0x87)
		mark := b.Mark()
		after.Drop()
		b.WaitLogSince(mark, "after.*(closed|disconnected)")
		// Two rounds of the broker's loop are enough.
		for deadline := time.Now().Add(harness.Patience); operator.Publish("any", "", 1) >= 0x80; {
			if time.Now().After(deadline) {
				t.Fatal("the operator may still do nothing")
			}
		}
		publishes("a session from before all", before, "any", 0)
	})
}

// The introspection endpoint says what the bearer of an opaque token may do, and may say less when it is asked again.
func TestARecheckReplacesRights(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		says := func(mqtt string) {
			p.SetAnswer(idp.Introspect, &idp.Answer{
				Header: map[string][]string{"Content-Type": {"application/json"}}, Body: `{"active":true,"sub":"opaque","mqtt":` + mqtt + `}`,
			})
		}
		says(`{"publish":["a"],"subscribe":["a"]}`)
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", object{"mode": "introspection", "options": object{
			"lazyConnect": true, "common": object{"matchUsernameToSubject": true, "requireExpiration": false}, "authorization": theirs,
			"revocation": object{"introspection": object{"uri": p.IntrospectionURI()}, "recheckIntervalMs": 1000, "check": "onRetry"},
		}})}})
		c := answered(t, b, harness.Paho5, login("c", "an opaque token")).Accepted()
		c.Subscribe("a", 1)
		if code := c.Publish("a", "1", 1); code >= 0x80 {
			t.Fatalf("0x%02x", code)
		}
		c.WaitMessage("a")
		says(`{"subscribe":["a"]}`)
		for deadline := time.Now().Add(harness.Patience); c.Publish("a", "2", 1) < 0x80; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it may still publish")
			}
		}
		b.WaitLog(`client "c" may not publish \(QoS 1\) to "a": no rule is about it`)
		if !c.Connected() {
			t.Error("it was disconnected")
		}
	})
}

// Each listener with a plugin line of its own has its own rights, and one without is left alone.
func TestRightsOfOneListener(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{PerListenerSettings: true, Listeners: []harness.Listener{
			{Plugins: []harness.Plugin{harness.JWT("rights.json", withRights(theirs))}},
			{Plugins: []harness.Plugin{harness.JWT("wide.json", withRights(object{"grants": []object{{"everyone": true, "publish": "#", "subscribe": "#"}}}))}},
			{Plugins: []harness.Plugin{harness.JWT("plain.json", withRights(nil))}},
			{AllowAnonymous: true},
		}})
		for i, want := range []map[string]bool{
			{"own/x": true, "any": false}, {"own/x": true, "any": true}, {"own/x": true, "any": true}, {"own/x": true, "any": true},
		} {
			l := rightsLogin(t, "moves", "own", nil) // the same client id, from one to the next
			if i == 3 {
				l.Username, l.Password = nil, nil
			}
			l.Resume, l.SessionExpiry = true, never
			c := harness.Connect(t, b.URL(i), harness.Paho5, l).Accepted()
			for topic, want := range want {
				if code := c.Publish(topic, "", 1); (code < 0x80) != want {
					t.Errorf("listener %d, %s: 0x%02x", i, topic, code)
				}
			}
			if i%2 == 0 {
				mark := b.Mark()
				c.Drop()
				b.WaitLogSince(mark, "moves.*(closed|disconnected)")
			}
		}
	})
}

// clientPointer is what a witness calls the connection of a client that has gone, in the first such line since a mark.
func clientPointer(b *harness.Broker, mark int, id string) string {
	line := b.WaitLogSince(mark, `witness: (DISCONNECT|CLIENT_OFFLINE) id=`+id+` `)
	return regexp.MustCompile(`client=\S+`).FindString(line)
}

// The address of a connection comes back with another client behind it, and logins by certificates and by other plugins' enhanced
// authentication come without BASIC_AUTH. None of them has the rights of who was there before.
func TestNobodyHasTheRightsOfWhoWasAtItsAddress(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		pems, certificate := madeCertificate(t) // of sensor-1
		otherPEMs, otherCertificate := certificateOf(t, "sensor-2")
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{
				harness.JWT("jwt.json", withRights(theirs)), {Path: witness(t, "events"), Opts: map[string]string{"auth": "true"}},
			},
			Files: map[string]string{"all.pem": pems, "cas.pem": pems + otherPEMs},
			Listeners: []harness.Listener{{}, {Extra: "cafile {dir}/cas.pem\ncertfile {dir}/all.pem\nkeyfile {dir}/all.pem\n" +
				"require_certificate true\nuse_identity_as_username true"}},
		})
		look := onlooker(t, b)
		for _, c := range []struct {
			rule string
			// expires: the session of who was there is kept for a second, of which nobody tells the end.
			expires bool
			// come has somebody come without BASIC_AUTH and publish to sensor-1's topic.
			come func(payload string)
		}{
			{"a certificate, by the same names", false, func(payload string) { publishByCertificate(t, b, certificate, "c", payload) }},
			{"a certificate, by another username", false, func(payload string) { publishByCertificate(t, b, otherCertificate, "c", payload) }},
			{"a certificate, by another client id", false, func(payload string) { publishByCertificate(t, b, certificate, "d", payload) }},
			{"a certificate, by another username, after the session's end", true, func(payload string) { publishByCertificate(t, b, otherCertificate, "c", payload) }},
			{"a certificate, by another client id, after the session's end", true, func(payload string) { publishByCertificate(t, b, certificate, "d", payload) }},
			{"an enhanced authentication, by the same names", false, func(payload string) { publishByAuth(t, b, "c", "sensor-1", payload) }},
			{"an enhanced authentication, by another username", false, func(payload string) { publishByAuth(t, b, "c", "sensor-2", payload) }},
			{"an enhanced authentication, by another username, after the session's end", true, func(payload string) { publishByAuth(t, b, "c", "sensor-2", payload) }},
		} {
			t.Run(c.rule, func(t *testing.T) {
				if strings.HasSuffix(c.rule, "a certificate, by the same names") && !v.AtLeast(2, 1) {
					t.Skip("2.0 tells nobody of them, and they are the same as far as it can be seen")
				}
				tries, reused := 20, 0
				if c.expires {
					tries = 3
				}
				for n := 0; n < tries && reused < 3; n++ {
					l := rightsLogin(t, "c", "sensor-1", nil)
					if c.expires {
						l.SessionExpiry = 1
					}
					mark := b.Mark()
					first := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
					if code := first.Publish("sensor-1/own", "", 1); code >= 0x80 {
						t.Fatalf("0x%02x", code)
					}
					first.Drop()
					was := clientPointer(b, mark, "c")
					if c.expires {
						b.WaitLogSince(mark, "Expiring client c due to timeout")
					}
					mark = b.Mark()
					c.come(fmt.Sprint(c.rule, n))
					if clientPointer(b, mark, `[cd]`) == was {
						reused++
					}
				}
				if reused == 0 {
					t.Log("no address was used again: nothing is shown")
				}
				t.Logf("%d addresses were used again", reused)
			})
		}
		look.Publish("end", "", 1)
		look.WaitMessage("end")
		for _, m := range look.Messages() {
			if m.Topic == "sensor-1/x" {
				t.Errorf("published: %s", m.Payload)
			}
		}
	})
}

// publishByCertificate publishes one message to sensor-1/x and leaves.
func publishByCertificate(t *testing.T, b *harness.Broker, certificate tls.Certificate, id, payload string) {
	t.Helper()
	_, address, _ := strings.Cut(b.URL(1), "://")
	conn, err := tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nobody is there any more
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	text := append(harness.ConnectPacket(harness.V311, harness.Login{ClientID: id}), harness.PublishPacket("sensor-1/x", payload, false)...)
	if _, err := conn.Write(append(text, packets.Pingreq<<4, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		answer, err := packets.ReadPacket(conn)
		if err != nil {
			t.Fatal(err)
		}
		switch answer := answer.(type) {
		case *packets.ConnackPacket:
			if answer.ReturnCode != 0 {
				t.Fatalf("CONNACK %d", answer.ReturnCode)
			}
		case *packets.PingrespPacket:
			return
		}
	}
}

// publishByAuth does the same by an enhanced authentication, which the witness accepts.
func publishByAuth(t *testing.T, b *harness.Broker, id, username, payload string) {
	t.Helper()
	c := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: id, Username: &username, Auth: &harness.Auth{Method: "M", Data: "accept"}}).Accepted()
	if code := c.Publish("sensor-1/x", payload, 1); code != 0x87 {
		t.Errorf("0x%02x", code)
	}
	c.Disconnect()
}

// certificateOf signs itself.
func certificateOf(t *testing.T, name string) (text string, certificate tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
