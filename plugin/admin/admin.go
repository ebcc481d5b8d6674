// Package admin is what admins can have done by messages to $CONTROL/jwt-auth/v1: see who is connected and who was refused, and disconnect.
// docs/control.md says what each command takes and answers.
//
// It belongs to the broker's thread. Whatever goes through many clients does so piece by piece (Run).
package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/block"
	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/control"
	"go-jwt-auth/plugin/refusals"
	"go-jwt-auth/plugin/roster"
	"go-jwt-auth/plugin/session"
	"go-jwt-auth/plugin/verdict"

	"golang.org/x/time/rate"
)

// Burst commands of an admin are taken in a row, and then PerSecond in a second, whatever they are. MaxJobs is how many may be under way at
// once, of all admins.
const (
	Burst     = 800
	PerSecond = 80
	MaxJobs   = 64
)

// MaxPage is how many bytes an answer with a list has at most, but for its first entry.
const MaxPage = 64 << 10

// piece is how many clients one step of Run looks at.
const piece = 8

// Bounds of arguments, in bytes.
const (
	longestName   = 65535 // MQTT's
	longestReason = 256
)

// Who is an admin who has sent a command.
type Who struct {
	// Key tells the admin from others, and ends with it.
	Key string
	// Name is what others see: the username.
	Name string
	// ID is the client id by which it has asked, as messages may show it, also when it has left.
	ID verdict.Value
}

// Watched is what is kept while there are admins.
type Watched struct {
	Roster   *roster.Roster
	Refusals *refusals.Ring
}

// Admins does what admins of one plugin instance ask for, for the clients of all instances. Its functions are the house's, and belong to
// the broker's thread as its methods do.
type Admins struct {
	Now func() time.Time
	// Watched is what is kept now; nil: nothing, as there are no admins any more.
	Watched func() *Watched
	Blocks  *block.List
	// Who is the admin that a message is from; false: it is from somebody else.
	Who func(broker.Message) (Who, bool)
	// Refresh has the roster completed, which goes on for as long as Filling is true.
	Refresh func()
	Filling func() bool
	// Session is that of a client which is connected by a token, or nil.
	Session func(*roster.Client) *session.Session
	// View is what is known of a client; false: it is not there any more.
	View func(*roster.Client) (View, bool)
	// Grant is what a client may do by its token; nil: others decide.
	Grant func(*roster.Client) *session.Grant
	// Incomplete says in one sentence whom the roster lacks; empty: nobody.
	Incomplete func() string
	// Providers are the names of all that there are; that of a provider without name is empty.
	Providers func() []string
	// HasProvider tells whether one has that name, or had it and has clients that are still connected.
	HasProvider func(name string) bool
	// Disconnect has a client disconnected soon.
	Disconnect func(c *roster.Client, why string)
	Status     func() Status
	// Run has step called, each time for a short while, until it returns true.
	Run func(step func() bool)
	// Tell reports what an admin has had done. err is why it was not done. changes: it was more than to look at something.
	Tell func(from broker.Message, who Who, command, what string, err error, changes bool)

	limits map[string]*rate.Limiter
	jobs   int
	space  []*list
}

// Errors of commands.
var (
	errBusy      = errors.New("too many requests")
	errNoClient  = errors.New("no such client")
	errNoBlock   = errors.New("no such block")
	errNoWatched = errors.New("admins have been switched off")
)

// command is one of them: what it was to do, in short, and what it came to, are said by do, which calls done once.
type command struct {
	do      func(c *call)
	changes bool
}

// call is a command of an admin that is being done.
type call struct {
	*arguments
	who     Who
	watched *Watched
	done    func(what string, data any, err error)
}

// Names are those of the commands.
func (a *Admins) Names() []string { return slices.Collect(maps.Keys(a.commands())) }

func (a *Admins) commands() map[string]command {
	return map[string]command{
		"listSessions":       {do: a.listSessions},
		"listSessionChanges": {do: a.listSessionChanges},
		"getSession":         {do: a.getSession},
		"disconnectSession":  {do: a.disconnectSession, changes: true},
		"listBlocks":         {do: a.listBlocks},
		"removeBlock":        {do: a.removeBlock, changes: true},
		"getStatus":          {do: a.getStatus},
		"listRefusals":       {do: a.listRefusals},
	}
}

// Commands are those that a control.Control knows. To all but admins there are none of their names.
func (a *Admins) Commands() map[string]control.Command {
	all := map[string]control.Command{}
	for name, c := range a.commands() {
		all[name] = func(r control.Request, done func(control.Answer)) { a.Do(r, c.changes, done, c.do) }
	}
	return all
}

// Do has do called for a command of an admin who does not ask too often, and its answer sent. It is told of, as a command that changes
// something if changes is true.
func (a *Admins) Do(r control.Request, changes bool, done func(control.Answer), do func(*call)) {
	who, is := a.Who(r.From)
	watched := a.Watched()
	if !is || watched == nil {
		done(control.Answer{Err: control.UnknownError(r.Command)})
		return
	}
	finish := func(what string, data any, err error) {
		a.Tell(r.From, who, r.Command, what, err, changes)
		done(control.Answer{Data: data, Err: err})
	}
	if !a.allows(who) {
		done(control.Answer{Err: errBusy}) // to tell of it would be what it is to spare
		return
	}
	do(&call{arguments: newArguments(r.Members), who: who, watched: watched, done: finish})
}

// allows counts a command of an admin.
func (a *Admins) allows(who Who) bool {
	limit := a.limits[who.Key]
	if limit == nil {
		if a.limits == nil || len(a.limits) >= 1024 { // more than admins have names
			a.limits = map[string]*rate.Limiter{}
		}
		limit = rate.NewLimiter(PerSecond, Burst)
		a.limits[who.Key] = limit
	}
	return limit.AllowN(a.Now(), 1)
}

// run has a step called until it returns true, unless there is too much to do.
func (a *Admins) run(c *call, what string, step func() bool) {
	if a.jobs >= MaxJobs {
		c.done(what, nil, errBusy)
		return
	}
	a.jobs++
	a.Run(func() bool {
		over := true
		if a.Watched() != c.watched {
			c.done(what, nil, errNoWatched)
		} else {
			over = step()
		}
		if over {
			a.jobs--
		}
		return over
	})
}

// list is a JSON array that is being made.
type list struct {
	bytes.Buffer
	n       int
	encoder *json.Encoder
}

// newList returns an empty one, in the space of one that is given back by then: lists that grew anew would be most of what an admin leaves
// to be collected.
func (a *Admins) newList() *list {
	if last := len(a.space) - 1; last >= 0 {
		l := a.space[last]
		a.space = a.space[:last]
		return l
	}
	return &list{}
}

// giveBack takes back a list that has been copied.
func (a *Admins) giveBack(all ...*list) {
	for _, l := range all {
		if len(a.space) < mostSpare && l.Cap() <= 4*MaxPage {
			l.Reset()
			l.n = 0
			a.space = append(a.space, l)
		}
	}
}

// mostSpare is how many lists wait to be used again: each has a page's space.
const mostSpare = 2

// add adds an entry, and tells whether there is no room for more.
func (l *list) add(entry any) (full bool) {
	if l.n > 0 {
		_ = l.WriteByte(',')
	}
	if l.encoder == nil {
		l.encoder = json.NewEncoder(&l.Buffer)
		l.encoder.SetEscapeHTML(false)
	}
	if err := l.encoder.Encode(entry); err != nil {
		panic(err) // of structs without what JSON lacks
	}
	l.Truncate(l.Len() - 1)
	l.n++
	return l.Len() >= MaxPage
}

// counted is the word for so many.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (a *Admins) listSessions(c *call) {
	count, offset := int(c.whole("count", 1, 1000, 100)), int(c.whole("offset", 0, 1<<40, 0)) //nolint:gosec // both are small
	from := c.whole("from", 1, 1<<53, 0)
	if from != 0 && offset != 0 {
		c.fail(`"offset" and "from" must not stand together`)
	}
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	r := c.watched.Roster
	what := fmt.Sprintf("from %d on", offset)
	if offset == 0 && from == 0 {
		a.Refresh()
	}
	var total int
	var revision, next uint64
	sessions := a.newList()
	a.run(c, what, func() bool {
		switch {
		case revision != 0:
		case a.Filling():
			return false
		default:
			total, revision = r.Len(), r.Revision()
			next = from
			if first := r.At(offset); from == 0 && first != nil {
				next = first.Came
			} else if from == 0 {
				next = revision + 1
			}
		}
		var full bool
		next, full = a.look(c.watched.Roster, next, func(client *roster.Client, v View) bool {
			return sessions.add(Describe(client, v, a.Now())) || sessions.n == count
		})
		if next != 0 && !full {
			return false
		}
		c.done(what+": "+counted(sessions.n, "session", "sessions"), page(sessions, total, a.Incomplete(), revision, next), nil)
		a.giveBack(sessions)
		return true
	})
}

// look shows a few clients to f, from a revision at which one came on, until f returns true: then full is true. It returns where to go on;
// 0: nowhere. Those that are not there any more are forgotten.
func (a *Admins) look(r *roster.Roster, from uint64, f func(*roster.Client, View) (enough bool)) (next uint64, full bool) {
	n, gone := 0, []*roster.Client(nil)
	for client := range r.From(from) {
		if n == piece || full {
			next = client.Came
			break
		}
		n++
		v, there := a.View(client)
		if !there {
			gone = append(gone, client)
		} else {
			full = f(client, v)
		}
	}
	for _, client := range gone {
		r.Remove(client)
	}
	return next, full
}

// roomAround is how much space an answer has besides its lists.
const roomAround = 256

// page is the answer with a list of clients. next is where the next one begins; 0: there is none.
func page(l *list, total int, incomplete string, revision, next uint64) control.Raw {
	var b bytes.Buffer
	b.Grow(l.Len() + len(incomplete) + roomAround)
	fmt.Fprintf(&b, `{"totalCount":%d,"complete":%t,`, total, incomplete == "")
	if incomplete != "" {
		text, _ := json.Marshal(incomplete) // a string
		fmt.Fprintf(&b, `"incomplete":%s,`, text)
	}
	fmt.Fprintf(&b, `"revision":%d,`, revision)
	if next != 0 {
		fmt.Fprintf(&b, `"next":%d,`, next)
	}
	b.WriteString(`"sessions":[`)
	b.Write(l.Bytes())
	b.WriteString("]}")
	return b.Bytes()
}

func (a *Admins) listSessionChanges(c *call) {
	count, since := int(c.whole("count", 1, 1000, 100)), c.whole("since", 0, 1<<53, 0) //nolint:gosec // it is small
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	const what = ""
	// What changes while the answer is made is left to the next one: in this one each client is told of once, in one of the lists.
	at, until, told, sessions, ended := since, uint64(0), map[string]bool{}, a.newList(), a.newList()
	a.run(c, what, func() bool {
		r := c.watched.Roster
		if until == 0 {
			until = r.Revision()
		}
		changes, err := r.Since(at)
		if err != nil {
			c.done(what, nil, err)
			return true
		}
		n, full := 0, false
		var gone []*roster.Client
		for revision, change := range changes {
			if n == piece || full || revision > until {
				break
			}
			n++
			at = revision
			if change.Client == nil {
				if !told[change.ID] { // it may have left more than once
					told[change.ID] = true
					full = ended.add(Shown(change.ID, change.Secret))
				}
			} else if v, there := a.View(change.Client); there {
				full = sessions.add(Describe(change.Client, v, a.Now()))
			} else {
				gone = append(gone, change.Client)
			}
			full = full || sessions.n+ended.n == count || sessions.Len()+ended.Len() >= MaxPage
		}
		for _, client := range gone {
			r.Remove(client) // which is a change, too
		}
		if !full {
			if n == piece {
				return false
			}
			at = until
		}
		var b bytes.Buffer
		b.Grow(sessions.Len() + ended.Len() + roomAround)
		fmt.Fprintf(&b, `{"revision":%d,"totalCount":%d,"sessions":[%s],"ended":[%s],"more":%t}`, at, r.Len(), sessions.Bytes(), ended.Bytes(), at < r.Revision())
		c.done(counted(sessions.n+ended.n, "change", "changes"), control.Raw(b.Bytes()), nil)
		a.giveBack(sessions, ended)
		return true
	})
}

func (a *Admins) getSession(c *call) {
	id, there := c.text("clientid", longestName)
	if !there {
		c.fail(`"clientid" must be there`)
	}
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	client := c.watched.Roster.Find(id)
	what := "of client " + nameOf(id, client)
	if client == nil {
		c.done(what, nil, errNoClient)
		return
	}
	v, there := a.View(client)
	if !there {
		c.watched.Roster.Remove(client)
		c.done(what, nil, errNoClient)
		return
	}
	detail := Detail{
		Session: Describe(client, v, a.Now()), KeepAlive: v.Info.KeepAlive, CleanStart: v.Info.CleanStart, Subscriptions: v.Info.Subscriptions,
	}
	if grant := a.Grant(client); grant != nil {
		detail.Rights = rightsOf(grant)
	}
	c.done(what, map[string]any{"session": detail}, nil)
}

// nameOf is a client id in the log.
func nameOf(id string, c *roster.Client) string {
	if c != nil && c.Secret {
		return verdict.QuoteUnless(id, id)
	}
	return verdict.Quote(id)
}

func (a *Admins) getStatus(c *call) {
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	c.done("", a.Status(), nil)
}

// refusal is one as admins see it.
type refusal struct {
	ID       uint64      `json:"id"`
	Time     json.Number `json:"time"`
	About    string      `json:"about"`
	ClientID string      `json:"clientid"`
	Address  string      `json:"address,omitempty"`
	Username string      `json:"username,omitempty"`
	Provider string      `json:"provider,omitempty"`
	Subject  string      `json:"sub,omitempty"`
	JTI      string      `json:"jti,omitempty"`
	Hash     string      `json:"hash,omitempty"`
	Reason   string      `json:"reason"`
	Detail   string      `json:"detail,omitempty"`
}

func (a *Admins) listRefusals(c *call) {
	since, count := c.whole("since", 0, 1<<53, 0), int(c.whole("count", 1, refusals.Most, 100)) //nolint:gosec // it is small
	offset := int(c.whole("offset", 0, refusals.Most, 0))                                       //nolint:gosec // as before
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	ring, shown := c.watched.Refusals, &list{}
	for r := range ring.After(since) {
		if offset > 0 {
			offset--
			continue
		}
		one := refusal{
			ID: r.ID, Time: json.Number(fmt.Sprintf("%d.%03d", r.Time.Unix(), r.Time.Nanosecond()/1e6)), About: r.About, ClientID: r.ClientID, Address: r.Address,
			Username: r.Username, Provider: r.Provider, Subject: r.Subject, Reason: string(r.Reason), Detail: r.Detail,
		}
		one.JTI, one.Hash = namesOf(r.LogID)
		if shown.add(one) || shown.n == count {
			break
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"totalCount":%d,"lastId":%d,"refusals":[%s]}`, ring.Len(), ring.Last(), shown.Bytes())
	c.done(counted(shown.n, "refusal", "refusals"), control.Raw(b.Bytes()), nil)
}

// blocked is a block as admins see it.
type blocked struct {
	ID       uint64 `json:"id"`
	Provider string `json:"provider,omitempty"`
	Subject  string `json:"sub,omitempty"`
	JTI      string `json:"jti,omitempty"`
	Hash     string `json:"hash,omitempty"`
	Until    int64  `json:"until"`
	By       string `json:"by"`
	Reason   string `json:"reason,omitempty"`
}

func (a *Admins) listBlocks(c *call) {
	count, offset := int(c.whole("count", 1, block.Most, block.Most)), int(c.whole("offset", 0, block.Most, 0)) //nolint:gosec // both are small
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	all, shown := a.Blocks.All(a.Now()), &list{}
	for _, b := range all[min(offset, len(all)):] {
		one := blocked{ID: b.ID, Provider: Shown(b.Provider, false), Subject: Shown(b.Subject, false), Until: date(b.Until), By: b.By, Reason: Shown(b.Reason, false)}
		one.JTI, one.Hash = namesOf(b.LogID)
		if shown.add(one) || shown.n == count {
			break
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"totalCount":%d,"blocks":[%s]}`, len(all), shown.Bytes())
	c.done(counted(shown.n, "block", "blocks"), control.Raw(b.Bytes()), nil)
}

func (a *Admins) removeBlock(c *call) {
	id := c.whole("id", 1, 1<<53, 0)
	if id == 0 {
		c.fail(`"id" must be there`)
	}
	if err := c.end(); err != nil {
		c.done("", nil, err)
		return
	}
	b := a.Blocks.Remove(id, a.Now())
	if b == nil {
		c.done(fmt.Sprint(id), nil, errNoBlock)
		return
	}
	c.done(fmt.Sprintf("%d %s", id, called(b.Bearer)), map[string]int{"removed": 1}, nil)
}

// called names a Bearer in the log.
func called(b block.Bearer) string {
	var parts []string
	if b.Provider != "" {
		parts = append(parts, "provider "+verdict.Quote(b.Provider))
	}
	if b.Subject != "" {
		parts = append(parts, "sub "+verdict.Quote(b.Subject))
	} else {
		parts = append(parts, "token "+b.LogID)
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
