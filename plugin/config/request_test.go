package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestHoldsToken(t *testing.T) {
	const token = TokenPlaceholder
	cases := []struct {
		rule string
		r    Request
		want bool
	}{
		{"nothing", Request{}, false},
		{"path", Request{Path: "/a/" + token}, true},
		{"header", Request{Headers: []Header{{"A", "b"}, {"B", "Bearer " + token}}}, true},
		{"header's name", Request{Headers: []Header{{token, ""}}}, false},
		{"payload", Request{Payload: token}, true},
		{"payload, deep", Request{Payload: []any{1, map[string]any{"a": []any{"x" + token}}}}, true},
		{"payload, the name of a member", Request{Payload: map[string]any{token: nil}}, true},
		{"other words", Request{Method: token, Path: "/jwt_value", Payload: map[string]any{"token": "#:JWT_VALUE:#"}}, false},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if got := c.r.HoldsToken(); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A header or a payload may be a secret. Wrong verbs (%s for a struct) get around Format; vet finds those.
func TestRequestIsNeverShown(t *testing.T) {
	r := Request{Path: "/hunter2", Headers: []Header{{"A", "hunter2"}}, Payload: "hunter2"}
	c := &Provider{Revocation: &Revocation{Introspection: Introspection{Request: r}, Plain: &Plain{Request: r}}}
	var out strings.Builder
	for _, v := range []any{r, &r, []Request{r}, c, *c, *c.Revocation, c.Revocation.Plain} {
		fmt.Fprintf(&out, "%v\n%+v\n%#v\n", v, v, v)
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Fatal(err)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "request", v)
	}
	if strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), "(request)") {
		t.Errorf("got\n%s", out.String())
	}
}
