package endpoint

import "go-jwt-auth/plugin/verdict"

// Describe says what an answer is that can't be read as JSON, in words that follow "it is not JSON".
func (a *Answer) Describe() string {
	switch content := a.Header.Get("Content-Type"); {
	case len(a.Body) == 0:
		return "it is empty"
	case content == "":
		return "it has no Content-Type"
	default:
		return "its Content-Type is " + verdict.Quote(content)
	}
}
