package docker_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"go-jwt-auth/test/docker"
)

func load(t *testing.T, environment ...string) *types.Project {
	t.Helper()
	project, err := docker.Load(t.Context(), environment...)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeFile(t *testing.T) {
	project := load(t)
	t.Run("has Keycloak and the broker", func(t *testing.T) {
		if got := project.ServiceNames(); !slices.Equal(got, []string{"keycloak", "mosquitto"}) {
			t.Errorf("the services are %v", got)
		}
	})
	t.Run("every file that it mounts is there and is read-only", func(t *testing.T) {
		for name, service := range project.Services {
			for _, volume := range service.Volumes {
				if volume.Type != types.VolumeTypeBind {
					if _, ok := project.Volumes[volume.Source]; !ok {
						t.Errorf("%s: there is no volume %q", name, volume.Source)
					}
					continue
				}
				if info, err := os.Stat(volume.Source); err != nil || info.IsDir() || !volume.ReadOnly {
					t.Errorf("%s: %s: %v, read-only %v", name, volume.Source, err, volume.ReadOnly)
				}
			}
		}
	})
	t.Run("opens its ports to this machine alone", func(t *testing.T) {
		for name, service := range project.Services {
			for _, port := range service.Ports {
				if address, err := netip.ParseAddr(port.HostIP); err != nil || !address.IsLoopback() {
					t.Errorf("%s: port %d is open at %q", name, port.Target, port.HostIP)
				}
			}
		}
	})
	t.Run("every variable has a value", func(t *testing.T) {
		for name, service := range project.Services {
			for variable, value := range service.Environment {
				if value == nil || *value == "" {
					t.Errorf("%s: %s has none", name, variable)
				}
			}
		}
	})
	t.Run("the broker waits for Keycloak's health check", func(t *testing.T) {
		if got := project.Services["mosquitto"].DependsOn["keycloak"].Condition; got != types.ServiceConditionHealthy {
			t.Errorf("the condition is %q", got)
		}
		if project.Services["keycloak"].HealthCheck == nil {
			t.Error("there is no health check")
		}
	})
	t.Run("Keycloak is the one that the tests run", func(t *testing.T) {
		_, version, _ := strings.Cut(project.Services["keycloak"].Image, ":")
		if !strings.Contains(file(t, "../test/keycloak/fetch.sh"), "\nversion="+version+"\n") {
			t.Errorf("fetch.sh has another version than %q", version)
		}
	})
	t.Run("every Dockerfile that may be asked for is there", func(t *testing.T) {
		for _, name := range []string{"Dockerfile", "Dockerfile.alpine"} {
			build := load(t, "BROKER_DOCKERFILE="+name).Services["mosquitto"].Build
			path := filepath.Join(build.Context, build.Dockerfile)
			if _, err := os.Stat(path); err != nil || filepath.Base(path) != name {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
	t.Run("a missing secret is said", func(t *testing.T) {
		_, err := docker.Load(t.Context(), "SENSOR_SECRET=")
		if err == nil || !strings.Contains(err.Error(), "SENSOR_SECRET") {
			t.Errorf("got %v", err)
		}
	})
}

// The realm file and jwt.json name variables: each must be one of its service.
func TestVariablesInFiles(t *testing.T) {
	project := load(t)
	for _, c := range []struct{ file, service, pattern string }{
		{"keycloak/realm.json", "keycloak", `"\$\{(\w+)\}"`},
		{"jwt.json", "mosquitto", `"env": "(\w+)"`},
	} {
		found := regexp.MustCompile(c.pattern).FindAllStringSubmatch(file(t, c.file), -1)
		if len(found) == 0 {
			t.Errorf("%s names none", c.file)
		}
		for _, name := range found {
			if _, ok := project.Services[c.service].Environment[name[1]]; !ok {
				t.Errorf("%s: %s has no variable %s", c.file, c.service, name[1])
			}
		}
	}
}

func TestJWTJSONFollowsTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/jwt.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(file(t, "jwt.json")))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Error(err)
	}
}

// file is a file of docker/.
func file(t *testing.T, name string) string {
	t.Helper()
	folder, err := docker.Folder()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
