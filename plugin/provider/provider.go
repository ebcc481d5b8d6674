// Package provider is one identity provider of jwt.json, as a whole: its keys, the rules that its tokens obey, what it has
// said of them, and what a session that it has admitted depends on. Nothing of one provider ever serves another.
//
// Which provider a token belongs to is the affair of package chain.
package provider

import (
	"context"
	"errors"
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
	"go-jwt-auth/plugin/rights"
	"go-jwt-auth/plugin/token"
)

// Options are what a Provider needs from the house.
type Options struct {
	Now func() time.Time
	// Report takes what the operator should know and that no login is refused for, from any goroutine.
	Report func(event.Note)
	// Requested takes each request to the provider, from any goroutine; nil: nobody wants to know.
	Requested func(event.Request)
	// Delays says that the broker lets a login wait without waiting itself (Mosquitto 2.1). Then Begin never waits.
	Delays bool
	// KeepsClientIDs says that the broker can't change a client id (Mosquitto 2.0).
	KeepsClientIDs bool
	// Dial makes the connections to endpoints; nil: net does.
	Dial endpoint.Dial
}

// ID says which provider a session belongs to. It outlives a reload: a provider is the same if its name and its issuers are.
// The one of a file without names is always the same; what it has learnt has guards of its own (Endpoint, Inherit).
type ID string

// Name is the provider's in the file; empty if it has none. It is what config.Provider.ID begins with, up to the list of issuers.
func (id ID) Name() string {
	name, _, _ := strings.Cut(string(id), "[")
	return name
}

// Provider judges the tokens of one identity provider. Safe for concurrent use.
type Provider struct {
	cfg       *config.Provider
	id        ID
	options   Options
	client    *endpoint.Client
	discovery *discovery.Provider // nil but in mode oidc
	keys      keyset.Source       // nil in mode introspection
	verifier  *token.Verifier
	// lastGood verifies by the keys that were there last, whatever their age.
	lastGood *token.Verifier
	mapper   identity.Mapper
	rights   *rights.Compiler    // nil if the configuration has no rights from tokens
	checker  *revocation.Checker // nil if revocation is not configured
	// open counts what Begin has left open, and what Hold holds.
	open sync.WaitGroup
}

// New builds a provider. It reads nothing from the network; see Probe.
func New(cfg *config.Provider, o Options) (*Provider, error) {
	client, err := endpoint.New(cfg)
	if err != nil {
		return nil, err
	}
	if o.Dial != nil {
		client.DialBy(o.Dial)
	}
	if cfg.Mode == config.ModeIntrospection && cfg.Revocation == nil {
		return nil, errors.New(cfg.Path.Key("options.revocation") + ": must be there in mode introspection")
	}
	report := o.Report
	o.Report = func(n event.Note) { report(n.Of(cfg.Name)) }
	if requested := o.Requested; requested != nil {
		o.Requested = func(r event.Request) {
			r.Provider = cfg.Name
			requested(r)
		}
	}
	p := &Provider{cfg: cfg, id: ID(cfg.ID()), options: o, client: client, mapper: identity.New(cfg, o.KeepsClientIDs)}
	if cfg.Authorization != nil {
		p.rights = rights.New(cfg)
	}
	if cfg.Mode == config.ModeOIDC {
		p.discovery = discovery.New(cfg, client, o.Now)
	}
	if cfg.Mode != config.ModeIntrospection {
		if p.keys, err = keyset.New(cfg, keyset.Options{
			Client: client, Now: o.Now, Blocks: !o.Delays, Locate: p.locateJWKS, Report: o.Report, Requested: o.Requested,
		}); err != nil {
			return nil, err
		}
	}
	p.verifier = token.New(cfg, p.keys, o.Now)
	if p.keys != nil {
		p.lastGood = p.verifier.With(keyset.LastGood(p.keys))
	}
	if cfg.Revocation != nil {
		p.checker, err = revocation.New(cfg.Revocation, revocation.Options{
			Path: cfg.Path, Client: client, Locate: p.locateIntrospection, Issuer: cfg.SoleIssuer(), Now: o.Now, Report: o.Report, Requested: o.Requested,
		})
	}
	return p, err
}

// Condition is how a provider stands.
type Condition struct {
	// Keys are those of its tokens; Opaque: it needs none.
	Keys   keyset.Condition
	Opaque bool
	// Revocation is how it stands with its endpoint; nil: it has none.
	Revocation *revocation.Condition
}

// Condition is that of now. It waits for nothing.
func (p *Provider) Condition() Condition {
	c := Condition{Keys: keyset.ConditionOf(p.keys), Opaque: p.Opaque()}
	if p.checker != nil {
		now := p.checker.Condition()
		c.Revocation = &now
	}
	return c
}

// ID identifies the provider, across reloads as well.
func (p *Provider) ID() ID { return p.id }

// Name is the provider's in the file; empty if the file holds this one without a name.
func (p *Provider) Name() string { return p.cfg.Name }

// Config is what the provider was built for.
func (p *Provider) Config() *config.Provider { return p.cfg }

// Key is the path of a key of this provider in jwt.json, such as "$.providers[1].options.common.audience".
func (p *Provider) Key(name string) string { return p.cfg.Path.Key(name) }

// Opaque tells whether tokens are judged by the introspection endpoint alone (mode introspection).
func (p *Provider) Opaque() bool { return p.cfg.Mode == config.ModeIntrospection }

// Hold keeps a provider open beyond Retire, for a Recheck that has begun, until release is called.
func (p *Provider) Hold() (release func()) {
	p.open.Add(1)
	return p.open.Done
}

// Retire lets the logins that have begun come to their end, and then closes the provider. Begin must not be called any more.
func (p *Provider) Retire() {
	go func() {
		p.open.Wait()
		p.Close()
	}()
}

// Close ends what runs in the background; logins that are open are refused.
func (p *Provider) Close() {
	if p.keys != nil {
		p.keys.Close()
	}
	if p.checker != nil {
		p.checker.Close()
	}
	p.client.Close()
}

// RefreshAt is when Refresh should be called next, zero: never. Refresh reads the keys again in the background.
func (p *Provider) RefreshAt() time.Time {
	return keyset.RefreshAt(p.keys)
}

// Refresh begins to read again what will soon be too old.
func (p *Provider) Refresh() {
	keyset.Refresh(p.keys)
}

// ShareWaits says how many providers there are: where a login that waits for keys holds up all others, each has its part of the
// time for that.
func (p *Provider) ShareWaits(providers int) {
	keyset.ShareWaits(p.keys, providers)
}

// Endpoint identifies what says whether tokens are active, as the configuration has it; empty: nothing does. Tokens that one
// has admitted are not to be shown to another. It is for comparing: ShownEndpoint is for the log.
func (p *Provider) Endpoint() string {
	if p.checker == nil {
		return ""
	}
	return p.checker.Endpoint()
}

// ShownEndpoint names it in the log.
func (p *Provider) ShownEndpoint() string {
	switch r := p.cfg.Revocation; {
	case r == nil:
		return "no endpoint"
	case r.Plain != nil:
		return "the revocation endpoint " + endpoint.Redact(r.Plain.URI)
	case r.Introspection.URI != "":
		return "the introspection endpoint " + endpoint.Redact(r.Introspection.URI)
	default:
		return "the introspection endpoint of " + p.cfg.OIDC.Issuer
	}
}

// origin is the provider, as the configuration names it.
func (p *Provider) origin() string {
	switch cfg := p.cfg; {
	case cfg.SoleIssuer() != "":
		return cfg.SoleIssuer()
	case cfg.Mode == config.ModeOIDC:
		return cfg.OIDC.Issuer
	case cfg.Mode == config.ModeIntrospection:
		return p.Endpoint()
	default:
		return cfg.JWKS.URI + cfg.JWKS.FilePath
	}
}

func (p *Provider) locateJWKS(ctx context.Context) (string, error) {
	doc, err := p.discovery.Document(ctx)
	return doc.JWKSURI, err
}

// locateIntrospection is asked if the configuration has no address, that is in mode oidc alone.
func (p *Provider) locateIntrospection(ctx context.Context) (string, error) {
	return p.discovery.IntrospectionURI(ctx)
}
