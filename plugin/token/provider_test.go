package token_test

import (
	"maps"
	"strings"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
)

// TestProviders: tokens in the shape in which the providers issue them, before the configuration that fits them. The
// names, ids and hosts are made up.
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
			"Keycloak access token", "RS256", nil,
			issued(object{
				"jti": "onrtac:5c1e4b5e-2a5c-4a07-9a0c-1f4f52a4f3b0", "iss": "https://idp.test/realms/main", "aud": []string{"mqtt", "account"},
				"sub": "0f3a1c1e-7d0e-4f0e-8a51-0c0b3f9c1d11", "typ": "Bearer", "azp": "sensor", "sid": "e2b6", "acr": "1",
				"allowed-origins": []string{"*"}, "realm_access": object{"roles": []string{"default-roles-main", "publisher"}},
				"resource_access": object{"account": object{"roles": []string{"view-profile"}}},
				"scope":           "email profile", "email_verified": false, "preferred_username": "service-account-sensor", "clientHost": "127.0.0.1",
			}),
			config.Common{Issuer: "https://idp.test/realms/main", Audience: []string{"mqtt"}, RequiredClaims: requires("realm_access.roles", "publisher")},
			"preferred_username", "service-account-sensor",
			object{"typ": "ID", "aud": "sensor"},
			`wrong audience: aud must be one of "mqtt", found "sensor"`,
		},
		{
			"Okta access token", "RS256",
			object{"typ": nil},
			issued(object{
				"ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": "https://org.okta.test/oauth2/default", "aud": "api://default",
				"cid": "0oab8om4bars6Y80Z0h7", "uid": "00uid4BxXw6I6TV4m0g3", "scp": []string{"offline_access", "mqtt"}, "auth_time": now - 20, "sub": "ann@example.test",
			}),
			config.Common{Issuer: "https://org.okta.test/oauth2/default", Audience: []string{"api://default"}, RequiredScopes: []string{"mqtt"}},
			"sub", "ann@example.test",
			object{"scp": []string{"openid"}},
			`missing scope: scope must be "mqtt", found "openid"`,
		},
		{
			"Entra ID v1 access token", "RS256",
			object{"x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"},
			issued(object{
				"aud": "api://11112222-bbbb-3333-cccc-4444dddd5555", "iss": "https://sts.windows.test/aaaabbbb-0000-cccc-1111-dddd2222eeee/", "nbf": now - 10,
				"acr": "1", "aio": "AXQAi/8IAAAA", "amr": []string{"pwd"}, "appid": "00001111", "appidacr": "0", "ipaddr": "192.0.2.1", "name": "Ann",
				"oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "rh": "I", "scp": "access_as_user", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
				"tid": "aaaabbbb-0000-cccc-1111-dddd2222eeee", "unique_name": "ann@example.test", "upn": "ann@example.test", "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "1.0",
			}),
			config.Common{Issuer: "https://sts.windows.test/aaaabbbb-0000-cccc-1111-dddd2222eeee/", RequiredScopes: []string{"access_as_user"}},
			"oid", "690222be-ff1a-4d56-abd1-7e4f7d38e474",
			object{"iss": "https://login.microsoftonline.test/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0", "ver": "2.0"},
			"wrong issuer: …",
		},
		{
			"Entra ID v2 access token of an application", "RS256", nil,
			issued(object{
				"aud": "00001111-aaaa-2222-bbbb-3333cccc4444", "iss": "https://login.microsoftonline.test/aaaabbbb/v2.0", "nbf": now - 10, "aio": "k2Rg",
				"azp": "55556666", "azpacr": "1", "oid": "7d3c", "rh": "0.A", "roles": []string{"Mqtt.Publish"}, "sub": "7d3c", "tid": "aaaabbbb", "uti": "x", "ver": "2.0",
			}),
			config.Common{Issuer: "https://login.microsoftonline.test/aaaabbbb/v2.0", Audience: []string{"00001111-aaaa-2222-bbbb-3333cccc4444"}, RequiredClaims: requires("roles", "Mqtt.Publish")},
			"azp", "55556666",
			object{"roles": []string{}},
			`missing claim: roles must be one of "Mqtt.Publish", found "[]"`,
		},
		{
			"Google ID token", "RS256", nil,
			issued(object{
				"iss": "https://accounts.google.test", "azp": "123-abc.apps.test", "aud": "123-abc.apps.test", "sub": "110169484474386276334",
				"at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "hd": "example.test", "email": "ann@example.test", "email_verified": true,
			}),
			config.Common{Issuer: "https://accounts.google.test", Audience: []string{"123-abc.apps.test"}, RequiredClaims: requires("email_verified", true)},
			"email", "ann@example.test",
			object{"iss": "accounts.google.test"},
			`wrong issuer: iss must be "https://accounts.google.test", found "accounts.google.test"`,
		},
		{
			"Cognito access token, without aud", "RS256",
			object{"typ": nil},
			issued(object{
				"sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": []string{"devices"}, "iss": "https://cognito-idp.test/eu-west-1_Ab1", "version": 2,
				"client_id": "1example23456789", "origin_jti": "o", "event_id": "e", "token_use": "access", "scope": "aws.cognito.signin.user.admin",
				"auth_time": now - 20, "jti": "j", "username": "sensor-1",
			}),
			config.Common{Issuer: "https://cognito-idp.test/eu-west-1_Ab1", RequiredClaims: append(requires("token_use", "access"), requires("cognito:groups", "devices")...)},
			"username", "sensor-1",
			object{"token_use": "id", "aud": "1example23456789", "client_id": nil},
			`missing claim: token_use must be one of "access", found "id"`,
		},
		{
			"Auth0 access token", "RS256",
			object{"typ": "at+jwt"},
			issued(object{
				"iss": "https://tenant.auth0.test/", "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "aud": []string{"https://broker.test", "https://tenant.auth0.test/userinfo"},
				"scope": "openid profile mqtt", "azp": "my_client_id", "permissions": []string{"publish:data"}, "https://broker.test/name": "ann",
			}),
			config.Common{
				Issuer: "https://tenant.auth0.test/", Audience: []string{"https://broker.test"}, TokenType: []string{"at+jwt"}, RequiredScopes: []string{"mqtt"},
				RequiredClaims: requires("permissions", "publish:data"),
			},
			"https://broker.test/name", "ann",
			object{"iss": "https://tenant.auth0.test"},
			"wrong issuer: …",
		},
		{
			"ZITADEL access token", "RS256", nil,
			issued(object{
				"iss": "https://zitadel.test", "sub": "163840776835432705", "aud": []string{"163840776835432345@portal", "163840776801878273"}, "nbf": now - 10,
				"client_id": "163840776835432345@portal", "jti": "V2_163840776835432705-at_163840776801943809",
				"urn:zitadel:iam:org:project:roles": object{"publisher": object{"163840776801878273": "main.zitadel.test"}},
			}),
			config.Common{
				Issuer: "https://zitadel.test", Audience: []string{"163840776801878273"},
				RequiredClaims: requires("urn:zitadel:iam:org:project:roles.publisher.163840776801878273", "main.zitadel.test"),
			},
			"sub", "163840776835432705",
			object{"urn:zitadel:iam:org:project:roles": object{}},
			"missing claim: …",
		},
		{
			"Ory Hydra access token, with an empty aud", "RS256", nil,
			issued(object{
				"aud": []string{}, "client_id": "5f6c", "ext": object{"device": "sensor-1"}, "iss": "https://hydra.test/", "jti": "b1f5", "nbf": now - 10,
				"scp": []string{"mqtt"}, "sub": "5f6c",
			}),
			config.Common{Issuer: "https://hydra.test/", RequiredScopes: []string{"mqtt"}, ValidateExpiration: true},
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
			config.Common{Issuer: "https://glewlwyd.test/", Audience: []string{"mqtt"}, RequiredScopes: []string{"mqtt"}, TokenType: []string{"at+jwt", "JWT"}},
			"sub", "WpKJdOUq",
			object{"type": "client_token", "scope": "g_profile"},
			`missing scope: scope must be "mqtt", found "g_profile"`,
		},
		{
			"Glewlwyd ID token", "ES256", nil,
			issued(object{
				"iss": "https://glewlwyd.test/", "aud": "sensor", "azp": "sensor", "sub": "WpKJdOUq", "amr": []string{"password"}, "at_hash": "x", "auth_time": now - 20, "nonce": "n",
			}),
			config.Common{Issuer: "https://glewlwyd.test/", Audience: []string{"sensor"}, TokenType: []string{"JWT"}},
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
