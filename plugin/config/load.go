package config

import (
	"io/fs"
	"path/filepath"

	"go-jwt-auth/plugin/config/fileaccess"
	"go-jwt-auth/plugin/verdict"
)

// Load reads the jwt.json at path. It returns either a Config, perhaps with warnings, or nil and at least one error;
// all problems of the file come at once, but a file that is no JSON has only that one.
//
// A relative path starts at the working directory; a relative path inside the file starts at the folder that holds
// the file, under the name by which it was opened (links are not followed for that). Environment variables and secret
// files that the file names are read too; a key set's file is not.
func Load(path string) (*Config, Problems) {
	file, err := filepath.Abs(path)
	if err != nil {
		return nil, Problems{{Severity: SeverityError, Text: verdict.Line(err.Error())}}
	}
	data, info, err := fileaccess.Read(file)
	if err != nil {
		return nil, Problems{{Severity: SeverityError, Text: verdict.Line(err.Error())}}
	}
	return parse(data, file, info.Mode().Perm())
}

// Parse is Load for a text that stands in no file yet, or comes through a pipe; it is read as if it stood in the file of
// that name, which must be absolute.
func Parse(data []byte, file string) (*Config, Problems) { return parse(data, file, 0) }

func parse(data []byte, file string, mode fs.FileMode) (*Config, Problems) {
	d := newDocument(data)
	d.name, d.dir, d.mode = file, filepath.Dir(file), mode
	// Who may change the file decides who gets in.
	d.checkPrivacy(&node{Path: "$"}, file, d.mode, fileaccess.Public)
	c := d.config()
	d.problems.sort()
	if len(d.problems.Errors()) > 0 {
		return nil, d.problems
	}
	c.File = file
	return c, d.problems
}
