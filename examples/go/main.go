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
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/autopaho/queue/memory"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"
	"github.com/eclipse/paho.golang/paho/session/state"
)

const (
	notAuthorized = 0x87 // in CONNACK: the broker does not take the token; anything else may pass by itself
	sessionExpiry = 3600 // s for which the broker keeps what we miss
	timeout       = 10 * time.Second
	steady        = time.Minute     // after which a connection was a good one, and not one more failure
	shortest      = 5 * time.Second // a token is renewed no sooner than one that lives for so long
)

// sameToken are reasons in DISCONNECT that are not about the token: it shuts down, keep-alive, taken over. All others may be.
var sameToken = []byte{0x8B, 0x8D, 0x8E}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		say("client:", err)
		os.Exit(1) //nolint:gocritic // stop is of no more use
	}
}

// client is what lasts from one connection to the next.
type client struct {
	config     autopaho.ClientConfig
	current    *autopaho.ConnectionManager // nil before the first
	refused    chan struct{}               // the broker does not take the token, or not any more
	subscribed atomic.Bool                 // the broker has said so
	backoff
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
				say("no token:", err)
				c.failed()
				fetch.Reset(c.pause())
			default:
				c.renewed()
				c.leave()
				if err := c.connect(ctx, token.AccessToken); err != nil {
					return err
				}
				lifetime := max(lifetime(token), shortest)
				fetch.Reset(time.Duration((0.6 + 0.2*rand.Float64()) * float64(lifetime)))
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
			defer caught()
			c.up()
			fmt.Println("connected")
			if answer.SessionPresent && c.subscribed.Load() { // the broker still knows
				return
			}
			go func() { // it waits for an answer, which this callback would hold up
				defer caught()
				c.subscribe(m, set.topic)
			}()
		},
		OnConnectionDown: func() bool {
			defer caught()
			if c.down() {
				c.refuse()
			}
			return true
		},
		OnConnectError: func(err error) {
			defer caught()
			c.failed()
			say("not connected:", err)
			var answer *autopaho.ConnackError
			if errors.As(err, &answer) && (answer.ReasonCode == notAuthorized || answer.ReasonCode == 0) { // 0: and gone again
				c.refuse()
			}
		},
		ClientConfig: paho.ClientConfig{
			ClientID: set.mqttClientID,
			Session:  watched{state.NewInMemory()}, // what has not been acknowledged yet
			OnServerDisconnect: func(d *paho.Disconnect) {
				defer caught()
				say("disconnected:", d.Packet().Reason())
				if c.down() || !slices.Contains(sameToken, d.ReasonCode) {
					c.refuse()
				}
			},
			OnClientError: func(err error) {
				defer caught()
				say("disconnected:", err)
			},
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(got paho.PublishReceived) (bool, error) {
				defer caught()
				handle(got.Packet.Topic, got.Packet.Payload)
				return true, nil
			}},
		},
	}
	return c
}

// caught keeps a panic in a callback from ending the program before the message is acknowledged: the broker would send
// that again, and the program would end again. It is deferred.
func caught() {
	if p := recover(); p != nil {
		say("panic in a callback:", p)
	}
}

// refuse tells run that the token is of no use.
func (c *client) refuse() {
	select {
	case c.refused <- struct{}{}:
	default: // it is known
	}
}

func (c *client) subscribe(m *autopaho.ConnectionManager, topic string) {
	wait, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := m.Subscribe(wait, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 1}}})
	c.subscribed.Store(err == nil)
	switch {
	case answer != nil && err != nil:
		say("not subscribed:", (&packets.Suback{Reasons: answer.Reasons}).Reason(0))
	case err != nil:
		say("not subscribed:", err)
	}
}

// watched says which messages the broker has not taken; PublishViaQueue tells nobody.
type watched struct{ session.SessionManager }

func (w watched) PacketReceived(packet *packets.ControlPacket, pass chan<- *packets.Publish) error {
	if ack, ok := packet.Content.(*packets.Puback); ok && ack.ReasonCode >= 0x80 {
		say("not published:", ack.Reason())
	}
	return w.SessionManager.PacketReceived(packet, pass)
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
		return c.pause() // after what OnConnectError or OnConnectionDown has counted
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
		say("not disconnected:", err)
	}
	select {
	case <-c.refused: // news of the old connection
	default:
	}
}

// backoff is how long to wait after a failure to get a token or to stay connected. The broker may let us in and then
// disconnect us for a revoked token: only what lasts ends a row of failures.
type backoff struct {
	mu       sync.Mutex // guards all
	failures int        // in a row
	since    time.Time  // when the broker has let us in; zero: there is no connection
	credited bool       // that connection has ended a row of failures, which it does once
}

// up notes that the broker has let us in.
func (b *backoff) up() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since, b.credited = time.Now(), false
}

// failed counts a failure.
func (b *backoff) failed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count()
}

func (b *backoff) count() {
	if b.isSteady() && !b.credited {
		b.failures, b.credited = 0, true
	}
	b.failures++
}

func (b *backoff) isSteady() bool { return !b.since.IsZero() && time.Since(b.since) >= steady }

// down counts the end of a connection as a failure, once, and then reports whether that came so soon that the token may
// be why: the DISCONNECT that would say so can be lost.
func (b *backoff) down() (soon bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		return false
	}
	soon = !b.isSteady()
	b.count()
	b.since = time.Time{}
	return soon
}

// renewed notes that the connection, where there is one, has lasted for as long as its token was to, and is over.
func (b *backoff) renewed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.since.IsZero() {
		b.failures = 0
	}
	b.since = time.Time{}
}

// pause is how long to wait now: up to a minute, and at random, lest a fleet come back all at once.
func (b *backoff) pause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := min(time.Minute, time.Second<<min(b.failures, 6))
	return most/2 + rand.N(most/2)
}

// say prints to standard error.
func say(what string, about any) {
	fmt.Fprintln(os.Stderr, what, shown(fmt.Sprint(about)))
}

// shown escapes what could steer a terminal: what comes from outside is printed by this only.
func shown(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}
