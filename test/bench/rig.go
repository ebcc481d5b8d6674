package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// object is a JSON object.
type object = map[string]any

// issuer and audience are those of every token here.
const (
	issuer   = "https://idp.example"
	audience = "mqtt"
)

// rig is what the trials share.
type rig struct {
	root     string // of the repository
	dir      string // build/bench: what is made once
	quick    bool
	keys     *keys
	provider *idp.Provider // answers with keys' public halves, and of every token that it is active
	peers    []peer
	accept   string // path of the C plugin
	host     string // path of packaging/host.c, which calls a plugin as the broker does
	naive    string // path of the naive Go plugin
	fresh    sync.Once
	tokensOf [][]string // of each client of partRenewals, once fresh is done
}

// newRig makes everything that can be made before anything is measured.
func newRig(root string, quick bool, peers string) (r *rig, err error) {
	r = &rig{root: root, dir: filepath.Join(root, "build", "bench"), quick: quick}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := r.buildPlugins(); err != nil {
		return nil, err
	}
	if r.keys, err = loadKeys(r.dir, quick); err != nil {
		return nil, err
	}
	if r.provider, err = idp.Start(); err != nil {
		return nil, err
	}
	r.provider.SetAnswer(idp.JWKS, jsonAnswer(r.keys.jwks))
	r.provider.SetAnswer(idp.Introspect, jsonAnswer(active))
	r.peers, err = findPeers(peers, strings.NewReplacer("{keys}", r.dir, "{jwks}", r.provider.JWKSURI()))
	return r, errors.Join(err, os.WriteFile(filepath.Join(r.dir, "jwks.json"), []byte(r.keys.jwks), 0o600))
}

// active is what the introspection endpoint answers. What it thinks of a token is not measured, so its answer is to cost next to
// nothing.
const active = `{"active":true}`

func jsonAnswer(body string) *idp.Answer {
	return &idp.Answer{Header: map[string][]string{"Content-Type": {"application/json"}}, Body: body}
}

func (r *rig) close() { _ = r.provider.Close() } // nothing depends on how it ends

// buildPlugins builds the plugins that ours is compared with.
func (r *rig) buildPlugins() error {
	r.accept, r.naive, r.host = filepath.Join(r.dir, "accept.so"), filepath.Join(r.dir, "naive.so"), filepath.Join(r.dir, "host")
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	for _, argv := range [][]string{
		{cc, "-O2", "-shared", "-fPIC", "-Wl,--unresolved-symbols=ignore-all", "-I../include", "-o", r.accept, "bench/accept/accept.c"},
		{cc, "-O2", "-rdynamic", "-I../include", "-o", r.host, "../packaging/host.c", "-ldl"},
		{"go", "build", "-buildmode=c-shared", "-o", r.naive, "./bench/naive"},
	} {
		build := exec.Command(argv[0], argv[1:]...)
		build.Dir = filepath.Join(r.root, "test")
		build.Env = append(os.Environ(), "CGO_ENABLED=1")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("bench: %s: %w\n%s", argv, err, out)
		}
	}
	return nil
}

// peer is another plugin to compare with: a folder in the one that PEERS names.
type peer struct {
	name string
	conf string // lines of mosquitto.conf
}

// findPeers reads mosquitto.conf in every folder below dir, with {dir} for that folder and what keys replaces; "" means none.
func findPeers(dir string, keys *strings.Replacer) (all []peer, err error) {
	if dir == "" {
		return nil, nil
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("bench: PEERS: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("bench: PEERS: %w", err)
	}
	for _, e := range entries {
		home := filepath.Join(dir, e.Name())
		conf, err := os.ReadFile(filepath.Join(home, "mosquitto.conf"))
		switch {
		case errors.Is(err, os.ErrNotExist) || !e.IsDir():
			continue
		case err != nil:
			return nil, fmt.Errorf("bench: PEERS: %w", err)
		}
		all = append(all, peer{name: e.Name(), conf: keys.Replace(strings.ReplaceAll(string(conf), "{dir}", home))})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("bench: PEERS: no folder in %s has a mosquitto.conf", dir)
	}
	return all, nil
}

// mosquittoConf keeps the measurement to the broker. Debug lines and those for each connection would make it wait for us to read
// them. With Nagle's algorithm on, a message would wait for the subscriber's acknowledgement of the one before.
const mosquittoConf = `log_type none
log_type error
log_type warning
log_type notice
log_type information
connection_messages false
set_tcp_nodelay true
`

// broker starts a broker with this plugin, or none, and further lines of mosquitto.conf.
func (r *rig) broker(st *stand, v brokers.Version, o harness.Options) *harness.Broker {
	o.Extra = mosquittoConf + o.Extra
	return harness.Start(st, v, o)
}

// ours are the options of a broker with the plugin and this jwt.json.
func (r *rig) ours(jwtJSON object) harness.Options {
	return harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", jwtJSON)}}
}

// config is a jwt.json with these keys ($.options.modes.jwks) and, unless nil, this revocation.
func (r *rig) config(jwks, revocation object) object {
	options := object{
		"modes":  object{"jwks": jwks},
		"common": object{"issuer": issuer, "audience": audience, "matchUsernameToSubject": true},
	}
	if revocation != nil {
		options["revocation"] = revocation
	}
	return object{"algorithm": slices.Sorted(maps.Keys(r.keys.byAlg)), "mode": "jwks", "options": options}
}

// cachedKeys, fileKeys and fetchedKeys are the ways to the keys. The last fetches them at each login.
func (r *rig) cachedKeys() object {
	return object{"uri": r.provider.JWKSURI(), "cache": object{"enabled": true, "ttlMs": 600_000}}
}

func (r *rig) fileKeys() object { return object{"filePath": filepath.Join(r.dir, "jwks.json")} }

func (r *rig) fetchedKeys() object {
	return object{"uri": r.provider.JWKSURI(), "cache": object{"enabled": false}}
}

// introspection is $.options.revocation with the endpoint at the provider and some keys more.
func (r *rig) introspection(more object) object {
	all := object{"introspection": object{
		"uri":          r.provider.IntrospectionURI(),
		"clientId":     r.provider.Broker().ID,
		"clientSecret": r.provider.Broker().Secret,
	}}
	maps.Copy(all, more)
	return all
}

// login is a client's CONNECT with a password. The keep-alive is longer than any measurement, as a client that only listens
// sends nothing.
func login(id, password string) harness.Login {
	return harness.Login{ClientID: id, Username: new("user"), Password: &password, KeepAlive: 3600}
}
