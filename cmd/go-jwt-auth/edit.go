package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// What follows changes the text of a jwt.json and leaves every byte of the rest as it is. The text is JSON in which no object
// has a name twice: config has read it before.

// part is a member of an object or an element of an array, by its place in the text of that.
type part struct {
	name            string // of a member
	from, value, to int    // where its name, if any, and its value begin, and where it ends
}

const whitespace = " \t\r\n"

// partsOf are those of the one object or array that text is; none of any other value.
func partsOf(text string) (all []part) {
	d := json.NewDecoder(strings.NewReader(text))
	first, err := d.Token()
	if _, nests := first.(json.Delim); err != nil || !nests {
		return nil
	}
	skip := func(cutset string) int {
		at := int(d.InputOffset())
		return at + len(text[at:]) - len(strings.TrimLeft(text[at:], cutset))
	}
	for d.More() {
		p := part{from: skip(whitespace + ",")}
		p.value = p.from
		if first == json.Delim('{') {
			name, err := d.Token()
			if err != nil {
				return all
			}
			p.name, _ = name.(string)
			p.value = skip(whitespace + ":")
		}
		if err := d.Decode(new(json.RawMessage)); err != nil {
			return all
		}
		p.to = int(d.InputOffset())
		all = append(all, p)
	}
	return all
}

// find is the member of an object by its name.
func find(object, name string) (part, bool) {
	all := partsOf(object)
	at := slices.IndexFunc(all, func(p part) bool { return p.name == name })
	if at < 0 || !isObject(object) {
		return part{}, false
	}
	return all[at], true
}

// at is the text of the value at a path of member names, or empty.
func at(text string, path ...string) string {
	for _, name := range path {
		p, found := find(text, name)
		if !found {
			return ""
		}
		text = text[p.value:p.to]
	}
	return text
}

// textAt is the string at a path, or empty.
func textAt(object string, path ...string) (s string) {
	_ = json.Unmarshal([]byte(at(object, path...)), &s) // another value is none
	return s
}

// change replaces the value at a path. What is missing on the way to it is added.
func change(object string, to func(value string) string, path ...string) string {
	if len(path) == 0 {
		return to(object)
	}
	p, found := find(object, path[0])
	if !found {
		return add(object, quoted(path[0])+": "+change("{}", to, path[1:]...))
	}
	return object[:p.value] + change(object[p.value:p.to], to, path[1:]...) + object[p.to:]
}

// add puts another part behind the last of an object or array, in the way that the last stands there.
func add(text, another string) string {
	all := partsOf(text)
	if len(all) == 0 {
		return text[:1] + another + text[len(text)-1:]
	}
	last := all[len(all)-1]
	before := text[:last.from]
	space := before[len(strings.TrimRight(before, whitespace)):]
	if len(all) == 1 && space == "" {
		space = " " // "{" needs none behind it, a comma does
	}
	return text[:last.to] + "," + space + another + text[last.to:]
}

// without takes the parts that are to go out of an object or array.
func without(text string, goes func(part) bool) string {
	all, follows := partsOf(text), false
	for i, p := range slices.Backward(all) {
		switch {
		case !goes(p):
			follows = true
		case follows:
			text = text[:p.from] + text[all[i+1].from:]
		case i > 0:
			text = text[:all[i-1].to] + text[p.to:]
		default:
			text = text[:p.from] + text[p.to:]
		}
	}
	return text
}

// divide takes the members with those paths out of an object. What it has taken is an object like that, or empty.
func divide(object string, paths ...string) (rest, taken string) {
	emptied := map[string]bool{}
	for _, p := range slices.Backward(partsOf(object)) {
		if slices.Contains(paths, p.name) {
			taken = join(object[p.from:p.to], taken)
			emptied[p.name] = true
			continue
		}
		var inside []string
		for _, path := range paths {
			if rest, below := strings.CutPrefix(path, p.name+"."); below {
				inside = append(inside, rest)
			}
		}
		if len(inside) == 0 || !isObject(object[p.value:p.to]) {
			continue
		}
		kept, moved := divide(object[p.value:p.to], inside...)
		if moved == "" {
			continue
		}
		taken = join(object[p.from:p.value]+moved, taken)
		emptied[p.name] = len(partsOf(kept)) == 0
		object = object[:p.value] + kept + object[p.to:]
	}
	if taken != "" {
		taken = "{" + taken + "}"
	}
	return without(object, func(p part) bool { return emptied[p.name] }), taken
}

// join puts a member before others.
func join(member, others string) string {
	if others == "" {
		return member
	}
	return member + ", " + others
}

func isObject(text string) bool { return strings.HasPrefix(strings.TrimLeft(text, whitespace), "{") }

// quoted is a string as JSON has it.
func quoted(s string) string {
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	_ = to.Encode(s) // a string can be written
	return strings.TrimSuffix(b.String(), "\n")
}

// unitOf is what a text indents by: what its first member stands behind, or four spaces.
func unitOf(text string) string {
	if all := partsOf(text); len(all) > 0 {
		if line := strings.LastIndexByte(text[:all[0].from], '\n'); line >= 0 && all[0].from > line+1 {
			return text[line+1 : all[0].from]
		}
	}
	return "    "
}

// indented moves the lines behind the first further in. A line break is never inside a string of JSON.
func indented(text, by string) string { return strings.ReplaceAll(text, "\n", "\n"+by) }
