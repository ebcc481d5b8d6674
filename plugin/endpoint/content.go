package endpoint

import (
	"strings"

	"go-jwt-auth/plugin/verdict"
)

// Describe says what an answer is that can't be read as JSON, in words that follow "it is not JSON".
func (a *Answer) Describe() string {
	switch content := a.Header.Get("Content-Type"); {
	case len(a.Body) == 0:
		return "it is empty"
	case content == "":
		return "it has no Content-Type"
	case a.private && !strings.HasPrefix(content, "text/html"):
		return "its Content-Type is another"
	case a.private:
		return "its Content-Type is text/html"
	default:
		return "its Content-Type is " + verdict.Quote(content)
	}
}
