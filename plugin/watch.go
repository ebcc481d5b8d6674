package plugin

import (
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/admin"
	"go-jwt-auth/plugin/block"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/refusals"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"
)

// watching is what is kept for admins, of all instances, as they share the broker's clients.
type watching struct {
	// watched is nil while no instance has admins.
	watched *admin.Watched
	blocks  block.List
	// accepted and refused count logins since the start.
	accepted, refused uint64
	// found are clients that were there before the roster was, of which some may have left since. walk: the broker is to be asked for all.
	found []foundClient
	walk  bool
	// walkAt is when it may be asked the next time, and walkAfter how long that is after the last.
	walkAt    time.Time
	walkAfter time.Duration
	// crowded: the broker has too many clients to be asked again.
	crowded bool
	// lookAt is when all of the roster are to be looked at whether they are still there. lookFrom is where to go on; 0: at the beginning.
	lookAt   time.Time
	lookFrom uint64
	// kicks are clients of others that are to be disconnected, and waiting those of them for which that was put off, both by when.
	kicks, waiting []foreignKick
	// kicking are these clients by their connections, without those that have left.
	kicking map[broker.Conn]*roster.Client
}

// foundClient is a client that was there before the roster.
type foundClient struct {
	conn broker.Conn
	id   string
	// trying: it is not known whether it was let in (Mosquitto 2.0). connected: it was connected.
	trying, connected bool
}

// foreignKick is a client that is to be disconnected and was not let in by a token.
type foreignKick struct {
	client *roster.Client
	why    string
	// at is when, and waits how often that was put off.
	at    time.Time
	waits int
	// orphan: it was ordered while there were admins, and the roster that has the client is kept no more.
	orphan bool
}

// session is that of a client that is connected by a token, and the instance that has let it in; nil: it is none.
func (t *Table) session(conn broker.Conn, id string) (*Plugin, *session.Session) {
	for _, one := range t.plugins {
		if s := one.sessions.Of(conn); s != nil && s.ClientID == id {
			return one, s
		}
	}
	return nil, nil
}

// plugin is the instance of that number, or nil.
func (t *Table) plugin(number uint32) *Plugin {
	at := slices.IndexFunc(t.plugins, func(one *Plugin) bool { return one.number == number })
	if at < 0 {
		return nil
	}
	return t.plugins[at]
}

// watch begins to keep what admins may see if any instance has some now, or ends it.
func (t *Table) watch() {
	wanted := slices.ContainsFunc(t.plugins, func(one *Plugin) bool { return one.chain != nil && hasAdmins(one.chain.Config()) })
	switch {
	case wanted && t.watched == nil:
		now := t.plugins[0].now()
		t.watched = &admin.Watched{Roster: roster.New(now), Refusals: refusals.New(now)}
		t.walk, t.walkAfter, t.lookAt, t.lookFrom = true, walkFirst, now.Add(lookEvery), 0
		t.holders.Each(func(conn broker.Conn, id string, trying bool) {
			t.found = append(t.found, foundClient{conn: conn, id: id, trying: trying, connected: true})
		})
	case !wanted:
		t.watched, t.found, t.walk, t.walkAt, t.crowded = nil, nil, false, time.Time{}, false
		for _, list := range [...][]foreignKick{t.kicks, t.waiting} {
			for i := range list {
				list[i].orphan = true // what an admin was told is done all the same
			}
		}
	}
}

// note counts logins, and remembers what was refused.
func (t *Table) note(e *event.Event, now func() time.Time) {
	if e.Kind == event.Judged {
		switch e.Verdict.Kind {
		case verdict.Accept:
			t.accepted++
		case verdict.Deny:
			t.refused++
		case verdict.Defer, verdict.Retry, verdict.Pending:
		}
	}
	if t.watched != nil {
		t.watched.Refusals.Event(e, now())
	}
}

// watchAt is when there is something to do for the roster; zero: nothing is to come.
func (t *Table) watchAt() time.Time {
	var at time.Time
	if t.watched != nil {
		at = t.lookAt
		if settles := t.watched.Roster.SettlesAt(); !settles.IsZero() && settles.Before(at) {
			at = settles
		}
	}
	for _, list := range [...][]foreignKick{t.kicks, t.waiting} {
		if len(list) > 0 && (at.IsZero() || list[0].at.Before(at)) {
			at = list[0].at
		}
	}
	return at
}

// jobTurn is how long one Tick works for commands of admins. It is about what a login takes, so that who looks at the clients is to others as
// one more that comes.
const jobTurn = 100 * time.Microsecond

// watchStep does one thing of what is to be done for admins; false: there is nothing.
func (p *Plugin) watchStep() bool {
	did := false
	switch {
	case len(p.jobs) == 0:
	case p.now().Before(p.jobsUntil):
		p.jobStep()
		did = true
	default:
		p.loop.Again()
	}
	t := p.table
	return t.watched != nil && (t.fill(p) || t.watched.Roster.Settle(p.now()) || t.look(p)) || p.kickOther(did) || did
}

func (p *Plugin) jobStep() {
	job := p.jobs[0]
	p.jobs = p.jobs[1:]
	if !job() {
		p.jobs = append(p.jobs, job) // the others have their turn
	}
}

// begin has jobs that were begun by a command done: in turns, or, where there are none, at once.
func (p *Plugin) begin() {
	switch {
	case len(p.jobs) == 0:
	case p.ticks.Warned():
		for len(p.jobs) > 0 {
			p.jobStep()
			if p.table.watched != nil {
				p.table.fill(p) // which it may wait for
			}
		}
	default:
		p.hurry()
	}
}

// hurry asks for the next Tick.
func (p *Plugin) hurry() {
	p.tickSoon()
	p.loop.Again()
}

// The broker is asked for all its clients once there are admins, and again when one lists them: at the earliest walkFirst after that, and in
// twice the time whenever nobody was found whose coming had not been told, up to walkLast; but not if it has taken longer than walkMost, as
// it can't be done by pieces. That finds clients of listeners without this plugin.
const (
	walkFirst = time.Minute
	walkLast  = time.Hour
	walkMost  = 3 * time.Millisecond
)

// lookEvery is how often all of the roster are looked at whether they are still there: of a session that the broker kept, and gives up,
// nothing is told, nor of a client of a listener without this plugin.
const lookEvery = 10 * time.Minute

// lookPiece is how many of them are looked at in one step.
const lookPiece = 32

// refresh has the list of clients completed, for an admin who begins to list them.
func (t *Table) refresh(now time.Time) {
	if len(t.found) == 0 && !t.crowded && !now.Before(t.walkAt) {
		t.walk = true
	}
}

// filling tells whether that goes on.
func (t *Table) filling() bool { return t.walk || len(t.found) > 0 }

// look looks whether some of the roster are still there; false if it is not the time for that.
func (t *Table) look(p *Plugin) bool {
	if p.now().Before(t.lookAt) {
		return false
	}
	n, next := 0, uint64(0)
	var gone []*roster.Client
	for c := range t.watched.Roster.From(t.lookFrom) {
		if n == lookPiece {
			next = c.Came
			break
		}
		n++
		if !t.isThere(p, c.Conn, c.ID) {
			gone = append(gone, c)
		}
	}
	for _, c := range gone {
		t.watched.Roster.Remove(c)
	}
	if t.lookFrom = next; next == 0 {
		t.lookAt = p.now().Add(lookEvery)
	}
	return true
}

// fill enters one client that was there before the roster was; false if there is none left.
func (t *Table) fill(p *Plugin) bool {
	if t.walk {
		t.walk = false
		t.walkAll(p)
		return true
	}
	if len(t.found) == 0 {
		return false
	}
	last := len(t.found) - 1
	found := t.found[last]
	if t.found = t.found[:last]; last == 0 {
		t.found = nil
	}
	t.restore(p, found)
	return true
}

// walkAll asks the broker for all its clients, which it tells in one go. Those that are not known to be connected are away, or of listeners
// without this plugin: the broker does not say which. Those that are first found later are the latter, as of others it would have been told.
func (t *Table) walkAll(p *Plugin) {
	began, known, again := p.now(), len(t.found), !t.walkAt.IsZero()
	p.broker.EachClient(func(c broker.ClientInfo) {
		if t.watched.Roster.Of(c.Conn) == nil && !t.holders.Has(c.Conn, c.ClientID) {
			connected := c.Address != "" && (again || c.CleanStart && c.Version < 5)
			t.found = append(t.found, foundClient{conn: c.Conn, id: strings.Clone(c.ClientID), connected: connected})
		}
	})
	now := p.now()
	switch {
	case !again:
	case len(t.found) > known:
		t.walkAfter = walkFirst
	default:
		t.walkAfter = min(2*t.walkAfter, walkLast)
	}
	t.walkAt, t.crowded = now.Add(t.walkAfter), now.Sub(began) > walkMost
}

func (t *Table) restore(p *Plugin, found foundClient) {
	r := t.watched.Roster
	if !t.isThere(p, found.conn, found.id) {
		return
	}
	if one, s := t.session(found.conn, found.id); s != nil {
		r.Restore(roster.Client{
			Conn: s.Conn, ID: s.ClientID, Login: roster.Token, Judge: one.number, Since: one.began.Add(s.Began).Unix(), Connected: true, Secret: s.IDIsToken,
		})
		return
	}
	if found.trying {
		now := p.now()
		r.Judge(found.conn, roster.Judged{ID: found.id, At: now.Unix()})
		r.Try(found.conn, p.broker.Client(found.conn).WebSocket, now)
		return
	}
	r.Restore(roster.Client{Conn: found.conn, ID: found.id, Connected: found.connected})
}

// isThere tells whether a connection that was known by a client id still is, so that the broker can be asked about it.
func (t *Table) isThere(p *Plugin, conn broker.Conn, id string) bool {
	if p.broker.TellsOfConnects() {
		return p.broker.Knows(id, conn, false)
	}
	return t.holders.Has(conn, id)
}

// loginOf says how a client comes in that others let in.
func loginOf(connect broker.Connect) roster.Login {
	if connect.Password != nil {
		return roster.Password
	}
	return roster.Anonymous
}

// watchLeft notes a login that is left to others.
func (p *Plugin) watchLeft(connect broker.Connect, how roster.Login) {
	w := p.table.watched
	if w == nil {
		return
	}
	now := p.now()
	j := roster.Judged{ID: connect.ClientID, Login: how, Judge: p.number, At: now.Unix()}
	w.Roster.Judge(connect.Conn, j)
	if !p.broker.TellsOfConnects() {
		w.Roster.Try(connect.Conn, p.broker.Client(connect.Conn).WebSocket, now)
	}
}

// watchAdmitted notes a login that this instance lets in, or has let in.
func (p *Plugin) watchAdmitted(s *session.Session) {
	w := p.table.watched
	if w == nil {
		return
	}
	now := p.now()
	w.Roster.Judge(s.Conn, roster.Judged{ID: s.ClientID, Login: roster.Token, Judge: p.number, At: now.Unix(), Secret: s.IDIsToken})
	if !p.broker.TellsOfConnects() {
		w.Roster.Came(s.Conn, s.ClientID, now)
	}
}

// watchCame records that a client is in (Mosquitto 2.1).
func (p *Plugin) watchCame(conn broker.Conn, id string) {
	w := p.table.watched
	if w == nil {
		return
	}
	r := w.Roster
	if c := r.Of(conn); c != nil && c.ID == id && c.Connected {
		if !c.Restored {
			return // another instance was told as well
		}
		r.Remove(c) // it was of a listener without this plugin, of whose clients no end is told
	}
	if _, judged := r.IsJudged(conn); !judged {
		now := p.now()
		if one, s := p.table.session(conn, id); s != nil {
			one.watchAdmitted(s)
		} else if showsCertificate(p.broker.Client(conn)) {
			r.Judge(conn, roster.Judged{ID: id, Login: roster.Certificate, Judge: p.number, At: now.Unix()})
		}
	}
	r.Came(conn, id, p.now())
}

// showsCertificate tells whether a client that nobody was asked about has shown a TLS certificate. That of a bridge which this broker has made
// is the other broker's, and its username the one for there; it has no address.
func showsCertificate(c broker.ClientInfo) bool { return c.Certificate && c.Address != "" }

// watchSeen records that a client is in, as it has sent a message (Mosquitto 2.0, which tells of nobody who comes).
func (p *Plugin) watchSeen(m broker.Message) {
	w := p.table.watched
	if w == nil || p.broker.TellsOfConnects() || w.Roster.Of(m.Conn) != nil {
		return
	}
	if j, judged := w.Roster.IsJudged(m.Conn); !judged {
		if p.table.holders.Has(m.Conn, m.ClientID) {
			return // of before there was a roster
		}
		j = roster.Judged{ID: m.ClientID, At: p.now().Unix()}
		if showsCertificate(p.broker.Client(m.Conn)) {
			j.Login, j.Judge = roster.Certificate, p.number
		}
		w.Roster.Judge(m.Conn, j)
		p.table.holders.Enter(m.Conn, m.ClientID, session.Owner{})
	} else if j.ID != m.ClientID {
		return
	}
	w.Roster.Came(m.Conn, m.ClientID, p.now())
}

// watchLeave records that a connection has ended. 2.0 does not say what it keeps.
func (p *Plugin) watchLeave(conn broker.Conn, kept bool) {
	t := p.table
	delete(t.kicking, conn)
	if t.watched != nil {
		t.watched.Roster.Left(conn, kept && p.broker.TellsOfConnects(), p.now())
	}
}

// watchRenewed records that a session has another token.
func (p *Plugin) watchRenewed(s *session.Session) {
	w := p.table.watched
	if w == nil {
		return
	}
	if c := w.Roster.Of(s.Conn); c != nil && c.ID == s.ClientID {
		c.Secret = s.IDIsToken
		w.Roster.Touch(s.Conn)
	}
}

// blocked refuses a token whose bearer an admin keeps out.
func (p *Plugin) blocked(result provider.Result) *verdict.Verdict {
	b := p.table.blocks.Of(result.Provider.Name(), result.Subject, result.LogID, p.now())
	if b == nil {
		return nil
	}
	v := verdict.Refuse(verdict.Blocked, "by an admin until %s", b.Until.UTC().Format(time.RFC3339))
	return &v
}

// newAdmins are those of this instance.
func (p *Plugin) newAdmins() *admin.Admins {
	t := p.table
	return &admin.Admins{
		Now: p.now, Watched: func() *admin.Watched { return t.watched }, Blocks: &t.blocks, Who: p.whoIsAdmin,
		Refresh: func() { t.refresh(p.now()) }, Filling: t.filling,
		Session: func(c *roster.Client) *session.Session {
			_, s := t.session(c.Conn, c.ID)
			return s
		},
		View: p.view, Grant: p.grantOfClient, Incomplete: p.incomplete, Providers: t.providerNames, HasProvider: t.hasProvider, Disconnect: p.disconnect, Status: p.status,
		Run:  func(step func() bool) { p.jobs = append(p.jobs, step) },
		Tell: p.tellCommand,
	}
}

// whoIsAdmin is the admin that a message is from; false: it is from somebody else.
func (p *Plugin) whoIsAdmin(m broker.Message) (admin.Who, bool) {
	w := p.table.watched
	if w == nil || !hasAdmins(p.chain.Config()) {
		return admin.Who{}, false
	}
	c := w.Roster.Of(m.Conn)
	if c == nil || c.ID != m.ClientID || p.table.holders.TakenOver(m.Conn, m.ClientID) {
		return admin.Who{}, false
	}
	return p.isAdmin(c, m.Username)
}

// isAdmin tells whether a client that this instance has judged, and that has this username now, is an admin.
func (p *Plugin) isAdmin(c *roster.Client, username *string) (who admin.Who, is bool) {
	if username == nil || !c.Connected || c.Judge != p.number {
		return who, false
	}
	for _, a := range p.chain.Config().Control.Admins {
		if a.Username != *username {
			continue
		}
		who = admin.Who{Key: c.Login.String() + " " + a.Provider + " " + a.Username, Name: a.Username, ID: idOf(c)}
		switch {
		case a.ByToken && p.bears(c, a.Provider, a.Username):
			return who, true
		case !a.ByToken && (c.Login == roster.Password || c.Login == roster.Certificate) && !p.sessions.Has(c.Conn):
			return who, true
		}
	}
	return who, false
}

// bears tells whether a client's session is of a provider of that name, which has given it this username and is still in force.
func (p *Plugin) bears(c *roster.Client, by, username string) bool {
	s := p.sessions.Of(c.Conn)
	if s == nil || s.ClientID != c.ID || s.Over(p.now()) || s.Provider.Name() != by || p.chain.Provider(s.Provider) == nil {
		return false
	}
	known := s.Known()
	return known.Mapped && known.Username == username
}

// view is what is known of a client; false: it is not there any more.
func (p *Plugin) view(c *roster.Client) (v admin.View, there bool) {
	t := p.table
	if !t.isThere(p, c.Conn, c.ID) {
		return v, false
	}
	v.Info = p.broker.Client(c.Conn)
	_, v.Session = t.session(c.Conn, c.ID)
	if judge := t.plugin(c.Judge); judge != nil {
		_, v.Admin = judge.isAdmin(c, v.Info.Username)
	}
	return v, true
}

// grantOfClient is what a client may do by its token; nil: others decide.
func (p *Plugin) grantOfClient(c *roster.Client) *session.Grant {
	username := p.broker.Client(c.Conn).Username
	for _, one := range p.table.plugins {
		if g := one.rights.Of(c.Conn, c.ID, usernameOf(broker.Connect{Username: username})); g != nil && g.Own() {
			return g
		}
	}
	return nil
}

// incomplete says whom the roster lacks; empty: nobody.
func (p *Plugin) incomplete() string {
	switch {
	case !p.broker.TellsOfConnects():
		return "Mosquitto 2.0 does not tell plugins who is connected: those that were let in without this plugin being asked, and all that are away, are missing"
	case p.table.filling():
		return "the list of those who were there before is being made"
	}
	return ""
}

func (t *Table) providerNames() (names []string) {
	for _, one := range t.plugins {
		if one.chain == nil {
			continue
		}
		for _, by := range one.chain.Providers() {
			names = append(names, by.Name())
		}
	}
	return names
}

// hasProvider tells whether there is a provider of that name, or was one whose clients are still connected.
func (t *Table) hasProvider(name string) bool {
	if slices.Contains(t.providerNames(), name) {
		return true
	}
	for _, one := range t.plugins {
		for by := range one.sessions.Providers() {
			if by.Name() == name {
				return true
			}
		}
	}
	return false
}

// disconnect has a client disconnected by a Tick, by the rules of those whose token ends.
func (p *Plugin) disconnect(c *roster.Client, why string) {
	if one, s := p.table.session(c.Conn, c.ID); s != nil {
		one.sessions.Expel(s, p.now(), why)
		one.hurry()
		return
	}
	p.table.kick(foreignKick{client: c, why: why, at: p.now()})
	p.hurry()
}

// kick has a client disconnected that others have let in, once: commands may name it again and again.
func (t *Table) kick(k foreignKick) {
	if t.kicking[k.client.Conn] == k.client {
		return
	}
	if t.kicking == nil {
		t.kicking = map[broker.Conn]*roster.Client{}
	}
	t.kicking[k.client.Conn] = k.client
	t.kicks = append(t.kicks, k)
}

// dueKick takes one that is due; false: there is none. There may be as many as there are clients.
func (t *Table) dueKick(now time.Time) (k foreignKick, is bool) {
	for _, list := range [...]*[]foreignKick{&t.kicks, &t.waiting} {
		if len(*list) == 0 || now.Before((*list)[0].at) {
			continue
		}
		k = (*list)[0]
		if *list = (*list)[1:]; len(*list) == 0 {
			*list = nil
		}
		return k, true
	}
	return k, false
}

// A kick of somebody else's client waits this often, for kickOtherAgain each, while somebody may be taking over its client id (2.0).
const (
	kickOtherWaits = 10
	kickOtherAgain = time.Second
)

// kickOther disconnects one client that others have let in; false if there is none. The broker calls Disconnect from inside.
func (p *Plugin) kickOther(wait bool) bool {
	t, now := p.table, p.now()
	if wait {
		return false // who has asked for it is to have the answer first
	}
	k, is := t.dueKick(now)
	if !is {
		return false
	}
	c := k.client
	ordered := t.kicking[c.Conn] == c
	if ordered {
		delete(t.kicking, c.Conn)
	}
	e := event.Event{Kind: event.Disconnected, Client: event.Client{ID: idOf(c)}, Why: k.why}
	switch {
	case !ordered, !k.orphan && (t.watched.Roster.Of(c.Conn) != c || !c.Connected), !t.isThere(p, c.Conn, c.ID), t.holders.TakenOver(c.Conn, c.ID):
		e.Kind = event.NotThere
	case t.holders.Contended(c.Conn, c.ID) && k.waits < kickOtherWaits:
		k.waits++
		k.at = now.Add(kickOtherAgain)
		t.waiting = append(t.waiting, k)
		t.kicking[c.Conn] = c
		return true
	default:
		e.Client.Address = p.broker.Client(c.Conn).Address
		if err := p.broker.Kick(c.ID, true); err != nil {
			e.Kind, e.Err = event.NotDisconnected, err
		}
	}
	p.tell(e)
	return true
}

// idOf is a client id in a message.
func idOf(c *roster.Client) verdict.Value {
	if c.Secret {
		return verdict.ValueUnless(c.ID, c.ID)
	}
	return verdict.ValueUnless("", c.ID)
}

// tellCommand tells what an admin has had done.
func (p *Plugin) tellCommand(from broker.Message, who admin.Who, command, what string, err error, changes bool) {
	e := event.Event{Kind: event.Commanded, Command: command, Why: what, Err: err, Notable: changes, Username: verdict.ValueUnless("", who.Name)}
	e.Client.ID = who.ID
	if w := p.table.watched; w != nil {
		if c := w.Roster.Of(from.Conn); c != nil && c.ID == from.ClientID && p.table.isThere(p, c.Conn, c.ID) {
			e.Client.Address = p.broker.Client(c.Conn).Address
		}
	}
	if s := p.sessions.Of(from.Conn); s != nil && s.ClientID == from.ClientID {
		e.Provider, e.LogID = s.Provider.Name(), s.LogID
	}
	p.tell(e)
}
