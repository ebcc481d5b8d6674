package plugin

import (
	"errors"
	"time"

	"go-jwt-auth/plugin/session"
)

// Level is the importance of a log line, as Mosquitto's log_type knows it.
type Level uint8

// The levels, most important first.
const (
	Error Level = iota
	Warning
	Notice
	Info
	Debug
)

// Client identifies a connection of the broker.
type Client = session.Client

// ErrNotConnected is Kick's answer for a client id that nobody is connected with.
var ErrNotConnected = errors.New("no such client is connected")

// Broker is all that a Plugin asks of Mosquitto. Except for Wake, its methods are called from inside the broker's
// callbacks only, since the broker is one thread and not made for others.
type Broker interface {
	// Log writes one line to the broker's log.
	Log(level Level, line string)
	// SetUsername and SetClientID change the identity of a client that is logging in.
	SetUsername(client Client, username string) error
	SetClientID(client Client, id string) error
	// CanSetClientID is false for Mosquitto 2.0.
	CanSetClientID() bool
	// CanDelay is false for Mosquitto 2.0. Elsewhere BasicAuth may answer Pending, and Complete, from Tick alone, gives the
	// verdict on the login that is pending by that client id; where there is none, nothing happens. Disconnect may be
	// called from inside it.
	CanDelay() bool
	Complete(clientID string, accepted bool)
	// Holds tells whether the connection that the broker knows by clientID is client. True where it can't say (2.0).
	Holds(clientID string, client Client) bool
	// Kick disconnects the client that is connected as clientID. Disconnect is called from inside it.
	Kick(clientID string, withWill bool) error
	// PersistenceLocation is where the broker keeps its files; empty where it does not say (2.0).
	PersistenceLocation() string
	// TickAt asks for Tick once at has come; zero: not at all. The last call counts.
	TickAt(at time.Time)
	// Wake asks for Tick at once, and may be lost. From any goroutine.
	Wake()
}
