package plugin

import (
	"fmt"
	"slices"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

const (
	logPrefix = "go_jwt_auth: "
	// logMark stands where a text was divided: at the end of a line and, after the prefix, at the beginning of the next.
	logMark = "…"
	// maxLogLine is what surely fits into one of Mosquitto's log lines, which are cut at 1000 bytes with their timestamp.
	maxLogLine = 880
	// maxLogLines bounds one text. What is longer is of no person's making.
	maxLogLines = 8
)

// Log writes a text to the broker's log. It is the last place before the broker, and the guard behind all others: every
// line begins with the plugin's name, whatever is in the text, and there is neither a control character nor a token in it
// (verdict.Line). A text that is too long for one line goes on in further ones, marked by "…" at both ends.
func Log(to Broker, level event.Level, format string, args ...any) {
	text := verdict.Line(fmt.Sprintf(format, args...))
	begin := logPrefix
	for n := 1; ; n++ {
		most := maxLogLine - len(begin) - len(" "+logMark)
		head, rest := verdict.Cut(text, most)
		switch {
		case rest == "":
			to.Log(level, begin+head)
			return
		case n == maxLogLines:
			to.Log(level, fmt.Sprintf("%s%s %s", begin, head, logMark))
			to.Log(level, fmt.Sprintf("%s%s and %d bytes more", logPrefix, logMark, len(rest)))
			return
		}
		to.Log(level, begin+head+" "+logMark)
		begin, text = logPrefix+logMark+" ", rest
	}
}

func (p *Plugin) log(level event.Level, format string, args ...any) {
	Log(p.broker, level, format, args...)
}

// logEach logs an error that may join several, one to a line.
func (p *Plugin) logEach(level event.Level, err error, suffix string) {
	for _, each := range parts(err) {
		p.log(level, "%s%s", each, suffix)
	}
}

// parts are the errors that errors.Join has joined. A line break in a text is no such joint: it can come from outside.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	return joined.Unwrap()
}

// report takes a line from any goroutine to the log.
func (p *Plugin) report(n event.Note) {
	p.queue.post(func() { p.logNotes([]event.Note{n}) })
}

// logNotes logs the most important first: on a screenful of lines they are what should be seen.
func (p *Plugin) logNotes(notes []event.Note) {
	slices.SortStableFunc(notes, func(a, b event.Note) int { return int(a.Level) - int(b.Level) })
	for _, n := range notes {
		p.log(n.Level, "%s", n.Text)
	}
}
