package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/glewlwyd"
	"go-jwt-auth/test/harness"
)

// several is a jwt.json with providers, and broker-wide changes below $.options.
func several(changes object, providers ...object) object {
	file := object{"providers": providers}
	for path, value := range changes {
		set(file, "options."+path, value)
	}
	return file
}

// named is one provider of a file with several: usernames are "name:sub".
func named(name string, p *idp.Provider, changes ...object) object {
	c := object{"name": name, "algorithm": "RS256", "mode": "jwks"}
	set(c, "options.modes.jwks", object{"uri": p.JWKSURI(), "cache": object{"enabled": true, "ttlMs": 600_000}})
	set(c, "options.common", object{"issuer": p.Issuer(), "usernameTemplate": "{provider}:{sub}"})
	for _, change := range changes {
		for path, value := range change {
			set(c, path, value)
		}
	}
	return c
}

// asks has a provider asked about each of its tokens, as it is at start.
func asks(p *idp.Provider) object {
	return object{"options.revocation.introspection": object{"uri": p.IntrospectionURI(), "clientId": p.Broker().ID, "clientSecret": p.Broker().Secret}}
}

// cached keeps good answers for long.
func cached() object { return object{"options.revocation.cache.ttlMs": 600_000} }

// Two realms on one broker: each has its own names, and neither's key speaks for the other.
func TestTwoProviders(t *testing.T) {
	a, b := ownProvider(t), ownProvider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		broker := harness.Start(t, v, harness.Options{
			Listeners: []harness.Listener{{}, {WebSockets: true}},
			Plugins: []harness.Plugin{
				harness.JWT("jwt.json", several(nil, named("one", a, asks(a)), named("two", b, asks(b)))),
				harness.Dynsec{
					Roles:   map[string][]harness.ACL{"one": harness.MayUse("one/#"), "two": harness.MayUse("two/#")},
					Clients: []harness.DynsecClient{{Username: "one:sensor-1", Roles: []string{"one"}}, {Username: "two:sensor-1", Roles: []string{"two"}}},
				}.Plugin(),
			},
		})
		for name, p := range map[string]*idp.Provider{"one": a, "two": b} {
			for i, kind := range []harness.Kind{harness.Paho5, harness.MQTTJS5} {
				id := fmt.Sprint(name, i)
				c := harness.Connect(t, broker.URL(i), kind, login(id, p.Token("sensor-1", time.Hour))).Accepted()
				broker.WaitLog(fmt.Sprintf(`client %q .*accepted as %q \(provider %s, token `, id, name+":sensor-1", name))
				if code := c.Subscribe(name+"/1", 1); code >= 0x80 {
					t.Errorf("%s may not subscribe its own topic: 0x%02x", id, code)
				}
				other := map[string]string{"one": "two", "two": "one"}[name]
				if code := c.Subscribe(other+"/1", 1); code < 0x80 {
					t.Errorf("%s may subscribe the other provider's topic", id)
				}
			}
		}
		for _, c := range []struct{ rule, token, reason string }{
			{"the other issuer, its own key", a.Token("sensor-1", time.Hour, idp.Issuer(b.Issuer())), `(unknown key|bad signature): .*provider two, `},
			{"the other issuer, its own key under the other's kid", a.Token("sensor-1", time.Hour, idp.Issuer(b.Issuer()), idp.Header("kid", b.KeyID())), `bad signature: .*provider two, `},
			{"an issuer that nobody has", a.Token("sensor-1", time.Hour, idp.Issuer("https://idp.example")), `wrong issuer: iss must be one of .*, found "https://idp.example"`},
			{"no issuer", a.Token("sensor-1", time.Hour, idp.Without("iss")), `wrong issuer: .*found none`},
			{"an array of issuers", a.Token("sensor-1", time.Hour, idp.Claim("iss", []string{a.Issuer()})), `malformed token: `},
			{"a number", a.Token("sensor-1", time.Hour, idp.Claim("iss", 7)), `malformed token: `},
			{"a name of the other's", a.Token("+", time.Hour), `unsafe identity: `},
		} {
			answered(t, broker, harness.Paho5, login(c.rule, c.token)).Refused()
			broker.WaitLog(refused(c.rule, c.reason))
		}
		// One endpoint that says no speaks for its own tokens alone.
		gone, stays := a.Token("sensor-1", time.Hour), b.Token("sensor-1", time.Hour)
		if err := a.Revoke(gone); err != nil {
			t.Fatal(err)
		}
		harness.Connect(t, broker.URL(0), harness.Paho5, login("gone", gone)).Refused()
		broker.WaitLog(refused("gone", `revoked: .*provider one, `))
		harness.Connect(t, broker.URL(0), harness.Paho5, login("stays", stays)).Accepted()
	})
}

// Employees by one provider, devices by another make that claims no issuer, partners by opaque tokens.
func TestThreeProviders(t *testing.T) {
	employees, partners, devices := ownProvider(t), ownProvider(t), glewlwyd.Start(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		broker := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", several(nil,
			named("employees", employees),
			object{
				"name": "devices", "algorithm": "RS256", "mode": "jwks",
				"options": object{
					"modes":  object{"jwks": object{"uri": devices.JWKSURI(), "cache": object{"enabled": true}}},
					"common": object{"usernameTemplate": "{provider}:{sub}"},
				},
			},
			object{
				"name": "partners", "mode": "introspection",
				"options": object{
					"common": object{"issuer": partners.Issuer(), "usernameTemplate": "{provider}:{sub}"},
					"revocation": object{"introspection": object{
						"uri": partners.IntrospectionURI(), "clientId": partners.Broker().ID, "clientSecret": partners.Broker().Secret,
					}},
				},
			},
		))}})
		broker.WaitLog(`version .* started with .*jwt.json`)
		harness.Connect(t, broker.URL(0), harness.Paho5, login("employee", employees.Token("alice", time.Hour))).Accepted()
		broker.WaitLog(`client "employee" .*accepted as "employees:alice"`)
		harness.Connect(t, broker.URL(0), harness.Paho5, login("device", devices.Token(t))).Accepted()
		broker.WaitLog(fmt.Sprintf(`client "device" .*accepted as "devices:%s"`, glewlwyd.ClientID))
		answered(t, broker, harness.Paho5, login("partner", partners.Opaque("bob", time.Hour))).Accepted()
		broker.WaitLog(`client "partner" .*accepted as "partners:bob"`)
		// A JWT of the partners' issuer goes to their endpoint, too.
		answered(t, broker, harness.Paho5, login("jwt", partners.Token("carol", time.Hour))).Accepted()
		broker.WaitLog(`client "jwt" .*accepted as "partners:carol"`)
		// The rest provider's keys don't speak for an issuer that another one claims, nor theirs for it.
		forged := employees.Token("alice", time.Hour, idp.Issuer("https://nobody.example"))
		answered(t, broker, harness.Paho5, login("forged", forged)).Refused()
		broker.WaitLog(refused("forged", `(unknown key|bad signature): .*provider devices, `))
		answered(t, broker, harness.Paho5, login("password", "somebody's password")).Refused()
		broker.WaitLog(refused("password", `revoked: .*provider partners, `))
	})
}

// A provider that is down keeps nobody else out, at start and later.
func TestAProviderThatIsDownKeepsNoOtherOut(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		up, down := ownProvider(t), ownProvider(t)
		if err := down.SetDown(true); err != nil {
			t.Fatal(err)
		}
		strict := several(nil, named("up", up), named("down", down))
		code, log := harness.StartErr(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", strict)}})
		if code == 0 || !matches(log, `\$\.providers\[1\]\.options\.modes\.jwks\.uri: the identity provider can't be reached`) || matches(log, `providers\[0\].*can't be reached`) {
			t.Errorf("exit %d\n%s", code, log)
		}
		b := start(t, v, several(nil, named("up", up), named("down", down, object{"options.lazyConnect": true})))
		b.WaitLog(`\$\.providers\[1\]\.options\.modes\.jwks\.uri: the identity provider can't be reached: .*\$\.providers\[1\]\.options\.lazyConnect is true`)
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", up.Token("sensor-1", time.Hour))).Accepted()
		token := down.Token("sensor-1", time.Hour)
		got := knock(t, b, harness.V5, login("d", token))
		if got.Accepted() {
			t.Fatal("accepted without keys")
		}
		if err := down.SetDown(false); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(harness.Patience); !got.Accepted(); time.Sleep(50 * time.Millisecond) {
			if got = knock(t, b, harness.V5, login("d", token)); time.Now().After(deadline) {
				t.Fatal("its keys are not read again")
			}
		}
	})
}

// An endpoint that hangs holds up its own logins alone.
func TestAnEndpointThatHangsHoldsUpItsOwn(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		quick, slow := ownProvider(t), ownProvider(t)
		check := object{"options.revocation.check": "onRetry", "options.revocation.maxConcurrent": 1}
		b := start(t, v, several(nil, named("quick", quick, asks(quick), check), named("slow", slow, asks(slow), check)))
		defer slow.Hold(idp.Introspect)()
		for n := range 70 { // more than its queue takes
			knock(t, b, harness.V5, login("s", slow.Token(fmt.Sprint("s", n), time.Hour)))
		}
		answered(t, b, harness.Paho5, login("q", quick.Token("sensor-1", time.Hour))).Accepted()
	})
}

// A reload that adds, removes or changes one provider leaves the others alone: their sessions, keys and answers, and they are
// not reached again.
func TestReloadOfOneProvider(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		a, b, c := ownProvider(t), ownProvider(t), ownProvider(t)
		one := named("one", a, asks(a), cached())
		broker := start(t, v, several(nil, named("two", b, asks(b), cached()), one))
		token := a.Token("sensor-1", time.Hour)
		session := harness.Connect(t, broker.URL(0), harness.Paho5, login("stays", token)).Accepted()
		leaving := harness.Connect(t, broker.URL(0), harness.Paho5, login("leaves", b.Token("sensor-1", short))).Accepted()
		reached, asked, keys := a.Probes(idp.Introspect), a.Requests(idp.Introspect), a.Requests(idp.JWKS)

		// Another takes the place of the first, so that the second stands elsewhere in the file.
		for n, file := range []object{
			several(nil, named("two", b, asks(b)), one),                    // changed
			several(nil, named("two", b, asks(b)), named("three", c), one), // added
			several(nil, one),                          // removed
			several(nil, one, named("deux", b)),        // another name
			several(nil, named("deux", b), one),        // only the order
			several(object{"onNonToken": "deny"}, one), // broker-wide
		} {
			mark := broker.Mark()
			set(file, "options.common", nil)
			if n == 5 {
				set(file, "options.common", object{"onNonToken": "deny"})
				delete(file["options"].(object), "onNonToken")
			}
			broker.WriteFile("jwt.json", file)
			broker.Reload()
			broker.WaitLogSince(mark, `reloaded .*jwt.json`)
			if got := knock(t, broker, harness.V5, login(fmt.Sprint("again-", n), token)); !got.Accepted() {
				t.Errorf("reload %d: CONNECT was %v", n, got)
			}
		}
		if got := [...]int{a.Probes(idp.Introspect), a.Requests(idp.Introspect), a.Requests(idp.JWKS)}; got != [...]int{reached, asked, keys} {
			t.Errorf("probes, questions and requests for keys were %v, and are %v", [...]int{reached, asked, keys}, got)
		}
		if !session.Connected() {
			t.Error("a session was lost")
		}
		// A session of the one that is gone stays until its token expires.
		if left := leaving.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v, want 0x98", left)
		}
		harness.Connect(t, broker.URL(0), harness.Paho5, login("gone", b.Token("sensor-1", time.Hour))).Refused()
		broker.WaitLog(refused("gone", `wrong issuer: `))
	})
}

// What an endpoint has said of a token is not believed of another provider's, though the token be the same.
func TestAnAnswerIsItsProvidersAlone(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		a, b := ownProvider(t), ownProvider(t)
		file := func(first, second string) object {
			return several(nil, named(first, a, asks(a), cached()), named(second, b, asks(b), cached()))
		}
		broker := start(t, v, file("one", "two"))
		token := a.Token("sensor-1", time.Hour)
		if got := knock(t, broker, harness.V5, login("c", token)); !got.Accepted() {
			t.Fatalf("CONNECT was %v", got)
		}
		// The provider under the other's name is another: nothing that speaks for the token is remembered.
		mark := broker.Mark()
		broker.WriteFile("jwt.json", file("two", "one"))
		broker.Reload()
		broker.WaitLogSince(mark, `reloaded .*jwt.json`)
		asked := a.Requests(idp.Introspect)
		a.SetAnswer(idp.Introspect, &idp.Answer{Status: http.StatusOK, Body: `{"active":false}`})
		harness.Connect(t, broker.URL(0), harness.Paho5, login("d", token)).Refused()
		if got := a.Requests(idp.Introspect); got != asked+1 {
			t.Errorf("asked %d times after the renaming, want once", got-asked)
		}
	})
}

// Two listeners with a file each, whose providers have one name and no issuer: a token of the one takes over no session of the
// other, though it says that it is of the same issuer and subject.
func TestTwoListenersWithProvidersOfOneName(t *testing.T) {
	a, b := ownProvider(t), ownProvider(t)
	delaying(t, func(t *testing.T, v brokers.Version) {
		at := func(name string, p *idp.Provider) []harness.Plugin {
			one := named("one", p, object{"options.common": object{"matchUsernameToSubject": true, "matchClientIdToSubject": true}})
			return []harness.Plugin{harness.JWT(name, several(nil, one))}
		}
		broker := harness.Start(t, v, harness.Options{
			PerListenerSettings: true,
			Listeners:           []harness.Listener{{Plugins: at("a.json", a)}, {Plugins: at("b.json", b)}},
		})
		own := login("sent", a.Token("sensor-1", time.Hour))
		victim := harness.Connect(t, broker.URL(0), harness.Paho5, own).Accepted()
		forged := b.Token("sensor-1", time.Hour, idp.Issuer(a.Issuer()))
		harness.Connect(t, broker.URL(1), harness.Paho5, login("other", forged)).Refused()
		broker.WaitLog(`client "(other|sensor-1)" .*refused: client id taken`)
		unharmed(t, victim)
		harness.Connect(t, broker.URL(0), harness.Paho5, own).Accepted()
		victim.WaitDisconnect()
	})
}

// A hundred reloads while a provider that was added hangs: nobody leaves, the others' clients come in, and in the end the last file
// counts.
func TestAHundredReloadsWhileAProviderHangs(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		quick, slow := ownProvider(t), ownProvider(t)
		one := named("quick", quick)
		broker := start(t, v, several(nil, one))
		stays := harness.Connect(t, broker.URL(0), harness.Paho5, login("stays", quick.Token("sensor-1", time.Hour))).Accepted()
		defer slow.Hold(idp.JWKS)()
		for n := range 100 {
			broker.WriteFile("jwt.json", several(nil, one, named("slow", slow, object{"options.common.leewayMs": n, "options.modes.jwks.timeoutMs": 3_600_000})))
			broker.Reload()
			knock(t, broker, harness.V5, login("x", "a password")) // Mosquitto loses a SIGHUP that comes upon another
		}
		answered(t, broker, harness.Paho5, login("comes", quick.Token("sensor-1", time.Hour))).Accepted()
		mark := broker.Mark()
		broker.WriteFile("jwt.json", several(object{"common.onNonToken": "deny"}, one))
		broker.Reload()
		broker.WaitLogSince(mark, `reloaded .*jwt.json`)
		unharmed(t, stays)
	})
}
