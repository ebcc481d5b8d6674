// Package testkeys makes the keys, key sets and tokens of the tests. It takes no shortcut through the libraries that the
// plugin reads them with, so that a shared misreading of the standards shows.
package testkeys

import (
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
	"math/big"
)

// Key signs tokens.
type Key struct {
	// ID becomes the kid of tokens and of the JWK; empty: none.
	ID string
	// Alg becomes the alg of tokens and of the JWK.
	Alg string
	// Private is *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey, or []byte for HMAC.
	Private any
}

// New makes a key that fits alg, of 2048 bits for RSA and as long as the hash for HMAC.
func New(alg, id string) Key {
	k := Key{ID: id, Alg: alg}
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		k.Private = RSA(2048)
	case "ES256":
		k.Private = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case "ES384":
		k.Private = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case "ES512":
		k.Private = must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		k.Private = must(private, err)
	case "HS256", "HS384", "HS512":
		secret := make([]byte, hashOf(alg).Size())
		must(rand.Read(secret))
		k.Private = secret
	default:
		panic("no such algorithm: " + alg)
	}
	return k
}

// RSA makes a private key with a modulus of so many bits.
func RSA(bits int) *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, bits)) }

// As is the same key under another algorithm.
func (k Key) As(alg string) Key {
	k.Alg = alg
	return k
}

// Public is the public key, or the secret of HMAC.
func (k Key) Public() any {
	if signer, ok := k.Private.(crypto.Signer); ok {
		return signer.Public()
	}
	return k.Private
}

// PEM is the public key in its PKIX form (RFC 7468 §13).
func (k Key) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(k.Public()))}))
}

// JWK is a JSON object of a JWK (RFC 7517 §4), open to changes by the test.
type JWK map[string]any

// JWK is the public key, or the secret of HMAC, with its alg and kid, for use "sig".
func (k Key) JWK() JWK {
	jwk := JWK{"alg": k.Alg, "use": "sig"}
	if k.ID != "" {
		jwk["kid"] = k.ID
	}
	switch public := k.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point := must(public.Bytes())[1:] // after the mark of the uncompressed form: x and y, each of full length
		jwk["kty"], jwk["crv"] = "EC", public.Curve.Params().Name
		jwk["x"], jwk["y"] = encode(point[:len(point)/2]), encode(point[len(point)/2:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(public)
	case []byte:
		jwk["kty"], jwk["k"] = "oct", encode(public)
	default:
		panic(fmt.Sprintf("no JWK for %T", public))
	}
	return jwk
}

// With is the JWK with a member set, or removed where value is nil.
func (j JWK) With(member string, value any) JWK {
	changed := JWK{member: value}
	for name, v := range j {
		if name != member {
			changed[name] = v
		}
	}
	if value == nil {
		delete(changed, member)
	}
	return changed
}

// Set is a JWK set (RFC 7517 §5) of the given entries: a Key, a JWK, or anything else that JSON knows.
func Set(entries ...any) []byte {
	keys := make([]any, len(entries))
	for i, entry := range entries {
		if k, ok := entry.(Key); ok {
			entry = k.JWK()
		}
		keys[i] = entry
	}
	return must(json.Marshal(map[string]any{"keys": keys}))
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
