package rights_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// rightsOf are those that claims give by an authorization section.
func rightsOf(t testing.TB, authorization, claims string) *rights.Rights {
	t.Helper()
	held, v := rights.New(providerOf(t, "", "", authorization)).Compile(claimsOf(t, claims), rights.Who{}, nil)
	if v.Kind != verdict.Accept {
		t.Fatal(v)
	}
	return held
}

// What is not known to be good is denied, and not left to others.
func TestWhatIsUnknownIsDenied(t *testing.T) {
	all := rightsOf(t, `{"grants": [{"everyone": true, "publish": ["#", "+/+"], "subscribe": ["#", "$SYS/#"]}], "onNoMatch": "defer"}`, `{}`)
	for _, c := range []struct {
		access broker.Access
		topic  string
		qos    uint8
	}{
		{broker.Write, "", 0},
		{broker.Write, "a/+", 0},
		{broker.Write, "#", 0},
		{broker.Write, "a\x00", 0},
		{broker.Write, strings.Repeat("a", 65536), 0},
		{broker.Write, "a", 3},
		{broker.Read, "", 0},
		{broker.Read, "+", 0},
		{broker.Read, "a/#", 0},
		{broker.Read, "a\x00b", 0},
		{broker.Read, "a", 255},
		{broker.Subscribe, "", 0},
		{broker.Subscribe, "a#", 0},
		{broker.Subscribe, "a/#/b", 0},
		{broker.Subscribe, "+a", 0},
		{broker.Subscribe, "a\x00", 0},
		{broker.Subscribe, "a", 3},
		{broker.Subscribe, strings.Repeat("a", 65536), 0},
		{broker.Subscribe, "$share", 0},
		{broker.Subscribe, "$share/", 0},
		{broker.Subscribe, "$share/g", 0},
		{broker.Subscribe, "$share/g/", 0},
		{broker.Subscribe, "$share//a", 0},
		{broker.Subscribe, "$share/+/a", 0},
		{broker.Subscribe, "$share/g/a#", 0},
		{0, "a", 0},
		{broker.Read | broker.Write, "a", 0},
		{16, "a", 0},
		{255, "a", 0},
	} {
		if got := all.Allow(c.access, c.topic, c.qos, false); got != verdict.Deny {
			t.Errorf("access %d to %.40q with QoS %d: %s", c.access, c.topic, c.qos, got)
		}
	}
	for _, none := range []*rights.Rights{nil, new(rights.Rights)} {
		for _, access := range []broker.Access{broker.Read, broker.Write, broker.Subscribe} {
			if got := none.Allow(access, "a", 0, false); got != verdict.Deny {
				t.Errorf("no rights, access %d: %s", access, got)
			}
		}
		if got := none.Allow(broker.Unsubscribe, "a", 0, false); got != verdict.Accept {
			t.Errorf("no rights, to unsubscribe: %s", got)
		}
	}
	for access, want := range map[broker.Access]verdict.Kind{
		broker.Read: verdict.Defer, broker.Write: verdict.Defer, broker.Subscribe: verdict.Defer, broker.Unsubscribe: verdict.Defer, 16: verdict.Deny,
	} {
		if got := rights.None.Allow(access, "a", 0, false); got != want {
			t.Errorf("None, access %d: %s", access, got)
		}
	}
	if got := rights.None.Allow(broker.Write, rights.RenewalTopic, 0, false); got != verdict.Accept {
		t.Errorf("None, a renewal: %s", got)
	}
	if got := new(rights.Rights).Allow(broker.Read, rights.RenewalTopic, 0, false); got != verdict.Deny {
		t.Errorf("delivery of renewals: %s", got)
	}
}

// Filters of MQTT's greatest length, and of as many levels as fit into it.
func TestLongFilters(t *testing.T) {
	longest := strings.Repeat("a", 65533) + "/#"
	held := rightsOf(t, `{"rules": [{"format": "publ-subs"}]}`, `{"publ": ["`+longest+`"], "subs": ["`+strings.Repeat("+/", 32766)+`b/#", "x"]}`)
	if held.Allow(broker.Write, longest[:65533], 0, false) != verdict.Accept || held.Allow(broker.Write, longest[:65532], 0, false) != verdict.Deny {
		t.Error("a filter of 65,535 bytes matches wrongly")
	}
	name := strings.Repeat("a/", 32766) + "b"
	for topic, want := range map[string]verdict.Kind{name: verdict.Accept, name[:len(name)-1] + "c": verdict.Deny, name[2:]: verdict.Deny, "x": verdict.Accept} {
		if got := held.Allow(broker.Read, topic, 0, false); got != want {
			t.Errorf("delivery of %.20q…: %s", topic, got)
		}
		if got := held.Allow(broker.Subscribe, topic, 0, false); got != want {
			t.Errorf("subscription to %.20q…: %s", topic, got)
		}
	}
}

// What a token can make of memory is bounded, whatever its templates repeat.
func TestTextIsBounded(t *testing.T) {
	compiler := rights.New(providerOf(t, "", "", `{"grants": [{"everyone": true, "publish": ["1/{claim:x}", "2/{claim:x}", "3/{claim:x}", "4/{claim:x}", "5/{claim:x}"]}]}`))
	for length, want := range map[int]string{50_000: "accept", 60_000: "malformed rights: the topic filters of one client have more than 262144 bytes", 65_534: "accept"} {
		held, v := compiler.Compile(token.NewClaims(map[string]any{"x": strings.Repeat("x", length)}), rights.Who{}, nil)
		if v.String() != want {
			t.Errorf("%d bytes each: %s", length, v)
		}
		if length == 65_534 && len(slices.Collect(held.Rules())) > 0 {
			t.Error("a filter of more than 65,535 bytes is kept")
		}
	}
}

// A claim of many rules is refused without reading on.
func TestTenThousandRules(t *testing.T) {
	rules := strings.Repeat(`{"permission": "allow", "action": "all", "topic": "a/b/c"}, `, 9_999) + `{"permission": "allow", "action": "all", "topic": "a"}`
	cfg := providerOf(t, "", "", `{"rules": [{"claim": "acl", "format": "emqx"}], "maxRules": 1024}`)
	_, v := rights.New(cfg).Compile(claimsOf(t, `{"acl": [`+rules+`]}`), rights.Who{}, nil)
	if want := "malformed rights: there are more than 1024 rules ($.options.authorization.maxRules)"; v.String() != want {
		t.Errorf("got %s, want %s", v, want)
	}
}

func TestTraceSaysHowMany(t *testing.T) {
	cfg := providerOf(t, "", "", `{"grants": [{"everyone": true, "publish": ["a", "{claim:none}"]}]}`)
	trace := new(verdict.Trace)
	if _, v := rights.New(cfg).Compile(claimsOf(t, `{}`), rights.Who{}, trace); v.Kind != verdict.Accept || fmt.Sprint(*trace) != "[{rights true at most 256 rules 2 rules}]" {
		t.Errorf("%s, %v", v, *trace)
	}
	cfg = providerOf(t, "", "", `{"rules": [{"claim": "acl", "format": "emqx"}]}`)
	trace = new(verdict.Trace)
	if _, v := rights.New(cfg).Compile(claimsOf(t, `{"acl": 1}`), rights.Who{}, trace); v.Kind != verdict.Deny || len(*trace) != 1 || (*trace)[0].OK {
		t.Errorf("%s, %v", v, *trace)
	}
}

func TestExplain(t *testing.T) {
	held := rightsOf(t, `{"rules": [{"claim": "acl", "format": "emqx"}, {"claim": "old.acl", "format": "emqx"}, {"claim": "mqtt", "format": "topics"}, {"format": "publ-subs"}], "grants": [
		{"scope": "none", "publish": "n"}, {"everyone": true, "publish": ["x/y", "g/{sub}"], "subscribe": "g/#"}]}`, `{"sub": "s",
		"acl": [{"permission": "deny", "action": "all", "topic": "secret/#"}, {"permission": "allow", "action": "pub", "topics": ["q", "r"], "qos": [1, 0], "retain": false},
			{"permission": "allow", "action": "sub", "topic": "eq e/#"}, {"permission": "deny", "action": "publish", "topic": "z", "qos": [], "retain": true}],
		"old": {"acl": {"all": ["o1", "o2"], "sub": "o3"}}, "mqtt": {"publish": ["m"], "subscribe": ["n", "a\"b\n"]}, "publ": ["p"], "subs": ["s1", "s2/+"]}`)
	for _, c := range []struct {
		access broker.Access
		topic  string
		qos    uint8
		want   string
	}{
		{broker.Write, "secret/a", 0, `deny: it may not publish to or subscribe to "secret/#" (acl[0])`},
		{broker.Subscribe, "#", 0, `deny: it may not publish to or subscribe to "secret/#" (acl[0])`},
		{broker.Write, "q", 0, `accept: it may publish to "q" with QoS 0 or 1, not retained (acl[1])`},
		{broker.Write, "r", 1, `accept: it may publish to "r" with QoS 0 or 1, not retained (acl[1])`},
		{broker.Write, "r", 2, "deny: no rule is about it"},
		{broker.Subscribe, "e/#", 0, `accept: it may subscribe to just "e/#" (acl[2])`},
		{broker.Subscribe, "e/a", 0, "deny: no rule is about it"},
		{broker.Read, "e/a", 0, `accept: it may subscribe to just "e/#" (acl[2])`},
		{broker.Write, "o2", 0, `accept: it may publish to and subscribe to "o2" (old.acl.all[1])`},
		{broker.Subscribe, "o3", 0, `accept: it may subscribe to "o3" (old.acl.sub[0])`},
		{broker.Subscribe, "n", 0, `accept: it may subscribe to "n" (mqtt.subscribe[0])`},
		{broker.Subscribe, "a\"b\n", 0, `accept: it may subscribe to "a\"b\n" (mqtt.subscribe[1])`},
		{broker.Write, "p", 0, `accept: it may publish to "p" (publ[0])`},
		{broker.Read, "s2/a", 0, `accept: it may subscribe to "s2/+" (subs[1])`},
		{broker.Subscribe, "s2/#", 0, `deny: no rule is about all of it: it may subscribe to "s2/+" (subs[1])`},
		{broker.Write, "g/s", 0, `accept: it may publish to "g/s" ($.options.authorization.grants[1].publish[1])`},
		{broker.Subscribe, "$share/h/g/x", 0, `accept: it may subscribe to "g/#" ($.options.authorization.grants[1].subscribe[0])`},
		{broker.Subscribe, "$share/h", 0, "deny: it is no topic filter"},
		{broker.Write, "a/+", 0, "deny: it is no topic"},
		{broker.Unsubscribe, "a", 0, "accept: to unsubscribe is always allowed"},
		{broker.Write, "$CONTROL/jwt-auth/v1", 0, "accept: every bearer of a token may send a fresh one there"},
	} {
		kind, why := held.Explain(c.access, c.topic, c.qos, false)
		if got := fmt.Sprintf("%s: %s", kind, why); got != c.want {
			t.Errorf("access %d to %q:\ngot  %s\nwant %s", c.access, c.topic, got, c.want)
		}
	}
	var all []string
	for rule := range held.Rules() {
		all = append(all, rule.String())
	}
	if len(all) != 17 || all[4] != `may not publish to "z" with no QoS, retained (acl[3])` {
		t.Errorf("%d: %s", len(all), strings.Join(all, "\n"))
	}
	for range held.Rules() {
		break // a caller may have seen enough
	}
	if held.Void() != 0 || held.Defers() {
		t.Errorf("void %d, defers %t", held.Void(), held.Defers())
	}
	held = rightsOf(t, `{"grants": [{"everyone": true, "publish": ["a/{claim:x}", "b/{sub}", "c/{claim:y}"]}], "onNoMatch": "defer"}`, `{"sub": "s", "x": "#"}`)
	if held.Void() != 2 || !held.Defers() {
		t.Errorf("void %d, defers %t", held.Void(), held.Defers())
	}
}

// sampleRights have n rules of each kind of filter, for publishing and subscribing, below what most topics begin with.
func sampleRights(t testing.TB, n int) *rights.Rights {
	t.Helper()
	var publ, subs []string
	for i := range n / 2 {
		shape := []string{"sensors/site-%d/#", "sensors/+/floor-%d/temperature", "sensors/site-%d/floor-1/humidity"}[i%3]
		publ, subs = append(publ, fmt.Sprintf(shape, i)), append(subs, fmt.Sprintf("commands/"+shape, i))
	}
	claims, err := json.Marshal(map[string]any{"publ": publ, "subs": subs})
	if err != nil {
		t.Fatal(err)
	}
	return rightsOf(t, `{"rules": [{"format": "publ-subs"}]}`, string(claims))
}

// checks are those of a broker, from the first rule that matches to none at all.
func checks(n int) map[string]func(*rights.Rights) verdict.Kind {
	last := fmt.Sprintf("sensors/site-%d/floor-2/temperature", n/2-1-(n/2-1)%3) // that of the last rule but two at the most
	return map[string]func(*rights.Rights) verdict.Kind{
		"publish, first": func(r *rights.Rights) verdict.Kind {
			return r.Allow(broker.Write, "sensors/site-0/floor-1/temperature", 1, false)
		},
		"publish, last": func(r *rights.Rights) verdict.Kind { return r.Allow(broker.Write, last, 1, false) },
		"deliver, none": func(r *rights.Rights) verdict.Kind {
			return r.Allow(broker.Read, "commands/sensors/site-x/floor-1/temperature", 1, false)
		},
		"subscribe, none": func(r *rights.Rights) verdict.Kind {
			return r.Allow(broker.Subscribe, "commands/sensors/+/floor-x/#", 1, false)
		},
	}
}

func TestACheckAllocatesNothing(t *testing.T) {
	if testkeys.UnderRace {
		t.Skip("the race detector allocates")
	}
	for _, n := range []int{20, 200} {
		held := sampleRights(t, n)
		for name, check := range checks(n) {
			if got := testing.AllocsPerRun(100, func() { check(held) }); got > 0 {
				t.Errorf("%s, %d rules: %.0f allocations", name, n, got)
			}
		}
	}
}

// A login takes few allocations more for its rights: those of the rules, of their text and of what reads them.
func TestAllocationsOfRights(t *testing.T) {
	if testkeys.UnderRace {
		t.Skip("the race detector allocates")
	}
	for authorization, most := range map[string]float64{
		`{"rules": [{"format": "publ-subs"}]}`:                                               20,
		`{"grants": [{"everyone": true, "publish": ["a/{sub}/#", "b/{sub}/c", "+/{sub}"]}]}`: 10,
	} {
		var topics []any
		for i := range 20 {
			topics = append(topics, fmt.Sprintf("sensors/site-%d/#", i))
		}
		compiler, claims := rights.New(providerOf(t, "", "", authorization)), token.NewClaims(map[string]any{"sub": "s", "publ": topics})
		if got := testing.AllocsPerRun(100, func() { compiler.Compile(claims, rights.Who{}, nil) }); got > most {
			t.Errorf("%s: %.0f allocations", authorization, got)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	for _, n := range []int{20, 200} {
		held := sampleRights(b, n)
		for name, check := range checks(n) {
			b.Run(fmt.Sprintf("%d rules/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					check(held)
				}
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for name, topic := range map[string]string{"filters": "sensors/site-%d/#", "templates": "sensors/site-%d/{sub}/#"} {
		for _, n := range []int{20, 200} {
			var topics []string
			for i := range n {
				topics = append(topics, fmt.Sprintf(topic, i))
			}
			claims, err := json.Marshal(map[string]any{"sub": "s", "mqtt": map[string]any{"publish": topics}})
			if err != nil {
				b.Fatal(err)
			}
			compiler, read := rights.New(providerOf(b, "", "", `{"rules": [{"claim": "mqtt", "format": "topics"}]}`)), claimsOf(b, string(claims))
			b.Run(fmt.Sprintf("%d %s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, v := compiler.Compile(read, rights.Who{}, nil); v.Kind != verdict.Accept {
						b.Fatal(v)
					}
				}
			})
		}
	}
}
