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
	// Provider names the one that it is about; empty: it has no name, or it is about none.
	Provider string
	// Turn says that it is about a provider that can't be asked any more, or can again.
	Turn Turn
}

// Turn is a change in whether a provider can be asked.
type Turn uint8

// The zero Turn is none.
const (
	None Turn = iota
	Down
	Up
)

// Of is the note with the name of the provider that it is about; an empty one leaves it as it is.
func (n Note) Of(provider string) Note {
	if provider != "" {
		n.Provider, n.Text = provider, "provider "+provider+": "+n.Text
	}
	return n
}

// Warn returns a Note of something that may be wrong.
func Warn(text string) Note { return Note{Level: Warning, Text: text} }

// Inform returns a Note of something that is as it should be.
func Inform(text string) Note { return Note{Level: Info, Text: text} }

// WentDown returns a Note of a provider that can't be asked any more.
func WentDown(text string) Note { return Note{Level: Warning, Text: text, Turn: Down} }

// CameUp returns a Note of a provider that can be asked again.
func CameUp(text string) Note { return Note{Level: Info, Text: text, Turn: Up} }
