package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go-jwt-auth/plugin/config/fileaccess"
)

// fileName is what the file is called where no option names it.
const fileName = "jwt.json"

// Location is what is known about where the file is.
type Location struct {
	// ConfigFile is plugin_opt_config_file: absolute, relative to the persistence location, or empty.
	ConfigFile string
	// Persistence is the persistence location as the broker tells it (Mosquitto 2.1 and later), or empty.
	Persistence string
	// PersistenceOption is plugin_opt_persistence_location, which stands in for Persistence on 2.0; or empty.
	PersistenceOption string
	// Usual are the folders to try where neither is known; nil means /mosquitto/data and /var/lib/mosquitto.
	Usual []string
}

// Locate returns the absolute path of the file to Load. Where several places have to be tried it is the first that
// holds a file, and the error names all of them; where only one comes into question it is returned unseen, since Load
// explains best what is wrong with it.
func Locate(l Location) (string, error) {
	switch {
	case filepath.IsAbs(l.ConfigFile):
		return filepath.Clean(l.ConfigFile), nil
	case l.Persistence != "":
		return filepath.Abs(filepath.Join(l.Persistence, l.file()))
	case l.ConfigFile != "":
		return l.relative()
	default:
		return l.search()
	}
}

func (l Location) file() string {
	if l.ConfigFile != "" {
		return l.ConfigFile
	}
	return fileName
}

// relative resolves ConfigFile on 2.0.
func (l Location) relative() (string, error) {
	if l.PersistenceOption != "" {
		return filepath.Abs(filepath.Join(l.PersistenceOption, l.ConfigFile))
	}
	folders := l.usual()
	for _, folder := range folders {
		if exists(folder) {
			return filepath.Abs(filepath.Join(folder, l.ConfigFile))
		}
	}
	return "", fmt.Errorf("plugin_opt_config_file %q is relative, but none of the usual persistence locations exists (%s): "+
		"make it absolute, or set plugin_opt_persistence_location", l.ConfigFile, strings.Join(folders, ", "))
}

// search looks for jwt.json on 2.0.
func (l Location) search() (string, error) {
	folders := l.usual()
	if l.PersistenceOption != "" {
		folders = append([]string{l.PersistenceOption}, folders...)
	}
	var tried []string
	for _, folder := range folders {
		file, err := filepath.Abs(filepath.Join(folder, fileName))
		if err != nil {
			return "", err
		}
		if exists(file) {
			return file, nil
		}
		tried = append(tried, file)
	}
	return "", fmt.Errorf("no %s found, tried %s (%s): put it there, or set plugin_opt_config_file to its absolute path",
		fileName, strings.Join(tried, ", "), fileaccess.Process())
}

func (l Location) usual() []string {
	if l.Usual != nil {
		return l.Usual
	}
	return []string{"/mosquitto/data", "/var/lib/mosquitto"}
}

// exists is true of a place that can't be looked into as well: to pass over it could pick up another, older file.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
