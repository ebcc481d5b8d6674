// Command client is an MQTT client that logs in with a token and hands the broker a fresh one in time. It publishes a
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
	method        = "OAUTH2-JWT" // the Authentication Method (MQTT 5 §4.12) whose data is a token
	notAuthorized = 0x87         // in CONNACK: the broker does not take the token; anything else may pass by itself
	badMethod     = 0x8C         // in CONNACK: the broker does not know the method
	sessionExpiry = 3600         // s for which the broker keeps what we miss
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
	token      atomic.Pointer[[]byte]      // for the next CONNECT
	byPassword atomic.Bool                 // the broker takes no other login
	atOnce     atomic.Bool                 // the next attempt to connect needs no pause
	giveUp     atomic.Pointer[func()]      // on the renewal under way
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

	var expires time.Time // when the broker's token does
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
				c.lasted()
				life := lifetime(token)
				if !c.renew(ctx, []byte(token.AccessToken), time.Until(expires)/2) {
					c.leave()
					if err := c.connect(ctx); err != nil {
						return err
					}
				}
				expires = time.Now().Add(life)
				fetch.Reset(time.Duration((0.6 + 0.2*rand.Float64()) * float64(max(life, shortest))))
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
		ConnectPacketBuilder: func(packet *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			if c.byPassword.Load() {
				packet.PasswordFlag, packet.Password = true, *c.token.Load()
			} else {
				packet.Properties.AuthMethod, packet.Properties.AuthData = method, *c.token.Load()
			}
			return packet, nil
		},
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
			if giveUp := c.giveUp.Load(); giveUp != nil {
				(*giveUp)()
			}
			if c.down() {
				c.refuse()
			}
			return true
		},
		OnConnectError: func(err error) {
			defer caught()
			say("not connected:", err)
			var answer *autopaho.ConnackError
			known := errors.As(err, &answer)
			if known && answer.ReasonCode == badMethod && !c.byPassword.Swap(true) {
				c.atOnce.Store(true)
				return
			}
			c.failed()
			if known && (answer.ReasonCode == notAuthorized || answer.ReasonCode == 0) { // 0: and gone again
				c.refuse()
			}
		},
		ClientConfig: paho.ClientConfig{
			ClientID:    set.mqttClientID,
			Session:     watched{state.NewInMemory()}, // what has not been acknowledged yet
			AuthHandler: oneRound{},
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

// oneRound is all that the method needs: the token is there from the start, and the broker asks no more.
type oneRound struct{}

func (oneRound) Authenticate(*paho.Auth) *paho.Auth {
	return &paho.Auth{ReasonCode: packets.AuthContinueAuthentication}
}

func (oneRound) Authenticated() {}

// renew sets the token, hands it to the broker on the connection that there is (MQTT 5 §4.12.1), and waits for the answer.
// False: that did not work, and it takes a new connection.
func (c *client) renew(ctx context.Context, token []byte, patience time.Duration) bool {
	c.token.Store(&token)
	if c.current == nil || c.byPassword.Load() {
		return false
	}
	wait, cancel := context.WithTimeout(ctx, min(timeout, patience))
	defer cancel()
	giveUp := func() { cancel() }
	c.giveUp.Store(&giveUp)
	defer c.giveUp.Store(nil)
	answer, err := c.current.Authenticate(wait, &paho.Auth{
		ReasonCode: packets.AuthReauthenticate,
		Properties: &paho.AuthProperties{AuthMethod: method, AuthData: token},
	})
	if err != nil {
		say("not renewed:", err)
		return false
	}
	if answer.Success { // otherwise it was a DISCONNECT, which has a callback of its own
		fmt.Println("renewed")
	}
	return true
}

// connect begins to connect with the token, and goes on until leave.
func (c *client) connect(ctx context.Context) (err error) {
	config := c.config
	c.atOnce.Store(true)
	config.ReconnectBackoff = func(int) time.Duration {
		if c.atOnce.Swap(false) {
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
	c.over()
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

// lasted notes that the connection, where there is one, has lasted for as long as its token was to.
func (b *backoff) lasted() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.since.IsZero() {
		b.failures = 0
	}
}

// over notes that the connection is ended by us, which is no failure.
func (b *backoff) over() {
	b.mu.Lock()
	defer b.mu.Unlock()
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
