package control_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"go-jwt-auth/cmd/internal/control"
	"go-jwt-auth/cmd/internal/control/controltest"
)

// open makes a client of a broker.
func open(t testing.TB, o control.Options) *control.Client {
	t.Helper()
	if o.Pause == 0 {
		o.Pause = time.Millisecond
	}
	c, err := control.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// fails fails the test unless err's text holds that.
func fails(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%v, want one with %q", err, part)
	}
}

func TestAddresses(t *testing.T) {
	for url, want := range map[string]string{
		"mqtt://a":             "mqtt://a:1883",
		"MQTT://a":             "mqtt://a:1883",
		"mqtts://a":            "mqtts://a:8883",
		"ws://a":               "ws://a:80/mqtt",
		"wss://a:1/b":          "wss://a:1/b",
		"mqtt://[::1]":         "mqtt://[::1]:1883",
		"mqtt://a/b":           "must end behind the port",
		"http://a":             "must be mqtt://HOST",
		"localhost:1883":       "must be mqtt://HOST",
		"mqtt://":              "must be mqtt://HOST",
		"mqtt://user:secret@a": "must hold no username or password",
		"mqtt://a:b":           "can't be read",
	} {
		c, err := control.New(control.Options{URL: url})
		switch {
		case err != nil && strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "secret"):
		case err != nil || c.URL() != want:
			t.Errorf("%s: %v, %v", url, c, err)
		}
	}
	for url, want := range map[string]bool{"mqtt://a": true, "ws://10.0.0.1": true, "mqtts://a": false, "mqtt://localhost": false, "ws://[::1]": false, "mqtt://127.0.0.2": false} {
		if c := open(t, control.Options{URL: url}); c.Plaintext() != want {
			t.Errorf("%s: %v", url, !want)
		}
	}
	_, err := control.New(control.Options{URL: "mqtt://a", CAFile: "x"})
	fails(t, err, "TLS is mqtts:// or wss://")
	_, err = control.New(control.Options{URL: "mqtts://a", CAFile: "control_test.go"})
	fails(t, err, "holds no certificate")
	_, err = control.New(control.Options{URL: "mqtts://a", CertFile: "x"})
	fails(t, err, "needs its key")
}

// authority issues certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key = a.issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// server is for 127.0.0.1, and asks for a client certificate of the authority if mutual.
func (a *authority) server(mutual bool) *tls.Config {
	cert, key := a.issue(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	c := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	if mutual {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AddCert(a.cert)
	}
	return c
}

// file writes something in PEM.
func (a *authority) file(kind string, der []byte) string {
	name := filepath.Join(a.t.TempDir(), "it.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return name
}

func (a *authority) client() (certFile, keyFile string) {
	cert, key := a.issue(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.file("CERTIFICATE", cert.Raw), a.file("PRIVATE KEY", der)
}

func TestWaysToABroker(t *testing.T) {
	ca := newAuthority(t)
	certFile, keyFile := ca.client()
	for _, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			plugin := &controltest.Plugin{}
			plugin.Put(control.Session{ClientID: "a", Login: "anonymous"})
			b := &controltest.Broker{Answer: plugin.Answer}
			o := control.Options{}
			var server *tls.Config
			if strings.HasSuffix(scheme, "s") && scheme != "ws" {
				server, o.CAFile = ca.server(true), ca.file("CERTIFICATE", ca.cert.Raw)
				o.CertFile, o.KeyFile = certFile, keyFile
			}
			o.URL = b.Start(t, scheme, server)
			page, err := open(t, o).ListSessions(t.Context(), 0, 10)
			if err != nil || len(page.Sessions) != 1 || page.Sessions[0].ClientID != "a" {
				t.Errorf("%+v, %v", page, err)
			}
			if server == nil {
				return
			}
			o.CAFile = ""
			_, err = open(t, o).ListSessions(t.Context(), 0, 10)
			fails(t, err, "certificate signed by unknown authority")
		})
	}
}

func TestWhatALoginSays(t *testing.T) {
	var said atomic.Pointer[packets.Connect]
	tokens := make(chan string, 2)
	tokens <- "first"
	tokens <- "second"
	b := &controltest.Broker{
		Login:  func(c *packets.Connect) byte { said.Store(c); return 0 },
		Answer: (&controltest.Plugin{}).Answer,
	}
	c := open(t, control.Options{
		URL: b.Start(t, "mqtt", nil), Username: new("admin"), Password: func() (string, error) { return <-tokens, nil },
	})
	for _, token := range []string{"first", "second"} { // read anew for each connection
		if _, err := c.GetStatus(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := said.Load()
		if got.Username != "admin" || string(got.Password) != token || !strings.HasPrefix(got.ClientID, "go-jwt-auth-") || !got.CleanStart {
			t.Errorf("%+v", got)
		}
		c.Close()
	}
}

func TestWhyThereIsNoConnection(t *testing.T) {
	for name, test := range map[string]struct {
		code byte
		want string
	}{
		"a bad token":  {0x87, "0x87 (not authorized): is the token"},
		"no token":     {0x87, "a login with nothing in it with 0x87 (not authorized): say who asks by --token-file"},
		"another code": {0x9f, "0x9f (connection rate exceeded)"},
		"unknown code": {0xfe, "0xfe"},
		"closed":       {controltest.Close, "without an answer to the login"},
	} {
		t.Run(name, func(t *testing.T) {
			var logins atomic.Int32
			b := &controltest.Broker{Login: func(*packets.Connect) byte { logins.Add(1); return test.code }}
			o := control.Options{URL: b.Start(t, "mqtt", nil)}
			if name != "no token" {
				o.Password = func() (string, error) { return "a token", nil }
			}
			_, err := open(t, o).GetStatus(t.Context())
			fails(t, err, test.want)
			if tries := logins.Load(); (tries > 1) != (test.code == controltest.Close) {
				t.Errorf("%d logins", tries)
			}
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := "mqtt://" + listener.Addr().String()
	_, err = open(t, control.Options{URL: silent, Patience: 50 * time.Millisecond}).GetStatus(t.Context())
	fails(t, err, "is it an MQTT broker")
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, control.Options{URL: silent}).GetStatus(t.Context())
	fails(t, err, "connection refused")
	_, err = open(t, control.Options{URL: silent, Password: func() (string, error) { return "", errors.New("no token file") }}).GetStatus(t.Context())
	fails(t, err, "no token file")
}

// A login that the plugin puts off (Mosquitto 2.0, an unknown key) ends without CONNACK; the next attempt gets in.
func TestALoginThatIsPutOff(t *testing.T) {
	var logins atomic.Int32
	b := &controltest.Broker{
		Login: func(*packets.Connect) byte {
			if logins.Add(1) < 3 {
				return controltest.Close
			}
			return 0
		},
		Answer: (&controltest.Plugin{}).Answer,
	}
	for _, scheme := range []string{"mqtt", "ws"} {
		logins.Store(0)
		if _, err := open(t, control.Options{URL: b.Start(t, scheme, nil)}).GetStatus(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsAnswered(t *testing.T) {
	for name, test := range map[string]struct {
		broker *controltest.Broker
		want   string
	}{
		"not an admin":     {&controltest.Broker{Answer: func(controltest.Command) (any, string) { return nil, `unknown command: "getStatus"` }}, "options.control.admins"},
		"another no":       {&controltest.Broker{Answer: func(controltest.Command) (any, string) { return nil, "no\x1b[2J" }}, "the plugin refuses getStatus: no"},
		"denied":           {&controltest.Broker{Publish: func() byte { return 0x87 }}, "publishClientSend"},
		"denied otherwise": {&controltest.Broker{Publish: func() byte { return 0x97 }}, "0x97 (quota exceeded)"},
		"nothing":          {&controltest.Broker{Answer: func(controltest.Command) (any, string) { return nil, controltest.Silence }}, "no answer to a message to $CONTROL/jwt-auth/v1"},
		"no plugin (2.1)":  {&controltest.Broker{Raw: func([]byte) []byte { return []byte(`{"error":"endpoint not available"}`) }}, "nobody serves"},
		"no JSON":          {&controltest.Broker{Raw: func([]byte) []byte { return []byte(`{`) }}, "can't be read"},
		"another form":     {&controltest.Broker{Answer: func(controltest.Command) (any, string) { return []int{1}, "" }}, "not of the expected form"},
		"nobody's": {&controltest.Broker{Raw: func([]byte) []byte {
			return []byte(`{"responses":[{"correlationData":"99","data":{}},{"data":{}},null]}`)
		}}, "no answer"},
		"unread":                   {&controltest.Broker{Raw: func([]byte) []byte { return []byte(`{"responses":[{"error":"malformed request"}]}`) }}, "refuses the message: malformed request"},
		"ended":                    {&controltest.Broker{Answer: func(controltest.Command) (any, string) { return nil, controltest.Hangup }}, "the connection to the broker has ended"},
		"too soon, without an end": {&controltest.Broker{Answer: func(controltest.Command) (any, string) { return nil, "too many requests" }}, "too many requests"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, control.Options{URL: test.broker.Start(t, "mqtt", nil), Patience: 300 * time.Millisecond})
			_, err := c.GetStatus(t.Context())
			fails(t, err, test.want)
		})
	}
}

// What only reads is asked once more when the connection ends, and what changes something is not.
func TestAConnectionThatEnds(t *testing.T) {
	var asked atomic.Int32
	plugin := &controltest.Plugin{}
	b := &controltest.Broker{Answer: func(c controltest.Command) (any, string) {
		if asked.Add(1) == 1 {
			return nil, controltest.Hangup
		}
		return plugin.Answer(c)
	}}
	c := open(t, control.Options{URL: b.Start(t, "mqtt", nil)})
	if _, err := c.GetStatus(t.Context()); err != nil || asked.Load() != 2 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
	asked.Store(0)
	_, err := c.Disconnect(t.Context(), control.Target{ClientID: "a"}, 0, "")
	fails(t, err, "has ended")
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestACommandThatComesTooSoonIsSentAgain(t *testing.T) {
	var asked atomic.Int32
	b := &controltest.Broker{Answer: func(controltest.Command) (any, string) {
		if asked.Add(1) < 4 {
			return nil, "too many requests"
		}
		return map[string]any{"removed": 1}, ""
	}}
	if err := open(t, control.Options{URL: b.Start(t, "mqtt", nil)}).RemoveBlock(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestAnswersReachWhoAsked(t *testing.T) {
	b := &controltest.Broker{Answer: func(c controltest.Command) (any, string) { return c, "" }}
	c := open(t, control.Options{URL: b.Start(t, "mqtt", nil)})
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			text, err := c.Do(t.Context(), "echo", map[string]any{"n": n, "command": "another", "correlationData": "0"})
			var got struct {
				N       int
				Command string
			}
			if err := errors.Join(err, json.Unmarshal(text, &got)); err != nil || got.N != n || got.Command != "echo" {
				t.Errorf("%d: %s, %v", n, text, err)
			}
		})
	}
	all.Wait()
}

func TestWhatACommandHolds(t *testing.T) {
	plugin := &controltest.Plugin{}
	b := &controltest.Broker{Answer: plugin.Answer}
	c := open(t, control.Options{URL: b.Start(t, "mqtt", nil)})
	if _, err := c.Disconnect(t.Context(), control.Target{Provider: "p", Subject: "s"}, time.Minute, "why"); err != nil {
		t.Fatal(err)
	}
	got := plugin.Asked("disconnectSession")[0]
	delete(got, "correlationData")
	if fmt.Sprint(got) != "map[block:60 command:disconnectSession provider:p reason:why sub:s]" {
		t.Error(got)
	}
	if _, err := c.ListRefusals(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := plugin.Asked("listRefusals")[0]; got["since"] != nil {
		t.Error(got)
	}
}

func TestAllRefusals(t *testing.T) {
	plugin := &controltest.Plugin{PageMost: 2}
	b := &controltest.Broker{Answer: plugin.Answer}
	for range 5 {
		plugin.Refuse(control.Refusal{})
	}
	c := open(t, control.Options{URL: b.Start(t, "mqtt", nil)})
	for since, want := range []int{5, 4, 3, 2, 1, 0} {
		page, err := c.ListRefusals(t.Context(), uint64(since))
		if err != nil || len(page.Refusals) != want || page.LastID != 5 || page.TotalCount != 5 {
			t.Errorf("since %d: %+v, %v", since, page, err)
		}
	}
}

func ids(sessions []control.Session) string {
	var all []string
	for _, s := range sessions {
		all = append(all, s.ClientID)
	}
	return strings.Join(all, " ")
}

// show is "+" for who is new, "~" for who has changed, "-" for who has ended.
func show(changes []control.Change) string {
	var all []string
	for _, c := range changes {
		sign := "~"
		switch (control.Session{}) {
		case c.Was:
			sign = "+"
		case c.Now:
			sign = "-"
		}
		all = append(all, sign+c.ClientID())
	}
	return strings.Join(all, " ")
}

func TestRoster(t *testing.T) {
	plugin := &controltest.Plugin{PageMost: 2}
	left := false
	b := &controltest.Broker{Answer: func(c controltest.Command) (any, string) {
		// Who leaves between two pages makes the others move up.
		if offset, _ := c["offset"].(float64); offset == 2 && !left {
			left = true
			plugin.End("a")
			plugin.Put(control.Session{ClientID: "f"})
		}
		return plugin.Answer(c)
	}}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		plugin.Put(control.Session{ClientID: id, Connected: true})
	}
	c := open(t, control.Options{URL: b.Start(t, "mqtt", nil)})
	r, err := c.Roster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(ids(r.All())); len(got) != 5 || slices.Contains(got, "a") || !r.Complete {
		t.Error(got, r.Complete)
	}
	update := func(want string) {
		t.Helper()
		if changes, err := r.Update(t.Context()); err != nil || show(changes) != want {
			t.Errorf("%q, want %q, %v", show(changes), want, err)
		}
	}
	update("")
	plugin.Put(control.Session{ClientID: "b", Connected: false}, control.Session{ClientID: "g"})
	plugin.End("e")
	update("~b +g -e")
	plugin.Put(control.Session{ClientID: "b", Connected: true})
	plugin.End("g")
	plugin.Forget()
	update("~b -g")
	update("")
}

func TestWatch(t *testing.T) {
	plugin := &controltest.Plugin{}
	plugin.Put(control.Session{ClientID: "a"})
	b := &controltest.Broker{Answer: plugin.Answer}
	c := open(t, control.Options{URL: b.Start(t, "mqtt", nil)})
	done := errors.New("done")
	var steps []string
	err := c.Watch(t.Context(), time.Millisecond, func(r *control.Roster, changes []control.Change, err error) error {
		if err != nil || (len(steps) > 0 && len(changes) == 0) {
			return err
		}
		steps = append(steps, fmt.Sprintf("%d: %s", r.Len(), show(changes)))
		switch len(steps) {
		case 1:
			plugin.Put(control.Session{ClientID: "b"})
			b.Drop()
		case 2:
			plugin.End("a")
		case 3:
			return done
		}
		return nil
	})
	if want := []string{"1: ", "2: +b", "1: -a"}; !errors.Is(err, done) || !slices.Equal(steps, want) {
		t.Errorf("%q, %v", steps, err)
	}
}

func TestAWatchWaitsForABrokerThatIsAway(t *testing.T) {
	plugin := &controltest.Plugin{}
	var away atomic.Bool
	b := &controltest.Broker{Answer: plugin.Answer, Login: func(*packets.Connect) byte {
		if away.Load() {
			return 0x88
		}
		return 0
	}}
	c := open(t, control.Options{URL: b.Start(t, "mqtt", nil)})
	done := errors.New("done")
	calls := 0
	err := c.Watch(t.Context(), time.Millisecond, func(_ *control.Roster, _ []control.Change, err error) error {
		calls++
		switch {
		case calls == 1:
			away.Store(true)
			b.Drop()
		case err != nil:
			fails(t, err, "server unavailable")
			away.Store(false)
		default:
			return done
		}
		return nil
	})
	if !errors.Is(err, done) || calls < 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	// A no ends it.
	refused := open(t, control.Options{URL: (&controltest.Broker{Login: func(*packets.Connect) byte { return 0x87 }}).Start(t, "mqtt", nil)})
	err = refused.Watch(t.Context(), time.Millisecond, func(*control.Roster, []control.Change, error) error { return nil })
	fails(t, err, "0x87")
	ctx, cancel := context.WithCancel(t.Context())
	err = c.Watch(ctx, time.Hour, func(*control.Roster, []control.Change, error) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestDate(t *testing.T) {
	if got := control.Date(1731310476.123).Time().Format(time.RFC3339Nano); !strings.HasPrefix(got, "2024-11-11T07:34:36.12") {
		t.Error(got)
	}
}

// An enhanced authentication that nobody has asked for ends nothing but that connection.
func TestABrokerThatAuthenticatesUnasked(t *testing.T) {
	properties := &packets.Properties{AuthMethod: "any", AuthData: []byte("any")}
	for name, answer := range map[string]packets.ControlPacket{
		"AUTH":    {FixedHeader: packets.FixedHeader{Type: packets.AUTH}, Content: &packets.Auth{ReasonCode: 0x18, Properties: properties}},
		"CONNACK": {FixedHeader: packets.FixedHeader{Type: packets.CONNACK}, Content: &packets.Connack{Properties: properties}},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = packets.ReadPacket(conn)
					_, _ = answer.WriteTo(conn)
					_, _ = packets.ReadPacket(conn)
					_ = conn.Close()
				}
			}()
			c := open(t, control.Options{URL: "mqtt://" + listener.Addr().String(), Patience: time.Second})
			if _, err := c.GetStatus(t.Context()); err == nil {
				t.Error("it has answered")
			}
		})
	}
}

// If the plugin says where the next page begins, nobody falls between two, and one pass is enough.
func TestRosterGoesOnWhereAPageEnds(t *testing.T) {
	plugin := &controltest.Plugin{PageMost: 2, Next: true}
	b := &controltest.Broker{Answer: func(c controltest.Command) (any, string) {
		if _, goesOn := c["from"]; goesOn && len(plugin.Asked("listSessions")) == 1 {
			plugin.End("a", "c")
			plugin.Put(control.Session{ClientID: "f"})
		}
		return plugin.Answer(c)
	}}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		plugin.Put(control.Session{ClientID: id, Connected: true})
	}
	r, err := open(t, control.Options{URL: b.Start(t, "mqtt", nil)}).Roster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(r.All()); got != "b d e f" || !r.Complete {
		t.Error(got, r.Complete)
	}
	if n := len(plugin.Asked("listSessions")); n != 3 {
		t.Errorf("it took %d pages", n)
	}
}
