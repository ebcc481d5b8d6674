package main

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// The algorithms that are measured.
const (
	rs256 = "RS256"
	es256 = "ES256"
	eddsa = "EdDSA"
)

// How many different tokens of each algorithm there are for the logins of one trial, which ends when they are used up.
const (
	manyTokens  = 16_000
	quickTokens = 4_000
)

// farOff is the end of all tokens that are not made for their end.
var farOff = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// keys sign tokens. Keys and tokens are kept in build/bench from one run to the next, since to sign a token takes longer than to
// check it.
type keys struct {
	byAlg  map[string]signer
	tokens map[string][]string // by algorithm, all different
	jwks   string              // the public halves
}

// signer is a private key under a kid.
type signer struct {
	alg, kid string
	private  crypto.Signer
}

// tokenEdition changes with what claims and sign make, so that tokens of before are not used.
const tokenEdition = 1

// loadKeys reads the keys and tokens of dir, and makes what is missing.
func loadKeys(dir string, quick bool) (*keys, error) {
	k := &keys{byAlg: map[string]signer{}, tokens: map[string][]string{}}
	var public jose.JSONWebKeySet
	count := manyTokens
	if quick {
		count = quickTokens
	}
	for _, alg := range []string{rs256, es256, eddsa} {
		s, err := loadSigner(filepath.Join(dir, alg+".pem"), alg)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		k.byAlg[alg] = s
		public.Keys = append(public.Keys, jose.JSONWebKey{Key: s.private.Public(), KeyID: s.kid, Algorithm: alg, Use: "sig"})
		path := filepath.Join(dir, fmt.Sprintf("%s-%s-%d-%d.tokens", alg, s.kid[:8], tokenEdition, count))
		if k.tokens[alg], err = loadTokens(path, s, count); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
	}
	text, err := json.Marshal(public)
	k.jwks = string(text)
	return k, err
}

// loadSigner reads a private key, or makes it.
func loadSigner(path, alg string) (signer, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		text, err = newPrivateKey(alg)
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
	}
	if err != nil {
		return signer{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return signer{}, fmt.Errorf("%s is not PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return signer{}, fmt.Errorf("%s: %w", path, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return signer{}, fmt.Errorf("%s: a %T does not sign", path, parsed)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	return signer{alg: alg, kid: base64.RawURLEncoding.EncodeToString(thumbprint), private: private}, err
}

func newPrivateKey(alg string) ([]byte, error) {
	var key any
	var err error
	switch alg {
	case rs256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case es256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// loadTokens reads as many tokens, or makes them on all processors.
func loadTokens(path string, s signer, count int) ([]string, error) {
	if text, err := os.ReadFile(path); err == nil {
		return strings.Fields(string(text)), nil
	}
	all := make([]string, count)
	var signing sync.WaitGroup
	for w := range runtime.NumCPU() {
		signing.Go(func() {
			for i := w; i < count; i += runtime.NumCPU() {
				all[i] = s.sign(i, farOff)
			}
		})
	}
	signing.Wait()
	file, err := os.CreateTemp(filepath.Dir(path), "tokens")
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // Flush has told
	w := bufio.NewWriter(file)
	for _, t := range all {
		fmt.Fprintln(w, t)
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return all, os.Rename(file.Name(), path)
}

// claims are about as many as an access token of Keycloak has for a user with a few roles: with RS256 the token has 1.7 kB.
func claims(number int, end time.Time) jwt.MapClaims {
	roles := []string{"offline_access", "uma_authorization", "default-roles-factory", "line-operator", "telemetry-writer", "telemetry-reader"}
	return jwt.MapClaims{
		"iss":                issuer,
		"sub":                fmt.Sprintf("7f2b1c9e-4d5a-4e0f-9a61-%012d", number),
		"aud":                []string{audience, "account"},
		"exp":                end.Unix(),
		"iat":                1_760_000_000,
		"auth_time":          1_760_000_000,
		"jti":                fmt.Sprintf("onrtac:3f8e2d71-96c4-4b1d-8a0e-%012d", number),
		"typ":                "Bearer",
		"azp":                "sensor-gateway",
		"sid":                fmt.Sprintf("b1d0c5aa-0e77-4f5c-b3a9-%012d", number),
		"acr":                "1",
		"scope":              "openid profile email telemetry:read telemetry:write",
		"allowed-origins":    []string{"https://dashboard.example", "https://admin.example"},
		"realm_access":       object{"roles": roles},
		"resource_access":    object{"account": object{"roles": []string{"manage-account", "manage-account-links", "view-profile"}}},
		"email_verified":     true,
		"preferred_username": fmt.Sprintf("sensor-%d", number),
		"email":              fmt.Sprintf("sensor-%d@factory.example", number),
		"name":               "Line 4, Hall 2, Temperature",
	}
}

// sign makes a token. It panics if the claims can't be signed, which is a mistake here.
func (s signer) sign(number int, end time.Time) string { return s.signClaims(claims(number, end)) }

func (s signer) signClaims(own jwt.MapClaims) string {
	t := jwt.NewWithClaims(jwt.GetSigningMethod(s.alg), own)
	t.Header["kid"] = s.kid
	text, err := t.SignedString(s.private)
	if err != nil {
		panic(fmt.Sprintf("bench: %v", err))
	}
	return text
}

// forged is a token with the signature of another.
func forged(token, other string) string {
	return token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
}

// longHeader is a token of which nearly all is header, 16 kB of it.
func longHeader() string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","x":"`+strings.Repeat("x", 12_200)+`"}`)) + "." + encode([]byte("{}")) + "." + encode([]byte("x"))
}
