package config

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"

	"go-jwt-auth/plugin/config/fileaccess"
	"go-jwt-auth/plugin/config/jsondoc"
)

// secret reads a value that nobody else may know: a string, or an object with one of origins.
func secret(to *Secret) reader {
	return func(d *document, n *node) { d.readSecret(to, n, fileaccess.Private) }
}

// localKey reads the same forms; with an asymmetric algorithm it is a public key.
func localKey(c *Provider) reader {
	return func(d *document, n *node) {
		who := fileaccess.Private
		if len(c.Algorithms) > 0 && !symmetric(c.Algorithms[0]) {
			who = fileaccess.Public
		}
		d.readSecret(&c.Local, n, who)
	}
}

// readSecret never shows the value, nor anything that may be one by mistake.
func (d *document) readSecret(to *Secret, n *node, who fileaccess.Privacy) {
	plain := func(n *node) {
		d.readPlain(to, n)
		if who == fileaccess.Private && to.IsSet() {
			d.checkExposed(n)
		}
	}
	switch v := n.Value.(type) {
	case string:
		plain(n)
	case object:
		d.readOrigin(n, v, origin{
			plain: plain,
			env:   func(_ *node, value, _ string) { *to = NewSecret(value) },
			file: func(n *node, f textFile) {
				d.checkPrivacy(n, f.name, f.mode, who)
				*to = NewSecret(f.text)
			},
		})
	default:
		d.errorf(n, `must be a string, or an object with "plain", "env" or "filePath", found %s`, n.Kind())
	}
}

// checkExposed warns where n is secret and stands in a file that is not.
func (d *document) checkExposed(n *node) {
	if d.mode&0o004 != 0 {
		d.warnf(n, `stands in a file that every user of this machine can read (mode %04o): %s, or keep it outside by {"env": …} or {"filePath": …}`,
			d.mode, fileaccess.GrantCommand(d.name))
	}
}

// origin is what becomes of a value, by where it is.
type origin struct {
	plain func(n *node)
	// env gets the value of the variable, and its name as far as it may be shown.
	env  func(n *node, value, name string)
	file func(n *node, f textFile)
	// inside are names that belong below plain.
	inside []string
}

// textFile is a file without the newline at its end.
type textFile struct {
	name, text string
	mode       fs.FileMode
}

func (d *document) readOrigin(n *node, members object, o origin) {
	known := 0
	for _, m := range members {
		switch m.Name {
		case "plain":
			o.plain(m.Node)
		case "env":
			d.readEnv(m.Node, o.env)
		case "filePath":
			d.readTextFile(m.Node, o.file)
		default:
			hint := didYouMean(m.Name, origins()...)
			if slices.Contains(o.inside, m.Name) {
				hint = fmt.Sprintf("; did you mean %s?", jsondoc.Child(n.Path+".plain", m.Name))
			}
			d.unknown(m, hint)
			continue
		}
		known++
	}
	if known != 1 {
		d.errorf(n, `must hold exactly one of "plain", "env" and "filePath", found %d of them`, known)
	}
}

func (d *document) readPlain(to *Secret, n *node) {
	s, ok := n.Value.(string)
	switch {
	case !ok:
		d.errorf(n, "must be a string, found %s", n.Kind())
	case s == "":
		d.errorf(n, "must not be empty")
	default:
		*to = NewSecret(s)
	}
}

// variable is how the names of variables are usually written; other words may be the secret itself, written in the
// wrong place, and are not repeated.
var variable = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]*)+$`)

func (d *document) readEnv(n *node, use func(n *node, value, name string)) {
	name, ok := n.Value.(string)
	if !ok || name == "" {
		d.errorf(n, "must be the name of an environment variable, found %s", n.Kind())
		return
	}
	shown := "the one named here"
	if variable.MatchString(name) {
		shown = name
	}
	switch value, set := os.LookupEnv(name); {
	case !set:
		d.errorf(n, "must name an environment variable of the broker, but %s is not set", shown)
	case value == "":
		d.errorf(n, "must name an environment variable that holds a value, but %s is empty", shown)
	default:
		use(n, value, shown)
	}
}

func (d *document) readTextFile(n *node, use func(n *node, f textFile)) {
	name, ok := d.file(n)
	if !ok {
		return
	}
	data, info, err := fileaccess.Read(name)
	if err != nil {
		d.errorf(n, "%v", err)
		return
	}
	// Editors end a file with a newline that nobody means to be part of the secret; a second one is meant.
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		d.errorf(n, "the file %s is empty, expected the value in it", name)
		return
	}
	use(n, textFile{name, string(data), info.Mode().Perm()})
}
