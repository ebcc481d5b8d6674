package chain_test

import (
	"fmt"
	"strings"
	"sync/atomic"
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

const now = testidp.Now

type object = testkeys.Object

// only is the provider of a chain that has one.
func only(c *chain.Chain) *provider.Provider { return c.Providers()[0] }

// drop gives up what Begin has left open, if anything.
func drop(open *provider.Open) {
	if open != nil {
		open.Drop()
	}
}

// whole is a file with this provider alone.
func whole(cfg *config.Provider) *config.Config {
	return &config.Config{
		OnNonToken: config.NonTokenDefer, MaxTokenBytes: 16384, TokenSource: []config.TokenSource{config.TokenInPassword},
		Providers: []*config.Provider{cfg},
	}
}

func newChain(tb testing.TB, cfg *config.Provider) (*chain.Chain, *testidp.Reports) {
	tb.Helper()
	return newChainOf(tb, whole(cfg))
}

func newChainOf(tb testing.TB, file *config.Config) (*chain.Chain, *testidp.Reports) {
	tb.Helper()
	said := new(testidp.Reports)
	c, err := chain.New(file, nil, provider.Options{Now: func() time.Time { return time.Unix(now, 0) }, Report: said.Add})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c, said
}

// clocked is a chain for a broker that lets a login wait, or does not, with a clock that can be moved.
func clocked(t *testing.T, cfg *config.Provider, delays bool) (judge *chain.Chain, passed *atomic.Int64) {
	t.Helper()
	passed = new(atomic.Int64)
	judge, err := chain.New(whole(cfg), nil, provider.Options{
		Now:    func() time.Time { return time.Unix(now, passed.Load()) },
		Report: func(event.Note) {}, Delays: delays,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(judge.Close)
	return judge, passed
}

// login is by client "c" with username "u".
func login(password string) broker.Connect {
	username := "u"
	return broker.Connect{ClientID: "c", Username: &username, Password: &password}
}

// show is a trace, a line for each check.
func show(trace verdict.Trace) string {
	var lines []string
	for _, c := range trace {
		mark := "no"
		if c.OK {
			mark = "ok"
		}
		lines = append(lines, fmt.Sprintf("%s %s: expected %s, found %s", mark, c.Name, c.Expected, c.Found))
	}
	return strings.Join(lines, "\n")
}
