package plugin

import (
	"errors"
	"fmt"

	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
)

// candidate is a configuration that is about to come into force, with all there is to say about it.
type candidate struct {
	chain *chain.Chain
	notes []event.Note
}

// prepare reads the file and builds its chain; where the file asks for it, the endpoints are reached and the keys read.
// It runs on the broker's thread at start and in the background for a reload. The notes count even with an error.
func (p *Plugin) prepare() (candidate, error) {
	var c candidate
	cfg, problems := config.Load(p.file)
	for _, line := range problems.Warnings().Lines(p.file) {
		c.notes = append(c.notes, event.Note{Level: event.Warning, Text: line})
	}
	if errs := problems.Errors(); len(errs) > 0 {
		var lines []error
		for _, line := range errs.Lines(p.file) {
			lines = append(lines, errors.New(line))
		}
		return c, errors.Join(lines...)
	}
	built, err := chain.New(cfg, chain.Options{Now: p.now, Report: p.report, Delays: p.broker.CanDelay(), Dial: p.dial})
	if err != nil {
		return c, fmt.Errorf("%s: %w", p.file, err)
	}
	if !cfg.Providers[0].LazyConnect {
		found, err := built.Probe(p.ctx)
		c.notes = append(c.notes, found...)
		if err != nil {
			built.Close()
			return c, prefixEach(p.file+": ", err)
		}
	}
	c.chain = built
	return c, nil
}

// prefixEach names the file before each of the errors that err joins.
func prefixEach(prefix string, err error) error {
	var all []error
	for _, each := range parts(err) {
		all = append(all, fmt.Errorf("%s%w", prefix, each))
	}
	return errors.Join(all...)
}

// adopt puts a candidate into force and logs what was found.
func (p *Plugin) adopt(c candidate, how string) {
	before := p.chain
	p.chain = c.chain
	if before != nil {
		p.chain.Inherit(before)
		p.leaveBehind(before)
		before.Retire() // logins that it has begun end by it
	}
	cfg := p.chain.Config()
	p.log(event.Info, "version %s %s %s: %s", Version, how, p.file, Describe(cfg))
	for _, text := range Advise(cfg, Abilities{Delays: p.broker.CanDelay(), SetsClientID: p.broker.CanSetClientID()}) {
		c.notes = append(c.notes, event.Note{Level: event.Warning, Text: text})
	}
	p.logNotes(c.notes)
	p.tryOut(p.chain)
}

// tryOut does in the background what start has not done yet, and says what it has found: it reaches the endpoints where
// lazyConnect is true, and asks the introspection endpoint about a made-up token.
func (p *Plugin) tryOut(built *chain.Chain) {
	p.background(func() func() {
		var found []event.Note
		var err error
		if built.Config().Providers[0].LazyConnect {
			found, err = built.Probe(p.ctx)
		}
		if err == nil {
			found = append(found, built.TryCredentials(p.ctx)...)
		}
		if len(found) == 0 && err == nil {
			return nil
		}
		return func() {
			if p.chain != built {
				return // what takes its place is tried out, too
			}
			p.logNotes(found)
			if err != nil {
				p.logEach(event.Warning, prefixEach(p.file+": ", err), "; $.options.lazyConnect is true, so logins will try again")
			}
		}
	})
}

// Reload reads jwt.json again. A good file takes effect for new connections, a bad one is reported and the old stays.
// The endpoints are reached in the background. Right after this the broker asks for every client again.
func (p *Plugin) Reload() {
	if p.ticks.warned { // a Reload may come before the first Tick
		p.withoutTicks()
	}
	p.openSweep()
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
				p.logNotes(c.notes)
				p.logEach(event.Error, err, "")
				p.log(event.Error, "%s was not reloaded: the configuration from before stays in force", p.file)
			default:
				p.adopt(c, "reloaded")
			}
		}
	})
}

// background runs do on a goroutine and the function it returns, if any, on the broker's thread. A panic in do is logged,
// since left alone it would take the broker down.
func (p *Plugin) background(do func() func()) {
	go func() {
		defer func() {
			if fault := recover(); fault != nil {
				p.queue.post(func() { p.log(event.Error, "fault in the background: %v", fault) })
			}
		}()
		if then := do(); then != nil {
			p.queue.post(then)
		}
	}()
}
