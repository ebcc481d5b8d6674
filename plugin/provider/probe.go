package provider

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/discovery"
	"go-jwt-auth/plugin/endpoint"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/keyset"
	"go-jwt-auth/plugin/verdict"
)

// Report is what Inspect saw of the provider.
type Report struct {
	Endpoints []Endpoint
	// Keys are those that can be used, where KeysRead is true.
	Keys     keyset.Set
	KeysRead bool
	// Faults are the things without which nobody could log in.
	Faults []error
}

// Endpoint is an endpoint that was tried.
type Endpoint struct {
	// What it is, in words; its address as a log may hold it; and where that stands in jwt.json.
	What, URI, Path string
	// Revocation: it says whether a token is active.
	Revocation bool
	// Answer is nil where there was none, and Err says why: to HEAD, or to GET where ByGet is true.
	Answer *endpoint.Answer
	ByGet  bool
	Err    error
	// Doubt is why it may be the wrong address, or empty.
	Doubt string
}

// Inspect reaches every endpoint and reads the keys.
func (p *Provider) Inspect(ctx context.Context) (r Report) {
	endpoints, err := p.endpoints(ctx)
	if err != nil {
		r.Faults = []error{err}
		return r
	}
	for _, e := range endpoints {
		seen := Endpoint{What: e.what, URI: endpoint.Redact(e.uri), Path: e.path, Revocation: e.revocation}
		p.reach(ctx, e, &seen)
		switch {
		case seen.Err != nil:
			r.Faults = append(r.Faults, p.unreachable(e.path, seen.Err, e.uri))
		case doubtful(seen.Answer):
			seen.Doubt = fmt.Sprintf("%s may be the wrong address. %s", e.path, p.wayOut(e.uri))
		}
		r.Endpoints = append(r.Endpoints, seen)
	}
	if len(r.Faults) > 0 || p.keys == nil {
		return r
	}
	set, err := p.keys.Load(ctx)
	if err != nil {
		r.Faults = append(r.Faults, p.unusableKeys(err))
		return r
	}
	r.Keys, r.KeysRead = set, true
	return r
}

// reach asks by HEAD and, where that gets no good answer, by GET: some servers drop or refuse the one and know the other.
func (p *Provider) reach(ctx context.Context, e probed, seen *Endpoint) {
	if seen.Answer, seen.Err = e.client.Head(ctx, e.uri, e.timeout); seen.Err == nil && !doubtful(seen.Answer) {
		return
	}
	answer, err := e.client.Do(ctx, e.timeout, endpoint.Request{Method: http.MethodGet, URI: e.uri})
	if err == nil && (seen.Err != nil || !doubtful(answer)) {
		seen.Answer, seen.ByGet, seen.Err = answer, true, nil
	}
}

// doubtful tells whether an answer may be that of a wrong address. Many endpoints know neither HEAD nor GET, or not without
// credentials, which says nothing.
func doubtful(answer *endpoint.Answer) bool {
	return answer.Status == http.StatusNotFound || answer.Status >= http.StatusInternalServerError
}

// ReadFiles reads a key set that is in a file, and reaches nothing.
func (p *Provider) ReadFiles() error {
	if p.cfg.JWKS.FilePath == "" {
		return nil
	}
	if _, err := p.keys.Load(context.Background()); err != nil {
		return p.unusableKeys(err)
	}
	return nil
}

// Probe is Inspect in words, as $.options.lazyConnect false asks for. It returns what was seen, and an error for each
// thing without which nobody could log in.
func (p *Provider) Probe(ctx context.Context) ([]event.Note, error) {
	r := p.Inspect(ctx)
	var findings []event.Note
	for _, e := range r.Endpoints {
		if e.Err != nil {
			continue
		}
		by := ""
		if e.ByGet {
			by = ", by GET"
		}
		finding := event.Inform(fmt.Sprintf("%s %s: reached (HTTP %d in %s%s)", e.What, e.URI, e.Answer.Status, e.Answer.Took.Round(time.Millisecond), by)).Of(p.Name())
		if e.Doubt != "" {
			finding.Level = event.Warning
			finding.Text += "; " + e.Doubt
		}
		findings = append(findings, finding)
	}
	if r.KeysRead {
		keys := "keys"
		if r.Keys.Len() == 1 {
			keys = "key"
		}
		findings = append(findings, event.Inform(fmt.Sprintf("%d %s from %s (%s)", r.Keys.Len(), keys, p.keys, keyset.DescribeIDs(r.Keys))).Of(p.Name()))
	}
	return findings, errors.Join(r.Faults...)
}

// madeUpID begins the jti of a made-up token, or the token itself where it is opaque: whoever reads the provider's log can tell
// what asked about it.
const madeUpID = "go-jwt-auth-probe-"

// madeUp is a token that nobody has issued, of the kind that the introspection endpoint is used to.
func (p *Provider) madeUp() string {
	id := madeUpID + rand.Text()
	if p.cfg.Mode == config.ModeIntrospection {
		return id
	}
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"`+p.cfg.Algorithms[0]+`","typ":"JWT"}`)) + "." + part([]byte(`{"jti":"`+id+`"}`)) + "." + part([]byte(rand.Text()))
}

// AskOfMadeUp asks the endpoint that says whether a token has been revoked about a made-up one; there must be such an endpoint.
// Nothing remembers the token, and no failure counts. It waits until ctx ends, and for the configured timeout at most. An error
// says why nothing was learnt.
func (p *Provider) AskOfMadeUp(ctx context.Context) (active bool, err error) {
	return p.checker.AskDirectly(ctx, p.madeUp())
}

// TryCredentials asks the introspection endpoint once about a made-up token, and returns what is to be said of its answer: what
// every login would find. A plain endpoint is not asked, as nobody knows what it does with a token.
func (p *Provider) TryCredentials(ctx context.Context) []event.Note {
	if p.checker == nil || p.cfg.Revocation.Plain != nil {
		return nil
	}
	active, err := p.AskOfMadeUp(ctx)
	var status *endpoint.StatusError
	switch {
	case ctx.Err() != nil:
		return nil
	case active:
		return []event.Note{event.Warn(p.Key("options.revocation.introspection") + ": the endpoint says of a made-up token that it is active: it would let in whatever was revoked or forged").Of(p.Name())}
	case err == nil:
		return []event.Note{event.Inform("the introspection endpoint answers as it should: a made-up token is not active").Of(p.Name())}
	case errors.As(err, &status) && status.Status == http.StatusBadRequest:
		// Some answer so to whatever is no token of theirs.
		return []event.Note{event.Inform(fmt.Sprintf("the introspection endpoint was asked about a made-up token, which says nothing of the credentials: %s", err)).Of(p.Name())}
	}
	so := "logins will be refused"
	if p.cfg.Revocation.OnUnavailable == config.UnavailableAllow {
		so = "logins will not be asked about, and revoked tokens let in"
	}
	text := fmt.Sprintf("%s: the endpoint gives no usable answer about a made-up token, and so %s: %s", p.Key("options.revocation.introspection"), so, err)
	if status != nil && status.Status == http.StatusNotFound {
		uri, _ := p.checker.URI(ctx)
		text += ". " + p.wayOut(uri)
	}
	return []event.Note{event.Warn(text).Of(p.Name())}
}

// probed is an endpoint with the place where it stands in jwt.json.
type probed struct {
	what, uri, path string
	timeout         time.Duration
	revocation      bool
	client          *endpoint.Client
}

// endpoints lists what is to be reached. In mode oidc the discovery document says it, as far as the configuration does not.
func (p *Provider) endpoints(ctx context.Context) ([]probed, error) {
	issuer := p.Key("options.modes.oidc.issuer")
	var all []probed
	jwks := probed{"JWKS endpoint", p.cfg.JWKS.URI, p.Key("options.modes.jwks.uri"), p.cfg.JWKS.Timeout, false, p.client.ForKeys(p.cfg)}
	switch {
	case p.cfg.OIDC.JWKSURI != "":
		jwks.uri, jwks.path = p.cfg.OIDC.JWKSURI, p.Key("options.modes.oidc.jwksUri")
	case p.discovery != nil:
		doc, err := p.discovery.Document(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: the identity provider's discovery document can't be used: %w", issuer, err)
		}
		jwks.uri, jwks.path = doc.JWKSURI, issuer
	}
	if jwks.uri != "" {
		all = append(all, jwks)
	}
	if p.checker != nil {
		uri, err := p.checker.URI(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", issuer, err)
		}
		asked := probed{"introspection endpoint", uri, p.Key("options.revocation.introspection.uri"), p.cfg.Revocation.Timeout, true, p.client}
		if p.cfg.Revocation.Plain != nil {
			asked.what, asked.path = "revocation endpoint", p.Key("options.revocation.plain.uri")
		}
		all = append(all, asked)
	}
	return all, nil
}

func (p *Provider) unreachable(path string, err error, uri string) error {
	return fmt.Errorf("%s: the identity provider can't be reached: %w. %s", path, err, p.wayOut(uri))
}

func (p *Provider) unusableKeys(err error) error {
	switch {
	case p.cfg.JWKS.FilePath != "":
		return fmt.Errorf("%s: %w", p.Key("options.modes.jwks.filePath"), err)
	case p.cfg.OIDC.JWKSURI != "":
		return fmt.Errorf("%s: %w", p.Key("options.modes.oidc.jwksUri"), err)
	case p.discovery != nil:
		return fmt.Errorf("%s: %w", p.Key("options.modes.oidc.issuer"), err)
	default:
		return fmt.Errorf("%s: %w. %s", p.Key("options.modes.jwks.uri"), err, p.wayOut(p.cfg.JWKS.URI))
	}
}

// wayOut says where the right address is to be found.
func (p *Provider) wayOut(uri string) string {
	issuer := p.cfg.SoleIssuer()
	if before, _, keycloak := strings.Cut(uri, "/protocol/openid-connect/"); issuer == "" && keycloak {
		issuer = before
	}
	if issuer == "" {
		issuer = "<issuer>"
	}
	return "The provider lists its addresses at " + verdict.Word(discovery.URI(issuer))
}
