package plugin

import (
	"fmt"
	"slices"
	"strings"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/verdict"
)

// Describe is the configuration in one line: mode, algorithms where there are any, issuer.
func Describe(file *config.Config) string {
	cfg := file.Providers[0]
	issuer := "any issuer"
	if cfg.Common.Issuer != "" {
		issuer = "issuer " + verdict.Word(cfg.Common.Issuer)
	}
	if len(cfg.Algorithms) == 0 { // opaque tokens
		return fmt.Sprintf("mode %s, %s", cfg.Mode, issuer)
	}
	return fmt.Sprintf("mode %s, algorithm %s, %s", cfg.Mode, strings.Join(cfg.Algorithms, ", "), issuer)
}

// Abilities are what Mosquitto 2.1 can do and 2.0 can't.
type Abilities struct {
	// Delays: a login can wait while the broker does not. SetsClientID: a client id can be changed.
	Delays, SetsClientID bool
}

// Advise says what a configuration means that its author may not have meant.
func Advise(file *config.Config, can Abilities) (all []string) {
	for _, cfg := range file.Providers {
		all = append(all, adviseOn(cfg, can)...)
	}
	return all
}

func adviseOn(cfg *config.Provider, can Abilities) []string {
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
	warn(cfg.Mode == config.ModeJWKS && common.Issuer == "" && !requires(common.RequiredClaims, "iss"),
		at("options.common.issuer")+" is missing: the tokens of every issuer whose tokens these keys sign get in, as with keys that tenants share. "+
			"Say the iss of your tokens there, to the letter")
	warn(!common.MatchUsername && !common.MatchClientID,
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
