// Package docker tests what docker/ holds: the compose file by its schema, its Keycloak and its broker as real programs
// without containers, and the images as bases.sh and images.sh build them.
package docker

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"go-jwt-auth/test/brokers"
)

// Folder is docker/ of the checkout.
func Folder() (string, error) {
	root, err := brokers.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "docker"), nil
}

// Load reads compose.yaml and .env as `docker compose` in docker/ does, and holds them against the schema.
func Load(ctx context.Context, environment ...string) (*types.Project, error) {
	folder, err := Folder()
	if err != nil {
		return nil, err
	}
	options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "compose.yaml")},
		cli.WithWorkingDirectory(folder), cli.WithEnv(environment), cli.WithEnvFiles(), cli.WithDotEnv)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	return project, nil
}

// Environment is that of a service, as NAME=value.
func Environment(service types.ServiceConfig) (variables []string) {
	for _, name := range slices.Sorted(maps.Keys(service.Environment)) {
		if value := service.Environment[name]; value != nil {
			variables = append(variables, name+"="+*value)
		}
	}
	return variables
}
