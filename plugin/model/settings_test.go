package model

import (
	"encoding/json"
	"fmt"
	"time"

	"pgregory.net/rapid"
)

// settings are a jwt.json.
type settings struct {
	Mode     string
	Provider int    // whose keys and endpoint it names
	Secret   string // in mode local
	Issuer   string // empty: any

	Validate, Kick               bool
	Leeway                       time.Duration
	MatchUsername, MatchClientID bool
	Deny                         bool // a mismatch is refused
	Lazy                         bool

	Check            string // empty: no revocation, but in mode introspection
	Allow            bool
	TTL, NegativeTTL time.Duration
	Recheck          time.Duration
}

const (
	local         = "local"
	jwks          = "jwks"
	introspection = "introspection"

	beforeConnect = "beforeConnect"
	afterConnect  = "afterConnect"
	onRetry       = "onRetry"

	// timeout is that of every request, retryWindow how long an answer waits for the next attempt; keyTTL and maxStale are
	// for how long a key set serves, and where there is no newer one.
	timeout     = 3 * time.Second
	retryWindow = 10 * time.Second
	keyTTL      = 20 * time.Second
	maxStale    = 2 * time.Minute
)

func (s settings) kicks() bool { return s.Validate && s.Kick }

// asks tells whether a provider has a say.
func (s settings) asks() bool { return s.Check != "" }

func (s settings) keyLife() time.Duration { return max(keyTTL, maxStale) }

// window is for how long an answer is kept for an attempt to come.
func (s settings) window() time.Duration {
	if s.Check == onRetry || s.Mode == introspection {
		return retryWindow
	}
	return 0
}

func issuer(provider int) string { return fmt.Sprintf("https://idp%d.example", provider) }

func drawSettings(t *rapid.T) settings {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	often := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }
	s := settings{
		Mode:     rapid.SampledFrom([]string{local, local, jwks, introspection}).Draw(t, "mode"),
		Provider: rapid.IntRange(0, 1).Draw(t, "provider"),
		Secret:   rapid.SampledFrom([]string{secrets[0], secrets[1]}).Draw(t, "secret"),
		Validate: !often("validateExpiration false"), Kick: !often("kickExpiredClients false"),
		MatchUsername: flag("matchUsername"), MatchClientID: often("matchClientId"), Deny: often("mismatch denied"),
		Lazy: flag("lazyConnect"),
	}
	if often("leeway") {
		s.Leeway = 5 * time.Second
	}
	if flag("issuer") {
		s.Issuer = issuer(s.Provider)
	}
	if s.Mode == introspection || !often("no revocation") {
		s.Check = rapid.SampledFrom([]string{beforeConnect, onRetry, afterConnect}).Draw(t, "check")
		s.Allow = often("onUnavailable allow")
		if s.Mode == introspection { // nothing but the answer speaks for such a token
			s.Allow = false
			if s.Check == afterConnect {
				s.Check = beforeConnect
			}
		}
		span := rapid.SampledFrom([]time.Duration{0, 0, 30 * time.Second})
		s.TTL, s.NegativeTTL = span.Draw(t, "ttl"), span.Draw(t, "negativeTtl")
		s.Recheck = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "recheck")
	}
	return s
}

var secrets = [...]string{"secret 0, which is long enough for HMAC", "secret 1, which is long enough for HMAC"}

// file is the jwt.json.
func (s settings) file() string {
	ms := time.Duration.Milliseconds
	modes, algorithm := map[string]any{}, "EdDSA"
	switch s.Mode {
	case local:
		modes[local], algorithm = s.Secret, "HS256"
	case jwks:
		modes[jwks] = map[string]any{
			"uri": fmt.Sprintf("http://idp%d/keys", s.Provider), "timeoutMs": ms(timeout), "maxBlockMs": 250,
			"cache": map[string]any{"enabled": true, "ttlMs": ms(keyTTL), "maxStaleMs": ms(maxStale)},
		}
	}
	common := map[string]any{
		"validateExpiration": s.Validate, "leewayMs": ms(s.Leeway),
		"matchUsernameToSubject": s.MatchUsername, "matchClientIdToSubject": s.MatchClientID,
	}
	if s.Validate {
		common["kickExpiredClients"] = s.Kick
	}
	if s.Issuer != "" {
		common["issuer"] = s.Issuer
	}
	if s.Deny {
		common["onSubjectMismatch"] = "deny"
	}
	options := map[string]any{"modes": modes, "common": common, "lazyConnect": s.Lazy}
	if s.asks() {
		revocation := map[string]any{
			"introspection": map[string]any{"uri": fmt.Sprintf("http://idp%d/introspect", s.Provider)},
			"check":         s.Check, "timeoutMs": ms(timeout), "retryWindowMs": ms(retryWindow),
			"cache": map[string]any{"ttlMs": ms(s.TTL), "negativeTtlMs": ms(s.NegativeTTL)},
		}
		if s.Allow {
			revocation["onUnavailable"] = "allow"
		}
		if s.Recheck > 0 {
			revocation["recheckIntervalMs"] = ms(s.Recheck)
		}
		options["revocation"] = revocation
	}
	all := map[string]any{"mode": s.Mode, "options": options}
	if s.Mode != introspection {
		all["algorithm"] = algorithm
	}
	return string(must(json.MarshalIndent(all, "", " ")))
}
