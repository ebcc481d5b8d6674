package keyset

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// key is one usable verification key.
type key struct {
	id string
	// public is *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, or []byte for HMAC.
	public any
	// algorithms are those of the configuration that this key may verify.
	algorithms []string
}

// Bounds of RSA moduli in bits: RFC 7518 §3.3 sets the lower one, crypto/rsa that of weak keys; above the upper one a
// check costs too much.
const (
	weakRSABits = 1024
	minRSABits  = 2048
	maxRSABits  = 16384
)

// parseSet reads a JWK Set (RFC 7517 §5). An entry that can't be used is skipped and named, and never breaks the rest.
func parseSet(raw []byte, accept acceptance) (Set, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return Set{}, fmt.Errorf("this is no JWK set: %w", err)
	}
	if doc.Keys == nil {
		return Set{}, errors.New(`this is no JWK set: it has no "keys" array`)
	}
	var set Set
	for i, entry := range doc.Keys {
		k, err := parseEntry(entry, accept)
		if errors.Is(err, errForEncryption) {
			continue // usual in a set, and no fault
		}
		if err != nil {
			set.Skipped = append(set.Skipped, fmt.Sprintf("key %s of the set is not used: %s", nameEntry(i, entry), err))
			continue
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		return set, fmt.Errorf("none of its %d keys can be used with %s%s",
			len(doc.Keys), strings.Join(accept.algorithms, ", "), joinReasons(set.Skipped))
	}
	return set, nil
}

func joinReasons(skipped []string) string {
	const shown = 3
	switch {
	case len(skipped) == 0:
		return ""
	case len(skipped) > shown:
		return fmt.Sprintf(" (%s; and %d more)", strings.Join(skipped[:shown], "; "), len(skipped)-shown)
	default:
		return " (" + strings.Join(skipped, "; ") + ")"
	}
}

func nameEntry(i int, entry json.RawMessage) string {
	var named struct {
		KeyID string `json:"kid"`
	}
	if json.Unmarshal(entry, &named) == nil && named.KeyID != "" {
		return fmt.Sprintf("%.64q", named.KeyID)
	}
	return fmt.Sprintf("number %d", i+1)
}

// errForEncryption is a key that is not meant to verify signatures.
var errForEncryption = errors.New("it is for encryption")

func parseEntry(entry json.RawMessage, accept acceptance) (key, error) {
	parsed, err := jwk.ParseKey(entry)
	if err != nil {
		return key{}, errors.New("it can't be read (unknown kty or crv, or a broken value)")
	}
	// RFC 7517 §4.2, §4.3: a key made for encryption must not verify.
	if parsed.KeyUsage() == string(jwk.ForEncryption) {
		return key{}, errForEncryption
	}
	if use := parsed.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return key{}, fmt.Errorf(`its use is %.32q, expected "sig"`, use)
	}
	if ops := parsed.KeyOps(); len(ops) > 0 && !slices.Contains(ops, jwk.KeyOpVerify) {
		return key{}, fmt.Errorf(`its key_ops are %.64q, expected "verify" among them`, ops)
	}
	var alg string
	if a := parsed.Algorithm(); a != nil {
		alg = a.String()
	}
	public := parsed
	if parsed.KeyType() != jwa.OctetSeq {
		if public, err = jwk.PublicKeyOf(parsed); err != nil {
			return key{}, errors.New("its public part can't be read")
		}
	}
	var material any
	if err := public.Raw(&material); err != nil {
		return key{}, errors.New("its crv is not known, or its values are no valid key")
	}
	return newKey(parsed.KeyID(), alg, material, accept)
}

// newKey decides which of the configured algorithms the key may verify: those that fit its type and curve, its size,
// and the alg it names (RFC 7517 §4.4). alg is empty where it names none.
func newKey(id, alg string, material any, accept acceptance) (key, error) {
	fitting, kind, err := fit(material)
	if err != nil {
		return key{}, err
	}
	k := key{id: id, public: material}
	var weakness error
	for _, a := range accept.algorithms {
		if !slices.Contains(fitting, a) || (alg != "" && alg != a) {
			continue
		}
		if err := checkStrength(material, a); err != nil && !accept.weak {
			weakness = fmt.Errorf("%w; $.options.common.allowWeakKeys admits it", err)
			continue
		}
		k.algorithms = append(k.algorithms, a)
	}
	switch {
	case len(k.algorithms) > 0:
		return k, nil
	case weakness != nil:
		return key{}, weakness
	case alg != "":
		return key{}, fmt.Errorf("it is %s for %.32q, expected %s", kind, alg, strings.Join(accept.algorithms, ", "))
	default:
		return key{}, fmt.Errorf("it is %s, which does not fit %s", kind, strings.Join(accept.algorithms, ", "))
	}
}

// fit names the algorithms that RFC 7518 §3.1 and RFC 8037 §3.1 allow with this type of key.
func fit(material any) (algorithms []string, kind string, err error) {
	switch k := material.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits > maxRSABits:
			return nil, "", fmt.Errorf("its modulus has %d bits, the most is %d", bits, maxRSABits)
		case bits < weakRSABits:
			return nil, "", fmt.Errorf("its modulus has %d bits, the least is %d, and %d with $.options.common.allowWeakKeys", bits, minRSABits, weakRSABits)
		}
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, "an RSA key", nil
	case *ecdsa.PublicKey:
		// A point off the curve could leak or forge; ECDH refuses it.
		if _, err := k.ECDH(); err != nil {
			return nil, "", errors.New("its point is not on the curve")
		}
		name := k.Curve.Params().Name
		return map[string][]string{"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}}[name], "a key on " + name, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, "", fmt.Errorf("its x has %d bytes, expected %d", len(k), ed25519.PublicKeySize)
		}
		return []string{"EdDSA"}, "an Ed25519 key", nil
	case []byte:
		if len(k) == 0 {
			return nil, "", errors.New("the secret is empty")
		}
		return []string{"HS256", "HS384", "HS512"}, "a symmetric key", nil
	default:
		return nil, "", fmt.Errorf("keys of its type (%T) don't verify signatures", material)
	}
}

// checkStrength holds the lower bounds of RFC 7518 §3.2 (a secret as long as the hash) and §3.3 (2048 bits of RSA).
func checkStrength(material any, alg string) error {
	switch k := material.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits {
			return fmt.Errorf("its modulus has %d bits, the least is %d", bits, minRSABits)
		}
	case []byte:
		if least := map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}[alg]; len(k) < least {
			return fmt.Errorf("the secret has %d bytes, %s needs %d", len(k), alg, least)
		}
	}
	return nil
}

// size is the size of a key in bits.
func size(material any) int {
	switch k := material.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen()
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize
	case ed25519.PublicKey:
		return 8 * len(k)
	case []byte:
		return 8 * len(k)
	default:
		return 0
	}
}
