package keyset

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// key is one verification key.
type key struct {
	// id is its kid, alg the one algorithm that it is for (RFC 7517 §4.4); empty if it names none.
	id, alg string
	// public is *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, or []byte for HMAC.
	public any
	// alone is public, as what Find returns if nothing else fits.
	alone []any
	// kind is its type in words: "an RSA key".
	kind string
	// fitting are the algorithms that its type allows, algorithms those of them and of the configuration that it may verify.
	fitting, algorithms []string
}

// Bounds of RSA keys in bits: RFC 7518 §3.3 sets the lower one of moduli, crypto/rsa that of weak keys and the one of
// exponents; a modulus above the upper one costs too much to check.
const (
	weakRSABits = 1024
	minRSABits  = 2048
	maxRSABits  = 16384
	maxRSAEBits = 31
)

// maxNamed is of how many unusable keys it is said why. Those beyond are counted.
const maxNamed = 20

// unused collects why keys are not used.
type unused struct {
	named []string
	count int
}

func (u *unused) add(name func() string, reason error) {
	u.count++
	if u.count <= maxNamed {
		u.named = append(u.named, fmt.Sprintf("key %s is not used: %s", name(), reason))
	}
}

// lines are the reasons for the log, each bounded.
func (u *unused) lines() []string {
	if more := u.count - len(u.named); more > 0 {
		return append(slices.Clip(u.named), fmt.Sprintf("%d more entries of the set are not used", more))
	}
	return u.named
}

// none is the error for a set of so many keys, none of which can be used.
func (u *unused) none(keys int, accept acceptance) error {
	const shown = 3
	reasons := strings.Join(u.named[:min(len(u.named), shown)], "; ")
	if u.count > shown {
		reasons += fmt.Sprintf("; and %d more", u.count-shown)
	}
	if reasons != "" {
		reasons = " (" + reasons + ")"
	}
	return fmt.Errorf("none of its %d keys can be used with %s%s", keys, strings.Join(accept.algorithms, ", "), reasons)
}

// parseSet reads a JWK Set (RFC 7517 §5). An entry that can't be used is skipped and named, and never breaks the rest.
func parseSet(raw []byte, accept acceptance) (Set, error) {
	entries, err := entriesOf(raw)
	if err != nil {
		return Set{}, fmt.Errorf("this is no JWK set: %w", err)
	}
	var set Set
	var skipped unused
	for i, entry := range entries {
		k, err := accept.parseEntry(entry)
		if errors.Is(err, errOtherUse) {
			continue // usual in a set, and not a fault
		}
		if err == nil {
			set.read = append(set.read, k)
			if k, err = accept.judge(k); err == nil {
				set.keys = append(set.keys, k)
				continue
			}
		}
		skipped.add(func() string { return nameEntry(i, k) + " of the set" }, err)
	}
	set.Skipped = skipped.lines()
	if len(set.keys) == 0 {
		return set, skipped.none(len(entries), accept)
	}
	return set, nil
}

// entriesOf parts a set into its entries. A name that occurs twice leaves it open which of two sets is meant.
func entriesOf(raw []byte) ([][]byte, error) {
	members, err := jsonvalue.Members(raw)
	if err != nil {
		return nil, cmp.Or(mistaken(raw), err)
	}
	for name, values := range members {
		if len(values) > 1 {
			return nil, &jsonvalue.DuplicateError{Name: name}
		}
	}
	if keys := members["keys"]; len(keys) == 1 {
		if entries, err := jsonvalue.Elements(keys[0]); err == nil {
			return entries, nil
		}
	}
	return nil, cmp.Or(mistakenObject(members), errors.New(`it has no "keys" array`))
}

// mistaken says what a text is that is not a JSON object, but is taken for a set at times; nil: something else.
func mistaken(raw []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(raw), pemBegin) {
		return errors.New(`it is a key or certificate in PEM, which mode "local" takes`)
	}
	if entries, err := jsonvalue.Elements(raw); err == nil && len(entries) > 0 {
		if first, err := jsonvalue.Members(entries[0]); err == nil && len(first["kty"]) > 0 {
			return errors.New(`it is a bare array of keys, where a set is an object that holds it: {"keys": […]}`)
		}
	}
	return nil
}

// mistakenObject is the same for an object without keys.
func mistakenObject(members map[string][][]byte) error {
	switch {
	case len(members["kty"]) > 0:
		return errors.New(`it is a single key, where a set is {"keys": [{…}]}`)
	case len(members["jwks_uri"]) > 0:
		return errors.New("it is a discovery document: its jwks_uri is the address of the set")
	case len(members) == 0:
		return nil
	}
	for _, values := range members {
		if text, _ := jsonvalue.Text(values[0]); !strings.HasPrefix(text, string(pemBegin)) {
			return nil
		}
	}
	return errors.New("it maps each kid to a certificate in PEM, as Google publishes them for its own libraries: the same keys as a JWK set are at " +
		"https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com (Firebase) and https://www.googleapis.com/oauth2/v3/certs (Google)")
}

func nameEntry(i int, k key) string {
	if k.id != "" {
		return verdict.Quote(k.id)
	}
	return fmt.Sprintf("number %d", i+1)
}

var (
	// errOtherUse is a key that is not meant to verify the signatures of tokens.
	errOtherUse   = errors.New("it is for another use")
	errUnreadable = errors.New("it can't be read (unknown kty or crv, or a broken value)")
)

// material are the members that make up a public key or a secret of each type (RFC 7518 §6, RFC 8037 §2). Only these reach
// the library: it refuses a key for any other that it knows and finds broken (x5c, d), and verification does not need those.
var material = map[string][]string{ //nolint:gochecknoglobals // a constant
	"RSA": {"kty", "n", "e"}, "EC": {"kty", "crv", "x", "y"}, "OKP": {"kty", "crv", "x"}, "oct": {"kty", "k"},
}

// parseEntry reads a JWK (RFC 7517 §4). A member that is null counts as absent. With an error comes the kid, if there
// is one.
func (accept acceptance) parseEntry(entry []byte) (key, error) {
	if entry[0] != '{' {
		return key{}, errUnreadable
	}
	members, err := jsonvalue.Object(entry)
	if err != nil {
		return key{}, err
	}
	var k key
	var use string
	for _, text := range []struct {
		name string
		to   *string
	}{{"kid", &k.id}, {"alg", &k.alg}, {"use", &use}} {
		value, isText := members[text.name].(string)
		if *text.to = value; !isText && members[text.name] != nil {
			return k, fmt.Errorf("its %s is not a string", text.name)
		}
	}
	// RFC 7517 §4.2, §4.3: a key made for another purpose must not verify.
	switch use {
	case "", "sig", "jwt-svid":
	case "enc", "x509-svid": // SPIFFE publishes the certificates of its workloads beside the keys of their tokens
		return k, errOtherUse
	default:
		return k, fmt.Errorf(`its use is %s, expected "sig"`, verdict.Quote(use))
	}
	if err := checkOperations(members["key_ops"]); err != nil {
		return k, err
	}
	if err := k.parse(members); err != nil {
		return k, err
	}
	k.fitting, k.kind, err = accept.fit(k.public)
	return k, err
}

// checkOperations wants "verify" among the key_ops (RFC 7517 §4.3), if there are any. A string stands for a list of one.
func checkOperations(value any) error {
	var all []string
	switch ops := value.(type) {
	case nil:
		return nil
	case string:
		all = []string{ops}
	case []any:
		if len(ops) == 0 {
			return nil
		}
		for _, op := range ops {
			if text, ok := op.(string); ok {
				all = append(all, text)
			}
		}
	default:
		return errors.New("its key_ops are no list of strings")
	}
	if !slices.Contains(all, "verify") {
		return fmt.Errorf(`its key_ops are %s, expected "verify" among them`, verdict.Quote(strings.Join(all, " ")))
	}
	return nil
}

func (k *key) parse(members map[string]any) error {
	kty, _ := members["kty"].(string)
	names := material[kty]
	parts := make(map[string]string, len(names))
	for _, name := range names {
		text, isText := members[name].(string)
		if !isText {
			return errUnreadable
		}
		parts[name] = text
	}
	if len(parts) == 0 {
		return errUnreadable
	}
	raw, err := json.Marshal(parts)
	if err != nil {
		return errUnreadable
	}
	parsed, err := jwk.ParseKey(raw)
	if err != nil {
		return errUnreadable
	}
	if rsa, ok := parsed.(jwk.RSAPublicKey); ok {
		// The library would cut it to 64 bits.
		if bits := new(big.Int).SetBytes(rsa.E()).BitLen(); bits > maxRSAEBits {
			return fmt.Errorf("its e has %d bits, the most is %d", bits, maxRSAEBits)
		}
	}
	if err := parsed.Raw(&k.public); err != nil {
		return errors.New("its crv is not known, or its values are no valid key")
	}
	return nil
}

// canonical is the name that an algorithm has in the configuration: RFC 9864 calls EdDSA over Ed25519, the only curve of EdDSA
// that is known here, by the curve.
func canonical(alg string) string {
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}

// judge decides which of the configured algorithms the key may verify: those that fit its type and curve, its size, and
// the alg it names (RFC 7517 §4.4).
func (accept acceptance) judge(k key) (key, error) {
	k.algorithms, k.alone = nil, []any{k.public}
	var weakness error
	for _, a := range accept.algorithms {
		if !slices.Contains(k.fitting, a) || (k.alg != "" && canonical(k.alg) != a) {
			continue
		}
		if err := checkStrength(k.public, a); err != nil && !accept.weak {
			weakness = fmt.Errorf("%w; %s admits it", err, accept.weakAt())
			continue
		}
		k.algorithms = append(k.algorithms, a)
	}
	switch {
	case len(k.algorithms) > 0:
		return k, nil
	case weakness != nil:
		return k, weakness
	case k.alg != "":
		return k, fmt.Errorf("it is %s for %s, expected %s", k.kind, verdict.Quote(k.alg), strings.Join(accept.algorithms, ", "))
	default:
		return k, fmt.Errorf("it is %s, which does not fit %s", k.kind, strings.Join(accept.algorithms, ", "))
	}
}

// fit names the algorithms that RFC 7518 §3.1 and RFC 8037 §3.1 allow with this type of key.
func (accept acceptance) fit(material any) (algorithms []string, kind string, err error) {
	switch k := material.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits > maxRSABits:
			return nil, "", fmt.Errorf("its modulus has %d bits, the most is %d", bits, maxRSABits)
		case bits < weakRSABits:
			return nil, "", fmt.Errorf("its modulus has %d bits, the least is %d, and %d with %s", bits, minRSABits, weakRSABits, accept.weakAt())
		case k.N.Bit(0) == 0:
			return nil, "", errors.New("its modulus is even")
		case k.E < 3 || k.E%2 == 0:
			return nil, "", fmt.Errorf("its e is %d, expected an odd number from 3", k.E)
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
		return nil, "", errors.New("keys of its type don't verify signatures")
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
