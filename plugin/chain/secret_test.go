package chain_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/internal/testidp"
	"go-jwt-auth/plugin/internal/testkeys"
	"go-jwt-auth/plugin/verdict"
)

// window is how many bytes in a row of a secret count as told.
const window = 10

// told finds a part of a secret in text, as it is, form-encoded or in base64.
func told(text, secret string) string {
	for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))} {
		for i := 0; i+window <= len(form); i++ {
			if part := form[i : i+window]; strings.Contains(text, part) {
				return part
			}
		}
	}
	return ""
}

// TestNothingSecretIsTold plays good tokens and bad ones, whole and mangled, and passwords of other kinds, against
// configurations and providers that do all that they can. Whatever comes of it: verdict, trace, the lines for the
// operator and the findings hold no part of a password, but decoded claims and header parameters, and no part of a secret.
func TestNothingSecretIsTold(t *testing.T) {
	hmac := testkeys.New("HS256", "")
	hmac.Private = []byte("Hv8$kT3&nB5*yJ1@dF0?qS7~wG2^eM6=aZ9|")
	ours, stranger := testkeys.New("ES256", "k"), testkeys.New("ES256", "k")
	p := testidp.New(t)
	p.Does(testidp.Answer(200, string(testkeys.Set(ours, testkeys.JWK{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString(hmac.Private.([]byte))}))), nil)

	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			id, secret, _ := r.BasicAuth()
			w.Header().Set("Location", "https://idp.test/?"+id+secret)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"active":%q}`, id+secret)
		}
	}
	introspections := []http.HandlerFunc{testidp.Answer(200, `{"active":true}`), testidp.Answer(200, `{"active":false}`), echo(200), echo(302), echo(401), echo(500)}

	local := testidp.Defaults("HS256")
	local.Mode, local.Local, local.Revocation = config.ModeLocal, config.NewSecret(string(hmac.Private.([]byte))), p.Introspection()
	remote := p.Config("ES256")
	checked := p.Config("ES256")
	checked.Common.Issuers, checked.Common.Audience, checked.Common.RequiredScopes = []config.Issuer{config.ExactIssuer("https://idp.test")}, []string{"mqtt"}, []string{"a"}
	checked.Common.MatchUsername, checked.Common.MatchClientID, checked.Common.CheckIssuedAt = true, true, true
	strict := whole(checked)
	strict.OnNonToken, strict.MaxTokenBytes = config.NonTokenDeny, 600
	several := whole(nil)
	several.Providers = nil
	for n, cfg := range []*config.Provider{checked, remote, p.Opaque()} {
		among := *cfg
		among.Name, among.Path = fmt.Sprint("p", n), config.At(fmt.Sprintf("$.providers[%d]", n))
		several.Providers = append(several.Providers, &among)
	}
	several.TokenSource = []config.TokenSource{config.TokenInPassword, config.TokenInUsername}

	random := rand.New(rand.NewPCG(3, 4))
	usually := func(good any, others ...any) any {
		if random.IntN(5) > 0 {
			return good
		}
		return others[random.IntN(len(others))]
	}
	password := func() string {
		key := []testkeys.Key{hmac, ours, ours, stranger, ours.As("none"), hmac.As("ES256")}[random.IntN(6)]
		header := object{"kid": usually("k", "x", nil, 7), "typ": usually("JWT", nil, "at+jwt"), "alg": usually(key.Alg, "none", "RS256", nil)}
		if random.IntN(16) == 0 {
			header[usually("crit", "enc", "jwk").(string)] = "x"
		}
		claims := object{
			"iss": usually("https://idp.test", "x", 7), "aud": usually("mqtt", []string{"mqtt"}, 7), "scope": usually("a b", "b", 7),
			"sub": usually("alice", "a/#", 7, "", strings.Repeat("x", 300)), "exp": usually(now+60, now-60, "x"), "iat": usually(now, now+60), "jti": usually("id", nil, 7),
		}
		return key.SignWith(header, claims)
	}
	mangle := func(s string) string {
		raw := []byte(s)
		for range 1 + random.IntN(3) {
			at := random.IntN(len(raw))
			switch random.IntN(5) {
			case 0:
				raw[at] = byte(random.IntN(256))
			case 1:
				raw = raw[:max(at, window+1)]
			case 2:
				raw = append(raw, '.')
			case 3:
				raw = append(raw[:at:at], raw[min(at+4, len(raw)):]...)
				raw = append(raw, "filled-up-again"...)
			case 4:
				raw = append(raw, raw...)
			}
		}
		return string(raw)
	}

	seen := map[verdict.Reason]int{}
	kinds := map[verdict.Kind]int{}
	for _, file := range []*config.Config{whole(local), whole(remote), strict, several} {
		judge, said := newChainOf(t, file)
		for range 1500 {
			pass := password()
			switch random.IntN(6) {
			case 0:
				pass = mangle(pass)
			case 1:
				pass = "hunter2-" + fmt.Sprint(random.Uint64())
			case 2:
				pass = strings.Replace(pass, ".", "..a.", 1)
			}
			p.Does(nil, introspections[random.IntN(len(introspections))])
			name := usually("u", "alice").(string)
			connect := broker.Connect{ClientID: name, Username: &name, Password: &pass}
			if random.IntN(4) == 0 {
				connect.Username, connect.Password = connect.Password, connect.Username
			}
			result := judge.Check(t.Context(), connect)
			seen[result.Reason]++
			kinds[result.Kind]++
			text := fmt.Sprintf("%s\n%s\n%+v", result, show(*result.Trace), result)
			if part := told(text, pass); part != "" {
				t.Fatalf("%q of the password %q is told in:\n%s", part, pass, text)
			}
			noSecrets(t, text, string(hmac.Private.([]byte)))
		}
		findings, err := judge.Probe(t.Context())
		noSecrets(t, fmt.Sprint(findings, err, said.All(), fmt.Sprintf("%+v", *judge.Config().Providers[0])), string(hmac.Private.([]byte)))
	}
	// The play was worth it only if it met these.
	for _, reason := range []verdict.Reason{
		verdict.NotAToken, verdict.TooLong, verdict.Encrypted, verdict.Malformed, verdict.WrongAlgorithm, verdict.UnknownKey, verdict.BadSignature, verdict.Expired,
		verdict.NotYetValid, verdict.WrongIssuer, verdict.WrongAudience, verdict.MissingScope, verdict.NoIdentity, verdict.UnsafeIdentity,
		verdict.Revoked, verdict.ProviderUnavailable,
	} {
		if seen[reason] == 0 {
			t.Errorf("no login ended with %q", reason)
		}
	}
	if kinds[verdict.Accept] == 0 || kinds[verdict.Defer] == 0 {
		t.Errorf("of the verdicts there were %v", kinds)
	}
}

func noSecrets(t *testing.T, text, signing string) {
	t.Helper()
	for _, secret := range []string{testidp.ClientSecret, signing} {
		if part := told(text, secret); part != "" {
			t.Fatalf("%q of a secret is told in:\n%s", part, text)
		}
	}
}
