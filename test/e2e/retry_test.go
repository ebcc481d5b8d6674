package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// comers are the clients that have a reconnect logic of their own, each over what its users use.
var comers = []struct {
	name     string
	kind     harness.Kind
	listener int
}{
	{"paho.mqtt.golang", harness.Paho3, 0},
	{"paho.mqtt.golang over WebSocket", harness.Paho3, 1},
	{"autopaho", harness.Paho5, 0},
	{"autopaho over WebSocket", harness.Paho5, 1},
	{"MQTT.js, 3.1.1", harness.MQTTJS3, 0},
	{"MQTT.js, 3.1.1 over WebSocket", harness.MQTTJS3, 1},
	{"MQTT.js, 5", harness.MQTTJS5, 0},
	{"MQTT.js, 5 over WebSocket", harness.MQTTJS5, 1},
	{"paho-mqtt, 3.1.1", harness.PahoPython3, 0},
	{"paho-mqtt, 5", harness.PahoPython5, 0},
	{"mosquitto_sub, 3.1.1", harness.MosquittoSub3, 0},
	{"mosquitto_sub, 5", harness.MosquittoSub5, 0},
}

// onRetry asks about tokens in the background. However long a test is held up, neither the question nor the window times
// out meanwhile, and the key set is not read again.
var onRetry = object{
	"options.revocation.check":         "onRetry",
	"options.revocation.retryWindowMs": 300_000,
	"options.revocation.timeoutMs":     300_000,
	"options.modes.jwks.cache.ttlMs":   600_000,
}

// putOff matches the log line for an attempt that got no answer.
func putOff(id, reason string) string {
	return fmt.Sprintf(`go_jwt_auth: client %s \[127\.0\.0\.1\] put off, its next attempt will be answered: %s`,
		regexp.QuoteMeta(fmt.Sprintf("%q", id)), reason)
}

// operator logs in by password, so that nobody is asked about it.
func operator(t *testing.T, b *harness.Broker) *harness.Client {
	t.Helper()
	l := harness.Login{ClientID: "operator", Username: new("operator"), Password: new("operator's password")}
	return harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
}

// outcome looks at what has become of one of the comers.
type outcome func(t *testing.T, c *harness.Persistent, topic string, kind harness.Kind)

// allComeAgain starts all comers, each with a token and a topic of its own, sees each put off for the reason, and then
// releases what they wait for.
func allComeAgain(t *testing.T, b *harness.Broker, token func() string, reason string, release func(), see outcome) {
	t.Helper()
	defer release() // when the test fails, too
	clients := make([]*harness.Persistent, len(comers))
	id := func(i int) string { return fmt.Sprintf("c%d", i) }
	topic := func(i int) string { return "sensors/1/" + id(i) }
	for i, c := range comers {
		clients[i] = harness.Persist(t, b, c.listener, c.kind, login(id(i), token()), topic(i))
	}
	for i := range comers {
		b.WaitLog(putOff(id(i), reason))
	}
	release()
	for i, c := range comers {
		t.Run(c.name, func(t *testing.T) { see(t, clients[i], topic(i), c.kind) })
	}
}

// in sees that a client has got in, at another attempt than its first, and gets its messages.
func in(publisher *harness.Client) outcome {
	return func(t *testing.T, c *harness.Persistent, topic string, _ harness.Kind) {
		t.Helper()
		c.WaitSubscribed()
		publisher.Publish(topic, "welcome", 1)
		if got := c.WaitMessage(); got != "welcome" {
			t.Errorf("the message is %q", got)
		}
		if answer, attempt := c.WaitConnack(); !answer.Accepted() || attempt < 2 {
			t.Errorf("the first answer, at attempt %d, was %v, want accepted at a later one", attempt, answer)
		}
	}
}

// out sees that the first answer that a client got, at another attempt than its first, was a refusal.
func out(t *testing.T, c *harness.Persistent, _ string, kind harness.Kind) {
	t.Helper()
	want := unauthorized(kind.Protocol())
	if answer, attempt := c.WaitConnack(); answer.Code != want || attempt < 2 {
		t.Errorf("the first answer, at attempt %d, was %v, want refused with 0x%02x at a later one", attempt, answer, want)
	}
}

func unauthorized(protocol byte) byte {
	if protocol == harness.V5 {
		return 0x87
	}
	return 0x05
}

// notYet sees an attempt put off for the reason.
func notYet(t *testing.T, b *harness.Broker, protocol byte, l harness.Login, reason string) {
	t.Helper()
	mark := b.Mark()
	if got := knock(t, b, protocol, l); !got.Closed {
		t.Errorf("CONNECT was %v, want closed without CONNACK", got)
	}
	b.WaitLogSince(mark, putOff(l.ClientID, reason))
}

// A connection that is closed without CONNACK is one that clients open again by themselves; by then the provider has
// answered, once for each token.
func TestClientsComeAgainWhileTheProviderIsAsked(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, onRetry))
		publisher := operator(t, b)
		token := func() string { return p.Token("sensor-1", time.Hour) }
		allComeAgain(t, b, token, "provider unavailable: ", p.Hold(idp.Introspect), in(publisher))
		if got := p.Requests(idp.Introspect); got != len(comers) {
			t.Errorf("%d questions about %d tokens", got, len(comers))
		}
		if matches(b.Log(), `\] refused: `) {
			t.Error("somebody was refused meanwhile")
		}
	})
}

// The same where it is a key that the broker has to wait for.
func TestClientsComeAgainWhileTheKeySetIsRead(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{
			"options.revocation":             nil,
			"options.modes.jwks.cache.ttlMs": 600_000,
			"options.modes.jwks.timeoutMs":   300_000,
			"options.modes.jwks.maxBlockMs":  1, // each attempt holds all others up for as long
		}))
		publisher := operator(t, b)
		if _, err := p.Rotate(); err != nil {
			t.Fatal(err)
		}
		before := p.Requests(idp.JWKS)
		token := func() string { return p.Token("sensor-1", time.Hour) }
		allComeAgain(t, b, token, "keys unavailable: ", p.Hold(idp.JWKS), in(publisher))
		if got := p.Requests(idp.JWKS) - before; got != 1 {
			t.Errorf("%d requests for the key set, want one", got)
		}
	})
}

func TestARevokedTokenIsRefusedWhenItComesAgain(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, onRetry))
		bad := func() string { return revoked(t, p, "sensor-1") }
		allComeAgain(t, b, bad, "provider unavailable: ", p.Hold(idp.Introspect), out)
		for i := range comers {
			b.WaitLog(refused(fmt.Sprintf("c%d", i), "revoked: http.* says that it is not active"))
		}
		if got := p.Requests(idp.Introspect); got != len(comers) {
			t.Errorf("%d questions about %d tokens", got, len(comers))
		}
	})
}

// What needs no question is answered at once.
func TestOnRetryABadTokenIsRefusedAtOnce(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, onRetry))
		for name, token := range map[string]string{
			"forged":  p.Token("sensor-1", time.Hour, idp.ForeignKey()),
			"expired": p.Token("sensor-1", -time.Minute),
		} {
			for _, protocol := range []byte{harness.V311, harness.V5} {
				if got := knock(t, b, protocol, login(name, token)); got.Closed || got.Code != unauthorized(protocol) {
					t.Errorf("%s: CONNECT was %v, want refused with 0x%02x", name, got, unauthorized(protocol))
				}
			}
		}
		operator(t, b)
		if got := p.Requests(idp.Introspect); got != 0 {
			t.Errorf("the provider was asked %d times", got)
		}
	})
}

// A provider that does not answer is an answer, too, and the next attempt gets it.
func TestOnRetryWithoutAProvider(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		deny := start(t, v, config(t, p, onRetry))
		allow := start(t, v, config(t, p, onRetry, object{"options.revocation.onUnavailable": "allow"}))
		if err := p.SetDown(true); err != nil {
			t.Fatal(err)
		}
		for _, protocol := range []byte{harness.V311, harness.V5} {
			l := login(fmt.Sprintf("c%d", protocol), p.Token("sensor-1", time.Hour))
			notYet(t, deny, protocol, l, "provider unavailable: ")
			want := unauthorized(protocol)
			if protocol == harness.V5 && v.AtLeast(2, 1) {
				want = 0x88 // server unavailable
			}
			if got := again(t, deny, protocol, l); got.Code != want {
				t.Errorf("CONNECT was %v, want refused with 0x%02x", got, want)
			}
			deny.WaitLog(refused(l.ClientID, "provider unavailable: POST http"))

			notYet(t, allow, protocol, l, "provider unavailable: ")
			if got := again(t, allow, protocol, l); !got.Accepted() {
				t.Errorf("CONNECT was %v, want accepted", got)
			}
			allow.WaitLog(fmt.Sprintf(`client %q .* accepted as "sensor-1" without having been asked about .*: provider unavailable: `, l.ClientID))
		}
	})
}

// An answer serves for retryWindowMs, and is then asked for anew.
func TestOnRetryAnAnswerServesNoLongerThanItsWindow(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, onRetry, object{"options.revocation.retryWindowMs": 1000}))
		l := login("c", p.Token("sensor-1", time.Hour))
		notYet(t, b, harness.V5, l, "provider unavailable: ")
		if got := again(t, b, harness.V5, l); !got.Accepted() {
			t.Fatalf("CONNECT was %v, want accepted", got)
		}
		asked := p.Requests(idp.Introspect)
		if err := p.Revoke(*l.Password); err != nil {
			t.Fatal(err)
		}
		// Accepted for as long as the window is open, then put off, and then it is known.
		closed := false
		for deadline := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
			got := knock(t, b, harness.V5, l)
			switch {
			case time.Now().After(deadline):
				t.Fatal("the endpoint is not asked again")
			case got.Closed:
				closed = true
				continue
			case got.Accepted() && !closed:
				continue
			case got.Code != 0x87 || !closed:
				t.Errorf("CONNECT was %v, want accepted, then closed without CONNACK, then refused", got)
			}
			break
		}
		b.WaitLog(refused("c", "revoked: "))
		if got := p.Requests(idp.Introspect); got <= asked {
			t.Errorf("%d questions, of which %d in the first window", got, asked)
		}
	})
}

// mosquitto_pub does not come again: it says that it has failed, and whoever calls it again within the window is served.
func TestMosquittoPubSucceedsAtItsSecondCall(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, onRetry))
		subscriber := operator(t, b)
		subscriber.Subscribe("sensors/1/#", 1)
		for _, version := range []string{"311", "5"} {
			release := p.Hold(idp.Introspect)
			t.Cleanup(release)
			id, token := "pub"+version, p.Token("sensor-1", time.Hour)
			call := func() *harness.Process {
				pub := b.Pub(0, "-V", version, "-i", id, "-u", "x", "-P", token, "-t", "sensors/1/"+id, "-m", "hello", "-q", "1")
				pub.Wait()
				return pub
			}
			if pub := call(); pub.Wait() == 0 || !strings.Contains(pub.Log(), "onnection was lost") {
				t.Errorf("mosquitto_pub ended with %d:\n%s", pub.Wait(), pub.Log())
			}
			b.WaitLog(putOff(id, "provider unavailable: "))
			release()
			// The provider's answer may take longer than the next call.
			for deadline := time.Now().Add(harness.Patience); call().Wait() != 0; {
				if time.Now().After(deadline) {
					t.Fatalf("mosquitto_pub has not got in within %v", harness.Patience)
				}
			}
			if got := subscriber.WaitMessage("sensors/1/" + id); got.Payload != "hello" {
				t.Errorf("the message is %q", got.Payload)
			}
		}
		if got := p.Requests(idp.Introspect); got != 2 {
			t.Errorf("%d questions about two tokens", got)
		}
	})
}
