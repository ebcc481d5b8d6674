// Package chain is the whole way from a CONNECT to a verdict: it finds the token, chooses the provider that answers for it,
// and has that begin. The plugin and the command-line tool run this same chain.
package chain

import (
	"context"
	"slices"
	"time"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

// Chain judges logins by one jwt.json. Safe for concurrent use.
type Chain struct {
	file      *config.Config
	providers []*provider.Provider
	// kept are those of them that another chain has had before, and how this file has them.
	kept   map[*provider.Provider]*config.Provider
	choice *choice
	// claimedBy is the choice's, made once; nil for a file without names.
	claimedBy func(issuer string, other *provider.Provider) string
}

// New builds the chain for a file. It reads nothing from the network; see Probe. Of the chain that it is to replace, if any, it
// keeps each provider that has a name and has not changed, with all that this one has. Either the other is retired, or this one
// discarded.
func New(file *config.Config, replaces *Chain, o provider.Options) (*Chain, error) {
	c := &Chain{file: file, kept: map[*provider.Provider]*config.Provider{}}
	for _, cfg := range file.Providers {
		p := replaces.unchanged(cfg)
		if p != nil {
			c.kept[p] = cfg
		} else {
			var err error
			if p, err = provider.New(cfg, o); err != nil {
				c.Discard()
				return nil, err
			}
			p.ShareWaits(len(file.Providers))
		}
		c.providers = append(c.providers, p)
	}
	c.choice = newChoice(c.providers)
	if c.choice.only == nil {
		c.claimedBy = c.choice.claimedBy
	}
	return c, nil
}

// unchanged is the provider that was built for the same, or nil.
func (c *Chain) unchanged(cfg *config.Provider) *provider.Provider {
	if c == nil || cfg.Name == "" {
		return nil
	}
	at := slices.IndexFunc(c.providers, func(p *provider.Provider) bool { return p.Config().Equal(cfg) })
	if at < 0 {
		return nil
	}
	return c.providers[at]
}

// Config is what the chain was built for.
func (c *Chain) Config() *config.Config { return c.file }

// Providers are those of the file, in its order.
func (c *Chain) Providers() []*provider.Provider { return c.providers }

// Fresh are those of them that no chain has had before.
func (c *Chain) Fresh() []*provider.Provider {
	return slices.DeleteFunc(slices.Clone(c.providers), func(p *provider.Provider) bool { return c.kept[p] != nil })
}

// Provider is the one with this id, or nil.
func (c *Chain) Provider(id provider.ID) *provider.Provider {
	at := slices.IndexFunc(c.providers, func(p *provider.Provider) bool { return p.ID() == id })
	if at < 0 {
		return nil
	}
	return c.providers[at]
}

// Begin judges a login by what is known here and now; see provider.Begin.
func (c *Chain) Begin(ctx context.Context, connect broker.Connect) (provider.Result, *provider.Open) {
	return c.begin(ctx, connect, nil)
}

func (c *Chain) begin(ctx context.Context, connect broker.Connect, trace *verdict.Trace) (provider.Result, *provider.Open) {
	chosen, login, v := c.find(connect, trace)
	if chosen == nil {
		return provider.NewResult(login, v), nil
	}
	return chosen.Begin(ctx, login)
}

// BeginAtOnce judges a login by enhanced authentication, with the token that was its data; see provider.BeginAtOnce. The verdict is
// Accept, Deny or Retry.
func (c *Chain) BeginAtOnce(connect broker.Connect, text string) (provider.Result, *provider.Open) {
	chosen, login, v := c.findIn(text, connect)
	if chosen == nil {
		return provider.NewResult(login, v), nil
	}
	return chosen.BeginAtOnce(login)
}

// BeginRenewal judges a token that a client shows which by has let in, under the names that it has now; see provider.BeginRenewal.
// The verdict is Accept, Deny or Pending.
func (c *Chain) BeginRenewal(client broker.Connect, text string, by provider.ID) (provider.Result, *provider.Open) {
	chosen, login, v := c.findIn(text, client)
	switch {
	case chosen == nil:
	case chosen.ID() != by:
		v = verdict.Refuse(verdict.IdentityMismatch, "it is a token of %s, and the client was let in by %s", called(chosen.ID()), called(by))
	default:
		return chosen.BeginRenewal(login)
	}
	return provider.NewResult(login, v), nil
}

// called names a provider in a message.
func called(id provider.ID) string {
	if id.Name() == "" {
		return "a provider without name"
	}
	return "provider " + id.Name()
}

// Check is Begin, and then all that it left open. The result has a trace.
func (c *Chain) Check(ctx context.Context, connect broker.Connect) provider.Result {
	result, open := c.begin(ctx, connect, new(verdict.Trace))
	for open != nil {
		result, open = open.Finish(ctx)
	}
	return result
}

// FromMemory judges a login by what is known here and now, and neither waits nor asks; see provider.FromMemory. The verdict is
// Accept, Deny, Defer or Retry.
func (c *Chain) FromMemory(connect broker.Connect) provider.Result {
	chosen, login, v := c.find(connect, nil)
	if chosen == nil {
		return provider.NewResult(login, v)
	}
	return chosen.FromMemory(login)
}

// Defers tells whether Begin would leave the login to others. That takes no look at a signature.
func (c *Chain) Defers(connect broker.Connect) bool {
	chosen, _, v := c.find(connect, nil)
	return chosen == nil && v.Kind == verdict.Defer
}

// Inherit gives a chain that is about to come into force what the providers of the one before have learnt, each to the
// same of its own; see provider.Inherit. It is to be called once, before the first login, and waits for nothing.
func (c *Chain) Inherit(from *Chain) {
	for _, p := range c.providers {
		switch before := from.Provider(p.ID()); {
		case c.kept[p] != nil:
			p.Config().Path.MoveTo(c.kept[p].Path)
			p.ShareWaits(len(c.providers))
		case before != nil:
			p.Inherit(before)
		}
	}
}

// Retire lets the logins that have begun come to their end, and then closes what next has not kept. Begin must not be called
// any more.
func (c *Chain) Retire(next *Chain) {
	for _, p := range c.providers {
		if next.kept[p] == nil {
			p.Retire()
		}
	}
}

// Discard closes a chain that does not come into force, but for what it has kept of another.
func (c *Chain) Discard() {
	for _, p := range c.providers {
		if c.kept[p] == nil {
			p.Close()
		}
	}
}

// Close ends what runs in the background; logins that are open are refused.
func (c *Chain) Close() {
	for _, p := range c.providers {
		p.Close()
	}
}

// RefreshAt is when Refresh should be called next, zero: never. Refresh reads keys again in the background.
func (c *Chain) RefreshAt() time.Time {
	var first time.Time
	for _, p := range c.providers {
		if at := p.RefreshAt(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// Refresh begins to read again what will soon be too old.
func (c *Chain) Refresh() {
	for _, p := range c.providers {
		p.Refresh()
	}
}
