package rights_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// truth is a token, and what its bearer may do: one entry of testdata/truth.json, which the end-to-end tests walk, too.
type truth struct {
	Name string
	// Provider is its name; empty: it has none.
	Provider string
	// Common and Authorization are these sections of its options.
	Common, Authorization json.RawMessage
	Claims                json.RawMessage
	// Client is who logs in.
	Client struct{ Username, ClientID string }
	// Refused is what the refusal of the login begins with.
	Refused            string
	Allow, Deny, Defer []action
}

// action is ["publish", topic, QoS, retain], of which the latter two may be missing.
type action struct {
	access broker.Access
	topic  string
	qos    uint8
	retain bool
}

func (a *action) UnmarshalJSON(text []byte) error {
	var verb string
	members := []any{&verb, &a.topic, &a.qos, &a.retain}
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	a.access = map[string]broker.Access{
		"publish": broker.Write, "subscribe": broker.Subscribe, "receive": broker.Read, "unsubscribe": broker.Unsubscribe,
	}[verb]
	return nil
}

func readTruths(t testing.TB) []truth {
	t.Helper()
	text, err := os.ReadFile("testdata/truth.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []truth
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// providerOf is one that verifies by a secret, with these sections in its options; empty: it has none.
func providerOf(t testing.TB, name, common, authorization string) *config.Provider {
	t.Helper()
	options := `"modes": {"local": "0123456789abcdef0123456789abcdef"}, "authorization": ` + authorization
	if common != "" {
		options += `, "common": ` + common
	}
	file := `{"algorithm": "HS256", "mode": "local", "options": {` + options + `}}`
	if name != "" {
		file = `{"providers": [{"name": "` + name + `", ` + file[1:] + `]}`
	}
	c, problems := config.Parse([]byte(file), "/jwt.json")
	if c == nil || len(problems) > 0 {
		t.Fatalf("%s\n%v", file, problems)
	}
	return c.Providers[0]
}

func claimsOf(t testing.TB, text string) token.Claims {
	t.Helper()
	claims, err := jsonvalue.Object([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return token.NewClaims(claims)
}

// who is the client under the names that package identity gives it.
func (r truth) who(cfg *config.Provider, claims token.Claims) rights.Who {
	who := rights.Who{Username: r.Client.Username, ClientID: r.Client.ClientID}
	if cfg.Common.MatchUsername {
		who.Username = claims.Text(cfg.Common.UsernameClaim)
		if t := cfg.Common.UsernameTemplate; t != nil {
			who.Username = t.Render(claims.Text)
		}
	}
	if cfg.Common.MatchClientID {
		who.ClientID = claims.Text(cfg.Common.ClientIDClaim)
	}
	return who
}

func TestTruth(t *testing.T) {
	cases := 0
	for _, r := range readTruths(t) {
		t.Run(r.Name, func(t *testing.T) {
			cfg := providerOf(t, r.Provider, string(r.Common), string(r.Authorization))
			claims := claimsOf(t, string(r.Claims))
			held, v := rights.New(cfg).Compile(claims, r.who(cfg, claims), nil)
			if r.Refused != "" {
				cases++
				if v.Kind != verdict.Deny || held != nil || !strings.HasPrefix(v.String(), r.Refused) {
					t.Fatalf("got %s\nwant %s", v, r.Refused)
				}
				return
			}
			if v.Kind != verdict.Accept {
				t.Fatal(v)
			}
			for want, actions := range map[verdict.Kind][]action{verdict.Accept: r.Allow, verdict.Deny: r.Deny, verdict.Defer: r.Defer} {
				for _, a := range actions {
					cases++
					got, why := held.Explain(a.access, a.topic, a.qos, a.retain)
					if allowed := held.Allow(a.access, a.topic, a.qos, a.retain); allowed != got {
						t.Errorf("%v: Allow says %s, Explain %s", a, allowed, got)
					}
					if got != want || why == "" {
						t.Errorf("%v: got %s, want %s: %s", a, got, want, why)
					}
				}
			}
		})
	}
	if cases < 250 {
		t.Errorf("%d cases", cases)
	}
}
