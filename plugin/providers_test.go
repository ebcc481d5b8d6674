package plugin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/broker"
)

// of is a provider of a file with several, in mode local with a secret of its own: it has the issuer "https://NAME" and asks this
// endpoint, if any.
func of(name string, asks *gate, revocation string) string {
	endpoint := ""
	if asks != nil {
		endpoint = fmt.Sprintf(`,"revocation":{"introspection":{"uri":%q},%s}`, asks.url, revocation)
	}
	return fmt.Sprintf(`{"name":%q,"algorithm":"HS256","mode":"local","options":{"lazyConnect":true,"modes":{"local":%q},
		"common":{"issuer":"https://%s","usernameTemplate":"{provider}:{sub}","requireExpiration":false}%s}}`, name, secret+name, name, endpoint)
}

func fileOf(providers ...string) string {
	return `{"providers":[` + strings.Join(providers, ",") + `]}`
}

// tokenOf is signed by a provider's secret; a lifetime of zero is for ever.
func tokenOf(name, subject string, lifetime time.Duration) *string {
	return signed(name, name, subject, lifetime)
}

// signedBy is signed by one provider's secret, and has the issuer of another, or none; it is for ever.
func signedBy(key, name, subject string) *string { return signed(key, name, subject, 0) }

func signed(key, name, subject string, lifetime time.Duration) *string {
	claims := map[string]any{"sub": subject, "jti": subject + "'s"}
	if name != "" {
		claims["iss"] = "https://" + name
	}
	if lifetime > 0 {
		claims["exp"] = opening.Add(lifetime).Unix()
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(payload)
	mac := hmac.New(sha256.New, []byte(secret+key))
	mac.Write([]byte(text))
	text += "." + encode(mac.Sum(nil))
	return &text
}

// An endpoint that does not answer about its connected clients keeps those of no other provider from being asked about.
func TestRechecksOfOneProviderWaitForNoOther(t *testing.T) {
	slow, revoked := tokenOf("slow", "alice", time.Hour), tokenOf("quick", "bob", time.Hour)
	d, q := newGate(t, slow), newGate(t, revoked)
	const once = `"recheckIntervalMs":10000,"timeoutMs":60000,"maxConcurrent":1`
	h := open(t, fileOf(of("slow", d, once), of("quick", q, once)))
	d.says(slow, active)
	q.says(revoked, active)
	for c, token := range []*string{slow, revoked} {
		h.login(broker.Conn(c+1), fmt.Sprint("c", c), nil, token)
	}
	h.completesAll(t, 2)
	d.waitAsked()
	q.waitAsked()
	h.advance(10 * time.Second)
	h.Tick()
	d.waitAsked() // and no answer
	q.waitAsked()
	q.says(revoked, inactive)
	h.awaits(t, "not kicked", func() bool { return len(h.broker.kicked) > 0 })
	if want := []string{"c1 will=true"}; !slices.Equal(h.broker.kicked, want) {
		t.Errorf("kicked %q, want %q", h.broker.kicked, want)
	}
	if !slices.ContainsFunc(h.broker.log, func(line string) bool {
		return strings.Contains(line, `client "c1" disconnected: revoked: `) && strings.HasSuffix(line, ` (provider quick, token jti "bob's")`)
	}) {
		t.Errorf("it is not said whose token it was:\n%s", strings.Join(h.broker.log, "\n"))
	}
}

// Sessions of a provider that is removed, or renamed, are not asked about again: they leave when their token expires, or at their
// turn if it never does. Those of the others stay, and are asked about.
func TestSessionsOfARemovedProvider(t *testing.T) {
	for _, rule := range []string{"removed", "renamed", "with another issuer"} {
		t.Run(rule, func(t *testing.T) {
			d := newGate(t)
			gone := of("gone", d, every10s)
			h := open(t, fileOf(of("stays", d, every10s), gone))
			expiring, endless, staying := tokenOf("gone", "alice", time.Minute), tokenOf("gone", "bob", 0), tokenOf("stays", "carol", time.Hour)
			for n, token := range []*string{expiring, endless, staying} {
				h.login(broker.Conn(n+1), fmt.Sprint("c", n), nil, token)
			}
			h.completesAll(t, 3)
			for range 3 {
				d.waitAsked()
			}
			next := fileOf(of("stays", d, every10s))
			switch rule {
			case "renamed":
				next = fileOf(of("stays", d, every10s), of("gone2", d, every10s))
			case "with another issuer":
				next = fileOf(of("stays", d, every10s), strings.ReplaceAll(gone, `"https://gone"`, `"https://elsewhere"`))
			}
			h.write(t, next)
			h.Reload()
			h.Tick()
			h.broker.awaitLog(`reloaded`)
			if !h.logged("2 connected clients were admitted by") {
				t.Error("it is not said what becomes of them")
			}
			h.advance(10 * time.Second)
			h.Tick()
			h.awaits(t, "the endless one stays", func() bool { return len(h.broker.kicked) == 1 })
			if asked := d.waitAsked(); asked != *staying || len(d.asked) > 0 {
				t.Errorf("asked about %s, and %d more", asked, len(d.asked))
			}
			h.advance(50 * time.Second)
			h.Tick()
			if want := []string{"c1 will=true", "c0 will=true"}; !slices.Equal(h.broker.kicked, want) {
				t.Errorf("kicked %q, want %q", h.broker.kicked, want)
			}
		})
	}
}

// A provider that is kept over a reload names its keys by its new place.
func TestAProviderThatMovesNamesItsNewPlace(t *testing.T) {
	d := newGate(t)
	h := open(t, fileOf(of("first", nil, ""), of("second", d, `"check":"afterConnect","maxConcurrent":1`)))
	second := h.chain.Providers()[1]
	h.write(t, fileOf(of("second", d, `"check":"afterConnect","maxConcurrent":1`), of("first", nil, "")))
	h.Reload()
	h.Tick()
	h.broker.awaitLog(`reloaded`)
	if kept := h.chain.Providers()[0]; kept != second {
		t.Fatal("the provider was built anew")
	}
	if got := second.Key("options.revocation"); got != "$.providers[0].options.revocation" {
		t.Errorf("it calls its keys %s", got)
	}
}
