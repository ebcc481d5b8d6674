package model

import (
	"fmt"
	"slices"
	"time"

	"go-jwt-auth/plugin/verdict"
)

// rules know what nobody may get round, and nothing of how the plugin sees to it:
//
//   - Nobody is connected without a token that was good when it was last judged, and is not over.
//   - A verdict reaches only the attempt that it was made for, and nobody is disconnected for what concerns another.
//   - After SIGHUP everybody who is connected stays, unless his token is over; nobody waits, and nobody is asked about.
//   - Nobody good is refused for another's sake (driver.insist).
//
// What they know of the world they have from the broker, the providers and the plugin's log.
type rules struct {
	broker *mosquitto
	clock  *clock
	// inForce is the configuration that the plugin has said it goes by, next the one that it was last told to read, written the
	// one that stands in the file.
	inForce, next, written settings
	hungUp                 bool // there was a SIGHUP

	// moment numbers what happens.
	moment int
	// down are the providers that have ever failed to answer.
	down map[int]bool
	// questions counts what providers were asked.
	questions int
	// answers are what providers have said, keys the sets that they gave out, each in order.
	answers map[question][]*answer
	keys    map[int][]keySet
	// forgot is the moment at which another provider was last put in the place of one, with all that was learnt from that.
	forgot int
	// set is when the clock was last set; zero: never.
	set time.Time

	history []string
	fault   string
}

type question struct {
	provider int
	token    *token
}

// answer is one request about a token.
type answer struct {
	number       int
	asked, ended int // moments; ended 0: it is under way
	at           time.Time
	known        bool // it was answered
	active       bool
}

type keySet struct {
	moment int
	at     time.Time
	kids   []string
}

// attempt is a CONNECT that the plugin was asked about.
type attempt struct {
	token *token // nil: it had none
	// under is the configuration that was in force when it began, at that time and moment.
	under settings
	at    time.Time
	began int
	// admitted is true where the plugin has let it in, since when it did.
	admitted bool
	since    time.Time
}

func (r *rules) say(format string, args ...any) {
	r.history = append(r.history, fmt.Sprintf(format, args...))
}

// broken records that a rule was; the first one counts.
func (r *rules) broken(format string, args ...any) {
	fault := fmt.Sprintf(format, args...)
	r.say("    BROKEN: %s", fault)
	if r.fault == "" {
		r.fault = fault
	}
}

// hears takes over what the providers have done. The plugin has come to rest.
func (r *rules) hears(events []happening) {
	for _, e := range events {
		r.moment++
		q := question{e.provider, e.token}
		switch e.kind {
		case asked:
			r.questions++
			r.say("    provider %d is asked about %s", e.provider, e.token.Name)
			r.answers[q] = append(r.answers[q], &answer{number: e.request, asked: r.moment})
		case answered, failed:
			said := "nothing"
			r.down[e.provider] = r.down[e.provider] || e.kind == failed
			if e.kind == answered {
				said = fmt.Sprintf("active %t", e.active)
			}
			r.say("    provider %d says of %s: %s", e.provider, e.token.Name, said)
			i := slices.IndexFunc(r.answers[q], func(a *answer) bool { return a.number == e.request })
			a := r.answers[q][i]
			a.ended, a.at, a.known, a.active = r.moment, e.at, e.kind == answered, e.kind == answered && e.active
		case published:
			r.say("    provider %d gives out the keys %v", e.provider, e.kids)
			r.keys[e.provider] = append(r.keys[e.provider], keySet{r.moment, e.at, e.kids})
		}
	}
}

func (r *rules) reloaded() {
	if r.next.Provider != r.inForce.Provider || !r.next.asks() || !r.inForce.asks() {
		r.forgot = r.moment
	}
	r.inForce = r.next
	if c := r.broker.asking; c != nil && c.state == connecting {
		c.attempt.under = r.inForce // where no Tick comes, a file is taken over before a login is looked at
	}
}

// begins notes an attempt, the plugin being about to be asked.
func (r *rules) begins(c *conn) {
	r.moment++
	c.attempt = attempt{under: r.inForce, at: time.Now(), began: r.moment}
	if c.Password != nil {
		if c.attempt.token = r.broker.find(*c.Password); c.attempt.token != nil {
			c.attempt.token.latest = r.moment
		}
	}
}

func (r *rules) delayed(c *conn) { r.say("    %s waits for its verdict", c) }

// judged holds a verdict on an attempt against the rules.
func (r *rules) judged(c *conn, kind verdict.Kind) {
	r.broker.settle()
	r.say("    %s: %s", c, kind)
	bar, certain := r.bar(c)
	switch kind {
	case verdict.Accept:
		c.attempt.admitted, c.attempt.since = true, time.Now()
		if c.attempt.token != nil {
			c.attempt.token.admitted++
		}
		if bar != "" {
			r.broken("%s was let in by %s, but %s", c, c.attempt.token, bar)
		}
	case verdict.Pending:
		r.broken("%s is to wait, which this broker can't", c)
	case verdict.Deny, verdict.Retry:
		if bar == "" && certain && !r.mayBePutOff(c, kind) {
			r.broken("%s was refused (%s), though %s is good", c, kind, c.attempt.token)
		}
	case verdict.Defer:
		if c.attempt.token != nil {
			r.broken("%s was left to others in spite of %s", c, c.attempt.token)
		}
	}
}

// mayBePutOff tells whether there is another reason to refuse a good token now: the broker has just asked for everybody, or
// somebody else lives under a client id that is not the client's own choice.
func (r *rules) mayBePutOff(c *conn, kind verdict.Kind) bool {
	swept := r.broker.swept && (!r.broker.NoTicks || time.Since(r.broker.hupAt) < time.Second)
	old := r.broker.session(c.id)
	return (swept && kind == verdict.Retry) || (old != nil && !c.owns(old) && (c.contested() || c.attempt.under.MatchClientID || c.attempt.under.MatchUsername))
}

// contested tells whether a client id is not simply what the client has chosen: it was rewritten, or it may be what the
// broker has made of a username that the client only claimed.
func (c *conn) contested() bool {
	claimed := c.Username != nil && *c.Username == c.ID
	return c.id != c.ID || (claimed && c.username != nil && *c.username != *c.Username)
}

// owns tells whether a session is the client's own: by a token of the same issuer and subject.
func (c *conn) owns(old *conn) bool {
	mine, its := c.attempt.token, old.attempt.token
	return old.attempt.admitted && mine.Issuer == its.Issuer && mine.Subject == its.Subject
}

// takesOver holds a takeover against the rules: nobody gets the session of another by an id that he did not choose.
func (r *rules) takesOver(c, old *conn) {
	// 2.0 does not say whether others have let somebody in, so that who is away can't be told from who never was there.
	unknown := r.broker.V20 && old.state == away && !old.attempt.admitted
	if c.attempt.admitted && c.contested() && !c.owns(old) && !unknown {
		r.broken("%s was given the client id of %s, who is somebody else", c, old)
	}
}

// bar says why nobody may be let in by this attempt now; empty: there is no reason, and where certain, it must be let in.
func (r *rules) bar(c *conn) (why string, certain bool) {
	a := c.attempt
	switch {
	case a.token == nil:
		return "it has no token", false
	case a.under.Mode != introspection && !r.trusted(a):
		return "its signature is by " + a.token.Key, false
	case a.under.Issuer != "" && a.token.Issuer != a.under.Issuer:
		return "its issuer is " + a.token.Issuer, false
	case a.token.Expires.IsZero() && a.under.kicks():
		return "it has no end", false
	case a.under.Validate && r.over(a):
		return "it is over", false
	case a.under.MatchUsername && (c.username == nil || *c.username != a.token.Subject):
		return "its username is not its token's", false
	case a.under.MatchClientID && c.id != a.token.Subject:
		return "its client id is not its token's", false
	case a.under.asks():
		return r.barByProvider(c)
	}
	return "", a.under.Mode == local
}

func (r *rules) over(a attempt) bool {
	return !a.token.Expires.IsZero() && !r.clock.now().Before(a.token.Expires.Add(a.under.Leeway))
}

// trusted tells whether the key of the token is one that this attempt may have been judged by.
func (r *rules) trusted(a attempt) bool {
	if a.under.Mode == local {
		return a.token.Key == a.under.Secret
	}
	sets := r.keys[a.under.Provider]
	for i, s := range slices.Backward(sets) {
		if slices.Contains(s.kids, a.token.Key) && a.at.Sub(s.at) <= a.under.keyLife() {
			return true
		}
		if i == 0 || (s.moment < a.began && !r.hungUp) {
			// Those before were out of force when it began; where a file replaces another, each has its own set for a while.
			return false
		}
	}
	return false
}

// barByProvider is what the provider has said against the token.
func (r *rules) barByProvider(c *conn) (why string, certain bool) {
	a := c.attempt
	var before *answer // the last one
	active, inactive, failed, requests, answers := false, false, false, 0, 0
	for _, x := range r.answers[question{a.under.Provider, a.token}] {
		if x.ended == 0 || x.ended > a.began {
			requests++
		}
		switch {
		case !x.known:
			failed = failed || x.ended > a.began
		case x.ended < a.began:
			before = x
		default:
			answers++
			active, inactive = active || x.active, inactive || !x.active
		}
	}
	within := func(life time.Duration) bool { return before != nil && a.at.Sub(before.at) < life }
	life := max(a.under.TTL, a.under.window())
	justRefused := before != nil && !before.active && before.ended > r.forgot && within(a.under.NegativeTTL)
	switch {
	case a.under.Check == afterConnect:
		if justRefused {
			return "its provider has just said that it is not active", false
		}
	case active || (before != nil && before.active && within(life)):
	case inactive && !(a.under.Allow && (failed || r.down[a.under.Provider])): // who was told what is not known
		return "its provider says that it is not active", false
	case a.under.Allow:
		if justRefused {
			return "its provider has just said that it is not active", false
		}
	default:
		return "its provider has not said that it is active", false
	}
	// Its own question was answered, nobody else has asked it, and the provider can't count as down.
	certain = !r.down[a.under.Provider] && a.under.Mode == local && a.under.Check == beforeConnect && requests == 1 && answers == 1 && active &&
		!slices.ContainsFunc(r.broker.sessions, func(other *conn) bool { return other != c && other.attempt.token == a.token })
	return "", certain
}

// sweeps notes that the plugin is about to be asked for a session again.
func (r *rules) sweeps(c *conn) {
	r.say("    the broker asks again for %s", c)
}

// swept holds the answer against the rules.
func (r *rules) swept(c *conn, kind verdict.Kind) {
	r.say("    %s: %s", c, kind)
	_, legitimate := r.mayGo(c)
	switch a := c.attempt; {
	case c.state == connected && a.admitted && kind == verdict.Accept && a.under.kicks() && r.over(a):
		// Nobody is reaffirmed past his end: it counts as let in anew, by the file that is in force.
		r.begins(c)
		c.attempt.admitted, c.attempt.since = true, time.Now()
		if bar, _ := r.bar(c); bar != "" {
			r.broken("%s may stay after SIGHUP by %s, but %s", c, a.token, bar)
		}
	case kind == verdict.Pending:
		r.broken("%s is to wait after SIGHUP, which costs it its connection", c)
	case c.state == away && c.attempt.admitted && kind != verdict.Accept && r.broker.V20 && (c.Subscribes || (!r.broker.NoTicks && !c.WebSocket)):
		// A bug of the broker's: it enters the session into its list of those that expire once more.
		r.broken("the session of %s, who is away, was refused after SIGHUP: this broker writes to freed memory when it comes back", c)
	case c.state == connected && c.attempt.admitted && kind != verdict.Accept && !legitimate:
		r.broken("%s lost its connection by SIGHUP (%s), though %s is good", c, kind, c.attempt.token)
	}
}

// mayGo tells whether there is a reason to disconnect a client that was let in.
func (r *rules) mayGo(c *conn) (why string, legitimate bool) {
	a := c.attempt
	if !a.admitted {
		return "", false
	}
	if a.under.kicks() && r.over(a) {
		return "its token is over", true
	}
	active, inactive, failed := false, false, false
	for q, all := range r.answers {
		for _, x := range all {
			if q.token == a.token && x.ended > a.began {
				active, inactive, failed = active || x.active, inactive || (x.known && !x.active), failed || !x.known
			}
		}
	}
	switch {
	case inactive:
		return "its token is not active", true
	case a.under.Check == afterConnect && a.under.asks() && !a.under.Allow && (failed || !active || r.down[a.under.Provider]):
		return "nothing was learnt of its token", true
	case a.under.asks() && !a.under.kicks() && (!r.inForce.asks() || r.inForce.Provider != a.under.Provider):
		return "nobody is left to ask about it, and it would never end", true
	}
	return "", false
}

func (r *rules) kicked(c *conn) {
	r.broker.settle()
	if why, legitimate := r.mayGo(c); legitimate {
		r.say("    %s is disconnected: %s", c, why)
	} else {
		r.broken("%s was disconnected for no reason of its own", c)
	}
}

// patience is how long an end that comes sooner, because the clock was set, may be overlooked.
const patience = time.Minute

// rested holds those who are connected against the rules, the plugin having had its chance to disconnect them for what was
// known at a moment.
func (r *rules) rested(known int) {
	for _, c := range r.broker.sessions {
		a := c.attempt
		switch {
		case c.state != connected || !a.admitted:
		case r.broker.NoTicks && time.Since(a.since) < 2*time.Second:
			// Its end may have come up while it was just taking over, where a kick by its id can't reach it.
		case a.under.kicks() && r.over(a) && (r.set.IsZero() || time.Since(r.set) > patience):
			r.broken("%s stays, though %s is over", c, a.token)
		case r.condemned(a, known):
			r.broken("%s stays, though %s is not active", c, a.token)
		}
	}
}

// condemned tells whether the provider that let the client in has said since that its token is not active, in answer to a
// question that can have been about nobody else. Known is the moment until which that counts.
func (r *rules) condemned(a attempt, known int) bool {
	// Whoever is let in because a provider is down is not told apart from the question that tries it again.
	unasked := a.under.Allow && r.down[a.under.Provider]
	return !unasked && a.token.latest == a.began && a.token.admitted == 1 && slices.ContainsFunc(r.answers[question{a.under.Provider, a.token}], func(x *answer) bool {
		return x.asked > a.began && x.known && !x.active && x.ended <= known
	})
}

func (c *conn) String() string {
	text := fmt.Sprintf("%x id %s", uint64(c.address), c.id)
	if c.username != nil {
		text += " username " + *c.username
	}
	return text
}

func (t *token) String() string {
	if t == nil {
		return "no token"
	}
	return t.Name
}
