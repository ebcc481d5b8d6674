package topic_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/plugin/topic"
)

// words are all texts of up to n levels of these, but for the empty one. Last are levels that can stand at the end alone.
func words(n int, levels, last []string) (all []string) {
	begin := []string{""}
	for range n {
		var next []string
		for _, b := range begin {
			for _, level := range slices.Concat(levels, last) {
				if b+level != "" {
					all = append(all, b+level)
				}
			}
			for _, level := range levels {
				next = append(next, b+level+"/")
			}
		}
		begin = next
	}
	return all
}

// naive is what MQTT 5 §4.7 says, level by level.
func naive(filter, name []string) bool {
	switch {
	case len(filter) == 1 && filter[0] == "#":
		return true
	case len(filter) == 0 || len(name) == 0:
		return len(filter) == len(name)
	default:
		return (filter[0] == "+" || filter[0] == name[0]) && naive(filter[1:], name[1:])
	}
}

func naiveMatch(filter, name string) bool {
	if name[0] == '$' && strings.ContainsAny(filter[:1], "+#") {
		return false
	}
	return naive(strings.Split(filter, "/"), strings.Split(name, "/"))
}

// Every filter of up to three levels of a small alphabet is held against every topic of up to four, which has a letter that no filter
// has, and against every other filter: what it covers and overlaps is counted by topics.
func TestFiltersAgainstAllTopics(t *testing.T) {
	filters := words(3, []string{"a", "b", "", "$a", "+"}, []string{"#"})
	names := words(4, []string{"a", "b", "", "$a", "z"}, nil)
	matched := make([][]bool, len(filters))
	for i, filter := range filters {
		if fault := topic.FaultOfFilter(filter); fault != "" {
			t.Fatalf("%q %s", filter, fault)
		}
		for _, name := range names {
			want := naiveMatch(filter, name)
			if got := topic.Matches(filter, name); got != want {
				t.Errorf("%q matches %q: %t", filter, name, got)
			}
			matched[i] = append(matched[i], want)
		}
	}
	for i, one := range filters {
		for k, other := range filters {
			covers, overlaps := true, false
			for n := range names {
				covers = covers && (matched[i][n] || !matched[k][n])
				overlaps = overlaps || matched[i][n] && matched[k][n]
			}
			if got := topic.Covers(one, other); got != covers {
				t.Errorf("%q covers %q: %t", one, other, got)
			}
			if got := topic.Overlaps(one, other); got != overlaps {
				t.Errorf("%q overlaps %q: %t", one, other, got)
			}
		}
	}
}

func TestFaultOfFilter(t *testing.T) {
	const early, hash, plus = `has "#" elsewhere than at its end`, `has "#" in a level with other characters`, `has "+" in a level with other characters`
	for filter, want := range map[string]string{
		"": "is empty", "a\x00": "holds a NUL", "#/": early, "#/a": early, "a/#/#": early, "a#": hash, "a/b#": hash, "##": hash, "+#": hash, "#+": hash,
		"a+": plus, "+a/b": plus, "++": plus, "a/+b/#": plus, strings.Repeat("a", 65536): "has more than 65535 bytes",
		"/": "", "//": "", "+": "", "#": "", "/#": "", "+/+/#": "", "a b": "", "$SYS/#": "", "$": "", "ä/\n": "",
		strings.Repeat("/", 65535): "", strings.Repeat("+/", 32767) + "#": "",
	} {
		if got := topic.FaultOfFilter(filter); got != want {
			t.Errorf("%.40q: got %q, want %q", filter, got, want)
		}
	}
}

func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "/": true, "$SYS/a": true, " ": true, strings.Repeat("a", 65535): true,
		"": false, "a/+": false, "#": false, "a#": false, "a\x00b": false, strings.Repeat("a", 65536): false,
	} {
		if got := topic.IsName(name); got != want {
			t.Errorf("%.40q: %t", name, got)
		}
	}
}

func TestUnshare(t *testing.T) {
	for requested, want := range map[string]string{
		"a": "a true", "$share/g/a": "a true", "$share/g/a/b/#": "a/b/# true", "$share/g//": "/ true", "$share/$x/#": "# true",
		"$share/g/$share/h/a": "$share/h/a true", "$shared/g/a": "$shared/g/a true", "$SHARE/g/a": "$SHARE/g/a true", "/$share/g/a": "/$share/g/a true",
		"$share": " false", "$share/": " false", "$share/g": " false", "$share/g/": " false", "$share//a": " false", "$share/+/a": " false",
		"$share/#": " false", "$share/#/a": " false", "$share/g+/a": " false",
	} {
		filter, ok := topic.Unshare(requested)
		if !ok {
			filter = ""
		}
		if got := fmt.Sprint(filter, " ", ok); got != want {
			t.Errorf("%q: got %s, want %s", requested, got, want)
		}
	}
}

// A filter of as many levels as fit, against itself.
func TestLongFilters(t *testing.T) {
	long := strings.Repeat("+/", 32767) + "+"
	name := strings.Repeat("a/", 32767) + "a"
	if !topic.Matches(long, name) || topic.Matches(long, name[2:]) || !topic.Covers(long, long) || !topic.Covers(long, name) || !topic.Overlaps(name, long) ||
		topic.Covers(name, long) || topic.Overlaps(name, name[:len(name)-1]+"b") {
		t.Error("compared wrongly")
	}
}
