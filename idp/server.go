package idp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// server listens on one port, and can stop and start again on it.
type server struct {
	address string // "host:port"
	handler http.Handler
	tls     *tls.Config // nil: plain HTTP

	mu     sync.Mutex // guards all below
	socket int        // holds the port while the server is down; -1 after close
	http   *http.Server
	done   chan struct{} // closed when http has stopped serving
}

// newServer binds an IPv4 address, "host:0" for a free port, and does not listen yet.
//
// The bound socket stays for the server's life, so that the kernel does not give the port away while the provider simulates
// an outage. SO_REUSEADDR lets a second socket listen there, which net.Listen sets on its own.
func newServer(address string) (*server, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	port, err := bind(socket, tcp)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("idp: can't bind %s: %w", address, err), syscall.Close(socket))
	}
	tcp.Port = port
	return &server{address: tcp.String(), socket: socket}, nil
}

// bind returns the port that the socket got.
func bind(socket int, tcp *net.TCPAddr) (int, error) {
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	want := &syscall.SockaddrInet4{Port: tcp.Port}
	copy(want.Addr[:], tcp.IP.To4())
	if err := syscall.Bind(socket, want); err != nil {
		return 0, err
	}
	got, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, err
	}
	return got.(*syscall.SockaddrInet4).Port, nil //nolint:errcheck,forcetypeassert // the address is one of IPv4
}

func (s *server) host() string {
	host, _, _ := net.SplitHostPort(s.address)
	return host
}

// up listens; it does nothing if the server does already.
func (s *server) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.socket < 0 {
		return errors.New("idp: the provider is closed")
	}
	if s.http != nil {
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp4", s.address) // a numeric address: no name to look up
	if err != nil {
		return fmt.Errorf("idp: %w", err)
	}
	if s.tls != nil {
		listener = tls.NewListener(listener, s.tls)
	}
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that distrusts the certificate is part of the tests
	}
	s.done = make(chan struct{})
	go func(server *http.Server, done chan struct{}) {
		defer close(done)
		// Only Close ends it: nothing else uses the listener.
		_ = server.Serve(listener)
	}(s.http, s.done)
	return nil
}

// down stops listening and cuts all connections; when it returns, the port refuses.
func (s *server) down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// stop wants mu held.
func (s *server) stop() {
	if s.http == nil {
		return
	}
	_ = s.http.Close() // reports errors of closing connections, which are closed all the same
	<-s.done
	s.http = nil
}

func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.socket < 0 {
		return nil
	}
	s.stop()
	err := syscall.Close(s.socket)
	s.socket = -1
	return err
}
