package chain_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// BenchmarkBegin is what a login costs the broker's thread, the introspection aside.
func BenchmarkBegin(b *testing.B) {
	rsa, ec, edwards := testkeys.New("RS256", "rsa"), testkeys.New("ES256", "ec"), testkeys.New("EdDSA", "ed")
	cfg := testidp.InFile(b, rsa, ec, edwards)
	cfg.Common.Issuers, cfg.Common.Audience, cfg.Common.MatchUsername = []config.Issuer{config.ExactIssuer("https://idp.test")}, []string{"mqtt"}, true
	judge, _ := newChain(b, cfg)
	claims := object{"iss": "https://idp.test", "sub": "alice", "aud": "mqtt", "exp": now + 60, "iat": now, "jti": "1"}
	cases := []struct {
		kind, password string
		want           verdict.Kind
	}{
		{"RS256", rsa.Sign(claims), verdict.Accept},
		{"ES256", ec.Sign(claims), verdict.Accept},
		{"EdDSA", edwards.Sign(claims), verdict.Accept},
		{"refused, forged RS256", testkeys.New("RS256", "rsa").Sign(claims), verdict.Deny},
		{"refused, alg none", rsa.SignWith(object{"alg": "none"}, claims), verdict.Deny},
		{"refused, unknown kid", rsa.SignWith(object{"kid": "x"}, claims), verdict.Deny},
		{"refused, 60 kB", strings.Repeat("x", 60000), verdict.Deny},
		{"left to others, a password", "correct horse battery staple", verdict.Defer},
	}
	forgetful, _ := newChain(b, changed(cfg, func(p *config.Provider) { p.Common.RememberVerified = false }))
	run := func(kind string, judge *chain.Chain, password string, want verdict.Kind) {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if result, _ := judge.Begin(b.Context(), login(password)); result.Kind != want {
					b.Fatal(result)
				}
			}
		})
	}
	for _, c := range cases {
		run(c.kind, forgetful, c.password, c.want)
		if c.want == verdict.Accept {
			run(c.kind+", remembered", judge, c.password, c.want)
		}
	}
}

// fifty are so many providers with one key each, of which the last has the issuer "https://49.test".
func fifty(tb testing.TB, key testkeys.Key) *chain.Chain {
	tb.Helper()
	keys := keysOf(tb, key)
	var providers []object
	for n := range 50 {
		providers = append(providers, named(fmt.Sprint("p", n), keys, object{"issuer": fmt.Sprint("https://", n, ".test")}))
	}
	judge, _ := newChainOf(tb, loaded(tb, nil, providers...))
	return judge
}

// alone is the last of fifty in a file of its own, without a name: there is nothing to choose.
func alone(tb testing.TB, key testkeys.Key) *chain.Chain {
	tb.Helper()
	file := loaded(tb, nil, named("p49", keysOf(tb, key), object{"issuer": "https://49.test"}))
	file.Providers[0].Name = ""
	judge, _ := newChainOf(tb, file)
	return judge
}

// BenchmarkChoice is what a login costs with one provider and with fifty, in turns, the best of each, and what the choice adds.
func BenchmarkChoice(b *testing.B) {
	key := testkeys.New("ES256", "k")
	judges := [2]*chain.Chain{alone(b, key), fifty(b, key)}
	// What is accepted costs a signature, beside which the choice can hardly be measured; the other token is refused before that.
	for _, c := range []struct {
		kind  string
		token string
		want  verdict.Reason
	}{
		{"accepted", key.Sign(object{"iss": "https://49.test", "sub": "alice", "aud": "mqtt", "exp": now + 60}), ""},
		{"refused by its header", key.SignWith(object{"alg": "RS256"}, object{"iss": "https://49.test", "sub": "alice", "aud": "mqtt", "exp": now + 60, "note": strings.Repeat("x", 500)}), verdict.WrongAlgorithm},
	} {
		b.Run(c.kind, func(b *testing.B) {
			connect := login(c.token)
			const round = 200
			best := [2]time.Duration{time.Hour, time.Hour}
			for b.Loop() {
				for n, judge := range judges {
					began := time.Now()
					for range round {
						if result, _ := judge.Begin(b.Context(), connect); result.Reason != c.want {
							b.Fatal(result)
						}
					}
					best[n] = min(best[n], time.Since(began)/round)
				}
			}
			allocations := func(judge *chain.Chain) float64 {
				return testing.AllocsPerRun(1000, func() { judge.Begin(b.Context(), connect) })
			}
			b.ReportMetric(0, "ns/op") // of all logins together
			b.ReportMetric(float64(best[0].Nanoseconds()), "ns/one")
			b.ReportMetric(float64(best[1].Nanoseconds()), "ns/fifty")
			b.ReportMetric(float64((best[1] - best[0]).Nanoseconds()), "ns/choice")
			b.ReportMetric(allocations(judges[1])-allocations(judges[0]), "allocs/choice")
		})
	}
}

// TestTheChoiceAllocatesNothing: a login costs as many allocations with fifty providers as with one.
func TestTheChoiceAllocatesNothing(t *testing.T) {
	if testkeys.UnderRace {
		t.Skip("the race detector has pools lose what they hold")
	}
	key := testkeys.New("ES256", "k")
	connect := login(key.Sign(object{"iss": "https://49.test", "sub": "alice", "exp": now + 60}))
	var allocations [2]float64
	for n, judge := range []*chain.Chain{alone(t, key), fifty(t, key)} {
		allocations[n] = testing.AllocsPerRun(100, func() {
			if result, _ := judge.Begin(t.Context(), connect); result.Kind != verdict.Accept {
				t.Fatal(result)
			}
		})
	}
	if allocations[0] != allocations[1] {
		t.Errorf("with one provider %v allocations, with fifty %v", allocations[0], allocations[1])
	}
}

// fetched are fifty providers of ten keys at a server.
func fetched(tb testing.TB, url string) *config.Config {
	tb.Helper()
	var providers []object
	for n := range 50 {
		p := named(fmt.Sprint("p", n), object{"uri": fmt.Sprint(url, "/", n), "cache": object{"enabled": true}}, object{"issuer": fmt.Sprint("https://", n, ".test")})
		p["options"].(object)["lazyConnect"] = false
		providers = append(providers, p)
	}
	return loaded(tb, nil, providers...)
}

func tenKeys() []byte {
	var keys []any
	for n := range 10 {
		keys = append(keys, testkeys.New("ES256", fmt.Sprint("k", n)))
	}
	return testkeys.Set(keys...)
}

// BenchmarkStart is the start with fifty providers of ten keys: all endpoints are reached, and all keys read.
func BenchmarkStart(b *testing.B) {
	keys := tenKeys()
	server := httptest.NewServer(testidp.Answer(200, string(keys)))
	defer server.Close()
	file := fetched(b, server.URL)
	b.ReportAllocs()
	for b.Loop() {
		c, err := chain.New(file, nil, provider.Options{Now: func() time.Time { return time.Unix(now, 0) }, Report: func(event.Note) {}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Probe(b.Context()); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// TestStartAsksAllProvidersAtOnce: no endpoint answers before all have been asked.
func TestStartAsksAllProvidersAtOnce(t *testing.T) {
	keys := tenKeys()
	var arrived sync.WaitGroup
	arrived.Add(50)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			arrived.Done()
			arrived.Wait()
		}
		_, _ = w.Write(keys)
	}))
	t.Cleanup(server.Close)
	judge, _ := newChainOf(t, fetched(t, server.URL))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	notes, err := judge.Probe(ctx)
	if err != nil || len(notes) != 100 {
		t.Errorf("%d notes, %v", len(notes), err)
	}
}
