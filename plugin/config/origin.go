package config

import (
	"bytes"
	"os"
	"regexp"
)

// secret reads a value that nobody else may know: a string, or an object with one of plain, env and filePath.
func secret(to *Secret) reader {
	return func(d *document, n *node) { d.readSecret(to, n, private) }
}

// localKey reads the same forms; with an asymmetric algorithm it is a public key.
func localKey(c *Config) reader {
	return func(d *document, n *node) {
		who := private
		if len(c.Algorithms) > 0 && !symmetric(c.Algorithms[0]) {
			who = public
		}
		d.readSecret(&c.Local, n, who)
	}
}

// readSecret never shows the value, nor anything that may be one by mistake.
func (d *document) readSecret(to *Secret, n *node, who privacy) {
	switch v := n.value.(type) {
	case string:
		d.readPlain(to, n)
	case object:
		d.readOrigin(to, n, v, who)
	default:
		d.errorf(n, `must be a string, or an object with "plain", "env" or "filePath", found %s`, n.kind())
	}
}

func (d *document) readOrigin(to *Secret, n *node, members object, who privacy) {
	known := 0
	for _, m := range members {
		switch m.name {
		case "plain":
			d.readPlain(to, m.node)
		case "env":
			d.readEnv(to, m.node)
		case "filePath":
			d.readSecretFile(to, m.node, who)
		default:
			d.warnAt(m.offset, m.path, "is no known key and has no effect%s", didYouMean(m.name, "plain", "env", "filePath"))
			continue
		}
		known++
	}
	if known != 1 {
		d.errorf(n, `must hold exactly one of "plain", "env" and "filePath", found %d of them`, known)
	}
}

func (d *document) readPlain(to *Secret, n *node) {
	s, ok := n.value.(string)
	switch {
	case !ok:
		d.errorf(n, "must be a string, found %s", n.kind())
	case s == "":
		d.errorf(n, "must not be empty")
	default:
		*to = NewSecret(s)
	}
}

// variable is how the names of variables are usually written; other words may be the secret itself, written in the
// wrong place, and are not repeated.
var variable = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]*)+$`)

func (d *document) readEnv(to *Secret, n *node) {
	name, ok := n.value.(string)
	if !ok || name == "" {
		d.errorf(n, "must be the name of an environment variable, found %s", n.kind())
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
		*to = NewSecret(value)
	}
}

func (d *document) readSecretFile(to *Secret, n *node, who privacy) {
	name, ok := d.file(n)
	if !ok {
		return
	}
	data, info, err := readFile(name)
	if err != nil {
		d.errorf(n, "%v", err)
		return
	}
	d.checkPrivacy(n, name, info, who)
	// Editors end a file with a newline that nobody means to be part of the secret; a second one is meant.
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		d.errorf(n, "the file %s is empty, expected the secret in it", name)
		return
	}
	*to = NewSecret(string(data))
}
