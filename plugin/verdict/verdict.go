// Package verdict holds the answer to a login, as a value, and the closed list of reasons for a refusal, which the log, the tests
// and the command-line tool share. It is also where text from outside is made fit for a log line (quote.go). It decides nothing:
// that is done by the packages that check a token.
package verdict

import (
	"fmt"
	"strings"
)

// Kind says what becomes of a login.
type Kind uint8

// The zero Kind denies, so that a verdict that was never set can't let anyone in.
const (
	// Deny refuses the login; Verdict.Reason says why.
	Deny Kind = iota
	// Accept admits it.
	Accept
	// Defer leaves it to the next plugin or to the password file.
	Defer
	// Retry closes the connection without an answer: what is needed to decide is being fetched, and the client's next
	// attempt will find it.
	Retry
	// Pending says that the verdict comes later.
	Pending
)

func (k Kind) String() string {
	switch k {
	case Accept:
		return "accept"
	case Defer:
		return "defer"
	case Retry:
		return "retry"
	case Pending:
		return "pending"
	default:
		return "deny"
	}
}

// Reason is why a login was not admitted. Its text is stable: users search their logs for it.
type Reason string

// Every reason there is.
const (
	// NotAToken: the password is not a token, and onNonToken is "deny".
	NotAToken Reason = "not a token"
	// TooLong: the password has more than maxTokenBytes bytes; it was not read.
	TooLong Reason = "too long"
	// Encrypted: a JWE (RFC 7516), which only its recipient can check.
	Encrypted Reason = "encrypted token"
	// Malformed: a token by its shape whose parts, header or registered claims can't be read.
	Malformed Reason = "malformed token"
	// WrongAlgorithm: the header's alg (RFC 7515 §4.1.1) is not one the configuration allows.
	WrongAlgorithm Reason = "wrong algorithm"
	// UnknownKey: no key of the set fits the token's kid and alg.
	UnknownKey Reason = "unknown key"
	// KeysUnavailable: there is no usable key set, as the identity provider can't be reached or its answer can't be used.
	KeysUnavailable Reason = "keys unavailable"
	// BadSignature: no fitting key verifies the signature.
	BadSignature Reason = "bad signature"
	// WrongType: the header's typ is not an accepted one (RFC 8725 §3.11).
	WrongType Reason = "wrong token type"
	// Expired: exp has passed (RFC 7519 §4.1.4).
	Expired Reason = "expired"
	// NoExpiration: exp is required and missing.
	NoExpiration Reason = "no expiration"
	// NotYetValid: nbf or, if it is checked, iat lies ahead (RFC 7519 §4.1.5, §4.1.6).
	NotYetValid Reason = "not yet valid"
	// WrongIssuer: iss is not the configured one (RFC 7519 §4.1.1).
	WrongIssuer Reason = "wrong issuer"
	// WrongAudience: aud holds none of the configured ones (RFC 7519 §4.1.3).
	WrongAudience Reason = "wrong audience"
	// MissingClaim: a required claim is missing or has another value.
	MissingClaim Reason = "missing claim"
	// MissingScope: a required scope was not granted.
	MissingScope Reason = "missing scope"
	// NoIdentity: the claim that the identity is mapped from is missing or not a string.
	NoIdentity Reason = "no identity"
	// UnsafeIdentity: the mapped identity can't be used in topic patterns.
	UnsafeIdentity Reason = "unsafe identity"
	// IdentityMismatch: the client's own username or id differs from the mapped one, and may not be rewritten.
	IdentityMismatch Reason = "identity mismatch"
	// MalformedRights: what a claim says of its bearer's rights can't be read, or is too much.
	MalformedRights Reason = "malformed rights"
	// ClientIDTaken: the client id, which the login has not just chosen, is that of somebody else's session.
	ClientIDTaken Reason = "client id taken"
	// Revoked: the identity provider says that the token is not active (RFC 7662 §2.2).
	Revoked Reason = "revoked"
	// ProviderUnavailable: the identity provider did not say whether the token is active.
	ProviderUnavailable Reason = "provider unavailable"
	// Blocked: an admin has disconnected the token's bearer, and keeps it out for a time.
	Blocked Reason = "blocked"
	// ByAdmin: an admin has disconnected the client.
	ByAdmin Reason = "by an admin"
	// ServerBusy: the limit on logins that wait for the identity provider is reached.
	ServerBusy Reason = "server busy"
	// InternalError: a fault of this plugin, or an answer of the broker that it did not expect.
	InternalError Reason = "internal error"
)

// Unavailable tells whether the reason lies with the identity provider rather than with the token: the same login may succeed
// later.
func (r Reason) Unavailable() bool { return r == KeysUnavailable || r == ProviderUnavailable }

// Verdict is the answer to one login. Its texts are single lines for the log, which hold no secret, and of a token nothing but
// values of its claims.
type Verdict struct {
	Kind Kind
	// Reason and Detail are set if Kind is Deny or Retry: why, what was expected and what was found. Detail may be empty.
	Reason Reason
	Detail string
	// Unchecked is set with an Accept of a token about which the identity provider could not be asked, if the configuration
	// admits those (revocation.onUnavailable). Note says why it could not.
	Unchecked bool
	// Note is what an operator should know of an Accept or a Defer; empty: nothing. With a Defer, it says what surrounds a token
	// that was sent with something else in the same field.
	Note string
}

// Refuse returns a Deny with its reason and what was expected and found, as one line (Line).
func Refuse(reason Reason, format string, args ...any) Verdict {
	return Verdict{Kind: Deny, Reason: reason, Detail: Line(fmt.Sprintf(format, args...))}
}

// Split parts the String of a refusal into its reason and the detail.
func Split(text string) (reason Reason, detail string) {
	before, after, _ := strings.Cut(text, ": ")
	return Reason(before), after
}

// String is the form of the log: "expired: at 2026-11-23T15:00:00Z, 5s ago".
func (v Verdict) String() string {
	switch {
	case v.Kind != Deny && v.Kind != Retry:
		return v.Kind.String()
	case v.Detail == "":
		return string(v.Reason)
	default:
		return string(v.Reason) + ": " + v.Detail
	}
}
