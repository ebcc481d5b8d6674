package rights

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// Compiler makes Rights by the rules of one provider. Safe for concurrent use.
type Compiler struct {
	cfg    *config.Authorization
	common config.Common
	path   config.Path
	// provider reads the templates that stand in claims.
	provider *config.Provider
	origins  []origin
}

// origin is where rules come from: a claim, or an entry of `grants`.
type origin struct {
	// claim is the dotted path of the claim; empty: it is a grant.
	claim string
	// lists are the names of those in which its rules stand, if they stand in any.
	lists []string
	// key is where in jwt.json it is named, and path the provider's place there.
	key  string
	path config.Path
}

// place is that of a rule in its origin: its index, and in which of the lists, from 1 on, if it stands in one.
type place uint16

const listBits = 14

func placeIn(list, index int) place {
	return place(list<<listBits | min(index, 1<<listBits-1)) //nolint:gosec // there are three lists
}

// Who is the client, under the names that it has after its login.
type Who struct {
	// Username and ClientID are empty if it has none.
	Username, ClientID string
}

// New returns a Compiler for the rules of cfg, which must have some (config.Provider.Authorization).
func New(cfg *config.Provider) *Compiler {
	c := &Compiler{cfg: cfg.Authorization, common: cfg.Common, path: cfg.Path, provider: cfg}
	for i, r := range c.cfg.Rules {
		from := origin{claim: r.Claim, key: fmt.Sprintf("options.authorization.rules[%d]", i), path: c.path}
		switch r.Format {
		case config.RightsPublSubs:
			for _, from.claim = range []string{"publ", "subs"} {
				c.origins = append(c.origins, from)
			}
			continue
		case config.RightsTopics:
			from.lists = []string{"publish", "subscribe"}
		case config.RightsEMQX:
			from.lists = []string{"pub", "sub", "all"}
		}
		c.origins = append(c.origins, from)
	}
	for i := range c.cfg.Grants {
		c.origins = append(c.origins, origin{
			key: fmt.Sprintf("options.authorization.grants[%d]", i), path: c.path, lists: []string{"publish", "subscribe"},
		})
	}
	return c
}

// Compile makes Rights of what a token, or the introspection endpoint, says of a client. The verdict is Accept, or Deny by
// verdict.MalformedRights; Rights come with Accept alone. trace takes that check; nil: nobody wants to see it.
func (c *Compiler) Compile(claims token.Claims, who Who, trace *verdict.Trace) (*Rights, verdict.Verdict) {
	w := writer{Compiler: c, claims: claims, who: who}
	if err := w.all(); err != nil {
		return nil, trace.FailWith(verdict.Refuse(verdict.MalformedRights, "%s", err), "rights", "rules that can be read", err.Error())
	}
	if trace != nil {
		trace.Pass("rights", fmt.Sprintf("at most %d rules", c.cfg.MaxRules), fmt.Sprintf("%d rules", w.read))
	}
	return &Rights{
		text: string(w.text), rules: slices.Clip(w.rules), origins: c.origins,
		void: uint16(w.read - len(w.rules)), defers: c.cfg.OnNoMatch == config.NoMatchDefer, //nolint:gosec // bounded by maxRules
	}, verdict.Verdict{Kind: verdict.Accept}
}

// maxText bounds the filters of one client, in bytes: templates could make much of one long claim.
const maxText = 1 << 18

// writer makes the rules of one login.
type writer struct {
	*Compiler
	claims token.Claims
	who    Who

	// text is that of Rights so far.
	text  []byte
	rules []rule
	// read counts the rules, those included that can match nothing.
	read int
	// origin is the index of the claim or grant that is being read, place the one of the rule in it.
	origin int
	place  place
}

func (w *writer) all() error {
	for _, r := range w.cfg.Rules {
		var err error
		switch r.Format {
		case config.RightsTopics:
			err = w.claim(r.Claim, w.readTopics)
		case config.RightsEMQX:
			err = w.claim(r.Claim, w.readEMQX)
		case config.RightsPublSubs:
			if err = w.claim("publ", w.readLiterals(publishes)); err == nil {
				err = w.claim("subs", w.readLiterals(subscribes))
			}
		}
		if err != nil {
			return err
		}
	}
	for i := range w.cfg.Grants {
		if err := w.grant(&w.cfg.Grants[i]); err != nil {
			return err
		}
		w.origin++
	}
	return nil
}

// claim reads a claim, if it is there. An answer of the introspection endpoint may hold null for nothing.
func (w *writer) claim(path string, read func(value any) error) error {
	if value, _ := w.claims.Lookup(path); value != nil {
		err := read(value)
		if errors.As(err, new(tooMuch)) {
			return err
		}
		if err != nil {
			return fmt.Errorf("%s%w", verdict.Word(path), err)
		}
	}
	w.origin++
	return nil
}

// spot is a place in a claim: one of its lists, if that has a name; an element of it, unless index is -1; a member of that.
type spot struct {
	list   string
	index  int
	member string
}

// claimItself is where the claim stands.
var claimItself = spot{index: -1} //nolint:gochecknoglobals // a constant

func (s spot) String() string {
	text := ""
	if s.list != "" {
		text = "." + s.list
	}
	if s.index >= 0 {
		text += fmt.Sprintf("[%d]", s.index)
	}
	if s.member != "" {
		text += "." + s.member
	}
	return text
}

func (s spot) of(member string) spot {
	s.member = member
	return s
}

// fault is what is wrong in a claim, and where in it.
func (s spot) fault(format string, args ...any) error {
	return errors.New(s.String() + " " + fmt.Sprintf(format, args...))
}

// readTopics reads {"publish": […], "subscribe": […]}, whose filters may hold placeholders.
func (w *writer) readTopics(value any) error {
	members, isObject := value.(map[string]any)
	if !isObject {
		return claimItself.fault(`must be an object with "publish" and "subscribe", found %s`, kindOf(value))
	}
	return w.readLists(members, []flags{publishes, subscribes}, func(at spot, text string, f flags) error {
		if !strings.ContainsAny(text, "{}") {
			return w.literal(at, text, f)
		}
		t, wrong := w.provider.ParseTopic(text)
		if wrong != "" {
			return at.fault("%s (it is %s)", wrong, verdict.Quote(text))
		}
		return w.template(t, f)
	})
}

// readLists reads an object of the origin's lists. about are what these are about.
func (w *writer) readLists(members map[string]any, about []flags, read func(at spot, text string, f flags) error) error {
	names := w.origins[w.origin].lists
	for name := range members {
		if !slices.Contains(names, name) {
			return claimItself.fault("must hold nothing but %s, found %s", strings.Join(names, ", "), verdict.Quote(name))
		}
	}
	for i, name := range names {
		if err := w.readList(name, i+1, members[name], about[i]|anyQoS|anyRetain, read); err != nil {
			return err
		}
	}
	return nil
}

// readList reads an array of filters, or one alone. list counts the origin's lists from 1 on.
func (w *writer) readList(name string, list int, value any, f flags, read func(at spot, text string, f flags) error) error {
	w.place = placeIn(list, 0)
	items, isArray := value.([]any)
	switch text, isText := value.(string); {
	case value == nil:
		return nil
	case isText:
		return read(spot{list: name, index: -1}, text, f)
	case !isArray:
		return spot{list: name, index: -1}.fault("must be an array of topic filters, found %s", kindOf(value))
	}
	for i, item := range items {
		text, isText := item.(string)
		if !isText {
			return spot{list: name, index: i}.fault("must be a topic filter, found %s", kindOf(item))
		}
		w.place = placeIn(list, i)
		if err := read(spot{list: name, index: i}, text, f); err != nil {
			return err
		}
	}
	return nil
}

// readLiterals reads an array of filters without placeholders.
func (w *writer) readLiterals(about flags) func(value any) error {
	return func(value any) error { return w.readList("", 0, value, about|anyQoS|anyRetain, w.literal) }
}

// literal adds a rule with a filter that stands in a claim as it is meant.
func (w *writer) literal(at spot, filter string, f flags) error {
	if wrong := config.FaultOfTopic(filter); wrong != "" {
		return at.fault("%s (it is %s)", wrong, verdict.Quote(filter))
	}
	from := len(w.text)
	w.text = append(w.text, filter...)
	return w.add(from, f)
}

// grant adds what an entry of `grants` gives, if the claims are those that it is for.
func (w *writer) grant(g *config.Grant) error {
	if !g.Everyone && (g.Scope == "" || !w.claims.HasScope(g.Scope)) && (g.Claim == "" || !w.claims.Holds(g.Claim, g.Values)) {
		return nil
	}
	for list, topics := range [][]*config.TopicTemplate{g.Publish, g.Subscribe} {
		about := []flags{publishes, subscribes}[list]
		for i, t := range topics {
			w.place = placeIn(list+1, i)
			if err := w.template(t, about|anyQoS|anyRetain); err != nil {
				return err
			}
		}
	}
	return nil
}

// template adds a rule that allows. One with a value that could widen it, or without one, matches nothing.
func (w *writer) template(t *config.TopicTemplate, f flags) error {
	from := len(w.text)
	if fault := w.fill(t.Parts); fault != "" {
		w.text = w.text[:from]
		return w.count()
	}
	return w.add(from, f)
}

// fill writes a filter, with the client's values in the place of placeholders; fault says which is not fit for that, and why, without
// showing it: it may be what the client has sent as its token. A name that is tied to the token has been made of values that are fit
// (package identity): what else is in it is the operator's own text.
func (w *writer) fill(parts []config.TopicPart) (fault string) {
	from := len(w.text)
	for _, part := range parts {
		value, name, tied := part.Literal, "", true
		switch {
		case part.Username:
			value, name, tied = w.who.Username, "the username", w.common.MatchUsername
		case part.ClientID:
			value, name, tied = w.who.ClientID, "the client id", w.common.MatchClientID
		case part.Claim != "":
			value, name, tied = w.claims.Text(part.Claim), part.Claim, false
		}
		if name != "" {
			if why := w.unfit(value, len(w.text) == from, tied); why != "" {
				return name + " " + why
			}
		}
		w.text = append(w.text, value...)
	}
	if len(w.text)-from > maxFilter {
		return fmt.Sprintf("it has more than %d bytes then", maxFilter)
	}
	return ""
}

// maxFilter is the longest topic filter that MQTT can carry, in bytes.
const maxFilter = 65535

// unfit says why a value can't stand in a topic filter: with it, the rule would match topics of others, as in CVE-2017-7650. first: it
// is the beginning of the filter.
func (w *writer) unfit(value string, first, tied bool) string {
	switch {
	case value == "":
		return "is empty"
	case strings.ContainsAny(value, "+#"):
		return "holds a topic wildcard"
	case !tied && !w.common.AllowSlash && strings.Contains(value, "/"):
		return "holds '/' (" + w.path.Key("options.common.allowSlashInIdentity") + " admits it)"
	case first && value[0] == '$':
		return "begins with '$', as the broker's own topics do"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "holds a control character"
	// The JSON decoder replaces invalid text, so two values would become one.
	case !utf8.ValidString(value) || strings.ContainsRune(value, utf8.RuneError):
		return "is no valid UTF-8"
	}
	return ""
}

// tooMuch is a bound on all rules of a login together.
type tooMuch struct{ error }

// count counts a rule, and refuses too many.
func (w *writer) count() error {
	w.read++
	if w.read > w.cfg.MaxRules {
		return tooMuch{fmt.Errorf("there are more than %d rules (%s)", w.cfg.MaxRules, w.path.Key("options.authorization.maxRules"))}
	}
	return nil
}

// add adds a rule with the filter that is good, and stands in the text from that place on.
func (w *writer) add(from int, f flags) error {
	if err := w.count(); err != nil {
		return err
	}
	if len(w.text) > maxText {
		return tooMuch{fmt.Errorf("the topic filters of one client have more than %d bytes", maxText)}
	}
	filter := w.text[from:]
	literal, shape := shape(filter)
	if shape == exact {
		f &^= equals // it is that by itself
	}
	if f&equals != 0 {
		f &^= publishes // no message has such a topic
	}
	w.rules = append(w.rules, rule{
		from: uint32(from), length: uint16(len(filter)), literal: uint16(literal), //nolint:gosec // bounded above
		origin: uint16(w.origin), place: w.place, flags: f | shape, //nolint:gosec // bounded by the size of a jwt.json
	})
	return nil
}

// kindOf names the JSON type of a value.
func kindOf(value any) string {
	switch v := value.(type) {
	case string:
		return verdict.Quote(v)
	case nil:
		return "none"
	case bool:
		return fmt.Sprint(v)
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	default:
		return "a number"
	}
}
