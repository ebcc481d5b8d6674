package plugin

import (
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/internal/testport"
	"go-jwt-auth/plugin/verdict"
)

// most is how many allocations an accepted login may take besides its judgement: the session, the holder of its client id, and
// some slack for tables that grow. The line of the log is none of them.
const most = 4

func TestALoginAllocatesLittleBesidesItsJudgement(t *testing.T) {
	if testkeys.UnderRace {
		t.Skip("the race detector has pools lose what they hold")
	}
	key := testkeys.New("EdDSA", "k")
	p := silentPlugin(t, key)
	username, password := "u", key.Sign(keycloakClaims(1))
	connect := broker.Connect{Conn: 1, ClientID: "client-1", Username: &username, Password: &password, Address: "192.0.2.7"}
	judgement := testing.AllocsPerRun(100, func() {
		if result, _ := p.chain.Begin(t.Context(), connect); result.Kind != verdict.Accept {
			t.Fatal(result)
		}
	})
	whole := testing.AllocsPerRun(100, func() {
		if v := p.BasicAuth(connect); v.Kind != verdict.Accept {
			t.Fatal(v)
		}
		p.Connect(1, "client-1")
		p.Disconnect(1, false)
	})
	if whole-judgement > most {
		t.Errorf("%.0f allocations, %.0f of them for the judgement", whole, judgement)
	}
}

// Metrics count in place.
func TestMetricsAllocateNothingForALogin(t *testing.T) {
	if testkeys.UnderRace {
		t.Skip("the race detector has pools lose what they hold")
	}
	allocations := func(options string) float64 {
		key := testkeys.New("EdDSA", "k")
		p := silentPluginWith(t, options, key)
		username, password := "u", key.Sign(keycloakClaims(1))
		connect := broker.Connect{Conn: 1, ClientID: "client-1", Username: &username, Password: &password, Address: "192.0.2.7"}
		return testing.AllocsPerRun(1000, func() {
			if v := p.BasicAuth(connect); v.Kind != verdict.Accept {
				t.Fatal(v)
			}
			p.Connect(1, "client-1")
			p.Disconnect(1, false)
		})
	}
	without, with := allocations(""), allocations(`"metrics":{"listen":"`+testport.Free(t)+`"},`)
	if with > without {
		t.Errorf("%.0f allocations, %.0f without metrics", with, without)
	}
}

// A login by a token of RS256 and its end, as the broker's thread has them, without the border to C. The goals are 8 for one that was
// accepted before and 40 for a new one; it is 4 and 22.
func TestAllocationsOfALogin(t *testing.T) {
	if testkeys.UnderRace {
		t.Skip("the race detector has pools lose what they hold")
	}
	const runs = 100
	key := testkeys.New("RS256", "k")
	p := silentPlugin(t, key)
	tokens := make([]string, runs+1) // one to warm up
	for n := range tokens {
		tokens[n] = key.Sign(keycloakClaims(n))
	}
	username, n := "u", 0
	login := func(next int) float64 {
		return testing.AllocsPerRun(runs, func() {
			if v := p.BasicAuth(broker.Connect{Conn: 1, ClientID: "client-1", Username: &username, Password: &tokens[n%len(tokens)], Address: "192.0.2.7"}); v.Kind != verdict.Accept {
				t.Fatal(v)
			}
			p.Connect(1, "client-1")
			p.Disconnect(1, false)
			n += next
		})
	}
	if got := login(1); got > 40 {
		t.Errorf("a new token: %.0f allocations", got)
	}
	if got := login(0); got > 8 {
		t.Errorf("a repeated token: %.0f allocations", got)
	}
}
