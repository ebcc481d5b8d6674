package harness

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go-jwt-auth/test/brokers"
)

// Options say what broker to start. The zero value is one MQTT listener that
// admits nobody. In every text that ends up in a file, {dir} stands for the
// broker's folder.
type Options struct {
	// Listeners: none means one MQTT listener with no settings of its own.
	// Mosquitto 2.0 does not start with WebSocket listeners only.
	Listeners []Listener
	Plugins   []Plugin // in the order in which the broker asks them

	// PerListenerSettings makes each Listener's own Plugins and AllowAnonymous
	// count; those of Options must then be empty.
	PerListenerSettings bool

	AllowAnonymous bool
	Passwords      map[string]string // username → password, as a password_file
	Persistence    bool              // keep mosquitto.db in the broker's folder

	// DefaultUser, as root, lets the broker drop to the user that it drops to
	// by default; the broker's folder then belongs to that user. Otherwise it
	// stays root. It has no effect for other users than root.
	DefaultUser bool

	Extra string   // further lines of mosquitto.conf, before the listeners
	Env   []string // further environment variables, NAME=value

	Files map[string]string // further files in the broker's folder, mode 0600

	// Prepare runs when all files are written and before the broker starts.
	Prepare func(dir string)
}

// Listener is one port of the broker, on 127.0.0.1.
type Listener struct {
	WebSockets     bool
	Plugins        []Plugin // only with PerListenerSettings
	AllowAnonymous bool     // only with PerListenerSettings
	Extra          string   // further lines under the listener
}

// Plugin is one plugin line of mosquitto.conf.
type Plugin struct {
	Path  string            // the library; empty in what JWT and Dynsec.Plugin return
	Opts  map[string]string // name without plugin_opt_ → value
	Files map[string]string // files that it needs in the broker's folder

	builtin builtin
}

// builtin is a library whose path is only known at start.
type builtin int

const (
	none builtin = iota
	jwtAuth
	dynsec
)

// JWT is the plugin under test with its configuration in file, a name in the
// broker's folder. config is the text itself as a string, or anything that
// encoding/json can turn into it.
func JWT(file string, config any) Plugin {
	return Plugin{
		builtin: jwtAuth,
		Opts:    map[string]string{"config_file": "{dir}/" + file},
		Files:   map[string]string{file: text(config)},
	}
}

// JWTWithout is the plugin under test with these options and no file at all,
// for what happens when it has to look for one.
func JWTWithout(opts map[string]string) Plugin {
	return Plugin{builtin: jwtAuth, Opts: opts}
}

// text is a file's content: a string as it is, anything else as JSON.
func text(content any) string {
	if s, ok := content.(string); ok {
		return s
	}
	b, err := json.MarshalIndent(content, "", "\t")
	if err != nil { // a mistake in the test, and there is no T here
		panic(fmt.Sprintf("harness: %v", err))
	}
	return string(b)
}

// Library is the path of go_jwt_auth.so: GO_JWT_AUTH_SO in the environment, or
// what make builds.
func Library(t T) string {
	t.Helper()
	path := os.Getenv("GO_JWT_AUTH_SO")
	if path == "" {
		root, err := brokers.Root()
		if err != nil {
			t.Fatalf("harness: %v", err)
		}
		path = filepath.Join(root, "build", "go_jwt_auth.so")
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("harness: %v; `make` builds it", err)
	}
	return path
}

// setup is a broker's folder before it is started.
type setup struct {
	t     T
	v     brokers.Version
	o     Options
	dir   string
	owner *user.User // the owner of the folder, nil: this process's user
	conf  strings.Builder
}

// write writes all files of the folder but mosquitto.conf, and leaves that in
// conf up to the listeners.
func (s *setup) write() {
	s.t.Helper()
	if s.o.PerListenerSettings && (len(s.o.Plugins) > 0 || s.o.AllowAnonymous || len(s.o.Passwords) > 0) {
		s.t.Fatalf("harness: with PerListenerSettings, plugins and logins belong to a Listener")
	}
	s.line("log_dest stderr")
	s.line("log_type all")
	s.line("log_timestamp false")
	if os.Geteuid() == 0 && !s.o.DefaultUser {
		s.line("user root")
	}
	if s.o.PerListenerSettings {
		s.line("per_listener_settings true")
	} else {
		s.line("allow_anonymous %v", s.o.AllowAnonymous)
	}
	if s.o.Persistence {
		s.line("persistence true")
		s.line("persistence_location %s/", s.dir)
	}
	for name, content := range s.o.Files {
		s.file(name, content)
	}
	if len(s.o.Passwords) > 0 {
		var b strings.Builder
		for name, password := range s.o.Passwords {
			salt, hash := hashPassword(password)
			fmt.Fprintf(&b, "%s:$7$%d$%s$%s\n", name, hashIterations, salt, hash)
		}
		s.file("passwords", b.String())
		s.line("password_file %s/passwords", s.dir)
	}
	s.plugins(s.o.Plugins)
	s.line("%s", s.expand(s.o.Extra))
}

// listeners appends the listeners to conf, one for each port.
func (s *setup) listeners(listeners []Listener, ports []string) {
	s.t.Helper()
	for i, l := range listeners {
		s.line("listener %s 127.0.0.1", ports[i])
		if l.WebSockets {
			s.line("protocol websockets")
			// Without it, 2.0 ignores the address and listens to the world.
			s.line("socket_domain ipv4")
		}
		if s.o.PerListenerSettings {
			s.line("allow_anonymous %v", l.AllowAnonymous)
			s.plugins(l.Plugins)
		} else if l.AllowAnonymous || len(l.Plugins) > 0 {
			s.t.Fatalf("harness: a listener's own settings need PerListenerSettings")
		}
		s.line("%s", s.expand(l.Extra))
	}
}

func (s *setup) plugins(plugins []Plugin) {
	s.t.Helper()
	for _, p := range plugins {
		path := p.Path
		switch p.builtin {
		case none:
		case jwtAuth:
			path = s.reachable(Library(s.t))
		case dynsec:
			path = s.reachable(s.v.Dynsec)
		}
		s.line("plugin %s", s.expand(path))
		for _, name := range slices.Sorted(maps.Keys(p.Opts)) {
			s.line("plugin_opt_%s %s", name, s.expand(p.Opts[name]))
		}
		for name, content := range p.Files {
			s.file(name, content)
		}
	}
}

// reachable is path, or a copy of it in the broker's folder if the broker
// loads it as a user who may have no access to path.
func (s *setup) reachable(path string) string {
	s.t.Helper()
	if s.owner == nil {
		return path
	}
	library, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatalf("harness: %v", err)
	}
	s.file(filepath.Base(path), string(library))
	return filepath.Join(s.dir, filepath.Base(path))
}

func (s *setup) line(format string, args ...any) { fmt.Fprintf(&s.conf, format+"\n", args...) }

func (s *setup) expand(text string) string { return strings.ReplaceAll(text, "{dir}", s.dir) }

func (s *setup) file(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(s.expand(content)), 0o600); err != nil {
		s.t.Fatalf("harness: %v", err)
	}
	s.chown(path)
}

// giveAway makes the folder one of the user that the broker drops to.
func (s *setup) giveAway() {
	s.t.Helper()
	owner, err := user.Lookup(DefaultUser())
	if err != nil {
		s.t.Fatalf("harness: %v; the distribution's package mosquitto makes that user", err)
	}
	s.owner = owner
	// testing makes the folder above for its own user only.
	if err := os.Chmod(filepath.Dir(s.dir), 0o755); err != nil {
		s.t.Fatalf("harness: %v", err)
	}
	s.chown(s.dir)
}

func (s *setup) chown(path string) {
	s.t.Helper()
	if s.owner == nil {
		return
	}
	uid, err := strconv.Atoi(s.owner.Uid)
	if err != nil {
		s.t.Fatalf("harness: user %s: %v", s.owner.Username, err)
	}
	if err := os.Chown(path, uid, -1); err != nil {
		s.t.Fatalf("harness: %v", err)
	}
}
