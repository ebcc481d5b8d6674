package idp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// draft is a token before it is signed.
type draft struct {
	header  map[string]any
	claims  jwt.MapClaims
	signer  jwt.SigningMethod
	private any
}

// TokenOption makes a token differ from what the provider would issue. Options work in the order given.
type TokenOption func(*draft)

// Claim sets a claim to any value that JSON can hold, the registered ones included. A nil value is JSON's null.
func Claim(name string, value any) TokenOption {
	return func(d *draft) { d.claims[name] = value }
}

// Without leaves claims out. A token without jti is unknown to introspection.
func Without(names ...string) TokenOption {
	return func(d *draft) {
		for _, name := range names {
			delete(d.claims, name)
		}
	}
}

// Issuer sets iss.
func Issuer(issuer string) TokenOption { return Claim("iss", issuer) }

// Audience sets aud to an array, of one element too, as this provider always writes it.
func Audience(audience ...string) TokenOption { return Claim("aud", audience) }

// AudienceString sets aud to a plain string (RFC 7519 §4.1.3 allows both).
func AudienceString(audience string) TokenOption { return Claim("aud", audience) }

// Scope sets scope to the names, separated by spaces (RFC 8693 §4.2).
func Scope(scopes ...string) TokenOption { return Claim("scope", strings.Join(scopes, " ")) }

// ExpiresAt sets exp, rounded down to seconds.
func ExpiresAt(t time.Time) TokenOption { return Claim("exp", t.Unix()) }

// NotBefore sets nbf, rounded down to seconds.
func NotBefore(t time.Time) TokenOption { return Claim("nbf", t.Unix()) }

// Header sets a field of the header: kid, typ, or any other. The signature covers it. A value for alg changes only
// what the header says, not how the token is signed: for that see [SignedBy].
func Header(name string, value any) TokenOption {
	return func(d *draft) { d.header[name] = value }
}

// SignedBy signs with a key of the caller's, and says so in alg; kid stays what it was. The key is a []byte for
// HS256/384/512, a *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey for the others.
func SignedBy(algorithm string, key any) TokenOption {
	method := jwt.GetSigningMethod(algorithm)
	if method == nil {
		panic(fmt.Sprintf("idp: unknown algorithm %q", algorithm))
	}
	return func(d *draft) {
		d.header["alg"] = algorithm
		d.signer, d.private = method, key
	}
}

// ForeignKey signs with a fresh key that the provider does not know, of the same kind and under the same kid.
func ForeignKey() TokenOption {
	return func(d *draft) {
		stranger, err := newKey("", d.signer.Alg())
		if err != nil {
			panic(err)
		}
		d.private = stranger.private
	}
}

// Unsigned makes an unsecured JWT (RFC 7519 §6): alg "none" and an empty signature.
func Unsigned() TokenOption { return SignedBy("none", jwt.UnsafeAllowNoneSignatureType) }

// Token mints a JWT access token for any subject, issued to [Provider.App] and signed by the provider's current key.
// Its header and claims are those of the provider's token endpoint: alg, kid, typ; iss, sub, aud, exp, iat, nbf,
// client_id, jti.
//
// It lives for lifetime from now, with exp rounded to whole seconds away from now: never shorter than asked, and less
// than a second longer. A negative lifetime gives an expired token. For an exact exp see [ExpiresAt].
//
// The provider knows the token by its jti, with the claims it really has. Introspection still judges for itself: a
// token with another issuer, without exp, or not signed by a published key is inactive.
//
// It panics if the options don't make a token, such as a claim that JSON can't hold or a key that doesn't fit.
func (p *Provider) Token(subject string, lifetime time.Duration, options ...TokenOption) string {
	d := p.draft(subject, lifetime)
	for _, option := range options {
		option(d)
	}
	if id, ok := d.claims["jti"].(string); ok {
		p.storage.record(id, recordOf(d.claims))
	}
	token := jwt.Token{Header: d.header, Claims: d.claims, Method: d.signer}
	signed, err := token.SignedString(d.private)
	if err != nil {
		panic(fmt.Sprintf("idp: the options don't make a token: %v", err))
	}
	return signed
}

// Opaque issues an opaque access token as [Provider.Token] does a JWT. The options for claims change what
// introspection answers, all but the one for jti; those for the header and the signature have no effect.
func (p *Provider) Opaque(subject string, lifetime time.Duration, options ...TokenOption) string {
	d := p.draft(subject, lifetime)
	id := d.claims["jti"].(string) //nolint:errcheck,forcetypeassert // claims has just put it there
	for _, option := range options {
		option(d)
	}
	p.storage.record(id, recordOf(d.claims))
	// The library splits what it decrypts at the colon, so a subject may hold none. What counts is the record.
	token, err := op.CreateBearerToken(id, url.QueryEscape(subject), p.op.Crypto())
	if err != nil {
		panic(err) // The key has the length that the cipher needs.
	}
	return token
}

// Revoke makes introspection answer inactive for a token of this provider, whichever client it was issued to, also while the
// provider is down. It fails if the token was not issued here. The RFC 7009 way is a request to
// [Provider.RevocationURI].
func (p *Provider) Revoke(token string) error {
	id, err := p.tokenID(token)
	if err != nil {
		return err
	}
	if !p.storage.revoke(id) {
		return errors.New("idp: the token to revoke was not issued here")
	}
	return nil
}

func (p *Provider) tokenID(token string) (string, error) {
	if plain, err := p.op.Crypto().Decrypt(token); err == nil {
		id, _, _ := strings.Cut(plain, ":")
		return id, nil
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		return "", fmt.Errorf("idp: no token of this provider: %w", err)
	}
	id, _ := claims["jti"].(string)
	return id, nil
}

// draft is the token as the provider's token endpoint would issue it.
func (p *Provider) draft(subject string, lifetime time.Duration) *draft {
	key, now := p.storage.keys.current(), time.Now()
	return &draft{
		header: map[string]any{"alg": key.algorithm, "kid": key.id, "typ": "JWT"},
		claims: jwt.MapClaims{
			"iss":       p.issuer,
			"sub":       subject,
			"aud":       p.app.Audience,
			"exp":       awayFromNow(now, lifetime).Unix(),
			"iat":       now.Unix(),
			"nbf":       now.Unix(),
			"client_id": p.app.ID,
			"jti":       rand.Text(),
		},
		signer:  jwt.GetSigningMethod(key.algorithm),
		private: key.private,
	}
}

// awayFromNow rounds the end of a lifetime to a whole second without bringing it nearer.
func awayFromNow(now time.Time, lifetime time.Duration) time.Time {
	end := now.Add(lifetime)
	whole := end.Truncate(time.Second)
	if lifetime > 0 && whole.Before(end) {
		whole = whole.Add(time.Second)
	}
	return whole
}

// recordOf reads the claims as introspection is to show them.
func recordOf(claims jwt.MapClaims) record {
	extra := maps.Clone(map[string]any(claims))
	take := func(name string) any {
		value := extra[name]
		delete(extra, name)
		return value
	}
	var r record
	r.issuer, _ = take("iss").(string)
	r.subject, _ = take("sub").(string)
	r.clientID, _ = take("client_id").(string)
	switch audience := take("aud").(type) {
	case string:
		r.audience = []string{audience}
	case []string:
		r.audience = audience
	}
	if scopes, ok := take("scope").(string); ok {
		r.scopes = strings.Fields(scopes)
	}
	r.expires = numericDate(take("exp"))
	r.issuedAt = numericDate(take("iat"))
	r.notBefore = numericDate(take("nbf"))
	delete(extra, "jti")
	r.claims = extra
	return r
}

// numericDate reads RFC 7519's seconds since the epoch, fractions included. Anything else is the zero time.
func numericDate(value any) time.Time {
	switch seconds := value.(type) {
	case int:
		return time.Unix(int64(seconds), 0)
	case int64:
		return time.Unix(seconds, 0)
	case float64:
		whole, fraction := math.Modf(seconds)
		return time.Unix(int64(whole), int64(fraction*float64(time.Second)))
	default:
		return time.Time{}
	}
}
