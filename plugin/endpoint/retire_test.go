package endpoint

import (
	"crypto/tls"
	"testing"
)

// Many requests time out on one dead connection, and some of them after another has taken its place.
func TestConnectionsAreRetiredOnce(t *testing.T) {
	c := newConnections(&tls.Config{MinVersion: tls.VersionTLS12})
	dead := c.current()
	c.retire(dead)
	c.retire(dead)
	alive := c.current()
	if alive == dead {
		t.Fatal("it is still in use")
	}
	c.retire(dead)
	if c.current() != alive {
		t.Error("the one that took its place is gone as well")
	}
}
