// Package event holds what happens, as values, and the lines that the log makes of them.
package event

// Level is the importance of a line, as Mosquitto's log_type knows it.
type Level uint8

// The levels, most important first.
const (
	Error Level = iota
	Warning
	Notice
	Info
	Debug
)

// Note is something that the operator should know and that no login is refused for.
type Note struct {
	Level Level
	// Text is one line. What comes from outside is quoted in it.
	Text string
}

// Of is the note with the name of the provider that it is about; an empty one leaves it as it is.
func (n Note) Of(provider string) Note {
	if provider != "" {
		n.Text = "provider " + provider + ": " + n.Text
	}
	return n
}

// Warn returns a Note of something that may be wrong.
func Warn(text string) Note { return Note{Warning, text} }

// Inform returns a Note of something that is as it should be.
func Inform(text string) Note { return Note{Info, text} }
