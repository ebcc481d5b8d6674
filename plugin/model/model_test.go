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
	"go-jwt-auth/plugin/loop"

	"pgregory.net/rapid"
)

var duration = flag.Duration("model.time", 10*time.Second, "how long new sequences are tried")

// found are seeds that have shown a fault, for as long as what is drawn stays the same; the test of that fault is where it was.
var found = []uint64{11530814828837413108}

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
	d := &driver{folder: t.TempDir()}
	t.Cleanup(func() {
		if d.first != "" {
			t.Log("the first time: " + d.first)
		}
	})
	use := func(seed uint64) {
		if err := flag.Set("rapid.seed", fmt.Sprint(seed)); err != nil {
			t.Fatal(err)
		}
	}
	for began, batch := time.Now(), 0; ; batch++ {
		switch {
		case !known || repeated:
		case batch < len(found):
			use(found[batch])
		default:
			use(uint64(batch - len(found) + 1))
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
	folder           string
	steps, sequences int
	// first is what led to the first fault. Rechecks begin at random moments, so that its sequence may not lead to it again.
	first string

	*world
}

// world is all that one sequence is about.
type world struct {
	*mosquitto
	*rules
	clock  *clock
	tokens *tokens
	idps   []*idp
	inbox  *inbox
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

// shown finds a token in a line, or what is as good: the signature of a signed one. An opaque one is one once it was taken for that.
func (s *tokens) shown(line string) *token {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.all {
		secret := t.Text[strings.LastIndexByte(t.Text, '.')+1:]
		if (!t.Opaque || t.latest > 0) && slices.Contains(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \".", r) }), secret) {
			return t
		}
	}
	return nil
}

// named has the names of tokens in the place of their texts.
func (s *tokens) named(text string) string {
	for _, t := range s.all {
		text = strings.ReplaceAll(text, t.Text, "<"+t.Name+">")
	}
	return text
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
	for n := range idps {
		p := &idp{number: n, keys: &keys{}, find: w.tokens.find, inbox: w.inbox, manner: prompt, names: []string{keyName(n, 0)}}
		w.idps = append(w.idps, p)
		server := &http.Server{Handler: p, ReadHeaderTimeout: time.Hour}
		l := net.listen(fmt.Sprintf("idp%d", n))
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() {
			_ = server.Close()
			_ = l.Close()
		})
	}
	w.rules = newRules(w.clock)
	w.mosquitto = &mosquitto{
		rules: w.rules, clock: w.clock, settle: w.rest, find: w.tokens.find, shown: w.tokens.shown,
		live: map[broker.Conn]*conn{}, mayPublishWill: map[seat]bool{}, stale: map[broker.Conn]bool{}, last: map[string]*conn{},
	}
	w.rules.broker = w.mosquitto
	w.V20 = rapid.IntRange(0, 2).Draw(t, "2.0") == 2
	w.NoTicks = w.V20 && rapid.IntRange(0, 2).Draw(t, "no ticks") == 0
	w.Quiet = rapid.Bool().Draw(t, "quiet")
	lines := 1
	if often(t, "two lines") {
		lines = 2
	}
	w.say("%+v, %d lines", w.traits, lines)
	for n := range lines {
		start := drawFile(t, n)
		l := newLine(w.mosquitto, n, filepath.Join(d.folder, fmt.Sprintf("jwt-%d.json", n)), start)
		w.lines = append(w.lines, l)
		w.say("%+v", start)
		l.write(start.text())
	}
	table := plugin.NewTable()
	for _, l := range w.lines {
		var err error
		l.plugin, err = plugin.New(l, plugin.Options{Settings: map[string]string{"config_file": l.path}, Table: table, Now: w.clock.now, Dial: net.dial})
		if err != nil {
			t.Fatalf("start: %s\n%s", err, l.inForce.text())
		}
	}
	w.watches()
	t.Cleanup(func() {
		w.rest()
		w.loop() // a login whose keys have just come, and which is still to be asked about, would never be settled
		for _, l := range w.lines {
			l.plugin.Close()
		}
	})
	if rapid.Bool().Draw(t, "answers are held") {
		for _, p := range w.idps {
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
		"outage":        d.outage,
		"rotate":        d.rotateKeys,
		"touch":         d.touchAndGo,
		"authenticate":  d.authenticate,
		"again by AUTH": d.reauthenticateOne,
		"renew":         d.renewOne,
		"renew too":     d.renewOne,
		"renew slowly":  d.renewSlowly,
		"check":         d.checkOne,
		"certificate":   d.connectByCertificate,
		"insist":        d.insist,
		"admin":         d.adminComes,
		"administer":    d.administer,
		"more of that":  d.administer,
	})
}

// check ends a sequence that has broken a rule.
func (d *driver) check(t *rapid.T) {
	d.steps++
	d.rest()
	if d.fault != "" {
		led := d.tokens.named("what led to it:\n" + strings.Join(d.history, "\n"))
		if d.first == "" {
			d.first = led
		}
		t.Log(led)
		t.Fatal(d.tokens.named(d.fault))
	}
}

// rest lets everything run that can without time passing, and looks at what came of it.
func (w *world) rest() {
	synctest.Wait()
	w.hears(w.inbox.take())
}

var names = rapid.SampledFrom([]string{"a", "b", "c"})

// someLine is any.
func (d *driver) someLine(t *rapid.T) *line {
	if len(d.lines) == 1 {
		return d.lines[0]
	}
	return rapid.SampledFrom(d.lines).Draw(t, "line")
}

// someProvider is one of a file that is in force.
func (d *driver) someProvider(t *rapid.T) provider {
	return d.someLine(t).someProvider(t)
}

func (l *line) someProvider(t *rapid.T) provider {
	return rapid.SampledFrom(l.inForce.Providers).Draw(t, "provider")
}

// mint makes a token of a provider, good unless asked otherwise.
func (d *driver) mint(p provider, change func(*token)) *token {
	k := &token{Subject: "a", IDP: p.IDP, Key: d.trusted(p), Expires: d.clock.now().Add(time.Hour).Truncate(time.Second)}
	if all := p.claimed(); len(all) > 0 {
		k.Issuer = all[len(d.tokens.all)%len(all)]
	}
	if all := strings.Fields(p.Tenants); len(all) > 0 {
		k.Tenant = all[len(d.tokens.all)%len(all)]
		if id, isTenant := strings.CutPrefix(k.Issuer, tenant("")); isTenant {
			k.Tenant = id
		}
	}
	if rest, _ := d.lines[p.Line].inForce.rest(); p.Mode == introspection && len(p.issuers()) == 0 && rest != p {
		k.Opaque = true // it gets no others
	}
	trusted := k.Key
	change(k)
	if k.Key != forged {
		trusted = k.Key
	}
	d.tokens.add(k, trusted)
	return k
}

// trusted is the key that the tokens of a provider are signed by.
func (d *driver) trusted(p provider) string {
	if p.Mode == local {
		return p.Secret
	}
	names := d.idps[p.IDP].names
	return names[len(names)-1]
}

// connectGood is a client whose token is in order.
func (d *driver) connectGood(t *rapid.T) {
	p := d.someProvider(t)
	l := d.lines[p.Line]
	k := d.mint(p, func(k *token) {
		d.vary(t, k)
		k.Opaque = k.Opaque || (p.Mode == introspection && rapid.Bool().Draw(t, "opaque"))
		if _, claimed := l.inForce.claims(issuer(0)); k.Issuer == "" && !claimed && rapid.Bool().Draw(t, "issuer") {
			k.Issuer = issuer(0) // which somebody may claim by another file
		}
	})
	name := p.called(k.Subject)
	if rapid.Bool().Draw(t, "another name") {
		name = names.Draw(t, "name")
	}
	if rapid.SampledFrom(l.inForce.Source.fields()).Draw(t, "field") == string(inUsername) {
		id := name
		if often(t, "use_username_as_clientid") {
			id = k.Text
		}
		d.send(t, l, id, &k.Text, nil)
		return
	}
	d.send(t, l, name, &name, &k.Text)
}

// good is the CONNECT of a client that does all as it should.
func (d *driver) good(t *rapid.T, p provider, k *token) packet {
	name := p.called(k.Subject)
	f := d.lines[p.Line].inForce
	if f.Methods.has(byJWT) && often(t, "by AUTH") {
		return packet{Line: p.Line, ID: name, Username: &name, Auth: &auth{byJWT, k.Text}}
	}
	if f.Source.fields()[0] == string(inUsername) {
		return packet{Line: p.Line, ID: name, Username: &k.Text}
	}
	return packet{Line: p.Line, ID: name, Username: &name, Password: &k.Text}
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
	switch fault := rapid.SampledFrom([]string{
		"none", "expired", "forged", "issuer", "no issuer", "borrowed issuer", "tenant", "idp", "key", "endless", "opaque", "opaque, borrowed issuer", "password", "nothing",
	}).Draw(t, "token"); fault {
	case "password":
		pass = text(password)
	case "nothing":
	default:
		pass = &d.mint(d.someProvider(t), func(k *token) {
			d.vary(t, k)
			d.spoil(t, k, fault)
		}).Text
	}
	l := d.someLine(t)
	if pass != nil && often(t, "in the username") {
		username, pass = pass, username
	}
	d.send(t, l, names.Draw(t, "id"), username, pass)
}

// spoil makes a token another than its provider's good ones.
func (d *driver) spoil(t *rapid.T, k *token, fault string) {
	switch fault {
	case "expired":
		k.Expires = d.clock.now().Add(-time.Minute).Truncate(time.Second)
	case "forged":
		k.Key = forged
	case "issuer":
		k.Issuer = "https://other.example"
	case "no issuer":
		k.Issuer = ""
	case "borrowed issuer":
		k.Issuer = anIssuer.Draw(t, "issuer")
	case "tenant":
		k.Tenant = tenantIDs.Draw(t, "tenant")
		if rapid.Bool().Draw(t, "in the issuer") {
			k.Issuer = tenant(k.Tenant)
		}
	case "idp":
		k.IDP = (k.IDP + 1) % idps
	case "key":
		k.Key = rapid.SampledFrom([]string{secrets[0], secrets[1], keyName(0, 0), keyName(1, 0), keyName(2, 0), keyName(0, 1), "nobody's key-unknown"}).Draw(t, "key")
	case "endless":
		k.Expires = time.Time{}
	case "opaque":
		k.Opaque = true
	case "opaque, borrowed issuer":
		f := d.someLine(t).inForce
		p, _ := f.opaque()
		k.Opaque, k.IDP, k.Issuer = true, p.IDP, rapid.SampledFrom(append(f.claimed(), "")).Draw(t, "issuer")
	}
}

// vary draws whose token it is, and for how long.
func (d *driver) vary(t *rapid.T, k *token) {
	k.Subject, k.Room = names.Draw(t, "subject"), rooms.Draw(t, "room")
	life := rapid.SampledFrom([]time.Duration{time.Hour, 10 * time.Second, 2 * time.Second, time.Minute}).Draw(t, "lifetime")
	k.Expires = d.clock.now().Add(life).Truncate(time.Second)
}

// send is a CONNECT.
func (d *driver) send(t *rapid.T, l *line, id string, username, pass *string) {
	d.sendPacket(t, packet{Line: l.number, ID: id, Username: username, Password: pass})
}

// sendPacket draws what else is in a CONNECT, and sends it.
func (d *driver) sendPacket(t *rapid.T, p packet) {
	p.Persistent, p.Subscribes = rapid.Bool().Draw(t, "persistent"), rapid.Bool().Draw(t, "subscribes")
	p.WebSocket = rapid.IntRange(0, 3).Draw(t, "websocket") == 3
	p.Will, p.Delayed, p.Topic = rapid.Bool().Draw(t, "will"), rapid.Bool().Draw(t, "delayed"), topics.Draw(t, "will topic")
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
	d.say("%s %sCONNECT id %s username %s persistent %t, WebSocket %t, subscribes %t: %s",
		d.clock.now().Format(time.TimeOnly), d.lines[p.Line].name(), p.ID, d.describe(p.Username), p.Persistent, p.WebSocket, p.Subscribes, d.describe(p.Password))
	if p.Auth != nil {
		d.say("    by %s: %s", p.Auth.Method, d.describe(&p.Auth.Data))
	}
	c := d.connect(p)
	d.rest()
	return c
}

func text(s string) *string { return &s }

// describe is a field of CONNECT.
func (d *driver) describe(field *string) string {
	if field == nil {
		return "none"
	}
	k := d.tokens.find(*field)
	if k == nil {
		return *field
	}
	return fmt.Sprintf("%s (of %s by %q %s, idp%d, key %s, opaque %t, until %s)", k, k.Subject, k.Issuer, k.Tenant, k.IDP, k.Key, k.Opaque, k.Expires.Format(time.TimeOnly))
}

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
		d.send(t, d.someLine(t), "in-between", text(user), text(password))
	}
	p, there := c.line.inForce.same(c.attempt.by.id())
	if !there {
		p = c.line.someProvider(t)
	}
	k := d.mint(p, func(k *token) { k.Subject = c.attempt.token.Subject })
	if rapid.Bool().Draw(t, "revoked") {
		d.say("%s is revoked", k)
		d.idps[k.IDP].revoke(k)
	}
	l := c.line
	if often(t, "elsewhere") {
		l = d.someLine(t)
	}
	d.send(t, l, c.id, c.username, &k.Text)
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
	time.Sleep(loop.Rest) // for which the plugin may leave the broker alone
	d.rest()
	known := d.moment
	d.loop()
	d.rest()
	if d.NoTicks {
		return
	}
	d.unanswered()
	for _, l := range d.lines {
		d.rested(l, known)
		d.isAsked(l)
		if l.expected {
			d.broken("%sthe file has not come into force, though there is nothing that keeps it out", l.name())
		}
	}
}

// touchAndGo is a connection that sends nothing: where there are no ticks, such events must do.
func (d *driver) touchAndGo(t *rapid.T) {
	if !d.V20 {
		t.Skip()
	}
	l := d.someLine(t)
	d.say("%sa TCP connection comes and goes", l.name())
	d.rest()
	known := d.moment
	l.touch()
	// In a sweep the broker must not lose clients.
	swept := l.swept && time.Since(d.hupAt) < time.Second
	if d.NoTicks && time.Since(l.since) > 2*time.Second && d.set.IsZero() && !swept {
		d.rested(l, known)
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
	l := d.someLine(t)
	l.readable = true
	switch rapid.SampledFrom([]string{"the same", "another", "another", "broken", "missing"}).Draw(t, "file") {
	case "another":
		l.written = l.inForce.changed(t)
		l.write(l.written.text())
	case "broken":
		l.readable = false
		l.write(`{"mode":"local"`)
	case "missing":
		l.readable = false
		if err := os.Remove(l.path); err != nil && !os.IsNotExist(err) {
			panic(err)
		}
	case "the same":
		l.written = l.inForce
		l.write(l.written.text())
	}
	d.say("%s SIGHUP, %sthe file is now %+v, readable %t", d.clock.now().Format(time.TimeOnly), l.name(), l.written, l.readable)
	d.hangup()
}

func (d *driver) revokeOne(t *rapid.T) {
	if len(d.tokens.all) == 0 {
		t.Skip()
	}
	k := d.tokens.all[rapid.IntRange(0, len(d.tokens.all)-1).Draw(t, "token")]
	d.say("%s is revoked", k)
	d.idps[k.IDP].revoke(k)
}

func (d *driver) behaveOtherwise(t *rapid.T) {
	p := rapid.SampledFrom(d.idps).Draw(t, "idp")
	m := rapid.SampledFrom([]manner{prompt, holding, failing, mistaken}).Draw(t, "manner")
	d.say("idp%d is %s", p.number, m)
	p.behave(m)
}

// outage has so many questions of one provider fail that its endpoint is left alone.
func (d *driver) outage(t *rapid.T) {
	p := d.someProvider(t)
	d.say("idp%d fails, and clients of %s come", p.IDP, p.Name)
	d.idps[p.IDP].behave(failing)
	for range 5 {
		d.named++
		name := fmt.Sprintf("unlucky-%d", d.named)
		k := d.mint(p, func(k *token) { k.Subject = name })
		d.deliver(d.good(t, p, k))
	}
}

func (d *driver) letOne(t *rapid.T) {
	type held struct {
		by *idp
		i  int
	}
	var all []held
	for _, p := range d.idps {
		for i := range p.waiting() {
			all = append(all, held{p, i})
		}
	}
	if len(all) == 0 {
		t.Skip()
	}
	one := all[rapid.IntRange(0, len(all)-1).Draw(t, "request")]
	answers := rapid.IntRange(0, 3).Draw(t, "by 500") != 0
	d.say("idp%d answers the request about %s: %t", one.by.number, one.by.waiting()[one.i], answers)
	one.by.let(one.i, answers)
}

func (d *driver) rotateKeys(t *rapid.T) {
	p := rapid.SampledFrom(d.idps).Draw(t, "idp")
	d.named++
	fresh, all := keyName(p.number, d.named), p.names
	if rapid.Bool().Draw(t, "old one stays") {
		all = []string{all[len(all)-1], fresh}
	} else {
		all = []string{fresh}
	}
	d.say("idp%d has the keys %v", p.number, all)
	p.rotate(all...)
}

// insist is a client that nothing is wrong with, and whose identity provider answers: it must get in within a few attempts, however
// the others are.
func (d *driver) insist(t *rapid.T) {
	p := d.someProvider(t)
	d.say("a good client of %s begins, and idp%d answers", p.Name, p.IDP)
	for range 8 {
		f := d.lines[p.Line].inForce
		if now, there := f.same(p.id()); there {
			p = now
		} else {
			p = f.Providers[0] // another file has come into force
		}
		d.heal(d.idps[p.IDP])
		d.named++
		name := fmt.Sprintf("good-%d", d.named)
		k := d.mint(p, func(k *token) { k.Subject = name })
		for range 2 { // by the same token, as whoever is put off does
			c := d.deliver(d.good(t, p, k))
			for range 3 {
				d.turn()
			}
			if c.state == connected {
				d.say("it is in")
				d.insistOnRenewal(t, c)
				if c.state == connected {
					d.drop(c)
				}
				return
			}
			time.Sleep(3 * time.Second)
			d.turn()
		}
	}
	d.broken("a good client was not let in")
}

// insistOnRenewal is a fresh token of such a client, which must count.
func (d *driver) insistOnRenewal(t *rapid.T, c *conn) {
	p, there := c.line.inForce.same(c.attempt.by.id())
	if !there || c.line.inForce.NoRenewal || c.told() == nil || rapid.Bool().Draw(t, "it does not renew") {
		return
	}
	k := d.mint(p, func(k *token) {
		k.Subject, k.Issuer, k.Tenant = c.attempt.token.Subject, c.attempt.token.Issuer, c.attempt.token.Tenant
	})
	if bar := d.barByIdentity(c, &attempt{token: k, by: p}); bar != "" || !p.isItsIssuer(k) || !p.isItsTenant(k) || p.MatchClientID && c.id != p.called(k.Subject) || p.MatchUsername && *c.username != p.called(k.Subject) {
		return // another file is in force since
	}
	file := c.line.tookOver
	for range 3 {
		m := d.renewal(c, k.Text)
		d.publishes(m)
		for range 3 {
			d.turn()
			if d.NoTicks {
				c.line.touch()
				d.rest()
			}
			if m.commands[0].renewal.counted || c.state != connected || c.line.tookOver != file {
				return
			}
			d.heal(d.idps[p.IDP])
			time.Sleep(3 * time.Second)
		}
	}
	d.broken("a good client was not renewed")
}

// authenticate is a CONNECT by enhanced authentication.
func (d *driver) authenticate(t *rapid.T) {
	id := names.Draw(t, "id")
	username := rapid.SampledFrom([]*string{nil, text(user), &id}).Draw(t, "username")
	a := &auth{Method: rapid.SampledFrom([]string{byJWT, byJWT, byJWT, byOthers, "NOBODY'S"}).Draw(t, "method")}
	switch fault := rapid.SampledFrom([]string{"none", "none", "none", "expired", "forged", "issuer", "idp", "key", "endless", "opaque", "answer", "nothing", "again"}).Draw(t, "data"); {
	case fault == "answer":
		a.Data = answer42
	case fault == "nothing":
	case fault == "again" && len(d.tokens.all) > 0:
		a.Data = rapid.SampledFrom(d.tokens.all).Draw(t, "token").Text
	default:
		p := d.someProvider(t)
		a.Data = d.mint(p, func(k *token) {
			d.vary(t, k)
			d.spoil(t, k, fault)
			if fault == "none" {
				id = p.called(k.Subject)
			}
		}).Text
	}
	d.sendPacket(t, packet{Line: d.someLine(t).number, ID: id, Username: username, Password: d.beside(t), Auth: a})
}

// beside is the password that may stand beside an enhanced authentication. Nobody judges it.
func (d *driver) beside(t *rapid.T) *string {
	switch rapid.IntRange(0, 5).Draw(t, "password beside") {
	case 0:
		return text(password)
	case 1:
		return &d.mint(d.someProvider(t), func(k *token) { d.vary(t, k) }).Text
	}
	return nil
}

// connectedBy are clients that are connected, and of a kind.
func (d *driver) connectedBy(is func(*conn) bool) (all []*conn) {
	for _, c := range d.sessions {
		if c.state == connected && is(c) {
			all = append(all, c)
		}
	}
	return all
}

// fresh is what a client shows to stay: usually a token that is good for that.
func (d *driver) fresh(t *rapid.T, c *conn) string {
	p, there := c.line.inForce.same(c.attempt.by.id())
	if !there || !c.attempt.admitted {
		p = d.someProvider(t)
	}
	fault := rapid.SampledFrom([]string{
		"none", "none", "none", "none", "none", "revoked", "subject", "provider", "its own", "any", "nothing", "password",
		"expired", "forged", "issuer", "tenant", "idp", "key", "endless", "opaque",
	}).Draw(t, "fresh token")
	switch fault {
	case "provider":
		p = d.someProvider(t)
	case "its own":
		if c.attempt.token != nil {
			return c.attempt.token.Text
		}
	case "any":
		return rapid.SampledFrom(append([]*token{{}}, d.tokens.all...)).Draw(t, "token").Text
	case "nothing":
		return ""
	case "password":
		return password
	}
	return d.mint(p, func(k *token) {
		d.vary(t, k)
		if old := c.attempt.token; old != nil && fault != "subject" {
			k.Subject = old.Subject
			if p.isItsIssuer(old) && p.isItsTenant(old) {
				k.Issuer, k.Tenant = old.Issuer, old.Tenant
			}
			k.Opaque = k.Opaque || old.Opaque && p.Mode == introspection
		}
		d.spoil(t, k, fault)
		k.Revoked = fault == "revoked"
	}).Text
}

// reauthenticateOne is a client that came by enhanced authentication and shows a fresh token.
func (d *driver) reauthenticateOne(t *rapid.T) {
	all := d.connectedBy(func(c *conn) bool { return c.Auth != nil })
	if len(all) == 0 {
		t.Skip()
	}
	c := all[rapid.IntRange(0, len(all)-1).Draw(t, "client")]
	data := d.fresh(t, c)
	if c.Auth.isKnownToOthers() && rapid.Bool().Draw(t, "answer") {
		data = answer42
	}
	d.shows(c, data)
}

// shows has a client send AUTH.
func (d *driver) shows(c *conn, data string) {
	d.say("%s AUTH of %s by %s: %s", d.clock.now().Format(time.TimeOnly), c, c.Auth.Method, d.describe(&data))
	d.rest()
	d.reauthenticate(c, &auth{c.Auth.Method, data})
	d.rest()
}

// renewOne is a client that asks by $CONTROL, for several things perhaps.
func (d *driver) renewOne(t *rapid.T) {
	all := d.connectedBy(func(*conn) bool { return true })
	if len(all) == 0 {
		t.Skip()
	}
	c := all[rapid.IntRange(0, len(all)-1).Draw(t, "client")]
	if c.told() == nil {
		t.Skip()
	}
	var texts []string
	for range rapid.SampledFrom([]int{1, 1, 1, 1, 2, 3, 7}).Draw(t, "commands") {
		texts = append(texts, d.fresh(t, c))
	}
	m := d.renewal(c, texts...)
	switch rapid.IntRange(0, 7).Draw(t, "message") {
	case 0:
		m.unread = true
	case 1:
		m.commands[0].name = "listClients"
	case 2:
		m.commands[0].token = nil
	}
	d.publishes(m)
}

// renewSlowly is a client whose fresh token is good or bad, and whose provider takes its time with that, while something else happens.
func (d *driver) renewSlowly(t *rapid.T) {
	all := d.connectedBy(func(c *conn) bool {
		p, there := c.line.inForce.same(c.attempt.by.id())
		return c.attempt.admitted && there && (p.asks() || p.fetches()) && (c.told() != nil || c.Auth != nil)
	})
	if len(all) == 0 {
		t.Skip()
	}
	c := all[rapid.IntRange(0, len(all)-1).Draw(t, "client")]
	p, _ := c.line.inForce.same(c.attempt.by.id())
	d.say("idp%d is holding", p.IDP)
	d.idps[p.IDP].behave(holding)
	show := func(text string) {
		if c.Auth != nil && (c.told() == nil || rapid.Bool().Draw(t, "by AUTH")) {
			d.shows(c, text)
		} else {
			d.publishes(d.renewal(c, text))
		}
	}
	show(d.fresh(t, c))
	switch rapid.SampledFrom([]string{"reload", "reload", "drop", "takeover", "end", "another", "clock"}).Draw(t, "meanwhile") {
	case "reload":
		d.reload(t)
		d.turn()
	case "drop":
		if c.state == connected {
			d.say("%s drops", c)
			d.drop(c)
		}
		d.connectGood(t)
	case "takeover":
		k := d.mint(p, func(k *token) { k.Subject = c.attempt.token.Subject })
		d.send(t, c.line, c.id, c.username, &k.Text)
	case "end":
		time.Sleep(max(0, min(c.attempt.token.Expires.Sub(d.clock.now()), 2*timeout)))
	case "another":
		if c.state == connected {
			show(d.fresh(t, c))
		}
	case "clock":
		d.setClock(t)
	}
	d.say("idp%d answers", p.IDP)
	d.heal(d.idps[p.IDP])
	d.turn()
}

// renewal is a message by which a client renews.
func (d *driver) renewal(c *conn, texts ...string) *message {
	m := &message{from: c}
	for i, text := range texts {
		m.commands = append(m.commands, &command{name: "renewToken", correlation: fmt.Sprintf("%d of message %d", i, len(d.messages)), token: &text})
	}
	return m
}

// publishes has a client send a message.
func (d *driver) publishes(m *message) {
	c := m.from
	d.sends(m)
	d.say("%s %s publishes %s", d.clock.now().Format(time.TimeOnly), c, m)
	for _, command := range m.commands {
		if command.token != nil {
			d.say("    %s", d.describe(command.token))
		}
		if command.forAdmins {
			d.say("    %v", command.arguments)
		}
		if command.token != nil && command.name == "renewToken" && !m.unread {
			command.renewal = d.renews(c, *command.token, nil)
		}
	}
	c.asks += max(1, len(m.commands))
	d.rest()
	for _, command := range m.commands {
		command.may, command.sure, command.refusals, command.sessions = c.isAdmin(), d.isSurelyAdmin(c), len(d.refusals), len(d.sessions)
		if command.order != nil && command.may {
			d.orders(command.order)
		}
		if command.name == removeBlock && command.may && (len(m.commands) > 1 || d.V20) {
			d.mayRemove() // which is told when the others are done, and on 2.0 perhaps never
		}
	}
	d.publish(c, m.payload())
	d.rest()
}

// heal has an identity provider answer from now on.
func (d *driver) heal(p *idp) {
	p.behave(prompt)
	for range p.waiting() {
		p.let(0, true)
	}
	d.rest()
}
