package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
)

// of is a provider of a file with several.
func of(name string, p *idp.Provider) file {
	return file{Name: name, Algorithm: []string{"RS256"}, Issuer: p.Issuer(), Audience: "mqtt", UsernameClaim: "sub", Template: true}
}

func withIntrospection(f file, p *idp.Provider) file {
	f.Introspection = &introspection{URI: p.IntrospectionURI(), ClientID: "asker", Secret: brokerSecret}
	return f
}

// severalJSON is a file with these; change edits its text.
func severalJSON(t *testing.T, providers []file, change ...string) string {
	t.Helper()
	list := make([]members, len(providers))
	for i, f := range providers {
		list[i] = f.provider()
	}
	return write(t, "jwt.json", strings.NewReplacer(change...).Replace(string(written(members{{"providers", list}}, "", "    "))))
}

func TestCheckTokenChoosesTheProvider(t *testing.T) {
	one, two, stranger := startProvider(t, withAsker()), startProvider(t, withAsker()), startProvider(t, withAsker())
	opaque := withIntrospection(of("phones", two), two)
	opaque.Opaque = true
	claims := opaque
	claims.Issuer = "https://phones.example.com"
	rest := []string{
		`"mode": "oidc",
            "options": {
                "modes": {
                    "oidc": {
                        "issuer": "` + stranger.Issuer() + `"
                    },
                    "jwks": {`, `"mode": "jwks",
            "options": {
                "modes": {
                    "jwks": {
                        "uri": "` + stranger.JWKSURI() + `",`,
	}
	closed := severalJSON(t, []file{withIntrospection(of("employees", one), one), of("devices", two)})
	open := severalJSON(t, []file{withIntrospection(of("employees", one), one), of("partners", stranger), claims}, rest...)
	last := severalJSON(t, []file{of("employees", one), opaque}, `"issuer": "`+two.Issuer()+`",`, "")
	alone := severalJSON(t, []file{of("employees", one)})
	issued := func(p *idp.Provider, claims ...idp.TokenOption) string {
		return p.Token("sensor-1", time.Hour, append(claims, idp.Audience("mqtt"))...)
	}
	for _, c := range []struct {
		rule, file, token string
		online            bool
		code              int
		provider          string // empty: none
		because           string
		want              []string
		asked             any // revocationAsked
	}{
		{"by iss", closed, issued(one), false, 0, "employees", `iss is "` + one.Issuer() + `"`, []string{`username   "employees:sensor-1"`, "not asked (--online asks)"}, false},
		{"by iss, asked as well", closed, issued(one), true, 0, "employees", `iss is "` + one.Issuer() + `"`, []string{"✓ introspection"}, true},
		{"another, which has no endpoint to ask", closed, issued(two), true, 0, "devices", `iss is "` + two.Issuer() + `"`, []string{`username   "devices:sensor-1"`}, nil},
		{"nobody's", closed, issued(stranger), false, exitNo, "", "", []string{"refused: wrong issuer", one.Issuer(), two.Issuer()}, nil},
		{"no token", closed, "hunter2", false, exitNo, "", "", []string{"left to the next plugin"}, nil},
		{"the rest", open, issued(stranger), false, 0, "partners", `no provider claims iss "` + stranger.Issuer() + `", and partners has no issuer`, []string{`username   "partners:sensor-1"`}, nil},
		{"the rest, without iss", open, issued(stranger, idp.Without("iss")), false, 0, "partners", "it has no iss, and partners no issuer", nil, nil},
		{"by iss, though another is asked about opaque tokens", open, issued(one), false, 0, "employees", `iss is "` + one.Issuer() + `"`, nil, false},
		{"refused by the one that was chosen", open, issued(stranger, idp.Claim("iss", one.Issuer())), false, exitNo, "employees", `iss is "` + one.Issuer() + `"`, []string{"unknown key"}, false},
		{"opaque", open, two.Opaque("sensor-1", time.Hour, idp.Audience("mqtt"), idp.Claim("iss", claims.Issuer)), true, 0, "phones", "it is not a JWT, and phones has mode introspection", []string{`username   "phones:sensor-1"`}, true},
		{"introspection for all the rest", last, issued(two), true, 0, "phones", `no provider claims iss "` + two.Issuer() + `", and phones has no issuer`, nil, true},
		{"one with a name", alone, issued(one), false, 0, "employees", "the file has no other", nil, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			args := []string{"check-token", "--config", c.file, "-"}
			if c.online {
				args = append(args, "--online")
			}
			got := tool(t, c.token, args...).want(t, c.code, c.want...).lacks(t, brokerSecret)
			o := tool(t, c.token, append(args, "--json")...).want(t, c.code).object(t)
			if o["revocationAsked"] != c.asked {
				t.Errorf("revocationAsked is %v", o["revocationAsked"])
			}
			if c.provider == "" {
				got.lacks(t, "chosen because")
				if o["provider"] != nil || o["chosenBecause"] != nil {
					t.Errorf("%v", o)
				}
				return
			}
			got.want(t, c.code, "\nprovider "+c.provider+": chosen because "+c.because+"\n")
			if o["provider"] != c.provider || o["chosenBecause"] != c.because {
				t.Errorf("%v", o)
			}
		})
	}
	t.Run("what only the endpoint knows", func(t *testing.T) {
		const asks = "; in mode introspection nobody but the provider can tell anything of a token: --online asks it"
		tool(t, "hunter2", "check-token", "--config", open, "-").want(t, exitUnknown, "provider phones was chosen because it is not a JWT, and phones has mode introspection"+asks)
		tool(t, issued(one, idp.Claim("iss", claims.Issuer)), "check-token", "--config", open, "-").want(t, exitUnknown, `provider phones was chosen because iss is "`+claims.Issuer+`"`+asks)
		if n := two.Requests(idp.Introspect); n != 4 { // those of the cases above, in text and in JSON
			t.Errorf("the endpoint was asked %d times", n)
		}
	})
	t.Run("another that is down", func(t *testing.T) {
		if err := two.SetDown(true); err != nil {
			t.Fatal(err)
		}
		tool(t, issued(one), "check-token", "--online", "--config", closed, "-").want(t, 0, "provider employees: chosen", "accepted")
		tool(t, issued(two), "check-token", "--config", closed, "-").want(t, exitUnknown, "provider devices: chosen", "could not be told: keys unavailable")
	})
	t.Run("a file without names", func(t *testing.T) {
		name := jwtJSON(t, one)
		tool(t, issued(one), "check-token", "--config", name, "-").want(t, 0).lacks(t, "\nprovider ", "chosen because")
		if o := tool(t, issued(one), "check-token", "--json", "--config", name, "-").object(t); o["provider"] != nil || o["chosenBecause"] != nil {
			t.Errorf("%v", o)
		}
	})
}

func TestProbeGoesThroughAllProviders(t *testing.T) {
	one, two := startProvider(t, withAsker()), startProvider(t, withAsker())
	name := severalJSON(t, []file{of("employees", one), withIntrospection(of("devices", two), two)})
	t.Run("all work", func(t *testing.T) {
		got := tool(t, "", "probe", "--config", name).want(t, 0, "2 providers: ").lacks(t, brokerSecret)
		inOrder(t, got.out, "\nprovider employees\n", `key kid "`+one.KeyID()+`"`, "the plugin can work with this", "\nprovider devices\n", "✓ introspection endpoint", `key kid "`+two.KeyID()+`"`, "the plugin can work with this")
		o := tool(t, "", "probe", "--json", "--config", name).want(t, 0).object(t)
		if o["works"] != true || o["file"] != name || o["endpoints"] != nil || len(o["providers"].([]any)) != 2 {
			t.Errorf("%v", o)
		}
	})
	t.Run("at once", func(t *testing.T) {
		release := one.Hold(idp.Discovery)
		t.Cleanup(release)
		before, ended := two.Requests(idp.JWKS), make(chan said, 1)
		go func() { ended <- tool(t, "", "probe", "--config", name) }()
		waitFor(t, func() bool { return two.Requests(idp.JWKS) > before })
		release()
		got := <-ended
		inOrder(t, got.want(t, 0).out, "provider employees", "provider devices")
	})
	t.Run("paths", func(t *testing.T) {
		wrong := severalJSON(t, []file{of("employees", one), withIntrospection(of("devices", two), two)}, brokerSecret, "another-secret", `"revocation": {`, `"revocation": {"onUnavailable": "allow",`)
		tool(t, "", "probe", "--config", wrong).want(t, 0, "note: $.providers[1].options.revocation.introspection.uri: ", "$.providers[1].options.revocation.onUnavailable lets everybody in")
	})
	t.Run("one that is down, and one that is wrong", func(t *testing.T) {
		if err := one.SetDown(true); err != nil {
			t.Fatal(err)
		}
		got := tool(t, "", "probe", "--config", name).want(t, exitUnknown)
		inOrder(t, got.out, "\nprovider employees\n", "$.providers[0].options.modes.oidc.issuer: ", "can't connect", "\nprovider devices\n", "✓ JWKS endpoint", "the plugin can work with this")
		o := tool(t, "", "probe", "--json", "--config", name).want(t, exitUnknown).object(t)
		for i, want := range []string{"map[name:employees works:false]", "map[name:devices works:true]"} {
			one := o["providers"].([]any)[i].(map[string]any)
			if got := fmt.Sprint(map[string]any{"name": one["name"], "works": one["works"]}); got != want || one["keys"] == nil || one["endpoints"] == nil {
				t.Errorf("%v", one)
			}
		}
		if o["works"] != false {
			t.Errorf("%v", o)
		}
		wrong := severalJSON(t, []file{of("employees", one), withIntrospection(of("devices", two), two)}, brokerSecret, "another-secret")
		tool(t, "", "probe", "--config", wrong).want(t, exitNo, "✗ introspection endpoint")
	})
	t.Run("a file without names", func(t *testing.T) {
		tool(t, "", "probe", "--config", jwtJSON(t, two)).want(t, 0).lacks(t, "\nprovider ")
		o := tool(t, "", "probe", "--json", "--config", jwtJSON(t, two)).want(t, 0).object(t)
		if o["providers"] != nil || o["name"] != nil || o["keys"] == nil || o["works"] != true {
			t.Errorf("%v", o)
		}
	})
}

// inOrder fails the test unless these stand in the text one behind the other.
func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%q is not where it should be in:\n%s", part, text)
		}
		rest = after
	}
}

func TestCheckConfigOfSeveralProviders(t *testing.T) {
	one, two := startProvider(t), startProvider(t)
	name := severalJSON(t, []file{of("employees", one), of("devices", two)}, `"usernameTemplate": "{provider}:{sub}"`, `"usernameClaim": "sub"`, `"issuer": "`+two.Issuer()+`"`, `"issuer": "`+two.Issuer()+`"`)
	summary := fmt.Sprintf("2 providers: employees (mode oidc, algorithm RS256, issuer %s), devices (mode oidc, algorithm RS256, issuer %s)", one.Issuer(), two.Issuer())
	tool(t, "", "check-config", name).want(t, 0, "is good", summary, "note: $.providers[0] (employees) and $.providers[1] (devices) can give two clients one username")
	if o := tool(t, "", "check-config", "--json", name).want(t, 0).object(t); o["summary"] != summary || len(o["advice"].([]any)) != 1 {
		t.Errorf("%v", o)
	}
	wrong := severalJSON(t, []file{of("employees", one), of("employees", two)}, `"mode": "oidc"`, `"mode": "odic"`)
	o := tool(t, "", "check-config", "--json", wrong).want(t, exitNo).object(t)
	text := fmt.Sprint(o["problems"])
	for _, path := range []string{"$.providers[0].mode", "$.providers[1].mode", "$.providers[1].name"} {
		if !strings.Contains(text, "path:"+path+" ") {
			t.Errorf("%s is not in %s", path, text)
		}
	}
}
