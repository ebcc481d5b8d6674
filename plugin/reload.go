package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go-jwt-auth/plugin/audit"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/metrics"
	"go-jwt-auth/plugin/provider"
)

// candidate is a configuration that is about to come into force, with all there is to say about it.
type candidate struct {
	chain *chain.Chain
	trail *audit.Trail
	meter *metrics.Meter
	notes []event.Note
}

// discard closes what does not come into force.
func (p *Plugin) discard(c candidate) {
	c.trail.Close(0)
	p.table.servers.Close(c.meter)
	c.chain.Discard()
}

// prepare reads the file and builds its chain; if the file asks for it, the endpoints are reached and the keys read.
// It runs on the broker's thread at start and in the background for a reload, until ctx ends. The notes count even with an error.
func (p *Plugin) prepare(ctx context.Context, inForce *chain.Chain) (candidate, error) {
	var c candidate
	cfg, problems := config.Load(p.file)
	for _, line := range problems.Warnings().Lines(p.file) {
		c.notes = append(c.notes, event.Warn(line))
	}
	if errs := problems.Errors(); len(errs) > 0 {
		var lines []error
		for _, line := range errs.Lines(p.file) {
			lines = append(lines, errors.New(line))
		}
		return c, errors.Join(lines...)
	}
	built, err := chain.New(cfg, inForce, provider.Options{
		Now: p.now, Report: p.report, Delays: p.broker.CanDelay(), KeepsClientIDs: !p.broker.CanSetClientID(), Dial: p.dial, Requested: p.requested,
	})
	if err != nil {
		return c, fmt.Errorf("%s: %w", p.file, err)
	}
	c.chain = built
	if err := p.openSinks(&c, cfg); err != nil {
		p.discard(c)
		return candidate{notes: c.notes}, err
	}
	if inForce == nil {
		p.meter.Store(c.meter) // it counts the first requests, too
	}
	found, err := built.Probe(ctx)
	c.notes = append(c.notes, found...)
	if err != nil {
		p.discard(c)
		return candidate{notes: c.notes}, p.inFile(err)
	}
	return c, nil
}

// inFile names the file before each of the errors that err joins.
func (p *Plugin) inFile(err error) error {
	return chain.WrapEach(err, func(each error) error { return fmt.Errorf("%s: %w", p.file, each) })
}

// adopt puts a candidate into force and logs what was found.
func (p *Plugin) adopt(c candidate, how string) {
	before := p.chain
	p.chain = c.chain
	p.switchSinks(c)
	if before != nil {
		p.chain.Inherit(before)
		p.leaveBehind(before)
		before.Retire(p.chain) // logins that it has begun end by it
	}
	cfg := p.chain.Config()
	p.log(event.Info, "version %s %s %s: %s", Version, how, p.file, Describe(cfg))
	p.recordFile(before != nil, event.Done, Describe(cfg))
	for _, text := range Advise(cfg, Abilities{Delays: p.broker.CanDelay(), SetsClientID: p.broker.CanSetClientID()}) {
		c.notes = append(c.notes, event.Warn(text))
	}
	p.register()
	p.logNotes(c.notes)
	for _, by := range p.chain.Fresh() {
		p.tryOut(by)
	}
}

// joined is an error in one line, which may join several.
func joined(err error) string {
	var all []string
	for _, each := range chain.Parts(err) {
		all = append(all, each.Error())
	}
	return strings.Join(all, "; ")
}

// leaveBehind says what becomes of clients that were admitted by an endpoint which the new file does not name.
func (p *Plugin) leaveBehind(before *chain.Chain) {
	for _, old := range before.Providers() {
		n := p.sessions.Rechecks(old.ID())
		if current := p.chain.Provider(old.ID()); n > 0 && (current == nil || current.Endpoint() != old.Endpoint()) {
			p.log(event.Notice, "%d connected clients were admitted by %s, which %s no longer names: they are not asked about again, and leave "+
				"when their tokens expire; those whose tokens never do are disconnected", n, old.ShownEndpoint(), p.file)
		}
	}
}

// tryOut does in the background what start has not done yet for a provider, and says what it has found; see chain.TryOut.
func (p *Plugin) tryOut(by *provider.Provider) {
	p.loop.Background(func() func() {
		found, err := chain.TryOut(p.loop.Context(), by)
		if len(found) == 0 && err == nil {
			return nil
		}
		return func() {
			if p.chain.Provider(by.ID()) != by {
				return // what takes its place is tried out, too
			}
			p.logNotes(found)
			if err != nil {
				p.logEach(event.Warning, p.inFile(err))
			}
		}
	})
}

// reload has the file read in the background. A reload that is still under way is given up: its endpoints may hang for long.
func (p *Plugin) reload() {
	p.reloads++
	if p.giveUp != nil {
		p.giveUp()
	}
	var ctx context.Context
	ctx, p.giveUp = context.WithCancel(p.loop.Context())
	number, inForce := p.reloads, p.chain
	p.loop.Background(func() func() {
		c, err := p.prepare(ctx, inForce)
		return func() {
			if number == p.reloads && err == nil {
				if err = p.checkACL(c.chain.Config()); err != nil {
					c.chain.Discard()
				}
			}
			switch {
			case number != p.reloads && c.chain != nil:
				p.discard(c)
			case number != p.reloads:
			case err != nil:
				p.logNotes(c.notes)
				p.logEach(event.Error, err)
				p.log(event.Error, "%s was not reloaded: the configuration from before stays in force", p.file)
				p.recordFile(true, event.Failed, joined(err))
			default:
				p.adopt(c, "reloaded")
			}
		}
	})
}
