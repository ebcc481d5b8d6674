// Package broker says what the house asks of Mosquitto, and in which values the broker's events come. The border in cgo/
// implements it; below it stands a fake in the tests.
package broker

import (
	"errors"
	"time"

	"go-jwt-auth/plugin/event"
)

// Conn identifies a connection for as long as the broker keeps it. It is an address, so it comes back with another
// client behind it once the broker has let go of the first.
type Conn uintptr

// Connect is what a client says of itself in CONNECT (MQTT 5 §3.1), and by which connection. The broker may show it again
// after SIGHUP: with the username and client id that the client was given, and the password that it sent.
type Connect struct {
	Conn     Conn
	ClientID string
	// Username and Password are nil if the CONNECT has none.
	Username, Password *string
	// Address is the client's network address, for the log.
	Address string
	// Began is when it came; zero: nobody wants to know.
	Began time.Time
	// ByAuth: it came by enhanced authentication (see ExtAuth).
	ByAuth bool
	// IDIsToken and NameIsToken say of one that is connected that its client id, or its username, is a token, which no message may show.
	IDIsToken, NameIsToken bool
}

// ExtAuth is what a client shows in an enhanced authentication (MQTT 5 §4.12): in its CONNECT, whose Password is then not
// shown, and again with each re-authentication, by the same connection, with the username and client id that it was given. The broker
// does not tell the two apart.
type ExtAuth struct {
	Connect
	Method string
	// Data is the Authentication Data, at most 65,535 bytes, which may hold any; empty if there is none.
	Data string
}

// Message is what a client published to a $CONTROL topic. It goes to no other client.
type Message struct {
	Conn     Conn
	ClientID string
	// Username is nil if the client has none.
	Username *string
	Topic    string
	// Caller numbers the connection among those that have sent any, for the one who takes the message: its address may be another's when
	// there is an answer.
	Caller uint64
	// Payload, of up to 256 MiB, is the broker's memory, for as long as the event takes.
	Payload []byte
}

// Access is what a client wants to do with a topic.
type Access uint8

// The values are the broker's.
const (
	// Read is the delivery of a message, a retained or queued one included.
	Read Access = 1
	// Write is a publish, that of the client's will included.
	Write Access = 2
	// Subscribe and Unsubscribe are about a topic filter.
	Subscribe   Access = 4
	Unsubscribe Access = 8
)

// ACLCheck asks whether a client may do something. Its strings are the broker's memory, for as long as the event takes: to keep one is
// to clone it. It comes after Disconnect, too, for the client's will, and for clients that are away.
type ACLCheck struct {
	// Conn is 0 if it is about the publisher of a retained message that is to be delivered to somebody, by what the broker has noted of it
	// (`check_retain_source`); Access is Write then.
	Conn Conn
	// ClientID and Username are empty if there is none.
	ClientID, Username string
	Access             Access
	// Topic is a topic name; with Subscribe and Unsubscribe a filter, "$share/group/" included.
	Topic string
	// QoS and Retain are set with Read and Write.
	QoS    uint8
	Retain bool
}

// ClientInfo is what the broker tells of a client. Of one that is away, with a session that is kept, all is as it was when it was
// connected last; one that was restored after a restart, or that is a bridge of the broker's own, has no address.
type ClientInfo struct {
	Conn     Conn
	ClientID string
	// Username is nil if there is none.
	Username *string
	// Address is a network address, for reading alone.
	Address string
	// KeepAlive is in seconds; 0: none.
	KeepAlive uint16
	WebSocket bool
	// Version of MQTT: 3 (3.1), 4 (3.1.1) or 5.
	Version       uint8
	Subscriptions int
	// CleanStart is what CONNECT said.
	CleanStart bool
	// Port is that of its listener; 0: not told (2.0), or none.
	Port uint16
	// Certificate: it has shown a TLS certificate.
	Certificate bool
}

// ErrTaken is Control's answer for a topic that another plugin, or another instance of this one, is registered for.
var ErrTaken = errors.New("another plugin or plugin line has it")

// ErrNotConnected is Kick's answer for a client id that nobody is connected with.
var ErrNotConnected = errors.New("no such client is connected")

// Broker is all that the plugin asks of Mosquitto. Except for Wake, its methods are called from inside the broker's
// callbacks only, since the broker is one thread and not made for others.
type Broker interface {
	// Log writes one line, which type Log has made fit for it, to the broker's log, and keeps nothing of it.
	Log(level event.Level, line []byte)
	// SetUsername and SetClientID change the identity of a client that is logging in.
	SetUsername(conn Conn, username string) error
	SetClientID(conn Conn, id string) error
	// CanSetClientID is false for Mosquitto 2.0.
	CanSetClientID() bool
	// CanDelay is false for Mosquitto 2.0. Elsewhere BasicAuth may answer Pending, and Complete, from Tick alone, gives the
	// verdict on the login that is pending by that client id; if there is none, nothing happens. Disconnect may be
	// called from inside it.
	CanDelay() bool
	Complete(clientID string, accepted bool)
	// TellsOfConnects is false for Mosquitto 2.0. Elsewhere Connect is called for every client that is let in, by any plugin.
	TellsOfConnects() bool
	// IsConnectedAs tells whether the connection that the broker knows by clientID is conn. True if it can't say (2.0).
	IsConnectedAs(clientID string, conn Conn) bool
	// Knows tells whether the broker surely knows the connection by this id already, as that of a client that is connected
	// or away: then it is asking again, and nobody is just connecting. 2.0 can say so of a client with subscriptions, and,
	// until the first Tick after Reload (beforeTick), of one that is not connected over WebSockets.
	Knows(clientID string, conn Conn, beforeTick bool) bool
	// Session is the username of the session that the broker keeps under a client id, whether its client is connected or
	// away; there is false if it keeps none. 2.0 can't say (known is false).
	Session(clientID string) (username string, there, known bool)
	// Client tells of a connection of which the broker surely knows at this moment, as one of its events is about it.
	Client(conn Conn) ClientInfo
	// EachClient calls f for every client of the broker that has been let in, in no order: those that are away and bridges included. The
	// strings are the broker's memory: to keep one is to clone it, Username too. f must not call what may free a client (Kick,
	// Complete). False, without a call: the broker can't (2.0).
	EachClient(f func(ClientInfo)) bool
	// Kick disconnects the client that is connected as clientID. Disconnect is called from inside it.
	Kick(clientID string, withWill bool) error
	// Publish sends a message, with QoS 1, to the client that is connected as clientID, whatever it has subscribed to and may
	// read. Nobody gets it if nobody is. It is copied.
	Publish(clientID, topic string, payload []byte) error
	// Control registers for what is published to a $CONTROL topic, or ends that. Mosquitto 2.1 has one registration of a topic, for the
	// clients of all listeners, and answers ErrTaken to further ones; 2.0 has one for each listener with plugins of its own.
	// Like the next two it is called from New and Tick, never from inside of the event in question, and may be called with what is so
	// already.
	Control(topic string, on bool) error
	// CheckACL registers for ACLCheck, or ends that, at once. While any plugin is registered, the broker denies what all of them
	// defer and no ACL file allows.
	CheckACL(on bool) error
	// ExtAuths registers for ExtAuth, or ends that.
	ExtAuths(on bool) error
	// AskAbout says whether ACLCheck is called for a connection, from now on also about what was accepted so that it lasts. For all others the check is deferred. It is to be called with false
	// before the broker frees the connection, of which nothing is told after Disconnect and the check of a will.
	AskAbout(conn Conn, ask bool)
	// TakeAccepted is how many accesses were accepted since it was called last without ACLCheck, as an answer of before lasts.
	TakeAccepted() uint64
	// MayKeepWill tells, from inside of Disconnect, whether the broker may ask about the client's will later: with MQTT 5 it may have a
	// delay, of which nothing is said.
	MayKeepWill(conn Conn) bool
	// PersistenceLocation is where the broker keeps its files; empty if it does not say (2.0).
	PersistenceLocation() string
	// TickIn asks for Tick once so much time has passed, by a clock that nobody sets. The last call counts.
	TickIn(wait time.Duration)
	// Wake asks for Tick at once, and may be lost. From any goroutine.
	Wake()
}
