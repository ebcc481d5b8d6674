package plugin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/plugin/verdict"
)

// named is a provider in mode local that maps the client id, too; common are more members of options.common.
func named(name, key, common string) string {
	return fmt.Sprintf(`{"name":%q,"algorithm":"HS256","mode":"local","options":{"modes":{"local":%q},
		"common":{"matchUsernameToSubject":true,"matchClientIdToSubject":true,"requireExpiration":false%s}}}`, name, secret+key, common)
}

// Sub alone does not make two clients the same: a session is of one provider, issuer and subject, as one plugin line knows them.
func TestWhoMayTakeOverASession(t *testing.T) {
	issued := func(by string) string { return fmt.Sprintf(`,"issuer":"https://%s"`, by) }
	for _, c := range []struct {
		rule string
		// one and two are the files of two listeners; if two is empty, one's next file is then.
		one, two, then string
		first, second  *string
		want           verdict.Kind
	}{
		{"the same provider", fileOf(named("a", "a", issued("a"))), "", "", tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"another provider with the same sub", fileOf(named("a", "a", issued("a")), named("b", "b", issued("b"))), "", "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"the rest provider with the same sub", fileOf(named("a", "a", issued("a")), named("b", "b", "")), "", "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"two issuers of one provider", fileOf(named("a", "a", `,"issuer":["https://a","https://b"]`)), "", "",
			tokenOf("a", "alice", 0), signedBy("a", "b", "alice"), verdict.Deny},
		{"after a reload that changes a rule", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "a", issued("a")+`,"leewayMs":1`)),
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"after a reload that changes the place", fileOf(named("a", "a", issued("a")), named("b", "b", issued("b"))), "",
			fileOf(named("b", "b", issued("b")), named("a", "a", issued("a"))), tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"after a reload that changes the key", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "b", issued("a"))),
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Accept},
		{"after a reload that changes the key of a provider without issuer", fileOf(named("a", "a", "")), "", fileOf(named("a", "b", "")),
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Accept},
		{"after a reload that changes the name", fileOf(named("a", "a", issued("a"))), "", fileOf(named("b", "a", issued("a"))),
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Deny},
		{"after a reload that gives another provider name and key", fileOf(named("a", "a", issued("a"))), "", fileOf(named("a", "b", issued("b"))),
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"the same provider at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "a", issued("a"))), "",
			tokenOf("a", "alice", 0), tokenOf("a", "alice", time.Hour), verdict.Accept},
		{"another provider of that name at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "b", issued("b"))), "",
			tokenOf("a", "alice", 0), tokenOf("b", "alice", 0), verdict.Deny},
		{"one of that name without issuer at another listener", fileOf(named("a", "a", issued("a"))), fileOf(named("a", "b", "")), "",
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Deny},
		{"two of that name without issuer at two listeners, and no iss", fileOf(named("a", "a", "")), fileOf(named("a", "b", "")), "",
			signedBy("a", "", "alice"), signedBy("b", "", "alice"), verdict.Deny},
		{"two of that name without issuer at two listeners, and an iss that nothing vouches for", fileOf(named("a", "a", "")), fileOf(named("a", "b", "")), "",
			tokenOf("a", "alice", 0), signedBy("b", "a", "alice"), verdict.Deny},
		{"two files without names at two listeners, and no issuer", local(bothMapped+`,"requireExpiration":false`), strings.Replace(local(bothMapped+`,"requireExpiration":false`), secret, secret+"b", 1), "",
			signedBy("", "", "alice"), signedBy("b", "", "alice"), verdict.Deny},
	} {
		for _, away := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, away: %t", c.rule, away), func(t *testing.T) {
				one := open(t, c.one)
				if got := one.login(1, "x", nil, c.first); got != verdict.Accept {
					t.Fatalf("the first: got %s", got)
				}
				if away {
					one.leave(1, "alice", true)
				}
				at := one
				switch {
				case c.two != "":
					at = open(t, c.two)
					at.Plugin.table = one.Plugin.table
					at.broker.away["alice"] = "alice"
				case c.then != "":
					one.write(t, c.then)
					one.Reload()
					one.Tick()
					one.broker.awaitLog(`reloaded`)
				}
				if got := at.login(2, "y", nil, c.second); got != c.want {
					t.Errorf("got %s, want %s; the log ends %q", got, c.want, at.broker.log[len(at.broker.log)-1])
				}
			})
		}
	}
}
