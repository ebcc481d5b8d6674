package docker_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/harness"
)

// imagesVariable names the environment variable that images.sh sets: the images that it has built, by words.
const imagesVariable = "DOCKER_IMAGES"

// The listeners of docker/mosquitto.conf, in a network that images.sh has made for this.
const (
	mqtt = "mqtt://127.0.0.1:1883"
	ws   = "ws://127.0.0.1:9001"
)

// TestImages runs the images that images.sh has built, without an engine: what it can't try is an engine's own doing.
func TestImages(t *testing.T) {
	images := strings.Fields(os.Getenv(imagesVariable))
	if len(images) == 0 {
		t.Skipf("NOT TESTED with real images: %s names none; `make test-docker` builds them and runs this", imagesVariable)
	}
	for _, image := range images {
		t.Run(image, func(t *testing.T) {
			about := inspect(t, image)
			t.Run("says what an engine needs", about.complete)
			t.Run("does not start without jwt.json", about.closed)
			t.Run("does not start where it can't keep dynamic-security", about.unwritable)
			t.Run("takes tokens, with a new dynamic-security", about.fresh)
			t.Run("takes over roles that are mounted", about.seeded)
			t.Run("has the tool", about.tool)
		})
	}
}

// image is what an image says of itself.
type image struct {
	name   string
	Config struct {
		User, StopSignal string
		Env, Entrypoint  []string
		Cmd              []string
		ExposedPorts     map[string]struct{}
		Volumes          map[string]struct{}
		Healthcheck      struct{ Test []string }
		Labels           map[string]string
	} `json:"config"`
}

// buildah is a command line of buildah with the store of bases.sh.
func buildah(t *testing.T, arguments ...string) []string {
	t.Helper()
	folder, err := filepath.Abs("../../build/docker")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]string{
		"buildah", "--root", folder + "/storage", "--runroot", folder + "/run", "--storage-driver", "vfs",
	}, arguments)
}

// output is what a command of buildah prints.
func output(t *testing.T, arguments ...string) string {
	t.Helper()
	argv := buildah(t, arguments...)
	command := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v %s", argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

func inspect(t *testing.T, name string) *image {
	t.Helper()
	about := &image{name: name}
	var said struct{ Docker *image }
	said.Docker = about
	if err := json.Unmarshal([]byte(output(t, "inspect", "--type", "image", name)), &said); err != nil {
		t.Fatal(err)
	}
	return about
}

func (i *image) complete(t *testing.T) {
	c := i.Config
	if c.User != "1883:1883" || c.StopSignal != "SIGTERM" || len(c.Healthcheck.Test) != 2 || c.Healthcheck.Test[0] != "CMD" {
		t.Errorf("user %q, stop signal %q, health check %q", c.User, c.StopSignal, c.Healthcheck.Test)
	}
	for _, port := range []string{"1883/tcp", "9001/tcp"} {
		if _, ok := c.ExposedPorts[port]; !ok {
			t.Errorf("port %s is not exposed", port)
		}
	}
	if _, ok := c.Volumes["/mosquitto/data"]; !ok {
		t.Error("/mosquitto/data is no volume")
	}
	if strings.Contains(strings.Join(c.Env, " "), "LD_PRELOAD") {
		t.Error("every program is started with LD_PRELOAD")
	}
	t.Log(output(t, "images", "--format", "{{.Size}}", i.name))
}

// container is one made of an image.
type container struct {
	image   *image
	id      string
	options []string // of buildah run
}

// create makes a container in which files, by their names in docker/, are mounted below /mosquitto/config.
func (i *image) create(t *testing.T, files map[string]string) *container {
	t.Helper()
	c := &container{image: i, id: output(t, "from", "--pull-never", i.name)}
	t.Cleanup(func() {
		argv := buildah(t, "rm", c.id)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v %s", argv, err, out)
		}
	})
	// testing makes the folders above for its own user only.
	dir := t.TempDir()
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil { // for the container's user
			t.Fatal(err)
		}
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		c.options = append(c.options, "--volume", path+":/mosquitto/config/"+name+":ro")
	}
	return c
}

// run starts a command in the container, by default as the image's user.
func (c *container) run(t *testing.T, argv ...string) *harness.Process {
	t.Helper()
	return harness.Spawn(t, nil, buildah(t, slices.Concat([]string{"run", "--isolation", "chroot"}, c.options, []string{c.id, "--"}, argv)...)...)
}

// start starts what the image starts by default.
func (c *container) start(t *testing.T) *harness.Process {
	t.Helper()
	return c.run(t, slices.Concat(c.image.Config.Entrypoint, c.image.Config.Cmd)...)
}

// healthy is the answer of the image's health check.
func (c *container) healthy(t *testing.T) bool {
	t.Helper()
	return c.run(t, c.image.Config.Healthcheck.Test[1:]...).Wait() == 0
}

func (i *image) closed(t *testing.T) {
	broker := i.create(t, nil).start(t)
	if code := broker.Wait(); code == 0 {
		t.Error("it ended with exit code 0")
	}
	broker.WaitLog(`/mosquitto/config/jwt\.json.*no such file`)
}

func (i *image) unwritable(t *testing.T) {
	c := i.create(t, map[string]string{"jwt.json": jwtJSON(provider(t))})
	c.options = append(c.options, "--user", "1884:1884") // whose /mosquitto/data is not
	broker := c.start(t)
	if code := broker.Wait(); code == 0 {
		t.Error("it ended with exit code 0")
	}
	broker.WaitLog(`^entrypoint: /mosquitto/data/dynamic-security\.json can't be made`)
}

func (i *image) fresh(t *testing.T) {
	p := provider(t)
	c := i.create(t, map[string]string{"jwt.json": jwtJSON(p)})
	broker := c.start(t)
	said := broker.WaitLog(`administrator is admin, with the password \S+, which`)
	broker.WaitLog(`mosquitto version .* running`)
	t.Log(broker.WaitLog(`mosquitto version .* starting`))

	harness.Connect(t, mqtt, harness.Paho3, login("tcp", p.Token("somebody", time.Minute))).Accepted()
	harness.Connect(t, ws, harness.Paho5, login("ws", p.Token("somebody", time.Minute))).Accepted()
	for name, token := range map[string]string{
		"forged": p.Token("somebody", time.Minute, idp.ForeignKey()), "expired": p.Token("somebody", -time.Minute), "none": "",
	} {
		harness.Connect(t, mqtt, harness.Paho5, login(name, token)).Refused()
	}
	revoked := p.Token("somebody", time.Minute)
	if err := p.Revoke(revoked); err != nil {
		t.Fatal(err)
	}
	harness.Connect(t, mqtt, harness.Paho5, login("revoked", revoked)).Refused()

	admin := harness.Login{ClientID: "admin", Username: new("admin"), Password: new(regexp.MustCompile(`password (\S+),`).FindStringSubmatch(said)[1])}
	if code := harness.Connect(t, mqtt, harness.Paho5, admin).Accepted().Subscribe("$CONTROL/dynamic-security/v1/response", 1); code >= 0x80 {
		t.Errorf("the administrator may not: 0x%02x", code)
	}
	if !c.healthy(t) {
		t.Error("it is not healthy")
	}
	c.stop(t, broker)
	if c.healthy(t) {
		t.Error("it is healthy, though it has ended")
	}

	// Once more, with what it has kept.
	broker = c.start(t)
	broker.WaitLog(`mosquitto version .* running`)
	harness.Connect(t, mqtt, harness.Paho5, admin).Accepted()
	if log := broker.Log(); strings.Contains(log, "password") {
		t.Errorf("the second start speaks of a password:\n%s", log)
	}
	c.stop(t, broker)
}

func (i *image) seeded(t *testing.T) {
	p := provider(t)
	c := i.create(t, map[string]string{"jwt.json": jwtJSON(p), "dynamic-security.json": file(t, "dynamic-security.json")})
	broker := c.start(t)
	broker.WaitLog(`mosquitto version .* running`)
	device := harness.Connect(t, mqtt, harness.Paho5, login("device", p.Token(sensor, time.Minute))).Accepted()
	if code := device.Publish("sensors/sensor-1/temperature", "21.5", 1); code >= 0x80 {
		t.Errorf("its own topic: 0x%02x", code)
	}
	if code := device.Publish("sensors/sensor-2/temperature", "21.5", 1); code < 0x80 {
		t.Errorf("another's topic: 0x%02x", code)
	}
	c.stop(t, broker)
}

func (i *image) tool(t *testing.T) {
	p := provider(t)
	c := i.create(t, map[string]string{"jwt.json": jwtJSON(p)})
	check := c.run(t, "go-jwt-auth", "check-config")
	if code := check.Wait(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, check.Log())
	}
}

// stop looks at the broker as the kernel sees it, ends it as an engine does, and wants exit code 0.
func (c *container) stop(t *testing.T, run *harness.Process) {
	t.Helper()
	pid := mosquitto(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nUid:\t1883\t1883\t1883\t1883\n", "\nGid:\t1883\t1883\t1883\t1883\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the broker is not user 1883:\n%s", status)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := run.Wait(); code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
}

// mosquitto finds the broker: the only one in our network.
func mosquitto(t *testing.T) (pid int) {
	t.Helper()
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		name, _ := os.ReadFile(process + "/comm")
		if of, _ := os.Readlink(process + "/ns/net"); string(name) != "mosquitto\n" || of != network {
			continue
		}
		if pid, err = strconv.Atoi(filepath.Base(process)); err != nil {
			t.Fatal(err)
		}
	}
	if pid == 0 {
		t.Fatal("no broker runs")
	}
	return pid
}

func provider(t *testing.T) *idp.Provider {
	t.Helper()
	p, err := idp.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func jwtJSON(p *idp.Provider) string {
	content, err := json.Marshal(map[string]any{
		"algorithm": "RS256", "mode": "jwks",
		"options": map[string]any{
			"modes":  map[string]any{"jwks": map[string]any{"uri": p.JWKSURI(), "cache": map[string]any{"enabled": true}}},
			"common": map[string]any{"issuer": p.Issuer(), "matchUsernameToSubject": true},
			"revocation": map[string]any{"introspection": map[string]any{
				"uri": p.IntrospectionURI(), "clientId": p.Broker().ID, "clientSecret": p.Broker().Secret,
			}},
		},
	})
	if err != nil { // strings alone
		panic(err)
	}
	return string(content)
}
