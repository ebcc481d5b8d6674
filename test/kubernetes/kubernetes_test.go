package kubernetes_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go-jwt-auth/test/kubernetes"
)

// What an API server says to whom, by the sources that the package names.
func TestAnswers(t *testing.T) {
	s, err := kubernetes.New("https://kubernetes.default.svc.cluster.local", "https://192.0.2.1:6443/openid/v1/jwks")
	if err != nil {
		t.Fatal(err)
	}
	token := func(audience string, lifetime time.Duration) string {
		token, err := s.Token(kubernetes.Account{Namespace: "mqtt", Name: "mosquitto"}, audience, lifetime)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + token
	}
	good := token("", time.Hour)
	const account, both = "system:serviceaccount:mqtt:mosquitto", "application/json, application/jwk-set+json"
	for _, c := range []struct {
		rule                           string
		method, path                   string
		authorization, accept          string
		status                         int
		reason, contentType, cacheable string
		user                           string
	}{
		{"the document", "GET", kubernetes.ConfigPath, good, "", 200, "", "application/json", "public, max-age=3600", account},
		{"the keys", "GET", kubernetes.KeysPath, good, "", 200, "", "application/jwk-set+json", "public, max-age=3600", account},
		{"the keys as anything", "GET", kubernetes.KeysPath, good, "text/html, */*;q=0.1", 200, "", "application/jwk-set+json", "public, max-age=3600", account},
		{"the document as either", "GET", kubernetes.ConfigPath, good, both, 200, "", "application/json", "public, max-age=3600", account},
		{"the keys as either", "GET", kubernetes.KeysPath, good, both, 200, "", "application/jwk-set+json", "public, max-age=3600", account},
		{"the keys as JSON", "GET", kubernetes.KeysPath, good, "application/json", 406, "NotAcceptable", "application/json", "no-cache, private", account},
		{"the document as keys", "GET", kubernetes.ConfigPath, good, "application/jwk-set+json", 406, "NotAcceptable", "application/json", "no-cache, private", account},
		{"to another method", "HEAD", kubernetes.KeysPath, good, "", 403, "", "application/json", "no-cache, private", account},
		{"without token", "GET", kubernetes.KeysPath, "", "", 403, "Forbidden", "application/json", "no-cache, private", "system:anonymous"},
		{"with an expired token", "GET", kubernetes.KeysPath, token("", -time.Minute), "", 401, "Unauthorized", "application/json", "no-cache, private", ""},
		{"with a token for the broker", "GET", kubernetes.KeysPath, token("mqtt", time.Hour), "", 401, "Unauthorized", "application/json", "no-cache, private", ""},
		{"with no token at all", "GET", kubernetes.KeysPath, "Bearer x", "", 401, "Unauthorized", "application/json", "no-cache, private", ""},
		{"elsewhere", "GET", "/api/v1/secrets", good, "", 403, "Forbidden", "application/json", "no-cache, private", account},
	} {
		t.Run(c.rule, func(t *testing.T) {
			request := httptest.NewRequest(c.method, c.path, http.NoBody)
			request.Header.Set("Accept", c.accept)
			request.Header.Set("Authorization", c.authorization)
			if c.authorization == "" {
				request.Header.Del("Authorization")
			}
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, request)
			var body struct{ Reason string }
			if c.method != http.MethodHead {
				if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
					t.Error(err)
				}
			}
			if answer.Code != c.status || body.Reason != c.reason || answer.Header().Get("Content-Type") != c.contentType || answer.Header().Get("Cache-Control") != c.cacheable {
				t.Errorf("got %d %q %v", answer.Code, body.Reason, answer.Header())
			}
			all := s.Requests()
			if got := all[len(all)-1]; got != (kubernetes.Request{Method: c.method, Path: c.path, User: c.user, Status: c.status}) {
				t.Errorf("noted as %+v", got)
			}
		})
	}
}

func TestProject(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"first", "second", "third"} {
		if err := kubernetes.Project(dir, map[string]string{"token": content, "ca.crt": "ca"}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "token")); err != nil || string(got) != content {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if all, err := filepath.Glob(filepath.Join(dir, "..*")); err != nil || len(all) != 2 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}
