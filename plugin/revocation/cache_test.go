package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// env is an endpoint that counts its questions and answers as a test says, with a Checker that asks it.
type env struct {
	*revocation.Checker
	clock  time.Time
	status int
	answer string
	asked  int
}

func newEnv(t *testing.T, answers config.AnswerCache) *env {
	t.Helper()
	e := &env{clock: time.Unix(1_795_446_000, 0), status: http.StatusOK, answer: `{"active":true}`}
	uri := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		e.asked++
		w.WriteHeader(e.status)
		_, _ = io.WriteString(w, e.answer)
	})
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if answers.MaxEntries == 0 {
		answers.MaxEntries = 100
	}
	cfg := config.Revocation{Timeout: time.Minute, Cache: answers, Introspection: config.Introspection{URI: uri}}
	e.Checker = open(t, &cfg, revocation.Options{Client: client, Now: func() time.Time { return e.clock }, Report: func(event.Note) {}})
	return e
}

// says asks about a token and checks the verdict and the number of questions so far.
func (e *env) says(t *testing.T, token string, expires time.Time, want string, asked int) map[string]any {
	t.Helper()
	var trace verdict.Trace
	claims, v := await(t, e.Checker, token, expires, &trace)
	got := string(v.Reason)
	if v.Kind == verdict.Accept {
		got = "accept"
	}
	if got != want || e.asked != asked {
		t.Errorf("got %s after %d questions, want %s after %d", v, e.asked, want, asked)
	}
	return claims
}

func TestKeptAnswers(t *testing.T) {
	var never time.Time
	both := config.AnswerCache{TTL: time.Minute, NegativeTTL: 10 * time.Second}
	t.Run("an active token for ttlMs", func(t *testing.T) {
		e := newEnv(t, both)
		e.says(t, "a", never, "accept", 1)
		e.answer = `{"active":false}`
		e.clock = e.clock.Add(time.Minute - 1)
		e.says(t, "a", never, "accept", 1)
		e.clock = e.clock.Add(1)
		e.says(t, "a", never, "revoked", 2)
	})
	t.Run("an inactive one for negativeTtlMs", func(t *testing.T) {
		e := newEnv(t, config.AnswerCache{NegativeTTL: time.Minute})
		e.answer = `{"active":false}`
		e.says(t, "a", never, "revoked", 1)
		e.answer = `{"active":true}`
		e.clock = e.clock.Add(time.Minute - 1)
		e.says(t, "a", never, "revoked", 1)
		e.clock = e.clock.Add(1)
		e.says(t, "a", never, "accept", 2)
	})
	t.Run("by default none that is active, and an inactive one for 30 s", func(t *testing.T) {
		e := newEnv(t, config.AnswerCache{})
		for n := range 3 {
			e.says(t, "a", never, "accept", n+1)
		}
		e.answer = `{"active":false}`
		e.says(t, "a", never, "revoked", 4)
		e.clock = e.clock.Add(30*time.Second - 1)
		e.says(t, "a", never, "revoked", 4)
		e.clock = e.clock.Add(1)
		e.says(t, "a", never, "revoked", 5)
	})
	t.Run("never past the token's exp", func(t *testing.T) {
		e := newEnv(t, both)
		expires := e.clock.Add(5 * time.Second)
		e.says(t, "a", expires, "accept", 1)
		e.clock = expires.Add(-1)
		e.says(t, "a", expires, "accept", 1)
		e.clock = expires
		e.says(t, "a", expires, "accept", 2)
	})
	t.Run("never past the exp of the answer, whose claims are kept, too", func(t *testing.T) {
		e := newEnv(t, both)
		e.answer = fmt.Sprintf(`{"active":true,"sub":"alice","exp":%d}`, e.clock.Unix()+5)
		for range 2 {
			if claims := e.says(t, "a", never, "accept", 1); claims["sub"] != "alice" {
				t.Errorf("claims %v", claims)
			}
		}
		e.clock = e.clock.Add(5 * time.Second)
		e.says(t, "a", never, "accept", 2)
	})
	t.Run("an endpoint that gives no answer is asked again", func(t *testing.T) {
		e := newEnv(t, both)
		e.status = http.StatusInternalServerError
		e.says(t, "a", never, "provider unavailable", 1)
		e.says(t, "a", never, "provider unavailable", 2)
		e.status = http.StatusOK
		e.says(t, "a", never, "accept", 3)
	})
	t.Run("each token has its own, whatever it begins with", func(t *testing.T) {
		e := newEnv(t, both)
		e.says(t, "a", never, "accept", 1)
		e.answer = `{"active":false}`
		e.says(t, "ab", never, "revoked", 2)
		e.says(t, "", never, "revoked", 3)
		e.says(t, "a", never, "accept", 3)
	})
	t.Run("a newer answer takes the place of an older one of the other kind", func(t *testing.T) {
		e := newEnv(t, config.AnswerCache{TTL: time.Minute, NegativeTTL: time.Hour})
		e.says(t, "a", never, "accept", 1)
		e.clock = e.clock.Add(time.Minute)
		e.answer = `{"active":false}`
		e.says(t, "a", never, "revoked", 2)
		e.clock = e.clock.Add(time.Hour)
		e.answer = `{"active":true}`
		e.says(t, "a", never, "accept", 3)
		e.says(t, "a", never, "accept", 3)
	})
	t.Run("no more than maxEntries", func(t *testing.T) {
		e := newEnv(t, config.AnswerCache{TTL: time.Minute, MaxEntries: 2})
		for n, token := range []string{"a", "b", "c"} {
			e.says(t, token, never, "accept", n+1)
		}
		e.says(t, "c", never, "accept", 3)
		e.says(t, "b", never, "accept", 3)
		e.says(t, "a", never, "accept", 4)
	})
}

// A token that was found inactive is not forgotten until the endpoint says otherwise.
func TestInactiveTokensAreRemembered(t *testing.T) {
	var never time.Time
	e := newEnv(t, config.AnswerCache{TTL: time.Hour, MaxEntries: 1})
	was := func(token string, want bool) {
		t.Helper()
		if got := e.WasInactive(revocation.DigestOf(token)); got != want {
			t.Errorf("%s was found inactive: %t, want %t", token, got, want)
		}
	}
	e.says(t, "a", never, "accept", 1)
	was("a", false)
	e.answer = `{"active":false}`
	e.clock = e.clock.Add(time.Hour)
	e.says(t, "a", e.clock.Add(time.Minute), "revoked", 2)
	was("a", true)
	e.clock = e.clock.Add(24 * time.Hour)
	was("a", true)
	was("b", false)
	e.answer = `{`
	e.says(t, "a", never, "provider unavailable", 3)
	was("a", true)
	for n := range 100 { // more than the cache has entries
		e.answer = `{"active":false}`
		e.says(t, fmt.Sprint("b", n), never, "revoked", 4+n)
	}
	was("a", true)
	e.answer = `{"active":true}`
	e.says(t, "a", never, "accept", 104)
	was("a", false)
	e.says(t, "a", never, "accept", 104)
}

// What a put-off attempt has brought is over when the token is found inactive, as by a recheck of a connected client.
func TestAnInactiveAnswerTakesBackAnActiveOne(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 1, RetryWindow: 10 * time.Minute})
	close(g.open)
	if _, err := g.Prefetch("token", time.Time{}); err != nil {
		t.Fatal(err)
	}
	settle(t, g.Checker)
	if _, known := g.Lookup(revocation.DigestOf("token")); !known {
		t.Fatal("no answer")
	}
	g.answer.Store(`{"active":false}`)
	if v := <-g.asks(t, "token"); v.Reason != verdict.Revoked {
		t.Fatalf("got %s", v)
	}
	g.passed.Add(int64(time.Minute))
	if _, known := g.Lookup(revocation.DigestOf("token")); known {
		t.Error("the older answer is still used")
	}
}

// Where the discovery document can't be had, the address is not known; what was found inactive is.
func TestInactiveTokensAreKnownWithoutTheAddress(t *testing.T) {
	uri := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"active":false}`) })
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var lost error
	cfg := config.Revocation{Timeout: time.Minute}
	c := open(t, &cfg, revocation.Options{
		Client: client, Locate: func(context.Context) (string, error) { return uri, lost }, Issuer: "https://idp.test",
		Now: time.Now, Report: func(event.Note) {},
	})
	if _, v := await(t, c, "token", time.Time{}, new(verdict.Trace)); v.Reason != verdict.Revoked {
		t.Fatalf("got %s", v)
	}
	lost = errors.New("no document")
	if said, known := c.Lookup(revocation.DigestOf("token")); !known || !c.WasInactive(revocation.DigestOf("token")) {
		t.Errorf("known: %t (%v), was inactive: %t", known, said, c.WasInactive(revocation.DigestOf("token")))
	}
}

// An answer of one endpoint never passes for that of another (GHSA-4mq7-pvjg-xp2r).
func TestKeptAnswersBelongToTheirEndpoint(t *testing.T) {
	e, other := newEnv(t, config.AnswerCache{TTL: time.Minute}), newEnv(t, config.AnswerCache{TTL: time.Minute})
	other.answer = `{"active":false}`
	e.says(t, "a", time.Time{}, "accept", 1)
	other.says(t, "a", time.Time{}, "revoked", 1)
}
