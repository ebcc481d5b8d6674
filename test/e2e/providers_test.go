package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"go-jwt-auth/idp"
	"go-jwt-auth/test/brokers"
	"go-jwt-auth/test/glewlwyd"
	"go-jwt-auth/test/harness"
)

// A provider of another make: Glewlwyd's tokens by real grants, its JWKS, introspection and revocation.
func TestGlewlwyd(t *testing.T) {
	s := glewlwyd.Start(t)
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		b := harness.Start(t, v, harness.Options{
			Plugins: []harness.Plugin{
				harness.JWT("jwt.json", config(t, provider(t), object{
					"options.modes.jwks.uri":                        s.JWKSURI(),
					"options.revocation.introspection.uri":          s.IntrospectionURI(),
					"options.revocation.introspection.clientId":     glewlwyd.ClientID,
					"options.revocation.introspection.clientSecret": s.ClientSecret(),
					"options.common.issuer":                         s.Issuer(),
					"options.common.tokenType":                      []string{"at+jwt"},
				})),
				harness.Dynsec{
					Roles:   map[string][]harness.ACL{"device": harness.MayUse("devices/#")},
					Clients: []harness.DynsecClient{{Username: glewlwyd.ClientID, Roles: []string{"device"}}},
				}.Plugin(),
			},
		})
		// It answers HEAD by 404, which is no obstacle: the keys are reached by GET, and the introspection endpoint is said.
		b.WaitLog(`JWKS endpoint http.*: reached \(HTTP 200 in .*, by GET\)`)
		b.WaitLog(`introspection endpoint http.*: reached \(HTTP 404 in .*\); .* may be the wrong address`)
		token := s.Token(t)
		c := harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted()
		if code := c.Subscribe("devices/1", 1); code >= 0x80 {
			t.Errorf("SUBACK 0x%02x", code)
		}
		harness.Connect(t, b.URL(0), harness.Paho3, login("d", s.UserToken(t))).Accepted()
		s.Revoke(t, token)
		harness.Connect(t, b.URL(0), harness.Paho5, login("e", token)).Refused()
		b.WaitLog(refused("e", "revoked"))
		harness.Connect(t, b.URL(0), harness.Paho5, login("f", provider(t).Token(glewlwyd.ClientID, time.Hour))).Refused()
		b.WaitLog(refused("f", "(unknown key|wrong token type)"))
	})
}

// Each family of algorithms takes its own token and refuses its sibling's.
func TestAlgorithms(t *testing.T) {
	siblings := map[string]string{"RS256": "PS256", "PS256": "RS256", "ES256": "ES384", "ES384": "ES256", "EdDSA": "ES256"}
	providers := map[string]*idp.Provider{}
	for algorithm := range siblings {
		providers[algorithm] = ownProvider(t, idp.WithAlgorithm(algorithm))
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		for algorithm, sibling := range siblings {
			t.Run(algorithm, func(t *testing.T) {
				own, other := providers[algorithm], providers[sibling]
				b := start(t, v, config(t, own, object{"options.common.issuer": own.Issuer()}, object{"options.revocation": nil, "algorithm": algorithm}))
				harness.Connect(t, b.URL(0), harness.Paho5, login("c", own.Token("sensor-1", time.Hour))).Accepted()
				forged := other.Token("sensor-1", time.Hour, idp.Issuer(own.Issuer()), idp.Header("kid", own.KeyID()))
				harness.Connect(t, b.URL(0), harness.Paho5, login("d", forged)).Refused()
				b.WaitLog(refused("d", "wrong algorithm"))
				// With the expected alg in the header, the signature is still the other family's.
				forged = other.Token("sensor-1", time.Hour, idp.Issuer(own.Issuer()), idp.Header("kid", own.KeyID()), idp.Header("alg", algorithm))
				harness.Connect(t, b.URL(0), harness.Paho5, login("e", forged)).Refused()
				b.WaitLog(refused("e", "bad signature"))
			})
		}
	})
}

// Over https, with the provider's own authority in $.options.tls.caFile, and not without.
func TestAProviderOverTLS(t *testing.T) {
	p := ownProvider(t, idp.WithTLS())
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		files := map[string]string{"ca.pem": string(p.CA())}
		trusted := harness.JWT("jwt.json", config(t, p, object{"options.tls.caFile": "ca.pem"}))
		b := harness.Start(t, v, harness.Options{Plugins: []harness.Plugin{trusted}, Files: files})
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", p.Token("sensor-1", time.Hour))).Accepted()

		_, log := harness.StartErr(t, v, harness.Options{Plugins: []harness.Plugin{harness.JWT("jwt.json", config(t, p))}})
		if !matches(log, `HEAD https://\S+: the certificate is not trusted \(\$\.options\.tls\.caFile names a private CA\)`) {
			t.Errorf("the log does not say that the certificate is not trusted:\n%s", log)
		}
	})
}

// The plugin proves itself to the provider with a private key (RFC 7523): a real provider's own check.
func TestAClientKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := ownProvider(t, idp.WithClient(idp.Client{ID: "signer", Secret: "never sent", Key: key.Public(), KeyID: "2026-11"}))
	encode := func(key *ecdsa.PrivateKey) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	brokers.EachInParallel(t, func(t *testing.T, v brokers.Version) {
		run := func(key *ecdsa.PrivateKey) *harness.Broker {
			return start(t, v, config(t, p, object{
				"options.common.issuer": p.Issuer(),
				"options.revocation.introspection": object{
					"uri": p.IntrospectionURI(), "clientId": "signer", "clientAuthentication": "privateKeyJwt", "clientKey": encode(key), "clientKeyId": "2026-11",
				},
			}))
		}
		b := run(key)
		token := p.Token("sensor-1", time.Hour)
		harness.Connect(t, b.URL(0), harness.Paho5, login("c", token)).Accepted()
		if err := p.Revoke(token); err != nil {
			t.Fatal(err)
		}
		harness.Connect(t, b.URL(0), harness.Paho5, login("d", token)).Refused()
		b.WaitLog(refused("d", "revoked"))
		b = run(other)
		harness.Connect(t, b.URL(0), harness.Paho5, login("e", p.Token("sensor-1", time.Hour))).Refused()
		b.WaitLog(refused("e", "provider unavailable: .*answered 401 .*clientId and clientKey, sent by clientAuthentication "+`"privateKeyJwt"`))
	})
}
