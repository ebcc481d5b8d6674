package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The only identity with a role, and the two OAuth clients that are given tokens for it.
const (
	subject   = "sensor-1"
	longLived = subject
	shortLive = subject + "-short"
	secret    = "sesame"
)

// How long the tokens of those two live.
const (
	longLife  = 24 * time.Hour
	shortLife = 20 * time.Second
)

// asks is the topic that takes a fresh token for the session of whoever publishes it, and the commands of administrators.
const asks = "$CONTROL/jwt-auth/v1"

// mayAsk is what dynamic-security has to be told about it.
var mayAsk = harness.ACL{Type: "publishClientSend", Topic: asks, Allow: true}

// operator is an administrator of the plugin, by a password of dynamic-security.
const (
	operator         = "ops"
	operatorPassword = "not-for-others"
)

// stage is what the scenes are played on.
type stage struct {
	t        harness.T
	provider *idp.Provider
	broker   *harness.Broker

	good, brief string // tokens
	briefEnds   time.Time

	sensor, watcher, leaving *harness.Client
}

// setUp starts the provider and the broker.
func setUp(ctx context.Context, t harness.T, v brokers.Version) *stage {
	s := &stage{t: t, provider: startProvider(t)}
	s.broker = harness.Start(t, v, harness.Options{
		DefaultUser: true,
		Extra:       "log_dest file {dir}/mosquitto.log",
		Plugins: []harness.Plugin{
			harness.JWT("jwt.json", jwtJSON(t, s.provider)),
			harness.Dynsec{
				Roles: map[string][]harness.ACL{
					"sensor":     append(harness.MayUse("sensors/1/#"), mayAsk),
					"operations": {mayAsk},
				},
				Clients: []harness.DynsecClient{
					{Username: subject, Roles: []string{"sensor"}},
					{Username: operator, Password: operatorPassword, Roles: []string{"operations"}},
				},
			}.Plugin(),
		},
	})
	s.good = s.obtain(ctx, longLived)
	return s
}

func startProvider(t harness.T) *idp.Provider {
	p, err := idp.Start(
		idp.WithClient(idp.Client{ID: "client-id", Secret: "secret"}), // whom the tutorial's jwt.json introspects as
		idp.WithClient(idp.Client{ID: longLived, Secret: secret, Subject: subject, Lifetime: longLife}),
		idp.WithClient(idp.Client{ID: shortLive, Secret: secret, Subject: subject, Lifetime: shortLife}),
	)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return p
}

// jwtJSON is the tutorial's jwt.json with the provider's URLs and an administrator, and nothing else changed.
func jwtJSON(t harness.T, p *idp.Provider) string {
	root, err := brokers.Root()
	if err != nil {
		t.Fatalf("%v", err)
	}
	tutorial, err := os.ReadFile(filepath.Join(root, "examples", "tutorial", "jwt.json"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	const theirs = "http://<YOUR-KEYCLOAK-OR-IAM>/realms/test/protocol/openid-connect/"
	const options = `"options": {`
	if strings.Count(string(tutorial), options) != 1 {
		t.Fatalf("demo: the tutorial's jwt.json has no %s", options)
	}
	return strings.NewReplacer(
		theirs+"certs", p.JWKSURI(), theirs+"token/introspect", p.IntrospectionURI(),
		options, options+`"control": {"admins": ["`+operator+`"]}, `,
	).Replace(string(tutorial))
}

// obtain gets a token at the provider's token endpoint.
func (s *stage) obtain(ctx context.Context, client string) string {
	token, err := s.provider.Obtain(ctx, idp.Client{ID: client, Secret: secret})
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	return token
}

func (s *stage) otherKey() string {
	return s.provider.Token(subject, time.Hour, idp.ForeignKey())
}

// otherSubject is the good token with the claims of another.
func (s *stage) otherSubject() string {
	parts := strings.Split(s.good, ".")
	parts[1] = strings.Split(s.provider.Token("admin", time.Hour), ".")[1]
	return strings.Join(parts, ".")
}

func (s *stage) unsigned() string {
	return s.provider.Token(subject, time.Hour, idp.Unsigned())
}

func (s *stage) expired() string { return s.provider.Token(subject, -time.Minute) }

func (s *stage) revoked() string {
	if err := s.provider.Revoke(s.good); err != nil {
		s.t.Fatalf("%v", err)
	}
	return s.good
}

// connect logs in with a token. A client that gets in becomes the sensor.
func (s *stage) connect(id string, username *string, token string) outcome {
	c, o := s.logIn(harness.Login{ClientID: id, Username: username, Password: &token})
	if c.Connack().Accepted() {
		s.sensor = c
	}
	return o
}

var (
	knownAs = regexp.MustCompile(`u'(.*)'`)
	refusal = regexp.MustCompile(`refused: ([^:(]*[^:( ])`)
)

// logIn connects a client and tells what the broker's log says of it: the name that the broker itself knows it by, or
// the reason for the refusal.
func (s *stage) logIn(l harness.Login) (*harness.Client, outcome) {
	c := harness.Connect(s.t, s.broker.URL(0), harness.Paho5, l)
	answer := c.Connack()
	if answer.Accepted() {
		line := s.broker.WaitLog(`New client connected from \S+ as ` + regexp.QuoteMeta(l.ClientID) + ` `)
		if name := knownAs.FindStringSubmatch(line); name != nil {
			return c, outcome{got: fmt.Sprintf("accepted, known as %q", name[1])}
		}
		return c, outcome{got: "accepted without a name", log: line}
	}
	line := s.broker.WaitLog(`go_jwt_auth: client ` + regexp.QuoteMeta(fmt.Sprintf("%q", l.ClientID)) + ` .*(refused|put off|left to)`)
	o := outcome{got: refused(answer.Code), log: line}
	if answer.Closed {
		o.got = answer.String()
	}
	if reason := refusal.FindStringSubmatch(line); reason != nil {
		o.got += ": " + reason[1]
	}
	return c, o
}

// refused is MQTT 5's reason code (§2.4) in words.
func refused(code byte) string { return fmt.Sprintf("refused with 0x%02x", code) }

// watch lets the administrator in, by an ordinary login of dynamic-security.
func (s *stage) watch() outcome {
	c, o := s.logIn(harness.Login{ClientID: "watcher", Username: new(harness.AdminUser), Password: new(harness.AdminPassword)})
	if c.Connack().Accepted() && c.Subscribe("#", 1) < 0x80 {
		s.watcher = c
		o.got += "; watches every topic"
	}
	return o
}

func (s *stage) subscribe(filter string) outcome {
	if code := s.sensor.Subscribe(filter, 1); code >= 0x80 {
		return outcome{got: refused(code)}
	}
	return outcome{got: "granted"}
}

func (s *stage) publish(topic string) outcome {
	got := "acknowledged"
	if code := s.sensor.Publish(topic, "21.5", 1); code >= 0x80 {
		got = refused(code)
	}
	return outcome{got: got + s.seen(topic)}
}

// mosquittoPub publishes as the broker's own client program.
func (s *stage) mosquittoPub(topic string) outcome {
	p := s.broker.Pub(0, "-u", "whoever", "-P", s.good, "-t", topic, "-m", "40", "-q", "1")
	return outcome{got: fmt.Sprintf("exit code %d", p.Wait()) + s.seen(topic), log: p.Log()}
}

// seen tells whether the watcher got what the broker has answered for already: then it comes before the watcher's own.
func (s *stage) seen(topic string) string {
	const after = "demo/after"
	s.watcher.Publish(after, "", 1)
	s.watcher.WaitMessage(after)
	for _, m := range s.watcher.Messages() {
		if m.Topic == topic {
			return ", and the watcher got it"
		}
	}
	return ", and the watcher got nothing"
}

// connectBriefly logs in with a token that is soon over. Four seconds are enough for two logins and a renewal on any machine.
func (s *stage) connectBriefly() outcome {
	s.briefEnds = time.Now().Add(4 * time.Second).Truncate(time.Second) // exp has whole seconds
	s.brief = s.provider.Token(subject, time.Hour, idp.ExpiresAt(s.briefEnds))
	var o outcome
	s.leaving, o = s.logIn(harness.Login{
		ClientID: "leaving", Username: new("whoever"), Password: &s.brief,
		Will: &harness.Will{Topic: "sensors/1/status", Payload: "offline"},
	})
	return o
}

// connectStaying has a second client log in with the same token.
func (s *stage) connectStaying() outcome { return s.connect("staying", new("whoever"), s.brief) }

func (s *stage) renew() outcome { return s.handOver(s.provider.Token(subject, time.Hour)) }

func (s *stage) renewAsAnother() outcome { return s.handOver(s.provider.Token("admin", time.Hour)) }

// handOver publishes a token for the sensor's session, and tells the answer.
func (s *stage) handOver(token string) outcome {
	s.sensor.Publish(asks, fmt.Sprintf(`{"commands":[{"command":"renewToken","token":%q}]}`, token), 1)
	var answer struct {
		Responses []struct {
			Error string
			Data  *struct{ Expires int64 }
		}
	}
	text := s.sensor.WaitMessage(asks + "/response").Payload
	if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Responses) != 1 {
		return outcome{got: text}
	}
	if r := answer.Responses[0]; r.Data != nil {
		return outcome{got: "renewed on this connection", aside: fmt.Sprintf("good for %d s", r.Data.Expires-time.Now().Unix())}
	}
	reason, _, _ := strings.Cut(answer.Responses[0].Error, ":")
	return outcome{got: "refused: " + reason, log: text}
}

// stay waits for the kick. One that comes early, or more than a second late, did not come by the token's expiry.
func (s *stage) stay() outcome {
	left := s.leaving.WaitDisconnect()
	late := left.At.Sub(s.briefEnds)
	o := outcome{
		got:   left.String(),
		aside: fmt.Sprintf("%d ms after exp", late.Milliseconds()),
	}
	if late < 0 || late > time.Second {
		o.got += " at the wrong time"
	}
	if left.Packet && left.Code == 0x98 {
		o.log = s.broker.WaitLog(`go_jwt_auth: client "leaving" disconnected`)
	}
	return o
}

func (s *stage) findWill() outcome {
	m := s.watcher.WaitMessage("sensors/1/status")
	return outcome{got: fmt.Sprintf("it came on %s: %q", m.Topic, m.Payload)}
}

// tool runs go-jwt-auth as the operator, and counts the clients about which it prints what is expected.
func (s *stage) tool(command string, expected map[string]string) outcome {
	p := s.broker.Ask(0, "--password-file", operatorPassword, command, "--admin", operator)
	code, found := p.Wait(), 0
	for id, row := range expected {
		if regexp.MustCompile(`(?m)^.*\b` + id + ` .*` + row).MatchString(p.Log()) {
			found++
		}
	}
	return outcome{got: fmt.Sprintf("exit code %d; %d of %d are in it", code, found, len(expected)), shown: p.Log()}
}
