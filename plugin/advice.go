package plugin

import (
	"fmt"
	"slices"
	"strings"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/verdict"
)

// Describe is the configuration in one line: mode, algorithms if there are any, issuers; of each provider by its name, if it has
// one.
func Describe(file *config.Config) string {
	if len(file.Providers) == 1 && file.Providers[0].Name == "" {
		return describe(file.Providers[0])
	}
	texts := make([]string, len(file.Providers))
	for i, p := range file.Providers {
		texts[i] = fmt.Sprintf("%s (%s)", p.Name, describe(p))
	}
	if len(texts) == 1 {
		return "provider " + texts[0]
	}
	return fmt.Sprintf("%d providers: %s", len(texts), strings.Join(texts, ", "))
}

func describe(p *config.Provider) string {
	parts := []string{"mode " + string(p.Mode)}
	if len(p.Algorithms) > 0 { // tokens that are not opaque
		parts = append(parts, "algorithm "+strings.Join(p.Algorithms, ", "))
	}
	issuers := make([]string, len(p.Common.Issuers))
	for i, issuer := range p.Common.Issuers {
		issuers[i] = verdict.Word(issuer.String())
	}
	switch len(issuers) {
	case 0:
		parts = append(parts, "any issuer")
	case 1:
		parts = append(parts, "issuer "+issuers[0])
	default:
		parts = append(parts, "issuers "+strings.Join(issuers, ", "))
	}
	return strings.Join(parts, ", ")
}

// Abilities are what Mosquitto 2.1 can do and 2.0 can't.
type Abilities struct {
	// Delays: a login can wait while the broker does not. SetsClientID: a client id can be changed.
	Delays, SetsClientID bool
}

// Advise says what a configuration means that its author may not have meant.
func Advise(file *config.Config, can Abilities) (all []string) {
	for _, cfg := range file.Providers {
		all = append(all, adviseOn(cfg, len(file.Providers) > 1, can)...)
	}
	all = append(all, adviseOnNames(file.Providers)...)
	return append(all, adviseOnRights(file.Providers)...)
}

// adviseOnRights says what becomes of all others if tokens give rights: the plugin can't know whether anybody else gives them some.
func adviseOnRights(providers []*config.Provider) []string {
	at := slices.IndexFunc(providers, func(p *config.Provider) bool { return p.Authorization != nil })
	if at < 0 {
		return nil
	}
	return []string{providers[at].Path.Key("options.authorization") + " gives rights by tokens: clients that have none of these (by a password, a certificate or without a name, " +
		"by a provider without it, or restored after a restart) may do nothing, unless dynamic-security or an ACL file allows it"}
}

// maxPairs is how many pairs of providers are named.
const maxPairs = 8

// adviseOnNames names each two providers that can give two clients one name, so that one gets the rights or the session of the
// other. They can't if both begin with literal text and neither's text begins with the other's.
func adviseOnNames(providers []*config.Provider) (all []string) {
	warn := func(is bool, text string) {
		if is {
			all = append(all, text)
		}
	}
	for i, one := range providers {
		for _, other := range providers[i+1:] {
			for _, name := range []struct {
				what, template string
				mapped         bool
				a, b           *config.Template
			}{
				{"username", "usernameTemplate", one.Common.MatchUsername && other.Common.MatchUsername, one.Common.UsernameTemplate, other.Common.UsernameTemplate},
				{"client id", "clientIdTemplate", one.Common.MatchClientID && other.Common.MatchClientID, one.Common.ClientIDTemplate, other.Common.ClientIDTemplate},
			} {
				a, b := prefix(name.a), prefix(name.b)
				warn(name.mapped && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)),
					fmt.Sprintf("%s (%s) and %s (%s) can give two clients one %s, and with it the rights of the other: "+
						"have options.common.%s of each begin with text of its own, as \"{provider}:{sub}\" does", one.Path, one.Name, other.Path, other.Name, name.what, name.template))
			}
		}
	}
	if more := len(all) - maxPairs; more > 0 {
		all = append(all[:maxPairs], fmt.Sprintf("%d more pairs of providers can give two clients one name", more))
	}
	return all
}

// prefix is what all names of a template begin with; a claim alone can begin with anything.
func prefix(t *config.Template) string {
	if t == nil {
		return ""
	}
	return t.Prefix()
}

// adviseOn is about one provider, alone or among several, whose clients must not take each other's names.
func adviseOn(cfg *config.Provider, amongSeveral bool, can Abilities) []string {
	var all []string
	at := cfg.Path.Key
	warn := func(is bool, text string) {
		if is {
			all = append(all, text)
		}
	}
	common := cfg.Common
	warn(cfg.Mode != config.ModeLocal && len(common.Audience) == 0 && len(common.RequiredScopes) == 0 && !requiresOwn(common.RequiredClaims),
		at("options.common.audience")+" is missing: every token that the provider issues gets in, those for other applications and ID tokens included. "+
			"Have it put a name for this broker into aud, and say that here; where its access tokens have no aud (Cognito), "+
			"requiredClaims {\"client_id\": …} or requiredScopes tells them apart")
	warn(cfg.Mode == config.ModeJWKS && len(common.Issuers) == 0 && !requires(common.RequiredClaims, "iss"),
		at("options.common.issuer")+" is missing: the tokens of every issuer whose tokens these keys sign get in, as with keys that tenants share. "+
			"Say the iss of your tokens there, to the letter")
	warn(!common.MatchUsername && (amongSeveral || !common.MatchClientID),
		at("options.common.matchUsernameToSubject")+" is false: whoever has a valid token may connect with any username, and has that user's rights")
	warn(!common.ValidateExpiration,
		at("options.common.validateExpiration")+" is false: expired tokens are accepted, and nobody is disconnected when a token expires")
	warn(common.MatchClientID && !can.SetsClientID && common.OnMismatch == config.MismatchRewrite,
		at("options.common.matchClientIdToSubject")+" is true, but this Mosquitto can't change a client id (2.1 can): clients with another id than their subject are refused")
	warn(common.AllowWeakKeys,
		at("options.common.allowWeakKeys")+" is true: keys that are too short to be safe are accepted")
	if r := cfg.Revocation; r != nil && r.Check == config.CheckBeforeConnect {
		warn(!can.Delays, fmt.Sprintf("%s is %q, and this Mosquitto waits with all its clients while the identity provider is asked, "+
			"up to %s (2.1 does not wait): %q and %q never wait", at("options.revocation.check"), r.Check, r.Timeout, config.CheckAfterConnect, config.CheckOnRetry))
		warn(can.Delays && cfg.Mode == config.ModeIntrospection, at("mode")+" is \"introspection\": on this Mosquitto a login whose answer is not in the cache "+
			"is closed without CONNACK, and the client's next attempt is answered, if it comes within "+at("options.revocation.retryWindowMs"))
	}
	if cfg.JWKS.URI != "" {
		warn(!cfg.JWKS.Cache.Enabled,
			at("options.modes.jwks.cache.enabled")+" is false: every login reads the key set from the identity provider")
	}
	return all
}

// requiresOwn tells whether a claim is required that may be the broker's own. Which one is, nobody but the provider can tell;
// iss is none.
func requiresOwn(claims []config.RequiredClaim) bool {
	return len(claims) > 1 || len(claims) == 1 && !requires(claims, "iss")
}

func requires(claims []config.RequiredClaim, path string) bool {
	return slices.ContainsFunc(claims, func(c config.RequiredClaim) bool { return c.Path == path })
}
