package revocation

import (
	"fmt"
	"net/http"
	"slices"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/jsonvalue"
)

// plain is an endpoint of the operator's own, with a request and an answer as the configuration describes them.
type plain struct {
	cfg config.Plain
	// path is where the provider stands in jwt.json.
	path config.Path
}

func (plain) name() string { return "revocation" }

func (plain) expected() string { return "the configured answer" }

func (p plain) request(uri, token string) (endpoint.Request, error) {
	parts := p.cfg.Request
	if parts.Payload == nil && !parts.HoldsToken() && takesBody(parts.Method) {
		parts.Payload = map[string]any{"token": config.TokenPlaceholder}
	}
	return render(uri, parts, p.cfg.BodyEncoding, http.Header{"Accept": {"application/json, */*"}}, token)
}

func takesBody(method string) bool { return method != http.MethodGet && method != http.MethodDelete }

// read looks at the status first. A configured status of success says that the token is active, unless the body says otherwise.
// Any other says that it is not active, except if the endpoint reports a fault of its own (RFC 9110 §15.6) or too many requests
// (429, RFC 6585 §4): that is an error.
func (p plain) read(answer *endpoint.Answer) (response, error) {
	said := response{active: slices.Contains(p.cfg.Response.SuccessCodes, answer.Status), found: fmt.Sprintf("HTTP %d", answer.Status)}
	switch {
	case !said.active && (answer.Status >= http.StatusInternalServerError || answer.Status == http.StatusTooManyRequests):
		return response{}, answer.RequireOK()
	case !said.active || p.cfg.Response.JSONPath == "":
		return said, nil
	}
	members, err := document(answer)
	if err != nil {
		return response{}, answer.Unusable(fmt.Errorf("the answer is no JSON object, so that %s finds nothing: %w",
			p.path.Key("options.revocation.plain.response.jsonPath"), err))
	}
	value, found := jsonvalue.Lookup(members, p.cfg.Response.JSONPath)
	if said.active = found && jsonvalue.Equal(value, p.cfg.Response.SuccessValue); !said.active {
		said.found += " with another value at " + p.cfg.Response.JSONPath
	}
	return said, nil
}
