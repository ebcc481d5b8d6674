// Package rights says what the bearer of a token may publish and subscribe to. A Compiler makes Rights of claims once, at login or
// renewal; the broker's checks then walk them without allocating.
//
// Rules stand in an order, and the first that matches decides. Only rules in EMQX's format can deny. What is judged:
//
//   - A publish by its topic, QoS and retain flag.
//   - A delivery by its topic, against the rules about subscribing. QoS there is that of a subscription, which a delivery does not
//     have: it is allowed if subscribing to its topic is with any QoS.
//   - A subscription filter against filter: a rule that denies matches if there is a topic that both it and the subscription match,
//     a rule that allows if it matches every topic that the subscription does. Rules that do so together don't count.
//
// No verdict is wider for a subscription than for the messages that it brings.
package rights

import (
	"bytes"
	"unsafe"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/topic"
	"go-jwt-auth/plugin/verdict"
)

// RenewalTopic is where the bearers of tokens send fresh ones. Every one of them may publish there.
const RenewalTopic = "$CONTROL/jwt-auth/v1"

// Rights are what one client may do. They do not change. The zero value and nil deny everything but to unsubscribe.
type Rights struct {
	// text holds the filters of all rules.
	text  string
	rules []rule
	// origins are the compiler's.
	origins []origin
	// void counts the rules that match nothing, because a value for their placeholders is missing or not fit.
	void uint16
	// defers: what no rule matches is left to the next plugin or the ACL file, and otherwise denied.
	defers bool
}

// rule is 16 bytes, as there may be many of them in memory.
type rule struct {
	// from and length are where its filter stands in Rights.text. literal is how much of that must be the beginning of a topic;
	// flags say what the rest is.
	from            uint32
	length, literal uint16
	// origin is an index of Rights.origins, place is the rule's there.
	origin uint16
	place  place
	flags  flags
}

type flags uint16

const (
	// denies: the rule denies what it matches. Otherwise it allows it.
	denies flags = 1 << iota
	// publishes and subscribes are what the rule is about.
	publishes
	subscribes
	// qos0, qos1 and qos2 are the QoS that it is about, unretained and retained the messages; the latter two for publishing alone.
	qos0
	qos1
	qos2
	unretained
	retained
	// equals: it is about a subscription to just this filter, which has a wildcard.
	equals

	// The filter is all literal, or that and behind it "/#"; or it is "#"; or none of these, and has to be walked.
	exact
	tail
	everything

	anyQoS    = qos0 | qos1 | qos2
	anyRetain = unretained | retained
)

// shape says how a filter is compared with topics.
func shape(filter []byte) (literal int, f flags) {
	switch wildcard := bytes.IndexAny(filter, "+#"); {
	case wildcard < 0:
		return len(filter), exact
	case len(filter) == 1 && filter[0] == '#':
		return 0, everything
	case filter[wildcard] == '#':
		return wildcard - 1, tail
	default:
		return wildcard, 0
	}
}

// Size is about how many bytes they take.
func (r *Rights) Size() int { return len(r.text) + len(r.rules)*int(unsafe.Sizeof(rule{})) }

func (r *Rights) filter(i int) string {
	at := &r.rules[i]
	return r.text[at.from : at.from+uint32(at.length)]
}

// Allow says whether the client may do something, by Accept and Deny, or leaves it to others by Defer. It allocates nothing and keeps
// nothing of topic.
func (r *Rights) Allow(access broker.Access, topic string, qos uint8, retain bool) verdict.Kind {
	kind, _ := r.find(access, topic, qos, retain)
	return kind
}

// What find returns in the place of a rule.
const (
	byNoRule  = -1 - iota // none is about it, so that onNoMatch decides
	byNature              // no rule is asked
	malformed             // it is no topic, or no filter
)

// find is Allow, and which rule decided: its index, or one of the above.
func (r *Rights) find(access broker.Access, name string, qos uint8, retain bool) (verdict.Kind, int) {
	switch {
	case access == broker.Unsubscribe && r == None:
		return verdict.Defer, byNoRule
	case access == broker.Unsubscribe:
		return verdict.Accept, byNature
	case r == nil || qos > 2:
		return verdict.Deny, malformed
	case access == broker.Subscribe:
		return r.findForSubscription(name, qos)
	case !topic.IsName(name):
		return verdict.Deny, malformed
	case access == broker.Write && name == RenewalTopic:
		return verdict.Accept, byNature
	case access == broker.Write:
		return r.findForPublish(name, qos, retain)
	case access == broker.Read:
		return r.findForDelivery(name)
	default:
		return verdict.Deny, malformed
	}
}

func (r *Rights) findForPublish(name string, qos uint8, retain bool) (verdict.Kind, int) {
	need := publishes | qos0<<qos | unretained
	if retain {
		need ^= anyRetain
	}
	for i := range r.rules {
		if f := r.rules[i].flags; f&need == need && r.matches(i, name) {
			return f.kind(), i
		}
	}
	return r.unmatched()
}

func (r *Rights) findForDelivery(name string) (verdict.Kind, int) {
	// open are the QoS with which a subscription is not denied yet.
	open := anyQoS
	for i := range r.rules {
		f := r.rules[i].flags
		if f&subscribes == 0 || f&open == 0 || f&(denies|equals) == denies|equals || !r.matches(i, name) {
			continue
		}
		if f&denies == 0 {
			return verdict.Accept, i
		}
		if open &^= f; open == 0 {
			return verdict.Deny, i
		}
	}
	return r.unmatched()
}

func (r *Rights) findForSubscription(requested string, qos uint8) (verdict.Kind, int) {
	filter, ok := topic.Unshare(requested)
	if !ok || topic.FaultOfFilter(filter) != "" {
		return verdict.Deny, malformed
	}
	need := subscribes | qos0<<qos
	for i := range r.rules {
		f := r.rules[i].flags
		if f&need != need {
			continue
		}
		matches := topic.Covers
		switch {
		case f&equals != 0:
			matches = same
		case f&denies != 0:
			matches = topic.Overlaps
		}
		if matches(r.filter(i), filter) {
			return f.kind(), i
		}
	}
	return r.unmatched()
}

func same(a, b string) bool { return a == b }

func (r *Rights) unmatched() (verdict.Kind, int) {
	if r.defers {
		return verdict.Defer, byNoRule
	}
	return verdict.Deny, byNoRule
}

func (f flags) kind() verdict.Kind {
	if f&denies != 0 {
		return verdict.Deny
	}
	return verdict.Accept
}

// matches tells whether a rule's filter matches the topic of a message.
func (r *Rights) matches(i int, name string) bool {
	at := &r.rules[i]
	literal := int(at.literal)
	if len(name) < literal || name[:literal] != r.text[at.from:int(at.from)+literal] {
		return false
	}
	switch at.flags & (exact | tail | everything) {
	case exact:
		return len(name) == literal
	case tail:
		return len(name) == literal || name[literal] == '/'
	case everything:
		return name[0] != '$'
	default:
		if literal == 0 {
			return topic.Matches(r.filter(i), name)
		}
		return topic.MatchesBelow(r.filter(i)[literal:], name[literal:])
	}
}
