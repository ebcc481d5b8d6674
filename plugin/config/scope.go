package config

import (
	"fmt"
	"slices"
	"strings"
)

// scope is an object of the document that has a format: the whole file, one of its providers, a request. Its paths are those
// below that object, such as "options.modes"; it itself is "".
type scope struct {
	*document
	root   *node
	format []key
	// nodes holds the values of known keys, and the sections on the way to them, by path.
	nodes map[string]*node
}

// scope reads what is at root by its format, and reports unknown keys; nil if it is not an object, which is reported too. The
// sections that unused names get that warning, and are not looked into.
func (d *document) scope(root *node, format []key, unused map[string]string) *scope {
	if _, ok := root.Value.(object); !ok {
		d.errorf(root, "must be a JSON object, found %s", root.Found())
		return nil
	}
	s := &scope{document: d, root: root, format: format, nodes: map[string]*node{"": root}}
	s.index("", unused)
	for _, k := range format {
		if n := s.nodes[k.path]; n != nil {
			k.read(d, n)
		}
	}
	return s
}

// index remembers the values of known keys in a section, and reports the unknown ones.
func (s *scope) index(section string, unused map[string]string) {
	members, _ := s.nodes[section].Value.(object)
	for _, m := range members {
		path := strings.TrimPrefix(m.Path, s.root.Path+".")
		_, isObject := m.Value.(object)
		switch {
		case unused[path] != "":
			s.warnAt(m.NameOffset, m.Path, "%s", unused[path])
		case slices.ContainsFunc(s.format, func(k key) bool { return k.path == path }):
			s.nodes[path] = m.Node
		case slices.ContainsFunc(s.format, func(k key) bool { return strings.HasPrefix(k.path, path+".") }):
			s.nodes[path] = m.Node
			if isObject {
				s.index(path, unused)
			} else {
				s.errorf(m.Node, "must be an object, found %s", m.Found())
			}
		default:
			s.unknown(m, s.suggest(section, m))
		}
	}
}

// full is a path as messages have it, from the top of the file.
func (s *scope) full(path string) string { return s.root.Path + "." + path }

// has says whether there is a value, good or bad, at path.
func (s *scope) has(path string) bool { return s.nodes[path] != nil }

// missing reports what should stand at path, at the section that should hold it. A section that is not an object has been
// reported already and could hold nothing.
func (s *scope) missing(path, text string) {
	section := path
	for s.nodes[section] == nil {
		section = parent(section)
	}
	n := s.nodes[section]
	if _, ok := n.Value.(object); ok {
		s.errorAt(n.Offset, s.full(path), "%s", text)
	}
}

// unknown reports a key that the format does not have; hint ends the message.
func (d *document) unknown(m member, hint string) {
	d.warnAt(m.NameOffset, m.Path, "is no known key and has no effect%s", hint)
	d.problems[len(d.problems)-1].UnknownKey = true
}

// suggest names the key or section that an unknown member of section was probably meant to be: one that is called so there in
// other letters, one of its name elsewhere, or a similar one there.
func (s *scope) suggest(section string, m member) string {
	var siblings []string
	for _, k := range s.format {
		if rest, ok := strings.CutPrefix(k.path, below(section)); ok {
			sibling, _, _ := strings.Cut(rest, ".")
			siblings = append(siblings, sibling)
		}
	}
	if at := slices.IndexFunc(siblings, func(name string) bool { return strings.EqualFold(name, m.Name) }); at >= 0 {
		return didYouMean(m.Name, siblings[at])
	}
	if place := s.place(section, m); place != "" {
		return fmt.Sprintf("; did you mean %s?", s.full(place))
	}
	return didYouMean(m.Name, siblings...)
}

// place is where a key or section of this name belongs that stands in section by mistake; empty: nowhere. Of several places
// it is the one that knows most of what is in it, then one in a section that the file has, then the nearest.
func (s *scope) place(section string, m member) string {
	var best string
	var most int
	for _, k := range s.format {
		for path := k.path; path != section && path != ""; path = parent(path) {
			if !strings.EqualFold(base(path), m.Name) || path == best {
				continue
			}
			fits := 2 * s.known(m.Node, path)
			if s.root.At(parent(path)) != nil {
				fits++
			}
			if best == "" || fits > most || fits == most && nearer(path, best, section) {
				best, most = path, fits
			}
		}
	}
	return best
}

// known counts the members of value that the section at path may have.
func (s *scope) known(value *node, path string) (n int) {
	members, _ := value.Value.(object)
	for _, m := range members {
		is := func(k key) bool { return k.path == path+"."+m.Name || strings.HasPrefix(k.path, path+"."+m.Name+".") }
		if slices.ContainsFunc(s.format, is) {
			n++
		}
	}
	return n
}

// nearer says whether path is more probably meant than other by somebody who wrote into section: it has more in common
// with that, or lies less deep.
func nearer(path, other, section string) bool {
	if one, two := shared(path, section), shared(other, section); one != two {
		return one > two
	}
	return strings.Count(path, ".") < strings.Count(other, ".")
}

// shared counts the bytes with which both begin.
func shared(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// parent of "options.modes" is "options", of "options" it is "", the object that has the format.
func parent(path string) string { return path[:max(strings.LastIndexByte(path, '.'), 0)] }

// base of "options.modes" is "modes".
func base(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// below is what the paths of all that stands in a section begin with.
func below(section string) string {
	if section == "" {
		return ""
	}
	return section + "."
}
