// Package model drives the plugin through random sequences of what clients, the broker, identity providers, the clock and
// whoever edits jwt.json can do, and compares what comes of it with rules that know nothing of the code.
package model

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go-jwt-auth/plugin"
	"go-jwt-auth/plugin/broker"

	"pgregory.net/rapid"
)

var duration = flag.Duration("model.time", 10*time.Second, "how long new sequences are tried")

// TestModel tries sequences for as long as it was told to, however many those are. Where it was told nothing they are the same
// each time, so that a failure speaks of a change; else they are new. `-rapid.seed` repeats one.
func TestModel(t *testing.T) {
	if testing.Short() {
		*duration = time.Second
	}
	repeated, known := false, true
	flag.Visit(func(f *flag.Flag) {
		repeated = repeated || f.Name == "rapid.seed" || f.Name == "rapid.failfile"
		known = known && f.Name != "model.time"
	})
	for name, value := range map[string]string{"rapid.checks": "100", "rapid.steps": "60", "rapid.nofailfile": "true"} {
		set := false
		flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
		if !set {
			if err := flag.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := &driver{file: filepath.Join(t.TempDir(), "jwt.json")}
	for began, batch := time.Now(), 1; ; batch++ {
		if known && !repeated {
			if err := flag.Set("rapid.seed", fmt.Sprint(batch)); err != nil {
				t.Fatal(err)
			}
		}
		rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, d.run) })
		if repeated || time.Since(began) >= *duration {
			break
		}
	}
	t.Logf("%d steps in %d sequences", d.steps, d.sequences)
}

// driver makes the moves.
type driver struct {
	file             string
	steps, sequences int

	*world
}

// world is all that one sequence is about.
type world struct {
	*mosquitto
	*rules
	clock     *clock
	tokens    *tokens
	providers []*provider
	inbox     *inbox
	// packets are those that were sent, for who sends one again.
	packets []packet
	named   int
}

// tokens are all that there are.
type tokens struct {
	mu   sync.Mutex
	keys keys
	all  []*token
}

func (s *tokens) find(text string) *token {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.all {
		if t.Text == text {
			return t
		}
	}
	return nil
}

func (s *tokens) add(t *token, trusted string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.number = len(s.all)
	t.Name = fmt.Sprintf("token-%d", t.number)
	s.keys.sign(t, trusted)
	s.all = append(s.all, t)
}

// run is one sequence.
func (d *driver) run(t *rapid.T) {
	w := &world{clock: &clock{started: time.Now()}, tokens: &tokens{}, inbox: &inbox{}}
	d.world = w
	d.sequences++
	// What waits for a moment to come ends by itself, but time stands still once this has returned.
	t.Cleanup(func() { time.Sleep(time.Hour) })
	net := network{listeners: map[string]*listener{}}
	for n := range 2 {
		p := &provider{number: n, keys: &keys{}, find: w.tokens.find, inbox: w.inbox, manner: prompt, kids: []string{kid(n, 0)}}
		w.providers = append(w.providers, p)
		server := &http.Server{Handler: p, ReadHeaderTimeout: time.Hour}
		l := net.listen(fmt.Sprintf("idp%d", n))
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() {
			_ = server.Close()
			_ = l.Close()
		})
	}
	start := drawSettings(t)
	w.rules = &rules{clock: w.clock, inForce: start, next: start, written: start, answers: map[question][]*answer{}, keys: map[int][]keySet{}, down: map[int]bool{}}
	w.mosquitto = &mosquitto{rules: w.rules, clock: w.clock, settle: w.rest, find: w.tokens.find, live: map[broker.Conn]*conn{}}
	w.rules.broker = w.mosquitto
	w.V20 = rapid.IntRange(0, 2).Draw(t, "2.0") == 2
	w.NoTicks = w.V20 && rapid.IntRange(0, 2).Draw(t, "no ticks") == 0
	w.Quiet = rapid.Bool().Draw(t, "quiet")
	w.say("%+v, %+v", w.traits, start)
	d.write(start.file())
	p, err := plugin.New(w.mosquitto, plugin.Options{Settings: map[string]string{"config_file": d.file}, Now: w.clock.now, Dial: net.dial})
	if err != nil {
		t.Fatalf("start: %s\n%s", err, start.file())
	}
	w.plugin = p
	t.Cleanup(func() {
		w.rest()
		w.loop() // a login whose keys have just come, and which is still to be asked about, would never be settled
		p.Close()
	})
	if rapid.Bool().Draw(t, "answers are held") {
		for _, p := range w.providers {
			p.behave(holding)
		}
	}
	d.loop()
	t.Repeat(map[string]func(*rapid.T){
		"":              d.check,
		"connect":       d.connectAnew,
		"connect good":  d.connectGood,
		"connect again": d.connectAgain,
		"drop":          d.dropOne,
		"close":         d.closeOne,
		"follow":        d.follow,
		"loop":          d.round,
		"loop too":      d.round,
		"pass":          d.pass,
		"set the clock": d.setClock,
		"hang up":       d.reload,
		"revoke":        d.revokeOne,
		"behave":        d.behaveOtherwise,
		"let":           d.letOne,
		"rotate":        d.rotateKeys,
		"touch":         d.touchAndGo,
		"insist":        d.insist,
	})
}

// check ends a sequence that has broken a rule.
func (d *driver) check(t *rapid.T) {
	d.steps++
	d.rest()
	if d.fault != "" {
		t.Log("what led to it:\n" + strings.Join(d.history, "\n"))
		t.Fatal(d.fault)
	}
}

// rest lets everything run that can without time passing, and looks at what came of it.
func (w *world) rest() {
	synctest.Wait()
	w.hears(w.inbox.take())
}

func (d *driver) write(text string) {
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		panic(err)
	}
}

func kid(provider, generation int) string { return fmt.Sprintf("key-%d-%d", provider, generation) }

var names = rapid.SampledFrom([]string{"a", "b", "c"})

// mint makes a token, good unless asked otherwise.
func (d *driver) mint(change func(*token)) *token {
	s := d.inForce
	k := &token{Subject: "a", Issuer: issuer(s.Provider), Provider: s.Provider, Expires: d.clock.now().Add(time.Hour).Truncate(time.Second)}
	trusted := s.Secret
	if s.Mode == jwks {
		p := d.providers[s.Provider]
		trusted = p.kids[len(p.kids)-1]
	}
	k.Key = trusted
	change(k)
	if k.Key != forged {
		trusted = k.Key
	}
	d.tokens.add(k, trusted)
	return k
}

// connectGood is a client whose token is in order.
func (d *driver) connectGood(t *rapid.T) {
	k := d.mint(func(k *token) { d.vary(t, k) })
	d.send(t, k.Subject, text(k.Subject), &k.Text)
}

// connectAnew is anybody.
func (d *driver) connectAnew(t *rapid.T) {
	var username, pass *string
	switch rapid.IntRange(0, 2).Draw(t, "username") {
	case 0:
		username = text(names.Draw(t, "username"))
	case 1:
		username = text(user)
	}
	switch fault := rapid.SampledFrom([]string{"none", "expired", "forged", "issuer", "provider", "key", "endless", "password", "nothing"}).Draw(t, "token"); fault {
	case "password":
		pass = text(password)
	case "nothing":
	default:
		pass = &d.mint(func(k *token) {
			d.vary(t, k)
			switch fault {
			case "expired":
				k.Expires = d.clock.now().Add(-time.Minute).Truncate(time.Second)
			case "forged":
				k.Key = forged
			case "issuer":
				k.Issuer = "https://other.example"
			case "provider":
				k.Provider = 1 - k.Provider
				k.Issuer = issuer(k.Provider)
			case "key":
				k.Key = rapid.SampledFrom([]string{secrets[0], secrets[1], kid(0, 0), kid(1, 0), kid(0, 1), "key-unknown"}).Draw(t, "key")
			case "endless":
				k.Expires = time.Time{}
			}
		}).Text
	}
	d.send(t, names.Draw(t, "id"), username, pass)
}

// vary draws whose token it is, and for how long.
func (d *driver) vary(t *rapid.T, k *token) {
	k.Subject = names.Draw(t, "subject")
	life := rapid.SampledFrom([]time.Duration{time.Hour, 10 * time.Second, 2 * time.Second, time.Minute}).Draw(t, "lifetime")
	k.Expires = d.clock.now().Add(life).Truncate(time.Second)
}

// send is a CONNECT.
func (d *driver) send(t *rapid.T, id string, username, pass *string) {
	p := packet{
		ID: id, Username: username, Password: pass, Persistent: rapid.Bool().Draw(t, "persistent"),
		WebSocket: rapid.IntRange(0, 3).Draw(t, "websocket") == 3, Subscribes: rapid.Bool().Draw(t, "subscribes"),
	}
	d.packets = append(d.packets, p)
	d.deliver(p)
}

// connectAgain is a CONNECT that somebody has sent before, bit by bit.
func (d *driver) connectAgain(t *rapid.T) {
	if len(d.packets) == 0 {
		t.Skip()
	}
	d.deliver(rapid.SampledFrom(d.packets).Draw(t, "packet"))
}

func (d *driver) deliver(p packet) *conn {
	username, pass := "none", "none"
	if p.Username != nil {
		username = *p.Username
	}
	if p.Password != nil {
		pass = *p.Password
		if k := d.tokens.find(pass); k != nil {
			pass = fmt.Sprintf("%s (of %s by %s, key %s, until %s)", k, k.Subject, k.Issuer, k.Key, k.Expires.Format(time.TimeOnly))
		}
	}
	d.say("%s CONNECT id %s username %s persistent %t, WebSocket %t, subscribes %t: %s",
		d.clock.now().Format(time.TimeOnly), p.ID, username, p.Persistent, p.WebSocket, p.Subscribes, pass)
	c := d.connect(p)
	d.rest()
	return c
}

func text(s string) *string { return &s }

// follow drops a client whose verdict is pending, and sends a CONNECT by its id: from its address, or from another, where
// somebody else has come to use that in between. Its token is the same, another, or one that is revoked at once.
func (d *driver) follow(t *rapid.T) {
	if len(d.pending) == 0 {
		t.Skip()
	}
	c := d.pending[rapid.IntRange(0, len(d.pending)-1).Draw(t, "client")]
	between := rapid.Bool().Draw(t, "somebody in between")
	d.say("%s drops", c)
	d.drop(c)
	if between {
		d.send(t, "in-between", text(user), text(password))
	}
	k := d.mint(func(k *token) { k.Subject = c.attempt.token.Subject })
	if rapid.Bool().Draw(t, "revoked") {
		d.say("%s is revoked", k)
		d.providers[k.Provider].revoke(k)
	}
	d.send(t, c.id, c.username, &k.Text)
}

// dropOne ends a connection.
func (d *driver) dropOne(t *rapid.T) {
	var open []*conn
	for _, c := range slices.Concat(d.sessions, d.pending) {
		if c.state != away {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		t.Skip()
	}
	c := open[rapid.IntRange(0, len(open)-1).Draw(t, "client")]
	d.say("%s drops", c)
	d.drop(c)
}

// closeOne lets a connection over WebSockets come to its end that was taken over from.
func (d *driver) closeOne(t *rapid.T) {
	if len(d.closing) == 0 {
		t.Skip()
	}
	d.say("%s is closed", d.closing[0])
	d.closed()
}

// round is one of the broker's loop.
func (d *driver) round(*rapid.T) { d.turn() }

func (d *driver) turn() {
	d.say("the broker's loop")
	d.rest()
	known := d.moment
	d.loop()
	if !d.NoTicks {
		d.rested(known)
	}
	d.rest()
}

// touchAndGo is a connection that sends nothing: where there are no ticks, such events must do.
func (d *driver) touchAndGo(t *rapid.T) {
	if !d.V20 {
		t.Skip()
	}
	d.say("a TCP connection comes and goes")
	d.rest()
	known := d.moment
	d.touch()
	// In a sweep the broker must not lose clients.
	swept := d.mosquitto.swept && time.Since(d.hupAt) < time.Second
	if d.NoTicks && time.Since(d.since) > 2*time.Second && d.set.IsZero() && !swept {
		d.rested(known)
	}
}

// pass lets time pass in which the broker does nothing else.
func (d *driver) pass(t *rapid.T) {
	span := rapid.SampledFrom([]time.Duration{time.Second, 3 * time.Second, 11 * time.Second, 31 * time.Second, 5 * time.Minute}).Draw(t, "time")
	d.say("%s pass", span)
	time.Sleep(span)
}

// setClock sets the wall clock.
func (d *driver) setClock(t *rapid.T) {
	by := rapid.SampledFrom([]time.Duration{5 * time.Second, time.Hour, -5 * time.Second, -time.Hour}).Draw(t, "by")
	d.say("the clock is set by %s", by)
	d.clock.set(by)
	d.set = time.Now()
}

// reload is SIGHUP, with another file or the same.
func (d *driver) reload(t *rapid.T) {
	switch rapid.SampledFrom([]string{"the same", "another", "broken", "missing"}).Draw(t, "file") {
	case "another":
		d.written = drawSettings(t)
		d.write(d.written.file())
	case "broken":
		d.write(`{"mode":"local"`)
	case "missing":
		if err := os.Remove(d.file); err != nil && !os.IsNotExist(err) {
			panic(err)
		}
	case "the same":
		d.written = d.inForce
		d.write(d.written.file())
	}
	d.say("%s SIGHUP, the file is now %+v, unless it can't be read", d.clock.now().Format(time.TimeOnly), d.written)
	d.hungUp = true
	d.hangup()
}

func (d *driver) revokeOne(t *rapid.T) {
	if len(d.tokens.all) == 0 {
		t.Skip()
	}
	k := d.tokens.all[rapid.IntRange(0, len(d.tokens.all)-1).Draw(t, "token")]
	d.say("%s is revoked", k)
	d.providers[k.Provider].revoke(k)
}

func (d *driver) behaveOtherwise(t *rapid.T) {
	p := d.providers[rapid.IntRange(0, 1).Draw(t, "provider")]
	m := rapid.SampledFrom([]manner{prompt, holding, failing}).Draw(t, "manner")
	d.say("provider %d is %s", p.number, m)
	p.behave(m)
}

func (d *driver) letOne(t *rapid.T) {
	var all []string
	for _, p := range d.providers {
		all = append(all, p.waiting()...)
	}
	if len(all) == 0 {
		t.Skip()
	}
	i := rapid.IntRange(0, len(all)-1).Draw(t, "request")
	answers := rapid.IntRange(0, 3).Draw(t, "by 500") != 0
	d.say("the request about %s is answered: %t", all[i], answers)
	if first := len(d.providers[0].waiting()); i < first {
		d.providers[0].let(i, answers)
	} else {
		d.providers[1].let(i-first, answers)
	}
}

func (d *driver) rotateKeys(t *rapid.T) {
	p := d.providers[rapid.IntRange(0, 1).Draw(t, "provider")]
	d.named++
	fresh, kids := kid(p.number, d.named), p.kids
	if rapid.Bool().Draw(t, "old one stays") {
		kids = []string{kids[len(kids)-1], fresh}
	} else {
		kids = []string{fresh}
	}
	d.say("provider %d has the keys %v", p.number, kids)
	p.rotate(kids...)
}

// insist is a client that nothing is wrong with, and whose provider answers: it must get in within a few attempts.
func (d *driver) insist(*rapid.T) {
	d.say("a good client begins, and the providers answer")
	for _, p := range d.providers {
		p.behave(prompt)
		for range p.waiting() {
			p.let(0, true)
		}
		d.rest()
	}
	var c *conn
	for range 8 {
		d.named++
		name := fmt.Sprintf("good-%d", d.named)
		k := d.mint(func(k *token) { k.Subject = name })
		for range 2 { // by the same token, as whoever is put off does
			c = d.deliver(packet{ID: name, Username: &name, Password: &k.Text})
			for range 3 {
				d.turn()
			}
			if c.state == connected {
				d.say("it is in")
				d.drop(c)
				return
			}
			time.Sleep(3 * time.Second)
			d.turn()
		}
	}
	d.broken("a good client was not let in")
}
