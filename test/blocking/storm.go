package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/test/harness"
)

// tally is what the storm's clients met.
type tally struct {
	attempts int   // CONNECT sent
	logins   int   // accepted
	errors   int   // CONNECT could not be sent
	err      error // the last one of these
}

func (t *tally) add(other tally) {
	t.attempts += other.attempts
	t.logins += other.logins
	t.errors += other.errors
	if other.err != nil {
		t.err = other.err
	}
}

// storm has a client for each login connect, leave, and connect again without pause until end; only after a failure it
// waits for retryPause. Connections that wait for an answer at end are closed.
func storm(address string, logins []harness.Login, end time.Time) (total tally, err error) {
	broker, err := netip.ParseAddrPort(strings.TrimPrefix(address, "mqtt://"))
	if err != nil {
		return total, err
	}
	var mu sync.Mutex // guards total
	var clients sync.WaitGroup
	for _, l := range logins {
		clients.Go(func() {
			mine := logInUntil(end, broker, harness.ConnectPacket(harness.V311, l))
			mu.Lock()
			defer mu.Unlock()
			total.add(mine)
		})
	}
	clients.Wait()
	return total, nil
}

func logInUntil(end time.Time, broker netip.AddrPort, connect []byte) (t tally) {
	for time.Now().Before(end) {
		in, err := t.logIn(end, broker, connect)
		if err != nil && time.Now().Before(end) { // else it is the end itself
			t.errors++
			t.err = err
		}
		if !in {
			time.Sleep(min(retryPause, time.Until(end)))
		}
	}
	return t
}

// logIn reports whether the broker let the client in. It works on bytes: with a client library there would be less left
// of the machine for the broker. Errors are about what comes before the broker's answer.
func (t *tally) logIn(end time.Time, broker netip.AddrPort, connect []byte) (in bool, err error) {
	dialer := net.Dialer{Deadline: end}
	c, err := dialer.DialTCP(context.Background(), "tcp", netip.AddrPort{}, broker)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }() // nothing depends on how it ends
	if err := c.SetDeadline(end); err != nil {
		return false, err
	}
	if _, err := c.Write(connect); err != nil {
		return false, err
	}
	t.attempts++
	var connack [4]byte // MQTT 3.1.1 §3.2
	_, err = io.ReadFull(c, connack[:])
	if err != nil || connack[0] != 0x20 || connack[3] != 0 {
		return false, nil // closed, by the broker or at the end, or refused: that is an answer, too
	}
	t.logins++
	leave(c)
	return true, nil
}

// leave sends DISCONNECT and closes the connection in a way that leaves nothing of it in TIME_WAIT: the broker closes
// first, and is then told to forget it. Else the storm would use up all local ports within seconds, and what was
// measured from then on would be the kernel's search for a free one.
func leave(c *net.TCPConn) {
	if _, err := c.Write([]byte{0xe0, 0}); err != nil {
		return // the broker was first anyway
	}
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		_ = c.SetLinger(0) // without it, there are some ports fewer for a minute
	}
}
