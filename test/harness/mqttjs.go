package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"go-jwt-auth/test/brokers"
)

// mqttjs is MQTT.js in a node of its own, which ends when its standard input
// does: see mqttjs/client.mjs.
type mqttjs struct {
	client *Client
	url    string
	in     io.WriteCloser

	state   state // guards what follows
	nextID  int
	answers map[int]jsAnswer
	gone    error // why no further answer can come
}

// jsRequest is one line to node. Bytes go as base64.
type jsRequest struct {
	ID       int      `json:"id"`
	Op       string   `json:"op"`
	URL      string   `json:"url,omitempty"`
	Protocol byte     `json:"protocol,omitempty"`
	Login    *jsLogin `json:"login,omitempty"`
	Filter   string   `json:"filter,omitempty"`
	Topic    string   `json:"topic,omitempty"`
	Payload  []byte   `json:"payload"`
	QoS      byte     `json:"qos"`
}

type jsLogin struct {
	ClientID      string  `json:"clientId"`
	Username      *string `json:"username,omitempty"`
	Password      *[]byte `json:"password,omitempty"`
	Clean         bool    `json:"clean"`
	KeepAlive     uint16  `json:"keepAlive"`
	SessionExpiry uint32  `json:"sessionExpiry"`
	Will          *jsWill `json:"will,omitempty"`
}

type jsWill struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
	Delay   uint32 `json:"delay"`
}

// jsAnswer is one line from node: the answer to a request, the end of the
// connection, or a message.
type jsAnswer struct {
	ID    int    `json:"id"`
	Error string `json:"error"`

	Code           byte   `json:"code"`
	Closed         bool   `json:"closed"`
	SessionPresent bool   `json:"sessionPresent"`
	AssignedID     string `json:"assignedId"`
	Reason         string `json:"reason"`

	End    bool `json:"end"`
	Packet bool `json:"packet"`

	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
}

func (m *mqttjs) connect(l Login) (Connack, error) {
	if err := m.start(); err != nil {
		return Connack{}, err
	}
	a, err := m.ask(jsRequest{Op: "connect", URL: m.url, Protocol: m.client.kind.Protocol(), Login: newJSLogin(l)})
	return Connack{
		Closed: a.Closed, Code: a.Code, SessionPresent: a.SessionPresent,
		AssignedID: a.AssignedID, Reason: a.Reason,
	}, err
}

func newJSLogin(l Login) *jsLogin {
	login := &jsLogin{
		ClientID: l.ClientID, Username: l.Username, Clean: !l.Resume,
		KeepAlive: l.keepAlive(), SessionExpiry: l.SessionExpiry,
	}
	if l.Password != nil {
		password := []byte(*l.Password)
		login.Password = &password
	}
	if w := l.Will; w != nil {
		login.Will = &jsWill{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain, Delay: w.Delay}
	}
	return login
}

// node is the command that runs one of the scripts in mqttjs.
func node(script string) ([]string, error) {
	root, err := brokers.Root()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(root, "test", "harness", "mqttjs")
	if _, err := os.Stat(filepath.Join(home, "node_modules")); err != nil {
		return nil, fmt.Errorf("%w; `make test` installs MQTT.js", err)
	}
	return []string{"node", filepath.Join(home, script)}, nil
}

// start starts node.
func (m *mqttjs) start() error {
	command, err := node("client.mjs")
	if err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if m.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.answers = map[int]jsAnswer{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := m.read(out)
		err = errors.Join(err, cmd.Wait())
		m.state.update(func() { m.gone = fmt.Errorf("node has ended: %w\n%s", err, complaints.String()) })
	}()
	m.client.t.Cleanup(func() {
		_ = m.in.Close()
		<-ended
	})
	return nil
}

func (m *mqttjs) read(from io.Reader) error {
	lines := json.NewDecoder(from)
	for {
		var a jsAnswer
		if err := lines.Decode(&a); err != nil {
			return err
		}
		switch {
		case a.ID != 0:
			m.state.update(func() { m.answers[a.ID] = a })
		case a.End:
			m.client.lost(Disconnect{Packet: a.Packet, Code: a.Code})
		default:
			m.client.received(Message{Topic: a.Topic, Payload: string(a.Payload), QoS: a.QoS, Retain: a.Retain})
		}
	}
}

// ask sends one request and waits for its answer.
func (m *mqttjs) ask(r jsRequest) (jsAnswer, error) {
	m.state.update(func() {
		m.nextID++
		r.ID = m.nextID
	})
	text, err := json.Marshal(r)
	if err != nil {
		return jsAnswer{}, err
	}
	if _, err := m.in.Write(append(text, '\n')); err != nil {
		return jsAnswer{}, err
	}
	var a jsAnswer
	var answered bool
	err = errNoAnswer
	m.state.wait(func() bool {
		if a, answered = m.answers[r.ID]; answered {
			err = nil
		} else if m.gone != nil {
			err = m.gone
		}
		return answered || m.gone != nil
	})
	if a.Error != "" {
		err = errors.New(a.Error)
	}
	return a, err
}

func (m *mqttjs) subscribe(filter string, qos byte) (byte, error) {
	a, err := m.ask(jsRequest{Op: "subscribe", Filter: filter, QoS: qos})
	return a.Code, err
}

func (m *mqttjs) publish(topic, payload string, qos byte) (byte, error) {
	a, err := m.ask(jsRequest{Op: "publish", Topic: topic, Payload: []byte(payload), QoS: qos})
	return a.Code, err
}

func (m *mqttjs) disconnect() { _, _ = m.ask(jsRequest{Op: "disconnect"}) }

func (m *mqttjs) drop() { _, _ = m.ask(jsRequest{Op: "drop"}) }
