package provider

import (
	"context"
	"fmt"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/guard"
	"go-jwt-auth/plugin/identity"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/revocation"
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/token"
	"go-jwt-auth/plugin/verdict"
)

// Begin judges a login by what is known here and now. What it leaves open is ended by the Open that it returns: a Pending
// result, or an Accept by signature and claims alone that is still to be confirmed (`check: "afterConnect"`). With any other
// result that is nil. If the broker can't delay logins, Begin waits at most maxBlockMs for a fresh key set.
//
// Pending is only for bearers of a token that the keys in memory verify. While a login is pending, Mosquitto 2.1.2 does
// things that must not be a stranger's to bring about: when the connection drops it publishes the will, and one with a
// will delay makes the broker drop the client that connects next (docs/architecture.md). Strangers are put off instead (Retry):
// it is their next attempt that finds what this one has asked for.
func (p *Provider) Begin(ctx context.Context, login Login) (Result, *Open) {
	j := p.judge(login)
	if p.Opaque() {
		p.checkRevocation(j)
		return j.leave()
	}
	settled := keyset.Settled(p.keys, login.Header.KeyID, login.Header.Algorithm)
	if !settled && p.mayPend() && p.verifiesByLastGood(j) {
		j.needsKeys = true
		j.Verdict = verdict.Verdict{Kind: verdict.Pending}
		return j.leave()
	}
	if settled || p.options.Delays {
		p.verify(ended, j)
		return j.leave()
	}
	wait, cancel := context.WithTimeout(ctx, p.cfg.JWKS.MaxBlock)
	defer cancel()
	p.verify(wait, j)
	return j.leave()
}

// BeginAtOnce is Begin for a login that can't wait, not even for a moment on a broker that does so for others: one by enhanced
// authentication (MQTT 5 §4.12). What is known decides. What is not is asked for in the background, and the login put off
// (Retry), unless the file has logins confirmed once they are in (`check: "afterConnect"`). The result is never Pending.
func (p *Provider) BeginAtOnce(login Login) (Result, *Open) {
	j := p.judge(login)
	j.manner = atOnce
	if p.Opaque() {
		p.checkRevocation(j)
	} else {
		p.verify(keyset.HoldsUpNobody(ended), j) // nor does it take their turn from those who may wait for the keys
	}
	return j.leave()
}

// BeginRenewal judges a token that a connected client shows in the place of the one that it came with. login has the names that
// the client was given, which the token must give it, too. It never waits: the result is Pending if keys or an answer are not
// known yet, whatever the file says of logins, and on every broker, as the client stays connected meanwhile.
func (p *Provider) BeginRenewal(login Login) (Result, *Open) {
	j := p.judge(login)
	j.manner = renewal
	switch {
	case p.Opaque():
		p.checkRevocation(j)
	case !keyset.Settled(p.keys, login.Header.KeyID, login.Header.Algorithm):
		j.needsKeys = true
		j.Verdict = verdict.Verdict{Kind: verdict.Pending}
	default:
		p.verify(ended, j)
	}
	return j.leave()
}

// FromMemory judges a login by what is known here and now, and neither waits nor asks: what can't be decided so is put off.
// The verdict is Accept, Deny or Retry, and nothing is left open.
func (p *Provider) FromMemory(login Login) Result {
	j := p.judge(login)
	putOff := func() Result {
		j.Verdict = verdict.Refuse(verdict.ServerBusy, "nobody is asked about it during a reload")
		j.Kind = verdict.Retry
		return j.result()
	}
	if !p.Opaque() {
		if !keyset.Settled(p.keys, login.Header.KeyID, login.Header.Algorithm) {
			return putOff()
		}
		p.examine(ended, j)
		if j.Kind != verdict.Accept {
			return j.result()
		}
	}
	if p.checker == nil {
		return j.result()
	}
	said, known := p.checker.Lookup(j.Digest())
	if !known {
		return putOff()
	}
	p.applyAnswer(said, j)
	return j.result()
}

// ended is a context with which nothing waits.
var ended = func() context.Context { //nolint:gochecknoglobals // a constant
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// manner is how a verdict may be waited for.
type manner uint8

const (
	_ manner = iota // at a login: as the broker and the file have it
	// atOnce: not at all.
	atOnce
	// renewal: in the background, while the client stays connected.
	renewal
)

// judgement is a login, or a renewal, that is being judged.
type judgement struct {
	Result
	login  Login
	manner manner
	// needsKeys: the keys are to be read again first. slot: the token is to be asked about.
	needsKeys bool
	slot      *revocation.Slot
}

func (p *Provider) judge(login Login) *judgement {
	return &judgement{login: login, Result: Result{Provider: p, token: login.Token, Trace: login.Trace}}
}

// KnownHeader is the header of a signed token, if the provider has accepted it or another one with it before; see token.Verifier.
func (p *Provider) KnownHeader(t token.Text) (token.Header, bool) { return p.verifier.KnownHeader(t) }

// leave ends a step: the rest is open if the result is pending, or accepted and still to be asked about.
func (j *judgement) leave() (Result, *Open) {
	switch {
	case j.Kind == verdict.Pending, j.Kind == verdict.Accept && j.slot != nil:
		return j.result(), newOpen(j)
	case j.slot != nil:
		j.slot.Release()
	}
	return j.result(), nil
}

// result is what is known by now.
func (j *judgement) result() Result {
	if j.LogID == "" {
		j.LogID = j.token.Name()
	}
	return j.Result
}

// mayPend tells whether a login whose token is verified may wait for its verdict.
func (p *Provider) mayPend() bool {
	return p.options.Delays && (p.cfg.Revocation == nil || p.cfg.Revocation.Check != config.CheckOnRetry)
}

// verifiesByLastGood tells whether the keys that were there last verify the token, and takes its identity then.
func (p *Provider) verifiesByLastGood(j *judgement) bool {
	trial := *j
	claims, v := p.lastGood.Verify(context.Background(), trial.token, trial.login.Header, nil)
	trial.Trace = nil
	if trial.Verdict = v; v.Kind == verdict.Accept {
		p.identify(claims, &trial)
	}
	if trial.Kind != verdict.Accept {
		return false
	}
	trial.Trace = j.Trace
	*j = trial
	return true
}

// verify judges the token and the identity, and goes on to what is known of its revocation.
func (p *Provider) verify(ctx context.Context, j *judgement) {
	p.examine(ctx, j)
	if j.Kind == verdict.Accept {
		p.checkRevocation(j)
	}
}

// examine judges the token and, if that is good, the identity.
func (p *Provider) examine(ctx context.Context, j *judgement) {
	claims, v := p.verifier.Verify(ctx, j.token, j.login.Header, j.Trace)
	if j.Verdict = v; v.Kind == verdict.Accept {
		p.identify(claims, j)
	}
}

// checkRevocation decides by what is known without asking whether the token is still active, or says how the rest is to be
// learnt.
func (p *Provider) checkRevocation(j *judgement) {
	if p.checker == nil {
		return
	}
	if said, known := p.checker.Lookup(j.Digest()); known {
		p.applyAnswer(said, j)
		return
	}
	if j.manner == renewal {
		p.acquire(j)
		return
	}
	check := p.check(j)
	if check == config.CheckOnRetry || (p.Opaque() && p.options.Delays) || (j.manner == atOnce && check != config.CheckAfterConnect) {
		told, err := p.checker.Prefetch(j.Bearer(), j.Expiry)
		if err != nil {
			j.Verdict = verdict.Refuse(verdict.ServerBusy, "%s", err)
			return
		}
		j.Verdict = verdict.Refuse(verdict.ProviderUnavailable, "%s", told)
		j.Kind = verdict.Retry
		return
	}
	if !p.options.Delays && check != config.CheckAfterConnect {
		if said, resting := p.checker.ProbeRecovery(j.Bearer(), j.Expiry); resting {
			p.applyAnswer(said, j)
			return
		}
	}
	accepted := j.Verdict
	p.acquire(j)
	if j.Kind == verdict.Pending && check == config.CheckAfterConnect {
		j.Verdict = accepted
	}
}

// acquire has the token asked about, and the verdict wait for that.
func (p *Provider) acquire(j *judgement) {
	var err error
	if j.slot, err = p.checker.Acquire(j.Bearer(), j.Expiry); err != nil {
		j.Verdict = verdict.Refuse(verdict.ServerBusy, "%s", err)
		return
	}
	j.Verdict = verdict.Verdict{Kind: verdict.Pending}
}

// check says when the endpoint is asked about a token. One that was found inactive is not admitted before, whatever the
// configuration says of others, and on Mosquitto 2.0 nobody waits for it.
func (p *Provider) check(j *judgement) config.Check {
	check := p.cfg.Revocation.Check
	switch {
	case check != config.CheckAfterConnect || !p.checker.WasInactive(j.Digest()):
		return check
	case p.options.Delays:
		return config.CheckBeforeConnect
	default:
		return config.CheckOnRetry
	}
}

// applyAnswer puts the endpoint's word into the result.
func (p *Provider) applyAnswer(said revocation.Answer, j *judgement) {
	claims, v := p.checker.Judge(said, j.Trace)
	j.Verdict = v
	if p.Opaque() {
		// Nothing but the answer speaks for the token.
		if v.Kind == verdict.Accept {
			p.judgeAnswer(token.NewClaims(claims), j)
		}
		return
	}
	id := p.cfg.Revocation.Introspection.ClientID
	switch {
	case v.Reason == verdict.ProviderUnavailable && p.checker.WasInactive(j.Digest()):
		j.Detail += "; the token was not active when the endpoint last answered"
	case v.Reason == verdict.ProviderUnavailable && p.cfg.Revocation.OnUnavailable == config.UnavailableAllow:
		j.Verdict = verdict.Verdict{Kind: verdict.Accept, Unchecked: true, Note: v.String()}
	case v.Reason == verdict.Revoked && id != "" && !j.claims.HasAudience(id):
		// Keycloak since 26.6.2, for one; it says so in its own log alone.
		j.Detail += fmt.Sprintf("; some providers say so of a token whose aud does not hold %s (%s)",
			verdict.Quote(id), p.Key("options.revocation.introspection.clientId"))
	}
}

// judgeAnswer checks the claims of an introspection response, and takes the identity from good ones.
func (p *Provider) judgeAnswer(claims token.Claims, j *judgement) {
	if j.Verdict = p.verifier.CheckClaims(claims, j.Trace); j.Kind == verdict.Accept {
		p.identify(claims, j)
	}
}

// identify takes from the claims of a good token what is to be known of the client.
func (p *Provider) identify(claims token.Claims, j *judgement) {
	j.claims = claims
	j.LogID = claims.ID(j.token)
	j.Issuer, j.Subject = claims.Text("iss"), p.subject(claims)
	if refused := p.refuseForeign(j); refused != nil {
		j.Verdict = *refused
		return
	}
	if j.Issuer == "" {
		j.Issuer = p.origin()
	}
	p.setDeadlines(claims, j)
	mapper := p.mapper
	if j.manner == renewal {
		mapper = mapper.Fixed()
	}
	j.Identity, j.Verdict = mapper.Map(claims, j.login.Connect, j.Bearer(), j.Trace)
	if j.Kind == verdict.Accept && p.rights != nil {
		j.Rights, j.Verdict = p.rights.Compile(claims, j.who(), j.Trace)
	}
}

// who is the client under the names that it is to have.
func (j *judgement) who() rights.Who {
	who := rights.Who{ClientID: j.login.ClientID}
	for _, name := range []*string{j.login.Username, j.Identity.Username} {
		if name != nil {
			who.Username = *name
		}
	}
	if j.Identity.ClientID != nil {
		who.ClientID = *j.Identity.ClientID
	}
	return who
}

// refuseForeign refuses an issuer that another provider claims. The choice among the providers has seen to it for tokens that
// can be read; the answer about an opaque one says for the first time whose it is.
func (p *Provider) refuseForeign(j *judgement) *verdict.Verdict {
	if j.login.ClaimedBy == nil || j.Issuer == "" {
		return nil
	}
	other := j.login.ClaimedBy(j.Issuer, p)
	if other == "" {
		return nil
	}
	v := j.Trace.FailWith(verdict.Refuse(verdict.WrongIssuer, "iss is %s, which belongs to provider %s", verdict.Quote(j.Issuer), other),
		"iss", "one that no other provider claims", verdict.Quote(j.Issuer))
	return &v
}

// setDeadlines notes until when the token counts.
func (p *Provider) setDeadlines(claims token.Claims, j *judgement) {
	exp, has := claims.Expiry()
	if !has {
		return
	}
	j.Expiry = exp
	common := p.cfg.Common
	if common.ValidateExpiration {
		j.GoodUntil = exp.Add(common.Leeway)
	}
	if common.KickExpired {
		j.LeaveAt = exp.Add(common.Leeway)
	}
}

// subject is sub, or the name that is mapped if there is none.
func (p *Provider) subject(claims token.Claims) string {
	subject, common := claims.Text("sub"), p.cfg.Common
	if subject == "" && common.MatchUsername {
		subject = identity.Name(common.UsernameTemplate, common.UsernameClaim, claims)
	}
	if subject == "" && common.MatchClientID {
		subject = identity.Name(common.ClientIDTemplate, common.ClientIDClaim, claims)
	}
	return subject
}

// Recheck asks about the token of a client that is connected, whatever is remembered of it. The verdict is Accept, Deny
// with Revoked, or Deny with another reason if nothing was learnt. In mode introspection rights come with Accept, for the client under
// the names that it has: they go in the place of those before, and allow nothing if the answer's can't be read. Nil: there is nothing new
// to be said of them.
func (p *Provider) Recheck(ctx context.Context, bearer string, expires time.Time, who rights.Who) (v verdict.Verdict, held *rights.Rights) {
	defer guard.Catch(denyOn(&v))
	if p.checker == nil {
		return verdict.Refuse(verdict.ProviderUnavailable, "there is no endpoint to ask any more"), nil
	}
	slot, err := p.checker.Acquire(bearer, expires)
	if err != nil {
		return verdict.Refuse(verdict.ServerBusy, "%s", err), nil
	}
	claims, v := p.checker.Judge(slot.Ask(ctx), nil)
	if v.Kind != verdict.Accept || p.rights == nil || !p.Opaque() {
		return v, nil
	}
	held, read := p.rights.Compile(token.NewClaims(claims), who, nil)
	if read.Kind != verdict.Accept {
		v.Note, held = read.String(), new(rights.Rights)
	}
	return v, held
}
