package token_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// TestPathsAreThoseOfTheProvider: what is said of a key of jwt.json names it where the provider stands.
func TestPathsAreThoseOfTheProvider(t *testing.T) {
	v := token.New(&config.Provider{Path: config.At("$.providers[1]")}, nil, clock)
	number := func(n int) json.Number { return json.Number(strconv.Itoa(n)) }
	said := func(claims object) string {
		var trace verdict.Trace
		judged := v.CheckClaims(token.NewClaims(claims), &trace)
		return fmt.Sprint(judged, trace)
	}
	for key, claims := range map[string]object{
		"leewayMs": {"nbf": number(now + 1)}, "checkIssuedAt": {"iat": number(now + 1)}, "validateExpiration": {"exp": number(now - 1)},
	} {
		if got := said(claims); !strings.Contains(got, "$.providers[1].options.common."+key) || strings.Contains(got, "$.options") {
			t.Errorf("%s: got %s", key, got)
		}
	}
}
