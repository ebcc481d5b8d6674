package rights

import (
	"fmt"
	"iter"
	"strings"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/topic"
	"go-jwt-auth/plugin/verdict"
)

// Rule is one rule of Rights, for a reader.
type Rule struct {
	// Deny says that it denies what it matches.
	Deny bool
	// Publish and Subscribe are what it is about.
	Publish, Subscribe bool
	// Filter is its topic filter. Literally: it is about a subscription to just that filter.
	Filter    string
	Literally bool
	// QoS are those that it is about; nil: all. Retain are the messages, for publishing alone; nil: retained and others.
	QoS    []int
	Retain *bool
	// Origin is where it stands in the token, such as "acl[2]", or in jwt.json.
	Origin string
}

// Rules are all rules in their order. Those that can match nothing are left out.
func (r *Rights) Rules() iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for i := range r.rules {
			if !yield(r.rule(i)) {
				return
			}
		}
	}
}

// Void counts the rules that are left out, as a value for their placeholders is missing or not fit.
func (r *Rights) Void() int { return int(r.void) }

// Defers tells whether what no rule is about is left to the next plugin or the ACL file (`$.options.authorization.onNoMatch`).
func (r *Rights) Defers() bool { return r.defers }

func (r *Rights) rule(i int) Rule {
	f := r.rules[i].flags
	shown := Rule{
		Deny: f&denies != 0, Publish: f&publishes != 0, Subscribe: f&subscribes != 0, Filter: r.filter(i), Literally: f&equals != 0,
		Origin: r.origin(i),
	}
	if f&anyQoS != anyQoS {
		shown.QoS = []int{}
		for qos := range 3 {
			if f&(qos0<<qos) != 0 {
				shown.QoS = append(shown.QoS, qos)
			}
		}
	}
	if f&anyRetain != anyRetain && shown.Publish {
		retain := f&retained != 0
		shown.Retain = &retain
	}
	return shown
}

func (r *Rights) origin(i int) string {
	at := r.rules[i]
	from := r.origins[at.origin]
	text := verdict.Word(from.claim)
	if from.claim == "" {
		text = from.path.Key(from.key)
	}
	if list := int(at.place >> listBits); list > 0 {
		text += "." + from.lists[list-1]
	}
	return fmt.Sprintf("%s[%d]", text, at.place&(1<<listBits-1))
}

// String is the rule in plain words: `may publish to "a/#" with QoS 0 or 1 (acl[2])`.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString("may ")
	if r.Deny {
		b.WriteString("not ")
	}
	var about []string
	if r.Publish {
		about = append(about, "publish to")
	}
	if r.Subscribe {
		about = append(about, "subscribe to")
	}
	between := " and "
	if r.Deny {
		between = " or "
	}
	b.WriteString(strings.Join(about, between))
	if r.Literally {
		b.WriteString(" just")
	}
	b.WriteString(" " + verdict.Quote(r.Filter))
	if r.QoS != nil {
		qos := make([]string, len(r.QoS))
		for i, q := range r.QoS {
			qos[i] = fmt.Sprint(q)
		}
		if len(qos) == 0 {
			b.WriteString(" with no QoS")
		} else {
			b.WriteString(" with QoS " + strings.Join(qos, " or "))
		}
	}
	if r.Retain != nil {
		b.WriteString(map[bool]string{true: ", retained", false: ", not retained"}[*r.Retain])
	}
	return b.String() + " (" + r.Origin + ")"
}

// Explain is Allow, and why, for a reader: which rule decided, or which one was missing.
func (r *Rights) Explain(access broker.Access, name string, qos uint8, retain bool) (verdict.Kind, string) {
	kind, by := r.find(access, name, qos, retain)
	switch by {
	case byNature:
		if access == broker.Unsubscribe {
			return kind, "to unsubscribe is always allowed"
		}
		return kind, "every bearer of a token may send a fresh one there"
	case malformed:
		return kind, "it is no " + map[bool]string{true: "topic filter", false: "topic"}[access == broker.Subscribe]
	case byNoRule:
		return kind, r.missing(access, name, qos)
	default:
		return kind, "it " + r.rule(by).String()
	}
}

// missing says that no rule was about it.
func (r *Rights) missing(access broker.Access, name string, qos uint8) string {
	const none = "no rule is about it"
	if access != broker.Subscribe {
		return none
	}
	filter, _ := topic.Unshare(name)
	for i := range r.rules {
		if f := r.rules[i].flags; f&(denies|equals) == 0 && f&subscribes != 0 && f&(qos0<<qos) != 0 && topic.Overlaps(r.filter(i), filter) {
			return "no rule is about all of it: it " + r.rule(i).String()
		}
	}
	return none
}
