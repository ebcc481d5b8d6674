// Package spiffe stands in for a SPIFFE control plane, such as SPIRE's server: it issues JWT-SVIDs, and serves the bundle that
// they are verified by. Bundle and endpoint are made by the SPIFFE project's own library (github.com/spiffe/go-spiffe/v2), which
// also has to accept each token that is given out here. What the library leaves open is as in these documents of
// github.com/spiffe/spiffe, in standards/:
//
//   - JWT-SVID.md §2 to §3: the header has alg, kid and typ "JWT" and nothing else; sub is the SPIFFE ID, aud and exp are there,
//     iss and jti need not be. SPIRE sets iss only if jwt_issuer is configured, and never jti (pkg/server/credtemplate/builder.go
//     of github.com/spiffe/spire).
//   - JWT-SVID.md §6.1: a key for JWT-SVIDs has use "jwt-svid" and a kid. X509-SVID.md §6.1: one for X509-SVIDs has use
//     "x509-svid", its certificate in x5c, and no kid. Neither has an alg.
//   - SPIFFE_Trust_Domain_and_Bundle.md §4.1: spiffe_sequence grows with each change, spiffe_refresh_hint is in seconds.
//   - SPIFFE_Federation.md §5.2.1 (https_web): GET without any login, application/json. It says nothing of cache headers, and
//     SPIRE sends none; SetHeader has those of whatever stands before it.
package spiffe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
)

// RefreshHint is how often the bundle asks to be read.
const RefreshHint = 5 * time.Minute

// Server is the control plane of one trust domain. Safe for concurrent use.
type Server struct {
	domain   spiffeid.TrustDomain
	bundle   *spiffebundle.Bundle // has a lock of its own
	endpoint http.Handler
	// authority signs X509-SVIDs.
	authority *ecdsa.PrivateKey

	mu       sync.Mutex // guards all below
	sequence uint64
	keyID    string
	key      *ecdsa.PrivateKey // signs JWT-SVIDs
	header   http.Header
	requests int
}

// New returns the control plane of the trust domain with this name, with one key for each kind of SVID.
func New(name string) (*Server, error) {
	domain, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, err
	}
	s := &Server{domain: domain, bundle: spiffebundle.New(domain)}
	s.bundle.SetRefreshHint(RefreshHint)
	if s.authority, err = newKey(); err != nil {
		return nil, err
	}
	certificate, err := certify(domain, s.authority)
	if err != nil {
		return nil, err
	}
	s.bundle.AddX509Authority(certificate)
	if s.endpoint, err = federation.NewHandler(domain, s.bundle); err != nil {
		return nil, err
	}
	if err := s.Rotate(); err != nil {
		return nil, err
	}
	return s, nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// certify makes the certificate of a signing authority (X509-SVID.md §3.2).
func certify(domain spiffeid.TrustDomain, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{domain.ID().URL()}, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Rotate signs JWT-SVIDs with a new key from now on, and publishes it beside the others.
func (s *Server) Rotate() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := rand.Text()
	if err := s.bundle.AddJWTAuthority(id, key.Public()); err != nil {
		return err
	}
	s.keyID, s.key = id, key
	s.changed()
	return nil
}

// DropOldKeys stops publishing every key for JWT-SVIDs but the one that signs.
func (s *Server) DropOldKeys() {
	s.drop(func(id string) bool { return id != s.keyID })
}

// DropKeys stops publishing every key for JWT-SVIDs: this is the bundle of a trust domain that issues none.
func (s *Server) DropKeys() {
	s.drop(func(string) bool { return true })
}

func (s *Server) drop(these func(id string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.bundle.JWTAuthorities() {
		if these(id) {
			s.bundle.RemoveJWTAuthority(id)
		}
	}
	s.changed()
}

// changed wants mu held.
func (s *Server) changed() {
	s.sequence++
	s.bundle.SetSequenceNumber(s.sequence)
}

// ID is the SPIFFE ID of the workload with this path, which begins with "/".
func (s *Server) ID(path string) string { return s.domain.ID().String() + path }

// Token is a JWT-SVID for the workload with this path, for one audience, good for so long from now on. Further claims replace
// those of the same name; nil removes one. It fails if the token is not a JWT-SVID by the library's own check.
func (s *Server) Token(path, audience string, lifetime time.Duration, further ...map[string]any) (string, error) {
	s.mu.Lock()
	by := jose.JSONWebKey{Key: s.key, KeyID: s.keyID}
	s.mu.Unlock()
	token, err := s.sign(by, path, audience, lifetime, further...)
	if err != nil {
		return "", err
	}
	if _, err := jwtsvid.ParseAndValidate(token, s.bundle, []string{audience}); err != nil {
		return "", fmt.Errorf("this is not a JWT-SVID: %w", err)
	}
	return token, nil
}

// ByX509Authority is what a JWT-SVID would be that the authority for X509-SVIDs has signed: without kid, as its key has none, or
// with that of the key for JWT-SVIDs.
func (s *Server) ByX509Authority(withKeyID bool, path, audience string, lifetime time.Duration) (string, error) {
	by := jose.JSONWebKey{Key: s.authority}
	if withKeyID {
		s.mu.Lock()
		by.KeyID = s.keyID
		s.mu.Unlock()
	}
	return s.sign(by, path, audience, lifetime)
}

func (s *Server) sign(by jose.JSONWebKey, path, audience string, lifetime time.Duration, further ...map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: by}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims := map[string]any{
		"sub": s.ID(path), "aud": []string{audience}, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(),
	}
	for _, more := range further {
		maps.Copy(claims, more)
	}
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// SetHeader adds header fields to the answers, as a server between would.
func (s *Server) SetHeader(header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = header.Clone()
}

// Requests is how many requests for the bundle there were, but for HEAD.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// ServeHTTP is the bundle endpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if r.Method != http.MethodHead {
		s.requests++
	}
	maps.Copy(w.Header(), s.header)
	s.mu.Unlock()
	s.endpoint.ServeHTTP(w, r)
}
