package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// kinds of admins, with a space between them, are in options.control.admins; empty: nobody is.
type kinds string

const (
	adminByToken       = "token"
	adminByPassword    = "password"
	adminByCertificate = "certificate"
)

var someKinds = rapid.SampledFrom([]kinds{"", "", adminByToken, adminByPassword, adminByToken + " " + adminByPassword + " " + adminByCertificate})

// admin is an entry of that list.
type admin struct {
	byToken            bool
	provider, username string
}

// adminSubject and adminName are who is an admin: the subject of a token, and a name without one, which clients with a certificate have.
const (
	adminSubject = "a"
	adminName    = "c"
)

// adminList are those of the file: by token those of the first provider that gives its clients their names.
func (f file) adminList() (all []admin) {
	for kind := range strings.FieldsSeq(string(f.Admins)) {
		switch kind {
		case adminByPassword:
			all = append(all, admin{username: user})
		case adminByCertificate:
			all = append(all, admin{username: adminName})
		default:
			if p, there := f.find(func(p provider) bool { return p.MatchUsername }); there {
				all = append(all, admin{byToken: true, provider: p.Name, username: p.called(adminSubject)})
			}
		}
	}
	return all
}

// json is the entry in the file.
func (a admin) json() any {
	switch {
	case !a.byToken:
		return a.username
	case a.provider == "":
		return object{"username": a.username}
	}
	return object{"provider": a.provider, "username": a.username}
}

// is tells whether a client is this admin, as far as it is known how it came.
func (a admin) is(c *conn) bool {
	t := c.attempt
	switch {
	case c.Elsewhere || c.state != connected || c.name() != a.username:
		return false
	case a.byToken:
		_, there := c.line.inForce.same(t.by.id())
		return t.admitted && there && t.by.Name == a.provider && t.by.MatchUsername
	case t.admitted:
		return false
	}
	return c.Certificate || c.Auth == nil && c.Password != nil && c.seen
}

// isAdmin tells whether a client may use the commands of admins by the file that is in force.
func (c *conn) isAdmin() bool {
	return slices.ContainsFunc(c.line.inForce.adminList(), func(a admin) bool { return a.is(c) })
}

// isSurelyAdmin tells whether nothing that the broker did not tell of can keep it from that.
func (r *rules) isSurelyAdmin(c *conn) bool {
	_, leaves := r.mayGo(c)
	return c.isAdmin() && !leaves && !r.broker.V20 && r.watched > 0 && c.came > r.watched && !r.broker.stale[c.address]
}

// watches notes whether there are admins by any file, since when what they may see is kept.
func (r *rules) watches() {
	wanted := slices.ContainsFunc(r.broker.lines, func(l *line) bool { return len(l.inForce.adminList()) > 0 })
	switch {
	case wanted && r.watched == 0:
		r.moment++
		r.watched, r.refusals, r.lastRefusal = r.moment, nil, 0
	case !wanted:
		r.watched = 0
	}
}

// The commands of admins.
const (
	listSessions       = "listSessions"
	listSessionChanges = "listSessionChanges"
	getSession         = "getSession"
	disconnectSession  = "disconnectSession"
	listBlocks         = "listBlocks"
	removeBlock        = "removeBlock"
	getStatus          = "getStatus"
	listRefusals       = "listRefusals"
)

// order is a disconnectSession of an admin.
type order struct {
	by, name string
	provider *string
	// lasts is how long those who are met are kept out; zero: they are not.
	lasts time.Duration
	at    time.Time
	// there are those who were when it came, with whether it was about them; met are those whom it surely was about. known is the moment
	// of its answer; 0: there is none yet.
	there map[*conn]bool
	met   []*conn
	known int
	// removals is how many blocks had been removed when it came.
	removals int
	// late are the bearers of clients that had been taken over from, which is told late.
	late []bearer
}

// orders notes one, as it comes from somebody who may be an admin.
func (r *rules) orders(o *order) {
	o.at, o.there, o.removals = time.Now(), map[*conn]bool{}, r.told.removals
	for _, c := range r.broker.sessions {
		o.there[c] = o.matches(c)
	}
	for _, c := range r.broker.closing {
		before := *c
		if before.state = connected; o.lasts > 0 && o.by != "sub" && o.by != "jti" && before.attempt.admitted && o.matches(&before) {
			a := before.attempt
			o.late = append(o.late, bearer{provider: a.by.Name, sub: a.token.Subject}, bearer{provider: a.by.Name, jti: a.token.Name})
		}
	}
	r.told.orders = append(r.told.orders, o)
	for _, b := range append(r.bearers(o, slices.Collect(maps.Keys(o.there))), o.late...) {
		for _, before := range r.told.blocks {
			before.sure = before.sure && before.bearer != b // it may soon end as this one says, and nobody may be there to be told
		}
		r.told.blocks = append(r.told.blocks, &block{bearer: b, order: o, from: o.at, until: o.at.Add(o.lasts)})
	}
}

// matches tells whether it is about a client.
func (o *order) matches(c *conn) bool {
	a := c.attempt
	switch {
	case c.state != connected, o.provider != nil && (!a.admitted || a.by.Name != *o.provider):
		return false
	case o.by == "clientid":
		return c.id == o.name
	case o.by == "username":
		return c.username != nil && c.name() == o.name
	case o.by == "sub":
		return a.admitted && a.token.Subject == o.name
	case o.by == "jti":
		return a.admitted && a.token.Name == o.name
	}
	return o.provider != nil
}

// isAbout tells whether it can be the reason for which a client is disconnected.
func (o *order) isAbout(c *conn) bool {
	about, there := o.there[c]
	return about || there && o.known == 0 && o.matches(c)
}

// block keeps the bearer of a token out, from the answer of its order on at the latest.
type block struct {
	bearer
	order       *order
	from, until time.Time
	sure, over  bool
}

// bearer is whom it keeps out.
type bearer struct{ provider, sub, jti string }

// bearers are those whom an order keeps out.
func (r *rules) bearers(o *order, of []*conn) (all []bearer) {
	if o.lasts == 0 {
		return nil
	}
	var named string
	if o.provider != nil {
		named = *o.provider
	}
	switch o.by {
	case "sub":
		return []bearer{{provider: named, sub: o.name}}
	case "jti":
		return []bearer{{provider: named, jti: o.name}}
	}
	for _, c := range of {
		if a := c.attempt; o.isAbout(c) && a.admitted {
			if b := (bearer{provider: a.by.Name, sub: a.token.Subject}); !slices.Contains(all, b) {
				all = append(all, b)
			}
			if !r.isKnown(c) { // whose subject was not noted
				all = append(all, bearer{provider: a.by.Name, jti: a.token.Name})
			}
		}
	}
	return all
}

// blocked tells whether the bearer of a token is kept out.
func (r *rules) blocked(a *attempt) (sure, maybe bool) {
	if a.token == nil {
		return false, false
	}
	for _, b := range r.told.blocks {
		if b.over || b.provider != a.by.Name || b.sub != a.token.Subject && b.jti != a.token.Name || b.sub == "" && b.jti == "" {
			continue
		}
		// Between order and answer some time may pass.
		maybe = maybe || time.Since(b.until) <= time.Second
		sure = sure || b.sure && time.Now().Before(b.until)
	}
	return sure, maybe
}

// isKnown tells whether all that admins may see of a client has been noted: it came when there were admins already.
func (r *rules) isKnown(c *conn) bool {
	return !c.Elsewhere && c.came > r.watched && (!c.attempt.admitted || c.attempt.began > r.watched)
}

// mayBeOrdered tells whether an admin can have had a client disconnected.
func (r *rules) mayBeOrdered(c *conn) bool {
	return slices.ContainsFunc(r.told.orders, func(o *order) bool { return o.isAbout(c) })
}

// orderedAway tells whether a client should have been by a moment.
func (r *rules) orderedAway(c *conn, known int) bool {
	return !r.broker.V20 && slices.ContainsFunc(r.told.orders, func(o *order) bool {
		return o.known > 0 && o.known <= known && slices.Contains(o.met, c)
	})
}

// told is what admins were told, and have ordered.
type told struct {
	orders []*order
	blocks []*block
	// ids are those of blocks that were listed, removals counts those that were removed.
	ids      map[int]bearer
	removals int
	// list is what an admin has who lists all once, and from then on asks what has changed.
	list *list
}

// list is who is there, by client id, as of a revision.
type list struct {
	watched  int // see rules
	revision int64
	sessions map[string]shown
}

// refusal is one as it stands in the log.
type refusal struct{ about, id, reason string }

var refusalLine = regexp.MustCompile(`^go_jwt_auth: client (?:"((?:[^"\\]|\\.)*)"|\(a token\))(?: \[[^\]]*\])? (refused|not renewed): ([^:]+)`)

// hearsRefusal notes what the log says of one.
func (r *rules) hearsRefusal(line string) {
	found := refusalLine.FindStringSubmatch(line)
	if found == nil || r.watched == 0 {
		return
	}
	about := "login"
	if found[2] != "refused" {
		about = "renewal"
	}
	r.refusals = append(r.refusals, refusal{about, found[1], found[3]})
}

// hearsCommand holds the answer to an admin's command against the rules.
func (r *rules) hearsCommand(c *conn, m *message, by *command, errText string, data json.RawMessage) {
	exact := len(m.commands) == 1 && by.sessions <= oneStep // else it may have waited for others, or was made in several turns
	sure := by.sure && r.isSurelyAdmin(c)
	if strings.HasPrefix(errText, "unknown command") {
		if sure || errText != fmt.Sprintf("unknown command: %q", by.name) {
			r.broken("%s, who is an admin, was told %s of %s", c, errText, by.name)
		}
		r.undo(by)
		return
	}
	if !by.may && !c.isAdmin() {
		r.broken("%s has used %s, and is no admin", c, by.name)
	}
	switch {
	case errText == "too many requests" && c.asks > 100:
		r.undo(by)
		return
	case strings.HasPrefix(errText, `malformed request: "provider" must be the name of one`) && by.order != nil && by.order.lasts > 0:
		r.undo(by) // its provider has gone from the file
		return
	case errText == "admins have been switched off":
		return // some may have been met by then
	}
	switch by.name {
	case listSessions:
		r.hearsSessions(errText, data, exact)
	case listSessionChanges:
		r.hearsChanges(by, errText, data, exact)
	case getSession:
		r.hearsSession(by, errText, data, exact)
	case disconnectSession:
		r.hearsDisconnect(by, errText, data, exact)
	case listBlocks:
		r.hearsBlocks(errText, data, exact)
	case removeBlock:
		r.hearsRemoved(by, errText)
	case getStatus:
		r.hearsStatus(errText, data, exact)
	case listRefusals:
		r.hearsRefusals(by, errText, data)
	}
}

// undo forgets what was not ordered.
func (r *rules) undo(by *command) {
	if o := by.order; o != nil {
		o.known, o.there = r.moment, nil
		r.told.blocks = slices.DeleteFunc(r.told.blocks, func(b *block) bool { return b.order == o && !b.sure })
	}
}

// shown is a client as admins see it.
type shown struct {
	ClientID  string
	Username  string
	Connected bool
	Login     string
	Token     *struct{ Provider, Sub, JTI string }
}

// oneStep is how many clients are surely gone through in one step: between two of them clients come and go.
const oneStep = 6

// isRight holds what admins see of a client against the rules.
func (r *rules) isRight(s shown) {
	c := r.broker.session(s.ClientID)
	if strings.HasPrefix(s.ClientID, "(a token)") || r.broker.find(s.ClientID) != nil {
		return // which hides its id
	}
	if r.broker.V20 && (c == nil || !c.seen || slices.ContainsFunc(r.broker.closing, func(old *conn) bool { return old.id == s.ClientID })) {
		return // nothing tells that somebody has taken over about whom no plugin is asked
	}
	switch {
	case c == nil:
		r.broken("admins see %s, who is not there", s.ClientID)
	case c.Elsewhere: // of whom nothing is told, so that it may be taken for who was there by its id before
	case s.Connected != (c.state == connected) && (c.attempt.admitted || c.state == connected) && c.came > r.watched:
		r.broken("admins see %s connected: %t", c, s.Connected)
	case c.state != connected:
	case s.Login == "token" != c.attempt.admitted:
		r.broken("admins see that %s has come by %s", c, s.Login)
	case c.attempt.admitted && (s.Token == nil || s.Token.Provider != c.attempt.by.Name || s.Token.JTI != "" && s.Token.JTI != c.attempt.token.Name || s.Token.Sub != "" && s.Token.Sub != c.attempt.token.Subject):
		r.broken("admins see of %s %+v", c, s.Token)
	case !c.attempt.admitted && s.Token != nil:
		r.broken("admins see a token of %s", c)
	case !slices.Contains([]string{"", c.name()}, s.Username) && r.broker.find(s.Username) == nil && r.broker.find(c.name()) == nil:
		r.broken("admins see that %s is called %s", c, s.Username)
	}
}

func (r *rules) hearsSessions(errText string, data json.RawMessage, exact bool) {
	var said struct {
		TotalCount int
		Complete   bool
		Revision   int64
		Sessions   []shown
	}
	if err := json.Unmarshal(data, &said); errText != "" || err != nil {
		r.broken("an admin can't list sessions: %s, %v", errText, err)
		return
	}
	r.told.list = &list{watched: r.watched, revision: said.Revision, sessions: map[string]shown{}}
	for _, s := range said.Sessions {
		r.told.list.sessions[s.ClientID] = s
	}
	r.areRight(true, exact, said.Complete)
}

// areRight holds the list against the rules, if it is said to be complete also the other way round. listed: it has just been made anew.
func (r *rules) areRight(listed, exact, complete bool) {
	if !exact || len(r.broker.sessions) > oneStep {
		return
	}
	for _, s := range r.told.list.sessions {
		if listed || s.Login != "unknown" { // of a listener without the plugin, of whose clients no end is told
			r.isRight(s)
		}
	}
	if !complete || r.broker.V20 {
		return
	}
	for _, c := range r.broker.sessions {
		if _, seen := r.told.list.sessions[c.id]; r.isKnown(c) && r.broker.find(c.id) == nil && !seen {
			r.broken("admins do not see %s", c)
		}
	}
}

// hearsChanges brings the list up to date: it must be as if all had been listed anew.
func (r *rules) hearsChanges(by *command, errText string, data json.RawMessage, exact bool) {
	var said struct {
		Revision int64
		Sessions []shown
		Ended    []string
		More     bool
	}
	l := r.told.list
	switch err := json.Unmarshal(data, &said); {
	case errText == "revision too old":
		if l != nil && l.watched == r.watched && by.arguments["since"] == l.revision {
			r.broken("an admin who has listed all can't be told of what has changed since")
		}
		r.told.list = nil
		return
	case errText != "" || err != nil:
		r.broken("an admin can't see what has changed: %s, %v", errText, err)
		return
	case l == nil || by.arguments["since"] != l.revision:
		return // somebody else has listed all meanwhile
	}
	for _, id := range said.Ended {
		delete(l.sessions, id)
	}
	for _, s := range said.Sessions {
		l.sessions[s.ClientID] = s
	}
	l.revision = said.Revision
	r.areRight(false, exact && !said.More, true)
}

func (r *rules) hearsSession(by *command, errText string, data json.RawMessage, exact bool) {
	id := fmt.Sprint(by.arguments["clientid"])
	var said struct{ Session shown }
	c := r.broker.session(id)
	switch err := json.Unmarshal(data, &said); {
	case errText == "no such client":
		if exact && !r.broker.V20 && c != nil && r.isKnown(c) {
			r.broken("admins do not find %s", c)
		}
	case errText != "" || err != nil || said.Session.ClientID != id && r.broker.find(id) == nil:
		r.broken("an admin can't look at %s: %s, %v", id, errText, err)
	case exact:
		r.isRight(said.Session)
	}
}

func (r *rules) hearsDisconnect(by *command, errText string, data json.RawMessage, exact bool) {
	o := by.order
	var said struct {
		Disconnected, Blocked int
		BlockedUntil          int64
	}
	if err := json.Unmarshal(data, &said); errText != "" || err != nil {
		r.broken("an admin can't have %+v: %s, %v", by.arguments, errText, err)
		return
	}
	r.moment++
	sure := exact && !r.broker.V20 && len(r.broker.sessions) <= oneStep // what was to be found
	for c, before := range o.there {
		now := o.matches(c)
		o.there[c] = before || now
		sure = sure && before == now && r.isKnown(c)
		if before && now && r.isKnown(c) {
			o.met = append(o.met, c)
		}
	}
	o.known = r.moment
	if sure && said.Disconnected != len(o.met) {
		r.broken("%d clients were disconnected by %+v, not %d", said.Disconnected, by.arguments, len(o.met))
	}
	r.keepsOut(o, said.Blocked, sure)
}

// keepsOut notes whom an order that was answered keeps out.
func (r *rules) keepsOut(o *order, count int, sure bool) {
	r.told.blocks = slices.DeleteFunc(r.told.blocks, func(b *block) bool { return b.order == o })
	bearers := append(r.bearers(o, slices.Collect(maps.Keys(o.there))), o.late...)
	if sure && count != len(bearers) {
		r.broken("%d are kept out, not %d", count, len(bearers))
	}
	met := r.bearers(o, o.met)
	for _, b := range bearers {
		for _, before := range r.told.blocks {
			before.over = before.over || before.bearer == b // it lasts as long as the last one says
		}
		maps.DeleteFunc(r.told.ids, func(_ int, of bearer) bool { return of == b }) // if it had ended, this is another
		r.told.blocks = append(r.told.blocks, &block{
			bearer: b, order: o, from: o.at, until: o.at.Add(o.lasts),
			sure: o.removals == r.told.removals && (slices.Contains(met, b) && !r.broker.V20 || o.by == "sub" || o.by == "jti"),
		})
	}
}

func (r *rules) hearsBlocks(errText string, data json.RawMessage, exact bool) {
	var said struct {
		TotalCount int
		Blocks     []struct {
			ID                 int
			Provider, Sub, JTI string
			Until              int64
		}
	}
	if err := json.Unmarshal(data, &said); errText != "" || err != nil || said.TotalCount != len(said.Blocks) {
		r.broken("an admin can't list blocks: %s, %v", errText, err)
		return
	}
	r.told.ids = map[int]bearer{}
	for _, s := range said.Blocks {
		b := bearer{s.Provider, s.Sub, s.JTI}
		r.told.ids[s.ID] = b
		if exact && !slices.ContainsFunc(r.told.blocks, func(k *block) bool { return k.bearer == b && !k.over && time.Since(k.until) <= time.Second }) {
			r.broken("admins see that %+v is kept out, which nobody has ordered", b)
		}
	}
	for _, k := range r.told.blocks {
		listed := slices.Contains(slices.Collect(maps.Values(r.told.ids)), k.bearer)
		if exact && k.sure && !k.over && time.Now().Before(k.until) && !listed {
			r.broken("admins do not see that %+v is kept out", k.bearer)
		}
	}
}

// mayRemove notes that any block may have been removed before that is told.
func (r *rules) mayRemove() {
	for _, k := range r.told.blocks {
		k.sure = false
	}
	r.told.removals++
}

func (r *rules) hearsRemoved(by *command, errText string) {
	id, _ := by.arguments["id"].(int)
	b, known := r.told.ids[id]
	for _, k := range r.told.blocks {
		switch is := !k.over && k.bearer == b; {
		case errText == "" && known && is:
			k.over = true
		case errText == "" && !known:
			k.sure = false // it may be this one
		case errText != "" && known && is && k.sure && time.Now().Before(k.until):
			r.broken("the block of %+v can't be removed: %s", b, errText)
		}
	}
	if errText == "" {
		delete(r.told.ids, id)
		r.told.removals++
	}
}

func (r *rules) hearsStatus(errText string, data json.RawMessage, exact bool) {
	var said struct {
		Sessions struct{ All, Connected, Token int }
	}
	if err := json.Unmarshal(data, &said); errText != "" || err != nil {
		r.broken("an admin can't see how it stands: %s, %v", errText, err)
		return
	}
	if r.broker.V20 || !exact {
		return
	}
	tokens := 0
	for _, c := range r.broker.sessions {
		if !r.isKnown(c) {
			return
		}
		if c.state == connected && c.attempt.admitted {
			tokens++
		}
	}
	if said.Sessions.Token != tokens {
		r.broken("admins see %d clients by a token, there are %d", said.Sessions.Token, tokens)
	}
}

func (r *rules) hearsRefusals(by *command, errText string, data json.RawMessage) {
	var said struct {
		TotalCount int
		LastID     int64
		Refusals   []struct {
			ID                      int64
			About, ClientID, Reason string
		}
	}
	if err := json.Unmarshal(data, &said); errText != "" || err != nil {
		r.broken("an admin can't list refusals: %s, %v", errText, err)
		return
	}
	since, _ := by.arguments["since"].(int64)
	last := since
	expected, optional := r.refusals, len(r.refusals)-by.refusals
	for _, s := range said.Refusals {
		if s.ID <= last || last > 0 && s.ID != last+1 {
			r.broken("refusal %d follows %d", s.ID, last)
		}
		last = s.ID
		if since > 0 {
			continue
		}
		is := func(e refusal) bool {
			return e.about == s.About && e.reason == s.Reason && (e.id == s.ClientID || e.id == "" || r.broker.find(e.id) != nil)
		}
		switch {
		case len(expected) > 0 && is(expected[0]):
			expected = expected[1:]
		case s.About != "renewal": // of these not all are in the log
			r.broken("refusal %+v is not in the log", s)
			return
		}
	}
	if since == 0 && len(expected) > optional && said.TotalCount < 256 && said.TotalCount == len(said.Refusals) {
		r.broken("refusal %+v is not in the list", expected[0])
	}
	if last > 0 && last != said.LastID {
		r.broken("the last refusal is %d, not %d", said.LastID, last)
	}
	r.lastRefusal = last
}

// adminComes is one who does all right.
func (d *driver) adminComes(t *rapid.T) {
	l := d.someLine(t)
	all := l.inForce.adminList()
	if len(all) == 0 {
		t.Skip()
	}
	a := rapid.SampledFrom(all).Draw(t, "admin")
	id := names.Draw(t, "id")
	switch {
	case a.byToken:
		p, _ := l.inForce.find(func(p provider) bool { return p.Name == a.provider && p.MatchUsername })
		k := d.mint(p, func(k *token) { k.Subject = adminSubject })
		d.sendPacket(t, d.good(t, p, k))
	case a.username == user:
		d.send(t, l, id, text(user), text(password))
	case !d.NoTicks:
		d.say("CONNECT id %s by certificate", id)
		d.connect(packet{Line: l.number, ID: id, Username: text(a.username), Certificate: true})
	}
}

// administer is a client that uses commands of admins, whether it is one or not.
func (d *driver) administer(t *rapid.T) {
	all := d.connectedBy(func(c *conn) bool { return c.told() != nil && c.isAdmin() })
	if len(all) == 0 || often(t, "somebody else") {
		all = d.connectedBy(func(c *conn) bool { return c.told() != nil })
	}
	if len(all) == 0 {
		t.Skip()
	}
	c := all[rapid.IntRange(0, len(all)-1).Draw(t, "client")]
	m := &message{from: c}
	for i := range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "commands") {
		m.commands = append(m.commands, d.someCommand(t, fmt.Sprintf("%d of message %d", i, len(d.messages))))
	}
	d.publishes(m)
}

// someCommand is one of admins.
func (d *driver) someCommand(t *rapid.T, correlation string) *command {
	c := &command{correlation: correlation, arguments: object{}, forAdmins: true}
	c.name = rapid.SampledFrom([]string{
		listSessions, listSessionChanges, listSessionChanges, getSession, disconnectSession, disconnectSession, disconnectSession,
		listBlocks, removeBlock, getStatus, listRefusals,
	}).Draw(t, "command")
	switch c.name {
	case listSessions:
		c.arguments["count"] = 1000
	case listSessionChanges:
		c.arguments["since"] = int64(1)
		if d.told.list != nil {
			c.arguments["since"] = d.told.list.revision
		}
		c.arguments["count"] = 1000
	case getSession:
		c.arguments["clientid"] = d.someone(t).id
	case listRefusals:
		c.arguments["count"] = 256
		if d.lastRefusal > 0 && rapid.Bool().Draw(t, "since") {
			c.arguments["since"] = d.lastRefusal
		}
	case removeBlock:
		c.arguments["id"] = rapid.IntRange(1, 4).Draw(t, "id")
	case disconnectSession:
		c.order = d.someOrder(t, c.arguments)
	}
	return c
}

// someone is whom a command is about: somebody who is there, usually.
func (d *driver) someone(t *rapid.T) *conn {
	if len(d.sessions) == 0 || often(t, "nobody") {
		return &conn{id: names.Draw(t, "id"), attempt: &attempt{}}
	}
	return d.sessions[rapid.IntRange(0, len(d.sessions)-1).Draw(t, "session")]
}

// hasNoNames tells whether there is but one provider, which has no name.
func (d *driver) hasNoNames() bool { return len(d.lines) == 1 && !d.lines[0].inForce.Named }

// someOrder is a disconnectSession with these arguments.
func (d *driver) someOrder(t *rapid.T, arguments object) *order {
	c, o := d.someone(t), &order{}
	o.by = rapid.SampledFrom([]string{"clientid", "username", "sub", "jti", "provider"}).Draw(t, "by")
	p := d.someProvider(t)
	a := c.attempt
	if a.admitted {
		p = a.by
	}
	switch o.by {
	case "clientid":
		o.name = c.id
	case "username":
		o.name = c.name()
	case "sub":
		if o.name = names.Draw(t, "subject"); a.admitted {
			o.name = a.token.Subject
		}
	case "jti":
		o.name = "token-0"
		if a.admitted {
			o.name = a.token.Name
		}
	}
	if o.by != "provider" && o.name == "" {
		o.by, o.name = "clientid", c.id
	}
	if o.by != "provider" {
		arguments[o.by] = o.name
	}
	if o.by != "clientid" && p.Name != "" {
		o.provider = &p.Name
		arguments["provider"] = p.Name
	} else if o.by == "provider" {
		o.by, o.name = "sub", names.Draw(t, "subject")
		arguments["sub"] = o.name
	}
	if o.by != "provider" && rapid.Bool().Draw(t, "block") && (o.provider != nil || o.by == "clientid" || d.hasNoNames()) {
		seconds := rapid.SampledFrom([]int{2, 10, 60, 3600}).Draw(t, "seconds")
		o.lasts = time.Duration(seconds) * time.Second
		arguments["block"] = seconds
	}
	return o
}
