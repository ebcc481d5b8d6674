package docs

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/yuin/goldmark/ast"

	"go-jwt-auth/plugin/broker"
	"go-jwt-auth/plugin/chain"
	"go-jwt-auth/plugin/config"
	"go-jwt-auth/plugin/event"
	"go-jwt-auth/plugin/provider"
	"go-jwt-auth/plugin/verdict"
)

const (
	refused = "refused: "
	secret  = "a-secret-of-at-least-32-bytes-please"
	issuer  = "https://idp.example.com"
	// Files, each but for a part of it.
	local = `{"algorithm": "HS256", "mode": "local", "options": {"modes": {"local": "` + secret + `"}, "common": {%s}}}`
	keyed = `{"algorithm": "RS256", "mode": "jwks", "options": {"modes": {"jwks": {%s}}}}`
	asked = `{"algorithm": "HS256", "mode": "local", "options": {"modes": {"local": "` + secret + `"},
		"revocation": {"introspection": {"uri": "PROVIDER/%s"}}}}`
	named = `{"name": "%[1]s", "algorithm": "HS256", "mode": "local", "options": {"modes": {"local": "` + secret + `"},
		"common": {"issuer": "` + issuer + `/realms/%[1]s", "usernameTemplate": "{provider}:{sub}"}}}`
)

// clock is the time of these logins.
func clock() time.Time { return time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC) }

// signed is a good token, but for what change does to it.
func signed(t *testing.T, by string, change func(*jwt.Token, jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": issuer, "sub": "sensor-1", "aud": "mqtt", "scope": "mqtt", "exp": clock().Unix() + 300}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	if change != nil {
		change(token, claims)
	}
	text, err := token.SignedString([]byte(by))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// keySet has one RSA key, by the kid "2026-11".
func keySet(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return `{"keys": [{"kty": "RSA", "kid": "2026-11", "e": "AQAB", "n": "` + encode(string(key.N.Bytes())) + `"}]}`
}

// refusals are the lines in the document, by the heading above them.
func refusals(t *testing.T) map[verdict.Reason][]string {
	t.Helper()
	lines := map[verdict.Reason][]string{}
	var reason verdict.Reason
	walk(t, troubleshooting, func(source []byte, n ast.Node) {
		switch n := n.(type) {
		case *ast.Heading:
			reason = verdict.Reason(strings.Trim(string(n.Lines().Value(source)), "`"))
		case *ast.FencedCodeBlock:
			if line := strings.TrimSpace(string(n.Lines().Value(source))); strings.HasPrefix(line, refused) {
				lines[reason] = append(lines[reason], line)
			}
		}
	})
	return lines
}

func with(name string, value any) func(*jwt.Token, jwt.MapClaims) {
	return func(_ *jwt.Token, claims jwt.MapClaims) {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
}

// Each reason is brought about by a login, and the line that it logs stands below its heading. Three are not a login's own
// doing; TestEveryLineIsExplained holds what is said of them.
func TestEveryReasonIsShownAsLogged(t *testing.T) {
	keys := keySet(t)
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/keys":
			_, _ = io.WriteString(w, keys)
		case "/inactive":
			_, _ = io.WriteString(w, `{"active": false}`)
		case "/refuses":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(idp.Close)
	plain := func(common string) string { return fmt.Sprintf(local, common) }
	several := `{"providers": [` + fmt.Sprintf(named, "main") + ", " + fmt.Sprintf(named, "lab") + `]}`
	good := signed(t, secret, nil)
	rs256 := func(kid string) string {
		return encode(`{"alg":"RS256","kid":"`+kid+`"}`) + "." + strings.SplitN(good, ".", 3)[1] + "." + encode(strings.Repeat("x", 256))
	}
	shown, unseen := refusals(t), reasons(t)
	delete(unseen, string(verdict.ClientIDTaken))
	delete(unseen, string(verdict.ServerBusy))
	delete(unseen, string(verdict.Blocked))
	delete(unseen, string(verdict.ByAdmin))
	delete(unseen, string(verdict.InternalError))
	for _, c := range []struct {
		reason             verdict.Reason
		file               string
		password, username string
	}{
		{verdict.NotAToken, plain(`"onNonToken": "deny"`), "hello", ""},
		{verdict.TooLong, plain(``), strings.Repeat("x", 20000), ""},
		{verdict.Encrypted, plain(``), encode(`{"alg":"dir","enc":"A128GCM"}`) + "..YQ.YQ.YQ", ""},
		{verdict.Malformed, plain(``), encode(`{"alg":"HS256"}`) + ".e30.Y", ""},
		{verdict.WrongAlgorithm, fmt.Sprintf(keyed, `"uri": "PROVIDER/keys"`), good, ""},
		{verdict.UnknownKey, fmt.Sprintf(keyed, `"uri": "PROVIDER/keys", "cache": {"enabled": true}`), rs256("2025-11"), ""},
		{verdict.KeysUnavailable, fmt.Sprintf(keyed, `"uri": "PROVIDER/down"`), rs256("2026-11"), ""},
		{verdict.BadSignature, plain(``), signed(t, "another", nil), ""},
		{verdict.WrongType, plain(`"tokenType": ["at+jwt"]`), good, ""},
		{verdict.Expired, plain(``), signed(t, secret, with("exp", clock().Unix()-300)), ""},
		{verdict.NoExpiration, plain(``), signed(t, secret, with("exp", nil)), ""},
		{verdict.NotYetValid, plain(``), signed(t, secret, with("nbf", clock().Unix()+5)), ""},
		{verdict.WrongIssuer, plain(`"issuer": "` + issuer + `/"`), good, ""},
		{verdict.WrongIssuer, several, good, ""},
		{verdict.Malformed, several, signed(t, secret, with("iss", []string{issuer})), ""},
		{verdict.WrongAudience, plain(`"audience": "mqtt"`), signed(t, secret, with("aud", "account")), ""},
		{verdict.MissingClaim, plain(`"requiredClaims": {"group": "devices"}`), good, ""},
		{verdict.MissingScope, plain(`"requiredScopes": ["mqtt"]`), signed(t, secret, with("scope", "openid profile")), ""},
		{verdict.NoIdentity, plain(`"matchUsernameToSubject": true, "usernameClaim": "email"`), good, ""},
		{verdict.UnsafeIdentity, plain(`"matchUsernameToSubject": true`), signed(t, secret, with("sub", "sensor/1")), ""},
		{verdict.IdentityMismatch, plain(`"matchUsernameToSubject": true, "onSubjectMismatch": "deny"`), good, "bob"},
		{verdict.MalformedRights, plain(`}, "authorization": {"rules": [{"claim": "mqtt", "format": "topics"}]`), signed(t, secret, with("mqtt", map[string]any{"publish": []string{"a", "a/#/b"}})), ""},
		{verdict.Revoked, fmt.Sprintf(asked, "inactive"), good, ""},
		{verdict.ProviderUnavailable, fmt.Sprintf(asked, "refuses"), good, ""},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "jwt.json")
			if err := os.WriteFile(name, []byte(strings.ReplaceAll(c.file, "PROVIDER", idp.URL)), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, problems := config.Load(name)
			if cfg == nil {
				t.Fatal(problems.Error())
			}
			cfg.Providers[0].JWKS.MaxBlock = cfg.Providers[0].JWKS.Timeout // a busy machine may take longer than logins wait
			judge, err := chain.New(cfg, nil, provider.Options{Now: clock, Report: func(event.Note) {}})
			if err != nil {
				t.Fatal(err)
			}
			defer judge.Close()
			result := judge.Check(t.Context(), broker.Connect{ClientID: "c", Username: &c.username, Password: &c.password})
			if result.Reason != c.reason {
				t.Fatalf("%s", result.Verdict)
			}
			line := refused + strings.ReplaceAll(result.String(), idp.URL, issuer)
			at := slices.Index(shown[c.reason], line)
			if at < 0 {
				t.Fatalf("the log has\n%s\nand the document\n%s", line, strings.Join(shown[c.reason], "\n"))
			}
			shown[c.reason] = slices.Delete(shown[c.reason], at, at+1)
			delete(unseen, string(c.reason))
		})
	}
	for _, lines := range shown {
		for _, line := range lines {
			t.Errorf("no login here is %s", line)
		}
	}
	for reason := range unseen {
		t.Errorf("%q is not brought about", reason)
	}
}
