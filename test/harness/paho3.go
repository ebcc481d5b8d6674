package harness

import (
	"errors"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// paho3 is paho.mqtt.golang.
type paho3 struct {
	client *Client
	url    string
	conn   *conn
	mqtt   mqtt.Client
}

var errNoAnswer = errors.New("no answer")

func (p *paho3) connect(l Login) (Connack, error) {
	o, err := options3(p.url, l)
	if err != nil {
		return Connack{}, err
	}
	o.SetAutoReconnect(false).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			p.client.received(Message{Topic: m.Topic(), Payload: string(m.Payload()), QoS: m.Qos(), Retain: m.Retained()})
		}).
		SetConnectionLostHandler(func(mqtt.Client, error) { p.client.lost(Disconnect{}) }).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			var err error
			p.conn, err = dial(p.url, nil)
			return p.conn, err
		})
	p.mqtt = mqtt.NewClient(o)
	token, ok := p.mqtt.Connect().(*mqtt.ConnectToken)
	if !ok || !token.WaitTimeout(2*Patience) {
		return Connack{}, errNoAnswer
	}
	err = token.Error()
	switch {
	case err == nil, token.ReturnCode() != packets.ErrNetworkError && token.ReturnCode() != packets.ErrProtocolViolation:
		return Connack{Code: token.ReturnCode(), SessionPresent: token.SessionPresent()}, nil
	case p.conn != nil:
		return p.conn.refusal(err)
	default:
		return Connack{}, err
	}
}

// options3 are the options for one login at one listener.
func options3(address string, l Login) (*mqtt.ClientOptions, error) {
	o := mqtt.NewClientOptions().AddBroker(address).
		SetProtocolVersion(uint(V311)).
		SetClientID(l.ClientID).
		SetCleanSession(!l.Resume).
		SetKeepAlive(time.Duration(l.keepAlive()) * time.Second).
		SetConnectTimeout(Patience)
	if l.Username != nil {
		o.SetUsername(*l.Username)
	}
	if l.Password != nil {
		o.SetPassword(*l.Password)
	}
	if l.Username == nil && l.Password != nil || l.Username != nil && *l.Username == "" || l.Password != nil && *l.Password == "" {
		return nil, errors.New("paho.mqtt.golang can't send this login: an empty name or password, or a password alone; Knock and Dial can")
	}
	if w := l.Will; w != nil {
		o.SetBinaryWill(w.Topic, []byte(w.Payload), w.QoS, w.Retain)
	}
	return o, nil
}

func (p *paho3) subscribe(filter string, qos byte) (byte, error) {
	token, ok := p.mqtt.Subscribe(filter, qos, nil).(*mqtt.SubscribeToken)
	if !ok || !token.WaitTimeout(Patience) {
		return 0, errNoAnswer
	}
	if code, ok := token.Result()[filter]; ok && code >= 0x80 {
		return code, nil // which the library reports as an error, too
	}
	return token.Result()[filter], token.Error()
}

func (p *paho3) publish(topic, payload string, qos byte) (byte, error) {
	token := p.mqtt.Publish(topic, qos, false, payload)
	if !token.WaitTimeout(Patience) {
		return 0, errNoAnswer
	}
	return 0, token.Error()
}

// disconnect returns when DISCONNECT is sent, Patience or not.
func (p *paho3) disconnect() { p.mqtt.Disconnect(uint(Patience.Milliseconds())) }

func (p *paho3) drop() { _ = p.conn.Close() }
