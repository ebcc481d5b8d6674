package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

const unasked = `is in, and this plugin was not asked`

// Mosquitto 2.1 tells of clients that another let in, and of those whom it asked about: who is in without that came by his
// certificate, or by a plugin that stands before this one. 2.0 can't say.
func TestAClientThatThePluginWasNotAskedAbout(t *testing.T) {
	file := object{"algorithm": "HS256", "mode": "local", "options": object{"modes": object{"local": "a secret of forty bytes, long enough it is"}}}
	operator := harness.Login{ClientID: "c", Username: new("operator"), Password: new("operator's password")}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		// admitted has somebody let in, and tells whether that is said.
		admitted := func(t *testing.T, b *harness.Broker, connect func() (accepted bool, err error)) bool {
			t.Helper()
			if accepted, err := connect(); !accepted || err != nil {
				t.Fatalf("accepted: %t, %v", accepted, err)
			}
			b.WaitLog("Sending CONNACK to c")
			return matches(b.Log(), unasked)
		}
		knocks := func(t *testing.T, b *harness.Broker, l harness.Login) func() (bool, error) {
			return func() (bool, error) { return knock(t, b, harness.V5, l).Accepted(), nil }
		}
		t.Run("by a plugin after this one", func(t *testing.T) {
			b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", file), sensors()}})
			if admitted(t, b, knocks(t, b, operator)) {
				t.Error("it is said of a client that was left to others")
			}
		})
		t.Run("without a name", func(t *testing.T) {
			b := harness.Start(t, v, harness.Options{AllowAnonymous: true, Plugins: []harness.Plugin{harness.JWT("jwt.json", file)}})
			if admitted(t, b, knocks(t, b, harness.Login{ClientID: "c"})) {
				t.Error("it is said of a client that was left to others")
			}
		})
		t.Run("by a plugin before it", func(t *testing.T) {
			b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{sensors(), harness.JWT("jwt.json", file)}})
			admitted(t, b, knocks(t, b, operator))
			if v.AtLeast(2, 1) {
				b.WaitLog(`client "c" ` + unasked)
			}
		})
		t.Run("by a certificate", func(t *testing.T) {
			pems, certificate := madeCertificate(t)
			b := harness.Start(t, v, harness.Options{
				Plugins: []harness.Plugin{harness.JWT("jwt.json", file)},
				Files:   map[string]string{"all.pem": pems},
				Listeners: []harness.Listener{{}, {Extra: "cafile {dir}/all.pem\ncertfile {dir}/all.pem\nkeyfile {dir}/all.pem\n" +
					"require_certificate true\nuse_identity_as_username true"}},
			})
			said := admitted(t, b, func() (bool, error) {
				_, address, _ := strings.Cut(b.URL(1), "://")
				conn, err := tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true})
				if err != nil {
					return false, err
				}
				defer conn.Close() //nolint:errcheck // nobody is there any more
				_ = conn.SetDeadline(time.Now().Add(harness.Patience))
				if _, err := conn.Write(harness.ConnectPacket(harness.V311, harness.Login{ClientID: "c"})); err != nil {
					return false, err
				}
				answer, err := packets.ReadPacket(conn)
				if err != nil {
					return false, err
				}
				connack, is := answer.(*packets.ConnackPacket)
				return is && connack.ReturnCode == 0, nil
			})
			if v.AtLeast(2, 1) {
				b.WaitLog(`client "c" ` + unasked)
			} else if said {
				t.Error("2.0 can't know")
			}
		})
	})
}

// madeCertificate signs itself, and serves both ends. The text holds it with its key.
func madeCertificate(t *testing.T) (text string, certificate tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sensor-1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if certificate, err = tls.X509KeyPair(public, secret); err != nil {
		t.Fatal(err)
	}
	return string(public) + string(secret), certificate
}
