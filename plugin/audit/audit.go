// Package audit keeps the audit trail: one JSON line for each decision, in a file or to syslog.
//
// A line is handed over as a value (Record) and written by a goroutine, so that a slow or full disk holds up nobody: what can't be
// written is lost, counted, and said.
package audit

import (
	"errors"
	"sync"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
)

// Trails are the open trails of all plugin instances of one broker: two that name the same file write to it in turn. Safe for
// concurrent use.
type Trails struct {
	// Socket is where syslog listens; empty: the usual places.
	Socket string

	mu    sync.Mutex // guards all below
	sinks map[string]*sink
}

// syslogName is the key of syslog among files, whose names are absolute.
const syslogName = "syslog"

// Trail writes to what one configuration names. A nil Trail writes nothing. Its methods belong to the broker's thread, if nothing
// else is said.
type Trail struct {
	of    *Trails
	sinks []*sink
}

// Open opens what the configuration names, and returns nil if that is nothing. It may wait for a disk. report takes what the
// operator should know of the trail, from any goroutine.
func (a *Trails) Open(cfg config.Audit, report func(event.Note)) (*Trail, error) {
	t := &Trail{of: a}
	var failed []error
	open := func(name string, destination func() (destination, error)) {
		s, err := a.open(name, destination, report)
		if err != nil {
			failed = append(failed, err)
			return
		}
		t.sinks = append(t.sinks, s)
	}
	if cfg.FilePath != "" {
		open(cfg.FilePath, func() (destination, error) { return openFile(cfg.FilePath) })
	}
	if cfg.Syslog {
		open(syslogName, func() (destination, error) { return openSyslog(a.Socket) })
	}
	switch {
	case len(failed) > 0:
		t.Close(0)
		return nil, errors.Join(failed...)
	case len(t.sinks) == 0:
		return nil, nil //nolint:nilnil // a nil Trail is one
	}
	return t, nil
}

// open returns the sink of that name, which may be open already.
func (a *Trails) open(name string, open func() (destination, error), report func(event.Note)) (*sink, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sinks[name]
	if s == nil {
		to, err := open()
		if err != nil {
			return nil, err
		}
		s = newSink(name, to)
		if a.sinks == nil {
			a.sinks = map[string]*sink{}
		}
		a.sinks[name] = s
	}
	s.users++
	s.report.Store(&report)
	return s, nil
}

// Put hands a line over. It never waits.
func (t *Trail) Put(r Record) {
	if t == nil {
		return
	}
	for _, s := range t.sinks {
		s.put(r)
	}
}

// Event is Put for what has happened to a client, if that is a decision.
func (t *Trail) Event(e *event.Event, at time.Time) {
	if t == nil {
		return
	}
	if r, is := recordOf(e); is {
		r.Time = at
		t.Put(r)
	}
}

// Reopen has files opened anew by their names: what rotates them has given them others. It does not wait.
func (t *Trail) Reopen() {
	if t == nil {
		return
	}
	for _, s := range t.sinks {
		s.askToReopen()
	}
}

// Lost is how many lines have been lost since the trail was opened. From any goroutine.
func (t *Trail) Lost() (lines uint64) {
	if t == nil {
		return 0
	}
	for _, s := range t.sinks {
		lines += s.total.Load()
	}
	return lines
}

// Close ends the trail. What no other trail writes to is closed when all that was handed over is written; Close waits for
// that, but not longer than patience. Put and Close must not be called any more.
func (t *Trail) Close(patience time.Duration) {
	if t == nil {
		return
	}
	ending := t.release()
	late := time.After(patience)
	for _, s := range ending {
		select {
		case <-s.ended:
		case <-late:
			return
		}
	}
}

// release gives up the sinks, and returns those that end by it.
func (t *Trail) release() (ending []*sink) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	for _, s := range t.sinks {
		s.users--
		if s.users == 0 {
			delete(t.of.sinks, s.name)
			close(s.queue)
			ending = append(ending, s)
		}
	}
	return ending
}
