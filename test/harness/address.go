package harness

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Ports that a system never chooses itself for a connection, or for who listens at any: Linux does so from 32768 on, others from 49152
// (RFC 6335 §6). Of those, another program could have one by chance before it is used.
const (
	lowestPort  = 10_000
	highestPort = 19_999
)

// nextPort counts the ports that were looked at, so that none is found twice by a process. Processes begin apart.
var nextPort atomic.Int64

// FreePort returns a TCP port of 127.0.0.1 at which nobody listens, for a program that has to be told one.
func FreePort(t T) string {
	t.Helper()
	for range highestPort - lowestPort {
		port := fmt.Sprint(lowestPort + (int64(os.Getpid())*100+nextPort.Add(1))%(highestPort-lowestPort+1))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatalf("harness: no port is free")
	return ""
}

// FreeAddress is 127.0.0.1 with a free port.
func FreeAddress(t T) string {
	t.Helper()
	return "127.0.0.1:" + FreePort(t)
}
