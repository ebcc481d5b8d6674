package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	packets3 "github.com/eclipse/paho.mqtt.golang/packets"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// partRenewals is what a fresh token costs the broker, by each way that a connected client has to hand it over.
const partRenewals = "renewals"

// Its trials.
const (
	byReconnect    = "reconnect"
	byReconnectTLS = "reconnect, TLS"
	byAuth         = "renewal by AUTH"
	byControl      = "renewal by $CONTROL"
)

const (
	renewingClients = 1_000
	quickRenewing   = 200
	// renewalsEach are those of one client: no more than the plugin allows in a row.
	renewalsEach = 4
	// renewalWorkers is how many clients are at it at a time.
	renewalWorkers = 8

	authMethod   = "OAUTH2-JWT"
	controlTopic = "$CONTROL/jwt-auth/v1"
)

// freshTokens are RS256 tokens of the same subject for each client: one to log in with and one for each renewal.
func (r *rig) freshTokens() [][]string {
	r.fresh.Do(func() {
		clients := renewingClients
		if r.quick {
			clients = quickRenewing
		}
		s := r.keys.byAlg[rs256]
		r.tokensOf = make([][]string, clients)
		var signing sync.WaitGroup
		for w := range renewalWorkers {
			signing.Go(func() {
				for n := w; n < clients; n += renewalWorkers {
					for i := range 1 + renewalsEach {
						own := claims(n, farOff)
						own["jti"] = fmt.Sprintf("renewal:%d:%d", n, i)
						r.tokensOf[n] = append(r.tokensOf[n], s.signClaims(own))
					}
				}
			})
		}
		signing.Wait()
	})
	return r.tokensOf
}

// renewals are the trials of partRenewals.
func (r *rig) renewals(v brokers.Version) (all []trial) {
	add := func(name string, run func(st *stand) sample) {
		all = append(all, trial{version: v.Name, part: partRenewals, name: name, reference: name == byReconnect, run: run})
	}
	add(byReconnect, func(st *stand) sample { return r.renew(st, v, harness.V311, nil, reconnect3) })
	add(byReconnectTLS, func(st *stand) sample { return r.renew(st, v, harness.V311, certificate(st), reconnect3) })
	add(byAuth, func(st *stand) sample { return r.renew(st, v, harness.V5, nil, reauthenticate) })
	add(byControl, func(st *stand) sample { return r.renew(st, v, harness.V311, nil, renewByControl) })
	return all
}

// renewing is a client of a trial.
type renewing struct {
	id       string
	protocol byte
	dial     func() (net.Conn, error)
	conn     net.Conn
}

// certificate is one for the broker's address: ECDSA, P-256.
func certificate(st *stand) *tls.Certificate {
	p, err := idp.Start(idp.WithTLS())
	st.must(err)
	defer p.Close() //nolint:errcheck // nothing depends on how it ends
	c := p.Certificate()
	return &c
}

// pemFiles are the certificate and its key, for mosquitto.conf.
func pemFiles(st *stand, c *tls.Certificate) map[string]string {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	st.must(err)
	return map[string]string{
		"server.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		"server.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}
}

// encoded is a packet as it goes over the wire. A buffer takes everything.
func encoded(packet io.WriterTo) []byte {
	var b bytes.Buffer
	_, _ = packet.WriteTo(&b)
	return b.Bytes()
}

// encoded3 is the same for MQTT 3.1.1.
func encoded3(packet packets3.ControlPacket) []byte {
	var b bytes.Buffer
	_ = packet.Write(&b)
	return b.Bytes()
}

// renew has all clients log in, and then hand over one fresh token after the other, and measures the latter.
func (r *rig) renew(st *stand, v brokers.Version, protocol byte, certificate *tls.Certificate, once func(*renewing, string) error) sample {
	tokens := r.freshTokens()
	st.mayOpen(len(tokens) + 200)
	o := r.ours(r.config(r.cachedKeys(), nil))
	if certificate != nil {
		o.Listeners = []harness.Listener{{Extra: "certfile {dir}/server.pem\nkeyfile {dir}/server.key"}}
		o.Files = pemFiles(st, certificate)
	}
	b := r.broker(st, v, o)
	b.RaiseFileLimit(len(tokens) + 200)
	address := strings.TrimPrefix(b.URL(0), "mqtt://")
	dial := func() (net.Conn, error) { return net.DialTimeout("tcp", address, harness.Patience) }
	if certificate != nil {
		dial = func() (net.Conn, error) {
			d := net.Dialer{Timeout: harness.Patience}
			// The clients' side costs nothing that is measured, and knows its broker.
			return tls.DialWithDialer(&d, "tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
		}
	}
	clients := make([]*renewing, len(tokens))
	for n := range clients {
		clients[n] = &renewing{id: fmt.Sprint("renewing-", n), protocol: protocol, dial: dial}
	}
	st.Cleanup(func() {
		for _, c := range clients {
			if c.conn != nil {
				_ = c.conn.Close()
			}
		}
	})
	st.must(eachClient(clients, func(n int, c *renewing) error { return c.login(tokens[n][0]) }))
	st.must(eachClient(clients, func(_ int, c *renewing) error { return c.subscribe() }))

	var mu sync.Mutex // guards waits
	var waits []time.Duration
	before, err := usageOf(b.PID())
	st.must(err)
	begin := time.Now()
	for i := range renewalsEach {
		st.must(eachClient(clients, func(n int, c *renewing) error {
			began := time.Now()
			err := once(c, tokens[n][1+i])
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, took)
			return err
		}))
	}
	lasted := time.Since(begin)
	after, err := usageOf(b.PID())
	st.must(err)
	spent := after.minus(before)
	each := func(d time.Duration) float64 { return us(d) / float64(len(waits)) }
	return sample{
		rate: float64(len(waits)) / lasted.Seconds(), cpuAll: each(spent.all), cpuMain: each(spent.main),
		loginP50: percentile(waits, 50), loginP99: percentile(waits, 99),
	}
}

// eachClient does something with every client, a few at a time.
func eachClient(clients []*renewing, do func(n int, c *renewing) error) error {
	failures := make([]error, renewalWorkers)
	var working sync.WaitGroup
	for w := range renewalWorkers {
		working.Go(func() {
			for n := w; n < len(clients) && failures[w] == nil; n += renewalWorkers {
				c := clients[n]
				if err := do(n, c); err != nil {
					failures[w] = fmt.Errorf("bench: %s: %w", c.id, err)
				}
			}
		})
	}
	working.Wait()
	return errors.Join(failures...)
}

// login connects, with a session that the broker keeps.
func (c *renewing) login(token string) (err error) {
	if c.conn, err = c.dial(); err != nil {
		return err
	}
	l := login(c.id, token)
	l.Resume, l.SessionExpiry = true, 3600
	packet := harness.ConnectPacket(c.protocol, l)
	if c.protocol == harness.V5 {
		packet = encoded(&packets5.ControlPacket{FixedHeader: packets5.FixedHeader{Type: packets5.CONNECT}, Content: &packets5.Connect{
			ProtocolName: "MQTT", ProtocolVersion: harness.V5, KeepAlive: l.KeepAlive, ClientID: c.id,
			Properties: &packets5.Properties{SessionExpiryInterval: &l.SessionExpiry, AuthMethod: authMethod, AuthData: []byte(token)},
		}})
	}
	if err := c.send(packet); err != nil {
		return err
	}
	if c.protocol == harness.V5 {
		answer, err := packets5.ReadPacket(c.conn)
		if err != nil {
			return err
		}
		if p, ok := answer.Content.(*packets5.Connack); !ok || p.ReasonCode != 0 {
			return fmt.Errorf("the broker answers CONNECT with %v", answer)
		}
		return nil
	}
	answer, err := packets3.ReadPacket(c.conn)
	if err != nil {
		return err
	}
	if p, ok := answer.(*packets3.ConnackPacket); !ok || p.ReturnCode != 0 {
		return fmt.Errorf("the broker answers CONNECT with %v", answer)
	}
	return nil
}

// subscribe gives the session something to be kept.
func (c *renewing) subscribe() error {
	if c.protocol == harness.V5 {
		if err := c.send(encoded(&packets5.ControlPacket{
			FixedHeader: packets5.FixedHeader{Type: packets5.SUBSCRIBE, Flags: 2},
			Content: &packets5.Subscribe{
				Properties: &packets5.Properties{}, PacketID: 1,
				Subscriptions: []packets5.SubOptions{{Topic: "commands/" + c.id, QoS: 1}},
			},
		})); err != nil {
			return err
		}
		_, err := packets5.ReadPacket(c.conn)
		return err
	}
	if err := c.send(encoded3(&packets3.SubscribePacket{
		FixedHeader: packets3.FixedHeader{MessageType: packets3.Subscribe, Qos: 1}, MessageID: 1, Topics: []string{"commands/" + c.id}, Qoss: []byte{1},
	})); err != nil {
		return err
	}
	_, err := packets3.ReadPacket(c.conn)
	return err
}

// reconnect3 is what a client does that can't renew: DISCONNECT, and CONNECT with the fresh token. Its session is kept.
func reconnect3(c *renewing, token string) error {
	if err := c.send([]byte{packets3.Disconnect << 4, 0}); err != nil {
		return err
	}
	_ = c.conn.Close() // the broker does, too
	return c.login(token)
}

// reauthenticate renews by AUTH (MQTT 5 §4.12.1).
func reauthenticate(c *renewing, token string) error {
	if err := c.send(encoded(&packets5.ControlPacket{FixedHeader: packets5.FixedHeader{Type: packets5.AUTH}, Content: &packets5.Auth{
		ReasonCode: packets5.AuthReauthenticate, Properties: &packets5.Properties{AuthMethod: authMethod, AuthData: []byte(token)},
	}})); err != nil {
		return err
	}
	answer, err := packets5.ReadPacket(c.conn)
	if err != nil {
		return err
	}
	if p, ok := answer.Content.(*packets5.Auth); !ok || p.ReasonCode != packets5.AuthSuccess {
		return fmt.Errorf("the broker answers AUTH with %v", answer)
	}
	return nil
}

// renewByControl renews by a message with QoS 1, and acknowledges the answer.
func renewByControl(c *renewing, token string) error {
	command, err := json.Marshal(object{"commands": []object{{"command": "renewToken", "token": token}}})
	if err != nil {
		return err
	}
	if err := c.send(encoded3(&packets3.PublishPacket{
		FixedHeader: packets3.FixedHeader{MessageType: packets3.Publish, Qos: 1}, TopicName: controlTopic, MessageID: 2, Payload: command,
	})); err != nil {
		return err
	}
	for taken, answered := false, false; !taken || !answered; {
		packet, err := packets3.ReadPacket(c.conn)
		if err != nil {
			return err
		}
		switch got := packet.(type) {
		case *packets3.PubackPacket:
			taken = true
		case *packets3.PublishPacket:
			if !bytes.Contains(got.Payload, []byte(`"expires"`)) {
				return fmt.Errorf("the plugin answers %s", got.Payload)
			}
			ack := &packets3.PubackPacket{FixedHeader: packets3.FixedHeader{MessageType: packets3.Puback}, MessageID: got.MessageID}
			if err := c.send(encoded3(ack)); err != nil {
				return err
			}
			answered = true
		default:
			return fmt.Errorf("the broker sends %v", packet)
		}
	}
	return nil
}

func (c *renewing) send(packet []byte) error {
	if err := c.conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		return err
	}
	_, err := c.conn.Write(packet)
	return err
}

// renewalTable has a line for each way, for each version.
func (r *results) renewalTable() string {
	if len(r.of(partRenewals)) == 0 {
		return ""
	}
	var b strings.Builder
	head(&b, 2, "Mosquitto", "a fresh token by", "broker's CPU, µs", "of it the main thread", "× reconnect", "× reconnect, TLS", "p50, ms", "p99, ms")
	for _, v := range r.versions() {
		for _, name := range []string{byReconnect, byReconnectTLS, byAuth, byControl} {
			t := r.find(v, partRenewals, name)
			if t == nil {
				continue
			}
			cpu := series(t.Rounds[cpuAll])
			row(&b, v, name, cpu.text(1), series(t.Rounds[cpuMain]).text(1),
				cpu.over(r.get(v, partRenewals, byReconnect, cpuAll)).text(2), cpu.over(r.get(v, partRenewals, byReconnectTLS, cpuAll)).text(2),
				series(t.Rounds[loginP50]).text(2), series(t.Rounds[loginP99]).text(2))
		}
	}
	return b.String()
}
