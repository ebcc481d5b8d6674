// Package discovery reads where a provider has its endpoints (OpenID Connect Discovery 1.0 §4, RFC 8414).
package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/internal/once"
	"go-jwt-auth/plugin/verdict"
)

// Document is the part of a provider's metadata that is of use here. Only JWKSURI is never empty: any other address is
// if the document names none that can be used.
type Document struct {
	JWKSURI          string
	IntrospectionURI string
	// NoIntrospection says why IntrospectionURI is empty.
	NoIntrospection error
	// TokenURI and DeviceAuthorizationURI (RFC 8628 §4) are for the command-line tool: the plugin gets no tokens.
	TokenURI, DeviceAuthorizationURI string
	// TokenAuthMethods are how clients may authenticate at TokenURI; none: the document does not say.
	TokenAuthMethods []string
}

// fresh is how long a document serves. Providers move their endpoints seldom, and announce it long before.
const fresh = time.Hour

// Provider is an issuer whose document is read when first needed, and again after an hour. Safe for concurrent use.
type Provider struct {
	cfg    *config.Provider
	client *endpoint.Client
	now    func() time.Time

	mu    sync.Mutex // guards all below
	fetch once.Fetcher[Document]
	doc   Document  // without JWKSURI: none was read yet
	read  time.Time // zero for one that was inherited, which makes it due
}

// New returns the Provider that cfg names, in mode oidc. It reads nothing yet.
func New(cfg *config.Provider, client *endpoint.Client, now func() time.Time) *Provider {
	p := &Provider{cfg: cfg, client: client.ForKeys(cfg), now: now}
	p.fetch = once.Fetcher[Document]{Lock: &p.mu, Now: now, Get: p.get, Keep: func(doc Document) { p.doc, p.read = doc, now() }}
	return p
}

// URI is where the document of an issuer stands.
func URI(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// URI is where this provider's document stands.
func (p *Provider) URI() string { return URI(p.cfg.OIDC.Issuer) }

// Document returns the document. One that was read before is returned at once, and read again in the background if that is
// due; otherwise the first reading is waited for until ctx ends. After a failed reading there is no other for a second.
func (p *Provider) Document(ctx context.Context) (Document, error) {
	doc, fetch, err := p.memory()
	if doc.JWKSURI != "" || fetch == nil {
		return doc, err
	}
	if !fetch.Wait(ctx) {
		return Document{}, ctx.Err()
	}
	if err := fetch.Err(); err != nil {
		return Document{}, err
	}
	doc, _, _ = p.memory()
	return doc, nil
}

// IntrospectionURI is where the document has the introspection endpoint (RFC 8414 §2), or why it can't be had.
func (p *Provider) IntrospectionURI(ctx context.Context) (string, error) {
	doc, err := p.Document(ctx)
	if err == nil && doc.NoIntrospection != nil {
		err = fmt.Errorf("%s: %w (%s goes before it)", p.URI(), doc.NoIntrospection, p.cfg.Path.Key("options.revocation.introspection.uri"))
	}
	return doc.IntrospectionURI, err
}

// Inherit gives a Provider that has read nothing yet the document of the one in whose place it comes, if that is asked
// for in the same way. It serves until it has been read again, which is due at once.
func (p *Provider) Inherit(from *Provider) {
	if !endpoint.SameKeys(p.cfg, from.cfg) {
		return
	}
	from.mu.Lock()
	doc := from.doc
	from.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doc.JWKSURI == "" {
		p.doc = doc
	}
}

// memory is the document that is there, or why there is none, and the fetch of the next one if it is due.
func (p *Provider) memory() (doc Document, fetch *once.Fetch, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	current := p.doc.JWKSURI != "" && once.Within(now.Sub(p.read), fresh)
	if !current && !p.fetch.Outage.Resting(now) {
		fetch = p.fetch.Join()
	}
	if p.doc.JWKSURI == "" {
		err = p.fetch.Outage.Err
	}
	return p.doc, fetch, err
}

func (p *Provider) get() (Document, error) {
	answer, err := p.client.Get(context.Background(), p.URI(), p.cfg.JWKS.Timeout)
	if err != nil {
		return Document{}, err
	}
	doc, err := p.parse(answer)
	if err != nil {
		return Document{}, fmt.Errorf("GET %s: %w", p.URI(), err)
	}
	return doc, nil
}

// parse looks at the members that are of use and at no other: those may be whatever they like.
func (p *Provider) parse(answer *endpoint.Answer) (Document, error) {
	all, err := jsonvalue.Members(answer.Body)
	switch {
	case errors.Is(err, jsonvalue.ErrNotJSON):
		return Document{}, fmt.Errorf("the answer is no discovery document: %w (%s)", err, answer.Describe())
	case err != nil:
		return Document{}, fmt.Errorf("the answer is no discovery document: %w", err)
	}
	members := members(all)
	// OpenID Connect Discovery §4.3: the document of another issuer must not be used.
	issuer, err := members.text("issuer")
	if err == nil && issuer != p.cfg.OIDC.Issuer {
		err = fmt.Errorf("it is the document of issuer %s, expected exactly %s (%s)%s",
			verdict.Quote(issuer), verdict.Quote(p.cfg.OIDC.Issuer), p.cfg.Path.Key("options.modes.oidc.issuer"), p.wayOut(issuer))
	}
	if err != nil {
		return Document{}, err
	}
	var doc Document
	if doc.JWKSURI = p.cfg.OIDC.JWKSURI; doc.JWKSURI == "" {
		if doc.JWKSURI, err = p.address(members, "jwks_uri"); err != nil {
			return Document{}, err
		}
	}
	doc.IntrospectionURI, doc.NoIntrospection = p.address(members, "introspection_endpoint")
	// An error in one of these matters only to a caller that needs it.
	doc.TokenURI, _ = p.address(members, "token_endpoint")
	doc.DeviceAuthorizationURI, _ = p.address(members, "device_authorization_endpoint")
	doc.TokenAuthMethods = members.texts("token_endpoint_auth_methods_supported")
	return doc, nil
}

// wayOut is for a provider that is reached by another address than the one in its tokens, as inside of a Docker network: the
// document of the one is at the other, with the same path.
func (p *Provider) wayOut(issuer string) string {
	of, err := url.Parse(issuer)
	at, err2 := url.Parse(p.cfg.OIDC.Issuer)
	if err != nil || err2 != nil || of.Host == "" || of.Host == at.Host || strings.TrimSuffix(of.Path, "/") != strings.TrimSuffix(at.Path, "/") {
		return ""
	}
	return "; where the provider is reached at another address than its issuer has, take mode \"jwks\" with that address in " +
		p.cfg.Path.Key("options.modes.jwks.uri") + " and the issuer in " + p.cfg.Path.Key("options.common.issuer")
}

// members are those of a document, unread.
type members map[string][][]byte

// text is a member that has to be a string; empty if it is absent or null.
func (m members) text(name string) (string, error) {
	switch values := m[name]; {
	case len(values) > 1:
		return "", &jsonvalue.DuplicateError{Name: name}
	case len(values) == 0 || string(values[0]) == "null":
		return "", nil
	default:
		text, isText := jsonvalue.Text(values[0])
		if !isText {
			return "", fmt.Errorf("its %s is not a string", name)
		}
		return text, nil
	}
}

// texts are the strings of a member that is a list; what is anything else says nothing.
func (m members) texts(name string) (all []string) {
	if len(m[name]) != 1 {
		return nil
	}
	elements, err := jsonvalue.Elements(m[name][0])
	if err != nil {
		return nil
	}
	for _, element := range elements {
		if text, isText := jsonvalue.Text(element); isText {
			all = append(all, text)
		}
	}
	return all
}

// address is the address that a member has, or an error.
func (p *Provider) address(from members, name string) (string, error) {
	uri, err := from.text(name)
	if err == nil {
		err = p.check(name, uri)
	}
	if err != nil {
		return "", err
	}
	return uri, nil
}

// check refuses what is not an http or https address, and http if the issuer has https.
func (p *Provider) check(name, uri string) error {
	u, err := url.Parse(uri)
	switch {
	case uri == "":
		return fmt.Errorf("it names no %s", name)
	case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http"):
		return fmt.Errorf("its %s is %s, expected an http or https address", name, verdict.Quote(uri))
	case u.Scheme == "http" && strings.HasPrefix(p.cfg.OIDC.Issuer, "https:"):
		return fmt.Errorf("its %s is %s, expected https as the issuer has", name, verdict.Quote(uri))
	}
	return nil
}
