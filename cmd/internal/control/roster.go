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

// Changed is what Update has found.
type Changed struct {
	// Sessions are new or have changed, as they are now.
	Sessions []Session
	// Ended are as they were.
	Ended []Session
}

// passes bounds how often the list is read for one that lacks nobody.
const passes = 5

// Roster reads the whole list: page for page, and then what has changed meanwhile. Whoever leaves between two pages makes others
// move from the later one to the earlier one, and be in neither: the count shows that, and the next pass has them.
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
	r.Complete, r.Incomplete = false, "Clients come and go faster than they can be listed."
	return r, nil
}

// list reads all pages, to what is there already or afresh. What has changed since the first one of all is for follow to find.
func (r *Roster) list(ctx context.Context, fresh bool) error {
	if fresh {
		r.sessions = map[string]entry{}
	}
	for offset := 0; ; {
		page, err := r.client.ListSessions(ctx, offset, MostSessions)
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
		if len(page.Sessions) == 0 || offset >= page.TotalCount {
			return nil
		}
	}
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
func (r *Roster) follow(ctx context.Context) (Changed, error) {
	var all Changed
	for {
		page, err := r.client.ListChanges(ctx, r.revision, MostSessions)
		if err != nil {
			return all, err
		}
		for _, s := range page.Sessions {
			if r.sessions[s.ClientID].session != s {
				all.Sessions = append(all.Sessions, s)
			}
			r.put(s)
		}
		for _, id := range page.Ended {
			if e, known := r.sessions[id]; known {
				all.Ended = append(all.Ended, e.session)
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

// Update brings the list up to date, and returns what has changed.
func (r *Roster) Update(ctx context.Context) (Changed, error) {
	changed, err := r.follow(ctx)
	if !IsAnswer(err, revisionTooOld) {
		return changed, err
	}
	before := r.sessions
	now, err := r.client.Roster(ctx)
	if err != nil {
		return changed, err
	}
	for _, s := range now.All() {
		if before[s.ClientID].session != s {
			changed.Sessions = append(changed.Sessions, s)
		}
	}
	for id, e := range before {
		if _, still := now.sessions[id]; !still {
			changed.Ended = append(changed.Ended, e.session)
		}
	}
	*r = *now
	return changed, nil
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

// Watch calls f with the list and what has changed in it: at once, and then each time that something has, which it asks for every
// so often. A connection that ends is made again, and told of with err; the list is then that of before. It returns when ctx
// ends, f returns an error, or the plugin or the broker says no.
func (c *Client) Watch(ctx context.Context, every time.Duration, f func(r *Roster, changed Changed, err error) error) error {
	r, err := c.Roster(ctx)
	if err != nil {
		return err
	}
	changed := Changed{Sessions: r.All()}
	for first, was := true, error(nil); ; first = false {
		if first || err != nil || was != nil || len(changed.Sessions)+len(changed.Ended) > 0 {
			if err := f(r, changed, err); err != nil {
				return err
			}
		}
		was = err
		if err := pause(ctx, every); err != nil {
			return err
		}
		changed, err = r.Update(ctx)
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
