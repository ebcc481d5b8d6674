package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

const oauth2 = "OAUTH2-JWT"

// renewed renews by $CONTROL, and fails the test unless that succeeds.
func renewed(t *testing.T, c *harness.Client, token string) {
	t.Helper()
	c.Publish(controlTopic, command(t, token), 1)
	m := c.WaitMessage(controlResponse)
	got := answers(t, m.Payload)
	if len(got) != 1 || got[0].Error != "" || got[0].Data.Expires != expiryOf(t, token).Unix() || got[0].Command != "renewToken" ||
		got[0].CorrelationData != "0" || m.QoS != 1 || m.Retain {
		t.Fatalf("renewed: %+v", m)
	}
}

// notRenewed tries to renew by $CONTROL, and returns the error that it is answered with.
func notRenewed(t *testing.T, c *harness.Client, token string) string {
	t.Helper()
	got := renew(t, c, token)
	if len(got) != 1 || got[0].Error == "" || got[0].Data.Expires != 0 {
		t.Errorf("renewed: %+v", got)
	}
	return got[0].Error
}

// reauthenticate renews by AUTH, and fails the test unless that succeeds.
func reauthenticate(t *testing.T, c *harness.Client, token string) {
	t.Helper()
	if got := c.Reauthenticate(token); !got.Accepted() {
		t.Fatalf("re-authentication: %v", got)
	}
}

// Clients renew their tokens ten times, and so stay connected across ten expiries, with QoS 1 messages both ways of which none is lost,
// doubled or out of order. All versions and kinds of client go by one clock, since most of the time is waited.
func TestTenRenewalsAcrossTenExpiries(t *testing.T) {
	t.Parallel()
	// A token lives for two steps, and is renewed after one. More renewals by $CONTROL than one a step are not allowed.
	const renewals, step = 10, 7 * time.Second
	p := provider(t)
	type renewer struct {
		name         string
		client, peer *harness.Client
		renew        func(t *testing.T, c *harness.Client, token string)
	}
	var all []renewer
	for _, v := range brokers.All() {
		if v.Missing() {
			continue // other cases say so
		}
		b := plainly(t, v, config(t, p))
		peer := harness.Connect(t, b.URL(0), harness.Paho5, login("peer", p.Token("peer", time.Hour))).Accepted()
		peer.Subscribe("to-peer/#", 1)
		for _, c := range []struct {
			name     string
			kind     harness.Kind
			listener int
			login    func(id, token string) harness.Login
			renew    func(t *testing.T, c *harness.Client, token string)
		}{
			{"auth", harness.Paho5, 0, byToken, reauthenticate},
			{"auth-websocket", harness.Paho5, 1, byToken, reauthenticate},
			{"control-after-auth", harness.Paho5, 0, byToken, renewed},
			{"control-3.1.1", harness.Paho3, 0, login, renewed},
			{"control-5", harness.Paho5, 0, login, renewed},
			{"control-mqttjs-3.1.1", harness.MQTTJS3, 1, login, renewed},
			{"control-mqttjs-5", harness.MQTTJS5, 1, login, renewed},
		} {
			name := v.Name + "-" + c.name
			client := answeredAt(t, b.URL(c.listener), c.kind, c.login(name, p.Token("sensor-1", time.Hour))).Accepted()
			client.Subscribe("to/"+name, 1)
			all = append(all, renewer{name, client, peer, c.renew})
		}
	}
	expires := time.Now().Truncate(time.Second).Add(2 * step)
	for n := range renewals + 1 {
		for _, r := range all {
			r.renew(t, r.client, p.Token("sensor-1", 0, idp.ExpiresAt(expires), idp.Claim("jti", fmt.Sprint(r.name, n))))
			r.client.Publish("to-peer/"+r.name, fmt.Sprint(n), 1)
			r.peer.Publish("to/"+r.name, fmt.Sprint(n), 1)
		}
		if n < renewals {
			time.Sleep(time.Until(expires.Add(-step))) // it is the time that this is about
			expires = expires.Add(step)
		}
		for _, r := range all {
			if !r.client.Connected() {
				t.Fatalf("%s was disconnected after %d renewals", r.name, n)
			}
		}
	}
	var want []string
	for n := range renewals + 1 {
		want = append(want, fmt.Sprint(n))
	}
	for _, r := range all {
		if left := r.client.WaitDisconnect(); left.At.Before(expires) {
			t.Errorf("%s left %s before the last token's end", r.name, expires.Sub(left.At))
		}
		for who, topic := range map[*harness.Client]string{r.client: "to/" + r.name, r.peer: "to-peer/" + r.name} {
			var got []string
			for _, m := range who.Messages() {
				if m.Topic == topic {
					got = append(got, m.Payload)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q", topic, got)
			}
		}
	}
}

// noRevocation is a change of the tutorial's file: nobody is asked about tokens.
func noRevocation() object { return object{"options.revocation": nil} }

// send publishes a message to the topic, and returns the answers.
func send(t *testing.T, c *harness.Client, payload string) []reply {
	t.Helper()
	c.Publish(controlTopic, payload, 1)
	return answers(t, c.WaitMessage(controlResponse).Payload)
}

// renewalLog matches a line of the log about a client.
func renewalLog(id, what string) string {
	return fmt.Sprintf(`go_jwt_auth: client %s (\[127\.0\.0\.1\] )?%s`, regexp.QuoteMeta(fmt.Sprintf("%q", id)), what)
}

// Who logs in by AUTH is judged as by password, and at once; a method that is not the plugin's is left to others.
func TestLoginsByAUTH(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p, noRevocation()))
		for _, c := range []struct {
			rule, method, data string
			code               byte
			log                string
		}{
			{"good", oauth2, p.Token("sensor-1", time.Hour), 0, `accepted as "sensor-1"`},
			{"another of the methods", "CUSTOM-JWT", p.Token("sensor-1", time.Hour), 0, `accepted as "sensor-1"`},
			{"Kubernetes' method", "K8S-SAT", p.Token("sensor-1", time.Hour), 0, `accepted as "sensor-1"`},
			{"expired", oauth2, p.Token("sensor-1", -time.Hour), 0x87, `refused: expired`},
			{"foreign key", oauth2, p.Token("sensor-1", time.Hour, idp.ForeignKey()), 0x87, `refused: bad signature`},
			{"no token", oauth2, "operator's password", 0x87, `refused: not a token`},
			{"nothing", oauth2, "", 0x87, `refused: not a token`},
			{"NUL behind a token", oauth2, p.Token("sensor-1", time.Hour) + "\x00", 0x87, `refused: `},
			{"too long", oauth2, strings.Repeat("x", 65535), 0x87, `refused: too long`},
			{"an unsafe name", oauth2, p.Token("#", time.Hour), 0x87, `refused: unsafe identity`},
			{"unknown method", "OAUTH2-JWT ", p.Token("sensor-1", time.Hour), 0x8c, ``},
			{"other case", "oauth2-jwt", p.Token("sensor-1", time.Hour), 0x8c, ``},
		} {
			for i := range 2 {
				id := strings.ReplaceAll(c.rule, " ", "-") + fmt.Sprint(i)
				l := byToken(id, c.data)
				l.Auth.Method = c.method
				got, err := harness.Knock(b.URL(i), harness.V5, l)
				if err != nil || got.Closed || got.Code != c.code {
					t.Errorf("%s: %v %v", c.rule, got, err)
				}
				if c.log != "" {
					b.WaitLog(renewalLog(id, c.log))
				}
			}
		}
	})
}

// A CONNECT by AUTH can't wait: it is refused if the revocation endpoint is to be asked first, and let in at the next attempt, unless
// the file has that done afterwards. Nobody is let in by it who would not be by password.
func TestALoginByAUTHIsPutOffWhereTheProviderIsToBeAsked(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, check := range []string{"beforeConnect", "onRetry", "afterConnect", "introspection"} {
			t.Run(check, func(t *testing.T) {
				p := ownProvider(t)
				changes, token := object{"options.revocation.check": check}, p.Token
				if check == "introspection" {
					changes, token = object{"mode": "introspection", "algorithm": nil, "options.modes": nil}, p.Opaque
				}
				b := plainly(t, v, config(t, p, changes))
				good, bad := token("sensor-1", time.Hour), token("sensor-2", time.Hour)
				if err := p.Revoke(bad); err != nil {
					t.Fatal(err)
				}
				if check == "afterConnect" {
					release := p.Hold(idp.Introspect)
					c := harness.Connect(t, b.URL(0), harness.Paho5, byToken("good", good)).Accepted()
					d := harness.Connect(t, b.URL(0), harness.Paho5, byToken("bad", bad)).Accepted()
					release()
					if got := d.WaitDisconnect(); got.Code != 0x98 {
						t.Error(got)
					}
					c.Subscribe("sensors/1/a", 1)
					if !c.Connected() {
						t.Error("disconnected")
					}
					return
				}
				release := p.Hold(idp.Introspect)
				for _, data := range []string{good, bad} {
					if got := knock(t, b, harness.V5, byToken("c", data)); !got.Closed {
						t.Errorf("the first attempt: %v", got)
					}
				}
				release()
				answeredAt(t, b.URL(0), harness.Paho5, byToken("good", good)).Accepted()
				answeredAt(t, b.URL(0), harness.Paho5, byToken("bad", bad)).Refused()
				b.WaitLog(refused("bad", "revoked"))
			})
		}
	})
}

// What a renewal by $CONTROL may not be: each is answered with the reason that the log has, and changes nothing.
func TestARefusedRenewalChangesNothing(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := plainly(t, v, config(t, p))
		revoked := revoked(t, p, "sensor-1")
		for i, c := range []struct{ rule, token, reason string }{
			{"another subject", p.Token("sensor-2", time.Hour), "identity mismatch: "},
			{"expired", p.Token("sensor-1", -time.Hour), "expired: "},
			{"forged", p.Token("sensor-1", time.Hour, idp.ForeignKey()), "bad signature"},
			{"unsigned", p.Token("sensor-1", time.Hour, idp.Unsigned()), "wrong algorithm"},
			{"no token", "x", "not a token"},
			{"nothing", "", "not a token"},
			{"too long", strings.Repeat("x", 20000), "too long: "},
			{"revoked", revoked, "revoked"},
		} {
			id := fmt.Sprint("c", i)
			token := p.Token("sensor-1", 4*time.Second)
			client := harness.Connect(t, b.URL(0), harness.Paho5, login(id, token)).Accepted()
			if got := notRenewed(t, client, c.token); !strings.HasPrefix(got, c.reason) {
				t.Errorf("%s: %s", c.rule, got)
			}
			b.WaitLog(renewalLog(id, "not renewed: "+c.reason))
			client.Publish("t", "", 1)
			if !client.Connected() {
				t.Errorf("%s: disconnected", c.rule)
			}
			defer func() { //nolint:gocritic // all wait for the end together
				if left := client.WaitDisconnect(); left.At.Before(expiryOf(t, token)) || left.At.After(expiryOf(t, token).Add(3*time.Second)) {
					t.Errorf("%s: left %s after its own token's end", c.rule, left.At.Sub(expiryOf(t, token)))
				}
			}()
		}
	})
}

// A refused re-authentication ends the connection as the broker does it, with the will, and nothing of the session stays.
func TestARefusedReauthenticationEndsTheSession(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := plainly(t, v, config(t, p, noRevocation()))
		observer := observe(t, b, p)
		for i, bad := range []string{p.Token("sensor-2", time.Hour), p.Token("sensor-1", -time.Hour), "x", ""} {
			for listener := range 2 {
				for _, expiry := range []uint32{0, never} {
					l := byToken(fmt.Sprint("c", i, listener, expiry), p.Token("sensor-1", time.Hour))
					l.SessionExpiry, l.Resume = expiry, true
					l.Will = &harness.Will{Topic: "sensors/1/will/" + l.ClientID}
					c := harness.Connect(t, b.URL(listener), harness.Paho5, l).Accepted()
					reauthenticate(t, c, p.Token("sensor-1", time.Hour))
					got := c.Reauthenticate(bad)
					if got.Code != 0x87 && !(answersTwice(v) && got.Closed) {
						t.Errorf("%q: %v", bad, got)
					}
					b.WaitLog(renewalLog(l.ClientID, "not renewed: "))
					observer.WaitMessage(l.Will.Topic)
					back := harness.Connect(t, b.URL(listener), harness.Paho5, l).Accepted()
					if back.Connack().SessionPresent != (expiry == never) {
						t.Errorf("session present: %t", back.Connack().SessionPresent)
					}
				}
			}
		}
		// Those who are connected are the last ones, each once: the round after SIGHUP meets nobody else, and nobody is refused.
		mark := b.Mark()
		b.Reload()
		b.WaitLogSince(mark, `reloaded .*jwt\.json`)
		if log := b.LogSince(mark); matches(log, `go_jwt_auth: client .* (refused|disconnected|left)`) {
			t.Errorf("after SIGHUP:\n%s", log)
		}
	})
}

// Where the provider is asked about tokens, a renewal by $CONTROL is answered once it has said yes, and one by AUTH counts then; until
// then the old time stands, and nobody else waits.
func TestTheProviderDecidesARenewal(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := plainly(t, v, config(t, p, object{"options.revocation.timeoutMs": 60_000}))
		bystander := harness.Connect(t, b.URL(0), harness.Paho5, login("bystander", p.Token("sensor-2", time.Hour))).Accepted()
		bystander.Subscribe("sensors/2/a", 1)
		connect := func(id, token string) *harness.Client {
			return answeredAt(t, b.URL(0), harness.Paho5, byToken(id, token)).Accepted()
		}
		long, soon := p.Token("sensor-1", time.Hour), p.Token("sensor-1", 6*time.Second)
		control, auth := connect("control", long), connect("auth", long)
		controlBad, authBad := connect("control-bad", long), connect("auth-bad", long)
		controlLate, authLate := connect("control-late", soon), connect("auth-late", soon)
		revoked := revoked(t, p, "sensor-1")
		release := p.Hold(idp.Introspect)
		fresh := p.Token("sensor-1", 2*time.Hour)
		for c, token := range map[*harness.Client]string{control: fresh, controlBad: revoked, controlLate: fresh} {
			c.Publish(controlTopic, command(t, token), 1)
		}
		for c, token := range map[*harness.Client]string{auth: fresh, authBad: revoked, authLate: fresh} {
			reauthenticate(t, c, token)
		}
		// Whose old token ends meanwhile leaves.
		for _, c := range []*harness.Client{controlLate, authLate} {
			if left := c.WaitDisconnect(); left.Code != 0x98 || left.At.Before(expiryOf(t, soon)) {
				t.Errorf("%v", left)
			}
			if got := len(c.Messages()); got != 0 {
				t.Errorf("%d messages", got)
			}
		}
		bystander.Publish("sensors/2/a", "", 1)
		bystander.WaitMessage("sensors/2/a")
		for _, c := range []*harness.Client{control, controlBad, auth, authBad} {
			if !c.Connected() || len(c.Messages()) != 0 {
				t.Errorf("%v", c.Messages())
			}
		}
		release()
		if got := answers(t, control.WaitMessage(controlResponse).Payload); got[0].Data.Expires != expiryOf(t, fresh).Unix() {
			t.Errorf("%+v", got)
		}
		if got := answers(t, controlBad.WaitMessage(controlResponse).Payload); !strings.HasPrefix(got[0].Error, "revoked") {
			t.Errorf("%+v", got)
		}
		if left := authBad.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v", left)
		}
		b.WaitLog(renewalLog("auth-bad", "disconnected: revoked"))
		b.WaitLog(renewalLog("auth", "renewed, and may stay until "))
		controlBad.Publish("t", "", 1)
		if !controlBad.Connected() {
			t.Error("a refused renewal by $CONTROL disconnected its client")
		}
	})
}

// SIGHUP after a renewal, after an enhanced authentication with and without a password beside it, and with renewals pending: who is
// connected stays, nobody is asked about, and the time that counts is the last token's.
func TestSIGHUPAndRenewals(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := plainly(t, v, config(t, p))
		old := func() string { return p.Token("sensor-1", 15*time.Second) }
		fresh := p.Token("sensor-1", time.Hour)
		byPassword := harness.Connect(t, b.URL(0), harness.Paho3, login("password", old())).Accepted()
		auth := answeredAt(t, b.URL(0), harness.Paho5, byToken("auth", old())).Accepted()
		both := byToken("both", old())
		both.Password = new("a password that nobody looks at")
		beside := answeredAt(t, b.URL(0), harness.Paho5, both).Accepted()
		unrenewed := answeredAt(t, b.URL(0), harness.Paho5, byToken("unrenewed", old())).Accepted()
		pending := answeredAt(t, b.URL(0), harness.Paho5, byToken("pending", old())).Accepted()
		renewed(t, byPassword, fresh)
		reauthenticate(t, auth, fresh)
		reauthenticate(t, beside, fresh)
		for _, id := range []string{"password", "auth", "both"} {
			b.WaitLog(renewalLog(id, "renewed"))
		}
		release := p.Hold(idp.Introspect)
		before := p.Requests(idp.Introspect)
		reauthenticate(t, pending, p.Token("sensor-1", time.Hour))
		b.WaitLog(renewalLog("pending", "waits for the verdict on its renewal"))
		asked := before + 1
		for deadline := time.Now().Add(harness.Patience); p.Requests(idp.Introspect) != asked; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nobody was asked about the renewal")
			}
		}
		mark := b.Mark()
		b.Reload()
		// All stay, though nobody answers.
		for _, c := range []*harness.Client{byPassword, auth, beside, unrenewed, pending} {
			c.Publish("sensors/1/a", "", 1)
			if !c.Connected() {
				t.Error("disconnected by SIGHUP")
			}
		}
		if got := p.Requests(idp.Introspect); got != asked {
			t.Errorf("%d requests", got-asked)
		}
		release()
		b.WaitLogSince(mark, `reloaded .*jwt\.json`)
		b.WaitLogSince(mark, renewalLog("pending", "renewed"))
		if left := unrenewed.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v", left)
		}
		for _, c := range []*harness.Client{byPassword, auth, beside, pending} {
			c.Publish("sensors/1/a", "", 1)
			if !c.Connected() {
				t.Error("disconnected when the first token ended")
			}
		}
		b.Reload()
		for _, c := range []*harness.Client{byPassword, auth, beside, pending} {
			c.Publish("sensors/1/a", "", 1)
			if !c.Connected() {
				t.Error("disconnected by SIGHUP after the first token's end")
			}
		}
	})
}

// What dynamic-security or an ACL file must grant for a renewal: one right, to publish. The answer needs none.
func TestTheRightToRenew(t *testing.T) {
	p := provider(t)
	send := harness.ACL{Type: "publishClientSend", Topic: controlTopic, Allow: true}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		plugin := harness.JWT("jwt.json", config(t, p))
		withDynsec := func(acls ...harness.ACL) harness.Options {
			return harness.Options{Plugins: []harness.Plugin{plugin, harness.Dynsec{
				Roles:   map[string][]harness.ACL{"r": acls},
				Clients: []harness.DynsecClient{{Username: "sensor-1", Roles: []string{"r"}}},
			}.Plugin()}}
		}
		file := func(text string) harness.Options {
			return harness.Options{Plugins: []harness.Plugin{plugin}, Extra: "acl_file {dir}/acl", Files: map[string]string{"acl": text}}
		}
		for _, c := range []struct {
			rule string
			o    harness.Options
			may  bool
		}{
			{"nobody judges", harness.Options{Plugins: []harness.Plugin{plugin}}, true},
			{"dynsec without", withDynsec(), false},
			{"dynsec with", withDynsec(send, harness.ACL{Type: "publishClientReceive", Topic: "$CONTROL/#", Allow: false}), true},
			{"ACL file without", file("pattern readwrite #\n"), false},
			{"ACL file with", file("pattern write " + controlTopic + "\n"), true},
		} {
			b := harness.Start(t, v, c.o)
			client := harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()
			if c.may {
				renewed(t, client, p.Token("sensor-1", 2*time.Hour))
				continue
			}
			if code := client.Publish(controlTopic, command(t, p.Token("sensor-1", 2*time.Hour)), 1); code != 0x87 {
				t.Errorf("%s: PUBACK 0x%02x", c.rule, code)
			}
			if matches(b.Log(), `renewed`) {
				t.Errorf("%s: renewed", c.rule)
			}
			// AUTH needs no right.
			auth := answeredAt(t, b.URL(0), harness.Paho5, byToken("d", p.Token("sensor-1", time.Hour))).Accepted()
			reauthenticate(t, auth, p.Token("sensor-1", 2*time.Hour))
			b.WaitLog(renewalLog("d", "renewed"))
		}
	})
}

// Of two instances the one that let a client in renews its token, whichever of them has the topic.
func TestARenewalIsTheInstancesThatLetTheClientIn(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		one, two := ownProvider(t), ownProvider(t)
		b := harness.Start(t, v, harness.Options{PerListenerSettings: true, Listeners: []harness.Listener{
			{Plugins: []harness.Plugin{harness.JWT("one.json", config(t, one, noRevocation()))}},
			{Plugins: []harness.Plugin{harness.JWT("two.json", config(t, two, noRevocation()))}},
		}})
		for i, p := range []*idp.Provider{one, two} {
			other := []*idp.Provider{two, one}[i]
			c := harness.Connect(t, b.URL(i), harness.Paho5, login(fmt.Sprint("c", i), p.Token("sensor-1", time.Hour))).Accepted()
			renewed(t, c, p.Token("sensor-1", 2*time.Hour))
			if v.Name != "2.0.11" { // without ticks it takes its time until the other's key is known to be none
				notRenewed(t, c, other.Token("sensor-1", 2*time.Hour))
			}
		}
		if v.Name == "2.0.11" {
			return // without ticks a reload takes its time
		}
		// The first instance does not want it any more: the second one's clients are served all the same.
		file := config(t, one, noRevocation(), object{"options.control.renew": false})
		mark := b.Mark()
		b.WriteFile("one.json", file)
		b.Reload()
		b.WaitLogSince(mark, `reloaded .*one\.json`)
		c := harness.Connect(t, b.URL(1), harness.Paho5, login("d", two.Token("sensor-1", time.Hour))).Accepted()
		renewed(t, c, two.Token("sensor-1", 2*time.Hour))
	})
}

// Whoever did not log in by a token has nothing to renew, and nobody renews another's. What can't be read, or is too much, is an error.
func TestWhatIsNotARenewal(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Plugins:        []harness.Plugin{harness.JWT("jwt.json", config(t, p, noRevocation()))},
			Passwords:      map[string]string{"operator": "operator's password"},
			AllowAnonymous: true,
		})
		good := p.Token("sensor-1", time.Hour)
		victim := harness.Connect(t, b.URL(0), harness.Paho5, login("victim", p.Token("sensor-1", 5*time.Second))).Accepted()
		for _, l := range []harness.Login{
			{ClientID: "operator", Username: new("operator"), Password: new("operator's password")},
			{ClientID: "nobody"},
		} {
			c := harness.Connect(t, b.URL(0), harness.Paho5, l).Accepted()
			if got := notRenewed(t, c, good); got != "not logged in by a token" {
				t.Errorf("%s: %s", l.ClientID, got)
			}
		}
		other := harness.Connect(t, b.URL(0), harness.Paho5, login("other", p.Token("sensor-1", time.Hour))).Accepted()
		for _, members := range []string{`,"clientid":"victim"`, `,"clientId":"victim"`, `,"responseTopic":"t"`} {
			got := send(t, other, `{"commands":[{"command":"renewToken","token":"`+good+`"`+members+`}]}`)
			if got[0].Error == "" {
				t.Errorf("%s: %+v", members, got)
			}
		}
		if left := victim.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("%v", left)
		}

		reader := harness.Connect(t, b.URL(0), harness.Paho5, login("reader", good)).Accepted()
		for _, c := range []struct{ payload, want string }{
			{"", "malformed request"},
			{"nonsense", "malformed request"},
			{`{"commands":{}}`, "malformed request"},
			{strings.Repeat(" ", 65537), "malformed request"},
			{strings.Repeat(" ", 1<<20), "malformed request"},
			{`{"commands":[{"command":"dropTable"}]}`, "unknown command"},
			{"\x00", "malformed request"},
		} {
			if got := send(t, reader, c.payload); len(got) != 1 || !strings.HasPrefix(got[0].Error, c.want) {
				t.Errorf("%.40q: %+v", c.payload, got)
			}
		}
		several := harness.Connect(t, b.URL(0), harness.Paho5, login("several", good)).Accepted()
		got := send(t, several, `{"commands":[{"command":"renewToken","token":"x","correlationData":"1"},{"command":"no","correlationData":"2"},`+
			`{"command":"renewToken","token":"`+good+`","correlationData":"3"}]}`)
		if len(got) != 3 || got[0].CorrelationData != "1" || got[0].Error == "" || got[1].CorrelationData != "2" || got[1].Error == "" ||
			got[2].CorrelationData != "3" || got[2].Error != "" {
			t.Errorf("%+v", got)
		}
		// Three are left of five in a row.
		for range 3 {
			renewed(t, several, good)
		}
		if got := notRenewed(t, several, good); !strings.HasPrefix(got, "server busy: ") {
			t.Errorf("the sixth: %s", got)
		}
		for _, c := range []*harness.Client{reader, several, other} {
			if !c.Connected() {
				t.Error("disconnected")
			}
			for _, m := range c.Messages() {
				if m.Topic != controlResponse {
					t.Errorf("%v", m)
				}
			}
		}
		if matches(b.Log(), good[:40]) {
			t.Error("a token is in the log")
		}
	})
}

// A renewal whose client has gone, or been taken over from, before its verdict is there harms nobody who comes after it.
func TestARenewalEndsWithItsSession(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := plainly(t, v, config(t, p))
		old := p.Token("sensor-1", time.Hour)
		for _, how := range []string{"drop", "takeover"} {
			for _, by := range []string{"AUTH", "$CONTROL"} {
				for name, token := range map[string]string{"revoked": revoked(t, p, "sensor-1"), "good": p.Token("sensor-1", 2*time.Hour)} {
					id := how + by + name
					l := byToken(id, old)
					l.SessionExpiry, l.Resume = never, true
					c := answeredAt(t, b.URL(0), harness.Paho5, l).Accepted()
					release := p.Hold(idp.Introspect)
					if by == "AUTH" {
						reauthenticate(t, c, token)
					} else {
						c.Publish(controlTopic, command(t, token), 1)
					}
					b.WaitLog(renewalLog(id, "waits for the verdict on its renewal"))
					mark := b.Mark()
					if how == "drop" {
						c.Drop()
						b.WaitLogSince(mark, `Client `+regexp.QuoteMeta(id)+`.* (disconnected|closed)`)
					}
					if how == "takeover" { // by the answer that is remembered of the same token's login, or by a new one
						harness.Connect(t, b.URL(0), harness.Paho5, l)
					}
					release()
					next := answeredAt(t, b.URL(0), harness.Paho5, l).Accepted()
					next.Publish("sensors/1/a", "", 1)
					if !next.Connected() || len(next.Messages()) != 0 {
						t.Errorf("%s by %s: %v", how, by, next.Messages())
					}
				}
			}
		}
	})
}

// maxSessionMs ends a connection whatever was renewed, and one that was not.
func TestTheLongestSession(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := plainly(t, v, config(t, p, noRevocation(), object{"options.common.maxSessionMs": 4000}))
		began := time.Now()
		plain := harness.Connect(t, b.URL(0), harness.Paho3, login("plain", p.Token("sensor-1", time.Hour))).Accepted()
		auth := harness.Connect(t, b.URL(0), harness.Paho5, byToken("auth", p.Token("sensor-1", time.Hour))).Accepted()
		control := harness.Connect(t, b.URL(0), harness.Paho5, login("control", p.Token("sensor-1", time.Hour))).Accepted()
		reauthenticate(t, auth, p.Token("sensor-1", 2*time.Hour))
		got := renew(t, control, p.Token("sensor-1", 2*time.Hour))
		if got[0].Error != "" || got[0].Data.Expires > began.Add(6*time.Second).Unix() {
			t.Errorf("%+v", got)
		}
		for _, c := range []*harness.Client{plain, auth, control} {
			if left := c.WaitDisconnect().At.Sub(began); left < 4*time.Second || left > 10*time.Second {
				t.Errorf("left after %s", left)
			}
		}
	})
}
