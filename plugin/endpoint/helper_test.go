package endpoint_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

func newClient(t *testing.T, tls config.TLS) *endpoint.Client {
	t.Helper()
	client, err := endpoint.New(&config.Provider{TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// serve answers on loopback until the test ends, and returns its address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// serveRaw answers each connection by what speak does with it, HTTP or not.
func serveRaw(t *testing.T, speak func(net.Conn)) string {
	t.Helper()
	listener := listen(t)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				speak(conn)
			}()
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return "http://" + listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
