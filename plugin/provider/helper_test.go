package provider_test

import (
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

const now = testidp.Now

type object = testkeys.Object

// newProvider is one for a broker that waits with all its clients.
func newProvider(t *testing.T, cfg *config.Provider) (*provider.Provider, *testidp.Reports) {
	t.Helper()
	said := new(testidp.Reports)
	p, err := provider.New(cfg, provider.Options{Now: func() time.Time { return time.Unix(now, 0) }, Report: said.Add})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, said
}

// delaying is a provider for a broker that lets a login wait, with a clock that can be moved.
func delaying(t *testing.T, cfg *config.Provider) (judge *provider.Provider, passed *atomic.Int64) {
	t.Helper()
	return clocked(t, cfg, true)
}

// clocked is a provider for a broker that lets a login wait, or does not.
func clocked(t *testing.T, cfg *config.Provider, delays bool) (judge *provider.Provider, passed *atomic.Int64) {
	t.Helper()
	passed = new(atomic.Int64)
	judge, err := provider.New(cfg, provider.Options{
		Now:    func() time.Time { return time.Unix(now, passed.Load()) },
		Report: func(event.Note) {}, Delays: delays,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(judge.Close)
	return judge, passed
}

// login is by client "c" with username "u", with a token as package chain hands it over: with its header, unless it is opaque.
func login(judge *provider.Provider, bearer string) provider.Login {
	username := "u"
	l := provider.Login{Connect: broker.Connect{ClientID: "c", Username: &username, Password: &bearer}, Token: token.NewText(bearer)}
	if !judge.Opaque() {
		_, l.Header = token.Classify(bearer)
	}
	return l
}

// check is Begin, with a trace, and then all that it left open.
func check(t *testing.T, judge *provider.Provider, bearer string) provider.Result {
	t.Helper()
	l := login(judge, bearer)
	l.Trace = new(verdict.Trace)
	result, open := judge.Begin(t.Context(), l)
	for open != nil {
		result, open = open.Finish(t.Context())
	}
	return result
}
