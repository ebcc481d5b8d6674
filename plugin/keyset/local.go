package keyset

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// local is the key, or the keys, in the configuration.
type local struct {
	set Set
	at  string

	mu    reportingMutex // of crowd
	crowd crowd
}

var (
	_ Source = (*local)(nil)
	_ keeper = (*local)(nil)
)

// newLocal reads an HMAC secret or, for the asymmetric algorithms, public keys in PEM (PKIX, PKCS #1 or certificates). A
// PEM is never taken for a secret: that is how a public key becomes a forger's HMAC key (RFC 8725 §2.1).
func newLocal(cfg *config.Provider, accept acceptance, o Options) (*local, error) {
	l := &local{at: cfg.Path.Key("options.modes.local"), mu: reportingMutex{to: o.Report}}
	l.mu.Lock()
	defer l.mu.Unlock()
	value := []byte(cfg.Local.Reveal())
	symmetric := strings.HasPrefix(accept.algorithms[0], "HS")
	isPEM := bytes.Contains(value, pemBegin)
	var err error
	switch {
	case symmetric && isPEM:
		return nil, fmt.Errorf("%s: holds a key in PEM, but %s needs a shared secret", l.at, strings.Join(accept.algorithms, ", "))
	case symmetric:
		var k key
		if k, err = accept.newKey(value); err == nil {
			k, err = accept.judge(k)
		}
		if err != nil {
			err = fmt.Errorf("the key can't be used: %w", err)
		}
		l.set.keys = []key{k}
	case !isPEM:
		return nil, fmt.Errorf("%s: must be a public key in PEM (-----BEGIN PUBLIC KEY-----, RSA PUBLIC KEY or CERTIFICATE) for %s",
			l.at, strings.Join(accept.algorithms, ", "))
	default:
		l.set.keys, err = l.readPEM(value, accept)
	}
	if err != nil {
		l.mu.notes = nil // the error says it
		return nil, fmt.Errorf("%s: %w", l.at, err)
	}
	l.set.kidless = true
	for _, k := range l.set.keys {
		for _, a := range k.algorithms {
			if err := checkStrength(k.public, a); err != nil {
				l.mu.report(event.Warn(fmt.Sprintf("%s: weak key admitted by %s: %s", l.at, cfg.Path.Key("options.common.allowWeakKeys"), err)))
				break
			}
		}
	}
	return l, nil
}

var pemBegin = []byte("-----BEGIN ") //nolint:gochecknoglobals // a constant

// readPEM takes every key of a PEM that fits the configuration. A certificate that has issued the one
// before it belongs to that one: its key signs certificates.
func (l *local) readPEM(value []byte, accept acceptance) (keys []key, err error) {
	var skipped unused
	var last error
	number, private := 0, false
	skip := func(reason error) {
		last = reason
		skipped.add(func() string { return fmt.Sprintf("number %d of the PEM", number) }, reason)
	}
	var before *x509.Certificate
	for rest := value; ; {
		block, after := pem.Decode(rest)
		lost := bytes.Count(rest, pemBegin) // what can't be read as a block, the decoder passes over
		if block != nil {
			lost -= 1 + bytes.Count(after, pemBegin)
		}
		for range lost {
			number++
			skip(errors.New("its lines can't be read as PEM"))
		}
		if rest = after; block == nil {
			break
		}
		if block.Type == "EC PARAMETERS" { // which OpenSSL writes before a private key
			continue
		}
		number++
		certificate, _ := x509.ParseCertificate(block.Bytes) // nil if it is another block
		if issued(before, certificate) {
			l.mu.report(event.Inform(fmt.Sprintf("%s: certificate number %d of the PEM issued the one before it, and is not taken for a key", l.at, number)))
			before = certificate
			continue
		}
		before = certificate
		k, err := accept.parsePEM(block)
		if err == nil {
			k, err = accept.judge(k)
		}
		if err != nil {
			skip(err)
			continue
		}
		keys = append(keys, k)
		private = private || strings.HasSuffix(block.Type, "PRIVATE KEY")
	}
	switch {
	case len(keys) == 0 && number == 1:
		return nil, fmt.Errorf("the key can't be used: %w", last)
	case len(keys) == 0:
		return nil, skipped.none(number, accept)
	}
	for _, line := range skipped.lines() {
		l.mu.report(event.Warn(l.at + ": " + line))
	}
	if private {
		l.mu.report(event.Warn(l.at + ": holds a private key; only its public part is needed here, and the private one should not lie on the broker"))
	}
	return keys, nil
}

// issued tells by the names whether issuer comes after certificate in a chain. Both may be nil.
func issued(certificate, issuer *x509.Certificate) bool {
	return certificate != nil && issuer != nil &&
		bytes.Equal(certificate.RawIssuer, issuer.RawSubject) && !bytes.Equal(certificate.RawSubject, issuer.RawSubject)
}

func (accept acceptance) parsePEM(block *pem.Block) (key, error) {
	parsed, err := jwk.ParseKey(pem.EncodeToMemory(block), jwk.WithPEM(true))
	if err != nil {
		return key{}, errors.New("it can't be read as a public key or certificate")
	}
	public, err := jwk.PublicKeyOf(parsed)
	if err != nil {
		return key{}, errors.New("it can't be read as a public key or certificate")
	}
	var material any
	if err := public.Raw(&material); err != nil {
		return key{}, errors.New("it is no valid key")
	}
	return accept.newKey(material)
}

func (accept acceptance) newKey(material any) (k key, err error) {
	k.public = material
	k.fitting, k.kind, err = accept.fit(material)
	return k, err
}

func (l *local) Find(_ context.Context, kid, alg string) ([]any, error) {
	found, fitting := l.set.find(kid, alg)
	if fitting == 0 {
		return nil, ErrUnknownKey
	}
	if fitting > MaxTries {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.crowd.note(l.mu.report, l.String(), fitting)
	}
	return found, nil
}

func (l *local) Load(context.Context) (Set, error) {
	if l.set.Len() == 0 {
		return Set{}, &UnavailableError{Cause: errors.New("no key is configured")}
	}
	return l.set, nil
}

func (l *local) lastSet() Set { return l.set }

func (l *local) String() string { return "jwt.json" }

// Close has nothing to end.
func (l *local) Close() {}
