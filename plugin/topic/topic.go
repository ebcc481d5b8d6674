// Package topic compares topic names and topic filters (MQTT 5 §4.7): which messages a filter matches, and how two filters lie to
// each other. It knows nothing of who may do what, and allocates nothing.
//
// A topic name and a filter have levels with '/' between them, which may be empty. In a filter, a level "+" stands for any one level,
// and "#" at the end for any number of levels, none included: "a/#" matches "a" (§4.7.1.2). A filter that begins with either
// matches no topic that begins with '$' (§4.7.2).
package topic

import "strings"

// maxBytes is the longest UTF-8 string that MQTT can carry (MQTT 5 §1.5.4).
const maxBytes = 65535

// FaultOfFilter says what makes a text no topic filter, such as `has "#" elsewhere than at its end`; empty if it is one.
func FaultOfFilter(filter string) string {
	switch {
	case filter == "":
		return "is empty"
	case len(filter) > maxBytes:
		return "has more than 65535 bytes"
	case strings.IndexByte(filter, 0) >= 0:
		return "holds a NUL"
	}
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return `has "#" elsewhere than at its end`
		case len(level) > 1 && strings.IndexByte(level, '#') >= 0:
			return `has "#" in a level with other characters`
		case len(level) > 1 && strings.IndexByte(level, '+') >= 0:
			return `has "+" in a level with other characters`
		}
	}
	return ""
}

// IsName tells whether a text can be the topic of a message (§4.7.1, §4.7.3).
func IsName(name string) bool {
	return name != "" && len(name) <= maxBytes && strings.IndexByte(name, '#') < 0 && strings.IndexByte(name, '+') < 0 && strings.IndexByte(name, 0) < 0
}

// HasWildcard tells whether a filter matches more than the one topic of its name.
func HasWildcard(filter string) bool {
	return strings.IndexByte(filter, '+') >= 0 || strings.IndexByte(filter, '#') >= 0
}

const share = "$share/"

// Unshare returns the filter of a shared subscription "$share/group/filter", and any other filter as it is (§4.8.2). What has that
// prefix and is not one is no filter at all.
func Unshare(requested string) (filter string, ok bool) {
	behind, shared := strings.CutPrefix(requested, share)
	if !shared {
		return requested, requested != share[:len(share)-1]
	}
	group, filter, more := strings.Cut(behind, "/")
	return filter, more && group != "" && filter != "" && !HasWildcard(group)
}

// Matches tells whether a filter matches the topic of a message.
func Matches(filter, name string) bool {
	if dollar(name) && wild(filter) {
		return false
	}
	return MatchesBelow(filter, name)
}

// MatchesBelow is Matches for what stands behind the same levels in a filter and a topic, where '$' is a character like others.
func MatchesBelow(filter, name string) bool {
	for i, j := 0, 0; ; i, j = i+1, j+1 { // each is at the beginning of a level
		switch {
		case i < len(filter) && filter[i] == '#':
			return true
		case i < len(filter) && filter[i] == '+':
			i++
			if end := strings.IndexByte(name[j:], '/'); end >= 0 {
				j += end
			} else {
				j = len(name)
			}
		default:
			for ; i < len(filter) && filter[i] != '/'; i, j = i+1, j+1 {
				if j == len(name) || name[j] != filter[i] {
					return false
				}
			}
			if j < len(name) && name[j] != '/' {
				return false
			}
		}
		if i == len(filter) || j == len(name) {
			return i == len(filter) && j == len(name) || filter[i:] == "/#"
		}
	}
}

// Covers tells whether a filter matches every topic that another one matches.
func Covers(filter, other string) bool {
	if wild(filter) && dollar(other) || wild(other) && !wild(filter) {
		return false
	}
	other = unfolded(other)
	for {
		level, filterRest, filterMore := strings.Cut(filter, "/")
		if level == "#" {
			return true
		}
		otherLevel, otherRest, otherMore := strings.Cut(other, "/")
		if otherLevel == "#" || level != "+" && level != otherLevel {
			return false
		}
		if !filterMore || !otherMore {
			return filterMore == otherMore || filterRest == "#"
		}
		filter, other = filterRest, otherRest
	}
}

// Overlaps tells whether there is a topic that both filters match.
func Overlaps(filter, other string) bool {
	if wild(filter) && dollar(other) || wild(other) && dollar(filter) {
		return false
	}
	filter, other = unfolded(filter), unfolded(other)
	for {
		level, filterRest, filterMore := strings.Cut(filter, "/")
		otherLevel, otherRest, otherMore := strings.Cut(other, "/")
		switch {
		case level == "#" || otherLevel == "#":
			return true
		case level != "+" && otherLevel != "+" && level != otherLevel:
			return false
		case !filterMore || !otherMore:
			return filterMore == otherMore || filterRest == "#" || otherRest == "#"
		}
		filter, other = filterRest, otherRest
	}
}

// unfolded is a filter whose "#" stands for at least one level, where it can't stand for none: no topic is empty.
func unfolded(filter string) string {
	switch filter {
	case "#":
		return "+/#"
	case "/#":
		return "/+/#"
	}
	return filter
}

// wild tells whether a filter begins with a wildcard.
func wild(filter string) bool { return filter != "" && (filter[0] == '+' || filter[0] == '#') }

// dollar tells whether a topic or filter begins with '$'.
func dollar(s string) bool { return s != "" && s[0] == '$' }
