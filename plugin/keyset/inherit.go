package keyset

import (
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/once"
)

// heir is a Source that can take over keys.
type heir interface{ inherit(from Source) }

// Inherit gives a source that has read nothing yet the last good set of the one in whose place it comes, as far as its own
// configuration admits the keys. Nothing is inherited from another place, or from one that is asked with other credentials or
// trusted in another way. The set keeps its age, so that maxStaleMs goes on, and serves only if it can't be read again, which is tried at once. Inherit reads
// nothing and does not wait; it is to be called before the first Find.
func Inherit(to, from Source) {
	if h, inherits := to.(heir); inherits {
		h.inherit(from)
	}
}

func (r *remote) inherit(from Source) {
	earlier, ok := from.(*remote)
	if !ok || !endpoint.SameKeys(earlier.cfg, r.cfg) {
		return
	}
	last, outage := earlier.kept()
	if last = last.inherit(r.accept, r.cfg.JWKS.Cache.Enabled); last.set.Len() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set.Len() == 0 {
		r.snapshot = last
		if r.fetch.Outage.Err == nil {
			r.fetch.Outage = outage
		}
	}
}

// kept is what there is to inherit.
func (r *remote) kept() (snapshot, once.Outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshot, r.fetch.Outage
}

func (f *file) inherit(from Source) {
	earlier, ok := from.(*file)
	if !ok || earlier.path != f.path {
		return
	}
	last := earlier.lastSet().under(f.accept)
	if last.Len() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set.Len() == 0 {
		f.set, f.inherited = last, true
	}
}
