package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"mime"
	"strings"

	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"
)

// signedAnswer is the media type of RFC 9701. A provider should send it only if the request's Accept names it.
const signedAnswer = "application/token-introspection+jwt"

// document parses an answer that must be a JSON object. Members that are null are dropped, since some providers list every member
// that they know of and set those that a token lacks to null. Errors say what the answer is instead, and hold nothing of it.
func document(answer *endpoint.Answer) (map[string]any, error) {
	members, err := jsonvalue.Document(answer.Body)
	if err == nil {
		maps.DeleteFunc(members, func(_ string, value any) bool { return value == nil })
		return members, nil
	}
	if len(bytes.TrimSpace(answer.Body)) == 0 {
		err = errors.New("it is empty")
	}
	// Without its parameters, in which an answer could repeat what it was sent.
	mediaType, _, broken := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch {
	case mediaType == signedAnswer:
		return nil, fmt.Errorf("it is a signed one (RFC 9701, Content-Type %q), which is not supported: have the provider answer with application/json", mediaType)
	case broken != nil || !strings.Contains(mediaType, "/"):
		return nil, fmt.Errorf("%w (without a Content-Type that can be read)", err)
	}
	return nil, fmt.Errorf("%w (Content-Type %s)", err, verdict.Quote(mediaType))
}
