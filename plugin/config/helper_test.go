package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	uri        = "options.modes.jwks.uri"
	introspect = "options.revocation.introspection"
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

// local is with, in mode local.
func local(changes ...string) string {
	return with(append([]string{"mode", `"local"`, "options.modes.jwks", "", "options.modes.local", `"key"`}, changes...)...)
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

func load(t testing.TB, dir, content string) (*Config, Problems) {
	t.Helper()
	return Load(write(t, dir, "jwt.json", content))
}

// mustLoad loads a file that has no problem at all.
func mustLoad(t testing.TB, dir, content string) *Config {
	t.Helper()
	c, problems := load(t, dir, content)
	if c == nil || len(problems) > 0 {
		t.Fatalf("%s\n%v", content, problems)
	}
	return c
}
