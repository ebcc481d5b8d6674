// Package roster is the list of the broker's clients, by whomever they were let in: in the order in which they came, with what has changed
// since. It is kept only while somebody may look at it.
//
// It knows of each client what the broker does not tell: when it came, and how. All else the broker is asked for when it is to be shown.
//
// It belongs to the broker's thread and takes no lock; it calls nobody.
package roster

import (
	"errors"
	"iter"
	"slices"
	"sort"
	"time"

	"go-jwt-auth/plugin/broker"
)

// Login is how a client was let in.
type Login uint8

// The zero Login is not known.
const (
	Unknown Login = iota
	// Token: by this plugin.
	Token
	// Password: this plugin has left it to others, it has sent a password, and somebody has let it in.
	Password
	// Certificate: nobody was asked, and it has shown a TLS certificate.
	Certificate
	// Anonymous: as Password, but without one.
	Anonymous
)

func (l Login) String() string {
	return [...]string{"unknown", "token", "password", "certificate", "anonymous"}[l]
}

// Client is one that is connected, or away with a session that the broker keeps. There may be many: its fields leave no gaps.
type Client struct {
	Conn broker.Conn
	ID   string
	// Came is the revision at which it came; Changed that of its last change.
	Came, Changed uint64
	// Since is when it came and Left when it went away, in seconds since 1970; 0: not known, or not away.
	Since, Left int64
	// Judge is the number of the plugin instance that let it in, or left it to others; 0: none was asked.
	Judge uint32
	Login Login
	// Connected is false of one that is away.
	Connected bool
	// Secret says that the client id is a token, which nobody may be shown.
	Secret bool
	// Restored: it was there before anybody looked, and before it was entered at Came.
	Restored bool
}

// Judged is what is known of a login before it is known whether it was let in.
type Judged struct {
	ID    string
	Login Login
	Judge uint32
	// At is when it came, in seconds since 1970.
	At int64
	// Secret is Client's.
	Secret bool
}

// MaxChanges is how many changes are remembered.
const MaxChanges = 8192

// ErrTooOld says that more has changed since a revision than is remembered, or that it is of before a restart.
var ErrTooOld = errors.New("revision too old")

// A chunk holds so many clients at most. To find one by its place takes as many steps as there are chunks, and to remove one moves as many
// as are in one.
const chunk = 128

// Roster is the list.
type Roster struct {
	byConn map[broker.Conn]*Client
	byID   map[string]*Client
	// order holds all in the order of Came; no chunk is empty.
	order     [][]*Client
	connected int
	// judged are those of which nobody has told yet that they are in.
	judged map[broker.Conn]Judged
	// trying are, on Mosquitto 2.0, those of judged that are in unless they have left by then, in that order; late are those over
	// WebSockets, whose end is told late.
	trying, late []attempt

	// first and revision are the bounds of what can be told: all changes after first, up to revision, of which the last MaxChanges are in
	// changes.
	first, revision uint64
	changes         []change
}

// change is a client that has come, left or changed, by its id; secret is Client's.
type change struct {
	id     string
	secret bool
}

type attempt struct {
	conn broker.Conn
	at   time.Time
}

// New returns an empty Roster. Its revisions are greater than those of any that began before, as at most one change in a microsecond is
// possible; and a JSON number holds them exactly.
func New(now time.Time) *Roster {
	began := uint64(max(now.UnixMicro(), 0))
	return &Roster{
		byConn: map[broker.Conn]*Client{}, byID: map[string]*Client{}, judged: map[broker.Conn]Judged{}, first: began, revision: began,
	}
}

// Len is how many there are, Connected how many of them are connected.
func (r *Roster) Len() int { return len(r.byID) }

// Connected is how many are connected.
func (r *Roster) Connected() int { return r.connected }

// Revision is the number of the last change.
func (r *Roster) Revision() uint64 { return r.revision }

// Find is the client by a client id, or nil.
func (r *Roster) Find(id string) *Client { return r.byID[id] }

// Of is the client of a connection, or nil.
func (r *Roster) Of(conn broker.Conn) *Client { return r.byConn[conn] }

// Judge notes how somebody is about to be let in: for Came. Of a client that is in already by the same id, it is what counts from now on.
func (r *Roster) Judge(conn broker.Conn, j Judged) {
	if c := r.byConn[conn]; c != nil && c.ID == j.ID && c.Connected {
		if c.Login != j.Login || c.Judge != j.Judge {
			c.Login, c.Judge, c.Secret = j.Login, j.Judge, j.Secret
			r.changed(c)
		}
		return
	}
	r.judged[conn] = j
}

// IsJudged tells whether a connection is that of somebody of whom it is not known yet whether it was let in.
func (r *Roster) IsJudged(conn broker.Conn) (Judged, bool) {
	j, is := r.judged[conn]
	return j, is
}

// Came records that a client was let in, by this id. What was known of its connection, or of others by the same id, is over.
func (r *Roster) Came(conn broker.Conn, id string, at time.Time) *Client {
	j, known := r.judged[conn]
	delete(r.judged, conn)
	c := r.byConn[conn]
	if c != nil && c.ID == id && c.Connected {
		return c
	}
	r.remove(c)
	r.remove(r.byID[id])
	c = &Client{Conn: conn, ID: id, Since: at.Unix(), Connected: true}
	if known {
		c.Login, c.Judge, c.Secret = j.Login, j.Judge, j.Secret
		if j.ID == id { // else another plugin has renamed it
			c.ID = j.ID
		}
	}
	r.add(c)
	return c
}

// Restore records a client that was there before anybody looked. It changes nothing if the client is known, or another by its id or
// from its connection is.
func (r *Roster) Restore(c Client) {
	if r.byConn[c.Conn] != nil || r.byID[c.ID] != nil {
		return
	}
	c.Restored = true
	r.add(&c)
}

func (r *Roster) add(c *Client) {
	r.byConn[c.Conn], r.byID[c.ID] = c, c
	if c.Connected {
		r.connected++
	}
	r.changed(c)
	c.Came = r.revision
	if last := len(r.order) - 1; last >= 0 && len(r.order[last]) < chunk {
		r.order[last] = append(r.order[last], c)
		return
	}
	r.order = append(r.order, append(make([]*Client, 0, 8), c))
}

// Left records that a connection has ended. kept: the broker keeps the client's session.
func (r *Roster) Left(conn broker.Conn, kept bool, at time.Time) {
	delete(r.judged, conn)
	c := r.byConn[conn]
	switch {
	case c == nil:
	case !kept:
		r.remove(c)
	case c.Connected:
		c.Connected, c.Left = false, at.Unix()
		r.connected--
		r.changed(c)
	}
}

// Remove forgets a client that is not there any more. Nil is none.
func (r *Roster) Remove(c *Client) {
	if c != nil && r.byID[c.ID] == c {
		r.remove(c)
	}
}

func (r *Roster) remove(c *Client) {
	if c == nil {
		return
	}
	delete(r.byConn, c.Conn)
	delete(r.byID, c.ID)
	if c.Connected {
		r.connected--
	}
	r.note(c)
	at := r.chunkOf(c.Came)
	in := r.order[at]
	i := sort.Search(len(in), func(i int) bool { return in[i].Came >= c.Came })
	r.order[at] = slices.Delete(in, i, i+1)
	r.tidy(at)
}

// tidy drops a chunk that is empty, and joins one that has become small with the next.
func (r *Roster) tidy(at int) {
	n := len(r.order[at])
	switch {
	case n == 0:
		r.order = slices.Delete(r.order, at, at+1)
	case n < chunk/8 && at+1 < len(r.order) && n+len(r.order[at+1]) <= chunk/2:
		r.order[at] = append(slices.Clip(r.order[at]), r.order[at+1]...)
		r.order = slices.Delete(r.order, at+1, at+2)
	}
}

// chunkOf is the first chunk that has a client of this revision or a later one.
func (r *Roster) chunkOf(came uint64) int {
	return sort.Search(len(r.order), func(i int) bool { return r.order[i][len(r.order[i])-1].Came >= came })
}

// Touch records that something about a client has changed that is known elsewhere.
func (r *Roster) Touch(conn broker.Conn) {
	if c := r.byConn[conn]; c != nil {
		r.changed(c)
	}
}

func (r *Roster) changed(c *Client) {
	r.note(c)
	c.Changed = r.revision
}

func (r *Roster) note(c *Client) {
	r.revision++
	if r.changes == nil {
		r.changes = make([]change, MaxChanges)
	}
	r.changes[r.revision%MaxChanges] = change{c.ID, c.Secret}
}

// At is the client at a place, from 0 on; nil: there are not so many.
func (r *Roster) At(place int) *Client {
	for _, in := range r.order {
		if place < len(in) {
			return in[place]
		}
		place -= len(in)
	}
	return nil
}

// From are those who came at a revision and after it, in order. The list must not change meanwhile.
func (r *Roster) From(came uint64) iter.Seq[*Client] {
	return func(yield func(*Client) bool) {
		at := r.chunkOf(came)
		for ; at < len(r.order); at++ {
			in := r.order[at]
			i := 0
			if in[0].Came < came {
				i = sort.Search(len(in), func(i int) bool { return in[i].Came >= came })
			}
			for ; i < len(in); i++ {
				if !yield(in[i]) {
					return
				}
			}
		}
	}
}

// Since are the changes after a revision, each by its own and the client's id, in order; of a client that has changed again since, the last
// alone. c is nil if the client is not there any more. The list must not change meanwhile.
func (r *Roster) Since(revision uint64) (iter.Seq2[uint64, Change], error) {
	if revision < r.first || revision > r.revision || r.revision-revision > MaxChanges {
		return nil, ErrTooOld
	}
	return func(yield func(uint64, Change) bool) {
		for at := revision + 1; at <= r.revision; at++ {
			what := r.changes[at%MaxChanges]
			change := Change{ID: what.id, Secret: what.secret}
			if change.Client = r.byID[change.ID]; change.Client != nil && change.Client.Changed != at {
				continue
			}
			if !yield(at, change) {
				return
			}
		}
	}, nil
}

// Change is one.
type Change struct {
	ID string
	// Secret is the Client's.
	Secret bool
	// Client is who came or has changed; nil: who had this id has left.
	Client *Client
}

// Where nobody tells of a client that was let in (Mosquitto 2.0), it is in if it has not left by then: whoever is refused leaves at once.
// Over WebSockets the end is told only when the connection has been closed, which may take seconds.
const (
	InAfter     = time.Second
	InAfterLate = 15 * time.Second
)

// Try notes, after Judge, that a client is in unless it leaves.
func (r *Roster) Try(conn broker.Conn, webSocket bool, at time.Time) {
	if webSocket {
		r.late = append(r.late, attempt{conn, at.Add(InAfterLate)})
	} else {
		r.trying = append(r.trying, attempt{conn, at.Add(InAfter)})
	}
}

// Settle records one that has not left by now; false if there is none.
func (r *Roster) Settle(now time.Time) bool {
	for _, list := range []*[]attempt{&r.trying, &r.late} {
		if len(*list) == 0 || now.Before((*list)[0].at) {
			continue
		}
		conn := (*list)[0].conn
		if *list = (*list)[1:]; len(*list) == 0 {
			*list = nil
		}
		if j, is := r.judged[conn]; is {
			r.Came(conn, j.ID, time.Unix(j.At, 0))
		}
		return true
	}
	return false
}

// SettlesAt is when there will be one; zero: never.
func (r *Roster) SettlesAt() (at time.Time) {
	for _, list := range [...][]attempt{r.trying, r.late} {
		if len(list) > 0 && (at.IsZero() || list[0].at.Before(at)) {
			at = list[0].at
		}
	}
	return at
}
