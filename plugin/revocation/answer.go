package revocation

import (
	"errors"
	"time"

	"go-jwt-auth/plugin/verdict"
)

// Answer is what was learnt about a token, or why nothing was. It is made by this package alone, and given to Checker.Judge.
type Answer struct {
	response
	// from is the endpoint, as a log may show it.
	from string
	// at is when it came; zero: now.
	at time.Time
	// err says why nothing was learnt; nil: response counts.
	err error
}

// response is what an endpoint says about a token.
type response struct {
	active bool
	// claims are the members of an introspection response (RFC 7662 §2.2).
	claims map[string]any
	// found is what the answer holds in place of protocol.expected.
	found string
}

// errUnfit is a token that can't be put where the request wants it.
var errUnfit = errors.New("the token holds characters that can't stand where the request has its place (a header or a path)")

// errLate is a request that got no answer in the little time that was left after its wait for room. If many wait, the last
// requests of each round end so, all at once, however well the endpoint works.
var errLate = errors.New("most of which it waited for its turn")

// Judge turns an Answer into a verdict: Accept, Deny with Revoked, Deny with ProviderUnavailable if nothing was learnt, or Deny
// with Malformed if the token can't be put into a request. The claims are what an introspection response says about an active
// token (RFC 7662 §2.2).
func (c *Checker) Judge(said Answer, trace *verdict.Trace) (claims map[string]any, v verdict.Verdict) {
	name, expected := c.protocol.name(), c.protocol.expected()
	switch {
	case errors.Is(said.err, errUnfit):
		return nil, trace.FailWith(verdict.Refuse(verdict.Malformed, "%s", said.err), name, expected, "no question could be asked")
	case said.err != nil:
		return nil, trace.FailWith(verdict.Refuse(verdict.ProviderUnavailable, "%s", said.err), name, expected, said.err.Error())
	case !said.active:
		return nil, trace.FailWith(verdict.Refuse(verdict.Revoked, "%s says that it is not active: %s", said.from, said.found),
			name, expected, said.found)
	}
	trace.Pass(name, expected, said.found)
	return said.claims, verdict.Verdict{Kind: verdict.Accept}
}
