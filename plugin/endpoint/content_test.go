package endpoint_test

import (
	"net/http"
	"testing"

	"go-jwt-auth/plugin/endpoint"
)

func TestDescribe(t *testing.T) {
	for _, c := range []struct{ body, content, want string }{
		{"", "", "it is empty"},
		{"", "application/json", "it is empty"},
		{"<html>", "text/html; charset=utf-8", `its Content-Type is "text/html; charset=utf-8"`},
		{"a.b.c", "application/token-introspection+jwt", `its Content-Type is "application/token-introspection+jwt"`},
		{"x", "", "it has no Content-Type"},
		{"x", "a\nb", `its Content-Type is "a\nb"`},
	} {
		answer := endpoint.Answer{Header: http.Header{"Content-Type": {c.content}}, Body: []byte(c.body)}
		if got := answer.Describe(); got != c.want {
			t.Errorf("%q of %q: got %s, want %s", c.body, c.content, got, c.want)
		}
	}
}
