package idp

import (
	"context"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// noLogin answers the part of op.Storage that belongs to signed client assertions. The library wants the methods to be
// there; this provider refuses these flows, as any provider does where they are not enabled.
type noLogin struct{}

func errNoLogin() *oidc.Error {
	return oidc.ErrUnsupportedGrantType().WithDescription("only client_credentials, device_code and authorization_code are offered")
}

func (noLogin) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNoLogin()
}

func (noLogin) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNoLogin()
}
