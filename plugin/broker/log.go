package broker

import (
	"fmt"

	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/verdict"
)

const (
	logPrefix = "go_jwt_auth: "
	// logMark stands where a text was divided: at the end of a line and, after the prefix, at the beginning of the next.
	logMark = "…"
	// maxLogLine is what surely fits into one of Mosquitto's log lines, which are cut at 1000 bytes with their timestamp.
	maxLogLine = 880
	// maxLogLines bounds one text. What is longer was not written by a person.
	maxLogLines = 8
)

// Log writes to the broker's log. It is the last place before the broker, and the guard behind all others: every line begins
// with the plugin's name, whatever is in the text, and there is neither a control character nor a token in it (verdict.Line). A
// text that is too long for one line goes on in further ones, marked by "…" at both ends.
//
// It belongs to the broker's thread.
type Log struct {
	to Broker
	// line is space for the next one; nil while one is being written, from inside of which there may come another.
	line []byte
}

// NewLog returns the Log of a broker.
func NewLog(to Broker) *Log { return &Log{to: to} }

// Event writes the line of an event.
func (l *Log) Event(e *event.Event) {
	level, line := e.AppendLine(l.begin())
	l.write(level, line)
}

// Text writes a text.
func (l *Log) Text(level event.Level, text string) { l.write(level, append(l.begin(), text...)) }

func (l *Log) begin() []byte {
	line := l.line
	l.line = nil
	return append(line[:0], logPrefix...)
}

func (l *Log) write(level event.Level, line []byte) {
	text := line[len(logPrefix):]
	if len(line) <= maxLogLine-len(" "+logMark) && verdict.IsPlainLine(text) {
		l.to.Log(level, line)
		l.line = line
		return
	}
	l.divide(level, verdict.Line(string(text)))
}

// divide writes a text that may be too long for one line.
func (l *Log) divide(level event.Level, text string) {
	begin := logPrefix
	for n := 1; ; n++ {
		most := maxLogLine - len(begin) - len(" "+logMark)
		head, rest := verdict.Cut(text, most)
		switch {
		case rest == "":
			l.to.Log(level, []byte(begin+head))
			return
		case n == maxLogLines:
			l.to.Log(level, fmt.Appendf(nil, "%s%s %s", begin, head, logMark))
			l.to.Log(level, fmt.Appendf(nil, "%s%s and %d bytes more", logPrefix, logMark, len(rest)))
			return
		}
		l.to.Log(level, []byte(begin+head+" "+logMark))
		begin, text = logPrefix+logMark+" ", rest
	}
}
