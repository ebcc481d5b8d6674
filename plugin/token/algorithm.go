package token

import (
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
		return jwt.SigningMethodES256
	case "ES384":
		return jwt.SigningMethodES384
	case "ES512":
		return jwt.SigningMethodES512
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
