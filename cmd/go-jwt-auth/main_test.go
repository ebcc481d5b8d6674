package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/plugin/config"
)

// said is what a run of the tool has left.
type said struct {
	code     int
	out, err string
}

// TestMain lets the tests' own program be the tool, which starts itself to become another user. Flags of tests begin with "-".
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
	}
	os.Exit(m.Run())
}

// tool runs a command line, as who the tests run as: asBroker in as_broker_test.go is for the other user.
func tool(t *testing.T, stdin string, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	if slices.Contains([]string{"check-config", "check-token", "probe", "init"}, args[0]) {
		args = slices.Insert(slices.Clone(args), 1, "--as=")
	}
	code := run(t.Context(), args, &console{in: strings.NewReader(stdin), out: &out, err: &errs})
	return said{code, out.String(), errs.String()}
}

// want fails the test unless the code is that and standard output and error hold all of these.
func (s said) want(t *testing.T, code int, parts ...string) said {
	t.Helper()
	if s.code != code {
		t.Errorf("exit code %d, want %d:\n%s%s", s.code, code, s.out, s.err)
	}
	for _, part := range parts {
		if !strings.Contains(s.out+s.err, part) {
			t.Errorf("%q is not in:\n%s%s", part, s.out, s.err)
		}
	}
	return s
}

// lacks fails the test if any of these is in the output.
func (s said) lacks(t *testing.T, parts ...string) said {
	t.Helper()
	for _, part := range parts {
		if part != "" && strings.Contains(s.out+s.err, part) {
			t.Errorf("%q must not be in:\n%s%s", part, s.out, s.err)
		}
	}
	return s
}

// object reads standard output as one JSON object.
func (s said) object(t *testing.T) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.out), &o); err != nil {
		t.Fatalf("no JSON object: %v\n%s", err, s.out)
	}
	return o
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const clientSecret = "the-clients-secret"

func startProvider(t *testing.T, options ...idp.Option) *idp.Provider {
	t.Helper()
	p, err := idp.Start(append([]idp.Option{idp.WithClient(idp.Client{
		ID: "sensor-1", Secret: clientSecret, Audience: []string{"mqtt"},
	})}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

const brokerSecret = "the-brokers-secret"

// jwtJSON is a file for the provider; change edits its text.
func jwtJSON(t *testing.T, p *idp.Provider, change ...string) string {
	t.Helper()
	f := file{
		Algorithm: []string{"RS256"}, Issuer: p.Issuer(), Audience: "mqtt", UsernameClaim: "sub",
		Introspection: &introspection{URI: p.IntrospectionURI(), ClientID: "asker", Secret: brokerSecret},
	}
	return write(t, "jwt.json", strings.NewReplacer(change...).Replace(string(f.json())))
}

func withAsker() idp.Option { return idp.WithClient(idp.Client{ID: "asker", Secret: brokerSecret}) }

func TestRoot(t *testing.T) {
	tool(t, "", "--help").want(t, 0, "check-config", "check-token", "probe", "init", "dev-idp", "token", "completion",
		"clients", "client", "refusals", "status", "disconnect", "blocks", "unblock")
	tool(t, "", "--version").want(t, 0, "go-jwt-auth version ")
	tool(t, "", "chekc-token").want(t, exitUnknown, `unknown command "chekc-token"`, "check-token")
	tool(t, "", "probe", "--colour=never").want(t, exitUnknown, "unknown flag")
	tool(t, "", "probe", "--color=some").want(t, exitUnknown, "--color: must be auto, always or never")
	for _, cmd := range newRoot(&console{}).Commands() {
		if !cmd.Hidden && (cmd.Example == "" || cmd.Long == "") {
			t.Errorf("%s has no example or no long text", cmd.Name())
		}
	}
}

func TestCheckConfig(t *testing.T) {
	const local = `{"algorithm": "RS256", "mode": "local", "options": {"modes": {"local": {"filePath": "FILE"}}, "common": {"matchUsernameToSubject": true}}}`
	p := startProvider(t)
	pem := write(t, "key.pem", string(p.PublicKeyPEM()))
	cases := []struct {
		rule, text string
		flags      []string
		code       int
		want       []string
	}{
		{"a good file", strings.Replace(local, "FILE", pem, 1), nil, 0, []string{"jwt.json is good", "mode local, algorithm RS256, any issuer"}},
		{"every problem at once, with its place", "{\n \"algorithm\": \"RS257\",\n \"mode\": \"jwk\"}", nil, 1, []string{"jwt.json:2:15: error: $.algorithm", "jwt.json:3:10: error: $.mode", "3 errors"}},
		{"no JSON", "{", nil, 1, []string{"jwt.json:1:"}},
		{"a key that does not exist is an error here", strings.Replace(strings.Replace(local, "FILE", pem, 1), "{", `{"vrsion": 1, `, 1), nil, 1, []string{"error: $.vrsion", "version"}},
		{"a key file that is none", strings.Replace(local, "FILE", write(t, "bad.pem", "no key"), 1), nil, 1, []string{"error: $.options.modes.local: must be a public key in PEM"}},
		{"a warning is none", strings.Replace(strings.Replace(local, "FILE", pem, 1), `"common": {`, `"tls": {"insecureSkipVerify": true}, "common": {`, 1), nil, 0, []string{"warning: $.options.tls.insecureSkipVerify", "is good"}},
		{"unless it is asked to be", strings.Replace(strings.Replace(local, "FILE", pem, 1), `"common": {`, `"tls": {"insecureSkipVerify": true}, "common": {`, 1), []string{"--strict"}, 1, []string{"error: $.options.tls.insecureSkipVerify"}},
		{"what may not be meant", strings.Replace(strings.Replace(local, "FILE", pem, 1), `{"matchUsernameToSubject": true}`, `{"matchClientIdToSubject": true}`, 1), nil, 0, []string{"note: on Mosquitto 2.0: $.options.common.matchClientIdToSubject"}},
		{"a JWKS file without usable keys", `{"algorithm":"RS256","mode":"jwks","options":{"modes":{"jwks":{"filePath":"` + write(t, "set.json", `{"keys":[]}`) + `"}}}}`, nil, 1, []string{"$.options.modes.jwks.filePath", "none of its 0 keys"}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			name := write(t, "jwt.json", c.text)
			tool(t, "", append([]string{"check-config", "--as=", name}, c.flags...)...).want(t, c.code, c.want...)
			o := tool(t, "", append([]string{"check-config", "--as=", "--json", name}, c.flags...)...).want(t, c.code).object(t)
			if o["valid"] != (c.code == 0) || o["problems"] == nil || o["advice"] == nil || o["file"] != name {
				t.Errorf("%v", o)
			}
		})
	}
	tool(t, "", "check-config", "--as=", filepath.Join(t.TempDir(), "none.json")).want(t, 1, "none.json", "does not exist")
}

func TestCheckToken(t *testing.T) {
	p := startProvider(t, withAsker())
	name := jwtJSON(t, p)
	good := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"))
	revoked := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"))
	if err := p.Revoke(revoked); err != nil {
		t.Fatal(err)
	}
	dynsec := write(t, "dynsec.json", `{"clients":[{"username":"sensor-1","roles":[{"rolename":"sensor"}],"groups":[{"groupname":"hall-2"}]}],
		"groups":[{"groupname":"floor","roles":[{"rolename":"reader"}],"clients":[{"username":"sensor-1"}]}]}`)
	cases := []struct {
		rule, token string
		flags       []string
		code        int
		verdict     string
		want        []string
	}{
		{"accepted", good, nil, 0, "accept", []string{"✓ signature", "✓ exp", "accepted", `username   "sensor-1"`, "not asked (--online asks)", "with its will"}},
		{"asked as well", good, []string{"--online"}, 0, "accept", []string{"✓ introspection"}},
		{"revoked shows only there", revoked, nil, 0, "accept", nil},
		{"revoked", revoked, []string{"--online"}, 1, "deny", []string{"✗ introspection", "refused: revoked"}},
		{"expired", p.Token("sensor-1", -time.Minute, idp.Audience("mqtt")), nil, 1, "deny", []string{"✗ exp", "refused: expired: exp is "}},
		{"at another time", good, []string{"--at", time.Now().Add(2 * time.Hour).Format(time.RFC3339)}, 1, "deny", []string{"refused: expired"}},
		{"another audience", p.Token("sensor-1", time.Hour), nil, 1, "deny", []string{"✗ aud", "expected one of \"mqtt\"", "refused: wrong audience"}},
		{"another key", p.Token("sensor-1", time.Hour, idp.ForeignKey()), nil, 1, "deny", []string{"✗ signature", "refused: bad signature"}},
		{"unsigned", p.Token("sensor-1", time.Hour, idp.Unsigned()), nil, 1, "deny", []string{"✗ alg", "refused: wrong algorithm"}},
		{"no token", "hunter2", nil, 1, "defer", []string{"left to the next plugin"}},
		{"with what people paste around it", "  Bearer " + good + "\r\n", nil, 0, "accept", []string{`"Bearer" stood before`}},
		{"rights", good, []string{"--dynsec", dynsec}, 0, "accept", []string{"roles sensor, reader, also by the groups hall-2, floor"}},
		{"no rights", p.Token("stranger", time.Hour, idp.Audience("mqtt")), []string{"--dynsec", dynsec}, 0, "accept", []string{"none: dynamic-security has no client"}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			secrets := []string{strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(c.token), "Bearer ")), brokerSecret}
			args := append([]string{"check-token", "--config", name, "-"}, c.flags...)
			tool(t, c.token, args...).want(t, c.code, c.want...).lacks(t, secrets...)
			o := tool(t, c.token, append(args, "--json")...).want(t, c.code).lacks(t, secrets...).object(t)
			if o["verdict"] != c.verdict {
				t.Errorf("verdict %v, want %s", o["verdict"], c.verdict)
			}
			if tool(t, "", append([]string{"check-token", "--config", name, c.token}, c.flags...)...).code != c.code {
				t.Error("in the command line it is judged otherwise")
			}
		})
	}
	t.Run("accepted though it could not be asked about", func(t *testing.T) {
		allows := jwtJSON(t, p, brokerSecret, "another-secret", `"revocation": {`, `"revocation": {"onUnavailable": "allow",`)
		args := []string{"check-token", "--config", allows, "--online", "-"}
		const why = "provider unavailable: POST "
		tool(t, good, args...).want(t, 0, "accepted", why)
		if o := tool(t, good, append(args, "--json")...).want(t, 0).object(t); !strings.HasPrefix(fmt.Sprint(o["detail"]), why) {
			t.Errorf("detail %v", o["detail"])
		}
	})
	t.Run("what can't be told", func(t *testing.T) {
		tool(t, "", "check-token", "--config", name, "-").want(t, exitUnknown, "there is no token")
		tool(t, good, "check-token", "--config", name, "--at", "noon", "-").want(t, exitUnknown, "--at: must be a time")
		tool(t, good, "check-token", "--config", name, "--dynsec", "none.json", "-").want(t, exitUnknown, "--dynsec:")
		tool(t, good, "check-token", "--config", jwtJSON(t, p, `"oidc",`, `"odic",`), "-").want(t, exitUnknown, "$.mode").lacks(t, brokerSecret)
		opaque := file{Issuer: p.Issuer(), UsernameClaim: "sub", Opaque: true, Introspection: &introspection{URI: p.IntrospectionURI(), ClientID: "asker", Secret: brokerSecret}}
		asks := write(t, "jwt.json", string(opaque.json()))
		tool(t, good, "check-token", "--config", asks, "-").want(t, exitUnknown, "--online asks it")
		tool(t, p.Opaque("sensor-1", time.Hour), "check-token", "--config", asks, "--online", "-").want(t, 0, "✓ introspection", "accepted")
		if err := p.SetDown(true); err != nil {
			t.Fatal(err)
		}
		tool(t, good, "check-token", "--config", name, "-").want(t, exitUnknown, "could not be told: keys unavailable")
		o := tool(t, good, "check-token", "--config", name, "--json", "-").want(t, exitUnknown).object(t)
		if o["verdict"] != "unknown" {
			t.Errorf("%v", o)
		}
	})
}

func TestProbe(t *testing.T) {
	p := startProvider(t, withAsker(), idp.WithTLS())
	ca := write(t, "ca.pem", string(p.CA()))
	name := jwtJSON(t, p, `"options": {`, `"options": {"tls": {"caFile": "`+ca+`"},`)
	tool(t, "", "probe", "--config", name).want(t, 0, "✓ JWKS endpoint", "✓ introspection endpoint", "TLS 1.3, certificate of", "left)",
		"its clock agrees", `key kid "`+p.KeyID()+`": an RSA key, 2048 bits, for RS256`, "the plugin can work with this").lacks(t, brokerSecret)
	o := tool(t, "", "probe", "--json", "--config", name).want(t, 0).lacks(t, brokerSecret).object(t)
	first := o["endpoints"].([]any)[0].(map[string]any)
	if o["works"] != true || first["certificate"].(map[string]any)["daysLeft"] == nil || len(o["keys"].([]any)) != 1 {
		t.Errorf("%v", o)
	}
	tool(t, "", "probe", "--config", jwtJSON(t, p)).want(t, 1, "the certificate is not trusted", "$.options.tls.caFile")
	t.Run("keys that can't be used", func(t *testing.T) {
		es := startProvider(t, withAsker(), idp.WithAlgorithm("ES256"))
		tool(t, "", "probe", "--config", jwtJSON(t, es)).want(t, 1, "none of its 1 keys can be used with RS256", "a key on P-256")
	})
	t.Run("one that is down", func(t *testing.T) {
		if err := p.SetDown(true); err != nil {
			t.Fatal(err)
		}
		o := tool(t, "", "probe", "--json", "--config", name).want(t, exitUnknown).object(t)
		if o["works"] != false || len(o["faults"].([]any)) == 0 {
			t.Errorf("%v", o)
		}
	})
}

// What the revocation endpoint makes of the file's credentials shows only when it is asked.
func TestProbeAsksTheRevocationEndpoint(t *testing.T) {
	p := startProvider(t, withAsker())
	good, wrong := jwtJSON(t, p), jwtJSON(t, p, brokerSecret, "another-secret")
	allows := jwtJSON(t, p, brokerSecret, "another-secret", `"revocation": {`, `"revocation": {"onUnavailable": "allow",`)
	opaque := write(t, "jwt.json", string(file{Issuer: p.Issuer(), UsernameClaim: "sub", Opaque: true, Introspection: &introspection{
		URI: p.IntrospectionURI(), ClientID: "asker", Secret: brokerSecret,
	}}.json()))
	const plain = `{"algorithm": "RS256", "mode": "jwks", "options": {"modes": {"jwks": {"uri": "KEYS"}}, "revocation": {"plain": {"uri": "KEYS"}}}}`
	lax := write(t, "jwt.json", strings.ReplaceAll(plain, "KEYS", p.JWKSURI()))
	cases := []struct {
		rule, file string
		code       int
		want       []string
	}{
		{"it takes the credentials", good, 0, []string{"asked about a made-up token: not active, as it should be", "the plugin can work with this"}},
		{"it does not", wrong, 1, []string{"✗ introspection endpoint", "asked about a made-up token: no answer that can be used: ", "it does not accept $.options.revocation.introspection.clientId and clientSecret"}},
		{"it does not, and everybody is let in", allows, 0, []string{"note: $.options.revocation.introspection.uri: ", "onUnavailable lets everybody in"}},
		{"opaque tokens", opaque, 0, []string{"not active, as it should be"}},
		{"it calls everything active", lax, 1, []string{"$.options.revocation.plain.uri: it says of a made-up token that it is active"}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			got := tool(t, "", "probe", "--config", c.file).want(t, c.code, c.want...).lacks(t, brokerSecret, "another-secret")
			if works := strings.Contains(got.out, "the plugin can work with this"); works != (c.code == 0) {
				t.Errorf("works: %t\n%s", works, got.out)
			}
		})
	}
	all := tool(t, "", "probe", "--json", "--config", good).want(t, 0).object(t)["endpoints"].([]any)
	if last := all[len(all)-1].(map[string]any); last["answer"] != "not active, as it should be" {
		t.Errorf("%v", last)
	}
}

func TestInit(t *testing.T) {
	p := startProvider(t, withAsker())
	secret := write(t, "secret", brokerSecret)
	folder := t.TempDir()
	output := filepath.Join(folder, "jwt.json")
	flags := []string{"init", "--issuer", p.Issuer(), "--output", output}
	check := func(t *testing.T, want string) {
		t.Helper()
		tool(t, "", "check-config", "--as=", output).want(t, 0, "is good")
		written, err := os.ReadFile(output)
		if err != nil || !strings.Contains(string(written), want) {
			t.Errorf("%q is not in %s (%v)", want, written, err)
		}
		if info, err := os.Stat(output); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if left, _ := filepath.Glob(filepath.Join(folder, ".jwt-*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	tool(t, "", append(flags, "--no-input", "--audience", "mqtt")...).want(t, 0, "is written and good", "plugin /usr/lib/go_jwt_auth.so", "plugin_opt_config_file "+output)
	check(t, `"audience": "mqtt"`)
	tool(t, "", append(flags, "--no-input")...).want(t, exitUnknown, "is there already: --force")
	check(t, `"audience": "mqtt"`)
	tool(t, "", append(flags, "--no-input", "--force")...).want(t, 0, "no audience is asked for")
	tool(t, "\npreferred_username\nasker\n"+secret+"\n", append(flags, "--force")...).want(t, 0, "Claim that becomes the username [sub]")
	check(t, `"usernameClaim": "preferred_username"`)
	check(t, `"filePath": "`+secret+`"`)
	tool(t, p.Issuer()+"\nmqtt\n\n\n", "init", "--force", "--output", output).want(t, 0, "Issuer of your provider")
	o := tool(t, "", append(flags, "--no-input", "--force", "--json", "--client-id", "asker", "--client-secret-file", secret)...).want(t, 0).lacks(t, brokerSecret).object(t)
	if o["file"] != output || len(o["mosquittoConf"].([]any)) != 3 {
		t.Errorf("%v", o)
	}
	token := p.Token("sensor-1", time.Hour)
	tool(t, token, "check-token", "--online", "--config", output, "-").want(t, 0, "✓ introspection")

	tool(t, "", "init", "--no-input", "--output", filepath.Join(folder, "new.json")).want(t, exitUnknown, "--issuer: must be given")
	tool(t, "", "init", "--output", filepath.Join(folder, "new.json")).want(t, exitUnknown, "no answer to")
	tool(t, "", "init", "--no-input", "--issuer", "id.example.com", "--output", filepath.Join(folder, "new.json")).want(t, exitUnknown, "must be an http or https URL")
	tool(t, "", "init", "--no-input", "--issuer", p.Issuer()+"/", "--output", filepath.Join(folder, "new.json")).want(t, exitUnknown, "it is the document of issuer")
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestToken(t *testing.T) {
	p := startProvider(t, withAsker())
	secret := write(t, "secret", clientSecret+"\n")
	flags := []string{"token", "--issuer", p.Issuer(), "--client-id", "sensor-1"}
	name := jwtJSON(t, p)
	good := func(t *testing.T, got said) {
		t.Helper()
		got.want(t, 0).lacks(t, clientSecret)
		tool(t, got.out, "check-token", "--online", "--config", name, "-").want(t, 0, `username   "sensor-1"`)
	}
	t.Run("secret in a file", func(t *testing.T) { good(t, tool(t, "", append(flags, "--client-secret-file", secret)...)) })
	t.Run("secret on standard input", func(t *testing.T) { good(t, tool(t, clientSecret, append(flags, "--client-secret-file", "-")...)) })
	t.Run("secret in the environment", func(t *testing.T) {
		t.Setenv(secretVariable, clientSecret)
		good(t, tool(t, "", flags...))
		o := tool(t, "", append(flags, "--json")...).want(t, 0).object(t)
		if o["access_token"] == "" || o["token_type"] != "Bearer" || o["expires"] == nil {
			t.Errorf("%v", o)
		}
	})
	t.Run("no secret", func(t *testing.T) { tool(t, "", flags...).want(t, exitUnknown, "need a secret") })
	t.Run("a wrong secret", func(t *testing.T) {
		tool(t, "a-wrong-one", append(flags, "--client-secret-file", "-")...).want(t, exitUnknown, "the provider refuses: HTTP 4").lacks(t, "a-wrong-one")
	})
	t.Run("an empty secret", func(t *testing.T) {
		tool(t, "\n", append(flags, "--client-secret-file", "-")...).want(t, exitUnknown, "it is empty")
	})
	for does, approve := range map[string]bool{"approved": true, "denied": false} {
		t.Run("a device, "+does, func(t *testing.T) {
			t.Setenv(secretVariable, clientSecret)
			got := device(t, p, approve, append(flags, "--device")...)
			if approve {
				good(t, said{got.code, got.out, ""})
				return
			}
			got.want(t, exitUnknown, "access_denied")
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		if err := p.SetDown(true); err != nil {
			t.Fatal(err)
		}
		tool(t, clientSecret, append(flags, "--client-secret-file", "-")...).want(t, exitUnknown, "can't connect")
	})
}

// device runs a device login and does what the person would.
func device(t *testing.T, p *idp.Provider, approve bool, args ...string) said {
	t.Helper()
	shown := &watched{told: make(chan struct{}, 1)}
	var out bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(t.Context(), args, &console{in: strings.NewReader(""), out: &out, err: shown}) }()
	<-shown.told
	_, code, _ := strings.Cut(strings.TrimSpace(shown.String()), "it shows the code ")
	decide := p.DenyDevice
	if approve {
		decide = p.ApproveDevice
	}
	if !decide(code) {
		t.Errorf("no device waits with %q", code)
	}
	return said{<-ended, out.String(), shown.String()}
}

// watched is a buffer that says when it was written to.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	told chan struct{}
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() {
		select {
		case w.told <- struct{}{}:
		default:
		}
	}()
	return w.text.Write(b)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func TestDevIDP(t *testing.T) {
	tool(t, "", "dev-idp", "--listen", "0.0.0.0:0").want(t, exitUnknown, "is no loopback address")
	tool(t, "", "dev-idp", "--listen", "127.0.0.1").want(t, exitUnknown, "--listen:")
	tool(t, "", "dev-idp", "--client", "nobody").want(t, exitUnknown, "--client: must be ID:SECRET")
	tool(t, "", "dev-idp", "--page", "http://127.0.0.1/").want(t, exitUnknown, "--page: must be ID=REDIRECT")
	for _, opaque := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		name := filepath.Join(t.TempDir(), "jwt.json")
		args := []string{"dev-idp", "--listen", "127.0.0.1:0", "--client", "a:b", "--page", "p=http://127.0.0.1:8080/", "--json", "--write", name}
		if opaque {
			args = append(args, "--opaque")
		}
		out := &watched{told: make(chan struct{}, 1)}
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, args, &console{in: strings.NewReader(""), out: out, err: os.Stderr}) }()
		select {
		case <-out.told:
		case code := <-ended:
			t.Fatalf("ended with %d", code)
		}
		o := said{out: out.String()}.object(t)
		tool(t, "", "check-config", "--as=", name).want(t, 0)
		tool(t, "", "probe", "--config", name).want(t, 0)
		got := tool(t, "b", "token", "--issuer", o["issuer"].(string), "--client-id", "a", "--client-secret-file", "-").want(t, 0)
		tool(t, got.out, "check-token", "--online", "--config", name, "-").want(t, 0, "✓ introspection", `username   "a"`)
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

func TestColours(t *testing.T) {
	p := startProvider(t, withAsker())
	name := jwtJSON(t, p)
	const escape = "\x1b["
	tool(t, "x", "check-token", "--config", name, "-").lacks(t, escape)
	tool(t, "x", "check-token", "--config", name, "--color=always", "-").want(t, 1, escape)
	tool(t, "x", "check-token", "--config", name, "--color=always", "--json", "-").lacks(t, escape)
}

// What packages ship is the same whenever and wherever it is made.
func TestDocs(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	read := func() map[string]string {
		folder, files := t.TempDir(), map[string]string{}
		tool(t, "", "docs", folder).want(t, 0)
		for _, kind := range []string{"man", "completion"} {
			entries, err := os.ReadDir(filepath.Join(folder, kind))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				text, err := os.ReadFile(filepath.Join(folder, kind, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				files[e.Name()] = string(text)
			}
		}
		return files
	}
	first := read()
	for name, text := range read() {
		if first[name] != text {
			t.Errorf("%s differs from run to run", name)
		}
	}
	for _, name := range []string{"go-jwt-auth.1", "go-jwt-auth-check-token.1", "go-jwt-auth-dev-idp.1", "go-jwt-auth.bash", "_go-jwt-auth", "go-jwt-auth.fish"} {
		if first[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	if !strings.Contains(first["go-jwt-auth.1"], "Nov 2023") {
		t.Error("the man page is not dated by SOURCE_DATE_EPOCH")
	}
	if _, has := first["go-jwt-auth-docs.1"]; has {
		t.Error("the hidden command has a page")
	}
}

// A file that comes on standard input is read as if it stood in the working folder.
func TestCheckConfigFromInput(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = `{"algorithm": "HS256", "mode": "local", "options": {"modes": {"local": {"filePath": "secret"}}, "common": {"audience": "mqtt"}}}`
	tool(t, text, "check-config", "-").want(t, 1, "standard input:1:", "$.options.modes.local.filePath", "does not exist")
	if err := os.WriteFile("secret", []byte(strings.Repeat("x", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, text, "check-config", "-").want(t, 0, "standard input is good")
	if o := tool(t, text, "check-config", "--json", "-").want(t, 0).object(t); o["file"] != "standard input" || o["valid"] != true {
		t.Errorf("%v", o)
	}
}

func TestDoubts(t *testing.T) {
	skew := func(seconds float64) endpointReport { return endpointReport{SkewSeconds: &seconds} }
	ends := func(in time.Duration) endpointReport {
		return endpointReport{Certificate: &certificateReport{NotAfter: time.Now().Add(in)}}
	}
	for _, c := range []struct {
		rule   string
		r      endpointReport
		leeway time.Duration
		want   string // empty: no doubt
	}{
		{"clocks that agree", skew(0), 0, ""},
		{"what the Date header hides", skew(-2), 0, ""},
		{"a clock that is ahead", skew(5), 0, "5 s ahead"},
		{"a clock that is behind", skew(-90), 0, "90 s behind"},
		{"within the leeway", skew(-90), 2 * time.Minute, ""},
		{"a certificate for long", ends(60 * 24 * time.Hour), 0, ""},
		{"a certificate that soon ends", ends(24 * time.Hour), 0, "its certificate ends on"},
		{"an address that may be wrong", endpointReport{Status: 404, Doubt: "it may be the wrong address"}, 0, "HTTP 404; it may be"},
	} {
		p := &config.Provider{Common: config.Common{Leeway: c.leeway}}
		if got := strings.Join(doubts(c.r, p), "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
	}
}
