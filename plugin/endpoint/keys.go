package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/config/fileaccess"
)

// credentials are what a provider asks of those who read its keys and its discovery document.
type credentials struct {
	headers []config.SecretHeader
	// bearerFile holds a bearer token; path is where the provider stands in jwt.json.
	bearerFile string
	path       config.Path
	// origins are addresses of the configuration. Requests to any other origin get no credentials.
	origins []string
}

// ForKeys returns the client for key sets and discovery documents, which sends the headers and the bearer token of cfg with
// requests to the origins that cfg names for these, and to no other. Both clients share their connections.
func (c *Client) ForKeys(cfg *config.Provider) *Client {
	keys := *c
	keys.credentials = credentials{
		headers: cfg.JWKS.Headers, bearerFile: cfg.JWKS.BearerTokenFile, path: cfg.Path,
		origins: []string{cfg.JWKS.URI, cfg.OIDC.Issuer, cfg.OIDC.JWKSURI},
	}
	return &keys
}

// SameKeys tells whether two configurations read keys at the same addresses, with the same trust and the same credentials.
func SameKeys(a, b *config.Provider) bool {
	same := func(a, b config.SecretHeader) bool { return a.Name == b.Name && a.Value.Reveal() == b.Value.Reveal() }
	return a.JWKS.URI == b.JWKS.URI && a.OIDC == b.OIDC && a.TLS == b.TLS && a.JWKS.BearerTokenFile == b.JWKS.BearerTokenFile &&
		slices.EqualFunc(a.JWKS.Headers, b.JWKS.Headers, same)
}

// areFor tells whether requests to uri get the credentials, if there are any.
func (c *credentials) areFor(uri string) bool {
	return slices.ContainsFunc(c.origins, func(origin string) bool { return sameOrigin(origin, uri) })
}

// addTo adds the credentials to the header of a request, and tells whether there are any for its address.
func (c *credentials) addTo(header http.Header, uri string) (added bool, err error) {
	if !c.areFor(uri) {
		return false, nil
	}
	for _, h := range c.headers {
		header.Set(h.Name, h.Value.Reveal())
	}
	if c.bearerFile == "" {
		return len(c.headers) > 0, nil
	}
	bearer, err := readBearer(c.bearerFile)
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.path.Key("options.modes.jwks.bearerTokenFile"), err)
	}
	header.Set("Authorization", "Bearer "+bearer)
	return true, nil
}

// maxBearer bounds a bearer token, in bytes: servers take no longer headers.
const maxBearer = 1 << 16

// bearerToken is the b64token of RFC 6750 §2.1.
var bearerToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

func readBearer(name string) (string, error) {
	raw, _, err := fileaccess.Read(name)
	if err != nil {
		return "", err
	}
	switch token := strings.TrimSpace(string(raw)); {
	case token == "":
		return "", fmt.Errorf("%s is empty", name)
	case len(raw) > maxBearer || !bearerToken.MatchString(token):
		return "", fmt.Errorf("%s does not hold a bearer token (RFC 6750 §2.1) alone", name)
	default:
		return token, nil
	}
}

// sameOrigin tells whether two addresses have the same scheme, host and port (RFC 6454 §4).
func sameOrigin(a, b string) bool {
	one, err := originOf(a)
	other, err2 := originOf(b)
	return errors.Join(err, err2) == nil && one == other
}

// origin is what an address has in common with all others of one server.
type origin struct{ scheme, host, port string }

func originOf(address string) (origin, error) {
	u, err := url.Parse(address)
	if err != nil {
		return origin{}, err
	}
	o := origin{u.Scheme, strings.ToLower(u.Hostname()), u.Port()}
	if o.host == "" {
		return origin{}, errors.New("no host")
	}
	if o.port == "" {
		o.port = map[string]string{"https": "443", "http": "80"}[o.scheme]
	}
	return o, nil
}

// mediaTypes are those of key sets (RFC 7517 §8.5) and discovery documents.
const mediaTypes = "application/json, application/jwk-set+json"

// maxRefusals bounds the addresses of which it is remembered that they refuse an Accept.
const maxRefusals = 16

// Get reads the JSON at uri, which must answer 200. It says what it accepts, unless the server has refused that before: some
// API servers of Kubernetes answer 406 then.
func (c *Client) Get(ctx context.Context, uri string, timeout time.Duration) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout) // of both requests
	defer cancel()
	r := Request{Method: http.MethodGet, URI: uri}
	if !c.refusals.Contains(uri) {
		r.Header = http.Header{"Accept": {mediaTypes}}
	}
	answer, err := c.Do(ctx, timeout, r)
	if err == nil && answer.Status == http.StatusNotAcceptable && r.Header != nil {
		r.Header = nil
		if answer, err = c.Do(ctx, timeout, r); err == nil && answer.Status != http.StatusNotAcceptable {
			c.refusals.Add(uri, struct{}{})
		}
	}
	if err != nil {
		return nil, err
	}
	if err := answer.RequireOK(); err != nil {
		if answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden {
			err = fmt.Errorf("%w: %s", err, c.aboutCredentials(uri))
		}
		return nil, err
	}
	return answer, nil
}

// aboutCredentials says of a request to uri that was refused (RFC 9110 §15.5.2, §15.5.4) which credentials it had, or could have.
func (c *Client) aboutCredentials(uri string) string {
	jwks := c.path.Key("options.modes.jwks")
	var sent []string
	if len(c.credentials.headers) > 0 {
		sent = append(sent, jwks+".headers")
	}
	if c.credentials.bearerFile != "" {
		sent = append(sent, fmt.Sprintf("the token in %s (%s.bearerTokenFile)", c.credentials.bearerFile, jwks))
	}
	switch {
	case len(sent) == 0:
		return "it may want a login (" + jwks + ".bearerTokenFile or headers)"
	case !c.credentials.areFor(uri):
		return fmt.Sprintf("it may want a login, and bearerTokenFile and headers of %s are sent to the origins of jwt.json alone "+
			"(%s makes this one of them)", jwks, c.path.Key("options.modes.oidc.jwksUri"))
	default:
		return "it does not accept " + strings.Join(sent, " and ")
	}
}
