package idp

import (
	"context"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// noLogin answers the part of op.Storage that belongs to logins by signed assertions. The library wants the method to be
// there; this provider refuses that flow, as any provider does that has not enabled it.
type noLogin struct{}

func errNoLogin() *oidc.Error {
	return oidc.ErrUnsupportedGrantType().WithDescription("only client_credentials, device_code and authorization_code are offered")
}

func (noLogin) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNoLogin()
}
