package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
	"go-jwt-auth/test/kubernetes"
	"go-jwt-auth/test/spiffe"
)

// The tokens of workloads, by the files of docs/providers/kubernetes.md and spiffe.md as they stand there, before stand-ins that
// behave as the packages kubernetes and spiffe say, with their sources.

// The hosts of those files.
const (
	apiServer = "kubernetes.default.svc"
	apiIssuer = "kubernetes.default.svc.cluster.local"
	eks       = "oidc.eks.eu-central-1.amazonaws.com"
	eksPath   = "/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	external  = "api.cluster.example.com" // where the API server is from outside
	spire     = "spire.example.com"
	people    = "idp.example.com"
)

// mounted is where a pod finds the token and the certificate authority that it reaches the API server with.
const mounted = "/var/run/secrets/kubernetes.io/serviceaccount"

// The accounts of the guide: the broker's, and a client's.
var (
	mosquitto = kubernetes.Account{Namespace: "mqtt", Name: "mosquitto", Pod: "mosquitto-0"}
	sensor1   = kubernetes.Account{Namespace: "factory", Name: "sensor-1", Pod: "sensor-1-6d5f8"}
)

// guide is the file under a heading of a provider's guide, whose pod has its files in the broker's folder.
func guide(t *testing.T, name, heading string) (file object) {
	t.Helper()
	found := blocks(t, "docs/providers/"+name+".md")[heading]
	if len(found) != 1 {
		t.Fatalf("the guide %s has %d files under %q", name, len(found), heading)
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(found[0], mounted, "{dir}/pod")), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// must is what a stand-in has made, or the end of the test.
func must[T any](t *testing.T) func(made T, err error) T {
	return func(made T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
}

// cluster is an API server at its two names within the cluster and, for what must not get there, at that outside.
type cluster struct {
	*kubernetes.APIServer
	t       *testing.T
	web     *web
	outside *kubernetes.APIServer
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	const issuer, keys = "https://" + apiIssuer, "https://" + external + ":6443" + kubernetes.KeysPath
	c := &cluster{
		APIServer: must[*kubernetes.APIServer](t)(kubernetes.New(issuer, keys)),
		outside:   must[*kubernetes.APIServer](t)(kubernetes.New(issuer, keys)),
		t:         t, web: newWeb(t, apiServer, apiIssuer, external),
	}
	c.web.handle(apiServer+"/", c.ServeHTTP)
	c.web.handle(apiIssuer+"/", c.ServeHTTP)
	c.web.handle(external+"/", c.outside.ServeHTTP)
	return c
}

func (c *cluster) token(account kubernetes.Account, audience string, lifetime time.Duration) string {
	c.t.Helper()
	return must[string](c.t)(c.Token(account, audience, lifetime))
}

// project gives the broker's pod this token, as the kubelet does.
func (c *cluster) project(t *testing.T, dir, token string) {
	t.Helper()
	if err := kubernetes.Project(dir+"/pod", map[string]string{"token": token, "ca.crt": c.web.ca}); err != nil {
		t.Fatal(err)
	}
}

// options are those of a broker in a pod with this token.
func (c *cluster) options(t *testing.T, file object, token string) harness.Options {
	return harness.Options{
		Plugins: []harness.Plugin{harness.JWT("jwt.json", file)},
		Env:     []string{c.web.route()},
		Prepare: func(dir string) { c.project(t, dir, token) },
	}
}

// cameInAs matches the broker's line for a client that has come in.
func cameInAs(id, username string) string {
	return fmt.Sprintf(`New client connected from .* as %s .*u'%s'`, regexp.QuoteMeta(id), regexp.QuoteMeta(username))
}

func TestKubernetes(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for heading, username := range map[string]string{
			"jwt.json":                    sensor1.Username(),
			"By discovery in the cluster": "factory.sensor-1",
		} {
			t.Run(heading, func(t *testing.T) {
				c := newCluster(t)
				b := harness.Start(t, v, c.options(t, guide(t, "kubernetes", heading), c.token(mosquitto, "", time.Hour)))
				if got := again(t, b, harness.V5, login("c", c.token(sensor1, "mqtt", time.Hour))); !got.Accepted() {
					t.Fatalf("CONNECT was %v", got)
				}
				b.WaitLog(cameInAs("c", username))
				stranger := kubernetes.Account{Namespace: "default", Name: "sensor-1"}
				for id, bad := range map[string]struct{ token, reason string }{
					"ordinary":  {c.token(sensor1, "", time.Hour), "wrong audience"},
					"expired":   {c.token(sensor1, "mqtt", -time.Minute), "expired"},
					"stranger":  {c.token(stranger, "mqtt", time.Hour), "missing claim"},
					"elsewhere": {must[string](t)(c.outside.Token(sensor1, "mqtt", time.Hour)), "unknown key"},
				} {
					if got := again(t, b, harness.V5, login(id, bad.token)); got.Accepted() {
						t.Errorf("%s: CONNECT was %v", id, got)
					}
					b.WaitLog(refused(id, bad.reason))
				}
				for _, r := range c.Requests() {
					if r.Method == http.MethodGet && (r.User != mosquitto.Username() || r.Status != http.StatusOK) {
						t.Errorf("the API server answered %+v", r)
					}
				}
				if got := c.outside.Requests(); len(got) > 0 {
					t.Errorf("the address of the document was asked: %+v", got)
				}
			})
		}
	})
}

// The public issuer of a managed cluster needs neither token nor CA.
func TestKubernetesByAPublicIssuer(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		const issuer = "https://" + eks + eksPath
		s := must[*kubernetes.APIServer](t)(kubernetes.New(issuer, issuer+"/keys"))
		web := newWeb(t, eks)
		web.handle(eks+eksPath+kubernetes.ConfigPath, says(string(s.Config())))
		web.handle(eks+eksPath+"/keys", says(string(s.KeySet())))
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", guide(t, "kubernetes", "By a public issuer"))}, Env: web.env(t),
		})
		if got := again(t, b, harness.V5, login("c", must[string](t)(s.Token(sensor1, "mqtt", time.Hour)))); !got.Accepted() {
			t.Fatalf("CONNECT was %v", got)
		}
		b.WaitLog(cameInAs("c", sensor1.Username()))
		stranger := kubernetes.Account{Namespace: "default", Name: "sensor-1"}
		if got := again(t, b, harness.V5, login("d", must[string](t)(s.Token(stranger, "mqtt", time.Hour)))); got.Accepted() {
			t.Errorf("CONNECT was %v", got)
		}
		b.WaitLog(refused("d", "missing claim"))
	})
}

// The username is what an ACL file names, and the client id can be the pod's name, as the guide says.
func TestAServiceAccountInAnACLFile(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		c := newCluster(t)
		file := guide(t, "kubernetes", "jwt.json")
		set(file, "options.common.clientIdClaim", "kubernetes.io.pod.name")
		set(file, "options.common.matchClientIdToSubject", true)
		o := c.options(t, file, c.token(mosquitto, "", time.Hour))
		o.Files = map[string]string{"acl": "user " + sensor1.Username() + "\ntopic readwrite sensors/1/#\n"}
		o.Extra = "acl_file {dir}/acl"
		b := harness.Start(t, v, o)
		client := answered(t, b, harness.Paho5, login(sensor1.Pod, c.token(sensor1, "mqtt", time.Hour))).Accepted()
		client.Subscribe("sensors/#", 1)
		client.Publish("sensors/2/a", "no", 1)
		client.Publish("sensors/1/a", "yes", 1)
		client.WaitMessage("sensors/1/a")
		if all := client.Messages(); len(all) != 1 {
			t.Errorf("got %v", all)
		}
		another := kubernetes.Account{Namespace: "factory", Name: "sensor-1", Pod: "sensor-1-x2v9k"}
		got := again(t, b, harness.V5, login(sensor1.Pod, c.token(another, "mqtt", time.Hour)))
		if renamed := v.AtLeast(2, 1); got.Accepted() != renamed {
			t.Errorf("another pod's client id: CONNECT was %v", got)
		}
		client.Publish("sensors/1/b", "still here", 1)
		client.WaitMessage("sensors/1/b")
	})
}

// The cluster's keys and the broker's own token are replaced while the broker runs. A token that was not replaced in time is
// named in the log.
func TestKubernetesReplacesKeysAndTheBrokersToken(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		c := newCluster(t)
		b := harness.Start(t, v, c.options(t, guide(t, "kubernetes", "jwt.json"), c.token(mosquitto, "", time.Hour)))
		before := c.token(sensor1, "mqtt", time.Hour)
		if got := again(t, b, harness.V5, login("c", before)); !got.Accepted() {
			t.Fatalf("CONNECT was %v", got)
		}
		if err := c.Rotate(); err != nil {
			t.Fatal(err)
		}
		after := c.token(sensor1, "mqtt", time.Hour)
		if got := again(t, b, harness.V5, login("d", after)); !got.Accepted() {
			t.Fatalf("a new key: CONNECT was %v", got)
		}

		// The broker's token is by the first key. Without it, it is not good any more.
		if err := c.Rotate(); err != nil {
			t.Fatal(err)
		}
		c.DropOldKeys()
		last := c.token(sensor1, "mqtt", time.Hour)
		if got := again(t, b, harness.V5, login("e", last)); got.Accepted() {
			t.Fatal("a key that could not be read was accepted")
		}
		b.WaitLog(refused("e", `keys unavailable: .*`+answered401))
		if got := again(t, b, harness.V5, login("f", after)); !got.Accepted() {
			t.Errorf("a key that is known: CONNECT was %v", got)
		}
		renewed := c.token(mosquitto, "", time.Hour)
		c.project(t, b.Dir, renewed)
		for deadline := time.Now().Add(harness.Patience); !again(t, b, harness.V5, login("g", last)).Accepted(); {
			if time.Now().After(deadline) {
				t.Fatal("the broker's new token was not taken")
			}
		}
		if got := again(t, b, harness.V5, login("h", before)); got.Accepted() {
			t.Error("a key that is gone was accepted")
		}
		for _, token := range []string{renewed, last} {
			if strings.Contains(b.Log(), strings.Split(token, ".")[2]) {
				t.Error("a token stands in the log")
			}
		}
	})
}

// answered401 matches what the log says of an API server that does not take the broker's own token.
const answered401 = `GET https://` + apiServer + `/openid/v1/jwks: answered 401 Unauthorized`

// The broker does not start with a token that the API server does not take, or without one, and says so.
func TestTheBrokersOwnTokenIsNotGood(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		c := newCluster(t)
		without := guide(t, "kubernetes", "jwt.json")
		set(without, "options.modes.jwks.bearerTokenFile", nil)
		for rule, file := range map[string]struct {
			jwtJSON object
			token   string
			log     string
		}{
			"expired": {guide(t, "kubernetes", "jwt.json"), c.token(mosquitto, "", -time.Minute), answered401 + `.*\$\.options\.modes\.jwks\.bearerTokenFile`},
			"empty":   {guide(t, "kubernetes", "jwt.json"), "", `\$\.options\.modes\.jwks\.bearerTokenFile: .*/pod/token`},
			"none":    {without, "unused", `GET https://` + apiServer + `/openid/v1/jwks: answered 403 Forbidden.*\$\.options\.modes\.jwks\.bearerTokenFile`},
		} {
			t.Run(rule, func(t *testing.T) {
				_, log := harness.StartErr(t, v, c.options(t, file.jwtJSON, file.token))
				if !matches(log, file.log) {
					t.Errorf("the log does not say %s:\n%s", file.log, log)
				}
			})
		}
	})
}

// The broker's own token goes to no other place that a document names.
func TestTheBrokersOwnTokenStaysAtItsOrigin(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		c := newCluster(t)
		file := guide(t, "kubernetes", "By discovery in the cluster")
		set(file, "options.modes.oidc.jwksUri", nil)
		_, log := harness.StartErr(t, v, c.options(t, file, c.token(mosquitto, "", time.Hour)))
		if want := `GET https://` + external + `:6443/openid/v1/jwks: answered 403 Forbidden`; !matches(log, want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
		if len(c.outside.Requests()) == 0 {
			t.Error("the address of the document was not asked")
		}
		for _, r := range c.outside.Requests() {
			if r.User != "system:anonymous" {
				t.Errorf("another origin was sent a token: %+v", r)
			}
		}
	})
}

// domain is a trust domain whose bundle is where the guide has it.
type domain struct {
	*spiffe.Server
	t   *testing.T
	web *web
}

func newDomain(t *testing.T) *domain {
	t.Helper()
	d := &domain{Server: must[*spiffe.Server](t)(spiffe.New("example.org")), t: t, web: newWeb(t, "*.example.com")}
	d.web.handle(spire+"/", d.ServeHTTP)
	return d
}

// workload is the path of the guide's workload.
const workload = "/factory/sensor-1"

func (d *domain) token(further ...object) string {
	d.t.Helper()
	return must[string](d.t)(d.Token(workload, "mqtt", time.Hour, further...))
}

func (d *domain) start(t *testing.T, v brokers.Version, file object) *harness.Broker {
	t.Helper()
	return harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", file)}, Env: d.web.env(t)})
}

func TestSPIFFE(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		d := newDomain(t)
		b := d.start(t, v, guide(t, "spiffe", "jwt.json"))
		for id, token := range map[string]string{
			"plain":     d.token(),
			"more":      d.token(object{"iss": "https://spire.example.com", "jti": "1"}),
			"audiences": d.token(object{"aud": []string{"reports", "mqtt"}}),
		} {
			if got := again(t, b, harness.V5, login(id, token)); !got.Accepted() {
				t.Errorf("%s: CONNECT was %v", id, got)
			}
			b.WaitLog(cameInAs(id, d.ID(workload)))
		}
		byCertificates := func(withKeyID bool) string {
			return must[string](t)(d.ByX509Authority(withKeyID, workload, "mqtt", time.Hour))
		}
		for id, bad := range map[string]struct{ token, reason string }{
			"other":   {must[string](t)(d.Token(workload, "reports", time.Hour)), "wrong audience"},
			"x509":    {byCertificates(false), "bad signature"},
			"x509-id": {byCertificates(true), "bad signature"},
		} {
			if got := again(t, b, harness.V5, login(id, bad.token)); got.Accepted() {
				t.Errorf("%s: CONNECT was %v", id, got)
			}
			b.WaitLog(refused(id, bad.reason))
		}
	})
}

// A key is added, and the old one taken out, while the broker runs.
func TestSPIFFEReplacesKeys(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		d := newDomain(t)
		b := d.start(t, v, guide(t, "spiffe", "jwt.json"))
		before := d.token()
		if got := again(t, b, harness.V5, login("c", before)); !got.Accepted() {
			t.Fatalf("CONNECT was %v", got)
		}
		if err := d.Rotate(); err != nil {
			t.Fatal(err)
		}
		d.DropOldKeys()
		if got := again(t, b, harness.V5, login("d", d.token())); !got.Accepted() {
			t.Fatalf("a new key: CONNECT was %v", got)
		}
		if got := again(t, b, harness.V5, login("e", before)); got.Accepted() {
			t.Error("a key that is gone was accepted")
		}
		b.WaitLog(refused("e", "unknown key"))
	})
}

// The bundle of a trust domain that issues no JWT-SVIDs has keys, none of which is for tokens.
func TestABundleWithoutKeysForTokens(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		d := newDomain(t)
		d.DropKeys()
		_, log := harness.StartErr(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", guide(t, "spiffe", "jwt.json"))}, Env: d.web.env(t),
		})
		if !matches(log, `GET https://`+spire+`:8443: none of its 1 keys can be used with ES256`) {
			t.Errorf("the log does not say that no key is for tokens:\n%s", log)
		}
	})
}

// A bundle endpoint sends no cache headers of its own; those of a server before it count if the file says so.
func TestTheCacheOfABundle(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for name, c := range map[string]struct {
			header  http.Header
			fetches int // of three logins
		}{
			"none":     {nil, 0},
			"no-store": {http.Header{"Cache-Control": {"no-store"}}, 3},
		} {
			t.Run(name, func(t *testing.T) {
				d := newDomain(t)
				d.SetHeader(c.header)
				file := guide(t, "spiffe", "jwt.json")
				set(file, "options.modes.jwks.cache.respectCacheHeaders", true)
				set(file, "options.modes.jwks.maxBlockMs", 10_000)
				b := d.start(t, v, file)
				before := d.Requests()
				for range 3 {
					harness.Connect(t, b.URL(0), harness.Paho5, login("c", d.token())).Accepted().Disconnect()
				}
				if got := d.Requests() - before; got != c.fetches {
					t.Errorf("three logins read the bundle %d times, want %d", got, c.fetches)
				}
			})
		}
	})
}

// Beside another provider the tokens without issuer are the workloads', whose names are kept apart.
func TestSPIFFEBesideAnotherProvider(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		const issuer = "https://" + people + "/realms/main"
		p := provider(t)
		d := newDomain(t)
		d.web.handle(people+"/realms/main/.well-known/openid-configuration", says(`{"issuer":"`+issuer+`","jwks_uri":"https://`+people+`/jwks"}`))
		d.web.handle(people+"/jwks", says(fetch(t, p.JWKSURI())))
		b := d.start(t, v, guide(t, "spiffe", "Beside another provider"))
		person := func(subject string) string {
			return p.Token(subject, time.Hour, idp.Issuer(issuer), idp.AudienceString("mqtt"))
		}
		for id, good := range map[string]struct{ token, username string }{
			"workload": {d.token(), "workloads:" + d.ID(workload)},
			"person":   {person("ann"), "people:ann"},
		} {
			if got := again(t, b, harness.V5, login(id, good.token)); !got.Accepted() {
				t.Errorf("%s: CONNECT was %v", id, got)
			}
			b.WaitLog(cameInAs(id, good.username))
		}
		for id, bad := range map[string]struct{ token, reason string }{
			// Its keys don't count for an issuer that another provider claims.
			"claims": {d.token(object{"iss": issuer}), "(wrong algorithm|unknown key)"},
			"x509":   {must[string](t)(d.ByX509Authority(false, workload, "mqtt", time.Hour)), "bad signature"},
		} {
			if got := again(t, b, harness.V5, login(id, bad.token)); got.Accepted() {
				t.Errorf("%s: CONNECT was %v", id, got)
			}
			b.WaitLog(refused(id, bad.reason))
		}
	})
}
