package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"go-jwt-auth/test/brokers"
)

// Persistent is a client that the test does not drive: when it does not get
// in, the reconnect logic of its own library decides whether and when it tries
// again. Once it is in it subscribes to one topic.
type Persistent struct {
	broker *Broker
	kind   Kind
	id     string
	output func() string // what its process printed

	state  state // guards what follows
	events []event
}

// event is what a client reports, in the order in which it happens.
type event struct {
	Event   string `json:"event"`
	Code    byte   `json:"code"`    // of a CONNACK
	Payload string `json:"payload"` // of a message
	at      time.Time
}

// The events.
const (
	attempt = "attempt" // it has opened a connection, or is about to
	connack = "connack"
	message = "message"
)

// retryInterval is the time between two attempts if the library's default
// is too long to wait for in a test: 30 s for the first connection of
// paho.mqtt.golang (ConnectRetryInterval), 10 s in autopaho. The others wait
// one second by default: MQTT.js and mosquitto_sub each time, paho-mqtt the
// first time, and then twice as long as before, up to two minutes.
const retryInterval = time.Second

// Persist starts a client for the broker's i-th listener that goes on trying
// until the test ends. The login has a client id, but no will and no session
// to resume.
func Persist(t T, b *Broker, i int, kind Kind, login Login, topic string) *Persistent {
	t.Helper()
	p := &Persistent{broker: b, kind: kind, id: login.ClientID, output: func() string { return "" }}
	var err error
	switch kind {
	case Paho3:
		err = p.paho3(t, b.URL(i), login, topic)
	case Paho5:
		err = p.autopaho(t, b.URL(i), login, topic)
	case MQTTJS3, MQTTJS5:
		err = p.script(t, node, "persist.mjs", b.URL(i), login, topic)
	case PahoPython3, PahoPython5:
		err = p.script(t, python, "persist.py", b.URL(i), login, topic)
	case MosquittoSub3, MosquittoSub5:
		p.mosquittoSub(i, login, topic)
	default:
		err = errors.New("there is no such kind of client")
	}
	if err != nil {
		t.Fatalf("harness: %s: %v", kind, err)
	}
	return p
}

func (p *Persistent) report(e event) {
	e.at = time.Now()
	p.state.update(func() { p.events = append(p.events, e) })
}

// first waits for the first event of this name.
func (p *Persistent) first(name string) (found event) {
	p.broker.t.Helper()
	if !p.state.wait(func() bool {
		at := slices.IndexFunc(p.events, func(e event) bool { return e.Event == name })
		if at >= 0 {
			found = p.events[at]
		}
		return at >= 0
	}) {
		p.broker.t.Fatalf("harness: %s: no %s within %v; there were %v\n%s", p.kind, name, Patience, p.events, p.output())
	}
	return found
}

// WaitSubscribed waits until the client is in and the broker has confirmed its
// subscription.
func (p *Persistent) WaitSubscribed() {
	p.broker.t.Helper()
	p.broker.WaitLog("Sending SUBACK to " + regexp.QuoteMeta(p.id) + "$")
}

// WaitMessage waits for the first message on the topic and returns its
// payload. mosquitto_sub then leaves.
func (p *Persistent) WaitMessage() string {
	p.broker.t.Helper()
	return p.first(message).Payload
}

// WaitConnack waits for the first CONNACK, and tells which attempt got it, 1
// being the first: those before have got none. mosquitto_sub keeps to itself
// what happens until it ends: for WaitMessage, or because it is refused.
func (p *Persistent) WaitConnack() (answer Connack, attempts int) {
	p.broker.t.Helper()
	found := p.first(connack)
	p.state.view(func() {
		for _, e := range p.events {
			if e.Event == connack {
				break
			}
			if e.Event == attempt {
				attempts++
			}
		}
	})
	return Connack{Code: found.Code}, attempts
}

// Attempts are the times of its attempts so far.
func (p *Persistent) Attempts() (all []time.Time) {
	p.state.view(func() {
		for _, e := range p.events {
			if e.Event == attempt {
				all = append(all, e.at)
			}
		}
	})
	return all
}

func (p *Persistent) paho3(t T, address string, l Login, topic string) error {
	o, err := options3(address, l)
	if err != nil {
		return err
	}
	o.SetConnectRetry(true).
		SetConnectRetryInterval(retryInterval).
		SetAutoReconnect(true).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			p.report(event{Event: attempt})
			return dial(address, nil)
		}).
		SetOnConnectHandler(func(c mqtt.Client) {
			p.report(event{Event: connack})
			c.Subscribe(topic, 1, func(_ mqtt.Client, m mqtt.Message) {
				p.report(event{Event: message, Payload: string(m.Payload())})
			})
		}).
		SetConnectionNotificationHandler(func(_ mqtt.Client, n mqtt.ConnectionNotification) {
			failed, ok := n.(mqtt.ConnectionNotificationFailed)
			if !ok {
				return
			}
			for code := byte(1); code <= packets.ErrRefusedNotAuthorised; code++ {
				if errors.Is(failed.Reason, packets.ConnErrors[code]) {
					p.report(event{Event: connack, Code: code})
				}
			}
		})
	client := mqtt.NewClient(o)
	client.Connect()
	t.Cleanup(func() { client.Disconnect(0) })
	return nil
}

func (p *Persistent) autopaho(t T, address string, l Login, topic string) error {
	server, err := url.Parse(address)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	client, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls:       []*url.URL{server},
		KeepAlive:        l.keepAlive(),
		ConnectTimeout:   Patience,
		ReconnectBackoff: autopaho.NewConstantBackoff(retryInterval),
		AttemptConnection: func(context.Context, autopaho.ClientConfig, *url.URL) (net.Conn, error) {
			p.report(event{Event: attempt})
			return dial(address, nil)
		},
		ConnectPacketBuilder: func(*paho.Connect, *url.URL) (*paho.Connect, error) { return connectPacket5(l), nil },
		OnConnectionUp: func(c *autopaho.ConnectionManager, _ *paho.Connack) {
			p.report(event{Event: connack})
			go func() { // it must not block
				// Whether it has worked is told by the broker's log.
				_, _ = c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 1}}})
			}()
		},
		OnConnectError: func(err error) {
			if refused, ok := errors.AsType[*autopaho.ConnackError](err); ok {
				p.report(event{Event: connack, Code: refused.ReasonCode})
			}
		},
		ClientConfig: paho.ClientConfig{
			PacketTimeout: Patience,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
				p.report(event{Event: message, Payload: string(r.Packet.Payload)})
				return true, nil
			}},
		},
	})
	if err != nil {
		stop()
		return err
	}
	t.Cleanup(func() {
		stop()
		<-client.Done()
	})
	return nil
}

// script runs one of the scripts that take a request as their argument and
// print events, each as JSON.
func (p *Persistent) script(t T, command func(name string) ([]string, error), name, address string, l Login, topic string) error {
	argv, err := command(name)
	if err != nil {
		return err
	}
	request, err := json.Marshal(jsRequest{URL: address, Protocol: p.kind.Protocol(), Login: newJSLogin(l), Topic: topic})
	if err != nil {
		return err
	}
	p.output = spawnHeard(t, func(line string) {
		var e event
		if json.Unmarshal([]byte(line), &e) == nil { // others are complaints, see output
			p.report(e)
		}
	}, nil, append(argv, string(request))...).Log
	return nil
}

// python is the command that runs one of the scripts in paho-python.
func python(script string) ([]string, error) {
	root, err := brokers.Root()
	if err != nil {
		return nil, err
	}
	interpreter := filepath.Join(root, "build", "paho-python", "bin", "python")
	if _, err := os.Stat(interpreter); err != nil {
		return nil, fmt.Errorf("%w; `make test` installs paho-mqtt", err)
	}
	return []string{interpreter, filepath.Join(root, "test", "harness", "paho-python", script)}, nil
}

var subConnack = regexp.MustCompile(`received CONNACK \((\d+)\)`)

func (p *Persistent) mosquittoSub(i int, l Login, topic string) {
	args := []string{
		"-V", map[byte]string{V311: "311", V5: "5"}[p.kind.Protocol()],
		"-i", l.ClientID, "-k", strconv.Itoa(int(l.keepAlive())),
		"-t", topic, "-q", "1", "-C", "1", "-F", message + " %p", "-d",
	}
	if l.Username != nil {
		args = append(args, "-u", *l.Username)
	}
	if l.Password != nil {
		args = append(args, "-P", *l.Password)
	}
	p.output = p.broker.commandHeard(func(line string) {
		if strings.HasSuffix(line, "sending CONNECT") {
			p.report(event{Event: attempt})
		} else if m := subConnack.FindStringSubmatch(line); m != nil {
			code, _ := strconv.ParseUint(m[1], 10, 8) // digits, as it matches
			p.report(event{Event: connack, Code: byte(code)})
		} else if payload, ok := strings.CutPrefix(line, message+" "); ok {
			p.report(event{Event: message, Payload: payload})
		}
	}, p.broker.Version.Sub, i, args).Log
}
