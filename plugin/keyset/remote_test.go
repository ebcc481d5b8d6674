package keyset_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
)

func TestCache(t *testing.T) {
	key := testkeys.New("ES256", "k")
	cases := []struct {
		rule    string
		enabled bool
		ttl     time.Duration
		headers bool // respectCacheHeaders
		header  []string
		// fresh is how long the set serves without another request; 0: not at all.
		fresh time.Duration
	}{
		{"off: read anew each time", false, time.Minute, false, nil, 0},
		{"off, whatever the headers say", false, time.Minute, true, []string{"Cache-Control", "max-age=60"}, 0},
		{"on: for ttlMs", true, time.Minute, false, nil, time.Minute},
		{"ttlMs 0", true, 0, false, nil, 0},
		{"headers are ignored by default", true, time.Minute, false, []string{"Cache-Control", "no-store"}, time.Minute},
		{"no headers: ttlMs", true, time.Minute, true, nil, time.Minute},
		{"headers that say nothing of time: ttlMs", true, time.Minute, true, []string{"Cache-Control", "public, must-revalidate", "Age", "50"}, time.Minute},
		{"max-age is longer", true, time.Minute, true, []string{"Cache-Control", "public, max-age=3600"}, time.Hour},
		{"max-age is shorter", true, time.Minute, true, []string{"Cache-Control", "max-age=5, must-revalidate"}, 5 * time.Second},
		{"max-age in quotes", true, time.Minute, true, []string{"Cache-Control", `max-age="5"`}, 5 * time.Second},
		{"names in capitals", true, time.Minute, true, []string{"Cache-Control", "Max-Age=5"}, 5 * time.Second},
		{"max-age 0", true, time.Minute, true, []string{"Cache-Control", "max-age=0"}, 0},
		{"s-maxage is for shared caches", true, time.Minute, true, []string{"Cache-Control", "s-maxage=5"}, time.Minute},
		{"max-age that is negative", true, time.Minute, true, []string{"Cache-Control", "max-age=-5"}, 0},
		{"max-age that is no number", true, time.Minute, true, []string{"Cache-Control", "max-age=soon"}, 0},
		{"max-age without value", true, time.Minute, true, []string{"Cache-Control", "max-age"}, 0},
		{"quotes that don't close", true, time.Minute, true, []string{"Cache-Control", `max-age="5`}, 0},
		{"no-store", true, time.Minute, true, []string{"Cache-Control", "no-store, max-age=60"}, 0},
		{"no-cache", true, time.Minute, true, []string{"Cache-Control", "max-age=60, no-cache"}, 0},
		{"no-cache in a second line", true, time.Minute, true, []string{"Cache-Control", "max-age=60", "Cache-Control", "no-cache"}, 0},
		{"no-cache for a field", true, time.Minute, true, []string{"Cache-Control", `no-cache="Set-Cookie", max-age=60`}, 0},
		{"Age counts (RFC 9111 §4.2.3)", true, time.Minute, true, []string{"Cache-Control", "max-age=60", "Age", "55"}, 5 * time.Second},
		{"Age beyond max-age", true, time.Minute, true, []string{"Cache-Control", "max-age=60", "Age", "61"}, 0},
		{"Age that is no number", true, time.Minute, true, []string{"Cache-Control", "max-age=5", "Age", "-1"}, 5 * time.Second},
		{"Expires, by the provider's clock", true, time.Minute, true, []string{"Date", "Mon, 01 Jan 2001 00:00:00 GMT", "Expires", "Mon, 01 Jan 2001 00:00:05 GMT"}, 5 * time.Second},
		{"Expires, by ours without a good Date", true, time.Minute, true, []string{"Date", "today", "Expires", "Mon, 23 Nov 2026 15:00:05 GMT"}, 5 * time.Second},
		{"Expires in the past", true, time.Minute, true, []string{"Date", "Mon, 01 Jan 2001 00:00:05 GMT", "Expires", "Mon, 01 Jan 2001 00:00:00 GMT"}, 0},
		{"Expires that is no date (RFC 9111 §5.3)", true, time.Minute, true, []string{"Expires", "0"}, 0},
		{"max-age goes before Expires", true, time.Minute, true, []string{"Cache-Control", "max-age=5", "Expires", "0"}, 5 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			p, cfg := newProvider(t, testkeys.Set(key), c.header...)
			cfg.JWKS.Cache.Enabled, cfg.JWKS.Cache.TTL, cfg.JWKS.Cache.RespectCacheHeaders = c.enabled, c.ttl, c.headers
			e := newEnv()
			source := e.mustOpen(t, cfg)
			p.asked(t, 0)
			find := func() { finds(t, source, "k", "ES256", key.Public()) }
			find()
			p.asked(t, 1)
			if c.fresh > 0 {
				find()
				early := c.fresh / 4 * 3 // before the set is read again in the background
				e.advance(early)
				find()
				p.asked(t, 1)
				e.advance(c.fresh - early)
			}
			find()
			p.asked(t, 2)
		})
	}
}

func TestUnknownKidAsksAtOnce(t *testing.T) {
	old, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	p, cfg := newProvider(t, testkeys.Set(old))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "old", "ES256", old.Public())
	p.serves(testkeys.Set(old, fresh))
	finds(t, source, "new", "ES256", fresh.Public())
	finds(t, source, "new", "ES256", fresh.Public())
	p.asked(t, 2)
	e.says(t, `info: the keys at `+cfg.JWKS.URI+` have changed: now 2 (kid "old", "new")`)
}

// TestUnknownKidsAreBounded: three fetches in a row and then one in 5 s, however many come.
func TestUnknownKidsAreBounded(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.TTL = 24 * time.Hour
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", key.Public())
	forged := 0
	forge := func(n int) (last error) {
		for range n {
			forged++
			if _, last = source.Find(t.Context(), fmt.Sprint("forged-", forged), "ES256"); !errors.Is(last, keyset.ErrUnknownKey) {
				t.Fatalf("got %v", last)
			}
			finds(t, source, "k", "ES256", key.Public()) // and nobody else suffers
		}
		return last
	}
	p.asked(t, 1)
	if err := forge(3); err.Error() != keyset.ErrUnknownKey.Error() {
		t.Errorf("got %v", err)
	}
	p.asked(t, 4)
	if err := forge(1000); !strings.Contains(err.Error(), "the set is read again only every 5s") {
		t.Errorf("got %v", err)
	}
	p.asked(t, 4)
	e.advance(5*time.Second - 1)
	forge(100)
	p.asked(t, 4)
	e.advance(1)
	forge(100)
	p.asked(t, 5)
	for range 12 {
		e.advance(5 * time.Second)
		forge(20)
	}
	p.asked(t, 17)
	e.advance(time.Hour)
	forge(100)
	p.asked(t, 20)
}

// TestAKeyThatWasJustLookedForIsNotLookedForAgain: no key of the set fits a known kid with another alg. Who comes again is
// told so without another fetch, for a moment.
func TestAKeyThatWasJustLookedForIsNotLookedForAgain(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.Algorithms = append(cfg.Algorithms, "EdDSA")
	e := newEnv()
	source := e.mustOpen(t, cfg)
	look := func(times int) {
		t.Helper()
		for range times {
			if _, err := source.Find(t.Context(), "k", "EdDSA"); !errors.Is(err, keyset.ErrUnknownKey) {
				t.Fatalf("got %v", err)
			}
		}
	}
	look(100)
	p.asked(t, 1)
	if !keyset.Settled(source, "k", "EdDSA") {
		t.Error("it is not settled that there is no such key")
	}
	for n := range 3 {
		e.advance(3 * time.Second)
		if keyset.Settled(source, "k", "EdDSA") {
			t.Error("the set is not to be read again")
		}
		look(100)
		p.asked(t, int32(n)+2)
	}
	finds(t, source, "k", "ES256", key.Public())
}

// TestMemoryAsksNobody: Settled and LastGood tell what there is, and whether more can be had.
func TestMemoryAsksNobody(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	know := func(rule, kid string, keys int, settled bool) {
		t.Helper()
		found, err := keyset.LastGood(source).Find(t.Context(), kid, "ES256")
		if is := keyset.Settled(source, kid, "ES256"); len(found) != keys || is != settled {
			t.Errorf("%s: %d keys, settled: %t; want %d, %t", rule, len(found), is, keys, settled)
		}
		if (err == nil) != (keys > 0) || (err != nil && !errors.Is(err, keyset.ErrPending)) {
			t.Errorf("%s: the last good set: %v", rule, err)
		}
	}
	know("before the set is read", "k", 0, false)
	p.asked(t, 0)
	finds(t, source, "k", "ES256", key.Public())
	know("a key of the set", "k", 1, true)
	know("an unknown key", "x", 0, false)
	e.advance(cfg.JWKS.Cache.TTL)
	know("a key of a set that has run out", "k", 1, false)
	p.asked(t, 1)
}

// TestASetIsReadAgainBeforeAnybodyHasToWait: in the last fifth of its life, and after a failure in a while.
func TestASetIsReadAgainBeforeAnybodyHasToWait(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.TTL = 100 * time.Second
	e := newEnv()
	source := e.mustOpen(t, cfg)
	if at := keyset.RefreshAt(source); !at.IsZero() {
		t.Errorf("before anybody asked: at %s", at)
	}
	finds(t, source, "k", "ES256", key.Public())
	due := e.now().Add(80 * time.Second)
	if at := keyset.RefreshAt(source); !at.Equal(due) {
		t.Errorf("at %s, want %s", at, due)
	}
	e.advance(80*time.Second - 1)
	keyset.Refresh(source)
	if at := keyset.RefreshAt(source); !at.Equal(due) { // as a fetch that has begun would change it, even one that has yet to arrive
		t.Errorf("before it is due it is read: next at %s, want %s", at, due)
	}
	p.asked(t, 1)
	refresh := func(want int32) {
		t.Helper()
		keyset.Refresh(source)
		for deadline := time.Now().Add(30 * time.Second); p.hits.Load() != want || keyset.RefreshAt(source).Equal(e.now().Add(time.Second)); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d requests, want %d", p.hits.Load(), want)
			}
		}
	}
	e.advance(1)
	refresh(2)
	if at, want := keyset.RefreshAt(source), e.now().Add(80*time.Second); !at.Equal(want) {
		t.Errorf("after that: at %s, want %s", at, want)
	}
	e.advance(80 * time.Second)
	p.serves([]byte("{"))
	refresh(3)
	if at, want := keyset.RefreshAt(source), e.now().Add(5*time.Second); !at.Equal(want) {
		t.Errorf("after a failure: at %s, want %s", at, want)
	}
	finds(t, source, "k", "ES256", key.Public())
	p.serves(testkeys.Set(key))
	e.advance(5 * time.Second)
	refresh(4)

	cfg.JWKS.Cache.Enabled = false
	uncached := e.mustOpen(t, cfg)
	finds(t, uncached, "k", "ES256", key.Public())
	if at := keyset.RefreshAt(uncached); !at.IsZero() {
		t.Errorf("without a cache: at %s", at)
	}
}

// TestUnknownKidJoinsTheFetchUnderWay: logins that come while the new key is being fetched are not refused, however
// many there are.
func TestUnknownKidJoinsTheFetchUnderWay(t *testing.T) {
	old, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	p, cfg := newProvider(t, testkeys.Set(old))
	source := newEnv().mustOpen(t, cfg)
	finds(t, source, "old", "ES256", old.Public())
	p.serves(testkeys.Set(fresh))
	p.shut()
	for range 20 {
		if _, err := source.Find(impatient(), "new", "ES256"); !errors.Is(err, keyset.ErrPending) {
			t.Errorf("got %v", err)
		}
		finds(t, source, "old", "ES256", old.Public())
	}
	p.open()
	finds(t, source, "new", "ES256", fresh.Public())
	p.asked(t, 2)
}

// TestANewKeyIsNotMissedByAFetchThatBeganBeforeIt: whoever joins a fetch that was answered before the key was published
// has the set read once more.
func TestANewKeyIsNotMissedByAFetchThatBeganBeforeIt(t *testing.T) {
	old, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	p, cfg := newProvider(t, testkeys.Set(old))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "old", "ES256", old.Public())
	e.advance(cfg.JWKS.Cache.TTL)
	p.shut()
	if _, err := source.Find(impatient(), "old", "ES256"); !errors.Is(err, keyset.ErrPending) {
		t.Fatalf("got %v", err)
	}
	for p.hits.Load() < 2 { // the fetch has arrived, and its answer is the old set
		runtime.Gosched()
	}
	p.serves(testkeys.Set(old, fresh))
	// The clock is looked at under the lock that joining takes, too: the gate opens for somebody who has joined.
	e.looked = sync.OnceFunc(func() { go p.open() })
	finds(t, source, "new", "ES256", fresh.Public())
	p.asked(t, 3)
}

func TestRemovedKeyStopsWorking(t *testing.T) {
	one, two := testkeys.New("ES256", "1"), testkeys.New("ES256", "2")
	p, cfg := newProvider(t, testkeys.Set(one, two))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "1", "ES256", one.Public())
	p.serves(testkeys.Set(two))
	e.advance(cfg.JWKS.Cache.TTL)
	if found, err := source.Find(t.Context(), "1", "ES256"); !errors.Is(err, keyset.ErrUnknownKey) {
		t.Errorf("got %v, %v", found, err)
	}
	finds(t, source, "", "ES256", two.Public())
	p.asked(t, 2)
}

func TestSameKidWithANewKeyReplaces(t *testing.T) {
	old, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(old))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", old.Public())
	p.serves(testkeys.Set(fresh))
	e.advance(cfg.JWKS.Cache.TTL)
	finds(t, source, "k", "ES256", fresh.Public())
}

// A set that has not changed keeps its keys, so that who remembers one need not compare all of it.
func TestAnUnchangedSetKeepsItsKeys(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	before, err := source.Find(t.Context(), "k", "ES256")
	if err != nil {
		t.Fatal(err)
	}
	e.advance(cfg.JWKS.Cache.TTL)
	after, err := source.Find(t.Context(), "k", "ES256")
	p.asked(t, 2)
	if err != nil || before[0] != after[0] {
		t.Errorf("got %p, %v, want %p", after, err, before)
	}
}

func TestConcurrentFindsShareOneFetch(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	source := newEnv().mustOpen(t, cfg)
	p.shut()
	var ready, done sync.WaitGroup
	for range 50 {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			finds(t, source, "k", "ES256", key.Public())
		})
	}
	ready.Wait()
	p.open()
	done.Wait()
	p.asked(t, 1)
}

// TestPending: whoever can't wait for the fetch is put off, and its next attempt finds the key without another request,
// with the cache off too.
func TestPending(t *testing.T) {
	for _, cached := range []bool{true, false} {
		t.Run(fmt.Sprint("cache ", cached), func(t *testing.T) {
			first, second := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
			p, cfg := newProvider(t, testkeys.Set(first))
			cfg.JWKS.Cache.Enabled = cached
			e := newEnv()
			source := e.mustOpen(t, cfg)
			finds(t, source, "k", "ES256", first.Public())

			// The set runs out, and its successor is slow.
			e.advance(cfg.JWKS.Cache.TTL)
			p.serves(testkeys.Set(second))
			p.shut()
			const putOff = 3
			for range putOff {
				if _, err := source.Find(impatient(), "k", "ES256"); !errors.Is(err, keyset.ErrPending) {
					t.Fatalf("got %v", err)
				}
			}
			p.open()
			<-e.arrived // "have changed"
			for range putOff {
				found, err := source.Find(impatient(), "k", "ES256")
				if err != nil || len(found) != 1 || !same(found[0], second.Public()) {
					t.Errorf("the next attempt: %v, %v", found, err)
				}
			}
			p.asked(t, 2)
			finds(t, source, "k", "ES256", second.Public())
			if cached {
				p.asked(t, 2)
			} else {
				p.asked(t, 3) // all who were put off have come back
			}
		})
	}
}

// TestPutOffTooLongAgo: with the cache off, the set that came in for somebody does not serve for ever.
func TestPutOffTooLongAgo(t *testing.T) {
	key, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.Enabled = false
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", key.Public())
	p.shut()
	p.serves(testkeys.Set(fresh))
	if _, err := source.Find(impatient(), "k", "ES256"); !errors.Is(err, keyset.ErrPending) {
		t.Errorf("got %v", err)
	}
	p.open()
	<-e.arrived
	p.asked(t, 2)
	e.advance(cfg.JWKS.Timeout)
	finds(t, source, "k", "ES256", fresh.Public())
	p.asked(t, 3)
	finds(t, source, "k", "ES256", fresh.Public())
	p.asked(t, 4)
}

func TestFailures(t *testing.T) {
	cases := []struct {
		rule   string
		answer http.HandlerFunc
		want   string
	}{
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "answered 500 Internal Server Error"},
		{"404", http.NotFound, "answered 404 Not Found"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, "answered 302 Found"},
		{"HTML", says("<!DOCTYPE html><html>"), `this is no JWK set: it is not JSON (its Content-Type is "text/html; charset=utf-8")`},
		{"garbage", says("\x00\xff"), `this is no JWK set: it is not JSON (its Content-Type is "`},
		{"nothing", says(""), "this is no JWK set: it is not JSON (it is empty)"},
		{"another object", says(`{"error":"busy"}`), `it has no "keys" array`},
		{"no keys", says(`{"keys":[]}`), "none of its 0 keys"},
		{"no usable key", says(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQ","kid":"k"}]}`), "none of its 1 keys"},
		{"too large", says(strings.Repeat(" ", 1<<20) + `{"keys":[]}`), "larger than 1048576 bytes"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"keys":[`))
		}, "unexpected EOF"},
	}
	key := testkeys.New("ES256", "k")
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			p, cfg := newProvider(t, nil)
			cfg.JWKS.URI += "?apikey=marker"
			p.does(c.answer)
			e := newEnv()
			source := e.mustOpen(t, cfg)
			fails := func() {
				t.Helper()
				_, err := source.Find(t.Context(), "k", "ES256")
				unavailable := new(keyset.UnavailableError)
				if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "GET "+source.String()+": ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want GET %s: …%s", err, source, c.want)
				}
				if strings.Contains(fmt.Sprint(err, source), "marker") {
					t.Errorf("a secret of the address is told: %v", err)
				}
			}
			fails()
			e.advance(time.Second - 1)
			fails() // rests for a second
			p.asked(t, 1)
			e.advance(1)
			fails()
			p.asked(t, 2)
			e.says(t)

			p.serves(testkeys.Set(key))
			e.advance(time.Second)
			finds(t, source, "k", "ES256", key.Public())
			p.asked(t, 3)

			// A set that is still good survives a failure; what it does not know, nobody knows.
			p.does(c.answer)
			if _, err := source.Find(t.Context(), "new", "ES256"); err == nil {
				t.Error("an unknown kid was found")
			}
			p.asked(t, 4)
			finds(t, source, "k", "ES256", key.Public())
			p.asked(t, 4)
		})
	}
}

// TestAnUnknownKeyWhileTheSetCanNotBeRead: that is what a login is told, not that its key is unknown, and the set is not asked
// for again at once.
func TestAnUnknownKeyWhileTheSetCanNotBeRead(t *testing.T) {
	old, fresh := testkeys.New("ES256", "old"), testkeys.New("ES256", "new")
	p, cfg := newProvider(t, testkeys.Set(old))
	cfg.JWKS.Cache.TTL = time.Hour
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "old", "ES256", old.Public())
	p.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	unavailable := func() {
		t.Helper()
		_, err := source.Find(t.Context(), "new", "ES256")
		if !errors.As(err, new(*keyset.UnavailableError)) || !strings.Contains(err.Error(), "answered 401 Unauthorized") {
			t.Errorf("got %v", err)
		}
		finds(t, source, "old", "ES256", old.Public())
	}
	for n := range int32(3) {
		unavailable()
		unavailable() // rests for a second
		p.asked(t, 2+n)
		e.advance(time.Second)
	}
	unavailable() // not asked again before the limit on unknown keys allows for it
	p.asked(t, 4)
	p.serves(testkeys.Set(old, fresh))
	e.advance(5 * time.Second)
	finds(t, source, "new", "ES256", fresh.Public())
	p.asked(t, 5)
}

func TestTimeoutOfAFetch(t *testing.T) {
	p, cfg := newProvider(t, nil)
	cfg.JWKS.Timeout = 50 * time.Millisecond
	p.shut()
	source := newEnv().mustOpen(t, cfg)
	_, err := source.Load(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("got %v", err)
	}
}

// TestClockSetBackAfterAFailure: nobody waits until the clock has caught up.
func TestClockSetBackAfterAFailure(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	p.does(http.NotFound)
	e := newEnv()
	source := e.mustOpen(t, cfg)
	if _, err := source.Load(t.Context()); err == nil {
		t.Error("Load should have failed")
	}
	p.serves(testkeys.Set(key))
	e.advance(-time.Hour)
	finds(t, source, "k", "ES256", key.Public())
}

// TestClockSetBackWhileASetServes: it is read again, and does not serve until the clock has caught up.
func TestClockSetBackWhileASetServes(t *testing.T) {
	old, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(old))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", old.Public())
	p.serves(testkeys.Set(fresh))
	e.advance(-time.Hour)
	finds(t, source, "k", "ES256", fresh.Public())
}

func TestLoad(t *testing.T) {
	key, broken := testkeys.New("ES256", "k"), testkeys.New("ES256", "b").JWK().With("use", "wrap")
	p, cfg := newProvider(t, testkeys.Set(key, broken))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	for range 2 {
		set, err := source.Load(t.Context())
		if err != nil || set.Len() != 1 || len(set.Skipped) != 1 {
			t.Errorf("got %d keys, skipped %q, %v", set.Len(), set.Skipped, err)
		}
	}
	p.asked(t, 2)
	e.says(t, `warning: `+cfg.JWKS.URI+`: key "b" of the set is not used`) // once, while the set stays the same
	finds(t, source, "k", "ES256", key.Public())
	p.asked(t, 2)
	if _, err := source.Load(impatient()); err != nil && !errors.Is(err, keyset.ErrPending) {
		t.Errorf("got %v", err)
	}
}

// TestClose ends a fetch under way.
func TestClose(t *testing.T) {
	p, cfg := newProvider(t, nil)
	p.shut()
	source := newEnv().mustOpen(t, cfg)
	if _, err := source.Find(impatient(), "k", "ES256"); !errors.Is(err, keyset.ErrPending) {
		t.Errorf("got %v", err)
	}
	source.Close()
	if _, err := source.Find(t.Context(), "k", "ES256"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

// TestTheLastGoodSetServesWhileTheProviderIsDown: for maxStaleMs and no longer, said once when it begins and once when it
// ends, without asking more than once a second, and without anybody waiting.
func TestTheLastGoodSetServesWhileTheProviderIsDown(t *testing.T) {
	key, fresh := testkeys.New("ES256", "k"), testkeys.New("ES256", "new")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.MaxStale = time.Hour
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", key.Public())

	e.advance(cfg.JWKS.Cache.TTL)
	p.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for range 3 {
		finds(t, source, "k", "ES256", key.Public())
	}
	p.asked(t, 2)
	e.says(t, "warning: the keys at")
	if _, err := source.Find(t.Context(), "new", "ES256"); !errors.As(err, new(*keyset.UnavailableError)) {
		t.Errorf("a kid that nobody knows: got %v", err)
	}

	e.advance(time.Second) // after its rest the provider is asked again, and nobody waits
	p.shut()
	found, err := source.Find(impatient(), "k", "ES256")
	if err != nil || len(found) != 1 {
		t.Errorf("got %v, %v", found, err)
	}
	p.serves(testkeys.Set(key, fresh))
	p.open()
	e.advance(time.Minute)
	for {
		if found, err := source.Find(t.Context(), "new", "ES256"); err == nil && len(found) == 1 {
			break // the answer that was under way may still have been the bad one
		}
		e.advance(time.Second)
	}
	if lines := e.said(); !slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, "can be read again") }) {
		t.Errorf("reported %q", lines)
	}
}

func TestTheLastGoodSetServesNoLongerThanMaxStale(t *testing.T) {
	for _, c := range []struct {
		rule     string
		maxStale time.Duration
		cached   bool
		after    time.Duration
		serves   bool
	}{
		{"just before its end", time.Hour, true, time.Hour - time.Nanosecond, true},
		{"at its end", time.Hour, true, time.Hour, false},
		{"never with 0", 0, true, time.Minute, false},
		{"never where the set is not kept", time.Hour, false, time.Minute, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			key := testkeys.New("ES256", "k")
			p, cfg := newProvider(t, testkeys.Set(key))
			cfg.JWKS.Cache.MaxStale, cfg.JWKS.Cache.Enabled = c.maxStale, c.cached
			e := newEnv()
			source := e.mustOpen(t, cfg)
			finds(t, source, "k", "ES256", key.Public())
			e.advance(c.after)
			p.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
			for range 2 {
				found, err := source.Find(t.Context(), "k", "ES256")
				if serves := err == nil && len(found) == 1; serves != c.serves {
					t.Errorf("got %v, %v", found, err)
				}
			}
		})
	}
}

// TestAHangingProviderHoldsNobodyTwice: the first login waits as long as it may, the others are served at once.
func TestAHangingProviderHoldsNobodyTwice(t *testing.T) {
	key := testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(key))
	cfg.JWKS.Cache.MaxStale, cfg.JWKS.MaxBlock = time.Hour, 250*time.Millisecond
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", key.Public())
	e.advance(cfg.JWKS.Cache.TTL)
	p.shut()
	if found, err := source.Find(impatient(), "k", "ES256"); err != nil || len(found) != 1 {
		t.Errorf("got %v, %v", found, err)
	}
	e.advance(cfg.JWKS.MaxBlock)
	finds(t, source, "k", "ES256", key.Public()) // would wait for ever
	e.says(t, "no answer yet")
}

// TestASetIsReadAgainBeforeItRunsOut: in the last fifth of its life, by somebody who does not wait for it.
func TestASetIsReadAgainBeforeItRunsOut(t *testing.T) {
	first, second := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p, cfg := newProvider(t, testkeys.Set(first))
	e := newEnv()
	source := e.mustOpen(t, cfg)
	finds(t, source, "k", "ES256", first.Public())
	p.serves(testkeys.Set(second))
	e.advance(cfg.JWKS.Cache.TTL * 4 / 5)
	finds(t, source, "k", "ES256", first.Public())
	p.asked(t, 1)
	e.advance(time.Nanosecond)
	finds(t, source, "k", "ES256", first.Public())
	<-e.arrived // "have changed"
	finds(t, source, "k", "ES256", second.Public())
	p.asked(t, 2)
	e.advance(cfg.JWKS.Cache.TTL / 2)
	finds(t, source, "k", "ES256", second.Public())
	p.asked(t, 2)
}
