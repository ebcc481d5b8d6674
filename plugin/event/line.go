package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"

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
	// WithoutRights: it stays, and may do nothing, as what the endpoint says of its rights can't be read.
	WithoutRights
	// LeftPending: it left before its verdict; LeftAccepted: when that had been given.
	LeftPending
	LeftAccepted
	// Disconnected: it had to leave; NotThere: it was gone by then; NotDisconnected: the broker did not do it.
	Disconnected
	NotThere
	NotDisconnected
	// Denied: it may not do what it wants to, by its token.
	Denied
	// Renewed: it has another token now. RenewalPending: that is still to be seen. RenewalRefused: it does not, and what was stays as it
	// was, unless it is disconnected for it.
	Renewed
	RenewalPending
	RenewalRefused
	// Commanded: it is an admin, and has had something done, or was told why not.
	Commanded
)

// Event is what has happened to a client.
type Event struct {
	Kind   Kind
	Client Client
	// Method is how the token came, with Judged, LeftPending, LeftAccepted, Renewed and RenewalRefused: ByPassword, ByAuth or ByControl.
	Method string
	// Provider names who has judged its token; empty if there is but one, or none has.
	Provider string
	// Verdict belongs to Judged, NotConfirmed, NotRechecked, LeftPending, Renewed and RenewalRefused.
	Verdict verdict.Verdict
	// Until is when it must leave, with Renewed; zero: never.
	Until time.Time
	// Username is the one that it was given; zero: it keeps its own.
	Username verdict.Value
	// Sent is the username that it sent itself; zero: none, or it may be a token. Subject is the sub of a token that was found good,
	// and Took the time from CONNECT to the verdict; zero: not known. The log shows none of them.
	Sent, Subject verdict.Value
	Took          time.Duration
	// LogID names its token; empty: it sent none.
	LogID string
	// Path is where that provider's keys stand in jwt.json.
	Path config.Path
	// Command is the one of Commanded, and Why what it was to do and has done. Err is why it was not done.
	Command string
	// Why it had to leave, with Disconnected, NotThere and NotDisconnected, or has no rights, with WithoutRights; Err is why it did not. With Denied, what it may not and why.
	Why string
	Err error
	// CountedOnly: it goes to the metrics alone, as its client has caused too many such lines.
	CountedOnly bool
	// Notable has an accepted login, Denied or Commanded logged as a notice.
	Notable bool
}

// Client is who it happened to.
type Client struct {
	// ID is the client id.
	ID verdict.Value
	// Address is the network address; empty: not known.
	Address string
}

// TokenNames are the jti or else the hash that a name of a token in the log, LogID, shows; both are empty of an empty one.
func TokenNames(logID string) (jti, hash string) {
	if hash, is := strings.CutPrefix(logID, "sha256:"); is {
		return "", hash
	}
	jti = strings.TrimPrefix(logID, "jti ")
	if quoted, err := strconv.QuotedPrefix(jti); err == nil {
		jti, _ = strconv.Unquote(quoted)
	}
	return jti, ""
}

// appendTo appends what the log calls the client.
func (c Client) appendTo(line []byte) []byte {
	line = c.ID.AppendTo(append(line, "client "...))
	if c.Address == "" {
		return line
	}
	line = verdict.AppendAddress(append(line, " ["...), c.Address)
	return append(line, ']')
}

// AppendLine appends the event as the broker's log has it.
func (e *Event) AppendLine(line []byte) (Level, []byte) {
	line = e.Client.appendTo(line)
	switch e.Kind {
	case Reaffirmed:
		return Debug, append(line, " stays: the broker asked again after a reload"...)
	case NotConfirmed:
		return Notice, e.appendToken(fmt.Appendf(line, " stays without having been asked about (%s): %s", e.Path.Key("options.revocation.onUnavailable"), e.Verdict.Note))
	case NotRechecked:
		return Debug, e.appendToken(fmt.Appendf(line, " stays, though nothing was learnt about it: %s", e.Verdict))
	case WithoutRights:
		return Notice, e.appendToken(fmt.Appendf(line, " stays, and may do nothing: %s", e.Why))
	case LeftPending:
		return Debug, fmt.Appendf(line, " left before its verdict (%s)", e.Verdict)
	case LeftAccepted:
		return Info, e.appendToken(append(line, " had left when it was accepted"...))
	case Disconnected:
		return Notice, e.appendToken(fmt.Appendf(line, " disconnected: %s", e.Why))
	case NotThere:
		return Debug, fmt.Appendf(line, " was not there when it was to be disconnected (%s)", e.Why)
	case NotDisconnected:
		return Error, fmt.Appendf(line, " could not be disconnected (%s): %s", e.Why, e.Err)
	case Denied:
		line = e.appendToken(fmt.Appendf(line, " may not %s", e.Why))
		if e.Notable {
			return Notice, line
		}
		return Debug, line
	case Renewed:
		return e.appendRenewed(line)
	case RenewalPending:
		return Debug, e.appendToken(append(line, " waits for the verdict on its renewal"...))
	case RenewalRefused:
		return Notice, e.appendToken(fmt.Appendf(line, " not renewed: %s", e.Verdict))
	case Commanded:
		line = append(append(line, " commanded "...), e.Command...)
		if e.Why != "" {
			line = append(append(line, ' '), e.Why...)
		}
		if e.Err != nil {
			line = fmt.Appendf(line, ": not done: %s", e.Err)
		}
		if e.Notable {
			return Notice, line
		}
		return Debug, line
	case Judged:
	}
	return e.appendJudged(line)
}

func (e *Event) appendRenewed(line []byte) (Level, []byte) {
	line = append(line, " renewed, and may stay "...)
	if e.Until.IsZero() {
		line = append(line, "without end"...)
	} else {
		line = e.Until.UTC().AppendFormat(append(line, "until "...), time.RFC3339)
	}
	if e.Verdict.Unchecked {
		return Notice, e.appendToken(fmt.Appendf(line, " without having been asked about (%s): %s", e.Path.Key("options.revocation.onUnavailable"), e.Verdict.Note))
	}
	return Debug, e.appendToken(line)
}

func (e *Event) appendJudged(line []byte) (Level, []byte) {
	switch v := e.Verdict; v.Kind {
	case verdict.Accept:
		line = append(line, " accepted as "...)
		if e.Username == (verdict.Value{}) {
			line = append(line, "its own username"...)
		} else {
			line = e.Username.AppendTo(line)
		}
		if v.Unchecked {
			return Notice, e.appendToken(fmt.Appendf(line, " without having been asked about (%s): %s", e.Path.Key("options.revocation.onUnavailable"), v.Note))
		}
		if e.Notable {
			return Notice, e.appendToken(line)
		}
		return Debug, e.appendToken(line)
	case verdict.Pending:
		return Debug, e.appendToken(append(line, " waits for its verdict"...))
	case verdict.Defer:
		if v.Note != "" {
			return Notice, fmt.Appendf(line, " left to the next plugin or password file: it sent %s, and has to send the token alone", v.Note)
		}
		return Debug, append(line, " left to the next plugin or password file: its password is no token"...)
	case verdict.Retry:
		return Notice, e.appendToken(fmt.Appendf(line, " put off, its next attempt will be answered: %s", v))
	case verdict.Deny:
	}
	return Notice, e.appendToken(fmt.Appendf(line, " refused: %s", e.Verdict))
}

// appendToken ends a line: whose token it was about, and which.
func (e *Event) appendToken(line []byte) []byte {
	if e.LogID == "" {
		return line
	}
	line = append(line, " ("...)
	if e.Provider != "" {
		line = append(append(append(line, "provider "...), e.Provider...), ", "...)
	}
	return append(append(append(line, "token "...), e.LogID...), ')')
}
