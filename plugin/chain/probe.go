package chain

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
func (c *Chain) Inspect(ctx context.Context) (r Report) {
	endpoints, err := c.endpoints(ctx)
	if err != nil {
		r.Faults = []error{err}
		return r
	}
	for _, e := range endpoints {
		seen := Endpoint{What: e.what, URI: endpoint.Redact(e.uri), Path: e.path, Revocation: e.revocation}
		c.reach(ctx, e, &seen)
		switch {
		case seen.Err != nil:
			r.Faults = append(r.Faults, c.unreachable(e.path, seen.Err, e.uri))
		case doubtful(seen.Answer):
			seen.Doubt = fmt.Sprintf("%s may be the wrong address. %s", e.path, c.wayOut(e.uri))
		}
		r.Endpoints = append(r.Endpoints, seen)
	}
	if len(r.Faults) > 0 || c.keys == nil {
		return r
	}
	set, err := c.keys.Load(ctx)
	if err != nil {
		r.Faults = append(r.Faults, c.unusableKeys(err))
		return r
	}
	r.Keys, r.KeysRead = set, true
	return r
}

// reach asks by HEAD and, where that gets no good answer, by GET: some servers drop or refuse the one and know the other.
func (c *Chain) reach(ctx context.Context, e probed, seen *Endpoint) {
	if seen.Answer, seen.Err = c.client.Head(ctx, e.uri, e.timeout); seen.Err == nil && !doubtful(seen.Answer) {
		return
	}
	answer, err := c.client.Do(ctx, e.timeout, endpoint.Request{Method: http.MethodGet, URI: e.uri})
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
func (c *Chain) ReadFiles() error {
	if c.cfg.JWKS.FilePath == "" {
		return nil
	}
	if _, err := c.keys.Load(context.Background()); err != nil {
		return c.unusableKeys(err)
	}
	return nil
}

// Probe is Inspect in words, as $.options.lazyConnect false asks for. It returns what was seen, and an error for each
// thing without which nobody could log in.
func (c *Chain) Probe(ctx context.Context) ([]event.Note, error) {
	r := c.Inspect(ctx)
	var findings []event.Note
	for _, e := range r.Endpoints {
		if e.Err != nil {
			continue
		}
		by := ""
		if e.ByGet {
			by = ", by GET"
		}
		finding := event.Note{Level: event.Info, Text: fmt.Sprintf("%s %s: reached (HTTP %d in %s%s)", e.What, e.URI, e.Answer.Status, e.Answer.Took.Round(time.Millisecond), by)}
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
		findings = append(findings, event.Note{Level: event.Info, Text: fmt.Sprintf("%d %s from %s (%s)", r.Keys.Len(), keys, c.keys, keyset.DescribeIDs(r.Keys))})
	}
	return findings, errors.Join(r.Faults...)
}

// madeUpID begins the jti of a made-up token, or the token itself where it is opaque: whoever reads the provider's log can tell
// what asked about it.
const madeUpID = "go-jwt-auth-probe-"

// madeUp is a token that nobody has issued, of the kind that the introspection endpoint is used to.
func (c *Chain) madeUp() string {
	id := madeUpID + rand.Text()
	if c.cfg.Mode == config.ModeIntrospection {
		return id
	}
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"`+c.cfg.Algorithms[0]+`","typ":"JWT"}`)) + "." + part([]byte(`{"jti":"`+id+`"}`)) + "." + part([]byte(rand.Text()))
}

// TryCredentials asks the introspection endpoint once about a made-up token, and returns what is to be said of its answer: what
// every login would find. Nothing remembers the token, and no failure counts. A plain endpoint is not asked, as nobody knows
// what it does with a token.
func (c *Chain) TryCredentials(ctx context.Context) []event.Note {
	if c.checker == nil || c.cfg.Revocation.Plain != nil {
		return nil
	}
	active, err := c.checker.AskDirectly(ctx, c.madeUp())
	var status *endpoint.StatusError
	switch {
	case ctx.Err() != nil:
		return nil
	case active:
		return []event.Note{{Level: event.Warning, Text: "$.options.revocation.introspection: the endpoint says of a made-up token that it is active: it would let in whatever was revoked or forged"}}
	case err == nil:
		return []event.Note{{Level: event.Info, Text: "the introspection endpoint answers as it should: a made-up token is not active"}}
	case errors.As(err, &status) && status.Status == http.StatusBadRequest:
		// Some answer so to whatever is no token of theirs.
		return []event.Note{{Level: event.Info, Text: fmt.Sprintf("the introspection endpoint was asked about a made-up token, which says nothing of the credentials: %s", err)}}
	}
	so := "logins will be refused"
	if c.cfg.Revocation.OnUnavailable == config.UnavailableAllow {
		so = "logins will not be asked about, and revoked tokens let in"
	}
	text := fmt.Sprintf("$.options.revocation.introspection: the endpoint gives no usable answer about a made-up token, and so %s: %s", so, err)
	if status != nil && status.Status == http.StatusNotFound {
		uri, _ := c.checker.URI(ctx)
		text += ". " + c.wayOut(uri)
	}
	return []event.Note{{Level: event.Warning, Text: text}}
}

// probed is an endpoint with the place where it stands in jwt.json.
type probed struct {
	what, uri, path string
	timeout         time.Duration
	revocation      bool
}

// endpoints lists what is to be reached. In mode oidc the discovery document says it.
func (c *Chain) endpoints(ctx context.Context) ([]probed, error) {
	const issuer = "$.options.modes.oidc.issuer"
	var all []probed
	jwks := probed{"JWKS endpoint", c.cfg.JWKS.URI, "$.options.modes.jwks.uri", c.cfg.JWKS.Timeout, false}
	if c.provider != nil {
		doc, err := c.provider.Document(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: the identity provider's discovery document can't be used: %w", issuer, err)
		}
		jwks.uri, jwks.path = doc.JWKSURI, issuer
	}
	if jwks.uri != "" {
		all = append(all, jwks)
	}
	if c.checker != nil {
		uri, err := c.checker.URI(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", issuer, err)
		}
		asked := probed{"introspection endpoint", uri, "$.options.revocation.introspection.uri", c.cfg.Revocation.Timeout, true}
		if c.cfg.Revocation.Plain != nil {
			asked.what, asked.path = "revocation endpoint", "$.options.revocation.plain.uri"
		}
		all = append(all, asked)
	}
	return all, nil
}

func (c *Chain) unreachable(path string, err error, uri string) error {
	return fmt.Errorf("%s: the identity provider can't be reached: %w. %s", path, err, c.wayOut(uri))
}

func (c *Chain) unusableKeys(err error) error {
	switch {
	case c.cfg.JWKS.FilePath != "":
		return fmt.Errorf("$.options.modes.jwks.filePath: %w", err)
	case c.provider != nil:
		return fmt.Errorf("$.options.modes.oidc.issuer: %w", err)
	default:
		return fmt.Errorf("$.options.modes.jwks.uri: %w. %s", err, c.wayOut(c.cfg.JWKS.URI))
	}
}

// wayOut says where the right address is to be found.
func (c *Chain) wayOut(uri string) string {
	issuer := c.cfg.Common.Issuer
	if before, _, keycloak := strings.Cut(uri, "/protocol/openid-connect/"); issuer == "" && keycloak {
		issuer = before
	}
	if issuer == "" {
		issuer = "<issuer>"
	}
	return "The provider lists its addresses at " + verdict.Word(discovery.URI(issuer))
}
