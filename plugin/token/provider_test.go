package token_test

import (
	"maps"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
)

// TestProviders: shapes that no guide's configuration has (docs/providers, tested in plugin/chain), before one that fits
// them. The names, ids and hosts are made up.
func TestProviders(t *testing.T) {
	times := object{"iat": now - 10, "exp": now + 290}
	issued := func(claims object) object {
		maps.Copy(claims, times)
		return claims
	}
	requires := func(path string, values ...any) []config.RequiredClaim {
		return []config.RequiredClaim{{Path: path, Values: values}}
	}
	cases := []struct {
		provider string
		alg      string
		header   object // beside alg and kid; nil removes typ
		claims   object
		common   config.Common
		// claim is where the identity is, and what it is.
		claim, identity string
		// other is a good token of the same provider that this configuration refuses, with the changes to the claims.
		other object
		want  string
	}{
		{
			"Entra ID v1 access token", "RS256",
			object{"x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"},
			issued(object{
				"aud": "api://11112222-bbbb-3333-cccc-4444dddd5555", "iss": "https://sts.windows.test/aaaabbbb-0000-cccc-1111-dddd2222eeee/", "nbf": now - 10,
				"acr": "1", "aio": "AXQAi/8IAAAA", "amr": []string{"pwd"}, "appid": "00001111", "appidacr": "0", "ipaddr": "192.0.2.1", "name": "Ann",
				"oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "rh": "I", "scp": "access_as_user", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
				"tid": "aaaabbbb-0000-cccc-1111-dddd2222eeee", "unique_name": "ann@example.test", "upn": "ann@example.test", "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "1.0",
			}),
			config.Common{Issuers: issuers("https://sts.windows.test/aaaabbbb-0000-cccc-1111-dddd2222eeee/"), RequiredScopes: []string{"access_as_user"}},
			"oid", "690222be-ff1a-4d56-abd1-7e4f7d38e474",
			object{"iss": "https://login.microsoftonline.test/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0", "ver": "2.0"},
			"wrong issuer: …",
		},
		{
			"Auth0 access token", "RS256",
			object{"typ": "at+jwt"},
			issued(object{
				"iss": "https://tenant.auth0.test/", "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "aud": []string{"https://broker.test", "https://tenant.auth0.test/userinfo"},
				"scope": "openid profile mqtt", "azp": "my_client_id", "permissions": []string{"publish:data"}, "https://broker.test/name": "ann",
			}),
			config.Common{
				Issuers: issuers("https://tenant.auth0.test/"), Audience: []string{"https://broker.test"}, TokenType: []string{"at+jwt"}, RequiredScopes: []string{"mqtt"},
				RequiredClaims: requires("permissions", "publish:data"),
			},
			"https://broker.test/name", "ann",
			object{"iss": "https://tenant.auth0.test"},
			"wrong issuer: …",
		},
		{
			"Ory Hydra access token, with an empty aud", "RS256", nil,
			issued(object{
				"aud": []string{}, "client_id": "5f6c", "ext": object{"device": "sensor-1"}, "iss": "https://hydra.test/", "jti": "b1f5", "nbf": now - 10,
				"scp": []string{"mqtt"}, "sub": "5f6c",
			}),
			config.Common{Issuers: issuers("https://hydra.test/"), RequiredScopes: []string{"mqtt"}, ValidateExpiration: true},
			"ext.device", "sensor-1",
			object{"exp": now},
			"expired: …",
		},
		{
			"Glewlwyd access token", "ES256",
			object{"typ": "at+jwt"},
			issued(object{
				"iss": "https://glewlwyd.test/", "aud": "mqtt", "client_id": "sensor", "jti": "XzAlH2bN", "type": "access_token", "salt": "6pDFWPAnQMRy",
				"sub": "WpKJdOUq", "expires_in": 300, "nbf": now - 10, "scope": "mqtt g_profile",
			}),
			config.Common{Issuers: issuers("https://glewlwyd.test/"), Audience: []string{"mqtt"}, RequiredScopes: []string{"mqtt"}, TokenType: []string{"at+jwt", "JWT"}},
			"sub", "WpKJdOUq",
			object{"type": "client_token", "scope": "g_profile"},
			`missing scope: scope must be "mqtt", found "g_profile"`,
		},
		{
			"Glewlwyd ID token", "ES256", nil,
			issued(object{
				"iss": "https://glewlwyd.test/", "aud": "sensor", "azp": "sensor", "sub": "WpKJdOUq", "amr": []string{"password"}, "at_hash": "x", "auth_time": now - 20, "nonce": "n",
			}),
			config.Common{Issuers: issuers("https://glewlwyd.test/"), Audience: []string{"sensor"}, TokenType: []string{"JWT"}},
			"sub", "WpKJdOUq",
			object{"aud": []string{"other"}},
			"wrong audience: …",
		},
	}
	keys := map[string]testkeys.Key{"RS256": testkeys.New("RS256", "kid-1"), "ES256": testkeys.New("ES256", "kid-1")}
	for _, c := range cases {
		t.Run(c.provider, func(t *testing.T) {
			key := keys[c.alg]
			b := newBench(t, key, c.common)
			got, claims := b.judge(t, key.SignWith(c.header, c.claims))
			if identity, _ := claims.Lookup(c.claim); got != "accept" || identity != c.identity {
				t.Errorf("got %s, %s is %v", got, c.claim, identity)
			}
			other := maps.Clone(c.claims)
			maps.Copy(other, c.other)
			maps.DeleteFunc(other, func(_ string, value any) bool { return value == nil })
			got, _ = b.judge(t, key.SignWith(c.header, other))
			begin, open := strings.CutSuffix(c.want, "…")
			if got != begin && !(open && strings.HasPrefix(got, begin)) {
				t.Errorf("the other: got %s, want %s", got, c.want)
			}
		})
	}
}
