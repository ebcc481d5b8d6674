package main

import (
	"fmt"
	"slices"
	"strings"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/verdict"
)

// verbs are what --may asks about.
func verbs() map[string]broker.Access {
	return map[string]broker.Access{"publish": broker.Write, "subscribe": broker.Subscribe, "receive": broker.Read}
}

// joinMay makes one argument of the two behind each --may, which is a flag with one: `--may publish a/b`.
func joinMay(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(joined, args[i:]...)
		}
		joined = append(joined, args[i])
		if args[i] != "--may" || i+2 >= len(args) {
			continue
		}
		if _, isVerb := verbs()[args[i+1]]; isVerb {
			joined = append(joined, args[i+1]+" "+args[i+2])
			i += 2
		}
	}
	return joined
}

// wish is one --may.
type wish struct {
	access      broker.Access
	verb, topic string
}

func parseMay(text string) (wish, error) {
	verb, topic, _ := strings.Cut(text, " ")
	access, isVerb := verbs()[verb]
	if !isVerb || topic == "" {
		return wish{}, fmt.Errorf(`--may: must be publish, subscribe or receive, and a topic, as in --may publish a/b, found %q`, text)
	}
	return wish{access, verb, topic}, nil
}

// mayRow is the answer to a wish.
type mayRow struct {
	Action string `json:"action"`
	Topic  string `json:"topic"`
	// Answer is yes, no, or defer: others decide.
	Answer  string `json:"answer"`
	Because string `json:"because"`
}

// tokenRights are what the token itself gives.
type tokenRights struct {
	Rules []rightsRow `json:"rules"`
	// Void counts the rules that match nothing, as a value in them is missing or not fit.
	Void int `json:"void"`
	// OnNoMatch is deny or defer.
	OnNoMatch string `json:"onNoMatch"`
}

type rightsRow struct {
	Permission string `json:"permission"`
	Publish    bool   `json:"publish"`
	Subscribe  bool   `json:"subscribe"`
	Filter     string `json:"filter"`
	Literally  bool   `json:"literally,omitempty"`
	QoS        []int  `json:"qos,omitempty"`
	Retain     *bool  `json:"retain,omitempty"`
	Origin     string `json:"origin"`

	words string
}

func newTokenRights(held *rights.Rights) *tokenRights {
	all := &tokenRights{Rules: []rightsRow{}, Void: held.Void(), OnNoMatch: "deny"}
	if held.Defers() {
		all.OnNoMatch = "defer"
	}
	for r := range held.Rules() {
		row := rightsRow{
			Permission: "allow", Publish: r.Publish, Subscribe: r.Subscribe, Filter: r.Filter, Literally: r.Literally, QoS: r.QoS, Retain: r.Retain,
			Origin: r.Origin, words: r.String(),
		}
		if r.Deny {
			row.Permission = "deny"
		}
		all.Rules = append(all.Rules, row)
	}
	return all
}

// answer says whether a client with these rights may do all that is asked; nil: they are for others to say.
func (q tokenQuestion) answer(held *rights.Rights) []mayRow {
	var rows []mayRow
	for _, w := range q.wishes {
		row := mayRow{Action: w.verb, Topic: w.topic, Answer: "defer", Because: "the file has no options.authorization for this provider"}
		if held != nil {
			var kind verdict.Kind
			kind, row.Because = held.Explain(w.access, w.topic, q.qos, q.retain)
			row.Answer = map[verdict.Kind]string{verdict.Accept: "yes", verdict.Defer: "defer"}[kind]
			if row.Answer == "" {
				row.Answer = "no"
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// showRights prints what the token gives, one rule a line.
func (c *console) showRights(all *tokenRights) {
	if all == nil {
		return
	}
	const name, indent = "rights     ", "           "
	before := name
	for _, r := range all.Rules {
		c.printf("  %s%s\n", painted(before), r.words)
		before = indent
	}
	if all.Void > 0 {
		c.printf("  %s%s\n", painted(before), c.doubtful.of("%d more that match nothing: a value in them is missing or not fit for a topic", all.Void))
		before = indent
	}
	if all.OnNoMatch == "defer" {
		c.printf("  %swhat none of these is about is left to the next plugin or the ACL file\n", painted(before))
	} else {
		c.printf("  %snothing else\n", painted(before))
	}
}

// showAnswers prints a line for each wish.
func (c *console) showAnswers(rows []mayRow) {
	for _, r := range rows {
		switch r.Answer {
		case "defer":
			c.printf("%s %s %s: %s\n", c.doubtful.of("?"), r.Action, verdict.Quote(r.Topic), c.doubtful.of("left to the next plugin or the ACL file: %s", r.Because))
		default:
			c.printf("%s %s %s: %s, %s\n", c.mark(r.Answer == "yes"), r.Action, verdict.Quote(r.Topic), r.Answer, r.Because)
		}
	}
}

// outcome is the exit code of the answers, as an error: a no counts more than what others decide.
func outcome(rows []mayRow) error {
	is := func(answer string) func(mayRow) bool { return func(r mayRow) bool { return r.Answer == answer } }
	switch {
	case slices.ContainsFunc(rows, is("no")):
		return errNo
	case slices.ContainsFunc(rows, is("defer")):
		return errUntold
	}
	return nil
}
