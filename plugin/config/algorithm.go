package config

import (
	"slices"
	"strings"
)

// ed25519 is the name that RFC 9864 §2.2 gives to EdDSA over Ed25519, the only EdDSA here: a file may name it either way.
const ed25519, edDSA = "Ed25519", "EdDSA"

// algorithms are all that a file may name (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2).
func algorithms() []string {
	return []string{
		"HS256", "HS384", "HS512",
		"RS256", "RS384", "RS512",
		"PS256", "PS384", "PS512",
		"ES256", "ES384", "ES512",
		edDSA, ed25519,
	}
}

// symmetric algorithms share one secret between signer and verifier (RFC 7518 §3.2).
func symmetric(algorithm string) bool { return strings.HasPrefix(algorithm, "HS") }

func algorithm(d *document, n *node) (string, bool) {
	s, _ := n.Value.(string)
	known := algorithms()
	switch {
	case s == ed25519:
		return edDSA, true
	case slices.Contains(known, s):
		return s, true
	case strings.EqualFold(s, "none"):
		d.errorf(n, "must not be %q: tokens without a signature are never accepted (RFC 8725 §3.2)", s)
	default:
		d.errorf(n, "must be %s, found %s%s", alternatives(known), n.Found(), didYouMean(s, known...))
	}
	return "", false
}
