package harness

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// conn is a connection to a broker that remembers whether the other side ended
// it, which client libraries report in many ways. It is a sync.Locker because
// paho.golang writes a packet in several pieces.
type conn struct {
	net.Conn
	sync.Mutex
	ended atomic.Bool
}

// dial connects to a listener, over TCP or WebSocket as the address says; header is for the latter alone.
func dial(address string, header http.Header) (*conn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	var c net.Conn
	if u.Scheme == "ws" {
		c, err = mqtt.NewWebsocket(address, nil, Patience, header, nil)
	} else {
		c, err = net.DialTimeout("tcp", u.Host, Patience)
	}
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.note(err)
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if len(b) == 0 {
		// Over WebSocket this would be an empty frame, at which Mosquitto 2.1.2
		// loses its place in the stream (eclipse-mosquitto/mosquitto#3704).
		return 0, nil
	}
	n, err := c.Conn.Write(b)
	c.note(err)
	return n, err
}

func (c *conn) note(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.ended.Store(true)
	}
}

// refusal is the outcome of a CONNECT that failed with err and no CONNACK: the
// broker closed the connection, or something else went wrong.
func (c *conn) refusal(err error) (Connack, error) {
	if c.ended.Load() {
		return Connack{Closed: true}, nil
	}
	return Connack{}, err
}
