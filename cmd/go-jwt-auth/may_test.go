package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go-jwt-auth/idp"
)

// What is asked about goes with the command that reads the file as the broker's user.
func TestMayAsTheBroker(t *testing.T) {
	needsBroker(t)
	p := startProvider(t, withAsker())
	text, err := os.ReadFile(jwtJSON(t, p, `"options": {`, `"options": {"authorization": {"grants": [{"everyone": true, "publish": ["a b/+"]}]},`))
	if err != nil {
		t.Fatal(err)
	}
	name := put(t, filepath.Join(openFolder(t, nil), "jwt.json"), string(text), 0o644)
	token := p.Token("sensor-1", time.Hour, idp.Audience("mqtt"))
	tool(t, token, "check-token", "--as="+defaultBroker, "--config", name, "--may", "publish", "a b/c", "--may", "publish", "d,e", "-").
		want(t, exitNo, `✓ publish "a b/c": yes, `, `✗ publish "d,e": no, `)
}

func TestJoinMay(t *testing.T) {
	for line, want := range map[string]string{
		"check-token --may publish a/b -":                             "check-token|--may|publish a/b|-",
		"check-token - --may publish a/b --may subscribe c/# --qos 1": "check-token|-|--may|publish a/b|--may|subscribe c/#|--qos|1",
		"check-token --may receive a":                                 "check-token|--may|receive a",
		"check-token --may public a -":                                "check-token|--may|public|a|-",
		"check-token --may publish":                                   "check-token|--may|publish",
		"check-token --may":                                           "check-token|--may",
		"check-token -- --may publish a":                              "check-token|--|--may|publish|a",
	} {
		if got := strings.Join(joinMay(strings.Fields(line)), "|"); got != want {
			t.Errorf("%s: got %s", line, got)
		}
	}
}

// The rights that a token gives, and what it may do by which of them.
func TestRightsOfAToken(t *testing.T) {
	p := startProvider(t, withAsker())
	claim := func(value any) string {
		return p.Token("sensor-1", time.Hour, idp.Audience("mqtt"), idp.Claim("acl", value))
	}
	authorization := func(more string) string {
		return jwtJSON(t, p, `"options": {`, `"options": {"authorization": {"rules": [{"claim": "acl", "format": "emqx"}],
			"grants": [{"everyone": true, "subscribe": ["c/{sub}/+", "t/{claim:tenant}/#"]}]`+more+`},`)
	}
	name, defers, without := authorization(""), authorization(`, "onNoMatch": "defer"`), jwtJSON(t, p)
	type rule = map[string]any
	good := claim([]rule{
		{"permission": "deny", "action": "all", "topic": "a/secret"},
		{"permission": "allow", "action": "publish", "topic": "a/+", "qos": []int{0, 1}},
	})
	for _, c := range []struct {
		rule, file, token string
		flags             []string
		code              int
		want              []string
	}{
		{"all rights", name, good, nil, 0, []string{
			"✓ rights           4 rules (expected at most 256 rules)",
			"accepted\n", "  rights     may not publish to or subscribe to \"a/secret\" (acl[0])\n             may publish to \"a/+\" with QoS 0 or 1 (acl[1])\n" +
				"             may subscribe to \"c/sensor-1/+\" ($.options.authorization.grants[0].subscribe[0])\n" +
				"             1 more that match nothing: a value in them is missing or not fit for a topic\n             nothing else\n",
		}},
		{"and others decide the rest", defers, good, nil, 0, []string{"             what none of these is about is left to the next plugin or the ACL file\n"}},
		{"none", name, p.Token("x", time.Hour, idp.Audience("mqtt"), idp.Claim("sub", "a/b")), nil, 1, []string{"refused: unsafe identity"}},
		{"yes", name, good, []string{"--may", "publish", "a/b", "--may", "subscribe", "c/sensor-1/+"}, 0, []string{
			"✓ publish \"a/b\": yes, it may publish to \"a/+\" with QoS 0 or 1 (acl[1])\n✓ subscribe \"c/sensor-1/+\": yes, it may subscribe to ",
		}},
		{"no", name, good, []string{"--may", "publish", "a/b", "--may", "subscribe", "c/#"}, exitNo, []string{
			"✓ publish", "✗ subscribe \"c/#\": no, no rule is about all of it: it may subscribe to \"c/sensor-1/+\" ",
		}},
		{"denied by a rule", name, good, []string{"--may", "publish a/secret"}, exitNo, []string{`✗ publish "a/secret": no, it may not publish to or subscribe to "a/secret" (acl[0])`}},
		{"a delivery", name, good, []string{"--may", "receive", "c/sensor-1/x"}, 0, []string{`✓ receive "c/sensor-1/x": yes`}},
		{"with another QoS", name, good, []string{"--may", "publish", "a/b", "--qos", "2", "--retain"}, exitNo, []string{`✗ publish "a/b": no, no rule is about it`}},
		{"left to others", defers, good, []string{"--may", "publish", "b"}, exitUnknown, []string{`? publish "b": left to the next plugin or the ACL file: no rule is about it`}},
		{"left to others, and a no", defers, good, []string{"--may", "publish", "b", "--may", "publish", "a/secret"}, exitNo, []string{"? publish", "✗ publish"}},
		{"no authorization", without, good, []string{"--may", "publish", "b"}, exitUnknown, []string{"the file has no options.authorization for this provider"}},
		{"a refused token", name, claim(7), []string{"--may", "publish", "b"}, exitNo, []string{"✗ rights", "refused: malformed rights: acl must be an array of rules"}},
		{"no verb", name, good, []string{"--may", "a/b"}, exitUnknown, []string{`--may: must be publish, subscribe or receive, and a topic, as in --may publish a/b, found "a/b"`}},
		{"no topic", name, good, []string{"--may", "publish"}, exitUnknown, []string{`--may: must be publish`}},
		{"no such QoS", name, good, []string{"--may", "publish", "b", "--qos", "3"}, exitUnknown, []string{"--qos: must be 0, 1 or 2, found 3"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			args := slices.Concat([]string{"check-token", "--config", c.file, "-"}, c.flags)
			tool(t, c.token, args...).want(t, c.code, c.want...)
			if c.code != exitUnknown {
				tool(t, c.token, append(args, "--json")...).want(t, c.code).object(t)
			}
		})
	}
	o := tool(t, good, "check-token", "--config", name, "--json", "--may", "publish", "a/b", "--may", "publish", "z", "-").want(t, exitNo).object(t)
	held, _ := o["tokenRights"].(map[string]any)
	if rules, _ := held["rules"].([]any); len(rules) != 3 || held["void"] != 1.0 || held["onNoMatch"] != "deny" ||
		fmt.Sprint(rules[1]) != "map[filter:a/+ origin:acl[1] permission:allow publish:true qos:[0 1] subscribe:false]" {
		t.Errorf("%v", held)
	}
	want := `[map[action:publish answer:yes because:it may publish to "a/+" with QoS 0 or 1 (acl[1]) topic:a/b] map[action:publish answer:no because:no rule is about it topic:z]]`
	if got := fmt.Sprint(o["may"]); got != want {
		t.Errorf("got %s", got)
	}
	if o := tool(t, good, "check-token", "--config", without, "--json", "-").object(t); o["tokenRights"] != nil || o["may"] != nil {
		t.Errorf("%v", o)
	}
}
