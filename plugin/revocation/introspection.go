package revocation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

// introspection is an RFC 7662 endpoint.
type introspection struct{ cfg config.Introspection }

func (introspection) name() string { return "introspection" }

func (introspection) expected() string { return `"active": true` }

// request is a form with the token and the client's credentials by HTTP Basic (RFC 7662 §2.1), with what
// requestParameters replaces or adds.
func (i introspection) request(uri, token string) (endpoint.Request, error) {
	form := map[string]any{"token": config.TokenPlaceholder}
	if i.cfg.TokenTypeHint {
		form["token_type_hint"] = "access_token"
	}
	if more, ok := i.cfg.Request.Payload.(map[string]any); ok {
		maps.Copy(form, more)
	}
	header := http.Header{"Accept": {"application/json"}}
	if i.cfg.ClientID != "" {
		header.Set("Authorization", endpoint.BasicAuth(i.cfg.ClientID, i.cfg.ClientSecret.Reveal()))
	}
	parts := i.cfg.Request
	parts.Payload = form
	return render(uri, parts, config.BodyForm, header, token)
}

func (i introspection) read(answer *endpoint.Answer) (answered, error) {
	if err := answer.RequireOK(); err != nil {
		if answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden {
			err = fmt.Errorf("%w: it does not accept $.options.revocation.introspection.clientId and clientSecret", err)
		}
		return answered{}, err
	}
	claims, err := decode(answer)
	// RFC 7662 §2.2: active is a required boolean, by exactly this name. Anything else is no answer.
	active, isBool := claims["active"].(bool)
	if err != nil || !isBool {
		return answered{}, answer.Unusable(errors.New(`the answer is no introspection response (RFC 7662 §2.2): it has no boolean "active"`))
	}
	return answered{active: active, claims: claims, found: fmt.Sprintf(`"active": %t`, active)}, nil
}

// decode reads one JSON object with exact numbers.
func decode(answer *endpoint.Answer) (members map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(answer.Body))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return members, nil
}
