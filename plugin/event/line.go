package event

import (
	"fmt"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/verdict"
)

// Kind says what has happened.
type Kind uint8

// What can happen to a client.
const (
	// Judged: its login has got a verdict, which may be that it is to wait for one.
	Judged Kind = iota
	// Reaffirmed: the broker has asked again after a reload, and the client stays.
	Reaffirmed
	// NotConfirmed: it stays although the revocation endpoint, which was to be asked after CONNACK, gave no answer.
	NotConfirmed
	// NotRechecked: it stays although nothing was learnt when its turn came to be asked about again.
	NotRechecked
	// LeftPending: it left before its verdict; LeftAccepted: when that had been given.
	LeftPending
	LeftAccepted
	// Disconnected: it had to leave; NotThere: it was gone by then; NotDisconnected: the broker did not do it.
	Disconnected
	NotThere
	NotDisconnected
)

// Event is what has happened to a client.
type Event struct {
	Kind   Kind
	Client Client
	// Provider names who has judged its token; empty if there is but one, or none has.
	Provider string
	// Verdict belongs to Judged, NotConfirmed, NotRechecked and LeftPending.
	Verdict verdict.Verdict
	// Username is the one that it was given, fit for the log; empty: it keeps its own.
	Username string
	// LogID names its token; empty: it sent none.
	LogID string
	// Path is where that provider's keys stand in jwt.json.
	Path config.Path
	// Why it had to leave, with Disconnected, NotThere and NotDisconnected; Err is why it did not.
	Why string
	Err error
}

// Client is who it happened to.
type Client struct {
	// ID is the client id, fit for the log.
	ID string
	// Address is the network address, fit for the log; empty: not known.
	Address string
}

func (c Client) String() string {
	if c.Address == "" {
		return "client " + c.ID
	}
	return fmt.Sprintf("client %s [%s]", c.ID, c.Address)
}

// Line is the event in the broker's log.
func (e Event) Line() (Level, string) {
	switch e.Kind {
	case Reaffirmed:
		return Debug, e.Client.String() + " stays: the broker asked again after a reload"
	case NotConfirmed:
		return Notice, fmt.Sprintf("%s stays without having been asked about (%s): %s%s", e.Client, e.Path.Key("options.revocation.onUnavailable"), e.Verdict.Note, e.token())
	case NotRechecked:
		return Debug, fmt.Sprintf("%s stays, though nothing was learnt about it: %s%s", e.Client, e.Verdict, e.token())
	case LeftPending:
		return Debug, fmt.Sprintf("%s left before its verdict (%s)", e.Client, e.Verdict)
	case LeftAccepted:
		return Info, fmt.Sprintf("%s had left when it was accepted%s", e.Client, e.token())
	case Disconnected:
		return Notice, fmt.Sprintf("%s disconnected: %s%s", e.Client, e.Why, e.token())
	case NotThere:
		return Debug, fmt.Sprintf("%s was not there when it was to be disconnected (%s)", e.Client, e.Why)
	case NotDisconnected:
		return Error, fmt.Sprintf("%s could not be disconnected (%s): %s", e.Client, e.Why, e.Err)
	case Judged:
	}
	return e.judged()
}

func (e Event) judged() (Level, string) {
	switch v := e.Verdict; v.Kind {
	case verdict.Accept:
		name := e.Username
		if name == "" {
			name = "its own username"
		}
		if v.Unchecked {
			return Notice, fmt.Sprintf("%s accepted as %s without having been asked about (%s): %s%s", e.Client, name, e.Path.Key("options.revocation.onUnavailable"), v.Note, e.token())
		}
		return Debug, fmt.Sprintf("%s accepted as %s%s", e.Client, name, e.token())
	case verdict.Pending:
		return Debug, fmt.Sprintf("%s waits for its verdict%s", e.Client, e.token())
	case verdict.Defer:
		if v.Note != "" {
			return Notice, fmt.Sprintf("%s left to the next plugin or password file: it sent %s, and has to send the token alone", e.Client, v.Note)
		}
		return Debug, e.Client.String() + " left to the next plugin or password file: its password is no token"
	case verdict.Retry:
		return Notice, fmt.Sprintf("%s put off, its next attempt will be answered: %s%s", e.Client, v, e.token())
	case verdict.Deny:
	}
	return Notice, fmt.Sprintf("%s refused: %s%s", e.Client, e.Verdict, e.token())
}

// token ends a line: whose token it was about, and which.
func (e Event) token() string {
	switch {
	case e.Provider != "" && e.LogID != "":
		return fmt.Sprintf(" (provider %s, token %s)", e.Provider, e.LogID)
	case e.LogID != "":
		return fmt.Sprintf(" (token %s)", e.LogID)
	default:
		return ""
	}
}
