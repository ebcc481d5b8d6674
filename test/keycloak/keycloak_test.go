package keycloak_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
	"go-jwt-auth/test/keycloak"
)

// One Keycloak serves all cases, in this order: the last two change it for everybody.
func TestKeycloak(t *testing.T) {
	s := keycloak.Start(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *keycloak.Server)
	}{
		{"facts of Keycloak", facts},
		{"a login has the rights of its subject", rightsOfTheSubject},
		{"the user's name may stand for the subject", preferredUsername},
		{"every connect is introspected", everyConnectIsIntrospected},
		{"a token that has ended is refused at the next connect", revoked},
		{"the tutorial's closing scene", closingScene},
		{"a renewed session outlives its token", renewed},
		{"what is no access token for this broker is refused", refusals},
		{"an ID token of the client that introspects gets in unless typ is required", oneClientForAll},
		{"the guide's file lets in the guide's device alone", guided},
		{"two realms, by the guide's file for two", twoRealms},
		{"no good token is refused while keys change", rotation},
		{"an outage keeps logins out and nobody else", outage},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

func rightsOfTheSubject(t *testing.T, s *keycloak.Server) {
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, tutorial(t, s))
		b.WaitLog(`JWKS endpoint http.*/certs: reached \(HTTP 200`)
		b.WaitLog(`introspection endpoint http.*/token/introspect: reached \(HTTP 405`)
		b.WaitLog(`1 key from http.*/certs \(kid "`) // the one for encryption is none

		observer := observe(t, s, b)
		for _, c := range []struct {
			name, token, subject, own, other string
			kind                             harness.Kind
			listener                         int
		}{
			{"a user", s.Login(t, keycloak.Sensors, keycloak.Sensor).Access, keycloak.SensorSubject, "sensors/1/a", "gateway/a", harness.Paho3, 0},
			{"a user over WebSocket", s.Login(t, keycloak.Sensors, keycloak.Sensor).Access, keycloak.SensorSubject, "sensors/1/b", "gateway/b", harness.MQTTJS5, 1},
			{"a service account", s.GatewayToken(t), keycloak.GatewaySubject, "gateway/c", "sensors/1/c", harness.Paho5, 0},
		} {
			t.Run(c.name, func(t *testing.T) {
				mark := b.Mark()
				client := connect(t, b, c.listener, c.kind, login("c", c.token)).Accepted()
				b.WaitLogSince(mark, fmt.Sprintf(`client "c" .*accepted as %q \(token jti "`, c.subject))
				if code := client.Subscribe(c.own, 1); code >= 0x80 {
					t.Errorf("its own topic: SUBACK 0x%02x", code)
				}
				if code := client.Subscribe(c.other, 1); code < 0x80 {
					t.Errorf("another's topic: SUBACK 0x%02x", code)
				}
				client.Publish(c.other, "stolen", 1)
				client.Publish(c.own, "21.5", 1)
				observer.WaitMessage(c.own)
				for _, m := range observer.Messages() {
					if m.Payload == "stolen" {
						t.Errorf("it could publish on %s", m.Topic)
					}
				}
				client.Disconnect()
			})
		}
	})
}

func preferredUsername(t *testing.T, s *keycloak.Server) {
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, changed(t, tutorial(t, s), object{"options.common.usernameClaim": "preferred_username"}))
		client := connect(t, b, 0, harness.Paho5, login("c", s.Login(t, keycloak.Sensors, keycloak.Sensor).Access)).Accepted()
		b.WaitLog(`client "c" .*accepted as "sensor-1"`)
		if code := client.Subscribe("by-name/a", 1); code >= 0x80 {
			t.Errorf("SUBACK 0x%02x", code)
		}
		if code := client.Subscribe("sensors/1/a", 1); code < 0x80 {
			t.Errorf("the topic of its subject: SUBACK 0x%02x", code)
		}
	})
}

func everyConnectIsIntrospected(t *testing.T, s *keycloak.Server) {
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, tutorial(t, s))
		token := s.Login(t, keycloak.Sensors, keycloak.Sensor).Access
		for n := range 3 {
			connect(t, b, 0, harness.Paho5, login("c", token)).Accepted().Disconnect()
			asked := introspections(t, s, token, n+1)
			for _, a := range asked {
				if a.Client != keycloak.Plugin || !a.Active {
					t.Errorf("Keycloak has recorded %+v", a)
				}
			}
			if len(asked) != n+1 {
				t.Errorf("Keycloak was asked %d times for %d connects", len(asked), n+1)
			}
		}
	})
}

func revoked(t *testing.T, s *keycloak.Server) {
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, tutorial(t, s))
		for _, c := range []struct {
			name string
			end  func(t *testing.T, tokens keycloak.Tokens)
		}{
			{"signed-out", func(t *testing.T, tokens keycloak.Tokens) { s.SignOut(t, keycloak.Sensors, tokens) }},
			{"session-ended", func(t *testing.T, tokens keycloak.Tokens) { s.EndSession(t, tokens.Session) }},
			{"token-revoked", func(t *testing.T, tokens keycloak.Tokens) { s.Revoke(t, keycloak.Sensors, tokens.Access) }},
		} {
			t.Run(c.name, func(t *testing.T) {
				tokens, other := s.Login(t, keycloak.Sensors, keycloak.Sensor), s.Login(t, keycloak.Sensors, keycloak.Sensor)
				connected := connect(t, b, 0, harness.Paho5, login(c.name+"-before", tokens.Access)).Accepted()
				c.end(t, tokens)
				connect(t, b, 0, harness.Paho5, login(c.name, tokens.Access)).Refused()
				b.WaitLog(refused(c.name, "revoked: http.*/token/introspect says that it is not active"))
				connect(t, b, 0, harness.Paho5, login(c.name, other.Access)).Accepted()
				// Who is connected already stays.
				if code := connected.Subscribe("sensors/1/a", 1); code >= 0x80 || !connected.Connected() {
					t.Errorf("SUBACK 0x%02x", code)
				}
			})
		}
	})
}

// MQTT 5, a session that outlives the connection, a short token.
func closingScene(t *testing.T, s *keycloak.Server) {
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, tutorial(t, s))
		observer := observe(t, s, b)
		token := s.Login(t, keycloak.Briefly, keycloak.Sensor).Access
		l := login("c", token)
		l.SessionExpiry, l.Resume = 600, true
		l.Will = &harness.Will{Topic: "sensors/1/status", Payload: "offline"}
		c := connect(t, b, 0, harness.Paho5, l).Accepted()
		if c.Connack().SessionPresent {
			t.Error("a session is present at the first connect")
		}
		c.Subscribe("sensors/1/orders", 1)

		left := c.WaitDisconnect()
		if !left.Packet || left.Code != 0x98 {
			t.Errorf("%v, want 0x98", left)
		}
		if late := left.At.Sub(expires(t, token)); late < 0 {
			t.Errorf("kicked %s before exp", -late)
		} else {
			t.Logf("kicked %s after exp", late.Round(time.Millisecond))
		}
		observer.WaitMessage("sensors/1/status")

		connect(t, b, 0, harness.Paho5, l).Refused()
		b.WaitLog(refused("c", "expired: exp is"))

		observer.Publish("sensors/1/orders", "while away", 1)
		l.Password = new(s.Login(t, keycloak.Sensors, keycloak.Sensor).Access)
		back := connect(t, b, 0, harness.Paho5, l).Accepted()
		if !back.Connack().SessionPresent {
			t.Error("the session is gone")
		}
		if got := back.WaitMessage("sensors/1/orders"); got.Payload != "while away" {
			t.Errorf("got %v", got)
		}
	})
}

// renewed has tokens that live for five seconds: a client that hands over a fresh one stays when another leaves that came with the
// same token, and is disconnected when the last one ends.
func renewed(t *testing.T, s *keycloak.Server) {
	const renewals = "$CONTROL/jwt-auth/v1"
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", tutorial(t, s))}})
		first := s.Login(t, keycloak.Briefly, keycloak.Sensor).Access
		leaving := connect(t, b, 0, harness.Paho3, login("leaving", first)).Accepted()
		staying := connect(t, b, 0, harness.Paho3, login("staying", first)).Accepted()
		handOver := func(token string) string {
			staying.Publish(renewals, fmt.Sprintf(`{"commands":[{"command":"renewToken","token":%q}]}`, token), 1)
			return staying.WaitMessage(renewals + "/response").Payload
		}
		byAuth := connect(t, b, 0, harness.Paho5, harness.Login{ClientID: "auth", Auth: &harness.Auth{Method: "OAUTH2-JWT", Data: first}}).Accepted()
		if got := byAuth.Reauthenticate(s.Login(t, keycloak.Sensors, keycloak.Sensor).Access); !got.Accepted() {
			t.Fatalf("AUTH: %s", got)
		}
		fresh := s.Login(t, keycloak.Sensors, keycloak.Sensor).Access
		if got := handOver(fresh); !strings.Contains(got, fmt.Sprintf(`"expires":%d`, expires(t, fresh).Unix())) {
			t.Fatalf("the plugin answers %s", got)
		}
		if asked := introspections(t, s, fresh, 1); len(asked) != 1 || !asked[0].Active {
			t.Errorf("Keycloak has recorded %+v", asked)
		}
		leaving.WaitDisconnect()
		if !byAuth.Connected() {
			t.Error("who has renewed by AUTH is gone")
		}
		staying.Subscribe("a", 1)
		staying.Publish("a", "still there", 1)
		staying.WaitMessage("a")

		other := s.Login(t, keycloak.Sensors, keycloak.Observer).Access
		ended := s.Login(t, keycloak.Sensors, keycloak.Sensor)
		s.SignOut(t, keycloak.Sensors, ended)
		for token, reason := range map[string]string{other: "", ended.Access: "revoked"} {
			if got := handOver(token); !strings.Contains(got, `"error":"`+reason) || !staying.Connected() {
				t.Errorf("the plugin answers %s", got)
			}
		}
		last := s.Login(t, keycloak.Briefly, keycloak.Sensor).Access // ends sooner than the one before
		if got := handOver(last); !strings.Contains(got, `"expires"`) {
			t.Fatalf("the plugin answers %s", got)
		}
		if left := staying.WaitDisconnect(); left.At.Before(expires(t, last)) {
			t.Errorf("kicked %v before exp", expires(t, last).Sub(left.At))
		}
	})
}

// expires is exp.
func expires(t *testing.T, token string) time.Time {
	t.Helper()
	_, claims := read(t, token)
	at, err := claims.GetExpirationTime()
	if err != nil {
		t.Fatal(err)
	}
	return at.Time
}

func refusals(t *testing.T, s *keycloak.Server) {
	const inactive = "revoked: http.*/token/introspect says that it is not active"
	tokens := s.Login(t, keycloak.Sensors, keycloak.Sensor)
	noAudience := s.Login(t, keycloak.NoAudience, keycloak.Sensor).Access
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, tutorial(t, s))
		for _, c := range []struct{ id, token, reason string }{
			{"refresh-token", tokens.Refresh, `wrong algorithm: alg must be RS256, found "HS512"`},
			{"id-token", tokens.ID, inactive},
			{"other-realm", s.OtherRealmToken(t), `unknown key: kid "`},
			{"other-host-name", s.LoginAt(t, "keycloak.example", keycloak.Sensors, keycloak.Sensor).Access, inactive},
			{"no-audience", noAudience, inactive},
		} {
			t.Run(c.id, func(t *testing.T) {
				connect(t, b, 0, harness.Paho5, login(c.id, c.token)).Refused()
				b.WaitLog(refused(c.id, c.reason))
			})
		}
	})
	// Keycloak alone says why.
	for token, reason := range map[string]string{
		noAudience: "Client 'client-id' is not in the token audience",
		tokens.ID:  "Client 'client-id' is not in the token audience",
	} {
		for _, a := range introspections(t, s, token, 1) {
			if a.Active || a.Reason != reason {
				t.Errorf("Keycloak has recorded %+v, want %q", a, reason)
			}
		}
	}
}

// The tutorial's reader has one client for everything. Since Keycloak 26.6.2 its access tokens are refused for want of an
// audience, and its ID tokens are not.
func oneClientForAll(t *testing.T, s *keycloak.Server) {
	tokens := s.Login(t, keycloak.Plugin, keycloak.Sensor)
	typed := s.Login(t, keycloak.NoAudience, keycloak.Sensor)
	everywhere(t, func(t *testing.T, v brokers.Version) {
		t.Run("the tutorial's file", func(t *testing.T) {
			b := start(t, v, tutorial(t, s))
			connect(t, b, 0, harness.Paho5, login("access", tokens.Access)).Refused()
			b.WaitLog(refused("access", "revoked"))
			connect(t, b, 0, harness.Paho5, login("id", tokens.ID)).Accepted()
		})
		t.Run("the claim typ required", func(t *testing.T) {
			b := start(t, v, changed(t, tutorial(t, s), object{"options.common.requiredClaims": object{"typ": "Bearer"}}))
			connect(t, b, 0, harness.Paho5, login("id", tokens.ID)).Refused()
			b.WaitLog(refused("id", `missing claim: typ must be one of .*Bearer.*, found "ID"`))
			connect(t, b, 0, harness.Paho5, login("access", s.Login(t, keycloak.Sensors, keycloak.Sensor).Access)).Accepted()
		})
		t.Run("the header's typ required", func(t *testing.T) {
			b := start(t, v, changed(t, tutorial(t, s), object{"options.common.tokenType": []string{"at+jwt"}, "options.revocation": nil}))
			connect(t, b, 0, harness.Paho5, login("id", typed.ID)).Refused()
			b.WaitLog(refused("id", `wrong token type: typ must be at\+jwt, found "JWT"`))
			connect(t, b, 0, harness.Paho5, login("access", typed.Access)).Accepted()
		})
	})
}

// lineOfOptions is how long a token can be that mosquitto_pub reads from its file of options, in bytes: it cuts lines at 1,023.
const lineOfOptions = 1000

// guided runs docs/providers/keycloak.md: what it says to set up, and its jwt.json with this Keycloak's address and secret.
func guided(t *testing.T, s *keycloak.Server) {
	secret := s.SetUpAsGuided(t)
	file := changed(t, example(t, "providers", "keycloak"), object{
		"options.modes.oidc.issuer": s.Issuer(), "options.revocation.introspection.clientSecret": secret,
	})
	good := s.GuidedToken(t, keycloak.GuideDevice, "mqtt")
	header, claims := read(t, good)
	if typ := header["typ"]; typ != "JWT" {
		t.Errorf("the header's typ is %v", typ)
	}
	shown := object{"typ": "Bearer", "azp": "sensor-1", "client_id": "sensor-1", "preferred_username": "service-account-sensor-1"}
	for claim, want := range shown {
		if claims[claim] != want {
			t.Errorf("%s is %v, the guide shows %v", claim, claims[claim], want)
		}
	}
	if n := len(good); n <= lineOfOptions {
		t.Errorf("a token has %d bytes: the guide says that mosquitto_pub can't take it from a file", n)
	}
	s.SetLightweight(t, false)
	light := s.GuidedToken(t, keycloak.GuideSmallDevice, "mqtt")
	_, claims = read(t, light)
	for _, claim := range []string{"aud", "preferred_username"} {
		if value, has := claims[claim]; has {
			t.Errorf("%s of a lightweight token is %v, and the guide says that it has none", claim, value)
		}
	}
	s.SetLightweight(t, true)
	light = s.GuidedToken(t, keycloak.GuideSmallDevice, "mqtt")
	_, lightClaims := read(t, light)
	t.Logf("a token has %d bytes, a lightweight one %d: %v", len(good), len(light), lightClaims)
	if len(light) > lineOfOptions {
		t.Errorf("a lightweight token has %d bytes", len(light))
	}
	_, claims = read(t, good)
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, file)
		connect(t, b, 0, harness.Paho5, login("light", light)).Accepted()
		b.WaitLog(fmt.Sprintf(`client "light" .*accepted as %q`, lightClaims["sub"]))
		connect(t, b, 0, harness.Paho5, login("good", good)).Accepted()
		b.WaitLog(fmt.Sprintf(`client "good" .*accepted as %q`, claims["sub"]))
		for _, c := range []struct{ id, token, reason string }{
			{"no-scope", s.GuidedToken(t, keycloak.GuideDevice), "wrong audience"},
			{"other-client", s.Login(t, keycloak.Sensors, keycloak.Sensor).Access, "wrong audience"},
			{"other-realm", s.OtherRealmToken(t), "unknown key"},
		} {
			connect(t, b, 0, harness.Paho5, login(c.id, c.token)).Refused()
			b.WaitLog(refused(c.id, c.reason))
		}
	})
}

// twoRealms runs the file for two realms in docs/providers/keycloak.md, with the addresses and the client id of this Keycloak.
func twoRealms(t *testing.T, employees *keycloak.Server) {
	devices := employees.Realm(keycloak.Devices)
	file := strings.NewReplacer(
		"https://id.example.com/realms/employees", employees.Issuer(), "https://id.example.com/realms/devices", devices.Issuer(), "mqtt-broker", keycloak.Plugin,
	).Replace(forTwo(t))
	// Keys of the realms' own, of which the test has the private part: what they sign is good, but for what it says.
	employeesKey, devicesKey := published(t, employees), published(t, devices)
	name := map[*keycloak.Server]string{employees: "employees:" + keycloak.SensorSubject, devices: "devices:" + keycloak.DeviceSubject}
	everywhere(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Files: map[string]string{"employees-secret": keycloak.PluginSecret, "devices-secret": keycloak.DevicesSecret},
			Plugins: []harness.Plugin{
				harness.JWT("jwt.json", file),
				harness.Dynsec{
					Roles: map[string][]harness.ACL{"employee": harness.MayUse("employees/#"), "device": harness.MayUse("devices/#")},
					Clients: []harness.DynsecClient{
						{Username: name[employees], Roles: []string{"employee"}},
						{Username: name[devices], Roles: []string{"device"}},
					},
				}.Plugin(),
			},
		})
		b.WaitLog(`2 providers: employees \(mode oidc, .*/realms/test\), devices \(mode oidc, .*/realms/devices\)`)
		for _, realm := range []string{keycloak.FirstRealm, keycloak.Devices} {
			b.WaitLog(`JWKS endpoint http.*/realms/` + realm + `/.*/certs: reached \(HTTP 200`)
			b.WaitLog(`introspection endpoint http.*/realms/` + realm + `/.*/introspect: reached \(HTTP 405`)
		}
		tokens := map[*keycloak.Server]keycloak.Tokens{}
		for realm, own := range map[*keycloak.Server]string{employees: "employees", devices: "devices"} {
			tokens[realm] = realm.Login(t, keycloak.Sensors, keycloak.Sensor) // a user of the same name
			c := connect(t, b, 0, harness.Paho5, login(own, tokens[realm].Access)).Accepted()
			b.WaitLog(fmt.Sprintf(`client %q .*accepted as %q \(provider %s, token jti "`, own, name[realm], own))
			for _, topic := range []string{"employees/a", "devices/a"} {
				if code := c.Subscribe(topic, 1); (code < 0x80) != strings.HasPrefix(topic, own) {
					t.Errorf("%s subscribes %s: SUBACK 0x%02x", own, topic, code)
				}
			}
		}
		for _, c := range []struct{ id, token, reason string }{
			{"own-key", devicesKey.token(t, devices.Issuer(), devicesKey.kid), `revoked: .*/realms/devices/.*provider devices, `}, // Keycloak has no such session
			{"own-iss", devicesKey.token(t, employees.Issuer(), devicesKey.kid), `unknown key: .*provider employees, `},
			{"own-kid", devicesKey.token(t, employees.Issuer(), employeesKey.kid), `bad signature: .*provider employees, `},
			{"other-way", employeesKey.token(t, devices.Issuer(), devicesKey.kid), `bad signature: .*provider devices, `},
			{"third-realm", employees.OtherRealmToken(t), `wrong issuer: iss must be one of ".*/realms/test", ".*/realms/devices", found ".*/realms/master"`},
		} {
			connect(t, b, 0, harness.Paho5, login(c.id, c.token)).Refused()
			b.WaitLog(refused(c.id, c.reason))
		}
		// What one realm says of its tokens says nothing of the other's, and only that one is asked.
		devices.SignOut(t, keycloak.Sensors, tokens[devices])
		connect(t, b, 0, harness.Paho5, login("signed-out", tokens[devices].Access)).Refused()
		b.WaitLog(refused("signed-out", `revoked: .*/realms/devices/.*provider devices, `))
		connect(t, b, 0, harness.Paho5, login("signed-in", tokens[employees].Access)).Accepted()
		if asked := introspections(t, employees, tokens[employees].Access, 2); len(asked) != 2 {
			t.Errorf("the realm was asked %d times about a token that came twice", len(asked))
		}
	})
}

// forTwo is the file in the guide that has several providers.
func forTwo(t *testing.T) string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(root, "docs", "providers", "keycloak.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(guide), -1) {
		if strings.Contains(found[1], `"providers"`) {
			return found[1]
		}
	}
	t.Fatal("the guide has no file with providers")
	return ""
}

// realmKey is a key in a realm's key set.
type realmKey struct {
	private *rsa.PrivateKey
	kid     string
}

// published puts a new key into a realm's key set.
func published(t *testing.T, s *keycloak.Server) realmKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return realmKey{private, s.PublishKey(t, private)}
}

// token is one that the key signs, and in which all but iss and kid is as the file wants it.
func (k realmKey) token(t *testing.T, issuer, kid string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": issuer, "sub": keycloak.DeviceSubject, "aud": keycloak.Plugin, "typ": "Bearer", "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = kid
	signed, err := token.SignedString(k.private)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func rotation(t *testing.T, s *keycloak.Server) {
	fleet := launch(t, s)
	first := s.Login(t, keycloak.Sensors, keycloak.Sensor).Access
	withdrawn := map[string]bool{}
	for _, b := range fleet {
		// A key is added in the middle of the logins. The tokens of the ones before stay good.
		const logins = 5
		last := ""
		for n := range 2 * logins {
			if n == logins {
				s.AddKey(t)
			}
			token := s.Login(t, keycloak.Sensors, keycloak.Sensor).Access
			connect(t, b, 0, harness.Paho5, login("fresh", token)).Accepted().Disconnect()
			connect(t, b, 0, harness.Paho5, login("first", first)).Accepted().Disconnect()
			if n >= logins {
				if kid(t, token) == last {
					t.Fatal("the new key is not used")
				}
				continue
			}
			last = kid(t, token)
			withdrawn[last] = true
		}
		b.WaitLog(`the keys at http.*/certs have changed: now \d \(kid `)
	}
	for kid := range withdrawn {
		s.DisableKey(t, kid)
	}
	fresh := login("fresh", s.Login(t, keycloak.Sensors, keycloak.Sensor).Access)
	for _, b := range fleet {
		connect(t, b, 0, harness.Paho5, fresh).Accepted().Disconnect()
		// The plugin has kept the key, and Keycloak has the last word.
		connect(t, b, 0, harness.Paho5, login("first", first)).Refused()
		b.WaitLog(refused("first", "(revoked|unknown key)"))
	}
	for _, b := range fleet {
		untilLogged(t, b, login("first", first), refused("first", `unknown key: kid "`))
		connect(t, b, 0, harness.Paho5, fresh).Accepted()
	}
}

func outage(t *testing.T, s *keycloak.Server) {
	fleet := launch(t, s)
	token := s.Login(t, keycloak.Sensors, keycloak.Sensor).Access
	var staying []*harness.Client
	for _, b := range fleet {
		staying = append(staying, connect(t, b, 0, harness.Paho5, login("staying", token)).Accepted())
	}
	stay := func() {
		t.Helper()
		for _, c := range staying {
			if code := c.Subscribe("sensors/1/a", 1); code >= 0x80 || !c.Connected() {
				t.Errorf("a connected client was lost (SUBACK 0x%02x)", code)
			}
			c.Publish("sensors/1/a", "here", 1)
			c.WaitMessage("sensors/1/a")
		}
	}
	s.Stop(t)
	for _, b := range fleet {
		// On 2.1 the login is pending when that is found out, and a pending one is always refused so.
		connect(t, b, 0, harness.Paho5, login("c", token)).Refused()
		b.WaitLog(refused("c", `provider unavailable: POST http.*/introspect: can't connect: .*connection refused`))
	}
	stay()
	for _, b := range fleet {
		// Once the set has run out, the last good one serves on; it is introspection that refuses.
		untilLogged(t, b, login("d", token), `the keys at http.*/certs can't be read \(.*connection refused\): those read at .* go on serving`)

		code, log := harness.StartErr(t, b.Version, options(tutorial(t, s)))
		if code == 0 || !strings.Contains(log, "the identity provider can't be reached") ||
			!strings.Contains(log, s.Issuer()+"/.well-known/openid-configuration") {
			t.Errorf("a new broker ended with exit code %d:\n%s", code, log)
		}
	}
	stay()
	s.Resume(t)
	for _, b := range fleet {
		// The session has survived. After a failure the plugin's next fetch waits a second.
		for deadline := time.Now().Add(harness.Patience); !connect(t, b, 0, harness.Paho5, login("e", token)).Connack().Accepted(); time.Sleep(pause) {
			if time.Now().After(deadline) {
				t.Fatal("still refused")
			}
		}
		connect(t, b, 0, harness.Paho5, login("f", s.Login(t, keycloak.Sensors, keycloak.Sensor).Access)).Accepted()
	}
	stay()
}

type object = map[string]any

// tutorial is the tutorial's jwt.json with nothing but its host name replaced.
func tutorial(t *testing.T, s *keycloak.Server) string {
	t.Helper()
	return strings.ReplaceAll(example(t, "tutorial"), "<YOUR-KEYCLOAK-OR-IAM>", s.Host())
}

// example is the jwt.json of a folder of examples.
func example(t *testing.T, folder ...string) string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(root, "examples", filepath.Join(folder...), "jwt.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

// changed is a jwt.json with other values at dotted paths; nil removes a key.
func changed(t *testing.T, jwtJSON string, changes object) object {
	t.Helper()
	var file object
	if err := json.Unmarshal([]byte(jwtJSON), &file); err != nil {
		t.Fatal(err)
	}
	for path, value := range changes {
		at, names := file, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			at = at[name].(object)
		}
		if last := names[len(names)-1]; value == nil {
			delete(at, last)
		} else {
			at[last] = value
		}
	}
	return file
}

// options are a broker with the plugin, dynamic-security after it, and an MQTT and a WebSocket listener. dynamic-security
// knows the users and the service account by their subjects, and the sensor by its name as somebody else.
func options(jwtJSON any) harness.Options {
	return harness.Options{
		Listeners: []harness.Listener{{}, {WebSockets: true}},
		Plugins: []harness.Plugin{
			harness.JWT("jwt.json", jwtJSON),
			harness.Dynsec{
				Roles: map[string][]harness.ACL{
					"sensor":   harness.MayUse("sensors/1/#"),
					"gateway":  harness.MayUse("gateway/#"),
					"observer": harness.MayUse("#"),
					"by name":  harness.MayUse("by-name/#"),
				},
				Clients: []harness.DynsecClient{
					{Username: keycloak.SensorSubject, Roles: []string{"sensor"}},
					{Username: keycloak.GatewaySubject, Roles: []string{"gateway"}},
					{Username: keycloak.ObserverSubject, Roles: []string{"observer"}},
					{Username: keycloak.Sensor, Roles: []string{"by name"}},
				},
			}.Plugin(),
		},
	}
}

func start(t *testing.T, v brokers.Version, jwtJSON any) *harness.Broker {
	t.Helper()
	return harness.Start(t, v, options(jwtJSON))
}

// everywhere runs a case on every broker version, in parallel, and returns when all are through.
func everywhere(t *testing.T, run func(t *testing.T, v brokers.Version)) {
	t.Helper()
	t.Run("Mosquitto", func(t *testing.T) {
		brokers.Each(t, func(t *testing.T, v brokers.Version) {
			t.Parallel()
			run(t, v)
		})
	})
}

// launch starts a broker of every version with the tutorial's file, for what happens to all at once.
func launch(t *testing.T, s *keycloak.Server) (fleet []*harness.Broker) {
	t.Helper()
	brokers.Each(t, func(_ *testing.T, v brokers.Version) { fleet = append(fleet, start(t, v, tutorial(t, s))) })
	return fleet
}

// pause is how long a condition that has to be asked for is left alone.
const pause = 100 * time.Millisecond

// connect connects a client. Where the broker closes the connection without an answer, the keys were on their way, and it
// tries again.
func connect(t *testing.T, b *harness.Broker, listener int, kind harness.Kind, l harness.Login) *harness.Client {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(pause) {
		c := harness.Connect(t, b.URL(listener), kind, l)
		if !c.Connack().Closed || time.Now().After(deadline) {
			return c
		}
	}
}

// untilLogged knocks until the log has a line that was not there before. It takes the tutorial's ttlMs, 30 s, for a kept
// key set to run out.
func untilLogged(t *testing.T, b *harness.Broker, l harness.Login, pattern string) {
	t.Helper()
	line, mark := regexp.MustCompile(pattern), b.Mark()
	for deadline := time.Now().Add(30*time.Second + harness.Patience); !line.MatchString(b.LogSince(mark)); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("the log has nothing like %s", pattern)
		}
		if _, err := harness.Knock(b.URL(0), harness.V5, l); err != nil {
			t.Fatal(err)
		}
	}
}

// introspections waits until Keycloak has recorded n questions about a token, and returns them.
func introspections(t *testing.T, s *keycloak.Server, token string, n int) []keycloak.Introspection {
	t.Helper()
	_, claims := read(t, token)
	jti, _ := claims["jti"].(string)
	for deadline := time.Now().Add(harness.Patience); ; time.Sleep(pause) {
		asked := s.Introspections(t, jti)
		if len(asked) >= n {
			return asked
		}
		if time.Now().After(deadline) {
			t.Fatalf("Keycloak has recorded %d questions about the token, want %d", len(asked), n)
		}
	}
}

// observe connects a client that sees everything.
func observe(t *testing.T, s *keycloak.Server, b *harness.Broker) *harness.Client {
	t.Helper()
	token := s.Login(t, keycloak.Sensors, keycloak.Observer).Access
	c := connect(t, b, 0, harness.Paho5, login("observer", token)).Accepted()
	if code := c.Subscribe("#", 1); code >= 0x80 {
		t.Fatalf("the observer may not subscribe: 0x%02x", code)
	}
	return c
}

// login is a CONNECT with a token and a username that means nothing.
func login(id, token string) harness.Login {
	return harness.Login{ClientID: id, Username: new("whoever"), Password: &token}
}

// refused matches the log line for a refusal.
func refused(id, reason string) string {
	return fmt.Sprintf(`go_jwt_auth: client %q \[127\.0\.0\.1\] refused: %s`, id, reason)
}

func kid(t *testing.T, token string) string {
	t.Helper()
	header, _ := read(t, token)
	id, _ := header["kid"].(string)
	return id
}
