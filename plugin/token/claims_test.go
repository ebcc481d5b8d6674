package token_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/token"
)

// raw is a JSON value that stands in a token as it is written here.
type raw = json.RawMessage

// claimsCase is a token by one key, with claims beside sub, before a verifier with common.
type claimsCase struct {
	rule   string
	common config.Common
	claims object
	want   string // the verdict: all of it, or its beginning where it ends with "…"
}

func (c claimsCase) run(t *testing.T, key testkeys.Key) {
	t.Run(c.rule, func(t *testing.T) {
		claims := object{"sub": "alice"}
		maps.Copy(claims, c.claims)
		got, _ := newBench(t, key, c.common).judge(t, key.Sign(claims))
		begin, open := strings.CutSuffix(c.want, "…")
		if got != begin && !(open && strings.HasPrefix(got, begin)) {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	})
}

// TestTimes: RFC 7519 §4.1.4 to §4.1.6.
func TestTimes(t *testing.T) {
	strict := config.Common{ValidateExpiration: true, RequireExpiration: true}
	with := func(change func(*config.Common)) config.Common {
		common := strict
		change(&common)
		return common
	}
	leeway := func(d time.Duration) config.Common { return with(func(c *config.Common) { c.Leeway = d }) }
	optional := with(func(c *config.Common) { c.RequireExpiration = false })
	lax := config.Common{}
	issued := func(leeway time.Duration) config.Common { return config.Common{CheckIssuedAt: true, Leeway: leeway} }
	const never = "malformed token: exp must be a NumericDate (RFC 7519 §2), found "
	cases := []claimsCase{
		{"exp ahead", strict, object{"exp": now + 1}, "accept"},
		{"exp now", strict, object{"exp": now}, "expired: exp is 2026-11-23T15:00:00Z, 0 s ago"},
		{"exp past", strict, object{"exp": now - 90}, "expired: exp is 2026-11-23T14:58:30Z, 90 s ago"},
		{"exp long past", strict, object{"exp": 0}, "expired: exp is 1970-01-01T00:00:00Z, …"},
		{"exp with a fraction", strict, object{"exp": raw("1795446001.5")}, "accept"},
		{"exp's fraction is cut off", strict, object{"exp": raw("1795446000.9")}, "expired: exp is 2026-11-23T15:00:00Z, 0 s ago"},
		{"exp as a float", strict, object{"exp": raw("1795446001.0")}, "accept"},
		{"exp with an exponent", strict, object{"exp": raw("1.8E9")}, "accept"},
		{"exp at the end of time", strict, object{"exp": raw("253402300799")}, "accept"},
		{"exp beyond it", strict, object{"exp": raw("253402300800")}, never + "253402300800"},
		{"exp in ms", strict, object{"exp": raw("1795446001000")}, never + "1795446001000"},
		{"exp of 1e300", strict, object{"exp": raw("1e300")}, never + "1e300"},
		{"exp of 1e999", strict, object{"exp": raw("1e999")}, never + "1e999"},
		{"exp of very many digits", strict, object{"exp": raw(strings.Repeat("9", 5000))}, never + strings.Repeat("9", 64)},
		{"exp below zero", strict, object{"exp": -1}, never + "-1"},
		{"exp of -1e300", strict, object{"exp": raw("-1e300")}, never + "-1e300"},
		{"exp as a string", strict, object{"exp": "1795446300"}, never + `"1795446300"`},
		{"exp as a date", strict, object{"exp": "2030-01-01T00:00:00Z"}, never + `"2030-01-01T00:00:00Z"`},
		{"exp is null", strict, object{"exp": nil}, never + `"null"`},
		{"exp is true", strict, object{"exp": true}, never + "true"},
		{"exp is an array", strict, object{"exp": []int{now + 1}}, never + `"[1795446001]"`},
		{"exp in capitals is no exp", strict, object{"EXP": now + 1}, "no expiration: exp must be present, found none"},
		{"no exp", strict, nil, "no expiration: exp must be present, found none"},
		{"no exp where it is optional", optional, nil, "accept"},
		{"exp past where it is optional", optional, object{"exp": now}, "expired: …"},
		{"exp past, not validated", lax, object{"exp": now - 1}, "accept"},
		{"exp that is no date, not validated", lax, object{"exp": "x"}, never + `"x"`},
		{"exp past within leeway", leeway(6 * time.Second), object{"exp": now - 5}, "accept"},
		{"exp past by the leeway", leeway(5 * time.Second), object{"exp": now - 5}, "expired: exp is 2026-11-23T14:59:55Z, 5 s ago"},
		{"nbf now", lax, object{"nbf": now}, "accept"},
		{"nbf zero", lax, object{"nbf": 0}, "accept"},
		{"nbf ahead", lax, object{"nbf": now + 1}, "not yet valid: nbf is 2026-11-23T15:00:01Z, 1 s ahead of the broker's clock ($.options.common.leewayMs grants a skew)"},
		{"nbf ahead within leeway", leeway(time.Second), object{"nbf": now + 1, "exp": now + 9}, "accept"},
		{"nbf ahead beyond leeway", leeway(time.Second), object{"nbf": now + 2, "exp": now + 9}, "not yet valid: nbf …"},
		{"nbf as a string", lax, object{"nbf": "0"}, `malformed token: nbf must be a NumericDate (RFC 7519 §2), found "0"`},
		{"nbf of 1e300", lax, object{"nbf": raw("1e300")}, "malformed token: nbf …"},
		{"iat past", lax, object{"iat": now - 1}, "accept"},
		{"iat ahead (RFC 7519 §4.1.6 makes it no reason to refuse)", lax, object{"iat": now + 3600}, "accept"},
		{"iat far ahead", strict, object{"iat": raw("253402300799"), "exp": now + 9}, "accept"},
		{"iat ahead, checked", issued(0), object{"iat": now + 3600}, "not yet valid: iat is 2026-11-23T16:00:00Z, 60 min ahead of the broker's clock…"},
		{"iat now, checked", issued(0), object{"iat": now}, "accept"},
		{"iat ahead within leeway, checked", issued(time.Second), object{"iat": now + 1}, "accept"},
		{"iat ahead beyond leeway, checked", issued(time.Second), object{"iat": now + 2}, "not yet valid: iat …"},
		{"no iat, checked", issued(0), nil, "accept"},
		{"iat as a float", lax, object{"iat": raw("1795445999.25")}, "accept"},
		{"iat as a string", lax, object{"iat": "x"}, "malformed token: iat …"},
		{"iat below zero", lax, object{"iat": -1}, "malformed token: iat …"},
		{"nbf goes before exp", strict, object{"nbf": now + 1, "exp": now - 1}, "not yet valid: nbf …"},
	}
	key := testkeys.New("EdDSA", "k")
	for _, c := range cases {
		c.run(t, key)
	}
}

// TestExpiredGoesLast: an expired token that is wrong otherwise is called what it is (CVE-2024-51744), and leeway
// doesn't mask it.
func TestExpiredGoesLast(t *testing.T) {
	key, stranger := testkeys.New("EdDSA", "k"), testkeys.New("EdDSA", "k")
	expired := object{"exp": now - 1, "nbf": now - 9, "iss": "https://idp.test", "aud": "mqtt", "scope": "a", "role": "r"}
	for _, leeway := range []time.Duration{0, time.Hour} {
		good := config.Common{
			ValidateExpiration: true, Leeway: leeway, Issuers: issuers("https://idp.test"), Audience: []string{"mqtt"}, RequiredScopes: []string{"a"},
			RequiredClaims: []config.RequiredClaim{{Path: "role", Values: []any{"r"}}}, TokenType: []string{"JWT"},
		}
		last := "expired: exp is 2026-11-23T14:59:59Z, 1 s ago"
		if leeway > 0 {
			last = "accept"
		}
		with := func(change func(*config.Common)) config.Common {
			common := good
			change(&common)
			return common
		}
		cases := []claimsCase{
			{"nothing else", good, expired, last},
			{"wrong issuer", with(func(c *config.Common) { c.Issuers = issuers("https://other.test") }), expired, "wrong issuer: …"},
			{"wrong audience", with(func(c *config.Common) { c.Audience = []string{"other"} }), expired, "wrong audience: …"},
			{"missing claim", with(func(c *config.Common) {
				c.RequiredClaims = []config.RequiredClaim{{Path: "other", Values: []any{"r"}}}
			}), expired, "missing claim: …"},
			{"missing scope", with(func(c *config.Common) { c.RequiredScopes = []string{"b"} }), expired, "missing scope: …"},
			{"wrong type", with(func(c *config.Common) { c.TokenType = []string{"at+jwt"} }), expired, "wrong token type: …"},
		}
		for _, c := range cases {
			c.rule = fmt.Sprintf("%s, leeway %s", c.rule, leeway)
			c.run(t, key)
		}
		if got, _ := newBench(t, key, good).judge(t, stranger.Sign(expired)); !strings.HasPrefix(got, "bad signature: ") {
			t.Errorf("of another key: %s", got)
		}
	}
}

func TestIssuer(t *testing.T) {
	const issuer = "https://idp.test/realms/main"
	common := config.Common{Issuers: issuers(issuer)}
	const wrong = `wrong issuer: iss must be "https://idp.test/realms/main", found `
	key := testkeys.New("EdDSA", "k")
	for _, c := range []claimsCase{
		{"the same", common, object{"iss": issuer}, "accept"},
		{"a slash more", common, object{"iss": issuer + "/"}, wrong + `"https://idp.test/realms/main/"`},
		{"a slash less", config.Common{Issuers: issuers(issuer + "/")}, object{"iss": issuer}, "wrong issuer: …"},
		{"other case", common, object{"iss": "https://IDP.test/realms/main"}, wrong + "…"},
		{"another scheme", common, object{"iss": "http://idp.test/realms/main"}, wrong + "…"},
		{"no scheme", common, object{"iss": "idp.test/realms/main"}, wrong + "…"},
		{"its beginning", common, object{"iss": "https://idp.test"}, wrong + "…"},
		{"more behind", common, object{"iss": issuer + ".evil.test"}, wrong + "…"},
		{"a space behind", common, object{"iss": issuer + " "}, wrong + "…"},
		{"empty", common, object{"iss": ""}, wrong + `""`},
		{"none", common, nil, wrong + "none"},
		{"an array", common, object{"iss": []string{issuer}}, wrong + `["https://idp.test/realms/main"]`},
		{"a number", common, object{"iss": 7}, wrong + "7"},
		{"null", common, object{"iss": nil}, wrong + `"null"`},
		{"in capitals", common, object{"ISS": issuer}, wrong + "none"},
		{"any, where none is configured", config.Common{}, object{"iss": 7}, "accept"},
	} {
		c.run(t, key)
	}
}

// Several issuers, and one with a claim of the token's own in it.
func TestIssuers(t *testing.T) {
	file, problems := config.Parse([]byte(`{"algorithm": "EdDSA", "mode": "local", "options": {"modes": {"local": "key"}, "common": {
		"issuer": ["https://idp.test", "https://login.test/{claim:tid}/v2"], "requiredClaims": {"tid": ["t1", "t2"]}}}}`), "/jwt.json")
	if file == nil {
		t.Fatal(problems)
	}
	common := file.Providers[0].Common
	const wrong = `wrong issuer: iss must be one of "https://idp.test", "https://login.test/{claim:tid}/v2", found `
	const tenant = `missing claim: tid must be one of "t1", "t2", found `
	key := testkeys.New("EdDSA", "k")
	exp := now + 60
	for _, c := range []claimsCase{
		{"the literal one", common, object{"iss": "https://idp.test", "tid": "t1", "exp": exp}, "accept"},
		{"of its own tenant", common, object{"iss": "https://login.test/t1/v2", "tid": "t1", "exp": exp}, "accept"},
		{"of the other tenant", common, object{"iss": "https://login.test/t2/v2", "tid": "t2", "exp": exp}, "accept"},
		{"of another tenant than its own", common, object{"iss": "https://login.test/t1/v2", "tid": "t2", "exp": exp}, wrong + `"https://login.test/t1/v2"`},
		{"of a tenant that is not on the list", common, object{"iss": "https://login.test/t3/v2", "tid": "t3", "exp": exp}, tenant + `"t3"`},
		{"without a tenant", common, object{"iss": "https://login.test/t1/v2", "exp": exp}, wrong + `"https://login.test/t1/v2"`},
		{"with several tenants", common, object{"iss": "https://login.test/t1/v2", "tid": []string{"t1"}, "exp": exp}, wrong + `"https://login.test/t1/v2"`},
		{"with a tenant that is a path", common, object{"iss": "https://login.test/t1/../t3/v2", "tid": "t1/../t3", "exp": exp}, wrong + `"https://login.test/t1/../t3/v2"`},
		{"the pattern itself", common, object{"iss": "https://login.test/{claim:tid}/v2", "tid": "t1", "exp": exp}, wrong + `"https://login.test/{claim:tid}/v2"`},
		{"an array of both", common, object{"iss": []string{"https://idp.test"}, "tid": "t1", "exp": exp}, wrong + `["https://idp.test"]`},
		{"a number", common, object{"iss": 1, "tid": "t1", "exp": exp}, wrong + "1"},
	} {
		c.run(t, key)
	}
}

func TestAudience(t *testing.T) {
	common := config.Common{Audience: []string{"mqtt", "https://broker.test"}}
	const wrong = `wrong audience: aud must be one of "mqtt", "https://broker.test", found `
	key := testkeys.New("EdDSA", "k")
	for _, c := range []claimsCase{
		{"a string", common, object{"aud": "mqtt"}, "accept"},
		{"the other", common, object{"aud": "https://broker.test"}, "accept"},
		{"in an array", common, object{"aud": []string{"account", "mqtt"}}, "accept"},
		{"another", common, object{"aud": "account"}, wrong + `"account"`},
		{"others", common, object{"aud": []string{"account", "web"}}, wrong + `["account", "web"]`},
		{"an empty array", common, object{"aud": []string{}}, wrong + `[]`},
		{"an array in the array", common, object{"aud": []any{[]string{"mqtt"}}}, wrong + "…"},
		{"something else in the array beside", common, object{"aud": []any{"mqtt", 7}}, wrong + "…"},
		{"words in a string", common, object{"aud": "mqtt account"}, wrong + "…"},
		{"other case", common, object{"aud": "MQTT"}, wrong + `"MQTT"`},
		{"its beginning", common, object{"aud": "mq"}, wrong + `"mq"`},
		{"a number", common, object{"aud": 7}, wrong + "7"},
		{"an object", common, object{"aud": object{"mqtt": true}}, wrong + "…"},
		{"empty", common, object{"aud": ""}, wrong + `""`},
		{"null", common, object{"aud": nil}, wrong + `"null"`},
		{"none (CVE-2020-26160)", common, nil, wrong + "none"},
		{"any, where none is configured", config.Common{}, object{"aud": 7}, "accept"},
	} {
		c.run(t, key)
	}
}

func TestRequiredClaims(t *testing.T) {
	claims := object{
		"role":                     "mqtt",
		"realm_access":             object{"roles": []string{"offline", "mqtt"}, "deep.er": object{"still": true}},
		"https://idp.test/role":    "admin",
		"a.b":                      object{"c": "dotted"},
		"a":                        object{"b": object{"c": "nested"}, "b.d": 1},
		"level":                    3,
		"half":                     raw("0.5"),
		"big":                      raw("9007199254740993"),
		"verified":                 true,
		"blocked":                  false,
		"nothing":                  nil,
		"none":                     []any{},
		"many":                     []any{1, "1", true, object{"x": 1}, []any{"deep"}},
		"urn:zitadel:iam:org:role": object{"admin": object{"1": "x"}},
	}
	number := func(text string) json.Number { return json.Number(text) }
	const ok = "accept"
	cases := []struct {
		rule, path string
		values     []any
		want       string
	}{
		{"a string", "role", []any{"mqtt"}, ok},
		{"one of several", "role", []any{"x", "mqtt"}, ok},
		{"another string", "role", []any{"admin"}, `missing claim: role must be one of "admin", found "mqtt"`},
		{"other case", "role", []any{"MQTT"}, "missing claim: …"},
		{"in an array", "realm_access.roles", []any{"mqtt"}, ok},
		{"not in the array", "realm_access.roles", []any{"admin"}, `missing claim: realm_access.roles must be one of "admin", found ["offline", "mqtt"]`},
		{"in an empty array", "none", []any{"x"}, `missing claim: none must be one of "x", found []`},
		{"not in an array of the array", "many", []any{"deep"}, "missing claim: …"},
		{"a name with dots", "https://idp.test/role", []any{"admin"}, ok},
		{"a name with dots in a nested object", "realm_access.deep.er.still", []any{true}, ok},
		{"of a dotted name and a nested one, the first to be found", "a.b.c", []any{"nested"}, ok},
		{"a dotted name below a plain one", "a.b.d", []any{number("1")}, ok},
		{"a name with colons", "urn:zitadel:iam:org:role.admin.1", []any{"x"}, ok},
		{"an integer", "level", []any{number("3")}, ok},
		{"a number is the same in another spelling", "level", []any{number("3.0")}, ok},
		{"a fraction", "half", []any{number("5e-1")}, ok},
		{"another number", "level", []any{number("4")}, `missing claim: level must be one of 4, found 3`},
		{"a number is no string", "level", []any{"3"}, "missing claim: …"},
		{"a large number", "big", []any{number("9007199254740993")}, ok},
		{"its neighbour, which is the same as a float", "big", []any{number("9007199254740992")}, `missing claim: big must be one of 9007199254740992, found 9007199254740993`},
		{"a fraction's neighbour", "half", []any{number("0.50000000000000000001")}, "missing claim: half …"},
		{"true", "verified", []any{true}, ok},
		{"true is not false", "verified", []any{false}, `missing claim: verified must be one of false, found true`},
		{"false", "blocked", []any{false}, ok},
		{"true is no string", "verified", []any{"true"}, "missing claim: …"},
		{"null is no value", "nothing", []any{"", false, number("0")}, `missing claim: nothing must be one of "", false, 0, found "null"`},
		{"an object is no value", "realm_access", []any{"roles"}, "missing claim: …"},
		{"none", "missing", []any{"x"}, `missing claim: missing must be one of "x", found none`},
		{"none, deeper", "role.deeper", []any{"mqtt"}, `missing claim: role.deeper must be one of "mqtt", found none`},
		{"an array is not reached into", "many.0", []any{number("1")}, "missing claim: …"},
		{"a dot too much", "role.", []any{"mqtt"}, "missing claim: …"},
	}
	key := testkeys.New("EdDSA", "k")
	for _, c := range cases {
		common := config.Common{RequiredClaims: []config.RequiredClaim{{Path: c.path, Values: c.values}}}
		claimsCase{c.rule, common, claims, c.want}.run(t, key)
	}
	both := config.Common{RequiredClaims: []config.RequiredClaim{{Path: "role", Values: []any{"mqtt"}}, {Path: "level", Values: []any{number("9")}}}}
	claimsCase{"each of several is required", both, claims, "missing claim: level …"}.run(t, key)
}

func TestRequiredScopes(t *testing.T) {
	common := config.Common{RequiredScopes: []string{"mqtt", "read"}}
	key := testkeys.New("EdDSA", "k")
	for _, c := range []claimsCase{
		{"scope, words", common, object{"scope": "openid read mqtt"}, "accept"},
		{"scope, an array", common, object{"scope": []string{"mqtt", "read"}}, "accept"},
		{"scp, an array", common, object{"scp": []string{"read", "mqtt"}}, "accept"},
		{"scp, words", common, object{"scp": "mqtt read"}, "accept"},
		{"some in scope, some in scp", common, object{"scope": "mqtt", "scp": []string{"read"}}, "accept"},
		{"one is missing", common, object{"scope": "mqtt openid"}, `missing scope: scope must be "read", found "mqtt openid"`},
		{"its beginning", common, object{"scope": "mqtt rea reader"}, `missing scope: scope must be "read", found "mqtt rea reader"`},
		{"other case", common, object{"scope": "MQTT read"}, `missing scope: scope must be "mqtt", found "MQTT read"`},
		{"two spaces part words too", common, object{"scope": " mqtt  read "}, "accept"},
		{"a no-break space parts no words", common, object{"scope": "x:\u00a0mqtt read"}, `missing scope: scope must be "mqtt", found "x:\u00a0mqtt read"`},
		{"nor does any other white space", common, object{"scope": "mqtt\tread\nmqtt\u0085mqtt\u2003mqtt\u3000read"}, "missing scope: …"},
		{"a no-break space in scp", common, object{"scp": "read \u00a0mqtt"}, "missing scope: …"},
		{"commas don't part words", common, object{"scope": "mqtt,read"}, `missing scope: scope must be "mqtt", found "mqtt,read"`},
		{"words in an array's string are one scope", common, object{"scope": []string{"mqtt read"}}, "missing scope: …"},
		{"none", common, nil, `missing scope: scope must be "mqtt", found ""`},
		{"a number", common, object{"scope": 7}, `missing scope: scope must be "mqtt", found ""`},
		{"numbers in an array", common, object{"scope": []any{7, "mqtt", nil, "read"}}, "accept"},
		{"an object", common, object{"scope": object{"mqtt": true}}, "missing scope: …"},
	} {
		c.run(t, key)
	}
}

// TestType: RFC 8725 §3.11, compared by RFC 7515 §4.1.9.
func TestType(t *testing.T) {
	access := []string{"at+jwt", "JWT"}
	cases := []struct {
		rule     string
		accepted []string
		typ      any // nil: none
		want     string
	}{
		{"the same", access, "at+jwt", "accept"},
		{"the other", access, "JWT", "accept"},
		{"with application/", access, "application/at+jwt", "accept"},
		{"other case", access, "AT+JWT", "accept"},
		{"with application/ in other case", access, "Application/At+Jwt", "accept"},
		{"another", access, "logout+jwt", `wrong token type: typ must be at+jwt, JWT, found "logout+jwt"`},
		{"its beginning", access, "at", `wrong token type: typ must be at+jwt, JWT, found "at"`},
		{"application/ twice", access, "application/application/jwt", "wrong token type: typ must be at+jwt, JWT, found \"application/application/jwt\""},
		{"empty", access, "", `wrong token type: typ must be at+jwt, JWT, found ""`},
		{"none", access, nil, `wrong token type: typ must be at+jwt, JWT, found ""`},
		{"a number", access, 7, "malformed token: its typ is no string"},
		{"any, where none is configured", nil, "logout+jwt", "accept"},
		{"none, where none is configured", nil, nil, "accept"},
	}
	key := testkeys.New("EdDSA", "k")
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			b := newBench(t, key, config.Common{TokenType: c.accepted})
			if got, _ := b.judge(t, key.SignWith(object{"typ": c.typ}, object{"sub": "alice"})); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	cases := []struct {
		rule  string
		value any
		want  int64 // 0: none
	}{
		{"a number", json.Number("1795446000"), now},
		{"a number with a fraction", json.Number("1795446000.75"), now},
		{"none", nil, 0},
		{"a string", "1795446000", 0},
		{"too far", json.Number("1e300"), 0},
		{"below zero", json.Number("-1"), 0},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			claims := object{}
			if c.value != nil {
				claims["exp"] = c.value
			}
			at, found := token.NewClaims(claims).Expiry()
			if found != (c.want != 0) || (found && at.Unix() != c.want) {
				t.Errorf("got %s, %t", at, found)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	nested := object{"b": object{"c": 1}, "b.c": 2, "d": object{"c": 1}}
	claims := token.NewClaims(object{"a": nested, "x.y": 3, "x": object{"y": 4}, "": 5, "n": nil})
	cases := []struct {
		path  string
		want  any
		found bool
	}{
		{"a.b.c", 2, true}, // the whole of what is left goes first
		{"a.d.c", 1, true},
		{"a", nested, true},
		{"x.y", 3, true},
		{"", 5, true},
		{"n", nil, true},
		{"n.o", nil, false},
		{"a.b.c.d", nil, false},
		{"a..b", nil, false},
		{".a", nil, false},
		{"A", nil, false},
		{strings.Repeat("a.", 1000), nil, false},
	}
	for _, c := range cases {
		if got, found := claims.Lookup(c.path); found != c.found || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %v, %t, want %v, %t", c.path, got, found, c.want, c.found)
		}
	}
	if _, found := (token.Claims{}).Lookup("a"); found {
		t.Error("no claims hold something")
	}
}

// Entra ID leaves groups out of the tokens of those who are in many, and says so.
func TestAClaimThatTheProviderLeftOut(t *testing.T) {
	const over = `missing claim: groups must be one of "operators", and the provider has left it out, as there is too much of it ` +
		`(Entra ID's groups overage): have it issue only the groups that are assigned to the application, or use app roles`
	const none = `missing claim: groups must be one of "operators", found none`
	b := newBench(t, testkeys.New("ES256", "k"), config.Common{RequiredClaims: []config.RequiredClaim{{Path: "groups", Values: []any{"operators"}}}})
	for _, c := range []struct {
		rule   string
		claims object
		want   string
	}{
		{"_claim_names", object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "https://graph.test"}}}, over},
		{"hasgroups", object{"hasgroups": true}, over},
		{"another claim is left out", object{"_claim_names": object{"roles": "src1"}}, none},
		{"no groups", object{}, none},
		{"other groups, and an old note", object{"groups": []string{"a"}, "hasgroups": true}, `missing claim: groups must be one of "operators", found ["a"]`},
		{"nonsense", object{"_claim_names": "groups", "hasgroups": "true"}, none},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got, _ := b.judge(t, b.key.Sign(c.claims)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Lists are shown as one writes them, and no longer than a line of the log can bear.
func TestListsInMessages(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprint("api-", i)
	}
	b := newBench(t, testkeys.New("ES256", "k"), config.Common{Audience: many})
	const eight = `"api-0", "api-1", "api-2", "api-3", "api-4", "api-5", "api-6", "api-7" and 92 more`
	others := make([]string, 30)
	for i := range others {
		others[i] = "x"
	}
	got, _ := b.judge(t, b.key.Sign(object{"aud": others}))
	if want := "wrong audience: aud must be one of " + eight + `, found ["x", "x", "x", "x", "x", "x", "x", "x" and 22 more]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
