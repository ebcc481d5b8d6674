// Package token decides whether a password is a token, and whether the token is good: its shape, algorithm, signature
// and claims (RFC 7519, RFC 8725). What it says of the client is for package identity, whether it was revoked for
// package revocation.
package token

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/verdict"

	"github.com/golang-jwt/jwt/v5"
)

// Verifier checks tokens by one configuration. Safe for concurrent use.
type Verifier struct {
	algorithms []string
	path       config.Path
	common     config.Common
	keys       keyset.Source
	now        func() time.Time
	methods    map[string]jwt.SigningMethod
	memory     *memory
}

// New returns a Verifier of tokens that keys has the keys for; nil: it checks claims alone.
func New(cfg *config.Provider, keys keyset.Source, now func() time.Time) *Verifier {
	v := &Verifier{algorithms: cfg.Algorithms, path: cfg.Path, common: cfg.Common, keys: keys, now: now, methods: methodsOf(cfg.Algorithms)}
	if cfg.Common.RememberVerified && keys != nil {
		v.memory = newMemory()
	}
	return v
}

// With is the same Verifier with other keys. Both remember what either has verified.
func (v *Verifier) With(keys keyset.Source) *Verifier {
	other := *v
	other.keys = keys
	return &other
}

// KnownHeader is the header of a signed token, as Classify finds it, if that token or another one with it was accepted before, and
// that is remembered. It says nothing of whether the token is good.
func (v *Verifier) KnownHeader(t Text) (Header, bool) {
	if r, remembered := v.memory.get(t, v.now()); remembered {
		return r.header, true
	}
	return v.memory.headerOf(t)
}

// Verify checks a text that Classify found to be a signed token, with the header that Classify gave: cheap checks first, then
// the signature, then the claims. The verdict is Accept, Deny or, if the keys are being fetched, Retry. Claims come with
// Accept alone.
//
// Of a token that is remembered the signature counts as checked if the key that verified it is among those that are found now.
func (v *Verifier) Verify(ctx context.Context, t Text, header Header, trace *verdict.Trace) (Claims, verdict.Verdict) {
	if refused := v.checkHeader(header, trace); refused != nil {
		return Claims{}, *refused
	}
	s := newScratch()
	defer s.release()
	known, isKnown := v.memory.get(t, v.now())
	read := parsed{claims: known.claims}
	var refused *verdict.Verdict
	if !isKnown {
		if read, refused = s.parse(t, trace); refused != nil {
			return Claims{}, *refused
		}
	}
	keys, refused := v.findKeys(ctx, header, read.claims, trace)
	if refused != nil {
		return Claims{}, *refused
	}
	if isKnown && !known.verifiedBy(keys) { // others have come in the place of the one that did
		isKnown = false
		if read, refused = s.parse(t, trace); refused != nil {
			return Claims{}, *refused
		}
	}
	if !isKnown {
		if known.key, refused = v.checkSignature(read, header, keys, trace); refused != nil {
			return Claims{}, *refused
		}
		read.claims = read.claims.readAhead(t)
	}
	trace.Pass("signature", "valid", "valid")
	if isKnown && trace == nil {
		// Its other claims have passed once, and neither they nor what they are held against ever change.
		if refused = v.checkTimes(read.claims, nil); refused != nil {
			return Claims{}, *refused
		}
		return read.claims, verdict.Verdict{Kind: verdict.Accept}
	}
	if judged := v.CheckClaims(read.claims, trace); judged.Kind != verdict.Accept {
		return Claims{}, judged
	}
	if !isKnown {
		v.remember(t, header, read.claims, known.key)
	}
	return read.claims, verdict.Verdict{Kind: verdict.Accept}
}

// remember remembers a token that was accepted.
func (v *Verifier) remember(t Text, header Header, claims Claims, key any) {
	r := remembered{key: key, header: header, claims: claims}
	if exp, expires := claims.Expiry(); expires {
		if r.until = exp.Add(v.common.Leeway); !v.now().Before(r.until) {
			return // which validateExpiration admits
		}
	}
	v.memory.put(t, r)
}

// checkSignature returns the first of the keys that verifies the signature.
func (v *Verifier) checkSignature(read parsed, header Header, keys []any, trace *verdict.Trace) (key any, refused *verdict.Verdict) {
	method := v.methods[header.Algorithm]
	at := slices.IndexFunc(keys, func(key any) bool { return method.Verify(read.signed, read.signature, key) == nil })
	if at < 0 {
		keyset.Doubt(v.keys)
		return nil, refusal(trace.FailWith(
			verdict.Refuse(verdict.BadSignature, "%s", v.unverified(header, read.signature, len(keys))), "signature", "valid", "invalid",
		))
	}
	return keys[at], nil
}

// parsed is a token (RFC 7515 §3.1) but for its header.
type parsed struct {
	// signed is what the signature is over: the header, the first dot and the payload, as they came.
	signed    string
	signature []byte
	claims    Claims
}

// parse decodes payload and signature, or says of which what is wrong. The signature is void when s is released.
func (s *scratch) parse(t Text, trace *verdict.Trace) (parsed, *verdict.Verdict) {
	malformed := func(fault string) (parsed, *verdict.Verdict) {
		return parsed{}, refusal(trace.FailWith(verdict.Refuse(verdict.Malformed, "%s", fault), "encoding", "base64url and JSON", fault))
	}
	header, rest, _ := strings.Cut(t.raw, ".")
	payload, last, _ := strings.Cut(rest, ".")
	signature, err := s.decode(last)
	if err != nil {
		return malformed("its signature is not base64url")
	}
	raw, err := s.decode(payload)
	if err != nil {
		return malformed("its payload is not base64url")
	}
	claims, err := jsonvalue.Read(raw)
	if err != nil {
		return malformed("its payload can't be read: " + err.Error())
	}
	signed := t.raw[:min(len(header)+len(".")+len(payload), len(t.raw))]
	return parsed{signed, signature, Claims{all: claims}}, nil
}

// unverified says that none of so many keys verifies a signature.
func (v *Verifier) unverified(h Header, signature []byte, tried int) string {
	var text string
	switch {
	case h.KeyID == "":
		text = fmt.Sprintf("no key verifies it by %s%s (the token names no kid)", h.Algorithm, untried(tried))
	case keyset.Kidless(v.keys):
		text = fmt.Sprintf("no key verifies it by %s%s (the keys of %s have no kid, so that the token's, %s, chooses none)",
			h.Algorithm, untried(tried), v.keys, nameKid(h.KeyID))
	default:
		text = fmt.Sprintf("no key with kid %s verifies it by %s%s", nameKid(h.KeyID), h.Algorithm, untried(tried))
	}
	if strings.HasPrefix(h.Algorithm, "ES") && isDER(signature) {
		text += "; its signature is in DER, as secure elements and OpenSSL make it: a token has r and s side by side (RFC 7518 §3.4)"
	}
	return text
}

// isDER tells whether a signature by ECDSA is in ASN.1 (RFC 3279 §2.2.3).
func isDER(signature []byte) bool {
	var parts struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &parts)
	return err == nil && len(rest) == 0
}

// untried says that there may be more keys than were tried.
func untried(tried int) string {
	if tried < keyset.MaxTries {
		return ""
	}
	return fmt.Sprintf(" (at most %d keys are tried)", keyset.MaxTries)
}

// checkHeader holds the header against the configuration: it is the configuration that chooses the algorithm
// (RFC 8725 §3.1).
func (v *Verifier) checkHeader(h Header, trace *verdict.Trace) *verdict.Verdict {
	if h.Fault != "" {
		return refusal(trace.FailWith(verdict.Refuse(verdict.Malformed, "%s", h.Fault), "header", "one that can be read", h.Fault))
	}
	if v.methods[h.Algorithm] == nil {
		return refusal(trace.Fail(verdict.WrongAlgorithm, "alg", strings.Join(v.algorithms, ", "), verdict.Quote(h.Algorithm)))
	}
	if trace != nil {
		trace.Pass("alg", strings.Join(v.algorithms, ", "), h.Algorithm)
	}
	// RFC 7515 §4.1.11: extensions that are not understood make the token invalid, and none is understood here.
	if h.Critical {
		return refusal(trace.Fail(verdict.Malformed, "crit", "absent", "critical extensions"))
	}
	if len(v.common.TokenType) > 0 {
		// RFC 7515 §4.1.9: compared without case and without "application/".
		found := strings.TrimPrefix(strings.ToLower(h.Type), "application/")
		if !slices.ContainsFunc(v.common.TokenType, func(t string) bool { return strings.EqualFold(t, found) }) {
			return refusal(trace.Fail(verdict.WrongType, "typ", strings.Join(v.common.TokenType, ", "), verdict.Quote(h.Type)))
		}
		if trace != nil {
			trace.Pass("typ", strings.Join(v.common.TokenType, ", "), h.Type)
		}
	}
	return nil
}

func (v *Verifier) findKeys(ctx context.Context, h Header, c Claims, trace *verdict.Trace) ([]any, *verdict.Verdict) {
	found, err := v.keys.Find(ctx, h.KeyID, h.Algorithm)
	if err == nil && trace == nil {
		return found, nil
	}
	expected, kid := "a key of "+v.keys.String(), nameKid(h.KeyID)
	switch {
	case err == nil:
		trace.Pass("kid", expected, kid)
		return found, nil
	case errors.Is(err, keyset.ErrUnknownKey):
		return nil, refusal(trace.FailWith(
			verdict.Refuse(verdict.UnknownKey, "kid %s at %s: %s%s", kid, v.keys, err, v.otherIssuer(c)), "kid", expected, kid,
		))
	case errors.Is(err, keyset.ErrPending):
		pending := trace.FailWith(verdict.Refuse(verdict.KeysUnavailable, "%s: %s", v.keys, err), "kid", expected, kid)
		pending.Kind = verdict.Retry
		return nil, &pending
	default:
		return nil, refusal(trace.FailWith(
			verdict.Refuse(verdict.KeysUnavailable, "%s", err), "kid", expected, "no set",
		))
	}
}

// otherIssuer says by whom a token claims to be whose key is not known, unless that is who is expected.
func (v *Verifier) otherIssuer(c Claims) string {
	switch {
	case len(v.common.Issuers) == 0 && c.Text("iss") == "":
		return ""
	case len(v.common.Issuers) == 0:
		return "; the token's iss is " + c.show("iss")
	case v.hasIssuer(c):
		return ""
	default:
		return fmt.Sprintf("; the token's iss is %s, expected %s", c.show("iss"), v.expectedIssuer())
	}
}

// hasIssuer tells whether iss is one of the issuers, with the token's own claim if there is a placeholder in it.
func (v *Verifier) hasIssuer(c Claims) bool {
	value, _ := c.all.Get("iss")
	iss, isString := value.Text()
	return isString && slices.ContainsFunc(v.common.Issuers, func(i config.Issuer) bool { return i.Match(iss, c.Lookup) })
}

func (v *Verifier) expectedIssuer() string {
	if len(v.common.Issuers) == 1 {
		return verdict.Quote(v.common.Issuers[0].String())
	}
	texts := make([]string, len(v.common.Issuers))
	for n, i := range v.common.Issuers {
		texts[n] = i.String()
	}
	return "one of " + list(texts)
}

// CheckClaims checks claims alone: those of a token whose signature Verify has checked, or of an introspection response.
// The verdict is Accept or Deny.
func (v *Verifier) CheckClaims(c Claims, trace *verdict.Trace) verdict.Verdict {
	if refused := v.checkClaims(c, trace); refused != nil {
		return *refused
	}
	return verdict.Verdict{Kind: verdict.Accept}
}

// checkClaims checks the registered claims (RFC 7519 §4.1) and what the configuration asks for besides. Times come last:
// an expired token that is wrong otherwise is called what it is (CVE-2024-51744).
func (v *Verifier) checkClaims(c Claims, trace *verdict.Trace) *verdict.Verdict {
	if len(v.common.Issuers) > 0 {
		if !v.hasIssuer(c) {
			return refusal(trace.Fail(verdict.WrongIssuer, "iss", v.expectedIssuer(), c.show("iss")))
		}
		if trace != nil {
			trace.Pass("iss", v.expectedIssuer(), c.show("iss"))
		}
	}
	if len(v.common.Audience) > 0 {
		if !slices.ContainsFunc(v.common.Audience, c.HasAudience) {
			return refusal(trace.Fail(verdict.WrongAudience, "aud", "one of "+list(v.common.Audience), c.show("aud")))
		}
		if trace != nil {
			trace.Pass("aud", "one of "+list(v.common.Audience), c.show("aud"))
		}
	}
	for _, required := range v.common.RequiredClaims {
		claim, present := c.all.Lookup(required.Path)
		fits := present && holds(claim, required.Values)
		if fits && trace == nil {
			continue
		}
		expected, found := "one of "+describeAll(required.Values), describe(claim.Any(), present)
		if !present && c.leftOut(required.Path) {
			return refusal(trace.FailWith(verdict.Refuse(verdict.MissingClaim, "%s must be %s, and the provider has left it out, as there is too much of it "+
				"(Entra ID's groups overage): have it issue only the groups that are assigned to the application, or use app roles", required.Path, expected),
				required.Path, expected, "left out (overage)"))
		}
		if !fits {
			return refusal(trace.Fail(verdict.MissingClaim, required.Path, expected, found))
		}
		trace.Pass(required.Path, expected, found)
	}
	if refused := v.checkScopes(c, trace); refused != nil {
		return refused
	}
	return v.checkTimes(c, trace)
}

func (v *Verifier) checkScopes(c Claims, trace *verdict.Trace) *verdict.Verdict {
	if len(v.common.RequiredScopes) == 0 {
		return nil
	}
	granted := c.scopes()
	for _, scope := range v.common.RequiredScopes {
		has := slices.Contains(granted, scope)
		if has && trace == nil {
			continue
		}
		expected, found := verdict.Quote(scope), verdict.Quote(strings.Join(granted, " "))
		if !has {
			return refusal(trace.Fail(verdict.MissingScope, "scope", expected, found))
		}
		trace.Pass("scope", expected, found)
	}
	return nil
}

// checkTimes holds nbf, exp and, if the configuration asks for it, iat (RFC 7519 §4.1.4 to §4.1.6) against the clock, with
// the configured leeway.
func (v *Verifier) checkTimes(c Claims, trace *verdict.Trace) *verdict.Verdict {
	now := v.now()
	for _, name := range []string{"nbf", "iat"} {
		at, present, err := c.instant(name)
		switch {
		case err != nil:
			return refusal(trace.Fail(verdict.Malformed, name, "a NumericDate (RFC 7519 §2)", c.show(name)))
		case present && name == "iat" && !v.common.CheckIssuedAt:
			if trace != nil {
				trace.Pass(name, "any time ("+v.path.Key("options.common.checkIssuedAt")+" is false)", moment(at))
			}
		case present && now.Before(at.Add(-v.common.Leeway)):
			return refusal(trace.FailWith(verdict.Refuse(verdict.NotYetValid,
				"%s is %s, %s ahead of the broker's clock (%s grants a skew)", name, moment(at), verdict.Span(at.Sub(now)), v.path.Key("options.common.leewayMs")),
				name, "not after now", moment(at)))
		case present && trace != nil:
			trace.Pass(name, "not after now", moment(at))
		}
	}
	exp, present, err := c.instant("exp")
	switch {
	case err != nil:
		return refusal(trace.Fail(verdict.Malformed, "exp", "a NumericDate (RFC 7519 §2)", c.show("exp")))
	case !present && v.common.RequireExpiration:
		return refusal(trace.Fail(verdict.NoExpiration, "exp", "present", "none"))
	case !present:
		trace.Pass("exp", "optional", "none")
	case !v.common.ValidateExpiration:
		if trace != nil {
			trace.Pass("exp", "not checked ("+v.path.Key("options.common.validateExpiration")+")", moment(exp))
		}
	case !now.Before(exp.Add(v.common.Leeway)):
		return refusal(trace.FailWith(verdict.Refuse(verdict.Expired, "exp is %s, %s ago", moment(exp), verdict.Span(now.Sub(exp))),
			"exp", "after now", moment(exp)))
	case trace != nil:
		trace.Pass("exp", "after now", moment(exp))
	}
	return nil
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func nameKid(kid string) string {
	if kid == "" {
		return "none"
	}
	return verdict.Quote(kid)
}

func refusal(v verdict.Verdict) *verdict.Verdict { return &v }

// ID names a verified token for the log: by its jti (RFC 7519 §4.1.7), or by the first bytes of its SHA-256.
func (c Claims) ID(t Text) string {
	if c.read != nil {
		return c.read.id
	}
	// Some providers' jti of an opaque token is that token.
	if id := c.text("jti"); id != "" && id != t.raw {
		var space [128]byte
		return string(verdict.AppendQuote(append(space[:0], "jti "...), id))
	}
	return t.Name()
}
