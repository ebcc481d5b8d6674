package audit

import (
	"fmt"
	"sync/atomic"
	"time"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/guard"
	"go-jwt-auth/plugin/verdict"
)

// queued is how many lines wait to be written, at most: two seconds at 2,000 logins a second. Each takes less than 1 KiB, but for
// long names.
const queued = 4096

// sayEvery is how often a loss is said while lines are being written again, at most.
const sayEvery = time.Second

// gather is how long the goroutine sleeps when all has been written: to wake it for each line would cost the broker's thread more than
// the line.
const gather = 5 * time.Millisecond

// destination is where lines go. It belongs to the goroutine of its sink.
type destination interface {
	// write writes one line, which ends in a line feed.
	write(r *Record, line []byte) error
	// reopen opens it anew; if that fails, it goes on as it was.
	reopen() error
	close()
}

// sink takes lines to one destination, in their order.
type sink struct {
	name  string
	users int // guarded by Trails.mu
	queue chan Record
	again chan struct{} // holds one request to reopen
	ended chan struct{}
	// report is where the last one who opened it wants to hear of it.
	report atomic.Pointer[func(event.Note)]
	// lost is how many lines were lost and not said yet, total how many in all.
	lost, total atomic.Uint64

	// of the goroutine alone
	to     destination
	lines  encoder
	failed bool
	said   time.Time
}

func newSink(name string, to destination) *sink {
	s := &sink{name: name, to: to, queue: make(chan Record, queued), again: make(chan struct{}, 1), ended: make(chan struct{})}
	go s.run()
	return s
}

// put hands a line over, or counts it as lost.
func (s *sink) put(r Record) {
	select {
	case s.queue <- r:
	default:
		s.lose()
	}
}

func (s *sink) lose() {
	s.lost.Add(1)
	s.total.Add(1)
}

func (s *sink) askToReopen() {
	select {
	case s.again <- struct{}{}:
	default: // it has been asked to
	}
}

func (s *sink) run() {
	defer close(s.ended)
	defer s.to.close()
	for {
		select {
		case <-s.again:
			s.reopen()
			continue
		default:
		}
		select {
		case <-s.again:
			s.reopen()
		case r, more := <-s.queue:
			if !more {
				return
			}
			s.write(&r)
			if len(s.queue) == 0 {
				time.Sleep(gather)
			}
		}
	}
}

func (s *sink) reopen() {
	if err := s.to.reopen(); err != nil {
		s.tell(event.Warn(fmt.Sprintf("the audit trail %s can't be opened again, and goes on as it was: %s", s.name, verdict.Phrase(err.Error()))))
	}
}

// write writes a line, and what is to be said of lost ones.
func (s *sink) write(r *Record) {
	defer guard.Catch(func(error) { s.lose() })
	err := s.to.write(r, s.lines.encode(r))
	switch {
	case err != nil && !s.failed:
		s.failed = true
		s.lose()
		s.tell(event.Warn(fmt.Sprintf("the audit trail %s can't be written, and lines are lost: %s", s.name, verdict.Phrase(err.Error()))))
	case err != nil:
		s.lose()
	case s.lost.Load() > 0 && (len(s.queue) == 0 || r.Time.Sub(s.said) >= sayEvery):
		s.sayLost(r.Time)
	}
}

// sayLost says, in the trail and to the operator, how many lines are missing.
func (s *sink) sayLost(now time.Time) {
	n := s.lost.Load()
	r := Record{Time: now, Event: Lost, Lines: n}
	if s.to.write(&r, s.lines.encode(&r)) != nil {
		return
	}
	s.lost.Add(-n)
	s.said, s.failed = now, false
	s.tell(event.Warn(fmt.Sprintf("the audit trail %s has lost %d lines, as it could not be written, or not fast enough", s.name, n)))
}

func (s *sink) tell(n event.Note) { (*s.report.Load())(n) }
