package plugin

import (
	"fmt"
	"strings"
	"time"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
)

// candidate is a configuration that is about to come into force, with all there is to say about it.
type candidate struct {
	chain    *chain.Chain
	findings []chain.Finding
}

// prepare reads the file and builds its chain; where the file asks for it, the endpoints are reached and the keys read.
// It runs on the broker's thread at start and in the background for a reload. The findings count even with an error.
func (p *Plugin) prepare() (candidate, error) {
	var c candidate
	cfg, problems := config.Load(p.file)
	for _, line := range problems.Warnings().Lines(p.file) {
		c.findings = append(c.findings, chain.Finding{Warning: true, Text: line})
	}
	if errs := problems.Errors(); len(errs) > 0 {
		return c, fmt.Errorf("%s", strings.Join(errs.Lines(p.file), "\n"))
	}
	built, err := chain.New(cfg, chain.Options{Now: p.now, Report: p.report, Delays: p.broker.CanDelay()})
	if err != nil {
		return c, fmt.Errorf("%s: %w", p.file, err)
	}
	if !cfg.LazyConnect {
		found, err := built.Probe(p.ctx)
		c.findings = append(c.findings, found...)
		if err != nil {
			built.Close()
			return c, prefixLines(p.file+": ", err)
		}
	}
	c.chain = built
	return c, nil
}

// prefixLines names the file on each line of an error that joins several.
func prefixLines(prefix string, err error) error {
	return fmt.Errorf("%s%s", prefix, strings.ReplaceAll(err.Error(), "\n", "\n"+prefix))
}

// adopt puts a candidate into force and logs what was found.
func (p *Plugin) adopt(c candidate, how string) {
	if p.chain != nil {
		p.chain.Retire() // logins that it has begun end by it
	}
	p.chain = c.chain
	cfg := p.chain.Config()
	p.log(Info, "version %s %s %s: %s", Version, how, p.file, describe(cfg))
	p.logFindings(append(c.findings, p.advice(cfg)...))
	if cfg.LazyConnect {
		built := p.chain
		p.background(func() func() {
			found, err := built.Probe(p.ctx)
			return func() {
				p.logFindings(found)
				if err != nil && p.chain == built {
					p.logLines(Warning, prefixLines(p.file+": ", err), "; $.options.lazyConnect is true, so logins will try again")
				}
			}
		})
	}
}

// sweepTime is more than enough for the broker to ask for everybody once: 100,000 clients take it less than a second.
const sweepTime = 5 * time.Second

// Reload reads jwt.json again. A good file takes effect for new connections, a bad one is reported and the old stays.
// The endpoints are reached in the background. Right after this the broker asks for every client again.
func (p *Plugin) Reload() {
	p.sessions.OpenSweep()
	p.sweepEnds = p.now().Add(sweepTime)
	p.reloads++
	number := p.reloads
	p.background(func() func() {
		c, err := p.prepare()
		return func() {
			switch {
			case number != p.reloads && c.chain != nil:
				c.chain.Close()
			case number != p.reloads:
			case err != nil:
				p.logFindings(c.findings)
				p.logLines(Error, err, "")
				p.log(Error, "%s was not reloaded: the configuration from before stays in force", p.file)
			default:
				p.adopt(c, "reloaded")
			}
		}
	})
	p.withoutTicks()
}

// background runs do on a goroutine and the function it returns, if any, on the broker's thread. A panic in do is logged,
// since left alone it would take the broker down.
func (p *Plugin) background(do func() func()) {
	go func() {
		defer func() {
			if fault := recover(); fault != nil {
				p.queue.post(func() { p.log(Error, "fault in the background: %v", fault) })
			}
		}()
		if then := do(); then != nil {
			p.queue.post(then)
		}
	}()
}

// describe is the configuration in one line: mode, algorithms, issuer.
func describe(cfg *config.Config) string {
	issuer := "any issuer"
	if cfg.Common.Issuer != "" {
		issuer = "issuer " + cfg.Common.Issuer
	}
	return fmt.Sprintf("mode %s, algorithm %s, %s", cfg.Mode, strings.Join(cfg.Algorithms, ", "), issuer)
}

// advice says what a configuration means that its author may not have meant.
func (p *Plugin) advice(cfg *config.Config) []chain.Finding {
	var all []chain.Finding
	warn := func(is bool, text string) {
		if is {
			all = append(all, chain.Finding{Warning: true, Text: text})
		}
	}
	common := cfg.Common
	warn(!common.MatchUsername && !common.MatchClientID,
		"$.options.common.matchUsernameToSubject is false: whoever has a valid token may connect with any username, and has that user's rights")
	warn(!common.ValidateExpiration,
		"$.options.common.validateExpiration is false: expired tokens are accepted, and nobody is disconnected when a token expires")
	warn(common.MatchClientID && !p.broker.CanSetClientID() && common.OnMismatch == config.MismatchRewrite,
		"$.options.common.matchClientIdToSubject is true, but this Mosquitto can't change a client id (2.1 can): clients with another id than their subject are refused")
	warn(common.AllowWeakKeys,
		"$.options.common.allowWeakKeys is true: keys that are too short to be safe are accepted")
	if r := cfg.Revocation; r != nil && r.Check == config.CheckBeforeConnect {
		warn(!p.broker.CanDelay(), fmt.Sprintf("$.options.revocation.check is %q, and this Mosquitto waits with all its clients while the identity provider is asked, "+
			"up to %s (2.1 does not wait): %q and %q never wait", r.Check, r.Timeout, config.CheckAfterConnect, config.CheckOnRetry))
		warn(p.broker.CanDelay() && cfg.Mode == config.ModeIntrospection, "$.mode is \"introspection\": on this Mosquitto a login whose answer is not in the cache "+
			"is closed without CONNACK, and the client's next attempt is answered, if it comes within $.options.revocation.retryWindowMs")
	}
	if cfg.JWKS.URI != "" {
		warn(!cfg.JWKS.Cache.Enabled,
			"$.options.modes.jwks.cache.enabled is false: every login reads the key set from the identity provider")
	}
	return all
}
