package identity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// none stands for an absent username, and for an identity that is left alone.
const none = "(none)"

func pointer(s string) *string {
	if s == none {
		return nil
	}
	return &s
}

func text(p *string) string {
	if p == nil {
		return none
	}
	return *p
}

// defaults are those of the configuration.
func defaults() config.Common {
	return config.Common{OnMismatch: config.MismatchRewrite, UsernameClaim: "sub", ClientIDClaim: "sub"}
}

func TestMap(t *testing.T) {
	with := func(change func(*config.Common)) config.Common {
		common := defaults()
		change(&common)
		return common
	}
	name := with(func(c *config.Common) { c.MatchUsername = true })
	id := with(func(c *config.Common) { c.MatchClientID = true })
	both := with(func(c *config.Common) { c.MatchUsername, c.MatchClientID = true, true })
	deny := with(func(c *config.Common) {
		c.MatchUsername, c.MatchClientID, c.OnMismatch = true, true, config.MismatchDeny
	})
	apart := with(func(c *config.Common) {
		c.MatchUsername, c.MatchClientID, c.UsernameClaim, c.ClientIDClaim = true, true, "preferred_username", "device.id"
	})

	claims := map[string]any{"sub": "alice", "preferred_username": "ann", "device": map[string]any{"id": "d-1"}}
	const ok, denied = "accept", ` ($.options.common.onSubjectMismatch is "deny")`
	const opaque = "Zm9vYmFy-opaque"
	const fixed = " (this Mosquitto can't change a client id, 2.1 can)"
	cases := []struct {
		rule           string
		common         config.Common
		username, id   string // the client's own
		want           string
		newName, newID string
		v20            string // the verdict on 2.0 if it is another
	}{
		{rule: "nothing is tied", common: defaults(), username: "bob", id: "c", want: ok, newName: none, newID: none},
		{rule: "username is replaced", common: name, username: "bob", id: "c", want: ok, newName: "alice", newID: none},
		{rule: "username is given where there is none", common: name, username: none, id: "c", want: ok, newName: "alice", newID: none},
		{rule: "username is given where it is empty", common: name, username: "", id: "c", want: ok, newName: "alice", newID: none},
		{rule: "username that matches stays", common: name, username: "alice", id: "c", want: ok, newName: none, newID: none},
		{rule: "username in other case is another", common: name, username: "Alice", id: "c", want: ok, newName: "alice", newID: none},
		{rule: "client id is replaced", common: id, username: "bob", id: "c", want: ok, newName: none, newID: "alice", v20: `identity mismatch: the client id must be "alice", found "c"` + fixed},
		{rule: "client id that matches stays", common: id, username: none, id: "alice", want: ok, newName: none, newID: none},
		{rule: "an empty client id is replaced", common: id, username: none, id: "", want: ok, newName: none, newID: "alice", v20: `identity mismatch: the client id must be "alice", found ""` + fixed},
		{rule: "both are replaced", common: both, username: "bob", id: "c", want: ok, newName: "alice", newID: "alice", v20: `identity mismatch: the client id must be "alice", found "c"` + fixed},
		{rule: "both match", common: both, username: "alice", id: "alice", want: ok, newName: none, newID: none},
		{rule: "deny: both match", common: deny, username: "alice", id: "alice", want: ok, newName: none, newID: none},
		{rule: "deny: another username", common: deny, username: "bob", id: "alice", want: `identity mismatch: the username must be "alice", found "bob"` + denied},
		{rule: "deny: a token in the wrong field is not shown", common: deny, username: "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", id: "alice", want: `identity mismatch: the username must be "alice", found (a token)` + denied},
		{rule: "deny: nor is an opaque one", common: deny, username: opaque, id: "alice", want: `identity mismatch: the username must be "alice", found (a token)` + denied},
		{rule: "deny: nor as a client id", common: deny, username: "alice", id: opaque, want: `identity mismatch: the client id must be "alice", found (a token)` + denied},
		{rule: "deny: no username", common: deny, username: none, id: "alice", want: `identity mismatch: the username must be "alice", found none` + denied},
		{rule: "deny: another client id", common: deny, username: "alice", id: "c", want: `identity mismatch: the client id must be "alice", found "c"` + denied},
		{rule: "deny: what the client sent is no forged log line", common: deny, username: "b\nob", id: "c", want: `identity mismatch: the username must be "alice", found "b\nob"` + denied},
		{rule: "each from a claim of its own", common: apart, username: "bob", id: "c", want: ok, newName: "ann", newID: "d-1", v20: `identity mismatch: the client id must be "d-1", found "c"` + fixed},
		{rule: "each from a claim of its own, matching", common: apart, username: "ann", id: "d-1", want: ok, newName: none, newID: none},
	}
	for _, c := range cases {
		for _, v20 := range []bool{false, true} {
			rule, want := c.rule+", 2.1", c.want
			if v20 {
				rule = c.rule + ", 2.0"
				if c.v20 != "" {
					want = c.v20
				}
			}
			t.Run(rule, func(t *testing.T) {
				var trace verdict.Trace
				client := broker.Connect{ClientID: c.id, Username: pointer(c.username)}
				mapped, v := identity.New(&config.Provider{Common: c.common}, v20).Map(token.NewClaims(claims), client, opaque, &trace)
				if v.String() != want {
					t.Fatalf("got %s, want %s", v, want)
				}
				newName, newID := c.newName, c.newID
				if want != ok {
					newName, newID = none, none
				}
				if text(mapped.Username) != newName || text(mapped.ClientID) != newID {
					t.Errorf("got username %s, client id %s, want %s, %s", text(mapped.Username), text(mapped.ClientID), newName, newID)
				}
				if len(trace) > 0 && trace[len(trace)-1].OK != (want == ok) {
					t.Errorf("the trace ends with %+v", trace[len(trace)-1])
				}
			})
		}
	}
}

// TestSubjects: what may become an identity. It is refused even if it is the client's own already.
func TestSubjects(t *testing.T) {
	const own = "begins with '$', as the broker's own topics do"
	const wildcard, control, slash, utf8 = "holds a topic wildcard", "holds a control character", "holds '/' ($.options.common.allowSlashInIdentity admits it)", "is no valid UTF-8"
	const reserved = "is kept for others ($.options.common.reservedNames)"
	cases := []struct {
		rule string
		sub  any // nil: none
		want string
		// slashed is the verdict with allowSlashInIdentity if it is another.
		slashed string
	}{
		{rule: "a word", sub: "alice", want: "accept"},
		{rule: "an address", sub: "ann@example.test", want: "accept"},
		{rule: "a UUID", sub: "0f3a1c1e-7d0e-4f0e-8a51-0c0b3f9c1d11", want: "accept"},
		{rule: "Auth0's bar", sub: "auth0|5f7c8ec7", want: "accept"},
		{rule: "letters of all scripts", sub: "žluťoučký 猫 🐈", want: "accept"},
		{rule: "spaces and signs", sub: ` a$b%c"d\e'f`, want: "accept"},
		{rule: "the longest", sub: strings.Repeat("x", 65535), want: "accept"},
		{rule: "one byte more", sub: strings.Repeat("x", 65536), want: "has more than 65535 bytes"},
		{rule: "plus alone", sub: "+", want: wildcard},
		{rule: "plus inside", sub: "a+b", want: wildcard},
		{rule: "hash alone", sub: "#", want: wildcard},
		{rule: "hash at the end (CVE-2017-7650)", sub: "alice#", want: wildcard},
		{rule: "wildcard and slash", sub: "a/#", want: wildcard},
		{rule: "slash", sub: "a/b", want: slash, slashed: "accept"},
		{rule: "slash alone", sub: "/", want: slash, slashed: "accept"},
		{rule: "the broker's own topics", sub: "$SYS", want: own},
		{rule: "the broker's own topics below", sub: "$SYS/broker", want: own},
		{rule: "shared subscriptions", sub: "$share/g", want: own},
		{rule: "control topics", sub: "$CONTROL", want: own},
		{rule: "a dollar alone", sub: "$", want: own},
		{rule: "a dollar further in", sub: "a$SYS", want: "accept"},
		{rule: "a dollar after a space", sub: " $SYS", want: "accept"},
		{rule: "a dollar in a level below", sub: "a/$SYS", want: slash, slashed: "accept"},
		{rule: "a placeholder of patterns", sub: "%u%c", want: "accept"},
		{rule: "spaces around it, which are part of it", sub: " alice ", want: "accept"},
		{rule: "U+FEFF, which is part of it (MQTT 5 §1.5.4)", sub: "\ufeffalice", want: "accept"},
		{rule: "joined emoji", sub: "👩\u200d🔬", want: "accept"},
		{rule: "empty", sub: "", want: "is empty"},
		{rule: "NUL", sub: "alice\x00", want: control},
		{rule: "line break", sub: "alice\nbob", want: control},
		{rule: "tab", sub: "\t", want: control},
		{rule: "DEL", sub: "a\x7f", want: control},
		{rule: "C1 control", sub: "a\u0085", want: control},
		{rule: "non-character U+FFFF", sub: "a\uffff", want: control},
		{rule: "non-character U+FDD0", sub: "a\ufdd0", want: control},
		{rule: "non-character of a higher plane", sub: "a\U0001fffe", want: control},
		{rule: "invalid UTF-8", sub: "a\xff", want: utf8},
		{rule: "a surrogate's bytes", sub: "a\xed\xa0\x80", want: utf8},
		{rule: "what JSON decoders put in place of invalid UTF-8", sub: "a\ufffd", want: utf8},
		{rule: "none", sub: nil, want: "no identity: sub must be a string, found none"},
		{rule: "a number", sub: json.Number("42"), want: "no identity: sub must be a string, found the number 42 (a provider has to write a name as text, in quotes; or map another claim)"},
		{rule: "an array", sub: []any{"alice"}, want: "no identity: sub must be a string, found an array"},
		{rule: "an object", sub: map[string]any{}, want: "no identity: sub must be a string, found an object"},
		{rule: "true", sub: true, want: "no identity: sub must be a string, found true"},
		{rule: "a reserved name", sub: "admin", want: reserved},
		{rule: "another of them", sub: "root user", want: reserved},
		{rule: "in other letters, which the broker keeps apart", sub: "Admin", want: "accept"},
		{rule: "a part of one", sub: "admin2", want: "accept"},
	}
	for _, c := range cases {
		for _, slashed := range []bool{false, true} {
			for _, tied := range []string{"username", "client id"} {
				rule := c.rule + ", " + tied
				want := c.want
				if slashed {
					rule += ", slashes allowed"
					if c.slashed != "" {
						want = c.slashed
					}
				}
				t.Run(rule, func(t *testing.T) {
					common := defaults()
					common.AllowSlash = slashed
					common.ReservedNames = []string{"admin", "root user"}
					common.MatchUsername, common.MatchClientID = tied == "username", tied == "client id"
					claims, own := map[string]any{}, "other"
					if c.sub != nil {
						claims["sub"] = c.sub
					}
					if sub, isString := c.sub.(string); isString {
						own = sub
					}
					for n, client := range []broker.Connect{{ClientID: "c", Username: pointer("u")}, {ClientID: own, Username: &own}, {ClientID: own, Username: &own}} {
						var trace verdict.Trace
						mapped, v := identity.New(&config.Provider{Common: common}, n == 2).Map(token.NewClaims(claims), client, "", &trace)
						switch {
						case want == "accept":
							if v.Kind != verdict.Accept {
								t.Errorf("got %s", v)
							}
						case strings.HasPrefix(want, "no identity"):
							if v.String() != want {
								t.Errorf("got %s, want %s", v, want)
							}
						case v.Reason != verdict.UnsafeIdentity || !strings.HasSuffix(v.Detail, ", which "+want) || !strings.HasPrefix(v.Detail, "sub is "):
							t.Errorf("got %s, want …%s", v, want)
						}
						if v.Kind != verdict.Accept && mapped != (identity.Identity{}) {
							t.Errorf("refused, but mapped to %+v", mapped)
						}
						if strings.ContainsAny(v.Detail, "\n\x00\x7f") || len(v.Detail) > 600 {
							t.Errorf("not fit for the log: %q", v.Detail)
						}
					}
				})
			}
		}
	}
}

// TestSubjectIsNotLookedAt if no identity is mapped from it.
func TestSubjectIsNotLookedAt(t *testing.T) {
	for _, claims := range []map[string]any{nil, {"sub": "#"}, {"sub": 7}} {
		var trace verdict.Trace
		if mapped, v := identity.New(&config.Provider{Common: defaults()}, false).Map(token.NewClaims(claims), broker.Connect{ClientID: "c"}, "", &trace); v.Kind != verdict.Accept || mapped != (identity.Identity{}) {
			t.Errorf("%v: got %s, %+v", claims, v, mapped)
		}
	}
}

// A connected client whose names are the token that it came by shows another: no message has the one or the other.
func TestNamesThatAreTokensAreNotShown(t *testing.T) {
	const old = "an opaque token of before"
	for _, name := range []string{"username", "client id"} {
		cfg := &config.Provider{}
		cfg.Common.MatchUsername, cfg.Common.UsernameClaim = name == "username", "sub"
		cfg.Common.MatchClientID, cfg.Common.ClientIDClaim = name == "client id", "sub"
		client := broker.Connect{ClientID: old, Username: pointer(old), IDIsToken: true, NameIsToken: true}
		_, v := identity.New(cfg, false).Fixed().Map(token.NewClaims(map[string]any{"sub": "alice"}), client, "an opaque token", nil)
		if v.Kind != verdict.Deny || strings.Contains(v.String(), old) || !strings.Contains(v.String(), "found (a token)") {
			t.Errorf("%s: %s", name, v)
		}
	}
}
