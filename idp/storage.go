package idp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// storage is what the provider knows: its clients, its keys, and every token it has issued.
type storage struct {
	noLogin
	keys    *keyring
	clients map[string]Client // by ID; not changed after Start
	devices devices
	logins  logins

	mu     sync.Mutex // guards issued
	issued map[string]record
}

// record is an issued access token. Its ID is the jti of a JWT.
type record struct {
	issuer, subject, clientID string
	audience, scopes          []string
	issuedAt, notBefore       time.Time // zero: unknown
	expires                   time.Time // zero: never
	claims                    map[string]any
	revoked                   bool
}

// active is what RFC 7662 §2.2 asks of a token, the signature aside.
func (r record) active(now time.Time) bool {
	return !r.revoked && !now.Before(r.notBefore) && (r.expires.IsZero() || now.Before(r.expires))
}

var (
	errUnknownClient = errors.New("idp: unknown client or wrong secret")
	errInactiveToken = errors.New("idp: token unknown, expired, not yet valid or revoked")
)

var (
	_ op.Storage                  = (*storage)(nil)
	_ op.ClientCredentialsStorage = (*storage)(nil)
)

func newStorage(algorithm string) (*storage, error) {
	keys, err := newKeyring(algorithm)
	if err != nil {
		return nil, err
	}
	return &storage{
		keys: keys, clients: map[string]Client{}, issued: map[string]record{}, logins: newLogins(),
		devices: devices{byCode: map[string]*op.DeviceAuthorizationState{}, byUser: map[string]string{}},
	}, nil
}

func (s *storage) addClient(c Client) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	s.clients[c.ID] = c
	return nil
}

func (s *storage) record(id string, r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued[id] = r
}

func (s *storage) lookup(id string) (record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.issued[id]
	return r, ok
}

// revoke makes a token inactive and reports whether it exists.
func (s *storage) revoke(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.issued[id]
	if ok {
		r.revoked = true
		s.issued[id] = r
	}
	return ok
}

// Clients

// GetClientByClientID implements op.OPStorage.
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, ok := s.clients[id]
	if !ok {
		return nil, errUnknownClient
	}
	return registration{c}, nil
}

// AuthorizeClientIDSecret implements op.OPStorage: the check behind introspection and revocation.
func (s *storage) AuthorizeClientIDSecret(ctx context.Context, id, secret string) error {
	_, err := s.ClientCredentials(ctx, id, secret)
	return err
}

// GetKeyByIDAndClientID implements op.Storage: the check of a client assertion (RFC 7523 §3).
func (s *storage) GetKeyByIDAndClientID(_ context.Context, keyID, id string) (*jose.JSONWebKey, error) {
	c, ok := s.clients[id]
	if !ok || c.Key == nil || c.KeyID != keyID {
		return nil, errUnknownClient
	}
	return &jose.JSONWebKey{Key: c.Key, KeyID: c.KeyID, Use: "sig"}, nil
}

// ClientCredentials implements op.ClientCredentialsStorage: the check behind the token endpoint.
func (s *storage) ClientCredentials(_ context.Context, id, secret string) (op.Client, error) {
	c, ok := s.clients[id]
	if !ok || c.public() || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) != 1 {
		return nil, errUnknownClient
	}
	return registration{c}, nil
}

// Tokens

// credentialsRequest is a client's request for a token of its own.
type credentialsRequest struct {
	client Client
	scopes []string
}

func (r credentialsRequest) GetSubject() string    { return r.client.Subject }
func (r credentialsRequest) GetAudience() []string { return r.client.Audience }
func (r credentialsRequest) GetScopes() []string   { return r.scopes }

// ClientCredentialsTokenRequest implements op.ClientCredentialsStorage. Every scope asked for is granted.
func (s *storage) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	c, ok := s.clients[id]
	if !ok {
		return nil, errUnknownClient
	}
	return credentialsRequest{client: c, scopes: scopes}, nil
}

// CreateAccessToken implements op.AuthStorage: it registers the token that the library is about to write.
func (s *storage) CreateAccessToken(ctx context.Context, request op.TokenRequest) (string, time.Time, error) {
	var client Client
	switch of := request.(type) {
	case credentialsRequest:
		client = of.client
	case interface{ GetClientID() string }: // of somebody who has logged in, or a device
		client = s.clients[of.GetClientID()]
	default:
		return "", time.Time{}, errNoLogin()
	}
	id, now := rand.Text(), time.Now().Truncate(time.Second)
	r := record{
		issuer:    op.IssuerFromContext(ctx),
		subject:   request.GetSubject(),
		clientID:  client.ID,
		audience:  request.GetAudience(),
		scopes:    request.GetScopes(),
		issuedAt:  now,
		notBefore: now,
		expires:   now.Add(client.Lifetime).Truncate(time.Second),
		claims:    client.Claims,
	}
	s.record(id, r)
	return id, r.expires, nil
}

// GetPrivateClaimsFromScopes implements op.OPStorage: the claims of a JWT beside the registered ones, with its scopes (RFC 9068 §2.2.3).
func (s *storage) GetPrivateClaimsFromScopes(_ context.Context, _, clientID string, scopes []string) (map[string]any, error) {
	claims := map[string]any{}
	if len(scopes) > 0 {
		claims["scope"] = strings.Join(scopes, " ")
	}
	maps.Copy(claims, s.clients[clientID].Claims)
	return claims, nil
}

// SetIntrospectionFromToken implements op.OPStorage: the answer of RFC 7662 §2.2. An error makes it {"active":false}.
func (s *storage) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, id, _, _ string) error {
	r, ok := s.lookup(id)
	if !ok || !r.active(time.Now()) {
		return errInactiveToken
	}
	answer.Scope = r.scopes
	answer.ClientID = r.clientID
	answer.TokenType = oidc.BearerToken
	answer.Expiration = oidc.FromTime(r.expires)
	answer.IssuedAt = oidc.FromTime(r.issuedAt)
	answer.NotBefore = oidc.FromTime(r.notBefore)
	answer.Subject = r.subject
	answer.Audience = r.audience
	answer.Issuer = r.issuer
	answer.JWTID = id
	answer.Claims = maps.Clone(r.claims)
	return nil
}

// SetUserinfoFromToken implements op.OPStorage.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, _, _ string) error {
	r, ok := s.lookup(id)
	if !ok || !r.active(time.Now()) {
		return errInactiveToken
	}
	info.Subject = r.subject
	info.Claims = maps.Clone(r.claims)
	return nil
}

// RevokeToken implements op.AuthStorage. RFC 7009 §2.1: only the client that the token was issued to may revoke it;
// §2.2: an unknown token is not an error.
func (s *storage) RevokeToken(_ context.Context, id, _, clientID string) *oidc.Error {
	if s.dropRefresh(id) { // which GetRefreshTokenInfo has found to be the client's
		return nil
	}
	r, ok := s.lookup(id)
	if !ok {
		return nil
	}
	if r.clientID != clientID {
		return oidc.ErrInvalidClient().WithDescription("the token was issued to another client")
	}
	s.revoke(id)
	return nil
}

// Keys

// SigningKey implements op.AuthStorage.
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	return signingKey{s.keys.current()}, nil
}

// SignatureAlgorithms implements op.AuthStorage.
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.keys.current().algorithm)}, nil
}

// KeySet implements op.AuthStorage.
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	var set []op.Key
	for _, k := range s.keys.published() {
		set = append(set, publicKey{k})
	}
	return set, nil
}

// Health implements op.Storage.
func (s *storage) Health(context.Context) error { return nil }
