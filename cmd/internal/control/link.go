package control

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
)

const (
	keepAlive = 30 // seconds

	// maxPacket bounds what the broker may send, in bytes. The plugin's answers stay far below.
	maxPacket = 32 << 20

	// attempts is how often a login is tried that the broker ends without CONNACK, as it does where the plugin has to ask for
	// keys first.
	attempts = 4
)

// link is one connection.
type link struct {
	patience time.Duration
	mqtt     *paho.Client

	mu      sync.Mutex // guards all below
	asked   int
	waiting map[string]chan<- response
	why     string // the connection has ended, as the broker says
}

// response is an answer as it came.
type response struct {
	Command         string          `json:"command"`
	CorrelationData string          `json:"correlationData"`
	Data            json.RawMessage `json:"data"`
	Error           *string         `json:"error"`

	err error // in the place of an answer
}

// connect makes a connection and logs in.
func (c *Client) connect(ctx context.Context) (*link, error) {
	for n := 1; ; n++ {
		l, err := c.connectOnce(ctx)
		if n == attempts || !errors.Is(err, errPutOff) {
			return l, err
		}
		if err := pause(ctx, c.o.Pause); err != nil {
			return nil, err
		}
	}
}

func (c *Client) connectOnce(ctx context.Context) (*link, error) {
	login := &paho.Connect{
		ClientID:   "go-jwt-auth-" + rand.Text()[:12], // 60 bits
		KeepAlive:  keepAlive,
		CleanStart: true,
		Properties: &paho.ConnectProperties{ReceiveMaximum: new(uint16(64)), MaximumPacketSize: new(uint32(maxPacket))},
	}
	if c.o.Username != nil {
		login.UsernameFlag, login.Username = true, *c.o.Username
	}
	if c.o.Password != nil {
		password, err := c.o.Password()
		if err != nil {
			return nil, err
		}
		login.PasswordFlag, login.Password = true, []byte(password)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Patience, errSilent)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, &ConnectError{URL: c.URL(), err: cause(ctx, err)}
	}
	l := &link{patience: c.o.Patience, waiting: map[string]chan<- response{}}
	l.mqtt = paho.NewClient(paho.ClientConfig{
		Conn:               conn,
		PacketTimeout:      c.o.Patience,
		AuthHandler:        noAuth{},
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){l.received},
		OnServerDisconnect: func(d *paho.Disconnect) { l.lost("it disconnects with " + codeText(d.ReasonCode)) },
		OnClientError:      func(err error) { l.lost(err.Error()) },
	})
	answer, err := l.mqtt.Connect(ctx, login)
	switch {
	case err == nil:
		return l, nil
	case answer != nil:
		return nil, &ConnectError{URL: c.URL(), Code: answer.ReasonCode, anonymous: c.o.Password == nil && c.o.CertFile == ""}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || websocket.IsUnexpectedCloseError(err):
		return nil, &ConnectError{URL: c.URL(), err: errPutOff}
	}
	return nil, &ConnectError{URL: c.URL(), err: cause(ctx, err)}
}

// cause is why ctx has ended, if err is nothing but that.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// noAuth answers an enhanced authentication that nobody has asked for; without it the library panics.
type noAuth struct{}

func (noAuth) Authenticate(a *paho.Auth) *paho.Auth { return a }
func (noAuth) Authenticated()                       {}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	switch c.url.Scheme {
	case "ws", "wss":
		web := websocket.Dialer{TLSClientConfig: c.tls, Subprotocols: []string{"mqtt"}, NetDialContext: dialer.DialContext}
		ws, answer, err := web.DialContext(ctx, c.url.String(), nil)
		if errors.Is(err, websocket.ErrBadHandshake) && answer != nil {
			return nil, fmt.Errorf("no WebSocket there: HTTP status %d", answer.StatusCode)
		}
		if err != nil {
			return nil, err
		}
		ws.SetReadLimit(maxPacket)
		return &wsConn{Conn: ws}, nil
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.url.Host)
	if err != nil || c.tls == nil {
		return conn, err
	}
	secure := tls.Client(conn, c.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake says more
		return nil, err
	}
	return packets.NewThreadSafeConn(secure), nil
}

// wsConn makes one stream of a WebSocket's messages (MQTT 5 §6). Its lock is the packets' writers'.
type wsConn struct {
	*websocket.Conn
	sync.Mutex
	message io.Reader
}

// Read implements net.Conn.
func (w *wsConn) Read(p []byte) (int, error) {
	for {
		if w.message == nil {
			var err error
			if _, w.message, err = w.NextReader(); err != nil {
				return 0, err
			}
		}
		n, err := w.message.Read(p)
		if errors.Is(err, io.EOF) {
			w.message, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

// Write implements net.Conn.
func (w *wsConn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // at an empty message Mosquitto 2.1.2 loses its place in the stream (eclipse-mosquitto/mosquitto#3704)
	}
	if err := w.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline implements net.Conn.
func (w *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// ask sends a command and waits for its answer.
func (l *link) ask(ctx context.Context, command string, args any) (json.RawMessage, error) {
	answers := make(chan response, 1)
	correlation := l.expect(answers)
	defer l.forget(correlation)
	message, err := request(command, correlation, args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.patience, ErrNoAnswer)
	defer cancel()
	ack, err := l.mqtt.Publish(ctx, &paho.Publish{Topic: Topic, QoS: 1, Payload: message})
	switch {
	case ack != nil && ack.ReasonCode >= 0x80:
		return nil, &DeniedError{Code: ack.ReasonCode}
	case err != nil && !l.lives():
		return nil, l.end()
	case err != nil:
		return nil, cause(ctx, err)
	}
	select {
	case a := <-answers:
		return a.take(command)
	case <-l.mqtt.Done():
		return nil, l.end()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take is the answer to a command.
func (a response) take(command string) (json.RawMessage, error) {
	switch {
	case a.err != nil:
		return nil, a.err
	case a.Error != nil:
		return nil, &AnswerError{Command: command, Text: *a.Error}
	}
	return a.Data, nil
}

// request is the message that asks for a command.
func request(command, correlation string, args any) ([]byte, error) {
	members := map[string]any{}
	if args != nil {
		text, err := json.Marshal(args)
		if err != nil {
			return nil, err
		}
		further := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &further); err != nil {
			return nil, err
		}
		for name, value := range further {
			members[name] = value
		}
	}
	members["command"], members["correlationData"] = command, correlation
	return json.Marshal(map[string]any{"commands": []any{members}})
}

func (l *link) expect(answers chan<- response) (correlation string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	correlation = strconv.Itoa(l.asked)
	l.waiting[correlation] = answers
	return correlation
}

func (l *link) forget(correlation string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, correlation)
}

// received takes the broker's messages. Nothing is subscribed to: they are for this client alone.
func (l *link) received(r paho.PublishReceived) (bool, error) {
	if r.Packet.Topic != responseTopic {
		return false, nil
	}
	var message struct {
		Responses []response `json:"responses"`
		// Error is Mosquitto 2.1's own answer if no plugin serves the topic.
		Error string `json:"error"`
	}
	if err := json.Unmarshal(r.Packet.Payload, &message); err != nil {
		l.fail(fmt.Errorf("an answer that can't be read: %w", err))
		return true, nil
	}
	if message.Error != "" {
		l.fail(ErrNoPlugin)
		return true, nil
	}
	for _, each := range message.Responses {
		l.answer(each)
	}
	return true, nil
}

// answer hands an answer to whoever waits for it. One that names nobody is about a message that the plugin could not read.
func (l *link) answer(a response) {
	if a.CorrelationData == "" && a.Error != nil {
		l.fail(&AnswerError{Text: *a.Error})
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if to, is := l.waiting[a.CorrelationData]; is {
		delete(l.waiting, a.CorrelationData) // it has room for one
		to <- a
	}
}

// fail ends the wait of all.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for correlation, to := range l.waiting {
		delete(l.waiting, correlation)
		to <- response{err: err}
	}
}

// lost notes why the connection ends; the first reason counts.
func (l *link) lost(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == "" {
		l.why = why
	}
}

func (l *link) lives() bool {
	select {
	case <-l.mqtt.Done():
		return false
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.why == ""
	}
}

// end is why the connection has ended.
func (l *link) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == "" {
		return errLost
	}
	return fmt.Errorf("%w: %s", errLost, l.why)
}

func (l *link) close() {
	l.lost("closed")
	_ = l.mqtt.Disconnect(&paho.Disconnect{}) // the broker may have gone
	<-l.mqtt.Done()
}
