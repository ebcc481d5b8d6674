package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The cases in this file are about the broker alone, as those in broker_test.go: what it makes of a plugin's answers to
// an enhanced authentication (MQTT 5 §4.12).

// byAuth is a CONNECT by enhanced authentication to a witness, which answers as data says.
func byAuth(id, data string) harness.Login {
	return harness.Login{ClientID: id, Username: new("u"), Auth: &harness.Auth{Method: "M", Data: data}}
}

// answersTwice: the broker answers a refused re-authentication with a second CONNACK, in the place of DISCONNECT.
func answersTwice(v brokers.Version) bool { return v.Name == "2.0.11" }

// What becomes of a CONNECT by each answer. A plugin can say "not authorized" and "bad authentication method", and nothing
// else: the reason codes that BASIC_AUTH has since 2.1 end the connection here.
func TestWhatAClientSeesOfAConnectByAuth(t *testing.T) {
	cases := []struct{ data, want string }{
		{"accept", "accepted"},
		{"refuse", "refused with 0x87"},
		{"defer", "refused with 0x8c"},
		{"unsupported", "refused with 0x8c"},
		{"close", "closed without CONNACK"},
		{"busy", "closed without CONNACK"},
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, behind := range []string{"nobody", "dynsec", "dynsec before", "password file"} {
			t.Run(behind, func(t *testing.T) {
				w := harness.Plugin{Path: witness(t, "events"), Opts: map[string]string{"auth": "true", "accept": "true"}}
				o := harness.Options{Listeners: []harness.Listener{{}, {WebSockets: true}}, Plugins: []harness.Plugin{w}}
				switch behind {
				case "dynsec":
					o.Plugins = []harness.Plugin{w, sensors()}
				case "dynsec before":
					o.Plugins = []harness.Plugin{sensors(), w}
				case "password file":
					o.Passwords = map[string]string{"operator": "operator's password"}
				}
				b := harness.Start(t, v, o)
				for _, c := range cases {
					for i := range 2 {
						got, err := harness.Knock(b.URL(i), harness.V5, byAuth("c", c.data))
						if err != nil || strings.TrimSpace(got.String()) != c.want {
							t.Errorf("%s over %s: %v %v, want %s", c.data, b.URL(i), got, err, c.want)
						}
					}
				}
			})
		}
		t.Run("no plugin has the event", func(t *testing.T) {
			b := events(t, v, harness.Options{}, map[string]string{"accept": "true"})
			if got := knock(t, b, harness.V5, byAuth("c", "accept")); got.Code != 0x8c {
				t.Error(got)
			}
		})
	})
}

// What becomes of a re-authentication by each answer, and which events tell of its end.
func TestWhatAClientSeesOfAReauthentication(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		// A second CONNACK, which 2.0.11 sends, is nothing that a client takes: it closes.
		refused, bad := "disconnected with 0x87", "disconnected with 0x8c"
		if answersTwice(v) {
			refused, bad = "closed without DISCONNECT", "closed without DISCONNECT"
		}
		closed := "closed without DISCONNECT"
		if !answersTwice(v) {
			closed = "disconnected with 0x80"
		}
		b := events(t, v, harness.Options{Listeners: []harness.Listener{{}, {WebSockets: true}}}, map[string]string{"auth": "true", "accept": "true"})
		observer := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "observer"}).Accepted()
		observer.Subscribe("will", 1)
		for _, c := range []struct{ data, want string }{
			{"accept", "accepted"},
			{"refuse", refused},
			{"defer", bad},
			{"unsupported", bad},
			{"close", closed},
			{"busy", "closed without DISCONNECT"},
		} {
			for i := range 4 {
				id := fmt.Sprint(c.data, i)
				l := byAuth(id, "username=mapped")
				event := "DISCONNECT"
				if i >= 2 {
					l.SessionExpiry, l.Will = never, &harness.Will{Topic: "will", Payload: id}
					if v.AtLeast(2, 1) {
						event = "CLIENT_OFFLINE"
					}
				}
				client := harness.Connect(t, b.URL(i%2), harness.Paho5, l).Accepted()
				if got := client.Reauthenticate(c.data); got.String() != c.want {
					t.Errorf("%s over %s: %v, want %s", c.data, b.URL(i%2), got, c.want)
				}
				b.WaitLog(`witness: EXT_AUTH_START id=` + id + ` username=mapped `)
				if c.want != "accepted" {
					client.WaitDisconnect()
					if i >= 2 {
						if got := observer.WaitMessage("will"); got.Payload != id {
							t.Errorf("the will of %s instead of %s", got.Payload, id)
						}
					}
					b.WaitLog(`witness: ` + event + ` id=` + id + ` username=mapped `)
				}
			}
		}
	})
}

// Which events tell of the end of a refused CONNECT by AUTH: 2.1 says nothing, and 2.0 has forgotten the client id.
func TestEventsAfterARefusedConnectByAuth(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"auth": "true", "accept": "true"})
		for _, data := range []string{"refuse", "defer", "close"} {
			l := byAuth("c-"+data, data)
			l.Will = &harness.Will{Topic: "will", Payload: data}
			knock(t, b, harness.V5, l)
			asked := b.WaitLog(`witness: EXT_AUTH_START id=c-` + data)
			client := regexp.MustCompile(`client=\S+`).FindString(asked)
			if !v.AtLeast(2, 1) {
				b.WaitLog(`witness: DISCONNECT id=\(null\) username=u ` + client)
				continue
			}
			mark := b.Mark()
			knock(t, b, harness.V5, byAuth("next", "accept"))
			b.WaitLogSince(mark, `witness: DISCONNECT id=next `)
			if matches(b.Log(), `witness: (DISCONNECT|CLIENT_OFFLINE) id=(\(null\)|c-)`) {
				t.Errorf("%s: 2.1 tells of the end", data)
			}
		}
	})
}

// An identity that is given in EXT_AUTH_START counts, that of a session to be taken over included, and 2.1 takes a client id
// there as well. Whatever else a CONNECT asks for is as with a password.
func TestIdentityAndSessionOfAConnectByAuth(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"auth": "true", "accept": "true"})
		sender := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "sender", Username: new("u")}).Accepted()
		l := byAuth("c", "username=mapped")
		l.SessionExpiry, l.ReceiveMaximum, l.Resume, l.Will = never, 1, true, &harness.Will{Topic: "will", Payload: "gone"}
		first := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
		b.WaitLog(`as c \(p5, c0, k60, u'mapped'\)`)
		first.Subscribe("t", 1)
		second := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
		first.WaitDisconnect()
		if !second.Connack().SessionPresent {
			t.Error("no session")
		}
		for i := range 5 {
			sender.Publish("t", fmt.Sprint(i), 1)
		}
		for i := range 5 {
			if got := second.WaitMessage("t"); got.Payload != fmt.Sprint(i) {
				t.Errorf("message %s instead of %d", got.Payload, i)
			}
		}
		sender.Subscribe("will", 1)
		second.Drop()
		sender.WaitMessage("will")
		if !v.AtLeast(2, 1) {
			return
		}
		renamed := harness.Connect(t, b.URL(0), harness.Paho5, byAuth("other", "clientid=renamed")).Accepted()
		b.WaitLog(`witness: CONNECT id=renamed .* registered`)
		if got := renamed.Connack().AssignedID; got != "" {
			t.Errorf("assigned id %q", got)
		}
		// To the id of a client that is connected: it takes over.
		harness.Connect(t, b.URL(0), harness.Paho5, byAuth("third", "clientid=renamed")).Accepted()
		if got := renamed.WaitDisconnect(); got.Code != 0x8e {
			t.Errorf("taken over: %v", got)
		}
	})
}

// What stands in a CONNECT beside the authentication is shown after SIGHUP, by BASIC_AUTH: the username that was mapped, and the
// password that nobody has judged.
func TestSIGHUPShowsThePasswordBesideAnAuthentication(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"auth": "true", "accept": "true"})
		both := byAuth("both", "username=mapped")
		both.Password = new("a password")
		harness.Connect(t, b.URL(0), harness.Paho5, both).Accepted()
		alone := harness.Login{ClientID: "alone", Auth: &harness.Auth{Method: "M", Data: "username=mapped"}}
		harness.Connect(t, b.URL(0), harness.Paho5, alone).Accepted()
		b.Reload()
		b.WaitLog(`witness: it is BASIC_AUTH again id=both username=mapped .*password=a password`)
		b.WaitLog(`witness: it is BASIC_AUTH again id=alone username=mapped .*password=\(null\)`)
	})
}

// What reaches the plugin, and what the broker itself answers.
func TestOddAuthentications(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"auth": "true", "accept": "true"})
		for _, c := range []struct{ rule, id, data, seen string }{
			{"no data", "empty", "", `data "" of 0 bytes \(NULL\)`},
			{"the longest", "long", strings.Repeat("x", 65535), `data "x{255}" of 65535 bytes`},
			{"NUL", "nul", "accept\x00junk", `data "accept" of 11 bytes`},
		} {
			mark := b.Mark()
			client := harness.Connect(t, b.URL(0), harness.Paho5, byAuth(c.id, c.data)).Accepted()
			b.WaitLogSince(mark, c.seen)
			mark = b.Mark()
			if got := client.Reauthenticate(c.data); !got.Accepted() {
				t.Errorf("%s: %v", c.rule, got)
			}
			b.WaitLogSince(mark, c.seen)
		}
		for _, c := range []struct {
			rule  string
			login harness.Login
			sent  []byte
			want  byte
		}{
			{
				"AUTH of a client that has logged in by password",
				harness.Login{ClientID: "p", Username: new("u"), Password: new("p")},
				harness.AuthPacket(packets.AuthReauthenticate, harness.Auth{Method: "M", Data: "accept"}), 0x82,
			},
			{
				"another method than in CONNECT", byAuth("m", "accept"),
				harness.AuthPacket(packets.AuthReauthenticate, harness.Auth{Method: "N", Data: "accept"}), 0x82,
			},
			{
				"no method", byAuth("n", "accept"),
				harness.AuthPacket(packets.AuthReauthenticate, harness.Auth{Data: "accept"}), 0x80,
			},
			{
				"continues what has not begun", byAuth("o", "accept"),
				harness.AuthPacket(packets.AuthContinueAuthentication, harness.Auth{Method: "M", Data: "accept"}), 0x82,
			},
			{
				"AUTH with success", byAuth("s", "accept"),
				harness.AuthPacket(packets.AuthSuccess, harness.Auth{Method: "M", Data: "accept"}), 0x82,
			},
		} {
			r, err := harness.Dial(b.URL(0), harness.V5)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:gocritic // all stay to the end
			if got, err := r.Connect(c.login); err != nil || !got.Accepted() {
				t.Fatal(c.rule, got, err)
			}
			if err := r.Send(c.sent); err != nil {
				t.Fatal(err)
			}
			// 2.0.11 does not say why it ends that of a client without a method.
			got, err := r.WaitDisconnect()
			if err != nil || got.Code != c.want && (got.Packet || c.login.Auth != nil) {
				t.Errorf("%s: %v %v, want 0x%02x", c.rule, got, err, c.want)
			}
			if matches(b.Log(), `witness: EXT_AUTH_START id=`+c.login.ClientID+` .*\n(.*\n)*.*witness: EXT_AUTH_START id=`+c.login.ClientID+` `) {
				t.Errorf("%s: the plugin was asked", c.rule)
			}
		}
	})
}

// Which packets come after a refused re-authentication: 2.0.11 answers it with a second CONNACK.
func TestARefusedReauthenticationOnTheWire(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"auth": "true"})
		r, err := harness.Dial(b.URL(0), harness.V5)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := r.Connect(byAuth("c", "accept")); err != nil || !got.Accepted() {
			t.Fatal(got, err)
		}
		if err := r.Send(harness.AuthPacket(packets.AuthReauthenticate, harness.Auth{Method: "M", Data: "refuse"})); err != nil {
			t.Fatal(err)
		}
		packet, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch p := packet.(type) {
		case *packets.Connack:
			if !answersTwice(v) || p.ReasonCode != 0x87 {
				t.Errorf("CONNACK 0x%02x", p.ReasonCode)
			}
		case *packets.Disconnect:
			if answersTwice(v) || p.ReasonCode != 0x87 {
				t.Errorf("DISCONNECT 0x%02x", p.ReasonCode)
			}
		default:
			t.Errorf("%v", packet)
		}
	})
}
