package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"go-jwt-auth/plugin/config"
)

// addresses are those of a provider that jwt.json names.
func addresses(p *config.Provider) []string {
	all := []string{p.OIDC.Issuer, p.OIDC.JWKSURI, p.JWKS.URI}
	if r := p.Revocation; r != nil {
		all = append(all, r.Introspection.URI)
		if r.Plain != nil {
			all = append(all, r.Plain.URI)
		}
	}
	return all
}

// waitFor waits a moment for addresses on this machine that refuse connections: a provider that the line before has started
// in the background listens after a second. Whatever comes of it is for the caller to find out.
func (c *console) waitFor(ctx context.Context, uris ...string) {
	ctx, cancel := context.WithTimeout(ctx, c.startUp)
	defer cancel()
	for _, uri := range uris {
		for host := loopback(uri); host != "" && refused(ctx, host); {
			if c.refused != nil {
				c.refused()
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

func refused(ctx context.Context, host string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close() // nothing was sent
	return false
}

// loopback is the "host:port" of an address of this machine alone, or empty.
func loopback(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	if ip, err := netip.ParseAddr(u.Hostname()); !strings.EqualFold(u.Hostname(), "localhost") && (err != nil || !ip.IsLoopback()) {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
