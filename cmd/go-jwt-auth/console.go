package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"

	"go-jwt-auth/plugin/verdict"
)

// console is where a command reads and writes. What it prints goes through printf, tell and object, which let no text from
// outside steer a terminal or forge a line.
type console struct {
	in       io.Reader
	out, err io.Writer
	// startUp is how long a provider on this machine is waited for that does not listen yet.
	startUp time.Duration
	// refused, if not nil, is called each time that such a provider has refused a connection.
	refused func()
	// now is the time, size the terminal's on standard output; nil: as they are. pause and patience are control.Options'.
	now             func() time.Time
	size            func() (columns, rows int, ok bool)
	pause, patience time.Duration

	json     bool
	colour   string // auto, always or never
	coloured bool

	good, bad, doubtful, faint paint
}

// sink remembers the first error of what it writes to.
type sink struct {
	to  io.Writer
	err error
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// begin puts the flags into force.
func (c *console) begin() error {
	switch c.colour {
	case "always":
		c.coloured = true
	case "never":
	case "auto":
		to := c.out
		if s, ok := to.(*sink); ok {
			to = s.to
		}
		out, file := to.(*os.File)
		c.coloured = file && isatty.IsTerminal(out.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	default:
		return fmt.Errorf("--color: must be auto, always or never, found %q", c.colour)
	}
	of := func(attributes ...color.Attribute) paint {
		p := color.New(attributes...)
		p.EnableColor()
		if !c.coloured {
			p.DisableColor()
		}
		return p.Sprint
	}
	c.good, c.bad, c.doubtful, c.faint = of(color.FgGreen), of(color.FgRed, color.Bold), of(color.FgYellow), of(color.Faint)
	return nil
}

// paint is a colour.
type paint func(...any) string

// painted is text that may be printed as it is.
type painted string

// of paints a text, which becomes one line.
func (p paint) of(format string, args ...any) painted {
	return painted(p(verdict.Line(fmt.Sprintf(format, args...))))
}

// plain is a text without colour, as one line.
func plain(format string, args ...any) painted {
	return painted(verdict.Line(fmt.Sprintf(format, args...)))
}

// printf writes to standard output, unless that is for the JSON object alone. Each argument becomes one line of printable
// text (verdict.Line).
func (c *console) printf(format string, args ...any) {
	if !c.json {
		fmt.Fprintf(c.out, format, printable(args)...)
	}
}

// tell is printf for standard error.
func (c *console) tell(format string, args ...any) { fmt.Fprintf(c.err, format, printable(args)...) }

// printable returns what may be printed in the place of args.
func printable(args []any) []any {
	safe := make([]any, len(args))
	for i, arg := range args {
		switch a := arg.(type) {
		case painted, bool, int, int64, float64, time.Duration:
			safe[i] = a
		default:
			safe[i] = plain("%v", a)
		}
	}
	return safe
}

// object writes v where --json asks for it.
func (c *console) object(v any) error {
	if !c.json {
		return nil
	}
	text, err := asJSON("", v)
	if err != nil {
		return err
	}
	_, err = c.out.Write(append(text, '\n'))
	return err
}

// objectWith writes v, whose last member is an empty array, with these in it where --json asks for it. They may be many, and long.
func objectWith[T any](c *console, v any, all []T) error {
	if !c.json {
		return nil
	}
	const end, indent = "]\n}", "    "
	text, err := asJSON("", v)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.out)
	_, _ = out.Write(bytes.TrimSuffix(text, []byte(end))) // out remembers its first error
	for i, each := range all {
		if i > 0 {
			_, _ = out.WriteString(",")
		}
		if text, err = asJSON(indent, each); err != nil {
			return err
		}
		_, _ = out.WriteString("\n" + indent)
		_, _ = out.Write(text)
	}
	if len(all) > 0 {
		_, _ = out.WriteString("\n  ")
	}
	_, _ = out.WriteString(end + "\n")
	return out.Flush()
}

// asJSON is v as JSON that a terminal does not obey; prefix is before each line but the first.
func asJSON(prefix string, v any) ([]byte, error) {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false)
	to.SetIndent(prefix, "  ")
	if err := to.Encode(v); err != nil {
		return nil, err
	}
	return printableJSON(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), nil
}

// printableJSON escapes what encoding/json leaves as it is and a terminal may obey: C1 controls, and characters that change
// the order of others.
func printableJSON(text []byte) []byte {
	safe := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\n' || strconv.IsPrint(r):
			safe = append(safe, text[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		default:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
		text = text[size:]
	}
	return safe
}

// mark is the sign before a line.
func (c *console) mark(ok bool) painted {
	if ok {
		return c.good.of("✓")
	}
	return c.bad.of("✗")
}
