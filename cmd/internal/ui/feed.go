package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"go-jwt-auth/cmd/internal/control"
)

const (
	// refreshEvery is how often the broker is asked for what has changed, while a page is open.
	refreshEvery = time.Second
	// retryEvery is when a broker that does not answer is asked again, deniedEvery when one that says no is: each time it logs a refusal.
	retryEvery, deniedEvery = 2 * time.Second, 10 * time.Second
	// statusEvery and listsEvery are in turns of refreshEvery; the latter is for what a status does not show.
	statusEvery, listsEvery = 2, 10
	// lineSize is how many clients a line to the page is about at most, so that reading one delays no frame.
	lineSize = 500
	// keptChanges are how many changes a page may be behind before it gets all clients again.
	keptChanges = 50_000
)

// feed is what the broker last said, for all pages: each gets all of it first, and then what has changed.
type feed struct {
	client *control.Client
	after  func(time.Duration) <-chan time.Time

	mu     sync.Mutex
	wake   chan struct{} // closed, and replaced, when something has changed
	pages  int           // how many are open
	turned chan struct{} // has a token when the broker should be asked at once

	sessions map[string]json.RawMessage // by client id
	changes  []string                   // client ids; the last has the number changed
	changed  uint64
	about    clientsAbout

	refusals []json.RawMessage // the last has the number refused
	refused  uint64
	asked    bool // the broker has been asked for those of before

	latest map[string]latest // what only the last of counts, by the type of its line

	// Of the goroutine that asks the broker alone.
	roster *control.Roster
	lastID uint64
	counts counts
}

// latest is a line of which only the newest counts.
type latest struct {
	number uint64
	line   []byte
}

// clientsAbout is what is said of the list as a whole.
type clientsAbout struct {
	Total      int    `json:"total"`
	Complete   bool   `json:"complete"`
	Incomplete string `json:"incomplete,omitempty"`
	Listed     bool   `json:"listed"` // false: the list is still being read
}

func newFeed(client *control.Client, after func(time.Duration) <-chan time.Time) *feed {
	return &feed{
		client: client, after: after, wake: make(chan struct{}), turned: make(chan struct{}, 1),
		sessions: map[string]json.RawMessage{}, latest: map[string]latest{},
	}
}

// run asks the broker, for as long as a page is open, until ctx ends.
func (f *feed) run(ctx context.Context) {
	for turn := 0; ctx.Err() == nil; turn++ {
		if f.idle() {
			select {
			case <-ctx.Done():
			case <-f.turned:
			}
			turn = -1
			continue
		}
		err := f.turn(ctx, turn)
		f.link(err)
		rest := refreshEvery
		if err != nil {
			turn = -1 // everything is asked for again when the broker answers
			rest = retryEvery
			if !control.Passes(err) {
				rest = deniedEvery
			}
		}
		select {
		case <-ctx.Done():
		case <-f.turned:
			turn = -1
		case <-f.after(rest):
		}
	}
}

func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pages == 0
}

// hurry has the broker asked at once.
func (f *feed) hurry() {
	select {
	case f.turned <- struct{}{}:
	default:
	}
}

// turn asks for what is due. Each question is a line of the broker's audit trail: what the status counts is asked for when the count
// has changed.
func (f *feed) turn(ctx context.Context, turn int) error {
	due := turn%listsEvery == 0
	if turn%statusEvery == 0 {
		data, err := f.ask(ctx, "status", "getStatus")
		if err != nil {
			return err
		}
		var now counts
		if err := json.Unmarshal(data, &now); err != nil {
			return err
		}
		due = due || now != f.counts
		f.counts = now
	}
	if due {
		if _, err := f.ask(ctx, "blocks", "listBlocks"); err != nil {
			return err
		}
		if err := f.askRefusals(ctx); err != nil {
			return err
		}
	}
	return f.askSessions(ctx)
}

// counts are those of a status.
type counts struct {
	Refusals, Blocks uint64
}

// ask keeps the answer to a command as the latest of its kind.
func (f *feed) ask(ctx context.Context, kind, command string) (json.RawMessage, error) {
	data, err := f.client.Do(ctx, command, nil)
	if err == nil {
		f.setLatest(kind, map[string]any{"type": kind, kind: data})
	}
	return data, err
}

func (f *feed) setLatest(kind string, line any) {
	text := encode(line)
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.latest[kind]
	if bytes.Equal(was.line, text) {
		return
	}
	f.latest[kind] = latest{was.number + 1, text}
	f.changedLocked()
}

// link says whether the broker answers.
func (f *feed) link(err error) {
	line := map[string]any{"type": "link", "state": "connected"}
	if err != nil {
		line["state"], line["text"] = "denied", err.Error() // until somebody configures something, which the text names
		if control.Passes(err) {
			line["state"] = "lost"
		}
	}
	f.setLatest("link", line)
}

func (f *feed) askRefusals(ctx context.Context) error {
	args := map[string]any{"count": control.MostRefusals}
	if f.lastID > 0 {
		args["since"] = f.lastID
	}
	var answer struct {
		LastID   uint64            `json:"lastId"`
		Refusals []json.RawMessage `json:"refusals"`
	}
	if err := f.get(ctx, "listRefusals", args, &answer); err != nil {
		return err
	}
	if answer.LastID < f.lastID { // the broker has started again
		f.lastID = 0
		return f.askRefusals(ctx)
	}
	if len(answer.Refusals) == 0 {
		f.addRefusals(nil)
		return nil
	}
	var last struct { // an answer may have less than there is
		ID uint64 `json:"id"`
	}
	if err := json.Unmarshal(answer.Refusals[len(answer.Refusals)-1], &last); err != nil {
		return err
	}
	f.lastID = last.ID
	f.addRefusals(answer.Refusals)
	return nil
}

func (f *feed) addRefusals(fresh []json.RawMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked && len(fresh) == 0 {
		return
	}
	f.asked = true
	f.refusals = append(f.refusals, fresh...)
	f.refused += uint64(len(fresh))
	if n := len(f.refusals) - control.MostRefusals; n > 0 {
		f.refusals = slices.Delete(f.refusals, 0, n)
	}
	f.changedLocked()
}

// get decodes an answer.
func (f *feed) get(ctx context.Context, command string, args, answer any) error {
	data, err := f.client.Do(ctx, command, args)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}

// askSessions reads the list, and from then on what has changed in it.
func (f *feed) askSessions(ctx context.Context) (err error) {
	var changes []control.Change
	if f.roster == nil {
		if f.roster, err = f.client.Roster(ctx); err != nil {
			return err
		}
		for _, session := range f.roster.All() {
			changes = append(changes, control.Change{Now: session})
		}
	} else {
		changes, err = f.roster.Update(ctx) // what it has found before an error counts
	}
	f.apply(changes)
	return err
}

// apply takes over what has changed.
func (f *feed) apply(changes []control.Change) {
	texts := make([]json.RawMessage, len(changes)) // nil: it has ended
	for i, change := range changes {
		if change.Now != (control.Session{}) {
			texts[i], _ = json.Marshal(change.Now) // it was JSON
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, change := range changes {
		id := change.ClientID()
		if texts[i] == nil {
			delete(f.sessions, id)
		} else {
			f.sessions[id] = texts[i]
		}
		f.noteLocked(id)
	}
	about := clientsAbout{len(f.sessions), f.roster.Complete, f.roster.Incomplete, true}
	if about != f.about || len(changes) > 0 {
		f.about = about
		f.changedLocked()
	}
}

// noteLocked notes that a client has changed or ended.
func (f *feed) noteLocked(id string) {
	f.changed++
	if f.changes = append(f.changes, id); len(f.changes) > 2*keptChanges {
		f.changes = slices.Delete(f.changes, 0, len(f.changes)-keptChanges)
	}
}

func (f *feed) changedLocked() {
	close(f.wake)
	f.wake = make(chan struct{})
}

// place is how far a page has got.
type place struct {
	begun   bool // clients have come
	changed uint64
	told    bool // refusals have come
	refused uint64
	about   clientsAbout
	latest  map[string]uint64
}

// enter opens a page's place. leave must be called in the end.
func (f *feed) enter() (p *place, leave func()) {
	f.mu.Lock()
	f.pages++
	f.mu.Unlock()
	f.hurry()
	return &place{latest: map[string]uint64{}}, func() {
		f.mu.Lock()
		f.pages--
		f.mu.Unlock()
	}
}

// clientsLine is what the page gets of clients at a time.
type clientsLine struct {
	Type     string            `json:"type"`
	Reset    bool              `json:"reset,omitempty"` // forget all from before
	Sessions []json.RawMessage `json:"sessions,omitempty"`
	Ended    []string          `json:"ended,omitempty"`
	clientsAbout
}

// next is what a page has not got yet, as lines of JSON, and what is closed when there is more.
func (f *feed) next(p *place) (lines [][]byte, wake <-chan struct{}) {
	f.mu.Lock()
	var ids []string
	var reset bool
	if behind := f.changed - p.changed; !p.begun || behind > uint64(len(f.changes)) {
		ids, reset = slices.Collect(maps.Keys(f.sessions)), true
	} else if behind > 0 {
		ids = f.changes[uint64(len(f.changes))-behind:]
	}
	var all []clientsLine
	if reset || len(ids) > 0 || f.about != p.about {
		all = append(all, clientsLine{Type: "clients", Reset: reset})
	}
	sent := make(map[string]bool, len(ids))
	for _, id := range ids {
		if sent[id] {
			continue
		}
		sent[id] = true
		line := &all[len(all)-1]
		if len(line.Sessions)+len(line.Ended) == lineSize {
			all = append(all, clientsLine{Type: "clients"})
			line = &all[len(all)-1]
		}
		if session, has := f.sessions[id]; has {
			line.Sessions = append(line.Sessions, session)
		} else {
			line.Ended = append(line.Ended, id)
		}
	}
	about := f.about
	p.changed, p.about = f.changed, about
	p.begun = true
	if behind := f.refused - p.refused; behind > 0 || f.asked && !p.told {
		refusals := f.refusals
		if n := uint64(len(refusals)); behind < n {
			refusals = refusals[n-behind:]
		}
		lines = append(lines, encode(map[string]any{"type": "refusals", "reset": !p.told, "refusals": append([]json.RawMessage{}, refusals...)}))
	}
	p.refused, p.told = f.refused, f.asked
	for kind, now := range f.latest {
		if p.latest[kind] != now.number {
			p.latest[kind] = now.number
			lines = append(lines, now.line)
		}
	}
	wake = f.wake
	f.mu.Unlock()
	for _, line := range all {
		line.clientsAbout = about
		lines = append(lines, encode(line))
	}
	return lines, wake
}

// encode is v as a line.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // an answer that is no JSON was never taken
		text = []byte(`{"type":"alive"}`)
	}
	return append(text, '\n')
}
