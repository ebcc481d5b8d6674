package rights_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// The oracle is another way to say what Rights allow: it knows all topics of a small alphabet by name, counts those that a filter matches
// level by level, and takes what packages rights and topic have to find out by comparing texts from these sets.

var executions = flag.Int("executions", 20_000, "how many random tokens are held against the oracle")

// universe are the topics of up to four levels, with one level, "z", that stands in no filter; and requests are filters of up to three.
type universe struct {
	topics, requests []string
	sets             map[string]set
}

// set has a bit for each topic.
type set []uint64

func (s set) has(topic int) bool { return s[topic/64]>>(topic%64)&1 == 1 }

func (s set) within(other set) bool {
	for i := range s {
		if s[i]&^other[i] != 0 {
			return false
		}
	}
	return true
}

func (s set) meets(other set) bool {
	for i := range s {
		if s[i]&other[i] != 0 {
			return true
		}
	}
	return false
}

func newUniverse() *universe {
	return &universe{
		topics:   levels(4, []string{"a", "b", "", "$a", "z"}, nil),
		requests: levels(3, []string{"a", "b", "", "$a", "+"}, []string{"#"}),
		sets:     map[string]set{},
	}
}

// levels are all texts of up to n levels, but for the empty one. Those in last stand at the end alone.
func levels(n int, anywhere, last []string) (all []string) {
	begin := []string{""}
	for range n {
		var next []string
		for _, b := range begin {
			for _, level := range slices.Concat(anywhere, last) {
				if b+level != "" {
					all = append(all, b+level)
				}
			}
			for _, level := range anywhere {
				next = append(next, b+level+"/")
			}
		}
		begin = next
	}
	return all
}

// of is the set of the topics that a filter matches.
func (u *universe) of(filter string) set {
	if s, known := u.sets[filter]; known {
		return s
	}
	s := make(set, len(u.topics)/64+1)
	for i, topic := range u.topics {
		if topic[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
			continue
		}
		if levelByLevel(strings.Split(filter, "/"), strings.Split(topic, "/")) {
			s[i/64] |= 1 << (i % 64)
		}
	}
	u.sets[filter] = s
	return s
}

func levelByLevel(filter, topic []string) bool {
	switch {
	case len(filter) == 1 && filter[0] == "#":
		return true
	case len(filter) == 0 || len(topic) == 0:
		return len(filter) == len(topic)
	default:
		return (filter[0] == "+" || filter[0] == topic[0]) && levelByLevel(filter[1:], topic[1:])
	}
}

// oracleRule is what the random token means by one of its rules.
type oracleRule struct {
	deny, publish, subscribe, eq bool
	filter                       string
	matches                      set // of the filter
	qos                          [3]bool
	retain                       [2]bool // not retained, retained
}

const undecided = verdict.Kind(255)

func (r oracleRule) kind() verdict.Kind {
	if r.deny {
		return verdict.Deny
	}
	return verdict.Accept
}

// literally tells whether the rule is about one subscription, and no message that could be named so.
func (r oracleRule) literally() bool { return r.eq && strings.ContainsAny(r.filter, "+#") }

func publish(rules []oracleRule, topic int, qos, retain int) verdict.Kind {
	for _, r := range rules {
		if r.publish && r.qos[qos] && r.retain[retain] && !r.literally() && r.matches.has(topic) {
			return r.kind()
		}
	}
	return undecided
}

// subscribeToTopic is the verdict on one topic of a subscription.
func subscribeToTopic(rules []oracleRule, topic, qos int) verdict.Kind {
	for _, r := range rules {
		if r.subscribe && r.qos[qos] && !(r.literally() && r.deny) && r.matches.has(topic) {
			return r.kind()
		}
	}
	return undecided
}

func receive(rules []oracleRule, topic int) verdict.Kind {
	verdicts := [...]verdict.Kind{subscribeToTopic(rules, topic, 0), subscribeToTopic(rules, topic, 1), subscribeToTopic(rules, topic, 2)}
	switch {
	case slices.Contains(verdicts[:], verdict.Accept):
		return verdict.Accept
	case slices.Contains(verdicts[:], undecided):
		return undecided
	default:
		return verdict.Deny
	}
}

func (u *universe) subscribe(rules []oracleRule, request string, qos int) verdict.Kind {
	for _, r := range rules {
		switch {
		case !r.subscribe || !r.qos[qos]:
		case r.literally():
			if r.filter == request {
				return r.kind()
			}
		case r.deny && r.matches.meets(u.of(request)), !r.deny && u.of(request).within(r.matches):
			return r.kind()
		}
	}
	return undecided
}

// dice gives bytes, and zeros when there are no more.
type dice struct{ bytes []byte }

func (d *dice) roll(n int) int {
	if len(d.bytes) == 0 {
		return 0
	}
	b := d.bytes[0]
	d.bytes = d.bytes[1:]
	return int(b) % n
}

// hostile are values for placeholders. Those that are fit for all places come first, and then one for places other than the first.
func hostile() []any {
	return []any{"a", "b", "$a", "", "+", "#", "a/b", "/", "a+", "#a", "$a/#", "+/+", "a\x00", "\n", "a\ufffd", 1, nil, []any{"a"}, true}
}

// drawn is a random token and what it means.
type drawn struct {
	cfg       *config.Provider
	claims    map[string]any
	who       rights.Who
	rules     []oracleRule
	malformed bool
}

// fits tells whether a value can stand in a filter. first: at its beginning; slash: '/' is admitted.
func fits(value any, first, slash bool) (string, bool) {
	text, _ := value.(string)
	return text, text != "" && !strings.ContainsAny(text, "+#\x00\n\ufffd") && (slash || !strings.Contains(text, "/")) && !(first && text[0] == '$')
}

// draw makes a token. Its claims have all formats; cfgs are the configurations that read them.
func draw(d *dice, u *universe, cfgs []*config.Provider) drawn {
	t := drawn{cfg: cfgs[d.roll(len(cfgs))], claims: map[string]any{"sub": "a", "scope": "x"}}
	values := hostile()
	value := values[d.roll(len(values))]
	t.claims["t"] = value
	username := values[d.roll(len(values))]
	if t.cfg.Common.MatchUsername { // package identity has seen to it
		username = "a"
	}
	t.who.Username, _ = username.(string)
	all := oracleRule{qos: [3]bool{true, true, true}, retain: [2]bool{true, true}}
	pick := func() string { return u.requests[(d.roll(256)<<8|d.roll(256))%len(u.requests)] }
	// template fills {claim:t} or ${username} into one of a few texts.
	template := func(placeholder string, value any) (text, filled string, good bool) {
		shape := []string{"%", "%/b", "a/%", "%/+", "%/#", "b/%/a", "%/a/#", "+/%"}[d.roll(8)]
		with, good := fits(value, shape[0] == '%', t.cfg.Common.AllowSlash)
		return strings.Replace(shape, "%", placeholder, 1), strings.Replace(shape, "%", with, 1), good
	}
	list := func(r oracleRule, placeholder string, value any, eq bool) []any {
		items := []any{}
		for range d.roll(3) {
			r, text, good := r, pick(), true
			r.filter = text
			switch d.roll(4) {
			case 0:
				if placeholder != "" {
					text, r.filter, good = template(placeholder, value)
				}
			case 1:
				if eq {
					r.eq, text = true, "eq "+text
				}
			}
			items = append(items, text)
			if good {
				r.matches = u.of(r.filter)
				t.rules = append(t.rules, r)
			}
		}
		return items
	}
	publish, subscribe, both := all, all, all
	publish.publish, subscribe.subscribe, both.publish, both.subscribe = true, true, true, true
	for _, c := range t.cfg.Authorization.Rules {
		if d.roll(8) == 7 {
			continue // no such claim
		}
		switch {
		case c.Format == config.RightsTopics:
			t.claims[c.Claim] = map[string]any{"publish": list(publish, "{claim:t}", value, false), "subscribe": list(subscribe, "{claim:t}", value, false)}
		case c.Format == config.RightsPublSubs:
			t.claims["publ"], t.claims["subs"] = list(publish, "", nil, false), list(subscribe, "", nil, false)
		case d.roll(4) == 0:
			t.claims[c.Claim] = map[string]any{
				"pub": list(publish, "${username}", username, true), "sub": list(subscribe, "${username}", username, true), "all": list(both, "${username}", username, true),
			}
		default:
			entries := []any{}
			for range d.roll(6) {
				entries = append(entries, t.entry(d, all, list, username))
			}
			t.claims[c.Claim] = entries
		}
	}
	// The grants of configs.
	if value, good := fits(t.claims["t"], false, t.cfg.Common.AllowSlash); good && len(t.cfg.Authorization.Grants) > 0 {
		grant := publish
		grant.filter, grant.matches = "b/"+value, u.of("b/"+value)
		t.rules = append(t.rules, grant)
	}
	return t
}

// entry is one rule of EMQX's newer form.
func (t *drawn) entry(d *dice, r oracleRule, list func(oracleRule, string, any, bool) []any, username any) any {
	entry := map[string]any{}
	r.deny = d.roll(2) == 1
	entry["permission"] = []string{"allow", "deny"}[btoi(r.deny)]
	action := d.roll(5)
	entry["action"] = []string{"publish", "subscribe", "all", "pub", "sub"}[action]
	r.publish, r.subscribe = action%3 == 0 || action == 2, action%3 == 1 || action == 2
	switch d.roll(4) {
	case 0:
		q := d.roll(8)
		r.qos = [3]bool{q&1 > 0, q&2 > 0, q&4 > 0}
		of := []any{}
		for i, is := range r.qos {
			if is {
				of = append(of, json.Number(fmt.Sprint(i)))
			}
		}
		entry["qos"] = of
	case 1:
		q := d.roll(3)
		r.qos = [3]bool{q == 0, q == 1, q == 2}
		entry["qos"] = []any{json.Number(fmt.Sprint(q)), fmt.Sprint(q)}[d.roll(2)]
	}
	if d.roll(3) == 0 {
		retain := d.roll(2) == 1
		r.retain = [2]bool{!retain, retain}
		entry["retain"] = retain
	}
	before := len(t.rules)
	topics := list(r, "${username}", username, true)
	if r.deny && len(t.rules)-before < len(topics) {
		t.malformed = true // a rule that denies must not vanish
	}
	if len(topics) == 1 {
		entry["topic"] = topics[0]
	} else {
		entry["topics"] = topics
	}
	return entry
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func configs(t testing.TB) []*config.Provider {
	const sources = `"rules": [{"claim": "acl", "format": "emqx"}, {"claim": "mqtt", "format": "topics"}, {"format": "publ-subs"}]`
	const grants = `, "grants": [{"scope": "x", "publish": ["b/{claim:t}"]}, {"scope": "y", "publish": ["#"], "subscribe": ["#"]}]`
	return []*config.Provider{
		providerOf(t, "", "", "{"+sources+"}"),
		providerOf(t, "", `{"allowSlashInIdentity": true}`, "{"+sources+grants+`, "onNoMatch": "defer"}`),
		providerOf(t, "", `{"matchUsernameToSubject": true}`, "{"+sources+grants+"}"),
		providerOf(t, "", "", `{"rules": [{"claim": "acl", "format": "emqx"}], "onNoMatch": "defer"}`),
	}
}

// holdAgainst compares Rights with the oracle: all topics and requests if checks is 0, and otherwise that many of each.
func holdAgainst(t testing.TB, d *dice, u *universe, drew drawn, compilers map[*config.Provider]*rights.Compiler, claims token.Claims, checks int) (done int) {
	held, v := compilers[drew.cfg].Compile(claims, drew.who, nil)
	if drew.malformed {
		if v.Reason != verdict.MalformedRights || held != nil {
			t.Fatalf("%v of %+v: got %s", drew.claims, drew.who, v)
		}
		return 1
	}
	if v.Kind != verdict.Accept {
		t.Fatalf("%v of %+v: %s", drew.claims, drew.who, v)
	}
	otherwise := map[config.NoMatch]verdict.Kind{config.NoMatchDeny: verdict.Deny, config.NoMatchDefer: verdict.Defer}[drew.cfg.Authorization.OnNoMatch]
	compare := func(access broker.Access, text string, qos, retain int, want verdict.Kind) verdict.Kind {
		done++
		if want == undecided {
			want = otherwise
		}
		got := held.Allow(access, text, uint8(qos), retain == 1)
		if got != want {
			t.Fatalf("%v of %+v, access %d to %q with QoS %d, retain %d: got %s, want %s\n%v", drew.claims, drew.who, access, text, qos, retain, got, want, slices.Collect(held.Rules()))
		}
		return got
	}
	qos, retain := d.roll(3), d.roll(2)
	from, step := 0, 1
	if checks > 0 {
		from, step = d.roll(256), len(u.topics)/checks
	}
	for i := from; i < len(u.topics); i += step {
		compare(broker.Write, u.topics[i], qos, retain, publish(drew.rules, i, qos, retain))
		compare(broker.Read, u.topics[i], qos, retain, receive(drew.rules, i))
	}
	if checks > 0 {
		from, step = from%len(u.requests), len(u.requests)/checks
	}
	for i := from; i < len(u.requests); i += step {
		request := u.requests[i]
		if compare(broker.Subscribe, request, qos, 0, u.subscribe(drew.rules, request, qos)) != verdict.Accept {
			continue
		}
		compare(broker.Subscribe, "$share/g/"+request, qos, 0, verdict.Accept)
		brings := u.of(request)
		for topic := range u.topics { // what is allowed brings no message that is not
			if brings.has(topic) && subscribeToTopic(drew.rules, topic, qos) != verdict.Accept {
				t.Fatalf("%v of %+v may subscribe to %q, and not to %q", drew.claims, drew.who, request, u.topics[topic])
			}
		}
	}
	return done
}

func compilersOf(cfgs []*config.Provider) map[*config.Provider]*rights.Compiler {
	compilers := map[*config.Provider]*rights.Compiler{}
	for _, cfg := range cfgs {
		compilers[cfg] = rights.New(cfg)
	}
	return compilers
}

// FuzzRights holds a token that is made of the fuzzer's bytes against the oracle, in every topic and every request of its universe.
func FuzzRights(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		seed := make([]byte, 64)
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	cfgs := configs(f)
	u, compilers := newUniverse(), compilersOf(cfgs)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		d := &dice{bytes}
		drew := draw(d, u, cfgs)
		holdAgainst(t, d, u, drew, compilers, token.NewClaims(drew.claims), 0)
	})
}

// TestRandomRights does the same with random bytes, and with a few topics and requests for each token: -executions says how many
// tokens.
func TestRandomRights(t *testing.T) {
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	cfgs := configs(t)
	u, compilers := newUniverse(), compilersOf(cfgs)
	checks, refused := 0, 0
	bytes := make([]byte, 160)
	for n := range *executions {
		if n > 0 && n%1_000_000 == 0 {
			t.Logf("%d tokens, of which %d can't be read, in %d checks", n, refused, checks)
		}
		for i := range bytes {
			bytes[i] = byte(random.Uint32())
		}
		d := &dice{bytes}
		drew := draw(d, u, cfgs)
		if drew.malformed {
			refused++
		}
		checks += holdAgainst(t, d, u, drew, compilers, token.NewClaims(drew.claims), 4)
	}
	t.Logf("%d tokens, of which %d can't be read, in %d checks", *executions, refused, checks)
}
