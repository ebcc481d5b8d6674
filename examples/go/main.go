// Command client is an MQTT client that logs in with a token and comes back with a fresh one in time. It publishes a
// number every INTERVAL seconds and prints what arrives on the same topic. The settings are environment variables: see
// ../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/autopaho/queue/memory"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"
)

const (
	notAuthorized = 0x87 // the broker does not take the token; anything else may pass by itself
	sessionExpiry = 3600 // s for which the broker keeps what we miss
	timeout       = 10 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // stop is of no more use
	}
}

// client is what lasts from one connection to the next.
type client struct {
	config   autopaho.ClientConfig
	current  *autopaho.ConnectionManager // nil before the first
	refused  chan struct{}               // the broker does not take the token
	failures atomic.Int32                // in a row, to get a token or a connection
}

func run(ctx context.Context) error {
	set, err := readSettings()
	if err != nil {
		return err
	}
	provider := &provider{settings: set, http: &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: set.tls},
	}}
	c := newClient(set)
	defer c.leave()

	fetch := time.NewTimer(0)
	publish := time.NewTicker(set.interval)
	for number := 1; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-c.refused:
			c.leave()
			fetch.Reset(c.pause())
		case <-fetch.C:
			token, err := provider.token(ctx)
			var final *refusal
			switch {
			case errors.As(err, &final):
				return err
			case err != nil: // the old token may be good for a while yet
				fmt.Fprintln(os.Stderr, "no token:", err)
				fetch.Reset(c.pause())
			default:
				c.leave()
				if err := c.connect(ctx, token.AccessToken); err != nil {
					return err
				}
				lifetime := time.Until(token.Expiry).Seconds()
				fetch.Reset(time.Duration((0.6 + 0.2*rand.Float64()) * lifetime * float64(time.Second)))
			}
		case <-publish.C:
			if c.current == nil {
				continue
			}
			// Sent now, or as soon as there is a connection again.
			message := &paho.Publish{Topic: set.topic, QoS: 1, Payload: []byte(strconv.Itoa(number))}
			if err := c.current.PublishViaQueue(ctx, &autopaho.QueuePublish{Publish: message}); err != nil {
				return err
			}
			number++
		}
	}
}

func newClient(set settings) *client {
	c := &client{refused: make(chan struct{}, 1)}
	c.config = autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{set.broker},
		TlsCfg:                        set.tls,
		KeepAlive:                     30,
		CleanStartOnInitialConnection: false,
		SessionExpiryInterval:         sessionExpiry,
		ConnectUsername:               set.clientID,
		ConnectTimeout:                timeout,
		Queue:                         memory.New(), // what has not been sent yet; queue/file keeps it on disk
		OnConnectionUp: func(m *autopaho.ConnectionManager, answer *paho.Connack) {
			c.failures.Store(0)
			fmt.Println("connected")
			if answer.SessionPresent { // the broker still knows
				return
			}
			go func() { // it waits for an answer, which this callback would hold up
				wait, cancel := context.WithTimeout(context.Background(), timeout)
				defer cancel()
				subscription := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: set.topic, QoS: 1}}}
				if _, err := m.Subscribe(wait, subscription); err != nil {
					fmt.Fprintln(os.Stderr, "not subscribed:", err)
				}
			}()
		},
		OnConnectError: func(err error) {
			fmt.Fprintln(os.Stderr, "not connected:", err)
			var answer *autopaho.ConnackError
			if errors.As(err, &answer) && answer.ReasonCode == notAuthorized {
				select {
				case c.refused <- struct{}{}:
				default: // it is known
				}
			}
		},
		ClientConfig: paho.ClientConfig{
			ClientID: set.mqttClientID,
			Session:  state.NewInMemory(), // what has not been acknowledged yet
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(got paho.PublishReceived) (bool, error) {
				fmt.Printf("received %s\n", got.Packet.Payload)
				return true, nil
			}},
		},
	}
	return c
}

// connect begins to connect with a token, and goes on until leave.
func (c *client) connect(ctx context.Context, token string) (err error) {
	config := c.config
	config.ConnectPassword = []byte(token)
	fresh := true
	config.ReconnectBackoff = func(int) time.Duration {
		if fresh {
			fresh = false
			return 0
		}
		return c.pause()
	}
	c.current, err = autopaho.NewConnection(ctx, config)
	return err
}

// leave says DISCONNECT where there is a connection. The session stays at the broker, the queue here.
func (c *client) leave() {
	if c.current == nil {
		return
	}
	wait, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := c.current.Disconnect(wait); err != nil {
		fmt.Fprintln(os.Stderr, "not disconnected:", err)
	}
	select {
	case <-c.refused: // news of the old connection
	default:
	}
}

// pause is how long to wait after a failure: up to a minute, and at random, lest a fleet come back all at once.
func (c *client) pause() time.Duration {
	most := min(time.Minute, time.Second<<min(c.failures.Add(1), 6))
	return most/2 + rand.N(most/2)
}
