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
	mode     fs.FileMode
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
	switch {
	case d.Root == nil:
		return nil
	case d.Root.Member("providers") != nil:
		return d.severalProviders()
	}
	file, provider := defaults(), providerDefaults("$")
	file.Providers = []*Provider{provider}
	s := d.scope(d.Root, slices.Concat(fileKeys(), brokerKeys(file), providerKeys(provider)), unused(d.Root))
	if s == nil {
		return nil
	}
	s.check(file, provider)
	s.checkAdmins(file)
	return file
}

func (d *document) errorf(n *node, format string, args ...any) {
	d.errorAt(n.Offset, n.Path, format, args...)
}

func (d *document) warnf(n *node, format string, args ...any) {
	d.warnAt(n.Offset, n.Path, format, args...)
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
