package config

import (
	"fmt"
	"strings"
	"unicode"

	"go-jwt-auth/plugin/verdict"
)

// Template makes a username or client id of literal text and claims of a token
// (`$.options.common.usernameTemplate`, `.clientIdTemplate`).
//
// Its literal text is fit for a name: it holds no '+', '#' or control character, and does not begin with '$'. At least one of
// its claims is another than `iss`, so that it is not one name for everybody.
type Template struct {
	source string
	parts  []part
}

// part is literal text, or the dotted path of a claim.
type part struct{ literal, claim string }

// Claims are the dotted paths of the claims in it, in order.
func (t *Template) Claims() []string {
	var paths []string
	for _, p := range t.parts {
		if p.claim != "" {
			paths = append(paths, p.claim)
		}
	}
	return paths
}

// Render puts what value says of each claim in its place. Whether the values are fit for a name is for the caller to check.
func (t *Template) Render(value func(claim string) string) string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.literal)
		if p.claim != "" {
			b.WriteString(value(p.claim))
		}
	}
	return b.String()
}

// Prefix is the literal text that it begins with, the name of the provider included; empty if it begins with a claim.
func (t *Template) Prefix() string {
	if len(t.parts) == 0 {
		return ""
	}
	return t.parts[0].literal
}

// String is the template as the file has it.
func (t *Template) String() string { return t.source }

// piece is a stretch of literal text, or what stands between braces.
type piece struct{ text, placeholder string }

// takeApart takes a text with placeholders in braces apart, in which {{ and }} are braces of the text itself; wrong says what
// is the matter with it.
func takeApart(text string) (pieces []piece, wrong string) {
	literal := func(s string) {
		if n := len(pieces) - 1; n >= 0 && pieces[n].placeholder == "" {
			pieces[n].text += s
		} else if s != "" {
			pieces = append(pieces, piece{text: s})
		}
	}
	pieces = make([]piece, 0, 1+2*strings.Count(text, "{"))
	for text != "" {
		brace := strings.IndexAny(text, "{}")
		if brace < 0 {
			literal(text)
			break
		}
		literal(text[:brace])
		rest := text[brace+1:]
		end := strings.IndexAny(rest, "{}")
		switch {
		case strings.HasPrefix(rest, text[brace:brace+1]):
			literal(text[brace : brace+1])
			text = rest[1:]
			continue
		case text[brace] == '}':
			return nil, `must have a "{" for each "}", found a "}" without one: "}}" is a brace of the text itself`
		case end < 0 || rest[end] == '{':
			return nil, `must have a "}" for each "{", found a "{" without one: "{{" is a brace of the text itself`
		case end == 0:
			return nil, `must name what stands between braces, found "{}"`
		}
		pieces = append(pieces, piece{placeholder: rest[:end]})
		text = rest[end+1:]
	}
	return pieces, ""
}

// template reads the template of a name of the provider c, in which that one's own name is literal text.
func template(to **Template, c *Provider) reader {
	return func(d *document, n *node) {
		text, ok := word(d, n)
		if !ok {
			return
		}
		t, wrong := parseTemplate(text, c)
		if wrong != "" {
			d.errorf(n, "%s", wrong)
			return
		}
		*to = t
	}
}

func parseTemplate(text string, c *Provider) (t *Template, wrong string) {
	pieces, wrong := takeApart(text)
	if wrong != "" {
		return nil, wrong
	}
	t = &Template{source: text}
	personal := false
	for _, p := range pieces {
		claim, isClaim := strings.CutPrefix(p.placeholder, "claim:")
		switch {
		case p.placeholder == "":
			t.literal(p.text)
		case p.placeholder == "provider" && c.Path.String() == "$":
			return nil, `must not hold {provider} in a file without "providers": there is no name to put there`
		case p.placeholder == "provider":
			t.literal(c.Name)
		case p.placeholder == "sub" || p.placeholder == "iss":
			claim = p.placeholder
			fallthrough
		case isClaim && claim != "":
			t.parts = append(t.parts, part{claim: claim})
			personal = personal || claim != "iss"
		default:
			return nil, fmt.Sprintf("must hold no placeholder but {sub}, {iss}, {provider} and {claim:NAME}, found %s%s",
				verdict.Quote("{"+p.placeholder+"}"), didYouMean(p.placeholder, "sub", "iss", "provider", "claim:"+p.placeholder[strings.IndexByte(p.placeholder, ':')+1:]))
		}
	}
	if !personal {
		return nil, "must hold {sub} or {claim:NAME}, found neither: all clients would have one name"
	}
	if wrong := t.unfit(); wrong != "" {
		return nil, wrong
	}
	return t, ""
}

// literal adds text to that before it, if there is any.
func (t *Template) literal(text string) {
	if n := len(t.parts) - 1; n >= 0 && t.parts[n].claim == "" {
		t.parts[n].literal += text
	} else {
		t.parts = append(t.parts, part{literal: text})
	}
}

// unfit says what in the literal text can't be in a name: with it, %u and %c in an access list would match topics of others.
func (t *Template) unfit() string {
	for _, p := range t.parts {
		switch {
		case strings.ContainsAny(p.literal, "+#"):
			return `must not hold "+" or "#" around its placeholders, found a topic wildcard`
		case strings.ContainsFunc(p.literal, unicode.IsControl):
			return "must not hold control characters"
		}
	}
	if strings.HasPrefix(t.Prefix(), "$") {
		return `must not begin with "$", as the broker's own topics do`
	}
	return ""
}
