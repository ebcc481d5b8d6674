package main

import (
	"io"
	"math"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
	"golang.org/x/text/width"

	"go-jwt-auth/plugin/verdict"
)

// none stands for what is not known. As text of others it would be quoted.
const none = "–"

// cell is a text on one line that is fit for a terminal, and its colour.
type cell struct {
	text  string
	paint paint
}

// word is text of others: as it is if it is one plain word, and quoted otherwise; "–" if there is none.
func word(s string) cell {
	if s == "" {
		return cell{text: none}
	}
	return cell{text: verdict.Word(s)}
}

// phrase is a message that holds text of others.
func phrase(s string) cell { return cell{text: verdict.Phrase(s)} }

// detail is a value of others, and its name.
type detail struct{ name, value string }

// details are those that are known, each behind a comma.
func details(all ...detail) string {
	var text strings.Builder
	for _, each := range all {
		if each.value != "" {
			_, _ = text.WriteString(", " + each.name + " " + word(each.value).text) // a Builder takes all
		}
	}
	return text.String()
}

// table is columns under their heads. The last one is not padded.
type table struct {
	head []string
	rows [][]cell
}

const (
	gap = "  "
	// padMost is the width to which a column is padded where nothing has to fit; longer texts push the rest of their line aside.
	padMost = 40
	// leastColumn is the width that a column keeps when others need its room.
	leastColumn = 6
)

// columnsOf is how many columns of a terminal a text takes: wide letters take two, and marks on others none.
func columnsOf(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x7f:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// fit cuts a text to so many columns of a terminal.
func fit(s string, most int) string {
	if columnsOf(s) <= most {
		return s
	}
	taken := 0
	for i, r := range s {
		if taken += runeColumns(r); taken >= most {
			return s[:i] + "…"
		}
	}
	return s
}

// widths are the columns', which together fit into so many of a terminal; 0: as they are.
func (t table) widths(most int) []int {
	all := make([]int, len(t.head))
	sum := (len(all) - 1) * len(gap)
	for i, head := range t.head {
		all[i] = columnsOf(head)
		for _, row := range t.rows {
			all[i] = max(all[i], columnsOf(row[i].text))
		}
		if most == 0 {
			all[i] = min(all[i], padMost)
		}
		sum += all[i]
	}
	for most > 0 && sum > most {
		widest := 0
		for i, n := range all {
			if n > all[widest] {
				widest = i
			}
		}
		if all[widest] <= leastColumn {
			break // the line is cut instead
		}
		all[widest]--
		sum--
	}
	return all
}

// lines are the head and the rows, for a terminal of so many columns; 0: for a file.
func (t table) lines(c *console, most int) []painted {
	widths := t.widths(most)
	lines := make([]painted, 0, 1+len(t.rows))
	head := make([]cell, len(t.head))
	for i, text := range t.head {
		head[i] = cell{text, c.faint}
	}
	lines = append(lines, t.line(head, widths, most))
	for _, row := range t.rows {
		lines = append(lines, t.line(row, widths, most))
	}
	return lines
}

func (table) line(row []cell, widths []int, most int) painted {
	var line strings.Builder
	left := most
	if most == 0 {
		left = math.MaxInt
	}
	for i, each := range row {
		room := min(widths[i], left)
		if most == 0 {
			room = left
		}
		text := fit(each.text, room)
		if each.paint != nil && text != "" {
			line.WriteString(each.paint(text))
		} else {
			line.WriteString(text)
		}
		n := columnsOf(text)
		between := max(widths[i]-n, 0) + len(gap)
		left -= n + between
		if i == len(row)-1 || left <= 0 {
			break
		}
		line.WriteString(strings.Repeat(" ", between))
	}
	return painted(line.String())
}

// tabulate prints a table.
func (c *console) tabulate(t table) {
	if c.json {
		return
	}
	columns, _, _ := c.terminal()
	for _, line := range t.lines(c, columns) {
		c.printf("%s\n", line)
	}
}

// terminal is the size of the one on standard output; ok is false, and both are 0, if there is none.
func (c *console) terminal() (columns, rows int, ok bool) {
	if c.size != nil {
		return c.size()
	}
	out, is := c.standardOut().(*os.File)
	if !is {
		return 0, 0, false
	}
	size, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	if size.Col == 0 || size.Row == 0 { // a serial line does not know
		return 80, 24, true
	}
	return int(size.Col), int(size.Row), true
}

// standardOut is what standard output really is.
func (c *console) standardOut() io.Writer {
	if s, is := c.out.(*sink); is {
		return s.to
	}
	return c.out
}
