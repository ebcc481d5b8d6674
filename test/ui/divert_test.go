//go:build browser

package ui

import (
	"io"
	"net"
	"sync"
	"testing"
)

// diversion hands connections on, until it is cut.
type diversion struct {
	listener net.Listener
	mu       sync.Mutex // guards what follows
	off      bool
	conns    []net.Conn
}

func divert(t *testing.T, to string) *diversion {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &diversion{listener: listener}
	t.Cleanup(func() { listener.Close(); d.cut() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			onto, err := net.Dial("tcp", to)
			if err != nil || !d.keep(from, onto) {
				from.Close()
				continue
			}
			go func() { _, _ = io.Copy(onto, from); onto.Close() }()
			go func() { _, _ = io.Copy(from, onto); from.Close() }()
		}
	}()
	return d
}

func (d *diversion) keep(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, conns...)
	return !d.off
}

func (d *diversion) address() string { return d.listener.Addr().String() }

// cut ends all connections, and those to come.
func (d *diversion) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	for _, c := range d.conns {
		c.Close()
	}
	d.conns = nil
}

func (d *diversion) mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = false
}
