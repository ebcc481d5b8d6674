package token_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// changing is a Source whose keys the test changes, and a clock that it sets.
type changing struct {
	keyset.Source
	mu  sync.Mutex
	now time.Time
}

func (c *changing) Find(ctx context.Context, kid, alg string) ([]any, error) {
	c.mu.Lock()
	source := c.Source
	c.mu.Unlock()
	return source.Find(ctx, kid, alg)
}

func (c *changing) set(source keyset.Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Source = source
}

func (c *changing) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *changing) at(seconds int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = time.Unix(now+seconds, 0)
}

// rememberer is a Verifier with a memory, whose keys and clock the test changes.
type rememberer struct {
	*token.Verifier
	*changing
	cfg *config.Provider
	tb  testing.TB
}

func newRememberer(tb testing.TB, common config.Common, algorithms ...string) *rememberer {
	tb.Helper()
	common.RememberVerified = true
	cfg := &config.Provider{Algorithms: algorithms, Common: common}
	c := &changing{now: clock()}
	return &rememberer{token.New(cfg, c, c.clock), c, cfg, tb}
}

// has are the keys from now on.
func (r *rememberer) has(keys ...any) { r.set(keysOf(r.tb, r.cfg, keys...)) }

// judge is the verdict in words, and whether the token is remembered afterwards.
func (r *rememberer) judge(password string) string {
	t := token.NewText(password)
	_, header := token.Classify(password)
	_, v := r.Verify(context.Background(), t, header, nil)
	recalled, is := r.Recall(t)
	if is && recalled != header {
		r.tb.Errorf("recalled %+v, want %+v", recalled, header)
	}
	return fmt.Sprintf("%s, remembered: %t", v, is)
}

func TestATokenIsRememberedWhileItsKeyCounts(t *testing.T) {
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			ours, others := testkeys.New(alg, "k"), testkeys.New(alg, "k")
			renamed := ours
			renamed.ID = "x"
			r := newRememberer(t, config.Common{ValidateExpiration: true}, alg)
			password := ours.Sign(object{"sub": "alice", "exp": now + 60})
			const (
				good    = "accept, remembered: true"
				bad     = `bad signature: no key with kid "k" verifies it by `
				unknown = `unknown key: kid "k" at jwks.json: no key of the set fits, remembered: true`
			)
			for _, step := range []struct {
				rule string
				keys []any
				want string
			}{
				{"new", []any{ours}, good},
				{"again", []any{ours}, good},
				{"another key by its kid", []any{others}, bad + alg + ", remembered: true"},
				{"its key is back", []any{ours}, good},
				{"its kid is gone", []any{renamed}, unknown},
				{"its kid is back, beside another", []any{renamed, ours}, good},
				{"beside another of the same kid", []any{others, ours}, good},
				{"its key has no kid", []any{ours.JWK().With("kid", nil)}, good},
				{"another key without a kid", []any{others.JWK().With("kid", nil)}, bad + alg + ", remembered: true"},
			} {
				r.has(step.keys...)
				if got := r.judge(password); got != step.want {
					t.Errorf("%s: got %s, want %s", step.rule, got, step.want)
				}
			}
			if got := r.judge(password[:len(password)-8] + "AAAAAAAA"); !strings.HasSuffix(got, "remembered: false") {
				t.Errorf("another signature: got %s", got)
			}
		})
	}
}

func TestTimesAreJudgedAnew(t *testing.T) {
	key := testkeys.New("ES256", "k")
	r := newRememberer(t, config.Common{ValidateExpiration: true, CheckIssuedAt: true, Leeway: 10 * time.Second}, "ES256")
	r.has(key)
	password := key.Sign(object{"sub": "alice", "iat": now, "nbf": now, "exp": now + 60})
	for _, step := range []struct {
		at   int64
		want string
	}{
		{0, "accept, remembered: true"},
		{-11, "not yet valid: nbf is 2026-11-23T15:00:00Z, 11 s ahead of the broker's clock ($.options.common.leewayMs grants a skew), remembered: true"},
		{69, "accept, remembered: true"},
		{70, "expired: exp is 2026-11-23T15:01:00Z, 10 s ago, remembered: false"},
		{69, "accept, remembered: true"},
		{70, "expired: exp is 2026-11-23T15:01:00Z, 10 s ago, remembered: false"},
	} {
		r.at(step.at)
		if got := r.judge(password); got != step.want {
			t.Errorf("at %d: got %s, want %s", step.at, got, step.want)
		}
	}
	lax := newRememberer(t, config.Common{}, "ES256")
	lax.has(key)
	lax.at(61)
	if got := lax.judge(password); got != "accept, remembered: false" {
		t.Errorf("expired, where that does not count: got %s", got)
	}
	if got := lax.judge(key.Sign(object{"sub": "alice"})); got != "accept, remembered: true" {
		t.Errorf("one that never expires: got %s", got)
	}
}

func TestARefusalIsNotRemembered(t *testing.T) {
	key, other := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	r := newRememberer(t, config.Common{Audience: []string{"mqtt"}, ValidateExpiration: true, TokenType: []string{"at+jwt"}}, "ES256")
	r.has(key)
	typed := object{"typ": "at+jwt"}
	for rule, password := range map[string]string{
		"signed by another":      other.SignWith(typed, object{"aud": "mqtt"}),
		"for another audience":   key.SignWith(typed, object{"aud": "other"}),
		"expired":                key.SignWith(typed, object{"aud": "mqtt", "exp": now}),
		"not valid yet":          key.SignWith(typed, object{"aud": "mqtt", "nbf": now + 1}),
		"of another type":        key.Sign(object{"aud": "mqtt"}),
		"with a critical header": key.SignWith(object{"typ": "at+jwt", "crit": []string{"b64"}}, object{"aud": "mqtt"}),
		"of another algorithm":   other.SignWith(object{"typ": "at+jwt", "alg": "none"}, object{"aud": "mqtt"}),
	} {
		for range 2 {
			if got := r.judge(password); strings.HasPrefix(got, "accept") || !strings.HasSuffix(got, "remembered: false") {
				t.Errorf("%s: got %s", rule, got)
			}
		}
	}
	if tokens, bytes := r.Remembered(); tokens != 0 || bytes != 0 {
		t.Errorf("%d tokens of %d bytes are remembered", tokens, bytes)
	}
	forgetful := newBench(t, key, config.Common{})
	password := token.NewText(key.Sign(object{}))
	_, header := token.Classify(password.Reveal())
	if _, v := forgetful.Verify(t.Context(), password, header, nil); v.Kind != verdict.Accept {
		t.Fatal(v)
	}
	if _, is := forgetful.Recall(password); is {
		t.Error("it is remembered although that is switched off")
	}
}

// With shares what is verified, as provider.Begin has it verified by keys that were good last and then by fresh ones.
func TestOneMemoryForTwoSources(t *testing.T) {
	ours, others := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	r := newRememberer(t, config.Common{}, "ES256")
	r.has(ours)
	password := ours.Sign(object{})
	if got := r.judge(password); got != "accept, remembered: true" {
		t.Fatal(got)
	}
	for _, c := range []struct {
		key  testkeys.Key
		want verdict.Kind
	}{{ours, verdict.Accept}, {others, verdict.Deny}} {
		other := r.With(keysOf(t, r.cfg, c.key))
		text := token.NewText(password)
		header, is := other.Recall(text)
		if _, v := other.Verify(t.Context(), text, header, nil); !is || v.Kind != c.want {
			t.Errorf("got %s, remembered: %t", v, is)
		}
	}
}

// TestMemoryChangesNoVerdict holds a Verifier with a memory against one without, through random changes of keys and clock: the
// verdict, the claims and the trace are the same.
func TestMemoryChangesNoVerdict(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	algorithms := []string{"ES256", "EdDSA", "HS256"}
	common := config.Common{
		Issuers: issuers("https://idp.test"), Audience: []string{"mqtt"}, RequiredScopes: []string{"a"}, ValidateExpiration: true, RequireExpiration: true, Leeway: time.Second,
		RequiredClaims: []config.RequiredClaim{{Path: "r.r", Values: []any{"x"}}},
	}
	for range 40 {
		alg := algorithms[random.IntN(len(algorithms))]
		r := newRememberer(t, common, alg)
		plain := &config.Provider{Algorithms: r.cfg.Algorithms, Common: common}
		keys := []testkeys.Key{testkeys.New(alg, "a"), testkeys.New(alg, "a"), testkeys.New(alg, "b"), testkeys.New(alg, "")}
		var passwords []string
		for range 6 {
			claims := object{"iss": "https://idp.test", "aud": []string{"mqtt", "x"}, "scope": "a b", "exp": now + random.IntN(20), "nbf": now - random.IntN(5), "r": object{"r": []string{"y", "x"}}}
			if random.IntN(4) == 0 {
				claims[[]string{"iss", "aud", "scope", "r"}[random.IntN(4)]] = "other"
			}
			passwords = append(passwords, keys[random.IntN(len(keys))].Sign(claims))
		}
		r.has(keys[0])
		hits := 0
		for range 150 {
			switch random.IntN(12) {
			case 0:
				set := []any{keys[random.IntN(len(keys))]}
				for range random.IntN(3) {
					set = append(set, keys[random.IntN(len(keys))])
				}
				r.has(set...)
			case 1:
				r.at(int64(random.IntN(25) - 3))
			}
			password := passwords[random.IntN(len(passwords))]
			text := token.NewText(password)
			_, header := token.Classify(password)
			if recalled, is := r.Recall(text); is {
				hits++
				header = recalled
			}
			var got, want verdict.Trace
			claims, v := r.Verify(t.Context(), text, header, &got)
			wantedClaims, wanted := token.New(plain, r.changing, r.clock).Verify(t.Context(), text, header, &want)
			if v != wanted || !reflect.DeepEqual(claims.All(), wantedClaims.All()) || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: got %s with %v, want %s with %v", password, v, got, wanted, want)
			}
			if _, silent := r.Verify(t.Context(), text, header, nil); silent != wanted {
				t.Fatalf("%s: got %s without a trace, want %s", password, silent, wanted)
			}
		}
		if hits == 0 {
			t.Error("nothing was remembered")
		}
	}
}

// However many tokens come, they take no more than their share: 100,000 logins with tokens of 1.7 kB must not cost a broker more
// than 14 MB.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many tokens")
	}
	key := testkeys.New("HS256", "k")
	for _, c := range []struct {
		kind   string
		filler int
		count  int
	}{{"of 1.7 kB", 800, 9_500}, {"small", 0, 18_000}, {"of 16 kB", 11_000, 1_300}} {
		t.Run(c.kind, func(t *testing.T) {
			r := newRememberer(t, config.Common{ValidateExpiration: true}, "HS256")
			r.has(key)
			live := func() int {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int(m.HeapAlloc)
			}
			first, before := "", live()
			for n := range c.count {
				password := key.Sign(object{"sub": fmt.Sprint("device-", n), "exp": now + 60, "a": 1, "b": 2, "c": 3, "filler": strings.Repeat("x", c.filler)})
				if first == "" {
					first = password
				}
				if got := r.judge(password); got != "accept, remembered: true" {
					t.Fatal(got)
				}
			}
			tokens, size := r.Remembered()
			grown := live() - before
			t.Logf("%d tokens are counted as %d bytes each, and take %d", tokens, size/tokens, grown/tokens)
			if size > token.MaxRememberedBytes || tokens == c.count || grown > 14<<20 || grown > size*9/8 {
				t.Errorf("%d tokens are counted as %d bytes, and take %d", tokens, size, grown)
			}
			if _, is := r.Recall(token.NewText(first)); is {
				t.Error("the first one is still remembered")
			}
			runtime.KeepAlive(r)
		})
	}
}

func TestMemoryIsSafeForConcurrentUse(t *testing.T) {
	ours, others := testkeys.New("EdDSA", "k"), testkeys.New("EdDSA", "k")
	r := newRememberer(t, config.Common{ValidateExpiration: true}, "EdDSA")
	r.has(ours)
	good, next := keysOf(t, r.cfg, ours), keysOf(t, r.cfg, others)
	var passwords []token.Text
	for n := range 50 {
		passwords = append(passwords, token.NewText(ours.Sign(object{"sub": fmt.Sprint(n), "exp": now + 60})))
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := range 400 {
				text := passwords[n%len(passwords)]
				_, header := token.Classify(text.Reveal())
				claims, v := r.Verify(t.Context(), text, header, nil)
				if v.Kind == verdict.Accept && claims.Text("sub") != fmt.Sprint(n%len(passwords)) {
					t.Errorf("the claims of another: %v", claims.All())
				}
				switch n % 20 {
				case 7:
					r.set(next)
				case 9:
					r.set(good)
				}
			}
		})
	}
	all.Wait()
}

// The header of a token is known if one with the same was accepted; what Classify does not take for a signed token is none.
func TestAHeaderIsKnownByATokenThatWasAccepted(t *testing.T) {
	ours, others := testkeys.New("ES256", "k"), testkeys.New("ES256", "x")
	r := newRememberer(t, config.Common{}, "ES256")
	r.has(ours)
	first, second, foreign := ours.Sign(object{"sub": "a"}), ours.Sign(object{"sub": "b"}), others.Sign(object{"sub": "a"})
	known := func(password string) bool {
		header, is := r.KnownHeader(token.NewText(password))
		shape, want := token.Classify(password)
		if is && (shape != token.Signed || header != want) {
			t.Errorf("%s: got %+v, want %+v", password, header, want)
		}
		return is
	}
	if known(second) {
		t.Error("before any was accepted")
	}
	for _, password := range []string{first, foreign} {
		_, header := token.Classify(password)
		r.Verify(t.Context(), token.NewText(password), header, nil)
	}
	for _, c := range []struct {
		rule, password string
		want           bool
	}{
		{"the same token", first, true},
		{"another one", second, true},
		{"a forgery, which is for the signature to tell", first[:len(first)-4] + "AAAA", true},
		{"the header of a token that was refused", foreign, false},
		{"a line break in the payload", strings.Replace(second, ".", ".\n", 1), false},
		{"a space at the end", second + " ", false},
		{"a part too many", second + ".", false},
		{"the header alone", second[:strings.IndexByte(second, '.')], false},
		{"an empty header", "..", false},
		{"more than the header", "A" + second, false},
	} {
		if got := known(c.password); got != c.want {
			t.Errorf("%s: got %t", c.rule, got)
		}
	}
}

// Headers that a client makes up with a key of its own evict each other.
func TestHeadersAreBounded(t *testing.T) {
	key := testkeys.New("HS256", "k")
	r := newRememberer(t, config.Common{}, "HS256")
	r.has(key)
	var passwords []string
	for n := range 40 {
		passwords = append(passwords, key.SignWith(object{"kid": "k", "n": n}, object{}))
	}
	passwords = append(passwords, key.SignWith(object{"kid": "k", "x": strings.Repeat("x", 800)}, object{}))
	known := 0
	for _, password := range passwords {
		if got := r.judge(password); got != "accept, remembered: true" {
			t.Fatal(got)
		}
	}
	for _, password := range passwords {
		if _, is := r.KnownHeader(token.NewText(password[:len(password)-1])); is {
			known++
		}
	}
	if _, is := r.KnownHeader(token.NewText(passwords[len(passwords)-1][:len(passwords[0])])); is || known != 16 {
		t.Errorf("%d headers are known", known)
	}
}
