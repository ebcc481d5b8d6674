package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
)

// one is a file of one provider, formatted by hand, with keys of the broker and one that nobody knows.
const one = "\ufeff \n{\n" +
	"  \"version\": \"1\",\n" +
	"  \"mode\": \"jwks\",  \"algorithm\": [\"RS256\", \"ES256\"],\n" +
	"  \"x-owner\": {\"a\":  1.50},\n" +
	"  \"options\": {\n" +
	"    \"lazyConnect\": true,\n" +
	"    \"common\": {\n" +
	"      \"onNonToken\": \"deny\",\n" +
	"      \"issuer\": [\"https://id.example.com/\\u0061\", \"https://id.example.com/b\"],\n" +
	"      \"matchUsernameToSubject\": true,\n" +
	"      \"usernameClaim\": \"preferred_username\",\n" +
	"      \"x-note\": \"<&>\",\n" +
	"      \"maxTokenBytes\": 8192,\n" +
	"      \"audience\": \"mqtt\"\n" +
	"    },\n" +
	"    \"modes\": { \"jwks\": {\"uri\": \"https://id.example.com/keys\", \"cache\": {\"enabled\": true}} }\n" +
	"  }\n" +
	"}\n"

// added is that file with another provider; the %s are the usernames of either, and the issuer.
const added = "\ufeff \n{\n" +
	"  \"version\": \"1\",\n" +
	"  \"options\": {\"common\": {\"onNonToken\": \"deny\", \"maxTokenBytes\": 8192}},\n" +
	"  \"providers\": [\n" +
	"    {\n" +
	"      \"name\": \"employees\",\n" +
	"      \"mode\": \"jwks\",\n" +
	"      \"algorithm\": [\"RS256\", \"ES256\"],\n" +
	"      \"options\": {\n" +
	"        \"lazyConnect\": true,\n" +
	"        \"common\": {\n" +
	"          \"issuer\": [\"https://id.example.com/\\u0061\", \"https://id.example.com/b\"],\n" +
	"          \"matchUsernameToSubject\": true,\n" +
	"          %s,\n" +
	"          \"x-note\": \"<&>\",\n" +
	"          \"audience\": \"mqtt\"\n" +
	"        },\n" +
	"        \"modes\": { \"jwks\": {\"uri\": \"https://id.example.com/keys\", \"cache\": {\"enabled\": true}} }\n" +
	"      }\n" +
	"    },\n" +
	"    {\n" +
	"      \"name\": \"devices\",\n" +
	"      \"algorithm\": \"RS256\",\n" +
	"      \"mode\": \"oidc\",\n" +
	"      \"options\": {\n" +
	"        \"modes\": {\n" +
	"          \"oidc\": {\n" +
	"            \"issuer\": \"%s\"\n" +
	"          },\n" +
	"          \"jwks\": {\n" +
	"            \"cache\": {\n" +
	"              \"enabled\": true\n" +
	"            }\n" +
	"          }\n" +
	"        },\n" +
	"        \"common\": {\n" +
	"          \"audience\": \"mqtt\",\n" +
	"          \"matchUsernameToSubject\": true%s\n" +
	"        }\n" +
	"      }\n" +
	"    }\n" +
	"  ],\n" +
	"  \"x-owner\": {\"a\":  1.50}\n" +
	"}\n"

// addFlags are those that add a provider named devices and ask nothing.
func addFlags(p *idp.Provider, output string, more ...string) []string {
	return append([]string{"init", "--add", "--no-input", "--issuer", p.Issuer(), "--audience", "mqtt", "--no-introspection", "--name", "devices", "--output", output}, more...)
}

// holds fails the test unless the file holds exactly this.
func holds(t *testing.T, name, want string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if string(text) != want || err != nil {
		t.Errorf("got %s (%v)\nwant %s", text, err, want)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".jwt-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestInitAdds(t *testing.T) {
	p := startProvider(t)
	const claim, shared = `"usernameClaim": "preferred_username"`, "can give two clients one username"
	t.Run("to one provider", func(t *testing.T) {
		name := write(t, "jwt.json", one)
		tool(t, "", addFlags(p, name, "--existing-name=employees")...).want(t, 0, "is written and good", "Its providers are employees, devices.", "SIGHUP", shared).lacks(t, "now begin")
		holds(t, name, fmt.Sprintf(added, claim, p.Issuer(), ""))
		tool(t, "", "check-config", name).want(t, exitNo, "x-owner", "x-note").lacks(t, "providers[1].options.x")
	})
	t.Run("with the providers' names in usernames", func(t *testing.T) {
		name := write(t, "jwt.json", one)
		tool(t, "", addFlags(p, name, "--existing-name=employees", "--templates")...).want(t, 0, "the usernames of employees now begin with the provider's name").lacks(t, shared)
		holds(t, name, fmt.Sprintf(added, `"usernameTemplate": "{provider}:{claim:preferred_username}"`, p.Issuer(), ",\n          \"usernameTemplate\": \"{provider}:{sub}\""))
	})
	t.Run("to several", func(t *testing.T) {
		const before, last, after = "{ \"providers\":[\n\t{\"name\": \"a\",\t\"mode\":\"local\", \"algorithm\": \"HS256\",\n\t \"options\": {\"modes\": {\"local\": \"0123456789abcdef0123456789abcdef\"},\n\t  \"common\": {\"audience\": \"x\", \"matchUsernameToSubject\": false}}}", "\n]", " ,\"version\" : 1}"
		name := write(t, "jwt.json", before+last+after)
		o := tool(t, "", addFlags(p, name, "--json")...).want(t, 0).object(t)
		if fmt.Sprint(o["providers"]) != "[a devices]" || o["file"] != name || o["warnings"] == nil {
			t.Errorf("%v", o)
		}
		text, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(text), before+",\n\t{\n\t    \"name\": \"devices\",") || !strings.HasSuffix(string(text), "\n\t}"+last+after) {
			t.Errorf("%s (%v)", text, err)
		}
		tool(t, "", "check-config", name).want(t, 0, "2 providers")
	})
	t.Run("on one line", func(t *testing.T) {
		name := write(t, "jwt.json", `{"algorithm":"HS256","mode":"local","options":{"modes":{"local":"0123456789abcdef0123456789abcdef"},"common":{"tokenSource":["username"],"matchUsernameToSubject":true}}}`)
		tool(t, "", addFlags(p, name, "--existing-name=a", "--templates")...).want(t, 0)
		text, _ := os.ReadFile(name)
		for _, want := range []string{`"options":{"common":{"tokenSource":["username"]}},`, `"options":{"modes":{"local":"0123456789abcdef0123456789abcdef"},"common":{"matchUsernameToSubject":true, "usernameTemplate": "{provider}:{sub}"}}`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%q is not in %s", want, text)
			}
		}
	})
	t.Run("and those who may read it still may", func(t *testing.T) {
		u := needsBroker(t)
		for _, owner := range []string{"0", u.Uid} {
			name := put(t, filepath.Join(openFolder(t, nil), "jwt.json"), one, 0o640)
			giveTo(t, u, name)
			if owner == "0" {
				if err := os.Lchown(name, 0, -1); err != nil {
					t.Fatal(err)
				}
			}
			tool(t, "", addFlags(p, name, "--existing-name=employees")...).want(t, 0)
			info, err := os.Lstat(name)
			if err != nil {
				t.Fatal(err)
			}
			if is := accessOf(info); fmt.Sprint(is.uid, is.gid) != owner+" "+u.Gid || is.mode != 0o640 {
				t.Errorf("%v", is)
			}
		}
	})
	t.Run("as its own file", func(t *testing.T) {
		name := write(t, "jwt.json", one)
		tool(t, "", addFlags(p, name, "--existing-name=employees")...).want(t, 0)
		if info, err := os.Lstat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v (%v)", info.Mode(), err)
		}
		q := startProvider(t)
		tool(t, "", addFlags(q, name, "--name=third")...).want(t, 0, "employees, devices, third")
		tool(t, q.Token("sensor-1", time.Hour, idp.Audience("mqtt")), "check-token", "--config", name, "-").want(t, 0, "provider third: chosen because iss is")
	})
}

// What renames the clients of the provider that is there is asked, and only if it does.
func TestInitAsksForNames(t *testing.T) {
	p := startProvider(t)
	flags := func(name string) []string {
		return []string{"init", "--add", "--issuer", p.Issuer(), "--audience", "mqtt", "--username-claim", "sub", "--no-introspection", "--output", name}
	}
	const question = "Begin usernames with the provider's name (yes or no) [no]: "
	t.Run("all of it", func(t *testing.T) {
		name := write(t, "jwt.json", one)
		got := tool(t, "Employees\nemployees\nemployees\ndevices\nperhaps\nyes\n", flags(name)...).
			want(t, 0, "$.providers[0].name: must be up to 32", "the file has a provider of name employees already", "it renames the clients", question, "must be yes or no")
		if n := strings.Count(got.err, "Name of the new provider: "); n != 2 {
			t.Errorf("asked %d times:\n%s", n, got.err)
		}
		holds(t, name, fmt.Sprintf(added, `"usernameTemplate": "{provider}:{claim:preferred_username}"`, p.Issuer(), ",\n          \"usernameTemplate\": \"{provider}:{sub}\""))
	})
	t.Run("no is no", func(t *testing.T) {
		name := write(t, "jwt.json", one)
		tool(t, "employees\ndevices\n\n", flags(name)...).want(t, 0, question, "can give two clients one username")
		holds(t, name, fmt.Sprintf(added, `"usernameClaim": "preferred_username"`, p.Issuer(), ""))
	})
	t.Run("templates are there already", func(t *testing.T) {
		name := write(t, "jwt.json", strings.Replace(one, `"usernameClaim": "preferred_username"`, `"usernameTemplate": "x:{sub}"`, 1))
		tool(t, "employees\ndevices\n", flags(name)...).want(t, 0).lacks(t, question, "can give two clients one username", "now begin")
		holds(t, name, fmt.Sprintf(added, `"usernameTemplate": "x:{sub}"`, p.Issuer(), ",\n          \"usernameTemplate\": \"{provider}:{sub}\""))
	})
}

// On any failure the file is the same file as before, with the same in it.
func TestInitAddKeepsWhatIsThere(t *testing.T) {
	p := startProvider(t, withAsker())
	several := strings.NewReplacer("%s,", `"usernameClaim": "x",`, "\"%s\"", `"https://devices.example.com"`, "%s", "").Replace(added)
	known := strings.Replace(one, `["https://id.example.com/\u0061",`, `["`+p.Issuer()+`",`, 1)
	for _, c := range []struct {
		rule, text string
		flags      []string
		code       int
		want       string
	}{
		{"an issuer that is there", known, []string{"--existing-name=a"}, exitNo, "the file has a provider of issuer " + p.Issuer() + " already"},
		{"a name that is there", several, nil, exitNo, "the file has a provider of name devices already"},
		{"one name for both", one, []string{"--existing-name=devices"}, exitNo, "the file has a provider of name devices already"},
		{"no name for the one that is there", one, nil, exitUnknown, "--existing-name: must be given with --no-input"},
		{"a name for one that has one", several, []string{"--existing-name=a"}, exitUnknown, "--existing-name: the providers of the file have names already"},
		{"a name that is none", one, []string{"--existing-name=A"}, exitUnknown, "--existing-name: what was given makes no good file: $.providers[0].name"},
		{"a file with a fault", strings.Replace(one, `"jwks",`, `"jkws",`, 1), []string{"--existing-name=a"}, exitNo, "$.mode"},
		{"no JSON", "{", nil, exitNo, "is not valid JSON"},
		{"a provider that must say whose its usernames are", strings.Replace(one, `"matchUsernameToSubject": true,`, "", 1), []string{"--existing-name=a"}, exitNo, "$.providers[0].options.common.matchUsernameToSubject: must be there"},
		{"a secret that the provider does not take", one, []string{"--existing-name=a", "--no-introspection=false", "--client-id=asker", "--client-secret-file=" + write(t, "wrong", "another-secret")}, exitNo, "introspection does not work"},
		{"a provider that is not there", one, []string{"--existing-name=a", "--issuer=http://127.0.0.1:1"}, exitUnknown, "can't connect"},
		{"to replace it", one, []string{"--existing-name=a", "--force"}, exitUnknown, "none of the others can be"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			name := put(t, write(t, "jwt.json", c.text), c.text, 0o604)
			before, err := os.Lstat(name)
			if err != nil {
				t.Fatal(err)
			}
			tool(t, "", addFlags(p, name, c.flags...)...).want(t, c.code, c.want).lacks(t, "written and good", ".jwt-")
			holds(t, name, c.text)
			if after, err := os.Lstat(name); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
				t.Errorf("%v (%v)", after, err)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "jwt.json")
		tool(t, "", addFlags(p, name)...).want(t, exitUnknown, "there is no "+name+" to add to")
	})
	for _, flag := range []string{"--name=x", "--existing-name=x", "--templates"} {
		tool(t, "", "init", "--no-input", "--issuer", p.Issuer(), flag, "--output", t.TempDir()+"/jwt.json").want(t, exitUnknown, "is for --add alone")
	}
}

// Whoever writes the file while init asks its questions loses nothing.
func TestInitAddSeesChanges(t *testing.T) {
	p := startProvider(t)
	for rule, meddle := range map[string]func(name string) error{
		"another text": func(name string) error {
			return os.WriteFile(name, []byte(strings.Replace(one, "8192", "4096", 1)), 0o600)
		},
		"a link": func(name string) error {
			return errors.Join(os.Rename(name, name+"-moved"), os.Symlink(name+"-moved", name))
		},
		"gone": os.Remove,
	} {
		t.Run(rule, func(t *testing.T) {
			name := write(t, "jwt.json", one)
			var then os.FileInfo
			in := &answers{text: "devices\n", before: func() {
				err := meddle(name)
				if err != nil {
					t.Error(err)
				}
				then, _ = os.Lstat(name)
			}}
			var out, errs strings.Builder
			args := []string{"init", "--as=", "--add", "--issuer", p.Issuer(), "--audience=mqtt", "--username-claim=sub", "--no-introspection", "--existing-name=a", "--templates", "--output", name}
			code := run(t.Context(), args, &console{in: in, out: &out, err: &errs})
			said{code, out.String(), errs.String()}.want(t, exitUnknown, "was changed meanwhile, and stays as it is").lacks(t, "written and good")
			if now, _ := os.Lstat(name); (now == nil) != (then == nil) || now != nil && !os.SameFile(now, then) {
				t.Errorf("%v is not there any more: %v", then, now)
			}
		})
	}
}

// answers does something before it gives the first answer.
type answers struct {
	text   string
	before func()
}

func (a *answers) Read(p []byte) (int, error) {
	if a.text == "" {
		return 0, io.EOF
	}
	a.before()
	n := copy(p, a.text)
	a.text = ""
	return n, nil
}

// Nothing is read or written through what stands in the file's place.
func TestInitAddFollowsNothing(t *testing.T) {
	p := startProvider(t)
	for kind, lay := range map[string]func(name, precious string) error{
		"a link":        func(name, precious string) error { return os.Symlink(precious, name) },
		"a pipe":        func(name, _ string) error { return syscall.Mkfifo(name, 0o666) },
		"a folder":      func(name, _ string) error { return os.Mkdir(name, 0o700) },
		"a broken link": func(name, precious string) error { return os.Symlink(precious+"-none", name) },
	} {
		t.Run(kind, func(t *testing.T) {
			folder := t.TempDir()
			precious, name := put(t, filepath.Join(folder, "precious"), one, 0o600), filepath.Join(folder, "jwt.json")
			if err := lay(name, precious); err != nil {
				t.Fatal(err)
			}
			tool(t, "", addFlags(p, name, "--existing-name=a")...).want(t, exitUnknown, "is a link, or no file at all")
			holds(t, precious, one)
		})
	}
}

// A file that the broker's user has written makes root read and send nothing that this user could not, and hand on nothing.
func TestInitAddGivesNothingAway(t *testing.T) {
	u := needsBroker(t)
	t.Setenv("ROOTS_SECRET", rootsSecret)
	p := startProvider(t, withAsker())
	secret := put(t, filepath.Join(openFolder(t, nil), "shadow"), rootsSecret+rootsSecret, 0o600)
	local := func(from string) string {
		return `{"algorithm": "HS256", "mode": "local", "options": {"modes": {"local": ` + from + `}, "common": {"audience": "x", "matchUsernameToSubject": true}}}`
	}
	asRoot := func(name string, more ...string) said {
		return tool(t, "", addFlags(p, name, append(more, "--as="+defaultBroker, "--existing-name=a")...)...)
	}
	lay := func(t *testing.T, text string) string {
		t.Helper()
		name := put(t, filepath.Join(openFolder(t, u), "jwt.json"), text, 0o600)
		giveTo(t, u, name)
		return name
	}
	t.Run("a good file", func(t *testing.T) {
		name := lay(t, local(`"0123456789abcdef0123456789abcdef"`))
		asRoot(name).want(t, 0, "written and good")
		hasOwner(t, name)
		tool(t, "", "check-config", "--as="+defaultBroker, name).want(t, 0, "2 providers")
	})
	for _, from := range []string{`{"filePath": "` + secret + `"}`, `{"env": "ROOTS_SECRET"}`} {
		t.Run("a secret of root's, "+from, func(t *testing.T) {
			name := lay(t, local(from))
			asRoot(name).want(t, exitNo, "the broker (user mosquitto) could not use the file", "$.options.modes.local").lacks(t, rootsSecret)
			holds(t, name, local(from))
		})
	}
	t.Run("a variable that is handed on", func(t *testing.T) {
		t.Setenv("ROOTS_SECRET", "0123456789abcdef0123456789abcdef")
		name := lay(t, local(`{"env": "ROOTS_SECRET"}`))
		asRoot(name).want(t, exitNo, "what --env names")
		asRoot(name, "--env=ROOTS_SECRET").want(t, 0, "written and good")
	})
	t.Run("a hard link to what only root may read", func(t *testing.T) {
		folder := openFolder(t, u)
		precious, name := put(t, filepath.Join(folder, "precious"), local(`"`+rootsSecret+rootsSecret+`"`), 0o600), filepath.Join(folder, "jwt.json")
		if err := os.Link(precious, name); err != nil {
			t.Fatal(err)
		}
		asRoot(name).want(t, exitUnknown, "can't be read: this process runs as user mosquitto").lacks(t, rootsSecret)
		holds(t, precious, local(`"`+rootsSecret+rootsSecret+`"`))
	})
}
