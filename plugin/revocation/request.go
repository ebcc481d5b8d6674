package revocation

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
)

// render makes the request that parts describe, with the token in place of each placeholder: escaped as that place needs it, so
// that a token can't add a parameter, a header or a member. The error is errUnfit if it can't be escaped there.
func render(uri string, parts config.Request, encoding config.BodyEncoding, header http.Header, token string) (endpoint.Request, error) {
	if before, _, _ := strings.Cut(parts.Path, "?"); strings.Contains(before, config.TokenPlaceholder) && climbs(token) {
		return endpoint.Request{}, errUnfit
	}
	r := endpoint.Request{Method: parts.Method, URI: target(uri, parts.Path, token), Header: header}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if parts.Payload != nil {
		var err error
		if r.Body, err = body(parts.Payload, encoding, token); err != nil {
			return endpoint.Request{}, err
		}
		header.Set("Content-Type", string(encoding))
	}
	for _, h := range parts.Headers {
		value := h.Value
		if strings.Contains(value, config.TokenPlaceholder) {
			if strings.ContainsFunc(token, func(c rune) bool { return c < ' ' || c > '~' }) {
				return endpoint.Request{}, errUnfit
			}
			value = strings.ReplaceAll(value, config.TokenPlaceholder, token)
		}
		header.Set(h.Name, value)
	}
	return r, nil
}

// climbs tells whether a token holds a dot segment (RFC 3986 §3.3). Servers resolve those even if they are escaped, and another
// address would be asked. Many also take an escaped slash for a slash, and some a backslash.
func climbs(token string) bool {
	for segment := range strings.FieldsFuncSeq(token, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// target replaces path and query of uri by a configured path, unless that is empty.
func target(uri, path, token string) string {
	if path == "" {
		return uri
	}
	before, query, hasQuery := strings.Cut(path, "?")
	path = strings.ReplaceAll(before, config.TokenPlaceholder, url.PathEscape(token))
	if hasQuery {
		path += "?" + strings.ReplaceAll(query, config.TokenPlaceholder, url.QueryEscape(token))
	}
	scheme, rest, _ := strings.Cut(uri, "://")
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	return scheme + "://" + rest + path
}

// body encodes a payload. As a form, an object's members are the fields (values other than strings as JSON), and a string
// is the body itself.
func body(payload any, encoding config.BodyEncoding, token string) (string, error) {
	if encoding == config.BodyJSON {
		return toJSON(place(payload, token))
	}
	if text, ok := payload.(string); ok {
		return strings.ReplaceAll(text, config.TokenPlaceholder, url.QueryEscape(token)), nil
	}
	members, ok := payload.(map[string]any)
	if !ok {
		return "", errors.New("a form can be made of an object or a text alone")
	}
	form := url.Values{}
	for name, value := range members {
		value = place(value, token)
		text, isText := value.(string)
		if !isText {
			var err error
			if text, err = toJSON(value); err != nil {
				return "", err
			}
		}
		form.Set(strings.ReplaceAll(name, config.TokenPlaceholder, token), text)
	}
	return form.Encode(), nil
}

// place puts the token into every string of a JSON value; encoding it as JSON escapes it later.
func place(value any, token string) any {
	switch value := value.(type) {
	case string:
		return strings.ReplaceAll(value, config.TokenPlaceholder, token)
	case []any:
		placed := make([]any, len(value))
		for i, element := range value {
			placed[i] = place(element, token)
		}
		return placed
	case map[string]any:
		placed := make(map[string]any, len(value))
		for name, member := range value {
			placed[strings.ReplaceAll(name, config.TokenPlaceholder, token)] = place(member, token)
		}
		return placed
	default:
		return value
	}
}

func toJSON(value any) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
