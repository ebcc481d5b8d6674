package harness

import (
	"fmt"
	"strings"
	"time"

	"go-jwt-auth/test/brokers"
)

// Kind is a client library and the protocol version that it speaks. Each kind
// works over TCP and over WebSocket, as the URL says.
type Kind string

// The kinds of client.
const (
	Paho3   Kind = "paho.mqtt.golang, MQTT 3.1.1"
	Paho5   Kind = "paho.golang, MQTT 5"
	MQTTJS3 Kind = "MQTT.js, MQTT 3.1.1"
	MQTTJS5 Kind = "MQTT.js, MQTT 5"
)

// Further kinds, for Persist alone. Mosquitto's own works over TCP only.
const (
	PahoPython3   Kind = "paho-mqtt (Python), MQTT 3.1.1"
	PahoPython5   Kind = "paho-mqtt (Python), MQTT 5"
	MosquittoSub3 Kind = "mosquitto_sub, MQTT 3.1.1"
	MosquittoSub5 Kind = "mosquitto_sub, MQTT 5"
)

// Protocol is the protocol level that the kind sends in CONNECT: 4 or 5.
func (k Kind) Protocol() byte {
	switch k {
	case Paho5, MQTTJS5, PahoPython5, MosquittoSub5:
		return V5
	default:
		return V311
	}
}

// The protocol levels in CONNECT (MQTT 3.1.1 §3.1.2.2, MQTT 5 §3.1.2.2).
const (
	V311 byte = 4
	V5   byte = 5
)

// Login is what a client sends in CONNECT.
type Login struct {
	ClientID string // empty: the broker makes one up
	Username *string
	Password *string // any bytes; nil: none, which is not the same as ""
	Will     *Will
	Auth     *Auth // MQTT 5 only, of Paho5 and Raw

	// Resume asks for the session that the broker has kept (clean start off).
	Resume        bool
	SessionExpiry uint32 // s, MQTT 5 only
	KeepAlive     uint16 // s, 0 for 60
	// ReceiveMaximum is how many QoS 1 and 2 messages may be under way to the client, 0 for what is usual. MQTT 5 only, of Paho5 and Raw.
	ReceiveMaximum uint16
}

// Auth is an enhanced authentication (MQTT 5 §4.12).
type Auth struct {
	Method string
	Data   string // any bytes
}

// Will is the message that the broker publishes when the client is lost.
type Will struct {
	Topic, Payload string
	QoS            byte
	Retain         bool
	Delay          uint32 // s, MQTT 5 only
}

func (l Login) keepAlive() uint16 {
	if l.KeepAlive == 0 {
		return 60
	}
	return l.KeepAlive
}

// Connack is how the broker answered CONNECT.
type Connack struct {
	// Closed: the broker closed the connection without CONNACK.
	Closed bool
	// Code is the return code of MQTT 3.1.1 or the reason code of MQTT 5: 0 if
	// the client was let in, 5 or 0x87 if it was not.
	Code           byte
	SessionPresent bool
	AssignedID     string // MQTT 5: the client id that the broker made up
	Reason         string // MQTT 5: the reason string
}

// Accepted reports whether the broker let the client in.
func (c Connack) Accepted() bool { return !c.Closed && c.Code == 0 }

// String is the answer in words.
func (c Connack) String() string {
	switch {
	case c.Closed:
		return "closed without CONNACK"
	case c.Code == 0:
		return "accepted"
	default:
		return strings.TrimSpace(fmt.Sprintf("refused with 0x%02x %s", c.Code, c.Reason))
	}
}

// Disconnect is how a connection ended.
type Disconnect struct {
	// Packet: the broker sent DISCONNECT first, with Code (MQTT 5 §3.14).
	Packet bool
	Code   byte
	At     time.Time
}

// String is the end in words.
func (d Disconnect) String() string {
	if !d.Packet {
		return "closed without DISCONNECT"
	}
	return fmt.Sprintf("disconnected with 0x%02x", d.Code)
}

// Reauth is how the broker answered a re-authentication.
type Reauth struct {
	// Closed: the connection ended without DISCONNECT, or with a packet that the client does not take there.
	Closed bool
	// Code is 0 for AUTH with success, or that of DISCONNECT.
	Code byte
}

// Accepted reports whether it succeeded.
func (r Reauth) Accepted() bool { return !r.Closed && r.Code == 0 }

// String is the answer in words.
func (r Reauth) String() string {
	switch {
	case r.Closed:
		return "closed without DISCONNECT"
	case r.Code == 0:
		return "accepted"
	default:
		return fmt.Sprintf("disconnected with 0x%02x", r.Code)
	}
}

// Message is one PUBLISH that a client got.
type Message struct {
	Topic, Payload string
	QoS            byte
	Retain         bool
	At             time.Time
}

// Client is a client that was let in, or was not: see Connack.
type Client struct {
	t       T
	kind    Kind
	driver  driver
	connack Connack

	state  state // guards what follows
	inbox  []Message
	taken  map[int]bool // indices in inbox that WaitMessage returned
	ended  *Disconnect
	closed bool // by us
}

// driver is one client library. Its methods return errors for what the broker
// can't have done, such as an answer that never came.
type driver interface {
	connect(l Login) (Connack, error)
	// subscribe returns the code in SUBACK.
	subscribe(filter string, qos byte) (byte, error)
	// publish returns the code in PUBACK or PUBREC, 0 if there is none.
	publish(topic, payload string, qos byte) (byte, error)
	disconnect()
	drop()
}

// Connect connects a client to the listener at url. It returns also when the
// broker refuses the client, and ends with the test at the latest.
func Connect(t T, url string, kind Kind, login Login) *Client {
	t.Helper()
	c := &Client{t: t, kind: kind, taken: map[int]bool{}}
	switch kind {
	case Paho3:
		c.driver = &paho3{client: c, url: url}
	case Paho5:
		c.driver = &paho5{client: c, url: url}
	case MQTTJS3, MQTTJS5:
		c.driver = &mqttjs{client: c, url: url}
	default:
		t.Fatalf("harness: there is no kind of client %q", kind)
	}
	var err error
	if c.connack, err = c.driver.connect(login); err != nil {
		t.Fatalf("harness: %s: CONNECT: %v", kind, err)
	}
	t.Cleanup(c.Drop)
	return c
}

// Connack is the broker's answer.
func (c *Client) Connack() Connack { return c.connack }

// Accepted fails the test unless the broker let the client in.
func (c *Client) Accepted() *Client {
	c.t.Helper()
	if !c.connack.Accepted() {
		c.t.Fatalf("%s: CONNECT was %v, want accepted", c.kind, c.connack)
	}
	return c
}

// Refused fails the test unless the broker answered with the code that means
// "not authorized" in the client's protocol: 5 or 0x87.
func (c *Client) Refused() {
	c.t.Helper()
	want := byte(0x05)
	if c.kind.Protocol() == V5 {
		want = 0x87
	}
	if c.connack.Closed || c.connack.Code != want {
		c.t.Fatalf("%s: CONNECT was %v, want refused with 0x%02x", c.kind, c.connack, want)
	}
}

// Unavailable fails the test unless an MQTT 5 client was refused because a server is unavailable: with 0x88 if the
// broker lets plugins say so (2.1), otherwise with 0x87.
func (c *Client) Unavailable(v brokers.Version) {
	c.t.Helper()
	want := byte(0x87)
	if v.AtLeast(2, 1) {
		want = 0x88
	}
	if c.connack.Closed || c.connack.Code != want {
		c.t.Fatalf("%s: CONNECT was %v, want refused with 0x%02x", c.kind, c.connack, want)
	}
}

// Subscribe subscribes to filter and returns the code in SUBACK: the granted
// QoS, or 0x80 and above for a refusal.
func (c *Client) Subscribe(filter string, qos byte) byte {
	c.t.Helper()
	code, err := c.driver.subscribe(filter, qos)
	if err != nil {
		c.t.Fatalf("%s: SUBSCRIBE %s: %v", c.kind, filter, err)
	}
	return code
}

// Publish publishes and returns the code in the broker's answer. It is 0 for
// QoS 0 and for MQTT 3.1.1, in which the broker can't refuse a message, and 0x87
// if an MQTT 5 client may not publish.
func (c *Client) Publish(topic, payload string, qos byte) byte {
	c.t.Helper()
	code, err := c.driver.publish(topic, payload, qos)
	if err != nil {
		c.t.Fatalf("%s: PUBLISH %s: %v", c.kind, topic, err)
	}
	return code
}

// Reauthenticate sends AUTH with reason 0x19 and new data, by the method of the client's CONNECT, and waits for the answer. Only
// clients of kind Paho5 with Login.Auth can.
func (c *Client) Reauthenticate(data string) Reauth {
	c.t.Helper()
	driver, able := c.driver.(*paho5)
	if !able {
		c.t.Fatalf("%s has no AUTH", c.kind)
	}
	answer, err := driver.reauthenticate(data)
	if err != nil {
		c.t.Fatalf("%s: AUTH: %v", c.kind, err)
	}
	return answer
}

// WaitMessage waits for the next message on topic, arrived already or to come,
// and returns it. Each message is returned once.
func (c *Client) WaitMessage(topic string) Message {
	c.t.Helper()
	found := -1
	c.state.wait(func() bool {
		for i, m := range c.inbox {
			if m.Topic == topic && !c.taken[i] {
				found, c.taken[i] = i, true
				return true
			}
		}
		return c.ended != nil
	})
	if found < 0 {
		c.t.Fatalf("%s: no message on %s; there were %v; %s", c.kind, topic, c.Messages(), c.status())
	}
	return c.Messages()[found]
}

// Messages are all messages so far, WaitMessage's included. To show that one
// does not arrive, send another that does, and wait for that first.
func (c *Client) Messages() (all []Message) {
	c.state.view(func() { all = append(all, c.inbox...) })
	return all
}

// WaitDisconnect waits for the connection to end from the other side.
func (c *Client) WaitDisconnect() (d Disconnect) {
	c.t.Helper()
	d, over := c.end()
	if !over {
		c.t.Fatalf("%s: still connected after %v", c.kind, Patience)
	}
	return d
}

// end waits for the end.
func (c *Client) end() (d Disconnect, over bool) {
	if !c.state.wait(func() bool { return c.ended != nil }) {
		return Disconnect{}, false
	}
	c.state.view(func() { d = *c.ended })
	return d, true
}

// Connected reports whether nothing has ended the connection yet, as far as
// the client knows. Subscribe shows that the broker thinks so, too.
func (c *Client) Connected() (connected bool) {
	c.state.view(func() { connected = c.connack.Accepted() && c.ended == nil && !c.closed })
	return connected
}

// Disconnect ends the connection with DISCONNECT: the broker forgets the will.
func (c *Client) Disconnect() {
	if c.close() {
		c.driver.disconnect()
	}
}

// Drop ends the connection as a broken network would: the will goes out.
func (c *Client) Drop() {
	if c.close() {
		c.driver.drop()
	}
}

func (c *Client) close() (first bool) {
	c.state.update(func() { first, c.closed = !c.closed, true })
	return first
}

func (c *Client) status() string {
	if c.Connected() {
		return "still connected"
	}
	return "no longer connected"
}

// received and lost are what drivers report, from any goroutine.
func (c *Client) received(m Message) {
	m.At = time.Now()
	c.state.update(func() { c.inbox = append(c.inbox, m) })
}

// lost counts once: the close that follows a DISCONNECT is not another end.
func (c *Client) lost(d Disconnect) {
	d.At = time.Now()
	c.state.update(func() {
		if c.ended == nil && !c.closed {
			c.ended = &d
		}
	})
}
