package token_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/token"
)

// TestAlgorithms: a good token of each is accepted, and with another key's signature it is not.
func TestAlgorithms(t *testing.T) {
	rsaKey := testkeys.New("RS256", "k")
	for _, alg := range []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	} {
		t.Run(alg, func(t *testing.T) {
			key := rsaKey.As(alg)
			if !strings.HasPrefix(alg, "RS") && !strings.HasPrefix(alg, "PS") {
				key = testkeys.New(alg, "k")
			}
			b := newBench(t, key, config.Common{})
			if got, claims := b.judge(t, key.Sign(object{"sub": "alice"})); got != "accept" {
				t.Error(got)
			} else if sub, _ := claims.Lookup("sub"); sub != "alice" {
				t.Errorf("sub is %v", sub)
			}
			stranger := testkeys.New(alg, "k")
			if got, _ := b.judge(t, stranger.Sign(object{"sub": "alice"})); got != `bad signature: no key with kid "k" verifies it by `+alg {
				t.Error(got)
			}
		})
	}
}

// TestEd25519: RFC 9864 gives EdDSA over Ed25519 a name of its own; it is the same algorithm.
func TestEd25519(t *testing.T) {
	key, rsaKey := testkeys.New("EdDSA", "k"), testkeys.New("RS256", "k")
	for _, alg := range []string{"EdDSA", "Ed25519"} {
		if got, _ := newBench(t, key, config.Common{}).judge(t, key.SignWith(object{"alg": alg}, object{"sub": "alice"})); got != "accept" {
			t.Errorf("%s: %s", alg, got)
		}
	}
	for _, alg := range []string{"ed25519", "Ed448", "Ed25519 ", "ED25519"} {
		want := fmt.Sprintf(`wrong algorithm: alg must be EdDSA, found %q`, alg)
		if got, _ := newBench(t, key, config.Common{}).judge(t, key.SignWith(object{"alg": alg}, object{"sub": "alice"})); got != want {
			t.Errorf("%s: %s", alg, got)
		}
	}
	if got, _ := newBench(t, rsaKey, config.Common{}).judge(t, rsaKey.SignWith(object{"alg": "Ed25519"}, nil)); !strings.HasPrefix(got, "wrong algorithm: alg must be RS256, found ") {
		t.Error(got)
	}
}

// TestSaltOfPSS has the length of the hash (RFC 7518 §3.5).
func TestSaltOfPSS(t *testing.T) {
	key := testkeys.New("PS256", "k")
	private := key.Private.(*rsa.PrivateKey)
	for alg, hash := range map[string]crypto.Hash{"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512} {
		b := newBench(t, key.As(alg), config.Common{})
		text := b64(fmt.Sprintf(`{"alg":%q,"kid":"k"}`, alg)) + "." + b64(`{"sub":"alice"}`)
		digest := hash.New()
		digest.Write([]byte(text))
		most := private.Size() - hash.Size() - 2
		for _, salt := range []int{0, 1, 20, hash.Size() - 1, hash.Size(), hash.Size() + 1, most} {
			signature := signPSS(private, hash, digest.Sum(nil), make([]byte, salt))
			want := "bad signature: no key with kid \"k\" verifies it by " + alg
			if salt == hash.Size() {
				want = "accept"
			}
			if got, _ := b.judge(t, text+"."+b64(string(signature))); got != want {
				t.Errorf("%s, a salt of %d bytes: got %s, want %s", alg, salt, got, want)
			}
		}
	}
}

// signPSS is RSASSA-PSS-SIGN (RFC 8017 §8.1.1) with any salt, which crypto/rsa does not do.
func signPSS(private *rsa.PrivateKey, hash crypto.Hash, digest, salt []byte) []byte {
	h := hash.New()
	h.Write(make([]byte, 8))
	h.Write(digest)
	h.Write(salt)
	sum := h.Sum(nil)
	size := private.Size()
	data := make([]byte, size-len(sum)-1) // DB
	copy(data[len(data)-len(salt):], salt)
	data[len(data)-len(salt)-1] = 1
	var mask []byte // MGF1 (RFC 8017 §B.2.1)
	for i := 0; len(mask) < len(data); i++ {
		h.Reset()
		h.Write(sum)
		h.Write([]byte{0, 0, 0, byte(i)})
		mask = h.Sum(mask)
	}
	subtle.XORBytes(data, data, mask)
	data[0] &= 0x7f // of 8 × size bits the first is zero
	encoded := new(big.Int).SetBytes(slices.Concat(data, sum, []byte{0xbc}))
	return encoded.Exp(encoded, private.D, private.N).FillBytes(make([]byte, size))
}

// TestAttacks: every token here must fail at a verifier that knows one RSA key, by RS256.
func TestAttacks(t *testing.T) {
	var called atomic.Int32
	lure := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	defer lure.Close()

	ours, attacker := testkeys.New("RS256", "k"), testkeys.New("RS256", "k")
	claims := object{"sub": "admin", "exp": now + 300}
	b := newBench(t, ours, config.Common{})
	good := ours.Sign(claims)
	if got, _ := b.judge(t, good); got != "accept" {
		t.Fatal(got)
	}
	header, payload, signature := cut(good)
	public := ours.Public().(*rsa.PublicKey)
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	// The public key's bytes as an HMAC secret (RFC 8725 §2.1), in every form it is published in.
	confused := func(secret []byte, alg string) string {
		return testkeys.Key{ID: "k", Alg: alg, Private: secret}.Sign(claims)
	}
	unsigned := func(header string) string { return b64(header) + "." + payload + "." }
	embedded := func(member string, value any) string {
		return attacker.SignWith(object{"kid": nil, member: value}, claims)
	}
	const wrongAlg = `wrong algorithm: alg must be RS256, found `
	const bad = `bad signature: no key with kid "k" verifies it by RS256`
	const badNoKid = `bad signature: no key verifies it by RS256 (the token names no kid)`
	const unreadable, unreadablePayload = "malformed token: its header can't be read: ", "malformed token: its payload can't be read: "
	long := func(bytes int) string {
		const rest = `{"alg":"RS256","kid":"k","x":""}`
		return rest[:len(rest)-2] + strings.Repeat("x", bytes-len(rest)) + `"}`
	}
	cases := []struct{ rule, password, want string }{
		{"alg none", unsigned(`{"alg":"none","kid":"k"}`), wrongAlg + `"none"`},
		{"alg None", unsigned(`{"alg":"None","kid":"k"}`), wrongAlg + `"None"`},
		{"alg NONE", unsigned(`{"alg":"NONE","kid":"k"}`), wrongAlg + `"NONE"`},
		{"alg nOnE", unsigned(`{"alg":"nOnE","kid":"k"}`), wrongAlg + `"nOnE"`},
		{"alg none with a space", unsigned(`{"alg":"none ","kid":"k"}`), wrongAlg + `"none "`},
		{"alg none with a signature", b64(`{"alg":"none","kid":"k"}`) + "." + payload + "." + signature, wrongAlg + `"none"`},
		{"alg none without the last dot", b64(`{"alg":"none","kid":"k"}`) + "." + payload, "no token"},
		{"alg empty", unsigned(`{"alg":"","kid":"k"}`), wrongAlg + `""`},
		{"alg of another type", unsigned(`{"alg":["RS256"],"kid":"k"}`), "malformed token: its alg is no string"},
		{"alg is null", unsigned(`{"alg":null,"kid":"k"}`), "malformed token: its alg is no string"},
		{"alg in another case", ours.SignWith(object{"alg": "rs256"}, claims), wrongAlg + `"rs256"`},
		{"alg in capitals beside none", unsigned(`{"ALG":"RS256","alg":"none","kid":"k"}`), wrongAlg + `"none"`},
		{"alg in capitals alone", ours.SignWith(object{"alg": nil, "ALG": "RS256"}, claims), "no token"},
		{"alg twice, the good one first", unsigned(`{"alg":"RS256","alg":"none","kid":"k"}`), unreadable + `it has a name twice in one object: "alg"`},
		{"alg twice, the good one last", unsigned(`{"alg":"none","alg":"RS256","kid":"k"}`), unreadable + `it has a name twice in one object: "alg"`},
		{"alg twice, once in other spelling", ours.SignRaw(`{"alg":"RS256","\u0061lg":"RS256","kid":"k"}`, `{}`), unreadable + `it has a name twice in one object: "alg"`},
		{"a name twice, deeper", ours.SignRaw(`{"alg":"RS256","kid":"k","jwk":{"kty":"RSA","kty":"RSA"}}`, `{}`), unreadable + `it has a name twice in one object: "kty"`},
		{"more behind the header", ours.SignRaw(`{"alg":"RS256","kid":"k"}garbage`, `{}`), unreadable + "something follows the JSON object"},
		{"another object behind the header", ours.SignRaw(`{"alg":"RS256","kid":"k"}{}`, `{}`), unreadable + "something follows the JSON object"},
		{"invalid UTF-8 in the header", ours.SignRaw("{\"alg\":\"RS256\",\"kid\":\"k\",\"x\":\"\xff\"}", `{}`), unreadable + "it holds invalid UTF-8"},
		{"invalid UTF-8 in the kid", ours.SignRaw("{\"alg\":\"RS256\",\"kid\":\"\xffk\"}", `{}`), unreadable + "it holds invalid UTF-8"},
		{"half of a surrogate pair in the kid", ours.SignRaw(`{"alg":"RS256","kid":"\ud800"}`, `{}`), unreadable + "it holds invalid UTF-8"},
		{"a byte order mark before the header", ours.SignRaw("\ufeff"+`{"alg":"RS256","kid":"k"}`, `{}`), unreadable + "it is not JSON"},
		{"a header that is cut", ours.SignRaw(`{"alg":"RS256","kid":"k"`, `{}`), unreadable + "it is not JSON"},
		{"a header of no canonical base64", ours.SignText(stray(b64(`{"alg":"RS256","kid":"ke"}`)) + ".e30"), "malformed token: its header is not base64url"},
		{"a header of as many bytes as may be", ours.SignRaw(long(6144), `{}`), "accept"},
		{"a header of one more", ours.SignRaw(long(6145), `{}`), "malformed token: its header has 8194 bytes, the most is 8192"},
		{"a header of 40 kB", ours.SignRaw(long(30000), `{}`), "malformed token: its header has 40000 bytes, the most is 8192"},
		{"a header of 40 kB of nothing", ours.SignRaw(`{"alg":"x",`+strings.Repeat("[", 30000), `{}`), "malformed token: its header has 40015 bytes, the most is 8192"},
		{"alg that forges a log line", unsigned(`{"alg":"x\n1: client admin accepted","kid":"k"}`), wrongAlg + `"x\n1: client admin accepted"`},
		{"another alg of the same key", ours.As("RS512").Sign(claims), wrongAlg + `"RS512"`},
		{"PS256 of the same key", ours.As("PS256").Sign(claims), wrongAlg + `"PS256"`},
		{"PS256's signature called RS256", ours.As("PS256").SignWith(object{"alg": "RS256"}, claims), bad},
		{"HS256 with the public key in PEM", confused([]byte(ours.PEM()), "HS256"), wrongAlg + `"HS256"`},
		{"HS256 with the public key in PEM, no line break at the end", confused([]byte(strings.TrimSpace(ours.PEM())), "HS256"), wrongAlg + `"HS256"`},
		{"HS512 with the public key in PEM", confused([]byte(ours.PEM()), "HS512"), wrongAlg + `"HS512"`},
		{"HS256 with the public key in DER", confused(pkix, "HS256"), wrongAlg + `"HS256"`},
		{"HS256 with the modulus", confused(public.N.Bytes(), "HS256"), wrongAlg + `"HS256"`},
		{"HMAC's signature called RS256", testkeys.Key{ID: "k", Alg: "HS256", Private: []byte(ours.PEM())}.SignWith(object{"alg": "RS256"}, claims), bad},
		{"another key", attacker.Sign(claims), bad},
		{"another key without kid", attacker.SignWith(object{"kid": nil}, claims), badNoKid},
		{"another key under another kid", attacker.SignWith(object{"kid": "x"}, claims), `unknown key: kid "x" at jwks.json: no key of the set fits`},
		{"a kid that is a path", attacker.SignWith(object{"kid": "../../dev/null"}, claims), `unknown key: kid "../../dev/null" at jwks.json: no key of the set fits`},
		{"a kid that is a query", attacker.SignWith(object{"kid": "k' OR '1'='1"}, claims), `unknown key: kid "k' OR '1'='1" at jwks.json: no key of the set fits`},
		{"a kid that forges a log line", attacker.SignWith(object{"kid": "a\nb"}, claims), `unknown key: kid "a\nb" at jwks.json: no key of the set fits`},
		{"a kid of many bytes", attacker.SignWith(object{"kid": strings.Repeat("x", 5000)}, claims), `unknown key: kid "` + strings.Repeat("x", 96) + `"… (5000 bytes) at jwks.json: no key of the set fits`},
		{"a kid that is a number", ours.SignWith(object{"kid": 7}, claims), "malformed token: its kid is no string"},
		{"a kid that is null", ours.SignRaw(`{"alg":"RS256","kid":null}`, `{}`), "malformed token: its kid is no string"},
		{"a kid that is an array of the kid", ours.SignWith(object{"kid": []string{"k"}}, claims), "malformed token: its kid is no string"},
		{"a typ that is a number", ours.SignWith(object{"typ": 7}, claims), "malformed token: its typ is no string"},
		{"members nobody looks at are of any type", ours.SignWith(object{"cty": 7, "jku": nil, "x5t": []int{1}}, claims), "accept"},
		{"its own key in jwk", embedded("jwk", attacker.JWK()), badNoKid},
		{"its own key in jwk, by a known kid", attacker.SignWith(object{"jwk": attacker.JWK()}, claims), bad},
		{"its own keys at jku", embedded("jku", lure.URL), badNoKid},
		{"its own certificate at x5u", embedded("x5u", lure.URL), badNoKid},
		{"its own certificate in x5c", embedded("x5c", []string{base64.StdEncoding.EncodeToString(pkix)}), badNoKid},
		{"crit", ours.SignWith(object{"crit": []string{"exp"}}, claims), "malformed token: crit must be absent, found critical extensions"},
		{"crit that is empty", ours.SignWith(object{"crit": []string{}}, claims), "malformed token: crit must be absent, found critical extensions"},
		{"crit that is null", ours.SignRaw(`{"alg":"RS256","kid":"k","crit":null}`, `{}`), "malformed token: crit must be absent, found critical extensions"},
		{"b64 (RFC 7797)", ours.SignWith(object{"crit": []string{"b64"}, "b64": false}, claims), "malformed token: crit must be absent, found critical extensions"},
		{"b64 with its payload as it is", ours.SignText(b64(`{"alg":"RS256","kid":"k","b64":false}`) + `.{"sub":"admin"}`), "no token"},
		{"altered payload", header + "." + b64(`{"sub":"root"}`) + "." + signature, bad},
		{"altered header", b64(`{"alg":"RS256","kid":"k"}`) + "." + payload + "." + signature, bad},
		{"header without its kid", b64(`{"alg":"RS256","typ":"JWT"}`) + "." + payload + "." + signature, badNoKid},
		{"header of other spelling", b64(`{"alg":"RS256","kid":"k","typ":"JWT"} `) + "." + payload + "." + signature, bad},
		{"signature stripped", header + "." + payload + ".", bad},
		{"signature and its dot stripped", header + "." + payload, "no token"},
		{"signature of another token", header + "." + payload + "." + b64(string(ours.Signature("another"))), bad},
		{"signature of the payload alone", header + "." + payload + "." + b64(string(ours.Signature(payload))), bad},
		{"signature altered in a bit", header + "." + payload + "." + flip(signature), bad},
		{"signature cut", header + "." + payload + "." + signature[:len(signature)-2], bad},
		{"signature with a zero in front", header + "." + payload + "." + b64("\x00"+decode(signature)), bad},
		{"signature with a zero behind", header + "." + payload + "." + b64(decode(signature)+"\x00"), bad},
		{"signature of zeros", header + "." + payload + "." + b64(strings.Repeat("\x00", 256)), bad},
		{"signature of 45 kB", header + "." + payload + "." + strings.Repeat("AAAA", 15000), bad},
		{"signature in no canonical base64", header + "." + payload + "." + stray(signature), "malformed token: its signature is not base64url"},
		{"payload in no canonical base64", ours.SignText(header + "." + stray(b64(`{"sub":"adm"}`))), "malformed token: its payload is not base64url"},
		{"a line break in the header", header[:8] + "\n" + header[8:] + "." + payload + "." + signature, "no token"},
		{"padding", good + "==", "no token"},
		{"empty payload", ours.SignText(header + "."), unreadablePayload + "it is not JSON"},
		{"payload is no JSON", ours.SignRaw(`{"alg":"RS256"}`, "sub"), unreadablePayload + "it is not JSON"},
		{"payload is an array", ours.SignRaw(`{"alg":"RS256"}`, `["sub"]`), unreadablePayload + "it is JSON, but not an object"},
		{"payload is a string", ours.SignRaw(`{"alg":"RS256"}`, `"sub"`), unreadablePayload + "it is JSON, but not an object"},
		{"payload is null", ours.SignRaw(`{"alg":"RS256"}`, `null`), unreadablePayload + "it is JSON, but not an object"},
		{"more behind the payload", ours.SignRaw(`{"alg":"RS256"}`, `{"sub":"admin"}garbage`), unreadablePayload + "something follows the JSON object"},
		{"another object behind the payload", ours.SignRaw(`{"alg":"RS256"}`, `{"exp":9999999999}{"exp":0}`), unreadablePayload + "something follows the JSON object"},
		{"a NUL behind the payload", ours.SignRaw(`{"alg":"RS256"}`, "{}\x00"), unreadablePayload + "something follows the JSON object"},
		{"white space around the payload", ours.SignRaw(`{"alg":"RS256"}`, " {}\r\n"), "accept"},
		{"a claim twice", ours.SignRaw(`{"alg":"RS256"}`, `{"sub":"alice","sub":"admin"}`), unreadablePayload + `it has a name twice in one object: "sub"`},
		{"a claim twice, alike", ours.SignRaw(`{"alg":"RS256"}`, `{"sub":"alice","sub":"alice"}`), unreadablePayload + `it has a name twice in one object: "sub"`},
		{"a claim twice, once in other spelling", ours.SignRaw(`{"alg":"RS256"}`, `{"sub":"alice","s\u0075b":"admin"}`), unreadablePayload + `it has a name twice in one object: "sub"`},
		{"a claim twice, deeper", ours.SignRaw(`{"alg":"RS256"}`, `{"a":[{"b":1,"b":2}]}`), unreadablePayload + `it has a name twice in one object: "b"`},
		{"claims that differ in case", ours.SignRaw(`{"alg":"RS256"}`, `{"sub":"alice","Sub":"admin"}`), "accept"},
		{"invalid UTF-8 in a claim", ours.SignRaw(`{"alg":"RS256"}`, "{\"sub\":\"a\",\"role\":\"\xff\"}"), unreadablePayload + "it holds invalid UTF-8"},
		{"invalid UTF-8 in a claim's name", ours.SignRaw(`{"alg":"RS256"}`, "{\"\xc3\x28\":1}"), unreadablePayload + "it holds invalid UTF-8"},
		{"half of a surrogate pair in a claim", ours.SignRaw(`{"alg":"RS256"}`, `{"sub":"\udc00"}`), unreadablePayload + "it holds invalid UTF-8"},
		{"a byte order mark before the payload", ours.SignRaw(`{"alg":"RS256"}`, "\ufeff{}"), unreadablePayload + "it is not JSON"},
		{"a token in the token (RFC 7519 §5.2)", ours.SignRaw(`{"alg":"RS256","cty":"JWT"}`, good), unreadablePayload + "it is not JSON"},
		{"an encrypted token", b64(`{"alg":"dir","enc":"A256GCM","kid":"k"}`) + "..aaaa.bbbb.cccc", "encrypted"},
		{"60 kB of letters", strings.Repeat("rubbish-", 7500), "no token"},
		{"60 kB of letters with two dots", strings.Repeat("rubbish.", 2) + strings.Repeat("rubbish_", 7500), "no token"},
		{"60 kB of nested payload", b64(`{"alg":"RS256","kid":"k"}`) + "." + b64(strings.Repeat(`{"a":`, 9000)) + ".", unreadablePayload + "it is nested more than 256 levels deep"},
		{"60 kB of dots", strings.Repeat(".", 60000), "no token"},
		{"two dots", "..", "no token"},
		{"nothing", "", "no token"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if got, _ := b.judge(t, c.password); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if n := called.Load(); n > 0 {
		t.Errorf("a token's header caused %d requests", n)
	}
}

// TestSignaturesOfES256 has the fixed length and form of RFC 7518 §3.4.
func TestSignaturesOfES256(t *testing.T) {
	key := testkeys.New("ES256", "k")
	b := newBench(t, key, config.Common{})
	good := key.Sign(object{"sub": "alice"})
	header, payload, signature := cut(good)
	raw := []byte(decode(signature))
	r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
	inDER, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	n := key.Private.(*ecdsa.PrivateKey).Params().N
	pad := func(r, s *big.Int, size int) string {
		return string(r.FillBytes(make([]byte, size))) + string(s.FillBytes(make([]byte, size)))
	}
	const bad = `bad signature: no key with kid "k" verifies it by ES256`
	cases := []struct{ rule, signature, want string }{
		{"64 bytes", string(raw), "accept"},
		{"DER, as secure elements make it", string(inDER), bad + "; its signature is in DER, as secure elements and OpenSSL make it: a token has r and s side by side (RFC 7518 §3.4)"},
		{"DER with something behind it", string(inDER) + "x", bad},
		{"r and s of 33 bytes", pad(r, s, 33), bad},
		{"r and s of 48 bytes, as for ES384", pad(r, s, 48), bad},
		{"r and s of 22,000 bytes", pad(r, s, 22000), bad},
		{"63 bytes", string(raw[:63]), bad},
		{"65 bytes", string(raw) + "\x00", bad},
		{"no bytes", "", bad},
		{"r and s are zero (CVE-2022-21449)", strings.Repeat("\x00", 64), bad},
		{"r and s are the order", pad(n, n, 32), bad},
		{"r is zero", strings.Repeat("\x00", 32) + string(raw[32:]), bad},
		{"s is zero", string(raw[:32]) + strings.Repeat("\x00", 32), bad},
		{"r and s swapped", string(raw[32:]) + string(raw[:32]), bad},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if got, _ := b.judge(t, header+"."+payload+"."+b64(c.signature)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Of every curve, with numbers that are short, or look negative.
func TestSignaturesInDER(t *testing.T) {
	for _, size := range []int{32, 48, 66} {
		for bits := range 8*size + 1 {
			r, s := new(big.Int).Lsh(big.NewInt(1), uint(bits)), new(big.Int).Lsh(big.NewInt(1), uint(8*size-bits))
			r.Sub(r, big.NewInt(1))
			s.Sub(s, big.NewInt(1))
			want, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
			if err != nil {
				t.Fatal(err)
			}
			signature := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
			if got := token.InDER(signature); !bytes.Equal(got, want) {
				t.Fatalf("%x becomes %x, want %x", signature, got, want)
			}
		}
	}
}

// TestPEMIsNoSecret: nor does a verifier of HS256 with the public key lying about accept what RSA signed.
func TestPEMIsNoSecret(t *testing.T) {
	rsaKey := testkeys.New("RS256", "")
	b := newBench(t, testkeys.New("HS256", ""), config.Common{})
	for _, forged := range []string{
		rsaKey.Sign(object{"sub": "admin"}),
		rsaKey.SignWith(object{"alg": "HS256"}, object{"sub": "admin"}),
		testkeys.Key{Alg: "HS256", Private: []byte(rsaKey.PEM())}.Sign(object{"sub": "admin"}),
		testkeys.Key{Alg: "HS256", Private: []byte{}}.Sign(object{"sub": "admin"}),
	} {
		if got, _ := b.judge(t, forged); !strings.HasPrefix(got, "bad signature: ") && !strings.HasPrefix(got, "wrong algorithm: ") {
			t.Error(got)
		}
	}
}

// TestKeysByKid: rotation, and tokens without kid.
func TestKeysByKid(t *testing.T) {
	one, two, retired := testkeys.New("ES256", "1"), testkeys.New("ES256", "2"), testkeys.New("ES256", "3")
	cfg := &config.Provider{Algorithms: []string{"ES256", "EdDSA"}}
	edwards := testkeys.New("EdDSA", "4")
	b := &bench{token.New(cfg, keysOf(t, cfg, one, two, edwards), clock), one}
	cases := []struct {
		rule, password, want string
	}{
		{"the one", one.Sign(nil), "accept"},
		{"the other", two.Sign(nil), "accept"},
		{"of another algorithm", edwards.Sign(nil), "accept"},
		{"without kid, by any that fits", two.SignWith(object{"kid": nil}, nil), "accept"},
		{"the other's under the one's kid", two.SignWith(object{"kid": "1"}, nil), `bad signature: no key with kid "1" verifies it by ES256`},
		{"the kid of a key for another algorithm", one.SignWith(object{"kid": "4"}, nil), `unknown key: kid "4" at jwks.json: no key of the set fits`},
		{"a retired one", retired.Sign(nil), `unknown key: kid "3" at jwks.json: no key of the set fits`},
		{"a retired one without kid", retired.SignWith(object{"kid": nil}, nil), "bad signature: no key verifies it by ES256 (the token names no kid)"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if got, _ := b.judge(t, c.password); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func decode(part string) string {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func cut(password string) (header, payload, signature string) {
	parts := strings.Split(password, ".")
	return parts[0], parts[1], parts[2]
}

// flip alters one bit in the middle.
func flip(part string) string {
	raw := []byte(decode(part))
	raw[len(raw)/2] ^= 0x10
	return b64(string(raw))
}

// stray sets a bit behind the last byte, which decoders that are not strict pass over (RFC 4648 §3.5).
func stray(part string) string {
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if other := part[:len(part)-1] + string(last); other != part && decode(other) == decode(part) {
			return other
		}
	}
	panic(fmt.Sprintf("%d letters leave no bit", len(part)))
}
