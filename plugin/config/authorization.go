package config

import (
	"fmt"
	"slices"
	"strings"

	"go-jwt-auth/plugin/topic"
	"go-jwt-auth/plugin/verdict"
)

// Authorization is `$.options.authorization`: what the bearers of a provider's tokens may publish and subscribe to. It holds at
// least one rule or grant.
type Authorization struct {
	// Rules say which claims hold rights, in the order in which they count.
	Rules []RightsClaim
	// Grants count after Rules.
	Grants []Grant
	// OnNoMatch: deny (default), or defer to the next plugin or the ACL file what no rule is about.
	OnNoMatch NoMatch
	// MaxRules bounds the rules that one login has, those of Grants included, 1 to 1024; default 256.
	MaxRules int
	// LogDenied logs denied actions as notices; otherwise they are logged at level debug. Default false.
	LogDenied bool
}

// NoMatch says what becomes of an action that no rule is about (`$.options.authorization.onNoMatch`).
type NoMatch string

// What `$.options.authorization.onNoMatch` accepts.
const (
	NoMatchDeny  NoMatch = "deny"
	NoMatchDefer NoMatch = "defer"
)

// RightsFormat is how rights are written in a claim (`$.options.authorization.rules[…].format`).
type RightsFormat string

// What `$.options.authorization.rules[…].format` accepts.
const (
	// RightsTopics: {"publish": […], "subscribe": […]}, with placeholders as in Grant.
	RightsTopics RightsFormat = "topics"
	// RightsEMQX: both forms of EMQX's `acl`.
	RightsEMQX RightsFormat = "emqx"
	// RightsPublSubs: the claims publ and subs, an array of filters each, as mosquitto-jwt-auth has them.
	RightsPublSubs RightsFormat = "publ-subs"
)

// RightsClaim is one entry of `$.options.authorization.rules`.
type RightsClaim struct {
	// Claim is the dotted path of the claim; empty for RightsPublSubs.
	Claim  string
	Format RightsFormat
}

// Grant is one entry of `$.options.authorization.grants`: rights of all tokens that have a scope, or one of some values in a
// claim, or of all. Exactly one of Scope, Claim and Everyone is set.
type Grant struct {
	// Scope must be in `scope` or `scp`.
	Scope string
	// Claim is a dotted path; the claim, or an element of it if it is an array, must equal one of Values, which are JSON strings,
	// numbers (json.Number) or booleans.
	Claim    string
	Values   []any
	Everyone bool
	// Publish and Subscribe are what is granted, at least one filter in both together.
	Publish, Subscribe []*TopicTemplate
}

// TopicTemplate is a topic filter, perhaps with placeholders. With any values in their places that hold neither '+' nor '#' and
// are not empty, it is a topic filter (topic.FaultOfFilter), and not that of a shared subscription.
type TopicTemplate struct {
	source string
	// Parts are literal text and placeholders, in order.
	Parts []TopicPart
}

// TopicPart is literal text, or a placeholder.
type TopicPart struct {
	Literal string
	// Username and ClientID stand for the client's names, and Claim for a claim by its dotted path; at most one is set.
	Username, ClientID bool
	Claim              string
}

// String is the template as it was written.
func (t *TopicTemplate) String() string { return t.source }

// ParseTopic reads a topic filter with placeholders in braces, of the provider p; wrong says what is the matter with it. The names
// of clients are admitted only where something ties them to the token.
func (p *Provider) ParseTopic(text string) (t *TopicTemplate, wrong string) {
	pieces, wrong := takeApart(text)
	if wrong != "" {
		return nil, wrong
	}
	t = &TopicTemplate{source: text, Parts: make([]TopicPart, 0, len(pieces))}
	for _, piece := range pieces {
		part, wrong := p.topicPart(piece)
		if wrong != "" {
			return nil, wrong
		}
		if n := len(t.Parts) - 1; n >= 0 && part.Literal == "" && strings.HasSuffix(t.Parts[n].Literal, "$") {
			return nil, "must not have a \"$\" before a placeholder, found " + verdict.Quote("${"+piece.placeholder+"}") + ": \"$\" is for EMQX's format, in tokens"
		}
		if n := len(t.Parts) - 1; n >= 0 && part.Literal != "" && t.Parts[n].Literal != "" { // beside {provider}
			t.Parts[n].Literal += part.Literal
		} else {
			t.Parts = append(t.Parts, part)
		}
	}
	return t, FaultOfTopic(Filled(t.Parts))
}

func (p *Provider) topicPart(piece piece) (part TopicPart, wrong string) {
	const untied = "must not hold {%s} unless %s or %s says what the %s is: a client could choose its own rights"
	claim, isClaim := strings.CutPrefix(piece.placeholder, "claim:")
	switch placeholder := piece.placeholder; {
	case placeholder == "":
		return TopicPart{Literal: piece.text}, ""
	case placeholder == "provider" && p.Path.String() == "$":
		return TopicPart{}, `must not hold {provider} in a file without "providers": there is no name to put there`
	case placeholder == "provider":
		return TopicPart{Literal: p.Name}, ""
	case placeholder == "username" && !p.Common.MatchUsername:
		return TopicPart{}, fmt.Sprintf(untied, placeholder, "matchUsernameToSubject", "usernameTemplate", "username")
	case placeholder == "username":
		return TopicPart{Username: true}, ""
	case placeholder == "clientid" && !p.Common.MatchClientID:
		return TopicPart{}, fmt.Sprintf(untied, placeholder, "matchClientIdToSubject", "clientIdTemplate", "client id")
	case placeholder == "clientid":
		return TopicPart{ClientID: true}, ""
	case placeholder == "sub":
		return TopicPart{Claim: placeholder}, ""
	case isClaim && claim != "":
		return TopicPart{Claim: claim}, ""
	default:
		hint := ""
		if !isClaim {
			hint = didYouMean(placeholder, "username", "clientid", "sub", "provider", "claim:"+placeholder[strings.IndexByte(placeholder, ':')+1:])
		}
		return TopicPart{}, fmt.Sprintf("must hold no placeholder but {username}, {clientid}, {sub}, {provider} and {claim:NAME}, found %s%s",
			verdict.Quote("{"+placeholder+"}"), hint)
	}
}

// Filled is the filter that parts give with a letter in the place of each placeholder.
func Filled(parts []TopicPart) string {
	var filled strings.Builder
	filled.Grow(64) // most are shorter
	for _, part := range parts {
		filled.WriteString(part.Literal)
		if part.Literal == "" {
			filled.WriteByte('x')
		}
	}
	return filled.String()
}

// FaultOfTopic says why a text is not a topic filter that a rule can have; empty if it is one.
func FaultOfTopic(filter string) string {
	if fault := topic.FaultOfFilter(filter); fault != "" {
		return "must be a topic filter, and " + fault
	}
	if filter == "$share" || strings.HasPrefix(filter, "$share/") {
		return `must not begin with "$share/": name the filter behind the group, which is what a shared subscription is judged by`
	}
	return ""
}

// authorizationKeys are those of `$.options.authorization`.
func authorizationKeys(a *Authorization) []key {
	const at = "options.authorization."
	return []key{
		{at + "rules", rightsClaims(&a.Rules)},
		{at + "grants", grants(&a.Grants)},
		{at + "onNoMatch", oneOf(&a.OnNoMatch, NoMatchDeny, NoMatchDefer)},
		{at + "maxRules", integer(&a.MaxRules, rules)},
		{at + "logDenied", boolean(&a.LogDenied)},
	}
}

// rightsMembers is the format of one entry of `rules`.
func rightsMembers(r *RightsClaim) []key {
	return []key{
		{"claim", text(&r.Claim)},
		{"format", oneOf(&r.Format, RightsTopics, RightsEMQX, RightsPublSubs)},
	}
}

// grantMembers is the format of one entry of `grants`. Its topics are read when the names of clients are known (checkAuthorization).
func grantMembers(g *Grant) []key {
	return []key{
		{"scope", func(d *document, n *node) { g.Scope, _ = scopeToken(d, n) }},
		{"claim", text(&g.Claim)},
		{"value", func(d *document, n *node) { g.Values = claimValues(d, n) }},
		{"everyone", boolean(&g.Everyone)},
		{"publish", anything},
		{"subscribe", anything},
	}
}

// entries are the objects of an array, each read by its format.
func (d *document) entries(n *node, example string, read func(n *node)) {
	items, isArray := n.Value.(array)
	switch {
	case !isArray:
		d.errorf(n, "must be an array of objects such as %s, found %s", example, n.Found())
	case len(items) == 0:
		d.errorf(n, "must not be empty: give a value or remove the key")
	}
	for _, i := range items {
		read(i)
	}
}

func rightsClaims(to *[]RightsClaim) reader {
	return func(d *document, n *node) {
		d.entries(n, `{"claim": "mqtt", "format": "topics"}`, func(n *node) {
			var r RightsClaim
			s := d.scope(n, rightsMembers(&r), nil)
			switch {
			case s == nil:
				return
			case !s.has("format"):
				s.missing("format", `must be there: "topics", "emqx" or "publ-subs"`)
			case r.Format == RightsPublSubs && s.has("claim"):
				s.errorf(s.nodes["claim"], `must not stand beside format "publ-subs", whose claims are publ and subs`)
			case (r.Format == RightsTopics || r.Format == RightsEMQX) && !s.has("claim"):
				s.missing("claim", `must be there: the claim that holds the rights, such as "acl"`)
			}
			*to = append(*to, r)
		})
	}
}

func grants(to *[]Grant) reader {
	return func(d *document, n *node) {
		d.entries(n, `{"scope": "mqtt:read", "subscribe": ["#"]}`, func(n *node) {
			var g Grant
			s := d.scope(n, grantMembers(&g), nil)
			if s == nil {
				return
			}
			s.checkGrant()
			*to = append(*to, g)
		})
	}
}

func (s *scope) checkGrant() {
	who := 0
	for _, name := range []string{"scope", "claim", "everyone"} {
		if s.has(name) {
			who++
		}
	}
	switch {
	case who != 1:
		s.errorf(s.root, `must hold one of "scope", "claim" and "everyone", which say whose rights these are, found %s`, counted(who))
	case s.has("claim") && !s.has("value"):
		s.missing("value", "must be there beside claim: what it must be, or hold")
	case s.has("value") && !s.has("claim"):
		s.errorf(s.nodes["value"], `must not stand without "claim"`)
	case s.has("everyone") && s.nodes["everyone"].Value == false:
		s.errorf(s.nodes["everyone"], "must be true: remove the entry to grant nothing")
	}
	if !s.has("publish") && !s.has("subscribe") {
		s.errorf(s.root, `must hold "publish" or "subscribe": the topics that are granted`)
	}
}

func counted(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// checkAuthorization reads the topics, whose placeholders depend on how names are mapped.
func (s *scope) checkAuthorization(c *Provider) {
	const authorization = "options.authorization"
	if !s.has(authorization) {
		c.Authorization = nil
		return
	}
	if !s.has(authorization+".rules") && !s.has(authorization+".grants") {
		s.missing(authorization, `must hold "rules" or "grants": nobody could do anything`)
	}
	if !s.has(authorization + ".grants") {
		return
	}
	items, _ := s.nodes[authorization+".grants"].Value.(array)
	granting := 0
	for _, n := range items {
		if _, isObject := n.Value.(object); !isObject {
			continue
		}
		g := &c.Authorization.Grants[granting]
		granting++
		g.Publish, g.Subscribe = s.topics(n.Member("publish"), c), s.topics(n.Member("subscribe"), c)
	}
}

// topics reads a topic filter or an array of them.
func (s *scope) topics(n *node, c *Provider) (all []*TopicTemplate) {
	if n == nil {
		return nil
	}
	var texts []string
	list(&texts, func(d *document, n *node) (string, bool) {
		text, ok := word(d, n)
		if !ok {
			return "", false
		}
		t, wrong := c.ParseTopic(text)
		if wrong != "" {
			d.errorf(n, "%s", wrong)
			return "", false
		}
		if !slices.Contains(texts, text) {
			all = append(all, t)
		}
		return text, true
	})(s.document, n)
	return all
}
