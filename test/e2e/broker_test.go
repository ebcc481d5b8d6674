package e2e

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The cases in this file are about the broker alone: what it does to clients when a plugin says this or that. The plugin
// is designed by them.

// events runs a broker whose only plugin is the one in witness/events.c.
func events(t *testing.T, v brokers.Version, o harness.Options, opts map[string]string) *harness.Broker {
	t.Helper()
	o.Plugins = append(o.Plugins, harness.Plugin{Path: witness(t, "events"), Opts: opts})
	return harness.Start(t, v, o)
}

// never is the session expiry of a session that does not expire.
//
// One that does must be neither refused on the broker's round after SIGHUP nor kicked without its will while its client is
// away, on Mosquitto 2.0: the broker then has it in its list of expiries twice, takes it out once when the client comes back,
// and at the time of the other entry it writes to memory that it has freed. 2.1 looks first.
const never = math.MaxUint32

// A client that is away and is refused on the broker's round after SIGHUP keeps its session, its subscriptions and what is
// queued for it.
func TestWhoIsRefusedWhileAwayKeepsTheSession(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, how := range []string{"refuse", "close"} {
			for _, kind := range []harness.Kind{harness.Paho3, harness.Paho5} {
				t.Run(fmt.Sprint(how, " ", kind), func(t *testing.T) {
					b := events(t, v, harness.Options{}, map[string]string{"accept": "true", how: "away"})
					sender := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "sender", Username: new("u")}).Accepted()
					l := harness.Login{ClientID: "away", Username: new("u"), Password: new("p"), Resume: true, SessionExpiry: never}
					away := harness.Connect(t, b.URL(0), kind, l).Accepted()
					away.Subscribe("t/#", 1)
					away.Disconnect()
					b.WaitLog(`Received DISCONNECT from away`)
					sender.Publish("t/1", "before", 1)
					mark := b.Mark()
					b.Reload()
					b.WaitLogSince(mark, `witness: BASIC_AUTH again id=away`)
					sender.Publish("t/2", "after", 1)
					back := harness.Connect(t, b.URL(0), kind, l).Accepted()
					if !back.Connack().SessionPresent {
						t.Error("the session is gone")
					}
					back.WaitMessage("t/1")
					back.WaitMessage("t/2")
				})
			}
		}
	})
}

// A plugin that leaves a login to the next is told when that has come to nothing, and when the client leaves: until then it
// is connected, or is about to be. 2.1 also says when it has come through.
func TestTheEndOfALoginThatWasLeftToTheNextIsTold(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for name, o := range map[string]harness.Options{
			"dynsec":        {Plugins: []harness.Plugin{{Path: witness(t, "events")}, sensors()}},
			"password file": {Plugins: []harness.Plugin{{Path: witness(t, "events")}}, Passwords: map[string]string{"operator": "operator's password"}},
		} {
			t.Run(name, func(t *testing.T) {
				b := harness.Start(t, v, o)
				for _, password := range []string{"operator's password", "wrong"} {
					mark := b.Mark()
					got := knock(t, b, harness.V5, harness.Login{ClientID: "c", Username: new("operator"), Password: &password})
					if got.Accepted() != (password != "wrong") {
						t.Fatalf("CONNECT was %v", got)
					}
					asked := b.WaitLogSince(mark, `witness: BASIC_AUTH id=c `)
					client := regexp.MustCompile(`client=\S+`).FindString(asked)
					if v.AtLeast(2, 1) && got.Accepted() {
						b.WaitLogSince(mark, `witness: CONNECT id=c .*`+client+` .* registered`)
					}
					b.WaitLogSince(mark, `witness: DISCONNECT id=\S+ .*`+client)
				}
			})
		}
	})
}

// The broker's round after SIGHUP is over when it ticks, and nobody new comes in between over TCP: there is no need to guess
// how long it takes.
func TestTheRoundAfterSIGHUPEndsWithTheNextTick(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := events(t, v, harness.Options{}, map[string]string{"accept": "true"})
		l := func(id string) []byte {
			return harness.ConnectPacket(harness.V5, harness.Login{ClientID: id, Username: new("u")})
		}
		for round := range 20 {
			var all []*harness.Raw
			for range 20 {
				r, err := harness.Dial(b.URL(0), harness.V5)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close() //nolint:gocritic // all stay to the end
				all = append(all, r)
			}
			b.Signal(syscall.SIGHUP)
			for n, r := range all {
				if err := r.Send(l(fmt.Sprintf("c%d-%d", round, n))); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range all {
				if got := connack(t, r); !got.Accepted() {
					t.Fatalf("CONNECT was %v", got)
				}
			}
		}
		came := map[string]bool{}
		for line := range strings.Lines(b.Log()) {
			m := regexp.MustCompile(`witness: BASIC_AUTH (again )?id=(\S+) `).FindStringSubmatch(line)
			switch {
			case m == nil:
			case m[1] == "":
				came[m[2]] = true
			case !came[m[2]]:
				t.Errorf("%s came before the first tick after SIGHUP", m[2])
			}
		}
	})
}

// A client that is away can't be disconnected, and loses nothing by the attempt.
func TestWhoIsKickedWhileAwayKeepsTheSession(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, command := range []string{"kick", "kick-with-will"} {
			t.Run(command, func(t *testing.T) {
				b := events(t, v, harness.Options{}, map[string]string{"accept": "true"})
				sender := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "sender", Username: new("u")}).Accepted()
				l := harness.Login{ClientID: "away", Username: new("u"), Resume: true, SessionExpiry: never}
				away := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
				away.Subscribe("t/#", 1)
				away.Disconnect()
				b.WaitLog(`Received DISCONNECT from away`)
				sender.Publish("$CONTROL/witness/v1", "look away", 1)
				if v.AtLeast(2, 1) {
					b.WaitLog(`witness: look id=away username=u .* subscriptions=1 .* registered`)
				}
				sender.Publish("$CONTROL/witness/v1", command+" away", 1)
				b.WaitLog(`witness: ` + command + ` away done`)
				sender.Publish("t/1", "while away", 1)
				back := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
				if !back.Connack().SessionPresent {
					t.Error("the session is gone")
				}
				back.WaitMessage("t/1")
			})
		}
	})
}
