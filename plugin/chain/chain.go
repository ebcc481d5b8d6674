// Package chain is the whole way from a password to a verdict: token, identity, revocation. The plugin and the
// command-line tool run this same chain.
package chain

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// Options are what a Chain needs from the house.
type Options struct {
	Now func() time.Time
	// Report takes what the operator should know and no login is refused for, from any goroutine.
	Report func(event.Note)
	// Delays says that the broker lets a login wait without waiting itself (Mosquitto 2.1). Then Begin never waits.
	Delays bool
	// Dial makes the connections to endpoints; nil: net does.
	Dial endpoint.Dial
}

// Chain judges logins by one configuration. Safe for concurrent use.
type Chain struct {
	file     *config.Config
	cfg      *config.Provider
	delays   bool
	client   *endpoint.Client
	provider *discovery.Provider // nil but in mode oidc
	keys     keyset.Source       // nil in mode introspection
	verifier *token.Verifier
	// remembered verifies by the keys that were there last, whatever their age.
	remembered *token.Verifier
	mapper     identity.Mapper
	checker    *revocation.Checker // nil where revocation is not configured
	// unfinished counts the results of Begin that are still to be finished, and what Hold holds.
	unfinished sync.WaitGroup
}

// Login is a client with its password; nil where the CONNECT has none.
type Login struct {
	identity.Client
	Password *string
}

// Result is the verdict on a login and all that led to it.
type Result struct {
	verdict.Verdict
	// Identity is what the broker is to change, with Accept and Pending.
	Identity identity.Identity
	// Expiry is the token's exp; zero where it has none.
	Expiry time.Time
	// Issuer and Subject say whose token it is, by iss and sub (RFC 7519 §4.1.1, §4.1.2), or by what takes their place where
	// it lacks them: the provider of the configuration, and the identity that was mapped.
	Issuer, Subject string
	// Token names the token in the log.
	Token string
	Trace verdict.Trace
	// Unconfirmed is an Accept by signature and claims alone: Confirm has the rest.
	Unconfirmed bool

	// token is the token itself, client the login without it.
	token  string
	client identity.Client
	header token.Header
	claims token.Claims
	// needsKeys is a Pending whose keys are to be read again first; question one whose token is to be asked about.
	needsKeys bool
	question  *revocation.Slot
}

// Bearer is the token itself, for Recheck.
func (r *Result) Bearer() string { return r.token }

// New builds the chain for cfg. It reads nothing from the network; see Probe.
func New(file *config.Config, o Options) (*Chain, error) {
	cfg := file.Providers[0]
	client, err := endpoint.New(cfg)
	if err != nil {
		return nil, err
	}
	if o.Dial != nil {
		client.DialBy(o.Dial)
	}
	if cfg.Mode == config.ModeIntrospection && cfg.Revocation == nil {
		return nil, errors.New("$.options.revocation: must be there in mode introspection")
	}
	c := &Chain{file: file, cfg: cfg, delays: o.Delays, client: client, mapper: identity.New(cfg.Common)}
	if cfg.Mode == config.ModeOIDC {
		c.provider = discovery.New(cfg, client, o.Now)
	}
	if cfg.Mode != config.ModeIntrospection {
		if c.keys, err = keyset.New(cfg, keyset.Options{
			Client: client, Now: o.Now, Blocks: !o.Delays, Locate: c.locateJWKS, Report: o.Report,
		}); err != nil {
			return nil, err
		}
		c.remembered = token.New(cfg, keyset.LastGood(c.keys), o.Now)
	}
	c.verifier = token.New(cfg, c.keys, o.Now)
	if cfg.Revocation != nil {
		c.checker, err = revocation.New(cfg.Revocation, revocation.Options{
			Path: cfg.Path, Client: client, Locate: c.locateIntrospection, Issuer: cfg.Common.Issuer, Now: o.Now, Report: o.Report,
		})
	}
	return c, err
}

// Config is what the chain was built for.
func (c *Chain) Config() *config.Config { return c.file }

// Hold keeps a chain open beyond Retire, for a Recheck that has begun, until release is called.
func (c *Chain) Hold() (release func()) {
	c.unfinished.Add(1)
	return c.unfinished.Done
}

// Retire lets the logins that have begun come to their end, and then closes the chain. Begin must not be called any more.
func (c *Chain) Retire() {
	go func() {
		c.unfinished.Wait()
		c.Close()
	}()
}

// Close ends what runs in the background; logins that are unfinished are refused.
func (c *Chain) Close() {
	if c.keys != nil {
		c.keys.Close()
	}
	if c.checker != nil {
		c.checker.Close()
	}
	c.client.Close()
}

// RefreshAt is when Refresh should be called next, zero: never. Refresh reads the keys again in the background.
func (c *Chain) RefreshAt() time.Time {
	return keyset.RefreshAt(c.keys)
}

// Refresh begins to read again what will soon be too old.
func (c *Chain) Refresh() {
	keyset.Refresh(c.keys)
}

// Check is Begin, and then all that it left to Finish and Confirm.
func (c *Chain) Check(ctx context.Context, login Login) Result {
	result := c.Begin(ctx, login)
	c.Finish(ctx, &result)
	c.Confirm(ctx, &result)
	return result
}

// Begin judges a login by what is known here and now. A Pending result has to be given to Finish, an Unconfirmed one to
// Confirm; or either to Drop. Where the broker can't delay logins, it waits at most maxBlockMs for a fresh key set.
//
// Pending is only for bearers of a token that the keys in memory verify. While a login is pending, Mosquitto 2.1.2 does
// things that must not be a stranger's to bring about: when the connection drops it publishes the will, and one with a
// will delay makes the broker drop whoever connects next (docs/architecture.md). Strangers are put off instead (Retry): it is
// their next attempt that finds what this one has asked for.
func (c *Chain) Begin(ctx context.Context, login Login) Result {
	result := c.begin(ctx, login)
	if result.open() {
		c.unfinished.Add(1)
	}
	return result
}

// open tells whether the result is still to be finished or confirmed.
func (r *Result) open() bool { return r.Kind == verdict.Pending || r.Unconfirmed }

// settle counts a result that was open and is no more.
func (c *Chain) settle(result *Result) {
	if !result.open() {
		c.unfinished.Done()
	}
}

func (c *Chain) begin(ctx context.Context, login Login) Result {
	result, done := c.look(login)
	switch {
	case done:
		return result
	case c.cfg.Mode == config.ModeIntrospection:
		c.checkRevocation(&result)
		return result
	}
	if !keyset.Settled(c.keys, result.header.KeyID, result.header.Algorithm) && c.mayPend() && c.remembers(&result) {
		result.needsKeys = true
		result.Verdict = verdict.Verdict{Kind: verdict.Pending}
		return result
	}
	wait, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	c.verify(wait, &result)
	return result
}

// Defers tells whether Begin would leave the login to others. That takes no look at a signature.
func (c *Chain) Defers(login Login) bool {
	result, done := c.look(login)
	return done && result.Kind == verdict.Defer
}

// FromMemory judges a login by what is known here and now, and neither waits nor asks: what can't be decided so is put off.
// The verdict is Accept, Deny, Defer or Retry, and nothing is left to be finished.
func (c *Chain) FromMemory(login Login) Result {
	result, done := c.look(login)
	putOff := func() Result {
		result.Verdict = verdict.Refuse(verdict.ServerBusy, "nobody is asked about it during a reload")
		result.Kind = verdict.Retry
		return result
	}
	if done {
		return result
	}
	if c.cfg.Mode != config.ModeIntrospection {
		if !keyset.Settled(c.keys, result.header.KeyID, result.header.Algorithm) {
			return putOff()
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.examine(ctx, &result)
		if result.Kind != verdict.Accept {
			return result
		}
	}
	if c.checker == nil {
		return result
	}
	said, known := c.checker.Lookup(result.token)
	if !known {
		return putOff()
	}
	c.applyAnswer(said, &result)
	return result
}

// mayPend tells whether a login whose token is verified may wait for its verdict.
func (c *Chain) mayPend() bool {
	return c.delays && (c.cfg.Revocation == nil || c.cfg.Revocation.Check != config.CheckOnRetry)
}

// patience is how long Begin may wait for a key set.
func (c *Chain) patience() time.Duration {
	if c.delays {
		return 0
	}
	return c.cfg.JWKS.MaxBlock
}

// remembers tells whether the keys that were there last verify the token, and takes its identity then.
func (c *Chain) remembers(result *Result) bool {
	trial := *result
	claims, v := c.remembered.Verify(context.Background(), trial.token, trial.header, new(verdict.Trace))
	if trial.Verdict = v; v.Kind == verdict.Accept {
		trial.Trace = nil
		c.identify(claims, &trial)
	}
	if trial.Kind != verdict.Accept {
		return false
	}
	trial.Trace = result.Trace
	*result = trial
	return true
}

// verify judges the token and the identity, and goes on to what is known of its revocation.
func (c *Chain) verify(ctx context.Context, result *Result) {
	c.examine(ctx, result)
	if result.Kind == verdict.Accept {
		c.checkRevocation(result)
	}
}

// examine judges the token and, if that is good, the identity.
func (c *Chain) examine(ctx context.Context, result *Result) {
	claims, v := c.verifier.Verify(ctx, result.token, result.header, &result.Trace)
	if result.Verdict = v; v.Kind == verdict.Accept {
		c.identify(claims, result)
	}
}

// checkRevocation decides by what is known without asking whether the token is active, or how the rest is to be learnt.
func (c *Chain) checkRevocation(result *Result) {
	if c.checker == nil {
		return
	}
	if said, known := c.checker.Lookup(result.token); known {
		c.applyAnswer(said, result)
		return
	}
	opaque, check := c.cfg.Mode == config.ModeIntrospection, c.check(result)
	if check == config.CheckOnRetry || (opaque && c.delays) {
		told, err := c.checker.Prefetch(result.token, result.Expiry)
		if err != nil {
			result.Verdict = verdict.Refuse(verdict.ServerBusy, "%s", err)
			return
		}
		result.Verdict = verdict.Refuse(verdict.ProviderUnavailable, "%s", told)
		result.Kind = verdict.Retry
		return
	}
	if !c.delays && check != config.CheckAfterConnect {
		if said, resting := c.checker.ProbeRecovery(result.token, result.Expiry); resting {
			c.applyAnswer(said, result)
			return
		}
	}
	var err error
	if result.question, err = c.checker.Acquire(result.token, result.Expiry); err != nil {
		result.Verdict = verdict.Refuse(verdict.ServerBusy, "%s", err)
		return
	}
	if result.Unconfirmed = check == config.CheckAfterConnect; !result.Unconfirmed {
		result.Verdict = verdict.Verdict{Kind: verdict.Pending}
	}
}

// check says when the endpoint is asked about a token. One that was found inactive is not admitted before, whatever the
// configuration says of others, and on Mosquitto 2.0 nobody waits for it.
func (c *Chain) check(result *Result) config.Check {
	check := c.cfg.Revocation.Check
	switch {
	case check != config.CheckAfterConnect || !c.checker.WasInactive(result.token):
		return check
	case c.delays:
		return config.CheckBeforeConnect
	default:
		return config.CheckOnRetry
	}
}

// Finish does what Begin has left to it where the result is Pending: it waits for the keys and for the endpoint, within
// their timeouts and until ctx ends. After it, the result is decided; it may be Unconfirmed. Of any other result it
// leaves all as it is.
func (c *Chain) Finish(ctx context.Context, result *Result) {
	if result.Kind != verdict.Pending {
		return
	}
	defer c.settle(result)
	defer deny(result)
	if result.needsKeys {
		result.needsKeys = false
		c.verify(ctx, result)
		if result.Kind != verdict.Pending {
			return
		}
	}
	c.applyAnswer(c.ask(ctx, result), result)
}

// Confirm asks the endpoint about an Unconfirmed result, and puts its word into it. Of any other it leaves all as it is.
func (c *Chain) Confirm(ctx context.Context, result *Result) {
	if !result.Unconfirmed {
		return
	}
	defer c.settle(result)
	defer deny(result)
	result.Unconfirmed = false
	c.applyAnswer(c.ask(ctx, result), result)
}

// Drop gives up what Begin has left to Finish or Confirm.
func (c *Chain) Drop(result *Result) {
	if !result.open() {
		return
	}
	if result.question != nil {
		result.question.Release()
		result.question = nil
	}
	result.Unconfirmed = false
	result.Verdict = verdict.Refuse(verdict.InternalError, "given up")
	c.settle(result)
}

func (c *Chain) ask(ctx context.Context, result *Result) revocation.Answer {
	question := result.question
	result.question = nil
	return question.Ask(ctx)
}

// deny ends a panic with a refusal: what stands above waits for a verdict.
func deny(result *Result) {
	if fault := recover(); fault != nil {
		result.Unconfirmed = false
		result.Verdict = verdict.Refuse(verdict.InternalError, "fault: %v", fault)
	}
}

// Recheck asks about the token of a client that is connected, whatever is remembered of it. The verdict is Accept, Deny
// with Revoked, or Deny with another reason where nothing was learnt.
func (c *Chain) Recheck(ctx context.Context, token string, expires time.Time) (result Result) {
	defer deny(&result)
	if c.checker == nil {
		result.Verdict = verdict.Refuse(verdict.ProviderUnavailable, "there is no endpoint to ask any more")
		return result
	}
	question, err := c.checker.Acquire(token, expires)
	if err != nil {
		result.Verdict = verdict.Refuse(verdict.ServerBusy, "%s", err)
		return result
	}
	_, result.Verdict = c.checker.Judge(question.Ask(ctx), &result.Trace)
	return result
}

// applyAnswer applies the endpoint's answer to the result.
func (c *Chain) applyAnswer(said revocation.Answer, result *Result) {
	claims, v := c.checker.Judge(said, &result.Trace)
	result.Verdict = v
	if c.cfg.Mode == config.ModeIntrospection {
		// Nothing but the answer speaks for the token.
		if v.Kind == verdict.Accept {
			c.judge(token.NewClaims(claims), result)
		}
		return
	}
	id := c.cfg.Revocation.Introspection.ClientID
	switch {
	case v.Reason == verdict.ProviderUnavailable && c.checker.WasInactive(result.token):
		result.Detail += "; the token was not active when the endpoint last answered"
	case v.Reason == verdict.ProviderUnavailable && c.cfg.Revocation.OnUnavailable == config.UnavailableAllow:
		result.Verdict = verdict.Verdict{Kind: verdict.Accept, Unchecked: true, Note: v.String()}
	case v.Reason == verdict.Revoked && id != "" && !result.claims.HasAudience(id):
		// Keycloak since 26.6.2, for one; it says so in its own log alone.
		result.Detail += fmt.Sprintf("; some providers say so of a token whose aud does not hold %s ($.options.revocation.introspection.clientId)",
			verdict.Quote(id))
	}
}

// judge checks the claims of an introspection response, and takes the identity from good ones.
func (c *Chain) judge(claims token.Claims, result *Result) {
	if result.Verdict = c.verifier.CheckClaims(claims, &result.Trace); result.Kind == verdict.Accept {
		c.identify(claims, result)
	}
}

// identify takes from the claims of a good token what is to be known of the client.
func (c *Chain) identify(claims token.Claims, result *Result) {
	result.claims = claims
	result.Token = claims.ID(result.token)
	result.Expiry, _ = claims.Expiry()
	result.Identity, result.Verdict = c.mapper.Map(claims, result.client, &result.Trace)
	result.Issuer, result.Subject = claims.Text("iss"), c.subject(claims)
	if result.Issuer == "" {
		result.Issuer = c.origin()
	}
}

// subject is sub, or the name that is mapped where there is none.
func (c *Chain) subject(claims token.Claims) string {
	subject, common := claims.Text("sub"), c.cfg.Common
	if subject == "" && common.MatchUsername {
		subject = claims.Text(common.UsernameClaim)
	}
	if subject == "" && common.MatchClientID {
		subject = claims.Text(common.ClientIDClaim)
	}
	return subject
}

// origin is the provider, as the configuration names it.
func (c *Chain) origin() string {
	switch cfg := c.cfg; {
	case cfg.Common.Issuer != "":
		return cfg.Common.Issuer
	case cfg.Mode == config.ModeOIDC:
		return cfg.OIDC.Issuer
	case cfg.Mode == config.ModeIntrospection:
		return c.Endpoint()
	default:
		return cfg.JWKS.URI + cfg.JWKS.FilePath
	}
}

// Endpoint identifies what says whether tokens are active, as the configuration has it; empty: nothing does. Tokens that one
// has admitted are not to be shown to another. It is for comparing: ShownEndpoint is for the log.
func (c *Chain) Endpoint() string {
	if c.checker == nil {
		return ""
	}
	return c.checker.Endpoint()
}

// ShownEndpoint names it in the log.
func (c *Chain) ShownEndpoint() string {
	switch r := c.cfg.Revocation; {
	case r == nil:
		return "no endpoint"
	case r.Plain != nil:
		return "the revocation endpoint " + endpoint.Redact(r.Plain.URI)
	case r.Introspection.URI != "":
		return "the introspection endpoint " + endpoint.Redact(r.Introspection.URI)
	default:
		return "the introspection endpoint of " + c.cfg.OIDC.Issuer
	}
}

// look finds the token; done is true where that decides already.
func (c *Chain) look(login Login) (result Result, done bool) {
	decide := func(v verdict.Verdict) (Result, bool) {
		result.Verdict = v
		return result, true
	}
	shape := token.Other
	result.client = login.Client
	for _, source := range c.file.TokenSource {
		field := fieldOf(source, login.Username, login.Password)
		if field == nil || *field == "" {
			continue
		}
		if most := c.file.MaxTokenBytes; len(*field) > most {
			return decide(result.Trace.FailWith(verdict.Refuse(verdict.TooLong, "%d bytes, the most is %d ($.options.common.maxTokenBytes)",
				len(*field), most), "length", fmt.Sprintf("at most %d bytes", most), strconv.Itoa(len(*field))))
		}
		if shape, result.header = c.shape(*field); shape == token.Other {
			continue
		}
		result.token, result.Token, result.client.Token = *field, token.Name(*field), *field
		if source == config.TokenInUsername {
			result.client.Username = nil // it has said nothing of who it is
		}
		break
	}
	switch {
	case result.token == "":
		return decide(c.nonToken(login, &result.Trace))
	case c.cfg.Mode == config.ModeIntrospection && strings.ContainsFunc(result.token, invisible):
		// Some providers fail at what nobody could have issued, and would be left alone for a stranger's sake.
		return decide(result.Trace.FailWith(verdict.Refuse(verdict.Malformed, "it holds characters that no access token has (RFC 6749 appendix A.12)"),
			"characters", "printable ASCII", "others"))
	case c.cfg.Mode == config.ModeIntrospection:
		return result, false
	case shape == token.Encrypted:
		return decide(result.Trace.FailWith(verdict.Refuse(verdict.Encrypted, "an encrypted token (JWE) can be read by its recipient alone"),
			"shape", "a signed token", "an encrypted token"))
	}
	result.Trace.Pass("shape", "a signed token", "a signed token")
	return result, false
}

// invisible is what is no VSCHAR (RFC 6749 appendix A), of which access tokens consist.
func invisible(r rune) bool { return r < ' ' || r > '~' }

// fieldOf is what stands where a token may be.
func fieldOf(source config.TokenSource, username, password *string) *string {
	if source == config.TokenInUsername {
		return username
	}
	return password
}

// OpaqueToken is the token of a login in mode introspection, where nothing else tells that a text is one; "" in the others.
// It is for messages: none may show it, in whatever field it is found.
func (c *Chain) OpaqueToken(username, password *string) string {
	if c.cfg.Mode != config.ModeIntrospection {
		return ""
	}
	for _, source := range c.file.TokenSource {
		if field := fieldOf(source, username, password); field != nil && *field != "" {
			return *field
		}
	}
	return ""
}

// shape is what a field looks like. In mode introspection everything is a token, as nobody but the provider can tell.
func (c *Chain) shape(field string) (token.Shape, token.Header) {
	if c.cfg.Mode == config.ModeIntrospection {
		return token.Signed, token.Header{}
	}
	return token.Classify(field)
}

// nonToken is the verdict on a login without a token. Where there is one in a field with something around it, the Note says
// what: its client is about to be refused, and nobody else would tell why.
func (c *Chain) nonToken(login Login, trace *verdict.Trace) verdict.Verdict {
	found, wrapped := "a password of another kind", ""
	if login.Password == nil {
		found = "no password"
	}
	for _, source := range c.file.TokenSource {
		if field := fieldOf(source, login.Username, login.Password); field != nil && wrapped == "" {
			wrapped = token.Wrapping(*field)
		}
	}
	if wrapped != "" {
		found = wrapped
	}
	if c.file.OnNonToken == config.NonTokenDeny {
		return trace.FailWith(verdict.Refuse(verdict.NotAToken, "%s, and $.options.common.onNonToken is %q", found, config.NonTokenDeny),
			"shape", "a signed token", found)
	}
	return trace.FailWith(verdict.Verdict{Kind: verdict.Defer, Note: wrapped}, "shape", "a signed token", found)
}

func (c *Chain) locateJWKS(ctx context.Context) (string, error) {
	doc, err := c.provider.Document(ctx)
	return doc.JWKSURI, err
}

// locateIntrospection is asked where the configuration has no address, that is in mode oidc alone.
func (c *Chain) locateIntrospection(ctx context.Context) (string, error) {
	return c.provider.IntrospectionURI(ctx)
}
