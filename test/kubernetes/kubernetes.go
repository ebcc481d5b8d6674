// Package kubernetes stands in for the part of a Kubernetes API server that lets others verify service account tokens, and for
// what the kubelet does with the tokens of a pod. There is no cluster in the tests, so that each behaviour is that of a named
// source, in github.com/kubernetes/kubernetes unless another is named:
//
//   - The paths and documents: pkg/serviceaccount/openidmetadata.go. A document has issuer, jwks_uri, response_types_supported,
//     subject_types_supported and id_token_signing_alg_values_supported, and nothing else; a key has use "sig" and an alg.
//   - Content types and `Cache-Control: public, max-age=3600`: pkg/routes/openidmetadata.go.
//   - The kid: keyIDFromPublicKey in pkg/serviceaccount/jwt.go.
//   - 406: each path answers with its own content type alone, and go-restful (github.com/emicklei/go-restful, route.go and
//     jsr311.go) refuses an Accept that doesn't name it. `Accept: application/json` is therefore refused for the key set.
//   - 401 and 403: who sends a token that is not good gets 401; who sends none is system:anonymous (the API server's reference,
//     --anonymous-auth), and gets 403. Both are a Status object (staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go).
//   - Who may read: every service account, by the ClusterRole system:service-account-issuer-discovery
//     (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go), whose verb is "get". A request for something that is no
//     resource has its HTTP method as its verb (staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go), so that
//     HEAD is forbidden.
//   - The claims of a token: pkg/serviceaccount/claims.go. There is no typ in its header.
//   - A projected volume is replaced as a whole, by a link: pkg/volume/util/atomic_writer.go.
package kubernetes

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// The paths of the two documents.
const (
	ConfigPath = "/.well-known/openid-configuration"
	KeysPath   = "/openid/v1/jwks"
)

const (
	jsonType = "application/json"
	keysType = "application/jwk-set+json"
)

// signing is the algorithm of a cluster whose key is an RSA key, as kubeadm and the managed clusters have it.
const signing = "RS256"

// APIServer issues service account tokens, and serves the documents that they are verified by. Safe for concurrent use.
type APIServer struct {
	issuer, keysURI string

	mu       sync.Mutex // guards all below
	keys     []key      // the last one signs
	requests []Request
}

type key struct {
	id      string
	private *rsa.PrivateKey
}

// Request is one that the API server has answered.
type Request struct {
	Method, Path string
	// User is who it came from: "system:anonymous", a service account, or empty if the token was not good.
	User   string
	Status int
}

// New returns the API server of a cluster with this --service-account-issuer, whose document names keysURI as jwks_uri.
func New(issuer, keysURI string) (*APIServer, error) {
	s := &APIServer{issuer: issuer, keysURI: keysURI}
	if err := s.Rotate(); err != nil {
		return nil, err
	}
	return s, nil
}

// Rotate signs with a new key from now on, and publishes it beside the others.
func (s *APIServer) Rotate() error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(der)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key{base64.RawURLEncoding.EncodeToString(sum[:]), private})
	return nil
}

// DropOldKeys stops publishing every key but the one that signs; tokens by the others are then not good here either.
func (s *APIServer) DropOldKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.Clone(s.keys[len(s.keys)-1:])
}

// Requests are those that were answered so far.
func (s *APIServer) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Account is who a token is for.
type Account struct {
	Namespace, Name string
	Pod             string // empty: bound to no pod, as `kubectl create token` makes it
}

// Username is what the API server, and the claim sub, call the account.
func (a Account) Username() string { return "system:serviceaccount:" + a.Namespace + ":" + a.Name }

// Token is one that the TokenRequest API would give out: for this audience (empty: the API server itself), good for so long
// from now on. A negative lifetime is that of one that has expired.
func (s *APIServer) Token(account Account, audience string, lifetime time.Duration) (string, error) {
	if audience == "" {
		audience = s.issuer // the default of --api-audiences
	}
	now := time.Now()
	expires := now.Add(lifetime)
	issued := now
	if lifetime <= 0 {
		issued = expires.Add(-time.Hour)
	}
	bound := map[string]any{
		"namespace":      account.Namespace,
		"serviceaccount": map[string]any{"name": account.Name, "uid": "a7a0e4c4-6a1b-4f0a-8b1c-0d6f4a3b2c19"},
	}
	if account.Pod != "" {
		bound["pod"] = map[string]any{"name": account.Pod, "uid": "5f6c2d8e-6a0f-4b7c-a1f5-3c5a4f1b9d21"}
		bound["node"] = map[string]any{"name": "node-1", "uid": "9d2c51c4-6c11-4f4f-9a4e-0f2c3f2f7a10"}
	}
	s.mu.Lock()
	by := s.keys[len(s.keys)-1]
	s.mu.Unlock()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(signing), jwt.MapClaims{
		"iss": s.issuer, "sub": account.Username(), "aud": []string{audience}, "jti": rand.Text(),
		"iat": issued.Unix(), "nbf": issued.Unix(), "exp": expires.Unix(), "kubernetes.io": bound,
	})
	token.Header = map[string]any{"alg": signing, "kid": by.id}
	return token.SignedString(by.private)
}

// Config is the discovery document.
func (s *APIServer) Config() []byte {
	return encode(map[string]any{
		"issuer": s.issuer, "jwks_uri": s.keysURI, "response_types_supported": []string{"id_token"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{signing},
	})
}

// KeySet is the key set.
func (s *APIServer) KeySet() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range s.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: signing, Use: "sig"})
	}
	return encode(set)
}

// ServeHTTP authenticates, authorizes and answers, in that order.
func (s *APIServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, status := s.answer(w, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.Path, User: user, Status: status})
}

func (s *APIServer) answer(w http.ResponseWriter, r *http.Request) (user string, status int) {
	user, err := s.authenticate(r)
	if err != nil {
		return "", fail(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
	}
	verb := strings.ToLower(r.Method)
	served := map[string]struct {
		contentType string
		body        func() []byte
	}{ConfigPath: {jsonType, s.Config}, KeysPath: {keysType, s.KeySet}}
	document, is := served[r.URL.Path]
	if !is || verb != "get" || !strings.HasPrefix(user, "system:serviceaccount:") {
		message := fmt.Sprintf("forbidden: User %q cannot %s path %q", user, verb, r.URL.Path)
		return user, fail(w, http.StatusForbidden, "Forbidden", message)
	}
	if !accepts(r.Header.Get("Accept"), document.contentType) {
		message := "406: Not Acceptable\n\nAvailable representations: " + document.contentType
		return user, fail(w, http.StatusNotAcceptable, "NotAcceptable", message)
	}
	w.Header().Set("Content-Type", document.contentType)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(document.body()) // the client may be gone
	return user, http.StatusOK
}

// authenticate tells who a request is from.
func (s *APIServer) authenticate(r *http.Request) (user string, err error) {
	sent := r.Header.Get("Authorization")
	if sent == "" {
		return "system:anonymous", nil
	}
	scheme, bearer, _ := strings.Cut(sent, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "system:anonymous", nil
	}
	token, err := jwt.Parse(bearer, s.find,
		jwt.WithValidMethods([]string{signing}), jwt.WithIssuer(s.issuer), jwt.WithAudience(s.issuer), jwt.WithExpirationRequired())
	if err != nil {
		return "", err
	}
	return token.Claims.GetSubject()
}

func (s *APIServer) find(token *jwt.Token) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.id == token.Header["kid"] {
			return k.private.Public(), nil
		}
	}
	return nil, errors.New("unknown key")
}

// accepts is go-restful's matchesAccept: no header accepts anything, qualities are not looked at, and neither is "application/*".
func accepts(header, contentType string) bool {
	if header == "" {
		return true
	}
	for accepted := range strings.SplitSeq(header, ",") {
		accepted, _, _ = strings.Cut(accepted, ";")
		if accepted = strings.Trim(accepted, " "); accepted == "*/*" || accepted == contentType {
			return true
		}
	}
	return false
}

// fail answers with a Status object.
func fail(w http.ResponseWriter, code int, reason, message string) int {
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(code)
	status := map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
		"message": message, "reason": reason, "code": code,
	}
	_, _ = w.Write(encode(status)) // the client may be gone
	return code
}

func encode(document any) []byte {
	text, err := json.Marshal(document)
	if err != nil {
		panic(err) // all that is encoded here can be
	}
	return text
}
