// Package discovery reads where a provider has its endpoints (OpenID Connect Discovery 1.0 §4, RFC 8414).
package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/verdict"

	"golang.org/x/sync/singleflight"
)

// Document is the part of a provider's metadata that is of use here. Only JWKSURI is never empty.
type Document struct {
	JWKSURI          string
	IntrospectionURI string
	// TokenURI and DeviceAuthorizationURI (RFC 8628 §4) are for the command-line tool: the plugin gets no tokens.
	TokenURI, DeviceAuthorizationURI string
}

// fresh is how long a document serves. Providers move their endpoints seldom, and announce it long before. After a failed
// reading the next one waits for rest.
const (
	fresh = time.Hour
	rest  = time.Second
)

// Provider is an issuer whose document is read when first needed, and again after an hour. Safe for concurrent use.
type Provider struct {
	issuer  string
	timeout time.Duration
	client  *endpoint.Client
	now     func() time.Time
	reads   singleflight.Group

	mu     sync.Mutex // guards all below
	doc    Document
	read   time.Time
	failed time.Time
	err    error
}

// New returns the Provider with this issuer. It reads nothing yet.
func New(issuer string, timeout time.Duration, client *endpoint.Client, now func() time.Time) *Provider {
	return &Provider{issuer: issuer, timeout: timeout, client: client, now: now}
}

// URI is where the document of an issuer stands.
func URI(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// URI is where this provider's document stands.
func (p *Provider) URI() string { return URI(p.issuer) }

// Document returns the document. One that was read before serves on at once, and is read again in the background where
// that is due; else the first reading is waited for, until ctx ends.
func (p *Provider) Document(ctx context.Context) (Document, error) {
	doc, due, err := p.memory()
	if !due {
		return doc, err
	}
	// For all who wait, so on nobody's own context.
	reading := p.reads.DoChan("", func() (any, error) { return p.refresh(context.WithoutCancel(ctx)) })
	if err == nil {
		return doc, nil
	}
	select {
	case result := <-reading:
		return result.Val.(Document), result.Err //nolint:errcheck,forcetypeassert // refresh returns nothing else
	case <-ctx.Done():
		return Document{}, fmt.Errorf("GET %s: no answer yet: %w", p.URI(), ctx.Err())
	}
}

var errUnread = errors.New("it was not read yet")

// memory is what there is without reading: the document, or why there is none; due tells whether to read now.
func (p *Provider) memory() (doc Document, due bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	age := now.Sub(p.failed)
	due = (p.read.IsZero() || now.Sub(p.read) >= fresh) && (p.err == nil || age < 0 || age >= rest)
	switch {
	case !p.read.IsZero():
		return p.doc, due, nil
	case p.err != nil:
		return Document{}, due, p.err
	}
	return Document{}, due, errUnread
}

// refresh reads the document, unless somebody just has, and keeps it, or the failure. It runs on a goroutine of its own,
// where a panic would take the broker down.
func (p *Provider) refresh(ctx context.Context) (doc Document, err error) {
	if doc, due, err := p.memory(); !due {
		return doc, err
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("fault while reading %s: %v", p.URI(), fault)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.err = err; err != nil {
			p.failed = p.now()
			return
		}
		p.doc, p.read = doc, p.now()
	}()
	return p.fetch(ctx)
}

func (p *Provider) fetch(ctx context.Context) (Document, error) {
	answer, err := p.client.Get(ctx, p.URI(), p.timeout)
	if err != nil {
		return Document{}, err
	}
	doc, err := p.parse(answer.Body)
	if err != nil {
		return Document{}, fmt.Errorf("GET %s: %w", p.URI(), err)
	}
	return doc, nil
}

func (p *Provider) parse(body []byte) (Document, error) {
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return Document{}, errors.New("the answer is no discovery document: it is no JSON object")
	}
	text := func(name string) string {
		s, _ := members[name].(string)
		return s
	}
	// OpenID Connect Discovery §4.3: the document of another issuer must not be used.
	if found := text("issuer"); found != p.issuer {
		return Document{}, fmt.Errorf("it is the document of issuer %s, expected exactly %s ($.options.modes.oidc.issuer)",
			verdict.Quote(found), verdict.Quote(p.issuer))
	}
	doc := Document{
		JWKSURI: text("jwks_uri"), IntrospectionURI: text("introspection_endpoint"),
		TokenURI: text("token_endpoint"), DeviceAuthorizationURI: text("device_authorization_endpoint"),
	}
	if err := p.check("jwks_uri", doc.JWKSURI); err != nil {
		return Document{}, err
	}
	for name, uri := range map[string]string{
		"introspection_endpoint": doc.IntrospectionURI, "token_endpoint": doc.TokenURI,
		"device_authorization_endpoint": doc.DeviceAuthorizationURI,
	} {
		if uri == "" {
			continue
		}
		if err := p.check(name, uri); err != nil {
			return Document{}, err
		}
	}
	return doc, nil
}

// check refuses what is no address, and one that would leave TLS behind.
func (p *Provider) check(name, uri string) error {
	u, err := url.Parse(uri)
	switch {
	case uri == "":
		return fmt.Errorf("it names no %s", name)
	case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http"):
		return fmt.Errorf("its %s is %s, expected an http or https address", name, verdict.Quote(uri))
	case u.Scheme == "http" && strings.HasPrefix(p.issuer, "https:"):
		return fmt.Errorf("its %s is %s, expected https as the issuer has", name, verdict.Quote(uri))
	}
	return nil
}
