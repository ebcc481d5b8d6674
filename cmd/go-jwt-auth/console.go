package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"
)

// console is where a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer

	json   bool
	colour string // auto, always or never

	good, bad, doubtful, faint *color.Color
}

// begin puts the flags into force.
func (c *console) begin() error {
	on := false
	switch c.colour {
	case "always":
		on = true
	case "never":
	case "auto":
		out, file := c.out.(*os.File)
		on = file && isatty.IsTerminal(out.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	default:
		return fmt.Errorf("--color: must be auto, always or never, found %q", c.colour)
	}
	paint := func(attributes ...color.Attribute) *color.Color {
		p := color.New(attributes...)
		p.EnableColor()
		if !on {
			p.DisableColor()
		}
		return p
	}
	c.good, c.bad, c.doubtful, c.faint = paint(color.FgGreen), paint(color.FgRed, color.Bold), paint(color.FgYellow), paint(color.Faint)
	return nil
}

// printf writes to standard output, unless that is for the JSON object alone.
func (c *console) printf(format string, args ...any) {
	if !c.json {
		fmt.Fprintf(c.out, format, args...)
	}
}

// tell writes to standard error.
func (c *console) tell(format string, args ...any) { fmt.Fprintf(c.err, format, args...) }

// object writes v where --json asks for it.
func (c *console) object(v any) error {
	if !c.json {
		return nil
	}
	to := json.NewEncoder(c.out)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	return to.Encode(v)
}

// mark is the sign before a line.
func (c *console) mark(ok bool) string {
	if ok {
		return c.good.Sprint("✓")
	}
	return c.bad.Sprint("✗")
}
