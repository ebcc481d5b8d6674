package idp

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// pagesOnly lets the pages of clients with Redirects, and no others that a browser on this machine has open, read what the
// provider answers. This provider uses no cookies, so none are allowed.
func (p *Provider) pagesOnly(clients []Client) *cors.Options {
	var origins []string
	for _, c := range clients {
		for _, redirect := range c.Redirects {
			if u, err := url.Parse(redirect); err == nil && u.Host != "" {
				origins = append(origins, strings.ToLower(u.Scheme+"://"+u.Host))
			}
		}
	}
	return &cors.Options{
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: []string{"Accept", "Accept-Language", "Authorization", "Content-Type"},
		// An empty list of origins would mean any.
		AllowOriginFunc: func(origin string) bool { return slices.Contains(origins, strings.ToLower(origin)) },
	}
}

// thisMachineOnly refuses requests to a loopback address under another name: a page whose host name was made to resolve to this
// machine (DNS rebinding) has the same origin as the provider under that name, so pagesOnly does not stop it.
func (p *Provider) thisMachineOnly(next http.Handler) http.Handler {
	if !isLoopback(p.server.host()) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			http.Error(w, "idp: this provider is called by its loopback address alone", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}
