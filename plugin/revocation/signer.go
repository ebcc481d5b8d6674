package revocation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/plugin/config"
)

// assertionType is the client_assertion_type of a JWT (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionLife is how long a client assertion is valid. It is used once, so that this only has to cover the difference between two
// clocks.
const assertionLife = time.Minute

// signer makes the JWTs by which a client authenticates with its private key (RFC 7523 §2.2, §3).
type signer struct {
	clientID, keyID string
	method          jwt.SigningMethod
	key             crypto.Signer
	// path is where the provider stands in jwt.json.
	path config.Path
}

// at is where the key stands in jwt.json.
func (s signer) at() string { return s.path.Key("options.revocation.introspection.clientKey") }

func newSigner(cfg config.Introspection, path config.Path) (signer, error) {
	s := signer{clientID: cfg.ClientID, keyID: cfg.ClientKeyID, path: path}
	key, err := privateKey([]byte(cfg.ClientKey.Reveal()))
	if err != nil {
		return signer{}, fmt.Errorf("%s: %w", s.at(), err)
	}
	if s.method = methodOf(key); s.method == nil {
		return signer{}, fmt.Errorf("%s: must be a private key of RSA, of P-256, P-384 or P-521, or of Ed25519", s.at())
	}
	s.key = key
	return s, nil
}

// privateKey reads the first private key of a PEM: PKCS #8, PKCS #1 or SEC 1. Errors hold nothing of it.
func privateKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("must be a private key that is not encrypted")
		default: // openssl puts EC PARAMETERS before the key
			continue
		}
		if signer, ok := key.(crypto.Signer); err == nil && ok {
			return signer, nil
		}
		return nil, errors.New("the PEM can't be read as a private key, or is encrypted")
	}
	return nil, errors.New("must be a private key in PEM (-----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY)")
}

// methodOf is the algorithm for a key (RFC 7518 §3.1, RFC 8037); nil if there is none.
func methodOf(key crypto.Signer) jwt.SigningMethod {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return jwt.SigningMethodRS256
	case ed25519.PrivateKey:
		return jwt.SigningMethodEdDSA
	case *ecdsa.PrivateKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return jwt.SigningMethodES256
		case 384:
			return jwt.SigningMethodES384
		case 521:
			return jwt.SigningMethodES512
		}
	}
	return nil
}

// assertion is a JWT for one request (RFC 7523 §3).
func (s signer) assertion(audience string, now time.Time) (string, error) {
	token := jwt.NewWithClaims(s.method, jwt.MapClaims{
		"iss": s.clientID, "sub": s.clientID, "aud": audience,
		"jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if s.keyID != "" {
		token.Header["kid"] = s.keyID
	}
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("no client assertion could be signed (%s): %w", s.at(), err)
	}
	return signed, nil
}
