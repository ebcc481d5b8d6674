package provider

import (
	"crypto/sha256"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// Login is a CONNECT and the token that was found in it.
type Login struct {
	broker.Connect
	// Token is what was found, Header its header; zero if the token is opaque.
	Token  token.Text
	Header token.Header
	// Trace takes the checks; nil: nobody wants to see them.
	Trace *verdict.Trace
	// ClaimedBy names the provider that claims an issuer, other than this one; empty: none does. Nil: there is no other.
	ClaimedBy func(issuer string, other *Provider) string
}

// Result is the verdict on a login and all that led to it.
type Result struct {
	verdict.Verdict
	// Provider has judged; nil if that did not come to it.
	Provider *Provider
	// Identity is what the broker is to change, with Accept and Pending.
	Identity identity.Identity
	// Rights are what the client may do, with Accept; nil if that is for others to say (no options.authorization).
	Rights *rights.Rights
	// Expiry is the token's exp; zero if it has none. GoodUntil is when the token ends to be accepted, LeaveAt when a client
	// that came with it has to leave; zero: never.
	Expiry, GoodUntil, LeaveAt time.Time
	// Issuer and Subject say whose token it is, by iss and sub (RFC 7519 §4.1.1, §4.1.2), or by what takes their place if
	// it lacks them: the provider of the configuration, and the identity that was mapped.
	Issuer, Subject string
	// LogID names the token in the log: by its jti, or by the first bytes of its SHA-256.
	LogID string
	// Trace holds the checks; nil unless the login asks for them.
	Trace *verdict.Trace

	// token is what was found.
	token  token.Text
	claims token.Claims
}

// Bearer is the token itself, for Recheck.
func (r *Result) Bearer() string { return r.token.Reveal() }

// Digest is the SHA-256 of the token.
func (r *Result) Digest() [sha256.Size]byte { return r.token.Digest() }

// At is the verdict at a later time: a token may expire while its verdict is waited for.
func (r *Result) At(now time.Time) verdict.Verdict {
	if r.Kind == verdict.Accept && !r.GoodUntil.IsZero() && !now.Before(r.GoodUntil) {
		return verdict.Refuse(verdict.Expired, "exp is %s, which passed while the identity provider was asked", r.Expiry.UTC().Format(time.RFC3339))
	}
	return r.Verdict
}

// NewResult is the verdict on a login that did not come to a provider.
func NewResult(login Login, v verdict.Verdict) Result {
	r := Result{Verdict: v, Trace: login.Trace, token: login.Token}
	if r.Bearer() != "" {
		r.LogID = login.Token.Name()
	}
	return r
}
