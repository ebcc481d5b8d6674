package config

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go-jwt-auth/plugin/config/jsondoc"
	"go-jwt-auth/plugin/verdict"

	"github.com/agnivade/levenshtein"
)

// The parts of a document by short names, since every reader has them.
type (
	node   = jsondoc.Node
	object = jsondoc.Object
	array  = jsondoc.Array
	member = jsondoc.Member
)

// document is one file while it is being read.
type document struct {
	*jsondoc.Document
	// name is the file's; empty where the document is a text inside or beside it.
	name string
	// dir is where relative paths in the file start.
	dir string
	// mode holds the file's permission bits.
	mode fs.FileMode
	// nodes holds the values of known keys, and the sections on the way to them, by path.
	nodes    map[string]*node
	problems Problems
}

// newDocument reads the JSON in data and reports its faults.
func newDocument(data []byte) *document {
	d := &document{Document: jsondoc.Parse(data)}
	for _, f := range d.Faults {
		d.errorAt(f.Offset, f.Path, "%s", f.Text)
	}
	return d
}

// config reads the whole file; the result is of use only if no error was found.
func (d *document) config() *Config {
	root := d.Root
	if root == nil {
		return nil
	}
	if _, ok := root.Value.(object); !ok {
		d.errorf(root, "must be a JSON object, found %s", root.Found())
		return nil
	}
	c, provider := defaults(), providerDefaults()
	c.Providers = []*Provider{provider}
	format := keys(c, provider)
	d.nodes = map[string]*node{root.Path: root}
	d.index(root, format, unused(root))
	for _, k := range format {
		if n := d.nodes[k.path]; n != nil {
			k.read(d, n)
		}
	}
	d.check(c, provider)
	return c
}

// index remembers the values of known keys below n, and reports the unknown ones.
func (d *document) index(n *node, format []key, unused map[string]string) {
	members, _ := n.Value.(object)
	for _, m := range members {
		_, inObject := m.Value.(object)
		switch {
		case unused[m.Path] != "":
			d.warnAt(m.NameOffset, m.Path, "%s", unused[m.Path])
		case slices.ContainsFunc(format, func(k key) bool { return k.path == m.Path }):
			d.nodes[m.Path] = m.Node
		case slices.ContainsFunc(format, func(k key) bool { return strings.HasPrefix(k.path, m.Path+".") }):
			d.nodes[m.Path] = m.Node
			if inObject {
				d.index(m.Node, format, unused)
			} else {
				d.errorf(m.Node, "must be an object, found %s", m.Found())
			}
		default:
			d.unknown(m, d.suggest(n.Path, m, format))
		}
	}
}

// has says whether the file holds a value, good or bad, at path.
func (d *document) has(path string) bool { return d.nodes[path] != nil }

// missing reports what should stand at path, at the section that should hold it. A section that is no object has been
// reported already and could hold nothing.
func (d *document) missing(path, text string) {
	section := path
	for d.nodes[section] == nil {
		section = parent(section)
	}
	n := d.nodes[section]
	if _, ok := n.Value.(object); ok {
		d.errorAt(n.Offset, path, "%s", text)
	}
}

func (d *document) errorf(n *node, format string, args ...any) {
	d.errorAt(n.Offset, n.Path, format, args...)
}

func (d *document) warnf(n *node, format string, args ...any) {
	d.warnAt(n.Offset, n.Path, format, args...)
}

// unknown reports a key that the format does not have; hint ends the message.
func (d *document) unknown(m member, hint string) {
	d.warnAt(m.NameOffset, m.Path, "is no known key and has no effect%s", hint)
	d.problems[len(d.problems)-1].UnknownKey = true
}

func (d *document) errorAt(offset int, path, format string, args ...any) {
	d.report(SeverityError, offset, path, format, args...)
}

func (d *document) warnAt(offset int, path, format string, args ...any) {
	d.report(SeverityWarning, offset, path, format, args...)
}

func (d *document) report(s Severity, offset int, path, format string, args ...any) {
	line, column := d.Position(offset)
	d.problems = append(d.problems, Problem{
		Path: path, Line: line, Column: column, Severity: s, Text: verdict.Line(fmt.Sprintf(format, args...)),
	})
}

// suggest names the key or section that an unknown member of section was probably meant to be: one that is called so there in
// other letters, one of its name elsewhere, or a similar one there.
func (d *document) suggest(section string, m member, format []key) string {
	var siblings []string
	for _, k := range format {
		if rest, ok := strings.CutPrefix(k.path, section+"."); ok {
			sibling, _, _ := strings.Cut(rest, ".")
			siblings = append(siblings, sibling)
		}
	}
	if at := slices.IndexFunc(siblings, func(name string) bool { return strings.EqualFold(name, m.Name) }); at >= 0 {
		return didYouMean(m.Name, siblings[at])
	}
	if place := d.place(section, m, format); place != "" {
		return fmt.Sprintf("; did you mean %s?", place)
	}
	return didYouMean(m.Name, siblings...)
}

// place is where a key or section of this name belongs that stands in section by mistake; empty: nowhere. Of several places
// it is the one that knows most of what is in it, then one in a section that the file has, then the nearest.
func (d *document) place(section string, m member, format []key) string {
	var best string
	var most int
	for _, k := range format {
		for path := k.path; path != section && strings.Contains(path, "."); path = parent(path) {
			if !strings.EqualFold(base(path), m.Name) || path == best {
				continue
			}
			fits := 2 * known(m.Node, path, format)
			if d.Root.At(strings.TrimPrefix(strings.TrimPrefix(parent(path), "$"), ".")) != nil {
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
func known(value *node, path string, format []key) (n int) {
	members, _ := value.Value.(object)
	for _, m := range members {
		is := func(k key) bool { return k.path == path+"."+m.Name || strings.HasPrefix(k.path, path+"."+m.Name+".") }
		if slices.ContainsFunc(format, is) {
			n++
		}
	}
	return n
}

// didYouMean ends a message about word with the known one that resembles it, if any.
func didYouMean(word string, known ...string) string {
	if similar := nearest(word, known); similar != "" {
		return fmt.Sprintf("; did you mean %q?", similar)
	}
	return ""
}

// nearest returns the known word that differs least from word, or "" where none resembles it.
func nearest[T ~string](word string, known []T) T {
	var best T
	distance := 2 + len(word)/5
	for _, k := range known {
		// Far longer words can't be near, and are dear to compare.
		if len(word) > 2*len(k)+2 {
			continue
		}
		if n := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(string(k))); n < distance {
			best, distance = k, n
		}
	}
	return best
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

// parent of `$.options.modes` is `$.options`, of `$.options` it is `$`.
func parent(path string) string { return path[:strings.LastIndexByte(path, '.')] }

// base of `$.options.modes` is `modes`.
func base(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
