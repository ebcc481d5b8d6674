package keyset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go-jwt-auth/plugin/config/fileaccess"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
)

// lookEvery is how often at most the file's time and size are looked at.
const lookEvery = time.Second

// file is a JWKS file, read again when it changes.
type file struct {
	path   string
	accept acceptance
	Options

	mu     reportingMutex // of all below
	looked time.Time
	seen   stamp
	set    Set
	// inherited is a set that was read under an earlier configuration.
	inherited bool
	crowd     crowd
	err       error
}

// stamp is what tells one state of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
}

var (
	_ Source = (*file)(nil)
	_ keeper = (*file)(nil)
	_ heir   = (*file)(nil)
)

func newFile(path string, accept acceptance, o Options) *file {
	return &file{path: path, accept: accept, Options: o, mu: reportingMutex{to: o.Report}}
}

func (f *file) Find(_ context.Context, kid, alg string) ([]any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.Now(); now.Sub(f.looked) >= lookEvery || now.Before(f.looked) {
		f.looked = now
		f.refresh()
	}
	if f.set.Len() == 0 {
		return nil, &UnavailableError{Cause: f.err}
	}
	if found, fitting := f.set.find(kid, alg); fitting > 0 {
		f.crowd.note(f.mu.report, f.path, fitting)
		return found, nil
	}
	return nil, ErrUnknownKey
}

func (f *file) Load(context.Context) (Set, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = f.Now()
	f.refresh()
	if f.set.Len() == 0 {
		return Set{}, &UnavailableError{Cause: f.err}
	}
	return f.set, nil
}

// refresh reads the file if it has changed. A file that has become unreadable or holds no usable key leaves the last
// good set in place, and says so once: a half-written file must not lock everybody out. Until it can be used it is tried
// again even if it looks the same, since its mode may have changed.
func (f *file) refresh() {
	info, err := os.Stat(f.path)
	var now stamp
	if err == nil {
		now = stamp{modified: info.ModTime(), size: info.Size()}
	}
	unchanged := now == f.seen
	if unchanged && err == nil && f.err == nil {
		return
	}
	f.seen = now
	var set Set
	if err == nil {
		set, err = f.read(info.Size())
	} else {
		err = fileaccess.Explain(f.path, err)
	}
	if !unchanged || err == nil {
		for _, reason := range set.Skipped {
			f.mu.report(event.Warn(f.path + ": " + reason))
		}
	}
	first := f.set.Len() == 0
	switch {
	case err != nil && !first && (!unchanged || f.err == nil):
		f.mu.report(event.Warn(fmt.Sprintf("%s can't be used, the keys read before stay: %s", f.path, err)))
	case err == nil && !first && !f.inherited:
		f.mu.report(event.Inform(describeChange(f.path, set)))
	}
	if f.err = err; err == nil {
		f.set, f.inherited, f.crowd = set, false, crowd{}
	}
}

func (f *file) read(size int64) (Set, error) {
	if size > endpoint.MaxBody {
		return Set{}, fmt.Errorf("it is larger than %d bytes", endpoint.MaxBody)
	}
	raw, err := os.ReadFile(f.path)
	if err != nil {
		return Set{}, fileaccess.Explain(f.path, err)
	}
	if len(raw) == 0 {
		return Set{}, errors.New("it is empty")
	}
	return parseSet(raw, f.accept)
}

func (f *file) lastSet() Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set
}

func (f *file) String() string { return f.path }

// Close has nothing to end.
func (f *file) Close() {}
