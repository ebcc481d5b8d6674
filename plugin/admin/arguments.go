package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go-jwt-auth/plugin/verdict"
)

// arguments are the members of a command, read one by one. The first mistake counts, and one that was not read is a mistake.
type arguments struct {
	members map[string]any
	read    map[string]bool
	err     error
}

func newArguments(members map[string]any) *arguments {
	return &arguments{members: members, read: map[string]bool{}}
}

var errMalformed = errors.New("malformed request")

func (a *arguments) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
	}
}

// take is a member; false if it is not there.
func (a *arguments) take(name string) (any, bool) {
	a.read[name] = true
	value, there := a.members[name]
	return value, there
}

// whole is a whole number from least to most; otherwise, if it is not there.
func (a *arguments) whole(name string, least, most, otherwise uint64) uint64 {
	value, there := a.take(name)
	if !there {
		return otherwise
	}
	number, _ := value.(json.Number)
	n, err := strconv.ParseUint(number.String(), 10, 64)
	if err != nil || n < least || n > most {
		a.fail("%s must be a whole number from %d to %d", verdict.Quote(name), least, most)
		return otherwise
	}
	return n
}

// text is a string that is not empty and not longer than so many bytes; there is false if it is not there.
func (a *arguments) text(name string, most int) (s string, there bool) {
	value, there := a.take(name)
	if !there {
		return "", false
	}
	s, isString := value.(string)
	if !isString || s == "" || len(s) > most {
		a.fail("%s must be a string of 1 to %d bytes", verdict.Quote(name), most)
	}
	return s, true
}

// end is the first mistake.
func (a *arguments) end() error {
	for _, name := range slices.Sorted(maps.Keys(a.members)) {
		if !a.read[name] {
			a.fail("%s is not known", verdict.Quote(name))
		}
	}
	return a.err
}
