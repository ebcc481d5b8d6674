package idp

import (
	"errors"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	brokerID = "broker"
	appID    = "app"
)

// Client is an OAuth client with a secret. It may obtain tokens by the client credentials and the device authorization
// grant, introspect every token, and revoke its own.
type Client struct {
	// ID and Secret are required.
	ID, Secret string
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
	if c.ID == "" || c.Secret == "" {
		return c, errors.New("idp: a client needs an ID and a secret")
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

func (r registration) GetID() string                       { return r.ID }
func (r registration) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (r registration) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (r registration) GrantTypes() []oidc.GrantType {
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

// The rest is about flows with a browser, which no client here may start: see GrantTypes.

func (r registration) RedirectURIs() []string               { return nil }
func (r registration) PostLogoutRedirectURIs() []string     { return nil }
func (r registration) ResponseTypes() []oidc.ResponseType   { return nil }
func (r registration) LoginURL(string) string               { return "" }
func (r registration) IDTokenLifetime() time.Duration       { return 0 }
func (r registration) IDTokenUserinfoClaimsAssertion() bool { return false }
func (r registration) DevMode() bool                        { return false }

func sameScopes(scopes []string) []string { return scopes }
