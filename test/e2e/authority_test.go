package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/harness"
)

// authority is a line of the table "Who decides" in docs/configuration.md.
type authority struct {
	beside, onNoMatch string
	cells             []string // by authorityColumns
}

// authorityColumns are the first levels of the topics for each column of the table.
var authorityColumns = []string{"allows", "denies", "none", "others"}

// opinions of dynamic-security or of the ACL file: it allows a topic, it denies it, or has no rule about it.
var opinions = []string{"allow", "deny", "silent"}

// done says what is done by a cell of the table, for each opinion.
var done = map[string][]bool{
	"allowed":                        {true, true, true},
	"denied":                         {false, false, false},
	"the ACL file":                   {true, false, false},
	"dynamic-security":               {true, false, false},
	"dynamic-security, else allowed": {true, false, true},
	"dynamic-security, else denied":  {true, false, false},
}

func readAuthorities(t *testing.T) (all []authority) {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "#### Who decides\n")
	section, _, _ = strings.Cut(section, "\n#### ")
	for _, line := range regexp.MustCompile("(?m)^\\| (.*?) \\| `\"(\\w+)\"` \\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
		all = append(all, authority{line[1], line[2], strings.Split(line[3], " | ")})
	}
	if len(all) < 8 {
		t.Fatalf("only %d lines were found", len(all))
	}
	return all
}

// start runs a broker for the line.
func (a authority) start(t *testing.T, v brokers.Version) *harness.Broker {
	t.Helper()
	plugin := harness.JWT("jwt.json", withRights(object{
		"rules": []object{{"claim": "acl", "format": "emqx"}}, "onNoMatch": a.onNoMatch,
	}))
	o := harness.Options{Plugins: []harness.Plugin{plugin}}
	if !strings.HasPrefix(a.beside, "dynamic-security") {
		o.Passwords = map[string]string{"other": "other's password"}
	}
	var acls []harness.ACL
	var file strings.Builder
	for _, column := range authorityColumns {
		for _, kind := range []string{"publishClientSend", "subscribePattern"} {
			acls = append(acls, harness.ACL{Type: kind, Topic: column + "/allow", Allow: true}, harness.ACL{Type: kind, Topic: column + "/deny"})
		}
		fmt.Fprintf(&file, "topic readwrite %s/allow\ntopic deny %[1]s/deny\n", column)
	}
	dynsec := harness.Dynsec{Roles: map[string][]harness.ACL{"some": acls}, Clients: []harness.DynsecClient{
		{Username: "bearer", Roles: []string{"some"}}, {Username: "other", Password: "other's password", Roles: []string{"some"}},
	}}.Plugin()
	switch a.beside {
	case "nothing":
	case "an ACL file":
		o.Extra = "acl_file {dir}/acl"
		o.Files = map[string]string{"acl": "user bearer\n" + file.String() + "user other\n" + file.String()}
	case "dynamic-security, behind it":
		o.Plugins = append(o.Plugins, dynsec)
	case "dynamic-security, before it":
		o.Plugins = []harness.Plugin{dynsec, plugin}
	default:
		t.Fatalf("there is nothing like %q beside it", a.beside)
	}
	return harness.Start(t, v, o)
}

// What the reference says of who decides, line by line.
func TestWhoDecides(t *testing.T) {
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for _, a := range readAuthorities(t) {
			t.Run(a.beside+", "+a.onNoMatch, func(t *testing.T) {
				b := a.start(t, v)
				b.WaitLog(`gives rights by tokens: clients that have none of these`)
				token := rightsToken(t, object{"sub": "bearer", "acl": []object{
					{"permission": "allow", "action": "all", "topic": "allows/#"}, {"permission": "deny", "action": "all", "topic": "denies/#"},
				}})
				bearer := harness.Connect(t, b.URL(0), harness.Paho5, login("bearer", token)).Accepted()
				other := harness.Connect(t, b.URL(0), harness.Paho5, harness.Login{ClientID: "other", Username: new("other"), Password: new("other's password")}).Accepted()
				for n, column := range authorityColumns {
					want, known := done[a.cells[n]]
					if !known {
						t.Fatalf("what does %q mean?", a.cells[n])
					}
					client := bearer
					if column == "others" {
						client = other
					}
					for i, opinion := range opinions {
						topic := column + "/" + opinion
						if code := client.Publish(topic, "", 1); (code < 0x80) != want[i] {
							t.Errorf("publish to %s: 0x%02x", topic, code)
						}
						// An ACL file lets everybody subscribe, and decides about each delivery.
						may := want[i] || a.cells[n] == "the ACL file"
						if code := client.Subscribe(topic, 1); (code < 0x80) != may {
							t.Errorf("subscribe to %s: 0x%02x", topic, code)
						}
					}
				}
				if code := bearer.Publish("$CONTROL/jwt-auth/v1", "{}", 1); code != 0 {
					t.Errorf("to renew: 0x%02x", code)
				}
			})
		}
	})
}
