package harness

import (
	"context"
	"errors"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// paho5 is paho.golang.
type paho5 struct {
	client *Client
	url    string
	conn   *conn
	mqtt   *paho.Client
	method string
}

func (p *paho5) connect(l Login) (Connack, error) {
	var err error
	if p.conn, err = dial(p.url, nil); err != nil {
		return Connack{}, err
	}
	if l.Auth != nil {
		p.method = l.Auth.Method
	}
	// Left alone it pings at once. What a broker has not read when it closes makes a reset of that, and its DISCONNECT is lost.
	pinger := paho.NewDefaultPinger()
	pinger.PacketSent()
	pinger.PacketReceived()
	p.mqtt = paho.NewClient(paho.ClientConfig{
		Conn:          p.conn,
		PingHandler:   pinger,
		PacketTimeout: Patience,
		AuthHandler:   oneRound{}, // without one, paho panics at the CONNACK of an enhanced authentication
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			m := r.Packet
			p.client.received(Message{Topic: m.Topic, Payload: string(m.Payload), QoS: m.QoS, Retain: m.Retain})
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { p.client.lost(Disconnect{Packet: true, Code: d.ReasonCode}) },
		OnClientError:      func(error) { p.client.lost(Disconnect{}) },
	})
	answer, err := p.mqtt.Connect(context.Background(), connectPacket5(l))
	if answer == nil {
		return p.conn.refusal(err)
	}
	connack := Connack{Code: answer.ReasonCode, SessionPresent: answer.SessionPresent}
	if answer.Properties != nil {
		connack.AssignedID, connack.Reason = answer.Properties.AssignedClientID, answer.Properties.ReasonString
	}
	return connack, nil
}

func connectPacket5(l Login) *paho.Connect {
	connect := &paho.Connect{
		ClientID:   l.ClientID,
		KeepAlive:  l.keepAlive(),
		CleanStart: !l.Resume,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &l.SessionExpiry},
	}
	if l.Username != nil {
		connect.UsernameFlag, connect.Username = true, *l.Username
	}
	if l.Password != nil {
		connect.PasswordFlag, connect.Password = true, []byte(*l.Password)
	}
	if l.Auth != nil {
		connect.Properties.AuthMethod, connect.Properties.AuthData = l.Auth.Method, []byte(l.Auth.Data)
	}
	if l.ReceiveMaximum != 0 {
		connect.Properties.ReceiveMaximum = &l.ReceiveMaximum
	}
	if w := l.Will; w != nil {
		connect.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: []byte(w.Payload), QoS: w.QoS, Retain: w.Retain}
		connect.WillProperties = &paho.WillProperties{WillDelayInterval: &w.Delay}
	}
	return connect
}

func (p *paho5) subscribe(filter string, qos byte) (byte, error) {
	answer, err := p.mqtt.Subscribe(context.Background(), &paho.Subscribe{
		Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}},
	})
	if answer == nil {
		return 0, err
	}
	if len(answer.Reasons) != 1 {
		return 0, errors.New("SUBACK without a reason code")
	}
	return answer.Reasons[0], nil
}

func (p *paho5) publish(topic, payload string, qos byte) (byte, error) {
	answer, err := p.mqtt.Publish(context.Background(), &paho.Publish{
		Topic: topic, Payload: []byte(payload), QoS: qos,
	})
	if answer == nil {
		return 0, err
	}
	return answer.ReasonCode, nil
}

// oneRound is the client's part in an authentication that the first packet decides: there is none.
type oneRound struct{}

func (oneRound) Authenticate(a *paho.Auth) *paho.Auth { return a }
func (oneRound) Authenticated()                       {}

// reauthenticate waits for the answer or for the end of the connection: paho itself would wait for the answer alone.
func (p *paho5) reauthenticate(data string) (Reauth, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	go func() {
		select {
		case <-p.mqtt.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	answer, err := p.mqtt.Authenticate(ctx, &paho.Auth{
		ReasonCode: packets.AuthReauthenticate, Properties: &paho.AuthProperties{AuthMethod: p.method, AuthData: []byte(data)},
	})
	switch {
	case answer != nil && answer.Success:
		return Reauth{}, nil
	case answer != nil:
		return Reauth{Code: answer.ReasonCode}, nil
	case errors.Is(err, context.Canceled):
		// The end may overtake the DISCONNECT that came before it.
		if end, over := p.client.end(); over {
			return Reauth{Closed: !end.Packet, Code: end.Code}, nil
		}
	case p.conn.ended.Load():
		return Reauth{Closed: true}, nil
	}
	return Reauth{}, err
}

func (p *paho5) disconnect() { _ = p.mqtt.Disconnect(&paho.Disconnect{}) }

func (p *paho5) drop() { _ = p.conn.Close() }
