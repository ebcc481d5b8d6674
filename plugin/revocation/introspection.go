package revocation

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

// introspection is an RFC 7662 endpoint.
type introspection struct {
	cfg config.Introspection
	// path is where the provider stands in jwt.json.
	path config.Path
	// assert makes a client assertion for the endpoint (RFC 7523); nil if the client authenticates in another way.
	assert func(uri string) (string, error)
	// byToken says that the token itself is what authorizes the request (RFC 6750 §2.1).
	byToken bool
}

func newIntrospection(cfg config.Introspection, o Options) (introspection, error) {
	i := introspection{cfg: cfg, path: o.Path, byToken: slices.ContainsFunc(cfg.Request.Headers, func(h config.Header) bool {
		return strings.EqualFold(h.Name, "Authorization") && strings.Contains(h.Value, config.TokenPlaceholder)
	})}
	if cfg.ClientAuthentication == config.ClientPrivateKeyJWT {
		signer, err := newSigner(cfg, o.Path)
		if err != nil {
			return i, err
		}
		i.assert = func(uri string) (string, error) {
			if o.Issuer != "" {
				uri = o.Issuer
			}
			return signer.assertion(uri, o.Now())
		}
	}
	return i, nil
}

func (introspection) name() string { return "introspection" }

func (introspection) expected() string { return `"active": true` }

// request is a form with the token and the client's credentials (RFC 7662 §2.1), with what requestParameters replaces or
// adds.
func (i introspection) request(uri, token string) (endpoint.Request, error) {
	form := map[string]any{"token": config.TokenPlaceholder}
	if i.cfg.TokenTypeHint {
		form["token_type_hint"] = "access_token"
	}
	header := http.Header{"Accept": {"application/json"}}
	if err := i.authenticate(uri, header, form); err != nil {
		return endpoint.Request{}, err
	}
	if more, ok := i.cfg.Request.Payload.(map[string]any); ok {
		maps.Copy(form, more)
	}
	parts := i.cfg.Request
	parts.Payload = form
	return render(uri, parts, config.BodyForm, header, token)
}

// authenticate puts the client's credentials into the header or the form (RFC 6749 §2.3.1, RFC 7523 §2.2).
func (i introspection) authenticate(uri string, header http.Header, form map[string]any) error {
	id, secret := i.cfg.ClientID, i.cfg.ClientSecret.Reveal()
	switch {
	case id == "":
	case i.assert != nil:
		assertion, err := i.assert(uri)
		if err != nil {
			return err
		}
		form["client_assertion_type"], form["client_assertion"] = assertionType, assertion
	case i.cfg.ClientAuthentication == config.ClientPost:
		form["client_id"] = id
		if secret != "" {
			form["client_secret"] = secret
		}
	case i.cfg.ClientAuthentication == config.ClientBasicRaw:
		header.Set("Authorization", endpoint.RawBasicAuth(id, secret))
	default:
		header.Set("Authorization", endpoint.BasicAuth(id, secret))
	}
	return nil
}

func (i introspection) read(answer *endpoint.Answer) (response, error) {
	if answer.Status == http.StatusUnauthorized && i.byToken {
		// Any invalid token causes this, and it is not a fault of the endpoint.
		return response{found: "HTTP 401"}, nil
	}
	if err := answer.RequireOK(); err != nil {
		if answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden {
			secret := "clientSecret"
			if i.assert != nil {
				secret = "clientKey"
			}
			err = fmt.Errorf("%w: it does not accept %s and %s, sent by clientAuthentication %q "+
				"(the choices: \"basic\", \"basicRaw\", \"post\", \"privateKeyJwt\")", err, i.path.Key("options.revocation.introspection.clientId"),
				secret, i.cfg.ClientAuthentication)
		}
		return response{}, err
	}
	claims, err := document(answer)
	// RFC 7662 §2.2: active is a required boolean, by exactly this name. Anything else is not an answer.
	active, isBool := claims["active"].(bool)
	if err == nil && !isBool {
		err = errors.New(`it has no boolean "active"`)
	}
	if err != nil {
		return response{}, answer.Unusable(fmt.Errorf("the answer is no introspection response (RFC 7662 §2.2): %w", err))
	}
	return response{active: active, claims: claims, found: fmt.Sprintf(`"active": %t`, active)}, nil
}
