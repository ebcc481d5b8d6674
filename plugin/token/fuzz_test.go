package token_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// fixedKey is the same in every process, so that the tokens of the corpus stay good.
func fixedKey() testkeys.Key {
	return testkeys.Key{ID: "k", Alg: "EdDSA", Private: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
}

func seeds() []string {
	key := fixedKey()
	good := key.Sign(object{"sub": "alice", "iss": "https://idp.test", "aud": []string{"mqtt"}, "exp": now + 300, "nbf": now, "iat": now, "scope": "a b"})
	return []string{
		good, "", "..", "....", "a.b.c", good + ".", good + "=", good + "\n", strings.ToUpper(good), strings.Replace(good, ".", "\n.", 1),
		key.SignRaw(`{"alg":"none"}`, `{"sub":"admin"}`), b64(`{"alg":"dir","enc":"A256GCM"}`) + "....", key.SignRaw(`{"alg":"EdDSA","crit":[]}`, `{}`),
		key.Sign(nil), key.Sign(object{"sub": "bob", "exp": raw("1e300")}), key.SignRaw(`{"alg":"Ed25519"}`, `{}`),
		key.SignRaw(`{"alg":"EdDSA","alg":"EdDSA"}`, `{"sub":"bob"}`), key.SignRaw(`{"alg":"EdDSA","kid":7}`, `{"sub":"bob"}`),
	}
}

// FuzzClassify: it never panics, and what it calls a token has the shape of one.
func FuzzClassify(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, password string) {
		shape, header := token.Classify(password)
		dots := map[token.Shape]int{token.Signed: 2, token.Encrypted: 4}
		switch shape {
		case token.Other:
			if header != (token.Header{}) {
				t.Errorf("no token, but its header is %+v", header)
			}
		case token.Signed, token.Encrypted:
			if strings.Count(password, ".") != dots[shape] || strings.Trim(password, b64Alphabet+".") != "" {
				t.Errorf("shape %d of %q", shape, password)
			}
			first, _, _ := strings.Cut(password, ".")
			raw, err := base64.RawURLEncoding.DecodeString(first)
			var members map[string]any
			if header.Fault != "" {
				if header != (token.Header{Fault: header.Fault}) || !strings.HasPrefix(strings.TrimLeft(string(raw), "\ufeff \t\r\n"), "{") {
					t.Errorf("shape %d, header %+v of %q", shape, header, raw)
				}
				return
			}
			if err != nil || json.Unmarshal(raw, &members) != nil || (header.Algorithm != "" && members["alg"] != header.Algorithm && members["alg"] != "Ed25519") {
				t.Errorf("shape %d, header %+v of %q", shape, header, raw)
			}
		default:
			t.Errorf("shape %d", shape)
		}
	})
}

const b64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// FuzzVerify: whatever comes, it never panics, and never accepts what the key did not sign.
func FuzzVerify(f *testing.F) {
	signed := map[string]bool{}
	for _, seed := range seeds() {
		f.Add(seed)
		if end := strings.LastIndex(seed, "."); end > 0 {
			signed[seed[:end]] = true
		}
	}
	b := newBench(f, fixedKey(), config.Common{})
	f.Fuzz(func(t *testing.T, password string) {
		_, header := token.Classify(password)
		for _, h := range []token.Header{header, {Algorithm: "EdDSA", KeyID: "k"}} { // the second as if Classify had been fooled
			var trace verdict.Trace
			_, v := b.Verify(t.Context(), token.NewText(password), h, &trace)
			if end := strings.LastIndex(password, "."); v.Kind == verdict.Accept && (end < 0 || !signed[password[:end]]) {
				t.Errorf("accepted %q", password)
			}
		}
	})
}

// FuzzClaims: whatever the provider signs, nothing panics, and what is accepted holds what the configuration asks for.
func FuzzClaims(f *testing.F) {
	for _, seed := range seeds() {
		if parts := strings.Split(seed, "."); len(parts) == 3 && strings.HasPrefix(parts[0], "ey") && !strings.Contains(seed, "\n") {
			f.Add(decode(parts[0]), decode(parts[1]))
		}
	}
	f.Add(`{"alg":"EdDSA","typ":"at+jwt"}`, `{"iss":"https://idp.test","aud":"mqtt","exp":1.8e9,"scp":["a"],"r":{"r":["x"]}}`)
	key := fixedKey()
	b := newBench(f, key, config.Common{
		Issuers: issuers("https://idp.test"), Audience: []string{"mqtt"}, RequiredScopes: []string{"a"}, ValidateExpiration: true, RequireExpiration: true,
	})
	f.Fuzz(func(t *testing.T, header, payload string) {
		if verdict, claims := b.judge(t, key.SignRaw(header, payload)); verdict == "accept" {
			exp, present := claims.Expiry()
			if iss, _ := claims.Lookup("iss"); iss != "https://idp.test" || !present || !exp.After(clock()) {
				t.Errorf("accepted %q", payload)
			}
		}
	})
}
