package config

import (
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"

	"go-jwt-auth/plugin/config/fileaccess"
)

// filePath reads the name of a file that is opened elsewhere.
func filePath(to *string) reader {
	return func(d *document, n *node) {
		if name, ok := d.file(n); ok {
			*to = name
		}
	}
}

// readable reads the name of a file that is opened elsewhere, but must be there now.
func readable(to *string, who fileaccess.Privacy) reader {
	return func(d *document, n *node) { d.open(n, who, io.Discard, to) }
}

// file is the absolute name of the file that n names.
func (d *document) file(n *node) (string, bool) {
	name, ok := word(d, n)
	if !ok {
		return "", false
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		d.errorf(n, "must be the name of a file without control characters, found %s", n.Found())
		return "", false
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.dir, name)
	}
	return filepath.Clean(name), true
}

func (d *document) checkPrivacy(n *node, name string, mode fs.FileMode, who fileaccess.Privacy) {
	if exposure := who.Exposure(name, mode); exposure != "" {
		d.warnf(n, "%s", exposure)
	}
}
