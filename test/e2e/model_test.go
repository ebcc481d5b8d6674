package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

//nolint:gochecknoglobals // flags of go test: -args -model.seed=…
var (
	modelSeed = flag.Uint64("model.seed", 0, "repeat the random steps of TestModel with this seed; 0: choose one")
	modelTime = flag.Duration("model.time", 20*time.Second, "how long TestModel runs against each version")
)

// kickGrace is how long after its end a client may still be connected: far longer than it takes, as the machine may be busy.
// healGrace is how long after an outage good clients may go on being refused: the provider is left alone for some seconds
// after failures.
const (
	kickGrace = 10 * time.Second
	healGrace = harness.Patience
)

// realm is an identity provider, and what the file in force has of it.
type realm struct {
	*idp.Provider
	name string // empty if it is the only one, in a file without names
	// trouble is when it last failed or was made to, and troubled whether that goes on.
	trouble  time.Time
	troubled bool
	// gone is since when the file has it no more; zero: it has it. left is when it was last taken out.
	gone, left time.Time
	// mark is the end of the log when it came back: what was found before that is forgotten.
	mark int
}

// credential is a token and what the rules say of it.
type credential struct {
	realm *realm
	token string
	id    string // jti
	ends  time.Time
	// forged: never good. adrift: the key that signed it is gone, so that the provider knows it no more; it may be
	// refused at any time.
	forged, adrift bool
	// asked is when somebody last came by it by enhanced authentication: what was asked then is kept for a while.
	asked time.Time
	// revoked is when it was taken back, and found when the plugin has shown that it knows; zero: not yet.
	revoked, found time.Time
}

// over tells whether the token was over at a time: nobody gets in by it then.
func (c *credential) over(at time.Time) bool {
	return c.forged || !at.Before(c.ends) || !c.revoked.IsZero() && !at.Before(c.revoked)
}

// visit is a connection, and how its client comes.
type visit struct {
	*harness.Raw
	protocol byte
	byAuth   bool
}

// seat is a client id and whoever is connected by it as far as the model knows; conn is nil where nobody is.
type seat struct {
	id    string
	conn  *visit
	by    *credential
	since time.Time
	mark  int // of the broker's log, from before it came
}

// model takes random steps against one broker, and compares what happens with the rules.
type model struct {
	*testing.T
	v     brokers.Version
	rand  *rand.Rand
	b     *harness.Broker
	after bool // check "afterConnect"

	realms []*realm
	seats  []*seat
	tokens []*credential
	// past are the clients that have been let in, by their tokens.
	past  []*seat
	files []modelFile
	steps []string
}

// modelFile is a jwt.json, and the realms that it has; none: it can't be read.
type modelFile struct {
	text   any
	realms []*realm
}

// TestModel is random: clients with good, expired, forged and revoked tokens, of one provider or of two, come by a few client ids, by password
// and by enhanced authentication, renew their tokens, are taken over, drop and wait for their end, while the file is reloaded, providers fail, leave the file and come back, and their
// keys change. Whatever happens: nobody is connected whose token is over, nobody good is refused or thrown out, for another
// provider's sake least of all, and a client that has nothing to do with tokens notices nothing.
func TestModel(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		seed := *modelSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		m := newModel(t, v, seed)
		steps := m.actions()
		t.Cleanup(func() {
			t.Logf("%d steps, seed %d", len(m.steps), seed)
			if t.Failed() {
				t.Logf("the last steps:\n%s", m.history())
			}
		})
		for until := time.Now().Add(*modelTime); time.Now().Before(until) && !t.Failed(); {
			steps[m.rand.IntN(len(steps))]()
		}
		m.heal()
		m.look()
	})
}

func newModel(t *testing.T, v brokers.Version, seed uint64) *model {
	t.Helper()
	m := &model{T: t, v: v, rand: rand.New(rand.NewPCG(seed, 0))}
	m.after = m.rand.IntN(2) == 0
	m.realms = []*realm{{Provider: ownProvider(t)}}
	if m.rand.IntN(3) > 0 {
		m.realms = []*realm{{Provider: m.realms[0].Provider, name: "one"}, {Provider: ownProvider(t), name: "two"}}
	}
	m.files = m.drawnFiles()
	m.b = harness.Start(t, v, harness.Options{
		Listeners: []harness.Listener{{}, {WebSockets: true}},
		Plugins:   []harness.Plugin{harness.JWT("jwt.json", m.files[0].text), renewers()},
	})
	for range m.realms {
		m.b.WaitLog(`1 key from http`)
	}
	watch(t, m.b)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		m.seats = append(m.seats, &seat{id: id})
	}
	return m
}

// renewers may renew by $CONTROL.
func renewers() harness.Plugin {
	d := harness.Dynsec{
		Roles: map[string][]harness.ACL{
			"renews":   {{Type: "publishClientSend", Topic: controlTopic, Allow: true}},
			"observer": harness.MayUse("#"),
		},
		Clients: []harness.DynsecClient{{Username: "operator", Password: "operator's password", Roles: []string{"observer"}}},
	}
	for _, name := range []string{"sensor-1", "one:sensor-1", "two:sensor-1"} {
		d.Clients = append(d.Clients, harness.DynsecClient{Username: name, Roles: []string{"renews"}})
	}
	return d.Plugin()
}

// drawnFiles are what the file can become.
func (m *model) drawnFiles() []modelFile {
	one, quick := object{"options.revocation.maxConcurrent": 2}, object{"options.modes.jwks.cache.ttlMs": 1000}
	first := m.realms[0]
	if len(m.realms) == 1 {
		return []modelFile{
			{m.entry(first, nil), m.realms}, {m.entry(first, one), m.realms}, {m.entry(first, quick), m.realms}, {"{ not JSON", nil},
		}
	}
	second := m.realms[1]
	file := func(a, b object) modelFile {
		return modelFile{several(nil, m.entry(first, a), m.entry(second, b)), m.realms}
	}
	return []modelFile{
		file(nil, nil), file(one, nil), file(nil, quick),
		{"{ not JSON", nil},
		{several(nil, m.entry(second, nil), m.entry(first, nil)), m.realms},
		{several(object{"common.onNonToken": "defer"}, m.entry(first, nil)), m.realms[:1]},
		{several(nil, m.entry(second, quick)), m.realms[1:]},
	}
}

// entry is what a file says of a realm.
func (m *model) entry(r *realm, change object) object {
	c := config(m, r.Provider, object{
		"options.lazyConnect":                  true,
		"options.modes.jwks.cache.ttlMs":       5000,
		"options.modes.jwks.timeoutMs":         1000,
		"options.revocation.timeoutMs":         1000,
		"options.revocation.recheckIntervalMs": 1000,
	}, change)
	if m.after {
		set(c, "options.revocation.check", "afterConnect")
	}
	if r.name != "" {
		set(c, "version", nil)
		set(c, "name", r.name)
		set(c, "options.common.issuer", r.Issuer())
		set(c, "options.common.usernameTemplate", "{provider}:{sub}")
	}
	return c
}

// actions are the steps, each as often as it is to be likely.
func (m *model) actions() []func() {
	return slices.Concat(
		slices.Repeat([]func(){m.good}, 8), slices.Repeat([]func(){m.bad}, 8), slices.Repeat([]func(){m.drop}, 4),
		slices.Repeat([]func(){m.sneak}, 3), slices.Repeat([]func(){m.renew}, 8), slices.Repeat([]func(){m.reload}, 4), slices.Repeat([]func(){m.look}, 4),
		[]func(){m.outlive, m.revoke, m.revoke, m.disturb, m.disturb, m.heal, m.heal, m.rotate},
	)
}

func (m *model) step(format string, args ...any) {
	m.steps = append(m.steps, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (m *model) history() (text string) {
	for _, s := range m.steps[max(0, len(m.steps)-60):] {
		text += s + "\n"
	}
	return text
}

func (m *model) seat() *seat { return m.seats[m.rand.IntN(len(m.seats))] }

func (m *model) realm() *realm { return m.realms[m.rand.IntN(len(m.realms))] }

func (m *model) mint(life time.Duration) *credential { return m.mintOf(m.realm(), life) }

func (m *model) mintOf(r *realm, life time.Duration, options ...idp.TokenOption) *credential {
	c := &credential{realm: r, id: fmt.Sprintf("%d-%d", time.Now().UnixNano(), len(m.tokens))}
	c.token = c.realm.Token("sensor-1", life, append(options, idp.Claim("jti", c.id))...)
	c.ends = expiryOf(m, c.token)
	m.tokens = append(m.tokens, c)
	return c
}

// connect has a client come, and holds the answer against the rules. The client stays where it was let in.
func (m *model) connect(s *seat, by *credential, r *visit, sent time.Time, mark int) (in bool) {
	m.Helper()
	got, err := r.Connack()
	if err != nil {
		m.Errorf("client %q: %v", s.id, err)
	}
	in = got.Accepted()
	m.step("client %q came by %s: %v", s.id, m.name(by), got)
	if !in {
		r.Close()
		if !by.revoked.IsZero() {
			m.find(by, mark)
		}
		return false
	}
	switch {
	case by.forged:
		m.Errorf("client %q got in by a forged token", s.id)
	case !sent.Before(by.ends):
		m.Errorf("client %q got in by a token that was over for %s", s.id, sent.Sub(by.ends))
	case !by.realm.gone.IsZero() && sent.After(by.realm.gone):
		m.Errorf("client %q got in by a token of a provider that is gone from the file", s.id)
	case !by.revoked.IsZero() && sent.After(by.revoked) && !m.after && !by.wasAsked(sent):
		m.Errorf("client %q got in by a token that was revoked %s before", s.id, sent.Sub(by.revoked))
	case !by.found.IsZero() && sent.After(by.found):
		m.Errorf("client %q got in by a token that was found inactive %s before", s.id, sent.Sub(by.found))
	}
	m.leave(s)
	s.conn, s.by, s.since, s.mark = r, by, time.Now(), mark
	m.past = append(m.past, &seat{id: s.id, by: by})
	return true
}

// wasAsked tells whether an answer from before it was revoked may still be kept.
func (c *credential) wasAsked(at time.Time) bool {
	return !c.asked.IsZero() && at.Sub(c.asked) < 15*time.Second
}

// find notes that the log says, since a mark, that the plugin has found a token inactive.
func (m *model) find(by *credential, mark int) {
	if matches(m.b.LogSince(max(mark, by.realm.mark)), `(refused|disconnected): revoked: .*jti "`+by.id+`"`) {
		by.found = time.Now()
	}
}

// dial opens a connection, over TCP or now and then a WebSocket, of either protocol.
//
// Mosquitto 2.0.21 gets none of the latter: it makes its list of keep-alive times anew at SIGHUP, forgets who is just being
// closed over WebSockets, and crashes (SIGSEGV) some takeovers later, whatever plugins it has.
func (m *model) dial() *visit {
	m.Helper()
	return m.dialAs([]byte{harness.V311, harness.V5}[m.rand.IntN(2)])
}

// dialAs is dial for one protocol.
func (m *model) dialAs(protocol byte) *visit {
	m.Helper()
	listener := m.rand.IntN(8) / 7
	if m.v.Series == "2.0.21" {
		listener = 0
	}
	r, err := harness.Dial(m.b.URL(listener), protocol)
	if err != nil {
		m.Fatal(err)
	}
	return &visit{Raw: r, protocol: protocol}
}

// send sends CONNECT by a client id.
func (m *model) send(r *visit, s *seat, by *credential) time.Time {
	m.Helper()
	l := login(s.id, by.token)
	if r.byAuth {
		l, by.asked = byToken(s.id, by.token), time.Now()
	}
	l.Username = new("sensor-1")
	sent := time.Now()
	if err := r.SendConnect(l); err != nil {
		m.Errorf("client %q: %v", s.id, err)
	}
	return sent
}

// leave ends whatever the model knows of a seat.
func (m *model) leave(s *seat) {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// name is what a token is called in the steps.
func (m *model) name(c *credential) string {
	what := "good"
	switch {
	case c.forged:
		what = "forged"
	case !time.Now().Before(c.ends):
		what = "expired"
	case !c.revoked.IsZero():
		what = "revoked"
	case c.adrift:
		what = "adrift"
	}
	return fmt.Sprintf("%s token %d of %q", what, slices.Index(m.tokens, c), c.realm.name)
}

// unsettled tells whether a provider has been in trouble since a time, or not long before it.
func (r *realm) unsettled(since time.Time) bool {
	return r.troubled || since.Before(r.trouble.Add(healGrace))
}

// good has a client come by a good token, again and again where its provider is well, however the other is: it must get in at last.
func (m *model) good() {
	by := m.mint([]time.Duration{2 * time.Second, time.Hour, time.Hour}[m.rand.IntN(3)])
	if reuse := m.tokens[m.rand.IntN(len(m.tokens))]; m.rand.IntN(3) == 0 && !reuse.over(time.Now()) && !reuse.adrift {
		by = reuse
	}
	s, byAuth := m.seat(), m.rand.IntN(3) == 0
	for deadline := time.Now().Add(healGrace); ; time.Sleep(20 * time.Millisecond) {
		mark, r := m.b.Mark(), m.come(byAuth)
		if m.connect(s, by, r, m.send(r, s, by), mark) || m.Failed() {
			return
		}
		if by.realm.troubled || !by.realm.gone.IsZero() || by.over(time.Now()) {
			return // it need not get in
		}
		if time.Now().After(deadline) {
			m.Errorf("client %q does not get in by a good token", s.id)
			return
		}
	}
}

// come is dial for a client that comes by enhanced authentication, or not.
func (m *model) come(byAuth bool) *visit {
	if !byAuth {
		return m.dial()
	}
	r := m.dialAs(harness.V5)
	r.byAuth = true
	return r
}

// renew has a connected client show a fresh token, which is good or not.
func (m *model) renew() {
	s := m.seat()
	if s.conn == nil || s.by.over(time.Now()) || !s.conn.byAuth && s.conn.protocol != harness.V311 {
		return
	}
	fresh := m.worn()
	if m.rand.IntN(4) > 0 {
		fresh = m.mintOf(s.by.realm, []time.Duration{2 * time.Second, time.Hour}[m.rand.IntN(2)])
	}
	sent, mark := time.Now(), m.b.Mark()
	show := m.renewByControl
	if s.conn.byAuth {
		show = m.renewByAuth
	}
	answer, counts := show(s, fresh, mark)
	m.step("client %q renews by %s: %s", s.id, m.name(fresh), answer)
	good := fresh.realm == s.by.realm && !fresh.over(sent)
	switch {
	case counts && !good && !fresh.wasAsked(sent):
		m.Errorf("client %q renewed its token by a bad one", s.id)
	case counts && !fresh.realm.gone.IsZero() && sent.After(fresh.realm.gone):
		m.Errorf("client %q renewed its token by one of a provider that is gone from the file", s.id)
	case counts:
		s.by, s.since, s.mark = fresh, time.Now(), mark
		m.past = append(m.past, &seat{id: s.id, by: fresh})
		return
	case strings.HasPrefix(answer, "server busy") || answer == "":
	case good && !fresh.over(time.Now()) && !s.by.over(time.Now()) && !fresh.realm.unsettled(sent) && fresh.realm.gone.IsZero() && sent.Sub(fresh.realm.left) > healGrace:
		m.Errorf("client %q could not renew by a good token: %s", s.id, answer)
	}
	if s.conn.byAuth || answer == "" {
		m.leave(s) // it may have been disconnected
	}
}

// renewByAuth returns what the log says of a renewal by AUTH, and whether the token counts; empty: nothing, as the client was disconnected first.
func (m *model) renewByAuth(s *seat, fresh *credential, mark int) (answer string, counts bool) {
	if err := s.conn.Send(harness.AuthPacket(0x19, harness.Auth{Method: oauth2, Data: fresh.token})); err != nil {
		return "", false
	}
	line := regexp.MustCompile(`go_jwt_auth: client "` + s.id + `" \[[^\]]*\] (not )?renewed[:,] (.*)`)
	for deadline := time.Now().Add(healGrace); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if found := line.FindStringSubmatch(m.b.LogSince(mark)); found != nil {
			return found[2], found[1] == ""
		}
		if s.conn.Ping() != nil {
			return "", false
		}
	}
	return "", false
}

// renewByControl returns the error that the client is answered with, and whether the token counts.
func (m *model) renewByControl(s *seat, fresh *credential, _ int) (answer string, counts bool) {
	if err := s.conn.Send(harness.PublishPacket(controlTopic, command(m, fresh.token), false)); err != nil {
		return "", false
	}
	for {
		packet, err := s.conn.Next()
		if err != nil {
			if s.conn.Ping() == nil {
				m.Errorf("client %q got no answer on %s", s.id, controlResponse)
			}
			return "", false
		}
		p, is := packet.(*packets.PublishPacket)
		if !is || p.TopicName != controlResponse {
			continue
		}
		if err := s.conn.Send([]byte{packets.Puback << 4, 2, byte(p.MessageID >> 8), byte(p.MessageID)}); err != nil {
			return "", false
		}
		got := answers(m, string(p.Payload))[0]
		return got.Error, got.Error == ""
	}
}

// worn finds a token that is over, or makes one.
func (m *model) worn() *credential {
	var worn []*credential
	for _, c := range m.tokens {
		if c.over(time.Now()) {
			worn = append(worn, c)
		}
	}
	if len(worn) > 0 && m.rand.IntN(4) > 0 {
		return worn[m.rand.IntN(len(worn))]
	}
	switch m.rand.IntN(3) {
	case 0:
		return m.forge()
	case 1:
		return m.mint(-time.Minute)
	default:
		c := m.mint(time.Hour)
		m.take(c)
		return c
	}
}

// forge makes a token that is never good: by a key of nobody's or, with two providers, by the key of one and the issuer of the other,
// of nobody or none.
func (m *model) forge() *credential {
	r, how := m.realm(), idp.ForeignKey()
	if other := m.realm(); other != r {
		how = []idp.TokenOption{idp.Issuer(other.Issuer()), idp.Without("iss"), idp.Issuer("https://nobody.example")}[m.rand.IntN(3)]
	}
	c := m.mintOf(r, time.Hour, how)
	c.forged = true
	return c
}

// take has the provider take a token back.
func (m *model) take(c *credential) {
	if err := c.realm.Revoke(c.token); err != nil {
		m.Fatal(err)
	}
	c.revoked = time.Now()
}

// bad has a client come by a token that is over.
func (m *model) bad() {
	mark, s, by, r := m.b.Mark(), m.seat(), m.worn(), m.come(m.rand.IntN(4) == 0)
	m.connect(s, by, r, m.send(r, s, by), mark)
}

// sneak has a client come by a good token and vanish before it is answered, and another by the same id with a bad one.
func (m *model) sneak() {
	s, fine, by := m.seat(), m.mint(time.Hour), m.worn()
	mark, first, second := m.b.Mark(), m.dial(), m.dial()
	m.send(first, s, fine)
	first.Close()
	m.step("client %q came by %s and went", s.id, m.name(fine))
	// It may have been let in, and have taken over whoever was there.
	m.leave(s)
	m.connect(s, by, second, m.send(second, s, by), mark)
}

func (m *model) drop() {
	s := m.seat()
	m.step("client %q drops", s.id)
	m.leave(s)
}

// formerly finds a client that was let in by a token that is over now; nil: there is none.
func (m *model) formerly() *seat {
	var all []*seat
	for _, s := range m.past {
		if s.by.over(time.Now()) {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[m.rand.IntN(len(all))]
}

// reload sends SIGHUP, with the same file, another, or a bad one, and has clients come in the same moment whose tokens are
// over.
func (m *model) reload() {
	n := m.rand.IntN(len(m.files))
	m.step("SIGHUP with file %d", n)
	m.b.WriteFile("jwt.json", m.files[n].text)
	type comer struct {
		s    *seat
		by   *credential
		r    *visit
		sent time.Time
	}
	var all []*comer
	was, alone := m.formerly(), m.rand.IntN(2) == 0
	for range m.rand.IntN(16) {
		c := &comer{s: m.seat(), by: m.worn(), r: m.dial()}
		if !alone {
			was = m.formerly()
		}
		if was != nil {
			c.s, c.by = m.seats[slices.IndexFunc(m.seats, func(s *seat) bool { return s.id == was.id })], was.by
		}
		all = append(all, c)
	}
	has := m.files[n].realms
	m.bringBack(has)
	mark := m.b.Mark()
	m.b.Signal(syscall.SIGHUP)
	var sending sync.WaitGroup
	for _, c := range all {
		sending.Go(func() { c.sent = m.send(c.r, c.s, c.by) })
	}
	sending.Wait()
	for _, c := range all {
		m.connect(c.s, c.by, c.r, c.sent, mark)
	}
	if has != nil {
		m.b.WaitLogSince(mark, ` reloaded `)
		m.takeOut(has)
	}
}

// bringBack notes which realms may be in force again from now on. What was known of their tokens went with them.
func (m *model) bringBack(has []*realm) {
	for _, r := range has {
		if r.gone.IsZero() {
			continue
		}
		r.gone, r.mark = time.Time{}, m.b.Mark()
		for _, c := range m.tokens {
			if c.realm == r {
				c.found = time.Time{}
			}
		}
	}
}

// takeOut notes which realms the file that has come into force does not have.
func (m *model) takeOut(has []*realm) {
	for _, r := range m.realms {
		if !slices.Contains(has, r) && r.gone.IsZero() {
			r.gone = time.Now()
			r.left = r.gone
		}
	}
}

// revoke takes the token of a connected client back.
func (m *model) revoke() {
	if s := m.seat(); s.conn != nil && s.by.revoked.IsZero() {
		m.step("%s is revoked", m.name(s.by))
		m.take(s.by)
	}
}

// disturb makes a provider slow, wrong, or absent, for the time being.
func (m *model) disturb() {
	r := m.realm()
	r.troubled, r.trouble = true, time.Now()
	switch m.rand.IntN(4) {
	case 0:
		m.step("the provider %q is slow", r.name)
		r.SetDelay(idp.Introspect, 300*time.Millisecond)
		r.SetDelay(idp.JWKS, 300*time.Millisecond)
	case 1:
		m.step("the introspection of %q fails", r.name)
		r.SetAnswer(idp.Introspect, &idp.Answer{Status: http.StatusInternalServerError})
	case 2:
		m.step("the key set of %q fails", r.name)
		r.SetAnswer(idp.JWKS, &idp.Answer{Status: http.StatusBadGateway})
	default:
		m.step("the provider %q is down", r.name)
		if err := r.SetDown(true); err != nil {
			m.Fatal(err)
		}
	}
}

// heal ends all disturbances.
func (m *model) heal() {
	for _, r := range m.realms {
		if !r.troubled {
			continue
		}
		m.step("the provider %q is well again", r.name)
		for _, endpoint := range []idp.Endpoint{idp.Introspect, idp.JWKS} {
			r.SetDelay(endpoint, 0)
			r.SetAnswer(endpoint, nil)
		}
		if err := r.SetDown(false); err != nil {
			m.Fatal(err)
		}
		r.troubled, r.trouble = false, time.Now()
	}
}

// rotate has a provider sign by another key. Sometimes it drops the old ones.
func (m *model) rotate() {
	r := m.realm()
	if _, err := r.Rotate(); err != nil {
		m.Fatal(err)
	}
	drop := m.rand.IntN(3) == 0
	m.step("the provider %q has another key (it drops the old: %v)", r.name, drop)
	if !drop {
		return
	}
	r.DropOldKeys()
	for _, c := range m.tokens {
		c.adrift = c.adrift || c.realm == r
	}
}

// outlive waits for the connected client that is to leave next, if it is soon.
func (m *model) outlive() {
	var next *seat
	for _, s := range m.seats {
		if s.conn != nil && time.Until(s.by.ends) < 5*time.Second && (next == nil || s.by.ends.Before(next.by.ends)) {
			next = s
		}
	}
	if next == nil {
		return
	}
	_, err := next.conn.WaitDisconnect()
	late := time.Since(next.by.ends)
	m.step("client %q left %s after its token's end", next.id, late)
	if err != nil || late > kickGrace {
		m.Errorf("client %q left %s after its token's end (%v)", next.id, late, err)
	}
	if late < 0 && m.mayStay(next, time.Now()) {
		m.Errorf("client %q was thrown out %s before its token's end", next.id, -late)
	}
	m.leave(next)
}

// mayStay tells whether a client that was let in has every right to be connected at a time.
func (m *model) mayStay(s *seat, at time.Time) bool {
	return !s.by.over(at) && !s.by.adrift && (!m.after || !s.by.realm.unsettled(s.since))
}

// look pings by every connection: whoever may be there is, and nobody else.
func (m *model) look() {
	for _, s := range m.seats {
		if s.conn == nil {
			continue
		}
		sent := time.Now()
		err := s.conn.Ping()
		switch {
		case err == nil && sent.After(s.by.ends.Add(kickGrace)):
			m.Errorf("client %q is still connected %s after its token's end", s.id, sent.Sub(s.by.ends))
		case err == nil && !s.by.revoked.IsZero() && sent.After(s.by.revoked.Add(kickGrace)) && !s.by.realm.unsettled(s.by.revoked) && s.since.After(s.by.realm.left):
			m.Errorf("client %q is still connected %s after its token was revoked", s.id, sent.Sub(s.by.revoked))
		case err == nil:
			continue
		case m.mayStay(s, time.Now()):
			m.Errorf("client %q was thrown out, though its token is good: %v", s.id, err)
		case !s.by.revoked.IsZero():
			m.find(s.by, s.mark)
		}
		m.step("client %q is gone", s.id)
		m.leave(s)
	}
	m.step("looked")
}
