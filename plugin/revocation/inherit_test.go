package revocation_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// A reload takes over what speaks against tokens and against the endpoint, where the same is asked in the same way; what
// speaks for a token it never does.
func TestInherit(t *testing.T) {
	for _, c := range []struct {
		rule   string
		change func(*config.Revocation)
		issuer string // of the new one
		taken  bool
	}{
		{"nothing has changed", func(*config.Revocation) {}, "", true},
		{"what is kept, and when is asked", func(r *config.Revocation) {
			r.Cache = config.AnswerCache{TTL: time.Minute, NegativeTTL: time.Minute, MaxEntries: 5}
			r.Check, r.Timeout, r.MaxConcurrent, r.OnUnavailable = config.CheckOnRetry, time.Hour, 7, config.UnavailableAllow
		}, "", true},
		{"the same secret", func(r *config.Revocation) { r.Introspection.ClientSecret = config.NewSecret("s") }, "", true},
		{"another address", func(r *config.Revocation) { r.Introspection.URI += "/other" }, "", false},
		{"another path", func(r *config.Revocation) { r.Introspection.Request.Path = "/other" }, "", false},
		{"another client", func(r *config.Revocation) { r.Introspection.ClientID = "other" }, "", false},
		{"another secret", func(r *config.Revocation) { r.Introspection.ClientSecret = config.NewSecret("other") }, "", false},
		{"sent in another way", func(r *config.Revocation) { r.Introspection.ClientAuthentication = config.ClientPost }, "", false},
		{"another header", func(r *config.Revocation) { r.Introspection.Request.Headers = []config.Header{{Name: "X", Value: "y"}} }, "", false},
		{"another payload", func(r *config.Revocation) { r.Introspection.Request.Payload = object{"realm": "x"} }, "", false},
		{"another kind", func(r *config.Revocation) {
			r.Plain = &config.Plain{URI: r.Introspection.URI, BodyEncoding: config.BodyForm, Response: config.Response{SuccessCodes: []int{200}}}
		}, "", false},
		{"from the discovery document", func(r *config.Revocation) { r.Introspection.URI = "" }, "https://idp.test", false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			g := newGate(t, config.Revocation{MaxConcurrent: 1, Cache: config.AnswerCache{TTL: time.Hour}, Introspection: config.Introspection{
				ClientID: "broker", ClientSecret: config.NewSecret("s"), ClientAuthentication: config.ClientBasic,
			}})
			close(g.open)
			<-g.asks(t, "good")
			g.answer.Store(`{"active":false}`)
			<-g.asks(t, "bad")
			g.status.Store(http.StatusInternalServerError)
			for i := range 5 {
				<-g.asks(t, fmt.Sprint("token ", i))
			}
			client, err := endpoint.New(&config.Provider{})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			cfg := g.cfg
			c.change(&cfg)
			fresh := open(t, &cfg, revocation.Options{
				Client: client, Locate: func(context.Context) (string, error) { return "https://idp.test/x", nil }, Issuer: c.issuer, Now: g.now, Report: func(event.Note) {},
			})
			fresh.Inherit(g.Checker)
			if got := fresh.WasInactive(revocation.DigestOf("bad")); got != c.taken {
				t.Errorf("what was inactive is known: %t", got)
			}
			said, known := fresh.Lookup(revocation.DigestOf("bad"))
			if _, v := fresh.Judge(said, new(verdict.Trace)); known != c.taken || known && v.Reason != verdict.Revoked {
				t.Errorf("what was inactive: known %t, %s", known, v)
			}
			said, known = fresh.Lookup(revocation.DigestOf("good"))
			if !known {
				said, known = fresh.ProbeRecovery("good", time.Time{}) // its rest may be over by now
			}
			if _, v := fresh.Judge(said, new(verdict.Trace)); known != c.taken || known && !strings.Contains(v.String(), "provider unavailable: it was not asked") {
				t.Errorf("what was active: known %t, %s", known, v)
			}
		})
	}
}

// Endpoint is the same wherever the same endpoint of the same provider is asked.
func TestEndpointIdentity(t *testing.T) {
	of := func(issuer string, r config.Revocation) string {
		return open(t, &r, revocation.Options{Issuer: issuer, Now: time.Now, Report: func(event.Note) {}}).Endpoint()
	}
	at := func(uri string, change ...func(*config.Introspection)) config.Revocation {
		i := config.Introspection{URI: uri}
		for _, c := range change {
			c(&i)
		}
		return config.Revocation{Introspection: i}
	}
	const uri, issuer = "https://idp.test/introspect", "https://idp.test"
	one := of(issuer, at(uri))
	if other := of("https://renamed.test", at(uri, func(i *config.Introspection) { i.ClientID, i.ClientSecret = "new", config.NewSecret("new") })); other != one {
		t.Errorf("other credentials: %s, %s", one, other)
	}
	seen := map[string]string{}
	for rule, id := range map[string]string{
		"an address": one, "another": of(issuer, at(uri+"2")), "an issuer": of(issuer, at("")), "another issuer": of(issuer+"/2", at("")),
		"another query":         of(issuer, at(uri+"?realm=2")),
		"a path":                of(issuer, at(uri, func(i *config.Introspection) { i.Request.Path = "/2" })),
		"an issuer with a path": of(issuer, at("", func(i *config.Introspection) { i.Request.Path = "/2" })),
	} {
		if other, twice := seen[id]; twice {
			t.Errorf("%s and %s are both %q", rule, other, id)
		}
		seen[id] = rule
	}
}
