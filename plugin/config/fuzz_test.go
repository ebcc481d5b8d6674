package config

import (
	"os"
	"strings"
	"testing"
)

// FuzzLoad holds that any file gives a Config or an error, never both or neither, and that each problem can be shown.
func FuzzLoad(f *testing.F) {
	tutorial, err := os.ReadFile("testdata/tutorial.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(tutorial))
	f.Add(strings.ReplaceAll(string(tutorial), "<YOUR-KEYCLOAK-OR-IAM>", "idp.test"))
	for _, seed := range []string{
		"", "{}", "[]", "{", `{"a": {"a": 1, "a": 2}}`, "\uFEFF{}", "\xff\xfe{\x00", `{"version": 1e400}`,
		with(), local(), revoking(introspect+".clientSecret", `{"env": ""}`),
		local("options.modes.local", `{"filePath": "."}`),
		with("options.common.requiredClaims", `{"": [null]}`, "algorithm", `["HS256", "RS256", ""]`),
		with("options", `0`), with("options.modes", `"\ud800"`),
	} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content string) {
		c, problems := load(t, dir, content)
		if (c == nil) != (len(problems.Errors()) > 0) {
			t.Errorf("Config %v with %v", c, problems)
		}
		for i, p := range problems {
			if p.Text == "" || p.Line < 1 || p.Column < 1 || p.Severity != SeverityError && p.Severity != SeverityWarning {
				t.Errorf("%+v", p)
			}
			if line := problems.Lines("f")[i]; strings.ContainsAny(line, "\n\r") {
				t.Errorf("more than one line: %q", line)
			}
		}
	})
}
