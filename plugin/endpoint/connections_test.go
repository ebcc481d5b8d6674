package endpoint_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

// secured is a server that speaks HTTP/2 over TLS, or HTTP/1.1 alone, with a client that trusts it.
func secured(t *testing.T, http2 bool, handler http.HandlerFunc) (*httptest.Server, *endpoint.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = http2
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that are cut are wanted
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, newClient(t, config.TLS{CAFile: ca})
}

// wire forwards connections to a server until they are cut: from then on they swallow what is sent, as when a firewall has
// forgotten them. New ones work.
type wire struct {
	uri  string
	made atomic.Int32
	gone atomic.Int32 // closed by the client

	mu    sync.Mutex
	alive []*atomic.Bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	w := &wire{}
	w.uri = strings.Replace(serveRaw(t, func(near net.Conn) {
		w.made.Add(1)
		far, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		forward := new(atomic.Bool)
		forward.Store(true)
		w.mu.Lock()
		w.alive = append(w.alive, forward)
		w.mu.Unlock()
		copying := func(to io.Writer, from io.Reader) {
			buffer := make([]byte, 32<<10)
			for {
				n, err := from.Read(buffer)
				if forward.Load() && n > 0 {
					_, _ = to.Write(buffer[:n])
				}
				if err != nil {
					return
				}
			}
		}
		go copying(near, far)
		copying(far, near)
		w.gone.Add(1)
	}), "http:", "https:", 1)
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, forward := range w.alive {
		forward.Store(false)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// TestAConnectionOnWhichARequestTimedOutIsNotUsedAgain: nor are those that were made with it.
func TestAConnectionOnWhichARequestTimedOutIsNotUsedAgain(t *testing.T) {
	const together = 8
	for _, http2 := range []bool{true, false} {
		t.Run(fmt.Sprint("HTTP/2: ", http2), func(t *testing.T) {
			var inside sync.WaitGroup
			server, client := secured(t, http2, func(http.ResponseWriter, *http.Request) {
				inside.Done()
				inside.Wait() // so that they need a connection each with HTTP/1.1
			})
			line := newWire(t, server.Listener.Addr().String())
			var all sync.WaitGroup
			inside.Add(together)
			for range together {
				all.Go(func() {
					if _, err := client.Get(t.Context(), line.uri, patience); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			line.cut()
			if _, err := client.Get(t.Context(), line.uri, 200*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("on a dead connection: %v", err)
			}
			inside.Add(1)
			if _, err := client.Get(t.Context(), line.uri, 20*time.Second); err != nil {
				t.Errorf("after that: %v", err)
			}
		})
	}
}

// TestARequestThatCameTooLateLeavesTheConnectionsAlone: else those that time out in a long queue would have all the others
// connect anew, to an endpoint that is busy enough.
func TestARequestThatCameTooLateLeavesTheConnectionsAlone(t *testing.T) {
	var slow atomic.Bool
	server, client := secured(t, true, func(_ http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			<-r.Context().Done()
		}
	})
	line := newWire(t, server.Listener.Addr().String())
	get := func(ctx context.Context) error {
		_, err := client.Get(ctx, line.uri, patience)
		return err
	}
	if err := get(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := get(late); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	slow.Store(false)
	if err := get(t.Context()); err != nil || line.made.Load() != 1 {
		t.Errorf("%v after %d connections", err, line.made.Load())
	}
}

// TestADeadConnectionIsFoundBeforeItIsNeeded: by pings that nobody answers.
func TestADeadConnectionIsFoundBeforeItIsNeeded(t *testing.T) {
	server, client := secured(t, true, write(200, ""))
	client.HastenPings(100)
	line := newWire(t, server.Listener.Addr().String())
	if _, err := client.Get(t.Context(), line.uri, patience); err != nil {
		t.Fatal(err)
	}
	line.cut()
	eventually(t, "the connection is kept", func() bool { return line.gone.Load() == line.made.Load() })
	if _, err := client.Get(t.Context(), line.uri, patience); err != nil {
		t.Error(err)
	}
}

// TestAChangedAddressIsNoticedWithinAMinute: although the machine at the old one still answers.
func TestAChangedAddressIsNoticedWithinAMinute(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		t.Run(fmt.Sprint("HTTP/2: ", http2), func(t *testing.T) {
			server, client := secured(t, http2, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, strings.Split(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String(), ":")[0])
			})
			second, err := net.Listen("tcp", strings.Replace(server.Listener.Addr().String(), "127.0.0.1", "127.0.0.2", 1))
			if err != nil {
				t.Fatal(err)
			}
			moved := newWireFrom(t, second, server.Listener.Addr().String())
			var clock atomic.Int64
			client.SetClock(func() time.Time { return time.Unix(0, clock.Load()) })
			address := netip.MustParseAddr("127.0.0.1")
			client.SetLookup(func(context.Context, string, string) ([]netip.Addr, error) { return []netip.Addr{address}, nil })
			uri := strings.Replace(server.URL, "127.0.0.1", "example.com", 1) // httptest's certificate is for it
			ask := func() {
				t.Helper()
				if _, err := client.Get(t.Context(), uri, patience); err != nil {
					t.Fatal(err)
				}
			}
			ask()
			address = netip.MustParseAddr("127.0.0.2")
			ask()
			if moved.Load() != 0 {
				t.Error("the connection was not kept")
			}
			clock.Add(int64(time.Minute - 1))
			ask()
			if moved.Load() != 1 {
				t.Error("the old address is still asked")
			}
		})
	}
}

// newWireFrom forwards what comes to a listener, and counts connections.
func newWireFrom(t *testing.T, from net.Listener, to string) *atomic.Int32 {
	t.Helper()
	count := new(atomic.Int32)
	t.Cleanup(func() { from.Close() })
	go func() {
		for {
			near, err := from.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer far.Close()
				go func() { _, _ = io.Copy(near, far) }()
				_, _ = io.Copy(far, near)
			}()
		}
	}()
	return count
}

// blackHole is an address at which the kernel drops what asks for a connection: nobody accepts, and the queue is full.
func blackHole(t *testing.T, ip string, port int) netip.Addr {
	t.Helper()
	address := netip.MustParseAddr(ip)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: address.As4()}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	// One connection more than the queue takes makes it full.
	for {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", ip, port), 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
}

// TestOneAddressOfSeveralIsABlackHole: those that answer are reached beside it, in the time that a login has.
func TestOneAddressOfSeveralIsABlackHole(t *testing.T) {
	uri := serve(t, write(200, "hello"))
	port := netip.MustParseAddrPort(strings.TrimPrefix(uri, "http://")).Port()
	hole, good := blackHole(t, "127.0.0.3", int(port)), netip.MustParseAddr("127.0.0.1")
	refusing := netip.MustParseAddr("127.0.0.4")
	uri = fmt.Sprintf("http://idp.test:%d", port)
	for _, c := range []struct {
		rule      string
		addresses []netip.Addr
		want      string // in the error; "": none
	}{
		{"the good one second", []netip.Addr{hole, good}, ""},
		{"the good one first", []netip.Addr{good, hole}, ""},
		{"after one that refuses", []netip.Addr{refusing, good}, ""},
		{"after two", []netip.Addr{hole, refusing, good}, ""},
		{"of the other family", []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.3"), good}, ""},
		{"none", []netip.Addr{hole}, "can't connect: 127.0.0.3:" + fmt.Sprint(port) + " does not answer"},
		{"none that does not refuse", []netip.Addr{refusing, refusing}, "connection refused"},
		{"no address", nil, `the host name "idp.test" is not known`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			client := newClient(t, config.TLS{})
			client.SetLookup(func(context.Context, string, string) ([]netip.Addr, error) { return c.addresses, nil })
			answer, err := client.Get(t.Context(), uri, 10*time.Second)
			if c.want != "" {
				refused(t, err, "GET "+uri, c.want)
			} else if err != nil || string(answer.Body) != "hello" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestTheOrderOfAddresses: the families take turns, and who has lost the race is closed.
func TestTheOrderOfAddresses(t *testing.T) {
	var addresses []netip.Addr
	for _, ip := range []string{"2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::3", "192.0.2.2"} {
		addresses = append(addresses, netip.MustParseAddr(ip))
	}
	var mu sync.Mutex
	var tried []string
	client := newClient(t, config.TLS{})
	client.SetDial(
		func(context.Context, string, string) ([]netip.Addr, error) { return addresses, nil },
		func(_ context.Context, _, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			tried = append(tried, address)
			return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
		},
	)
	_, err := client.Get(t.Context(), "http://idp.test", patience)
	refused(t, err, "GET http://idp.test", "can't connect: network is unreachable")
	want := "[2001:db8::1]:80 192.0.2.1:80 [2001:db8::2]:80 192.0.2.2:80 [2001:db8::3]:80"
	if got := strings.Join(tried, " "); got != want {
		t.Errorf("tried %s\nwant  %s", got, want)
	}
}
