package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// provider gets access tokens by the client credentials grant (RFC 6749 §4.4).
type provider struct {
	settings
	http     *http.Client
	endpoint string // of tokens, once it is known
}

// refusal is an answer that asking again won't change.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func (p *provider) token(ctx context.Context) (*oauth2.Token, error) {
	if p.endpoint == "" {
		var err error
		if p.endpoint, err = p.discover(ctx); err != nil {
			return nil, err
		}
	}
	grant := clientcredentials.Config{
		ClientID: p.clientID, ClientSecret: p.secret, TokenURL: p.endpoint, AuthStyle: oauth2.AuthStyleInHeader,
		Scopes: strings.Fields(p.scope), EndpointParams: url.Values{},
	}
	if p.audience != "" {
		grant.EndpointParams.Set("audience", p.audience)
	}
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, p.http))
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer) && (answer.Response.StatusCode == 400 || answer.Response.StatusCode == 401): // RFC 6749 §5.2
		return nil, &refusal{strings.TrimSpace("the provider gives no token: " + answer.ErrorCode + " " + answer.ErrorDescription)}
	case errors.As(err, &answer):
		return nil, fmt.Errorf("HTTP %d", answer.Response.StatusCode)
	}
	return token, err
}

// lifetime is how long a token is taken to live. Some providers say 0, or nothing, of one that is good.
func lifetime(token *oauth2.Token) time.Duration {
	const assumed, longest = 5 * time.Minute, 24 * time.Hour
	if left := time.Until(token.Expiry); left > 0 {
		return min(left, longest)
	}
	return assumed
}

// discover asks the provider where it hands out tokens (OpenID Connect Discovery §4).
func (p *provider) discover(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return "", &refusal{err.Error()}
	}
	response, err := p.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("discovery: %s", response.Status)
	}
	var found struct {
		Issuer   string `json:"issuer"`
		Endpoint string `json:"token_endpoint"`
	}
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	if found.Issuer != p.issuer {
		return "", &refusal{fmt.Sprintf("ISSUER is %s, but the provider calls itself %s", p.issuer, found.Issuer)}
	}
	if err := wantPrivate("token_endpoint", found.Endpoint); err != nil {
		return "", &refusal{err.Error()}
	}
	return found.Endpoint, nil
}
