package keyset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"go-jwt-auth/plugin/config"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// local is the one key that stands in the configuration.
type local struct {
	static
	set Set
}

// newLocal reads an HMAC secret or, for the asymmetric algorithms, a public key in PEM (PKIX, PKCS #1 or a
// certificate). A PEM is never taken for a secret: that is how a public key becomes a forger's HMAC key (RFC 8725 §2.1).
func newLocal(secret config.Secret, accept acceptance, o Options) (*local, error) {
	value := []byte(secret.Reveal())
	symmetric := strings.HasPrefix(accept.algorithms[0], "HS")
	isPEM := bytes.Contains(value, []byte("-----BEGIN "))
	const at = "$.options.modes.local"
	var material any
	switch {
	case symmetric && isPEM:
		return nil, fmt.Errorf("%s: holds a key in PEM, but %s needs a shared secret", at, strings.Join(accept.algorithms, ", "))
	case symmetric:
		material = value
	case !isPEM:
		return nil, fmt.Errorf("%s: must be a public key in PEM (-----BEGIN PUBLIC KEY-----, RSA PUBLIC KEY or CERTIFICATE) for %s",
			at, strings.Join(accept.algorithms, ", "))
	default:
		parsed, err := jwk.ParseKey(value, jwk.WithPEM(true))
		if err != nil {
			return nil, fmt.Errorf("%s: the PEM can't be read as a public key or certificate", at)
		}
		public, err := jwk.PublicKeyOf(parsed)
		if err != nil {
			return nil, fmt.Errorf("%s: the PEM can't be read as a public key or certificate", at)
		}
		if err := public.Raw(&material); err != nil {
			return nil, fmt.Errorf("%s: the PEM holds no valid key", at)
		}
		if bytes.Contains(value, []byte("PRIVATE KEY-----")) {
			o.Report(true, at+": holds a private key; only its public part is needed here, and the private one should not lie on the broker")
		}
	}
	k, err := newKey("", "", material, accept)
	if err != nil {
		return nil, fmt.Errorf("%s: the key can't be used: %w", at, err)
	}
	for _, a := range k.algorithms {
		if err := checkStrength(material, a); err != nil {
			o.Report(true, fmt.Sprintf("%s: weak key admitted by $.options.common.allowWeakKeys: %s", at, err))
			break
		}
	}
	return &local{set: Set{keys: []key{k}, kidless: true}}, nil
}

func (l *local) Find(_ context.Context, kid, alg string) ([]any, error) {
	if found := l.set.find(kid, alg); len(found) > 0 {
		return found, nil
	}
	return nil, ErrUnknownKey
}

func (l *local) Load(context.Context) (Set, error) {
	if l.set.Len() == 0 {
		return Set{}, &UnavailableError{Cause: errors.New("no key is configured")}
	}
	return l.set, nil
}

func (l *local) String() string { return "jwt.json" }
