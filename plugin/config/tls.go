package config

import (
	"crypto/sha256"
	"io"
	"unique"

	"go-jwt-auth/plugin/config/fileaccess"
)

// TLS is `$.options.tls`. Paths are absolute; empty means the system's roots and no client certificate.
//
// Two are equal (==) only if their files held the same when jwt.json was read.
type TLS struct {
	CAFile, CertFile, KeyFile string
	// InsecureSkipVerify switches verification off; a warning at every start says so.
	InsecureSkipVerify bool
	// content is the SHA-256 of what the files hold. A handle of a string prints as a pointer, and so shows nothing of it.
	content unique.Handle[string]
}

// file reads the name of a file that is opened elsewhere but must be there now, and adds what it holds to the content.
func (t *TLS) file(to *string, who fileaccess.Privacy) reader {
	return func(d *document, n *node) {
		hash := sha256.New()
		if t.content != (unique.Handle[string]{}) {
			hash.Write([]byte(t.content.Value()))
		}
		if d.open(n, who, hash, to) {
			t.content = unique.Make(string(hash.Sum(nil)))
		}
	}
}

// open stores the name of the file that n names if it can be read now, and copies what it holds.
func (d *document) open(n *node, who fileaccess.Privacy, copyTo io.Writer, to *string) bool {
	name, ok := d.file(n)
	if !ok {
		return false
	}
	file, info, err := fileaccess.Open(name)
	if err != nil {
		d.errorf(n, "%v", err)
		return false
	}
	defer file.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(copyTo, file); err != nil {
		d.errorf(n, "%s can't be read: %v", name, err)
		return false
	}
	d.checkPrivacy(n, name, info.Mode().Perm(), who)
	*to = name
	return true
}
