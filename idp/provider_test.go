package idp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"go-jwt-auth/idp"
)

func start(t *testing.T, options ...idp.Option) *idp.Provider {
	t.Helper()
	p, err := idp.Start(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// do sends a request; a non-nil form makes it a POST with the client's Basic credentials (RFC 6749 §2.3.1).
func do(t *testing.T, p *idp.Provider, method, uri string, client idp.Client, form url.Values) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.Secret))
	}
	response, err := p.HTTPClient().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

func get(t *testing.T, p *idp.Provider, uri string, into any) {
	t.Helper()
	response, body := do(t, p, http.MethodGet, uri, idp.Client{}, nil)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", uri, response.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("GET %s: %v", uri, err)
	}
}

func introspect(t *testing.T, p *idp.Provider, token string) map[string]any {
	t.Helper()
	response, body := do(t, p, http.MethodPost, p.IntrospectionURI(), p.Broker(), url.Values{"token": {token}})
	if response.StatusCode != http.StatusOK {
		t.Fatalf("introspection: %s %s", response.Status, body)
	}
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func wantActive(t *testing.T, p *idp.Provider, token string, want bool) {
	t.Helper()
	if got := introspect(t, p, token)["active"]; got != want {
		t.Errorf("introspection says active %v, want %v", got, want)
	}
}

// verify checks a token against the published keys, by kid and algorithm.
func verify(t *testing.T, p *idp.Provider, token, algorithm string) (jwt.MapClaims, error) {
	t.Helper()
	var set jose.JSONWebKeySet
	get(t, p, p.JWKSURI(), &set)
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		keys := set.Key(kid)
		if len(keys) != 1 {
			return nil, errors.New("no such kid, or several")
		}
		if keys[0].Algorithm != algorithm || keys[0].Use != "sig" || !keys[0].IsPublic() {
			return nil, errors.New("the published key is not for this")
		}
		return keys[0].Key, nil
	}, jwt.WithValidMethods([]string{algorithm}), jwt.WithExpirationRequired())
	return claims, err
}

func TestWrongClientSecretIsUnauthorized(t *testing.T) {
	p := start(t)
	token := p.Token("alice", time.Minute)
	wrong := idp.Client{ID: p.Broker().ID, Secret: "wrong"}
	for name, test := range map[string]struct {
		uri  string
		form url.Values
	}{
		"introspection": {p.IntrospectionURI(), url.Values{"token": {token}}},
		"revocation":    {p.RevocationURI(), url.Values{"token": {token}}},
		"token":         {p.TokenURI(), url.Values{"grant_type": {"client_credentials"}}},
	} {
		if response, _ := do(t, p, http.MethodPost, test.uri, wrong, test.form); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s, want 401", name, response.Status)
		}
	}
	var refusal *oauth2.RetrieveError
	if _, err := p.Obtain(t.Context(), wrong); !errors.As(err, &refusal) || refusal.ErrorCode != "invalid_client" {
		t.Errorf("Obtain fails by %v, want invalid_client", err)
	}
	wantActive(t, p, token, true)
}

func TestUserLogsInByAuthorizationCode(t *testing.T) {
	const back = "http://127.0.0.1:1/back"
	page := idp.Client{ID: "page", Redirects: []string{back}, Audience: []string{"mqtt"}, Lifetime: time.Minute}
	p := start(t, idp.WithClient(page))
	verifier := oauth2.GenerateVerifier()
	config := oauth2.Config{
		ClientID: page.ID, RedirectURL: back, Scopes: []string{"openid", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: p.Issuer() + "/authorize", TokenURL: p.TokenURI(), AuthStyle: oauth2.AuthStyleInParams},
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), back) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	login := func(t *testing.T, options ...oauth2.AuthCodeOption) url.Values {
		t.Helper()
		shown, err := browser.Get(config.AuthCodeURL("state", options...))
		if err != nil {
			t.Fatal(err)
		}
		shown.Body.Close()
		sent, err := browser.PostForm(shown.Request.URL.String(), url.Values{"id": shown.Request.URL.Query()["id"], "subject": {"bob"}})
		if err != nil {
			t.Fatal(err)
		}
		sent.Body.Close()
		to, err := sent.Location()
		if err != nil {
			t.Fatalf("%s: %v", sent.Status, err)
		}
		return to.Query()
	}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, p.HTTPClient())
	exchange := func(code, verifier string) (*oauth2.Token, error) {
		return config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	}

	answer := login(t, oauth2.S256ChallengeOption(verifier))
	if answer.Get("state") != "state" {
		t.Errorf("the user comes back with %v", answer)
	}
	if _, err := exchange(answer.Get("code"), oauth2.GenerateVerifier()); err == nil {
		t.Error("a code is good without its verifier")
	}
	token, err := exchange(login(t, oauth2.S256ChallengeOption(verifier)).Get("code"), verifier)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := verify(t, p, token.AccessToken, "RS256")
	if err != nil || claims["sub"] != "bob" {
		t.Errorf("claims are %v, %v", claims, err)
	}
	wantActive(t, p, token.AccessToken, true)

	t.Run("a code is good once", func(t *testing.T) {
		code := login(t, oauth2.S256ChallengeOption(verifier)).Get("code")
		if _, err := exchange(code, verifier); err != nil {
			t.Fatal(err)
		}
		if _, err := exchange(code, verifier); err == nil {
			t.Error("it is good twice")
		}
	})
	t.Run("a refresh token is good once", func(t *testing.T) {
		again := func(refresh string) (*oauth2.Token, error) {
			return config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
		}
		next, err := again(token.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		if next.AccessToken == token.AccessToken || next.RefreshToken == token.RefreshToken {
			t.Error("the same token again")
		}
		if _, err := again(token.RefreshToken); err == nil {
			t.Error("the old one is good still")
		}
		form := url.Values{"token": {next.RefreshToken}, "client_id": {page.ID}}
		response, err := p.HTTPClient().PostForm(p.RevocationURI(), form)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if _, err := again(next.RefreshToken); err == nil {
			t.Errorf("a revoked one is good still (%s)", response.Status)
		}
	})
	t.Run("PKCE is a must", func(t *testing.T) {
		if _, err := config.Exchange(ctx, login(t).Get("code")); err == nil {
			t.Error("a code is good without")
		}
	})
	t.Run("an address that is not registered is refused", func(t *testing.T) {
		other := config
		other.RedirectURL = "http://127.0.0.1:1/other"
		response, err := browser.Get(other.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s", response.Status)
		}
	})
	t.Run("no secret is no way in", func(t *testing.T) {
		if _, err := p.Obtain(t.Context(), idp.Client{ID: page.ID}); err == nil {
			t.Error("a public client got a token of its own")
		}
	})
}

func TestOtherGrantsAreRefused(t *testing.T) {
	p := start(t)
	for _, grant := range []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"} {
		response, body := do(t, p, http.MethodPost, p.TokenURI(), p.App(), url.Values{
			"grant_type": {grant}, "code": {"x"}, "redirect_uri": {"http://localhost/"}, "refresh_token": {"x"}, "assertion": {"x"},
		})
		if response.StatusCode/100 != 4 {
			t.Errorf("%s: %s %s", grant, response.Status, body)
		}
	}
}

func TestEveryAlgorithmVerifiesAgainstItsPublishedKey(t *testing.T) {
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			p := start(t, idp.WithAlgorithm(algorithm))
			minted := p.Token("alice", time.Minute)
			obtained, err := p.Obtain(t.Context(), p.App())
			if err != nil {
				t.Fatal(err)
			}
			for name, token := range map[string]string{"minted": minted, "obtained": obtained} {
				if _, err := verify(t, p, token, algorithm); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				wantActive(t, p, token, true)
			}
		})
	}
	if _, err := idp.Start(idp.WithAlgorithm("HS256")); err == nil {
		t.Error("a provider has started with a symmetric algorithm")
	}
}

func TestMintedTokenLooksLikeAnIssuedOne(t *testing.T) {
	p := start(t)
	issued, err := p.Obtain(t.Context(), p.App())
	if err != nil {
		t.Fatal(err)
	}
	shape := func(token string) (header, claims map[string]string) {
		parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
		if err != nil {
			t.Fatal(err)
		}
		return kinds(parsed.Header), kinds(parsed.Claims.(jwt.MapClaims))
	}
	wantHeader, wantClaims := shape(issued)
	gotHeader, gotClaims := shape(p.Token(p.App().ID, time.Hour))
	if !maps.Equal(gotHeader, wantHeader) || !maps.Equal(gotClaims, wantClaims) {
		t.Errorf("minted: %v %v\nissued: %v %v", gotHeader, gotClaims, wantHeader, wantClaims)
	}
}

// A JWT says which scopes it was issued for (RFC 9068 §2.2.3), if any were asked for.
func TestScopesAreClaims(t *testing.T) {
	p := start(t)
	for want, scopes := range map[string][]string{"": nil, "a": {"a"}, "telemetry:read telemetry:write": {"telemetry:read", "telemetry:write"}} {
		token, err := p.Obtain(t.Context(), p.App(), scopes...)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := verify(t, p, token, "RS256")
		if err != nil {
			t.Fatal(err)
		}
		if got, has := claims["scope"]; has != (want != "") || has && got != want {
			t.Errorf("scope is %v, want %q", got, want)
		}
	}
}

func TestIntrospection(t *testing.T) {
	p := start(t)
	now := time.Now()
	for name, test := range map[string]struct {
		token string
		want  bool
	}{
		"a good token is active":            {p.Token("alice", time.Minute), true},
		"an opaque one too":                 {p.Opaque("alice", time.Minute), true},
		"whatever its subject holds":        {p.Opaque("auth0|a:b/c", time.Minute), true},
		"aud as a string":                   {p.Token("alice", time.Minute, idp.AudienceString("mqtt")), true},
		"typ at+jwt":                        {p.Token("alice", time.Minute, idp.Header("typ", "at+jwt")), true},
		"an expired token is inactive":      {p.Token("alice", -time.Second), false},
		"an expired opaque one too":         {p.Opaque("alice", -time.Second), false},
		"a token not yet valid":             {p.Token("alice", time.Minute, idp.NotBefore(now.Add(time.Minute))), false},
		"a token without exp":               {p.Token("alice", time.Minute, idp.Without("exp")), false},
		"a token without jti":               {p.Token("alice", time.Minute, idp.Without("jti")), false},
		"another issuer's token":            {p.Token("alice", time.Minute, idp.Issuer("http://other.example")), false},
		"a foreign key under the same kid":  {p.Token("alice", time.Minute, idp.ForeignKey()), false},
		"an unknown kid":                    {p.Token("alice", time.Minute, idp.Header("kid", "unknown")), false},
		"an unsecured token":                {p.Token("alice", time.Minute, idp.Unsigned()), false},
		"HS256 by the public key":           {p.Token("alice", time.Minute, idp.SignedBy("HS256", p.PublicKeyPEM())), false},
		"an alg other than that of the key": {p.Token("alice", time.Minute, idp.Header("alg", "RS512")), false},
		"a string of another shape":         {"no token", false},
		"no token at all":                   {"", false},
	} {
		t.Run(name, func(t *testing.T) { wantActive(t, p, test.token, test.want) })
	}
}

func TestRevocation(t *testing.T) {
	p := start(t)
	obtained, err := p.Obtain(t.Context(), p.App())
	if err != nil {
		t.Fatal(err)
	}
	byEndpoint := func(token string) error {
		response, body := do(t, p, http.MethodPost, p.RevocationURI(), p.App(), url.Values{"token": {token}})
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status + " " + string(body))
		}
		return nil
	}
	for name, test := range map[string]struct {
		token  string
		revoke func(string) error
	}{
		"a minted token by the method":    {p.Token("alice", time.Minute), p.Revoke},
		"a minted token by the endpoint":  {p.Token("alice", time.Minute), byEndpoint},
		"an opaque token by the method":   {p.Opaque("alice", time.Minute), p.Revoke},
		"an opaque token by the endpoint": {p.Opaque("a:b", time.Minute), byEndpoint},
		"an obtained one by the endpoint": {obtained, byEndpoint},
	} {
		t.Run(name, func(t *testing.T) {
			wantActive(t, p, test.token, true)
			if err := test.revoke(test.token); err != nil {
				t.Fatal(err)
			}
			wantActive(t, p, test.token, false)
		})
	}
	t.Run("leaves other tokens alone", func(t *testing.T) {
		one, other := p.Token("alice", time.Minute), p.Token("alice", time.Minute)
		if err := p.Revoke(one); err != nil {
			t.Fatal(err)
		}
		wantActive(t, p, other, true)
	})
	t.Run("of another client's token is refused", func(t *testing.T) {
		token := p.Token("alice", time.Minute)
		response, _ := do(t, p, http.MethodPost, p.RevocationURI(), p.Broker(), url.Values{"token": {token}})
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s, want 401", response.Status)
		}
		wantActive(t, p, token, true)
	})
	t.Run("of what is no token here is no error at the endpoint but one of the method", func(t *testing.T) {
		for _, token := range []string{"nonsense", start(t).Token("alice", time.Minute)} {
			if err := byEndpoint(token); err != nil {
				t.Error(err)
			}
			if p.Revoke(token) == nil {
				t.Error("Revoke has taken a token of somebody else's")
			}
		}
	})
}

func TestLifetimeIsNeverShorterThanAsked(t *testing.T) {
	p := start(t)
	for _, lifetime := range []time.Duration{
		time.Millisecond, 999 * time.Millisecond, time.Second, 1500 * time.Millisecond, time.Minute, -time.Millisecond, -time.Second,
	} {
		before := time.Now()
		token := p.Token("alice", lifetime)
		after := time.Now()
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
			t.Fatal(err)
		}
		exp, err := claims.GetExpirationTime()
		if err != nil {
			t.Fatal(err)
		}
		if lifetime > 0 && (exp.Before(before.Add(lifetime)) || exp.After(after.Add(lifetime+time.Second))) {
			t.Errorf("lifetime %v: exp is %v after now", lifetime, exp.Sub(before))
		}
		if lifetime < 0 && exp.After(after) {
			t.Errorf("lifetime %v: not expired for %v", lifetime, exp.Sub(after))
		}
	}
}

func TestRotation(t *testing.T) {
	p := start(t)
	oldKID, old := p.KeyID(), p.Token("alice", time.Minute)
	newKID, err := p.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if newKID == oldKID || newKID != p.KeyID() {
		t.Fatalf("kid was %s, Rotate says %s, now %s", oldKID, newKID, p.KeyID())
	}
	rotated := p.Token("alice", time.Minute)
	for name, token := range map[string]string{"old": old, "new": rotated} {
		if _, err := verify(t, p, token, "RS256"); err != nil {
			t.Errorf("after Rotate, a token by the %s key: %v", name, err)
		}
		wantActive(t, p, token, true)
	}

	p.DropOldKeys()
	if _, err := verify(t, p, old, "RS256"); err == nil {
		t.Error("the old key is still published")
	}
	if _, err := verify(t, p, rotated, "RS256"); err != nil {
		t.Error(err)
	}
	wantActive(t, p, old, false)
}

func TestGivenAddressIsTheIssuer(t *testing.T) {
	p := start(t)
	address := strings.TrimPrefix(p.Issuer(), "http://")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, idp.WithAddress(address))
	if again.Issuer() != p.Issuer() {
		t.Errorf("issuer is %s, want %s", again.Issuer(), p.Issuer())
	}
	if occupied, err := idp.Start(idp.WithAddress(address)); err == nil {
		_ = occupied.Close()
		t.Error("two providers on one port")
	}
}

func TestClientNeedsIDAndSecret(t *testing.T) {
	for _, client := range []idp.Client{{ID: "a"}, {Secret: "b"}, {}} {
		if p, err := idp.Start(idp.WithClient(client)); err == nil {
			_ = p.Close()
			t.Errorf("taken: %+v", client)
		}
	}
	p := start(t, idp.WithClient(idp.Client{ID: "broker", Secret: "known"}))
	if p.Broker().Secret != "known" {
		t.Error("a client named broker doesn't take the default one's place")
	}
}

// kinds maps each member of a JSON object to the Go type of its value.
func kinds(object map[string]any) map[string]string {
	kinds := map[string]string{}
	for name, value := range object {
		kinds[name] = fmt.Sprintf("%T", value)
	}
	return kinds
}
