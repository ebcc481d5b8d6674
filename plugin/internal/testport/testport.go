// Package testport finds addresses at which nobody listens, for tests.
package testport

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// Ports that a system never chooses itself for a connection, or for who listens at any: Linux does so from 32768 on, others from 49152
// (RFC 6335 §6). Of those, another program could have one by chance before the test has used it.
const (
	lowest  = 20_000
	highest = 32_767
)

// next counts the ports that were looked at, so that no test of a process gets the port of another. Processes begin apart.
var next atomic.Int64

// Free returns an address of 127.0.0.1 at which nobody listens: for who has to be told one before it is used, or for nobody at all.
func Free(tb testing.TB) string {
	tb.Helper()
	for range highest - lowest {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+(int64(os.Getpid())*100+next.Add(1))%(highest-lowest+1))
		if l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	tb.Fatal("no port is free")
	return ""
}
