package main

import (
	"io"
	"net"
	"testing"
	"time"

	"go-jwt-auth/test/harness"
)

// answering is the address of a listener that answers whatever is sent with bytes and closes the connection: the first
// connection has the first answer, and all from the last one on have that.
func answering(t *testing.T, answers ...[]byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// Read first, so that the answer is not lost to a reset.
			_, _ = io.ReadAtLeast(c, make([]byte, 1024), 1)
			_, _ = c.Write(answers[0])
			c.Close()
			answers = answers[min(1, len(answers)-1):]
		}
	}()
	return "mqtt://" + l.Addr().String()
}

var (
	accepted = []byte{0x20, 2, 0, 0}
	refused  = []byte{0x20, 2, 0, 5}
	closed   = []byte{}
)

func TestTheStormPausesAfterEveryFailure(t *testing.T) {
	const window = 6 * retryPause
	for _, c := range []struct {
		name    string
		address string
		in      bool
		errors  bool
	}{
		{"accepted", answering(t, accepted), true, false},
		{"refused", answering(t, refused), false, false},
		{"closed", answering(t, closed), false, false},
		{"no listener", "mqtt://127.0.0.1:1", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			logins := []harness.Login{{ClientID: "a"}, {ClientID: "b"}}
			got, err := storm(c.address, logins, time.Now().Add(window))
			if err != nil {
				t.Fatal(err)
			}
			if c.in {
				if got.logins <= 2*len(logins)*int(window/retryPause) || got.errors > 0 {
					t.Errorf("%+v: want many logins and no errors", got)
				}
				return
			}
			if got.logins != 0 || (got.errors > 0) != c.errors || (got.attempts > 0) == c.errors {
				t.Errorf("%+v: want no logins, and errors: %v", got, c.errors)
			}
			if most := len(logins) * int(window/retryPause+1); got.attempts+got.errors > most {
				t.Errorf("%+v: want at most %d tries", got, most)
			}
		})
	}
}

func TestTheStormGetsInOnRetry(t *testing.T) {
	address := answering(t, closed, closed, accepted, closed)
	got, err := storm(address, []harness.Login{{ClientID: "a"}}, time.Now().Add(5*retryPause))
	if err != nil {
		t.Fatal(err)
	}
	if got.logins != 1 || got.attempts < 3 || got.errors > 0 {
		t.Errorf("%+v: want one login, after two attempts that were closed", got)
	}
}

func TestAClientOfThePairComesBackUntilItIsAdmittedOrRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		url  string
		in   bool
	}{
		{"admitted", answering(t, closed, closed, accepted), true},
		{"refused", answering(t, closed, refused, accepted), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := admit(c.url, harness.Login{ClientID: "a"})
			if (err == nil) != c.in {
				t.Errorf("%v, want no error: %v", err, c.in)
			}
			if r != nil {
				r.Close()
			}
		})
	}
}
