// Package config turns jwt.json into a Config, or into all the problems that the file has.
//
// It knows the format and nothing else: it opens no connection and reads no key. Values that stand outside the file
// (environment variables, secret files) are resolved here, so that a missing one is reported with its JSON path.
//
// Locate finds the file, Load reads it; format.go lists its keys.
package config

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Mode says where the verification keys come from (`$.mode`).
type Mode string

// The modes that `$.mode` accepts.
const (
	ModeJWKS  Mode = "jwks"
	ModeLocal Mode = "local"
	// ModeOIDC reads the addresses of the keys and of introspection from the issuer's discovery document.
	ModeOIDC Mode = "oidc"
	// ModeIntrospection is for opaque tokens: no signature is checked, the introspection answer is the truth.
	ModeIntrospection Mode = "introspection"
)

// Config is a valid jwt.json, with every default filled in.
type Config struct {
	// File is the absolute path of the file that was read.
	File string
	// TokenSource are the fields of CONNECT in which a token is looked for, in this order
	// (`$.options.common.tokenSource`). Default: the password alone. If the username is among them, MatchUsername is true for
	// every provider: a token must not stay in place as the username, which the broker logs.
	TokenSource []TokenSource
	// OnNonToken: defer (default) or deny.
	OnNonToken NonToken
	// MaxTokenBytes: longer passwords are refused unread; 64 to 65535, the longest that MQTT can carry. Default 16384.
	MaxTokenBytes int
	// Metrics is what Prometheus can read.
	Metrics Metrics
	// Audit is where the audit trail goes (`$.options.audit`).
	Audit        Audit
	EnhancedAuth EnhancedAuth
	Control      Control
	// Providers are the identity providers whose tokens are accepted, at least one.
	Providers []*Provider
}

// Metrics is `$.options.metrics`.
type Metrics struct {
	// Listen is the address at which they are served, such as "127.0.0.1:9641"; empty: they are not.
	Listen string
}

// Audit is `$.options.audit`: to a file, to syslog, to both or, by default, to neither.
type Audit struct {
	FilePath string // absolute
	Syslog   bool
}

// EnhancedAuth is `$.options.enhancedAuth`.
type EnhancedAuth struct {
	// Methods are the Authentication Methods (MQTT 5 §3.1.2.11.9) whose Authentication Data is the token itself. Default:
	// OAUTH2-JWT, CUSTOM-JWT and K8S-SAT; empty: none.
	Methods []string
}

// Control is `$.options.control`.
type Control struct {
	// Renew lets clients send a fresh token to $CONTROL/jwt-auth/v1. Default true.
	Renew bool
	// Admins are those who may see who is connected, and disconnect them; at most 64, none twice. Default: nobody.
	Admins []Admin
}

// Provider is one identity provider: its keys, and the rules that its tokens obey.
type Provider struct {
	// Path is where the provider stands in the file.
	Path Path
	// Name tells it from the others (`$.providers[…].name`): up to 32 of a-z, 0-9, '-' and '_', of which the first is neither
	// '-' nor '_'. No two have the same. Empty in a file without `providers`.
	Name string
	// Algorithms are the signature algorithms (RFC 7518 §3.1, RFC 8037) a token may use, at least one, all
	// symmetric (HS…) or all asymmetric. Ed25519 (RFC 9864) is called EdDSA. In mode introspection there are none.
	Algorithms []string
	Mode       Mode
	// LazyConnect skips the probe of the endpoints at start-up.
	LazyConnect bool
	// JWKS is set in mode jwks, and in mode oidc, where it has neither URI nor FilePath; zero in any other.
	JWKS JWKS
	// OIDC is set in mode oidc, and zero in any other.
	OIDC OIDC
	// Local is set in mode local: an HMAC secret or a public key in PEM. Never log it.
	Local Secret
	// Common holds the checks and identity rules of every mode.
	Common Common
	// Revocation is nil where the file asks for none.
	Revocation *Revocation
	// Authorization is nil if tokens of this provider say nothing of what their bearers may do.
	Authorization *Authorization
	// TLS is how endpoints of the identity provider are reached over https.
	TLS TLS
}

// ID is what two files have in common of a provider that is the same, perhaps under other rules: its name and its issuers, in
// any order. The provider of a file without names is always the same: its ID is empty.
func (p *Provider) ID() string {
	if p.Name == "" {
		return ""
	}
	var issuers []string
	for _, i := range p.Common.Issuers {
		issuers = append(issuers, i.id())
	}
	slices.Sort(issuers)
	return fmt.Sprintf("%s%q", p.Name, issuers)
}

// Equal tells whether nothing about q is different but its place in the file: secrets and the content of the files of TLS
// count, that of a key set's file and of BearerTokenFile does not, since those are read when they are needed.
func (p *Provider) Equal(q *Provider) bool {
	here, there := *p, *q
	here.Path, there.Path = Path{}, Path{}
	return reflect.DeepEqual(here, there)
}

// defaults is what absent broker-wide keys mean.
func defaults() *Config {
	return &Config{
		TokenSource:   []TokenSource{TokenInPassword},
		OnNonToken:    NonTokenDefer,
		MaxTokenBytes: 16384,
		EnhancedAuth:  EnhancedAuth{Methods: []string{"OAUTH2-JWT", "CUSTOM-JWT", "K8S-SAT"}},
		Control:       Control{Renew: true},
	}
}

// providerDefaults is what the absent keys of the provider at that place mean.
func providerDefaults(at string) *Provider {
	return &Provider{
		Path: At(at),
		JWKS: JWKS{
			Timeout:  10 * time.Second,
			MaxBlock: 250 * time.Millisecond,
			Cache:    JWKSCache{TTL: time.Minute, MaxStale: 24 * time.Hour},
		},
		Common: Common{
			ValidateExpiration: true,
			OnMismatch:         MismatchRewrite,
			UsernameClaim:      "sub",
			ClientIDClaim:      "sub",
			KickExpired:        true,
			KickWithWill:       true,
			RememberVerified:   true,
		},
		Revocation: &Revocation{
			Timeout:       10 * time.Second,
			Cache:         AnswerCache{MaxEntries: 10_000},
			OnUnavailable: UnavailableDeny,
			Check:         CheckBeforeConnect,
			RetryWindow:   10 * time.Second,
			MaxConcurrent: 64,
			Introspection: Introspection{ClientAuthentication: ClientBasic},
			Plain: &Plain{
				BodyEncoding: BodyForm,
				Response:     Response{SuccessCodes: []int{200, 201, 202, 203, 204, 205, 206, 207, 208, 226}},
			},
		},
		Authorization: &Authorization{OnNoMatch: NoMatchDeny, MaxRules: 256},
	}
}

// JWKS is `$.options.modes.jwks`: in mode jwks exactly one of URI and FilePath is set.
type JWKS struct {
	URI      string
	FilePath string // absolute
	// Headers are sent with the requests for the key set and the discovery document, to that origin alone. No two have the
	// same name, and none is of the connection or of the message's length.
	Headers []SecretHeader
	// BearerTokenFile is the absolute path of a file whose content is sent as a bearer token (RFC 6750 §2.1) with those
	// requests, read anew for each; empty: none. It was there when jwt.json was read.
	BearerTokenFile string
	// Timeout of one fetch, 1 ms to 24 h; default 10 s.
	Timeout time.Duration
	// MaxBlock is the longest that a broker callback waits for a fresh set, 0 to 10 s; default 250 ms.
	MaxBlock time.Duration
	Cache    JWKSCache
}

// SecretHeader is an HTTP header field whose value may be a secret (RFC 9110 §5).
type SecretHeader struct {
	Name  string
	Value Secret
}

// OIDC is `$.options.modes.oidc`.
type OIDC struct {
	// Issuer is the base of /.well-known/openid-configuration (OpenID Connect Discovery §4), and the value that `iss`
	// must have: Common.Issuers holds it alone.
	Issuer string
	// JWKSURI goes in the place of the document's jwks_uri; empty: that counts.
	JWKSURI string
}

// JWKSCache is `$.options.modes.jwks.cache`.
type JWKSCache struct {
	// Enabled false reads the set anew for every login.
	Enabled bool
	// TTL is how long a fetched set serves, 0 to 30 days; default 60 s.
	TTL time.Duration
	// RespectCacheHeaders lets the answer's HTTP cache headers (RFC 9111) win over TTL.
	RespectCacheHeaders bool
	// MaxStale is how long after its arrival the last good set serves while no newer one can be had, 0 to 30 days;
	// default 24 h.
	MaxStale time.Duration
}

// Mismatch says what becomes of an identity that differs from what the client sent
// (`$.options.common.onSubjectMismatch`).
type Mismatch string

// The two readings of match…ToSubject.
const (
	MismatchRewrite Mismatch = "rewrite"
	MismatchDeny    Mismatch = "deny"
)

// NonToken says what becomes of a password that is no token (`$.options.common.onNonToken`).
type NonToken string

// What `$.options.common.onNonToken` accepts.
const (
	NonTokenDefer NonToken = "defer"
	NonTokenDeny  NonToken = "deny"
)

// TokenSource is a field of CONNECT that may hold the token (`$.options.common.tokenSource`).
type TokenSource string

// What `$.options.common.tokenSource` accepts.
const (
	TokenInPassword TokenSource = "password"
	TokenInUsername TokenSource = "username"
)

// Common is `$.options.common`.
type Common struct {
	// Issuers are those of which `iss` (RFC 7519 §4.1.1) must be one; empty checks nothing.
	Issuers []Issuer
	// Audience: the token's `aud` must hold one of them; empty checks nothing.
	Audience []string
	// RequiredClaims maps a dotted path to the values of which the claim must have one.
	RequiredClaims []RequiredClaim
	// RequiredScopes must all be in `scope` or `scp`.
	RequiredScopes []string
	// TokenType are the accepted `typ` headers (RFC 8725 §3.11), without "application/", compared without case.
	TokenType []string
	// ValidateExpiration false accepts expired tokens and switches the kicks off. Default true.
	ValidateExpiration bool
	// RequireExpiration refuses tokens without `exp`. Default: KickExpired.
	RequireExpiration bool
	// CheckIssuedAt refuses tokens whose `iat` lies ahead, which RFC 7519 §4.1.6 makes no reason to. Default false.
	CheckIssuedAt bool
	// Leeway is the clock skew granted to exp, nbf and iat, 0 to 1 h. Default 0.
	Leeway time.Duration
	// MatchUsername and MatchClientID tie the MQTT identity to the mapped claim, or to the template if there is one.
	MatchUsername, MatchClientID bool
	// OnMismatch: rewrite (default) or deny.
	OnMismatch Mismatch
	// UsernameClaim and ClientIDClaim are the dotted paths of the mapped claims. Default "sub".
	UsernameClaim, ClientIDClaim string
	// UsernameTemplate and ClientIDTemplate make the identity of several values; nil: the claim alone is the identity.
	UsernameTemplate, ClientIDTemplate *Template
	// AllowSlash admits identities that hold '/'.
	AllowSlash bool
	// ReservedNames are names that no token maps to, compared exactly: those of accounts with other rights, such as an
	// administrator's.
	ReservedNames []string
	// KickExpired disconnects a client when its token expires. Default true; false where ValidateExpiration is.
	KickExpired bool
	// KickWithWill publishes the will when doing so. Default true.
	KickWithWill bool
	// MaxSession is how long a connection may last in all, whatever is renewed, 1 s to 365 days; zero (default): without end.
	MaxSession time.Duration
	// AllowWeakKeys admits RSA keys under 2048 bits and HMAC secrets shorter than the hash.
	AllowWeakKeys bool
	// RememberVerified keeps the claims of tokens that were accepted, until they expire, so that each signature is checked once.
	// Default true.
	RememberVerified bool
	// LogLogins logs accepted logins at notice level rather than for debugging alone.
	LogLogins bool
}

// RequiredClaim is one entry of `$.options.common.requiredClaims`.
type RequiredClaim struct {
	// Path is dotted and never empty: "realm_access.roles" reaches into nested objects; a claim whose own name holds the whole
	// path (such as "https://example.com/role") is found first.
	Path string
	// Values are, at least one, JSON strings, numbers (json.Number) or booleans; the claim, or an element of it where it is an
	// array, must equal one of them.
	Values []any
}

// Revocation is `$.options.revocation`.
type Revocation struct {
	// Timeout of one request, 1 ms to 24 h; default 10 s.
	Timeout time.Duration
	// Cache keeps answers.
	Cache AnswerCache
	// OnUnavailable: deny (default), or allow a client about which the endpoint gives no answer.
	OnUnavailable Unavailable
	// Check: before the client is admitted (default), after that, or between two attempts.
	Check Check
	// RetryWindow is how long what the endpoint said waits for the client's next attempt, 1 s to 10 min; default 10 s.
	// It counts with CheckOnRetry, and in mode introspection.
	RetryWindow time.Duration
	// MaxConcurrent is how many requests may be under way at once, 1 to 1024; default 64.
	MaxConcurrent int
	// RecheckInterval is how often the endpoint is asked again about a connected client, 1 s to 24 h; zero (default): never.
	RecheckInterval time.Duration
	// Introspection is used where Plain is nil.
	Introspection Introspection
	Plain         *Plain
}

// Unavailable says what becomes of a client about which nothing could be learnt (`$.options.revocation.onUnavailable`).
type Unavailable string

// What `$.options.revocation.onUnavailable` accepts.
const (
	UnavailableDeny  Unavailable = "deny"
	UnavailableAllow Unavailable = "allow"
)

// Check says when the endpoint is asked about a login (`$.options.revocation.check`).
type Check string

// What `$.options.revocation.check` accepts.
const (
	// CheckBeforeConnect: no CONNACK before the answer.
	CheckBeforeConnect Check = "beforeConnect"
	// CheckAfterConnect admits on signature and claims, and disconnects a client that is found inactive.
	CheckAfterConnect Check = "afterConnect"
	// CheckOnRetry closes the connection without CONNACK, asks, and has the answer ready for the client's next attempt.
	CheckOnRetry Check = "onRetry"
)

// AnswerCache is `$.options.revocation.cache`.
type AnswerCache struct {
	// TTL is how long "active" is believed, 0 to 24 h and never past exp; default 0: every login asks.
	TTL time.Duration
	// NegativeTTL is how long "not active" is, 0 to 5 min; default 0. It is for 30 s at least.
	NegativeTTL time.Duration
	// MaxEntries bounds the active tokens that are kept, 1 to 1,000,000; default 10,000. The least used make room.
	MaxEntries int
}

// Plain is `$.options.revocation.plain`: an endpoint of another kind than RFC 7662.
type Plain struct {
	URI     string
	Request Request
	// BodyEncoding of the payload. Default: form.
	BodyEncoding BodyEncoding
	Response     Response
}

// BodyEncoding is the media type of a request's body (`$.options.revocation.plain.bodyEncoding`).
type BodyEncoding string

// What `$.options.revocation.plain.bodyEncoding` accepts.
const (
	BodyForm BodyEncoding = "application/x-www-form-urlencoded"
	BodyJSON BodyEncoding = "application/json"
)

// Response is `$.options.revocation.plain.response`: what an answer must be to mean "active".
type Response struct {
	// SuccessCodes are the HTTP statuses. Of the others 500 and above and 429 are no answer, and all else means "not
	// active", whatever the body says. Default 200 to 208, 226.
	SuccessCodes []int
	// JSONPath is the dotted path of the value in the JSON answer that must be SuccessValue; empty: the body is not
	// looked at.
	JSONPath string
	// SuccessValue is a string, a bool or a json.Number.
	SuccessValue any
}

// Introspection is `$.options.revocation.introspection` (RFC 7662).
type Introspection struct {
	// URI is empty in mode oidc where the discovery document is to name it.
	URI          string
	ClientID     string
	ClientSecret Secret
	// ClientAuthentication is how the client proves that it is ClientID. Default: basic.
	ClientAuthentication ClientAuthentication
	// ClientKey is the private key in PEM for privateKeyJwt, and ClientKeyID its kid, if any; not set with any other.
	ClientKey   Secret
	ClientKeyID string
	// TokenTypeHint adds token_type_hint=access_token (RFC 7662 §2.1).
	TokenTypeHint bool
	// Request replaces parts of the RFC 7662 request; members of an object as Payload are added to the form.
	Request Request
}

// ClientAuthentication is how a client authenticates itself to an endpoint
// (`$.options.revocation.introspection.clientAuthentication`).
type ClientAuthentication string

// What `$.options.revocation.introspection.clientAuthentication` accepts.
const (
	// ClientBasic: id and secret by HTTP Basic, form-encoded first (RFC 6749 §2.3.1).
	ClientBasic ClientAuthentication = "basic"
	// ClientBasicRaw: the same without encoding, for servers that don't decode.
	ClientBasicRaw ClientAuthentication = "basicRaw"
	// ClientPost: id and secret as members of the form.
	ClientPost ClientAuthentication = "post"
	// ClientPrivateKeyJWT: a JWT signed with ClientKey (RFC 7523 §2.2).
	ClientPrivateKeyJWT ClientAuthentication = "privateKeyJwt"
)
