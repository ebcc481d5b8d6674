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

// Log writes a text to the broker's log. It is the last place before the broker, and the guard behind all others: every
// line begins with the plugin's name, whatever is in the text, and there is neither a control character nor a token in it
// (verdict.Line). A text that is too long for one line goes on in further ones, marked by "…" at both ends.
func Log(to Broker, level event.Level, text string) {
	text = verdict.Line(text)
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
