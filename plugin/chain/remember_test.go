package chain_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// of is a provider of the chain by its name. The tokens that it has accepted are its own: whether it is the one from before, so is what
// it remembers.
func of(c *chain.Chain, name string) *provider.Provider {
	for _, p := range c.Providers() {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// judgesAs checks the verdict without a trace, which is the broker's, and with one.
func judgesAs(t *testing.T, c *chain.Chain, connect broker.Connect, want string) {
	t.Helper()
	result, open := c.Begin(t.Context(), connect)
	drop(open)
	if !strings.HasPrefix(result.String(), want) {
		t.Errorf("got %s, want %s", result, want)
	}
	if checked := c.Check(t.Context(), connect); checked.Verdict != result.Verdict || checked.LogID != result.LogID || checked.Subject != result.Subject {
		t.Errorf("got %s without a trace and %s with one", result, checked)
	}
}

// A token is remembered by its text, not by the field in which it comes: of the field depends who the client says it is.
func TestARememberedTokenInAnotherField(t *testing.T) {
	key := testkeys.New("ES256", "k")
	cfg := testidp.InFile(t, key)
	cfg.Common.MatchUsername = true
	file := whole(cfg)
	file.TokenSource = []config.TokenSource{config.TokenInUsername, config.TokenInPassword}
	judge, _ := newChainOf(t, file)
	good, alice := key.Sign(object{"sub": "alice", "exp": now + 60}), "alice"
	for _, c := range []struct {
		rule               string
		username, password *string
		rewritten          bool
	}{
		{"as the password, new", &alice, &good, false},
		{"as the password", &alice, &good, false},
		{"as the password, by another name", text("bob"), &good, true},
		{"as the username", &good, nil, true},
		{"as the username, beside a password", &good, text("x"), true},
		{"as both", &good, &good, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			connect := broker.Connect{ClientID: "c", Username: c.username, Password: c.password}
			judgesAs(t, judge, connect, "accept")
			result, _ := judge.Begin(t.Context(), connect)
			if name := result.Identity.Username; (name != nil) != c.rewritten || name != nil && *name != alice {
				t.Errorf("identity %+v", result.Identity)
			}
			if result.Bearer() != good {
				t.Error("the token is another")
			}
		})
	}
	judgesAs(t, judge, broker.Connect{ClientID: "c", Username: &alice, Password: text(good[:len(good)-8] + "AAAAAAAA")}, "bad signature")
	judgesAs(t, judge, broker.Connect{ClientID: "c", Username: &alice, Password: text(" " + good)}, "defer")
	judgesAs(t, judge, broker.Connect{ClientID: "c", Username: text("x"), Password: text(strings.ToUpper(good))}, "defer")
}

// namedProvider is a provider of a file with several, with its keys in a file.
func namedProvider(t *testing.T, name, issuer string, keys ...testkeys.Key) *config.Provider {
	t.Helper()
	cfg := testidp.InFile(t, keys...)
	cfg.Name, cfg.Path = name, config.At("$.providers")
	if issuer != "" {
		cfg.Common.Issuers = []config.Issuer{config.ExactIssuer(issuer)}
	}
	return cfg
}

// reloaded is the chain for another file, in the place of one that is in force; nil: of none.
func reloaded(t *testing.T, before *chain.Chain, providers ...*config.Provider) *chain.Chain {
	t.Helper()
	file := whole(providers[0])
	file.Providers = providers
	c, err := chain.New(file, before, provider.Options{Now: func() time.Time { return time.Unix(now, 0) }, Report: func(event.Note) {}})
	if err != nil {
		t.Fatal(err)
	}
	if before != nil {
		c.Inherit(before)
	}
	t.Cleanup(c.Close)
	return c
}

// changed is a copy of a provider with a change.
func changed(cfg *config.Provider, change func(*config.Provider)) *config.Provider {
	next := *cfg
	change(&next)
	return &next
}

// What a provider remembers goes with its rules: it stays while they stay, and counts for nobody else.
func TestAReloadForgetsWithTheRules(t *testing.T) {
	weak, strong := testkeys.Key{ID: "weak", Alg: "RS256", Private: testkeys.RSA(1024)}, testkeys.New("RS256", "strong")
	cfg := namedProvider(t, "a", "https://a.test", weak, strong)
	cfg.Algorithms = []string{"RS256", "PS256"}
	cfg.Common.AllowWeakKeys = true
	other := namedProvider(t, "b", "https://b.test", testkeys.New("ES256", "k"))
	claims := object{"iss": "https://a.test", "sub": "alice", "exp": now + 60, "aud": "mqtt"}
	byWeak, byStrong := weak.Sign(claims), strong.Sign(claims)
	for _, c := range []struct {
		rule         string
		next         *config.Provider
		kept         bool
		weak, strong string
	}{
		{"the same", changed(cfg, func(*config.Provider) {}), true, "accept", "accept"},
		{"in another place", changed(cfg, func(p *config.Provider) { p.Path = config.At("$.providers[7]") }), true, "accept", "accept"},
		{"no weak keys any more", changed(cfg, func(p *config.Provider) { p.Common.AllowWeakKeys = false }), false, "unknown key", "accept"},
		{"another algorithm", changed(cfg, func(p *config.Provider) { p.Algorithms = []string{"PS256"} }), false, "wrong algorithm", "wrong algorithm"},
		{"another audience", changed(cfg, func(p *config.Provider) { p.Common.Audience = []string{"x"} }), false, "wrong audience", "wrong audience"},
		{"other keys", namedProvider(t, "a", "https://a.test", testkeys.New("RS256", "strong")), false, "unknown key", "bad signature"},
		{"another issuer", changed(cfg, func(p *config.Provider) { p.Common.Issuers = []config.Issuer{config.ExactIssuer("https://c.test")} }), false, "wrong issuer", "wrong issuer"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			before := reloaded(t, nil, cfg, other)
			for _, password := range []string{byWeak, byStrong} {
				judgesAs(t, before, login(password), "accept")
			}
			after := reloaded(t, before, c.next, other)
			if kept := of(after, "a") == of(before, "a"); kept != c.kept {
				t.Errorf("the provider is the one from before: %t", kept)
			}
			judgesAs(t, after, login(byWeak), c.weak)
			judgesAs(t, after, login(byStrong), c.strong)
		})
	}
}

// A token belongs to whom the file says, whoever remembers it.
func TestARememberedTokenGoesToTheProviderOfItsIssuer(t *testing.T) {
	key, others := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	rest := namedProvider(t, "rest", "", key)
	password := key.Sign(object{"iss": "https://b.test", "sub": "alice", "exp": now + 60})
	before := reloaded(t, nil, rest, namedProvider(t, "a", "https://a.test", others))
	for range 2 {
		judgesAs(t, before, login(password), "accept")
	}
	after := reloaded(t, before, rest, namedProvider(t, "b", "https://b.test", others))
	if of(after, "rest") != of(before, "rest") {
		t.Fatal("it is not remembered any more")
	}
	for range 2 {
		judgesAs(t, after, login(password), "bad signature")
	}
}

// What the whole file rules counts for a remembered token as well, though its provider stays.
func TestARememberedTokenObeysTheWholeFile(t *testing.T) {
	key := testkeys.New("ES256", "k")
	cfg := namedProvider(t, "a", "https://a.test", key)
	password := key.Sign(object{"iss": "https://a.test", "sub": "alice", "exp": now + 60})
	before := reloaded(t, nil, cfg)
	judgesAs(t, before, login(password), "accept")
	for _, c := range []struct {
		rule, want string
		change     func(*config.Config)
	}{
		{"longer than passwords may be", "too long", func(f *config.Config) { f.MaxTokenBytes = len(password) - 1 }},
		{"as long as they may be", "accept", func(f *config.Config) { f.MaxTokenBytes = len(password) }},
		{"in a field that is not looked at", "not a token", func(f *config.Config) {
			f.TokenSource, f.OnNonToken = []config.TokenSource{config.TokenInUsername}, config.NonTokenDeny
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			file := whole(cfg)
			c.change(file)
			after, err := chain.New(file, before, provider.Options{Now: func() time.Time { return time.Unix(now, 0) }, Report: func(event.Note) {}})
			if err != nil {
				t.Fatal(err)
			}
			if of(after, "a") != of(before, "a") {
				t.Error("it is not remembered")
			}
			judgesAs(t, after, login(password), c.want)
		})
	}
}

// A login with a remembered token is put off, waits or is refused for its keys as any other; see provider.Begin.
func TestARememberedTokenWaitsForItsKeys(t *testing.T) {
	key := testkeys.New("ES256", "k")
	password := key.Sign(object{"sub": "alice", "exp": now + 3600})
	for _, delays := range []bool{true, false} {
		p := testidp.New(t)
		p.Does(testidp.Answer(200, string(testkeys.Set(key))), nil)
		cfg := p.Config("ES256")
		cfg.Revocation, cfg.JWKS.MaxBlock = nil, time.Millisecond
		judge, passed := clocked(t, cfg, delays)
		if _, err := judge.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		result, _ := judge.Begin(t.Context(), login(password))
		if result.Kind != verdict.Accept {
			t.Fatalf("got %s", result)
		}
		p.Does(testidp.Stuck, nil)
		passed.Store(int64(61 * time.Second))
		if result := judge.FromMemory(login(password)); result.Kind != verdict.Retry {
			t.Errorf("from memory: got %s", result)
		}
		want := map[bool]verdict.Kind{true: verdict.Pending, false: verdict.Retry}[delays]
		result, open := judge.Begin(t.Context(), login(password))
		drop(open)
		if result.Kind != want {
			t.Errorf("got %s %s, want %s", result.Kind, result, want)
		}
	}
}

// A key set's file counts as it is now.
func TestARememberedTokenWhoseKeyLeavesTheFile(t *testing.T) {
	key, other := testkeys.New("EdDSA", "k"), testkeys.New("EdDSA", "other")
	cfg := testidp.InFile(t, key)
	judge, passed := clocked(t, cfg, true)
	password := key.Sign(object{"sub": "alice", "exp": now + 3600})
	for _, c := range []struct {
		set  []byte
		want string
	}{
		{testkeys.Set(key), "accept"},
		{testkeys.Set(other), "unknown key"},
		{testkeys.Set(other, key), "accept"},
		{testkeys.Set(other, testkeys.New("EdDSA", "k")), "bad signature"},
	} {
		passed.Add(int64(2 * time.Second))
		if err := os.WriteFile(filepath.Clean(cfg.JWKS.FilePath), c.set, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(now, passed.Load())
		if err := os.Chtimes(cfg.JWKS.FilePath, at, at); err != nil {
			t.Fatal(err)
		}
		judgesAs(t, judge, login(password), c.want)
	}
}
