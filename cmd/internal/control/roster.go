package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Roster is who is connected, or away, as of a revision.
type Roster struct {
	client *Client
	// Complete and Incomplete are the plugin's (SessionPage).
	Complete   bool
	Incomplete string

	revision uint64
	total    int    // the plugin's, at that revision
	came     uint64 // of whoever came last
	sessions map[string]entry
}

// entry is a session, and its place in the order in which they came.
type entry struct {
	came    uint64
	session Session
}

// Change is what has become of one client id.
type Change struct {
	// Was is zero for one that is new, Now for one that has ended.
	Was, Now Session
}

// ClientID is whose the change is.
func (c Change) ClientID() string {
	if c.Now == (Session{}) {
		return c.Was.ClientID
	}
	return c.Now.ClientID
}

// passes bounds how often the list is read for one that lacks nobody.
const passes = 5

// Roster reads the whole list: page for page, and then what has changed meanwhile. If the plugin does not say where the next page begins,
// whoever leaves between two makes others move from the later one to the earlier one, and be in neither: the count shows that, and the
// next pass has them.
func (c *Client) Roster(ctx context.Context) (*Roster, error) {
	r := &Roster{client: c}
	for fresh, n := true, 0; n < passes; n++ {
		if err := r.list(ctx, fresh); err != nil {
			return nil, err
		}
		_, err := r.follow(ctx)
		fresh = IsAnswer(err, revisionTooOld)
		switch {
		case fresh:
		case err != nil:
			return nil, err
		case len(r.sessions) == r.total:
			return r, nil
		}
	}
	r.Complete, r.Incomplete = false, "Clients came and went while they were listed, or several have a token as their id, which is not shown."
	return r, nil
}

// list reads all pages, to what is there already or afresh. What has changed since the first one of all is for follow to find.
func (r *Roster) list(ctx context.Context, fresh bool) error {
	if fresh {
		r.sessions = map[string]entry{}
	}
	offset, next := 0, uint64(0)
	for {
		page, err := r.page(ctx, offset, next)
		if err != nil {
			return err
		}
		r.Complete, r.Incomplete = page.Complete, page.Incomplete
		if fresh && offset == 0 {
			r.revision = page.Revision
		}
		for _, s := range page.Sessions {
			r.put(s)
		}
		offset += len(page.Sessions)
		said := next != 0 || page.Next != 0
		if next = page.Next; next == 0 && (said || len(page.Sessions) == 0 || offset >= page.TotalCount) {
			return nil
		}
	}
}

func (r *Roster) page(ctx context.Context, offset int, next uint64) (SessionPage, error) {
	if next != 0 {
		return r.client.ListSessionsFrom(ctx, next, MostSessions)
	}
	return r.client.ListSessions(ctx, offset, MostSessions)
}

func (r *Roster) put(s Session) {
	e, known := r.sessions[s.ClientID]
	if !known {
		r.came++
		e.came = r.came
	}
	e.session = s
	r.sessions[s.ClientID] = e
}

// follow applies what has changed since the revision.
func (r *Roster) follow(ctx context.Context) (all []Change, err error) {
	for {
		page, err := r.client.ListChanges(ctx, r.revision, MostSessions)
		if err != nil {
			return all, err
		}
		for _, s := range page.Sessions {
			if was := r.sessions[s.ClientID].session; was != s {
				all = append(all, Change{was, s})
			}
			r.put(s)
		}
		for _, id := range page.Ended {
			if e, known := r.sessions[id]; known {
				all = append(all, Change{Was: e.session})
				delete(r.sessions, id)
			}
		}
		if page.More && page.Revision <= r.revision {
			return all, errors.New("the plugin's answer to listSessionChanges says that there is more, and does not go on")
		}
		r.revision, r.total = page.Revision, page.TotalCount
		if !page.More {
			return all, nil
		}
	}
}

// Update brings the list up to date, and returns what has changed. The list is read anew if the plugin has forgotten that.
func (r *Roster) Update(ctx context.Context) ([]Change, error) {
	changes, err := r.follow(ctx)
	if !IsAnswer(err, revisionTooOld) {
		return changes, err
	}
	now, err := r.client.Roster(ctx)
	if err != nil {
		return changes, err
	}
	for _, s := range now.All() {
		if was := r.sessions[s.ClientID].session; was != s {
			changes = append(changes, Change{was, s})
		}
	}
	for _, s := range r.All() {
		if _, still := now.sessions[s.ClientID]; !still {
			changes = append(changes, Change{Was: s})
		}
	}
	*r = *now
	return changes, nil
}

// All are the sessions in the order in which they came.
func (r *Roster) All() []Session {
	entries := make([]entry, 0, len(r.sessions))
	for _, e := range r.sessions {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.came, b.came) })
	all := make([]Session, len(entries))
	for i, e := range entries {
		all[i] = e.session
	}
	return all
}

// Len is how many there are.
func (r *Roster) Len() int { return len(r.sessions) }

// Watch calls f with the list at once, and then every so often with what has changed in it meanwhile. A connection that ends is
// made again; until then err says why there is none, and the list is that of before. It returns when ctx ends, f returns an error,
// or plugin or broker say no.
func (c *Client) Watch(ctx context.Context, every time.Duration, f func(r *Roster, changes []Change, err error) error) error {
	r, err := c.Roster(ctx)
	if err != nil {
		return err
	}
	var changes []Change
	for {
		if err := f(r, changes, err); err != nil {
			return err
		}
		if err := pause(ctx, every); err != nil {
			return err
		}
		changes, err = r.Update(ctx)
		if err != nil && !Passes(err) {
			return err
		}
	}
}

// Passes tells whether the same may succeed a little later: there was no connection, or no answer.
func Passes(err error) bool {
	var connect *ConnectError
	switch {
	case errors.As(err, &connect):
		return connect.Code == 0 || connect.Code >= 0x88
	case errors.Is(err, context.Canceled):
		return false
	}
	return errors.Is(err, errLost) || errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrNoPlugin)
}
