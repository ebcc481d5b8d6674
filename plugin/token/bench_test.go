package token_test

import (
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA", "HS256"} {
		b.Run(alg, func(b *testing.B) {
			key := testkeys.New(alg, "k")
			v := newBench(b, key, config.Common{Issuers: issuers("https://idp.test"), ValidateExpiration: true, RequireExpiration: true})
			password := key.Sign(object{"iss": "https://idp.test", "sub": "alice", "exp": now + 300, "iat": now, "jti": "1"})
			_, header := token.Classify(password)
			for b.Loop() {
				var trace verdict.Trace
				if _, got := v.Verify(b.Context(), token.NewText(password), header, &trace); got.Kind != verdict.Accept {
					b.Fatal(got)
				}
			}
		})
	}
}

// BenchmarkReject is what an attacker makes us spend on each kind of nonsense.
func BenchmarkReject(b *testing.B) {
	ours, attacker := testkeys.New("RS256", "k"), testkeys.New("RS256", "k")
	v := newBench(b, ours, config.Common{})
	header := b64(`{"alg":"RS256","kid":"k"}`)
	cases := []struct{ kind, password string }{
		{"ordinary password", "correct horse battery staple"},
		{"16 kB of letters", strings.Repeat("x", 16384)},
		{"16 kB of dots", strings.Repeat(".", 16384)},
		{"16 kB of header", b64(`{"alg":"RS256","x":"`+strings.Repeat("x", 12200)+`"}`) + ".."},
		{"16 kB of nested payload", header + "." + b64(strings.Repeat("[", 12200)) + "."},
		{"alg none", b64(`{"alg":"none"}`) + "." + b64(`{"sub":"admin"}`) + "."},
		{"unknown kid", attacker.SignWith(object{"kid": "x"}, object{"sub": "admin"})},
		{"bad signature", attacker.Sign(object{"sub": "admin"})},
	}
	for _, c := range cases {
		b.Run(c.kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				shape, h := token.Classify(c.password)
				if shape != token.Signed {
					continue
				}
				var trace verdict.Trace
				if _, got := v.Verify(b.Context(), token.NewText(c.password), h, &trace); got.Kind != verdict.Deny {
					b.Fatal(got)
				}
			}
		})
	}
}
