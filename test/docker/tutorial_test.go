package docker_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/docker"
	"go-jwt-auth/test/harness"
	"go-jwt-auth/test/keycloak"
)

// What dynamic-security.json and realm.json call them.
const (
	sensor = "00000000-0000-4000-8000-000000000001"
	alice  = "00000000-0000-4000-8000-000000000002"
	bob    = "00000000-0000-4000-8000-000000000003"
)

// stage is docker/ without containers: nothing is changed but addresses and paths.
type stage struct {
	keycloak *keycloak.Server
	port     string            // Keycloak's
	address  *strings.Replacer // of the compose file's addresses
}

// TestTutorial plays what docker/README.md promises of `docker compose up`.
func TestTutorial(t *testing.T) {
	s := set(t)
	t.Run("the health check", s.health)
	brokers.Each(t, func(t *testing.T, v brokers.Version) {
		t.Parallel()
		b := harness.Start(t, v, s.options(t, v))
		for _, c := range []struct {
			name string
			run  func(t *testing.T, b *harness.Broker)
		}{
			{"roles go by subject", s.roles},
			{"the commands of README.md say what it says", s.commands},
			{"alice administers dynamic-security by token", s.administers},
			{"what is no token of the realm is refused", s.refusals},
			{"a revoked token is refused, and its client disconnected", s.revoked},
			{"a signed-out session is refused, and its client disconnected", s.signedOut},
			{"a client is disconnected when its token expires", s.expired},
		} {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
		}
	})
}

func (s *stage) roles(t *testing.T, b *harness.Broker) {
	viewer := s.connect(t, b, 1, harness.MQTTJS5, "bob")
	b.WaitLog(fmt.Sprintf(`client "bob" .*accepted as %q`, bob))
	if code := viewer.Subscribe("sensors/#", 1); code >= 0x80 {
		t.Errorf("bob may not see the sensors: 0x%02x", code)
	}
	operator := s.connect(t, b, 0, harness.Paho5, "alice")
	b.WaitLog(fmt.Sprintf(`client "alice" .*accepted as %q`, alice))
	device := s.connect(t, b, 0, harness.Paho5, "sensor-1")
	b.WaitLog(fmt.Sprintf(`client "sensor-1" .*accepted as %q`, sensor))
	if code := device.Subscribe("commands/sensor-1/#", 1); code >= 0x80 {
		t.Errorf("the device may not hear its commands: 0x%02x", code)
	}
	for _, c := range []struct {
		who   string
		as    *harness.Client
		topic string
		may   bool
	}{
		{"the device", device, "sensors/sensor-1/temperature", true},
		{"the device", device, "sensors/sensor-2/temperature", false},
		{"the device", device, "commands/sensor-1/reset", false},
		{"bob", viewer, "sensors/sensor-1/temperature", false},
		{"bob", viewer, "commands/sensor-1/reset", false},
		{"alice", operator, "commands/sensor-1/reset", true},
		{"alice", operator, "sensors/sensor-1/temperature", false},
	} {
		if code := c.as.Publish(c.topic, c.who, 1); (code < 0x80) != c.may {
			t.Errorf("%s publishes on %s: 0x%02x, may: %v", c.who, c.topic, code, c.may)
		}
	}
	if code := device.Subscribe("sensors/#", 1); code < 0x80 {
		t.Errorf("the device may see the others: 0x%02x", code)
	}
	if got := viewer.WaitMessage("sensors/sensor-1/temperature"); got.Payload != "the device" {
		t.Errorf("bob sees %v", got)
	}
	if got := device.WaitMessage("commands/sensor-1/reset"); got.Payload != "alice" {
		t.Errorf("the device hears %v", got)
	}
}

// commands runs those of README.md by try.sh, with a program in the place of docker that runs them here.
func (s *stage) commands(t *testing.T, b *harness.Broker) {
	bin := t.TempDir()
	u, err := url.Parse(b.URL(0))
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string]string{"docker": `[ "$1 $2 $3 $4" = "compose exec -T mosquitto" ] && shift 4 && exec "$@"`}
	for name, command := range map[string][]string{"mosquitto_pub": b.Version.Pub, "mosquitto_sub": b.Version.Sub, "mosquitto_ctrl": b.Version.Ctrl} {
		programs[name] = fmt.Sprintf("echo \"$XDG_CONFIG_HOME $*\" >>%s/calls\nexec %s -h %s -p %s \"$@\"", bin, strings.Join(command, " "), u.Hostname(), u.Port())
	}
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := docker.Folder()
	if err != nil {
		t.Fatal(err)
	}
	run := func(token string, command ...string) *harness.Process {
		input := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(input, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		argv := append([]string{"sh", "-c", `exec "$0" run "$@" <` + input, filepath.Join(folder, "try.sh")}, command...)
		return harness.Spawn(t, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, argv...)
	}
	token := s.token(t, "sensor-1")
	publish := func(topic string) *harness.Process {
		p := run(token, "mosquitto_pub", "-V", "5", "-q", "1", "-t", topic, "-m", "21.5")
		p.Wait()
		return p
	}
	watch := run(s.token(t, "bob"), "mosquitto_sub", "-V", "5", "-i", "watch", "-t", "sensors/#", "-v", "-C", "1")
	b.WaitLog("Sending SUBACK to watch")
	if p := publish("sensors/sensor-1/temperature"); p.Wait() != 0 {
		t.Errorf("its own topic: %s", p.Log())
	}
	watch.Wait()
	if !strings.Contains(watch.Log(), "sensors/sensor-1/temperature 21.5") {
		t.Errorf("bob sees %s", watch.Log())
	}
	publish("sensors/sensor-2/temperature").WaitLog(`^Warning: Publish 1 failed: Not authorized\.$`)
	list := run(s.token(t, "alice"), "mosquitto_ctrl", "dynsec", "listClients")
	for _, subject := range []string{sensor, alice, bob} {
		list.WaitLog("^" + subject + "$")
	}
	s.try(t, token+"\n", "revoke", "sensor-1")
	publish("sensors/sensor-1/temperature").WaitLog("^Connection error: Not authorized")
	calls, err := os.ReadFile(filepath.Join(bin, "calls"))
	if err != nil || strings.Contains(string(calls), "eyJ") {
		t.Errorf("the clients were called with %s: %v", calls, err)
	}
	list.Wait()
	for call := range strings.Lines(string(calls)) {
		options, _, _ := strings.Cut(call, " ")
		if _, err := os.Stat(options); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", options, err)
		}
	}
}

func (s *stage) administers(t *testing.T, b *harness.Broker) {
	const control = "$CONTROL/dynamic-security/v1"
	admin := s.connect(t, b, 0, harness.Paho5, "alice")
	if code := admin.Subscribe(control+"/response", 1); code >= 0x80 {
		t.Fatalf("SUBACK 0x%02x", code)
	}
	admin.Publish(control, `{"commands":[{"command":"listClients"}]}`, 1)
	if answer := admin.WaitMessage(control + "/response").Payload; !strings.Contains(answer, sensor) {
		t.Errorf("the answer is %s", answer)
	}
	viewer := s.connect(t, b, 0, harness.Paho5, "bob")
	if code := viewer.Publish(control, `{"commands":[{"command":"listClients"}]}`, 1); code < 0x80 {
		t.Errorf("bob may as well: 0x%02x", code)
	}
}

func (s *stage) refusals(t *testing.T, b *harness.Broker) {
	// Its key is unknown: while 2.1 reads the key set once more for it, the attempt is closed without CONNACK.
	other := login("other-realm", s.keycloak.OtherRealmToken(t))
	answer := harness.Connect(t, b.URL(0), harness.Paho5, other)
	for deadline := time.Now().Add(harness.Patience); answer.Connack().Closed && time.Now().Before(deadline); {
		answer = harness.Connect(t, b.URL(0), harness.Paho5, other)
	}
	answer.Refused()
	b.WaitLog(`go_jwt_auth: client "other-realm" .*refused: `)
	for id, password := range map[string]string{"password": "demo-bob", "empty": ""} {
		l := login(id, password)
		l.Username = new(bob)
		harness.Connect(t, b.URL(0), harness.Paho5, l).Refused()
	}
}

func (s *stage) revoked(t *testing.T, b *harness.Broker) {
	token := s.token(t, "sensor-1")
	device := harness.Connect(t, b.URL(0), harness.Paho5, login("revoked", token)).Accepted()
	s.try(t, token, "revoke", "sensor-1")
	harness.Connect(t, b.URL(0), harness.Paho5, login("again", token)).Refused()
	b.WaitLog(`client "again" .*refused: revoked: `)
	device.WaitDisconnect() // recheckIntervalMs
	b.WaitLog(`client "revoked" disconnected: revoked: `)
}

func (s *stage) signedOut(t *testing.T, b *harness.Broker) {
	token := s.token(t, "alice")
	client := harness.Connect(t, b.URL(0), harness.Paho5, login("signed-out", token)).Accepted()
	session, _ := claims(t, token)["sid"].(string)
	s.keycloak.EndSession(t, session)
	harness.Connect(t, b.URL(0), harness.Paho5, login("again", token)).Refused()
	client.WaitDisconnect()
	b.WaitLog(`client "signed-out" disconnected: revoked: `)
}

func (s *stage) expired(t *testing.T, b *harness.Broker) {
	token := s.token(t, "sensor-1")
	expires, err := claims(t, token).GetExpirationTime()
	if err != nil || expires == nil {
		t.Fatalf("exp is %v: %v", expires, err)
	}
	if life := time.Until(expires.Time); life > time.Minute {
		t.Errorf("the token lives for %s", life)
	}
	l := login("expired", token)
	l.Will = &harness.Will{Topic: "sensors/sensor-1/status", Payload: "gone", Retain: true}
	device := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
	for device.Connected() && time.Now().Before(expires.Add(harness.Patience)) {
		time.Sleep(100 * time.Millisecond)
	}
	if left := device.WaitDisconnect(); left.At.Before(expires.Time) {
		t.Errorf("it was disconnected %s before", expires.Sub(left.At))
	}
	b.WaitLog(`client "expired" disconnected: expired: `)
	viewer := s.connect(t, b, 0, harness.Paho5, "bob")
	if code := viewer.Subscribe("sensors/sensor-1/status", 1); code >= 0x80 {
		t.Fatalf("SUBACK 0x%02x", code)
	}
	viewer.WaitMessage("sensors/sensor-1/status")
}

// health runs the compose file's check of Keycloak.
func (s *stage) health(t *testing.T) {
	test := load(t).Services["keycloak"].HealthCheck.Test
	check := func(port string) error {
		var argv []string
		for _, word := range test[1:] {
			argv = append(argv, strings.ReplaceAll(word, "8080", port))
		}
		out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
		t.Logf("port %s: %v %s", port, err, out)
		return err
	}
	if test[0] != "CMD" || check(s.port) != nil {
		t.Errorf("%v says that Keycloak is not healthy", test)
	}
	if check(harness.FreePort(t)) == nil {
		t.Error("it is healthy where nothing listens")
	}
}

// connect connects who under the same client id, with a new token.
func (s *stage) connect(t *testing.T, b *harness.Broker, listener int, kind harness.Kind, who string) *harness.Client {
	t.Helper()
	return harness.Connect(t, b.URL(listener), kind, login(who, s.token(t, who))).Accepted()
}

func login(id, token string) harness.Login {
	return harness.Login{ClientID: id, Username: new("any"), Password: &token}
}

// token is a new token, as try.sh gets it.
func (s *stage) token(t *testing.T, who string) string {
	t.Helper()
	return strings.TrimSpace(s.try(t, "", "token", who))
}

// claims are what a token says.
func claims(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// try runs docker/try.sh.
func (s *stage) try(t *testing.T, input string, arguments ...string) string {
	t.Helper()
	folder, err := docker.Folder()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(folder, "try.sh"), arguments...)
	command.Env = append(os.Environ(), "KEYCLOAK_URL=http://localhost:"+s.port)
	command.Stdin = strings.NewReader(input)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("try.sh %v: %v: %s", arguments, err, out)
	}
	return string(out)
}

// set starts Keycloak as the compose file does.
func set(t *testing.T) *stage {
	t.Helper()
	s := &stage{port: harness.FreePort(t)}
	s.address = strings.NewReplacer(
		"http://localhost:8080", "http://localhost:"+s.port, "http://keycloak:8080", "http://127.0.0.1:"+s.port,
	)
	service := load(t).Services["keycloak"]
	realms := []keycloak.Realm{{Name: "mqtt", File: []byte(file(t, "keycloak/realm.json"))}}
	setup := keycloak.Setup{Realms: realms, Args: service.Command, Port: s.port}
	for _, variable := range docker.Environment(service) {
		setup.Env = append(setup.Env, s.address.Replace(variable))
	}
	s.keycloak = keycloak.StartWith(t, setup)
	return s
}

// options are a broker with docker/'s mosquitto.conf, but for addresses and paths.
func (s *stage) options(t *testing.T, v brokers.Version) (o harness.Options) {
	t.Helper()
	paths := strings.NewReplacer(
		"/mosquitto/config/", "{dir}/", "/mosquitto/data/", "{dir}/",
		"/usr/lib/go_jwt_auth.so", harness.Library(t), "/usr/lib/mosquitto_dynamic_security.so", v.Dynsec,
	)
	for line := range strings.Lines(file(t, "mosquitto.conf")) {
		switch {
		case strings.HasPrefix(line, "listener "):
			o.Listeners = append(o.Listeners, harness.Listener{})
		case line == "protocol websockets\n":
			o.Listeners[len(o.Listeners)-1].WebSockets = true
		case strings.HasPrefix(line, "log_dest "): // the harness has its own
		default:
			o.Extra += paths.Replace(line)
		}
	}
	o.Env = docker.Environment(load(t).Services["mosquitto"])
	o.Files = map[string]string{
		"jwt.json":              s.address.Replace(file(t, "jwt.json")),
		"dynamic-security.json": file(t, "dynamic-security.json"),
	}
	return o
}
