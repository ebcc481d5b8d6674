package e2e

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The tutorial's file works with nothing but its host names changed.
func TestTheTutorialsFile(t *testing.T) {
	p := ownProvider(t, idp.WithClient(idp.Client{ID: "client-id", Secret: "secret"}))
	keycloak := keycloakPaths(t, p)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, strings.ReplaceAll(tutorialFile(t), "<YOUR-KEYCLOAK-OR-IAM>", keycloak))
		b.WaitLog(`version .* started with .*jwt.json: mode jwks, algorithm RS256, any issuer`)
		b.WaitLog(`JWKS endpoint http.*/certs: reached \(HTTP 200`)
		b.WaitLog(`introspection endpoint http.*/token/introspect: reached`)
		b.WaitLog(`1 key from http.*/certs \(kid "`)
		token := p.Token("sensor-1", time.Hour)
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted()
		if strings.Contains(b.Log(), "unknown key") {
			t.Error("a key of the tutorial's file is not known")
		}
	})
}

// keycloakPaths serves a provider at the paths that Keycloak has, and returns its host.
func keycloakPaths(t *testing.T, p *idp.Provider) string {
	t.Helper()
	paths := map[string]string{
		"/realms/test/protocol/openid-connect/certs":            p.JWKSURI(),
		"/realms/test/protocol/openid-connect/token/introspect": p.IntrospectionURI(),
	}
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if target, err := url.Parse(paths[r.In.URL.Path]); err == nil {
			r.Out.URL = target
		}
	}})
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestAProviderThatIsDownAtStart(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		t.Run("keeps the broker from starting", func(t *testing.T) {
			p := ownProvider(t)
			if err := p.SetDown(true); err != nil {
				t.Fatal(err)
			}
			code, log := harness.StartErr(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p))}})
			if code == 0 {
				t.Error("exit code 0")
			}
			for _, want := range []string{
				`jwt.json: \$\.options\.modes\.jwks\.uri: the identity provider can't be reached: HEAD http://127\S+: can't connect: .*connection refused`,
				`jwt.json: \$\.options\.revocation\.introspection\.uri: the identity provider can't be reached`,
				`/.well-known/openid-configuration`,
			} {
				if !matches(log, want) {
					t.Errorf("the log has nothing like %s:\n%s", want, log)
				}
			}
		})
		t.Run("with lazyConnect is asked again at the first login", func(t *testing.T) {
			p := ownProvider(t)
			if err := p.SetDown(true); err != nil {
				t.Fatal(err)
			}
			b := start(t, v, config(t, p, object{"options.lazyConnect": true}))
			l := login("c", p.Token("sensor-1", time.Hour))
			b.WaitLog(`the identity provider can't be reached: .*lazyConnect is true, so logins will try again`)
			answered(t, b, harness.Paho5, l).Unavailable(v)
			b.WaitLog(refused("c", "keys unavailable: .*connection refused"))
			if err := p.SetDown(false); err != nil {
				t.Fatal(err)
			}
			// After a failure the next fetch waits a second.
			for deadline := time.Now().Add(harness.Patience); !knock(t, b, harness.V5, l).Accepted(); {
				if time.Now().After(deadline) {
					t.Fatal("still refused after the provider came back")
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
		t.Run("is never asked for a file that needs none", func(t *testing.T) {
			start(t, v, object{"algorithm": "HS256", "mode": "local", "options": object{"modes": object{"local": strings.Repeat("s", 32)}}})
		})
	})
}

func TestAFileThatCanNotBeUsedKeepsTheBrokerFromStarting(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, c := range []struct {
			name    string
			options harness.Options
			want    []string
		}{
			{
				"missing",
				harness.Options{Plugins: []harness.Plugin{harness.JWTWithout(map[string]string{"config_file": "{dir}/nowhere.json"})}},
				[]string{`nowhere.json`, `(does not exist|no such file)`},
			},
			{
				"nowhere to be found",
				harness.Options{Plugins: []harness.Plugin{harness.JWTWithout(map[string]string{"persistence_location": "{dir}/"})}},
				[]string{`jwt.json`, `plugin_opt_config_file`},
			},
			{
				"malformed",
				harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", "{\n  \"mode\": \"jwks\",,\n}")}},
				[]string{`jwt.json:2:18: `},
			},
			{
				"with several problems",
				harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{
					"options.modes.jwks.timeoutMs": "5s", "options.lazyConnect": "no",
				}))}},
				[]string{`\$\.options\.modes\.jwks\.timeoutMs`, `\$\.options\.lazyConnect`},
			},
			{
				"unreadable for the broker's user",
				harness.Options{
					DefaultUser: true, Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p))},
					Prepare: func(dir string) {
						if err := os.Chown(dir+"/jwt.json", 0, 0); err != nil {
							t.Error(err)
						}
					},
				},
				[]string{`jwt.json can't be read: this process runs as user ` + harness.DefaultUser(), `owner root .*mode 0600`, `chgrp \S+ \S+ && chmod 0640 `},
			},
		} {
			t.Run(c.name, func(t *testing.T) {
				if c.options.DefaultUser && os.Geteuid() != 0 {
					t.Skip("only root can make a file that the broker's user can't read")
				}
				code, log := harness.StartErr(t, v, c.options)
				if code == 0 {
					t.Error("exit code 0")
				}
				for _, want := range c.want {
					if !matches(log, `go_jwt_auth: .*`+want) {
						t.Errorf("the log has nothing like %s:\n%s", want, log)
					}
				}
			})
		}
	})
}

// Without plugin_opt_config_file the file is looked for where the broker keeps its own: 2.1 says where, 2.0 is told.
func TestTheFileIsFoundInThePersistenceLocation(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		plugin := harness.JWT("jwt.json", config(t, p))
		plugin.Opts = map[string]string{"persistence_location": "{dir}/"}
		if v.AtLeast(2, 1) {
			plugin.Opts = nil
		}
		b := harness.Start(t, v, harness.Options{Persistence: true, Plugins: []harness.Plugin{plugin}})
		b.WaitLog(`started with ` + regexp.QuoteMeta(b.Path("jwt.json")))
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
	})
}

// As the broker's own user, not as root.
func TestItRunsAsTheBrokersUser(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{DefaultUser: true, Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p))}})
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
	})
}

// Two listeners with a file each: a token of one provider opens its own listener alone.
func TestTwoListenersWithAFileEach(t *testing.T) {
	one, two := provider(t), ownProvider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			PerListenerSettings: true,
			Listeners: []harness.Listener{
				{Plugins: []harness.Plugin{harness.JWT("one.json", config(t, one))}},
				{Plugins: []harness.Plugin{harness.JWT("two.json", config(t, two))}, WebSockets: true},
			},
		})
		for _, c := range []struct {
			listener int
			kind     harness.Kind
			p        *idp.Provider
			ok       bool
		}{
			{0, harness.Paho5, one, true},
			{0, harness.Paho5, two, false},
			{1, harness.MQTTJS5, two, true},
			{1, harness.MQTTJS5, one, false},
		} {
			got := harness.Connect(t, b.URL(c.listener), c.kind, login("c", c.p.Token("sensor-1", time.Hour)))
			if got.Connack().Accepted() != c.ok {
				t.Errorf("listener %d: CONNECT was %v, want accepted: %t", c.listener, got.Connack(), c.ok)
			}
		}
		expiring := harness.Connect(t, b.URL(0), harness.Paho5, login("d", one.Token("sensor-1", short))).Accepted()
		b.Reload()
		if v.Name == "2.0.11" {
			// It gives plugins no TICK here: expiry is enforced when somebody else connects, and it says so.
			deadline := time.Now().Add(harness.Patience)
			for expiring.Connected() && time.Now().Before(deadline) {
				knock(t, b, harness.V5, login("e", one.Token("sensor-1", time.Hour)))
				time.Sleep(50 * time.Millisecond)
			}
			b.WaitLog(`this broker gives plugins no regular call`)
		}
		if left := expiring.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v, want 0x98", left)
		}
		b.WaitLog(`reloaded .*one.json`)
		if v.Name == "2.0.11" {
			harness.Connect(t, b.URL(1), harness.MQTTJS5, login("e", two.Token("sensor-1", time.Hour))).Accepted()
		}
		b.WaitLog(`reloaded .*two.json`)
	})
}

// 2.0 takes each callback once a listener. 2.1 takes it twice and asks both in turn.
func TestLoadingItTwiceForTheSameListenersIsAnErrorOn20(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		if v.AtLeast(2, 1) {
			b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{
				harness.JWT("one.json", config(t, p)), harness.JWT("two.json", config(t, p)),
			}})
			harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
			return
		}
		_, log := harness.StartErr(t, v, harness.Options{Plugins: []harness.Plugin{
			harness.JWT("one.json", config(t, p)), harness.JWT("two.json", config(t, p)),
		}})
		if !strings.Contains(log, "loaded twice for the same listeners") {
			t.Errorf("the log does not say why:\n%s", log)
		}
	})
}
