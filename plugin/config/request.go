package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go-jwt-auth/plugin/config/fileaccess"
	"go-jwt-auth/plugin/verdict"
)

// TokenPlaceholder stands for the token in a Request: in its path, in the values of its headers, and in any string of its
// payload, the names of members included.
const TokenPlaceholder = "#:jwt_value:#"

// Request is a `requestParameters` object: parts that replace those of the usual request. It may hold secrets and is
// never logged.
type Request struct {
	// Method is GET, POST, PUT, PATCH or DELETE; empty: POST. With GET there is no Payload.
	Method string
	// Path starts with one '/' and replaces path and query of the URI; empty: those of the URI. It is ASCII without
	// white space, and percent-encoded as it is to be sent.
	Path string
	// Headers are added, or replace those of the same name; no two have the same. None is of the connection or of the
	// message's length, which are HTTP's own affair.
	Headers []Header
	// Payload is any JSON value, its numbers json.Number, its objects map[string]any, its arrays []any. nil: none given,
	// which null means too.
	//
	// For introspection it is an object of strings, numbers and booleans: members of the form beside `token`, or in its
	// place. For a plain request that is a form, it is such an object, or a string: the whole body as it stands.
	Payload any
}

// Header is one HTTP header field of a Request (RFC 9110 §5).
type Header struct{ Name, Value string }

// HoldsToken says whether TokenPlaceholder stands anywhere in the request. A plain request in which it does not has no
// payload and a method with a body, which then is the default payload {"token": TokenPlaceholder}.
func (r Request) HoldsToken() bool {
	return strings.Contains(r.Path, TokenPlaceholder) || holdsToken(r.Payload) ||
		slices.ContainsFunc(r.Headers, func(h Header) bool { return strings.Contains(h.Value, TokenPlaceholder) })
}

func holdsToken(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, TokenPlaceholder)
	case []any:
		return slices.ContainsFunc(v, holdsToken)
	case map[string]any:
		for name, member := range v {
			if strings.Contains(name, TokenPlaceholder) || holdsToken(member) {
				return true
			}
		}
	}
	return false
}

// secretName is what headers and members are called that hold a credential.
var secretName = regexp.MustCompile(`(?i)authorization|cookie|credential|passw|secret|key$|token$`)

// holdsSecret says whether a header or a member of the payload looks like a credential. The client's token is none of
// ours.
func (r Request) holdsSecret() bool {
	for _, h := range r.Headers {
		if secretName.MatchString(h.Name) && !strings.Contains(h.Value, TokenPlaceholder) {
			return true
		}
	}
	members, _ := r.Payload.(map[string]any)
	for name, value := range members {
		if secretName.MatchString(name) && !holdsToken(value) {
			return true
		}
	}
	return false
}

// Format writes nothing of the request, whatever the verb.
func (r Request) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(request)") }

// MarshalJSON encodes nothing of the request.
func (r Request) MarshalJSON() ([]byte, error) { return []byte(`"(request)"`), nil }

// requestRule holds what binds the members of a request together. members are those that it has, all of them valid.
type requestRule func(d *document, n *node, members map[string]*node, r Request)

// introspectionRequest reads parts that replace those of the RFC 7662 request.
func introspectionRequest(to *Request) reader {
	return requestParameters(to, func(d *document, _ *node, members map[string]*node, r Request) {
		if r.Method == http.MethodGet {
			d.errorf(members["method"], `must not be "GET": the token would stand in an address, and RFC 7662 §2.1 has a form`)
		}
		n := members["payload"]
		switch form, isObject := r.Payload.(map[string]any); {
		case r.Payload == nil:
		case !isObject:
			d.errorf(n, `must be an object of form members such as {"realm": "test"}, found %s`, n.Kind())
		default:
			d.checkForm(n)
			if token, given := form["token"]; given && !holdsToken(token) {
				d.errorf(n.Member("token"), "must hold %s: the endpoint would be asked about another token", TokenPlaceholder)
			}
		}
	})
}

// plainRequest reads the request to an endpoint of another kind; plain.BodyEncoding has been read before.
func plainRequest(plain *Plain) reader {
	return requestParameters(&plain.Request, func(d *document, n *node, members map[string]*node, r Request) {
		body := members["payload"]
		switch {
		case r.Payload != nil && r.Method == http.MethodGet:
			d.errorf(body, `must not stand in a GET request, which has no body: put the token into "path" or "headers"`)
		case !r.HoldsToken() && (r.Payload != nil || r.Method == http.MethodGet || r.Method == http.MethodDelete):
			d.errorf(n, `must hold %s in "path", "headers" or "payload": the endpoint could not know which token is meant`, TokenPlaceholder)
		}
		if plain.BodyEncoding != BodyForm || r.Payload == nil {
			return
		}
		switch r.Payload.(type) {
		case map[string]any:
			d.checkForm(body)
		case string:
		default:
			d.errorf(body, "must be an object or a string where bodyEncoding is %q, found %s", BodyForm, body.Kind())
		}
	})
}

// checkForm refuses members that a form can't hold.
func (d *document) checkForm(n *node) {
	members, _ := n.Value.(object)
	for _, m := range members {
		switch m.Value.(type) {
		case string, json.Number, bool:
		default:
			d.errorf(m.Node, "must be a string, a number or a boolean, as members of a form are, found %s", m.Kind())
		}
	}
}

// requestParameters reads a request by where it is. What stands elsewhere is JSON in a text of its own.
func requestParameters(to *Request, rule requestRule) reader {
	return func(d *document, n *node) {
		members, ok := n.Value.(object)
		if !ok {
			d.errorf(n, `must be an object with "plain", "env" or "filePath", found %s`, n.Kind())
			return
		}
		var inside []string
		for _, k := range requestMembers(to) {
			inside = append(inside, k.path)
		}
		d.readOrigin(n, members, origin{
			plain: func(n *node) {
				switch v := n.Value.(type) {
				case string:
					d.readRequestText(to, n, v, "this text", rule)
				case object:
					d.readRequest(to, n, rule)
				default:
					d.errorf(n, "must be an object, or one as JSON in a string, found %s", n.Kind())
				}
				if to.holdsSecret() {
					d.checkExposed(n)
				}
			},
			env: func(n *node, value, name string) { d.readRequestText(to, n, value, name, rule) },
			file: func(n *node, f textFile) {
				d.readRequestText(to, n, f.text, f.name, rule)
				who := fileaccess.Public
				if to.holdsSecret() {
					who = fileaccess.Private
				}
				d.checkPrivacy(n, f.name, f.mode, who)
			},
			inside: inside,
		})
	}
}

// readRequestText reads a request that is JSON of its own; where names the text in problems.
func (d *document) readRequestText(to *Request, n *node, text, where string, rule requestRule) {
	if strings.TrimSpace(text) == "" {
		d.errorf(n, "must hold a request as JSON, found nothing in %s", where)
		return
	}
	inner := newDocument([]byte(text))
	if inner.Root != nil {
		inner.readRequest(to, inner.Root, rule)
	}
	inner.problems.sort()
	for _, p := range inner.problems {
		d.report(p.Severity, n.Offset, n.Path, "in line %d, column %d of %s: %s", p.Line, p.Column, where, p)
		d.problems[len(d.problems)-1].UnknownKey = p.UnknownKey
	}
}

func (d *document) readRequest(to *Request, n *node, rule requestRule) {
	if _, ok := n.Value.(object); !ok {
		d.errorf(n, `must be an object such as {"method": "POST", "payload": {"token": "%s"}}, found %s`, TokenPlaceholder, n.Kind())
		return
	}
	faults := len(d.problems.Errors())
	s := d.scope(n, requestMembers(to), nil)
	if len(d.problems.Errors()) == faults {
		rule(d, n, s.nodes, *to)
	}
}

// method reads an HTTP method (RFC 9110 §9.3, RFC 5789), whose names are in capitals.
func method(to *string) reader {
	return oneOf(to, http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
}

// requestPath reads a path with or without a query, percent-encoded as it is to be sent. No message shows it, since a
// query may hold an API key.
func requestPath(to *string) reader {
	return func(d *document, n *node) {
		s, ok := n.Value.(string)
		if !ok {
			d.errorf(n, "must be a string, found %s", n.Kind())
			return
		}
		if wrong := pathProblem(strings.ReplaceAll(s, TokenPlaceholder, "TOKEN")); wrong != "" {
			d.errorf(n, "%s", wrong)
			return
		}
		*to = s
	}
}

// brokenEscape is a percent sign that begins no escape (RFC 3986 §2.1).
var brokenEscape = regexp.MustCompile(`%(?:$|[^0-9A-Fa-f]|[0-9A-Fa-f](?:$|[^0-9A-Fa-f]))`)

// pathProblem looks at a path in which words stand for the placeholders.
func pathProblem(path string) string {
	const example = `such as "/tokens/check?verbose=1"`
	switch {
	case !strings.HasPrefix(path, "/"):
		return `must be a path that begins with "/", ` + example
	case strings.HasPrefix(path, "//"):
		return `must be a path that begins with one "/", ` + example + ": after two a host name would stand"
	case strings.Contains(path, "#"):
		return `must not hold a fragment, found "#": a server never sees it (the token's place is ` + TokenPlaceholder + ")"
	case placeholder.MatchString(path):
		return "still holds the placeholder " + verdict.Quote(placeholder.FindString(path)) + ": the token's place is " + TokenPlaceholder
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "must be percent-encoded, found white space, a control character or letters beyond ASCII (a space is %20)"
	case brokenEscape.MatchString(path):
		return `must be percent-encoded, found "%" without two hexadecimal digits (a percent sign is %25)`
	}
	return ""
}

// fieldName is the name of a header (RFC 9110 §5.1, §5.6.2).
var fieldName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// reserved are headers that belong to the connection or to the message as such (RFC 9110 §6.4, §7.6.1).
func reserved() []string {
	return []string{
		"Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
	}
}

// headers reads an object of name → value. No message shows a value.
func headers(to *[]Header) reader {
	return headerFields(`{"Authorization": "Bearer `+TokenPlaceholder+`"}`, func(d *document, m member) {
		if value, ok := headerValue(d, m.Node); ok {
			*to = append(*to, Header{m.Name, value})
		}
	})
}

// secretHeaders reads the same, with values that may stand elsewhere.
func secretHeaders(to *[]SecretHeader) reader {
	return headerFields(`{"X-Api-Key": {"env": "JWKS_API_KEY"}}`, func(d *document, m member) {
		var value Secret
		if _, elsewhere := m.Value.(object); elsewhere {
			secret(&value)(d, m.Node)
			if !isFieldValue(value.Reveal()) {
				d.errorf(m.Node, "must be one line without control characters")
				return
			}
		} else if text, ok := headerValue(d, m.Node); ok {
			value = NewSecret(text)
			if secretName.MatchString(m.Name) {
				d.checkExposed(m.Node)
			}
		}
		*to = append(*to, SecretHeader{m.Name, value})
	})
}

// headerFields reads an object of header fields, and leaves the value of each to read.
func headerFields(example string, read func(d *document, m member)) reader {
	return func(d *document, n *node) {
		members, ok := n.Value.(object)
		if !ok {
			d.errorf(n, `must be an object such as %s, found %s`, example, n.Found())
			return
		}
		var names []string
		for _, m := range members {
			name := strings.ToLower(m.Name)
			switch {
			case !fieldName.MatchString(m.Name):
				d.errorAt(m.NameOffset, m.Path, "must be named as HTTP headers are (letters, digits and !#$%%&'*+-.^_`|~), found %s", verdict.Quote(m.Name))
			case slices.ContainsFunc(reserved(), func(r string) bool { return strings.EqualFold(r, m.Name) }):
				d.errorAt(m.NameOffset, m.Path, "must not be set: this header is HTTP's own affair")
			case slices.Contains(names, name):
				d.errorAt(m.NameOffset, m.Path, "must stand once, found again in other letters")
			default:
				read(d, m)
			}
			names = append(names, name)
		}
	}
}

// headerValue is a string without control characters but the tab (RFC 9110 §5.5), or a number as it is written.
func headerValue(d *document, n *node) (string, bool) {
	switch v := n.Value.(type) {
	case json.Number:
		return v.String(), true
	case string:
		if isFieldValue(v) {
			return v, true
		}
		d.errorf(n, "must be one line without control characters")
	default:
		d.errorf(n, "must be a string or a number, found %s", n.Kind())
	}
	return "", false
}

// payload keeps any value.
func payload(to *any) reader {
	return func(_ *document, n *node) { *to = n.Plain() }
}

func isFieldValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && r <= unicode.MaxASCII && unicode.IsControl(r) })
}
