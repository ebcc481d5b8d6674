package renewal_test

import (
	"io"
	"net/http"
	"slices"
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
	"go-jwt-auth/plugin/loop"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/renewal"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

type object = testkeys.Object

// env is what Renewals are part of. Client "c" is connected by connection 1 as "alice", and may stay for a minute.
type env struct {
	renewal.Renewals

	t       *testing.T
	key     testkeys.Key
	idp     *testidp.Server
	cfg     *config.Provider
	chain   *chain.Chain
	session *session.Session
	client  broker.Connect
	passed  atomic.Int64 // nanoseconds
	woken   chan struct{}
	// asked is each question of the endpoint, which waits for its answer.
	asked chan chan string
	// owners are whose tokens are the session's; their order does not matter.
	owners []string
	// blocked are whose tokens may not come in.
	blocked  []string
	applied  []string
	told     []event.Event
	outcomes []renewal.Outcome
}

const active, inactive, broken = `{"active":true}`, `{"active":false}`, `{`

// newEnv has a provider whose keys are known, and that is asked about each token.
func newEnv(t *testing.T, change func(*config.Provider)) *env {
	t.Helper()
	e := &env{t: t, key: testkeys.New("ES256", "k"), idp: testidp.New(t), woken: make(chan struct{}, 1), asked: make(chan chan string, 100), owners: []string{"alice"}}
	e.idp.Does(testidp.Answer(http.StatusOK, string(testkeys.Set(e.key))), func(w http.ResponseWriter, r *http.Request) {
		answer := make(chan string, 1)
		e.asked <- answer
		select {
		case body := <-answer:
			_, _ = io.WriteString(w, body)
		case <-r.Context().Done():
		}
	})
	e.cfg = e.idp.Config("ES256")
	e.cfg.JWKS.Cache.TTL, e.cfg.Common.RequireExpiration, e.cfg.Common.KickExpired = time.Hour, false, true
	if change != nil {
		change(e.cfg)
	}
	e.chain = e.inForce(e.cfg)
	wake := func() {
		select {
		case e.woken <- struct{}{}:
		default:
		}
	}
	alice := "alice"
	e.client = broker.Connect{Conn: 1, ClientID: "c", Username: &alice, Address: "192.0.2.7"}
	e.Renewals = renewal.Renewals{
		Loop: loop.New(e.now, wake, func(fault error) { t.Error(fault) }), Now: e.now, Sessions: session.NewRegistry(),
		Chain: func() *chain.Chain { return e.chain },
		IsOwner: func(_ *session.Session, result provider.Result) bool {
			return slices.Contains(e.owners, result.Subject)
		},
		Blocked: func(result provider.Result) *verdict.Verdict {
			if !slices.Contains(e.blocked, result.Subject) {
				return nil
			}
			v := verdict.Refuse(verdict.Blocked, "by an admin")
			return &v
		},
		Apply: func(_ *session.Session, client broker.Connect, result provider.Result) {
			e.applied = append(e.applied, client.ClientID+" "+result.Subject)
		},
		Tell: func(told event.Event) { e.told = append(e.told, told) },
	}
	t.Cleanup(e.Loop.Close)
	e.session = &session.Session{Provider: e.chain.Providers()[0].ID(), LeaveAt: e.now().Add(time.Minute), LogID: "the first"}
	e.Sessions.Admit(e.session, e.client, session.Digest{})
	return e
}

func (e *env) now() time.Time { return time.Unix(testidp.Now, e.passed.Load()) }

func (e *env) advance(d time.Duration) { e.passed.Add(int64(d)) }

// inForce is a chain of one provider whose keys have been read.
func (e *env) inForce(cfg *config.Provider) *chain.Chain {
	e.t.Helper()
	file := &config.Config{MaxTokenBytes: 16384, Providers: []*config.Provider{cfg}}
	c, err := chain.New(file, nil, provider.Options{Now: e.now, Report: func(event.Note) {}})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(c.Close)
	if cfg.Revocation != nil {
		go func() { (<-e.asked) <- inactive }() // it is tried out
	}
	if _, err := c.Probe(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	return c
}

// token is one of a subject for a time from now; zero: without end.
func (e *env) token(subject string, life time.Duration) string {
	claims := object{"jti": life.String()}
	if subject != "" {
		claims["sub"] = subject
	}
	if life != 0 {
		claims["exp"] = e.now().Add(life).Unix()
	}
	return e.key.Sign(claims)
}

// lines is how many of the events stand in the log.
func (e *env) lines() (n int) {
	for _, told := range e.told {
		if !told.CountedOnly {
			n++
		}
	}
	return n
}

func (e *env) begin(token string) {
	e.Begin(e.session, e.client, token, func(o renewal.Outcome) { e.outcomes = append(e.outcomes, o) })
}

// question is the next that the endpoint is asked.
func (e *env) question() chan string {
	e.t.Helper()
	select {
	case answer := <-e.asked:
		return answer
	case <-time.After(30 * time.Second):
		e.t.Fatal("the endpoint is not asked")
		return nil
	}
}

// turns until done.
func (e *env) turns(done func() bool) {
	e.t.Helper()
	deadline := time.After(30 * time.Second)
	for !done() {
		select {
		case <-e.woken:
			e.Loop.Turn()
		case <-deadline:
			e.t.Fatal("nothing more happens")
		}
	}
}

// comeTo turns until so many renewals have come to their end, and returns the last of them.
func (e *env) comeTo(n int) renewal.Outcome {
	e.t.Helper()
	e.turns(func() bool { return len(e.outcomes) >= n })
	if len(e.outcomes) > n {
		e.t.Fatalf("%d renewals came to their end: %+v", len(e.outcomes), e.outcomes)
	}
	return e.outcomes[n-1]
}

// unasked has nobody asked about tokens.
func unasked(c *config.Provider) { c.Revocation = nil }

// What is known decides inside of Begin.
func TestARenewalIsDecidedAtOnce(t *testing.T) {
	for _, c := range []struct {
		rule, subject, want string
		life                time.Duration
		change              func(*config.Provider)
		prepare             func(*env)
	}{
		{"a good token", "alice", "accept", time.Hour, nil, nil},
		{"one that ends sooner", "alice", "accept", time.Second, nil, nil},
		{"one without end", "alice", "accept", 0, nil, nil},
		{"an expired one", "alice", "expired: ", -time.Minute, nil, nil},
		{"another's", "bob", "identity mismatch: it is a token of another subject or issuer than the client was let in by", time.Hour, nil, nil},
		{"nobody's", "", "identity mismatch: nothing in it says whose it is: it has no sub, and no name is mapped", time.Hour, nil, nil},
		{"of the mapped username, whosever the session is", "alice", "accept", time.Hour, func(c *config.Provider) { c.Common.MatchUsername = true }, func(e *env) { e.owners = nil }},
		{"of another username", "bob", "identity mismatch: the username must be ", time.Hour, func(c *config.Provider) { c.Common.MatchUsername = true }, func(e *env) { e.owners = []string{"bob"} }},
		{"of one who may not come in", "alice", "blocked: by an admin", time.Hour, nil, func(e *env) { e.blocked = []string{"alice"} }},
		{"past the token's end", "alice", "expired: the session has come to its end", time.Hour, nil, func(e *env) { e.advance(time.Minute) }},
		{"past its limit", "alice", "expired: the session has come to its end", time.Hour, nil, func(e *env) { e.Sessions.Limit(e.session, e.now()) }},
		{"of one that must leave", "alice", "expired: the session has come to its end", time.Hour, nil, func(e *env) { e.Sessions.Expel(e.session, e.now(), "revoked") }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := newEnv(t, func(cfg *config.Provider) {
				unasked(cfg)
				if c.change != nil {
					c.change(cfg)
				}
			})
			if c.prepare != nil {
				c.prepare(e)
			}
			before, end := e.session.LeaveAt, time.Time{}
			if c.life != 0 {
				end = e.now().Add(c.life)
			}
			e.begin(e.token(c.subject, c.life))
			if len(e.outcomes) != 1 || len(e.told) != 1 {
				t.Fatalf("outcomes %+v, told %+v", e.outcomes, e.told)
			}
			got, told := e.outcomes[0], e.told[0]
			if !strings.HasPrefix(got.String(), c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if told.Verdict != got.Verdict || told.LogID != got.LogID || told.Client.Address != "192.0.2.7" {
				t.Errorf("told %+v", told)
			}
			if c.want == "accept" {
				if told.Kind != event.Renewed || !told.Until.Equal(end) || !e.session.LeaveAt.Equal(end) || !got.Expires.Equal(end) ||
					e.session.LogID != got.LogID || e.session.Generation() != 1 || !slices.Equal(e.applied, []string{"c alice"}) {
					t.Errorf("told %+v, %+v, applied %q", told, got, e.applied)
				}
				return
			}
			if told.Kind != event.RenewalRefused || got.Kind != verdict.Deny || !e.session.LeaveAt.Equal(before) || e.session.LogID != "the first" ||
				e.session.Generation() != 0 || len(e.applied) > 0 {
				t.Errorf("told %+v, session %+v, applied %q", told, e.session, e.applied)
			}
		})
	}
}

// A session whose time has come, and whose client is still there, is not asked about.
func TestWhoIsPastTheEndIsNotAskedAbout(t *testing.T) {
	e := newEnv(t, nil)
	e.advance(time.Minute)
	e.begin(e.token("alice", time.Hour))
	if got := e.comeTo(1); got.Reason != verdict.Expired || len(e.asked) > 0 || e.session.Renewals().Pending != 0 {
		t.Errorf("got %s; asked %d", got, len(e.asked))
	}
}

// The answer to a client is the end of its session, if that comes before its token's.
func TestWhatExpires(t *testing.T) {
	for _, c := range []struct {
		rule              string
		limit, life, want time.Duration
	}{
		{"the token first", time.Hour, time.Minute, time.Minute},
		{"the limit first", time.Minute, time.Hour, time.Minute},
		{"no token's end", time.Minute, 0, time.Minute},
		{"no limit", 0, time.Hour, time.Hour},
		{"neither", 0, 0, 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := newEnv(t, unasked)
			var want time.Time
			if c.want > 0 {
				want = e.now().Add(c.want)
			}
			if c.limit > 0 {
				e.Sessions.Limit(e.session, e.now().Add(c.limit))
			}
			e.begin(e.token("alice", c.life))
			if got := e.comeTo(1).Expires; !got.Equal(want) || !e.told[0].Until.Equal(want) {
				t.Errorf("got %s, told %s, want %s", got, e.told[0].Until, want)
			}
		})
	}
}

// A renewal that waits changes nothing before its answer, and what may have changed meanwhile is looked at then.
func TestWhatHappensWhileTheEndpointIsAsked(t *testing.T) {
	for _, c := range []struct {
		rule    string
		happens func(*env)
		answer  string
		want    string // empty: nobody is told anything
		refuses bool
	}{
		{"nothing", func(*env) {}, active, "accept", false},
		{"nothing, and the token is not active", func(*env) {}, inactive, "revoked: ", true},
		{"nothing, and there is no answer", func(*env) {}, broken, "provider unavailable: ", false},
		{"the session comes to its end", func(e *env) { e.advance(time.Minute) }, active, "expired: the session came to its end while the identity provider was asked", true},
		{"its client leaves", func(e *env) { e.Sessions.Leave(1) }, active, "", false},
		{"another comes from its address", func(e *env) {
			e.Sessions.Admit(&session.Session{Provider: e.session.Provider}, broker.Connect{Conn: 1, ClientID: "d"}, session.Digest{})
		}, active, "", false},
		{"it becomes another's", func(e *env) { e.owners = nil }, active, "identity mismatch: it is a token of another subject", true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := newEnv(t, nil)
			before := e.session.LeaveAt
			e.begin(e.token("alice", time.Hour))
			question := e.question()
			if len(e.outcomes) > 0 || len(e.told) != 1 || e.told[0].Kind != event.RenewalPending || e.session.Renewals().Pending != 1 || !e.session.LeaveAt.Equal(before) {
				t.Fatalf("outcomes %+v, told %+v before the answer", e.outcomes, e.told)
			}
			c.happens(e)
			question <- c.answer
			e.turns(func() bool { return e.session.Renewals().Pending == 0 })
			if c.want == "" {
				if len(e.outcomes) > 0 || len(e.told) > 1 || len(e.applied) > 0 {
					t.Errorf("outcomes %+v, told %+v", e.outcomes, e.told)
				}
				return
			}
			if got := e.comeTo(1); !strings.HasPrefix(got.String(), c.want) || got.Refuses() != c.refuses {
				t.Errorf("got %s, refuses %t", got, got.Refuses())
			}
			if renewed := c.want == "accept"; (len(e.applied) > 0) != renewed || e.session.LeaveAt.Equal(before) == renewed {
				t.Errorf("applied %q, until %s", e.applied, e.session.LeaveAt)
			}
		})
	}
}

// A token can end while its verdict is waited for: that of the session counts on.
func TestATokenEndsWhileItsVerdictIsWaitedFor(t *testing.T) {
	e := newEnv(t, nil)
	e.session.LeaveAt = e.now().Add(time.Hour)
	e.begin(e.token("alice", time.Minute))
	question := e.question()
	e.advance(time.Minute)
	question <- active
	if got := e.comeTo(1); got.Reason != verdict.Expired || !strings.HasSuffix(got.Detail, ", which passed while the identity provider was asked") || !got.Refuses() {
		t.Errorf("got %s", got)
	}
}

// A verdict by a provider that has been replaced meanwhile does not count: the new one gives it.
func TestAFileThatComesIntoForceMeanwhileCounts(t *testing.T) {
	for _, c := range []struct {
		rule, want string
		change     func(*config.Provider)
	}{
		{"the token is good by it", "accept", unasked},
		{"it is not", "wrong audience: ", func(c *config.Provider) { c.Common.Audience = []string{"mqtt"} }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := newEnv(t, nil)
			e.begin(e.token("alice", time.Hour))
			question := e.question()
			next := *e.cfg
			c.change(&next)
			e.chain = e.inForce(&next)
			question <- inactive // says the old one
			if got := e.comeTo(1); !strings.HasPrefix(got.String(), c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Each renewal counts in the order in which it was begun, not in which its answer came.
func TestALaterRenewalIsNotUndoneByAnEarlierOne(t *testing.T) {
	for _, answer := range []string{active, inactive} {
		e := newEnv(t, nil)
		e.begin(e.token("alice", 10*time.Minute))
		early := e.question()
		e.begin(e.token("alice", time.Hour))
		late := e.question()
		end := e.now().Add(time.Hour)
		late <- active
		if got := e.comeTo(1); got.Kind != verdict.Accept || got.Superseded {
			t.Fatalf("got %+v", got)
		}
		early <- answer
		got := e.comeTo(2)
		if !got.Superseded || got.Refuses() || len(e.applied) != 1 || !e.session.LeaveAt.Equal(end) || e.session.Generation() != 2 {
			t.Errorf("%s about the earlier one: %+v; session %+v", answer, got, e.session)
		}
		if answer == active && !got.Expires.Equal(end) {
			t.Errorf("the client is told %s", got.Expires)
		}
	}
}

// At most so many renewals of a client wait.
func TestPendingRenewalsAreBounded(t *testing.T) {
	e := newEnv(t, func(c *config.Provider) { c.Revocation.MaxConcurrent = renewal.MaxPending })
	var questions []chan string
	for i := range renewal.MaxPending {
		e.begin(e.token("alice", time.Hour+time.Duration(i)*time.Second))
		questions = append(questions, e.question())
	}
	e.begin(e.token("alice", 2*time.Hour))
	if got := e.comeTo(1); got.String() != "server busy: 5 renewals are waiting for their verdict" || got.Refuses() || e.session.Renewals().Pending != renewal.MaxPending {
		t.Errorf("got %s, %d wait", got, e.session.Renewals().Pending)
	}
	for i, question := range questions {
		question <- active
		e.comeTo(2 + i)
	}
	e.begin(e.token("alice", 3*time.Hour))
	e.question() <- active
	if got := e.comeTo(2 + renewal.MaxPending); got.Kind != verdict.Accept || e.session.Renewals().Pending != 0 {
		t.Errorf("when none waits any more: %s", got)
	}
}

// A client's requests are bounded, by $CONTROL and by AUTH each, and another's are not counted.
func TestLimits(t *testing.T) {
	type limit = func(*renewal.Renewals, *session.Session) *verdict.Verdict
	for name, c := range map[string]struct {
		limit, other limit
		method       string
		burst        int
		every        time.Duration
		want         string
	}{
		"$CONTROL": {(*renewal.Renewals).Limit, (*renewal.Renewals).LimitAuth, event.ByControl, renewal.Burst, renewal.Every, "server busy: at most 5 renewals are taken in a row, and then one in 10 s"},
		"AUTH":     {(*renewal.Renewals).LimitAuth, (*renewal.Renewals).Limit, event.ByAuth, renewal.AuthBurst, renewal.AuthEvery, "server busy: at most 20 renewals are taken in a row, and then one in 1 s"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, unasked)
			is := func(rule string, s *session.Session, limit limit, want string) {
				t.Helper()
				got := ""
				if v := limit(&e.Renewals, s); v != nil {
					got = v.String()
				}
				if got != want {
					t.Errorf("%s: got %q", rule, got)
				}
			}
			for range c.burst {
				is("in a row", e.session, c.limit, "")
			}
			for range 3 * renewal.Burst {
				is("beyond", e.session, c.limit, c.want)
			}
			if e.lines() != renewal.Burst || len(e.told) != 3*renewal.Burst || e.told[0].Kind != event.RenewalRefused || e.told[0].Method != c.method {
				t.Errorf("%d lines in the log, %d events: %+v", e.lines(), len(e.told), e.told[0])
			}
			e.advance(c.every - time.Millisecond)
			is("just before", e.session, c.limit, c.want)
			e.advance(time.Millisecond)
			is("then", e.session, c.limit, "")
			is("once", e.session, c.limit, c.want)
			is("the other way", e.session, c.other, "")
			is("another client", &session.Session{Conn: 2, ClientID: "d"}, c.limit, "")
		})
	}
}

// Tokens that don't count cause so many lines of the log, however many there are; all are counted.
func TestLinesAreBounded(t *testing.T) {
	e := newEnv(t, unasked)
	for range 3 * renewal.Burst {
		e.begin("rubbish")
	}
	if len(e.outcomes) != 3*renewal.Burst || len(e.told) != 3*renewal.Burst || e.lines() != renewal.Burst {
		t.Errorf("%d outcomes, %d events, %d lines", len(e.outcomes), len(e.told), e.lines())
	}
	e.advance(renewal.Every)
	e.begin("rubbish")
	if e.lines() != renewal.Burst+1 {
		t.Errorf("%d lines later", e.lines())
	}
	e.begin(e.token("alice", time.Hour))
	if last := e.told[len(e.told)-1]; last.Kind != event.Renewed {
		t.Errorf("one that counts is not told: %+v", last)
	}
}

// A client id that is shown as a token is hidden in the line about that; and in all, once that is the token that counts.
func TestAClientIDThatIsAToken(t *testing.T) {
	shown := func(told event.Event) string { return told.Client.ID.Text(100) }
	e := newEnv(t, unasked)
	e.begin("c")
	e.begin("rubbish")
	if shown(e.told[0]) == "c" || shown(e.told[1]) != "c" || e.session.IDIsToken {
		t.Errorf("%s, then %s", shown(e.told[0]), shown(e.told[1]))
	}

	e = newEnv(t, unasked)
	token := e.token("alice", time.Hour)
	e.client.ClientID = token
	e.Sessions.Leave(1)
	e.Sessions.Admit(e.session, e.client, session.Digest{})
	e.begin(token)
	e.begin("rubbish")
	if !e.session.IDIsToken || len(e.told) != 2 || shown(e.told[0]) != shown(e.told[1]) || strings.Contains(shown(e.told[1]), token[:20]) {
		t.Errorf("told %+v", e.told)
	}
}

// What the client shows speaks against its session only if something was learnt about it, and nothing newer counts by then.
func TestWhatRefuses(t *testing.T) {
	deny := func(reason verdict.Reason) verdict.Verdict { return verdict.Refuse(reason, "x") }
	for _, c := range []struct {
		outcome renewal.Outcome
		want    bool
	}{
		{renewal.Outcome{Verdict: verdict.Verdict{Kind: verdict.Accept}}, false},
		{renewal.Outcome{Verdict: deny(verdict.Revoked)}, true},
		{renewal.Outcome{Verdict: deny(verdict.NotAToken)}, true},
		{renewal.Outcome{Verdict: deny(verdict.IdentityMismatch)}, true},
		{renewal.Outcome{Verdict: deny(verdict.ProviderUnavailable)}, false},
		{renewal.Outcome{Verdict: deny(verdict.KeysUnavailable)}, false},
		{renewal.Outcome{Verdict: deny(verdict.ServerBusy)}, false},
		{renewal.Outcome{Verdict: deny(verdict.Revoked), Superseded: true}, false},
		{renewal.Outcome{}, true}, // nobody set it
	} {
		if got := c.outcome.Refuses(); got != c.want {
			t.Errorf("%s, superseded %t: %t", c.outcome, c.outcome.Superseded, got)
		}
	}
}
