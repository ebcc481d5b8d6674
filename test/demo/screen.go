package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// columns is how wide a terminal has to be.
const columns = 100

// triedColumns is the room for what was tried, before the arrow.
const triedColumns = 44

// screen writes for a reader; it is for one goroutine at a time.
type screen struct {
	w io.Writer
	// terminal: in colour, and a line may be written over.
	terminal bool
}

// newScreen is in colour on terminals, unless NO_COLOR is set (https://no-color.org).
func newScreen(f *os.File) *screen {
	about, err := f.Stat()
	return &screen{w: f, terminal: err == nil && about.Mode()&os.ModeCharDevice != 0 &&
		os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// style is an ANSI SGR parameter (ECMA-48 §8.3.117).
type style int

const (
	bold  style = 1
	dim   style = 2
	red   style = 31
	green style = 32
)

func (s *screen) in(st style, text string) string {
	if !s.terminal {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", st, text)
}

func (s *screen) say(format string, args ...any) { fmt.Fprintf(s.w, format+"\n", args...) }

func (s *screen) title(text string) { s.say("\n%s", s.in(bold, text)) }

// trying shows what is under way, until result writes over it.
func (s *screen) trying(tried string) {
	if s.terminal {
		fmt.Fprint(s.w, s.in(dim, "  … "+tried))
	}
}

// result is the line of a step, with another for what was expected instead.
func (s *screen) result(ok bool, st step, o outcome) {
	if s.terminal {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
	mark, aside := s.in(green, "✓"), ""
	if !ok {
		mark = s.in(red, "✗")
	}
	if o.aside != "" {
		aside = s.in(dim, " ("+o.aside+")")
	}
	s.say("  %s %-*s → %s%s", mark, triedColumns, st.tried, o.got, aside)
	if !ok {
		s.say("    %s   %s", s.in(red, fmt.Sprintf("%*s", triedColumns, "expected:")), st.want)
	}
}

// margin is before what belongs to a step.
const margin = "      "

// show shows what a program printed, line for line. Lines that are too long are cut.
func (s *screen) show(text string) {
	for line := range strings.Lines(text) {
		runes := []rune(strings.TrimSuffix(line, "\n"))
		if most := columns - len(margin); len(runes) > most {
			runes = append(runes[:most-1], '…')
		}
		s.say("%s%s", margin, s.in(dim, string(runes)))
	}
}

// quote shows what a program wrote, below the step that it belongs to.
func (s *screen) quote(text string) {
	for _, line := range wrap(text, columns-len(margin)) {
		s.say("%s%s", margin, s.in(dim, line))
	}
}

// wrap breaks text at spaces into lines of so many columns; a longer word has a line of its own.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
