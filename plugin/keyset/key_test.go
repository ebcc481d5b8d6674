package keyset_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
)

func everyAlgorithm() []string {
	return []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}
}

// TestKeyMeetsAlgorithm: RFC 7518 §3.1 and RFC 8037 §3.1, every key type against every algorithm.
func TestKeyMeetsAlgorithm(t *testing.T) {
	keys := []struct {
		kind string
		key  testkeys.Key
		fits []string
	}{
		{"RSA", testkeys.New("RS256", "k"), []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{"P-256", testkeys.New("ES256", "k"), []string{"ES256"}},
		{"P-384", testkeys.New("ES384", "k"), []string{"ES384"}},
		{"P-521", testkeys.New("ES512", "k"), []string{"ES512"}},
		{"Ed25519", testkeys.New("EdDSA", "k"), []string{"EdDSA"}},
		{"oct", testkeys.New("HS512", "k"), []string{"HS256", "HS384", "HS512"}},
	}
	for _, k := range keys {
		for _, alg := range everyAlgorithm() {
			t.Run(k.kind+" "+alg, func(t *testing.T) {
				source := newEnv().mustOpen(t, fileWith(t, testkeys.Set(k.key.JWK().With("alg", nil)), alg))
				set, err := source.Load(t.Context())
				switch fits := slices.Contains(k.fits, alg); {
				case fits && (err != nil || set.Len() != 1):
					t.Errorf("got %d keys, %v", set.Len(), err)
				case fits:
					finds(t, source, "k", alg, k.key.Public())
				case err == nil || !strings.Contains(err.Error(), "which does not fit "+alg):
					t.Errorf("got %v, want a refusal", err)
				}
			})
		}
	}
}

// TestEntries: what an entry of a set may say. One that can't be used gets one warning, and never breaks the rest.
func TestEntries(t *testing.T) {
	rsa, ec, ed := testkeys.New("RS256", "new").JWK(), testkeys.New("ES256", "new").JWK(), testkeys.New("EdDSA", "new").JWK()
	oct := testkeys.New("HS256", "new").JWK()
	rsaBits := func(bits int) testkeys.JWK {
		modulus := make([]byte, bits/8)
		_, _ = rand.Read(modulus)
		modulus[0], modulus[len(modulus)-1] = 0xFF, 0xFF
		return rsa.With("n", base64URL(modulus))
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := testkeys.New("EdDSA", "new")

	asymmetric := everyAlgorithm()[3:]
	cases := []struct {
		rule       string
		entry      any
		algorithms []string
		weak       bool
		want       string // why it is not used; "": it is
	}{
		{"made for signatures", rsa, asymmetric, false, ""},
		{"no use", rsa.With("use", nil), asymmetric, false, ""},
		{"use is null", rsa.With("use", jsonNull), asymmetric, false, ""},
		{"use is no string", rsa.With("use", 7), asymmetric, false, "its use is not a string"},
		{"for tokens of SPIFFE workloads", rsa.With("use", "jwt-svid"), asymmetric, false, ""},
		{"made for another use", rsa.With("use", "wrap"), asymmetric, false, `its use is "wrap", expected "sig"`},
		{"of an unknown use", rsa.With("use", "party"), asymmetric, false, `its use is "party", expected "sig"`},
		{"key_ops with verify", rsa.With("key_ops", []string{"sign", "verify"}), asymmetric, false, ""},
		{"key_ops without verify", rsa.With("key_ops", []string{"sign", "encrypt"}), asymmetric, false, `its key_ops are "sign encrypt", expected "verify" among them`},
		{"key_ops as a string is a list of one", rsa.With("key_ops", "verify"), asymmetric, false, ""},
		{"key_ops as another string", rsa.With("key_ops", "sign"), asymmetric, false, `its key_ops are "sign", expected "verify" among them`},
		{"key_ops of a vendor beside verify", rsa.With("key_ops", []any{"acme:seal", 7, "verify"}), asymmetric, false, ""},
		{"key_ops is empty", rsa.With("key_ops", []string{}), asymmetric, false, ""},
		{"key_ops is null", rsa.With("key_ops", jsonNull), asymmetric, false, ""},
		{"key_ops is a number", rsa.With("key_ops", 7), asymmetric, false, "its key_ops are no list of strings"},
		{"no alg", rsa.With("alg", nil), asymmetric, false, ""},
		{"alg is null", rsa.With("alg", jsonNull), asymmetric, false, ""},
		{"alg is no string", rsa.With("alg", 7), asymmetric, false, "its alg is not a string"},
		{"alg of another key type", rsa.With("alg", "ES256"), asymmetric, false, `it is an RSA key for "ES256"`},
		{"alg that is not configured", rsa.With("alg", "PS256"), []string{"EdDSA", "RS256"}, false, `it is an RSA key for "PS256", expected EdDSA, RS256`},
		{"alg for encryption", rsa.With("alg", "RSA-OAEP"), asymmetric, false, `it is an RSA key for "RSA-OAEP"`},
		{"alg none", rsa.With("alg", "none"), asymmetric, false, `for "none"`},
		{"alg unknown", rsa.With("alg", "XX1"), asymmetric, false, `for "XX1"`},
		{"RSA of 1024 bits", rsaBits(1024), asymmetric, false, "its modulus has 1024 bits, the least is 2048; $.options.common.allowWeakKeys admits it"},
		{"RSA of 1024 bits, weak keys allowed", rsaBits(1024), asymmetric, true, ""},
		{"RSA too short for crypto/rsa, weak keys allowed", rsaBits(1016), asymmetric, true, "its modulus has 1016 bits, the least is 2048, and 1024 with"},
		{"RSA of 16384 bits", rsaBits(16384), asymmetric, false, ""},
		{"RSA that costs too much", rsaBits(16392), asymmetric, true, "its modulus has 16392 bits, the most is 16384"},
		{"an RSA exponent of 31 bits", rsa.With("e", base64URL([]byte{0x7f, 0xff, 0xff, 0xff})), asymmetric, false, ""},
		{"zeros before the exponent", rsa.With("e", base64URL([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1})), asymmetric, false, ""},
		{"an RSA exponent of 32 bits", rsa.With("e", base64URL([]byte{0x80, 0, 0, 1})), asymmetric, false, "its e has 32 bits, the most is 31"},
		{"an RSA exponent that 64 bits would cut to 65537", rsa.With("e", base64URL([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})), asymmetric, true, "its e has 65 bits, the most is 31"},
		{"an RSA exponent that 64 bits would cut to 3", rsa.With("e", base64URL([]byte{1, 0, 0, 0, 0, 0, 0, 0, 3})), asymmetric, true, "its e has 65 bits, the most is 31"},
		{"an even RSA exponent", rsa.With("e", base64URL([]byte{1, 0, 0})), asymmetric, true, "its e is 65536, expected an odd number from 3"},
		{"an RSA exponent of 0", rsa.With("e", base64URL([]byte{0})), asymmetric, true, "its e is 0, expected an odd number from 3"},
		{"an RSA exponent of 1", rsa.With("e", base64URL([]byte{1})), asymmetric, true, "its e is 1, expected an odd number from 3"},
		{"an empty RSA exponent", rsa.With("e", ""), asymmetric, true, "its e is 0, expected"},
		{"an even modulus", rsa.With("n", base64URL(bytes.Repeat([]byte{0xF0}, 256))), asymmetric, true, "its modulus is even"},
		{"RSA without exponent", rsa.With("e", nil), asymmetric, false, "it can't be read"},
		{"RSA without modulus", rsa.With("n", nil), asymmetric, false, "it can't be read"},
		{"no base64url", rsa.With("n", "!"), asymmetric, false, "it can't be read"},
		{"P-256", ec, asymmetric, false, ""},
		{"a point off the curve", ec.With("y", ec["x"]), asymmetric, false, "its point is not on the curve"},
		{"the point at zero", ec.With("x", base64URL(make([]byte, 32))).With("y", base64URL(make([]byte, 32))), asymmetric, false, "its point is not on the curve"},
		{"another curve than its alg's", ec.With("alg", "ES384"), asymmetric, false, `it is a key on P-256 for "ES384"`},
		{"a curve that is not its own", ec.With("crv", "P-384"), asymmetric, false, "its point is not on the curve"},
		{"an unknown curve", ec.With("crv", "P-999"), asymmetric, false, "its crv is not known"},
		{"secp256k1", ec.With("crv", "secp256k1"), asymmetric, false, "its crv is not known"},
		{"Ed25519", ed, asymmetric, false, ""},
		{"Ed25519, too short", ed.With("x", base64URL(make([]byte, 31))), asymmetric, false, "its x has 31 bytes, expected 32"},
		{"Ed448", ed.With("crv", "Ed448"), asymmetric, false, "its crv is not known"},
		{"X25519", ed.With("crv", "X25519").With("alg", nil).With("x", base64URL(x25519.PublicKey().Bytes())), asymmetric, false, "don't verify signatures"},
		{"of a private key the public part", private.JWK().With("d", base64URL(seed(private))), asymmetric, false, ""},
		{"a secret among public keys", oct.With("alg", nil), asymmetric, false, "it is a symmetric key, which does not fit RS256"},
		{"a public key among secrets", rsa.With("alg", nil), []string{"HS256"}, false, "it is an RSA key, which does not fit HS256"},
		{"a secret as long as the hash", oct, []string{"HS256"}, false, ""},
		{"a shorter secret", oct.With("k", base64URL(make([]byte, 31))), []string{"HS256"}, false, "the secret has 31 bytes, HS256 needs 32; $.options.common.allowWeakKeys admits it"},
		{"a shorter secret, weak keys allowed", oct.With("k", base64URL(make([]byte, 31))), []string{"HS256"}, true, ""},
		{"a secret too short for HS512", oct.With("alg", nil).With("k", base64URL(make([]byte, 63))), []string{"HS512"}, false, "the secret has 63 bytes, HS512 needs 64"},
		{"an empty secret", oct.With("k", ""), []string{"HS256"}, true, "the secret is empty"},
		{"an unknown type", rsa.With("kty", "AKP"), asymmetric, false, "it can't be read"},
		{"no type", rsa.With("kty", nil), asymmetric, false, "it can't be read"},
		{"members that verification has no use for", rsa.With("x5c", 7).With("x5t", 7).With("x5t#S256", []any{}).With("x5u", false).With("exp", "soon").With("ext", 1), asymmetric, false, ""},
		{"x5c as a string", rsa.With("x5c", "MIIC"), asymmetric, false, ""},
		{"x5c as PEM", ec.With("x5c", []string{"-----BEGIN CERTIFICATE-----"}), asymmetric, false, ""},
		{"a broken d", ed.With("d", 7), asymmetric, false, ""},
		{"Ed25519 by its own name (RFC 9864)", ed.With("alg", "Ed25519"), asymmetric, false, ""},
		{"Ed25519 in name alone", rsa.With("alg", "Ed25519"), asymmetric, false, `it is an RSA key for "Ed25519"`},
		{"Ed448 by its own name", ed.With("alg", "Ed448"), asymmetric, false, `for "Ed448"`},
		{"members by another case", testkeys.JWK{"KTY": "RSA", "N": rsa["n"], "E": rsa["e"], "kid": "new"}, asymmetric, false, "it can't be read"},
		{"a name twice", json.RawMessage(`{"kty":"RSA","kid":"new","kid":"old"}`), asymmetric, false, `key number 1 of the set is not used: it has a name twice in one object: "kid"`},
		{"invalid UTF-8", json.RawMessage("{\"kty\":\"RSA\",\"kid\":\"\xff\"}"), asymmetric, false, "key number 1 of the set is not used: it holds invalid UTF-8"},
		{"null", nil, asymmetric, false, "key number 1 of the set is not used: it can't be read"},
		{"a number", 7, asymmetric, false, "key number 1 "},
		{"a string", "key", asymmetric, false, "key number 1 "},
		{"an array", []int{}, asymmetric, false, "key number 1 "},
		{"an object of nothing", testkeys.JWK{}, asymmetric, false, "key number 1 "},
		{"a set in the set", map[string]any{"keys": []any{rsa}}, asymmetric, false, "key number 1 "},
		{"a kid of another type", rsa.With("kid", 7), asymmetric, false, "key number 1 of the set is not used: its kid is not a string"},
		{"a kid that would forge a log line", rsa.With("kid", "a\nb").With("use", "wrap"), asymmetric, false, `key "a\nb" of the set`},
		{"a kid of many bytes", rsa.With("kid", strings.Repeat("x", 1000)).With("use", "wrap"), asymmetric, false, `key "` + strings.Repeat("x", 96) + `"… (1000 bytes) of the set`},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			good := testkeys.New("EdDSA", "old")
			if c.algorithms[0] == "HS256" || c.algorithms[0] == "HS512" {
				good = testkeys.New(c.algorithms[0], "old")
			}
			cfg := fileWith(t, rawSet(c.entry, good), c.algorithms...)
			cfg.Common.AllowWeakKeys = c.weak
			e := newEnv()
			source := e.mustOpen(t, cfg)
			set, err := source.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			finds(t, source, "old", good.Alg, good.Public())
			if c.want == "" {
				e.says(t)
				if set.Len() != 2 || !slices.Equal(set.IDs(), []string{"new", "old"}) {
					t.Errorf("got the keys %q", set.IDs())
				}
				return
			}
			e.says(t, c.want)
			if set.Len() != 1 || len(set.Skipped) != 1 || !strings.Contains(set.Skipped[0], c.want) {
				t.Errorf("got %d keys, skipped %q", set.Len(), set.Skipped)
			}
		})
	}
}

// TestAlgOfKeyRestricts: a key that names its alg serves no other one (RFC 8725 §3.1).
func TestAlgOfKeyRestricts(t *testing.T) {
	key := testkeys.New("PS256", "k")
	source := newEnv().mustOpen(t, fileWith(t, testkeys.Set(key), "RS256", "PS256", "PS384"))
	finds(t, source, "k", "PS256", key.Public())
	for _, alg := range []string{"RS256", "PS384", "HS256", "none", ""} {
		for _, kid := range []string{"k", ""} {
			if found, err := source.Find(t.Context(), kid, alg); !errors.Is(err, keyset.ErrUnknownKey) {
				t.Errorf("%q with kid %q: got %v, %v", alg, kid, found, err)
			}
		}
	}
}

func TestDocuments(t *testing.T) {
	broken := testkeys.New("EdDSA", "a").JWK().With("use", "wrap")
	good := testkeys.Set(testkeys.New("EdDSA", "a"))
	cases := []struct{ rule, raw, want string }{
		{"empty", "", "it is empty"},
		{"garbage", "\x00\x01", "this is no JWK set"},
		{"HTML", "<!DOCTYPE html><html>", "this is no JWK set"},
		{"half of it", string(testkeys.Set(broken)[:40]), "this is no JWK set: it is not JSON"},
		{"more after it", `{"keys":[]}{}`, "this is no JWK set: something follows the JSON object"},
		{"an array", "[]", "this is no JWK set: it is JSON, but not an object"},
		{"a bare array of keys", `[{"kty":"RSA","n":"AQ","e":"AQAB"}]`, `this is no JWK set: it is a bare array of keys, where a set is an object that holds it: {"keys": […]}`},
		{"an array of something else", `["kty"]`, "this is no JWK set: it is JSON, but not an object"},
		{"a single key", `{"kty":"RSA","n":"AQ","e":"AQAB"}`, `this is no JWK set: it is a single key, where a set is {"keys": [{…}]}`},
		{"a discovery document", `{"issuer":"https://idp.test","jwks_uri":"https://idp.test/keys"}`, `this is no JWK set: it is a discovery document: its jwks_uri is the address of the set`},
		{"Firebase's certificates", `{"a1":"-----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n","b2":"-----BEGIN CERTIFICATE-----\n"}`, "this is no JWK set: " + firebase},
		{"certificates beside something else", `{"a1":"-----BEGIN CERTIFICATE-----\n","b2":7}`, `this is no JWK set: it has no "keys" array`},
		{"nothing", `{}`, `this is no JWK set: it has no "keys" array`},
		{"a PEM", "-----BEGIN PUBLIC KEY-----\nAQ==\n-----END PUBLIC KEY-----\n", `this is no JWK set: it is a key or certificate in PEM, which mode "local" takes`},
		{"null", "null", "this is no JWK set: it is JSON, but not an object"},
		{"keys by another case", string(bytes.Replace(good, []byte(`"keys"`), []byte(`"Keys"`), 1)), `it has no "keys" array`},
		{"keys twice", string(bytes.Replace(good, []byte(`{`), []byte(`{"keys":[],`), 1)), `this is no JWK set: it has a name twice in one object: "keys"`},
		{"another name twice", string(bytes.Replace(good, []byte(`{`), []byte(`{"a":1,"a":1,`), 1)), `it has a name twice in one object: "a"`},
		{"another object", `{"error":"not found"}`, `it has no "keys" array`},
		{"a single JWK", `{"kty":"OKP"}`, `it is a single key`},
		{"keys is null", `{"keys":null}`, `it has no "keys" array`},
		{"keys is an object", `{"keys":{}}`, `it has no "keys" array`},
		{"no keys", `{"keys":[]}`, "none of its 0 keys can be used with EdDSA"},
		{"no usable key", string(testkeys.Set(broken)), `none of its 1 keys can be used with EdDSA (key "a" of the set is not used: its use is "wrap", expected "sig")`},
		{"reasons are many", string(testkeys.Set(1, 2, 3, 4, 5)), "value); and 2 more)"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			_, err := newEnv().mustOpen(t, fileWith(t, []byte(c.raw), "EdDSA")).Load(t.Context())
			if unavailable := new(keyset.UnavailableError); !errors.As(err, &unavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestHugeSet(t *testing.T) {
	const n = 3000
	jwk := testkeys.New("ES256", "").JWK()
	last := testkeys.New("ES256", "last")
	entries := make([]any, n+1)
	for i := range n {
		entries[i] = jwk.With("kid", fmt.Sprintf("key-%04d", i))
	}
	entries[n] = last
	source := newEnv().mustOpen(t, fileWith(t, testkeys.Set(entries...), "ES256"))
	set, err := source.Load(t.Context())
	if err != nil || set.Len() != n+1 {
		t.Fatalf("got %d keys, %v", set.Len(), err)
	}
	finds(t, source, "last", "ES256", last.Public())
	if text := keyset.DescribeIDs(set); !strings.HasSuffix(text, `"key-0007" and 2993 more`) {
		t.Errorf("described as %s", text)
	}
	too := fileWith(t, append(bytes.Repeat([]byte(" "), 1<<20), testkeys.Set(last)...), "ES256")
	if _, err := newEnv().mustOpen(t, too).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "it is larger than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestFindByKid(t *testing.T) {
	one, two, nameless := testkeys.New("ES256", "1"), testkeys.New("ES256", "2"), testkeys.New("ES256", "")
	twin := testkeys.New("ES256", "2")
	source := newEnv().mustOpen(t, fileWith(t, testkeys.Set(one, two, nameless, twin), "ES256"))
	cases := []struct {
		rule, kid string
		want      []any
	}{
		{"the one with that kid", "1", []any{one.Public()}},
		{"two under one kid", "2", []any{two.Public(), twin.Public()}},
		{"no kid in the token: all that fit (RFC 7515 §4.1.4)", "", []any{one.Public(), two.Public(), nameless.Public(), twin.Public()}},
		{"an unknown kid: those without (RFC 7517 §4.5)", "3", []any{nameless.Public()}},
		{"kid is compared whole", "1 ", []any{nameless.Public()}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			found, err := source.Find(t.Context(), c.kid, "ES256")
			if !slices.EqualFunc(found, c.want, same) || errors.Is(err, keyset.ErrUnknownKey) != (c.want == nil) {
				t.Errorf("got %v, %v", found, err)
			}
		})
	}
}

// TestTriesAreBounded: a token without kid can't ask for a signature check by every key of a large set.
func TestTriesAreBounded(t *testing.T) {
	jwk := testkeys.New("ES256", "").JWK()
	var entries []any
	for range 40 {
		entries = append(entries, jwk)
	}
	found, err := newEnv().mustOpen(t, fileWith(t, testkeys.Set(entries...), "ES256")).Find(t.Context(), "", "ES256")
	if len(found) != 16 || err != nil {
		t.Errorf("got %d keys, %v", len(found), err)
	}
}

func TestDescribeIDs(t *testing.T) {
	cases := []struct {
		rule string
		ids  []string
		want string
	}{
		{"one", []string{"a"}, `kid "a"`},
		{"each once", []string{"a", "b", "a"}, `kid "a", "b"`},
		{"no kid", []string{""}, "without kid"},
		{"no forged log lines", []string{"a\nb"}, `kid "a\nb"`},
		{"long ones are cut", []string{strings.Repeat("x", 100)}, `kid "` + strings.Repeat("x", 96) + `"… (100 bytes)`},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			var entries []any
			for _, id := range c.ids {
				entries = append(entries, testkeys.New("EdDSA", id))
			}
			set, err := newEnv().mustOpen(t, fileWith(t, testkeys.Set(entries...), "EdDSA")).Load(t.Context())
			if text := keyset.DescribeIDs(set); err != nil || text != c.want {
				t.Errorf("got %s, %v, want %s", text, err, c.want)
			}
		})
	}
}

const firebase = "it maps each kid to a certificate in PEM, as Google publishes them for its own libraries: the same keys as a JWK set are at " +
	"https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com (Firebase) and https://www.googleapis.com/oauth2/v3/certs (Google)"

// seed is the d of an Ed25519 JWK (RFC 8037 §2).
func seed(k testkeys.Key) []byte { return k.Private.(ed25519.PrivateKey).Seed() }

func base64URL(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// Providers publish encryption keys beside the others, which is no fault to warn of.
func TestAnEncryptionKeyIsPassedOverInSilence(t *testing.T) {
	e := newEnv()
	good := testkeys.New("ES256", "good")
	sealed := testkeys.New("RS256", "sealed").JWK()
	raw := testkeys.Set(good, sealed.With("use", "enc").With("alg", "RSA-OAEP"), sealed.With("use", "x509-svid"))
	set, err := e.mustOpen(t, fileWith(t, raw, "ES256", "RS256")).Load(t.Context())
	if err != nil || set.Len() != 1 || len(set.Skipped) != 0 {
		t.Errorf("got %d keys, skipped %q, %v", set.Len(), set.Skipped, err)
	}
	e.says(t)
}

// jsonNull stands for a member that is null.
var jsonNull = json.RawMessage("null")

// rawSet is testkeys.Set of two entries, of which the first may be JSON that Go would not write.
func rawSet(first any, second testkeys.Key) []byte {
	if raw, ok := first.(json.RawMessage); ok {
		set := testkeys.Set("first", second)
		return bytes.Replace(set, []byte(`"first"`), raw, 1)
	}
	return testkeys.Set(first, second)
}

// TestBesideKeysAnotherCaseIsAnotherMember: names of members are case-sensitive (RFC 8259 §8.3).
func TestBesideKeysAnotherCaseIsAnotherMember(t *testing.T) {
	key := testkeys.New("ES256", "k")
	raw := bytes.Replace(testkeys.Set(key), []byte(`]}`), []byte(`],"Keys":[],"KEYS":7}`), 1)
	finds(t, newEnv().mustOpen(t, fileWith(t, raw, "ES256")), "k", "ES256", key.Public())
}

// TestAByteOrderMarkIsPassedOver: RFC 8259 §8.1 lets a reader.
func TestAByteOrderMarkIsPassedOver(t *testing.T) {
	key := testkeys.New("ES256", "k")
	raw := append([]byte("\uFEFF"), testkeys.Set(key)...)
	finds(t, newEnv().mustOpen(t, fileWith(t, raw, "ES256")), "k", "ES256", key.Public())
}

// TestEd25519ByItsOwnName: RFC 9864 calls EdDSA over Ed25519 so. In the configuration and in tokens it is EdDSA by now.
func TestEd25519ByItsOwnName(t *testing.T) {
	key := testkeys.New("EdDSA", "k")
	for _, alg := range []any{nil, "EdDSA", "Ed25519"} {
		source := newEnv().mustOpen(t, fileWith(t, testkeys.Set(key.JWK().With("alg", alg)), "EdDSA"))
		finds(t, source, "k", "EdDSA", key.Public())
	}
}

// TestUnusableEntriesAreNamedUpToABound: what a provider sends, or whoever plays it, must not fill the log.
func TestUnusableEntriesAreNamedUpToABound(t *testing.T) {
	good := testkeys.New("ES256", "good")
	entries := []any{good}
	for range 300 {
		entries = append(entries, good.JWK().With("kid", strings.Repeat("\n", 200)).With("use", strings.Repeat("\x00", 200)))
	}
	e := newEnv()
	set, err := e.mustOpen(t, fileWith(t, testkeys.Set(entries...), "ES256")).Load(t.Context())
	if err != nil || set.Len() != 1 {
		t.Fatalf("got %d keys, %v", set.Len(), err)
	}
	lines := e.said()
	if len(lines) != 21 || len(set.Skipped) != 21 || !strings.HasSuffix(lines[20], "280 more entries of the set are not used") {
		t.Errorf("reported %d lines, the last %q; %d are skipped", len(lines), lines[len(lines)-1], len(set.Skipped))
	}
	for _, line := range lines {
		if len(line) > 1024 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
	all := newEnv().mustOpen(t, fileWith(t, testkeys.Set(entries[1:]...), "ES256"))
	if _, err := all.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "none of its 300 keys") || !strings.HasSuffix(err.Error(), "; and 297 more)") || len(err.Error()) > 4096 {
		t.Errorf("got %v", err)
	}
}

// TestSixteenKeysOfMoreAreTriedAndItIsSaid, once for a set.
func TestSixteenKeysOfMoreAreTriedAndItIsSaid(t *testing.T) {
	jwk := testkeys.New("ES256", "").JWK()
	entries := make([]any, 17)
	for i := range entries {
		entries[i] = jwk
	}
	e := newEnv()
	source := e.mustOpen(t, fileWith(t, testkeys.Set(entries...), "ES256"))
	for range 3 {
		if found, err := source.Find(t.Context(), "", "ES256"); len(found) != 16 || err != nil {
			t.Errorf("got %d keys, %v", len(found), err)
		}
	}
	e.says(t, "warning: "+source.String()+": only 16 of the 17 keys that fit a token were tried")
	few := e.mustOpen(t, fileWith(t, testkeys.Set(entries[:16]...), "ES256"))
	if found, err := few.Find(t.Context(), "", "ES256"); len(found) != 16 || err != nil {
		t.Errorf("got %d keys, %v", len(found), err)
	}
	e.says(t)
}
