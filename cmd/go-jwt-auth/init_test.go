package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go-jwt-auth/idp"
)

// What init calls good, the broker's user can use.
func TestInitJudgesAsTheBroker(t *testing.T) {
	u := needsBroker(t)
	p := startProvider(t, withAsker())
	folder, theirs, closed := openFolder(t, nil), openFolder(t, u), t.TempDir()
	id, err := credential(u)
	if err != nil {
		t.Fatal(err)
	}
	roots := put(t, filepath.Join(folder, "roots"), brokerSecret, 0o600)
	groups := put(t, filepath.Join(folder, "groups"), brokerSecret, 0o640)
	if err := os.Chown(groups, 0, int(id.Gid)); err != nil {
		t.Fatal(err)
	}
	flags := []string{"init", "--as=" + defaultBroker, "--no-input", "--issuer", p.Issuer(), "--audience", "mqtt"}
	for _, c := range []struct {
		rule, output, secret string
		want                 string // what is wrong; empty: nothing
	}{
		{"all as it should be", folder + "/jwt.json", groups, ""},
		{"in the broker's own folder", theirs + "/jwt.json", groups, ""},
		{"a secret that is root's alone", folder + "/1.json", roots, roots + " can't be read: this process runs as user mosquitto"},
		{"a folder that the broker can't enter", closed + "/jwt.json", groups, closed + "/jwt.json is out of reach: this process runs as user mosquitto"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got := tool(t, "", append(flags, "--output", c.output, "--client-id", "asker", "--client-secret-file", c.secret)...)
			_, err := os.Lstat(c.output)
			if c.want != "" {
				got.want(t, exitNo, "the broker (user mosquitto) could not use the file", c.want).lacks(t, "written and good", ".jwt-")
				if err == nil {
					t.Error("it was written")
				}
				return
			}
			got.want(t, 0, "written and good")
			hasOwner(t, c.output)
			tool(t, "", "check-config", "--as="+defaultBroker, c.output).want(t, 0, "read as user mosquitto")
		})
	}
	for _, name := range []string{folder, theirs, closed} {
		if left, _ := filepath.Glob(filepath.Join(name, ".jwt-*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestInitTriesIntrospection(t *testing.T) {
	p := startProvider(t, withAsker())
	wrong, good := write(t, "wrong", "another-secret"), write(t, "secret", brokerSecret)
	output := filepath.Join(t.TempDir(), "jwt.json")
	flags := []string{"init", "--issuer", p.Issuer(), "--audience", "mqtt", "--username-claim", "sub", "--output", output}
	t.Run("a wrong secret", func(t *testing.T) {
		tool(t, "", append(flags, "--no-input", "--client-id", "asker", "--client-secret-file", wrong)...).
			want(t, exitNo, "introspection does not work", "does not accept").lacks(t, "written and good", "another-secret")
		if _, err := os.Lstat(output); err == nil {
			t.Error("it was written")
		}
		if n := p.Probes(idp.Introspect); n != 1 {
			t.Errorf("the endpoint was asked %d times", n)
		}
	})
	t.Run("asked again", func(t *testing.T) {
		got := tool(t, "asker\n/nowhere\n"+wrong+"\nasker\n"+good+"\n", flags...).want(t, 0, "✗ ", "/nowhere does not exist", "introspection does not work", "takes the client id and secret", "written and good")
		if n := strings.Count(got.err, "Client id to ask with"); n != 2 {
			t.Errorf("asked %d times for the client id:\n%s", n, got.err)
		}
		if n := p.Probes(idp.Introspect); n != 3 {
			t.Errorf("the endpoint was asked %d times in all", n)
		}
		tool(t, "", "probe", "--config", output).want(t, 0)
	})
}

// One bad answer is no reason to begin anew, and each question says what it is for.
func TestInitAsksAgain(t *testing.T) {
	p := startProvider(t, withAsker())
	other := startProvider(t)
	if err := other.SetDown(true); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "jwt.json")
	answers := []string{"", "id.example.com", other.Issuer(), p.Issuer() + "/", p.Issuer(), "mqtt", "", ""}
	got := tool(t, strings.Join(answers, "\n")+"\n", "init", "--output", output).want(t, 0, "must be an http or https URL", "can't connect", "it is the document of issuer", "written and good")
	if n := strings.Count(got.err, "Issuer of your provider (a URL): "); n != 5 {
		t.Errorf("asked %d times:\n%s", n, got.err)
	}
	for question, why := range map[string]string{
		"Issuer of":        `"iss" in its tokens`,
		"Audience that":    "Without one, any token of this issuer gets in.",
		"Claim that":       "gives a client its rights",
		"Client id to ask": "whether the token has been revoked",
	} {
		if before, _, asked := strings.Cut(got.err, "\n"+question); !asked || !strings.Contains(before, why) {
			t.Errorf("%q is asked without saying %q:\n%s", question, why, got.err)
		}
	}
	tool(t, "", "init", "--no-input", "--issuer", "id.example.com", "--output", output+"2").want(t, exitUnknown, "--issuer: must be an http or https URL")
}
