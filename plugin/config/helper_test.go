package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go-jwt-auth/plugin/config/fileaccess"
)

const (
	uri        = "options.modes.jwks.uri"
	badListen  = `$.options.metrics.listen: must be an IP address and a port, such as "127.0.0.1:9641", found `
	tokenFrom  = "options.common.tokenSource"
	introspect = "options.revocation.introspection"
	plainly    = "options.revocation.plain"
	parameters = plainly + ".requestParameters"
	codes      = plainly + ".response.successHttpCodes"
)

// with is a good file, changed: each path gets the JSON that follows it, or loses what it had where that is "".
func with(changes ...string) string {
	file := map[string]any{}
	set(file, "algorithm", `"RS256"`)
	set(file, "mode", `"jwks"`)
	set(file, uri, `"https://idp.test/jwks"`)
	for i := 0; i < len(changes); i += 2 {
		set(file, changes[i], changes[i+1])
	}
	text, err := json.Marshal(file)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func set(in map[string]any, path, value string) {
	name, rest, deeper := strings.Cut(path, ".")
	switch {
	case deeper:
		if _, ok := in[name].(map[string]any); !ok {
			in[name] = map[string]any{}
		}
		set(in[name].(map[string]any), rest, value)
	case value == "":
		delete(in, name)
	default:
		in[name] = json.RawMessage(value)
	}
}

// revoking is with, and a good revocation section below the changes.
func revoking(changes ...string) string {
	return with(append([]string{introspect + ".uri", `"https://idp.test/introspect"`}, changes...)...)
}

// retrying is revoking between two attempts, with this retryWindowMs.
func retrying(window string) string {
	return revoking("options.revocation.check", `"onRetry"`, "options.revocation.retryWindowMs", window)
}

// introspecting is revoking by this request.
func introspecting(request string) string {
	return revoking(introspect+".requestParameters.plain", request)
}

// asking is with, and a good plain endpoint below the changes.
func asking(changes ...string) string {
	return with(append([]string{plainly + ".uri", `"https://idp.test/check"`}, changes...)...)
}

// requesting is asking by this request.
func requesting(request string) string { return asking(parameters+".plain", request) }

// answering is asking for this value in the answer.
func answering(path, value string) string {
	return asking(plainly+".response.jsonPath", path, plainly+".response.successValue", value)
}

// oidc is with, in mode oidc.
func oidc(changes ...string) string {
	return with(append([]string{"mode", `"oidc"`, "options.modes.jwks", "", "options.modes.oidc.issuer", `"https://idp.test"`}, changes...)...)
}

// opaque is with, in mode introspection.
func opaque(changes ...string) string {
	return with(append([]string{
		"mode", `"introspection"`, "algorithm", "", "options.modes", "", introspect + ".uri", `"https://idp.test/introspect"`,
	}, changes...)...)
}

// local is with, in mode local.
func local(changes ...string) string {
	return with(append([]string{"mode", `"local"`, "options.modes.jwks", "", "options.modes.local", `"key"`}, changes...)...)
}

// granting is with, and this entry of grants below the changes.
func granting(entry string, changes ...string) string {
	return with(append([]string{"options.authorization.grants", "[" + entry + "]"}, changes...)...)
}

// several is a file with these providers.
func several(providers ...string) string {
	return `{"providers": [` + strings.Join(providers, ", ") + `]}`
}

// bare makes a provider of that name of a file with one.
func bare(name, file string) string {
	return strings.Replace(file, "{", `{"name": "`+name+`", `, 1)
}

// named is bare, and maps usernames.
func named(name, file string) string {
	if strings.Contains(file, `"usernameTemplate"`) || strings.Contains(file, `"matchUsernameToSubject"`) {
		return bare(name, file)
	}
	var one map[string]any
	if err := json.Unmarshal([]byte(file), &one); err != nil {
		panic(err)
	}
	set(one, match, "true")
	text, err := json.Marshal(one)
	if err != nil {
		panic(err)
	}
	return bare(name, string(text))
}

// from is a provider of mode jwks for one issuer.
func from(name, issuer string, changes ...string) string {
	return named(name, with(append([]string{"options.common.issuer", `"` + issuer + `"`}, changes...)...))
}

// workshop is a folder with the files that the tables name, and sets the variables that they name.
func workshop(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]string{
		"GO_JWT_AUTH_EMPTY":   "",
		"GO_JWT_AUTH_TEXT":    "hunter2",
		"GO_JWT_AUTH_SECRET":  "from the environment\n",
		"GO_JWT_AUTH_REQUEST": `{"method": "PUT"}`,
		"GO_JWT_AUTH_BROKEN":  `["hunter2"]`,
	} {
		t.Setenv(name, value)
	}
	for name, content := range map[string]string{
		"secret":      "from the file\n\n",
		"secret.crlf": "from the file\r\n",
		"file.pem":    "PEM",
		"newline":     "\r\n",
		"large":       strings.Repeat("x", fileaccess.MaxBytes+1),
		"broken.json": "{\n  \"method\": \"get\",\n  \"payloads\": \"hunter2\"\n}\n",
		"other.json":  `{"payload": {"token": "hunter2"}}`,
	} {
		write(t, dir, name, content)
	}
	for _, mode := range []os.FileMode{0o640, 0o644, 0o666} {
		chmod(t, write(t, dir, fmt.Sprintf("%04o", mode), "hunter2"), mode)
	}
	chmod(t, write(t, dir, "request.json", `{"path": "/#:jwt_value:#"}`+"\n"), 0o644)
	chmod(t, write(t, dir, "secret-request.json", `{"headers": {"X-Api-Key": "hunter2"}}`), 0o644)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write puts a file beside jwt.json, readable by its owner only.
func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func chmod(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// loaded is a file with one provider.
type loaded struct {
	*Config
	*Provider
}

func load(t testing.TB, dir, content string) (*Config, Problems) {
	t.Helper()
	return Load(write(t, dir, "jwt.json", content))
}

// mustLoad loads a file that has no problem at all.
func mustLoad(t testing.TB, dir, content string) loaded {
	t.Helper()
	c, problems := load(t, dir, content)
	if c == nil || len(problems) > 0 {
		t.Fatalf("%s\n%v", content, problems)
	}
	return loaded{c, c.Providers[0]}
}

// signing are the keys of a client that proves itself with a private key, but for that one.
func signing() []string {
	return []string{introspect + ".clientId", `"a"`, introspect + ".clientAuthentication", `"privateKeyJwt"`}
}
