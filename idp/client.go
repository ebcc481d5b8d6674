package idp

import (
	"crypto"
	"errors"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	brokerID = "broker"
	appID    = "app"
)

// Client is an OAuth client, most often one with a secret. That may obtain tokens by the client credentials and the device
// authorization grant, introspect every token, and revoke its own.
type Client struct {
	// ID is required, and so is Secret unless there are Redirects.
	ID, Secret string
	// Key is the public half of the key, known as KeyID, with which it may prove itself at the introspection endpoint in the place
	// of Secret (RFC 7523 §2.2): RSA or P-256.
	Key   crypto.PublicKey
	KeyID string
	// Redirects make it a public client, which has no secret: a page or a program that users log in to. Each is an
	// address that they may be sent back to. It gets its tokens by the authorization code grant with PKCE, and refresh
	// tokens if it asks for the scope offline_access. Subject means nothing then: the login page asks for it.
	Redirects []string
	// Subject is the sub of its tokens: the service user behind it. Empty: the ID.
	Subject string
	// Opaque gives it opaque access tokens (five-part JWEs that only the provider can read) instead of JWTs.
	Opaque bool
	// Audience is the aud of its tokens. Empty: the ID alone.
	Audience []string
	// Lifetime of its tokens, rounded down to seconds. Zero: one hour.
	Lifetime time.Duration
	// Claims are put into its tokens beside the registered ones, and into the introspection answer.
	Claims map[string]any
}

// withDefaults fills what may be left empty.
func (c Client) withDefaults() (Client, error) {
	if c.ID == "" || (c.Secret == "") != c.public() {
		return c, errors.New("idp: a client needs an ID, and either a secret or redirects")
	}
	if c.Subject == "" {
		c.Subject = c.ID
	}
	if len(c.Audience) == 0 {
		c.Audience = []string{c.ID}
	}
	if c.Lifetime == 0 {
		c.Lifetime = time.Hour
	}
	return c, nil
}

// registration shows a Client to the library.
type registration struct{ Client }

var _ op.Client = registration{}

func (r registration) GetID() string { return r.ID }
func (r registration) AuthMethod() oidc.AuthMethod {
	if r.public() {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}

func (r registration) ApplicationType() op.ApplicationType {
	if r.public() {
		return op.ApplicationTypeUserAgent
	}
	return op.ApplicationTypeWeb
}

func (r registration) GrantTypes() []oidc.GrantType {
	if r.public() {
		return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
	}
	return []oidc.GrantType{oidc.GrantTypeClientCredentials, oidc.GrantTypeDeviceCode}
}

func (r registration) AccessTokenType() op.AccessTokenType {
	if r.Opaque {
		return op.AccessTokenTypeBearer
	}
	return op.AccessTokenTypeJWT
}

func (r registration) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return sameScopes
}

func (r registration) RestrictAdditionalIdTokenScopes() func([]string) []string { return sameScopes } //nolint:revive,staticcheck // the name of the interface
func (r registration) IsScopeAllowed(string) bool                               { return true }
func (r registration) ClockSkew() time.Duration                                 { return 0 }

// The rest is about flows with a browser, which only a client with Redirects may start: see GrantTypes.

func (r registration) RedirectURIs() []string           { return r.Redirects }
func (r registration) PostLogoutRedirectURIs() []string { return nil }
func (r registration) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (r registration) LoginURL(id string) string            { return loginPath + "?id=" + id }
func (r registration) IDTokenLifetime() time.Duration       { return r.Lifetime }
func (r registration) IDTokenUserinfoClaimsAssertion() bool { return false }
func (r registration) DevMode() bool                        { return true } // redirects to http:// are fine here

func sameScopes(scopes []string) []string { return scopes }
