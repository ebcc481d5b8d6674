package e2e

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The cases in this file are about the broker alone, as those in broker_test.go: when and about whom it asks by ACL_CHECK.

var witnessed = regexp.MustCompile(`witness: (\w+) id=(\S+) username=(\S+) client=(\S+)(?: access=(\d) topic=(\S+) qos=(\d) retain=(\d))?`)

// told is what the witness wrote down about a client since mark, as "EVENT" or "read|write|subscribe|unsubscribe TOPIC", each with
// "elsewhere" if it was about another address than the event before it; and "CONNACK".
func told(b *harness.Broker, mark int, id string) (events []string) {
	address := ""
	for line := range strings.Lines(b.LogSince(mark)) {
		if strings.Contains(line, "Sending CONNACK to "+id+" ") {
			events = append(events, "CONNACK")
			continue
		}
		m := witnessed.FindStringSubmatch(line)
		if len(m) == 0 || m[2] != id {
			continue
		}
		event := m[1]
		if m[5] != "" {
			event = map[string]string{"1": "read ", "2": "write ", "4": "subscribe ", "8": "unsubscribe "}[m[5]] + m[6]
		}
		if address != "" && address != m[4] {
			event += " elsewhere"
		}
		address = m[4]
		events = append(events, event)
	}
	return events
}

// asker runs a broker whose witness is asked what clients may do, with an observer, and returns a function that waits until the broker
// has done what it was told so far.
func asker(t *testing.T, v brokers.Version, o harness.Options, opts map[string]string) (b *harness.Broker, observer *harness.Client, settle func()) {
	t.Helper()
	all := map[string]string{"accept": "true", "acl": "true"}
	maps.Copy(all, opts)
	b = events(t, v, o, all)
	observer = harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "observer", Username: new("o")}).Accepted()
	observer.Subscribe("allow/#", 1)
	n := 0
	return b, observer, func() {
		t.Helper()
		n++
		mark := b.Mark()
		observer.Publish("deny/settled", strings.Repeat("x", n), 1) // the lengths differ, and nobody gets it
		b.WaitLogSince(mark, `witness: ACL_CHECK id=observer .* topic=deny/settled`)
	}
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

// The will of a client that has gone is judged after the event that says so, by the same address; a kick first has its durable
// subscriptions judged, of which those that are denied are lost.
func TestAWillIsJudgedAfterTheEndOfItsClient(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b, observer, settle := asker(t, v, harness.Options{}, nil)
		l := func(id string) harness.Login {
			return harness.Login{ClientID: id, Username: new("u"), Will: &harness.Will{Topic: "allow/will", Payload: id, QoS: 1}}
		}
		offline := "DISCONNECT"
		if v.AtLeast(2, 1) {
			offline = "CLIENT_OFFLINE"
		}
		comes := func(more ...string) []string {
			if v.AtLeast(2, 1) {
				return append([]string{"BASIC_AUTH", "CONNACK", "CONNECT"}, more...)
			}
			return append([]string{"BASIC_AUTH", "CONNACK"}, more...)
		}
		mark := b.Mark()
		harness.Connect(t, b.URL(0), harness.Paho5, l("drops")).Accepted().Drop()
		observer.WaitMessage("allow/will")
		settle()
		expect(t, "dropped", told(b, mark, "drops"), comes("DISCONNECT", "write allow/will")...)

		kept := l("kept")
		kept.SessionExpiry = never
		mark = b.Mark()
		harness.Connect(t, b.URL(0), harness.Paho5, kept).Accepted().Drop()
		observer.WaitMessage("allow/will")
		settle()
		expect(t, "dropped, with a session that is kept", told(b, mark, "kept"), comes(offline, "write allow/will")...)

		kept.ClientID = "kicked"
		mark = b.Mark()
		kicked := harness.Connect(t, b.URL(0), harness.Paho5, kept).Accepted()
		kicked.Subscribe("allow/a", 1)
		kicked.Subscribe("allow/b", 1)
		observer.Publish(witnessTopic, "kick-with-will kicked", 1)
		observer.WaitMessage("allow/will")
		settle()
		expect(t, "kicked, with a session that is kept", told(b, mark, "kicked"),
			comes("subscribe allow/a", "subscribe allow/b", "subscribe allow/a", "subscribe allow/b", offline, "write allow/will")...)

		delayed := l("delays")
		delayed.SessionExpiry, delayed.Will.Delay = never, 1
		mark = b.Mark()
		harness.Connect(t, b.URL(0), harness.Paho5, delayed).Accepted().Drop()
		observer.WaitMessage("allow/will")
		settle()
		expect(t, "a will with a delay", told(b, mark, "delays"), comes(offline, "write allow/will")...)
	})
}

// What is queued for a client that is away is judged as it is queued, by the address that it had, and once more as it comes back, by
// the new one, before it is told that it is in.
func TestWhatIsQueuedIsJudgedTwice(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b, observer, settle := asker(t, v, harness.Options{}, map[string]string{"delay": "later"})
		for _, id := range []string{"away", "later"} {
			if id == "later" && !v.AtLeast(2, 1) {
				continue // it can't be let in later
			}
			l := harness.Login{ClientID: id, Username: new("u"), SessionExpiry: never, Resume: true}
			arrive := func() *harness.Raw {
				r, err := harness.Dial(b.URL(0), harness.V5)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(r.Close)
				mark := b.Mark()
				if err := r.SendConnect(l); err != nil {
					t.Fatal(err)
				}
				if id == "later" {
					b.WaitLogSince(mark, `witness: BASIC_AUTH id=later `)
					observer.Publish(witnessTopic, "complete later", 1)
				}
				if got := connack(t, r); !got.Accepted() {
					t.Fatal(got)
				}
				return r
			}
			r := arrive()
			if err := r.Send(harness.SubscribePacket("allow/q")); err != nil {
				t.Fatal(err)
			}
			b.WaitLog(`witness: ACL_CHECK id=` + id + ` .*access=4 topic=allow/q`)
			mark := b.Mark()
			r.Close()
			b.WaitLogSince(mark, `witness: (DISCONNECT|CLIENT_OFFLINE) id=`+id+` `)
			observer.Publish("allow/q", "queued", 1)
			settle()
			expect(t, "queued", told(b, mark, id)[1:], "read allow/q")
			arrive()
			settle()
			want := []string{"BASIC_AUTH elsewhere", "DISCONNECT elsewhere", "read allow/q elsewhere", "CONNACK"}
			if v.AtLeast(2, 1) {
				want = append(want, "CONNECT")
			}
			expect(t, "back", told(b, mark, id)[2:], want...)
		}
	})
}

// After a restart the broker asks about those who are away, by addresses that no plugin has seen. It knows their usernames.
func TestWhoIsRestoredIsAskedAbout(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		first, _, _ := asker(t, v, harness.Options{Persistence: true}, nil)
		l := harness.Login{ClientID: "away", Username: new("u"), SessionExpiry: never, Resume: true}
		c := harness.Connect(t, first.URL(0), harness.Paho5, l).Accepted()
		c.Subscribe("allow/q", 1)
		c.Drop()
		first.WaitLog(`witness: (DISCONNECT|CLIENT_OFFLINE) id=away `)
		if code := first.Stop(); code != 0 {
			t.Fatal(code)
		}
		b, observer, settle := asker(t, v, harness.Options{Persistence: true, Prepare: copyFile(t, first, "mosquitto.db")}, nil)
		observer.Publish("allow/q", "queued", 1)
		settle()
		expect(t, "restored", told(b, 0, "away"), "read allow/q")
		b.WaitLog(`witness: ACL_CHECK id=away username=u `)
	})
}

// With check_retain_source the broker asks whether the publisher of a retained message may still write, by an address that is no
// client's: with its client id and username.
func TestTheSourceOfARetainedMessageIsAskedAboutWhereThatIsSet(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, extra := range []string{"", "check_retain_source true"} {
			b, _, settle := asker(t, v, harness.Options{Extra: extra}, nil)
			r, err := harness.Dial(b.URL(0), harness.V311)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:gocritic // two of them
			if got, err := r.Connect(harness.Login{ClientID: "retains", Username: new("u")}); err != nil || !got.Accepted() {
				t.Fatal(got, err)
			}
			if err := r.Send(harness.PublishPacket("allow/r", "x", true)); err != nil {
				t.Fatal(err)
			}
			b.WaitLog(`witness: ACL_CHECK id=retains .*access=2 topic=allow/r`)
			mark := b.Mark()
			c := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "c", Username: new("u")}).Accepted()
			c.Subscribe("allow/r", 1)
			c.WaitMessage("allow/r")
			settle()
			expect(t, "who subscribes", told(b, mark, "c")[2:], lasts(v, "subscribe allow/r", "read allow/r")...)
			if extra == "" {
				expect(t, "the source", told(b, mark, "retains"))
			} else {
				expect(t, "the source", told(b, 0, "retains")[2:], lasts(v, "write allow/r", "write allow/r elsewhere")...)
			}
		}
	})
}

// lasts are the events that come after CONNACK, of which 2.1 has one more.
func lasts(v brokers.Version, events ...string) []string {
	if v.AtLeast(2, 1) {
		return append([]string{"CONNECT"}, events...)
	}
	return events
}

// ACL_CHECK is registered and unregistered from TICK. While it is, what it defers is denied if nobody else judges.
func TestACLCheckIsRegisteredFromTICK(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"accept": "true"})
		c := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "c", Username: new("u")}).Accepted()
		c.Subscribe("#", 1)
		publish := func(topic string, want byte) {
			t.Helper()
			if got := c.Publish(topic, "", 1); got != want {
				t.Errorf("%s: 0x%02x, want 0x%02x", topic, got, want)
			}
		}
		for range 3 {
			mark := b.Mark()
			publish("other", 0)
			publish("deny/a", 0)
			c.WaitMessage("deny/a")
			c.Publish(witnessTopic, "acl on", 1)
			b.WaitLogSince(mark, `witness: acl on in TICK: 0`)
			publish("other", 0x87)
			publish("allow/a", 0)
			publish("deny/a", 0x87)
			c.WaitMessage("allow/a")
			c.Publish(witnessTopic, "acl off", 1)
			b.WaitLogSince(mark, `witness: acl off in TICK: 0`)
		}
		publish("deny/a", 0)
	})
}

// Who is asked first decides. A plugin that registers as it is loaded is asked before the ACL file and before plugins behind it; one
// that registers from TICK comes last, until SIGHUP puts the ACL file behind it.
func TestWhoIsAskedFirst(t *testing.T) {
	const plugin, other = "the plugin", "the other"
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			other         string
			late          bool
			first, reload string
		}{
			{"ACL file", false, plugin, plugin},
			{"ACL file", true, other, plugin},
			{"dynsec behind", false, plugin, plugin},
			{"dynsec behind", true, other, other},
			{"dynsec before", false, other, other},
			{"dynsec before", true, other, other},
		} {
			opts := map[string]string{"accept": "true"}
			if !c.late {
				opts["acl"] = "true"
			}
			w := harness.Plugin{Path: witness(t, "events"), Opts: opts}
			dynsec := harness.Dynsec{
				Roles:   map[string][]harness.ACL{"r": harness.MayUse("deny/a", witnessTopic)},
				Clients: []harness.DynsecClient{{Username: "u", Roles: []string{"r"}}},
			}.Plugin()
			o := harness.Options{Plugins: []harness.Plugin{w}}
			switch c.other {
			case "ACL file":
				o.Extra, o.Files = "acl_file {dir}/acl", map[string]string{"acl": "pattern readwrite deny/a\npattern write $CONTROL/witness/v1\n"}
			case "dynsec behind":
				o.Plugins = append(o.Plugins, dynsec)
			default:
				o.Plugins = append([]harness.Plugin{dynsec}, w)
			}
			b := harness.Start(t, v, o)
			client := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "c", Username: new("u")}).Accepted()
			if c.late {
				client.Publish(witnessTopic, "acl on", 1)
				b.WaitLog(`witness: acl on in TICK: 0`)
			}
			decides := func() string { // the other one allows what the plugin denies
				if client.Publish("deny/a", "", 1) == 0x87 {
					return plugin
				}
				return other
			}
			if got := decides(); got != c.first {
				t.Errorf("%s, late %t: %s decides", c.other, c.late, got)
			}
			mark := b.Mark()
			b.Reload()
			b.WaitLogSince(mark, `witness: RELOAD`)
			b.WaitLogSince(mark, `witness: TICK`)
			if got := decides(); got != c.reload {
				t.Errorf("%s, late %t, after SIGHUP: %s decides", c.other, c.late, got)
			}
		}
	})
}
