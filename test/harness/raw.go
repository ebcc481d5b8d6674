package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	packets3 "github.com/eclipse/paho.mqtt.golang/packets"
)

// Raw is a connection on which the test itself says what is sent: any login,
// broken packets, packets at the wrong time. Its methods return errors rather
// than fail a test, so that any goroutine may use them.
type Raw struct {
	conn     *conn
	protocol byte
}

// Dial opens a connection to the listener at url, for packets of protocol
// level V311 or V5. The caller closes it.
func Dial(url string, protocol byte) (*Raw, error) { return DialWith(url, protocol, nil) }

// DialWith is Dial with header fields in the request for a WebSocket, as a proxy adds them.
func DialWith(url string, protocol byte, header http.Header) (*Raw, error) {
	c, err := dial(url, header)
	if err != nil {
		return nil, fmt.Errorf("harness: %w", err)
	}
	return &Raw{conn: c, protocol: protocol}, nil
}

// Knock connects with the login and closes the connection at once, with
// DISCONNECT if the broker let it in: for many logins at a time, and for those
// that no client library would send.
func Knock(url string, protocol byte, l Login) (Connack, error) {
	r, err := Dial(url, protocol)
	if err != nil {
		return Connack{}, err
	}
	defer r.Close()
	answer, err := r.Connect(l)
	if err == nil && answer.Accepted() {
		err = r.Send([]byte{packets3.Disconnect << 4, 0})
	}
	return answer, err
}

// Connect sends CONNECT and waits for the answer.
func (r *Raw) Connect(l Login) (Connack, error) {
	if err := r.SendConnect(l); err != nil {
		return Connack{}, err
	}
	return r.Connack()
}

// SendConnect sends CONNECT. That the broker has closed the connection is not an error: Connack tells it.
func (r *Raw) SendConnect(l Login) error {
	if err := r.Send(ConnectPacket(r.protocol, l)); err != nil && !r.conn.ended.Load() {
		return err
	}
	return nil
}

// Connack waits for CONNACK, or the end of the connection.
func (r *Raw) Connack() (Connack, error) {
	packet, err := r.Next()
	if err != nil {
		return r.conn.refusal(err)
	}
	switch p := packet.(type) {
	case *packets3.ConnackPacket:
		return Connack{Code: p.ReturnCode, SessionPresent: p.SessionPresent}, nil
	case *packets5.Connack:
		return Connack{
			Code: p.ReasonCode, SessionPresent: p.SessionPresent,
			AssignedID: p.Properties.AssignedClientID, Reason: p.Properties.ReasonString,
		}, nil
	}
	return Connack{}, fmt.Errorf("harness: %v instead of CONNACK", packet)
}

// Send sends these bytes.
func (r *Raw) Send(packet []byte) error {
	if err := r.conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return fmt.Errorf("harness: %w", err)
	}
	if _, err := r.conn.Write(packet); err != nil {
		return fmt.Errorf("harness: %w", err)
	}
	return nil
}

// Next waits for the next packet: for MQTT 3.1.1 a pointer to one of the types
// in paho.mqtt.golang/packets, for MQTT 5 of those in paho.golang/packets.
func (r *Raw) Next() (any, error) {
	if err := r.conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, fmt.Errorf("harness: %w", err)
	}
	if r.protocol == V5 {
		packet, err := packets5.ReadPacket(r.conn)
		if err != nil {
			return nil, fmt.Errorf("harness: %w", err)
		}
		return packet.Content, nil
	}
	packet, err := packets3.ReadPacket(r.conn)
	if err != nil {
		return nil, fmt.Errorf("harness: %w", err)
	}
	return packet, nil
}

// Ping sends PINGREQ and waits for the answer, skipping other packets.
func (r *Raw) Ping() error {
	if err := r.Send([]byte{packets3.Pingreq << 4, 0}); err != nil {
		return err
	}
	for {
		packet, err := r.Next()
		if err != nil {
			return err
		}
		switch packet.(type) {
		case *packets3.PingrespPacket, *packets5.Pingresp:
			return nil
		}
	}
}

// WaitDisconnect skips packets until DISCONNECT or the end of the connection.
func (r *Raw) WaitDisconnect() (Disconnect, error) {
	for {
		packet, err := r.Next()
		if err != nil {
			if r.conn.ended.Load() {
				return Disconnect{At: time.Now()}, nil
			}
			return Disconnect{}, err
		}
		if p, ok := packet.(*packets5.Disconnect); ok {
			return Disconnect{Packet: true, Code: p.ReasonCode, At: time.Now()}, nil
		}
	}
}

// Close drops the connection.
func (r *Raw) Close() { _ = r.conn.Close() }

// PublishPacket is PUBLISH with QoS 0 of MQTT 3.1.1.
func PublishPacket(topic, payload string, retain bool) []byte {
	var b bytes.Buffer
	packet := packets3.PublishPacket{
		FixedHeader: packets3.FixedHeader{MessageType: packets3.Publish, Retain: retain}, TopicName: topic, Payload: []byte(payload),
	}
	if err := packet.Write(&b); err != nil {
		panic(fmt.Sprintf("harness: PUBLISH: %v", err)) // a buffer takes everything
	}
	return b.Bytes()
}

// SubscribePacket is SUBSCRIBE with QoS 1 of MQTT 5.
func SubscribePacket(filter string) []byte {
	var b bytes.Buffer
	packet := packets5.Subscribe{PacketID: 1, Properties: &packets5.Properties{}, Subscriptions: []packets5.SubOptions{{Topic: filter, QoS: 1}}}
	if _, err := (&packets5.ControlPacket{FixedHeader: packets5.FixedHeader{Type: packets5.SUBSCRIBE, Flags: 2}, Content: &packet}).WriteTo(&b); err != nil {
		panic(fmt.Sprintf("harness: SUBSCRIBE: %v", err)) // a buffer takes everything
	}
	return b.Bytes()
}

// AuthPacket is AUTH (MQTT 5 §3.15): reason 0x18 goes on with an authentication, 0x19 begins another one.
func AuthPacket(reason byte, a Auth) []byte {
	var b bytes.Buffer
	packet := packets5.Auth{ReasonCode: reason, Properties: &packets5.Properties{AuthMethod: a.Method, AuthData: []byte(a.Data)}}
	if _, err := (&packets5.ControlPacket{FixedHeader: packets5.FixedHeader{Type: packets5.AUTH}, Content: &packet}).WriteTo(&b); err != nil {
		panic(fmt.Sprintf("harness: AUTH: %v", err)) // a buffer takes everything
	}
	return b.Bytes()
}

// ConnectPacket is CONNECT with this login as it goes over the wire. What the
// protocol forbids is encoded all the same. Names and passwords longer than
// 65,535 bytes have no encoding and panic.
func ConnectPacket(protocol byte, l Login) []byte {
	var b bytes.Buffer
	var err error
	if protocol == V5 {
		_, err = connect5(l).WriteTo(&b)
	} else {
		err = connect3(l).Write(&b)
	}
	for _, s := range []*string{&l.ClientID, l.Username, l.Password} {
		if s != nil && len(*s) > 65535 {
			err = errors.Join(err, io.ErrShortWrite)
		}
	}
	if err != nil { // a buffer takes everything, so this is the test's mistake
		panic(fmt.Sprintf("harness: CONNECT: %v", err))
	}
	return b.Bytes()
}

func connect3(l Login) *packets3.ConnectPacket {
	c := &packets3.ConnectPacket{
		FixedHeader:      packets3.FixedHeader{MessageType: packets3.Connect},
		ProtocolName:     "MQTT",
		ProtocolVersion:  V311,
		CleanSession:     !l.Resume,
		Keepalive:        l.keepAlive(),
		ClientIdentifier: l.ClientID,
	}
	if l.Username != nil {
		c.UsernameFlag, c.Username = true, *l.Username
	}
	if l.Password != nil {
		c.PasswordFlag, c.Password = true, []byte(*l.Password)
	}
	if w := l.Will; w != nil {
		c.WillFlag, c.WillTopic, c.WillMessage = true, w.Topic, []byte(w.Payload)
		c.WillQos, c.WillRetain = w.QoS, w.Retain
	}
	return c
}

func connect5(l Login) *packets5.ControlPacket {
	c := &packets5.Connect{
		ProtocolName:    "MQTT",
		ProtocolVersion: V5,
		CleanStart:      !l.Resume,
		KeepAlive:       l.keepAlive(),
		ClientID:        l.ClientID,
		Properties:      &packets5.Properties{SessionExpiryInterval: &l.SessionExpiry},
	}
	if l.Username != nil {
		c.UsernameFlag, c.Username = true, *l.Username
	}
	if l.Password != nil {
		c.PasswordFlag, c.Password = true, []byte(*l.Password)
	}
	if l.Auth != nil {
		c.Properties.AuthMethod, c.Properties.AuthData = l.Auth.Method, []byte(l.Auth.Data)
	}
	if l.ReceiveMaximum != 0 {
		c.Properties.ReceiveMaximum = &l.ReceiveMaximum
	}
	if w := l.Will; w != nil {
		c.WillFlag, c.WillTopic, c.WillMessage = true, w.Topic, []byte(w.Payload)
		c.WillQOS, c.WillRetain = w.QoS, w.Retain
		c.WillProperties = &packets5.Properties{WillDelayInterval: &w.Delay}
	}
	return &packets5.ControlPacket{FixedHeader: packets5.FixedHeader{Type: packets5.CONNECT}, Content: c}
}
