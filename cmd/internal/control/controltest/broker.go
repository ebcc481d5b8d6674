// Package controltest is the other end of package control, for tests alone: a listener that takes logins and commands as
// Mosquitto does, and answers as the plugin does, or as neither would. What the two really do, test/e2e shows.
package controltest

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/gorilla/websocket"
)

// Command is a command as it came.
type Command map[string]any

// Name is the command's.
func (c Command) Name() string { return c.text("command") }

func (c Command) text(member string) string { s, _ := c[member].(string); return s }

func (c Command) number(member string, otherwise uint64) uint64 {
	if n, is := c[member].(float64); is {
		return uint64(n)
	}
	return otherwise
}

// Broker answers commands. Its functions are called by one goroutine for each connection.
type Broker struct {
	// Login returns CONNACK's reason code; Close ends the connection instead. nil: 0.
	Login func(*packets.Connect) byte
	// Publish returns PUBACK's reason code, for a message with commands. nil: 0. One of 0x80 or more is not answered otherwise.
	Publish func() byte
	// Answer returns what is answered to a command. Silence says nothing, Close ends the connection.
	Answer func(Command) (data any, err string)
	// Raw returns the whole answer to a message, in the place of Answer.
	Raw func(message []byte) (answer []byte)

	mu    sync.Mutex // guards conns, and the functions once it has been started
	conns []io.Closer
}

// Change has f change the functions of a broker that has been started.
func (b *Broker) Change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// functions are what they are now.
func (b *Broker) functions() (login func(*packets.Connect) byte, publish func() byte, answer func(Command) (any, string), raw func([]byte) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Login, b.Publish, b.Answer, b.Raw
}

// Close as a reason code ends the connection without an answer; so does Hangup as an error. Silence as an error is none at all.
const (
	Close   byte = 255
	Hangup       = "hang up"
	Silence      = "silence"
)

// Start listens for one of mqtt, mqtts, ws and wss, the two with TLS by config, and returns the address.
func (b *Broker) Start(t testing.TB, scheme string, config *tls.Config) (url string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := scheme + "://" + listener.Addr().String()
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	t.Cleanup(func() { _ = listener.Close(); b.Drop() })
	if strings.HasPrefix(scheme, "ws") {
		server := &http.Server{Handler: http.HandlerFunc(b.upgrade), ErrorLog: log.New(io.Discard, "", 0)} //nolint:gosec // a test's
		go func() { _ = server.Serve(listener) }()
		return address
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	return address
}

// Drop ends all connections.
func (b *Broker) Drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		_ = conn.Close()
	}
	b.conns = nil
}

func (b *Broker) upgrade(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	toUs, fromClient := io.Pipe()
	go func() {
		for {
			_, message, err := conn.ReadMessage()
			if err != nil || len(message) == 0 { // Mosquitto 2.1.2 does not take it well
				_ = fromClient.CloseWithError(io.EOF)
				return
			}
			_, _ = fromClient.Write(message)
		}
	}()
	b.serve(struct {
		io.Reader
		io.WriteCloser
	}{toUs, messages{conn}})
}

// messages sends each Write as one.
type messages struct{ *websocket.Conn }

func (m messages) Write(p []byte) (int, error) {
	return len(p), m.WriteMessage(websocket.BinaryMessage, p)
}

func (b *Broker) serve(conn io.ReadWriteCloser) {
	b.mu.Lock()
	b.conns = append(b.conns, conn)
	b.mu.Unlock()
	defer func() { _ = conn.Close() }()
	for {
		packet, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		switch p := packet.Content.(type) {
		case *packets.Connect:
			code := byte(0)
			if login, _, _, _ := b.functions(); login != nil {
				code = login(p)
			}
			if code == Close {
				return
			}
			answer := packets.ControlPacket{
				FixedHeader: packets.FixedHeader{Type: packets.CONNACK},
				Content:     &packets.Connack{ReasonCode: code, Properties: &packets.Properties{}},
			}
			if _, err := answer.WriteTo(conn); err != nil || code >= 0x80 {
				return
			}
		case *packets.Publish:
			if !b.publish(conn, p) {
				return
			}
		case *packets.Pingreq:
			_, _ = packets.NewControlPacket(packets.PINGRESP).WriteTo(conn)
		case *packets.Disconnect:
			return
		}
	}
}

func (b *Broker) publish(conn io.Writer, p *packets.Publish) (goOn bool) {
	content := &packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}}
	if _, publish, _, _ := b.functions(); publish != nil {
		content.ReasonCode = publish()
	}
	ack := packets.ControlPacket{FixedHeader: packets.FixedHeader{Type: packets.PUBACK}, Content: content}
	if _, err := ack.WriteTo(conn); err != nil {
		return false
	}
	if content.ReasonCode >= 0x80 {
		return true
	}
	answer, err := b.answer(p.Payload)
	if err != nil {
		return false
	}
	if answer == nil {
		return true
	}
	message := packets.ControlPacket{
		FixedHeader: packets.FixedHeader{Type: packets.PUBLISH},
		Content:     &packets.Publish{Topic: p.Topic + "/response", Payload: answer, Properties: &packets.Properties{}},
	}
	_, err = message.WriteTo(conn)
	return err == nil
}

func (b *Broker) answer(message []byte) ([]byte, error) {
	_, _, answer, raw := b.functions()
	if raw != nil {
		return raw(message), nil
	}
	var asked struct {
		Commands []Command `json:"commands"`
	}
	if err := json.Unmarshal(message, &asked); err != nil {
		return nil, err
	}
	var responses []any
	for _, command := range asked.Commands {
		response := map[string]any{"command": command.Name(), "correlationData": command["correlationData"]}
		data, err := answer(command)
		switch err {
		case Hangup:
			return nil, errors.New(err)
		case Silence:
			return nil, nil
		case "":
			response["data"] = data
		default:
			response["error"] = err
		}
		responses = append(responses, response)
	}
	return json.Marshal(map[string]any{"responses": responses})
}
