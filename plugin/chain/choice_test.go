package chain_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/verdict"
)

// named is a provider of a jwt.json with several, whose usernames are "name:sub". Members of common with a nil value are left out.
func named(name string, modes, common object) object {
	all := object{"usernameTemplate": "{provider}:{sub}", "requireExpiration": false}
	maps.Copy(all, common)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return object{"name": name, "algorithm": "ES256", "mode": "jwks", "options": object{"lazyConnect": true, "modes": object{"jwks": modes}, "common": all}}
}

// keysOf are those of a file.
func keysOf(tb testing.TB, keys ...any) object {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(file, testkeys.Set(keys...), 0o600); err != nil {
		tb.Fatal(err)
	}
	return object{"filePath": file}
}

// opaqueAt is a provider of mode introspection.
func opaqueAt(p *testidp.Server, name string, common object) object {
	o := named(name, nil, common)
	delete(o, "algorithm")
	o["mode"] = "introspection"
	options := o["options"].(object)
	delete(options, "modes")
	options["revocation"] = object{"introspection": object{"uri": p.URL + "/introspect"}, "cache": object{"ttlMs": 3600_000}}
	return o
}

// asking has a provider asked about each token, and keeps what it says in favour of one.
func asking(o object, uri string) object {
	o["options"].(object)["revocation"] = object{"introspection": object{"uri": uri}, "cache": object{"ttlMs": 3600_000}}
	return o
}

// loaded is a jwt.json with these providers; common is what stands beside them.
func loaded(tb testing.TB, common object, providers ...object) *config.Config {
	tb.Helper()
	top := object{"providers": providers}
	if common != nil {
		top["options"] = object{"common": common}
	}
	text, err := json.Marshal(top)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "jwt.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	cfg, problems := config.Load(file)
	if len(problems.Errors()) > 0 {
		tb.Fatal(strings.Join(problems.Errors().Lines(file), "\n"))
	}
	return cfg
}

// verdictOn is what comes of a login, with the provider and the name that it gives.
func verdictOn(t *testing.T, judge *chain.Chain, connect broker.Connect) string {
	t.Helper()
	result := judge.Check(t.Context(), connect)
	if result.Kind != verdict.Accept {
		return result.Kind.String() + ": " + result.String()
	}
	name := *connect.Username
	if result.Identity.Username != nil {
		name = *result.Identity.Username
	}
	return result.Provider.Name() + " accepts " + name
}

// The iss of a token alone says by whose keys and rules it is judged. No other provider speaks for it, whatever keys that has.
func TestIssAloneChooses(t *testing.T) {
	one, two, tenants, rest := testkeys.New("ES256", "k"), testkeys.New("ES256", "k"), testkeys.New("ES256", "t"), testkeys.New("ES256", "k")
	const tenant = "https://login.test/%s/v2"
	// Some Microsoft accounts' keys are those of all tenants: the provider without issuer has them, too.
	shared := keysOf(t, tenants, rest)
	judge, _ := newChainOf(t, loaded(t, nil,
		named("one", keysOf(t, one), object{"issuer": "https://one.test"}),
		named("two", keysOf(t, two), object{"issuer": []string{"https://two.test", "https://deux.test", "https://{{two}}.test"}}),
		named("tenants", shared, object{"issuer": fmt.Sprintf(tenant, "{claim:tid}"), "requiredClaims": object{"tid": []string{"t1", "t2"}}}),
		named("rest", shared, nil),
	))
	header := `{"alg":"ES256","kid":"k"}`
	raw := func(key testkeys.Key, claims string) string { return key.SignRaw(header, `{"sub":"alice",`+claims+`}`) }
	of := func(key testkeys.Key, iss any) string {
		claims := object{"sub": "alice", "iss": iss}
		if iss == nil {
			delete(claims, "iss")
		}
		return key.Sign(claims)
	}
	at := func(key testkeys.Key, iss string, tid any) string {
		return key.Sign(object{"sub": "alice", "iss": fmt.Sprintf(tenant, iss), "tid": tid})
	}
	for _, c := range []struct{ rule, token, want string }{
		{"its own", of(one, "https://one.test"), "one accepts one:alice"},
		{"one of two issuers", of(two, "https://two.test"), "two accepts two:alice"},
		{"the other of them", of(two, "https://deux.test"), "two accepts two:alice"},
		{"an issuer with braces", of(two, "https://{two}.test"), "two accepts two:alice"},
		{"the iss of two, the key of one, under a kid that both have", of(one, "https://two.test"), "deny: bad signature"},
		{"the iss of one, the key of two", of(two, "https://one.test"), "deny: bad signature"},
		{"the iss of two, the key of one, under a kid of its own", testkeys.Key{ID: "x", Alg: "ES256", Private: one.Private}.Sign(object{"iss": "https://two.test"}), "deny: unknown key"},
		{"the iss of one, the key of two, without kid", testkeys.Key{Alg: "ES256", Private: two.Private}.Sign(object{"iss": "https://one.test"}), "deny: bad signature"},
		{"an issuer that nobody claims", of(rest, "https://nobody.test"), "rest accepts rest:alice"},
		{"no issuer", of(rest, nil), "rest accepts rest:alice"},
		{"a claimed issuer, the key of the rest", of(rest, "https://one.test"), "deny: bad signature"},
		{"an issuer that nobody claims, the key of one", of(one, "https://nobody.test"), "deny: bad signature"},
		{"no issuer, the key of one", of(one, nil), "deny: bad signature"},
		{"twice", raw(one, `"iss":"https://one.test","iss":"https://two.test"`), "deny: malformed token"},
		{"twice, and the same", raw(one, `"iss":"https://one.test","iss":"https://one.test"`), "deny: malformed token"},
		{"twice, once with an escape", raw(one, `"iss":"https://one.test","i\u0073s":"https://two.test"`), "deny: malformed token"},
		{"an array", raw(one, `"iss":["https://one.test"]`), "deny: malformed token"},
		{"an array, by the key of the rest", raw(rest, `"iss":["https://one.test"]`), "deny: malformed token"},
		{"a number", raw(rest, `"iss":1`), "deny: malformed token"},
		{"null", raw(rest, `"iss":null`), "deny: malformed token"},
		{"an object", raw(rest, `"iss":{"iss":"https://one.test"}`), "deny: malformed token"},
		{"true", raw(rest, `"iss":true`), "deny: malformed token"},
		{"with escapes", raw(one, `"iss":"https:\/\/\u006fne.test"`), "one accepts one:alice"},
		{"its name with an escape", raw(one, `"\u0069ss":"https://one.test"`), "one accepts one:alice"},
		{"with escapes, the key of the rest", raw(rest, `"iss":"https:\/\/\u006fne.test"`), "deny: bad signature"},
		{"inside of another claim", raw(rest, `"x":{"iss":"https://one.test"}`), "rest accepts rest:alice"},
		{"inside of another claim, and the real one behind it", raw(rest, `"x":{"iss":"https://nobody.test"},"iss":"https://one.test"`), "deny: bad signature"},
		{"in text", raw(rest, `"x":"\",\"iss\":\"https://one.test"`), "rest accepts rest:alice"},
		{"that is not UTF-8", raw(rest, "\"iss\":\"https://one.test\xff\""), "deny: malformed token"},
		{"that is not UTF-8 elsewhere", raw(one, "\"iss\":\"https://one.test\",\"x\":\"\xff\""), "deny: malformed token"},
		{"with another letter's case", of(one, "https://ONE.test"), "deny: bad signature"},
		{"with a slash more", of(one, "https://one.test/"), "deny: bad signature"},
		{"with a NUL behind it", of(one, "https://one.test\x00"), "deny: bad signature"},
		{"empty", of(rest, ""), "rest accepts rest:alice"},
		{"very long", of(rest, strings.Repeat("x", 4000)), "rest accepts rest:alice"},
		{"the pattern itself, braces and all", at(tenants, "{claim:tid}", "{claim:tid}"), "deny: missing claim"},
		{"a tenant on the list", at(tenants, "t1", "t1"), "tenants accepts tenants:alice"},
		{"one that is not, though the keys are the rest's, too", at(tenants, "t3", "t3"), "deny: missing claim"},
		{"one that is not, with the claim of one that is", at(tenants, "t3", "t1"), "deny: wrong issuer"},
		{"one on the list, with the claim of another", at(tenants, "t1", "t2"), "deny: wrong issuer"},
		{"one on the list, with the claims of both", at(tenants, "t1", []string{"t1", "t2"}), "deny: wrong issuer"},
		{"one that is not, with its claim among others", at(tenants, "t3", []string{"t3", "t1"}), "deny: wrong issuer"},
		{"one on the list, without the claim", tenants.Sign(object{"sub": "alice", "iss": fmt.Sprintf(tenant, "t1")}), "deny: wrong issuer"},
		{"one on the list, the key of another provider", at(one, "t1", "t1"), "deny: bad signature"},
	} {
		if got := verdictOn(t, judge, login(c.token)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

// A file without rest provider refuses what nobody claims, and says who is known; the names of issuers are quoted and bounded.
func TestAnIssuerThatNobodyClaims(t *testing.T) {
	key := testkeys.New("ES256", "k")
	var providers []object
	for n := range 10 {
		providers = append(providers, named(fmt.Sprint("p", n), keysOf(t, key), object{"issuer": fmt.Sprint("https://", n, ".test\n")}))
	}
	judge, _ := newChainOf(t, loaded(t, nil, providers...))
	for _, iss := range []string{"https://10.test", "\x1b[31m", strings.Repeat("x", 4000)} {
		result := judge.Check(t.Context(), login(key.Sign(object{"iss": iss})))
		text := result.String() + show(*result.Trace)
		if result.Reason != verdict.WrongIssuer || !strings.Contains(text, `"https://0.test\n"`) || !strings.Contains(text, "and 2 more") || strings.ContainsAny(text[:100], "\n\x1b") || len(text) > 3000 {
			t.Errorf("got %s", text)
		}
	}
}

// What is not a JWT goes to the provider of mode introspection. JWTs go there if it claims their issuer, and what it says of an
// issuer that another provider claims counts for nothing.
func TestOpaqueTokensAmongOthers(t *testing.T) {
	one, stranger := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	const jwe = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0.a.b.c.d"
	says := func(claims string) string { return `{"active":true,"sub":"bob"` + claims + `}` }
	const its = `,"iss":"https://partners.test"`
	for _, c := range []struct {
		rule, token, answer, want string
		issuer                    any // of the partners
		asked                     bool
	}{
		{"an opaque token", "opaque", says(its), "partners accepts partners:bob", "https://partners.test", true},
		{"a password", "correct horse battery staple", `{"active":false}`, "deny: revoked", "https://partners.test", true},
		{"an encrypted token", jwe, says(its), "partners accepts partners:bob", "https://partners.test", true},
		{"a JWT of its issuer", stranger.Sign(object{"iss": "https://partners.test"}), says(its), "partners accepts partners:bob", "https://partners.test", true},
		{"a JWT of its issuer that says that it has another name", stranger.Sign(object{"iss": "https://partners.test", "sub": "one:alice"}), says(its), "partners accepts partners:bob", "https://partners.test", true},
		{"a JWT that nobody claims", stranger.Sign(object{"iss": "https://nobody.test"}), says(its), "deny: wrong issuer", "https://partners.test", false},
		{"a JWT without issuer", stranger.Sign(object{}), says(its), "deny: wrong issuer", "https://partners.test", false},
		{"a JWT whose payload is none", stranger.SignRaw(`{"alg":"none"}`, `x`), says(its), "deny: malformed token", "https://partners.test", false},
		{"another's JWT", one.Sign(object{"iss": "https://one.test", "sub": "alice"}), says(its), "one accepts one:alice", "https://partners.test", false},
		{"another's JWT that is forged", stranger.Sign(object{"iss": "https://one.test"}), says(its), "deny: bad signature", "https://partners.test", false},
		{"another's issuer in the answer", "opaque", says(`,"iss":"https://one.test"`), "deny: wrong issuer", "https://partners.test", true},
		{"no issuer in the answer", "opaque", says(""), "deny: wrong issuer", "https://partners.test", true},
		{"an array of issuers in the answer", "opaque", says(`,"iss":["https://partners.test"]`), "deny: wrong issuer", "https://partners.test", true},

		{"the rest: an opaque token", "opaque", says(""), "partners accepts partners:bob", nil, true},
		{"the rest: a JWT that nobody claims", stranger.Sign(object{"iss": "https://nobody.test"}), says(`,"iss":"https://nobody.test"`), "partners accepts partners:bob", nil, true},
		{"the rest: a JWT without issuer", stranger.Sign(object{}), says(""), "partners accepts partners:bob", nil, true},
		{"the rest: another's issuer in the answer", "opaque", says(`,"iss":"https://one.test"`), "deny: wrong issuer", nil, true},
		{"the rest: an issuer of another's tenants in the answer", "opaque", says(`,"iss":"https://login.test/t1/v2"`), "deny: wrong issuer", nil, true},
		{"the rest: one that is not on the list of those", "opaque", says(`,"iss":"https://login.test/t3/v2"`), "deny: wrong issuer", nil, true},
		{"the rest: another's JWT that is forged", stranger.Sign(object{"iss": "https://one.test"}), says(""), "deny: bad signature", nil, false},
		{"the rest: a JWT of a tenant that is not on the list", stranger.Sign(object{"iss": "https://login.test/t3/v2", "tid": "t3"}), says(""), "deny: unknown key", nil, false},
		{"the rest: iss twice", stranger.SignRaw(`{"alg":"ES256"}`, `{"iss":"https://nobody.test","iss":"https://one.test"}`), says(""), "deny: malformed token", nil, false},
	} {
		p := testidp.New(t)
		p.Does(nil, testidp.Answer(http.StatusOK, c.answer))
		judge, _ := newChainOf(t, loaded(t, nil,
			named("one", keysOf(t, one), object{"issuer": "https://one.test"}),
			named("tenants", keysOf(t, testkeys.New("ES256", "t")), object{"issuer": "https://login.test/{claim:tid}/v2", "requiredClaims": object{"tid": "t1"}}),
			opaqueAt(p, "partners", object{"issuer": c.issuer}),
		))
		if got := verdictOn(t, judge, login(c.token)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
		if asked := p.Requests(); (asked != "") != c.asked {
			t.Errorf("%s: the partners' endpoint was asked %q", c.rule, asked)
		}
	}
}

// Of two fields with tokens of two providers the first one in tokenSource decides, good or bad, and the second is not looked at.
func TestTokensOfTwoProvidersInOneLogin(t *testing.T) {
	one, two := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	a, b := one.Sign(object{"iss": "https://one.test", "sub": "alice"}), two.Sign(object{"iss": "https://two.test", "sub": "bob"})
	forged, nobodys := two.Sign(object{"iss": "https://one.test", "sub": "alice"}), one.Sign(object{"iss": "https://nobody.test"})
	for _, c := range []struct {
		rule               string
		source             []string
		username, password string
		want               string
	}{
		{"the password first", []string{"password", "username"}, b, a, "one accepts one:alice"},
		{"the username first", []string{"username", "password"}, b, a, "two accepts two:bob"},
		{"the first is forged", []string{"password", "username"}, b, forged, "deny: bad signature"},
		{"the first is nobody's", []string{"username", "password"}, nobodys, a, "deny: wrong issuer"},
		{"the first is no token", []string{"username", "password"}, "alice", b, "two accepts two:bob"},
		{"the second alone is looked at", []string{"username"}, b, a, "two accepts two:bob"},
	} {
		judge, _ := newChainOf(t, loaded(t, object{"tokenSource": c.source},
			named("one", keysOf(t, one), object{"issuer": "https://one.test"}), named("two", keysOf(t, two), object{"issuer": "https://two.test"})))
		if got := verdictOn(t, judge, broker.Connect{ClientID: "c", Username: &c.username, Password: &c.password}); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

// No claim makes a name that another provider's template makes, or that is dangerous in a topic pattern.
func TestNamesOfAnotherProvider(t *testing.T) {
	key := testkeys.New("ES256", "k")
	judge, _ := newChainOf(t, loaded(t, nil,
		named("one", keysOf(t, key), object{"issuer": "https://one.test", "reservedNames": []string{"one:admin"}}),
		named("two", keysOf(t, key), object{"issuer": "https://two.test", "usernameTemplate": "{claim:kind}:{sub}", "allowSlashInIdentity": true}),
	))
	for _, c := range []struct{ rule, iss, kind, sub, want string }{
		{"the other's name behind one's own", "one", "", "two:bob", "one accepts one:two:bob"},
		{"a template that begins with a claim can make it, of which start warns", "two", "one", "alice", "two accepts one:alice"},
		{"a wildcard for one level", "one", "", "+", "deny: unsafe identity"},
		{"a wildcard for all levels", "one", "", "#", "deny: unsafe identity"},
		{"a wildcard among others", "one", "", "a+b", "deny: unsafe identity"},
		{"the broker's own topics", "two", "$SYS", "x", "deny: unsafe identity"},
		{"a dollar behind the name", "one", "", "$SYS", "deny: unsafe identity"},
		{"a level more", "one", "", "a/b", "deny: unsafe identity"},
		{"a level more, where it is admitted", "two", "a/b", "c", "two accepts a/b:c"},
		{"a reserved name", "one", "", "admin", "deny: unsafe identity"},
		{"a control character", "one", "", "a\nb", "deny: unsafe identity"},
		{"a NUL", "one", "", "a\x00", "deny: unsafe identity"},
		{"empty", "one", "", "", "deny: unsafe identity"},
		{"an empty part", "two", "", "alice", "deny: unsafe identity"},
	} {
		got := verdictOn(t, judge, login(key.Sign(object{"iss": "https://" + c.iss + ".test", "sub": c.sub, "kind": c.kind})))
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
	for rule, claims := range map[string]object{"without sub": {}, "sub is a number": {"sub": 1}, "sub is an array": {"sub": []string{"alice"}}, "sub is an object": {"sub": object{"a": "b"}}} {
		claims["iss"] = "https://one.test"
		if got := verdictOn(t, judge, login(key.Sign(claims))); !strings.HasPrefix(got, "deny: no identity") {
			t.Errorf("%s: got %s", rule, got)
		}
	}
}

// Two providers at one address share nothing: each reads the keys for itself, and what the endpoint says of one's tokens is not
// believed of the other's.
func TestTwoProvidersAtOneAddress(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(http.StatusOK, string(testkeys.Set(key))), nil)
	at := object{"uri": p.URL + "/keys", "cache": object{"enabled": true}, "maxBlockMs": 10000}
	judge, _ := newChainOf(t, loaded(t, nil,
		asking(named("one", at, object{"issuer": "https://one.test"}), p.URL+"/introspect"),
		asking(named("two", at, object{"issuer": "https://two.test", "audience": "mqtt"}), p.URL+"/introspect"),
	))
	a, b := key.Sign(object{"iss": "https://one.test", "sub": "alice"}), key.Sign(object{"iss": "https://two.test", "sub": "alice", "aud": "mqtt"})
	for _, c := range []struct{ rule, token, want, asked string }{
		{"one's", a, "one accepts one:alice", "GET /keys, POST /introspect"},
		{"two's", b, "two accepts two:alice", "GET /keys, POST /introspect"},
		{"one's, remembered", a, "one accepts one:alice", ""},
		{"two's, remembered", b, "two accepts two:alice", ""},
		{"the rules of one don't hold for two", key.Sign(object{"iss": "https://two.test", "sub": "alice"}), "deny: wrong audience", ""},
	} {
		p.Requests()
		if got := verdictOn(t, judge, login(c.token)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
		if asked := p.Requests(); asked != c.asked {
			t.Errorf("%s: asked %q, want %q", c.rule, asked, c.asked)
		}
	}
}

// next is the chain of the file that comes after.
func next(t *testing.T, file *config.Config, before *chain.Chain) *chain.Chain {
	t.Helper()
	c, err := chain.New(file, before, provider.Options{Now: func() time.Time { return time.Unix(now, 0) }, Report: new(testidp.Reports).Add})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Inherit(before)
	before.Retire(c)
	return c
}

// What was learnt from a provider is the same one's after a reload, by name and issuers, and nobody else's. What speaks for a
// token is only kept with a provider that has not changed at all.
func TestWhatAReloadKeeps(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, c := range []struct {
		rule   string
		change func(one, two object) []object
		// down: with its endpoints out of reach it still has keys. answer: it believes the answer from before.
		down, answer bool
	}{
		{"nothing is changed", func(one, two object) []object { return []object{one, two} }, true, true},
		{"only the order", func(one, two object) []object { return []object{two, one} }, true, true},
		{"the other has gone", func(one, _ object) []object { return []object{one} }, true, true},
		{"another name", func(one, two object) []object { one["name"] = "uno"; return []object{one, two} }, false, false},
		{"the other's name", func(one, two object) []object {
			one["name"], two["name"] = "two", "one"
			return []object{one, two}
		}, false, false},
		{"one issuer more", func(one, two object) []object {
			one["options"].(object)["common"].(object)["issuer"] = []string{"https://one.test", "https://uno.test"}
			return []object{one, two}
		}, false, false},
		{"another rule", func(one, two object) []object {
			one["options"].(object)["common"].(object)["leewayMs"] = 1
			return []object{one, two}
		}, true, false},
		{"other credentials for the keys", func(one, two object) []object {
			one["options"].(object)["modes"].(object)["jwks"].(object)["headers"] = object{"X-Key": "x"}
			return []object{one, two}
		}, false, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p, other := testidp.New(t), testidp.New(t)
			for _, each := range []*testidp.Server{p, other} {
				each.Does(testidp.Answer(http.StatusOK, string(testkeys.Set(key))), nil)
			}
			both := func() (one, two object) {
				at := func(p *testidp.Server) object {
					return object{"uri": p.URL + "/keys", "cache": object{"enabled": true}, "maxBlockMs": 10000}
				}
				return asking(named("one", at(p), object{"issuer": "https://one.test"}), p.URL+"/introspect"),
					asking(named("two", at(other), object{"issuer": "https://two.test"}), other.URL+"/introspect")
			}
			one, two := both()
			before, _ := newChainOf(t, loaded(t, nil, one, two))
			connect := login(key.Sign(object{"iss": "https://one.test", "sub": "alice"}))
			if got := verdictOn(t, before, connect); got != "one accepts one:alice" {
				t.Fatalf("got %s", got)
			}
			after := next(t, loaded(t, nil, c.change(both())...), before)
			p.Does(testidp.Answer(http.StatusServiceUnavailable, ""), testidp.Answer(http.StatusOK, `{"active":false}`))
			p.Requests()
			want := map[bool]string{true: " accepts ", false: "deny: revoked"}[c.answer]
			if !c.down {
				want = "deny: keys unavailable"
			}
			if got := verdictOn(t, after, connect); !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// A login that has begun ends by its provider, though that has gone or changed meanwhile; an unchanged one serves on.
func TestALoginEndsByTheProviderThatBeganIt(t *testing.T) {
	key := testkeys.New("ES256", "k")
	for _, rule := range []string{"kept", "removed", "renamed", "changed"} {
		t.Run(rule, func(t *testing.T) {
			p := testidp.New(t)
			one := func(name string, leeway int) object {
				return asking(named(name, keysOf(t, key), object{"issuer": "https://one.test", "leewayMs": leeway}), p.URL+"/introspect")
			}
			two := named("two", keysOf(t, key), object{"issuer": "https://two.test"})
			begun := one("one", 0)
			before, _ := newChainOf(t, loaded(t, nil, begun, two))
			connect := login(key.Sign(object{"iss": "https://one.test", "sub": "alice"}))
			result, open := before.Begin(t.Context(), connect)
			if result.Kind != verdict.Pending {
				t.Fatalf("got %s", result)
			}
			files := map[string][]object{"kept": {two, begun}, "removed": {two}, "renamed": {one("uno", 0), two}, "changed": {one("one", 1), two}}
			// Several reloads come while it is open; one of them does not come into force.
			after := next(t, loaded(t, nil, files[rule]...), before)
			discarded, err := chain.New(loaded(t, nil, two), after, provider.Options{Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			discarded.Discard()
			after = next(t, loaded(t, nil, files[rule]...), after)
			if result, open = open.Finish(t.Context()); result.Kind != verdict.Accept || open != nil || *result.Identity.Username != "one:alice" {
				t.Errorf("got %s", result)
			}
			// With the last login its provider is closed, unless that serves on.
			isOpen := func() bool {
				v, _ := result.Provider.Recheck(t.Context(), *connect.Password, time.Time{}, rights.Who{})
				return v.Kind == verdict.Accept
			}
			for deadline := time.Now().Add(30 * time.Second); rule != "kept" && isOpen(); {
				if time.Now().After(deadline) {
					t.Fatal("it is still open")
				}
				runtime.Gosched()
			}
			want := map[string]string{"kept": "one accepts one:alice", "removed": "deny: wrong issuer", "renamed": "uno accepts uno:alice", "changed": "one accepts one:alice"}[rule]
			if got := verdictOn(t, after, connect); !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// Where a login that waits for keys holds the broker (Mosquitto 2.0), the logins of all providers together wait for no more of
// the time than those of one: a stranger can name the issuer of each of fifty providers that hang.
func TestAllProvidersTogetherHoldTheBrokerNoLongerThanOne(t *testing.T) {
	const maxBlock, providers, logins = 100 * time.Millisecond, 50, 2
	server := httptest.NewServer(http.HandlerFunc(testidp.Stuck))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	var all []object
	for n := range providers {
		all = append(all, named(fmt.Sprint("p", n), object{"uri": server.URL, "maxBlockMs": maxBlock.Milliseconds()}, object{"issuer": fmt.Sprint("https://", n, ".test")}))
	}
	// Providers are added by and by, and those that were there before are kept.
	judge, _ := newChainOf(t, loaded(t, nil, all[0]))
	judge = next(t, loaded(t, nil, all[:2]...), judge)
	judge = next(t, loaded(t, nil, all...), judge)
	key := testkeys.New("ES256", "k")
	began := time.Now()
	for range logins {
		for n := range providers {
			result, open := judge.Begin(t.Context(), login(key.Sign(object{"iss": fmt.Sprint("https://", n, ".test")})))
			drop(open)
			if result.Kind != verdict.Retry {
				t.Fatalf("got %s", result)
			}
		}
	}
	if held := time.Since(began); held > providers*maxBlock/4 { // twice maxBlock, but the machine has other things to do
		t.Errorf("%d logins have held the broker for %s", logins*providers, held)
	}
}

// What is said of a provider names it, if there are several: two can have one address.
func TestWhatIsSaidNamesTheProvider(t *testing.T) {
	p, key := testidp.New(t), testkeys.New("ES256", "k")
	p.Does(testidp.Answer(http.StatusOK, string(testkeys.Set(key, testkeys.JWK{"kty": "x", "kid": "other"}))), testidp.Answer(http.StatusInternalServerError, ""))
	at := object{"uri": p.URL + "/keys", "cache": object{"enabled": true}, "maxBlockMs": 10000}
	judge, said := newChainOf(t, loaded(t, nil,
		named("one", keysOf(t, key), object{"issuer": "https://one.test"}), asking(named("two", at, object{"issuer": "https://two.test"}), p.URL+"/introspect")))
	for n := range 6 { // the breaker opens
		verdictOn(t, judge, login(key.Sign(object{"iss": "https://two.test", "sub": fmt.Sprint(n)})))
	}
	notes, err := chain.TryOut(t.Context(), judge.Providers()[1])
	if err != nil || len(notes) != 4 {
		t.Errorf("got %v, %v", notes, err)
	}
	lines := strings.Split(said.All(), "\n")
	for _, n := range notes {
		lines = append(lines, n.Text)
	}
	if len(lines) != 6 {
		t.Errorf("got %d lines", len(lines))
	}
	for _, line := range lines {
		if !strings.HasPrefix(strings.TrimPrefix(line, "warning=true "), "provider two: ") {
			t.Errorf("it names none: %s", line)
		}
	}
}
