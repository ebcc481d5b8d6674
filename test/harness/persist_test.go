package harness

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"go-jwt-auth/test/brokers"
)

// puttingOff is the address of a way to the broker's listener at address that
// closes the first connection when CONNECT has come. It ends when the clients
// have.
func puttingOff(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	t.Cleanup(func() { _ = l.Close() })
	open.Go(func() {
		for first := true; ; first = false {
			near, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			if first {
				_, _ = near.Read(make([]byte, 1024))
				_ = near.Close()
				continue
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(address, "mqtt://"))
			if err != nil {
				t.Error(err)
				return
			}
			for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
				open.Go(func() {
					_, _ = io.Copy(to, from)
					_, _ = near.Close(), far.Close()
				})
			}
		}
	})
	return "mqtt://" + l.Addr().String()
}

func TestEveryPersistentClientComesAgain(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := Start(t, v, Options{AllowAnonymous: true})
		clients := map[Kind]*Persistent{}
		for i, kind := range PersistentKinds {
			b.urls = append(b.urls, puttingOff(t, b.URL(0)))
			clients[kind] = Persist(t, b, i+1, kind, Login{ClientID: fmt.Sprint("c", i)}, "a")
		}
		for _, c := range clients {
			c.WaitSubscribed()
		}
		Connect(t, b.URL(0), Paho3, Login{}).Accepted().Publish("a", "welcome", 1)
		for kind, c := range clients {
			if got := c.WaitMessage(); got != "welcome" {
				t.Errorf("%s: it got %q", kind, got)
			}
			answer, attempts := c.WaitConnack()
			if !answer.Accepted() || attempts != 2 {
				t.Errorf("%s: attempt %d was %v, want the second to be accepted", kind, attempts, answer)
			}
		}
	})
}

func TestEveryPersistentClientLearnsThatItIsRefused(t *testing.T) {
	each(t, func(t *testing.T, v brokers.Version) {
		b := both(t, v, Options{Passwords: alice})
		for _, kind := range PersistentKinds {
			for i, transport := range []string{"TCP", "WebSocket"} {
				if i == 1 && (kind == MosquittoSub3 || kind == MosquittoSub5) {
					continue // they know TCP alone
				}
				t.Run(string(kind)+" over "+transport, func(t *testing.T) {
					c := Persist(t, b, i, kind, Login{ClientID: "c", Username: new("alice"), Password: new("elsewhere")}, "a")
					want := byte(0x05)
					if kind.Protocol() == V5 {
						want = 0x87
					}
					if answer, attempts := c.WaitConnack(); answer.Code != want || attempts != 1 {
						t.Errorf("attempt %d was %v, want the first to be refused with 0x%02x", attempts, answer, want)
					}
				})
			}
		}
	})
}
