package e2e

import (
	"fmt"
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

// As long as the broker is on its round after SIGHUP, a client that is away can be refused: it keeps its session, its
// subscriptions and what is queued for it.
func TestWhoIsRefusedWhileAwayKeepsTheSession(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, how := range []string{"refuse", "close"} {
			for _, kind := range []harness.Kind{harness.Paho3, harness.Paho5} {
				t.Run(fmt.Sprint(how, " ", kind), func(t *testing.T) {
					b := events(t, v, harness.Options{}, map[string]string{"accept": "true", how: "away"})
					sender := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "sender", Username: new("u")}).Accepted()
					l := harness.Login{ClientID: "away", Username: new("u"), Password: new("p"), Resume: true, SessionExpiry: 600}
					away := harness.Connect(t, b.URL(0), kind, l).Accepted()
					away.Subscribe("t/#", 1)
					away.Disconnect()
					b.WaitLog(`Received DISCONNECT from away`)
					sender.Publish("t/1", "before", 1)
					mark := b.Mark()
					b.Reload()
					b.WaitLogSince(mark, `witness: BASIC_AUTH again id=away`)
					sender.Publish("t/2", "after", 1)
					t.Log(b.LogSince(mark))
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
