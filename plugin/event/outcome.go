package event

import (
	"strings"
	"time"

	"go-jwt-auth/plugin/verdict"
)

// How a token comes.
const (
	// ByPassword is a CONNECT with username and password, of which either may hold it, or none.
	ByPassword = "password"
	// ByAuth is enhanced authentication (MQTT 5 §4.12), in a CONNECT or as a re-authentication.
	ByAuth = "auth"
	// ByControl is a message to a $CONTROL topic.
	ByControl = "control"
)

// MethodOf is ByAuth if it is that, else the other.
func MethodOf(byAuth bool, other string) string {
	if byAuth {
		return ByAuth
	}
	return other
}

// Outcome is what an event comes to, in the words that the audit trail and the metrics share. They are stable.
type Outcome struct {
	About, Result string
	Reason        verdict.Reason
	// Detail is one line for people; empty: there is none.
	Detail string
}

// What an Outcome is about.
const (
	// Login: Accepted, Refused, Deferred, PutOff or Left.
	Login = "login"
	// Confirmation is what was learnt of a client that was admitted first and asked about afterwards (afterConnect), if that was
	// nothing: Unanswered.
	Confirmation = "confirmation"
	// Renewal is a token that was to take the place of a session's: Accepted or Refused.
	Renewal = "renewal"
	// Kick is a client that had to leave: Done or Failed.
	Kick = "disconnect"
	// Command is one of an admin: Done or Refused.
	Command = "command"
)

// The results.
const (
	Accepted   = "accepted"
	Refused    = "refused"
	Deferred   = "deferred"
	PutOff     = "putOff"
	Left       = "left"
	Unanswered = "unanswered"
	Done       = "done"
	Failed     = "failed"
)

// Outcome is what the event comes to; false if nothing has been decided by it.
func (e *Event) Outcome() (o Outcome, is bool) {
	v := e.Verdict
	switch e.Kind {
	case Judged:
		return judged(v)
	case LeftPending, LeftAccepted:
		return Outcome{Login, Left, v.Reason, v.Detail}, true
	case NotConfirmed:
		return Outcome{Confirmation, Unanswered, "", v.Note}, true
	case Disconnected:
		reason, detail := verdict.Split(e.Why)
		return Outcome{Kick, Done, reason, detail}, true
	case NotDisconnected:
		reason, detail := verdict.Split(e.Why)
		return Outcome{Kick, Failed, reason, detail + "; " + e.Err.Error()}, true
	case Renewed, RenewalRefused:
		o, is = judged(v)
		o.About = Renewal
		return o, is
	case Commanded:
		if e.Err != nil {
			return Outcome{Command, Refused, "", strings.TrimPrefix(e.Why+": "+e.Err.Error(), ": ")}, true
		}
		return Outcome{Command, Done, "", e.Why}, true
	case Reaffirmed, NotRechecked, NotThere, RenewalPending, Denied, WithoutRights: // nothing has changed
	}
	return Outcome{}, false
}

func judged(v verdict.Verdict) (o Outcome, is bool) {
	switch v.Kind {
	case verdict.Accept:
		return Outcome{Login, Accepted, "", v.Note}, true
	case verdict.Retry:
		return Outcome{Login, PutOff, v.Reason, v.Detail}, true
	case verdict.Deny:
		return Outcome{Login, Refused, v.Reason, v.Detail}, true
	case verdict.Defer:
		return Outcome{Login, Deferred, "", v.Note}, true
	case verdict.Pending:
	}
	return Outcome{}, false
}

// Request is a question to a provider that has been answered or has failed, or the look into what is remembered that spared one.
type Request struct {
	// Provider is the name of the one that was asked; empty: it has none.
	Provider string
	For      Purpose
	Result   string
	// Took is how long it took; zero for a look.
	Took time.Duration
}

// Purpose is what a provider is asked for.
type Purpose uint8

const (
	// Keys are read: Done or Failed.
	Keys Purpose = iota
	// Introspection is done, or what stands in its place: Active, Inactive or Failed.
	Introspection
	// Lookup is the look for an answer that is remembered: Hit or Miss.
	Lookup
)

// What comes of a Request besides Done and Failed.
const (
	Active   = "active"
	Inactive = "inactive"
	Hit      = "hit"
	Miss     = "miss"
)
