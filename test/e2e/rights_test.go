package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	"github.com/golang-jwt/jwt/v5"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// The cases in this file are about what a client may do by its token. Where it stands whose word counts in mosquitto.conf is in
// authority_test.go.

const rightsSecret = "a secret of forty bytes, long enough it is"

// withRights is a jwt.json of mode local that maps usernames, with options.authorization.
func withRights(authorization object) object {
	o := object{"modes": object{"local": rightsSecret}, "common": object{"matchUsernameToSubject": true}}
	if authorization != nil {
		o["authorization"] = authorization
	}
	return object{"algorithm": "HS256", "mode": "local", "options": o}
}

// rightsToken is signed by rightsSecret, and ends in an hour unless the claims say otherwise.
func rightsToken(t testing.TB, claims object) string {
	t.Helper()
	all := jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(rightsSecret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// truth is an entry of plugin/rights/testdata/truth.json: a token, and what its bearer may do.
type truth struct {
	Name, Provider        string
	Common, Authorization object
	Claims                object
	Client                struct{ Username, ClientID string }
	Refused               string
	Allow, Deny, Defer    []action
	id, username, token   string
}

// action is ["publish", topic, QoS, retain], of which the latter two may be missing.
type action struct {
	verb, topic string
	qos         byte
	retain      bool
}

func (a *action) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&a.verb, &a.topic, &a.qos, &a.retain})
}

func readTruths(t *testing.T) (all []truth) {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "plugin", "rights", "testdata", "truth.json"))
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// provider is the entry as a provider of a file with several, which its token names as its issuer.
func (r *truth) provider(t *testing.T, n int) object {
	t.Helper()
	name := fmt.Sprintf("p%d", n)
	if r.Provider != "" {
		name = r.Provider
	}
	issuer := "https://" + name
	common := object{"issuer": issuer, "matchUsernameToSubject": false}
	if r.Common["usernameTemplate"] != nil {
		delete(common, "matchUsernameToSubject")
	}
	maps.Copy(common, r.Common)
	claims := maps.Clone(r.Claims)
	claims["iss"] = issuer
	r.token = rightsToken(t, claims)
	// Each has a client id of its own, unless its rules are about that. 2.0 can't give a client another.
	r.id, r.username = fmt.Sprintf("client-%d", n), r.Client.Username
	if r.Client.ClientID != "" {
		r.id = r.Client.ClientID
	}
	if claim, _ := r.Common["clientIdClaim"].(string); claim != "" {
		r.id, _ = r.Claims[claim].(string)
	}
	return object{"name": name, "algorithm": "HS256", "mode": "local", "options": object{
		"modes": object{"local": rightsSecret}, "common": common, "authorization": r.Authorization,
	}}
}

// judgedByTheBroker tells whether Mosquitto decides itself, before any plugin, or never comes to it: nobody may publish to $SYS, nor
// send what is no topic, and it has 200 levels.
func (a action) judgedByTheBroker() bool {
	switch {
	case a.verb != "subscribe" && a.verb != "unsubscribe" && (a.topic == "" || strings.ContainsAny(a.topic, "+#\x00") || strings.HasPrefix(a.topic, "$SYS")):
		return true
	case a.topic == "" || len(a.topic) > 65535 || strings.ContainsRune(a.topic, 0) || noFilter.MatchString(a.topic):
		return true
	}
	return strings.Count(a.topic, "/") > 199
}

// noFilter has a wildcard beside other characters, or a "#" that is not at the end.
var noFilter = regexp.MustCompile(`[^/][+#]|[+#][^/]|#/`)

// The truth table of plugin/rights, through a broker: what a token allows is done, and what it denies is not; what is left to others is done
// here, as the ACL file allows everybody everything.
func TestTheTruthAboutRights(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		all := readTruths(t)
		providers := make([]object, len(all))
		for n := range all {
			providers[n] = all[n].provider(t, n)
		}
		b := harness.Start(t, v, harness.Options{
			Plugins:   []harness.Plugin{harness.JWT("jwt.json", object{"providers": providers})},
			Passwords: map[string]string{"admin": "admin's password"},
			Files:     map[string]string{"acl": "pattern readwrite #\npattern readwrite $x/#\npattern readwrite $SYS/#\npattern readwrite $CONTROL/#\npattern readwrite $share/#\n"},
			Extra:     "acl_file {dir}/acl\nset_tcp_nodelay true\n",
		})
		admin := harness.Login{ClientID: "admin", Username: new("admin"), Password: new("admin's password")}
		observer := dialTruth(t, b, admin)
		for _, filter := range []string{"#", "$x/#", "$CONTROL/#"} {
			if code := observer.subscribe(t, filter, 0); code >= 0x80 {
				t.Fatalf("the observer may not subscribe to %s: 0x%02x", filter, code)
			}
		}
		admin.ClientID = "sender"
		sender := dialTruth(t, b, admin)
		cases := 0
		for n := range all {
			r := &all[n]
			t.Run(r.Name, func(t *testing.T) { cases += r.walk(t, b, observer, sender) })
		}
		if cases < 250 {
			t.Errorf("%d cases", cases)
		}
		t.Logf("%d cases", cases)
	})
}

// walk has a client do all of an entry, and returns how many cases that were.
func (r *truth) walk(t *testing.T, b *harness.Broker, observer, sender *truthClient) (cases int) {
	t.Helper()
	l := harness.Login{ClientID: r.id, Password: &r.token}
	if r.username != "" {
		l.Username = &r.username
	}
	if r.Refused != "" {
		mark := b.Mark()
		if got := knock(t, b, harness.V5, l); got.Code != 0x87 {
			t.Errorf("CONNECT was %v", got)
		}
		b.WaitLogSince(mark, "refused: malformed rights: ")
		return 1
	}
	// A session with all subscriptions, which the client then gets: what it receives is up to its token alone. Whose name is a pattern
	// is refused by ACL files.
	others := harness.Login{ClientID: r.id, Username: new("admin"), Password: new("admin's password"), Resume: true, SessionExpiry: 600}
	before := dialTruth(t, b, others)
	for _, filter := range []string{"#", "$x/#", "$SYS/broker/uptime"} {
		before.subscribe(t, filter, 0)
	}
	before.raw.Close()
	l.Resume, l.SessionExpiry = true, 600
	c := dialTruth(t, b, l)
	defer c.raw.Close()
	if !c.resumed {
		t.Error("the session is gone")
	}
	type wanted struct {
		action
		does bool
	}
	var todo []wanted
	for does, actions := range map[bool][]action{true: slices.Concat(r.Allow, r.Defer), false: r.Deny} {
		for _, a := range actions {
			if !a.judgedByTheBroker() {
				todo = append(todo, wanted{a, does})
			}
		}
	}
	// What it receives first, since its own subscriptions and retained messages add to that.
	order := []string{"receive", "publish", "subscribe", "unsubscribe"}
	slices.SortStableFunc(todo, func(a, b wanted) int { return slices.Index(order, a.verb) - slices.Index(order, b.verb) })
	sent := map[string]wanted{}
	for i, w := range todo {
		payload := fmt.Sprintf("%s %d", r.Name, i)
		switch w.verb {
		case "receive":
			sender.publish(t, w.topic, payload, 1, false)
			sent[payload] = w
		case "publish":
			code := c.publish(t, w.topic, payload, w.qos, w.retain)
			if w.qos > 0 && (code < 0x80) != w.does {
				t.Errorf("%v: PUBACK 0x%02x", w, code)
			}
			if !strings.HasPrefix(w.topic, "$CONTROL") { // which goes to no client
				sent[payload] = w
			}
		case "subscribe":
			if code := c.subscribe(t, w.topic, w.qos); (code < 0x80) != w.does {
				t.Errorf("%v: SUBACK 0x%02x", w, code)
			}
		case "unsubscribe":
			if code := c.unsubscribe(t, w.topic); (code < 0x80) != w.does {
				t.Errorf("%v: UNSUBACK 0x%02x", w, code)
			}
		}
	}
	// All have done what was sent when the pings are answered.
	c.ping(t)
	observer.ping(t)
	c.ping(t)
	for payload, w := range sent {
		by := observer
		if w.verb == "receive" {
			by = c
		}
		if by.got[payload] != w.does {
			t.Errorf("%v: arrived: %t", w, by.got[payload])
		}
	}
	return len(todo)
}

// truthClient speaks MQTT 5 on a raw connection: what it sends need not make sense to a library.
type truthClient struct {
	raw     *harness.Raw
	resumed bool
	mid     uint16
	got     map[string]bool // payloads
}

func dialTruth(t *testing.T, b *harness.Broker, l harness.Login) *truthClient {
	t.Helper()
	l.KeepAlive = 600
	raw, err := harness.Dial(b.URL(0), harness.V5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	answer, err := raw.Connect(l)
	if err != nil || !answer.Accepted() {
		t.Fatalf("client %q: CONNECT was %v (%v)", l.ClientID, answer, err)
	}
	return &truthClient{raw: raw, resumed: answer.SessionPresent, got: map[string]bool{}}
}

func (c *truthClient) send(t *testing.T, kind byte, packet packets5.Packet) {
	t.Helper()
	var text strings.Builder
	p := packets5.NewControlPacket(kind)
	p.Content = packet
	if _, err := p.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	if err := c.raw.Send([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
}

// await takes packets until one is what is waited for.
func (c *truthClient) await(t *testing.T, is func(packet any) bool) {
	t.Helper()
	for {
		packet, err := c.raw.Next()
		if err != nil {
			t.Fatal(errors.Join(errors.New("the broker has ended the connection"), err))
		}
		switch p := packet.(type) {
		case *packets5.Publish:
			c.got[string(p.Payload)] = true
			switch p.QoS {
			case 1:
				c.send(t, packets5.PUBACK, &packets5.Puback{PacketID: p.PacketID, Properties: &packets5.Properties{}})
			case 2:
				c.send(t, packets5.PUBREC, &packets5.Pubrec{PacketID: p.PacketID, Properties: &packets5.Properties{}})
			}
		case *packets5.Pubrel:
			c.send(t, packets5.PUBCOMP, &packets5.Pubcomp{PacketID: p.PacketID, Properties: &packets5.Properties{}})
		case *packets5.Disconnect:
			t.Fatalf("DISCONNECT 0x%02x", p.ReasonCode)
		}
		if is(packet) {
			return
		}
	}
}

func (c *truthClient) ping(t *testing.T) {
	t.Helper()
	c.send(t, packets5.PINGREQ, &packets5.Pingreq{})
	c.await(t, func(p any) bool { _, is := p.(*packets5.Pingresp); return is })
}

func (c *truthClient) publish(t *testing.T, topic, payload string, qos byte, retain bool) (code byte) {
	t.Helper()
	c.mid++
	// WriteTo takes QoS and retain from the fixed header.
	var text strings.Builder
	p := packets5.NewControlPacket(packets5.PUBLISH)
	p.Content = &packets5.Publish{Topic: topic, Payload: []byte(payload), QoS: qos, Retain: retain, PacketID: c.mid, Properties: &packets5.Properties{}}
	p.Flags = qos << 1
	if retain {
		p.Flags |= 1
	}
	if _, err := p.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	if err := c.raw.Send([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
	switch qos {
	case 1:
		c.await(t, func(p any) bool {
			ack, is := p.(*packets5.Puback)
			if is {
				code = ack.ReasonCode
			}
			return is
		})
	case 2:
		c.await(t, func(p any) bool {
			ack, is := p.(*packets5.Pubrec)
			if is {
				code = ack.ReasonCode
			}
			return is
		})
		if code < 0x80 {
			c.send(t, packets5.PUBREL, &packets5.Pubrel{PacketID: c.mid, Properties: &packets5.Properties{}})
			c.await(t, func(p any) bool { _, is := p.(*packets5.Pubcomp); return is })
		}
	}
	return code
}

func (c *truthClient) subscribe(t *testing.T, filter string, qos byte) (code byte) {
	t.Helper()
	c.mid++
	c.send(t, packets5.SUBSCRIBE, &packets5.Subscribe{
		PacketID: c.mid, Properties: &packets5.Properties{}, Subscriptions: []packets5.SubOptions{{Topic: filter, QoS: qos}},
	})
	c.await(t, func(p any) bool {
		ack, is := p.(*packets5.Suback)
		if is {
			code = ack.Reasons[0]
		}
		return is
	})
	return code
}

func (c *truthClient) unsubscribe(t *testing.T, filter string) (code byte) {
	t.Helper()
	c.mid++
	c.send(t, packets5.UNSUBSCRIBE, &packets5.Unsubscribe{PacketID: c.mid, Properties: &packets5.Properties{}, Topics: []string{filter}})
	c.await(t, func(p any) bool {
		ack, is := p.(*packets5.Unsuback)
		if is {
			code = ack.Reasons[0]
		}
		return is
	})
	return code
}
