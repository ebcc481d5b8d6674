package config

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// placeholder is what examples and templates write where a reader's own value belongs.
var placeholder = regexp.MustCompile(`<[^<>]*>|\$?\{+[^{}]*\}+`)

// endpoint reads an absolute http or https URL. No message shows more of it than scheme and host, since a query may
// hold an API key and a user part a password.
func endpoint(to *string) reader {
	return func(d *document, n *node) {
		raw, ok := word(d, n)
		if !ok {
			return
		}
		if wrong := endpointProblem(raw); wrong != "" {
			d.errorf(n, "%s", wrong)
			return
		}
		if Plaintext(raw) {
			d.warnf(n, "%s", PlaintextWarning)
		}
		*to = raw
	}
}

// PlaintextWarning says what it means that an address is Plaintext.
const PlaintextWarning = "goes over plain http, so that anybody on the way can read and change what passes, tokens and secrets included: use https"

// Plaintext tells whether an address is reached by http over a network: what stays on this machine (RFC 6761 §6.3 for names)
// nobody can listen to.
func Plaintext(address string) bool {
	u, err := url.Parse(address)
	if err != nil || !strings.EqualFold(u.Scheme, "http") {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.Unmap().IsLoopback()
}

func endpointProblem(raw string) string {
	const example = `an address such as "https://idp.example.com/realms/main/…"`
	if hole := placeholder.FindString(raw); hole != "" {
		return "still holds the placeholder " + verdict.Quote(hole) + ": put the host name or path of your identity provider there"
	}
	if strings.Contains(raw, TokenPlaceholder) {
		return "must not hold " + TokenPlaceholder + ", since it is the same for every token: a path with the token belongs into requestParameters"
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "must be " + example + ", " + parseCause(raw, err)
	}
	switch {
	case u.Scheme == "":
		return "must be " + example + ", found no http:// or https:// in front"
	case u.Scheme != "http" && u.Scheme != "https":
		return "must begin with http:// or https://, " + schemeFound(raw, u)
	case u.User != nil:
		return "must not hold a user name or password (addresses are logged): use clientId and clientSecret where the endpoint asks for them"
	case u.Hostname() == "":
		return "must be " + example + ", found no host name"
	case strings.Contains(raw, "#"):
		return `must not hold a fragment, found "#": a server never sees it`
	}
	if port := u.Port(); port != "" {
		if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
			return "must have a port from 1 to 65535, found " + verdict.Quote(port)
		}
	}
	return ""
}

// parseCause is why the address can't be taken apart. What is at fault could belong to a password.
func parseCause(raw string, err error) string {
	var escape url.EscapeError
	var host url.InvalidHostError
	switch {
	case strings.ContainsAny(raw, "@?"):
	case errors.As(err, &escape):
		return `found "%" without two hexadecimal digits (a percent sign is %25)`
	case errors.As(err, &host):
		return "found " + verdict.Quote(string(host)) + " in the host name"
	case strings.Contains(err.Error(), "invalid port"):
		return "found a port that is not a number"
	}
	return "found characters where an address has none"
}

// schemeFound leaves out what could be a user name.
func schemeFound(raw string, u *url.URL) string {
	if strings.Contains(raw, "@") {
		return "found something else"
	}
	return "found " + verdict.Quote(u.Scheme+":")
}

// listenAddress reads the address and port at which something is served. Names are not looked up, but for localhost.
func listenAddress(to *string) reader {
	return func(d *document, n *node) {
		raw, ok := word(d, n)
		if !ok {
			return
		}
		at, err := netip.ParseAddrPort(strings.Replace(raw, "localhost:", "127.0.0.1:", 1))
		switch {
		case err != nil || at.Port() == 0 || at.Addr().Zone() != "":
			d.errorf(n, `must be an IP address and a port, such as "127.0.0.1:9641", found %s`, n.Found())
			return
		case !at.Addr().Unmap().IsLoopback():
			d.warnf(n, "is not of this machine alone: whoever reaches it can read the metrics, without a password. "+
				"Have a firewall let Prometheus alone in, or listen at 127.0.0.1")
		}
		*to = raw
	}
}
