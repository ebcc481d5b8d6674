package harness

import (
	"os"
	"path/filepath"
	"slices"

	"go-jwt-auth/test/brokers"
)

// Tool is the path of the command-line tool: GO_JWT_AUTH_TOOL in the environment, or what make builds.
func Tool(t T) string {
	t.Helper()
	path := os.Getenv("GO_JWT_AUTH_TOOL")
	if path == "" {
		root, err := brokers.Root()
		if err != nil {
			t.Fatalf("harness: %v", err)
		}
		path = filepath.Join(root, "build", "go-jwt-auth")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("harness: %v; `make tool` builds it", err)
	}
	return path
}

// Ask starts the tool with a command for this broker's listener i. password is a password or token, in a file for the flag of
// that name; without a flag there is none.
func (b *Broker) Ask(i int, flag, password string, args ...string) *Process {
	b.t.Helper()
	login := []string{"--url", b.URL(i)}
	if flag != "" {
		file := filepath.Join(b.t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			b.t.Fatalf("harness: %v", err)
		}
		login = append(login, flag, file)
	}
	return Spawn(b.t, nil, slices.Concat([]string{Tool(b.t)}, args, login)...)
}
