package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const loginPath = "/login"

// logins are the logins of users that are under way, and the refresh tokens of those that have ended: the authorization code
// flow (RFC 6749 §4.1) of clients with Redirects.
type logins struct {
	mu      sync.Mutex // guards what follows and what it holds
	pending map[string]*authRequest
	codes   map[string]*authRequest
	refresh map[string]session // by refresh token; each is good for one use
}

func newLogins() logins {
	return logins{pending: map[string]*authRequest{}, codes: map[string]*authRequest{}, refresh: map[string]session{}}
}

// session is a user who has logged in to a client; it makes an op.RefreshTokenRequest.
type session struct {
	subject, clientID string
	audience, scopes  []string
	at                time.Time
}

func (s session) GetSubject() string     { return s.subject }
func (s session) GetClientID() string    { return s.clientID }
func (s session) GetAudience() []string  { return s.audience }
func (s session) GetScopes() []string    { return s.scopes }
func (s session) GetAuthTime() time.Time { return s.at }
func (s session) GetAMR() []string       { return nil }

// SetCurrentScopes implements op.RefreshTokenRequest: fewer scopes for this one token.
func (s *session) SetCurrentScopes(scopes []string) { s.scopes = scopes }

// authRequest is a login that is under way.
type authRequest struct {
	session
	id     string
	client oidc.AuthRequest // as the client sent it
	done   bool
}

func (r *authRequest) GetID() string                      { return r.id }
func (r *authRequest) GetACR() string                     { return "" }
func (r *authRequest) GetNonce() string                   { return r.client.Nonce }
func (r *authRequest) GetRedirectURI() string             { return r.client.RedirectURI }
func (r *authRequest) GetResponseType() oidc.ResponseType { return r.client.ResponseType }
func (r *authRequest) GetResponseMode() oidc.ResponseMode { return r.client.ResponseMode }
func (r *authRequest) GetState() string                   { return r.client.State }
func (r *authRequest) Done() bool                         { return r.done }

func (r *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if r.client.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.client.CodeChallenge, Method: r.client.CodeChallengeMethod}
}

var (
	_ op.AuthRequest         = (*authRequest)(nil)
	_ op.RefreshTokenRequest = (*session)(nil)

	errNoRequest = errors.New("idp: nobody has asked for this login, or it is over")
)

// CreateAuthRequest implements op.AuthStorage.
func (s *storage) CreateAuthRequest(_ context.Context, request *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	client, ok := s.clients[request.ClientID]
	if !ok {
		return nil, errUnknownClient
	}
	r := &authRequest{id: rand.Text(), client: *request, session: session{
		clientID: client.ID, audience: client.Audience, scopes: request.Scopes,
	}}
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	s.logins.pending[r.id] = r
	return r, nil
}

// AuthRequestByID implements op.AuthStorage.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	if r, ok := s.logins.pending[id]; ok {
		return r, nil
	}
	return nil, errNoRequest
}

// SaveAuthCode implements op.AuthStorage.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	r, ok := s.logins.pending[id]
	if !ok {
		return errNoRequest
	}
	s.logins.codes[code] = r
	return nil
}

// AuthRequestByCode implements op.AuthStorage.
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	if r, ok := s.logins.codes[code]; ok {
		return r, nil
	}
	return nil, errNoRequest
}

// DeleteAuthRequest implements op.AuthStorage: the tokens have been issued, and the code must not serve again.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	delete(s.logins.pending, id)
	for code, r := range s.logins.codes {
		if r.id == id {
			delete(s.logins.codes, code)
		}
	}
	return nil
}

// CreateAccessAndRefreshTokens implements op.AuthStorage. The refresh token that was used gives way to a new one
// (RFC 9700 §4.14.2).
func (s *storage) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, used string) (
	id, refresh string, expires time.Time, err error,
) {
	var who session
	switch r := request.(type) {
	case *authRequest:
		who = r.session
	case *session:
		who = *r
	default:
		return "", "", time.Time{}, errNoLogin()
	}
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	if before, ok := s.logins.refresh[used]; ok {
		who.scopes = before.scopes
		delete(s.logins.refresh, used)
	} else if used != "" {
		return "", "", time.Time{}, op.ErrInvalidRefreshToken // another request has used it
	}
	refresh = rand.Text()
	s.logins.refresh[refresh] = who
	id, expires, err = s.CreateAccessToken(ctx, request)
	return id, refresh, expires, err
}

// TokenRequestByRefreshToken implements op.AuthStorage.
func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	who, ok := s.logins.refresh[token]
	if !ok {
		return nil, op.ErrInvalidRefreshToken
	}
	return &who, nil
}

// GetRefreshTokenInfo implements op.AuthStorage.
func (s *storage) GetRefreshTokenInfo(_ context.Context, clientID, token string) (user, id string, err error) {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	who, ok := s.logins.refresh[token]
	if !ok || who.clientID != clientID {
		return "", "", op.ErrInvalidRefreshToken
	}
	return who.subject, token, nil
}

// TerminateSession implements op.AuthStorage: the user's refresh tokens stop working.
func (s *storage) TerminateSession(_ context.Context, user, clientID string) error {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	for token, who := range s.logins.refresh {
		if who.subject == user && who.clientID == clientID {
			delete(s.logins.refresh, token)
		}
	}
	return nil
}

// SetUserinfoFromScopes implements op.OPStorage: what an ID token says of its user.
func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, user, _ string, _ []string) error {
	info.Subject = user
	return nil
}

// dropRefresh removes a refresh token and reports whether it existed.
func (s *storage) dropRefresh(token string) bool {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	_, ok := s.logins.refresh[token]
	delete(s.logins.refresh, token)
	return ok
}

// approve gives a login the subject that the user has entered, and reports whether it was waiting for one.
func (s *storage) approve(id, subject string) bool {
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	r, ok := s.logins.pending[id]
	if !ok || r.done {
		return false
	}
	// A new one, as the library may be reading the old one.
	next := *r
	next.done, next.subject, next.at = true, subject, time.Now()
	s.logins.pending[id] = &next
	return true
}

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Embedded identity provider</title>
<style>
	body { font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 15vh auto; padding: 0 1rem }
	input, button { font: inherit; padding: .4rem .6rem }
</style>
<h1>Log in</h1>
<p>This is a provider for trying things out: it takes everybody's word.</p>
<form method="post">
	<input type="hidden" name="id" value="{{.}}">
	<label>You are <input name="subject" value="alice" required autofocus></label>
	<button>Log in</button>
</form>
`))

// serveLogin asks users for their name and believes it.
func (p *Provider) serveLogin(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		// A failure means that the browser is gone.
		_ = loginPage.Execute(w, r.URL.Query().Get("id"))
		return
	}
	id, subject := r.PostFormValue("id"), r.PostFormValue("subject")
	if r.Method != http.MethodPost || subject == "" || !p.storage.approve(id, subject) {
		http.Error(w, errNoRequest.Error(), http.StatusBadRequest)
		return
	}
	ctx := op.ContextWithIssuer(r.Context(), p.issuer)
	http.Redirect(w, r, op.AuthCallbackURL(p.op)(ctx, id), http.StatusFound)
}

// public reports whether the client has no secret, and users log in to it.
func (c Client) public() bool { return len(c.Redirects) > 0 }
