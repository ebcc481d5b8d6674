package endpoint

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// stagger is how long an address has for itself before the next is tried beside it (RFC 8305 §5).
const stagger = 250 * time.Millisecond

// leastConnect is what a connection may take at least, whatever the timeout: the first packet may get lost, and is sent again
// after a second.
const leastConnect = 2 * time.Second

// unhurried bounds a connection for a request that did not come through Do.
const unhurried = 10 * time.Second

// dialer connects to whichever of a host's addresses answers first. The one in net tries the addresses of a family one
// after another and gives each a share of the time, so that a single one that swallows packets uses up a login's.
type dialer struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer() dialer {
	return dialer{
		lookup: net.DefaultResolver.LookupNetIP,
		dial:   (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext,
	}
}

// timeoutKey holds the timeout of the request for which a connection is made. net/http dials on a context that does not end
// with the request, but has its values.
type timeoutKey struct{}

// DialContext is for http.Transport. Finding the addresses may take as long as the request, since a resolver has its own
// way of trying again; connecting a third of that, but leastConnect.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	timeout, ok := ctx.Value(timeoutKey{}).(time.Duration)
	if !ok {
		timeout = unhurried
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := d.resolve(ctx, timeout, host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, max(timeout/3, leastConnect))
	defer cancel()
	return d.race(ctx, network, port, addresses)
}

func (d dialer) resolve(ctx context.Context, timeout time.Duration, host string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := d.lookup(ctx, "ip", host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "it has no address", Name: host, IsNotFound: true}
	}
	return alternate(found), err
}

// alternate sorts addresses so that the families take turns, beginning with the resolver's choice (RFC 8305 §4).
func alternate(addresses []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, address := range addresses {
		i := 0
		if address.Unmap().Is4() != addresses[0].Unmap().Is4() {
			i = 1
		}
		families[i] = append(families[i], address.Unmap())
	}
	var sorted []netip.Addr
	for i := range addresses {
		for _, family := range families {
			if i < len(family) {
				sorted = append(sorted, family[i])
			}
		}
	}
	return sorted
}

// race tries all addresses: the next one when all before it have failed, or after stagger. The error is that of the first
// that failed.
func (d dialer) race(ctx context.Context, network, port string, addresses []netip.Addr) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addresses)) // so that sending never waits
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the attempts that have lost
	next := time.NewTimer(0)
	defer next.Stop()
	var first error
	for begun, ended := 0, 0; ended < len(addresses); {
		select {
		case <-next.C:
			if begun == len(addresses) {
				continue
			}
			address := net.JoinHostPort(addresses[begun].String(), port)
			begun++
			go func() {
				conn, err := d.dial(ctx, network, address)
				results <- result{conn, err}
			}()
			next.Reset(stagger)
		case r := <-results:
			ended++
			if r.err == nil {
				go func() {
					for range begun - ended {
						if late := <-results; late.err == nil {
							_ = late.conn.Close()
						}
					}
				}()
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			if ended == begun {
				next.Reset(0)
			}
		}
	}
	return nil, first
}
