package plugin

import (
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// most is how many allocations an accepted login may take besides its judgement: the session, the holder of its client id, and
// some slack for tables that grow. The line of the log is none of them.
const most = 4

func TestALoginAllocatesLittleBesidesItsJudgement(t *testing.T) {
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
