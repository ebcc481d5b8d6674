package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// A reload in the middle of an outage does not make it worse: with lazyConnect the file takes effect, and the keys that
// were read before go on serving.
func TestReloadInAnOutageKeepsTheKeys(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		b := start(t, v, config(t, p, object{
			"options.lazyConnect": true, "options.revocation": nil, "options.modes.jwks.cache.ttlMs": 600_000,
		}))
		b.WaitLog(`1 key from http`)
		known := p.Token("sensor-1", time.Hour)
		if got := knock(t, b, harness.V5, login("c", known)); !got.Accepted() {
			t.Fatalf("before the outage: CONNECT was %v", got)
		}
		if err := p.SetDown(true); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			mark := b.Mark()
			b.Reload()
			b.WaitLogSince(mark, `reloaded .*jwt.json`)
			b.WaitLogSince(mark, `can't be reached: .*lazyConnect is true`)
			for range 3 {
				if got := knock(t, b, harness.V5, login("c", known)); !got.Accepted() {
					t.Fatalf("after the reload: CONNECT was %v", got)
				}
			}
		}
		// The set is read again all the same, as soon as it can be.
		if _, err := p.Rotate(); err != nil {
			t.Fatal(err)
		}
		p.DropOldKeys()
		if err := p.SetDown(false); err != nil {
			t.Fatal(err)
		}
		fresh := p.Token("sensor-1", time.Hour)
		for deadline := time.Now().Add(harness.Patience); !knock(t, b, harness.V5, login("d", fresh)).Accepted(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the new key is not found")
			}
		}
		answered(t, b, harness.Paho5, login("e", known)).Refused()
	})
}

// A reload takes over what is known to be bad, and forgets what is known to be good: it is the way to flush the cache.
func TestReloadForgetsGoodAnswersAlone(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p, object{"options.revocation.cache": object{"ttlMs": 600_000, "negativeTtlMs": 300_000}}))
		good, bad := p.Token("sensor-1", time.Hour), revoked(t, p, "sensor-1")
		if got := knock(t, b, harness.V5, login("good", good)); !got.Accepted() {
			t.Fatalf("CONNECT was %v", got)
		}
		if got := knock(t, b, harness.V5, login("bad", bad)); got.Accepted() {
			t.Fatalf("CONNECT was %v", got)
		}
		if err := p.Revoke(good); err != nil {
			t.Fatal(err)
		}
		if got := knock(t, b, harness.V5, login("good", good)); !got.Accepted() {
			t.Fatalf("the answer was not kept: CONNECT was %v", got)
		}
		b.Reload()
		b.WaitLog(`reloaded .*jwt.json`)
		for _, l := range []harness.Login{login("good", good), login("bad", bad)} {
			if got := knock(t, b, harness.V5, l); got.Accepted() {
				t.Errorf("%s: CONNECT was %v", l.ClientID, got)
			}
		}
		if got := g.questions(bad); got != 1 {
			t.Errorf("%d questions about a token that is known to be bad, want one", got)
		}
	})
}

// A reload does not have an endpoint tried anew that is known to fail.
func TestReloadKeepsAFailedEndpointAlone(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		g := newGate(t, p)
		b := start(t, v, g.file(t, p, object{"options.lazyConnect": true}))
		b.WaitLog(`1 key from http`)
		l := login("c", p.Token("sensor-1", time.Hour))
		p.SetAnswer(idp.Introspect, &idp.Answer{Status: http.StatusInternalServerError})
		for range 5 {
			if got := knock(t, b, harness.V5, l); got.Accepted() {
				t.Errorf("CONNECT was %v", got)
			}
		}
		b.WaitLog(`introspection endpoint: 5 requests in a row brought no usable answer`)
		began, before := time.Now(), g.questions(*l.Password)
		const logins = 40
		for n := range logins {
			if n%10 == 5 {
				mark := b.Mark()
				b.Reload()
				b.WaitLogSince(mark, `reloaded .*jwt.json`)
			}
			if got := knock(t, b, harness.V5, l); got.Accepted() {
				t.Errorf("CONNECT was %v", got)
			}
		}
		// One trial in two seconds, as without a reload.
		most := 1 + int(time.Since(began)/(2*time.Second))
		if got := g.questions(*l.Password) - before; got > most {
			t.Errorf("%d questions in %d logins within %s, want %d at most", got, logins, time.Since(began), most)
		}
	})
}

// After a reload to another provider, connected clients stay, and the new endpoint never sees their tokens, which are
// nothing to it.
func TestReloadToAnotherProviderDoesNotRecheckThere(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p, other := ownProvider(t), ownProvider(t)
		before, after := newGate(t, p), newGate(t, other)
		recheck := object{"options.revocation.recheckIntervalMs": 1000, "options.common.requireExpiration": false}
		b := start(t, v, before.file(t, p, recheck))
		p.SetAnswer(idp.Introspect, &idp.Answer{Body: `{"active": true}`}) // one without exp is inactive to it
		tokens := map[string]string{
			"old":    p.Token("sensor-1", time.Hour),
			"ending": p.Token("sensor-1", 20*time.Second),
			"free":   p.Token("sensor-1", time.Hour, idp.Without("exp")),
		}
		clients := map[string]*harness.Client{}
		for id, token := range tokens {
			clients[id] = harness.Connect(t, b.URL(0), harness.Paho5, login(id, token)).Accepted()
		}
		b.WriteFile("jwt.json", after.file(t, other, recheck))
		b.Reload()
		b.WaitLog(`reloaded .*jwt.json`)
		// One that can't be asked about any more and has no end is disconnected.
		if left := clients["free"].WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("without exp: %v, want 0x98", left)
		}
		// When the new one has been asked about six times, the old ones' turn has come five times.
		fresh := other.Token("sensor-1", time.Hour)
		harness.Connect(t, b.URL(0), harness.Paho5, login("new", fresh)).Accepted()
		for deadline := time.Now().Add(harness.Patience); after.questions(fresh) < 6; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d questions about the new client", after.questions(fresh))
			}
		}
		unharmed(t, clients["old"])
		if left := clients["ending"].WaitDisconnect(); left.Code != 0x98 || left.At.Before(expiryOf(t, tokens["ending"])) {
			t.Errorf("%v, want 0x98 at its token's end", left)
		}
		b.WaitLog(`client "ending" disconnected: expired`)
		for id, token := range tokens {
			if got := after.questions(token); got != 0 {
				t.Errorf("the new endpoint was shown the token of client %q %d times", id, got)
			}
		}
	})
}

// What has to happen in an hour's or a second's time happens, though the machine's clock is set back by an hour: libfaketime
// sets that of the broker's C code, which Go does not read.
func TestAClockThatIsSetBackHoldsUpNothing(t *testing.T) {
	if brokers.OnMusl() {
		t.Skip("NOT TESTED on musl: libfaketime is made for the other C library")
	}
	library, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil || len(library) != 1 {
		t.Fatalf("libfaketime is not installed, `make set-up` does that (%v, %v)", library, err)
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		p := ownProvider(t)
		clock := filepath.Join(t.TempDir(), "clock")
		set := func(offset string) {
			if err := os.WriteFile(clock+".new", []byte(offset+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(clock+".new", clock); err != nil {
				t.Fatal(err)
			}
		}
		set("+0")
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{
				"options.revocation.recheckIntervalMs": 1000, "options.modes.jwks.cache.ttlMs": 600_000,
			})), sensors()},
			Env: []string{
				"LD_PRELOAD=" + library[0], "FAKETIME_TIMESTAMP_FILE=" + clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
			},
			Extra: "log_timestamp true\nlog_timestamp_format at %Y-%m-%dT%H:%M:%S",
		})
		revokedLater, expiring := p.Token("sensor-1", time.Hour), p.Token("sensor-1", 8*time.Second)
		goes := harness.Connect(t, b.URL(0), harness.Paho5, login("goes", revokedLater)).Accepted()
		ends := harness.Connect(t, b.URL(0), harness.Paho5, login("ends", expiring)).Accepted()
		set("-1h")
		asked := p.Requests(idp.Introspect)
		if err := p.Revoke(revokedLater); err != nil {
			t.Fatal(err)
		}
		if left := goes.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("the revoked one: %v, want 0x98", left)
		}
		if left := ends.WaitDisconnect(); left.Code != 0x98 {
			t.Errorf("the expired one: %v, want 0x98", left)
		}
		if got := p.Requests(idp.Introspect); got == asked {
			t.Error("nobody was asked about")
		}
		// The clock of the broker's C code was set back indeed.
		then := time.Now().Add(-30 * time.Minute).Format("2006-01-02T15")
		if hour := time.Now().Add(-time.Hour).Format("2006-01-02T15"); !matches(b.Log(), "at ("+hour+"|"+then+")") {
			t.Error("libfaketime has had no effect")
		}
	})
}
