package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"

	"github.com/golang-jwt/jwt/v5"
)

// methodsOf finds what verifies each algorithm. There is none for "none" and for unknown names.
func methodsOf(algorithms []string) map[string]jwt.SigningMethod {
	methods := map[string]jwt.SigningMethod{}
	for _, algorithm := range algorithms {
		if method := methodOf(algorithm); method != nil {
			methods[algorithm] = method
		}
	}
	return methods
}

// methodOf knows the algorithms of RFC 7518 §3.1 but "none", and RFC 8037 §3.1.
func methodOf(algorithm string) jwt.SigningMethod {
	switch algorithm {
	case "HS256":
		return jwt.SigningMethodHS256
	case "HS384":
		return jwt.SigningMethodHS384
	case "HS512":
		return jwt.SigningMethodHS512
	case "RS256":
		return jwt.SigningMethodRS256
	case "RS384":
		return jwt.SigningMethodRS384
	case "RS512":
		return jwt.SigningMethodRS512
	case "PS256":
		return saltedByHash(jwt.SigningMethodPS256)
	case "PS384":
		return saltedByHash(jwt.SigningMethodPS384)
	case "PS512":
		return saltedByHash(jwt.SigningMethodPS512)
	case "ES256":
		return sideBySide{jwt.SigningMethodES256}
	case "ES384":
		return sideBySide{jwt.SigningMethodES384}
	case "ES512":
		return sideBySide{jwt.SigningMethodES512}
	case "EdDSA":
		return jwt.SigningMethodEdDSA
	default:
		return nil
	}
}

// saltedByHash wants a salt as long as the hash (RFC 7518 §3.5), while the library's own methods verify any.
func saltedByHash(method *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: method.SigningMethodRSA,
		Options:          &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
	}
}

// sideBySide verifies a signature by ECDSA as tokens have it: r and s, each as long as the curve's numbers (RFC 7518 §3.4). The
// library's own methods do the same, by way of numbers, which takes 12 allocations more.
type sideBySide struct{ *jwt.SigningMethodECDSA }

// Verify implements jwt.SigningMethod.
func (m sideBySide) Verify(signed string, signature []byte, key any) error {
	public, is := key.(*ecdsa.PublicKey)
	if !is {
		return jwt.ErrInvalidKeyType
	}
	if len(signature) != 2*m.KeySize {
		return jwt.ErrECDSAVerification
	}
	h := m.Hash.New()
	h.Write([]byte(signed))
	if !ecdsa.VerifyASN1(public, h.Sum(nil), inDER(signature)) {
		return jwt.ErrECDSAVerification
	}
	return nil
}

// inDER is such a signature as a SEQUENCE of two INTEGERs (RFC 3279 §2.2.3), of at most 138 bytes.
func inDER(signature []byte) []byte {
	const shortForm = 0x80 // of lengths below
	der := make([]byte, 3, len(signature)+9)
	der = appendInteger(der, signature[:len(signature)/2])
	der = appendInteger(der, signature[len(signature)/2:])
	length := octet(len(der) - 3)
	if length < shortForm {
		der[1], der[2] = 0x30, length
		return der[1:]
	}
	der[0], der[1], der[2] = 0x30, 0x81, length
	return der
}

// appendInteger appends a number that is not negative: with a zero before it if it would look so, or has no digit.
func appendInteger(der, number []byte) []byte {
	number = bytes.TrimLeft(number, "\x00")
	if len(number) > 0 && number[0] < 0x80 {
		return append(append(der, 2, octet(len(number))), number...)
	}
	return append(append(der, 2, octet(1+len(number)), 0), number...)
}

func octet(length int) byte { return byte(length) } //nolint:gosec // of signatures as long as their curve has them
