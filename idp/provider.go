// Package idp is an OpenID provider inside the process: the op package of zitadel/oidc on a loopback port, with its
// state in memory. `go-jwt-auth dev-idp` is this provider; the demo and the end-to-end tests obtain their tokens from it, let
// the plugin fetch its keys and introspect at it, and make it slow, wrong or absent.
//
// It offers the client credentials grant (RFC 6749 §4.4), the device authorization grant (RFC 8628), JWT and opaque
// access tokens, introspection (RFC 7662), revocation (RFC 7009), discovery and key rotation; to clients with Redirects the
// authorization code grant with PKCE (RFC 7636) and refresh tokens. Its login page believes the name that a user enters.
// The token of a user is minted by [Provider.Token] without that, and a device gets its client's own.
//
// It is not for production: it speaks plain HTTP unless told otherwise and forgets everything when closed.
package idp

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Provider is a running identity provider. Its methods may be called from any goroutine.
type Provider struct {
	issuer  string
	op      *op.Provider
	storage *storage
	front   *front
	server  *server
	caPEM   []byte
	client  *http.Client
	broker  Client
	app     Client
}

// Option changes how a Provider starts.
type Option func(*settings)

type settings struct {
	address   string
	algorithm string
	tls       bool
	clients   []Client
}

// WithAddress listens on an IPv4 "host:port" instead of a free port of 127.0.0.1.
func WithAddress(address string) Option {
	return func(s *settings) { s.address = address }
}

// WithAlgorithm signs with another algorithm than RS256: one of RS256/384/512, PS256/384/512, ES256/384/512, EdDSA.
func WithAlgorithm(algorithm string) Option {
	return func(s *settings) { s.algorithm = algorithm }
}

// WithTLS serves HTTPS, with a certificate of a certification authority made for this provider alone: see
// [Provider.CA] and [Provider.HTTPClient].
func WithTLS() Option {
	return func(s *settings) { s.tls = true }
}

// WithClient registers another OAuth client. One with the ID "broker" or "app" takes the place of that default client.
func WithClient(client Client) Option {
	return func(s *settings) { s.clients = append(s.clients, client) }
}

// Start generates a key and serves until [Provider.Close]. It fails if the address can't be bound, or an option names
// an unknown algorithm or a client without ID or secret. It silences log/slog's default logger for the whole process, as
// the library logs there and offers no option for it; a logger that the program has set by slog.SetDefault stays.
func Start(options ...Option) (*Provider, error) {
	set := settings{address: "127.0.0.1:0", algorithm: "RS256"}
	for _, option := range options {
		option(&set)
	}
	slog.SetLogLoggerLevel(math.MaxInt)
	p := &Provider{client: &http.Client{Transport: &http.Transport{}}}
	var err error
	if p.storage, err = newStorage(set.algorithm); err != nil {
		return nil, err
	}
	clients := append([]Client{
		{ID: brokerID, Secret: rand.Text()},
		{ID: appID, Secret: rand.Text()},
	}, set.clients...)
	for _, c := range clients {
		if err := p.storage.addClient(c); err != nil {
			return nil, err
		}
	}
	p.broker, p.app = p.storage.clients[brokerID], p.storage.clients[appID]

	if p.server, err = newServer(set.address); err != nil {
		return nil, err
	}
	scheme := "http"
	if set.tls {
		scheme = "https"
		if err := p.secure(); err != nil {
			return nil, errors.Join(err, p.server.close())
		}
	}
	p.issuer = scheme + "://" + p.server.address
	p.op, err = op.NewProvider(
		&op.Config{
			CryptoKey: randomKey(), CryptoKeyId: "opaque", SupportedScopes: []string{"openid", "offline_access"},
			CodeMethodS256: true, GrantTypeRefreshToken: true,
			DeviceAuthorization: op.DeviceAuthorizationConfig{
				Lifetime: 5 * time.Minute, PollInterval: time.Second, UserFormPath: devicePath, UserCode: op.UserCodeBase20,
			},
		},
		p.storage, op.StaticIssuer(p.issuer),
		op.WithAllowInsecure(), op.WithCORSOptions(p.pagesOnly(clients)),
		op.WithAccessTokenVerifierOpts(op.WithSupportedAccessTokenSigningAlgorithms(algorithms()...)),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("idp: %w", err), p.server.close())
	}
	p.front = newFront(p.op)
	pages := http.NewServeMux()
	pages.Handle("/", p.front)
	pages.HandleFunc(devicePath, p.serveDevicePage)
	pages.HandleFunc(loginPath, p.serveLogin)
	p.server.handler = p.thisMachineOnly(pages)
	if err := p.server.up(); err != nil {
		return nil, errors.Join(err, p.server.close())
	}
	return p, nil
}

// Close stops the provider and cuts every connection, also those that wait for an answer. It may be called twice.
func (p *Provider) Close() error {
	p.client.CloseIdleConnections()
	return p.server.close()
}

// SetDown with true makes every connection attempt be refused and cuts the existing ones; with false it serves again, on
// the same port, with everything the provider knew. It fails after Close.
func (p *Provider) SetDown(down bool) error {
	if down {
		p.server.down()
		return nil
	}
	return p.server.up()
}

// Issuer is the provider's identifier: the value of iss, and the base of all its URLs. It has no trailing slash.
func (p *Provider) Issuer() string { return p.issuer }

// DiscoveryURI is the address of the discovery document (OpenID Connect Discovery §4).
func (p *Provider) DiscoveryURI() string { return p.issuer + discoveryPath }

// JWKSURI is the address of the key set.
func (p *Provider) JWKSURI() string { return p.op.KeysEndpoint().Absolute(p.issuer) }

// IntrospectionURI is the RFC 7662 endpoint. It wants a client's credentials as HTTP Basic.
func (p *Provider) IntrospectionURI() string { return p.op.IntrospectionEndpoint().Absolute(p.issuer) }

// RevocationURI is the RFC 7009 endpoint. It wants the credentials of the client that the token was issued to.
func (p *Provider) RevocationURI() string { return p.op.RevocationEndpoint().Absolute(p.issuer) }

// TokenURI is the token endpoint.
func (p *Provider) TokenURI() string { return p.op.TokenEndpoint().Absolute(p.issuer) }

// Broker is the default client whose credentials the broker's plugin introspects with. Its secret is random.
func (p *Provider) Broker() Client { return p.broker }

// App is the default client that the tokens of [Provider.Token] and [Provider.Opaque] are issued to. Its secret is
// random.
func (p *Provider) App() Client { return p.app }

// CA is the certification authority of a provider started [WithTLS], in PEM; nil otherwise.
func (p *Provider) CA() []byte { return p.caPEM }

// Certificate is the server certificate of a provider started [WithTLS]. Other servers on the same address, such as the tests'
// brokers, can use it, too. Without TLS there is none, and this panics.
func (p *Provider) Certificate() tls.Certificate { return p.server.tls.Certificates[0] }

// HTTPClient trusts this provider's certification authority, and, with TLS, no other.
func (p *Provider) HTTPClient() *http.Client { return p.client }

// Obtain asks the token endpoint for an access token by the client credentials grant, as the client would.
func (p *Provider) Obtain(ctx context.Context, client Client, scopes ...string) (string, error) {
	grant := clientcredentials.Config{
		ClientID:     client.ID,
		ClientSecret: client.Secret,
		TokenURL:     p.TokenURI(),
		Scopes:       scopes,
		AuthStyle:    oauth2.AuthStyleInHeader,
	}
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, p.client))
	if err != nil {
		return "", fmt.Errorf("idp: %w", err)
	}
	return token.AccessToken, nil
}

// Rotate makes a new key, publishes it and signs with it from now on. The keys before it stay published until
// [Provider.DropOldKeys]. It returns the new kid.
func (p *Provider) Rotate() (kid string, err error) {
	return p.storage.keys.rotate()
}

// DropOldKeys stops publishing every key but the one that signs. The provider itself then takes their tokens as
// inactive.
func (p *Provider) DropOldKeys() { p.storage.keys.dropOld() }

// KeyID is the kid of the key that signs.
func (p *Provider) KeyID() string { return p.storage.keys.current().id }

// PublicKey is the public half of the key that signs.
func (p *Provider) PublicKey() crypto.PublicKey { return p.storage.keys.current().private.Public() }

// PublicKeyPEM is PublicKey as a PEM block "PUBLIC KEY" (RFC 7468 §13).
func (p *Provider) PublicKeyPEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(p.PublicKey())
	if err != nil {
		panic(err) // Every kind of key made by newKey can be marshalled.
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// secure makes the certificates and has both sides use them.
func (p *Provider) secure() error {
	authority, certificate, err := newCertificate(p.server.host())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return errors.New("idp: the certification authority made is no certificate")
	}
	p.caPEM = authority
	p.server.tls = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	p.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return nil
}

func randomKey() (key [32]byte) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}

// pathOf is the path of an absolute URL that the library put together.
func pathOf(endpoint *op.Endpoint) string {
	u, err := url.Parse(endpoint.Absolute("http://issuer"))
	if err != nil {
		panic(err)
	}
	return u.Path
}
