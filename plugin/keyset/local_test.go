package keyset_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
)

// TestLocal: what may stand under $.options.modes.local.
func TestLocal(t *testing.T) {
	rsaKey, weak := testkeys.New("RS256", ""), testkeys.Key{Alg: "RS256", Private: testkeys.RSA(1024)}
	p256, p384, ed := testkeys.New("ES256", ""), testkeys.New("ES384", ""), testkeys.New("EdDSA", "")
	rsaPrivate, ecPrivate := rsaKey.Private.(*rsa.PrivateKey), p256.Private.(*ecdsa.PrivateKey)
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(k testkeys.Key) string {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now()}
		return armour("CERTIFICATE", der(t)(x509.CreateCertificate(rand.Reader, template, template, k.Public(), k.Private)))
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now(), Subject: pkix.Name{CommonName: "CA"}}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now(), Subject: pkix.Name{CommonName: "realm"}}
	issuing := testkeys.New("RS256", "")
	chain := armour("CERTIFICATE", der(t)(x509.CreateCertificate(rand.Reader, leaf, authority, rsaKey.Public(), issuing.Private))) +
		armour("CERTIFICATE", der(t)(x509.CreateCertificate(rand.Reader, authority, authority, issuing.Public(), issuing.Private)))
	var (
		pkcs1   = armour("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaPrivate.PublicKey))
		pkcs8   = armour("PRIVATE KEY", der(t)(x509.MarshalPKCS8PrivateKey(rsaPrivate)))
		pkcs1p  = armour("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaPrivate))
		sec1p   = armour("EC PRIVATE KEY", der(t)(x509.MarshalECPrivateKey(ecPrivate)))
		edp     = armour("PRIVATE KEY", der(t)(x509.MarshalPKCS8PrivateKey(ed.Private)))
		rawPKIX = string(der(t)(x509.MarshalPKIXPublicKey(rsaKey.Public())))
	)
	const (
		secret     = "a marked secret of forty bytes, it seems"
		noPEM      = "$.options.modes.local: must be a public key in PEM (-----BEGIN PUBLIC KEY-----, RSA PUBLIC KEY or CERTIFICATE) for "
		unreadable = "$.options.modes.local: the key can't be used: it can't be read as a public key or certificate"
		noLines    = "$.options.modes.local: the key can't be used: its lines can't be read as PEM"
		private    = "holds a private key; only its public part is needed here"
	)
	cases := []struct {
		rule, alg, value string
		weak             bool
		want             any    // the key; nil: refused
		text             string // of the refusal, or of the warning
	}{
		{"PKIX, RSA", "RS256", rsaKey.PEM(), false, rsaKey.Public(), ""},
		{"PKIX, P-256", "ES256", p256.PEM(), false, p256.Public(), ""},
		{"PKIX, Ed25519", "EdDSA", ed.PEM(), false, ed.Public(), ""},
		{"PKCS #1", "PS384", pkcs1, false, rsaKey.Public(), ""},
		{"certificate, RSA", "RS256", certificate(rsaKey), false, rsaKey.Public(), ""},
		{"certificate, P-256", "ES256", certificate(p256), false, p256.Public(), ""},
		{"certificate, Ed25519", "EdDSA", certificate(ed), false, ed.Public(), ""},
		{"certificate chain: who issued the first is not a key", "RS256", chain, false, rsaKey.Public(), "info: $.options.modes.local: certificate number 2 of the PEM issued the one before it, and is not taken for a key"},
		{"parameters before a key", "ES256", armour("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + sec1p, false, p256.Public(), private},
		{"text around it", "ES256", "# key of the realm\n" + p256.PEM() + "\nthe end\n", false, p256.Public(), ""},
		{"line ends of Windows", "ES256", strings.ReplaceAll(p256.PEM(), "\n", "\r\n"), false, p256.Public(), ""},
		{"PKCS #8 private key, warned", "RS256", pkcs8, false, rsaKey.Public(), private},
		{"PKCS #1 private key, warned", "RS256", pkcs1p, false, rsaKey.Public(), private},
		{"SEC 1 private key, warned", "ES256", sec1p, false, p256.Public(), private},
		{"Ed25519 private key, warned", "EdDSA", edp, false, ed.Public(), private},
		{"no PEM", "RS256", secret, false, nil, noPEM + "RS256"},
		{"DER", "RS256", rawPKIX, false, nil, noPEM + "RS256"},
		{"base64 without its lines", "RS256", base64.StdEncoding.EncodeToString([]byte(rawPKIX)), false, nil, noPEM},
		{"OpenSSH's form", "EdDSA", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI broker", false, nil, noPEM + "EdDSA"},
		{"PEM of garbage", "RS256", armour("PUBLIC KEY", []byte(secret)), false, nil, unreadable},
		{"PEM of another thing", "RS256", armour("CERTIFICATE REQUEST", []byte(secret)), false, nil, unreadable},
		{"PEM cut short", "RS256", rsaKey.PEM()[:100], false, nil, noLines},
		{"PEM with its line breaks lost", "RS256", strings.ReplaceAll(rsaKey.PEM(), "\n", " "), false, nil, noLines},
		{"encrypted private key", "RS256", armour("ENCRYPTED PRIVATE KEY", []byte(secret)), false, nil, unreadable},
		{"an RSA key for ES256", "ES256", rsaKey.PEM(), false, nil, "$.options.modes.local: the key can't be used: it is an RSA key, which does not fit ES256"},
		{"P-384 for ES256", "ES256", p384.PEM(), false, nil, "it is a key on P-384, which does not fit ES256"},
		{"X25519", "EdDSA", armour("PUBLIC KEY", der(t)(x509.MarshalPKIXPublicKey(x25519.PublicKey()))), false, nil, "$.options.modes.local: "},
		{"RSA of 1024 bits", "RS256", weak.PEM(), false, nil, "its modulus has 1024 bits, the least is 2048; $.options.common.allowWeakKeys admits it"},
		{"RSA of 1024 bits, weak keys allowed, warned", "RS256", weak.PEM(), true, weak.Public(), "weak key admitted by $.options.common.allowWeakKeys: its modulus has 1024 bits"},
		{"a secret", "HS256", secret, false, []byte(secret), ""},
		{"every byte of the secret counts", "HS256", " " + secret + "\n", false, []byte(" " + secret + "\n"), ""},
		{"a secret of bytes", "HS256", strings.Repeat("\x00\xff", 16), false, []byte(strings.Repeat("\x00\xff", 16)), ""},
		{"a short secret", "HS256", secret[:31], false, nil, "the secret has 31 bytes, HS256 needs 32; $.options.common.allowWeakKeys admits it"},
		{"a secret too short for HS512", "HS512", secret, false, nil, "the secret has 40 bytes, HS512 needs 64"},
		{"a short secret, weak keys allowed, warned", "HS256", secret[:8], true, []byte(secret[:8]), "weak key admitted by $.options.common.allowWeakKeys: the secret has 8 bytes, HS256 needs 32"},
		{"no secret at all, weak keys allowed", "HS256", "", true, nil, "the secret is empty"},
		{"a public key for a secret (RFC 8725 §2.1)", "HS256", rsaKey.PEM(), false, nil, "$.options.modes.local: holds a key in PEM, but HS256 needs a shared secret"},
		{"nor with weak keys allowed", "HS256", pkcs1, true, nil, "holds a key in PEM"},
		{"nor a certificate", "HS512", certificate(rsaKey), false, nil, "holds a key in PEM"},
		{"nor a private key", "HS256", sec1p, false, nil, "holds a key in PEM"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			e := newEnv()
			cfg := &config.Provider{Mode: config.ModeLocal, Algorithms: []string{c.alg}, Local: config.NewSecret(c.value)}
			cfg.Common.AllowWeakKeys = c.weak
			source, err := e.open(t, cfg)
			if c.want == nil {
				if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "marked") {
					t.Errorf("got %v, want %s", err, c.text)
				}
				e.says(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.text == "" {
				e.says(t)
			} else {
				e.says(t, c.text)
			}
			set, err := source.Load(t.Context())
			if err != nil || set.Len() != 1 || source.String() != "jwt.json" {
				t.Errorf("got %d keys from %s, %v", set.Len(), source, err)
			}
			// A single key has no name of its own, so it serves every kid.
			finds(t, source, "", c.alg, c.want)
			finds(t, source, "any", c.alg, c.want)
			if found, err := source.Find(t.Context(), "", "none"); !errors.Is(err, keyset.ErrUnknownKey) {
				t.Errorf("got %v, %v", found, err)
			}
		})
	}
}

// TestSeveralLocalKeys: all that a PEM holds are tried, as none has a name, and what can't be used is named.
func TestSeveralLocalKeys(t *testing.T) {
	one, two, rsaKey := testkeys.New("ES256", ""), testkeys.New("ES256", ""), testkeys.New("RS256", "")
	expired := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now()}
	certificate := armour("CERTIFICATE", der(t)(x509.CreateCertificate(rand.Reader, expired, expired, two.Public(), two.Private)))
	const at = "$.options.modes.local: "
	for _, c := range []struct {
		rule, value string
		want        []any
		says        []string
	}{
		{"two keys", one.PEM() + two.PEM(), []any{one.Public(), two.Public()}, nil},
		{"a key and a certificate", one.PEM() + certificate, []any{one.Public(), two.Public()}, nil},
		{"two certificates of one name", certificate + certificate, []any{two.Public(), two.Public()}, nil},
		{
			"one that does not fit", rsaKey.PEM() + two.PEM(),
			[]any{two.Public()},
			[]string{"warning: " + at + "key number 1 of the PEM is not used: it is an RSA key, which does not fit ES256"},
		},
		{
			"one that can't be read", one.PEM() + armour("PUBLIC KEY", []byte("garbage")),
			[]any{one.Public()},
			[]string{"warning: " + at + "key number 2 of the PEM is not used: it can't be read as a public key or certificate"},
		},
		{
			"one cut short", one.PEM() + two.PEM()[:60],
			[]any{one.Public()},
			[]string{"warning: " + at + "key number 2 of the PEM is not used: its lines can't be read as PEM"},
		},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := newEnv()
			cfg := &config.Provider{Mode: config.ModeLocal, Algorithms: []string{"ES256"}, Local: config.NewSecret(c.value)}
			source := e.mustOpen(t, cfg)
			e.says(t, c.says...)
			finds(t, source, "", "ES256", c.want...)
			finds(t, source, "any", "ES256", c.want...)
		})
	}
	cfg := &config.Provider{Mode: config.ModeLocal, Algorithms: []string{"ES256"}, Local: config.NewSecret(rsaKey.PEM() + armour("PUBLIC KEY", []byte("garbage")))}
	e := newEnv()
	if _, err := e.open(t, cfg); err == nil || !strings.HasSuffix(err.Error(), at+"none of its 2 keys can be used with ES256 "+
		"(key number 1 of the PEM is not used: it is an RSA key, which does not fit ES256; key number 2 of the PEM is not used: it can't be read as a public key or certificate)") {
		t.Errorf("got %v", err)
	}
	e.says(t)
}

// TestLocalForSeveralAlgorithms: a secret long enough for one of them serves that one.
func TestLocalForSeveralAlgorithms(t *testing.T) {
	secret := strings.Repeat("x", 48)
	cfg := &config.Provider{Mode: config.ModeLocal, Algorithms: []string{"HS256", "HS384", "HS512"}, Local: config.NewSecret(secret)}
	source := newEnv().mustOpen(t, cfg)
	finds(t, source, "", "HS256", []byte(secret))
	finds(t, source, "", "HS384", []byte(secret))
	if _, err := source.Find(t.Context(), "", "HS512"); !errors.Is(err, keyset.ErrUnknownKey) {
		t.Errorf("got %v", err)
	}
}

func armour(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

func der(t *testing.T) func([]byte, error) []byte {
	return func(raw []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
}
