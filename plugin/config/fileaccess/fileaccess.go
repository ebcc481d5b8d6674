// Package fileaccess opens the files that a configuration names, and explains in an administrator's words why this process
// can't: whose file it is, whom the process runs as, which folder is in the way, and the command that helps.
//
// It knows nothing of what the files hold.
package fileaccess

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Privacy says whom a file is for, as the permission bits that others must not have.
type Privacy fs.FileMode

const (
	// Private files are for the broker alone.
	Private Privacy = 0o007
	// Public ones may be read by everybody, but a key that others may change is theirs.
	Public Privacy = 0o002
)

// Exposure says what is wrong with the mode of a file, and the command that puts it right; "" if nothing is.
func (p Privacy) Exposure(name string, mode fs.FileMode) string {
	switch {
	case mode&fs.FileMode(p) == 0:
		return ""
	case p == Private:
		return fmt.Sprintf("the file %s is open to every user of this machine (mode %04o): %s", name, mode, GrantCommand(name))
	default:
		return fmt.Sprintf("the file %s may be changed by every user of this machine (mode %04o): chmod o-w %s", name, mode, shellWord(name))
	}
}

// MaxBytes bounds what Read reads: 1 MiB.
const MaxBytes = 1 << 20

// Read returns the content of a regular file of up to MaxBytes bytes. Its errors are explained.
func Read(name string) ([]byte, fs.FileInfo, error) {
	file, info, err := Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(file, MaxBytes+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%s can't be read: %w", name, cause(err))
	case len(data) > MaxBytes:
		return nil, nil, fmt.Errorf("%s is larger than %d bytes (1 MiB), expected a far smaller file", name, MaxBytes)
	}
	return data, info, nil
}

// Open opens regular files only: a pipe or a device could hold the broker up.
func Open(name string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, nil, Explain(name, err)
	case info.IsDir():
		return nil, nil, fmt.Errorf("%s is a directory, expected a file (container engines make one where the source of a bind mount is missing)", name)
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is a pipe, socket or device, expected a file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, Explain(name, err)
	}
	return file, info, nil
}

// Explain says why this user can't open the file, by the error of os, and what would help.
func Explain(name string, err error) error {
	var text string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = absent(name)
	case errors.Is(err, fs.ErrPermission):
		text = barred(name)
	default:
		text = fmt.Sprintf("%s can't be opened: %s", name, cause(err))
	}
	return &explained{text, err}
}

// explained is an error of os in other words.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.cause }

// cause is an error of os without its operation and path.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func absent(name string) string {
	if target, err := os.Readlink(name); err == nil {
		return fmt.Sprintf("%s is a link to %q, which does not exist; %s", name, target, Process())
	}
	folder := filepath.Dir(name)
	for {
		if info, err := os.Stat(folder); err == nil {
			lacks := "it holds no such file"
			if folder != filepath.Dir(name) {
				lacks = "it holds no such folder"
			}
			return fmt.Sprintf("%s does not exist: the nearest folder is %s (%s), and %s; %s, so put the file there and, if it is meant for the broker: %s",
				name, folder, ownership(info), lacks, Process(), GrantCommand(name))
		}
		folder = filepath.Dir(folder)
	}
}

func barred(name string) string {
	if folder := barrier(name, 0); folder != "" {
		return fmt.Sprintf("%s is out of reach: %s, and the folder %s (%s) keeps it out; move the file to where that user may go, such as /etc/mosquitto",
			name, Process(), folder, ownershipOf(folder))
	}
	return fmt.Sprintf("%s can't be read: %s, and the file is %s; if it is meant for the broker: %s",
		name, Process(), ownershipOf(name), GrantCommand(name))
}

// GrantCommand is the command that lets the broker read a file, and nobody else but its owner: root, who alone should be able to
// change it. The tool can run as root, whose group must not get the file.
func GrantCommand(name string) string {
	group := "mosquitto"
	if os.Geteuid() != 0 {
		group = nameOfGroup(os.Getegid())
	}
	return fmt.Sprintf("chgrp %s %s && chmod 0640 %[2]s", group, shellWord(name))
}

// shellWord is a file's name as a shell takes it. Root copies commands from here, and jwt.json may be of the broker's making.
func shellWord(name string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-+@:,=%", r)
	}
	if strings.HasPrefix(name, "/") && !strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// maxLinks is how many links a name may lead through, as in Linux.
const maxLinks = 40

// barrier is the first folder on the way to name that the process may not enter, or "".
func barrier(name string, links int) string {
	if folder := filepath.Dir(name); folder != name {
		if b := barrier(folder, links); b != "" {
			return b
		}
	}
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrPermission) {
		return filepath.Dir(name)
	}
	if target, err := os.Readlink(name); err == nil && links < maxLinks {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(name), target)
		}
		return barrier(target, links+1)
	}
	return ""
}

func ownershipOf(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "of unknown owner"
	}
	return ownership(info)
}
