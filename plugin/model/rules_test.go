package model

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/verdict"
)

// rules know what nobody may get round, and nothing of how the plugin sees to it:
//
//   - Nobody is connected without a token that was good when it was last judged, and is not over. Who judges it is the provider
//     that answers for its iss by the file that was in force when the login began; no key and no answer of another counts.
//   - A verdict reaches only the attempt that it was made for, and nobody is disconnected for what concerns another.
//   - After SIGHUP everybody who is connected stays, unless his token is over; nobody waits, and nobody is asked about.
//   - An identity provider is asked only what its provider in the file has a reason to ask: about a token by which somebody has come
//     whose provider that is, and by whom a client is connected, for as long as the file has it. It is not asked again what it has
//     said a while ago, nor for keys that it has just given out, also not because other providers have changed.
//   - Clients of a provider that is gone from the file leave in the end: those whose tokens never expire when they would be asked about.
//   - By enhanced authentication nobody gets in whom the same token would not let in by password. What can't be known at once is
//     refused.
//   - A connected client's token is replaced by another of the same provider and identity, once that is judged good, and by nothing
//     else: what speaks against the old one counts no more, and the end of the new one does. One by AUTH that is bad ends the
//     session. Nobody is connected for longer than maxSession, whatever it shows.
//   - What a client may do is said by the last of its tokens that counted, under the file by which that was judged, and by no other
//     client's, whoever has its address; it goes for its will and for the session that is kept, too.
//   - What is asked by $CONTROL is answered once, in order, to the very connection that has asked.
//   - By commands of admins nothing is learnt and nobody is disconnected unless an admin by the file in force has asked for it; what
//     they see is right, and on 2.1 all that there is. Whom one keeps out does not come in until that is over, and renews nothing. Each
//     refusal stands once in their list, in order.
//   - Nobody good is refused for another's sake (driver.insist), and no file is kept out for the sake of a provider that has not changed.
//
// What they know of the world they have from the broker, the identity providers and the plugin's log.
type rules struct {
	broker *mosquitto
	clock  *clock
	// moment numbers what happens.
	moment int
	// down are those whose identity provider has ever failed to say something about a token.
	down map[asker]bool
	// questions counts what identity providers were asked about tokens.
	questions int
	// answers are what they have said of tokens, keys the sets that they gave out, each in order.
	answers map[question][]*answer
	keys    map[asker][]*keySet
	// documents are those that say where endpoints are.
	documents map[asker][]*document
	// lookedAt is when a login of a provider was last looked at, changed when a file was last to be read, or came into force, in
	// which something about that is another than before.
	lookedAt map[asker]int
	changed  map[asker]change
	// forgot is the moment at which another provider was last put in the place of one, with all that was learnt from that.
	forgot map[asker]int
	// open are the attempts because of which something may still be asked, chosen whose affair a token ever was.
	open   []*attempt
	chosen map[affair]bool
	// set is when the clock was last set; zero: never.
	set time.Time
	// messages are those to $CONTROL.
	messages []*message
	// deferred are those who were left to others after SIGHUP.
	deferred map[seat]bool
	// watched is the moment since when what admins may see is kept; 0: there are none. refusals are those of the log since, lastRefusal is
	// the id of the last one that an admin has seen. told is what admins were told.
	watched     int
	refusals    []refusal
	lastRefusal int64
	told        told
	// held are those who were let in by a client id.
	held map[string][]*conn

	history []string
	fault   string
}

type (
	question struct {
		asker asker
		token *token
	}
	affair struct {
		line            int
		token, provider string
	}
	seat struct {
		address broker.Conn
		id      string
	}
	change struct {
		moment int
		at     time.Time
	}
)

// answer is one request about a token.
type answer struct {
	number       int
	asked, ended int // moments; ended 0: it is under way
	askedAt, at  time.Time
	known        bool // it was answered
	active       bool
	because      *attempt // nil: a client who is connected is asked about again
	began        int      // when that attempt did, by then
}

// keySet is one request for keys.
type keySet struct {
	number       int
	asked, ended int // as above
	// began is when somebody wanted it, which may have been before it was known where it is.
	began int
	at    time.Time
	known bool
	keys  []string
}

// lastFetch is the moment at which keys were last asked for.
func (r *rules) lastFetch(by asker) int {
	if sets := r.keys[by]; len(sets) > 0 {
		return sets[len(sets)-1].asked
	}
	return 0
}

// document is one request for what says where the endpoints are.
type document struct {
	number       int
	asked, ended int // as above
	at           time.Time
	known        bool // it is of use
}

// attempt is a CONNECT that the plugin was asked about.
type attempt struct {
	line  *line
	token *token // nil: it had none
	// taken: a text of it is a token by the file, whoever has issued that. ended: its exp had passed then.
	taken, ended bool
	// under is the file that was in force when it began, at that time and moment, by the provider that answers for the token;
	// without answered, none does.
	under    file
	by       provider
	answered bool
	at       time.Time
	began    int
	// asked is true when its question was asked; there is one at the most. Once the attempt is judged, that happens until a time, as
	// questions can wait for others.
	asked bool
	until time.Time
	// admitted is true where the plugin has let it in, since when it did.
	admitted bool
	since    time.Time
	// watched: it is asked about again and again. abandoned is since when its provider is gone from the file, wasAbandoned whether
	// that was ever so.
	watched      bool
	abandoned    time.Time
	wasAbandoned bool
	// shown finds the token by a file. byAuth: it came by enhanced authentication.
	shown  func(file) (t *token, taken bool)
	anew   func(file) (t *token, taken bool) // the same for a renewal that is judged anew
	byAuth bool
	// renews is the client that has shown a fresh token; nil: it is a login. order is the moment when it did. counted: that has replaced
	// the one before; outrun: one that was shown later has; refused: the client was told that it does not count.
	renews                   *conn
	order                    int
	counted, outrun, refused bool
}

// isOpen tells whether a renewal may still count.
func (a *attempt) isOpen() bool { return !a.counted && !a.outrun && !a.refused }

// former is a token that counted until a time.
type former struct {
	token *token
	asker asker
	until time.Time
}

func newRules(clock *clock) *rules {
	return &rules{
		clock: clock,
		down:  map[asker]bool{}, answers: map[question][]*answer{}, keys: map[asker][]*keySet{}, documents: map[asker][]*document{},
		lookedAt: map[asker]int{}, changed: map[asker]change{}, forgot: map[asker]int{}, chosen: map[affair]bool{}, deferred: map[seat]bool{}, held: map[string][]*conn{},
	}
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

// hears takes over what the identity providers have done. The plugin has come to rest.
func (r *rules) hears(events []happening) {
	for _, e := range events {
		r.moment++
		switch {
		case e.token != nil:
			r.hearsOfToken(e)
		case e.about == theDocument:
			r.hearsOfDocument(e)
		default:
			r.hearsOfKeys(e)
		}
	}
}

func (r *rules) hearsOfToken(e happening) {
	q := question{e.asker, e.token}
	if e.kind == asked {
		r.questions++
		r.say("    %s is asked about %s", e.asker, e.token)
		because := r.justify(q, e.at)
		x := &answer{number: e.request, asked: r.moment, askedAt: e.at, because: because}
		if because != nil {
			x.began = because.began
		}
		r.answers[q] = append(r.answers[q], x)
		return
	}
	said := "nothing"
	r.down[e.asker] = r.down[e.asker] || e.kind == failed
	if e.kind == answered {
		said = fmt.Sprintf("active %t", e.active)
	}
	r.say("    %s says of %s: %s", e.asker, e.token, said)
	i := slices.IndexFunc(r.answers[q], func(a *answer) bool { return a.number == e.request })
	a := r.answers[q][i]
	a.ended, a.at, a.known, a.active = r.moment, e.at, e.kind == answered, e.kind == answered && e.active
}

func (r *rules) hearsOfKeys(e happening) {
	if e.kind == asked {
		r.say("    %s is asked for its keys", e.asker)
		if !r.mayFetch(e.asker, e.at) {
			r.broken("%s was asked for its keys again, for no reason", e.asker)
		}
		s := &keySet{number: e.request, asked: r.moment, began: r.moment}
		if all := r.documents[e.asker]; len(all) > 0 {
			if last := all[len(all)-1]; last.ended > r.lastFetch(e.asker) {
				s.began = last.asked // it was asked for first
			}
		}
		r.keys[e.asker] = append(r.keys[e.asker], s)
		return
	}
	r.say("    %s gives out the keys %v: %t", e.asker, e.keys, e.kind == answered)
	sets := r.keys[e.asker]
	s := sets[slices.IndexFunc(sets, func(s *keySet) bool { return s.number == e.request })]
	s.ended, s.at, s.known, s.keys = r.moment, e.at, e.kind == answered, e.keys
}

func (r *rules) hearsOfDocument(e happening) {
	all := r.documents[e.asker]
	if e.kind != asked {
		r.say("    %s gives out its document: %t", e.asker, e.kind == answered)
		d := all[slices.IndexFunc(all, func(d *document) bool { return d.number == e.request })]
		d.ended, d.known, d.at = r.moment, e.kind == answered, e.at
		r.down[e.asker] = r.down[e.asker] || !d.known
		return
	}
	r.say("    %s is asked for its document", e.asker)
	l, needs := r.of(e.asker), func(p provider) bool { return p.asker() == e.asker && p.Mode == oidc }
	if l.readable && !slices.ContainsFunc(slices.Concat(l.next.Providers, l.inForce.Providers), needs) {
		r.broken("%s was asked for its document, which no file needs", e.asker)
	}
	if len(all) > 0 {
		last, changed := all[len(all)-1], r.changed[e.asker]
		// Two files may have asked at once.
		failed := slices.ContainsFunc(all, func(d *document) bool { return d.ended > last.ended && !d.known })
		if last.known && !failed && e.at.Sub(last.at) < documentTTL && last.asked > changed.moment && e.at.Sub(changed.at) > keyTTL {
			r.broken("%s was asked for its document again, for no reason", e.asker)
		}
	}
	r.documents[e.asker] = append(all, &document{number: e.request, asked: r.moment})
}

// justify finds the attempt because of which a question is asked; nil: it is about somebody who is connected.
func (r *rules) justify(q question, at time.Time) *attempt {
	if r.isAskedAbout(q, at) {
		return nil
	}
	i := slices.IndexFunc(r.open, func(a *attempt) bool {
		return !a.asked && a.token == q.token && a.by.asker() == q.asker && a.by.asks() && (a.until.IsZero() || !at.After(a.until))
	})
	if i < 0 {
		r.broken("%s was asked about %s, which is not its affair", q.asker, q.token)
		return nil
	}
	a := r.open[i]
	a.asked = true
	if x := r.kept(q, at); x != nil && x.ended < a.began && !a.ended {
		r.broken("%s was asked about %s again, though its answer is kept", q.asker, q.token)
	}
	return a
}

// isAskedAbout tells whether a client is connected by a token whose provider, or what the file has in its place, asks about it again
// and again.
func (r *rules) isAskedAbout(q question, at time.Time) bool {
	l := r.of(q.asker)
	files := []file{l.inForce}
	if at.Sub(l.tookOver) <= timeout {
		files = append(files, l.before) // the question may have waited for others
	}
	for _, c := range r.broker.live {
		a := c.attempt
		if slices.ContainsFunc(c.former, func(f former) bool { return f.token == q.token && f.asker == q.asker && !at.After(f.until) }) {
			return true // the question may have waited for others
		}
		if c.state == away || !a.admitted || a.token != q.token || a.by.asker() != q.asker {
			continue
		}
		if slices.ContainsFunc(files, a.rechecked) {
			return true
		}
	}
	return false
}

// rechecked tells whether a file has the client asked about again and again.
func (a *attempt) rechecked(f file) bool {
	now, there := f.same(a.by.id())
	return there && now.asksAsIn(a.by) && now.Recheck > 0
}

// kept is the last answer about a token if that still speaks for it at a time, and the provider is the one that has asked.
func (r *rules) kept(q question, at time.Time) *answer {
	p, there := r.of(q.asker).inForce.find(func(p provider) bool { return p.asker() == q.asker })
	all, changed := r.answers[q], r.changed[q.asker]
	if !there || len(all) == 0 || slices.ContainsFunc(all, func(x *answer) bool { return x.known && !x.active }) {
		return nil
	}
	last := all[len(all)-1]
	asked := last.because != nil && last.began > changed.moment || last.because == nil && last.askedAt.After(changed.at)
	expired := !q.token.Expires.IsZero() && !r.clock.now().Before(q.token.Expires)
	if last.active && asked && at.Sub(last.at) < p.TTL && !expired {
		return last
	}
	return nil
}

// mayFetch tells whether there is a reason to ask for keys: there are none yet, or the last attempt failed, they are old, a login may
// not have found its key, or the file has changed about it.
func (r *rules) mayFetch(by asker, at time.Time) bool {
	sets := r.keys[by]
	if len(sets) == 0 || at.Sub(r.changed[by].at) < keyTTL {
		return true
	}
	last := sets[len(sets)-1]
	return !last.known || at.Sub(last.at) >= keyRefresh || r.lookedAt[by] > last.began ||
		slices.ContainsFunc(r.documents[by], func(d *document) bool { return d.ended > last.asked }) || // for which somebody has waited
		slices.ContainsFunc(r.open, func(a *attempt) bool { return a.by.asker() == by && a.until.IsZero() })
}

// isTold notes that the plugin has been told to read the file.
func (r *rules) isTold(l *line) {
	l.next, l.expected = l.written, l.readable && l.written.reaches(l.inForce)
	if l.readable {
		r.changes(l)
	}
}

// changes notes which providers are to be other ones, or are so now.
func (r *rules) changes(l *line) {
	for _, p := range l.next.Providers {
		if !l.inForce.has(p) {
			r.changed[p.asker()] = change{r.moment, time.Now()}
		}
	}
}

func (r *rules) reloaded(l *line) {
	r.changes(l)
	for _, p := range l.next.Providers {
		if old, there := l.inForce.same(p.id()); !there || !p.asksAsIn(old) {
			r.forgot[p.asker()] = r.moment
		}
	}
	l.before, l.inForce, l.tookOver, l.expected = l.inForce, l.next, time.Now(), false
	r.watches()
	for _, c := range r.broker.live {
		if c.line != l {
			continue
		}
		if c.attempt.admitted {
			r.follow(c.attempt)
		}
		for _, a := range c.renewals {
			if !a.counted && !a.refused && (!l.inForce.has(a.by) || r.broker.asking == c) {
				r.looksAgain(a)
			}
		}
	}
	if c := r.broker.asking; c != nil && c.line == l && c.state == connecting {
		r.look(c.attempt) // where no Tick comes, a file is taken over before a login is looked at
	}
}

// looksAgain has a renewal judged anew, by the file that is in force.
func (r *rules) looksAgain(a *attempt) {
	r.moment++
	before := *a // whose question can still be in a queue
	before.until = time.Now().Add(2 * timeout)
	a.began, a.at, a.asked = r.moment, time.Now(), false
	a.shown = a.anew // whichever methods there are now
	r.look(a)
	r.ends(a)
	r.open = append(r.open, &before, a)
}

// follow notes what becomes of a client's provider in the file that is in force.
func (r *rules) follow(a *attempt) {
	now, there := a.line.inForce.same(a.by.id())
	switch {
	case there && now.asksAsIn(a.by):
		a.abandoned = time.Time{}
		a.watched = a.watched && now.Recheck > 0
	case a.abandoned.IsZero():
		a.abandoned, a.wasAbandoned = time.Now(), true
	}
}

// lets notes that a client was let in.
func (r *rules) lets(a *attempt) {
	a.admitted, a.since, a.watched = true, time.Now(), a.by.Recheck > 0
	r.follow(a)
}

// letsIn is lets for a connection, which may be one that was in before.
func (r *rules) letsIn(c *conn) {
	r.held[c.id] = append(r.held[c.id], c)
	r.lets(c.attempt)
	if c.in.IsZero() {
		c.in = time.Now()
	}
	c.bound(c.attempt.by)
	c.rights = r.grantOf(c.attempt)
}

// bound bounds how long a connection may last in all.
func (c *conn) bound(by provider) {
	if c.limit = c.in.Add(by.MaxSession); by.MaxSession == 0 {
		c.limit = time.Time{}
	}
}

// begins notes an attempt, the plugin being about to be asked.
func (r *rules) begins(c *conn, by *auth) {
	r.moment++
	c.attempt = &attempt{line: c.line, at: time.Now(), began: r.moment, byAuth: by != nil}
	c.attempt.shown = func(f file) (*token, bool) { return f.finds(c.username, c.Password, r.broker.find) }
	if by != nil {
		c.attempt.shown = func(f file) (*token, bool) { return r.byMethod(f, by) }
	}
	r.open = append(r.open, c.attempt)
	r.look(c.attempt)
}

// byMethod finds the token of an enhanced authentication.
func (r *rules) byMethod(f file, by *auth) (t *token, taken bool) {
	if !f.Methods.has(by.Method) {
		return nil, false
	}
	return f.takes(by.Data, r.broker.find), true
}

// renews notes that a client shows a fresh token, by AUTH or (nil) by $CONTROL.
func (r *rules) renews(c *conn, text string, by *auth) *attempt {
	r.moment++
	a := &attempt{line: c.line, at: time.Now(), began: r.moment, renews: c, order: r.moment, byAuth: by != nil}
	a.anew = func(f file) (*token, bool) { return f.takes(text, r.broker.find), true }
	a.shown = a.anew
	if by != nil {
		a.shown = func(f file) (*token, bool) { return r.byMethod(f, by) }
	}
	if c.attempt.admitted { // nobody else's is looked at
		c.renewals, r.open = append(c.renewals, a), append(r.open, a)
		r.look(a)
	}
	return a
}

// look chooses the provider by the file that is in force.
func (r *rules) look(a *attempt) {
	a.under, a.by, a.answered = a.line.inForce, provider{}, false
	if a.token, a.taken = a.shown(a.under); a.token == nil {
		return
	}
	t := a.token
	a.ended = !t.Expires.IsZero() && !r.clock.now().Before(t.Expires)
	t.latest, t.byAuth = r.moment, t.byAuth || a.byAuth && a.renews == nil
	if a.by, a.answered = a.under.answersFor(t); a.answered {
		r.lookedAt[a.by.asker()] = r.moment
		r.chosen[affair{a.line.number, t.Name, a.by.Name}] = true
	}
}

// ends notes that nothing will be asked because of an attempt any more.
func (r *rules) ends(a *attempt) {
	r.open = slices.DeleteFunc(r.open, func(other *attempt) bool { return other == a })
}

// mayStillAsk tells whether the question of an attempt that is judged may still be open: it is asked for the next attempt, or about
// somebody who is in.
func (a *attempt) mayStillAsk(kind verdict.Kind) bool {
	return kind == verdict.Retry || (kind == verdict.Accept && a.by.Check == afterConnect)
}

func (r *rules) delayed(c *conn) { r.say("    %s waits for its verdict", c) }

// judged holds a verdict on an attempt against the rules.
func (r *rules) judged(c *conn, kind verdict.Kind) {
	r.broker.settle()
	r.say("    %s: %s", c, kind)
	a := c.attempt
	if a.until = time.Now().Add(timeout); !a.mayStillAsk(kind) {
		r.ends(a)
	}
	bar, certain := r.bar(c)
	switch kind {
	case verdict.Accept:
		if sure, _ := r.blocked(a); sure {
			r.broken("%s was let in by %s, which an admin keeps out", c, a.token)
		}
		r.letsIn(c)
		if a.token != nil {
			a.token.admitted++
		}
		if bar != "" {
			r.broken("%s was let in by %s, but %s", c, a.token, bar)
		}
	case verdict.Pending:
		r.broken("%s is to wait, which this broker can't", c)
	case verdict.Deny, verdict.Retry:
		if _, blocked := r.blocked(a); bar == "" && certain && !blocked && !r.mayBePutOff(c, kind) {
			r.broken("%s was refused (%s), though %s is good", c, kind, a.token)
		}
	case verdict.Defer:
		// On 2.0 somebody who is away may look as if others were to let it in now: then whoever uses its address next is put off once.
		mistaken := r.broker.V20 && a.byAuth && r.deferred[seat{c.address, c.id}]
		if (a.taken || a.under.Strict && !a.byAuth) && !mistaken {
			r.broken("%s was left to others in spite of %s", c, a.token)
		}
	}
}

// mayBePutOff tells whether there is another reason to refuse a good token now: the broker has just asked for everybody, or
// somebody else lives under a client id that is not the client's own choice.
func (r *rules) mayBePutOff(c *conn, kind verdict.Kind) bool {
	swept := c.line.swept && (!r.broker.NoTicks || time.Since(r.broker.hupAt) < time.Second)
	old := r.broker.session(c.id)
	return (swept && kind == verdict.Retry) ||
		(old != nil && !c.owns(old) && (c.contested() || c.attempt.by.MatchClientID || c.attempt.by.MatchUsername))
}

// contested tells whether a client id is not simply what the client has chosen: it was rewritten, or it may be what the
// broker has made of a username that the client only claimed.
func (c *conn) contested() bool {
	claimed := c.Username != nil && *c.Username == c.ID
	return c.id != c.ID || (claimed && c.username != nil && *c.username != *c.Username)
}

// owns tells whether a session is the client's own: by a token of the same provider, issuer and subject.
func (c *conn) owns(old *conn) bool {
	mine, its := c.attempt, old.attempt
	if c.line != old.line && len(mine.by.issuers()) == 0 {
		return false // what keys say of themselves counts by their own file
	}
	return its.admitted && mine.by.id() == its.by.id() && mine.origin() == its.origin() && mine.token.Subject == its.token.Subject
}

// origin is whose the subject is: the token's issuer, or if it names none, where the file says that it comes from.
func (a *attempt) origin() string {
	if a.token.Issuer != "" || a.by.Mode == local {
		return a.token.Issuer
	}
	return fmt.Sprintf("%s %d", a.by.Mode, a.by.IDP)
}

// takesOver holds a takeover against the rules: nobody gets the session of another by an id that he did not choose.
func (r *rules) takesOver(c, old *conn) {
	// 2.0 does not say whether others have let somebody in, so that who is away can't be told from who never was there, nor anything
	// of whom the plugin was not asked about.
	unknown := r.broker.V20 && (old.state == away || !old.seen) && !old.attempt.admitted
	if old.Elsewhere {
		// Nothing is known of it but its name, and nothing at all if its session was the client's own before.
		unknown = unknown || !c.attempt.by.MatchUsername || c.name() == old.name() ||
			slices.ContainsFunc(r.held[c.id], func(before *conn) bool { return before != c && c.owns(before) })
	}
	if c.attempt.admitted && c.contested() && !c.owns(old) && !unknown {
		r.broken("%s was given the client id of %s, who is somebody else", c, old)
	}
}

// bar says why nobody may be let in by this attempt now; empty: there is no reason, and where certain, it must be let in.
func (r *rules) bar(c *conn) (why string, certain bool) { return r.barTo(c, c.attempt) }

// barTo is bar for what a client shows by an attempt, be it its login or a renewal.
func (r *rules) barTo(c *conn, a *attempt) (why string, certain bool) {
	switch {
	case a.token == nil:
		return "it has no token", false
	case !a.answered:
		return "nobody answers for its issuer, " + a.token.Issuer, false
	case a.by.Mode != introspection && !r.trusted(a):
		return "its signature is by " + a.token.Key, false
	case !a.by.isItsIssuer(a.token):
		return "its issuer is " + a.token.Issuer, false
	case !a.by.isItsTenant(a.token):
		return "its tenant is " + a.token.Tenant, false
	case r.isAnothers(a):
		return "another provider claims its issuer, " + a.token.Issuer, false
	case a.token.Expires.IsZero() && a.by.kicks():
		return "it has no end", false
	case a.by.Validate && r.over(a):
		return "it is over", false
	case a.renews != nil && r.barByIdentity(c, a) != "":
		return r.barByIdentity(c, a), false
	case a.by.MatchUsername && (c.username == nil || *c.username != a.by.called(a.token.Subject)):
		return "its username is not its token's", false
	case a.by.MatchClientID && c.id != a.by.called(a.token.Subject):
		return "its client id is not its token's", false
	case a.by.asks():
		return r.barByProvider(c, a)
	}
	return "", a.by.Mode == local
}

// barByIdentity says whom a renewal would make of the client; empty: who it is.
func (r *rules) barByIdentity(c *conn, a *attempt) string {
	old, mapped := c.attempt, a.by.MatchUsername || a.by.MatchClientID
	switch {
	case a.by.id() != old.by.id():
		return "it was let in by another provider, " + old.by.Name
	case !mapped && (a.origin() != old.origin() || a.token.Subject != old.token.Subject):
		return "it is a token of another subject than its last one"
	}
	return ""
}

// isAnothers tells whether another provider of the file claims the issuer: of an opaque token only the answer tells.
func (r *rules) isAnothers(a *attempt) bool {
	p, claimed := a.under.claims(a.token.Issuer)
	return a.under.Named && claimed && p != a.by
}

func (r *rules) over(a *attempt) bool {
	return !a.token.Expires.IsZero() && !r.clock.now().Before(a.token.Expires.Add(a.by.Leeway))
}

// trusted tells whether the key of the token is one that this attempt may have been judged by: of a set that was given to its
// provider.
func (r *rules) trusted(a *attempt) bool {
	if a.by.Mode == local {
		return a.token.Key == a.by.Secret
	}
	newer, changed := false, r.changed[a.by.asker()]
	for _, s := range slices.Backward(r.keys[a.by.asker()]) {
		switch {
		case !s.known:
			continue
		case newer && changed.at.IsZero():
			// It was out of force when the attempt began; where a provider replaces another, each has its own set for a while.
			return false
		case slices.Contains(s.keys, a.token.Key) && a.at.Sub(s.at) <= a.by.keyLife():
			return true
		}
		newer = newer || s.ended < a.began
	}
	return false
}

// isDropped tells whether the last set of keys is without that of a token.
func (r *rules) isDropped(a *attempt) bool {
	for _, s := range slices.Backward(r.keys[a.by.asker()]) {
		if s.known {
			return !slices.Contains(s.keys, a.token.Key)
		}
	}
	return false
}

// barByProvider is what the provider has said against the token.
func (r *rules) barByProvider(c *conn, a *attempt) (why string, certain bool) {
	by := a.by.asker()
	var before *answer // the last one
	active, inactive, failed, requests, answers := false, false, false, 0, 0
	for _, x := range r.answers[question{by, a.token}] {
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
	life := max(a.by.TTL, a.by.window())
	if a.token.byAuth {
		life = max(a.by.TTL, retryWindow) // what was asked for the last attempt by AUTH is kept so long, for everybody
	}
	justRefused := before != nil && !before.active && before.asked > r.forgot[by] && within(a.by.NegativeTTL)
	switch {
	case a.by.Check == afterConnect && a.renews == nil:
		if justRefused {
			return "its provider has just said that it is not active", false
		}
	case active || (before != nil && before.active && within(life)):
	case inactive && !(a.by.Allow && (failed || r.down[by])): // who was told what is not known
		return "its provider says that it is not active", false
	case a.by.Allow:
		if justRefused {
			return "its provider has just said that it is not active", false
		}
	default:
		return "its provider has not said that it is active", false
	}
	// Its own question was answered, nobody else has asked it, and the provider can't count as down.
	certain = !r.down[by] && a.by.Mode == local && (a.by.Check == beforeConnect && !a.byAuth || a.renews != nil) && requests == 1 && answers == 1 && active &&
		!slices.ContainsFunc(r.broker.sessions, func(other *conn) bool { return other != c && other.attempt.token == a.token })
	return "", certain
}

// sweeps notes that the plugin is about to be asked for a session again.
func (r *rules) sweeps(c *conn) {
	r.say("    the broker asks again for %s", c)
	if t, _ := c.line.inForce.finds(c.username, c.Password, r.broker.find); t != nil {
		if p, answers := c.line.inForce.answersFor(t); answers {
			r.lookedAt[p.asker()] = r.moment
			r.chosen[affair{c.line.number, t.Name, p.Name}] = true
		}
	}
}

// swept holds the answer against the rules.
func (r *rules) swept(c *conn, kind verdict.Kind) {
	r.say("    %s: %s", c, kind)
	if kind == verdict.Defer {
		r.deferred[seat{c.address, c.id}] = true
	}
	_, legitimate := r.mayGo(c)
	switch a := c.attempt; {
	case c.state == connected && a.admitted && kind == verdict.Accept && c.isPastLimit():
		r.broken("%s may stay after SIGHUP, but it was connected for as long as it may", c)
	case c.state == connected && a.admitted && kind == verdict.Accept && a.by.kicks() && r.over(a):
		// Nobody is reaffirmed past his end: it counts as let in anew, by the file that is in force.
		r.begins(c, nil)
		r.letsIn(c)
		r.ends(c.attempt)
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
	if r.mayBeOrdered(c) {
		return "an admin has ordered so", true
	}
	if !a.admitted {
		return "", false
	}
	if a.by.kicks() && r.over(a) {
		return "its token is over", true
	}
	if c.isPastLimit() {
		return "it was connected for as long as it may", true
	}
	for _, fresh := range c.renewals {
		if !fresh.byAuth || !fresh.isOpen() {
			continue
		}
		bar, _ := r.barTo(c, fresh)
		if bar == "" && r.wasInactive(fresh) {
			bar = "it is not active"
		}
		if bar == "" && fresh.by.fetches() && r.isDropped(fresh) {
			bar = "its key is not in the last set"
		}
		if _, blocked := r.blocked(fresh); blocked {
			bar = "an admin keeps its bearer out"
		}
		if bar != "" {
			return "its fresh token is bad: " + bar, true
		}
	}
	active, inactive, failed := false, false, false
	for _, x := range r.answers[question{a.by.asker(), a.token}] {
		if x.ended > a.began {
			active, inactive, failed = active || x.active, inactive || (x.known && !x.active), failed || !x.known
		}
	}
	switch {
	case inactive:
		return "its token is not active", true
	case a.by.Check == afterConnect && a.renews == nil && a.by.asks() && !a.by.Allow && (failed || !active || r.down[a.by.asker()]):
		return "nothing was learnt of its token", true
	case a.by.asks() && !a.by.kicks() && a.wasAbandoned:
		return "nobody is left to ask about it, and it would never end", true
	}
	return "", false
}

// wasInactive tells whether the provider has said since an attempt, or a short while before and remembers it, that its token is not
// active. What speaks against a token is remembered also by the file that comes into force.
func (r *rules) wasInactive(a *attempt) bool {
	by := a.by.asker()
	return slices.ContainsFunc(r.answers[question{by, a.token}], func(x *answer) bool {
		remembered := x.asked > r.forgot[by] && a.at.Sub(x.at) < max(a.by.NegativeTTL, minNegativeTTL)
		return x.known && !x.active && (x.ended > a.began || remembered)
	})
}

func (r *rules) kicked(c *conn) {
	r.broker.settle()
	why, legitimate := r.mayGo(c)
	switch {
	case legitimate:
		r.say("    %s is disconnected: %s", c, why)
	case r.broker.V20 && !c.seen: // who was not asked about, nor told of, is taken for whoever had its id before
	default:
		r.broken("%s was disconnected for no reason of its own", c)
	}
}

// patience is how long an end that comes sooner, because the clock was set, may be overlooked. farewell is how long it takes at the
// most until a client whose provider is gone would be asked about: a request that is under way, and the interval.
const (
	patience = time.Minute
	farewell = timeout + 2*time.Second
)

// rested holds those who are connected against the rules, the plugin having had its chance to disconnect them for what was
// known at a moment.
func (r *rules) rested(l *line, known int) {
	for _, c := range r.broker.sessions {
		a := c.attempt
		switch {
		case c.line != l:
		case c.state != connected:
		case r.orderedAway(c, known):
			r.broken("%s stays, though an admin has had it disconnected", c)
		case !a.admitted:
		case r.broker.NoTicks && time.Since(a.since) < 2*time.Second:
			// Its end may have come up while it was just taking over, where a kick by its id can't reach it.
		case c.isPastLimit():
			r.broken("%s stays, though it was connected for as long as it may", c)
		case r.isRefused(c, known):
			r.broken("%s stays, though it has shown a token by AUTH that is not active", c)
		case a.by.kicks() && r.over(a) && (r.set.IsZero() || time.Since(r.set) > patience):
			r.broken("%s stays, though %s is over", c, a.token)
		case r.condemned(a, known):
			r.broken("%s stays, though %s is not active", c, a.token)
		case a.watched && !a.by.kicks() && !a.abandoned.IsZero() && time.Since(a.abandoned) > farewell:
			r.broken("%s stays, though its provider is gone, and %s has no end", c, a.token)
		case !r.broker.NoTicks && r.isForgotten(a):
			r.broken("nobody has asked about %s again", c)
		}
	}
}

// isForgotten tells whether a client should have been asked about again by now. Where several clients of a provider are to be asked
// about, they wait for each other, and while its endpoint is down nobody is asked.
func (r *rules) isForgotten(a *attempt) bool {
	by := a.by.asker()
	if !a.watched || !a.rechecked(a.line.inForce) || r.down[by] {
		return false
	}
	for _, c := range r.broker.live {
		if other := c.attempt; other != a && other.watched && other.by.asker() == by {
			return false
		}
	}
	if slices.ContainsFunc(r.documents[by], func(d *document) bool { return d.ended == 0 }) {
		return false
	}
	for q, all := range r.answers {
		if q.asker == by && slices.ContainsFunc(all, func(x *answer) bool { return x.ended == 0 }) {
			return false // others are being asked about, perhaps as many as may be
		}
	}
	last := a.since
	for _, x := range r.answers[question{by, a.token}] {
		last = latest(last, x.askedAt, x.at)
	}
	return time.Since(last) > recheckEvery
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// condemned tells whether the provider that let the client in has said since that its token is not active, in answer to a
// question that can have been about nobody else. Known is the moment until which that counts.
func (r *rules) condemned(a *attempt, known int) bool {
	// Whoever is let in because a provider is down is not told apart from the question that tries it again.
	unasked := a.by.Allow && r.down[a.by.asker()]
	return !unasked && a.token.latest == a.began && a.token.admitted == 1 && slices.ContainsFunc(r.answers[question{a.by.asker(), a.token}], func(x *answer) bool {
		return x.asked > a.began && x.known && !x.active && x.ended <= known
	})
}

// reads holds a line of the log against the rules: of a token it names the provider that answers for it, and never shows it.
func (r *rules) reads(l *line, line string) {
	if t, c := r.broker.shown(line), r.broker.asking; t != nil && !(c != nil && t.Opaque && (!c.attempt.taken || c.state == away || r.mayBeAnID(c, t))) &&
		!(t.Opaque && strings.Contains(line, " commanded ") && !r.isConnectedBy(t)) {
		r.broken("%s is in the log", t) // and it is not a name by the file that is in force, of a session that is forgotten, or that an admin has made up
	}
	r.hearsRefusal(line)
	if strings.Contains(line, " reloaded ") {
		r.reloaded(l)
	}
	if strings.Contains(line, " renewed, and may stay ") {
		r.hearsRenewal(line)
	}
	_, rest, found := strings.Cut(line, "(provider ")
	name, id, named := strings.Cut(rest, ", token jti \"")
	if token, _, _ := strings.Cut(id, `"`); found && named && !strings.Contains(line, " commanded ") && !r.chosen[affair{l.number, token, name}] {
		r.broken("provider %s has judged %s, which is not its affair", name, token)
	}
}

// mayBeAnID tells whether nothing says that a client id is a token: its client comes by another, and nobody is connected who has come by it.
func (r *rules) mayBeAnID(c *conn, t *token) bool {
	return c.id == t.Text && c.attempt.token != t && !r.isConnectedBy(t)
}

// isConnectedBy tells whether a client is connected that has come by a token which is its client id.
func (r *rules) isConnectedBy(t *token) bool {
	holder := r.broker.session(t.Text)
	return holder != nil && holder.state == connected && holder.attempt.admitted && holder.shows(t)
}

// shows tells whether a token was in its CONNECT, besides the client id.
func (p packet) shows(t *token) bool {
	is := func(s *string) bool { return s != nil && *s == t.Text }
	return is(p.Username) || is(p.Password) || p.Auth != nil && p.Auth.Data == t.Text
}

func (c *conn) String() string {
	text := fmt.Sprintf("%s%x id %s", c.line.name(), uint64(c.address), c.id)
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
