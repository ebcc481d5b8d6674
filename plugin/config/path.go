package config

import "sync"

// Path is a place in jwt.json under which the keys of a provider stand: "$" (the zero Path means that, too), or
// "$.providers[1]". A reload can move a provider that goes on: all who hold its Path name its keys by the new place then. Safe
// for concurrent use.
type Path struct{ *place }

type place struct {
	mu   sync.RWMutex // guards name
	name string
}

// At is the Path of a place.
func At(name string) Path { return Path{&place{name: name}} }

// Key is the path of a key below p, such as "$.options.common.audience" of "options.common.audience".
func (p Path) Key(name string) string { return p.String() + "." + name }

func (p Path) String() string {
	if p.place == nil {
		return "$"
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.name
}

// MoveTo makes p name another place, for all who hold it. The zero Path can't be moved.
func (p Path) MoveTo(other Path) {
	if p.place == nil {
		return
	}
	name := other.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name = name
}
