package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
)

// fileMode lets the broker's group read a jwt.json and nobody else.
const fileMode = 0o640

// newFile is a file that is complete under a name of its own before it gets the one that was asked for. Its owner and mode are
// set by the open file, and both names are entries of one open folder: whoever may change that folder can take names away or
// put others in their place, but has nothing of root's changed by it.
type newFile struct {
	folder *os.Root
	path   string // the folder's
	file   *os.File
	// base is the name to get, trial the one until then; both in folder.
	base, trial string
}

// access is who may do what with a file.
type access struct {
	// uid and gid are -1 for whoever this is.
	uid, gid int
	mode     fs.FileMode
}

// accessOf is that of a file that is there.
func accessOf(info fs.FileInfo) access {
	stat, _ := info.Sys().(*syscall.Stat_t) // it is one on Linux
	return access{int(stat.Uid), int(stat.Gid), info.Mode().Perm()}
}

// create writes content for name. Where this is root and group is not nil, it belongs to that user's group.
func create(name string, content []byte, group *user.User) (*newFile, error) {
	who := access{-1, -1, fileMode}
	if group != nil {
		id, err := credential(group)
		if err != nil {
			return nil, err
		}
		who.uid, who.gid = 0, int(id.Gid)
	}
	return createFor(who, name, content)
}

// createFor writes content for name, and for nobody but those that may have it.
func createFor(who access, name string, content []byte) (n *newFile, err error) {
	if n, err = open(name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.discard()
		}
	}()
	if err := n.file.Chown(who.uid, who.gid); err != nil {
		return nil, err
	}
	_, wrote := n.file.Write(content)
	// After Chown, and whatever the umask is.
	return n, errors.Join(wrote, n.file.Chmod(who.mode), n.file.Sync())
}

func open(name string) (*newFile, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	path := filepath.Dir(name)
	folder, err := os.OpenRoot(path + "/.") // a pipe in its place would hold us up
	if err != nil {
		return nil, err
	}
	n := &newFile{folder: folder, path: path, base: filepath.Base(name), trial: ".jwt-" + rand.Text() + ".json"}
	n.file, err = folder.OpenFile(n.trial, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return n, nil
}

// name is the one that was asked for, trialName the one until then.
func (n *newFile) name() string      { return filepath.Join(n.path, n.base) }
func (n *newFile) trialName() string { return filepath.Join(n.path, n.trial) }

// place gives the file the name that was asked for. One of that name, of whatever kind, is replaced only if replace.
func (n *newFile) place(replace bool) error {
	defer n.discard()
	var err error
	if replace {
		err = n.folder.Rename(n.trial, n.base)
	} else {
		err = n.folder.Link(n.trial, n.base)
	}
	switch {
	case errors.Is(err, fs.ErrExist) && !replace:
		return alreadyThere(n.name())
	case err != nil:
		return err
	}
	mine, err := n.file.Stat()
	if err != nil {
		return err
	}
	if there, err := n.folder.Lstat(n.base); err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("%s is not what was written: somebody else is changing that folder", n.name())
	}
	return nil
}

// discard removes what has not been placed.
func (n *newFile) discard() {
	_ = n.folder.Remove(n.trial) // not there after a rename
	_ = n.file.Close()           // it was synced
	_ = n.folder.Close()
}

// alreadyThere is the error for a file that is not to be replaced.
func alreadyThere(name string) error {
	return fmt.Errorf("%s is there already: --force replaces it", name)
}
