package revocation_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// desk is an endpoint that counts its questions and answers as a test says, with a Checker that asks it.
type desk struct {
	*revocation.Checker
	clock  time.Time
	status int
	answer string
	asked  int
}

func newDesk(t *testing.T, answers config.AnswerCache) *desk {
	t.Helper()
	d := &desk{clock: time.Unix(1_795_446_000, 0), status: http.StatusOK, answer: `{"active":true}`}
	uri := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		d.asked++
		w.WriteHeader(d.status)
		_, _ = io.WriteString(w, d.answer)
	})
	client, err := endpoint.New(config.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if answers.MaxEntries == 0 {
		answers.MaxEntries = 100
	}
	cfg := config.Revocation{Timeout: time.Minute, Cache: answers, Introspection: config.Introspection{URI: uri}}
	d.Checker = open(t, &cfg, revocation.Options{Client: client, Now: func() time.Time { return d.clock }, Report: func(bool, string) {}})
	return d
}

// says asks about a token and checks the verdict and the number of questions so far.
func (d *desk) says(t *testing.T, token string, expires time.Time, want string, asked int) map[string]any {
	t.Helper()
	var trace verdict.Trace
	claims, v := await(t, d.Checker, token, expires, &trace)
	got := string(v.Reason)
	if v.Kind == verdict.Accept {
		got = "accept"
	}
	if got != want || d.asked != asked {
		t.Errorf("got %s after %d questions, want %s after %d", v, d.asked, want, asked)
	}
	return claims
}

func TestKeptAnswers(t *testing.T) {
	var never time.Time
	both := config.AnswerCache{TTL: time.Minute, NegativeTTL: 10 * time.Second}
	t.Run("an active token for ttlMs", func(t *testing.T) {
		d := newDesk(t, both)
		d.says(t, "a", never, "accept", 1)
		d.answer = `{"active":false}`
		d.clock = d.clock.Add(time.Minute - 1)
		d.says(t, "a", never, "accept", 1)
		d.clock = d.clock.Add(1)
		d.says(t, "a", never, "revoked", 2)
	})
	t.Run("an inactive one for negativeTtlMs", func(t *testing.T) {
		d := newDesk(t, both)
		d.answer = `{"active":false}`
		d.says(t, "a", never, "revoked", 1)
		d.answer = `{"active":true}`
		d.clock = d.clock.Add(10*time.Second - 1)
		d.says(t, "a", never, "revoked", 1)
		d.clock = d.clock.Add(1)
		d.says(t, "a", never, "accept", 2)
	})
	t.Run("by default none", func(t *testing.T) {
		d := newDesk(t, config.AnswerCache{})
		for n := range 3 {
			d.says(t, "a", never, "accept", n+1)
		}
		d.answer = `{"active":false}`
		for n := range 3 {
			d.says(t, "a", never, "revoked", n+4)
		}
	})
	t.Run("never past the token's exp", func(t *testing.T) {
		d := newDesk(t, both)
		expires := d.clock.Add(5 * time.Second)
		d.says(t, "a", expires, "accept", 1)
		d.clock = expires.Add(-1)
		d.says(t, "a", expires, "accept", 1)
		d.clock = expires
		d.says(t, "a", expires, "accept", 2)
	})
	t.Run("never past the exp of the answer, whose claims are kept, too", func(t *testing.T) {
		d := newDesk(t, both)
		d.answer = fmt.Sprintf(`{"active":true,"sub":"alice","exp":%d}`, d.clock.Unix()+5)
		for range 2 {
			if claims := d.says(t, "a", never, "accept", 1); claims["sub"] != "alice" {
				t.Errorf("claims %v", claims)
			}
		}
		d.clock = d.clock.Add(5 * time.Second)
		d.says(t, "a", never, "accept", 2)
	})
	t.Run("an endpoint that gives no answer is asked again", func(t *testing.T) {
		d := newDesk(t, both)
		d.status = http.StatusInternalServerError
		d.says(t, "a", never, "provider unavailable", 1)
		d.says(t, "a", never, "provider unavailable", 2)
		d.status = http.StatusOK
		d.says(t, "a", never, "accept", 3)
	})
	t.Run("each token has its own, whatever it begins with", func(t *testing.T) {
		d := newDesk(t, both)
		d.says(t, "a", never, "accept", 1)
		d.answer = `{"active":false}`
		d.says(t, "ab", never, "revoked", 2)
		d.says(t, "", never, "revoked", 3)
		d.says(t, "a", never, "accept", 3)
	})
	t.Run("a newer answer takes the place of an older one of the other kind", func(t *testing.T) {
		d := newDesk(t, config.AnswerCache{TTL: time.Minute, NegativeTTL: time.Hour})
		d.says(t, "a", never, "accept", 1)
		d.clock = d.clock.Add(time.Minute)
		d.answer = `{"active":false}`
		d.says(t, "a", never, "revoked", 2)
		d.clock = d.clock.Add(time.Hour)
		d.answer = `{"active":true}`
		d.says(t, "a", never, "accept", 3)
		d.says(t, "a", never, "accept", 3)
	})
	t.Run("no more than maxEntries", func(t *testing.T) {
		d := newDesk(t, config.AnswerCache{TTL: time.Minute, MaxEntries: 2})
		for n, token := range []string{"a", "b", "c"} {
			d.says(t, token, never, "accept", n+1)
		}
		d.says(t, "c", never, "accept", 3)
		d.says(t, "b", never, "accept", 3)
		d.says(t, "a", never, "accept", 4)
	})
}

// An answer of one endpoint never passes for that of another (GHSA-4mq7-pvjg-xp2r).
func TestKeptAnswersBelongToTheirEndpoint(t *testing.T) {
	d, other := newDesk(t, config.AnswerCache{TTL: time.Minute}), newDesk(t, config.AnswerCache{TTL: time.Minute})
	other.answer = `{"active":false}`
	d.says(t, "a", time.Time{}, "accept", 1)
	other.says(t, "a", time.Time{}, "revoked", 1)
}
