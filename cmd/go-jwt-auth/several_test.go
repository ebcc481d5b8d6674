package main

import (
	"fmt"
	"strings"
	"testing"

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
