package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/verdict"
)

// gate is an endpoint that lets nobody go before the test says so, with a Checker that asks it.
type gate struct {
	*revocation.Checker
	cfg      config.Revocation
	open     chan struct{}
	inside   atomic.Int32
	most     atomic.Int32 // at once
	requests atomic.Int32
	passed   atomic.Int64 // ns on the clock
	status   atomic.Int32
	answer   atomic.Value
}

// now is set by passed.
func (g *gate) now() time.Time { return time.Unix(1_795_446_000, g.passed.Load()) }

func newGate(t *testing.T, cfg config.Revocation) *gate {
	t.Helper()
	g := &gate{open: make(chan struct{})}
	g.answer.Store(`{"active":true}`)
	g.status.Store(http.StatusOK)
	uri := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // only then does the server see a client go
		g.requests.Add(1)
		inside := g.inside.Add(1)
		defer g.inside.Add(-1)
		for most := g.most.Load(); inside > most && !g.most.CompareAndSwap(most, inside); most = g.most.Load() {
		}
		select {
		case <-g.open:
		case <-r.Context().Done():
		}
		w.WriteHeader(int(g.status.Load()))
		_, _ = io.WriteString(w, g.answer.Load().(string))
	})
	cfg.Introspection.URI = uri
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	g.cfg = cfg
	g.Checker = g.another(t)
	return g
}

// another is one more Checker of the same configuration.
func (g *gate) another(t *testing.T) *revocation.Checker {
	t.Helper()
	client, err := endpoint.New(&config.Provider{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	cfg := g.cfg
	return open(t, &cfg, revocation.Options{Client: client, Now: g.now, Report: func(event.Note) {}})
}

// settle waits until what Prefetch asked for about "token" is put down: caches know an answer sooner.
func settle(t *testing.T, c *revocation.Checker) {
	t.Helper()
	eventually(t, "no outcome", func() bool { return !c.Prefetching("token") })
}

// asks starts a question and returns where its verdict will be.
func (g *gate) asks(t *testing.T, token string) <-chan verdict.Verdict {
	t.Helper()
	return asks(t, g.Checker, token)
}

func asks(t *testing.T, c *revocation.Checker, token string) <-chan verdict.Verdict {
	t.Helper()
	slot, err := c.Acquire(token, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan verdict.Verdict, 1)
	go func() {
		_, v := c.Judge(slot.Ask(context.Background()), new(verdict.Trace))
		said <- v
	}()
	return said
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// waiting is how many goroutines are inside Ask and have come as far as to wait there.
func waiting() int {
	stacks := make([]byte, 4<<20)
	n := 0
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		state, calls, _ := strings.Cut(stack, "\n")
		if strings.Contains(state, "[select") && strings.Contains(calls, "(*Slot).Ask(") {
			n++
		}
	}
	return n
}

func TestEqualQuestionsShareOneRequest(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 64})
	var all []<-chan verdict.Verdict
	for range 20 {
		all = append(all, g.asks(t, "one token"))
	}
	other := g.asks(t, "another token")
	eventually(t, "there are not two requests", func() bool { return g.requests.Load() == 2 })
	eventually(t, "not all wait for the answer", func() bool { return waiting() == len(all)+1 })
	close(g.open)
	for _, said := range append(all, other) {
		if v := <-said; v.Kind != verdict.Accept {
			t.Errorf("got %s", v)
		}
	}
	if got := g.requests.Load(); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
}

func TestNoMoreRequestsAreUnderWayThanAllowed(t *testing.T) {
	const most, logins = 3, 50
	g := newGate(t, config.Revocation{MaxConcurrent: most})
	var all []<-chan verdict.Verdict
	for i := range logins {
		all = append(all, g.asks(t, fmt.Sprint("token ", i)))
	}
	eventually(t, "the first did not begin", func() bool { return g.inside.Load() == most })
	close(g.open)
	for _, said := range all {
		if v := <-said; v.Kind != verdict.Accept {
			t.Errorf("got %s", v)
		}
	}
	if got := g.most.Load(); got != most {
		t.Errorf("%d requests at once, want %d", got, most)
	}
}

func TestPastTheQueueNobodyIsTaken(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 1})
	var taken []*revocation.Slot
	var err error
	for {
		var slot *revocation.Slot
		if slot, err = g.Acquire(fmt.Sprint("token ", len(taken)), time.Time{}); err != nil {
			break
		}
		taken = append(taken, slot)
	}
	if !errors.Is(err, revocation.ErrBusy) || len(taken) != 1+1024 {
		t.Errorf("got %v after %d", err, len(taken))
	}
	if _, err := g.Prefetch("token", time.Time{}); !errors.Is(err, revocation.ErrBusy) {
		t.Errorf("Prefetch: got %v", err)
	}
	again, err := g.Acquire("token 0", time.Time{})
	if err != nil {
		t.Fatalf("a question that has its place: %v", err)
	}
	taken[0].Release()
	if _, err := g.Acquire("token", time.Time{}); !errors.Is(err, revocation.ErrBusy) {
		t.Errorf("another waits for that answer, and yet: %v", err)
	}
	again.Release()
	if _, err := g.Acquire("token", time.Time{}); err != nil {
		t.Errorf("a place was given back, and yet: %v", err)
	}
}

// One token on many connections is one question: it leaves the others their places, and has a bound of its own.
func TestOneTokenOnManyConnectionsFillsNoQueue(t *testing.T) {
	const connections = 1100
	g := newGate(t, config.Revocation{MaxConcurrent: 1})
	var all []<-chan verdict.Verdict
	busy := 0
	for range connections {
		slot, err := g.Acquire("one token", time.Time{})
		if err != nil {
			if !errors.Is(err, revocation.ErrBusy) || !strings.Contains(err.Error(), "256 logins with the same token") {
				t.Fatal(err)
			}
			busy++
			continue
		}
		said := make(chan verdict.Verdict, 1)
		go func() {
			_, v := g.Judge(slot.Ask(context.Background()), new(verdict.Trace))
			said <- v
		}()
		all = append(all, said)
	}
	if len(all) != 256 || busy != connections-256 {
		t.Errorf("%d wait, %d were refused", len(all), busy)
	}
	all = append(all, g.asks(t, "another token"))
	close(g.open)
	for _, said := range all {
		if v := <-said; v.Kind != verdict.Accept {
			t.Errorf("got %s", v)
		}
	}
	<-g.asks(t, "one token") // the places are free again
}

func TestWhoseTurnDoesNotComeInTimeIsTold(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 1, Timeout: 200 * time.Millisecond})
	first := g.asks(t, "first")
	eventually(t, "it did not begin", func() bool { return g.inside.Load() == 1 })
	second := g.asks(t, "second")
	if v := <-second; v.Reason != verdict.ProviderUnavailable || !strings.Contains(v.Detail, "200ms") {
		t.Errorf("got %s", v)
	}
	if v := <-first; v.Reason != verdict.ProviderUnavailable || !strings.Contains(v.Detail, "no answer within 200ms") {
		t.Errorf("got %s", v)
	}
}

func TestAWaiterMayLeaveBeforeTheAnswer(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 1})
	slot, err := g.Acquire("token", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, v := g.Judge(slot.Ask(ctx), new(verdict.Trace)); v.Reason != verdict.ProviderUnavailable {
		t.Errorf("got %s", v)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 1})
	said := g.asks(t, "token")
	eventually(t, "it did not begin", func() bool { return g.inside.Load() == 1 })
	g.Close()
	if v := <-said; v.Reason != verdict.ProviderUnavailable {
		t.Errorf("got %s", v)
	}
}

// What was asked for one attempt is there for the next, within the window.
func TestAskingAheadOfTheNextAttempt(t *testing.T) {
	lookup := func(g *gate, token string) string {
		said, known := g.Lookup(revocation.DigestOf(token))
		if !known {
			return ""
		}
		_, v := g.Judge(said, new(verdict.Trace))
		if v.Kind == verdict.Accept {
			return "accept"
		}
		return string(v.Reason)
	}
	window := config.Revocation{MaxConcurrent: 4, RetryWindow: 10 * time.Second}
	for _, c := range []struct {
		rule, answer string
		want         string
		expires      time.Duration // from now; zero: not known
		steps        []string      // after 0 s, 5 s, 10 s
	}{
		{"active, for every attempt within the window", `{"active":true}`, "accept", 0, []string{"accept", "accept", ""}},
		{"but not past the end of the token", `{"active":true}`, "accept", 5 * time.Second, []string{"accept", "", ""}},
		{"nor past the exp that the answer names", `{"active":true,"exp":1795446005}`, "accept", 0, []string{"accept", "", ""}},
		{"inactive, for at least half a minute", `{"active":false}`, "revoked", 0, []string{"revoked", "revoked", "revoked", "revoked", "revoked", "revoked", ""}},
		{"that there was no answer, once", `{`, "provider unavailable", 0, []string{"", "", ""}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			g := newGate(t, window)
			g.answer.Store(c.answer)
			var expires time.Time
			if c.expires > 0 {
				expires = g.now().Add(c.expires)
			}
			for range 3 { // while it is under way, it is not asked again
				if _, err := g.Prefetch("token", expires); err != nil {
					t.Fatal(err)
				}
				if got := lookup(g, "token"); got != "" {
					t.Errorf("before the answer: %s", got)
				}
			}
			close(g.open)
			settle(t, g.Checker)
			got := lookup(g, "token")
			if got != c.want || g.requests.Load() != 1 {
				t.Errorf("got %s after %d requests, want %s", got, g.requests.Load(), c.want)
			}
			if other := lookup(g, "token2"); other != "" {
				t.Errorf("another token: %s", other)
			}
			for i, want := range c.steps {
				if got := lookup(g, "token"); got != want {
					t.Errorf("after %d s: %q, want %q", 5*i, got, want)
				}
				g.passed.Add(int64(5 * time.Second))
			}
			if told, err := g.Prefetch("token", time.Time{}); err != nil || told != "it is being asked" {
				t.Fatalf("%s, %v", told, err)
			}
			eventually(t, "it was not asked again", func() bool { return g.requests.Load() == 2 })
		})
	}
}

// A token that the provider did not know yet, or not while it restarted, is refused for half a minute, however long answers
// wait for a client.
func TestTheWindowIsNotForRefusals(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 4, RetryWindow: 10 * time.Minute})
	g.answer.Store(`{"active":false}`)
	close(g.open)
	if _, err := g.Prefetch("token", time.Time{}); err != nil {
		t.Fatal(err)
	}
	settle(t, g.Checker)
	said, _ := g.Lookup(revocation.DigestOf("token"))
	if _, v := g.Judge(said, new(verdict.Trace)); v.Reason != verdict.Revoked {
		t.Fatalf("got %s", v)
	}
	g.answer.Store(`{"active":true}`)
	g.passed.Add(int64(30 * time.Second))
	if _, known := g.Lookup(revocation.DigestOf("token")); known {
		t.Error("after 30 s it is still refused")
	}
	if _, err := g.Prefetch("token", time.Time{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is not asked about again", func() bool { return g.requests.Load() == 2 })
}

// An answer that comes between a look for it and the decision to ask must not be lost to the client.
func TestAnAnswerThatJustCameInIsNotAskedForAgain(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 4, RetryWindow: 10 * time.Second})
	if _, err := g.Prefetch("token", time.Time{}); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	settle(t, g.Checker)
	if _, err := g.Prefetch("token", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, known := g.Lookup(revocation.DigestOf("token")); !known || g.requests.Load() != 1 {
		t.Errorf("known: %t, %d requests", known, g.requests.Load())
	}
}

// Five requests in a row without a usable answer: then the endpoint is left alone and everybody told so at once. Rubbish
// that a stranger sends, and the endpoint answers with 400, does not count.
func TestAnEndpointThatFailsIsLeftAlone(t *testing.T) {
	for _, c := range []struct {
		rule   string
		status int
		answer string
		opens  bool
	}{
		{"errors of the server", 500, ``, true},
		{"an answer that can't be read", 200, `{`, true},
		{"wrong credentials", 401, ``, true},
		{"too many requests", 429, ``, true},
		{"a redirect", 302, ``, true},
		{"a proxy that wants credentials", 407, ``, true},
		{"no request in time", 408, ``, true},
		{"what the endpoint does not take", 400, ``, false},
		{"not active", 200, `{"active":false}`, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			g := newGate(t, config.Revocation{MaxConcurrent: 64})
			close(g.open)
			g.status.Store(int32(c.status))
			g.answer.Store(c.answer)
			for i := range 5 {
				if _, known := g.Lookup(revocation.DigestOf("token")); known {
					t.Fatalf("left alone after %d failures", i)
				}
				<-g.asks(t, fmt.Sprint("token ", i))
			}
			said, known := g.Lookup(revocation.DigestOf("token"))
			if known != c.opens {
				t.Fatalf("left alone: %t, want %t", known, c.opens)
			}
			if !c.opens {
				return
			}
			if _, v := g.Judge(said, new(verdict.Trace)); v.Reason != verdict.ProviderUnavailable || !strings.Contains(v.Detail, "it was not asked") {
				t.Errorf("got %s", v)
			}
			if v := <-g.asks(t, "token"); v.Reason != verdict.ProviderUnavailable || g.requests.Load() != 5 {
				t.Errorf("got %s after %d requests", v, g.requests.Load())
			}
		})
	}
}

// A caller that keeps everybody waiting while it asks must not be the one that tries whether the endpoint is back.
func TestProbeRecoveryAsksInTheBackground(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 64})
	probe := func(token string) string {
		said, resting := g.ProbeRecovery(token, time.Time{})
		if !resting {
			return ""
		}
		_, v := g.Judge(said, new(verdict.Trace))
		return string(v.Reason) + ": " + v.Detail
	}
	if got := probe("token"); got != "" {
		t.Errorf("an endpoint that answers is tested: %s", got)
	}
	g.status.Store(http.StatusInternalServerError)
	for i := range 5 {
		said := g.asks(t, fmt.Sprint("token ", i))
		g.open <- struct{}{}
		<-said
	}
	eventually(t, "it is not ready for a test", func() bool { _, known := g.Lookup(revocation.DigestOf("token")); return !known })
	g.status.Store(http.StatusOK)
	for range 100 { // none of which waits, while the endpoint does
		if got := probe("token"); !strings.HasPrefix(got, "provider unavailable: it was not asked") {
			t.Fatalf("got %q", got)
		}
	}
	eventually(t, "nothing tests it", func() bool { return g.inside.Load() == 1 })
	if got := g.requests.Load(); got != 6 {
		t.Errorf("%d requests, want 6", got)
	}
	close(g.open)
	eventually(t, "it is still left alone", func() bool { return probe("token") == "" })
	if v := <-g.asks(t, "token"); v.Kind != verdict.Accept {
		t.Errorf("got %s", v)
	}
}

func TestAPanicIsNoAnswer(t *testing.T) {
	g := newGate(t, config.Revocation{MaxConcurrent: 1})
	close(g.open)
	faulty := revocation.Options{
		Locate: func(context.Context) (string, error) { panic("boom") }, Now: g.now, Report: func(event.Note) {},
	}
	c := open(t, &config.Revocation{Timeout: time.Minute}, faulty)
	slot, err := c.Acquire("token", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, v := c.Judge(slot.Ask(t.Context()), new(verdict.Trace)); v.Reason != verdict.ProviderUnavailable || !strings.Contains(v.Detail, "boom") {
		t.Errorf("got %s", v)
	}
}

// The address is found by a request in mode oidc: Lookup does not wait for that.
func TestLookupDoesNotWaitForTheAddress(t *testing.T) {
	var once sync.Once
	c := open(t, &config.Revocation{Timeout: time.Minute}, revocation.Options{
		Locate: func(ctx context.Context) (string, error) {
			if ctx.Err() == nil {
				once.Do(func() { t.Error("it was asked with a context that waits") })
			}
			return "", ctx.Err()
		},
		Now: time.Now, Report: func(event.Note) {},
	})
	if _, known := c.Lookup(revocation.DigestOf("token")); known {
		t.Error("something is known")
	}
}
