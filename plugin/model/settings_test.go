package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// file is a jwt.json: what holds for the whole broker, and its providers.
type file struct {
	// Line is whose it is.
	Line int
	// Named files have `providers`; others have one provider, which has no name.
	Named bool
	// Strict: a password that is not a token is refused (onNonToken "deny").
	Strict bool
	// Source is the field, or the fields in their order, in which a token may be.
	Source source
	// Methods are those of enhanced authentication whose data is a token. NoRenewal: none comes by $CONTROL.
	Methods   methods
	NoRenewal bool
	Admins    kinds
	Providers []provider
}

// methods is enhancedAuth.methods, with a space between them; empty: none.
type methods string

// The methods that clients use; that of others is the affair of the next plugin, unless the file has it.
const (
	byJWT    = "OAUTH2-JWT"
	byOthers = "OTHERS"
)

var someMethods = rapid.SampledFrom([]methods{byJWT, byJWT, byJWT + " " + byOthers, ""})

func (m methods) list() []string { return strings.Fields(string(m)) }

// has tells whether the data of a method is a token.
func (m methods) has(method string) bool { return slices.Contains(m.list(), method) }

// source is tokenSource, with a space between fields.
type source string

const (
	inPassword source = "password"
	inUsername source = "username"
)

// sources are all that there can be.
var sources = rapid.SampledFrom([]source{inPassword, inPassword, inUsername, inPassword + " " + inUsername, inUsername + " " + inPassword})

func (s source) fields() []string { return strings.Fields(string(s)) }

func (s source) has(field source) bool { return slices.Contains(s.fields(), string(field)) }

// provider is what a file says of one identity provider.
type provider struct {
	Line   int    // whose file it is
	Name   string // empty in a file without names
	Mode   string
	IDP    int    // whose keys and endpoint it names
	Secret string // in mode local
	Issuer string // empty: any that no other claims
	Alias  string // another one
	// Tenants are those that are admitted, with a space between them, where an issuer has the token's claim tid in it; empty: there is
	// no such issuer.
	Tenants string

	Validate, Kick               bool
	Leeway                       time.Duration
	MatchUsername, MatchClientID bool
	Template                     bool          // a name is {provider}:{sub}, else sub
	MaxSession                   time.Duration // zero: none
	Rights                       string        // authorization's onNoMatch; empty: there is none
	Deny                         bool          // a mismatch is refused
	Lazy                         bool

	Check string // empty: no revocation, but in mode introspection
	Plain bool   // the endpoint is not one of RFC 7662
	// Pinned and Found belong to mode oidc: the file has the address of the keys, the provider's document that of the endpoint.
	Pinned, Found    bool
	Allow            bool
	TTL, NegativeTTL time.Duration
	Recheck          time.Duration
	Narrow           bool // few requests at once: one about clients who are connected
}

const (
	local         = "local"
	jwks          = "jwks"
	oidc          = "oidc"
	introspection = "introspection"

	beforeConnect = "beforeConnect"
	afterConnect  = "afterConnect"
	onRetry       = "onRetry"

	// timeout is that of every request, retryWindow how long an answer waits for the next attempt; keyTTL and maxStale are
	// for how long a key set serves, and where there is no newer one. After keyRefresh it is read again.
	timeout     = 3 * time.Second
	retryWindow = 10 * time.Second
	// minNegativeTTL is how long it is remembered at least that a token is not active.
	minNegativeTTL = 30 * time.Second
	// documentTTL is how long what says where the endpoints are serves.
	documentTTL = time.Hour
	keyTTL      = 20 * time.Second
	keyRefresh  = keyTTL - keyTTL/5
	maxStale    = 2 * time.Minute

	// recheckEvery is how often clients who are connected are asked about.
	recheckEvery = time.Second

	// idps is how many identity providers there are, most how many providers a file has at most.
	idps = 3
	most = 3
)

func (p provider) kicks() bool { return p.Validate && p.Kick }

// fetches tells whether its keys come from its identity provider.
func (p provider) fetches() bool { return p.Mode == jwks || p.Mode == oidc }

// asks tells whether its endpoint has a say.
func (p provider) asks() bool { return p.Check != "" }

func (p provider) keyLife() time.Duration { return max(keyTTL, maxStale) }

// window is for how long an answer is kept for an attempt to come.
func (p provider) window() time.Duration {
	if p.Check == onRetry || p.Mode == introspection {
		return retryWindow
	}
	return 0
}

// id is what makes it the same provider in two files.
func (p provider) id() string {
	if p.Name == "" {
		return ""
	}
	all := p.issuers()
	slices.Sort(all)
	return p.Name + " " + strings.Join(all, " ")
}

// tenant is the issuer of a tenant, or of all of them.
func tenant(id string) string { return "https://tenants.example/" + id }

const ofTenant = "{claim:tid}"

// issuers are those that it names.
func (p provider) issuers() (all []string) {
	for _, i := range []string{p.Issuer, p.Alias} {
		if i != "" {
			all = append(all, i)
		}
	}
	if p.Tenants != "" {
		all = append(all, tenant(ofTenant))
	}
	return all
}

// claimed are the issuers that it claims to the letter.
func (p provider) claimed() []string {
	all := slices.DeleteFunc(p.issuers(), func(i string) bool { return i == tenant(ofTenant) })
	for id := range strings.FieldsSeq(p.Tenants) {
		all = append(all, tenant(id))
	}
	return all
}

// isItsIssuer tells whether a token's iss is one of its own, in a token that says of itself what that takes.
func (p provider) isItsIssuer(t *token) bool {
	return len(p.issuers()) == 0 || slices.Contains([]string{p.Issuer, p.Alias}, t.Issuer) && t.Issuer != "" ||
		p.Tenants != "" && t.Tenant != "" && t.Issuer == tenant(t.Tenant)
}

// isItsTenant tells whether a token has the claim that it needs because of an issuer.
func (p provider) isItsTenant(t *token) bool {
	return p.Tenants == "" || slices.Contains(strings.Fields(p.Tenants), t.Tenant)
}

// asker is how the identity provider knows it.
func (p provider) asker() asker { return asker{p.IDP, p.sent()} }

// sent is the name by which it asks; empty: it says none.
func (p provider) sent() string {
	if p.Line > 0 {
		return second + p.Name
	}
	return p.Name
}

// called is the name that it gives to a subject.
func (p provider) called(subject string) string {
	if p.Template {
		return p.Name + ":" + subject
	}
	return subject
}

// asksAsIn tells whether another file's provider asks the same endpoint.
func (p provider) asksAsIn(other provider) bool {
	return p.id() == other.id() && p.asks() && other.asks() && p.IDP == other.IDP && p.Plain == other.Plain && p.Found == other.Found
}

// same finds the provider with this id.
func (f file) same(id string) (provider, bool) {
	i := slices.IndexFunc(f.Providers, func(p provider) bool { return p.id() == id })
	if i < 0 {
		return provider{}, false
	}
	return f.Providers[i], true
}

// has tells whether it has this very provider, of which nothing has changed.
func (f file) has(p provider) bool { return f.Named && slices.Contains(f.Providers, p) }

func (f file) find(is func(provider) bool) (found provider, there bool) {
	if i := slices.IndexFunc(f.Providers, is); i >= 0 {
		return f.Providers[i], true
	}
	return provider{}, false
}

// claims finds the provider that claims an issuer: to the letter, or as that of any tenant.
func (f file) claims(issuer string) (provider, bool) {
	if p, there := f.find(func(p provider) bool { return slices.Contains(p.claimed(), issuer) }); there {
		return p, true
	}
	id, isTenant := strings.CutPrefix(issuer, tenant(""))
	return f.find(func(p provider) bool { return p.Tenants != "" && isTenant && id != "" && !strings.Contains(id, "/") })
}

// claimed are all issuers that its providers claim to the letter.
func (f file) claimed() (all []string) {
	for _, p := range f.Providers {
		all = append(all, p.claimed()...)
	}
	return all
}

// rest finds the provider of tokens whose issuer nobody claims; that of opaque tokens is it only if there is no other.
func (f file) rest() (provider, bool) {
	if p, there := f.find(func(p provider) bool { return len(p.issuers()) == 0 && p.Mode != introspection }); there {
		return p, true
	}
	return f.find(func(p provider) bool { return len(p.issuers()) == 0 })
}

// opaque finds the provider of what is not a JWT.
func (f file) opaque() (provider, bool) {
	return f.find(func(p provider) bool { return p.Mode == introspection })
}

// answersFor finds the provider that answers for a token: chosen by iss alone.
func (f file) answersFor(t *token) (provider, bool) {
	if !f.Named {
		return f.Providers[0], true
	}
	if t.Opaque {
		return f.opaque()
	}
	if p, there := f.claims(t.Issuer); there {
		return p, true
	}
	return f.rest()
}

// finds finds the token of a login. Opaque ones are text like any other unless a provider is to be asked; then every text is one, so
// that taken can be true though nobody has issued it.
func (f file) finds(username, password *string, find func(string) *token) (t *token, taken bool) {
	_, asked := f.opaque()
	for _, field := range f.Source.fields() {
		text := password
		if field == string(inUsername) {
			text = username
		}
		if text == nil || *text == "" {
			continue
		}
		if t := find(*text); asked || t != nil && !t.Opaque {
			return t, true
		}
	}
	return nil, false
}

// takes finds the token that a text is which can be nothing else.
func (f file) takes(text string, find func(string) *token) *token {
	t := find(text)
	if _, asked := f.opaque(); asked || t != nil && !t.Opaque {
		return t
	}
	return nil
}

// reaches tells whether it can come into force though an identity provider is down: nothing else is read before that but keys.
func (f file) reaches(inForce file) bool {
	return !slices.ContainsFunc(f.Providers, func(p provider) bool { return p.fetches() && !p.Lazy && !inForce.has(p) })
}

func issuer(n int) string { return fmt.Sprintf("https://idp%d.example", n) }

// realm is the issuer whose document an identity provider has.
func realm(n int) string { return fmt.Sprintf("http://idp%d", n) }

// anIssuer is any that tokens and files name, and everyIssuer are those that a file can have to the letter: the last one is also that
// of a tenant who is never admitted as such.
var (
	everyIssuer = []string{issuer(0), issuer(1), realm(0), realm(1), issuer(3), tenant("z")}
	anIssuer    = rapid.SampledFrom(append([]string{tenant("x"), tenant("y"), tenant("x/y"), tenant("")}, everyIssuer...))
	tenants     = rapid.SampledFrom([]string{"x", "y", "x y"})
	tenantIDs   = rapid.SampledFrom([]string{"x", "y", "z", "", "x/y"})
)

var secrets = [...]string{"secret 0, which is long enough for HMAC", "secret 1, which is long enough for HMAC"}

func often(t *rapid.T, name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }

func drawFile(t *rapid.T, line int) file {
	f := file{Line: line, Named: rapid.IntRange(0, 2).Draw(t, "providers") > 0, Strict: often(t, "onNonToken deny"), Source: sources.Draw(t, "tokenSource")}
	f.drawRenewals(t)
	for range 1 + rapid.IntRange(0, most-1).Draw(t, "more") {
		f = f.with(t, drawProvider(t))
		if !f.Named {
			break
		}
	}
	return f
}

func (f *file) drawRenewals(t *rapid.T) {
	f.Methods, f.NoRenewal, f.Admins = someMethods.Draw(t, "methods"), often(t, "renew false"), someKinds.Draw(t, "admins")
}

// with adds a provider, changed so that it fits to those that are there.
func (f file) with(t *rapid.T, p provider) file {
	p.Line = f.Line
	if _, taken := f.opaque(); taken && p.Mode == introspection {
		p.Mode = local
	}
	if p.Mode == oidc {
		p.Issuer, p.Alias, p.Tenants = realm(p.IDP), "", ""
	}
	if f.Named {
		p.Name = unused(t, "name", p.Name, []string{"one", "two", "three", "four"}, func(name string) bool {
			_, taken := f.find(func(p provider) bool { return p.Name == name })
			return taken
		})
		p = f.apart(t, p)
	} else {
		p.Template = false // there is no name to put there
	}
	if p.Mode != local {
		p.Secret = ""
	}
	if p.Mode != oidc {
		p.Pinned, p.Found = false, false
	}
	if f.Source.has(inUsername) {
		p.MatchUsername, p.Deny = true, false
	}
	f.Providers = append(slices.Clone(f.Providers), p)
	return f
}

// apart has a provider name no issuer that another does, and one where another has none.
func (f file) apart(t *rapid.T, p provider) provider {
	taken := func(issuer string) bool {
		_, taken := f.find(func(p provider) bool { return slices.Contains(p.issuers(), issuer) })
		return taken
	}
	if p.Mode == oidc && taken(p.Issuer) {
		p.Mode = jwks
	}
	if p.Mode == oidc {
		return p
	}
	if taken(tenant(ofTenant)) {
		p.Tenants = ""
	}
	free := slices.DeleteFunc(slices.Clone(everyIssuer), taken)
	if taken(p.Alias) || p.Alias == p.Issuer || len(free) == 1 { // which it needs
		p.Alias = ""
	}
	_, rest := f.find(func(p provider) bool { return len(p.issuers()) == 0 && p.Mode != introspection })
	if p.Issuer != "" || (rest && p.Mode != introspection && len(p.issuers()) == 0) {
		p.Issuer = unused(t, "issuer", p.Issuer, everyIssuer, func(issuer string) bool { return taken(issuer) || issuer == p.Alias })
	}
	return p
}

// unused is what a provider would have, or one of all that is not taken.
func unused(t *rapid.T, what, would string, all []string, taken func(string) bool) string {
	all = slices.DeleteFunc(slices.Clone(all), taken)
	if slices.Contains(all, would) {
		return would
	}
	return rapid.SampledFrom(all).Draw(t, what)
}

// without leaves one out.
func (f file) without(i int) file {
	f.Providers = slices.Delete(slices.Clone(f.Providers), i, i+1)
	return f
}

// changed is what somebody makes of a file.
func (f file) changed(t *rapid.T) file {
	i := rapid.IntRange(0, len(f.Providers)-1).Draw(t, "which")
	p := f.Providers[i]
	what := rapid.SampledFrom([]string{"broker-wide", "options", "place", "add", "remove", "reorder", "rename", "issuer", "all"}).Draw(t, "change")
	switch {
	case what == "broker-wide" && rapid.Bool().Draw(t, "tokenSource"):
		all := f.Providers
		f.Source, f.Providers = sources.Draw(t, "tokenSource"), nil
		for _, p := range all {
			f = f.with(t, p)
		}
	case what == "broker-wide" && rapid.Bool().Draw(t, "renewals"):
		f.drawRenewals(t)
	case what == "broker-wide":
		f.Strict = !f.Strict
	case what == "options":
		p.drawOptions(t)
		f = f.replaced(t, i, p)
	case what == "place":
		p.drawPlace(t)
		p.drawOptions(t)
		f = f.replaced(t, i, p)
	case what == "add" && f.Named && len(f.Providers) < most:
		f = f.with(t, drawProvider(t))
	case what == "remove" && len(f.Providers) > 1:
		f = f.without(i)
	case what == "reorder" && len(f.Providers) > 1:
		f = f.without(i).with(t, p)
	case what == "rename":
		p.Name = ""
		f = f.replaced(t, i, p)
	case what == "issuer" && f.Named:
		p.drawIssuers(t)
		f = f.replaced(t, i, p)
	default:
		f = drawFile(t, f.Line)
	}
	return f
}

// replaced has another provider in the place of one.
func (f file) replaced(t *rapid.T, i int, p provider) file {
	f = f.without(i).with(t, p)
	last := len(f.Providers) - 1
	p = f.Providers[last]
	f.Providers = slices.Insert(f.Providers[:last], i, p)
	return f
}

func drawProvider(t *rapid.T) provider {
	var p provider
	if rapid.Bool().Draw(t, "issuer") {
		p.drawIssuers(t)
	}
	p.drawPlace(t)
	p.drawOptions(t)
	return p
}

// drawIssuers draws one or more.
func (p *provider) drawIssuers(t *rapid.T) {
	one := rapid.SampledFrom(everyIssuer)
	p.Issuer, p.Alias, p.Tenants = one.Draw(t, "issuer"), "", ""
	if often(t, "alias") {
		p.Alias = one.Draw(t, "alias")
	}
	if often(t, "tenants") {
		p.Tenants = tenants.Draw(t, "tenants")
		if rapid.Bool().Draw(t, "they alone") {
			p.Issuer = ""
		}
	}
}

// drawPlace draws where its keys and answers come from.
func (p *provider) drawPlace(t *rapid.T) {
	p.Mode = rapid.SampledFrom([]string{local, local, jwks, introspection, oidc}).Draw(t, "mode")
	p.IDP = rapid.IntRange(0, idps-1).Draw(t, "idp")
	p.Secret = rapid.SampledFrom([]string{secrets[0], secrets[1]}).Draw(t, "secret")
}

// drawOptions draws the rest.
func (p *provider) drawOptions(t *rapid.T) {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	p.Validate, p.Kick = !often(t, "validateExpiration false"), !often(t, "kickExpiredClients false")
	p.MatchUsername, p.MatchClientID = flag("matchUsername"), often(t, "matchClientId")
	p.Template, p.Deny, p.Lazy = flag("template"), often(t, "mismatch denied"), flag("lazyConnect")
	p.Plain, p.MaxSession, p.Found = false, 0, false
	p.Pinned = p.Mode == oidc && often(t, "jwksUri")
	p.Rights = rapid.SampledFrom([]string{"", "", "deny", "defer"}).Draw(t, "onNoMatch")
	if often(t, "maxSession") {
		p.MaxSession = 20 * time.Second
	}
	p.Leeway, p.Check, p.Allow, p.TTL, p.NegativeTTL, p.Recheck, p.Narrow = 0, "", false, 0, 0, 0, false
	if often(t, "leeway") {
		p.Leeway = 5 * time.Second
	}
	if p.Mode == introspection || !often(t, "no revocation") {
		p.Check = rapid.SampledFrom([]string{beforeConnect, onRetry, afterConnect}).Draw(t, "check")
		p.Allow = often(t, "onUnavailable allow")
		if p.Mode == introspection { // nothing but the answer speaks for such a token
			p.Allow = false
			if p.Check == afterConnect {
				p.Check = beforeConnect
			}
		} else {
			p.Plain = often(t, "plain")
		}
		p.Found = p.Mode == oidc && !p.Plain && !often(t, "introspection uri")
		span := rapid.SampledFrom([]time.Duration{0, 0, 30 * time.Second})
		p.TTL, p.NegativeTTL = span.Draw(t, "ttl"), span.Draw(t, "negativeTtl")
		p.Narrow = flag("maxConcurrent")
		p.Recheck = rapid.SampledFrom([]time.Duration{0, recheckEvery}).Draw(t, "recheck")
	}
}

// object is one of JSON.
type object = map[string]any

// text is the jwt.json.
func (f file) text() string {
	all := object{"providers": []object{}, "options": object{"common": object{}}}
	if f.Named {
		var list []object
		for _, p := range f.Providers {
			list = append(list, p.object())
		}
		all["providers"] = list
	} else {
		all = f.Providers[0].object()
	}
	common := all["options"].(object)["common"].(object)
	if f.Strict {
		common["onNonToken"] = "deny"
	}
	if fields := f.Source.fields(); len(fields) > 1 {
		common["tokenSource"] = fields
	} else {
		common["tokenSource"] = f.Source
	}
	all["options"].(object)["enhancedAuth"] = object{"methods": append([]string{}, f.Methods.list()...)}
	steering := object{"renew": !f.NoRenewal}
	if admins := f.adminList(); len(admins) > 0 {
		var list []any
		for _, a := range admins {
			list = append(list, a.json())
		}
		steering["admins"] = list
	}
	all["options"].(object)["control"] = steering
	return string(must(json.MarshalIndent(all, "", " ")))
}

func (p provider) object() object {
	all := object{"mode": p.Mode, "options": object{"modes": p.modes(), "common": p.common(), "lazyConnect": p.Lazy}}
	if p.Name != "" {
		all["name"] = p.Name
	}
	switch p.Mode {
	case local:
		all["algorithm"] = "HS256"
	case jwks, oidc:
		all["algorithm"] = "EdDSA"
	}
	if p.asks() {
		all["options"].(object)["revocation"] = p.revocation()
	}
	if p.Rights != "" {
		all["options"].(object)["authorization"] = object{
			"rules":     []object{{"claim": rightsClaim, "format": "topics"}},
			"grants":    []object{{"everyone": true, "publish": toAll}},
			"onNoMatch": p.Rights,
		}
	}
	return all
}

func (p provider) modes() object {
	switch p.Mode {
	case local:
		return object{local: p.Secret}
	case jwks, oidc:
		uri := fmt.Sprintf("http://idp%d/keys", p.IDP)
		from := object{
			"timeoutMs": timeout.Milliseconds(), "maxBlockMs": 250,
			"cache": object{"enabled": true, "ttlMs": keyTTL.Milliseconds(), "maxStaleMs": maxStale.Milliseconds()},
		}
		if p.sent() != "" {
			from["headers"] = object{askerHeader: p.sent()}
		}
		if p.Mode == jwks {
			from["uri"] = uri
			return object{jwks: from}
		}
		found := object{"issuer": p.Issuer}
		if p.Pinned {
			found["jwksUri"] = uri
		}
		return object{jwks: from, oidc: found}
	}
	return object{}
}

func (p provider) common() object {
	common := object{"validateExpiration": p.Validate, "leewayMs": p.Leeway.Milliseconds()}
	names := func(is bool, match, template string) {
		if is && p.Template {
			common[template] = "{provider}:{sub}"
		} else {
			common[match] = is
		}
	}
	names(p.MatchUsername, "matchUsernameToSubject", "usernameTemplate")
	names(p.MatchClientID, "matchClientIdToSubject", "clientIdTemplate")
	if p.Validate {
		common["kickExpiredClients"] = p.Kick
	}
	switch all := p.issuers(); {
	case len(all) == 0 || p.Mode == oidc:
	case len(all) == 1:
		common["issuer"] = all[0]
	default:
		common["issuer"] = all
	}
	if p.Tenants != "" {
		common["requiredClaims"] = object{"tid": strings.Fields(p.Tenants)}
	}
	if p.Deny {
		common["onSubjectMismatch"] = "deny"
	}
	if p.MaxSession > 0 {
		common["maxSessionMs"] = p.MaxSession.Milliseconds()
	}
	return common
}

func (p provider) revocation() object {
	revocation := object{
		"check": p.Check, "timeoutMs": timeout.Milliseconds(), "retryWindowMs": retryWindow.Milliseconds(),
		"cache": object{"ttlMs": p.TTL.Milliseconds(), "negativeTtlMs": p.NegativeTTL.Milliseconds()},
	}
	if p.Plain {
		revocation["plain"] = object{
			"uri":               fmt.Sprintf("http://idp%d/check", p.IDP),
			"requestParameters": object{"plain": object{"headers": object{askerHeader: p.sent()}}},
			"response":          object{"jsonPath": "token.isGood", "successValue": true},
		}
	} else {
		endpoint := object{}
		if !p.Found {
			endpoint["uri"] = fmt.Sprintf("http://idp%d/introspect", p.IDP)
		}
		if p.sent() != "" {
			endpoint["clientId"], endpoint["clientSecret"] = p.sent(), "secret"
		}
		revocation["introspection"] = endpoint
	}
	if p.Allow {
		revocation["onUnavailable"] = "allow"
	}
	if p.Narrow {
		revocation["maxConcurrent"] = 4
	}
	if p.Recheck > 0 {
		revocation["recheckIntervalMs"] = p.Recheck.Milliseconds()
	}
	return revocation
}
