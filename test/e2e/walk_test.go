package e2e

import (
	"crypto/tls"
	"net/url"
	"regexp"
	"testing"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// What the broker tells of all of its clients (2.1): those that are away are among them, as they were, and so are its bridges. Nobody is
// whose login is pending or was refused.
func TestTheBrokerTellsOfAllClients(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		pems, certificate := madeCertificate(t)
		b := events(t, v, harness.Options{
			Files: map[string]string{"all.pem": pems},
			Extra: "connection bridge\naddress 127.0.0.1:1\ntopic x/# out\nlocal_clientid bridge\nremote_username r\nremote_password r\n",
			Listeners: []harness.Listener{{}, {WebSockets: true}, {Extra: "cafile {dir}/all.pem\ncertfile {dir}/all.pem\nkeyfile {dir}/all.pem\n" +
				"require_certificate true\nuse_identity_as_username true"}},
		}, map[string]string{"accept": "true", "delay": "pending", "deny": "refused"})
		admin := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "admin"}).Accepted()
		admin.Publish(witnessTopic, "walk all", 1)
		if !v.AtLeast(2, 1) {
			b.WaitLog(`witness: there is no list of clients`)
			return
		}
		b.WaitLog(`witness: walked 2 clients`)

		leaves := harness.Connect(t, b.URL(0), harness.Paho5,
			harness.Login{ClientID: "away", Username: new("u"), Resume: true, SessionExpiry: never}).Accepted()
		leaves.Subscribe("a", 1)
		leaves.Subscribe("b", 1)
		leaves.Disconnect()
		b.WaitLog(`CLIENT_OFFLINE id=away `)
		gone := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "gone"}).Accepted()
		gone.Disconnect()
		b.WaitLog(`witness: DISCONNECT id=gone `)
		harness.Connect(t, b.URL(1), harness.Paho3, harness.Login{ClientID: "ws", KeepAlive: 77}).Accepted()
		if got := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "refused"}).Connack(); got.Accepted() {
			t.Fatal(got)
		}
		pending, err := harness.Dial(b.URL(0), harness.V311)
		if err != nil {
			t.Fatal(err)
		}
		defer pending.Close()
		if err := pending.Send(harness.ConnectPacket(harness.V311, harness.Login{ClientID: "pending"})); err != nil {
			t.Fatal(err)
		}
		b.WaitLog(`witness: BASIC_AUTH id=pending `)
		conn, err := tls.Dial("tcp", host(t, b.URL(2)), &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // nobody is there any more
		if _, err := conn.Write(harness.ConnectPacket(harness.V5, harness.Login{ClientID: "certified"})); err != nil {
			t.Fatal(err)
		}
		b.WaitLog(`witness: CONNECT id=certified `)

		mark := b.Mark()
		admin.Publish(witnessTopic, "walk all", 1)
		b.WaitLogSince(mark, `witness: walked 5 clients`)
		for _, want := range []string{
			`id=admin username=\(null\) address=127\.0\.0\.1 port=` + port(t, b.URL(0)) + ` version=5 websockets=0 keepalive=60 clean=1 subscriptions=0 certificate=0`,
			`id=away username=u address=127\.0\.0\.1 port=` + port(t, b.URL(0)) + ` version=5 websockets=0 keepalive=60 clean=0 subscriptions=2 certificate=0`,
			`id=ws username=\(null\) address=127\.0\.0\.1 port=` + port(t, b.URL(1)) + ` version=4 websockets=1 keepalive=77 clean=1 subscriptions=0 certificate=0`,
			`id=certified username=sensor-1 address=127\.0\.0\.1 port=` + port(t, b.URL(2)) + ` version=5 websockets=0 keepalive=60 clean=1 subscriptions=0 certificate=1`,
			`id=bridge username=\(null\) address=\(null\) port=0 version=4 .*certificate=0`,
		} {
			b.WaitLogSince(mark, `witness: walked `+want)
		}
	})
}

// A session that was restored after a restart is among them too, by the names that it had.
func TestTheBrokerTellsOfRestoredSessions(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		if !v.AtLeast(2, 1) {
			t.Skip("it has no list of clients")
		}
		first := events(t, v, harness.Options{Persistence: true}, map[string]string{"accept": "true"})
		leaves := harness.Connect(t, first.URL(0), harness.Paho5,
			harness.Login{ClientID: "away", Username: new("u"), Resume: true, SessionExpiry: never}).Accepted()
		leaves.Subscribe("a", 1)
		leaves.Disconnect()
		first.WaitLog(`CLIENT_OFFLINE id=away `)
		first.Stop()
		b := events(t, v, harness.Options{Persistence: true, Prepare: copyFile(t, first, "mosquitto.db")}, map[string]string{"accept": "true"})
		admin := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "admin"}).Accepted()
		admin.Publish(witnessTopic, "walk all", 1)
		b.WaitLog(`witness: walked 2 clients`)
		b.WaitLog(`witness: walked id=away username=u address=\(null\) port=\d+ version=\d .*subscriptions=1 certificate=0`)
	})
}

func host(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func port(t *testing.T, address string) string {
	t.Helper()
	return regexp.MustCompile(`\d+$`).FindString(host(t, address))
}
