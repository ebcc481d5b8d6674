package rights

import (
	"encoding/json"
	"strings"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/verdict"
)

// readEMQX reads EMQX's `acl`: an array of rules, or, as before EMQX 5.5, an object of topics that are allowed.
func (w *writer) readEMQX(value any) error {
	if members, isObject := value.(map[string]any); isObject {
		return w.readLists(members, []flags{publishes, subscribes, publishes | subscribes}, w.emqxTopic)
	}
	rules, isArray := value.([]any)
	if !isArray {
		return claimItself.fault(`must be an array of rules, or an object with "pub", "sub" and "all", found %s`, kindOf(value))
	}
	for i, r := range rules {
		if err := w.emqxRule(i, r); err != nil {
			return err
		}
	}
	return nil
}

// emqxRule reads {"permission", "action", "topic" or "topics", "qos", "retain"}. A member of another name could narrow a rule (username_re,
// ipaddr …), so that it can't be read.
func (w *writer) emqxRule(number int, value any) error {
	at := spot{index: number}
	members, isObject := value.(map[string]any)
	if !isObject {
		return at.fault("must be an object, found %s", kindOf(value))
	}
	for name := range members {
		switch name {
		case "permission", "action", "topic", "topics", "qos", "retain":
		default:
			return at.fault(`must hold nothing but permission, action, topic, topics, qos, retain, found %s`, verdict.Quote(name))
		}
	}
	var f flags
	switch members["permission"] {
	case "allow":
	case "deny":
		f = denies
	default:
		return at.of("permission").fault(`must be "allow" or "deny", found %s`, kindOf(members["permission"]))
	}
	switch members["action"] {
	case "publish", "pub":
		f |= publishes
	case "subscribe", "sub":
		f |= subscribes
	case "all":
		f |= publishes | subscribes
	default:
		return at.of("action").fault(`must be "publish", "subscribe" or "all", found %s`, kindOf(members["action"]))
	}
	qos, ok := emqxQoS(members["qos"])
	if !ok {
		return at.of("qos").fault("must be 0, 1, 2 or an array of these, found %s", kindOf(members["qos"]))
	}
	retain, ok := emqxRetain(members["retain"])
	if !ok {
		return at.of("retain").fault(`must be true, false or "all", found %s`, kindOf(members["retain"]))
	}
	f |= qos | retain
	topics, several := members["topics"].([]any)
	topic, one := members["topic"].(string)
	switch {
	case members["topic"] != nil && members["topics"] != nil, !one && !several:
		return at.fault(`must hold either "topic", a topic filter, or "topics", an array of them`)
	case one:
		topics = []any{topic}
	}
	for _, t := range topics {
		text, isText := t.(string)
		if !isText {
			return at.of("topics").fault("must be an array of topic filters, found %s in it", kindOf(t))
		}
		w.place = placeIn(0, number)
		if err := w.emqxTopic(at.of("topic"), text, f); err != nil {
			return err
		}
	}
	return nil
}

// emqxQoS reads a number, an array of numbers, or a text of numbers with commas between them.
func emqxQoS(value any) (f flags, ok bool) {
	var items []any
	switch v := value.(type) {
	case nil:
		return anyQoS, true
	case []any:
		items = v
	case string:
		for item := range strings.SplitSeq(v, ",") {
			items = append(items, item)
		}
	default:
		items = []any{v}
	}
	for _, item := range items {
		switch item {
		case json.Number("0"), "0":
			f |= qos0
		case json.Number("1"), "1":
			f |= qos1
		case json.Number("2"), "2":
			f |= qos2
		default:
			return 0, false
		}
	}
	return f, true
}

func emqxRetain(value any) (f flags, ok bool) {
	switch value {
	case nil, "all":
		return anyRetain, true
	case true, "true", "1", json.Number("1"):
		return retained, true
	case false, "false", "0", json.Number("0"):
		return unretained, true
	default:
		return 0, false
	}
}

// emqxTopic reads a topic filter with placeholders, or, behind "eq ", one that is meant as it stands. A rule that denies must not
// vanish because of a value that can't be filled in.
func (w *writer) emqxTopic(at spot, text string, f flags) error {
	if filter, literally := strings.CutPrefix(text, "eq "); literally {
		return w.literal(at, filter, f|equals)
	}
	if !strings.Contains(text, "${") {
		return w.literal(at, text, f)
	}
	parts, wrong := emqxParts(text)
	if wrong == "" {
		wrong = config.FaultOfTopic(config.Filled(parts))
	}
	if wrong != "" {
		return at.fault("%s (it is %s)", wrong, verdict.Quote(text))
	}
	from := len(w.text)
	switch unfilled := w.fill(parts); {
	case unfilled == "":
		return w.add(from, f)
	case f&denies != 0:
		return at.fault("must deny %s, and %s", verdict.Quote(text), unfilled)
	default:
		w.text = w.text[:from]
		return w.count()
	}
}

// emqxParts takes a topic apart at its placeholders.
func emqxParts(text string) (parts []config.TopicPart, wrong string) {
	for text != "" {
		literal, rest, found := strings.Cut(text, "${")
		if literal != "" {
			parts = append(parts, config.TopicPart{Literal: literal})
		}
		if !found {
			break
		}
		name, behind, closed := strings.Cut(rest, "}")
		switch {
		case closed && name == "username":
			parts = append(parts, config.TopicPart{Username: true})
		case closed && name == "clientid":
			parts = append(parts, config.TopicPart{ClientID: true})
		default:
			return nil, "must hold no placeholder but ${username} and ${clientid}"
		}
		text = behind
	}
	return parts, ""
}
