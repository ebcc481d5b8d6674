package audit

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"go-jwt-auth/plugin/config/fileaccess"
)

// file appends lines to a file.
type file struct {
	name string
	open io.WriteCloser
	// torn: the last line is not whole.
	torn bool
}

func openFile(name string) (*file, error) {
	f := &file{name: name}
	err := f.reopen()
	return f, err
}

// reopen opens the file by its name, and makes it if it is not there: for the broker's user to write and its group to read. A
// pipe that nobody reads is an error, and is not waited for.
func (f *file) reopen() error {
	opened, err := os.OpenFile(f.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o640) //nolint:gosec // its group reads it
	if err != nil {
		return fmt.Errorf("%w (%s)", err, fileaccess.Process())
	}
	f.close()
	f.open, f.torn = opened, false
	return nil
}

// write writes a line in one piece, so that other processes may append to the file, too. A disk that has become full may take a
// part of it: then the next line begins anew.
func (f *file) write(_ *Record, line []byte) error {
	if f.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := f.open.Write(line)
	if n > 0 {
		f.torn = n < len(line)
	}
	return err
}

func (f *file) close() {
	if f.open != nil {
		_ = f.open.Close() // every line was written by itself
	}
}
