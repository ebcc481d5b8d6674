package e2e

import (
	"fmt"
	"strings"
	"testing"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The cases in this file are about the broker alone, as those in broker_test.go: who gets what is published to a $CONTROL topic, and
// who the answer.

const (
	witnessTopic    = "$CONTROL/witness/v1"
	witnessResponse = witnessTopic + "/response"
)

// Two instances, each of a listener of its own: on 2.1 the first has the topic, for the clients of both.
func TestWhoGetsAControlMessageOfTwoInstances(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		path := witness(t, "events")
		instance := func(name string) []harness.Plugin {
			return []harness.Plugin{{Path: path, Opts: map[string]string{"name": name, "accept": "true"}}}
		}
		b := harness.Start(t, v, harness.Options{PerListenerSettings: true, Listeners: []harness.Listener{
			{Plugins: instance("one")}, {Plugins: instance("two")},
		}})
		second := "two"
		b.WaitLog(`witness one: registered for \$CONTROL/witness/v1: 0`)
		if v.AtLeast(2, 1) {
			second = "one"
			b.WaitLog(`witness two: registered for \$CONTROL/witness/v1: 31`)
		} else {
			b.WaitLog(`witness two: registered for \$CONTROL/witness/v1: 0`)
		}
		for i, want := range []string{"one", second} {
			id := fmt.Sprint("c", i)
			c := harness.Connect(t, b.URL(i), harness.Paho5, harness.Login{ClientID: id}).Accepted()
			c.Publish(witnessTopic, "tell "+id, 1)
			b.WaitLog(`witness ` + want + `: CONTROL \$CONTROL/witness/v1 of ` + id)
			c.WaitMessage(witnessResponse)
		}
	})
}

// A topic is registered and unregistered from TICK, and this counts at once.
func TestAControlTopicIsRegisteredFromTICK(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"accept": "true"})
		c := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "c"}).Accepted()
		for range 3 {
			mark := b.Mark()
			c.Publish("$CONTROL/other/v1", "tell c", 1)
			c.Publish(witnessTopic, "control $CONTROL/other/v1", 1)
			b.WaitLogSince(mark, `witness: control \$CONTROL/other/v1 in TICK: 0`)
			c.Publish("$CONTROL/other/v1", "tell c", 1)
			b.WaitLogSince(mark, `witness: CONTROL \$CONTROL/other/v1 of c`)
			c.WaitMessage(witnessResponse)
			c.Publish(witnessTopic, "no-control $CONTROL/other/v1", 1)
			b.WaitLogSince(mark, `witness: no-control \$CONTROL/other/v1 in TICK: 0`)
			if v.AtLeast(2, 1) {
				c.WaitMessage("$CONTROL/other/v1/response") // 2.1 answers for a topic that nobody has
			}
		}
	})
}

// A message to one client, from inside of CONTROL and from TICK, reaches that client, whatever it has subscribed to, and nobody else;
// what is for a client that is away waits for it.
func TestAnAnswerReachesOneClientAlone(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{Listeners: []harness.Listener{{}, {WebSockets: true}}}, map[string]string{"accept": "true"})
		other := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "other"}).Accepted()
		other.Subscribe("#", 1)
		other.Subscribe("$CONTROL/#", 1)
		away := harness.Login{ClientID: "away", Resume: true, SessionExpiry: never}
		harness.Connect(t, b.URL(0), harness.Paho5, away).Accepted().Disconnect()
		b.WaitLog(`Received DISCONNECT from away`)
		for i, kind := range []harness.Kind{harness.Paho3, harness.Paho5, harness.MQTTJS3, harness.MQTTJS5} {
			for on := range 2 {
				id := fmt.Sprint("c", i, on)
				c := harness.Connect(t, b.URL(on), kind, harness.Login{ClientID: id}).Accepted()
				for _, command := range []string{"tell ", "tell-later "} {
					c.Publish(witnessTopic, command+id, 1)
					if got := c.WaitMessage(witnessResponse); got.QoS != 1 || got.Retain || got.Payload != "only for you" {
						t.Errorf("%s of %s: %v", command, kind, got)
					}
					for _, nobody := range []string{"away", "nobody"} {
						mark := b.Mark()
						c.Publish(witnessTopic, command+nobody, 1)
						b.WaitLogSince(mark, `witness: told `+nobody+`: 0`)
					}
				}
				c.Publish("end", "", 1)
				other.WaitMessage("end")
				if got := len(c.Messages()); got != 2 {
					t.Errorf("%s got %v", kind, c.Messages())
				}
			}
		}
		for _, m := range other.Messages() {
			if m.Topic != "end" {
				t.Errorf("another client got %v", m)
			}
		}
		back := harness.Connect(t, b.URL(0), harness.Paho5, away).Accepted()
		back.Subscribe("end", 1)
		back.Publish("end", "", 1)
		back.WaitMessage("end")
		if got := len(back.Messages()); got != 1+2*2*4 {
			t.Errorf("who was away got %d messages", got)
		}
	})
}

// What a client needs to ask for something by $CONTROL, and to be answered.
func TestWhoMayPublishToAControlTopic(t *testing.T) {
	send := func(topic string) harness.ACL {
		return harness.ACL{Type: "publishClientSend", Topic: topic, Allow: true}
	}
	noAnswer := harness.ACL{Type: "publishClientReceive", Topic: "$CONTROL/#", Allow: false}
	withDynsec := func(w harness.Plugin, acls ...harness.ACL) harness.Options {
		return harness.Options{Plugins: []harness.Plugin{w, harness.Dynsec{
			Roles:   map[string][]harness.ACL{"r": acls},
			Clients: []harness.DynsecClient{{Username: "u", Roles: []string{"r"}}},
		}.Plugin()}}
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		w := harness.Plugin{Path: witness(t, "events"), Opts: map[string]string{"accept": "true"}}
		file := func(text string) harness.Options {
			return harness.Options{Plugins: []harness.Plugin{w}, Extra: "acl_file {dir}/acl", Files: map[string]string{"acl": text}}
		}
		for _, c := range []struct {
			rule    string
			o       harness.Options
			allowed bool
		}{
			{"nobody judges", harness.Options{Plugins: []harness.Plugin{w}}, true},
			{"dynsec, no rule", withDynsec(w), false},
			{"dynsec, #", withDynsec(w, send("#")), false},
			{"dynsec, the topic", withDynsec(w, send(witnessTopic)), true},
			{"dynsec, $CONTROL/#", withDynsec(w, send("$CONTROL/#")), true},
			{"dynsec, no right to receive", withDynsec(w, send(witnessTopic), noAnswer), true},
			{"ACL file, no rule", file("topic readwrite t\n"), false},
			{"ACL file, #", file("topic readwrite #\n"), false},
			{"ACL file, the topic, for clients without username", file("topic write $CONTROL/witness/v1\n"), false},
			{"ACL file, the topic, for all", file("pattern write $CONTROL/witness/v1\n"), true},
			{"ACL file, another user", file("user v\ntopic write $CONTROL/witness/v1\n"), false},
			{"ACL file, the user", file("user u\ntopic write $CONTROL/witness/v1\n"), true},
		} {
			t.Run(c.rule, func(t *testing.T) {
				b := harness.Start(t, v, c.o)
				for _, kind := range []harness.Kind{harness.Paho3, harness.Paho5} {
					id := fmt.Sprint("c", kind.Protocol())
					client := harness.Connect(t, b.URL(0), kind, harness.Login{ClientID: id, Username: new("u")}).Accepted()
					code := client.Publish(witnessTopic, "tell "+id, 1)
					if want := byte(0x87); !c.allowed && kind == harness.Paho5 && code != want || c.allowed && code != 0 {
						t.Errorf("%s: PUBACK 0x%02x", kind, code)
					}
					if c.allowed {
						client.WaitMessage(witnessResponse)
						continue
					}
					if matches(b.Log(), `witness: CONTROL `) {
						t.Errorf("%s: it came through", kind)
					}
				}
			})
		}
	})
}

// Odd messages: retained ones reach the plugin and are not kept; those to a topic below, and wills, don't reach it. 2.0.11 gives such a
// will to those who have subscribed.
func TestOddControlMessages(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"accept": "true"})
		observer := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "observer"}).Accepted()
		observer.Subscribe("$CONTROL/#", 1)
		observer.Subscribe("end", 1)

		r, err := harness.Dial(b.URL(0), harness.V311)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := r.Connect(harness.Login{ClientID: "retains", Username: new("u")}); err != nil || !got.Accepted() {
			t.Fatal(got, err)
		}
		if err := r.Send(harness.PublishPacket(witnessTopic, "look retains", true)); err != nil {
			t.Fatal(err)
		}
		b.WaitLog(`witness: CONTROL \$CONTROL/witness/v1 of retains, 12 bytes, qos=0 retain=1`)

		l := harness.Login{ClientID: "wills", Username: new("u"), Will: &harness.Will{Topic: witnessTopic, Payload: "look wills"}}
		wills := harness.Connect(t, b.URL(0), harness.Paho5, l)
		if got := wills.Connack(); got.Accepted() != (v.Name == "2.0.11") || !got.Accepted() && !got.Closed {
			t.Errorf("a will to $CONTROL: %v", got)
		}
		if wills.Connack().Accepted() {
			wills.Drop()
			b.WaitLog(`witness: DISCONNECT id=wills `)
		}
		l.ClientID, l.Will.Topic = "wills-answer", witnessResponse
		wills = harness.Connect(t, b.URL(0), harness.Paho5, l)
		if wills.Connack().Accepted() {
			wills.Drop()
			b.WaitLog(`witness: DISCONNECT id=wills-answer `)
		}
		sender := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "sender"}).Accepted()
		for _, topic := range []string{witnessTopic + "/x", witnessResponse, "$CONTROL/witness", "$CONTROL/witness/v1x"} {
			sender.Publish(topic, "look sender", 1)
		}
		sender.Publish("end", "", 1)
		observer.WaitMessage("end")
		want := 1
		if v.Name == "2.0.11" {
			want = 3
		}
		if got := len(observer.Messages()); got != want {
			t.Errorf("a subscriber got %v", observer.Messages())
		}
		for _, m := range sender.Messages() {
			if !v.AtLeast(2, 1) || !strings.Contains(m.Payload, "endpoint not available") {
				t.Errorf("the sender got %v", m)
			}
		}
		if matches(b.Log(), `witness: CONTROL \S+ of (wills|sender)`) {
			t.Error("the plugin got one")
		}
	})
}
