package chain_test

import (
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// A token that comes by itself is judged as one, or refused: nothing of it is left to others, whatever the file says of fields of CONNECT.
func TestATokenByItself(t *testing.T) {
	key := testkeys.New("ES256", "k")
	good := key.Sign(object{"sub": "alice", "exp": now + 60})
	for _, c := range []struct{ rule, text, want string }{
		{"a good one", good, "accept"},
		{"none", "", "not a token: it is nothing"},
		{"a password", "12345", "not a token: it is a text of another kind"},
		{"with something around it", "Bearer " + good, `not a token: it is a token with "Bearer" before it`},
		{"an encrypted one", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..YQ.YQ.YQ", "encrypted token: "},
		{"one with NUL in it", good + "\x00", "not a token: "},
		{"too long", good + strings.Repeat("x", 16384), "too long: "},
		{"as long as MQTT has it", strings.Repeat("x", 65535), "too long: 65535 bytes, the most is 16384 ($.options.common.maxTokenBytes)"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, source := range []config.TokenSource{config.TokenInPassword, config.TokenInUsername} {
				file := whole(testidp.InFile(t, key))
				file.TokenSource = []config.TokenSource{source}
				judge, _ := newChainOf(t, file)
				username := good // which is no token here
				connect := broker.Connect{ClientID: "c", Username: &username}
				atOnce, _ := judge.BeginAtOnce(connect, c.text)
				renewal, _ := judge.BeginRenewal(connect, c.text, only(judge).ID())
				for _, got := range []verdict.Verdict{atOnce.Verdict, renewal.Verdict} {
					if !strings.HasPrefix(got.String(), c.want) {
						t.Errorf("got %s", got)
					}
				}
			}
		})
	}
}

// Any text may be an opaque token, but an empty one.
func TestAnOpaqueTokenByItself(t *testing.T) {
	p, alice := testidp.New(t), "alice"
	p.Does(nil, testidp.Answer(200, `{"active":true,"sub":"alice","exp":4000000000}`))
	judge, _ := newChain(t, p.Opaque())
	if result, _ := judge.BeginAtOnce(broker.Connect{ClientID: "c"}, ""); result.Reason != verdict.NotAToken {
		t.Errorf("none: %s", result)
	}
	result, open := judge.BeginRenewal(broker.Connect{ClientID: "c", Username: &alice}, "anything", only(judge).ID())
	if result.Kind != verdict.Pending {
		t.Fatalf("got %s", result)
	}
	if result, _ = open.Finish(t.Context()); result.Kind != verdict.Accept || result.Subject != "alice" {
		t.Errorf("got %s", result)
	}
	if result, _ := judge.BeginRenewal(broker.Connect{ClientID: "c"}, "with\x00NUL", only(judge).ID()); result.Reason != verdict.Malformed {
		t.Errorf("got %s", result)
	}
}
