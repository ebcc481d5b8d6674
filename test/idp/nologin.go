package idp

import (
	"context"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// noLogin answers the part of op.Storage that belongs to flows with a browser, refresh tokens and signed client
// assertions. The library wants the methods to be there; this provider refuses these flows, as any provider does
// where they are not enabled.
type noLogin struct{}

func errNoLogin() *oidc.Error {
	return oidc.ErrUnsupportedGrantType().WithDescription("only client_credentials and device_code are offered")
}

func (noLogin) CreateAuthRequest(context.Context, *oidc.AuthRequest, string) (op.AuthRequest, error) {
	return nil, errNoLogin()
}

func (noLogin) AuthRequestByID(context.Context, string) (op.AuthRequest, error) {
	return nil, errNoLogin()
}

func (noLogin) AuthRequestByCode(context.Context, string) (op.AuthRequest, error) {
	return nil, errNoLogin()
}

func (noLogin) SaveAuthCode(context.Context, string, string) error     { return errNoLogin() }
func (noLogin) DeleteAuthRequest(context.Context, string) error        { return errNoLogin() }
func (noLogin) TerminateSession(context.Context, string, string) error { return errNoLogin() }

func (noLogin) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, errNoLogin()
}

func (noLogin) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, op.ErrInvalidRefreshToken
}

func (noLogin) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

func (noLogin) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (noLogin) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNoLogin()
}

func (noLogin) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNoLogin()
}
