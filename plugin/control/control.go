// Package control is for what clients ask of the plugin by publishing to a $CONTROL topic: a message with commands, in the form that
// Mosquitto's own dynamic-security has, and one with an answer to each, for that client alone.
//
// It knows how commands come and how they are answered, and no command. It belongs to the broker's thread.
package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"
)

// Topic is the one that clients publish to, and ResponseTopic the one by which they are answered. Response is what every topic of answers
// ends with.
const (
	Topic         = "$CONTROL/jwt-auth/v1"
	ResponseTopic = Topic + Response
	Response      = "/response"
)

// Bounds of a message. More is answered by an error.
const (
	// MaxPayload is in bytes. It is read on the broker's thread.
	MaxPayload = 64 << 10
	// MaxCommands are those of one message.
	MaxCommands = 16
	// MaxValues are all values in it, those inside of others included: many small ones take far longer to read than a few large ones.
	MaxValues = 256
	// MaxCommand and MaxCorrelationData are in bytes: both stand in the answer.
	MaxCommand         = 256
	MaxCorrelationData = 256
)

// Request is one command.
type Request struct {
	// From is the client, and the message without its payload.
	From broker.Message
	// Command is its name.
	Command string
	// Members are those of the command's object, but for "command" and "correlationData".
	Members map[string]any
}

// Text returns the one member that there must be, by its name, as a string.
func (r Request) Text(name string) (string, error) {
	for other := range r.Members {
		if other != name {
			return "", fmt.Errorf("%w: %s is not known", errMalformed, verdict.Quote(other))
		}
	}
	text, isString := r.Members[name].(string)
	if !isString {
		return "", fmt.Errorf("%w: %s must be there, and a string", errMalformed, verdict.Quote(name))
	}
	return text, nil
}

// Answer is what a command comes to: an error, or data that encoding/json can write; Raw is JSON already.
type Answer struct {
	Data any
	Err  error
}

// Raw is an answer's data that is JSON, which is not looked at once more.
type Raw []byte

// Command does what is asked, and calls done once: before it returns, or later on the broker's thread; not at all if nobody is to be
// answered any more.
type Command func(r Request, done func(Answer))

// Control takes the messages of one plugin instance.
type Control struct {
	Commands map[string]Command
	// Malformed is told of a message that could not be read.
	Malformed func(from broker.Message)
	// Send sends an answer to the client that a message came from. It does not keep it.
	Send func(to broker.Message, payload []byte)

	space *bytes.Buffer // for the next answer
}

type malformed struct{}

func (malformed) Error() string { return "malformed request" }

var errMalformed error = malformed{}

// response is the answer to one command. Data, if there is any, comes behind it.
type response struct {
	Command         string  `json:"command,omitempty"`
	CorrelationData *string `json:"correlationData,omitempty"`
	Error           string  `json:"error,omitempty"`
	data            any
}

// Handle takes a message. It keeps nothing of its payload.
func (c *Control) Handle(m broker.Message) {
	commands, err := read(m.Payload)
	m.Payload = nil
	if err != nil {
		c.Malformed(m)
		c.send(m, []response{{Error: err.Error()}})
		return
	}
	open, responses := len(commands), make([]response, len(commands))
	for i, command := range commands {
		answered := false
		c.do(m, command, &responses[i], func(a Answer) {
			if answered {
				return
			}
			answered = true
			responses[i].set(a)
			open--
			if open == 0 {
				c.send(m, responses)
			}
		})
	}
}

func (r *response) set(a Answer) {
	if a.Err != nil {
		r.Error = a.Err.Error()
		return
	}
	r.data = a.Data
}

// read reads a message as strictly as a token: a mistake is said, not guessed about.
func read(payload []byte) ([]any, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, the most is %d", errMalformed, len(payload), MaxPayload)
	}
	if holdsMoreThan(MaxValues, payload) {
		return nil, fmt.Errorf("%w: more than %d values", errMalformed, MaxValues)
	}
	members, err := jsonvalue.Object(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	commands, isArray := members["commands"].([]any)
	for name := range members {
		if name != "commands" {
			return nil, fmt.Errorf("%w: %s is not known", errMalformed, verdict.Quote(name))
		}
	}
	switch {
	case !isArray || len(commands) == 0:
		return nil, fmt.Errorf("%w: it must have \"commands\", an array of at least one", errMalformed)
	case len(commands) > MaxCommands:
		return nil, fmt.Errorf("%w: %d commands, the most is %d", errMalformed, len(commands), MaxCommands)
	}
	return commands, nil
}

// holdsMoreThan tells whether there are more values in a JSON text than so many. Each but the first is behind a bracket, a brace or a
// comma, which are counted unless they stand in a string.
func holdsMoreThan(most int, text []byte) bool {
	n := 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '[', '{', ',':
			n++
			if n > most {
				return true
			}
		case '"':
			at++
			for at < len(text) && text[at] != '"' {
				if text[at] == '\\' {
					at++
				}
				at++
			}
		}
	}
	return false
}

// do has one command done. What it is called, and what it is to be known by, stands in the answer.
func (c *Control) do(m broker.Message, command any, answer *response, done func(Answer)) {
	fail := func(format string, args ...any) {
		done(Answer{Err: fmt.Errorf("%w: "+format, slices.Concat([]any{errMalformed}, args)...)})
	}
	members, isObject := command.(map[string]any)
	if !isObject {
		fail("a command must be an object")
		return
	}
	if correlation, given := members["correlationData"]; given {
		text, isString := correlation.(string)
		if !isString || len(text) > MaxCorrelationData {
			fail("\"correlationData\" must be a string of at most %d bytes", MaxCorrelationData)
			return
		}
		answer.CorrelationData = &text
	}
	name, isString := members["command"].(string)
	if !isString || len(name) > MaxCommand {
		fail("a command must have \"command\", a string of at most %d bytes", MaxCommand)
		return
	}
	answer.Command = name
	do := c.Commands[name]
	if do == nil {
		done(Answer{Err: UnknownError(name)})
		return
	}
	delete(members, "command")
	delete(members, "correlationData")
	do(Request{From: m, Command: name, Members: members}, done)
}

// UnknownError says of a command that there is none of this name.
type UnknownError string

func (e UnknownError) Error() string { return "unknown command: " + verdict.Quote(string(e)) }

func (c *Control) send(to broker.Message, responses []response) {
	payload := c.space
	if c.space = nil; payload == nil { // else one is being sent, from inside of which there may come another
		payload = &bytes.Buffer{}
	}
	payload.Reset()
	payload.WriteString(`{"responses":[`)
	for i := range responses {
		if i > 0 {
			payload.WriteByte(',')
		}
		responses[i].appendTo(payload)
	}
	payload.WriteString("]}")
	c.Send(to, payload.Bytes())
	if payload.Cap() <= mostSpace {
		c.space = payload
	}
}

// mostSpace is how much space, in bytes, is kept for the next answer.
const mostSpace = 256 << 10

func (r *response) appendTo(payload *bytes.Buffer) {
	encode(payload, r)
	if r.data == nil {
		return
	}
	payload.Truncate(payload.Len() - len("}"))
	if payload.Bytes()[payload.Len()-1] != '{' {
		payload.WriteByte(',')
	}
	payload.WriteString(`"data":`)
	if raw, is := r.data.(Raw); is {
		payload.Write(raw)
	} else {
		encode(payload, r.data)
	}
	payload.WriteByte('}')
}

func encode(payload *bytes.Buffer, value any) {
	encoder := json.NewEncoder(payload)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // a command's data can't be written
	}
	payload.Truncate(payload.Len() - len("\n"))
}
