package control

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// What the plugin answers, apart from data.
const (
	NoSuchClient   = "no such client"
	NoSuchBlock    = "no such block"
	tooSoon        = "too many requests"
	revisionTooOld = "revision too old"
	unknownCommand = "unknown command"
)

// AnswerError is the plugin's refusal of a command.
type AnswerError struct {
	Command string
	// Text is the plugin's own.
	Text string
}

// Error implements error.
func (e *AnswerError) Error() string {
	if strings.HasPrefix(e.Text, unknownCommand) {
		return fmt.Sprintf("the plugin does not take %s from this login: it must be among options.control.admins of the broker's jwt.json (a login by token "+
			`as {"username": …}, any other as "…"), and the plugin must be as new as this tool`, e.Command)
	}
	return "the plugin refuses " + cmp.Or(e.Command, "the message") + ": " + e.Text
}

// IsAnswer tells whether err is that refusal of the plugin.
func IsAnswer(err error, text string) bool {
	var answer *AnswerError
	return errors.As(err, &answer) && answer.Text == text
}

// DeniedError is the broker's refusal of the message with the command.
type DeniedError struct {
	// Code is the PUBACK's reason code (MQTT 5 §3.4.2.1).
	Code byte
}

// Error implements error.
func (e *DeniedError) Error() string {
	if e.Code == notAuthorized {
		return "the broker's access control denies this login to publish to " + Topic + ": dynamic-security needs an ACL publishClientSend for it " +
			`("#" does not cover it), an ACL file "topic write ` + Topic + `"`
	}
	return "the broker refuses the command with " + codeText(e.Code)
}

// ConnectError is a connection that was not made.
type ConnectError struct {
	URL string
	// Code is the CONNACK's reason code (MQTT 5 §3.2.2.2); 0: there was none.
	Code byte
	// anonymous says that the login had neither a password nor a certificate.
	anonymous bool
	err       error
}

// Error implements error.
func (e *ConnectError) Error() string {
	switch e.Code {
	case 0:
		return e.URL + ": " + e.err.Error()
	case badCredentials, notAuthorized:
		if e.anonymous {
			return fmt.Sprintf("%s refuses a login with nothing in it with %s: say who asks by --token-file, by --admin and --password-file, or by --cert-file and --key-file",
				e.URL, codeText(e.Code))
		}
		return fmt.Sprintf("%s refuses the login with %s: is the token or the password still good? `go-jwt-auth check-token` says what the plugin makes of a token, "+
			"and the broker's log why it refused this one", e.URL, codeText(e.Code))
	}
	return fmt.Sprintf("%s refuses the login with %s", e.URL, codeText(e.Code))
}

// Unwrap returns what has happened in the place of a CONNACK, or nil.
func (e *ConnectError) Unwrap() error { return e.err }

var (
	// ErrNoAnswer says that nobody has answered a command in time.
	ErrNoAnswer = errors.New("no answer to a message to " + Topic + ": the broker has no such plugin on this listener, or lets this login not publish there")
	// ErrNoPlugin is the broker's word for that.
	ErrNoPlugin = errors.New("nobody serves " + Topic + " at this broker: the plugin is not loaded, or its jwt.json switches options.control off")

	errSilent = errors.New("no answer in time: is it an MQTT broker, and is TLS on or off as the address says?")
	errPutOff = errors.New("the broker ends the connection without an answer to the login: it does so while the plugin asks for keys or about the token, if the plugin " +
		"put the login off, or if it speaks no MQTT 5 or TLS where the address says otherwise")
	errLost = errors.New("the connection to the broker has ended")
)

// Reason codes of MQTT 5 (§2.4) that matter here.
const (
	badCredentials = 0x86
	notAuthorized  = 0x87
)

// codeText is a reason code as the specification writes it.
func codeText(code byte) string {
	name := map[byte]string{
		0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x84: "unsupported protocol version", 0x85: "client identifier not valid",
		badCredentials: "bad user name or password", notAuthorized: "not authorized", 0x88: "server unavailable", 0x89: "server busy", 0x8a: "banned", 0x8b: "server shutting down",
		0x8c: "bad authentication method", 0x8d: "keep alive timeout", 0x8e: "session taken over", 0x95: "packet too large", 0x97: "quota exceeded",
		0x98: "administrative action", 0x9f: "connection rate exceeded",
	}[code]
	if name == "" {
		return fmt.Sprintf("0x%02x", code)
	}
	return fmt.Sprintf("0x%02x (%s)", code, name)
}
