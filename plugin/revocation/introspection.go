// Package revocation asks the identity provider whether a token is still active.
package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/verdict"
)

// Introspection is a token introspection endpoint (RFC 7662). Safe for concurrent use.
type Introspection struct {
	cfg     config.Introspection
	timeout time.Duration
	client  *endpoint.Client
}

// New returns the Introspection that cfg describes.
func New(cfg *config.Revocation, client *endpoint.Client) *Introspection {
	return &Introspection{cfg: cfg.Introspection, timeout: cfg.Timeout, client: client}
}

// URI is the endpoint.
func (i *Introspection) URI() string { return i.cfg.URI }

// Check asks whether the token is active, once, and waits for the answer for the configured timeout at most. The verdict
// is Accept, Deny with Revoked, or Deny with ProviderUnavailable where nothing was learnt.
func (i *Introspection) Check(ctx context.Context, password string, trace *verdict.Trace) verdict.Verdict {
	active, err := i.ask(ctx, password)
	const name, expected = "introspection", `"active": true`
	switch {
	case err != nil:
		return trace.FailWith(verdict.Refuse(verdict.ProviderUnavailable, "%s", err), name, expected, err.Error())
	case !active:
		return trace.FailWith(verdict.Refuse(verdict.Revoked, "%s says that it is not active", endpoint.Shown(i.cfg.URI)), name, expected, `"active": false`)
	}
	trace.Pass(name, expected, expected)
	return verdict.Verdict{Kind: verdict.Accept}
}

func (i *Introspection) ask(ctx context.Context, password string) (active bool, err error) {
	form := url.Values{"token": {password}}
	if i.cfg.TokenTypeHint {
		form.Set("token_type_hint", "access_token")
	}
	answer, err := i.client.PostForm(ctx, i.cfg.URI, i.timeout, form, i.cfg.ClientID, i.cfg.ClientSecret.Reveal())
	if err != nil {
		var status *endpoint.StatusError
		if errors.As(err, &status) && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden) {
			return false, fmt.Errorf("%w: it does not accept $.options.revocation.introspection.clientId and clientSecret", err)
		}
		return false, err
	}
	// RFC 7662 §2.2: active is a required boolean, by exactly this name. Anything else is no answer.
	var said map[string]any
	err = json.Unmarshal(answer.Body, &said)
	active, isBool := said["active"].(bool)
	if err != nil || !isBool {
		return false, fmt.Errorf(`POST %s: the answer is no introspection response (RFC 7662 §2.2): it has no boolean "active"`, endpoint.Shown(i.cfg.URI))
	}
	return active, nil
}
