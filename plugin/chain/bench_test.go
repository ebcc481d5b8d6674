package chain_test

import (
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// BenchmarkBegin is what a login costs the broker's thread, the introspection aside.
func BenchmarkBegin(b *testing.B) {
	rsa, ec, edwards := testkeys.New("RS256", "rsa"), testkeys.New("ES256", "ec"), testkeys.New("EdDSA", "ed")
	cfg := inFile(b, rsa, ec, edwards)
	cfg.Common.Issuers, cfg.Common.Audience, cfg.Common.MatchUsername = []config.Issuer{config.ExactIssuer("https://idp.test")}, []string{"mqtt"}, true
	judge, _ := newChain(b, cfg)
	claims := object{"iss": "https://idp.test", "sub": "alice", "aud": "mqtt", "exp": now + 60, "iat": now, "jti": "1"}
	cases := []struct {
		kind, password string
		want           verdict.Kind
	}{
		{"RS256", rsa.Sign(claims), verdict.Accept},
		{"ES256", ec.Sign(claims), verdict.Accept},
		{"EdDSA", edwards.Sign(claims), verdict.Accept},
		{"refused, forged RS256", testkeys.New("RS256", "rsa").Sign(claims), verdict.Deny},
		{"refused, alg none", rsa.SignWith(object{"alg": "none"}, claims), verdict.Deny},
		{"refused, unknown kid", rsa.SignWith(object{"kid": "x"}, claims), verdict.Deny},
		{"refused, 60 kB", strings.Repeat("x", 60000), verdict.Deny},
		{"left to others, a password", "correct horse battery staple", verdict.Defer},
	}
	for _, c := range cases {
		b.Run(c.kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if result, _ := judge.Begin(b.Context(), login(c.password)); result.Kind != c.want {
					b.Fatal(result)
				}
			}
		})
	}
}
