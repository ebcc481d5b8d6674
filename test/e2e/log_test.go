package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// ownLines are the lines that the plugin has logged since mark. What the broker itself writes of a client is the broker's
// affair.
func ownLines(b *harness.Broker, mark int) (own []string) {
	for line := range strings.SplitSeq(b.LogSince(mark), "\n") {
		if strings.HasPrefix(line, "go_jwt_auth: ") {
			own = append(own, line)
		}
	}
	return own
}

// A client behind a WebSocket of Mosquitto 2.0 says itself what its address is. However long, and whatever is in it: it is one
// quoted value in one line.
func TestAnAddressForgesNoLine(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := start(t, v, config(t, p))
		b.WaitLog("the introspection endpoint answers as it should") // which is asked in the background
		for _, lie := range []string{
			`192.0.2.1] accepted as "forged" (token jti "x")`,
			"192.0.2.1] \x1b[2J\u202e forged",
			strings.Repeat("x", 900) + ` go_jwt_auth: client "forged" [192.0.2.1] accepted as "admin"`,
			strings.Repeat(`go_jwt_auth: client "forged" [192.0.2.1] accepted as "admin" `, 14),
		} {
			mark := b.Mark()
			r, err := harness.DialWith(b.URL(1), harness.V5, http.Header{"X-Forwarded-For": {lie}})
			if err != nil {
				continue // the broker does not like it either
			}
			if got, err := r.Connect(login("c", p.Token("sensor-1", -time.Minute))); err != nil || got.Accepted() {
				t.Errorf("CONNECT was %v, %v", got, err)
			}
			r.Close()
			b.WaitLogSince(mark, `client "c" \[.*refused: expired`)
			for _, line := range ownLines(b, mark) {
				if strings.ContainsFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }) || len(line) > 880 {
					t.Errorf("not fit for a log: %q", line)
				}
				address, known := strings.CutPrefix(line, `go_jwt_auth: client "c" [`)
				if !known || (strings.Contains(line, "forged") && !strings.HasPrefix(address, `"`)) {
					t.Errorf("what the client says is not quoted: %s", line)
				}
			}
		}
		if v.Name == "2.0.21" && !strings.Contains(strings.Join(ownLines(b, 0), "\n"), "forged") {
			t.Error("this Mosquitto did not take the address from X-Forwarded-For")
		}
	})
}

// A token in another field than its own is not shown by the plugin; one that the broker makes the client id
// (use_username_as_clientid) neither.
func TestATokenIsNotShownInAnyField(t *testing.T) {
	p := provider(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Listeners: []harness.Listener{{Extra: "use_username_as_clientid true"}, {}},
			Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p, object{
				"options.revocation": nil, "options.common.tokenSource": []string{"username", "password"}, "options.lazyConnect": true,
			}))},
		})
		good, expired, other := p.Token("sensor-1", time.Hour), p.Token("sensor-1", -time.Minute), p.Opaque("sensor-1", time.Hour)
		again(t, b, harness.V5, harness.Login{ClientID: "c", Username: &good})
		again(t, b, harness.V5, harness.Login{ClientID: "c", Username: &expired})
		again(t, b, harness.V5, harness.Login{ClientID: "c", Username: &other, Password: &good})
		for _, l := range []harness.Login{
			{ClientID: good, Username: new("u"), Password: &good},
			{ClientID: "device-" + expired, Username: &expired, Password: &expired},
		} {
			if _, err := harness.Knock(b.URL(1), harness.V5, l); err != nil {
				t.Error(err)
			}
		}
		b.WaitLog(`go_jwt_auth: client "device-\(a token\)" \[127\.0\.0\.1\] refused: expired`)
		b.WaitLog(`go_jwt_auth: client \(a token\) \[127\.0\.0\.1\] refused: expired`)
		b.WaitLog(`go_jwt_auth: client \(a token\) \[127\.0\.0\.1\] refused: encrypted token`)
		lines := strings.Join(ownLines(b, 0), "\n")
		for _, token := range []string{good, expired, other} {
			for part := range strings.SplitSeq(token, ".") {
				if len(part) > 40 && strings.Contains(lines, part) {
					t.Errorf("a part of a token stands in\n%s", lines)
				}
			}
		}
	})
}
