package keyset

import "go-jwt-auth/plugin/config"

// origin is where a set comes from, and by whose word.
type origin struct {
	uri, issuer string
	tls         config.TLS
}

func originOf(cfg *config.Provider) origin {
	return origin{uri: cfg.JWKS.URI, issuer: cfg.OIDC.Issuer, tls: cfg.TLS}
}

// Inherit gives a source that has read nothing yet the last good set of the one in whose place it comes, as far as its own
// configuration admits the keys. Nothing is inherited from another place, or one that is trusted in another way. The set
// keeps its age, so that maxStaleMs goes on, and serves only where it can't be read again, which is tried at once. Inherit
// reads and waits for nothing; it is to be called before the first Find.
func Inherit(to, from Source) {
	switch to := to.(type) {
	case *remote:
		if from, ok := from.(*remote); ok && from.origin == to.origin {
			to.inherit(from.lastGood())
		}
	case *file:
		if from, ok := from.(*file); ok && from.path == to.path {
			to.inherit(from.lastGood())
		}
	}
}

// lastGood is what there is to inherit.
func (r *remote) lastGood() (snapshot, outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snapshot, r.outage
}

func (r *remote) inherit(last snapshot, why outage) {
	last.set, last.inherited, last.crowd = last.set.under(r.accept), true, crowd{}
	if !r.cfg.Cache.Enabled {
		last.life = 0
	}
	if last.set.Len() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set.Len() == 0 {
		r.snapshot = last
		if r.err == nil {
			r.outage = why
		}
	}
}

func (f *file) lastGood() Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set
}

func (f *file) inherit(last Set) {
	if last = last.under(f.accept); last.Len() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set.Len() == 0 {
		f.set, f.inherited = last, true
	}
}
