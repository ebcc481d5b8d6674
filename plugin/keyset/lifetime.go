package keyset

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"

	"github.com/pquerna/cachecontrol/cacheobject"
)

// lifetime is how long the set in an answer with this header may serve. Zero: for the login that asked for it alone.
func lifetime(cache config.JWKSCache, h http.Header, now time.Time) time.Duration {
	if !cache.Enabled {
		return 0
	}
	if cache.RespectCacheHeaders {
		if life, said := headerLifetime(h, now); said {
			return life
		}
	}
	return cache.TTL
}

// maxHeaderLifetime bounds what cache headers can ask for: a key that the provider withdrew must not serve for longer.
const maxHeaderLifetime = 24 * time.Hour

// headerLifetime is the freshness lifetime that the answer's Cache-Control, Expires and Age give it (RFC 9111 §4.2);
// said is false if they say nothing. What can't be understood counts as stale, as §4.2 and §5.3 want it.
func headerLifetime(h http.Header, now time.Time) (lifetime time.Duration, said bool) {
	control, err := cacheobject.ParseResponseCacheControl(strings.Join(h.Values("Cache-Control"), ","))
	switch {
	case err != nil || control.NoStore || control.NoCachePresent:
		return 0, true
	case control.MaxAge >= 0:
		lifetime = time.Duration(control.MaxAge) * time.Second
	case h.Get("Expires") != "":
		expires, err := http.ParseTime(h.Get("Expires"))
		if err != nil {
			return 0, true
		}
		date, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			date = now
		}
		lifetime = expires.Sub(date)
	default:
		return 0, false
	}
	if age, err := strconv.ParseUint(strings.TrimSpace(h.Get("Age")), 10, 31); err == nil {
		lifetime -= time.Duration(age) * time.Second
	}
	return min(max(lifetime, 0), maxHeaderLifetime), true
}
