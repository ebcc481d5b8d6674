package plugin

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// crowd is how many clients are connected at once, and mostOfEach how many bytes the plugin may have for one of them.
const (
	crowd      = 100_000
	mostOfEach = 400
)

// heap is what is in use, in bytes.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestASessionTakesLittleMemory(t *testing.T) {
	key := testkeys.New("RS256", "k")
	signed := key.Sign(keycloakClaims(1))
	header, signature := signed[:strings.LastIndexByte(signed, '.')+1], signed[strings.LastIndexByte(signed, '.')+1+len("00000000"):]
	jti := `jti "onrtac:7d0f9c1e-0000-4000-8000-%012d"`
	for _, c := range []struct {
		rule  string
		token func(n int) string // that is kept for rechecks; nil: none is
		logID string
		most  int
	}{
		{"no rechecks", nil, jti, mostOfEach},
		{"rechecks of signed tokens", func(n int) string { return fmt.Sprintf("%s%08d%s", header, n, signature) }, jti, mostOfEach + len(signed)},
		// What it takes to ask about a token is more than is saved of one that is short.
		{"rechecks of opaque tokens", func(n int) string { return fmt.Sprintf("%036d", n) }, "sha256:%012d", mostOfEach + 36 + 72},
	} {
		t.Run(c.rule, func(t *testing.T) { takesLittleMemory(t, key, c.token, c.logID, uint64(c.most)) })
	}
}

func takesLittleMemory(t *testing.T, key testkeys.Key, token func(n int) string, logID string, most uint64) {
	t.Helper()
	p := silentPlugin(t, key)
	by := p.chain.Providers()[0]
	password := key.Sign(keycloakClaims(1))
	before := heap()
	for n := range crowd {
		result := provider.Result{
			Provider: by, Issuer: "https://idp.example.com/realms/test", Subject: fmt.Sprintf("f4a1c0de-0000-4000-8000-%012d", n),
			LogID: fmt.Sprintf(logID, n), LeaveAt: time.Unix(4_000_000_000+int64(n*7919%crowd), 0),
		}
		username := result.Subject
		connect := broker.Connect{Conn: broker.Conn(n + 1), ClientID: fmt.Sprintf("a client's id, %08d", n), Username: &username, Password: &password}
		p.bypass.asked(connect.Conn)
		p.record(connect, result, nil)
		if token != nil {
			s := p.sessions.Of(connect.Conn)
			s.Asked = &session.Asked{Bearer: session.NewBearer(token(n)), Expires: result.LeaveAt, Endpoint: by.Endpoint()}
			p.sessions.Recheck(s, result.LeaveAt)
		}
		p.Connect(connect.Conn, connect.ClientID)
	}
	each := (heap() - before) / crowd
	t.Logf("%d bytes a session, at most %d", each, most)
	if each > most {
		t.Errorf("%d bytes a session, at most %d", each, most)
	}
	for n := range crowd {
		p.Disconnect(broker.Conn(n+1), false)
	}
	// Nothing is left but tables that have grown.
	left := (int64(heap()) - int64(before)) / crowd
	t.Logf("%d bytes a session after all have left", left)
	if left > mostOfEach/3 {
		t.Errorf("%d bytes a session after all have left", left)
	}
	runtime.KeepAlive(p)
}

// The names that a client is given, and the one of its token in the log, are parts of a text that may be large.
func TestASessionKeepsNoClaims(t *testing.T) {
	const clients, filler = 2000, 10_000
	key := testkeys.New("HS256", "k")
	p := silentPlugin(t, key, `,"matchClientIdToSubject":true,"rememberVerified":false`)
	before := heap()
	for n := range clients {
		claims := keycloakClaims(n)
		claims["filler"] = strings.Repeat("x", filler)
		password := key.Sign(claims)
		connect := broker.Connect{Conn: broker.Conn(n + 1), ClientID: "c", Password: &password}
		if v := p.BasicAuth(connect); v.Kind != verdict.Accept {
			t.Fatal(v)
		}
		p.Connect(connect.Conn, claims["sub"].(string))
	}
	if each := (heap() - before) / clients; each > 2*mostOfEach {
		t.Errorf("%d bytes a session", each)
	}
	if p.sessions.Len() != clients {
		t.Errorf("%d sessions", p.sessions.Len())
	}
	for n := range clients {
		p.Disconnect(broker.Conn(n+1), true)
	}
	if each := (int64(heap()) - int64(before)) / clients; each > mostOfEach {
		t.Errorf("%d bytes of a session that the broker keeps", each)
	}
	runtime.KeepAlive(p)
}
