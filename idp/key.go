package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// key is one signing key.
type key struct {
	id        string
	algorithm string
	private   crypto.Signer
}

// rsaBits is the least size that RFC 7518 §3.3 allows.
const rsaBits = 2048

// generators make a private key fit for an algorithm.
var generators = map[string]func() (crypto.Signer, error){
	"RS256": newRSA, "RS384": newRSA, "RS512": newRSA,
	"PS256": newRSA, "PS384": newRSA, "PS512": newRSA,
	"ES256": newECDSA(elliptic.P256()),
	"ES384": newECDSA(elliptic.P384()),
	"ES512": newECDSA(elliptic.P521()),
	"EdDSA": newEd25519,
}

func newRSA() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, rsaBits) }

func newECDSA(curve elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

func newEd25519() (crypto.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

// algorithms that the provider can sign with, sorted.
func algorithms() []string { return slices.Sorted(maps.Keys(generators)) }

func newKey(id, algorithm string) (key, error) {
	generate, ok := generators[algorithm]
	if !ok {
		return key{}, fmt.Errorf("idp: no key for algorithm %q, known are %v", algorithm, algorithms())
	}
	private, err := generate()
	if err != nil {
		return key{}, fmt.Errorf("idp: %w", err)
	}
	return key{id: id, algorithm: algorithm, private: private}, nil
}

// keyring holds the published keys.
type keyring struct {
	mu   sync.Mutex // guards keys
	keys []key      // never empty; the last one signs
}

func newKeyring(algorithm string) (*keyring, error) {
	first, err := newKey(rand.Text(), algorithm)
	if err != nil {
		return nil, err
	}
	return &keyring{keys: []key{first}}, nil
}

func (r *keyring) current() key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[len(r.keys)-1]
}

func (r *keyring) published() []key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys)
}

// rotate signs with a new key from now on, and returns its kid.
func (r *keyring) rotate() (kid string, err error) {
	next, err := newKey(rand.Text(), r.current().algorithm)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, next)
	return next.id, nil
}

func (r *keyring) dropOld() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = slices.Clone(r.keys[len(r.keys)-1:])
}

// signingKey and publicKey show a key to the library.
type (
	signingKey struct{ key }
	publicKey  struct{ key }
)

var (
	_ op.SigningKey = signingKey{}
	_ op.Key        = publicKey{}
)

func (k signingKey) ID() string { return k.id }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm {
	return jose.SignatureAlgorithm(k.algorithm)
}
func (k signingKey) Key() any                          { return k.private }
func (k publicKey) ID() string                         { return k.id }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.SignatureAlgorithm(k.algorithm) }
func (k publicKey) Use() string                        { return oidc.KeyUseSignature }
func (k publicKey) Key() any                           { return k.private.Public() }
