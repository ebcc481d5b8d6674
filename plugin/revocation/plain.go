package revocation

import (
	"fmt"
	"net/http"
	"slices"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/jsonvalue"
)

// plain is an endpoint of the user's own kind.
type plain struct{ cfg config.Plain }

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

// read goes by the status first. One of those of success says that the token is active, unless the body says otherwise;
// among the others, those that say that the endpoint itself is at fault (RFC 9110 §15.6) or spares itself (429, RFC 6585 §4)
// are no answer.
func (p plain) read(answer *endpoint.Answer) (answered, error) {
	said := answered{active: slices.Contains(p.cfg.Response.SuccessCodes, answer.Status), found: fmt.Sprintf("HTTP %d", answer.Status)}
	switch {
	case !said.active && (answer.Status >= http.StatusInternalServerError || answer.Status == http.StatusTooManyRequests):
		return answered{}, answer.RequireOK()
	case !said.active || p.cfg.Response.JSONPath == "":
		return said, nil
	}
	members, err := document(answer)
	if err != nil {
		return answered{}, answer.Unusable(fmt.Errorf("the answer is no JSON object, so that $.options.revocation.plain.response.jsonPath finds nothing: %w", err))
	}
	value, found := jsonvalue.Lookup(members, p.cfg.Response.JSONPath)
	if said.active = found && jsonvalue.Equal(value, p.cfg.Response.SuccessValue); !said.active {
		said.found += " with another value at " + p.cfg.Response.JSONPath
	}
	return said, nil
}
