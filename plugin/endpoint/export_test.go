package endpoint

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// SetClock has the age of connections measured by now.
func (c *Client) SetClock(now func() time.Time) { c.connections.now = now }

// HastenPings has connections asked for a sign of life so many times sooner.
func (c *Client) HastenPings(times time.Duration) {
	c.connections.blank.HTTP2.SendPingTimeout /= times
	c.connections.blank.HTTP2.PingTimeout /= times
}

// SetLookup resolves host names by lookup.
func (c *Client) SetLookup(lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)) {
	d := newDialer()
	d.lookup = lookup
	c.connections.blank.DialContext = d.DialContext
}

// SetDial resolves and connects by the two functions.
func (c *Client) SetDial(
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error),
	dial func(ctx context.Context, network, address string) (net.Conn, error),
) {
	c.connections.blank.DialContext = dialer{lookup, dial}.DialContext
}
