package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
)

// commands are text that a terminal may obey: 7-bit and 8-bit sequences, a change of direction, a line of another's.
const commands = "\x1b]0;t\a\x1b[2J\u009b2J\u202e\x7f\r\n✓ forged"

// quiet fails the test if anything in the output could steer a terminal, or is a line that was forged.
func (s said) quiet(t *testing.T) said {
	t.Helper()
	for _, text := range []string{s.out, s.err} {
		if strings.ContainsAny(text, "\x1b\a\u009b\u202e\x7f\r") || strings.Contains(text, "\n✓ forged") {
			t.Errorf("got %q", text)
		}
	}
	return s
}

// hostile is a provider that writes commands wherever it can.
func hostile(t *testing.T, token map[string]any) *httptest.Server {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(v map[string]any) {
			_ = json.NewEncoder(w).Encode(v)
		}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			answer(map[string]any{
				"issuer": server.URL, "jwks_uri": server.URL + "/keys", "token_endpoint": server.URL + "/token",
				"introspection_endpoint": server.URL + "/introspect", "device_authorization_endpoint": server.URL + "/device",
			})
		case "/keys":
			answer(map[string]any{"keys": []any{
				map[string]any{"kty": "RSA" + commands, "kid": commands, "alg": commands, "use": commands},
				map[string]any{"kty": "EC", "crv": commands, "kid": commands},
			}})
		case "/device":
			answer(map[string]any{
				"device_code": "d", "user_code": "CODE" + commands, "verification_uri": "https://idp.test/" + commands,
				"verification_uri_complete": "https://idp.test/?" + commands, "expires_in": 60, "interval": 1,
			})
		case "/token":
			if token == nil {
				w.WriteHeader(http.StatusBadRequest)
				answer(map[string]any{"error": "invalid" + commands, "error_description": commands})
				return
			}
			answer(token)
		default:
			w.WriteHeader(http.StatusForbidden)
			answer(map[string]any{"error": commands, "active": commands})
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestNothingSteersTheTerminal(t *testing.T) {
	refuses := hostile(t, nil)
	flags := []string{"token", "--issuer", refuses.URL, "--client-id", "c", "--client-secret-file", "-"}
	t.Run("why a token is refused", func(t *testing.T) {
		tool(t, "s", flags...).quiet(t).want(t, exitUnknown, "the provider refuses: HTTP 400", "invalid")
	})
	t.Run("a device's login", func(t *testing.T) {
		tool(t, "s", append(flags, "--device")...).quiet(t).want(t, exitUnknown, "Open https://idp.test/", `the code CODE\x1b]0;t`)
	})
	for name, token := range map[string]string{"with commands": "a" + commands, "of two lines": "a\nb", "empty": "", "not of ASCII": "ž"} {
		t.Run("a token "+name, func(t *testing.T) {
			p := hostile(t, map[string]any{"access_token": token, "token_type": commands, "expires_in": 60})
			args := []string{"token", "--issuer", p.URL, "--client-id", "c", "--client-secret-file", "-"}
			for _, more := range [][]string{nil, {"--json"}} {
				got := tool(t, "s", append(args, more...)...).quiet(t).want(t, exitUnknown)
				if got.out != "" {
					t.Errorf("printed %q", got.out)
				}
			}
		})
	}
	t.Run("the kind of a token", func(t *testing.T) {
		p := hostile(t, map[string]any{"access_token": "good", "token_type": commands, "expires_in": 60})
		got := tool(t, "s", "token", "--json", "--issuer", p.URL, "--client-id", "c", "--client-secret-file", "-").quiet(t).want(t, 0).object(t)
		if got["token_type"] != commands {
			t.Errorf("%v", got)
		}
	})
	for _, mode := range []string{"jwks", "oidc", "introspection"} {
		text := string(file{Algorithm: []string{"RS256"}, Issuer: refuses.URL, UsernameClaim: "sub", Opaque: mode == "introspection", Introspection: &introspection{
			URI: refuses.URL + "/introspect", ClientID: "asker", Secret: brokerSecret,
		}}.json())
		if mode == "jwks" {
			text = strings.NewReplacer(`"mode": "oidc"`, `"mode": "jwks"`, `"oidc": {`, `"no": {`, `"jwks": {`, `"jwks": {"uri": "`+refuses.URL+`/keys",`).Replace(text)
		}
		name := write(t, "jwt.json", text)
		for _, more := range [][]string{nil, {"--json"}} {
			t.Run(fmt.Sprint("probe in mode ", mode, more), func(t *testing.T) {
				tool(t, "", append([]string{"probe", "--config", name}, more...)...).quiet(t).want(t, exitNo)
			})
		}
	}
	t.Run("init", func(t *testing.T) {
		tool(t, "", "init", "--no-input", "--issuer", refuses.URL, "--output", t.TempDir()+"/jwt.json").quiet(t).want(t, exitUnknown)
		tool(t, "http://"+commands+"\n", "init", "--output", t.TempDir()+"/jwt.json").quiet(t).want(t, exitUnknown)
		for _, text := range []string{
			"{\"a" + commands + "\": 1}",
			`{"algorithm": "HS256", "mode": "local", "x\u001b[2J\u202e": 1, "options": {"modes": {"local": "0123456789abcdef0123456789abcdef"}, "common": {"usernameClaim": "x\u001b[2J\r\n✓ forged", "matchUsernameToSubject": true}}}`,
		} {
			tool(t, "", "init", "--add", "--no-input", "--issuer", refuses.URL, "--existing-name=a", "--name=b\x1b[2J", "--output", write(t, "jwt.json", text)).quiet(t)
			tool(t, "", addFlags(startProvider(t), write(t, "jwt.json", text), "--existing-name=a", "--templates")...).quiet(t)
		}
	})
	t.Run("a file", func(t *testing.T) {
		for _, text := range []string{
			"{\"a" + commands + "\": 1}",
			`{"mode": "x\u001b[2J\u009b\u202e\r\n✓ forged", "x\u001b[2J\u202e": 1, "algorithm": "\u001b[2J", "options": {"tls": {"caFile": "/\u202e"}}}`,
		} {
			for _, more := range [][]string{nil, {"--json"}} {
				tool(t, text, append([]string{"check-config", "-"}, more...)...).quiet(t).want(t, exitNo)
			}
		}
		tool(t, "", "check-config", "/nowhere/\x1b[2J\u202e").quiet(t).want(t, exitNo, `/nowhere/\x1b[2J`)
	})
	t.Run("what stands in the command line", func(t *testing.T) {
		tool(t, "", "pr"+commands+"obe").quiet(t).want(t, exitUnknown)
		tool(t, "", "probe", "--"+commands).quiet(t).want(t, exitUnknown)
	})
}

func TestNoClaimSteersTheTerminal(t *testing.T) {
	p := startProvider(t, withAsker())
	name := jwtJSON(t, p)
	claims := []string{"iss", "aud", "jti", "sub", "preferred_username"}
	for _, claim := range claims {
		token := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"), idp.Claim(claim, commands))
		for _, more := range [][]string{nil, {"--json"}} {
			t.Run(fmt.Sprint(claim, more), func(t *testing.T) {
				tool(t, token, append([]string{"check-token", "--config", name, "-"}, more...)...).quiet(t)
			})
		}
	}
	dynsec := write(t, "dynsec.json", `{"clients":[{"username":"sensor-1","roles":[{"rolename":"\u001b[2J\u202e"}],"groups":[{"groupname":"\u001b[2J\r\n✓ forged"}]}]}`)
	token := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"))
	for _, more := range [][]string{nil, {"--json"}} {
		tool(t, token, append([]string{"check-token", "--config", name, "--dynsec", dynsec, "-"}, more...)...).quiet(t).want(t, 0)
	}
	rights := jwtJSON(t, p, `"options": {`, `"options": {"authorization": {"rules": [{"claim": "acl", "format": "emqx"}]},`)
	for _, acl := range []any{
		map[string]any{"pub": []string{commands, "a/" + commands}},
		map[string]any{commands: 1},
		commands,
		[]any{map[string]any{"permission": commands}},
		[]any{map[string]any{"permission": "allow", "action": "all", "topic": commands + "#"}},
	} {
		token := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"), idp.Claim("acl", acl))
		for _, more := range [][]string{nil, {"--json"}, {"--may", "publish", commands}, {"--may", "publish", commands, "--json"}, {"--may", commands}} {
			tool(t, token, append([]string{"check-token", "--config", rights, "-"}, more...)...).quiet(t)
		}
	}
}

// What can't be written is no success, or a script goes on with an empty file.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	defer full.Close() //nolint:errcheck // nothing can be written
	p := startProvider(t, withAsker())
	name := jwtJSON(t, p)
	for _, args := range [][]string{
		{"token", "--issuer", p.Issuer(), "--client-id", "sensor-1", "--client-secret-file", "-"},
		{"token", "--json", "--issuer", p.Issuer(), "--client-id", "sensor-1", "--client-secret-file", "-"},
		{"check-config", "--as=", name},
		{"check-config", "--as=", "--json", name},
		{"probe", "--as=", "--config", name},
		{"help"},
		{"completion", "bash"},
	} {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
		var said strings.Builder
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(clientSecret), full, &said
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != exitUnknown || !strings.Contains(said.String(), "no space left") {
			t.Errorf("%s: %v, %s", args, err, said.String())
		}
	}
}

// A secret is sent once, refused or not, and in the one way that the provider's document names.
func TestSecretIsSentOnce(t *testing.T) {
	for rule, c := range map[string]struct {
		methods, flags []string
		basic          bool
	}{
		"a document that says nothing": {nil, nil, true},
		"both":                         {[]string{"client_secret_post", "client_secret_basic"}, nil, true},
		"post alone":                   {[]string{"client_secret_post", "private_key_jwt"}, nil, false},
		"neither":                      {[]string{"private_key_jwt"}, nil, true},
		"as it is told, post":          {nil, []string{"--client-auth=post"}, false},
		"as it is told, basic":         {[]string{"client_secret_post"}, []string{"--client-auth=basic"}, true},
	} {
		t.Run(rule, func(t *testing.T) {
			var asked []string
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if strings.HasPrefix(r.URL.Path, "/.well-known") {
					doc := map[string]any{"issuer": server.URL, "jwks_uri": server.URL, "token_endpoint": server.URL + "/token"}
					if c.methods != nil {
						doc["token_endpoint_auth_methods_supported"] = c.methods
					}
					_ = json.NewEncoder(w).Encode(doc)
					return
				}
				_, header, _ := r.BasicAuth()
				asked = append(asked, "header "+header+", form "+r.PostFormValue("client_secret"))
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error": "invalid_client"}`)
			}))
			t.Cleanup(server.Close)
			args := append([]string{"token", "--issuer", server.URL, "--client-id", "c", "--client-secret-file", "-"}, c.flags...)
			tool(t, clientSecret, args...).want(t, exitUnknown, "the provider refuses: HTTP 401, invalid_client", "--client-auth").lacks(t, clientSecret)
			want := "header , form " + clientSecret
			if c.basic {
				want = "header " + clientSecret + ", form "
			}
			if len(asked) != 1 || asked[0] != want {
				t.Errorf("sent %q, want %q", asked, want)
			}
		})
	}
	tool(t, "s", "token", "--issuer", startProvider(t).Issuer(), "--client-id", "c", "--client-secret-file", "-", "--client-auth=jwt").want(t, exitUnknown, "--client-auth: must be basic or post")
}

func TestPlainHTTPIsWarnedOf(t *testing.T) {
	// Linux connects to this machine by it, and nobody can tell from the address.
	p, err := idp.Start(idp.WithAddress("0.0.0.0:0"), idp.WithClient(idp.Client{ID: "sensor-1", Secret: clientSecret}), withAsker())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	const warning = "goes over plain http"
	name := jwtJSON(t, p)
	token := []string{"token", "--client-id", "sensor-1", "--client-secret-file", "-", "--issuer"}
	warned := tool(t, clientSecret, append(token, p.Issuer())...).want(t, 0, p.Issuer()+": "+warning)
	if strings.Contains(warned.out, warning) {
		t.Error("the warning stands where the token is expected")
	}
	tool(t, "", "check-config", name).want(t, 0, "warning: $.options.modes.oidc.issuer: "+warning)
	tool(t, "", "init", "--no-input", "--issuer", p.Issuer(), "--output", t.TempDir()+"/jwt.json").want(t, 0, warning)
	tool(t, "", "probe", "--config", name).want(t, 0, "/keys: "+warning)
	here := startProvider(t, withAsker())
	tool(t, clientSecret, append(token, here.Issuer())...).want(t, 0).lacks(t, warning)
	tool(t, "", "probe", "--config", jwtJSON(t, here)).want(t, 0).lacks(t, warning)
	tool(t, "", "init", "--no-input", "--issuer", here.Issuer(), "--output", t.TempDir()+"/jwt.json").want(t, 0).lacks(t, warning)
}
